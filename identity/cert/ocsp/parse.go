package ocsp

import (
	"bytes"
	"encoding/asn1"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

var oidBasic = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 1}

// response is a BasicOCSPResponse (RFC 6960 section 4.2.1), taken apart and not yet believed.
type response struct {
	tbs       []byte // DER of ResponseData: what is signed
	algorithm []byte // DER of the AlgorithmIdentifier
	signature []byte
	certs     [][]byte // DER

	byName, byKey []byte // responderID: DER of a Name, or the SHA-1 of a key
	producedAt    time.Time
	singles       []single
	exts          *extensions
}

// single is one SingleResponse.
type single struct {
	id         certID
	status     Status
	revokedAt  time.Time
	reason     int // -1: none given
	thisUpdate time.Time
	nextUpdate time.Time // zero: none
	exts       *extensions
}

func tag(n uint8) cbasn1.Tag { return cbasn1.Tag(n).ContextSpecific().Constructed() }

func skipOptional(in *cryptobyte.String, t cbasn1.Tag) bool {
	return in.SkipOptionalASN1(t)
}

// parseResponse reads an OCSPResponse strictly as DER.
func parseResponse(raw []byte, p Policy) (*response, error) {
	if limit := bound(p.MaxSize, hardSize); len(raw) > limit {
		return nil, refuse(CodeTooLarge, "%d octets; the limit is %d", len(raw), limit)
	}
	in := cryptobyte.String(raw)
	var seq cryptobyte.String
	var status int
	if !in.ReadASN1(&seq, cbasn1.SEQUENCE) || !seq.ReadASN1Enum(&status) {
		return nil, refuse(CodeMalformed, "not the DER of an OCSPResponse")
	}
	if !in.Empty() {
		return nil, refuse(CodeMalformed, "%d octets after the end of the answer", len(in))
	}
	if status != 0 {
		if !seq.Empty() {
			return nil, refuse(CodeMalformed, "an error of the responder with an answer beside it")
		}
		if _, known := responseErrors[ResponseError(status)]; !known {
			return nil, refuse(CodeMalformed, "response status %d does not exist", status)
		}
		r := refuse(CodeResponderError, "the responder reports %v", ResponseError(status))
		r.Status = ResponseError(status)
		return nil, r
	}
	var explicit, typed, body cryptobyte.String
	var kind asn1.ObjectIdentifier
	if !seq.ReadASN1(&explicit, tag(0)) || !seq.Empty() || !explicit.ReadASN1(&typed, cbasn1.SEQUENCE) || !explicit.Empty() ||
		!typed.ReadASN1ObjectIdentifier(&kind) || !typed.ReadASN1(&body, cbasn1.OCTET_STRING) || !typed.Empty() {
		return nil, refuse(CodeMalformed, "a success without an answer, or with octets after it")
	}
	if !kind.Equal(oidBasic) {
		return nil, refuse(CodeUnsupported, "response type %v; only id-pkix-ocsp-basic is supported", kind)
	}
	return parseBasic(body, p)
}

func parseBasic(body cryptobyte.String, p Policy) (*response, error) {
	out := &response{}
	var seq, tbs, alg, sig cryptobyte.String
	if !body.ReadASN1(&seq, cbasn1.SEQUENCE) || !body.Empty() || !seq.ReadASN1Element(&tbs, cbasn1.SEQUENCE) ||
		!seq.ReadASN1Element(&alg, cbasn1.SEQUENCE) || !seq.ReadASN1(&sig, cbasn1.BIT_STRING) || len(sig) < 2 || sig[0] != 0 {
		return nil, refuse(CodeMalformed, "not the DER of a BasicOCSPResponse")
	}
	out.tbs, out.algorithm, out.signature = tbs, alg, sig[1:]
	var explicit cryptobyte.String
	var present bool
	if !seq.ReadOptionalASN1(&explicit, &present, tag(0)) || !seq.Empty() {
		return nil, refuse(CodeMalformed, "something after the signature that is no list of certificates")
	}
	if present {
		var list cryptobyte.String
		if !explicit.ReadASN1(&list, cbasn1.SEQUENCE) || !explicit.Empty() {
			return nil, refuse(CodeMalformed, "the list of certificates")
		}
		limit := bound(p.MaxCertificates, hardCerts)
		for !list.Empty() {
			var c cryptobyte.String
			if len(out.certs) >= limit {
				return nil, refuse(CodeTooLarge, "more than %d certificates in the answer", limit)
			}
			if !list.ReadASN1Element(&c, cbasn1.SEQUENCE) {
				return nil, refuse(CodeMalformed, "certificate %d", len(out.certs)+1)
			}
			out.certs = append(out.certs, c)
		}
	}
	return out, out.parseData(tbs, p)
}

