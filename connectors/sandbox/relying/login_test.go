package relying_test

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/musubi-hub/musubi/connectors/sandbox/relying"
	"github.com/musubi-hub/musubi/connectors/sandbox/relying/providertest"
	"github.com/musubi-hub/musubi/connectors/sandbox/visitor"
)

func TestLogin(t *testing.T) {
	for name, how := range map[string]proof{"private_key_jwt": byKey, "client_secret_basic": bySecret} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, how)
			b := h.browser()
			a := b.open("/shop/deep/link?x=1")
			if a.Header.Get("Account") != "a1" || a.Header.Get("Path") != "/shop/deep/link?x=1" {
				t.Fatalf("status %d, reason %q, account %q at %q", a.StatusCode, a.Header.Get("Reason"), a.Header.Get("Account"), a.Header.Get("Path"))
			}
			ask := h.provider.Asked[0]
			if ask.Get("acr_values") != strong || ask.Has("prompt") {
				t.Errorf("asked for %v", ask)
			}
			if len(h.provider.Wrong) > 0 {
				t.Errorf("the provider complains: %q", h.provider.Wrong)
			}
			// A second login draws everything anew.
			b.open("/shop/login?prompt=login")
			second := h.provider.Asked[1]
			for _, name := range []string{"state", "nonce", "code_challenge"} {
				if ask.Get(name) == second.Get(name) {
					t.Errorf("%s is used twice", name)
				}
			}
			if second.Get("prompt") != "login" {
				t.Error("a new proof isn't asked for")
			}
			if h.provider.Count["/keys"] != 1 || h.provider.Count["/.well-known/openid-configuration"] != 1 {
				t.Errorf("the provider was asked too often: %v", h.provider.Count)
			}
		})
	}
}

func TestCookies(t *testing.T) {
	h := newHouse(t, byKey)
	b := h.browser()
	b.stop = issuer
	first := b.open("/shop/login")
	b.stop = base + "/shop/login/callback"
	b.open(b.last.String())
	b.stop = base + "/shop/home"
	second := b.open(b.last.String())
	found := 0
	for _, a := range []*http.Response{first, second} {
		for _, line := range a.Header.Values("Set-Cookie") {
			c, err := http.ParseSetCookie(line)
			if err != nil {
				t.Fatal(err)
			}
			found++
			if !strings.HasPrefix(c.Name, "__Host-shop-") || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" || len(c.Value) < 43 {
				t.Errorf("cookie %s", line)
			}
		}
		if a.Header.Get("Cache-Control") != "no-store" {
			t.Error("an answer of the login may be cached")
		}
	}
	if found != 2 || second.StatusCode != http.StatusSeeOther {
		t.Errorf("%d cookies, status %d", found, second.StatusCode)
	}
}

