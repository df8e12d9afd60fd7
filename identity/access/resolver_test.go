package access_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/policies/load"
)

var start = time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC)

// people is an ActorSource in memory.
type people struct {
	mu     sync.Mutex
	people map[policies.PersonID]identity.Person
	orgs   map[policies.OrgID]identity.Organization
	err    error

	serves    map[policies.OrgID][]policies.OrgID
	caretakes map[policies.PersonID][]policies.OrgID

	relationErr error
}

func (s *people) Relations(_ context.Context, p identity.Person, org identity.Organization) (access.Relations, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	of := func(ids []policies.OrgID) (orgs []identity.Organization) {
		for _, id := range ids {
			orgs = append(orgs, s.orgs[id])
		}
		return orgs
	}
	return access.Relations{Serves: of(s.serves[org.ID]), Caretakes: of(s.caretakes[p.ID])}, s.relationErr
}

func (s *people) Actor(_ context.Context, id policies.PersonID) (identity.Person, identity.Organization, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return identity.Person{}, identity.Organization{}, s.err
	}
	p, ok := s.people[id]
	if !ok {
		return identity.Person{}, identity.Organization{}, identity.ErrNotFound
	}
	return p, s.orgs[p.Org], nil
}

func (s *people) end(id policies.PersonID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.people[id]
	p.EndedAt = start.UnixMicro()
	s.people[id] = p
}

// house is a hub's worth of what Resolver needs.
type house struct {
	t      *testing.T
	db     *sqldb.DB
	source *people
	engine *policies.Engine
	now    time.Time
	*access.Resolver
}

// tables is a database with all tables, copied for each test.
var tables = sqldbtest.NewTemplate(func(ctx context.Context, db *sqldb.DB) error {
	return db.Migrate(ctx, access.Migration(), audit.Migration(db.Engine()))
})

func newHouse(t *testing.T, db *sqldb.DB) *house {
	t.Helper()
	if err := db.Migrate(t.Context(), access.Migration(), audit.Migration(db.Engine())); err != nil {
		t.Fatal(err)
	}
	engine, err := load.Default()
	if err != nil {
		t.Fatal(err)
	}
	h := &house{t: t, db: db, engine: engine, now: start, source: &people{
		orgs: map[policies.OrgID]identity.Organization{
			"agency": {ID: "agency", Kind: policies.KindAgency},
			"011002": {ID: "011002", Kind: policies.KindMunicipality, Parent: "010006"},
		},
		people: map[policies.PersonID]identity.Person{
			"planner":  {ID: "planner", Org: "agency", Role: policies.RoleSystemAdministrator},
			"approver": {ID: "approver", Org: "agency", Role: policies.RoleSystemAdministrator},
			"local":    {ID: "local", Org: "011002", Role: policies.RoleAdministrator},
		},
	}}
	h.Resolver = access.NewResolver(db, h.source, engine, h.clock)
	return h
}

func (h *house) clock() time.Time { return h.now }

func (h *house) person(id policies.PersonID) access.Actor {
	h.t.Helper()
	a, err := h.Person(h.t.Context(), id)
	if err != nil {
		h.t.Fatal(err)
	}
	return a
}

func (h *house) tx(fn func(ctx context.Context, tx *sql.Tx) error) error {
	return h.db.WithTx(h.t.Context(), fn)
}

// issue issues a credential as the hub's own bootstrap.
func (h *house) issue(id policies.PersonID, change func(*access.Issuance)) (token access.Token, err error) {
	h.t.Helper()
	i := access.Issuance{
		By: access.System(policies.TaskBootstrap), Scope: policies.System(policies.TaskBootstrap), Person: h.source.people[id],
		Now: h.now, Expires: h.now.Add(24 * time.Hour), Note: "test", Random: rand.Reader,
	}
	if change != nil {
		change(&i)
	}
	err = h.tx(func(ctx context.Context, tx *sql.Tx) (err error) {
		token, err = access.Issue(ctx, tx, i)
		return err
	})
	return token, err
}

// rows gives the audit log, oldest first, as "actor_kind actor action org object outcome: reason".
func (h *house) rows() []string {
	h.t.Helper()
	found, err := audit.Find(h.t.Context(), h.db.Reader(), policies.System(policies.TaskTest), audit.Filter{})
	if err != nil {
		h.t.Fatal(err)
	}
	var lines []string
	for _, r := range found {
		line := strings.Join([]string{string(r.ActorKind), r.Actor, r.Action, "org=" + string(r.Org), string(r.Outcome)}, " ") + ": " + r.Reason
		lines = append(lines, line)
	}
	slices.Reverse(lines)
	return lines
}

