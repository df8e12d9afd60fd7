package directory

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/code"
	"github.com/musubi-hub/musubi/identity/directory/review"
	"github.com/musubi-hub/musubi/identity/directory/table"
	"github.com/musubi-hub/musubi/policies"
)

// Template is an empty file for the subject: the header line in English or Japanese, ended by CRLF. The Japanese one begins with a byte
// order mark, without which a spreadsheet shows it garbled.
func Template(subject Subject, locale review.Locale) ([]byte, error) {
	columns := headerOf(subject, locale)
	if columns == nil {
		return nil, fmt.Errorf("no template for %q: write %s, %s or %s", string(subject), SubjectOrganizations, SubjectPeople, SubjectServices)
	}
	line := strings.Join(columns, ",") + "\r\n"
	if locale == review.Japanese {
		line = "\ufeff" + line
	}
	return []byte(line), nil
}

func headerOf(subject Subject, locale review.Locale) []string {
	switch subject {
	case SubjectOrganizations:
		return OrganizationHeader(locale)
	case SubjectPeople:
		return PeopleHeader(locale)
	case SubjectServices:
		return ServiceHeader(locale)
	}
	return nil
}

// ReadPeople is Read of a people file without options.
func ReadPeople(r io.Reader, name string) (*Rows, *review.Report) {
	rows, _ := Read(context.Background(), SubjectPeople, r, name, table.Options{}) // the error is the context's
	return rows, rows.Report
}

// ReadOrganizations is Read of an organizations file without options.
func ReadOrganizations(r io.Reader, name string) (*Rows, *review.Report) {
	rows, _ := Read(context.Background(), SubjectOrganizations, r, name, table.Options{}) // the error is the context's
	return rows, rows.Report
}

// Read reads a file of people, organizations or services (docs/import.md), CSV or XLSX; organizations may come with the header of the national list
// of local governments. It is pure: whether an organization exists is Import's to say. name is the file's name for the report. What
// is wrong with the file stands in the report of the rows, to which Import adds; the error is that of ctx.
func Read(ctx context.Context, subject Subject, r io.Reader, name string, opt table.Options) (*Rows, error) {
	rows := &Rows{Subject: subject, Name: name, Report: review.New(name)}
	at, size, err := table.Source(r)
	if err != nil {
		rows.Report.Stop(0, table.Unreadable(err))
		return rows, ctx.Err()
	}
	sum := sha256.New()
	if size <= table.MaxFile { // a larger one is refused below
		if _, err := io.Copy(sum, io.NewSectionReader(at, 0, size)); err != nil {
			rows.Report.Stop(0, table.Unreadable(err))
			return rows, ctx.Err()
		}
		rows.SHA256 = hex.EncodeToString(sum.Sum(nil))
	}
	switch subject {
	case SubjectOrganizations:
		return rows, rows.readOrganizations(ctx, at, size, opt)
	case SubjectServices:
		return rows, rows.readServices(ctx, at, size, opt)
	}
	return rows, rows.readPeople(ctx, at, size, opt)
}

func (r *Rows) readPeople(ctx context.Context, at io.ReaderAt, size int64, opt table.Options) error {
	var l layout[identity.Person]
	r.people = newPacked(0)
	head := func(cells []string) (f *fault) {
		if l, f = recognise(cells, personColumns, SubjectPeople); f != nil {
			return f
		}
		for _, c := range l.columns {
			if c != nil {
				r.people.fields |= c.fields
			}
		}
		switch {
		case r.people.fields&fieldAbsentFrom != 0:
			r.people.fields |= fieldAbsentUntil // a new absence has no end from before
		case r.people.fields&fieldAbsentUntil != 0:
			return missingColumn(cells, "不在開始日", "absent_from", SubjectPeople)
		}
		r.Report.SetColumns(l.canonical(cells))
		return nil
	}
	return table.Read(ctx, at, size, opt, r.Report, head, func(line int, cells []string) {
		var p identity.Person
		faults := l.read(&p, cells)
		r.take(line, &p, faults)
	})
}