// Each of these answers is a lie in one place. None may open anything.
func TestAnswersThatAreRefused(t *testing.T) {
	id := func(change func(c map[string]any)) providertest.Edits {
		return providertest.Edits{IDToken: func(_ map[jose.HeaderKey]any, c map[string]any) { change(c) }}
	}
	set := func(name string, value any) providertest.Edits { return id(func(c map[string]any) { c[name] = value }) }
	drop := func(name string) providertest.Edits { return id(func(c map[string]any) { delete(c, name) }) }
	response := func(change func(q url.Values)) providertest.Edits { return providertest.Edits{Response: change} }
	answer := func(change func(c map[string]any)) providertest.Edits { return providertest.Edits{Token: change} }
	sign := func(f func(h *house, honest string, c map[string]any) string) func(h *house) providertest.Edits {
		return func(h *house) providertest.Edits {
			return providertest.Edits{Sign: func(honest string, c map[string]any) string { return f(h, honest, c) }}
		}
	}
	at := time.Date(2026, 11, 30, 3, 0, 0, 0, time.UTC)
	for name, tc := range map[string]struct {
		edit any // providertest.Edits, or a function of the house
		want relying.Reason
		code string
	}{
		"state of nobody":           {response(func(q url.Values) { q.Set("state", strings.Repeat("A", 43)) }), visitor.StateUnknown, ""},
		"no state":                  {response(func(q url.Values) { q.Del("state") }), relying.ResponseMalformed, ""},
		"two states":                {response(func(q url.Values) { q.Add("state", "x") }), relying.ResponseMalformed, ""},
		"no code":                   {response(func(q url.Values) { q.Del("code") }), relying.ResponseMalformed, ""},
		"code and error":            {response(func(q url.Values) { q.Set("error", "access_denied") }), relying.ResponseMalformed, ""},
		"long code":                 {response(func(q url.Values) { q.Set("code", strings.Repeat("x", 5000)) }), relying.ResponseMalformed, ""},
		"no iss":                    {response(func(q url.Values) { q.Del("iss") }), relying.ResponseIssuer, ""},
		"iss of another (mix-up)":   {response(func(q url.Values) { q.Set("iss", "https://evil.localhost") }), relying.ResponseIssuer, ""},
		"iss with a slash":          {response(func(q url.Values) { q.Set("iss", issuer+"/") }), relying.ResponseIssuer, ""},
		"another code":              {response(func(q url.Values) { q.Set("code", "stolen") }), relying.CodeRefused, "invalid_grant"},
		"an error that is no code":  {response(func(q url.Values) { q.Del("code"); q.Set("error", "<b>call 0120</b>") }), visitor.ProviderError, "unknown"},
		"an error":                  {response(func(q url.Values) { q.Del("code"); q.Set("error", "login_required") }), visitor.ProviderError, "login_required"},
		"token end point down":      {providertest.Edits{TokenStatus: 503}, visitor.ProviderUnreachable, ""},
		"token end point puzzled":   {providertest.Edits{TokenStatus: 404}, relying.TokenResponse, ""},
		"no ID token":               {answer(func(c map[string]any) { delete(c, "id_token") }), relying.TokenResponse, ""},
		"ID token is a number":      {answer(func(c map[string]any) { c["id_token"] = 7 }), relying.TokenResponse, ""},
		"not a bearer token":        {answer(func(c map[string]any) { c["token_type"] = "DPoP" }), relying.TokenResponse, ""},
		"another access token":      {answer(func(c map[string]any) { c["access_token"] = "exchanged" }), relying.IDTokenAccessHash, ""},
		"wrong at_hash":             {set("at_hash", "AAAAAAAAAAAAAAAAAAAAAA"), relying.IDTokenAccessHash, ""},
		"wrong nonce":               {set("nonce", "x"), relying.IDTokenNonce, ""},
		"no nonce":                  {drop("nonce"), relying.IDTokenNonce, ""},
		"nonce by another name":     {id(func(c map[string]any) { c["NONCE"] = c["nonce"]; delete(c, "nonce") }), relying.IDTokenNonce, ""},
		"wrong audience":            {set("aud", "somebody else"), relying.IDTokenAudience, ""},
		"an audience too many":      {set("aud", []string{clientID, "somebody else"}), relying.IDTokenAudience, ""},
		"no audience":               {drop("aud"), relying.IDTokenAudience, ""},
		"azp of another":            {set("azp", "somebody else"), relying.IDTokenParty, ""},
		"wrong issuer":              {set("iss", "https://evil.localhost"), relying.IDTokenIssuer, ""},
		"no issuer":                 {drop("iss"), relying.IDTokenIssuer, ""},
		"expired":                   {set("exp", at.Unix()), relying.IDTokenExpired, ""},
		"no end":                    {drop("exp"), relying.IDTokenMalformed, ""},
		"end is a text":             {set("exp", "tomorrow"), relying.IDTokenMalformed, ""},
		"issued tomorrow":           {set("iat", at.Add(time.Hour).Unix()), relying.IDTokenTime, ""},
		"issued an hour ago":        {set("iat", at.Add(-time.Hour).Unix()), relying.IDTokenTime, ""},
		"not before tomorrow":       {set("nbf", at.Add(time.Hour).Unix()), relying.IDTokenTime, ""},
		"no subject":                {drop("sub"), relying.IDTokenSubject, ""},
		"subject is a number":       {set("sub", 7), relying.IDTokenSubject, ""},
		"long subject":              {set("sub", strings.Repeat("x", 256)), relying.IDTokenSubject, ""},
		"too weak":                  {set("acr", weak), visitor.AssuranceTooLow, ""},
		"no acr":                    {drop("acr"), visitor.AssuranceTooLow, ""},
		"acr is a list":             {set("acr", []string{strong}), visitor.AssuranceTooLow, ""},
		"a logout token":            {providertest.Edits{IDToken: func(h map[jose.HeaderKey]any, _ map[string]any) { h["typ"] = "logout+jwt" }}, relying.IDTokenType, ""},
		"an access token":           {providertest.Edits{IDToken: func(h map[jose.HeaderKey]any, _ map[string]any) { h["typ"] = "at+jwt" }}, relying.IDTokenType, ""},
		"a critical header":         {providertest.Edits{IDToken: func(h map[jose.HeaderKey]any, _ map[string]any) { h["crit"] = []string{"x"}; h["x"] = 1 }}, relying.IDTokenSignature, ""},
		"claims that aren't claims": {sign(func(h *house, _ string, _ map[string]any) string { return h.provider.Signed(jose.ES256, nil, []int{1}) }), relying.IDTokenMalformed, ""},
		"alg none":                  {sign(func(_ *house, _ string, c map[string]any) string { return providertest.Unsigned(c) }), relying.IDTokenSignature, ""},
		"signature cut off":         {sign(func(_ *house, s string, _ map[string]any) string { return s[:strings.LastIndex(s, ".")+1] }), relying.IDTokenSignature, ""},
		"payload changed": {sign(func(_ *house, s string, _ map[string]any) string {
			part := strings.Split(s, ".")
			raw, _ := base64.RawURLEncoding.DecodeString(part[1])
			part[1] = base64.RawURLEncoding.EncodeToString([]byte(strings.Replace(string(raw), "sub-1", "sub-2", 1)))
			return strings.Join(part, ".")
		}), relying.IDTokenSignature, ""},
		"a key that isn't published": {sign(func(h *house, _ string, c map[string]any) string {
			return providertest.SignedBy(jose.ES256, h.provider.OtherEC, "ec", nil, c)
		}), relying.IDTokenSignature, ""},
		"an unknown kid": {sign(func(h *house, _ string, c map[string]any) string {
			return providertest.SignedBy(jose.ES256, h.provider.EC, "new", nil, c)
		}), relying.IDTokenSignature, ""},
		"an algorithm that isn't registered": {sign(func(h *house, _ string, c map[string]any) string {
			return h.provider.Signed(jose.RS256, nil, c)
		}), relying.IDTokenSignature, ""},
		"the public key as a secret (key confusion)": {sign(func(h *house, _ string, c map[string]any) string {
			x, _ := h.provider.EC.ECDH()
			return providertest.SignedBy(jose.HS256, x.PublicKey().Bytes(), "ec", nil, c)
		}), relying.IDTokenSignature, ""},
		"userinfo of another":     {providertest.Edits{Userinfo: func(d map[string]any) { d["sub"] = "sub-2" }}, relying.UserinfoSubject, ""},
		"userinfo without sub":    {providertest.Edits{Userinfo: func(d map[string]any) { delete(d, "sub") }}, relying.UserinfoSubject, ""},
		"no address":              {providertest.Edits{Userinfo: func(d map[string]any) { delete(d, "email") }}, visitor.NoEmail, ""},
		"an unverified address":   {providertest.Edits{Userinfo: func(d map[string]any) { d["email_verified"] = false }}, visitor.NoEmail, ""},
		"an address of nobody":    {providertest.Edits{Userinfo: func(d map[string]any) { d["email"] = "taro@city.example.lg.jp" }}, visitor.NoAccount, ""},
		"keys are too many bytes": {providertest.Edits{Keys: func(d map[string]any) { d["pad"] = strings.Repeat("x", 1<<20) }}, visitor.ProviderUnreachable, ""},
		"no keys":                 {providertest.Edits{Keys: func(d map[string]any) { d["keys"] = []any{} }}, relying.IDTokenSignature, ""},
		"keys of another use": {func(h *house) providertest.Edits {
			return providertest.Edits{Keys: func(d map[string]any) {
				d["keys"] = []any{jose.JSONWebKey{Key: h.provider.EC.Public(), KeyID: "ec", Algorithm: "ES256", Use: "enc"}}
			}}
		}, relying.IDTokenSignature, ""},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, byKey)
			switch e := tc.edit.(type) {
			case providertest.Edits:
				h.provider.Edit = e
			case func(*house) providertest.Edits:
				h.provider.Edit = e(h)
			}
			b := h.browser()
			a := b.open("/shop/home")
			if a.Header.Get("Reason") != string(tc.want) || a.Header.Get("Code") != tc.code || a.Header.Get("Account") != "" || a.StatusCode < 400 {
				t.Errorf("status %d, reason %q, code %q, account %q; want %q %q", a.StatusCode, a.Header.Get("Reason"), a.Header.Get("Code"), a.Header.Get("Account"), tc.want, tc.code)
			}
			if b.in() {
				t.Error("the browser is logged in")
			}
		})
	}
}