func (h *house) wantRows(want ...string) {
	h.t.Helper()
	if diff := cmp.Diff(want, h.rows()); diff != "" {
		h.t.Errorf("audit log (- want, + got):\n%s", diff)
	}
}

func TestCredentialLife(t *testing.T) {
	tables.Each(t, func(t *testing.T, db *sqldb.DB) {
		h := newHouse(t, db)
		token, err := h.issue("planner", nil)
		if err != nil {
			t.Fatal(err)
		}
		a, err := h.Authenticate(t.Context(), token)
		if err != nil {
			t.Fatal(err)
		}
		if a.Kind != access.KindPerson || a.Person.ID != "planner" || a.Org.ID != "agency" || a.Credential != token.ID() {
			t.Errorf("actor %+v", a)
		}
		h.now = start.Add(24 * time.Hour) // the very moment of expiry
		if _, err := h.Authenticate(t.Context(), token); !errors.Is(err, access.ErrCredentialExpired) || !errors.Is(err, identity.ErrRefused) ||
			!strings.Contains(err.Error(), "2026-04-02 09:00 JST") {
			t.Errorf("expired: %v", err)
		}
		h.now = start.Add(24*time.Hour - time.Microsecond)
		if _, err := h.Authenticate(t.Context(), token); err != nil {
			t.Errorf("a moment before expiry: %v", err)
		}

		planner := h.person("planner")
		scope, err := h.Scope(t.Context(), planner, policies.ActionPeopleWrite, nil, policies.Context{})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // revoking twice is harmless
			if err := h.tx(func(ctx context.Context, tx *sql.Tx) error {
				return access.Revoke(ctx, tx, planner, scope, token.ID(), h.now)
			}); err != nil {
				t.Fatal(err)
			}
		}
		list, err := access.Credentials(t.Context(), db.Reader(), policies.System(policies.TaskTest), "planner")
		if err != nil || len(list) != 1 || list[0].ID != token.ID() || list[0].RevokedAt != h.now.UnixMicro() || list[0].Note != "test" {
			t.Errorf("list %+v, %v", list, err)
		}
		h.now = h.now.Add(time.Second)
		if _, err := h.Authenticate(t.Context(), token); !errors.Is(err, access.ErrCredentialRevoked) {
			t.Errorf("revoked: %v", err)
		}
		const bootstrap = "bootstrap: create the operating agency and its first administrators"
		h.wantRows(
			"system "+bootstrap+" credential.issue org=agency done: "+bootstrap,
			"person planner credential.revoke org= done: system-administrator-administers-workspace",
			"person planner credential.use org= refused: credential expired",
			"person planner credential.use org= refused: credential revoked",
		)
	})
}

func TestCredentialOfSomebodyWhoLeft(t *testing.T) {
	h := newHouse(t, tables.Open(t, sqldb.SQLite))
	token, err := h.issue("local", nil)
	if err != nil {
		t.Fatal(err)
	}
	h.source.end("local")
	h.now = h.now.Add(time.Second)
	if _, err := h.Authenticate(t.Context(), token); !errors.Is(err, access.ErrPersonEnded) || !errors.Is(err, identity.ErrRefused) {
		t.Errorf("ended: %v", err)
	}
	if _, err := h.issue("local", nil); !errors.Is(err, access.ErrPersonEnded) {
		t.Errorf("a credential for somebody who left: %v", err)
	}
	if got := h.rows(); len(got) != 2 || got[1] != "person local credential.use org= refused: service ended" {
		t.Errorf("audit log: %q", got)
	}
}

