package sample

import (
	"bytes"
	_ "embed"
	"encoding/csv"
	"io"
	"iter"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/directory"
	"github.com/musubi-hub/musubi/identity/directory/review"
)

// What the shipped people.csv was made with.
const (
	PeoplePerOrg = 12
	Seed         = 2026
)

// Names of the shipped files, as reports and the change feed show them.
const (
	OrgsFile   = "sample/orgs.csv"
	PeopleFile = "sample/people.csv"
)

//go:embed orgs.csv
var orgsCSV []byte

//go:embed people.csv
var peopleCSV []byte

// OrgsCSV is the shipped organizations file.
func OrgsCSV() []byte { return bytes.Clone(orgsCSV) }

// PeopleCSV is the shipped people file.
func PeopleCSV() []byte { return bytes.Clone(peopleCSV) }

// Orgs reads the shipped organizations file.
func Orgs() (*directory.Rows, *review.Report) {
	return directory.ReadOrganizations(bytes.NewReader(orgsCSV), OrgsFile)
}

// Staff reads the shipped people file.
func Staff() (*directory.Rows, *review.Report) {
	return directory.ReadPeople(bytes.NewReader(peopleCSV), PeopleFile)
}

// WritePeople writes people as a file that `musubi import people` takes.
func WritePeople(w io.Writer, people iter.Seq[identity.Person]) error {
	c := csv.NewWriter(w)
	if err := c.Write([]string{"org", "staff_number", "family_name", "given_name", "family_kana", "given_kana", "email", "role"}); err != nil {
		return err
	}
	for p := range people {
		err := c.Write([]string{
			string(p.Org), p.StaffNumber, p.FamilyName, p.GivenName, p.FamilyKana, p.GivenKana, p.Email, string(p.Role),
		})
		if err != nil {
			return err
		}
	}
	c.Flush()
	return c.Error()
}
