package provision

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/musubi-hub/musubi/connectors"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/jobs"
)

// refused says what follows when the vendor refuses to add or remove members: one of them may be the reason, so the halves are tried by
// themselves until it stands alone. Everything else is as with any call that may be repeated. removed is what was done before.
func refused(ctx context.Context, conn connectors.Opened, v View, err error, people, removed []policies.PersonID) Effect {
	kind := connectors.KindOf(err)
	switch kind {
	case connectors.KindInvalid, connectors.KindNotFound, connectors.KindConflict, connectors.KindTooLarge:
	default:
		return failedIdempotent(err)
	}
	if kind == connectors.KindNotFound && conn.Groups != nil {
		// Is it the group that is gone, or a member?
		g, ferr := conn.Groups.FindGroup(ctx, v.Group.Name)
		switch {
		case connectors.KindOf(ferr) == connectors.KindNotFound, ferr == nil && g.ID != v.Group.GroupID:
			e := quarantine(err, "the group was deleted in the product: make it again there under the same name, or ask for the hub's ledger to be corrected")
			e.Removed = removed
			return e
		case ferr != nil:
			return retry(ferr)
		}
	}
	if len(people) > 1 {
		half := (len(people) + 1) / 2
		return Effect{
			Outcome: OutcomeSplit, Reason: "the vendor refuses the batch: " + err.Error(), Parts: [][]policies.PersonID{people[:half], people[half:]}, Removed: removed,
		}
	}
	e := quarantine(err, "look at this account in the product: it may have been deleted or changed there; then `musubi quarantine retry`")
	e.Removed = removed
	if len(people) == 1 {
		e.Bad = people[0]
	}
	return e
}

// split puts the parts of a refused batch in its place, within the transaction that closes it. Whoever waited for it waits for every part.
func (s *Store) split(ctx context.Context, tx *sql.Tx, op Op, parts [][]policies.PersonID) error {
	// The plan's row puts two splits of one run in order: both number their parts.
	if _, err := tx.ExecContext(ctx, `UPDATE provision_plan SET started_at = started_at WHERE run=$1`, op.Run); err != nil {
		return err
	}
	var last, tried int
	if err := tx.QueryRowContext(ctx, `SELECT MAX(seq) FROM provision_op WHERE run=$1`, op.Run).Scan(&last); err != nil {
		return err
	}
	if err := tx.QueryRowContext(ctx, `SELECT tried FROM provision_op WHERE run=$1 AND seq=$2`, op.Run, op.Seq).Scan(&tried); err != nil {
		return err
	}
	var ready []jobs.Insert
	for i, members := range parts {
		part := op
		part.Seq, part.Members = last+1+i, members
		_, err := tx.ExecContext(ctx, `INSERT INTO provision_op (run, seq, product, kind, payload, waits, enqueued, tried) VALUES ($1,$2,$3,$4,$5,0,1,$6)`,
			op.Run, part.Seq, string(op.Product), string(op.Kind), encodeJSON(part), tried)
		if err != nil {
			return err
		}
		for _, query := range []string{
			`UPDATE provision_op SET waits = waits + 1 WHERE run=$1 AND seq IN (SELECT next FROM provision_edge WHERE run=$1 AND seq=$2)`,
			`INSERT INTO provision_edge (run, seq, next) SELECT run, CAST($3 AS INTEGER), next FROM provision_edge WHERE run=$1 AND seq=$2`,
			`INSERT INTO provision_edge (run, seq, next) SELECT run, seq, CAST($3 AS INTEGER) FROM provision_edge WHERE run=$1 AND next=$2`,
		} {
			args := []any{op.Run, op.Seq, part.Seq}
			if query[:6] == "UPDATE" {
				args = args[:2]
			}
			if _, err := tx.ExecContext(ctx, query, args...); err != nil {
				return fmt.Errorf("split a batch: %w", err)
			}
		}
		ready = append(ready, opInsert(op.Run, part.Seq, op.Product))
	}
	if len(ready) == 0 {
		return errors.New("a batch was split into nothing")
	}
	_, err := s.jobs.InsertTx(ctx, tx, ready...)
	return err
}
