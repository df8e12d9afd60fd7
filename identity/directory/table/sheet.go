package table

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/musubi-hub/musubi/identity/directory/review"
)

// The largest sheet that the format allows.
const (
	lastRow    = 1 << 20
	lastColumn = 1 << 14
)

// area is a range of cells, from and to included, from 0 for columns and 1 for rows.
type area struct {
	name                           string
	fromRow, toRow, fromCol, toCol int
	formula                        bool // whose results fill it; else merged
}

// sheet is a worksheet being read.
type sheet struct {
	*book
	s            *scanner
	areas        []area // by their first rows
	active       []area // that may cover the present row
	found        int    // merged cells that the first pass found
	merged       int    // merged cells that the second pass found
	line, column int    // of the last row and cell
	hiddenRows   int
	hiddenCols   bool
	cells        []string
	faults       []review.Finding
	size         int    // bytes of the row's texts
	scratch      []byte // of the cell's text
}

// readSheet reads a sheet in two passes: merged cells stand behind the rows that they spoil.
func (b *book) readSheet(entry sheetEntry) error {
	x := &sheet{book: b}
	left := b.unpacked
	if err := b.part(entry.part, x.findMerged); err != nil {
		return err
	}
	b.unpacked = left // the second pass is no second part
	if err := b.part(entry.part, x.read); err != nil {
		return err
	}
	var what review.Text
	switch {
	case x.hiddenRows > 0 && x.hiddenCols:
		what = review.Say(fmt.Sprintf("非表示の行 (%d 行) と列も読みました", x.hiddenRows), fmt.Sprintf("hidden rows (%d) and columns were read too", x.hiddenRows))
	case x.hiddenRows > 0:
		what = review.Say(fmt.Sprintf("非表示の行 (%d 行) も読みました", x.hiddenRows), fmt.Sprintf("hidden rows (%d) were read too", x.hiddenRows))
	case x.hiddenCols:
		what = review.Say("非表示の列も読みました", "hidden columns were read too")
	default:
		return nil
	}
	b.rep.Note(0, what)
	return nil
}

// findMerged is the first pass: it looks for nothing but merged cells, and passes over the rows without taking them apart.
func (x *sheet) findMerged(s *scanner) error {
	err := each(s, func() error {
		switch string(s.name) {
		case "sheetData":
			if s.closed {
				return nil
			}
			return s.passOver("sheetData")
		case "mergeCell":
			a, ok := parseArea(s.attribute("ref"))
			switch {
			case !ok:
				return fmt.Errorf("%w: a merged cell without its range", errXML)
			case len(x.areas) == x.lim.ranges:
				return fail(unpacksTooLarge())
			}
			x.areas = append(x.areas, a)
		}
		return nil
	})
	x.found = len(x.areas)
	slices.SortStableFunc(x.areas, func(a, b area) int { return cmp.Compare(a.fromRow, b.fromRow) })
	return err
}

// passOver passes over the rest of an element that has no other of its name inside. It finds the end tag by its bytes: the second
// pass reads them properly and holds what it finds against the first.
func (s *scanner) passOver(name string) error {
	end := []byte(name)
	for {
		unread := s.unread()
		from := 0
		for {
			at := bytes.Index(unread[from:], end)
			if at < 0 {
				break
			}
			at += from
			start := bytes.LastIndexByte(unread[:at], '<')
			rest := unread[at+len(end):]
			if start >= 0 && bytes.HasPrefix(unread[start:], []byte("</")) && len(rest) > 0 && bytes.IndexByte(unread[start:at], '>') < 0 &&
				(rest[0] == '>' || rest[0] <= ' ') && (unread[at-1] == '/' || unread[at-1] == ':') {
				s.from += start
				_, err := s.next()
				return err
			}
			from = at + len(end)
		}
		s.from = max(s.from, s.to-512) // a tag may be cut in two
		if !s.fill() {
			if s.err != nil && !errors.Is(s.err, io.EOF) {
				return s.err
			}
			return fmt.Errorf("%w: it ends in the middle", errXML)
		}
	}
}

// read is the second pass.
func (x *sheet) read(s *scanner) error {
	x.s = s
	seen := false
	return each(s, func() error {
		if x.ended {
			return io.EOF
		}
		switch string(s.name) {
		case "col":
			x.hiddenCols = x.hiddenCols || truth(s.attribute("hidden"))
		case "sheetData":
			if seen {
				return fmt.Errorf("%w: a sheet with two tables of rows", errXML)
			}
			seen = true
		case "row":
			if !seen || len(s.depths) != 3 {
				return fmt.Errorf("%w: a row outside of the table", errXML)
			}
			return x.readRow()
		case "mergeCell":
			if x.merged++; x.merged > x.found {
				return fmt.Errorf("%w: merged cells in an unusual place", errXML)
			}
		}
		return nil
	})
}

