package samlidp_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/policies"
)

// posted sends a request by POST and gives where the browser is sent for it, with its cookie.
func (h *house) posted(t testing.TB, body string) (to string, cookie *http.Cookie) {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, sso, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	h.handler[policies.NetworkInternet].ServeHTTP(w, r)
	to = w.Header().Get("Location")
	cookies := w.Result().Cookies()
	if w.Code != http.StatusSeeOther || !strings.HasPrefix(to, origin+"/saml/continue?id=") || len(cookies) != 1 {
		t.Fatalf("%d to %q with %v", w.Code, to, cookies)
	}
	return to, cookies[0]
}

// ahead is how an address is looked at by who doesn't ask for it.
func (h *house) ahead(method, to, purpose string, cookies ...*http.Cookie) int {
	r := httptest.NewRequest(method, to, nil)
	if purpose != "" {
		r.Header.Set("Sec-Purpose", purpose)
	}
	for _, c := range cookies {
		r.AddCookie(c)
	}
	w := httptest.NewRecorder()
	h.handler[policies.NetworkInternet].ServeHTTP(w, r)
	return w.Code
}

// comes is the browser's own GET.
func (h *house) comes(n policies.Network, to string, cookies ...*http.Cookie) result {
	r := httptest.NewRequest(http.MethodGet, to, nil)
	for _, c := range cookies {
		r.AddCookie(c)
	}
	return h.serve(n, r)
}

// TestWaiting: a request by POST is checked where it comes in, and begins a login for the browser that brought it, once, and for nobody else.
func TestWaiting(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		send := func() (string, *http.Cookie) {
			t.Helper()
			return h.posted(t, form(signedDoc(t, h.ask("app", nil), h.own), "state"))
		}
		to, cookie := send()
		if len(h.asks) != 0 {
			t.Fatal("the POST itself began a login")
		}
		if !strings.HasPrefix(cookie.Name, "__Host-") || !cookie.HttpOnly || !cookie.Secure || cookie.Path != "/" || cookie.SameSite != http.SameSiteLaxMode || cookie.MaxAge != 120 {
			t.Errorf("the cookie: %+v", cookie)
		}
		if strings.Contains(to, cookie.Value) {
			t.Error("the address holds the secret")
		}
		var kept string
		must(t, h.db.Reader().QueryRowContext(t.Context(), `SELECT hash || network || ask FROM saml_waiting`).Scan(&kept))
		if strings.Contains(kept, cookie.Value) {
			t.Error("the database holds the secret")
		}
		// Whoever only looks ahead takes nothing.
		if code := h.ahead(http.MethodHead, to, "", cookie); code != http.StatusMethodNotAllowed {
			t.Errorf("HEAD: %d", code)
		}
		if code := h.ahead(http.MethodGet, to, "prefetch;prerender", cookie); code != http.StatusServiceUnavailable {
			t.Errorf("prefetch: %d", code)
		}
		otherTo, other := send()
		h.refused(t, "another browser", "waiting_browser", func() result { return h.comes(policies.NetworkInternet, to) })
		h.refused(t, "another browser with something of its own", "waiting_browser", func() result { return h.comes(policies.NetworkInternet, to, other) })
		h.refused(t, "another's secret under its name", "waiting_unknown", func() result {
			forged := *cookie
			forged.Value = strings.Repeat("A", len(cookie.Value))
			return h.comes(policies.NetworkInternet, to, &forged)
		})
		h.refused(t, "two cookies of one name", "waiting_browser", func() result { return h.comes(policies.NetworkInternet, to, cookie, cookie) })
		for _, id := range []string{"", "x", "..", "0123456789ABCDEF", strings.Repeat("0", 17)} {
			h.refused(t, "an address that can't be", "params_malformed", func() result { return h.comes(policies.NetworkInternet, origin+"/saml/continue?id="+id, cookie) })
		}
		h.refused(t, "another network", "waiting_unknown", func() result {
			return h.comes(policies.NetworkLGWAN, strings.Replace(to, origin, originLGWAN, 1), cookie)
		})

		// The browser itself, many times at once: once.
		var wg sync.WaitGroup
		var mu sync.Mutex
		answered := 0
		for range 6 {
			wg.Go(func() {
				w := httptest.NewRecorder()
				r := httptest.NewRequest(http.MethodGet, to, nil)
				r.AddCookie(cookie)
				h.handler[policies.NetworkInternet].ServeHTTP(w, r)
				mu.Lock()
				defer mu.Unlock()
				if w.Header().Get("X-To") == acs {
					answered++
				} else if w.Header().Get("X-Problem") != "waiting_unknown" {
					t.Errorf("%d %v", w.Code, w.Header())
				}
			})
		}
		wg.Wait()
		if answered != 1 || len(h.asks) != 1 || h.asks[0].RelyingParty != "app" || h.asks[0].Network != policies.NetworkInternet {
			t.Errorf("%d answers, %+v", answered, h.asks)
		}
		// Another tab's request isn't touched by it, and both cookies may be there.
		if r := h.comes(policies.NetworkInternet, otherTo, cookie, other); r.to != acs || r.relay != "state" {
			t.Errorf("the other tab: %+v", r)
		}

		// Two minutes, and then it is swept.
		to, cookie = send()
		h.forward(2*time.Minute - time.Microsecond)
		if r := h.comes(policies.NetworkInternet, to, cookie); r.to != acs {
			t.Errorf("in the last microsecond: %+v", r)
		}
		to, cookie = send()
		h.forward(2 * time.Minute)
		h.refused(t, "two minutes later", "waiting_unknown", func() result { return h.comes(policies.NetworkInternet, to, cookie) })
		n, err := h.provider.Sweep(t.Context(), 100)
		must(t, err)
		var left int
		must(t, h.db.Reader().QueryRowContext(t.Context(), `SELECT COUNT(*) FROM saml_waiting`).Scan(&left))
		if n == 0 || left != 0 {
			t.Errorf("%d rows swept, %d wait", n, left)
		}
	})
}

// TestLookingAhead: a request by redirect isn't used up by a HEAD or a browser's prefetch.
func TestLookingAhead(t *testing.T) {
	once(t, func(t *testing.T, h *house) {
		to := sso + "?" + query(h.ask("app", nil), "", h.own)
		if code := h.ahead(http.MethodHead, to, ""); code != http.StatusMethodNotAllowed {
			t.Errorf("HEAD: %d", code)
		}
		if code := h.ahead(http.MethodGet, to, "prefetch"); code != http.StatusServiceUnavailable {
			t.Errorf("prefetch: %d", code)
		}
		if code := h.ahead(http.MethodHead, origin+"/saml/metadata", ""); code != http.StatusOK {
			t.Errorf("HEAD of metadata: %d", code)
		}
		if r := h.get(to); r.to != acs {
			t.Errorf("%+v", r)
		}
	})
}
