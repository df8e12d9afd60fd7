package rollover

import (
	"context"
	"crypto/x509"
	"database/sql"
	"fmt"

	"github.com/musubi-hub/musubi/identity/keys"
	"github.com/musubi-hub/musubi/identity/samlidp/sp"
)

// Ending is when the certificate of a key of ours ends.
type Ending struct {
	Key   keys.Key
	Until int64 // UTC, microseconds
	Soon  bool  // a threshold was reached
	Days  int   // which one: see sp.Crossed
}

// EndingOf tells when the certificate (DER) of a key ends, looked at at a time in UTC microseconds.
func EndingOf(k keys.Key, der []byte, at int64) (e Ending, err error) {
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return e, fmt.Errorf("rollover: the certificate of key %s: %w", k.ID, err)
	}
	e = Ending{Key: k, Until: c.NotAfter.UnixMicro()}
	e.Days, e.Soon = sp.Crossed(e.Until, at)
	return e, nil
}

// Warn calls tell for each that ends soon and that nobody was told of yet, in the transaction that remembers it: each threshold of a key once, on whatever node.
func (s *Store) Warn(ctx context.Context, endings []Ending, at int64, tell func(ctx context.Context, tx *sql.Tx, e Ending) error) error {
	for _, e := range endings {
		if !e.Soon {
			continue
		}
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
