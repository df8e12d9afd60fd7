package oidcop

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/cryptosigner"

	"github.com/musubi-hub/musubi/identity/keys"
)

const (
	maxJWT = 8 << 10
	// skew is how far another machine's clock may be off, in seconds.
	skew = 30
	// maxAssertion is how long a client assertion may be good for, in seconds; so long its jti is kept.
	maxAssertion = 600
)

// algorithms are what is signed with and what is taken: never none, never HMAC, whatever a token says of itself.
var algorithms = []jose.SignatureAlgorithm{jose.ES256, jose.RS256}

// claims are what is read from a token. Times are seconds since 1970 UTC; nil where absent.
type claims struct {
	Issuer   string
	Subject  string
	Audience []string
	ID       string
	Session  string
	Expires  *int64
	Before   *int64 // nbf
	Issued   *int64
}

// parseClaims reads a token's claims strictly.
func parseClaims(payload []byte) (claims, error) {
	var raw struct {
		Issuer   string          `json:"iss"`
		Subject  string          `json:"sub"`
		Audience json.RawMessage `json:"aud"`
		ID       string          `json:"jti"`
		Session  string          `json:"sid"`
		Expires  *float64        `json:"exp"`
		Before   *float64        `json:"nbf"`
		Issued   *float64        `json:"iat"`
	}
	if err := json.Unmarshal(payload, &raw); err != nil {
		return claims{}, errors.New("the claims aren't the JSON that they should be")
	}
	out := claims{Issuer: raw.Issuer, Subject: raw.Subject, ID: raw.ID, Session: raw.Session}
	if len(raw.Audience) > 0 {
		var one string
		if err := json.Unmarshal(raw.Audience, &one); err == nil {
			out.Audience = []string{one}
		} else if err := json.Unmarshal(raw.Audience, &out.Audience); err != nil {
			return claims{}, errors.New("aud is neither a text nor a list of texts")
		}
	}
	for _, n := range []struct {
		from *float64
		to   **int64
	}{{raw.Expires, &out.Expires}, {raw.Before, &out.Before}, {raw.Issued, &out.Issued}} {
		if n.from == nil {
			continue
		}
		if math.IsNaN(*n.from) || *n.from < 0 || *n.from > 1<<40 {
			return claims{}, errors.New("a time isn't one")
		}
		v := int64(*n.from)
		*n.to = &v
	}
	return out, nil
}

// parseJWT reads a compact token without trusting it.
func parseJWT(text string) (*jose.JSONWebSignature, error) {
	if len(text) > maxJWT || strings.Count(text, ".") != 2 {
		return nil, errors.New("not a signed token")
	}
	return jose.ParseSignedCompact(text, algorithms)
}

// checkAssertion judges a client assertion's claims (RFC 7523, section 3) at a time in seconds; ours are the names that aud may have. It
// gives a machine-readable reason, empty for good.
func checkAssertion(cl claims, client string, ours []string, now int64) (reason string) {
	switch {
	case cl.Issuer != client || cl.Subject != client:
		return "assertion_subject"
	case len(cl.Audience) == 0:
		return "assertion_audience"
	case cl.Expires == nil:
		return "assertion_no_expiry"
	case now >= *cl.Expires+skew:
		return "assertion_expired"
	case *cl.Expires > now+maxAssertion+skew:
		return "assertion_long"
	case cl.Before != nil && *cl.Before > now+skew, cl.Issued != nil && *cl.Issued > now+skew:
		return "assertion_early"
	case cl.ID == "" || len(cl.ID) > 256:
		return "assertion_no_jti"
	}
	// Each name must be ours: an assertion that is meant for somebody else too could be theirs to replay.
	for _, a := range cl.Audience {
		known := false
		for _, o := range ours {
			known = known || a == o
		}
		if !known {
			return "assertion_audience"
		}
	}
	return ""
}

// sign makes a token of a type by the active key of alg.
func (p *Provider) sign(ctx context.Context, alg jose.SignatureAlgorithm, typ string, body any) (string, error) {
	signer, err := p.opt.Keys.Signer(ctx, p.opt.DB.Reader(), purposeOf(alg))
	if err != nil {
		return "", err
	}
	return signWith(signer, alg, typ, body)
}

func signWith(signer *keys.Signer, alg jose.SignatureAlgorithm, typ string, body any) (string, error) {
	payload, err := json.Marshal(body)
	if err != nil {
		return "", fmt.Errorf("oidcop: sign: %w", err)
	}
	opts := (&jose.SignerOptions{}).WithType(jose.ContentType(typ)).WithHeader("kid", signer.Key().ID)
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: cryptosigner.Opaque(signer)}, opts)
	if err != nil {
		return "", fmt.Errorf("oidcop: sign: %w", err)
	}
	signed, err := s.Sign(payload)
	if err != nil {
		return "", fmt.Errorf("oidcop: sign: %w", err)
	}
	return signed.CompactSerialize()
}

// errForeign says that a token isn't one that this hub signed.
var errForeign = errors.New("not a token of this hub")

// ours gives the payload of a token that a key of this hub has signed, and that key, which may have retired. typ must be the token's type: an
// ID token, a logout token and an access token are never taken for each other (RFC 8725, section 3.11). The issuer is for the caller to
// compare: all networks have the same keys.
func (c *call) ours(text, typ string) ([]byte, keys.Key, error) {
	jws, err := parseJWT(text)
	if err != nil {
		return nil, keys.Key{}, errForeign
	}
	header := jws.Signatures[0].Protected
	if is, _ := header.ExtraHeaders[jose.HeaderType].(string); is != typ {
		return nil, keys.Key{}, errForeign
	}
	all, err := c.p.opt.Keys.List(c.r.Context(), c.p.opt.DB.Reader(), purposeOf(jose.SignatureAlgorithm(header.Algorithm)))
	if err != nil {
		return nil, keys.Key{}, err
	}
	for _, k := range all {
		if k.ID != header.KeyID || k.State == keys.Next {
			continue
		}
		payload, err := jws.Verify(k.Public)
		if err != nil {
			return nil, keys.Key{}, errForeign
		}
		return payload, k, nil
	}
	return nil, keys.Key{}, errForeign
}

// errHint says that an ID token isn't one of this issuer's.
var errHint = errors.New("id_token_hint isn't an ID token of this issuer")

// hint verifies an ID token that this issuer gave once. It may have expired, and its key may have retired (Core, section 3.1.2.2; RP-Initiated
// Logout 1.0, section 2).
func (c *call) hint(text string) (claims, error) {
	payload, _, err := c.ours(text, "JWT")
	if errors.Is(err, errForeign) {
		return claims{}, errHint
	}
	if err != nil {
		return claims{}, err
	}
	cl, err := parseClaims(payload)
	if err != nil || cl.Issuer != c.issuer || len(cl.Audience) != 1 || cl.Subject == "" {
		return claims{}, errHint
	}
	return cl, nil
}
