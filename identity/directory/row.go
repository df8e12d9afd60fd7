package directory

import (
	"iter"

	"github.com/musubi-hub/musubi/identity/directory/review"
	"github.com/musubi-hub/musubi/identity/directory/table"

	"github.com/musubi-hub/musubi/identity"
)

// Subject is what a file or a feed row is about.
type Subject string

// The subjects. Their values are the words of `musubi import`.
const (
	SubjectOrganizations Subject = "orgs"
	SubjectPeople        Subject = "people"
)

// Rows is a file as it was read: the good rows, and the report of the bad ones. Exactly one of Orgs and People is in use.
type Rows struct {
	Subject Subject
	Name    string // the file's name, as it shall appear in the report and as the source of the changes
	Orgs    []OrgRow
	People  []PersonRow
	Report  *review.Report
}

// Len is the number of good rows.
func (r *Rows) Len() int { return len(r.Orgs) + len(r.People) }

// OrgRow is an organization with the line of the file that it came from.
type OrgRow struct {
	Line         int
	Organization identity.Organization
	// Derived says that the file has no row of its own for the organization (the prefectures of the national list). What such
	// a row doesn't know, its kana, is kept as the directory has it.
	Derived bool
}

// PersonRow is a person without id with the line of the file that the person came from.
type PersonRow struct {
	Line   int
	Person identity.Person
}

// PeopleRows makes rows of people who don't come from a file, with the checks that ReadPeople makes. Lines count from 2, as if
// they had been written below a header.
func PeopleRows(name string, people iter.Seq[identity.Person]) (*Rows, *review.Report) {
	rows := &Rows{Subject: SubjectPeople, Name: name, Report: review.New(name)}
	check := newPeopleCheck(rows.Report)
	line := 1
	for p := range people {
		line++
		if line > table.MaxRows+1 {
			rows.Report.Stop(line, table.TooManyRows(table.MaxRows))
			break
		}
		if check.row(line, p) {
			rows.People = append(rows.People, PersonRow{Line: line, Person: p})
		}
	}
	return rows, rows.Report
}
