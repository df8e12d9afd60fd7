package main

import (
	"bytes"
	"errors"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/cmd/internal/config"
	"github.com/musubi-hub/musubi/connectors/sandbox"
	"github.com/musubi-hub/musubi/policies"
)

// impatient is the patience of an apply whose SaaS is known to fail.
const impatient = 2 * time.Second

// waits runs apply against a SaaS that fails, and checks that it ends as an outside failure that names each of the words, and shows
// no secret.
func (i *install) waits(t *testing.T, hash string, words, secrets []string) {
	t.Helper()
	i.patience = impatient
	r := i.musubi(t, "apply", hash, "--as", i.planner())
	i.patience = 0
	if r.code != 5 {
		t.Fatalf("want exit 5: %v", r)
	}
	for _, w := range append(words, "何も失われていません", "nothing is lost", "musubi apply "+hash[:12]) {
		if !strings.Contains(r.err, w) {
			t.Errorf("%q isn't told: %s", w, r.err)
		}
	}
	for _, s := range secrets {
		if strings.Contains(r.out+r.err, s) {
			t.Errorf("a secret is shown: %s", r.err)
		}
	}
}

// completes runs the same apply again and checks that everybody has an account then, once.
func (i *install) completes(t *testing.T, hash string, licensed, customers int, box *sandbox.Sandbox) {
	t.Helper()
	i.patience = patient // the refused jobs wait some seconds before they look again
	i.must(t, "apply", hash, "--as", i.planner())
	for product, want := range map[policies.Product]int{policies.ProductAtlassian: licensed, policies.ProductJira: customers} {
		state, err := box.State(string(product))
		if err != nil {
			t.Fatal(err)
		}
		if c := state.Counts; c.Accounts != want || c.Active != want || c.Memberships != want || c.Duplicates != 0 {
			t.Errorf("%s: %+v, want %d", product, c, want)
		}
	}
	if again := i.plan(t); again != "" {
		t.Errorf("something is left to do: plan %s", again)
	}
}

// TestWrongToken applies with a token that the SaaS doesn't know: told with the file to correct, and the same command goes on.
func TestWrongToken(t *testing.T) {
	t.Parallel()
	i := &install{data: t.TempDir()}
	i.begin(t)
	i.fill(t, 3, ministry, hokkaido, sapporo)
	box := i.box(t)
	file := sandboxSite{dir: i.data}.tokenFile(sandbox.Jira)
	right, err := ensureSecret(file)
	if err != nil {
		t.Fatal(err)
	}
	write(t, file, []byte("an-old-token\n"))
	hash := i.approved(t)
	i.waits(t, hash, []string{"jira: SaaS が資格情報を受け付けません", "The product refuses the hub's credential", file, "HTTP 401"}, []string{"an-old-token", right})
	if c, err := box.Counts(sandbox.Jira); err != nil || c.Accounts != 0 {
		t.Errorf("%+v, %v", c, err)
	}
	write(t, file, []byte(right+"\n"))
	i.completes(t, hash, 3, 6, box)
}

// TestExpiredToken applies with a token that was right and has expired, and goes on with a new one.
func TestExpiredToken(t *testing.T) {
	t.Parallel()
	i := &install{data: t.TempDir()}
	i.begin(t)
	i.fill(t, 3, ministry, hokkaido)
	site := sandboxSite{dir: i.data, scale: demoScale}
	option := func(token string, expires time.Time) sandbox.Options {
		return sandbox.Options{
			Now: time.Now, Seed: 1, Dir: i.path("sandbox"), QuotaScale: site.scale,
			Atlassian: sandbox.AtlassianOptions{DirectoryID: sandboxDirectory, Token: token, TokenExpires: expires, VerifiedDomains: []string{"somu.example.go.jp"}},
			Jira:      sandbox.JiraOptions{Email: sandboxEmail, Token: "the-token-of-jira"},
			Slack:     sandbox.SlackOptions{Token: "the-token-of-slack", AdminToken: "the-token-of-scim", SigningSecret: "the-secret-of-slack", OwnerEmail: sandboxOwner},
		}
	}
	opened := func(o sandbox.Options) *sandbox.Sandbox {
		box, err := sandbox.New(o)
		if err != nil {
			t.Fatal(err)
		}
		return box
	}
	var current atomic.Pointer[sandbox.Sandbox]
	current.Store(opened(option("the-token-of-2025", time.Now().Add(-time.Minute))))
	f, err := serveHTTP(t.Context(), "127.0.0.1:0", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { current.Load().ServeHTTP(w, r) }), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.close)
	secret := func(product, token string) {
		if _, err := ensureSecret(site.tokenFile(product)); err != nil { // makes the folder
			t.Fatal(err)
		}
		write(t, site.tokenFile(product), []byte(token+"\n"))
	}
	secret(sandbox.Atlassian, "the-token-of-2025")
	secret(sandbox.Jira, "the-token-of-jira")
	secret(sandbox.Slack, "the-token-of-slack")
	secret(slackAdmin, "the-token-of-scim")
	secret(slackSigning, "the-secret-of-slack")
	i.configure(t, site, f.address)
	hash := i.approved(t)
	i.waits(t, hash, []string{"atlassian: SaaS が資格情報を受け付けません", "The product refuses the hub's credential", site.tokenFile(sandbox.Atlassian), "HTTP 401"},
		[]string{"the-token-of-2025", "the-token-of-jira"})
	if err := current.Load().Close(); err != nil {
		t.Fatal(err)
	}
	renewed := opened(option("the-token-of-2026", time.Now().Add(time.Hour)))
	t.Cleanup(func() { _ = renewed.Close() })
	current.Store(renewed)
	secret(sandbox.Atlassian, "the-token-of-2026")
	i.completes(t, hash, 3, 3, renewed)
}

