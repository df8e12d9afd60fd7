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

// How an organization and a person stand in the tables and in the feed: columns, values, scanning and JSON side by side, so that a new
// field is added in one file.

// orgData are the columns of org that say something of the organization, in the order of orgValues.
var orgData = []string{
	"id", "kind", "name", "kana", "parent", "valid_from", "valid_until", "successor", "state",
	"duty_name", "duty_phone", "duty_email", "night_name", "night_phone", "night_email",
}

var orgSelect = "SELECT " + strings.Join(orgData, ", ") + ", updated_at FROM org WHERE 1=1"

func orgValues(o *identity.Organization) []any {
	return []any{
		string(o.ID), string(o.Kind), o.Name, o.Kana, string(o.Parent), o.From, o.Until, string(o.Successor), string(o.State),
		o.Duty.Name, o.Duty.Phone, o.Duty.Email, o.Night.Name, o.Night.Phone, o.Night.Email,
	}
}

func scanOrganization(row interface{ Scan(...any) error }) (identity.Organization, error) {
	var o identity.Organization
	var id, kind, parent, successor, state string
	err := row.Scan(
		&id, &kind, &o.Name, &o.Kana, &parent, &o.From, &o.Until, &successor, &state,
		&o.Duty.Name, &o.Duty.Phone, &o.Duty.Email, &o.Night.Name, &o.Night.Phone, &o.Night.Email, &o.UpdatedAt,
	)
	if errors.Is(err, sql.ErrNoRows) {
		return o, err
	}
	if err != nil {
		return o, fmt.Errorf("directory: read organization: %w", err)
	}
	o.ID, o.Kind, o.Parent = policies.OrgID(id), policies.OrgKind(kind), policies.OrgID(parent)
	o.Successor, o.State = policies.OrgID(successor), identity.Onboarding(state)
	return o, nil
}

// personData are the columns of person that say something of the person, in the order of personValues.
var personData = []string{
	"id", "org", "staff_number", "family_name", "given_name", "family_kana", "given_kana", "family_romaji", "given_romaji",
	"email", "mailbox", "role", "section", "title", "duties", "phone", "extension", "fax", "absent_from", "absent_until", "ended_at",
}

// personTable is what people are read from: the table person, and over it what an import has published and not settled yet.
const personTable = "person_now"

var (
	personColumnList = "p." + strings.Join(personData, ", p.") + ", p.updated_at"
	personSelect     = "SELECT " + personColumnList + " FROM " + personTable + " p WHERE 1=1"
)

func personValues(p *identity.Person) []any {
	return []any{
		string(p.ID), string(p.Org), p.StaffNumber, p.FamilyName, p.GivenName, p.FamilyKana, p.GivenKana, p.FamilyRomaji, p.GivenRomaji,
		p.Email, p.Mailbox, string(p.Role), p.Section, p.Title, p.Duties, p.Phone, p.Extension, p.Fax, p.AbsentFrom, p.AbsentUntil, p.EndedAt,
	}
}

func scanPerson(row interface{ Scan(...any) error }) (identity.Person, error) {
	var p identity.Person
	var id, org, role string
	err := row.Scan(
		&id, &org, &p.StaffNumber, &p.FamilyName, &p.GivenName, &p.FamilyKana, &p.GivenKana, &p.FamilyRomaji, &p.GivenRomaji,
		&p.Email, &p.Mailbox, &role, &p.Section, &p.Title, &p.Duties, &p.Phone, &p.Extension, &p.Fax, &p.AbsentFrom, &p.AbsentUntil, &p.EndedAt,
		&p.UpdatedAt,
	)
	if errors.Is(err, sql.ErrNoRows) {
		return p, err
	}
	if err != nil {
		return p, fmt.Errorf("directory: read person: %w", err)
	}
	p.ID, p.Org, p.Role = policies.PersonID(id), policies.OrgID(org), policies.Role(role)
	return p, nil
}

