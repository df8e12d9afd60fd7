package samlidp

import (
	"context"
	"database/sql"
	"fmt"
)

// Sweep deletes what has expired, at most limit rows of a kind, and says how many rows went.
func (p *Provider) Sweep(ctx context.Context, limit int) (n int64, err error) {
	for _, statement := range []string{
		`DELETE FROM saml_request WHERE hash IN (SELECT hash FROM saml_request WHERE expires_at <= $1 LIMIT $2)`,
		`DELETE FROM saml_waiting WHERE hash IN (SELECT hash FROM saml_waiting WHERE expires_at <= $1 LIMIT $2)`,
		`DELETE FROM saml_grant WHERE id IN (SELECT id FROM saml_grant WHERE expires_at <= $1 LIMIT $2)`,
	} {
		err := p.opt.DB.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
			res, err := tx.ExecContext(ctx, statement, p.opt.Now().UnixMicro(), limit)
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
