package idptest

import (
	"bytes"
	"compress/flate"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"html"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"
)

// The names that the answers use.
const (
	NSProtocol  = "urn:oasis:names:tc:SAML:2.0:protocol"
	NSAssertion = "urn:oasis:names:tc:SAML:2.0:assertion"
	Persistent  = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
	Email       = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"
	Card        = "urn:oasis:names:tc:SAML:2.0:ac:classes:SmartcardPKI"
	success     = "urn:oasis:names:tc:SAML:2.0:status:Success"
	rsa256      = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
)

// Person is who logs in.
type Person struct {
	NameID, Format string
	Attributes     [][2]string // name, value
	Context        string
	Index          string
	Ends           time.Time // SessionNotOnOrAfter, zero for none
}

// Provider is an identity provider at one origin. A test sets its fields between requests.
type Provider struct {
	Origin      string // "https://login.localhost:8443"
	Key         *rsa.PrivateKey
	Certificate *x509.Certificate
	Now         func() time.Time
	Audience    string  // entity id of the service provider
	Person      *Person // nil: the answer is a refusal
	Refusal     string  // second-level status code of a refusal
	Message     string  // StatusMessage of a refusal

	SignResponse, SignAssertion bool
	Inner                       func(assertion *etree.Element) // before the assertion is signed
	Outer                       func(response *etree.Element)  // before the response is signed
	After                       func(response *etree.Element)  // when all is signed

	mu      sync.Mutex
	Asked   []*etree.Element // requests, as they were read
	Posted  []bool           // whether they came by POST
	Queries []string         // of the redirect binding, raw
	Left    []*etree.Element // LogoutRequests
	Told    []*etree.Element // LogoutResponses
}

// NewKey draws a key with a certificate that is good for a year around now.
func NewKey(now time.Time) (*rsa.PrivateKey, *x509.Certificate, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, nil, err
	}
	cert, err := Certify(key, now.AddDate(0, -6, 0), now.AddDate(0, 6, 0))
	return key, cert, err
}

