package directory

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/xuri/excelize/v2"

	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/directory/review"
	"github.com/musubi-hub/musubi/identity/directory/table"
	"github.com/musubi-hub/musubi/policies"
)

func (f *fixture) importWith(t testing.TB, text string, opt ImportOptions) (Result, *review.Report) {
	t.Helper()
	rows, _ := ReadPeople(strings.NewReader(text), "people.csv")
	r, report, err := f.Import(t.Context(), everything, rows, tester, opt)
	if err != nil {
		t.Fatal(err)
	}
	return r, report
}

// office is a town of n people, of whom the first is the administrator.
func officeText(from, to int) string {
	var b strings.Builder
	b.WriteString("団体コード,職員番号,氏名,メールアドレス,権限,部署,電話番号\n")
	for n := from; n < to; n++ {
		fmt.Fprintf(&b, "011002,T%d,試験 %d,t%d@c011002.example.lg.jp,%s,総務課,011-211-%04d\n", n, n, n, map[bool]string{true: "管理ユーザ", false: "一般ユーザ"}[n == 0], n)
	}
	return b.String()
}

// A complete list ends whoever isn't in it, a leaver each; where 60 % of a town are missing it is refused until the number is confirmed.
func TestImportComplete(t *testing.T) {
	eachStore(t, func(t *testing.T, f *fixture) {
		f.load(t, someOrgs, somePeople)
		complete := ImportOptions{Complete: true}
		f.importWith(t, officeText(0, 20), ImportOptions{})
		if r, report := f.importWith(t, officeText(0, 18), complete); r != (Result{Unchanged: 18, Leavers: 4, Published: true}) {
			t.Fatalf("%+v, %v", r, report.Faults()) // T18, T19 and the two of somePeople
		}
		if len(f.queue.leavers) != 4 {
			t.Errorf("%d leavers", len(f.queue.leavers))
		}
		sixty := officeText(0, 7) // 11 of 18 are missing
		r, report := f.importWith(t, sixty, complete)
		faults := report.Faults()
		if r.Published || r.Leavers != 11 || len(faults) != 1 || !strings.Contains(faults[0].Reason.EN, "of its 18 people in service 11 (61 %)") || !strings.Contains(faults[0].Remedy.EN, "--confirm 011002=11") {
			t.Fatalf("%+v, %v", r, faults)
		}
		if c, err := f.Counts(t.Context(), everything); err != nil || c.People != 18+2 {
			t.Fatalf("%+v, %v", c, err)
		}
		for _, wrong := range []map[policies.OrgID]int{{"011002": 10}, {"011002": 12}, {"131016": 11}} {
			if r, _ := f.importWith(t, sixty, ImportOptions{Complete: true, Confirm: wrong}); r.Published {
				t.Errorf("confirmed by %v", wrong)
			}
		}
		if r, report := f.importWith(t, sixty, ImportOptions{Complete: true, Confirm: map[policies.OrgID]int{"011002": 11}}); r != (Result{Unchanged: 7, Leavers: 11, Published: true}) {
			t.Fatalf("%+v, %v", r, report.Faults())
		}
		// A leaver's address is free in the same file, and the last administrator may leave.
		last := "団体コード,職員番号,氏名,メールアドレス,権限\n011002,N1,新人 一,t0@c011002.example.lg.jp,一般\n" + strings.Join(strings.SplitAfter(officeText(1, 7), "\n")[1:], "")
		last = strings.ReplaceAll(last, ",総務課", "")
		var lines []string
		for line := range strings.Lines(last) {
			cells := strings.Split(strings.TrimRight(line, "\n"), ",")
			lines = append(lines, strings.Join(cells[:5], ","))
		}
		if r, report := f.importWith(t, strings.Join(lines, "\n")+"\n", complete); r != (Result{Added: 1, Unchanged: 6, Leavers: 1, Published: true}) {
			t.Fatalf("%+v, %v", r, report.Faults())
		}
		if len(f.queue.leavers) != 4+11+1 {
			t.Errorf("%d leavers", len(f.queue.leavers))
		}
		// The post that the last administrator left is flagged vacant, until a file brings another.
		if n := f.vacant(t, "011002"); n != 1 {
			t.Errorf("%d vacancies", n)
		}
		f.importWith(t, strings.Replace(officeText(1, 7), "一般ユーザ", "管理ユーザ", 1), ImportOptions{})
		if n := f.vacant(t, "011002"); n != 0 {
			t.Errorf("%d vacancies", n)
		}
		// An organization may be named that the file doesn't speak of.
		if r, report := f.importWith(t, strings.Replace(officeText(1, 7), "一般ユーザ", "管理ユーザ", 1), ImportOptions{Complete: true, CompleteOf: []policies.OrgID{"131016"}}); r.Leavers != 2 || !r.Published {
			t.Fatalf("%+v, %v", r, report.Faults())
		}
		assertGapless(t, f)
	})
}

