package directory

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/directory/review"
	"github.com/musubi-hub/musubi/identity/jst"
	"github.com/musubi-hub/musubi/policies"
)

// Errors of transfers.
var (
	ErrSettled  = errors.New("the transfer is done or cancelled already")
	ErrTransfer = errors.New("not a transfer that can be recorded")
)

// maxNamed bounds who may be named under one embargo.
const maxNamed = 100

// AddTransfer records a transfer (people.write) and returns it as it stands then. Who may:
//   - what stays inside one organization: who may write its people;
//   - what leads to another organization: who may write the people of the organization that gives. If the scope covers the receiving one
//     too it is accepted at once; otherwise it waits for AcceptTransfer, as only the receiving organization gives a staff number, an address
//     and a role there;
//   - TransferReturn: also who may write the people of the home organization, which recalls its own; it gets back what it had;
//   - TransferRelease: either side.
//
// t.From is found: it is where the person will be on that date, as far as the actor may know. A transfer whose date has passed is flagged
// Late and takes effect at once. ErrLastAdministrator if it leaves From alone and names no t.Successor. Under embargo the actor is among the
// named people; break-glass, which is nobody, can't record one.
func (s *Store) AddTransfer(ctx context.Context, scope policies.Scope, t identity.Transfer, by Author) (identity.Transfer, error) {
	if err := permitAuthor(scope, policies.ActionPeopleWrite, by); err != nil {
		return identity.Transfer{}, err
	}
	if s.enqueuer == nil {
		return identity.Transfer{}, errNoQueue
	}
	if f := checkTransfer(&t); f != nil {
		return identity.Transfer{}, fmt.Errorf("%w: %w", ErrTransfer, *f)
	}
	if t.Embargo && scope.Actor() == policies.BreakGlassActor {
		return identity.Transfer{}, fmt.Errorf("break-glass can't record a transfer under embargo, as it couldn't see it: %w", identity.ErrRefused)
	}
	var list []recorded
	err := s.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		b, err := s.openBook(ctx, tx, by, t.Person, t.Successor)
		if err != nil {
			return err
		}
		if list, err = s.prepare(ctx, tx, scope, t, by, b.at); err != nil {
			return err
		}
		if t.Kind != identity.TransferLeave { // a leaver is never refused: the vacancy is flagged when they go
			if err := s.keepAdministered(ctx, tx, scope, list[0].From, list, ""); err != nil {
				return err
			}
		}
		if err := s.record(ctx, tx, b, list); err != nil {
			return err
		}
		return s.auditTransfer(ctx, tx, by, "transfer.add", list[0].Transfer)
	})
	if err != nil {
		return identity.Transfer{}, fmt.Errorf("add transfer: %w", err)
	}
	return s.actAndRead(ctx, scope, list[0].Transfer)
}

// actAndRead lets a transfer whose date has come take effect, and reads it.
func (s *Store) actAndRead(ctx context.Context, scope policies.Scope, t identity.Transfer) (identity.Transfer, error) {
	if t.At <= s.micros() {
		if _, err := s.Activate(ctx); err != nil {
			return t, fmt.Errorf("transfer %s is recorded, but could not take effect yet: %w", t.ID, err)
		}
	}
	r, err := s.transfer(ctx, s.db.Reader(), scope, t.ID)
	return redact(scope, r.Transfer), err
}

