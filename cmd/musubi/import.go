package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/identity/directory"
	"github.com/musubi-hub/musubi/identity/directory/review"
	"github.com/musubi-hub/musubi/identity/directory/table"
	"github.com/musubi-hub/musubi/policies"
)

// importFlags are the flags of `musubi import`.
type importFlags struct {
	template, dryRun, skipBad, complete bool
	completeOf, confirm                 []string
	shared, aliasDomain                 string
	badRows, encoding, sheet, locale    string
	limitDiff                           int
}

func newImport(e *env) *cobra.Command {
	var f importFlags
	cmd := &cobra.Command{
		Use:   "import orgs|people|services|transfers FILE",
		Short: "組織・職員・委託・異動をファイルから取り込む / take organizations, people, services or transfers from a file",
		Long: `取り込みは「全部か無か」です。誤りのある行が一つでもあれば、何も変えず、すべての誤りを一度に報告します。
An import is all or nothing: where any row is wrong nothing changes, and all wrong rows are reported at once.

Files are CSV (UTF-8 or Shift_JIS) or XLSX, with the headers that --template prints, in Japanese or English; columns that a file doesn't have
stay as they are. "import orgs" also takes the national list of local governments as it is (columns pid, pref, city, lgcode ...).
"import services" takes which contractor serves which organization, from and to a date; two periods of one pair never overlap.
Importing a file twice changes nothing. Nobody leaves by not being in a file, but for --complete.`,
		Example: `  musubi import people --template --locale ja > people.csv
  musubi import orgs localgov.csv --dry-run --as planner.cred
  musubi import services services.csv --dry-run --as planner.cred
  musubi import people people.xlsx --skip-bad --bad-rows bad.csv --as planner.cred
  musubi import people sapporo.csv --complete --confirm 011002=12 --as planner.cred`,
		Args: func(_ *cobra.Command, args []string) error {
			if f.template && len(args) == 0 {
				return nil
			}
			if len(args) == 0 || !slices.Contains([]string{"orgs", "people", "services", "transfers"}, args[0]) {
				return errors.New("say what to import: orgs, people, services or transfers")
			}
			if f.template && len(args) == 1 {
				return nil
			}
			if len(args) != 2 {
				return errors.New("give exactly one FILE")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			locale, err := review.ParseLocale(f.locale)
			if err != nil {
				return boot.Usage(err)
			}
			if subject := directory.Subject(append(args, "")[0]); subject == directory.SubjectTransfers {
				return e.importTransfers(cmd, f, locale, args[1:])
			}
			if f.template {
				return e.printTemplates(args, locale)
			}
			im := &importing{env: e, flags: f, locale: locale, subject: directory.Subject(args[0]), path: args[1]}
			return im.run(cmd.Context())
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&f.template, "template", false, "print an empty file with the headers (--locale ja: in Japanese)")
	flags.BoolVar(&f.dryRun, "dry-run", false, "say what would change, and change nothing")
	flags.BoolVar(&f.skipBad, "skip-bad", false, "take the good rows of a file that has wrong ones")
	flags.BoolVar(&f.complete, "complete", false, "the file lists everybody of the organizations in it: who isn't in it leaves")
	flags.StringSliceVar(&f.completeOf, "complete-of", nil, "with --complete: also of this organization, `ORG`, whether or not it is in the file")
	flags.StringSliceVar(&f.confirm, "confirm", nil, "with --complete: exactly so many people of an organization leave, `ORG=COUNT`")
	flags.StringVar(&f.shared, "shared-mailbox", string(directory.RefuseShared), "people who share a mailbox: refuse, or alias: each gets an address on --alias-domain")
	flags.StringVar(&f.aliasDomain, "alias-domain", "", "`DOMAIN` of the hub, for --shared-mailbox alias")
	flags.StringVar(&f.badRows, "bad-rows", "", "write the wrong rows to a new `FILE`, to be corrected and imported")
	flags.StringVar(&f.encoding, "encoding", "", "of a CSV file, where its content doesn't tell: utf-8 or cp932")
	flags.StringVar(&f.sheet, "sheet", "", "`NAME` of the sheet of a workbook (default: the first visible one)")
	flags.StringVar(&f.locale, "locale", "both", "language of the report: ja, en or both")
	flags.IntVar(&f.limitDiff, "limit-diff", 100, "with --dry-run: show so many changes; 0 shows all")
	return cmd
}

// printTemplates prints the header of one subject as a file to fill in, or those of all, each under its name.
func (e *env) printTemplates(args []string, locale review.Locale) error {
	subjects := []directory.Subject{directory.SubjectOrganizations, directory.SubjectPeople, directory.SubjectServices}
	if len(args) > 0 {
		subjects = []directory.Subject{directory.Subject(args[0])}
	}
	for _, subject := range subjects {
		text, err := directory.Template(subject, locale)
		if err != nil {
			return err
		}
		if len(subjects) > 1 {
			say(e.stdout, "# musubi import %s FILE", subject)
		}
		if _, err := e.stdout.Write(text); err != nil {
			return err
		}
	}
	return nil
}

// importing is one import on its way.
type importing struct {
	env     *env
	flags   importFlags
	locale  review.Locale
	subject directory.Subject
	path    string
	table   table.Options
	opt     directory.ImportOptions
	file    *os.File
	diff    []directory.Difference
	more    int // changes that aren't shown
}

func (im *importing) run(ctx context.Context) (err error) {
	if err := im.options(); err != nil {
		return boot.Usage(err)
	}
	if im.file, err = openImport(im.path); err != nil {
		return err
	}
	defer im.file.Close()
	var out *os.File
	if im.flags.badRows != "" {
		// It holds what people entered, so it is for its owner alone; a file that is there is never written over.
		out, err = os.OpenFile(im.flags.badRows, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) // #nosec G304
		if err != nil {
			return boot.Usage(err)
		}
		defer func() { err = errors.Join(err, out.Close()) }()
	}
	rows, err := directory.Read(ctx, im.subject, im.file, filepath.Base(im.path), im.table)
	if err != nil {
		return err
	}
	return im.env.withHub(ctx, false, func(ctx context.Context, h *boot.Hub) error {
		return im.bringIn(ctx, h, rows, out)
	})
}

func openImport(path string) (*os.File, error) {
	f, err := os.Open(path) // #nosec G304 -- the administrator names the file
	if err != nil {
		return nil, boot.Usage(err)
	}
	if info, err := f.Stat(); err != nil || info.IsDir() {
		return nil, boot.Usage(errors.Join(err, fmt.Errorf("%s is a folder; give a CSV or XLSX file", path), f.Close()))
	}
	return f, nil
}

func (im *importing) options() error {
	f := im.flags
	im.opt = directory.ImportOptions{
		DryRun: f.dryRun, SkipBad: f.skipBad, Complete: f.complete,
		SharedMailbox: directory.SharedMailbox(f.shared), AliasDomain: f.aliasDomain,
	}
	for _, id := range f.completeOf {
		im.opt.CompleteOf = append(im.opt.CompleteOf, policies.OrgID(id))
	}
	for _, text := range f.confirm {
		id, number, _ := strings.Cut(text, "=")
		n, err := strconv.Atoi(number)
		if err != nil || n < 0 || id == "" {
			return fmt.Errorf("--confirm %q: write ORG=COUNT, like 011002=12", review.Visible(text, review.MaxShown))
		}
		if im.opt.Confirm == nil {
			im.opt.Confirm = map[policies.OrgID]int{}
		}
		im.opt.Confirm[policies.OrgID(id)] = n
	}
	if f.limitDiff < 0 {
		return errors.New("--limit-diff: write 0 or more")
	}
	im.table.Sheet = f.sheet
	im.table.EveryFault = f.badRows != ""
	if f.encoding != "" {
		var err error
		if im.table.Encoding, err = table.ParseEncoding(f.encoding); err != nil {
			return fmt.Errorf("--encoding: %w", err)
		}
	}
	if f.dryRun {
		im.opt.Difference = func(d directory.Difference) error {
			if f.limitDiff > 0 && len(im.diff) >= f.limitDiff {
				im.more++
				return nil
			}
			im.diff = append(im.diff, d)
			return nil
		}
	}
	return im.opt.Check(im.subject)
}

// importDocument is the --json answer of an import.
type importDocument struct {
	File        string             `json:"file"`
	SHA256      string             `json:"sha256,omitempty"`
	Subject     directory.Subject  `json:"subject"`
	DryRun      bool               `json:"dry_run"`
	Published   bool               `json:"published"`
	Added       int                `json:"added"`
	Changed     int                `json:"changed"`
	Unchanged   int                `json:"unchanged"`
	Leavers     int                `json:"leavers"`
	Ended       int                `json:"ended"`
	Aliases     int                `json:"aliases"`
	Refused     int                `json:"refused"`
	Faults      []review.Fault     `json:"faults"`
	Notices     []review.Notice    `json:"notices,omitempty"`
	Differences []importDifference `json:"differences,omitempty"`
	More        int                `json:"more_differences,omitempty"`
}

type importDifference struct {
	Line   int                           `json:"line,omitempty"`
	Kind   directory.ChangeKind          `json:"kind"`
	Org    policies.OrgID                `json:"org"`
	Object string                        `json:"object"`
	Fields map[string]importFieldChanged `json:"fields,omitempty"`
}

type importFieldChanged struct {
	Old string `json:"old"`
	New string `json:"new"`
}

func (im *importing) bringIn(ctx context.Context, h *boot.Hub, rows *directory.Rows, out *os.File) error {
	e := im.env
	actor, err := h.Actor(ctx, e.as)
	if err != nil {
		return err
	}
	action := policies.ActionPeopleWrite
	switch rows.Subject {
	case directory.SubjectOrganizations:
		action = policies.ActionOrgWrite
	case directory.SubjectServices:
		action = policies.ActionServiceWrite
	}
	scope, err := h.Scope(ctx, actor, action, policies.Context{})
	if err != nil {
		return err
	}
	m := newMeter(e.stderr, "取込 / import "+string(rows.Subject), e.now)
	im.opt.Progress = func(done, total int64, stage string) { m.set(done, total, stage) }
	by := directory.Author{Actor: actor.ScopeActor(), Source: "import " + rows.Name, Why: "import", By: actor}
	result, report, err := h.Directory.Import(ctx, scope, rows, by, im.opt)
	m.end()
	if err != nil {
		return err
	}
	if e.json {
		err = im.printJSON(rows, result, report)
	} else {
		err = im.print(rows, result, report)
	}
	if err != nil {
		return err
	}
	if out != nil {
		n, err := directory.WriteBadRows(ctx, out, im.file, im.table, report, im.locale)
		if err != nil {
			return fmt.Errorf("%s: %w", im.flags.badRows, err)
		}
		say(e.stderr, "%s: 誤りのある行 / wrong rows %s", im.flags.badRows, group(n))
	}
	switch {
	case report.OK():
		return nil
	case im.opt.SkipBad && !report.Condemned():
		return boot.Partial(fmt.Errorf("%s: %d 行を取り込みませんでした。 / %d rows were not imported", rows.Name, result.Refused, result.Refused))
	case e.json:
		return boot.Refused(errShown)
	}
	return notImported(rows.Name)
}

func (im *importing) printJSON(rows *directory.Rows, result directory.Result, report *review.Report) error {
	faults := report.Faults()
	if faults == nil {
		faults = []review.Fault{}
	}
	doc := importDocument{
		File: rows.Name, SHA256: rows.SHA256, Subject: rows.Subject, DryRun: im.opt.DryRun, Published: result.Published,
		Added: result.Added, Changed: result.Changed, Unchanged: result.Unchanged, Leavers: result.Leavers, Ended: result.Ended,
		Aliases: result.Aliases, Refused: result.Refused, Faults: faults, Notices: report.Notices(), More: im.more,
	}
	for _, d := range im.diff {
		v := importDifference{Line: d.Line, Kind: d.Kind, Org: d.Org, Object: d.Object, Fields: map[string]importFieldChanged{}}
		for _, f := range d.Fields {
			v.Fields[f.Column] = importFieldChanged{f.Old, f.New}
		}
		doc.Differences = append(doc.Differences, v)
	}
	return im.env.printJSON("musubi.import.v1", doc)
}

func (im *importing) print(rows *directory.Rows, result directory.Result, report *review.Report) error {
	e := im.env
	if _, err := report.Print(e.stderr, review.Printing{Locale: im.locale, Skipped: im.opt.SkipBad}); err != nil {
		return err
	}
	if !report.OK() && (!im.opt.SkipBad || report.Condemned()) {
		return nil
	}
	for _, d := range im.diff {
		im.printDifference(d)
	}
	if im.more > 0 {
		say(e.stdout, "… ほかに %s 件 / and %s more (--limit-diff)", group(im.more), group(im.more))
	}
	line := fmt.Sprintf("%s: 追加 / added %s, 変更 / changed %s, 変更なし / unchanged %s",
		rows.Name, group(result.Added), group(result.Changed), group(result.Unchanged))
	for _, part := range []struct {
		name string
		n    int
	}{{"退職 / leavers", result.Leavers}, {"別名 / aliases", result.Aliases}, {"取り込まない行 / rows left out", result.Refused}} {
		if part.n > 0 {
			line += ", " + part.name + " " + group(part.n)
		}
	}
	say(e.stdout, "%s", line)
	if im.opt.DryRun {
		say(e.stdout, "試行のため、何も変えていません。 / A dry run: nothing was changed.")
	}
	return nil
}

// printDifference prints a change as a line, and its old and new values below it.
func (im *importing) printDifference(d directory.Difference) {
	sign := "~"
	switch d.Kind {
	case directory.PersonAdded, directory.OrgAdded, directory.ServiceAdded:
		sign = "+"
	case directory.PersonEnded:
		sign = "-"
	}
	object := string(d.Org)
	if d.Object != object {
		object += " " + review.Visible(d.Object, review.MaxShown)
	}
	say(im.env.stdout, "%s %s %s", sign, object, review.Visible(d.Name, review.MaxShown))
	if sign != "~" {
		return
	}
	for _, f := range d.Fields {
		name := f.JA + " / " + f.Column
		switch im.locale {
		case review.Japanese:
			name = f.JA
		case review.English:
			name = f.Column
		}
		say(im.env.stdout, "    %s: 「%s」 -> 「%s」", name, review.Visible(f.Old, review.MaxShown), review.Visible(f.New, review.MaxShown))
	}
}

// notImported ends a command whose report of wrong rows stands above.
func notImported(file string) error {
	return boot.Refused(fmt.Errorf("%s: 取り込みませんでした。上の誤りを直して、もう一度取り込んでください。 / nothing was imported: correct what is wrong above, then import again", file))
}

// withHub opens the hub, runs fn and closes it.
func (e *env) withHub(ctx context.Context, work bool, fn func(ctx context.Context, h *boot.Hub) error) error {
	cfg, err := e.loadConfig()
	if err != nil {
		return err
	}
	log := e.logger(cfg.Log, "text")
	h, err := boot.OpenHub(ctx, boot.Options{Data: e.data, Config: cfg.Config, Work: work, Now: e.now, Log: log})
	if err != nil {
		return err
	}
	return errors.Join(fn(ctx, h), h.Close())
}
