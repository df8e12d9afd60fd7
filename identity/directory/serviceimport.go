package directory

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/directory/review"
	"github.com/musubi-hub/musubi/identity/directory/table"
	"github.com/musubi-hub/musubi/identity/jst"
	"github.com/musubi-hub/musubi/policies"
)

// serviceChange is one service as it was (zero when added) and as it shall be. Contractor, organization and beginning say which it is.
type serviceChange struct {
	line          int
	name          string // of the contractor
	before, after identity.Service
}

func (c serviceChange) kind() ChangeKind {
	if c.before.Contractor == "" {
		return ServiceAdded
	}
	return ServiceChanged
}

// pair is a contractor and an organization that it serves.
type pair struct{ contractor, org policies.OrgID }

func (s *Store) importServices(ctx context.Context, scope policies.Scope, rows *Rows, read *review.Report, by Author, opt ImportOptions) (Result, *review.Report, error) {
	total := int64(len(rows.Services))
	if len(rows.Services) > MaxServiceRows {
		read.Stop(0, table.TooManyRows(MaxServiceRows))
		return Result{}, read, nil
	}
	opt.Progress(0, total, StageCompare)
	report := read.Clone()
	changes, result, err := rows.judgeServices(ctx, s.db.Reader(), scope, opt.SkipBad, report)
	if err != nil {
		return Result{}, read, err
	}
	opt.Progress(total, total, StageCompare)
	if !opt.goesOn(report) {
		return result, report, nil
	}
	if opt.Difference != nil {
		for _, c := range changes {
			d := Difference{
				Line: c.line, Kind: c.kind(), Org: c.after.Org, Object: string(c.after.Contractor), Fields: differ(serviceColumns, &c.before, &c.after),
				Name: c.name + " " + jst.Date(c.after.From) + " 〜 " + jst.Date(c.after.Until),
			}
			if err := opt.Difference(d); err != nil {
				return Result{}, read, err
			}
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
		report = read.Clone()
		if changes, result, err = rows.judgeServices(ctx, tx, scope, opt.SkipBad, report); err != nil {
			return err
		}
		result.Refused = report.Refused()
		if !opt.goesOn(report) || len(changes) == 0 {
			return nil
		}
		if _, err := takeNumbers(ctx, tx, len(changes)); err != nil {
			return err
		}
		if err := s.publishServices(ctx, tx, base, changes, by); err != nil {
			return err
		}
		var only policies.OrgID
		if len(changes) == 1 {
			only = changes[0].after.Org
		}
		return s.audit(ctx, tx, by, "service.import", only, "", rows.told(result, base, len(changes)))
	})
	if err != nil {
		return Result{}, read, err
	}
	result.Published = opt.goesOn(report)
	opt.Progress(total, total, StagePublish)
	return result, report, nil
}

// judgeServices sorts the rows into added, changed and unchanged, and refuses what doesn't fit. It looks at all organizations and services: a
// contractor may lie outside the scope.
func (r *Rows) judgeServices(ctx context.Context, q querier, scope policies.Scope, skipBad bool, report *review.Report) ([]serviceChange, Result, error) {
	orgs, err := allOrganizations(ctx, q)
	if err != nil {
		return nil, Result{}, err
	}
	have := map[pair]map[int64]identity.Service{} // by their beginnings
	err = each(ctx, q, sqlText("SELECT contractor, org, valid_from, valid_until FROM service WHERE 1=1"), func(rows *sql.Rows) error {
		var contractor, org string
		var v identity.Service
		if err := rows.Scan(&contractor, &org, &v.From, &v.Until); err != nil {
			return fmt.Errorf("directory: read services: %w", err)
		}
		v.Contractor, v.Org = policies.OrgID(contractor), policies.OrgID(org)
		put(have, v)
		return nil
	})
	if err != nil {
		return nil, Result{}, err
	}
	changes, result := r.settleServices(scope, orgs, have, skipBad, report)
	return changes, result, nil
}

// settleServices judges the rows beside what the directory has. Where bad rows are skipped, a period that a refused row would have shortened
// stays as it is: rows are looked at until none more is refused.
func (r *Rows) settleServices(
	scope policies.Scope, orgs map[policies.OrgID]identity.Organization, have map[pair]map[int64]identity.Service, skipBad bool, report *review.Report,
) ([]serviceChange, Result) {
	dropped := map[int][]fault{}
	for {
		tried, n := report.Clone(), len(dropped)
		changes, result := r.compareServices(scope, orgs, have, dropped, tried)
		if len(dropped) == n || !skipBad {
			*report = *tried
			return changes, result
		}
	}
}

func put(m map[pair]map[int64]identity.Service, v identity.Service) {
	k := pair{v.Contractor, v.Org}
	if m[k] == nil {
		m[k] = map[int64]identity.Service{}
	}
	m[k][v.From] = v
}

