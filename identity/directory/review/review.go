package review

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of a report: everything is counted, this many are kept and printed.
const (
	MaxFaults  = 1000
	MaxNotices = 100
	MaxShown   = 40 // characters of a value
)

// Text is a sentence in both languages, without a full stop.
type Text struct {
	JA string `json:"ja"`
	EN string `json:"en"`
}

// Say makes a Text of a sentence in Japanese and the same in English.
func Say(ja, en string) Text { return Text{JA: ja, EN: en} }

// Fault is one thing wrong with one row.
type Fault struct {
	File   string `json:"file"`
	Sheet  string `json:"sheet,omitempty"`  // of a workbook; empty for a text file
	Line   int    `json:"line,omitempty"`   // of a text file, or row of a sheet; 1 is the header; 0 is the file as a whole
	Letter string `json:"letter,omitempty"` // of the column in a sheet: A to XFD
	Column string `json:"column,omitempty"` // canonical header; empty is the row as a whole
	Value  string `json:"value,omitempty"`  // shortened, control characters made visible
	Reason Text   `json:"reason"`
	Remedy Text   `json:"remedy"`
	Stops  bool   `json:"-"` // it ended the reading
}

// Notice is something that the administrator should know and that refuses nothing.
type Notice struct {
	File string `json:"file"`
	Line int    `json:"line,omitempty"`
	Text Text   `json:"text"`
}

// Report collects everything that is wrong with a file, over reading and importing, so that one run shows it all.
type Report struct {
	File    string
	sheet   string   // of the workbook
	columns []string // what faults call the columns of the file, in its order
	faults  []Fault
	count   int
	refused int
	last    int // line of the last refused row, to count a row once
	stopped bool
	whole   bool // the file as a whole is condemned
	every   bool // keep more faults than are shown
	notices []Notice
	noticed int
}

// New starts an empty report on a file.
func New(file string) *Report { return &Report{File: Visible(file, 200)} }

// InSheet says that the file is a workbook and which of its sheets is read: faults then show the letter of their column.
func (r *Report) InSheet(name string) { r.sheet = Visible(name, MaxShown) }

// SetColumns says where the columns stand: names[i] is what faults call the i-th column of the file. The table reader gives the names
// of the header; whoever knows that a header means a canonical column gives the canonical names.
func (r *Report) SetColumns(names []string) { r.columns = slices.Clone(names) }

// Column is what faults call the i-th column of the file, from 0; empty for one without a name.
func (r *Report) Column(i int) string {
	if i < 0 || i >= len(r.columns) {
		return ""
	}
	return r.columns[i]
}

// OK reports whether nothing was refused.
func (r *Report) OK() bool { return r.count == 0 }

// Refused is the number of rows that were refused, whether or not they fit into Faults.
func (r *Report) Refused() int { return r.refused }

// Stopped reports whether reading ended early, so that rows after the last fault were not looked at.
func (r *Report) Stopped() bool { return r.stopped }

// Condemned reports whether the file can't be taken even without its bad rows: something is wrong with it as a whole, or it wasn't read to
// its end.
func (r *Report) Condemned() bool { return r.whole || r.stopped }

// Total is the number of faults, whether or not they fit into Faults.
func (r *Report) Total() int { return r.count }

// Faults are the first MaxFaults faults and the one that stopped the reading, if any, in the order of the lines.
func (r *Report) Faults() []Fault {
	shown := slices.Clone(r.faults)
	if len(shown) > MaxFaults {
		shown = slices.Clone(shown[:MaxFaults])
		for _, f := range r.faults[MaxFaults:] {
			if f.Stops {
				shown = append(shown, f)
			}
		}
	}
	slices.SortStableFunc(shown, func(a, b Fault) int { return a.Line - b.Line })
	return shown
}

// maxEvery bounds what KeepEvery keeps.
const maxEvery = 200_000

// KeepEvery makes the report keep more faults than Faults shows, for EveryFault.
func (r *Report) KeepEvery() { r.every = true }

// EveryFault gives the faults that are kept, by the line that they are in.
func (r *Report) EveryFault() map[int][]Fault {
	lines := map[int][]Fault{}
	for _, f := range r.faults {
		lines[f.Line] = append(lines[f.Line], f)
	}
	return lines
}

// Notices are the first MaxNotices notices.
func (r *Report) Notices() []Notice { return slices.Clone(r.notices) }

