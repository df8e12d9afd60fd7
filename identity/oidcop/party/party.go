package party

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"github.com/go-jose/go-jose/v4"

	"github.com/musubi-hub/musubi/policies"
)

// AuthMethod is how a party proves who it is at the token end point (OpenID Connect Core 1.0, section 9).
type AuthMethod string

// The methods. AuthNone is for native applications, which can keep no secret: PKCE alone ties their code to them.
const (
	AuthPrivateKeyJWT AuthMethod = "private_key_jwt"
	AuthSecretBasic   AuthMethod = "client_secret_basic"
	AuthNone          AuthMethod = "none"
)

// Scopes lists the scope values that there are. What is released under one is what policies release, too.
func Scopes() []string { return []string{"openid", "profile", "email", "phone", "organization"} }

// Party is a relying party.
type Party struct {
	ID      policies.RelyingPartyID `json:"id"` // the client_id
	Name    string                  `json:"name"`
	Faces   []Face                  `json:"faces"`  // one per network where the party is reached
	Sector  string                  `json:"sector"` // parties of one sector see the same subject (Core, section 8.1)
	Auth    AuthMethod              `json:"auth"`
	JWKS    json.RawMessage         `json:"jwks,omitempty"`    // public keys for AuthPrivateKeyJWT, each with its kid
	Secrets []Secret                `json:"secrets,omitempty"` // for AuthSecretBasic; two while one replaces the other
	Alg     jose.SignatureAlgorithm `json:"alg"`               // of what is signed for it: ES256 or RS256
	Native  bool                    `json:"native,omitempty"`  // an application on a person's own machine: loopback redirects
	PAR     bool                    `json:"par,omitempty"`     // only pushed authorization requests are taken (RFC 9126)
	Refresh bool                    `json:"refresh,omitempty"` // refresh tokens are given
	IDClaim bool                    `json:"id_claim,omitempty"`
	Least   policies.Assurance      `json:"least"`  // what a login must reach
	Scopes  []string                `json:"scopes"` // what may be asked for beside openid

	// What policies read of it beside its networks, which are those of its faces.
	Functions []policies.Function `json:"functions,omitempty"` // that it carries: who may use one of them enters. Empty: nobody enters
	Products  []policies.Product  `json:"products,omitempty"`  // who enters holds a seat in one of them; empty where there are no seats
}

// Face is where a party is reached in one network. Without Redirects nobody logs in there: the party is a program, or a resource, alone.
type Face struct {
	Network      policies.Network `json:"network"`
	Redirects    []string         `json:"redirects,omitempty"`
	PostLogout   []string         `json:"post_logout,omitempty"`
	Backchannel  string           `json:"backchannel,omitempty"`
	Frontchannel string           `json:"frontchannel,omitempty"`
	// Resources are what the party may call in its own name, by the client credentials grant (RFC 6749, section 4.4); the first is the one
	// that is meant where a request names none (RFC 9068, section 3). Empty: the grant is refused.
	Resources []Resource `json:"resources,omitempty"`
	// Serves are the resources that the party is: it may introspect access tokens that are for them.
	Serves []string `json:"serves,omitempty"`
}

// Resource is something that takes access tokens: an API.
type Resource struct {
	URI    string   `json:"uri"`              // aud of its tokens; what the parameter resource must be, octet by octet (RFC 8707, section 2)
	Scopes []string `json:"scopes,omitempty"` // what the party may ask for there; all of it where a request names none
}

// Secret is a shared secret as it is kept. Times are UTC in microseconds.
type Secret struct {
	Hash  string `json:"hash"`  // hex SHA-256
	Until int64  `json:"until"` // 0: until it is replaced
}

// secretBytes of randomness make a plain SHA-256 as good as a slow hash: there is nothing to guess.
const secretBytes = 32

// NewSecret draws a secret. text is shown once, to whoever registers the party.
func NewSecret(random io.Reader) (text string, s Secret, err error) {
	var raw [secretBytes]byte
	if _, err := io.ReadFull(random, raw[:]); err != nil {
		return "", s, fmt.Errorf("no randomness for a secret: %w", err)
	}
	text = base64.RawURLEncoding.EncodeToString(raw[:])
	return text, Secret{Hash: hashOf(text)}, nil
}

func hashOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// SecretIs reports whether text is one of the party's secrets at a time (UTC, microseconds). It takes as long for each wrong text.
func (p Party) SecretIs(text string, at int64) bool {
	hash, ok := []byte(hashOf(text)), 0
	for _, s := range p.Secrets {
		if s.Until == 0 || at < s.Until {
			ok |= subtle.ConstantTimeCompare(hash, []byte(s.Hash))
		}
	}
	return ok == 1
}

// Face gives the party's face in a network.
func (p Party) Face(n policies.Network) (Face, bool) {
	i := slices.IndexFunc(p.Faces, func(f Face) bool { return f.Network == n })
	if i < 0 {
		return Face{}, false
	}
	return p.Faces[i], true
}

// LogsIn reports whether people log in to the party, in any network.
func (p Party) LogsIn() bool {
	return slices.ContainsFunc(p.Faces, func(f Face) bool { return len(f.Redirects) > 0 })
}

// Acts reports whether the party acts in its own name, in any network.
func (p Party) Acts() bool {
	return slices.ContainsFunc(p.Faces, func(f Face) bool { return len(f.Resources) > 0 })
}

// Resource gives what the party may call by its URI, or the first where the URI is empty.
func (f Face) Resource(uri string) (Resource, bool) {
	i := slices.IndexFunc(f.Resources, func(r Resource) bool { return uri == "" || r.URI == uri })
	if i < 0 {
		return Resource{}, false
	}
	return f.Resources[i], true
}

// Redirects reports whether uri is one of the face's, octet by octet (RFC 9700, section 2.1). A native application's loopback address may
// have any port (RFC 8252, section 7.3).
func (p Party) Redirects(f Face, uri string) bool {
	for _, registered := range f.Redirects {
		if uri == registered || p.Native && loopback(uri, registered) {
			return true
		}
	}
	return false
}

// Key gives the party's key with this kid that fits the algorithm. An empty kid is good where only one key fits.
func (p Party) Key(kid string, alg jose.SignatureAlgorithm) (any, bool) {
	set, err := parseKeys(p.JWKS)
	if err != nil {
		return nil, false
	}
	var found []any
	for _, k := range set {
		if fits(k.Key, alg) && (kid == "" || k.KeyID == kid) {
			found = append(found, k.Key)
		}
	}
	if len(found) != 1 {
		return nil, false
	}
	return found[0], true
}

// fits reports whether a public key may verify signatures of alg: ES256 wants P-256, RS256 at least 2,048 bits. Nothing else does.
func fits(key any, alg jose.SignatureAlgorithm) bool {
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		return alg == jose.ES256 && k.Curve == elliptic.P256()
	case *rsa.PublicKey:
		return alg == jose.RS256 && k.N.BitLen() >= minRSA && k.N.BitLen() <= maxRSA
	default:
		return false
	}
}

func parseKeys(raw json.RawMessage) ([]jose.JSONWebKey, error) {
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(raw, &set); err != nil {
		return nil, err
	}
	return set.Keys, nil
}