// Certify makes a certificate of a key.
func Certify(key *rsa.PrivateKey, from, until time.Time) (*x509.Certificate, error) {
	form := &x509.Certificate{SerialNumber: big.NewInt(from.UnixNano()), Subject: pkix.Name{CommonName: "saml"}, NotBefore: from, NotAfter: until}
	der, err := x509.CreateCertificate(rand.Reader, form, form, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// New makes a provider that signs both response and assertion.
func New(origin string, now func() time.Time) (*Provider, error) {
	key, cert, err := NewKey(now())
	return &Provider{Origin: origin, Key: key, Certificate: cert, Now: now, SignResponse: true, SignAssertion: true}, err
}

// EntityID is the provider's name, SSO and SLO its addresses.
func (p *Provider) EntityID() string { return p.Origin + "/metadata" }

// SSO is where requests go.
func (p *Provider) SSO() string { return p.Origin + "/sso" }

// SLO is where logout messages go.
func (p *Provider) SLO() string { return p.Origin + "/slo" }

// Base64 is the certificate as administrators copy it.
func (p *Provider) Base64() string { return base64.StdEncoding.EncodeToString(p.Certificate.Raw) }

// ID draws an ID.
func ID() string {
	var b [20]byte
	_, _ = rand.Read(b[:])
	return "_" + hex.EncodeToString(b[:])
}

// Stamp writes a time as SAML does.
func Stamp(at time.Time) string { return at.UTC().Format("2006-01-02T15:04:05.000Z") }

// RoundTrip answers as the provider's server.
func (p *Provider) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	p.ServeHTTP(w, r)
	a := w.Result()
	a.Request = r
	return a, nil
}

// ServeHTTP takes requests at SSO and logout messages at SLO.
func (p *Provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	kind, doc, relay, err := p.receive(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	switch {
	case r.URL.Path == "/sso" && kind == "SAMLRequest":
		p.mu.Lock()
		p.Asked, p.Posted, p.Queries = append(p.Asked, doc), append(p.Posted, r.Method == http.MethodPost), append(p.Queries, r.URL.RawQuery)
		p.mu.Unlock()
		raw, err := p.Respond(doc.SelectAttrValue("ID", ""), doc.SelectAttrValue("AssertionConsumerServiceURL", ""))
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, Page(doc.SelectAttrValue("AssertionConsumerServiceURL", ""), "SAMLResponse", raw, relay))
	case r.URL.Path == "/slo" && kind == "SAMLRequest":
		p.mu.Lock()
		p.Left = append(p.Left, doc)
		p.mu.Unlock()
		answer := Message("LogoutResponse", p.EntityID(), p.Now())
		answer.CreateAttr("InResponseTo", doc.SelectAttrValue("ID", ""))
		to := strings.TrimSuffix(text(doc, "Issuer"), "/saml/metadata") + "/saml/slo"
		answer.CreateAttr("Destination", to)
		code := answer.CreateElement("samlp:Status").CreateElement("samlp:StatusCode")
		code.CreateAttr("Value", success)
		if p.Refusal != "" {
			code.CreateElement("samlp:StatusCode").CreateAttr("Value", p.Refusal)
		}
		http.Redirect(w, r, p.Redirect(to, "SAMLResponse", answer, relay), http.StatusFound)
	case r.URL.Path == "/slo":
		p.mu.Lock()
		p.Told = append(p.Told, doc)
		p.mu.Unlock()
		_, _ = io.WriteString(w, "told")
	default:
		http.NotFound(w, r)
	}
}

func text(el *etree.Element, tag string) string {
	if c := el.SelectElement(tag); c != nil {
		return c.Text()
	}
	return ""
}

func (p *Provider) receive(r *http.Request) (kind string, doc *etree.Element, relay string, err error) {
	if err := r.ParseForm(); err != nil {
		return "", nil, "", err
	}
	kind = "SAMLRequest"
	if r.Form.Get(kind) == "" {
		kind = "SAMLResponse"
	}
	raw, err := base64.StdEncoding.DecodeString(r.Form.Get(kind))
	if err == nil && r.Method == http.MethodGet {
		raw, err = io.ReadAll(flate.NewReader(bytes.NewReader(raw)))
	}
	if err != nil {
		return "", nil, "", err
	}
	d := etree.NewDocument()
	if err := d.ReadFromBytes(raw); err != nil {
		return "", nil, "", err
	}
	if d.Root() == nil {
		return "", nil, "", errors.New("no message")
	}
	return kind, d.Root(), r.Form.Get("RelayState"), nil
}

// Page is an HTML page with a form that carries a message.
func Page(action, name string, raw []byte, relay string) string {
	return fmt.Sprintf(`<!DOCTYPE html><title>post</title><form method="post" action="%s"><input type="hidden" name="%s" value="%s"><input type="hidden" name="RelayState" value="%s"></form><script>document.forms[0].submit()</script>`,
		html.EscapeString(action), name, base64.StdEncoding.EncodeToString(raw), html.EscapeString(relay))
}

var (
	formAction = regexp.MustCompile(`<form method="post" action="(https?://[^"]+)"`)
	formField  = regexp.MustCompile(`<input type="hidden" name="(SAMLRequest|SAMLResponse|RelayState)" value="([^"]*)"`)
)

// Form reads the form of a page that carries a message; ok is false for any other page.
func Form(page string) (action string, fields url.Values, ok bool) {
	at := formAction.FindStringSubmatch(page)
	fields = url.Values{}
	for _, f := range formField.FindAllStringSubmatch(page, -1) {
		fields.Set(f[1], html.UnescapeString(f[2]))
	}
	if at == nil || fields.Get("SAMLRequest") == "" && fields.Get("SAMLResponse") == "" {
		return "", nil, false
	}
	return html.UnescapeString(at[1]), fields, true
}

// Message makes a message of the provider's.
func Message(kind, issuer string, now time.Time) *etree.Element {
	el := etree.NewElement("samlp:" + kind)
	el.CreateAttr("xmlns:samlp", NSProtocol)
	el.CreateAttr("xmlns:saml", NSAssertion)
	el.CreateAttr("ID", ID())
	el.CreateAttr("Version", "2.0")
	el.CreateAttr("IssueInstant", Stamp(now))
	el.CreateElement("saml:Issuer").SetText(issuer)
	return el
}

// Respond makes a response to a request ("" for none), signed as the provider is told to.
func (p *Provider) Respond(request, consumer string) ([]byte, error) {
	now := p.Now()
	el := Message("Response", p.EntityID(), now)
	el.CreateAttr("Destination", consumer)
	if request != "" {
		el.CreateAttr("InResponseTo", request)
	}
	code := el.CreateElement("samlp:Status").CreateElement("samlp:StatusCode")
	if p.Person == nil {
		code.CreateAttr("Value", "urn:oasis:names:tc:SAML:2.0:status:Responder")
		code.CreateElement("samlp:StatusCode").CreateAttr("Value", p.Refusal)
		if p.Message != "" {
			code.Parent().CreateElement("samlp:StatusMessage").SetText(p.Message)
		}
	} else {
		code.CreateAttr("Value", success)
		a := p.Assertion(request, consumer)
		if p.Inner != nil {
			p.Inner(a)
		}
		if p.SignAssertion {
			if err := Sign(a, p.Key, p.Certificate); err != nil {
				return nil, err
			}
		}
		el.AddChild(a)
	}
	if p.Outer != nil {
		p.Outer(el)
	}
	if p.SignResponse {
		if err := Sign(el, p.Key, p.Certificate); err != nil {
			return nil, err
		}
	}
	if p.After != nil {
		p.After(el)
	}
	doc := etree.NewDocument()
	doc.SetRoot(el)
	return doc.WriteToBytes()
}

// Assertion makes an assertion about the person.
func (p *Provider) Assertion(request, consumer string) *etree.Element {
	now := p.Now()
	a := etree.NewElement("saml:Assertion")
	a.CreateAttr("xmlns:saml", NSAssertion)
	a.CreateAttr("ID", ID())
	a.CreateAttr("Version", "2.0")
	a.CreateAttr("IssueInstant", Stamp(now))
	a.CreateElement("saml:Issuer").SetText(p.EntityID())
	s := a.CreateElement("saml:Subject")
	name := s.CreateElement("saml:NameID")
	name.CreateAttr("Format", p.Person.Format)
	name.SetText(p.Person.NameID)
	c := s.CreateElement("saml:SubjectConfirmation")
	c.CreateAttr("Method", "urn:oasis:names:tc:SAML:2.0:cm:bearer")
	data := c.CreateElement("saml:SubjectConfirmationData")
	if request != "" {
		data.CreateAttr("InResponseTo", request)
	}
	data.CreateAttr("Recipient", consumer)
	data.CreateAttr("NotOnOrAfter", Stamp(now.Add(5*time.Minute)))
	conditions := a.CreateElement("saml:Conditions")
	conditions.CreateAttr("NotBefore", Stamp(now))
	conditions.CreateAttr("NotOnOrAfter", Stamp(now.Add(5*time.Minute)))
	conditions.CreateElement("saml:AudienceRestriction").CreateElement("saml:Audience").SetText(p.Audience)
	said := a.CreateElement("saml:AuthnStatement")
	said.CreateAttr("AuthnInstant", Stamp(now))
	said.CreateAttr("SessionIndex", p.Person.Index)
	if !p.Person.Ends.IsZero() {
		said.CreateAttr("SessionNotOnOrAfter", Stamp(p.Person.Ends))
	}
	said.CreateElement("saml:AuthnContext").CreateElement("saml:AuthnContextClassRef").SetText(p.Person.Context)
	if len(p.Person.Attributes) > 0 {
		list := a.CreateElement("saml:AttributeStatement")
		for _, x := range p.Person.Attributes {
			attribute := list.CreateElement("saml:Attribute")
			attribute.CreateAttr("Name", x[0])
			attribute.CreateElement("saml:AttributeValue").SetText(x[1])
		}
	}
	return a
}

// Sign puts an enveloped signature behind an element's issuer.
func Sign(el *etree.Element, key *rsa.PrivateKey, cert *x509.Certificate) error {
	context, err := dsig.NewSigningContext(key, [][]byte{cert.Raw})
	if err != nil {
		return err
	}
	context.Canonicalizer = dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("")
	signature, err := context.ConstructSignature(el, true)
	if err == nil {
		el.InsertChildAt(1, signature)
	}
	return err
}

// Redirect carries a message by the redirect binding, signed by the provider's key.
func (p *Provider) Redirect(to, kind string, el *etree.Element, relay string) string {
	doc := etree.NewDocument()
	doc.SetRoot(el)
	raw, _ := doc.WriteToBytes()
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, flate.BestCompression)
	_, _ = w.Write(raw)
	_ = w.Close()
	query := kind + "=" + url.QueryEscape(base64.StdEncoding.EncodeToString(b.Bytes()))
	if relay != "" {
		query += "&RelayState=" + url.QueryEscape(relay)
	}
	query += "&SigAlg=" + url.QueryEscape(rsa256)
	sum := sha256.Sum256([]byte(query))
	signature, _ := rsa.SignPKCS1v15(rand.Reader, p.Key, crypto.SHA256, sum[:])
	return to + "?" + query + "&Signature=" + url.QueryEscape(base64.StdEncoding.EncodeToString(signature))
}

// Logout makes a LogoutRequest about a session.
func (p *Provider) Logout(to, name, index string) *etree.Element {
	el := Message("LogoutRequest", p.EntityID(), p.Now())
	el.CreateAttr("Destination", to)
	id := el.CreateElement("saml:NameID")
	id.CreateAttr("Format", Persistent)
	id.SetText(name)
	if index != "" {
		el.CreateElement("samlp:SessionIndex").SetText(index)
	}
	return el
}
