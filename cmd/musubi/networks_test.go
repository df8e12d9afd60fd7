package main

import (
	"context"
	"crypto/rand"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/cmd/internal/config"
	"github.com/musubi-hub/musubi/cmd/internal/gate"
	"github.com/musubi-hub/musubi/cmd/internal/testcard"
	"github.com/musubi-hub/musubi/identity/cert"
)

var incidentText = regexp.MustCompile(`\b[0-9]{6}-[0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z]{4}\b`)

// TestTwoNetworks holds that each network is served at its own socket alone: another's host is refused there, with a number that the audit log knows; a
// network's issuer and its login are its own; and a header decides nothing.
func TestTwoNetworks(t *testing.T) {
	t.Parallel()
	i := &install{data: t.TempDir()}
	i.begin(t)
	hosts := []string{"login.internet.localhost", "card.internet.localhost", "login.lgwan.localhost", "card.lgwan.localhost"}
	set, err := testcard.Open(testcard.Options{Dir: i.path("card"), Now: time.Now(), Random: rand.Reader, Hosts: hosts})
	noError(t, err)
	values := map[string]string{
		"database": "sqlite:musubi.db", "listen": "127.0.0.1:0", "card.profile": cert.JPKIAuthTest, "card.anchors_file": set.Files.Anchors, "card.crl_folder": set.Files.Lists,
	}
	sockets := map[string]string{}
	for _, n := range []string{"internet", "lgwan"} {
		l, err := gate.Listen(t.Context(), "127.0.0.1:0")
		noError(t, err)
		sockets[n] = l.Addr().String()
		noError(t, l.Close())
		values[n+".login_host"], values[n+".card_host"], values[n+".listen"] = "login."+n+".localhost", "card."+n+".localhost", sockets[n]
		values[n+".certificate_file"], values[n+".key_file"] = set.Files.Server, set.Files.Server
	}
	noError(t, config.Save(i.data, values))
	i.start(t, "serve").match(t, `(serving: https://login\.internet\.localhost, https://login\.lgwan\.localhost)`)

	// get asks at a network's socket: the handshake is for sni, the request for host.
	get := func(network, sni, host, path string, headers ...string) (status int, at, body string, cookies []*http.Cookie, err error) {
		tr := set.Transport().(*http.Transport)
		tr.TLSClientConfig.ServerName = sni
		tr.DialContext = func(ctx context.Context, kind, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, kind, sockets[network])
		}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+host+path, nil)
		noError(t, err)
		r.Header.Set("Accept", "text/html")
		for n := 0; n+1 < len(headers); n += 2 {
			r.Header.Set(headers[n], headers[n+1])
		}
		resp, err := tr.RoundTrip(r)
		if err != nil {
			return 0, "", "", nil, err
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
		return resp.StatusCode, resp.Header.Get("Location"), string(text), resp.Cookies(), err
	}
	for _, n := range []string{"internet", "lgwan"} {
		host := "login." + n + ".localhost"
		status, _, body, _, err := get(n, host, host, "/.well-known/openid-configuration")
		if err != nil || status != http.StatusOK || !strings.Contains(body, `"issuer":"https://`+host+`"`) || strings.Contains(body, map[string]string{"internet": "lgwan", "lgwan": "internet"}[n]) {
			t.Errorf("%s: %d %v\n%s", n, status, err, body)
		}
		status, _, body, _, err = get(n, host, host, "/saml/metadata")
		if err != nil || status != http.StatusOK || !strings.Contains(body, `entityID="https://`+host+`/saml/metadata"`) || strings.Count(body, "<ds:X509Certificate>") != 3 {
			t.Errorf("%s: %d %v\n%s", n, status, err, body)
		}
		status, at, _, cookies, err := get(n, host, host, "/", "X-Forwarded-Host", "login.lgwan.localhost", "Forwarded", "host=login.lgwan.localhost", "X-Forwarded-For", "203.0.113.1")
		if err != nil || status != http.StatusSeeOther || !strings.HasPrefix(at, "/login/") || len(cookies) != 1 || cookies[0].Domain != "" || !strings.HasPrefix(cookies[0].Name, "__Host-") {
			t.Errorf("%s: %d to %q with %v: %v", n, status, at, cookies, err)
		}
	}
	// The handshake of one's own host, the request for another's.
	for _, c := range []struct{ network, sni, host string }{
		{"lgwan", "login.lgwan.localhost", "login.internet.localhost"},
		{"internet", "login.internet.localhost", "login.lgwan.localhost"},
		{"internet", "login.internet.localhost", "card.internet.localhost"},
		{"internet", "login.internet.localhost", "elsewhere.localhost"},
	} {
		status, _, body, cookies, err := get(c.network, c.sni, c.host, "/")
		number := incidentText.FindString(body)
		if err != nil || status != http.StatusMisdirectedRequest || number == "" || len(cookies) > 0 {
			t.Errorf("%+v: %d %v, incident %q\n%s", c, status, err, number, body)
			continue
		}
		if found := i.must(t, "audit", "find", "--incident", number, "--as", i.planner()); !strings.Contains(found, "http.request") || !strings.Contains(found, "host_") {
			t.Errorf("%s:\n%s", number, found)
		}
	}
	// The handshake itself for another network's host.
	if status, _, body, _, err := get("lgwan", "login.internet.localhost", "login.internet.localhost", "/"); err == nil {
		t.Errorf("LGWAN's socket shook hands for the internet's host: %d\n%s", status, body)
	}
}
