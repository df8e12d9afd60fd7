package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/cmd/musubi/api"
	"github.com/musubi-hub/musubi/cmd/musubi/console"
	"github.com/musubi-hub/musubi/connectors/sandbox"
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/directory"
	"github.com/musubi-hub/musubi/identity/directory/sample"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/provision"
)

// demoScale is how much faster than the vendors' the demonstration's sandbox is, and the hub's budgets with it.
const demoScale = 20

// demo is one demonstration.
type demo struct {
	env           *env
	headless      bool
	listen        string
	sandboxListen string
	orgs          string
	perOrg        int
	hold          time.Duration
	shown         string // the data folder as it was given

	out      demoDocument
	box      *sandbox.Sandbox
	hub      *boot.Hub
	planner  access.Actor
	approver access.Actor
	began    time.Time
}

// demoDocument is the closing line of --json.
type demoDocument struct {
	Organizations int                 `json:"organizations"` // without wards and without the operating agency
	People        int                 `json:"people"`        // in service, without the operating agency's administrators
	SaaS          map[string]demoSaaS `json:"saas"`
	Planned       int                 `json:"planned"` // objects that this run planned
	Seconds       float64             `json:"seconds"`
	OK            bool                `json:"ok"`
}

// demoSaaS counts active accounts of one product.
type demoSaaS struct {
	Wanted      int `json:"wanted"`
	Applied     int `json:"applied"` // confirmed, by this or an earlier run
	GroundTruth int `json:"ground_truth"`
	Duplicates  int `json:"duplicates"`
}

