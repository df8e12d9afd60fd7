package login

import (
	"context"
	"database/sql"
	"errors"

	"github.com/musubi-hub/musubi/identity"
)

// Answer is what the browser takes to the relying party, or to the issuer's own end point.
type Answer struct {
	Location string      // redirect (303) there; or where Form is posted to
	Form     [][2]string // names and values of a self-posting form; nil for a redirect

	// Later makes the answer once everything is committed, so that nobody waits for the writer while something is signed; nil where it is made
	// already. All that it says was decided before: it reads and writes nothing. Where it fails the login stands and isn't answered: the
	// person begins again at the relying party.
	Later func() (Answer, error)
	// Beyond are origins to which the relying party may lead the browser on after Form was posted, as it is registered: a browser holds the policy
	// of the form's page over every redirect that follows.
	Beyond []string
}

// Made gives the answer as it goes out. It is called after the commit.
func (a Answer) Made() (Answer, error) {
	if a.Later == nil {
		return a, nil
	}
	made, err := a.Later()
	if err == nil && made.Later != nil {
		err = errors.New("login: an answer that is never made")
	}
	return made, err
}

// Issuer answers relying parties in one protocol. Both calls run inside the transaction that settles the request, together with the
// session and the audit row, at most once per request; what they write (a code, an assertion) commits with these or not at all. They
// check that Answer leads to where the relying party registered, on the request's network.
type Issuer interface {
	// Finish writes the answer of a decided login.
	Finish(ctx context.Context, tx *sql.Tx, r Request, l identity.Login) (Answer, error)
	// Refuse writes the protocol's error: access_denied, login_required and so on, by refusal.Reason.
	Refuse(ctx context.Context, tx *sql.Tx, r Request, refusal Refusal) (Answer, error)
}
