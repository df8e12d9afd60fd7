package table

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/text/encoding/japanese"
	"pgregory.net/rapid"

	"github.com/musubi-hub/musubi/identity/directory/review"
)

// got is what a reading gave: the header, the rows with their lines, and the report.
type got struct {
	header []string
	rows   [][]string
	lines  []int
	report *review.Report
}

func readAll(t testing.TB, in []byte, opt Options, lim limits) got {
	t.Helper()
	g := got{report: review.New("f")}
	err := read(t.Context(), bytes.NewReader(in), int64(len(in)), opt, lim, g.report,
		func(cells []string) *review.Finding { g.header = cells; return nil },
		func(line int, cells []string) {
			g.lines, g.rows = append(g.lines, line), append(g.rows, cells)
		})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func (g got) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%q\n", g.header)
	for i, row := range g.rows {
		fmt.Fprintf(&b, "%d: %q\n", g.lines[i], row)
	}
	_, _ = g.report.WriteTo(&b)
	return b.String()
}

// has reports whether a fault stands at the place for a reason of which this is a part.
func (g got) has(line int, column, reason string) bool {
	return slices.ContainsFunc(g.report.Faults(), func(f review.Fault) bool {
		return f.Line == line && f.Column == column && strings.Contains(f.Reason.EN, reason)
	})
}

