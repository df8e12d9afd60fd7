package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/jobs"
)

func newJobs(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "jobs",
		Short: "ハブの作業: 一覧、詳細、やり直し、取りやめ / the hub's work: list, show, retry, discard",
		Long: `作業 (job) は、SaaS への一回の操作など、ハブが必ず最後まで行う仕事の単位です。何度試しても失敗したものは
dead letter (失敗した作業) として残り、人がやり直すか取りやめるまで、動きません。
A job is a unit of work that the hub does in any event, such as one operation on a SaaS. What fails at every attempt is kept as
a dead letter until a person retries or discards it.

States: available (waits for a worker), scheduled (waits for its date), retryable (waits for its next attempt), running,
completed (kept for an hour), discarded and cancelled (dead letters).`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newJobsList(e), newJobsShow(e), newJobsAct(e, retryAct()), newJobsAct(e, discardAct()))
	return cmd
}

// stateSets are the words that --state takes beside the states themselves.
func stateSets() map[string][]jobs.State {
	return map[string][]jobs.State{
		"dead":    jobs.DeadLetters(),
		"waiting": {jobs.StateAvailable, jobs.StateScheduled, jobs.StateRetryable},
		"all":     jobs.States(),
	}
}

func parseStates(words []string) (out []jobs.State, err error) {
	for _, w := range words {
		set, ok := stateSets()[w]
		if !ok {
			if !slices.Contains(jobs.States(), jobs.State(w)) {
				return nil, boot.Usage(fmt.Errorf("--state: %q is none of dead, waiting, all, %s", w, joinStates(jobs.States())))
			}
			set = []jobs.State{jobs.State(w)}
		}
		for _, s := range set {
			if !slices.Contains(out, s) {
				out = append(out, s)
			}
		}
	}
	return out, nil
}

func joinStates(states []jobs.State) string {
	words := make([]string, len(states))
	for i, s := range states {
		words[i] = string(s)
	}
	return strings.Join(words, ", ")
}

func newJobsList(e *env) *cobra.Command {
	var states []string
	var f jobs.Filter
	var page jobs.Page
	cmd := &cobra.Command{
		Use:   "list",
		Short: "キューの深さと失敗した作業を見る / queue depths, and dead letters or other jobs",
		Long: `キューごとの件数と、失敗した作業 (--state で変更) を新しい順に見せます。時刻は日本時間です。
Shows the number of jobs by queue and state, and the dead letters (or other states), newest first. Times are JST. A long list
comes in pages: the last line says how to see the next one.`,
		Example: "  musubi jobs list --as planner.cred\n  musubi jobs list --state waiting --queue jira --limit 20 --as planner.cred\n  musubi jobs list --state all --kind provision.op.v1 --json --as planner.cred",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if f.States, err = parseStates(states); err != nil {
				return err
			}
			if page.Limit < 1 || page.Limit > jobs.MaxPage {
				return boot.Usage(fmt.Errorf("--limit: %d isn't between 1 and %d", page.Limit, jobs.MaxPage))
			}
			if page.Before < 0 {
				return boot.Usage(fmt.Errorf("--before: %d isn't the number of a job", page.Before))
			}
			return e.withHub(cmd.Context(), false, func(ctx context.Context, h *boot.Hub) error {
				return e.listJobs(ctx, h, f, page)
			})
		},
	}
	fl := cmd.Flags()
	fl.StringSliceVar(&states, "state", []string{"dead"}, "states to list, separated by commas: dead, waiting, all, or "+joinStates(jobs.States()))
	fl.StringVar(&f.Kind, "kind", "", "only this kind, e.g. provision.op.v1")
	fl.StringVar(&f.Queue, "queue", "", "only this queue")
	fl.IntVar(&page.Limit, "limit", 50, "length of a page, 1 to 1000")
	fl.Int64Var(&page.Before, "before", 0, "the page before this job: older ones")
	return cmd
}

// jobsDocument is the --json answer of jobs list. Before is the next page's --before; 0: this is the last one.
type jobsDocument struct {
	Depth  []jobs.QueueDepth `json:"depth"`
	Jobs   []jobs.Record     `json:"jobs"`
	Before int64             `json:"before"`
}

