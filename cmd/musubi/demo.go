package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/cmd/internal/config"
	"github.com/musubi-hub/musubi/cmd/musubi/trial"
	"github.com/musubi-hub/musubi/connectors/sandbox"
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/directory"
	"github.com/musubi-hub/musubi/identity/directory/sample"
	"github.com/musubi-hub/musubi/policies"
)

// demoScale is how much faster than the vendors' the demonstration's sandbox is, and the hub's budgets with it.
const demoScale = 20

// demo is one demonstration.
type demo struct {
	env           *env
	headless      bool
	listen        string
	sandboxListen string
	https, sites  string
	anyPort       bool // nobody has asked for a port of https
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

	trials     *trial.Trials
	boxAddress string
	login      *demoLogin
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
			if !cmd.Flags().Changed("data") { // nor is MUSUBI_DATA followed, see play
				e.data = filepath.Join("data", "demo")
			}
			if e.json {
				d.headless = true
			}
			d.anyPort = !cmd.Flags().Changed("https") && !cmd.Flags().Changed("sites")
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
	f.StringVar(&d.https, "https", "127.0.0.1:8443", "address of login, loopback only (unless given: another free port where this one is in use)")
	f.StringVar(&d.sites, "sites", "127.0.0.1:8444", "address of the stand-ins for people who log in, loopback only")
	f.StringVar(&d.orgs, "orgs", "", "organizations to take instead of the sample: CSV, or the national list as it is")
	f.IntVar(&d.perOrg, "people-per-org", 0, "generate this many people per organization (with --orgs: 12 unless given)")
	f.DurationVar(&d.hold, "hold", 0, "with --headless: keep serving this long before ending, e.g. 30s")
	return cmd
}

func (d *demo) check() error {
	switch {
	case config.Loopback(d.listen) != nil:
		return boot.Usage(config.Loopback(d.listen))
	case config.Loopback(d.sandboxListen) != nil:
		return boot.Usage(config.Loopback(d.sandboxListen))
	case config.Loopback(d.https) != nil:
		return boot.Usage(config.Loopback(d.https))
	case config.Loopback(d.sites) != nil:
		return boot.Usage(config.Loopback(d.sites))
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
	// The environment isn't read: it may point at a hub that is no demonstration.
	d.env.environ = nil
	loaded, err := d.env.loadConfig()
	if err != nil {
		return err
	}
	log := d.env.logger(loaded.Log, "text")
	orgs, err := d.readOrgs()
	if err != nil {
		return err
	}
	stop, pages, err := d.start(ctx, orgs, loaded, log)
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
		f, err := openImport(d.orgs)
		if err != nil {
			return nil, err
		}
		rows, _ = directory.ReadOrganizations(f, filepath.Base(d.orgs))
		_ = f.Close() // it was only read
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