// compareServices judges the rows beside what the directory has once the rows that aren't dropped are in it, and drops those that it refuses.
func (r *Rows) compareServices(
	scope policies.Scope, orgs map[policies.OrgID]identity.Organization, have map[pair]map[int64]identity.Service, dropped map[int][]fault, report *review.Report,
) (changes []serviceChange, result Result) {
	lines := map[pair]map[int64]int{} // of the rows that change something
	then := map[pair]map[int64]identity.Service{}
	rows := make([]identity.Service, len(r.Services))
	placed := make([][]fault, len(r.Services))
	for i, row := range r.Services {
		v := row.Service
		k := pair{v.Contractor, v.Org}
		if !r.serviceEnds {
			v.Until = have[k][v.From].Until
		}
		rows[i] = v
		if placed[i] = placeService(scope, v, orgs); placed[i] != nil || dropped[row.Line] != nil || have[k][v.From] == v {
			continue
		}
		if lines[k] == nil {
			lines[k] = map[int64]int{}
		}
		lines[k][v.From] = row.Line
		put(then, v)
	}
	for k, periods := range have {
		for from, v := range periods {
			if _, said := then[k][from]; !said {
				put(then, v)
			}
		}
	}
	for i, row := range r.Services {
		v, faults := rows[i], placed[i]
		before, exists := have[pair{v.Contractor, v.Org}][v.From]
		switch {
		case dropped[row.Line] != nil:
			faults = dropped[row.Line]
		case faults == nil && before != v:
			faults = overlap(v, row.Line, then[pair{v.Contractor, v.Org}], lines[pair{v.Contractor, v.Org}])
		}
		if faults != nil {
			for _, f := range faults {
				report.Refuse(row.Line, f)
			}
			dropped[row.Line] = faults
			continue
		}
		switch {
		case !exists:
			result.Added++
		case before != v:
			result.Changed++
		default:
			result.Unchanged++
			continue
		}
		changes = append(changes, serviceChange{row.Line, orgs[v.Contractor].Name, before, v})
	}
	return changes, result
}

// placeService says what is wrong with a row beside the organizations.
func placeService(scope policies.Scope, v identity.Service, orgs map[policies.OrgID]identity.Organization) (faults []fault) {
	if !scope.Covers(v.Org) {
		return []fault{outsideScope("org", string(v.Org))}
	}
	contractor, ok := orgs[v.Contractor]
	if !ok {
		faults = append(faults, unknownOrganization("contractor", string(v.Contractor)))
	}
	org, known := orgs[v.Org]
	if !known {
		faults = append(faults, unknownOrganization("org", string(v.Org)))
	}
	if faults == nil {
		faults = sides(contractor, org)
	}
	return faults
}

// overlap refuses a period that has a moment in common with another of the same pair; lines has those that are rows of the file. Of two
// rows that overlap the later one is refused.
func overlap(v identity.Service, line int, others map[int64]identity.Service, lines map[int64]int) []fault {
	for _, from := range slices.Sorted(maps.Keys(others)) {
		other, at := others[from], lines[from]
		if from == v.From || at > line || v.Until != 0 && from >= v.Until || other.Until != 0 && v.From >= other.Until {
			continue
		}
		period := jst.Date(from) + " 〜 " + jst.Date(other.Until)
		f := fault{
			Column: "from", Value: jst.Date(v.From) + " 〜 " + jst.Date(v.Until),
			Reason: review.Say("登録済みの期間 "+period+" と重なっています", "it overlaps with the period "+period+" that is registered"),
			Remedy: review.Say("日付を直すか、登録済みの期間の終わりも同じファイルに書いてください", "correct the dates, or also write the end of that period in the file"),
		}
		if at > 0 {
			f.Reason = review.Say(fmt.Sprintf("%d 行目の期間 %s と重なっています", at, period), fmt.Sprintf("it overlaps with the period %s of line %d", period, at))
			f.Remedy = review.Say("どちらかの行の日付を直してください", "correct the dates of one of the two rows")
		}
		return []fault{f}
	}
	return nil
}

// publishServices writes the changes and their feed rows, numbered from base+1.
func (s *Store) publishServices(ctx context.Context, tx *sql.Tx, base int64, changes []serviceChange, by Author) error {
	at := s.micros()
	_, err := s.db.Bulk(ctx, tx, "service", []string{"contractor", "org", "valid_from", "valid_until"},
		"ON CONFLICT (contractor, org, valid_from) DO UPDATE SET valid_until = excluded.valid_until", func(yield func([]any) bool) {
			for _, c := range changes {
				if !yield([]any{string(c.after.Contractor), string(c.after.Org), c.after.From, c.after.Until}) {
					return
				}
			}
		})
	if err != nil {
		return err
	}
	_, err = s.db.Bulk(ctx, tx, "feed", feedColumns, "", func(yield func([]any) bool) {
		for i, c := range changes {
			var was *serviceRecord
			if c.kind() != ServiceAdded {
				r := serviceOf(c.before)
				was = &r
			}
			if !yield(serviceOf(c.after).change(base+int64(i)+1, at, c.kind(), was, by).values()) {
				return
			}
		}
	})
	return err
}