// Good rows go in, and the wrong ones come back as a file to be corrected.
func TestImportSkipBad(t *testing.T) {
	eachStore(t, func(t *testing.T, f *fixture) {
		f.load(t, someOrgs, somePeople)
		text := "団体コード,職員番号,姓,名,メールアドレス,権限\n" +
			"011002,S1,佐藤,花,hanako@c011002.example.lg.jp,一般\n" + // the last administrator: refused
			"011002,S3,森,一,new3@example.lg.jp,一般\n" +
			"011002,S4,=SUM(A1),二,taro@c011002.example.lg.jp,一般\n" + // somebody else's address
			"011003,S5,林,三,new5@example.lg.jp,一般\n" + // check digit
			"470007,S6,林,三,new6@example.lg.jp,一般\n" + // unknown organization
			"011002,S7,林\n" // ragged
		read := func(text string) *Rows {
			rows, err := Read(t.Context(), SubjectPeople, strings.NewReader(text), "people.csv", table.Options{EveryFault: true})
			if err != nil {
				t.Fatal(err)
			}
			return rows
		}
		r, report, err := f.Import(t.Context(), everything, read(text), tester, ImportOptions{SkipBad: true})
		if err != nil || r != (Result{Added: 1, Refused: 5, Published: true}) {
			t.Fatalf("%+v, %v, %v", r, report.Faults(), err)
		}
		if f.find(t, "011002", "S1").Role != policies.RoleAdministrator || f.find(t, "011002", "S3").FamilyName != "森" {
			t.Error("the wrong rows went in")
		}
		var b bytes.Buffer
		n, err := WriteBadRows(t.Context(), &b, strings.NewReader(text), table.Options{}, report, review.Japanese)
		if err != nil || n != 5 || !strings.HasPrefix(b.String(), "\ufeff行,誤り,団体コード,職員番号,姓,名,メールアドレス,権限\r\n2,role: ") || !strings.Contains(b.String(), ",011002,S4,'=SUM(A1),二,") {
			t.Fatalf("%d, %v\n%s", n, err, b.String())
		}
		// Corrected, it goes in; an uncorrected line is refused again.
		fixed := strings.NewReplacer("taro@c011002.example.lg.jp", "new4@example.lg.jp", "011003,S5", "011002,S5", "470007,S6", "131016,S6", ",011002,S7,林", ",011002,S7,林,四,new7@example.lg.jp,一般").Replace(b.String())
		fixed = strings.ReplaceAll(fixed, ",四,new7@example.lg.jp,一般,,,", ",四,new7@example.lg.jp,一般")
		r, report, err = f.Import(t.Context(), everything, read(fixed), tester, ImportOptions{SkipBad: true})
		if err != nil || r != (Result{Added: 4, Refused: 1, Published: true}) || f.find(t, "011002", "S4").FamilyName != "=SUM(A1)" {
			t.Fatalf("%+v, %v, %v\n%s", r, report.Faults(), err, fixed)
		}
		// A file that isn't a file of people is refused whatever is skipped.
		if r, report := f.importWith(t, "a,b\n1,2\n", ImportOptions{SkipBad: true}); r.Published || !report.Condemned() {
			t.Errorf("%+v", r)
		}
	})
}