// Clone lets an import try again without saying everything twice.
func (r *Report) Clone() *Report {
	c := *r
	c.faults, c.notices = slices.Clone(r.faults), slices.Clone(r.notices)
	return &c
}

// Finding is what a check found: the advice without the place.
type Finding struct {
	Column string // canonical header; empty is the row as a whole
	Letter string // of the column in a sheet, where the header doesn't tell it
	Value  string
	Reason Text
	Remedy Text
}

// Refuse adds a fault of a row. Faults of the same row must come one after another.
func (r *Report) Refuse(line int, f Finding) {
	if r.last != line || r.refused == 0 {
		r.refused++
		r.last = line
	}
	r.count++
	if len(r.faults) < MaxFaults || r.every && len(r.faults) < maxEvery {
		r.keep(line, f)
	}
}

// Stop adds a fault that ends the reading: what comes after it isn't looked at. Line 0 or 1 condemns the file as a whole and
// counts as no row.
func (r *Report) Stop(line int, f Finding) {
	if line > 1 {
		r.refused++
		r.last = line
		r.stopped = true
	} else {
		r.whole = true
	}
	r.count++
	r.keep(line, f) // whatever the report is full of
	r.faults[len(r.faults)-1].Stops = true
}

func (r *Report) keep(line int, f Finding) {
	letter := f.Letter
	if at := slices.Index(r.columns, f.Column); letter == "" && r.sheet != "" && f.Column != "" && at >= 0 && line > 0 {
		letter = Letters(at)
	}
	r.faults = append(r.faults, Fault{
		File: r.File, Sheet: r.sheet, Line: line, Column: Visible(f.Column, MaxShown), Letter: letter, Value: Visible(f.Value, MaxShown),
		Reason: f.Reason, Remedy: f.Remedy,
	})
}

// Letters is a spreadsheet's name of the i-th column, from 0: A, B, ... Z, AA.
func Letters(i int) string {
	var b []byte
	for i++; i > 0; i = (i - 1) / 26 {
		b = append(b, byte('A'+(i-1)%26))
	}
	slices.Reverse(b)
	return string(b)
}

// Note adds a notice.
func (r *Report) Note(line int, t Text) {
	r.noticed++
	if len(r.notices) < MaxNotices {
		r.notices = append(r.notices, Notice{File: r.File, Line: line, Text: t})
	}
}

func (f Fault) place(l Locale) string {
	s := place(f.File, f.Line)
	if f.Letter != "" {
		if l == English {
			s += " column " + f.Letter
		} else {
			s += " " + f.Letter + "列"
		}
	}
	if f.Column != "" {
		s += " " + f.Column
	}
	if f.Value != "" {
		s += " 「" + f.Value + "」"
	}
	return s
}

func place(file string, line int) string {
	if line == 0 {
		return file
	}
	return file + ":" + strconv.Itoa(line)
}

// Visible shortens a value to limit characters and replaces what a terminal or an eye would miss by escapes: control
// characters, line breaks, bidirectional controls, invisible characters and bytes that are not UTF-8.
func Visible(value string, limit int) string {
	var b strings.Builder
	n := 0
	for i := 0; i < len(value); n++ {
		if n == limit {
			b.WriteString("…")
			break
		}
		r, size := utf8.DecodeRuneInString(value[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, value[i])
		case Invisible(r):
			fmt.Fprintf(&b, `\u{%04x}`, r)
		default:
			b.WriteRune(r)
		}
		i += size
	}
	return b.String()
}

// Invisible reports characters that change or hide text without being seen. Variation selectors are not among them: they are part of
// a registered name.
func Invisible(r rune) bool {
	return unicode.IsControl(r) || unicode.In(r, unicode.Zl, unicode.Zp, unicode.Cf)
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

func upperFirst(s string) string {
	if s == "" || s[0] < 'a' || s[0] > 'z' {
		return s
	}
	return string(s[0]-'a'+'A') + s[1:]
}

type countWriter struct {
	w io.Writer
	n int64
}

func (c *countWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// Error makes a finding usable as an error where there is no report: English, without the value.
func (f Finding) Error() string {
	if f.Column == "" {
		return f.Reason.EN + "; " + f.Remedy.EN
	}
	return f.Column + ": " + f.Reason.EN + "; " + f.Remedy.EN
}