func sjis(t testing.TB, s string) []byte {
	t.Helper()
	b, err := japanese.ShiftJIS.NewEncoder().Bytes([]byte(s))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// What looks like a duplicate or a trap in CP932 is read and written back as it was, and what Windows writes for a character comes out.
func TestCP932(t *testing.T) {
	for text, windows := range map[string]string{
		"①": "\x87\x40", "㈱": "\x87\x8a", "髙": "\xfb\xfc", "﨑": "\xfa\xb1", "～": "\x81\x60", "－": "\x81\x7c", "∥": "\x81\x61", "―": "\x81\x5c",
		"￠": "\x81\x91", "￢": "\x81\xca", "≒": "\x81\xe0", "∵": "\x81\xe6", "ⅰ": "\xfa\x40", "ⅹ": "\xfa\x49", "Ⅰ": "\x87\x54", "￤": "\xfa\x55",
		"＇": "\xfa\x56", "＂": "\xfa\x57", "纊": "\xfa\x5c", "黑": "\xfc\x4b", "ｻﾄｳ": "\xbb\xc4\xb3", "ソ表": "\x83\x5c\x95\x5c", "\\~": "\\~",
	} {
		b, c, ok := encodeCP932(nil, text)
		if !ok || string(b) != windows {
			t.Errorf("%s: %x, lacks %q", text, b, c)
		}
		in := append(sjis(t, "漢字,name\r\n"), append([]byte("1,"), b...)...)
		if g := readAll(t, in, Options{}, fileLimits); len(g.rows) != 1 || g.rows[0][1] != text {
			t.Errorf("%s: %s", text, g)
		}
	}
	// Each character that is in CP932 twice is one character, and all of them survive.
	twice := 0
	for a := 0x81; a <= 0xfc; a++ {
		for b := 0x40; b <= 0xfc; b++ {
			pair := []byte{byte(a), byte(b)}
			text, err := io.ReadAll(&decoder{r: bytes.NewReader(pair)})
			if c := []rune(string(text))[0]; err != nil || len([]rune(string(text))) != 1 || c >= gaijiFirst && c <= gaijiLast || c >= lostBase {
				continue
			}
			back, _, ok := encodeCP932(nil, string(text))
			again, err := io.ReadAll(&decoder{r: bytes.NewReader(back)})
			if !ok || err != nil || string(again) != string(text) {
				t.Errorf("%x: %s, %x, %s", pair, text, back, again)
			}
			if !bytes.Equal(back, pair) {
				twice++
			}
		}
	}
	if twice != 398 {
		t.Errorf("%d duplicates, Microsoft's table has 398", twice)
	}
	for _, c := range "〜−‖—¢£¬¥吉𠮷葛\U000e0100" {
		if _, lacks, ok := encodeCP932(nil, string(c)); ok != (c == '吉' || c == '葛') || !ok && lacks != c {
			t.Errorf("%c: %v", c, ok)
		}
	}
}

func TestBadCP932(t *testing.T) {
	head := sjis(t, "氏名,部署\r\n")
	for name, c := range map[string]struct {
		row    string
		column string
		reason string
		value  string
	}{
		"gaiji":                  {"\xf0\x40\x8a\xcf,x", "氏名", "U+E000", "\ue000観"},
		"the last gaiji":         {"x,\xf9\xfc", "部署", "U+E757", "\ue757"},
		"no character":           {"\x8a\xcf,\x85\x40", "部署", "the byte 0x85, which is not Shift_JIS (CP932) (byte 15 of the file)", "\ufffd@"},
		"a lead without a trail": {"\x8a,x", "氏名", "0x8A, which is not Shift_JIS (CP932) (byte 12 of the file)", "\ufffd"},
		"bytes beyond":           {"a\xfd\xff,x", "氏名", "0xFD, which is not Shift_JIS (CP932) (byte 13 of the file)", "a\ufffd\ufffd"},
	} {
		t.Run(name, func(t *testing.T) {
			in := slices.Concat(head, []byte(c.row), []byte("\r\n"), sjis(t, "佐藤,税務課\r\n"))
			g := readAll(t, in, Options{}, fileLimits)
			if !g.has(2, c.column, c.reason) || g.report.Refused() != 1 || len(g.rows) != 1 || g.lines[0] != 3 || g.report.Faults()[0].Value != c.value {
				t.Error(g)
			}
		})
	}
	// The place of a bad byte is right after rows that the parser refuses, quotes, blank lines and a buffer's end.
	in := slices.Concat(head, []byte("\x80\"x,\n\n"), bytes.Repeat([]byte("\x8a\xcf,\"\x8a\xcf\"\"\"\n"), 5000), []byte("\"\x80\",x\n"))
	g := readAll(t, in, Options{Encoding: CP932}, fileLimits)
	if at := bytes.LastIndexByte(in, 0x80) + 1; !g.has(5004, "氏名", fmt.Sprintf("(byte %d of the file)", at)) || len(g.rows) != 5000 {
		t.Error(at, g.report.Faults())
	}
}

func TestDetect(t *testing.T) {
	utf16 := []byte("\xff\xfea\x00")
	euc, err := japanese.EUCJP.NewEncoder().Bytes([]byte("氏名\n佐藤花子\n"))
	if err != nil {
		t.Fatal(err)
	}
	jis, err := japanese.ISO2022JP.NewEncoder().Bytes([]byte("氏名\n佐藤花子\n"))
	if err != nil {
		t.Fatal(err)
	}
	late := append(bytes.Repeat([]byte("name\n"), 100_000), sjis(t, "観光課\n佐藤\n")...)
	for name, c := range map[string]struct {
		in    []byte
		opt   Options
		first string
		fault string
	}{
		"utf-8":                       {in: []byte("氏名\n葛\U000e0100﨑\n"), first: "葛\U000e0100﨑"},
		"utf-8 with a mark":           {in: []byte("\ufeff氏名\n佐\n"), first: "佐"},
		"cp932":                       {in: sjis(t, "氏名\n佐藤\n"), first: "佐藤"},
		"cp932 far down":              {in: late, first: "name"},
		"half-width kana":             {in: sjis(t, "氏名\nｻﾄｳ\n"), first: "ｻﾄｳ"},
		"half-width kana in UTF-8":    {in: []byte("氏名\nｻﾄｳ ﾊﾅｺ\n"), first: "ｻﾄｳ ﾊﾅｺ"},
		"half-width kana by order":    {in: []byte("a\n\xbb\xc4\xb3\n"), opt: Options{Encoding: CP932}, first: "ｻﾄｳ"},
		"half-width kana alone":       {in: []byte("a\n\xbb\xc4\xb3\xb1\n"), fault: "EUC-JP"},
		"euc-jp":                      {in: euc, fault: "EUC-JP"},
		"iso-2022-jp":                 {in: jis, fault: "ISO-2022-JP"},
		"utf-16":                      {in: utf16, fault: "UTF-16"},
		"utf-16 by order as cp932":    {in: utf16, opt: Options{Encoding: CP932}, fault: "UTF-16"},
		"empty":                       {in: nil, fault: "empty"},
		"a mark alone":                {in: []byte("\ufeff"), fault: "empty"},
		"gzip":                        {in: []byte("\x1f\x8b\x08"), fault: "gzip"},
		"old Excel":                   {in: []byte("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"), fault: "XLS"},
		"a ZIP that ends at once":     {in: []byte("PK\x03\x04"), fault: "damaged"},
		"utf-8 with one damaged cell": {in: []byte("氏名\n佐藤\n\xff\n"), first: "佐藤"},
	} {
		t.Run(name, func(t *testing.T) {
			g := readAll(t, c.in, c.opt, fileLimits)
			switch {
			case c.fault != "":
				if len(g.rows) != 0 || len(g.report.Faults()) != 1 || !strings.Contains(g.report.Faults()[0].Reason.EN, c.fault) {
					t.Error(g)
				}
			case len(g.rows) == 0 || g.rows[0][0] != c.first || !g.report.OK():
				t.Error(g)
			}
		})
	}
}

func TestParseEncoding(t *testing.T) {
	for in, want := range map[string]Encoding{"UTF-8": UTF8, "cp932": CP932, "Shift_JIS": CP932, "latin1": "", "": ""} {
		if e, err := ParseEncoding(in); e != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", in, e, err)
		}
	}
}