// A row that is skipped means something for others: the address that it would have freed, the administrator whom it would have made.
func TestSkippedRowsSpread(t *testing.T) {
	eachStore(t, func(t *testing.T, f *fixture) {
		f.load(t, someOrgs, somePeople)
		text := peopleHeader +
			"131016,S1,田中,,タナカ,,makoto@somu.example.go.jp,general\n" + // taken: refused, so 田中 keeps tanaka@
			"011002,S2,鈴木,太郎,スズキ,タロウ,tanaka@c131016.example.lg.jp,administrator\n" + // so this isn't free, and no administrator is made
			"011002,S1,佐藤,花子,サトウ,ハナコ,hanako@c011002.example.lg.jp,general\n" // so this one stays
		r, report := f.importWith(t, text, ImportOptions{SkipBad: true})
		if r != (Result{Refused: 3, Published: true}) {
			t.Fatalf("%+v, %v", r, report.Faults())
		}
		if f.find(t, "011002", "S1").Role != policies.RoleAdministrator || f.find(t, "131016", "S1").Email != "tanaka@c131016.example.lg.jp" {
			t.Error("a refused row went in")
		}
	})
}

// People who share a mailbox are refused, or each gets an alias that stays.
func TestSharedMailbox(t *testing.T) {
	eachStore(t, func(t *testing.T, f *fixture) {
		f.load(t, someOrgs, somePeople)
		text := peopleHeader +
			"011002,A1,森,一,,,soumu@c011002.example.lg.jp,general\n" +
			"011002,A2,森,二,,,SOUMU@c011002.example.lg.jp,general\n" +
			"011002,A3,森,三,,,taro@c011002.example.lg.jp,general\n" + // 鈴木's, who isn't in the file
			"011002,A4,森,四,,,kikaku-ka@c011002.example.lg.jp,general\n"
		r, report := f.importWith(t, text, ImportOptions{})
		if r.Published || r.Refused != 3 || !strings.Contains(fmt.Sprint(report.Faults()), "--shared-mailbox alias") {
			t.Fatalf("%+v, %v", r, report.Faults())
		}
		alias := ImportOptions{SharedMailbox: AliasShared, AliasDomain: "alias.example.go.jp"}
		r, report = f.importWith(t, text, alias)
		if r != (Result{Added: 4, Aliases: 3, Published: true}) || len(report.Notices()) != 1 || !strings.Contains(report.Notices()[0].Text.EN, "kikaku-ka@") {
			t.Fatalf("%+v, %v, %v", r, report.Faults(), report.Notices())
		}
		seen := map[string]bool{}
		for _, n := range []string{"A1", "A2", "A3"} {
			p := f.find(t, "011002", n)
			if !strings.HasPrefix(p.Email, "p-") || !strings.HasSuffix(p.Email, "@alias.example.go.jp") || seen[p.Email] || p.Mailbox == "" {
				t.Errorf("%+v", p)
			}
			seen[p.Email] = true
		}
		if p := f.find(t, "011002", "S2"); p.Mailbox != "" || p.Email != "Taro@c011002.example.lg.jp" {
			t.Errorf("%+v", p)
		}
		// The same file again changes nothing, with the flag or without; nor does an export.
		for _, opt := range []ImportOptions{alias, {}} {
			if r, report := f.importWith(t, text, opt); r.Unchanged != 4 || !r.Published {
				t.Errorf("%+v, %v", r, report.Faults())
			}
		}
		var b bytes.Buffer
		w := table.NewWriter(&b, table.WriterOptions{}, review.New("export.csv"))
		_ = w.Row(PeopleHeader(review.Japanese))
		people, err := f.People(t.Context(), everything, PeopleFilter{})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range people {
			_ = w.Row(PersonCells(p))
		}
		_ = w.Flush()
		if r, report := f.importWith(t, b.String(), ImportOptions{}); r != (Result{Unchanged: len(people), Published: true}) {
			t.Errorf("%+v, %v", r, report.Faults())
		}
		// A mailbox of their own at last.
		if r, _ := f.importWith(t, peopleHeader+"011002,A1,森,一,,,mori1@c011002.example.lg.jp,general\n", ImportOptions{}); r.Changed != 1 {
			t.Errorf("%+v", r)
		}
		if p := f.find(t, "011002", "A1"); p.Email != "mori1@c011002.example.lg.jp" || p.Mailbox != "" {
			t.Errorf("%+v", p)
		}
	})
}

