package escalate

import (
	"slices"
	"sort"
	"time"

	"github.com/musubi-hub/musubi/sync/bizcal"
)

// stretch is a stretch of time in nanoseconds since 1970: from belongs to it, to doesn't.
type stretch struct{ from, to int64 }

// stretches are in order, don't overlap and don't touch.
type stretches []stretch

// join puts a list in order and together.
func join(list []stretch) stretches {
	slices.SortFunc(list, func(a, b stretch) int {
		switch {
		case a.from < b.from:
			return -1
		case a.from > b.from:
			return 1
		}
		return 0
	})
	var out stretches
	for _, s := range list {
		if s.from >= s.to {
			continue
		}
		if n := len(out); n > 0 && s.from <= out[n-1].to {
			out[n-1].to = max(out[n-1].to, s.to)
			continue
		}
		out = append(out, s)
	}
	return out
}

// and gives what is in both.
func (a stretches) and(b stretches) (out stretches) {
	if len(a) > len(b) {
		a, b = b, a
	}
	if len(a)*8 < len(b) { // few against many: look the place up
		for _, s := range a {
			for i := sort.Search(len(b), func(i int) bool { return b[i].to > s.from }); i < len(b) && b[i].from < s.to; i++ {
				out = append(out, b[i].cut(s))
			}
		}
		return out
	}
	for i, j := 0, 0; i < len(a) && j < len(b); {
		if both := (stretch{max(a[i].from, b[j].from), min(a[i].to, b[j].to)}); both.from < both.to {
			out = append(out, both)
		}
		if a[i].to < b[j].to {
			i++
		} else {
			j++
		}
	}
	return out
}

// not gives what lies within the bounds and not in a.
func (a stretches) not(within stretch) (out stretches) {
	at := within.from
	for _, s := range a {
		if s.from > at {
			out = append(out, stretch{at, min(s.from, within.to)})
		}
		if at = max(at, s.to); at >= within.to {
			return out
		}
	}
	return append(out, stretch{at, within.to})
}

// at gives the stretch that an instant lies in.
func (a stretches) at(t int64) (stretch, bool) {
	i := sort.Search(len(a), func(i int) bool { return a[i].to > t })
	if i == len(a) || a[i].from > t {
		return stretch{}, false
	}
	return a[i], true
}

func (a stretches) whole(within stretch) bool {
	return len(a) == 1 && a[0].from <= within.from && a[0].to >= within.to
}

func (s stretch) cut(within stretch) stretch {
	return stretch{max(s.from, within.from), min(s.to, within.to)}
}

func instant(n int64) time.Time { return time.Unix(0, n) }

// openStretches gives when an office is open within the bounds; after its calendar's end it is closed, as Resolve takes it.
func openStretches(c *bizcal.Calendar, within stretch) stretches {
	out := make(stretches, 0, 1024)
	last := min(bizcal.DayOf(instant(within.to)), c.Last())
	for d := max(bizcal.DayOf(instant(within.from)), c.First()); d <= last; d++ {
		spans, err := c.Hours(d)
		if err != nil || len(spans) == 0 {
			continue
		}
		start := d.Start().UnixNano()
		for _, s := range spans {
			one := stretch{start + int64(s.From)*int64(time.Minute), start + int64(s.To)*int64(time.Minute)}.cut(within)
			if one.from >= one.to {
				continue
			}
			if n := len(out); n > 0 && out[n-1].to == one.from {
				out[n-1].to = one.to
				continue
			}
			out = append(out, one)
		}
	}
	return out
}

// presence gives when somebody of those chosen is in their post and not absent, within the bounds.
func presence(members []Member, within stretch, choose func(*Member) bool) stretches {
	var all []stretch
	for i := range members {
		m := &members[i]
		if !choose(m) {
			continue
		}
		post := within
		if !m.From.IsZero() {
			post.from = max(post.from, m.From.UnixNano())
		}
		if !m.Until.IsZero() {
			post.to = min(post.to, m.Until.UnixNano())
		}
		if post.from >= post.to {
			continue
		}
		if len(m.Absent) == 0 {
			if post == within {
				return stretches{within}
			}
			all = append(all, post)
			continue
		}
		away := make([]stretch, len(m.Absent))
		for j, a := range m.Absent {
			away[j] = stretch{a.From.UnixNano(), a.Until.UnixNano()}.cut(post)
		}
		all = append(all, join(away).not(post)...)
	}
	return join(all)
}
