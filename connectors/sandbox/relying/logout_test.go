package relying_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/musubi-hub/musubi/connectors/sandbox/relying"
	"github.com/musubi-hub/musubi/connectors/sandbox/relying/providertest"
	"github.com/musubi-hub/musubi/connectors/sandbox/visitor"
)

var logoutType = map[jose.HeaderKey]any{"typ": "logout+jwt"}

func TestLogout(t *testing.T) {
	h := newHouse(t, bySecret)
	b := h.browser()
	form := b.logIn().Header.Get("Form")
	a := b.post("/shop/logout", url.Values{"form": {form}}, "Origin", base)
	if a.Header.Get("Reason") != "out everywhere" || !strings.HasPrefix(b.last.String(), base+"/shop/logout/done?state=") || len(h.provider.Left) != 1 {
		t.Errorf("reason %q at %s; the provider has %d logouts and complains %q", a.Header.Get("Reason"), b.last, len(h.provider.Left), h.provider.Wrong)
	}
	done := b.last.String()
	if b.in() {
		t.Error("still logged in")
	}
	// The address alone says nothing, the state counts once and in its own browser, and is of no login.
	h.provider.Person = nil
	for _, address := range []string{done, "/shop/logout/done", "/shop/logout/done?state=x&state=y"} {
		if a = b.open(address); a.Header.Get("Reason") != string(visitor.ProviderError) { // home, and so to a login
			t.Errorf("%s: %q", address, a.Header.Get("Reason"))
		}
	}
	h.provider.Person = &providertest.Person{Subject: "sub-1", Session: "sid-2", Email: email, ACR: strong}
	form = b.logIn().Header.Get("Form")
	b.stop = base + "/shop/logout/done"
	b.post("/shop/logout", url.Values{"form": {form}})
	state := b.last.Query().Get("state")
	b.stop = ""
	if a = b.open("/shop/login/callback?" + url.Values{"state": {state}, "iss": {issuer}, "code": {"x"}}.Encode()); a.Header.Get("Reason") != string(visitor.StateUnknown) {
		t.Errorf("a logout's state in a login: %q", a.Header.Get("Reason"))
	}
	// Again, without a session: nothing happens.
	if a = b.post("/shop/logout", url.Values{"form": {form}}); a.Header.Get("Reason") != "out here" {
		t.Errorf("again: %q", a.Header.Get("Reason"))
	}
}

func TestLogoutWithoutTheProvider(t *testing.T) {
	h := newHouse(t, byKey)
	b := h.browser()
	form := b.logIn().Header.Get("Form")
	h.provider.Edit.Discovery = func(d map[string]any) { delete(d, "end_session_endpoint") }
	h.clock.forward(20 * time.Minute)
	b.in()
	h.clock.forward(20 * time.Minute)
	b.in()
	h.clock.forward(21 * time.Minute)
	if a := b.post("/shop/logout", url.Values{"form": {form}}); a.Header.Get("Reason") != "out here" || b.in() {
		t.Errorf("reason %q", a.Header.Get("Reason"))
	}
}

func TestFormsOfOthersAreRefused(t *testing.T) {
	h := newHouse(t, byKey)
	b := h.browser()
	form := b.logIn().Header.Get("Form")
	other := h.browser().logIn().Header.Get("Form")
	for name, tc := range map[string]struct {
		form   string
		header []string
	}{
		"no token":        {"", nil},
		"another's token": {other, nil},
		"another origin":  {form, []string{"Origin", "https://evil.localhost"}},
		"origin null":     {form, []string{"Origin", "null"}},
		"origin by http":  {form, []string{"Origin", strings.Replace(base, "https", "http", 1)}},
		"cross-site":      {form, []string{"Sec-Fetch-Site", "cross-site"}},
		"same site":       {form, []string{"Sec-Fetch-Site", "same-site"}},
	} {
		for _, path := range []string{"/shop/logout", "/shop/write"} {
			a := b.post(path, url.Values{"form": {tc.form}}, tc.header...)
			if a.StatusCode != http.StatusForbidden || a.Header.Get("Reason") != string(visitor.FormForeign) || !b.in() {
				t.Errorf("%s, %s: status %d, reason %q", name, path, a.StatusCode, a.Header.Get("Reason"))
			}
		}
	}
	if a := b.post("/shop/write", url.Values{"form": {form}}, "Origin", base, "Sec-Fetch-Site", "same-origin"); a.Header.Get("Account") != "a1" {
		t.Errorf("one's own: status %d, reason %q", a.StatusCode, a.Header.Get("Reason"))
	}
	if a := h.browser().post("/shop/write", url.Values{"form": {form}}); a.StatusCode != http.StatusUnauthorized {
		t.Errorf("without a session: status %d", a.StatusCode)
	}
}

