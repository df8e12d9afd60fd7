package providertest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// LogoutEvent is the event of a logout token (OpenID Connect Back-Channel Logout 1.0, section 2.4).
const LogoutEvent = "http://schemas.openid.net/event/backchannel-logout"

// Client is a registered relying party. Of Secret and Keys one is set.
type Client struct {
	ID, Secret           string
	Keys                 []byte // a JSON Web Key Set, for private_key_jwt
	Redirect, PostLogout string
	Algorithm            jose.SignatureAlgorithm // of tokens to it
}

// Person is who is logged in to the provider in every browser.
type Person struct{ Subject, Session, Email, ACR string }

// Edits change what the provider answers. Each may be nil.
type Edits struct {
	Discovery, Keys, Token, Userinfo func(doc map[string]any)
	Response                         func(q url.Values)
	IDToken                          func(header map[jose.HeaderKey]any, claims map[string]any)
	Sign                             func(honest string, claims map[string]any) string // replaces the ID token
	TokenStatus                      int                                               // of the token end point; 0: as it is
	Down                             bool                                              // nothing is answered
}

// Provider is the stand-in. Fields may be changed between requests.
type Provider struct {
	Issuer  string
	Now     func() time.Time
	Clients []Client
	Person  *Person // nil: nobody is logged in, and each login is refused
	Edit    Edits

	EC, OtherEC *ecdsa.PrivateKey // OtherEC isn't published
	RSA         *rsa.PrivateKey

	mu    sync.Mutex
	codes map[string]grant
	seen  map[string]bool // jti of assertions
	Asked []url.Values    // authorization requests
	Count map[string]int  // requests by path
	Left  []url.Values    // logout requests that were in order
	// Wrong is what parties did that a party must not, in words.
	Wrong []string
}

type grant struct {
	client, challenge, redirect, nonce string
	person                             Person
}

// New makes a provider with keys of its own.
func New(issuer string, now func() time.Time) (*Provider, error) {
	p := &Provider{Issuer: issuer, Now: now, codes: map[string]grant{}, seen: map[string]bool{}, Count: map[string]int{}}
	var err error
	for _, key := range []**ecdsa.PrivateKey{&p.EC, &p.OtherEC} {
		if *key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			return nil, err
		}
	}
	p.RSA, err = rsaKey()
	return p, err
}

// rsaKey is one key for all providers of a process: making it takes longer than a test.
var rsaKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

// RoundTrip answers in process.
func (p *Provider) RoundTrip(r *http.Request) (*http.Response, error) {
	if p.Edit.Down {
		return nil, fmt.Errorf("%s doesn't answer", r.URL.Host)
	}
	w := httptest.NewRecorder()
	if r.Body == nil {
		r.Body = http.NoBody
	}
	p.ServeHTTP(w, r)
	return w.Result(), nil
}

// ServeHTTP answers as a provider.
func (p *Provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.Count[r.URL.Path]++
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		p.answer(w, p.Edit.Discovery, map[string]any{
			"issuer": p.Issuer, "authorization_endpoint": p.Issuer + "/authorize", "token_endpoint": p.Issuer + "/token",
			"userinfo_endpoint": p.Issuer + "/userinfo", "jwks_uri": p.Issuer + "/keys", "end_session_endpoint": p.Issuer + "/logout",
			"id_token_signing_alg_values_supported": []string{"ES256", "RS256"}, "code_challenge_methods_supported": []string{"S256"},
			"authorization_response_iss_parameter_supported": true, "subject_types_supported": []string{"pairwise"}, "response_types_supported": []string{"code"},
		})
	case "/keys":
		p.answer(w, p.Edit.Keys, map[string]any{"keys": []any{
			jose.JSONWebKey{Key: p.EC.Public(), KeyID: "ec", Algorithm: "ES256", Use: "sig"}, jose.JSONWebKey{Key: p.RSA.Public(), KeyID: "rsa", Algorithm: "RS256", Use: "sig"},
		}})
	case "/authorize":
		p.authorize(w, r)
	case "/token":
		p.token(w, r)
	case "/userinfo":
		p.userinfo(w, r)
	case "/logout":
		p.logout(w, r)
	default:
		http.NotFound(w, r)
	}
}