// Columns that a file doesn't have stay; a column that is there and empty clears. A dry run tells both, and writes nothing.
func TestImportKeepsOtherColumns(t *testing.T) {
	eachStore(t, func(t *testing.T, f *fixture) {
		f.load(t, someOrgs, "")
		f.importWith(t, officeText(0, 2), ImportOptions{})
		text := "団体コード,職員番号,氏名,メールアドレス,権限,電話番号,役職\n" +
			"011002,T0,試験 0,t0@c011002.example.lg.jp,管理ユーザ,,課長\n011002,T9,新人 九,t9@c011002.example.lg.jp,一般ユーザ,,\n"
		before := len(f.changes(t))
		var told []Difference
		opt := ImportOptions{DryRun: true, Difference: func(d Difference) error { told = append(told, d); return nil }}
		if r, _ := f.importWith(t, text, opt); r != (Result{Added: 1, Changed: 1}) || len(f.changes(t)) != before {
			t.Fatalf("%+v", r)
		}
		want := []FieldDifference{{"title", "役職", "", "課長"}, {"phone", "電話番号", "011-211-0000", ""}}
		if len(told) != 2 || told[0].Line != 2 || told[0].Object != "T0" || !slices.Equal(told[0].Fields, want) || told[1].Kind != PersonAdded {
			t.Fatalf("%+v", told)
		}
		f.importWith(t, text, ImportOptions{})
		if p := f.find(t, "011002", "T0"); p.Section != "総務課" || p.Title != "課長" || p.Phone != "" {
			t.Errorf("%+v", p)
		}
	})
}

// An import is one row of the audit log, in its own transaction, whoever looks at the feed.
func TestImportIsAudited(t *testing.T) {
	eachStore(t, func(t *testing.T, f *fixture) {
		f.load(t, someOrgs, "")
		by := tester
		var err error
		if by.By, err = access.BreakGlass("root"); err != nil {
			t.Fatal(err)
		}
		rows, _ := ReadPeople(strings.NewReader(somePeople), "a@b.example.jp.csv")
		if _, _, err := f.Import(t.Context(), everything, rows, by, ImportOptions{}); err != nil {
			t.Fatal(err)
		}
		found, err := audit.Find(t.Context(), f.db.Reader(), policies.System(policies.TaskTest), audit.Filter{Action: "people.import"})
		if err != nil || len(found) != 1 {
			t.Fatal(found, err)
		}
		detail, err := json.Marshal(found[0].Detail)
		want := fmt.Sprintf(`{"added":4,"changed":0,"feed_from":8,"feed_to":11,"file":"a(at)b.example.jp.csv","leavers":0,"refused":0,"rows":4,"sha256":"%s","unchanged":0}`, rows.SHA256)
		if err != nil || string(detail) != want || len(rows.SHA256) != 64 || found[0].Outcome != audit.Done {
			t.Errorf("%s, %v", detail, err)
		}
	})
}

