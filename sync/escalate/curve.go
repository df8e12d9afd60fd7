package escalate

import (
	"slices"
	"sort"
	"time"

	"github.com/musubi-hub/musubi/sync/bizcal"
)

// curve is when something is due, as a function of when an inquiry came. It never falls; it stands where the office is closed, jumps where it opens, and
// rises with time elsewhere.
type curve struct {
	c     *bizcal.Calendar
	first Wait // the time to the due date, where the rung counts from that
	due   bool // first is used
	wait  Wait
}

func (l *Ladder) curve(r *Rung, c *bizcal.Calendar) curve {
	return curve{c: c, first: l.AnswerWithin, due: r.Since == SinceDue, wait: r.After}
}

// at evaluates the curve.
func (f curve) at(t int64) (int64, error) {
	l := Ladder{AnswerWithin: f.first}
	r := Rung{After: f.wait, Since: SinceCreated}
	if f.due {
		r.Since = SinceDue
	}
	at, err := l.due(&r, f.c, moment(instant(t)))
	if err != nil {
		return 0, err
	}
	return at.UnixNano(), nil
}

// must is at where the curve is known to be defined.
func (f curve) must(t int64) int64 {
	at, err := f.at(t)
	if err != nil {
		return 1<<63 - 1
	}
	return at
}

// reach gives the first instant within the bounds at which the curve is at g or beyond; the end of the bounds if it isn't before.
func (f curve) reach(g int64, within stretch) int64 {
	t := reach(f.c, f.wait, g, false)
	if f.due {
		t = reach(f.c, f.first, t, true)
	}
	return min(max(t, within.from), within.to)
}

const never = 1<<63 - 1

// reach gives the first instant from which a wait ends at g or later. end says that a wait of working days ends with the last day's last hour.
func reach(c *bizcal.Calendar, w Wait, g int64, end bool) int64 {
	if g == never {
		return never
	}
	if w.Clock {
		return g - int64(w.Time)
	}
	if w.Days == 0 {
		t, err := c.FirstReaching(instant(g), w.Time)
		if err != nil {
			return never
		}
		return t.UnixNano()
	}
	open, err := c.NextOpen(instant(g))
	if end {
		open, err = instant(g), nil
	}
	if err != nil {
		return never
	}
	day := bizcal.DayOf(open)
	edges := make([]int64, 0, 64)
	for k := -2; k <= 2; k++ {
		if d, err := c.Place(day, k-w.Days); err == nil {
			edges = dayEdges(edges, c, d, w.Days)
			edges = append(edges, d.Start().UnixNano()+open.UnixNano()-day.Start().UnixNano())
		}
	}
	if len(edges) == 0 {
		return never
	}
	slices.Sort(edges)
	i := sort.Search(len(edges), func(i int) bool {
		t, err := daysAfter(c, instant(edges[i]), w.Days, end)
		return err != nil || t.UnixNano() >= g
	})
	if i == len(edges) {
		return never
	}
	return edges[i]
}

func daysAfter(c *bizcal.Calendar, t time.Time, n int, end bool) (time.Time, error) {
	if end {
		return c.Due(t, n)
	}
	return Wait{Days: n}.after(c, t)
}

// dayEdges adds the instants of a working day at which the n-th day after it may bend: the edges of its hours and of that day's.
func dayEdges(to []int64, c *bizcal.Calendar, d bizcal.Day, n int) []int64 {
	start := d.Start().UnixNano()
	add := func(day bizcal.Day) {
		spans, err := c.Hours(day)
		if err != nil {
			return
		}
		for _, s := range spans {
			to = append(to, start+int64(s.From)*int64(time.Minute), start+int64(s.To)*int64(time.Minute))
		}
	}
	add(d)
	if target, err := c.Place(d, n); err == nil {
		add(target)
	}
	return to
}

// bends gives instants among which are all those within the bounds where the curve bends or jumps. open is when its office is open.
func (f curve) bends(open stretches, within stretch) []int64 {
	if !f.due {
		return bends(nil, f.c, f.wait, open, within, false)
	}
	out := bends(nil, f.c, f.first, open, within, true)
	outer := stretch{ends(f.c, f.first, within.from, true), ends(f.c, f.first, within.to-1, true)}
	if outer.to++; outer.to < outer.from { // beyond the calendar
		return out
	}
	for _, edge := range bends(nil, f.c, f.wait, open, outer, false) {
		out = append(out, reach(f.c, f.first, edge, true))
	}
	return out
}

// ends gives when a wait ends that begins at an instant.
func ends(c *bizcal.Calendar, w Wait, t int64, end bool) int64 {
	var at time.Time
	var err error
	if end && w.Days > 0 {
		at, err = c.Due(instant(t), w.Days)
	} else {
		at, err = w.after(c, instant(t))
	}
	if err != nil {
		return never
	}
	return at.UnixNano()
}

func bends(to []int64, c *bizcal.Calendar, w Wait, open stretches, within stretch, end bool) []int64 {
	if w.Clock {
		return to
	}
	edges := func(from, until int64, add func(int64)) {
		for i := sort.Search(len(open), func(i int) bool { return open[i].to >= from }); i < len(open) && open[i].from <= until; i++ {
			add(open[i].from)
			add(open[i].to)
		}
	}
	edges(within.from, within.to, func(edge int64) { to = append(to, edge) })
	if w.Days == 0 {
		edges(ends(c, w, within.from, end), ends(c, w, within.to-1, end), func(edge int64) { to = append(to, reach(c, w, edge, end)) })
		return to
	}
	last := bizcal.DayOf(instant(within.to))
	for d := bizcal.DayOf(instant(within.from)) - 1; d <= last; d++ {
		if open, err := c.WorkingDay(d); err == nil && open {
			to = dayEdges(to, c, d, w.Days)
		}
	}
	return to
}

// beyond gives where within the bounds one curve lies above another.
func (f curve) beyond(p curve, open stretches, within stretch) stretches {
	if !f.due && !p.due && f.wait.kind() == p.wait.kind() {
		if f.wait.Days > p.wait.Days || f.wait.Time > p.wait.Time {
			return stretches{within}
		}
		return nil
	}
	return join(f.over(nil, p, open, within))
}

// over looks at halves until one of them is clear or short.
func (f curve) over(to []stretch, p curve, open stretches, within stretch) []stretch {
	switch {
	case within.from >= within.to || f.must(within.to-1) <= p.must(within.from):
		return to
	case f.must(within.from) > p.must(within.to-1):
		return append(to, within)
	case within.to-within.from > int64(24*time.Hour):
		middle := within.from + (within.to-within.from)/2
		return f.over(f.over(to, p, open, stretch{within.from, middle}), p, open, stretch{middle, within.to})
	}
	edges := append(f.bends(open, within), p.bends(open, within)...)
	edges = append(edges, within.from, within.to)
	slices.Sort(edges)
	for i := 1; i < len(edges); i++ {
		one := stretch{edges[i-1], edges[i]}
		if one.from < within.from || one.to > within.to || one.from == one.to {
			continue
		}
		first, last := f.must(one.from)-p.must(one.from), f.must(one.to-1)-p.must(one.to-1)
		switch { // both are straight here: their difference stands, or changes by as much as time does
		case first > 0 && last > 0:
			to = append(to, one)
		case first > 0:
			to = append(to, stretch{one.from, one.from + first})
		case last > 0:
			to = append(to, stretch{one.from - first + 1, one.to})
		}
	}
	return to
}
