package breaker

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/musubi-hub/musubi/policies"
)

// Keeps tells which breaker keeps a person's account in a product from being taken away; scope as for List.
func (s *Store) Keeps(ctx context.Context, scope policies.Scope, person policies.PersonID) (map[policies.Product]string, error) {
	if err := mayRead(scope); err != nil {
		return nil, err
	}
	kept := map[policies.Product]string{}
	err := each(ctx, s.db.Reader(), func(rows *sql.Rows) error {
		var product policies.Product
		var trip string
		err := rows.Scan(&product, &trip)
		kept[product] = trip
		return err
	}, `SELECT product, trip FROM breaker_hold WHERE person = $1 AND loss = $2 AND state = 'held' ORDER BY at`, string(person), string(LossAccounts))
	if err != nil {
		return nil, fmt.Errorf("breakers: %w", err)
	}
	return kept, nil
}
