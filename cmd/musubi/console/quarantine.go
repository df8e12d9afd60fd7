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

// maxQuarantined is how many refused objects a page lists.
const maxQuarantined = 200

// quarantineBody is what the SaaS refuse, inside the viewer's scope.
type quarantineBody struct {
	Rows   []quarantinedRow
	Full   bool // there may be more
	All    bool // decided and solved ones too
	Of     label
	Decide bool // the viewer may decide
	One    bool // it is one object's page
}

// quarantinedRow is one refused object.
type quarantinedRow struct {
	provision.Quarantined
	Product label
	What    label
	Org     orgRef
	Person  who
	Remedy  label
	State   badge
	By      who
	Retry   *form
	Ignore  *form
}

func quarantineBadge(s provision.QuarantineState) badge {
	switch s {
	case provision.QuarantineOpen:
		return badge{label{"要対応", "needs attention"}, "error"}
	case provision.QuarantineRetry:
		return badge{label{"再試行を待っています", "to be tried again"}, "info"}
	case provision.QuarantineIgnored:
		return badge{label{"このままにする", "left as it is"}, ""}
	case provision.QuarantineSolved:
		return badge{label{"解決済み", "solved"}, "success"}
	}
	return badge{label{string(s), ""}, ""}
}

func (c *Console) quarantineRows(ctx context.Context, r *http.Request, v viewer, list []provision.Quarantined) ([]quarantinedRow, bool, error) {
	may, err := c.cfg.Resolver.Hint(ctx, v.actor, policies.ActionJobsWrite, []policies.Organization{v.actor.Org.Policy()}, policies.Context{})
	if err != nil {
		return nil, false, err
	}
	decide := may.Everywhere()
	orgs := orgNames{console: c, scope: v.orgs}
	people := persons{console: c, scope: v.people, known: map[policies.PersonID]who{}}
	var out []quarantinedRow
	for _, q := range list {
		row := quarantinedRow{
			Quarantined: q, Product: productLabel(q.Product), What: opLabel(q.Kind), Org: orgRef{q.Org, string(q.Org)}, State: quarantineBadge(q.State),
			Remedy: remedy(provision.Trouble{State: string(provision.OutcomeQuarantined), Op: provision.Op{Kind: q.Kind}}),
		}
		o, err := orgs.find(ctx, q.Org)
		if err != nil {
			return nil, false, err
		}
		if o != nil {
			row.Org.Name = o.Name
		}
		if row.Person, err = people.find(ctx, q.Person); err != nil {
			return nil, false, err
		}
		if row.By, err = people.find(ctx, q.DecidedBy); err != nil {
			return nil, false, err
		}
		if decide && q.State != provision.QuarantineSolved {
			if q.State != provision.QuarantineRetry {
				f := c.formOf(r, "/quarantine/"+q.ID+"/retry", quarantineSeen(q))
				row.Retry = &f
			}
			if q.State != provision.QuarantineIgnored && q.Kind != provision.OpRelease {
				f := c.formOf(r, "/quarantine/"+q.ID+"/ignore", quarantineSeen(q))
				row.Ignore = &f
			}
		}
		out = append(out, row)
	}
	return out, decide, nil
}

// quarantineSeen names the state that a decision on a refused object is bound to.
func quarantineSeen(q provision.Quarantined) string {
	return fmt.Sprintf("%s %s %d %d", q.ID, q.State, q.Times, q.LastAt.UnixMicro())
}

func (c *Console) quarantinePage(ctx context.Context, w http.ResponseWriter, r *http.Request, v viewer) error {
	if !v.seesPlans() {
		return fmt.Errorf("see quarantine: %w", identity.ErrRefused)
	}
	all := r.URL.Query().Get("all") == "1"
	filter := provision.QuarantineFilter{Limit: maxQuarantined}
	if all {
		filter.States = []provision.QuarantineState{provision.QuarantineOpen, provision.QuarantineRetry, provision.QuarantineIgnored, provision.QuarantineSolved}
	}
	list, err := c.cfg.Provision.Quarantine(ctx, v.plans, filter)
	if err != nil {
		return err
	}
	body := quarantineBody{All: all, Full: len(list) == maxQuarantined}
	if !v.mayReadPlans() {
		body.Of = v.peopleOf()
	}
	if body.Rows, body.Decide, err = c.quarantineRows(ctx, r, v, list); err != nil {
		return err
	}
	return c.show(w, r, v, c.pages.quarantine, frame{label: label{"隔離", "Quarantine"}, Section: "quarantine", Body: body})
}

func (c *Console) quarantinedPage(ctx context.Context, w http.ResponseWriter, r *http.Request, v viewer) error {
	if !v.seesPlans() {
		return fmt.Errorf("see quarantine: %w", identity.ErrRefused)
	}
	q, err := c.cfg.Provision.Quarantined(ctx, v.plans, r.PathValue("id"))
	if err != nil {
		return err
	}
	body := quarantineBody{One: true}
	if body.Rows, body.Decide, err = c.quarantineRows(ctx, r, v, []provision.Quarantined{q}); err != nil {
		return err
	}
	return c.show(w, r, v, c.pages.quarantine, frame{
		label: label{"隔離 " + q.ID, "Quarantine"}, Section: "quarantine", Body: body, Crumbs: []crumb{{label{"隔離", "Quarantine"}, "/quarantine"}},
	})
}

// decideQuarantine makes the handler of a decision on a refused object.
func (c *Console) decideQuarantine(to provision.QuarantineState) func(context.Context, http.ResponseWriter, *http.Request, viewer, submitted) error {
	return func(ctx context.Context, w http.ResponseWriter, r *http.Request, v viewer, in submitted) error {
		scope, err := c.cfg.Resolver.Scope(ctx, v.actor, policies.ActionJobsWrite, []policies.Organization{v.actor.Org.Policy()}, policies.Context{})
		if err != nil {
			return err
		}
		q, err := c.cfg.Provision.Quarantined(ctx, v.plans, r.PathValue("id"))
		if err != nil {
			return err
		}
		back := "/quarantine/" + q.ID
		if quarantineSeen(q) != in.seen {
			return changedMeanwhile(back)
		}
		_, err = c.cfg.Provision.Decide(ctx, scope, q.ID, to, in.field("why"))
		if errors.Is(err, provision.ErrDecision) {
			return conflict{message{
				label: label{"このようには決められません", "This can't be decided so"},
				Say:   label{"このままにするときは、1 から 300 文字の理由が要ります。退職者のアカウントは、このままにできません。", "Leaving it as it is needs a reason of 1 to 300 characters, and a leaver's account can't be left."},
				Back:  back,
			}}
		}
		if err != nil {
			return err
		}
		http.Redirect(w, r, back, http.StatusSeeOther)
		return nil
	}
}

// waiting counts the refused objects that wait for a person.
func (c *Console) waiting(ctx context.Context, v viewer) (int, error) {
	list, err := c.cfg.Provision.Quarantine(ctx, v.plans, provision.QuarantineFilter{States: []provision.QuarantineState{provision.QuarantineOpen}, Limit: maxQuarantined})
	return len(list), err
}
