package provision

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/breaker"
)

// Pace says how soon a change becomes a plan.
type Pace struct {
	Quiet   time.Duration // once nothing has changed for so long
	Longest time.Duration // and after so long at the latest
}

// StandingPolicy decides which plans need no person's approval. Implemented by policies.Engine.
type StandingPolicy interface {
	Standing(f policies.PlanFacts) (policies.Decision, error)
}

// Planning is what the follower makes plans with. Implemented by Planner.
type Planning interface {
	Source
	Affected(ctx context.Context, after int64) (Affected, error)
	KindsOf(ctx context.Context, orgs []policies.OrgID) (map[policies.OrgID]policies.OrgKind, error)
	PolicyHash() string
}

// Follower makes a plan of each change in the directory by itself: it follows the feed by a cursor that stands in the database, so that
// nothing is lost while no hub runs and nothing is done twice. What policy approves is applied; the rest waits for a person, who is told.
// Of several nodes one follows: the lease and the cursor move in the transaction that stores the plan.
type Follower struct {
	store    *Store
	planning Planning
	standing StandingPolicy
	tell     Notifier
	lease    *sqldb.Lease
	pace     Pace
	log      *slog.Logger
}

// NewFollower makes a follower for the node.
func NewFollower(s *Store, p Planning, st StandingPolicy, n Notifier, node string, pace Pace, log *slog.Logger) *Follower {
	return &Follower{
		store: s, planning: p, standing: st, tell: n, pace: pace, log: log,
		lease: sqldb.NewLease(s.db, "provision.live", node, followTerm, s.now),
	}
}

const (
	followTerm  = 15 * time.Second // another node follows after so long without a sign of life
	followEvery = time.Second
	// followHorizon is how many people's changes wait at most until a whole plan costs less.
	followHorizon = MaxPart
)

// Run follows until ctx ends.
func (f *Follower) Run(ctx context.Context) {
	wait := followEvery
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		wait = followEvery
		if _, err := f.Look(ctx); err != nil && ctx.Err() == nil {
			f.log.ErrorContext(ctx, "following the directory", "error", err)
			wait = 10 * time.Second
		}
	}
}

// position is where the follower stands.
type position struct {
	cursor     int64 // everything up to here is planned
	seen       int64 // the newest change at the last look
	pendingAt  int64 // since when something waits to be planned; 0: nothing does
	seenAt     int64 // when seen last moved
	policyHash string
}

// due decides whether to plan now. It is pure. Times are UTC in microseconds.
func (p position) due(now int64, pace Pace) bool {
	return p.pendingAt != 0 && (now-p.seenAt >= pace.Quiet.Microseconds() || now-p.pendingAt >= pace.Longest.Microseconds())
}

// looked gives the position after a look that found the newest change at head, and whether anything else waits. It is pure.
func (p position) looked(now, head int64, waits bool) position {
	if head != p.seen {
		p.seen, p.seenAt = head, now
	}
	if p.pendingAt == 0 && (head > p.cursor || waits) {
		p.pendingAt = now
		p.seenAt = max(p.seenAt, now)
	}
	return p
}

// Followed is what a look did.
type Followed struct {
	Plan     string // hash of the plan that was made; empty: none
	Standing bool   // it was applied by standing approval; otherwise it waits for a person
	Moved    bool   // the cursor moved
}

// Look does one step: notice changes, and plan where it is time. It returns at once where another node follows.
func (f *Follower) Look(ctx context.Context) (done Followed, err error) {
	held, err := f.hold(ctx)
	if err != nil || !held {
		return done, err
	}
	pos, err := f.position(ctx)
	if err != nil {
		return done, err
	}
	affected, err := f.planning.Affected(ctx, pos.cursor)
	if err != nil {
		return done, err
	}
	again, asOf, err := f.again(ctx)
	if err != nil {
		return done, err
	}
	now := f.store.now().UnixMicro()
	changed := pos.policyHash != f.planning.PolicyHash()
	next := pos.looked(now, affected.Last, len(again) > 0 || changed)
	if next != pos {
		if err := f.remember(ctx, pos, next); err != nil {
			return done, err
		}
	}
	if !next.due(now, f.pace) {
		return done, nil
	}
	if busy, err := f.busy(ctx); err != nil || busy {
		return done, err // one plan at a time: what changed meanwhile is planned when that one is done
	}
	plan, err := f.plan(ctx, affected, again, changed)
	if err != nil {
		return done, err
	}
	return f.commit(ctx, next, affected.Last, asOf, plan)
}

