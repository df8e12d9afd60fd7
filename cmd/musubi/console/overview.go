package console

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/musubi-hub/musubi/connectors"
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/directory"
	"github.com/musubi-hub/musubi/identity/jst"
	"github.com/musubi-hub/musubi/identity/samlidp/sp"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/provision"
)

// latestPlans is how many plans the overview lists.
const latestPlans = 8

// overviewBody is the first page.
type overviewBody struct {
	Vacant       []vacantRow
	Steps        []step
	Tiles        []tile
	Products     []productCard
	SeatsOf      label // whose seats are counted; empty: everybody's
	Plans        []planRow
	MayReadPlans bool
	PlansOf      label // whose part of the plans is shown; empty: the whole
	Own          []ownPlan
	Make         *form // makes a plan
	Trials       bool
	Tripped      int         // breakers that hold something
	Providers    *sp.Summary // of SAML service providers: what there is to look at; nil for nothing, or who may not see it
	Refused      int         // objects in quarantine that wait for a person
}

// ownPlan is what a plan does to the viewer's organization.
type ownPlan struct {
	Hash  string
	State badge
	Made  time.Time
	tally
}

// step is what to try next.
type step struct {
	label
	Command string
	Path    string // of the page that does the same; may be empty
}

// vacantRow is an organization with too few administrators.
type vacantRow struct {
	Org   policies.OrgID
	Since string
}

// tile is one number with what it counts.
type tile struct {
	label
	Count int
	Known bool // false: outside the viewer's scope
	Path  string
	Note  label
}

// productCard is one SaaS: its seats, its facts, and whether work waits for it.
type productCard struct {
	label
	Seat      label
	Connected bool
	Facts     connectors.Description
	Region    label
	ISMAP     badge
	LGWAN     badge
	Token     *badge // nil: there is none
	TokenEnds string // YYYY-MM-DD
	Budgets   []budget
	Link      string
	Seats     *seatCount // nil: outside the viewer's scope
	State     *badge     // nil: outside the viewer's scope
	Waiting   string     // the vendor's own words
}

type budget struct {
	Class connectors.Class
	Rate  string
	Burst int
}

// seatCount counts one product's seats inside the viewer's scope.
type seatCount struct {
	Active, Leavers int
	Wanted          int
	WantedBy        string // hash of the plan that says so; empty: nobody has said
}

// planRow is one plan in a list.
type planRow struct {
	Record   provision.PlanRecord
	State    badge
	Progress *provision.Progress // nil before the plan was started
	Troubles int
}

func (c *Console) overview(ctx context.Context, w http.ResponseWriter, r *http.Request, v viewer) error {
	var body overviewBody
	counts, err := c.cfg.Directory.Counts(ctx, v.orgs)
	if err != nil {
		return err
	}
	people := directory.Counts{}
	if !v.people.Denied() {
		if people, err = c.cfg.Directory.Counts(ctx, v.people); err != nil {
			return err
		}
	}
	body.Tiles = tiles(counts, people, v)
	body.SeatsOf = v.peopleOf()
	var records []provision.PlanRecord
	if !v.people.Denied() {
		vacant, err := c.cfg.Directory.Vacancies(ctx, v.people)
		if err != nil {
			return err
		}
		for _, o := range vacant {
			body.Vacant = append(body.Vacant, vacantRow{o.Org, jst.Date(o.Since)})
		}
	}
	if body.MayReadPlans = v.mayReadPlans(); body.MayReadPlans {
		if records, err = c.cfg.Provision.Records(ctx, v.plans, latestPlans); err != nil {
			return err
		}
		if body.Plans, err = c.planRows(ctx, v, records); err != nil {
			return err
		}
		if body.Steps, err = c.steps(ctx, v, counts, records); err != nil {
			return err
		}
	}
	if body.MayReadPlans && c.cfg.Planner != nil {
		may, err := c.cfg.Resolver.Hint(ctx, v.actor, policies.ActionPlanMake, []policies.Organization{v.actor.Org.Policy()}, policies.Context{})
		if err != nil {
			return err
		}
		if may.Everywhere() {
			f := c.formOf(r, "/plans", newestSeen(body.Plans))
			body.Make = &f
		}
	}
	if v.seesPlans() {
		if body.Refused, err = c.waiting(ctx, v); err != nil {
			return err
		}
	}
	if c.cfg.Breakers != nil && body.MayReadPlans {
		open, err := c.cfg.Breakers.List(ctx, v.plans, false, maxTrips)
		if err != nil {
			return err
		}
		body.Tripped = len(open)
	}
	if body.Providers, err = c.providers(ctx, v); err != nil {
		return err
	}
	body.Trials = c.cfg.Trials != nil && body.MayReadPlans
	if !body.MayReadPlans && v.seesPlans() {
		body.PlansOf = v.peopleOf()
		if body.Own, err = c.ownPlans(ctx, v); err != nil {
			return err
		}
	}
	if body.Products, err = c.productCards(ctx, v, body.Plans); err != nil {
		return err
	}
	f := frame{label: label{"概要", "Overview"}, Section: "overview", Body: body}
	if slices.ContainsFunc(records, func(p provision.PlanRecord) bool {
		return p.State == provision.PlanStaging || p.State == provision.PlanRunning
	}) {
		f.Refresh = keepUp(w, r, overviewEvery)
	}
	return c.show(w, r, v, c.pages.overview, f)
}

