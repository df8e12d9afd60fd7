package search

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/directory"
	"github.com/musubi-hub/musubi/policies"
)

// Source is what the index reads: a *directory.Store.
type Source interface {
	EachPerson(ctx context.Context, scope policies.Scope, fn func(identity.Person) error) error
	Organizations(ctx context.Context, scope policies.Scope, filter directory.OrgFilter) ([]identity.Organization, error)
	Changes(ctx context.Context, scope policies.Scope, after int64, limit int) ([]directory.Change, error)
	LastChange(ctx context.Context, scope policies.Scope) (int64, error)
}

// Index is the people in service, ready to be searched. Its methods may be called at the same time.
type Index struct {
	source Source
	scope  policies.Scope
	now    func() time.Time
	state  atomic.Pointer[state]

	// What only the follower touches.
	following sync.Mutex
	overlay   map[policies.PersonID]Contact // changed since the base was made; without a name: not in service
	rebuilds  int
}

// state is what searches read, never changed once it stands.
type state struct {
	base, delta *index
	dead        bitmap // of the base, whom the overlay replaces
	orgs        *orgs
	number      int64 // of the last change in it
}

// minOverlay is how many people may have changed before everything is put in order anew; of many people it is a twentieth.
const minOverlay = 2000

// Open reads everybody in service inside the scope, which should be a system scope: a search sees the part of it that its own scope
// covers. now is the clock that absence is told by.
func Open(ctx context.Context, source Source, scope policies.Scope, now func() time.Time) (*Index, error) {
	x := &Index{source: source, scope: scope, now: now, overlay: map[policies.PersonID]Contact{}}
	number, err := source.LastChange(ctx, scope) // before reading: what changes meanwhile is read again from the feed
	if err != nil {
		return nil, fmt.Errorf("search: %w", err)
	}
	o := &orgs{number: map[policies.OrgID]uint32{}}
	if err := x.readOrgs(ctx, o); err != nil {
		return nil, err
	}
	b := newBuilder(newFolder())
	err = source.EachPerson(ctx, scope, func(p identity.Person) error {
		if p.Active() {
			b.add(contactOf(&p))
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("search: %w", err)
	}
	s := &state{base: b.finish(o.of), delta: newBuilder(newFolder()).finish(o.of), orgs: o, number: number}
	x.state.Store(s)
	if _, err := x.CatchUp(ctx); err != nil {
		return nil, err
	}
	return x, nil
}

func (x *Index) readOrgs(ctx context.Context, o *orgs) error {
	after := policies.OrgID("")
	for {
		page, err := x.source.Organizations(ctx, x.scope, directory.OrgFilter{After: after, Limit: directory.MaxPage})
		if err != nil {
			return fmt.Errorf("search: %w", err)
		}
		for i := range page {
			o.set(&page[i])
			after = page[i].ID
		}
		if len(page) < directory.MaxPage {
			return nil
		}
	}
}

// Number is the feed number that searches are as of.
func (x *Index) Number() int64 { return x.state.Load().number }

// Len is the number of people that can be found.
func (x *Index) Len() int {
	s := x.state.Load()
	n := s.base.len() + s.delta.len()
	for i := range s.base.len() {
		if s.dead.has(i) {
			n--
		}
	}
	return n
}

// Follow keeps up with the feed until the context ends, looking every poll. An error goes to failed, if that isn't nil, and the next look
// tries again: searches meanwhile find what was known.
func (x *Index) Follow(ctx context.Context, poll time.Duration, failed func(error)) error {
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		if _, err := x.CatchUp(ctx); err != nil && ctx.Err() == nil && failed != nil {
			failed(err)
		}
	}
}

// CatchUp reads the feed to its end and reports how many changes there were. What was read before an error is read again next time.
func (x *Index) CatchUp(ctx context.Context) (changes int, err error) {
	x.following.Lock()
	defer x.following.Unlock()
	old := x.state.Load()
	number, orgsChanged := old.number, false
	people := map[policies.PersonID]Contact{}
	for {
		page, err := x.source.Changes(ctx, x.scope, number, directory.MaxPage)
		if err != nil {
			return 0, fmt.Errorf("search: %w", err)
		}
		for i := range page {
			c := &page[i]
			number = c.Number
			switch subject, _, _ := strings.Cut(string(c.Kind), "."); subject {
			case "org":
				orgsChanged = true
			case "person":
				contact, err := after(c)
				if err != nil {
					return 0, err
				}
				people[policies.PersonID(c.Object)] = contact
			}
		}
		changes += len(page)
		if len(page) < directory.MaxPage {
			break
		}
	}
	if number == old.number {
		return 0, nil
	}
	o := old.orgs
	if orgsChanged || len(people) > 0 {
		o = o.clone()
	}
	if orgsChanged {
		if err := x.readOrgs(ctx, o); err != nil {
			return 0, err
		}
	}
	for id, c := range people {
		x.overlay[id] = c
	}
	s := &state{base: old.base, delta: old.delta, dead: old.dead, orgs: o, number: number}
	switch {
	case len(x.overlay) > max(minOverlay, old.base.len()/20):
		x.rebuild(s)
	case len(people) > 0:
		x.layOver(s)
	}
	x.state.Store(s)
	return changes, nil
}

// after is the person after a change; without a name if nobody may find them: the service has ended, or what was written is erased.
func after(c *directory.Change) (Contact, error) {
	id := policies.PersonID(c.Object)
	if len(c.After) == 0 {
		return Contact{ID: id}, nil
	}
	p, err := directory.PersonOf(id, c.After)
	if err != nil {
		return Contact{}, fmt.Errorf("search: change %d: %w", c.Number, err)
	}
	if !p.Active() {
		return Contact{ID: id}, nil
	}
	return contactOf(&p), nil
}

func (c *Contact) gone() bool { return c.Org == "" }

// layOver makes the part of a state that has changed since the base was made.
func (x *Index) layOver(s *state) {
	b := newBuilder(newFolder())
	s.dead = make(bitmap, (s.base.len()+63)/64)
	for id, c := range x.overlay {
		if person, found := s.base.find(id); found {
			s.dead.set(person)
		}
		if !c.gone() {
			b.add(c)
		}
	}
	s.delta = b.finish(s.orgs.of)
}

// rebuild puts everybody in order anew.
func (x *Index) rebuild(s *state) {
	b := newBuilder(newFolder())
	for person := range s.base.len() {
		if c := s.base.contact(person); !x.changed(c.ID) {
			b.add(c)
		}
	}
	for _, c := range x.overlay {
		if !c.gone() {
			b.add(c)
		}
	}
	s.base, s.delta, s.dead = b.finish(s.orgs.of), newBuilder(newFolder()).finish(s.orgs.of), nil
	x.overlay = map[policies.PersonID]Contact{}
	x.rebuilds++
}

func (x *Index) changed(id policies.PersonID) bool {
	_, ok := x.overlay[id]
	return ok
}