// repeated is a file of a size that says the same over and over, and counts what was read of it.
type repeated struct {
	head, body string
	given      int64
}

func (r *repeated) ReadAt(p []byte, at int64) (int, error) {
	n := 0
	for n < len(p) {
		from := at + int64(n)
		if from < int64(len(r.head)) {
			n += copy(p[n:], r.head[from:])
			continue
		}
		n += copy(p[n:], r.body[(from-int64(len(r.head)))%int64(len(r.body)):])
	}
	r.given += int64(n)
	return n, nil
}

// Every reading ends, whatever comes, and says why; what it keeps and reads is bounded.
func TestLimits(t *testing.T) {
	small := fileLimits
	small.file, small.row, small.endless, small.rows, small.columns = 4<<20, 4<<10, 256<<10, 1000, 20
	const size = 2 << 20
	for name, c := range map[string]struct {
		head, body string
		size       int64
		reason     string
	}{
		"a header without end":        {"org", ",org", size, "longer than 4 KiB"},
		"a wide header":               {"org" + strings.Repeat(",org", 20) + "\n", "1\n", size, "more than 20 columns"},
		"a row without end":           {"org\n", "a", size, "longer than 4 KiB"},
		"a quoted value without end":  {"org\n\"", "a\n", size, "longer than 4 KiB"},
		"rows without end":            {"org\n", "1\n", size, "more than 1000 rows"},
		"bad rows without end":        {"org\n", "1,2\n", size, "more than 1000 rows"},
		"huge rows":                   {"org\n", strings.Repeat("a", 5<<10) + "\n", size, "longer than 4 KiB"},
		"a file that is too large":    {"org\n", "1\n", 5 << 20, "larger than 4 MiB"},
		"a row of lost bytes":         {"org\n", "\x80", size, "longer than 4 KiB"},
		"rows of lost bytes in quote": {"org\n\"", "\x80\n", size, "longer than 4 KiB"},
	} {
		for _, encoding := range []Encoding{UTF8, CP932} {
			t.Run(name+" "+string(encoding), func(t *testing.T) {
				in, report, rows := &repeated{head: c.head, body: c.body}, review.New("p.csv"), 0
				err := read(t.Context(), in, c.size, Options{Encoding: encoding}, small, report, func([]string) *review.Finding { return nil }, func(int, []string) { rows++ })
				if err != nil || rows > small.rows || in.given > size+256<<10 || !slices.ContainsFunc(report.Faults(), func(f review.Fault) bool { return strings.Contains(f.Reason.EN, c.reason) }) {
					t.Errorf("%d rows, %d bytes read, %.300s, %v", rows, in.given, fmt.Sprint(report.Faults()), err)
				}
			})
		}
	}
}

// A cell of 10 MB costs its row alone.
func TestHugeCell(t *testing.T) {
	in := []byte("a,b\n1," + strings.Repeat("x", 10<<20) + "\n2,y\n")
	if g := readAll(t, in, Options{}, fileLimits); !g.has(2, "", "longer than 64 KiB") || len(g.rows) != 1 || g.lines[0] != 3 {
		t.Errorf("%.500s", g.String())
	}
}

