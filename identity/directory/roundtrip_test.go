package directory_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/directory"
	"github.com/musubi-hub/musubi/identity/directory/review"
	"github.com/musubi-hub/musubi/identity/directory/sample"
	"github.com/musubi-hub/musubi/identity/directory/table"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
	"github.com/musubi-hub/musubi/policies"
)

// TestNationRoundTrip imports the national list and 60,000 people, exports both and imports what was exported: nothing is different, and the
// second export is the first one, byte for byte. Under the race detector a twentieth of the people do, still several chunks of staging each time.
func TestNationRoundTrip(t *testing.T) {
	list, err := os.ReadFile(filepath.Join("..", "..", "..", "shared", "data", "localgov.csv"))
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("../shared/data/localgov.csv isn't there")
	}
	if err != nil {
		t.Fatal(err)
	}
	perOrg := 34 // 1,788 organizations: 60,792 people
	if raceDetector {
		perOrg = 2
	}
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		if err := db.Migrate(t.Context(), directory.Migration(), audit.Migration(db.Engine())); err != nil {
			t.Fatal(err)
		}
		var n atomic.Int64
		store := directory.New(db, directory.Options{
			Now:   time.Now,
			NewID: func() policies.PersonID { return policies.PersonID(fmt.Sprintf("%026d", n.Add(1))) },
		})
		scope := policies.System(policies.TaskTest)
		take := func(what string, rows *directory.Rows, want directory.Result) {
			t.Helper()
			got, report, err := store.Import(t.Context(), scope, rows, directory.Author{Source: "test"}, directory.ImportOptions{})
			if err != nil || !report.OK() || got != want {
				t.Fatalf("%s: %+v, want %+v; %v, %v", what, got, want, report.Faults(), err)
			}
		}
		orgs, _ := directory.ReadOrganizations(bytes.NewReader(list), "localgov.csv")
		take("national list", orgs, directory.Result{Added: 1963, Published: true})
		var bodies []identity.Organization
		for _, row := range orgs.Orgs {
			bodies = append(bodies, row.Organization)
		}
		people, _ := directory.PeopleRows("generated", sample.People(bodies, perOrg, sample.Seed))
		size := 1788 * perOrg
		take("people", people, directory.Result{Added: size, Published: true})

		for _, encoding := range []table.Encoding{table.UTF8, table.CP932} {
			orgFile, peopleFile := exportAll(t, store, scope, encoding)
			rows, _ := directory.ReadOrganizations(bytes.NewReader(orgFile), "orgs.csv")
			take("organizations again", rows, directory.Result{Unchanged: 1963, Published: true})
			rows, _ = directory.ReadPeople(bytes.NewReader(peopleFile), "people.csv")
			take("people again", rows, directory.Result{Unchanged: size, Published: true})
			orgsAgain, peopleAgain := exportAll(t, store, scope, encoding)
			if !bytes.Equal(orgFile, orgsAgain) || !bytes.Equal(peopleFile, peopleAgain) {
				t.Errorf("%s: the second export differs", encoding)
			}
		}
	})
}

// exportAll writes the whole directory as the command does.
func exportAll(t *testing.T, store *directory.Store, scope policies.Scope, encoding table.Encoding) (orgs, people []byte) {
	t.Helper()
	write := func(header []string, rows func(w *table.Writer) error) []byte {
		var file bytes.Buffer
		report := review.New("export")
		w := table.NewWriter(&file, table.WriterOptions{Encoding: encoding}, report)
		if err := errors.Join(w.Row(header), rows(w), w.Flush()); err != nil || !report.OK() {
			t.Fatal(err, report.Faults())
		}
		return file.Bytes()
	}
	orgs = write(directory.OrganizationHeader(review.Japanese), func(w *table.Writer) error {
		filter := directory.OrgFilter{Limit: directory.MaxPage}
		for {
			list, err := store.Organizations(t.Context(), scope, filter)
			for _, o := range list {
				err = errors.Join(err, w.Row(directory.OrganizationCells(o)))
			}
			if err != nil || len(list) < filter.Limit {
				return err
			}
			filter.After = list[len(list)-1].ID
		}
	})
	people = write(directory.PeopleHeader(review.Japanese), func(w *table.Writer) error {
		return store.ExportPeople(t.Context(), scope, directory.PeopleFilter{}, func(p identity.Person) error { return w.Row(directory.PersonCells(p)) })
	})
	return orgs, people
}
