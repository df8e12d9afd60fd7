package escalate

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/musubi-hub/musubi/sync/bizcal"
)

// Prove looks at every instant of the days: not one by one, but at the stretches between those where anything changes.
func Prove(in Input) (*Proof, error) {
	if in.Days < 1 || in.Days > MaxDays {
		return nil, fmt.Errorf("日数は 1〜%d / days must be 1 to %d, not %d", MaxDays, MaxDays, in.Days)
	}
	if y := bizcal.DayOf(in.From).Year(); y < bizcal.FirstYear || y > bizcal.LastYear {
		return nil, fmt.Errorf("起点 %d 年は範囲外 / from must lie in the years %d to %d, not %d", y, bizcal.FirstYear, bizcal.LastYear, y)
	}
	for _, t := range in.Teams {
		for _, g := range []*Group{t.People, t.Admins, t.Ministry, t.System} {
			if g == nil || g.Calendar == nil {
				return nil, fmt.Errorf("%s: 暦がない / the team lacks a group or a calendar", t.ID)
			}
		}
	}
	p := &Proof{From: in.From, Until: in.From.Add(time.Duration(in.Days) * 24 * time.Hour), Ladders: len(in.Ladders), Teams: len(in.Teams)}
	shape(in.Ladders, p)
	pr := newProver(in, p.Until)
	parts := make([]Proof, len(in.Teams))
	next := make(chan int)
	var wg sync.WaitGroup
	for range max(1, in.Workers) {
		wg.Go(func() {
			for i := range next {
				parts[i] = pr.team(in.Teams[i])
			}
		})
	}
	for i := range in.Teams {
		next <- i
	}
	close(next)
	wg.Wait()
	for i := range parts {
		p.Late = append(p.Late, parts[i].Late...)
		p.Gaps = append(p.Gaps, parts[i].Gaps...)
		p.Dead = append(p.Dead, parts[i].Dead...)
		p.Faults = append(p.Faults, parts[i].Faults...)
		p.Left += parts[i].Left
	}
	p.Left += trim(&p.Late) + trim(&p.Gaps) + trim(&p.Dead) + trim(&p.Faults)
	return p, nil
}

func trim[T any](list *[]T) int {
	left := max(0, len(*list)-maxListed)
	*list = (*list)[:len(*list)-left]
	return left
}

// shape finds what is wrong with ladders whoever the team is.
func shape(ladders []*Ladder, p *Proof) {
	for _, l := range ladders {
		reached := make([]bool, len(l.Rungs))
		for i := range l.Rungs {
			chain, loop := l.chain(i)
			if loop >= 0 {
				p.Faults = append(p.Faults, Fault{Ladder: l.Name, Rung: l.Rungs[i].Name, What: fmt.Sprintf("代わりの段が循環: %s に戻る / the rungs to climb to go round in a loop: %s comes again", l.Rungs[loop].Name, l.Rungs[loop].Name)})
			} else if last := &l.Rungs[chain[len(chain)-1]]; last.Tell != WhoSystemAdministrator {
				p.Faults = append(p.Faults, Fault{Ladder: l.Name, Rung: l.Rungs[i].Name, What: fmt.Sprintf("最後の段 %s がシステム管理者でない / climbs to %s and no further, which doesn't tell the system administrators", last.Name, last.Name)})
			}
			if l.Rungs[i].Since != "" {
				for _, j := range chain {
					reached[j] = true
				}
			}
		}
		for i, ok := range reached {
			if !ok {
				p.Dead = append(p.Dead, Dead{Ladder: l.Name, Rung: l.Rungs[i].Name})
			}
		}
	}
}

// prover is what all teams share. It isn't changed once it is made, but for the offices' hours.
type prover struct {
	ladders []*Ladder
	chains  [][][]int // by ladder and rung
	// complete says of a calendar whether all that is due lies within it.
	complete map[*bizcal.Calendar]bool
	when     stretch  // in which inquiries come
	look     stretch  // in which somebody may be told
	shared   sync.Map // of duty by audience: ministries and system administrators stand above many teams
	opens    sync.Map // of stretches by calendar
	above    sync.Map // of stretches by two curves
}

func newProver(in Input, until time.Time) *prover {
	pr := &prover{ladders: in.Ladders, complete: map[*bizcal.Calendar]bool{}, when: stretch{in.From.UnixNano(), until.UnixNano()}}
	latest := pr.when.to
	for _, t := range in.Teams {
		c := t.People.Calendar
		if _, seen := pr.complete[c]; seen {
			continue
		}
		pr.complete[c] = true
		for _, l := range in.Ladders {
			for _, f := range l.curves(c) {
				at, err := f.at(pr.when.to - 1)
				if err == nil {
					latest = max(latest, at)
				}
				if err != nil || f.must(pr.when.from) == never {
					pr.complete[c] = false
				}
			}
		}
	}
	for _, l := range in.Ladders {
		var chains [][]int
		for i := range l.Rungs {
			chain, _ := l.chain(i)
			chains = append(chains, chain)
		}
		pr.chains = append(pr.chains, chains)
	}
	pr.look = stretch{pr.when.from, latest + int64(10*24*time.Hour)}
	return pr
}

