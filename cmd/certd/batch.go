package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/identity/cert"
	"github.com/musubi-hub/musubi/identity/cert/pkix"
)

// codeBadInput is the one code that isn't of package cert: the line can't be read, so nothing was decided.
const codeBadInput cert.Code = "bad-input"

// query is one line of input.
type query struct {
	ID                    json.RawMessage `json:"id"`
	Time                  string          `json:"time"`
	Profile               string          `json:"profile"`
	Anchors               []string        `json:"anchors"`
	Intermediates         []string        `json:"intermediates"`
	Leaf                  string          `json:"leaf"`
	CRLs                  []string        `json:"crls"`
	OCSP                  []string        `json:"ocsp"`
	Policies              []string        `json:"policies"`
	RequireExplicitPolicy bool            `json:"require_explicit_policy"`
	InhibitPolicyMapping  bool            `json:"inhibit_policy_mapping"`
	InhibitAnyPolicy      bool            `json:"inhibit_any_policy"`
	Revocation            string          `json:"revocation"`
	KU                    []string        `json:"ku"`
	EKU                   []string        `json:"eku"`
	DNSName               string          `json:"dns_name"`
}

// result is one line of output.
type result struct {
	ID       json.RawMessage `json:"id"`
	Valid    bool            `json:"valid"`
	Code     cert.Code       `json:"code"`
	Reason   string          `json:"reason"`
	Evidence *cert.Evidence  `json:"evidence"`
}

// maxLine bounds one line: a list of a million entries in base64 fits.
const maxLine = 64 << 20

// batch makes decisions line by line.
type batch struct {
	profiles map[string]*cert.Profile
	archive  *archive // nil: lists aren't kept
	warn     io.Writer
	warned   map[string]bool

	// What was parsed last, since lines of one suite often share it.
	anchorsKey [32]byte
	anchors    *cert.Anchors
}

// counts are what a batch came to.
type counts struct{ valid, invalid, bad int }

// do reads lines until the end and writes one for each that isn't empty.
func (b *batch) do(ctx context.Context, in io.Reader, out io.Writer) (counts, error) {
	var n counts
	lines := bufio.NewReaderSize(in, 1<<16)
	w := bufio.NewWriter(out)
	for number := 1; ; number++ {
		if err := ctx.Err(); err != nil {
			return n, errors.Join(err, w.Flush())
		}
		line, tooLong, err := readLine(lines)
		if err != nil && !errors.Is(err, io.EOF) {
			return n, errors.Join(fmt.Errorf("line %d: %w", number, err), w.Flush())
		}
		last := err != nil
		if len(bytes.TrimSpace(line)) > 0 || tooLong {
			r, fatal := b.line(line, tooLong, number)
			if fatal != nil {
				return n, errors.Join(fatal, w.Flush())
			}
			n.count(r)
			if err := writeLine(w, r); err != nil {
				return n, err
			}
			if lines.Buffered() == 0 {
				if err := w.Flush(); err != nil {
					return n, err
				}
			}
		}
		if last {
			return n, w.Flush()
		}
	}
}

func (n *counts) count(r result) {
	switch {
	case r.Code == codeBadInput:
		n.bad++
	case r.Valid:
		n.valid++
	default:
		n.invalid++
	}
}

// readLine reads up to the line's end, keeping at most maxLine octets.
func readLine(r *bufio.Reader) (line []byte, tooLong bool, err error) {
	for {
		part, err := r.ReadSlice('\n')
		if !tooLong {
			line = append(line, part...)
		}
		if len(line) > maxLine {
			line, tooLong = nil, true
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, tooLong, err
		}
	}
}

func writeLine(w io.Writer, r result) error {
	if r.ID == nil {
		r.ID = json.RawMessage("null")
	}
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	_, err = w.Write(append(b, '\n'))
	return err
}

// line decides about one line. Only a fault outside of the line, such as an archive that can't be written, ends the batch.
func (b *batch) line(line []byte, tooLong bool, number int) (result, error) {
	bad := func(id json.RawMessage, err error) result {
		return result{ID: id, Code: codeBadInput, Reason: "入力行を読めません。 / The line can't be read. (" + err.Error() + ")"}
	}
	if tooLong {
		return bad(nil, fmt.Errorf("line %d is longer than %d octets", number, maxLine)), nil
	}
	q, err := b.parse(line, number)
	if err != nil {
		return bad(q.ID, fmt.Errorf("line %d: %w", number, err)), nil
	}
	profile, anchors, in, lists, err := b.input(&q)
	if err != nil {
		return bad(q.ID, fmt.Errorf("line %d: %w", number, err)), nil
	}
	if b.archive != nil {
		for _, der := range lists {
			if err := b.archive.put(der); err != nil {
				return result{}, fmt.Errorf("the archive of lists can't be written: %w", err)
			}
		}
	}
	v := profile.Verify(anchors, in)
	return result{ID: q.ID, Valid: v.Valid, Code: v.Code, Reason: reason(v), Evidence: v.Evidence}, nil
}

func reason(v cert.Verdict) string {
	if d := v.Evidence.Detail(); d != "" {
		return v.Reason() + " (" + d + ")"
	}
	return v.Reason()
}

