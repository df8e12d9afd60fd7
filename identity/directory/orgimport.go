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
	line          int
	before, after identity.Organization
}

func (s *Store) importOrganizations(ctx context.Context, scope policies.Scope, rows *Rows, read *review.Report, by Author, opt ImportOptions) (Result, *review.Report, error) {
	total := int64(len(rows.Orgs))
	if len(rows.Orgs) > MaxOrganizationRows {
		read.Stop(0, table.TooManyRows(MaxOrganizationRows))
		return Result{}, read, nil
	}
	opt.Progress(0, total, StageCompare)
	have, err := allOrganizations(ctx, s.db.Reader())
	if err != nil {
		return Result{}, read, err
	}
	report := read.Clone()
	changes, result := compareOrganizations(scope, rows, have, opt.SkipBad, report)
	opt.Progress(total, total, StageCompare)
	if !opt.goesOn(report) {
		return result, report, nil
	}
	if opt.Difference != nil {
		if err := orgDifferences(changes, opt.Difference); err != nil {
			return Result{}, read, err
		}
	}
	if opt.DryRun || len(changes) == 0 {
		result.Published = !opt.DryRun
		return result, report, nil
	}
	opt.Progress(0, total, StagePublish)
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
		report = read.Clone()
		changes, result = compareOrganizations(scope, rows, have, opt.SkipBad, report)
		result.Refused = report.Refused()
		if !opt.goesOn(report) {
			return nil
		}
		if _, err := takeNumbers(ctx, tx, len(changes)); err != nil {
			return err
		}
		if err := s.publishOrganizations(ctx, tx, base, changes, by); err != nil {
			return err
		}
		var only policies.OrgID
		if len(changes) == 1 {
			only = changes[0].after.ID
		}
		return s.audit(ctx, tx, by, "org.import", only, "", rows.told(result, base, len(changes)))
	})
	if err != nil {
		return Result{}, read, err
	}
	result.Published = opt.goesOn(report)
	opt.Progress(total, total, StagePublish)
	return result, report, nil
}

func orgDifferences(changes []orgChange, tell func(Difference) error) error {
	for _, c := range changes {
		d := Difference{Line: c.line, Kind: OrgAdded, Org: c.after.ID, Object: string(c.after.ID), Name: c.after.Name, Fields: differ(orgColumns, &c.before, &c.after)}
		if c.before.ID != "" {
			d.Kind = OrgChanged
		}
		if err := tell(d); err != nil {
			return err
		}
	}
	return nil
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
func compareOrganizations(scope policies.Scope, rows *Rows, have map[policies.OrgID]identity.Organization, skipBad bool, report *review.Report) ([]orgChange, Result) {
	inFile := make(map[policies.OrgID]identity.Organization, len(rows.Orgs))
	for _, row := range rows.Orgs {
		inFile[row.Organization.ID] = row.Organization
	}
	// Where bad rows are skipped, a row that is refused is no parent for others: they are looked at until none more is refused.
	for {
		tried := report.Clone()
		n := len(inFile)
		changes, result := rows.compare(scope, inFile, have, tried)
		if len(inFile) == n || !skipBad {
			*report = *tried
			return changes, result
		}
	}
}

func (r *Rows) compare(scope policies.Scope, inFile, have map[policies.OrgID]identity.Organization, report *review.Report) (changes []orgChange, result Result) {
	for _, row := range r.Orgs {
		after := row.Organization
		before, exists := have[after.ID]
		r.keepUnwritten(&after, before, exists, row.Derived)
		after.UpdatedAt = before.UpdatedAt
		faults := placeOrganization(scope, after, before, exists, inFile, have)
		if len(faults) == 0 && after != before {
			faults = checkOrganization(&after) // beside what it keeps
		}
		if faults != nil {
			for _, f := range faults {
				report.Refuse(row.Line, f)
			}
			delete(inFile, after.ID)
			continue
		}
		switch {
		case !exists:
			result.Added++
			changes = append(changes, orgChange{line: row.Line, after: after})
		case after != before:
			result.Changed++
			changes = append(changes, orgChange{line: row.Line, before: before, after: after})
		default:
			result.Unchanged++
		}
	}
	return changes, result
}

// keepUnwritten gives an organization what the file has no column for.
func (r *Rows) keepUnwritten(o *identity.Organization, before identity.Organization, exists, derived bool) {
	if !exists {
		if o.State == "" {
			o.State = identity.OnboardingListed
		}
		return
	}
	if derived || !r.orgFields["kana"] {
		o.Kana = before.Kana
	}
	has := func(name string, keep func()) {
		if !r.orgFields[name] {
			keep()
		}
	}
	has("from", func() { o.From = before.From })
	has("until", func() { o.Until = before.Until })
	has("successor", func() { o.Successor = before.Successor })
	has("parent", func() { o.Parent = before.Parent })
	has("duty_name", func() { o.Duty.Name = before.Duty.Name })
	has("duty_phone", func() { o.Duty.Phone = before.Duty.Phone })
	has("duty_email", func() { o.Duty.Email = before.Duty.Email })
	has("night_name", func() { o.Night.Name = before.Night.Name })
	has("night_phone", func() { o.Night.Phone = before.Night.Phone })
	has("night_email", func() { o.Night.Email = before.Night.Email })
	if o.State == "" { // every organization has one
		o.State = before.State
	}
}

func placeOrganization(scope policies.Scope, o, before identity.Organization, exists bool, inFile, have map[policies.OrgID]identity.Organization) []fault {
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
	if o.Successor != "" && o.Successor != before.Successor {
		if next, ok := known(o.Successor, inFile, have); !ok {
			faults = append(faults, unknownOrganization("successor", string(o.Successor)))
		} else if !next.Exists(o.Until) {
			faults = append(faults, fault{
				Column: "successor", Value: string(o.Successor),
				Reason: review.Say("廃止日に存在しない組織です", "this organization doesn't exist on the day on which the other ceases"),
				Remedy: review.Say("承継団体コードか日付を直してください", "correct the successor or the dates"),
			})
		}
	}
	if o.Parent == "" {
		return faults
	}
	parent, ok := known(o.Parent, inFile, have)
	if !ok {
		return append(faults, unknownOrganization("parent", string(o.Parent)))
	}
	if f := family(o.Kind, parent.Kind, o.Parent); f != nil {
		faults = append(faults, *f)
	}
	return faults
}

func known(id policies.OrgID, inFile, have map[policies.OrgID]identity.Organization) (identity.Organization, bool) {
	o, ok := inFile[id]
	if !ok {
		o, ok = have[id]
	}
	return o, ok
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
