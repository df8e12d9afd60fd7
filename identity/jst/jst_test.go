package jst

import (
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestParseDate(t *testing.T) {
	for in, want := range map[string]string{
		"2027-04-01": "2027-04-01", "2027/4/1": "2027-04-01", "2027年4月1日": "2027-04-01", "20270401": "2027-04-01",
		"令和9年4月1日": "2027-04-01", "R9.4.1": "2027-04-01", "r9/04/01": "2027-04-01", "Ｒ９．４．１": "2027-04-01", "２０２７－０４－０１": "2027-04-01",
		"令和元年5月1日": "2019-05-01", "平成31年4月30日": "2019-04-30", "H31.4.30": "2019-04-30", "昭和64年1月7日": "1989-01-07", " 2027-04-01 ": "2027-04-01",
		"2028-02-29": "2028-02-29",
	} {
		got, err := ParseDate(in)
		if err != nil || got.Format(time.DateOnly) != want || got.Hour() != 0 || got.UnixMicro()%1_000_000 != 0 {
			t.Errorf("%q: %v, %v", in, got, err)
		}
	}
	for _, in := range []string{
		"", "2027", "2027-04", "2027-4-31", "2027-02-29", "2027-13-01", "2027-04/01", "令和1年4月30日", "平成31年5月1日", "R0.4.1", "令和年4月1日",
		"1-4-2027", "4/1/2027", "99999-01-01", "2027-04-01-01", "45748", "明日", "2027--1", "1925-01-01", "X9.4.1", "2027年4月1", "+2027-04-01",
	} {
		if got, err := ParseDate(in); !errors.Is(err, ErrDate) {
			t.Errorf("%q: %v, %v", in, got, err)
		}
	}
}

// A day that was written is read back, in every form.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		day := time.Date(2019, 5, 1, 0, 0, 0, 0, Zone).AddDate(0, 0, rapid.IntRange(0, 60_000).Draw(t, "days"))
		for _, layout := range []string{time.DateOnly, "2006/1/2", "2006年1月2日", "20060102", "2006.01.02"} {
			if got, err := ParseDate(day.Format(layout)); err != nil || !got.Equal(day) {
				t.Errorf("%s: %v, %v", day.Format(layout), got, err)
			}
		}
		if Date(day.UnixMicro()) != day.Format(time.DateOnly) {
			t.Error(Date(day.UnixMicro()))
		}
	})
}

func FuzzParseDate(f *testing.F) {
	for _, s := range []string{"2027-04-01", "令和元年5月1日", "R9.4.1", "Ｒ９．４．１"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		day, err := ParseDate(s)
		if err != nil {
			return
		}
		if again, err := ParseDate(day.Format(time.DateOnly)); err != nil || !again.Equal(day) {
			t.Errorf("%q: %v, then %v, %v", s, day, again, err)
		}
	})
}
