package testpki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"math/rand/v2"
	"sync"

	"github.com/musubi-hub/musubi/identity/cert/der"
	"github.com/musubi-hub/musubi/identity/cert/pkix"
)

// Kind is the kind of a key.
type Kind string

// The keys of today's cards, and of the next ones.
const (
	RSA2048 Kind = "rsa2048"
	P256    Kind = "p256"
	P384    Kind = "p384"
)

// Kinds are all kinds, today's first.
var Kinds = []Kind{RSA2048, P256, P384}

// Seeded is randomness that can be had again: the same seed gives the same octets. Keys made from it are no secret.
func Seeded(seed string) io.Reader { return rand.NewChaCha8(sha256.Sum256([]byte(seed))) }

// NewKey makes a key from random, the same one from the same octets. The standard library's generators refuse to be led like this.
func NewKey(random io.Reader, kind Kind) (crypto.Signer, error) {
	switch kind {
	case RSA2048:
		return rsaKey(random)
	case P256:
		return ecKey(random, elliptic.P256())
	case P384:
		return ecKey(random, elliptic.P384())
	}
	return nil, fmt.Errorf("testpki: kind of key %q: give %s, %s or %s", kind, RSA2048, P256, P384)
}

func ecKey(random io.Reader, curve elliptic.Curve) (crypto.Signer, error) {
	octets := make([]byte, (curve.Params().BitSize+7)/8)
	for range 64 { // a number not below the order is drawn again: one in 2^32 for P-256
		if _, err := io.ReadFull(random, octets); err != nil {
			return nil, err
		}
		if key, err := ecdsa.ParseRawPrivateKey(curve, octets); err == nil {
			return key, nil
		}
	}
	return nil, fmt.Errorf("testpki: the randomness given is none")
}

func rsaKey(random io.Reader) (crypto.Signer, error) {
	const bits, e = 2048, 65537
	one := big.NewInt(1)
	for range 64 {
		var primes [2]*big.Int
		for i := range primes {
			p, err := prime(random, bits/2)
			if err != nil {
				return nil, err
			}
			primes[i] = p
		}
		p, q := primes[0], primes[1]
		phi := new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one))
		d := new(big.Int).ModInverse(big.NewInt(e), phi)
		if d == nil || p.Cmp(q) == 0 {
			continue
		}
		key := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: new(big.Int).Mul(p, q), E: e}, D: d, Primes: primes[:]}
		key.Precompute()
		if err := key.Validate(); err == nil {
			return key, nil
		}
	}
	return nil, fmt.Errorf("testpki: the randomness given is none")
}

// smallPrimes are the odd primes below 4096: most numbers that are not prime fall to one of them, without costly arithmetic.
var smallPrimes = sync.OnceValue(func() []uint64 {
	var out []uint64
next:
	for n := uint64(3); n < 4096; n += 2 {
		for _, p := range out {
			if n%p == 0 {
				continue next
			}
		}
		out = append(out, n)
	}
	return out
})

// prime is the first prime after a number drawn from random, of so many bits, whose two highest are set, so that a product of two has twice as many.
func prime(random io.Reader, bits int) (*big.Int, error) {
	octets := make([]byte, bits/8)
	for range 64 {
		if _, err := io.ReadFull(random, octets); err != nil {
			return nil, err
		}
		octets[0] |= 0xc0
		octets[len(octets)-1] |= 1
		if p := primeFrom(new(big.Int).SetBytes(octets)); p.BitLen() == bits {
			return p, nil
		}
	}
	return nil, fmt.Errorf("testpki: the randomness given is none")
}

func primeFrom(start *big.Int) *big.Int {
	small := smallPrimes()
	rest := make([]uint64, len(small))
	for i, p := range small {
		rest[i] = new(big.Int).Mod(start, new(big.Int).SetUint64(p)).Uint64()
	}
next:
	for step := uint64(0); ; step += 2 {
		for i, p := range small {
			if (rest[i]+step)%p == 0 {
				continue next
			}
		}
		if p := new(big.Int).Add(start, new(big.Int).SetUint64(step)); p.ProbablyPrime(8) {
			return p
		}
	}
}

// SPKI is the DER of the SubjectPublicKeyInfo of key.
func SPKI(key crypto.PublicKey) []byte {
	b, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		panic("testpki: " + err.Error()) // a key of another kind than NewKey makes: a fault of the test
	}
	return b
}

// signing is how one key signs: the DER of the AlgorithmIdentifier and the hash.
type signing struct {
	algorithm []byte
	hash      crypto.Hash
}

func oid(o pkix.OID) []byte { return der.Wrap(der.OID, []byte(o)) }

var derNull = der.Wrap(der.Null)

func signingOf(key crypto.Signer) signing {
	switch k := key.Public().(type) {
	case *rsa.PublicKey:
		return signing{der.Wrap(der.Sequence, oid(pkix.OIDSHA256WithRSA), derNull), crypto.SHA256}
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P384() {
			return signing{der.Wrap(der.Sequence, oid(pkix.OIDECDSASHA384)), crypto.SHA384}
		}
		return signing{der.Wrap(der.Sequence, oid(pkix.OIDECDSASHA256)), crypto.SHA256}
	}
	panic("testpki: a key of another kind than NewKey makes")
}

// sign signs tbs; without randomness, so that the same key gives the same octets (RFC 6979 for ECDSA).
func sign(key crypto.Signer, tbs []byte) []byte {
	s := signingOf(key)
	h := s.hash.New()
	h.Write(tbs)
	sig, err := key.Sign(nil, h.Sum(nil), s.hash)
	if err != nil {
		panic("testpki: " + err.Error())
	}
	return sig
}

// Challenge signs what a relying party sends to a card, as the card does: PKCS #1 v1.5 with SHA-256, or ECDSA with the hash of its curve.
func Challenge(key crypto.Signer, message []byte) []byte { return sign(key, message) }
