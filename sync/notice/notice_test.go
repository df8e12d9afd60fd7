package notice_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/connectors"
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/login"
	"github.com/musubi-hub/musubi/identity/mynumber"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/policies/load"
	"github.com/musubi-hub/musubi/sync/jobs"
	"github.com/musubi-hub/musubi/sync/notice"
)

var update = flag.Bool("update", false, "write the golden files anew")

// relay keeps what it sends.
type relay struct {
	mu   sync.Mutex
	err  error
	sent []connectors.Message
}

func (r *relay) SendMessage(_ context.Context, m connectors.Message) (connectors.Sent, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := m.Check(); err != nil {
		return connectors.Sent{}, &connectors.Error{Kind: connectors.KindInvalid, Vendor: "mail", Op: "send", Err: err}
	}
	if r.err != nil {
		return connectors.Sent{}, r.err
	}
	r.sent = append(r.sent, m)
	return connectors.Sent{}, nil
}

func (r *relay) answer(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = err
}

func (r *relay) all() []connectors.Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]connectors.Message(nil), r.sent...)
}

// staff is who there is.
type staff map[policies.PersonID]access.Actor

func (s staff) Person(_ context.Context, id policies.PersonID) (access.Actor, error) {
	a, ok := s[id]
	if !ok || !a.Person.Active() {
		return access.Actor{}, access.ErrPersonEnded
	}
	return a, nil
}

func person(id policies.PersonID, org policies.OrgID, role policies.Role) access.Actor {
	return access.Actor{
		Kind:   access.KindPerson,
		Person: identity.Person{ID: id, Org: org, FamilyName: "試験", GivenName: "花子", Email: string(id) + "@city.example.lg.jp", Role: role},
		Org:    identity.Organization{ID: org, Kind: policies.KindMunicipality, Name: "試験市"},
	}
}

var (
	hanako = person("hanako", "011002", policies.RoleGeneral)
	boss   = person("boss", "011002", policies.RoleAdministrator)
	other  = person("other", "012025", policies.RoleAdministrator)
	start  = time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
)

func everybody() staff { return staff{"hanako": hanako, "boss": boss, "other": other} }

// hub is a store with its jobs.
type hub struct {
	db     *sqldb.DB
	store  *notice.Store
	jobs   *jobs.Client
	relay  *relay
	people staff
	ahead  atomic.Int64
}

func key(text string) []byte { k := sha256.Sum256([]byte(text)); return k[:] }

