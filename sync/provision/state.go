package provision

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/directory"
	"github.com/musubi-hub/musubi/policies"
)

// Directory is what provisioning reads of the directory. Implemented by directory.Store.
type Directory interface {
	Organizations(ctx context.Context, scope policies.Scope, filter directory.OrgFilter) ([]identity.Organization, error)
	EachPerson(ctx context.Context, scope policies.Scope, fn func(identity.Person) error) error
	Posts(ctx context.Context, scope policies.Scope, of ...policies.PersonID) ([]identity.Post, error)
	Organization(ctx context.Context, scope policies.Scope, id policies.OrgID) (identity.Organization, error)
	People(ctx context.Context, scope policies.Scope, filter directory.PeopleFilter) ([]identity.Person, error)
	These(ctx context.Context, scope policies.Scope, people ...policies.PersonID) ([]identity.Person, error)
	Changes(ctx context.Context, scope policies.Scope, after int64, limit int) ([]directory.Change, error)
	LastChange(ctx context.Context, scope policies.Scope) (int64, error)
	PeopleAt(ctx context.Context, scope policies.Scope, at int64, fn func(identity.Person) error) error
	PostsAt(ctx context.Context, scope policies.Scope, at int64) ([]identity.Post, error)
}

// Source gives the plan that the present state asks for.
type Source interface {
	Current(ctx context.Context, maker policies.PersonID) (Plan, error)
	// Part is Current of the people named alone, at most MaxPart.
	Part(ctx context.Context, maker policies.PersonID, people []policies.PersonID) (Plan, error)
}

// Planner makes plans from directory, policy and ledger.
type Planner struct {
	store  *Store
	dir    Directory
	seater Seater
	scope  policies.Scope
	// products are those that something can be done in: of the others nothing is planned.
	products []policies.Product
	prices   Prices
}

// Price gives the planner what seats cost, and gives it back.
func (p *Planner) Price(prices Prices) *Planner { p.prices = prices; return p }

// Prices are what seats cost.
func (p *Planner) Prices() Prices { return p.prices }

// NewPlanner makes a planner for the products that are connected; none given: for all. It reads every organization by a system scope: a plan
// covers the nation.
func NewPlanner(store *Store, dir Directory, seater Seater, connected ...policies.Product) *Planner {
	if len(connected) == 0 {
		connected = policies.Products()
	}
	return &Planner{store: store, dir: dir, seater: seater, scope: policies.System(policies.TaskProvision), products: connected}
}

// Connected lists the products that are planned for.
func (p *Planner) Connected() []policies.Product { return slices.Clone(p.products) }

// plan diffs what is wanted against what is known, in the connected products.
func (p *Planner) plan(w Wanted, k Known, maker policies.PersonID) Plan {
	k.keep(p.products)
	return Make(w, k, maker, p.seater.Hash())
}

// want is Want in the connected products.
func (p *Planner) want(people []identity.Person, posts []identity.Post, orgs []identity.Organization) (Wanted, error) {
	w, err := Want(people, posts, orgs, p.seater)
	if err != nil {
		return Wanted{}, err
	}
	w.keep(p.products)
	w.Prices = p.prices
	return w, nil
}

// keep leaves what is known of the products named alone.
func (k *Known) keep(products []policies.Product) {
	k.Accounts = slices.DeleteFunc(k.Accounts, func(a KnownAccount) bool { return !slices.Contains(products, a.Product) })
	for _, p := range policies.Products() {
		if !slices.Contains(products, p) {
			delete(k.Groups, p)
			delete(k.Members, p)
			delete(k.Maybe, p)
		}
	}
}

// Current implements Source.
func (p *Planner) Current(ctx context.Context, maker policies.PersonID) (Plan, error) {
	w, err := p.Wanted(ctx)
	if err != nil {
		return Plan{}, err
	}
	k, err := p.store.Known(ctx)
	if err != nil {
		return Plan{}, err
	}
	return p.plan(w, k, maker), nil
}

