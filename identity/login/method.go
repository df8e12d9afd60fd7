package login

import (
	"context"
	"database/sql"
	"errors"
	"net/http"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/policies"
)

// Attempt is one try of a method within a request.
type Attempt struct {
	Login   identity.LoginID
	Network policies.Network
	Ticket  string // 256 random bits, base64url: names the attempt on the method's own host, and is what a card signs. Used once
	At      int64  // UTC, microseconds: when Begin or Finish runs
	Address string // of the browser as far as is known, for counting tries
	Until   int64  // the attempt ends then
}

// Instruction is what the browser does to prove something: go to Location, or fill in the page called Page and post it to the dispatcher.
type Instruction struct {
	Location string // absolute, on a host of the attempt's network
	Page     string
}

// Method is one way to prove who one is. It keeps what it must (a challenge, a counter) in tables of its own, under the attempt's ticket.
type Method interface {
	// Begin says what the browser has to do.
	Begin(ctx context.Context, a Attempt) (Instruction, error)
	// Finish judges what came back: the posted form, the TLS connection, a named proxy's header. r has bounded bodies and comes from
	// a.Network. What doesn't prove anything is a *Rejection; another error means that there is no answer, and nothing is proven.
	Finish(ctx context.Context, a Attempt, r *http.Request) (Proof, error)
}

// Linker is a Method whose credentials have to be linked to people: it gives proofs without a person.
type Linker interface {
	// Link ties the credential of a proof to the person, in the caller's transaction, with its audit row. It wraps identity.ErrExists where
	// either of them is tied already: one card, one person.
	Link(ctx context.Context, tx *sql.Tx, person policies.PersonID, credential string, at int64) error
}

// Holder is a Method whose credentials can be taken away from people, also between a proof and the session that it opens.
type Holder interface {
	// Holds keeps the credential with the person until tx ends, so that whoever takes it away ends the session that tx opens too. It wraps
	// identity.ErrNotFound where it isn't the person's any more.
	Holds(ctx context.Context, tx *sql.Tx, person policies.PersonID, credential string) error
}

// errReleased says that the credential of a proof was taken away before the answer.
var errReleased = errors.New("login: the credential was taken away")

// Offer is a registered method and where it is offered.
type Offer struct {
	Method   Method
	Reach    policies.Assurance // the most that it proves
	Networks []policies.Network // where it is offered
	Use      Use
}

// Rejection is a method's refusal of what was brought.
type Rejection struct {
	Code   string            // machine-readable and stable, of the method's own vocabulary: "certificate_revoked"
	Person policies.PersonID // whom it concerns, for the audit log alone; may be empty
	Retry  bool              // trying again in the same request may help
	Detail map[string]any    // for the audit row: no secrets, no personal data
}

// Error implements error.
func (r *Rejection) Error() string { return "the proof was rejected: " + r.Code }
