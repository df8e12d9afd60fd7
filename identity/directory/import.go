package directory

import (
	"context"
	"errors"
	"fmt"

	"github.com/musubi-hub/musubi/identity/directory/review"
	"github.com/musubi-hub/musubi/policies"
)

// MaxOrganizationRows bounds an organizations file: it is published in one transaction without staging. The national list has 1,963.
const MaxOrganizationRows = 20_000

// Errors of an import.
var (
	ErrImportBusy    = errors.New("the directory kept changing while the file was imported; nothing was imported, try again")
	ErrImportDropped = errors.New("this import stood still for too long and was cleaned up by another; nothing was imported, try again")
)

// Result is what an import did, or would do.
type Result struct {
	Added     int
	Changed   int
	Unchanged int
	Ended     int  // rows of people whose service has ended: left ended, with a notice
	Refused   int  // rows that the report refuses
	Published bool // the rows are in the directory. False for a dry run and when the report refuses anything
}

// Progress is told how far an import is, from the importing goroutine: done of total, in rows.
type Progress func(done, total int64, stage string)

// Stages of an import, as Progress is told them, in this order. They may come again if the directory changed meanwhile.
const (
	StageCompare = "compare"
	StageStage   = "stage"
	StagePublish = "publish"
	StageSettle  = "settle" // the import is published: this moves its rows to their final place
	StageClean   = "clean"
)

// Import brings rows into the directory, all or nothing: org.write for organizations, people.write for people. Rows that are in the
// directory as they are make no change, so importing a file twice changes nothing. Nobody is ended by being left out. What is
// refused, by the reader or here (outside the scope, unknown organization, e-mail address of somebody else), stands in the report,
// which is that of the rows; if it refuses anything nothing is published and the error is nil. A dry run stops before publishing
// and writes nothing.
//
// Rows are compared with the directory in memory; what they change is staged in short transactions and published in one. A process that dies before publishing leaves the directory as it
// was; its staging is dropped by a later import, or by Sweep.
func (s *Store) Import(ctx context.Context, scope policies.Scope, rows *Rows, by Author, progress Progress, dryRun bool) (Result, *review.Report, error) {
	if progress == nil {
		progress = func(int64, int64, string) {}
	}
	report := rows.Report.Clone()
	var result Result
	var err error
	switch rows.Subject {
	case SubjectOrganizations:
		if err = permitAuthor(scope, policies.ActionOrgWrite, by); err == nil {
			result, err = s.importOrganizations(ctx, scope, rows, report, by, progress, dryRun)
		}
	case SubjectPeople:
		if err = permitAuthor(scope, policies.ActionPeopleWrite, by); err == nil {
			result, report, err = s.importPeople(ctx, scope, rows, report, by, progress, dryRun)
		}
	default:
		err = fmt.Errorf("directory: import of %q", rows.Subject)
	}
	result.Refused = report.Refused()
	if err != nil {
		return Result{}, report, fmt.Errorf("import %s: %w", review.Visible(rows.Name, 200), err)
	}
	return result, report, nil
}
