package table

import (
	"bufio"
	"io"
	"strings"

	"github.com/musubi-hub/musubi/identity/directory/review"
)

// WriterOptions of a file. The zero value is UTF-8, guarded.
type WriterOptions struct {
	Encoding Encoding // empty: UTF8
	// Unguarded leaves cells as they are that a spreadsheet takes for a formula. It is for files that only programs read.
	Unguarded bool
}

// Writer writes CSV: UTF-8 with a byte order mark, which Excel needs to know it, or CP932; lines end in CRLF; quotes as RFC 4180 has them.
//
// A cell that begins with = + - @ TAB or CR is data to us and a formula to a spreadsheet, which may run it. The guard puts an
// apostrophe before it, the spreadsheets' own sign for "this is text". Read takes that apostrophe away again, so a guarded file read back is
// what was written. So that this holds for every cell, one that begins with apostrophes and such a character by itself gets one more,
// guarded or not.
type Writer struct {
	out       *bufio.Writer
	opt       WriterOptions
	report    *review.Report
	columns   []string
	line      int
	row, cell []byte
}

// NewWriter starts a file. Characters that the encoding lacks go to the report, with their row and column; such a row isn't
// written: nothing is replaced in silence, and who writes the file decides what a report that isn't OK means for it.
func NewWriter(w io.Writer, opt WriterOptions, report *review.Report) *Writer {
	return &Writer{out: bufio.NewWriterSize(w, 64<<10), opt: opt, report: report}
}

// Row writes a row; the first is the header. The error is that of the file.
func (w *Writer) Row(cells []string) error {
	w.line++
	if w.line == 1 {
		w.columns = append(w.columns, cells...)
		if w.opt.Encoding != CP932 {
			if _, err := w.out.WriteString(bom); err != nil {
				return err
			}
		}
	}
	w.row = w.row[:0]
	good := true
	for i, value := range cells {
		if i > 0 {
			w.row = append(w.row, ',')
		}
		quoted := needsQuotes(value) || len(cells) == 1 && value == ""
		w.cell = w.cell[:0]
		if escapes(value, w.opt.Unguarded) {
			w.cell = append(w.cell, '\'')
		}
		if w.opt.Encoding == CP932 {
			var c rune
			var ok bool
			if w.cell, c, ok = encodeCP932(w.cell, value); !ok {
				column := ""
				if i < len(w.columns) {
					column = w.columns[i]
				}
				w.report.Refuse(w.line, lacking(column, value, c))
				good = false
			}
		} else {
			w.cell = append(w.cell, value...)
		}
		w.row = appendCell(w.row, w.cell, quoted)
	}
	if !good {
		return nil
	}
	_, err := w.out.Write(append(w.row, '\r', '\n'))
	return err
}

// Flush writes what is still kept back. Call it once, after the last row.
func (w *Writer) Flush() error { return w.out.Flush() }

func needsQuotes(value string) bool {
	return strings.ContainsAny(value, "\",\r\n") || value != "" && (value[0] == ' ' || value[len(value)-1] == ' ')
}

func appendCell(row, cell []byte, quoted bool) []byte {
	if !quoted {
		return append(row, cell...)
	}
	row = append(row, '"')
	for _, b := range cell { // " is never the second byte of a CP932 character
		if b == '"' {
			row = append(row, '"')
		}
		row = append(row, b)
	}
	return append(row, '"')
}

// formula reports whether a spreadsheet would take a cell for a formula.
func formula(value string) bool { return value != "" && strings.IndexByte("=+-@\t\r", value[0]) >= 0 }

// escapes reports whether a cell gets an apostrophe.
func escapes(value string, unguarded bool) bool {
	rest := strings.TrimLeft(value, "'")
	return formula(rest) && (!unguarded || len(rest) < len(value))
}

// unguard takes the apostrophe away that the writer put before a cell.
func unguard(value string) string {
	if len(value) > 1 && value[0] == '\'' && formula(strings.TrimLeft(value, "'")) {
		return value[1:]
	}
	return value
}
