package samlsp_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"

	"github.com/musubi-hub/musubi/connectors/sandbox/samlsp"
	"github.com/musubi-hub/musubi/connectors/sandbox/samlsp/idptest"
	"github.com/musubi-hub/musubi/connectors/sandbox/visitor"
)

// TestSettings: what a product's page takes, and what it doesn't. What is refused changes nothing.
func TestSettings(t *testing.T) {
	k := keys()
	inPEM := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: k.provider.Certificate.Raw}))
	der, err := x509.MarshalPKCS8PrivateKey(k.provider.Key)
	if err != nil {
		t.Fatal(err)
	}
	private := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	weak, err := idptest.Certify(small, began.AddDate(0, -1, 0), began.AddDate(1, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	form := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: began.AddDate(0, -1, 0), NotAfter: began.AddDate(1, 0, 0)}
	elliptical, err := x509.CreateCertificate(rand.Reader, form, form, curve.Public(), curve)
	if err != nil {
		t.Fatal(err)
	}
	over, err := idptest.Certify(k.provider.Key, began.AddDate(-2, 0, 0), began.Add(-time.Second))
	if err != nil {
		t.Fatal(err)
	}
	ahead, err := idptest.Certify(k.provider.Key, began.Add(time.Second), began.AddDate(1, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	text := func(c *x509.Certificate) string { return base64.StdEncoding.EncodeToString(c.Raw) }
	bare := text(k.provider.Certificate)
	for name, x := range map[string]struct {
		kind   string
		change func(*samlsp.Settings)
		field  string // that is refused; "" for none
	}{
		"bare base64":                    {"staff", func(s *samlsp.Settings) { s.Certificate = bare[:64] + "\n" + bare[64:] + "\r\n" }, ""},
		"PEM":                            {"slack", func(s *samlsp.Settings) { s.Certificate = inPEM }, ""},
		"two certificates":               {"slack", func(s *samlsp.Settings) { s.Certificate = inPEM + inPEM }, "certificate"},
		"a private key":                  {"staff", func(s *samlsp.Settings) { s.Certificate = private }, "certificate"},
		"no certificate":                 {"staff", func(s *samlsp.Settings) { s.Certificate = "" }, "certificate"},
		"rubbish":                        {"staff", func(s *samlsp.Settings) { s.Certificate = "x" }, "certificate"},
		"much":                           {"staff", func(s *samlsp.Settings) { s.Certificate = strings.Repeat("A", 20<<10) }, "certificate"},
		"1024 bits":                      {"staff", func(s *samlsp.Settings) { s.Certificate = text(weak) }, "certificate"},
		"an elliptic curve":              {"staff", func(s *samlsp.Settings) { s.Certificate = base64.StdEncoding.EncodeToString(elliptical) }, "certificate"},
		"expired":                        {"slack", func(s *samlsp.Settings) { s.Certificate = text(over) }, "certificate"},
		"not yet valid":                  {"slack", func(s *samlsp.Settings) { s.Certificate = text(ahead) }, "certificate"},
		"http":                           {"staff", func(s *samlsp.Settings) { s.SSOURL = "http://login.localhost/sso" }, "sso_url"},
		"javascript":                     {"staff", func(s *samlsp.Settings) { s.SSOURL = "javascript:alert(1)" }, "sso_url"},
		"no address":                     {"staff", func(s *samlsp.Settings) { s.SSOURL = "" }, "sso_url"},
		"no issuer":                      {"staff", func(s *samlsp.Settings) { s.Issuer = " " }, "issuer"},
		"an issuer with spaces":          {"staff", func(s *samlsp.Settings) { s.Issuer = "a b" }, "issuer"},
		"atlassian has no logout":        {"staff", func(s *samlsp.Settings) { s.LogoutURL = idp + "/slo" }, "logout_url"},
		"slack has no logout":            {"slack", func(s *samlsp.Settings) { s.LogoutURL = idp + "/slo" }, "logout_url"},
		"a logout by http":               {"plain", func(s *samlsp.Settings) { s.LogoutURL = "http://login.localhost/slo" }, "logout_url"},
		"atlassian doesn't sign":         {"staff", func(s *samlsp.Settings) { s.SignRequests = true }, "sign_requests"},
		"atlassian asks for no kind":     {"customers", func(s *samlsp.Settings) { s.RequestedContext = idptest.Card }, "requested_context"},
		"atlassian chooses no signing":   {"customers", func(s *samlsp.Settings) { s.ResponseSigned = true }, "response_signed"},
		"slack wants a signature":        {"slack", func(s *samlsp.Settings) { s.ResponseSigned, s.AssertionSigned = false, false }, "response_signed"},
		"slack sends no class":           {"slack", func(s *samlsp.Settings) { s.RequestedContext = "" }, ""},
		"slack as its workspace":         {"slack", func(s *samlsp.Settings) { s.ServiceProvider = base }, ""},
		"slack as somebody else":         {"slack", func(s *samlsp.Settings) { s.ServiceProvider = "https://evil.localhost" }, "service_provider"},
		"atlassian's entity id is fixed": {"staff", func(s *samlsp.Settings) { s.ServiceProvider = base }, "service_provider"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, x.kind)
			before, _ := h.shop.party.Settings()
			s := before
			x.change(&s)
			err := h.shop.party.Configure(s)
			after, _ := h.shop.party.Settings()
			if x.field == "" {
				if err != nil {
					t.Fatal(err)
				}
				h.provider.Audience = h.shop.party.Describe().EntityID
				h.browser().logIn()
				return
			}
			if !errors.Is(err, samlsp.ErrSettings) || !strings.Contains(err.Error(), x.field+":") || after != before {
				t.Errorf("%v", err)
			}
			if err != nil && strings.Contains(err.Error(), "PRIVATE") {
				t.Error("the error repeats what was pasted")
			}
		})
	}
}

// TestSignedRequests: Slack signs where its administrator wants it; the signature is of the key that its page shows.
func TestSignedRequests(t *testing.T) {
	h := newHouse(t, "slack")
	s, _ := h.shop.party.Settings()
	s.SignRequests = true
	if err := h.shop.party.Configure(s); err != nil {
		t.Fatal(err)
	}
	h.browser().logIn()
	el := h.provider.Asked[0]
	if el.SelectElement("Signature") == nil || el.ChildElements()[1].Tag != "Signature" || !h.shop.party.Describe().Signed {
		doc := etree.NewDocument()
		doc.SetRoot(el)
		raw, _ := doc.WriteToString()
		t.Errorf("%s", raw)
	}
}

// TestNew: what makes no service provider.
func TestNew(t *testing.T) {
	k := keys()
	for name, change := range map[string]func(*samlsp.Options){
		"http":                      func(o *samlsp.Options) { o.BaseURL = "http://shop.localhost" },
		"no habits":                 func(o *samlsp.Options) { o.Habits = samlsp.Habits{} },
		"a key without certificate": func(o *samlsp.Options) { o.Certificate = nil },
		"no key, and it must sign":  func(o *samlsp.Options) { o.Key, o.Certificate = nil, nil },
		"no randomness":             func(o *samlsp.Options) { o.Random = nil },
		"settings that are refused": func(o *samlsp.Options) { o.Settings = &samlsp.Settings{} },
	} {
		o := samlsp.Options{Habits: samlsp.Plain(), BaseURL: base, Key: k.party.Key, Certificate: k.party.Certificate.Raw, Random: rand.Reader}
		change(&o)
		s := &shop{}
		if _, err := samlsp.New(o, visitor.Place{Name: "shop", Home: "/shop/home", Now: time.Now, Accounts: s, Pages: s}); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}
