package directory

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/directory/review"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/policies/load"
)

var (
	everything = policies.System(policies.TaskTest)
	tester     = Author{Source: "test", Why: "a test"}
)

// clock only moves when a test says so.
type clock struct{ micros atomic.Int64 }

func (c *clock) now() time.Time          { return time.UnixMicro(c.micros.Load()) }
func (c *clock) advance(d time.Duration) { c.micros.Add(d.Microseconds()) }

// queue remembers the leavers of committed and rolled back transactions alike, and fails when told to.
type queue struct {
	mu          sync.Mutex
	leavers     []access.Leaver
	activations []int64
	notices     []identity.Notice
	fail        error
}

func (q *queue) EnqueueLeaver(_ context.Context, _ *sql.Tx, l ...access.Leaver) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.fail != nil {
		return q.fail
	}
	for _, one := range l {
		one.Origin = access.Origin{}
		q.leavers = append(q.leavers, one)
	}
	return nil
}

func (q *queue) EnqueueActivation(_ context.Context, _ *sql.Tx, a access.Activation) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.fail != nil {
		return q.fail
	}
	q.activations = append(q.activations, a.At)
	return nil
}

func (q *queue) EnqueueNotice(_ context.Context, _ *sql.Tx, n identity.Notice) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.fail != nil {
		return q.fail
	}
	q.notices = append(q.notices, n)
	return nil
}

type fixture struct {
	*Store
	db    *sqldb.DB
	clock *clock
	queue *queue
	ctx   context.Context // of a property test
}

// migrated is a database with the tables that a directory needs.
var migrated = sqldbtest.NewTemplate(func(ctx context.Context, db *sqldb.DB) error {
	return db.Migrate(ctx, Migration(), audit.Migration(db.Engine()))
})

// newFixture makes a store on a migrated database.
func newFixture(t testing.TB, db *sqldb.DB) *fixture {
	t.Helper()
	f := &fixture{db: db, clock: &clock{}, queue: &queue{}}
	f.clock.micros.Store(time.Date(2027, 4, 1, 0, 0, 0, 0, time.UTC).UnixMicro())
	var n atomic.Int64
	f.Store = New(db, Options{
		Now: f.clock.now, Enqueuer: f.queue,
		NewID: func() policies.PersonID { return policies.PersonID(fmt.Sprintf("p%09d", n.Add(1))) },
	})
	return f
}

// each runs a test on both databases with an empty directory.
func eachStore(t *testing.T, fn func(t *testing.T, f *fixture)) {
	t.Helper()
	migrated.Each(t, func(t *testing.T, db *sqldb.DB) { fn(t, newFixture(t, db)) })
}

const someOrgs = `code,kind,name,kana,parent
010006,prefecture,北海道,ほっかいどう,
130001,prefecture,東京都,とうきょうと,
011002,municipality,札幌市,さっぽろし,010006
131016,municipality,千代田区,ちよだく,
011011,ward,札幌市 中央区,さっぽろし ちゅうおうく,011002
2000012020001,ministry,総務省,そうむしょう,
8000012010038,agency,デジタル庁,でじたるちょう,
`

const peopleHeader = "org,staff_number,family_name,given_name,family_kana,given_kana,email,role\n"

const somePeople = peopleHeader + `011002,S1,佐藤,花子,サトウ,ハナコ,hanako@c011002.example.lg.jp,administrator
011002,S2,鈴木,太郎,スズキ,タロウ,Taro@c011002.example.lg.jp,general
131016,S1,田中,,タナカ,,tanaka@c131016.example.lg.jp,general
2000012020001,S1,渡邉,誠,ワタナベ,マコト,makoto@somu.example.go.jp,general
`

// load imports the two files, which must be good.
func (f *fixture) load(t testing.TB, orgs, people string) {
	t.Helper()
	for _, file := range []struct {
		read func() (*Rows, *review.Report)
		text string
	}{
		{func() (*Rows, *review.Report) { return ReadOrganizations(strings.NewReader(orgs), "orgs.csv") }, orgs},
		{func() (*Rows, *review.Report) { return ReadPeople(strings.NewReader(people), "people.csv") }, people},
	} {
		if file.text == "" {
			continue
		}
		rows, _ := file.read()
		if r, report, err := f.Import(t.Context(), everything, rows, tester, ImportOptions{}); err != nil || !report.OK() || !r.Published {
			t.Fatalf("%v, %v, %v", r, report.Faults(), err)
		}
	}
}

