package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/jst"
	"github.com/musubi-hub/musubi/policies"
)

// auditFilter is the flags that narrow find and export.
type auditFilter struct {
	actor, action, object, org, outcome, from, to, incident string
}

func (f *auditFilter) flags(cmd *cobra.Command) {
	s := cmd.Flags()
	s.StringVar(&f.actor, "actor", "", "who did it: a person's id, an operating system user, a task")
	s.StringVar(&f.action, "action", "", "what was done, e.g. plan.approve")
	s.StringVar(&f.object, "object", "", "to what: a person's id, a plan's hash")
	s.StringVar(&f.org, "org", "", "number of the organization that it concerns")
	s.StringVar(&f.incident, "incident", "", "the number that a page of refusal showed: gives the one row that says why")
	s.StringVar(&f.outcome, "outcome", "", "allowed, refused or done")
	s.StringVar(&f.from, "from", "", `from this time on, JST: "2026-11-22" or "2026-11-22 09:30"`)
	s.StringVar(&f.to, "to", "", "until this time, JST; a date includes that day")
}

func (f *auditFilter) parse() (audit.Filter, error) {
	out := audit.Filter{ID: strings.ToUpper(strings.TrimSpace(f.incident)), Actor: f.actor, Action: f.action, Object: f.object, Org: policies.OrgID(f.org), Outcome: audit.Outcome(f.outcome)}
	if f.outcome != "" && !slices.Contains([]audit.Outcome{audit.Allowed, audit.Refused, audit.Done}, out.Outcome) {
		return out, fmt.Errorf("--outcome: %q isn't allowed, refused or done", f.outcome)
	}
	var err error
	if out.From, err = parseTime("--from", f.from, 0); err != nil {
		return out, err
	}
	if out.Until, err = parseTime("--to", f.to, 24*time.Hour); err != nil {
		return out, err
	}
	if out.From != 0 && out.Until != 0 && out.From >= out.Until {
		return out, fmt.Errorf("--from %s is not before --to %s", f.from, f.to)
	}
	return out, nil
}

// parseTime reads a time of JST, or one with a zone, as microseconds; of a date alone, day later.
func parseTime(flag, text string, day time.Duration) (int64, error) {
	if text == "" {
		return 0, nil
	}
	for _, form := range []string{time.DateOnly, "2006-01-02 15:04", time.DateTime, time.RFC3339} {
		at, err := time.ParseInLocation(form, text, jst.Zone)
		if err != nil {
			continue
		}
		if form == time.DateOnly {
			at = at.Add(day)
		}
		if at.Unix() <= 0 {
			break
		}
		return at.UnixMicro(), nil
	}
	return 0, fmt.Errorf(`%s: %q isn't a time: write "2026-11-22", "2026-11-22 09:30" or "2026-11-22T09:30:00+09:00"`, flag, text)
}

// auditRow is a row as --json shows it.
type auditRow struct {
	ID         string         `json:"id"`
	Seq        *int64         `json:"seq"` // null until it is sequenced and signed
	At         string         `json:"at"`
	Actor      string         `json:"actor"`
	ActorKind  string         `json:"actor_kind"`
	Action     string         `json:"action"`
	Org        string         `json:"org"`
	Object     string         `json:"object"`
	Outcome    string         `json:"outcome"`
	Reason     string         `json:"reason"`
	PolicyHash string         `json:"policy_hash"`
	Detail     map[string]any `json:"detail,omitempty"`
	Personal   map[string]any `json:"personal,omitempty"`
	Erased     bool           `json:"erased,omitempty"`
}

func newAuditFind(e *env) *cobra.Command {
	var f auditFilter
	var limit int
	var before string
	cmd := &cobra.Command{
		Use:   "find",
		Short: "誰が何をしたかを探す / find who did what",
		Long: `新しい順に表示します。見えるのは、方針が audit.read を許す組織の行だけです。
Newest first. You see the rows of the organizations that the policies let you read (audit.read).`,
		Example: "  musubi audit find --outcome refused --from 2026-11-01 --as planner.cred\n  musubi audit find --action plan.approve --json --as planner.cred",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			filter, err := f.parse()
			if err != nil {
				return boot.Usage(err)
			}
			if limit < 1 || limit > audit.MaxPage {
				return boot.Usage(fmt.Errorf("--limit %d: give 1 to %d", limit, audit.MaxPage))
			}
			filter.Limit = limit
			if before != "" {
				at, id, ok := strings.Cut(before, ",")
				n, err := strconv.ParseInt(at, 10, 64)
				if !ok || err != nil || id == "" {
					return boot.Usage(errors.New("--before: give what the page before printed as next"))
				}
				filter.Before = &audit.Row{At: n, ID: id}
			}
			return e.withHub(cmd.Context(), false, func(ctx context.Context, h *boot.Hub) error { return e.findAudit(ctx, h, filter) })
		},
	}
	f.flags(cmd)
	cmd.Flags().IntVar(&limit, "limit", 50, "rows on a page")
	cmd.Flags().StringVar(&before, "before", "", "the next page: what the page before printed as next")
	return cmd
}

