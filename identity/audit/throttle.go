package audit

import "sync"

// maxKinds bounds what a throttle remembers.
const maxKinds = 10_000

// Throttle bounds how many rows of a kind are appended in a second, so that who sends rubbish fills no disk: what anybody may cause without having
// proved anything goes by one. It is safe for concurrent use; each node has its own.
type Throttle struct {
	PerSecond int // rows of one kind

	mu     sync.Mutex
	second int64
	count  map[string]int
	missed map[string]int // not appended since the last row of the kind
}

// Take reports whether one more row of the kind may be appended at a time (UTC, microseconds), and how many weren't since the last one was: the row
// says so.
func (t *Throttle) Take(kind string, at int64) (missed int, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := at / 1_000_000; s != t.second || t.count == nil {
		t.second, t.count = s, map[string]int{}
	}
	if t.missed == nil || len(t.missed) > maxKinds {
		t.missed = map[string]int{}
	}
	if t.count[kind]++; t.count[kind] > t.PerSecond {
		t.missed[kind]++
		return 0, false
	}
	missed = t.missed[kind]
	delete(t.missed, kind)
	return missed, true
}
