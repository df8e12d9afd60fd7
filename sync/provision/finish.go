package provision

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/jobs"
)

// Finish implements Ledger: the effect, the receipt, and the jobs that became ready, in one transaction.
func (s *Store) Finish(ctx context.Context, op Op, e Effect) error {
	err := s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		open, err := s.close(ctx, tx, op, e)
		if err != nil {
			return err
		}
		// An operation that was final already, stopped while its call was on the way, say, still records what the call did.
		if err := s.record(ctx, tx, op, e); err != nil {
			return err
		}
		if err := s.chase(ctx, tx, op, e); err != nil {
			return err
		}
		if open {
			if err := s.settle(ctx, tx, op, e); err != nil {
				return err
			}
		}
		switch {
		case !open || e.Outcome == OutcomeRetry:
			return nil
		case op.Kind == OpRelease:
			if e.Outcome != OutcomeDone {
				return nil
			}
			return s.witnessRelease(ctx, tx, op, e)
		}
		return s.release(ctx, tx, op)
	})
	if err != nil {
		return fmt.Errorf("finish %s of %s/%d: %w", op.Kind, op.Run, op.Seq, err)
	}
	return nil
}

// close writes the outcome into the operation's own row; open is false where the operation was final already.
func (s *Store) close(ctx context.Context, tx *sql.Tx, op Op, e Effect) (open bool, err error) {
	state, receipt, doneAt := string(e.Outcome), encodeJSON(e.Receipt), s.now().UnixMicro()
	attempts := 0
	if e.Outcome == OutcomeRetry {
		state, receipt, attempts = "pending", "", 1 // done_at is then when it was last tried
	}
	var res sql.Result
	if op.Kind == OpRelease {
		if e.Outcome == OutcomeQuarantined {
			state, doneAt = "pending", 0 // a leaver stays on the list until the account is gone
		}
		res, err = tx.ExecContext(ctx, `UPDATE provision_leaver SET state=$4, reason=$5, receipt=$6, done_at=$7, attempts=attempts+$8, failure=$9
			WHERE product=$1 AND person_id=$2 AND cause=$3 AND state='pending'`,
			string(op.Product), string(op.Person), op.Cause, state, short(e.Reason), receipt, doneAt, attempts, e.Failure)
	} else {
		res, err = tx.ExecContext(ctx, `UPDATE provision_op SET state=$3, reason=$4, receipt=$5, done_at=$6, attempts=attempts+$7, failure=$8
			WHERE run=$1 AND seq=$2 AND state='pending'`, op.Run, op.Seq, state, short(e.Reason), receipt, doneAt, attempts, e.Failure)
	}
	if err != nil {
		return false, err
	}
	n, err := res.RowsAffected()
	return n == 1, err
}

