package pkix

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	_ "crypto/sha256" // the hashes that Scheme.Hash names
	_ "crypto/sha512"
	"errors"
	"fmt"
	"slices"

	"github.com/musubi-hub/musubi/identity/cert/der"
)

// Algorithm is an AlgorithmIdentifier.
type Algorithm struct {
	ID     OID
	Params []byte // whole element; nil if missing
	Raw    []byte // whole AlgorithmIdentifier
}

var null = []byte{der.Null, 0}

func (a Algorithm) isNull() bool { return bytes.Equal(a.Params, null) }

// Equal compares octet by octet, as RFC 5280 4.1.1.2 asks of the algorithm inside and outside of what is signed.
func (a Algorithm) Equal(o Algorithm) bool { return bytes.Equal(a.Raw, o.Raw) }

// ReadAlgorithm reads the AlgorithmIdentifier that comes next.
func ReadAlgorithm(r *der.Reader) (Algorithm, error) { return readAlgorithm(r) }

func readAlgorithm(r *der.Reader) (Algorithm, error) {
	content, whole, err := r.ReadWhole(der.Sequence)
	if err != nil {
		return Algorithm{}, err
	}
	a := Algorithm{Raw: whole}
	inner := der.NewReader(content)
	id, err := inner.ObjectID()
	if err != nil {
		return Algorithm{}, err
	}
	a.ID = intern(id)
	if !inner.Empty() {
		if _, _, a.Params, err = inner.Next(); err != nil {
			return Algorithm{}, err
		}
	}
	return a, inner.End()
}

// Scheme is a kind of key together with a hash: what a signature is made with.
type Scheme string

// Schemes that can be verified here. Which ones may be is a Policy.
const (
	RSASHA256  Scheme = "rsa-sha256" // PKCS#1 v1.5
	RSASHA384  Scheme = "rsa-sha384"
	RSASHA512  Scheme = "rsa-sha512"
	P256SHA256 Scheme = "p256-sha256"
	P256SHA384 Scheme = "p256-sha384"
	P256SHA512 Scheme = "p256-sha512"
	P384SHA256 Scheme = "p384-sha256"
	P384SHA384 Scheme = "p384-sha384"
	P384SHA512 Scheme = "p384-sha512"
)

// Schemes is every Scheme.
var Schemes = []Scheme{RSASHA256, RSASHA384, RSASHA512, P256SHA256, P256SHA384, P256SHA512, P384SHA256, P384SHA384, P384SHA512}

// Hash is the scheme's hash; 0 if the scheme is unknown.
func (s Scheme) Hash() crypto.Hash {
	switch s {
	case RSASHA256, P256SHA256, P384SHA256:
		return crypto.SHA256
	case RSASHA384, P256SHA384, P384SHA384:
		return crypto.SHA384
	case RSASHA512, P256SHA512, P384SHA512:
		return crypto.SHA512
	}
	return 0
}

// Policy says which signatures are accepted. The zero value accepts none.
type Policy struct {
	Schemes        []Scheme
	RSAMinBits     int // of the modulus
	RSAMaxBits     int
	RSAMinExponent int
}

// Errors of a signature check.
var (
	ErrAlgorithm = errors.New("the signature algorithm or the key isn't accepted")
	ErrSignature = errors.New("the signature doesn't verify")
)

// Key tells whether signatures by that key could be accepted at all: its kind, size and exponent.
func (p *Policy) Key(k *PublicKey) error {
	if k.Kind == RSAKey {
		if n := k.RSA.N.BitLen(); n < p.RSAMinBits || n > p.RSAMaxBits {
			return fmt.Errorf("%w: an RSA modulus of %d bits, accepted are %d to %d", ErrAlgorithm, n, p.RSAMinBits, p.RSAMaxBits)
		}
		if k.RSA.E < p.RSAMinExponent {
			return fmt.Errorf("%w: RSA exponent %d, at least %d is asked for", ErrAlgorithm, k.RSA.E, p.RSAMinExponent)
		}
	}
	for _, s := range p.Schemes {
		if s.fits(k.Kind) {
			return nil
		}
	}
	return fmt.Errorf("%w: %s (%s)", ErrAlgorithm, k.Kind, k.Algorithm)
}

func (s Scheme) fits(k KeyKind) bool {
	switch s {
	case RSASHA256, RSASHA384, RSASHA512:
		return k == RSAKey
	case P256SHA256, P256SHA384, P256SHA512:
		return k == P256Key
	case P384SHA256, P384SHA384, P384SHA512:
		return k == P384Key
	}
	return false
}