// providers counts what there is to look at of SAML service providers, for whom may see their registrations.
func (c *Console) providers(ctx context.Context, v viewer) (*sp.Summary, error) {
	if c.cfg.Providers == nil {
		return nil, nil
	}
	may, err := c.cfg.Resolver.Hint(ctx, v.actor, policies.ActionPartyRead, []policies.Organization{v.actor.Org.Policy()}, policies.Context{})
	if err != nil || !may.Everywhere() {
		return nil, err
	}
	sum, err := c.cfg.Providers(ctx)
	if err != nil || sum.Waits+sum.Failing+sum.Ends() == 0 {
		return nil, err
	}
	return &sum, nil
}

// ownPlansRead is how many of the newest plans are searched for what they do to the viewer's organization.
const ownPlansRead = 5

// ownPlans lists those of the newest plans that do something to the viewer's organizations.
func (c *Console) ownPlans(ctx context.Context, v viewer) ([]ownPlan, error) {
	hashes, err := c.cfg.Provision.Recent(ctx, v.plans, ownPlansRead)
	if err != nil {
		return nil, err
	}
	var out []ownPlan
	for _, hash := range hashes {
		d, err := c.planDigest(ctx, v, hash)
		if errors.Is(err, identity.ErrNotFound) {
			c.remember(seenAs(v.plans, hash), digest{}) // it does nothing to them, today and for ever
			continue
		}
		if err != nil {
			return nil, err
		}
		if d.Record.Hash == "" {
			continue
		}
		record, err := c.cfg.Provision.Standing(ctx, v.plans, hash)
		if err != nil {
			return nil, err
		}
		out = append(out, ownPlan{hash, planBadge(record.State, c.expired(record)), record.MadeAt, d.All})
	}
	return out, nil
}

func tiles(orgs, people directory.Counts, v viewer) []tile {
	of := func(k policies.OrgKind) tile {
		return tile{label: kindsLabel(k), Count: orgs.PerKind[k], Known: !v.orgs.Denied(), Path: "/orgs?kind=" + string(k)}
	}
	government := of(policies.KindMinistry)
	if agencies := orgs.PerKind[policies.KindAgency]; agencies > 0 {
		government.Note = label{"ほかに運営庁 " + num(agencies), "and the operating agency"}
	}
	towns := of(policies.KindMunicipality)
	if wards := orgs.PerKind[policies.KindWard]; wards > 0 {
		towns.Note = label{"ほかに行政区 " + num(wards), "and wards"}
	}
	others := tile{label: label{"その他の機関・事業者", "Other bodies, contractors"}, Known: !v.orgs.Denied()}
	for _, k := range []policies.OrgKind{policies.KindIncorporated, policies.KindUnion, policies.KindInsurer, policies.KindContractor, policies.KindMiddleware} {
		others.Count += orgs.PerKind[k]
	}
	staff := tile{label: label{"職員 (在職)", "People in service"}, Count: people.People, Known: !v.people.Denied()}
	switch {
	case v.people.Denied():
		staff.Note = label{"見る権限がありません", "outside your scope"}
	case !v.people.All():
		of := v.peopleOf()
		staff.Note = label{of.JA + "のみ", of.EN}
		if orgs := v.people.Orgs(); len(orgs) == 1 {
			staff.Path = "/orgs/" + string(orgs[0])
		}
	case people.Ended > 0:
		staff.Note = label{"ほかに在職終了 " + num(people.Ended), "and ended"}
	}
	return []tile{of(policies.KindPrefecture), towns, government, others, staff}
}

// steps says what the main job needs next. It is for those who can do it: who sees every plan.
func (c *Console) steps(ctx context.Context, v viewer, orgs directory.Counts, records []provision.PlanRecord) ([]step, error) {
	var list []step
	if orgs.PerKind[policies.KindPrefecture]+orgs.PerKind[policies.KindMunicipality]+orgs.PerKind[policies.KindMinistry] == 0 {
		return append(list, step{label{"組織の一覧を取り込む", "Import the organizations"}, "musubi import orgs FILE --as FILE", ""}), nil
	}
	perOrg, err := c.cfg.Directory.PeoplePerOrg(ctx, v.people)
	if err != nil {
		return nil, err
	}
	delete(perOrg, v.actor.Org.ID) // the administrators themselves were there from the start
	if len(perOrg) == 0 {
		list = append(list, step{label{"職員の一覧を取り込む", "Import their people"}, "musubi import people FILE --as FILE", ""})
	}
	if len(records) == 0 {
		return append(list, step{label{"計画を作り、何が起きるかを読む", "Make a plan, and read what will happen"}, "musubi plan --as FILE", "#plans"}), nil
	}
	latest := records[0]
	hash := latest.Hash[:min(12, len(latest.Hash))]
	switch {
	case latest.State == provision.PlanMade && latest.Maker == policies.HubActor:
		list = append(list, step{label{"ハブが作った計画を読み、承認する", "Read the plan that the hub made, and approve it"}, "musubi approve " + hash + " --as FILE", "/plans/" + latest.Hash})
	case latest.State == provision.PlanMade, latest.State == provision.PlanApproved && c.expired(latest):
		list = append(list, step{label{"計画を別のシステム管理者が承認する", "Have another system administrator approve the plan"}, "musubi approve " + hash + " --as FILE", "/plans/" + latest.Hash})
	case latest.State == provision.PlanApproved:
		list = append(list, step{label{"承認済みの計画を適用する", "Apply the approved plan"}, "musubi apply " + hash + " --as FILE", "/plans/" + latest.Hash})
	}
	return list, nil
}