// What the discovery document must have, else no login begins.
func TestDiscoveryThatIsRefused(t *testing.T) {
	for name, edit := range map[string]providertest.Edits{
		"down":                {Down: true},
		"another issuer":      {Discovery: func(d map[string]any) { d["issuer"] = "https://evil.localhost" }},
		"plain PKCE":          {Discovery: func(d map[string]any) { d["code_challenge_methods_supported"] = []string{"plain"} }},
		"no iss":              {Discovery: func(d map[string]any) { delete(d, "authorization_response_iss_parameter_supported") }},
		"token over http":     {Discovery: func(d map[string]any) { d["token_endpoint"] = "http://login.localhost/token" }},
		"no userinfo":         {Discovery: func(d map[string]any) { delete(d, "userinfo_endpoint") }},
		"an endless document": {Discovery: func(d map[string]any) { d["pad"] = strings.Repeat("x", 1<<20) }},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, byKey)
			h.provider.Edit = edit
			a := h.browser().open("/shop/home")
			if a.StatusCode != http.StatusBadGateway || a.Header.Get("Reason") != string(visitor.ProviderUnreachable) {
				t.Errorf("status %d, reason %q", a.StatusCode, a.Header.Get("Reason"))
			}
			// Not asked again at once; a moment later, and well, it works.
			asked := h.provider.Count["/.well-known/openid-configuration"]
			h.browser().open("/shop/home")
			if again := h.provider.Count["/.well-known/openid-configuration"]; again != asked {
				t.Errorf("asked again at once: %d, %d", asked, again)
			}
			h.provider.Edit = providertest.Edits{}
			h.clock.forward(2 * time.Second)
			h.browser().logIn()
		})
	}
}

