package samlsp

import (
	"crypto/subtle"
	"sync"
	"time"

	"github.com/musubi-hub/musubi/connectors/sandbox/visitor"
)

const (
	maxPending  = 5_000
	maxUsed     = 20_000
	pendingLife = 15 * time.Minute
)

// pending is a request under way. It belongs to the browser that began it.
type pending struct {
	logout  bool
	browser visitor.Digest
	relay   string
	target  string
	begun   time.Time
}

// store keeps requests under way and which assertions were used. All methods may be called from many goroutines.
type store struct {
	mu      sync.Mutex
	pending map[string]pending   // by the request's ID
	used    map[string]time.Time // ID of an assertion or a logout request, until
}

func newStore() *store { return &store{pending: map[string]pending{}, used: map[string]time.Time{}} }

func (s *store) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.pending)
	clear(s.used)
}

func (s *store) begin(id string, p pending) {
	s.mu.Lock()
	defer s.mu.Unlock()
	visitor.MakeRoom(s.pending, maxPending, func(x pending) bool { return p.begun.Sub(x.begun) > pendingLife }, func(x pending) time.Time { return x.begun })
	s.pending[id] = p
}

// find gives what is under way by a request's ID, for the browser that began it.
func (s *store) find(id, browser string, logout bool, now time.Time) (pending, Reason) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.pending[id]
	if !ok || p.logout != logout || now.Sub(p.begun) > pendingLife {
		return pending{}, visitor.StateUnknown
	}
	mine := visitor.DigestOf(browser)
	if browser == "" || subtle.ConstantTimeCompare(mine[:], p.browser[:]) != 1 {
		return pending{}, visitor.OtherBrowser
	}
	return p, ""
}

// finish ends what is under way, and remembers the assertion that ended it; each can be done once.
func (s *store) finish(request, assertion string, until, now time.Time) Reason {
	s.mu.Lock()
	defer s.mu.Unlock()
	if request != "" {
		if _, ok := s.pending[request]; !ok {
			return visitor.StateUnknown
		}
	}
	if no := s.use(assertion, until, now); no != "" {
		return no
	}
	delete(s.pending, request)
	return ""
}

// use remembers an ID; the caller holds the lock.
func (s *store) use(id string, until, now time.Time) Reason {
	if kept, known := s.used[id]; known && now.Before(kept) {
		return Replayed
	}
	if len(s.used) >= maxUsed {
		for other, kept := range s.used {
			if !now.Before(kept) {
				delete(s.used, other)
			}
		}
		if len(s.used) >= maxUsed {
			return visitor.TooMany // what can't be kept could come again
		}
	}
	s.used[id] = until
	return ""
}

// once remembers the ID of a message that nothing here has asked for.
func (s *store) once(id string, until, now time.Time) Reason {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.use(id, until, now)
}

// drop ends what is under way.
func (s *store) drop(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.pending, id)
}
