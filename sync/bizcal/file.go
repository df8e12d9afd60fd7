package bizcal

import (
	"bytes"
	_ "embed"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/text/encoding/japanese"
)

// Limits of a list of holidays.
const (
	MaxFile = 1 << 20 // bytes
	MaxRows = 10_000
	maxName = 40 // characters
)

// maxFaults bounds how many faults of one file are told.
const maxFaults = 20

// Fault is one thing that is wrong with a list. Row and Column count from 1, the heading is row 1, Column counts cells; 0 is the file as a whole.
type Fault struct {
	Row    int    `json:"row,omitempty"`
	Column int    `json:"column,omitempty"`
	What   string `json:"what"` // what is wrong and what to do, Japanese / English
}

func (f Fault) String() string {
	if f.Row == 0 {
		return f.What
	}
	return fmt.Sprintf("%d:%d: %s", f.Row, f.Column, f.What)
}

// Faults is everything that is wrong with a list, at most 20 of them.
type Faults []Fault

// Error lists the faults, one a line, as row:column.
func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i, one := range f {
		lines[i] = one.String()
	}
	return "祝日一覧 / list of holidays: " + strings.Join(lines, "\n  ")
}

// headings that a list may have: the Cabinet Office's, and that of the file from which known.csv is made.
var headings = [][2]string{{"国民の祝日・休日月日", "国民の祝日・休日名称"}, {"date", "name"}}

//go:embed known.csv
var knownFile []byte

var known = sync.OnceValue(func() []Holiday {
	days, err := Parse(knownFile)
	if err != nil {
		panic("bizcal: known.csv: " + err.Error()) // embedded, and read by a test
	}
	return days
})

// Known gives the holidays of the embedded list, in order. The slice is the caller's.
func Known() []Holiday { return append([]Holiday(nil), known()...) }

// Parse reads a list of holidays as the Cabinet Office publishes it (https://www8.cao.go.jp/chosei/shukujitsu/gaiyou.html, syukujitsu.csv): CP932 or UTF-8,
// a heading, rows of date (1955/1/1 or 1955-01-01) and name, in order, whole years without a gap. What it refuses is Faults.
func Parse(text []byte) ([]Holiday, error) {
	if len(text) > MaxFile {
		return nil, Faults{{What: fmt.Sprintf("ファイルが大きすぎる（上限 %d バイト） / %d bytes; at most %d", MaxFile, len(text), MaxFile)}}
	}
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	if !utf8.Valid(text) {
		decoded, err := japanese.ShiftJIS.NewDecoder().Bytes(text)
		if err != nil || bytes.ContainsRune(decoded, utf8.RuneError) {
			before, _, _ := bytes.Cut(decoded, []byte("\uFFFD"))
			return nil, Faults{{1 + bytes.Count(before, []byte("\n")), 1, "UTF-8 でも CP932 でもない文字がある / holds bytes that are neither UTF-8 nor CP932: save it again as it was published"}}
		}
		text = decoded
	}
	r := list{csv: csv.NewReader(bytes.NewReader(text))}
	r.csv.FieldsPerRecord = -1
	r.csv.ReuseRecord = true
	r.read()
	if len(r.faults) == 0 {
		r.whole()
	}
	if len(r.faults) > 0 {
		return nil, r.faults
	}
	return r.days, nil
}

// list is a list that is being read.
type list struct {
	csv    *csv.Reader
	row    int
	days   []Holiday
	rows   []int // of days
	faults Faults
}

func (l *list) fault(column int, what string, args ...any) {
	if len(l.faults) < maxFaults {
		l.faults = append(l.faults, Fault{l.row, column, fmt.Sprintf(what, args...)})
	}
}

func (l *list) read() {
	for {
		cells, err := l.csv.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			var pe *csv.ParseError
			if errors.As(err, &pe) {
				l.row = pe.Line
			}
			l.fault(1, "CSV として読めない / isn't CSV: a quotation mark stands where none belongs or one is missing")
			return
		}
		l.row, _ = l.csv.FieldPos(0)
		switch {
		case len(cells) != 2:
			l.fault(min(len(cells), 2), "列は日付と名称の2つ / a row has two cells, date and name; this one has %d", len(cells))
		case l.row == 1:
			if heading := [2]string{cells[0], cells[1]}; heading != headings[0] && heading != headings[1] {
				l.fault(1, "1行目は見出し「%s,%s」 / the first row must be that heading", headings[0][0], headings[0][1])
			}
		case len(l.days) == MaxRows:
			l.fault(1, "行が多すぎる（上限 %d） / too many rows, at most %d", MaxRows, MaxRows)
			return
		default:
			l.holiday(cells[0], cells[1])
		}
		if len(l.faults) == maxFaults {
			return
		}
	}
	if len(l.days) == 0 && len(l.faults) == 0 {
		l.row = 0
		l.fault(0, "祝日が1日もない / holds no holiday")
	}
}

func (l *list) holiday(date, name string) {
	day, ok := parseDay(date)
	if !ok {
		l.fault(1, "日付ではない（1955/1/1 のように書く） / isn't a day: write it like 1955/1/1")
		return
	}
	if year := day.Year(); year < FirstYear || year > LastYear {
		l.fault(1, "%d年は範囲外 / the year must lie in %d to %d", year, FirstYear, LastYear)
		return
	}
	if n := len(l.days); n > 0 && day <= l.days[n-1].Day {
		l.fault(1, "日付順でない、または重複（前の行は %s） / days must ascend, each once; the row before has %s", l.days[n-1].Day, l.days[n-1].Day)
		return
	}
	if n := utf8.RuneCountInString(name); n == 0 || n > maxName || strings.TrimSpace(name) != name || strings.ContainsFunc(name, func(c rune) bool { return c < ' ' || c == 0x7f }) {
		l.fault(2, "名称は1〜%d文字、前後に空白なし / a name has 1 to %d characters and no space around it", maxName, maxName)
		return
	}
	l.days = append(l.days, Holiday{day, strings.Clone(name)})
	l.rows = append(l.rows, l.row)
}

// whole checks that the list has whole years: a list that was cut off would make holidays open.
func (l *list) whole() {
	count := 0
	for i, h := range l.days {
		l.row = l.rows[i]
		count++
		year, month, _ := h.Day.Civil()
		last := i+1 == len(l.days) || l.days[i+1].Day.Year() != year
		if !last {
			continue
		}
		if i+1 < len(l.days) && l.days[i+1].Day.Year() != year+1 {
			l.row = l.rows[i+1]
			l.fault(1, "%d年が抜けている / the year %d is missing", year+1, year+1)
		}
		// The law has had nine holidays at least, and the last one in November, since it was made.
		if count < 9 || month < time.November {
			l.fault(1, "%d年が途中で終わっている（%d日しかない） / the year %d isn't whole: it has %d days and ends here", year, count, year, count)
		}
		count = 0
	}
}

// parseDay reads 1955/1/1 and 1955-01-01.
func parseDay(text string) (Day, bool) {
	sign := "/"
	if strings.Contains(text, "-") {
		sign = "-"
	}
	parts := strings.Split(text, sign)
	if len(parts) != 3 || len(parts[0]) != 4 {
		return 0, false
	}
	var n [3]int
	for i, part := range parts {
		if i > 0 && len(part) > 2 || part == "" || strings.Trim(part, "0123456789") != "" {
			return 0, false
		}
		n[i], _ = strconv.Atoi(part) // digits alone
	}
	day := Date(n[0], time.Month(n[1]), n[2])
	y, m, d := day.Civil()
	return day, y == n[0] && int(m) == n[1] && d == n[2]
}
