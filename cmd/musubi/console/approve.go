package console

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/provision"
)

// decision is what the viewer can do with a plan now.
type decision struct {
	Approve *approval
	Apply   *form
	Stop    *form
	Proof   *proof // in the place of Approve: what it takes first
	Why     label  // where a person who reads it could expect a button and there is none
	Command string
}

// approval is the form that approves a plan.
type approval struct {
	form
	Lost    int // accounts that end; over 0 the approver confirms the number
	Leaves  int
	Again   bool // an approval that expired is renewed
	Gained  int
	Changes int
}

// planSeen names the state that a decision on a plan is bound to.
func planSeen(r provision.PlanRecord) string {
	return fmt.Sprintf("%s %s %d %d %d", r.Hash, r.State, r.MadeAt.UnixMicro(), r.ApprovedAt.UnixMicro(), r.StartedAt.UnixMicro())
}

// decide says what the viewer may do with the plan. The policies are asked without a record: looking at a page is no attempt.
func (c *Console) decide(ctx context.Context, r *http.Request, v viewer, record provision.PlanRecord, all tally) (decision, error) {
	var d decision
	path, seen := "/plans/"+record.Hash, planSeen(record)
	may := func(action policies.Action, more policies.Context) (bool, error) {
		hint, err := c.cfg.Resolver.Hint(ctx, v.actor, action, []policies.Organization{v.actor.Org.Policy()}, more)
		return hint.Everywhere(), err
	}
	switch {
	case record.State == provision.PlanMade, record.State == provision.PlanApproved && c.expired(record):
		ok, err := may(policies.ActionPlanApprove, policies.Context{PlanMaker: record.Maker})
		if err != nil {
			return d, err
		}
		if !ok || record.Maker == v.actor.ScopeActor() {
			d.Why = label{"承認は、計画を作った人とは別のシステム管理者が行います。", "Another system administrator than its maker approves a plan."}
			return d, nil
		}
		if d.Proof = c.proofFor(r, v, path); d.Proof != nil {
			return d, nil
		}
		d.Approve = &approval{
			form: c.formOf(r, path+"/approve", seen), Lost: all.Lost(), Leaves: all.Leaves, Gained: all.Gained(), Changes: all.Changes(),
			Again: record.State == provision.PlanApproved,
		}
	case record.State == provision.PlanApproved:
		ok, err := may(policies.ActionPlanApply, policies.Context{})
		if err != nil {
			return d, err
		}
		if ok {
			f := c.formOf(r, path+"/apply", seen)
			d.Apply = &f
		}
	case record.State == provision.PlanStaging, record.State == provision.PlanRunning:
		ok, err := may(policies.ActionPlanApply, policies.Context{})
		if err != nil {
			return d, err
		}
		if ok {
			f := c.formOf(r, path+"/stop", seen)
			d.Stop = &f
		}
	}
	return d, nil
}

// deciding reads the plan that a form is about, as it is now, holds the form to what its page showed, and mints the scope of what is to be
// done. Whom the policies refuse that attempted it: that is recorded.
func (c *Console) deciding(ctx context.Context, r *http.Request, v viewer, in submitted, action policies.Action) (provision.PlanRecord, policies.Scope, error) {
	record, err := c.decidable(ctx, r, v, in)
	facts := policies.Context{}
	if action == policies.ActionPlanApprove {
		facts.PlanMaker = record.Maker
	}
	if err != nil && !errors.Is(err, identity.ErrRefused) {
		return record, policies.Scope{}, err
	}
	scope, refused := c.cfg.Resolver.Scope(ctx, v.actor, action, []policies.Organization{v.actor.Org.Policy()}, facts)
	if action == policies.ActionPlanApprove && record.Maker != "" && record.Maker == v.actor.ScopeActor() {
		return record, policies.Scope{}, refusal(provision.ErrOwnPlan, "/plans/"+record.Hash)
	}
	if err == nil {
		err = refused
	}
	return record, scope, err
}

