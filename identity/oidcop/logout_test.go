package oidcop_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/oidcop"
	"github.com/musubi-hub/musubi/identity/session"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/policies/load"
)

func (h *house) loggedIn(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.browser = &session.Session{ID: "s1", Person: "p1", Network: policies.NetworkInternet}
	if id != "" {
		h.browser.ID = "s2"
	}
}

func (h *house) gone() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.browser == nil
}

// TestLogoutRequests: what is wrong leads nowhere and ends nothing (RP-Initiated Logout 1.0; no open redirect, no logout by a stranger's link).
func TestLogoutRequests(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		hint := h.tokens("app").text("id_token")
		h.loggedIn("")
		const bye = "https://app.example/bye"
		for name, c := range map[string]struct {
			reason string
			q      url.Values
		}{
			"an unregistered address":    {"logout_redirect_unregistered", url.Values{"id_token_hint": {hint}, "post_logout_redirect_uri": {"https://evil.example/"}}},
			"a longer address":           {"logout_redirect_unregistered", url.Values{"id_token_hint": {hint}, "post_logout_redirect_uri": {bye + "/x"}}},
			"a login address":            {"logout_redirect_unregistered", url.Values{"client_id": {"app"}, "post_logout_redirect_uri": {callback}}},
			"an address of nobody":       {"logout_party_missing", url.Values{"post_logout_redirect_uri": {bye}}},
			"an unknown party":           {"party_unknown", url.Values{"client_id": {"nobody"}, "post_logout_redirect_uri": {bye}}},
			"another party beside":       {"hint_of_another", url.Values{"id_token_hint": {hint}, "client_id": {"other"}}},
			"a forged hint":              {"hint_invalid", url.Values{"id_token_hint": {part(map[string]string{"alg": "none"}) + "." + part(map[string]string{"iss": issuer}) + "."}}},
			"a changed hint":             {"hint_invalid", url.Values{"id_token_hint": {hint[:len(hint)-6] + "AAAAAA"}}},
			"a client's own token":       {"hint_invalid", url.Values{"id_token_hint": {h.assertion(nil)}}},
			"two addresses":              {"params_repeated", url.Values{"client_id": {"app"}, "post_logout_redirect_uri": {bye, "https://evil.example/"}}},
			"a long state":               {"state_long", url.Values{"client_id": {"app"}, "post_logout_redirect_uri": {bye}, "state": {strings.Repeat("s", 3000)}}},
			"an address of another face": {"logout_redirect_unregistered", url.Values{"client_id": {"native"}, "post_logout_redirect_uri": {bye}}},
		} {
			h.refused(t, c.reason, func() {
				if a := h.get("/oidc/logout", c.q); a.status != http.StatusBadRequest || a.location != nil || a.text("Incident") == "" {
					t.Errorf("%s: %d %v %s", name, a.status, a.location, a.raw)
				}
			})
		}
		// CSRF: without a hint of this very session the person is asked.
		h.login.Session = "s9"
		foreign := h.tokens("app").text("id_token")
		h.login.Session = "s1"
		for name, q := range map[string]url.Values{
			"nothing at all":         {},
			"the party's name alone": {"client_id": {"app"}, "post_logout_redirect_uri": {bye}},
			"another session's hint": {"id_token_hint": {foreign}, "post_logout_redirect_uri": {bye}},
		} {
			if a := h.get("/oidc/logout", q); a.status != http.StatusOK || a.location != nil || a.text("Token") == "" || h.gone() {
				t.Errorf("%s: %d %v %s", name, a.status, a.location, a.raw)
			}
		}
		if h.gone() {
			t.Error("the session ended")
		}
	})
}

