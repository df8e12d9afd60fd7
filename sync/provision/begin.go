package provision

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/policies"
)

// querier is what *sql.DB and *sql.Tx share.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// Begin implements Ledger. An operation that makes something records its intent in a transaction; the others only read.
func (s *Store) Begin(ctx context.Context, run string, seq int) (View, error) {
	v, err := s.readOp(ctx, s.db.Reader(), run, seq)
	if err != nil || v.Standing != StandingOpen {
		return v, err
	}
	if v.Op.Kind != OpGroup && v.Op.Kind != OpAccount && v.Op.Kind != OpAdd && v.Op.Kind != OpReplace {
		if v.Op.Kind == OpRemove {
			if v.Stamps, err = s.stamps(ctx, v.Op); err != nil {
				return v, err
			}
		}
		if err := s.fill(ctx, s.db.Reader(), &v); err != nil {
			return v, err
		}
		return v, s.check(ctx, s.db.Reader(), &v)
	}
	err = s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		v.Began = s.now().UnixMicro()
		if v.Op.Kind == OpAccount || v.Op.Kind == OpReplace {
			left, err := touch(ctx, tx, v.Op.Person)
			if err != nil {
				return err
			}
			if left != 0 {
				v.Left = map[policies.PersonID]bool{v.Op.Person: true}
			}
		}
		if err := s.fill(ctx, tx, &v); err != nil {
			return err
		}
		if v.Op.Kind == OpAdd {
			if err := s.inside(ctx, tx, &v); err != nil {
				return err
			}
		}
		if v.Op.Kind == OpReplace {
			return s.intendHeir(ctx, tx, &v)
		}
		return s.intend(ctx, tx, v)
	})
	if err != nil {
		return View{}, fmt.Errorf("begin operation %s/%d: %w", run, seq, err)
	}
	return v, nil
}

// write runs a small write. On SQLite it shares its commit with others, because there is one writer; on PostgreSQL it has a
// transaction of its own: those run side by side, and two nodes never hold each other's rows longer than one operation.
func (s *Store) write(ctx context.Context, fn func(ctx context.Context, tx *sql.Tx) error) error {
	if s.db.Engine() == sqldb.SQLite {
		return s.db.Group(ctx, fn)
	}
	return s.db.WithTx(ctx, fn)
}

func (s *Store) readOp(ctx context.Context, q querier, run string, seq int) (View, error) {
	v := View{Rival: s.rival}
	var payload, state string
	var plan sql.NullString
	var tried int
	err := q.QueryRowContext(ctx, `SELECT o.payload, o.state, o.attempts, o.tried, p.state FROM provision_op o LEFT JOIN provision_plan p ON p.run = o.run WHERE o.run=$1 AND o.seq=$2`, run, seq).
		Scan(&payload, &state, &v.Attempts, &tried, &plan)
	if errors.Is(err, sql.ErrNoRows) {
		v.Standing = StandingFinal // its run was staged again after a crash; the new run has jobs of its own
		return v, nil
	}
	if err != nil {
		return v, fmt.Errorf("read operation %s/%d: %w", run, seq, err)
	}
	if err := decodeJSON(payload, &v.Op); err != nil {
		return v, fmt.Errorf("read operation %s/%d: %w", run, seq, err)
	}
	v.Op.Run, v.Op.Seq, v.Tried = run, seq, tried != 0
	switch {
	case state != "pending":
		v.Standing = StandingFinal
	case plan.String == string(PlanStaging):
		v.Standing = StandingHeld
	case plan.String != string(PlanRunning):
		v.Standing = StandingFinal
	}
	return v, nil
}

// fill reads the ledger rows that an operation concerns.
func (s *Store) fill(ctx context.Context, q querier, v *View) error {
	people := v.Op.Members
	if v.Op.Person != "" {
		people = []policies.PersonID{v.Op.Person}
	}
	if v.Left == nil {
		v.Left = map[policies.PersonID]bool{}
	}
	v.Accounts = make(map[policies.PersonID]AccountRow, len(people))
	group, err := readGroup(ctx, q, v.Op.Product, v.Op.Org)
	if err != nil {
		return err
	}
	v.Group = group
	if len(people) == 0 {
		return nil
	}
	in, args := placeholders(people, 2)
	rows, err := q.QueryContext(ctx, `SELECT `+accountColumns+` FROM provision_account WHERE product=$1 AND person_id IN (`+in+`)`,
		append([]any{string(v.Op.Product)}, args...)...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		row, err := scanAccount(rows)
		if err != nil {
			return err
		}
		v.Accounts[row.Person] = row
	}
	if err := rows.Err(); err != nil {
		return err
	}
	in, args = placeholders(people, 1)
	left, err := q.QueryContext(ctx, `SELECT person_id FROM provision_person WHERE leaver_at <> 0 AND person_id IN (`+in+`)`, args...)
	if err != nil {
		return err
	}
	defer left.Close()
	for left.Next() {
		var id policies.PersonID
		if err := left.Scan(&id); err != nil {
			return err
		}
		v.Left[id] = true
	}
	return left.Err()
}