func newHub(t testing.TB, db *sqldb.DB, node string, change func(h *hub, m *notice.Mail)) *hub {
	t.Helper()
	if err := errors.Join(db.Migrate(t.Context(), notice.Migration()), jobs.Migrate(t.Context(), db)); err != nil {
		t.Fatal(err)
	}
	h := &hub{db: db, store: notice.New(db), relay: &relay{}, people: everybody()}
	if err := h.store.SetKey(key("a")); err != nil {
		t.Fatal(err)
	}
	m := notice.Mail{Sender: h.relay, People: h.people, Invitation: func(path string) []notice.Link {
		return []notice.Link{
			{Network: policies.NetworkInternet, Address: "https://login.musubi.example/invitation/" + path},
			{Network: policies.NetworkLGWAN, Address: "https://login.musubi.lgwan.example/invitation/" + path},
		}
	}}
	if change != nil {
		change(h, &m)
	}
	w := jobs.NewWorkers()
	now := func() time.Time { return time.Now().Add(time.Duration(h.ahead.Load())) }
	notice.Register(w, h.store, m, now, slog.New(slog.DiscardHandler))
	c, err := jobs.New(jobs.Config{DB: db, Workers: w, NodeID: node, Queues: notice.Queues(), Now: now, ScheduleEvery: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	h.jobs = c
	h.store.Bind(c)
	return h
}

func (h *hub) now() int64 { return time.Now().Add(time.Duration(h.ahead.Load())).UnixMicro() }

func (h *hub) tx(t testing.TB, fn func(ctx context.Context, tx *sql.Tx) error) {
	t.Helper()
	if err := h.db.WithTx(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

func (h *hub) tell(t testing.TB, kind notice.Kind, p identity.Person) {
	t.Helper()
	h.tx(t, func(ctx context.Context, tx *sql.Tx) error { return h.store.Tell(ctx, tx, kind, p, h.now()) })
}

const path = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"

func (h *hub) invite(t testing.TB) {
	t.Helper()
	h.tx(t, func(ctx context.Context, tx *sql.Tx) error {
		return h.store.Invite(ctx, tx, hanako.Person, path, h.now()+(30*24*time.Hour).Microseconds(), h.now())
	})
}

func (h *hub) start(t testing.TB) {
	t.Helper()
	if err := h.jobs.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.jobs.Stop(context.Background()) })
}

var everything = policies.System(policies.TaskTest)

func (h *hub) list(t testing.TB, f notice.Filter) []notice.Notice {
	t.Helper()
	f.Limit = 100
	list, err := h.store.List(t.Context(), everything, f)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// ends waits until the only notice is settled, and gives it.
func (h *hub) ends(t testing.TB) notice.Notice {
	t.Helper()
	var all []notice.Notice
	eventually(t, "it is settled", func() bool {
		all = h.list(t, notice.Filter{})
		return len(all) == 1 && all[0].State != notice.StateWaiting
	})
	return all[0]
}

func (h *hub) dead(t testing.TB) int {
	t.Helper()
	dead, err := h.jobs.List(t.Context(), jobs.Filter{States: jobs.DeadLetters(), Kind: "person.notice.v1"}, jobs.Page{})
	if err != nil {
		t.Fatal(err)
	}
	return len(dead)
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(90 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("never: " + what)
		}
	}
}

// A notice goes with the transaction of what happened, once, to its person alone.
func TestTold(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		h := newHub(t, db, "a", nil)
		undone := errors.New("undone")
		err := db.WithTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
			return errors.Join(h.store.CardReleased(ctx, tx, boss.Person, h.now()), undone)
		})
		if !errors.Is(err, undone) {
			t.Fatal(err)
		}
		h.tell(t, notice.SessionsEnded, hanako.Person)
		h.start(t)
		n := h.ends(t)
		if n.State != notice.StateSent || n.Person != "hanako" || n.Org != "011002" || n.Kind != notice.SessionsEnded || n.SettledAt == 0 {
			t.Errorf("%+v", n)
		}
		time.Sleep(200 * time.Millisecond)
		sent := h.relay.all()
		if len(sent) != 1 || len(sent[0].To) != 1 || sent[0].To[0].Address != "hanako@city.example.lg.jp" || sent[0].Key != "person-notice-"+n.ID {
			t.Errorf("%+v", sent)
		}
	})
}

// The mails as people read them.
func TestLetters(t *testing.T) {
	for _, kind := range []notice.Kind{
		notice.CardLinked, notice.CardReleased, notice.PasswordReset, notice.Sealed, notice.Unsealed, notice.SessionsEnded, notice.Invited,
	} {
		n := notice.Notice{ID: "0123456789abcdef0123456789abcdef", Person: "hanako", Kind: kind, At: start.UnixMicro()}
		var links []notice.Link
		if kind == notice.Invited {
			n.ExpiresAt = start.Add(30 * 24 * time.Hour).UnixMicro()
			links = []notice.Link{
				{Network: policies.NetworkInternet, Address: "https://login.musubi.example/invitation/PATH"},
				{Network: policies.NetworkLGWAN, Address: "https://login.musubi.lgwan.example/invitation/PATH"},
			}
		}
		m := notice.Letter(n, hanako.Person, hanako.Org, links)
		if err := m.Check(); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		got := fmt.Appendf(nil, "To: %s <%s>\nSubject: %s\n\n%s", m.To[0].Name, m.To[0].Address, m.Subject, m.Text)
		file := filepath.Join("testdata", string(kind)+".txt")
		if *update {
			if err := os.WriteFile(file, got, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s: the mail is another than in %s; -update writes it anew:\n%s", kind, file, got)
		}
	}
}

// Without a relay a notice waits and leaves when there is one; after a week it stands as unsent, and no job is dead for it.
func TestNoRelay(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		h := newHub(t, db, "a", func(_ *hub, m *notice.Mail) { m.Sender = nil })
		h.tell(t, notice.CardReleased, hanako.Person)
		if err := h.jobs.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		waits := func() bool {
			list, err := h.jobs.List(t.Context(), jobs.Filter{States: []jobs.State{jobs.StateScheduled}}, jobs.Page{})
			return err == nil && len(list) == 1
		}
		eventually(t, "it waits", waits)
		if err := h.jobs.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		with := newHub(t, db, "a", nil) // the operator has configured one, and started the hub anew
		with.ahead.Store(int64(2 * time.Hour))
		with.start(t)
		if n := with.ends(t); n.State != notice.StateSent || len(with.relay.all()) != 1 {
			t.Errorf("%+v", n)
		}
	})
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		h := newHub(t, db, "a", func(_ *hub, m *notice.Mail) { m.Sender = nil })
		h.invite(t)
		h.start(t)
		time.Sleep(300 * time.Millisecond)
		h.ahead.Store(int64(6 * 24 * time.Hour))
		time.Sleep(300 * time.Millisecond)
		if n := h.list(t, notice.Filter{State: notice.StateWaiting}); len(n) != 1 {
			t.Error("it doesn't wait for six days")
		}
		h.ahead.Store(int64(8 * 24 * time.Hour))
		if n := h.ends(t); n.State != notice.StateUnsent || n.Why != notice.WhyNoRelay || h.dead(t) != 0 {
			t.Errorf("%+v, %d dead", n, h.dead(t))
		}
		h.keepsNoSecret(t)
	})
}