// Scheme tells how a signature under alg by k is verified, or ErrAlgorithm if it isn't accepted.
func (p *Policy) Scheme(k *PublicKey, alg Algorithm) (Scheme, error) {
	var byKind [4]Scheme
	params := alg.Params == nil
	switch alg.ID {
	case OIDSHA256WithRSA:
		byKind, params = [4]Scheme{RSAKey: RSASHA256}, alg.isNull()
	case OIDSHA384WithRSA:
		byKind, params = [4]Scheme{RSAKey: RSASHA384}, alg.isNull()
	case OIDSHA512WithRSA:
		byKind, params = [4]Scheme{RSAKey: RSASHA512}, alg.isNull()
	case OIDECDSASHA256:
		byKind = [4]Scheme{P256Key: P256SHA256, P384Key: P384SHA256}
	case OIDECDSASHA384:
		byKind = [4]Scheme{P256Key: P256SHA384, P384Key: P384SHA384}
	case OIDECDSASHA512:
		byKind = [4]Scheme{P256Key: P256SHA512, P384Key: P384SHA512}
	default:
		return "", fmt.Errorf("%w: algorithm %s", ErrAlgorithm, alg.ID)
	}
	s := byKind[k.Kind]
	if s == "" {
		return "", fmt.Errorf("%w: algorithm %s with a key of kind %s", ErrAlgorithm, alg.ID, k.Kind)
	}
	if !params {
		return "", fmt.Errorf("%w: algorithm %s with wrong parameters (RFC 4055: NULL, RFC 5758: none)", ErrAlgorithm, alg.ID)
	}
	if !slices.Contains(p.Schemes, s) {
		return "", fmt.Errorf("%w: %s", ErrAlgorithm, s)
	}
	return s, p.Key(k)
}

// Check verifies signature over signed by k under alg. The error is ErrAlgorithm if the policy doesn't accept them, ErrSignature if it isn't right.
func (p *Policy) Check(k *PublicKey, alg Algorithm, signed, signature []byte) error {
	s, err := p.Scheme(k, alg)
	if err != nil {
		return err
	}
	return VerifyDigest(k, s, Digest(s.Hash(), signed), signature)
}

// Digest hashes b.
func Digest(h crypto.Hash, b []byte) []byte {
	hash := h.New()
	hash.Write(b)
	return hash.Sum(make([]byte, 0, h.Size()))
}

// VerifyDigest verifies a signature over a digest by a scheme that fits the key. PKCS#1 v1.5 compares the whole encoded message, so that a
// DigestInfo that is short, has no NULL or is followed by anything is refused; ECDSA signatures must be DER.
func VerifyDigest(k *PublicKey, s Scheme, digest, signature []byte) error {
	if !s.fits(k.Kind) || len(digest) != s.Hash().Size() {
		return ErrAlgorithm
	}
	if k.Kind == RSAKey {
		if rsa.VerifyPKCS1v15(k.RSA, s.Hash(), digest, signature) != nil {
			return ErrSignature
		}
		return nil
	}
	if !ecdsa.VerifyASN1(k.EC, digest, signature) {
		return ErrSignature
	}
	return nil
}

// intern spares the copy of an object identifier that is known.
func intern(id []byte) OID {
	switch OID(id) {
	case OIDSHA256WithRSA:
		return OIDSHA256WithRSA
	case OIDECDSASHA256:
		return OIDECDSASHA256
	case OIDECDSASHA384:
		return OIDECDSASHA384
	case OIDRSA:
		return OIDRSA
	case OIDECPublicKey:
		return OIDECPublicKey
	}
	return OID(id)
}

// Hash is the hash that a signature algorithm signs, whatever the key; 0 if the algorithm isn't known here.
func (a Algorithm) Hash() crypto.Hash {
	switch a.ID {
	case OIDSHA256WithRSA, OIDECDSASHA256:
		return crypto.SHA256
	case OIDSHA384WithRSA, OIDECDSASHA384:
		return crypto.SHA384
	case OIDSHA512WithRSA, OIDECDSASHA512:
		return crypto.SHA512
	}
	return 0
}

// Accepts tells whether the policy names a scheme.
func (p *Policy) Accepts(s Scheme) bool { return slices.Contains(p.Schemes, s) }
