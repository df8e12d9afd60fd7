package ocsp

import (
	"errors"
	"fmt"
)

// Code says why an answer was refused. Codes are stable: they are stored as evidence and compared by machines.
type Code string

// The codes, in the order in which the checks run.
const (
	CodeTooLarge         Code = "ocsp-too-large"            // more octets, answers, certificates or extensions than the policy allows
	CodeMalformed        Code = "ocsp-malformed"            // not the DER of an OCSPResponse: octets after its end and an extension that stands twice included
	CodeResponderError   Code = "ocsp-responder-error"      // the responder reports an error (tryLater, unauthorized, ...)
	CodeUnsupported      Code = "ocsp-unsupported"          // another response type or version than basic, v1
	CodeCritical         Code = "ocsp-critical-extension"   // a critical extension that is not understood
	CodeAlgorithm        Code = "ocsp-algorithm"            // signature algorithm or key below the policy
	CodeUnauthorized     Code = "ocsp-responder"            // not signed by the CA nor by a responder that this CA's key delegated
	CodeResponderExpired Code = "ocsp-responder-expired"    // the responder's certificate is not valid at that time
	CodeResponderUsage   Code = "ocsp-responder-usage"      // the certificate that signed may not sign OCSP answers
	CodeNoCheck          Code = "ocsp-responder-revocation" // the responder's own revocation can't be told, and the policy wants it told
	CodeSignature        Code = "ocsp-signature"            // the signature is wrong
	CodeNonce            Code = "ocsp-nonce"                // missing, unexpected, or of another request
	CodeNotFound         Code = "ocsp-other-certificate"    // no answer about this certificate
	CodeAmbiguous        Code = "ocsp-ambiguous"            // more than one answer about this certificate
	CodeNotYet           Code = "ocsp-not-yet-valid"        // produced, or valid, only in the future
	CodeStale            Code = "ocsp-stale"                // nextUpdate has passed, or the answer is older than the policy allows
	CodeTimes            Code = "ocsp-inconsistent-times"   // nextUpdate before thisUpdate, or produced before what it reports
	CodeNoNextUpdate     Code = "ocsp-no-next-update"       // no nextUpdate, and the policy wants one
	CodeReason           Code = "ocsp-reason"               // a revocation reason that no answer can have
	CodeQuestion         Code = "ocsp-question"             // what was asked can't be asked: a fault of the caller
)

// Refusal is the error of [Check] and of the parsers: the answer must not be used.
type Refusal struct {
	Code   Code
	Detail string        // one sentence, English, for the log of an auditor; never octets of a serial
	Status ResponseError // with CodeResponderError: what the responder said
}

func (r *Refusal) Error() string { return string(r.Code) + ": " + r.Detail }

func refuse(code Code, format string, args ...any) *Refusal {
	return &Refusal{Code: code, Detail: fmt.Sprintf(format, args...)}
}

// CodeOf is the code of err, or "" if it is no [Refusal].
func CodeOf(err error) Code {
	var r *Refusal
	if errors.As(err, &r) {
		return r.Code
	}
	return ""
}

// ResponseError is the OCSPResponseStatus of an answer that is an error (RFC 6960 section 4.2.1).
type ResponseError int

// What a responder can report instead of an answer. 4 is not used.
const (
	MalformedRequest ResponseError = 1
	InternalError    ResponseError = 2
	TryLater         ResponseError = 3
	SigRequired      ResponseError = 5
	Unauthorized     ResponseError = 6
)

var responseErrors = map[ResponseError]string{
	MalformedRequest: "malformedRequest", InternalError: "internalError", TryLater: "tryLater", SigRequired: "sigRequired", Unauthorized: "unauthorized",
}

func (e ResponseError) String() string {
	if s, ok := responseErrors[e]; ok {
		return s
	}
	return fmt.Sprintf("unknown(%d)", int(e))
}

// Temporary tells whether the same request may succeed later.
func (e ResponseError) Temporary() bool { return e == InternalError || e == TryLater }
