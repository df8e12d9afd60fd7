package bizcal

import (
	"fmt"
	"sort"
	"time"
)

// Calendar is the compiled calendar of one office. It doesn't change and may be shared. It takes about 12 KB for 150 years. Its methods allocate
// nothing but errors.
type Calendar struct {
	national    *National
	first, last Day
	week        [7]pattern
	own         map[Day]own
	open        bits    // open days, from first on
	ranks       []int32 // open days before each word of open
	before      []int32 // open minutes before each word of open
}

type own struct {
	pattern // without minutes: closed
	reason  string
}

// Kind is why a day is open or closed.
type Kind string

// The kinds of day.
const (
	KindWorking   Kind = "working"    // 開庁日
	KindOwnOpen   Kind = "own_open"   // open by the office's own word
	KindOwnClosed Kind = "own_closed" // closed by the office's own word
	KindHoliday   Kind = "holiday"    // 国民の祝日に関する法律による休日
	KindYearEnd   Kind = "year_end"   // 29 December to 3 January, where it isn't a holiday
	KindWeekend   Kind = "weekend"    // a weekday without hours
)

// Status is what a calendar knows of a day.
type Status struct {
	Day      Day
	Open     bool
	Kind     Kind
	Name     string // of the holiday, or the office's reason
	Computed bool   // the year isn't announced: the law's rules say so, and may change
}

// First and Last are the days that the calendar knows.
func (c *Calendar) First() Day { return c.first }

// Last is the last day that the calendar knows.
func (c *Calendar) Last() Day { return c.last }

// Ending gives the calendar cut off after a year: what lies beyond is an error, as if nobody had looked that far.
func (c *Calendar) Ending(year int) (*Calendar, error) {
	last := Date(year, time.December, 31)
	if last < c.first || last > c.last {
		return nil, &OutsideError{last, c.first, c.last}
	}
	n := *c.national
	n.last = last
	cut := &Calendar{national: &n, first: c.first, last: last, week: c.week, own: map[Day]own{}}
	for day, mine := range c.own {
		if day <= last {
			cut.own[day] = mine
		}
	}
	cut.compile()
	return cut, nil
}

func (c *Calendar) outside(d Day) error {
	if d < c.first || d > c.last {
		return &OutsideError{d, c.first, c.last}
	}
	return nil
}

// hours gives the pattern of an open day, counted from first.
func (c *Calendar) hours(i int) *pattern {
	day := c.first + Day(i)
	if len(c.own) > 0 {
		if mine, ok := c.own[day]; ok {
			return &mine.pattern
		}
	}
	return &c.week[day.Weekday()]
}

// WorkingDay reports whether the office is open at some time of the day.
func (c *Calendar) WorkingDay(d Day) (bool, error) {
	if err := c.outside(d); err != nil {
		return false, err
	}
	return c.open.has(int(d - c.first)), nil
}

// Hours gives the spans in which the office is open on a day; none if it is closed. The slice must not be changed.
func (c *Calendar) Hours(d Day) ([]Span, error) {
	if open, err := c.WorkingDay(d); err != nil || !open {
		return nil, err
	}
	return c.hours(int(d - c.first)).spans, nil
}

// Status says why a day is open or closed.
func (c *Calendar) Status(d Day) (Status, error) {
	if err := c.outside(d); err != nil {
		return Status{}, err
	}
	s := Status{Day: d, Open: c.open.has(int(d - c.first)), Computed: d.Year() > c.national.announced}
	name, holiday := c.national.names[d]
	switch mine, ok := c.own[d]; {
	case ok && s.Open:
		s.Kind, s.Name = KindOwnOpen, mine.reason
	case ok:
		s.Kind, s.Name = KindOwnClosed, mine.reason
	case s.Open:
		s.Kind = KindWorking
	case holiday:
		s.Kind, s.Name = KindHoliday, name
	case c.national.closed.has(int(d - c.first)):
		s.Kind = KindYearEnd
	default:
		s.Kind = KindWeekend
	}
	return s, nil
}

// Open reports whether the office is open at an instant.
func (c *Calendar) Open(t time.Time) (bool, error) {
	d, since := split(t)
	spans, err := c.Hours(d)
	if err != nil {
		return false, err
	}
	for _, s := range spans {
		if since < minutes(s.To) {
			return since >= minutes(s.From), nil
		}
	}
	return false, nil
}

