package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/directory"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/provision"
)

func newPlan(e *env) *cobra.Command {
	var list bool
	var rows int
	cmd := &cobra.Command{
		Use:   "plan [HASH]",
		Short: "何が起こるかを計算して見せる / compute and show what will happen",
		Long: `計画を作り、指紋 (ハッシュ) を付けて保存します。何も実行しません。
Makes a plan and stores it under its hash. Nothing is done to any SaaS. The same directory, policies and maker give the
same plan and the same hash, so making it twice is harmless. With HASH, or with --list, shows plans made before.

A plan counts only people whose seat policy says so; each line names the policy (see policies/rules/seats.cedar).`,
		Example: "  musubi plan --as planner.cred\n  musubi plan --as planner.cred --json > plan.json\n  musubi plan 3f2a91c0 --as planner.cred --rows 50",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.withHub(cmd.Context(), false, func(ctx context.Context, h *boot.Hub) error {
				actor, err := h.Actor(ctx, e.as)
				if err != nil {
					return err
				}
				switch {
				case list:
					return e.listPlans(ctx, h, actor)
				case len(args) == 1:
					return e.showPlan(ctx, h, actor, args[0], rows)
				}
				return e.makePlan(ctx, h, actor, rows)
			})
		},
	}
	cmd.Flags().BoolVar(&list, "list", false, "list the latest plans")
	cmd.Flags().IntVar(&rows, "rows", 10, "how many organizations to show; 0 shows all")
	return cmd
}

// planDocument is the --json answer: the record, and the plan itself as it was hashed.
type planDocument struct {
	Record provision.PlanRecord `json:"record"`
	Empty  bool                 `json:"empty"`
	Plan   provision.Plan       `json:"plan"`
}

func (e *env) makePlan(ctx context.Context, h *boot.Hub, actor access.Actor, rows int) error {
	scope, err := h.Scope(ctx, actor, policies.ActionPlanMake, policies.Context{})
	if err != nil {
		return err
	}
	plan, err := h.Planner.Current(ctx, actor.ScopeActor())
	if err != nil {
		return err
	}
	if plan, err = h.Provision.WithoutIgnored(ctx, plan); err != nil {
		return err
	}
	if plan.Empty() {
		if e.json {
			return e.printJSON("musubi.plan.v1", planDocument{Empty: true, Plan: plan})
		}
		say(e.stdout, "変更はありません。SaaS は計画どおりです。 / Nothing to do: every SaaS is as it should be.")
		return nil
	}
	rec, err := h.Provision.Save(ctx, scope, plan)
	if err != nil {
		return err
	}
	if e.json {
		return e.printJSON("musubi.plan.v1", planDocument{Record: rec, Plan: plan})
	}
	if err := e.writePlan(ctx, h, actor, e.stdout, rec, plan, rows); err != nil {
		return err
	}
	if rec.State == provision.PlanMade {
		say(e.stdout, "\n次: 別のシステム管理者が承認します / next, another system administrator: musubi approve %.12s --as FILE", rec.Hash)
	}
	return nil
}

func (e *env) showPlan(ctx context.Context, h *boot.Hub, actor access.Actor, prefix string, rows int) error {
	scope, err := h.Scope(ctx, actor, policies.ActionPlanRead, policies.Context{})
	if err != nil {
		return err
	}
	rec, err := h.Provision.Record(ctx, scope, prefix)
	if err != nil {
		return err
	}
	plan, err := h.Provision.Load(ctx, scope, rec.Hash)
	if err != nil {
		return err
	}
	if e.json {
		return e.printJSON("musubi.plan.v1", planDocument{Record: rec, Plan: plan})
	}
	return e.writePlan(ctx, h, actor, e.stdout, rec, plan, rows)
}

func (e *env) listPlans(ctx context.Context, h *boot.Hub, actor access.Actor) error {
	scope, err := h.Scope(ctx, actor, policies.ActionPlanRead, policies.Context{})
	if err != nil {
		return err
	}
	recs, err := h.Provision.Records(ctx, scope, 20)
	if err != nil {
		return err
	}
	if e.json {
		if recs == nil {
			recs = []provision.PlanRecord{}
		}
		return e.printJSON("musubi.plans.v1", struct {
			Plans []provision.PlanRecord `json:"plans"`
		}{recs})
	}
	if len(recs) == 0 {
		say(e.stdout, "計画はまだありません。 / There is no plan yet: make one with `musubi plan`.")
	}
	for _, r := range recs {
		say(e.stdout, "%.12s  %-9s  %8s 件  %s  maker %s", r.Hash, r.State, group(r.Objects), showTime(r.MadeAt), r.Maker)
	}
	return nil
}

