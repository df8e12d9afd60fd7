package provision

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/jobs"
)

// QuarantineState is where a refused object stands.
type QuarantineState string

// The states.
const (
	QuarantineOpen    QuarantineState = "open"    // waits for a person, or for the person's data to change
	QuarantineRetry   QuarantineState = "retry"   // a person asked for another try
	QuarantineIgnored QuarantineState = "ignored" // a person decided that it stays as it is; plans leave it out
	QuarantineSolved  QuarantineState = "solved"  // it was done later
)

// Quarantined is an object that the vendor refuses.
type Quarantined struct {
	ID        string            `json:"id"`
	Product   policies.Product  `json:"product"`
	Kind      OpKind            `json:"kind"`
	Org       policies.OrgID    `json:"org"`
	Person    policies.PersonID `json:"person,omitempty"`
	Words     string            `json:"words"`  // the vendor's own
	Remedy    string            `json:"remedy"` // what a person has to do
	Times     int               `json:"times"`
	FirstAt   time.Time         `json:"first_at"`
	LastAt    time.Time         `json:"last_at"`
	State     QuarantineState   `json:"state"`
	DecidedBy policies.PersonID `json:"decided_by,omitempty"`
	DecidedAt time.Time         `json:"decided_at,omitzero"`
	Reason    string            `json:"reason,omitempty"`
	wanted    string
}

// ErrDecision says that a decision on quarantine can't be taken as asked.
var ErrDecision = errors.New("this can't be decided so")

func quarantineID(product policies.Product, kind OpKind, org policies.OrgID, person policies.PersonID) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%s\x00%s", product, kind, org, person))
	return "q" + hex.EncodeToString(sum[:6])
}

func wantedOf(op Op) string {
	if op.After == nil {
		return ""
	}
	return op.After.Fingerprint()
}

// isolate puts the object of a refused operation into quarantine. Its neighbours go on.
func (s *Store) isolate(ctx context.Context, tx *sql.Tx, op Op, e Effect) error {
	person := op.Person
	if e.Bad != "" {
		person = e.Bad
	}
	now := s.now().UnixMicro()
	_, err := tx.ExecContext(ctx, `INSERT INTO provision_quarantine (id, product, kind, org_id, person_id, wanted, words, remedy, times, first_at, last_at, state, run, seq)
		VALUES ($1,$2,$3,$4,$5,$6,$7,$8,1,$9,$9,'open',$10,$11)
		ON CONFLICT (product, kind, org_id, person_id) DO UPDATE SET wanted=excluded.wanted, words=excluded.words, remedy=excluded.remedy, times=provision_quarantine.times+1,
			last_at=excluded.last_at, state='open', decided_by='', decided_at=0, reason='', run=excluded.run, seq=excluded.seq`,
		quarantineID(op.Product, op.Kind, op.Org, person), string(op.Product), string(op.Kind), string(op.Org), string(person), wantedOf(op), short(e.Words), short(e.Remedy), now, op.Run, op.Seq)
	return err
}

// solve ends the quarantine of what was done after all.
func (s *Store) solve(ctx context.Context, tx *sql.Tx, op Op, e Effect) error {
	people, err := collect(ctx, tx, func(rows *sql.Rows) (p policies.PersonID, err error) { return p, rows.Scan(&p) },
		`SELECT person_id FROM provision_quarantine WHERE product=$1 AND kind=$2 AND org_id=$3 AND state <> 'solved'`, string(op.Product), string(op.Kind), string(op.Org))
	if err != nil {
		return err
	}
	for _, p := range people {
		if p != op.Person && !slices.Contains(op.Members, p) && (p != "" || len(op.Members) == 0) || slices.Contains(e.Receipt.LeftOut, p) {
			continue
		}
		_, err := tx.ExecContext(ctx, `UPDATE provision_quarantine SET state='solved', last_at=$5 WHERE product=$1 AND kind=$2 AND org_id=$3 AND person_id=$4`,
			string(op.Product), string(op.Kind), string(op.Org), string(p), s.now().UnixMicro())
		if err != nil {
			return err
		}
	}
	return nil
}

const quarantineColumns = `id, product, kind, org_id, person_id, wanted, words, remedy, times, first_at, last_at, state, decided_by, decided_at, reason`

func scanQuarantined(row interface{ Scan(...any) error }) (q Quarantined, err error) {
	var first, last, decided int64
	err = row.Scan(&q.ID, &q.Product, &q.Kind, &q.Org, &q.Person, &q.wanted, &q.Words, &q.Remedy, &q.Times, &first, &last, &q.State, &q.DecidedBy, &decided, &q.Reason)
	q.FirstAt, q.LastAt, q.DecidedAt = at(first), at(last), at(decided)
	return q, err
}