func minutes(n int) time.Duration { return time.Duration(n) * time.Minute }

// nextOpen gives day and time of the first open instant from t on.
func (c *Calendar) nextOpen(t time.Time) (int, time.Duration, error) {
	d, since := split(t)
	if err := c.outside(d); err != nil {
		return 0, 0, err
	}
	i := int(d - c.first)
	if c.open.has(i) {
		for _, s := range c.hours(i).spans {
			if since < minutes(s.To) {
				return i, max(since, minutes(s.From)), nil
			}
		}
	}
	if i = c.open.next(i + 1); i < 0 {
		return 0, 0, &OutsideError{c.last + 1, c.first, c.last}
	}
	return i, minutes(c.hours(i).spans[0].From), nil
}

func (c *Calendar) at(i int, since time.Duration) time.Time { return (c.first + Day(i)).At(since) }

// NextOpen gives t if the office is open then, else the next instant at which it opens.
func (c *Calendar) NextOpen(t time.Time) (time.Time, error) {
	i, since, err := c.nextOpen(t)
	if err != nil {
		return time.Time{}, err
	}
	return c.at(i, since), nil
}

// Add gives the instant n working days after t. What comes when the office is closed counts as coming when it opens; from there it is the n-th working
// day after (the first day isn't counted, 民法第140条) at the same time of the day, moved into that day's hours: to the next opening where it lies before one,
// to the closing time where it lies after the last. n must not be negative.
func (c *Calendar) Add(t time.Time, n int) (time.Time, error) {
	i, since, err := c.add(t, n)
	if err != nil {
		return time.Time{}, err
	}
	for _, s := range c.hours(i).spans {
		if since < minutes(s.To) {
			return c.at(i, max(since, minutes(s.From))), nil
		}
	}
	return c.at(i, c.close(i)), nil
}

// Due gives the end of the last hour in which something is answered within n working days: the closing time of the n-th working day.
func (c *Calendar) Due(t time.Time, n int) (time.Time, error) {
	i, _, err := c.add(t, n)
	if err != nil {
		return time.Time{}, err
	}
	return c.at(i, c.close(i)), nil
}

func (c *Calendar) close(i int) time.Duration {
	spans := c.hours(i).spans
	return minutes(spans[len(spans)-1].To)
}

// add gives the n-th working day after that on which t counts, and the time of the day at which it does.
func (c *Calendar) add(t time.Time, n int) (int, time.Duration, error) {
	if n < 0 {
		return 0, 0, fmt.Errorf("営業日数が負 / %d working days: the number must not be negative", n)
	}
	i, since, err := c.nextOpen(t)
	if err != nil {
		return 0, 0, err
	}
	place := c.open.rank(c.ranks, i)
	if n >= int(c.ranks[len(c.open)])-place {
		return 0, 0, &OutsideError{c.last + 1, c.first, c.last}
	}
	return c.open.nth(c.ranks, place+n), since, nil
}

// Place gives the working day n places after the first one on or after d; before it, for a negative n.
func (c *Calendar) Place(d Day, n int) (Day, error) {
	if err := c.outside(d); err != nil {
		return 0, err
	}
	place := c.open.rank(c.ranks, int(d-c.first))
	if n > int(c.ranks[len(c.open)]) || place+n < 0 {
		return 0, &OutsideError{d, c.first, c.last}
	}
	i := c.open.nth(c.ranks, place+n)
	if i < 0 {
		return 0, &OutsideError{c.last + 1, c.first, c.last}
	}
	return c.first + Day(i), nil
}

// Between counts the working days from a to b: the largest n for which Add(a, n) isn't after b; 0 where even Add(a, 0) is.
func (c *Calendar) Between(a, b time.Time) (int, error) {
	i, _, err := c.nextOpen(a)
	if err != nil {
		return 0, err
	}
	d := DayOf(b)
	if err := c.outside(d); err != nil {
		return 0, err
	}
	n := c.open.rank(c.ranks, int(d-c.first)) - c.open.rank(c.ranks, i)
	if !c.open.has(int(d - c.first)) {
		n--
	}
	if n <= 0 {
		return 0, nil
	}
	reached, err := c.Add(a, n)
	if err == nil && reached.After(b) {
		n--
	}
	return n, err
}

