package directory_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/xuri/excelize/v2"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/directory"
	"github.com/musubi-hub/musubi/identity/directory/review"
	"github.com/musubi-hub/musubi/identity/directory/sample"
	"github.com/musubi-hub/musubi/identity/directory/table"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
	"github.com/musubi-hub/musubi/policies"
)

const (
	benchPeople  = 250_000
	benchMemory  = 400 // MiB, resident
	benchLogin   = 300 * time.Millisecond
	benchLogins  = 4 // at a time, without a pause
	benchChild   = "MUSUBI_BENCH_IMPORT"
	benchColumns = 26
)

// benchImport is what the child is told, and what it tells.
type benchImport struct {
	URL, File                        string
	Read, Import, Published, Settled float64 // seconds; the last two since the import began
	CPU                              float64 // seconds of all threads
	Peak                             int     // MiB
	Result                           directory.Result
}

// The import of a whole nation's people, 250,000, beside a hub that goes on serving: a process of its own imports the file, as `musubi import`
// does, while this one serves logins (Actor and a small write). It reports the child's seconds and its resident memory at its
// highest (VmHWM), the logins' latency, ratios to the limits, and to inserting as many rows of as many columns and doing nothing else.
func BenchmarkImport(b *testing.B) {
	people := benchStaff(b)
	for _, file := range []struct {
		name   string
		limits map[sqldb.Engine]time.Duration
		write  func(b *testing.B, path string, people []identity.Person)
	}{
		{"csv", map[sqldb.Engine]time.Duration{sqldb.SQLite: 30 * time.Second, sqldb.PostgreSQL: 45 * time.Second}, writeCSV},
		{"xlsx", map[sqldb.Engine]time.Duration{sqldb.SQLite: 45 * time.Second, sqldb.PostgreSQL: 45 * time.Second}, writeXLSX},
	} {
		path := filepath.Join(b.TempDir(), "people."+file.name)
		file.write(b, path, people)
		b.Run(file.name, func(b *testing.B) {
			for engine, start := range map[sqldb.Engine]func(testing.TB) string{sqldb.SQLite: sqldbtest.SQLiteURL, sqldb.PostgreSQL: sqldbtest.Start} {
				b.Run(string(engine), func(b *testing.B) {
					if b.N > 1 {
						b.Skip("one run says enough: -benchtime 1x")
					}
					measureImport(b, start(b), path, file.limits[engine])
				})
			}
		})
	}
}

func measureImport(b *testing.B, url, path string, limit time.Duration) {
	db, err := sqldb.Open(b.Context(), url, sqldb.Options{Application: "musubi-bench"})
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	store := benchStore(b, db)
	bare := bareInsert(b, db)
	b.ReportMetric(bare.Seconds(), "bare-insert-s")
	ids := benchUsers(b, store)
	idle := logIn(b, db, store, ids, func(stop <-chan time.Time) { <-stop }, time.Second)

	var first, again benchImport
	busy := logIn(b, db, store, ids, func(<-chan time.Time) { first = importInChild(b, url, path) }, time.Hour)
	if first.Result != (directory.Result{Added: benchPeople, Published: true}) {
		b.Fatalf("%+v", first)
	}
	later := logIn(b, db, store, ids, func(<-chan time.Time) { again = importInChild(b, url, path) }, time.Hour)
	if again.Result != (directory.Result{Unchanged: benchPeople, Published: true}) {
		b.Fatalf("%+v", again)
	}
	total := first.Read + first.Import
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(total, "first-s")
	b.ReportMetric(total/limit.Seconds(), "first/limit")
	b.ReportMetric(total/bare.Seconds(), "first/bare")
	b.ReportMetric(first.CPU, "first-cpu-s")
	b.ReportMetric(first.Read, "first-read-s")
	b.ReportMetric(first.Published, "first-published-s")
	b.ReportMetric(float64(first.Peak), "first-peak-MiB")
	b.ReportMetric(float64(first.Peak)/benchMemory, "first-peak/limit")
	b.ReportMetric(again.Read+again.Import, "again-s")
	b.ReportMetric(float64(again.Peak), "again-peak-MiB")
	for name, l := range map[string][]time.Duration{"idle": idle, "first": busy, "again": later} {
		slices.Sort(l)
		b.ReportMetric(float64(l[len(l)/2].Microseconds())/1000, name+"-login-p50-ms")
		b.ReportMetric(float64(l[len(l)*99/100].Microseconds())/1000, name+"-login-p99-ms")
		b.ReportMetric(float64(l[len(l)-1].Microseconds())/1000, name+"-login-max-ms")
		b.ReportMetric(float64(len(l)), name+"-logins")
	}
	b.ReportMetric(float64(busy[len(busy)*99/100])/float64(benchLogin), "first-login-p99/limit")
}

