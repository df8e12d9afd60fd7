package jira

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/musubi-hub/musubi/connectors/sandbox/deliver"
	"github.com/musubi-hub/musubi/connectors/sandbox/jira/work"
	"github.com/musubi-hub/musubi/connectors/sandbox/site"
)

// Name is the product's name and path prefix.
const Name = "jira"

// Options configure the site.
type Options struct {
	Email         string    // the API token's owner, an administrator
	Token         string    // empty: every call is refused
	TokenExpires  time.Time // zero: never
	ServiceDeskID string    // default "1"
	ProjectKey    string    // default "HELP"
	ProjectName   string    // default "Municipal help desk"
	ProjectID     string    // default "10000"

	CustomerToken string        // with the e-mail address of a portal customer: acts as that customer, in place of a browser's session. Empty: none can
	AppToken      string        // bearer token of an OAuth 2.0 app, which alone may register webhooks that expire. Empty: there is no app
	SearchLag     time.Duration // how long search/jql misses what was written, at most a minute; 0: 3 s; negative: not at all
	WorkflowTime  time.Duration // how long a transition takes, while another one conflicts; 0: 20 ms; negative: no time
	PortalURL     string        // where customers see their requests, for links, without the prefix; "": where the API is
}

// Sending is how webhooks leave. The zero value registers them and sends nothing.
type Sending struct {
	Outgoing http.RoundTripper
	Now      func() time.Time
	After    func(time.Duration) <-chan time.Time
	Fault    func(kind string, m deliver.Message) bool
	Lean     func(event string) bool // leaves the issue out of a comment's event
}

// Licensed finds the site's licensed accounts, which are no portal customers.
type Licensed interface {
	ByAccountID(accountID string) (site.Person, bool)
	ByEmail(email string) (site.Person, bool)
	ByPrefix(prefix string, limit int) []site.Person
}

// Log takes what a request changed, durably, before it is answered.
type Log func(changes []site.Change) error

// Service is the stand-in's state. All methods may be called at once from many goroutines.
type Service struct {
	opt      Options
	seed     uint64
	log      Log
	licensed Licensed
	table    *site.Table
	siteID   string
	tracker  *work.Tracker
	sending  Sending
	queue    *deliver.Queue // nil: nothing is sent

	mu        sync.RWMutex
	customers map[string]*site.Versions[customer]
	order     []string          // account ids
	byEmail   map[string]string // lower case -> account id
	orgs      map[int64]*organization
	orgOrder  []int64
	byName    map[string]int64
	nextOrg   int64
	memberOf  map[string]map[int64]struct{}
	deskUsers site.Members // customers added to the service desk
	deskOrgs  site.Members // organizations added to it, by decimal id
	search    site.PrefixIndex
	links     site.Links // who of the identity provider has which account
}

// customer is one version of a portal-only account; it is never changed once stored.
type customer struct {
	AccountID   string `json:"account_id"`
	Email       string `json:"email"`
	DisplayName string `json:"display_name"`
	Active      bool   `json:"active"` // portal-only access not revoked
	Created     int64  `json:"created"`
	Modified    int64  `json:"modified"`
}

type orgRecord struct {
	ID      int64                      `json:"id"`
	Name    string                     `json:"name"`
	Created int64                      `json:"created"`
	Props   map[string]json.RawMessage `json:"props,omitempty"`
}

type organization struct {
	orgRecord
	members site.Members
}

// memberRecord changes the members of an organization, of the service desk's customers or of its organizations.
type memberRecord struct {
	Org    int64    `json:"org,omitempty"`
	Add    []string `json:"add,omitempty"`
	Remove []string `json:"remove,omitempty"`
	At     int64    `json:"at"`
}

type numberRecord struct {
	ID int64 `json:"id"`
	At int64 `json:"at"`
}

// The kinds of journalled change.
const (
	changeCustomer  = "customer"
	changeOrg       = "org"
	changeOrgDelete = "org.delete"
	changeOrgNext   = "org.next" // the next organization's number, in a snapshot
	changeMembers   = "org.members"
	changeDeskUsers = "desk.customers"
	changeDeskOrgs  = "desk.orgs"
	changeLink      = "link"
)

