package scim

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/musubi-hub/musubi/connectors/sandbox/site"
)

// The schemas of the dialect.
const (
	SchemaUser       = "urn:ietf:params:scim:schemas:core:2.0:User"
	SchemaGroup      = "urn:ietf:params:scim:schemas:core:2.0:Group"
	SchemaEnterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
	SchemaGuest      = "urn:ietf:params:scim:schemas:extension:slack:guest:2.0:User"
	SchemaProfile    = "urn:ietf:params:scim:schemas:extension:slack:profile:2.0:User"
	SchemaPatch      = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
	SchemaList       = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
	SchemaError      = "urn:ietf:params:scim:api:messages:2.0:Error"
)

// The vendor's limits.
const (
	MaxUserName    = 21
	MaxDisplayName = 80
	maxEmails      = 2
	maxValues      = 20
	maxString      = 1024
)

// Refusal is an answer that says no: Detail is the vendor's code.
type Refusal struct {
	Status int
	Detail string
}

func refuse(status int, detail string) *Refusal { return &Refusal{status, detail} }

func bad(detail string) *Refusal { return refuse(http.StatusBadRequest, detail) }

// User is a user's writable attributes, in the vendor's names.
type User struct {
	UserName          string      `json:"userName"`
	ExternalID        string      `json:"externalId"`
	NickName          string      `json:"nickName,omitempty"`
	Name              Name        `json:"name"`
	DisplayName       string      `json:"displayName"`
	ProfileURL        string      `json:"profileUrl,omitempty"`
	Title             string      `json:"title,omitempty"`
	Timezone          string      `json:"timezone,omitempty"`
	PreferredLanguage string      `json:"preferredLanguage,omitempty"`
	Locale            string      `json:"locale,omitempty"`
	Active            bool        `json:"active"`
	Emails            []Value     `json:"emails"`
	PhoneNumbers      []Value     `json:"phoneNumbers,omitempty"`
	Enterprise        *Enterprise `json:"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User,omitempty"`
	Guest             *Guest      `json:"urn:ietf:params:scim:schemas:extension:slack:guest:2.0:User,omitempty"`
	Profile           *Profile    `json:"urn:ietf:params:scim:schemas:extension:slack:profile:2.0:User,omitempty"`
}

// Name is a person's name.
type Name struct {
	GivenName       string `json:"givenName"`
	FamilyName      string `json:"familyName"`
	HonorificPrefix string `json:"honorificPrefix,omitempty"`
}

// Value is an e-mail address or a phone number.
type Value struct {
	Value   string `json:"value"`
	Type    string `json:"type,omitempty"`
	Primary bool   `json:"primary"`
}

// Enterprise is the enterprise extension.
type Enterprise struct {
	EmployeeNumber string   `json:"employeeNumber,omitempty"`
	CostCenter     string   `json:"costCenter,omitempty"`
	Organization   string   `json:"organization,omitempty"`
	Division       string   `json:"division,omitempty"`
	Department     string   `json:"department,omitempty"`
	Manager        *Manager `json:"manager,omitempty"`
}

// Manager points to the user that is one's manager.
type Manager struct {
	ManagerID string `json:"managerId"`
}

// Guest makes a user a guest: Type is "multi" (of several channels); "single" can't be asked for by SCIM.
type Guest struct {
	Type       string `json:"type"`
	Expiration string `json:"expiration,omitempty"` // RFC 3339; "" without end
}

// Profile is Slack's profile extension.
type Profile struct {
	StartDate string `json:"startDate,omitempty"`
}

// Email gives the primary address.
func (u *User) Email() string {
	for _, e := range u.Emails {
		if e.Primary {
			return e.Value
		}
	}
	return ""
}

// ActiveAt says whether the account can be used: active, and no guest whose time is over.
func (u *User) ActiveAt(now time.Time) bool {
	if !u.Active || u.Guest == nil || u.Guest.Expiration == "" {
		return u.Active
	}
	end, err := time.Parse(time.RFC3339, u.Guest.Expiration)
	return err == nil && now.Before(end)
}

// clone copies u so that a PATCH can change it.
func (u User) clone() User {
	u.Emails, u.PhoneNumbers = slices.Clone(u.Emails), slices.Clone(u.PhoneNumbers)
	if u.Enterprise != nil {
		e := *u.Enterprise
		if e.Manager != nil {
			m := *e.Manager
			e.Manager = &m
		}
		u.Enterprise = &e
	}
	if u.Guest != nil {
		g := *u.Guest
		u.Guest = &g
	}
	if u.Profile != nil {
		p := *u.Profile
		u.Profile = &p
	}
	return u
}

type userBody struct {
	Schemas  []string        `json:"schemas"`
	Active   *bool           `json:"active"`
	Password json.RawMessage `json:"password"`
	User
}

