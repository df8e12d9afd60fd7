package console

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/connectors"
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/directory"
	"github.com/musubi-hub/musubi/identity/invitation"
	"github.com/musubi-hub/musubi/identity/mynumber"
	"github.com/musubi-hub/musubi/identity/password"
	"github.com/musubi-hub/musubi/identity/session"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/policies/load"
	"github.com/musubi-hub/musubi/sync/breaker"
	"github.com/musubi-hub/musubi/sync/dated"
	"github.com/musubi-hub/musubi/sync/jobs"
	"github.com/musubi-hub/musubi/sync/provision"
)

const (
	agency   = policies.OrgID("8000012010038")
	ministry = policies.OrgID("2000012020001")
	hokkaido = policies.OrgID("010006")
	sapporo  = policies.OrgID("011002")
	chuo     = policies.OrgID("011011")
	aomori   = policies.OrgID("020001")
)

// clock is the time of a test.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) forward(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// hub is everything that the console stands on, in a database of its own.
type hub struct {
	t        *testing.T
	db       *sqldb.DB
	clock    *clock
	engine   *policies.Engine
	dir      *directory.Store
	prov     *provision.Store
	breakers *breaker.Store
	resolver *access.Resolver
	console  *Console
	handler  http.Handler
}

// migrated is the database of every hub, and loaded its policies: made once for all tests.
var (
	migrated = sqldbtest.NewTemplate(func(ctx context.Context, db *sqldb.DB) error {
		return db.Migrate(ctx, directory.Migration(), access.Migration(), audit.Migration(db.Engine()), provision.Migration(), breaker.Migration(), Migration(),
			session.Migration(), mynumber.Migration(), password.Migration(), invitation.Migration())
	})
	loaded = sync.OnceValues(load.Default)
)

func newHub(t *testing.T, db *sqldb.DB, change func(*Config)) *hub {
	t.Helper()
	engine, err := loaded()
	if err != nil {
		t.Fatal(err)
	}
	h := &hub{t: t, db: db, engine: engine, clock: &clock{t: time.Date(2026, 10, 5, 1, 30, 0, 0, time.UTC)}}
	h.prov = provision.NewStore(db, h.clock.now)
	h.prov.Bind(noJobs{})
	made := 0
	enqueuer := dated.New(h.prov)
	enqueuer.Bind(noJobs{})
	h.dir = directory.New(db, directory.Options{Now: h.clock.now, Enqueuer: enqueuer, NewID: func() policies.PersonID {
		made++
		return policies.PersonID(fmt.Sprintf("p%08d", made))
	}})
	h.resolver = access.NewResolver(db, h.dir, engine, h.clock.now)
	baseline := func(context.Context, breaker.Querier, breaker.Level, string, breaker.Loss) (int, error) {
		return 1000, nil
	}
	if h.breakers, err = breaker.New(db, h.clock.now, breaker.Default(), baseline); err != nil {
		t.Fatal(err)
	}
	h.prov.Guard(h.breakers, h.dir, enqueuer)
	cfg := Config{
		DB: db, Directory: h.dir, Provision: h.prov, Resolver: h.resolver, Now: h.clock.now, Random: rand.Reader,
		Breakers: h.breakers, Another: func(context.Context, policies.Scope) (bool, error) { return true, nil },
		Connectors: map[policies.Product]connectors.Opened{
			policies.ProductAtlassian: {Description: connectors.Description{
				Name: "atlassian", Vendor: "Atlassian", Product: "Atlassian organization", DataRegion: "JP", ISMAP: "registered", LGWAN: connectors.ReachRelay,
				Limits: connectors.Limits{MemberBatch: 100, Budgets: []connectors.Budget{{Class: "atlassian.scim", Rate: 50, Burst: 100}}},
			}},
			policies.ProductJira: {Description: connectors.Description{
				Name: "jira", Vendor: "Atlassian", Product: "Jira Service Management", DataRegion: "JP", ISMAP: "registered", LGWAN: connectors.ReachRelay,
				Limits: connectors.Limits{MemberBatch: 50, Budgets: []connectors.Budget{{Class: "jira.get", Rate: 100, Burst: 100}, {Class: "jira.post", Rate: 100, Burst: 100}}},
			}},
			policies.ProductSlack: {Description: connectors.Description{
				Name: "slack", Vendor: "Slack", Product: "Slack", DataRegion: "JP", ISMAP: "registered", LGWAN: connectors.ReachRelay,
				Limits: connectors.Limits{MemberBatch: 1000, Budgets: []connectors.Budget{{Class: "slack.scim.user.write", Rate: 3, Burst: 20}}},
			}},
		},
		ProductLinks: map[policies.Product]string{policies.ProductAtlassian: "http://127.0.0.1:8090/atlassian/", policies.ProductJira: "http://127.0.0.1:8090/jira/", policies.ProductSlack: "http://127.0.0.1:8090/slack/"},
	}
	if change != nil {
		change(&cfg)
	}
	if h.console, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	h.handler = h.console.Handler()
	return h
}