func (x *sheet) readRow() error {
	next := x.line + 1
	if r := x.s.attribute("r"); r != "" {
		n, err := strconv.Atoi(r)
		if err != nil || n < next || n > lastRow {
			return fmt.Errorf("%w: rows out of order", errXML)
		}
		next = n
	}
	if next > lastRow {
		return fmt.Errorf("%w: more rows than a sheet has", errXML)
	}
	x.line, x.column, x.size = next, -1, 0
	x.faults = nil
	x.cells = make([]string, x.width, max(x.width, 16))
	hidden := truth(x.s.attribute("hidden"))
	x.advance()
	for depth := len(x.s.depths); ; {
		kind, err := x.s.next()
		switch {
		case err != nil:
			return err
		case kind == tokenEnd && len(x.s.depths) < depth:
			if hidden && !blank(x.cells) {
				x.hiddenRows++
			}
			x.finish()
			return x.ctx.Err()
		case kind == tokenStart && string(x.s.name) == "c":
			err = x.readCell()
		case kind == tokenStart:
			err = x.s.skipElement()
		}
		if err != nil {
			return err
		}
	}
}

// advance keeps the areas that may cover the present row.
func (x *sheet) advance() {
	for len(x.areas) > 0 && x.areas[0].fromRow <= x.line {
		x.active = append(x.active, x.areas[0])
		x.areas = x.areas[1:]
	}
	if len(x.active) > 0 {
		x.active = slices.DeleteFunc(x.active, func(a area) bool { return a.toRow < x.line })
	}
}

// finish hands the row on.
func (x *sheet) finish() {
	for len(x.cells) > x.width && x.cells[len(x.cells)-1] == "" {
		x.cells = x.cells[:len(x.cells)-1]
	}
	for _, a := range x.active {
		if a.fromCol >= max(x.width, len(x.cells)) {
			continue // beside the table
		}
		if a.fromRow == a.toRow && blank(x.cells) {
			continue // an empty row stays empty
		}
		if a.formula {
			if a.fromRow < x.line { // its first row has the formula itself
				x.fault(a.fromCol, "", formulaCell(a.name))
			}
			continue
		}
		x.fault(a.fromCol, "", mergedCell(a.name))
	}
	if x.size > x.lim.row {
		x.faults = []review.Finding{rowTooLong(x.lim.row)}
	}
	if x.width == 0 && len(x.faults) == 0 && blank(x.cells) {
		return
	}
	x.take(x.line, x.cells, x.faults)
}

// fault adds a fault of a cell.
func (x *sheet) fault(column int, value string, f review.Finding) {
	if len(x.faults) >= x.lim.columns {
		return
	}
	f.Column, f.Letter, f.Value = x.rep.Column(column), review.Letters(column), value
	x.faults = append(x.faults, f)
}

// readCell reads a cell, whose element has just started.
func (x *sheet) readCell() error {
	s := x.s
	column := x.column + 1
	if r := s.attribute("r"); r != "" {
		row, at, ok := parseCell(r)
		if !ok || row != x.line || at < column {
			return fmt.Errorf("%w: cells out of order", errXML)
		}
		column = at
	}
	if column >= lastColumn {
		return fmt.Errorf("%w: more columns than a sheet has", errXML)
	}
	x.column = column
	kind, style := kindOf(s.attribute("t")), -1
	if v := s.attribute("s"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil {
			return fmt.Errorf("%w: a cell's style", errXML)
		}
		style = n
	} else if len(x.formats) > 0 {
		style = 0
	}
	formula, text, err := x.readContent(kind)
	if err != nil {
		return err
	}
	if formula {
		x.set(column, "")
		x.fault(column, string(text), formulaCell(review.Letters(column)+strconv.Itoa(x.line)))
		return nil
	}
	if len(text) == 0 {
		return nil
	}
	return x.value(column, kind, style, text)
}

// cellKind is a cell's type (ECMA-376 part 1, 18.18.11).
type cellKind int

const (
	kindNumber cellKind = iota
	kindShared
	kindInline
	kindString // of a formula, or as some programs write any text
	kindBool
	kindError
	kindDate // ISO 8601, in the strict edition
	kindUnknown
)

func kindOf(t string) cellKind {
	switch t {
	case "", "n":
		return kindNumber
	case "s":
		return kindShared
	case "inlineStr":
		return kindInline
	case "str":
		return kindString
	case "b":
		return kindBool
	case "e":
		return kindError
	case "d":
		return kindDate
	}
	return kindUnknown
}

