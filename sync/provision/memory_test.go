package provision

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/musubi-hub/musubi/policies"
)

// memLedger is a Ledger in memory: the model that the SQL store is checked against, and the runner of the fault schedules.
type memLedger struct {
	mu       sync.Mutex
	now      func() time.Time
	steps    []Step
	waits    []int
	state    []Outcome // "" is pending
	reason   []string
	attempts []int
	accounts map[holder]AccountRow
	groups   map[team]GroupRow
	members  map[holder]map[policies.OrgID]bool // false: pending
	tried    []bool
	left     map[policies.PersonID]bool
	releases map[string]*memRelease
	notBy    map[int]time.Time // when a retried operation may run again
}

type memRelease struct {
	product  policies.Product
	person   policies.PersonID
	cause    string
	done     bool
	attempts int
	notBy    time.Time
}

func newMemLedger(now func() time.Time, steps []Step) *memLedger {
	m := &memLedger{
		now: now, steps: steps, waits: make([]int, len(steps)), state: make([]Outcome, len(steps)), reason: make([]string, len(steps)),
		attempts: make([]int, len(steps)), tried: make([]bool, len(steps)), accounts: map[holder]AccountRow{}, groups: map[team]GroupRow{},
		members: map[holder]map[policies.OrgID]bool{}, left: map[policies.PersonID]bool{}, releases: map[string]*memRelease{}, notBy: map[int]time.Time{},
	}
	for i, st := range steps {
		m.waits[i] = st.Waits
	}
	return m
}

// load starts another run over the same ledger.
func (m *memLedger) load(steps []Step) {
	n := newMemLedger(m.now, steps)
	m.steps, m.waits, m.state, m.reason, m.attempts, m.tried, m.notBy = n.steps, n.waits, n.state, n.reason, n.attempts, n.tried, n.notBy
}

func (m *memLedger) Begin(_ context.Context, _ string, seq int) (View, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	op := m.steps[seq].Op
	v := View{Op: op, Attempts: m.attempts[seq], Tried: m.tried[seq], Rival: m.rival}
	if m.state[seq] != "" {
		v.Standing = StandingFinal
		return v, nil
	}
	m.fill(&v)
	now := m.now()
	switch op.Kind {
	case OpGroup:
		t := team{op.Product, op.Org}
		g, ok := m.groups[t]
		if ok && g.GroupID != "" {
			break
		}
		m.groups[t] = GroupRow{Product: op.Product, Org: op.Org, Name: op.Name, TriedAt: now}
	case OpAdd:
		m.tried[seq] = true
		var removals []Op
		for i, st := range m.steps {
			if st.Op.Kind == OpRemove && slices.Contains(st.Next, seq) && m.state[i] != OutcomeDone {
				removals = append(removals, st.Op)
			}
		}
		v.Inside = stillInside(op, removals)
		for _, p := range op.Members {
			if h := (holder{op.Product, p}); !m.left[p] && !v.Inside[p] {
				m.member(h, op.Org, m.members[h][op.Org])
			}
		}
	case OpAccount:
		h := holder{op.Product, op.Person}
		row, ok := m.accounts[h]
		if m.left[op.Person] || fingerprintOf(row, ok) != op.Before {
			break
		}
		if ok && row.AccountID != "" {
			m.tried[seq] = true
			break
		}
		if !ok {
			row = AccountRow{Product: op.Product, Person: op.Person, Org: op.Org, Seat: op.Seat, State: StateCreating, Attributes: *op.After}
		}
		row.TriedAt = now
		m.accounts[h] = row
	}
	return v, nil
}

func (m *memLedger) fill(v *View) {
	people := v.Op.Members
	if v.Op.Person != "" {
		people = []policies.PersonID{v.Op.Person}
	}
	v.Left, v.Accounts = map[policies.PersonID]bool{}, map[policies.PersonID]AccountRow{}
	for _, p := range people {
		if row, ok := m.accounts[holder{v.Op.Product, p}]; ok {
			v.Accounts[p] = row
		}
		if m.left[p] {
			v.Left[p] = true
		}
	}
	if g, ok := m.groups[team{v.Op.Product, v.Op.Org}]; ok {
		v.Group = &g
	}
}

func (m *memLedger) BeginRelease(_ context.Context, product policies.Product, person policies.PersonID, cause string) (View, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v := View{Op: Op{Product: product, Kind: OpRelease, Person: person, Cause: cause}, Rival: m.rival}
	r := m.releases[string(product)+"/"+string(person)+"/"+cause]
	if r == nil || r.done {
		v.Standing = StandingFinal
		return v, nil
	}
	v.Attempts = r.attempts
	m.fill(&v)
	for _, org := range slices.Sorted(maps.Keys(m.members[holder{product, person}])) {
		if g := m.groups[team{product, org}]; g.GroupID != "" {
			v.Groups = append(v.Groups, g)
		}
	}
	if _, seq, ok := grantOf(cause); ok {
		op := m.steps[seq].Op
		g := m.groups[team{op.Product, op.Org}]
		v.grant(op, &g)
	}
	return v, nil
}