func TestIncidentNumberIsHandedOn(t *testing.T) {
	h := newHouse(t, byKey)
	h.provider.Person = nil
	a := h.browser().open("/shop/home")
	if a.Header.Get("Reason") != string(visitor.ProviderError) || a.Header.Get("Code") != "access_denied" || a.Header.Get("Incident") != "261201-7K2M-9QXD-4RTB" {
		t.Errorf("reason %q, code %q, incident %q", a.Header.Get("Reason"), a.Header.Get("Code"), a.Header.Get("Incident"))
	}
	h = newHouse(t, byKey)
	h.provider.Clients[0].Keys = []byte(`{"keys":[]}`)
	if a = h.browser().open("/shop/home"); a.Header.Get("Code") != "invalid_client" || a.Header.Get("Incident") != "261130-TEST-0001" {
		t.Errorf("code %q, incident %q", a.Header.Get("Code"), a.Header.Get("Incident"))
	}
	for text, want := range map[string]string{
		"incident <b>x</b>": "", "your incident 1234 was bad": "1234", "incidental 12": "", "no": "", "bad; incident 00ff00ff": "00ff00ff", "incident " + strings.Repeat("9", 500): "",
	} {
		h = newHouse(t, byKey)
		h.provider.Edit.Response = func(q url.Values) { q.Del("code"); q.Set("error", "server_error"); q.Set("error_description", text) }
		if a = h.browser().open("/shop/home"); a.Header.Get("Incident") != want {
			t.Errorf("%q: incident %q, want %q", text, a.Header.Get("Incident"), want)
		}
	}
}

