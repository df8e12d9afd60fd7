package testcard_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/csv"
	"encoding/pem"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/cmd/internal/testcard"
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/cert"
	"github.com/musubi-hub/musubi/identity/cert/crl"
	"github.com/musubi-hub/musubi/identity/directory/sample"
	"github.com/musubi-hub/musubi/identity/mynumber"
	"github.com/musubi-hub/musubi/policies"
)

var now = time.Date(2026, 12, 1, 3, 0, 0, 0, time.UTC)

func options(dir string, holders ...testcard.Holder) testcard.Options {
	return testcard.Options{Dir: dir, Now: now, Random: rand.Reader, Hosts: []string{"login.localhost", "card.localhost", "localhost"}, Holders: holders}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func holders() []testcard.Holder {
	return []testcard.Holder{
		{ID: "good", Org: "011002", Staff: "S00001", Name: "見本 花子", OrgName: "札幌市", About: "市", AboutEN: "a city"},
		{ID: "revoked", Org: "011002", Staff: "S00002", Condition: testcard.Revoked},
		{ID: "expired", Org: "011002", Staff: "S00003", Condition: testcard.Expired},
		{ID: "signature", Org: "011002", Staff: "S00001", Condition: testcard.Signature, Unlinked: true},
	}
}

// made is a folder that tests copy: keys are slow.
var made = sync.OnceValue(func() string {
	dir := must(os.MkdirTemp("", "testcard-*"))
	must(testcard.Open(options(dir, holders()...)))
	return dir
})

func TestMain(m *testing.M) {
	code := m.Run()
	_ = os.RemoveAll(made())
	os.Exit(code)
}

func folder(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "cards")
	if err := os.CopyFS(dir, os.DirFS(made())); err != nil {
		t.Fatal(err)
	}
	return dir
}

func open(t *testing.T, o testcard.Options) *testcard.Set {
	t.Helper()
	s, err := testcard.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// verdict is what the certificate core says of a card, by the folder's own anchors and lists.
func verdict(t *testing.T, s *testcard.Set, id string, at time.Time, profile string) cert.Verdict {
	t.Helper()
	var p *cert.Profile
	for _, c := range cert.Profiles() {
		if c.Name == profile {
			p = must(cert.NewProfile(c))
		}
	}
	var anchors [][]byte
	for rest := must(os.ReadFile(s.Files.Anchors)); ; {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			break
		}
		anchors = append(anchors, b.Bytes)
	}
	card, ok := s.Card(id)
	if !ok {
		t.Fatalf("no card %s", id)
	}
	in := cert.Input{Time: at, Leaf: card.TLS.Certificate[0]}
	for _, name := range must(filepath.Glob(filepath.Join(s.Files.Lists, "*.crl"))) {
		in.Lists = append(in.Lists, must(crl.Parse(must(os.ReadFile(name)), crl.Rules{}, crl.Limits{})))
	}
	return p.Verify(must(cert.ParseAnchors(anchors)), in)
}

func TestVerdicts(t *testing.T) {
	s := open(t, options(folder(t), holders()...))
	for id, want := range map[string]cert.Code{"good": cert.OK, "revoked": cert.Revoked, "expired": cert.Expired, "signature": cert.WrongTree} {
		if v := verdict(t, s, id, now, cert.JPKIAuthTest); v.Code != want {
			t.Errorf("%s: %s (%s), want %s", id, v.Code, v.Evidence.Detail(), want)
		}
	}
	if v := verdict(t, s, "good", now, cert.JPKIAuth); v.Valid {
		t.Error("a production profile takes a test card")
	}
	if v := verdict(t, s, "good", now.Add(24*time.Hour), cert.JPKIAuthTest); v.Valid {
		t.Error("a list of yesterday is taken")
	}
	if err := s.Publish(now.Add(24 * time.Hour)); err != nil {
		t.Fatal(err)
	}
	if v := verdict(t, s, "good", now.Add(24*time.Hour), cert.JPKIAuthTest); v.Code != cert.OK {
		t.Errorf("after the next list: %s", v.Code)
	}
}

// Lists take each other's place in the hub, as often as they are published, also within a second and over a restart.
func TestListsFollowEachOther(t *testing.T) {
	dir := folder(t)
	s := open(t, options(dir, holders()...))
	var p *cert.Profile
	for _, c := range cert.Profiles() {
		if c.Name == cert.JPKIAuthTest {
			p = must(cert.NewProfile(c))
		}
	}
	var ders [][]byte
	for rest := must(os.ReadFile(s.Files.Anchors)); ; {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			break
		}
		ders = append(ders, b.Bytes)
	}
	lists := must(mynumber.NewLists(p, must(cert.ParseAnchors(ders))))
	poll := func(at time.Time, what string) {
		t.Helper()
		r, err := lists.Poll(t.Context(), os.DirFS(s.Files.Lists), at)
		if err != nil || len(r.Taken) != 2 || len(r.Refused) != 0 {
			t.Errorf("%s: %+v, %v", what, r, err)
		}
		if err := lists.Ready(at); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	poll(now, "the first")
	at := now.Add(time.Minute)
	if err := s.Publish(at); err != nil {
		t.Fatal(err)
	}
	poll(at, "the second")
	o := options(dir, holders()...)
	o.Now = at.Add(time.Second)
	s = open(t, o)
	poll(o.Now, "after a restart")
}