func (f *fixture) changes(t testing.TB) []Change {
	t.Helper()
	var all []Change
	for {
		var after int64
		if len(all) > 0 {
			after = all[len(all)-1].Number
		}
		page, err := f.Changes(t.Context(), everything, after, MaxPage)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			return all
		}
		all = append(all, page...)
	}
}

// staged counts what is left in the staging tables.
func (f *fixture) staged(t testing.TB) int {
	t.Helper()
	var rows, batches int
	if err := f.db.Reader().QueryRowContext(t.Context(), "SELECT COUNT(*) FROM staged_person").Scan(&rows); err != nil {
		t.Fatal(err)
	}
	if err := f.db.Reader().QueryRowContext(t.Context(), "SELECT COUNT(*) FROM staged_batch").Scan(&batches); err != nil {
		t.Fatal(err)
	}
	return rows + batches
}

func (f *fixture) find(t testing.TB, org policies.OrgID, number string) identity.Person {
	t.Helper()
	p, err := f.FindPerson(t.Context(), everything, org, number)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// scopeOf mints a scope over closed sets of organizations through the real engine, with rules that let an actor do everything to its own.
func scopeOf(t testing.TB, actor policies.Person, action policies.Action, orgs ...policies.Organization) policies.Scope {
	t.Helper()
	schema, err := fs.ReadFile(policies.Files, load.SchemaFile)
	if err != nil {
		t.Fatal(err)
	}
	set, err := load.Load(fstest.MapFS{
		load.SchemaFile: {Data: schema},
		"rules/own.cedar": {Data: []byte(`@id("own") permit (principal, action, resource is Musubi::Organization) when { resource == principal.org };
`)},
	})
	if err != nil {
		t.Fatal(err)
	}
	engine, err := policies.NewEngine(set)
	if err != nil {
		t.Fatal(err)
	}
	s, err := engine.Scope(actor, action, orgs)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// openTwin opens another database of the same engine.
func openTwin(t *testing.T, f *fixture) *sqldb.DB {
	t.Helper()
	return migrated.Open(t, f.db.Engine())
}

// scopeFor mints a scope over just these organizations.
func scopeFor(t testing.TB, actor policies.Person, action policies.Action, orgs ...policies.Organization) policies.Scope {
	t.Helper()
	schema, err := fs.ReadFile(policies.Files, load.SchemaFile)
	if err != nil {
		t.Fatal(err)
	}
	set, err := load.Load(fstest.MapFS{
		load.SchemaFile: {Data: schema},
		"rules/all.cedar": {Data: []byte(`@id("all") permit (principal, action, resource is Musubi::Organization);
`)},
	})
	if err != nil {
		t.Fatal(err)
	}
	engine, err := policies.NewEngine(set)
	if err != nil {
		t.Fatal(err)
	}
	s, err := engine.Scope(actor, action, orgs)
	if err != nil || s.All() || len(s.Orgs()) != len(orgs) {
		t.Fatalf("%v, %v", s.Orgs(), err)
	}
	return s
}

func breakGlass(t testing.TB, action policies.Action) policies.Scope {
	t.Helper()
	s, err := policies.BreakGlass(action)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// townScope is the scope of a town's administrator, over the town.
func townScope(t testing.TB, id policies.OrgID, action policies.Action) policies.Scope {
	t.Helper()
	o := policies.Organization{ID: id, Kind: policies.KindMunicipality, Parent: "010006"}
	actor := policies.Person{ID: policies.PersonID("admin-" + string(id)), Org: o, Role: policies.RoleAdministrator, Active: true}
	s := scopeOf(t, actor, action, o)
	if !s.Covers(id) || s.All() {
		t.Fatalf("scope of %s: %v", id, s.Orgs())
	}
	return s
}

func shared(t testing.TB, name string) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("no go.mod above the test")
		}
		dir = filepath.Dir(dir)
	}
	path := filepath.Join(dir, "..", "shared", name)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		t.Skipf("%s isn't there", filepath.Join("../shared", name))
	}
	return path
}
