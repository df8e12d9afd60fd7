//go:build interop

package interop_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/cert"
	certpkix "github.com/musubi-hub/musubi/identity/cert/pkix"
	"github.com/musubi-hub/musubi/identity/cert/testpki"
	"github.com/musubi-hub/musubi/identity/login"
	"github.com/musubi-hub/musubi/identity/mynumber"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
	"github.com/musubi-hub/musubi/policies"
)

// needNSS skips the test where the tools of NSS aren't installed; in CI it fails instead.
func needNSS(t *testing.T) {
	t.Helper()
	for _, tool := range []string{"certutil", "pk12util"} {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatalf("%s is not installed: bash deploy/ci/setup.sh installs it", tool)
			}
			t.Skipf("%s is not installed: bash deploy/ci/setup.sh installs it", tool)
		}
	}
}

// browserHome is the home folder of a person whose browser trusts an authority (PEM file) and who has imported a card (PKCS #12 file; "" for none).
func browserHome(t *testing.T, authority, card, password string) string {
	t.Helper()
	home := t.TempDir()
	db := filepath.Join(home, ".pki", "nssdb")
	noError(t, os.MkdirAll(db, 0o700))
	run := func(name string, args ...string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		if out, err := exec.CommandContext(ctx, name, append(args, "-d", "sql:"+db)...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
	}
	run("certutil", "-N", "--empty-password")
	run("certutil", "-A", "-t", "C,,", "-n", "authority", "-i", authority)
	if card != "" {
		run("pk12util", "-i", card, "-W", password)
	}
	return home
}

// cardHost is a card host in front of the real method, without a hub behind it: it answers with what the method found.
type cardHost struct {
	origin, authority string // the latter a PEM file
	ca                *testpki.CA
	cards             map[string]string // PKCS #12 files by name
	credentials       map[string]string
}

func startCardHost(t *testing.T) *cardHost {
	t.Helper()
	now := time.Now()
	pki, err := testpki.New(testpki.Seeded("interop"), testpki.Options{Now: now, Generations: 1})
	noError(t, err)
	h := &cardHost{ca: pki.Newest(testpki.AuthTree), cards: map[string]string{}, credentials: map[string]string{}}
	dir := t.TempDir()
	db := sqldbtest.Open(t, sqldbtest.SQLiteURL(t))
	noError(t, db.Migrate(t.Context(), mynumber.Migration(), login.Migration(), access.Migration(), audit.Migration(db.Engine())))
	links, err := mynumber.NewLinks(db, bytes.Repeat([]byte{7}, 32), nil)
	noError(t, err)
	for name, ca := range map[string]*testpki.CA{"good": h.ca, "signature": pki.Newest(testpki.SignTree)} {
		card, err := ca.Issue(testpki.Holder{}, now)
		noError(t, err)
		bag, err := card.PKCS12(rand.Reader, testpki.Password)
		noError(t, err)
		h.cards[name] = filepath.Join(dir, name+".p12")
		noError(t, os.WriteFile(h.cards[name], bag, 0o600))
		parsed, err := certpkix.ParseCertificate(card.Raw)
		noError(t, err)
		h.credentials[name] = links.Credential(mynumber.Card{Issuer: parsed.Issuer.Canonical(), IssuerKey: ca.SPKI, Serial: parsed.Serial})
	}
	var profile *cert.Profile
	for _, c := range cert.Profiles() {
		if c.Name == cert.JPKIAuthTest {
			profile, err = cert.NewProfile(c)
			noError(t, err)
		}
	}
	anchors, err := cert.ParseAnchors([][]byte{h.ca.Raw, pki.Newest(testpki.SignTree).Raw})
	noError(t, err)
	lists, err := mynumber.NewLists(profile, anchors)
	noError(t, err)
	_, err = lists.Poll(t.Context(), fstest.MapFS{"a.crl": {Data: h.ca.List(1, now).Der(h.ca.Key), ModTime: now}}, now)
	noError(t, err)
	verifier, err := mynumber.NewLocal(profile, anchors, lists, mynumber.NewChallenges(db, rand.Reader))
	noError(t, err)

	server := serverCertificate(t, "card.localhost")
	h.authority = filepath.Join(dir, "authority.pem")
	noError(t, os.WriteFile(h.authority, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate[1]}), 0o600))
	config, err := mynumber.TLS{Host: "card.localhost", Certificates: []tls.Certificate{server}}.Config()
	noError(t, err)
	listener, err := tls.Listen("tcp", "127.0.0.1:0", config)
	noError(t, err)
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	h.origin = "https://card.localhost:" + port
	method, err := mynumber.New(mynumber.Config{
		Verifier: verifier, Links: links, Path: "/login/card", Hosts: map[policies.Network]string{policies.NetworkInternet: h.origin},
	})
	noError(t, err)
	s := &http.Server{ReadHeaderTimeout: time.Minute, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/login/card" {
			http.NotFound(w, r)
			return
		}
		ticket := r.URL.Query().Get("ticket")
		p, err := method.Finish(r.Context(), login.Attempt{
			Login: identity.LoginID("login-" + ticket), Network: policies.NetworkInternet, Ticket: ticket, At: time.Now().UnixMicro(), Until: time.Now().Add(time.Minute).UnixMicro(),
		}, r)
		var no *login.Rejection
		switch {
		case errors.As(err, &no):
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, no.Code)
		case err != nil:
			t.Error(err)
		default:
			_, _ = fmt.Fprintf(w, "%s %s", p.Credential, tls.VersionName(r.TLS.Version))
		}
	})}
	mynumber.Prepare(s)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(listener)
	}()
	t.Cleanup(func() {
		_ = s.Close()
		<-done
	})
	return h
}