func TestBackchannelLogout(t *testing.T) {
	for name, change := range map[string]func(c map[string]any){
		"sid and sub": func(map[string]any) {},
		"sid alone":   func(c map[string]any) { delete(c, "sub") },
		"sub alone":   func(c map[string]any) { delete(c, "sid") },
		"as a list":   func(c map[string]any) { c["aud"] = []string{clientID} },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, byKey)
			mine, second, other := h.browser(), h.browser(), h.browser()
			mine.logIn()
			second.logIn() // the same session of the provider in another window
			h.provider.Person = &providertest.Person{Subject: "sub-1", Session: "sid-2", Email: email, ACR: strong}
			other.logIn()
			claims := h.provider.LogoutClaims(clientID, providertest.Person{Subject: "sub-1", Session: "sid-1"})
			change(claims)
			h.clock.forward(time.Second)
			if status := h.backchannel(h.provider.Signed(jose.ES256, logoutType, claims)); status != http.StatusOK {
				t.Fatalf("status %d", status)
			}
			if mine.in() || second.in() {
				t.Error("the session goes on")
			}
			if _, bySession := claims["sid"]; other.in() != bySession {
				t.Errorf("the other session: %v", other.in())
			}
		})
	}
}

func TestLogoutTokensThatAreRefused(t *testing.T) {
	at := time.Date(2026, 11, 30, 3, 0, 0, 0, time.UTC)
	set := func(name string, value any) func(map[string]any) {
		return func(c map[string]any) { c[name] = value }
	}
	drop := func(names ...string) func(map[string]any) {
		return func(c map[string]any) {
			for _, name := range names {
				delete(c, name)
			}
		}
	}
	same := func(map[string]any) {}
	events := func(v any) func(map[string]any) { return set("events", v) }
	for name, tc := range map[string]struct {
		change func(map[string]any)
		sign   func(h *house, c map[string]any) string
		want   relying.Reason
	}{
		"wrong issuer":     {set("iss", "https://evil.localhost"), nil, relying.LogoutIssuer},
		"wrong audience":   {set("aud", "somebody else"), nil, relying.LogoutAudience},
		"two audiences":    {set("aud", []string{clientID, "x"}), nil, relying.LogoutAudience},
		"expired":          {set("exp", at.Unix()), nil, relying.LogoutExpired},
		"no end":           {drop("exp"), nil, relying.LogoutMalformed},
		"good for a year":  {set("exp", at.AddDate(1, 0, 0).Unix()), nil, relying.LogoutTime},
		"not issued":       {drop("iat"), nil, relying.LogoutMalformed},
		"issued long ago":  {set("iat", at.Add(-time.Hour).Unix()), nil, relying.LogoutTime},
		"issued tomorrow":  {set("iat", at.Add(24*time.Hour).Unix()), nil, relying.LogoutTime},
		"no events":        {drop("events"), nil, relying.LogoutEvent},
		"another event":    {events(map[string]any{"http://example/other": map[string]any{}}), nil, relying.LogoutEvent},
		"event is a text":  {events(map[string]any{providertest.LogoutEvent: "yes"}), nil, relying.LogoutEvent},
		"event is null":    {events(map[string]any{providertest.LogoutEvent: nil}), nil, relying.LogoutEvent},
		"events is a list": {events([]string{providertest.LogoutEvent}), nil, relying.LogoutEvent},
		"a nonce":          {set("nonce", "n"), nil, relying.LogoutNonce},
		"a nonce of null":  {set("nonce", nil), nil, relying.LogoutNonce},
		"about nobody":     {drop("sub", "sid"), nil, relying.LogoutSubject},
		"sid is a number":  {set("sid", 1), nil, relying.LogoutSubject},
		"no id":            {drop("jti"), nil, relying.LogoutID},
		"no type":          {same, func(h *house, c map[string]any) string { return h.provider.Signed(jose.ES256, nil, c) }, relying.LogoutType},
		"type of an ID token": {same, func(h *house, c map[string]any) string {
			return h.provider.Signed(jose.ES256, map[jose.HeaderKey]any{"typ": "JWT"}, c)
		}, relying.LogoutType},
		"alg none": {same, func(_ *house, c map[string]any) string { return providertest.Unsigned(c) }, relying.LogoutSignature},
		"unpublished key": {same, func(h *house, c map[string]any) string {
			return providertest.SignedBy(jose.ES256, h.provider.OtherEC, "ec", logoutType, c)
		}, relying.LogoutSignature},
		"another algorithm": {same, func(h *house, c map[string]any) string { return h.provider.Signed(jose.RS256, logoutType, c) }, relying.LogoutSignature},
		"no token":          {same, func(*house, map[string]any) string { return "" }, relying.LogoutMalformed},
		"rubbish":           {same, func(*house, map[string]any) string { return "a.b.c" }, relying.LogoutSignature},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, byKey)
			b := h.browser()
			b.logIn()
			claims := h.provider.LogoutClaims(clientID, *h.provider.Person)
			tc.change(claims)
			if tc.sign == nil {
				tc.sign = func(h *house, c map[string]any) string { return h.provider.Signed(jose.ES256, logoutType, c) }
			}
			a, body := h.send(url.Values{"logout_token": {tc.sign(h, claims)}}, "application/x-www-form-urlencoded")
			if a.StatusCode != http.StatusBadRequest || !strings.Contains(body, `"`+string(tc.want)+`"`) || a.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("status %d, %s; want %s", a.StatusCode, body, tc.want)
			}
			if !b.in() {
				t.Error("the session has ended")
			}
		})
	}
}

