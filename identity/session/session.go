package session

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/policies"
)

// MaxAge is longer than any policy lets a session last: a net under the policies, and what old rows are removed by.
const MaxAge = 24 * time.Hour

// maxAgent is how much is kept of what a browser calls itself, in bytes.
const maxAgent = 120

// Session is a browser's session. Times are UTC in microseconds.
type Session struct {
	ID         identity.SessionID
	Person     policies.PersonID
	Org        policies.OrgID // of the post in which the person acts
	Network    policies.Network
	Assurance  policies.Assurance // of the newest proof
	AMR        []string           // of the newest proof, RFC 8176
	Method     identity.MethodID  // of the newest proof
	Credential string             // the method's id of the credential; not secret
	AuthAt     int64              // of the newest proof
	CreatedAt  int64
	SeenAt     int64 // of the last request, to the minute
	EndedAt    int64 // 0 while it stands
	EndedWhy   Why
	Agent      string // what the browser calls itself, cut and cleaned; for the person's own list
}

// Sealed reports whether the session was opened by a sealed break-glass account.
func (s Session) Sealed() bool { return s.Method == identity.MethodBreakGlass }

// Why says why a session ended.
type Why string

// The reasons.
const (
	WhyLogout   Why = "logout"        // by the person, in this browser or at a relying party
	WhyOwnList  Why = "ended_by_self" // by the person, from the list of their sessions
	WhyReplaced Why = "replaced"      // the browser logged in anew as somebody else, or to another post
	WhyPerson   Why = "person_ended"  // service has ended
	WhyCard     Why = "card_released" // マイナンバーカードの認証解除, or the card was revoked
	WhyPassword Why = "password_reset"
	WhyAdmin    Why = "ended_by_administrator"
	WhyTooOld   Why = "too_old"
)

// Party is a relying party that was told of a session.
type Party struct {
	RelyingParty policies.RelyingPartyID
	Issuer       identity.IssuerID
	At           int64 // of the newest answer
}

// Hook hears that a session ended, in the transaction that ends it: issuers write their logout deliveries and end their tokens there. An
// error undoes the end; so a hook does nothing but write.
type Hook interface {
	SessionEnded(ctx context.Context, tx *sql.Tx, s Session, parties []Party) error
}

// cleanAgent gives what is kept of a User-Agent header: printable ASCII, cut.
func cleanAgent(text string) string {
	text = strings.Map(func(r rune) rune {
		if r > unicode.MaxASCII || !unicode.IsPrint(r) || r == '@' { // no addresses: some robots give one
			return -1
		}
		return r
	}, text[:min(len(text), 4*maxAgent)])
	return text[:min(len(text), maxAgent)]
}

const columns = `id, person_id, org, network, assurance, amr, method, credential, auth_at, created_at, seen_at, ended_at, ended_why, agent`

type scanner interface{ Scan(dest ...any) error }

func scan(row scanner) (s Session, err error) {
	var amr string
	err = row.Scan(&s.ID, &s.Person, &s.Org, &s.Network, &s.Assurance, &amr, &s.Method, &s.Credential,
		&s.AuthAt, &s.CreatedAt, &s.SeenAt, &s.EndedAt, &s.EndedWhy, &s.Agent)
	s.AMR = strings.Fields(amr)
	return s, err
}

func query(ctx context.Context, q Querier, where string, args ...any) (all []Session, err error) {
	rows, err := q.QueryContext(ctx, `SELECT `+columns+` FROM session WHERE `+where, args...)
	if err != nil {
		return nil, fmt.Errorf("session: read: %w", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		s, err := scan(rows)
		if err != nil {
			return nil, fmt.Errorf("session: read: %w", err)
		}
		all = append(all, s)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("session: read: %w", err)
	}
	return all, nil
}

// Querier is a *sql.DB or a *sql.Tx.
type Querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}
