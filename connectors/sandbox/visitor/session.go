package visitor

import (
	"crypto/sha256"
	"time"
)

// The bounds of what is kept in memory, and for how long.
const (
	maxSessions  = 20_000
	sessionIdle  = 30 * time.Minute
	sessionTotal = 8 * time.Hour
)

// Digest is what is kept of a secret.
type Digest [sha256.Size]byte

// DigestOf hashes a secret that is too long to guess.
func DigestOf(secret string) Digest { return sha256.Sum256([]byte(secret)) }

// Fact is one thing that the provider has said of a person, as it said it.
type Fact struct {
	Name   string
	Values []string
}

// Session is a person who is logged in to the site.
type Session struct {
	Account  string // of the site
	Protocol string // by which they came, as people read it
	ACR      string // authentication context class, as the provider said
	Facts    []Fact // what else it said
	Began    time.Time
	Form     string // goes into each form of the session's pages, as "form"

	Subject string    // the provider's name of the person
	Index   string    // the provider's name of the session, "" for none
	Issued  time.Time // when the provider said so
	Ends    time.Time // when the provider wants the session to end; zero: whenever the site does
	Proof   string    // what the provider gave, for a logout to refer to

	seen time.Time
}

func (x *Session) over(now time.Time) bool {
	return now.Sub(x.seen) > sessionIdle || now.Sub(x.Began) > sessionTotal || !x.Ends.IsZero() && !now.Before(x.Ends)
}

// MakeRoom drops what is over and, where that isn't enough, the oldest, so that one more fits below most.
func MakeRoom[K comparable, V any](m map[K]V, most int, over func(V) bool, at func(V) time.Time) {
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

// keep puts a session in place of the one that the browser had.
func (v *Visitors) keep(cookie, old string, x *Session) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.sessions, DigestOf(old))
	MakeRoom(v.sessions, maxSessions, func(y *Session) bool { return y.over(x.Began) }, func(y *Session) time.Time { return y.seen })
	v.sessions[DigestOf(cookie)] = x
}

// find gives a cookie's session. It counts as used now.
func (v *Visitors) find(cookie string, now time.Time) (Session, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	key := DigestOf(cookie)
	x, ok := v.sessions[key]
	if !ok {
		return Session{}, false
	}
	if x.over(now) {
		delete(v.sessions, key)
		return Session{}, false
	}
	x.seen = now
	return *x, true
}

func (v *Visitors) drop(cookie string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.sessions, DigestOf(cookie))
}

// End ends all sessions that match, and says how many there were.
func (v *Visitors) End(match func(*Session) bool) (n int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for cookie, x := range v.sessions {
		if match(x) {
			delete(v.sessions, cookie)
			n++
		}
	}
	return n
}

// Clear ends all sessions.
func (v *Visitors) Clear() {
	v.mu.Lock()
	defer v.mu.Unlock()
	clear(v.sessions)
}
