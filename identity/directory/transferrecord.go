package directory

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/policies"
)

// transferData are the columns of transfer, in the order of transferValues. The named people have a table of their own.
var transferData = []string{
	"id", "person", "name", "kind", "from_org", "to_org", "staff_number", "section", "title", "duties", "phone", "extension", "fax", "email",
	"role", "at", "return_at", "handover_until", "successor", "embargo", "accepted_by", "accepted_at", "recorded_by", "recorded_at", "why",
	"source", "state", "reason", "late", "settled_at",
}

var transferSelect = "SELECT t." + strings.Join(transferData, ", t.") + ", t.number FROM transfer t WHERE 1=1"

func transferValues(t *identity.Transfer) []any {
	return []any{
		string(t.ID), string(t.Person), t.Name, string(t.Kind), string(t.From), string(t.To), t.StaffNumber, t.Section, t.Title, t.Duties,
		t.Phone, t.Extension, t.Fax, t.Email, string(t.Role), t.At, t.ReturnAt, t.HandoverUntil, string(t.Successor), bit(t.Embargo),
		string(t.AcceptedBy), t.AcceptedAt, string(t.RecordedBy), t.RecordedAt, clean(t.Why), clean(t.Source), string(t.State), string(t.Reason),
		bit(t.Late), t.SettledAt,
	}
}

func bit(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// recorded is a transfer with the number of the feed row that recorded it.
type recorded struct {
	identity.Transfer
	number int64
}

func scanTransfer(row interface{ Scan(...any) error }) (recorded, error) {
	var t recorded
	var id, person, kind, from, to, role, successor, accepter, recorder, state, reason string
	var embargo, late int64
	err := row.Scan(
		&id, &person, &t.Name, &kind, &from, &to, &t.StaffNumber, &t.Section, &t.Title, &t.Duties, &t.Phone, &t.Extension, &t.Fax, &t.Email,
		&role, &t.At, &t.ReturnAt, &t.HandoverUntil, &successor, &embargo, &accepter, &t.AcceptedAt, &recorder, &t.RecordedAt, &t.Why,
		&t.Source, &state, &reason, &late, &t.SettledAt, &t.number,
	)
	if errors.Is(err, sql.ErrNoRows) {
		return t, err
	}
	if err != nil {
		return t, fmt.Errorf("directory: read transfer: %w", err)
	}
	t.ID, t.Person, t.Kind = identity.TransferID(id), policies.PersonID(person), identity.TransferKind(kind)
	t.From, t.To, t.Role = policies.OrgID(from), policies.OrgID(to), policies.Role(role)
	t.Successor, t.AcceptedBy, t.RecordedBy = policies.PersonID(successor), policies.PersonID(accepter), policies.PersonID(recorder)
	t.State, t.Reason = identity.TransferState(state), identity.TransferReason(reason)
	t.Embargo, t.Late = embargo != 0, late != 0
	return t, nil
}

// transferRecord is a transfer as the feed keeps it: what both of its organizations may read. Field names are part of the feed's
// format: add, never rename.
type transferRecord struct {
	Person policies.PersonID       `json:"person"`
	Kind   identity.TransferKind   `json:"kind"`
	From   policies.OrgID          `json:"from"`
	To     policies.OrgID          `json:"to"`
	At     int64                   `json:"at"` // UTC, microseconds
	State  identity.TransferState  `json:"state"`
	Reason identity.TransferReason `json:"reason,omitempty"`
	Late   bool                    `json:"late,omitempty"`
}

func transferJSON(t *identity.Transfer) json.RawMessage {
	return record(transferRecord{t.Person, t.Kind, t.From, t.To, t.At, t.State, t.Reason, t.Late})
}

// postData are the columns of post, in the order of postValues.
var postData = []string{
	"id", "person", "kind", "org", "section", "title", "duties", "role", "valid_from", "valid_until",
	"staff_number", "phone", "extension", "fax", "email",
}

var postSelect = "SELECT o." + strings.Join(postData, ", o.") + " FROM post o WHERE 1=1"

func postValues(p *identity.Post) []any {
	return []any{
		p.ID, string(p.Person), string(p.Kind), string(p.Org), p.Section, p.Title, p.Duties, string(p.Role), p.From, p.Until,
		p.StaffNumber, p.Phone, p.Extension, p.Fax, p.Email,
	}
}

func scanPost(row interface{ Scan(...any) error }) (identity.Post, error) {
	var p identity.Post
	var person, kind, org, role string
	err := row.Scan(&p.ID, &person, &kind, &org, &p.Section, &p.Title, &p.Duties, &role, &p.From, &p.Until,
		&p.StaffNumber, &p.Phone, &p.Extension, &p.Fax, &p.Email)
	if err != nil {
		return p, fmt.Errorf("directory: read post: %w", err)
	}
	p.Person, p.Kind, p.Org, p.Role = policies.PersonID(person), identity.PostKind(kind), policies.OrgID(org), policies.Role(role)
	return p, nil
}

// postRecord is a post as the feed keeps it. Field names are part of the feed's format: add, never rename.
type postRecord struct {
	Person  policies.PersonID `json:"person"`
	Kind    identity.PostKind `json:"kind"`
	Section string            `json:"section,omitempty"`
	Title   string            `json:"title,omitempty"`
	Duties  string            `json:"duties,omitempty"`
	Role    policies.Role     `json:"role,omitempty"`
	From    int64             `json:"from,omitempty"`  // UTC, microseconds
	Until   int64             `json:"until,omitempty"` // UTC, microseconds
}

func postJSON(p *identity.Post) json.RawMessage {
	return record(postRecord{p.Person, p.Kind, p.Section, p.Title, p.Duties, p.Role, p.From, p.Until})
}

// appointmentRecord is an appointment as the feed keeps it. Field names are part of the feed's format: add, never rename.
type appointmentRecord struct {
	Kind   identity.AppointmentKind `json:"kind"`
	Person policies.PersonID        `json:"person"`
	From   int64                    `json:"from,omitempty"`  // UTC, microseconds
	Until  int64                    `json:"until,omitempty"` // UTC, microseconds
}

func appointmentJSON(a identity.Appointment) json.RawMessage {
	return record(appointmentRecord{a.Kind, a.Person, a.From, a.Until})
}

// vacancyRecord is a vacancy as the feed keeps it.
type vacancyRecord struct {
	Since int64  `json:"since"` // UTC, microseconds
	Cause string `json:"cause"`
}

// anyOf adds "column IN (values)"; no values match nothing.
func anyOf[T ~string](q *statement, column string, values []T) {
	if len(values) == 0 {
		q.and("1=0")
		return
	}
	args := make([]any, len(values))
	for i, v := range values {
		args[i] = storable(string(v))
	}
	q.and(column+" IN (?"+strings.Repeat(",?", len(values)-1)+")", args...)
}
