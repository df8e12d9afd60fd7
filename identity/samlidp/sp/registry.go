package sp

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/policies"
)

// Names keeps ids that this registry shares with others: entrance.Names. An id is taken and freed in the transaction that registers and removes.
type Names interface {
	// Take wraps identity.ErrExists where the id is another registry's.
	Take(ctx context.Context, tx *sql.Tx, id policies.RelyingPartyID) error
	Free(ctx context.Context, tx *sql.Tx, id policies.RelyingPartyID) error
}

// Registry stores service providers.
type Registry struct {
	db    *sqldb.DB
	names Names // nil: the ids are this registry's alone
}

// NewRegistry makes the registry over the tables of Migration.
func NewRegistry(db *sqldb.DB) *Registry { return &Registry{db: db} }

// Share makes a registry that takes its ids from names.
func (r *Registry) Share(names Names) *Registry { return &Registry{r.db, names} }

// Querier is a *sql.DB or a *sql.Tx.
type Querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

const (
	actionAdd    = "rp.add"
	actionChange = "rp.change"
)

// Add registers a provider; at is UTC in microseconds. The error wraps identity.ErrExists where its id or its entity id is taken. Who may do
// this is for the caller to ask.
func (r *Registry) Add(ctx context.Context, by access.Actor, p SP, at int64) error {
	return r.write(ctx, by, p, actionAdd, identity.ErrExists,
		`INSERT INTO saml_party (id, entity_id, config, created_at, updated_at) VALUES ($1, $2, $3, $4, $4) ON CONFLICT DO NOTHING`, at)
}

// Change replaces the provider of the same id. The error wraps identity.ErrNotFound where there is none, and identity.ErrExists where the entity
// id is another's.
func (r *Registry) Change(ctx context.Context, by access.Actor, p SP, at int64) error {
	return r.write(ctx, by, p, actionChange, identity.ErrNotFound, `UPDATE saml_party SET entity_id = $2, config = $3, updated_at = $4 WHERE id = $1`, at)
}

func (r *Registry) write(ctx context.Context, by access.Actor, p SP, action string, none error, statement string, at int64) error {
	if err := p.Check(); err != nil {
		return fmt.Errorf("service provider %q: %w", p.ID, err)
	}
	config, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("service provider %q: %w", p.ID, err)
	}
	return r.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if r.names != nil && action == actionAdd {
			if err := r.names.Take(ctx, tx, p.ID); err != nil {
				return err
			}
		}
		var st Status
		left := false
		if action == actionChange {
			old, _, _, err := locked(ctx, tx, p.ID)
			if err != nil {
				return err
			}
			if st, err = statusOf(ctx, tx, p.ID); err != nil {
				return err
			}
			left = st.leave(old, p)
		}
		if err := record(ctx, tx, by, p.ID, action, at, none, statement, string(p.ID), p.EntityID, string(config), at); err != nil {
			return err
		}
		if left {
			if err := st.keep(ctx, tx); err != nil {
				return err
			}
		}
		// What was proposed against the registration as it was has to be proposed anew.
		_, err := tx.ExecContext(ctx, `UPDATE saml_metadata SET next_at = $2 WHERE party = $1 AND next_at > $2
			AND EXISTS (SELECT 1 FROM saml_proposal q WHERE q.party = $1 AND q.state = 'pending')`, string(p.ID), at)
		return err
	})
}

// Remove takes a provider out, with all that is known of its metadata, for a reason that the audit log keeps. A login that is under way isn't
// answered any more.
func (r *Registry) Remove(ctx context.Context, by access.Actor, id policies.RelyingPartyID, why string, at int64) error {
	row := by.AuditRow(at, "rp.remove", audit.Done)
	row.Reason = why
	return r.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		// The provider's row comes first, as everywhere: two who lock in another order lock each other out.
		if err := change(ctx, tx, row, id, identity.ErrNotFound, `DELETE FROM saml_party WHERE id = $1`, string(id)); err != nil {
			return err
		}
		for _, statement := range []string{`DELETE FROM saml_metadata WHERE party = $1`, `DELETE FROM saml_proposal WHERE party = $1`} {
			if _, err := tx.ExecContext(ctx, statement, string(id)); err != nil {
				return fmt.Errorf("service provider %q: %w", id, err)
			}
		}
		if r.names == nil {
			return nil
		}
		return r.names.Free(ctx, tx, id)
	})
}

// record runs a statement that must change one row, and appends an audit row about it.
func record(ctx context.Context, tx *sql.Tx, by access.Actor, id policies.RelyingPartyID, action string, at int64, none error, statement string, args ...any) error {
	return change(ctx, tx, by.AuditRow(at, action, audit.Done), id, none, statement, args...)
}

// change is record with the audit row as it is to be, but for its object.
func change(ctx context.Context, tx *sql.Tx, row audit.Row, id policies.RelyingPartyID, none error, statement string, args ...any) error {
	row.Object = string(id)
	res, err := tx.ExecContext(ctx, statement, args...)
	if sqldb.UniqueViolation(err) {
		return fmt.Errorf("service provider %q: its entity id is registered already: %w", id, identity.ErrExists)
	}
	if err != nil {
		return fmt.Errorf("service provider %q: %w", id, err)
	}
	if n, err := res.RowsAffected(); err != nil || n != 1 {
		return errors.Join(err, fmt.Errorf("service provider %q: %w", id, none))
	}
	return audit.Append(ctx, tx, row)
}

// SP gives the provider of an id; the error wraps identity.ErrNotFound where there is none.
func (r *Registry) SP(ctx context.Context, q Querier, id policies.RelyingPartyID) (SP, error) {
	if !idForm.MatchString(string(id)) { // not every database takes every text
		return SP{}, fmt.Errorf("service provider: %w", identity.ErrNotFound)
	}
	return one(q.QueryRowContext(ctx, `SELECT config FROM saml_party WHERE id = $1`, string(id)))
}

// Entity gives the provider of an entity id; the error wraps identity.ErrNotFound where there is none.
func (r *Registry) Entity(ctx context.Context, q Querier, entityID string) (SP, error) {
	if !entity(entityID) {
		return SP{}, fmt.Errorf("service provider: %w", identity.ErrNotFound)
	}
	return one(q.QueryRowContext(ctx, `SELECT config FROM saml_party WHERE entity_id = $1`, entityID))
}

func one(row interface{ Scan(to ...any) error }) (p SP, err error) {
	var config string
	err = row.Scan(&config)
	if errors.Is(err, sql.ErrNoRows) {
		return p, fmt.Errorf("service provider: %w", identity.ErrNotFound)
	}
	if err != nil {
		return p, fmt.Errorf("service provider: %w", err)
	}
	if err := json.Unmarshal([]byte(config), &p); err != nil {
		return p, fmt.Errorf("service provider: its configuration is damaged: %w", err)
	}
	return p, nil
}

// List gives every provider, by id.
func (r *Registry) List(ctx context.Context) ([]SP, error) {
	rows, err := r.db.Reader().QueryContext(ctx, `SELECT config FROM saml_party ORDER BY id`)
	if err != nil {
		return nil, fmt.Errorf("service providers: %w", err)
	}
	defer rows.Close()
	var out []SP
	for rows.Next() {
		p, err := one(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, rows.Err()
}
