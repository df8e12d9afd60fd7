package keylock

import (
	"context"
	"sync"

	"github.com/musubi-hub/musubi/connectors"
)

// Locks holds names. The zero value is ready; it must not be copied.
type Locks struct {
	mu   sync.Mutex
	held map[string]*slot
}

type slot struct {
	free  chan struct{} // capacity 1: full while held
	users int           // holder and waiters
}

var _ connectors.Locker = (*Locks)(nil)

// Lock waits until name is free and takes it. The error is that of ctx. release may be called more than once.
func (l *Locks) Lock(ctx context.Context, name string) (release func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	l.mu.Lock()
	s := l.held[name]
	if s == nil {
		s = &slot{free: make(chan struct{}, 1)}
		if l.held == nil {
			l.held = map[string]*slot{}
		}
		l.held[name] = s
	}
	s.users++
	l.mu.Unlock()
	select {
	case s.free <- struct{}{}:
		var once sync.Once
		return func() { once.Do(func() { <-s.free; l.leave(name, s) }) }, nil
	case <-ctx.Done():
		l.leave(name, s)
		return nil, ctx.Err()
	}
}

func (l *Locks) leave(name string, s *slot) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.users--; s.users == 0 {
		delete(l.held, name)
	}
}
