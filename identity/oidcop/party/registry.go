package party

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

// Registry stores parties.
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

// Put adds a party, or replaces the one with its id where replace is set; at is UTC in microseconds. The error wraps identity.ErrExists or
// identity.ErrNotFound where there is one and should be none, or the other way round. Who may do this is for the caller to ask.
func (r *Registry) Put(ctx context.Context, by access.Actor, p Party, replace bool, at int64) error {
	config, err := p.encode()
	if err != nil {
		return err
	}
	statement, action := `INSERT INTO oidc_party (id, config, created_at, updated_at) VALUES ($1, $2, $3, $3) ON CONFLICT DO NOTHING`, "rp.add"
	wrong := identity.ErrExists
	if replace {
		statement, action = `UPDATE oidc_party SET config = $2, updated_at = $3 WHERE id = $1`, "rp.change"
		wrong = identity.ErrNotFound
	}
	row := by.AuditRow(at, action, audit.Done)
	row.Object = string(p.ID)
	return r.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if r.names != nil && !replace {
			if err := r.names.Take(ctx, tx, p.ID); err != nil {
				return err
			}
		}
		return write(ctx, tx, row, wrong, statement, string(p.ID), config, at)
	})
}

// Remove takes a party out, for a reason that the audit log keeps. Its tokens stop counting at once, because each use asks for the party.
func (r *Registry) Remove(ctx context.Context, by access.Actor, id policies.RelyingPartyID, why string, at int64) error {
	row := by.AuditRow(at, "rp.remove", audit.Done)
	row.Object, row.Reason = string(id), why
	return r.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		err := write(ctx, tx, row, identity.ErrNotFound, `DELETE FROM oidc_party WHERE id = $1`, string(id))
		if err != nil || r.names == nil {
			return err
		}
		return r.names.Free(ctx, tx, id)
	})
}

// Rotate gives a party another secret beside the one that it has, which goes on counting until then (UTC, microseconds). What was there of older
// ones is void. Two that rotate at the same time rotate one after the other.
func (r *Registry) Rotate(ctx context.Context, by access.Actor, id policies.RelyingPartyID, fresh Secret, until, at int64) error {
	row := by.AuditRow(at, "rp.secret", audit.Done)
	row.Object, row.Detail = string(id), map[string]any{"former_until": until}
	return r.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		// An UPDATE that changes nothing locks the row on both engines.
		if _, err := tx.ExecContext(ctx, `UPDATE oidc_party SET updated_at = updated_at WHERE id = $1`, string(id)); err != nil {
			return fmt.Errorf("relying party %q: %w", id, err)
		}
		p, err := r.Party(ctx, tx, id)
		if err != nil {
			return err
		}
		if p.Auth != AuthSecretBasic {
			return fmt.Errorf("relying party %q: %w: it proves itself by %s and has no secret", id, ErrNoSecret, p.Auth)
		}
		p.Secrets = rotated(p.Secrets, fresh, until, at)
		config, err := p.encode()
		if err != nil {
			return err
		}
		return write(ctx, tx, row, identity.ErrNotFound, `UPDATE oidc_party SET config = $2, updated_at = $3 WHERE id = $1`, string(id), config, at)
	})
}

// ErrNoSecret says that a party has no secret to rotate.
var ErrNoSecret = errors.New("nothing to rotate")

// rotated keeps the newest secret that counts, until then at the latest, beside the fresh one.
func rotated(have []Secret, fresh Secret, until, at int64) []Secret {
	for i := len(have) - 1; i >= 0; i-- {
		s := have[i]
		if s.Until != 0 && s.Until <= at || until <= at {
			continue
		}
		if s.Until == 0 || s.Until > until {
			s.Until = until
		}
		return []Secret{s, fresh}
	}
	return []Secret{fresh}
}

func (p Party) encode() (string, error) {
	if err := p.Check(); err != nil {
		return "", fmt.Errorf("relying party %q: %w", p.ID, err)
	}
	config, err := json.Marshal(p)
	if err != nil {
		return "", fmt.Errorf("relying party %q: %w", p.ID, err)
	}
	return string(config), nil
}

// write changes the one row that there must be, with its audit row.
func write(ctx context.Context, tx *sql.Tx, row audit.Row, wrong error, statement string, args ...any) error {
	res, err := tx.ExecContext(ctx, statement, args...)
	if err != nil {
		return fmt.Errorf("relying party %q: %w", row.Object, err)
	}
	if n, err := res.RowsAffected(); err != nil || n != 1 {
		return errors.Join(err, fmt.Errorf("relying party %q: %w", row.Object, wrong))
	}
	return audit.Append(ctx, tx, row)
}

// Party gives the party; the error wraps identity.ErrNotFound where there is none.
func (r *Registry) Party(ctx context.Context, q Querier, id policies.RelyingPartyID) (Party, error) {
	var p Party
	if !idForm.MatchString(string(id)) {
		return p, fmt.Errorf("relying party: %w", identity.ErrNotFound)
	}
	var config string
	err := q.QueryRowContext(ctx, `SELECT config FROM oidc_party WHERE id = $1`, string(id)).Scan(&config)
	if errors.Is(err, sql.ErrNoRows) {
		return p, fmt.Errorf("relying party %q: %w", id, identity.ErrNotFound)
	}
	if err != nil {
		return p, fmt.Errorf("relying party %q: %w", id, err)
	}
	if err := json.Unmarshal([]byte(config), &p); err != nil {
		return p, fmt.Errorf("relying party %q: its configuration is damaged: %w", id, err)
	}
	return p, nil
}

// List gives every party, by id.
func (r *Registry) List(ctx context.Context) ([]Party, error) {
	rows, err := r.db.Reader().QueryContext(ctx, `SELECT config FROM oidc_party ORDER BY id`)
	if err != nil {
		return nil, fmt.Errorf("relying parties: %w", err)
	}
	defer rows.Close()
	var out []Party
	for rows.Next() {
		var config string
		var p Party
		if err := rows.Scan(&config); err != nil {
			return nil, fmt.Errorf("relying parties: %w", err)
		}
		if err := json.Unmarshal([]byte(config), &p); err != nil {
			return nil, fmt.Errorf("relying parties: a configuration is damaged: %w", err)
		}
		out = append(out, p)
	}
	return out, rows.Err()
}