// elapsed is the open time from the calendar's beginning to an instant within a day.
func (c *Calendar) elapsed(i int, since time.Duration) time.Duration {
	w := i >> 6
	total := minutes(int(c.before[w]))
	for j := c.open.next(w << 6); j >= 0 && j < i; j = c.open.next(j + 1) {
		total += minutes(int(c.hours(j).minutes))
	}
	if c.open.has(i) {
		for _, s := range c.hours(i).spans {
			total += min(max(since-minutes(s.From), 0), minutes(s.To-s.From))
		}
	}
	return total
}

// AddHours gives the first instant by which the office was open for so long since t; for 0, the next open instant. d must not be negative.
func (c *Calendar) AddHours(t time.Time, d time.Duration) (time.Time, error) {
	if d < 0 {
		return time.Time{}, fmt.Errorf("営業時間が負 / %s of working hours: must not be negative", d)
	}
	i, since, err := c.nextOpen(t)
	if err != nil || d == 0 {
		return c.at(i, since), err
	}
	target := c.elapsed(i, since)
	if d > minutes(int(c.before[len(c.open)]))-target {
		return time.Time{}, &OutsideError{c.last + 1, c.first, c.last}
	}
	target += d
	w := sort.Search(len(c.open), func(w int) bool { return minutes(int(c.before[w+1])) >= target })
	return c.walk(w, target-minutes(int(c.before[w])), true), nil
}

// Back gives the latest instant from which to t the office was open for so long: the reverse of AddHours. For 0 it is t. d must not be negative.
func (c *Calendar) Back(t time.Time, d time.Duration) (time.Time, error) {
	day, since := split(t)
	if err := c.outside(day); err != nil || d == 0 {
		return t, err
	}
	target := c.elapsed(int(day-c.first), since) - d
	if d < 0 || target < 0 {
		return time.Time{}, &OutsideError{c.first - 1, c.first, c.last}
	}
	w := sort.Search(len(c.open), func(w int) bool { return minutes(int(c.before[w+1])) > target })
	return c.walk(w, target-minutes(int(c.before[w])), false), nil
}

// FirstReaching gives the first instant from which AddHours reaches t or later; the calendar's beginning if that is before it.
func (c *Calendar) FirstReaching(t time.Time, d time.Duration) (time.Time, error) {
	i, since, err := c.nextOpen(t)
	if err != nil {
		return time.Time{}, err
	}
	target := c.elapsed(i, since) - d
	if target <= 0 {
		return c.first.Start(), nil
	}
	w := sort.Search(len(c.open), func(w int) bool { return minutes(int(c.before[w+1])) >= target })
	return c.walk(w, target-minutes(int(c.before[w])), true), nil
}

// walk goes so much open time on from the beginning of a word of days. Where that ends with a span of hours it gives the span's end, or the beginning of
// the next one.
func (c *Calendar) walk(w int, rest time.Duration, end bool) time.Time {
	for i := c.open.next(w << 6); ; i = c.open.next(i + 1) {
		p := c.hours(i)
		if all := minutes(int(p.minutes)); rest > all || !end && rest == all {
			rest -= all
			continue
		}
		for _, s := range p.spans {
			if length := minutes(s.To - s.From); rest > length || !end && rest == length {
				rest -= length
			} else {
				return c.at(i, minutes(s.From)+rest)
			}
		}
	}
}

// Change gives the next instant after t at which the office opens or closes.
func (c *Calendar) Change(t time.Time) (time.Time, error) {
	d, since := split(t)
	if err := c.outside(d); err != nil {
		return time.Time{}, err
	}
	i := int(d - c.first)
	if c.open.has(i) {
		for _, s := range c.hours(i).spans {
			for _, edge := range []int{s.From, s.To} {
				if minutes(edge) > since {
					return c.at(i, minutes(edge)), nil
				}
			}
		}
	}
	if i = c.open.next(i + 1); i < 0 {
		return time.Time{}, &OutsideError{c.last + 1, c.first, c.last}
	}
	return c.at(i, minutes(c.hours(i).spans[0].From)), nil
}

// HoursBetween gives how long the office was open from a to b; 0 where b isn't after a.
func (c *Calendar) HoursBetween(a, b time.Time) (time.Duration, error) {
	i, since := split(a)
	j, until := split(b)
	for _, d := range []Day{i, j} {
		if err := c.outside(d); err != nil {
			return 0, err
		}
	}
	return max(0, c.elapsed(int(j-c.first), until)-c.elapsed(int(i-c.first), since)), nil
}
