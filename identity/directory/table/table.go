package table

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/musubi-hub/musubi/identity/directory/review"
)

// Limits of a file. A cell as long as a row is still read; what a cell may hold is the caller's to check.
const (
	MaxFile    = 200 << 20 // bytes
	MaxPiped   = 64 << 20  // bytes of a file that can only be read from front to back, and is therefore kept in memory
	MaxRow     = 64 << 10  // bytes, in UTF-8
	MaxRows    = 1_000_000
	MaxColumns = 256
)

// limits bound one reading.
type limits struct {
	file    int64 // bytes
	row     int   // bytes; a longer row is refused and reading goes on
	endless int   // bytes; a row that is longer still doesn't end (an unclosed quote) and reading stops
	rows    int
	columns int

	// Of a workbook.
	entries  int   // files in the ZIP
	unpacked int64 // bytes of all parts that are read, together
	ratio    int64 // unpacked to packed, of a part of more than 16 MiB
	strings  int64 // bytes of the shared strings
	items    int   // shared strings
	ranges   int   // merged cells
}

var fileLimits = limits{
	file: MaxFile, row: MaxRow, endless: 16 << 20, rows: MaxRows, columns: MaxColumns,
	entries: 10_000, unpacked: 1 << 30, ratio: 300, strings: 96 << 20, items: 8_000_000, ranges: 100_000,
}

// Encoding is how a text file is written.
type Encoding string

// The encodings.
const (
	UTF8  Encoding = "utf-8"
	CP932 Encoding = "cp932" // Windows-31J: Shift_JIS with the extensions of NEC and IBM
)

// ParseEncoding reads the name of an encoding as an administrator writes it.
func ParseEncoding(s string) (Encoding, error) {
	switch strings.ToLower(s) {
	case "utf-8", "utf8":
		return UTF8, nil
	case "cp932", "ms932", "windows-31j", "shift_jis", "shift-jis", "sjis":
		return CP932, nil
	}
	return "", fmt.Errorf("encoding %q: write utf-8 or cp932", review.Visible(s, review.MaxShown))
}

// Options of a reading. The zero value tells everything by the content.
type Options struct {
	Encoding Encoding // of a text file, where the content doesn't tell it rightly
	Sheet    string   // of a workbook; empty: the first visible one

	EveryFault bool // the report keeps more faults than it shows, for a file of the wrong rows

	Known   func(Encoding) // told once what a text file is written in; nil for nobody
	Refused Row            // told the rows that are refused here, with their cells as far as they could be read; nil for nobody
}

// Header is told the names in the first row. It returns a fault if they are not what it can read, and may give the columns the names
// that faults shall call them by (Report.SetColumns).
type Header func(cells []string) *review.Finding

// Row is told a row: its line in the file, or its row in the sheet, and as many cells as the header has, without spaces around. The
// cells are the callee's to keep; they share memory with other cells.
type Row func(line int, cells []string)

// Read reads a whole file of size bytes: it calls head once, then row with each good row that isn't empty, in order. All that is wrong
// with the file goes to the report, and which sheet and encoding were read where the file left a choice. The error is that of the
// context alone.
func Read(ctx context.Context, r io.ReaderAt, size int64, opt Options, rep *review.Report, head Header, row Row) error {
	return read(ctx, r, size, opt, fileLimits, rep, head, row)
}

