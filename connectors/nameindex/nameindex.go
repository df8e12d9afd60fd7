package nameindex

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Index maps names to the vendor's ids. It is safe for concurrent use.
type Index struct {
	now   func() time.Time
	trust time.Duration

	scan chan struct{} // held by the one who lists

	mu       sync.Mutex
	complete time.Time // when the last trusted full list began; zero: nothing is believed absent
	voids    int       // counts Forget
	entries  map[string][]entry
}

type entry struct {
	id   string
	seen time.Time
}

// New makes an empty index. What a list contained, or didn't, is believed for trust after the list began.
func New(now func() time.Time, trust time.Duration) *Index {
	return &Index{now: now, trust: trust, scan: make(chan struct{}, 1), entries: map[string][]entry{}}
}

// Lookup gives the ids that have name, sorted. Where memory can't be trusted it calls list, which calls found for every
// resource. One caller lists; others wait for it.
func (x *Index) Lookup(ctx context.Context, name string, list func(found func(name, id string)) error) ([]string, error) {
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
	if err := list(func(name, id string) { fresh[name] = append(fresh[name], entry{id: id, seen: began}) }); err != nil {
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

// Hint gives the ids last seen with name, however long ago, without listing. The caller reads the resource before it believes them.
func (x *Index) Hint(name string) []string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return idsOf(x.entries[name])
}

// known answers from memory; ok is false where memory can't be trusted.
func (x *Index) known(name string) (ids []string, ok bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	oldest := x.now().Add(-x.trust)
	if entries := x.entries[name]; len(entries) > 0 {
		return idsOf(entries), !slices.ContainsFunc(entries, func(e entry) bool { return e.seen.Before(oldest) })
	}
	return nil, !x.complete.IsZero() && !x.complete.Before(oldest)
}

// Add remembers a resource that was just made or read.
func (x *Index) Add(name, id string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.entries[name] = append(slices.DeleteFunc(x.entries[name], func(e entry) bool { return e.id == id }), entry{id: id, seen: x.now()})
}

// Drop forgets that id has name: it was read and is gone, or has another name.
func (x *Index) Drop(name, id string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.entries[name] = slices.DeleteFunc(x.entries[name], func(e entry) bool { return e.id == id })
	if len(x.entries[name]) == 0 {
		delete(x.entries, name)
	}
}

// Forget ends the belief that anything is absent: a resource may have been made without our knowing.
func (x *Index) Forget() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.voids++
	x.complete = time.Time{}
}

func idsOf(entries []entry) []string {
	ids := make([]string, len(entries))
	for i, e := range entries {
		ids[i] = e.id
	}
	slices.Sort(ids)
	return ids
}