func (r *Rows) readOrganizations(ctx context.Context, at io.ReaderAt, size int64, opt table.Options) error {
	seen := orgCheck{report: r.Report, column: "code", lines: map[policies.OrgID]int{}}
	var l layout[identity.Organization]
	var national *nationalList
	var columns []int
	head := func(cells []string) (f *fault) {
		if slices.Contains(cells, "lgcode") {
			seen.column = "lgcode"
			national = newNationalList(seen)
			columns, f = locate(cells, nationalColumns, SubjectOrganizations)
			r.orgFields = map[string]bool{"kana": true, "parent": true}
			return f
		}
		if l, f = recognise(cells, orgColumns, SubjectOrganizations); f != nil {
			return f
		}
		r.orgFields = map[string]bool{}
		for _, c := range l.columns {
			if c != nil {
				r.orgFields[c.name] = true
			}
		}
		r.Report.SetColumns(l.canonical(cells))
		return nil
	}
	err := table.Read(ctx, at, size, opt, r.Report, head, func(line int, cells []string) {
		if national != nil {
			national.row(line, pick(cells, columns))
			return
		}
		var o identity.Organization
		faults := l.read(&o, cells)
		faults = append(faults, unfaulted(checkOrganization(&o), faults)...)
		if seen.row(line, o.ID, faults) {
			r.Orgs = append(r.Orgs, OrgRow{Line: line, Organization: o})
		}
	})
	if national != nil {
		r.Orgs = national.finish()
	}
	return err
}

// unfaulted are the findings on columns of which nothing is said yet: what couldn't be read isn't also found missing.
func unfaulted(found, said []fault) []fault {
	return slices.DeleteFunc(found, func(f fault) bool {
		return slices.ContainsFunc(said, func(s fault) bool {
			return s.Column == f.Column || s.Column == "absent_from" && f.Column == "absent_until" || (s.Column == "from" || s.Column == "last_day") && f.Column == "until"
		})
	})
}

// orgCheck finds organizations that come twice in a file, and reports.
type orgCheck struct {
	report *review.Report
	column string // that has the code
	lines  map[policies.OrgID]int
}

func (c orgCheck) row(line int, id policies.OrgID, faults []fault) bool {
	if id != "" {
		if first, dup := c.lines[id]; dup {
			faults = append(faults, twice(c.column, string(id), first))
		} else {
			c.lines[id] = line
		}
	}
	for _, f := range faults {
		c.report.Refuse(line, f)
	}
	return len(faults) == 0
}

// locate finds each wanted column of the national list in the first line, which may have others.
func locate(cells, want []string, subject Subject) ([]int, *fault) {
	at := make([]int, len(want))
	for i, column := range want {
		at[i] = slices.Index(cells, column)
		if at[i] < 0 {
			return nil, missingColumn(cells, column, column, subject)
		}
		if slices.Contains(cells[at[i]+1:], column) {
			f := badHeader(column, review.Say("見出しに同じ列が二つあります", "the header has the same column twice"), subject)
			return nil, &f
		}
	}
	return at, nil
}

func missingColumn(cells []string, ja, en string, subject Subject) *fault {
	name := "「" + ja + "」"
	if ja != en {
		name += " (" + en + ") "
	}
	f := badHeader(strings.Join(cells, ","), review.Say("見出しに列"+name+"がありません", `the header has no column "`+en+`"`), subject)
	return &f
}

// oversized refuses a row for a huge cell before anything is kept of it.
func oversized(cells, columns []string) *fault {
	for i, text := range cells {
		if len(text) > MaxCell*4 {
			f := tooLong(columns[i], text, MaxCell)
			return &f
		}
	}
	return nil
}

func pick(cells []string, at []int) []string {
	picked := make([]string, len(at))
	for i, place := range at {
		picked[i] = cells[place]
	}
	return picked
}

// nationalColumns are what is read of the national list; its other columns (position, address of the web site, motto) are not.
var nationalColumns = []string{"pid", "pref", "city", "citykana", "lgcode"}

// nationalList turns the national list's rows, municipalities and wards, into organizations: it derives the prefectures, which have
// no rows of their own, and finds the city of each ward when all rows are there.
type nationalList struct {
	check       orgCheck
	prefectures map[string]OrgRow         // by pid
	cities      map[string]policies.OrgID // by pid and name
	rows        []OrgRow
}

func newNationalList(check orgCheck) *nationalList {
	return &nationalList{check: check, prefectures: map[string]OrgRow{}, cities: map[string]policies.OrgID{}}
}