func read(ctx context.Context, r io.ReaderAt, size int64, opt Options, lim limits, rep *review.Report, head Header, row Row) error {
	t := &reading{ctx: ctx, lim: lim, rep: rep, head: head, row: row, refused: opt.Refused, known: opt.Known}
	if opt.EveryFault {
		rep.KeepEvery()
	}
	if t.refused == nil {
		t.refused = func(int, []string) {}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if size > lim.file {
		rep.Stop(0, fileTooLarge(lim.file))
		return nil
	}
	start := make([]byte, min(size, 512))
	if n, err := r.ReadAt(start, 0); err != nil && (err != io.EOF || n < len(start)) {
		rep.Stop(0, unreadable(err))
		return nil
	}
	switch {
	case bytes.HasPrefix(start, []byte("PK\x03\x04")) || bytes.HasPrefix(start, []byte("PK\x05\x06")):
		t.workbook(r, size, opt.Sheet)
	case bytes.HasPrefix(start, []byte("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")):
		t.stop(0, compound(r, size, start))
	default:
		t.text(r, size, opt.Encoding)
	}
	return ctx.Err()
}

// Source makes what Read wants of a reader: files and bytes are read where they are, from their present position to their end; what can
// only be read from front to back (a pipe) is first read into memory, up to MaxPiped.
func Source(r io.Reader) (io.ReaderAt, int64, error) {
	at, isAt := r.(io.ReaderAt)
	seeker, isSeeker := r.(io.Seeker)
	if isAt && isSeeker {
		here, err := seeker.Seek(0, io.SeekCurrent)
		if err == nil {
			var end int64
			if end, err = seeker.Seek(0, io.SeekEnd); err == nil {
				_, err = seeker.Seek(here, io.SeekStart)
			}
			if err != nil {
				return nil, 0, fmt.Errorf("find the file's size: %w", err)
			}
			return io.NewSectionReader(at, here, end-here), end - here, nil
		}
	}
	b, err := io.ReadAll(io.LimitReader(r, MaxPiped+1))
	if err != nil {
		return nil, 0, err
	}
	if len(b) > MaxPiped {
		return nil, 0, fmt.Errorf("it comes through a pipe and is larger than %d MiB; write it to a file first", MaxPiped>>20)
	}
	return bytes.NewReader(b), int64(len(b)), nil
}

// Unreadable is the fault of a file of which nothing can be read.
func Unreadable(err error) review.Finding { return unreadable(err) }

// TooManyRows is the fault of a file with more rows than the limit.
func TooManyRows(limit int) review.Finding { return tooManyRows(limit) }

// reading is one file being read: what text files and workbooks have in common.
type reading struct {
	ctx  context.Context
	lim  limits
	rep  *review.Report
	head Header
	row  Row

	refused Row
	known   func(Encoding)

	width int // of the header; 0 before it
	rows  int
	ended bool // by a fault; nothing more is to be read
}

// stop ends the reading with a fault.
func (t *reading) stop(line int, f review.Finding) {
	if !t.ended && t.ctx.Err() == nil {
		t.rep.Stop(line, f)
	}
	t.ended = true
}

// take takes the cells of the next row that can be read, with its faults. The first row that isn't empty is the header.
func (t *reading) take(line int, cells []string, faults []review.Finding) {
	for i := range cells {
		cells[i] = trim(cells[i])
	}
	if t.width == 0 {
		t.takeHeader(line, cells, faults)
		return
	}
	if len(faults) == 0 && blank(cells) {
		return
	}
	if t.rows++; t.rows > t.lim.rows {
		t.stop(line, tooManyRows(t.lim.rows))
		return
	}
	for _, f := range faults {
		t.rep.Refuse(line, f)
	}
	switch {
	case len(faults) > 0:
		t.refused(line, cells)
	case len(cells) != t.width:
		t.rep.Refuse(line, ragged(len(cells), t.width))
		t.refused(line, cells)
	default:
		t.row(line, cells)
	}
}

func (t *reading) takeHeader(line int, cells []string, faults []review.Finding) {
	switch {
	case len(faults) > 0:
		t.stop(line, faults[0])
		return
	case len(cells) > t.lim.columns:
		t.stop(1, tooManyColumns(t.lim.columns))
		return
	}
	t.width = len(cells)
	t.rep.SetColumns(cells)
	if f := t.head(slices.Clone(cells)); f != nil {
		t.stop(1, *f)
	}
}

// trim drops the spaces around a value, the wide ones too.
func trim(s string) string {
	for len(s) > 0 && s[0] == ' ' {
		s = s[1:]
	}
	for len(s) > 0 && s[len(s)-1] == ' ' {
		s = s[:len(s)-1]
	}
	if strings.HasPrefix(s, "\u3000") || strings.HasSuffix(s, "\u3000") {
		return strings.Trim(s, " \u3000")
	}
	return s
}

func blank(cells []string) bool {
	return !slices.ContainsFunc(cells, func(s string) bool { return s != "" })
}

// Errors of the readers below the parsers; parsers hand them up.
var (
	errFileTooLarge = errors.New("file too large")
	errEndlessRow   = errors.New("row without end")
)

// meter bounds what is read: the whole, one row, which a parser would otherwise gather without end, and the time.
type meter struct {
	ctx  context.Context
	r    io.Reader
	left int64 // of the whole
	row  int   // left of the row
}

func newMeter(ctx context.Context, r io.Reader, whole int64) *meter {
	return &meter{ctx: ctx, r: r, left: whole, row: math.MaxInt}
}

func (m *meter) Read(p []byte) (int, error) {
	if err := m.ctx.Err(); err != nil {
		return 0, err
	}
	if m.row <= 0 {
		return 0, errEndlessRow
	}
	n, err := m.r.Read(p[:min(len(p), m.row)])
	m.left -= int64(n)
	m.row -= n
	if m.left < 0 {
		return 0, errFileTooLarge
	}
	return n, err
}
