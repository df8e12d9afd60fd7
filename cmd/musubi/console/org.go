package console

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"unicode/utf8"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/directory"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/provision"
)

const (
	orgsPage    = 50
	peoplePage  = 50
	maxSearch   = 100 // characters
	maxPersonID = 100 // bytes
)

// orgsBody is the list of organizations.
type orgsBody struct {
	Query    string
	Kinds    []kindChoice
	Products []label
	Rows     []orgRow
	Next     string // address of the next page; empty on the last
	Start    string // address of the first page; empty on it
	Filtered bool
}

type kindChoice struct {
	label
	Value    policies.OrgKind
	Selected bool
}

type orgRow struct {
	identity.Organization
	Kind   label
	Parent *identity.Organization
	Known  bool // whether the viewer may see its people
	People int
	Seats  []int // in the order of policies.Products
}

// search reads what a list may be narrowed by. Nonsense is said, not guessed at.
func search(r *http.Request) (query, after string, err error) {
	query, after = r.URL.Query().Get("q"), r.URL.Query().Get("after")
	if !utf8.ValidString(query) || utf8.RuneCountInString(query) > maxSearch {
		return "", "", badRequest{label{"検索語は 100 文字までの文字で入れてください。", "Search for at most 100 characters of text."}}
	}
	return query, after, nil
}

func (c *Console) orgList(ctx context.Context, w http.ResponseWriter, r *http.Request, v viewer) error {
	query, after, err := search(r)
	if err != nil {
		return err
	}
	if after != "" && !orgNumber(after) {
		return badRequest{label{"ページの指定が正しくありません。一覧の最初から開いてください。", "That page doesn't exist. Start at the beginning of the list."}}
	}
	kind := policies.OrgKind(r.URL.Query().Get("kind"))
	if kind != "" && !slices.Contains(policies.OrgKinds(), kind) {
		return badRequest{label{"種別の指定が正しくありません。一覧の種別から選んでください。", "There is no such kind. Choose one of the list."}}
	}
	filter := directory.OrgFilter{Query: query, After: policies.OrgID(after), Limit: orgsPage + 1}
	if kind != "" {
		filter.Kinds = []policies.OrgKind{kind}
	}
	list, err := c.cfg.Directory.Organizations(ctx, v.orgs, filter)
	if err != nil {
		return err
	}
	body := orgsBody{Query: query, Filtered: query != "" || kind != ""}
	for _, k := range policies.OrgKinds() {
		body.Kinds = append(body.Kinds, kindChoice{kindLabel(k), k, k == kind})
	}
	for _, p := range policies.Products() {
		body.Products = append(body.Products, productLabel(p))
	}
	address := func(after policies.OrgID) string {
		return "/orgs" + queryOf("q", query, "kind", string(kind), "after", string(after))
	}
	if after != "" {
		body.Start = address("")
	}
	if len(list) > orgsPage {
		list = list[:orgsPage]
		body.Next = address(list[orgsPage-1].ID)
	}
	if body.Rows, err = c.orgRows(ctx, v, list); err != nil {
		return err
	}
	return c.show(w, r, v, c.pages.orgs, frame{label: label{"組織", "Organizations"}, Section: "orgs", Body: body})
}

// orgNumber reports whether s looks like an organization's number: 6, 8 or 13 digits.
func orgNumber(s string) bool {
	for _, d := range s {
		if d < '0' || d > '9' {
			return false
		}
	}
	return len(s) == 6 || len(s) == 8 || len(s) == 13
}

// queryOf writes name and value pairs as a query, without those that are empty.
func queryOf(pairs ...string) string {
	values := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			values.Set(pairs[i], pairs[i+1])
		}
	}
	if len(values) == 0 {
		return ""
	}
	return "?" + values.Encode()
}

