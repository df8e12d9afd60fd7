package testcard_test

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/cmd/internal/testcard"
	"github.com/musubi-hub/musubi/connectors/sandbox/card"
	"github.com/musubi-hub/musubi/identity/mynumber"
)

// The page plays a card against a host that is set up as the hub's card host is.
func TestPlayer(t *testing.T) {
	o := options(folder(t), holders()...)
	o.Now = time.Now() // the handshake looks at the clock
	s := open(t, o)
	config, err := mynumber.TLS{Host: "card.localhost", Certificates: []tls.Certificate{s.Server}}.Config()
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(r.TLS.PeerCertificates) == 0 || r.TLS.Version != tls.VersionTLS12 {
			t.Errorf("%x, %d certificates", r.TLS.Version, len(r.TLS.PeerCertificates))
			return
		}
		http.Redirect(w, r, "https://login.localhost:8443/"+r.TLS.PeerCertificates[0].SerialNumber.String(), http.StatusSeeOther)
	}))
	mynumber.Prepare(server.Config)
	server.TLS = config
	server.StartTLS()
	defer server.Close()
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	origin := "https://card.localhost:" + port
	player, err := s.Player([]string{origin}, "/login/card", []string{"https://login.localhost:8443"})
	if err != nil {
		t.Fatal(err)
	}
	post := func(id, pin string) string {
		form := url.Values{"to": {origin + "/login/card?ticket=x"}, "card": {id}, "pin": {pin}}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "https://sandbox.localhost"+card.Path, strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		player.ServeHTTP(w, r)
		return w.Body.String()
	}
	good, _ := s.Card("good")
	if body := post("good", testcard.PIN); !strings.Contains(body, "https://login.localhost:8443/"+good.TLS.Leaf.SerialNumber.String()) {
		t.Errorf("%s", body)
	}
	for range card.MaxTries {
		post("good", "0000")
	}
	if player, err = s.Player([]string{origin}, "/login/card", []string{"https://login.localhost:8443"}); err != nil {
		t.Fatal(err)
	}
	if body := post("good", testcard.PIN); strings.Contains(body, "8443") {
		t.Error("a locked card is open after a restart")
	}
}

func TestDialStaysHere(t *testing.T) {
	for _, address := range []string{"example.com:443", "127.0.0.1:443", "localhost.example.com:443", "evillocalhost:443", "localhost"} {
		if c, err := testcard.Dial(t.Context(), "tcp", address); err == nil {
			_ = c.Close()
			t.Errorf("%s: connected", address)
		}
	}
}
