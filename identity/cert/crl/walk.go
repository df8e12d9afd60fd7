package crl

import (
	"bytes"
	"errors"
	"math"

	"github.com/musubi-hub/musubi/identity/cert/der"
	"github.com/musubi-hub/musubi/identity/cert/pkix"
)

// maxSignature bounds the element that holds the signature: 8192 bits of RSA and some.
const maxSignature = 2048

// maxDepth bounds nesting: extensions that hold distribution points with names need 10 levels.
const maxDepth = 16

// walker reads one list from its first octet to its last. Both readings of a list are this one; they differ in what they do with entries.
type walker struct {
	t      *tape
	limits Limits
	rules  Rules
	info   pkix.ListInfo
	v2     bool
	exts   []byte // crlExtensions, whole
	from   int64  // where the signed part begins and ends
	to     int64
	// started is called when the algorithm of the signature is known.
	started func() error
	// entries reads the content of revokedCertificates, which ends there. Of info the issuer and the times are known.
	entries func(end int64) error
}

func (w *walker) walk() (signature []byte, digest []byte, err error) {
	length, err := w.t.header(der.Sequence, math.MaxInt64)
	if err != nil {
		return nil, nil, err
	}
	end := w.t.offset() + length
	if end > w.limits.Octets {
		return nil, nil, refuse(CodeLimit, "the list is longer than may be")
	}
	w.from = w.t.offset()
	length, err = w.t.header(der.Sequence, end)
	if err != nil {
		return nil, nil, err
	}
	w.to = w.t.offset() + length
	if err := w.head(w.to); err != nil {
		return nil, nil, err
	}
	if err := w.list(w.to); err != nil {
		return nil, nil, err
	}
	outer, err := w.t.element(end, w.limits.Head)
	if err != nil {
		return nil, nil, err
	}
	if !bytes.Equal(outer, w.info.Algorithm.Raw) {
		return nil, nil, refuse(CodeAlgorithm, "inside and outside of what is signed")
	}
	last, err := w.t.element(end, maxSignature)
	if err != nil {
		return nil, nil, err
	}
	r := der.NewReader(last)
	signature, err = r.Octets()
	if err != nil {
		return nil, nil, wrong("signature", err)
	}
	signature = bytes.Clone(signature)
	if w.t.offset() != end {
		return nil, nil, &Error{Code: CodeTrailing, Offset: w.t.offset(), Detail: "after the signature", Err: der.ErrTrailing}
	}
	whole, digest, err := w.t.end()
	if err != nil {
		return nil, nil, err
	}
	copy(w.info.SHA256[:], whole)
	return signature, digest, nil
}

// small gives a copy of the next element, so that it outlives the stream.
func (w *walker) small(end int64) (der.Reader, error) {
	at := w.t.offset()
	b, err := w.t.element(end, w.limits.Head)
	if err != nil {
		return der.Reader{}, err
	}
	b = bytes.Clone(b)
	if err := der.Check(b, maxDepth); err != nil {
		return der.Reader{}, &Error{Code: CodeEncoding, Offset: at, Err: err}
	}
	return der.NewReader(b), nil
}

// next is the identifier of the next element, and 0 at the end of the one around it.
func (w *walker) next(end int64) (byte, error) {
	if w.t.offset() >= end {
		return 0, nil
	}
	tag, _, _, err := w.t.peek(end)
	return tag, err
}

// head reads what stands before the entries: version, algorithm, issuer, times.
func (w *walker) head(end int64) error {
	tag, err := w.next(end)
	if err != nil {
		return err
	}
	if tag == der.Integer {
		r, err := w.small(end)
		if err != nil {
			return err
		}
		if version, err := r.Small(math.MaxInt32); err != nil || version != 1 {
			return refuse(CodeVersion, "a version that is written is v2 (1)")
		}
		w.v2 = true
	} else if !w.rules.Version1 {
		return refuse(CodeVersion, "only v2 has a number and a key identifier")
	}
	r, err := w.small(end)
	if err != nil {
		return err
	}
	if w.info.Algorithm, err = pkix.ReadAlgorithm(&r); err != nil {
		return &Error{Code: CodeAlgorithm, Offset: -1, Err: err}
	}
	if err := w.started(); err != nil {
		return err
	}
	if r, err = w.small(end); err != nil {
		return err
	}
	if w.info.Issuer, err = pkix.ReadName(&r); err != nil {
		return &Error{Code: CodeIssuer, Offset: -1, Err: err}
	}
	if w.info.Issuer.IsEmpty() {
		return refuse(CodeIssuer, "an empty name")
	}
	if r, err = w.small(end); err != nil {
		return err
	}
	if w.info.ThisUpdate, err = readTime(&r); err != nil {
		return wrong("thisUpdate", err)
	}
	if tag, err = w.next(end); err != nil {
		return err
	}
	if tag != der.UTCTime && tag != der.GeneralizedTime {
		return refuse(CodeNextUpdate, "missing")
	}
	if r, err = w.small(end); err != nil {
		return err
	}
	if w.info.NextUpdate, err = readTime(&r); err != nil {
		return wrong("nextUpdate", err)
	}
	if !w.info.NextUpdate.After(w.info.ThisUpdate) {
		return refuse(CodeNextUpdate, "not after thisUpdate")
	}
	return nil
}

