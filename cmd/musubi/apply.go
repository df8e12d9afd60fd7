package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/cmd/internal/config"
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/provision"
)

func newApply(e *env) *cobra.Command {
	var stop, detach bool
	cmd := &cobra.Command{
		Use:   "apply HASH",
		Short: "承認済みの計画を実行する / apply an approved plan",
		Long: `承認済みの計画を始め、進み具合を見せます。いつ中断しても (Ctrl-C、停電でも)、同じ命令で続きから進みます。
Starts an approved plan and shows how far it is. If a hub serves this data folder, the hub does the work and this command only
watches; otherwise this command works itself. Interrupt it whenever you like: the same command goes on where it stopped.

Exit code 4: done but for what was quarantined (listed with its remedy). Exit code 5: the SaaS refuses or can't be reached;
nothing is lost, and it goes on by itself when the cause is gone.`,
		Example: "  musubi apply 3f2a91c0 --as planner.cred\n  musubi apply 3f2a91c0 --stop --as planner.cred",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			work := !stop && !detach
			w := &watched{last: -1}
			do := func(ctx context.Context, h *boot.Hub) error { return e.apply(ctx, h, args[0], stop, detach, work, w) }
			for {
				err := e.withHub(cmd.Context(), work, do)
				switch {
				case work && errors.Is(err, identity.ErrLocked):
					work = false // a hub serves this data folder and does the work
				case errors.Is(err, errStill):
					work = true // is that hub still there? Without one this command works itself
				default:
					return err
				}
			}
		},
	}
	cmd.Flags().BoolVar(&stop, "stop", false, "stop a plan that is being applied; what is missing comes up in the next plan")
	cmd.Flags().BoolVar(&detach, "detach", false, "start it for the serving hub and don't wait")
	return cmd
}

func (e *env) apply(ctx context.Context, h *boot.Hub, prefix string, stop, detach, work bool, w *watched) error {
	actor, err := h.Actor(ctx, e.as)
	if err != nil {
		return err
	}
	scope, err := h.Scope(ctx, actor, policies.ActionPlanApply, policies.Context{})
	if err != nil {
		return err
	}
	rec, err := h.Provision.Record(ctx, scope, prefix)
	if err != nil {
		return err
	}
	if stop {
		if err := h.Provision.Stop(ctx, scope, rec.Hash); err != nil {
			return err
		}
		return e.tellStarted(ctx, h, scope, rec.Hash, "止めました / stopped")
	}
	if err := startPlan(ctx, h, scope, rec); err != nil {
		return err
	}
	if detach {
		return e.tellStarted(ctx, h, scope, rec.Hash, "始めました / started")
	}
	if work {
		if !h.HasAccounts() {
			return boot.Usage(fmt.Errorf("no SaaS is configured: write %s/%s (an example is in deploy/musubi.example.yaml)", h.Data, config.FileName))
		}
		if err := h.Jobs.Start(ctx); err != nil {
			return err
		}
	}
	w.beside = !work
	p, err := e.watch(ctx, h, scope, rec.Hash, w)
	if err != nil {
		return err
	}
	return e.conclude(ctx, h, scope, p)
}

// tellStarted is the answer of --stop and --detach: what was done, or the plan's progress as a document.
func (e *env) tellStarted(ctx context.Context, h *boot.Hub, scope policies.Scope, hash, done string) error {
	if !e.json {
		say(e.stderr, "%s %.12s", done, hash)
		return nil
	}
	p, err := h.Provision.Progress(ctx, scope, hash)
	if err != nil {
		return err
	}
	return e.printJSON("musubi.apply.v1", applyDocument{p, []provision.Trouble{}})
}

// startPlan starts a plan that is approved; one that is on its way or done needs no start.
func startPlan(ctx context.Context, h *boot.Hub, scope policies.Scope, rec provision.PlanRecord) error {
	switch rec.State {
	case provision.PlanStaging, provision.PlanRunning, provision.PlanDone:
		return nil
	}
	approved, err := h.Provision.Approved(ctx, scope, rec.Hash)
	if err != nil {
		return err
	}
	return h.Provision.Apply(ctx, scope, approved)
}

// watched is what a watching command remembers while it looks whether the hub that works is still there.
type watched struct {
	beside       bool // a hub works, or did when this began
	began, moved time.Time
	last         int // operations that were final at the last look
}

// stillAfter is how long nothing may move beside a hub before the command looks whether that hub is still there.
const stillAfter = 4 * time.Second

// errStill says that nothing moves.
var errStill = errors.New("nothing moves: is the hub still there?")