func (c *Console) expired(r provision.PlanRecord) bool {
	return r.State == provision.PlanApproved && !c.cfg.Now().Before(r.ExpiresAt)
}

func (c *Console) planRows(ctx context.Context, v viewer, records []provision.PlanRecord) ([]planRow, error) {
	rows := make([]planRow, len(records))
	for i, record := range records {
		rows[i] = planRow{Record: record, State: planBadge(record.State, c.expired(record))}
		if record.StartedAt.IsZero() {
			continue
		}
		progress, err := c.cfg.Provision.Progress(ctx, v.plans, record.Hash)
		if err != nil {
			return nil, err
		}
		rows[i].Progress = &progress
		for _, p := range progress.Products {
			rows[i].Troubles += p.Dropped + p.Quarantined
		}
	}
	return rows, nil
}

func (c *Console) productCards(ctx context.Context, v viewer, plans []planRow) ([]productCard, error) {
	counts := map[policies.Product]*seatCount{}
	if !v.people.Denied() {
		seats, err := c.cfg.Provision.Seats(ctx, v.people)
		if err != nil {
			return nil, err
		}
		for _, s := range seats {
			counts[s.Product] = &seatCount{Active: s.Active, Leavers: s.Leavers}
		}
	}
	// Only a person's plan is of the whole country; what the hub planned since makes its wish an old one.
	if v.people.All() && len(plans) > 0 && plans[0].Record.Maker != policies.HubActor {
		newest := plans[0].Record.Hash
		d, err := c.planDigest(ctx, v, newest)
		if err != nil {
			// The seats are worth showing without the plan's wish; the plan's own page tells what is wrong with it.
			c.cfg.Logger.ErrorContext(ctx, "console: the newest plan can't be read", "plan", newest, "error", err)
		}
		for _, t := range d.Totals {
			if s := counts[t.Product]; s != nil {
				s.Wanted, s.WantedBy = t.AccountsWanted, newest
			}
		}
	}
	var cards []productCard
	for _, product := range policies.Products() {
		card := productCard{label: productLabel(product), Seat: seatKind(product), Link: c.cfg.ProductLinks[product], Seats: counts[product]}
		if opened, ok := c.cfg.Connectors[product]; ok {
			card.Connected, card.Facts = true, opened.Description
			card.Region, card.ISMAP, card.LGWAN = regionLabel(opened.DataRegion), ismapBadge(opened.ISMAP), reachBadge(opened.LGWAN)
			if c.cfg.TokenEnds != nil {
				if date, days, ok := c.cfg.TokenEnds(product); ok {
					b := tokenBadge(date, days)
					card.Token, card.TokenEnds = &b, date
				}
			}
			for _, b := range opened.Limits.Budgets {
				card.Budgets = append(card.Budgets, budget{b.Class, rate(b.Rate), b.Burst})
			}
		}
		if v.mayReadPlans() {
			card.State, card.Waiting = productState(product, card.Connected, plans)
		}
		cards = append(cards, card)
	}
	return cards, nil
}

// productState says whether work waits for a product. Plans are the only witness here: no product is asked for a page.
func productState(product policies.Product, connected bool, plans []planRow) (*badge, string) {
	if !connected {
		return &badge{label{"接続されていません", "not connected"}, "warning"}, ""
	}
	for _, plan := range plans {
		if plan.Record.State == provision.PlanStaging {
			return &badge{label{"適用の準備中", "being prepared"}, "info"}, ""
		}
		if plan.Record.State != provision.PlanRunning || plan.Progress == nil {
			continue
		}
		for _, p := range plan.Progress.Products {
			switch {
			case p.Product != product || p.Pending == 0:
			case p.Failure != "":
				b := waitingBadge(p.Failure)
				return &b, p.Waiting
			default:
				return &badge{label{"適用中", "being applied"}, "info"}, p.Waiting
			}
		}
	}
	return &badge{label{"待ちはありません", "no work is waiting"}, "success"}, ""
}