// mayOnJobs checks that the actor may do action: jobs are nobody's own, so only a right over the whole workspace counts.
func (e *env) mayOnJobs(ctx context.Context, h *boot.Hub, action policies.Action) (audit.Row, error) {
	actor, err := h.Actor(ctx, e.as)
	if err != nil {
		return audit.Row{}, err
	}
	scope, err := h.Scope(ctx, actor, action, policies.Context{})
	if err != nil {
		return audit.Row{}, err
	}
	if !scope.For(action) || !scope.All() {
		return audit.Row{}, boot.Refused(fmt.Errorf("%s needs a right over the whole workspace", action))
	}
	row := actor.AuditRow(h.Now().UnixMicro(), string(action), audit.Done)
	row.Reason, row.PolicyHash = scope.Reason(), scope.Hash()
	return row, nil
}

func (e *env) listJobs(ctx context.Context, h *boot.Hub, f jobs.Filter, page jobs.Page) error {
	if _, err := e.mayOnJobs(ctx, h, policies.ActionJobsRead); err != nil {
		return err
	}
	depth, err := h.Jobs.Depth(ctx)
	if err != nil {
		return err
	}
	list, err := h.Jobs.List(ctx, f, page)
	if err != nil {
		return err
	}
	doc := jobsDocument{Depth: depth, Jobs: list}
	if len(list) == page.Limit {
		doc.Before = list[len(list)-1].ID
	}
	if e.json {
		if doc.Depth == nil {
			doc.Depth = []jobs.QueueDepth{}
		}
		return e.printJSON("musubi.jobs.v1", doc)
	}
	if len(depth) == 0 {
		say(e.stdout, "作業は一つもありません。 / There are no jobs.")
		return nil
	}
	w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
	say(w, "QUEUE\tSTATE\tJOBS")
	for _, d := range depth {
		say(w, "%s\t%s\t%s", d.Queue, d.State, group(int(d.Jobs)))
	}
	if len(list) == 0 {
		say(w, "\n該当する作業はありません。 / No job is %s.", joinStates(f.States))
		return w.Flush()
	}
	say(w, "\nJOB\tKIND\tQUEUE\tSTATE\tATTEMPTS\tSINCE\tERROR")
	for _, j := range list {
		say(w, "%d\t%s\t%s\t%s\t%d/%d\t%s\t%s", j.ID, j.Kind, j.Queue, j.State, j.Attempt, j.MaxAttempts, showTime(since(j)), oneLine(j.LastError, 80))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if doc.Before > 0 {
		say(e.stdout, "次のページ / next page: --before %d", doc.Before)
	}
	return nil
}

// since is when the job came to be where it is, as far as that is known.
func since(j jobs.Record) time.Time {
	switch {
	case !j.EndedAt.IsZero():
		return j.EndedAt
	case j.State == jobs.StateRunning, j.State == jobs.StateRetryable:
		return j.AttemptedAt
	}
	return j.CreatedAt
}

// oneLine makes foreign text fit for a table: one line, without what a terminal would obey.
func oneLine(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || (r >= 0x80 && r < 0xa0) {
			return ' '
		}
		return r
	}, s)
	if r := []rune(s); len(r) > limit {
		return string(r[:limit-1]) + "…"
	}
	return s
}

func jobID(arg string) (int64, error) {
	id, err := strconv.ParseInt(arg, 10, 64)
	if err != nil || id < 1 {
		return 0, boot.Usage(fmt.Errorf("%q isn't the number of a job; `musubi jobs list` shows them", arg))
	}
	return id, nil
}

func newJobsShow(e *env) *cobra.Command {
	return &cobra.Command{
		Use:     "show JOB",
		Short:   "一つの作業とその失敗の履歴を見る / one job with its failures",
		Example: "  musubi jobs show 1042 --as planner.cred",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := jobID(args[0])
			if err != nil {
				return err
			}
			return e.withHub(cmd.Context(), false, func(ctx context.Context, h *boot.Hub) error {
				if _, err := e.mayOnJobs(ctx, h, policies.ActionJobsRead); err != nil {
					return err
				}
				j, err := h.Jobs.Job(ctx, id)
				if err != nil {
					return err
				}
				return e.showJob(j)
			})
		},
	}
}

// jobDocument is the --json answer of jobs show, retry and discard.
type jobDocument struct {
	Job  jobs.Record     `json:"job"`
	Args json.RawMessage `json:"args,omitempty"`
}