func (e *env) auditScope(ctx context.Context, h *boot.Hub) (policies.Scope, error) {
	actor, err := h.Actor(ctx, e.as)
	if err != nil {
		return policies.Scope{}, err
	}
	return h.Scope(ctx, actor, policies.ActionAuditRead, policies.Context{})
}

func (e *env) findAudit(ctx context.Context, h *boot.Hub, filter audit.Filter) error {
	scope, err := e.auditScope(ctx, h)
	if err != nil {
		return err
	}
	rows, err := audit.Find(ctx, h.DB.Reader(), scope, filter)
	if err != nil {
		return err
	}
	next := ""
	if len(rows) == filter.Limit {
		last := rows[len(rows)-1]
		next = fmt.Sprintf("%d,%s", last.At, last.ID)
	}
	if e.json {
		out := make([]auditRow, len(rows))
		for i, r := range rows {
			out[i] = auditRow{
				ID: r.ID, At: rfc3339(r.At), Actor: r.Actor, ActorKind: string(r.ActorKind), Action: r.Action, Org: string(r.Org), Object: r.Object,
				Outcome: string(r.Outcome), Reason: r.Reason, PolicyHash: r.PolicyHash, Detail: r.Detail, Personal: r.Personal, Erased: r.Erased,
			}
			if r.Sequenced {
				out[i].Seq = &rows[i].Seq
			}
		}
		return e.printJSON("musubi.audit-rows.v1", struct {
			Rows []auditRow `json:"rows"`
			Next string     `json:"next,omitempty"`
		}{out, next})
	}
	if len(rows) == 0 {
		say(e.stdout, "該当する行はありません。 / No row matches.")
	}
	for _, r := range rows {
		place := "未署名"
		if r.Sequenced {
			place = "#" + strconv.FormatInt(r.Seq, 10)
		}
		org := string(r.Org)
		if org == "" {
			org = "-"
		}
		say(e.stdout, "%s  %-7s %-18s %-13s %s %s  %s  %s", showTime(time.UnixMicro(r.At)), r.Outcome, r.Action, org, r.ActorKind, r.Actor, r.Object, place)
		if r.Reason != "" {
			say(e.stdout, "    %s", r.Reason)
		}
	}
	if next != "" {
		say(e.stdout, "続き / next: --before %s", next)
	}
	return nil
}

func newAuditExport(e *env) *cobra.Command {
	var f auditFilter
	var out string
	cmd := &cobra.Command{
		Use:   "export",
		Short: "証明付きで書き出す / export rows with proofs",
		Long: `JSON Lines に、署名と、各行がログに含まれる証明を付けて書き出します。オフラインで検証できます: musubi audit verify --export FILE
Writes JSON Lines with the newest checkpoint and, for each row, the proof that it is in the log. It verifies offline, by
"musubi audit verify --export FILE" or by anybody who reads docs/audit.md. Rows that aren't signed yet are left out.`,
		Example: "  musubi audit export --from 2026-11-01 --to 2026-11-30 --out november.jsonl --as planner.cred",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			filter, err := f.parse()
			if err != nil {
				return boot.Usage(err)
			}
			return e.withHub(cmd.Context(), false, func(ctx context.Context, h *boot.Hub) error { return e.exportAudit(ctx, h, filter, out) })
		},
	}
	f.flags(cmd)
	cmd.Flags().StringVar(&out, "out", "", "file to write, mode 0600, must not exist; without it the export goes to standard output")
	return cmd
}

func (e *env) exportAudit(ctx context.Context, h *boot.Hub, filter audit.Filter, out string) error {
	scope, err := e.auditScope(ctx, h)
	if err != nil {
		return err
	}
	if out == "" {
		_, err := audit.Export(ctx, h.DB, scope, filter, e.stdout)
		return err
	}
	f, err := os.OpenFile(out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return boot.Usage(err)
	}
	n, err := audit.Export(ctx, h.DB, scope, filter, f)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil { // half an export is worse than none
		return errors.Join(err, os.Remove(out))
	}
	if e.json {
		return e.printJSON("musubi.audit-exported.v1", struct {
			Rows int64  `json:"rows"`
			File string `json:"file"`
		}{n, out})
	}
	say(e.stdout, "%s 行を書き出しました / exported %s rows: %s", group(int(n)), group(int(n)), out)
	return nil
}