// curves gives all that is due by the ladder, the promise first.
func (l *Ladder) curves(c *bizcal.Calendar) []curve {
	curves := make([]curve, 1, len(l.Rungs)+1)
	curves[0] = curve{c: c, wait: l.ToldWithin}
	for i := range l.Rungs {
		if l.Rungs[i].Since != "" {
			curves = append(curves, l.curve(&l.Rungs[i], c))
		}
	}
	return curves
}

func (pr *prover) open(c *bizcal.Calendar) stretches {
	if have, ok := pr.opens.Load(c); ok {
		return have.(stretches) //nolint:errcheck // nothing else is kept there
	}
	open := openStretches(c, pr.look)
	pr.opens.Store(c, open)
	return open
}

// audience is a group and the channels by which it is told.
type audience struct {
	g  *Group
	by uint8
}

func mask(by []Channel) (m uint8) {
	for _, c := range by {
		if i := slices.Index(Channels(), c); i >= 0 {
			m |= 1 << i
		}
	}
	return m
}

// duty is when nobody of an audience can be told.
type duty struct {
	none  stretches // at all
	hours stretches // of none, those in which its own office is open
	full  bool      // somebody is always there when the office is open
}

func (pr *prover) duty(g *Group, by []Channel) *duty {
	key := audience{g, mask(by)}
	if have, ok := pr.shared.Load(key); ok {
		return have.(*duty) //nolint:errcheck // nothing else is kept there
	}
	open := pr.open(g.Calendar)
	reached := func(m *Member) bool { return m.reached(by) }
	there := presence(g.Members, pr.look, reached)
	on := presence(g.Members, pr.look, func(m *Member) bool { return m.OnCall && reached(m) })
	d := &duty{full: there.whole(pr.look)}
	if !d.full {
		d.hours = there.not(pr.look).and(open)
		on = join(append(slices.Clone(on), there.and(open)...))
	} else if !on.whole(pr.look) {
		on = join(append(slices.Clone(on), open...))
	}
	d.none = on.not(pr.look)
	if on.whole(pr.look) {
		d.none = nil
	}
	pr.shared.Store(key, d)
	return d
}

// desk is a team that is proved.
type desk struct {
	*prover
	t     *Team
	c     *bizcal.Calendar
	open  stretches
	gaps  map[audience]stretches
	proof Proof
}

func (pr *prover) team(t *Team) Proof {
	d := &desk{prover: pr, t: t, c: t.People.Calendar, open: pr.open(t.People.Calendar), gaps: map[audience]stretches{}}
	for i, l := range pr.ladders {
		d.ladder(l, pr.chains[i])
	}
	d.report()
	return d.proof
}

// none gives when a rung finds nobody: all of it for a rung that goes by the clock, else what lies in the team's own hours, where it is due.
func (d *desk) none(r *Rung, clock bool) stretches {
	g := d.t.group(r.Tell)
	if g == nil {
		return stretches{d.look}
	}
	duty := d.duty(g, r.By)
	if clock {
		return duty.none
	}
	if g.Calendar == d.c {
		return duty.hours
	}
	key := audience{g, mask(r.By)}
	have, ok := d.gaps[key]
	if !ok {
		have = duty.none.and(d.open)
		d.gaps[key] = have
	}
	return have
}

// ladder proves one ladder for the team.
func (d *desk) ladder(l *Ladder, chains [][]int) {
	when, ok := d.known(l)
	if !ok {
		return
	}
	promise := curve{c: d.c, wait: l.ToldWithin}
	late := stretches{when}
	order := make([]int, 0, len(l.Rungs))
	for i := range l.Rungs {
		if since := l.Rungs[i].Since; since != "" && since != SinceAssigned {
			order = append(order, i)
		}
	}
	// Those that can be compared by their length come first: mostly one of them is enough.
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(d.strange(l, i), d.strange(l, j)) })
	for _, i := range order {
		if late = late.and(d.late(l, i, chains[i], promise, when, late)); len(late) == 0 {
			break
		}
	}
	for n, s := range late {
		if n == maxOfOne {
			d.proof.Left += len(late) - n
			break
		}
		d.proof.Late = append(d.proof.Late, d.why(l, chains, order, promise, s))
	}
	for i := range l.Rungs {
		if !d.alive(l, i, chains, when) {
			d.proof.Dead = append(d.proof.Dead, Dead{l.Name, d.t.ID, l.Rungs[i].Name, d.reason(&l.Rungs[i], when.from)})
		}
	}
}

