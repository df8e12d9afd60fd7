package relying

import (
	"crypto/subtle"
	"net/http"
	"sync"
	"time"

	"github.com/musubi-hub/musubi/connectors/sandbox/visitor"
)

// The bounds of what is kept in memory, and for how long.
const (
	maxPending  = 5_000
	maxRemember = 20_000 // ended sessions, and ids of logout tokens
	pendingLife = 15 * time.Minute
)

// pending is a login, or a logout at the provider, under way. It belongs to the browser that began it.
type pending struct {
	logout          bool
	browser         visitor.Digest
	nonce, verifier string
	target          string
	begun           time.Time
}

// store keeps logins under way and what has ended. Its lock is held while sessions begin and end, so that none begins that has ended. All
// methods may be called from many goroutines.
type store struct {
	visitors *visitor.Visitors
	mu       sync.Mutex
	pending  map[visitor.Digest]pending // by state
	ended    map[string]remembered      // by "sid " or "sub " and value
	used     map[string]time.Time       // jti of logout tokens, until
}

// remembered is an end that came before its session may have begun: a token may be on its way.
type remembered struct{ issued, until time.Time }

func newStore(visitors *visitor.Visitors) *store {
	return &store{visitors: visitors, pending: map[visitor.Digest]pending{}, ended: map[string]remembered{}, used: map[string]time.Time{}}
}

func (s *store) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.pending)
	s.visitors.Clear()
	clear(s.ended)
	clear(s.used)
}

func (s *store) begin(state string, p pending) {
	s.mu.Lock()
	defer s.mu.Unlock()
	visitor.MakeRoom(s.pending, maxPending, func(x pending) bool { return p.begun.Sub(x.begun) > pendingLife }, func(x pending) time.Time { return x.begun })
	s.pending[visitor.DigestOf(state)] = p
}

// take gives the login, or the logout, that a state belongs to, once. Another browser than the one that began it takes nothing.
func (s *store) take(state, browser string, logout bool, now time.Time) (pending, Reason) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := visitor.DigestOf(state)
	p, ok := s.pending[key]
	if !ok || p.logout != logout || now.Sub(p.begun) > pendingLife {
		return pending{}, visitor.StateUnknown
	}
	mine := visitor.DigestOf(browser)
	if browser == "" || subtle.ConstantTimeCompare(mine[:], p.browser[:]) != 1 {
		return pending{}, visitor.OtherBrowser
	}
	delete(s.pending, key)
	return p, ""
}

// open begins a session unless the provider has ended it meanwhile.
func (s *store) open(w http.ResponseWriter, r *http.Request, x *visitor.Session) *Refusal {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, gone := s.ended["sid "+x.Index]; gone && x.Index != "" {
		return visitor.Refuse(visitor.SessionEnded)
	}
	if end, gone := s.ended["sub "+x.Subject]; gone && !x.Issued.After(end.issued) {
		return visitor.Refuse(visitor.SessionEnded)
	}
	if err := s.visitors.Open(w, r, x); err != nil {
		return visitor.Broken()
	}
	return nil
}

// end ends the sessions that a logout token is about, once per token; n is how many there were.
func (s *store) end(e ending, now time.Time) (n int, no Reason) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if until, known := s.used[e.id]; known && now.Before(until) {
		return 0, LogoutReplayed
	}
	for id, until := range s.used {
		if !now.Before(until) {
			delete(s.used, id)
		}
	}
	if len(s.used) >= maxRemember {
		return 0, visitor.TooMany // an id that can't be kept could come again
	}
	s.used[e.id] = e.ends.Add(skew)
	s.remember(e, now)
	return s.close(e), ""
}

// endSession ends the sessions of a sid, for a front-channel logout. It remembers nothing: anybody can ask for it.
func (s *store) endSession(sid string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.close(ending{session: sid})
}

// remember keeps the end of sessions that may not have begun yet. The caller holds the lock.
func (s *store) remember(e ending, now time.Time) {
	key := "sid " + e.session
	if e.session == "" {
		key = "sub " + e.subject
	}
	visitor.MakeRoom(s.ended, maxRemember, func(r remembered) bool { return now.After(r.until) }, func(r remembered) time.Time { return r.until })
	s.ended[key] = remembered{e.issued, now.Add(maxTokenAge + skew)}
}

// close ends sessions: with a sid those of it, else those of the subject that began before. The caller holds the lock.
func (s *store) close(e ending) int {
	return s.visitors.End(func(x *visitor.Session) bool {
		same := x.Index == e.session
		if e.session == "" {
			same = !x.Issued.After(e.issued)
		}
		return same && (e.subject == "" || x.Subject == e.subject)
	})
}
