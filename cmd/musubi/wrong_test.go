package main

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden files anew")

// wrong is a command that must be refused with one clear message, pinned by a golden file, and must change nothing. In args, FILE is
// a file with the text, and the names of env stand for themselves: PLANNER, PLAN and so on.
type wrong struct {
	name    string
	args    string
	file    string        // content of FILE
	ahead   time.Duration // how far the clock is ahead
	code    int
	audited bool // the refusal is recorded
}

const (
	peopleColumns = "org,staff_number,family_name,given_name,family_kana,given_kana,email,role\n"
	orgColumns    = "code,kind,name,kana,parent\n"
)

var wrongs = []wrong{
	// Files.
	{name: "import_xlsx", args: "import people FILE --as PLANNER", file: "PK\x03\x04\x14\x00\x06\x00\x08\x00\x00\x00!\x00", code: 3},
	{name: "import_binary", args: "import orgs FILE --as PLANNER", file: "\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00>\x00\x01\x00\x00\x00", code: 3},
	{name: "import_shift_jis", args: "import people FILE --as PLANNER", file: peopleColumns + "011002,S9,\x8d\xb2\x93\xa1,\xf0\x40\x8eq,,,hanako@c011002.example.lg.jp,general\n", code: 3},
	{name: "import_text", args: "import people FILE --as PLANNER", file: "職員の一覧です。\n札幌市の佐藤さん\n", code: 3},
	{name: "import_empty", args: "import people FILE --as PLANNER", file: "", code: 3},
	{name: "import_ragged", args: "import people FILE --as PLANNER", file: peopleColumns + "011002,S9,佐藤,花子\n011002,S8,鈴木,太郎,,,taro@c011002.example.lg.jp,general,余り\n", code: 3},
	{name: "import_duplicate", args: "import people FILE --as PLANNER", file: peopleColumns +
		"011002,S9,佐藤,花子,,,hanako@c011002.example.lg.jp,general\n011002,S9,佐藤,花子,,,hanako.2@c011002.example.lg.jp,general\n011002,S8,鈴木,太郎,,,HANAKO@c011002.example.lg.jp,general\n", code: 3},
	{name: "import_check_digit", args: "import orgs FILE --as PLANNER", file: orgColumns + "011003,municipality,札幌市,,\n7000012010038,ministry,誤記省,,\n", code: 3},
	{name: "import_unknown_organization", args: "import people FILE --as PLANNER", file: peopleColumns + "470007,S1,比嘉,蓮,,,ren@c470007.example.lg.jp,general\n", code: 3},
	{name: "import_all_faults_at_once", args: "import people FILE --as PLANNER", file: peopleColumns +
		"011003,S9,佐藤,花子,,,hanako@c011002.example.lg.jp,general\n011002,S8,,太郎,,,taro,boss\n011002,S7,高橋\n011002,S6,田中,一,,,hajime@c011002.example.lg.jp,general\n", code: 3},
	{name: "import_missing_file", args: "import people DATA/none.csv --as PLANNER", code: 2},
	{name: "import_complete_skips", args: "import people FILE --complete --skip-bad --as PLANNER", file: peopleColumns, code: 2},
	{name: "import_confirm_without_count", args: "import people FILE --complete --confirm 011002 --as PLANNER", file: peopleColumns, code: 2},
	{name: "import_alias_without_domain", args: "import people FILE --shared-mailbox alias --as PLANNER", file: peopleColumns, code: 2},
	{name: "import_unknown_encoding", args: "import people FILE --encoding euc-jp --as PLANNER", file: peopleColumns, code: 2},
	{name: "import_unknown_column", args: "import people FILE --as PLANNER --locale en", file: "org,staff_number,family_name,given_name,emial,role\n", code: 3},
	{name: "import_confirm_other", args: "import people FILE --complete --confirm 131016=3 --as PLANNER", file: peopleColumns +
		"011002,S9,佐藤,花子,,,hanako9@c011002.example.lg.jp,general\n", code: 3},
	{name: "import_folder", args: "import people DATA --as PLANNER", code: 2},

	// Command lines.
	{name: "command_unknown", args: "imprt people FILE", code: 2},
	{name: "command_unknown_below", args: "people fire PERSON", code: 2},
	{name: "flag_unknown", args: "plan --dryrun", code: 2},
	{name: "flag_wrong_value", args: "plan --rows many", code: 2},
	{name: "argument_missing", args: "approve", code: 2},
	{name: "argument_too_many", args: "apply one two", code: 2},
	{name: "argument_wrong_subject", args: "import persons FILE", code: 2},
	{name: "log_level", args: "plan --log-level loud", code: 2},
	{name: "init_half", args: "init --agency 8000012010038", code: 2},
	{name: "init_check_digit", args: "init --agency 8000012010039 --name デジタル庁 --email a@digital.example.go.jp --email b@digital.example.go.jp", code: 2},
	{name: "init_email", args: "init --agency 8000012010038 --name デジタル庁 --email a --email b@digital.example.go.jp", code: 2},
	{name: "init_other_agency", args: "init --agency 2000012020001 --name 総務省 --email a@somu.example.go.jp --email b@somu.example.go.jp", code: 3},
	{name: "serve_not_loopback", args: "serve --listen 0.0.0.0:8080", code: 2},
	{name: "testpki_key", args: "testpki DATA/new --ca-key dsa", code: 2},
	{name: "testpki_generations", args: "testpki DATA/new --generations 9", code: 2},
	{name: "testpki_time", args: "testpki DATA/new --at tomorrow", code: 2},
	{name: "testpki_not_empty", args: "testpki DATA", code: 3},
	{name: "testpki_no_folder", args: "testpki PLANNER", code: 3},
	{name: "demo_hold", args: "demo --hold 10s", code: 2},

	// Configuration.
	{name: "config_unknown_key", args: "plan --config FILE --as PLANNER", file: "listen: 127.0.0.1:8080\njira:\n  base_url: https://example.atlassian.net\n  tokenfile: jira.token\n", code: 2},
	{name: "config_no_yaml", args: "plan --config FILE --as PLANNER", file: "listen: [127.0.0.1:8080\n", code: 2},
	{name: "config_wrong_values", args: "plan --config FILE --as PLANNER", file: "database: mysql://db/musubi\nlisten: 0.0.0.0:80\natlassian:\n  base_url: example\n  token_expires: next year\njira:\n  base_url: http://example.atlassian.net\n", code: 2},
	{name: "config_missing", args: "plan --config DATA/none.yaml", code: 2},
	{name: "secret_missing", args: "plan --config FILE --as PLANNER", file: "jira:\n  base_url: https://example.atlassian.net\n  email: hub@example.go.jp\n  token_file: none.token\n  service_desk: \"1\"\n", code: 2},
	{name: "secret_readable", args: "plan --config FILE --as PLANNER", file: "jira:\n  base_url: https://example.atlassian.net\n  email: hub@example.go.jp\n  token_file: open.token\n  service_desk: \"1\"\n", code: 2},

	// Who acts.
	{name: "credential_readable", args: "plan --as OPEN", code: 2},
	{name: "credential_missing", args: "plan --as DATA/none.cred", code: 2},
	{name: "credential_no_credential", args: "plan --as FILE", file: "hello\n", code: 2},
	{name: "credential_unknown", args: "plan --as FOREIGN", code: 3},
	{name: "credential_expired", args: "plan --as PLANNER", ahead: 181 * 24 * time.Hour, code: 3, audited: true},
	{name: "credential_file_exists", args: "credential --org 8000012010038 admin-1 --out PLANNER --as PLANNER", code: 2},
	{name: "credential_by_town", args: "credential --org 011002 S00002 --out DATA/new.cred --as TOWN", code: 3},
	{name: "import_other_town", args: "import people FILE --as TOWN", file: peopleColumns + "020001,S9,佐藤,花子,,,hanako@c020001.example.lg.jp,general\n", code: 3},
	{name: "import_promoting_oneself", args: "import people FILE --as TOWN", file: peopleColumns + "011002,S9,佐藤,花子,,,hanako@c011002.example.lg.jp,system_administrator\n", code: 3},
	{name: "import_orgs_by_town", args: "import orgs FILE --as TOWN", file: orgColumns + "011002,municipality,新札幌市,,\n", code: 3, audited: true},
	{name: "people_end_other_town", args: "people end --org 020001 S00002 --as TOWN", code: 3},
	{name: "people_end_unknown", args: "people end nobody --as PLANNER", code: 3},
	{name: "plan_by_general_user", args: "plan --as GENERAL", code: 3, audited: true},
	{name: "plan_by_town", args: "plan --as TOWN", code: 3, audited: true},
	{name: "open_without_person", args: "open", code: 2},

	// Organizations and people.
	{name: "orgs_unknown_kind", args: "orgs list --kind town", code: 2},
	{name: "orgs_unknown_state", args: "orgs list --state asleep", code: 2},
	{name: "orgs_no_day", args: "orgs end 011002 --until 明日 --as PLANNER", code: 2},
	{name: "orgs_unknown", args: "orgs show 472018 --as PLANNER", code: 3},
	{name: "people_limit", args: "people list --limit 5000", code: 2},
	{name: "people_other_town", args: "people show --org 020001 S00002 --as TOWN", code: 3},

	// Plans.
	{name: "approve_own", args: "approve PLAN --as PLANNER", code: 3, audited: true},
	{name: "approve_break_glass", args: "approve PLAN", code: 3, audited: true},
	{name: "approve_by_town", args: "approve PLAN --as TOWN", code: 3},
	{name: "approve_unknown", args: "approve 0123456789abcdef --as APPROVER", code: 3},
	{name: "hash_too_short", args: "approve 0123 --as APPROVER", code: 2},
	{name: "hash_no_hash", args: "approve the-latest-plan --as APPROVER", code: 2},
	{name: "hash_ambiguous", args: "approve AMBIGUOUS --as APPROVER", code: 2},
	{name: "apply_unapproved", args: "apply PLAN --as PLANNER", code: 3},
	{name: "apply_by_town", args: "apply PLAN --as TOWN", code: 3, audited: true},
	{name: "stop_not_running", args: "apply PLAN --stop --as PLANNER", code: 3},
}