// DecodeUser reads the body of POST and PUT and brings it into the form that the vendor stores.
func DecodeUser(raw []byte) (User, *Refusal) {
	var b userBody
	if no := decode(raw, &b); no != nil {
		return User{}, no
	}
	if no := checkSchemas(b.Schemas, SchemaUser); no != nil {
		return User{}, no
	}
	if len(b.Password) > 0 && string(b.Password) != "null" {
		return User{}, bad("cannot_set_password")
	}
	u := b.User
	u.Active = b.Active == nil || *b.Active
	if no := u.normalize(); no != nil {
		return User{}, no
	}
	return u, nil
}

func checkSchemas(got []string, must string) *Refusal {
	if !slices.ContainsFunc(got, func(s string) bool { return strings.EqualFold(s, must) }) {
		return bad("missing_schema_element")
	}
	return nil
}

func decode(raw []byte, into any) *Refusal {
	if err := json.Unmarshal(raw, into); err != nil {
		return bad("invalid_json")
	}
	return nil
}

// reserved are names that mean something else in a message.
var reserved = []string{"everyone", "here", "channel", "group", "me", "slack", "slackbot", "archive", "archived"}

// NormalUserName lowers a user name and replaces each character that the vendor doesn't store.
func NormalUserName(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '.', r == '-', r == '_':
			return r
		}
		return '_'
	}, strings.ToLower(s))
}

// normalize holds the rules that need no other user.
func (u *User) normalize() *Refusal {
	switch name := strings.TrimSpace(u.UserName); {
	case name == "":
		return bad("missing_user_name")
	case utf8.RuneCountInString(name) > MaxUserName:
		return bad("long_username")
	case slices.Contains(reserved, strings.ToLower(name)):
		return bad("username_not_allowed")
	default:
		u.UserName = NormalUserName(name)
	}
	switch {
	case utf8.RuneCountInString(u.DisplayName) > MaxDisplayName || strings.ContainsAny(u.DisplayName, "\r\n\t"):
		return bad("invalid_display_name")
	case strings.Contains(u.DisplayName, "@"):
		return bad("invalid_name_specials")
	}
	if no := u.normalizeEmails(); no != nil {
		return no
	}
	if len(u.PhoneNumbers) > maxValues {
		return bad("too_many_values")
	}
	if g := u.Guest; g != nil {
		if g.Type != "multi" && g.Type != "single" {
			return bad("invalid_guest_type")
		}
		if _, err := time.Parse(time.RFC3339, g.Expiration); g.Expiration != "" && err != nil {
			return bad("invalid_guest_expiration")
		}
	}
	if e := u.Enterprise; e != nil && e.Manager != nil && e.Manager.ManagerID == "" {
		e.Manager = nil
	}
	for _, s := range u.texts() {
		if len(*s) > maxString {
			return bad("attribute_too_long")
		}
	}
	return nil
}

// normalizeEmails leaves the primary address and one more.
func (u *User) normalizeEmails() *Refusal {
	primary := -1
	for i, e := range u.Emails {
		if !site.ValidEmail(e.Value) {
			return bad("invalid_email")
		}
		if e.Primary && primary >= 0 {
			return bad("multiple_primary_emails")
		}
		if e.Primary {
			primary = i
		}
	}
	switch {
	case len(u.Emails) == 0:
		return bad("missing_email")
	case primary < 0 && len(u.Emails) == 1:
		u.Emails[0].Primary = true
	case primary < 0:
		return bad("missing_primary_email")
	}
	for i := 0; len(u.Emails) > maxEmails; {
		if u.Emails[len(u.Emails)-1-i].Primary {
			i++
			continue
		}
		u.Emails = slices.Delete(u.Emails, len(u.Emails)-1-i, len(u.Emails)-i)
	}
	return nil
}

// texts lists the plain string attributes.
func (u *User) texts() []*string {
	list := []*string{
		&u.ExternalID, &u.NickName, &u.Name.GivenName, &u.Name.FamilyName, &u.Name.HonorificPrefix, &u.ProfileURL, &u.Title,
		&u.Timezone, &u.PreferredLanguage, &u.Locale,
	}
	if e := u.Enterprise; e != nil {
		list = append(list, &e.EmployeeNumber, &e.CostCenter, &e.Organization, &e.Division, &e.Department)
	}
	if u.Profile != nil {
		list = append(list, &u.Profile.StartDate)
	}
	for i := range u.PhoneNumbers {
		list = append(list, &u.PhoneNumbers[i].Value, &u.PhoneNumbers[i].Type)
	}
	for i := range u.Emails {
		list = append(list, &u.Emails[i].Type)
	}
	return list
}
