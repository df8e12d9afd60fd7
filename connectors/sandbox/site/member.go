package site

import (
	"slices"
	"time"
)

// StaleWindow bounds how far back a read can look: older changes of membership are forgotten.
const StaleWindow = time.Minute

// Members is an ordered set of ids that remembers its changes of the last StaleWindow.
type Members struct {
	order []string
	has   map[string]struct{}
	log   []memberChange
}

type memberChange struct {
	at    time.Time
	id    string
	added bool
}

// Len counts the members.
func (m *Members) Len() int { return len(m.order) }

// Has says whether id is in.
func (m *Members) Has(id string) bool { _, ok := m.has[id]; return ok }

// Add puts the ids that are not in at the end and gives those.
func (m *Members) Add(at time.Time, ids ...string) []string {
	if m.has == nil {
		m.has = map[string]struct{}{}
	}
	m.forget(at)
	var added []string
	for _, id := range ids {
		if m.Has(id) {
			continue
		}
		m.has[id] = struct{}{}
		m.order = append(m.order, id)
		m.log = append(m.log, memberChange{at, id, true})
		added = append(added, id)
	}
	return added
}

// Remove takes the ids out and gives those that were in.
func (m *Members) Remove(at time.Time, ids ...string) []string {
	m.forget(at)
	var removed []string
	for _, id := range ids {
		if !m.Has(id) {
			continue
		}
		delete(m.has, id)
		m.log = append(m.log, memberChange{at, id, false})
		removed = append(removed, id)
	}
	if len(removed) > 0 {
		m.order = slices.DeleteFunc(m.order, func(id string) bool { return !m.Has(id) })
	}
	return removed
}

// IDs gives the members in the order in which they came; with asOf, as they were then.
func (m *Members) IDs(asOf time.Time) []string {
	ids := append([]string{}, m.order...) // never nil: it becomes a JSON list
	if asOf.IsZero() {
		return ids
	}
	for _, c := range slices.Backward(m.log) {
		if !c.at.After(asOf) {
			break
		}
		if c.added {
			ids = slices.DeleteFunc(ids, func(id string) bool { return id == c.id })
		} else {
			ids = append(ids, c.id)
		}
	}
	return ids
}

// forget drops changes that no read can ask for any more.
func (m *Members) forget(now time.Time) {
	cut := now.Add(-StaleWindow)
	i := 0
	for i < len(m.log) && m.log[i].at.Before(cut) {
		i++
	}
	if i > 0 {
		m.log = slices.Clone(m.log[i:])
	}
}

// Versions is an object's current version and the earlier ones of the last StaleWindow. A nil version means that it did not exist.
type Versions[T any] struct {
	list []version[T]
}

type version[T any] struct {
	at    time.Time
	value *T
}

// Set makes value the current version.
func (v *Versions[T]) Set(at time.Time, value *T) {
	cut := at.Add(-StaleWindow)
	i := 0
	for i+1 < len(v.list) && !v.list[i+1].at.After(cut) {
		i++
	}
	if i > 0 {
		v.list = slices.Clone(v.list[i:])
	}
	v.list = append(v.list, version[T]{at, value})
}

// Current gives the current version.
func (v *Versions[T]) Current() *T {
	if v == nil || len(v.list) == 0 {
		return nil
	}
	return v.list[len(v.list)-1].value
}

// At gives the version of asOf, the current one if asOf is zero.
func (v *Versions[T]) At(asOf time.Time) *T {
	if v == nil || asOf.IsZero() {
		return v.Current()
	}
	for _, x := range slices.Backward(v.list) {
		if !x.at.After(asOf) {
			return x.value
		}
	}
	return nil
}
