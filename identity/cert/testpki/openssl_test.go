package testpki_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"software.sslmate.com/src/go-pkcs12"

	"github.com/musubi-hub/musubi/identity/cert/testpki"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// theFolder is as of now, since openssl's ocsp knows no other time.
var theFolder = sync.OnceValue(func() *testpki.Folder {
	random := testpki.Seeded("folder")
	return must(testpki.NewFolder(random, must(testpki.New(random, testpki.Options{Now: time.Now()}))))
})

func folder(t *testing.T) (string, *testpki.Folder) {
	t.Helper()
	f := theFolder()
	dir := t.TempDir()
	for _, file := range f.Files {
		name := filepath.Join(dir, file.Path)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, file.Data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir, f
}

// TestReadmeSaysWhatWorks runs every openssl command of the folder's README, with the words after # as what must come out.
func TestReadmeSaysWhatWorks(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("openssl is not installed (deploy/ci/setup.sh)")
		}
		t.Skip("openssl is not installed")
	}
	dir, _ := folder(t)
	readme := must(os.ReadFile(filepath.Join(dir, "README.md")))
	ran := 0
	for line := range strings.Lines(string(readme)) {
		command, comment, _ := strings.Cut(strings.TrimSpace(line), "#")
		args := strings.Fields(command)
		if len(args) == 0 || args[0] != "openssl" {
			continue
		}
		ran++
		cmd := exec.CommandContext(t.Context(), "openssl", args[1:]...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		switch {
		case strings.Contains(comment, "error 23"):
			if err == nil || !bytes.Contains(out, []byte("certificate revoked")) {
				t.Errorf("%s: %v\n%s", command, err, out)
			}
		case err != nil, strings.Contains(command, "-respin") && (!bytes.Contains(out, []byte("Response verify OK")) || !bytes.Contains(out, []byte(": good"))),
			args[1] == "crl" && !bytes.Contains(out, []byte("verify OK")):
			t.Errorf("%s: %v\n%s", command, err, out)
		}
	}
	if ran < 11 {
		t.Errorf("README has %d commands of openssl", ran)
	}
}

// TestOpensslReadsEverything: every certificate, list and answer of a folder, and what openssl says of each card.
func TestOpensslReadsEverything(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("openssl is not installed (deploy/ci/setup.sh)")
		}
		t.Skip("openssl is not installed")
	}
	dir, f := folder(t)
	run := func(args ...string) ([]byte, error) {
		cmd := exec.CommandContext(t.Context(), "openssl", args...)
		cmd.Dir = dir
		return cmd.CombinedOutput()
	}
	for _, s := range f.Samples {
		generation := "2"
		if s.Name == "auth-old-ca" {
			generation = "1"
		}
		tree, leaf := string(s.Tree), "cards/"+s.Name+".pem"
		args := []string{"verify", "-x509_strict", "-CAfile", "anchors/" + tree + ".pem", "-crl_check"}
		for _, m := range testpki.Municipalities {
			args = append(args, "-CRLfile", "crls/"+tree+"-"+generation+"-"+m.Code+".pem")
		}
		out, err := run(append(args, leaf)...)
		want := map[string]string{"ok": ": OK", "revoked": "certificate revoked", "on-hold": "certificate revoked", "expired": "certificate has expired"}[s.Expected]
		if (err == nil) != s.Valid || !bytes.Contains(out, []byte(want)) {
			t.Errorf("%s: %v; want %q\n%s", s.Name, err, want, out)
		}
		// By the complete list, whose scope is everything.
		out, err = run("verify", "-CAfile", "anchors/"+tree+".pem", "-crl_check", "-CRLfile", "crls/"+tree+"-"+generation+"-all.pem", leaf)
		if (err == nil) != s.Valid || !bytes.Contains(out, []byte(want)) {
			t.Errorf("%s: %v; want %q\n%s", s.Name, err, want, out)
		}
		out, err = run("ocsp", "-respin", "ocsp/"+s.Name+".resp", "-issuer", "anchors/"+tree+"-"+generation+".pem", "-cert", leaf, "-CAfile", "anchors/"+tree+".pem", "-no_nonce")
		if err != nil || !bytes.Contains(out, []byte("Response verify OK")) || !bytes.Contains(out, []byte(leaf+": "+s.OCSP)) {
			t.Errorf("%s: %v\n%s", s.Name, err, out)
		}
		// The other tree's anchors never do.
		other := map[string]string{"auth": "sign", "sign": "auth"}[tree]
		if out, err := run("verify", "-CAfile", "anchors/"+other+".pem", leaf); err == nil {
			t.Errorf("%s under the other tree: %s", s.Name, out)
		}
	}
	lists, _ := filepath.Glob(filepath.Join(dir, "crls", "*.crl"))
	for _, l := range lists {
		tree, generation := filepath.Base(l)[:4], filepath.Base(l)[5:6]
		out, err := run("crl", "-inform", "DER", "-in", l, "-noout", "-CAfile", "anchors/"+tree+"-"+generation+".pem")
		if err != nil || !bytes.Contains(out, []byte("verify OK")) {
			t.Errorf("%s: %v\n%s", l, err, out)
		}
	}
}

func TestCardsServeTLSAndPKCS12(t *testing.T) {
	now := time.Now()
	random := testpki.Seeded("tls")
	pki := must(testpki.New(random, testpki.Options{Now: now, Kind: testpki.P256, Generations: 1}))
	for _, kind := range testpki.Kinds {
		card := must(pki.Auth[0].Issue(testpki.Holder{Kind: kind}, now))
		bag := must(card.PKCS12(random, testpki.Password))
		key, leaf, cas, err := pkcs12.DecodeChain(bag, testpki.Password)
		if err != nil || !bytes.Equal(leaf.Raw, card.Raw) || len(cas) != 1 || key == nil {
			t.Fatalf("%s: %v", kind, err)
		}
		if _, _, _, err := pkcs12.DecodeChain(bag, "wrong"); err == nil {
			t.Error("opened with the wrong password")
		}
		clientSide, serverSide := net.Pipe()
		pool := x509.NewCertPool()
		pool.AddCert(must(x509.ParseCertificate(pki.Auth[0].Raw)))
		server := tls.Server(serverSide, &tls.Config{
			MinVersion: tls.VersionTLS12, ClientAuth: tls.RequireAnyClientCert, Certificates: []tls.Certificate{card.TLS()},
			VerifyPeerCertificate: func(raw [][]byte, _ [][]*x509.Certificate) error {
				_, err := must(x509.ParseCertificate(raw[0])).Verify(x509.VerifyOptions{Roots: pool, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
				return err
			},
		})
		done := make(chan error, 1)
		go func() { done <- server.HandshakeContext(t.Context()) }()
		client := tls.Client(clientSide, &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{card.TLS()}}) // #nosec G402 -- a pipe
		if err := client.HandshakeContext(t.Context()); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		if err := <-done; err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		if got := server.ConnectionState().PeerCertificates; len(got) != 1 || !bytes.Equal(got[0].Raw, card.Raw) {
			t.Errorf("%s: the server saw %d certificates", kind, len(got))
		}
	}
}
