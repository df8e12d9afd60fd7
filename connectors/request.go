package connectors

import (
	"context"
	"sync"
)

// Requests remembers how the vendor names the requests that are made under a context, for the receipts of what they did. The vendor's
// support asks for these names. It is safe for concurrent use.
type Requests struct {
	mu   sync.Mutex
	last string
}

// Last is the vendor's name of the request that was answered last; empty where it gave none.
func (r *Requests) Last() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last
}

type requestsKey struct{}

// WithRequests gives a context under which the vendor's names of requests are remembered.
func WithRequests(ctx context.Context) (context.Context, *Requests) {
	r := &Requests{}
	return context.WithValue(ctx, requestsKey{}, r), r
}

// maxRequestID bounds a name; vendors' are some 20 to 40 characters long.
const maxRequestID = 100

// NoteRequest remembers the vendor's name of an answered request, where ctx was made by WithRequests. What isn't a plain word is left out:
// it goes into the audit log.
func NoteRequest(ctx context.Context, id string) {
	r, ok := ctx.Value(requestsKey{}).(*Requests)
	if !ok || id == "" || len(id) > maxRequestID {
		return
	}
	for _, c := range []byte(id) {
		if c <= ' ' || c > '~' || c == '@' || c == '"' || c == '\\' {
			return
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = id
}