// New makes an empty service.
func New(opt Options, seed uint64, licensed Licensed, log Log, sending Sending) (*Service, error) {
	opt.ServiceDeskID = cmp.Or(opt.ServiceDeskID, "1")
	opt.ProjectKey = cmp.Or(opt.ProjectKey, "HELP")
	opt.ProjectName = cmp.Or(opt.ProjectName, "Municipal help desk")
	opt.ProjectID = cmp.Or(opt.ProjectID, "10000")
	if opt.SearchLag == 0 {
		opt.SearchLag = 3 * time.Second
	}
	if opt.WorkflowTime == 0 {
		opt.WorkflowTime = 20 * time.Millisecond
	}
	if opt.SearchLag > site.StaleWindow {
		return nil, fmt.Errorf("jira: SearchLag %v is more than %v", opt.SearchLag, site.StaleWindow)
	}
	s := &Service{opt: opt, seed: seed, log: log, licensed: licensed, siteID: site.DeriveUUID(seed, Name, "site"), sending: sending}
	s.tracker = work.New(work.Options{
		ServiceDeskID: opt.ServiceDeskID, ProjectKey: opt.ProjectKey, ProjectName: opt.ProjectName, ProjectID: opt.ProjectID,
		SearchLag: opt.SearchLag, WorkflowTime: opt.WorkflowTime, PortalURL: opt.PortalURL,
	}, seed, &s.mu, host{s})
	s.clear()
	s.table = site.NewTable(append(s.routes(), s.tracker.Routes(s.inDesk)...))
	if sending.Outgoing != nil {
		var err error
		s.queue, err = deliver.New(deliver.Options{
			Transport: sending.Outgoing, Now: sending.Now, After: sending.After, Fault: sending.Fault, Policy: work.DeliveryPolicy(),
		})
		if err != nil {
			return nil, fmt.Errorf("jira: %w", err)
		}
	}
	return s, nil
}

// Close ends the deliveries.
func (s *Service) Close() error {
	if s.queue == nil {
		return nil
	}
	return s.queue.Close()
}

// Deliveries gives the newest attempts to deliver webhooks, oldest first.
func (s *Service) Deliveries() []deliver.Record {
	if s.queue == nil {
		return nil
	}
	return s.queue.Records()
}

// Work gives the work items, for the pages.
func (s *Service) Work() *work.Tracker { return s.tracker }

// Name gives the product's name.
func (s *Service) Name() string { return Name }

// Table gives the product's operations.
func (s *Service) Table() *site.Table { return s.table }

func (s *Service) clear() {
	s.customers, s.order, s.byEmail = map[string]*site.Versions[customer]{}, nil, map[string]string{}
	s.orgs, s.orgOrder, s.byName, s.nextOrg = map[int64]*organization{}, nil, map[string]int64{}, 1
	s.memberOf, s.deskUsers, s.deskOrgs = map[string]map[int64]struct{}{}, site.Members{}, site.Members{}
	s.search.Reset()
	s.links = site.Links{}
	s.tracker.Clear()
	if s.queue != nil {
		s.queue.Clear()
	}
}

// Lock keeps all requests out, for a reset of several products at once.
func (s *Service) Lock() { s.mu.Lock() }

// Unlock lets requests in again.
func (s *Service) Unlock() { s.mu.Unlock() }

// ResetLocked empties the service. The caller holds Lock.
func (s *Service) ResetLocked() { s.clear() }

// commit journals changes in one line and takes them into the state. The caller holds the lock.
func (s *Service) commit(changes ...site.Change) error {
	if err := s.log(changes); err != nil {
		return err
	}
	for _, c := range changes {
		if err := s.apply(c); err != nil {
			return err
		}
	}
	return nil
}

// Apply replays one journalled change.
func (s *Service) Apply(c site.Change) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.apply(c)
}

func (s *Service) apply(c site.Change) error {
	if strings.HasPrefix(c.Kind, work.ChangePrefix) {
		return s.tracker.Apply(c)
	}
	switch c.Kind {
	case changeCustomer:
		var x customer
		if err := json.Unmarshal(c.Data, &x); err != nil {
			return err
		}
		s.putCustomer(&x)
	case changeOrg:
		var r orgRecord
		if err := json.Unmarshal(c.Data, &r); err != nil {
			return err
		}
		s.putOrg(r)
	case changeOrgDelete:
		var r numberRecord
		if err := json.Unmarshal(c.Data, &r); err != nil {
			return err
		}
		return s.dropOrg(r)
	case changeOrgNext:
		var r numberRecord
		if err := json.Unmarshal(c.Data, &r); err != nil {
			return err
		}
		s.nextOrg = max(s.nextOrg, r.ID)
	case changeLink:
		var r site.Link
		if err := json.Unmarshal(c.Data, &r); err != nil {
			return err
		}
		s.links.Put(r)
	case changeMembers, changeDeskUsers, changeDeskOrgs:
		var r memberRecord
		if err := json.Unmarshal(c.Data, &r); err != nil {
			return err
		}
		return s.changeMembers(c.Kind, r)
	default:
		return fmt.Errorf("jira: unknown change %q: the journal is of a newer version", c.Kind)
	}
	return nil
}

func (s *Service) putCustomer(x *customer) {
	v := s.customers[x.AccountID]
	if v == nil {
		v = &site.Versions[customer]{}
		s.customers[x.AccountID] = v
		s.order = append(s.order, x.AccountID)
		s.byEmail[strings.ToLower(x.Email)] = x.AccountID
		s.search.Add(x.Email, x.AccountID)
		s.search.AddWords(x.DisplayName, x.AccountID)
	}
	v.Set(time.UnixMicro(x.Modified), x)
}

func (s *Service) putOrg(r orgRecord) {
	o := s.orgs[r.ID]
	if o == nil {
		o = &organization{}
		s.orgs[r.ID] = o
		s.orgOrder = append(s.orgOrder, r.ID)
		s.byName[r.Name] = r.ID
	}
	o.orgRecord = r
	s.nextOrg = max(s.nextOrg, r.ID+1)
}