func benchStore(tb testing.TB, db *sqldb.DB) *directory.Store {
	tb.Helper()
	if err := db.Migrate(tb.Context(), directory.Migration(), audit.Migration(db.Engine())); err != nil {
		tb.Fatal(err)
	}
	var n atomic.Int64
	seed := rand.Int64()
	return directory.New(db, directory.Options{
		Now:   time.Now,
		NewID: func() policies.PersonID { return policies.PersonID(fmt.Sprintf("%013x%013d", seed, n.Add(1))) },
	})
}

// benchUsers registers organizations, and people who log in.
func benchUsers(b *testing.B, store *directory.Store) (ids []policies.PersonID) {
	b.Helper()
	scope, by := policies.System(policies.TaskTest), directory.Author{Source: "benchmark"}
	orgs, _ := sample.Orgs()
	if _, _, err := store.Import(b.Context(), scope, orgs, by, directory.ImportOptions{}); err != nil {
		b.Fatal(err)
	}
	users, _ := directory.PeopleRows("users", func(yield func(identity.Person) bool) {
		for n := range 1000 {
			p := identity.Person{Org: "011002", StaffNumber: fmt.Sprintf("U%d", n), FamilyName: "利用", Email: fmt.Sprintf("u%d@example.lg.jp", n), Role: policies.RoleGeneral}
			if !yield(p) {
				return
			}
		}
	})
	if _, _, err := store.Import(b.Context(), scope, users, by, directory.ImportOptions{}); err != nil {
		b.Fatal(err)
	}
	err := store.EachPerson(b.Context(), scope, func(p identity.Person) error { ids = append(ids, p.ID); return nil })
	if err != nil || len(ids) != 1000 {
		b.Fatal(len(ids), err)
	}
	return ids
}

// logIn serves logins while fn runs, or for as long, and gives how long each took.
func logIn(b *testing.B, db *sqldb.DB, store *directory.Store, ids []policies.PersonID, fn func(<-chan time.Time), long time.Duration) (all []time.Duration) {
	b.Helper()
	if _, err := db.Writer().ExecContext(b.Context(), "CREATE TABLE IF NOT EXISTS bench_login (person TEXT NOT NULL, at BIGINT NOT NULL)"); err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(b.Context())
	var wg sync.WaitGroup
	var mu sync.Mutex
	for range benchLogins {
		wg.Go(func() {
			for ctx.Err() == nil {
				began := time.Now()
				p, _, err := store.Actor(b.Context(), ids[rand.IntN(len(ids))])
				if err == nil {
					err = db.Group(b.Context(), func(ctx context.Context, tx *sql.Tx) error {
						_, err := tx.ExecContext(ctx, "INSERT INTO bench_login (person, at) VALUES ($1, $2)", string(p.ID), began.UnixMicro())
						return err
					})
				}
				if err != nil {
					b.Error(err)
					return
				}
				mu.Lock()
				all = append(all, time.Since(began))
				mu.Unlock()
				time.Sleep(20 * time.Millisecond)
			}
		})
	}
	fn(time.After(long))
	stop()
	wg.Wait()
	return all
}

func importInChild(b *testing.B, url, path string) (m benchImport) {
	b.Helper()
	task, err := json.Marshal(benchImport{URL: url, File: path})
	if err != nil {
		b.Fatal(err)
	}
	child := exec.CommandContext(b.Context(), os.Args[0], "-test.run=^TestBenchmarkedChild$", "-test.v")
	child.Env = append(os.Environ(), benchChild+"="+string(task))
	out, err := child.CombinedOutput()
	_, answer, found := bytes.Cut(out, []byte("measured:"))
	if err != nil || !found {
		b.Fatalf("%v\n%s", err, out)
	}
	if err := json.NewDecoder(bytes.NewReader(answer)).Decode(&m); err != nil {
		b.Fatal(err)
	}
	m.CPU = (child.ProcessState.UserTime() + child.ProcessState.SystemTime()).Seconds()
	return m
}

