package oidcop

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/musubi-hub/musubi/identity/oidcop/party"
	"github.com/musubi-hub/musubi/policies"
)

// FuzzParams: what is read is what any other reader reads, within the bounds.
func FuzzParams(f *testing.F) {
	for _, s := range []string{"", "a=b", "a=b&a=c", "a=%00", "a=%ff", "a;b=c", "=x", "a=" + strings.Repeat("x", 100), "%zz=1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, encoded string) {
		got, fault := parseParams(encoded)
		if fault != nil {
			if got != nil || fault.reason == "" {
				t.Fatalf("%v with %v", got, fault)
			}
			return
		}
		values, err := url.ParseQuery(encoded)
		if err != nil || len(values) > maxParams {
			t.Fatalf("taken: %v", err)
		}
		for name, v := range got {
			if v == "" || len(values[name]) != 1 || values[name][0] != v || strings.ContainsRune(v, 0) {
				t.Fatalf("%q is %q", name, v)
			}
		}
	})
}

// FuzzAuthorize: whatever is sent, a request that is taken has an S256 challenge, a registered address and openid; what is kept of it fits.
func FuzzAuthorize(f *testing.F) {
	p := party.Party{ID: "app", Least: policies.AssuranceTwo, Scopes: []string{"profile"}, Native: true}
	face := party.Face{Redirects: []string{"https://app.example/cb", "http://127.0.0.1/cb"}}
	good := "redirect_uri=https%3A%2F%2Fapp.example%2Fcb&response_type=code&scope=openid+profile&code_challenge_method=S256&code_challenge=" + strings.Repeat("A", 43)
	f.Add(good)
	f.Add(good + "&prompt=none&max_age=10&acr_values=urn:musubi:acr:aal3&response_mode=form_post")
	f.Add(strings.Replace(good, "https%3A%2F%2Fapp.example%2Fcb", "http://127.0.0.1:1/cb", 1))
	f.Fuzz(func(t *testing.T, encoded string) {
		in, fault := parseParams(encoded)
		if fault != nil {
			return
		}
		fs, fault := checkRedirect(in, p, face)
		if fault != nil {
			return
		}
		u, err := url.Parse(fs.Redirect)
		if err != nil || u.User != nil || u.Fragment != "" || u.Hostname() != "app.example" && u.Hostname() != "127.0.0.1" {
			t.Fatalf("answered at %q", fs.Redirect)
		}
		fs, ask, fault := checkAuthorize(in, p, fs)
		if fault != nil {
			return
		}
		if len(fs.Challenge) != 43 || in["code_challenge_method"] != "S256" || in["response_type"] != "code" || ask.Required < p.Least || ask.Passive && ask.Force {
			t.Fatalf("taken: %v", in)
		}
		if len(ask.Facts) > 16<<10 {
			t.Fatalf("%d bytes of facts", len(ask.Facts))
		}
		var back facts
		if err := json.Unmarshal(ask.Facts, &back); err != nil || back.Challenge != fs.Challenge || back.Redirect != fs.Redirect || back.State != fs.State {
			t.Fatalf("kept as %s: %v", ask.Facts, err)
		}
		if a := answerTo(fs, "https://op.example", [][2]string{{"code", "c"}}); a.Form == nil {
			to, err := url.Parse(a.Location)
			if err != nil || to.Host != u.Host || to.Path != u.Path || to.Query().Get("code") != "c" || to.Query().Get("state") != fs.State {
				t.Fatalf("answered at %q: %v", a.Location, err)
			}
		}
	})
}