// TestConfirm: the question is answered once, by the browser that was asked, from our own page.
func TestConfirm(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		got := h.tokens("app")
		ask := func() string {
			return h.get("/oidc/logout", url.Values{"client_id": {"app"}, "post_logout_redirect_uri": {"https://app.example/bye?x=1"}, "state": {"a b"}}).text("Token")
		}
		confirm := func(token, origin string) answer {
			r := httptest.NewRequest(http.MethodPost, "/oidc/logout/confirm", strings.NewReader(url.Values{"token": {token}}.Encode()))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			if origin != "" {
				r.Header.Set("Origin", origin)
			}
			return h.send(policies.NetworkInternet, r)
		}
		h.loggedIn("")
		token := ask()
		for name, try := range map[string]func() answer{
			"no token":         func() answer { return confirm("", issuer) },
			"an unknown token": func() answer { return confirm("x", issuer) },
			"from elsewhere":   func() answer { return confirm(token, "https://evil.example") },
			"from null":        func() answer { return confirm(token, "null") },
			"too late": func() answer {
				late := ask()
				h.forward(11 * time.Minute)
				return confirm(late, issuer)
			},
			"another browser's": func() answer {
				mine := ask()
				h.loggedIn("s2")
				defer h.loggedIn("")
				return confirm(mine, issuer)
			},
		} {
			h.refused(t, "csrf", func() {
				if a := try(); a.status != http.StatusForbidden || h.gone() {
					t.Errorf("%s: %d", name, a.status)
				}
			})
		}
		token = ask()
		a := confirm(token, issuer)
		if a.status != http.StatusOK || !h.gone() || a.text("Location") != "https://app.example/bye?x=1&state=a+b" {
			t.Errorf("%d %s", a.status, a.raw)
		}
		h.loggedIn("")
		h.refused(t, "csrf", func() {
			if a := confirm(token, issuer); a.status != http.StatusForbidden {
				t.Errorf("a token used twice: %d", a.status)
			}
		})
		if h.active("app", got.text("access_token")) {
			t.Error("the tokens outlive the session")
		}
	})
}

// TestLogout ends a session that two parties know, and delivers to both.
func TestLogout(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		app, other := h.tokens("app"), h.tokens("other")
		h.loggedIn("")
		a := h.get("/oidc/logout", url.Values{"id_token_hint": {app.text("id_token")}, "post_logout_redirect_uri": {"https://app.example/bye"}, "state": {"x"}})
		id := h.idToken(app.text("id_token"), jose.ES256)
		id2 := h.idToken(other.text("id_token"), jose.RS256)
		want := map[string]any{"Session": "s1", "Location": "https://app.example/bye?state=x", "Frames": []any{
			"https://app.example/front?iss=" + url.QueryEscape(issuer) + "&sid=" + id["sid"].(string),
			"https://app.example/front?iss=" + url.QueryEscape(issuer) + "&sid=" + id2["sid"].(string),
		}}
		if diff := cmp.Diff(want, a.body); diff != "" || !h.gone() {
			t.Errorf("ended %v (-want +got):\n%s", h.gone(), diff)
		}
		if h.active("app", app.text("access_token")) || h.active("other", other.text("refresh_token")) {
			t.Error("the tokens outlive the session")
		}
		if len(h.queue) != 2 {
			t.Fatalf("%d deliveries", len(h.queue))
		}
		for _, id := range h.queue {
			must(t, h.provider.Deliver(t.Context(), id))
			must(t, h.provider.Deliver(t.Context(), id)) // settled: nothing is sent
		}
		if len(h.posted) != 2 {
			t.Fatalf("%d posts", len(h.posted))
		}
		seen := map[any]bool{}
		now := float64(h.now().Unix())
		for _, form := range h.posted {
			jws, err := jose.ParseSignedCompact(form.Get("logout_token"), []jose.SignatureAlgorithm{jose.ES256, jose.RS256})
			must(t, err)
			header := jws.Signatures[0].Protected
			got := h.idToken(form.Get("logout_token"), jose.SignatureAlgorithm(header.Algorithm))
			of := id
			if got["aud"] == "other" {
				of = id2
			}
			want := map[string]any{
				"iss": issuer, "aud": of["aud"], "sub": of["sub"], "sid": of["sid"], "iat": now, "exp": now + 120, "jti": got["jti"],
				"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}},
			}
			if diff := cmp.Diff(want, got); diff != "" || header.ExtraHeaders["typ"] != "logout+jwt" {
				t.Errorf("typ %v (-want +got):\n%s", header.ExtraHeaders["typ"], diff)
			}
			seen[got["jti"]] = true
			// A logout token is no hint.
			h.refused(t, "hint_invalid", func() { h.get("/oidc/logout", url.Values{"id_token_hint": {form.Get("logout_token")}}) })
		}
		done, err := h.provider.Logouts(t.Context(), oidcop.LogoutDelivered, 10)
		must(t, err)
		if len(done) != 2 || len(seen) != 2 || done[0].Status != 200 || done[0].SettledAt == 0 || done[0].Tries != 1 {
			t.Errorf("receipts: %+v", done)
		}
		var rows int
		must(t, h.db.Reader().QueryRowContext(t.Context(), `SELECT COUNT(*) FROM audit_row WHERE action = 'oidc.logout.deliver' AND outcome = 'done'`).Scan(&rows))
		if rows != 2 {
			t.Errorf("%d audit rows", rows)
		}
		// Nobody is logged in any more.
		if a := h.get("/oidc/logout", url.Values{"client_id": {"app"}, "post_logout_redirect_uri": {"https://app.example/bye"}}); a.status != http.StatusSeeOther || a.location.String() != "https://app.example/bye" {
			t.Errorf("logged out already: %d %v", a.status, a.location)
		}
	})
}