// TestBenchmarkedChild is the child of BenchmarkImport.
func TestBenchmarkedChild(t *testing.T) {
	task := os.Getenv(benchChild)
	if task == "" {
		t.Skip("the child of BenchmarkImport")
	}
	var m benchImport
	if err := json.Unmarshal([]byte(task), &m); err != nil {
		t.Fatal(err)
	}
	db, err := sqldb.Open(t.Context(), m.URL, sqldb.Options{Application: "musubi-bench"})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	store := benchStore(t, db)
	began := time.Now()
	f, err := os.Open(m.File)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := directory.Read(t.Context(), directory.SubjectPeople, f, "people", table.Options{})
	if err != nil || !rows.Report.OK() {
		t.Fatal(err, rows.Report.Faults())
	}
	m.Read = time.Since(began).Seconds()
	began = time.Now()
	m.Result, _, err = store.Import(t.Context(), policies.System(policies.TaskTest), rows, directory.Author{Source: "benchmark"}, directory.ImportOptions{
		Progress: func(done, _ int64, stage string) {
			if stage == directory.StagePublish && done > 0 {
				m.Published = time.Since(began).Seconds()
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	m.Import = time.Since(began).Seconds()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Skip("no /proc here")
	}
	_, peak, _ := strings.Cut(string(status), "VmHWM:")
	if _, err := fmt.Sscan(peak, &m.Peak); err != nil {
		t.Fatal(err)
	}
	m.Peak >>= 10
	answer, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("measured:%s\n", answer)
}

// bareInsert inserts as many rows of as many columns as an import stages, in transactions of 4,000, and does nothing else.
func bareInsert(b *testing.B, db *sqldb.DB) time.Duration {
	b.Helper()
	columns := make([]string, benchColumns)
	for i := range columns {
		columns[i] = fmt.Sprintf("c%d", i)
	}
	if _, err := db.Writer().ExecContext(b.Context(), "CREATE TABLE bare ("+strings.Join(columns, " TEXT, ")+" TEXT)"); err != nil {
		b.Fatal(err)
	}
	row := make([]any, benchColumns)
	for i := range row {
		row[i] = "十六バイトほど"
	}
	began := time.Now()
	for from := 0; from < benchPeople; from += 4000 {
		err := db.WithTx(b.Context(), func(ctx context.Context, tx *sql.Tx) error {
			_, err := db.Bulk(ctx, tx, "bare", columns, "", func(yield func([]any) bool) {
				for range min(4000, benchPeople-from) {
					if !yield(row) {
						return
					}
				}
			})
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	took := time.Since(began)
	if _, err := db.Writer().ExecContext(b.Context(), "DROP TABLE bare"); err != nil {
		b.Fatal(err)
	}
	return took
}

// benchStaff makes people with every column filled.
func benchStaff(b *testing.B) []identity.Person {
	b.Helper()
	orgs, _ := sample.Orgs()
	var list []identity.Organization
	for _, row := range orgs.Orgs {
		list = append(list, row.Organization)
	}
	people := make([]identity.Person, 0, benchPeople)
	for p := range sample.People(list, benchPeople/len(list)+1, 1) {
		if len(people) == benchPeople {
			break
		}
		n := len(people)
		p.FamilyRomaji, p.GivenRomaji = "Shiken", "Taro"
		p.Section, p.Title, p.Duties = fmt.Sprintf("総務部第%d課", n%40), "主事", "住民基本台帳、マイナンバーカードの交付"
		p.Phone, p.Extension, p.Fax = fmt.Sprintf("011-211-%04d", n%10000), fmt.Sprint(1000+n%9000), "011-211-9999"
		people = append(people, p)
	}
	return people
}

func writeCSV(b *testing.B, path string, people []identity.Person) {
	b.Helper()
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	w := table.NewWriter(f, table.WriterOptions{}, review.New("people"))
	err = w.Row(directory.PeopleHeader(review.Japanese))
	for _, p := range people {
		if err == nil {
			err = w.Row(directory.PersonCells(p))
		}
	}
	if err == nil {
		err = w.Flush()
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		b.Fatal(err)
	}
}

func writeXLSX(b *testing.B, path string, people []identity.Person) {
	b.Helper()
	book := excelize.NewFile()
	w, err := book.NewStreamWriter("Sheet1")
	if err != nil {
		b.Fatal(err)
	}
	put := func(line int, texts []string) {
		cells := make([]any, len(texts))
		for i, text := range texts {
			cells[i] = text
		}
		if err := w.SetRow(fmt.Sprintf("A%d", line), cells); err != nil {
			b.Fatal(err)
		}
	}
	put(1, directory.PeopleHeader(review.Japanese))
	for i, p := range people {
		put(i+2, directory.PersonCells(p))
	}
	if err := w.Flush(); err != nil {
		b.Fatal(err)
	}
	if err := book.SaveAs(path); err != nil {
		b.Fatal(err)
	}
	if err := book.Close(); err != nil {
		b.Fatal(err)
	}
}
