package relying

import (
	"net/url"
	"strings"
	"testing"
	"time"
)

// FuzzTarget holds that a login never ends anywhere but on a page of the site.
func FuzzTarget(f *testing.F) {
	for _, s := range []string{"/shop/a?b=c#d", "//evil", "/shop//evil", "/shop/../x", "/\\evil", "/shop/%2e%2e/x", "/shop/%2e%2e/\"", "https:/shop/", "/shop/\x00", ""} {
		f.Add(s)
	}
	p := &Party{place: Place{Name: "shop", Home: "/shop/home"}}
	f.Fuzz(func(t *testing.T, asked string) {
		got := p.target(asked)
		u, err := url.Parse(got)
		if err != nil || u.Host != "" || u.Scheme != "" || !strings.HasPrefix(u.Path, "/shop/") || strings.ContainsAny(got, "\r\n\\") || len(got) > maxTarget {
			t.Errorf("%q leads to %q", asked, got)
		}
		at, err := url.Parse("https://shop.localhost:8444/shop/login")
		if err != nil {
			t.Fatal(err)
		}
		if to := at.ResolveReference(u); to.Host != at.Host || !strings.HasPrefix(to.Path, "/shop/") {
			t.Errorf("%q leads to %s", asked, to)
		}
	})
}

// FuzzClaims holds that nothing is taken for an ID token or a logout token that doesn't say what it must.
func FuzzClaims(f *testing.F) {
	now := time.Unix(1_796_000_000, 0)
	f.Add(`{"iss":"i","aud":"c","sub":"s","nonce":"n","exp":1796000100,"iat":1796000000}`, "JWT")
	f.Add(`{"iss":"i","aud":["c"],"sid":"s","jti":"j","exp":1796000100,"iat":1796000000,"events":{"http://schemas.openid.net/event/backchannel-logout":{}}}`, "logout+jwt")
	f.Add(`{"iss":"i","aud":"c","exp":1e400,"iat":null}`, "")
	f.Fuzz(func(t *testing.T, payload, typ string) {
		c, err := readClaims([]byte(payload))
		if err != nil {
			return
		}
		id := judgeID(c, typ, expected{issuer: "i", client: "c", nonce: "n"}, now)
		e, out := judgeLogout(c, typ, "i", "c", now)
		if id == "" && out == "" {
			t.Errorf("%q of type %q is both", payload, typ)
		}
		if id == "" && (!c.is("nonce", "n") || !c.is("iss", "i") || !c.audience("c")) {
			t.Errorf("%q is an ID token", payload)
		}
		if out == "" && (e.id == "" || e.subject+e.session == "" || !now.Before(e.ends) || c["nonce"] != nil) {
			t.Errorf("%q is a logout token", payload)
		}
	})
}