// parse reads the JSON. Members that aren't known are ignored, and said once: suites keep notes of their own in their lines.
func (b *batch) parse(line []byte, number int) (query, error) {
	var q query
	if err := json.Unmarshal(line, &q); err != nil {
		var id struct {
			ID json.RawMessage `json:"id"`
		}
		_ = json.Unmarshal(line, &id) // what there is of it
		return query{ID: id.ID}, fmt.Errorf("no JSON object as `certd verify --help` has it: %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(new(query)); err != nil && !b.warned[err.Error()] {
		if b.warned == nil {
			b.warned = make(map[string]bool)
		}
		if len(b.warned) < 100 {
			b.warned[err.Error()] = true
			fmt.Fprintf(b.warn, "certd: line %d: %v; ignored\n", number, strings.TrimPrefix(err.Error(), "json: "))
		}
	}
	return q, nil
}

// input turns a line into what a decision takes; lists are all lists as DER, readable or not.
func (b *batch) input(q *query) (profile *cert.Profile, anchors *cert.Anchors, in cert.Input, lists [][]byte, err error) {
	name := q.Profile
	if name == "" {
		name = cert.Generic
	}
	if profile = b.profiles[name]; profile == nil {
		var known []string
		for n := range b.profiles {
			known = append(known, n)
		}
		slices.Sort(known)
		return nil, nil, in, nil, fmt.Errorf("profile: %q is none of %s", name, strings.Join(known, ", "))
	}
	if in.Time, err = time.Parse(time.RFC3339, q.Time); err != nil {
		return nil, nil, in, nil, fmt.Errorf("time: %q is no time of RFC 3339, such as 2026-04-01T00:00:00Z", q.Time)
	}
	if in.Time = in.Time.UTC(); in.Time.Year() < 1 || in.Time.Year() > 9999 {
		return nil, nil, in, nil, errors.New("time: not within the years 1 to 9999")
	}
	if in.Options, err = options(q); err != nil {
		return nil, nil, in, nil, err
	}
	if anchors, err = b.parseAnchors(q.Anchors); err != nil {
		return nil, nil, in, nil, err
	}
	for i, s := range q.Intermediates {
		ders, err := decodePEM(s, "CERTIFICATE")
		if err != nil {
			return nil, nil, in, nil, fmt.Errorf("intermediates[%d]: %w", i, err)
		}
		in.Intermediates = append(in.Intermediates, ders...)
	}
	if in.Leaf, err = decodeOne(q.Leaf, "CERTIFICATE"); err != nil {
		return nil, nil, in, nil, fmt.Errorf("leaf: %w", err)
	}
	for i, s := range q.CRLs {
		der, err := decodeOne(s, "X509 CRL")
		if err != nil {
			return nil, nil, in, nil, fmt.Errorf("crls[%d]: %w", i, err)
		}
		lists = append(lists, der)
		l, err := parseList(der, profile, anchors, smallList)
		if err != nil {
			in.Unreadable = append(in.Unreadable, cert.Unreadable{SHA256: sha256.Sum256(der), Why: err.Error()})
			continue
		}
		in.Lists = append(in.Lists, l)
	}
	for i, s := range q.OCSP {
		der, err := decodeOne(s, "OCSP RESPONSE")
		if err != nil {
			return nil, nil, in, nil, fmt.Errorf("ocsp[%d]: %w", i, err)
		}
		in.Answers = append(in.Answers, cert.Answer{DER: der})
	}
	return profile, anchors, in, lists, nil
}

func (b *batch) parseAnchors(pems []string) (*cert.Anchors, error) {
	h := sha256.New()
	for _, s := range pems {
		fmt.Fprintf(h, "%d:%s", len(s), s)
	}
	key := [32]byte(h.Sum(nil))
	if b.anchors != nil && key == b.anchorsKey {
		return b.anchors, nil
	}
	var all [][]byte
	for i, s := range pems {
		ders, err := decodePEM(s, "CERTIFICATE")
		if err != nil {
			return nil, fmt.Errorf("anchors[%d]: %w", i, err)
		}
		all = append(all, ders...)
	}
	anchors, err := cert.ParseAnchors(all)
	if err != nil {
		return nil, fmt.Errorf("anchors: %w", err)
	}
	b.anchorsKey, b.anchors = key, anchors
	return anchors, nil
}

func options(q *query) (cert.Options, error) {
	o := cert.Options{
		RequireExplicitPolicy: q.RequireExplicitPolicy, InhibitPolicyMapping: q.InhibitPolicyMapping, InhibitAnyPolicy: q.InhibitAnyPolicy,
		Host: q.DNSName,
	}
	for _, s := range q.Policies {
		if s == "anyPolicy" {
			s = pkix.OIDAnyPolicy.String()
		}
		p, err := pkix.ParseOID(s)
		if err != nil {
			return o, fmt.Errorf("policies: %w", err)
		}
		o.Policies = append(o.Policies, p)
	}
	switch r := cert.Revocation(q.Revocation); r {
	case "", cert.Require, cert.IfPresent, cert.NoCheck:
		o.Revocation = r
	default:
		return o, fmt.Errorf("revocation: %q is none of require, if-present, none", q.Revocation)
	}
	var err error
	if o.KeyUsage, err = pkix.ParseKeyUsage(q.KU); err != nil {
		return o, fmt.Errorf("ku: %w", err)
	}
	if o.Purposes, err = cert.ParsePurposes(q.EKU); err != nil {
		return o, fmt.Errorf("eku: %w", err)
	}
	return o, nil
}
