package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

var (
	transferID = regexp.MustCompile(`\bt[a-z2-7]{26}\b`)
	minuteText = regexp.MustCompile(`\b20[0-8]\d-\d\d-\d\d \d\d:\d\d\b`)
)

// TestTransferCommands pins what administrators of two towns, and those who may not know, see of transfers.
func TestTransferCommands(t *testing.T) {
	t.Parallel()
	i := &install{data: t.TempDir()}
	i.begin(t)
	i.fill(t, 3, hokkaido, sapporo)
	file := filepath.Join(t.TempDir(), "transfers.csv")
	text := "団体コード,職員番号,異動区分,発令日,異動先団体コード,部署\n011002,S00002,異動,令和81年4月1日,012041,税務課\n011002,S00003,異動,2099-04-01,,会計課\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{
		"PLANNER": i.planner(), "DATA": i.data, "TOWN": i.credential(t, sapporo, staff(1)), "PREF": i.credential(t, hokkaido, staff(1)), "FILE": file,
	}
	var seen strings.Builder
	secret := "" // the one under embargo
	for _, step := range []struct {
		args string
		code int
	}{
		{"transfers list --as TOWN", 0},
		{"transfers add --org 011002 S00002 --kind 異動 --at 2099-04-01 --to 012041 --as TOWN", 3}, // an organization that isn't there
		{"transfers add --org 011002 S00002 --kind 転職 --at 2099-04-01 --as TOWN", 2},
		{"transfers add --org 011002 S00002 --kind 異動 --at 2099-02-30 --as TOWN", 2},
		{"transfers add --org 011002 S00001 --kind 異動 --at 2099-04-01 --to 010006 --as TOWN", 3}, // the only administrator
		{"transfers add --org 010006 S00002 --kind 異動 --at 2099-04-01 --to 011002 --as TOWN", 3}, // somebody else's
		{"transfers add --org 011002 S00002 --kind 異動 --at 2099-04-01 --to 010006 --role 管理ユーザ --as TOWN", 3},
		{"transfers add --org 011002 S00002 --kind 異動 --at 令和81年4月1日 --to 010006 --section 道税課 --why 割愛採用 --as TOWN", 0},
		{"transfers list --as PREF", 0},
		{"transfers accept TRANSFER --as PREF", 3},
		{"transfers accept TRANSFER --to-staff-number D00099 --title 主査 --as PREF", 0},
		{"transfers show TRANSFER --as TOWN", 0},
		{"transfers add --org 011002 S00003 --kind 異動 --at 2099-04-01 --section 秘密課 --embargo --as TOWN", 0},
		{"transfers list --embargoed --as TOWN", 0},
		{"transfers list --embargoed --as PLANNER", 0}, // a system administrator isn't named
		{"transfers show TRANSFER --as PLANNER", 3},
		{"transfers cancel TRANSFER --as PLANNER", 3},
		{"transfers show tnobody --as PLANNER", 3},
		{"transfers cancel TRANSFER --why 中止 --as TOWN", 0},
		{"transfers cancel TRANSFER --as TOWN", 3},
		{"transfers add --org 011002 S00003 --kind 異動 --at 2020-04-01 --section 会計課 --as TOWN", 0}, // late
		{"transfers list --state done --limit 1 --as TOWN", 0},
		{"transfers list --after x --as TOWN", 2},
		{"transfers add --org 011002 S00001 --kind 退職 --at 2020-03-31 --as TOWN", 0}, // the last administrator leaves
		{"transfers list --as TOWN", 3},
		{"transfers import-template --locale en", 0},
		{"import transfers FILE --as PLANNER", 3},
		{"import transfers FILE --skip-bad --as PLANNER", 4},
		{"import transfers FILE --complete --as PLANNER", 2},
	} {
		args := strings.Fields(step.args)
		for n, a := range args {
			if value, ok := env[a]; ok {
				args[n] = value
			}
		}
		r := i.musubi(t, args...)
		if id := transferID.FindString(r.out); strings.HasPrefix(step.args, "transfers add") && id != "" {
			env["TRANSFER"] = id
			if strings.Contains(step.args, "--embargo") {
				secret = id
			}
		}
		seen.WriteString(screen(t, r, step.code, step.args, env) + "\n")
	}
	compareTransfers(t, seen.String())
	// Nothing of the embargoed one stands in the audit log but its id, who recorded it and when; and no list of jobs tells its date.
	if secret == "" || secret == env["TRANSFER"] {
		t.Fatal(env)
	}
	r := i.must(t, "audit", "find", "--object", secret, "--as", i.planner())
	if !strings.Contains(r, "transfer.add") || !strings.Contains(r, "transfer.cancel") || strings.Contains(r, string(sapporo)) || strings.Contains(r, "中止") {
		t.Error(r)
	}
	if r := i.must(t, "jobs", "list", "--state", "all", "--json", "--as", i.planner()); strings.Contains(r, "2099") || strings.Contains(r, "2098") || strings.Contains(r, "scheduled") {
		t.Error(r)
	}
}

func compareTransfers(t *testing.T, seen string) {
	t.Helper()
	got := minuteText.ReplaceAllString(transferID.ReplaceAllString(strings.ReplaceAll(seen, "\r\n", "\n"), "OTHER"), "TIME")
	compare(t, filepath.Join("testdata", "transfers.txt"), got)
}

// The notice is a job: a serving hub keeps it, and the system administrator reads it.
func TestNotices(t *testing.T) {
	t.Parallel()
	i := &install{data: t.TempDir()}
	i.begin(t)
	i.fill(t, 2, hokkaido, sapporo)
	i.must(t, "people", "end", "--org", string(sapporo), staff(1), "--as", i.planner())
	i.hub(t)
	for deadline := time.Now().Add(patient); ; time.Sleep(100 * time.Millisecond) {
		r := i.must(t, "notices", "--as", i.planner())
		if strings.Contains(r, "管理者不在") && strings.Contains(r, "管理者が足りない組織 / without an administrator: 011002") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(r)
		}
	}
}
