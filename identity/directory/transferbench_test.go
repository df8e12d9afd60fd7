package directory

import (
	"context"
	"database/sql"
	"fmt"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
	"github.com/musubi-hub/musubi/policies"
)

// The night of 1 April: 100,000 of 120,000 people are transferred at one midnight, 5 % of them swap staff numbers, 25 % go to another town, 5 %
// leave. Goal: all effective within 60 s, and no transaction much longer than 200 ms, which is what a login may have to wait for.
func BenchmarkMidnight(b *testing.B) {
	sqldbtest.EachBench(b, func(b *testing.B, db *sqldb.DB) {
		if b.N > 1 {
			b.Skip("one run says enough: -benchtime 1x")
		}
		const people, due, towns = 120_000, 100_000, 400
		if err := db.Migrate(b.Context(), Migration(), audit.Migration(db.Engine())); err != nil {
			b.Fatal(err)
		}
		f := newFixture(b, db)
		f.now = time.Now
		ids := benchPeople(b, f, people, towns)
		at := time.Now().Add(-time.Minute).UnixMicro()
		list := make([]recorded, 0, due)
		for i := range due {
			list = append(list, recorded{Transfer: benchTransfer(f, ids, i, at)})
		}
		for from := 0; from < due; from += chunkMax {
			err := f.db.WithTx(b.Context(), func(ctx context.Context, tx *sql.Tx) error {
				book, err := f.openBook(ctx, tx, tester)
				if err != nil {
					return err
				}
				return f.record(ctx, tx, book, list[from:min(from+chunkMax, due)])
			})
			if err != nil {
				b.Fatal(err)
			}
		}
		stop := make(chan struct{})
		waits := make(chan time.Duration)
		go func() { // a login every 10 ms: one small write
			var longest time.Duration
			for {
				select {
				case <-stop:
					waits <- longest
					return
				case <-time.After(10 * time.Millisecond):
				}
				began := time.Now()
				err := f.db.WithTx(context.WithoutCancel(b.Context()), func(ctx context.Context, tx *sql.Tx) error {
					_, err := tx.ExecContext(ctx, "UPDATE vacancy SET ended_at = ended_at WHERE org = 'none'")
					return err
				})
				if err != nil {
					b.Error(err)
				}
				longest = max(longest, time.Since(began))
			}
		}()
		began := time.Now()
		done, err := f.Activate(b.Context())
		took := time.Since(began)
		close(stop)
		longest := <-waits
		if err != nil || done != (Activated{Done: due}) {
			b.Fatalf("%+v, %v", done, err)
		}
		b.ReportMetric(took.Seconds(), "s")
		b.ReportMetric(took.Seconds()/60, "of-60s")
		b.ReportMetric(float64(due)/took.Seconds(), "transfers/s")
		b.ReportMetric(longest.Seconds()*1000, "longest-write-ms")
	})
}

func benchOrg(town int) policies.OrgID {
	base := fmt.Sprintf("%05d", 1100+town)
	sum := 0
	for i, w := range []int{6, 5, 4, 3, 2} {
		sum += int(base[i]-'0') * w
	}
	return policies.OrgID(fmt.Sprintf("%s%d", base, (11-sum%11)%10))
}

func benchPeople(b *testing.B, f *fixture, people, towns int) []identity.Person {
	b.Helper()
	if _, err := f.AddOrganization(b.Context(), everything, identity.Organization{ID: "010006", Kind: policies.KindPrefecture, Name: "北海道"}, tester); err != nil {
		b.Fatal(err)
	}
	for i := range towns {
		if _, err := f.AddOrganization(b.Context(), everything, identity.Organization{ID: benchOrg(i), Kind: policies.KindMunicipality, Name: fmt.Sprint("町", i)}, tester); err != nil {
			b.Fatal(err)
		}
	}
	rows, report := PeopleRows("people", func(yield func(identity.Person) bool) {
		for i := range people {
			role := policies.RoleGeneral
			if i >= people-towns {
				role = policies.RoleAdministrator // of the last ones, who stay
			}
			if !yield(identity.Person{Org: benchOrg(i % towns), StaffNumber: fmt.Sprintf("S%06d", i), FamilyName: "試験", GivenName: "職員", Section: "総務課", Email: fmt.Sprintf("s%06d@t.example.lg.jp", i), Role: role}) {
				return
			}
		}
	})
	if !report.OK() {
		b.Fatal(report.Faults())
	}
	if _, report, err := f.Import(b.Context(), everything, rows, tester, ImportOptions{}); err != nil || !report.OK() {
		b.Fatal(err, report.Faults())
	}
	list := make([]identity.Person, people)
	err := f.EachPerson(b.Context(), everything, func(p identity.Person) error {
		var i int
		_, err := fmt.Sscanf(p.StaffNumber, "S%d", &i)
		list[i] = p
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return list
}

func benchTransfer(f *fixture, ids []identity.Person, i int, at int64) identity.Transfer {
	p := ids[i]
	t := identity.Transfer{
		ID: f.newTransferID(), Person: p.ID, Name: p.DisplayName(), Kind: identity.TransferMove, From: p.Org, To: p.Org, At: at, Section: "税務課",
		Title: "係長", RecordedAt: at - 1, State: identity.TransferPlanned, Why: "定期異動", Source: "bench",
	}
	switch i % 20 {
	case 0: // swaps with the next but 399, who is of the same town
		if i+400 < 100_000 && (i/400)%2 == 0 {
			t.StaffNumber = ids[i+400].StaffNumber
		} else if (i/400)%2 == 1 {
			t.StaffNumber = ids[i-400].StaffNumber
		}
	case 1:
		t.Kind, t.Section, t.Title = identity.TransferLeave, "", ""
	case 2, 3, 4, 5, 6:
		t.To, t.StaffNumber, t.AcceptedAt = benchOrg((i+1)%400), fmt.Sprintf("N%06d", i), at-1
		t.Email = fmt.Sprintf("n%06d@t.example.lg.jp", i)
	case 7:
		t.Kind, t.Title = identity.TransferConcurrent, "兼務"
	}
	return t
}
