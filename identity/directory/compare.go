package directory

import (
	"bytes"
	"context"
	"database/sql"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/directory/review"
	"github.com/musubi-hub/musubi/policies"
)

// comparison is what a file would change, as of the feed number head.
type comparison struct {
	opt      ImportOptions
	now      int64
	head     int64
	result   Result
	people   *packed
	found    []found                    // per row
	ids      map[digest]struct{}        // of everybody whom the file speaks of, or whom it ends
	orgs     map[policies.OrgID]*office // the organizations that the file speaks of
	faults   map[int][]fault            // per row
	taken    map[int]holder             // per row: who keeps the e-mail address that it wants
	freed    []dependency               // rows that want an e-mail address which another row frees
	aliases  map[digest]int             // row of each alias, by its e-mail address
	changes  []int32                    // the rows that are new or say something new
	leavers  []leaver
	sections []int // rows whose mailbox seems to be a section's
}

// found is the person of the directory who has a row's staff number.
type found struct {
	id      policies.PersonID // empty for nobody
	base    int64             // number of the person's last change; 0 for nobody
	outcome outcome
	alias   bool // the row has the mailbox behind the person's alias: they keep it
	aliased bool // the person gets an alias of the shared mailbox in the row
	loses   bool // an administrator who won't be one
	gains   bool // the other way round
	moves   bool // the person gets another e-mail address
}

type outcome uint8

const (
	added     outcome = iota // nobody has the staff number
	changed                  // somebody in service has it, and other data
	unchanged                // somebody in service has it, and all the same data
	ended                    // somebody ended has it, and all the same data
	returned                 // somebody ended has it, and other data
	refused                  // for what stands in faults, or already when it was placed
)

// office is what a comparison finds out about one organization.
type office struct {
	complete       bool
	role           policies.Role // of its administrators
	needed         int           // administrators
	caretakers     int           // who stand in for them now
	administrators int           // in service now
	people         int           // in service now
	leavers        int
	leaving        int // administrators among them
}

// holder is somebody in service who keeps an e-mail address.
type holder struct {
	org    policies.OrgID
	number string
}

type dependency struct {
	wants, frees int
	holder       holder
}

type leaver struct {
	id   policies.PersonID
	base int64
}