func TestWrongTokensLearnNothing(t *testing.T) {
	h := newHouse(t, tables.Open(t, sqldb.SQLite))
	token, err := h.issue("planner", nil)
	if err != nil {
		t.Fatal(err)
	}
	before := h.rows()
	other, err := h.issue("approver", nil)
	if err != nil {
		t.Fatal(err)
	}
	// The right id with another credential's secret; also once the credential is no longer good.
	forged, err := access.ParseToken("musubi1." + token.ID() + "." + strings.Split(other.Reveal(), ".")[2])
	if err != nil {
		t.Fatal(err)
	}
	unknown, err := access.ParseToken("musubi1.0000000000000000." + strings.Split(token.Reveal(), ".")[2])
	if err != nil {
		t.Fatal(err)
	}
	for _, now := range []time.Time{start, start.Add(48 * time.Hour)} {
		h.now = now
		for name, wrong := range map[string]access.Token{"forged": forged, "unknown": unknown, "zero": {}} {
			a, err := h.Authenticate(t.Context(), wrong)
			if !errors.Is(err, access.ErrCredentialUnknown) || a.ID() != "" {
				t.Errorf("%s: %+v, %v", name, a, err)
			}
			if strings.Contains(err.Error(), strings.Split(wrong.Reveal()+"..?", ".")[2]) && wrong.Reveal() != "" {
				t.Errorf("%s: the error shows the secret: %v", name, err)
			}
		}
	}
	if after := h.rows(); len(after) != len(before)+1 {
		t.Errorf("strangers fill the audit log: %q", after)
	}
	var kept string
	if err := h.db.Reader().QueryRowContext(t.Context(), `SELECT token_sha256 FROM access_credential WHERE id = $1`, token.ID()).Scan(&kept); err != nil {
		t.Fatal(err)
	}
	if len(kept) != 64 || strings.Contains(token.Reveal(), kept) {
		t.Errorf("the hub keeps %q", kept)
	}
}

func TestIssueRefuses(t *testing.T) {
	h := newHouse(t, tables.Open(t, sqldb.SQLite))
	local := h.person("local")
	own, err := h.Scope(t.Context(), local, policies.ActionPeopleWrite, nil, policies.Context{})
	if err != nil {
		t.Fatal(err)
	}
	readAll, err := h.Scope(t.Context(), h.person("planner"), policies.ActionPeopleRead, nil, policies.Context{})
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		change  func(*access.Issuance)
		refused bool
	}{
		"by an organization's administrator": {func(i *access.Issuance) { i.By, i.Scope = local, own }, true},
		"with a scope for reading":           {func(i *access.Issuance) { i.By, i.Scope = h.person("planner"), readAll }, true},
		"with another's scope":               {func(i *access.Issuance) { i.By = h.person("planner") }, true},
		"by nobody":                          {func(i *access.Issuance) { i.By = access.Actor{} }, true},
		"without a scope":                    {func(i *access.Issuance) { i.Scope = policies.Scope{} }, true},
		"for nobody":                         {func(i *access.Issuance) { i.Person = identity.Person{} }, false},
		"expired at birth":                   {func(i *access.Issuance) { i.Expires = i.Now }, false},
		"for ever":                           {func(i *access.Issuance) { i.Expires = i.Now.Add(access.MaxLifetime + time.Second) }, false},
		"with a novel":                       {func(i *access.Issuance) { i.Note = strings.Repeat("x", access.MaxNote+1) }, false},
		"without randomness":                 {func(i *access.Issuance) { i.Random = strings.NewReader("") }, false},
	} {
		token, err := h.issue("planner", tc.change)
		if err == nil || errors.Is(err, identity.ErrRefused) != tc.refused || token.Reveal() != "" {
			t.Errorf("%s: %v, %v", name, token, err)
		}
	}
	h.wantRows()
	if err := h.tx(func(ctx context.Context, tx *sql.Tx) error {
		return access.Revoke(ctx, tx, local, own, "0000000000000000", h.now)
	}); !errors.Is(err, identity.ErrRefused) {
		t.Errorf("revoked by an organization's administrator: %v", err)
	}
	if err := h.tx(func(ctx context.Context, tx *sql.Tx) error {
		return access.Revoke(ctx, tx, access.System(policies.TaskBootstrap), policies.System(policies.TaskBootstrap), "0000000000000000", h.now)
	}); !errors.Is(err, identity.ErrNotFound) {
		t.Errorf("an unknown credential was revoked: %v", err)
	}
	if _, err := access.Credentials(t.Context(), h.db.Reader(), own, "local"); !errors.Is(err, identity.ErrRefused) {
		t.Errorf("listed: %v", err)
	}
}

