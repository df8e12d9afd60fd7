package directory

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/policies"
)

// Transfers take effect in chunks, each a transaction of its own, so that logins and other writers get their turn on SQLite.
const (
	activateMin   = 50
	activateFirst = 500
	activateMax   = 2000
	activateGoal  = 180 * time.Millisecond // the limit is 250 ms
)

// Activated counts what Activate did.
type Activated struct{ Done, Blocked int }

// activator is the author of what happens by itself.
var activator = Author{Source: "transfer", Why: "its date has come"}

// Activate lets every transfer take effect whose date has come, exactly once: whoever else does so at the same time, and whenever the process
// ends, each transfer is done or blocked in one transaction with all that belongs to it. Instants go in their order and, within one, what a
// person gives up another may take: staff numbers and addresses may go round in circles. What can't take effect is blocked with its
// reason, and the system administrator told. It takes no scope: it does what was recorded within scopes, and tells nobody.
func (s *Store) Activate(ctx context.Context) (Activated, error) {
	var total Activated
	if s.enqueuer == nil {
		return total, errNoQueue
	}
	orgs, err := allOrganizations(ctx, s.db.Reader())
	if err != nil {
		return total, err
	}
	if _, err := s.Settle(ctx); err != nil { // so that who gave up a number in an import holds it no more
		return total, err
	}
	size := activateFirst
	for {
		var at int64
		err := s.db.Reader().QueryRowContext(ctx, "SELECT at FROM transfer WHERE state = 'planned' AND at <= $1 ORDER BY at LIMIT 1", s.micros()).Scan(&at)
		if errors.Is(err, sql.ErrNoRows) {
			break
		}
		if err != nil {
			return total, fmt.Errorf("directory: read due transfers: %w", err)
		}
		if err := s.activateInstant(ctx, at, orgs, &size, &total); err != nil {
			return total, err
		}
	}
	return total, s.expireAppointments(ctx)
}

// activateInstant settles every transfer of one instant, in passes: what has to wait for another of the same instant waits for the next pass,
// until nothing moves; what is left then is blocked.
func (s *Store) activateInstant(ctx context.Context, at int64, orgs map[policies.OrgID]identity.Organization, size *int, total *Activated) error {
	for final := false; ; {
		due, again, err := s.due(ctx, at)
		if err != nil || len(due) == 0 {
			return err
		}
		progress := 0
		groups := arrange(due)
		for len(groups) > 0 {
			var ids []identity.TransferID
			for len(groups) > 0 && (len(ids) == 0 || len(ids)+len(groups[0]) <= *size) {
				for _, i := range groups[0] {
					ids = append(ids, due[i].id)
				}
				groups = groups[1:]
			}
			began := s.now()
			var done Activated
			err := s.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) (err error) {
				began = s.now() // after the wait for the writer
				done, err = s.activateChunk(ctx, tx, ids, orgs, again, final)
				return err
			})
			if errors.Is(err, errUnsettled) { // an import was published meanwhile
				if _, err = s.Settle(ctx); err == nil {
					progress++ // look again
					continue
				}
			}
			if err != nil {
				return fmt.Errorf("directory: activate transfers: %w", err)
			}
			progress += done.Done + done.Blocked
			total.Done += done.Done
			total.Blocked += done.Blocked
			switch took := s.now().Sub(began); {
			case took > activateGoal:
				*size = max(*size/2, activateMin)
			case took < activateGoal/3:
				*size = min(*size*2, activateMax)
			}
		}
		if progress == 0 && final {
			continue // another node was faster: look again
		}
		final = progress == 0
	}
}