func (c *Console) orgRows(ctx context.Context, v viewer, list []identity.Organization) ([]orgRow, error) {
	people, seats := map[policies.OrgID]int{}, map[policies.OrgID]map[policies.Product]int{}
	if !v.people.Denied() {
		var err error
		if people, err = c.cfg.Directory.PeoplePerOrg(ctx, v.people); err != nil {
			return nil, err
		}
		if seats, err = c.cfg.Provision.SeatsByOrg(ctx, v.people); err != nil {
			return nil, err
		}
	}
	names := orgNames{console: c, scope: v.orgs}
	rows := make([]orgRow, len(list))
	for i, o := range list {
		row := orgRow{Organization: o, Kind: kindLabel(o.Kind), Known: v.people.Covers(o.ID), People: people[o.ID]}
		for _, p := range policies.Products() {
			row.Seats = append(row.Seats, seats[o.ID][p])
		}
		var err error
		if row.Parent, err = names.find(ctx, o.Parent); err != nil {
			return nil, err
		}
		rows[i] = row
	}
	return rows, nil
}

// orgNames looks organizations up for one page, each once.
type orgNames struct {
	console *Console
	scope   policies.Scope
	known   map[policies.OrgID]*identity.Organization
}

// find gives the organization; nil where there is none or the viewer may not see it.
func (n *orgNames) find(ctx context.Context, id policies.OrgID) (*identity.Organization, error) {
	if id == "" {
		return nil, nil
	}
	if o, ok := n.known[id]; ok {
		return o, nil
	}
	var found *identity.Organization
	o, err := n.console.cfg.Directory.Organization(ctx, n.scope, id)
	switch {
	case err == nil:
		found = &o
	case !errors.Is(err, identity.ErrNotFound) && !errors.Is(err, identity.ErrRefused):
		return nil, err
	}
	if n.known == nil {
		n.known = map[policies.OrgID]*identity.Organization{}
	}
	n.known[id] = found
	return found, nil
}

// orgBody is one organization.
type orgBody struct {
	Org      identity.Organization
	Kind     label
	Number   label // what its number is called
	State    label
	Over     bool // it doesn't exist any more
	Contacts []contactRow
	Services []serviceRow
	Parent   *identity.Organization
	Wards    []identity.Organization
	Below    string // address of the list of a prefecture's municipalities
	Known    bool   // whether the viewer may see its people
	HasStaff bool   // wards have none
	Manage   bool   // there is a page about how each person logs in
	InCharge int    // people in service
	Seats    []tile
	Query    string
	People   []personRow
	Next     string
	Start    string
}

type personRow struct {
	identity.Person
	Role  label
	Away  bool
	Seats []seatRow
}

type seatRow struct {
	Product label
	Seat    label
	State   badge
}

func (c *Console) orgPage(ctx context.Context, w http.ResponseWriter, r *http.Request, v viewer) error {
	query, after, err := search(r)
	if err != nil {
		return err
	}
	if len(after) > maxPersonID {
		return badRequest{label{"ページの指定が正しくありません。一覧の最初から開いてください。", "That page doesn't exist. Start at the beginning of the list."}}
	}
	id := r.PathValue("id")
	if !orgNumber(id) {
		return identity.ErrNotFound
	}
	o, err := c.cfg.Directory.Organization(ctx, v.orgs, policies.OrgID(id))
	if err != nil {
		return err
	}
	body := orgBody{Org: o, Kind: kindLabel(o.Kind), Number: numberLabel(o), State: onboardingLabel(o.State), Contacts: contacts(o), Over: !o.Exists(c.cfg.Now().UnixMicro()), Known: v.people.Covers(o.ID), HasStaff: o.Kind != policies.KindWard, Query: query, Manage: c.cfg.Accounts != nil}
	names := orgNames{console: c, scope: v.orgs}
	if body.Parent, err = names.find(ctx, o.Parent); err != nil {
		return err
	}
	switch o.Kind {
	case policies.KindMunicipality:
		filter := directory.OrgFilter{Parent: o.ID, Limit: directory.MaxPage} // a city has 24 wards at most
		if body.Wards, err = c.cfg.Directory.Organizations(ctx, v.orgs, filter); err != nil {
			return err
		}
	case policies.KindPrefecture:
		body.Below = "/orgs" + queryOf("kind", string(policies.KindMunicipality), "q", string(o.ID[:2]))
	}
	if body.Services, err = c.services(ctx, v, o); err != nil {
		return err
	}
	if body.Known && body.HasStaff {
		if err := c.staff(ctx, v, &body, policies.PersonID(after)); err != nil {
			return err
		}
	}
	return c.show(w, r, v, c.pages.org, frame{
		label: label{o.Name, ""}, Section: "orgs", Body: body,
		Crumbs: []crumb{{label{"組織", "Organizations"}, "/orgs"}},
	})
}

