package console

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/policies"
)

// TicketLife is how long a one-time address may wait to be used.
const TicketLife = 10 * time.Minute

// ticketKept is how long a ticket's row stays after its term, so that who comes late is told why it doesn't work.
const ticketKept = 24 * time.Hour

// The reasons for refusing a ticket.
var (
	errTicketUnknown = errors.New("console: the ticket is unknown")
	errTicketUsed    = errors.New("console: the ticket was used before")
	errTicketExpired = errors.New("console: the ticket has expired")
)

const tokenBytes = 32

// newToken draws what a browser shows, and gives the hash by which it is found again.
func newToken(random io.Reader) (token, hash string, err error) {
	var b [tokenBytes]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return "", "", fmt.Errorf("console: no randomness: %w", err)
	}
	token = base64.RawURLEncoding.EncodeToString(b[:])
	return token, tokenHash(token), nil
}

func tokenHash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// wellFormed reports whether token can be one of ours: the database isn't asked about anything else.
func wellFormed(token string) bool {
	if len(token) != base64.RawURLEncoding.EncodedLen(tokenBytes) {
		return false
	}
	_, err := base64.RawURLEncoding.Strict().DecodeString(token)
	return err == nil
}

// Ticket makes a one-time address for actor, valid for TicketLife, and gives its path. The path is a secret until it is used: show it to
// the person who acts and to nobody else, and never log it. Only people of the directory have pages to see, so break-glass and the
// hub's own tasks are refused. random must be cryptographically strong.
func Ticket(ctx context.Context, db *sqldb.DB, actor access.Actor, now time.Time, random io.Reader) (path string, err error) {
	if actor.Kind != access.KindPerson || actor.ID() == "" {
		return "", fmt.Errorf("open the console: %w: the pages show what a person of the directory may see; act as one with --as FILE", identity.ErrRefused)
	}
	token, hash, err := newToken(random)
	if err != nil {
		return "", err
	}
	at := now.UnixMicro()
	err = db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if err := sweep(ctx, tx, now); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO console_ticket (token_sha256, person_id, credential, created_at, expires_at, used_at)
			VALUES ($1, $2, $3, $4, $5, 0)`, hash, actor.ID(), actor.Credential, at, now.Add(TicketLife).UnixMicro())
		if err != nil {
			return err
		}
		row := actor.AuditRow(at, "console.ticket", audit.Done)
		row.Org = actor.Org.ID
		return audit.Append(ctx, tx, row)
	})
	if err != nil {
		return "", fmt.Errorf("open the console: %w", err)
	}
	return "/open/" + token, nil
}

// sweep removes what nobody can use any more.
func sweep(ctx context.Context, tx *sql.Tx, now time.Time) error {
	if _, err := tx.ExecContext(ctx, `DELETE FROM console_ticket WHERE expires_at < $1`, now.Add(-ticketKept).UnixMicro()); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `DELETE FROM console_session WHERE expires_at < $1 OR seen_at < $2`, now.UnixMicro(), now.Add(-sessionIdle).UnixMicro())
	return err
}

// ticketState tells whether the ticket may still be used. It changes nothing: programs that look at every address don't use it up.
func ticketState(ctx context.Context, q *sql.DB, token string, now time.Time) error {
	if !wellFormed(token) {
		return errTicketUnknown
	}
	var usedAt, expiresAt int64
	err := q.QueryRowContext(ctx, `SELECT used_at, expires_at FROM console_ticket WHERE token_sha256 = $1`, tokenHash(token)).Scan(&usedAt, &expiresAt)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return errTicketUnknown
	case err != nil:
		return fmt.Errorf("console: read the ticket: %w", err)
	case usedAt != 0:
		return errTicketUsed
	case now.UnixMicro() >= expiresAt:
		return errTicketExpired
	}
	return nil
}

// redeem exchanges the ticket for a session and gives the cookie's value. Of two who come at once, one gets it. The session that the browser
// had before, if any, ends in the same transaction.
func redeem(ctx context.Context, db *sqldb.DB, ticket, oldCookie string, now time.Time, random io.Reader) (cookie string, err error) {
	if !wellFormed(ticket) {
		return "", errTicketUnknown
	}
	cookie, hash, err := newToken(random)
	if err != nil {
		return "", err
	}
	at := now.UnixMicro()
	err = db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		var person, credential string
		err := tx.QueryRowContext(ctx, `UPDATE console_ticket SET used_at = $1 WHERE token_sha256 = $2 AND used_at = 0 AND expires_at > $1
			RETURNING person_id, credential`, at, tokenHash(ticket)).Scan(&person, &credential)
		if errors.Is(err, sql.ErrNoRows) {
			return errTicketUsed // ticketState finds out which it is
		}
		if err != nil {
			return err
		}
		if wellFormed(oldCookie) {
			if _, err := tx.ExecContext(ctx, `DELETE FROM console_session WHERE token_sha256 = $1`, tokenHash(oldCookie)); err != nil {
				return err
			}
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO console_session (token_sha256, person_id, credential, created_at, seen_at, expires_at)
			VALUES ($1, $2, $3, $4, $4, $5)`, hash, person, credential, at, now.Add(sessionLife).UnixMicro())
		if err != nil {
			return err
		}
		return audit.Append(ctx, tx, sessionActor(policies.PersonID(person), credential).AuditRow(at, "console.open", audit.Done))
	})
	if errors.Is(err, errTicketUsed) {
		if state := ticketState(ctx, db.Reader(), ticket, now); state != nil {
			return "", state
		}
		return "", errTicketUsed
	}
	if err != nil {
		return "", fmt.Errorf("console: use the ticket: %w", err)
	}
	return cookie, nil
}

// sessionActor names a session's person in the audit log, where no more than the id is needed.
func sessionActor(person policies.PersonID, credential string) access.Actor {
	return access.Actor{Kind: access.KindPerson, Person: identity.Person{ID: person}, Credential: credential}
}
