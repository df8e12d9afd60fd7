package signin_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musubi-hub/musubi/cmd/musubi/signin"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/login"
	"github.com/musubi-hub/musubi/identity/login/logintest"
	"github.com/musubi-hub/musubi/identity/session"
	"github.com/musubi-hub/musubi/policies"
)

// Another browser sees nothing of a login, can't move it and can't end it.
func TestOtherBrowser(t *testing.T) {
	h := one(t, nil)
	victim, other := h.browser(h.linked(0, logintest.Local)), h.browser(nil)
	page := victim.open(h.authorize("app"))
	for _, path := range []string{"", "/by/password", "/return?code=x"} {
		s := other.open(h.login + "/login/" + idOf(page) + path)
		s.says(t, "another browser at "+path, http.StatusForbidden, "別のブラウザ")
		h.incident(t, s, "other_browser")
	}
	for _, suffix := range []string{"/begin", "/cancel"} {
		s := other.press(page, suffix, nil)
		s.says(t, "another browser posts to "+suffix, http.StatusForbidden, "別のブラウザ")
		h.incident(t, s, "other_browser")
	}
	if q := code(t, victim.press(page, "/begin", nil)); q.Get("code") == "" {
		t.Errorf("%v", q)
	}
}

// Somebody sends the address of their own card page to a person with a card: what the card proves counts in neither browser.
func TestLoginInAnothersFlow(t *testing.T) {
	h := one(t, nil)
	attacker, victim := h.browser(nil), h.browser(h.linked(0, logintest.Local))
	page := attacker.open(h.authorize("app"))
	action, fields := page.form(t, "/begin")
	link := attacker.post(action, fields).to()
	if !strings.HasPrefix(link, h.card+signin.CardPath+"?ticket=") {
		t.Fatalf("the card host is at %s", link)
	}
	s := victim.open(link)
	s.says(t, "the victim's browser", http.StatusForbidden, "別のブラウザ")
	h.incident(t, s, "other_browser")
	if victim.in() != "" || attacker.in() != "" {
		t.Error("somebody is logged in")
	}
	// Nor does one's own code in somebody else's flow.
	mine := attacker.open(h.authorize("app"))
	attacker.tls.Certificates = certificate(h.linked(1, logintest.LocalBoss))
	action, fields = mine.form(t, "/begin")
	back := attacker.do(must(http.NewRequestWithContext(t.Context(), http.MethodGet, attacker.post(action, fields).to(), http.NoBody))).to()
	theirs := victim.open(h.authorize("app"))
	s = victim.open(strings.Replace(back, idOf(mine), idOf(theirs), 1))
	s.says(t, "a code of somebody else's", http.StatusUnprocessableEntity, `role="alert"`, "使用済み")
	if victim.in() != "" {
		t.Error("the victim is logged in as the attacker")
	}
}

func TestForgedForms(t *testing.T) {
	h := one(t, nil)
	b := h.browser(h.linked(0, logintest.Local))
	page := b.open(h.authorize("app"))
	other := b.open(h.authorize("app")) // the same browser's other tab: each login's forms are its own
	_, theirs := other.form(t, "/begin")
	for _, form := range []string{"", "x", theirs.Get("form")} {
		for _, suffix := range []string{"/begin", "/cancel"} {
			s := b.press(page, suffix, url.Values{"form": {form}})
			s.says(t, "a forged form", http.StatusForbidden, "正しい画面から送られたものではありません")
			h.incident(t, s, "csrf")
		}
	}
	for _, path := range []string{"/choose", "/by/password"} {
		h.incident(t, b.post(h.login+"/login/"+idOf(page)+path, url.Values{"form": {"x"}}), "csrf")
	}
	b.press(page, "/begin", nil)
	for path, fields := range map[string]url.Values{
		"/sessions/end": {"session": {"others"}}, "/sessions/post": {}, "/logout": {"token": {"x"}},
	} {
		s := b.post(h.login+path, fields)
		s.says(t, path, http.StatusForbidden, "このフォームは使えません")
		h.incident(t, s, "csrf")
	}
	// A bare form to log out, as another site could send it, asks; so does a link.
	b.post(h.login+"/logout", nil).says(t, "a bare form", http.StatusOK, "ログアウトしますか")
	b.open(h.login+"/logout").says(t, "a link", http.StatusOK, "ログアウトしますか")
	if b.in() == "" {
		t.Error("logged out by a forged form")
	}
}

