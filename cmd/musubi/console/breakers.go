package console

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/breaker"
)

// How much the pages of breakers show.
const (
	maxTrips = 100
	maxHeld  = 200
)

// breakersBody is the list of breakers that have tripped.
type breakersBody struct {
	Open   []tripRow
	Past   []tripRow
	Limits []limitRow
}

// tripRow is one trip as a person reads it.
type tripRow struct {
	breaker.Record
	Level  label
	Of     string // what it watches, by name
	Loss   label
	Cause  causeRow
	State  badge
	Window label
}

// causeRow is an upstream change.
type causeRow struct {
	breaker.Cause
	Kind label
	By   who
	When time.Time
	Path string // of the plan that is or carries it; empty: none
}

// limitRow is what one level allows of one loss, in its windows.
type limitRow struct {
	Level, Loss label
	Windows     []limitWindow
}

type limitWindow struct {
	Window label
	Least  int
	Share  string // percent
}

// breakerBody is one trip.
type breakerBody struct {
	tripRow
	Earlier []causeRow
	Held    []heldRow
	More    int
	By      who // who released it
	Release *form
	Proof   *proof // in the place of Release: what it takes first
	Why     label  // why there is no form
}

type heldRow struct {
	Product label
	Org     orgRef
	Person  who
	Loss    label
	Work    label
	State   badge
}

func levelLabel(l breaker.Level) label {
	switch l {
	case breaker.LevelNation:
		return label{"国全体", "Nation"}
	case breaker.LevelChange:
		return label{"一つの変更", "One change"}
	case breaker.LevelProduct:
		return label{"SaaS", "Product"}
	case breaker.LevelOrganization:
		return label{"組織", "Organization"}
	}
	return label{string(l), ""}
}

func lossLabel(l breaker.Loss) label {
	switch l {
	case breaker.LossAccounts:
		return label{"アカウントの停止", "Accounts disabled"}
	case breaker.LossMemberships:
		return label{"所属の解除", "Memberships lost"}
	}
	return label{string(l), ""}
}

func causeLabel(k breaker.CauseKind) label {
	switch k {
	case breaker.CausePerson:
		return label{"人の操作", "A person"}
	case breaker.CauseImport:
		return label{"ファイルの取込", "An import"}
	case breaker.CauseTransfer:
		return label{"予告のない異動", "A transfer"}
	case breaker.CauseInbound:
		return label{"外部からの変更", "Another system"}
	case breaker.CausePlan:
		return label{"計画", "A plan"}
	case breaker.CausePolicy:
		return label{"方針の改定", "An edit of the policies"}
	}
	return label{string(k), ""}
}

func tripBadge(s breaker.State) badge {
	if s == breaker.StateOpen {
		return badge{label{"作動中", "tripped"}, "error"}
	}
	return badge{label{"解除済み", "released"}, ""}
}

// windowLabel writes the length of a window in hours or days.
func windowLabel(d time.Duration) label {
	if days := int(d / (24 * time.Hour)); d%(24*time.Hour) == 0 && days > 1 {
		return label{num(days) + " 日", num(days) + " days"}
	}
	return label{num(int(d/time.Hour)) + " 時間", num(int(d/time.Hour)) + " h"}
}

// tripper names what trips are about for one page.
type tripper struct {
	people persons
	orgs   orgNames
}

func (c *Console) newTripper(v viewer) *tripper {
	return &tripper{
		people: persons{console: c, scope: v.people, known: map[policies.PersonID]who{}}, orgs: orgNames{console: c, scope: v.orgs},
	}
}