// The folder stays what it is: links of cards hold over restarts, and what is revoked stays revoked.
func TestOpenAgain(t *testing.T) {
	dir := folder(t)
	first := open(t, options(dir, holders()...))
	more := append(holders(), testcard.Holder{ID: "new", Org: "011002", Staff: "S00009"})
	again := open(t, options(dir, more...))
	for _, c := range first.Cards {
		other, ok := again.Card(c.ID)
		if !ok || !bytes.Equal(c.TLS.Certificate[0], other.TLS.Certificate[0]) {
			t.Errorf("%s is another card", c.ID)
		}
	}
	if !bytes.Equal(first.Server.Certificate[0], again.Server.Certificate[0]) {
		t.Error("another https certificate")
	}
	if v := verdict(t, again, "revoked", now, cert.JPKIAuthTest); v.Code != cert.Revoked {
		t.Errorf("a revoked card came back: %s", v.Code)
	}
	if v := verdict(t, again, "new", now, cert.JPKIAuthTest); v.Code != cert.OK {
		t.Errorf("the new card: %s", v.Code)
	}
	numbers := map[string]bool{}
	for _, c := range again.Cards {
		n, err := again.Number(c)
		if err != nil || len(n.IssuerKey) == 0 || numbers[string(n.IssuerKey)+string(n.Serial)] {
			t.Errorf("%s: %+v, %v", c.ID, n, err)
		}
		numbers[string(n.IssuerKey)+string(n.Serial)] = true
	}
	// A holder who isn't asked for any more: the card is gone, its revocation isn't.
	fewer := open(t, options(dir, more[0]))
	if _, ok := fewer.Card("revoked"); ok || len(fewer.Cards) != 1 {
		t.Errorf("%d cards", len(fewer.Cards))
	}
	back := open(t, options(dir, more...))
	if v := verdict(t, back, "revoked", now, cert.JPKIAuthTest); v.Code != cert.Revoked {
		t.Errorf("a revoked card came back by another way: %s", v.Code)
	}
}