// TestDeliveryFailures: each is tried again or shown.
func TestDeliveryFailures(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		deliver := func(answer func(*http.Request) (int, error)) (oidcop.Logout, error) {
			t.Helper()
			h.tokens("app")
			h.answers["app.example"] = answer
			h.queue = nil
			must(t, h.End(nil, httptest.NewRequest(http.MethodGet, "/", nil), session.Session{ID: h.login.Session}))
			h.login.Session += "x"
			if len(h.queue) != 1 {
				t.Fatalf("%d deliveries", len(h.queue))
			}
			err := h.provider.Deliver(t.Context(), h.queue[0])
			for _, s := range []oidcop.LogoutState{oidcop.LogoutPending, oidcop.LogoutDelivered, oidcop.LogoutFailed} {
				all, lerr := h.provider.Logouts(t.Context(), s, 100)
				must(t, lerr)
				for _, l := range all {
					if l.ID == h.queue[0] {
						return l, err
					}
				}
			}
			t.Fatal("no receipt")
			return oidcop.Logout{}, nil
		}
		for name, c := range map[string]struct {
			status int
			fail   error
			state  oidcop.LogoutState
			why    string
		}{
			"taken without content":   {204, nil, oidcop.LogoutDelivered, ""},
			"refused (section 2.8)":   {400, nil, oidcop.LogoutFailed, "refused"},
			"broken":                  {500, nil, oidcop.LogoutPending, "status"},
			"a redirect isn't a yes":  {302, nil, oidcop.LogoutPending, "status"},
			"unreachable":             {0, errors.New("no route to secret-address"), oidcop.LogoutPending, "unreachable"},
			"another word for a yes?": {202, nil, oidcop.LogoutPending, "status"},
		} {
			l, err := deliver(func(*http.Request) (int, error) { return c.status, c.fail })
			if l.State != c.state || l.Why != c.why || l.Status != c.status || (err != nil) != (c.state == oidcop.LogoutPending) {
				t.Errorf("%s: %+v: %v", name, l, err)
			}
			if err != nil && (!errors.Is(err, oidcop.ErrUndelivered) || strings.Contains(err.Error(), "secret-address")) {
				t.Errorf("%s: %v", name, err)
			}
		}
		// The answer was lost, not the logout: a relying party that takes a jti once takes the next try.
		known, tries := map[any]bool{}, 0
		once := func(r *http.Request) (int, error) {
			form, err := url.ParseQuery(h.posted[len(h.posted)-1].Encode())
			must(t, err)
			jws, err := jose.ParseSignedCompact(form.Get("logout_token"), []jose.SignatureAlgorithm{jose.ES256, jose.RS256})
			must(t, err)
			jti := h.idToken(form.Get("logout_token"), jose.SignatureAlgorithm(jws.Signatures[0].Protected.Algorithm))["jti"]
			if tries++; known[jti] {
				return http.StatusBadRequest, nil
			}
			known[jti] = true
			if tries == 1 {
				return 0, errors.New("reset")
			}
			return http.StatusOK, nil
		}
		if l, err := deliver(once); err == nil || l.State != oidcop.LogoutPending {
			t.Errorf("a lost answer: %+v: %v", l, err)
		}
		if err := h.provider.Deliver(t.Context(), h.queue[0]); err != nil || tries != 2 {
			t.Errorf("after a lost answer: %v, %d tries", err, tries)
		}
		// In the end it is given up, and that is shown.
		l, err := deliver(func(*http.Request) (int, error) { return 503, nil })
		if !errors.Is(err, oidcop.ErrUndelivered) {
			t.Fatal(err)
		}
		if err := h.provider.Deliver(t.Context(), l.ID); !errors.Is(err, oidcop.ErrUndelivered) {
			t.Fatal(err)
		}
		must(t, h.provider.Abandon(t.Context(), l.ID))
		failed, err := h.provider.Logouts(t.Context(), oidcop.LogoutFailed, 10)
		must(t, err)
		failed = slices.DeleteFunc(failed, func(f oidcop.Logout) bool { return f.ID != l.ID })
		if len(failed) != 1 || failed[0].Why != "given_up" || failed[0].Tries != 2 || failed[0].Status != 503 {
			t.Errorf("%+v", failed)
		}
		if h.refusals("given_up") != 1 {
			t.Error("no audit row says that it was given up")
		}
		must(t, h.provider.Deliver(t.Context(), l.ID)) // settled
	})
}