// contactRow is one of the organization's contacts.
type contactRow struct {
	Label label
	identity.Contact
}

func contacts(o identity.Organization) []contactRow {
	var rows []contactRow
	for _, row := range []contactRow{
		{label{"連絡先 (日中)", "Contact in working hours"}, o.Duty},
		{label{"連絡先 (夜間・休日)", "Contact at night and on holidays"}, o.Night},
	} {
		if row.Contact != (identity.Contact{}) {
			rows = append(rows, row)
		}
	}
	return rows
}

// serviceRow is a contractor that serves the organization, or an organization that the contractor serves.
type serviceRow struct {
	Other identity.Organization
	From  int64
	Until int64
	Over  bool
}

// maxServices is how many the page shows; a contractor may serve a thousand towns, for whom there is the command.
const maxServices = 100

// services lists who serves the organization, or whom it serves, newest states included.
func (c *Console) services(ctx context.Context, v viewer, o identity.Organization) ([]serviceRow, error) {
	filter := directory.ServiceFilter{Org: o.ID, Limit: maxServices}
	if o.Kind == policies.KindContractor {
		filter = directory.ServiceFilter{Contractor: o.ID, Limit: maxServices}
	}
	list, err := c.cfg.Directory.Services(ctx, v.orgs, filter)
	if err != nil {
		return nil, err
	}
	names := orgNames{console: c, scope: v.orgs}
	now := c.cfg.Now().UnixMicro()
	var rows []serviceRow
	for _, service := range list {
		other := service.Contractor
		if o.Kind == policies.KindContractor {
			other = service.Org
		}
		found, err := names.find(ctx, other)
		if err != nil {
			return nil, err
		}
		if found != nil {
			rows = append(rows, serviceRow{*found, service.From, service.Until, service.Until != 0 && service.Until <= now})
		}
	}
	return rows, nil
}

// staff fills in the people of a page, with their seats.
func (c *Console) staff(ctx context.Context, v viewer, body *orgBody, after policies.PersonID) error {
	perOrg, err := c.cfg.Directory.PeoplePerOrg(ctx, v.people)
	if err != nil {
		return err
	}
	body.InCharge = perOrg[body.Org.ID]
	byOrg, err := c.cfg.Provision.SeatsByOrg(ctx, v.people)
	if err != nil {
		return err
	}
	for _, p := range policies.Products() {
		body.Seats = append(body.Seats, tile{label: productLabel(p), Count: byOrg[body.Org.ID][p], Note: seatKind(p)})
	}
	people, err := c.cfg.Directory.People(ctx, v.people, directory.PeopleFilter{
		Org: body.Org.ID, Query: body.Query, IncludeEnded: true, After: after, Limit: peoplePage + 1,
	})
	if err != nil {
		return err
	}
	address := func(after policies.PersonID) string {
		return "/orgs/" + string(body.Org.ID) + queryOf("q", body.Query, "after", string(after))
	}
	if after != "" {
		body.Start = address("")
	}
	if len(people) > peoplePage {
		people = people[:peoplePage]
		body.Next = address(people[peoplePage-1].ID)
	}
	ids := make([]policies.PersonID, len(people))
	for i, p := range people {
		ids[i] = p.ID
	}
	seats, err := c.cfg.Provision.SeatsOfPeople(ctx, v.people, ids)
	if err != nil {
		return err
	}
	for _, p := range people {
		body.People = append(body.People, personRow{Person: p, Role: roleLabel(p.Role), Away: p.Active() && p.Absent(c.cfg.Now().UnixMicro()), Seats: seatRows(seats[p.ID])})
	}
	return nil
}

func seatRows(seats []provision.PersonSeat) []seatRow {
	rows := make([]seatRow, len(seats))
	for i, s := range seats {
		rows[i] = seatRow{productLabel(s.Product), seatLabel(s.Seat), accountBadge(s)}
	}
	return rows
}
