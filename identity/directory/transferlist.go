package directory

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/policies"
)

// hub reports whether the scope is one of the hub's own tasks: those alone look behind every embargo.
func hub(scope policies.Scope) bool { return scope.Actor() == "" && scope.All() }

// visible keeps the query to the transfers t that the scope's actor may know of at a time: those that concern an organization of the
// scope and, of those under embargo, the ones that name the actor. A system administrator or break-glass is nobody's exception.
func (q *statement) visible(scope policies.Scope, now int64) {
	q.text.WriteString(" AND t.state <> 'staged'")
	if hub(scope) {
		return
	}
	from, args := scope.Where("t.from_org", len(q.args)+1)
	q.args = append(q.args, args...)
	to, args := scope.Where("t.to_org", len(q.args)+1)
	q.args = append(q.args, args...)
	q.text.WriteString(" AND (" + from + " OR " + to + ")")
	q.and("(t.embargo = 0 OR (t.at <= ? AND t.state <> ?) OR EXISTS (SELECT 1 FROM transfer_named n WHERE n.transfer = t.id AND n.person = ?))",
		now, string(identity.TransferCancelled), string(scope.Actor()))
}

// redact takes away what the other organization keeps to itself: from the receiving one who succeeds and who else was named, from the
// giving one what the receiving one wrote when it accepted.
func redact(scope policies.Scope, t identity.Transfer) identity.Transfer {
	if scope.Covers(t.From) && scope.Covers(t.To) {
		return t
	}
	if !scope.Covers(t.From) {
		t.Successor, t.RecordedBy, t.Source = "", "", ""
		t.Named = slices.DeleteFunc(t.Named, func(p policies.PersonID) bool { return p != scope.Actor() })
		return t
	}
	if t.AcceptedAt != 0 {
		t.StaffNumber, t.Duties, t.Phone, t.Extension, t.Fax, t.Email, t.Role, t.AcceptedBy = "", "", "", "", "", "", "", ""
	}
	return t
}

// TransferFilter narrows a list of transfers. The zero filter is the first page of all that the actor may know of.
type TransferFilter struct {
	Org    policies.OrgID // from it or to it
	Person policies.PersonID
	From   int64 // takes effect then or later: UTC, microseconds; 0: always
	Until  int64 // takes effect before then; 0: always
	States []identity.TransferState
	Kinds  []identity.TransferKind
	// Embargoed keeps those that are under embargo now, as far as they name the actor.
	Embargoed bool
	After     string // the cursor of the page before
	Limit     int    // 0: DefaultPage; at most MaxPage
}

// ErrCursor says that a list was to go on after what is no cursor.
var ErrCursor = errors.New("not a cursor of this list")

// TransferCursor is what TransferFilter.After takes to go on after t.
func TransferCursor(t identity.Transfer) string {
	return strconv.FormatInt(t.At, 10) + ":" + string(t.ID)
}

// Transfers lists transfers that concern the scope (people.read), by date and id. Of an embargoed one only the named people find anything.
func (s *Store) Transfers(ctx context.Context, scope policies.Scope, filter TransferFilter) ([]identity.Transfer, error) {
	if err := permit(scope, policies.ActionPeopleRead); err != nil {
		return nil, err
	}
	q := sqlText(transferSelect)
	q.visible(scope, s.micros())
	if filter.Org != "" {
		q.and("(t.from_org = ? OR t.to_org = ?)", storable(string(filter.Org)), storable(string(filter.Org)))
	}
	if filter.Person != "" {
		q.and("t.person = ?", storable(string(filter.Person)))
	}
	if filter.From != 0 {
		q.and("t.at >= ?", filter.From)
	}
	if filter.Until != 0 {
		q.and("t.at < ?", filter.Until)
	}
	if filter.Embargoed {
		q.and("t.embargo = 1 AND t.state = 'planned' AND t.at > ?", s.micros())
	}
	if len(filter.States) > 0 {
		anyOf(q, "t.state", filter.States)
	}
	if len(filter.Kinds) > 0 {
		anyOf(q, "t.kind", filter.Kinds)
	}
	if filter.After != "" {
		at, id, found := strings.Cut(filter.After, ":")
		n, err := strconv.ParseInt(at, 10, 64)
		if !found || err != nil {
			return nil, fmt.Errorf("list transfers after %q: %w", clean(filter.After), ErrCursor)
		}
		q.and("(t.at > ? OR (t.at = ? AND t.id > ?))", n, n, storable(id))
	}
	q.page("t.at, t.id", pageSize(filter.Limit))
	list, err := transfers(ctx, s.db.Reader(), q)
	if err != nil {
		return nil, err
	}
	if err := name(ctx, s.db.Reader(), list); err != nil {
		return nil, err
	}
	out := make([]identity.Transfer, len(list))
	for i, t := range list {
		out[i] = redact(scope, t.Transfer)
	}
	return out, nil
}

// Transfer reads one transfer (people.read). One outside the scope or under an embargo that doesn't name the actor is
// identity.ErrNotFound, like one that doesn't exist.
func (s *Store) Transfer(ctx context.Context, scope policies.Scope, id identity.TransferID) (identity.Transfer, error) {
	if err := permit(scope, policies.ActionPeopleRead); err != nil {
		return identity.Transfer{}, err
	}
	t, err := s.transfer(ctx, s.db.Reader(), scope, id)
	if err != nil {
		return identity.Transfer{}, err
	}
	return redact(scope, t.Transfer), nil
}

func (s *Store) transfer(ctx context.Context, q querier, scope policies.Scope, id identity.TransferID) (recorded, error) {
	query := sqlText(transferSelect)
	query.and("t.id = ?", storable(string(id)))
	query.visible(scope, s.micros())
	list, err := transfers(ctx, q, query)
	if err != nil {
		return recorded{}, err
	}
	if len(list) == 0 {
		return recorded{}, notFound("transfer", string(id))
	}
	return list[0], name(ctx, q, list)
}

func transfers(ctx context.Context, q querier, query *statement) ([]recorded, error) {
	var list []recorded
	err := each(ctx, q, query, func(rows *sql.Rows) error {
		t, err := scanTransfer(rows)
		list = append(list, t)
		return err
	})
	return list, err
}

// name fills in who is named.
func name(ctx context.Context, q querier, list []recorded) error {
	at := map[identity.TransferID]int{}
	var ids []identity.TransferID
	for i, t := range list {
		if t.Embargo {
			at[t.ID] = i
			ids = append(ids, t.ID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	query := sqlText("SELECT transfer, person FROM transfer_named WHERE 1=1")
	anyOf(query, "transfer", ids)
	query.page("transfer, person", 0)
	return each(ctx, q, query, func(rows *sql.Rows) error {
		var id, person string
		if err := rows.Scan(&id, &person); err != nil {
			return fmt.Errorf("directory: read transfer: %w", err)
		}
		t := &list[at[identity.TransferID(id)]]
		t.Named = append(t.Named, policies.PersonID(person))
		return nil
	})
}
