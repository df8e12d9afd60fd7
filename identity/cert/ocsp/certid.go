package ocsp

import (
	"bytes"
	"crypto"
	"crypto/subtle"
	"encoding/asn1"
	"slices"

	// The two hashes of a CertID. SHA-1 identifies the issuer here; nothing is signed with it.
	_ "crypto/sha1" //nolint:gosec // G505: RFC 6960 and RFC 5019 name the issuer by SHA-1
	_ "crypto/sha256"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Issuer is the CA that issued the certificate in question, as the path validation has found it: never taken from the answer.
type Issuer struct {
	Name      []byte           // DER of the subject's Name
	SPKI      []byte           // DER of the SubjectPublicKeyInfo
	PublicKey crypto.PublicKey // *rsa.PublicKey or *ecdsa.PublicKey: the key in SPKI
}

var (
	oidSHA1   = asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}
	oidSHA256 = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
)

func hashOf(oid asn1.ObjectIdentifier) crypto.Hash {
	switch {
	case oid.Equal(oidSHA1):
		return crypto.SHA1
	case oid.Equal(oidSHA256):
		return crypto.SHA256
	}
	return 0
}

// certID names a certificate by hashes of its issuer and by its serial (RFC 6960 section 4.1.1).
type certID struct {
	hash            crypto.Hash // 0: an algorithm unknown here
	name, key       []byte
	serial          []byte // content octets of the INTEGER
	params, unusual bool   // the algorithm had parameters NULL; had others
}

// keyBits are the octets of the BIT STRING subjectPublicKey of spki: what key hashes are made of.
func keyBits(spki []byte) ([]byte, bool) {
	in := cryptobyte.String(spki)
	var seq, alg, bits cryptobyte.String
	if !in.ReadASN1(&seq, cbasn1.SEQUENCE) || !in.Empty() || !seq.ReadASN1(&alg, cbasn1.SEQUENCE) ||
		!seq.ReadASN1(&bits, cbasn1.BIT_STRING) || !seq.Empty() || len(bits) < 2 || bits[0] != 0 {
		return nil, false
	}
	return bits[1:], true
}

func digest(h crypto.Hash, b []byte) []byte {
	d := h.New()
	d.Write(b)
	return d.Sum(nil)
}

// matches tells whether id is about serial of issuer, by hashes made again here.
func (id certID) matches(issuer Issuer, bits, serial []byte, hashes []crypto.Hash) bool {
	if !slices.Contains(hashes, id.hash) || !id.hash.Available() {
		return false
	}
	return subtle.ConstantTimeCompare(id.name, digest(id.hash, issuer.Name))&
		subtle.ConstantTimeCompare(id.key, digest(id.hash, bits)) == 1 && bytes.Equal(id.serial, serial)
}

// checkSerial holds the content octets of a serial to RFC 5280: positive, DER, at most 20 octets.
func checkSerial(serial []byte) bool {
	switch {
	case len(serial) == 0 || len(serial) > maxSerial, serial[0]&0x80 != 0:
		return false
	case len(serial) == 1:
		return serial[0] != 0
	}
	return serial[0] != 0 || serial[1]&0x80 != 0
}

func readCertID(in *cryptobyte.String) (certID, bool) {
	var id certID
	var seq, alg, name, key, serial cryptobyte.String
	var oid asn1.ObjectIdentifier
	if !in.ReadASN1(&seq, cbasn1.SEQUENCE) || !seq.ReadASN1(&alg, cbasn1.SEQUENCE) || !alg.ReadASN1ObjectIdentifier(&oid) ||
		!seq.ReadASN1(&name, cbasn1.OCTET_STRING) || !seq.ReadASN1(&key, cbasn1.OCTET_STRING) ||
		!seq.ReadASN1(&serial, cbasn1.INTEGER) || !seq.Empty() {
		return id, false
	}
	if !alg.Empty() {
		var null cryptobyte.String
		id.params = alg.ReadASN1(&null, cbasn1.NULL) && null.Empty() && alg.Empty()
		id.unusual = !id.params
	}
	if len(serial) == 0 || (len(serial) > 1 && ((serial[0] == 0 && serial[1]&0x80 == 0) || (serial[0] == 0xff && serial[1]&0x80 != 0))) {
		return id, false // not the shortest form
	}
	id.hash, id.name, id.key, id.serial = hashOf(oid), name, key, serial
	if id.unusual {
		id.hash = 0
	}
	return id, true
}

func addCertID(b *cryptobyte.Builder, issuer Issuer, bits, serial []byte, h crypto.Hash) {
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			if h == crypto.SHA1 {
				b.AddASN1ObjectIdentifier(oidSHA1)
			} else {
				b.AddASN1ObjectIdentifier(oidSHA256)
			}
			b.AddASN1NULL()
		})
		b.AddASN1OctetString(digest(h, issuer.Name))
		b.AddASN1OctetString(digest(h, bits))
		b.AddASN1(cbasn1.INTEGER, func(b *cryptobyte.Builder) { b.AddBytes(serial) })
	})
}