// TestUnreachableSaaS applies while nothing listens at the SaaS's address, and goes on once something does.
func TestUnreachableSaaS(t *testing.T) {
	t.Parallel()
	i := &install{data: t.TempDir()}
	i.begin(t)
	i.fill(t, 3, ministry, hokkaido)
	site := sandboxSite{dir: i.data, scale: demoScale, domains: []string{"somu.example.go.jp"}}
	var secrets []string
	for _, product := range []string{sandbox.Atlassian, sandbox.Jira, sandbox.Slack, slackAdmin, slackSigning} {
		token, err := ensureSecret(site.tokenFile(product))
		if err != nil {
			t.Fatal(err)
		}
		secrets = append(secrets, token)
	}
	address := freeAddress(t)
	i.configure(t, site, address)
	hash := i.approved(t)
	i.waits(t, hash, []string{"atlassian: 接続できないか、正しい応答がありません", "can't be reached", "connection refused"}, secrets)
	box, f, err := site.open(t.Context(), address, time.Now, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.close(); _ = box.Close() })
	i.completes(t, hash, 3, 3, box)
}

// freeAddress is an address at which nothing listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	l := listener(t)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return l.Addr().String()
}

func listener(t *testing.T) net.Listener {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// shows runs a command and compares what a person sees with a golden file.
func (i *install) shows(t *testing.T, name string, code int, env map[string]string, args string) {
	t.Helper()
	env = maps.Clone(env)
	if env == nil {
		env = map[string]string{}
	}
	env["DATA"] = i.data
	words := strings.Fields(args)
	for n, w := range words {
		if value, ok := env[w]; ok {
			words[n] = value
		}
	}
	compare(t, filepath.Join("testdata", "outside", name+".txt"), screen(t, i.musubi(t, words...), code, args, env))
}

func TestNewerDatabase(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, i *install) {
		i.begin(t)
		i.fill(t, 1, hokkaido)
		before := i.content(t)
		db := i.open(t)
		if _, err := db.Writer().ExecContext(t.Context(), "INSERT INTO goose_directory (version_id, is_applied) VALUES (999, $1)", true); err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		i.shows(t, "newer_plan", 3, nil, "plan")
		i.shows(t, "newer_serve", 3, nil, "serve --listen 127.0.0.1:0")
		if after := i.content(t); !maps.Equal(before, after) {
			t.Errorf("an older program changed a newer database: %v, then %v", before, after)
		}
	})
}

func TestUnreachableDatabase(t *testing.T) {
	t.Parallel()
	address := freeAddress(t)
	i := &install{data: t.TempDir(), database: "postgres://musubi@" + address + "/musubi?sslmode=disable"}
	write(t, i.path("password"), []byte("s3cret-word\n"))
	write(t, i.path("musubi.yaml"), []byte("database_password_file: password\n"))
	_, port, _ := net.SplitHostPort(address)
	env := map[string]string{"PORT": port}
	i.shows(t, "database_unreachable", 5, env, "plan")
	i.shows(t, "database_unreachable_serve", 5, env, "serve --listen 127.0.0.1:0")
	if r := i.musubi(t, "demo", "--json", "--log-level", "debug", "--listen", "127.0.0.1:0", "--sandbox-listen", "127.0.0.1:0"); r.code != 5 || strings.Contains(r.String(), "s3cret") || !strings.Contains(r.out, `"ok":false`) {
		t.Errorf("%v", r)
	}
	i.database = "postgres://musubi:s3cret-word@db/musubi"
	i.shows(t, "database_password", 2, nil, "plan")
	i.database = "postgres://musubi:s3cret-word@[/musubi"
	i.shows(t, "database_url", 2, nil, "plan")
	i.database = "mysql://musubi:s3cret-word@db/musubi"
	i.shows(t, "database_other", 2, nil, "plan")
	i.database = "sqlite:" + i.path("musubi.yaml")
	write(t, i.path("musubi.yaml"), []byte("listen: 127.0.0.1:8080\n"))
	i.shows(t, "database_no_database", 5, nil, "plan")
}