func (m *memLedger) Finish(_ context.Context, op Op, e Effect) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	open := m.close(op, e)
	h := holder{op.Product, op.Person}
	if e.Account != nil {
		row := *e.Account
		row.TriedAt = time.Time{}
		h := holder{row.Product, row.Person}
		if have := m.accounts[h].AccountID; op.Kind != OpRelease || have == "" || have == row.AccountID {
			m.accounts[h] = row
		}
	} else if op.Kind == OpAccount && e.Untried {
		if row, ok := m.accounts[h]; ok {
			row.TriedAt = e.Tried
			m.accounts[h] = row
		}
	}
	if e.Group != nil {
		g := *e.Group
		g.TriedAt = time.Time{}
		m.groups[team{g.Product, g.Org}] = g
	} else if op.Kind == OpGroup && e.Untried {
		g := m.groups[team{op.Product, op.Org}]
		g.TriedAt = e.Tried
		m.groups[team{op.Product, op.Org}] = g
	}
	for _, p := range e.Added {
		m.member(holder{op.Product, p}, op.Org, true)
	}
	for _, p := range e.Removed {
		delete(m.members[holder{op.Product, p}], op.Org)
	}
	if m.accounts[h].AccountID == e.Receipt.AccountID {
		for _, org := range e.Out {
			delete(m.members[h], org)
		}
	}
	if op.Kind != OpRelease {
		granted := slices.Clone(e.Added)
		if e.Account != nil && e.Account.State == StateActive {
			granted = append(granted, e.Account.Person)
		}
		for _, p := range granted {
			if m.left[p] {
				m.startRelease(op.Product, p, grantCause(op))
			}
		}
	}
	if open && e.Outcome == OutcomeSplit {
		next := m.steps[op.Seq].Next
		for _, members := range e.Parts {
			part := op
			part.Seq, part.Members = len(m.steps), members
			m.steps = append(m.steps, Step{Op: part, Next: next})
			m.waits, m.state, m.reason = append(m.waits, 0), append(m.state, ""), append(m.reason, "")
			m.attempts, m.tried = append(m.attempts, 0), append(m.tried, m.tried[op.Seq])
			for _, n := range next {
				m.waits[n]++
			}
			for i := range m.steps {
				if slices.Contains(m.steps[i].Next, op.Seq) {
					m.steps[i].Next = append(slices.Clone(m.steps[i].Next), part.Seq)
				}
			}
		}
	}
	if open && op.Kind != OpRelease && e.Outcome != OutcomeRetry {
		for _, next := range m.steps[op.Seq].Next {
			m.waits[next]--
		}
	}
	return nil
}

func (m *memLedger) member(h holder, org policies.OrgID, confirmed bool) {
	if m.members[h] == nil {
		m.members[h] = map[policies.OrgID]bool{}
	}
	m.members[h][org] = confirmed
}

func (m *memLedger) close(op Op, e Effect) (open bool) {
	if op.Kind == OpRelease {
		r := m.releases[string(op.Product)+"/"+string(op.Person)+"/"+op.Cause]
		if r == nil || r.done {
			return false
		}
		if e.Outcome == OutcomeRetry {
			r.attempts++
			r.notBy = m.now().Add(e.After)
		} else {
			r.done = e.Outcome == OutcomeDone
		}
		return true
	}
	if m.state[op.Seq] != "" {
		return false
	}
	m.reason[op.Seq] = e.Reason
	if e.Outcome == OutcomeRetry {
		m.attempts[op.Seq]++
		m.notBy[op.Seq] = m.now().Add(e.After)
	} else {
		m.state[op.Seq] = e.Outcome
	}
	return true
}

func (m *memLedger) startRelease(product policies.Product, person policies.PersonID, cause string) {
	key := string(product) + "/" + string(person) + "/" + cause
	if m.releases[key] == nil {
		m.releases[key] = &memRelease{product: product, person: person, cause: cause}
	}
}

// leave ends a person's service, as EnqueueLeaver does.
func (m *memLedger) leave(person policies.PersonID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.left[person] = true
	for _, p := range policies.Products() {
		if row, ok := m.accounts[holder{p, person}]; ok && (row.State != StateDisabled || !row.TriedAt.IsZero()) {
			m.startRelease(p, person, "left")
		}
	}
}

func (m *memLedger) rival(_ context.Context, product policies.Product, accountID string) (policies.PersonID, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for h, row := range m.accounts {
		if h.product == product && row.AccountID == accountID {
			return h.person, nil
		}
	}
	return "", nil
}

func (m *memLedger) known() Known {
	m.mu.Lock()
	defer m.mu.Unlock()
	k := Known{Groups: map[policies.Product]map[policies.OrgID]string{}, Members: map[policies.Product]map[policies.PersonID][]policies.OrgID{}, Maybe: map[policies.Product]map[policies.PersonID][]policies.OrgID{}}
	for _, p := range policies.Products() {
		k.Groups[p] = map[policies.OrgID]string{}
		k.Members[p], k.Maybe[p] = map[policies.PersonID][]policies.OrgID{}, map[policies.PersonID][]policies.OrgID{}
	}
	for _, row := range m.accounts {
		if row.State != StateCreating {
			k.Accounts = append(k.Accounts, KnownAccount{Product: row.Product, Person: row.Person, Org: row.Org, Seat: row.Seat, AccountID: row.AccountID, Attributes: row.Attributes})
		}
	}
	slices.SortFunc(k.Accounts, func(a, b KnownAccount) int {
		if a.Product != b.Product {
			return len(a.Product) - len(b.Product)
		}
		if a.Person < b.Person {
			return -1
		}
		return 1
	})
	for t, g := range m.groups {
		if g.GroupID != "" {
			k.Groups[t.product][t.org] = g.Name
		}
	}
	for h, orgs := range m.members {
		for _, org := range slices.Sorted(maps.Keys(orgs)) {
			into := k.Maybe
			if orgs[org] {
				into = k.Members
			}
			into[h.product][h.person] = append(into[h.product][h.person], org)
		}
	}
	return k
}
