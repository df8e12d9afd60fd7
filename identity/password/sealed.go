package password

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/session"
	"github.com/musubi-hub/musubi/policies"
)

// Account is a password that somebody has; the password itself is known to nobody. Times are UTC in microseconds.
type Account struct {
	Person    policies.PersonID
	Kind      Kind
	SetAt     int64
	ExpiresAt int64
}

// Sealed lists the break-glass accounts, also those that have expired, the oldest first. They concern the hub as a whole: scope is for people.read
// over the whole workspace.
func (s *Store) Sealed(ctx context.Context, scope policies.Scope) (all []Account, err error) {
	if !scope.For(policies.ActionPeopleRead) || !scope.All() {
		return nil, fmt.Errorf("password: list sealed accounts: %w: it takes %s in the whole workspace", identity.ErrRefused, policies.ActionPeopleRead)
	}
	rows, err := s.cfg.DB.Reader().QueryContext(ctx, `SELECT person_id, kind, set_at, expires_at FROM password_account WHERE kind = $1
		ORDER BY set_at, person_id`, string(KindSealed))
	if err != nil {
		return nil, fmt.Errorf("password: list sealed accounts: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var a Account
		if err := rows.Scan(&a.Person, &a.Kind, &a.SetAt, &a.ExpiresAt); err != nil {
			return nil, fmt.Errorf("password: list sealed accounts: %w", err)
		}
		all = append(all, a)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("password: list sealed accounts: %w", err)
	}
	return all, nil
}

// Unseal takes a break-glass account away, with the sessions that it opened, in the caller's transaction with its audit row. scope is the actor's for
// people.write over the whole workspace. Taking one's own away is nobody's harm. It is identity.ErrNotFound where the person has none.
func (s *Store) Unseal(ctx context.Context, tx *sql.Tx, by access.Actor, scope policies.Scope, p identity.Person, now time.Time) error {
	if !scope.For(policies.ActionPeopleWrite) || !scope.All() || by.ID() == "" || scope.Actor() != by.ScopeActor() {
		return fmt.Errorf("password: unseal: %w: it takes one's own right to %s in the whole workspace", identity.ErrRefused, policies.ActionPeopleWrite)
	}
	res, err := tx.ExecContext(ctx, `DELETE FROM password_account WHERE person_id = $1 AND kind = $2`, string(p.ID), string(KindSealed))
	if err != nil {
		return fmt.Errorf("password: unseal: %w", err)
	}
	if n, err := res.RowsAffected(); err != nil || n != 1 {
		if err == nil {
			err = fmt.Errorf("password: unseal: the person has no sealed account: %w", identity.ErrNotFound)
		}
		return err
	}
	credential := string(KindSealed) + "-" + string(p.ID)
	if err := s.cfg.Sessions.EndCredential(ctx, tx, identity.MethodBreakGlass, credential, session.WhyPassword, now.UnixMicro()); err != nil {
		return err
	}
	row := by.AuditRow(now.UnixMicro(), "password.unseal", audit.Done)
	row.Org, row.Object, row.Reason, row.PolicyHash = p.Org, string(p.ID), scope.Reason(), scope.Hash()
	return audit.Append(ctx, tx, row)
}