// FuzzAssertion: no token that no key has signed is ever believed, and nothing makes the reader fall over.
func FuzzAssertion(f *testing.F) {
	f.Add("eyJhbGciOiJub25lIn0.eyJpc3MiOiJhcHAiLCJzdWIiOiJhcHAifQ.", "{}")
	f.Add("eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJhcHAiLCJzdWIiOiJhcHAifQ.AAAA", `{"iss":"app","sub":"app","aud":["https://op.example"],"exp":1790000060,"jti":"x"}`)
	f.Add("a.b.c", `{"aud":"x","exp":1e300,"nbf":-1}`)
	f.Fuzz(func(t *testing.T, token, payload string) {
		if jws, err := parseJWT(token); err == nil {
			alg := jose.SignatureAlgorithm(jws.Signatures[0].Protected.Algorithm)
			if alg != jose.ES256 && alg != jose.RS256 {
				t.Fatalf("read a token of %s", alg)
			}
		}
		_, _ = parseCredentials("Basic "+token, params{"client_id": payload})
		if c, fault := parseCredentials("", params{"client_assertion": token, "client_assertion_type": assertionType}); fault == nil && c.assertion == nil {
			t.Fatal("an assertion without one")
		}
		cl, err := parseClaims([]byte(payload))
		if err != nil {
			return
		}
		if reason := checkAssertion(cl, "app", []string{"https://op.example"}, 1_790_000_000); reason == "" {
			if cl.Issuer != "app" || cl.Subject != "app" || cl.ID == "" || cl.Expires == nil || *cl.Expires < 1_790_000_000-skew || *cl.Expires > 1_790_000_000+maxAssertion+skew {
				t.Fatalf("taken: %+v", cl)
			}
			for _, a := range cl.Audience {
				if a != "https://op.example" {
					t.Fatalf("taken for %q", a)
				}
			}
		}
	})
}

// TestCredentialsPublic: a public client is refused even where the registry were to let it (RFC 6749, section 4.4).
func TestCredentialsPublic(t *testing.T) {
	face := party.Face{Resources: []party.Resource{{URI: "urn:example:b"}}}
	for auth, want := range map[party.AuthMethod]string{party.AuthNone: "credentials_not_allowed", party.AuthSecretBasic: "", party.AuthPrivateKeyJWT: ""} {
		reason := ""
		if _, _, f := checkCredentials(party.Party{ID: "app", Auth: auth}, face, params{}); f != nil {
			reason = f.reason
		}
		if reason != want {
			t.Errorf("%s: %q", auth, reason)
		}
	}
}

// FuzzCredentials: whatever is sent, what a party is given in its own name is registered for it, and never about people.
func FuzzCredentials(f *testing.F) {
	p := party.Party{ID: "app", Auth: party.AuthPrivateKeyJWT, Scopes: party.Scopes()}
	face := party.Face{Resources: []party.Resource{{URI: "https://api.example/a", Scopes: []string{"read", "write"}}, {URI: "urn:example:b", Scopes: []string{"read"}}}}
	f.Add("")
	f.Add("resource=urn:example:b&scope=read+read")
	f.Add("resource=https%3A%2F%2Fapi.example%2Fa&scope=openid")
	f.Add("resource=https%3A%2F%2Fapi.example%2Fa%2F&scope=read%09write")
	f.Fuzz(func(t *testing.T, encoded string) {
		in, fault := parseParams(encoded)
		if fault != nil {
			return
		}
		r, scope, fault := checkCredentials(p, face, in)
		if fault != nil {
			if fault.status != 400 || fault.reason == "" || fault.err != nil {
				t.Fatalf("refused by %+v", fault)
			}
			return
		}
		if r.URI != in["resource"] && (in["resource"] != "" || r.URI != face.Resources[0].URI) {
			t.Fatalf("%q is given %q", in["resource"], r.URI)
		}
		for i, s := range scope {
			if !slices.Contains(r.Scopes, s) || slices.Contains(scope[:i], s) || in["scope"] != "" && !slices.Contains(strings.Fields(in["scope"]), s) {
				t.Fatalf("%q is given %q", in["scope"], scope)
			}
		}
		if in["scope"] == "" && len(scope) != len(r.Scopes) {
			t.Fatalf("nothing asked for, and %q given", scope)
		}
	})
}