// keepsNoSecret looks for the path in every column of the tables.
func (h *hub) keepsNoSecret(t testing.TB) {
	t.Helper()
	for _, query := range []string{
		`SELECT COALESCE(MAX(sealed), '') FROM person_notice WHERE state <> 'waiting'`,
		`SELECT COALESCE(MAX(kind || sealed || why || id), '') FROM person_notice WHERE sealed LIKE '%` + path[:20] + `%'`,
		`SELECT COALESCE(MAX(CAST(args AS TEXT)), '') FROM river_job WHERE CAST(args AS TEXT) LIKE '%` + path[:20] + `%'`,
	} {
		var got string
		if err := h.db.Reader().QueryRowContext(t.Context(), query).Scan(&got); err != nil || got != "" {
			t.Errorf("%s: %q, %v", query, got, err)
		}
	}
}

// The path of an invitation leaves by mail and is nowhere else: sealed until then, and gone afterwards.
func TestInvitation(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		h := newHub(t, db, "a", nil)
		h.invite(t)
		h.keepsNoSecret(t)
		h.start(t)
		if n := h.ends(t); n.State != notice.StateSent {
			t.Errorf("%+v", n)
		}
		h.keepsNoSecret(t)
		if sent := h.relay.all(); len(sent) != 1 || strings.Count(sent[0].Text, "/invitation/"+path) != 2 {
			t.Errorf("%+v", sent)
		}
	})
}

// What can't leave says why, and loses nothing in silence.
func TestUnsent(t *testing.T) {
	for _, c := range []struct {
		name, why string
		dead      int
		change    func(h *hub, m *notice.Mail)
		then      func(h *hub)
	}{
		{"ended", notice.WhyEnded, 0, func(h *hub, _ *notice.Mail) { delete(h.people, "hanako") }, nil},
		{"no address", notice.WhyNoAddress, 0, func(h *hub, _ *notice.Mail) {
			a := h.people["hanako"]
			a.Person.Email = ""
			h.people["hanako"] = a
		}, nil},
		{"refused", notice.WhyRefused, 1, func(h *hub, _ *notice.Mail) {
			h.relay.err = &connectors.Error{Kind: connectors.KindInvalid, Vendor: "mail", Op: "send"}
		}, nil},
		{"expired", notice.WhyExpired, 0, nil, func(h *hub) { h.ahead.Store(int64(31 * 24 * time.Hour)) }},
		{"another key", notice.WhyUnsealed, 0, nil, func(h *hub) { _ = h.store.SetKey(key("b")) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
				h := newHub(t, db, "a", c.change)
				h.invite(t)
				if c.then != nil {
					c.then(h)
				}
				h.start(t)
				if n := h.ends(t); n.State != notice.StateUnsent || n.Why != c.why {
					t.Errorf("%+v", n)
				}
				eventually(t, "its job has ended", func() bool { return h.dead(t) == c.dead })
				if len(h.relay.all()) != 0 {
					t.Error("a mail left")
				}
				h.keepsNoSecret(t)
			})
		})
	}
}

// What the relay refused is sent when somebody has the dead letter retried, and what was sent isn't sent twice by that.
func TestRetriedByHand(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		h := newHub(t, db, "a", nil)
		h.relay.answer(&connectors.Error{Kind: connectors.KindInvalid, Vendor: "mail", Op: "send"})
		h.tell(t, notice.CardReleased, hanako.Person)
		h.start(t)
		eventually(t, "a dead letter", func() bool { return h.dead(t) == 1 })
		h.relay.answer(nil)
		dead, err := h.jobs.List(t.Context(), jobs.Filter{States: jobs.DeadLetters()}, jobs.Page{})
		if err != nil {
			t.Fatal(err)
		}
		h.tx(t, func(ctx context.Context, tx *sql.Tx) error {
			_, err := h.jobs.RetryTx(ctx, tx, dead[0].ID)
			return err
		})
		eventually(t, "it is sent", func() bool { return len(h.list(t, notice.Filter{State: notice.StateSent})) == 1 })
		if n := len(h.relay.all()); n != 1 {
			t.Errorf("%d mails", n)
		}
	})
}