func newDemo(e *env) *cobra.Command {
	d := &demo{env: e}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "全体を目の前で動かす / do the main job before your eyes",
		Long: `見本の組織と職員を取り込み、計画し、別の人が承認し、SaaS の代役に適用します。すべてこの機械の中だけで動きます。
Imports a sample of organizations and people, plans, approves by another person and applies, against a stand-in of the SaaS.
Everything stays on this machine. Kill it whenever you like and run it again: it goes on where it stopped.

The vendors' quotas are scaled (20 times) so that it ends in time; --json prints one closing line for machines.`,
		Example: "  musubi demo\n  musubi demo --headless --json --data DIR --listen 127.0.0.1:0 --sandbox-listen 127.0.0.1:0\n  musubi demo --headless --json --data DIR --orgs localgov.csv --people-per-org 30",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !cmd.Flags().Changed("data") {
				e.data = filepath.Join("data", "demo")
			}
			if e.json {
				d.headless = true
			}
			// musubi.yaml is written for commands that run elsewhere.
			d.shown = e.data
			var err error
			if e.data, err = filepath.Abs(e.data); err != nil {
				return err
			}
			return d.run(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.BoolVar(&d.headless, "headless", false, "without a person: end when it is done")
	f.StringVar(&d.listen, "listen", "127.0.0.1:8080", "address of the hub's pages, loopback only")
	f.StringVar(&d.sandboxListen, "sandbox-listen", "127.0.0.1:8081", "address of the SaaS stand-in, loopback only")
	f.StringVar(&d.orgs, "orgs", "", "organizations to take instead of the sample: CSV, or the national list as it is")
	f.IntVar(&d.perOrg, "people-per-org", 0, "generate this many people per organization (with --orgs: 12 unless given)")
	f.DurationVar(&d.hold, "hold", 0, "with --headless: keep serving this long before ending, e.g. 30s")
	return cmd
}

func (d *demo) check() error {
	switch {
	case boot.Loopback(d.listen) != nil:
		return boot.Usage(boot.Loopback(d.listen))
	case boot.Loopback(d.sandboxListen) != nil:
		return boot.Usage(boot.Loopback(d.sandboxListen))
	case d.perOrg < 0 || d.perOrg > 1000:
		return boot.Usage(fmt.Errorf("--people-per-org %d: give 1 to 1000", d.perOrg))
	case d.hold < 0 || d.hold > 24*time.Hour:
		return boot.Usage(fmt.Errorf("--hold %v: give up to 24h", d.hold))
	case d.hold > 0 && !d.headless:
		return boot.Usage(errors.New("--hold is for --headless; without it the demonstration serves until Ctrl-C"))
	}
	return nil
}

// run does the demonstration and, headless, always ends with the line of JSON, whatever happened.
func (d *demo) run(ctx context.Context) (err error) {
	if err := d.check(); err != nil {
		return err
	}
	d.began = d.env.now()
	d.out.SaaS = map[string]demoSaaS{}
	for _, p := range policies.Products() {
		d.out.SaaS[string(p)] = demoSaaS{}
	}
	err = d.play(ctx)
	d.out.OK = err == nil && d.out.OK
	if d.env.json {
		line, merr := marshalLine(d.out)
		if merr != nil {
			return errors.Join(err, merr)
		}
		say(d.env.stdout, "%s", line)
	}
	return err
}

func (d *demo) play(ctx context.Context) (err error) {
	log, err := d.env.logger("text")
	if err != nil {
		return err
	}
	orgs, err := d.readOrgs()
	if err != nil {
		return err
	}
	stop, pages, err := d.start(ctx, orgs, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	if err := d.mainJob(ctx, orgs); err != nil {
		return err
	}
	return d.finish(ctx, pages)
}

func (d *demo) readOrgs() (*directory.Rows, error) {
	rows, _ := sample.Orgs()
	if d.orgs != "" {
		var err error
		if rows, err = readImport(directory.SubjectOrganizations, d.orgs); err != nil {
			return nil, err
		}
		if d.perOrg == 0 {
			d.perOrg = sample.PeoplePerOrg
		}
	}
	if !rows.Report.OK() {
		_, _ = rows.Report.WriteTo(d.env.stderr)
		return nil, notImported(rows.Name)
	}
	return rows, nil
}

// operator is the agency that operates the demonstration's hub, and its two administrators.
func (d *demo) operator() (identity.Organization, []administrator) {
	agency := identity.Organization{ID: "8000012010038", Kind: policies.KindAgency, Name: "デジタル庁", Kana: "でじたるちょう"}
	folder := filepath.Join(d.env.data, "credentials")
	return agency, []administrator{
		{staff: "demo-1", family: "計画", given: "花子", familyKana: "けいかく", givenKana: "はなこ", email: "keikaku@" + sample.Domain(agency), file: filepath.Join(folder, "planner.cred")},
		{staff: "demo-2", family: "承認", given: "太郎", familyKana: "しょうにん", givenKana: "たろう", email: "shonin@" + sample.Domain(agency), file: filepath.Join(folder, "approver.cred")},
	}
}

// start opens the sandbox and the hub. Jobs that an earlier run left undone resume at once.
func (d *demo) start(ctx context.Context, orgs *directory.Rows, log *slog.Logger) (stop func() error, pages *front, err error) {
	site := sandboxSite{dir: d.env.data, scale: demoScale, domains: ministryDomains(orgs)}
	box, boxFront, err := site.open(ctx, d.sandboxListen, d.env.now, log)
	if err != nil {
		return nil, nil, err
	}
	d.box = box
	closers := []func() error{func() error { boxFront.close(); return box.Close() }}
	closeAll := func() error {
		var errs []error
		for i := len(closers) - 1; i >= 0; i-- {
			errs = append(errs, closers[i]())
		}
		return errors.Join(errs...)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, closeAll())
		}
	}()
	loaded, err := d.env.loadConfig()
	if err != nil {
		return nil, nil, err
	}
	cfg := site.config(loaded.Database, d.listen, boxFront.address)
	metrics := api.NewMetrics(version)
	d.hub, err = boot.OpenHub(ctx, boot.Options{Data: d.env.data, Config: cfg, Work: true, Now: d.env.now, Log: log, Observe: metrics.Observe})
	if err != nil {
		return nil, nil, err
	}
	closers = append(closers, d.hub.Close)
	if err := d.checkOwn(ctx); err != nil {
		return nil, nil, err
	}
	if err := d.hub.Jobs.Start(ctx); err != nil {
		return nil, nil, err
	}
	d.hub.Sequence(ctx)
	links := map[policies.Product]string{}
	for _, p := range policies.Products() {
		links[p] = "http://" + boxFront.address + "/" + string(p) + "/"
	}
	notice := fmt.Sprintf("デモ用: SaaS は代役で、各社の利用量制限を %d 倍に緩めています。 / Demonstration: the SaaS are stand-ins, and the vendors' quotas are scaled %d times.", demoScale, demoScale)
	pages, err = openFront(ctx, d.hub, metrics, d.listen, links, notice)
	if err != nil {
		return nil, nil, err
	}
	closers = append(closers, func() error { pages.close(); return nil })
	cfg.Listen = pages.address
	if err := boot.SaveConfig(filepath.Join(d.env.data, boot.ConfigName), cfg); err != nil {
		return nil, nil, err
	}
	say(d.env.stderr, "%s", notice)
	say(d.env.stderr, "代役 / sandbox http://%s/   ハブ / hub http://%s", boxFront.address, pages.address)
	return closeAll, pages, nil
}

