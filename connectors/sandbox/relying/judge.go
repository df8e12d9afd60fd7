package relying

import (
	"crypto/subtle"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/connectors/sandbox/visitor"
)

const (
	skew         = 30 * time.Second // how far the provider's clock may be ahead
	maxTokenAge  = 10 * time.Minute // since a token was issued; a logout's jti is kept for so long
	maxSubject   = 255              // OpenID Connect Core 1.0, section 2
	maxShort     = 1024
	logoutEvent  = "http://schemas.openid.net/event/backchannel-logout"
	typeIDToken  = "jwt"
	typeLogout   = "logout+jwt"
	typePrefixed = "application/"
)

// claimSet is a token's payload by the exact names of its claims: encoding/json alone would take "NONCE" for "nonce".
type claimSet map[string]json.RawMessage

var errClaims = errors.New("the payload isn't a JSON object")

func readClaims(payload []byte) (claimSet, error) {
	var c claimSet
	if err := json.Unmarshal(payload, &c); err != nil || c == nil {
		return nil, errClaims
	}
	return c, nil
}

// text gives a claim, "" where it is absent; ok is false where it isn't a text.
func (c claimSet) text(name string) (s string, ok bool) {
	raw, there := c[name]
	if !there {
		return "", true
	}
	return s, json.Unmarshal(raw, &s) == nil
}

const maxFacts = 40

// facts gives claims as people read them: a text as it is, anything else as JSON.
func (c claimSet) facts(names ...string) (list []visitor.Fact) {
	for _, name := range names {
		raw, there := c[name]
		if !there || len(raw) > maxShort || len(name) > maxSubject || len(list) == maxFacts {
			continue
		}
		value, ok := c.text(name)
		if !ok {
			value = string(raw)
		}
		list = append(list, visitor.Fact{Name: name, Values: []string{value}})
	}
	return list
}

// is says whether a claim is exactly this text.
func (c claimSet) is(name, want string) bool {
	s, ok := c.text(name)
	return ok && want != "" && s == want
}

// instant gives a NumericDate (RFC 7519, section 2); there is false where it is absent.
func (c claimSet) instant(name string) (at time.Time, there, ok bool) {
	raw, there := c[name]
	if !there {
		return time.Time{}, false, true
	}
	var n float64
	if json.Unmarshal(raw, &n) != nil || math.IsNaN(n) || n < 0 || n > 1<<40 {
		return time.Time{}, true, false
	}
	return time.UnixMicro(int64(n * 1e6)), true, true
}

// audience says whether a token is for this party and nobody else: who shares an audience could have been given the token.
func (c claimSet) audience(client string) bool {
	if c.is("aud", client) {
		return true
	}
	var many []string
	return json.Unmarshal(c["aud"], &many) == nil && len(many) == 1 && many[0] == client
}

// verdicts are the reasons for what any token can have wrong.
type verdicts struct{ malformed, issuer, audience, expired, time Reason }

// common judges what ID token and logout token share; "" for good.
func (c claimSet) common(issuer, client string, now time.Time, v verdicts) Reason {
	ends, hasEnd, ok1 := c.instant("exp")
	issued, hasIssued, ok2 := c.instant("iat")
	before, _, ok3 := c.instant("nbf")
	switch {
	case !ok1 || !ok2 || !ok3 || !hasEnd || !hasIssued:
		return v.malformed
	case !c.is("iss", issuer):
		return v.issuer
	case !c.audience(client):
		return v.audience
	case !now.Before(ends):
		return v.expired
	case issued.After(now.Add(skew)) || before.After(now.Add(skew)) || issued.Before(now.Add(-maxTokenAge)):
		return v.time
	}
	return ""
}

// expected is what an ID token must say.
type expected struct {
	issuer, client, nonce string
	acr                   []string // none: any
}

// judgeID judges the claims and the type of an ID token whose signature is good (OpenID Connect Core 1.0, section 3.1.3.7); "" for good.
// What the token's at_hash says is checked where the access token is.
func judgeID(c claimSet, typ string, want expected, now time.Time) Reason {
	if typ = strings.TrimPrefix(strings.ToLower(typ), typePrefixed); typ != "" && typ != typeIDToken {
		return IDTokenType // a logout token, or an access token, of the same provider
	}
	if no := c.common(want.issuer, want.client, now, verdicts{IDTokenMalformed, IDTokenIssuer, IDTokenAudience, IDTokenExpired, IDTokenTime}); no != "" {
		return no
	}
	nonce, _ := c.text("nonce")
	subject, ok := c.text("sub")
	_, hasParty := c["azp"]
	acr, _ := c.text("acr")
	switch {
	case hasParty && !c.is("azp", want.client):
		return IDTokenParty
	case want.nonce == "" || subtle.ConstantTimeCompare([]byte(nonce), []byte(want.nonce)) != 1:
		return IDTokenNonce
	case !ok || !validSubject(subject):
		return IDTokenSubject
	case len(want.acr) > 0 && !slices.Contains(want.acr, acr):
		return visitor.AssuranceTooLow
	}
	return ""
}

func validSubject(s string) bool {
	return s != "" && len(s) <= maxSubject && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}

// ending is whom a logout token is about; of subject and session at least one is there.
type ending struct {
	id, subject, session string
	issued, ends         time.Time
}

// judgeLogout judges the claims and the type of a logout token whose signature is good (OpenID Connect Back-Channel Logout 1.0, section
// 2.6); "" for good. That its id is new is checked where ids are kept.
func judgeLogout(c claimSet, typ, issuer, client string, now time.Time) (ending, Reason) {
	if strings.TrimPrefix(strings.ToLower(typ), typePrefixed) != typeLogout {
		return ending{}, LogoutType // section 2.4 recommends it; without it another token could be taken for a logout
	}
	if no := c.common(issuer, client, now, verdicts{LogoutMalformed, LogoutIssuer, LogoutAudience, LogoutExpired, LogoutTime}); no != "" {
		return ending{}, no
	}
	var events, event map[string]json.RawMessage
	if json.Unmarshal(c["events"], &events) != nil || json.Unmarshal(events[logoutEvent], &event) != nil || event == nil {
		return ending{}, LogoutEvent
	}
	if _, there := c["nonce"]; there {
		return ending{}, LogoutNonce // an ID token
	}
	var e ending
	var ok1, ok2, ok3 bool
	e.subject, ok1 = c.text("sub")
	e.session, ok2 = c.text("sid")
	e.id, ok3 = c.text("jti")
	switch {
	case !ok1 || !ok2 || e.subject == "" && e.session == "" || e.subject != "" && !validSubject(e.subject) || len(e.session) > maxShort:
		return ending{}, LogoutSubject
	case !ok3 || e.id == "" || len(e.id) > maxShort:
		return ending{}, LogoutID
	}
	e.issued, _, _ = c.instant("iat")
	e.ends, _, _ = c.instant("exp")
	if e.ends.After(now.Add(maxTokenAge)) {
		return ending{}, LogoutTime
	}
	return e, ""
}
