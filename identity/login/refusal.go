package login

import (
	"fmt"

	"github.com/musubi-hub/musubi/identity"
)

// Reason says why a login was refused: for machines, audit rows and tests.
type Reason string

// The reasons. Those for which toParty is true are told to the relying party; the others end at a page, because the request isn't
// known to be the browser's own.
const (
	ReasonUnknown     Reason = "unknown_request"      // there is no such request
	ReasonExpired     Reason = "request_expired"      // it took too long
	ReasonAnswered    Reason = "request_answered"     // it was answered before
	ReasonBrowser     Reason = "other_browser"        // another browser began it
	ReasonCSRF        Reason = "csrf"                 // the form didn't come from our page
	ReasonNetwork     Reason = "other_network"        // it began in another network
	ReasonTicket      Reason = "ticket_invalid"       // an unknown, used or expired ticket or return code
	ReasonMethod      Reason = "method_not_offered"   // there, or for this request
	ReasonRejected    Reason = "proof_rejected"       // the method says no; its code stands beside
	ReasonTries       Reason = "too_many_attempts"    // MaxAttempts
	ReasonPerson      Reason = "person_ended"         // service has ended
	ReasonOtherPerson Reason = "other_person"         // the relying party wants somebody else
	ReasonLink        Reason = "link_refused"         // card or person is linked already
	ReasonAssurance   Reason = "assurance_too_low"    // no offered method reaches what is required
	ReasonPost        Reason = "post_unknown"         // the person holds no such post
	ReasonPolicy      Reason = "policy_denied"        // no policy permits it
	ReasonLogin       Reason = "login_required"       // passive, and nobody is logged in
	ReasonInteraction Reason = "interaction_required" // passive, and something must be asked
	ReasonCancelled   Reason = "cancelled"            // by the person
	ReasonParty       Reason = "party_changed"        // the relying party was changed, or removed, since its request was checked; it isn't told
)

// Refusal is a refused step or request. It wraps identity.ErrRefused.
type Refusal struct {
	Reason   Reason
	Code     string // of the method's Rejection; empty elsewhere
	Incident string // id of the audit row; "musubi audit find --incident"
	Final    bool   // the request is over; else the person may try again
}

// Error implements error.
func (r *Refusal) Error() string {
	if r.Code != "" {
		return fmt.Sprintf("login refused: %s (%s), incident %s", r.Reason, r.Code, r.Incident)
	}
	return fmt.Sprintf("login refused: %s, incident %s", r.Reason, r.Incident)
}

// Unwrap implements errors.Unwrap.
func (r *Refusal) Unwrap() error { return identity.ErrRefused }
