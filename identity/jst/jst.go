package jst

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/text/width"
)

// Zone is Japan Standard Time.
var Zone = time.FixedZone("JST", 9*60*60)

// ErrDate is the error of everything that ParseDate doesn't take.
var ErrDate = errors.New("not a date: write it like 2027-04-01, 2027/4/1, 令和9年4月1日 or R9.4.1")

// eras with their first day and the letters that stand for them (元号法; 令和 since 2019-05-01).
var eras = []struct {
	name, letter string
	year         int // the Western year before the era's first
	from, until  string
}{
	{"令和", "R", 2018, "2019-05-01", ""},
	{"平成", "H", 1988, "1989-01-08", "2019-05-01"},
	{"昭和", "S", 1925, "1926-12-25", "1989-01-08"},
}

// ParseDate gives the instant at which a day begins in Japan. It takes Western years (2027-04-01, 2027/4/1, 2027年4月1日, 20270401) and
// era years (令和9年4月1日, R9.4.1, 元年 for the first), full-width digits too. A day that doesn't exist, or lies outside its era, or
// outside 1926 to 2200, is ErrDate.
func ParseDate(s string) (time.Time, error) {
	if len(s) > 64 {
		return time.Time{}, ErrDate
	}
	text := strings.TrimSpace(width.Narrow.String(s))
	for _, e := range eras {
		rest, ok := strings.CutPrefix(text, e.name)
		if !ok {
			rest, ok = cutLetter(text, e.letter)
		}
		if !ok {
			continue
		}
		y, m, d, err := split(strings.Replace(rest, "元", "1", 1))
		if err != nil || y < 1 {
			return time.Time{}, ErrDate
		}
		day, err := date(e.year+y, m, d)
		if err != nil {
			return time.Time{}, err
		}
		if text := day.Format(time.DateOnly); text < e.from || e.until != "" && text >= e.until {
			return time.Time{}, fmt.Errorf("%s %d年 has no such day: %w", e.name, y, ErrDate)
		}
		return day, nil
	}
	if len(text) == 8 && strings.Trim(text, "0123456789") == "" {
		text = text[:4] + "-" + text[4:6] + "-" + text[6:]
	}
	y, m, d, err := split(text)
	if err != nil {
		return time.Time{}, err
	}
	return date(y, m, d)
}

func cutLetter(s, letter string) (string, bool) {
	if len(s) > 1 && strings.EqualFold(s[:1], letter) && s[1] >= '0' && s[1] <= '9' {
		return s[1:], true
	}
	return s, false
}

// split takes year, month and day apart, which stand with 年月日 or with one and the same sign between them.
func split(s string) (y, m, d int, err error) {
	sign := ""
	if before, ok := strings.CutSuffix(s, "日"); ok {
		s = strings.Replace(strings.Replace(before, "年", "-", 1), "月", "-", 1)
	}
	for _, c := range []string{"-", "/", "."} {
		if strings.Contains(s, c) {
			if sign != "" {
				return 0, 0, 0, ErrDate
			}
			sign = c
		}
	}
	if sign == "" {
		return 0, 0, 0, ErrDate
	}
	parts := strings.Split(s, sign)
	if len(parts) != 3 {
		return 0, 0, 0, ErrDate
	}
	var n [3]int
	for i, part := range parts {
		part = strings.TrimSpace(part)
		if part == "" || len(part) > 4 || strings.Trim(part, "0123456789") != "" {
			return 0, 0, 0, ErrDate
		}
		if n[i], err = strconv.Atoi(part); err != nil {
			return 0, 0, 0, ErrDate
		}
	}
	return n[0], n[1], n[2], nil
}

func date(y, m, d int) (time.Time, error) {
	day := time.Date(y, time.Month(m), d, 0, 0, 0, 0, Zone)
	if y < 1926 || y > 2200 || day.Year() != y || int(day.Month()) != m || day.Day() != d {
		return time.Time{}, ErrDate
	}
	return day, nil
}

// Date writes the day of an instant (UTC, microseconds) as people read it; empty for 0.
func Date(at int64) string {
	if at == 0 {
		return ""
	}
	return time.UnixMicro(at).In(Zone).Format(time.DateOnly)
}

// Minute writes an instant (UTC, microseconds) with its time of day; empty for 0.
func Minute(at int64) string {
	if at == 0 {
		return ""
	}
	return time.UnixMicro(at).In(Zone).Format("2006-01-02 15:04")
}
