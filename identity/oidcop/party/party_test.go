package party_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/oidcop/party"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
	"github.com/musubi-hub/musubi/policies"
)

const at = int64(1_790_000_000_000_000)

func jwks(t testing.TB, all ...jose.JSONWebKey) json.RawMessage {
	t.Helper()
	b, err := json.Marshal(jose.JSONWebKeySet{Keys: all})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func p256(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// good is a party with nothing wrong.
func good(t testing.TB) party.Party {
	t.Helper()
	return party.Party{
		ID: "jira", Name: "案件管理", Sector: "jira.example", Auth: party.AuthPrivateKeyJWT, Alg: jose.ES256, Least: policies.AssuranceCard,
		Scopes: []string{"profile", "email"}, JWKS: jwks(t, jose.JSONWebKey{Key: p256(t).Public(), KeyID: "k1"}),
		Faces: []party.Face{{
			Network: policies.NetworkInternet, Redirects: []string{"https://jira.example/cb"}, PostLogout: []string{"https://jira.example/"},
			Backchannel: "https://jira.example/bc", Frontchannel: "https://jira.example/fc",
		}},
	}
}

func TestCheck(t *testing.T) {
	if err := good(t).Check(); err != nil {
		t.Fatal(err)
	}
	private := p256(t)
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	redirect := func(uri string) func(*party.Party) {
		return func(p *party.Party) { p.Faces[0].Redirects = []string{uri} }
	}
	keys := func(all ...jose.JSONWebKey) func(*party.Party) {
		return func(p *party.Party) { p.JWKS = jwks(t, all...) }
	}
	for name, c := range map[string]struct {
		want   string
		change func(*party.Party)
	}{
		"no id":                       {"id:", func(p *party.Party) { p.ID = "" }},
		"an id with a space":          {"id:", func(p *party.Party) { p.ID = "a b" }},
		"no name":                     {"name:", func(p *party.Party) { p.Name = "" }},
		"a name of two lines":         {"name:", func(p *party.Party) { p.Name = "a\nb" }},
		"no sector":                   {"sector:", func(p *party.Party) { p.Sector = "" }},
		"HS256":                       {"alg:", func(p *party.Party) { p.Alg = jose.HS256 }},
		"none":                        {"alg:", func(p *party.Party) { p.Alg = "none" }},
		"no assurance":                {"least:", func(p *party.Party) { p.Least = policies.AssuranceNone }},
		"an unknown scope":            {"scopes:", func(p *party.Party) { p.Scopes = []string{"admin"} }},
		"no face":                     {"faces:", func(p *party.Party) { p.Faces = nil }},
		"an unknown network":          {"faces:", func(p *party.Party) { p.Faces[0].Network = "moon" }},
		"a network twice":             {"twice", func(p *party.Party) { p.Faces = append(p.Faces, p.Faces[0]) }},
		"no redirect":                 {"at least one", func(p *party.Party) { p.Faces[0].Redirects = nil }},
		"http":                        {"want https", redirect("http://jira.example/cb")},
		"http on loopback, a server":  {"want https", redirect("http://127.0.0.1/cb")},
		"a fragment":                  {"fragment", redirect("https://jira.example/cb#x")},
		"an empty fragment":           {"fragment", redirect("https://jira.example/cb#")},
		"a user":                      {"without a user", redirect("https://a@jira.example/cb")},
		"a wildcard":                  {"no wildcards", redirect("https://*.jira.example/cb")},
		"a wildcard in the path":      {"no wildcards", redirect("https://jira.example/*")},
		"large letters in the host":   {"small letters", redirect("https://Jira.example/cb")},
		"a dot at the end":            {"dot at its end", redirect("https://jira.example./cb")},
		"a path that climbs":          {"as parts of the path", redirect("https://jira.example/a/../cb")},
		"an encoded path that climbs": {"as parts of the path", redirect("https://jira.example/a/%2e%2e/cb")},
		"a backslash":                 {"isn't allowed", redirect(`https://jira.example\cb`)},
		"a space":                     {"isn't allowed", redirect("https://jira.example/c b")},
		"not ASCII":                   {"isn't allowed", redirect("https://jira.example/結")},
		"no host":                     {"want https://HOST", redirect("https:///cb")},
		"opaque":                      {"want https://HOST", redirect("https:jira.example")},
		"javascript":                  {"want https", redirect("javascript://jira.example/%0aalert(1)")},
		"long":                        {"at most 512", redirect("https://jira.example/" + strings.Repeat("a", 600))},
		"back-channel in clear":       {"backchannel", func(p *party.Party) { p.Faces[0].Backchannel = "http://jira.example/bc" }},
		"front-channel elsewhere":     {"those of a redirect URI", func(p *party.Party) { p.Faces[0].Frontchannel = "https://evil.example/fc" }},
		"after logout in clear":       {"post_logout", func(p *party.Party) { p.Faces[0].PostLogout = []string{"http://jira.example/"} }},
		"an unknown method":           {"auth:", func(p *party.Party) { p.Auth = "client_secret_post" }},
		"no method":                   {"auth:", func(p *party.Party) { p.Auth = "" }},
		"a server without proof":      {"only a native", func(p *party.Party) { p.Auth, p.JWKS = party.AuthNone, nil }},
		"a secret and keys":           {"secrets: only", func(p *party.Party) { p.Secrets = []party.Secret{{Hash: strings.Repeat("a", 64)}} }},
		"a secret without one":        {"secrets: want 1", func(p *party.Party) { p.Auth, p.JWKS = party.AuthSecretBasic, nil }},
		"a secret in clear": {"isn't what this hub stores", func(p *party.Party) {
			p.Auth, p.JWKS, p.Secrets = party.AuthSecretBasic, nil, []party.Secret{{Hash: "password"}}
		}},
		"a native app with a secret": {"can't keep a secret", func(p *party.Party) {
			p.Auth, p.JWKS, p.Native, p.Secrets = party.AuthSecretBasic, nil, true, []party.Secret{{Hash: strings.Repeat("a", 64)}}
		}},
		"keys that aren't JSON":        {"not a JSON Web Key Set", func(p *party.Party) { p.JWKS = json.RawMessage(`[`) }},
		"no key":                       {"0 keys", keys()},
		"a private key":                {"isn't a public", keys(jose.JSONWebKey{Key: private, KeyID: "k1"})},
		"a shared key":                 {"isn't a public", keys(jose.JSONWebKey{Key: []byte("secret"), KeyID: "k1"})},
		"P-384":                        {"isn't a public", keys(jose.JSONWebKey{Key: p384.Public(), KeyID: "k1"})},
		"no kid":                       {"no kid", keys(jose.JSONWebKey{Key: private.Public()})},
		"a kid twice":                  {"no kid of its own", keys(jose.JSONWebKey{Key: private.Public(), KeyID: "k"}, jose.JSONWebKey{Key: p256(t).Public(), KeyID: "k"})},
		"a key for encryption":         {"not for signing", keys(jose.JSONWebKey{Key: private.Public(), KeyID: "k", Use: "enc"})},
		"a P-256 key that says RS256":  {"says alg", keys(jose.JSONWebKey{Key: private.Public(), KeyID: "k", Algorithm: "RS256"})},
		"a P-256 key that says HS256":  {"says alg", keys(jose.JSONWebKey{Key: private.Public(), KeyID: "k", Algorithm: "HS256"})},
		"the hub's own id":             {"can't be registered", func(p *party.Party) { p.ID = party.HubID }},
		"an unknown function":          {"functions: there is no", func(p *party.Party) { p.Functions = []policies.Function{"gossip"} }},
		"a function twice":             {"stands there twice", func(p *party.Party) { p.Functions = []policies.Function{"faq", "faq"} }},
		"an unknown product":           {"products: there is no", func(p *party.Party) { p.Products = []policies.Product{"fax"} }},
		"a product without accounts":   {"products: there is no", func(p *party.Party) { p.Products = []policies.Product{policies.ProductMail} }},
		"a native app on another host": {"want https, or http on 127.0.0.1", func(p *party.Party) { p.Native = true; p.Faces[0].Redirects = []string{"http://localhost/cb"} }},
	} {
		p := good(t)
		c.change(&p)
		if err := p.Check(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Everything that is wrong is told at once.
	p := good(t)
	p.ID, p.Alg, p.Sector = "", "none", ""
	if err := p.Check(); err == nil || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("%v", err)
	}
}

// TestRedirects: octet by octet, but for a loopback port (RFC 8252, section 7.3).
func TestRedirects(t *testing.T) {
	face := party.Face{Redirects: []string{"https://a.example/cb", "http://127.0.0.1/cb", "http://[::1]/cb?x=1", "http://127.0.0.1:5000/fixed"}}
	for uri, want := range map[string][2]bool{ // a server, a native application
		"https://a.example/cb":             {true, true},
		"https://a.example/cb/":            {false, false},
		"https://a.example:443/cb":         {false, false},
		"https://a.example:8443/cb":        {false, false},
		"http://127.0.0.1/cb":              {true, true},
		"http://127.0.0.1:1/cb":            {false, true},
		"http://127.0.0.1:65535/cb":        {false, true},
		"http://[::1]:8080/cb?x=1":         {false, true},
		"http://127.0.0.1:9999/fixed":      {false, true},
		"http://127.0.0.1:080/cb":          {false, false},
		"http://127.0.0.1:/cb":             {false, false},
		"http://127.0.0.2:80/cb":           {false, false},
		"http://localhost:80/cb":           {false, false},
		"http://127.0.0.1:80/cb?x":         {false, false},
		"http://127.0.0.1:80/cb#x":         {false, false},
		"http://127.0.0.1:80/c%62":         {false, false},
		"http://a@127.0.0.1:80/cb":         {false, false},
		"https://127.0.0.1:80/cb":          {false, false},
		"HTTP://127.0.0.1:80/cb":           {false, false},
		"http://127.0.0.1:80@evil.test/cb": {false, false},
		"":                                 {false, false},
	} {
		for i, native := range []bool{false, true} {
			if got := (party.Party{Native: native}).Redirects(face, uri); got != want[i] {
				t.Errorf("%q, native %v: %v", uri, native, got)
			}
		}
	}
}

// FuzzRedirects: whatever is taken leads to a registered scheme, host and path.
func FuzzRedirects(f *testing.F) {
	f.Add("http://127.0.0.1:80/cb")
	f.Add("http://127.0.0.1:80@evil.test/cb")
	f.Add("http://[::1]:8080/cb")
	p := party.Party{Native: true}
	face := party.Face{Redirects: []string{"http://127.0.0.1/cb"}}
	f.Fuzz(func(t *testing.T, uri string) {
		if !p.Redirects(face, uri) {
			return
		}
		u, err := url.Parse(uri)
		if err != nil || u.Scheme != "http" || u.Hostname() != "127.0.0.1" || u.Path != "/cb" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
			t.Fatalf("%q is taken", uri)
		}
	})
}

func TestKey(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	one, two := p256(t), p256(t)
	p := party.Party{JWKS: jwks(t, jose.JSONWebKey{Key: rsaKey.Public(), KeyID: "r"}, jose.JSONWebKey{Key: one.Public(), KeyID: "a"}, jose.JSONWebKey{Key: two.Public(), KeyID: "b"})}
	for _, c := range []struct {
		kid  string
		alg  jose.SignatureAlgorithm
		want any
	}{
		{"r", jose.RS256, rsaKey.Public()},
		{"", jose.RS256, rsaKey.Public()},
		{"a", jose.ES256, one.Public()},
		{"b", jose.ES256, two.Public()},
		{"", jose.ES256, nil}, // two fit
		{"a", jose.RS256, nil},
		{"r", jose.ES256, nil},
		{"r", jose.HS256, nil},
		{"r", jose.PS256, nil},
		{"r", "none", nil},
		{"c", jose.ES256, nil},
	} {
		got, ok := p.Key(c.kid, c.alg)
		if ok != (c.want != nil) || ok && !cmp.Equal(got, c.want) {
			t.Errorf("kid %q, %s: %v", c.kid, c.alg, ok)
		}
	}
}

func TestSecrets(t *testing.T) {
	text, s, err := party.NewSecret(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if len(text) < 43 || strings.Contains(fmt.Sprintf("%+v", s), text) {
		t.Errorf("%q is kept as %+v", text, s)
	}
	p := party.Party{Secrets: []party.Secret{s}}
	for try, want := range map[string]bool{text: true, "": false, text + "x": false, s.Hash: false} {
		if p.SecretIs(try, at) != want {
			t.Errorf("%q", try)
		}
	}
	p.Secrets[0].Until = at
	if p.SecretIs(text, at) || !p.SecretIs(text, at-1) {
		t.Error("the end of a secret")
	}
	if (party.Party{}).SecretIs("", at) {
		t.Error("a party without secrets takes an empty one")
	}
}

func TestRegistry(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		for _, m := range []sqldb.Migration{audit.Migration(db.Engine()), party.Migration()} {
			if err := db.Migrate(t.Context(), m); err != nil {
				t.Fatal(err)
			}
		}
		r := party.NewRegistry(db)
		by, err := access.BreakGlass("operator")
		if err != nil {
			t.Fatal(err)
		}
		ctx, p := t.Context(), good(t)
		expect := func(what string, err, want error) {
			t.Helper()
			if !errors.Is(err, want) {
				t.Errorf("%s: %v", what, err)
			}
		}
		expect("change before add", r.Put(ctx, by, p, true, at), identity.ErrNotFound)
		expect("add", r.Put(ctx, by, p, false, at), nil)
		expect("add again", r.Put(ctx, by, p, false, at), identity.ErrExists)
		got, err := r.Party(ctx, db.Reader(), p.ID)
		if diff := cmp.Diff(p, got); diff != "" || err != nil {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
		p.Name = "案件管理 二"
		expect("change", r.Put(ctx, by, p, true, at), nil)
		bad := p
		bad.Faces = nil
		if err := r.Put(ctx, by, bad, true, at); err == nil {
			t.Error("a bad party is stored")
		}
		if all, err := r.List(ctx); err != nil || len(all) != 1 || all[0].Name != p.Name {
			t.Errorf("%v: %v", all, err)
		}
		expect("remove", r.Remove(ctx, by, p.ID, "契約終了", at), nil)
		expect("remove again", r.Remove(ctx, by, p.ID, "契約終了", at), identity.ErrNotFound)
		_, err = r.Party(ctx, db.Reader(), p.ID)
		expect("read what is gone", err, identity.ErrNotFound)
		_, err = r.Party(ctx, db.Reader(), "Robert'); DROP TABLE oidc_party;--")
		expect("read nonsense", err, identity.ErrNotFound)
		rows, err := db.Reader().QueryContext(ctx, `SELECT action || ' ' || object FROM audit_row ORDER BY action`)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		var record []string
		for rows.Next() {
			var s string
			if err := rows.Scan(&s); err != nil {
				t.Fatal(err)
			}
			record = append(record, s)
		}
		if diff := cmp.Diff([]string{"rp.add jira", "rp.change jira", "rp.remove jira"}, record); diff != "" || rows.Err() != nil {
			t.Errorf("record (-want +got):\n%s", diff)
		}
	})
}
