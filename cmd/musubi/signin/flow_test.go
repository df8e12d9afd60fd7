package signin_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/identity/login/logintest"
)

// A person's first day: a card that is nobody's, the password beside it, and from then on the card alone.
func TestFirstUse(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		text := h.newPassword(logintest.Local, logintest.CityA)
		b := h.browser(cards()[0])
		start := b.open(h.authorize("app"))
		start.says(t, "the choice", http.StatusOK, "例示アプリ", "マイナンバーカード", "まで有効です")
		if strings.Contains(start.body, "by/password") || strings.Contains(start.body, "封印") {
			t.Error("a password is offered where it opens nothing")
		}
		linking := b.press(start, "/begin", nil)
		linking.says(t, "an unlinked card", http.StatusOK, "カードの初回登録", "by/password", "by/invitation")
		if strings.Contains(linking.at, "code=") {
			t.Errorf("the code stays in the address %s", linking.at)
		}
		form := b.link(linking, "/by/password")
		form.says(t, "the form", http.StatusOK, `autocomplete="username"`, `autocomplete="current-password"`)
		wrong := b.press(form, "/by/password", url.Values{"name": {"taro@city.example"}, "password": {"wrong wrong wrong"}})
		wrong.says(t, "a wrong password", http.StatusUnprocessableEntity, `role="alert"`, "名前またはパスワードが違います", `value="taro@city.example"`, `aria-invalid="true"`)
		h.incident(t, wrong, "proof_rejected: wrong_name_or_password")
		if strings.Contains(wrong.body, "wrong wrong wrong") {
			t.Error("the password comes back")
		}
		done := b.press(wrong, "/by/password", url.Values{"password": {text}})
		if q := code(t, done); q.Get("code") == "" || q.Get("state") != "st" || q.Get("iss") != h.login {
			t.Errorf("%v", q)
		}
		if who := b.in(); who != string(logintest.Local) {
			t.Errorf("logged in as %q", who)
		}
		// Single sign-on: nothing is asked.
		if q := code(t, b.open(h.authorize("app"))); q.Get("code") == "" {
			t.Errorf("%v", q)
		}
		// Elsewhere the card alone does.
		other := h.browser(cards()[0])
		if q := code(t, other.press(other.open(h.authorize("app")), "/begin", nil)); q.Get("code") == "" {
			t.Errorf("%v", q)
		}
	})
}

// The hub's own pages: whoever opens one is led to the login and back to it.
func TestHubsOwnPages(t *testing.T) {
	h := one(t, nil)
	card := h.linked(0, logintest.Local)
	b := h.browser(card)
	start := b.open(h.login + "/orgs?q=%E4%BE%8B&page=2")
	start.says(t, "a page without a session", http.StatusOK, "結び (ハブの画面)")
	in := b.press(start, "/begin", nil)
	in.says(t, "back at the page", http.StatusOK, "home /orgs?q=%E4%BE%8B&amp;page=2"[:len("home /orgs?q=%E4%BE%8B")], "of local-general", "as city-a")
	// A second press, or "back", leads on.
	b.open(start.at).says(t, "back", http.StatusOK, "home /orgs")
	// What isn't a page begins no login.
	nobody := h.browser(nil)
	for name, change := range map[string]func(*http.Request){
		"a style sheet": func(r *http.Request) { r.Header.Set("Sec-Fetch-Dest", "style") },
		"a program":     func(r *http.Request) { r.Header.Set("Accept", "application/json") },
		"a form":        func(r *http.Request) { r.Method = http.MethodPost },
		"a head":        func(r *http.Request) { r.Method = http.MethodHead },
	} {
		r := must(http.NewRequestWithContext(t.Context(), http.MethodGet, h.login+"/orgs", http.NoBody))
		change(r)
		if s := nobody.do(r); s.StatusCode != http.StatusUnauthorized || s.Header.Get("WWW-Authenticate") == "" || len(s.Cookies()) != 0 {
			t.Errorf("%s: %d %v", name, s.StatusCode, s.Cookies())
		}
	}
}