// A relay that is away is waited for.
func TestRelayAway(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		h := newHub(t, db, "a", nil)
		h.relay.answer(&connectors.Error{Kind: connectors.KindUnavailable, Vendor: "mail", Op: "send"})
		h.tell(t, notice.PasswordReset, hanako.Person)
		h.start(t)
		time.Sleep(300 * time.Millisecond)
		if n := h.list(t, notice.Filter{State: notice.StateWaiting}); len(n) != 1 {
			t.Fatal("it doesn't wait")
		}
		h.relay.answer(nil)
		h.ahead.Store(int64(time.Minute))
		if n := h.ends(t); n.State != notice.StateSent {
			t.Errorf("%+v", n)
		}
	})
}

// An organization's administrator sees the notices of their own people.
func TestList(t *testing.T) {
	engine, err := load.Default()
	if err != nil {
		t.Fatal(err)
	}
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		h := newHub(t, db, "a", nil)
		for range 3 {
			h.tell(t, notice.CardLinked, hanako.Person)
			h.tell(t, notice.CardLinked, other.Person)
		}
		scope := func(a access.Actor, action policies.Action) policies.Scope {
			s, err := engine.Scope(a.Policy(), action, []policies.Organization{a.Org.Policy()})
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		f := notice.Filter{Limit: 2}
		var all []notice.Notice
		for {
			page, err := h.store.List(t.Context(), scope(boss, policies.ActionPeopleRead), f)
			if err != nil {
				t.Fatal(err)
			}
			if len(page) == 0 {
				break
			}
			all, f.Before = append(all, page...), page[len(page)-1].ID
		}
		if len(all) != 3 || all[0].Org != "011002" || all[2].Org != "011002" {
			t.Errorf("%+v", all)
		}
		if _, err := h.store.List(t.Context(), scope(boss, policies.ActionPeopleWrite), notice.Filter{Limit: 1}); !errors.Is(err, identity.ErrRefused) {
			t.Error(err)
		}
		if _, err := h.store.List(t.Context(), policies.Scope{}, notice.Filter{Limit: 1}); !errors.Is(err, identity.ErrRefused) {
			t.Error(err)
		}
		if _, err := h.store.List(t.Context(), everything, notice.Filter{}); err == nil {
			t.Error("a page without a limit")
		}
	})
}

func TestSweep(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		h := newHub(t, db, "a", nil)
		for range 3 {
			h.tell(t, notice.CardLinked, hanako.Person)
		}
		h.start(t)
		eventually(t, "all are sent", func() bool { return len(h.list(t, notice.Filter{State: notice.StateSent})) == 3 })
		h.ahead.Store(int64(time.Hour))
		if err := h.jobs.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		h.tell(t, notice.CardReleased, hanako.Person) // waits
		day := 24 * time.Hour
		if more, err := h.store.Sweep(t.Context(), time.Now(), time.Hour, 10); more || err != nil || len(h.list(t, notice.Filter{})) != 4 {
			t.Error(more, err)
		}
		for _, want := range []bool{true, false, false} {
			if more, err := h.store.Sweep(t.Context(), time.Now().Add(2*day), day, 2); more != want || err != nil {
				t.Error(more, err)
			}
		}
		left := h.list(t, notice.Filter{})
		if len(left) != 1 || left[0].State != notice.StateUnsent || left[0].Why != notice.WhyGivenUp { // no job sends it any more
			t.Errorf("%+v", left)
		}
	})
}