// hold takes or renews the lease where that is due.
func (f *Follower) hold(ctx context.Context) (held bool, err error) {
	due, err := f.lease.Due(ctx)
	if err != nil || !due {
		return f.lease.Held(), err
	}
	err = f.store.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		_, held, err = f.lease.Hold(ctx, tx)
		return err
	})
	return held, err
}

func (f *Follower) busy(ctx context.Context) (busy bool, err error) {
	var n int
	err = f.store.db.Reader().QueryRowContext(ctx, `SELECT COUNT(*) FROM provision_plan WHERE state IN ('staging','running')`).Scan(&n)
	if err != nil {
		return false, fmt.Errorf("read the plan that is being applied: %w", err)
	}
	return n > 0, nil
}

func (f *Follower) position(ctx context.Context) (p position, err error) {
	err = f.store.db.Reader().QueryRowContext(ctx, `SELECT cursor, seen, pending_at, seen_at, policy_hash FROM provision_live WHERE id=1`).
		Scan(&p.cursor, &p.seen, &p.pendingAt, &p.seenAt, &p.policyHash)
	if errors.Is(err, sql.ErrNoRows) {
		return p, nil
	}
	if err != nil {
		return p, fmt.Errorf("read the cursor: %w", err)
	}
	return p, nil
}

// errMovedOn says that another node has moved the cursor meanwhile.
var errMovedOn = errors.New("another node follows the directory")

func (f *Follower) remember(ctx context.Context, from, to position) error {
	return f.store.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error { return f.move(ctx, tx, from, to) })
}