func (s *Service) dropOrg(r numberRecord) error {
	o := s.orgs[r.ID]
	if o == nil {
		return fmt.Errorf("jira: delete of unknown organization %d", r.ID)
	}
	for _, id := range o.members.IDs(time.Time{}) {
		delete(s.memberOf[id], r.ID)
	}
	s.deskOrgs.Remove(time.UnixMicro(r.At), strconv.FormatInt(r.ID, 10))
	delete(s.byName, o.Name)
	delete(s.orgs, r.ID)
	s.orgOrder = slices.DeleteFunc(s.orgOrder, func(id int64) bool { return id == r.ID })
	return nil
}

func (s *Service) changeMembers(kind string, r memberRecord) error {
	at := time.UnixMicro(r.At)
	switch kind {
	case changeDeskUsers:
		s.deskUsers.Remove(at, r.Remove...)
		s.deskUsers.Add(at, r.Add...)
		return nil
	case changeDeskOrgs:
		s.deskOrgs.Remove(at, r.Remove...)
		s.deskOrgs.Add(at, r.Add...)
		return nil
	}
	o := s.orgs[r.Org]
	if o == nil {
		return fmt.Errorf("jira: members of unknown organization %d", r.Org)
	}
	for _, id := range o.members.Remove(at, r.Remove...) {
		delete(s.memberOf[id], r.Org)
	}
	for _, id := range o.members.Add(at, r.Add...) {
		if s.memberOf[id] == nil {
			s.memberOf[id] = map[int64]struct{}{}
		}
		s.memberOf[id][r.Org] = struct{}{}
	}
	return nil
}

// snapshotBatch is how many members or records one journal line of a snapshot holds.
const snapshotBatch = 1000

// SnapshotLocked gives changes that rebuild the service. The caller holds Lock.
func (s *Service) SnapshotLocked(emit func([]site.Change) error) error {
	var batch []site.Change
	put := func(kind string, data any) error {
		c, err := site.NewChange(kind, data)
		if err != nil {
			return err
		}
		if batch = append(batch, c); len(batch) < snapshotBatch {
			return nil
		}
		err = emit(batch)
		batch = nil
		return err
	}
	members := func(kind string, org int64, m *site.Members, at int64) error {
		for ids := range slices.Chunk(m.IDs(time.Time{}), snapshotBatch) {
			if err := put(kind, memberRecord{Org: org, Add: ids, At: at}); err != nil {
				return err
			}
		}
		return nil
	}
	for _, id := range s.order {
		if err := put(changeCustomer, s.customers[id].Current()); err != nil {
			return err
		}
	}
	for _, id := range s.orgOrder {
		o := s.orgs[id]
		if err := put(changeOrg, o.orgRecord); err != nil {
			return err
		}
		if err := members(changeMembers, id, &o.members, o.Created); err != nil {
			return err
		}
	}
	if s.nextOrg > 1 {
		if err := put(changeOrgNext, numberRecord{ID: s.nextOrg}); err != nil {
			return err
		}
	}
	if err := members(changeDeskUsers, 0, &s.deskUsers, 0); err != nil {
		return err
	}
	if err := members(changeDeskOrgs, 0, &s.deskOrgs, 0); err != nil {
		return err
	}
	for _, k := range s.links.All() {
		if err := put(changeLink, k); err != nil {
			return err
		}
	}
	if err := s.tracker.Snapshot(put); err != nil {
		return err
	}
	if len(batch) == 0 {
		return nil
	}
	return emit(batch)
}

// State gives the ground truth: portal customers as accounts, customer organizations as groups.
func (s *Service) State() site.State {
	s.mu.RLock()
	defer s.mu.RUnlock()
	st := site.State{App: Name, Accounts: make([]site.Account, 0, len(s.order)), Groups: make([]site.Group, 0, len(s.orgs))}
	for _, id := range s.order {
		x := s.customers[id].Current()
		a := site.Account{ID: id, AccountID: id, Email: x.Email, DisplayName: x.DisplayName, Active: x.Active, Groups: []string{}}
		for org := range maps.Keys(s.memberOf[id]) {
			a.Groups = append(a.Groups, s.orgs[org].Name)
		}
		st.Accounts = append(st.Accounts, a)
	}
	for _, o := range s.orgs {
		st.Groups = append(st.Groups, site.Group{ID: strconv.FormatInt(o.ID, 10), Name: o.Name, Members: o.members.IDs(time.Time{})})
	}
	st.Tickets = s.tracker.Tickets()
	st.Finish()
	return st
}

// Counts gives the ground truth's numbers alone.
func (s *Service) Counts() site.Counts {
	s.mu.RLock()
	defer s.mu.RUnlock()
	c := site.CountAccounts(func(yield func(site.Account) bool) {
		for _, id := range s.order {
			x := s.customers[id].Current()
			if !yield(site.Account{Email: x.Email, Active: x.Active}) {
				return
			}
		}
	})
	c.Groups, c.Tickets = len(s.orgs), s.tracker.Count()
	for _, o := range s.orgs {
		c.Memberships += o.members.Len()
	}
	return c
}