func TestUnreadableForms(t *testing.T) {
	h := one(t, nil)
	b := h.browser(nil)
	at := h.login + "/login/" + idOf(b.open(h.authorize("app"))) + "/begin"
	for name, x := range map[string]struct {
		address, kind, body string
		status              int
	}{
		"too large":    {at, "application/x-www-form-urlencoded", "form=" + strings.Repeat("a", 9000), http.StatusRequestEntityTooLarge},
		"a field 2x":   {at, "application/x-www-form-urlencoded", "form=a&form=b", http.StatusBadRequest},
		"zero":         {at, "application/x-www-form-urlencoded", "form=%00", http.StatusBadRequest},
		"bad escape":   {at, "application/x-www-form-urlencoded", "form=%zz", http.StatusBadRequest},
		"JSON":         {at, "application/json", "{}", http.StatusBadRequest},
		"multipart":    {at, "multipart/form-data; boundary=x", "--x--", http.StatusBadRequest},
		"in the query": {at + "?form=a", "application/x-www-form-urlencoded", "method=card", http.StatusBadRequest},
	} {
		r := must(http.NewRequestWithContext(t.Context(), http.MethodPost, x.address, strings.NewReader(x.body)))
		r.Header.Set("Content-Type", x.kind)
		s := b.do(r)
		s.says(t, name, x.status, "読み取れません")
		h.incident(t, s, "form_unreadable")
	}
}

// Whoever plants a session in a browser is no part of what the browser does next.
func TestFixation(t *testing.T) {
	h := one(t, nil)
	attacker, victim := h.browser(h.linked(0, logintest.LocalBoss)), h.browser(h.linked(1, logintest.Local))
	attacker.press(attacker.open(h.login+"/"), "/begin", nil)
	at := must(url.Parse(h.login))
	planted := attacker.c.Jar.Cookies(at)
	victim.c.Jar.SetCookies(at, planted)
	s := victim.open(h.authorize("app", "prompt", "login"))
	victim.press(s, "/begin", nil)
	if victim.in() != string(logintest.Local) || attacker.in() == string(logintest.Local) {
		t.Errorf("the victim is %q, the attacker %q", victim.in(), attacker.in())
	}
	for _, c := range victim.c.Jar.Cookies(at) {
		for _, p := range planted {
			if c.Name == session.CookieName && p.Value == c.Value {
				t.Error("the planted secret goes on")
			}
		}
	}
	// A secret that nobody drew opens nothing and isn't taken over.
	victim.c.Jar.SetCookies(at, []*http.Cookie{logintest.Secret(t).Cookie(session.CookieName), logintest.Secret(t).Cookie(login.CookieName)})
	if victim.in() != "" {
		t.Error("in by a made-up secret")
	}
}

func TestCookies(t *testing.T) {
	h := one(t, nil)
	b := h.browser(h.linked(0, logintest.Local))
	var all []*http.Cookie
	s := b.do(must(http.NewRequestWithContext(t.Context(), http.MethodGet, h.authorize("app"), http.NoBody)))
	all = append(all, s.Cookies()...)
	action, fields := b.open(s.to()).form(t, "/begin")
	back := b.do(must(http.NewRequestWithContext(t.Context(), http.MethodGet, b.post(action, fields).to(), http.NoBody)))
	if len(back.Cookies()) != 0 {
		t.Errorf("the card host sets %v", back.Cookies())
	}
	all = append(all, b.do(must(http.NewRequestWithContext(t.Context(), http.MethodGet, back.to(), http.NoBody))).Cookies()...)
	if len(all) != 2 {
		t.Fatalf("%v", all)
	}
	for _, c := range all {
		if !strings.HasPrefix(c.Name, "__Host-") || !c.Secure || !c.HttpOnly || c.Path != "/" || c.Domain != "" || c.SameSite != http.SameSiteLaxMode || c.MaxAge != 0 {
			t.Errorf("%+v", c)
		}
	}
}

