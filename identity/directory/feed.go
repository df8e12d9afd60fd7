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
	OrgAdded      ChangeKind = "org.added"
	OrgChanged    ChangeKind = "org.changed"
	ServiceAdded  ChangeKind = "service.added" // a contractor (Object) serves an organization (Org)
	ServiceEnded  ChangeKind = "service.ended"
	PersonAdded   ChangeKind = "person.added"
	PersonChanged ChangeKind = "person.changed"
	PersonEnded   ChangeKind = "person.ended"

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
		PersonAdded, PersonChanged, PersonEnded, PersonMovedOut, PersonMovedIn, PostAdded, PostEnded, AppointmentAdded, AppointmentEnded,
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
	orgs, staff := scope.For(policies.ActionOrgRead), scope.For(policies.ActionPeopleRead)
	if !orgs && !staff {
		return nil, permit(scope, policies.ActionPeopleRead)
	}
	var kinds []ChangeKind
	if orgs {
		kinds = append(kinds, OrgAdded, OrgChanged, ServiceAdded, ServiceEnded)
	}
	if staff {
		kinds = append(kinds, peopleKinds()...)
	}
	q := sqlText("SELECT number, at, actor, source, why, kind, org, object, before_json, after_json FROM feed WHERE 1=1")
	q.and("number > ?", after)
	q.text.WriteString(" AND ((1=1")
	anyOf(q, "kind", kinds)
	q.within(scope, "org")
	q.text.WriteString(")")
	if staff {
		q.text.WriteString(" OR (1=1")
		anyOf(q, "kind", transferKinds())
		q.text.WriteString(" AND EXISTS (SELECT 1 FROM transfer t WHERE t.id = feed.object")
		q.visible(scope, s.micros())
		q.text.WriteString("))")
	}
	q.text.WriteString(")")
	q.page("number", pageSize(limit))
	var list []Change
	err := each(ctx, s.db.Reader(), q, func(rows *sql.Rows) error {
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
