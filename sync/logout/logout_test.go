package logout_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/oidcop"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/jobs"
	"github.com/musubi-hub/musubi/sync/logout"
)

// issuer keeps its logouts in a table, as the real one does: id is "party/anything".
type issuer struct {
	db     *sqldb.DB
	answer func(ctx context.Context, party string) error // what a party says
	away   atomic.Bool                                   // there is no issuer yet

	mu      sync.Mutex
	calls   []string // party at each call, in order
	busy    map[string]int
	busiest map[string]int
}

func newIssuer(t testing.TB, db *sqldb.DB) *issuer {
	t.Helper()
	if _, err := db.Writer().ExecContext(t.Context(), `CREATE TABLE IF NOT EXISTS test_logout (id TEXT PRIMARY KEY, state TEXT NOT NULL, sent BIGINT NOT NULL)`); err != nil {
		t.Fatal(err)
	}
	return &issuer{db: db, answer: func(context.Context, string) error { return nil }, busy: map[string]int{}, busiest: map[string]int{}}
}

func (i *issuer) Addressee(ctx context.Context, id string) (policies.RelyingPartyID, error) {
	if i.state(ctx, id) == "" {
		return "", identity.ErrNotFound
	}
	party, _, _ := strings.Cut(id, "/")
	return policies.RelyingPartyID(party), nil
}

func (i *issuer) state(ctx context.Context, id string) (state string) {
	_ = i.db.Reader().QueryRowContext(ctx, `SELECT state FROM test_logout WHERE id = $1`, id).Scan(&state)
	return state
}

func (i *issuer) Deliver(ctx context.Context, id string) error {
	if i.away.Load() {
		return logout.ErrNoIssuer
	}
	if i.state(ctx, id) != "pending" {
		return nil
	}
	party, _, _ := strings.Cut(id, "/")
	i.mu.Lock()
	i.calls = append(i.calls, party)
	i.busy[party]++
	i.busiest[party] = max(i.busiest[party], i.busy[party])
	i.mu.Unlock()
	defer func() {
		i.mu.Lock()
		defer i.mu.Unlock()
		i.busy[party]--
	}()
	if err := i.answer(ctx, party); err != nil {
		return fmt.Errorf("%w: %w", oidcop.ErrUndelivered, err)
	}
	_, err := i.db.Writer().ExecContext(ctx, `UPDATE test_logout SET state = 'delivered', sent = sent + 1 WHERE id = $1 AND state = 'pending'`, id)
	return err
}

func (i *issuer) Abandon(ctx context.Context, id string) error {
	_, err := i.db.Writer().ExecContext(ctx, `UPDATE test_logout SET state = 'failed' WHERE id = $1 AND state = 'pending'`, id)
	return err
}