func TestReplaysAndLateness(t *testing.T) {
	h := one(t, nil)
	b := h.browser(h.linked(0, logintest.Local))
	page := b.open(h.authorize("app"))
	action, fields := page.form(t, "/begin")
	ticket, second := b.post(action, fields).to(), b.post(action, fields).to() // a double click: each is a ticket of its own
	get := func(address string) seen {
		return b.do(must(http.NewRequestWithContext(t.Context(), http.MethodGet, address, http.NoBody)))
	}
	head := b.do(must(http.NewRequestWithContext(t.Context(), http.MethodHead, ticket, http.NoBody)))
	if head.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("HEAD: %d", head.StatusCode)
	}
	back := get(ticket).to()
	s := get(ticket)
	s.says(t, "a ticket twice", http.StatusForbidden, "使用済み", "ログインの画面へ戻る")
	h.incident(t, s, "ticket_invalid")
	if q := code(t, get(back)); q.Get("code") == "" {
		t.Errorf("%v", q)
	}
	s = get(back)
	s.says(t, "a code twice", http.StatusGone, "すでに終わっています")
	h.incident(t, s, "request_answered")
	get(second).says(t, "the other ticket", http.StatusForbidden, "使用済み")
	b.open(page.at).says(t, "back", http.StatusGone, "すでに終わっています")

	page = b.open(h.authorize("app", "prompt", "login"))
	h.Pass(login.Lifetime + time.Second)
	s = b.open(page.at)
	s.says(t, "too late", http.StatusGone, "制限時間")
	h.incident(t, s, "request_expired")
}

func TestOpenRedirects(t *testing.T) {
	h := one(t, nil)
	card := h.linked(0, logintest.Local)
	for _, to := range []string{
		"//evil.example", "https://evil.example/", "/\\evil.example", "\\\\evil.example", "/%0d%0aLocation:https://evil.example", "javascript:alert(1)", "evil.example",
		"/logout", "/login?to=/x", "/oidc/authorize?client_id=app", "/invitation/x", "/.//evil.example", "http:/evil.example", "/x#y", "/\tx", "/" + strings.Repeat("a", 3000),
	} {
		b := h.browser(card)
		s := b.press(b.open(h.login+"/login?to="+url.QueryEscape(to)), "/begin", nil)
		if !strings.HasPrefix(s.at, h.login+"/") || s.StatusCode != http.StatusOK || !strings.HasPrefix(s.body, "home /") {
			t.Errorf("%q leads to %s", to, s.at)
		}
	}
}

// A request for another host than the connection's, or for one of another network, is served nowhere.
func TestHostHeader(t *testing.T) {
	h := one(t, nil)
	b := h.browser(nil)
	lgwan := strings.TrimPrefix(h.lgwan, "https://")
	for name, x := range map[string]struct{ host, reason string }{
		"a made-up host":         {"evil.example", "host_unknown"},
		"the right one's parent": {"localhost", "host_unknown"},
		"another network's":      {lgwan, "host_of_another"},
		"the card host":          {strings.TrimPrefix(h.card, "https://"), "host_not_as_sni"},
		"a port of its own":      {"login.localhost:1", "host_unknown"},
		"a dot at its end":       {strings.Replace(strings.TrimPrefix(h.login, "https://"), ":", ".:", 1), "host_unknown"},
	} {
		r := must(http.NewRequestWithContext(t.Context(), http.MethodGet, h.login+"/", http.NoBody))
		r.Host = x.host
		r.Header.Set("X-Forwarded-Host", strings.TrimPrefix(h.login, "https://"))
		s := b.do(r)
		s.says(t, name, http.StatusMisdirectedRequest)
		h.incident(t, s, x.reason)
		if len(s.Cookies()) != 0 || strings.Contains(s.Header.Get("Location"), "evil") {
			t.Errorf("%s: %v %v", name, s.Cookies(), s.Header)
		}
	}
	r := must(http.NewRequestWithContext(t.Context(), http.MethodGet, h.login+"/", http.NoBody))
	for _, name := range []string{"X-Forwarded-Host", "X-Forwarded-Proto", "Forwarded", "X-Forwarded-For"} {
		r.Header.Set(name, "evil.example")
	}
	if s := b.do(r); !strings.HasPrefix(s.Header.Get("Location"), "/login/") {
		t.Errorf("forwarded headers lead to %s", s.Header.Get("Location"))
	}
}

