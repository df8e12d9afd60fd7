package atlassian

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/musubi-hub/musubi/connectors/sandbox/site"
)

// attrs are a record's writable attributes, in the vendor's names.
type attrs struct {
	UserName          string      `json:"userName"`
	ExternalID        string      `json:"externalId,omitempty"`
	Name              *name       `json:"name,omitempty"`
	DisplayName       string      `json:"displayName,omitempty"`
	NickName          string      `json:"nickName,omitempty"`
	Title             string      `json:"title,omitempty"`
	PreferredLanguage string      `json:"preferredLanguage,omitempty"`
	Department        string      `json:"department,omitempty"`
	Organization      string      `json:"organization,omitempty"`
	Timezone          string      `json:"timezone,omitempty"`
	Emails            []multi     `json:"emails,omitempty"`
	PhoneNumbers      []multi     `json:"phoneNumbers,omitempty"`
	Active            bool        `json:"active"`
	Enterprise        *enterprise `json:"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User,omitempty"`
}

type name struct {
	Formatted       string `json:"formatted,omitempty"`
	FamilyName      string `json:"familyName,omitempty"`
	GivenName       string `json:"givenName,omitempty"`
	MiddleName      string `json:"middleName,omitempty"`
	HonorificPrefix string `json:"honorificPrefix,omitempty"`
	HonorificSuffix string `json:"honorificSuffix,omitempty"`
}

// multi is an e-mail address or a phone number.
type multi struct {
	Value   string `json:"value"`
	Type    string `json:"type,omitempty"`
	Primary bool   `json:"primary"`
}

type enterprise struct {
	Organization string `json:"organization,omitempty"`
	Department   string `json:"department,omitempty"`
}

// clone copies a so that a PATCH can change it.
func (a attrs) clone() attrs {
	if a.Name != nil {
		n := *a.Name
		a.Name = &n
	}
	if a.Enterprise != nil {
		e := *a.Enterprise
		a.Enterprise = &e
	}
	a.Emails, a.PhoneNumbers = slices.Clone(a.Emails), slices.Clone(a.PhoneNumbers)
	return a
}

func (a attrs) primaryEmail() string {
	for _, e := range a.Emails {
		if e.Primary {
			return e.Value
		}
	}
	return ""
}

// userBody is the body of POST and PUT. Read-only attributes in it are ignored, as the vendor says.
type userBody struct {
	Schemas []string `json:"schemas"`
	attrs
	Active *bool `json:"active"`
}

// The bounds on what one request brings. Not the vendor's: it publishes none.
const (
	maxBody   = 8 << 20
	maxMulti  = 50
	maxString = 1024
)

// readBody reads and decodes a SCIM body.
func readBody(r *http.Request, into any) *refusal {
	err := site.DecodeBody(r, maxBody, into, scimType, "application/json")
	var wrong *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, site.ErrMediaType):
		return refuse(http.StatusUnsupportedMediaType, "", "Content-Type must be application/scim+json or application/json")
	case errors.Is(err, site.ErrTooLarge):
		return refuse(http.StatusRequestEntityTooLarge, "", "The body is larger than the service takes")
	case errors.As(err, &wrong):
		return invalid("Attribute " + clip(wrong.Field) + " must not be a " + wrong.Value)
	}
	return refuse(http.StatusBadRequest, "invalidSyntax", "The body is not valid JSON")
}

// checkSchemas requires the resource's own schema and refuses schemas that the directory doesn't know.
func checkSchemas(got []string, must string, may ...string) *refusal {
	found := false
	for _, s := range got {
		switch {
		case strings.EqualFold(s, must):
			found = true
		case !slices.ContainsFunc(may, func(m string) bool { return strings.EqualFold(m, s) }):
			return refuse(http.StatusBadRequest, "invalidSyntax", "Unknown schema "+clip(s))
		}
	}
	if !found {
		return refuse(http.StatusBadRequest, "invalidSyntax", "schemas must hold "+must)
	}
	return nil
}

// readUser reads the body of POST or PUT and checks it on its own.
func readUser(r *http.Request) (attrs, *refusal) {
	var body userBody
	if no := readBody(r, &body); no != nil {
		return attrs{}, no
	}
	if no := checkSchemas(body.Schemas, schemaUser, schemaEnterprise, schemaAtlassian); no != nil {
		return attrs{}, no
	}
	a := body.attrs
	a.Active = body.Active == nil || *body.Active
	return a, a.check()
}

// check holds the rules that need no other record.
func (a *attrs) check() *refusal {
	if strings.TrimSpace(a.UserName) == "" {
		return invalid("userName is required")
	}
	if len(a.Emails) == 0 {
		return invalid("emails is required")
	}
	if len(a.Emails) > maxMulti || len(a.PhoneNumbers) > maxMulti {
		return invalid("Too many emails or phoneNumbers")
	}
	primary := 0
	for _, e := range a.Emails {
		if !site.ValidEmail(e.Value) {
			return invalid("Invalid email address " + clip(e.Value))
		}
		if e.Primary {
			primary++
		}
	}
	if primary != 1 {
		return invalid("Exactly one email must be marked as primary")
	}
	for _, s := range a.texts() {
		if len(*s) > maxString {
			return invalid("An attribute is longer than the service takes")
		}
	}
	return nil
}

// texts lists the plain string attributes.
func (a *attrs) texts() []*string {
	list := []*string{
		&a.UserName, &a.ExternalID, &a.DisplayName, &a.NickName, &a.Title, &a.PreferredLanguage, &a.Department, &a.Organization,
		&a.Timezone,
	}
	if a.Name != nil {
		n := a.Name
		list = append(list, &n.Formatted, &n.FamilyName, &n.GivenName, &n.MiddleName, &n.HonorificPrefix, &n.HonorificSuffix)
	}
	if a.Enterprise != nil {
		list = append(list, &a.Enterprise.Organization, &a.Enterprise.Department)
	}
	for i := range a.PhoneNumbers {
		list = append(list, &a.PhoneNumbers[i].Value, &a.PhoneNumbers[i].Type)
	}
	for i := range a.Emails {
		list = append(list, &a.Emails[i].Type)
	}
	return list
}

// text finds a plain string attribute by its lower-case name.
func (a *attrs) text(attr string) *string {
	switch attr {
	case "username":
		return &a.UserName
	case "displayname":
		return &a.DisplayName
	case "nickname":
		return &a.NickName
	case "title":
		return &a.Title
	case "preferredlanguage":
		return &a.PreferredLanguage
	case "department":
		return &a.Department
	case "organization":
		return &a.Organization
	case "timezone":
		return &a.Timezone
	}
	return nil
}

// text finds a part of the name by its lower-case name.
func (n *name) text(sub string) *string {
	switch sub {
	case "formatted":
		return &n.Formatted
	case "familyname":
		return &n.FamilyName
	case "givenname":
		return &n.GivenName
	case "middlename":
		return &n.MiddleName
	case "honorificprefix":
		return &n.HonorificPrefix
	case "honorificsuffix":
		return &n.HonorificSuffix
	}
	return nil
}

func (e *enterprise) text(attr string) *string {
	switch attr {
	case "organization":
		return &e.Organization
	case "department":
		return &e.Department
	}
	return nil
}
