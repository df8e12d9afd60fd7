package mynumber_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	pkixname "crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/identity/cert/testpki"
	"github.com/musubi-hub/musubi/identity/login"
	"github.com/musubi-hub/musubi/identity/login/logintest"
	"github.com/musubi-hub/musubi/identity/mynumber"
	"github.com/musubi-hub/musubi/policies"
)

const cardHost = "card.example.test"

// hostCertificate is the card host's own, self-signed, made once.
var hostCertificate = sync.OnceValue(func() tls.Certificate {
	key := must(testpki.NewKey(testpki.Seeded("host"), testpki.P256))
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkixname.Name{CommonName: cardHost}, DNSNames: []string{cardHost}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der := must(x509.CreateCertificate(testpki.Seeded("host"), template, template, key.Public(), key))
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
})

// serve runs a card host on loopback; each request is an attempt named by its ticket, and the answer says what came of it.
func (h *house) serve(t testing.TB, modern bool, prepare func(*http.Server)) (address string, pool *x509.CertPool) {
	t.Helper()
	certificate := hostCertificate()
	pool = x509.NewCertPool()
	pool.AddCert(must(x509.ParseCertificate(certificate.Certificate[0])))
	config, err := mynumber.TLS{Host: cardHost, Certificates: []tls.Certificate{certificate}, Modern: modern}.Config()
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	h.config.Hosts = map[policies.Network]string{policies.NetworkInternet: "https://" + cardHost + ":" + port}
	h.method = must(mynumber.New(h.config))
	s := &http.Server{ErrorLog: log.New(io.Discard, "", 0), ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, err := h.method.Finish(r.Context(), h.attempt(r.URL.Query().Get("ticket")), r)
		var no *login.Rejection
		switch {
		case errors.As(err, &no):
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, no.Code)
		case err != nil:
			w.WriteHeader(http.StatusInternalServerError)
		default:
			_, _ = fmt.Fprintf(w, "%s %x %v", p.Credential, r.TLS.Version, r.TLS.DidResume)
		}
	})}
	mynumber.Prepare(s)
	if prepare != nil {
		prepare(s)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(l)
	}()
	t.Cleanup(func() {
		_ = s.Close()
		<-done
	})
	return "https://" + cardHost + ":" + port, pool
}

// browser dials the card host whatever its name, and signs like a card driver: PKCS#1 v1.5 alone.
func browser(pool *x509.CertPool, c *testpki.Card, change func(*tls.Config)) *http.Client {
	config := &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12, ClientSessionCache: tls.NewLRUClientSessionCache(8)}
	if c != nil {
		card := c.TLS()
		card.SupportedSignatureAlgorithms = []tls.SignatureScheme{tls.PKCS1WithSHA256}
		config.Certificates = []tls.Certificate{card}
	}
	if change != nil {
		change(config)
	}
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	return &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{
		TLSClientConfig: config,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			_, port, _ := net.SplitHostPort(addr)
			return dialer.DialContext(ctx, network, "127.0.0.1:"+port)
		},
	}}
}

func (h *house) visit(t testing.TB, c *http.Client, at string) (status int, text string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, at, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := c.Do(r)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = answer.Body.Close() }()
	b, _ := io.ReadAll(answer.Body)
	return answer.StatusCode, string(b)
}

func TestHandshake(t *testing.T) {
	h := one(t, nil)
	at, pool := h.serve(t, false, nil)
	card := cards()[0]
	c := browser(pool, card, nil)
	for i := range 2 { // a second visit is a second handshake, with a second signature
		status, text := h.visit(t, c, fmt.Sprintf("%s/?ticket=%d", at, i))
		if want := h.credential(card) + " 303 false"; status != http.StatusOK || text != want {
			t.Errorf("visit %d: %d %s; want %s", i, status, text, want)
		}
	}
	if status, text := h.visit(t, browser(pool, nil, nil), at+"/?ticket=n"); status != http.StatusForbidden || text != "certificate_missing" {
		t.Errorf("without a card: %d %s", status, text)
	}
	sign := must(pki().Newest(testpki.SignTree).Issue(testpki.Holder{Key: card.Key}, logintest.Start))
	if status, text := h.visit(t, browser(pool, sign, nil), at+"/?ticket=s"); status != http.StatusForbidden || text != "certificate_wrong_tree" {
		t.Errorf("the certificate for signatures: %d %s", status, text)
	}
	// Another's certificate without its key: Go's client wouldn't, so the keys are exchanged behind its back.
	stolen := &testpki.Card{Signer: testpki.Signer{Raw: cards()[1].Raw, Key: card.Key}}
	if status, text := h.visit(t, browser(pool, stolen, nil), at+"/?ticket=x"); status != 0 {
		t.Errorf("a certificate without its key: %d %s", status, text)
	}
	if status, text := h.visit(t, browser(pool, card, func(c *tls.Config) { c.ServerName = "hub.example.test"; c.InsecureSkipVerify = true }), at+"/?ticket=h"); status != 0 {
		t.Errorf("a handshake for another host: %d %s", status, text)
	}
	if status, text := h.visit(t, browser(pool, card, func(c *tls.Config) { c.MinVersion = tls.VersionTLS13 }), at+"/"); status != 0 {
		t.Errorf("TLS 1.3 without being asked for: %d %s", status, text)
	}
}

