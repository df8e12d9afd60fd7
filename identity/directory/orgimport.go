package directory

import (
	"context"
	"database/sql"
	"slices"
	"strings"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/directory/review"
	"github.com/musubi-hub/musubi/identity/directory/table"
	"github.com/musubi-hub/musubi/policies"
)

// orgChange is one organization as it was (zero when added) and as it shall be.
type orgChange struct {
	before, after identity.Organization
}

func (s *Store) importOrganizations(ctx context.Context, scope policies.Scope, rows *Rows, report *review.Report, by Author, progress Progress, dryRun bool) (Result, error) {
	total := int64(len(rows.Orgs))
	if len(rows.Orgs) > MaxOrganizationRows {
		report.Stop(0, table.TooManyRows(MaxOrganizationRows))
		return Result{}, nil
	}
	progress(0, total, StageCompare)
	have, err := allOrganizations(ctx, s.db.Reader())
	if err != nil {
		return Result{}, err
	}
	tried := report.Clone()
	changes, result := compareOrganizations(scope, rows.Orgs, have, tried)
	progress(total, total, StageCompare)
	if dryRun || !tried.OK() || len(changes) == 0 {
		*report = *tried
		result.Published = !dryRun && report.OK()
		return result, nil
	}
	progress(0, total, StagePublish)
	err = s.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		// Numbers first: from here on nobody else changes the directory. What was read before is read again under that lock.
		base, err := takeNumbers(ctx, tx, 0)
		if err != nil {
			return err
		}
		have, err := allOrganizations(ctx, tx)
		if err != nil {
			return err
		}
		tried = report.Clone()
		changes, result = compareOrganizations(scope, rows.Orgs, have, tried)
		if !tried.OK() {
			return nil
		}
		if _, err := takeNumbers(ctx, tx, len(changes)); err != nil {
			return err
		}
		return s.publishOrganizations(ctx, tx, base, changes, by)
	})
	if err != nil {
		return Result{}, err
	}
	*report = *tried
	result.Published = report.OK()
	progress(total, total, StagePublish)
	return result, nil
}

func allOrganizations(ctx context.Context, q querier) (map[policies.OrgID]identity.Organization, error) {
	all := map[policies.OrgID]identity.Organization{}
	err := each(ctx, q, sqlText(orgSelect), func(rows *sql.Rows) error {
		o, err := scanOrganization(rows)
		all[o.ID] = o
		return err
	})
	return all, err
}

// compareOrganizations sorts the rows into added, changed and unchanged, and refuses what doesn't fit. have is the whole directory: a
// parent may lie outside the scope.
func compareOrganizations(scope policies.Scope, rows []OrgRow, have map[policies.OrgID]identity.Organization, report *review.Report) ([]orgChange, Result) {
	inFile := make(map[policies.OrgID]policies.OrgKind, len(rows))
	for _, row := range rows {
		inFile[row.Organization.ID] = row.Organization.Kind
	}
	var changes []orgChange
	var result Result
	for _, row := range rows {
		after := row.Organization
		before, exists := have[after.ID]
		if faults := placeOrganization(scope, after, before, exists, inFile, have); faults != nil {
			for _, f := range faults {
				report.Refuse(row.Line, f)
			}
			continue
		}
		keepUnwritten(&after, before, exists, row.Derived)
		after.UpdatedAt = before.UpdatedAt
		switch {
		case !exists:
			result.Added++
			changes = append(changes, orgChange{after: after})
		case after != before:
			result.Changed++
			changes = append(changes, orgChange{before: before, after: after})
		default:
			result.Unchanged++
		}
	}
	return changes, result
}

// keepUnwritten gives an organization what its row has no column for.
func keepUnwritten(o *identity.Organization, before identity.Organization, exists, derived bool) {
	if !exists {
		o.State = identity.OnboardingListed
		return
	}
	if derived {
		o.Kana = before.Kana
	}
	o.From, o.Until, o.Successor, o.State, o.Duty, o.Night = before.From, before.Until, before.Successor, before.State, before.Duty, before.Night
}

func placeOrganization(scope policies.Scope, o, before identity.Organization, exists bool, inFile map[policies.OrgID]policies.OrgKind, have map[policies.OrgID]identity.Organization) []fault {
	if !scope.Covers(o.ID) {
		return []fault{outsideScope("code", string(o.ID))}
	}
	var faults []fault
	if exists && before.Kind != o.Kind {
		faults = append(faults, fault{
			Column: "kind", Value: string(o.Kind),
			Reason: review.Say("登録済みの種別 "+string(before.Kind)+" と違います", "it is registered with the kind "+string(before.Kind)),
			Remedy: review.Say("種別かコードを直してください (種別は変えられません)", "correct the kind or the code (a kind never changes)"),
		})
	}
	if o.Parent == "" {
		return faults
	}
	kind, ok := inFile[o.Parent]
	if !ok {
		var parent identity.Organization
		parent, ok = have[o.Parent]
		kind = parent.Kind
	}
	if !ok {
		return append(faults, unknownOrganization("parent", string(o.Parent)))
	}
	if f := family(o.Kind, kind, o.Parent); f != nil {
		faults = append(faults, *f)
	}
	return faults
}

// publishOrganizations writes the changes and their feed rows, numbered from base+1.
func (s *Store) publishOrganizations(ctx context.Context, tx *sql.Tx, base int64, changes []orgChange, by Author) error {
	at := s.micros()
	columns := append(slices.Clone(orgData), "updated_at", "change")
	var set []string
	for _, column := range columns[2:] { // a number and its kind never change
		set = append(set, column+" = excluded."+column)
	}
	_, err := s.db.Bulk(ctx, tx, "org", columns, "ON CONFLICT (id) DO UPDATE SET "+strings.Join(set, ", "), func(yield func([]any) bool) {
		for i, c := range changes {
			if !yield(append(orgValues(&c.after), at, base+int64(i)+1)) {
				return
			}
		}
	})
	if err != nil {
		return err
	}
	_, err = s.db.Bulk(ctx, tx, "feed", feedColumns, "", func(yield func([]any) bool) {
		for i, c := range changes {
			row := Change{
				Number: base + int64(i) + 1, At: at, Author: by, Kind: OrgAdded, Org: c.after.ID, Object: string(c.after.ID), After: orgJSON(&c.after),
			}
			if c.before.ID != "" {
				row.Kind, row.Before = OrgChanged, orgJSON(&c.before)
			}
			if !yield(row.values()) {
				return
			}
		}
	})
	return err
}