// due reads the transfers of an instant, the first one of each person. again tells who has one of this instant at all: what such a person
// holds now may be given up yet.
func (s *Store) due(ctx context.Context, at int64) (list []dueTransfer, again map[policies.PersonID]bool, err error) {
	q := sqlText(`SELECT t.id, t.person, t.kind, t.from_org, t.to_org, t.staff_number, t.email, p.org, p.staff_number, p.email_key,
		COALESCE(h.staff_number, ''), COALESCE(h.email, '')
		FROM transfer t JOIN ` + personTable + ` p ON p.id = t.person
		LEFT JOIN post h ON t.kind IN ('return', 'move') AND h.person = t.person AND h.kind = 'home' AND h.org = t.to_org AND h.valid_until = 0
		WHERE t.state = 'planned'`)
	q.and("t.at = ?", at)
	q.page("t.number", 0)
	again = map[policies.PersonID]bool{}
	err = each(ctx, s.db.Reader(), q, func(rows *sql.Rows) error {
		var id, person, kind, from, to, number, email, org, hasNumber, hasEmail, homeNumber, homeEmail string
		if err := rows.Scan(&id, &person, &kind, &from, &to, &number, &email, &org, &hasNumber, &hasEmail, &homeNumber, &homeEmail); err != nil {
			return fmt.Errorf("directory: read due transfers: %w", err)
		}
		d := dueTransfer{id: identity.TransferID(id), person: policies.PersonID(person)}
		if again[d.person] {
			return nil
		}
		again[d.person] = true
		d.has = []key{{policies.OrgID(org), hasNumber}, {"", hasEmail}}
		if k := identity.TransferKind(kind); keepsHandover(k) || k == identity.TransferRole {
			number, email = cmp.Or(number, homeNumber), cmp.Or(email, homeEmail)
			if from == to {
				to = org
			}
			if w := (key{policies.OrgID(to), cmp.Or(number, hasNumber)}); w != d.has[0] {
				d.wants = append(d.wants, w)
			}
			if w := (key{"", emailKey(email)}); email != "" && w != d.has[1] {
				d.wants = append(d.wants, w)
			}
		}
		list = append(list, d)
		return nil
	})
	return list, again, err
}

// chunk is what one transaction of an activation works on.
type chunk struct {
	*book
	orgs   map[policies.OrgID]identity.Organization
	people map[policies.PersonID]*standing
	writes map[policies.PersonID]int64 // number of the person's last feed row
	done   []*candidate
	watch  []policies.OrgID
	cause  map[policies.OrgID]string
	since  map[policies.OrgID]int64
	posts  [][]any
	ended  []identity.Post // with their new Until
}

// activateChunk settles the transfers that are still planned.
func (s *Store) activateChunk(ctx context.Context, tx *sql.Tx, ids []identity.TransferID, orgs map[policies.OrgID]identity.Organization, again map[policies.PersonID]bool, final bool) (Activated, error) {
	if _, err := takeNumbers(ctx, tx, 0); err != nil { // before it is read what is planned still
		return Activated{}, err
	}
	q := sqlText(transferSelect)
	anyOf(q, "t.id", ids)
	q.page("t.number", 0)
	list, err := transfers(ctx, tx, q)
	if list = stillPlanned(list); err != nil || len(list) == 0 {
		return Activated{}, err
	}
	b, err := s.openBook(ctx, tx, activator, concernedIn(list)...)
	if err != nil {
		return Activated{}, err
	}
	c := &chunk{
		book: b, orgs: orgs, writes: map[policies.PersonID]int64{}, cause: map[policies.OrgID]string{}, since: map[policies.OrgID]int64{},
	}
	if g, err := s.live(ctx, tx); err != nil {
		return Activated{}, err
	} else if g.batch != 0 {
		return Activated{}, errUnsettled
	}
	if c.people, err = readStandings(ctx, tx, list); err != nil {
		return Activated{}, err
	}
	later, err := readLater(ctx, tx, list)
	if err != nil {
		return Activated{}, err
	}
	var candidates []*candidate
	for _, t := range list {
		st, ok := c.people[t.Person]
		if !ok {
			return Activated{}, fmt.Errorf("transfer %s: its person isn't there", t.ID)
		}
		e, reason := effectOf(t.Transfer, *st, later[t.ID], orgs[t.To])
		k := newCandidate(t, *st, e)
		k.later = later[t.ID]
		if k.reason = reason; reason != "" {
			k.wants, k.frees = nil, nil
		}
		candidates = append(candidates, k)
	}
	holders, err := keyHolders(ctx, tx, candidates)
	if err != nil {
		return Activated{}, err
	}
	settleKeys(candidates, holders)
	var blocked []*candidate
	for _, k := range candidates {
		switch {
		case k.reason == "":
			c.apply(s, k)
		case k.rival != "" && !final && again[k.rival]:
			// The rival has a transfer of this instant too, which may free it: the next pass tells.
		default:
			blocked = append(blocked, k)
		}
	}
	if err := s.writeChunk(ctx, tx, c, holders); err != nil {
		return Activated{}, err
	}
	if err := s.block(ctx, tx, c, blocked); err != nil {
		return Activated{}, err
	}
	for _, org := range unique(c.watch) {
		if err := s.watchAdministrators(ctx, tx, b, []policies.OrgID{org}, c.cause[org], c.since[org]); err != nil {
			return Activated{}, err
		}
	}
	return Activated{Done: len(c.done), Blocked: len(blocked)}, b.close(ctx, tx, s.db)
}

