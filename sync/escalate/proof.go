package escalate

import "time"

// Input is what is proved: each ladder with each team, for inquiries that come on Days days from From.
type Input struct {
	Ladders []*Ladder
	Teams   []*Team
	From    time.Time
	Days    int
	Workers int // at the same time; 0: one
}

// Limits of a proof.
const (
	MaxDays   = 800
	maxListed = 10_000 // of each list of a proof
	maxOfOne  = 50     // stretches of one ladder and team
)

// Proof says for inquiries that nobody is assigned to and nobody answers, whether a person who is on duty is told in the promised time. An assignee who is there
// is told besides: it can't be later with one than without.
type Proof struct {
	From, Until    time.Time
	Ladders, Teams int
	Late           []Late  // worst: the promise is broken
	Gaps           []Gap   // nobody of an audience is there in its own office's hours: the rungs climb
	Dead           []Dead  // rungs that can never tell anybody
	Faults         []Fault // what can't be climbed
	Left           int     // how many more of any kind there are
}

// Holds says whether the promise holds everywhere and every rung can fire. Gaps that those above fill don't break it.
func (p *Proof) Holds() bool { return len(p.Late)+len(p.Dead)+len(p.Faults)+p.Left == 0 }

// Late is a stretch in which inquiries come of which nobody who is on duty hears in the promised time.
type Late struct {
	Ladder      string
	Team        TeamID
	From, Until time.Time // when they come
	Promised    time.Time // for one that comes at From
	Told        time.Time // when somebody is; zero: nobody, as far as was looked
	Why         []Finding // for one that comes at From: each rung that is due first, and those above it
}

// Finding is what a rung finds.
type Finding struct {
	Rung   string
	At     time.Time
	Reason Reason
}

// Gap is a stretch in which an audience has nobody on duty though its office is open.
type Gap struct {
	Team        TeamID
	Tell        Who
	By          []Channel
	From, Until time.Time // Until is when somebody is there again; the end of what was looked at if nobody is
	Open        bool      // nobody is there again, as far as was looked
	Why         Reason
}

// Dead is a rung that can never tell anybody.
type Dead struct {
	Ladder string
	Team   TeamID // empty: whoever the team is
	Rung   string
	Why    Reason // empty: nothing makes it due and nothing climbs to it
}

// Fault is something that can't be climbed. Error texts are for staff.
type Fault struct {
	Ladder string
	Team   TeamID // empty: whoever the team is
	Rung   string
	From   time.Time // inquiries that come from then on; zero: all
	What   string
}

// why says what happens to an inquiry that comes at the beginning of a stretch.
func (d *desk) why(l *Ladder, chains [][]int, order []int, promise curve, s stretch) Late {
	late := Late{Ladder: l.Name, Team: d.t.ID, From: instant(s.from), Until: instant(s.to), Promised: instant(promise.must(s.from))}
	for _, i := range order {
		at := l.curve(&l.Rungs[i], d.c).must(s.from)
		for _, j := range chains[i] {
			r := &l.Rungs[j]
			res := Resolve(r, d.t, "", instant(at))
			if len(late.Why) < 16 {
				late.Why = append(late.Why, Finding{r.Name, instant(at), res.Reason})
			}
		}
		if gap, in := d.together(l, chains[i], true).at(at); in {
			at = gap.to
		}
		if at < d.look.to && (late.Told.IsZero() || instant(at).Before(late.Told)) {
			late.Told = instant(at)
		}
	}
	return late
}

// report lists the gaps of the audiences that the ladders tell.
func (d *desk) report() {
	seen := map[audience]bool{}
	for _, l := range d.ladders {
		for i := range l.Rungs {
			r := l.Rungs[i]
			if r.Tell == WhoAssignee {
				r.Tell = WhoTeam
			}
			g := d.t.group(r.Tell)
			if g == nil || seen[audience{g, mask(r.By)}] {
				continue
			}
			seen[audience{g, mask(r.By)}] = true
			d.gapsOf(&r, g)
		}
	}
}

func (d *desk) gapsOf(r *Rung, g *Group) {
	duty := d.duty(g, r.By)
	last := int64(0)
	for _, h := range duty.hours {
		whole, ok := duty.none.at(h.from)
		if !ok || h.from >= d.when.to || whole.from < last { // the next morning of one that was told
			continue
		}
		last = whole.to
		d.proof.Gaps = append(d.proof.Gaps, Gap{
			Team: d.t.ID, Tell: r.Tell, By: r.By, From: instant(h.from), Until: instant(whole.to), Open: whole.to >= d.look.to,
			Why: Resolve(r, d.t, "", instant(h.from)).Reason,
		})
	}
}
