package directory

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/text/unicode/norm"

	"github.com/musubi-hub/musubi/identity/directory/review"
)

// column is one column that a file may have: its canonical name, its name in Japanese, what else offices call it, and what it says.
type column[T any] struct {
	name, ja string
	also     []string // canonical names, ja and also are compared folded (foldHeader), and no two columns share one
	required bool
	only     bool     // never in a template or an export: another way to write what other columns say
	fields   fieldSet // what it sets, for T a person
	set      func(*T, string) []fault
	cell     func(*T) string // what set takes back
}

// ignored are the columns that a file of wrong rows has in front, to be imported again as it is.
var ignored = []string{"行", "line", "誤り", "fault"}

var headerMarks = strings.NewReplacer("必須", "", "任意", "")

// foldHeader makes header names comparable: width, case, spaces, signs and "required" marks don't matter.
func foldHeader(s string) string {
	s = strings.ToLower(norm.NFKC.String(s))
	s = headerMarks.Replace(s)
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(" \t\r\n　_-‐−・.*※()[]【】「」:/", r) {
			return -1
		}
		return r
	}, s)
}

// layout says which column of the file is which: columns[i] is nil for one that is ignored.
type layout[T any] struct {
	columns []*column[T]
}

// recognise finds the meaning of a header. A name that means nothing is refused, with the names that come closest.
func recognise[T any](cells []string, known []column[T], subject Subject) (layout[T], *fault) {
	names := map[string]*column[T]{}
	for i := range known {
		for _, name := range append([]string{known[i].name, known[i].ja}, known[i].also...) {
			names[foldHeader(name)] = &known[i]
		}
	}
	l := layout[T]{columns: make([]*column[T], len(cells))}
	at := map[*column[T]]int{}
	for i, text := range cells {
		if slices.ContainsFunc(ignored, func(s string) bool { return foldHeader(s) == foldHeader(text) }) {
			continue
		}
		c := names[foldHeader(text)]
		if c == nil {
			f := unknownColumn(i, text, known, names, len(at) == 0 && i == len(cells)-1, subject)
			return l, &f
		}
		if first, twice := at[c]; twice {
			f := badHeader(text, review.Say(
				fmt.Sprintf("見出しに同じ列「%s」が二つあります (%d 列目と %d 列目)", c.ja, first+1, i+1),
				fmt.Sprintf("the header has the column %s twice (columns %d and %d)", c.name, first+1, i+1),
			), subject)
			return l, &f
		}
		at[c] = i
		l.columns[i] = c
	}
	for i := range known {
		c := &known[i]
		if _, found := at[c]; !found && c.required && !covered(at, c.fields) {
			return l, missingColumn(cells, c.ja, c.name, subject)
		}
	}
	return l, nil
}

// covered reports whether other columns of the file set all the fields.
func covered[T any](at map[*column[T]]int, fields fieldSet) bool {
	have := fieldSet(0)
	for c := range at {
		have |= c.fields
	}
	return fields != 0 && have&fields == fields
}

// canonical gives the canonical names of the file's columns, for faults.
func (l layout[T]) canonical(cells []string) []string {
	names := slices.Clone(cells)
	for i, c := range l.columns {
		if c != nil {
			names[i] = c.name
		}
	}
	return names
}

// read sets what the cells say. A huge cell is refused before anything is kept of it.
func (l layout[T]) read(t *T, cells []string) (faults []fault) {
	for i, c := range l.columns {
		switch {
		case c == nil:
		case len(cells[i]) > MaxCell*4:
			faults = append(faults, tooLong(c.name, cells[i], MaxCell))
		default:
			faults = append(faults, c.set(t, cells[i])...)
		}
	}
	return faults
}

func headerNames[T any](columns []column[T], locale review.Locale) []string {
	var names []string
	for _, c := range columns {
		switch {
		case c.only:
		case locale == review.Japanese:
			names = append(names, c.ja)
		default:
			names = append(names, c.name)
		}
	}
	return names
}

// unknownColumn names what the writer may have meant. nothing says that the header has no other column.
func unknownColumn[T any](i int, text string, known []column[T], names map[string]*column[T], nothing bool, subject Subject) fault {
	if text == "" {
		return badHeader(text, review.Say(fmt.Sprintf("見出しの %d 列目が空です", i+1), fmt.Sprintf("column %d has no name in the header", i+1)), subject)
	}
	f := badHeader(text, review.Say("知らない列が見出しにあります", "the header has an unknown column"), subject)
	for _, separator := range []string{"\t", ";"} {
		if nothing && strings.Contains(text, separator) {
			f.Reason = review.Say("コンマ区切りではありません", "the columns are not separated by commas")
			f.Remedy = review.Say("「CSV UTF-8 (コンマ区切り)」で保存し直してください", `save it again as "CSV UTF-8 (comma delimited)"`)
			return f
		}
	}
	if near := nearest(foldHeader(text), known, names); near != nil {
		f.Remedy = review.Say(
			"「"+near.ja+"」("+near.name+") のことなら見出しを直し、要らない列なら消してください",
			"if "+near.name+" is meant write that, if the column isn't needed delete it",
		)
	}
	return f
}

// nearest finds the column whose name contains, is contained in, or is almost the text.
func nearest[T any](text string, known []column[T], names map[string]*column[T]) *column[T] {
	var best *column[T]
	score := 1 << 20
	for i := range known { // in order, so that the answer is always the same
		for _, name := range append([]string{known[i].name, known[i].ja}, known[i].also...) {
			name = foldHeader(name)
			d := distance(text, name)
			if short := min(len([]rune(text)), len([]rune(name))); d > short/2 {
				d = 1 << 10
			}
			if len([]rune(name)) > 1 && strings.Contains(text, name) || len([]rune(text)) > 1 && strings.Contains(name, text) {
				d = min(d, 1)
			}
			if d < score && d < 1<<10 {
				best, score = names[name], d
			}
		}
	}
	return best
}

// distance is the number of characters to add, drop or change (Levenshtein). Header names are short.
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	if len(x) > 100 || len(y) > 100 {
		return 1 << 10
	}
	row := make([]int, len(y)+1)
	for j := range row {
		row[j] = j
	}
	for i := range x {
		diagonal := row[0]
		row[0] = i + 1
		for j := range y {
			cost := diagonal
			if x[i] != y[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(y)]
}