// record brings the ledger to the effect.
func (s *Store) record(ctx context.Context, tx *sql.Tx, op Op, e Effect) error {
	now, releases := s.now().UnixMicro(), 0
	if op.Kind == OpRelease {
		releases = 1
	}
	if a := e.Account; a != nil {
		_, err := tx.ExecContext(ctx, `INSERT INTO provision_account (`+accountColumns+`, updated_at) VALUES ($1,$2,$3,$4,$5,$6,$7,$8,0,$9)
			ON CONFLICT (product, person_id) DO UPDATE SET org_id=$3, seat=$4, account_id=$5, join_id=$6, state=$7, attributes=$8, tried_at=0, updated_at=$9
			WHERE CAST($10 AS INTEGER)=0 OR provision_account.account_id IN ('', excluded.account_id)`, // a release doesn't bring back an account that was replaced meanwhile
			string(a.Product), string(a.Person), string(a.Org), string(a.Seat), a.AccountID, a.JoinID, string(a.State), encodeJSON(a.Attributes), now, releases)
		if err != nil {
			return err
		}
	} else if op.Kind == OpAccount && e.Untried {
		if _, err := tx.ExecContext(ctx, `UPDATE provision_account SET tried_at=$3 WHERE product=$1 AND person_id=$2 AND (CAST($4 AS BIGINT)=0 OR tried_at=$4)`,
			string(op.Product), string(op.Person), micros(e.Tried), e.Began); err != nil {
			return err
		}
	}
	if g := e.Group; g != nil {
		_, err := tx.ExecContext(ctx, `INSERT INTO provision_group (product, org_id, group_id, name, tried_at, updated_at) VALUES ($1,$2,$3,$4,0,$5)
			ON CONFLICT (product, org_id) DO UPDATE SET group_id=$3, name=$4, tried_at=0, updated_at=$5`,
			string(g.Product), string(g.Org), g.GroupID, g.Name, now)
		if err != nil {
			return err
		}
	} else if op.Kind == OpGroup && e.Untried {
		if _, err := tx.ExecContext(ctx, `UPDATE provision_group SET tried_at=$3 WHERE product=$1 AND org_id=$2 AND (CAST($4 AS BIGINT)=0 OR tried_at=$4)`,
			string(op.Product), string(op.Org), micros(e.Tried), e.Began); err != nil {
			return err
		}
	}
	if e.Outcome == OutcomeDone && (op.Kind == OpReplace || op.Kind == OpRelease) {
		if _, err := tx.ExecContext(ctx, `DELETE FROM provision_heir WHERE product=$1 AND person_id=$2`, string(op.Product), string(op.Person)); err != nil {
			return err
		}
	}
	for _, m := range e.Added {
		if _, err := tx.ExecContext(ctx, `INSERT INTO provision_member (product, person_id, org_id, state, stamp) VALUES ($1,$2,$3,'in',$4)
			ON CONFLICT (product, person_id, org_id) DO UPDATE SET state='in', stamp=$4`,
			string(op.Product), string(m), string(op.Org), now); err != nil {
			return err
		}
	}
	for _, m := range e.Removed {
		stamp, there := e.Stamps[m]
		if e.Stamps != nil && !there {
			continue // put in after the removal began
		}
		if err := s.unmember(ctx, tx, member{op.Product, m, op.Org}, e.Stamps != nil, stamp); err != nil {
			return err
		}
	}
	for _, org := range e.Out {
		// Out is the account that the release knew; one that was put in its place meanwhile is still in.
		if _, err := tx.ExecContext(ctx, `DELETE FROM provision_member WHERE product=$1 AND person_id=$2 AND org_id=$3
			AND EXISTS (SELECT 1 FROM provision_account a WHERE a.product=$1 AND a.person_id=$2 AND a.account_id=$4)`,
			string(op.Product), string(op.Person), string(org), e.Receipt.AccountID); err != nil {
			return err
		}
	}
	return nil
}

// member is one membership.
type member struct {
	product policies.Product
	person  policies.PersonID
	org     policies.OrgID
}

// unmember forgets a membership; exact: only while it is the one of that stamp. An addition of a plan that was stopped may land after a
// removal's call and be written down before its end: that row stays, and the next plan takes the person out.
func (s *Store) unmember(ctx context.Context, tx *sql.Tx, m member, exact bool, stamp int64) error {
	query, args := `DELETE FROM provision_member WHERE product=$1 AND person_id=$2 AND org_id=$3`, []any{string(m.product), string(m.person), string(m.org)}
	if exact {
		query, args = query+` AND stamp=$4`, append(args, stamp)
	}
	_, err := tx.ExecContext(ctx, query, args...)
	return err
}

// chase starts a leaver's work anew where this effect granted something to somebody who left while the call was on its way.
func (s *Store) chase(ctx context.Context, tx *sql.Tx, op Op, e Effect) error {
	if op.Kind == OpRelease {
		return nil
	}
	granted := e.Added
	if e.Account != nil && e.Account.State == StateActive {
		granted = append(granted[:len(granted):len(granted)], e.Account.Person)
	}
	for _, person := range granted {
		left, err := touch(ctx, tx, person)
		if err != nil {
			return err
		}
		if left == 0 {
			continue
		}
		if err := s.startRelease(ctx, tx, startedRelease{product: op.Product, person: person, cause: grantCause(op), left: left, passes: true}); err != nil {
			return err
		}
	}
	return nil
}

