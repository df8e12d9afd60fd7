package jira

import (
	"context"
	"slices"
	"sync"
	"time"
)

// orgIndex remembers organizations by name, because JSM can't be asked by name. What a full list didn't contain is believed
// absent for trust; what was seen is believed present for the same time. It is a cache of one process: other nodes' writes
// are missed for at most trust, which the connector declares as its staleness.
type orgIndex struct {
	now   func() time.Time
	trust time.Duration

	scan chan struct{} // held by the one that pages through the list

	mu       sync.Mutex
	complete time.Time // when the last trusted full list began; zero: nothing is believed absent
	voids    int       // counts forget
	entries  map[string][]entry
	claims   map[string]chan struct{}
}

type entry struct {
	id   string
	seen time.Time
}

func newOrgIndex(now func() time.Time, trust time.Duration) *orgIndex {
	return &orgIndex{
		now: now, trust: trust, scan: make(chan struct{}, 1),
		entries: map[string][]entry{}, claims: map[string]chan struct{}{},
	}
}

// lookup gives the ids of the organizations called name. Where the index can't be trusted, list is called to give all.
func (x *orgIndex) lookup(ctx context.Context, name string, list func(found func(organization)) error) ([]string, error) {
	if ids, ok := x.known(name); ok {
		return ids, nil
	}
	select {
	case x.scan <- struct{}{}:
		defer func() { <-x.scan }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if ids, ok := x.known(name); ok { // another caller listed meanwhile
		return ids, nil
	}
	x.mu.Lock()
	began, voids := x.now(), x.voids
	x.mu.Unlock()
	fresh := map[string][]entry{}
	err := list(func(o organization) {
		fresh[o.Name] = append(fresh[o.Name], entry{id: o.ID, seen: began})
	})
	if err != nil {
		return nil, err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	for n, entries := range x.entries { // what was made while the list was read may be missing from it
		for _, e := range entries {
			if !e.seen.Before(began) && !slices.ContainsFunc(fresh[n], func(f entry) bool { return f.id == e.id }) {
				fresh[n] = append(fresh[n], e)
			}
		}
	}
	x.entries = fresh
	if x.voids == voids {
		x.complete = began
	}
	return idsOf(fresh[name]), nil
}

// known answers from memory; ok is false where memory can't be trusted.
func (x *orgIndex) known(name string) (ids []string, ok bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	oldest := x.now().Add(-x.trust)
	if entries := x.entries[name]; len(entries) > 0 {
		return idsOf(entries), !slices.ContainsFunc(entries, func(e entry) bool { return e.seen.Before(oldest) })
	}
	return nil, !x.complete.IsZero() && !x.complete.Before(oldest)
}

// add remembers an organization that was just made.
func (x *orgIndex) add(o organization) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !slices.ContainsFunc(x.entries[o.Name], func(e entry) bool { return e.id == o.ID }) {
		x.entries[o.Name] = append(x.entries[o.Name], entry{id: o.ID, seen: x.now()})
	}
}

// forget ends the belief that anything is absent: an organization may have been made without our knowing.
func (x *orgIndex) forget() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.voids++
	x.complete = time.Time{}
}

// claim lets one caller at a time work on name.
func (x *orgIndex) claim(ctx context.Context, name string) (release func(), err error) {
	for {
		x.mu.Lock()
		held, busy := x.claims[name]
		if !busy {
			done := make(chan struct{})
			x.claims[name] = done
			x.mu.Unlock()
			return func() {
				x.mu.Lock()
				delete(x.claims, name)
				x.mu.Unlock()
				close(done)
			}, nil
		}
		x.mu.Unlock()
		select {
		case <-held:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func idsOf(entries []entry) []string {
	ids := make([]string, len(entries))
	for i, e := range entries {
		ids[i] = e.id
	}
	slices.Sort(ids)
	return ids
}