func (t *tripper) row(ctx context.Context, r breaker.Record) (tripRow, error) {
	row := tripRow{Record: r, Level: levelLabel(r.Level), Of: r.Subject, Loss: lossLabel(r.Loss), State: tripBadge(r.State), Window: windowLabel(r.Window)}
	var err error
	switch r.Level {
	case breaker.LevelOrganization:
		var o *identity.Organization
		if o, err = t.orgs.find(ctx, policies.OrgID(r.Subject)); o != nil {
			row.Of = o.Name
		}
	case breaker.LevelProduct:
		row.Of = productLabel(policies.Product(r.Subject)).JA
	case breaker.LevelNation, breaker.LevelChange:
		row.Of = ""
	}
	if err != nil {
		return row, err
	}
	row.Cause, err = t.cause(ctx, r.Cause)
	return row, err
}

func (t *tripper) cause(ctx context.Context, c breaker.Cause) (causeRow, error) {
	row := causeRow{Cause: c, Kind: causeLabel(c.Kind)}
	if c.At != 0 {
		row.When = time.UnixMicro(c.At)
	}
	switch {
	case planHash(c.Plan):
		row.Path = "/plans/" + c.Plan
	case c.Kind == breaker.CausePlan && planHash(c.Ref):
		row.Path = "/plans/" + c.Ref
	}
	var err error
	row.By, err = t.people.find(ctx, c.Actor)
	return row, err
}

// watching holds the pages of breakers to those who see the whole country: a breaker tells of everybody.
func (c *Console) watching(v viewer) error {
	switch {
	case c.cfg.Breakers == nil:
		return identity.ErrNotFound
	case !v.mayReadPlans():
		return fmt.Errorf("see breakers: %w", identity.ErrRefused)
	}
	return nil
}

func (c *Console) breakersPage(ctx context.Context, w http.ResponseWriter, r *http.Request, v viewer) error {
	if err := c.watching(v); err != nil {
		return err
	}
	list, err := c.cfg.Breakers.List(ctx, v.plans, true, maxTrips)
	if err != nil {
		return err
	}
	var body breakersBody
	names := c.newTripper(v)
	for _, trip := range list {
		row, err := names.row(ctx, trip)
		if err != nil {
			return err
		}
		if trip.State == breaker.StateOpen {
			body.Open = append(body.Open, row)
		} else {
			body.Past = append(body.Past, row)
		}
	}
	for _, l := range c.cfg.Breakers.Config().Limits {
		level, loss := levelLabel(l.Level), lossLabel(l.Loss)
		if n := len(body.Limits); n == 0 || body.Limits[n-1].Level != level || body.Limits[n-1].Loss != loss {
			body.Limits = append(body.Limits, limitRow{Level: level, Loss: loss})
		}
		last := &body.Limits[len(body.Limits)-1]
		last.Windows = append(last.Windows, limitWindow{windowLabel(l.Window), l.Least, rate(l.Share * 100)})
	}
	return c.show(w, r, v, c.pages.breakers, frame{label: label{"ブレーカー", "Breakers"}, Section: "breakers", Body: body})
}

// tripSeen names the state that a release is bound to.
func tripSeen(r breaker.Record) string { return fmt.Sprintf("%s %s %d", r.ID, r.State, r.Held) }