// stillPlanned keeps the planned ones. It isn't part of the query, as a database may then read all that is planned for each chunk.
func stillPlanned(list []recorded) []recorded {
	return slices.DeleteFunc(list, func(t recorded) bool { return t.State != identity.TransferPlanned })
}

// concernedIn lists the people of transfers and their successors.
func concernedIn(list []recorded) (ids []policies.PersonID) {
	for _, t := range list {
		ids = append(ids, t.Person)
		if t.Successor != "" {
			ids = append(ids, t.Successor)
		}
	}
	return ids
}

// look remembers to look at an organization's administrators when the chunk is written.
func (c *chunk) look(org policies.OrgID, cause string, since int64) {
	c.watch = append(c.watch, org)
	c.cause[org], c.since[org] = cause, since
}

// apply carries out one transfer in memory, with its feed rows.
func (c *chunk) apply(s *Store, k *candidate) {
	t, st := k.t, c.people[k.t.Person]
	before := st.person
	if before != k.before { // this chunk has made them an administrator meanwhile
		k.effect, _ = effectOf(t.Transfer, *st, k.later, c.orgs[t.To])
	}
	after := k.effect.after
	after.UpdatedAt = c.at
	author := Author{Source: "transfer " + string(t.ID), Why: t.Why}
	cause := "transfer " + string(t.ID)
	switch {
	case !after.Active():
		c.writes[t.Person] = c.add(Change{Author: author, Kind: PersonEnded, Org: before.Org, Object: string(t.Person), Before: personJSON(&before), After: personJSON(&after)})
	case after.Org != before.Org:
		c.add(Change{Author: author, Kind: PersonMovedOut, Org: before.Org, Object: string(t.Person), Before: personJSON(&before)})
		c.writes[t.Person] = c.add(Change{Author: Author{Source: author.Source}, Kind: PersonMovedIn, Org: after.Org, Object: string(t.Person), After: personJSON(&after)})
	case t.Kind != identity.TransferConcurrent && t.Kind != identity.TransferRelease:
		c.writes[t.Person] = c.add(Change{Author: author, Kind: PersonChanged, Org: after.Org, Object: string(t.Person), Before: personJSON(&before), After: personJSON(&after)})
	default:
		after.UpdatedAt = before.UpdatedAt
	}
	if before.Role != policies.RoleGeneral {
		c.look(before.Org, cause, t.At)
	}
	if after.Role != policies.RoleGeneral {
		c.look(after.Org, cause, t.At)
	}
	st.person = after
	c.succeed(t, author)
	for _, p := range k.effect.add {
		p.ID = string(s.newID())
		c.posts = append(c.posts, postValues(&p))
		c.add(Change{Author: author, Kind: PostAdded, Org: p.Org, Object: p.ID, After: postJSON(&p)})
	}
	for _, p := range k.effect.end {
		was := postJSON(&p)
		p.Until = max(t.At, p.From+1)
		c.ended = append(c.ended, p)
		c.add(Change{Author: author, Kind: PostEnded, Org: p.Org, Object: p.ID, Before: was, After: postJSON(&p)})
	}
	was := transferJSON(&t.Transfer)
	t.State = identity.TransferDone
	c.add(Change{Author: Author{Source: author.Source}, Kind: TransferDone, Org: t.From, Object: string(t.ID), Before: was, After: transferJSON(&t.Transfer)})
	c.done = append(c.done, k)
}

