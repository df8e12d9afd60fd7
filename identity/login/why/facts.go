package why

import (
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/login"
	"github.com/musubi-hub/musubi/policies"
)

// Facts is all that an answer is made from. Times are UTC in microseconds.
type Facts struct {
	At        int64 // the moment asked about
	Now       bool  // it is this moment, so that sessions and accounts of today say something of it
	Network   policies.Network
	Assurance policies.Assurance // how the person will prove themselves
	Offers    map[identity.MethodID]login.Offer

	Asked policies.RelyingPartyID // as it was asked for
	Party *Party                  // nil: there is none of that id
	Near  []policies.RelyingPartyID

	Person identity.Person // the zero Person: the directory knows nobody of that id
	Who    string          // what the person was called in the question
	Posts  []access.Actor  // access.Posts: held at that moment, the main one first
	Card   Card

	LinkUntil int64    // a link password that was handed over counts until then; 0: there is none
	Session   *Session // that stands in the network; nil: none
	Accounts  []Account
}

// Party is a relying party.
type Party struct {
	Name  string
	Least policies.Assurance
	policies.RelyingParty
}

// Card is what is known of a person's card.
type Card struct {
	Linked  bool
	Ended   int64 // when the newest link ended, where none stands; 0: there never was one
	Revoked int64 // when the linked card was found on a list of revoked ones; 0: it wasn't
}

// Session is a session that stands.
type Session struct {
	Org       policies.OrgID
	Assurance policies.Assurance
	AuthAt    int64
}

// AccountState says how an account in a product stands.
type AccountState string

// The states. The zero value is an account that is as it should be.
const (
	AccountMissing     AccountState = "missing"     // it isn't made yet
	AccountDisabled    AccountState = "disabled"    // it is switched off
	AccountQuarantined AccountState = "quarantined" // the product refuses it
	AccountHeld        AccountState = "held"        // a breaker keeps it from being taken away
)

// Account is how the person's account in one of the relying party's products stands, where it isn't as it should be.
type Account struct {
	Product policies.Product `json:"product"`
	State   AccountState     `json:"state"`
	Ref     string           `json:"ref,omitempty"` // of the quarantine or the breaker
}

// Cause is the one thing that a login fails for.
type Cause string

// The causes, in the order in which they are looked at. The empty Cause is none: the person can log in.
const (
	CausePartyUnknown  Cause = "relying_party_unknown"
	CausePersonUnknown Cause = "person_unknown"
	CausePersonEnded   Cause = "person_ended"
	CauseNoLogin       Cause = "network_without_login" // no method is offered there
	CauseNoFunctions   Cause = "relying_party_without_functions"
	CauseFunction      Cause = "no_function"               // no post of the person's may use a function that the party carries
	CauseSeat          Cause = "no_seat"                   // no post gives a seat
	CauseReach         Cause = "not_on_network"            // the party isn't reached from there
	CauseNetwork       Cause = "network_not_allowed"       // people of that kind don't come from there
	CauseForbidden     Cause = "forbidden_by_policy"       // whatever else a policy says
	CauseNoCard        Cause = "card_not_linked"           // never was
	CauseReleased      Cause = "card_released"             // マイナンバーカードの認証解除
	CauseRevoked       Cause = "card_revoked"              // by the authority
	CauseAssurance     Cause = "assurance_too_low"         // another proof does
	CauseUnreachable   Cause = "assurance_out_of_reach"    // no method of the network does
	CauseRefused       Cause = "refused_by_the_dispatcher" // anything else that it decides
)

// Proof reports whether only the way in which the person proves themselves stands between them and the relying party: the policies let them in.
func (c Cause) Proof() bool {
	return c == CauseNoCard || c == CauseReleased || c == CauseRevoked || c == CauseAssurance || c == CauseUnreachable
}

// Answer says whether somebody can log in, and why.
type Answer struct {
	Party     policies.RelyingPartyID `json:"rp"`
	Name      string                  `json:"name,omitempty"`
	Network   policies.Network        `json:"network"`
	Enters    bool                    `json:"enters"`
	Cause     Cause                   `json:"cause,omitempty"`
	Missing   []Cause                 `json:"missing,omitempty"` // all that the policies miss, Cause first
	Org       policies.OrgID          `json:"org,omitempty"`     // of the post in which the person enters, or came closest
	Choice    []policies.OrgID        `json:"choice,omitempty"`  // of these posts the person chooses one
	ACR       string                  `json:"acr,omitempty"`     // that the relying party is told
	Session   bool                    `json:"session,omitempty"` // a session does; no card is asked for
	From      []policies.Network      `json:"from,omitempty"`    // networks from which the person would be let in
	Roles     []policies.Role         `json:"roles,omitempty"`   // roles with which the person would be let in
	Policies  []string                `json:"policies,omitempty"`
	Hash      string                  `json:"policy_hash,omitempty"`
	Accounts  []Account               `json:"accounts,omitempty"`
	Sentence  policies.Text           `json:"sentence"`
	LinkUntil string                  `json:"link_until,omitempty"` // JST: until when a handed-over password links a card
}
