package signin_test

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
	"io"
	"math/big"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/login/logintest"
	"github.com/musubi-hub/musubi/identity/samlidp/sp"
	"github.com/musubi-hub/musubi/policies"
)

// outs are SAML services that are told of a logout by the browser: the first two by redirect, the third by a form.
var outs = []struct {
	id   policies.RelyingPartyID
	name string
}{{"wiki", "文書のひろば"}, {"chat", "連絡チャット"}, {"board", "掲示板"}}

func outName(id policies.RelyingPartyID) string {
	for _, o := range outs {
		if o.id == id {
			return o.name
		}
	}
	return ""
}

// outPair is the key of these services.
var outPair = sync.OnceValues(func() (*rsa.PrivateKey, []byte) {
	key := must(rsa.GenerateKey(rand.Reader, 2048))
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "out"}, NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour)}
	return key, must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))
})

// registerOuts registers them beside "app".
func (h *house) registerOuts(registry *sp.Registry) {
	app := strings.TrimSuffix(h.callback, "/callback")
	_, der := outPair()
	for _, o := range outs {
		binding := sp.BindingRedirect
		if o.id == "board" {
			binding = sp.BindingPOST
		}
		p := sp.SP{
			ID: o.id, Name: o.name, EntityID: "https://app.localhost/" + string(o.id), Sector: "app.localhost", Sign: sp.SignBoth, NameID: sp.NameIDTransient,
			Least: policies.AssuranceTwo, Signing: [][]byte{der},
			Faces: []sp.Face{{
				Network: policies.NetworkInternet, Consumers: []sp.Consumer{{Location: app + "/acs"}}, Logout: []sp.Endpoint{{Binding: binding, Location: app + "/slo/" + string(o.id)}},
			}},
		}
		if err := registry.Add(h.t.Context(), must(access.BreakGlass("operator")), p, h.Now().UnixMicro()); err != nil {
			h.t.Fatal(err)
		}
	}
}

// enters gives the address at which a service asks for a login.
func (h *house) enters(id policies.RelyingPartyID) string {
	doc := strings.Replace(h.samlRequest(), "https://app.localhost/saml<", "https://app.localhost/"+string(id)+"<", 1)
	return h.login + "/saml/sso?SAMLRequest=" + url.QueryEscape(packed(doc))
}

func packed(doc string) string {
	var b bytes.Buffer
	w := must(flate.NewWriter(&b, flate.BestCompression))
	_, _ = w.Write([]byte(doc))
	_ = w.Close()
	return base64.StdEncoding.EncodeToString(b.Bytes())
}

var (
	requestID   = regexp.MustCompile(` ID="([^"]+)"`)
	requestDest = regexp.MustCompile(` Destination="[^"]*/slo/([a-z]+)"`)
)

// answerTo is where a service sends the browser back to, with its signed answer to the hub's request.
func (h *house) answerTo(request string) string {
	id, who := requestID.FindStringSubmatch(request), requestDest.FindStringSubmatch(request)
	if id == nil || who == nil {
		h.t.Fatalf("no LogoutRequest: %s", request)
	}
	doc := `<samlp:LogoutResponse xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" ID="_` + rand.Text() + `" Version="2.0" IssueInstant="` + h.Now().UTC().Format(time.RFC3339) +
		`" Destination="` + h.login + `/saml/slo" InResponseTo="` + id[1] + `"><saml:Issuer xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion">https://app.localhost/` + who[1] +
		`</saml:Issuer><samlp:Status><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"/></samlp:Status></samlp:LogoutResponse>`
	q := "SAMLResponse=" + url.QueryEscape(packed(doc)) + "&SigAlg=" + url.QueryEscape("http://www.w3.org/2001/04/xmldsig-more#rsa-sha256")
	sum := sha256.Sum256([]byte(q))
	key, _ := outPair()
	return h.login + "/saml/slo?" + q + "&Signature=" + url.QueryEscape(base64.StdEncoding.EncodeToString(must(rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:]))))
}