// list reads the entries and the extensions.
func (w *walker) list(end int64) error {
	tag, err := w.next(end)
	if err != nil {
		return err
	}
	if tag == der.Sequence {
		length, err := w.t.header(der.Sequence, end)
		if err != nil {
			return err
		}
		if length == 0 {
			return refuse(CodeEmptyList, "a list without entries leaves revokedCertificates out")
		}
		if err := w.entries(w.t.offset() + length); err != nil {
			return err
		}
		if tag, err = w.next(end); err != nil {
			return err
		}
	}
	if tag == der.Constructed(0) {
		if !w.v2 {
			return refuse(CodeVersion, "extensions in a v1 list")
		}
		r, err := w.small(end)
		if err != nil {
			return err
		}
		if w.exts, err = w.readExtensions(&r); err != nil {
			return err
		}
		if tag, err = w.next(end); err != nil {
			return err
		}
	}
	if tag != 0 || w.t.offset() != end {
		return &Error{Code: CodeTrailing, Offset: w.t.offset(), Detail: "after the list's extensions", Err: der.ErrTrailing}
	}
	if w.info.Number == nil && (!w.rules.Unnumbered && w.v2 || w.info.BaseNumber != nil) {
		return refuse(CodeNumber, "missing")
	}
	if w.info.BaseNumber != nil && w.info.Freshest != nil {
		return refuse(CodeExtension, "freshestCRL in a delta")
	}
	if w.info.BaseNumber != nil && CompareNumbers(w.info.Number, w.info.BaseNumber) < 0 {
		return refuse(CodeNumber, "a delta's number is below that of its base")
	}
	return nil
}

// each reads entries one by one, slowly and thoroughly.
func (w *walker) each(end int64, visit func(Entry) error) error {
	for w.t.offset() < end {
		at := w.t.offset()
		if err := w.one(end, visit); err != nil {
			return located(err, at)
		}
	}
	return nil
}

func (w *walker) one(end int64, visit func(Entry) error) error {
	b, err := w.t.element(end, w.limits.Entry)
	if err != nil {
		return err
	}
	r, err := der.Whole(b, der.Sequence)
	if err != nil {
		return wrong("entry", err)
	}
	e, err := readEntry(r.Rest(), w.rules, w.v2)
	if err != nil {
		return err
	}
	return visit(e)
}

// readExtensions reads crlExtensions (RFC 5280, 5.2) with the tag around them, and returns them whole.
func (w *walker) readExtensions(r *der.Reader) ([]byte, error) {
	content, whole, err := r.ReadWhole(der.Constructed(0))
	if err != nil {
		return nil, extension("extensions", err)
	}
	inner := der.NewReader(content)
	if err := eachExtension(&inner, w.readExtension); err != nil {
		return nil, err
	}
	if err := inner.End(); err != nil {
		return nil, wrong("extensions", err)
	}
	return whole, nil
}

func (w *walker) readExtension(x pkix.Extension) error {
	var err error
	switch x.ID {
	case pkix.OIDCRLNumber:
		w.info.Number, err = readNumber("CRL number", x.Value)
	case pkix.OIDAuthorityKeyID:
		w.info.Authority, err = pkix.ParseAuthorityKeyID(x.Value)
		err = extension("authorityKeyIdentifier", err)
	case pkix.OIDIssuingDistPoint:
		err = w.scope(x.Critical, x.Value)
	case pkix.OIDDeltaCRLIndicator:
		if !x.Critical {
			return refuse(CodeExtension, "deltaCRLIndicator isn't critical")
		}
		w.info.BaseNumber, err = readNumber("base CRL number", x.Value)
	case pkix.OIDFreshestCRL:
		if x.Critical {
			return refuse(CodeExtension, "freshestCRL is critical")
		}
		w.info.Freshest, err = pkix.ParseDistributionPoints(x.Value)
		err = extension("freshestCRL", err)
	default:
		if x.Critical {
			err = refuse(CodeCritical, "of the list: "+x.ID.String())
		}
	}
	return err
}

// scope reads the issuing distribution point (RFC 5280, 5.2.5), which is critical and says something.
func (w *walker) scope(critical bool, value []byte) error {
	s, err := pkix.ParseIssuingDistributionPoint(value)
	if err != nil {
		code := CodeExtension
		if errors.Is(err, pkix.ErrMalformed) {
			code = CodeScope
		}
		return &Error{Code: code, Offset: -1, Detail: "issuingDistributionPoint", Err: err}
	}
	switch {
	case !critical:
		return refuse(CodeExtension, "issuingDistributionPoint isn't critical")
	case s.FullName == nil && s.RelativeName == nil && !s.OnlyUser && !s.OnlyCA && !s.OnlyAttribute && !s.HasSomeReasons && !s.Indirect:
		return refuse(CodeScope, "issuingDistributionPoint is empty")
	case s.HasSomeReasons && s.SomeReasons&pkix.AllReasons == 0:
		return refuse(CodeScope, "onlySomeReasons without a reason")
	}
	w.info.Scope = s
	return nil
}

// readNumber reads a CRLNumber (RFC 5280, 5.2.3): not negative, at most 20 octets.
func readNumber(name string, value []byte) ([]byte, error) {
	r := der.NewReader(value)
	n, err := r.Integer()
	if err == nil {
		err = r.End()
	}
	if err != nil {
		return nil, extension(name, err)
	}
	if n[0] >= 0x80 || len(n) > maxSerial {
		return nil, refuse(CodeNumber, name+": negative, or longer than 20 octets")
	}
	return n, nil
}

// CompareNumbers orders two CRL numbers: -1, 0 or 1. None is below every other.
func CompareNumbers(a, b []byte) int {
	a, b = magnitude(a), magnitude(b)
	if len(a) != len(b) {
		if len(a) < len(b) {
			return -1
		}
		return 1
	}
	return bytes.Compare(a, b)
}

// magnitude drops the octet that keeps an INTEGER from being negative. Of zero it leaves that octet, so that zero is above none.
func magnitude(n []byte) []byte {
	if len(n) > 1 && n[0] == 0 {
		return n[1:]
	}
	return n
}
