package console

import (
	"context"
	"net/url"
	"slices"
	"strconv"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/provision"
)

// How much of a plan stands on one page.
const (
	orgsPerPage    = 25
	objectsPerOrg  = 10 // inside an organization's fold
	objectsPerPage = 100
	namedMembers   = 20
)

// show narrows a plan to a kind of change.
type show string

const (
	showAll    show = ""
	showLost   show = "lost"
	showGained show = "gained"
	showOther  show = "other"
)

// takes reports whether an object is of that kind of change.
func (s show) takes(o provision.Object) bool {
	lost := o.Action == provision.ActionDisable || o.Action == provision.ActionRemove
	gained := o.Action == provision.ActionEnable || o.Action == provision.ActionAdd || o.Kind == provision.ObjectAccount && o.Action == provision.ActionCreate
	switch s {
	case showLost:
		return lost
	case showGained:
		return gained
	case showOther:
		return !lost && !gained
	}
	return true
}

// holds reports whether anything of that kind is done to an organization.
func (s show) holds(t tally) bool {
	switch s {
	case showLost:
		return t.Disabled+t.Leaves > 0
	case showGained:
		return t.Gained()+t.Joins > 0
	case showOther:
		return t.Updated+t.Groups > 0
	}
	return true
}

// showLink is one of the choices above the list.
type showLink struct {
	label
	Path    string
	Current bool
	Count   int
}

// changesBody is the part of a plan's page that tells its changes.
type changesBody struct {
	Shows  []showLink
	Orgs   []orgChanges
	Total  int     // organizations, or objects of the one organization
	One    *orgRef // nil: every organization
	All    string  // path without the organization
	Prev   string
	Next   string
	Start  string // never set: the pager's
	From   int
	To     int
	Nobody bool // nothing of that kind
}

type orgRef struct {
	ID   policies.OrgID
	Name string
}

// orgChanges are one organization's changes.
type orgChanges struct {
	orgRef
	orgTally
	Rows []changeRow
	More int
	Path string // of all of them
	Open bool
}

// changeRow is one object of a plan as a person reads it.
type changeRow struct {
	Product  label
	What     badge
	Person   who
	People   []string // of a membership, at most namedMembers
	Count    int      // of a membership
	Rest     int      // people who aren't named
	Fields   []fieldChange
	Policies []string
	Leaver   bool
	Lost     bool // an account ends
	Seat     label
}

// fieldChange is one attribute before and after.
type fieldChange struct {
	label
	Before, After string
}

// changesQuery is which part of a plan is asked for.
type changesQuery struct {
	show show
	org  policies.OrgID
	page int
}

func readChangesQuery(q url.Values) (changesQuery, error) {
	out := changesQuery{show: show(q.Get("show")), org: policies.OrgID(q.Get("org")), page: 1}
	if !slices.Contains([]show{showAll, showLost, showGained, showOther}, out.show) {
		return out, badRequest{label{"表示する変更の種類を読み取れません。", "There is no such kind of change."}}
	}
	if len(out.org) > 32 {
		return out, badRequest{label{"組織のコードが長すぎます。", "The organization's number is too long."}}
	}
	if text := q.Get("page"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > 1_000_000 {
			return out, badRequest{label{"ページの番号を読み取れません。", "The page number makes no sense."}}
		}
		out.page = n
	}
	return out, nil
}

func (q changesQuery) path(hash string) string {
	values := url.Values{}
	if q.show != showAll {
		values.Set("show", string(q.show))
	}
	if q.org != "" {
		values.Set("org", string(q.org))
	}
	if q.page > 1 {
		values.Set("page", strconv.Itoa(q.page))
	}
	path := "/plans/" + hash
	if len(values) > 0 {
		path += "?" + values.Encode()
	}
	return path + "#changes"
}