// checkTransfer checks what can be known without the directory.
func checkTransfer(t *identity.Transfer) *fault {
	bad := func(column, value, ja, en, remedyJA, remedyEN string) *fault {
		return &fault{Column: column, Value: value, Reason: review.Say(ja, en), Remedy: review.Say(remedyJA, remedyEN)}
	}
	for _, c := range []struct {
		column, value string
		limit         int
		required      bool
	}{
		{"person", string(t.Person), maxName, true},
		{"to_org", string(t.To), maxName, false},
		{"to_staff_number", t.StaffNumber, maxStaffNumber, false},
		{"section", t.Section, maxName, false},
		{"title", t.Title, maxName, false},
		{"duties", t.Duties, maxName, false},
		{"phone", t.Phone, maxStaffNumber, false},
		{"extension", t.Extension, maxStaffNumber, false},
		{"fax", t.Fax, maxStaffNumber, false},
		{"why", t.Why, maxName, false},
	} {
		if f := cell(c.column, c.value, c.limit, c.required); f != nil {
			return &f[0]
		}
	}
	if t.Email != "" {
		if f := checkEmail(t.Email); f != nil {
			return &f[0]
		}
	}
	if t.Role != "" && !slices.Contains(policies.Roles(), t.Role) {
		return &roleFault(string(t.Role))[0]
	}
	earliest, latest := time.Date(1990, 1, 1, 0, 0, 0, 0, jst.Zone).UnixMicro(), time.Date(2101, 1, 1, 0, 0, 0, 0, jst.Zone).UnixMicro()
	switch {
	case !slices.Contains(identity.TransferKinds(), t.Kind):
		var words []string
		for _, k := range identity.TransferKinds() {
			words = append(words, string(k))
		}
		f := unknownWord("kind", string(t.Kind), words)
		return &f
	case t.At < earliest || t.At >= latest:
		return bad("date", "", "発令日がないか、範囲の外です", "the date is missing or out of range", "2027-04-01 のように書いてください", "write it like 2027-04-01")
	case t.ReturnAt != 0 && (t.Kind != identity.TransferSecond || t.ReturnAt <= t.At || t.ReturnAt >= latest):
		return bad("return_date", jst.Date(t.ReturnAt), "復帰予定日は出向の発令日より後の日です", "the date of return must come after the date of a secondment, and is for secondments only", "直すか消してください", "correct it or leave it out")
	case t.HandoverUntil != 0 && (t.HandoverUntil <= t.At || t.HandoverUntil >= latest || !keepsHandover(t.Kind)):
		return bad("handover_until", jst.Date(t.HandoverUntil), "引継ぎの終わりは異動・出向・復帰の発令日より後の日です", "the handover must end after the date, and is for moves, secondments and returns only", "直すか消してください", "correct it or leave it out")
	case t.Kind == identity.TransferRole && t.Role == "":
		return bad("role", "", "権限変更には新しい権限が要ります", "a change of role needs the role", "role を書いてください", "write the role")
	case (t.Kind == identity.TransferSecond || t.Kind == identity.TransferReturn || t.Kind == identity.TransferConcurrent || t.Kind == identity.TransferRelease) && t.To == "":
		return bad("to_org", "", "相手の組織が要ります", "this kind needs the organization", "to_org を書いてください", "write to_org")
	case (t.Kind == identity.TransferRole || t.Kind == identity.TransferLeave) && t.To != "":
		return bad("to_org", string(t.To), "この異動区分に異動先はありません", "this kind leads nowhere", "to_org を消してください", "leave to_org out")
	case !t.Embargo && len(t.Named) > 0:
		return bad("named", "", "内示でない異動に閲覧者が書かれています", "people are named, but there is no embargo", "内示にするか、閲覧者を消してください", "put it under embargo, or name nobody")
	case len(t.Named) > maxNamed:
		return bad("named", "", fmt.Sprintf("閲覧者は %d 人までです", maxNamed), fmt.Sprintf("at most %d people can be named", maxNamed), "減らしてください", "name fewer")
	}
	return nil
}

func keepsHandover(k identity.TransferKind) bool {
	return k == identity.TransferMove || k == identity.TransferSecond || k == identity.TransferReturn
}