// TestEndIsOneTransaction: where the end of the session is undone, so are its deliveries, and the tokens count on.
func TestEndIsOneTransaction(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		got := h.tokens("app")
		undo := errors.New("undo")
		err := h.db.WithTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
			if err := h.provider.SessionEnded(ctx, tx, session.Session{ID: "s1"}, nil); err != nil {
				return err
			}
			return undo
		})
		if !errors.Is(err, undo) {
			t.Fatal(err)
		}
		if pending, err := h.provider.Logouts(t.Context(), oidcop.LogoutPending, 10); err != nil || len(pending) != 0 || !h.active("app", got.text("access_token")) {
			t.Errorf("%+v: %v", pending, err)
		}
	})
}

// TestReceipts: what became of logouts is listed in pages, what nobody delivers is found, and what failed is taken up again once, by whom may.
func TestReceipts(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		r := oidcop.Receipts{DB: h.db}
		h.answers["other.example"] = func(*http.Request) (int, error) { return http.StatusBadRequest, nil }
		h.answers["app.example"] = func(*http.Request) (int, error) { return http.StatusBadGateway, nil }
		for _, id := range []policies.RelyingPartyID{"app", "other"} {
			h.tokens(string(id))
		}
		must(t, h.db.WithTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
			return h.provider.SessionEnded(ctx, tx, session.Session{ID: "s1", Person: "p1"}, nil)
		}))
		if len(h.queue) != 2 {
			t.Fatalf("%d logouts", len(h.queue))
		}
		for _, id := range h.queue {
			if err := h.provider.Deliver(t.Context(), id); err != nil && !errors.Is(err, oidcop.ErrUndelivered) {
				t.Fatal(err)
			}
		}
		list := func(f oidcop.ReceiptFilter) (all []string) {
			t.Helper()
			f.Limit = 1
			for {
				page, err := r.List(t.Context(), f)
				must(t, err)
				if len(page) == 0 {
					return all
				}
				all, f.Before = append(all, string(page[0].RelyingParty)+" "+string(page[0].State)), page[0].ID
			}
		}
		for name, c := range map[string]struct {
			f    oidcop.ReceiptFilter
			want []string
		}{
			"failed":         {oidcop.ReceiptFilter{State: oidcop.LogoutFailed}, []string{"other failed"}},
			"pending":        {oidcop.ReceiptFilter{State: oidcop.LogoutPending}, []string{"app pending"}},
			"late":           {oidcop.ReceiptFilter{Late: true}, []string{"app pending", "other failed"}},
			"a party":        {oidcop.ReceiptFilter{RelyingParty: "app"}, []string{"app pending"}},
			"a session":      {oidcop.ReceiptFilter{Session: "s1"}, []string{"app pending", "other failed"}},
			"another":        {oidcop.ReceiptFilter{Session: "s9"}, nil},
			"of no delivery": {oidcop.ReceiptFilter{State: oidcop.LogoutDelivered}, nil},
		} {
			if got := list(c.f); !slices.Equal(slices.Sorted(slices.Values(got)), c.want) {
				t.Errorf("%s: %q, want %q", name, got, c.want)
			}
		}
		if _, err := r.List(t.Context(), oidcop.ReceiptFilter{}); err == nil {
			t.Error("a page without a limit")
		}
		if open, err := r.Open(t.Context()); err != nil || open[oidcop.LogoutPending] != 1 || open[oidcop.LogoutFailed] != 1 {
			t.Errorf("%v, %v", open, err)
		}
		failed, err := r.List(t.Context(), oidcop.ReceiptFilter{State: oidcop.LogoutFailed, Limit: 1})
		must(t, err)
		pending, err := r.List(t.Context(), oidcop.ReceiptFilter{State: oidcop.LogoutPending, Limit: 1})
		must(t, err)
		if p, err := r.Addressee(t.Context(), pending[0].ID); err != nil || p != "app" {
			t.Errorf("%q, %v", p, err)
		}
		if _, err := r.Addressee(t.Context(), "nothing"); !errors.Is(err, identity.ErrNotFound) {
			t.Error(err)
		}
		overdue := func(before time.Time) []string {
			t.Helper()
			ids, err := r.Overdue(t.Context(), before, 10)
			must(t, err)
			return ids
		}
		if got := overdue(h.now().Add(time.Second)); !slices.Equal(got, []string{pending[0].ID}) || overdue(h.now()) != nil {
			t.Errorf("overdue: %q", got)
		}
		engine, err := load.Default()
		must(t, err)
		boss := access.Actor{
			Kind: access.KindPerson, Person: identity.Person{ID: "boss", Org: "agency", Role: policies.RoleSystemAdministrator},
			Org: identity.Organization{ID: "agency", Kind: policies.KindAgency},
		}
		right := func(a policies.Action) policies.Scope {
			t.Helper()
			s, err := engine.Scope(boss.Policy(), a, nil)
			must(t, err)
			return s
		}
		may := right(policies.ActionJobsWrite)
		reopen := func(scope policies.Scope, id string) error {
			h.forward(time.Hour)
			return h.db.WithTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
				_, err := r.Reopen(ctx, tx, boss, scope, id, h.now().UnixMicro())
				return err
			})
		}
		for name, scope := range map[string]policies.Scope{"none": {}, "the hub's own": policies.System(policies.TaskTest), "another right": right(policies.ActionJobsRead)} {
			if err := reopen(scope, failed[0].ID); !errors.Is(err, identity.ErrRefused) {
				t.Errorf("by a scope that is %s: %v", name, err)
			}
		}
		if err := reopen(may, pending[0].ID); !errors.Is(err, oidcop.ErrNotFailed) {
			t.Error(err)
		}
		if err := reopen(may, "nothing"); !errors.Is(err, identity.ErrNotFound) {
			t.Error(err)
		}
		must(t, reopen(may, failed[0].ID))
		if err := reopen(may, failed[0].ID); !errors.Is(err, oidcop.ErrNotFailed) {
			t.Error(err)
		}
		// It waits since it was taken up again, and a try in between doesn't change that.
		if got := overdue(h.now().Add(-2 * time.Hour)); !slices.Equal(got, []string{pending[0].ID}) {
			t.Errorf("overdue: %q", got)
		}
		h.answers["other.example"] = func(*http.Request) (int, error) { return http.StatusNoContent, nil }
		must(t, h.provider.Deliver(t.Context(), failed[0].ID))
		if got := list(oidcop.ReceiptFilter{State: oidcop.LogoutDelivered}); len(got) != 1 {
			t.Errorf("%q", got)
		}
	})
}

