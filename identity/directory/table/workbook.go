package table

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/musubi-hub/musubi/identity/directory/review"
)

// maxDirectory bounds the list of files in a ZIP, in bytes: archive/zip keeps it in memory, whatever the file says it has.
const maxDirectory = 2 << 20

// compound says what an OLE compound file is: an old workbook, or a new one under a password (MS-OFFCRYPTO 2.3).
func compound(r io.ReaderAt, size int64, start []byte) review.Finding {
	if len(start) >= 52 {
		shift := binary.LittleEndian.Uint16(start[30:])
		sector := binary.LittleEndian.Uint32(start[48:])
		if at := (int64(sector) + 1) << min(shift, 12); at < size {
			directory := make([]byte, 4096)
			n, _ := r.ReadAt(directory, at) // what can't be read says nothing
			if bytes.Contains(directory[:n], []byte("E\x00n\x00c\x00r\x00y\x00p\x00t\x00")) {
				return locked()
			}
		}
	}
	return notTable("古い Excel ブック (XLS) です", "it is an old Excel workbook (XLS)")
}

// book is an XLSX workbook (ECMA-376, SpreadsheetML).
type book struct {
	*reading
	files    map[string]*zip.File
	unpacked int64 // bytes that parts may still unpack to
	from1904 bool
	sheets   []sheetEntry
	shared   arena
	formats  []format // of the cells' styles
}

type sheetEntry struct {
	name, part string
	hidden     bool
}

// failure is a fault that ends the reading of a workbook.
type failure struct{ review.Finding }

func fail(f review.Finding) error { return failure{f} }

// workbook reads a sheet of an XLSX file.
func (t *reading) workbook(r io.ReaderAt, size int64, sheet string) {
	b := &book{reading: t, unpacked: t.lim.unpacked, files: map[string]*zip.File{}}
	var f failure
	switch err := b.readBook(r, size, sheet); {
	case t.ended:
	case err == nil:
		if t.width == 0 {
			t.stop(0, notTable("シートが空です", "the sheet is empty"))
		}
	case errors.As(err, &f):
		t.stop(0, f.Finding)
	case errors.Is(err, errXML), errors.Is(err, zip.ErrFormat), errors.Is(err, zip.ErrChecksum), errors.Is(err, zip.ErrAlgorithm),
		errors.Is(err, io.ErrUnexpectedEOF), errors.As(err, new(flate.CorruptInputError)):
		t.stop(0, brokenWorkbook(err))
	default:
		t.stop(0, unreadable(err))
	}
}

func (b *book) readBook(r io.ReaderAt, size int64, sheet string) error {
	if err := b.open(r, size); err != nil {
		return err
	}
	main, err := b.main()
	if err != nil {
		return err
	}
	related, err := b.relations(main)
	if err != nil {
		return err
	}
	if err := b.part(main, func(s *scanner) error { return b.readWorkbook(s, related) }); err != nil {
		return err
	}
	entry, err := b.choose(sheet)
	if err != nil {
		return err
	}
	for _, rel := range related {
		switch {
		case rel.is("sharedStrings"):
			err = b.part(rel.part, b.readShared)
		case rel.is("styles"):
			err = b.part(rel.part, b.readStyles)
		}
		if err != nil {
			return err
		}
	}
	return b.readSheet(entry)
}

// open reads the list of the files in the ZIP.
func (b *book) open(r io.ReaderAt, size int64) error {
	tail := make([]byte, min(size, 22+1<<16))
	if n, err := r.ReadAt(tail, size-int64(len(tail))); n < len(tail) {
		return err
	}
	at := bytes.LastIndex(tail, []byte("PK\x05\x06"))
	if at < 0 || at+22 > len(tail) {
		return fmt.Errorf("%w: no list of files at its end", zip.ErrFormat)
	}
	listed, offset := int64(binary.LittleEndian.Uint32(tail[at+12:])), int64(binary.LittleEndian.Uint32(tail[at+16:]))
	if end := size - int64(len(tail)) + int64(at); max(listed, end-offset) > maxDirectory {
		return fail(bomb("ZIP のファイル一覧が大きすぎます", "the list of files in its ZIP is too large"))
	}
	z, err := zip.NewReader(r, size)
	if err != nil {
		return err
	}
	if len(z.File) > b.lim.entries {
		return fail(bomb(fmt.Sprintf("ZIP のファイルが %d 個を超えています", b.lim.entries), fmt.Sprintf("its ZIP has more than %d files", b.lim.entries)))
	}
	for _, f := range z.File {
		name := strings.ToLower(strings.TrimPrefix(f.Name, "/"))
		if b.files[name] != nil {
			return fail(brokenWorkbook(errors.New("two files of one name in its ZIP")))
		}
		b.files[name] = f
	}
	return nil
}