// prepare finds out about the person and the organizations, refuses what the scope doesn't allow, and gives the transfer with the return that it
// plans. What the actor may not know never shows in what it answers. earlier are the rows of the same file on the same person.
func (s *Store) prepare(ctx context.Context, q querier, scope policies.Scope, t identity.Transfer, by Author, now int64, earlier ...recorded) ([]recorded, error) {
	p, err := s.concerned(ctx, q, scope, &t, earlier)
	if err != nil {
		return nil, err
	}
	if !p.Active() {
		return nil, fmt.Errorf("person %s: %w", p.ID, ErrEnded)
	}
	if t.To == "" {
		t.To = t.From
	}
	to, err := organization(ctx, q, t.To)
	if err != nil {
		return nil, err
	}
	if !to.Exists(t.At) {
		return nil, fmt.Errorf("organization %s doesn't exist on %s: %w", to.ID, jst.Date(t.At), ErrTransfer)
	}
	if f := rank(to.Kind, &identity.Person{Org: t.To, Role: t.Role}); f != nil {
		return nil, fmt.Errorf("%w: %w", ErrTransfer, f[0])
	}
	if err := s.permitTransfer(ctx, q, scope, &t, now); err != nil {
		return nil, err
	}
	if err := s.checkPeopleOf(ctx, q, &t); err != nil {
		return nil, err
	}
	t.ID, t.Name, t.State, t.Reason, t.SettledAt = s.newTransferID(), p.DisplayName(), identity.TransferPlanned, "", 0
	t.RecordedBy, t.RecordedAt, t.Why, t.Source, t.Late = by.Actor, now, cmp.Or(t.Why, by.Why), by.Source, t.At <= now
	if t.Embargo && t.RecordedBy != "" && !slices.Contains(t.Named, t.RecordedBy) {
		t.Named = append(slices.Clone(t.Named), t.RecordedBy)
	}
	twin := sqlText(transferSelect)
	twin.and("t.person = ?", string(t.Person))
	twin.and("t.kind = ?", string(t.Kind))
	twin.and("t.at = ?", t.At)
	twin.and("t.to_org = ?", string(t.To))
	anyOf(twin, "t.state", []identity.TransferState{identity.TransferPlanned, identity.TransferDone})
	twin.visible(scope, now)
	same, err := transfers(ctx, q, twin)
	if err != nil {
		return nil, err
	}
	if i := slices.IndexFunc(same, func(r recorded) bool {
		if r.State == identity.TransferDone { // a correction may follow it, the same again may not
			return sameTransfer(redact(scope, r.Transfer), t)
		}
		return t.Kind != identity.TransferConcurrent && t.Kind != identity.TransferRelease || r.Section == t.Section && r.Title == t.Title
	}); i >= 0 {
		return nil, errTwin{same[i].Transfer}
	}
	list := []recorded{{Transfer: t, number: lastInOrder}}
	if t.ReturnAt != 0 {
		back := identity.Transfer{
			ID: s.newTransferID(), Person: t.Person, Name: t.Name, Kind: identity.TransferReturn, From: t.To, To: t.From, At: t.ReturnAt,
			Embargo: t.Embargo, Named: t.Named, AcceptedBy: t.AcceptedBy, AcceptedAt: t.AcceptedAt, RecordedBy: t.RecordedBy,
			RecordedAt: now, Why: t.Why, Source: t.Source, State: identity.TransferPlanned, Late: t.ReturnAt <= now,
		}
		list = append(list, recorded{Transfer: back, number: lastInOrder})
	}
	return list, nil
}

// lastInOrder stands for the number of what isn't recorded yet.
const lastInOrder = 1<<63 - 1

// concerned finds the person and sets t.From: the organization that they will be in on the date, as far as the actor may know.
func (s *Store) concerned(ctx context.Context, q querier, scope policies.Scope, t *identity.Transfer, earlier []recorded) (identity.Person, error) {
	query := sqlText(personSelect)
	query.and("p.id = ?", storable(string(t.Person)))
	p, err := onePerson(ctx, q, query, string(t.Person))
	if err != nil {
		return p, err
	}
	planned := sqlText(transferSelect)
	planned.and("t.person = ?", string(p.ID))
	planned.and("t.state = ?", string(identity.TransferPlanned))
	planned.visible(scope, s.micros())
	planned.page("t.at, t.number", 0)
	list, err := transfers(ctx, q, planned)
	if err != nil {
		return p, err
	}
	known := scope.Covers(p.Org)
	t.From = p.Org
	list = append(list, earlier...) // of the same file
	slices.SortStableFunc(list, func(a, b recorded) int { return cmp.Compare(a.At, b.At) })
	for _, l := range list {
		known = true
		twin := l.At == t.At && l.Kind == t.Kind && l.To == t.To // what t says again brings the person nowhere before t
		if l.At <= t.At && l.Crosses() && keepsHandover(l.Kind) && !twin {
			t.From = l.To
		}
	}
	for _, kind := range []identity.PostKind{identity.PostHome, identity.PostConcurrent} {
		if known || !scope.Covers(t.To) {
			break
		}
		post, err := openPost(ctx, q, p.ID, kind, t.To)
		if err != nil {
			return p, err
		}
		known = post != nil
	}
	if !known {
		return identity.Person{}, notFound("person", string(t.Person))
	}
	return p, nil
}

