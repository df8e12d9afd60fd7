package bizcal

import (
	"fmt"
	"time"
)

// Span is a time of the day in which an office is open: From belongs to it, To doesn't. Both are minutes since 00:00 JST, 0 to 1440.
type Span struct{ From, To int }

func (s Span) String() string {
	return fmt.Sprintf("%02d:%02d-%02d:%02d", s.From/60, s.From%60, s.To/60, s.To%60)
}

// ParseSpan reads 08:30-12:00; 24:00 is the end of the day.
func ParseSpan(text string) (Span, error) {
	var n [4]int
	ok := len(text) == 11 && text[2] == ':' && text[5] == '-' && text[8] == ':'
	for i, at := range []int{0, 3, 6, 9} {
		if !ok || text[at] < '0' || text[at] > '9' || text[at+1] < '0' || text[at+1] > '9' {
			return Span{}, fmt.Errorf("時間帯は 08:30-12:00 のように書く / %.20q isn't a span of hours: write it like 08:30-12:00", text)
		}
		n[i] = int(text[at]-'0')*10 + int(text[at+1]-'0')
	}
	s := Span{n[0]*60 + n[1], n[2]*60 + n[3]}
	if n[1] > 59 || n[3] > 59 || s.To > minutesOfDay || s.From >= s.To {
		return Span{}, fmt.Errorf("時間帯 %s は成り立たない / %s isn't a span of one day's hours", text, text)
	}
	return s, nil
}

// Own is a day that an office has for itself.
type Own struct {
	Day    Day
	Reason string
	Hours  []Span // of an open day; empty: the hours of its day of the week
}

// Office is what an organization says of its hours. The zero value has none and is refused.
type Office struct {
	Week   [7][]Span // by time.Weekday; a weekday without hours is closed
	Closed []Own     // closed though others work
	Open   []Own     // open though it is a holiday, or a weekday without hours
}

// Limits of an office.
const (
	MaxSpans = 8     // a day
	MaxOwn   = 5_000 // days
)

const minutesOfDay = 24 * 60

// Ministry is the office of those who have said nothing: Monday to Friday, 08:30 to 17:15 with an hour at noon, which is the 7 hours 45 minutes of
// 勤務時間法 (Act 33 of 1994, article 5) as ministries commonly lay them.
func Ministry() Office {
	var o Office
	for w := time.Monday; w <= time.Friday; w++ {
		o.Week[w] = []Span{{8*60 + 30, 12 * 60}, {13 * 60, 17*60 + 15}}
	}
	return o
}

// pattern is the hours of one kind of day.
type pattern struct {
	spans   []Span
	minutes int32
}

func newPattern(spans []Span) (pattern, error) {
	p := pattern{spans: append([]Span(nil), spans...)}
	if len(spans) > MaxSpans {
		return p, fmt.Errorf("時間帯は1日%dまで / a day has at most %d spans of hours, not %d", MaxSpans, MaxSpans, len(spans))
	}
	end := 0
	for _, s := range spans {
		if s.From < end || s.From >= s.To || s.To > minutesOfDay {
			return p, fmt.Errorf("時間帯 %s が不正（順序・重なり） / the span %s overlaps another, is out of order or isn't within a day", s, s)
		}
		end = s.To
		p.minutes += int32(s.To - s.From)
	}
	return p, nil
}

// Calendar compiles an office's calendar. It is an error if the office has no hours, or a day of its own is outside the years, twice, or open without hours.
func (n *National) Calendar(o Office) (*Calendar, error) {
	c := &Calendar{national: n, first: n.first, last: n.last, own: map[Day]own{}}
	for w, spans := range o.Week {
		p, err := newPattern(spans)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", time.Weekday(w), err)
		}
		c.week[w] = p
	}
	if len(o.Closed)+len(o.Open) > MaxOwn {
		return nil, fmt.Errorf("独自の日が多すぎる（上限 %d） / an office has at most %d days of its own", MaxOwn, MaxOwn)
	}
	for i, day := range append(append([]Own(nil), o.Closed...), o.Open...) {
		if _, twice := c.own[day.Day]; twice {
			return nil, fmt.Errorf("%s が2回ある / %s stands twice among the office's own days", day.Day, day.Day)
		}
		if day.Day < n.first || day.Day > n.last {
			return nil, &OutsideError{day.Day, n.first, n.last}
		}
		mine := own{reason: day.Reason}
		if i >= len(o.Closed) {
			p, err := newPattern(day.Hours)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", day.Day, err)
			}
			if mine.pattern = p; p.minutes == 0 {
				mine.pattern = c.week[day.Day.Weekday()]
			}
			if mine.minutes == 0 {
				return nil, fmt.Errorf("%s は開庁日だが時間がない / %s is to be open, but neither it nor its weekday has hours", day.Day, day.Day)
			}
		} else if len(day.Hours) > 0 {
			return nil, fmt.Errorf("%s は閉庁日なのに時間がある / %s is to be closed, but has hours", day.Day, day.Day)
		}
		c.own[day.Day] = mine
	}
	c.compile()
	if c.ranks[len(c.open)] == 0 {
		return nil, fmt.Errorf("開いている日がない / the office is never open: give it hours")
	}
	return c, nil
}

func (c *Calendar) compile() {
	n := int(c.last-c.first) + 1
	c.open = newBits(n)
	weekday := int(c.first.Weekday())
	for i := range n {
		if c.week[weekday].minutes > 0 && !c.national.closed.has(i) {
			c.open.set(i)
		}
		if weekday++; weekday == 7 {
			weekday = 0
		}
	}
	for day, mine := range c.own {
		if mine.minutes > 0 {
			c.open.set(int(day - c.first))
		} else {
			c.open.clear(int(day - c.first))
		}
	}
	c.ranks = c.open.ranks()
	c.before = make([]int32, len(c.open)+1)
	for w := range c.open {
		c.before[w+1] = c.before[w]
		for i := c.open.next(w << 6); i >= 0 && i>>6 == w; i = c.open.next(i + 1) {
			c.before[w+1] += c.hours(i).minutes
		}
	}
}