// part hands a part of the workbook to read, within what may still be unpacked.
func (b *book) part(name string, read func(*scanner) error) error {
	f := b.files[strings.ToLower(name)]
	if f == nil {
		return fmt.Errorf("%w: no part %s", errXML, review.Visible(name, review.MaxShown))
	}
	const small = 16 << 20
	limit := min(b.unpacked, max(small, int64(min(f.CompressedSize64, 1<<40))*b.lim.ratio))
	if int64(min(f.UncompressedSize64, 1<<62)) > limit {
		return fail(unpacksTooLarge())
	}
	if f.Flags&1 != 0 {
		return fail(locked())
	}
	in, err := f.Open()
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	m := newMeter(b.ctx, in, limit)
	err = read(newScanner(m))
	b.unpacked -= limit - m.left
	if errors.Is(err, errFileTooLarge) {
		return fail(unpacksTooLarge())
	}
	return err
}

type relation struct{ id, kind, part string }

// is tells the kind of a relation, of which there are two editions of names (transitional and strict).
func (r relation) is(kind string) bool { return strings.HasSuffix(r.kind, "/relationships/"+kind) }

// relations reads what a part refers to; the empty part is the package itself.
func (b *book) relations(of string) ([]relation, error) {
	dir, file := path.Split(of)
	var list []relation
	err := b.part(dir+"_rels/"+file+".rels", func(s *scanner) error {
		return each(s, func() error {
			if string(s.name) != "Relationship" || s.attribute("TargetMode") == "External" {
				return nil
			}
			target := s.attribute("Target")
			if strings.HasPrefix(target, "/") {
				target = path.Clean(target)[1:]
			} else {
				target = path.Join(dir, target)
			}
			list = append(list, relation{s.attribute("Id"), s.attribute("Type"), target})
			return nil
		})
	})
	return list, err
}

// each calls fn at the start of every element.
func each(s *scanner, fn func() error) error {
	for {
		kind, err := s.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil && kind == tokenStart {
			err = fn()
		}
		if err != nil {
			return err
		}
	}
}

// main finds the workbook's main part.
func (b *book) main() (string, error) {
	if b.files["_rels/.rels"] == nil {
		return "", fail(notTable("Excel ブックではない ZIP です", "it is a ZIP file that is no Excel workbook"))
	}
	related, err := b.relations("")
	if err != nil {
		return "", err
	}
	for _, r := range related {
		if !r.is("officeDocument") {
			continue
		}
		if strings.HasSuffix(strings.ToLower(r.part), ".bin") {
			return "", fail(notTable("バイナリー形式の Excel ブック (XLSB) です", "it is a binary Excel workbook (XLSB)"))
		}
		if strings.HasPrefix(strings.ToLower(r.part), "xl/") || strings.Contains(r.part, "workbook") {
			return r.part, nil
		}
	}
	return "", fail(notTable("Excel ブックではない Office 文書です", "it is an Office document that is no Excel workbook"))
}

func (b *book) readWorkbook(s *scanner, related []relation) error {
	return each(s, func() error {
		switch string(s.name) {
		case "workbookPr":
			b.from1904 = truth(s.attribute("date1904"))
		case "sheet":
			id := s.attribute("id")
			at := slices.IndexFunc(related, func(r relation) bool { return r.id == id && r.is("worksheet") })
			if at >= 0 { // else a sheet of another kind: a chart
				b.sheets = append(b.sheets, sheetEntry{s.attribute("name"), related[at].part, strings.Contains(strings.ToLower(s.attribute("state")), "hidden")})
			}
		}
		return nil
	})
}

func truth(s string) bool { return s == "1" || s == "true" }

