package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"
)

// The bounds of one shared commit.
const (
	groupMax  = 256                    // calls that share one commit
	groupTime = 100 * time.Millisecond // no further call joins a batch that has run this long
	groupWait = 30 * time.Second       // longest wait for the writer
)

// group makes concurrent small writes share a commit. It has no goroutine and no timer of its own: the first caller leads,
// takes the writer, and runs everything that queued up while the writer (and the disk) was busy with the commit before. So a
// lone caller never waits for company, and a crowd pays for one fsync.
type group struct {
	db *DB

	mu      sync.Mutex
	queue   []*groupCall
	leading bool
	closed  bool
	idle    *sync.Cond // signalled when leading ends; made by drain
}

type groupCall struct {
	ctx  context.Context
	fn   func(ctx context.Context, tx *sql.Tx) error
	wake chan groupNote // capacity 1: a leader never waits for a follower
	err  error
	boom *groupPanic
}

type groupPanic struct {
	value any
	stack []byte
}

type groupNote uint8

const (
	noteDone groupNote = iota // the call's outcome is set
	noteLead                  // the call is the queue's head and leads the next batch
)

// Group runs fn in a write transaction that it may share with other callers, and returns when it is committed. Each fn has a
// savepoint: where one fails, its own writes alone are undone and its caller alone gets the error. A call whose ctx ends while
// it waits is dropped; once fn runs its ctx is no longer cancelled, so that an interrupted statement can't take the others'
// writes with it. fn runs at most once, perhaps on another caller's goroutine; a panic of fn comes up in its own caller.
//
// It is for writes that insert or touch rows of their own. On PostgreSQL a shared transaction keeps the row locks of all its
// calls, so rows that several nodes update in turn (a counter, a bucket) belong in WithTx, lest two nodes lock each other out.
func (d *DB) Group(ctx context.Context, fn func(ctx context.Context, tx *sql.Tx) error) error {
	if d.inside(ctx) {
		return ErrNested
	}
	c := &groupCall{ctx: ctx, fn: fn, wake: make(chan groupNote, 1)}
	g := &d.group
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		return ErrClosed
	}
	g.queue = append(g.queue, c)
	lead := !g.leading
	g.leading = true
	g.mu.Unlock()

	if !lead {
		lead = g.await(c)
	}
	if lead {
		g.lead(c)
	}
	if c.boom != nil {
		panic(fmt.Sprintf("%v\n\nsqldb.Group ran it at:\n%s", c.boom.value, c.boom.stack))
	}
	return c.err
}

// await waits until c is done (false) or shall lead (true).
func (g *group) await(c *groupCall) (lead bool) {
	select {
	case n := <-c.wake:
		return n == noteLead
	case <-c.ctx.Done():
	}
	g.mu.Lock()
	for i, q := range g.queue {
		if q != c {
			continue
		}
		select {
		case <-c.wake: // chosen to lead in the same moment: the next one leads instead
			c.err = c.ctx.Err()
			g.queue = append(g.queue[:i], g.queue[i+1:]...)
			g.passOn()
		default:
			c.err = c.ctx.Err()
			g.queue = append(g.queue[:i], g.queue[i+1:]...)
		}
		g.mu.Unlock()
		return false
	}
	g.mu.Unlock()
	<-c.wake // a batch holds it already: its outcome is near, and is the truth
	return false
}

// passOn gives the lead to the queue's head, or ends it. g.mu is held.
func (g *group) passOn() {
	if len(g.queue) > 0 {
		g.queue[0].wake <- noteLead
		return
	}
	g.leading = false
	if g.idle != nil {
		g.idle.Broadcast()
	}
}