func (r *response) parseData(tbs cryptobyte.String, p Policy) error {
	var data, name, key, list cryptobyte.String
	if !tbs.ReadASN1(&data, cbasn1.SEQUENCE) {
		return refuse(CodeMalformed, "ResponseData")
	}
	if data.PeekASN1Tag(tag(0)) {
		return refuse(CodeUnsupported, "a version is given: DER leaves version 1 out, and there is no other")
	}
	switch {
	case data.PeekASN1Tag(tag(1)):
		var element cryptobyte.String
		if !data.ReadASN1(&name, tag(1)) || !name.ReadASN1Element(&element, cbasn1.SEQUENCE) || !name.Empty() {
			return refuse(CodeMalformed, "responderID byName")
		}
		r.byName = element
	default:
		var octets cryptobyte.String
		if !data.ReadASN1(&key, tag(2)) || !key.ReadASN1(&octets, cbasn1.OCTET_STRING) || !key.Empty() || len(octets) != 20 {
			return refuse(CodeMalformed, "responderID")
		}
		r.byKey = octets
	}
	var ok bool
	if r.producedAt, ok = readTime(&data); !ok {
		return refuse(CodeMalformed, "producedAt is not a GeneralizedTime in UTC with seconds")
	}
	if !data.ReadASN1(&list, cbasn1.SEQUENCE) {
		return refuse(CodeMalformed, "the list of answers")
	}
	var err error
	if r.exts, err = readExtensions(&data, 1); err != nil {
		return err
	}
	if !data.Empty() {
		return refuse(CodeMalformed, "something after the end of ResponseData")
	}
	limit := bound(p.MaxAnswers, hardAnswers)
	for !list.Empty() {
		if len(r.singles) >= limit {
			return refuse(CodeTooLarge, "more than %d certificates answered for", limit)
		}
		s, err := readSingle(&list)
		if err != nil {
			return err
		}
		r.singles = append(r.singles, s)
	}
	return nil
}

func readSingle(list *cryptobyte.String) (single, error) {
	s := single{reason: -1}
	var in, inner cryptobyte.String
	var ok, present bool
	if !list.ReadASN1(&in, cbasn1.SEQUENCE) {
		return s, refuse(CodeMalformed, "a SingleResponse")
	}
	if s.id, ok = readCertID(&in); !ok {
		return s, refuse(CodeMalformed, "a CertID")
	}
	primitive := func(n uint8) cbasn1.Tag { return cbasn1.Tag(n).ContextSpecific() }
	switch {
	case in.PeekASN1Tag(primitive(0)):
		ok = in.ReadASN1(&inner, primitive(0)) && inner.Empty()
		s.status = Good
	case in.PeekASN1Tag(primitive(2)):
		ok = in.ReadASN1(&inner, primitive(2)) && inner.Empty()
		s.status = Unknown
	default:
		s.status = Revoked
		if ok = in.ReadASN1(&inner, tag(1)); ok {
			if s.revokedAt, ok = readTime(&inner); ok {
				var reason cryptobyte.String
				if ok = inner.ReadOptionalASN1(&reason, &present, tag(0)) && inner.Empty(); ok && present {
					ok = reason.ReadASN1Enum(&s.reason) && reason.Empty()
				}
			}
		}
	}
	if !ok {
		return s, refuse(CodeMalformed, "a CertStatus")
	}
	if s.thisUpdate, ok = readTime(&in); !ok {
		return s, refuse(CodeMalformed, "thisUpdate is not a GeneralizedTime in UTC with seconds")
	}
	if !in.ReadOptionalASN1(&inner, &present, tag(0)) {
		return s, refuse(CodeMalformed, "nextUpdate")
	}
	if present {
		if s.nextUpdate, ok = readTime(&inner); !ok || !inner.Empty() {
			return s, refuse(CodeMalformed, "nextUpdate is not a GeneralizedTime in UTC with seconds")
		}
	}
	var err error
	if s.exts, err = readExtensions(&in, 1); err != nil {
		return s, err
	}
	if !in.Empty() {
		return s, refuse(CodeMalformed, "something after the end of a SingleResponse")
	}
	return s, nil
}

