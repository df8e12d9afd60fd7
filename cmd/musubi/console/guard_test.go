package console

import (
	"crypto/rand"
	"net/http"
	"strings"
	"testing"

	"github.com/musubi-hub/musubi/policies"
)

func TestHeadersOnEveryAnswer(t *testing.T) {
	h := sqliteHub(t)
	people := h.country()
	record := h.plan(people.planner)
	b := h.open(people.planner)
	style := ""
	for path := range h.console.assets {
		style = path
	}
	for _, c := range []struct {
		method, path string
		cookie       string
		change       func(*http.Request)
		status       int
	}{
		{"GET", "/", b.cookie, nil, 200},
		{"HEAD", "/", b.cookie, nil, 200},
		{"GET", "/orgs", b.cookie, nil, 200},
		{"GET", "/orgs?kind=nonsense", b.cookie, nil, 400},
		{"GET", "/orgs?q=" + strings.Repeat("a", 101), b.cookie, nil, 400},
		{"GET", "/orgs?q=%FF", b.cookie, nil, 400},
		{"GET", "/orgs?after=%00", b.cookie, nil, 400},
		{"GET", "/orgs/" + string(sapporo), b.cookie, nil, 200},
		{"GET", "/orgs/" + string(sapporo) + "?q=%00&after=%00", b.cookie, nil, 200},
		{"GET", "/orgs/" + string(sapporo) + "?after=" + strings.Repeat("a", 101), b.cookie, nil, 400},
		{"GET", "/orgs/999999", b.cookie, nil, 404},
		{"GET", "/orgs/..%2f", b.cookie, nil, 404},
		{"GET", "/plans/" + record.Hash, b.cookie, nil, 200},
		{"GET", "/plans/" + strings.Repeat("0", 64), b.cookie, nil, 404},
		{"GET", "/plans/" + record.Hash[:12], b.cookie, nil, 404},
		{"GET", "/nothing", b.cookie, nil, 404},
		{"POST", "/orgs", b.cookie, nil, 405},
		{"DELETE", "/", b.cookie, nil, 405},
		{"GET", "/", "", nil, 401},
		{"GET", "/", strings.Repeat("A", 43), nil, 401},
		{"GET", "/", "short", nil, 401},
		{"GET", "/orgs", "", nil, 401},
		{"GET", "/plans/" + record.Hash, "", nil, 401},
		{"GET", h.ticket(people.planner), "", nil, 200},
		{"GET", "/open/" + strings.Repeat("A", 43), "", nil, 404},
		{"GET", "/closed", "", nil, 200},
		{"GET", style, "", nil, 200},
		{"GET", "/", b.cookie, func(r *http.Request) { r.Host = "evil.example" }, 421},
		{"POST", "/logout", b.cookie, func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }, 403},
		{"POST", "/logout", b.cookie, nil, 303},
	} {
		visitor := &browser{h: h, cookie: c.cookie}
		a := visitor.do(c.method, c.path, c.change)
		if a.status != c.status {
			t.Errorf("%s %s: %d, want %d", c.method, c.path, a.status, c.status)
		}
		for name, want := range map[string]string{
			"Content-Security-Policy":      "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
			"X-Content-Type-Options":       "nosniff",
			"X-Frame-Options":              "DENY",
			"Referrer-Policy":              "no-referrer",
			"Cross-Origin-Opener-Policy":   "same-origin",
			"Cross-Origin-Resource-Policy": "same-origin",
			"Content-Language":             "ja",
		} {
			if got := a.header.Get(name); got != want {
				t.Errorf("%s %s: %s is %q", c.method, c.path, name, got)
			}
		}
		if cache := a.header.Get("Cache-Control"); (c.path == style) != strings.Contains(cache, "immutable") || (c.path != style && cache != "no-store") {
			t.Errorf("%s %s: Cache-Control %q", c.method, c.path, cache)
		}
		if strings.Contains(a.body, "<script") || strings.Contains(a.body, " style=") || strings.Contains(a.body, " onclick") {
			t.Errorf("%s %s: inline script or style", c.method, c.path)
		}
	}
}

