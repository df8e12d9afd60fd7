package directory

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/directory/table"
	"github.com/musubi-hub/musubi/policies"
)

func readTransfers(t testing.TB, text string) *TransferRows {
	t.Helper()
	rows, err := ReadTransfers(t.Context(), strings.NewReader(text), "transfers.csv", table.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func TestReadTransfers(t *testing.T) {
	for _, text := range []string{
		"org,staff_number,kind,date,section,role,embargo\n011002,A1,move,2027-04-01,税務課,administrator,yes\n",
		"団体コード,職員番号,異動区分,発令日,部署,権限,内示\r\n011002,A1,異動,令和9年4月1日,税務課,管理ユーザ,はい\r\n",
		"内示,職員番号,団体コード,発令日,異動区分,部署,権限\n○,A1,011002,R9.4.1,配置換,税務課,管理ユーザ\n",
	} {
		rows := readTransfers(t, text)
		if !rows.Report.OK() || len(rows.Rows) != 1 {
			t.Errorf("%v", rows.Report.Faults())
			continue
		}
		r := rows.Rows[0]
		if r.Org != "011002" || r.StaffNumber != "A1" || r.Transfer.Kind != identity.TransferMove || r.Transfer.At != day("2027-04-01") ||
			r.Transfer.Section != "税務課" || r.Transfer.Role != policies.RoleAdministrator || !r.Transfer.Embargo {
			t.Errorf("%+v", r)
		}
	}
	for _, bad := range []struct{ text, column string }{
		{"org,staff_number,kind\n", ""},
		{"org,staff_number,kind,date,color\n", ""},
		{"org,org,staff_number,kind,date\n", ""},
		{"org,staff_number,kind,date\n011003,A1,move,2027-04-01\n", "org"},
		{"org,staff_number,kind,date\n011002,A1,fly,2027-04-01\n", "kind"},
		{"org,staff_number,kind,date\n011002,A1,move,2027-02-30\n", "date"},
		{"org,staff_number,kind,date\n011002,,move,2027-04-01\n", "staff_number"},
		{"org,staff_number,kind,date\n011002,A1,second,2027-04-01\n", "to_org"},
		{"org,staff_number,kind,date,return_date\n011002,A1,move,2027-04-01,2028-04-01\n", "return_date"},
		{"org,staff_number,kind,date,named\n011002,A1,move,2027-04-01,A2\n", "named"},
	} {
		rows := readTransfers(t, bad.text)
		if f := rows.Report.Faults(); len(f) != 1 || f[0].Column != bad.column || f[0].Remedy.JA == "" || len(rows.Rows) != 0 {
			t.Errorf("%q: %+v", bad.text, f)
		}
	}
	for _, ja := range []bool{true, false} {
		if rows := readTransfers(t, string(TransferTemplate(ja))); !rows.Report.OK() || len(rows.Rows) != 0 {
			t.Errorf("the template: %v", rows.Report.Faults())
		}
	}
}

func TestImportTransfers(t *testing.T) {
	eachTransfer(t, func(t *testing.T, f *fixture) {
		const head = "org,staff_number,kind,date,to_org,to_staff_number,section,role,successor,embargo,named\n"
		run := func(text string, opt TransferImport) (Result, []string) {
			t.Helper()
			r, report, err := f.ImportTransfers(t.Context(), everything, readTransfers(t, head+text), tester, nil, opt)
			if err != nil {
				t.Fatal(err)
			}
			var faults []string
			for _, x := range report.Faults() {
				faults = append(faults, fmt.Sprintf("%d %s %s", x.Line, x.Column, x.Reason.EN))
			}
			return r, faults
		}
		good := "011002,A1,move,2027-04-01,131016,B9,税務課,,,,\n011002,A2,move,2027-04-01,,,福祉課,,,yes,A0 A1\n"
		if r, faults := run(good, TransferImport{DryRun: true}); r.Added != 2 || r.Published || faults != nil || f.plannedCount(t) != 0 {
			t.Errorf("%+v, %v", r, faults)
		}
		bad := "011002,A9,move,2027-04-01,,,,,,,\n011002,A1,move,2027-05-01,012025,X,,,,,\n011002,A0,role,2027-04-01,,,,general,,,\n"
		if r, faults := run(good+bad, TransferImport{}); r.Published || r.Refused != 3 || len(faults) != 3 || f.plannedCount(t) != 0 {
			t.Errorf("%+v, %v", r, faults)
		}
		if r, faults := run(good+bad, TransferImport{SkipBad: true}); !r.Published || r.Added != 2 || len(faults) != 3 || f.plannedCount(t) != 2 {
			t.Errorf("%+v, %v", r, faults)
		}
		if r, faults := run(good, TransferImport{}); r.Added != 0 || r.Unchanged != 2 || faults != nil || f.plannedCount(t) != 2 {
			t.Errorf("again: %+v, %v", r, faults)
		}
		// The only administrator goes in the same file as the successor comes: judged together.
		if r, faults := run("011002,A0,role,2027-04-02,,,,general,,,\n011002,A2,role,2027-03-02,,,,administrator,,,\n", TransferImport{}); !r.Published || faults != nil || r.Added != 2 {
			t.Errorf("%+v, %v", r, faults)
		}
		list, err := f.Transfers(t.Context(), everything, TransferFilter{Embargoed: true})
		if err != nil || len(list) != 1 || len(list[0].Named) != 2 {
			t.Errorf("%+v, %v", list, err)
		}
		var left int
		if err := f.db.Reader().QueryRowContext(t.Context(), "SELECT COUNT(*) FROM transfer WHERE state = 'staged' OR batch <> ''").Scan(&left); err != nil || left != 0 {
			t.Errorf("%d rows left in staging, %v", left, err)
		}
		assertGapless(t, f)
	})
}

// plannedCount counts the planned transfers.
func (f *fixture) plannedCount(t testing.TB) int {
	t.Helper()
	list, err := f.Transfers(t.Context(), everything, TransferFilter{States: []identity.TransferState{identity.TransferPlanned}})
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

func FuzzReadTransfers(f *testing.F) {
	f.Add([]byte("org,staff_number,kind,date\n011002,A1,move,2027-04-01\n"))
	f.Add([]byte("\xef\xbb\xbf団体コード,職員番号,異動区分,発令日,内示,内示閲覧者\r\n011002,A1,退職,R9.3.31,はい,A2;A3\r\n"))
	f.Add([]byte("org,staff_number,kind,date,return_date\n011002,\"A\n1\",second,令和元年5月1日,x\n"))
	f.Add(TransferTemplate(true))
	f.Add([]byte("PK\x03\x04"))
	f.Fuzz(func(t *testing.T, data []byte) {
		rows, err := ReadTransfers(t.Context(), bytes.NewReader(data), "f", table.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rows.Rows {
			if r.StaffNumber == "" || r.Org == "" || r.Transfer.At == 0 || r.Transfer.Kind == "" || r.Line < 2 {
				t.Errorf("%+v", r)
			}
		}
	})
}
