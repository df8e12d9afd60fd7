package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"database/sql"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/beevik/etree"
	"github.com/google/go-cmp/cmp"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/cmd/musubi/registration"
	"github.com/musubi-hub/musubi/identity/login/why"
	"github.com/musubi-hub/musubi/identity/ppid"
	"github.com/musubi-hub/musubi/identity/samlidp"
	"github.com/musubi-hub/musubi/identity/samlidp/sp"
	"github.com/musubi-hub/musubi/identity/samlidp/wire"
	"github.com/musubi-hub/musubi/policies"
)

// spKey is a service provider's key with its certificate, which is long-lived and its own.
type spKey struct {
	key *rsa.PrivateKey
	der []byte
}

var spKeys = sync.OnceValues(func() (spKey, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return spKey{}, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "sp"}, NotBefore: time.Unix(1, 0), NotAfter: time.Now().Add(2 * 365 * 24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	return spKey{key, der}, err
})

func theSPKey(t testing.TB) spKey {
	t.Helper()
	k, err := spKeys()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// spMetadata is metadata as a product publishes it, with something that can't be taken.
func spMetadata(t testing.TB, name string) string {
	t.Helper()
	cert := base64.StdEncoding.EncodeToString(theSPKey(t).der)
	return fmt.Sprintf(`<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" xmlns:ds="http://www.w3.org/2000/09/xmldsig#" ID="_m" entityID="https://%[1]s.example.jp/saml"><md:SPSSODescriptor AuthnRequestsSigned="true" protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol"><md:KeyDescriptor><ds:KeyInfo><ds:X509Data><ds:X509Certificate>%[2]s</ds:X509Certificate></ds:X509Data></ds:KeyInfo><md:EncryptionMethod Algorithm="http://www.w3.org/2009/xmlenc11#aes256-gcm"></md:EncryptionMethod></md:KeyDescriptor><md:SingleLogoutService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="https://%[1]s.example.jp/slo"></md:SingleLogoutService><md:NameIDFormat>urn:oasis:names:tc:SAML:2.0:nameid-format:persistent</md:NameIDFormat><md:AssertionConsumerService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" Location="https://%[1]s.example.jp/acs" index="0" isDefault="true"></md:AssertionConsumerService><md:AssertionConsumerService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Artifact" Location="https://%[1]s.example.jp/artifact" index="1"></md:AssertionConsumerService></md:SPSSODescriptor></md:EntityDescriptor>`, name, cert)
}

// keyed gives the installation its signing keys, as its first serve does.
func (i *install) keyed(t testing.TB) {
	t.Helper()
	i.works(t, func(*boot.Hub) error { return nil })
}

// named gives somebody a pairwise name, as the first login in a sector does.
func (i *install) named(t testing.TB, person policies.PersonID, sector ppid.Sector) {
	t.Helper()
	i.works(t, func(h *boot.Hub) error {
		subjects, err := h.Subjects(context.Background())
		if err != nil {
			return err
		}
		return h.DB.WithTx(context.Background(), func(ctx context.Context, tx *sql.Tx) error {
			_, err := subjects.Issue(ctx, tx, person, sector, h.Now().UnixMicro())
			return err
		})
	})
}

// works opens the hub as serve does, for what do does.
func (i *install) works(t testing.TB, do func(h *boot.Hub) error) {
	t.Helper()
	e := newEnv(os.Stdout, os.Stderr)
	e.data, e.database, e.environ = i.data, i.database, nil
	loaded, err := e.loadConfig()
	if err != nil {
		t.Fatal(err)
	}
	h, err := boot.OpenHub(context.Background(), boot.Options{Data: i.data, Config: loaded.Config, Work: true, Now: time.Now, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(do(h), h.Close()); err != nil {
		t.Fatal(err)
	}
}

var (
	shownPEM    = regexp.MustCompile(`(?s)-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----`)
	shownPrint  = regexp.MustCompile(`([0-9A-F]{2}:){31}[0-9A-F]{2}`)
	shownBase64 = regexp.MustCompile(`[A-Za-z0-9+/]{43,}={0,2}`)
	shownUTC    = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`)
)

// looks compares what a person sees of a command about relying parties with a golden file.
func (i *install) looks(t *testing.T, name string, code int, args ...string) {
	t.Helper()
	env := map[string]string{"DATA": i.data}
	text := screen(t, i.musubi(t, append(args, "--as", i.planner())...), code, steady(strings.Join(args, " "), env), env)
	for _, x := range []struct {
		what *regexp.Regexp
		as   string
	}{{shownPEM, "CERTIFICATE"}, {shownPrint, "FINGERPRINT"}, {shownUTC, "TIME"}, {shownBase64, "BASE64"}} {
		text = x.what.ReplaceAllString(text, x.as)
	}
	compare(t, filepath.Join("testdata", "rp", name+".txt"), text)
}

// TestServiceProviders: both registries answer to the same words, and an id or an entity id is one party's.
func TestServiceProviders(t *testing.T) {
	eachEngine(t, func(t *testing.T, i *install) {
		i.withParties(t)
		with := func(args ...string) []string { return append(args, "--as", i.planner()) }
		fails := func(what string, code int, want string, args ...string) {
			t.Helper()
			if r := i.musubi(t, with(args...)...); r.code != code || !strings.Contains(r.out+r.err, want) {
				t.Errorf("%s: want exit %d and %q; %v", what, code, want, r)
			}
		}
		write(t, i.path("wiki.xml"), []byte(spMetadata(t, "wiki")))
		var added rpAdded
		i.document(t, 0, "musubi.rp-added.v1", &added, with("rp", "add", "wiki", "--metadata", i.path("wiki.xml"), "--function", "documents", "--contact", "saml@wiki.example.jp", "--owner", string(sapporo))...)
		p := added.Party
		if p.EntityID != "https://wiki.example.jp/saml" || p.Protocol != registration.SAML || p.NameID != "persistent" || len(p.Signing) != 1 || !*p.Signed || !*p.Encrypt || p.Sector != "wiki.example.jp" ||
			len(added.Left) != 1 || !strings.Contains(added.Left[0], "HTTP-POST") || !slices.ContainsFunc(added.Findings, func(f registration.Finding) bool { return f.Code == "metadata_unpinned" }) {
			t.Errorf("%+v", added)
		}
		i.must(t, with("rp", "add", "chat", "--profile", "slack", "--set", "host=example.slack.com", "--name", "緊急連絡")...)

		fails("an id of OpenID", 3, "--replace", "rp", "add", "jira", "--profile", "slack", "--set", "host=b.slack.com", "--entity-id", "https://b.slack.com")
		fails("an id of OpenID, replaced", 3, "speaks oidc", "rp", "add", "jira", "--profile", "slack", "--set", "host=b.slack.com", "--entity-id", "https://b.slack.com", "--replace")
		fails("an id of SAML", 3, "--replace", "rp", "add", "wiki", "--profile", "slack-oidc", "--set", "host=b.example.jp", "--jwks", i.path("keys.json"))
		fails("an entity id twice", 3, "entity_taken", "rp", "add", "chat2", "--profile", "slack", "--set", "host=b.slack.com")
		fails("the hub", 3, "can't be registered", "rp", "add", "musubi", "--profile", "slack", "--set", "host=b.slack.com", "--entity-id", "https://b.slack.com")
		fails("a secret", 3, "SAML", "rp", "secret", "rotate", "wiki")

		var list struct {
			Parties []rpView `json:"relying_parties"`
		}
		i.document(t, 0, "musubi.rps.v1", &list, with("rp", "list")...)
		var ids []string
		for _, p := range list.Parties {
			ids = append(ids, string(p.ID)+" "+string(p.Protocol))
		}
		if diff := cmp.Diff([]string{"chat saml", "jira oidc", "slack oidc", "wiki saml"}, ids); diff != "" {
			t.Error(diff)
		}
		// What is shown can be registered again and is the same.
		for _, id := range []string{"wiki", "chat"} {
			text := i.must(t, with("rp", "show", id)...)
			again := filepath.Join(t.TempDir(), "again.yaml")
			write(t, again, []byte(text))
			i.must(t, with("rp", "add", id, "--from", again, "--replace")...)
			if now := i.must(t, with("rp", "show", id)...); now != text {
				t.Errorf("%s differs:\n%s\n%s", id, text, now)
			}
		}
		i.must(t, with("rp", "remove", "wiki", "--why", "契約終了")...)
		if out := i.must(t, with("audit", "find", "--action", "rp.remove")...); !strings.Contains(out, "契約終了") {
			t.Errorf("%s", out)
		}
		fails("what is gone", 3, "rp list", "rp", "show", "wiki")
		i.must(t, with("rp", "add", "wiki", "--profile", "slack-oidc", "--set", "host=b.example.jp", "--jwks", i.path("keys.json"))...)
	})
}

// TestServiceProvidersRefuse: what is wrong is refused with what to do, and nothing changes.
func TestServiceProvidersRefuse(t *testing.T) {
	t.Parallel()
	i := &install{data: t.TempDir()}
	i.withParties(t)
	with := func(args ...string) []string { return append(args, "--as", i.planner()) }
	good := spMetadata(t, "wiki")
	file := func(name, text string) string {
		write(t, i.path(name), []byte(text))
		return i.path(name)
	}
	other := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "other"}, NotBefore: time.Unix(1, 0), NotAfter: time.Unix(2_000_000_000, 0)}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, other, other, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	metadata := file("wiki.xml", good)
	registered := i.must(t, with("rp", "list", "--json")...)
	for name, c := range map[string]struct {
		code int
		want string
		args []string
	}{
		"a profile that there isn't":      {2, "generic-saml", []string{"wiki", "--profile", "zendesk"}},
		"a gap":                           {2, "--set acs=", []string{"wiki", "--profile", "surveymonkey", "--set", "entity=https://a.example.jp/saml"}},
		"an identity provider's metadata": {3, "isn't a service provider", []string{"wiki", "--metadata", file("idp.xml", strings.ReplaceAll(good, "SPSSODescriptor", "IDPSSODescriptor"))}},
		"two entities":                    {3, "a list of many entities", []string{"wiki", "--metadata", file("two.xml", `<md:EntitiesDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata">`+good+strings.ReplaceAll(good, `ID="_m"`, `ID="_n"`)+`</md:EntitiesDescriptor>`)}},
		"only addresses in the clear":     {3, "https address", []string{"wiki", "--metadata", file("http.xml", strings.ReplaceAll(good, `Location="https://`, `Location="http://`))}},
		"no XML":                          {3, "metadata: ", []string{"wiki", "--metadata", file("no.xml", "<html><body>Log in")}},
		"a DTD":                           {3, "metadata: ", []string{"wiki", "--metadata", file("dtd.xml", `<!DOCTYPE x [<!ENTITY a "b">]>`+good)}},
		"large":                           {2, "more than", []string{"wiki", "--metadata", file("large.xml", strings.Repeat(" ", 1<<20)+good)}},
		"a file that there isn't":         {2, "--metadata", []string{"wiki", "--metadata", i.path("none.xml")}},
		"an address in the clear":         {2, "want https", []string{"wiki", "--metadata", "http://wiki.example.jp/metadata"}},
		"an address that doesn't answer":  {5, "--metadata", []string{"wiki", "--metadata", "https://127.0.0.1:1/metadata"}},
		"signed by nobody":                {3, "metadata: ", []string{"wiki", "--metadata", metadata, "--pin", file("pin.pem", registration.PEM(der))}},
		"a pin that is a private key":     {2, "private key", []string{"wiki", "--metadata", metadata, "--pin", file("pin.key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))}},
		"a pin alone":                     {2, "--metadata", []string{"wiki", "--profile", "slack", "--set", "host=a.slack.com", "--pin", i.path("pin.pem")}},
		"metadata for OpenID":             {2, "speaks OpenID", []string{"wiki", "--metadata", metadata, "--profile", "slack-oidc"}},
		"an ACS in the clear":             {3, "want https", []string{"wiki", "--profile", "generic-saml", "--set", "entity=https://a.example.jp/saml", "--set", "acs=http://a.example.jp/acs", "--function", "faq"}},
		"javascript":                      {3, "want https", []string{"wiki", "--profile", "generic-saml", "--set", "entity=https://a.example.jp/saml", "--set", "acs=javascript:alert(1)", "--function", "faq", "--sector", "a.example.jp"}},
		"our own host":                    {3, "own_host", []string{"wiki", "--profile", "generic-saml", "--set", "entity=https://a.example.jp/saml", "--set", "acs=https://login.internet.example.go.jp/acs", "--function", "faq"}},
		"our own entity id":               {3, "own_entity", []string{"wiki", "--profile", "generic-saml", "--set", "entity=https://login.internet.example.go.jp/saml/metadata", "--set", "acs=https://a.example.jp/acs", "--function", "faq"}},
		"no function":                     {3, "no_functions", []string{"wiki", "--metadata", metadata}},
		"an OpenID party's redirect URI":  {3, "shared_redirect", []string{"wiki", "--profile", "generic-saml", "--set", "entity=https://a.example.jp/saml", "--set", "acs=https://jira.example.jp/jira/login/callback", "--function", "faq"}},
		"OpenID's flag":                   {2, "scopes: no field", []string{"wiki", "--metadata", metadata, "--scope", "email"}},
		"SAML's flag":                     {2, "--protocol saml", []string{"wiki", "--acs", "https://a.example.jp/acs", "--least", "card"}},
		"an unknown protocol":             {2, "neither saml nor oidc", []string{"wiki", "--protocol", "kerberos"}},
		"an unknown field":                {2, "the fields are", []string{"wiki", "--metadata", metadata, "--attribute", "password=pw"}},
		"a logout without a binding":      {2, "redirect=URI", []string{"wiki", "--metadata", metadata, "--logout", "https://a.example.jp/slo"}},
		"mail with a name":                {3, "contact: mail", []string{"wiki", "--metadata", metadata, "--function", "faq", "--contact", "A <a@example.jp>"}},
		"nothing to replace":              {3, "leave --replace out", []string{"wiki", "--metadata", metadata, "--function", "faq", "--replace"}},
	} {
		if r := i.musubi(t, with(append([]string{"rp", "add"}, c.args...)...)...); r.code != c.code || !strings.Contains(r.out+r.err, c.want) {
			t.Errorf("%s: want exit %d and %q; %v", name, c.code, c.want, r)
		}
	}
	for name, c := range map[string]struct {
		want string
		args []string
	}{
		"XML without a person":     {"--person", []string{"check", "jira", "--xml"}},
		"XML of OpenID":            {"speaks OpenID", []string{"check", "jira", "--person", "p", "--xml"}},
		"certificates of OpenID":   {"speaks OpenID", []string{"show", "jira", "--certificate"}},
		"a profile that there isn": {"generic-saml", []string{"profiles", "atlassian-portal-saml"}},
	} {
		if r := i.musubi(t, with(append([]string{"rp"}, c.args...)...)...); r.code != 2 || !strings.Contains(r.out+r.err, c.want) {
			t.Errorf("%s: %v", name, r)
		}
	}
	if now := i.must(t, with("rp", "list", "--json")...); now != registered {
		t.Errorf("something was changed:\n%s\n%s", registered, now)
	}
	i.must(t, with("rp", "add", "wiki", "--metadata", metadata, "--function", "documents")...)
	if r := i.musubi(t, with("rp", "show", "wiki", "--certificate")...); r.code != 3 || !strings.Contains(r.err, "serve") {
		t.Errorf("before the first serve there is no certificate: %v", r)
	}
	if r := i.musubi(t, with("rp", "check", "wiki", "--org", string(sapporo), "--person", staff(1))...); r.code != 3 || !strings.Contains(r.err, "serve") {
		t.Errorf("before the first serve nothing can be signed: %v", r)
	}
}

// TestMetadataFromAddress: metadata comes from an address, signed by whom the pin names, and from there it is read anew.
func TestMetadataFromAddress(t *testing.T) {
	t.Parallel()
	i := &install{data: t.TempDir()}
	i.withParties(t)
	k := theSPKey(t)
	el, err := wire.Parse([]byte(spMetadata(t, "wiki")), wire.MetadataLimits)
	if err != nil {
		t.Fatal(err)
	}
	if err := wire.Sign(el, k.key, k.der); err != nil {
		t.Fatal(err)
	}
	signed, err := wire.Bytes(el)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/metadata" {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/samlmetadata+xml")
		_, _ = w.Write(signed)
	}))
	t.Cleanup(server.Close)
	write(t, i.path("ca.pem"), []byte(registration.PEM(server.Certificate().Raw)))
	write(t, i.path("pin.pem"), []byte(registration.PEM(k.der)))
	write(t, i.path("musubi.yaml"), []byte(gates+"backchannel:\n  ca_file: ca.pem\n"))
	with := func(args ...string) []string { return append(args, "--as", i.planner()) }
	if r := i.musubi(t, with("rp", "add", "wiki", "--metadata", server.URL+"/none", "--function", "documents")...); r.code != 5 || !strings.Contains(r.err, "404") {
		t.Errorf("%v", r)
	}
	var added rpAdded
	i.document(t, 0, "musubi.rp-added.v1", &added, with("rp", "add", "wiki", "--metadata", server.URL+"/metadata", "--pin", i.path("pin.pem"), "--function", "documents")...)
	if added.Party.EntityID != "https://wiki.example.jp/saml" || slices.ContainsFunc(added.Findings, func(f registration.Finding) bool { return f.Code == "metadata_unpinned" }) {
		t.Errorf("%+v", added)
	}
	db := i.open(t)
	defer func() { _ = db.Close() }()
	o, err := sp.NewSources(db, nil).Of(t.Context(), "wiki")
	if err != nil || o.Status.Source.Address != server.URL+"/metadata" || len(o.Status.Source.Signers) != 1 || o.Status.NextAt == 0 {
		t.Errorf("%+v, %v", o, err)
	}
}

// TestRPLooks pins what people see.
func TestRPLooks(t *testing.T) {
	t.Parallel()
	i := &install{data: t.TempDir()}
	i.withParties(t)
	i.keyed(t)
	write(t, i.path("wiki.xml"), []byte(spMetadata(t, "wiki")))
	i.looks(t, "add-slack", 0, "rp", "add", "chat", "--profile", "slack", "--set", "host=example.slack.com", "--name", "緊急連絡")
	i.looks(t, "add-metadata-dry", 0, "rp", "add", "wiki", "--metadata", i.path("wiki.xml"), "--function", "documents", "--contact", "saml@wiki.example.jp", "--dry-run")
	i.must(t, "rp", "add", "wiki", "--metadata", i.path("wiki.xml"), "--function", "documents", "--contact", "saml@wiki.example.jp", "--as", i.planner())
	i.must(t, "rp", "add", "desk", "--profile", "atlassian-portal", "--set", "site=example.atlassian.net", "--set", "entity=https://auth.atlassian.com/saml/1", "--set", "acs=https://auth.atlassian.com/login/callback?connection=saml-1", "--as", i.planner())
	i.looks(t, "list", 0, "rp", "list")
	i.looks(t, "show-slack", 0, "rp", "show", "chat")
	i.looks(t, "show-portal", 0, "rp", "show", "desk")
	i.looks(t, "profiles", 0, "rp", "profiles")
	i.looks(t, "profile-atlassian", 0, "rp", "profiles", "atlassian")
	i.looks(t, "check", 0, "rp", "check", "chat")

	boss, clerk := i.personOfStaff(t, sapporo, 1), i.personOfStaff(t, sapporo, 2)
	i.link(t, boss, "card-1", 0)
	i.link(t, clerk, "card-2", 0)
	i.looks(t, "dry-slack", 0, "rp", "check", "chat", "--org", string(sapporo), "--person", staff(1))
	i.looks(t, "dry-slack-refused", 0, "rp", "check", "chat", "--org", string(sapporo), "--person", staff(2))
	i.looks(t, "dry-portal", 0, "rp", "check", "desk", "--org", string(sapporo), "--person", staff(2))
	i.looks(t, "dry-encrypted-xml", 0, "rp", "check", "wiki", "--org", string(sapporo), "--person", staff(2), "--xml")
	i.looks(t, "dry-lgwan", 0, "rp", "check", "chat", "--org", string(sapporo), "--person", staff(1), "--network", "lgwan")
	i.looks(t, "dry-openid", 0, "rp", "check", "jira", "--org", string(sapporo), "--person", staff(2))
	i.looks(t, "why-login", 0, "why", "login", "--org", string(sapporo), staff(2))
	i.looks(t, "policy-table", 0, "policy", "table", "chat")
	i.looks(t, "policy-explain", 0, "policy", "explain", "login.enter", "wiki", "--person", string(clerk))

	files, err := os.ReadDir(filepath.Join("testdata", "rp"))
	if err != nil || len(files) != 17 {
		t.Errorf("%d golden files: one belongs to no test, or none to one; %v", len(files), err)
	}
}

// TestSAMLDryLogin: a dry login says what the real one will send, and makes no name.
func TestSAMLDryLogin(t *testing.T) {
	eachEngine(t, func(t *testing.T, i *install) {
		i.withParties(t)
		i.keyed(t)
		with := func(args ...string) []string { return append(args, "--as", i.planner()) }
		i.must(t, with("rp", "add", "chat", "--profile", "slack", "--set", "host=example.slack.com")...)
		boss := i.personOfStaff(t, sapporo, 1)
		i.link(t, boss, "card-1", 0)
		var doc rpCheck
		i.document(t, 0, "musubi.rp-check.v1", &doc, with("rp", "check", "chat", "--org", string(sapporo), "--person", staff(1))...)
		a := doc.Answer
		if !doc.OK || !doc.Login.Enters || a == nil || a.XML != "" || a.NameID != (nameView{Format: "persistent", State: "new"}) || a.Issuer != "https://login.internet.example.go.jp/saml/metadata" ||
			a.Consumer != "https://example.slack.com/sso/saml" || a.Audience != "https://slack.com" || !strings.HasSuffix(a.Context, "SmartcardPKI") || a.Seconds != 300 || a.Session != 12*3600 || a.Bytes < 3000 {
			t.Fatalf("%+v", a)
		}
		if i.number(t, `SELECT COUNT(*) FROM ppid`) != 0 || i.number(t, `SELECT COUNT(*) FROM saml_grant`) != 0 {
			t.Error("a dry login made something")
		}
		var person personDocument
		i.document(t, 0, "musubi.person.v1", &person, with("people", "show", string(boss))...)
		got := map[string]string{}
		for _, x := range a.Attributes {
			if x.Because.JA == "" || x.Because.EN == "" {
				t.Errorf("%+v", x)
			}
			if x.Sent {
				got[x.Name] = x.Value
			}
		}
		want := map[string]string{"User.Email": person.Person.Email, "first_name": person.Person.GivenName, "last_name": person.Person.FamilyName}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("sent (-want +got):\n%s", diff)
		}
		// Who has been there has a name already; it isn't told.
		i.named(t, boss, "example.slack.com")
		i.document(t, 0, "musubi.rp-check.v1", &doc, with("rp", "check", "chat", "--person", string(boss), "--xml")...)
		if a = doc.Answer; a.NameID != (nameView{Format: "persistent", State: "exists"}) {
			t.Errorf("%+v", a.NameID)
		}
		d := etree.NewDocument()
		if err := d.ReadFromString(a.XML); err != nil || d.Root().Space != "musubi" || strings.Contains(a.XML, `"`+wire.NSAssertion+`"`) || !strings.Contains(a.XML, person.Person.Email) {
			t.Errorf("%v\n%s", err, a.XML)
		}
		// Where the party is switched to the next key ahead, that one signs.
		before := a.Key
		i.exec(t, `INSERT INTO saml_key_switch (party, key_id, held, at, actor) SELECT 'chat', id, 0, 1, 'planner' FROM signing_key WHERE purpose = $1 AND state = 'next'`, string(samlidp.Purpose))
		i.document(t, 0, "musubi.rp-check.v1", &doc, with("rp", "check", "chat", "--person", string(boss))...)
		var shown rpView
		i.document(t, 0, "musubi.rp.v1", &shown, with("rp", "show", "chat")...)
		if c := shown.Hub.Certificates; len(c) != 2 || c[0].Key != before || c[1].Key != doc.Answer.Key || c[1].SHA256 != doc.Answer.SHA256 || c[1].State != "next" {
			t.Errorf("signed by %s, then %s: %+v", before, doc.Answer.Key, c)
		}
		// A weaker proof doesn't do, and nothing is sent.
		i.document(t, 0, "musubi.rp-check.v1", &doc, with("rp", "check", "chat", "--person", string(boss), "--assurance", "aal1", "--xml")...)
		if doc.Login.Enters || doc.Login.Cause != why.CauseAssurance {
			t.Errorf("%+v", doc.Login)
		}
		// Both registries are asked.
		var all whyDocument
		i.document(t, 0, "musubi.why-login.v1", &all, with("why", "login", string(boss))...)
		var parties []policies.RelyingPartyID
		for _, x := range all.Answers {
			parties = append(parties, x.Party)
		}
		if diff := cmp.Diff([]policies.RelyingPartyID{"musubi", "chat", "jira", "slack"}, parties); diff != "" {
			t.Error(diff)
		}
		// A wrong registration ends with 3, also where it was written past the registry.
		i.exec(t, `UPDATE saml_party SET config = replace(config, 'https://example.slack.com/sso', 'http://example.slack.com/sso') WHERE id = 'chat'`)
		if r := i.musubi(t, with("rp", "check", "chat")...); r.code != 3 || !strings.Contains(r.out, "誤り") || !strings.Contains(r.out, "want https") {
			t.Errorf("%v", r)
		}
	})
}