// choose picks the sheet to read.
func (b *book) choose(name string) (sheetEntry, error) {
	var names []string
	for _, e := range b.sheets {
		if !e.hidden {
			names = append(names, e.name)
		}
	}
	at := slices.IndexFunc(b.sheets, func(e sheetEntry) bool { return e.name == name || name == "" && !e.hidden })
	if at < 0 {
		return sheetEntry{}, fail(noSheet(name, names))
	}
	chosen := b.sheets[at]
	b.rep.InSheet(chosen.name)
	shown := review.Visible(chosen.name, review.MaxShown)
	ja, en := "シート「"+shown+"」を読みました", "the sheet "+shown+" was read"
	if more := len(b.sheets) - 1; more > 0 {
		ja += fmt.Sprintf(" (ほかの %d 枚は読んでいません)", more)
		en += fmt.Sprintf("; the other %d were not", more)
	}
	b.rep.Note(0, review.Say(ja, en))
	return chosen, nil
}

// arena keeps many strings in few allocations: they are parts of larger ones. The strings that are taken from it keep those alive.
type arena struct {
	chunks []string
	open   strings.Builder
	starts []uint32 // of each string: chunk * chunkSize + offset; it goes on to the next one's, or to the chunk's end
	bytes  int64
}

const chunkSize = 1 << 20 // a string is shorter

func (t *arena) add(s []byte) {
	if t.open.Len()+len(s) >= chunkSize || t.open.Cap() == 0 {
		if t.open.Len() > 0 {
			t.chunks = append(t.chunks, t.open.String())
		}
		t.open = strings.Builder{}
		t.open.Grow(chunkSize)
	}
	t.starts = append(t.starts, uint32(len(t.chunks)*chunkSize+t.open.Len()))
	t.open.Write(s)
	t.bytes += int64(len(s))
}

func (t *arena) at(i int) (string, bool) {
	if i < 0 || i >= len(t.starts) {
		return "", false
	}
	chunk, from := int(t.starts[i]/chunkSize), t.starts[i]%chunkSize
	text := t.open.String()
	if chunk < len(t.chunks) {
		text = t.chunks[chunk]
	}
	to := uint32(len(text))
	if i+1 < len(t.starts) && int(t.starts[i+1]/chunkSize) == chunk {
		to = t.starts[i+1] % chunkSize
	}
	return text[from:to], true
}

// readShared reads the shared strings: the text of each, without what says how it is pronounced.
func (b *book) readShared(s *scanner) error {
	return each(s, func() error {
		if string(s.name) != "si" {
			return nil
		}
		value, _, err := s.readString(nil)
		if err != nil {
			return err
		}
		b.shared.add(value)
		if len(b.shared.starts) > b.lim.items || b.shared.bytes > b.lim.strings {
			return fail(unpacksTooLarge())
		}
		return nil
	})
}

// readString gathers the texts of a string item or an inline string (ECMA-376 part 1, 18.4.8 and 18.3.1.53), whose element has just
// started, up to its end. Phonetic runs are left out. long says that it was longer than what is kept.
func (s *scanner) readString(to []byte) (value []byte, long bool, err error) {
	began, inText := len(s.depths), 0
	for {
		kind, err := s.next()
		if err != nil {
			return to, long, err
		}
		switch {
		case kind == tokenStart && string(s.name) == "rPh":
			if err := s.skipElement(); err != nil {
				return to, long, err
			}
		case kind == tokenStart && string(s.name) == "t":
			inText = len(s.depths)
		case kind == tokenText && inText == len(s.depths):
			long = long || s.long || len(to)+len(s.text) > 2*maxText
			if !long {
				to = append(to, s.text...)
			}
		case kind == tokenEnd && len(s.depths) < began:
			if long {
				// What is kept is longer than a row may be, so that the row is refused.
				return bytes.Repeat([]byte("…"), maxText/len("…")+1), true, nil
			}
			return unescapeString(to), false, nil
		case kind == tokenEnd && len(s.depths) < inText:
			inText = 0
		}
	}
}

// unescapeString replaces _xHHHH_ by its character (ECMA-376 part 1, 22.9.2.19, ST_Xstring).
func unescapeString(text []byte) []byte {
	if !bytes.Contains(text, []byte("_x")) {
		return text
	}
	var out []byte
	for len(text) > 0 {
		if len(text) >= 7 && text[0] == '_' && text[1] == 'x' && text[6] == '_' {
			if n, err := strconv.ParseUint(string(text[2:6]), 16, 16); err == nil && (n < 0xd800 || n > 0xdfff) {
				out = append(out, string(rune(n))...)
				text = text[7:]
				continue
			}
		}
		out = append(out, text[0])
		text = text[1:]
	}
	return out
}