// personRecord is a person as the feed keeps it. Field names are part of the feed's format: add, never rename.
type personRecord struct {
	Org          policies.OrgID `json:"org"`
	StaffNumber  string         `json:"staff_number"`
	FamilyName   string         `json:"family_name"`
	GivenName    string         `json:"given_name"`
	FamilyKana   string         `json:"family_kana"`
	GivenKana    string         `json:"given_kana"`
	FamilyRomaji string         `json:"family_romaji,omitempty"`
	GivenRomaji  string         `json:"given_romaji,omitempty"`
	Email        string         `json:"email"`
	Mailbox      string         `json:"mailbox,omitempty"`
	Role         policies.Role  `json:"role"`
	Section      string         `json:"section,omitempty"`
	Title        string         `json:"title,omitempty"`
	Duties       string         `json:"duties,omitempty"`
	Phone        string         `json:"phone,omitempty"`
	Extension    string         `json:"extension,omitempty"`
	Fax          string         `json:"fax,omitempty"`
	AbsentFrom   int64          `json:"absent_from,omitempty"`  // UTC, microseconds
	AbsentUntil  int64          `json:"absent_until,omitempty"` // UTC, microseconds
	EndedAt      int64          `json:"ended_at,omitempty"`     // UTC, microseconds
}

func personJSON(p *identity.Person) json.RawMessage {
	return record(personRecord{
		Org: p.Org, StaffNumber: p.StaffNumber, FamilyName: p.FamilyName, GivenName: p.GivenName,
		FamilyKana: p.FamilyKana, GivenKana: p.GivenKana, FamilyRomaji: p.FamilyRomaji, GivenRomaji: p.GivenRomaji,
		Email: p.Email, Mailbox: p.Mailbox, Role: p.Role, Section: p.Section, Title: p.Title, Duties: p.Duties,
		Phone: p.Phone, Extension: p.Extension, Fax: p.Fax, AbsentFrom: p.AbsentFrom, AbsentUntil: p.AbsentUntil, EndedAt: p.EndedAt,
	})
}

// PersonOf reads the person of a feed row's Before or After: what Changes gives for person.* rows. id is the row's Object.
func PersonOf(id policies.PersonID, r json.RawMessage) (identity.Person, error) {
	var v personRecord
	if err := json.Unmarshal(r, &v); err != nil {
		return identity.Person{}, fmt.Errorf("directory: read feed: person %s: %w", id, err)
	}
	return identity.Person{
		ID: id, Org: v.Org, StaffNumber: v.StaffNumber, FamilyName: v.FamilyName, GivenName: v.GivenName,
		FamilyKana: v.FamilyKana, GivenKana: v.GivenKana, FamilyRomaji: v.FamilyRomaji, GivenRomaji: v.GivenRomaji,
		Email: v.Email, Mailbox: v.Mailbox, Role: v.Role, Section: v.Section, Title: v.Title, Duties: v.Duties,
		Phone: v.Phone, Extension: v.Extension, Fax: v.Fax, AbsentFrom: v.AbsentFrom, AbsentUntil: v.AbsentUntil, EndedAt: v.EndedAt,
	}, nil
}

// orgRecord is an organization as the feed keeps it. Field names are part of the feed's format: add, never rename.
type orgRecord struct {
	Kind      policies.OrgKind    `json:"kind"`
	Name      string              `json:"name"`
	Kana      string              `json:"kana"`
	Parent    policies.OrgID      `json:"parent"`
	From      int64               `json:"from,omitempty"`  // UTC, microseconds
	Until     int64               `json:"until,omitempty"` // UTC, microseconds
	Successor policies.OrgID      `json:"successor,omitempty"`
	State     identity.Onboarding `json:"state,omitempty"`
	Duty      *contactRecord      `json:"duty,omitempty"`
	Night     *contactRecord      `json:"night,omitempty"`
}

type contactRecord struct {
	Name  string `json:"name,omitempty"`
	Phone string `json:"phone,omitempty"`
	Email string `json:"email,omitempty"`
}

func contactOf(c identity.Contact) *contactRecord {
	if c == (identity.Contact{}) {
		return nil
	}
	return &contactRecord{c.Name, c.Phone, c.Email}
}

func orgJSON(o *identity.Organization) json.RawMessage {
	return record(orgRecord{
		Kind: o.Kind, Name: o.Name, Kana: o.Kana, Parent: o.Parent, From: o.From, Until: o.Until, Successor: o.Successor, State: o.State,
		Duty: contactOf(o.Duty), Night: contactOf(o.Night),
	})
}

func record(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // structs of strings and integers always marshal
	}
	return b
}
