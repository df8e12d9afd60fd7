package ocsp

import (
	"crypto"
	"encoding/asn1"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

var oidNonce = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 2}

// NewRequest is the DER of an unsigned OCSPRequest about one certificate (RFC 6960 section 4.1). serial are the content octets of
// its serialNumber; hash is crypto.SHA1 or crypto.SHA256; nonce is 1 to 128 octets (RFC 9654: 32 are recommended), or nil for none.
func NewRequest(issuer Issuer, serial []byte, hash crypto.Hash, nonce []byte) ([]byte, error) {
	bits, ok := keyBits(issuer.SPKI)
	switch {
	case !ok:
		return nil, refuse(CodeQuestion, "the issuer's SubjectPublicKeyInfo is not DER")
	case !checkSerial(serial):
		return nil, refuse(CodeQuestion, "the serial is not a positive INTEGER of at most %d octets", maxSerial)
	case hash != crypto.SHA1 && hash != crypto.SHA256:
		return nil, refuse(CodeQuestion, "hash algorithm %v: SHA-1 and SHA-256 are supported", hash)
	case nonce != nil && (len(nonce) == 0 || len(nonce) > maxNonce):
		return nil, refuse(CodeQuestion, "a nonce has 1 to %d octets, not %d", maxNonce, len(nonce))
	}
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { // OCSPRequest
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { // TBSRequest
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { // requestList
				b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { addCertID(b, issuer, bits, serial, hash) })
			})
			if nonce != nil {
				b.AddASN1(tag(2), func(b *cryptobyte.Builder) { addExtensions(b, nonce) })
			}
		})
	})
	return b.Bytes()
}

func addExtensions(b *cryptobyte.Builder, nonce []byte) {
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(oidNonce)
			b.AddASN1(cbasn1.OCTET_STRING, func(b *cryptobyte.Builder) { b.AddASN1OctetString(nonce) })
		})
	})
}

// Asked is one certificate that a request asks about.
type Asked struct {
	Hash              crypto.Hash // 0: an algorithm that is unknown here
	NameHash, KeyHash []byte
	Serial            []byte // content octets
}

// Request is what a responder reads of a request; a signature of the requestor is not looked at.
type Request struct {
	Asked []Asked
	Nonce []byte // nil: none
}

// ParseRequest reads an OCSPRequest strictly as DER, for responders and for looking at what was sent.
func ParseRequest(raw []byte) (*Request, error) {
	if len(raw) > hardSize {
		return nil, refuse(CodeTooLarge, "%d octets; the limit is %d", len(raw), hardSize)
	}
	in := cryptobyte.String(raw)
	var seq, tbs, list cryptobyte.String
	var exts *extensions
	if !in.ReadASN1(&seq, cbasn1.SEQUENCE) || !in.Empty() || !seq.ReadASN1(&tbs, cbasn1.SEQUENCE) {
		return nil, refuse(CodeMalformed, "not the DER of an OCSPRequest")
	}
	if !skipOptional(&seq, tag(0)) || !seq.Empty() || tbs.PeekASN1Tag(tag(0)) { // an explicit version 1 is not DER, and there is no other
		return nil, refuse(CodeMalformed, "not the DER of an OCSPRequest of version 1")
	}
	if !skipOptional(&tbs, tag(1)) || !tbs.ReadASN1(&list, cbasn1.SEQUENCE) {
		return nil, refuse(CodeMalformed, "no list of requests")
	}
	exts, err := readExtensions(&tbs, 2)
	if err != nil {
		return nil, err
	}
	if !tbs.Empty() {
		return nil, refuse(CodeMalformed, "something after the end of the request")
	}
	if exts.critical(oidNonce) {
		return nil, refuse(CodeCritical, "the request has a critical extension that is not understood")
	}
	out := &Request{}
	if out.Nonce, err = exts.nonce(); err != nil {
		return nil, err
	}
	for !list.Empty() {
		var one cryptobyte.String
		if len(out.Asked) >= hardAnswers {
			return nil, refuse(CodeTooLarge, "more than %d certificates asked about", hardAnswers)
		}
		if !list.ReadASN1(&one, cbasn1.SEQUENCE) {
			return nil, refuse(CodeMalformed, "entry %d of the list of requests", len(out.Asked)+1)
		}
		id, ok := readCertID(&one)
		if !ok {
			return nil, refuse(CodeMalformed, "CertID %d", len(out.Asked)+1)
		}
		single, err := readExtensions(&one, 0)
		if err != nil {
			return nil, err
		}
		if !one.Empty() || single.critical() {
			return nil, refuse(CodeMalformed, "entry %d has more than is understood", len(out.Asked)+1)
		}
		out.Asked = append(out.Asked, Asked{Hash: id.hash, NameHash: id.name, KeyHash: id.key, Serial: id.serial})
	}
	if len(out.Asked) == 0 {
		return nil, refuse(CodeMalformed, "nothing is asked")
	}
	return out, nil
}

// Matches tells whether a is about a certificate of issuer.
func (a Asked) Matches(issuer Issuer) bool {
	bits, ok := keyBits(issuer.SPKI)
	return ok && a.Hash != 0 && certID{hash: a.Hash, name: a.NameHash, key: a.KeyHash, serial: a.Serial}.matches(issuer, bits, a.Serial, []crypto.Hash{a.Hash})
}
