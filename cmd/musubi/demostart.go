package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/cmd/internal/config"
	"github.com/musubi-hub/musubi/cmd/musubi/api"
	"github.com/musubi-hub/musubi/cmd/musubi/trial"
	"github.com/musubi-hub/musubi/connectors/outbound"
	"github.com/musubi-hub/musubi/connectors/sandbox"
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/directory"
	"github.com/musubi-hub/musubi/identity/directory/sample"
	"github.com/musubi-hub/musubi/policies"
)

// start opens the sandbox and the hub. Jobs that an earlier run left undone resume at once.
func (d *demo) start(ctx context.Context, orgs *directory.Rows, loaded config.Loaded, log *slog.Logger) (stop func() error, pages *front, err error) {
	var closers []func() error
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
	if d.login, err = d.openDemoLogin(ctx, orgs); err != nil {
		return nil, nil, err
	}
	closers = append(closers, func() error { d.login.close(); return nil })
	site := sandboxSite{dir: d.env.data, scale: demoScale, domains: ministryDomains(orgs), jira: &d.login.jira, staff: &d.login.staff, slack: &d.login.slack, plain: d.login.plain}
	box, boxFront, err := site.open(ctx, d.sandboxListen, d.env.now, log)
	if err != nil {
		return nil, nil, err
	}
	d.box = box
	closers = append(closers, func() error { boxFront.close(); return box.Close() })
	relay, err := d.openRelay(ctx, site, box)
	if err != nil {
		return nil, nil, err
	}
	values := site.config(loaded.Database, d.listen, boxFront.address)
	maps.Copy(values, relay)
	maps.Copy(values, d.login.config())
	values["live.quiet"], values["live.longest"] = "1", "10" // nobody watches a page for a minute
	cfg, err := config.From(values)
	if err != nil {
		return nil, nil, boot.Usage(err)
	}
	metrics := api.NewMetrics(version)
	d.trials, d.boxAddress = trial.New(d.env.now), boxFront.address
	observe := func(o outbound.Observation) {
		metrics.Observe(o)
		d.trials.Observe(o)
	}
	d.hub, err = boot.OpenHub(ctx, boot.Options{Data: d.env.data, Config: cfg, Work: true, Now: d.env.now, Log: log, Observe: observe, Parties: d.login.set.Transport()})
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
	if err := d.openLogin(ctx, demoPages{links, notice, d.trials}, log); err != nil {
		return nil, nil, err
	}
	pages, err = openFront(ctx, d.hub, metrics, nil, d.listen, d.login.entry, demoPages{})
	if err != nil {
		return nil, nil, err
	}
	closers = append(closers, func() error { pages.close(); return nil })
	values["listen"] = pages.address
	if err := config.Save(d.env.data, values); err != nil {
		return nil, nil, err
	}
	say(d.env.stderr, "%s", notice)
	say(d.env.stderr, "代役 / sandbox http://%s/   ハブ / hub %s   監視 / probes http://%s", boxFront.address, at(demoLoginHost, d.login.hub), pages.address)
	say(d.env.stderr, "代役にログインするには / to log in to the stand-ins: %s/   %s/   %s/   %s/   %s/", at(demoJiraHost, d.login.sites), at(demoStaffHost, d.login.sites), at(demoSlackHost, d.login.sites),
		at(demoWikiHost, d.login.sites), at(demoFAQHost, d.login.sites))
	return closeAll, pages, nil
}

// openLogin serves login, and the stand-ins to those who log in.
func (d *demo) openLogin(ctx context.Context, pages demoPages, log *slog.Logger) (err error) {
	if d.login.entry, err = openEntry(ctx, d.hub, d.login.options(pages)); err != nil {
		return err
	}
	if _, err := d.login.serveSites(d.box, log); err != nil {
		return err
	}
	go d.login.publish(ctx, d.env.now, log)
	return d.hub.Keep(ctx, d.login.entry.Federation)
}

// demoSender is whom the demonstration's mail comes from.
const demoSender = "musubi@digital.example.go.jp"

// openRelay serves the stand-in's mail relay on a port of its own choice, and gives the configuration that reaches it.
func (d *demo) openRelay(ctx context.Context, site sandboxSite, box *sandbox.Sandbox) (map[string]string, error) {
	address, _, err := site.openMail(ctx, "127.0.0.1:0", box)
	if err != nil {
		return nil, err
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	key := site.tokenFile(sandbox.Mail + "-id")
	if _, err := ensureSecret(key); err != nil {
		return nil, err
	}
	return map[string]string{
		"mail.host": host, "mail.port": port, "mail.security": "none", "mail.from": demoSender, "mail.from_name": "結び Musubi", "mail.id_key_file": key,
	}, nil
}

// tryable lets the trials begin: the main job is done.
func (d *demo) tryable(ctx context.Context) {
	d.trials.Ready(ctx, trial.World{
		Hub: d.hub, Box: d.box, Address: d.boxAddress, Transport: loopbackTransport(),
		Approve: func(ctx context.Context, actor access.Actor, hash string) error {
			_, err := approvePlan(ctx, d.hub, actor, hash)
			return err
		},
		Start: func(ctx context.Context, actor access.Actor, hash string) error {
			scope, err := d.hub.Scope(ctx, actor, policies.ActionPlanApply, policies.Context{})
			if err != nil {
				return err
			}
			rec, err := d.hub.Provision.Record(ctx, scope, hash)
			if err != nil {
				return err
			}
			return startPlan(ctx, d.hub, scope, rec)
		},
	}, d.planner, d.approver)
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
		if k := r.Organization.Kind; k == policies.KindAgency || k == policies.KindMinistry {
			domains = append(domains, sample.Domain(r.Organization))
		}
	}
	return domains
}
