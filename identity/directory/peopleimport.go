package directory

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
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

// mailSign keeps a file's name out of the way of those who look for e-mail addresses where none belong.
var mailSign = strings.NewReplacer("@", "(at)")

func (s *Store) importPeople(ctx context.Context, scope policies.Scope, rows *Rows, read *review.Report, by Author, opt ImportOptions) (Result, *review.Report, error) {
	if opt.Complete && s.enqueuer == nil && !opt.DryRun {
		return Result{}, read, errors.New("this process has no job queue to hand the leavers to")
	}
	if !opt.DryRun {
		if err := s.Sweep(ctx); err != nil {
			return Result{}, read, err
		}
	}
	for range importTries {
		report := read.Clone()
		c, err := s.place(ctx, scope, rows, opt, report)
		if err != nil {
			return Result{}, read, err
		}
		if err := s.compare(ctx, scope, c, report); err != nil {
			return Result{}, read, err
		}
		c.result.Refused = report.Refused()
		if !opt.goesOn(report) {
			return c.result, report, nil
		}
		if opt.Difference != nil {
			if err := s.differences(ctx, c); err != nil && !errors.Is(err, errMoved) {
				return Result{}, read, err
			} else if err != nil {
				continue
			}
		}
		if opt.DryRun {
			return c.result, report, nil
		}
		err = s.bringIn(ctx, c, rows, by)
		if err == nil {
			c.result.Published = true
			return c.result, report, nil
		}
		if !errors.Is(err, errMoved) {
			return Result{}, read, err
		}
		// Somebody else changed the directory since: compare again, and report what that brings.
	}
	return Result{}, read, ErrImportBusy
}

// place begins a comparison with the rows whose organization the scope covers and the directory knows; the others are refused.
func (s *Store) place(ctx context.Context, scope policies.Scope, rows *Rows, opt ImportOptions, report *review.Report) (*comparison, error) {
	have, err := allOrganizations(ctx, s.db.Reader())
	if err != nil {
		return nil, err
	}
	c := &comparison{
		opt: opt, now: s.micros(), people: &rows.people, found: make([]found, len(rows.people.rows)), ids: map[digest]struct{}{},
		orgs: map[policies.OrgID]*office{}, faults: map[int][]fault{}, taken: map[int]holder{}, aliases: map[digest]int{},
	}
	for i := range c.found {
		p := c.people.person(i)
		faults := placePerson(scope, &p, have, c.now)
		for _, f := range faults {
			report.Refuse(int(c.people.rows[i].line), f)
		}
		if faults != nil {
			c.found[i].outcome = refused
			continue
		}
		if c.orgs[p.Org] == nil {
			c.orgs[p.Org] = newOffice(have[p.Org].Kind, opt.Complete)
		}
	}
	for _, id := range opt.CompleteOf {
		switch _, known := have[id]; {
		case !scope.Covers(id):
			report.Stop(0, outsideScope("org", string(id)))
		case !known:
			report.Stop(0, unknownOrganization("org", string(id)))
		default:
			c.orgs[id] = newOffice(have[id].Kind, true)
		}
	}
	q := sqlText("SELECT org, person FROM appointment WHERE 1=1")
	q.and("kind = ?", string(identity.AppointmentCaretaker))
	q.and("valid_from <= ?", c.now)
	q.and("(valid_until = 0 OR valid_until > ?)", c.now)
	return c, each(ctx, s.db.Reader(), q, func(rows *sql.Rows) error {
		var org, person string
		err := rows.Scan(&org, &person)
		if o := c.orgs[policies.OrgID(org)]; o != nil && o.role == policies.RoleAdministrator {
			o.caretakers++ // those of the operating agency can't do its administrators' work
		}
		return err
	})
}

func newOffice(kind policies.OrgKind, complete bool) *office {
	return &office{complete: complete, role: administratorRole(kind), needed: administratorsNeeded(kind)}
}

func placePerson(scope policies.Scope, p *identity.Person, have map[policies.OrgID]identity.Organization, now int64) []fault {
	org, known := have[p.Org]
	switch {
	case !scope.Covers(p.Org):
		return []fault{outsideScope("org", string(p.Org))}
	case !known:
		return []fault{unknownOrganization("org", string(p.Org))}
	case !org.Exists(now):
		return []fault{notExisting("org", org, now)}
	}
	return rank(org.Kind, p)
}

// bringIn stages what a comparison found, publishes it and settles it.
func (s *Store) bringIn(ctx context.Context, c *comparison, rows *Rows, by Author) error {
	if len(c.leavers)+len(c.changes) == 0 {
		return nil
	}
	if err := s.bringLive(ctx, c, rows, by); err != nil {
		return err
	}
	// From here on everything has happened, and a hub settles what is left if this process can't.
	if _, err := s.settleAll(ctx, c.opt.Progress); err != nil && ctx.Err() == nil {
		return fmt.Errorf("everything is imported, but not yet in its final place; the hub goes on with that: %w", err)
	}
	return nil
}