// succeed makes the successor an administrator at the same instant. One who has gone meanwhile can't be: the vacancy tells.
func (c *chunk) succeed(t recorded, author Author) {
	st := c.people[t.Successor]
	if t.Successor == "" || st == nil || !st.person.Active() || st.person.Org != t.From {
		return
	}
	role := administratorRole(c.orgs[t.From].Kind)
	if st.person.Role == role {
		return
	}
	before := st.person
	st.person.Role, st.person.UpdatedAt = role, c.at
	c.writes[before.ID] = c.add(Change{
		Author: author, Kind: PersonChanged, Org: before.Org, Object: string(before.ID), Before: personJSON(&before), After: personJSON(&st.person),
	})
	c.look(before.Org, "transfer "+string(t.ID), t.At)
}

// writeChunk writes what apply did.
func (s *Store) writeChunk(ctx context.Context, tx *sql.Tx, c *chunk, holders map[key]policies.PersonID) error {
	if len(c.done) == 0 {
		return nil
	}
	var ids []identity.TransferID
	var aside []policies.PersonID
	var left []identity.Person
	origins := map[policies.PersonID]access.Origin{}
	for _, k := range c.done {
		ids = append(ids, k.t.ID)
		for _, w := range k.wants {
			if h, ok := holders[w]; ok && h != k.t.Person {
				aside = append(aside, h)
			}
		}
		if !k.effect.after.Active() {
			left = append(left, c.people[k.t.Person].person)
			origins[k.t.Person] = access.Origin{Source: activator.Source, Actor: k.t.RecordedBy, At: k.t.At}
			if !k.t.Late {
				origins[k.t.Person] = access.Origin{Source: activator.Source, Actor: k.t.RecordedBy, At: k.t.At, RecordedAt: k.t.RecordedAt}
			}
		}
	}
	// Uniqueness is checked row by row: who gives something up to another steps aside first.
	if len(aside) > 0 {
		if err := execOn(ctx, tx, "UPDATE person SET staff_number = '!' || id, email_key = '!' || id WHERE id IN %s", aside); err != nil {
			return fmt.Errorf("step aside: %w", err)
		}
	}
	written := make([]policies.PersonID, 0, len(c.writes))
	for id := range c.writes {
		written = append(written, id)
	}
	slices.Sort(written)
	columns := append(slices.Clone(personData), "email_key", "updated_at", "change")
	_, err := s.db.Bulk(ctx, tx, "person", columns, upsertPerson, func(yield func([]any) bool) {
		for _, id := range written {
			p := &c.people[id].person
			if !yield(append(personValues(p), emailKey(p.Email), p.UpdatedAt, c.writes[id])) {
				return
			}
		}
	})
	if err != nil {
		return err
	}
	if err := execOn(ctx, tx, "UPDATE transfer SET state = 'done', settled_at = $1 WHERE id IN %s", ids, c.at); err != nil {
		return err
	}
	if _, err := s.db.Bulk(ctx, tx, "post", postData, "", slices.Values(c.posts)); err != nil {
		return err
	}
	for _, p := range c.ended {
		if _, err := tx.ExecContext(ctx, "UPDATE post SET valid_until = $1 WHERE id = $2", p.Until, p.ID); err != nil {
			return err
		}
	}
	if len(left) == 0 {
		return nil
	}
	return s.wind(ctx, tx, c.book, left, func(id policies.PersonID) access.Origin { return origins[id] }, c.look)
}

// upsertPerson makes the bulk insert of people who are all there an update: one statement for both engines, set-based where that is faster.
var upsertPerson = func() string {
	text := "ON CONFLICT (id) DO UPDATE SET "
	for i, column := range append(slices.Clone(personData[1:]), "email_key", "updated_at", "change") {
		if i > 0 {
			text += ", "
		}
		text += column + " = excluded." + column
	}
	return text
}()

