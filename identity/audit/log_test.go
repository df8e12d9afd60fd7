package audit_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/keys"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
)

// clock is a node's clock, which a test sets.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.UnixMicro(at)} }

func (c *clock) now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.at }

func (c *clock) jump(d time.Duration) { c.mu.Lock(); defer c.mu.Unlock(); c.at = c.at.Add(d) }

// house is a database with a log.
type house struct {
	t       testing.TB
	db      *sqldb.DB
	clock   *clock
	ring    *keys.Ring
	file    string
	log     *audit.Log
	count   int
	sealing *keys.SealingKey
}

// tables is a database with all tables, copied for each test.
var tables = sqldbtest.NewTemplate(func(ctx context.Context, db *sqldb.DB) error {
	return db.Migrate(ctx, sqldb.Tables(), keys.Migration(), audit.Migration(db.Engine()))
})

func prepare(t testing.TB, db *sqldb.DB) {
	t.Helper()
	if err := db.Migrate(t.Context(), sqldb.Tables(), keys.Migration(), audit.Migration(db.Engine())); err != nil {
		t.Fatal(err)
	}
}

func silent(context.Context, *sql.Tx, string, keys.Key) error { return nil }

func newHouse(t testing.TB, db *sqldb.DB) *house {
	t.Helper()
	prepare(t, db)
	h := &house{t: t, db: db, clock: newClock(), file: filepath.Join(t.TempDir(), "audit-checkpoint")}
	var err error
	if h.sealing, err = keys.NewSealingKey(rand.Reader); err != nil {
		t.Fatal(err)
	}
	h.ring = h.newRing()
	if err := h.ring.Ensure(t.Context(), silent); err != nil {
		t.Fatal(err)
	}
	h.log = h.node("node-1", h.clock, h.file)
	return h
}

