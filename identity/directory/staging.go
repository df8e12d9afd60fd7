package directory

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

const staleBeat = 30 * time.Second

// States of a batch.
const (
	batchStaging   = "staging"
	batchPublished = "published"
	batchDropping  = "dropping"
)

// Sweep settles what an import has published and drops the staging of imports whose process died. Import calls it; a server calls it at
// start.
func (s *Store) Sweep(ctx context.Context) error {
	if _, err := s.Settle(ctx); err != nil {
		return err
	}
	old := s.micros() - staleBeat.Microseconds()
	query := sqlText("SELECT id FROM staged_batch WHERE 1=1")
	query.and("beat_at < ?", old)
	query.and("state <> ?", batchPublished)
	var batches []int64
	err := each(ctx, s.db.Reader(), query, func(rows *sql.Rows) error {
		var id int64
		err := rows.Scan(&id)
		batches = append(batches, id)
		return err
	})
	if err != nil {
		return err
	}
	for _, id := range batches {
		marked := false
		err := s.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
			// The state keeps a batch that wakes up after all from publishing half of what is left of it.
			res, err := tx.ExecContext(ctx, "UPDATE staged_batch SET state = $1 WHERE id = $2 AND beat_at < $3 AND state <> $4",
				batchDropping, id, old, batchPublished)
			if err != nil {
				return err
			}
			n, err := res.RowsAffected()
			marked = n == 1
			return err
		})
		if err != nil {
			return fmt.Errorf("sweep staging: %w", err)
		}
		if !marked {
			continue
		}
		if err := s.dropBatch(ctx, id, func(int64, int64, string) {}); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) openBatch(ctx context.Context) (batch int64, err error) {
	err = s.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		err := tx.QueryRowContext(ctx, "UPDATE staged_head SET last_batch = last_batch + 1 WHERE id = 1 RETURNING last_batch").Scan(&batch)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "INSERT INTO staged_batch (id, state, beat_at, base, at, actor, source, why) VALUES ($1, $2, $3, 0, 0, '', '', '')",
			batch, batchStaging, s.micros())
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("open staging: %w", err)
	}
	return batch, nil
}

// beat shows that the import lives, and finds out whether it may go on.
func (s *Store) beat(ctx context.Context, tx *sql.Tx, batch int64) error {
	res, err := tx.ExecContext(ctx, "UPDATE staged_batch SET beat_at = $1 WHERE id = $2 AND state = $3", s.micros(), batch, batchStaging)
	if err != nil {
		return fmt.Errorf("staging: %w", err)
	}
	n, err := res.RowsAffected()
	if err != nil {
		return fmt.Errorf("staging: %w", err)
	}
	if n != 1 {
		return ErrImportDropped
	}
	return nil
}

var stagingColumns = append(append([]string{"batch", "ordinal", "kind", "before"}, personData...), "email_key", "after_json")

// stage writes the changes into staging, chunk by chunk: leavers first, so that they are settled first.
func (s *Store) stage(ctx context.Context, batch int64, c *comparison) error {
	total := int64(len(c.leavers) + len(c.changes))
	c.opt.Progress(0, total, StageStage)
	pace := s.pace()
	return s.eachChange(ctx, c, func(first int, part []change) error {
		err := pace.do(ctx, func(ctx context.Context, tx *sql.Tx, _ int) error {
			if err := s.beat(ctx, tx, batch); err != nil {
				return err
			}
			_, err := s.db.Bulk(ctx, tx, "staged_person", stagingColumns, "", func(yield func([]any) bool) {
				for i := range part {
					if !yield(s.stagingValues(batch, first+i+1, &part[i])) {
						return
					}
				}
			})
			return err
		})
		c.opt.Progress(int64(first+len(part)), total, StageStage)
		return err
	}, func() int { return pace.size })
}

func (s *Store) stagingValues(batch int64, ordinal int, ch *change) []any {
	if ch.after.ID == "" {
		ch.after.ID = s.newID()
	}
	values := make([]any, 0, len(stagingColumns))
	values = append(values, batch, ordinal, string(ch.kind), ch.base)
	values = append(values, personValues(&ch.after)...)
	return append(values, emailKey(ch.after.Email), string(personJSON(&ch.after)))
}

// dropBatch deletes a batch that isn't published, rows first, in short transactions.
func (s *Store) dropBatch(ctx context.Context, batch int64, progress Progress) error {
	var rows int64
	err := s.db.Reader().QueryRowContext(ctx, "SELECT COALESCE(MAX(ordinal), 0) FROM staged_person WHERE batch = $1", batch).Scan(&rows)
	if err != nil {
		return fmt.Errorf("drop staging: %w", err)
	}
	pace := s.pace()
	for done := int64(0); done < rows; {
		err := pace.do(ctx, func(ctx context.Context, tx *sql.Tx, size int) error {
			done = min(done+int64(size), rows)
			_, err := tx.ExecContext(ctx, "DELETE FROM staged_person WHERE batch = $1 AND ordinal <= $2", batch, done)
			return err
		})
		if err != nil {
			return fmt.Errorf("drop staging: %w", err)
		}
		progress(done, rows, StageClean)
	}
	err = s.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "DELETE FROM staged_batch WHERE id = $1 AND state <> $2", batch, batchPublished)
		return err
	})
	if err != nil {
		return fmt.Errorf("drop staging: %w", err)
	}
	return nil
}
