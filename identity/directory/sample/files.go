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
	OrgsFile     = "sample/orgs.csv"
	PeopleFile   = "sample/people.csv"
	ServicesFile = "sample/services.csv"
)

//go:embed orgs.csv
var orgsCSV []byte

//go:embed people.csv
var peopleCSV []byte

//go:embed services.csv
var servicesCSV []byte

// OrgsCSV is the shipped organizations file.
func OrgsCSV() []byte { return bytes.Clone(orgsCSV) }

// PeopleCSV is the shipped people file.
func PeopleCSV() []byte { return bytes.Clone(peopleCSV) }

// ServicesCSV is the shipped file of who serves whom.
func ServicesCSV() []byte { return bytes.Clone(servicesCSV) }

// Orgs reads the shipped organizations file.
func Orgs() (*directory.Rows, *review.Report) {
	return directory.ReadOrganizations(bytes.NewReader(orgsCSV), OrgsFile)
}

// Staff reads the shipped people file.
func Staff() (*directory.Rows, *review.Report) {
	return directory.ReadPeople(bytes.NewReader(peopleCSV), PeopleFile)
}

// Services reads the shipped file of who serves whom.
func Services() (*directory.Rows, *review.Report) {
	return directory.ReadServices(bytes.NewReader(servicesCSV), ServicesFile)
}

// WritePeople writes people as a file that `musubi import people` takes.
func WritePeople(w io.Writer, people iter.Seq[identity.Person]) error {
	c := csv.NewWriter(w)
	if err := c.Write(directory.PeopleHeader(review.English)); err != nil {
		return err
	}
	for p := range people {
		if err := c.Write(directory.PersonCells(p)); err != nil {
			return err
		}
	}
	c.Flush()
	return c.Error()
}
