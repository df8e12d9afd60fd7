package bizcal

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// Holiday is a day of 国民の祝日に関する法律, with the name that the Cabinet Office gives it; substitute holidays and the days between two
// holidays are both called 休日 there.
type Holiday struct {
	Day  Day
	Name string
}

// The years for which holidays can be computed. The law is of 1948; the equinox formula that is used here holds until 2099.
const (
	FirstYear = 1949
	LastYear  = 2099
)

const between = "休日"

// rule is one holiday of the law, from a year to a year (0: still), on a day of a month or on a Monday of a month.
type rule struct {
	name        string
	from, until int
	month       time.Month
	day, monday int // one of them
}

// rules is the law with its history. Amendments: 1966 (Act 86), 1973 (Act 10), 1985 (Act 103), 1989 (Act 5), 1995 (Act 22), 1998 (Act 141), 2001 (Act 59),
// 2005 (Act 43), 2014 (Act 43), 2017 (Act 63), 2018 (Act 57).
var rules = []rule{
	{"元日", 1949, 0, time.January, 1, 0},
	{"成人の日", 1949, 1999, time.January, 15, 0},
	{"成人の日", 2000, 0, time.January, 0, 2},
	{"建国記念の日", 1967, 0, time.February, 11, 0},
	{"天皇誕生日", 2020, 0, time.February, 23, 0},
	{"天皇誕生日", 1949, 1988, time.April, 29, 0},
	{"みどりの日", 1989, 2006, time.April, 29, 0},
	{"昭和の日", 2007, 0, time.April, 29, 0},
	{"憲法記念日", 1949, 0, time.May, 3, 0},
	{"みどりの日", 2007, 0, time.May, 4, 0},
	{"こどもの日", 1949, 0, time.May, 5, 0},
	{"海の日", 1996, 2002, time.July, 20, 0},
	{"海の日", 2003, 0, time.July, 0, 3},
	{"山の日", 2016, 0, time.August, 11, 0},
	{"敬老の日", 1966, 2002, time.September, 15, 0},
	{"敬老の日", 2003, 0, time.September, 0, 3},
	{"体育の日", 1966, 1999, time.October, 10, 0},
	{"体育の日", 2000, 2019, time.October, 0, 2},
	{"スポーツの日", 2020, 0, time.October, 0, 2},
	{"文化の日", 1949, 0, time.November, 3, 0},
	{"勤労感謝の日", 1949, 0, time.November, 23, 0},
	{"天皇誕生日", 1989, 2018, time.December, 23, 0},
}

// Equinoxes gives 春分の日 and 秋分の日 of a year by the usual approximation (新こよみ便利帳): exact for the days announced so far. The law leaves the
// days to the announcement each February (暦要項), so what is computed stays computed.
func Equinoxes(year int) (vernal, autumnal Day, err error) {
	if year < FirstYear || year > LastYear {
		return 0, 0, fmt.Errorf("%d年の春分・秋分は計算できない / equinoxes can be computed for %d to %d, not for %d", year, FirstYear, LastYear, year)
	}
	v, a, leap := 20.8431, 23.2488, 1980
	if year < 1980 {
		v, a, leap = 20.8357, 23.2588, 1983
	}
	drift := 0.242194*float64(year-1980) - math.Trunc(float64(year-leap)/4)
	return Date(year, time.March, int(v+drift)), Date(year, time.September, int(a+drift)), nil
}

// Compute gives the holidays of a year by the law's own rules, in order. Special laws for single years are not in it.
func Compute(year int) ([]Holiday, error) {
	vernal, autumnal, err := Equinoxes(year)
	if err != nil {
		return nil, err
	}
	days := []Holiday{{vernal, "春分の日"}, {autumnal, "秋分の日"}}
	for _, r := range rules {
		if year < r.from || r.until != 0 && year > r.until {
			continue
		}
		day := Date(year, r.month, r.day)
		if r.monday > 0 {
			first := Date(year, r.month, 1)
			day = first + Day((int(time.Monday)-int(first.Weekday())+7)%7+7*(r.monday-1))
		}
		days = append(days, Holiday{day, r.name})
	}
	named := make(map[Day]bool, len(days))
	for _, h := range days {
		named[h.Day] = true
	}
	for _, day := range others(named) {
		days = append(days, Holiday{day, between})
	}
	slices.SortFunc(days, func(a, b Holiday) int { return int(a.Day - b.Day) })
	return days, nil
}

var (
	substitutes     = Date(1973, time.April, 12)    // Act 10 of 1973
	betweens        = Date(1985, time.December, 27) // Act 103 of 1985
	longSubstitutes = Date(2007, time.January, 1)   // Act 43 of 2005: the next day that isn't a holiday, not the Monday alone
)

// others gives the days that are holidays because of others (第3条第2項, 第3項): substitutes of those on a Sunday, and days between two.
func others(named map[Day]bool) (days []Day) {
	seen := map[Day]bool{}
	for day := range named {
		next := day + 1
		if day.Weekday() == time.Sunday && day >= substitutes {
			for named[next] && day >= longSubstitutes {
				next++
			}
			if !named[next] {
				seen[next] = true
			}
		}
	}
	for day := range named {
		next := day + 1
		if !named[next] && named[next+1] && next >= betweens && !seen[next] && (next >= longSubstitutes || next.Weekday() != time.Sunday) {
			seen[next] = true
		}
	}
	for day := range seen {
		days = append(days, day)
	}
	return days
}