// readContent reads up to the end of the cell. The text is good until the next cell.
func (x *sheet) readContent(kind cellKind) (formula bool, text []byte, err error) {
	s := x.s
	x.scratch = x.scratch[:0]
	for depth := len(s.depths); ; {
		found, err := s.next()
		if err != nil {
			return false, nil, err
		}
		if found == tokenEnd && len(s.depths) < depth {
			if kind == kindString {
				x.scratch = unescapeString(x.scratch)
			}
			return formula, x.scratch, nil
		}
		if found != tokenStart {
			continue
		}
		switch string(s.name) {
		case "f":
			formula = true
			if t := s.attribute("t"); t == "array" || t == "dataTable" {
				if a, ok := parseArea(s.attribute("ref")); ok && a.toRow > x.line && len(x.active) < x.lim.ranges {
					a.formula = true
					x.active = append(x.active, a)
				}
			}
			err = s.skipElement()
		case "v":
			err = x.readValue()
		case "is":
			if kind == kindInline {
				x.scratch, _, err = s.readString(x.scratch)
			} else {
				err = s.skipElement()
			}
		default:
			err = s.skipElement()
		}
		if err != nil {
			return false, nil, err
		}
	}
}

func (x *sheet) readValue() error {
	for depth := len(x.s.depths); ; {
		kind, err := x.s.next()
		switch {
		case err != nil:
			return err
		case kind == tokenStart:
			return fmt.Errorf("%w: a value that isn't a text", errXML)
		case kind == tokenEnd && len(x.s.depths) < depth:
			return nil
		case kind == tokenText && x.s.long:
			x.size += maxText + 1
		case kind == tokenText && len(x.scratch) <= maxText:
			x.scratch = append(x.scratch, x.s.text...)
		}
	}
}

// value turns a cell's content into its text.
func (x *sheet) value(column int, kind cellKind, style int, content []byte) error {
	switch kind {
	case kindShared:
		n, err := strconv.Atoi(string(bytes.TrimSpace(content)))
		s, ok := x.shared.at(n)
		if err != nil || !ok {
			return fmt.Errorf("%w: a cell's text is missing", errXML)
		}
		x.set(column, s)
	case kindInline, kindString:
		x.set(column, string(content))
	case kindDate:
		x.set(column, strings.TrimSuffix(string(content), "T00:00:00"))
	case kindNumber:
		raw := strings.TrimSpace(string(content))
		s, wrong := x.number(raw, style)
		switch wrong {
		case notNumber:
			return fmt.Errorf("%w: a number that is none", errXML)
		case manyDigits:
			x.fault(column, raw, digitsLost())
		case noDate:
			x.fault(column, raw, badDate())
		}
		x.set(column, s)
	case kindBool:
		x.set(column, "")
		x.fault(column, string(content), logicalCell())
	case kindError:
		x.set(column, "")
		x.fault(column, string(content), errorCell())
	case kindUnknown:
		return fmt.Errorf("%w: a cell of an unknown type", errXML)
	}
	return nil
}

// set puts a cell's text in its place. Beside the table only as many cells are kept as a table may have: that the row is too long is
// known then.
func (x *sheet) set(column int, value string) {
	value = trim(value)
	x.size += len(value)
	if x.size > x.lim.row || column > x.lim.columns {
		value = "…"
		column = min(column, x.lim.columns)
	}
	for len(x.cells) <= column {
		x.cells = append(x.cells, "")
	}
	x.cells[column] = value
}

// parseCell reads a cell's name: row from 1, column from 0.
func parseCell(name string) (row, column int, ok bool) {
	i := 0
	for ; i < len(name) && i < 3 && name[i] >= 'A' && name[i] <= 'Z'; i++ {
		column = column*26 + int(name[i]-'A'+1)
	}
	digits := name[i:]
	if i == 0 || digits == "" || len(digits) > 7 || digits[0] == '0' {
		return 0, 0, false
	}
	for _, d := range []byte(digits) {
		if d < '0' || d > '9' {
			return 0, 0, false
		}
		row = row*10 + int(d-'0')
	}
	return row, column - 1, column <= lastColumn && row <= lastRow
}

// parseArea reads the name of a range, or of one cell.
func parseArea(name string) (area, bool) {
	first, second, two := strings.Cut(name, ":")
	if !two {
		second = first
	}
	a := area{name: name}
	var ok1, ok2 bool
	a.fromRow, a.fromCol, ok1 = parseCell(first)
	a.toRow, a.toCol, ok2 = parseCell(second)
	return a, ok1 && ok2 && a.fromRow <= a.toRow && a.fromCol <= a.toCol
}