func TestDecideRecordsRefusals(t *testing.T) {
	tables.Each(t, func(t *testing.T, db *sqldb.DB) {
		h := newHouse(t, db)
		local, planner := h.person("local"), h.person("planner")
		own, foreign := local.Org.Policy(), planner.Org.Policy()
		ctx := t.Context()

		d, err := h.Decide(ctx, local, policies.ActionPeopleWrite, own, policies.Context{})
		if err != nil || !d.Allow || d.Hash != h.engine.Hash() {
			t.Errorf("own people: %+v, %v", d, err)
		}
		h.wantRows() // what is permitted is recorded by whoever does it

		d, err = h.Decide(ctx, local, policies.ActionPeopleWrite, foreign, policies.Context{})
		if !errors.Is(err, identity.ErrRefused) || d.Allow {
			t.Errorf("another organization's people: %+v, %v", d, err)
		}
		if near := "the closest permit is administrator-writes-own-people, which needs: the target is the person's own organization"; err == nil || !strings.Contains(err.Error(), near) {
			t.Errorf("the refusal doesn't say %q: %v", near, err)
		}
		h.now = h.now.Add(time.Second)
		_, err = h.Scope(ctx, local, policies.ActionPlanMake, nil, policies.Context{})
		if near := "the closest permit is system-administrator-administers-workspace"; !errors.Is(err, identity.ErrRefused) || !strings.Contains(err.Error(), near) {
			t.Errorf("plan.make: the refusal doesn't say %q: %v", near, err)
		}
		h.now = h.now.Add(time.Second)
		s, err := h.Scope(ctx, planner, policies.ActionPlanApprove, nil, policies.Context{PlanMaker: "planner"})
		if !errors.Is(err, identity.ErrRefused) || !s.Denied() || !strings.Contains(err.Error(), "forbidden by maker-never-approves") {
			t.Errorf("one's own plan: %v", err)
		}
		h.now = h.now.Add(time.Second)
		if _, err := h.Scope(ctx, planner, policies.ActionPlanApprove, nil, policies.Context{}); err == nil {
			t.Error("a scope of approval without the plan's maker")
		}
		h.wantRows(
			"person local people.write org=agency refused: no policy permits it",
			"person local plan.make org= refused: no policy permits it",
			"person planner plan.approve org= refused: maker-never-approves",
			"person planner plan.approve org= refused: no answer: the policies could not be asked",
		)
		s, err = h.Scope(ctx, h.person("approver"), policies.ActionPlanApprove, nil, policies.Context{PlanMaker: "planner"})
		if err != nil || !s.All() || s.Actor() != "approver" {
			t.Errorf("another's plan: %+v, %v", s, err)
		}
	})
}

func TestActorIsLoadedAnew(t *testing.T) {
	h := newHouse(t, tables.Open(t, sqldb.SQLite))
	local := h.person("local")
	s, err := h.Scope(t.Context(), local, policies.ActionPeopleRead, []policies.Organization{{ID: "131016", Kind: policies.KindMunicipality}}, policies.Context{})
	if err != nil || !slices.Equal(s.Orgs(), []policies.OrgID{"011002"}) {
		t.Errorf("scope %v, %v", s.Orgs(), err)
	}
	h.source.end("local")
	if _, err := h.Scope(t.Context(), local, policies.ActionPeopleRead, nil, policies.Context{}); !errors.Is(err, access.ErrPersonEnded) {
		t.Errorf("after the end of service: %v", err)
	}
	h.now = h.now.Add(time.Second)
	if _, err := h.Decide(t.Context(), local, policies.ActionOrgRead, local.Org.Policy(), policies.Context{}); !errors.Is(err, access.ErrPersonEnded) {
		t.Errorf("after the end of service: %v", err)
	}
	h.wantRows("person local people.read org= refused: service ended", "person local org.read org=011002 refused: service ended")

	delete(h.source.people, "local")
	if _, err := h.Person(t.Context(), "local"); !errors.Is(err, access.ErrPersonEnded) {
		t.Errorf("a person whom nobody knows: %v", err)
	}
	h.source.people["planner"] = identity.Person{ID: "somebody else", Org: "agency", Role: policies.RoleSystemAdministrator}
	if _, err := h.Person(t.Context(), "planner"); err == nil {
		t.Error("a source that answers with another person was believed")
	}
	h.source.err = errors.New("disk on fire")
	if _, err := h.Decide(t.Context(), local, policies.ActionOrgRead, local.Org.Policy(), policies.Context{}); err == nil || errors.Is(err, identity.ErrRefused) {
		t.Errorf("a broken directory: %v", err)
	}
}