// checkOwn refuses a hub that isn't a demonstration's: it would get made-up people and administrators, and its work would be done
// against a stand-in.
func (d *demo) checkOwn(ctx context.Context) error {
	agency, admins := d.operator()
	scope := policies.System(policies.TaskBootstrap)
	_, err := d.hub.Directory.FindPerson(ctx, scope, agency.ID, admins[0].staff)
	if !errors.Is(err, identity.ErrNotFound) {
		return err
	}
	people, err := d.hub.Directory.People(ctx, scope, directory.PeopleFilter{Limit: 1})
	if err != nil {
		return err
	}
	if len(people) > 0 {
		return boot.Refused(errors.New("デモ用ではないハブのデータです。別のフォルダーとデータベースを指定してください (--data DIR)。 / This data belongs to a hub that isn't a demonstration's: give another folder and database (--data DIR)"))
	}
	return nil
}

// ministryDomains are the domains that the demonstration's Atlassian organization has verified.
func ministryDomains(orgs *directory.Rows) []string {
	var domains []string
	for _, r := range orgs.Orgs {
		if !r.Organization.Kind.LocalGovernment() {
			domains = append(domains, sample.Domain(r.Organization))
		}
	}
	return domains
}

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
		func(done, total int64, stage string) { m.set(done, total, stage) }, false)
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
			p, err := d.env.watch(ctx, d.hub, scope, r.Hash)
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
	return rec, d.env.writePlan(ctx, d.hub, d.planner, d.env.stderr, rec, plan, 5)
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
	p, err := d.env.watch(ctx, d.hub, scope, rec.Hash)
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

// finish compares the SaaS with the plan, shows the result, and serves: until Ctrl-C, or for the time given.
func (d *demo) finish(ctx context.Context, pages *front) error {
	verdict := d.compare(ctx)
	d.out.Seconds = d.env.now().Sub(d.began).Seconds()
	for _, p := range policies.Products() {
		s := d.out.SaaS[string(p)]
		say(d.env.stderr, "%-10s 計画 / wanted %s   確認 / applied %s   実際 / ground truth %s   重複 / duplicates %d",
			p, group(s.Wanted), group(s.Applied), group(s.GroundTruth), s.Duplicates)
	}
	say(d.env.stderr, "組織 / organizations %s, 職員 / people %s, %.1f 秒 / seconds", group(d.out.Organizations), group(d.out.People), d.out.Seconds)
	if d.headless {
		if err := wait(ctx, pages, d.hold); err != nil {
			return err
		}
		return verdict
	}
	if verdict != nil {
		say(d.env.stderr, "musubi: %v", verdict)
	}
	path, err := console.Ticket(ctx, d.hub.DB, d.planner, d.env.now(), rand.Reader)
	if err != nil {
		return err
	}
	say(d.env.stdout, "\n管理画面 (一度限り、10 分間有効) / the pages, by a one-time address:\n  http://%s%s", pages.address, path)
	d.hints(ctx)
	select {
	case <-ctx.Done():
		say(d.env.stderr, "\n止めています… / stopping")
		return verdict
	case err := <-pages.failed:
		return boot.Outside(err)
	}
}

func wait(ctx context.Context, pages *front, hold time.Duration) error {
	if hold <= 0 {
		return nil
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-pages.failed:
		return boot.Outside(err)
	case <-time.After(hold):
		return nil
	}
}

// hints shows three things to try, as commands that work as they stand in another terminal.
func (d *demo) hints(ctx context.Context) {
	musubi, as := "bin/musubi", filepath.Join(d.shown, "credentials", "planner.cred")
	say(d.env.stdout, `
試してみる (別の端末で) / three things to try, in another terminal:
  1. 退職者: 札幌市の職員が一人辞めると、数秒で SaaS から消えます / somebody leaves, and is gone from the SaaS in seconds
     %s people end --org 011002 %s --data %s --as %s
  2. 誤ったファイル: 何も変わらず、すべての誤りが出ます / a wrong file: nothing changes, every fault is told
     printf 'code,kind,name,kana,parent\n011003,municipality,札幌市,さっぽろし,\n' > wrong.csv; %s import orgs wrong.csv --data %s --as %s
  3. 強制終了: Ctrl-C か kill -9 のあと、同じ命令で続きから / kill -9 this and run it again: it goes on where it stopped

Ctrl-C で終わります。 / Ctrl-C ends it.`, musubi, d.exampleStaff(ctx), d.shown, as, musubi, d.shown, as)
}

// exampleStaff is the staff number of somebody of 札幌市 who is in service.
func (d *demo) exampleStaff(ctx context.Context) string {
	scope, err := d.hub.Scope(ctx, d.planner, policies.ActionPeopleRead, policies.Context{})
	if err != nil {
		return "STAFF-NUMBER"
	}
	people, err := d.hub.Directory.People(ctx, scope, directory.PeopleFilter{Org: "011002", Limit: 1})
	if err != nil || len(people) == 0 {
		return "STAFF-NUMBER"
	}
	return people[0].StaffNumber
}
