package signin_test

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/musubi-hub/musubi/cmd/musubi/signin"
	"github.com/musubi-hub/musubi/cmd/musubi/signin/page"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/login/logintest"
	"github.com/musubi-hub/musubi/identity/session"
)

var update = flag.Bool("update", false, "write the golden files anew")

// moving is what is different each time.
var moving = []struct {
	what *regexp.Regexp
	with string
}{
	{regexp.MustCompile(`(?s)<style>.*?</style>\n?`), ""},
	{regexp.MustCompile(`<link rel="icon"[^>]*>\n?`), ""},
	{regexp.MustCompile(`(?s)<svg.*?</svg>`), ""},
	{regexp.MustCompile(`localhost(?::|%3A)\d+`), "localhost"},
	{regexp.MustCompile(`/login/[A-Za-z0-9_-]{22}`), "/login/ID"},
	{regexp.MustCompile(`(login=)[A-Za-z0-9_-]{22}`), "${1}ID"},
	{regexp.MustCompile(`(ticket=)[A-Za-z0-9_-]+`), "${1}TICKET"},
	{regexp.MustCompile(`(name="(?:form|token|code)" value=")[^"]*`), "${1}TOKEN"},
	{regexp.MustCompile(`(code=)[A-Za-z0-9_-]{20,}`), "${1}CODE"},
	{regexp.MustCompile(`(sid=)[A-Za-z0-9_-]+`), "${1}SID"},
	{regexp.MustCompile(`\b[0-9a-f]{32}\b`), "HEX"},
	{regexp.MustCompile(`(/saml/slo/(?:next|done)/)[0-9a-f]{16}`), "${1}ID"},
	{regexp.MustCompile(`(name="SAMLRe[a-z]+" value=")[^"]*`), "${1}MESSAGE"},
	{regexp.MustCompile(`((?:SAMLRequest|Signature)=)[A-Za-z0-9%]+`), "${1}MESSAGE"},
	{regexp.MustCompile(`\b261201(-[0-9A-Z]{4}){3}\b`), "261201-XXXX-XXXX-XXXX"},
}

func golden(t *testing.T, name string, s seen) {
	t.Helper()
	text := http.StatusText(s.StatusCode) + "\n" + s.Header.Get("Content-Security-Policy") + "\n\n" + s.body
	text = regexp.MustCompile(`sha256-[A-Za-z0-9+/=]+`).ReplaceAllString(text, "sha256-STYLE")
	for _, m := range moving {
		text = m.what.ReplaceAllString(text, m.with)
	}
	file := filepath.Join("testdata", name+".html.golden")
	if *update {
		if err := os.MkdirAll("testdata", 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), text); diff != "" {
		t.Errorf("%s changed (go test ./cmd/musubi/signin -run TestGoldenPages -update writes it anew):\n%s", name, diff)
	}
	if len(s.body) > maxPage {
		t.Errorf("%s has %d bytes", name, len(s.body))
	}
}

