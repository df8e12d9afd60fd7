package quota

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/musubi-hub/musubi/connectors"
)

// The lanes of a gate.
const (
	normal = iota
	urgent
)

// horizon is the furthest time for which a refused caller is told to come back.
const horizon = 10 * time.Minute

// writeTime is the longest that one look at the bucket may take.
const writeTime = 5 * time.Second

// gate is this node's queue before one bucket. It has no goroutine: the first in each lane goes to the database for itself and
// those behind it.
type gate struct {
	q      *Quota
	budget connectors.Budget
	rule   rule

	mu       sync.Mutex
	lanes    [2]lane
	leased   micro // taken ahead, good until leaseEnd
	leaseEnd int64
	// lastTake and spent say how fast this node spent since it last went to the database: so much the next lease takes ahead.
	lastTake int64
	spent    micro
	// seen is the bucket as this node last left it. Others only take from it, so it tells without asking the database that tokens
	// aren't there yet; that they are, only the database can tell.
	seen     bucket
	known    bool
	promised [2]slots // by lane: the times told to those who were refused
	granted  micro
	refused  int64
}

type lane struct{ queue []*waiter }

type waiter struct {
	need micro
	wake chan bool // capacity 1: true = granted, false = first in the lane now
}

func (g *gate) reserve(ctx context.Context, need micro, isUrgent bool) error {
	which := normal
	if isUrgent {
		which = urgent
	}
	now := g.q.now()
	g.mu.Lock()
	l := &g.lanes[which]
	if len(l.queue) == 0 && g.fromLease(now.UnixMicro(), need) {
		g.mu.Unlock()
		return nil
	}
	if wait := g.forecast(now, g.ahead(which)+need, isUrgent); wait > g.q.opt.MaxWait {
		defer g.mu.Unlock()
		// Of those ahead, nobody will wait longer than MaxWait: the rest get later slots of their own.
		return g.refusal(ctx, which, need, min(wait, max(g.forecast(now, need, isUrgent), g.q.opt.MaxWait)+g.rule.timeFor(need)))
	}
	w := &waiter{need: need, wake: make(chan bool, 1)}
	l.queue = append(l.queue, w)
	first := len(l.queue) == 1
	g.mu.Unlock()

	deadline := now.Add(g.q.opt.MaxWait)
	if !first {
		granted, err := g.await(ctx, which, w, deadline)
		if granted || err != nil {
			return err
		}
	}
	return g.lead(ctx, which, w, deadline)
}

// ahead is what is waited for before a newcomer to the lane. g.mu is held.
func (g *gate) ahead(which int) (sum micro) {
	for i := which; i < len(g.lanes); i++ { // urgent callers are ahead of everybody
		for _, w := range g.lanes[i].queue {
			sum += w.need
		}
	}
	return sum
}

// forecast is how long need will take at least: zero if it may be there now. Where others are ahead, need includes theirs.
// g.mu is held.
func (g *gate) forecast(now time.Time, need micro, isUrgent bool) time.Duration {
	if !g.known {
		return 0
	}
	us := now.UnixMicro()
	b := g.seen.at(g.rule, us)
	_, wait := b.take(g.rule, us, need, need, isUrgent)
	return wait
}

// fromLease spends from what was taken ahead. g.mu is held.
func (g *gate) fromLease(now int64, need micro) bool {
	if now >= g.leaseEnd {
		g.leased = 0
	}
	if g.leased < need {
		return false
	}
	g.leased -= need
	g.spend(need)
	return true
}

func (g *gate) spend(m micro) {
	g.spent += m
	g.granted += m
}

// forfeit drops what was taken ahead, and keeps the bucket in mind as it was left.
func (g *gate) forfeit(left bucket) {
	g.mu.Lock()
	g.leased = 0
	g.seen, g.known = left, true
	g.mu.Unlock()
}

// await waits behind others until w is granted, or is first in its lane (false, nil), or its time is over.
func (g *gate) await(ctx context.Context, which int, w *waiter, deadline time.Time) (granted bool, err error) {
	timer := time.NewTimer(g.real(deadline.Sub(g.q.now())))
	defer timer.Stop()
	select {
	case granted := <-w.wake:
		return granted, nil
	case <-ctx.Done():
	case <-timer.C:
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case granted := <-w.wake: // in the same moment: the tokens are taken already, or the lead is ours to use or pass on
		return granted, nil
	default:
	}
	g.leave(&g.lanes[which], w)
	return false, g.refusal(ctx, which, w.need, 0)
}

// lead goes to the bucket, waiting in between as long as the bucket says, until w is granted or its time is over.
func (g *gate) lead(ctx context.Context, which int, w *waiter, deadline time.Time) error {
	l, isUrgent := &g.lanes[which], which == urgent
	least := g.batch(l, w)
	for {
		wait, err := g.take(ctx, l, w, least, isUrgent)
		if err != nil {
			g.abandon(l, w)
			if ctx.Err() != nil {
				return failure(g.rule.class, connectors.KindCanceled, 0, ctx.Err())
			}
			return failure(g.rule.class, connectors.KindUnavailable, 0, err)
		}
		if wait == 0 {
			return nil
		}
		late := g.q.now().Add(wait).After(deadline)
		if late && least == w.need {
			return g.giveUp(ctx, which, w, wait)
		}
		least = w.need // after one wait for a batch, or where there is no time for one, what w itself needs is enough
		if late {
			continue
		}
		timer := time.NewTimer(g.real(wait))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return g.giveUp(ctx, which, w, 0)
		}
	}
}

