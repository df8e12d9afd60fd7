package access

import (
	"context"
	"crypto/subtle"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/policies"
)

// The reasons for refusing a credential. Each wraps identity.ErrRefused; none says anything that the holder of a wrong token
// didn't know.
var (
	ErrCredentialUnknown = fmt.Errorf("%w: the hub doesn't know this credential; ask a system administrator for one", identity.ErrRefused)
	ErrCredentialExpired = fmt.Errorf("%w: the credential has expired; ask a system administrator for a new one", identity.ErrRefused)
	ErrCredentialRevoked = fmt.Errorf("%w: the credential was revoked; ask a system administrator why", identity.ErrRefused)
	ErrPersonEnded       = fmt.Errorf("%w: the person's service has ended", identity.ErrRefused)
)

// The bounds of a credential.
const (
	MaxLifetime = 366 * 24 * time.Hour
	MaxNote     = 200 // bytes
)

// Credential is a local credential as the hub keeps it, without its secret. Times are UTC in microseconds.
type Credential struct {
	ID        string
	Person    policies.PersonID
	CreatedAt int64
	ExpiresAt int64
	RevokedAt int64 // 0 while it stands
	Note      string
}

// Issuance is a credential to be made.
type Issuance struct {
	By      Actor          // who issues it; of the scope given with it
	Scope   policies.Scope // for people.write over all organizations: who hands these out administers the whole workspace
	Person  identity.Person
	Now     time.Time
	Expires time.Time
	Note    string    // what it is for; no personal data
	Random  io.Reader // crypto/rand.Reader
}

// Issue makes a local credential in the caller's transaction, with its audit row, and gives the token, which is kept nowhere
// else.
func Issue(ctx context.Context, tx *sql.Tx, i Issuance) (Token, error) {
	if err := checkAuthority(i.By, i.Scope); err != nil {
		return Token{}, fmt.Errorf("issue a credential: %w", err)
	}
	switch {
	case i.Person.ID == "":
		return Token{}, errors.New("issue a credential: the person has no id")
	case !i.Person.Active():
		return Token{}, fmt.Errorf("issue a credential for %s: %w", i.Person.ID, ErrPersonEnded)
	case !i.Expires.After(i.Now):
		return Token{}, fmt.Errorf("issue a credential: it would have expired already, at %s", jst(i.Expires.UnixMicro()))
	case i.Expires.Sub(i.Now) > MaxLifetime:
		return Token{}, fmt.Errorf("issue a credential: it would stand until %s; at most %d days are given", jst(i.Expires.UnixMicro()), MaxLifetime/(24*time.Hour))
	case len(i.Note) > MaxNote || !utf8.ValidString(i.Note) || strings.ContainsRune(i.Note, 0):
		return Token{}, fmt.Errorf("issue a credential: the note is longer than %d bytes or isn't plain text", MaxNote)
	}
	token, err := newToken(i.Random)
	if err != nil {
		return Token{}, err
	}
	at := i.Now.UnixMicro()
	_, err = tx.ExecContext(ctx, `INSERT INTO access_credential (id, person_id, token_sha256, created_at, expires_at, revoked_at, note)
		VALUES ($1, $2, $3, $4, $5, 0, $6)`, token.id, string(i.Person.ID), token.hash(), at, i.Expires.UnixMicro(), i.Note)
	if err != nil {
		return Token{}, fmt.Errorf("issue a credential: %w", err)
	}
	row := i.By.AuditRow(at, "credential.issue", audit.Done)
	row.Org, row.Object, row.Reason, row.PolicyHash = i.Person.Org, string(i.Person.ID), i.Scope.Reason(), i.Scope.Hash()
	row.Detail = map[string]any{"issued": token.id, "expires_at": i.Expires.UnixMicro()}
	if err := audit.Append(ctx, tx, row); err != nil {
		return Token{}, err
	}
	return token, nil
}