func TestWrongCalls(t *testing.T) {
	db := sqldbtest.Open(t, sqldbtest.SQLiteURL(t))
	h := newHub(t, db, "a", nil)
	unbound := notice.New(db)
	keyless := notice.New(db)
	keyless.Bind(h.jobs)
	for name, do := range map[string]func(ctx context.Context, tx *sql.Tx) error{
		"unbound": func(ctx context.Context, tx *sql.Tx) error {
			return unbound.Tell(ctx, tx, notice.CardLinked, hanako.Person, 1)
		},
		"no key":  func(ctx context.Context, tx *sql.Tx) error { return keyless.Invite(ctx, tx, hanako.Person, path, 2, 1) },
		"no text": func(ctx context.Context, tx *sql.Tx) error { return h.store.Tell(ctx, tx, "x", hanako.Person, 1) },
		"no path": func(ctx context.Context, tx *sql.Tx) error {
			return h.store.Tell(ctx, tx, notice.Invited, hanako.Person, 1)
		},
		"an empty path": func(ctx context.Context, tx *sql.Tx) error { return h.store.Invite(ctx, tx, hanako.Person, "", 2, 1) },
		"a long path": func(ctx context.Context, tx *sql.Tx) error {
			return h.store.Invite(ctx, tx, hanako.Person, strings.Repeat("x", 600), 2, 1)
		},
		"ended before": func(ctx context.Context, tx *sql.Tx) error { return h.store.Invite(ctx, tx, hanako.Person, path, 1, 1) },
		"no time": func(ctx context.Context, tx *sql.Tx) error {
			return h.store.Tell(ctx, tx, notice.CardLinked, hanako.Person, 0)
		},
		"nobody": func(ctx context.Context, tx *sql.Tx) error {
			return h.store.Tell(ctx, tx, notice.CardLinked, identity.Person{}, 1)
		},
		"a key too short": func(context.Context, *sql.Tx) error { return h.store.SetKey([]byte("short")) },
	} {
		if err := db.WithTx(t.Context(), do); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if n := h.list(t, notice.Filter{}); len(n) != 0 {
		t.Errorf("%+v", n)
	}
}

// verifier decides about nothing.
type verifier struct{ mynumber.Verifier }

// A card that is linked is told to its person in the same transaction; one that can't be linked isn't.
func TestCardLinked(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		h := newHub(t, db, "a", nil)
		if err := db.Migrate(t.Context(), mynumber.Migration(), audit.Migration(db.Engine())); err != nil {
			t.Fatal(err)
		}
		links, err := mynumber.NewLinks(db, key("links"), h.people)
		if err != nil {
			t.Fatal(err)
		}
		method, err := mynumber.New(mynumber.Config{
			Verifier: verifier{}, Links: links, Hosts: map[policies.Network]string{policies.NetworkLGWAN: "https://card.example"}, Path: "/card",
		})
		if err != nil {
			t.Fatal(err)
		}
		var offered login.Method = notice.Card{Method: method, Notices: h.store, People: h.people}
		linker, ok := offered.(login.Linker)
		if _, holds := offered.(login.Holder); !ok || !holds {
			t.Fatal("it isn't the card's method any more")
		}
		link := func(person policies.PersonID) error {
			return db.WithTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
				return linker.Link(ctx, tx, person, strings.Repeat("ab", 32), h.now())
			})
		}
		if err := link("hanako"); err != nil {
			t.Fatal(err)
		}
		if err := link("boss"); !errors.Is(err, identity.ErrExists) {
			t.Fatal(err)
		}
		if n := h.list(t, notice.Filter{}); len(n) != 1 || n[0].Kind != notice.CardLinked || n[0].Person != "hanako" {
			t.Errorf("%+v", n)
		}
	})
}

const childURL = "MUSUBI_TEST_NOTICE_URL"

// TestKilledChild is the child of TestKilled: it sends, and is killed by its parent.
func TestKilledChild(t *testing.T) {
	url := os.Getenv(childURL)
	if url == "" {
		t.Skip("the child of TestKilled")
	}
	h := newHub(t, sqldbtest.Open(t, url), "child", nil)
	h.start(t)
	time.Sleep(time.Minute)
}

// kill -9 between sending and keeping, again and again: each notice is sent in the end.
func TestKilled(t *testing.T) {
	sqldbtest.EachURL(t, func(t *testing.T, url string) {
		h := newHub(t, sqldbtest.Open(t, url), "parent", nil)
		for range 60 {
			h.tell(t, notice.CardLinked, hanako.Person)
		}
		sent := func() int {
			var n int
			if err := h.db.Reader().QueryRowContext(t.Context(), `SELECT COUNT(*) FROM person_notice WHERE state = 'sent'`).Scan(&n); err != nil {
				t.Fatal(err)
			}
			return n
		}
		for range 3 {
			before := sent()
			child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilledChild$")
			child.Env = append(os.Environ(), childURL+"="+url)
			if err := child.Start(); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the child sends", func() bool { return sent() > before })
			_ = child.Process.Kill()
			_ = child.Wait()
		}
		last := newHub(t, h.db, "child", nil) // the node starts anew
		last.start(t)
		eventually(t, "everything is sent", func() bool { return sent() == 60 })
	})
}
