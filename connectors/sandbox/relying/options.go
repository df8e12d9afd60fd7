package relying

import (
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"github.com/musubi-hub/musubi/connectors/sandbox/visitor"
)

// Options register a site with its provider. Of Key and Secret exactly one is given.
type Options struct {
	Issuer   string // the provider's issuer identifier, https
	ClientID string // as the provider registered the site
	// BaseURL is the site as a browser sees it, https without a path, such as "https://jira.localhost:8444". The site's host serves its
	// customers' pages and the product's own API, and nothing else of the sandbox.
	BaseURL string

	Key    crypto.Signer // P-256: the site proves itself by private_key_jwt with ES256; its public half: JWKS
	KeyID  string        // kid of Key; "": the RFC 7638 thumbprint, as in JWKS
	Secret string        // the site proves itself by client_secret_basic

	Algorithm string   // the one algorithm that the provider signs tokens to this site with: "ES256", which is the default, or "RS256"
	ACR       []string // authentication context classes, one of which a login must have; none: whatever the provider decides
	Scopes    []string // beside openid; nil: email and profile

	Transport http.RoundTripper // reaches the provider, and trusts its certificate; required
	Random    io.Reader         // required, such as crypto/rand.Reader
}

// Endpoints are the addresses of a site that its provider must know. All are compared octet by octet.
type Endpoints struct {
	Login        string // initiate_login_uri: begins a login
	Redirect     string // redirect_uris: the only one
	PostLogout   string // post_logout_redirect_uris: the only one
	Backchannel  string // backchannel_logout_uri
	Frontchannel string // frontchannel_logout_uri; with iss and sid, both required
}

// The paths below the product's prefix.
const (
	pathLogin        = "/login"
	pathCallback     = "/login/callback"
	pathLogout       = "/logout"
	pathDone         = "/logout/done"
	pathBackchannel  = "/logout/backchannel"
	pathFrontchannel = "/logout/frontchannel"
)

// EndpointsOf gives the addresses to register for a product ("jira" or "slack") at a base URL, before there is any sandbox.
func EndpointsOf(product, baseURL string) (Endpoints, error) {
	base, err := visitor.Base("BaseURL", baseURL)
	if err != nil {
		return Endpoints{}, fmt.Errorf("relying: %w", err)
	}
	at := func(path string) string { return base + "/" + product + path }
	return Endpoints{
		Login: at(pathLogin), Redirect: at(pathCallback), PostLogout: at(pathDone), Backchannel: at(pathBackchannel), Frontchannel: at(pathFrontchannel),
	}, nil
}

// JWKS gives the public half of a key as the JSON Web Key Set (RFC 7517) that the provider registers for private_key_jwt.
func JWKS(key crypto.Signer) ([]byte, error) {
	jwk, err := publicKey(key)
	if err != nil {
		return nil, fmt.Errorf("relying: %w", err)
	}
	return json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{jwk}})
}

// publicKey gives a key's public half, named by its thumbprint (RFC 7638).
func publicKey(key crypto.Signer) (jose.JSONWebKey, error) {
	public, ok := key.Public().(*ecdsa.PublicKey)
	if !ok || public.Curve != elliptic.P256() {
		return jose.JSONWebKey{}, errors.New("the key must be on the curve P-256: the site signs with ES256")
	}
	jwk := jose.JSONWebKey{Key: public, Algorithm: string(jose.ES256), Use: "sig"}
	thumb, err := jwk.Thumbprint(crypto.SHA256)
	jwk.KeyID = base64.RawURLEncoding.EncodeToString(thumb)
	return jwk, err
}

// check completes the options, or says what is wrong.
func (o *Options) check() error {
	var err error
	if o.BaseURL, err = visitor.Base("BaseURL", o.BaseURL); err != nil {
		return err
	}
	u, err := url.Parse(o.Issuer)
	switch {
	case err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return fmt.Errorf("Issuer %q must be an https address", o.Issuer)
	case o.ClientID == "":
		return errors.New("ClientID is missing: it is what the provider registered the site as")
	case (o.Key == nil) == (o.Secret == ""):
		return errors.New("give Key (private_key_jwt) or Secret (client_secret_basic), and only one of them")
	case o.Transport == nil || o.Random == nil:
		return errors.New("Transport and Random are required")
	}
	if o.Key != nil {
		jwk, err := publicKey(o.Key)
		if err != nil {
			return err
		}
		o.KeyID = cmp.Or(o.KeyID, jwk.KeyID)
	}
	o.Algorithm = cmp.Or(o.Algorithm, string(jose.ES256))
	if o.Algorithm != string(jose.ES256) && o.Algorithm != string(jose.RS256) {
		return fmt.Errorf("Algorithm %q: there are ES256 and RS256", o.Algorithm)
	}
	if o.Scopes == nil {
		o.Scopes = []string{"email", "profile"}
	}
	for _, word := range slices.Concat(o.Scopes, o.ACR) {
		if word == "" || strings.ContainsAny(word, " \"\\") {
			return fmt.Errorf("%q is no scope and no acr value: spaces and quotes separate them", word)
		}
	}
	return nil
}
