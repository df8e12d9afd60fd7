package directory

import (
	"encoding/csv"
	"slices"
	"strings"
	"testing"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/directory/review"
	"github.com/musubi-hub/musubi/identity/directory/table"
	"github.com/musubi-hub/musubi/policies"
)

func (f *fixture) exportTransfers(t testing.TB, scope policies.Scope) (text string, rows, left int) {
	t.Helper()
	var b strings.Builder
	w := csv.NewWriter(&b)
	if err := w.Write(TransferHeader(review.Japanese)); err != nil {
		t.Fatal(err)
	}
	left, err := f.ExportTransfers(t.Context(), scope, "", func(r TransferRow) error { rows++; return w.Write(TransferCells(r)) })
	if err != nil {
		t.Fatal(err)
	}
	w.Flush()
	return b.String(), rows, left
}

// What is exported goes in again without a difference, and tells of an embargo only whom it names.
func TestExportTransfers(t *testing.T) {
	eachStore(t, func(t *testing.T, f *fixture) {
		f.load(t, someOrgs, somePeople+"011002,S3,山田,葵,,,aoi@c011002.example.lg.jp,general\n011002,S4,林,恵,,,megumi@c011002.example.lg.jp,general\n011002,S5,森,学,,,manabu@c011002.example.lg.jp,general\n")
		s1, s2, s3, s4 := f.find(t, townA, "S1"), f.find(t, townA, "S2"), f.find(t, townA, "S3"), f.find(t, townA, "S4")
		write := f.actor(t, s1, policies.ActionPeopleWrite, townA)
		at := day("2099-04-01")
		f.add(t, write, identity.Transfer{Person: s2.ID, Kind: identity.TransferMove, At: at, Section: "税務課", Title: "係長", Extension: "12", Why: "=昇任"})
		f.add(t, write, identity.Transfer{Person: s2.ID, Kind: identity.TransferConcurrent, To: townA, At: at, Section: "総務課", Title: "主査"})
		f.add(t, write, identity.Transfer{Person: s3.ID, Kind: identity.TransferSecond, To: townB, At: at, ReturnAt: day("2100-04-01"), Embargo: true, Named: []policies.PersonID{s4.ID}})
		f.add(t, write, identity.Transfer{Person: s1.ID, Kind: identity.TransferLeave, At: at, Successor: s4.ID})
		f.add(t, everything, identity.Transfer{Person: f.find(t, townB, "S1").ID, Kind: identity.TransferMove, To: townA, At: at, StaffNumber: "S9"})
		accepted := f.add(t, write, identity.Transfer{Person: f.find(t, townA, "S5").ID, Kind: identity.TransferMove, To: townB, At: at + oneDay})
		receiver := f.actor(t, f.find(t, townB, "S1"), policies.ActionPeopleWrite, townB)
		if _, err := f.AcceptTransfer(t.Context(), receiver, accepted.ID, Arrival{StaffNumber: "S7"}, Author{Actor: receiver.Actor(), Source: "test"}); err != nil {
			t.Fatal(err)
		}

		// The other town's transfer that leads here is left out.
		text, rows, left := f.exportTransfers(t, f.actor(t, s1, policies.ActionPeopleRead, townA))
		if rows != 5 || left != 1 || strings.Contains(text, "S7") {
			t.Errorf("%d rows, %d left out:\n%s", rows, left, text)
		}
		again := func(scope policies.Scope, text string) (Result, *review.Report) {
			t.Helper()
			in, err := ReadTransfers(t.Context(), strings.NewReader(text), "transfers.csv", table.Options{})
			if err != nil {
				t.Fatal(err)
			}
			r, report, err := f.ImportTransfers(t.Context(), scope, in, Author{Actor: scope.Actor(), Source: "test"}, nil, TransferImport{})
			if err != nil {
				t.Fatal(err)
			}
			return r, report
		}
		if r, report := again(write, text); r.Unchanged != 5 || r.Added != 0 || !report.OK() {
			t.Errorf("%+v, %v", r, report.Faults())
		}
		// Who isn't named finds no trace of the embargo.
		other, rows, left := f.exportTransfers(t, f.actor(t, s2, policies.ActionPeopleRead, townA))
		if rows != 4 || left != 1 || strings.Contains(other, "second") || strings.Contains(other, "yes") {
			t.Errorf("%d rows, %d left out:\n%s", rows, left, other)
		}
		if whole, rows, _ := f.exportTransfers(t, f.actor(t, s4, policies.ActionPeopleRead, townA)); rows != 5 || whole != text {
			t.Errorf("the named one reads\n%s", whole)
		}
		// The file of last month is no second move.
		f.to(at)
		f.activate(t)
		lines := strings.SplitAfter(text, "\n")
		moved := slices.IndexFunc(lines, func(s string) bool { return strings.Contains(s, "税務課") })
		before := len(f.changes(t))
		if r, report := again(f.actor(t, s4, policies.ActionPeopleWrite, townA), lines[0]+lines[moved]); r.Unchanged != 1 || r.Added != 0 || len(f.changes(t)) != before {
			t.Errorf("%+v, %v", r, report.Faults())
		}
	})
}
