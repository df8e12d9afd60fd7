package provision

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/jobs"
)

// The ways in which an approval or a start is refused.
var (
	ErrOwnPlan     = errors.New("nobody approves a plan of their own")
	ErrNotApproved = errors.New("the plan isn't approved")
	ErrExpired     = errors.New("the approval has expired")
	ErrBusy        = errors.New("another plan is being applied")
	ErrOtherPolicy = errors.New("the policies changed since the plan was made")
	ErrStarted     = errors.New("it was started before; a plan is approved once")
	ErrNotRunning  = errors.New("it isn't being applied")
	ErrHash        = errors.New("this doesn't name one plan") // the beginning of a hash that is too short, or that several plans have
)

// Approved is a plan that may be applied: a single-use token that only Store.Approved mints, so that an unapproved plan has
// no type that Apply accepts.
type Approved struct {
	hash string
}

// Hash is the hash of the approved plan.
func (a Approved) Hash() string { return a.hash }

// Approve binds the scope's actor's approval to the plan with this hash. The scope must be minted for plan.approve over all
// organizations; the actor must be a person, and not the one who made the plan. Approving again renews the term.
func (s *Store) Approve(ctx context.Context, scope policies.Scope, hash string) (PlanRecord, error) {
	if scope.Action() != policies.ActionPlanApprove || !scope.All() || scope.Actor() == "" || scope.Actor() == policies.BreakGlassActor {
		return PlanRecord{}, fmt.Errorf("approve plan: %w", identity.ErrRefused)
	}
	plan, err := s.load(ctx, hash) // also proves that what is approved is what was made
	if err != nil {
		return PlanRecord{}, err
	}
	if plan.Maker == scope.Actor() {
		return PlanRecord{}, fmt.Errorf("approve plan %.12s: %w; ask another system administrator", hash, ErrOwnPlan)
	}
	if plan.PolicyHash != scope.Hash() {
		return PlanRecord{}, fmt.Errorf("approve plan %.12s: %w; make a new plan", hash, ErrOtherPolicy)
	}
	now := s.now()
	err = s.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, `UPDATE provision_plan SET state='approved', approver=$2, approved_at=$3, expires_at=$4
			WHERE hash=$1 AND state IN ('made','approved')`, hash, string(scope.Actor()), now.UnixMicro(), now.Add(approvalLife).UnixMicro())
		if err != nil {
			return err
		}
		switch n, err := res.RowsAffected(); {
		case err != nil:
			return err
		case n == 0:
			return ErrStarted
		}
		return s.witness(ctx, tx, scope, hash, map[string]any{"maker": string(plan.Maker), "expires_at": now.Add(approvalLife).UnixMicro()})
	})
	if err != nil {
		return PlanRecord{}, fmt.Errorf("approve plan %.12s: %w", hash, err)
	}
	return s.Record(ctx, scope, hash)
}

// Approved mints the token for a plan whose approval stands: present, not expired, by another person than the maker.
func (s *Store) Approved(ctx context.Context, scope policies.Scope, hash string) (Approved, error) {
	r, err := s.Record(ctx, scope, hash)
	if err != nil {
		return Approved{}, err
	}
	switch {
	case r.State == PlanMade:
		return Approved{}, fmt.Errorf("plan %.12s: %w: let another system administrator run `musubi approve %.12s`", r.Hash, ErrNotApproved, r.Hash)
	case r.State != PlanApproved:
		return Approved{}, fmt.Errorf("plan %.12s: %w: it is %s", r.Hash, ErrNotApproved, r.State)
	case r.Approver == "" || r.Approver == r.Maker:
		return Approved{}, fmt.Errorf("plan %.12s: %w", r.Hash, ErrOwnPlan)
	case !s.now().Before(r.ExpiresAt):
		return Approved{}, fmt.Errorf("plan %.12s: %w; let it be approved again", r.Hash, ErrExpired)
	}
	return Approved{hash: r.Hash}, nil
}

// Apply starts an approved plan: in one transaction the plan is marked as started and the job that stages its operations is
// put into the queue. It returns at once; Progress tells how far it is.
func (s *Store) Apply(ctx context.Context, scope policies.Scope, a Approved) error {
	if scope.Action() != policies.ActionPlanApply || !scope.All() || scope.Actor() == "" {
		return fmt.Errorf("apply plan: %w", identity.ErrRefused)
	}
	if a.hash == "" {
		return fmt.Errorf("apply plan: %w", ErrNotApproved)
	}
	err := s.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		run, err := s.begin(ctx, tx, a.hash, scope.Actor())
		if err != nil {
			return err
		}
		return s.witness(ctx, tx, scope, a.hash, map[string]any{"run": run})
	})
	if err != nil {
		return fmt.Errorf("apply plan %.12s: %w", a.hash, err)
	}
	return nil
}

// begin marks an approved plan as started and puts the job that stages it into the queue.
func (s *Store) begin(ctx context.Context, tx *sql.Tx, hash string, starter policies.PersonID) (run string, err error) {
	// One plan at a time. The marker row makes two starts on two nodes meet.
	if _, err := tx.ExecContext(ctx, `UPDATE provision_plan SET started_at=started_at WHERE state IN ('approved','staging','running')`); err != nil {
		return "", err
	}
	var other string
	err = tx.QueryRowContext(ctx, `SELECT hash FROM provision_plan WHERE state IN ('staging','running') LIMIT 1`).Scan(&other)
	if err == nil {
		return "", fmt.Errorf("%w: %.12s; wait for it (`musubi apply %.12s` shows how far it is), or stop it with `musubi apply --stop %.12s`", ErrBusy, other, other, other)
	}
	if !errors.Is(err, sql.ErrNoRows) {
		return "", err
	}
	now := s.now().UnixMicro()
	run = fmt.Sprintf("%.16s.%d", hash, now)
	res, err := tx.ExecContext(ctx, `UPDATE provision_plan SET state='staging', starter=$2, started_at=$3, finished_at=0, run=$4
		WHERE hash=$1 AND state='approved' AND expires_at > $3`, hash, string(starter), now, run)
	if err != nil {
		return "", err
	}
	if n, err := res.RowsAffected(); err != nil || n != 1 {
		return "", errors.Join(err, ErrNotApproved)
	}
	_, err = s.jobs.InsertTx(ctx, tx, jobs.Insert{Args: ApplyArgs{Plan: hash, Run: run}})
	return run, err
}

// Stop ends a plan that is being applied: operations that have begun finish, the others are not done. What is missing comes up in
// the next plan.
func (s *Store) Stop(ctx context.Context, scope policies.Scope, hash string) error {
	if scope.Action() != policies.ActionPlanApply || !scope.All() || scope.Actor() == "" {
		return fmt.Errorf("stop plan: %w", identity.ErrRefused)
	}
	return s.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, `UPDATE provision_plan SET state='cancelled', finished_at=$2 WHERE hash=$1 AND state IN ('staging','running')`, hash, s.now().UnixMicro())
		if err != nil {
			return fmt.Errorf("stop plan %.12s: %w", hash, err)
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, fmt.Errorf("stop plan %.12s: %w", hash, ErrNotRunning))
		}
		if err := s.witness(ctx, tx, scope, hash, map[string]any{"stopped": true}); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE provision_op SET state='dropped', reason='the plan was stopped', done_at=$2
			WHERE run=(SELECT run FROM provision_plan WHERE hash=$1) AND state='pending'`, hash, s.now().UnixMicro())
		return err
	})
}
