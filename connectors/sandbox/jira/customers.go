package jira

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/musubi-hub/musubi/connectors/sandbox/site"
)

// maxBody bounds a request's body; not the vendor's number.
const maxBody = 1 << 20

// maxAccountIDs bounds the people of one call. The vendor publishes no number; 50 is the size of its pages.
const maxAccountIDs = 50

// maxName bounds names, as the vendor documents for organizations.
const maxName = 200

func readBody(c *site.Call, into any) *refusal {
	err := site.DecodeBody(c.R, maxBody, into, "application/json")
	var wrong *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, site.ErrMediaType):
		return refuse(http.StatusUnsupportedMediaType, "sd.rest.media.type", "Content-Type must be application/json.")
	case errors.Is(err, site.ErrTooLarge):
		return refuse(http.StatusRequestEntityTooLarge, "sd.rest.too.large", "The request is too large.")
	case errors.As(err, &wrong):
		return badRequest("Field " + clip(wrong.Field) + " must not be a " + wrong.Value + ".")
	}
	return badRequest("The request body is not valid JSON.")
}

func badRequest(message string) *refusal {
	return refuse(http.StatusBadRequest, "sd.rest.bad.request", message)
}

// unavailable answers a journal that can't be written: nothing was done.
func unavailable(err error) *refusal {
	if err == nil {
		return nil
	}
	return refuse(http.StatusServiceUnavailable, "sandbox.journal", "The change could not be stored: "+err.Error())
}

// clip shortens what a caller sent, for a message.
func clip(text string) string {
	r := []rune(text)
	if len(r) > 60 {
		return string(r[:60]) + "…"
	}
	return text
}

// save commits one change. The caller holds the lock.
func (s *Service) save(kind string, data any) *refusal {
	c, err := site.NewChange(kind, data)
	if err == nil {
		err = s.commit(c)
	}
	return unavailable(err)
}

func (s *Service) createCustomer(c *site.Call) {
	var b struct {
		Email       string `json:"email"`
		DisplayName string `json:"displayName"`
		FullName    string `json:"fullName"` // deprecated name of displayName
	}
	no := readBody(c, &b)
	strict := false
	if text := c.Query().Get("strictConflictStatusCode"); no == nil && text != "" {
		var err error
		if strict, err = strconv.ParseBool(text); err != nil {
			no = badRequest("strictConflictStatusCode must be true or false.")
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
		no = refuse(http.StatusBadRequest, "sd.admin.customer.invalid.email", "The email address is not valid.")
	case len([]rune(name)) > maxName:
		no = badRequest("The display name is longer than 200 characters.")
	}
	if no != nil {
		writeRefusal(c.W, c.R, no)
		return
	}
	s.mu.Lock()
	x, no := s.insertCustomer(c, b.Email, name, strict)
	s.mu.Unlock()
	if no != nil {
		writeRefusal(c.W, c.R, no)
		return
	}
	writeJSON(c.W, http.StatusCreated, fromCustomer(x).desk(c.Base))
}

// insertCustomer makes a portal-only account. The caller holds the lock.
func (s *Service) insertCustomer(c *site.Call, email, name string, strict bool) (*customer, *refusal) {
	_, exists := s.byEmail[strings.ToLower(email)] // an account whose access was revoked is there too
	if !exists {
		_, exists = s.licensed.ByEmail(email)
	}
	if exists {
		status := http.StatusBadRequest
		if strict {
			status = http.StatusConflict
		}
		return nil, refuse(status, "sd.admin.customer.already.exists", "An account already exists for this email address.")
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
		writeRefusal(c.W, c.R, no)
		return
	}
	c.W.WriteHeader(http.StatusNoContent)
}

// setAccess revokes or restores portal-only access. Both are idempotent. The caller holds the lock.
func (s *Service) setAccess(c *site.Call, accountID string, active bool) *refusal {
	old := s.customers[accountID].Current()
	if old == nil {
		return refuse(http.StatusBadRequest, "sd.admin.customer.invalid.account", "The account ID is not a portal-only customer's.")
	}
	if old.Active == active {
		return nil
	}
	x := *old
	x.Active, x.Modified = active, c.Now.UnixMicro()
	return s.save(changeCustomer, &x)
}

// find gives the person of an account id as a read sees it. The caller holds the lock.
func (s *Service) find(c *site.Call, accountID string) (person, bool) {
	if x := s.customers[accountID].At(c.AsOf); x != nil {
		return fromCustomer(x), true
	}
	if s.customers[accountID] != nil { // made after the moment that this read sees
		return person{}, false
	}
	p, ok := s.licensed.ByAccountID(accountID)
	return person{p, false}, ok
}

// accountIDs are the body of calls that name people.
type accountIDs struct {
	AccountIDs []string `json:"accountIds"`
	Usernames  []string `json:"usernames"`
}

func readAccountIDs(c *site.Call) ([]string, *refusal) {
	var b accountIDs
	if no := readBody(c, &b); no != nil {
		return nil, no
	}
	switch {
	case len(b.Usernames) > 0:
		return nil, badRequest("usernames is no longer available; use accountIds.")
	case len(b.AccountIDs) == 0:
		return nil, badRequest("accountIds must name at least one account.")
	case len(b.AccountIDs) > maxAccountIDs:
		return nil, badRequest("accountIds names more than 50 accounts.")
	}
	return b.AccountIDs, nil
}

// checkAccounts refuses ids that nobody has. The caller holds the lock.
func (s *Service) checkAccounts(ids []string) *refusal {
	for _, id := range ids {
		if _, ok := s.find(&site.Call{}, id); !ok {
			return refuse(http.StatusBadRequest, "sd.rest.user.not.found", "The account "+clip(id)+" does not exist.")
		}
	}
	return nil
}