func TestSeveralPosts(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		b := h.browser(h.linked(0, logintest.TwoPosts))
		choice := b.press(b.open(h.login+"/"), "/begin", nil)
		choice.says(t, "the choice", http.StatusOK, "例示市", "見本市", "どの所属として利用しますか")
		bad := b.press(choice, "/choose", url.Values{"org": {"ministry-a"}})
		bad.says(t, "a post of somebody else", http.StatusUnprocessableEntity, `role="alert"`, "選んだ所属での登録がありません")
		b.press(choice, "/choose", url.Values{"org": {string(logintest.CityB)}}).says(t, "chosen", http.StatusOK, "as city-b")
		list := b.open(h.login + "/sessions")
		list.says(t, "the sessions", http.StatusOK, "見本市", "所属を変える", "この端末", "Linux の Chrome", "操作のないまま 60 分")
		changed := b.press(b.press(list, "/sessions/post", nil), "/choose", url.Values{"org": {string(logintest.CityA)}})
		changed.says(t, "changed", http.StatusOK, "<strong>例示市</strong>")
	})
}

func TestCancelled(t *testing.T) {
	h := one(t, nil)
	b := h.browser(nil)
	q := code(t, b.press(b.open(h.authorize("app")), "/cancel", nil))
	if q.Get("error") != "access_denied" || q.Get("code") != "" {
		t.Errorf("%v", q)
	}
	b.press(b.open(h.login+"/orgs"), "/cancel", nil).says(t, "at the hub's own", http.StatusOK, "取り消しました", h.login+"/orgs")
}

// A relying party that asks for silence gets an answer without a page.
func TestPromptNone(t *testing.T) {
	h := one(t, nil)
	b := h.browser(h.linked(0, logintest.Local))
	if q := code(t, b.open(h.authorize("app", "prompt", "none"))); q.Get("error") != "login_required" {
		t.Errorf("%v", q)
	}
	code(t, b.press(b.open(h.authorize("app")), "/begin", nil))
	if q := code(t, b.open(h.authorize("app", "prompt", "none"))); q.Get("code") == "" {
		t.Errorf("%v", q)
	}
}

// What policies refuse is told to the person before the service is.
func TestRefusedByPolicy(t *testing.T) {
	h := one(t, nil)
	b := h.browser(h.linked(0, logintest.Local))
	s := b.press(b.open(h.authorize("closed")), "/begin", nil)
	s.says(t, "refused", http.StatusForbidden, "利用できません", "サービスへ戻る", "error=access_denied", callback)
	h.incident(t, s, "policy_denied")
	b = h.browser(nil)
	s = b.press(b.open(h.authorize("app", "response_mode", "form_post")), "/cancel", nil)
	s.says(t, "a form to the relying party", http.StatusOK, "サービスへ進む", "access_denied")
	if csp := s.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "form-action https://app.localhost;") {
		t.Errorf("the form may be posted by %s", csp)
	}
}

func TestNoCard(t *testing.T) {
	h := one(t, nil)
	b := h.browser(nil)
	s := b.press(b.open(h.authorize("app")), "/begin", nil)
	s.says(t, "no certificate", http.StatusForbidden, "受け取れませんでした", "試験用カード", "ログインの画面へ戻る")
	h.incident(t, s, "proof_rejected: certificate_missing")
	// The way back leads to the login, which goes on with the card.
	b.tls.Certificates = h.browser(h.linked(0, logintest.Local)).tls.Certificates
	back := b.link(s, "/login/"+queryOf(s, "login"))
	if q := code(t, b.press(back, "/begin", nil)); q.Get("code") == "" {
		t.Errorf("%v", q)
	}
	revoked := h.browser(cards()[4])
	s = revoked.press(revoked.open(h.authorize("app")), "/begin", nil)
	s.says(t, "a revoked card", http.StatusForbidden, "失効しています", "市区町村の窓口")
	h.incident(t, s, "proof_rejected: certificate_revoked")
}

func queryOf(s seen, name string) string { return must(url.Parse(s.at)).Query().Get(name) }

func TestSealedAccount(t *testing.T) {
	h := one(t, nil)
	b := h.browser(nil)
	start := b.open(h.login + "/")
	start.says(t, "the hub's own choice", http.StatusOK, "封印された非常用アカウント")
	if strings.Index(start.body, "カードで本人確認をする") > strings.Index(start.body, "封印") {
		t.Error("the card isn't first")
	}
	s := b.press(b.link(start, "/by/break_glass"), "/by/break_glass", url.Values{"name": {"system@agency.example"}, "password": {"nobody's password"}})
	s.says(t, "a wrong one", http.StatusUnprocessableEntity, "封印を解いてログインする", "名前またはパスワードが違います")
	if n, _ := h.queue.counts(); n != 0 {
		t.Error("a notice of nothing")
	}
}

