package directory

import (
	"context"
	"database/sql"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/directory/review"
	"github.com/musubi-hub/musubi/policies"
)

// comparison is what a file would change, as of the feed number head.
type comparison struct {
	head    int64
	result  Result
	rows    []PersonRow
	found   []found          // per row
	staff   map[staffKey]int // index of the row
	email   map[string]int   // index of the row, by emailKey
	ids     map[policies.PersonID]bool
	changes []int // indexes of the rows that are new or say something new
}

// found is the person of the directory who has a row's staff number.
type found struct {
	id      policies.PersonID // empty for nobody
	base    int64             // number of the person's last change; 0 for nobody
	outcome outcome
}

type outcome uint8

const (
	added     outcome = iota // nobody has the staff number
	changed                  // somebody in service has it, and other data
	unchanged                // somebody in service has it, and all the same data
	ended                    // somebody ended has it, and all the same data
	returned                 // somebody ended has it, and other data
	collided                 // somebody else in service has the e-mail address
)

// compare reads the people of the directory once, as of one moment, beside the rows, which must each have a staff number and an
// e-mail address of their own. It looks beyond the scope, as e-mail addresses are unique in the whole directory, and tells of nobody
// outside it.
func (s *Store) compare(ctx context.Context, scope policies.Scope, rows []PersonRow, report *review.Report, progress Progress) (*comparison, error) {
	c := newComparison(rows)
	if len(rows) == 0 {
		return c, nil
	}
	// The head first: whatever happens after it shows in the feed when publishing.
	var err error
	if c.head, err = feedHead(ctx, s.db.Reader()); err != nil {
		return c, err
	}
	total := int64(len(rows))
	progress(0, total, StageCompare)
	collisions := map[int]identity.Person{}
	query := sqlText("SELECT " + personColumnList + ", p.change FROM person_now p WHERE 1=1")
	err = each(ctx, s.db.Reader(), query, func(r *sql.Rows) error {
		var base int64
		p, err := scanPerson(withChange{r, &base})
		if err != nil {
			return err
		}
		if i := c.meet(p, base); i >= 0 {
			collisions[i] = p
		}
		return nil
	})
	if err != nil {
		return c, err
	}
	c.finish(scope, collisions, report)
	progress(total, total, StageCompare)
	return c, nil
}

// withChange scans one column more than a person has.
type withChange struct {
	rows   *sql.Rows
	change *int64
}

func (w withChange) Scan(dest ...any) error { return w.rows.Scan(append(dest, w.change)...) }

func newComparison(rows []PersonRow) *comparison {
	c := &comparison{
		rows: rows, ids: map[policies.PersonID]bool{}, found: make([]found, len(rows)), staff: make(map[staffKey]int, len(rows)), email: make(map[string]int, len(rows)),
	}
	for i, row := range rows {
		c.staff[staffKey{row.Person.Org, row.Person.StaffNumber}] = i
		c.email[emailKey(row.Person.Email)] = i
	}
	return c
}

// meet compares one person of the directory with the rows. It returns the index of another person's row that wants the e-mail address
// of this one, who keeps it; -1 if there is none.
func (c *comparison) meet(p identity.Person, base int64) (collision int) {
	own, inFile := c.staff[staffKey{p.Org, p.StaffNumber}]
	if inFile {
		q := c.rows[own].Person
		q.ID, q.EndedAt, q.UpdatedAt = p.ID, p.EndedAt, p.UpdatedAt
		f := found{id: p.ID, base: base, outcome: changed}
		switch same := p == q; {
		case p.Active() && same:
			f.outcome = unchanged
		case !p.Active() && same:
			f.outcome = ended
		case !p.Active():
			f.outcome = returned
		}
		c.found[own], c.ids[p.ID] = f, true
	}
	if !p.Active() {
		return -1
	}
	wants, wanted := c.email[emailKey(p.Email)]
	if !wanted || inFile && wants == own {
		return -1
	}
	if inFile && emailKey(c.rows[own].Person.Email) != emailKey(p.Email) {
		return -1 // the same file gives this person another address
	}
	return wants
}

// finish counts, refuses and collects the changes, in the order of the rows.
func (c *comparison) finish(scope policies.Scope, collisions map[int]identity.Person, report *review.Report) {
	for i, row := range c.rows {
		f := &c.found[i]
		if other, ok := collisions[i]; ok && (f.outcome == added || f.outcome == changed) {
			f.outcome = collided
			refuseCollision(report, scope, row, other)
		}
		switch f.outcome {
		case added:
			c.result.Added++
			c.changes = append(c.changes, i)
		case changed:
			c.result.Changed++
			c.changes = append(c.changes, i)
		case unchanged:
			c.result.Unchanged++
		case ended:
			c.result.Ended++
			noteEnded(report, row)
		case returned:
			refuseReturned(report, row)
		}
	}
}

// touches reports whether a change of this person would have mattered to the comparison.
func (c *comparison) touches(id policies.PersonID, org policies.OrgID, staffNumber, email string) bool {
	if _, ok := c.staff[staffKey{org, staffNumber}]; ok || c.ids[id] {
		return true
	}
	_, ok := c.email[email]
	return ok
}