// compare reads the people of the directory once, as of one moment, beside the rows that were placed. It looks beyond the scope, as e-mail
// addresses are unique in the whole directory, and tells of nobody outside it.
func (s *Store) compare(ctx context.Context, scope policies.Scope, c *comparison, report *review.Report) error {
	// The head first: whatever happens after it shows in the feed when publishing.
	var err error
	if c.head, err = feedHead(ctx, s.db.Reader()); err != nil {
		return err
	}
	total := int64(len(c.found))
	c.opt.Progress(0, total, StageCompare)
	if len(c.orgs) > 0 {
		var b []byte
		query := sqlText("SELECT " + personColumnList + ", p.change FROM " + personTable + " p WHERE 1=1")
		err := each(ctx, s.db.Reader(), query, func(r *sql.Rows) error {
			var base int64
			p, err := scanPerson(withChange{r, &base})
			if err == nil {
				b = c.meet(&p, base, b[:0])
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	if err := s.finish(ctx, scope, c, report); err != nil {
		return err
	}
	c.opt.Progress(total, total, StageCompare)
	return nil
}

// withChange scans one column more than a person has.
type withChange struct {
	rows   *sql.Rows
	change *int64
}

// scanWere gathers people with the numbers of their last changes.
func scanWere(were map[policies.PersonID]change) func(*sql.Rows) error {
	return func(r *sql.Rows) error {
		var ch change
		var err error
		ch.before, err = scanPerson(withChange{r, &ch.base})
		were[ch.before.ID] = ch
		return err
	}
}

func (w withChange) Scan(dest ...any) error { return w.rows.Scan(append(dest, w.change)...) }

// meet compares one person of the directory with the rows. buffer is for its own use, and returned to be used again.
func (c *comparison) meet(p *identity.Person, base int64, buffer []byte) []byte {
	own := c.rowOf(c.people.staffDigest(p.Org, p.StaffNumber))
	office := c.orgs[p.Org]
	if own >= 0 {
		buffer = c.meetOwn(own, p, base, buffer)
	}
	if !p.Active() {
		return buffer
	}
	leaves := false
	if office != nil {
		office.people++
		if p.Role == office.role {
			office.administrators++
		}
		if _, mentioned := c.people.staff[c.people.staffDigest(p.Org, p.StaffNumber)]; !mentioned && office.complete {
			leaves = true
			office.leavers++
			if p.Role == office.role {
				office.leaving++
			}
			c.leavers = append(c.leavers, leaver{p.ID, base})
			c.ids[c.people.digest(string(p.ID))] = struct{}{}
		}
	}
	if !leaves {
		c.meetAddress(own, p, p.Email)
		if p.Mailbox != "" {
			c.meetAddress(own, p, p.Mailbox)
		}
	}
	return buffer
}

func (c *comparison) rowOf(staff digest) int {
	line, mentioned := c.people.staff[staff]
	if !mentioned {
		return -1
	}
	return c.good(line)
}

// good is the row of a line that is still to be taken; -1 if there is none.
func (c *comparison) good(line int32) int {
	i := c.people.at(line)
	if i >= 0 && c.found[i].outcome == refused {
		return -1
	}
	return i
}

func (c *comparison) meetOwn(own int, p *identity.Person, base int64, buffer []byte) []byte {
	f := &c.found[own]
	f.id, f.base = p.ID, base
	c.ids[c.people.digest(string(p.ID))] = struct{}{}
	same := true
	buffer = encodePerson(buffer, p, c.people.fields)
	if !bytes.HasPrefix(c.people.raw(own), buffer) {
		row := c.people.person(own)
		f.alias = row.Mailbox == "" && p.Mailbox != "" && emailKey(p.Mailbox) == emailKey(row.Email)
		after := c.merged(own, *p)
		same = after == *p
		f.moves = emailKey(after.Email) != emailKey(p.Email)
		if o := c.orgs[p.Org]; o != nil {
			f.loses = p.Role == o.role && after.Role != o.role
			f.gains = p.Role != o.role && after.Role == o.role
		}
	}
	switch {
	case p.Active() && same:
		f.outcome = unchanged
	case p.Active():
		f.outcome = changed
	case same:
		f.outcome = ended
	default:
		f.outcome = returned
	}
	return buffer
}

// merged is a person as the row makes them: what the file has columns for, over what is registered. before is zero for somebody new.
func (c *comparison) merged(i int, before identity.Person) identity.Person {
	row := c.people.person(i)
	after := before
	after.Org, after.StaffNumber = row.Org, row.StaffNumber
	overlay(&after, &row, c.people.fields)
	switch f := &c.found[i]; {
	case row.Mailbox != "": // the file says both: an export does
	case f.alias:
		after.Email, after.Mailbox = before.Email, before.Mailbox
	case f.aliased:
		after.Email, after.Mailbox = aliasOf(row.Org, row.StaffNumber, c.opt.AliasDomain), row.Email
	case emailKey(before.Email) != emailKey(row.Email):
		after.Mailbox = ""
	}
	return after
}

// meetAddress finds the row of somebody else that wants the e-mail address of a person in service.
func (c *comparison) meetAddress(own int, p *identity.Person, address string) {
	line, wanted := c.people.mail[c.people.digest(emailKey(address))]
	if !wanted {
		return
	}
	wants := c.good(line)
	if wants < 0 || wants == own {
		return
	}
	h := holder{p.Org, p.StaffNumber}
	if own >= 0 && c.found[own].moves && address == p.Email {
		c.freed = append(c.freed, dependency{wants, own, h})
		return
	}
	c.taken[wants] = h
}

// finish decides on every row, counts, and collects the changes in the order of the rows.
func (s *Store) finish(ctx context.Context, scope policies.Scope, c *comparison, report *review.Report) error {
	for i := range c.found {
		c.decide(scope, i)
	}
	if err := s.checkAliases(ctx, c); err != nil {
		return err
	}
	c.spread(scope)
	for i := range c.found {
		line := int(c.people.rows[i].line)
		for _, f := range c.faults[i] {
			report.Refuse(line, f)
		}
		switch f := &c.found[i]; f.outcome {
		case added:
			c.result.Added++
			c.changes = append(c.changes, int32(i)) // #nosec G115 -- table.MaxRows
		case changed:
			c.result.Changed++
			c.changes = append(c.changes, int32(i)) // #nosec G115 -- table.MaxRows
		case unchanged:
			c.result.Unchanged++
		case ended:
			c.result.Ended++
			noteEnded(report, line)
		}
		if c.found[i].aliased && c.found[i].outcome != refused {
			c.result.Aliases++
		}
	}
	for _, i := range c.sections {
		report.Note(int(c.people.rows[i].line), sectionNotice(c.people.person(i).Email))
	}
	c.result.Leavers = len(c.leavers)
	c.guardRemovals(report)
	return nil
}

func (c *comparison) refuse(i int, f fault) {
	c.found[i].outcome = refused
	c.faults[i] = append(c.faults[i], f)
}

// decide judges a row by itself and by who has its address.
func (c *comparison) decide(scope policies.Scope, i int) {
	f := &c.found[i]
	if f.outcome == refused || f.outcome == ended {
		return
	}
	if _, held := c.taken[i]; f.outcome == unchanged && !held && len(c.people.shared) == 0 {
		return
	}
	row := c.people.person(i)
	if f.outcome == returned {
		c.refuse(i, returnedFault(row.StaffNumber))
		return
	}
	if f.alias || row.Mailbox != "" && f.outcome == unchanged {
		return
	}
	d := c.people.digest(emailKey(row.Email))
	_, shared := c.people.shared[d]
	held, isHeld := c.taken[i]
	switch {
	case !shared && (!isHeld || f.outcome == unchanged):
		if f.outcome != unchanged && sectionMailbox(row.Email, row.Section) {
			c.sections = append(c.sections, i)
		}
	case c.opt.SharedMailbox == AliasShared && row.Mailbox == "":
		f.aliased = true
		if f.outcome == unchanged {
			f.outcome, f.moves = changed, true
		}
		c.aliases[c.people.digest(emailKey(aliasOf(row.Org, row.StaffNumber, c.opt.AliasDomain)))] = i
	case shared:
		c.refuse(i, sharedFault(row.Email, int(c.people.mail[d]), int(c.people.rows[i].line)))
	default:
		c.refuse(i, collisionFault(scope, row.Email, held))
	}
}

// spread follows what a refused row means for others, until it means nothing more: an address that isn't freed after all, an
// administrator who isn't made after all.
func (c *comparison) spread(scope policies.Scope) {
	for again := true; again; {
		again = false
		for _, d := range c.freed {
			if c.found[d.frees].outcome != refused && c.found[d.frees].moves || c.found[d.wants].outcome == refused || c.found[d.wants].aliased || c.found[d.wants].alias {
				continue
			}
			row := c.people.person(d.wants)
			c.refuse(d.wants, collisionFault(scope, row.Email, d.holder))
			again = true
		}
		again = c.keepAdministrators() || again
	}
}

// touches reports whether a change of this person would have mattered to the comparison.
func (c *comparison) touches(id policies.PersonID, org policies.OrgID, staffNumber, email string) bool {
	if _, ok := c.ids[c.people.digest(string(id))]; ok {
		return true
	}
	if _, ok := c.people.staff[c.people.staffDigest(org, staffNumber)]; ok {
		return true
	}
	d := c.people.digest(email)
	if _, ok := c.people.mail[d]; ok {
		return true
	}
	_, ok := c.aliases[d]
	return ok
}