func TestOwnSessions(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		card := h.linked(0, logintest.Local)
		var all []*browser
		for range 3 {
			b := h.browser(card)
			code(t, b.press(b.open(h.authorize("app")), "/begin", nil))
			all = append(all, b)
			h.Pass(time.Second)
		}
		list := all[2].open(h.login + "/sessions")
		if n := strings.Count(list.body, `name="session" value="`) - 1; n != 2 {
			t.Errorf("%d others:\n%s", n, list.text())
		}
		list = all[2].press(list, "/sessions/end", nil)
		if _, told := h.queue.counts(); told != 1 || all[1].in() != "" || all[0].in() == "" || all[2].in() == "" {
			t.Errorf("%d told; %q %q %q", told, all[0].in(), all[1].in(), all[2].in())
		}
		stranger := h.browser(h.linked(1, logintest.LocalBoss))
		theirs := stranger.press(stranger.open(h.login+"/sessions"), "/begin", nil)
		id := strings.Fields(all[0].open(h.login + "/x").body)[4]
		_, fields := theirs.form(t, "/logout")
		stranger.post(h.login+"/sessions/end", url.Values{"token": fields["token"], "session": {id}})
		if all[0].in() == "" {
			t.Error("a session of somebody else was ended")
		}
		all[2].press(list, "/sessions/end", url.Values{"session": {"others"}})
		if all[0].in() != "" || all[2].in() == "" {
			t.Error("the others still stand, or this one doesn't")
		}
		out := all[2].press(all[2].open(h.login+"/sessions"), "/logout", nil)
		out.says(t, "logged out", http.StatusOK, "ログアウトしました", "もう一度ログインする")
		if _, told := h.queue.counts(); told != 3 || all[2].in() != "" {
			t.Errorf("%d told", told)
		}
	})
}

func TestLogoutByRelyingParty(t *testing.T) {
	h := one(t, nil)
	b := h.browser(h.linked(0, logintest.Local))
	code(t, b.press(b.open(h.authorize("app")), "/begin", nil))
	ask := b.open(h.login + "/oidc/logout?client_id=app&post_logout_redirect_uri=" + url.QueryEscape("https://app.localhost/bye"))
	ask.says(t, "the question", http.StatusOK, "ログアウトしますか")
	// A browser says its origin only where the policy of referrers lets it, and the provider wants it.
	if p := ask.Header.Get("Referrer-Policy"); p != "same-origin" {
		t.Errorf("Referrer-Policy %s: the form would come from the origin null", p)
	}
	s := b.press(ask, "/oidc/logout/confirm", nil)
	s.says(t, "logged out", http.StatusOK, "ログアウトしました", "https://app.localhost/front?iss=", "サービスへ戻る", "https://app.localhost/bye")
	if csp := s.Header.Get("Content-Security-Policy"); !strings.HasSuffix(csp, "; frame-src https://app.localhost/front") {
		t.Errorf("%s", csp)
	}
	if b.in() != "" {
		t.Error("still in")
	}
}

// A page that wants a fresh proof asks for it and leads back; a form is refused, and not done.
func TestStepUp(t *testing.T) {
	h := one(t, nil)
	b := h.browser(h.linked(0, logintest.Local))
	b.press(b.open(h.login+"/fresh?x=1"), "/begin", nil).says(t, "fresh", http.StatusOK, "home /fresh?x=1")
	h.Pass(6 * time.Minute)
	b.open(h.login+"/other").says(t, "another page", http.StatusOK, "home /other")
	s := b.post(h.login+"/fresh", nil)
	s.says(t, "a form", http.StatusForbidden, "もう一度、本人確認が必要です", "/login?again=1")
	h.incident(t, s, "step_up")
	ask := b.open(h.login + "/fresh?x=2")
	ask.says(t, "asked again", http.StatusOK, "カードで本人確認をする")
	b.press(ask, "/begin", nil).says(t, "fresh again", http.StatusOK, "home /fresh?x=2")
	if s := b.post(h.login+"/fresh", nil); s.StatusCode != http.StatusOK {
		t.Errorf("%d", s.StatusCode)
	}
	again := b.open(h.login + "/login?again=1")
	again.says(t, "forced", http.StatusOK, "カードで本人確認をする")
}
