package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

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
	var v planView
	var org, at string
	cmd := &cobra.Command{
		Use:   "plan [HASH]",
		Short: "何が起こるかを計算して見せる / compute and show what will happen",
		Long: `計画を作り、指紋 (ハッシュ) を付けて保存します。何も実行しません。
Makes a plan and stores it under its hash. Nothing is done to any SaaS. The same directory, policies and maker give the
same plan and the same hash, so making it twice is harmless. With HASH, or with --list, shows plans made before.

A plan counts only people whose seat policy says so; each line names the policy (see policies/rules/seats.cedar). Changes are
grouped by organization and SaaS; --full shows each with what it was and will be.

--org と --at は見るだけの予測です。保存されず、承認もできません。
--org and --at foresee, for reading alone: one organization, or the directory as of a date with the transfers until then that
you may know of. Nothing is stored and nothing can be approved. An organization's administrator may foresee their own.`,
		Example: "  musubi plan --as planner.cred\n  musubi plan --as planner.cred --json > plan.json\n  musubi plan 3f2a91c0 --as planner.cred --rows 50 --full\n  musubi plan --at 2027-04-01 --org 011002 --as planner.cred",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.withHub(cmd.Context(), false, func(ctx context.Context, h *boot.Hub) error {
				actor, err := h.Actor(ctx, e.as)
				if err != nil {
					return err
				}
				switch {
				case (list || len(args) == 1) && (org != "" || at != "") || list && len(args) == 1:
					return boot.Usage(errors.New("give HASH, --list, or --org and --at: not two of them"))
				case list:
					return e.listPlans(ctx, h, actor)
				case len(args) == 1:
					return e.showPlan(ctx, h, actor, args[0], v)
				case org != "" || at != "":
					return e.foresee(ctx, h, actor, policies.OrgID(org), at, v)
				}
				return e.makePlan(ctx, h, actor, v)
			})
		},
	}
	cmd.Flags().BoolVar(&list, "list", false, "list the latest plans")
	cmd.Flags().IntVar(&v.rows, "rows", 10, "how many organizations to show; 0 shows all")
	cmd.Flags().BoolVar(&v.full, "full", false, "show every change with what it was and will be")
	cmd.Flags().StringVar(&org, "org", "", "foresee for one organization: its number")
	cmd.Flags().StringVar(&at, "at", "", "foresee for the directory as of this date (00:00 in Japan), e.g. 2027-04-01")
	return cmd
}

// planDocument is the --json answer: the record, and the plan itself as it was hashed.
type planDocument struct {
	Record        provision.PlanRecord `json:"record"`
	Empty         bool                 `json:"empty"`
	Plan          provision.Plan       `json:"plan"`
	Organizations []provision.Change   `json:"organizations"`           // the plan by organization and SaaS
	NotConnected  []policies.Product   `json:"not_connected,omitempty"` // for these nothing is planned
	Foreseen      *foreseen            `json:"foreseen,omitempty"`      // of what is neither stored nor approved
}

// foreseen says what a plan that is for reading alone was asked for.
type foreseen struct {
	Org policies.OrgID `json:"org,omitempty"`
	At  time.Time      `json:"at"`
}

func document(h *boot.Hub, rec provision.PlanRecord, plan provision.Plan) planDocument {
	return planDocument{
		Record: rec, Empty: plan.Empty(), Plan: plan, Organizations: plan.Changes(h.Planner.Prices()), NotConnected: notConnected(h),
	}
}

// notConnected lists the products that nothing is planned for.
func notConnected(h *boot.Hub) []policies.Product {
	return slices.DeleteFunc(policies.Products(), func(p policies.Product) bool { return slices.Contains(h.Planner.Connected(), p) })
}

func (e *env) makePlan(ctx context.Context, h *boot.Hub, actor access.Actor, v planView) error {
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
			return e.printJSON("musubi.plan.v1", document(h, provision.PlanRecord{}, plan))
		}
		say(e.stdout, "変更はありません。SaaS は計画どおりです。 / Nothing to do: every SaaS is as it should be.")
		return nil
	}
	rec, err := h.Provision.Save(ctx, scope, plan)
	if err != nil {
		return err
	}
	if e.json {
		return e.printJSON("musubi.plan.v1", document(h, rec, plan))
	}
	if err := e.writePlan(ctx, h, actor, e.stdout, rec, plan, v); err != nil {
		return err
	}
	if rec.State == provision.PlanMade {
		say(e.stdout, "\n次: 別のシステム管理者が承認します / next, another system administrator: musubi approve %.12s --as FILE", rec.Hash)
	}
	return nil
}

func (e *env) showPlan(ctx context.Context, h *boot.Hub, actor access.Actor, prefix string, v planView) error {
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
		return e.printJSON("musubi.plan.v1", document(h, rec, plan))
	}
	return e.writePlan(ctx, h, actor, e.stdout, rec, plan, v)
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
