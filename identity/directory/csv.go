package directory

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/musubi-hub/musubi/identity/directory/review"

	"golang.org/x/text/encoding/japanese"
)

// Limits of a file.
const (
	MaxFile = 200 << 20 // bytes
	MaxRow  = 64 << 10  // bytes
	MaxRows = 1_000_000

	// sniffed is how much of the file is looked at to tell what it is.
	sniffed = 64 << 10
)

// limits bound one reading.
type limits struct {
	file    int64 // bytes
	row     int   // bytes; a longer row is refused and reading goes on
	endless int   // bytes; a row that is longer still doesn't end (an unclosed quote) and reading stops
	rows    int
}

var fileLimits = limits{file: MaxFile, row: MaxRow, endless: 16 << 20, rows: MaxRows}

var (
	errFileTooLarge = errors.New("file too large")
	errEndlessRow   = errors.New("row without end")
)

// header chooses the columns to read from the first line. It returns the names of all cells in the first line and a fault if the
// header is not one that the subject knows.
type header func(cells []string) *fault

// readCSV reads a whole file: it calls head once with the first line, then row with each further line that is a row of as many
// cells, trimmed. All that is wrong goes to the report. row's cells are the callee's to keep.
func readCSV(r io.Reader, rep *review.Report, lim limits, head header, row func(line int, cells []string)) {
	m := &meter{r: r, row: lim.endless, left: lim.file}
	b := bufio.NewReaderSize(m, sniffed)
	if f := sniff(b, lim); f != nil {
		rep.Stop(0, *f)
		return
	}
	c := csv.NewReader(b)
	c.FieldsPerRecord = -1
	width, rows, line, offset := 0, 0, 0, int64(0)
	for {
		m.row = lim.endless
		cells, err := c.Read()
		line = lineOf(c, cells, err, line+1)
		size := c.InputOffset() - offset
		offset = c.InputOffset()
		if err == io.EOF {
			if width == 0 {
				rep.Stop(0, notCSV("ファイルが空です", "the file is empty"))
			}
			return
		}
		if f, stop := readFault(err, size, lim); f != nil {
			if width == 0 {
				rep.Stop(1, *f)
				return
			}
			if stop {
				rep.Stop(line, *f)
				return
			}
			rep.Refuse(line, *f)
			continue
		}
		for i := range cells {
			cells[i] = strings.Trim(cells[i], " \u3000")
		}
		if width == 0 {
			if f := head(cells); f != nil {
				rep.Stop(1, *f)
				return
			}
			width = len(cells)
			continue
		}
		if blank(cells) {
			continue
		}
		if rows++; rows > lim.rows {
			rep.Stop(line, tooManyRows(lim.rows))
			return
		}
		if len(cells) != width {
			rep.Refuse(line, ragged(len(cells), width))
			continue
		}
		row(line, cells)
	}
}

// readFault turns what the reader says into a fault, and says whether reading can go on after it.
func readFault(err error, size int64, lim limits) (f *fault, stop bool) {
	var p *csv.ParseError
	switch {
	case err == nil && size <= int64(lim.row):
		return nil, false
	case err == nil:
		g := rowTooLong(lim.row)
		return &g, false
	case errors.Is(err, errFileTooLarge):
		g := fileTooLarge(lim.file)
		return &g, true
	case errors.Is(err, errEndlessRow):
		g := rowTooLong(lim.row)
		return &g, true
	case errors.As(err, &p) && errors.Is(err, csv.ErrBareQuote):
		g := badQuote("囲まれていない値の中に \" があります", `there is a " inside a value that is not quoted`)
		return &g, false
	case errors.As(err, &p) && errors.Is(err, csv.ErrQuote):
		g := badQuote("\" が閉じていないか、閉じた後に文字があります", `a " is not closed, or something follows a closed one`)
		if p.Line > p.StartLine {
			g.Reason.JA += fmt.Sprintf(" (%d 行目から %d 行目までを一つの行として読みました)", p.StartLine, p.Line)
			g.Reason.EN += fmt.Sprintf(" (lines %d to %d were read as one row)", p.StartLine, p.Line)
		}
		return &g, false
	default:
		g := unreadable(err)
		return &g, true
	}
}

