package crl

import (
	"errors"
	"fmt"

	"github.com/musubi-hub/musubi/identity/cert/der"
)

// Code says in a stable, machine-readable word why a list was refused.
type Code string

// The codes of a list that can't be read.
const (
	CodeEncoding     Code = "crl_encoding"            // not DER, or another element than RFC 5280 5.1 has there
	CodeTruncated    Code = "crl_truncated"           // the bytes end before the list does
	CodeTrailing     Code = "crl_trailing"            // bytes follow the list, or an element within it
	CodeTime         Code = "crl_time"                // a time in a form that RFC 5280 5.1.2.4 doesn't allow
	CodeVersion      Code = "crl_version"             // neither v1 nor v2, v2 written for v1, or extensions in a v1 list
	CodeAlgorithm    Code = "crl_algorithm"           // the two algorithm identifiers differ, or the hash is unknown
	CodeIssuer       Code = "crl_issuer"              // the issuer's name is empty or not a name
	CodeNextUpdate   Code = "crl_next_update"         // nextUpdate is missing, or not after thisUpdate
	CodeEmptyList    Code = "crl_empty_entries"       // revokedCertificates is present and empty
	CodeSerial       Code = "crl_serial"              // a serial that is zero, negative, or longer than 20 octets
	CodeDuplicate    Code = "crl_duplicate_serial"    // one certificate twice
	CodeReason       Code = "crl_reason"              // a reason code that isn't one, or removeFromCRL outside of a delta
	CodeExtension    Code = "crl_extension"           // an extension that can't be read, or may not be as it is
	CodeDuplicateExt Code = "crl_duplicate_extension" // one extension twice
	CodeCritical     Code = "crl_critical_extension"  // a critical extension that isn't known
	CodeNumber       Code = "crl_number"              // a CRL number that is missing where it is needed, negative, or longer than 20 octets
	CodeScope        Code = "crl_scope"               // an issuing distribution point that contradicts itself
	CodeCertIssuer   Code = "crl_certificate_issuer"  // a certificate issuer outside of an indirect list, or without a name
	CodeForm         Code = "crl_form_at_size"        // an indirect list or a delta where a set of one issuer is loaded
	CodeLimit        Code = "crl_limit"               // more of something than the limits allow
	CodeSignature    Code = "crl_signature"           // the signature isn't the issuer's
	CodeRead         Code = "crl_read"                // the source failed
	CodeWrite        Code = "crl_write"               // the destination failed
	CodeSnapshot     Code = "crl_snapshot"            // a snapshot that isn't as it was written
	CodeConfig       Code = "crl_configuration"       // limits or a size that can't be
)

// The codes of a list that must not take the place of the one in use.
const (
	CodeStale       Code = "crl_stale"        // nextUpdate has passed
	CodeOtherIssuer Code = "crl_other_issuer" // of another issuer, or another key of it
	CodeOtherScope  Code = "crl_other_scope"  // about other certificates
	CodeLower       Code = "crl_lower_number" // a number not above that of the list in use
	CodeOlder       Code = "crl_older"        // issued before the list in use
)

// Error is the refusal of a list. It holds nothing of the list but positions.
type Error struct {
	Code   Code
	Offset int64 // where in the list, in octets from its beginning; -1 when that isn't known
	Detail string
	Err    error // what was wrong below, or nil
}

// Error gives the reason in English.
func (e *Error) Error() string {
	text := string(e.Code)
	if e.Detail != "" {
		text += ": " + e.Detail
	}
	if e.Offset >= 0 {
		text += fmt.Sprintf(" (at octet %d)", e.Offset)
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Unwrap gives what was wrong below.
func (e *Error) Unwrap() error { return e.Err }

// CodeOf is the code of a refusal of this package, and empty for any other error.
func CodeOf(err error) Code {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

func refuse(code Code, detail string) *Error { return &Error{Code: code, Offset: -1, Detail: detail} }

// wrong is the refusal of an encoding, with the code that says the most about it.
func wrong(detail string, err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	code := CodeEncoding
	switch {
	case errors.Is(err, der.ErrTruncated):
		code = CodeTruncated
	case errors.Is(err, der.ErrTrailing):
		code = CodeTrailing
	case errors.Is(err, der.ErrTime):
		code = CodeTime
	}
	return &Error{Code: code, Offset: -1, Detail: detail, Err: err}
}
