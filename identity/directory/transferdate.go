package directory

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"golang.org/x/text/unicode/norm"
)

// Dates of transfers are days in Japan: they begin at 00:00 JST, which is 15:00 UTC of the day before.

var jst = time.FixedZone("JST", 9*60*60)

// Bounds of a date.
const (
	minYear = 1990
	maxYear = 2100
)

// era is a Japanese era with its first day.
type era struct {
	names string // in kanji and in Latin letters, as a regular expression
	first time.Time
}

var eras = []era{
	{"(?:平成|H|h)", time.Date(1989, 1, 8, 0, 0, 0, 0, jst)},
	{"(?:令和|R|r)", time.Date(2019, 5, 1, 0, 0, 0, 0, jst)},
}

var (
	western = regexp.MustCompile(`^(\d{4})(?:[-/.]|年)(\d{1,2})(?:[-/.]|月)(\d{1,2})日?$`)
	reigns  = func() []*regexp.Regexp {
		var list []*regexp.Regexp
		for _, e := range eras {
			list = append(list, regexp.MustCompile(`^`+e.names+`\.?(\d{1,2}|元)(?:[-/.]|年)(\d{1,2})(?:[-/.]|月)(\d{1,2})日?$`))
		}
		return list
	}()
)

// ParseDate reads a day in Japan, as 2027-04-01, 2027/4/1, 2027年4月1日, 令和9年4月1日 or R9.4.1, in full or half width, and gives its
// beginning, 00:00 JST, in UTC microseconds.
func ParseDate(text string) (int64, error) {
	bad := fmt.Errorf("%q is not a date: write it like 2027-04-01, 2027/4/1, 令和9年4月1日 or R9.4.1", clean(text))
	if len(text) > 100 {
		return 0, bad
	}
	plain := strings.Join(strings.Fields(norm.NFKC.String(text)), "")
	var since time.Time
	m := western.FindStringSubmatch(plain)
	for i, e := range eras {
		if m == nil {
			if m = reigns[i].FindStringSubmatch(plain); m != nil {
				since = e.first
			}
		}
	}
	if m == nil {
		return 0, bad
	}
	year, month, day := number(m[1]), number(m[2]), number(m[3])
	if !since.IsZero() {
		year += since.Year() - 1
	}
	t := time.Date(year, time.Month(month), day, 0, 0, 0, 0, jst)
	if t.Year() != year || int(t.Month()) != month || t.Day() != day || year < minYear || year > maxYear || t.Before(since) {
		return 0, fmt.Errorf("%q is no day that there is between %d and %d", clean(text), minYear, maxYear)
	}
	return t.UTC().UnixMicro(), nil
}

// number reads up to four digits; 元 is the first year of an era.
func number(s string) int {
	if s == "元" {
		return 1
	}
	n, _ := strconv.Atoi(s) // digits, by the expression
	return n
}

// jstDate shows an instant as a day in Japan, with the time where it isn't midnight.
func jstDate(at int64) string {
	t := time.UnixMicro(at).In(jst)
	if t.Hour() == 0 && t.Minute() == 0 && t.Second() == 0 {
		return t.Format("2006-01-02")
	}
	return t.Format("2006-01-02 15:04:05 JST")
}