// Wanted gives the accounts that directory and policy want now.
func (p *Planner) Wanted(ctx context.Context) (Wanted, error) {
	orgs, err := p.organizations(ctx)
	if err != nil {
		return Wanted{}, err
	}
	var people []identity.Person
	if err := p.dir.EachPerson(ctx, p.scope, func(q identity.Person) error {
		people = append(people, q)
		return nil
	}); err != nil {
		return Wanted{}, fmt.Errorf("read people: %w", err)
	}
	posts, err := p.dir.Posts(ctx, p.scope)
	if err != nil {
		return Wanted{}, fmt.Errorf("read posts: %w", err)
	}
	return p.want(people, p.held(posts), orgs)
}

// organizations reads all of them: their names and kinds are nobody's secret.
func (p *Planner) organizations(ctx context.Context) ([]identity.Organization, error) {
	var orgs []identity.Organization
	filter := directory.OrgFilter{Limit: directory.MaxPage}
	for {
		page, err := p.dir.Organizations(ctx, p.scope, filter)
		if err != nil {
			return nil, fmt.Errorf("read organizations: %w", err)
		}
		orgs = append(orgs, page...)
		if len(page) < filter.Limit {
			return orgs, nil
		}
		filter.After = page[len(page)-1].ID
	}
}

// Known reads the ledger: what the hub knows of every SaaS.
func (s *Store) Known(ctx context.Context) (Known, error) {
	k := newKnown()
	r := s.db.Reader()
	rows, err := r.QueryContext(ctx, `SELECT `+accountColumns+` FROM provision_account WHERE state <> 'creating' ORDER BY product, person_id`)
	if err != nil {
		return k, fmt.Errorf("read accounts: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		a, err := scanAccount(rows)
		if err != nil {
			return k, fmt.Errorf("read accounts: %w", err)
		}
		k.account(a)
	}
	if err := rows.Err(); err != nil {
		return k, fmt.Errorf("read accounts: %w", err)
	}
	groups, err := r.QueryContext(ctx, `SELECT product, org_id, group_id, name, tried_at FROM provision_group WHERE group_id <> ''`)
	if err != nil {
		return k, fmt.Errorf("read groups: %w", err)
	}
	defer groups.Close()
	for groups.Next() {
		g, err := scanGroup(groups)
		if err != nil {
			return k, fmt.Errorf("read groups: %w", err)
		}
		k.Groups[g.Product][g.Org] = g.Name
	}
	if err := groups.Err(); err != nil {
		return k, fmt.Errorf("read groups: %w", err)
	}
	members, err := r.QueryContext(ctx, `SELECT product, person_id, org_id, state FROM provision_member ORDER BY product, person_id, org_id`)
	if err != nil {
		return k, fmt.Errorf("read members: %w", err)
	}
	defer members.Close()
	for members.Next() {
		m, err := scanMember(members)
		if err != nil {
			return k, fmt.Errorf("read members: %w", err)
		}
		k.member(m)
	}
	return k, members.Err()
}

func newKnown() Known {
	k := Known{Groups: map[policies.Product]map[policies.OrgID]string{}, Members: map[policies.Product]map[policies.PersonID][]policies.OrgID{}, Maybe: map[policies.Product]map[policies.PersonID][]policies.OrgID{}}
	for _, p := range policies.Products() {
		k.Groups[p] = map[policies.OrgID]string{}
		k.Members[p] = map[policies.PersonID][]policies.OrgID{}
		k.Maybe[p] = map[policies.PersonID][]policies.OrgID{}
	}
	return k
}

func (k *Known) account(a AccountRow) {
	k.Accounts = append(k.Accounts, KnownAccount{Product: a.Product, Person: a.Person, Org: a.Org, Seat: a.Seat, AccountID: a.AccountID, Attributes: a.Attributes})
}

// memberRow is a membership in the ledger.
type memberRow struct {
	product policies.Product
	person  policies.PersonID
	org     policies.OrgID
	pending bool // a call was begun and its answer isn't known
}

func scanMember(rows *sql.Rows) (m memberRow, err error) {
	var state string
	err = rows.Scan(&m.product, &m.person, &m.org, &state)
	m.pending = state == "pending"
	return m, err
}

func (k *Known) member(m memberRow) {
	into := k.Members
	if m.pending {
		into = k.Maybe
	}
	into[m.product][m.person] = append(into[m.product][m.person], m.org)
}

// ProductProgress counts the operations of one product in a run.
type ProductProgress struct {
	Product     policies.Product `json:"product"`
	Total       int              `json:"total"`
	Done        int              `json:"done"`
	Dropped     int              `json:"dropped"`
	Quarantined int              `json:"quarantined"`
	Held        int              `json:"held"` // by a breaker
	Pending     int              `json:"pending"`
	Waiting     string           `json:"waiting,omitempty"` // why the one that was tried last waits
	Failure     string           `json:"failure,omitempty"` // kind of that failure: auth, unavailable, throttled, ...
	TriedAt     time.Time        `json:"tried_at,omitzero"` // when that was
}

// Progress tells how far the application of a plan is.
type Progress struct {
	Plan     PlanRecord        `json:"plan"`
	Products []ProductProgress `json:"products"`
	Total    int               `json:"total"`
	Final    int               `json:"final"` // done, dropped or quarantined
}

// Progress counts the operations of the plan's latest run.
func (s *Store) Progress(ctx context.Context, scope policies.Scope, hash string) (Progress, error) {
	rec, err := s.Record(ctx, scope, hash)
	if err != nil {
		return Progress{}, err
	}
	p := Progress{Plan: rec}
	rows, err := s.db.Reader().QueryContext(ctx, `SELECT product, state, count(*) FROM provision_op WHERE run=(SELECT run FROM provision_plan WHERE hash=$1) AND state <> 'split'
		GROUP BY product, state ORDER BY product, state`, rec.Hash)
	if err != nil {
		return p, fmt.Errorf("progress: %w", err)
	}
	defer rows.Close()
	by := map[policies.Product]*ProductProgress{}
	for rows.Next() {
		var product policies.Product
		var state string
		var n int
		if err := rows.Scan(&product, &state, &n); err != nil {
			return p, fmt.Errorf("progress: %w", err)
		}
		pp := by[product]
		if pp == nil {
			pp = &ProductProgress{Product: product}
			by[product] = pp
		}
		pp.Total += n
		p.Total += n
		switch state {
		case "done":
			pp.Done = n
		case "dropped":
			pp.Dropped = n
		case "quarantined":
			pp.Quarantined = n
		case "held":
			pp.Held = n
		default:
			pp.Pending = n
		}
	}
	if err := rows.Err(); err != nil {
		return p, fmt.Errorf("progress: %w", err)
	}
	for _, product := range policies.Products() {
		if pp := by[product]; pp != nil {
			p.Products = append(p.Products, *pp)
			p.Final += pp.Total - pp.Pending
		}
	}
	return p, s.waiting(ctx, rec.Hash, p.Products)
}

func (s *Store) waiting(ctx context.Context, hash string, products []ProductProgress) error {
	for i := range products {
		if products[i].Pending == 0 {
			continue
		}
		var tried int64
		err := s.db.Reader().QueryRowContext(ctx, `SELECT reason, failure, done_at FROM provision_op WHERE run=(SELECT run FROM provision_plan WHERE hash=$1) AND state='pending' AND product=$2 AND attempts > 0
			ORDER BY done_at DESC, seq LIMIT 1`, hash, string(products[i].Product)).Scan(&products[i].Waiting, &products[i].Failure, &tried)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("progress: %w", err)
		}
		products[i].TriedAt = at(tried)
	}
	return nil
}

