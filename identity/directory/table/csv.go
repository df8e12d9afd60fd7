package table

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"

	"github.com/musubi-hub/musubi/identity/directory/review"
)

const bom = "\ufeff"

// text reads a CSV file.
func (t *reading) text(r io.ReaderAt, size int64, forced Encoding) {
	encoding, f := t.detect(r, size, forced)
	if f != nil {
		t.stop(0, *f)
		return
	}
	if t.known != nil {
		t.known(encoding)
	}
	m := newMeter(t.ctx, io.NewSectionReader(r, 0, size), size)
	in := bufio.NewReaderSize(m, 64<<10)
	var lost *decoder
	if encoding == CP932 {
		lost = &decoder{r: in}
		in = bufio.NewReader(lost)
		if forced == "" {
			t.rep.Note(0, review.Say("文字コードを Shift_JIS (CP932) として読みました", "it was read as Shift_JIS (CP932)"))
		}
	} else if start, err := in.Peek(len(bom)); err == nil && string(start) == bom {
		_, _ = in.Discard(len(bom)) // it was just peeked
	}
	c := csv.NewReader(in)
	c.FieldsPerRecord = -1
	line, offset := 0, int64(0)
	for !t.ended {
		m.row = t.lim.endless
		cells, err := c.Read()
		line = lineOf(c, cells, err, line+1)
		length := c.InputOffset() - offset
		offset = c.InputOffset()
		if errors.Is(err, io.EOF) {
			break
		}
		if f, stop := t.rowFault(err, length); f != nil {
			if stop || t.width == 0 {
				t.stop(max(line, 1), *f)
				return
			}
			lost.drop(offset)
			t.rep.Refuse(line, *f)
			t.refused(line, cells)
			continue
		}
		faults := lost.faults(t.rep, cells, offset)
		for i := range cells {
			cells[i] = unguard(cells[i])
		}
		t.take(line, cells, faults)
	}
	if t.width == 0 {
		t.stop(0, notTable("ファイルが空です", "the file is empty"))
	}
}

// rowFault turns what the parser says into a fault, and says whether reading can't go on after it.
func (t *reading) rowFault(err error, length int64) (f *review.Finding, stop bool) {
	var p *csv.ParseError
	found := func(f review.Finding) *review.Finding { return &f }
	switch {
	case err == nil && length <= int64(t.lim.row):
		return nil, false
	case err == nil:
		return found(rowTooLong(t.lim.row)), false
	case errors.Is(err, errFileTooLarge):
		return found(fileTooLarge(t.lim.file)), true
	case errors.Is(err, errEndlessRow):
		return found(rowTooLong(t.lim.row)), true
	case errors.As(err, &p) && errors.Is(err, csv.ErrBareQuote):
		return found(badQuote("囲まれていない値の中に \" があります", `there is a " inside a value that is not quoted`)), false
	case errors.As(err, &p) && errors.Is(err, csv.ErrQuote):
		f := badQuote("\" が閉じていないか、閉じた後に文字があります", `a " is not closed, or something follows a closed one`)
		if p.Line > p.StartLine {
			f.Reason.JA += fmt.Sprintf(" (%d 行目から %d 行目までを一つの行として読みました)", p.StartLine, p.Line)
			f.Reason.EN += fmt.Sprintf(" (lines %d to %d were read as one row)", p.StartLine, p.Line)
		}
		return &f, false
	default:
		return found(unreadable(err)), true
	}
}

// lineOf is the line that the row starts in; next is the answer where the parser doesn't say.
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

// detect tells what a text file is by all of it, or refuses it.
func (t *reading) detect(r io.ReaderAt, size int64, forced Encoding) (Encoding, *review.Finding) {
	refuse := func(ja, en string) (Encoding, *review.Finding) {
		f := notTable(ja, en)
		return "", &f
	}
	start := make([]byte, min(size, 64<<10))
	if n, err := r.ReadAt(start, 0); err != nil && (err != io.EOF || n < len(start)) {
		f := unreadable(err)
		return "", &f
	}
	for _, known := range []struct {
		magic string
		what  review.Text
	}{
		{"%PDF-", review.Say("PDF です", "it is a PDF")},
		{"\x1f\x8b", review.Say("gzip で圧縮されています", "it is compressed with gzip")},
		{"\xff\xfe", review.Say("文字コードが UTF-16 です", "its encoding is UTF-16")},
		{"\xfe\xff", review.Say("文字コードが UTF-16 です", "its encoding is UTF-16")},
	} {
		if bytes.HasPrefix(start, []byte(known.magic)) {
			return refuse(known.what.JA, known.what.EN)
		}
	}
	if zeros := bytes.Count(start, []byte{0}); zeros > len(start)/4 {
		return refuse("文字コードが UTF-16 か、バイナリーです", "its encoding is UTF-16, or it is binary")
	}
	if bytes.Contains(start, []byte("\x1b$B")) || bytes.Contains(start, []byte("\x1b$@")) {
		return refuse("文字コードが ISO-2022-JP (JIS) です", "its encoding is ISO-2022-JP (JIS)")
	}
	if forced != "" {
		return forced, nil
	}
	if bytes.HasPrefix(start, []byte(bom)) {
		return UTF8, nil
	}
	n, err := count(newMeter(t.ctx, io.NewSectionReader(r, 0, size), size))
	switch {
	case err != nil:
		f := unreadable(err)
		return "", &f
	case n.notUTF8 == 0 || n.utf8 > n.notUTF8: // damaged cells say so themselves
		return UTF8, nil
	case n.notEUC == 0 && n.kanji == 0:
		return refuse("文字コードが EUC-JP のようです。半角カナだけの Shift_JIS なら、文字コードを指定してください",
			"its encoding seems to be EUC-JP; if it is Shift_JIS with half-width kana only, name the encoding")
	case n.kanji > n.notCP932 && controls(start)*32 <= len(start):
		return CP932, nil
	}
	return refuse("UTF-8 でも Shift_JIS (CP932) でもありません", "it is neither UTF-8 nor Shift_JIS (CP932)")
}

// controls counts the bytes that no text has.
func controls(b []byte) (n int) {
	for _, c := range b {
		if c < ' ' && c != '\t' && c != '\r' && c != '\n' {
			n++
		}
	}
	return n
}