// Whom a contractor serves and whom a caretaker takes care of is read at each decision, and needs no mention by the caller.
func TestRelationsAreLoadedAnew(t *testing.T) {
	h := newHouse(t, tables.Open(t, sqldb.SQLite))
	h.source.orgs["vendor"] = identity.Organization{ID: "vendor", Kind: policies.KindContractor}
	h.source.orgs["131016"] = identity.Organization{ID: "131016", Kind: policies.KindMunicipality, Parent: "130001"}
	h.source.people["engineer"] = identity.Person{ID: "engineer", Org: "vendor", Role: policies.RoleGeneral}
	h.source.serves = map[policies.OrgID][]policies.OrgID{"vendor": {"131016", "011002"}}
	h.source.caretakes = map[policies.PersonID][]policies.OrgID{"local": {"131016", "agency"}}
	engineer, local := h.person("engineer"), h.person("local")
	scope := func(a access.Actor, action policies.Action, want ...policies.OrgID) {
		t.Helper()
		s, err := h.Scope(t.Context(), a, action, nil, policies.Context{})
		if err != nil || !slices.Equal(s.Orgs(), want) {
			t.Errorf("%s of %s: %v, want %v; %v", action, a.ID(), s.Orgs(), want, err)
		}
	}
	scope(engineer, policies.ActionContactRead, "011002", "131016", "vendor")
	scope(local, policies.ActionPeopleWrite, "011002", "131016")
	if d, err := h.Decide(t.Context(), local, policies.ActionPeopleRead, h.source.orgs["131016"].Policy(), policies.Context{}); err != nil || !d.Allow {
		t.Errorf("the caretaker: %+v, %v", d, err)
	}
	// The caller can't describe an organization otherwise than the directory does.
	s, err := h.Scope(t.Context(), local, policies.ActionPeopleWrite, []policies.Organization{{ID: "agency", Kind: policies.KindMinistry}}, policies.Context{})
	if err != nil || s.Covers("agency") {
		t.Errorf("the agency in disguise: %v, %v", s.Orgs(), err)
	}

	h.source.serves, h.source.caretakes = nil, nil
	scope(engineer, policies.ActionContactRead, "vendor")
	scope(local, policies.ActionPeopleWrite, "011002")
	if _, err := h.Decide(t.Context(), local, policies.ActionPeopleRead, h.source.orgs["131016"].Policy(), policies.Context{}); !errors.Is(err, identity.ErrRefused) {
		t.Errorf("a caretaker no more: %v", err)
	}
	h.source.relationErr = errors.New("disk on fire")
	if s, err := h.Scope(t.Context(), local, policies.ActionPeopleRead, nil, policies.Context{}); err == nil || !s.Denied() {
		t.Errorf("a broken directory: %v", err)
	}
}

// A page that leaves out what its reader may not see attempts nothing; everything else is recorded as by Scope.
func TestAskRecordsNoRefusal(t *testing.T) {
	h := newHouse(t, tables.Open(t, sqldb.SQLite))
	local, ctx := h.person("local"), t.Context()
	s, err := h.Ask(ctx, local, policies.ActionPlanMake, nil, policies.Context{})
	if err != nil || !s.Denied() || s.For(policies.ActionPlanMake) {
		t.Errorf("what isn't permitted: %+v, %v", s, err)
	}
	s, err = h.Ask(ctx, local, policies.ActionPeopleRead, nil, policies.Context{})
	want, err2 := h.Scope(ctx, local, policies.ActionPeopleRead, nil, policies.Context{})
	if err != nil || err2 != nil || s.Denied() || !reflect.DeepEqual(s, want) {
		t.Errorf("what is permitted: %+v, %v; want %+v, %v", s, err, want, err2)
	}
	s, err = h.Ask(ctx, h.person("planner"), policies.ActionPlanApprove, nil, policies.Context{PlanMaker: "planner"})
	if err != nil || !s.Denied() {
		t.Errorf("what is forbidden: %+v, %v", s, err)
	}
	h.wantRows()

	if s, err := h.Ask(ctx, local, policies.ActionPlanApprove, nil, policies.Context{}); err == nil || !s.Denied() {
		t.Errorf("no answer: %+v, %v", s, err)
	}
	h.now = h.now.Add(time.Second)
	if s, err := h.Ask(ctx, access.Actor{}, policies.ActionOrgRead, nil, policies.Context{}); !errors.Is(err, identity.ErrRefused) || !s.Denied() {
		t.Errorf("nobody: %+v, %v", s, err)
	}
	a, err := access.BreakGlass("root")
	if err != nil {
		t.Fatal(err)
	}
	if s, err := h.Ask(ctx, a, policies.ActionOrgRead, nil, policies.Context{}); err != nil || !s.All() {
		t.Errorf("break-glass: %+v, %v", s, err)
	}
	h.now = h.now.Add(time.Second)
	h.source.end("local")
	if _, err := h.Ask(ctx, local, policies.ActionOrgRead, nil, policies.Context{}); !errors.Is(err, access.ErrPersonEnded) {
		t.Errorf("after the end of service: %v", err)
	}
	h.wantRows(
		"person local plan.approve org= refused: no answer: the policies could not be asked",
		"break_glass root org.read org= allowed: break-glass",
		"person local org.read org= refused: service ended",
	)
}