// changes gives the part of the plan that q asks for.
func (c *Console) changes(ctx context.Context, v viewer, hash string, d digest, q changesQuery) (changesBody, error) {
	body := changesBody{}
	for _, s := range []struct {
		show  show
		label label
		count int
	}{
		{showAll, label{"すべて", "All"}, d.All.Changes()},
		{showLost, label{"失うもの", "Lost"}, d.All.Lost() + d.All.Leaves},
		{showGained, label{"得るもの", "Gained"}, d.All.Gained() + d.All.Joins},
		{showOther, label{"その他", "Other"}, d.All.Updated + d.All.Groups},
	} {
		if q.org != "" {
			s.count = -1
		}
		to := changesQuery{show: s.show, org: q.org}
		body.Shows = append(body.Shows, showLink{s.label, to.path(hash), s.show == q.show, s.count})
	}
	plan, err := c.planObjects(ctx, v, hash)
	if err != nil {
		return body, err
	}
	if q.org != "" {
		return body, c.oneOrg(ctx, v, hash, plan, d, q, &body)
	}
	orgs := slices.Clone(d.Orgs)
	orgs = slices.DeleteFunc(orgs, func(o orgTally) bool { return !q.show.holds(o.tally) })
	body.Total, body.Nobody = len(orgs), len(orgs) == 0
	part, err := pageOf(orgs, orgsPerPage, q, hash, &body)
	if err != nil {
		return body, err
	}
	objects := map[policies.OrgID][]provision.Object{}
	count := map[policies.OrgID]int{}
	wanted := map[policies.OrgID]bool{}
	for _, o := range part {
		wanted[o.Org] = true
	}
	for _, o := range plan.Objects {
		if !wanted[o.Org] || !q.show.takes(o) {
			continue
		}
		count[o.Org]++
		if len(objects[o.Org]) < objectsPerOrg {
			objects[o.Org] = append(objects[o.Org], o)
		}
	}
	names := newNamer(c, v, plan)
	for _, o := range part {
		one := orgChanges{orgTally: o, More: count[o.Org] - len(objects[o.Org]), Path: changesQuery{show: q.show, org: o.Org}.path(hash), Open: len(part) == 1}
		if one.orgRef, err = names.org(ctx, o.Org); err != nil {
			return body, err
		}
		if one.Rows, err = names.rows(ctx, objects[o.Org]); err != nil {
			return body, err
		}
		body.Orgs = append(body.Orgs, one)
	}
	return body, nil
}

// pageOf cuts the asked page out of list, and gives the ways to its neighbours.
func pageOf[T any](list []T, size int, q changesQuery, hash string, body *changesBody) ([]T, error) {
	if len(list) == 0 {
		return nil, nil
	}
	from := (q.page - 1) * size
	if from >= len(list) {
		return nil, badRequest{label{"このページはありません。", "There is no such page."}}
	}
	to := min(from+size, len(list))
	body.From, body.To = from+1, to
	if q.page > 1 {
		prev := q
		prev.page--
		body.Prev = prev.path(hash)
	}
	if to < len(list) {
		next := q
		next.page++
		body.Next = next.path(hash)
	}
	return list[from:to], nil
}

// oneOrg gives one organization's changes, all of them by pages.
func (c *Console) oneOrg(ctx context.Context, v viewer, hash string, plan provision.Plan, d digest, q changesQuery, body *changesBody) error {
	i := slices.IndexFunc(d.Orgs, func(o orgTally) bool { return o.Org == q.org })
	if i < 0 {
		return identity.ErrNotFound
	}
	var list []provision.Object
	for _, o := range plan.Objects {
		if o.Org == q.org && q.show.takes(o) {
			list = append(list, o)
		}
	}
	body.Total, body.Nobody = len(list), len(list) == 0
	body.All = changesQuery{show: q.show}.path(hash)
	part, err := pageOf(list, objectsPerPage, q, hash, body)
	if err != nil {
		return err
	}
	names := newNamer(c, v, plan)
	one := orgChanges{orgTally: d.Orgs[i], Open: true}
	if one.orgRef, err = names.org(ctx, q.org); err != nil {
		return err
	}
	if one.Rows, err = names.rows(ctx, part); err != nil {
		return err
	}
	body.One = &one.orgRef
	body.Orgs = []orgChanges{one}
	return nil
}