// Login CSRF: an answer that belongs to a login of another browser logs nobody in, and doesn't spoil that login.
func TestAnswerInAnotherBrowser(t *testing.T) {
	h := newHouse(t, byKey)
	attacker, victim := h.browser(), h.browser()
	attacker.stop = base + "/shop/login/callback"
	attacker.open("/shop/login")
	link := attacker.last.String()
	if a := victim.open(link); a.Header.Get("Reason") != string(visitor.OtherBrowser) || victim.in() {
		t.Errorf("without any cookie: reason %q", a.Header.Get("Reason"))
	}
	victim.stop = issuer
	victim.open("/shop/login") // now it has a mark of its own
	victim.stop = ""
	if a := victim.open(link); a.Header.Get("Reason") != string(visitor.OtherBrowser) || victim.in() {
		t.Errorf("with its own: reason %q", a.Header.Get("Reason"))
	}
	attacker.stop = ""
	if a := attacker.open(link); a.Header.Get("Account") != "a1" {
		t.Errorf("the one who began: reason %q", a.Header.Get("Reason"))
	}
	if a := attacker.open(link); a.Header.Get("Reason") != string(visitor.StateUnknown) {
		t.Errorf("twice: reason %q", a.Header.Get("Reason"))
	}
}

func TestLoginsSideBySide(t *testing.T) {
	h := newHouse(t, byKey)
	b := h.browser()
	var links []string
	for _, path := range []string{"/shop/one", "/shop/two"} {
		b.stop = base + "/shop/login/callback"
		b.open(path)
		links = append(links, b.last.String())
	}
	b.stop = ""
	for i, want := range []string{"/shop/two", "/shop/one"} {
		if a := b.open(links[1-i]); a.Header.Get("Path") != want {
			t.Errorf("ends at %q (reason %q), want %q", a.Header.Get("Path"), a.Header.Get("Reason"), want)
		}
	}
}

func TestLoginThatTakesTooLong(t *testing.T) {
	h := newHouse(t, byKey)
	b := h.browser()
	b.stop = base + "/shop/login/callback"
	b.open("/shop/login")
	b.stop = ""
	h.clock.forward(16 * time.Minute)
	if a := b.open(b.last.String()); a.Header.Get("Reason") != string(visitor.StateUnknown) {
		t.Errorf("reason %q", a.Header.Get("Reason"))
	}
}

// A cookie that was there before the login opens nothing after it.
func TestSessionFixation(t *testing.T) {
	h := newHouse(t, byKey)
	b := h.browser()
	site, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	planted := strings.Repeat("A", 43)
	b.c.Jar.SetCookies(site, []*http.Cookie{{Name: "__Host-shop-session", Value: planted, Path: "/", Secure: true}})
	b.logIn()
	other := h.browser()
	other.c.Jar.SetCookies(site, []*http.Cookie{{Name: "__Host-shop-session", Value: planted, Path: "/", Secure: true}})
	if other.in() {
		t.Error("the planted cookie opens the session")
	}
	old := slices.Clone(b.c.Jar.Cookies(site))
	b.open("/shop/login")
	other = h.browser()
	other.c.Jar.SetCookies(site, old)
	if other.in() {
		t.Error("the session of before the second login is still there")
	}
}

func TestWhereALoginEnds(t *testing.T) {
	for asked, want := range map[string]string{
		"/shop/a?b=c": "/shop/a?b=c", "": "/shop/home", "https://evil.localhost/": "/shop/home", "//evil.localhost/shop/": "/shop/home", "/\\evil.localhost": "/shop/home",
		"/shop/\\..": "/shop/home", "/shop/../x": "/shop/home", "/shop/login": "/shop/home", "/shop/login/callback?x": "/shop/home", "/shop/logout": "/shop/home", "/other": "/shop/home",
		"/shop/\r\nSet-Cookie: x": "/shop/home", "/shop/" + strings.Repeat("x", 600): "/shop/home", "javascript:alert(1)": "/shop/home", "/shop/あ": "/shop/%e3%81%82",
	} {
		h := newHouse(t, byKey)
		if a := h.browser().open("/shop/login?" + url.Values{"return": {asked}}.Encode()); a.Header.Get("Path") != want {
			t.Errorf("%q ends at %q (reason %q), want %q", asked, a.Header.Get("Path"), a.Header.Get("Reason"), want)
		}
	}
}