func (c *Console) decidable(ctx context.Context, r *http.Request, v viewer, in submitted) (provision.PlanRecord, error) {
	if !v.mayReadPlans() {
		return provision.PlanRecord{}, fmt.Errorf("decide on a plan: %w", identity.ErrRefused)
	}
	hash := r.PathValue("hash")
	if !planHash(hash) {
		return provision.PlanRecord{}, identity.ErrNotFound
	}
	record, err := c.cfg.Provision.Record(ctx, v.plans, hash)
	if err != nil {
		return record, err
	}
	if planSeen(record) != in.seen {
		return record, changedMeanwhile("/plans/" + hash)
	}
	return record, nil
}

// approve binds the viewer's approval to the plan's hash. Who approves accounts away says how many.
func (c *Console) approve(ctx context.Context, w http.ResponseWriter, r *http.Request, v viewer, in submitted) error {
	record, scope, err := c.deciding(ctx, r, v, in, policies.ActionPlanApprove)
	if err != nil {
		return err
	}
	back := "/plans/" + record.Hash
	if err := c.proven(r, v, back); err != nil {
		return err
	}
	d, err := c.planDigest(ctx, v, record.Hash)
	if err != nil {
		return err
	}
	if lost := d.All.Lost(); lost > 0 && in.field("lost") != strconv.Itoa(lost) {
		return conflict{message{
			label: label{"停止するアカウントの確認が要ります", "The accounts that end need your confirmation"},
			Say: label{
				"この計画は " + num(lost) + " 件のアカウントを停止します。内容を読み、確認の欄に印を付けてから承認してください。何も実行していません。",
				"This plan ends " + num(lost) + " accounts. Read them, tick the box and approve again. Nothing was done.",
			},
			Back: back,
		}}
	}
	if _, err := c.cfg.Provision.Approve(ctx, scope, record.Hash); err != nil {
		return refusal(err, back)
	}
	http.Redirect(w, r, back, http.StatusSeeOther)
	return nil
}

// apply starts the approved plan.
func (c *Console) apply(ctx context.Context, w http.ResponseWriter, r *http.Request, v viewer, in submitted) error {
	record, scope, err := c.deciding(ctx, r, v, in, policies.ActionPlanApply)
	if err != nil {
		return err
	}
	back := "/plans/" + record.Hash
	approved, err := c.cfg.Provision.Approved(ctx, scope, record.Hash)
	if err != nil {
		return refusal(err, back)
	}
	if err := c.cfg.Provision.Apply(ctx, scope, approved); err != nil {
		return refusal(err, back)
	}
	http.Redirect(w, r, back+"/progress", http.StatusSeeOther)
	return nil
}

// stop ends the application of a plan.
func (c *Console) stop(ctx context.Context, w http.ResponseWriter, r *http.Request, v viewer, in submitted) error {
	record, scope, err := c.deciding(ctx, r, v, in, policies.ActionPlanApply)
	if err != nil {
		return err
	}
	back := "/plans/" + record.Hash
	if err := c.cfg.Provision.Stop(ctx, scope, record.Hash); err != nil {
		return refusal(err, back)
	}
	http.Redirect(w, r, back, http.StatusSeeOther)
	return nil
}

// newestSeen is what the form that makes a plan is bound to: the newest plan that the page showed.
func newestSeen(rows []planRow) string {
	if len(rows) == 0 {
		return "none"
	}
	return planSeen(rows[0].Record)
}

// makePlan computes and stores the plan of the present.
func (c *Console) makePlan(ctx context.Context, w http.ResponseWriter, r *http.Request, v viewer, _ submitted) error {
	if c.cfg.Planner == nil {
		return identity.ErrNotFound
	}
	scope, err := c.cfg.Resolver.Scope(ctx, v.actor, policies.ActionPlanMake, []policies.Organization{v.actor.Org.Policy()}, policies.Context{})
	if err != nil {
		return err
	}
	plan, err := c.cfg.Planner.Current(ctx, v.actor.ScopeActor())
	if err != nil {
		return err
	}
	if plan.Empty() {
		return conflict{message{
			label: label{"変更はありません", "Nothing to do"},
			Say:   label{"どの SaaS も、名簿と方針のとおりです。計画は作っていません。", "Every SaaS is as directory and policies want it. No plan was made."},
			Back:  "/",
		}}
	}
	record, err := c.cfg.Provision.Save(ctx, scope, plan)
	if err != nil {
		return err
	}
	http.Redirect(w, r, "/plans/"+record.Hash, http.StatusSeeOther)
	return nil
}
