package samlidp

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// keepLogouts is how long receipts are kept; the audit log keeps them longer.
const keepLogouts = 90 * 24 * time.Hour

// Sweep deletes what has expired, at most limit rows of a kind, and says how many rows went.
func (p *Provider) Sweep(ctx context.Context, limit int) (n int64, err error) {
	at := p.opt.Now().UnixMicro()
	for _, s := range []struct {
		statement string
		before    int64
	}{
		{`DELETE FROM saml_request WHERE hash IN (SELECT hash FROM saml_request WHERE expires_at <= $1 LIMIT $2)`, at},
		{`DELETE FROM saml_waiting WHERE hash IN (SELECT hash FROM saml_waiting WHERE expires_at <= $1 LIMIT $2)`, at},
		{`DELETE FROM saml_grant WHERE id IN (SELECT id FROM saml_grant WHERE expires_at <= $1 LIMIT $2)`, at},
		{`DELETE FROM saml_leave WHERE id IN (SELECT id FROM saml_leave WHERE expires_at <= $1 LIMIT $2)`, at},
		{`DELETE FROM saml_logout WHERE id IN (SELECT id FROM saml_logout WHERE state <> 'pending' AND created_at < $1 LIMIT $2)`, at - keepLogouts.Microseconds()},
	} {
		err := p.opt.DB.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
			res, err := tx.ExecContext(ctx, s.statement, s.before, limit)
			if err != nil {
				return err
			}
			gone, err := res.RowsAffected()
			n += gone
			return err
		})
		if err != nil {
			return n, fmt.Errorf("samlidp: sweep: %w", err)
		}
	}
	return n, nil
}
