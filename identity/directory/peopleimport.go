package directory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/directory/review"
	"github.com/musubi-hub/musubi/policies"
)

const (
	importTries = 3
	cleanWithin = 10 * time.Second // after an import failed or was cancelled
)

// errMoved says that the directory changed under the import since it was compared.
var errMoved = errors.New("the directory changed since the rows were compared")

func (s *Store) importPeople(ctx context.Context, scope policies.Scope, rows *Rows, report *review.Report, by Author, progress Progress, dryRun bool) (Result, *review.Report, error) {
	have, err := allOrganizations(ctx, s.db.Reader())
	if err != nil {
		return Result{}, report, err
	}
	good := placePeople(scope, rows.People, have, report)
	if !dryRun {
		if err := s.Sweep(ctx); err != nil {
			return Result{}, report, err
		}
	}
	for range importTries {
		tried := report.Clone()
		c, err := s.compare(ctx, scope, good, tried, progress)
		if err != nil || dryRun || !tried.OK() {
			return c.result, tried, err
		}
		err = s.bringIn(ctx, c, by, progress)
		if err == nil {
			c.result.Published = true
			return c.result, tried, nil
		}
		if !errors.Is(err, errMoved) {
			return Result{}, report, err
		}
		// Somebody else changed the directory since: compare again, and report what that brings.
	}
	return Result{}, report, ErrImportBusy
}

// placePeople keeps the rows whose organization the scope covers and the directory knows. It gives rows itself if it keeps all.
func placePeople(scope policies.Scope, rows []PersonRow, have map[policies.OrgID]identity.Organization, report *review.Report) []PersonRow {
	var good []PersonRow
	kept := 0 // rows before the first refused one
	for i, row := range rows {
		var faults []fault
		org, known := have[row.Person.Org]
		switch {
		case !scope.Covers(row.Person.Org):
			faults = []fault{outsideScope("org", string(row.Person.Org))}
		case !known:
			faults = []fault{unknownOrganization("org", string(row.Person.Org))}
		default:
			faults = rank(org.Kind, &row.Person)
		}
		for _, f := range faults {
			report.Refuse(row.Line, f)
		}
		switch {
		case faults == nil && kept == i:
			kept++
		case faults == nil:
			good = append(good, row)
		}
	}
	if kept == len(rows) {
		return rows
	}
	return slices.Concat(rows[:kept], good)
}

// bringIn stages what a comparison found and publishes it. Nothing is left in staging, also when ctx is cancelled; what a crash
// leaves, Sweep finds.
func (s *Store) bringIn(ctx context.Context, c *comparison, by Author, progress Progress) (err error) {
	if len(c.changes) == 0 {
		return nil
	}
	b, err := s.openBatch(ctx)
	if err != nil {
		return err
	}
	published := false
	defer func() {
		if published {
			return
		}
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanWithin)
		defer cancel()
		if e := s.dropBatch(clean, b, progress); e != nil && err == nil {
			err = e
		}
	}()
	if err := s.stage(ctx, b, c, progress); err != nil {
		return err
	}
	progress(0, int64(len(c.changes)), StagePublish)
	if err := s.publishWhenFree(ctx, b, c, by); err != nil {
		return err
	}
	published = true
	progress(int64(len(c.changes)), int64(len(c.changes)), StagePublish)
	// From here on everything has happened, and a hub settles what is left if this process can't.
	if _, err := s.settleAll(ctx, progress); err != nil && ctx.Err() == nil {
		return fmt.Errorf("everything is imported, but not yet in its final place; the hub goes on with that: %w", err)
	}
	return nil
}

// refuseCollision says who has the address, as far as the scope may know.
func refuseCollision(report *review.Report, scope policies.Scope, row PersonRow, other identity.Person) {
	reason := review.Say("ほかの組織の在職者が使っているメールアドレスです", "somebody in service in another organization has this e-mail address")
	if scope.Covers(other.Org) {
		who := fmt.Sprintf("%s / %s", other.Org, review.Visible(other.StaffNumber, review.MaxShown))
		reason = review.Say("在職者 ("+who+") が使っているメールアドレスです", "somebody in service ("+who+") has this e-mail address")
	}
	report.Refuse(row.Line, fault{
		Column: "email", Value: row.Person.Email, Reason: reason,
		Remedy: review.Say(
			"別のアドレスにするか、先にその職員の在職を終了するかアドレスを変えてください",
			"write another address, or first end that person's service or change their address",
		),
	})
}

func refuseReturned(report *review.Report, row PersonRow) {
	report.Refuse(row.Line, fault{
		Column: "staff_number", Value: row.Person.StaffNumber,
		Reason: review.Say("在職を終了した職員の職員番号です", "this staff number belongs to a person whose service has ended"),
		Remedy: review.Say("新しい職員番号を書くか、行を消してください", "write a new staff number, or delete the row"),
	})
}

func noteEnded(report *review.Report, row PersonRow) {
	report.Note(row.Line, review.Say(
		"在職を終了した職員の行です。終了のままにします",
		"this person's service has ended; it stays ended",
	))
}

// publishWhenFree publishes as soon as no other import is unsettled and the comparison is up to now.
func (s *Store) publishWhenFree(ctx context.Context, batch int64, c *comparison, by Author) error {
	// Every read will go through the staged rows: the planner must know how many they are.
	if err := s.db.Analyze(ctx, "staged_person"); err != nil {
		return err
	}
	for {
		if _, err := s.Settle(ctx); err != nil {
			return err
		}
		if err := s.follow(ctx, c); err != nil {
			return err
		}
		err := s.publish(ctx, batch, c, by)
		if !errors.Is(err, errUnsettled) && !errors.Is(err, errBehind) {
			return err
		}
	}
}