// release lets those operations go that waited for this one.
func (s *Store) release(ctx context.Context, tx *sql.Tx, op Op) error {
	type freed struct {
		seq, waits int
		product    policies.Product
	}
	next, err := collect(ctx, tx, func(rows *sql.Rows) (f freed, err error) {
		return f, rows.Scan(&f.seq, &f.waits, &f.product)
	}, `UPDATE provision_op SET waits = waits - 1 WHERE run=$1 AND seq IN (SELECT next FROM provision_edge WHERE run=$1 AND seq=$2)
		RETURNING seq, waits, product`, op.Run, op.Seq)
	if err != nil {
		return err
	}
	var ready []jobs.Insert
	var seqs []int
	for _, f := range next {
		if f.waits == 0 {
			ready = append(ready, opInsert(op.Run, f.seq, f.product))
			seqs = append(seqs, f.seq)
		}
	}
	if len(ready) == 0 {
		return nil
	}
	for _, seq := range seqs {
		if _, err := tx.ExecContext(ctx, `UPDATE provision_op SET enqueued=1 WHERE run=$1 AND seq=$2`, op.Run, seq); err != nil {
			return err
		}
	}
	_, err = s.jobs.InsertTx(ctx, tx, ready...)
	return err
}

// EnqueueLeaver is the leavers' part of access.Enqueuer: in the transaction that ends people, it marks them so that nothing is granted to them
// any more, and starts the work that ends every account. It needs neither plan nor approval. What a breaker holds waits for a person.
func (s *Store) EnqueueLeaver(ctx context.Context, tx *sql.Tx, list ...access.Leaver) error {
	var work []leaving
	for _, l := range list {
		if l.At == 0 {
			return errors.New("enqueue leaver: the time of leaving is missing")
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO provision_person (person_id, leaver_at, touched) VALUES ($1,$2,1)
			ON CONFLICT (person_id) DO UPDATE SET leaver_at=$2, touched = provision_person.touched + 1`, string(l.Person), l.At)
		if err != nil {
			return fmt.Errorf("enqueue leaver: %w", err)
		}
		of, err := collect(ctx, tx, func(rows *sql.Rows) (leaving, error) {
			w := leaving{leaver: l}
			return w, rows.Scan(&w.product, &w.org)
		}, `SELECT product, org_id FROM provision_account WHERE person_id=$1 AND (state <> 'disabled' OR tried_at <> 0
			OR EXISTS (SELECT 1 FROM provision_heir h WHERE h.product=provision_account.product AND h.person_id=provision_account.person_id)) ORDER BY product`, string(l.Person))
		if err != nil {
			return fmt.Errorf("enqueue leaver: %w", err)
		}
		work = append(work, of...)
	}
	held, err := s.admitLeavers(ctx, tx, work)
	if err != nil {
		return fmt.Errorf("enqueue leaver: %w", err)
	}
	for _, w := range work {
		r := startedRelease{product: w.product, person: w.leaver.Person, cause: fmt.Sprintf("left %d", w.leaver.At), left: w.leaver.At, trip: held[w.item()], passes: s.passes(w.leaver), change: causeOf(w.leaver.Origin).Change(), role: w.leaver.Role}
		if err := s.startRelease(ctx, tx, r); err != nil {
			return fmt.Errorf("enqueue leaver: %w", err)
		}
	}
	return nil
}

// startedRelease is the work that a leaver leaves in one product.
type startedRelease struct {
	product policies.Product
	person  policies.PersonID
	cause   string
	left    int64
	trip    string // of the breaker that holds it; empty: none
	passes  bool   // no breaker may hold it
	role    policies.Role
	change  string // upstream
}

func (s *Store) startRelease(ctx context.Context, tx *sql.Tx, r startedRelease) error {
	state, passes := "pending", 0
	if r.trip != "" {
		state = "held"
	}
	if r.passes {
		passes = 1
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO provision_leaver (product, person_id, cause, left_at, state, trip, passes, origin) VALUES ($1,$2,$3,$4,$5,$6,$7,$8) ON CONFLICT DO NOTHING`,
		string(r.product), string(r.person), r.cause, r.left, state, r.trip, passes, r.change)
	if err != nil || r.trip != "" {
		return err
	}
	_, err = s.jobs.InsertTx(ctx, tx, jobs.Insert{Args: LeaverArgs{Product: r.product, Person: r.person, Cause: r.cause}, Queue: UrgentQueue(r.product), Priority: leaverPriority(r.role)})
	return err
}

// leaverPriority puts those first who may do most: in a wave the last one waits for the vendor.
func leaverPriority(r policies.Role) int {
	switch r {
	case policies.RoleGeneral:
		return 3
	case policies.RoleAdministrator:
		return 2
	case policies.RoleSystemAdministrator:
	}
	return 1 // also where nobody said
}

// short bounds what is stored of a vendor's words.
func short(text string) string {
	const limit = 1000
	if r := []rune(text); len(r) > limit {
		return string(r[:limit]) + "…"
	}
	return text
}