func TestWeb(t *testing.T) {
	dir := folder(t)
	o := options(dir, holders()[0])
	s := open(t, o)
	verify := func(c tls.Certificate, host string) error {
		_, err := must(x509.ParseCertificate(c.Certificate[0])).Verify(x509.VerifyOptions{Roots: s.Roots, DNSName: host, CurrentTime: now})
		return err
	}
	for _, host := range o.Hosts {
		if err := verify(s.Server, host); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
	if verify(s.Server, "jira.localhost") == nil {
		t.Error("a host that nobody asked for")
	}
	o.Hosts = append(o.Hosts, "jira.localhost")
	s = open(t, o)
	if err := verify(s.Server, "jira.localhost"); err != nil {
		t.Error(err)
	}
	before := s.Server.Certificate[0]
	o.Now = now.AddDate(0, 0, 195)
	if s = open(t, o); bytes.Equal(before, s.Server.Certificate[0]) {
		t.Error("a certificate that is about to end stays")
	}
	if raw := must(os.ReadFile(s.Files.Server)); bytes.Count(raw, []byte("PRIVATE KEY-----\n")) != 2 {
		t.Errorf("more than one key beside the certificate:\n%s", raw)
	}
	// The authority may sign for localhost alone, and nobody has its key.
	ca := must(x509.ParseCertificate(s.Server.Certificate[1]))
	if !ca.PermittedDNSDomainsCritical || len(ca.PermittedDNSDomains) != 1 || ca.PermittedDNSDomains[0] != "localhost" || len(ca.ExcludedIPRanges) != 2 || !ca.MaxPathLenZero {
		t.Errorf("%+v", ca)
	}
	for _, hosts := range [][]string{{"example.com"}, {"*.localhost"}, {"localhost:8443"}, {"evillocalhost"}, nil} {
		o.Hosts = hosts
		if _, err := testcard.Open(o); err == nil {
			t.Errorf("%q is taken", hosts)
		}
	}
}

func TestRefused(t *testing.T) {
	for name, h := range map[string][]testcard.Holder{
		"a path": {{ID: "../x"}}, "nothing": {{}}, "two of one name": {{ID: "a"}, {ID: "a"}}, "an unknown condition": {{ID: "a", Condition: "lost"}}, "upper case": {{ID: "A"}},
	} {
		if _, err := testcard.Open(options(filepath.Join(t.TempDir(), "x"), h...)); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	dir := folder(t)
	if err := os.WriteFile(filepath.Join(dir, "cards.json"), []byte(`{"schema":"other"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := testcard.Open(options(dir, holders()...)); err == nil || !strings.Contains(err.Error(), "cards.json") {
		t.Errorf("a folder of another version: %v", err)
	}
	dir = folder(t)
	if err := os.WriteFile(filepath.Join(dir, "ca", "auth-2.key.pem"), must(os.ReadFile(filepath.Join(dir, "ca", "auth-1.key.pem"))), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := testcard.Open(options(dir, holders()...)); err == nil {
		t.Error("another key is taken for the authority's")
	}
}

// Keys are for their owner alone.
func TestModes(t *testing.T) {
	secrets := 0
	err := filepath.WalkDir(made(), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw := must(os.ReadFile(path))
		info := must(d.Info())
		secret := bytes.Contains(raw, []byte("PRIVATE KEY")) || filepath.Ext(path) == ".p12"
		if secret {
			secrets++
		}
		if secret && info.Mode().Perm() != 0o600 || strings.HasSuffix(path, ".new") {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return nil
	})
	if err != nil || secrets < 13 {
		t.Errorf("%d secrets, %v", secrets, err)
	}
}

func TestHolders(t *testing.T) {
	rows, _ := sample.Orgs()
	var orgs []identity.Organization
	for _, r := range rows.Orgs {
		orgs = append(orgs, r.Organization)
	}
	staff := must(csv.NewReader(bytes.NewReader(sample.PeopleCSV())).ReadAll())
	all := testcard.Holders(orgs)
	if len(all) < 9 {
		t.Fatalf("%d holders", len(all))
	}
	conditions := map[testcard.Condition]int{}
	for _, h := range all {
		conditions[h.Condition]++
		found := false
		for _, r := range staff { // org, staff_number, family_name, given_name, ..., role
			if r[0] == string(h.Org) && r[1] == h.Staff {
				found = true
				if name := (identity.Person{FamilyName: r[2], GivenName: r[3]}).DisplayName(); name != h.Name {
					t.Errorf("%s: %q, and the sample has %q", h.ID, h.Name, name)
				}
				if admin := r[10] == string(policies.RoleAdministrator); admin != strings.Contains(h.AboutEN, "administrator") {
					t.Errorf("%s is %s", h.ID, r[10])
				}
			}
		}
		if !found || h.OrgName == "" || h.About == "" {
			t.Errorf("%+v: nobody of the sample", h)
		}
	}
	if conditions[testcard.Revoked] != 1 || conditions[testcard.Expired] != 1 || conditions[testcard.Signature] != 1 {
		t.Errorf("%v", conditions)
	}
	if got := testcard.Holders(nil); len(got) != 0 {
		t.Errorf("%+v of no organization", got)
	}
}

// Others read the files: openssl, and NSS, which Chromium and Firefox keep keys in.
func TestOthersImport(t *testing.T) {
	s := open(t, options(folder(t), holders()...))
	card, _ := s.Card("good")
	run := func(want string, name string, args ...string) {
		t.Helper()
		if _, err := exec.LookPath(name); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatalf("%s is missing: run deploy/ci/setup.sh", name)
			}
			t.Skipf("%s isn't installed: deploy/ci/setup.sh installs it", name)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("%s %v: %v\n%s", name, args, err, out)
		}
	}
	run("AES-256-CBC", "openssl", "pkcs12", "-in", card.PKCS12, "-passin", "pass:"+testcard.Password, "-info", "-noout")
	run("OK", "openssl", "verify", "-attime", "1796094000", "-CAfile", s.Files.WebCA, "-verify_hostname", "card.localhost", s.Files.Server)
	db := "sql:" + t.TempDir()
	run("", "certutil", "-N", "-d", db, "--empty-password")
	run("IMPORT SUCCESSFUL", "pk12util", "-d", db, "-i", card.PKCS12, "-W", testcard.Password)
	run("", "certutil", "-A", "-d", db, "-t", "C,,", "-n", "musubi-demo", "-i", s.Files.WebCA)
	run("rsa", "certutil", "-K", "-d", db)
}

// A server with the certificate serves under its names.
func TestHandshake(t *testing.T) {
	s := open(t, options(folder(t), holders()[0]))
	client, server := net.Pipe()
	defer func() { _ = client.Close() }()
	go func() {
		_ = tls.Server(server, &tls.Config{Certificates: []tls.Certificate{s.Server}, MinVersion: tls.VersionTLS12}).HandshakeContext(t.Context())
		_ = server.Close()
	}()
	c := tls.Client(client, &tls.Config{RootCAs: s.Roots, ServerName: "card.localhost", MinVersion: tls.VersionTLS12, Time: func() time.Time { return now }})
	if err := c.HandshakeContext(t.Context()); err != nil {
		t.Error(err)
	}
}