func (p *Provider) answer(w http.ResponseWriter, edit func(map[string]any), doc map[string]any) {
	if edit != nil {
		edit(doc)
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(doc) // a recorder takes everything
}

// complain refuses what no honest party sends.
func (p *Provider) complain(w http.ResponseWriter, status int, code, text string) {
	p.Wrong = append(p.Wrong, text)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": code, "error_description": text + "; incident 261130-TEST-0001"})
}

func (p *Provider) client(id string) (Client, bool) {
	i := slices.IndexFunc(p.Clients, func(c Client) bool { return c.ID == id })
	if i < 0 {
		return Client{}, false
	}
	return p.Clients[i], true
}

func (p *Provider) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	p.Asked = append(p.Asked, q)
	c, ok := p.client(q.Get("client_id"))
	challenge, err := base64.RawURLEncoding.DecodeString(q.Get("code_challenge"))
	switch {
	case !ok || q.Get("redirect_uri") != c.Redirect:
		p.complain(w, http.StatusBadRequest, "invalid_request", "client_id or redirect_uri isn't registered")
		return
	case q.Get("response_type") != "code" || !slices.Contains(strings.Fields(q.Get("scope")), "openid"):
		p.complain(w, http.StatusBadRequest, "invalid_request", "not the code flow of OpenID")
		return
	case q.Get("code_challenge_method") != "S256" || err != nil || len(challenge) != sha256.Size:
		p.complain(w, http.StatusBadRequest, "invalid_request", "no PKCE with S256")
		return
	case len(q.Get("state")) < 22 || len(q.Get("nonce")) < 22:
		p.complain(w, http.StatusBadRequest, "invalid_request", "state or nonce can be guessed")
		return
	}
	out := url.Values{"state": {q.Get("state")}, "iss": {p.Issuer}}
	if p.Person == nil {
		out.Set("error", "access_denied")
		out.Set("error_description", "incident 261201-7K2M-9QXD-4RTB")
	} else {
		code := rand.Text()
		p.codes[code] = grant{c.ID, q.Get("code_challenge"), c.Redirect, q.Get("nonce"), *p.Person}
		out.Set("code", code)
	}
	if p.Edit.Response != nil {
		p.Edit.Response(out)
	}
	http.Redirect(w, r, c.Redirect+"?"+out.Encode(), http.StatusFound)
}

// proven finds the party that a request to the token end point proves to be of.
func (p *Provider) proven(r *http.Request) (Client, bool) {
	if id, secret, ok := r.BasicAuth(); ok {
		id, _ = url.QueryUnescape(id)
		secret, _ = url.QueryUnescape(secret)
		c, known := p.client(id)
		return c, known && c.Secret != "" && secret == c.Secret && r.PostForm.Get("client_secret") == "" && r.PostForm.Get("client_assertion") == ""
	}
	c, known := p.client(r.PostForm.Get("client_id"))
	if !known || c.Keys == nil || r.PostForm.Get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" {
		return c, false
	}
	var set jose.JSONWebKeySet
	token, err := jwt.ParseSigned(r.PostForm.Get("client_assertion"), []jose.SignatureAlgorithm{jose.ES256})
	if err != nil || json.Unmarshal(c.Keys, &set) != nil {
		return c, false
	}
	var claims jwt.Claims
	keys := set.Key(token.Headers[0].KeyID)
	if len(keys) != 1 || token.Claims(keys[0].Key, &claims) != nil || claims.Expiry == nil || claims.ID == "" || p.seen[claims.ID] {
		return c, false
	}
	p.seen[claims.ID] = true
	err = claims.ValidateWithLeeway(jwt.Expected{Issuer: c.ID, Subject: c.ID, AnyAudience: jwt.Audience{p.Issuer}, Time: p.Now()}, 0)
	return c, err == nil && len(claims.Audience) == 1
}