func TestHost(t *testing.T) {
	h := sqliteHub(t)
	b := h.open(h.country().planner)
	for host, want := range map[string]int{
		"localhost": 200, "localhost:8080": 200, "LOCALHOST:1": 200, "127.0.0.1": 200, "127.0.0.1:8080": 200, "127.8.8.8:80": 200,
		"[::1]:8080": 200, "[::1]": 200, "[::ffff:127.0.0.1]:80": 200,
		"": 421, "evil.example": 421, "evil.example:8080": 421, "localhost.evil.example": 421, "127.0.0.1.evil.example": 421,
		"10.0.0.1": 421, "0.0.0.0:8080": 421, "[::]:8080": 421, "169.254.169.254": 421, "[::1%25eth0]:80": 421, "127.1": 421,
	} {
		a := b.do(http.MethodGet, "/", func(r *http.Request) { r.Host = host })
		if a.status != want {
			t.Errorf("Host %q: %d, want %d", host, a.status, want)
		}
		if want == 421 && (strings.Contains(a.body, "計画 一郎") || !strings.Contains(a.body, "127.0.0.1")) {
			t.Errorf("Host %q: wrong page", host)
		}
	}
}

func TestCrossSitePost(t *testing.T) {
	h := sqliteHub(t)
	people := h.country()
	b := h.open(people.planner)
	path := h.ticket(people.planner)
	for name, change := range map[string]func(*http.Request){
		"cross-site":   func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") },
		"another port": func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-site") },
		"old browser": func(r *http.Request) {
			r.Header.Del("Sec-Fetch-Site")
			r.Header.Set("Origin", "http://127.0.0.1:9999")
		},
		"opaque origin": func(r *http.Request) {
			r.Header.Del("Sec-Fetch-Site")
			r.Header.Set("Origin", "null")
		},
	} {
		for _, target := range []string{"/logout", path} {
			visitor := &browser{h: h, cookie: b.cookie}
			if a := visitor.do(http.MethodPost, target, change); a.status != http.StatusForbidden || !strings.Contains(a.body, "ほかのサイトからの操作を拒否しました") {
				t.Errorf("%s: %d", name, a.status)
			}
		}
		wantText(t, b.get("/"), http.StatusOK)
	}
	visitor := &browser{h: h}
	if a := visitor.do(http.MethodPost, path, nil); a.status != http.StatusSeeOther {
		t.Error("the refused requests used the ticket up:", a.status)
	}
}

func TestTwoCookiesAreNone(t *testing.T) {
	h := sqliteHub(t)
	b := h.open(h.country().planner)
	a := b.do(http.MethodGet, "/", func(r *http.Request) { r.AddCookie(&http.Cookie{Name: cookieName, Value: strings.Repeat("A", 43)}) })
	wantText(t, a, http.StatusUnauthorized)
}

func TestNewRefusesNonsense(t *testing.T) {
	h := sqliteHub(t)
	for name, change := range map[string]func(*Config){
		"no database":   func(c *Config) { c.DB = nil },
		"no clock":      func(c *Config) { c.Now = nil },
		"no randomness": func(c *Config) { c.Random = nil },
		"script": func(c *Config) {
			c.ProductLinks = map[policies.Product]string{policies.ProductJira: "javascript:alert(1)"}
		},
		"no host": func(c *Config) { c.ProductLinks = map[policies.Product]string{policies.ProductJira: "/jira/"} },
		"password": func(c *Config) {
			c.ProductLinks = map[policies.Product]string{policies.ProductJira: "http://a:b@127.0.0.1/"}
		},
	} {
		cfg := h.console.cfg
		cfg.Random = rand.Reader
		change(&cfg)
		if _, err := New(cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
