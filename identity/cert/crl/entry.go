package crl

import (
	"errors"
	"time"

	"github.com/musubi-hub/musubi/identity/cert/der"
	"github.com/musubi-hub/musubi/identity/cert/pkix"
)

// Entry is what a list says of one certificate (RFC 5280, 5.3).
type Entry struct {
	Serial     []byte    // content of the INTEGER
	Date       time.Time // of the revocation
	Reason     pkix.Reason
	Invalidity time.Time // since when the key is suspected; zero if the list doesn't say
	// Issuer is who issued the certificate: the list's issuer, or in an indirect list the one named by this entry or by the last one before it
	// that names any.
	Issuer pkix.Name
}

// readTime reads a Time as lists have it (RFC 5280, 5.1.2.4): UTCTime through 2049, GeneralizedTime from 2050 on.
func readTime(r *der.Reader) (time.Time, error) {
	late := r.Peek(der.GeneralizedTime)
	t, err := r.Time()
	if err == nil && late && t.Year() < 2050 {
		err = der.ErrTime
	}
	return t, err
}

// maxSerial is how many octets the INTEGER of a serial may have (RFC 5280, 4.1.2.2).
const maxSerial = 20

// checkSerial refuses what can't be the serial of a certificate.
func checkSerial(serial []byte, rules Rules) error {
	switch {
	case len(serial) > maxSerial:
		return refuse(CodeSerial, "a serial is longer than 20 octets")
	case rules.AnySerial:
		return nil
	case serial[0] >= 0x80:
		return refuse(CodeSerial, "a serial is negative")
	case len(serial) == 1 && serial[0] == 0:
		return refuse(CodeSerial, "a serial is zero")
	}
	return nil
}

// readEntry reads the content of one entry. Its Issuer is empty unless it names one. What depends on the list around it (an issuer in an indirect
// list, removeFromCRL in a delta) is for the caller to check.
func readEntry(content []byte, rules Rules, v2 bool) (Entry, error) {
	var e Entry
	r := der.NewReader(content)
	var err error
	if e.Serial, err = r.Integer(); err != nil {
		return e, wrong("serial of an entry", err)
	}
	if err = checkSerial(e.Serial, rules); err != nil {
		return e, err
	}
	if e.Date, err = readTime(&r); err != nil {
		return e, wrong("date of an entry", err)
	}
	if !r.Empty() {
		if !v2 {
			return e, refuse(CodeVersion, "extensions in an entry of a v1 list")
		}
		if err = e.readExtensions(&r); err != nil {
			return e, err
		}
	}
	if err = r.End(); err != nil {
		return e, wrong("entry", err)
	}
	return e, nil
}

func (e *Entry) readExtensions(r *der.Reader) error {
	return eachExtension(r, func(x pkix.Extension) error {
		switch x.ID {
		case pkix.OIDReasonCode:
			return e.readReason(x.Value)
		case pkix.OIDInvalidityDate:
			v := der.NewReader(x.Value)
			at, err := v.Generalized()
			if err == nil {
				err = v.End()
			}
			e.Invalidity = at
			return extension("invalidityDate", err)
		case pkix.OIDCertificateIssuer:
			return e.readIssuer(x.Critical, x.Value)
		}
		if x.Critical {
			return refuse(CodeCritical, "of an entry: "+x.ID.String())
		}
		return nil
	})
}

// readReason reads a reasonCode (RFC 5280, 5.3.1).
func (e *Entry) readReason(value []byte) error {
	r := der.NewReader(value)
	content, err := r.Read(der.Enumerated)
	if err == nil {
		err = r.End()
	}
	if err != nil {
		return extension("reasonCode", err)
	}
	code, err := der.ParseSmall(content, 10)
	if err != nil || !pkix.Reason(code).Known() {
		return refuse(CodeReason, "not a reason of RFC 5280 5.3.1")
	}
	e.Reason = pkix.Reason(code)
	return nil
}

// readIssuer reads a certificateIssuer (RFC 5280, 5.3.3): critical, with the issuer's distinguished name.
func (e *Entry) readIssuer(critical bool, value []byte) error {
	r, err := der.Whole(value, der.Sequence)
	if err != nil {
		return extension("certificateIssuer", err)
	}
	names, err := pkix.ReadGeneralNames(r)
	if err != nil {
		return extension("certificateIssuer", err)
	}
	if !critical {
		return refuse(CodeCertIssuer, "the extension isn't critical")
	}
	for _, n := range names {
		if n.Kind != pkix.DirectoryName || n.Name.IsEmpty() {
			continue
		}
		if !e.Issuer.IsEmpty() {
			return refuse(CodeCertIssuer, "two names of one issuer")
		}
		e.Issuer = n.Name
	}
	if e.Issuer.IsEmpty() {
		return refuse(CodeCertIssuer, "without a distinguished name")
	}
	return nil
}

// maxExtensions bounds the extensions of a list or of an entry.
const maxExtensions = 64

// eachExtension reads Extensions.
func eachExtension(r *der.Reader, visit func(pkix.Extension) error) error {
	err := pkix.EachExtension(r, maxExtensions, visit)
	if errors.Is(err, pkix.ErrDuplicateExtension) {
		return &Error{Code: CodeDuplicateExt, Offset: -1, Err: err}
	}
	if err == nil || CodeOf(err) != "" {
		return err
	}
	return extension("", err)
}

// extension is the refusal of an extension that can't be read.
func extension(name string, err error) error {
	if err == nil {
		return nil
	}
	return &Error{Code: CodeExtension, Offset: -1, Detail: name, Err: err}
}
