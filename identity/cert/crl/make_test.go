package crl

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"math/big"
	"sync"
	"time"

	"github.com/musubi-hub/musubi/identity/cert/der"
	"github.com/musubi-hub/musubi/identity/cert/pkix"
)

// This file makes lists, octet by octet and without the code under test, so that wrong ones can be made as easily as right ones.

var anySignature = &pkix.Policy{Schemes: pkix.Schemes, RSAMinBits: 1024, RSAMaxBits: 8192, RSAMinExponent: 3}

type signer struct {
	key crypto.Signer
	pub *pkix.PublicKey
	alg []byte
}

func newSigner(key crypto.Signer, algorithm pkix.OID, params ...[]byte) signer {
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		panic(err)
	}
	pub, err := pkix.ParsePublicKey(spki)
	if err != nil {
		panic(err)
	}
	return signer{key, pub, der.Wrap(der.Sequence, append([][]byte{der.Wrap(der.OID, []byte(algorithm))}, params...)...)}
}

var rsaSigner = sync.OnceValue(func() signer {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return newSigner(key, pkix.OIDSHA256WithRSA, der.Wrap(der.Null))
})

var ecSigner = sync.OnceValue(func() signer {
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return newSigner(key, pkix.OIDECDSASHA384)
})

func (s signer) sign(tbs []byte) []byte {
	hash := crypto.SHA256
	if s.pub.Kind == pkix.P384Key {
		hash = crypto.SHA384
	}
	signature, err := s.key.Sign(rand.Reader, pkix.Digest(hash, tbs), hash)
	if err != nil {
		panic(err)
	}
	return der.Wrap(der.Sequence, tbs, s.alg, der.Wrap(der.BitString, []byte{0}, signature))
}

func name(cn string) []byte {
	attribute := der.Wrap(der.Sequence, der.Wrap(der.OID, []byte{0x55, 4, 3}), der.Wrap(der.UTF8String, []byte(cn)))
	return der.Wrap(der.Sequence, der.Wrap(der.Set, attribute))
}

func named(cn string) pkix.Name {
	n, err := pkix.ParseName(name(cn))
	if err != nil {
		panic(err)
	}
	return n
}

func integerOf(v int64) []byte { return integerOfBig(big.NewInt(v)) }

func integerOfBig(v *big.Int) []byte {
	if v.Sign() < 0 {
		octets := 1
		for new(big.Int).Neg(new(big.Int).Lsh(big.NewInt(1), uint(8*octets-1))).Cmp(v) > 0 {
			octets++
		}
		v = new(big.Int).Add(v, new(big.Int).Lsh(big.NewInt(1), uint(8*octets)))
		return der.Wrap(der.Integer, v.FillBytes(make([]byte, octets)))
	}
	b := v.Bytes()
	if len(b) == 0 || b[0] >= 0x80 {
		b = append([]byte{0}, b...)
	}
	return der.Wrap(der.Integer, b)
}

func timeOf(t time.Time) []byte {
	if t.Year() < 2050 && t.Year() >= 1950 {
		return der.Wrap(der.UTCTime, []byte(t.UTC().Format("060102150405Z")))
	}
	return der.Wrap(der.GeneralizedTime, []byte(t.UTC().Format("20060102150405Z")))
}

func ext(id pkix.OID, critical bool, value ...[]byte) []byte {
	parts := [][]byte{der.Wrap(der.OID, []byte(id))}
	if critical {
		parts = append(parts, der.Wrap(der.Boolean, []byte{0xff}))
	}
	return der.Wrap(der.Sequence, append(parts, der.Wrap(der.OctetString, value...))...)
}

func reason(r pkix.Reason) []byte {
	return ext(pkix.OIDReasonCode, false, der.Wrap(der.Enumerated, []byte{byte(r)}))
}

func certIssuer(cn string) []byte {
	return ext(pkix.OIDCertificateIssuer, true, der.Wrap(der.Sequence, der.Wrap(der.Constructed(4), name(cn))))
}

// entry is one of revokedCertificates.
func entry(serial []byte, at time.Time, exts ...[]byte) []byte {
	parts := [][]byte{serial, timeOf(at)}
	if len(exts) > 0 {
		parts = append(parts, der.Wrap(der.Sequence, exts...))
	}
	return der.Wrap(der.Sequence, parts...)
}

// draft is a list to be made. What is nil is as in a good list.
type draft struct {
	by         *signer
	version    []byte
	issuer     []byte
	this, next []byte
	entries    [][]byte
	revoked    []byte // in place of entries
	number     int64
	exts       [][]byte // after number and key identifier
	allExts    []byte   // in place of exts
	after      []byte   // at the end of what is signed
}

var (
	thisUpdate = time.Date(2026, 11, 29, 15, 0, 0, 0, time.UTC)
	nextUpdate = thisUpdate.Add(48 * time.Hour)
	revokedAt  = time.Date(2025, 4, 1, 3, 4, 5, 0, time.UTC)
)

func or(b, other []byte) []byte {
	if b == nil {
		return other
	}
	return b
}

func (d draft) signer() signer {
	if d.by != nil {
		return *d.by
	}
	return rsaSigner()
}

func (d draft) tbs() []byte {
	s := d.signer()
	parts := [][]byte{
		or(d.version, integerOf(1)), s.alg, or(d.issuer, name("TEST CA")), or(d.this, timeOf(thisUpdate)), or(d.next, timeOf(nextUpdate)),
	}
	if d.revoked != nil {
		parts = append(parts, d.revoked)
	} else if len(d.entries) > 0 {
		parts = append(parts, der.Wrap(der.Sequence, d.entries...))
	}
	if d.allExts == nil {
		number := d.number
		if number == 0 {
			number = 7
		}
		exts := append([][]byte{
			ext(pkix.OIDAuthorityKeyID, false, der.Wrap(der.Sequence, der.Wrap(der.Context(0), []byte("key identifier")))),
			ext(pkix.OIDCRLNumber, false, integerOf(number)),
		}, d.exts...)
		d.allExts = der.Wrap(der.Constructed(0), der.Wrap(der.Sequence, exts...))
	}
	return der.Wrap(der.Sequence, append(parts, d.allExts, d.after)...)
}

func (d draft) make() []byte { return d.signer().sign(d.tbs()) }

func idp(parts ...[]byte) []byte {
	return ext(pkix.OIDIssuingDistPoint, true, der.Wrap(der.Sequence, parts...))
}
