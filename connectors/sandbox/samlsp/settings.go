package samlsp

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// Settings are what an administrator of the product types in. The zero value is a product without single sign-on.
type Settings struct {
	Issuer      string `json:"issuer"`      // the provider's entity id
	SSOURL      string `json:"sso_url"`     // where requests go
	Certificate string `json:"certificate"` // one, in PEM or as its bare base64

	LogoutURL        string `json:"logout_url,omitempty"`        // of products with single logout
	ServiceProvider  string `json:"service_provider,omitempty"`  // the entity id, where it can be chosen
	SignRequests     bool   `json:"sign_requests,omitempty"`     // where it can be chosen
	ResponseSigned   bool   `json:"response_signed,omitempty"`   // where it can be chosen which signatures are needed
	AssertionSigned  bool   `json:"assertion_signed,omitempty"`  //
	RequestedContext string `json:"requested_context,omitempty"` // AuthnContextClassRef to ask for; "" for none
}

// ErrSettings says that what was typed in isn't taken.
var ErrSettings = errors.New("the product doesn't take this")

// entered is Settings as they are used.
type entered struct {
	Settings

	cert   *x509.Certificate
	entity string
}

const (
	maxField       = 1024
	maxCertificate = 16 << 10
	minKeyBits     = 2048
)

// check reads what was typed in, as the product's page does.
func (p *Party) check(s Settings) (entered, error) {
	bad := func(field, why string) (entered, error) {
		return entered{}, fmt.Errorf("%w: %s: %s", ErrSettings, field, why)
	}
	h := p.opt.Habits
	s.Issuer, s.SSOURL, s.Certificate = strings.TrimSpace(s.Issuer), strings.TrimSpace(s.SSOURL), strings.TrimSpace(s.Certificate)
	if s.Issuer == "" || len(s.Issuer) > maxField || strings.ContainsFunc(s.Issuer, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return bad("issuer", "give the provider's entity id, without spaces")
	}
	if !destination(s.SSOURL) {
		return bad("sso_url", "give the https address of the provider's single sign-on service")
	}
	switch {
	case h.Logout == "" && s.LogoutURL != "":
		return bad("logout_url", "this product has no single logout")
	case s.LogoutURL != "" && !destination(s.LogoutURL):
		return bad("logout_url", "give an https address")
	case h.Signs != SignsIfTold && s.SignRequests:
		return bad("sign_requests", "this can't be chosen here")
	case !h.Context && s.RequestedContext != "":
		return bad("requested_context", "this product asks for no kind of login")
	case len(s.RequestedContext) > maxField || strings.ContainsAny(s.RequestedContext, " \t\r\n"):
		return bad("requested_context", "give one class, without spaces, or nothing")
	case h.Either && (s.ResponseSigned || s.AssertionSigned):
		return bad("response_signed", "this can't be chosen here: the product takes either signature")
	case !h.Either && !s.ResponseSigned && !s.AssertionSigned:
		return bad("response_signed", "the response, the assertion, or both must be signed")
	case s.SignRequests && p.opt.Key == nil:
		return bad("sign_requests", "this product has no key")
	}
	x := entered{Settings: s, entity: p.entityID("")}
	if s.ServiceProvider != "" {
		if s.ServiceProvider != x.entity && (h.Alternative == "" || s.ServiceProvider != p.entityID(h.Alternative)) {
			return bad("service_provider", "the product offers its own entity id, or the address of the site, if any other")
		}
		x.entity = s.ServiceProvider
	}
	var err error
	if x.cert, err = readCertificate(s.Certificate); err != nil {
		return bad("certificate", err.Error())
	}
	return x, nil
}

// fresh refuses a certificate that isn't valid now.
func (x entered) fresh(now time.Time) error {
	if now.Before(x.cert.NotBefore) || now.After(x.cert.NotAfter) {
		return fmt.Errorf("%w: certificate: it isn't valid at this time", ErrSettings)
	}
	return nil
}

func destination(text string) bool {
	u, err := url.Parse(text)
	return err == nil && len(text) <= maxField && u.Scheme == "https" && u.Host != "" && u.User == nil && u.Fragment == "" && u.String() == text
}

// readCertificate reads one RSA certificate, in PEM or as the bare base64 that administrators copy out of metadata.
func readCertificate(text string) (*x509.Certificate, error) {
	if len(text) > maxCertificate {
		return nil, errors.New("it is too large for one certificate")
	}
	var der []byte
	if strings.HasPrefix(text, "-----BEGIN") {
		block, rest := pem.Decode([]byte(text))
		switch {
		case block == nil || block.Type != "CERTIFICATE":
			return nil, errors.New("paste a certificate (BEGIN CERTIFICATE), nothing else, and never a private key")
		case len(bytes.TrimSpace(rest)) > 0:
			return nil, errors.New("there is room for one certificate alone")
		}
		der = block.Bytes
	} else {
		var err error
		if der, err = base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), "")); err != nil || len(der) == 0 {
			return nil, errors.New("paste the provider's X.509 certificate")
		}
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, errors.New("it can't be read as one X.509 certificate")
	}
	if key, ok := cert.PublicKey.(*rsa.PublicKey); !ok || key.N.BitLen() < minKeyBits {
		return nil, fmt.Errorf("its key must be RSA of at least %d bits", minKeyBits)
	}
	return cert, nil
}

// Choices are what the product's page lets its administrator choose.
type Choices struct {
	LogoutURL, SignRequests, Signatures, RequestedContext bool
	EntityIDs                                             []string // more than one: one of these
}

// Choices gives what can be chosen here.
func (p *Party) Choices() Choices {
	h := p.opt.Habits
	c := Choices{
		LogoutURL: h.Logout != "", SignRequests: h.Signs == SignsIfTold && p.opt.Key != nil, Signatures: !h.Either, RequestedContext: h.Context,
		EntityIDs: []string{p.entityID("")},
	}
	if h.Alternative != "" {
		c.EntityIDs = append(c.EntityIDs, p.entityID(h.Alternative))
	}
	return c
}
