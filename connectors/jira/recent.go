package jira

import (
	"sync"
	"time"
)

// maxRevoked bounds how many revocations are kept in mind: those of a few seconds at the vendor's rate.
const maxRevoked = 10_000

// revocations keeps in mind whose access this process has just taken away, because for a moment the vendor's reads still show it.
// Another node doesn't know of them; the jobs of one person follow each other, and a job of another node begins later than that.
type revocations struct {
	mu sync.Mutex
	at map[string]time.Time
}

// add remembers that id was revoked at now.
func (r *revocations) add(id string, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.at == nil || len(r.at) >= maxRevoked {
		r.at = map[string]time.Time{}
	}
	r.at[id] = now
}

// lately says whether id was revoked within span, and forgets it.
func (r *revocations) lately(id string, now time.Time, span time.Duration) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	at, ok := r.at[id]
	delete(r.at, id)
	return ok && now.Sub(at) <= span
}