func TestForgedCertificateHeader(t *testing.T) {
	h := one(t, nil)
	b := h.browser(h.linked(0, logintest.Local))
	for _, name := range []string{"Client-Cert", "Client_Cert", "Client-Cert-Chain", "CLIENT-cert"} {
		action, fields := b.open(h.authorize("app")).form(t, "/begin")
		r := must(http.NewRequestWithContext(t.Context(), http.MethodGet, b.post(action, fields).to(), http.NoBody))
		r.Header[name] = []string{":AAAA:"}
		s := b.do(r)
		s.says(t, name, http.StatusBadRequest, "信頼できない所から")
		h.incident(t, s, "client_cert_forged")
		h.Pass(time.Second)
	}
}

// Another network's host knows nothing of a login, even with its cookies.
func TestOtherNetwork(t *testing.T) {
	h := one(t, nil)
	b := h.browser(h.linked(0, logintest.Local))
	page := b.open(h.authorize("app"))
	at, there := must(url.Parse(h.login)), must(url.Parse(h.lgwan))
	b.c.Jar.SetCookies(there, b.c.Jar.Cookies(at))
	s := b.open(h.lgwan + "/login/" + idOf(page))
	s.says(t, "another network", http.StatusForbidden, "別のネットワーク")
	h.incident(t, s, "other_network")
	b.press(page, "/begin", nil)
	b.c.Jar.SetCookies(there, b.c.Jar.Cookies(at))
	r := must(http.NewRequestWithContext(t.Context(), http.MethodGet, h.lgwan+"/who", http.NoBody))
	r.Header.Set("Accept", "application/json")
	if s := b.do(r); s.StatusCode != http.StatusUnauthorized {
		t.Errorf("a session of another network: %d %s", s.StatusCode, s.body)
	}
}

// The card host reads cards and serves nothing else.
func TestCardHost(t *testing.T) {
	h := one(t, nil)
	b := h.browser(nil)
	for _, path := range []string{"/", "/login", "/sessions", "/logout", "/oidc/keys", "/.well-known/openid-configuration", "/card/", "/card/x", "/api/x", "/favicon.ico"} {
		s := b.open(h.card + path)
		s.says(t, path, http.StatusNotFound, "カードを読み取るためだけ")
	}
	s := b.open(h.card + signin.CardPath + "?ticket=x&login=" + url.QueryEscape("https://evil.example/AAAAAAAAA"))
	s.says(t, "a made-up ticket", http.StatusForbidden, "使用済み")
	if strings.Contains(s.body, "evil") {
		t.Error("the way back leads elsewhere")
	}
	with := one(t, func(c *signin.Config) {
		c.CardAPI = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = fmt.Fprint(w, "api "+r.URL.Path) })
	})
	if s := with.browser(nil).open(with.card + "/api/x"); s.body != "api /api/x" {
		t.Errorf("%s", s.body)
	}
}

