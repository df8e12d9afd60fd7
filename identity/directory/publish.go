package directory

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/musubi-hub/musubi/policies"
)

// catchUp is how many changes of others publishing looks through in its transaction; more are looked through before.
const catchUp = 200

// errBehind says that there are more.
var errBehind = fmt.Errorf("more than %d changes since the comparison", catchUp)

// publish makes the staged rows the directory's, in one small transaction. errMoved if the comparison doesn't hold any more; errUnsettled
// if another import must be settled first. What record says goes into the audit log, in the same transaction.
func (s *Store) publish(ctx context.Context, batch int64, c *comparison, by Author, record func(base int64) map[string]any) error {
	return s.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		base, err := takeNumbers(ctx, tx, len(c.leavers)+len(c.changes))
		if err != nil {
			return err
		}
		// From here on nobody else changes the directory.
		if err := s.beat(ctx, tx, batch); err != nil {
			return err
		}
		if base > c.head+catchUp {
			return errBehind
		}
		if base != c.head {
			if err := unmoved(ctx, tx, c, base); err != nil {
				return err
			}
		}
		res, err := tx.ExecContext(ctx, "UPDATE staged_head SET live = $1 WHERE id = 1 AND live = 0", batch)
		if err != nil {
			return fmt.Errorf("publish: %w", err)
		}
		if n, err := res.RowsAffected(); err != nil || n != 1 {
			return errUnsettled
		}
		_, err = tx.ExecContext(ctx, "UPDATE staged_batch SET state = $1, base = $2, at = $3, actor = $4, source = $5, why = $6 WHERE id = $7",
			batchPublished, base, s.micros(), string(by.Actor), clean(by.Source), clean(by.Why), batch)
		if err != nil {
			return fmt.Errorf("publish: %w", err)
		}
		return s.audit(ctx, tx, by, "people.import", c.only(), "", record(base))
	})
}

// only is the one organization that a file speaks of; empty if there are several, whose administrators see what happened in the feed.
func (c *comparison) only() policies.OrgID {
	if len(c.orgs) != 1 {
		return ""
	}
	for id := range c.orgs {
		return id
	}
	return ""
}

// follow looks at what others changed since the comparison, outside any transaction, and brings the comparison up to now.
func (s *Store) follow(ctx context.Context, c *comparison) error {
	head, err := feedHead(ctx, s.db.Reader())
	if err != nil {
		return err
	}
	if err := unmoved(ctx, s.db.Reader(), c, head); err != nil {
		return err
	}
	c.head = head
	return nil
}

func feedHead(ctx context.Context, q querier) (head int64, err error) {
	if err := q.QueryRowContext(ctx, "SELECT last_number FROM feed_head WHERE id = 1").Scan(&head); err != nil {
		return 0, fmt.Errorf("directory: read feed: %w", err)
	}
	return head, nil
}

// unmoved looks at everybody whom others changed since the comparison, up to the number base. Whoever is changed again after base
// is seen as of now, which is as good.
func unmoved(ctx context.Context, q querier, c *comparison, base int64) error {
	query := sqlText("SELECT object FROM feed_now WHERE 1=1")
	query.and("number > ?", c.head)
	query.and("number <= ?", base)
	query.and("kind NOT LIKE ?", "org.%")
	ids := map[string]struct{}{}
	err := each(ctx, q, query, func(rows *sql.Rows) error {
		var id string
		err := rows.Scan(&id)
		ids[id] = struct{}{}
		return err
	})
	if err != nil {
		return err
	}
	for part := range slices.Chunk(slices.Collect(maps.Keys(ids)), 500) {
		args := make([]any, len(part))
		for i, id := range part {
			args[i] = id
		}
		query := sqlText("SELECT id, org, staff_number, email_key FROM person_now WHERE 1=1")
		query.and("id IN (?"+strings.Repeat(",?", len(args)-1)+")", args...)
		err := each(ctx, q, query, func(rows *sql.Rows) error {
			var id, org, number, email string
			if err := rows.Scan(&id, &org, &number, &email); err != nil {
				return fmt.Errorf("publish: %w", err)
			}
			if c.touches(policies.PersonID(id), policies.OrgID(org), number, email) {
				return errMoved
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