// openPost reads a person's post of a kind that has no end yet (in one of orgs, if any are given); nil if there is none.
func openPost(ctx context.Context, q querier, person policies.PersonID, kind identity.PostKind, orgs ...policies.OrgID) (*identity.Post, error) {
	query := sqlText(postSelect)
	query.and("o.person = ?", string(person))
	query.and("o.kind = ?", string(kind))
	query.and("o.valid_until = 0")
	if orgs != nil {
		anyOf(query, "o.org", orgs)
	}
	query.page("o.id", 1)
	var found *identity.Post
	err := each(ctx, q, query, func(rows *sql.Rows) error {
		p, err := scanPost(rows)
		found = &p
		return err
	})
	return found, err
}

// permitTransfer holds who may record which transfer, and accepts it where the scope covers the receiving side.
func (s *Store) permitTransfer(ctx context.Context, q querier, scope policies.Scope, t *identity.Transfer, now int64) error {
	from, to := scope.Covers(t.From), scope.Covers(t.To)
	accept := func() { t.AcceptedBy, t.AcceptedAt = scope.Actor(), now }
	switch {
	case !t.Crosses():
		if !from {
			return outside(t.From)
		}
		if t.Kind == identity.TransferSecond || t.Kind == identity.TransferReturn {
			return fmt.Errorf("the person is in organization %s on that date already: %w", t.To, ErrTransfer)
		}
		return nil
	case t.Kind == identity.TransferRelease:
		if !from && !to {
			return outside(t.From)
		}
		accept() // nobody has to agree to an end
		return nil
	case t.Kind == identity.TransferReturn && !from:
		home, err := openPost(ctx, q, t.Person, identity.PostHome, t.To)
		if err != nil {
			return err
		}
		if !to || home == nil {
			return outside(t.From)
		}
	case !from:
		return outside(t.From)
	}
	if to {
		accept()
		if t.Kind != identity.TransferReturn && t.Kind != identity.TransferConcurrent && t.StaffNumber == "" {
			return fmt.Errorf("organization %s needs a staff number for the person: %w", t.To, ErrTransfer)
		}
		return nil
	}
	if t.StaffNumber != "" || t.Email != "" || t.Role != "" {
		return fmt.Errorf("staff number, e-mail address and role in organization %s are given by its own administrators when they accept: %w", t.To, identity.ErrRefused)
	}
	return nil
}

func outside(org policies.OrgID) error {
	return fmt.Errorf("on that date the person belongs to organization %s, outside the scope: %w", org, identity.ErrRefused)
}

// checkPeopleOf checks the other people that a transfer names.
func (s *Store) checkPeopleOf(ctx context.Context, q querier, t *identity.Transfer) error {
	if t.Successor != "" {
		var n int
		err := q.QueryRowContext(ctx, "SELECT COUNT(*) FROM "+personTable+" p WHERE p.id = $1 AND p.org = $2 AND p.ended_at = 0",
			storable(string(t.Successor)), string(t.From)).Scan(&n)
		if err != nil {
			return fmt.Errorf("directory: read successor: %w", err)
		}
		if n == 0 || t.Successor == t.Person {
			return fmt.Errorf("successor: nobody else in service in organization %s has the id %s: %w", t.From, clean(string(t.Successor)), identity.ErrNotFound)
		}
	}
	t.Named = slices.Clone(t.Named)
	slices.Sort(t.Named)
	t.Named = slices.Compact(t.Named)
	for _, id := range t.Named {
		var n int
		if err := q.QueryRowContext(ctx, "SELECT COUNT(*) FROM "+personTable+" p WHERE p.id = $1", storable(string(id))).Scan(&n); err != nil {
			return fmt.Errorf("directory: read named person: %w", err)
		}
		if n == 0 {
			return notFound("named person", string(id))
		}
	}
	return nil
}

// newTransferID makes an id that tells nothing.
func (s *Store) newTransferID() identity.TransferID {
	return identity.TransferID("t" + strings.TrimPrefix(string(s.newID()), "p"))
}

