package jira

import (
	"slices"
	"strings"

	"github.com/musubi-hub/musubi/connectors/sandbox/jira/wire"
	"github.com/musubi-hub/musubi/connectors/sandbox/jira/work"
	"github.com/musubi-hub/musubi/connectors/sandbox/site"
)

// Admit finds the account of somebody whom the identity provider has named: a portal customer, or a licensed account, who is a customer
// in the portal like any other.
func (s *Service) Admit(issuer, subject, email string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	who := site.Subject{Issuer: issuer, ID: subject}
	return s.admit(who, s.candidate(email))
}

// AdmitStaff finds the licensed account of somebody whom the identity provider of managed accounts has named.
func (s *Service) AdmitStaff(issuer, subject, email string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found site.Candidate
	if p, ok := s.licensed.ByEmail(email); ok && email != "" {
		found = site.Candidate{Account: p.AccountID, Active: p.Active}
	}
	return s.admit(site.Subject{Issuer: issuer, ID: subject}, found)
}

// AdmitCustomer finds the account of a portal-only customer, by the address at each login: the portal knows no other name. A licensed account
// isn't one.
func (s *Service) AdmitCustomer(email string) (string, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	id, ok := s.byEmail[strings.ToLower(email)]
	switch {
	case !ok || email == "":
		return "", site.ErrNoAccount
	case !s.customers[id].Current().Active:
		return "", site.ErrInactive
	}
	return id, nil
}

// Email gives the address of a licensed account, "" for anybody else's.
func (s *Service) Email(account string) string {
	p, _ := s.licensed.ByAccountID(account)
	return p.Email
}

// admit ties a subject to an account. The caller holds the lock.
func (s *Service) admit(who site.Subject, found site.Candidate) (string, error) {
	account, tie, err := s.links.Admit(who, found, s.usable)
	if err != nil || !tie {
		return account, err
	}
	c, err := site.NewChange(changeLink, site.Link{Subject: who, Account: account})
	if err == nil {
		err = s.commit(c)
	}
	return account, err
}

// candidate finds the account of an e-mail address. The caller holds the lock.
func (s *Service) candidate(email string) site.Candidate {
	if email == "" {
		return site.Candidate{}
	}
	id, ok := s.byEmail[strings.ToLower(email)]
	if ok && s.customers[id].Current().Active {
		return site.Candidate{Account: id, Active: true}
	}
	if p, found := s.licensed.ByEmail(email); found {
		return site.Candidate{Account: p.AccountID, Active: p.Active}
	}
	return site.Candidate{Account: id}
}

// usable says whether an account may log in. The caller holds the lock.
func (s *Service) usable(account string) bool {
	if x := s.customers[account].Current(); x != nil {
		return x.Active
	}
	p, ok := s.licensed.ByAccountID(account)
	return ok && p.Active
}

// Active says whether an account may log in now.
func (s *Service) Active(account string) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.usable(account)
}

// Unlink undoes the tie between an account and a subject, as an administrator does when the provider names the person anew. It is false
// where there is none.
func (s *Service) Unlink(account string) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, tied := s.links.Of(account); !tied {
		return false, nil
	}
	c, err := site.NewChange(changeLink, site.Link{Account: account, Gone: true})
	if err == nil {
		err = s.commit(c)
	}
	return true, err
}

// PersonName gives the name of an account, its id where there is none.
func (s *Service) PersonName(account string) string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if x := s.customers[account].Current(); x != nil {
		return x.DisplayName
	}
	if p, ok := s.licensed.ByAccountID(account); ok {
		return p.DisplayName
	}
	return account
}

// OrganizationsOf gives the customer organizations that a person is in, by number.
func (s *Service) OrganizationsOf(account string) []OrgRow {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var rows []OrgRow
	for _, id := range (host{s}).OrganizationsOf(account) {
		rows = append(rows, s.orgRow(s.orgs[id]))
	}
	return rows
}

// MembersFor gives one page of an organization's people to somebody who is in it; ok is false for anybody else.
func (s *Service) MembersFor(account string, id int64, start, limit int) (row OrgRow, people []CustomerRow, ok bool) {
	s.mu.RLock()
	mine := slices.Contains((host{s}).OrganizationsOf(account), id)
	s.mu.RUnlock()
	if !mine {
		return OrgRow{}, nil, false
	}
	return s.Members(id, start, limit)
}

// RequestsOf gives one page of the requests that a person may see in the portal, newest change first.
func (s *Service) RequestsOf(account, query string, start, limit int) (rows []work.PortalRow, total int) {
	return s.tracker.PortalRows(account, query, wire.Window{Start: max(start, 0), Limit: limit})
}