func (c *Console) breakerPage(ctx context.Context, w http.ResponseWriter, r *http.Request, v viewer) error {
	if err := c.watching(v); err != nil {
		return err
	}
	trip, held, err := c.cfg.Breakers.Show(ctx, v.plans, r.PathValue("id"), maxHeld)
	if err != nil {
		return err
	}
	names := c.newTripper(v)
	body := breakerBody{More: max(trip.Held-len(held), 0)}
	if body.tripRow, err = names.row(ctx, trip); err != nil {
		return err
	}
	for _, e := range trip.Earlier {
		row, err := names.cause(ctx, e)
		if err != nil {
			return err
		}
		body.Earlier = append(body.Earlier, row)
	}
	for _, h := range held {
		row := heldRow{Product: productLabel(h.Product), Org: orgRef{h.Org, string(h.Org)}, Loss: lossLabel(h.Loss), Work: workLabel(h.Work), State: heldBadge(h.State)}
		o, err := names.orgs.find(ctx, h.Org)
		if err != nil {
			return err
		}
		if o != nil {
			row.Org.Name = o.Name
		}
		if row.Person, err = names.people.find(ctx, h.Person); err != nil {
			return err
		}
		body.Held = append(body.Held, row)
	}
	if body.By, err = names.people.find(ctx, trip.ReleasedBy); err != nil {
		return err
	}
	if trip.State == breaker.StateOpen {
		may, err := c.cfg.Resolver.Hint(ctx, v.actor, policies.ActionBreakerRelease, []policies.Organization{v.actor.Org.Policy()}, policies.Context{})
		if err != nil {
			return err
		}
		own := slices.Contains(trip.Causers(), v.actor.ScopeActor())
		if own {
			if own, err = c.cfg.Another(ctx, v.people); err != nil {
				return err
			}
		}
		switch {
		case own:
			body.Why = label{"原因の変更をした人は解除できません。別のシステム管理者が確かめて解除します。", "Who made the change that tripped it can't release it: another system administrator does."}
		case may.Everywhere():
			if body.Proof = c.proofFor(r, v, "/breakers/"+trip.ID); body.Proof != nil {
				break
			}
			f := c.formOf(r, "/breakers/"+trip.ID+"/release", tripSeen(trip))
			body.Release = &f
		default:
			body.Why = label{"解除できるのはシステム管理者です。", "A system administrator releases it."}
		}
	}
	return c.show(w, r, v, c.pages.breaker, frame{
		label: label{"ブレーカー " + trip.ID, "Breaker"}, Section: "breakers", Body: body, Crumbs: []crumb{{label{"ブレーカー", "Breakers"}, "/breakers"}},
	})
}

func workLabel(work string) label {
	switch work {
	case "leaver":
		return label{"退職・離任", "leaver"}
	case "plan":
		return label{"計画", "plan"}
	}
	return label{work, ""}
}

func heldBadge(state string) badge {
	if state == "held" {
		return badge{label{"止めている", "held"}, "warning"}
	}
	return badge{label{"解除済み", "released"}, ""}
}

// release lets go what a breaker holds.
func (c *Console) release(ctx context.Context, w http.ResponseWriter, r *http.Request, v viewer, in submitted) error {
	if c.cfg.Breakers == nil {
		return identity.ErrNotFound
	}
	scope, err := c.cfg.Resolver.Scope(ctx, v.actor, policies.ActionBreakerRelease, []policies.Organization{v.actor.Org.Policy()}, policies.Context{})
	if err != nil {
		return err
	}
	if err := c.watching(v); err != nil {
		return err
	}
	trip, _, err := c.cfg.Breakers.Show(ctx, v.plans, r.PathValue("id"), 1)
	if err != nil {
		return err
	}
	back := "/breakers/" + trip.ID
	if tripSeen(trip) != in.seen {
		return changedMeanwhile(back)
	}
	if err := c.proven(r, v, back); err != nil {
		return err
	}
	another, err := c.cfg.Another(ctx, v.people)
	if err != nil {
		return err
	}
	_, err = c.cfg.Provision.ReleaseBreaker(ctx, scope, trip.ID, strings.TrimSpace(in.field("why")), another)
	say := func(ja, en, sayJA, sayEN string) error {
		return conflict{message{label: label{ja, en}, Say: label{sayJA, sayEN}, Back: back}}
	}
	switch {
	case errors.Is(err, breaker.ErrReason):
		return say("理由が要ります", "A reason is needed", "1 から 300 文字の理由を書いてください。監査記録に残ります。", "Write 1 to 300 characters; they go into the audit log.")
	case errors.Is(err, breaker.ErrOwnTrip):
		return say("自分の変更は解除できません", "Nobody releases what their own change tripped", "原因の変更をした人とは別のシステム管理者に頼んでください。", "Ask another system administrator.")
	case errors.Is(err, breaker.ErrReleased):
		return changedMeanwhile(back)
	case err != nil:
		return err
	}
	http.Redirect(w, r, back, http.StatusSeeOther)
	return nil
}
