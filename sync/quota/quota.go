package quota

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/connectors"
	"github.com/musubi-hub/musubi/identity/sqldb"
)

// Options tune a Quota. The zero value is what production uses.
type Options struct {
	MaxWait     time.Duration // longest wait of one Reserve, on the clock given; 0 = 2 s
	Lease       time.Duration // how far ahead a node may take tokens; 0 = 250 ms
	LeaverShare float64       // part of the burst kept for urgent callers; 0 = 0.05
	Scale       float64       // how much faster than real time the clock runs; 0 = 1
}

func (o Options) withDefaults() Options {
	if o.MaxWait == 0 {
		o.MaxWait = 2 * time.Second
	}
	if o.Lease == 0 {
		o.Lease = 250 * time.Millisecond
	}
	if o.LeaverShare == 0 {
		o.LeaverShare = 0.05
	}
	if o.Scale == 0 {
		o.Scale = 1
	}
	return o
}

func (o Options) validate() error {
	switch {
	case o.MaxWait < 0 || o.MaxWait > time.Minute:
		return fmt.Errorf("quota: longest wait of %s: want at most 1m", o.MaxWait)
	case o.Lease < 0 || o.Lease > 250*time.Millisecond:
		return fmt.Errorf("quota: lease of %s: want at most 250ms", o.Lease)
	case o.LeaverShare < 0 || o.LeaverShare > 0.5:
		return fmt.Errorf("quota: %g of the burst kept for leavers: want at most 0.5", o.LeaverShare)
	case o.Scale < 0:
		return fmt.Errorf("quota: a clock at %g times real time: want a positive number", o.Scale)
	}
	return nil
}

// The largest budget: far beyond any vendor's, and small enough for the arithmetic.
const (
	maxRate  = 1e6
	minRate  = 1e-5 // about one a day
	maxBurst = 10_000_000
)

// Quota hands out budgets. It is safe for concurrent use, and so are many of them, on many nodes, over one database.
type Quota struct {
	db    *sqldb.DB
	now   func() time.Time
	opt   Options
	gates map[connectors.Class]*gate
	names []connectors.Class // in the order given
}

var _ connectors.Quota = (*Quota)(nil)

// New makes the quota of the given budgets. now is the clock that rates are measured on.
func New(db *sqldb.DB, now func() time.Time, budgets []connectors.Budget, opt Options) (*Quota, error) {
	opt = opt.withDefaults()
	if err := opt.validate(); err != nil {
		return nil, err
	}
	if db == nil || now == nil {
		return nil, errors.New("quota: no database or no clock")
	}
	q := &Quota{db: db, now: now, opt: opt, gates: map[connectors.Class]*gate{}}
	for _, b := range budgets {
		if b.Class == "" || len(b.Class) > 200 || !(b.Rate >= minRate && b.Rate <= maxRate) || b.Burst < 1 || b.Burst > maxBurst {
			return nil, fmt.Errorf("quota: budget %q of %g a second, burst %d: want a class, a rate of %g to %g and a burst of 1 to %d",
				b.Class, b.Rate, b.Burst, minRate, maxRate, maxBurst)
		}
		if _, dup := q.gates[b.Class]; dup {
			return nil, fmt.Errorf("quota: two budgets for %q", b.Class)
		}
		q.gates[b.Class] = &gate{q: q, budget: b, rule: newRule(b, opt)}
		q.names = append(q.names, b.Class)
	}
	return q, nil
}

// Reserve takes n tokens of class, in the order of arrival on this node, urgent callers first. It waits at most MaxWait; where
// the tokens come later than that it returns, at once, an error of KindThrottled whose RetryAfter says when to try again.
// KindInvalid: no such class, or more tokens than the bucket ever holds.
func (q *Quota) Reserve(ctx context.Context, class connectors.Class, n int) error {
	g, ok := q.gates[class]
	if !ok {
		return failure(class, connectors.KindInvalid, 0, errors.New("no budget of this class is configured"))
	}
	if most := int((g.rule.capacity - g.rule.kept) / token); n < 1 || n > most {
		return failure(class, connectors.KindInvalid, 0, fmt.Errorf("%d tokens at once: want 1 to %d", n, most))
	}
	if err := ctx.Err(); err != nil {
		return failure(class, connectors.KindCanceled, 0, err)
	}
	return g.reserve(ctx, tokens(n), connectors.Urgent(ctx))
}

// Throttled records that the vendor refused a request of class all the same (429): nobody on any node gets a token before
// until, at most a day ahead, and the bucket is empty then.
func (q *Quota) Throttled(ctx context.Context, class connectors.Class, until time.Time) error {
	g, ok := q.gates[class]
	if !ok {
		return failure(class, connectors.KindInvalid, 0, errors.New("no budget of this class is configured"))
	}
	var left bucket
	err := q.change(ctx, g.rule, func(b *bucket, now int64) {
		b.tokens = 0
		b.throttledUntil = max(b.throttledUntil, min(until.UnixMicro(), now+(24*time.Hour).Microseconds()))
		left = *b
	})
	if err != nil {
		return failure(class, connectors.KindUnavailable, 0, err)
	}
	g.forfeit(left)
	return nil
}

func failure(class connectors.Class, kind connectors.Kind, after time.Duration, err error) error {
	vendor, _, _ := strings.Cut(string(class), ".")
	return &connectors.Error{Kind: kind, Vendor: vendor, Op: "reserve quota " + string(class), RetryAfter: after, Err: err}
}

// Usage is one budget as it stands, for the page and for metrics. Granted, Refused and Waiting are this node's.
type Usage struct {
	Class          connectors.Class
	Rate           float64
	Burst          int
	Tokens         float64   // what all nodes could take now
	Capacity       float64   // what a full bucket holds: the burst less what a lease may hold back
	ThrottledUntil time.Time // zero unless the vendor's pause still lasts
	Granted        int64     // tokens handed out since the start
	Refused        int64     // callers told to come back
	Waiting        int
}

// Usage tells how each budget stands, in the order given to New.
func (q *Quota) Usage(ctx context.Context) ([]Usage, error) {
	rows, err := q.buckets(ctx)
	if err != nil {
		return nil, err
	}
	now := q.now().UnixMicro()
	out := make([]Usage, len(q.names))
	for i, class := range q.names {
		g := q.gates[class]
		b, ok := rows[class]
		if !ok {
			b.tokens = g.rule.capacity
		}
		b = b.at(g.rule, now)
		u := Usage{Class: class, Rate: g.budget.Rate, Burst: g.budget.Burst, Tokens: float64(max(b.tokens, 0)) / float64(token), Capacity: float64(g.rule.capacity) / float64(token)}
		if b.throttledUntil > now {
			u.ThrottledUntil = time.UnixMicro(b.throttledUntil).UTC()
		}
		g.mu.Lock()
		u.Granted, u.Refused = int64(g.granted/token), g.refused
		u.Waiting = len(g.lanes[normal].queue) + len(g.lanes[urgent].queue)
		g.mu.Unlock()
		out[i] = u
	}
	return out, nil
}
