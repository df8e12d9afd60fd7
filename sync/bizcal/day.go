package bizcal

import (
	"fmt"
	"time"

	"github.com/musubi-hub/musubi/identity/jst"
)

// Day is a day in Japan, counted from 1970-01-01.
type Day int32

const (
	secondsOfDay = 24 * 60 * 60
	jstOffset    = 9 * 60 * 60
)

// DayOf gives the day in Japan on which an instant falls.
func DayOf(t time.Time) Day {
	day, _ := split(t)
	return day
}

// Date gives a day of the Gregorian calendar; days and months beyond their range are carried on as by time.Date.
func Date(year int, month time.Month, day int) Day {
	return Day(time.Date(year, month, day, 0, 0, 0, 0, time.UTC).Unix() / secondsOfDay)
}

// split takes an instant apart: the day in Japan and the time since it began.
func split(t time.Time) (Day, time.Duration) {
	s := t.Unix() + jstOffset
	day := s / secondsOfDay
	if s%secondsOfDay < 0 {
		day--
	}
	return Day(day), time.Duration(s-day*secondsOfDay)*time.Second + time.Duration(t.Nanosecond())
}

// At gives the instant that lies so long after the day's beginning, in JST.
func (d Day) At(since time.Duration) time.Time {
	return time.Unix(int64(d)*secondsOfDay-jstOffset, 0).Add(since).In(jst.Zone)
}

// Start gives the instant at which the day begins: 00:00 JST.
func (d Day) Start() time.Time { return d.At(0) }

// Civil gives year, month and day of the month.
func (d Day) Civil() (year int, month time.Month, day int) {
	return time.Unix(int64(d)*secondsOfDay, 0).UTC().Date()
}

// Year gives the year.
func (d Day) Year() int {
	year, _, _ := d.Civil()
	return year
}

// Weekday gives the day of the week; 1970-01-01 was a Thursday.
func (d Day) Weekday() time.Weekday {
	w := (int(d) + int(time.Thursday)) % 7
	if w < 0 {
		w += 7
	}
	return time.Weekday(w)
}

// String writes the day as 2027-04-01.
func (d Day) String() string {
	year, month, day := d.Civil()
	return fmt.Sprintf("%04d-%02d-%02d", year, month, day)
}