// intend records that an attempt to make something is under way, where that is what Execute will do.
func (s *Store) intend(ctx context.Context, tx *sql.Tx, v View) error {
	now, op := v.Began, v.Op
	if op.Kind == OpAdd {
		return s.intendMembers(ctx, tx, v)
	}
	if op.Kind == OpGroup {
		if v.Group != nil && v.Group.GroupID != "" {
			return nil
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO provision_group (product, org_id, name, tried_at, updated_at) VALUES ($1,$2,$3,$4,$4)
			ON CONFLICT (product, org_id) DO UPDATE SET tried_at=$4`, string(op.Product), string(op.Org), op.Name, now)
		return err
	}
	row, exists := v.Accounts[op.Person]
	if v.Left[op.Person] || fingerprintOf(row, exists) != op.Before {
		return nil
	}
	if exists && row.AccountID != "" { // the call may give access back to somebody who leaves meanwhile
		_, err := tx.ExecContext(ctx, `UPDATE provision_op SET tried=1 WHERE run=$1 AND seq=$2`, op.Run, op.Seq)
		return err
	}
	if exists {
		_, err := tx.ExecContext(ctx, `UPDATE provision_account SET tried_at=$3 WHERE product=$1 AND person_id=$2`, string(op.Product), string(op.Person), now)
		return err
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO provision_account (product, person_id, org_id, seat, state, attributes, tried_at, updated_at)
		VALUES ($1,$2,$3,$4,'creating',$5,$6,$6)`, string(op.Product), string(op.Person), string(op.Org), string(op.Seat), encodeJSON(op.After), now)
	return err
}

// intendMembers records who may be in a group from now on, so that a leaver or a transfer takes them out even if the answer of
// the call is lost.
func (s *Store) intendMembers(ctx context.Context, tx *sql.Tx, v View) error {
	for _, m := range v.Op.Members {
		if v.Left[m] || v.Inside[m] {
			continue
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO provision_member (product, person_id, org_id, state, stamp) VALUES ($1,$2,$3,'pending',$4)
			ON CONFLICT (product, person_id, org_id) DO UPDATE SET stamp=$4`,
			string(v.Op.Product), string(m), string(v.Op.Org), v.Began); err != nil {
			return err
		}
	}
	_, err := tx.ExecContext(ctx, `UPDATE provision_op SET tried=1 WHERE run=$1 AND seq=$2`, v.Op.Run, v.Op.Seq)
	return err
}

// stamps reads what a removal takes out, as it is before the call. It is never nil.
func (s *Store) stamps(ctx context.Context, op Op) (map[policies.PersonID]int64, error) {
	out := make(map[policies.PersonID]int64, len(op.Members))
	for _, m := range op.Members {
		var stamp int64
		err := s.db.Reader().QueryRowContext(ctx, `SELECT stamp FROM provision_member WHERE product=$1 AND person_id=$2 AND org_id=$3`,
			string(op.Product), string(m), string(op.Org)).Scan(&stamp)
		if errors.Is(err, sql.ErrNoRows) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read who is in the group of %s: %w", op.Org, err)
		}
		out[m] = stamp
	}
	return out, nil
}

// BeginRelease implements Ledger.
func (s *Store) BeginRelease(ctx context.Context, product policies.Product, person policies.PersonID, cause string) (View, error) {
	v := View{Rival: s.rival, Op: Op{Product: product, Kind: OpRelease, Person: person, Cause: cause}}
	var state, origin string
	var passes int
	r := s.db.Reader()
	err := r.QueryRowContext(ctx, `SELECT state, attempts, passes, origin FROM provision_leaver WHERE product=$1 AND person_id=$2 AND cause=$3`, string(product), string(person), cause).
		Scan(&state, &v.Attempts, &passes, &origin)
	if errors.Is(err, sql.ErrNoRows) || err == nil && state != "pending" {
		v.Standing = StandingFinal
		return v, nil
	}
	if err != nil {
		return v, fmt.Errorf("begin release of %s: %w", person, err)
	}
	if err := s.fill(ctx, r, &v); err != nil {
		return v, fmt.Errorf("begin release of %s: %w", person, err)
	}
	if passes == 0 && s.guard != nil {
		if err := s.ask(ctx, r, &v, origin); err != nil {
			return v, fmt.Errorf("begin release of %s: %w", person, err)
		}
	}
	if err := s.around(ctx, r, &v); err != nil {
		return v, fmt.Errorf("begin release of %s: %w", person, err)
	}
	if err := readGrant(ctx, r, &v); err != nil {
		return v, fmt.Errorf("begin release of %s: %w", person, err)
	}
	return v, nil
}

// readGrant reads what the operation granted that a release was started by, if one was.
func readGrant(ctx context.Context, q querier, v *View) error {
	run, seq, ok := grantOf(v.Op.Cause)
	if !ok {
		return nil
	}
	var payload string
	err := q.QueryRowContext(ctx, `SELECT payload FROM provision_op WHERE run=$1 AND seq=$2`, run, seq).Scan(&payload)
	if errors.Is(err, sql.ErrNoRows) {
		v.grant(Op{}, nil) // staged again: what it granted is in the ledger
		return nil
	}
	if err != nil {
		return fmt.Errorf("read operation %s: %w", v.Op.Cause, err)
	}
	var op Op
	if err := decodeJSON(payload, &op); err != nil {
		return fmt.Errorf("read operation %s: %w", v.Op.Cause, err)
	}
	group, err := readGroup(ctx, q, op.Product, op.Org)
	if err != nil {
		return err
	}
	v.grant(op, group)
	return nil
}

// touch writes the person's row, so that a grant and a leaving in two transactions at once wait for each other, and tells when
// the person left, 0 if not.
func touch(ctx context.Context, tx *sql.Tx, person policies.PersonID) (leaverAt int64, err error) {
	err = tx.QueryRowContext(ctx, `INSERT INTO provision_person (person_id, touched) VALUES ($1,1)
		ON CONFLICT (person_id) DO UPDATE SET touched = provision_person.touched + 1 RETURNING leaver_at`, string(person)).Scan(&leaverAt)
	return leaverAt, err
}

// rival tells which person the ledger gives an account to.
func (s *Store) rival(ctx context.Context, product policies.Product, accountID string) (policies.PersonID, error) {
	var person policies.PersonID
	err := s.db.Reader().QueryRowContext(ctx, `SELECT person_id FROM provision_account WHERE product=$1 AND account_id=$2`, string(product), accountID).Scan(&person)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return person, err
}

const accountColumns = `product, person_id, org_id, seat, account_id, join_id, state, attributes, tried_at`

func scanAccount(row interface{ Scan(...any) error }) (AccountRow, error) {
	var a AccountRow
	var attributes string
	var tried int64
	if err := row.Scan(&a.Product, &a.Person, &a.Org, &a.Seat, &a.AccountID, &a.JoinID, &a.State, &attributes, &tried); err != nil {
		return a, err
	}
	a.TriedAt = at(tried)
	return a, decodeJSON(attributes, &a.Attributes)
}

func scanGroup(row interface{ Scan(...any) error }) (GroupRow, error) {
	var g GroupRow
	var tried int64
	err := row.Scan(&g.Product, &g.Org, &g.GroupID, &g.Name, &tried)
	g.TriedAt = at(tried)
	return g, err
}

func readGroup(ctx context.Context, q querier, product policies.Product, org policies.OrgID) (*GroupRow, error) {
	if org == "" {
		return nil, nil
	}
	g, err := scanGroup(q.QueryRowContext(ctx, `SELECT product, org_id, group_id, name, tried_at FROM provision_group WHERE product=$1 AND org_id=$2`, string(product), string(org)))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &g, nil
}

func placeholders[T ~string](ids []T, next int) (string, []any) {
	var b strings.Builder
	args := make([]any, len(ids))
	for i, p := range ids {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "$%d", next+i)
		args[i] = string(p)
	}
	return b.String(), args
}