// Session and subject of a token must both be the session's: one that mixes them ends nothing.
func TestLogoutTokenThatMixesPeople(t *testing.T) {
	h := newHouse(t, byKey)
	b := h.browser()
	b.logIn()
	claims := h.provider.LogoutClaims(clientID, providertest.Person{Subject: "sub-2", Session: "sid-1"})
	if status := h.backchannel(h.provider.Signed(jose.ES256, logoutType, claims)); status != http.StatusOK || !b.in() {
		t.Errorf("status %d, still in: %v", status, b.in())
	}
}

func TestLogoutTokenOnce(t *testing.T) {
	h := newHouse(t, byKey)
	b := h.browser()
	b.logIn()
	claims := h.provider.LogoutClaims(clientID, *h.provider.Person)
	delete(claims, "sid")
	token := h.provider.Signed(jose.ES256, logoutType, claims)
	if status := h.backchannel(token); status != http.StatusOK || b.in() {
		t.Fatalf("status %d", status)
	}
	h.clock.forward(30 * time.Second)
	b.logIn() // a new login
	a, body := h.send(url.Values{"logout_token": {token}}, "application/x-www-form-urlencoded")
	if a.StatusCode != http.StatusBadRequest || !strings.Contains(body, string(relying.LogoutReplayed)) || !b.in() {
		t.Errorf("replayed: status %d, %s", a.StatusCode, body)
	}
	h.clock.forward(time.Hour)
	if a, body = h.send(url.Values{"logout_token": {token}}, "application/x-www-form-urlencoded"); a.StatusCode != http.StatusBadRequest {
		t.Errorf("replayed when its id is forgotten: status %d, %s", a.StatusCode, body)
	}
}

