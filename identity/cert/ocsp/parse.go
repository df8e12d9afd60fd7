package ocsp

import (
	"bytes"
	"time"

	"github.com/musubi-hub/musubi/identity/cert/der"
	"github.com/musubi-hub/musubi/identity/cert/pkix"
)

// response is a BasicOCSPResponse (RFC 6960 section 4.2.1), taken apart and not yet believed.
type response struct {
	tbs       []byte // DER of ResponseData: what is signed
	algorithm pkix.Algorithm
	signature []byte
	certs     [][]byte // DER

	byName     *pkix.Name // responderID: a name, or
	byKey      []byte     // the SHA-1 of a key
	producedAt time.Time
	singles    []single
	exts       extensions
}

// single is one SingleResponse.
type single struct {
	id         CertID
	status     Status
	revocation pkix.Revocation
	thisUpdate time.Time
	nextUpdate time.Time // zero: none
	exts       extensions
}

func malformed(what string, err error) *Refusal { return refuse(CodeMalformed, "%s: %v", what, err) }

// parseResponse reads an OCSPResponse strictly as DER.
func parseResponse(raw []byte, p Policy) (*response, error) {
	if limit := bound(p.MaxSize, hardSize); len(raw) > limit {
		return nil, refuse(CodeTooLarge, "%d octets; the limit is %d", len(raw), limit)
	}
	seq, err := der.Whole(raw, der.Sequence)
	if err != nil {
		return nil, malformed("OCSPResponse", err)
	}
	code, err := seq.Read(der.Enumerated)
	if err != nil {
		return nil, malformed("responseStatus", err)
	}
	status, err := der.ParseSmall(code, 255)
	if err != nil {
		return nil, malformed("responseStatus", err)
	}
	if status != 0 {
		if err := seq.End(); err != nil {
			return nil, refuse(CodeMalformed, "an error of the responder with an answer beside it")
		}
		if _, known := responseErrors[ResponseError(status)]; !known {
			return nil, refuse(CodeMalformed, "response status %d does not exist", status)
		}
		r := refuse(CodeResponderError, "the responder reports %v", ResponseError(status))
		r.Status = ResponseError(status)
		return nil, r
	}
	explicit, err := seq.Enter(der.Constructed(0))
	if err != nil {
		return nil, malformed("responseBytes of a success", err)
	}
	typed, err := explicit.Enter(der.Sequence)
	if err != nil {
		return nil, malformed("responseBytes", err)
	}
	kind, err := typed.ObjectID()
	if err != nil {
		return nil, malformed("responseType", err)
	}
	body, err := typed.Read(der.OctetString)
	if err != nil {
		return nil, malformed("response", err)
	}
	for _, r := range []*der.Reader{&typed, &explicit, &seq} {
		if err := r.End(); err != nil {
			return nil, malformed("OCSPResponse", err)
		}
	}
	if pkix.OID(kind) != pkix.OIDOCSPBasic {
		return nil, refuse(CodeUnsupported, "response type %v; only id-pkix-ocsp-basic is supported", pkix.OID(kind))
	}
	return parseBasic(body, p)
}

func parseBasic(body []byte, p Policy) (*response, error) {
	if err := der.Check(body, maxDepth); err != nil {
		return nil, malformed("BasicOCSPResponse", err)
	}
	seq, err := der.Whole(body, der.Sequence)
	if err != nil {
		return nil, malformed("BasicOCSPResponse", err)
	}
	out := &response{}
	data, whole, err := seq.ReadWhole(der.Sequence)
	if err != nil {
		return nil, malformed("tbsResponseData", err)
	}
	out.tbs = whole
	if out.algorithm, err = pkix.ReadAlgorithm(&seq); err != nil {
		return nil, malformed("signatureAlgorithm", err)
	}
	if out.signature, err = seq.Octets(); err != nil {
		return nil, malformed("signature", err)
	}
	content, present, err := seq.Optional(der.Constructed(0))
	if err != nil {
		return nil, malformed("certs", err)
	}
	if err := seq.End(); err != nil {
		return nil, malformed("BasicOCSPResponse", err)
	}
	if present {
		if err := out.readCerts(content, bound(p.MaxCertificates, hardCerts)); err != nil {
			return nil, err
		}
	}
	if err := out.readData(der.NewReader(data), bound(p.MaxAnswers, hardAnswers)); err != nil {
		return nil, err
	}
	return out, nil
}

func (r *response) readCerts(content []byte, limit int) error {
	list, err := der.Whole(content, der.Sequence)
	if err != nil {
		return malformed("certs", err)
	}
	for !list.Empty() {
		if len(r.certs) >= limit {
			return refuse(CodeTooLarge, "more than %d certificates in the answer", limit)
		}
		_, whole, err := list.ReadWhole(der.Sequence)
		if err != nil {
			return malformed("certs", err)
		}
		r.certs = append(r.certs, whole)
	}
	return nil
}

