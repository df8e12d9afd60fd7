package directory

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/musubi-hub/musubi/identity/directory/review"
	"github.com/musubi-hub/musubi/policies"
)

// ChangeKind is what happened. The part before the dot is what it happened to.
type ChangeKind string

// The kinds of change.
const (
	OrgAdded       ChangeKind = "org.added"
	OrgChanged     ChangeKind = "org.changed"
	ServiceAdded   ChangeKind = "service.added"   // a contractor (Object) serves an organization (Org)
	ServiceChanged ChangeKind = "service.changed" // another end of the period, from a file
	ServiceEnded   ChangeKind = "service.ended"
	PersonAdded    ChangeKind = "person.added"
	PersonChanged  ChangeKind = "person.changed"
	PersonEnded    ChangeKind = "person.ended"
	PersonErased   ChangeKind = "person.erased" // all earlier rows about the person were emptied: {"erased":true}

	// A person who changes organization makes two rows, so that neither organization reads what the other wrote of them: the
	// former one reads that they left (After is empty), the new one who came (Before is empty).
	PersonMovedOut ChangeKind = "person.moved_out"
	PersonMovedIn  ChangeKind = "person.moved_in"

	// A transfer's rows are seen by both organizations, and under embargo by the named people alone: others find a hole in the numbers.
	TransferAdded     ChangeKind = "transfer.added"
	TransferChanged   ChangeKind = "transfer.changed" // accepted
	TransferDone      ChangeKind = "transfer.done"
	TransferCancelled ChangeKind = "transfer.cancelled"
	TransferBlocked   ChangeKind = "transfer.blocked"

	PostAdded        ChangeKind = "post.added" // Object is the post's id
	PostEnded        ChangeKind = "post.ended"
	AppointmentAdded ChangeKind = "appointment.added" // Object is the person's id
	AppointmentEnded ChangeKind = "appointment.ended"
	VacancyBegun     ChangeKind = "administrator.vacant" // Object is the organization's id
	VacancyEnded     ChangeKind = "administrator.filled"
)

func peopleKinds() []ChangeKind {
	return []ChangeKind{
		PersonAdded, PersonChanged, PersonEnded, PersonErased, PersonMovedOut, PersonMovedIn, PostAdded, PostEnded, AppointmentAdded, AppointmentEnded,
		VacancyBegun, VacancyEnded,
	}
}

func transferKinds() []ChangeKind {
	return []ChangeKind{TransferAdded, TransferChanged, TransferDone, TransferCancelled, TransferBlocked}
}

// Change is one row of the feed.
type Change struct {
	Number int64 // from 1, without gaps, in the order of the commits
	At     int64 // UTC, microseconds
	Author Author
	Kind   ChangeKind
	Org    policies.OrgID  // the organization itself, or that of the person
	Object string          // OrgID, PersonID, TransferID or the id of a post
	Before json.RawMessage // empty when something was added
	After  json.RawMessage // empty when somebody left the organization
}

// Changes reads the feed after a number, at most limit rows (0: DefaultPage; at most MaxPage). A scope for org.read sees the changes of
// organizations, one for people.read those of people, each inside its organizations; a system scope sees both.
func (s *Store) Changes(ctx context.Context, scope policies.Scope, after int64, limit int) ([]Change, error) {
	kinds, staff, err := feedKinds(scope)
	if err != nil {
		return nil, err
	}
	q := s.feedPage(scope, after, kinds, staff && !hub(scope), pageSize(limit))
	var list []Change
	err = each(ctx, s.db.Reader(), q, func(rows *sql.Rows) error {
		var c Change
		var actor, kind, org, before, after string
		if err := rows.Scan(&c.Number, &c.At, &actor, &c.Author.Source, &c.Author.Why, &kind, &org, &c.Object, &before, &after); err != nil {
			return fmt.Errorf("directory: read feed: %w", err)
		}
		c.Author.Actor, c.Kind, c.Org = policies.PersonID(actor), ChangeKind(kind), policies.OrgID(org)
		if before != "" {
			c.Before = json.RawMessage(before)
		}
		if after != "" {
			c.After = json.RawMessage(after)
		}
		list = append(list, c)
		return nil
	})
	return list, err
}