// A logout that overtakes the login whose session it ends is a logout all the same.
func TestLogoutThatComesFirst(t *testing.T) {
	h := newHouse(t, byKey)
	b := h.browser()
	b.stop = base + "/shop/login/callback"
	b.open("/shop/login")
	b.stop = ""
	if status := h.backchannel(h.provider.Signed(jose.ES256, logoutType, h.provider.LogoutClaims(clientID, *h.provider.Person))); status != http.StatusOK {
		t.Fatalf("status %d", status)
	}
	if a := b.open(b.last.String()); a.Header.Get("Reason") != string(visitor.SessionEnded) || b.in() {
		t.Errorf("reason %q", a.Header.Get("Reason"))
	}
}

func TestBackchannelForm(t *testing.T) {
	h := newHouse(t, byKey)
	token := h.provider.Signed(jose.ES256, logoutType, h.provider.LogoutClaims(clientID, *h.provider.Person))
	for name, tc := range map[string]struct {
		form   url.Values
		media  string
		status int
	}{
		"JSON":       {url.Values{"logout_token": {token}}, "application/json", 400},
		"two tokens": {url.Values{"logout_token": {token, token}}, "application/x-www-form-urlencoded", 400},
		"too long":   {url.Values{"logout_token": {strings.Repeat("x", 20_000)}}, "application/x-www-form-urlencoded", 400},
		"endless":    {url.Values{"pad": {strings.Repeat("x", 100_000)}, "logout_token": {token}}, "application/x-www-form-urlencoded", 400},
		"good":       {url.Values{"logout_token": {token}}, "application/x-www-form-urlencoded", 200},
	} {
		if a, body := h.send(tc.form, tc.media); a.StatusCode != tc.status && name != "good" {
			t.Errorf("%s: status %d, %s", name, a.StatusCode, body)
		}
	}
	if a := h.browser().open("/shop/logout/backchannel"); a.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("GET: status %d", a.StatusCode)
	}
	// What can't be judged may be sent again.
	h = newHouse(t, byKey)
	token = h.provider.Signed(jose.ES256, logoutType, h.provider.LogoutClaims(clientID, *h.provider.Person))
	h.provider.Edit.Down = true
	if status := h.backchannel(token); status != http.StatusServiceUnavailable {
		t.Errorf("keys can't be read: status %d", status)
	}
	h.provider.Edit.Down = false
	h.clock.forward(11 * time.Second)
	if status := h.backchannel(token); status != http.StatusOK {
		t.Errorf("sent again: status %d", status)
	}
}

func TestFrontchannelLogout(t *testing.T) {
	h := newHouse(t, byKey)
	b := h.browser()
	b.logIn()
	stranger := h.browser() // in a frame the browser sends no cookie
	for _, q := range []url.Values{{}, {"sid": {"sid-1"}}, {"iss": {issuer}}, {"iss": {"https://evil.localhost"}, "sid": {"sid-1"}}, {"iss": {issuer}, "sid": {""}}} {
		if a := stranger.open("/shop/logout/frontchannel?" + q.Encode()); a.StatusCode != http.StatusBadRequest || !b.in() {
			t.Errorf("%v: status %d", q, a.StatusCode)
		}
	}
	if stranger.open("/shop/logout/frontchannel?" + url.Values{"iss": {issuer}, "sid": {"sid-9"}}.Encode()); !b.in() {
		t.Error("another sid ended the session")
	}
	a := stranger.open("/shop/logout/frontchannel?" + url.Values{"iss": {issuer}, "sid": {"sid-1"}}.Encode())
	if a.StatusCode != http.StatusOK || b.in() || !strings.Contains(a.Header.Get("Content-Security-Policy"), "frame-ancestors "+issuer) {
		t.Errorf("status %d, policy %q", a.StatusCode, a.Header.Get("Content-Security-Policy"))
	}
}
