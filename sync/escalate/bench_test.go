package escalate

import (
	"fmt"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/sync/bizcal"
)

// nation is 1,788 desks of three people and an administrator each, with leave taken through the year, below 30 ministries and one agency, and 100
// ladders: three in ten by the clock, the others in working time, two of them with a promise by the clock. offices is how many calendars there are.
func nation(b *testing.B, offices int) Input {
	n := national(b, 2030)
	from := at("2026-12-01 00:00")
	var calendars []*bizcal.Calendar
	for i := range offices {
		o := bizcal.Ministry()
		if i > 0 {
			o.Closed = []bizcal.Own{{Day: bizcal.DayOf(from) + bizcal.Day(i%365)}}
		}
		c, err := n.Calendar(o)
		if err != nil {
			b.Fatal(err)
		}
		calendars = append(calendars, c)
	}
	person := func(id string, seed int) Member {
		m := member(id)
		for k := range 20 { // days of leave
			day := from.Add(time.Duration((seed*7+k*19)%400) * 24 * time.Hour)
			m.Absent = append(m.Absent, Absence{day, day.Add(24 * time.Hour)})
		}
		if seed%5 == 0 {
			m.Until = at("2027-04-01 00:00")
		}
		return m
	}
	system := group(calendars[0], person("s1", 1), person("s2", 2), person("s3", 3))
	for i := range system.Members {
		system.Members[i].OnCall = true
	}
	var ministries []*Group
	for i := range 30 {
		ministries = append(ministries, group(calendars[0], person("m1", i), person("m2", i+3)))
	}
	in := Input{From: from, Days: 400, Workers: runtime.GOMAXPROCS(0)}
	for i := range 1788 {
		c := calendars[i%offices]
		in.Teams = append(in.Teams, &Team{
			ID: TeamID(fmt.Sprint("desk-", i)), People: group(c, person("p1", i), person("p2", i+1), person("p3", i+2)), Admins: group(c, person("a", i+4)),
			Ministry: ministries[i%30], System: system,
		})
	}
	for i := range 100 {
		l := usual()
		l.Name = fmt.Sprint("ladder-", i)
		l.Rungs[0].After = Wait{Time: time.Duration(1+i%8) * time.Hour}
		l.Rungs[1].After = Wait{Days: 1 + i%3}
		l.Rungs[2].After = Wait{Days: 2 + i%4}
		l.ToldWithin = Wait{Days: 2 + i%3}
		if i%50 == 49 { // a promise by the clock, kept by working time but not over holidays
			l.ToldWithin = Wait{Time: time.Duration(80+i) * time.Hour, Clock: true}
		}
		if i%10 < 3 {
			l.Rungs[0].After = Wait{Time: time.Duration(30+i) * time.Minute, Clock: true}
			l.ToldWithin = Wait{Time: time.Duration(2+i%24) * time.Hour, Clock: true}
		}
		in.Ladders = append(in.Ladders, l)
	}
	return in
}

func BenchmarkProve(b *testing.B) {
	for _, offices := range []int{1, 60, 1788} {
		b.Run(fmt.Sprintf("calendars=%d", offices), func(b *testing.B) {
			in := nation(b, offices)
			b.ReportAllocs()
			b.ResetTimer()
			before := spent(b)
			for range b.N {
				p, err := Prove(in)
				if err != nil {
					b.Fatal(err)
				}
				if len(p.Gaps) == 0 || len(p.Dead) > 0 || len(p.Faults) > 0 {
					b.Fatalf("%d gaps, %d dead, %v", len(p.Gaps), len(p.Dead), p.Faults)
				}
				b.ReportMetric(float64(len(p.Late)+len(p.Gaps)+p.Left), "holes")
			}
			b.ReportMetric(b.Elapsed().Seconds()/float64(b.N)/10, "of-the-goal-of-10-s")
			b.ReportMetric((spent(b)-before).Seconds()/float64(b.N), "cpu-s/op") // on a machine that others use, the figure to read
		})
	}
}

// spent is the time that processors have given this process.
func spent(b *testing.B) time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

func BenchmarkNext(b *testing.B) {
	l, team := usual(), staffed(calendar(b, 2030))
	w := &World{map[string]*Ladder{l.Name: l}, map[TeamID]*Team{team.ID: team}}
	b.ReportAllocs()
	for range b.N {
		s, _, due := w.Next(State{}, Event{Kind: EventCreated, Ladder: l.Name, Team: team.ID}, at("2026-12-01 10:00"))
		for !due.IsZero() {
			s, _, due = w.Next(s, Event{Kind: EventRungDue}, due)
		}
		if len(s.Marks) != 5 {
			b.Fatal(s.Marks)
		}
	}
}