// feedKinds are the kinds of change that the scope sees whatever they are about. Whether it sees a transfer's depends on the embargo.
func feedKinds(scope policies.Scope) (kinds []any, staff bool, err error) {
	orgs, staff := scope.For(policies.ActionOrgRead), scope.For(policies.ActionPeopleRead)
	if !orgs && !staff {
		return nil, false, permit(scope, policies.ActionPeopleRead)
	}
	add := func(list ...ChangeKind) {
		for _, k := range list {
			kinds = append(kinds, string(k))
		}
	}
	if orgs {
		add(OrgAdded, OrgChanged, ServiceAdded, ServiceChanged, ServiceEnded)
	}
	if staff {
		add(peopleKinds()...)
	}
	if staff && hub(scope) {
		add(transferKinds()...)
	}
	return kinds, staff, nil
}

// feedPage is the query of feed_now's rows after a number. It asks the two halves of the view for a page each, in their own order, so that
// neither is read as a whole however many rows an import has just published.
// With transfers it asks for those that the scope's actor may know of, too.
func (s *Store) feedPage(scope policies.Scope, after int64, kinds []any, transfers bool, limit int) *statement {
	in := " IN (?" + strings.Repeat(",?", len(kinds)-1) + ")"
	q := sqlText("SELECT * FROM (SELECT number, at, actor, source, why, kind, org, object, before_json, after_json FROM feed WHERE 1=1")
	q.and("number > ?", after)
	q.and("kind"+in, kinds...)
	q.within(scope, "org")
	q.page("number", limit)
	q.text.WriteString(`) AS settled UNION ALL SELECT * FROM (SELECT b.base + s.ordinal AS number, b.at, b.actor, b.source, b.why, s.kind, s.org, s.id,
		COALESCE((SELECT f.after_json FROM feed f WHERE f.number = s.before), ''), s.after_json
		FROM staged_batch b JOIN staged_person s ON s.batch = b.id
		WHERE b.id = (SELECT h.live FROM staged_head h WHERE h.id = 1)`)
	// Batch and ordinal are the index of staged_person: the base comes from a subquery so that it is known before the rows are looked for.
	q.and("s.batch = (SELECT h.live FROM staged_head h WHERE h.id = 1)")
	q.and("s.ordinal > CAST(? AS BIGINT) - (SELECT l.base FROM staged_batch l WHERE l.id = (SELECT h.live FROM staged_head h WHERE h.id = 1))", after)
	q.and("s.kind"+in, kinds...)
	q.within(scope, "s.org")
	q.page("s.ordinal", limit)
	q.text.WriteString(") AS live")
	if transfers {
		q.text.WriteString(` UNION ALL SELECT * FROM (SELECT m.number, m.at, m.actor, m.source, m.why, m.kind, m.org, m.object, m.before_json, m.after_json
			FROM transfer t JOIN feed m ON m.object = t.id AND m.kind >= 'transfer.' AND m.kind < 'transfer/' WHERE 1=1`)
		q.and("m.number > ?", after)
		q.visible(scope, s.micros())
		q.page("m.number", limit)
		q.text.WriteString(") AS transfers")
	}
	q.page("number", limit)
	return q
}

// takeNumbers reserves n numbers of the feed, base+1 to base+n. It must be the first statement of a transaction that changes the
// directory: the row's lock puts all such transactions in one order until they commit.
func takeNumbers(ctx context.Context, tx *sql.Tx, n int) (base int64, err error) {
	err = tx.QueryRowContext(ctx, "UPDATE feed_head SET last_number = last_number + $1 WHERE id = 1 RETURNING last_number", n).Scan(&base)
	if err != nil {
		return 0, fmt.Errorf("directory: take feed numbers: %w", err)
	}
	return base - int64(n), nil
}

var feedColumns = []string{"number", "at", "actor", "source", "why", "kind", "org", "object", "before_json", "after_json"}

func (c Change) values() []any {
	return []any{
		c.Number, c.At, string(c.Author.Actor), clean(c.Author.Source), clean(c.Author.Why), string(c.Kind), string(c.Org), c.Object,
		string(c.Before), string(c.After),
	}
}

// clean keeps free text storable and of a bounded size.
func clean(s string) string { return review.Visible(s, 500) }

func appendChange(ctx context.Context, tx *sql.Tx, c Change) error {
	_, err := tx.ExecContext(ctx, "INSERT INTO feed ("+strings.Join(feedColumns, ", ")+") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)", c.values()...)
	if err != nil {
		return fmt.Errorf("directory: append to feed: %w", err)
	}
	return nil
}