func TestContextEndsReading(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	report, rows := review.New("f"), 0
	err := Read(ctx, &repeated{head: "a\n", body: "1\n"}, 1<<20, Options{}, report, func([]string) *review.Finding { return nil },
		func(int, []string) {
			if rows++; rows == 10 {
				cancel()
			}
		})
	if !errors.Is(err, context.Canceled) || rows > 100_000 || !report.OK() {
		t.Error(err, rows, report.Faults())
	}
}

type failing struct{}

func (failing) ReadAt([]byte, int64) (int, error) { return 0, errors.New("input/output error") }
func (failing) Read([]byte) (int, error)          { return 0, errors.New("input/output error") }

func TestUnreadable(t *testing.T) {
	report := review.New("f")
	if err := Read(t.Context(), failing{}, 100, Options{}, report, nil, nil); err != nil || len(report.Faults()) != 1 || !strings.Contains(report.Faults()[0].Reason.EN, "input/output error") {
		t.Error(report.Faults(), err)
	}
}

func TestSource(t *testing.T) {
	path := t.TempDir() + "/f"
	if err := os.WriteFile(path, []byte("skipped,rest"), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.Seek(8, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]io.Reader{"file": file, "bytes": bytes.NewReader([]byte("rest")), "pipe": io.MultiReader(strings.NewReader("re"), strings.NewReader("st"))} {
		at, size, err := Source(r)
		b := make([]byte, 4)
		if err != nil || size != 4 {
			t.Fatal(name, size, err)
		}
		if _, err := at.ReadAt(b, 0); err != nil || string(b) != "rest" {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}
	if _, _, err := Source(failing{}); err == nil {
		t.Error("a broken pipe has a source")
	}
	if _, _, err := Source(io.LimitReader(zeros{}, MaxPiped+2)); err == nil || !strings.Contains(err.Error(), "64 MiB") {
		t.Error(err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// alphabet draws characters that the readers let through and the encoding has; spaces only inside.
func alphabet(encoding Encoding) *rapid.Generator[string] {
	pool := []rune("'=+-@,\"; aZ0佐髙﨑①㈱ｻﾄｳ～－∥ソ表ー\\~|")
	if encoding != CP932 {
		pool = append(pool, []rune("〜𠮷\U000e0100\ufa19é\ue000")...)
	}
	return rapid.Custom(func(t *rapid.T) string {
		s := string(rapid.SliceOfN(rapid.SampledFrom(pool), 0, 12).Draw(t, "runes"))
		return strings.Trim(s, " \u3000")
	})
}

// What is written is what is read, in both encodings, guarded or not, and read again and written again.
func TestWriteReadIsIdentity(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		opt := WriterOptions{Encoding: rapid.SampledFrom([]Encoding{UTF8, CP932, ""}).Draw(t, "encoding"), Unguarded: rapid.Bool().Draw(t, "unguarded")}
		cell := alphabet(opt.Encoding)
		width := rapid.IntRange(1, 5).Draw(t, "width")
		row := rapid.SliceOfN(cell, width, width)
		header := make([]string, width)
		for i := range header {
			header[i] = fmt.Sprintf("列%d", i)
		}
		rows := rapid.SliceOfN(row.Filter(func(r []string) bool { return !blank(r) }), 0, 20).Draw(t, "rows")
		first := write(t, opt, header, rows)
		g := readRapid(t, first, Options{Encoding: opt.Encoding})
		if !slices.Equal(g.header, header) || !slices.EqualFunc(g.rows, rows, slices.Equal) || !g.report.OK() {
			t.Fatalf("wrote %q\n%q\nread %s", rows, first, g)
		}
		if again := write(t, opt, g.header, g.rows); !bytes.Equal(again, first) {
			t.Fatalf("%q, then %q", first, again)
		}
	})
}

func write(t *rapid.T, opt WriterOptions, header []string, rows [][]string) []byte {
	var b bytes.Buffer
	report := review.New("out.csv")
	w := NewWriter(&b, opt, report)
	for _, row := range append([][]string{header}, rows...) {
		if err := w.Row(row); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil || !report.OK() {
		t.Fatal(err, report.Faults())
	}
	return b.Bytes()
}

func readRapid(t *rapid.T, in []byte, opt Options) got {
	g := got{report: review.New("f")}
	err := Read(context.Background(), bytes.NewReader(in), int64(len(in)), opt, g.report,
		func(cells []string) *review.Finding { g.header = cells; return nil },
		func(line int, cells []string) { g.lines, g.rows = append(g.lines, line), append(g.rows, cells) })
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestWriter(t *testing.T) {
	for name, c := range map[string]struct {
		opt  WriterOptions
		want string
	}{
		"guarded":   {WriterOptions{}, "\ufeffa,b\r\n'=1+1,'+81\r\n''=x,'x\r\n\"q\"\"\",\"x,y\"\r\n"},
		"unguarded": {WriterOptions{Unguarded: true}, "\ufeffa,b\r\n=1+1,+81\r\n''=x,'x\r\n\"q\"\"\",\"x,y\"\r\n"},
		"cp932":     {WriterOptions{Encoding: CP932}, "a,b\r\n'=1+1,'+81\r\n''=x,'x\r\n\"q\"\"\",\"x,y\"\r\n"},
	} {
		var b bytes.Buffer
		w := NewWriter(&b, c.opt, review.New("out"))
		for _, row := range [][]string{{"a", "b"}, {"=1+1", "+81"}, {"'=x", "'x"}, {`q"`, "x,y"}} {
			if err := w.Row(row); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Flush(); err != nil || b.String() != c.want {
			t.Errorf("%s: %q, %v", name, b.String(), err)
		}
	}
}

// A character that CP932 lacks is reported with its place, and its row isn't written.
func TestWriterReports(t *testing.T) {
	var b bytes.Buffer
	report := review.New("out.csv")
	w := NewWriter(&b, WriterOptions{Encoding: CP932}, report)
	for _, row := range [][]string{{"id", "name"}, {"1", "髙橋"}, {"2", "𠮷田"}, {"3", "葛\U000e0100城"}, {"4", "佐藤"}} {
		if err := w.Row(row); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	g := got{report: report}
	if !g.has(3, "name", "U+20BB7") || !g.has(4, "name", "U+E0100") || report.Refused() != 2 || b.String() != "id,name\r\n1,\xfb\xfc\x8b\xb4\r\n4,\x8d\xb2\x93\xa1\r\n" {
		t.Errorf("%q, %v", b.String(), report.Faults())
	}
}

func FuzzCSV(f *testing.F) {
	for _, seed := range []string{"", "a,b\n1,2\n", "\ufeff氏名\r\n\"a\n\"\"b\"\r\n", "a\n'=1\n", "\x8e\x81\x96\xbc\r\n\xfb\xfc\xf0\x40\x80\r\n", "a\n\"", "a,,\n,,\n1\n"} {
		f.Add([]byte(seed), uint8(0))
		f.Add([]byte(seed), uint8(1))
	}
	f.Fuzz(func(t *testing.T, in []byte, encoding uint8) {
		if len(in) > 1<<16 {
			return
		}
		opt := Options{Encoding: []Encoding{"", CP932, UTF8}[encoding%3]}
		checkReading(t, in, opt)
	})
}

// checkReading holds what must be true of any input.
func checkReading(t *testing.T, in []byte, opt Options) got {
	g, again := readAll(t, in, opt, fileLimits), readAll(t, in, opt, fileLimits)
	if g.String() != again.String() {
		t.Fatalf("reading twice gives two answers:\n%s\n%s", g, again)
	}
	last := 0
	for i, row := range g.rows {
		if len(row) != len(g.header) || g.lines[i] <= last || blank(row) {
			t.Fatalf("line %d after %d: %q under %q", g.lines[i], last, row, g.header)
		}
		last = g.lines[i]
	}
	for _, f := range g.report.Faults() {
		if f.Reason.JA == "" || f.Reason.EN == "" || f.Remedy.JA == "" || f.Remedy.EN == "" || strings.ContainsAny(f.Value+f.Column, "\x00\n\r\x1b") {
			t.Fatalf("%+v", f)
		}
	}
	if g.header == nil && g.report.OK() {
		t.Fatal("nothing was read and nothing said")
	}
	return g
}
