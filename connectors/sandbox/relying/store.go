package relying

import (
	"crypto/sha256"
	"crypto/subtle"
	"sync"
	"time"
)

// The bounds of what is kept in memory, and for how long.
const (
	maxPending   = 5_000
	maxSessions  = 20_000
	maxRemember  = 20_000 // ended sessions, and ids of logout tokens
	pendingLife  = 15 * time.Minute
	sessionIdle  = 30 * time.Minute
	sessionTotal = 8 * time.Hour
)

// digest is what is kept of a secret.
type digest [sha256.Size]byte

func digestOf(secret string) digest { return sha256.Sum256([]byte(secret)) }

// pending is a login, or a logout at the provider, under way. It belongs to the browser that began it.
type pending struct {
	logout          bool
	browser         digest
	nonce, verifier string
	target          string
	begun           time.Time
}

// Session is a person who is logged in to the site.
type Session struct {
	Account string // of the site
	ACR     string // authentication context class, as the provider said
	Began   time.Time
	Form    string // goes into each form of the session's pages, as "form"

	subject, sid, idToken string
	issued                time.Time // of the ID token
	seen                  time.Time
}

// store keeps logins under way, sessions, and what has ended. All methods may be called from many goroutines.
type store struct {
	mu       sync.Mutex
	pending  map[digest]pending // by state
	sessions map[digest]*Session
	ended    map[string]remembered // by "sid " or "sub " and value
	used     map[string]time.Time  // jti of logout tokens, until
}

// remembered is an end that came before its session may have begun: a token may be on its way.
type remembered struct{ issued, until time.Time }

func newStore() *store {
	return &store{
		pending: map[digest]pending{}, sessions: map[digest]*Session{}, ended: map[string]remembered{}, used: map[string]time.Time{},
	}
}

func (s *store) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.pending)
	clear(s.sessions)
	clear(s.ended)
	clear(s.used)
}

// makeRoom drops what is over and, where that isn't enough, the oldest.
func makeRoom[K comparable, V any](m map[K]V, most int, over func(V) bool, at func(V) time.Time) {
	if len(m) < most {
		return
	}
	var oldest K
	var when time.Time
	for k, v := range m {
		if over(v) {
			delete(m, k)
		} else if t := at(v); when.IsZero() || t.Before(when) {
			oldest, when = k, t
		}
	}
	if len(m) >= most {
		delete(m, oldest)
	}
}

func (s *store) begin(state string, p pending) {
	s.mu.Lock()
	defer s.mu.Unlock()
	makeRoom(s.pending, maxPending, func(x pending) bool { return p.begun.Sub(x.begun) > pendingLife }, func(x pending) time.Time { return x.begun })
	s.pending[digestOf(state)] = p
}

// take gives the login, or the logout, that a state belongs to, once. Another browser than the one that began it takes nothing.
func (s *store) take(state, browser string, logout bool, now time.Time) (pending, Reason) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := digestOf(state)
	p, ok := s.pending[key]
	if !ok || p.logout != logout || now.Sub(p.begun) > pendingLife {
		return pending{}, StateUnknown
	}
	mine := digestOf(browser)
	if browser == "" || subtle.ConstantTimeCompare(mine[:], p.browser[:]) != 1 {
		return pending{}, OtherBrowser
	}
	delete(s.pending, key)
	return p, ""
}

// open keeps a session under a cookie, in place of the one that the browser had. It is false where the provider has ended it meanwhile.
func (s *store) open(cookie, old string, x *Session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, gone := s.ended["sid "+x.sid]; gone && x.sid != "" {
		return false
	}
	if end, gone := s.ended["sub "+x.subject]; gone && !x.issued.After(end.issued) {
		return false
	}
	delete(s.sessions, digestOf(old))
	makeRoom(s.sessions, maxSessions, func(y *Session) bool { return y.over(x.Began) }, func(y *Session) time.Time { return y.seen })
	s.sessions[digestOf(cookie)] = x
	return true
}

func (x *Session) over(now time.Time) bool {
	return now.Sub(x.seen) > sessionIdle || now.Sub(x.Began) > sessionTotal
}

// find gives a cookie's session. It counts as used now.
func (s *store) find(cookie string, now time.Time) (Session, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := digestOf(cookie)
	x, ok := s.sessions[key]
	if !ok {
		return Session{}, false
	}
	if x.over(now) {
		delete(s.sessions, key)
		return Session{}, false
	}
	x.seen = now
	return *x, true
}

func (s *store) drop(cookie string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sessions, digestOf(cookie))
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
		return 0, TooMany // an id that can't be kept could come again
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
	makeRoom(s.ended, maxRemember, func(r remembered) bool { return now.After(r.until) }, func(r remembered) time.Time { return r.until })
	s.ended[key] = remembered{e.issued, now.Add(maxTokenAge + skew)}
}

// close ends sessions: with a sid those of it, else those of the subject that began before. The caller holds the lock.
func (s *store) close(e ending) (n int) {
	for cookie, x := range s.sessions {
		same := x.sid == e.session
		if e.session == "" {
			same = !x.issued.After(e.issued)
		}
		if same && (e.subject == "" || x.subject == e.subject) {
			delete(s.sessions, cookie)
			n++
		}
	}
	return n
}
