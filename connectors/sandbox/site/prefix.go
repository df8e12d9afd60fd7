package site

import (
	"slices"
	"strings"
	"sync"
)

// PrefixIndex finds ids by the beginning of a key. Entries are never removed: the searcher checks each hit against the object as
// it is now. Adding is cheap; a look-up is a binary search and a scan of at most maxTail entries that are not yet merged.
type PrefixIndex struct {
	mu     sync.Mutex
	sorted []prefixEntry
	tail   []prefixEntry
}

type prefixEntry struct{ key, id string }

const maxTail = 512

// Add indexes id under key, in lower case.
func (x *PrefixIndex) Add(key, id string) {
	if key == "" {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.tail = append(x.tail, prefixEntry{strings.ToLower(key), id})
	if len(x.tail) >= maxTail {
		slices.SortFunc(x.tail, comparePrefix)
		x.sorted = mergePrefix(x.sorted, x.tail)
		x.tail = nil
	}
}

// AddWords indexes id under text and under each word of it.
func (x *PrefixIndex) AddWords(text, id string) {
	x.Add(text, id)
	words := strings.Fields(text)
	for i, w := range words {
		if i > 0 {
			x.Add(w, id)
		}
	}
}

// Search gives at most limit distinct ids whose key begins with prefix and that keep accepts, in the order of their keys.
func (x *PrefixIndex) Search(prefix string, limit int, keep func(id string) bool) []string {
	prefix = strings.ToLower(prefix)
	x.mu.Lock()
	start, _ := slices.BinarySearchFunc(x.sorted, prefix, func(e prefixEntry, p string) int { return strings.Compare(e.key, p) })
	end := start
	for end < len(x.sorted) && strings.HasPrefix(x.sorted[end].key, prefix) {
		end++
	}
	sorted := x.sorted[start:end] // never written in place: a merge makes a new slice
	var tail []prefixEntry
	for _, e := range x.tail {
		if strings.HasPrefix(e.key, prefix) {
			tail = append(tail, e)
		}
	}
	x.mu.Unlock()
	slices.SortFunc(tail, comparePrefix)

	var ids []string
	seen := map[string]bool{}
	take := func(e prefixEntry) bool {
		if !seen[e.id] {
			seen[e.id] = true
			if keep(e.id) {
				ids = append(ids, e.id)
			}
		}
		return len(ids) < limit
	}
	for len(sorted) > 0 || len(tail) > 0 {
		var e prefixEntry
		if len(tail) == 0 || (len(sorted) > 0 && comparePrefix(sorted[0], tail[0]) <= 0) {
			e, sorted = sorted[0], sorted[1:]
		} else {
			e, tail = tail[0], tail[1:]
		}
		if !take(e) {
			break
		}
	}
	return ids
}

// Reset forgets everything.
func (x *PrefixIndex) Reset() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.sorted, x.tail = nil, nil
}

// HasWordPrefix says whether text or one of its words begins with prefix, without regard to case.
func HasWordPrefix(text, prefix string) bool {
	text, prefix = strings.ToLower(text), strings.ToLower(prefix)
	if strings.HasPrefix(text, prefix) {
		return true
	}
	return slices.ContainsFunc(strings.Fields(text), func(w string) bool { return strings.HasPrefix(w, prefix) })
}

func comparePrefix(a, b prefixEntry) int {
	if c := strings.Compare(a.key, b.key); c != 0 {
		return c
	}
	return strings.Compare(a.id, b.id)
}

func mergePrefix(a, b []prefixEntry) []prefixEntry {
	out := make([]prefixEntry, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		if comparePrefix(a[0], b[0]) <= 0 {
			out, a = append(out, a[0]), a[1:]
		} else {
			out, b = append(out, b[0]), b[1:]
		}
	}
	return append(append(out, a...), b...)
}