// Revoke ends a credential in the caller's transaction, with its audit row. Revoking twice keeps the first time.
func Revoke(ctx context.Context, tx *sql.Tx, by Actor, scope policies.Scope, id string, now time.Time) error {
	if err := checkAuthority(by, scope); err != nil {
		return fmt.Errorf("revoke a credential: %w", err)
	}
	var person string
	var revokedAt int64
	err := tx.QueryRowContext(ctx, `SELECT person_id, revoked_at FROM access_credential WHERE id = $1`, id).Scan(&person, &revokedAt)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return fmt.Errorf("revoke credential %q: %w", id, identity.ErrNotFound)
	case err != nil:
		return fmt.Errorf("revoke a credential: %w", err)
	case revokedAt != 0:
		return nil
	}
	at := now.UnixMicro()
	if _, err := tx.ExecContext(ctx, `UPDATE access_credential SET revoked_at = $1 WHERE id = $2 AND revoked_at = 0`, at, id); err != nil {
		return fmt.Errorf("revoke a credential: %w", err)
	}
	row := by.AuditRow(at, "credential.revoke", audit.Done)
	row.Object, row.Reason, row.PolicyHash = person, scope.Reason(), scope.Hash()
	row.Detail = map[string]any{"revoked": id}
	return audit.Append(ctx, tx, row)
}

// checkAuthority holds that scope is by's own, and over the whole workspace. A local credential opens the hub's own command
// line, so that an organization's administrators don't hand it out.
func checkAuthority(by Actor, scope policies.Scope) error {
	switch {
	case by.ID() == "" || scope.Actor() != by.ScopeActor():
		return fmt.Errorf("%w: the scope belongs to another actor", identity.ErrRefused)
	case !scope.For(policies.ActionPeopleWrite) || !scope.All():
		return fmt.Errorf("%w: it takes the right to %s in the whole workspace", identity.ErrRefused, policies.ActionPeopleWrite)
	}
	return nil
}

// Querier is a *sql.DB or a *sql.Tx.
type Querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// Credentials lists a person's credentials, newest first. scope must be for people.read and cover everything.
func Credentials(ctx context.Context, db Querier, scope policies.Scope, person policies.PersonID) ([]Credential, error) {
	if !scope.For(policies.ActionPeopleRead) || !scope.All() {
		return nil, fmt.Errorf("list credentials: %w: it takes the right to %s in the whole workspace", identity.ErrRefused, policies.ActionPeopleRead)
	}
	rows, err := db.QueryContext(ctx, `SELECT id, person_id, created_at, expires_at, revoked_at, note FROM access_credential
		WHERE person_id = $1 ORDER BY created_at DESC, id`, string(person))
	if err != nil {
		return nil, fmt.Errorf("list credentials: %w", err)
	}
	defer func() { _ = rows.Close() }() // rows.Err tells what matters
	var found []Credential
	for rows.Next() {
		var c Credential
		if err := rows.Scan(&c.ID, &c.Person, &c.CreatedAt, &c.ExpiresAt, &c.RevokedAt, &c.Note); err != nil {
			return nil, fmt.Errorf("list credentials: %w", err)
		}
		found = append(found, c)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list credentials: %w", err)
	}
	return found, nil
}

// Authenticate tells whose credential token is. The token is compared in constant time; only who holds the right one learns
// that it has expired or was revoked. Whether the person is still in service is the directory's to say:
// Resolver.Authenticate asks it too, and is what callers want. With ErrCredentialExpired and ErrCredentialRevoked the person's
// id is given as well, for the audit log alone.
func Authenticate(ctx context.Context, db Querier, token Token, now time.Time) (policies.PersonID, error) {
	var (
		person, kept         string
		expiresAt, revokedAt int64
	)
	err := db.QueryRowContext(ctx, `SELECT person_id, token_sha256, expires_at, revoked_at FROM access_credential WHERE id = $1`, token.id).
		Scan(&person, &kept, &expiresAt, &revokedAt)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return "", fmt.Errorf("check the credential: %w", err)
	}
	same := subtle.ConstantTimeCompare([]byte(kept), []byte(token.hash())) == 1
	switch {
	case err != nil || token.secret == nil || !same:
		return "", ErrCredentialUnknown
	case revokedAt != 0:
		return policies.PersonID(person), fmt.Errorf("%w (%s)", ErrCredentialRevoked, jst(revokedAt))
	case now.UnixMicro() >= expiresAt:
		return policies.PersonID(person), fmt.Errorf("%w (%s)", ErrCredentialExpired, jst(expiresAt))
	}
	return policies.PersonID(person), nil
}

// jst shows a time (UTC, microseconds) as staff read it.
func jst(at int64) string {
	return time.UnixMicro(at).In(time.FixedZone("JST", 9*60*60)).Format("2006-01-02 15:04 JST")
}