// writePlan shows totals per product, then the organizations with the most changes.
func (e *env) writePlan(ctx context.Context, h *boot.Hub, actor access.Actor, w io.Writer, rec provision.PlanRecord, plan provision.Plan, rows int) error {
	say(w, "計画 / plan %s", rec.Hash)
	say(w, "状態 / state %s, 作成 / made %s, 作成者 / maker %s, 方針 / policies %.12s", rec.State, showTime(rec.MadeAt), rec.Maker, plan.PolicyHash)
	for _, t := range plan.Totals {
		say(w, "\n%s: 利用席 / seats %s → %s", t.Product, group(t.AccountsCurrent), group(t.AccountsWanted))
		for _, line := range []struct {
			ja, en string
			n      int
		}{
			{"組織グループの作成", "groups created", t.Groups},
			{"アカウントの作成", "accounts created", t.Created},
			{"アカウントの変更", "accounts changed", t.Updated},
			{"アカウントの再開", "accounts enabled again", t.Enabled},
			{"アカウントの停止", "accounts disabled", t.Disabled},
			{"所属の追加", "memberships added", t.MembersAdded},
			{"所属の解除", "memberships removed", t.MembersRemoved},
		} {
			if line.n > 0 {
				say(w, "  %8s  %s / %s", group(line.n), line.ja, line.en)
			}
		}
	}
	type tally struct {
		org  policies.OrgID
		gain int
		lose int
		why  []string
	}
	by := map[policies.OrgID]*tally{}
	for _, o := range plan.Objects {
		t := by[o.Org]
		if t == nil {
			t = &tally{org: o.Org}
			by[o.Org] = t
		}
		switch {
		case o.Kind == provision.ObjectAccount && o.Action == provision.ActionDisable:
			t.lose++
		case o.Kind == provision.ObjectAccount && o.Action != provision.ActionUpdate && o.Action != provision.ActionReplace:
			t.gain++
		}
		for _, p := range o.Policies {
			if !slices.Contains(t.why, p) {
				t.why = append(t.why, p)
			}
		}
	}
	list := make([]*tally, 0, len(by))
	for _, t := range by {
		list = append(list, t)
	}
	slices.SortFunc(list, func(a, b *tally) int {
		return cmp.Or(cmp.Compare(b.gain+b.lose, a.gain+a.lose), cmp.Compare(a.org, b.org))
	})
	names, err := orgNames(ctx, h, actor)
	if err != nil {
		return err
	}
	say(w, "\n組織ごと / per organization (%s):", group(len(list)))
	for i, t := range list {
		if rows > 0 && i == rows {
			say(w, "  … ほか %s 組織 / %s more (--rows 0 shows all, --json everything)", group(len(list)-rows), group(len(list)-rows))
			break
		}
		say(w, "  +%-5s -%-5s %-14s %s  方針 / policy: %v", group(t.gain), group(t.lose), t.org, names[t.org], t.why)
	}
	return nil
}

func orgNames(ctx context.Context, h *boot.Hub, actor access.Actor) (map[policies.OrgID]string, error) {
	scope, err := h.Scope(ctx, actor, policies.ActionOrgRead, policies.Context{})
	if err != nil {
		return nil, err
	}
	names := map[policies.OrgID]string{}
	filter := directory.OrgFilter{Limit: directory.MaxPage}
	for {
		page, err := h.Directory.Organizations(ctx, scope, filter)
		if err != nil {
			return nil, fmt.Errorf("read organizations: %w", err)
		}
		for _, o := range page {
			names[o.ID] = o.Name
		}
		if len(page) < filter.Limit {
			return names, nil
		}
		filter.After = page[len(page)-1].ID
	}
}

func newApprove(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "approve HASH",
		Short: "計画を承認する (作成者以外) / approve a plan that somebody else made",
		Long: `承認は、計画の指紋に結び付きます。計画を作った本人と、資格情報のない OS 利用者は承認できません。
The approval is bound to the plan's hash, stands for 24 hours, and is used once. Read the plan first: musubi plan HASH.`,
		Example: "  musubi approve 3f2a91c0 --as approver.cred",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.withHub(cmd.Context(), false, func(ctx context.Context, h *boot.Hub) error {
				actor, err := h.Actor(ctx, e.as)
				if err != nil {
					return err
				}
				rec, err := approvePlan(ctx, h, actor, args[0])
				if err != nil {
					return err
				}
				if e.json {
					return e.printJSON("musubi.approval.v1", rec)
				}
				say(e.stdout, "承認しました / approved %s, %s まで / until\n次 / next: musubi apply %.12s --as FILE", rec.Hash, showTime(rec.ExpiresAt), rec.Hash)
				return nil
			})
		},
	}
}

// approvePlan decides by policy whether the actor may approve this plan, and approves it.
func approvePlan(ctx context.Context, h *boot.Hub, actor access.Actor, prefix string) (provision.PlanRecord, error) {
	// Who may approve may read; a person who may not even read must not learn whether a plan exists.
	read, err := h.Scope(ctx, actor, policies.ActionPlanRead, policies.Context{})
	if err != nil {
		return provision.PlanRecord{}, err
	}
	rec, err := h.Provision.Record(ctx, read, prefix)
	if err != nil {
		return rec, err
	}
	if rec.Maker == actor.ScopeActor() {
		_, err := h.Scope(ctx, actor, policies.ActionPlanApprove, policies.Context{PlanMaker: rec.Maker})
		if err == nil {
			err = identity.ErrRefused
		}
		return rec, fmt.Errorf("%w; ask another system administrator: %w", provision.ErrOwnPlan, err)
	}
	scope, err := h.Scope(ctx, actor, policies.ActionPlanApprove, policies.Context{PlanMaker: rec.Maker})
	if err != nil {
		return rec, err
	}
	return h.Provision.Approve(ctx, scope, rec.Hash)
}
