package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/breaker"
)

func newBreakers(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "breakers",
		Short: "ブレーカー: 止めている変更の一覧、詳細、解除 / breakers: list, show, release",
		Long: `失うものが多すぎる変更があると、ブレーカーが作動し、計画・取り込み・外部からの変更が止めるはずのアカウントと、外すはずの所属を
そのままにします。人が確かめて解除するまで動きません。人が一人ずつ記録した退職と、予告された異動は止まりません。
A breaker trips where too much would be taken away: it holds what plans, files and inbound changes would disable or remove until a
person has looked and releases it. A single leaver recorded by a person passes, and so does what an announced transfer takes away.
The limits are in the configuration (breakers.*); docs/breakers.md explains them.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newBreakersList(e), newBreakersShow(e), newBreakersRelease(e))
	return cmd
}

// breakersDocument is the --json answer of breakers list.
type breakersDocument struct {
	Breakers []breaker.Record `json:"breakers"`
}

func newBreakersList(e *env) *cobra.Command {
	var all bool
	var limit int
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "作動しているブレーカーを見る / breakers that have tripped",
		Long:    "作動しているものを新しい順に見せます。--all は、解除されたものも見せます。 / Those that hold something, newest first; --all shows released ones too.",
		Example: "  musubi breakers list --as planner.cred\n  musubi breakers list --all --json --as planner.cred",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 1 || limit > 1000 {
				return boot.Usage(fmt.Errorf("--limit: %d isn't between 1 and 1000", limit))
			}
			return e.withHub(cmd.Context(), false, func(ctx context.Context, h *boot.Hub) error {
				scope, _, err := e.scope(ctx, h, policies.ActionPlanRead)
				if err != nil {
					return err
				}
				list, err := h.Breakers.List(ctx, scope, all, limit)
				if err != nil {
					return err
				}
				if e.json {
					if list == nil {
						list = []breaker.Record{}
					}
					return e.printJSON("musubi.breakers.v1", breakersDocument{list})
				}
				if len(list) == 0 {
					say(e.stdout, "作動しているブレーカーはありません。 / No breaker has tripped.")
					return nil
				}
				c := newColumns("ブレーカー / ID", "日時 / AT", "範囲 / LEVEL", "対象 / SUBJECT", "失うもの / LOSS", "止めている件数 / HELD", "状態 / STATE", "原因 / CAUSE")
				for _, r := range list {
					c.row(r.ID, showTime(r.At), levelName(r.Level), r.Subject, lossName(r.Loss), group(r.Held), string(r.State), causeName(r.Cause))
				}
				c.print(e.stdout)
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "released ones too")
	cmd.Flags().IntVar(&limit, "limit", 50, "how many at most, 1 to 1000")
	return cmd
}

// breakerDocument is the --json answer of breakers show.
type breakerDocument struct {
	Breaker breaker.Record `json:"breaker"`
	Held    []breaker.Held `json:"held"`
}

func newBreakersShow(e *env) *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use:     "show ID",
		Short:   "一つのブレーカーを見る: 原因の変更と、止めているもの / one breaker: the change that tripped it, and what it holds",
		Example: "  musubi breakers show b3f2a91c04d5e --as planner.cred",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if limit < 1 || limit > 100_000 {
				return boot.Usage(fmt.Errorf("--rows: %d isn't between 1 and 100000", limit))
			}
			return e.withHub(cmd.Context(), false, func(ctx context.Context, h *boot.Hub) error {
				scope, _, err := e.scope(ctx, h, policies.ActionPlanRead)
				if err != nil {
					return err
				}
				r, held, err := h.Breakers.Show(ctx, scope, args[0], limit)
				if err != nil {
					return err
				}
				if e.json {
					if held == nil {
						held = []breaker.Held{}
					}
					return e.printJSON("musubi.breaker.v1", breakerDocument{r, held})
				}
				e.tellBreaker(r, held)
				return nil
			})
		},
	}
	cmd.Flags().IntVar(&limit, "rows", 20, "how many of those that it holds to show")
	return cmd
}

func (e *env) tellBreaker(r breaker.Record, held []breaker.Held) {
	say(e.stdout, "ブレーカー / breaker %s (%s)  %s %s", r.ID, r.State, levelName(r.Level), r.Subject)
	say(e.stdout, "作動 / tripped    %s", showTime(r.At))
	say(e.stdout, "理由 / why        %s: %s の間に %s 件、さらに %s 件を失うところでした。許されるのは %s 件です。", lossName(r.Loss), windowName(r.Window), group(r.Lost), group(r.Asked), group(r.Allowed))
	say(e.stdout, "                  %s lost in %s and %s more asked for; %s are allowed of %s", group(r.Lost), windowName(r.Window), group(r.Asked), group(r.Allowed), group(r.Baseline+r.Lost))
	say(e.stdout, "原因 / cause      %s", causeName(r.Cause))
	for _, c := range r.Earlier {
		say(e.stdout, "その前 / earlier  %s 件 %s", group(c.Lost), causeName(c))
	}
	if r.State == breaker.StateReleased {
		say(e.stdout, "解除 / released   %s %s: %s", showTime(r.ReleasedAt), r.ReleasedBy, oneLine(r.Reason, 300))
	}
	say(e.stdout, "止めているもの / held: %s", group(r.Held))
	for i, h := range held {
		say(e.stdout, "  %s %s %s %s", h.Product, h.Org, h.Person, lossName(h.Loss))
		if i == len(held)-1 && r.Held > len(held) {
			say(e.stdout, "  … ほか / and %s more (--rows, --json)", group(r.Held-len(held)))
		}
	}
	if r.State == breaker.StateOpen {
		say(e.stdout, "\n次: 原因の変更が正しいかを確かめ、正しければ、その変更をした人とは別のシステム管理者が解除します。誤りなら、先に名簿か方針を直します。"+
			"\nNext: find out whether that change was right. If so, a system administrator other than who made it: musubi breakers release %s --why TEXT --as FILE. If not, correct the directory or the policies first.", r.ID)
	}
}

func newBreakersRelease(e *env) *cobra.Command {
	var why string
	cmd := &cobra.Command{
		Use:   "release ID",
		Short: "ブレーカーが止めている変更を解除する / let go what a breaker holds",
		Long: `止めている変更を実行に移します。退職者は直ちに、ほかは計画し直して行います。理由は監査記録に残ります。原因の変更をした本人は、
ほかにシステム管理者がいる限り、解除できません。解除したものは一日の間、数えられずに通り、期間は数え直しになります。
Lets it go: leavers at once, the rest by being planned again. The reason is audited. Who made the change that tripped it can't
release it while another system administrator exists. What was released passes uncounted for a day, and the windows begin anew.`,
		Example: "  musubi breakers release b3f2a91c04d5e --why \"人事課に確認済み\" --as approver.cred",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.withHub(cmd.Context(), false, func(ctx context.Context, h *boot.Hub) error {
				scope, _, err := e.scope(ctx, h, policies.ActionBreakerRelease)
				if err != nil {
					return err
				}
				people, _, err := e.scope(ctx, h, policies.ActionPeopleRead)
				if err != nil {
					return err
				}
				another, err := h.AnotherAdministrator(ctx, people)
				if err != nil {
					return err
				}
				r, err := h.Provision.ReleaseBreaker(ctx, scope, args[0], why, another)
				switch {
				case errors.Is(err, breaker.ErrReason):
					return boot.Usage(fmt.Errorf("%w: --why", err))
				case errors.Is(err, breaker.ErrOwnTrip), errors.Is(err, breaker.ErrReleased):
					return boot.Refused(err)
				case err != nil:
					return err
				}
				if e.json {
					return e.printJSON("musubi.breaker.v1", breakerDocument{r, []breaker.Held{}})
				}
				say(e.stdout, "解除しました / released %s: %s 件 / held", r.ID, group(r.Held))
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&why, "why", "", "the reason, 1 to 300 characters; it goes into the audit log")
	return cmd
}

func levelName(l breaker.Level) string {
	switch l {
	case breaker.LevelNation:
		return "国全体 / nation"
	case breaker.LevelChange:
		return "一つの変更 / change"
	case breaker.LevelProduct:
		return "SaaS / product"
	case breaker.LevelOrganization:
		return "組織 / organization"
	}
	return string(l)
}

func lossName(l breaker.Loss) string {
	switch l {
	case breaker.LossAccounts:
		return "アカウント / accounts"
	case breaker.LossMemberships:
		return "所属 / memberships"
	}
	return string(l)
}

func causeName(c breaker.Cause) string {
	kind := map[breaker.CauseKind]string{
		breaker.CausePerson: "人の操作 / person", breaker.CauseImport: "取り込み / import", breaker.CauseInbound: "外部 / inbound", breaker.CauseTransfer: "異動 / transfer",
		breaker.CausePlan: "計画 / plan", breaker.CausePolicy: "方針の改定 / policy edit",
	}[c.Kind]
	text := kind + " " + c.Ref
	if c.Actor != "" {
		text += " by " + string(c.Actor)
	}
	if c.At != 0 {
		text += " " + showTime(time.UnixMicro(c.At))
	}
	return text
}

// windowName writes a window as it is configured.
func windowName(d time.Duration) string {
	if d%(24*time.Hour) == 0 && d > 24*time.Hour {
		return fmt.Sprintf("%dd", d/(24*time.Hour))
	}
	return fmt.Sprintf("%dh", d/time.Hour)
}
