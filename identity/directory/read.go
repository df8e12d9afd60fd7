package directory

import (
	"context"
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

// Template is an empty file for the subject: the canonical header line, ended by CRLF.
func Template(subject Subject) ([]byte, error) {
	columns := headerOf(subject)
	if columns == nil {
		return nil, fmt.Errorf("no template for %q: write %s or %s", string(subject), SubjectOrganizations, SubjectPeople)
	}
	return []byte(strings.Join(columns, ",") + "\r\n"), nil
}

func headerOf(subject Subject) []string {
	switch subject {
	case SubjectOrganizations:
		return orgColumns
	case SubjectPeople:
		return personColumns
	}
	return nil
}

// ReadPeople reads a people file (docs/import.md). It is pure: whether an organization exists is Import's to say. name is the file's
// name for the report. The report is that of the rows, never nil; Import adds to it.
func ReadPeople(r io.Reader, name string) (*Rows, *review.Report) {
	rows := &Rows{Subject: SubjectPeople, Name: name, Report: review.New(name)}
	check := newPeopleCheck(rows.Report)
	var at []int
	head := func(cells []string) (f *fault) {
		at, f = locate(cells, personColumns, SubjectPeople)
		return f
	}
	readTable(r, rows.Report, head, func(line int, cells []string) {
		if f := oversized(cells, at, personColumns); f != nil {
			rows.Report.Refuse(line, *f)
			return
		}
		p := identity.Person{
			Org: policies.OrgID(cells[at[0]]), StaffNumber: cells[at[1]],
			FamilyName: cells[at[2]], GivenName: cells[at[3]], FamilyKana: cells[at[4]], GivenKana: cells[at[5]],
			Email: cells[at[6]], Role: policies.Role(cells[at[7]]),
		}
		if check.row(line, p) {
			rows.People = append(rows.People, PersonRow{Line: line, Person: p})
		}
	})
	return rows, rows.Report
}

// ReadOrganizations reads an organizations file (docs/import.md), with the canonical header or with that of the national list of
// local governments. It is pure; name is the file's name for the report. The report is that of the rows, never nil; Import adds
// to it.
func ReadOrganizations(r io.Reader, name string) (*Rows, *review.Report) {
	rows := &Rows{Subject: SubjectOrganizations, Name: name, Report: review.New(name)}
	seen := orgCheck{report: rows.Report, column: "code", lines: map[policies.OrgID]int{}}
	var at []int
	var national *nationalList
	head := func(cells []string) (f *fault) {
		if slices.Contains(cells, "lgcode") {
			seen.column = "lgcode"
			national = newNationalList(seen)
			at, f = locate(cells, nationalColumns, SubjectOrganizations)
			return f
		}
		at, f = locate(cells, orgColumns, SubjectOrganizations)
		return f
	}
	readTable(r, rows.Report, head, func(line int, cells []string) {
		if national != nil {
			national.row(line, pick(cells, at))
			return
		}
		if f := oversized(cells, at, orgColumns); f != nil {
			rows.Report.Refuse(line, *f)
			return
		}
		o := identity.Organization{
			ID: policies.OrgID(cells[at[0]]), Kind: policies.OrgKind(cells[at[1]]),
			Name: cells[at[2]], Kana: cells[at[3]], Parent: policies.OrgID(cells[at[4]]),
		}
		faults := checkOrganization(&o)
		if seen.row(line, o.ID, faults) {
			rows.Orgs = append(rows.Orgs, OrgRow{Line: line, Organization: o})
		}
	})
	if national != nil {
		rows.Orgs = national.finish()
	}
	return rows, rows.Report
}

// readTable reads a file in any form that identity/directory/table knows.
func readTable(r io.Reader, report *review.Report, head table.Header, row table.Row) {
	at, size, err := table.Source(r)
	if err != nil {
		report.Stop(0, table.Unreadable(err))
		return
	}
	_ = table.Read(context.Background(), at, size, table.Options{}, report, head, row) // its error is that of the context alone
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

// locate finds each wanted column in the first line. A canonical header has no other columns; the national list may.
func locate(cells, want []string, subject Subject) ([]int, *fault) {
	at := make([]int, len(want))
	for i, column := range want {
		at[i] = slices.Index(cells, column)
		if at[i] < 0 {
			return nil, missingColumn(cells, column, subject)
		}
		if slices.Contains(cells[at[i]+1:], column) {
			f := badHeader(column, review.Say("見出しに同じ列が二つあります", "the header has the same column twice"), subject)
			return nil, &f
		}
	}
	if len(want) != len(cells) && !slices.Equal(want, nationalColumns) {
		for _, c := range cells {
			if !slices.Contains(want, c) {
				f := badHeader(c, review.Say("知らない列が見出しにあります", "the header has an unknown column"), subject)
				return nil, &f
			}
		}
	}
	return at, nil
}

func missingColumn(cells []string, column string, subject Subject) *fault {
	reason := review.Say("見出しに列「"+column+"」がありません", `the header has no column "`+column+`"`)
	if len(cells) == 1 {
		for _, separator := range []string{"\t", ";"} {
			if strings.Contains(cells[0], separator) {
				reason = review.Say("コンマ区切りではありません", "the columns are not separated by commas")
			}
		}
	}
	f := badHeader(strings.Join(cells, ","), reason, subject)
	return &f
}

// oversized refuses a row for a huge cell before anything is kept of it.
func oversized(cells []string, at []int, columns []string) *fault {
	for i, place := range at {
		if len(cells[place]) > MaxCell*4 {
			f := tooLong(columns[i], cells[place], MaxCell)
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
	if f := oversized(cells, []int{0, 1, 2, 3, 4}, nationalColumns); f != nil {
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