// lead runs one batch, in which own takes part, then passes the lead on.
func (g *group) lead(own *groupCall) {
	var batch []*groupCall
	finished := false
	defer func() {
		if !finished { // an fn ended the goroutine (runtime.Goexit): nothing of this batch is committed
			for _, c := range batch {
				c.err = errors.New("sqldb: the shared transaction was abandoned")
			}
		}
		g.mu.Lock()
		g.remove(own) // still queued only if the writer was never had
		g.passOn()
		g.mu.Unlock()
		for _, c := range batch {
			if c != own {
				c.wake <- noteDone
			}
		}
	}()

	waitCtx, cancel := context.WithTimeout(context.WithoutCancel(own.ctx), groupWait)
	defer cancel()
	conn, err := g.db.writer.Conn(waitCtx)
	if err != nil {
		g.fail(&batch, err)
		finished = true
		return
	}
	defer func() { _ = conn.Close() }()
	tx, err := conn.BeginTx(context.WithoutCancel(own.ctx), nil)
	if err != nil {
		g.fail(&batch, err)
		finished = true
		return
	}
	defer func() { _ = tx.Rollback() }() // after a commit it does nothing
	g.run(tx, &batch)
	finished = true
}

// fail gives err to everybody who waits: without the writer nobody's write can happen.
func (g *group) fail(batch *[]*groupCall, err error) {
	*batch = g.take(groupMax)
	for _, c := range *batch {
		c.err = g.db.explainBegin(err)
	}
}

// run takes queued calls into tx until there are no more, or a bound is reached, and commits.
func (g *group) run(tx *sql.Tx, batch *[]*groupCall) {
	started := time.Now()
	alone := true // the first call needs no savepoint while it is alone: an error simply rolls back
	for len(*batch) < groupMax && time.Since(started) < groupTime {
		next := g.take(groupMax - len(*batch))
		if len(next) == 0 {
			break
		}
		alone = alone && len(*batch) == 0 && len(next) == 1
		*batch = append(*batch, next...)
		for _, c := range next {
			if c.err = c.ctx.Err(); c.err != nil {
				continue
			}
			if fatal := g.one(tx, c, alone); fatal != nil {
				// The transaction is lost with everybody's writes. Nothing was committed, and each caller learns so.
				for _, b := range *batch {
					if b.err == nil {
						b.err = fmt.Errorf("sqldb: the shared transaction failed: %w", fatal)
					}
				}
				return
			}
			if alone && c.err != nil {
				return // the deferred rollback undoes it
			}
		}
		if alone {
			break
		}
	}
	if err := tx.Commit(); err != nil {
		for _, c := range *batch {
			if c.err == nil {
				c.err = fmt.Errorf("commit: %w", err)
			}
		}
	}
}

// one runs c inside tx. A fatal error means that tx can't go on.
func (g *group) one(tx *sql.Tx, c *groupCall, alone bool) (fatal error) {
	ctx := context.WithoutCancel(c.ctx)
	if alone {
		c.err = g.call(ctx, tx, c)
		return nil
	}
	if _, err := tx.ExecContext(ctx, "SAVEPOINT one"); err != nil {
		c.err = err
		return err
	}
	if c.err = g.call(ctx, tx, c); c.err == nil {
		if _, err := tx.ExecContext(ctx, "RELEASE SAVEPOINT one"); err != nil {
			c.err = err
			return err
		}
		return nil
	}
	if _, err := tx.ExecContext(ctx, "ROLLBACK TO SAVEPOINT one"); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "RELEASE SAVEPOINT one"); err != nil {
		return err
	}
	return nil
}

var errPanicked = errors.New("sqldb: a grouped write panicked")

func (g *group) call(ctx context.Context, tx *sql.Tx, c *groupCall) (err error) {
	defer func() {
		if v := recover(); v != nil {
			c.boom = &groupPanic{value: v, stack: debug.Stack()}
			err = errPanicked
		}
	}()
	return c.fn(g.db.mark(ctx), tx)
}

func (g *group) take(n int) []*groupCall {
	g.mu.Lock()
	defer g.mu.Unlock()
	n = min(n, len(g.queue))
	next := append([]*groupCall(nil), g.queue[:n]...)
	g.queue = append(g.queue[:0], g.queue[n:]...)
	return next
}

// remove takes c out of the queue if it is there. g.mu is held.
func (g *group) remove(c *groupCall) {
	for i, q := range g.queue {
		if q == c {
			g.queue = append(g.queue[:i], g.queue[i+1:]...)
			return
		}
	}
}

// drain refuses new calls and waits for the queued ones.
func (g *group) drain() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	g.idle = sync.NewCond(&g.mu)
	for g.leading {
		g.idle.Wait()
	}
}
