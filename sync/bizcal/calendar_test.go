package bizcal

import (
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func day(t testing.TB, text string) Day {
	t.Helper()
	at, err := time.Parse(time.DateOnly, text)
	if err != nil {
		t.Fatal(err)
	}
	return Date(at.Date())
}

func at(t testing.TB, text string) time.Time {
	t.Helper()
	at, err := time.Parse("2006-01-02 15:04 -0700", text+" +0900")
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func ministry(t testing.TB, until int) *Calendar {
	t.Helper()
	n, err := NewNational(Known(), until)
	if err != nil {
		t.Fatal(err)
	}
	c, err := n.Calendar(Ministry())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestAdd(t *testing.T) {
	c := ministry(t, 2030)
	for _, row := range []struct {
		why, from string
		days      int
		want, due string
	}{
		{"one day", "2026-11-30 10:00", 1, "2026-12-01 10:00", "2026-12-01 17:15"},
		{"none", "2026-11-30 10:00", 0, "2026-11-30 10:00", "2026-11-30 17:15"},
		{"over a weekend", "2026-11-27 10:00", 1, "2026-11-30 10:00", "2026-11-30 17:15"},
		{"asked on Saturday counts from Monday", "2026-11-28 10:00", 1, "2026-12-01 08:30", "2026-12-01 17:15"},
		{"asked in the evening counts from tomorrow", "2026-11-30 18:00", 1, "2026-12-02 08:30", "2026-12-02 17:15"},
		{"asked at closing time", "2026-11-30 17:15", 0, "2026-12-01 08:30", "2026-12-01 17:15"},
		{"asked before opening", "2026-11-30 07:00", 1, "2026-12-01 08:30", "2026-12-01 17:15"},
		{"asked at noon", "2026-11-30 12:30", 1, "2026-12-01 13:00", "2026-12-01 17:15"},
		{"over New Year", "2026-12-28 16:00", 3, "2027-01-06 16:00", "2027-01-06 17:15"},
		{"over ten days in 2019", "2019-04-26 09:00", 1, "2019-05-07 09:00", "2019-05-07 17:15"},
	} {
		t.Run(row.why, func(t *testing.T) {
			got, err := c.Add(at(t, row.from), row.days)
			if err != nil || !got.Equal(at(t, row.want)) {
				t.Errorf("Add: %s %v, want %s", got, err, row.want)
			}
			due, err := c.Due(at(t, row.from), row.days)
			if err != nil || !due.Equal(at(t, row.due)) {
				t.Errorf("Due: %s %v, want %s", due, err, row.due)
			}
		})
	}
}

func TestAddHours(t *testing.T) {
	c := ministry(t, 2030)
	for _, row := range []struct{ why, from, hours, want string }{
		{"within the morning", "2026-11-30 09:00", "2h", "2026-11-30 11:00"},
		{"over noon", "2026-11-30 11:00", "2h", "2026-11-30 14:00"},
		{"to the end of the morning", "2026-11-30 11:00", "1h", "2026-11-30 12:00"},
		{"overnight", "2026-11-30 17:00", "30m", "2026-12-01 08:45"},
		{"a whole day", "2026-11-30 08:30", "7h45m", "2026-11-30 17:15"},
		{"nothing, at night", "2026-11-30 20:00", "0s", "2026-12-01 08:30"},
		{"over New Year", "2026-12-28 17:00", "1h", "2027-01-04 09:15"},
		{"a hundred days", "2026-01-05 08:30", "775h", "2026-06-03 17:15"},
	} {
		t.Run(row.why, func(t *testing.T) {
			d, err := time.ParseDuration(row.hours)
			if err != nil {
				t.Fatal(err)
			}
			got, err := c.AddHours(at(t, row.from), d)
			if err != nil || !got.Equal(at(t, row.want)) {
				t.Errorf("%s %v, want %s", got, err, row.want)
			}
		})
	}
}

// A calendar that ends says so, whatever is asked, and never says "open".
func TestEnds(t *testing.T) {
	c := ministry(t, 2026)
	outside, last := at(t, "2027-01-01 10:00"), at(t, "2026-12-28 10:00")
	asks := map[string]func() error{
		"open":          func() error { open, err := c.Open(outside); mustClosed(t, open); return err },
		"working day":   func() error { open, err := c.WorkingDay(DayOf(outside)); mustClosed(t, open); return err },
		"before it":     func() error { _, err := c.WorkingDay(c.First() - 1); return err },
		"status":        func() error { _, err := c.Status(DayOf(outside)); return err },
		"hours":         func() error { _, err := c.Hours(DayOf(outside)); return err },
		"next open":     func() error { _, err := c.NextOpen(at(t, "2026-12-28 17:15")); return err },
		"add":           func() error { _, err := c.Add(last, 1); return err },
		"add many":      func() error { _, err := c.Add(last, 1<<40); return err },
		"due":           func() error { _, err := c.Due(last, 1); return err },
		"add hours":     func() error { _, err := c.AddHours(last, 7*time.Hour); return err },
		"most hours":    func() error { _, err := c.AddHours(last, 1<<63-1); return err },
		"between":       func() error { _, err := c.Between(last, outside); return err },
		"hours between": func() error { _, err := c.HoursBetween(last, outside); return err },
		"far past":      func() error { _, err := c.NextOpen(time.Time{}); return err },
	}
	for name, ask := range asks {
		err := ask()
		var o *OutsideError
		if !errors.Is(err, ErrOutside) || !errors.As(err, &o) || !strings.Contains(err.Error(), "2026-12-31") {
			t.Errorf("%s: %v", name, err)
		}
	}
	long := ministry(t, 2030)
	if cut, err := long.Ending(2026); err != nil || cut.Last() != c.Last() {
		t.Error(err)
	} else if _, err := cut.Add(last, 1); !errors.Is(err, ErrOutside) {
		t.Errorf("cut off, and goes on: %v", err)
	}
	if _, err := long.Ending(2031); !errors.Is(err, ErrOutside) {
		t.Errorf("%v", err)
	}
	if got, err := c.AddHours(last, 6*time.Hour+15*time.Minute); err != nil || !got.Equal(at(t, "2026-12-28 17:15")) {
		t.Errorf("the last minute that it knows: %s %v", got, err)
	}
}

func mustClosed(t *testing.T, open bool) {
	t.Helper()
	if open {
		t.Error("open outside the calendar")
	}
}

func TestOwnDays(t *testing.T) {
	n, err := NewNational(Known(), 2030)
	if err != nil {
		t.Fatal(err)
	}
	o := Ministry()
	o.Closed = []Own{{Day: day(t, "2026-11-13"), Reason: "県民の日"}}
	o.Open = []Own{
		{Day: day(t, "2026-11-28"), Reason: "土曜開庁", Hours: []Span{{9 * 60, 12 * 60}}},
		{Day: day(t, "2026-11-23"), Reason: "祝日開庁"}, // a Monday: its usual hours
	}
	c, err := n.Calendar(o)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		day  string
		open bool
		kind Kind
		name string
	}{
		{"2026-11-13", false, KindOwnClosed, "県民の日"},
		{"2026-11-28", true, KindOwnOpen, "土曜開庁"},
		{"2026-11-23", true, KindOwnOpen, "祝日開庁"},
		{"2026-11-03", false, KindHoliday, "文化の日"},
		{"2026-11-29", false, KindWeekend, ""},
		{"2026-12-29", false, KindYearEnd, ""},
		{"2026-11-30", true, KindWorking, ""},
		{"2027-05-03", false, KindHoliday, "憲法記念日"},
	} {
		s, err := c.Status(day(t, row.day))
		if err != nil || s.Open != row.open || s.Kind != row.kind || s.Name != row.name || s.Computed != (row.day > "2027") {
			t.Errorf("%s: %+v %v", row.day, s, err)
		}
	}
	// The time of the day is moved into a short day's hours.
	if got, err := c.Add(at(t, "2026-11-27 16:00"), 1); err != nil || !got.Equal(at(t, "2026-11-28 12:00")) {
		t.Errorf("%s %v", got, err)
	}
	if got, err := c.AddHours(at(t, "2026-11-27 16:15"), 5*time.Hour); err != nil || !got.Equal(at(t, "2026-11-30 09:30")) {
		t.Errorf("%s %v", got, err)
	}
	sat := []Span{{9 * 60, 12 * 60}}
	for name, spoil := range map[string]func(*Office){
		"no hours":          func(o *Office) { o.Week = [7][]Span{} },
		"overlap":           func(o *Office) { o.Week[1] = []Span{{8 * 60, 12 * 60}, {11 * 60, 17 * 60}} },
		"order":             func(o *Office) { o.Week[1] = []Span{{13 * 60, 17 * 60}, {8 * 60, 12 * 60}} },
		"beyond the day":    func(o *Office) { o.Week[1] = []Span{{8 * 60, 25 * 60}} },
		"backwards":         func(o *Office) { o.Week[1] = []Span{{12 * 60, 8 * 60}} },
		"too many":          func(o *Office) { o.Week[1] = make([]Span, MaxSpans+1) },
		"twice":             func(o *Office) { o.Closed = append(o.Closed, o.Closed[0]) },
		"open and closed":   func(o *Office) { o.Open = append(o.Open, o.Closed[0]) },
		"open, no hours":    func(o *Office) { o.Open = append(o.Open, Own{Day: day(t, "2026-12-05")}) },
		"closed with hours": func(o *Office) { o.Closed = append(o.Closed, Own{Day: day(t, "2026-12-04"), Hours: sat}) },
		"outside":           func(o *Office) { o.Closed = append(o.Closed, Own{Day: day(t, "2031-01-01")}) },
		"too many days":     func(o *Office) { o.Closed = make([]Own, MaxOwn+1) },
	} {
		spoiled := o
		spoiled.Closed, spoiled.Open = append([]Own(nil), o.Closed...), append([]Own(nil), o.Open...)
		spoil(&spoiled)
		if _, err := n.Calendar(spoiled); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestParseSpan(t *testing.T) {
	if s, err := ParseSpan("13:00-24:00"); err != nil || s != (Span{780, 1440}) || s.String() != "13:00-24:00" {
		t.Error(s, err)
	}
	for _, text := range []string{"", "8:30-12:00", "08:30-24:01", "08:60-12:00", "12:00-08:30", "08:30-08:30", "08:30–12:00", "08:30-12:00 ", "ab:cd-ef:gh"} {
		if s, err := ParseSpan(text); err == nil {
			t.Errorf("%q is %s", text, s)
		}
	}
}

// drawOffice makes odd offices: several spans, Saturdays, days of their own.
func drawOffice(t *rapid.T) Office {
	spans := func(name string) []Span {
		var s []Span
		for from := rapid.IntRange(0, 600).Draw(t, name); len(s) < 3 && from < 1430 && rapid.IntRange(0, 3).Draw(t, name) > 0; {
			to := rapid.IntRange(from+1, 1440).Draw(t, name)
			s = append(s, Span{from, to})
			from = to + rapid.IntRange(0, 120).Draw(t, name)
		}
		return s
	}
	var o Office
	for w := range o.Week {
		o.Week[w] = spans("week")
	}
	o.Week[3] = []Span{{510, 720}, {780, 1035}}
	for d := Date(2026, 1, 1) + Day(rapid.IntRange(0, 60).Draw(t, "own")); d < Date(2026, 12, 31); d += Day(rapid.IntRange(1, 90).Draw(t, "own")) {
		if hours := spans("own"); len(hours) > 0 {
			o.Open = append(o.Open, Own{Day: d, Hours: hours})
		} else {
			o.Closed = append(o.Closed, Own{Day: d})
		}
	}
	return o
}

// brute answers from the office alone, by walking minute by minute.
type brute struct {
	n       *National
	o       Office
	minutes map[Day]*[minutesOfDay]bool
}

func (b *brute) day(d Day) *[minutesOfDay]bool {
	if m := b.minutes[d]; m != nil {
		return m
	}
	m := new([minutesOfDay]bool)
	_, month, of := d.Civil()
	_, holiday := b.n.names[d]
	spans := b.o.Week[d.Weekday()]
	if holiday || month == time.December && of >= 29 || month == time.January && of <= 3 {
		spans = nil
	}
	for _, own := range b.o.Open {
		if own.Day == d {
			spans = own.Hours
		}
	}
	for _, own := range b.o.Closed {
		if own.Day == d {
			spans = nil
		}
	}
	for _, s := range spans {
		for i := s.From; i < s.To; i++ {
			m[i] = true
		}
	}
	b.minutes[d] = m
	return m
}

func (b *brute) open(t time.Time) bool {
	d, since := split(t)
	return b.day(d)[since/time.Minute]
}

func (b *brute) addMinutes(t time.Time, n int) time.Time {
	for !b.open(t) {
		t = t.Add(time.Minute)
	}
	for ; n > 0; t = t.Add(time.Minute) {
		if b.open(t) {
			n--
		}
	}
	return t
}

func (b *brute) addDays(t time.Time, n int) time.Time {
	for !b.open(t) {
		t = t.Add(time.Minute)
	}
	d, since := split(t)
	for n > 0 {
		if d++; *b.day(d) != [minutesOfDay]bool{} {
			n--
		}
	}
	minute := int(since / time.Minute)
	for i := minute; i < minutesOfDay; i++ {
		if b.day(d)[i] {
			return d.At(minutes(i))
		}
	}
	last := 0
	for i, open := range b.day(d) {
		if open {
			last = i + 1
		}
	}
	return d.At(minutes(last))
}

func TestAgreesWithBruteForce(t *testing.T) {
	n, err := NewNational(Known(), 2027)
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		o := drawOffice(t)
		c, err := n.Calendar(o)
		if err != nil {
			t.Fatal(err)
		}
		b := &brute{n, o, map[Day]*[minutesOfDay]bool{}}
		start := Date(2025, 12, 20).Start()
		from := start.Add(minutes(rapid.IntRange(0, 380*minutesOfDay).Draw(t, "from")))
		if open, err := c.Open(from); err != nil || open != b.open(from) {
			t.Fatalf("open at %s: %t %v", from, open, err)
		}
		days := rapid.IntRange(0, 30).Draw(t, "days")
		got, err := c.Add(from, days)
		if want := b.addDays(from, days); err != nil || !got.Equal(want) {
			t.Fatalf("%s + %d days: %s %v, want %s", from, days, got, err, want)
		}
		if back, err := c.Between(from, got); err != nil || back != days {
			t.Fatalf("%s to %s: %d %v, want %d", from, got, back, err, days)
		}
		span := rapid.IntRange(0, 5000).Draw(t, "minutes")
		late, err := c.AddHours(from, minutes(span))
		if want := b.addMinutes(from, span); err != nil || !late.Equal(want) {
			t.Fatalf("%s + %d minutes: %s %v, want %s", from, span, late, err, want)
		}
		if back, err := c.HoursBetween(from, late); err != nil || back != minutes(span) {
			t.Fatalf("%s to %s: %s %v, want %d minutes", from, late, back, err, span)
		}
		if back, err := c.Back(late, minutes(span)); err != nil || span > 0 && back.Before(from) {
			t.Fatalf("%s back %d minutes: %s %v", late, span, back, err)
		} else if again, err := c.HoursBetween(back, late); err != nil || again != minutes(span) {
			t.Fatalf("%s to %s: %s %v, want %d minutes", back, late, again, err, span)
		} else if more, err := c.HoursBetween(back.Add(1), late); span > 0 && (err != nil || more == minutes(span)) {
			t.Fatalf("%s isn't the latest", back)
		}
		if first, err := c.FirstReaching(late, minutes(span)); err != nil {
			t.Fatal(err)
		} else if reached, err := c.AddHours(first, minutes(span)); err != nil || b.addMinutes(reached, 0).Before(late) {
			t.Fatalf("from %s %d minutes reach %s, not %s: %v", first, span, reached, late, err)
		} else if early, err := c.AddHours(first.Add(-1), minutes(span)); err != nil || !b.addMinutes(early.Truncate(time.Minute), 0).Before(late) {
			t.Fatalf("%s isn't the first", first)
		}
		there, err := c.Place(DayOf(from), days)
		if err != nil {
			t.Fatal(err)
		}
		back, err := c.Place(there, -days)
		if err != nil || back != DayOf(b.addMinutes(DayOf(from).Start(), 0)) {
			t.Fatalf("%s and %d places on: %s; and back: %s %v", from, days, there, back, err)
		}
		change, err := c.Change(from)
		if err != nil {
			t.Fatal(err)
		}
		for m := from; m.Before(change); m = m.Add(time.Minute) {
			if b.open(m) != b.open(from) {
				t.Fatalf("no change at %s, said to be at %s", m, change)
			}
		}
		// Later asked, later due; and Between is the largest number whose Add isn't after.
		later := from.Add(minutes(rapid.IntRange(0, 20*minutesOfDay).Draw(t, "later")))
		second, err := c.Add(later, days)
		if err != nil || second.Before(got) {
			t.Fatalf("asked at %s due %s, asked later at %s due %s %v", from, got, later, second, err)
		}
		if k, err := c.Between(from, later); err != nil {
			t.Fatal(err)
		} else if next, err := c.Add(from, k+1); err != nil || !next.After(later) {
			t.Fatalf("%s to %s are more than %d days", from, later, k)
		} else if reached, err := c.Add(from, k); err != nil || k > 0 && reached.After(later) {
			t.Fatalf("%s to %s are fewer than %d days", from, later, k)
		}
	})
}

// Every day of every year, day by day, against what the list and the week say.
func TestEveryDay(t *testing.T) {
	c := ministry(t, LastYear)
	b := &brute{c.national, Ministry(), map[Day]*[minutesOfDay]bool{}}
	count, minutesOpen := 0, 0
	for d := c.First(); d <= c.Last(); d++ {
		m := b.day(d)
		want := m[600]
		if open, err := c.WorkingDay(d); err != nil || open != want {
			t.Fatalf("%s: %t %v", d, open, err)
		}
		if want {
			count++
			minutesOpen += 465
		}
		delete(b.minutes, d)
	}
	start, end := c.First().Start(), c.Last().At(24*time.Hour-1)
	if n, err := c.Between(start, end); err != nil || n != count-1 {
		t.Errorf("%d working days %v, want %d", n, err, count-1)
	}
	if d, err := c.HoursBetween(start, end); err != nil || d != minutes(minutesOpen) {
		t.Errorf("%s of working hours %v, want %s", d, err, minutes(minutesOpen))
	}
}

func BenchmarkCalendar(b *testing.B) {
	c := ministry(b, LastYear)
	start := Date(2026, 1, 1).Start()
	when := func(i int) time.Time { return start.Add(time.Duration(i%500_000) * 7 * time.Minute) }
	for name, call := range map[string]func(time.Time) error{
		"Open":     func(t time.Time) error { _, err := c.Open(t); return err },
		"NextOpen": func(t time.Time) error { _, err := c.NextOpen(t); return err },
		"Add":      func(t time.Time) error { _, err := c.Add(t, 5); return err },
		"AddHours": func(t time.Time) error { _, err := c.AddHours(t, 20*time.Hour); return err },
		"Between":  func(t time.Time) error { _, err := c.Between(start, t); return err },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for i := range b.N {
				if err := call(when(i)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("compile", func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			if _, err := c.national.Calendar(Ministry()); err != nil {
				b.Fatal(err)
			}
		}
	})
}