func (h *house) newRing() *keys.Ring {
	ring, err := keys.New(h.db, keys.Options{
		Sealing: h.sealing, Specs: map[keys.Purpose]keys.Spec{audit.Purpose: audit.KeySpec()}, Now: h.clock.now, Random: rand.Reader,
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return ring
}

func (h *house) node(id string, c *clock, file string) *audit.Log {
	return audit.New(h.db, h.ring, audit.Options{Holder: id, File: file, Now: c.now})
}

// add appends n rows, r000 and on, each a second later than the one before.
func (h *house) add(n int) {
	h.t.Helper()
	err := h.db.WithTx(h.t.Context(), func(ctx context.Context, tx *sql.Tx) error {
		for range n {
			r := row(func(r *audit.Row) {
				r.ID, r.At = fmt.Sprintf("r%03d", h.count), at+int64(h.count)*1_000_000
				if h.count%10 == 3 {
					r.Personal = map[string]any{"mail": "taro@city.example.jp"}
				}
			})
			h.count++
			if err := audit.Append(ctx, tx, r); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) tick() int {
	h.t.Helper()
	n, err := h.log.Tick(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	return n
}

// fill makes a log with a checkpoint after each of these many rows more.
func (h *house) fill(batches ...int) {
	h.t.Helper()
	for _, n := range batches {
		h.add(n)
		h.clock.jump(time.Second)
		if got := h.tick(); got != n {
			h.t.Fatalf("%d rows of %d were sequenced", got, n)
		}
	}
}

func (h *house) verify(opt audit.VerifyOptions) audit.Report {
	h.t.Helper()
	rep, err := audit.Verify(h.t.Context(), h.db, opt)
	if err != nil {
		h.t.Fatal(err)
	}
	return rep
}

func (h *house) exec(statements ...string) {
	h.t.Helper()
	for _, s := range statements {
		if _, err := h.db.Writer().ExecContext(h.t.Context(), s); err != nil {
			h.t.Fatalf("%s: %v", s, err)
		}
	}
}

func (h *house) checkpointFile() []byte {
	h.t.Helper()
	b, err := audit.ReadCheckpointFile(h.file)
	if err != nil {
		h.t.Fatal(err)
	}
	return b
}

func TestSequenceAndVerify(t *testing.T) {
	tables.Each(t, func(t *testing.T, db *sqldb.DB) {
		h := newHouse(t, db)
		if rep := h.verify(audit.VerifyOptions{}); !rep.OK() || rep.Rows != 0 {
			t.Errorf("an empty log: %+v", rep)
		}
		if n := h.tick(); n != 0 {
			t.Errorf("%d rows of none", n)
		}
		h.fill(1, 2, 4, 2500, 1) // 2500: two transactions
		h.add(3)
		rep := h.verify(audit.VerifyOptions{Kept: []audit.Kept{{Name: "the file", Note: h.checkpointFile()}}})
		if !rep.OK() || rep.Rows != 2508 || rep.Checkpoints != 6 || rep.Kept != 1 || rep.Unsequenced != 3 || rep.Personal != 251 || rep.Erased != 0 {
			t.Errorf("%+v", rep)
		}
		if rep.Oldest != at+2508*1_000_000 {
			t.Errorf("the oldest row that waits is of %d", rep.Oldest)
		}
		info, err := os.Stat(h.file)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v: %v", info.Mode(), err)
		}
		// Nobody changes what was signed without taking the triggers away.
		for _, table := range []string{"audit_leaf", "audit_node", "audit_checkpoint", "audit_log"} {
			if _, err := db.Writer().ExecContext(t.Context(), "DELETE FROM "+table); err == nil || !strings.Contains(err.Error(), "append-only") {
				t.Errorf("%s: %v", table, err)
			}
		}
		// Another process with the same database and file goes on.
		h.log = h.node("node-1", h.clock, h.file)
		if n := h.tick(); n != 3 {
			t.Errorf("%d rows after a restart", n)
		}
	})
}

// TestTwoLeaders has two nodes race for the log while rows come in and their clocks jump by an hour: each row gets one place.
func TestTwoLeaders(t *testing.T) {
	tables.Each(t, func(t *testing.T, db *sqldb.DB) {
		h := newHouse(t, db)
		var writers, leaders sync.WaitGroup
		stop := make(chan struct{})
		const perWriter = 150
		for w := range 2 {
			writers.Go(func() {
				for i := range perWriter {
					err := db.Group(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
						return audit.Append(ctx, tx, row(func(r *audit.Row) { r.ID = fmt.Sprintf("w%d-%03d", w, i); r.At = at + int64(i) }))
					})
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		var mu sync.Mutex
		did := map[string]int{}
		for i, id := range []string{"node-a", "node-b"} {
			c := newClock()
			log := h.node(id, c, filepath.Join(t.TempDir(), "audit-checkpoint"))
			leaders.Go(func() {
				for n := 0; ; n++ {
					select {
					case <-stop:
						return
					default:
					}
					switch (n + 3*i) % 7 {
					case 2:
						c.jump(time.Hour)
					case 5:
						c.jump(-time.Hour)
					default:
						c.jump(time.Second)
					}
					done, err := log.Tick(t.Context())
					if err != nil {
						t.Errorf("%s: %v", id, err)
						return
					}
					mu.Lock()
					did[id] += done
					mu.Unlock()
				}
			})
		}
		writers.Wait()
		// A quick node may do all of it before the other gets its turn: then more rows come in, until both have led.
		deadline := time.Now().Add(20 * time.Second)
		rows, fences := int64(2*perWriter), 0
		for {
			rep := h.verify(audit.VerifyOptions{})
			if !rep.OK() {
				t.Fatalf("%+v", rep)
			}
			if err := db.Reader().QueryRowContext(t.Context(), `SELECT COUNT(DISTINCT fence) FROM audit_checkpoint`).Scan(&fences); err != nil {
				t.Fatal(err)
			}
			if rep.Rows == rows && fences >= 2 || time.Now().After(deadline) {
				break
			}
			if rep.Rows == rows {
				h.add(1)
				rows++
			}
		}
		close(stop)
		leaders.Wait()
		if int64(did["node-a"]+did["node-b"]) != rows {
			t.Errorf("%v of %d rows", did, rows)
		}
		var back int
		err := db.Reader().QueryRowContext(t.Context(), `SELECT COUNT(*) FROM audit_checkpoint a JOIN audit_checkpoint b ON b.size > a.size AND b.fence < a.fence`).Scan(&back)
		if err != nil || back != 0 {
			t.Errorf("%d checkpoints of a leader that had lost the lease: %v", back, err)
		}
		if fences < 2 {
			t.Errorf("only %d leaders: they didn't race", fences)
		}
	})
}

// TestFailover holds that a node that dies is replaced after the lease's term, and that until then the other does nothing.
func TestFailover(t *testing.T) {
	tables.Each(t, func(t *testing.T, db *sqldb.DB) {
		h := newHouse(t, db)
		h.fill(3)
		other := newClock()
		second := h.node("node-2", other, "")
		h.add(2)
		for range 6 {
			if n, err := second.Tick(t.Context()); err != nil || n != 0 {
				t.Fatalf("%d rows while the first leads: %v", n, err)
			}
			other.jump(time.Second)
		}
		if n, err := second.Tick(t.Context()); err != nil || n != 2 {
			t.Errorf("%d rows after the term: %v", n, err)
		}
		h.add(1)
		if n := h.tick(); n != 0 {
			t.Errorf("the first node sequenced %d rows after it had lost the lease", n)
		}
	})
}

func TestRotatedKey(t *testing.T) {
	tables.Each(t, func(t *testing.T, db *sqldb.DB) {
		h := newHouse(t, db)
		h.fill(5)
		if _, err := h.ring.Rotate(t.Context(), audit.Purpose, keys.Turn{}, silent); err != nil {
			t.Fatal(err)
		}
		h.fill(5)
		if rep := h.verify(audit.VerifyOptions{}); !rep.OK() || rep.Checkpoints != 2 {
			t.Errorf("%+v", rep)
		}
		var signers int
		if err := db.Reader().QueryRowContext(t.Context(), `SELECT COUNT(DISTINCT substr(note, length(note) - 93)) FROM audit_checkpoint`).Scan(&signers); err != nil || signers != 2 {
			t.Errorf("%d signers: %v", signers, err)
		}
		// Only keys that the verifier holds are believed, if it holds any.
		name, err := audit.LogOrigin(t.Context(), db)
		if err != nil {
			t.Fatal(err)
		}
		signer, err := h.ring.Signer(t.Context(), db.Reader(), audit.Purpose)
		if err != nil {
			t.Fatal(err)
		}
		line, err := audit.VerifierKey(name, signer.Public())
		if err != nil {
			t.Fatal(err)
		}
		rep := h.verify(audit.VerifyOptions{Keys: []string{line}})
		if len(rep.Faults) != 1 || rep.Faults[0].Kind != audit.FaultForged || rep.Faults[0].Until != 5 {
			t.Errorf("with the second key alone: %+v", rep)
		}
	})
}

// TestNothingIsSignedOverTampering holds that the leader stops where the log isn't what was signed, and where its file knows more.
func TestNothingIsSignedOverTampering(t *testing.T) {
	for name, change := range map[string]func(h *house){
		"leaf": func(h *house) {
			h.exec(`UPDATE audit_leaf SET hash = (SELECT hash FROM audit_leaf WHERE seq = 0) WHERE seq = 4`)
		},
		"cut leaf":   func(h *house) { h.exec(`DELETE FROM audit_leaf WHERE seq = 4`) },
		"checkpoint": func(h *house) { h.exec(`UPDATE audit_checkpoint SET note = replace(note, 'previous 3', 'previous 2')`) },
		"cut tail": func(h *house) {
			h.exec(`DELETE FROM audit_leaf WHERE seq >= 3`, `DELETE FROM audit_node WHERE n > 0`, `DELETE FROM audit_checkpoint WHERE size > 3`)
		},
		"file of another log": func(h *house) {
			other := newHouse(h.t, sqldbtest.Open(h.t, sqldbtest.SQLiteURL(h.t)))
			other.fill(2)
			if err := os.WriteFile(h.file, other.checkpointFile(), 0o600); err != nil {
				h.t.Fatal(err)
			}
		},
		"damaged file": func(h *house) {
			if err := os.WriteFile(h.file, []byte("?"), 0o600); err != nil {
				h.t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, tables.Open(t, sqldb.SQLite))
			h.fill(3, 2)
			dropTriggers(h)
			change(h)
			h.add(1)
			h.log = h.node("node-1", h.clock, h.file)
			if n, err := h.log.Tick(t.Context()); !errors.Is(err, audit.ErrTampered) || n != 0 {
				t.Errorf("%d rows: %v", n, err)
			}
		})
	}
}

func TestRunSignsAtTheEnd(t *testing.T) {
	h := newHouse(t, tables.Open(t, sqldb.SQLite))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); h.log.Run(ctx) }()
	h.add(4)
	cancel()
	<-done
	if rep := h.verify(audit.VerifyOptions{}); !rep.OK() || rep.Rows != 4 {
		t.Errorf("%+v", rep)
	}
	// The lease was given back: the next node needn't wait.
	h.add(1)
	if n, err := h.node("node-2", h.clock, "").Tick(t.Context()); err != nil || n != 1 {
		t.Errorf("%d rows: %v", n, err)
	}
}

// crowd has 64 callers do b.N writes, each waiting for its own to be safe on disk, and gives the time per write.
func crowd(b *testing.B, db *sqldb.DB, write func(ctx context.Context, tx *sql.Tx) error) time.Duration {
	b.Helper()
	work := make(chan int)
	var wg sync.WaitGroup
	began := time.Now()
	for range 64 {
		wg.Go(func() {
			for range work {
				if err := db.Group(b.Context(), write); err != nil {
					b.Error(err)
				}
			}
		})
	}
	for i := range b.N {
		work <- i
	}
	close(work)
	wg.Wait()
	return time.Since(began) / time.Duration(b.N)
}

// BenchmarkAppend also tells how long an append takes against the mere insert of as many bytes.
func BenchmarkAppend(b *testing.B) {
	sqldbtest.EachBench(b, func(b *testing.B, db *sqldb.DB) {
		prepare(b, db)
		if _, err := db.Writer().ExecContext(b.Context(), `CREATE TABLE bare (id TEXT PRIMARY KEY, body TEXT NOT NULL)`); err != nil {
			b.Fatal(err)
		}
		var n atomic.Int64
		body := strings.Repeat("x", 200)
		bare := crowd(b, db, func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, `INSERT INTO bare (id, body) VALUES ($1, $2)`, fmt.Sprintf("%036d", n.Add(1)), body)
			return err
		})
		b.ResetTimer()
		each := crowd(b, db, func(ctx context.Context, tx *sql.Tx) error { return audit.Append(ctx, tx, row(nil)) })
		b.ReportMetric(1/each.Seconds(), "appends/s")
		b.ReportMetric(each.Seconds()/bare.Seconds(), "x-of-insert")
	})
}

// BenchmarkVerify also tells how long verifying takes against the mere reading of the same rows.
func BenchmarkVerify(b *testing.B) {
	const rows = 50_000
	sqldbtest.EachBench(b, func(b *testing.B, db *sqldb.DB) {
		h := newHouse(b, db)
		for range rows / 2000 {
			h.add(2000)
		}
		began := time.Now()
		if n := h.tick(); n != rows {
			b.Fatal(n)
		}
		sequencing := time.Since(began)
		began = time.Now()
		found, err := db.Reader().QueryContext(b.Context(), `SELECT r.id, r.at, r.actor, r.actor_kind, r.action, r.org, r.object, r.outcome, r.reason,
			r.policy_hash, r.detail, r.commitment FROM audit_leaf l JOIN audit_row r ON r.id = l.row_id ORDER BY l.seq`)
		if err != nil {
			b.Fatal(err)
		}
		defer found.Close()
		for found.Next() {
			var s [11]string
			var at int64
			if err := found.Scan(&s[0], &at, &s[1], &s[2], &s[3], &s[4], &s[5], &s[6], &s[7], &s[8], &s[9], &s[10]); err != nil {
				b.Fatal(err)
			}
		}
		if err := found.Err(); err != nil {
			b.Fatal(err)
		}
		reading := time.Since(began)
		b.ResetTimer()
		for range b.N {
			if rep := h.verify(audit.VerifyOptions{}); !rep.OK() || rep.Rows != rows {
				b.Fatalf("%+v", rep)
			}
		}
		each := b.Elapsed() / time.Duration(b.N)
		b.ReportMetric(rows/each.Seconds(), "entries/s")
		b.ReportMetric(rows/sequencing.Seconds(), "sequenced/s")
		b.ReportMetric(each.Seconds()/reading.Seconds(), "x-of-reading")
	})
}
