package keys

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"regexp"
	"time"
)

// Algorithm is the kind of a signing key.
type Algorithm string

// The algorithms. RSA and P-256 are for statements to products (SAML, OpenID Connect); Ed25519 is for checkpoints of the audit log.
const (
	RSA2048 Algorithm = "RSA-2048"
	RSA3072 Algorithm = "RSA-3072"
	P256    Algorithm = "P-256"
	Ed25519 Algorithm = "Ed25519"
)

// State says where a key stands in its life.
type State string

// The states, in the order of a key's life.
const (
	Next    State = "next"    // published, so that verifiers know it before it signs
	Active  State = "active"  // signs
	Retired State = "retired" // signs no more; published for the overlap
)

// Purpose is what keys are for, e.g. "audit". A key of one purpose signs nothing of another.
type Purpose string

var purpose = regexp.MustCompile(`^[a-z][a-z0-9-]{0,39}$`)

// Spec says how the keys of one purpose are kept.
type Spec struct {
	Algorithm Algorithm
	Ahead     time.Duration // how long a key must have been published before it may sign
	Overlap   time.Duration // how long a retired key stays published
}

// Key is what may be told of a key.
type Key struct {
	ID          string // the first 16 bytes of SHA-256 of the public key's PKIX form, hex
	Purpose     Purpose
	Algorithm   Algorithm
	State       State
	Public      crypto.PublicKey
	CreatedAt   int64 // UTC, microseconds
	ActivatedAt int64 // UTC, microseconds; 0: not yet
	RetiredAt   int64 // UTC, microseconds; 0: not yet
	WithdrawnAt int64 // UTC, microseconds; 0: not. It isn't published since then, overlap or not: it was lost or stolen
}

// Signer signs by one key. It never gives the private key, and prints as the key's id.
type Signer struct {
	key     Key
	private crypto.Signer
}

// Key tells which key signs.
func (s *Signer) Key() Key { return s.key }

// Public is the public key, for crypto.Signer.
func (s *Signer) Public() crypto.PublicKey { return s.key.Public }

// Sign signs a digest, or with Ed25519 a message, for crypto.Signer.
func (s *Signer) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return s.private.Sign(random, digest, opts)
}

// String names the key.
func (s *Signer) String() string { return "signing key " + s.key.ID }

// GoString is String, so that %#v shows no private key.
func (s *Signer) GoString() string { return s.String() }

// generate draws a private key.
func generate(a Algorithm, random io.Reader) (crypto.Signer, error) {
	switch a {
	case RSA2048:
		return rsa.GenerateKey(random, 2048)
	case RSA3072:
		return rsa.GenerateKey(random, 3072)
	case P256:
		return ecdsa.GenerateKey(elliptic.P256(), random)
	case Ed25519:
		_, private, err := ed25519.GenerateKey(random)
		return private, err
	default:
		return nil, fmt.Errorf("unknown algorithm %q", a)
	}
}

// fits reports whether the public key is of the algorithm.
func (a Algorithm) fits(public crypto.PublicKey) bool {
	switch p := public.(type) {
	case *rsa.PublicKey:
		return a == RSA2048 && p.N.BitLen() == 2048 || a == RSA3072 && p.N.BitLen() == 3072
	case *ecdsa.PublicKey:
		return a == P256 && p.Curve == elliptic.P256()
	case ed25519.PublicKey:
		return a == Ed25519
	default:
		return false
	}
}

// encodePublic gives the PKIX form in base64 and the id.
func encodePublic(public crypto.PublicKey) (text, id string, err error) {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return "", "", err
	}
	sum := sha256.Sum256(der)
	return base64.StdEncoding.EncodeToString(der), hex.EncodeToString(sum[:16]), nil
}

// decodePublic undoes encodePublic and checks that the key is the one of this id and algorithm.
func decodePublic(text, id string, a Algorithm) (crypto.PublicKey, error) {
	der, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, errors.New("its public part is damaged")
	}
	public, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, errors.New("its public part is damaged")
	}
	if _, is, err := encodePublic(public); err != nil || is != id || !a.fits(public) {
		return nil, errors.New("its public part is of another key")
	}
	return public, nil
}
