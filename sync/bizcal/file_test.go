package bizcal

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/text/encoding/japanese"
)

// publish writes the list as the Cabinet Office does: CP932, CRLF.
func publish(t testing.TB, text string) []byte {
	t.Helper()
	out, err := japanese.ShiftJIS.NewEncoder().Bytes([]byte(strings.ReplaceAll(text, "\n", "\r\n")))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestParsePublished(t *testing.T) {
	for name, text := range map[string][]byte{
		"CP932, CRLF": publish(t, string(knownFile)),
		"UTF-8, BOM":  append([]byte("\xef\xbb\xbf"), knownFile...),
		"UTF-8":       knownFile,
	} {
		list, err := Parse(text)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(Known(), list); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// A newer list takes the place of what was computed.
func TestReplaced(t *testing.T) {
	text := string(knownFile)
	computed, err := Compute(2027)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range computed {
		year, month, of := h.Day.Civil()
		if h.Day == day(t, "2027-07-19") { // a special law moves 海の日
			of = 22
		}
		text += fmt.Sprintf("%d/%d/%d,%s\n", year, month, of, h.Name)
	}
	list, err := Parse(publish(t, text))
	if err != nil {
		t.Fatal(err)
	}
	n, err := NewNational(list, 2030)
	if err != nil {
		t.Fatal(err)
	}
	c, err := n.Calendar(Ministry())
	if err != nil {
		t.Fatal(err)
	}
	for of, open := range map[string]bool{"2027-07-19": true, "2027-07-22": false} {
		if s, err := c.Status(day(t, of)); err != nil || s.Open != open || s.Computed {
			t.Errorf("%s: %+v %v", of, s, err)
		}
	}
	if s, err := c.Status(day(t, "2028-01-04")); err != nil || !s.Computed {
		t.Errorf("%+v %v", s, err)
	}
	found, err := Departures(list[len(Known()):])
	if err != nil || len(found) != 2 {
		t.Errorf("%v %v", found, err)
	}
}

func TestParseRefuses(t *testing.T) {
	head := "国民の祝日・休日月日,国民の祝日・休日名称\n"
	year := func(y int) (text string) {
		days, err := Compute(y)
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range days {
			_, month, of := h.Day.Civil()
			text += fmt.Sprintf("%d/%d/%d,%s\n", y, month, of, h.Name)
		}
		return text
	}
	whole := strings.Count(year(2024), "\n")
	for _, row := range []struct {
		name, text  string
		row, column int
	}{
		{"empty", "", 0, 0},
		{"heading alone", head, 0, 0},
		{"no heading", year(2024), 1, 1},
		{"an HTML page", "<!DOCTYPE html>\n<html>\n", 1, 1},
		{"no such day", head + "2024/2/30,元日\n", 2, 1},
		{"two digits", head + "24/1/1,元日\n", 2, 1},
		{"signs mixed", head + "2024-1/1,元日\n", 2, 1},
		{"a sign too many", head + "2024/1/1/1,元日\n", 2, 1},
		{"no name", head + "2024/1/1,\n", 2, 2},
		{"a space", head + "2024/1/1,元日 \n", 2, 2},
		{"long name", head + "2024/1/1," + strings.Repeat("あ", 41) + "\n", 2, 2},
		{"one cell", head + "2024/1/1\n", 2, 1},
		{"three cells", head + "2024/1/1,元日,\n", 2, 2},
		{"twice", head + "2024/1/1,元日\n2024/1/1,元日\n", 3, 1},
		{"out of order", head + "2024/1/8,成人の日\n2024/1/1,元日\n", 3, 1},
		{"before the law", head + "1948/11/3,文化の日\n", 2, 1},
		{"after the formula", head + "2100/1/1,元日\n", 2, 1},
		{"quotation mark", head + "2024/1/1,\"元日\n", 2, 1},
		{"cut off", head + strings.Join(strings.SplitAfter(year(2024), "\n")[:12], ""), 13, 1},
		{"a year is missing", head + year(2024) + year(2026), 2 + whole, 1},
		{"bytes of no encoding", "\x82\xb1\x0a\xff\xff", 2, 1},
		{"too large", strings.Repeat("a", MaxFile+1), 0, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := Parse([]byte(row.text))
			var faults Faults
			if !errors.As(err, &faults) {
				t.Fatalf("%v", err)
			}
			if faults[0].Row != row.row || faults[0].Column != row.column {
				t.Errorf("%d:%d, want %d:%d: %v", faults[0].Row, faults[0].Column, row.row, row.column, err)
			}
		})
	}
	if _, err := Parse([]byte(head + strings.Repeat("x,y\n", 1000))); strings.Count(err.Error(), "\n") != maxFaults-1 {
		t.Errorf("faults aren't bounded: %d", strings.Count(err.Error(), "\n"))
	}
}

// Whatever is parsed is in order, within the years, and gives a calendar that keeps its holidays closed.
func FuzzParse(f *testing.F) {
	rows := strings.SplitAfter(string(knownFile), "\n")
	f.Add([]byte(strings.Join(rows[:20], "")))
	f.Add(publish(f, strings.Join(rows[:29], "")))
	f.Add([]byte("date,name\n2024-01-01,元日\n"))
	f.Add([]byte("date,name\r\n\"2024/1/1\",\"a\"\"b\"\r\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		list, err := Parse(text)
		if err != nil {
			var faults Faults
			if !errors.As(err, &faults) || len(faults) == 0 || len(faults) > maxFaults {
				t.Fatalf("%v", err)
			}
			return
		}
		n, err := NewNational(list, list[len(list)-1].Day.Year())
		if err != nil {
			t.Fatal(err)
		}
		c, err := n.Calendar(Ministry())
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range list {
			if open, err := c.WorkingDay(h.Day); err != nil || open {
				t.Fatalf("%s is open: %v", h.Day, err)
			}
		}
		if bytes.IndexByte(text, 0) >= 0 && strings.ContainsRune(list[0].Name, 0) {
			t.Fatal("a control character in a name")
		}
	})
}
