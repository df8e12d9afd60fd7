package directory

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/policies"
)

// KeepNotice keeps what the system administrator is to be told, once per id. It is the effect of the job that EnqueueNotice makes.
func (s *Store) KeepNotice(ctx context.Context, n identity.Notice) error {
	return s.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO notice (id, at, kind, org, object, detail) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (id) DO NOTHING",
			n.ID, n.At, n.Kind, string(n.Org), n.Object, clean(n.Detail))
		if err != nil {
			return fmt.Errorf("directory: keep notice: %w", err)
		}
		return nil
	})
}

// Notices lists what the system administrator was told, newest first, at most limit (0: DefaultPage; at most MaxPage). They concern the hub as a
// whole: it takes jobs.read over every organization.
func (s *Store) Notices(ctx context.Context, scope policies.Scope, limit int) ([]identity.Notice, error) {
	if err := permit(scope, policies.ActionJobsRead); err != nil {
		return nil, err
	}
	if !scope.All() {
		return nil, fmt.Errorf("directory: notices need a right over the whole workspace: %w", identity.ErrRefused)
	}
	q := sqlText("SELECT id, at, kind, org, object, detail FROM notice WHERE 1=1")
	q.page("at DESC, id", pageSize(limit))
	var list []identity.Notice
	err := each(ctx, s.db.Reader(), q, func(rows *sql.Rows) error {
		var n identity.Notice
		var org string
		if err := rows.Scan(&n.ID, &n.At, &n.Kind, &org, &n.Object, &n.Detail); err != nil {
			return fmt.Errorf("directory: read notice: %w", err)
		}
		n.Org = policies.OrgID(org)
		list = append(list, n)
		return nil
	})
	return list, err
}
