package main

import (
	"context"
	"fmt"
	"time"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/directory"
	"github.com/musubi-hub/musubi/identity/directory/sample"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/provision"
)

// mainJob imports, plans, approves and applies until nothing is left to plan.
func (d *demo) mainJob(ctx context.Context, orgs *directory.Rows) error {
	agency, admins := d.operator()
	if err := bootstrap(ctx, d.hub, agency, admins); err != nil {
		return err
	}
	var err error
	if d.planner, err = d.hub.Actor(ctx, admins[0].file); err != nil {
		return err
	}
	if d.approver, err = d.hub.Actor(ctx, admins[1].file); err != nil {
		return err
	}
	step := func(n int, ja, en string) { say(d.env.stderr, "\n[%d/4] %s / %s", n, ja, en) }
	step(1, "取込", "import")
	if err := d.importRows(ctx, orgs, policies.ActionOrgWrite); err != nil {
		return err
	}
	people, _ := sample.Staff()
	if d.perOrg > 0 {
		people, _ = directory.PeopleRows(fmt.Sprintf("generated (%d per organization)", d.perOrg), sample.People(bodies(orgs), d.perOrg, sample.Seed))
	}
	if err := d.importRows(ctx, people, policies.ActionPeopleWrite); err != nil {
		return err
	}
	if d.orgs == "" {
		services, _ := sample.Services()
		if err := d.importRows(ctx, services, policies.ActionServiceWrite); err != nil {
			return err
		}
	}
	if err := d.resume(ctx); err != nil {
		return err
	}
	const rounds = 5
	for round := range rounds {
		step(2, "計画", "plan")
		rec, err := d.plan(ctx)
		if err != nil {
			return err
		}
		if rec.Hash == "" {
			say(d.env.stderr, "変更はありません。 / Nothing is left to do.")
			break
		}
		if round == rounds-1 {
			return boot.Partial(fmt.Errorf("after %d plans something is still left to do: read the reasons with `musubi plan --data %s`", rounds-1, d.env.data))
		}
		if err := d.approveAndApply(ctx, rec, step); err != nil {
			return err
		}
	}
	return d.settle(ctx)
}

// bodies are the organizations that have people.
func bodies(orgs *directory.Rows) []identity.Organization {
	var out []identity.Organization
	for _, r := range orgs.Orgs {
		if r.Organization.Kind != policies.KindWard {
			out = append(out, r.Organization)
		}
	}
	return out
}

func (d *demo) importRows(ctx context.Context, rows *directory.Rows, action policies.Action) error {
	scope, err := d.hub.Scope(ctx, d.planner, action, policies.Context{})
	if err != nil {
		return err
	}
	m := newMeter(d.env.stderr, rows.Name, d.env.now)
	result, report, err := d.hub.Directory.Import(ctx, scope, rows, directory.Author{Actor: d.planner.ScopeActor(), Source: "demo " + rows.Name, Why: "demonstration"},
		directory.ImportOptions{Progress: func(done, total int64, stage string) { m.set(done, total, stage) }})
	m.end()
	if err != nil {
		return err
	}
	if !report.OK() {
		_, _ = report.WriteTo(d.env.stderr)
		return notImported(rows.Name)
	}
	say(d.env.stderr, "%s: 追加 / added %s, 変更 / changed %s, 変更なし / unchanged %s", rows.Name, group(result.Added), group(result.Changed), group(result.Unchanged))
	return nil
}

// resume waits for a plan that an earlier run left on its way.
func (d *demo) resume(ctx context.Context) error {
	scope, err := d.hub.Scope(ctx, d.planner, policies.ActionPlanApply, policies.Context{})
	if err != nil {
		return err
	}
	recs, err := d.hub.Provision.Records(ctx, scope, 100)
	if err != nil {
		return err
	}
	for _, r := range recs {
		if r.State == provision.PlanStaging || r.State == provision.PlanRunning {
			say(d.env.stderr, "\n前回の続き / going on with plan %.12s", r.Hash)
			p, err := d.env.watch(ctx, d.hub, scope, r.Hash, &watched{last: -1})
			if err != nil {
				return err
			}
			return d.told(ctx, scope, p)
		}
	}
	return nil
}

// plan makes and stores a plan; an empty record says that nothing is left to do.
func (d *demo) plan(ctx context.Context) (provision.PlanRecord, error) {
	scope, err := d.hub.Scope(ctx, d.planner, policies.ActionPlanMake, policies.Context{})
	if err != nil {
		return provision.PlanRecord{}, err
	}
	plan, err := d.hub.Planner.Current(ctx, d.planner.ScopeActor())
	if err != nil || plan.Empty() {
		return provision.PlanRecord{}, err
	}
	d.out.Planned += len(plan.Objects)
	rec, err := d.hub.Provision.Save(ctx, scope, plan)
	if err != nil {
		return rec, err
	}
	return rec, d.env.writePlan(ctx, d.hub, d.planner, d.env.stderr, rec, plan, planView{rows: 5})
}

func (d *demo) approveAndApply(ctx context.Context, rec provision.PlanRecord, step func(int, string, string)) error {
	step(3, "承認 ("+d.approver.Person.DisplayName()+")", "approve, by another person")
	if rec.State == provision.PlanMade {
		var err error
		if rec, err = approvePlan(ctx, d.hub, d.approver, rec.Hash); err != nil {
			return err
		}
	}
	say(d.env.stderr, "承認しました / approved %.12s", rec.Hash)
	step(4, "適用", "apply")
	scope, err := d.hub.Scope(ctx, d.planner, policies.ActionPlanApply, policies.Context{})
	if err != nil {
		return err
	}
	if err := startPlan(ctx, d.hub, scope, rec); err != nil {
		return err
	}
	p, err := d.env.watch(ctx, d.hub, scope, rec.Hash, &watched{last: -1})
	if err != nil {
		return err
	}
	return d.told(ctx, scope, p)
}

// told shows what was quarantined and ends with its exit code; what was merely dropped is planned anew.
func (d *demo) told(ctx context.Context, scope policies.Scope, p provision.Progress) error {
	quiet := *d.env
	quiet.json, quiet.stdout = false, d.env.stderr
	return quiet.conclude(ctx, d.hub, scope, p)
}

// settle waits for leavers whose work is on its way, at most as long as nothing is wrong.
func (d *demo) settle(ctx context.Context) error {
	scope, err := d.hub.Scope(ctx, d.planner, policies.ActionPeopleRead, policies.Context{})
	if err != nil {
		return err
	}
	deadline := d.env.now().Add(d.env.patience)
	for {
		seats, err := d.hub.Provision.Seats(ctx, scope)
		if err != nil {
			return err
		}
		pending := 0
		for _, s := range seats {
			pending += s.Leavers
		}
		if pending == 0 {
			return nil
		}
		if d.env.now().After(deadline) {
			return boot.Partial(fmt.Errorf("%d leavers' accounts aren't ended yet", pending))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}
