package ocsp

import (
	"bytes"
	"crypto"
	_ "crypto/sha1" //nolint:gosec // G505: RFC 6960 and RFC 5019 name the issuer by SHA-1; nothing is signed with it
	"crypto/subtle"
	"slices"

	"github.com/musubi-hub/musubi/identity/cert/der"
	"github.com/musubi-hub/musubi/identity/cert/pkix"
)

// Issuer is the CA that issued the certificate in question, as the path validation has found it: never taken from the answer.
type Issuer struct {
	Name pkix.Name
	Key  *pkix.PublicKey
}

func (i Issuer) valid() bool { return !i.Name.IsEmpty() && i.Key != nil && i.Key.Raw != nil }

// CertID names a certificate by hashes of its issuer and by its serial (RFC 6960 section 4.1.1).
type CertID struct {
	Hash              crypto.Hash // 0: an algorithm unknown here
	NameHash, KeyHash []byte
	Serial            []byte // content octets of the INTEGER
}

func hashOf(alg pkix.Algorithm) crypto.Hash {
	if alg.Params != nil && !bytes.Equal(alg.Params, der.Wrap(der.Null)) {
		return 0
	}
	switch alg.ID {
	case pkix.OIDSHA1:
		return crypto.SHA1
	case pkix.OIDSHA256:
		return crypto.SHA256
	}
	return 0
}

// About tells whether id is about a certificate of issuer with that serial, by hashes made again here.
func (id CertID) About(issuer Issuer, serial []byte) bool {
	if id.Hash == 0 || !issuer.valid() {
		return false
	}
	return subtle.ConstantTimeCompare(id.NameHash, pkix.Digest(id.Hash, issuer.Name.Raw))&
		subtle.ConstantTimeCompare(id.KeyHash, pkix.Digest(id.Hash, issuer.Key.Bits)) == 1 && bytes.Equal(id.Serial, serial)
}

func (id CertID) matches(q Question, hashes []crypto.Hash) bool {
	return slices.Contains(hashes, id.Hash) && id.About(q.Issuer, q.Serial)
}

// checkSerial holds the content octets of a serial to RFC 5280: positive, DER, at most 20 octets.
func checkSerial(serial []byte) bool {
	return len(serial) <= maxSerial && der.CheckInteger(serial) == nil && serial[0]&0x80 == 0 && !bytes.Equal(serial, []byte{0})
}

func readCertID(in *der.Reader) (CertID, error) {
	var id CertID
	seq, err := in.Enter(der.Sequence)
	if err != nil {
		return id, err
	}
	alg, err := pkix.ReadAlgorithm(&seq)
	if err != nil {
		return id, err
	}
	id.Hash = hashOf(alg)
	if id.NameHash, err = seq.Read(der.OctetString); err != nil {
		return id, err
	}
	if id.KeyHash, err = seq.Read(der.OctetString); err != nil {
		return id, err
	}
	if id.Serial, err = seq.Integer(); err != nil {
		return id, err
	}
	return id, seq.End()
}

func certIDOf(issuer Issuer, serial []byte, h crypto.Hash) []byte {
	alg := pkix.OIDSHA1
	if h == crypto.SHA256 {
		alg = pkix.OIDSHA256
	}
	return der.Wrap(der.Sequence,
		der.Wrap(der.Sequence, der.Wrap(der.OID, []byte(alg)), der.Wrap(der.Null)),
		der.Wrap(der.OctetString, pkix.Digest(h, issuer.Name.Raw)),
		der.Wrap(der.OctetString, pkix.Digest(h, issuer.Key.Bits)),
		der.Wrap(der.Integer, serial))
}