func (n *nationalList) row(line int, cells []string) {
	if f := oversized(cells, nationalColumns); f != nil {
		n.check.report.Refuse(line, *f)
		return
	}
	pid, pref, city, kana, lgcode := cells[0], cells[1], cells[2], cells[3], cells[4]
	var faults []fault
	prefecture, err := n.prefecture(line, pid, pref)
	faults = append(faults, err...)
	id, bad := code.ParseLocalGovernmentCode(lgcode)
	switch {
	case lgcode == "":
		faults = append(faults, empty("lgcode"))
	case bad != nil:
		faults = append(faults, badNumber("lgcode", lgcode, bad))
	case code.IsPrefecture(id):
		faults = append(faults, fault{
			Column: "lgcode", Value: lgcode,
			Reason: review.Say("都道府県のコードです。この一覧の行は市区町村と行政区です", "this is the code of a prefecture; the rows of this list are municipalities and wards"),
			Remedy: review.Say("行を消してください (都道府県は pid と pref から作られます)", "delete the row (prefectures are derived from pid and pref)"),
		})
	case prefecture != "" && code.PrefectureOf(id) != prefecture:
		faults = append(faults, fault{
			Column: "lgcode", Value: lgcode,
			Reason: review.Say("コードの都道府県が pid "+pid+" と合いません", "the prefecture of the code is not that of pid "+pid),
			Remedy: review.Say("lgcode か pid を直してください", "correct lgcode or pid"),
		})
	}
	faults = append(faults, cell("city", city, maxName, true)...)
	faults = append(faults, cell("citykana", kana, maxName, false)...)
	if !n.check.row(line, policies.OrgID(lgcode), faults) {
		return
	}
	o := identity.Organization{ID: id, Kind: policies.KindMunicipality, Name: city, Kana: kana, Parent: prefecture}
	if strings.Contains(city, " ") {
		o.Kind, o.Parent = policies.KindWard, "" // found in finish: the city may come later in the file
	} else {
		n.cities[pid+" "+city] = id
	}
	n.rows = append(n.rows, OrgRow{Line: line, Organization: o})
}

// prefecture derives the prefecture of a row, once per pid.
func (n *nationalList) prefecture(line int, pid, pref string) (policies.OrgID, []fault) {
	if have, ok := n.prefectures[pid]; ok {
		if have.Organization.Name != pref {
			return have.Organization.ID, []fault{{
				Column: "pref", Value: pref,
				Reason: review.Say(
					fmt.Sprintf("pid %s の名称が %d 行目では「%s」です", pid, have.Line, have.Organization.Name),
					fmt.Sprintf("line %d calls pid %s %s", have.Line, pid, have.Organization.Name),
				),
				Remedy: review.Say("pid か pref を直してください", "correct pid or pref"),
			}}
		}
		return have.Organization.ID, nil
	}
	number, err := strconv.Atoi(pid)
	id, bad := code.Prefecture(number)
	if err != nil || bad != nil {
		return "", []fault{{
			Column: "pid", Value: pid,
			Reason: review.Say("都道府県番号は 1 から 47 です", "the number of a prefecture is 1 to 47"),
			Remedy: review.Say("pid を直してください", "correct pid"),
		}}
	}
	if faults := cell("pref", pref, maxName, true); faults != nil {
		return id, faults
	}
	n.prefectures[pid] = OrgRow{
		Line: line, Derived: true,
		Organization: identity.Organization{ID: id, Kind: policies.KindPrefecture, Name: pref},
	}
	return id, nil
}

// finish puts the wards under their cities and the prefectures first.
func (n *nationalList) finish() []OrgRow {
	rows := make([]OrgRow, 0, len(n.prefectures)+len(n.rows))
	for _, p := range n.prefectures {
		rows = append(rows, p)
	}
	slices.SortFunc(rows, func(a, b OrgRow) int { return strings.Compare(string(a.Organization.ID), string(b.Organization.ID)) })
	pids := map[policies.OrgID]string{}
	for pid, p := range n.prefectures {
		pids[p.Organization.ID] = pid
	}
	for _, row := range n.rows {
		o := &row.Organization
		if o.Kind == policies.KindWard {
			city, _, _ := strings.Cut(o.Name, " ")
			parent, ok := n.cities[pids[code.PrefectureOf(o.ID)]+" "+city]
			if !ok {
				n.check.report.Refuse(row.Line, fault{
					Column: "city", Value: o.Name,
					Reason: review.Say("市「"+review.Visible(city, review.MaxShown)+"」の行がありません", "the file has no row for the city "+review.Visible(city, review.MaxShown)),
					Remedy: review.Say("市の行を足すか、市名を直してください", "add the row of the city, or correct its name"),
				})
				continue
			}
			o.Parent = parent
		}
		rows = append(rows, row)
	}
	return rows
}