// TestWrongInput pins the one message and the exit code of each wrong input. Run with -update to write the golden files anew, and
// read what changed.
func TestWrongInput(t *testing.T) {
	t.Parallel()
	i := &install{data: t.TempDir()}
	env := i.wrongWorld(t)
	golden := map[string]bool{}
	for _, w := range wrongs {
		golden[w.name+".txt"] = true
		t.Run(w.name, func(t *testing.T) {
			before, refused := i.content(t), i.refusals(t)
			i.ahead = w.ahead
			got := i.goldenRun(t, w, env)
			i.ahead = 0
			if after := i.content(t); !maps.Equal(before, after) {
				t.Errorf("it changed something: %v, then %v", before, after)
			}
			if more := i.refusals(t) > refused; more != w.audited {
				t.Errorf("refusal recorded: %v, want %v", more, w.audited)
			}
			compare(t, filepath.Join("testdata", "wrong", w.name+".txt"), got)
		})
	}
	files, err := os.ReadDir(filepath.Join("testdata", "wrong"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !golden[f.Name()] {
			t.Errorf("testdata/wrong/%s belongs to no test", f.Name())
		}
	}
}

// wrongWorld is a hub with a few people, people who act, and a plan that nobody approved; and the names that stand for them.
func (i *install) wrongWorld(t *testing.T) map[string]string {
	t.Helper()
	i.begin(t)
	i.fill(t, 3, ministry, hokkaido, sapporo, aomori)
	env := map[string]string{
		"DATA": i.data, "PLANNER": i.planner(), "APPROVER": i.approver(),
		"TOWN": i.credential(t, sapporo, staff(1)), "GENERAL": i.credential(t, sapporo, staff(2)),
	}
	open := i.credential(t, aomori, staff(1))
	write(t, i.path("open.token"), []byte("secret"))
	for _, path := range []string{open, i.path("open.token")} {
		if err := os.Chmod(path, 0o644); err != nil { // #nosec G302 -- it is the wrong that is tested
			t.Fatal(err)
		}
	}
	foreign := &install{data: t.TempDir()}
	foreign.begin(t)
	env["OPEN"], env["FOREIGN"] = open, foreign.planner()
	env["PLAN"] = i.plan(t)
	env["AMBIGUOUS"] = env["PLAN"][:10]
	rest := "0"
	if env["PLAN"][10] == '0' {
		rest = "1" // the two must differ in what is shown of a hash
	}
	db := i.open(t)
	_, err := db.Writer().ExecContext(t.Context(), `INSERT INTO provision_plan (hash, maker, made_at, policy_hash, document, objects, state)
		SELECT $1, maker, made_at, policy_hash, document, objects, 'cancelled' FROM provision_plan`, env["AMBIGUOUS"]+strings.Repeat(rest, len(env["PLAN"])-10))
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	env["PLAN"] = env["PLAN"][:12]
	return env
}

// goldenRun runs the command and gives what a person would see, with what differs from run to run replaced.
func (i *install) goldenRun(t *testing.T, w wrong, env map[string]string) string {
	t.Helper()
	env = maps.Clone(env)
	env["FILE"] = i.path("given.csv")
	write(t, env["FILE"], []byte(w.file))
	args := strings.Fields(w.args)
	for n, a := range args {
		for name, value := range env {
			if a == name || (name == "DATA" && strings.HasPrefix(a, "DATA/")) {
				args[n] = strings.Replace(a, name, value, 1)
			}
		}
	}
	return screen(t, i.musubi(t, args...), w.code, w.args, env)
}

// screen is what a person sees of a command and its end.
func screen(t *testing.T, r result, code int, args string, env map[string]string) string {
	t.Helper()
	if r.code != code {
		t.Errorf("exit %d, want %d", r.code, code)
	}
	return fmt.Sprintf("$ musubi %s\n%s%s(exit %d)\n", args, steady(r.out, env), steady(r.err, env), r.code)
}

var (
	progressLine = regexp.MustCompile(`(?m)^.*: [0-9,]+ / [0-9,]+  .*\n`)
	personID     = regexp.MustCompile(`\bp[a-z2-7]{26}\b`)
	longHash     = regexp.MustCompile(`\b[0-9]*[a-f][0-9a-f]{11,}\b`)
	ownVersion   = regexp.MustCompile(`this program knows up to \d+`)
	shownTime    = regexp.MustCompile(`\b\d{4}-\d\d-\d\d \d\d:\d\d(:\d\d)? JST`)
)

// steady replaces what differs from run to run: folders, ids, hashes, times; and leaves out progress, which depends on speed.
func steady(text string, env map[string]string) string {
	text = progressLine.ReplaceAllString(text, "")
	// The longest value first, so that a folder doesn't hide a file in it.
	names := slices.SortedFunc(maps.Keys(env), func(a, b string) int { return len(env[b]) - len(env[a]) })
	for _, name := range names {
		text = strings.ReplaceAll(text, env[name], name)
	}
	text = personID.ReplaceAllString(text, "PERSON")
	text = longHash.ReplaceAllString(text, "HASH")
	text = ownVersion.ReplaceAllString(text, "this program knows up to N")
	return shownTime.ReplaceAllString(text, "TIME")
}

func compare(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}