// record writes transfers with their feed rows, and sees to it that they take effect. The second one of a list is planned by the first.
func (s *Store) record(ctx context.Context, tx *sql.Tx, b *book, list []recorded) error {
	var parent identity.TransferID
	rows := make([][]any, 0, len(list))
	var named [][]any
	instants := map[int64]bool{}
	for i := range list {
		t := &list[i]
		t.number = b.add(Change{Kind: TransferAdded, Org: t.From, Object: string(t.ID), After: transferJSON(&t.Transfer)})
		if t.Kind != identity.TransferReturn || i == 0 || list[i-1].ReturnAt == 0 {
			parent = ""
		} else {
			parent = list[i-1].ID
		}
		rows = append(rows, append(transferValues(&t.Transfer), t.number, string(parent)))
		for _, p := range t.Named {
			named = append(named, []any{string(t.ID), string(p)})
		}
		if t.At > b.at && !instants[t.At] {
			instants[t.At] = true
			if err := s.enqueuer.EnqueueActivation(ctx, tx, access.Activation{At: t.At}); err != nil {
				return fmt.Errorf("enqueue the activation: %w", err)
			}
		}
	}
	if _, err := s.db.Bulk(ctx, tx, "transfer", append(slices.Clone(transferData), "number", "parent"), "", slices.Values(rows)); err != nil {
		return err
	}
	if _, err := s.db.Bulk(ctx, tx, "transfer_named", []string{"transfer", "person"}, "", slices.Values(named)); err != nil {
		return err
	}
	return b.close(ctx, tx, s.db)
}

// Arrival is what the receiving organization gives somebody who comes. Empty fields keep what was proposed.
type Arrival struct {
	StaffNumber, Section, Title, Duties, Phone, Extension, Fax, Email string
	Role                                                              policies.Role // empty: general
}

// AcceptTransfer accepts a transfer for the organization that receives the person (people.write over it), with what that organization gives them.
// A transfer that was blocked because nobody had accepted it takes effect then, flagged Late.
func (s *Store) AcceptTransfer(ctx context.Context, scope policies.Scope, id identity.TransferID, a Arrival, by Author) (identity.Transfer, error) {
	if err := permitAuthor(scope, policies.ActionPeopleWrite, by); err != nil {
		return identity.Transfer{}, err
	}
	if s.enqueuer == nil {
		return identity.Transfer{}, errNoQueue
	}
	var t recorded
	err := s.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		b, err := s.openBook(ctx, tx, by)
		if err != nil {
			return err
		}
		if t, err = s.transfer(ctx, tx, scope, id); err != nil {
			return err
		}
		before := transferJSON(&t.Transfer)
		switch {
		case t.State != identity.TransferPlanned && (t.State != identity.TransferBlocked || t.Reason != identity.ReasonNotAccepted):
			return fmt.Errorf("transfer %s: %w", id, ErrSettled)
		case !scope.Covers(t.To):
			return fmt.Errorf("transfer %s is accepted by organization %s: %w", id, t.To, identity.ErrRefused)
		case t.AcceptedAt != 0 || !t.Crosses():
			return fmt.Errorf("transfer %s is accepted: %w", id, identity.ErrExists)
		}
		t.StaffNumber, t.Section, t.Title = cmp.Or(a.StaffNumber, t.StaffNumber), cmp.Or(a.Section, t.Section), cmp.Or(a.Title, t.Title)
		t.Duties, t.Phone, t.Extension, t.Fax = cmp.Or(a.Duties, t.Duties), cmp.Or(a.Phone, t.Phone), cmp.Or(a.Extension, t.Extension), cmp.Or(a.Fax, t.Fax)
		t.Email, t.Role = cmp.Or(a.Email, t.Email), cmp.Or(a.Role, t.Role)
		check := t.Transfer
		check.To = ""
		if t.Kind != identity.TransferMove {
			check.To = t.To
		}
		if f := checkTransfer(&check); f != nil {
			return fmt.Errorf("%w: %w", ErrTransfer, *f)
		}
		if t.StaffNumber == "" && (t.Kind == identity.TransferMove || t.Kind == identity.TransferSecond) {
			return fmt.Errorf("organization %s needs a staff number for the person: %w", t.To, ErrTransfer)
		}
		to, err := organization(ctx, tx, t.To)
		if err != nil {
			return err
		}
		if f := rank(to.Kind, &identity.Person{Org: t.To, Role: t.Role}); f != nil {
			return fmt.Errorf("%w: %w", ErrTransfer, f[0])
		}
		t.AcceptedBy, t.AcceptedAt, t.State, t.Reason, t.SettledAt, t.Late = by.Actor, b.at, identity.TransferPlanned, "", 0, t.Late || t.At <= b.at
		_, err = tx.ExecContext(ctx, `UPDATE transfer SET staff_number = $1, section = $2, title = $3, duties = $4, phone = $5, extension = $6, fax = $7, email = $8,
			role = $9, accepted_by = $10, accepted_at = $11, state = $12, reason = '', settled_at = 0, late = $13 WHERE id = $14`,
			t.StaffNumber, t.Section, t.Title, t.Duties, t.Phone, t.Extension, t.Fax, t.Email, string(t.Role), string(t.AcceptedBy), t.AcceptedAt,
			string(t.State), bit(t.Late), string(t.ID))
		if err != nil {
			return fmt.Errorf("accept transfer: %w", err)
		}
		// Who accepts a secondment accepts its end.
		if _, err := tx.ExecContext(ctx, "UPDATE transfer SET accepted_by = $1, accepted_at = $2 WHERE parent = $3 AND accepted_at = 0", string(t.AcceptedBy), t.AcceptedAt, string(t.ID)); err != nil {
			return fmt.Errorf("accept transfer: %w", err)
		}
		b.add(Change{Kind: TransferChanged, Org: t.To, Object: string(t.ID), Before: before, After: transferJSON(&t.Transfer)})
		if err := b.close(ctx, tx, s.db); err != nil {
			return err
		}
		return s.auditTransfer(ctx, tx, by, "transfer.accept", t.Transfer)
	})
	if err != nil {
		return identity.Transfer{}, fmt.Errorf("accept transfer: %w", err)
	}
	return s.actAndRead(ctx, scope, t.Transfer)
}