func TestPortInUse(t *testing.T) {
	t.Parallel()
	i := &install{data: t.TempDir()}
	i.begin(t)
	before := i.content(t)
	env := map[string]string{"TAKEN": listener(t).Addr().String()}
	i.shows(t, "port_serve", 5, env, "serve --listen TAKEN")
	i.shows(t, "port_sandbox", 5, env, "sandbox --listen TAKEN")
	i.shows(t, "port_demo_sandbox", 5, env, "demo --headless --listen 127.0.0.1:0 --sandbox-listen TAKEN")
	fresh := &install{data: t.TempDir()}
	r := fresh.musubi(t, "demo", "--json", "--listen", env["TAKEN"], "--sandbox-listen", "127.0.0.1:0")
	if r.code != 5 || !strings.Contains(r.err, "ポートが使用中です") || !strings.Contains(r.err, env["TAKEN"]) || !strings.Contains(r.out, `"ok":false`) {
		t.Errorf("%v", r)
	}
	if after := i.content(t); !maps.Equal(before, after) {
		t.Errorf("it changed something: %v, then %v", before, after)
	}
}

// TestTwoHubs starts a second hub beside a serving one: refused on one SQLite file, and on PostgreSQL from one data folder, which
// holds the id of one node. From a folder of its own a second node serves the same PostgreSQL.
func TestTwoHubs(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, i *install) {
		i.begin(t)
		first := i.start(t, "serve", "--listen", "127.0.0.1:0")
		env := map[string]string{"ADDRESS": first.match(t, `serving on http://([0-9.:]+)`), "PID": strconv.Itoa(first.cmd.Process.Pid)}
		before := i.content(t)
		name := "two_hubs_" + filepath.Base(t.Name())
		i.shows(t, name, 3, env, "serve --listen 127.0.0.1:0")
		r := i.musubi(t, "demo", "--json", "--listen", "127.0.0.1:0", "--sandbox-listen", "127.0.0.1:0")
		if r.code != 3 || !strings.Contains(r.err, "別のハブが動いています") {
			t.Errorf("%v", r)
		}
		if after := i.content(t); !maps.Equal(before, after) {
			t.Errorf("it changed something: %v, then %v", before, after)
		}
		if i.database != "" {
			// Nodes of one database share its signing keys, once they have the one file that opens them.
			second := &install{data: t.TempDir(), database: i.database}
			if r := second.musubi(t, "serve", "--listen", "127.0.0.1:0"); r.code != 2 || !strings.Contains(r.err, "copy it from another node") {
				t.Errorf("a node without the sealing key: %v", r)
			}
			sealing, err := os.ReadFile(i.path("keys/sealing.key"))
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(os.MkdirAll(second.path("keys"), 0o700), os.WriteFile(second.path("keys/sealing.key"), sealing, 0o600)); err != nil {
				t.Fatal(err)
			}
			p := second.start(t, "serve", "--listen", "127.0.0.1:0")
			p.match(t, `(serving) on http://`)
		}
		first.kill()
		i.start(t, "serve", "--listen", "127.0.0.1:0").match(t, `(serving) on http://`)
	})
}

// TestDemoSparesRealHub runs the demonstration on the data of a hub that is none: refused, and nothing is changed, its configuration
// not either.
func TestDemoSparesRealHub(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, i *install) {
		i.begin(t)
		i.configure(t, sandboxSite{dir: i.data, scale: 1}, "127.0.0.1:1")
		written, err := os.ReadFile(i.path(config.FileName))
		if err != nil {
			t.Fatal(err)
		}
		before := i.content(t)
		i.shows(t, "demo_spares_real_hub", 3, nil, "demo --headless --listen 127.0.0.1:0 --sandbox-listen 127.0.0.1:0")
		if after := i.content(t); !maps.Equal(before, after) {
			t.Errorf("it changed something: %v, then %v", before, after)
		}
		if now, err := os.ReadFile(i.path(config.FileName)); err != nil || !bytes.Equal(now, written) {
			t.Errorf("the configuration was changed: %v\n%s", err, now)
		}
	})
}

func TestTwoSandboxes(t *testing.T) {
	t.Parallel()
	i := &install{data: t.TempDir()}
	first := i.start(t, "sandbox", "--listen", "127.0.0.1:0", "--smtp", "127.0.0.1:0")
	first.match(t, `sandbox: http://([0-9.:]+)/`)
	i.shows(t, "two_sandboxes", 3, nil, "sandbox --listen 127.0.0.1:0")
}