// TestEntered: who ends a session learns where it was used, and whether each of them is told.
func TestEntered(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		r := oidcop.Receipts{DB: h.db}
		h.tokens("app")
		h.tokens("native") // it has no back channel
		entered := func() (out []string) {
			t.Helper()
			all, err := r.EnteredBy(t.Context(), "s1", h.now().UnixMicro())
			must(t, err)
			for _, e := range all {
				out = append(out, fmt.Sprint(e.RelyingParty, " ", e.Told, " ", e.Until > h.now().UnixMicro()))
			}
			return out
		}
		if got := entered(); !slices.Equal(got, []string{"app false true", "native false true"}) {
			t.Errorf("%q", got)
		}
		must(t, h.db.WithTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
			return h.provider.SessionEnded(ctx, tx, session.Session{ID: "s1"}, nil)
		}))
		if got := entered(); !slices.Equal(got, []string{"app true true", "native false true"}) {
			t.Errorf("%q", got)
		}
		if untold, err := r.Untold(t.Context(), "s1"); err != nil || !untold {
			t.Error("nobody is untold", err)
		}
		if untold, err := r.Untold(t.Context(), "s2"); err != nil || untold {
			t.Error("somebody is untold of a session that nobody knows", err)
		}
		h.login.Session = "s2"
		h.tokens("app")
		must(t, h.db.WithTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
			return h.provider.SessionEnded(ctx, tx, session.Session{ID: "s2"}, nil)
		}))
		if untold, err := r.Untold(t.Context(), "s2"); err != nil || untold {
			t.Error("one that is being told counts as untold", err)
		}
		must(t, h.provider.Abandon(t.Context(), h.queue[len(h.queue)-1]))
		if untold, err := r.Untold(t.Context(), "s2"); err != nil || !untold {
			t.Error("one that was given up counts as told", err)
		}
	})
}
