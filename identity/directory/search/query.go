package search

import (
	"errors"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/policies"
)

// Limits of a search.
const (
	DefaultPage = 50
	MaxPage     = 200
	maxQuery    = 100 // characters
	maxWords    = 8
)

// ErrCursor says that a page can't be continued: the last person of it isn't there any more, or never was. Search again.
var ErrCursor = errors.New("the search can't go on from here: search again")

// action is what a scope must have been minted for.
const action = policies.ActionContactRead

// Query is what is looked for: words, each of which must be the beginning of a word of the person's name, section, title, duties or
// organization, or of their telephone number or e-mail address.
type Query struct {
	Text  string
	After string // Page.Next of the page before
	Limit int    // 0: DefaultPage; at most MaxPage
}

// Page is a part of what was found: matches of names, numbers and addresses first, then of sections, titles and duties, then of
// organizations; among equals by kana.
type Page struct {
	Contacts []Contact
	Total    int    // of all pages
	Next     string // empty on the last page
}

// Search finds people inside the scope (contact.read). A text without words finds nobody. It takes no lock and reads no database.
func (x *Index) Search(scope policies.Scope, q Query) (Page, error) {
	if !scope.For(action) || scope.Denied() {
		return Page{}, fmt.Errorf("search: a scope for %q: %w", string(scope.Action()), identity.ErrRefused)
	}
	s := x.state.Load()
	limit := q.Limit
	if limit <= 0 {
		limit = DefaultPage
	}
	limit = min(limit, MaxPage)
	list := parse(q.Text)
	if len(list) == 0 {
		return Page{}, nil
	}
	after, err := s.cursor(scope, q.After)
	if err != nil {
		return Page{}, err
	}
	f := s.filter(scope, list)
	base := f.gather(s.base, s.dead, list, after, limit+1)
	delta := f.gather(s.delta, nil, list, after, limit+1)
	page := Page{Total: base.total + delta.total}
	now := x.now().UnixMicro()
	folder, lastRank := newFolder(), 0
	for rank := range base.ranks {
		found := slices.Concat(base.ranks[rank], delta.ranks[rank])
		if len(delta.ranks[rank]) > 0 && len(base.ranks[rank]) > 0 {
			sort.SliceStable(found, func(i, j int) bool { return found[i].order(folder) < found[j].order(folder) })
		}
		for _, c := range found {
			if len(page.Contacts) == limit {
				last := page.Contacts[limit-1]
				page.Next = strconv.Itoa(lastRank) + "." + string(last.ID)
				return page, nil
			}
			c.OrgName = s.orgs.list[s.orgs.number[c.Org]].name
			c.Absent = identity.Person{AbsentFrom: c.AbsentFrom, AbsentUntil: c.AbsentUntil}.Absent(now)
			lastRank = rank
			page.Contacts = append(page.Contacts, c)
		}
	}
	return page, nil
}

// place is where a page begins: after a person of a rank.
type place struct {
	rank int // -1: at the beginning
	key  string
}

func (s *state) cursor(scope policies.Scope, text string) (*place, error) {
	p := &place{rank: -1}
	if text == "" {
		return p, nil
	}
	rank, id, _ := strings.Cut(text, ".")
	n, err := strconv.Atoi(rank)
	if err != nil || n < 0 || n > maxWords*rankOrg {
		return nil, ErrCursor
	}
	for _, x := range []*index{s.delta, s.base} {
		if person, found := x.find(policies.PersonID(id)); found {
			c := x.contact(person)
			if !scope.Covers(c.Org) {
				return nil, ErrCursor
			}
			p.rank, p.key = n, c.order(newFolder())
			return p, nil
		}
	}
	return nil, ErrCursor
}

// filter is what a search says of the organizations.
type filter struct {
	covered []bool
	matched [][]bool // for each word; nil where no organization matches
}

func (s *state) filter(scope policies.Scope, list []word) filter {
	f := filter{covered: make([]bool, len(s.orgs.list)), matched: make([][]bool, len(list))}
	for i := range s.orgs.list {
		f.covered[i] = scope.Covers(s.orgs.list[i].id)
	}
	for w := range list {
		for i := range s.orgs.list {
			if f.covered[i] && s.orgs.list[i].matches(&list[w]) {
				if f.matched[w] == nil {
					f.matched[w] = make([]bool, len(s.orgs.list))
				}
				f.matched[w][i] = true
			}
		}
	}
	return f
}

// gathered are the first people of each rank after a place.
type gathered struct {
	ranks [][]Contact
	total int
}

// gather looks for the people who match every word.
func (f *filter) gather(x *index, dead bitmap, list []word, after *place, limit int) gathered {
	n := x.len()
	matched, rank := make([]uint8, n), make([]uint8, n) // words that matched; the sum of their ranks
	g := gathered{ranks: make([][]Contact, len(list)*rankOrg+1)}
	for w := range list {
		now, some := uint8(w+1), false
		take := func(person uint32, r int) {
			if matched[person] == now-1 {
				matched[person] = now
				rank[person] += uint8(r)
				some = true
			}
		}
		for r := rankName; r < rankOrg; r++ {
			for _, l := range list[w].people {
				if l.rank == r {
					for _, person := range x.matching(l.in, l.prefix) {
						take(person, r)
					}
				}
			}
		}
		if orgs := f.matched[w]; orgs != nil {
			for person := range x.orgs {
				if orgs[x.orgs[person]] {
					take(uint32(person), rankOrg)
				}
			}
		}
		if !some {
			return g
		}
	}
	first := 0 // the first person after the place, within its rank
	if after.rank >= 0 {
		folder := newFolder()
		first = sort.Search(n, func(i int) bool { c := x.contact(i); return c.order(folder) > after.key })
	}
	all := uint8(len(list))
	for person := range n {
		if matched[person] != all || !f.covered[x.orgs[person]] || dead.has(person) {
			continue
		}
		g.total++
		r := int(rank[person])
		if len(g.ranks[r]) < limit && (r > after.rank || r == after.rank && person >= first) {
			g.ranks[r] = append(g.ranks[r], x.contact(person))
		}
	}
	return g
}

// bitmap is a set of numbers.
type bitmap []uint64

func (b bitmap) has(i int) bool { return i>>6 < len(b) && b[i>>6]&(1<<(i&63)) != 0 }
func (b bitmap) set(i int)      { b[i>>6] |= 1 << (i & 63) }