func sqliteHub(t *testing.T) *hub {
	t.Helper()
	return newHub(t, migrated.Open(t, sqldb.SQLite), nil)
}

type noJobs struct{}

func (noJobs) InsertTx(_ context.Context, _ *sql.Tx, ins ...jobs.Insert) (int, error) {
	return len(ins), nil
}

var everywhere = policies.System(policies.TaskTest)

func (h *hub) org(id policies.OrgID, kind policies.OrgKind, name, kana string, parent policies.OrgID) {
	h.t.Helper()
	o := identity.Organization{ID: id, Kind: kind, Name: name, Kana: kana, Parent: parent}
	if _, err := h.dir.AddOrganization(h.t.Context(), everywhere, o, directory.Author{Source: "test"}); err != nil {
		h.t.Fatal(err)
	}
}

func (h *hub) person(org policies.OrgID, role policies.Role, family, given string) identity.Person {
	h.t.Helper()
	var n int
	if err := h.db.Reader().QueryRowContext(h.t.Context(), "SELECT COUNT(*) FROM person").Scan(&n); err != nil {
		h.t.Fatal(err)
	}
	p, err := h.dir.AddPerson(h.t.Context(), everywhere, identity.Person{
		Org: org, Role: role, FamilyName: family, GivenName: given, StaffNumber: fmt.Sprintf("S%05d", n+1),
		Email: fmt.Sprintf("staff%05d@n%s.example.lg.jp", n+1, org),
	}, directory.Author{Source: "test"})
	if err != nil {
		h.t.Fatal(err)
	}
	return p
}

// cast is the people of the small country.
type cast struct{ planner, approver, sapporoAdmin, sapporoStaff, aomoriAdmin, aomoriStaff, official identity.Person }

func (h *hub) country() cast {
	h.t.Helper()
	h.org(agency, policies.KindAgency, "デジタル庁", "でじたるちょう", "")
	h.org(ministry, policies.KindMinistry, "総務省", "そうむしょう", "")
	h.org(hokkaido, policies.KindPrefecture, "北海道", "ほっかいどう", "")
	h.org(aomori, policies.KindPrefecture, "青森県", "あおもりけん", "")
	h.org(sapporo, policies.KindMunicipality, "札幌市", "さっぽろし", hokkaido)
	h.org(chuo, policies.KindWard, "札幌市 中央区", "さっぽろしちゅうおうく", sapporo)
	return cast{
		planner:      h.person(agency, policies.RoleSystemAdministrator, "計画", "一郎"),
		approver:     h.person(agency, policies.RoleSystemAdministrator, "承認", "花子"),
		sapporoAdmin: h.person(sapporo, policies.RoleAdministrator, "札幌管理", "太郎"),
		sapporoStaff: h.person(sapporo, policies.RoleGeneral, "札幌職員", "次郎"),
		aomoriAdmin:  h.person(aomori, policies.RoleAdministrator, "青森管理", "三郎"),
		aomoriStaff:  h.person(aomori, policies.RoleGeneral, "青森職員", "四郎"),
		official:     h.person(ministry, policies.RoleGeneral, "総務職員", "五郎"),
	}
}

func (h *hub) actor(p identity.Person) access.Actor {
	h.t.Helper()
	a, err := h.resolver.Person(h.t.Context(), p.ID)
	if err != nil {
		h.t.Fatal(err)
	}
	return a
}

