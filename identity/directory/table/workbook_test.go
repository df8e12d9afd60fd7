package table

import (
	"archive/zip"
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/xuri/excelize/v2"
	"pgregory.net/rapid"

	"github.com/musubi-hub/musubi/identity/directory/review"
)

// made is a workbook that another program's writer makes.
func made(t testing.TB, opt excelize.Options, fill func(f *excelize.File) error) []byte {
	t.Helper()
	f := excelize.NewFile()
	if err := fill(f); err != nil {
		t.Fatal(err)
	}
	b, err := f.WriteToBuffer()
	if opt.Password != "" {
		b = &bytes.Buffer{}
		err = f.Write(b, opt)
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func set(f *excelize.File, cells map[string]any) error {
	var all error
	for place, v := range cells {
		all = errors.Join(all, f.SetCellValue("Sheet1", place, v))
	}
	return all
}

// parts are the smallest workbook, made by hand; a test changes what it is about.
func parts(sheet string) map[string]string {
	return map[string]string{
		"[Content_Types].xml":        `<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>`,
		"_rels/.rels":                `<Relationships><Relationship Id="r" Type="http://x/relationships/officeDocument" Target="xl/workbook.xml"/></Relationships>`,
		"xl/workbook.xml":            `<?xml version="1.0" encoding="UTF-8" standalone="yes"?><w:workbook xmlns:w="w" xmlns:r="r"><w:sheets><w:sheet name="職員" sheetId="1" r:id="s1"/></w:sheets></w:workbook>`,
		"xl/_rels/workbook.xml.rels": `<Relationships><Relationship Id="s1" Type="http://x/relationships/worksheet" Target="/xl/s.xml"/><Relationship Id="t" Type="http://x/relationships/sharedStrings" Target="t.xml"/><Relationship Id="y" Type="http://x/relationships/styles" Target="y.xml"/></Relationships>`,
		"xl/t.xml":                   `<sst><si><t>氏名</t></si><si><r><t>斎</t></r><r><rPr><b/></rPr><t xml:space="preserve"> 藤</t></r><rPh sb="0" eb="1"><t>サイトウ</t></rPh><phoneticPr fontId="1"/></si><si><t>a_x000D_b_x005F_x0041_</t></si><si/></sst>`,
		"xl/y.xml":                   `<styleSheet><numFmts><numFmt numFmtId="176" formatCode="[$-411]ggge&quot;年&quot;m&quot;月&quot;d&quot;日&quot;;@"/><numFmt numFmtId="177" formatCode="000000"/></numFmts><cellStyleXfs><xf numFmtId="14"/></cellStyleXfs><cellXfs><xf numFmtId="0"/><xf numFmtId="14"/><xf numFmtId="22"/><xf numFmtId="20"/><xf numFmtId="176"/><xf numFmtId="177"/></cellXfs></styleSheet>`,
		"xl/s.xml":                   `<worksheet>` + sheet + `</worksheet>`,
	}
}

func zipped(t testing.TB, files map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		w, err := z.Create(name)
		if err == nil {
			_, err = io.WriteString(w, files[name])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// data is a sheet with a header and one row.
func data(row string) string {
	return `<sheetData><row r="1"><c r="A1" t="inlineStr"><is><t>a</t></is></c><c r="B1" t="inlineStr"><is><t>b</t></is></c></row>` + row + `</sheetData>`
}

func TestWorkbookOfAnotherWriter(t *testing.T) {
	in := made(t, excelize.Options{}, func(f *excelize.File) error {
		date, err := f.NewStyle(&excelize.Style{NumFmt: 14})
		if err != nil {
			return err
		}
		return errors.Join(
			set(f, map[string]any{
				"B2": "コード", "C2": "氏名", "D2": "日付",
				"B3": "011002", "C3": "葛\U000e0100城 﨑", "D3": 46478,
				"B4": 11002, "C4": "=1+1", "D4": "",
				"B6": 0.30000000000000004, "C6": " 　ｻﾄｳ　", "D6": time.Date(2027, 4, 1, 8, 30, 0, 0, time.UTC),
			}),
			f.SetCellStyle("Sheet1", "D3", "D3", date),
			f.SetCellRichText("Sheet1", "C7", []excelize.RichTextRun{{Text: "佐"}, {Text: "藤", Font: &excelize.Font{Bold: true}}}),
			f.SetRowVisible("Sheet1", 7, false), f.SetColVisible("Sheet1", "D", false),
			f.SetRowHeight("Sheet1", 9, 40),
		)
	})
	g := readAll(t, in, Options{}, fileLimits)
	want := [][]string{
		{"", "011002", "葛\U000e0100城 﨑", "2027-04-01"}, {"", "11002", "=1+1", ""}, {"", "0.30000000000000004", "ｻﾄｳ", "2027-04-01T08:30:00"}, {"", "", "佐藤", ""},
	}
	if !slices.Equal(g.header, []string{"", "コード", "氏名", "日付"}) || !slices.EqualFunc(g.rows, want, slices.Equal) || !slices.Equal(g.lines, []int{3, 4, 6, 7}) || !g.report.OK() {
		t.Error(g)
	}
	if s := g.String(); !strings.Contains(s, "the sheet Sheet1 was read.") || !strings.Contains(s, "hidden rows (1) and columns were read too.") {
		t.Error(s)
	}
}

// Each kind of cell, by hand: its text, or the fault with its place.
func TestCells(t *testing.T) {
	for cell, want := range map[string]string{
		`<c t="s"><v>1</v></c>`: "斎 藤",
		`<c t="s"><v>2</v></c>`: "a\rb_x0041_",
		`<c t="s"><v>3</v></c>`: "",
		`<c t="inlineStr"><is><r><t>a&amp;</t></r><r><t><![CDATA[<b]]></t></r><rPh><t>no</t></rPh></is></c>`: "a&<b",
		`<c t="str"><v>text</v></c>`:                         "text",
		`<x:c xmlns:x="y" t="str"><x:v>prefixed</x:v></x:c>`: "prefixed",
		`<c><v>8000012010038</v></c>`:                        "8000012010038",
		`<c><v>1.1002E4</v></c>`:                             "11002",
		`<c><v>-0</v></c>`:                                   "0",
		`<c><v>007</v></c>`:                                  "7",
		`<c><v>1E-7</v></c>`:                                 "0.0000001",
		`<c s="5"><v>11002</v></c>`:                          "011002",
		`<c s="5"><v>1234567</v></c>`:                        "1234567",
		`<c s="1"><v>1</v></c>`:                              "1900-01-01",
		`<c s="1"><v>59</v></c>`:                             "1900-02-28",
		`<c s="1"><v>61</v></c>`:                             "1900-03-01",
		`<c s="1"><v>2958465</v></c>`:                        "9999-12-31",
		`<c s="2"><v>46478.5</v></c>`:                        "2027-04-01T12:00:00",
		`<c s="2"><v>46478</v></c>`:                          "2027-04-01",
		`<c s="3"><v>0.3541666666666667</v></c>`:             "08:30:00",
		`<c s="4"><v>46478</v></c>`:                          "2027-04-01",
		`<c t="d"><v>2027-04-01T00:00:00</v></c>`:            "2027-04-01",
		`<c/>`:       "",
		`<c s="1"/>`: "",
		`<c><v>1</v><extLst><ext><v>9</v></ext></extLst></c>`: "1",
		`<c t="s"><f/></c>`:                                         "!it is a formula (A2)",
		`<c><f>1+1</f><v>2</v></c>`:                                 "!it is a formula (A2)",
		`<c t="b"><v>1</v></c>`:                                     "!it is a logical value",
		`<c t="e"><v>#REF!</v></c>`:                                 "!it is an error value",
		`<c s="1"><v>60</v></c>`:                                    "!its number is no date",
		`<c s="1"><v>0</v></c>`:                                     "!its number is no date",
		`<c s="1"><v>-1</v></c>`:                                    "!its number is no date",
		`<c s="1"><v>2958466</v></c>`:                               "!its number is no date",
		`<c><v>1234567890123456</v></c>`:                            "!too many digits",
		`<c><v>1E+300</v></c>`:                                      "!too many digits",
		`<c t="str"><v>` + strings.Repeat("長", 30<<10) + `</v></c>`: "!longer than 64 KiB",
		`<c t="inlineStr"><is><t>` + strings.Repeat("x", 10<<20) + `</t></is></c>`: "!longer than 64 KiB",
	} {
		cells := data(`<row r="2">` + cell + `<c t="str"><v>x</v></c></row><row><c t="str"><v>next</v></c></row>`)
		g := readAll(t, zipped(t, parts(cells)), Options{}, fileLimits)
		name := cell[:min(len(cell), 60)]
		if len(g.rows) == 0 || g.rows[len(g.rows)-1][0] != "next" || g.lines[len(g.lines)-1] != 3 {
			t.Errorf("%s: %.600s", name, g)
			continue
		}
		if reason, bad := strings.CutPrefix(want, "!"); bad {
			faults := g.report.Faults()
			long := strings.Contains(reason, "KiB")
			if len(g.rows) != 1 || len(faults) != 1 || !strings.Contains(faults[0].Reason.EN, reason) || faults[0].Line != 2 || !long && (faults[0].Letter != "A" || faults[0].Column != "a") || faults[0].Sheet != "職員" {
				t.Errorf("%s: %.600s", name, g)
			}
		} else if len(g.rows) != 2 || g.rows[0][0] != want || g.rows[0][1] != "x" {
			t.Errorf("%s: %.600s", name, g)
		}
	}
}

func TestDatesOf1904(t *testing.T) {
	p := parts(data(`<row><c s="1"><v>45016</v></c></row><row><c s="1"><v>0</v></c></row>`))
	p["xl/workbook.xml"] = strings.Replace(p["xl/workbook.xml"], "<w:sheets>", `<w:workbookPr date1904="1"/><w:sheets>`, 1)
	g := readAll(t, zipped(t, p), Options{}, fileLimits)
	if len(g.rows) != 2 || g.rows[0][0] != "2027-04-01" || g.rows[1][0] != "1904-01-01" {
		t.Error(g)
	}
}

func TestParseFormat(t *testing.T) {
	day, clock, both := format{date: true, day: true}, format{date: true, clock: true}, format{date: true, clock: true, day: true}
	for code, want := range map[string]format{
		"General": {}, "0": {}, "0.00": {}, "#,##0;[Red]-#,##0": {}, "@": {}, `"令和"0"年度"`: {}, "0.00E+00": {}, "[$-411]General": {},
		`[$¥-411]#,##0`: {}, "000000": {zeros: 6}, "0000;;": {zeros: 4}, `0"d"`: {}, `\d0`: {}, "_d0": {}, "[Red]0": {}, "[Yellow]0": {},
		"yyyy/m/d": day, "yyyy-mm-dd;@": day, `[$-411]ggge"年"m"月"d"日"`: day, "aaa": day, "m/d": day, "mm": day, "e": day,
		"h:mm": clock, "[h]:mm:ss": clock, "[ss]": clock, "h:mm AM/PM": clock, "yyyy/m/d h:mm": both, `m/d/yy h:mm a/p`: both,
	} {
		if got := parseFormat(code); got != want {
			t.Errorf("%s: %+v", code, got)
		}
	}
}

// What spoils rows is found before they are handed on, though the file says it after them.
func TestMergedCells(t *testing.T) {
	row := func(n int) string { return fmt.Sprintf(`<row r="%d"><c r="A%d" t="str"><v>x</v></c></row>`, n, n) }
	rows := data(row(2) + row(3) + row(4) + row(5) + `<row r="6"><c r="A6" s="1"/></row>`)
	g := readAll(t, zipped(t, parts(rows+`<mergeCells count="3"><mergeCell ref="B4:B5"/><mergeCell ref="A2:B2"/><mergeCell ref="C3:D3"/><mergeCell ref="A6:B6"/></mergeCells>`)), Options{}, fileLimits)
	if !g.has(2, "a", "(A2:B2)") || !g.has(4, "b", "(B4:B5)") || !g.has(5, "b", "(B4:B5)") || g.report.Total() != 3 || !slices.Equal(g.lines, []int{3}) {
		t.Error(g)
	}
	if !strings.Contains(g.String(), "f:4 B列 b\n  結合されたセルがあります (B4:B5)。") {
		t.Error(g)
	}
	g = readAll(t, zipped(t, parts(rows+`<mergeCells><mergeCell ref="A1:B1"/></mergeCells>`)), Options{}, fileLimits)
	if len(g.rows) != 0 || !g.has(1, "", "(A1:B1)") {
		t.Error(g)
	}
	// A formula that fills other cells spoils their rows too.
	spill := data(`<row r="2"><c r="A2"><f t="array" ref="A2:A3">B2:B3</f><v>1</v></c></row>` + row(3) + row(4))
	if g := readAll(t, zipped(t, parts(spill)), Options{}, fileLimits); !g.has(2, "a", "(A2)") || !g.has(3, "a", "(A2:A3)") || !slices.Equal(g.lines, []int{4}) {
		t.Error(g)
	}
}

func TestChoiceOfSheet(t *testing.T) {
	in := made(t, excelize.Options{}, func(f *excelize.File) error {
		_, err1 := f.NewSheet("公開")
		_, err2 := f.NewSheet("秘密")
		return errors.Join(err1, err2, set(f, map[string]any{"A1": "hidden"}),
			f.SetCellValue("公開", "A1", "h"), f.SetCellValue("公開", "A2", "shown"), f.SetCellValue("秘密", "A1", "h"), f.SetCellValue("秘密", "A2", "asked for"),
			func() error { f.SetActiveSheet(1); return nil }(),
			f.SetSheetVisible("Sheet1", false), f.SetSheetVisible("秘密", false, true))
	})
	for sheet, want := range map[string]string{"": "shown", "公開": "shown", "秘密": "asked for"} {
		if g := readAll(t, in, Options{Sheet: sheet}, fileLimits); len(g.rows) != 1 || g.rows[0][0] != want || !strings.Contains(g.String(), "the other 2 were not") {
			t.Errorf("%s: %s", sheet, g)
		}
	}
	g := readAll(t, in, Options{Sheet: "ない"}, fileLimits)
	if f := g.report.Faults(); len(f) != 1 || !strings.Contains(f[0].Remedy.JA, "公開") || strings.Contains(f[0].Remedy.JA, "秘密") {
		t.Error(g)
	}
}

func TestLockedWorkbook(t *testing.T) {
	in := made(t, excelize.Options{Password: "himitsu"}, func(f *excelize.File) error { return set(f, map[string]any{"A1": "a"}) })
	if g := readAll(t, in, Options{}, fileLimits); len(g.report.Faults()) != 1 || !strings.Contains(g.report.Faults()[0].Reason.EN, "under a password") {
		t.Error(g)
	}
}

// What isn't a workbook, or one that nobody should unpack, is refused as a whole with a sentence.
func TestHostileWorkbooks(t *testing.T) {
	lim := fileLimits
	lim.entries, lim.strings, lim.items, lim.ranges = 100, 1<<20, 1000, 10
	good := parts(data(`<row><c><v>1</v></c></row>`))
	with := func(name, text string) map[string]string {
		p := parts("")
		for k, v := range good {
			p[k] = v
		}
		if p[name] = text; text == "" {
			delete(p, name)
		}
		return p
	}
	many := parts(data(""))
	for i := range 200 {
		many[fmt.Sprintf("x%d", i)] = ""
	}
	sheet := func(s string) []byte { return zipped(t, with("xl/s.xml", s)) }
	for name, c := range map[string]struct {
		in     []byte
		reason string
	}{
		"a blank bomb":             {sheet("<worksheet><sheetData>" + strings.Repeat(" ", 64<<20) + "</sheetData></worksheet>"), "too large when unpacked"},
		"a text bomb":              {zipped(t, with("xl/t.xml", "<sst><si><t>"+strings.Repeat("a", 64<<20)+"</t></si></sst>")), "too large when unpacked"},
		"many strings":             {zipped(t, with("xl/t.xml", "<sst>"+strings.Repeat("<si><t>a</t></si>", 2000)+"</sst>")), "too large when unpacked"},
		"large strings":            {zipped(t, with("xl/t.xml", "<sst>"+strings.Repeat("<si><t>"+strings.Repeat("a", 60<<10)+"</t></si>", 20)+"</sst>")), "too large when unpacked"},
		"many merged cells":        {sheet("<worksheet>" + data("") + "<mergeCells>" + strings.Repeat(`<mergeCell ref="A1"/>`, 11) + "</mergeCells></worksheet>"), "too large when unpacked"},
		"many files":               {zipped(t, many), "more than 100 files"},
		"a long list of files":     {append([]byte("PK\x03\x04"), append(make([]byte, 3<<20), "PK\x05\x06\x00\x00\x00\x00\x01\x00\x01\x00\x00\x00\x30\x00\x04\x00\x00\x00\x00\x00"...)...), "list of files in its ZIP is too large"},
		"no workbook":              {zipped(t, map[string]string{"a.txt": "x"}), "no Excel workbook"},
		"a document":               {zipped(t, map[string]string{"_rels/.rels": `<Relationships><Relationship Type="http://x/relationships/officeDocument" Target="word/document.xml"/></Relationships>`}), "no Excel workbook"},
		"a binary workbook":        {zipped(t, map[string]string{"_rels/.rels": `<Relationships><Relationship Type="http://x/relationships/officeDocument" Target="xl/workbook.bin"/></Relationships>`}), "XLSB"},
		"no sheet":                 {zipped(t, with("xl/s.xml", "")), "no part xl/s.xml"},
		"an empty sheet":           {sheet("<worksheet><sheetData/></worksheet>"), "sheet is empty"},
		"half a sheet":             {sheet("<worksheet>" + strings.TrimSuffix(data(""), "</sheetData>")), "ends in the middle"},
		"a document type":          {sheet(`<!DOCTYPE x [<!ENTITY a "b">]><worksheet>` + data("") + `</worksheet>`), "document type"},
		"an entity":                {sheet(`<worksheet>` + data(`<row><c t="str"><v>&a;</v></c></row>`) + `</worksheet>`), "unknown reference"},
		"another encoding":         {sheet(`<?xml version="1.0" encoding="Shift_JIS"?><worksheet>` + data("") + `</worksheet>`), "not UTF-8"},
		"deep nesting":             {sheet("<worksheet>" + strings.Repeat("<a>", 100)), "nested deeper than"},
		"a long tag":               {sheet("<worksheet><a b='" + strings.Repeat("x", 200<<10) + "'/></worksheet>"), "a tag is longer than"},
		"rows out of order":        {sheet("<worksheet>" + data(`<row r="5"/><row r="4"/>`) + "</worksheet>"), "rows out of order"},
		"a row twice":              {sheet("<worksheet>" + data(`<row r="5"/><row r="5"/>`) + "</worksheet>"), "rows out of order"},
		"a row beyond":             {sheet("<worksheet>" + data(`<row r="1048577"/>`) + "</worksheet>"), "rows out of order"},
		"cells out of order":       {sheet("<worksheet>" + data(`<row r="2"><c r="B2"/><c r="A2"/></row>`) + "</worksheet>"), "cells out of order"},
		"a cell of another row":    {sheet("<worksheet>" + data(`<row r="2"><c r="A3"/></row>`) + "</worksheet>"), "cells out of order"},
		"a cell beyond":            {sheet("<worksheet>" + data(`<row r="2"><c r="XFE2"/></row>`) + "</worksheet>"), "cells out of order"},
		"no such text":             {sheet("<worksheet>" + data(`<row><c t="s"><v>99</v></c></row>`) + "</worksheet>"), "a cell's text is missing"},
		"no number":                {sheet("<worksheet>" + data(`<row><c><v>x</v></c></row>`) + "</worksheet>"), "a number that is none"},
		"an infinite number":       {sheet("<worksheet>" + data(`<row><c><v>inf</v></c></row>`) + "</worksheet>"), "a number that is none"},
		"an unknown kind of cell":  {sheet("<worksheet>" + data(`<row><c t="x"><v>x</v></c></row>`) + "</worksheet>"), "an unknown type"},
		"two tables":               {sheet("<worksheet>" + data("") + "<sheetData><row/></sheetData></worksheet>"), "two tables of rows"},
		"merged cells by surprise": {sheet(`<worksheet><!-- <sheetData></sheetData> -->` + `<sheetData><!--</sheetData>-->` + strings.TrimPrefix(data(""), "<sheetData>") + `<mergeCells><mergeCell ref="A1:A2"/></mergeCells></worksheet>`), "XML"},
		"a wide header":            {sheet(`<worksheet><sheetData><row r="1"><c r="IX1" t="str"><v>x</v></c></row></sheetData></worksheet>`), "more than 256 columns"},
	} {
		t.Run(name, func(t *testing.T) {
			g := readAll(t, c.in, Options{}, lim)
			faults := g.report.Faults()
			if len(g.rows) > 1 || len(faults) != 1 || !strings.Contains(faults[0].Reason.EN, c.reason) || faults[0].Line > 1 {
				t.Errorf("%.600s", g.String())
			}
		})
	}
	secret := zipped(t, good)
	for at := 0; ; at += 4 { // the flag "encrypted" of every file
		next := bytes.Index(secret[at:], []byte("PK\x01\x02"))
		if next < 0 {
			break
		}
		at += next
		secret[at+8] |= 1
	}
	if g := readAll(t, secret, Options{}, lim); len(g.rows) != 0 || !g.has(0, "", "under a password") {
		t.Error(g)
	}
	g := readAll(t, zipped(t, with("xl/s.xml", "<worksheet>"+data(`<row><c r="IX2" t="str"><v>x</v></c></row><row><c r="C3" t="str"><v>x</v></c></row>`)+"</worksheet>")), Options{}, lim)
	if !g.has(2, "", "the header has 2") || !g.has(3, "", "the row has 3 cells, the header has 2") || len(g.rows) != 0 {
		t.Error(g)
	}
}

// A damaged byte anywhere in a stored part is found by the ZIP's checksum or told as damage, never read as data.
func TestDamageIsFound(t *testing.T) {
	in := zipped(t, parts(data(`<row><c t="inlineStr"><is><t>value</t></is></c></row>`)))
	want := readAll(t, in, Options{}, fileLimits).String()
	rapid.Check(t, func(t *rapid.T) {
		at, flip := rapid.IntRange(4, len(in)-1).Draw(t, "at"), byte(rapid.IntRange(1, 255).Draw(t, "flip"))
		broken := bytes.Clone(in)
		broken[at] ^= flip
		g := readRapid(t, broken, Options{})
		if g.report.OK() && len(g.rows) > 0 && g.String() != want {
			t.Fatalf("byte %d, %x: %s", at, flip, g)
		}
	})
}

// An overlong part whose header lies about its size is cut off by what is really unpacked.
func TestLyingSize(t *testing.T) {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, text := range parts("") {
		if name == "xl/s.xml" {
			text = "<worksheet><sheetData>" + strings.Repeat(" ", 40<<20) + "</sheetData></worksheet>"
			var packed bytes.Buffer
			inner := zip.NewWriter(&packed)
			w, err := inner.Create("x")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(w, text); err != nil {
				t.Fatal(err)
			}
			if err := inner.Close(); err != nil {
				t.Fatal(err)
			}
			r, err := zip.NewReader(bytes.NewReader(packed.Bytes()), int64(packed.Len()))
			if err != nil {
				t.Fatal(err)
			}
			h := r.File[0].FileHeader
			h.Name, h.UncompressedSize64, h.CRC32, h.Flags = name, 100, crc32.ChecksumIEEE([]byte(text)), 0
			raw, err := r.File[0].OpenRaw()
			if err != nil {
				t.Fatal(err)
			}
			out, err := z.CreateRaw(&h)
			if err == nil {
				_, err = io.Copy(out, raw)
			}
			if err != nil {
				t.Fatal(err)
			}
			continue
		}
		w, err := z.Create(name)
		if err == nil {
			_, err = io.WriteString(w, text)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if g := readAll(t, b.Bytes(), Options{}, fileLimits); len(g.report.Faults()) != 1 || !strings.Contains(g.report.Faults()[0].Reason.EN, "Excel workbook") {
		t.Error(g)
	}
}

// The scanner says of a document what encoding/xml says of it, and accepts no document that it refuses; the few that encoding/xml alone
// accepts (document types, other depths) are listed.
func FuzzScan(f *testing.F) {
	p := parts(data(`<row><c t="s"><f/><v>1</v></c></row>`))
	for _, text := range p {
		f.Add([]byte(text))
	}
	for _, seed := range []string{"<a b='1' c=\"&lt;\">x&#x41;<!-- c --><![CDATA[<]]]></a>", "<a><b/>\r\n</a>", "<?xml version='1.0'?><a/>", "<a:b xmlns:a='c' a:d='e'/>", "<a", "<a></b>", "<a>\x00</a>"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) > 1<<15 {
			return
		}
		mine, err := scanAll(newScanner(iotest{bytes.NewReader(in)}))
		theirs, theirErr := decodeAll(in)
		switch {
		case err == nil && theirErr == nil && mine != theirs:
			t.Fatalf("%q\nscanner      %s\nencoding/xml %s", in, mine, theirs)
		case err != nil && !errors.Is(err, errXML) && !errors.Is(err, io.ErrUnexpectedEOF):
			t.Fatalf("%q: %v", in, err)
		}
	})
}

// iotest gives a few bytes at a time.
type iotest struct{ r io.Reader }

func (r iotest) Read(p []byte) (int, error) { return r.r.Read(p[:min(len(p), 7)]) }

func scanAll(s *scanner) (string, error) {
	var b tokens
	for {
		kind, err := s.next()
		if errors.Is(err, io.EOF) {
			return b.String(), nil
		}
		if err != nil {
			return "", err
		}
		switch kind {
		case tokenStart:
			b.add("<%s", s.name)
			for _, a := range s.attributes {
				b.add(" %s=%q", a.name, a.value)
			}
		case tokenEnd:
			b.add(">%s", s.name)
		case tokenText:
			b.text.Write(s.text)
		}
	}
}

// tokens joins texts that follow each other.
type tokens struct {
	out  strings.Builder
	text bytes.Buffer
}

func (b *tokens) add(format string, args ...any) {
	if b.text.Len() > 0 {
		fmt.Fprintf(&b.out, "%q", b.text.String())
		b.text.Reset()
	}
	fmt.Fprintf(&b.out, format, args...)
}

func (b *tokens) String() string { b.add(""); return b.out.String() }

func decodeAll(in []byte) (string, error) {
	var b tokens
	d := xml.NewDecoder(bytes.NewReader(in))
	depth := 0
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return b.String(), nil
		}
		if err != nil {
			return "", err
		}
		switch v := token.(type) {
		case xml.StartElement:
			depth++
			b.add("<%s", v.Name.Local)
			for _, a := range v.Attr {
				if a.Name.Space != "xmlns" && (a.Name.Space != "" || a.Name.Local != "xmlns") {
					b.add(" %s=%q", a.Name.Local, a.Value)
				}
			}
		case xml.EndElement:
			depth--
			b.add(">%s", v.Name.Local)
		case xml.CharData:
			if depth > 0 {
				b.text.Write(v)
			}
		}
	}
}

// FuzzXLSX changes the parts of a small workbook, or the bytes of the whole file.
func FuzzXLSX(f *testing.F) {
	small := parts(data(`<row hidden="1"><c t="s"><v>1</v></c><c s="4"><v>46478</v></c></row><row><c><f t="array" ref="A3:A4">1</f></c></row>`) + `<mergeCells><mergeCell ref="A4:B5"/></mergeCells>`)
	names := []string{"_rels/.rels", "xl/workbook.xml", "xl/_rels/workbook.xml.rels", "xl/t.xml", "xl/y.xml", "xl/s.xml"}
	whole := zipped(f, small)
	f.Add(uint8(len(names)), whole)
	for i, name := range names {
		f.Add(uint8(i), []byte(small[name]))
	}
	f.Fuzz(func(t *testing.T, which uint8, in []byte) {
		if len(in) > 1<<15 {
			return
		}
		i := int(which) % (len(names) + 1)
		if i < len(names) {
			p := parts("")
			for k, v := range small {
				p[k] = v
			}
			p[names[i]] = string(in)
			in = zipped(t, p)
		}
		checkReading(t, in, Options{})
	})
}

// large is a workbook of many rows as spreadsheets write it: shared strings, numbers, dates, styles.
func large(t testing.TB, rows, columns int) []byte {
	t.Helper()
	var shared, sheet strings.Builder
	shared.WriteString("<sst>")
	sheet.WriteString("<worksheet><sheetData>")
	n := 0
	text := func(s string) int {
		fmt.Fprintf(&shared, `<si><t>%s</t><phoneticPr fontId="1"/></si>`, s)
		n++
		return n - 1
	}
	for i := range 1000 {
		text(fmt.Sprintf("部署%d課", i))
	}
	for r := 1; r <= rows; r++ {
		fmt.Fprintf(&sheet, `<row r="%d" spans="1:%d" ht="18.75" customHeight="1">`, r, columns)
		for c := range columns {
			place := review.Letters(c)
			switch {
			case r == 1:
				fmt.Fprintf(&sheet, `<c r="%s%d" s="0" t="s"><v>%d</v></c>`, place, r, text(fmt.Sprintf("列%d", c)))
			case c%4 == 0:
				fmt.Fprintf(&sheet, `<c r="%s%d" s="0" t="s"><v>%d</v></c>`, place, r, text(fmt.Sprintf("user%d.%d@city.example.lg.jp", r, c)))
			case c%4 == 3:
				fmt.Fprintf(&sheet, `<c r="%s%d" s="1"><v>%d</v></c>`, place, r, 40000+r%5000)
			default:
				fmt.Fprintf(&sheet, `<c r="%s%d" s="0" t="s"><v>%d</v></c>`, place, r, (r*7+c*13)%1000)
			}
		}
		sheet.WriteString("</row>")
	}
	shared.WriteString("</sst>")
	sheet.WriteString("</sheetData></worksheet>")
	p := parts("")
	p["xl/t.xml"], p["xl/s.xml"] = shared.String(), sheet.String()
	return zipped(t, p)
}

// BenchmarkXLSX reads 250,000 rows of 20 columns and keeps none. The goals: 25 s and 150 MB.
func BenchmarkXLSX(b *testing.B) {
	const rows = 250_000
	in := large(b, rows, 20)
	runtime.GC()
	var before, peak runtime.MemStats
	runtime.ReadMemStats(&before)
	for b.Loop() {
		began, n := time.Now(), 0
		report := review.New("f")
		err := Read(b.Context(), bytes.NewReader(in), int64(len(in)), Options{}, report, func([]string) *review.Finding { return nil }, func(int, []string) {
			if n++; n%10_000 == 0 {
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				if m.HeapInuse > peak.HeapInuse {
					peak = m
				}
			}
		})
		if err != nil || n != rows-1 || !report.OK() {
			b.Fatal(n, err, report.Faults())
		}
		b.ReportMetric(time.Since(began).Seconds()/25, "of-25s")
		b.ReportMetric(float64(peak.HeapInuse-before.HeapInuse)/(150<<20), "of-150MB")
	}
	b.ReportMetric(float64(len(in))/(1<<20), "MB-file")
}

// BenchmarkOtherWriter reads a workbook of the same size that excelize wrote (inline strings), by our reader and by its streaming reader.
func BenchmarkOtherWriter(b *testing.B) {
	f := excelize.NewFile()
	w, err := f.NewStreamWriter("Sheet1")
	if err != nil {
		b.Fatal(err)
	}
	for r := 1; r <= 250_000; r++ {
		row := make([]any, 20)
		for c := range row {
			row[c] = fmt.Sprintf("値%d", r*c)
		}
		if err := w.SetRow(fmt.Sprintf("A%d", r), row); err != nil {
			b.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		b.Fatal(err)
	}
	buffer, err := f.WriteToBuffer()
	if err != nil {
		b.Fatal(err)
	}
	in := buffer.Bytes()
	b.Run("ours", func(b *testing.B) {
		for b.Loop() {
			began, n := time.Now(), 0
			err := Read(b.Context(), bytes.NewReader(in), int64(len(in)), Options{}, review.New("f"), func([]string) *review.Finding { return nil }, func(int, []string) { n++ })
			if err != nil || n != 249_999 {
				b.Fatal(n, err)
			}
			b.ReportMetric(time.Since(began).Seconds()/25, "of-25s")
		}
	})
	b.Run("excelize", func(b *testing.B) { benchmarkExcelize(b, in) })
}

func benchmarkExcelize(b *testing.B, in []byte) {
	runtime.GC()
	var before, peak runtime.MemStats
	runtime.ReadMemStats(&before)
	for b.Loop() {
		began := time.Now()
		f, err := excelize.OpenReader(bytes.NewReader(in), excelize.Options{RawCellValue: true, UnzipXMLSizeLimit: 1 << 20, UnzipSizeLimit: 2 << 30, TmpDir: b.TempDir()})
		if err != nil {
			b.Fatal(err)
		}
		rows, err := f.Rows("Sheet1")
		if err != nil {
			b.Fatal(err)
		}
		n := 0
		for rows.Next() {
			if _, err := rows.Columns(); err != nil {
				b.Fatal(err)
			}
			if n++; n%10_000 == 0 {
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				if m.HeapInuse > peak.HeapInuse {
					peak = m
				}
			}
		}
		b.ReportMetric(time.Since(began).Seconds()/25, "of-25s")
		b.ReportMetric(float64(peak.HeapInuse-before.HeapInuse)/(150<<20), "of-150MB")
		if err := errors.Join(rows.Close(), f.Close()); err != nil || n != 250_000 {
			b.Fatal(n, err)
		}
	}
}
