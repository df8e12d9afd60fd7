package directory

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/musubi-hub/musubi/policies"
)

// publish makes the staged rows the directory's, in one transaction. errMoved if the comparison doesn't hold any more.
func (s *Store) publish(ctx context.Context, batch int64, c *comparison, by Author) error {
	return s.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if err := s.beat(ctx, tx, batch, batchPublished); err != nil {
			return err
		}
		base, err := takeNumbers(ctx, tx, len(c.changes))
		if err != nil {
			return err
		}
		// From here on nobody else changes the directory.
		if base != c.head {
			if err := unmoved(ctx, tx, c, base); err != nil {
				return err
			}
		}
		for _, do := range s.publication(batch, base, c.result, by) {
			res, err := tx.ExecContext(ctx, do.text, do.args...)
			if err != nil {
				return fmt.Errorf("publish: %w", err)
			}
			n, err := res.RowsAffected()
			if err != nil {
				return fmt.Errorf("publish: %w", err)
			}
			if n != int64(do.want) && do.want >= 0 {
				return fmt.Errorf("publish: %d rows written, %d expected", n, do.want)
			}
		}
		return nil
	})
}

// unmoved looks at everybody whom others changed since the comparison.
func unmoved(ctx context.Context, tx *sql.Tx, c *comparison, base int64) error {
	q := sqlText("SELECT p.org, p.staff_number, p.email_key FROM feed f JOIN person p ON p.id = f.object WHERE 1=1")
	q.and("f.number > ?", c.head)
	q.and("f.number <= ?", base)
	return each(ctx, tx, q, func(rows *sql.Rows) error {
		var org, number, email string
		if err := rows.Scan(&org, &number, &email); err != nil {
			return fmt.Errorf("publish: %w", err)
		}
		if c.touches(policies.OrgID(org), number, email) {
			return errMoved
		}
		return nil
	})
}

// step is one statement of publishing and the number of rows that it must write; -1: any.
type step struct {
	want int
	text string
	args []any
}

// publication is set-based: the rows don't come back to this process. What a person was before is the record of their last change.
func (s *Store) publication(batch, base int64, r Result, by Author) []step {
	at := s.micros()
	steps := []step{{r.Added + r.Changed, `INSERT INTO feed (number, at, actor, source, why, kind, org, object, before_json, after_json)
		SELECT CAST($1 AS BIGINT) + s.ordinal, CAST($2 AS BIGINT), CAST($3 AS TEXT), CAST($4 AS TEXT), CAST($5 AS TEXT),
			CASE s.base WHEN 0 THEN '` + string(PersonAdded) + `' ELSE '` + string(PersonChanged) + `' END,
			s.org, s.id, COALESCE(f.after_json, ''), s.after_json
		FROM import_person s LEFT JOIN feed f ON f.number = s.base AND s.base > 0
		WHERE s.batch = $6`, []any{base, at, string(by.Actor), clean(by.Source), clean(by.Why), batch}}}
	if r.Changed > 0 {
		// Two people may swap addresses: those who change theirs step aside first, as uniqueness is checked row by row.
		steps = append(steps, step{-1, `UPDATE person SET email_key = '!' || person.id FROM import_person s
			WHERE s.batch = $1 AND s.base > 0 AND person.id = s.id AND person.email_key <> s.email_key`, []any{batch}},
			step{r.Changed, `UPDATE person SET family_name = s.family_name, given_name = s.given_name, family_kana = s.family_kana,
				given_kana = s.given_kana, email = s.email, email_key = s.email_key, role = s.role,
				updated_at = CAST($1 AS BIGINT), change = CAST($2 AS BIGINT) + s.ordinal
			FROM import_person s WHERE s.batch = $3 AND s.base > 0 AND person.id = s.id`, []any{at, base, batch}})
	}
	if r.Added > 0 {
		steps = append(steps, step{r.Added, `INSERT INTO person (id, org, staff_number, family_name, given_name, family_kana, given_kana,
				email, email_key, role, ended_at, updated_at, change)
			SELECT id, org, staff_number, family_name, given_name, family_kana, given_kana, email, email_key, role,
				0, CAST($1 AS BIGINT), CAST($2 AS BIGINT) + ordinal
			FROM import_person WHERE batch = $3 AND base = 0`, []any{at, base, batch}})
	}
	return steps
}
