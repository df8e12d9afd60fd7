package console

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/provision"
)

// maxTroubles is how many operations a plan's page names.
const maxTroubles = 200

// planBody is one plan.
type planBody struct {
	Row        planRow
	Maker      who
	Approver   who
	Whole      bool  // false: what the plan does to the viewer's organization
	Within     label // whose it is then
	Decision   decision
	Totals     []totalRow
	All        tally
	OrgCount   int // organizations that it changes
	Changes    changesBody
	Unreadable bool // the stored document isn't what the hash names
	Products   []progressRow
	Troubles   []troubleRow
	More       int // troubles that aren't listed
}

type totalRow struct {
	label
	provision.Total
}

type progressRow struct {
	label
	provision.ProductProgress
	State badge
}

// Name is what the progress bar is called.
func (p progressRow) Name() label { return p.label }

// Final is how many operations have ended.
func (p progressRow) Final() int { return p.Total - p.Pending }

// who is a person as a page names them: by name inside the viewer's scope, else by id.
type who struct {
	ID   policies.PersonID
	Name string
	Org  policies.OrgID
}

type troubleRow struct {
	provision.Trouble
	Product label
	What    label
	State   badge
	Org     *identity.Organization
	Person  who
	People  int // of a membership
	Remedy  label
}

func (c *Console) planPage(ctx context.Context, w http.ResponseWriter, r *http.Request, v viewer) error {
	hash := r.PathValue("hash")
	if !v.seesPlans() {
		return fmt.Errorf("read a plan: %w", identity.ErrRefused)
	}
	if !planHash(hash) {
		return identity.ErrNotFound
	}
	q, err := readChangesQuery(r.URL.Query())
	if err != nil {
		return err
	}
	body := planBody{Whole: v.mayReadPlans(), Within: v.peopleOf()}
	if body.Whole {
		err = c.wholePlan(ctx, v, hash, &body)
	} else {
		err = c.planWithin(ctx, v, hash, &body)
	}
	if err != nil {
		return err
	}
	if !body.Unreadable {
		d, err := c.planDigest(ctx, v, hash)
		if err != nil {
			return err
		}
		body.All, body.OrgCount = d.All, len(d.Orgs)
		for _, t := range d.Totals {
			body.Totals = append(body.Totals, totalRow{productLabel(t.Product), t})
		}
		only := len(d.Orgs) == 1 && q.org == ""
		if only {
			q.org = d.Orgs[0].Org
		}
		if body.Changes, err = c.changes(ctx, v, hash, d, q); err != nil {
			return err
		}
		if only {
			body.Changes.All = ""
		}
		if body.Whole {
			if body.Decision, err = c.decide(ctx, r, v, body.Row.Record, d.All); err != nil {
				return err
			}
		}
	}
	return c.show(w, r, v, c.pages.plan, frame{
		label: label{"計画 " + hash[:12], "Plan"}, Section: "overview", Body: body,
		Crumbs: []crumb{{label{"概要", "Overview"}, "/"}},
	})
}

// planWithin is a plan as an organization's administrator sees it: what it does to the organization.
func (c *Console) planWithin(ctx context.Context, v viewer, hash string, body *planBody) error {
	record, _, err := c.cfg.Provision.LoadWithin(ctx, v.plans, hash)
	body.Row = planRow{Record: record, State: planBadge(record.State, c.expired(record))}
	return err
}

// wholePlan is a plan with its way through the hub, for who may see every organization.
func (c *Console) wholePlan(ctx context.Context, v viewer, hash string, body *planBody) error {
	record, err := c.cfg.Provision.Record(ctx, v.plans, hash)
	if err != nil {
		return err
	}
	rows, err := c.planRows(ctx, v, []provision.PlanRecord{record})
	if err != nil {
		return err
	}
	body.Row = rows[0]
	people := persons{console: c, scope: v.people, known: map[policies.PersonID]who{}}
	if body.Maker, err = people.find(ctx, record.Maker); err != nil {
		return err
	}
	if body.Approver, err = people.find(ctx, record.Approver); err != nil {
		return err
	}
	if _, err := c.planDigest(ctx, v, hash); err != nil {
		if ctx.Err() != nil {
			return err
		}
		c.cfg.Logger.ErrorContext(ctx, "console: a plan can't be read", "plan", hash, "error", err)
		body.Unreadable = true
	}
	if body.Row.Progress == nil {
		return nil
	}
	body.Products = progressRows(*body.Row.Progress)
	return c.troubles(ctx, v, &people, body)
}

func progressRows(p provision.Progress) []progressRow {
	var out []progressRow
	for _, pp := range p.Products {
		out = append(out, progressRow{productLabel(pp.Product), pp, progressBadge(p.Plan.State, pp)})
	}
	return out
}

// planHash reports whether s can be a plan's hash: SHA-256 in lower-case hex.
func planHash(s string) bool {
	for _, d := range s {
		if (d < '0' || d > '9') && (d < 'a' || d > 'f') {
			return false
		}
	}
	return len(s) == 64
}

func progressBadge(state provision.PlanState, p provision.ProductProgress) badge {
	switch {
	case p.Pending > 0 && state == provision.PlanRunning && p.Failure != "":
		return waitingBadge(p.Failure)
	case p.Pending > 0:
		return planBadge(state, false)
	case p.Quarantined > 0:
		return badge{label{"要対応あり", "needs attention"}, "error"}
	case p.Held > 0:
		return badge{label{"ブレーカーが保留", "held by a breaker"}, "warning"}
	case p.Dropped > 0:
		return badge{label{"除外あり", "some left out"}, "warning"}
	}
	return badge{label{"完了", "done"}, "success"}
}

func (c *Console) troubles(ctx context.Context, v viewer, people *persons, body *planBody) error {
	list, err := c.cfg.Provision.Troubles(ctx, v.plans, body.Row.Record.Hash, maxTroubles)
	if err != nil {
		return err
	}
	body.More = max(body.Row.Troubles-len(list), 0)
	names := orgNames{console: c, scope: v.orgs}
	for _, t := range list {
		row := troubleRow{
			Trouble: t, Product: productLabel(t.Op.Product), What: opLabel(t.Op.Kind), People: len(t.Op.Members),
			State: badge{label{"除外", "left out"}, "warning"}, Remedy: remedy(t),
		}
		if t.State == string(provision.OutcomeQuarantined) {
			row.State = badge{label{"要対応", "needs attention"}, "error"}
		}
		if row.Org, err = names.find(ctx, t.Op.Org); err != nil {
			return err
		}
		if row.Person, err = people.find(ctx, t.Op.Person); err != nil {
			return err
		}
		body.Troubles = append(body.Troubles, row)
	}
	return nil
}

// persons looks people up for one page, each once.
type persons struct {
	console *Console
	scope   policies.Scope
	known   map[policies.PersonID]who
}

func (p *persons) find(ctx context.Context, id policies.PersonID) (who, error) {
	switch {
	case id == policies.HubActor:
		return who{ID: id, Name: "ハブ (自動)"}, nil
	case id == policies.StandingActor:
		return who{ID: id, Name: "方針による常設の承認"}, nil
	case id == "" || id == policies.BreakGlassActor || p.scope.Denied():
		return who{ID: id}, nil
	}
	if w, ok := p.known[id]; ok {
		return w, nil
	}
	w := who{ID: id}
	person, err := p.console.cfg.Directory.Person(ctx, p.scope, id)
	switch {
	case err == nil:
		w.Name, w.Org = person.DisplayName(), person.Org
	case !errors.Is(err, identity.ErrNotFound):
		return w, err
	}
	p.known[id] = w
	return w, nil
}
