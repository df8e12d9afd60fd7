package logintest

import (
	"context"
	"crypto/rand"
	"database/sql"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/session"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/policies/load"
)

// The people of the world. Names say what they are.
const (
	Ministry  = policies.PersonID("ministry-general")
	Local     = policies.PersonID("local-general")
	LocalBoss = policies.PersonID("local-administrator")
	TwoPosts  = policies.PersonID("local-two-posts") // of CityA, and of CityB beside it
	Vendor    = policies.PersonID("contractor-general")
	System    = policies.PersonID("system-administrator")
	Gone      = policies.PersonID("local-ended")

	Agency    = policies.OrgID("agency")
	MinistryA = policies.OrgID("ministry-a")
	CityA     = policies.OrgID("city-a")
	CityB     = policies.OrgID("city-b")
	VendorA   = policies.OrgID("contractor-a")
)

// Start is when the world begins.
var Start = time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)

// World is everything that a login asks.
type World struct {
	DB       *sqldb.DB
	Engine   *policies.Engine
	Resolver *access.Resolver
	Posts    *access.Posts
	Sessions *session.Store
	Ended    Ends

	mu     sync.Mutex
	now    time.Time
	people map[policies.PersonID]identity.Person
	orgs   map[policies.OrgID]identity.Organization
	held   map[policies.PersonID][]identity.Post
}

// Ends is a session.Hook that keeps what it hears.
type Ends struct {
	mu  sync.Mutex
	all []End
	Err error // what it answers
}

// End is one end of a session.
type End struct {
	Session session.Session
	Parties []session.Party
}

// SessionEnded implements session.Hook.
func (e *Ends) SessionEnded(_ context.Context, _ *sql.Tx, s session.Session, parties []session.Party) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, End{s, parties})
	return e.Err
}

// All gives what was heard.
func (e *Ends) All() []End {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.all)
}

// New makes the world in an empty database, with the tables of more beside its own.
func New(tb testing.TB, db *sqldb.DB, more ...sqldb.Migration) *World {
	tb.Helper()
	if err := db.Migrate(tb.Context(), append(more, access.Migration(), audit.Migration(db.Engine()), session.Migration())...); err != nil {
		tb.Fatal(err)
	}
	engine, err := load.Default()
	if err != nil {
		tb.Fatal(err)
	}
	w := &World{DB: db, Engine: engine, now: Start}
	w.orgs = map[policies.OrgID]identity.Organization{}
	for id, kind := range map[policies.OrgID]policies.OrgKind{
		Agency: policies.KindAgency, MinistryA: policies.KindMinistry, CityA: policies.KindMunicipality, CityB: policies.KindMunicipality,
		VendorA: policies.KindContractor,
	} {
		w.orgs[id] = identity.Organization{ID: id, Kind: kind}
	}
	w.people = map[policies.PersonID]identity.Person{}
	for _, p := range []identity.Person{
		{ID: Ministry, Org: MinistryA, Role: policies.RoleGeneral},
		{ID: Local, Org: CityA, Role: policies.RoleGeneral},
		{ID: LocalBoss, Org: CityA, Role: policies.RoleAdministrator},
		{ID: TwoPosts, Org: CityA, Role: policies.RoleGeneral},
		{ID: Vendor, Org: VendorA, Role: policies.RoleGeneral},
		{ID: System, Org: Agency, Role: policies.RoleSystemAdministrator},
		{ID: Gone, Org: CityA, Role: policies.RoleGeneral, EndedAt: Start.UnixMicro()},
	} {
		w.people[p.ID] = p
	}
	w.held = map[policies.PersonID][]identity.Post{TwoPosts: {
		{ID: "post", Person: TwoPosts, Kind: identity.PostConcurrent, Org: CityB, Role: policies.RoleAdministrator},
	}}
	w.Resolver, w.Posts = access.NewResolver(db, w, engine, w.Now), access.NewPosts(w)
	w.Sessions = session.New(db, w.Resolver, w.Posts, engine, &w.Ended)
	return w
}

// Now is the world's time.
func (w *World) Now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

// Pass lets time pass.
func (w *World) Pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// Put lets somebody be of an organization, with posts in others beside it. What was known of them before is forgotten.
func (w *World) Put(p identity.Person, org identity.Organization, posts []identity.Post, others ...identity.Organization) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.people[p.ID], w.held[p.ID] = p, posts
	for _, o := range append(others, org) {
		w.orgs[o.ID] = o
	}
}

// End ends a person's service, and nothing else: no session hears of it.
func (w *World) End(id policies.PersonID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.people[id]
	p.EndedAt = w.now.UnixMicro()
	w.people[id] = p
}

// Release takes a person's posts beside the main one away.
func (w *World) Release(id policies.PersonID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.held, id)
}

// Actor implements access.ActorSource.
func (w *World) Actor(_ context.Context, id policies.PersonID) (identity.Person, identity.Organization, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p, ok := w.people[id]
	if !ok {
		return identity.Person{}, identity.Organization{}, identity.ErrNotFound
	}
	return p, w.orgs[p.Org], nil
}

// Relations implements access.ActorSource.
func (w *World) Relations(context.Context, identity.Person, identity.Organization) (access.Relations, error) {
	return access.Relations{}, nil
}

// Held implements access.PostSource.
func (w *World) Held(_ context.Context, id policies.PersonID, _ int64) (posts []identity.Post, orgs []identity.Organization, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.held[id] {
		posts, orgs = append(posts, p), append(orgs, w.orgs[p.Org])
	}
	return posts, orgs, nil
}

// Secret draws a browser's secret.
func Secret(tb testing.TB) session.Secret {
	tb.Helper()
	s, err := session.NewSecret(rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// Audit lists the audit rows, newest first.
func (w *World) Audit(tb testing.TB, f audit.Filter) []audit.Row {
	tb.Helper()
	a, err := w.Resolver.Person(tb.Context(), System)
	if err != nil {
		tb.Fatal(err)
	}
	scope, err := w.Resolver.Scope(tb.Context(), a, policies.ActionAuditRead, nil, policies.Context{})
	if err != nil {
		tb.Fatal(err)
	}
	rows, err := audit.Find(tb.Context(), w.DB.Reader(), scope, f)
	if err != nil {
		tb.Fatal(err)
	}
	return rows
}
