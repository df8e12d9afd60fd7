package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestDirectoryCommands pins what an administrator sees while they look organizations and people up and change them.
func TestDirectoryCommands(t *testing.T) {
	t.Parallel()
	i := &install{data: t.TempDir()}
	i.begin(t)
	i.fill(t, 2, hokkaido, sapporo)
	env := map[string]string{"PLANNER": i.planner(), "DATA": i.data, "TOWN": i.credential(t, sapporo, staff(1)), "STAFF": i.credential(t, sapporo, staff(2)), "PREFECTURE": i.credential(t, hokkaido, staff(2))}
	env["TRANSFERS"] = i.path("april.csv")
	write(t, env["TRANSFERS"], []byte("団体コード,職員番号,異動区分,発令日,部署,理由\n011002,S00002,異動,R20.4.1,税務課,定期異動\n"))
	env["SERVICES"] = i.path("services.csv")
	write(t, env["SERVICES"], []byte("事業者法人番号,委託元団体コード,委託開始日,委託終了日\n8999900000001,011002,R6.4.1,R9.3.31\n8999900000001,010006,2024-04-01,\n8999900000001,011002,2027-03-31,\n"))
	var seen strings.Builder
	for _, step := range []struct {
		args string
		code int
	}{
		{"orgs list --as TOWN", 0},
		{"orgs list --kind 事業者 --as PLANNER", 0},
		{"orgs add 1999900000001 --kind contractor --name 例示システム株式会社 --kana れいじしすてむ --as PLANNER", 3},
		{"orgs add 7700150000012 --kind contractor --name 例示システム株式会社 --kana れいじしすてむ --as PLANNER", 0},
		{"orgs add 7700150000012 --kind contractor --name 例示システム株式会社 --as PLANNER", 3},
		{"orgs change 011002 --state 招待済み --duty-name 総務課 --duty-phone 011-000-0000 --why 招待 --as PLANNER", 0},
		{"orgs change 011002 --duty-phone none --as PLANNER", 0},
		{"orgs change 011002 --night-email nobody --as PLANNER", 3},
		{"orgs change 010006 --name 北海道庁 --as TOWN", 3},
		{"orgs end 011002 --until R2.4.1 --as PLANNER", 3},
		{"orgs end 011002 --until 令和12年4月1日 --successor 010006 --as PLANNER", 0},
		{"orgs end 011002 --until none --successor none --as PLANNER", 0},
		{"orgs list --state invited --limit 1 --as PLANNER", 0},
		{"orgs list --limit 1 --json --as PLANNER", 0},
		{"people change --org 011002 S00002 --section 情報政策課 --title 主査 --duties 番号制度 --extension 1234 --absent-from R9.5.1 --as TOWN", 0},
		{"people change --org 011002 S00002 --role システム管理者 --as TOWN", 3},
		{"people change --org 010006 S00002 --section 総務課 --as TOWN", 3},
		{"people add --org 011002 --staff-number S00003 --family-name 例示 --given-name 葵 --email aoi@c011002.example.lg.jp --role general --as TOWN", 0},
		{"people add --org 011002 --staff-number S00003 --family-name 例示 --email aoi.2@c011002.example.lg.jp --role general --as TOWN", 3},
		{"people show --org 011002 S00003 --json --as TOWN", 0},
		{"people list --org 011002 --query 例示 --as TOWN", 0},
		{"people list --query 誰でもない --as TOWN", 0},
		{"people end --org 011002 S00003 --why 退職 --as TOWN", 0},
		{"people change --org 011002 S00003 --section 総務課 --as TOWN", 3},
		{"people erase --org 011002 S00002 --why 保存期間満了 --as TOWN", 3},
		{"people erase --org 011002 S00003 --why 保存期間満了 --as TOWN", 0},
		{"people list --org 011002 --ended --as TOWN", 0},
		{"people list --org 010006 --as TOWN", 0},
		{"orgs change 011002 --night-phone 011-000-0009 --as TOWN", 0},
		{"orgs change 011002 --night-phone 011-000-0009 --state live --as TOWN", 3},
		{"orgs change 010006 --night-phone 011-000-0009 --as TOWN", 3},
		{"people change --self --extension 99 --as STAFF", 0},
		{"people change --self --extension 98 --section 市長室 --as STAFF", 3},
		{"people change --org 011002 S00001 --extension 98 --as STAFF", 3},
		{"people change --self S00001 --extension 98 --as STAFF", 2},
		{"orgs appoint 011002 --as TOWN", 0},
		{"orgs appoint 011002 --of 010006 S00001 --from 2099-04-01 --until 2100-04-01 --why 管理者不在 --as PLANNER", 0},
		{"orgs appoint 011002 --of 011002 S00001 --as PLANNER", 3},
		{"orgs appoint 011002 --as-kind mayor --as PLANNER", 2},
		{"orgs appoint 011002 --of 010006 S00001 --as STAFF", 3},
		{"people search まつもと --as STAFF", 0},
		{"people search matsumoto 札幌 --as PREFECTURE", 0},
		{"people search 北海 --limit 1 --as STAFF", 0},
		{"people search さとう --limit 9999 --as STAFF", 2},
		{"people search だれでもない --as STAFF", 0},
		{"export orgs --out DATA/orgs.csv --as TOWN", 0},
		{"export orgs --out DATA/orgs.csv --as TOWN", 2},
		{"export people --out - --as TOWN", 0},
		{"import people PEOPLE --as TOWN", 0},
		{"people change --org 011002 S00002 --family-name 𠮷田 --as TOWN", 0},
		{"export people --encoding cp932 --out DATA/sjis.csv --locale en --as TOWN", 3},
		{"export people --encoding latin1 --out DATA/latin.csv --as TOWN", 2},
		{"export people --out DATA/all.csv --as STAFF", 3},
		{"sample services --locale en --out -", 0},
		{"sample people --people-per-org 3 --variants --encoding cp932 --out DATA/sample.csv", 3},
		{"sample people --people-per-org 2 --out DATA/sample.csv", 0},
		{"sample people --people-per-org 0 --out DATA/none.csv", 2},
		{"sample orgs --seed 3 --out DATA/none.csv", 2},
		{"sample cats --out DATA/none.csv", 2},
		{"orgs add 8999900000001 --kind contractor --name 例示システム株式会社 --as PLANNER", 0},
		{"import services SERVICES --as TOWN", 3},
		{"import services SERVICES --skip-bad --dry-run --as TOWN", 4},
		{"import services SERVICES --skip-bad --as TOWN", 4},
		{"export services --out - --as TOWN", 0},
		{"export services --contractor 8999900000001 --org 010006 --out - --locale en --as PLANNER", 0},
		{"import transfers TRANSFERS --as TOWN", 0},
		{"export transfers --locale en --out DATA/transfers.csv --as TOWN", 0},
		{"import transfers DATA/transfers.csv --as TOWN", 0},
		{"export transfers --locale en --out - --as PREFECTURE", 3},
	} {
		args := strings.Fields(step.args)
		if strings.HasPrefix(step.args, "import people PEOPLE") { // what was exported just now
			env["PEOPLE"] = i.path("people.csv")
			i.must(t, "export", "people", "--out", env["PEOPLE"], "--as", env["TOWN"])
		}
		for n, a := range args {
			if value, ok := env[a]; ok {
				args[n] = value
			}
			if strings.HasPrefix(a, "DATA/") {
				args[n] = i.path(strings.TrimPrefix(a, "DATA/"))
			}
		}
		seen.WriteString(screen(t, i.musubi(t, args...), step.code, step.args, env) + "\n")
	}
	compare(t, filepath.Join("testdata", "directory.txt"), strings.ReplaceAll(seen.String(), "\r\n", "\n"))
}
