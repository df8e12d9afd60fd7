package scimclient

import (
	"encoding/json"
	"strings"

	"github.com/musubi-hub/musubi/connectors"
)

// Schema URNs (RFC 7643, RFC 7644).
const (
	schemaUser       = "urn:ietf:params:scim:schemas:core:2.0:User"
	schemaGroup      = "urn:ietf:params:scim:schemas:core:2.0:Group"
	schemaEnterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
	schemaList       = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
	schemaPatch      = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
)

type user struct {
	Schemas           []string    `json:"schemas"`
	ID                string      `json:"id,omitempty"`
	ExternalID        string      `json:"externalId,omitempty"`
	UserName          string      `json:"userName"`
	Name              *name       `json:"name,omitempty"`
	DisplayName       string      `json:"displayName,omitempty"`
	Title             string      `json:"title,omitempty"`
	PreferredLanguage string      `json:"preferredLanguage,omitempty"`
	Timezone          string      `json:"timezone,omitempty"`
	Active            *bool       `json:"active,omitempty"`
	Emails            []email     `json:"emails,omitempty"`
	Organization      string      `json:"organization,omitempty"`
	Department        string      `json:"department,omitempty"`
	Enterprise        *enterprise `json:"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User,omitempty"`
}

type name struct {
	Formatted  string `json:"formatted,omitempty"`
	FamilyName string `json:"familyName,omitempty"`
	GivenName  string `json:"givenName,omitempty"`
}

type email struct {
	Value   string `json:"value"`
	Type    string `json:"type,omitempty"`
	Primary bool   `json:"primary,omitempty"`
}

type enterprise struct {
	Organization string `json:"organization,omitempty"`
	Department   string `json:"department,omitempty"`
}

type group struct {
	Schemas     []string `json:"schemas"`
	ID          string   `json:"id,omitempty"`
	DisplayName string   `json:"displayName"`
	Members     []member `json:"members,omitempty"`
}

type member struct {
	Value string `json:"value"`
}

// encode gives the whole user for a POST or PUT: every attribute that the hub owns, so that what isn't given is cleared.
func (d Dialect) encode(a connectors.Account, update bool) user {
	u := user{
		Schemas: []string{schemaUser}, UserName: a.UserName, DisplayName: a.DisplayName, Title: a.Title,
		PreferredLanguage: a.Language, Timezone: a.TimeZone, Active: &a.Active,
	}
	if u.UserName == "" {
		u.UserName = a.Email
	}
	if !update || d.ExternalIDMutable {
		u.ExternalID = a.Key
	}
	if a.DisplayName != "" || a.FamilyName != "" || a.GivenName != "" {
		u.Name = &name{Formatted: a.DisplayName, FamilyName: a.FamilyName, GivenName: a.GivenName}
	}
	if a.Email != "" {
		u.Emails = []email{{Value: a.Email, Type: "work", Primary: true}}
	}
	if a.Organization != "" || a.Department != "" {
		u.Schemas = append(u.Schemas, schemaEnterprise)
		u.Enterprise = &enterprise{Organization: a.Organization, Department: a.Department}
		if d.WorkAtTop {
			u.Organization, u.Department = a.Organization, a.Department
		}
	}
	return u
}

// decode reads a user from raw. A user without "active" is taken as active, so that a leaver isn't believed gone too early.
func (d Dialect) decode(raw json.RawMessage, u user) connectors.Account {
	a := connectors.Account{
		ID: u.ID, Key: u.ExternalID, UserName: u.UserName, DisplayName: u.DisplayName, Title: u.Title,
		Language: u.PreferredLanguage, TimeZone: u.Timezone, Active: u.Active == nil || *u.Active,
		Organization: u.Organization, Department: u.Department, JoinID: d.joinID(raw),
	}
	if u.Enterprise != nil {
		if u.Enterprise.Organization != "" {
			a.Organization = u.Enterprise.Organization
		}
		if u.Enterprise.Department != "" {
			a.Department = u.Enterprise.Department
		}
	}
	if u.Name != nil {
		a.FamilyName, a.GivenName = u.Name.FamilyName, u.Name.GivenName
		if a.DisplayName == "" {
			a.DisplayName = u.Name.Formatted
		}
	}
	for i, e := range u.Emails {
		if i == 0 || e.Primary {
			a.Email = e.Value
		}
		if e.Primary {
			break
		}
	}
	return a
}

// joinID reads the dialect's extension attribute. URNs and attribute names are compared without case (RFC 7643, 2.1).
func (d Dialect) joinID(raw json.RawMessage) string {
	if d.JoinSchema == "" {
		return ""
	}
	var top, extension map[string]json.RawMessage
	if json.Unmarshal(raw, &top) != nil || json.Unmarshal(attribute(top, d.JoinSchema), &extension) != nil {
		return ""
	}
	var id string
	if json.Unmarshal(attribute(extension, d.JoinAttribute), &id) != nil {
		return ""
	}
	return id
}

func attribute(object map[string]json.RawMessage, key string) json.RawMessage {
	for k, v := range object {
		if strings.EqualFold(k, key) {
			return v
		}
	}
	return nil
}