// lineOf is the line that the row starts in; next is the answer where the reader doesn't say.
func lineOf(c *csv.Reader, cells []string, err error, next int) int {
	var p *csv.ParseError
	switch {
	case errors.As(err, &p):
		return p.StartLine
	case len(cells) > 0:
		line, _ := c.FieldPos(0)
		return line
	}
	return next
}

func blank(cells []string) bool {
	return !slices.ContainsFunc(cells, func(s string) bool { return s != "" })
}

// sniff tells files that are not UTF-8 CSV from those that are, by their first bytes, and skips a byte order mark.
func sniff(b *bufio.Reader, lim limits) *fault {
	start, err := b.Peek(sniffed)
	if err != nil && err != io.EOF {
		f := unreadable(err)
		if errors.Is(err, errFileTooLarge) {
			f = fileTooLarge(lim.file)
		}
		return &f
	}
	refuse := func(ja, en string) *fault { f := notCSV(ja, en); return &f }
	for magic, what := range map[string]review.Text{
		"PK\x03\x04":                       review.Say("Excel ブック (XLSX) か ZIP です", "it is an Excel workbook (XLSX) or a ZIP file"),
		"PK\x05\x06":                       review.Say("空の ZIP です", "it is an empty ZIP file"),
		"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": review.Say("古い Excel ブック (XLS) です", "it is an old Excel workbook (XLS)"),
		"%PDF-":                            review.Say("PDF です", "it is a PDF"),
		"\x1f\x8b":                         review.Say("gzip で圧縮されています", "it is compressed with gzip"),
		"\xff\xfe":                         review.Say("文字コードが UTF-16 です", "its encoding is UTF-16"),
		"\xfe\xff":                         review.Say("文字コードが UTF-16 です", "its encoding is UTF-16"),
	} {
		if bytes.HasPrefix(start, []byte(magic)) {
			return refuse(what.JA, what.EN)
		}
	}
	if bom := []byte("\ufeff"); bytes.HasPrefix(start, bom) {
		_, _ = b.Discard(len(bom)) // it was just peeked
		start = start[len(bom):]
	}
	return foreign(start, len(start) < sniffed-utf8.UTFMax, refuse)
}

// foreign says what bytes that are not UTF-8 text are, as far as that can be told.
func foreign(start []byte, whole bool, refuse func(ja, en string) *fault) *fault {
	if zeros := bytes.Count(start, []byte{0}); zeros > 0 {
		if zeros > len(start)/4 {
			return refuse("文字コードが UTF-16 か、バイナリーです", "its encoding is UTF-16, or it is binary")
		}
		return nil // single NULs are a matter of their cells
	}
	if !whole {
		start = start[:bytes.LastIndexByte(start, '\n')+1] // don't judge a character that the peek cut in two
	}
	if utf8.Valid(start) {
		return nil
	}
	good := 0
	for rest := start; len(rest) > 0; {
		r, size := utf8.DecodeRune(rest)
		if r >= utf8.RuneSelf && size > 1 {
			good++
		}
		rest = rest[size:]
	}
	bad := len([]rune(string(start))) - len([]rune(string(bytes.ToValidUTF8(start, nil))))
	if good > bad {
		return nil // UTF-8 with damaged cells: say which
	}
	if text, err := japanese.ShiftJIS.NewDecoder().Bytes(start); err == nil && !bytes.ContainsRune(text, utf8.RuneError) {
		return refuse("文字コードが Shift_JIS (CP932) です", "its encoding is Shift_JIS (CP932)")
	}
	return refuse("UTF-8 のテキストではありません", "it is not UTF-8 text")
}

// meter bounds what is read: the file as a whole, and one row, which encoding/csv would otherwise gather without end.
type meter struct {
	r    io.Reader
	left int64 // of the file
	row  int   // left of the row
}

func (m *meter) Read(p []byte) (int, error) {
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
