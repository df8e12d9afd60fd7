package jira

import (
	"slices"
	"strconv"
	"time"

	"github.com/musubi-hub/musubi/connectors/sandbox/deliver"
	"github.com/musubi-hub/musubi/connectors/sandbox/jira/wire"
	"github.com/musubi-hub/musubi/connectors/sandbox/jira/work"
	"github.com/musubi-hub/musubi/connectors/sandbox/site"
)

// host is the service as its work items see it. Its methods are called with the lock held.
type host struct{ s *Service }

var _ work.Host = host{}

// Commit journals changes and takes them into the state.
func (h host) Commit(changes ...site.Change) error { return h.s.commit(changes...) }

// Find gives a person.
func (h host) Find(accountID string, asOf time.Time) (wire.Person, bool) {
	return h.s.find(&site.Call{AsOf: asOf}, accountID)
}

// Owner is the administrator whom the API token belongs to.
func (h host) Owner() wire.Person { return h.s.owner() }

func (s *Service) owner() wire.Person {
	return wire.Person{Person: site.Person{
		AccountID: "712020:" + site.DeriveUUID(s.seed, Name, "administrator"), Email: s.opt.Email, DisplayName: "Musubi sandbox administrator",
		TimeZone: wire.TimeZone, Active: true,
	}}
}

// Organization gives a customer organization.
func (h host) Organization(id int64, base string) (work.OrgRef, bool) {
	o := h.s.orgs[id]
	if o == nil {
		return work.OrgRef{}, false
	}
	return work.OrgRef{ID: id, Name: o.Name, Doc: h.s.renderOrg(o, base)}, true
}

// OrganizationsOf gives the organizations that a person is in.
func (h host) OrganizationsOf(accountID string) []int64 {
	var ids []int64
	for id := range h.s.memberOf[accountID] {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// OnDesk says whether an organization is on the service desk.
func (h host) OnDesk(orgID int64) bool { return h.s.deskOrgs.Has(strconv.FormatInt(orgID, 10)) }

// Send queues a webhook. One that finds the queue full is lost, as with a vendor that gives up.
func (h host) Send(m deliver.Message) {
	if h.s.queue != nil {
		_ = h.s.queue.Send(m)
	}
}

// Lean says whether a fault leaves the issue out of an event.
func (h host) Lean(event string) bool { return h.s.sending.Lean != nil && h.s.sending.Lean(event) }