func (i *issuer) Overdue(ctx context.Context, _ time.Time, limit int) (ids []string, err error) {
	rows, err := i.db.Reader().QueryContext(ctx, `SELECT id FROM test_logout WHERE state = 'pending' ORDER BY id LIMIT $1`, limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, rows.Err()
}

func (i *issuer) count(t testing.TB, state string) (n int) {
	t.Helper()
	if err := i.db.Reader().QueryRowContext(t.Context(), `SELECT COUNT(*) FROM test_logout WHERE state = $1`, state).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func (i *issuer) called(party string) (n int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, c := range i.calls {
		if c == party {
			n++
		}
	}
	return n
}

// hub is an issuer with its jobs.
type hub struct {
	*issuer
	jobs  *jobs.Client
	queue *logout.Enqueuer
	ahead atomic.Int64 // of the hub's clock
}

func newHub(t testing.TB, db *sqldb.DB, node string) *hub {
	t.Helper()
	if err := jobs.Migrate(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	h := &hub{issuer: newIssuer(t, db), queue: logout.New()}
	w := jobs.NewWorkers()
	now := func() time.Time { return time.Now().Add(time.Duration(h.ahead.Load())) }
	logout.Register(w, h.issuer, h.issuer, now, slog.New(slog.DiscardHandler))
	c, err := jobs.New(jobs.Config{DB: db, Workers: w, NodeID: node, Queues: logout.Queues(), Now: now, ScheduleEvery: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	h.jobs = c
	h.queue.Bind(c)
	return h
}

// end writes a logout and its job in one transaction, as the end of a session does.
func (h *hub) end(t testing.TB, ids ...string) {
	t.Helper()
	err := h.db.WithTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
		for _, id := range ids {
			if _, err := tx.ExecContext(ctx, `INSERT INTO test_logout (id, state, sent) VALUES ($1, 'pending', 0)`, id); err != nil {
				return err
			}
			for range 2 { // twice is once
				if err := h.queue.EnqueueLogout(ctx, tx, id); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (h *hub) start(t testing.TB) {
	t.Helper()
	if err := h.jobs.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func (h *hub) stop(t testing.TB) {
	t.Helper()
	if err := h.jobs.Stop(context.WithoutCancel(t.Context())); err != nil {
		t.Error(err)
	}
}

func (h *hub) dead(t testing.TB) []jobs.Record {
	t.Helper()
	dead, err := h.jobs.List(t.Context(), jobs.Filter{States: jobs.DeadLetters()}, jobs.Page{})
	if err != nil {
		t.Fatal(err)
	}
	return dead
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(90 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("never: " + what)
		}
	}
}

// A logout leaves with the transaction that ends the session: none of one that was undone, each once.
func TestDelivered(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		h := newHub(t, db, "a")
		undone := errors.New("undone")
		err := db.WithTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
			return errors.Join(h.queue.EnqueueLogout(ctx, tx, "jira/undone"), undone)
		})
		if !errors.Is(err, undone) {
			t.Fatal(err)
		}
		h.end(t, "jira/1", "jira/2", "slack/1")
		h.start(t)
		defer h.stop(t)
		eventually(t, "all are delivered", func() bool { return h.count(t, "delivered") == 3 })
		if n := h.called("jira") + h.called("slack"); n != 3 {
			t.Errorf("%d calls for three logouts", n)
		}
		if d := h.dead(t); len(d) != 0 {
			t.Errorf("dead letters: %+v", d)
		}
	})
}

// simulated runs fn in simulated time on SQLite.
func simulated(t *testing.T, fn func(t *testing.T, h *hub)) {
	url := sqldbtest.SQLiteURL(t)
	synctest.Test(t, func(t *testing.T) {
		db, err := sqldb.Open(t.Context(), url, sqldb.Options{Unsynced: true})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		}()
		h := newHub(t, db, "a")
		fn(t, h)
		h.stop(t)
	})
}

// A party that comes back within the day gets everything; the pauses grow, so that it isn't called a thousand times, and another party waits
// for nothing.
func TestPartyAway(t *testing.T) {
	simulated(t, func(t *testing.T, h *hub) {
		back := time.Now().Add(5 * time.Minute)
		h.answer = func(ctx context.Context, party string) error {
			if party == "away" && time.Now().Before(back) {
				select { // it hangs
				case <-time.After(5 * time.Second):
				case <-ctx.Done():
				}
				return errors.New("no answer")
			}
			return nil
		}
		var away []string
		for i := range 100 {
			away = append(away, fmt.Sprint("away/", i))
		}
		h.end(t, away...)
		h.start(t)
		time.Sleep(time.Minute)
		h.end(t, "here/1")
		time.Sleep(time.Second)
		if h.count(t, "delivered") != 1 {
			t.Error("a party that answers waits for one that doesn't")
		}
		time.Sleep(4 * time.Minute)
		tries := h.called("away")
		if tries < 5 || tries > 15 {
			t.Errorf("%d tries in five minutes, want a first few at once and then ever fewer", tries)
		}
		time.Sleep(7 * time.Minute)
		if n := h.count(t, "delivered"); n != 101 {
			t.Errorf("%d of 101 are delivered seven minutes after it came back", n)
		}
		if h.busiest["away"] > 6 {
			t.Errorf("%d at once", h.busiest["away"])
		}
	})
}

// What ends before the issuer is there waits for it, uncounted.
func TestNoIssuerYet(t *testing.T) {
	simulated(t, func(t *testing.T, h *hub) {
		h.away.Store(true)
		h.end(t, "jira/1")
		h.start(t)
		time.Sleep(time.Minute)
		list, err := h.jobs.List(t.Context(), jobs.Filter{}, jobs.Page{})
		if err != nil || len(list) != 1 || list[0].Attempt > 1 || list[0].EndedAt != (time.Time{}) {
			t.Errorf("%+v, %v", list, err)
		}
		h.away.Store(false)
		time.Sleep(15 * time.Second)
		if h.count(t, "delivered") != 1 {
			t.Error("it isn't delivered")
		}
	})
}

// What nobody takes for a day is given up: the issuer keeps it as failed, the job is a dead letter. A person has it delivered anew.
func TestGivenUp(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		h := newHub(t, db, "a")
		var healed atomic.Bool
		h.answer = func(context.Context, string) error {
			if healed.Load() {
				return nil
			}
			return errors.New("no answer")
		}
		h.end(t, "away/1", "away/2")
		h.start(t)
		defer h.stop(t)
		eventually(t, "it was tried", func() bool { return h.called("away") > 0 })
		h.ahead.Store(int64(logout.GiveUpAfter - time.Hour))
		tries := h.called("away")
		eventually(t, "it is tried an hour before the end", func() bool { return h.called("away") > tries })
		time.Sleep(200 * time.Millisecond)
		if n := h.count(t, "pending"); n != 2 {
			t.Errorf("%d of 2 wait an hour before their end", n)
		}
		h.ahead.Store(int64(logout.GiveUpAfter + time.Hour))
		eventually(t, "they are given up", func() bool { return h.count(t, "failed") == 2 && len(h.dead(t)) == 2 })
		if dead := h.dead(t); dead[0].Kind != "oidc.logout.v1" || dead[0].LastError == "" {
			t.Errorf("dead letters: %+v", dead)
		}
		healed.Store(true)
		err := h.db.WithTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
			if _, err := tx.ExecContext(ctx, `UPDATE test_logout SET state = 'pending' WHERE id = 'away/1'`); err != nil {
				return err
			}
			return h.queue.Again(ctx, tx, logout.OpenID, "away/1", time.Now().UnixMicro())
		})
		if err != nil {
			t.Fatal(err)
		}
		h.ahead.Add(int64(time.Hour)) // past the pause of a party that doesn't answer
		eventually(t, "what was taken up again is delivered", func() bool { return h.count(t, "delivered") == 1 })
	})
}

