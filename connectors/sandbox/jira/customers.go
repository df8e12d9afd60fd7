package jira

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/musubi-hub/musubi/connectors/sandbox/jira/wire"
	"github.com/musubi-hub/musubi/connectors/sandbox/site"
)

// save commits one change. The caller holds the lock.
func (s *Service) save(kind string, data any) *wire.Refusal {
	c, err := site.NewChange(kind, data)
	if err == nil {
		err = s.commit(c)
	}
	return wire.Unavailable(err)
}

func (s *Service) createCustomer(c *site.Call) {
	var b struct {
		Email       string `json:"email"`
		DisplayName string `json:"displayName"`
		FullName    string `json:"fullName"` // deprecated name of displayName
	}
	no := wire.ReadBody(c, &b)
	strict := false
	if text := c.Query().Get("strictConflictStatusCode"); no == nil && text != "" {
		var err error
		if strict, err = strconv.ParseBool(text); err != nil {
			no = wire.BadRequest("strictConflictStatusCode must be true or false.")
		}
	}
	name := strings.TrimSpace(b.DisplayName)
	if name == "" {
		name = strings.TrimSpace(b.FullName)
	}
	if name == "" {
		name = b.Email
	}
	switch {
	case no != nil:
	case !site.ValidEmail(b.Email):
		no = wire.Refuse(http.StatusBadRequest, "sd.admin.customer.invalid.email", "The email address is not valid.")
	case len([]rune(name)) > wire.MaxName:
		no = wire.BadRequest("The display name is longer than 200 characters.")
	}
	if no != nil {
		wire.WriteRefusal(c.W, c.R, no)
		return
	}
	s.mu.Lock()
	x, no := s.insertCustomer(c, b.Email, name, strict)
	s.mu.Unlock()
	if no != nil {
		wire.WriteRefusal(c.W, c.R, no)
		return
	}
	wire.WriteJSON(c.W, http.StatusCreated, fromCustomer(x).Desk(c.Base))
}

// insertCustomer makes a portal-only account. The caller holds the lock.
func (s *Service) insertCustomer(c *site.Call, email, name string, strict bool) (*customer, *wire.Refusal) {
	_, exists := s.byEmail[strings.ToLower(email)] // an account whose access was revoked is there too
	if !exists {
		_, exists = s.licensed.ByEmail(email)
	}
	if exists {
		status := http.StatusBadRequest
		if strict {
			status = http.StatusConflict
		}
		return nil, wire.Refuse(status, "sd.admin.customer.already.exists", "An account already exists for this email address.")
	}
	x := &customer{
		AccountID: "qm:" + s.siteID + ":" + site.DeriveUUID(s.seed, Name, "customer", strings.ToLower(email)), Email: email,
		DisplayName: name, Active: true, Created: c.Now.UnixMicro(), Modified: c.Now.UnixMicro(),
	}
	return x, s.save(changeCustomer, x)
}

func (s *Service) revokeCustomer(c *site.Call) {
	s.mu.Lock()
	no := s.setAccess(c, c.Vars["accountId"], false)
	s.mu.Unlock()
	if no != nil {
		wire.WriteRefusal(c.W, c.R, no)
		return
	}
	c.W.WriteHeader(http.StatusNoContent)
}

// setAccess revokes or restores portal-only access. Both are idempotent. The caller holds the lock.
func (s *Service) setAccess(c *site.Call, accountID string, active bool) *wire.Refusal {
	old := s.customers[accountID].Current()
	if old == nil {
		return wire.Refuse(http.StatusBadRequest, "sd.admin.customer.invalid.account", "The account ID is not a portal-only customer's.")
	}
	if old.Active == active {
		return nil
	}
	x := *old
	x.Active, x.Modified = active, c.Now.UnixMicro()
	return s.save(changeCustomer, &x)
}

// find gives the person of an account id as a read sees it. The caller holds the lock.
func (s *Service) find(c *site.Call, accountID string) (wire.Person, bool) {
	if x := s.customers[accountID].At(c.AsOf); x != nil {
		return fromCustomer(x), true
	}
	if s.customers[accountID] != nil { // made after the moment that this read sees
		return wire.Person{}, false
	}
	if o := s.owner(); o.AccountID == accountID {
		return o, true
	}
	p, ok := s.licensed.ByAccountID(accountID)
	return wire.Person{Person: p}, ok
}

// checkAccounts refuses ids that nobody has. The caller holds the lock.
func (s *Service) checkAccounts(ids []string) *wire.Refusal {
	for _, id := range ids {
		if _, ok := s.find(&site.Call{}, id); !ok {
			return wire.Refuse(http.StatusBadRequest, "sd.rest.user.not.found", "The account "+wire.Clip(id)+" does not exist.")
		}
	}
	return nil
}