// A workbook goes in like a text; what isn't a value there is refused with its place.
func TestImportWorkbook(t *testing.T) {
	book := func(change func(b *excelize.File)) string {
		b := excelize.NewFile()
		for i, row := range [][]any{
			{"団体コード", "職員番号", "氏名", "メールアドレス", "権限", "不在開始日"},
			{"011002", 123, "佐藤 花子", "a@c011002.example.lg.jp", "管理者", "令和9年4月1日"},
			{"011002", "00124", "鈴木 太郎", "b@c011002.example.lg.jp", "一般", nil},
		} {
			if err := b.SetSheetRow("Sheet1", fmt.Sprintf("A%d", i+1), &row); err != nil {
				t.Fatal(err)
			}
		}
		if change != nil {
			change(b)
		}
		out, err := b.WriteToBuffer()
		if err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		change func(b *excelize.File)
		reason string // empty: good
	}{
		"as it is": {},
		"formula":  {func(b *excelize.File) { must(b.SetCellFormula("Sheet1", "D2", `=A2&"@x.jp"`)) }, "formula"},
		"merged":   {func(b *excelize.File) { must(b.MergeCell("Sheet1", "B2", "B3")) }, "merged"},
		"a huge cell": {func(b *excelize.File) {
			must(b.SetCellStr("Sheet1", "C3", strings.Repeat("長", 30_000)))
		}, "longer than"},
		"a date": {func(b *excelize.File) {
			style, err := b.NewStyle(&excelize.Style{NumFmt: 14})
			must(err)
			must(b.SetCellValue("Sheet1", "F3", 46478))
			must(b.SetCellStyle("Sheet1", "F3", "F3", style))
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			rows, report := ReadPeople(strings.NewReader(book(c.change)), "people.xlsx")
			switch {
			case c.reason != "":
				if len(report.Faults()) == 0 || !strings.Contains(fmt.Sprint(report.Faults()), c.reason) || report.Faults()[0].Line == 0 {
					t.Errorf("%+v", report.Faults())
				}
			case !report.OK() || rows.Len() != 2:
				t.Errorf("%d, %v", rows.Len(), report.Faults())
			default:
				if p := slices.Collect(rows.People())[0].Person; p.StaffNumber != "123" || p.AbsentFrom == 0 || p.GivenName != "花子" {
					t.Errorf("%+v", p)
				}
			}
		})
	}
}

func TestSectionMailbox(t *testing.T) {
	for email, want := range map[string]bool{
		"soumu@a.jp": true, "info@a.jp": true, "kikaku-ka@a.jp": true, "zeimu2@a.jp": true, "Shimin.Kakari@a.jp": true, "kokuhoka@a.jp": true, "dx_g@a.jp": true,
		"taro@a.jp": false, "hanako.sato@a.jp": false, "h-tanaka@a.jp": false, "oka@a.jp": false, "yamaoka@a.jp": false, "info.taro@a.jp": false,
	} {
		if sectionMailbox(email, "") != want {
			t.Errorf("%s: %v", email, !want)
		}
	}
}

func (f *fixture) vacant(t testing.TB, org policies.OrgID) (n int) {
	t.Helper()
	if err := f.db.Reader().QueryRowContext(t.Context(), "SELECT COUNT(*) FROM vacancy WHERE org = $1 AND ended_at = 0", string(org)).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// Newcomers take the addresses of people who leave by the same complete list, of their organization and of another one in it.
func TestCompleteListFreesAddresses(t *testing.T) {
	eachStore(t, func(t *testing.T, f *fixture) {
		f.load(t, someOrgs, peopleHeader+`131016,N3,佐藤,,,,m4@example.lg.jp,general
131016,N0,鈴木,,,,m3@example.lg.jp,general
131016,N1,佐藤,,,,m2@example.lg.jp,general
131016,N2,森,,,,m1@example.lg.jp,general
011002,N1,佐藤,,,,m7@example.lg.jp,general
`)
		rows, _ := ReadPeople(strings.NewReader(peopleHeader+`131016,N4,佐藤,,,,m7@example.lg.jp,general
011002,N0,森,,,,m1@example.lg.jp,general
011002,N2,佐藤,,,,m3@example.lg.jp,general
`), "people.csv")
		r, report, err := f.Import(t.Context(), everything, rows, tester, ImportOptions{Complete: true})
		if want := (Result{Added: 3, Leavers: 5, Published: true}); err != nil || r != want || !report.OK() {
			t.Fatalf("%+v, want %+v; %v, %v", r, want, report.Faults(), err)
		}
		if len(f.queue.leavers) != 5 {
			t.Errorf("%d leavers", len(f.queue.leavers))
		}
	})
}