func (p *Provider) token(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil || r.Method != http.MethodPost {
		p.complain(w, http.StatusBadRequest, "invalid_request", "not a form")
		return
	}
	c, ok := p.proven(r)
	if !ok {
		p.complain(w, http.StatusUnauthorized, "invalid_client", "the party hasn't proven who it is")
		return
	}
	g, ok := p.codes[r.PostForm.Get("code")]
	delete(p.codes, r.PostForm.Get("code"))
	sum := sha256.Sum256([]byte(r.PostForm.Get("code_verifier")))
	if !ok || g.client != c.ID || g.redirect != r.PostForm.Get("redirect_uri") || g.challenge != base64.RawURLEncoding.EncodeToString(sum[:]) {
		p.complain(w, http.StatusBadRequest, "invalid_grant", "code, redirect_uri or code_verifier is wrong")
		return
	}
	if p.Edit.TokenStatus != 0 {
		http.Error(w, "broken", p.Edit.TokenStatus)
		return
	}
	access := rand.Text()
	p.codes["token "+access] = g
	half := sha256.Sum256([]byte(access))
	claims := map[string]any{
		"iss": p.Issuer, "sub": g.person.Subject, "aud": c.ID, "azp": c.ID, "iat": p.Now().Unix(), "exp": p.Now().Add(5 * time.Minute).Unix(), "nonce": g.nonce,
		"acr": g.person.ACR, "auth_time": p.Now().Unix(), "sid": g.person.Session, "at_hash": base64.RawURLEncoding.EncodeToString(half[:16]),
	}
	header := map[jose.HeaderKey]any{"typ": "JWT"}
	if p.Edit.IDToken != nil {
		p.Edit.IDToken(header, claims)
	}
	signed := p.Signed(c.Algorithm, header, claims)
	if p.Edit.Sign != nil {
		signed = p.Edit.Sign(signed, claims)
	}
	p.answer(w, p.Edit.Token, map[string]any{"access_token": access, "token_type": "Bearer", "expires_in": 300, "id_token": signed})
}

func (p *Provider) userinfo(w http.ResponseWriter, r *http.Request) {
	access, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	g, ok := p.codes["token "+access]
	if !ok {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	doc := map[string]any{"sub": g.person.Subject}
	if g.person.Email != "" {
		doc["email"] = g.person.Email
	}
	p.answer(w, p.Edit.Userinfo, doc)
}

func (p *Provider) logout(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	c, ok := p.client(q.Get("client_id"))
	token, err := jwt.ParseSigned(q.Get("id_token_hint"), []jose.SignatureAlgorithm{jose.ES256, jose.RS256})
	var claims jwt.Claims
	if !ok || err != nil || token.Claims(p.public(c.Algorithm), &claims) != nil || !claims.Audience.Contains(c.ID) || q.Get("post_logout_redirect_uri") != c.PostLogout {
		p.complain(w, http.StatusBadRequest, "invalid_request", "a logout without a hint of ours or with an address that isn't registered")
		return
	}
	p.Left = append(p.Left, q)
	p.Person = nil
	http.Redirect(w, r, c.PostLogout+"?state="+url.QueryEscape(q.Get("state")), http.StatusSeeOther)
}

func (p *Provider) public(alg jose.SignatureAlgorithm) any {
	if alg == jose.RS256 {
		return p.RSA.Public()
	}
	return p.EC.Public()
}

// Signed makes a token by the published key of an algorithm. A header "kid" stands for the published one's.
func (p *Provider) Signed(alg jose.SignatureAlgorithm, header map[jose.HeaderKey]any, claims any) string {
	if alg == jose.RS256 {
		return SignedBy(jose.RS256, p.RSA, "rsa", header, claims)
	}
	return SignedBy(jose.ES256, p.EC, "ec", header, claims)
}

// SignedBy makes a token by any key.
func SignedBy(alg jose.SignatureAlgorithm, key any, kid string, header map[jose.HeaderKey]any, claims any) string {
	options := (&jose.SignerOptions{}).WithHeader("kid", kid)
	for name, value := range header {
		options = options.WithHeader(name, value)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, options)
	must(err)
	payload, err := json.Marshal(claims)
	must(err)
	signed, err := signer.Sign(payload)
	must(err)
	text, err := signed.CompactSerialize()
	must(err)
	return text
}

// must holds what only a mistake of the test itself can break.
func must(err error) {
	if err != nil {
		panic("providertest: " + err.Error())
	}
}

// Unsigned makes a token with alg none.
func Unsigned(claims any) string {
	raw, err := json.Marshal(claims)
	must(err)
	return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + base64.RawURLEncoding.EncodeToString(raw) + "."
}

// LogoutClaims are those of an honest logout token for a person's session at a party.
func (p *Provider) LogoutClaims(client string, who Person) map[string]any {
	return map[string]any{
		"iss": p.Issuer, "aud": client, "sub": who.Subject, "sid": who.Session, "iat": p.Now().Unix(), "exp": p.Now().Add(2 * time.Minute).Unix(), "jti": rand.Text(),
		"events": map[string]any{LogoutEvent: map[string]any{}},
	}
}
