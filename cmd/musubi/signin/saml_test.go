package signin_test

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/musubi-hub/musubi/identity/login"
	"github.com/musubi-hub/musubi/identity/login/logintest"
)

// crossPost is a form that another site posts: no cookie of ours goes with it (SameSite=Lax), and what comes back is kept.
func (b *browser) crossPost(address string, form url.Values) seen {
	b.h.t.Helper()
	jar := b.c.Jar
	b.c.Jar = nil
	r := must(http.NewRequestWithContext(b.h.t.Context(), http.MethodPost, address, strings.NewReader(form.Encode())))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Origin", "https://app.localhost")
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	s := b.do(r)
	b.c.Jar = jar
	jar.SetCookies(r.URL, s.Cookies())
	return s
}

// response is the SAML response that the page takes to "saml".
func (s seen) response(t testing.TB) string {
	t.Helper()
	_, fields := s.form(t, "/acs")
	doc, err := base64.StdEncoding.DecodeString(fields.Get("SAMLResponse"))
	if err != nil || fields.Get("RelayState") != "relay" {
		t.Errorf("%v %v", fields, err)
	}
	return string(doc)
}

const success = `"urn:oasis:names:tc:SAML:2.0:status:Success"`

// A SAML request by POST finds the session that there is, and leaves other tabs' logins alone.
func TestSAMLByPost(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		b := h.browser(h.linked(0, logintest.Local))
		cookie := func(name string) string {
			for _, c := range b.c.Jar.Cookies(must(url.Parse(h.login))) {
				if c.Name == name {
					return c.Value
				}
			}
			return ""
		}
		// Nobody is logged in: one is asked, and answered at the service.
		first := b.follow(b.crossPost(h.login+"/saml/sso", h.samlForm()))
		first.says(t, "the choice", http.StatusOK, "例示アプリ", "マイナンバーカード")
		answered := b.press(first, "/begin", nil)
		answered.says(t, "the answer", http.StatusOK, "サービスへ進む")
		if doc := answered.response(t); !strings.Contains(doc, success) {
			t.Errorf("%s", doc)
		}
		if csp := answered.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "form-action https://app.localhost;") {
			t.Errorf("%s", csp)
		}
		// Another tab has begun a login that asks anew.
		other := b.open(h.authorize("app", "prompt", "login"))
		other.says(t, "another tab", http.StatusOK, "マイナンバーカード")
		before := cookie(login.CookieName)
		again := b.follow(b.crossPost(h.login+"/saml/sso", h.samlForm()))
		if doc := again.response(t); !strings.Contains(doc, success) {
			t.Errorf("%s", doc)
		}
		if after := cookie(login.CookieName); before == "" || after != before {
			t.Errorf("the login cookie went from %q to %q", before, after)
		}
		if q := code(t, b.press(other, "/begin", nil)); q.Get("code") == "" {
			t.Errorf("the other tab's login ended: %v", q)
		}
		for _, c := range b.c.Jar.Cookies(must(url.Parse(h.login))) {
			if strings.HasPrefix(c.Name, "__Host-musubi-saml-") {
				t.Errorf("%s stays", c.Name)
			}
		}
	})
}

// Whoever gets the address of a request that waits for somebody else's browser begins nothing.
func TestSAMLIsNotPlanted(t *testing.T) {
	h := one(t, nil)
	attacker, victim := h.browser(nil), h.browser(h.linked(0, logintest.Local))
	sent := attacker.crossPost(h.login+"/saml/sso", h.samlForm())
	planted := victim.open(sent.to())
	planted.says(t, "a planted address", http.StatusBadRequest, "別のブラウザ")
	h.incident(t, planted, "waiting_browser")
	attacker.follow(sent).says(t, "the browser itself", http.StatusOK, "マイナンバーカード")
	late := attacker.open(sent.to())
	late.says(t, "once more", http.StatusBadRequest, "別のブラウザ")
	h.incident(t, late, "waiting_browser")
	// What is wrong with a request is told where it comes in.
	form := h.samlForm()
	attacker.crossPost(h.login+"/saml/sso", form)
	replayed := attacker.crossPost(h.login+"/saml/sso", form)
	replayed.says(t, "a replay", http.StatusBadRequest, "すでに終わっています")
	h.incident(t, replayed, "request_replayed")
}
