//go:build interop

package interop_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"html"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// needSoftHSM gives the PKCS#11 module and OpenSSL's engine; it skips the test where they are missing, and fails it in CI.
func needSoftHSM(t *testing.T) (module, engine string) {
	t.Helper()
	find := func(patterns ...string) string {
		for _, p := range patterns {
			if found, _ := filepath.Glob(p); len(found) > 0 {
				return found[0]
			}
		}
		return ""
	}
	module = find("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/*/softhsm/libsofthsm2.so")
	engine = find("/usr/lib/*/engines-3/pkcs11.so", "/usr/lib/*/engines-3/libpkcs11.so")
	_, curl := exec.LookPath("curl")
	_, util := exec.LookPath("softhsm2-util")
	if module == "" || engine == "" || curl != nil || util != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("curl or SoftHSM is not installed: bash deploy/ci/setup.sh installs them")
		}
		t.Skip("curl or SoftHSM is not installed: bash deploy/ci/setup.sh installs them")
	}
	return module, engine
}

// hereOnly reaches this machine's names with what trusts an authority (PEM file).
func hereOnly(t *testing.T, authority string) *http.Transport {
	t.Helper()
	pem, err := os.ReadFile(authority)
	noError(t, err)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12},
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			_, port, _ := net.SplitHostPort(address)
			return (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, network, "127.0.0.1:"+port)
		},
	}
}

var beginCard = regexp.MustCompile(`action="(/login/[^"/]+/begin)"><input type="hidden" name="form" value="([^"]+)"><input type="hidden" name="method" value="card">`)

// curlLogsIn leads curl, whose key is in SoftHSM behind PKCS#11, to the hub's card host: TLS 1.2 and PKCS#1 v1.5, as with a card's driver. What it
// brings back opens the hub to the browser that began, and to no other.
func curlLogsIn(t *testing.T, d *demonstration) {
	module, engine := needSoftHSM(t)
	browser := func() *http.Client {
		jar, err := cookiejar.New(nil)
		noError(t, err)
		return &http.Client{Timeout: 30 * time.Second, Jar: jar, Transport: hereOnly(t, d.authority)}
	}
	read := func(a *http.Response, err error) (status int, at, body string) {
		t.Helper()
		noError(t, err)
		b, err := io.ReadAll(a.Body)
		noError(t, err)
		noError(t, a.Body.Close())
		return a.StatusCode, a.Request.URL.String(), string(b)
	}
	get := func(c *http.Client, at string) (status int, end, body string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, at, http.NoBody)
		noError(t, err)
		r.Header.Set("Accept", "text/html")
		return read(c.Do(r))
	}
	began := browser()
	_, _, page := get(began, d.hub+"/")
	form := beginCard.FindStringSubmatch(page)
	if form == nil {
		t.Fatalf("no way to begin with the card:\n%s", page)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, d.hub+form[1], strings.NewReader(url.Values{"form": {form[2]}, "method": {"card"}}.Encode()))
	noError(t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Origin", d.hub)
	r.Header.Set("Accept", "text/html")
	_, at, page := read(began.Do(r))
	// The page that plays cards is asked, with the address on the card host.
	to := regexp.MustCompile(`https://sandbox\.localhost:[0-9]+/card\?to=[^"]+`).FindString(page + " " + at)
	played, err := url.Parse(html.UnescapeString(to))
	noError(t, err)
	location := played.Query().Get("to")
	if !strings.HasPrefix(location, "https://card.localhost:"+d.hubPort+"/") {
		t.Fatalf("the login leads to %q:\n%s", location, page)
	}

	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		noError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	noError(t, os.Mkdir(filepath.Join(dir, "tokens"), 0o700))
	env := append(os.Environ(),
		"SOFTHSM2_CONF="+file("softhsm2.conf", "directories.tokendir = "+dir+"/tokens\nobjectstore.backend = file\nlog.level = ERROR\n"),
		"OPENSSL_CONF="+file("openssl.cnf", `openssl_conf = init
[init]
engines = engines
ssl_conf = ssl
[engines]
pkcs11 = pkcs11
[pkcs11]
engine_id = pkcs11
dynamic_path = `+engine+`
MODULE_PATH = `+module+`
PIN = 1234
init = 0
[ssl]
system_default = limits
[limits]
ClientSignatureAlgorithms = RSA+SHA256
SignatureAlgorithms = RSA+SHA256:ECDSA+SHA256
MaxProtocol = TLSv1.2
`))
	run := func(name string, args ...string) string {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		c := exec.CommandContext(ctx, name, args...)
		c.Env = env
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
		return string(out)
	}
	card := strings.TrimSuffix(d.card("city"), ".p12")
	run("softhsm2-util", "--init-token", "--free", "--label", "card", "--pin", "1234", "--so-pin", "12345678")
	run("softhsm2-util", "--import", card+".key.pem", "--token", "card", "--label", "auth", "--id", "01", "--pin", "1234")
	out := run("curl", "--silent", "--show-error", "--http1.1", "--max-time", "30", "--noproxy", "*", "--output", filepath.Join(dir, "body"),
		"--write-out", "%{http_code} %{redirect_url}", "--resolve", "card.localhost:"+d.hubPort+":127.0.0.1", "--cacert", d.authority,
		"--engine", "pkcs11", "--cert", card+".pem", "--key-type", "ENG", "--key", "pkcs11:token=card;object=auth;type=private;pin-value=1234", location)
	back, ok := strings.CutPrefix(out, "303 ")
	if !ok || !strings.HasPrefix(back, d.hub+"/login/") {
		body, _ := os.ReadFile(filepath.Join(dir, "body"))
		t.Fatalf("curl got %s\n%s", out, body)
	}
	if status, _, page := get(browser(), back); status != http.StatusForbidden || strings.Contains(page, "石井 真由美") {
		t.Errorf("in another browser: %d\n%s", status, page)
	}
	if status, at, page := get(began, back); status != http.StatusOK || at != d.hub+"/" || !strings.Contains(page, "石井 真由美") {
		t.Errorf("in the browser that began: %d at %s\n%s", status, at, page)
	}
}