// move writes a position where the other one still holds, under the lease.
func (f *Follower) move(ctx context.Context, tx *sql.Tx, from, to position) error {
	if _, held, err := f.lease.Hold(ctx, tx); err != nil || !held {
		return errors.Join(err, errMovedOn)
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO provision_live (id, cursor, seen, pending_at, seen_at, policy_hash) VALUES (1,0,0,0,0,'') ON CONFLICT (id) DO NOTHING`); err != nil {
		return fmt.Errorf("move the cursor: %w", err)
	}
	res, err := tx.ExecContext(ctx, `UPDATE provision_live SET cursor=$1, seen=$2, pending_at=$3, seen_at=$4, policy_hash=$5 WHERE id=1 AND cursor=$6`,
		to.cursor, to.seen, to.pendingAt, to.seenAt, to.policyHash, from.cursor)
	if err != nil {
		return fmt.Errorf("move the cursor: %w", err)
	}
	if n, err := res.RowsAffected(); err != nil || n != 1 {
		return errors.Join(err, errMovedOn)
	}
	return nil
}

// again lists the people who are planned again although the feed doesn't name them; asOf bounds those that were read.
func (f *Follower) again(ctx context.Context) (people []policies.PersonID, asOf int64, err error) {
	type row struct {
		person policies.PersonID
		at     int64
	}
	list, err := collect(ctx, f.store.db.Reader(), func(rows *sql.Rows) (r row, err error) { return r, rows.Scan(&r.person, &r.at) },
		`SELECT person_id, at FROM provision_again ORDER BY at, person_id LIMIT $1`, followHorizon+1)
	if err != nil {
		return nil, 0, fmt.Errorf("read who is planned again: %w", err)
	}
	for _, r := range list {
		people, asOf = append(people, r.person), max(asOf, r.at)
	}
	return people, asOf, nil
}

// plan makes the plan of what changed, without what is in quarantine and without leavers, whose accounts end by themselves.
func (f *Follower) plan(ctx context.Context, affected Affected, again []policies.PersonID, policiesChanged bool) (Plan, error) {
	people := append(slices.Clone(affected.People), again...)
	slices.Sort(people)
	people = slices.Compact(people)
	var plan Plan
	var err error
	if affected.Whole || policiesChanged || len(people) > MaxPart {
		plan, err = f.planning.Current(ctx, policies.HubActor)
	} else {
		plan, err = f.planning.Part(ctx, policies.HubActor, people)
	}
	if err != nil {
		return plan, err
	}
	if plan, err = f.store.without(ctx, plan, QuarantineOpen, QuarantineIgnored); err != nil {
		return plan, err
	}
	leavers := map[holder]bool{}
	for _, o := range plan.Objects {
		if o.Leaver {
			leavers[holder{o.Product, o.Person}] = true
		}
	}
	if len(leavers) == 0 {
		return plan, nil
	}
	return prunePlan(plan, func(o Object, _ OpKind, person policies.PersonID) bool { return leavers[holder{o.Product, person}] }), nil
}

// facts is what policy reads of the plan.
func (f *Follower) facts(ctx context.Context, plan Plan) (facts policies.PlanFacts, err error) {
	announced := map[loser]bool{}
	if f.store.guard != nil && len(losses(plan.Objects, nil)) > 0 {
		if announced, err = f.store.guard.announced(ctx, f.store.now()); err != nil {
			return facts, err
		}
	}
	before, err := f.store.policiesBefore(ctx, f.store.db.Reader(), "")
	if err != nil {
		return facts, err
	}
	facts = factsOf(plan, announced)
	facts.PoliciesChanged = before != plan.PolicyHash // so is the first plan ever
	orgs := orgsOf(plan)
	kinds, err := f.planning.KindsOf(ctx, orgs[:min(len(orgs), MaxPart)])
	if err != nil {
		return facts, err
	}
	for _, kind := range kinds {
		facts.ConcernsAgency = facts.ConcernsAgency || kind == policies.KindAgency
	}
	return facts, nil
}

// factsOf counts what a plan of the hub does. It is pure.
func factsOf(plan Plan, announced map[loser]bool) policies.PlanFacts {
	facts := policies.PlanFacts{MadeByHub: plan.Maker == policies.HubActor, Organizations: len(orgsOf(plan))}
	for _, t := range plan.Totals {
		facts.AccountsGained += t.Created + t.Enabled
		facts.AccountsChanged += t.Updated
		facts.MembershipsGiven += t.MembersAdded
	}
	for _, i := range losses(plan.Objects, announced) {
		if i.Loss == breaker.LossAccounts {
			facts.AccountsDisabled++
		} else {
			facts.MembershipsLost++
		}
	}
	return facts
}

func orgsOf(plan Plan) (orgs []policies.OrgID) {
	for _, o := range plan.Objects {
		orgs = append(orgs, o.Org)
	}
	slices.Sort(orgs)
	return slices.Compact(orgs)
}

// commit stores the plan, moves the cursor and starts the plan or tells who has to approve it, in one transaction.
func (f *Follower) commit(ctx context.Context, pos position, last, asOf int64, plan Plan) (done Followed, err error) {
	next := pos
	next.cursor, next.seen, next.pendingAt, next.policyHash = last, max(pos.seen, last), 0, f.planning.PolicyHash()
	var decision policies.Decision
	var doc []byte
	hash := ""
	if !plan.Empty() {
		facts, err := f.facts(ctx, plan)
		if err != nil {
			return done, err
		}
		if decision, err = f.standing.Standing(facts); err != nil {
			f.log.ErrorContext(ctx, "standing approval can't be decided; the plan waits for a person", "error", err)
			decision = policies.Decision{}
		}
		if doc, err = pack(plan); err != nil {
			return done, fmt.Errorf("store the hub's plan: %w", err)
		}
		hash = plan.Hash()
	}
	err = f.store.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if err := f.move(ctx, tx, pos, next); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM provision_again WHERE at <= $1`, asOf); err != nil {
			return err
		}
		if hash == "" {
			return nil
		}
		fresh, err := f.store.put(ctx, tx, plan, hash, doc)
		if err != nil || !fresh {
			return err // it waits already, or is on its way
		}
		if err := f.witness(ctx, tx, "plan.make", hash, plan.PolicyHash, "", map[string]any{"objects": len(plan.Objects)}); err != nil {
			return err
		}
		if !decision.Allow {
			return f.wait(ctx, tx, plan, hash)
		}
		return f.start(ctx, tx, hash, decision)
	})
	switch {
	case errors.Is(err, ErrBusy), errors.Is(err, errMovedOn):
		return Followed{}, nil // nothing was written: looked at again soon
	case err != nil:
		return Followed{}, fmt.Errorf("store the hub's plan: %w", err)
	}
	if hash != "" {
		f.log.InfoContext(ctx, "the hub made a plan", "plan", hash, "objects", len(plan.Objects), "standing", decision.Allow)
	}
	return Followed{Plan: hash, Standing: hash != "" && decision.Allow, Moved: true}, nil
}

