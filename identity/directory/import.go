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

// SharedMailbox says what becomes of people who share an e-mail address.
type SharedMailbox string

// What becomes of a shared mailbox.
const (
	RefuseShared SharedMailbox = "refuse" // the rows are refused: the default
	AliasShared  SharedMailbox = "alias"  // each person gets an address of their own on ImportOptions.AliasDomain; mail still goes to the mailbox
)

// The share of an organization's people that a complete list may end unasked.
const (
	removalShare = 0.20
	removalFew   = 5 // fewer may always be ended: a share of a small office says little
)

// ImportOptions say how a file is to be taken. The zero value takes all of it or nothing, and ends nobody.
type ImportOptions struct {
	DryRun  bool // stop before anything is written
	SkipBad bool // take the good rows of a file that has bad ones too

	// Complete says that the file is the whole list of the organizations that occur in it, and of CompleteOf: whoever is in service there
	// and not in the file leaves. Where that would end more than 20 % (and at least 5) of an organization's people, the file is
	// refused until Confirm says exactly how many.
	Complete   bool
	CompleteOf []policies.OrgID
	Confirm    map[policies.OrgID]int

	SharedMailbox SharedMailbox
	AliasDomain   string // that the hub owns; for AliasShared

	Progress   Progress               // nil for none
	Difference func(Difference) error // told each change, in the order of the file; leavers first. Nil for nobody. An error ends the import
}

// Check refuses options that don't go together, or not with the subject. Import calls it too.
func (o ImportOptions) Check(subject Subject) error {
	switch {
	case (o.Complete || len(o.CompleteOf) > 0 || len(o.Confirm) > 0) && subject != SubjectPeople:
		return errors.New("only a list of people can be complete")
	case o.Complete && o.SkipBad:
		return errors.New("a complete list can't skip bad rows: whoever stands in one would leave")
	case !o.Complete && (len(o.CompleteOf) > 0 || len(o.Confirm) > 0):
		return errors.New("removals can be named and confirmed for a complete list alone")
	case o.SharedMailbox != "" && o.SharedMailbox != RefuseShared && o.SharedMailbox != AliasShared:
		return fmt.Errorf("shared mailboxes: %q is neither %s nor %s", o.SharedMailbox, RefuseShared, AliasShared)
	case o.SharedMailbox == AliasShared && !domainName(o.AliasDomain):
		return errors.New("shared mailboxes get their aliases on a domain that the hub owns; it must be named")
	}
	return nil
}

// Result is what an import did, or would do.
type Result struct {
	Added     int
	Changed   int
	Unchanged int
	Leavers   int  // people whose service ends because a complete list doesn't have them
	Ended     int  // rows of people whose service has ended: left ended, with a notice
	Refused   int  // rows that the report refuses
	Aliases   int  // people who get an alias of a shared mailbox, among Added and Changed
	Published bool // the good rows are in the directory. False for a dry run and when the report refuses what may not be skipped
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

// Import brings rows into the directory: org.write for organizations, people.write for people, service.write over the
// organizations that are served for services. Rows that are in the directory as they are
// make no change, so importing a file twice changes nothing. What a file has no column for stays as it is. What is refused, by the reader or
// here (outside the scope, unknown organization, e-mail address of somebody else), stands in the report, which begins with that of the rows;
// the error is nil then. Unless bad rows may be skipped, nothing is published if the report refuses anything; a fault of the file as a whole
// always refuses all of it.
//
// Rows are compared with the directory in memory; what they change is staged in short transactions, published in one small one and
// settled afterwards (generation.go). A process that dies before publishing leaves the directory as it was; one that dies later has
// published everything.
func (s *Store) Import(ctx context.Context, scope policies.Scope, rows *Rows, by Author, opt ImportOptions) (Result, *review.Report, error) {
	if opt.Progress == nil {
		opt.Progress = func(int64, int64, string) {}
	}
	report := rows.Report.Clone()
	var result Result
	err := opt.Check(rows.Subject)
	if err != nil {
		return result, report, fmt.Errorf("import %s: %w", review.Visible(rows.Name, 200), err)
	}
	switch rows.Subject {
	case SubjectOrganizations:
		if err = permitAuthor(scope, policies.ActionOrgWrite, by); err == nil {
			result, report, err = s.importOrganizations(ctx, scope, rows, report, by, opt)
		}
	case SubjectPeople:
		if err = permitAuthor(scope, policies.ActionPeopleWrite, by); err == nil {
			result, report, err = s.importPeople(ctx, scope, rows, report, by, opt)
		}
	case SubjectServices:
		if err = permitAuthor(scope, policies.ActionServiceWrite, by); err == nil {
			result, report, err = s.importServices(ctx, scope, rows, report, by, opt)
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

// goesOn reports whether an import goes on with what the report leaves of the file.
func (o ImportOptions) goesOn(report *review.Report) bool {
	return report.OK() || o.SkipBad && !report.Condemned()
}

// told is what the audit log says of an import: no names, no addresses, but which file it was.
func (r *Rows) told(result Result, base int64, n int) map[string]any {
	detail := map[string]any{
		"file": mailSign.Replace(review.Visible(r.Name, 200)), "rows": r.Len(),
		"added": result.Added, "changed": result.Changed, "leavers": result.Leavers, "unchanged": result.Unchanged, "refused": result.Refused,
		"feed_from": base + 1, "feed_to": base + int64(n),
	}
	if r.SHA256 != "" {
		detail["sha256"] = r.SHA256
	}
	return detail
}