// Trouble is an operation that a person has to look at.
type Trouble struct {
	Op      Op        `json:"op"`
	State   string    `json:"state"`
	Reason  string    `json:"reason"`
	Receipt Receipt   `json:"receipt"`
	At      time.Time `json:"at"`
}

// Troubles lists the operations of the plan's latest run that were quarantined or dropped.
func (s *Store) Troubles(ctx context.Context, scope policies.Scope, hash string, limit int) ([]Trouble, error) {
	if err := mayReadPlans(scope); err != nil {
		return nil, err
	}
	rows, err := s.db.Reader().QueryContext(ctx, `SELECT payload, state, reason, receipt, done_at FROM provision_op
		WHERE run=(SELECT run FROM provision_plan WHERE hash=$1) AND state IN ('quarantined','held','dropped') ORDER BY state DESC, seq LIMIT $2`, hash, limit)
	if err != nil {
		return nil, fmt.Errorf("troubles: %w", err)
	}
	defer rows.Close()
	var out []Trouble
	for rows.Next() {
		var t Trouble
		var payload, receipt string
		var doneAt int64
		if err := rows.Scan(&payload, &t.State, &t.Reason, &receipt, &doneAt); err != nil {
			return nil, fmt.Errorf("troubles: %w", err)
		}
		if err := decodeJSON(payload, &t.Op); err != nil {
			return nil, fmt.Errorf("troubles: %w", err)
		}
		if err := decodeJSON(receipt, &t.Receipt); err != nil {
			return nil, fmt.Errorf("troubles: %w", err)
		}
		t.At = at(doneAt)
		out = append(out, t)
	}
	return out, rows.Err()
}