// A thousand of one party go a few at once, and a single one of another doesn't wait for them.
func TestFewAtOnce(t *testing.T) {
	simulated(t, func(t *testing.T, h *hub) {
		h.answer = func(_ context.Context, party string) error {
			if party == "slow" {
				time.Sleep(time.Second)
			}
			return nil
		}
		var many []string
		for i := range 300 {
			many = append(many, fmt.Sprint("slow/", i))
		}
		h.end(t, many...)
		h.start(t)
		time.Sleep(5 * time.Second)
		h.end(t, "quick/1")
		time.Sleep(4 * time.Second)
		if h.called("quick") != 1 {
			t.Error("a quick party waits behind a slow one")
		}
		time.Sleep(3 * time.Minute)
		if n := h.count(t, "delivered"); n != 301 || h.busiest["slow"] != 6 {
			t.Errorf("%d of 301 delivered, %d at once", n, h.busiest["slow"])
		}
	})
}

// A logout that isn't there, and a job that was discarded by hand, leave nothing pending for ever.
func TestLostOnes(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		h := newHub(t, db, "a")
		if err := db.WithTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error { return h.queue.EnqueueLogout(ctx, tx, "nobody/1") }); err != nil {
			t.Fatal(err)
		}
		h.start(t)
		defer h.stop(t)
		eventually(t, "a dead letter", func() bool { return len(h.dead(t)) == 1 })
		for i := range 60 {
			if _, err := db.Writer().ExecContext(t.Context(), `INSERT INTO test_logout (id, state, sent) VALUES ($1, 'pending', 0)`, fmt.Sprint("lost/", i)); err != nil {
				t.Fatal(err)
			}
		}
		sweep := logout.Sweep(h.issuer, h.issuer, time.Now)
		for _, want := range []bool{true, false} {
			if more, err := sweep(t.Context()); err != nil || more != want {
				t.Fatalf("%t, %v", more, err)
			}
		}
		if n := h.count(t, "failed"); n != 60 {
			t.Errorf("%d of 60 are given up", n)
		}
	})
}

func TestUnbound(t *testing.T) {
	q := logout.New()
	if err := q.EnqueueLogout(t.Context(), nil, "x"); err == nil {
		t.Error("an unbound enqueuer took a logout")
	}
	if err := q.Again(t.Context(), nil, logout.SAML, "x", 0); err == nil {
		t.Error("again at no time")
	}
	if a, b := (logout.Args{ID: "x"}).Key(), (logout.Args{ID: "x", Again: 5}).Key(); a == b {
		t.Error("what is taken up again has the key of the first time")
	}
}

const childURL = "MUSUBI_TEST_LOGOUT_URL"

// TestKilledChild is the child of TestKilled: it delivers, and is killed by its parent.
func TestKilledChild(t *testing.T) {
	url := os.Getenv(childURL)
	if url == "" {
		t.Skip("the child of TestKilled")
	}
	h := newHub(t, sqldbtest.Open(t, url), "child")
	h.answer = func(context.Context, string) error { fmt.Println("sent"); return nil }
	h.start(t)
	time.Sleep(time.Minute)
}

// kill -9 between sending and keeping, again and again: each logout is delivered in the end, none is lost.
func TestKilled(t *testing.T) {
	sqldbtest.EachURL(t, func(t *testing.T, url string) {
		db := sqldbtest.Open(t, url)
		h := newHub(t, db, "parent")
		var ids []string
		for i := range 150 {
			ids = append(ids, fmt.Sprintf("p%d/%d", i%5, i))
		}
		for part := range slices.Chunk(ids, 50) {
			h.end(t, part...)
		}
		for range 4 {
			before := h.count(t, "delivered")
			child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilledChild$")
			child.Env = append(os.Environ(), childURL+"="+url)
			if err := child.Start(); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the child delivers", func() bool { return h.count(t, "delivered") > before })
			_ = child.Process.Kill()
			_ = child.Wait()
		}
		last := newHub(t, db, "child") // the node starts anew
		last.start(t)
		defer last.stop(t)
		eventually(t, "everything is delivered", func() bool { return h.count(t, "delivered") == len(ids) })
	})
}