func (e *env) showJob(j jobs.Record) error {
	if e.json {
		return e.printJSON("musubi.job.v1", jobDocument{j, j.Args})
	}
	say(e.stdout, "作業 / job      %d  %s", j.ID, j.Kind)
	say(e.stdout, "状態 / state    %s, queue %s, priority %d, attempts %d/%d", j.State, j.Queue, j.Priority, j.Attempt, j.MaxAttempts)
	say(e.stdout, "引数 / args     %s", oneLine(string(j.Args), 2000))
	say(e.stdout, "作成 / created  %s", showTime(j.CreatedAt))
	say(e.stdout, "期日 / due      %s", showTime(j.DueAt))
	say(e.stdout, "着手 / begun    %s  %s", showTime(j.AttemptedAt), j.Node)
	say(e.stdout, "終了 / ended    %s", showTime(j.EndedAt))
	for _, f := range j.Errors {
		say(e.stdout, "  %s  %d: %s", showTime(f.At), f.Attempt, oneLine(f.Error, 500))
	}
	return nil
}

// jobAct is retry or discard.
type jobAct struct {
	verb, short, long string
	do                func(c *jobs.Client) func(context.Context, *sql.Tx, int64) (jobs.Record, error)
	done              func(j jobs.Record) string
}

func retryAct() jobAct {
	return jobAct{
		verb:  "retry",
		short: "失敗した作業をやり直す / retry dead letters, or jobs that wait for their next attempt",
		long: `作業を直ちにもう一度、少なくとも一回試します。稼働中のハブが行います。監査記録に残ります。
Makes the jobs available at once, with at least one more attempt. A serving hub works them. It is audited.`,
		do:   func(c *jobs.Client) func(context.Context, *sql.Tx, int64) (jobs.Record, error) { return c.RetryTx },
		done: func(jobs.Record) string { return "やり直します / will be tried again" },
	}
}

func discardAct() jobAct {
	return jobAct{
		verb:  "discard",
		short: "作業を取りやめる / give jobs up",
		long: `作業を取りやめます。SaaS に対する操作は行われないままになります。監査記録に残ります。
Gives the jobs up: what they should have done stays undone, until a new plan finds it missing. A running job is given up if this
attempt fails. It is audited.`,
		do: func(c *jobs.Client) func(context.Context, *sql.Tx, int64) (jobs.Record, error) { return c.DiscardTx },
		done: func(j jobs.Record) string {
			if j.State == jobs.StateRunning {
				return "実行中です。失敗すれば取りやめます / is running, and is given up if this attempt fails"
			}
			return "取りやめました / given up"
		},
	}
}

// maxActs bounds the jobs of one command: they change in one transaction.
const maxActs = 100

func newJobsAct(e *env, act jobAct) *cobra.Command {
	return &cobra.Command{
		Use:     act.verb + " JOB...",
		Short:   act.short,
		Long:    act.long + "\n\nSeveral jobs change together or not at all.",
		Example: "  musubi jobs " + act.verb + " 1042 1043 --as planner.cred",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 || len(args) > maxActs {
				return fmt.Errorf("give the numbers of 1 to %d jobs", maxActs)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			ids := make([]int64, len(args))
			for i, a := range args {
				var err error
				if ids[i], err = jobID(a); err != nil {
					return err
				}
			}
			slices.Sort(ids) // so that two commands wait for each other instead of locking each other out
			return e.withHub(cmd.Context(), false, func(ctx context.Context, h *boot.Hub) error {
				return e.actOnJobs(ctx, h, act, slices.Compact(ids))
			})
		},
	}
}

func (e *env) actOnJobs(ctx context.Context, h *boot.Hub, act jobAct, ids []int64) error {
	row, err := e.mayOnJobs(ctx, h, policies.ActionJobsWrite)
	if err != nil {
		return err
	}
	var changed []jobs.Record
	err = h.DB.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		for _, id := range ids {
			j, err := act.do(h.Jobs)(ctx, tx, id)
			if err != nil {
				return err
			}
			changed = append(changed, j)
			entry := row
			entry.Object = fmt.Sprintf("job/%d", id)
			entry.Detail = map[string]any{"do": act.verb, "kind": j.Kind, "queue": j.Queue, "state": string(j.State)}
			for k, v := range row.Detail {
				entry.Detail[k] = v
			}
			if err := audit.Append(ctx, tx, entry); err != nil {
				return err
			}
		}
		return nil
	})
	if errors.Is(err, jobs.ErrState) {
		return boot.Refused(err)
	}
	if err != nil {
		return err
	}
	if e.json {
		return e.printJSON("musubi.jobs.changed.v1", struct {
			Did  string        `json:"did"`
			Jobs []jobs.Record `json:"jobs"`
		}{act.verb, changed})
	}
	for _, j := range changed {
		say(e.stdout, "%d  %s  %s", j.ID, j.Kind, act.done(j))
	}
	return nil
}
