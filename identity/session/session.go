package session

import (
	"context"
	"database/sql"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/policies"
)

// Session is a browser's session. Times are UTC in microseconds.
type Session struct {
	ID         identity.SessionID
	Person     policies.PersonID
	Org        policies.OrgID // of the post in which the person acts
	Network    policies.Network
	Assurance  policies.Assurance
	AMR        []string
	Method     identity.MethodID // of the newest proof
	Credential string            // the method's id of the credential; not secret
	AuthAt     int64             // of the newest proof
	CreatedAt  int64
	SeenAt     int64
	ExpiresAt  int64 // absolute limit
	IdleUntil  int64 // the limit without a request
	EndedAt    int64 // 0 while it stands
	EndedWhy   Why
	Agent      string // what the browser calls itself, cut and cleaned; for the person's own list
}

// Why says why a session ended.
type Why string

// The reasons.
const (
	WhyLogout   Why = "logout"        // by the person, in this browser or at a relying party
	WhyOwnList  Why = "ended_by_self" // by the person, from the list of their sessions
	WhyReplaced Why = "replaced"      // the browser logged in as somebody else
	WhyEnded    Why = "person_ended"  // service has ended
	WhyCard     Why = "card_released" // マイナンバーカードの認証解除, or the card was revoked
	WhyPassword Why = "password_reset"
	WhyAdmin    Why = "ended_by_administrator"
)

// Party is a relying party that was told of a session.
type Party struct {
	RelyingParty policies.RelyingPartyID
	Issuer       identity.IssuerID
	At           int64 // the newest answer
}

// Hook hears that a session ended, in the transaction that ends it: issuers write their logout deliveries and end their tokens there. An
// error undoes the end; so a hook does nothing but write.
type Hook interface {
	SessionEnded(ctx context.Context, tx *sql.Tx, s Session, parties []Party) error
}
