package door_test

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/musubi-hub/musubi/cmd/musubi/signin/door"
	"github.com/musubi-hub/musubi/cmd/musubi/signin/page"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/login/logintest"
	"github.com/musubi-hub/musubi/identity/network"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
	"github.com/musubi-hub/musubi/policies"
)

type house struct {
	*logintest.World
	door *door.Door
	log  *strings.Builder
}

func newHouse(t *testing.T, db *sqldb.DB) *house {
	t.Helper()
	h := &house{World: logintest.New(t, db), log: &strings.Builder{}}
	table, err := network.New(network.Config{
		Networks: map[policies.Network]network.Hosts{
			policies.NetworkInternet: {Login: "login.example.test", Card: "card.example.test"}, policies.NetworkLGWAN: {Login: "login.lgwan.example.test"},
		},
		Listeners: map[string]network.Listener{
			"public": {Network: policies.NetworkInternet},
			"behind": {Proxies: []network.Proxy{{From: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32")}, Network: policies.NetworkLGWAN}}},
			"cards":  {Proxies: []network.Proxy{{From: []netip.Prefix{netip.MustParsePrefix("192.0.2.2/32")}, Network: policies.NetworkInternet}}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(h.log, nil))
	pages, err := page.New("", h.Now, log)
	if err != nil {
		t.Fatal(err)
	}
	if h.door, err = door.New(door.Config{DB: db, Table: table, Pages: pages, Now: h.Now, Random: rand.Reader, Logger: log}); err != nil {
		t.Fatal(err)
	}
	return h
}

// arrive gives what a handler sees of a request, or the page of refusal.
func (h *house) arrive(t *testing.T, listener string, change func(*http.Request)) (*httptest.ResponseRecorder, *http.Request) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "https://login.example.test/x", http.NoBody)
	r.RemoteAddr, r.TLS = "198.51.100.7:1234", &tls.ConnectionState{ServerName: "login.example.test"}
	if change != nil {
		change(r)
	}
	var got *http.Request
	w := httptest.NewRecorder()
	h.door.Listener(listener, func(n policies.Network, role network.Role) http.Handler {
		if n == policies.NetworkLGWAN && role == network.RoleCard {
			return nil
		}
		return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r })
	}).ServeHTTP(w, r)
	return w, got
}

func TestWhereRequestsArrive(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		h := newHouse(t, db)
		spoken := func(r *http.Request) {
			r.Host = "LOGIN.example.test:443"
			for _, name := range []string{"X-Forwarded-For", "X_Forwarded_For", "Forwarded", "X-Forwarded-Host", "Client-Cert", "X-Real-Ip"} {
				r.Header[name] = []string{"203.0.113.9"}
			}
		}
		_, got := h.arrive(t, "public", spoken)
		if got == nil {
			t.Fatal("it didn't arrive")
		}
		place, ok := door.Place(got.Context())
		if !ok || place.Network != policies.NetworkInternet || place.Role != network.RoleLogin || place.Client.String() != "198.51.100.7" || got.Host != "login.example.test" || len(got.Header) != 0 {
			t.Errorf("%+v, host %s, %v", place, got.Host, got.Header)
		}
		// Through the LGWAN's proxy: its address decides, its own word about the client is kept for the log.
		_, got = h.arrive(t, "behind", func(r *http.Request) {
			r.Host, r.TLS, r.RemoteAddr = "login.lgwan.example.test", nil, "192.0.2.1:9"
			r.Header.Set("X-Forwarded-For", "203.0.113.9, 10.1.2.3")
			r.Header.Set("Client-Cert", ":AAAA:")
		})
		if got == nil {
			t.Fatal("it didn't arrive")
		}
		if place, _ := door.Place(got.Context()); place.Network != policies.NetworkLGWAN || !place.Proxied || place.Client.String() != "10.1.2.3" {
			t.Errorf("%+v", place)
		}
		_, got = h.arrive(t, "cards", func(r *http.Request) {
			r.Host, r.TLS, r.RemoteAddr = "card.example.test", nil, "192.0.2.2:9"
			r.Header.Set("Client-Cert", ":AAAA:")
		})
		if got == nil || got.Header.Get("Client-Cert") == "" {
			t.Error("what a trusted proxy says of a card is lost")
		}
		for name, x := range map[string]struct {
			listener, reason string
			status           int
			change           func(*http.Request)
		}{
			"unknown listener": {"none", "listener_unknown", 400, nil},
			"plain":            {"public", "not_encrypted", 400, func(r *http.Request) { r.TLS = nil }},
			"no proxy":         {"behind", "not_a_proxy", 400, nil},
			"unknown host":     {"public", "host_unknown", 421, func(r *http.Request) { r.Host = "evil.example" }},
			"another network":  {"public", "host_of_another", 421, func(r *http.Request) { r.Host = "login.lgwan.example.test" }},
			"another name":     {"public", "host_not_as_sni", 421, func(r *http.Request) { r.Host = "card.example.test" }},
			"forged": {"public", "client_cert_forged", 400, func(r *http.Request) {
				r.Host, r.TLS.ServerName = "card.example.test", "card.example.test"
				r.Header["client_cert"] = []string{"x"}
			}},
		} {
			w, got := h.arrive(t, x.listener, x.change)
			if got != nil || w.Code != x.status || w.Header().Get("Content-Security-Policy") == "" || w.Header().Get("Strict-Transport-Security") == "" {
				t.Errorf("%s: arrived %t, %d %v", name, got != nil, w.Code, w.Header())
			}
			found := 0
			for _, row := range h.Audit(t, audit.Filter{Action: "http.request"}) {
				if row.Reason == x.reason && strings.Contains(w.Body.String(), row.ID) && row.Detail["listener"] == x.listener {
					found++
				}
			}
			if found != 1 {
				t.Errorf("%s: %d rows say %s:\n%s", name, found, x.reason, w.Body.String())
			}
		}
	})
}

// Nothing came in by no door.
func TestNoDoor(t *testing.T) {
	if _, ok := door.Place(context.Background()); ok {
		t.Error("a place without a door")
	}
	if _, err := door.New(door.Config{}); err == nil {
		t.Error("a door of nothing")
	}
}

// What the database doesn't take is in the log, and no page shows a number that finds nothing.
func TestRecordWithoutDatabase(t *testing.T) {
	db := sqldbtest.Open(t, sqldbtest.SQLiteURL(t))
	h := newHouse(t, db)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if id := h.door.Record(t.Context(), door.Incident{Action: "http.request", Reason: "x", Err: errors.New("what failed")}); id != "" {
		t.Errorf("the number %s of nothing", id)
	}
	if !strings.Contains(h.log.String(), "what failed") || !strings.Contains(h.log.String(), "isn't in the audit log") {
		t.Error(h.log.String())
	}
}