// watch shows the progress of a plan until it ends, or until nothing moved for e.patience because of a failure outside.
func (e *env) watch(ctx context.Context, h *boot.Hub, scope policies.Scope, hash string, w *watched) (provision.Progress, error) {
	m := newMeter(e.stderr, "適用 / apply", e.now)
	defer m.end()
	looked := e.now()
	var shares quotaShares
	if w.began.IsZero() {
		w.began, w.moved = looked, looked
	}
	for {
		p, err := h.Provision.Progress(ctx, scope, hash)
		if err != nil {
			return p, err
		}
		note, failure := waitingNote(p, h.Config, w.began)
		if p.Plan.State == provision.PlanRunning || p.Plan.State == provision.PlanDone {
			if note == "" {
				note = shares.look(ctx, h, e.now())
			}
			m.set(int64(p.Final), int64(p.Total), note)
		}
		switch p.Plan.State {
		case provision.PlanDone, provision.PlanCancelled:
			return p, nil
		}
		if p.Final != w.last {
			w.last, w.moved = p.Final, e.now()
		}
		if w.beside && e.now().Sub(w.moved) > stillAfter && e.now().Sub(looked) > stillAfter {
			return p, errStill
		}
		if failure != "" && e.now().Sub(w.moved) > e.patience {
			return p, boot.Outside(fmt.Errorf("%s\n計画は始まったままで、何も失われていません。原因を直せば、同じ命令で続きます (ハブが動いていれば自動で続きます)。"+
				" / The plan stays started and nothing is lost. Once the cause is gone the same command goes on: musubi apply %.12s (a serving hub goes on by itself).", failure, hash))
		}
		select {
		case <-ctx.Done():
			return p, boot.Partial(fmt.Errorf("中断しました。同じ命令で続きます。 / interrupted; the same command goes on: musubi apply %.12s", hash))
		case <-time.After(300 * time.Millisecond):
		}
	}
}

// waitingNote says why a plan waits, shortly for the bar, and in full where the reason lies outside the hub.
// What failed before since may have been put right by now.
func waitingNote(p provision.Progress, cfg config.Config, since time.Time) (note, failure string) {
	for _, pp := range p.Products {
		if pp.TriedAt.Before(since) {
			continue
		}
		switch pp.Failure {
		case "auth":
			return fmt.Sprintf("%s: 認証エラー / credential refused", pp.Product),
				fmt.Sprintf("%s: SaaS が資格情報を受け付けません。新しいトークンを %[2]s に書き (chmod 600)、やり直してください。 / The product refuses the hub's credential: write a new token into %[2]s (chmod 600), and restart the hub if one is running.\n%[3]s",
					pp.Product, tokenFile(cfg, pp.Product), pp.Waiting)
		case "unavailable", "ambiguous", "protocol", "unknown":
			return fmt.Sprintf("%s: 応答なし / not reachable", pp.Product), fmt.Sprintf("%s: 接続できないか、正しい応答がありません。 / It can't be reached, or doesn't answer as it should.\n%s", pp.Product, pp.Waiting)
		}
	}
	return "", ""
}

// tokenFile is where the product's credential is kept, and until when it was said to stand.
func tokenFile(cfg config.Config, product policies.Product) string {
	file, until := fmt.Sprintf("the file that %s names as %s.token_file", config.FileName, product), ""
	switch {
	case product == policies.ProductAtlassian && cfg.Atlassian != nil:
		file, until = cfg.Atlassian.TokenFile, cfg.Atlassian.TokenExpires
	case product == policies.ProductJira && cfg.Jira != nil:
		file, until = cfg.Jira.TokenFile, cfg.Jira.TokenExpires
	case product == policies.ProductSlack && cfg.Slack != nil:
		file, until = cfg.Slack.SCIMTokenFile, cfg.Slack.TokenExpires
	}
	if until != "" {
		return fmt.Sprintf("%s (token_expires %s)", file, until)
	}
	return file
}

// applyDocument is the --json answer of apply.
type applyDocument struct {
	Progress provision.Progress  `json:"progress"`
	Troubles []provision.Trouble `json:"troubles"`
}

// conclude tells how a plan ended.
func (e *env) conclude(ctx context.Context, h *boot.Hub, scope policies.Scope, p provision.Progress) error {
	troubles, err := h.Provision.Troubles(ctx, scope, p.Plan.Hash, 1000)
	if err != nil {
		return err
	}
	quarantined := 0
	for _, pp := range p.Products {
		quarantined += pp.Quarantined
	}
	if e.json {
		if troubles == nil {
			troubles = []provision.Trouble{}
		}
		if err := e.printJSON("musubi.apply.v1", applyDocument{p, troubles}); err != nil {
			return err
		}
	} else {
		for _, pp := range p.Products {
			say(e.stdout, "%s: 完了 / done %s, 見送り / dropped %s, 隔離 / quarantined %s", pp.Product, group(pp.Done), group(pp.Dropped), group(pp.Quarantined))
		}
		for i, t := range troubles {
			if i == 20 {
				say(e.stdout, "  … ほか / and %s more (--json shows all)", group(len(troubles)-i))
				break
			}
			say(e.stdout, "  %s %s %s %s %s: %s", t.State, t.Op.Product, t.Op.Kind, t.Op.Org, t.Op.Person, t.Reason)
		}
	}
	switch {
	case p.Plan.State == provision.PlanCancelled:
		return boot.Partial(fmt.Errorf("plan %.12s was stopped before it was done", p.Plan.Hash))
	case quarantined > 0:
		return boot.Partial(fmt.Errorf("%s 件が隔離されました。 / %s operations were quarantined: read the reasons, correct them, then plan again", group(quarantined), group(quarantined)))
	}
	return nil
}
