package jobs

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// How keys are forgotten.
const (
	pruneEvery = time.Hour
	pruneBatch = 500
)

// pruneLoop forgets old keys every hour. All nodes do it; a key that is gone is no error.
func (c *Client) pruneLoop(ctx context.Context) {
	tick := time.NewTicker(pruneEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if _, err := c.PruneKeys(ctx, c.now().Add(-keyKept)); err != nil && ctx.Err() == nil {
			c.log.ErrorContext(ctx, "forget old job keys", "error", err)
		}
	}
}

// PruneKeys forgets the idempotency keys of jobs from before the given time and returns how many. It looks them up through the
// reader and deletes a few hundred at a time, so that writers hardly notice.
func (c *Client) PruneKeys(ctx context.Context, before time.Time) (int, error) {
	total := 0
	for {
		keys, err := c.oldKeys(ctx, before)
		if err != nil {
			return total, fmt.Errorf("jobs: prune keys: %w", err)
		}
		if len(keys) == 0 {
			return total, nil
		}
		err = c.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
			for _, k := range keys {
				if _, err := tx.ExecContext(ctx, "DELETE FROM job_key WHERE kind = $1 AND key = $2", k.kind, k.key); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return total, fmt.Errorf("jobs: prune keys: %w", err)
		}
		total += len(keys)
	}
}

func (c *Client) oldKeys(ctx context.Context, before time.Time) (keys []jobKey, err error) {
	rows, err := c.db.Reader().QueryContext(ctx, "SELECT kind, key FROM job_key WHERE created_at < $1 LIMIT $2", before.UnixMicro(), pruneBatch)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var k jobKey
		if err := rows.Scan(&k.kind, &k.key); err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	return keys, rows.Err()
}