func TestModernHandshake(t *testing.T) {
	h := one(t, nil)
	at, pool := h.serve(t, true, nil)
	card := cards()[0]
	if status, text := h.visit(t, browser(pool, card, func(c *tls.Config) { c.Certificates[0].SupportedSignatureAlgorithms = nil }), at+"/?ticket=1"); status != http.StatusOK || text != h.credential(card)+" 304 false" {
		t.Errorf("TLS 1.3 with PSS: %d %s", status, text)
	}
	if status, text := h.visit(t, browser(pool, card, func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }), at+"/?ticket=2"); status != http.StatusOK || text != h.credential(card)+" 303 false" {
		t.Errorf("TLS 1.2 with PKCS#1: %d %s", status, text)
	}
}

// A browser that keeps its connection would be taken for whoever sat there before.
func TestOneProofToAConnection(t *testing.T) {
	h := one(t, nil)
	at, pool := h.serve(t, false, func(s *http.Server) { s.SetKeepAlivesEnabled(true) })
	c := browser(pool, cards()[0], nil)
	if status, text := h.visit(t, c, at+"/?ticket=1"); status != http.StatusOK {
		t.Fatalf("%d %s", status, text)
	}
	if status, text := h.visit(t, c, at+"/?ticket=2"); status != http.StatusForbidden || text != "connection_used" {
		t.Errorf("the next on the same connection: %d %s", status, text)
	}
}

// TestSoftToken plays a card by SoftHSM behind PKCS#11, and a browser by curl: TLS 1.2 with a PKCS#1 v1.5 signature.
func TestSoftToken(t *testing.T) {
	module := find(t, "/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/*/softhsm/libsofthsm2.so")
	engine := find(t, "/usr/lib/*/engines-3/pkcs11.so", "/usr/lib/*/engines-3/libpkcs11.so")
	for _, program := range []string{"curl", "softhsm2-util"} {
		if _, err := exec.LookPath(program); err != nil {
			missingTool(t, program)
		}
	}
	h := one(t, nil)
	at, _ := h.serve(t, false, nil)
	card, dir := cards()[0], t.TempDir()
	file := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	if err := os.Mkdir(filepath.Join(dir, "tokens"), 0o700); err != nil {
		t.Fatal(err)
	}
	env := append(os.Environ(),
		"SOFTHSM2_CONF="+file("softhsm2.conf", []byte("directories.tokendir = "+dir+"/tokens\nobjectstore.backend = file\nlog.level = ERROR\n")),
		"OPENSSL_CONF="+file("openssl.cnf", []byte(`openssl_conf = init
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
`)))
	run := func(name string, args ...string) string {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		c := exec.CommandContext(ctx, name, args...)
		c.Env = env
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
		return string(out)
	}
	key := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(card.Key))})
	run("softhsm2-util", "--init-token", "--free", "--label", "card", "--pin", "1234", "--so-pin", "12345678")
	run("softhsm2-util", "--import", file("key.pem", key), "--token", "card", "--label", "auth", "--id", "01", "--pin", "1234")
	leaf := file("leaf.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: card.Raw}))
	if err := os.Remove(filepath.Join(dir, "key.pem")); err != nil { // it is in the token alone
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(at, "https://"))
	out := run("curl", "--silent", "--show-error", "--http1.1", "--max-time", "20", "--noproxy", "*",
		"--resolve", cardHost+":"+port+":127.0.0.1", "--cacert", file("host.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: hostCertificate().Certificate[0]})),
		"--engine", "pkcs11", "--cert", leaf, "--key-type", "ENG", "--key", "pkcs11:token=card;object=auth;type=private;pin-value=1234", at+"/?ticket=soft")
	if want := h.credential(card) + " 303 false"; out != want {
		t.Errorf("curl: %s; want %s", out, want)
	}
}

func find(t *testing.T, patterns ...string) string {
	t.Helper()
	for _, p := range patterns {
		if found, _ := filepath.Glob(p); len(found) > 0 {
			return found[0]
		}
	}
	missingTool(t, patterns[0])
	return ""
}

// missingTool skips on a developer's machine and fails in CI.
func missingTool(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is missing: run deploy/ci/setup.sh", what)
	}
	t.Skipf("%s isn't installed: deploy/ci/setup.sh installs it", what)
}
