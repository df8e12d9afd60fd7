package gate

import (
	"context"
	"net"
	"sync"
)

// queue is the listener of one of several servers behind a socket.
type queue struct {
	of    net.Listener
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newQueue(of net.Listener) *queue {
	return &queue{of: of, conns: make(chan net.Conn), done: make(chan struct{})}
}

// put hands a connection over, or closes it where nobody accepts any more.
func (q *queue) put(ctx context.Context, c net.Conn) {
	select {
	case q.conns <- c:
	case <-q.done:
		_ = c.Close()
	case <-ctx.Done():
		_ = c.Close()
	}
}

func (q *queue) end() { q.once.Do(func() { close(q.done) }) }

// Accept implements net.Listener.
func (q *queue) Accept() (net.Conn, error) {
	select {
	case c := <-q.conns:
		return c, nil
	case <-q.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener. The socket itself is closed by the gate.
func (q *queue) Close() error {
	q.end()
	return nil
}

// Addr implements net.Listener.
func (q *queue) Addr() net.Addr { return q.of.Addr() }