func (d *desk) strange(l *Ladder, i int) int {
	if r := &l.Rungs[i]; r.Since == SinceDue || r.After.kind() != l.ToldWithin.kind() {
		return 1
	}
	return 0
}

// known gives the stretch for which all of the ladder's times lie within the team's calendar.
func (d *desk) known(l *Ladder) (stretch, bool) {
	when := d.when
	if d.complete[d.c] {
		return when, true
	}
	var end error
	for _, f := range l.curves(d.c) {
		if _, err := f.at(when.from); err != nil {
			when.to, end = when.from, err
			break
		}
		_, err := f.at(when.to - 1)
		if err == nil {
			continue
		}
		end = err
		low, high := when.from, when.to-1 // known at low, not at high
		for high-low > 1 {
			if middle := low + (high-low)/2; f.must(middle) == never {
				high = middle
			} else {
				low = middle
			}
		}
		when.to = high
	}
	if end != nil {
		d.proof.Faults = append(d.proof.Faults, Fault{Ladder: l.Name, Team: d.t.ID, From: instant(when.to), What: end.Error()})
	}
	return when, when.from < when.to
}

// late gives the inquiries of which nobody hears in time by one rung and those above it; it looks within the bounds alone.
func (d *desk) late(l *Ladder, i int, chain []int, promise curve, when stretch, within stretches) stretches {
	f := l.curve(&l.Rungs[i], d.c)
	var out []stretch
	for _, w := range within {
		out = append(out, d.beyond(f, promise, w)...)
	}
	gaps := d.together(l, chain, f.wait.Clock)
	if len(gaps) == 0 {
		return join(out)
	}
	whole := gaps // with the nights: until when nobody is there
	if !f.wait.Clock {
		whole = d.together(l, chain, true)
	}
	for _, g := range gaps {
		end := g.to
		if w, ok := whole.at(g.from); ok {
			end = w.to
		}
		from, to := f.reach(g.from, when), f.reach(g.to, when)
		if end < d.look.to {
			to = min(to, promise.reach(end, when))
		}
		out = append(out, stretch{from, to})
	}
	return join(out)
}

// together gives when none of a chain finds anybody.
func (d *desk) together(l *Ladder, chain []int, clock bool) stretches {
	sets := make([]stretches, 0, len(chain))
	for _, j := range chain {
		if l.Rungs[j].Tell == WhoAssignee {
			continue
		}
		none := d.none(&l.Rungs[j], clock)
		if len(none) == 0 {
			return nil
		}
		sets = append(sets, none)
	}
	slices.SortFunc(sets, func(a, b stretches) int { return len(a) - len(b) })
	all := stretches{d.look}
	for _, set := range sets {
		if all = all.and(set); len(all) == 0 {
			return nil
		}
	}
	return all
}

type pair struct{ f, p curve }

func (d *desk) beyond(f, promise curve, when stretch) stretches {
	if when != d.when || d.simple(f, promise) {
		return f.beyond(promise, d.open, when)
	}
	key := pair{f, promise}
	if have, ok := d.prover.above.Load(key); ok {
		return have.(stretches) //nolint:errcheck // nothing else is kept there
	}
	out := f.beyond(promise, d.open, when)
	d.prover.above.Store(key, out)
	return out
}

func (d *desk) simple(f, p curve) bool { return !f.due && f.wait.kind() == p.wait.kind() }

// alive says whether a rung can ever tell anybody: at a time at which it, or one from which one climbs to it, is due.
func (d *desk) alive(l *Ladder, i int, chains [][]int, when stretch) bool {
	r := &l.Rungs[i]
	reached := false
	for j := range l.Rungs {
		if l.Rungs[j].Since == "" {
			continue
		}
		if !slices.Contains(chains[j], i) {
			continue
		}
		reached = true
		f := l.curve(&l.Rungs[j], d.c)
		none := d.none(r, f.wait.Clock)
		if len(none) == 0 {
			return true
		}
		for t := when.from; t < when.to; {
			gap, in := none.at(f.must(t))
			if !in {
				return true
			}
			t = f.reach(gap.to, when)
		}
	}
	return !reached // told once, for all teams
}

func (d *desk) reason(r *Rung, at int64) Reason {
	rung := *r
	if rung.Tell == WhoAssignee {
		rung.Tell = WhoTeam
	}
	t, err := d.c.NextOpen(instant(at))
	if err != nil {
		return ReasonCalendar
	}
	return Resolve(&rung, d.t, "", t).Reason
}