// batch is what is worth going to the database for: where many wait and the bucket runs dry, a lease's worth at a time instead
// of each token as it drips in.
func (g *gate) batch(l *lane, w *waiter) (sum micro) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, other := range l.queue {
		sum += other.need
	}
	return max(w.need, min(sum, g.rule.spare))
}

// real is how long d of our clock lasts in real time.
func (g *gate) real(d time.Duration) time.Duration {
	return max(time.Duration(float64(d)/g.q.opt.Scale), time.Microsecond)
}

// take goes to the bucket once, for w, who is first, and for those behind it, if at least least is there. It returns zero when w
// is granted, and how long to wait where it isn't.
func (g *gate) take(ctx context.Context, l *lane, w *waiter, least micro, isUrgent bool) (time.Duration, error) {
	g.mu.Lock()
	now := g.q.now()
	if g.fromLease(now.UnixMicro(), w.need) {
		g.advance(l, w)
		g.mu.Unlock()
		return 0, nil
	}
	if wait := g.forecast(now, least, isUrgent); wait > 0 {
		g.mu.Unlock()
		return wait, nil
	}
	want, ahead := g.want(l, isUrgent)
	g.mu.Unlock()

	var (
		got  micro
		wait time.Duration
		at   int64
		left bucket
	)
	// A caller who goes away must not take the tokens of those behind it along.
	write, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTime)
	defer cancel()
	err := g.q.change(write, g.rule, func(b *bucket, now int64) {
		at = now
		got, wait = b.take(g.rule, now, least, max(want, least), isUrgent)
		// What is taken ahead and not used is lost, so it is taken only while the bucket is full enough to be losing tokens anyway.
		if got > 0 && b.tokens-ahead >= g.rule.capacity/2 {
			b.tokens -= ahead
			got += ahead
		}
		left = *b
	})
	if err != nil {
		return 0, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.seen, g.known = left, true
	if got == 0 {
		return max(wait, time.Microsecond), nil
	}
	g.lastTake, g.spent = at, 0
	rest := got - w.need
	g.spend(w.need)
	for len(l.queue) > 1 && l.queue[1].need <= rest {
		next := l.queue[1]
		l.queue = slices.Delete(l.queue, 1, 2)
		rest -= next.need
		g.spend(next.need)
		next.wake <- true
	}
	if rest = min(rest, g.rule.spare); rest > 0 && !isUrgent {
		g.leased, g.leaseEnd = rest, at+g.rule.lease.Microseconds()
	}
	g.advance(l, w)
	return 0, nil
}

// want is what everybody in the lane needs, and, where the budget is leased, what this node will spend during the lease if it goes
// on as it did. Urgent callers take nothing ahead: the part kept for them isn't for others. g.mu is held.
func (g *gate) want(l *lane, isUrgent bool) (now, ahead micro) {
	for _, w := range l.queue {
		now += w.need
	}
	if isUrgent || g.rule.lease == 0 {
		return now, 0
	}
	since := time.Duration(g.q.now().UnixMicro()-g.lastTake) * time.Microsecond
	if since <= 0 || since > 4*g.rule.lease {
		return now, 0
	}
	next := micro(float64(g.spent) * float64(g.rule.lease) / float64(since))
	return now, min(next/token*token, g.rule.spare)
}

// advance removes w, who is first, and makes the next one lead. g.mu is held.
func (g *gate) advance(l *lane, w *waiter) {
	g.leave(l, w)
	if len(l.queue) > 0 {
		l.queue[0].wake <- false
	}
}

// leave removes w. g.mu is held.
func (g *gate) leave(l *lane, w *waiter) {
	l.queue = slices.DeleteFunc(l.queue, func(other *waiter) bool { return other == w })
}

func (g *gate) abandon(l *lane, w *waiter) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.advance(l, w)
}

func (g *gate) giveUp(ctx context.Context, which int, w *waiter, wait time.Duration) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.advance(&g.lanes[which], w)
	return g.refusal(ctx, which, w.need, wait)
}

var errSpent = errors.New("the budget is spent")

// refusal tells a caller when to come back: not before wait, and each refused caller at a slot of its own, so that a thousand of
// them neither come back at once nor leave the budget idle. Each lane has slots of its own: a
// leaver never comes back behind those who load. g.mu is held.
func (g *gate) refusal(ctx context.Context, which int, need micro, wait time.Duration) error {
	if err := ctx.Err(); err != nil {
		return failure(g.rule.class, connectors.KindCanceled, 0, err)
	}
	g.refused++
	now := g.q.now().UnixMicro()
	soonest := now + max(wait, g.rule.timeFor(need)).Microseconds()
	slot := g.promised[which].take(g.rule, now, soonest, need)
	return failure(g.rule.class, connectors.KindThrottled, time.Duration(slot-now)*time.Microsecond, errSpent)
}
