package party_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/musubi-hub/musubi/identity/oidcop/party"
	"github.com/musubi-hub/musubi/policies"
)

// acting is a program that nobody logs in to.
func acting(t testing.TB) party.Party {
	t.Helper()
	p := good(t)
	p.ID, p.Name, p.Sector, p.Least, p.Scopes = "nightly", "夜間連携", "", 0, nil
	p.Faces = []party.Face{{Network: policies.NetworkInternet, Resources: []party.Resource{
		{URI: "https://api.example/records", Scopes: []string{"records:read", "https://api.example/scope/write", "!#[]~"}}, {URI: "urn:example:search"},
	}}}
	return p
}

func TestCheckResources(t *testing.T) {
	both := good(t)
	both.Faces[0].Resources = acting(t).Faces[0].Resources
	served := acting(t)
	served.Faces[0].Resources, served.Faces[0].Serves = nil, []string{"https://api.example/records"}
	for name, p := range map[string]party.Party{"a program": acting(t), "people and a program": both, "a resource": served} {
		if err := p.Check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	uri := func(uri string) func(*party.Party) {
		return func(p *party.Party) { p.Faces[0].Resources[0].URI = uri }
	}
	scope := func(scopes ...string) func(*party.Party) {
		return func(p *party.Party) { p.Faces[0].Resources[0].Scopes = scopes }
	}
	for name, c := range map[string]struct {
		want   string
		change func(*party.Party)
	}{
		"no URI":                      {"want https://HOST/PATH", uri("")},
		"relative":                    {"want https://HOST/PATH", uri("/records")},
		"http":                        {"want https://HOST/PATH", uri("http://api.example/")},
		"no host":                     {"want https://HOST/PATH", uri("https:///records")},
		"opaque":                      {"want https://HOST/PATH", uri("https:api.example")},
		"large letters in the host":   {"want https://HOST/PATH", uri("https://API.example/")},
		"large letters in the scheme": {"want https://HOST/PATH", uri("HTTPS://api.example/")},
		"a dot at the host's end":     {"want https://HOST/PATH", uri("https://api.example./")},
		"an empty URN":                {"want https://HOST/PATH", uri("urn:")},
		"a URN in large letters":      {"want https://HOST/PATH", uri("URN:example:x")},
		"a query":                     {"neither query nor fragment", uri("https://api.example/?x=1")},
		"an empty query":              {"neither query nor fragment", uri("https://api.example/?")},
		"a fragment":                  {"neither query nor fragment", uri("https://api.example/#x")},
		"an empty fragment":           {"neither query nor fragment", uri("urn:example:x#")},
		"a user":                      {"aren't allowed", uri("https://a@api.example/")},
		"a space":                     {"aren't allowed", uri("https://api.example/a b")},
		"not ASCII":                   {"aren't allowed", uri("https://api.example/記録")},
		"a wildcard":                  {"aren't allowed", uri("https://*.example/")},
		"long":                        {"at most 512", uri("https://api.example/" + strings.Repeat("a", 600))},
		"a URI twice":                 {"twice", uri("urn:example:search")},
		"many": {"at most 20", func(p *party.Party) {
			for range 20 {
				p.Faces[0].Resources = append(p.Faces[0].Resources, party.Resource{URI: "urn:example:x"})
			}
		}},
		"openid":                    {"about people", scope("openid")},
		"email":                     {"about people", scope("email")},
		"offline_access":            {"about people", scope("offline_access")},
		"a scope with a space":      {"is no scope", scope("a b")},
		"a scope with a quote":      {"is no scope", scope(`a"b`)},
		"a scope with a backslash":  {"is no scope", scope(`a\b`)},
		"a scope with an at sign":   {"is no scope", scope("a@b.example")},
		"an empty scope":            {"is no scope", scope("")},
		"a long scope":              {"is no scope", scope(strings.Repeat("a", 101))},
		"a scope that isn't ASCII":  {"is no scope", scope("読む")},
		"a scope of two lines":      {"is no scope", scope("a\n")},
		"a scope twice":             {"twice", scope("a", "b", "a")},
		"many scopes":               {"more than 2000 bytes", scope(strings.Fields(strings.Repeat("abcdefghi ", 210))...)},
		"a subject as id":           {"a person's subject", func(p *party.Party) { p.ID = policies.RelyingPartyID(strings.Repeat("a2", 16)) }},
		"a native application":      {"on a person's own machine", func(p *party.Party) { p.Native = true }},
		"a native one without keys": {"on a person's own machine", func(p *party.Party) { p.Native, p.Auth, p.JWKS = true, party.AuthNone, nil }},
		"a logout without a login":  {"nobody logs in", func(p *party.Party) { p.Faces[0].Backchannel = "https://api.example/bc" }},
		"neither people nor resources": {"at least one redirect", func(p *party.Party) {
			p.Faces[0].Resources = nil
		}},
		"people without a sector": {"sector:", func(p *party.Party) { p.Faces[0].Redirects = []string{"https://api.example/cb"} }},
		"people without a level": {"least:", func(p *party.Party) {
			p.Faces[0].Redirects, p.Sector = []string{"https://api.example/cb"}, "api.example"
		}},
		"a bad sector":    {"sector:", func(p *party.Party) { p.Sector = "A B" }},
		"a bad level":     {"least:", func(p *party.Party) { p.Least = 99 }},
		"serves in clear": {"serves:", func(p *party.Party) { p.Faces[0].Serves = []string{"http://api.example/"} }},
		"serves twice":    {"twice", func(p *party.Party) { p.Faces[0].Serves = []string{"urn:example:x", "urn:example:x"} }},
		"one face of two is empty": {"at least one redirect", func(p *party.Party) {
			p.Faces = append(p.Faces, party.Face{Network: policies.NetworkLGWAN})
		}},
	} {
		p := acting(t)
		c.change(&p)
		if err := p.Check(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if id := policies.RelyingPartyID(strings.Repeat("a2", 16)); func() error { p := good(t); p.ID = id; return p.Check() }() != nil {
		t.Error("a party that never acts may have any id")
	}
}

// TestResource: octet by octet, and the first where none is named.
func TestResource(t *testing.T) {
	f := acting(t).Faces[0]
	for uri, want := range map[string]string{
		"": f.Resources[0].URI, "https://api.example/records": "https://api.example/records", "urn:example:search": "urn:example:search",
		"https://api.example/records/": "", "https://api.example": "", "urn:example:Search": "", "https://api.example:443/records": "",
	} {
		if got, ok := f.Resource(uri); got.URI != want || ok != (want != "") {
			t.Errorf("%q: %q, %v", uri, got.URI, ok)
		}
	}
	if _, ok := (party.Face{}).Resource(""); ok {
		t.Error("a face without resources has one")
	}
}

// TestOlderRow: what was stored before there were resources reads as a party that may not act in its own name, and is stored again as it was.
func TestOlderRow(t *testing.T) {
	const row = `{"id":"jira","name":"案件管理","faces":[{"network":"internet","redirects":["https://jira.example/cb"],"post_logout":["https://jira.example/"]}],` +
		`"sector":"jira.example","auth":"client_secret_basic","secrets":[{"hash":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","until":0}],"alg":"RS256","least":3,"scopes":["profile"]}`
	var p party.Party
	if err := json.Unmarshal([]byte(row), &p); err != nil {
		t.Fatal(err)
	}
	if err := p.Check(); err != nil || p.Acts() || !p.LogsIn() {
		t.Errorf("acts %v, people log in %v: %v", p.Acts(), p.LogsIn(), err)
	}
	again, err := json.Marshal(p)
	if diff := cmp.Diff(row, string(again)); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

// FuzzResource: whatever is registered can stand in a token, a request and the audit log, and is found under its own name alone.
func FuzzResource(f *testing.F) {
	f.Add("https://api.example/records", "records:read")
	f.Add("urn:example:search", "a b")
	f.Add("https://a@b.example/?x#y", "openid")
	f.Fuzz(func(t *testing.T, uri, scope string) {
		p := party.Party{
			ID: "nightly", Name: "夜間連携", Auth: party.AuthSecretBasic, Secrets: []party.Secret{{Hash: strings.Repeat("a", 64)}}, Alg: "ES256",
			Faces: []party.Face{{Network: policies.NetworkInternet, Resources: []party.Resource{{URI: uri, Scopes: []string{scope}}}}},
		}
		if p.Check() != nil {
			return
		}
		if strings.ContainsAny(uri+scope, " @\"\\\x00\n") || strings.ContainsAny(uri, "?#") || len(strings.Fields(scope)) != 1 || scope == "openid" || len(uri) > 512 || len(scope) > 100 {
			t.Fatalf("taken: %q with %q", uri, scope)
		}
		if r, ok := p.Faces[0].Resource(uri); !ok || r.URI != uri {
			t.Fatalf("%q isn't found", uri)
		}
		if _, ok := p.Faces[0].Resource(uri + "/"); ok {
			t.Fatalf("%q is found with a slash more", uri)
		}
	})
}