// SeatCount counts the confirmed active accounts of one product, and the leavers whose work isn't done yet.
type SeatCount struct {
	Product policies.Product `json:"product"`
	Active  int              `json:"active"`
	Leavers int              `json:"leavers_pending"`
}

// Seats counts per product, over the organizations of the scope.
func (s *Store) Seats(ctx context.Context, scope policies.Scope) ([]SeatCount, error) {
	if err := mayCountSeats(scope); err != nil {
		return nil, err
	}
	where, args := scope.Where("org_id", 1)
	out := make([]SeatCount, len(policies.Products()))
	for i, p := range policies.Products() {
		out[i].Product = p
		q := append(slices.Clone(args), string(p))
		err := s.db.Reader().QueryRowContext(ctx, fmt.Sprintf(`SELECT count(*) FROM provision_account WHERE state='active' AND %s AND product=$%d`, where, len(q)), q...).Scan(&out[i].Active)
		if err != nil {
			return nil, fmt.Errorf("seats: %w", err)
		}
		err = s.db.Reader().QueryRowContext(ctx, fmt.Sprintf(`SELECT count(*) FROM provision_leaver l JOIN provision_account a ON a.product=l.product AND a.person_id=l.person_id
			WHERE l.state <> 'done' AND %s AND l.product=$%d`, where, len(q)), q...).Scan(&out[i].Leavers)
		if err != nil {
			return nil, fmt.Errorf("seats: %w", err)
		}
	}
	return out, nil
}

// mayCountSeats: who may see an organization's people may see how many of them have an account.
func mayCountSeats(scope policies.Scope) error {
	if scope.For(policies.ActionPeopleRead) || scope.For(policies.ActionPlanRead) {
		return nil
	}
	return fmt.Errorf("count seats: %w", identity.ErrRefused)
}

// SeatsByOrg counts the confirmed active accounts per organization and product, over the organizations of the scope.
func (s *Store) SeatsByOrg(ctx context.Context, scope policies.Scope) (map[policies.OrgID]map[policies.Product]int, error) {
	if err := mayCountSeats(scope); err != nil {
		return nil, err
	}
	where, args := scope.Where("org_id", 1)
	rows, err := s.db.Reader().QueryContext(ctx, `SELECT org_id, product, count(*) FROM provision_account WHERE state='active' AND `+where+` GROUP BY org_id, product`, args...)
	if err != nil {
		return nil, fmt.Errorf("seats: %w", err)
	}
	defer rows.Close()
	out := map[policies.OrgID]map[policies.Product]int{}
	for rows.Next() {
		var org policies.OrgID
		var p policies.Product
		var n int
		if err := rows.Scan(&org, &p, &n); err != nil {
			return nil, fmt.Errorf("seats: %w", err)
		}
		if out[org] == nil {
			out[org] = map[policies.Product]int{}
		}
		out[org][p] = n
	}
	return out, rows.Err()
}
