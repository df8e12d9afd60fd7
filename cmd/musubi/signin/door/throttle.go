package door

import "sync"

// rowsPerSecond is how many rows of one kind are recorded in a second, so that who sends rubbish fills no disk. Kinds are our own words.
const rowsPerSecond = 10

// throttle counts rows. The zero value works.
type throttle struct {
	mu     sync.Mutex
	second int64
	count  map[string]int
	missed map[string]int // not recorded since the last row of the kind
}

// take reports whether one more may be recorded, and how many of its kind weren't since the last one was. at is UTC in microseconds.
func (t *throttle) take(kind string, at int64) (missed int, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := at / 1_000_000; s != t.second || t.count == nil {
		t.second, t.count = s, map[string]int{}
	}
	if t.missed == nil {
		t.missed = map[string]int{}
	}
	if t.count[kind]++; t.count[kind] > rowsPerSecond {
		t.missed[kind]++
		return 0, false
	}
	missed = t.missed[kind]
	delete(t.missed, kind)
	return missed, true
}