// wind ends what belongs to people whose service has ended: their planned transfers, posts and appointments; and hands the leavers over.
// origin says by which change each of them was ended.
func (s *Store) wind(ctx context.Context, tx *sql.Tx, b *book, list []identity.Person, origin func(policies.PersonID) access.Origin, look func(policies.OrgID, string, int64)) error {
	ended := make(map[policies.PersonID]int64, len(list))
	ids := make([]policies.PersonID, 0, len(list))
	for _, p := range list {
		ended[p.ID] = p.EndedAt
		ids = append(ids, p.ID)
	}
	q := sqlText(transferSelect)
	anyOf(q, "t.person", ids)
	q.page("t.number", 0)
	planned, err := transfers(ctx, tx, q)
	if err != nil {
		return err
	}
	planned = stillPlanned(planned)
	if err := s.cancel(ctx, tx, b, planned, identity.ReasonEnded); err != nil {
		return err
	}
	for _, t := range planned {
		if t.Role != "" && t.Role != policies.RoleGeneral {
			look(t.To, "end "+string(t.Person), ended[t.Person])
		}
	}
	q = sqlText(postSelect)
	anyOf(q, "o.person", ids)
	q.page("o.id", 0)
	var posts []identity.Post
	err = each(ctx, tx, q, func(rows *sql.Rows) error {
		o, err := scanPost(rows)
		if o.Until == 0 || o.Until > ended[o.Person] {
			posts = append(posts, o)
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, o := range posts {
		was := postJSON(&o)
		o.Until = max(ended[o.Person], o.From+1)
		b.add(Change{Kind: PostEnded, Org: o.Org, Object: o.ID, Before: was, After: postJSON(&o)})
		if _, err := tx.ExecContext(ctx, "UPDATE post SET valid_until = $1 WHERE id = $2", o.Until, o.ID); err != nil {
			return fmt.Errorf("directory: end posts: %w", err)
		}
	}
	if err := s.dismiss(ctx, tx, b, ids, ended, look); err != nil {
		return err
	}
	leavers := make([]access.Leaver, len(list))
	for i, p := range list {
		leavers[i] = access.Leaver{Person: p.ID, At: p.EndedAt, Role: p.Role, Origin: origin(p.ID)}
	}
	if err := s.enqueuer.EnqueueLeaver(ctx, tx, leavers...); err != nil {
		return fmt.Errorf("end %d people: enqueue the leavers: %w", len(list), err)
	}
	return nil
}

// block marks what could not take effect, and tells.
func (s *Store) block(ctx context.Context, tx *sql.Tx, c *chunk, list []*candidate) error {
	for _, k := range list {
		t := k.t
		before := transferJSON(&t.Transfer)
		t.State, t.Reason = identity.TransferBlocked, k.reason
		c.add(Change{Kind: TransferBlocked, Org: t.From, Object: string(t.ID), Before: before, After: transferJSON(&t.Transfer)})
		_, err := tx.ExecContext(ctx, "UPDATE transfer SET state = 'blocked', reason = $1, settled_at = $2 WHERE id = $3 AND state = 'planned'", string(k.reason), c.at, string(t.ID))
		if err != nil {
			return fmt.Errorf("block transfer %s: %w", t.ID, err)
		}
		n := identity.Notice{
			ID: fmt.Sprintf("blocked/%s/%d", t.ID, t.AcceptedAt), At: c.at, Kind: identity.NoticeBlocked, Org: t.From, Object: string(t.ID), Detail: string(k.reason),
		}
		if err := s.enqueuer.EnqueueNotice(ctx, tx, n); err != nil {
			return fmt.Errorf("tell of a blocked transfer: %w", err)
		}
		if t.Role != "" && t.Role != policies.RoleGeneral {
			c.look(t.To, "transfer "+string(t.ID), t.At)
		}
		if t.Successor != "" {
			c.look(t.From, "transfer "+string(t.ID), t.At)
		}
	}
	return nil
}
