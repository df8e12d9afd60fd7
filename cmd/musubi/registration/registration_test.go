package registration_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/musubi-hub/musubi/cmd/musubi/registration"
	"github.com/musubi-hub/musubi/identity/oidcop/party"
	"github.com/musubi-hub/musubi/policies"
)

func jwks(t testing.TB) map[string]any {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: k.Public(), KeyID: "k1"}}})
	if err != nil {
		t.Fatal(err)
	}
	var set map[string]any
	if err := json.Unmarshal(raw, &set); err != nil {
		t.Fatal(err)
	}
	return set
}

func schema(t testing.TB) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(registration.Schema))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("registration.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("registration.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// valid holds a registration to the schema, as an editor would.
func valid(t testing.TB, r registration.Registration) error {
	t.Helper()
	text, err := registration.Write(r)
	if err != nil {
		t.Fatal(err)
	}
	asJSON, err := yaml.YAMLToJSON(text)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(asJSON))
	if err != nil {
		t.Fatal(err)
	}
	return schema(t).Validate(doc)
}

// TestProfiles: each profile becomes a party that the registry takes, once its gaps are filled and it has its keys or a secret.
func TestProfiles(t *testing.T) {
	all, err := registration.Profiles()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 7 {
		t.Fatalf("%d profiles", len(all))
	}
	gaps := map[string]string{
		"entity": "https://app.example.jp/saml", "acs": "https://app.example.jp/acs?connection=1", "site": "example.atlassian.net", "organization": "example",
		"datacenter": "syd1", "host": "app.example.jp:8443", "redirect": "https://app.example.jp/cb", "sector": "tool.example.jp", "api": "https://api.example.jp/v1",
	}
	for _, p := range all {
		if p.Title.JA == "" || p.Title.EN == "" || len(p.Reachable) == 0 {
			t.Errorf("%s: without title or networks", p.Name)
		}
		if _, err := p.In(nil).Fill(); len(p.Asks) > 0 && !errors.As(err, new(registration.GapError)) {
			t.Errorf("%s: its gaps aren't missed: %v", p.Name, err)
		}
		r := p.In(nil).Over(registration.Registration{ID: "rp", Name: "試験"})
		for gap := range p.Asks {
			r.Values[gap] = gaps[gap]
			if gaps[gap] == "" {
				t.Errorf("%s asks for %s, which this test doesn't know", p.Name, gap)
			}
		}
		r, err := r.Fill()
		if err != nil {
			t.Errorf("%s: gaps that it doesn't ask for: %v", p.Name, err)
		}
		if r.Auth == party.AuthPrivateKeyJWT {
			r.JWKS = jwks(t)
		}
		if r.Sector == "" {
			r.Sector = "app.example.jp"
		}
		if err := valid(t, r); err != nil {
			t.Errorf("%s: %v", p.Name, err)
		}
		if r.Speaks() == registration.SAML {
			providerOf(t, p, r)
			continue
		}
		rp, err := r.Party()
		if err != nil {
			t.Fatal(err)
		}
		if rp.Auth == party.AuthSecretBasic {
			_, s, err := party.NewSecret(rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			rp.Secrets = []party.Secret{s}
		}
		if err := rp.Check(); err != nil {
			t.Errorf("%s: %v", p.Name, err)
		}
		for _, f := range registration.Review(rp, registration.Surroundings{}) {
			if f.Severity == registration.Wrong && !(f.Code == "no_functions" && len(p.Party.Functions) == 0) {
				t.Errorf("%s: %+v", p.Name, f)
			}
		}
		back := registration.Of(rp)
		back.Profile, back.Values = r.Profile, r.Values
		again, err := back.Party()
		if err != nil {
			t.Fatal(err)
		}
		again.Secrets = rp.Secrets
		if diff := cmp.Diff(canonical(t, rp), canonical(t, again)); diff != "" {
			t.Errorf("%s: written and read again (-want +got):\n%s", p.Name, diff)
		}
	}
}

func canonical(t testing.TB, p any) string {
	t.Helper()
	raw, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	raw, err = json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// TestSchemaSaysTheSame holds the schema to the words of the code.
func TestSchemaSaysTheSame(t *testing.T) {
	var doc struct {
		Properties map[string]struct {
			Enum       []string       `json:"enum"`
			Properties map[string]any `json:"properties"`
			Items      struct {
				Enum []string `json:"enum"`
			} `json:"items"`
		} `json:"properties"`
	}
	if err := json.Unmarshal(registration.Schema, &doc); err != nil {
		t.Fatal(err)
	}
	words := func(v any) []string {
		var out []string
		for i := range reflect.ValueOf(v).Len() {
			out = append(out, reflect.ValueOf(v).Index(i).String())
		}
		slices.Sort(out)
		return out
	}
	for field, want := range map[string]any{
		"scopes": party.Scopes(), "functions": policies.Functions(), "products": policies.Products(),
	} {
		if diff := cmp.Diff(words(want), words(doc.Properties[field].Items.Enum)); diff != "" {
			t.Errorf("%s (-code +schema):\n%s", field, diff)
		}
	}
	for _, word := range doc.Properties["least"].Enum {
		if _, ok := registration.Levels()[word]; !ok {
			t.Errorf("least: %q", word)
		}
	}
	if len(doc.Properties["least"].Enum) != len(registration.Levels()) || len(doc.Properties["networks"].Properties) != len(policies.Networks()) {
		t.Error("levels or networks are missing")
	}
	for _, field := range reflect.VisibleFields(reflect.TypeFor[registration.Registration]()) {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if field.Anonymous {
			continue
		}
		if _, ok := doc.Properties[name]; !ok {
			t.Errorf("the schema doesn't know %s", name)
		}
	}
}

func TestRead(t *testing.T) {
	r, err := registration.Read([]byte("id: jira\nname: 窓口\nnetworks:\n  lgwan:\n    redirects: [\"https://a.example/cb\"]\njwks:\n  keys: []\n"))
	if err != nil || r.ID != "jira" || r.Networks["lgwan"].Redirects[0] != "https://a.example/cb" {
		t.Errorf("%+v, %v", r, err)
	}
	same, err := registration.Read([]byte(`{"id":"jira","name":"窓口","networks":{"lgwan":{"redirects":["https://a.example/cb"]}},"jwks":{"keys":[]}}`))
	if diff := cmp.Diff(r, same); diff != "" || err != nil {
		t.Errorf("JSON reads differently: %v\n%s", err, diff)
	}
	for name, c := range map[string]struct{ text, want string }{
		"a field that there isn't":              {"id: a\nredirect_uri: x\n", "redirect_uri"},
		"a list for a word":                     {"id: [a]\n", "[1:5]"},
		"empty":                                 {"  \n", "empty"},
		"no YAML":                               {"id: \"a\n", "1:"},
		"a network that there isn't, far below": {"networks:\n  lgwan:\n    redirect: x\n", "redirect"},
		"large":                                 {strings.Repeat("#", registration.MaxFile+1), "at most"},
	} {
		if _, err := registration.Read([]byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := (registration.Registration{Least: "fingerprint"}).Party(); err == nil {
		t.Error("a level that there isn't")
	}
	if _, err := registration.Find("zendesk"); err == nil || !strings.Contains(err.Error(), "generic-web") {
		t.Errorf("%v", err)
	}
}

// FuzzRead: whatever is read can be written, and reads as the same again.
func FuzzRead(f *testing.F) {
	f.Add([]byte("id: jira\nname: 窓口\nnetworks:\n  lgwan:\n    redirects: [\"https://a.example/cb\"]\n"))
	f.Add([]byte(`{"id":"a","values":{"x":"{y}"},"jwks":{"keys":[{"kty":"EC"}]}}`))
	f.Add([]byte("a: &a [*a]"))
	f.Add([]byte("id: wiki\nprotocol: saml\nowner: 011002\nsigning:\n  - |\n    -----BEGIN CERTIFICATE-----\n    AAAA\n    -----END CERTIFICATE-----\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := registration.Read(text)
		if err != nil {
			return
		}
		_, _ = r.Fill()
		if p, err := r.Party(); err == nil {
			_ = registration.Review(p, registration.Surroundings{})
		}
		if p, err := r.SP(); err == nil {
			_ = registration.ReviewSP(p, registration.Surroundings{})
		}
	})
}

// TestReview: each fault is found, by its code, and a good registration has none.
func TestReview(t *testing.T) {
	good := func() party.Party {
		raw, err := json.Marshal(jwks(t))
		if err != nil {
			t.Fatal(err)
		}
		return party.Party{
			ID: "jira", Name: "窓口", Sector: "jira.example", Auth: party.AuthPrivateKeyJWT, Alg: jose.ES256, Least: policies.AssuranceCard, Scopes: []string{"profile"},
			JWKS: raw, Functions: []policies.Function{policies.FunctionInquiries}, Faces: []party.Face{{
				Network: policies.NetworkInternet, Redirects: []string{"https://jira.example/cb"}, Backchannel: "https://jira.example/bc",
			}},
		}
	}
	s := registration.Surroundings{At: 1000, Own: map[policies.Network][]string{policies.NetworkInternet: {"login.example.go.jp:8443", "card.example.go.jp"}}}
	if found := registration.Review(good(), s); len(found) > 0 {
		t.Errorf("a good one: %+v", found)
	}
	secrets := func(until ...int64) func(*party.Party, *registration.Surroundings) {
		return func(p *party.Party, _ *registration.Surroundings) {
			p.Auth, p.JWKS = party.AuthSecretBasic, nil
			for _, u := range until {
				p.Secrets = append(p.Secrets, party.Secret{Hash: strings.Repeat("a", 64), Until: u})
			}
		}
	}
	redirect := func(u string) func(*party.Party, *registration.Surroundings) {
		return func(p *party.Party, _ *registration.Surroundings) { p.Faces[0].Redirects = []string{u} }
	}
	for name, c := range map[string]struct {
		code   string
		wrong  bool
		change func(*party.Party, *registration.Surroundings)
	}{
		"http":       {"invalid", true, redirect("http://jira.example/cb")},
		"a wildcard": {"invalid", true, redirect("https://*.jira.example/cb")},
		"a small key": {"invalid", true, func(p *party.Party, _ *registration.Surroundings) {
			p.JWKS = json.RawMessage(`{"keys":[{"kty":"RSA","kid":"k","e":"AQAB","n":"wJ0"}]}`)
		}},
		"our login host":          {"own_host", true, redirect("https://login.example.go.jp:8443/cb")},
		"our card host elsewhere": {"own_host", true, redirect("https://card.example.go.jp:444/cb")},
		"our host for logout": {"own_host", true, func(p *party.Party, _ *registration.Surroundings) {
			p.Faces[0].Backchannel = "https://card.example.go.jp/"
		}},
		"a private host": {"private_host", false, redirect("https://10.0.0.1/cb")},
		"localhost":      {"private_host", false, redirect("https://jira.localhost:8444/cb")},
		"an address":     {"address_as_host", false, redirect("https://192.0.2.1/cb")},
		"a network that isn't served": {"network_not_served", false, func(_ *party.Party, s *registration.Surroundings) {
			s.Own = nil
		}},
		"an expired secret":    {"secret_expired", true, secrets(1000)},
		"a secret with an end": {"secret_ends", false, secrets(2000)},
		"two without an end":   {"secrets_without_end", false, secrets(0, 0)},
		"no function":          {"no_functions", true, func(p *party.Party, _ *registration.Surroundings) { p.Functions = nil }},
		"less than the card":   {"least_below_card", false, func(p *party.Party, _ *registration.Surroundings) { p.Least = policies.AssuranceTwo }},
		"a phone never told":   {"scope_never_released", false, func(p *party.Party, _ *registration.Surroundings) { p.Scopes = []string{"phone"} }},
		"no logout":            {"no_backchannel", false, func(p *party.Party, _ *registration.Surroundings) { p.Faces[0].Backchannel = "" }},
		"RS256 with an EC key": {"alg_mixed", false, func(p *party.Party, _ *registration.Surroundings) { p.Alg = jose.RS256 }},
		"a shared sector": {"shared_sector", false, func(_ *party.Party, s *registration.Surroundings) {
			s.Others = []party.Party{{ID: "wiki", Sector: "jira.example"}}
		}},
		"a shared redirect URI": {"shared_redirect", true, func(_ *party.Party, s *registration.Surroundings) {
			s.Others = []party.Party{{ID: "wiki", Faces: []party.Face{{Redirects: []string{"https://jira.example/cb"}}}}}
		}},
		"a program with functions": {"functions_without_login", false, func(p *party.Party, _ *registration.Surroundings) {
			p.Faces[0] = party.Face{Network: policies.NetworkInternet, Resources: []party.Resource{{URI: "https://api.example/v1"}}}
		}},
	} {
		p, around := good(), s
		c.change(&p, &around)
		found := registration.Review(p, around)
		i := slices.IndexFunc(found, func(f registration.Finding) bool { return f.Code == c.code })
		if i < 0 || (found[i].Severity == registration.Wrong) != c.wrong || registration.Failed(found) != c.wrong || found[i].Says.JA == "" || found[i].Says.EN == "" {
			t.Errorf("%s: want %s, error %v; got %+v", name, c.code, c.wrong, found)
		}
	}
}
