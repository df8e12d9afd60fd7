package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/provision"
)

func newQuarantine(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "quarantine",
		Short: "隔離: SaaS が受け付けないもの。一覧、詳細、やり直し、そのままにする / what the SaaS refuse: list, show, retry, ignore",
		Long: `SaaS が受け付けないアカウントや所属は、一件ずつ隔離されます。ほかの人には影響しません。SaaS の言い分と、直し方を見せます。
名簿が直れば、ハブが自分でやり直します。SaaS の側を直したときは、retry でやり直します。
An account or a membership that a SaaS refuses is put aside by itself; its neighbours go on. You see the vendor's own words and the
remedy. Once the directory is corrected the hub tries again by itself; after correcting something in the SaaS, use retry.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newQuarantineList(e), newQuarantineShow(e),
		newQuarantineDecide(e, "retry", provision.QuarantineRetry, "もう一度試す / try again",
			"退職者は直ちに、ほかは次の計画で試します。 / A leaver at once, the rest in the next plan. It is audited."),
		newQuarantineDecide(e, "ignore", provision.QuarantineIgnored, "そのままにする / leave it as it is",
			"計画から外します。名簿のその人の情報が変わるか、retry するまで、試しません。 / Plans leave it out until the person's data change or somebody retries it. It takes a reason and is audited. A leaver is never ignored."))
	return cmd
}

// quarantineDocument is the --json answer of quarantine list.
type quarantineDocument struct {
	Objects []provision.Quarantined `json:"objects"`
}

func newQuarantineList(e *env) *cobra.Command {
	var f provision.QuarantineFilter
	var states []string
	var product, org string
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "隔離されているものを見る / what is in quarantine",
		Example: "  musubi quarantine list --as planner.cred\n  musubi quarantine list --product jira --state open,ignored --json --as planner.cred",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			known := []provision.QuarantineState{provision.QuarantineOpen, provision.QuarantineRetry, provision.QuarantineIgnored, provision.QuarantineSolved}
			for _, s := range states {
				if !slices.Contains(known, provision.QuarantineState(s)) {
					return boot.Usage(fmt.Errorf("--state: %q is none of %v", s, known))
				}
				f.States = append(f.States, provision.QuarantineState(s))
			}
			if f.Limit < 1 || f.Limit > 1000 {
				return boot.Usage(fmt.Errorf("--limit: %d isn't between 1 and 1000", f.Limit))
			}
			f.Product, f.Org = policies.Product(product), policies.OrgID(org)
			return e.withHub(cmd.Context(), false, func(ctx context.Context, h *boot.Hub) error {
				scope, err := e.planScope(ctx, h)
				if err != nil {
					return err
				}
				list, err := h.Provision.Quarantine(ctx, scope, f)
				if err != nil {
					return err
				}
				if e.json {
					if list == nil {
						list = []provision.Quarantined{}
					}
					return e.printJSON("musubi.quarantine.v1", quarantineDocument{list})
				}
				if len(list) == 0 {
					say(e.stdout, "隔離されているものはありません。 / Nothing is in quarantine.")
					return nil
				}
				c := newColumns("ID", "日時 / AT", "SaaS", "操作 / WHAT", "組織 / ORG", "人 / PERSON", "回 / TIMES", "状態 / STATE", "SaaS の言い分 / WORDS")
				for _, q := range list {
					c.row(q.ID, showTime(q.LastAt), string(q.Product), string(q.Kind), string(q.Org), string(q.Person), group(q.Times), string(q.State), q.Words)
				}
				c.print(e.stdout)
				return nil
			})
		},
	}
	fl := cmd.Flags()
	fl.StringSliceVar(&states, "state", nil, "states, separated by commas: open, retry, ignored, solved (default open,retry)")
	fl.StringVar(&product, "product", "", "only this SaaS")
	fl.StringVar(&org, "org", "", "only this organization, by its number")
	fl.IntVar(&f.Limit, "limit", 100, "how many at most, 1 to 1000")
	return cmd
}

// planScope is the actor's scope for plan.read: over the organizations that they may see plans of.
func (e *env) planScope(ctx context.Context, h *boot.Hub) (policies.Scope, error) {
	scope, _, err := e.scope(ctx, h, policies.ActionPlanRead)
	return scope, err
}

func newQuarantineShow(e *env) *cobra.Command {
	return &cobra.Command{
		Use:     "show ID",
		Short:   "一件を見る: SaaS の言い分と直し方 / one object: the vendor's words and the remedy",
		Example: "  musubi quarantine show q3f2a91c04d5e --as planner.cred",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.withHub(cmd.Context(), false, func(ctx context.Context, h *boot.Hub) error {
				scope, err := e.planScope(ctx, h)
				if err != nil {
					return err
				}
				q, err := h.Provision.Quarantined(ctx, scope, args[0])
				if err != nil {
					return err
				}
				return e.tellQuarantined(q)
			})
		},
	}
}

func (e *env) tellQuarantined(q provision.Quarantined) error {
	if e.json {
		return e.printJSON("musubi.quarantined.v1", q)
	}
	say(e.stdout, "隔離 / quarantine %s (%s)  %s %s %s %s", q.ID, q.State, q.Product, q.Kind, q.Org, q.Person)
	say(e.stdout, "SaaS の言い分 / words  %s", oneLine(q.Words, 1000))
	say(e.stdout, "直し方 / remedy        %s", oneLine(q.Remedy, 1000))
	say(e.stdout, "最初 / first           %s, 最後 / last %s, %s 回 / times", showTime(q.FirstAt), showTime(q.LastAt), group(q.Times))
	if q.DecidedBy != "" {
		say(e.stdout, "判断 / decided         %s %s %s", showTime(q.DecidedAt), q.DecidedBy, oneLine(q.Reason, 300))
	}
	return nil
}

func newQuarantineDecide(e *env, verb string, to provision.QuarantineState, short, long string) *cobra.Command {
	var why string
	cmd := &cobra.Command{
		Use:     verb + " ID...",
		Short:   short,
		Long:    long,
		Example: fmt.Sprintf("  musubi quarantine %s q3f2a91c04d5e --why \"SaaS 側を修正済み\" --as planner.cred", verb),
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 || len(args) > maxActs {
				return fmt.Errorf("give 1 to %d ids; `musubi quarantine list` shows them", maxActs)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.withHub(cmd.Context(), false, func(ctx context.Context, h *boot.Hub) error {
				scope, _, err := e.scope(ctx, h, policies.ActionJobsWrite)
				if err != nil {
					return err
				}
				done := []provision.Quarantined{}
				for _, id := range args {
					q, err := h.Provision.Decide(ctx, scope, id, to, why)
					switch {
					case errors.Is(err, provision.ErrDecision) && why == "" && to == provision.QuarantineIgnored:
						return boot.Usage(fmt.Errorf("%w: --why", err))
					case errors.Is(err, provision.ErrDecision):
						return boot.Refused(err)
					case err != nil:
						return err
					}
					done = append(done, q)
				}
				if e.json {
					return e.printJSON("musubi.quarantine.v1", quarantineDocument{done})
				}
				for _, q := range done {
					say(e.stdout, "%s  %s  %s %s %s", q.ID, q.State, q.Product, q.Org, q.Person)
				}
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&why, "why", "", "the reason, at most 300 characters; it goes into the audit log")
	return cmd
}

// approvalsDocument is the --json answer of approvals.
type approvalsDocument struct {
	Waiting []provision.PlanRecord `json:"waiting"`
	Given   []provision.PlanRecord `json:"given"`
}

func newApprovals(e *env) *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use:   "approvals",
		Short: "承認を待つ計画と、与えられた承認を見る / plans that wait for approval, and approvals that were given",
		Long: `承認を待つ計画 (ハブが作ったものも) と、人または方針 (常設の承認) が承認した計画を、新しい順に見せます。計画を作った本人は承認できません。
Plans that wait, the hub's own too, and those that a person or the policies (standing approval) approved, newest first. Who made a plan
doesn't approve it. Read a plan with musubi plan HASH, approve it with musubi approve HASH.`,
		Example: "  musubi approvals --as approver.cred",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 1 || limit > 1000 {
				return boot.Usage(fmt.Errorf("--limit: %d isn't between 1 and 1000", limit))
			}
			return e.withHub(cmd.Context(), false, func(ctx context.Context, h *boot.Hub) error {
				scope, err := e.planScope(ctx, h)
				if err != nil {
					return err
				}
				recs, err := h.Provision.Records(ctx, scope, limit)
				if err != nil {
					return err
				}
				doc := approvalsDocument{Waiting: []provision.PlanRecord{}, Given: []provision.PlanRecord{}}
				for _, r := range recs {
					switch {
					case r.State == provision.PlanMade:
						doc.Waiting = append(doc.Waiting, r)
					case r.Approver != "":
						doc.Given = append(doc.Given, r)
					}
				}
				if e.json {
					return e.printJSON("musubi.approvals.v1", doc)
				}
				if len(doc.Waiting) == 0 {
					say(e.stdout, "承認を待つ計画はありません。 / No plan waits for approval.")
				}
				for _, r := range doc.Waiting {
					say(e.stdout, "待っています / waits  %.12s  %8s 件  %s  maker %s", r.Hash, group(r.Objects), showTime(r.MadeAt), r.Maker)
				}
				for _, r := range doc.Given {
					say(e.stdout, "承認済み / approved   %.12s  %8s 件  %s  %s  by %s", r.Hash, group(r.Objects), showTime(r.ApprovedAt), r.State, approverName(r.Approver))
				}
				return nil
			})
		},
	}
	cmd.Flags().IntVar(&limit, "limit", 50, "of how many of the latest plans, 1 to 1000")
	return cmd
}

// approverName tells a person from the policies.
func approverName(id policies.PersonID) string {
	if id == policies.StandingActor {
		return "方針 (常設の承認) / policy (standing approval)"
	}
	return string(id)
}