// serverCertificate makes an authority that may sign for localhost alone, and a certificate of it.
func serverCertificate(t *testing.T, host string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	noError(t, err)
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "interop, localhost only"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, PermittedDNSDomainsCritical: true, PermittedDNSDomains: []string{"localhost"},
	}
	der, err := x509.CreateCertificate(rand.Reader, authority, authority, key.Public(), key)
	noError(t, err)
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	noError(t, err)
	leaf, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host}, NotBefore: authority.NotBefore, NotAfter: authority.NotAfter,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, KeyUsage: x509.KeyUsageDigitalSignature,
	}, authority, own.Public(), key)
	noError(t, err)
	return tls.Certificate{Certificate: [][]byte{leaf, der}, PrivateKey: own}
}

// Chromium presents a card by its own TLS, from the NSS database that people import into: TLS 1.2 with PKCS#1 v1.5, a handshake for each visit, and
// what is wrong with a card is said by its code.
func TestCardInChromium(t *testing.T) {
	needChromium(t)
	needNSS(t)
	h := startCardHost(t)
	address := func(ticket string) string { return h.origin + "/login/card?ticket=" + ticket }
	present := func(card string, addresses ...string) (seen []struct {
		Status int
		Text   string
	},
	) {
		t.Helper()
		home := browserHome(t, h.authority, h.cards[card], testpki.Password)
		if code := runScript(t, nil, &seen, "card-present.mjs", append([]string{home}, addresses...)...); code != 0 || len(seen) != len(addresses) {
			t.Fatalf("exit %d, %+v", code, seen)
		}
		return seen
	}
	// The third is a host that the authority doesn't vouch for: it isn't even asked.
	seen := present("good", address("one"), address("two"), strings.Replace(address("four"), "card.localhost", "other.localhost", 1))
	for i, x := range seen[:2] {
		if want := h.credentials["good"] + " TLS 1.2"; x.Status != http.StatusOK || x.Text != want {
			t.Errorf("visit %d: %+v, want %s", i, x, want)
		}
	}
	if x := seen[2]; x.Status != 0 || !strings.Contains(x.Text, "ERR_CERT_") {
		t.Errorf("another host: %+v", x)
	}
	for card, code := range map[string]string{"signature": "certificate_wrong_tree", "": "certificate_missing"} {
		if x := present(card, address("three"))[0]; x.Status != http.StatusForbidden || x.Text != code {
			t.Errorf("card %q: %+v, want %s", card, x, code)
		}
	}
}
