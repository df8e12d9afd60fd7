package logout

import (
	"context"
	"sync"
	"time"

	"github.com/musubi-hub/musubi/policies"
)

// The limits of one relying party on one node.
const (
	perParty = 6                // deliveries at once
	standing = 2 * perParty     // those and the ones that stand at the door for a moment; the rest is sent away
	queueFor = time.Second      // that moment
	comeBack = 5 * time.Second  // at the earliest then, also while another finds out whether the party answers
	maxPause = 15 * time.Minute // between two tries of a party that doesn't answer
)

// gate lets deliveries through, a few at once for each relying party. After a party has failed, one delivery tries it after a pause that
// doubles, and the others wait for what it finds.
type gate struct {
	now   func() time.Time
	mu    sync.Mutex
	lanes map[policies.RelyingPartyID]*lane
}

type lane struct {
	slots   chan struct{}
	users   int
	took    time.Duration // a delivery, on average
	queue   time.Time     // when the last one that was sent away will be back
	fails   int           // in a row
	until   time.Time
	probing bool
}

func newGate(now func() time.Time) *gate {
	return &gate{now: now, lanes: map[policies.RelyingPartyID]*lane{}}
}

// enter waits for a turn. With wait > 0 there is none: come back then. Else leave must be called with what came of it.
func (g *gate) enter(ctx context.Context, party policies.RelyingPartyID) (leave func(undelivered bool), wait time.Duration, err error) {
	l, probe, wait := g.join(party)
	if wait > 0 {
		return nil, wait, nil
	}
	began := time.Time{}
	timer := time.NewTimer(queueFor)
	defer timer.Stop()
	select {
	case l.slots <- struct{}{}:
		began = g.now()
	case <-timer.C:
		g.part(party, l, probe)
		return nil, g.later(l), nil
	case <-ctx.Done():
		g.part(party, l, probe)
		return nil, 0, ctx.Err()
	}
	return func(undelivered bool) {
		<-l.slots
		g.tell(l, undelivered, g.now().Sub(began))
		g.part(party, l, probe)
	}, 0, nil
}

// join finds the party's lane and whether one may go now; probe says that it is the one that finds out.
func (g *gate) join(party policies.RelyingPartyID) (l *lane, probe bool, wait time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	l = g.lanes[party]
	if l == nil {
		l = &lane{slots: make(chan struct{}, perParty)}
		g.lanes[party] = l
	}
	if l.fails > 0 {
		switch now := g.now(); {
		case l.until.After(now):
			return l, false, min(l.until.Sub(now), maxPause) // a clock that was set back keeps nobody longer
		case l.probing:
			return l, false, comeBack
		}
		probe = true
	}
	if l.users >= standing {
		return l, false, g.back(l)
	}
	l.users++
	l.probing = l.probing || probe
	return l, probe, 0
}

// later is back, locked.
func (g *gate) later(l *lane) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.back(l)
}

// back says when one that is sent away has its turn: one after the other, at the pace of the party. So thousands don't come back together again
// and again.
func (g *gate) back(l *lane) time.Duration {
	now := g.now()
	earliest := now.Add(comeBack)
	if l.queue.Before(earliest) || l.queue.After(earliest.Add(maxPause)) { // the clock was set back
		l.queue = earliest
	}
	l.queue = l.queue.Add(l.took / perParty)
	return l.queue.Sub(now)
}

// tell takes down what came of a delivery.
func (g *gate) tell(l *lane, undelivered bool, took time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	l.took += (min(max(took, time.Millisecond), timeout) - l.took) / 8
	if !undelivered {
		l.fails = 0
		return
	}
	// Those that were under way when it began to fail say nothing new.
	now := g.now()
	if l.fails > 0 && l.until.After(now) {
		return
	}
	pause := maxPause
	if l.fails < 10 { // 1 s doubled ten times is longer
		pause = min(time.Second<<l.fails, maxPause)
	}
	l.fails++
	l.until = now.Add(pause)
}

// part leaves the lane, which goes when nobody needs it.
func (g *gate) part(party policies.RelyingPartyID, l *lane, probe bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if probe {
		l.probing = false
	}
	if l.users--; l.users == 0 && l.fails == 0 {
		delete(g.lanes, party)
	}
}