// Every page as people get it, in both languages.
func TestGoldenPages(t *testing.T) {
	h := one(t, nil)
	b := h.browser(cards()[0])
	page := b.open(h.authorize("app"))
	golden(t, "methods", page)
	action, fields := page.form(t, "/begin")
	golden(t, "go-card", b.post(action, fields))
	linking := b.press(page, "/begin", nil)
	golden(t, "linking", linking)
	golden(t, "invitation", b.link(linking, "/by/invitation"))
	form := b.link(linking, "/by/password")
	golden(t, "password", form)
	golden(t, "password-wrong", b.press(form, "/by/password", url.Values{"name": {"taro@city.example"}, "password": {"wrong wrong wrong"}}))
	golden(t, "go-service", b.press(form, "/by/password", url.Values{"name": {"taro@city.example"}, "password": {h.newPassword(logintest.Local, logintest.CityA)}}))
	golden(t, "answer", b.open(h.authorize("app", "response_mode", "form_post")))
	golden(t, "sessions", b.open(h.login+"/sessions"))
	golden(t, "logout", b.open(h.login+"/logout"))
	ask := b.open(h.login + "/oidc/logout?client_id=app&post_logout_redirect_uri=" + url.QueryEscape("https://app.localhost/bye"))
	golden(t, "logout-service", ask)
	golden(t, "logged-out-service", b.press(ask, "/oidc/logout/confirm", nil))
	golden(t, "logged-out", h.browser(nil).open(h.login+"/logout/done"))

	b = h.browser(h.linked(1, logintest.TwoPosts))
	posts := b.press(b.open(h.login+"/"), "/begin", nil)
	golden(t, "posts", posts)
	b.press(posts, "/choose", nil)
	golden(t, "sessions-posts", b.open(h.login+"/sessions"))

	b = h.browser(h.linked(2, logintest.Vendor))
	golden(t, "refused", b.press(b.open(h.authorize("closed")), "/begin", nil))
	b = h.browser(nil)
	hub := b.open(h.login + "/")
	golden(t, "methods-hub", hub)
	golden(t, "sealed", b.link(hub, "/by/break_glass"))
	golden(t, "cancelled", b.press(hub, "/cancel", nil))
	golden(t, "no-card", b.press(b.open(h.authorize("app")), "/begin", nil))
	golden(t, "unknown", b.open(h.login+"/login/AAAAAAAAAAAAAAAAAAAAAA"))
	golden(t, "not-found", b.open(h.login+"/login/x/y/z"))
	golden(t, "card-host", b.open(h.card+"/"))
	golden(t, "service-problem", b.open(h.authorize("app", "redirect_uri", "https://evil.example/")))
	r := must(http.NewRequestWithContext(t.Context(), http.MethodGet, h.login, http.NoBody))
	r.Host = "evil.example"
	golden(t, "misdirected", b.do(r))
	golden(t, "not-in", b.post(h.login+"/orgs", nil))

	h = one(t, func(c *signin.Config) {
		c.Notice = "実演用の環境です。"
		c.CardVia = func(at string) string { return "https://sandbox.localhost/?to=" + url.QueryEscape(at) }
	})
	b = h.browser(nil)
	page = b.open(h.authorize("app"))
	golden(t, "methods-demonstration", page)
	action, fields = page.form(t, "/begin")
	shown := b.post(action, fields)
	if !strings.Contains(shown.body, "0;url=https://sandbox.localhost/?to=https%3A%2F%2Fcard.localhost") {
		t.Errorf("the browser goes to %s", shown.to())
	}
}

// The page of services, with some and with none; the sessions lead to it.
func TestServicesPage(t *testing.T) {
	var list []page.Service
	h := one(t, func(c *signin.Config) {
		c.Services = func(_ context.Context, a access.Actor, s session.Session) ([]page.Service, error) {
			if a.Person.ID != logintest.TwoPosts || s.Person != a.Person.ID || s.Org != a.Org.ID {
				return nil, fmt.Errorf("asked for %s by the session of %s", a.Person.ID, s.Person)
			}
			return list, nil
		}
	})
	b := h.browser(h.linked(0, logintest.TwoPosts))
	begun := b.open(h.login + "/services")
	begun.says(t, "without a session", http.StatusOK, "マイナンバーカード")
	none := b.press(b.press(begun, "/begin", nil), "/choose", nil)
	golden(t, "services-none", none)
	list = []page.Service{
		{Name: page.Label{JA: "文書"}, Link: "https://login.localhost/saml/start?party=wiki&mark=x"},
		{Name: page.Label{JA: "<b>案件</b>"}},
		{Name: page.Label{JA: "悪いリンク"}, Link: "javascript:alert(1)"},
	}
	some := b.open(h.login + "/services")
	golden(t, "services", some)
	if strings.Contains(some.body, "javascript") || strings.Contains(some.body, "<b>") {
		t.Error("what isn't a web address, or markup, is shown")
	}
	b.open(h.login+"/sessions").says(t, "the sessions", http.StatusOK, `href="/services"`)
	if without := one(t, nil); without.browser(nil).open(without.login+"/services").StatusCode != http.StatusOK { // the console's, which asks for login
		t.Error("the address isn't the console's where there are no services")
	}
}