// QuarantineFilter narrows Quarantine. The zero value is what waits for a person, newest first.
type QuarantineFilter struct {
	States  []QuarantineState // none: open, retry
	Product policies.Product
	Org     policies.OrgID
	Person  policies.PersonID
	Limit   int // 0: 100; at most 1000
}

// Quarantine lists refused objects in the organizations of the scope (plan.read), newest first.
func (s *Store) Quarantine(ctx context.Context, scope policies.Scope, f QuarantineFilter) ([]Quarantined, error) {
	if !scope.For(policies.ActionPlanRead) {
		return nil, fmt.Errorf("read the quarantine: %w", identity.ErrRefused)
	}
	if len(f.States) == 0 {
		f.States = []QuarantineState{QuarantineOpen, QuarantineRetry}
	}
	if f.Limit <= 0 {
		f.Limit = 100
	}
	where, args := scope.Where("org_id", 1)
	var in []string
	for _, st := range f.States {
		args = append(args, string(st))
		in = append(in, fmt.Sprintf("$%d", len(args)))
	}
	where += " AND state IN (" + strings.Join(in, ",") + ")"
	for _, c := range []struct{ column, value string }{{"product", string(f.Product)}, {"org_id", string(f.Org)}, {"person_id", string(f.Person)}} {
		if c.value != "" {
			args = append(args, c.value)
			where += fmt.Sprintf(" AND %s=$%d", c.column, len(args))
		}
	}
	args = append(args, min(f.Limit, 1000))
	list, err := collect(ctx, s.db.Reader(), func(rows *sql.Rows) (Quarantined, error) { return scanQuarantined(rows) },
		`SELECT `+quarantineColumns+` FROM provision_quarantine WHERE `+where+fmt.Sprintf(` ORDER BY last_at DESC, id LIMIT $%d`, len(args)), args...)
	if err != nil {
		return nil, fmt.Errorf("read the quarantine: %w", err)
	}
	return list, nil
}

// Quarantined gives one refused object inside the scope (plan.read).
func (s *Store) Quarantined(ctx context.Context, scope policies.Scope, id string) (Quarantined, error) {
	if !scope.For(policies.ActionPlanRead) {
		return Quarantined{}, fmt.Errorf("read the quarantine: %w", identity.ErrRefused)
	}
	return s.quarantined(ctx, s.db.Reader(), scope, id)
}

func (s *Store) quarantined(ctx context.Context, q querier, scope policies.Scope, id string) (Quarantined, error) {
	where, args := scope.Where("org_id", 2)
	row, err := scanQuarantined(q.QueryRowContext(ctx, `SELECT `+quarantineColumns+` FROM provision_quarantine WHERE id=$1 AND `+where, append([]any{id}, args...)...))
	if errors.Is(err, sql.ErrNoRows) {
		return row, fmt.Errorf("quarantine %.40s: %w: `musubi quarantine list` shows what is there", id, identity.ErrNotFound)
	}
	if err != nil {
		return row, fmt.Errorf("quarantine %.40s: %w", id, err)
	}
	return row, nil
}

// Decide lets an object be tried again, or leaves it as it is, for a reason. The scope must be minted for jobs.write over everything: both
// are work towards a SaaS. It is audited.
func (s *Store) Decide(ctx context.Context, scope policies.Scope, id string, to QuarantineState, reason string) (q Quarantined, err error) {
	reason = strings.TrimSpace(reason)
	switch {
	case scope.Action() != policies.ActionJobsWrite || !scope.All() || scope.Actor() == "":
		return q, fmt.Errorf("decide on quarantine: %w", identity.ErrRefused)
	case to != QuarantineRetry && to != QuarantineIgnored:
		return q, fmt.Errorf("decide on quarantine: %w: %q", ErrDecision, to)
	case to == QuarantineIgnored && reason == "", utf8.RuneCountInString(reason) > 300:
		return q, fmt.Errorf("decide on quarantine: %w: give a reason of 1 to 300 characters", ErrDecision)
	}
	err = s.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if q, err = s.quarantined(ctx, tx, scope, id); err != nil {
			return err
		}
		switch {
		case q.State == QuarantineSolved:
			return fmt.Errorf("quarantine %s: %w: it is solved", id, ErrDecision)
		case to == QuarantineIgnored && q.Kind == OpRelease:
			return fmt.Errorf("quarantine %s: %w: a leaver's access isn't left as it is", id, ErrDecision)
		}
		now := s.now()
		q.State, q.DecidedBy, q.DecidedAt, q.Reason = to, scope.Actor(), now.UTC(), reason
		if _, err := tx.ExecContext(ctx, `UPDATE provision_quarantine SET state=$2, decided_by=$3, decided_at=$4, reason=$5 WHERE id=$1`, id, string(to), string(q.DecidedBy), now.UnixMicro(), reason); err != nil {
			return fmt.Errorf("quarantine %s: %w", id, err)
		}
		if to == QuarantineRetry {
			if err := s.again(ctx, tx, q); err != nil {
				return fmt.Errorf("quarantine %s: %w", id, err)
			}
		}
		return audit.Append(ctx, tx, audit.Row{
			At: now.UnixMicro(), Actor: string(scope.Actor()), ActorKind: audit.ActorPerson, Action: "quarantine." + string(to), Org: q.Org, Object: id, Outcome: audit.Done,
			Reason: scope.Reason(), PolicyHash: scope.Hash(), Detail: map[string]any{"product": string(q.Product), "kind": string(q.Kind), "person": string(q.Person), "why": plain(reason)},
		})
	})
	return q, err
}

