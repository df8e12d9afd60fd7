//go:build interop

package interop_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
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

// program is a browser that a test plays: cookies, and what the page says.
type program struct{ *http.Client }

func newProgram(t *testing.T, d *demonstration) program {
	t.Helper()
	jar, err := cookiejar.New(nil)
	noError(t, err)
	return program{&http.Client{Timeout: time.Minute, Jar: jar, Transport: hereOnly(t, d.authority)}}
}

// ask sends a request and gives the answer after all redirects: its status, where it came from, and its text.
func (p program) ask(t *testing.T, method, at, kind, body string) (status int, end, page string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, at, strings.NewReader(body))
	noError(t, err)
	r.Header.Set("Accept", "text/html")
	if kind != "" {
		r.Header.Set("Content-Type", kind)
		r.Header.Set("Origin", "https://"+r.Host)
	}
	a, err := p.Do(r)
	noError(t, err)
	b, err := io.ReadAll(a.Body)
	noError(t, err)
	noError(t, a.Body.Close())
	return a.StatusCode, a.Request.URL.String(), string(b)
}

// beginCard opens the hub's pages and begins the login with the card: it gives the address at which the card is asked for.
func (p program) beginCard(t *testing.T, d *demonstration) (location string) {
	t.Helper()
	_, _, page := p.ask(t, http.MethodGet, d.hub+"/", "", "")
	form := beginCard.FindStringSubmatch(page)
	if form == nil {
		t.Fatalf("no way to begin with the card:\n%s", page)
	}
	_, at, page := p.ask(t, http.MethodPost, d.hub+form[1], "application/x-www-form-urlencoded", url.Values{"form": {form[2]}, "method": {"card"}}.Encode())
	// The page that plays cards is asked, with the address on the card host.
	to := regexp.MustCompile(`https://sandbox\.localhost:[0-9]+/card\?to=[^"]+`).FindString(page + " " + at)
	played, err := url.Parse(html.UnescapeString(to))
	noError(t, err)
	location = played.Query().Get("to")
	if !strings.HasPrefix(location, "https://card.localhost:"+d.hubPort+"/") {
		t.Fatalf("the login leads to %q:\n%s", location, page)
	}
	return location
}

// curlLogsIn leads curl, whose key is in SoftHSM behind PKCS#11, to the hub's card host: TLS 1.2 and PKCS#1 v1.5, as with a card's driver. What it
// brings back opens the hub to the browser that began, and to no other.
func curlLogsIn(t *testing.T, d *demonstration) {
	module, engine := needSoftHSM(t)
	began := newProgram(t, d)
	location := began.beginCard(t, d)

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
	if status, _, page := newProgram(t, d).ask(t, http.MethodGet, back, "", ""); status != http.StatusForbidden || strings.Contains(page, "石井 真由美") {
		t.Errorf("in another browser: %d\n%s", status, page)
	}
	if status, at, page := began.ask(t, http.MethodGet, back, "", ""); status != http.StatusOK || at != d.hub+"/" || !strings.Contains(page, "石井 真由美") {
		t.Errorf("in the browser that began: %d at %s\n%s", status, at, page)
	}
}

// signedChallenge has a program sign with a card's key, by the card host's API. Nothing binds that to an origin, so it is two factors and no card, and the
// hub's pages stay shut.
func signedChallenge(t *testing.T, d *demonstration) {
	pair, err := tls.LoadX509KeyPair(strings.TrimSuffix(d.card("city"), ".p12")+".pem", strings.TrimSuffix(d.card("city"), ".p12")+".key.pem")
	noError(t, err)
	began := newProgram(t, d)
	location, err := url.Parse(began.beginCard(t, d))
	noError(t, err)
	ticket, api := location.Query().Get("ticket"), "https://"+location.Host+"/api/"
	post := func(path string, body any) (status int, got struct {
		Message, Nonce []byte
		Location, Code string
		RelyingParty   string `json:"relying_party"`
	},
	) {
		t.Helper()
		raw, err := json.Marshal(body)
		noError(t, err)
		status, _, text := newProgram(t, d).ask(t, http.MethodPost, api+path, "application/json", string(raw))
		noError(t, json.Unmarshal([]byte(text), &got))
		return status, got
	}
	status, asked := post("challenge", map[string]string{"ticket": ticket})
	if status != http.StatusOK || asked.RelyingParty != "https://"+location.Host {
		t.Fatalf("%d %+v", status, asked)
	}
	sum := sha256.Sum256(asked.Message)
	signature, err := pair.PrivateKey.(*rsa.PrivateKey).Sign(rand.Reader, sum[:], crypto.SHA256)
	noError(t, err)
	answer := map[string]any{"ticket": ticket, "nonce": asked.Nonce, "certificate": pair.Certificate[0], "scheme": "rsa-sha256", "signature": signature}
	status, done := post("response", answer)
	if status != http.StatusOK || !strings.HasPrefix(done.Location, d.hub+"/login/") {
		t.Fatalf("%d %+v", status, done)
	}
	if status, again := post("response", answer); status != http.StatusForbidden || again.Code != "ticket_invalid" {
		t.Errorf("the same again: %d %+v", status, again)
	}
	if status, _, page := newProgram(t, d).ask(t, http.MethodGet, done.Location, "", ""); status != http.StatusForbidden {
		t.Errorf("in another browser: %d\n%s", status, page)
	}
	if _, at, page := began.ask(t, http.MethodGet, done.Location, "", ""); at == d.hub+"/" || strings.Contains(page, "石井 真由美") || beginCard.FindString(page) == "" {
		t.Errorf("two factors open the hub's pages at %s:\n%s", at, page)
	}
}