// readTime reads a GeneralizedTime as RFC 5280 section 4.1.2.5.2 has it: YYYYMMDDHHMMSSZ and nothing else.
func readTime(in *cryptobyte.String) (time.Time, bool) {
	var s cryptobyte.String
	if !in.ReadASN1(&s, cbasn1.GeneralizedTime) || len(s) != 15 {
		return time.Time{}, false
	}
	t, err := time.Parse("20060102150405Z", string(s))
	return t.UTC(), err == nil
}

// extension is one of a list; the OIDs are compared as octets.
type extension struct {
	oid      asn1.ObjectIdentifier
	critical bool
	value    []byte
}

type extensions struct{ list []extension }

// readExtensions reads an optional [n] EXPLICIT Extensions.
func readExtensions(in *cryptobyte.String, n uint8) (*extensions, error) {
	var explicit, list cryptobyte.String
	var present bool
	out := &extensions{}
	if !in.ReadOptionalASN1(&explicit, &present, tag(n)) {
		return nil, refuse(CodeMalformed, "extensions")
	}
	if !present {
		return out, nil
	}
	if !explicit.ReadASN1(&list, cbasn1.SEQUENCE) || !explicit.Empty() || list.Empty() {
		return nil, refuse(CodeMalformed, "extensions, or an empty list of them")
	}
	for !list.Empty() {
		if len(out.list) >= hardExtensions {
			return nil, refuse(CodeTooLarge, "more than %d extensions", hardExtensions)
		}
		var e extension
		var one, value cryptobyte.String
		if !list.ReadASN1(&one, cbasn1.SEQUENCE) || !one.ReadASN1ObjectIdentifier(&e.oid) {
			return nil, refuse(CodeMalformed, "extension %d", len(out.list)+1)
		}
		if one.PeekASN1Tag(cbasn1.BOOLEAN) {
			if !one.ReadASN1Boolean(&e.critical) || !e.critical { // DER leaves the default, false, out
				return nil, refuse(CodeMalformed, "extension %v: critical", e.oid)
			}
		}
		if !one.ReadASN1(&value, cbasn1.OCTET_STRING) || !one.Empty() {
			return nil, refuse(CodeMalformed, "extension %v", e.oid)
		}
		if out.find(e.oid) != nil {
			return nil, refuse(CodeDuplicate, "extension %v twice", e.oid)
		}
		e.value = value
		out.list = append(out.list, e)
	}
	return out, nil
}

func (x *extensions) find(oid asn1.ObjectIdentifier) *extension {
	for i := range x.list {
		if x.list[i].oid.Equal(oid) {
			return &x.list[i]
		}
	}
	return nil
}

// critical tells whether there is a critical extension but for those known.
func (x *extensions) critical(known ...asn1.ObjectIdentifier) bool {
next:
	for _, e := range x.list {
		if !e.critical {
			continue
		}
		for _, k := range known {
			if e.oid.Equal(k) {
				continue next
			}
		}
		return true
	}
	return false
}

// nonce is the nonce's value, nil if there is none.
func (x *extensions) nonce() ([]byte, error) {
	e := x.find(oidNonce)
	if e == nil {
		return nil, nil
	}
	in := cryptobyte.String(e.value)
	var octets cryptobyte.String
	if !in.ReadASN1(&octets, cbasn1.OCTET_STRING) || !in.Empty() || len(octets) == 0 || len(octets) > maxNonce {
		return nil, refuse(CodeNonce, "the nonce is not an OCTET STRING of 1 to %d octets", maxNonce)
	}
	return bytes.Clone(octets), nil
}
