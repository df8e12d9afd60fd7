package login

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/policies"
)

// The bounds of a request.
const (
	Lifetime    = 15 * time.Minute // from Start to the answer
	MaxFacts    = 16 << 10         // bytes of an issuer's protocol facts
	MaxAttempts = 20               // tries of methods in one request
)

// State is where a request stands.
type State string

// The states. A request is answered once: open -> finished or refused.
const (
	StateOpen     State = "open"
	StateFinished State = "finished"
	StateRefused  State = "refused"
)

// Ask is what an issuer makes of a relying party's request after it has checked it by its protocol.
type Ask struct {
	Issuer       identity.IssuerID
	RelyingParty policies.RelyingPartyID
	Facts        json.RawMessage // what the issuer needs to answer; opaque here, at most MaxFacts; no secrets
	Network      policies.Network

	Required  policies.Assurance // the relying party's least; policies may ask for more
	Force     bool               // prompt=login, ForceAuthn: a session doesn't do
	Passive   bool               // prompt=none, IsPassive: nothing may be shown
	Choose    bool               // prompt=select_account: the post is asked for even where a session has one
	MaxAge    time.Duration      // a session's proof may be this old; only with HasMaxAge
	HasMaxAge bool
	Person    policies.PersonID // id_token_hint: nobody else may answer; empty for anybody
}

// Request is the persisted record of a login. Times are UTC in microseconds.
type Request struct {
	Ask
	ID        identity.LoginID
	CreatedAt int64
	ExpiresAt int64
	State     State
	Attempts  int

	Proof   *Proof         // that was brought back by the browser that began; nil for none yet
	Pending *Proof         // of a credential that belongs to nobody yet: it waits for a proof of the person
	Post    policies.OrgID // that the person chose to act in; empty for not chosen

	browser string // hex SHA-256 of the browser's secret
}

// Use says what a proof is good for.
type Use string

// The uses. The zero value is good for nothing.
const (
	UseLogin Use = "login" // it logs in
	UseLink  Use = "link"  // it only lets a pending credential be linked to the person
)

// Proof is what a method found out. Times are UTC in microseconds.
type Proof struct {
	Method     identity.MethodID  `json:"method"`
	Use        Use                `json:"use"`
	Person     policies.PersonID  `json:"person"`     // empty for a good credential that isn't linked to anybody: Credential says which
	Credential string             `json:"credential"` // the method's own opaque id of the credential, for Link and audit; neither secret nor personal
	Assurance  policies.Assurance `json:"assurance"`
	AMR        []string           `json:"amr"`
	At         int64              `json:"at"` // when it was proven
}

func (p Proof) check() error {
	switch {
	case p.Method == "" || p.At <= 0 || len(p.AMR) == 0:
		return errors.New("a proof without method, time or amr")
	case p.Use != UseLogin && p.Use != UseLink:
		return fmt.Errorf("a proof for %q", p.Use)
	case p.Person == "" && p.Credential == "":
		return errors.New("a proof of nobody and nothing")
	case !slices.Contains(policies.Assurances(), p.Assurance):
		return fmt.Errorf("a proof of assurance %d", p.Assurance)
	}
	return nil
}

func (a Ask) check() error {
	switch {
	case a.Issuer == "" || a.RelyingParty == "":
		return errors.New("login: a request without issuer or relying party")
	case !slices.Contains(policies.Networks(), a.Network):
		return fmt.Errorf("login: a request from the unknown network %q", a.Network)
	case len(a.Facts) > MaxFacts:
		return fmt.Errorf("login: %d bytes of protocol facts; at most %d are kept", len(a.Facts), MaxFacts)
	case len(a.Facts) > 0 && !json.Valid(a.Facts):
		return errors.New("login: protocol facts that aren't JSON")
	case a.Required < policies.AssuranceNone || a.Required > policies.AssuranceCard:
		return fmt.Errorf("login: unknown assurance %d", a.Required)
	case a.Force && a.Passive:
		return errors.New("login: a request that must ask the person and must not")
	case a.HasMaxAge && a.MaxAge < 0:
		return errors.New("login: a negative max_age")
	}
	return nil
}
