package jira

import (
	"strconv"

	"github.com/musubi-hub/musubi/connectors/sandbox/jira/wire"
	"github.com/musubi-hub/musubi/connectors/sandbox/site"
)

func fromCustomer(x *customer) wire.Person {
	return wire.Person{Person: site.Person{AccountID: x.AccountID, Email: x.Email, DisplayName: x.DisplayName, TimeZone: wire.TimeZone, Active: x.Active}, Customer: true}
}

type orgOut struct {
	ID          string        `json:"id"`
	Name        string        `json:"name"`
	UUID        string        `json:"uuid"`
	ScimManaged bool          `json:"scimManaged"`
	Created     wire.Date     `json:"created"`
	Links       wire.SelfLink `json:"_links"`
}

func (s *Service) renderOrg(o *organization, base string) orgOut {
	id := strconv.FormatInt(o.ID, 10)
	return orgOut{
		ID: id, Name: o.Name, UUID: site.DeriveUUID(s.seed, Name, "org", id), Created: wire.NewDate(o.Created),
		Links: wire.SelfLink{Self: wire.Rest(base, "/servicedeskapi/organization/"+id)},
	}
}
