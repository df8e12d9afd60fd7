package pkix

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"fmt"
	"math/big"

	"github.com/musubi-hub/musubi/identity/cert/der"
)

// KeyKind is what a public key is for.
type KeyKind uint8

// Kinds of keys. A key of any other kind parses as OtherKey and verifies nothing.
const (
	OtherKey KeyKind = iota
	RSAKey
	P256Key
	P384Key
)

func (k KeyKind) String() string {
	switch k {
	case RSAKey:
		return "RSA"
	case P256Key:
		return "P-256"
	case P384Key:
		return "P-384"
	default:
		return "another kind of key"
	}
}

// PublicKey is a SubjectPublicKeyInfo.
type PublicKey struct {
	Raw       []byte // the whole SubjectPublicKeyInfo
	Bits      []byte // the content of subjectPublicKey without the octet of unused bits: what key hashes are made of
	Kind      KeyKind
	Algorithm OID
	RSA       *rsa.PublicKey
	EC        *ecdsa.PublicKey
}

// Equal tells whether two keys are the same octets.
func (k *PublicKey) Equal(o *PublicKey) bool {
	return k != nil && o != nil && bytes.Equal(k.Raw, o.Raw)
}

// ErrKey is a public key that is malformed or outside what anyone may use: an even modulus, an exponent of 1, a point off the curve.
var ErrKey = errors.New("bad public key")

// maxModulus bounds an RSA modulus in bits, so that a key can't make verification slow.
const maxModulus = 8192

// ParsePublicKey reads one SubjectPublicKeyInfo; nothing may follow it.
func ParsePublicKey(raw []byte) (*PublicKey, error) {
	k := new(PublicKey)
	return k, k.parse(raw)
}

func (k *PublicKey) parse(raw []byte) error {
	r, err := der.Whole(raw, der.Sequence)
	if err != nil {
		return err
	}
	alg, err := readAlgorithm(&r)
	if err != nil {
		return err
	}
	if k.Bits, err = r.Octets(); err != nil {
		return err
	}
	if err := r.End(); err != nil {
		return err
	}
	k.Raw, k.Algorithm = raw, alg.ID
	switch alg.ID {
	case OIDRSA:
		if !alg.isNull() {
			return fmt.Errorf("%w: RSA parameters are not NULL", ErrKey)
		}
		return k.parseRSA()
	case OIDECPublicKey:
		return k.parseEC(alg)
	}
	return nil
}

func (k *PublicKey) parseRSA() error {
	r, err := der.Whole(k.Bits, der.Sequence)
	if err != nil {
		return err
	}
	n, err := r.Integer()
	if err != nil {
		return err
	}
	e, err := r.Small(1<<31 - 1)
	if err != nil {
		return fmt.Errorf("%w: RSA exponent: %w", ErrKey, err)
	}
	if err := r.End(); err != nil {
		return err
	}
	if n[0] >= 0x80 || len(n)-1 > maxModulus/8 || n[len(n)-1]&1 == 0 {
		return fmt.Errorf("%w: RSA modulus negative, even or above %d bits", ErrKey, maxModulus)
	}
	if e < 3 || e&1 == 0 {
		return fmt.Errorf("%w: RSA exponent %d", ErrKey, e)
	}
	k.Kind, k.RSA = RSAKey, &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: e}
	return nil
}

func (k *PublicKey) parseEC(alg Algorithm) error {
	p := der.NewReader(alg.Params)
	curve, err := p.ObjectID()
	if err != nil {
		return fmt.Errorf("%w: not a named curve: %w", ErrKey, err)
	}
	if err := p.End(); err != nil {
		return err
	}
	switch OID(curve) {
	case OIDP256:
		k.EC, err = ecdsa.ParseUncompressedPublicKey(elliptic.P256(), k.Bits)
		k.Kind = P256Key
	case OIDP384:
		k.EC, err = ecdsa.ParseUncompressedPublicKey(elliptic.P384(), k.Bits)
		k.Kind = P384Key
	default:
		return nil
	}
	if err != nil {
		k.Kind, k.EC = OtherKey, nil
		return fmt.Errorf("%w: no point of the curve in its uncompressed form", ErrKey)
	}
	return nil
}