func (r *response) readData(data der.Reader, limit int) error {
	if data.Peek(der.Constructed(0)) {
		return refuse(CodeUnsupported, "a version is given: DER leaves version 1 out, and there is no other")
	}
	if err := r.readResponderID(&data); err != nil {
		return malformed("responderID", err)
	}
	var err error
	if r.producedAt, err = data.Generalized(); err != nil {
		return malformed("producedAt", err)
	}
	list, err := data.Enter(der.Sequence)
	if err != nil {
		return malformed("responses", err)
	}
	if r.exts, err = readExtensions(&data, 1); err != nil {
		return err
	}
	if err := data.End(); err != nil {
		return malformed("tbsResponseData", err)
	}
	for !list.Empty() {
		if len(r.singles) >= limit {
			return refuse(CodeTooLarge, "more than %d certificates answered for", limit)
		}
		one, err := list.Enter(der.Sequence)
		if err != nil {
			return malformed("responses", err)
		}
		var s single
		if err := s.read(one); err != nil {
			return err
		}
		r.singles = append(r.singles, s)
	}
	return nil
}

func (r *response) readResponderID(data *der.Reader) error {
	if data.Peek(der.Constructed(1)) {
		content, err := data.Read(der.Constructed(1))
		if err != nil {
			return err
		}
		name, err := pkix.ParseName(content)
		r.byName = &name
		return err
	}
	in, err := data.Enter(der.Constructed(2))
	if err != nil {
		return err
	}
	if r.byKey, err = in.Read(der.OctetString); err != nil {
		return err
	}
	if len(r.byKey) != 20 {
		return der.ErrLength
	}
	return in.End()
}

func (s *single) read(in der.Reader) error {
	var err error
	if s.id, err = readCertID(&in); err != nil {
		return malformed("certID", err)
	}
	if err := s.readStatus(&in); err != nil {
		return malformed("certStatus", err)
	}
	if s.thisUpdate, err = in.Generalized(); err != nil {
		return malformed("thisUpdate", err)
	}
	content, present, err := in.Optional(der.Constructed(0))
	if err == nil && present {
		next := der.NewReader(content)
		if s.nextUpdate, err = next.Generalized(); err == nil {
			err = next.End()
		}
	}
	if err != nil {
		return malformed("nextUpdate", err)
	}
	if s.exts, err = readExtensions(&in, 1); err != nil {
		return err
	}
	if err := in.End(); err != nil {
		return malformed("SingleResponse", err)
	}
	return nil
}

func (s *single) readStatus(in *der.Reader) error {
	for _, plain := range []struct {
		tag    byte
		status Status
	}{{der.Context(0), Good}, {der.Context(2), Unknown}} {
		content, present, err := in.Optional(plain.tag)
		if err == nil && present && len(content) != 0 {
			err = der.ErrLength
		}
		if err != nil || present {
			s.status = plain.status
			return err
		}
	}
	info, err := in.Enter(der.Constructed(1))
	if err != nil {
		return err
	}
	s.status = Revoked
	if s.revocation.At, err = info.Generalized(); err != nil {
		return err
	}
	content, present, err := info.Optional(der.Constructed(0))
	if err != nil {
		return err
	}
	if present {
		explicit := der.NewReader(content)
		code, err := explicit.Read(der.Enumerated)
		if err != nil {
			return err
		}
		n, err := der.ParseSmall(code, 255)
		if err != nil {
			return err
		}
		s.revocation.Reason = pkix.Reason(n)
		if err := explicit.End(); err != nil {
			return err
		}
	}
	return info.End()
}

type extensions []pkix.Extension

// readExtensions reads an optional [n] EXPLICIT Extensions; none may stand twice.
func readExtensions(in *der.Reader, n byte) (extensions, error) {
	content, present, err := in.Optional(der.Constructed(n))
	if err != nil {
		return nil, malformed("extensions", err)
	}
	if !present {
		return nil, nil
	}
	explicit := der.NewReader(content)
	list, err := pkix.ReadExtensions(&explicit, hardExtensions)
	if err == nil {
		err = explicit.End()
	}
	if err != nil {
		return nil, malformed("extensions", err)
	}
	return list, nil
}

// critical tells whether there is a critical extension but for those known.
func (x extensions) critical(known ...pkix.OID) bool {
next:
	for _, e := range x {
		for _, k := range known {
			if e.ID == k {
				continue next
			}
		}
		if e.Critical {
			return true
		}
	}
	return false
}

// nonce is the nonce's value, nil if there is none.
func (x extensions) nonce() ([]byte, error) {
	for _, e := range x {
		if e.ID != pkix.OIDOCSPNonce {
			continue
		}
		in := der.NewReader(e.Value)
		octets, err := in.Read(der.OctetString)
		if err != nil || !in.Empty() || len(octets) == 0 || len(octets) > maxNonce {
			return nil, refuse(CodeNonce, "the nonce is not an OCTET STRING of 1 to %d octets", maxNonce)
		}
		return bytes.Clone(octets), nil
	}
	return nil, nil
}