func TestBreakGlassIsRecordedAndNeverApproves(t *testing.T) {
	h := newHouse(t, tables.Open(t, sqldb.SQLite))
	a, err := access.BreakGlass(`root@agency.example`)
	if err != nil {
		t.Fatal(err)
	}
	for _, action := range policies.Actions() {
		s, err := h.Scope(t.Context(), a, action, nil, policies.Context{PlanMaker: "planner"})
		allowed := slices.Contains(policies.BreakGlassActions(), action)
		if (err == nil) != allowed || s.All() != allowed || (err != nil && !errors.Is(err, identity.ErrRefused)) {
			t.Errorf("%s: %v", action, err)
		}
		h.now = h.now.Add(time.Second)
		d, err := h.Decide(t.Context(), a, action, policies.Organization{ID: "011002", Kind: policies.KindMunicipality}, policies.Context{PlanMaker: "planner"})
		if (err == nil) != allowed || d.Allow != allowed {
			t.Errorf("%s: %+v, %v", action, d, err)
		}
		h.now = h.now.Add(time.Second)
	}
	var want []string
	for _, action := range policies.Actions() {
		outcome := "allowed: break-glass"
		if !slices.Contains(policies.BreakGlassActions(), action) {
			outcome = "refused: never open to break-glass"
		}
		for _, org := range []string{"", "011002"} {
			want = append(want, "break_glass root@agency.example "+string(action)+" org="+org+" "+outcome)
		}
	}
	h.wantRows(want...)

	for _, name := range []string{"", "a\nb", strings.Repeat("x", 65), "\xff"} {
		if _, err := access.BreakGlass(name); err == nil {
			t.Errorf("the user name %q was taken", name)
		}
	}
	if _, err := h.Scope(t.Context(), access.Actor{Kind: access.KindBreakGlass}, policies.ActionOrgWrite, nil, policies.Context{}); !errors.Is(err, identity.ErrRefused) {
		t.Errorf("break-glass without a user: %v", err)
	}
}

// Nothing is done without its record: where the log can't be written, break-glass gets nothing.
func TestNoRecordNoRight(t *testing.T) {
	h := newHouse(t, tables.Open(t, sqldb.SQLite))
	a, err := access.BreakGlass("root")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.db.Writer().ExecContext(t.Context(), `DROP TABLE audit_row`); err != nil {
		t.Fatal(err)
	}
	if s, err := h.Scope(t.Context(), a, policies.ActionOrgWrite, nil, policies.Context{}); err == nil || !s.Denied() {
		t.Errorf("a right without a record: %v", err)
	}
	if _, err := h.issue("planner", nil); err == nil {
		t.Error("a credential without a record")
	}
	list, err := access.Credentials(t.Context(), h.db.Reader(), policies.System(policies.TaskTest), "planner")
	if err != nil || len(list) != 0 {
		t.Errorf("the credential stayed: %+v, %v", list, err)
	}
}

func TestActorsThatAreNobody(t *testing.T) {
	h := newHouse(t, tables.Open(t, sqldb.SQLite))
	for name, a := range map[string]access.Actor{
		"zero": {}, "system": access.System(policies.TaskProvision), "unknown kind": {Kind: "robot", OSUser: "x"},
	} {
		if s, err := h.Scope(t.Context(), a, policies.ActionOrgRead, nil, policies.Context{}); !errors.Is(err, identity.ErrRefused) || !s.Denied() {
			t.Errorf("%s: %v", name, err)
		}
		if !reflect.DeepEqual(a.Policy(), policies.Person{}) || a.ScopeActor() != "" {
			t.Errorf("%s passes for a person", name)
		}
	}
}
