package rollover

import (
	"context"
	"crypto/x509"
	"database/sql"
	"fmt"

	"github.com/musubi-hub/musubi/identity/keys"
	"github.com/musubi-hub/musubi/identity/samlidp/sp"
)

// Ending is a certificate of ours that ends soon, or has ended.
type Ending struct {
	Key   keys.Key
	Until int64 // UTC, microseconds
	Days  int   // the threshold that was reached: see sp.Crossed
}

// EndingOf tells whether the certificate (DER) of a key ends soon, at a time in UTC microseconds.
func EndingOf(k keys.Key, der []byte, at int64) (e Ending, ok bool, err error) {
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return e, false, fmt.Errorf("rollover: the certificate of key %s: %w", k.ID, err)
	}
	days, ok := sp.Crossed(c.NotAfter.UnixMicro(), at)
	return Ending{k, c.NotAfter.UnixMicro(), days}, ok, nil
}

// Warn calls tell for each ending that nobody was told of yet, in the transaction that remembers it: each threshold of a key once, on whatever node.
func (s *Store) Warn(ctx context.Context, endings []Ending, at int64, tell func(ctx context.Context, tx *sql.Tx, e Ending) error) error {
	for _, e := range endings {
		err := s.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
			res, err := tx.ExecContext(ctx, `INSERT INTO saml_key_warning (key_id, days, at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`, e.Key.ID, e.Days, at)
			if err != nil {
				return fmt.Errorf("rollover: %w", err)
			}
			if n, err := res.RowsAffected(); err != nil || n == 0 {
				return err
			}
			return tell(ctx, tx, e)
		})
		if err != nil {
			return err
		}
	}
	return nil
}
