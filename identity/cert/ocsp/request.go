package ocsp

import (
	"crypto"

	"github.com/musubi-hub/musubi/identity/cert/der"
	"github.com/musubi-hub/musubi/identity/cert/pkix"
)

// NewRequest is the DER of an unsigned OCSPRequest about one certificate (RFC 6960 section 4.1). serial are the content octets of
// its serialNumber; hash is crypto.SHA1 or crypto.SHA256; nonce is 1 to 128 octets (RFC 9654: 32 are recommended), or nil for none.
func NewRequest(issuer Issuer, serial []byte, hash crypto.Hash, nonce []byte) ([]byte, error) {
	switch {
	case !issuer.valid():
		return nil, refuse(CodeQuestion, "the issuer's name or key is missing")
	case !checkSerial(serial):
		return nil, refuse(CodeQuestion, "the serial is not a positive INTEGER of at most %d octets", maxSerial)
	case hash != crypto.SHA1 && hash != crypto.SHA256:
		return nil, refuse(CodeQuestion, "hash algorithm %v: SHA-1 and SHA-256 are supported", hash)
	case nonce != nil && (len(nonce) == 0 || len(nonce) > maxNonce):
		return nil, refuse(CodeQuestion, "a nonce has 1 to %d octets, not %d", maxNonce, len(nonce))
	}
	list := der.Wrap(der.Sequence, der.Wrap(der.Sequence, certIDOf(issuer, serial, hash)))
	var exts []byte
	if nonce != nil {
		exts = der.Wrap(der.Constructed(2), der.Wrap(der.Sequence, der.Wrap(der.Sequence,
			der.Wrap(der.OID, []byte(pkix.OIDOCSPNonce)), der.Wrap(der.OctetString, der.Wrap(der.OctetString, nonce)))))
	}
	return der.Wrap(der.Sequence, der.Wrap(der.Sequence, list, exts)), nil
}

// Request is what a responder reads of a request. The requestor's signature, if there is one, is not looked at.
type Request struct {
	Asked []CertID
	Nonce []byte // nil: none
}

// ParseRequest reads an OCSPRequest strictly as DER, for responders and for looking at what was sent.
func ParseRequest(raw []byte) (*Request, error) {
	if len(raw) > hardSize {
		return nil, refuse(CodeTooLarge, "%d octets; the limit is %d", len(raw), hardSize)
	}
	if err := der.Check(raw, maxDepth); err != nil {
		return nil, malformed("OCSPRequest", err)
	}
	seq, err := der.Whole(raw, der.Sequence)
	if err != nil {
		return nil, malformed("OCSPRequest", err)
	}
	tbs, err := seq.Enter(der.Sequence)
	if err != nil {
		return nil, malformed("tbsRequest", err)
	}
	if _, _, err := seq.Optional(der.Constructed(0)); err != nil {
		return nil, malformed("optionalSignature", err)
	}
	if err := seq.End(); err != nil {
		return nil, malformed("OCSPRequest", err)
	}
	if tbs.Peek(der.Constructed(0)) {
		return nil, refuse(CodeUnsupported, "a version is given: DER leaves version 1 out, and there is no other")
	}
	if _, _, err := tbs.Optional(der.Constructed(1)); err != nil {
		return nil, malformed("requestorName", err)
	}
	list, err := tbs.Enter(der.Sequence)
	if err != nil {
		return nil, malformed("requestList", err)
	}
	exts, err := readExtensions(&tbs, 2)
	if err != nil {
		return nil, err
	}
	if err := tbs.End(); err != nil {
		return nil, malformed("tbsRequest", err)
	}
	if exts.critical(pkix.OIDOCSPNonce) {
		return nil, refuse(CodeCritical, "the request has a critical extension that is not understood")
	}
	out := &Request{}
	if out.Nonce, err = exts.nonce(); err != nil {
		return nil, err
	}
	return out, out.readList(list)
}

func (q *Request) readList(list der.Reader) error {
	for !list.Empty() {
		if len(q.Asked) >= hardAnswers {
			return refuse(CodeTooLarge, "more than %d certificates asked about", hardAnswers)
		}
		one, err := list.Enter(der.Sequence)
		if err != nil {
			return malformed("request", err)
		}
		id, err := readCertID(&one)
		if err != nil {
			return malformed("reqCert", err)
		}
		exts, err := readExtensions(&one, 0)
		if err != nil {
			return err
		}
		if err := one.End(); err != nil {
			return malformed("request", err)
		}
		if exts.critical() {
			return refuse(CodeCritical, "an entry has a critical extension that is not understood")
		}
		q.Asked = append(q.Asked, id)
	}
	if len(q.Asked) == 0 {
		return refuse(CodeMalformed, "nothing is asked")
	}
	return nil
}
