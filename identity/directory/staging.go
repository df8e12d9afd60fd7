package directory

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/musubi-hub/musubi/identity"
)

// Rows are staged in chunks, each a transaction of its own, so that logins and other writers get their turn on SQLite.
const (
	chunkMin   = 100
	chunkFirst = 500
	chunkMax   = 4000
	chunkGoal  = 100 * time.Millisecond // the limit is 250 ms; slow disks need the rest
	staleBeat  = 30 * time.Second
)

// States of a batch.
const (
	batchStaging   = "staging"
	batchPublished = "published"
	batchDropping  = "dropping"
)

// Sweep drops the staging of imports whose process died. Import calls it; a server may call it at start.
func (s *Store) Sweep(ctx context.Context) error {
	old := s.micros() - staleBeat.Microseconds()
	query := sqlText("SELECT id FROM import_batch WHERE 1=1")
	query.and("beat_at < ?", old)
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
			res, err := tx.ExecContext(ctx, "UPDATE import_batch SET state = $1 WHERE id = $2 AND beat_at < $3", batchDropping, id, old)
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
		err := tx.QueryRowContext(ctx, "UPDATE import_head SET last_batch = last_batch + 1 WHERE id = 1 RETURNING last_batch").Scan(&batch)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "INSERT INTO import_batch (id, state, beat_at) VALUES ($1, $2, $3)", batch, batchStaging, s.micros())
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("open staging: %w", err)
	}
	return batch, nil
}

// beat shows that the import lives, and finds out whether it may go on.
func (s *Store) beat(ctx context.Context, tx *sql.Tx, batch int64, state string) error {
	res, err := tx.ExecContext(ctx, "UPDATE import_batch SET state = $1, beat_at = $2 WHERE id = $3 AND state = $4",
		state, s.micros(), batch, batchStaging)
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

var stagingColumns = []string{
	"batch", "ordinal", "base", "id", "org", "staff_number", "family_name", "given_name", "family_kana", "given_kana",
	"email", "email_key", "role", "after_json",
}

// stage writes the changes into staging, chunk by chunk; a chunk lasts about chunkGoal.
func (s *Store) stage(ctx context.Context, batch int64, c *comparison, progress Progress) error {
	total := len(c.changes)
	progress(0, int64(total), StageStage)
	size := chunkFirst
	for from := 0; from < total; {
		to := min(from+size, total)
		var began time.Time
		err := s.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
			began = s.now() // after the wait for the writer
			if err := s.beat(ctx, tx, batch, batchStaging); err != nil {
				return err
			}
			_, err := s.db.Bulk(ctx, tx, "import_person", stagingColumns, "", func(yield func([]any) bool) {
				for i, row := range c.changes[from:to] {
					if !yield(s.stagingValues(batch, from+i+1, c.found[row], &c.rows[row].Person)) {
						return
					}
				}
			})
			return err
		})
		if err != nil {
			return err
		}
		switch took := s.now().Sub(began); {
		case took > chunkGoal:
			size = max(size/2, chunkMin)
		case took < chunkGoal/3:
			size = min(size*2, chunkMax)
		}
		from = to
		progress(int64(from), int64(total), StageStage)
	}
	return nil
}

func (s *Store) stagingValues(batch int64, ordinal int, have found, p *identity.Person) []any {
	id := have.id
	if id == "" {
		id = s.newID()
	}
	return []any{
		batch, ordinal, have.base, string(id), string(p.Org), p.StaffNumber, p.FamilyName, p.GivenName, p.FamilyKana, p.GivenKana,
		p.Email, emailKey(p.Email), string(p.Role), string(personJSON(p)),
	}
}

// dropBatch deletes the batch, rows first, in short transactions.
func (s *Store) dropBatch(ctx context.Context, batch int64, progress Progress) error {
	var rows int64
	err := s.db.Reader().QueryRowContext(ctx, "SELECT COALESCE(MAX(ordinal), 0) FROM import_person WHERE batch = $1", batch).Scan(&rows)
	if err != nil {
		return fmt.Errorf("drop staging: %w", err)
	}
	for done := int64(0); done < rows; {
		done = min(done+chunkMax, rows)
		err := s.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, "DELETE FROM import_person WHERE batch = $1 AND ordinal <= $2", batch, done)
			return err
		})
		if err != nil {
			return fmt.Errorf("drop staging: %w", err)
		}
		progress(done, rows, StageClean)
	}
	err = s.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "DELETE FROM import_batch WHERE id = $1", batch)
		return err
	})
	if err != nil {
		return fmt.Errorf("drop staging: %w", err)
	}
	return nil
}