// start approves the plan by policy and starts it.
func (f *Follower) start(ctx context.Context, tx *sql.Tx, hash string, d policies.Decision) error {
	now := f.store.now()
	_, err := tx.ExecContext(ctx, `UPDATE provision_plan SET state='approved', approver=$2, approved_at=$3, expires_at=$4 WHERE hash=$1 AND state='made'`,
		hash, string(policies.StandingActor), now.UnixMicro(), now.Add(approvalLife).UnixMicro())
	if err != nil {
		return err
	}
	run, err := f.store.begin(ctx, tx, hash, policies.HubActor)
	if err != nil {
		return err
	}
	return f.witness(ctx, tx, "plan.standing", hash, d.Hash, strings.Join(d.Policies, ", "), map[string]any{"run": run})
}

// wait tells the system administrator that a plan waits.
func (f *Follower) wait(ctx context.Context, tx *sql.Tx, plan Plan, hash string) error {
	facts := factsOf(plan, nil)
	now := f.store.now().UnixMicro()
	return f.tell.EnqueueNotice(ctx, tx, identity.Notice{
		ID: fmt.Sprintf("plan %.16s %d", hash, now), At: now, Kind: identity.NoticePlan, Object: hash,
		Detail: fmt.Sprintf("+%d -%d ~%d, %d orgs", facts.AccountsGained+facts.MembershipsGiven, facts.AccountsDisabled+facts.MembershipsLost, facts.AccountsChanged, facts.Organizations),
	})
}

func (f *Follower) witness(ctx context.Context, tx *sql.Tx, action, hash, policyHash, reason string, detail map[string]any) error {
	return audit.Append(ctx, tx, audit.Row{
		At: f.store.now().UnixMicro(), Actor: string(policies.TaskProvision), ActorKind: audit.ActorSystem, Action: action, Object: hash, Outcome: audit.Done,
		Reason: reason, PolicyHash: policyHash, Detail: detail,
	})
}

// KindsOf tells the kinds of organizations. One that the directory doesn't know is left out.
func (p *Planner) KindsOf(ctx context.Context, orgs []policies.OrgID) (map[policies.OrgID]policies.OrgKind, error) {
	kinds := make(map[policies.OrgID]policies.OrgKind, len(orgs))
	for _, id := range orgs {
		o, err := p.dir.Organization(ctx, p.scope, id)
		if errors.Is(err, identity.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read organization %s: %w", id, err)
		}
		kinds[id] = o.Kind
	}
	return kinds, nil
}

// PolicyHash is the hash of the policies that the planner asks.
func (p *Planner) PolicyHash() string { return p.seater.Hash() }