// Every answer carries the headers that keep other sites out.
func TestHeaders(t *testing.T) {
	h := one(t, nil)
	b := h.browser(h.linked(0, logintest.Local))
	var all []seen
	page := b.open(h.authorize("app"))
	all = append(all, page, b.press(page, "/begin", url.Values{"form": {"x"}}), b.open(h.login+"/login/x"), b.open(h.card+"/"), b.open(h.login+"/logout/done"))
	b.press(page, "/begin", nil)
	all = append(all, b.open(h.login+"/sessions"), b.open(h.login+"/logout"), b.open(h.login+"/x"))
	evil := must(http.NewRequestWithContext(t.Context(), http.MethodGet, h.login, http.NoBody))
	evil.Host = "evil.example"
	all = append(all, b.do(evil), b.do(must(http.NewRequestWithContext(t.Context(), http.MethodGet, h.authorize("app"), http.NoBody))))
	for _, s := range all {
		csp := s.Header.Get("Content-Security-Policy")
		for _, part := range []string{"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action "} {
			if !strings.Contains(csp, part) {
				t.Errorf("%s: the policy %q lacks %s", s.at, csp, part)
			}
		}
		if strings.Contains(csp, "unsafe") || strings.Contains(csp, "*") || strings.Contains(csp, "script") {
			t.Errorf("%s: %s", s.at, csp)
		}
		for name, want := range map[string]string{
			"Strict-Transport-Security": "max-age=31536000", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer",
			"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin", "Cache-Control": "no-store",
		} {
			if got := s.Header.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", s.at, name, got, want)
			}
		}
		if s.Header.Get("Permissions-Policy") == "" || strings.Contains(s.body, "<script") || len(s.body) > maxPage {
			t.Errorf("%s: %v, %d bytes", s.at, s.Header, len(s.body))
		}
	}
}

// A leaver is out at the next request, and told why at the next login.
func TestLeaver(t *testing.T) {
	h := one(t, nil)
	b := h.browser(h.linked(0, logintest.Local))
	b.press(b.open(h.login+"/"), "/begin", nil).says(t, "in", http.StatusOK, "home /")
	h.End(logintest.Local)
	out := b.open(h.login + "/")
	out.says(t, "out", http.StatusOK, "カードで本人確認をする")
	s := b.press(out, "/begin", nil)
	s.says(t, "a leaver", http.StatusForbidden, "在職の登録が終わっている", "所属する組織の管理者")
	h.incident(t, s, "person_ended")
}

type brokenPosts struct{ people }

func (brokenPosts) Choices(context.Context, access.Actor, int64) ([]access.Actor, error) {
	return nil, errors.New("secret inside: table posts is gone")
}

// What fails inside is told by a number; what it was stands in the log alone.
func TestBrokenInside(t *testing.T) {
	h := one(t, func(c *signin.Config) { c.Posts = brokenPosts{c.Posts.(people)} })
	b := h.browser(h.linked(0, logintest.Local))
	s := b.press(b.open(h.authorize("app")), "/begin", nil)
	s.says(t, "broken", http.StatusInternalServerError, "ハブの中で問題が起きました")
	row := h.incident(t, s, "internal")
	if strings.Contains(s.body, "secret inside") || strings.Contains(s.body, "posts is gone") || !strings.Contains(h.log.String(), "secret inside") ||
		!strings.Contains(h.log.String(), row.ID) {
		t.Errorf("page %s\nlog %s", s.text(), h.log.String())
	}
}

// Whoever sends rubbish fills no log.
func TestRefusalsAreThrottled(t *testing.T) {
	h := one(t, nil)
	b := h.browser(nil)
	without := 0
	for range 40 {
		r := must(http.NewRequestWithContext(t.Context(), http.MethodGet, h.login, http.NoBody))
		r.Host = "evil.example"
		if s := b.do(r); !incidentForm.MatchString(s.body) {
			without++
		}
	}
	rows := h.Audit(t, audit.Filter{Action: "http.request"})
	if len(rows) != 10 || without != 30 {
		t.Errorf("%d rows, %d pages without a number", len(rows), without)
	}
	h.Pass(time.Second)
	r := must(http.NewRequestWithContext(t.Context(), http.MethodGet, h.login, http.NoBody))
	r.Host = "evil.example"
	if row := h.incident(t, b.do(r), "host_unknown"); row.Detail["not_recorded_before"] != float64(30) {
		t.Errorf("%+v", row)
	}
}