// bringLive stages and publishes. Nothing is left in staging if it fails before publishing, also when ctx is cancelled; what a crash leaves,
// Sweep finds.
func (s *Store) bringLive(ctx context.Context, c *comparison, rows *Rows, by Author) (err error) {
	n := len(c.leavers) + len(c.changes)
	b, err := s.openBatch(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if err == nil {
			return
		}
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanWithin)
		defer cancel()
		if e := s.dropBatch(clean, b, c.opt.Progress); e != nil {
			err = errors.Join(err, e)
		}
	}()
	if err := s.stage(ctx, b, c); err != nil {
		return err
	}
	c.opt.Progress(0, int64(n), StagePublish)
	record := func(base int64) map[string]any { return rows.told(c.result, base, n) }
	if err := s.publishWhenFree(ctx, b, c, by, record); err != nil {
		return err
	}
	c.opt.Progress(int64(n), int64(n), StagePublish)
	return nil
}

// publishWhenFree publishes as soon as no other import is unsettled and the comparison is up to now.
func (s *Store) publishWhenFree(ctx context.Context, batch int64, c *comparison, by Author, record func(base int64) map[string]any) error {
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
		err := s.publish(ctx, batch, c, by, record)
		if !errors.Is(err, errUnsettled) && !errors.Is(err, errBehind) {
			return err
		}
	}
}

// Difference is one change that an import makes, or would make.
type Difference struct {
	Line   int        // of the file; 0 for somebody who leaves because they are not in it
	Kind   ChangeKind // PersonAdded, PersonChanged, PersonEnded; OrgAdded, OrgChanged; ServiceAdded, ServiceChanged
	Org    policies.OrgID
	Object string // staff number, organization or contractor
	Name   string
	Fields []FieldDifference // none for somebody who leaves
}

// FieldDifference is one value that changes, as a file writes it.
type FieldDifference struct {
	Column string
	JA     string // the column in Japanese
	Old    string
	New    string
}

// differences tells what a comparison found, in the order in which it will be staged.
func (s *Store) differences(ctx context.Context, c *comparison) error {
	return s.eachChange(ctx, c, func(first int, part []change) error {
		for _, ch := range part {
			d := Difference{Line: ch.line, Kind: ch.kind, Org: ch.after.Org, Object: ch.after.StaffNumber, Name: ch.after.DisplayName()}
			if ch.kind != PersonEnded {
				d.Fields = differ(personColumns, &ch.before, &ch.after)
			}
			if err := c.opt.Difference(d); err != nil {
				return err
			}
		}
		return nil
	}, func() int { return 1000 })
}

func differ[T any](columns []column[T], before, after *T) []FieldDifference {
	var list []FieldDifference
	for _, column := range columns {
		if column.only {
			continue
		}
		if b, a := column.cell(before), column.cell(after); a != b {
			list = append(list, FieldDifference{column.name, column.ja, b, a})
		}
	}
	return list
}

// change is one person as they were (zero when added) and as they shall be.
type change struct {
	line          int
	kind          ChangeKind
	base          int64
	before, after identity.Person
}

// eachChange reads what the people were, part by part, and hands the changes over: leavers first, then the rows of the file. first is the number of
// changes in the parts before. errMoved if somebody isn't any more what they were when they were compared.
func (s *Store) eachChange(ctx context.Context, c *comparison, fn func(first int, part []change) error, size func() int) error {
	total := len(c.leavers) + len(c.changes)
	for from := 0; from < total; {
		to := min(from+size(), total)
		part := make([]change, 0, to-from)
		var ids []any
		for n := from; n < to; n++ {
			if n < len(c.leavers) {
				part = append(part, change{kind: PersonEnded, base: c.leavers[n].base, after: identity.Person{ID: c.leavers[n].id}})
				ids = append(ids, string(c.leavers[n].id))
				continue
			}
			i := int(c.changes[n-len(c.leavers)])
			ch := change{line: int(c.people.rows[i].line), kind: PersonAdded, base: c.found[i].base, after: identity.Person{ID: c.found[i].id}}
			if ch.after.ID != "" {
				ch.kind = PersonChanged
				ids = append(ids, string(ch.after.ID))
			}
			part = append(part, ch)
		}
		were, err := s.were(ctx, ids)
		if err != nil {
			return err
		}
		for k := range part {
			ch := &part[k]
			if ch.kind != PersonAdded {
				was, ok := were[ch.after.ID]
				if !ok || was.base != ch.base || !was.before.Active() {
					return errMoved
				}
				ch.before = was.before
			}
			if n := from + k; ch.kind == PersonEnded {
				ch.after = ch.before
				ch.after.EndedAt = c.now
			} else {
				ch.after = c.merged(int(c.changes[n-len(c.leavers)]), ch.before)
			}
		}
		if err := fn(from, part); err != nil {
			return err
		}
		from = to
	}
	return nil
}

// were reads people with the numbers of their last changes.
func (s *Store) were(ctx context.Context, ids []any) (map[policies.PersonID]change, error) {
	were := make(map[policies.PersonID]change, len(ids))
	for part := range slices.Chunk(ids, 500) {
		q := sqlText("SELECT " + personColumnList + ", p.change FROM " + personTable + " p WHERE 1=1")
		q.and("p.id IN (?"+strings.Repeat(",?", len(part)-1)+")", part...)
		err := each(ctx, s.db.Reader(), q, scanWere(were))
		if err != nil {
			return nil, err
		}
	}
	return were, nil
}