// asked reads the LogoutRequest that came to a service.
func asked(values url.Values, inflate bool) string {
	doc, err := base64.StdEncoding.DecodeString(values.Get("SAMLRequest"))
	if err == nil && inflate {
		doc, err = io.ReadAll(flate.NewReader(bytes.NewReader(doc)))
	}
	if err != nil {
		return err.Error()
	}
	return string(doc)
}

// out plays the services: "wiki" and "board" answer, "chat" keeps the browser.
func (h *house) out(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	if strings.HasSuffix(r.URL.Path, "/chat") {
		_, _ = io.WriteString(w, "<!DOCTYPE html><html lang=en><title>chat</title>bye")
		return
	}
	http.Redirect(w, r, h.answerTo(asked(r.Form, r.Method == http.MethodGet)), http.StatusSeeOther)
}

// TestLeave: a logout at the hub goes through the services that only the browser can tell, past one that keeps the browser, to a page that says what
// became of each.
func TestLeave(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		b := h.browser(h.linked(1, logintest.TwoPosts))
		b.press(b.press(b.open(h.login+"/"), "/begin", nil), "/choose", nil)
		for _, o := range outs {
			if s := b.open(h.enters(o.id)); s.StatusCode != http.StatusOK || !strings.Contains(s.body, "SAMLResponse") {
				t.Fatalf("%d %s", s.StatusCode, s.text())
			}
		}
		b.open(h.enters("saml"))
		b.open(h.authorize("app"))
		b.open(h.authorize("quiet"))
		if b.in() == "" {
			t.Fatal("nobody is logged in")
		}
		s := b.press(b.open(h.login+"/logout"), "/logout", nil)
		if b.in() != "" {
			t.Error("still logged in")
		}
		to := must(url.Parse(s.to()))
		if to.Path != "/slo/board" && s.StatusCode != http.StatusOK {
			t.Fatalf("%d to %q", s.StatusCode, s.to())
		}
		// By id: board asks for a press, chat keeps the browser, wiki answers.
		golden(t, "leaving-form", s)
		action, fields := s.form(t, "/slo/board")
		if !strings.HasPrefix(action, "https://app.localhost") || !strings.Contains(s.Header.Get("Content-Security-Policy"), "form-action "+h.login+" ") &&
			!strings.Contains(s.Header.Get("Content-Security-Policy"), " "+h.login) {
			t.Errorf("%s with %s", action, s.Header.Get("Content-Security-Policy"))
		}
		s = b.open(h.answerTo(asked(fields, false)))
		golden(t, "leaving", s)
		if to = must(url.Parse(s.to())); to.Path != "/slo/chat" {
			t.Fatalf("%d to %q", s.StatusCode, s.to())
		}
		s = b.open(h.login + "/logout/done")
		golden(t, "logged-out-services-open", s)
		if !strings.Contains(s.text(), "文書のひろば") || h.browser(nil).open(h.login+"/logout/done").body == s.body {
			t.Errorf("%s", s.text())
		}
		s = b.link(s, s.resume(t))
		if to = must(url.Parse(s.to())); to.Path != "/slo/wiki" {
			t.Fatalf("%d to %q", s.StatusCode, s.to())
		}
		s = b.open(h.answerTo(asked(to.Query(), true)))
		golden(t, "logged-out-services", s)
		if s.StatusCode != http.StatusOK || strings.Contains(s.body, "残りのサービス") {
			t.Errorf("%d %s", s.StatusCode, s.text())
		}
	})
}

// resume is the address at which the rest is told.
func (s seen) resume(t *testing.T) string {
	t.Helper()
	m := regexp.MustCompile(`href="(/saml/slo/next/[0-9a-f]{16})"`).FindStringSubmatch(s.body)
	if m == nil {
		t.Fatalf("nothing to resume:\n%s", s.text())
	}
	return m[1]
}