// again has an object tried anew: a leaver at once, the rest by the next plan.
func (s *Store) again(ctx context.Context, tx *sql.Tx, q Quarantined) error {
	if q.Kind == OpRelease {
		ins, err := collect(ctx, tx, func(rows *sql.Rows) (jobs.Insert, error) {
			a := LeaverArgs{Product: q.Product, Person: q.Person, Again: fmt.Sprintf("retry %d", s.now().UnixMicro())}
			err := rows.Scan(&a.Cause)
			return jobs.Insert{Args: a, Queue: UrgentQueue(q.Product)}, err
		}, `SELECT cause FROM provision_leaver WHERE product=$1 AND person_id=$2 AND state='pending'`, string(q.Product), string(q.Person))
		if err != nil {
			return err
		}
		_, err = s.jobs.InsertTx(ctx, tx, ins...)
		return err
	}
	people := []policies.PersonID{q.Person}
	if q.Person == "" { // a group: everybody who is to be in it
		var err error
		people, err = collect(ctx, tx, func(rows *sql.Rows) (p policies.PersonID, err error) { return p, rows.Scan(&p) },
			`SELECT DISTINCT person_id FROM provision_account WHERE product=$1 AND org_id=$2`, string(q.Product), string(q.Org))
		if err != nil {
			return err
		}
	}
	for _, p := range people {
		if _, err := tx.ExecContext(ctx, `INSERT INTO provision_again (person_id, at) VALUES ($1,$2) ON CONFLICT (person_id) DO UPDATE SET at=excluded.at`, string(p), s.now().UnixMicro()); err != nil {
			return err
		}
	}
	return nil
}

// WithoutIgnored leaves out of a plan what a person decided to leave as it is.
func (s *Store) WithoutIgnored(ctx context.Context, p Plan) (Plan, error) {
	return s.without(ctx, p, QuarantineIgnored)
}

// without leaves out of a plan the objects in quarantine in one of the states, as long as the same is wanted of them.
func (s *Store) without(ctx context.Context, p Plan, states ...QuarantineState) (Plan, error) {
	out := map[string]Quarantined{}
	list, err := collect(ctx, s.db.Reader(), func(rows *sql.Rows) (Quarantined, error) { return scanQuarantined(rows) },
		`SELECT `+quarantineColumns+` FROM provision_quarantine WHERE state IN ('open','ignored')`)
	if err != nil {
		return p, fmt.Errorf("read the quarantine: %w", err)
	}
	for _, q := range list {
		if slices.Contains(states, q.State) {
			out[q.ID] = q
		}
	}
	if len(out) == 0 {
		return p, nil
	}
	return prunePlan(p, func(o Object, kind OpKind, person policies.PersonID) bool {
		q, isolated := out[quarantineID(o.Product, kind, o.Org, person)]
		return isolated && (o.After == nil || kind == OpDisable || q.wanted == o.After.Fingerprint())
	}), nil
}

// prunePlan leaves out what skip says, and corrects the totals. It is pure.
func prunePlan(p Plan, skip func(o Object, kind OpKind, person policies.PersonID) bool) Plan {
	kept := make([]Object, 0, len(p.Objects))
	for _, o := range p.Objects {
		switch {
		case o.Kind == ObjectGroup:
			if skip(o, OpGroup, "") {
				continue
			}
		case o.Kind == ObjectAccount && o.Action == ActionDisable:
			if skip(o, OpDisable, o.Person) {
				continue
			}
		case o.Kind == ObjectAccount && o.Action == ActionReplace:
			if skip(o, OpReplace, o.Person) {
				continue
			}
		case o.Kind == ObjectAccount:
			if skip(o, OpAccount, o.Person) {
				continue
			}
		case o.Kind == ObjectMembers:
			kind := OpAdd
			if o.Action == ActionRemove {
				kind = OpRemove
			}
			o.Members = slices.DeleteFunc(slices.Clone(o.Members), func(m policies.PersonID) bool { return skip(o, kind, m) })
			if len(o.Members) == 0 {
				continue
			}
		}
		kept = append(kept, o)
	}
	p.Objects = kept
	p.Totals = slices.Clone(p.Totals)
	p.recount()
	return p
}
