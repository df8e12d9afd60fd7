package party

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4"

	"github.com/musubi-hub/musubi/policies"
)

// The bounds of a party.
const (
	maxURIs   = 20 // of a kind in a face
	maxURI    = 512
	maxKeys   = 10
	maxJWKS   = 32 << 10
	maxName   = 200
	minRSA    = 2048
	maxRSA    = 4096
	maxSecret = 2
	maxScopes = 2000 // bytes of a resource's scopes, which stand in each token
)

var (
	idForm     = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)
	sectorForm = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{0,99}$`)
	hashForm   = regexp.MustCompile(`^[0-9a-f]{64}$`)
	// subjectForm is what identity/ppid draws.
	subjectForm = regexp.MustCompile(`^[a-z2-7]{32}$`)
	// scopeForm is a scope-token (RFC 6749, section 3.3) without what would make the audit log take it for a mail address.
	scopeForm = regexp.MustCompile(`^[!#-?A-\[\]-~]{1,100}$`)
)

// Check says everything that is wrong with a party, each with the field; nil for nothing.
func (p Party) Check() error {
	var faults []error
	add := func(bad bool, format string, args ...any) {
		if bad {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	add(!idForm.MatchString(string(p.ID)), "id: want 1 to 64 of a-z, 0-9, \".\", \"_\", \"-\", beginning with a letter or digit")
	add(p.Name == "" || len(p.Name) > maxName || !utf8.ValidString(p.Name) || strings.ContainsFunc(p.Name, unicode.IsControl),
		"name: want 1 to %d bytes without control characters", maxName)
	// A face without anything is held for one where people log in.
	people := p.LogsIn() || !slices.ContainsFunc(p.Faces, func(f Face) bool { return len(f.Resources)+len(f.Serves) > 0 })
	add((people || p.Sector != "") && !sectorForm.MatchString(p.Sector), "sector: want a host name or a name of a-z, 0-9, \".\", \"-\"; parties of one sector see the same subject")
	add(p.Alg != jose.ES256 && p.Alg != jose.RS256, "alg: %q isn't ES256 or RS256", p.Alg)
	add((people || p.Least != 0) && !slices.Contains(policies.Assurances(), p.Least), "least: %d is no level of assurance", p.Least)
	for _, s := range p.Scopes {
		add(!slices.Contains(Scopes(), s), "scopes: there is no scope %q; there are %s", s, strings.Join(Scopes(), ", "))
	}
	add(p.ID == HubID, "id: %q is the hub's own pages and can't be registered", HubID)
	faults = append(faults, oneEach("functions", p.Functions, policies.Functions())...)
	faults = append(faults, oneEach("products", p.Products, policies.Products())...)
	faults = append(faults, p.checkAuth()...)
	// Its id becomes the sub of its tokens, where a resource must not take it for a person (RFC 9068, section 5).
	add(p.Acts() && subjectForm.MatchString(string(p.ID)), "id: a party with resources can't be called %s: a person's subject looks like that", p.ID)
	add(len(p.Faces) == 0, "faces: a party is reached in at least one network")
	seen := map[policies.Network]bool{}
	for _, f := range p.Faces {
		add(!slices.Contains(policies.Networks(), f.Network), "faces: there is no network %q", f.Network)
		add(seen[f.Network], "faces: the network %s stands there twice", f.Network)
		seen[f.Network] = true
		faults = append(faults, p.checkFace(f)...)
	}
	return errors.Join(faults...)
}

// oneEach holds a list to words that there are, each once.
func oneEach[T ~string](field string, list, all []T) (faults []error) {
	for i, v := range list {
		switch {
		case !slices.Contains(all, v):
			faults = append(faults, fmt.Errorf("%s: there is no %q; there are %q", field, v, all))
		case slices.Contains(list[:i], v):
			faults = append(faults, fmt.Errorf("%s: %q stands there twice", field, v))
		}
	}
	return faults
}

func (p Party) checkAuth() (faults []error) {
	add := func(bad bool, format string, args ...any) {
		if bad {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	add(p.Auth != AuthPrivateKeyJWT && len(p.JWKS) > 0, "jwks: only %s has keys", AuthPrivateKeyJWT)
	add(p.Auth != AuthSecretBasic && len(p.Secrets) > 0, "secrets: only %s has secrets", AuthSecretBasic)
	switch p.Auth {
	case AuthPrivateKeyJWT:
		faults = append(faults, p.checkKeys()...)
	case AuthSecretBasic:
		add(len(p.Secrets) == 0 || len(p.Secrets) > maxSecret, "secrets: want 1, or %d while one replaces the other", maxSecret)
		for _, s := range p.Secrets {
			add(!hashForm.MatchString(s.Hash) || s.Until < 0, "secrets: one isn't what this hub stores")
		}
		add(p.Native, "auth: a native application can't keep a secret; register it with none or private_key_jwt")
	case AuthNone:
		add(!p.Native, "auth: only a native application may go without; a server has private_key_jwt or client_secret_basic")
	default:
		add(true, "auth: there is no method %q", p.Auth)
	}
	add(p.Acts() && (p.Native || p.Auth == AuthNone), "resources: an application on a person's own machine can't keep a secret, so it can't act in its own name (RFC 6749, section 4.4)")
	return faults
}

func (p Party) checkKeys() (faults []error) {
	if len(p.JWKS) > maxJWKS {
		return []error{fmt.Errorf("jwks: %d bytes; at most %d", len(p.JWKS), maxJWKS)}
	}
	set, err := parseKeys(p.JWKS)
	if err != nil {
		return []error{fmt.Errorf("jwks: not a JSON Web Key Set: %w", err)}
	}
	if len(set) == 0 || len(set) > maxKeys {
		faults = append(faults, fmt.Errorf("jwks: %d keys; want 1 to %d", len(set), maxKeys))
	}
	kids := map[string]bool{}
	for i, k := range set {
		switch {
		case !fits(k.Key, jose.ES256) && !fits(k.Key, jose.RS256):
			faults = append(faults, fmt.Errorf("jwks: key %d isn't a public P-256 key or a public RSA key of %d to %d bits", i+1, minRSA, maxRSA))
		case k.KeyID == "" || len(k.KeyID) > 128 || kids[k.KeyID]:
			faults = append(faults, fmt.Errorf("jwks: key %d has no kid of its own of at most 128 bytes", i+1))
		case k.Use != "" && k.Use != "sig":
			faults = append(faults, fmt.Errorf("jwks: key %d is for %q, not for signing", i+1, k.Use))
		case k.Algorithm != "" && !fits(k.Key, jose.SignatureAlgorithm(k.Algorithm)):
			faults = append(faults, fmt.Errorf("jwks: key %d says alg %q, which it isn't for", i+1, k.Algorithm))
		}
		kids[k.KeyID] = true
	}
	return faults
}

func (p Party) checkFace(f Face) (faults []error) {
	add := func(what string, err error) {
		if err != nil {
			faults = append(faults, fmt.Errorf("%s, %s: %w", f.Network, what, err))
		}
	}
	switch {
	case len(f.Redirects) > 0:
	case len(f.Resources)+len(f.Serves) == 0:
		faults = append(faults, fmt.Errorf("%s, redirects: want at least one redirect URI; or resources, for a program that acts in its own name", f.Network))
	case len(f.PostLogout) > 0 || f.Backchannel != "" || f.Frontchannel != "":
		faults = append(faults, fmt.Errorf("%s: addresses of logouts without a redirect URI: nobody logs in there", f.Network))
	}
	faults = append(faults, f.checkResources()...)
	if len(f.Redirects) > maxURIs || len(f.PostLogout) > maxURIs {
		faults = append(faults, fmt.Errorf("%s: at most %d URIs of a kind", f.Network, maxURIs))
	}
	for _, u := range f.Redirects {
		add("redirects", p.checkURI(u, p.Native))
	}
	for _, u := range f.PostLogout {
		add("post_logout", p.checkURI(u, p.Native))
	}
	if f.Backchannel != "" {
		add("backchannel", p.checkURI(f.Backchannel, false))
	}
	if f.Frontchannel != "" {
		add("frontchannel", p.checkURI(f.Frontchannel, false))
		add("frontchannel", sameOrigin(f.Frontchannel, f.Redirects))
	}
	return faults
}

// checkURI judges an address of a party. https, or for a native application http on a loopback address; in a form that no two programs read
// differently.
func (p Party) checkURI(text string, native bool) error {
	if len(text) > maxURI {
		return fmt.Errorf("an address of %d bytes; at most %d", len(text), maxURI)
	}
	for _, r := range text {
		if r <= ' ' || r >= 0x7f || strings.ContainsRune(`\"<>^{}|*`+"`", r) {
			return fmt.Errorf("%q: the character %q isn't allowed; percent-encode it; there are no wildcards", text, r)
		}
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return fmt.Errorf("%q: not an address", text)
	case u.Opaque != "" || u.Host == "" || u.User != nil:
		return fmt.Errorf("%q: want https://HOST/PATH, without a user", text)
	case strings.Contains(text, "#"):
		return fmt.Errorf("%q: a fragment isn't allowed (RFC 6749, section 3.1.2)", text)
	case u.Hostname() != strings.ToLower(u.Hostname()) || strings.HasSuffix(u.Hostname(), "."):
		return fmt.Errorf("%q: write the host in small letters, without a dot at its end", text)
	case slices.ContainsFunc(strings.Split(u.Path, "/"), func(s string) bool { return s == "." || s == ".." }):
		return fmt.Errorf("%q: . and .. as parts of the path aren't allowed", text)
	}
	if u.Scheme == "https" {
		return nil
	}
	if ip, err := netip.ParseAddr(u.Hostname()); native && u.Scheme == "http" && err == nil && ip.IsLoopback() {
		return nil
	}
	if native {
		return fmt.Errorf("%q: want https, or http on 127.0.0.1 or [::1]", text)
	}
	return fmt.Errorf("%q: want https", text)
}

// sameOrigin holds OpenID Connect Front-Channel Logout 1.0, section 2: the origin is that of a redirect URI.
func sameOrigin(front string, redirects []string) error {
	f, err := url.Parse(front)
	if err != nil {
		return nil // told already
	}
	for _, r := range redirects {
		if u, err := url.Parse(r); err == nil && u.Scheme == f.Scheme && u.Host == f.Host {
			return nil
		}
	}
	return fmt.Errorf("%q: its scheme, host and port must be those of a redirect URI", front)
}

// loopback reports whether uri is the registered loopback address but for its port.
func loopback(uri, registered string) bool {
	if len(uri) > maxURI {
		return false
	}
	r, err := url.Parse(registered)
	if err != nil || r.Scheme != "http" {
		return false
	}
	if ip, err := netip.ParseAddr(r.Hostname()); err != nil || !ip.IsLoopback() {
		return false
	}
	u, err := url.Parse(uri)
	if err != nil || u.Port() == "" || u.Hostname() != r.Hostname() || strings.HasPrefix(u.Port(), "0") {
		return false
	}
	// What is compared is the text, with the registered host and this port: nothing else may differ.
	r.Host = net.JoinHostPort(r.Hostname(), u.Port())
	return uri == r.String()
}