// The link of an invitation is kept in the browser and out of the address, and works with the letter's code alone.
func TestInvitation(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		sent := h.invite(logintest.LocalBoss)
		b := h.browser(h.linked(0, logintest.Local))
		b.press(b.open(h.login+"/"), "/begin", nil) // somebody else is logged in there
		b.tls.Certificates = certificate(cards()[3])
		s := b.open(h.login + signin.InvitationPath(sent.Path))
		s.says(t, "the link", http.StatusOK, "カードで本人確認をする")
		if strings.Contains(s.at, sent.Path) || strings.Contains(s.body, sent.Path) {
			t.Error("the path shows")
		}
		form := b.link(b.press(s, "/begin", nil), "/by/invitation")
		form.says(t, "the form", http.StatusOK, `value="`+sent.Path+`"`)
		wrong := b.press(form, "/by/invitation", url.Values{"code": {"0000-0000-0000"}})
		wrong.says(t, "a wrong code", http.StatusUnprocessableEntity, "手紙のコードが違います")
		h.incident(t, wrong, "proof_rejected: invitation_code_wrong")
		done := b.press(wrong, "/by/invitation", url.Values{"code": {strings.ToLower(sent.Code)}, "path": {h.login + signin.InvitationPath(sent.Path)}})
		done.says(t, "in", http.StatusOK, "of "+string(logintest.LocalBoss))
		for _, c := range b.c.Jar.Cookies(must(url.Parse(h.login))) {
			if strings.Contains(c.Name, "invitation") {
				t.Error("the path stays in the browser")
			}
		}
		b.open(h.login+"/invitation/x").says(t, "no path", http.StatusNotFound, "この招待は使えません")
	})
}

// What only looks ahead ends no login: it would take the answer and throw it away.
func TestLookingAhead(t *testing.T) {
	h := one(t, nil)
	b := h.browser(h.linked(0, logintest.Local))
	code(t, b.press(b.open(h.authorize("app")), "/begin", nil))
	to := b.do(must(http.NewRequestWithContext(t.Context(), http.MethodGet, h.authorize("app"), http.NoBody))).to()
	r := must(http.NewRequestWithContext(t.Context(), http.MethodHead, to, http.NoBody))
	if s := b.do(r); s.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("HEAD: %d", s.StatusCode)
	}
	r = must(http.NewRequestWithContext(t.Context(), http.MethodGet, to, http.NoBody))
	r.Header.Set("Sec-Purpose", "prefetch;prerender")
	if s := b.do(r); s.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("a prefetch: %d", s.StatusCode)
	}
	if q := code(t, b.open(to)); q.Get("code") == "" {
		t.Errorf("%v", q)
	}
}

// Before the parts are there, and behind no door, nothing is served.
func TestNothingWithoutItsParts(t *testing.T) {
	if _, err := signin.New(signin.Config{}); err == nil {
		t.Error("a site of nothing")
	}
	h := one(t, nil)
	for name, handler := range map[string]http.Handler{
		"the login host": h.site.LoginHandler(policies.NetworkInternet), "the card host": h.site.CardHandler(policies.NetworkInternet),
		"a page": h.site.Require(http.HandlerFunc(home)),
	} {
		w := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, h.login+"/logout/done", http.NoBody)
		handler.ServeHTTP(w, r)
		if w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "no door") {
			t.Errorf("%s: %d\n%s", name, w.Code, w.Body.String())
		}
	}
	if _, _, ok := signin.Present(httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)); ok {
		t.Error("somebody is present outside of Require")
	}
}

// A name that nobody has and a wrong password of somebody are told alike, letter by letter.
func TestNamesAreNotTold(t *testing.T) {
	h := one(t, nil)
	h.newPassword(logintest.Local, logintest.CityA)
	b := h.browser(cards()[0])
	form := b.link(b.press(b.open(h.authorize("app")), "/begin", nil), "/by/password")
	var told []string
	for _, name := range []string{"taro@city.example", "nobody@city.example"} {
		s := b.press(form, "/by/password", url.Values{"name": {name}, "password": {"wrong wrong wrong"}})
		text := s.Status + strings.ReplaceAll(s.body, name, "NAME")
		told = append(told, incidentForm.ReplaceAllString(text, ""))
	}
	if told[0] != told[1] {
		t.Errorf("they differ:\n%s", cmp.Diff(told[0], told[1]))
	}
}
