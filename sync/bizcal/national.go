package bizcal

import (
	"errors"
	"fmt"
	"time"
)

// ErrOutside is the kind of every OutsideError.
var ErrOutside = errors.New("outside the calendar")

// OutsideError says that a question is about a day that the calendar doesn't know, or that its answer would be one.
type OutsideError struct {
	Day         Day // that was asked about, or after which the answer would lie
	First, Last Day // what the calendar knows
}

func (e *OutsideError) Error() string {
	return fmt.Sprintf("暦の範囲外: %s（暦は %s から %s まで） / the calendar ends: %s is asked for, it knows %s to %s; load the Cabinet Office's newer list or extend its years",
		e.Day, e.First, e.Last, e.Day, e.First, e.Last)
}

// Is makes every OutsideError an ErrOutside.
func (e *OutsideError) Is(target error) bool { return target == ErrOutside }

// National is the country's calendar: which days are holidays, from the first year of a list to a last year. It doesn't change.
type National struct {
	first, last Day
	announced   int // last year of the list
	names       map[Day]string
	closed      bits // holidays and 29 December to 3 January
}

// NewNational makes the calendar from a list (Known, or what Parse gave) and computes the years after it, to and with until.
func NewNational(list []Holiday, until int) (*National, error) {
	if len(list) == 0 {
		return nil, Faults{{What: "祝日が1日もない / holds no holiday"}}
	}
	from, announced := list[0].Day.Year(), list[len(list)-1].Day.Year()
	if until < announced || until > LastYear {
		return nil, fmt.Errorf("暦の最終年は %d〜%d / the calendar's last year must lie in %d to %d, not %d", announced, LastYear, announced, LastYear, until)
	}
	n := &National{first: Date(from, time.January, 1), last: Date(until, time.December, 31), announced: announced, names: make(map[Day]string, 20*(until-from+1))}
	n.closed = newBits(int(n.last-n.first) + 1)
	for i, h := range list {
		if i > 0 && h.Day <= list[i-1].Day {
			return nil, Faults{{What: fmt.Sprintf("日付順でない: %s / days must ascend, each once: %s", h.Day, h.Day)}}
		}
		n.names[h.Day] = h.Name
	}
	for year := announced + 1; year <= until; year++ {
		days, err := Compute(year)
		if err != nil {
			return nil, err
		}
		for _, h := range days {
			n.names[h.Day] = h.Name
		}
	}
	for day := range n.names {
		n.closed.set(int(day - n.first))
	}
	for year := from; year <= until; year++ {
		for _, day := range []Day{
			Date(year, time.January, 1), Date(year, time.January, 2), Date(year, time.January, 3),
			Date(year, time.December, 29), Date(year, time.December, 30), Date(year, time.December, 31),
		} {
			n.closed.set(int(day - n.first))
		}
	}
	return n, nil
}

// First and Last are the days that the calendar knows.
func (n *National) First() Day { return n.first }

// Last is the last day that the calendar knows.
func (n *National) Last() Day { return n.last }

// Announced is the last year that was announced; the years after it are computed.
func (n *National) Announced() int { return n.announced }

// Overdue says whether a newer list should have been loaded: the days of the next year are published each February (暦要項, on its first working day), so
// from 1 March on they are missed. It gives the first year that is missed.
func (n *National) Overdue(now time.Time) (year int, overdue bool) {
	y, month, _ := DayOf(now).Civil()
	if month < time.March {
		y--
	}
	return n.announced + 1, n.announced < y+1
}

// Holiday gives the name of a day if it is a holiday.
func (n *National) Holiday(d Day) (name string, ok bool, err error) {
	if d < n.first || d > n.last {
		return "", false, &OutsideError{d, n.first, n.last}
	}
	name, ok = n.names[d]
	return name, ok, nil
}

// Departure is a day on which a list and the law's rules differ.
type Departure struct {
	Day    Day
	Listed string // empty: not in the list
	Law    string // empty: not by the law's rules
}

// Departures compares a list with the law's rules over the list's years, so that whoever loads a list sees what special laws, or a mistake, changed.
// Names aren't compared.
func Departures(list []Holiday) ([]Departure, error) {
	if len(list) == 0 {
		return nil, nil
	}
	listed := make(map[Day]string, len(list))
	for _, h := range list {
		listed[h.Day] = h.Name
	}
	var found []Departure
	for year, last := list[0].Day.Year(), list[len(list)-1].Day.Year(); year <= last; year++ {
		days, err := Compute(year)
		if err != nil {
			return nil, err
		}
		law := make(map[Day]string, len(days))
		for _, h := range days {
			law[h.Day] = h.Name
		}
		for d := Date(year, time.January, 1); d.Year() == year; d++ {
			if (listed[d] == "") != (law[d] == "") {
				found = append(found, Departure{d, listed[d], law[d]})
			}
		}
	}
	return found, nil
}