// CancelTransfer takes back a transfer that has not taken effect (people.write over either of its organizations): also one that was blocked. The
// return that a secondment planned goes with it. ErrLastAdministrator if an organization relied on it.
func (s *Store) CancelTransfer(ctx context.Context, scope policies.Scope, id identity.TransferID, by Author) error {
	if err := permitAuthor(scope, policies.ActionPeopleWrite, by); err != nil {
		return err
	}
	err := s.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		b, err := s.openBook(ctx, tx, by)
		if err != nil {
			return err
		}
		t, err := s.transfer(ctx, tx, scope, id)
		if err != nil {
			return err
		}
		if t.State == identity.TransferDone || t.State == identity.TransferCancelled {
			return fmt.Errorf("transfer %s: %w", id, ErrSettled)
		}
		if t.State == identity.TransferPlanned {
			for _, org := range unique([]policies.OrgID{t.From, t.To}) {
				if !scope.Covers(org) {
					continue // not the actor's to keep, nor to know about
				}
				if err := s.keepAdministered(ctx, tx, scope, org, nil, t.ID); err != nil {
					return err
				}
			}
		}
		query := sqlText(transferSelect)
		query.and("(t.id = ? OR (t.parent = ? AND t.state = ?))", string(id), string(id), string(identity.TransferPlanned))
		list, err := transfers(ctx, tx, query)
		if err != nil {
			return err
		}
		if err := s.cancel(ctx, tx, b, list, ""); err != nil {
			return err
		}
		if err := b.close(ctx, tx, s.db); err != nil {
			return err
		}
		return s.auditTransfer(ctx, tx, by, "transfer.cancel", t.Transfer)
	})
	if err != nil {
		return fmt.Errorf("cancel transfer: %w", err)
	}
	return nil
}

// cancel marks transfers as cancelled.
func (s *Store) cancel(ctx context.Context, tx *sql.Tx, b *book, list []recorded, reason identity.TransferReason) error {
	var ids []identity.TransferID
	for _, t := range list {
		before := transferJSON(&t.Transfer)
		t.State, t.Reason = identity.TransferCancelled, reason
		b.add(Change{Kind: TransferCancelled, Org: t.From, Object: string(t.ID), Before: before, After: transferJSON(&t.Transfer)})
		ids = append(ids, t.ID)
	}
	if len(ids) == 0 {
		return nil
	}
	if err := execOn(ctx, tx, "UPDATE transfer SET state = $1, reason = $2, settled_at = $3 WHERE id IN %s", ids, string(identity.TransferCancelled), string(reason), b.at); err != nil {
		return fmt.Errorf("directory: cancel transfers: %w", err)
	}
	return nil
}

// auditTransfer appends the audit row of what was done to a transfer. Its object is the transfer's id, which tells nothing; of one under
// embargo the row says neither organization nor why, also after its date.
func (s *Store) auditTransfer(ctx context.Context, tx *sql.Tx, by Author, action string, t identity.Transfer) error {
	org := t.From
	if t.Embargo {
		org, by.Why = "", ""
	}
	return s.audit(ctx, tx, by, action, org, string(t.ID), nil)
}