// The subject, once known, counts; the address doesn't any more.
func TestSubjectIsWhoItIs(t *testing.T) {
	h := newHouse(t, byKey)
	h.browser().logIn()
	h.provider.Person.Email = "renamed@city.example.lg.jp"
	h.browser().logIn()
	h.provider.Person.Email = ""
	h.browser().logIn()
	h.provider.Person.Subject, h.provider.Person.Email = "sub-2", email
	if a := h.browser().open("/shop/home"); a.Header.Get("Reason") != string(visitor.AccountLinked) {
		t.Errorf("somebody else with the same address: reason %q", a.Header.Get("Reason"))
	}
	h.shop.active = false
	h.provider.Person.Subject = "sub-1"
	if a := h.browser().open("/shop/home"); a.Header.Get("Reason") != string(visitor.AccountInactive) {
		t.Errorf("deactivated: reason %q", a.Header.Get("Reason"))
	}
}

func TestSessionEndsWithTheAccountAndByTime(t *testing.T) {
	h := newHouse(t, byKey)
	b := h.browser()
	b.logIn()
	h.shop.active = false
	if b.in() {
		t.Error("a deactivated account goes on")
	}
	h.shop.active = true
	if b.in() {
		t.Error("the session comes back with the account")
	}
	b.logIn()
	h.clock.forward(29 * time.Minute)
	if !b.in() {
		t.Error("over after 29 minutes")
	}
	h.clock.forward(31 * time.Minute)
	if b.in() {
		t.Error("idle for 31 minutes, and goes on")
	}
	b.logIn()
	for range 19 {
		h.clock.forward(25 * time.Minute)
		if !b.in() {
			t.Fatal("in use, and over")
		}
	}
	h.clock.forward(25 * time.Minute)
	if b.in() {
		t.Error("longer than eight hours")
	}
}

func TestKeysAreReadAnew(t *testing.T) {
	h := newHouse(t, byKey)
	h.browser().logIn()
	h.provider.EC, h.provider.OtherEC = h.provider.OtherEC, h.provider.EC // another key under the same kid: the old one counts for an hour
	if a := h.browser().open("/shop/home"); a.Header.Get("Reason") != string(relying.IDTokenSignature) {
		t.Errorf("reason %q", a.Header.Get("Reason"))
	}
	h.clock.forward(61 * time.Minute)
	h.browser().logIn()
	// A new kid is looked for at once, and strangers' kids at most once in ten seconds.
	h.provider.Edit.Keys = func(d map[string]any) {
		d["keys"] = []any{jose.JSONWebKey{Key: h.provider.EC.Public(), KeyID: "new", Algorithm: "ES256", Use: "sig"}}
	}
	h.provider.Edit.Sign = func(_ string, c map[string]any) string {
		return providertest.SignedBy(jose.ES256, h.provider.EC, "new", nil, c)
	}
	h.clock.forward(time.Minute)
	h.browser().logIn()
	before := h.provider.Count["/keys"]
	for i := range 50 {
		h.backchannel(providertest.SignedBy(jose.ES256, h.provider.OtherEC, "kid"+strings.Repeat("x", i), map[jose.HeaderKey]any{"typ": "logout+jwt"}, map[string]any{}))
	}
	if n := h.provider.Count["/keys"] - before; n > 1 {
		t.Errorf("50 unknown kids made the site ask %d times", n)
	}
	h.clock.forward(2 * time.Hour)
	h.provider.Edit.Keys = func(d map[string]any) { d["keys"] = "none" }
	if a := h.browser().open("/shop/home"); a.Header.Get("Reason") != string(visitor.ProviderUnreachable) {
		t.Errorf("keys that can't be confirmed: reason %q", a.Header.Get("Reason"))
	}
}
