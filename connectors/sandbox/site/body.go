package site

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/mail"
	"slices"
	"strings"
)

// What DecodeBody refuses, beside a *json.UnmarshalTypeError.
var (
	ErrMediaType = errors.New("site: wrong Content-Type")
	ErrTooLarge  = errors.New("site: body too large")
	ErrSyntax    = errors.New("site: body is not one JSON value")
)

// DecodeBody reads one JSON value of at most limit bytes, sent as one of the media types.
func DecodeBody(r *http.Request, limit int64, into any, mediaTypes ...string) error {
	media, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	if !slices.Contains(mediaTypes, strings.ToLower(strings.TrimSpace(media))) {
		return ErrMediaType
	}
	if r.Body == nil {
		return ErrSyntax
	}
	raw, err := io.ReadAll(io.LimitReader(r.Body, limit+1))
	if err != nil {
		return ErrSyntax
	}
	if int64(len(raw)) > limit {
		return ErrTooLarge
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	if err := dec.Decode(into); err != nil {
		var wrong *json.UnmarshalTypeError
		if errors.As(err, &wrong) {
			return err
		}
		return ErrSyntax
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return ErrSyntax
	}
	return nil
}

// ValidEmail takes a bare address of at most 254 bytes.
func ValidEmail(s string) bool {
	if len(s) > 254 || strings.ContainsAny(s, " \t\r\n<>") {
		return false
	}
	p, err := mail.ParseAddress(s)
	return err == nil && p.Address == s
}