func (h *hub) scope(p identity.Person, action policies.Action, c policies.Context) policies.Scope {
	h.t.Helper()
	s, err := h.resolver.Scope(h.t.Context(), h.actor(p), action, nil, c)
	if err != nil {
		h.t.Fatal(err)
	}
	return s
}

// plan makes the plan that the present asks for, and stores it.
func (h *hub) plan(maker identity.Person) provision.PlanRecord {
	h.t.Helper()
	p, err := provision.NewPlanner(h.prov, h.dir, h.engine).Current(h.t.Context(), maker.ID)
	if err != nil {
		h.t.Fatal(err)
	}
	r, err := h.prov.Save(h.t.Context(), h.scope(maker, policies.ActionPlanMake, policies.Context{}), p)
	if err != nil {
		h.t.Fatal(err)
	}
	return r
}

// account confirms an account in the ledger, as the answer of a SaaS does.
func (h *hub) account(p identity.Person, product policies.Product, seat policies.Seat) {
	h.t.Helper()
	attributes := provision.Attributes{Email: p.Email, DisplayName: p.DisplayName(), Active: true}
	op := provision.Op{Run: "by hand", Product: product, Kind: provision.OpAccount, Org: p.Org, Person: p.ID, Seat: seat, After: &attributes}
	err := h.prov.Finish(h.t.Context(), op, provision.Effect{Outcome: provision.OutcomeDone, Account: &provision.AccountRow{
		Product: product, Person: p.ID, Org: p.Org, Seat: seat, AccountID: "acc-" + string(p.ID), State: provision.StateActive, Attributes: attributes,
	}})
	if err != nil {
		h.t.Fatal(err)
	}
}

// answer is what a browser got.
type answer struct {
	status int
	header http.Header
	body   string
}

// browser keeps the console's cookie, as a browser does.
type browser struct {
	h      *hub
	cookie string
	secret session.Secret // of who has logged in
}

func (b *browser) do(method, path string, change func(*http.Request)) answer {
	b.h.t.Helper()
	r := httptest.NewRequest(method, "http://127.0.0.1:8080"+path, http.NoBody)
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	if b.cookie != "" {
		r.AddCookie(&http.Cookie{Name: cookieName, Value: b.cookie})
	}
	if !b.secret.Zero() {
		r.AddCookie(b.secret.Cookie(session.CookieName))
	}
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	b.h.handler.ServeHTTP(w, r.WithContext(b.h.t.Context()))
	result := w.Result()
	defer result.Body.Close()
	body, err := io.ReadAll(result.Body)
	if err != nil {
		b.h.t.Fatal(err)
	}
	for _, c := range result.Cookies() {
		if c.Name == cookieName {
			b.cookie = c.Value
		}
	}
	return answer{result.StatusCode, result.Header, string(body)}
}

func (b *browser) get(path string) answer { b.h.t.Helper(); return b.do(http.MethodGet, path, nil) }

func (h *hub) ticket(p identity.Person) string {
	h.t.Helper()
	path, err := Ticket(h.t.Context(), h.db, h.actor(p), h.clock.now(), rand.Reader)
	if err != nil {
		h.t.Fatal(err)
	}
	return path
}

// open opens the console as a person does: looks at the address, and presses the button.
func (h *hub) open(p identity.Person) *browser {
	h.t.Helper()
	b := &browser{h: h}
	path := h.ticket(p)
	if a := b.get(path); a.status != http.StatusOK {
		h.t.Fatalf("the one-time address: %d %s", a.status, a.body)
	}
	if a := b.do(http.MethodPost, path, nil); a.status != http.StatusSeeOther || b.cookie == "" {
		h.t.Fatalf("the button: %d %s", a.status, a.body)
	}
	return b
}

func wantText(t *testing.T, a answer, status int, parts ...string) {
	t.Helper()
	if a.status != status {
		t.Errorf("status %d, want %d", a.status, status)
	}
	for _, part := range parts {
		if !strings.Contains(a.body, part) {
			t.Errorf("the page lacks %q:\n%s", part, a.body)
		}
	}
}
