package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/musubi-hub/musubi/sync/breaker"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/musubi-hub/musubi/connectors"
)

var update = flag.Bool("update", false, "write the golden files anew")

func load(t *testing.T, text string, env []string, flags ...Flag) (Loaded, Faults) {
	t.Helper()
	l, err := resolve(Source{Data: "/d", Env: env, Flags: flags}, "/d/musubi.yaml", []byte(text))
	var faults Faults
	if err != nil && !errors.As(err, &faults) {
		t.Fatalf("an error that isn't Faults: %v", err)
	}
	return l, faults
}

func TestNoFileAtAll(t *testing.T) {
	dir := t.TempDir()
	l, err := Load(Source{Data: dir})
	if err != nil {
		t.Fatal(err)
	}
	want := Config{
		Database: "sqlite:" + filepath.Join(dir, "musubi.db"), Listen: "127.0.0.1:8080",
		Log: Log{Level: "warn", Format: "auto"}, Trace: Trace{Sample: 1}, Require: Require{ISMAP: "no"}, Functions: defaultFunctions,
		Breakers: defaultBreakers, Live: Live{Plans: "yes", Quiet: 5, Longest: 60}, Prices: defaultPrices, Backchannel: Network{TLSMin: "1.2"},
	}
	if diff := cmp.Diff(want, l.Config); diff != "" {
		t.Error(diff)
	}
}

var defaultPrices = Prices{AtlassianLicensed: 2000, SlackLicensed: 1800, SlackGuest: 1800}

var defaultBreakers = Breakers{
	NationAccounts: breaker.DefaultNationAccounts, NationMemberships: breaker.DefaultNationMemberships,
	ChangeAccounts: breaker.DefaultChangeAccounts, ChangeMemberships: breaker.DefaultChangeMemberships,
	ProductAccounts: breaker.DefaultProductAccounts, ProductMemberships: breaker.DefaultProductMemberships,
	OrganizationAccounts: breaker.DefaultOrganizationAccounts, OrganizationMemberships: breaker.DefaultOrganizationMemberships,
	Announced: breaker.DefaultAnnounced,
}

// What is written in the file as a default is what the breakers take for one.
func TestBreakersDefault(t *testing.T) {
	got, err := defaultBreakers.Limits()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(breaker.Default(), got); diff != "" {
		t.Error(diff)
	}
}

var defaultFunctions = Functions{Inquiry: []string{"jira"}, Incident: []string{"slack", "jira", "mail"}}

func TestPrecedence(t *testing.T) {
	const file = "listen: 127.0.0.1:1\nlog:\n  level: error\n"
	env := []string{"MUSUBI_LISTEN=127.0.0.1:2", "MUSUBI_LOG_LEVEL=", "HOME=/root", "MUSUBI_DATA=x", "MUSUBI_SERVICE_HOST=10.0.0.1", "MUSUBI_PORT_8080_TCP_ADDR=10.0.0.1"}
	for _, c := range []struct {
		name   string
		env    []string
		flags  []Flag
		listen string
		origin string
	}{
		{"file", nil, nil, "127.0.0.1:1", "/d/musubi.yaml:1:1"},
		{"environment over file", env, nil, "127.0.0.1:2", "MUSUBI_LISTEN"},
		{"flag over both", env, []Flag{{"--listen", "listen", "127.0.0.1:3"}}, "127.0.0.1:3", "--listen"},
		{"a flag that isn't given", env, []Flag{{"--listen", "listen", ""}}, "127.0.0.1:2", "MUSUBI_LISTEN"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, faults := load(t, file, c.env, c.flags...)
			if faults != nil {
				t.Fatal(faults)
			}
			if l.Listen != c.listen || l.Origins["listen"].String() != c.origin || l.Log.Level != "error" {
				t.Errorf("listen %s from %s, level %s", l.Listen, l.Origins["listen"], l.Log.Level)
			}
		})
	}
}

func TestWhole(t *testing.T) {
	l, faults := load(t, `
database: "postgres://musubi@db.example.jp/musubi?sslmode=verify-full"
database_password_file: secrets/db
atlassian: {directory_id: d-1, token_file: secrets/a, lgwan: relay, data_region: JP, ismap: registered, token_expires: 2027-10-01,
  proxy: "https://relay.example.lg.jp:8443", ca_file: ca.pem, client_cert_file: c.pem, client_key_file: secrets/c.key, tls_min: 1.3}
mail: {host: relay, security: tls, user: u, password_file: m, from: a@b.go.jp, id_key_file: k}
require: {ismap: yes, data_region: "JP, 東京", lgwan: "direct, relay"}
functions: {10: mail}
jira:
  base_url: https://example.atlassian.net
  email: hub@example.go.jp
  token_file: /abs/j
  service_desk: 12
  quota_scale: 2
  webhook_secret_file: h
  search_lag: 90
trace: {endpoint: "http://localhost:4318", sample: 0.25}
`, []string{"MUSUBI_TRACE_HEADER_FILE=h"})
	if faults != nil {
		t.Fatal(faults)
	}
	want := Config{
		Database: "postgres://musubi@db.example.jp/musubi?sslmode=verify-full", DatabasePasswordFile: "/d/secrets/db", Listen: "127.0.0.1:8080",
		Log: Log{"warn", "auto"}, Trace: Trace{"http://localhost:4318", "/d/h", 0.25},
		Atlassian: &Atlassian{
			Vendor{"https://api.atlassian.com", "/d/secrets/a", "2027-10-01", "JP", "registered", connectors.ReachRelay, 1, Network{"https://relay.example.lg.jp:8443", "/d/ca.pem", "/d/c.pem", "/d/secrets/c.key", "1.3"}}, "d-1",
		},
		Jira: &Jira{Vendor{"https://example.atlassian.net", "/abs/j", "", "", "", connectors.ReachNo, 2, Network{TLSMin: "1.2"}}, "hub@example.go.jp", "12", "/d/h", 90},
		Mail: &Mail{
			Host: "relay", Security: "tls", User: "u", PasswordFile: "/d/m", From: "a@b.go.jp", IDKeyFile: "/d/k", HTML: "no", Rate: 10,
			LGWAN: connectors.ReachNo, Network: Network{TLSMin: "1.2"},
		},
		Require:  Require{"yes", []string{"JP", "東京"}, []string{"direct", "relay"}},
		Breakers: defaultBreakers, Live: Live{Plans: "yes", Quiet: 5, Longest: 60}, Prices: defaultPrices, Backchannel: Network{TLSMin: "1.2"},
		Functions: Functions{[]string{"jira"}, []string{"mail"}},
	}
	if diff := cmp.Diff(want, l.Config); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"/d/secrets/db", "/d/h", "/d/secrets/a", "/d/secrets/c.key", "/abs/j", "/d/h", "/d/m", "/d/k"}, l.SecretFiles()); diff != "" {
		t.Error(diff)
	}
}

// All faults are told at once, in the order of the lines, and none repeats a secret.
func TestFaults(t *testing.T) {
	const token = "ATATT3xFfGF0secretsecretsecret"
	for _, c := range []struct {
		name, text string
		env        []string
		want       []string // beginnings of the faults
	}{
		{"many", "lissten: 127.0.0.1:1\nlog:\n  level: loud\n  colour: red\njira:\n  email: nobody\n", nil, []string{
			`/d/musubi.yaml:1:1: lissten: there is no such setting: did you mean listen?`,
			`/d/musubi.yaml:3:3: log.level: "loud" isn't one of the choices: write debug, info, warn or error`,
			"/d/musubi.yaml:4:3: log.colour: there is no such setting",
			"/d/musubi.yaml:5:1: jira.base_url: is missing: add it, or remove all of jira",
			"/d/musubi.yaml:5:1: jira.token_file: is missing",
			`/d/musubi.yaml:6:3: jira.email: "nobody" isn't an e-mail address`,
		}},
		{"wrong section", "token_file: x\n", nil, []string{"/d/musubi.yaml:1:1: token_file: there is no such setting: did you mean atlassian.token_file?"}},
		{"twice", "listen: 127.0.0.1:1\nlisten: 127.0.0.1:2\n", nil, []string{"/d/musubi.yaml:2:1: listen: is set twice, first at /d/musubi.yaml:1:1"}},
		{"inline token", "atlassian:\n  directory_id: d\n  token: " + token + "\n  token_file: a\n", nil, []string{
			"/d/musubi.yaml:3:3: atlassian.token: a secret must not stand in the configuration: write it to a file of its own (one line, chmod 600), name that file as atlassian.token_file",
		}},
		{"token as file", "atlassian:\n  directory_id: d\n  token_file: " + token + "\n", nil, []string{
			"/d/musubi.yaml:3:3: atlassian.token_file: this looks like the secret itself: write the secret to a file of its own",
		}},
		{"password in the address", "database: postgres://u:" + token + "@h/d\n", nil, []string{
			"/d/musubi.yaml:1:1: database: the address holds a password: take it out of the address, write it to a file",
		}},
		{"password in the query", "", []string{"MUSUBI_DATABASE=postgres://h/d?password=" + token}, []string{"MUSUBI_DATABASE: database: the address holds a password"}},
		{"secret in the environment", "", []string{"MUSUBI_JIRA_TOKEN=" + token}, []string{"MUSUBI_JIRA_TOKEN: a secret must not stand in the environment"}},
		{"unknown variable", "", []string{"MUSUBI_LISTN=x"}, []string{"MUSUBI_LISTN: there is no such setting: did you mean MUSUBI_LISTEN?"}},
		{"not YAML", "listen: [1\n", nil, []string{"/d/musubi.yaml:1:"}},
		{"list", "- a\n", nil, []string{"/d/musubi.yaml:1:1: here stands no list of settings"}},
		{"section as value", "log: info\n", nil, []string{"/d/musubi.yaml:1:6: log: here stands no list of settings"}},
		{"value as list", "listen: [a, b]\n", nil, []string{"/d/musubi.yaml:1:9: listen: here one value is wanted"}},
		{"anchor", "listen: &a 127.0.0.1:1\n", nil, []string{"/d/musubi.yaml:1:9: listen: here one value is wanted"}},
		{"empty section", "jira:\n", nil, []string{"/d/musubi.yaml:1:1: jira: the section is empty"}},
		{"no value", "listen:\n", nil, []string{"/d/musubi.yaml:1:1: listen: has no value"}},
		{"two documents", "listen: 127.0.0.1:1\n---\nlisten: 127.0.0.1:2\n", nil, []string{"/d/musubi.yaml:3:7: the file holds a second document"}},
		{"address", "listen: 0.0.0.0:80\n", nil, []string{`/d/musubi.yaml:1:1: listen: "0.0.0.0:80" isn't a loopback address: what is served there asks for no login`}},
		{"plain http", "trace: {endpoint: 'http://collector:4318'}\n", nil, []string{"/d/musubi.yaml:1:9: trace.endpoint: http is allowed to loopback only"}},
		{"proxy with a password", "atlassian: {directory_id: d, token_file: a, proxy: 'https://u:" + token + "@h:1'}\n", nil, []string{"atlassian.proxy: the address holds a user name or a password"}},
		{"half a certificate", "atlassian: {directory_id: d, token_file: a, client_cert_file: c}\n", nil, []string{"atlassian.client_cert_file: needs atlassian.client_key_file beside it"}},
		{"unencrypted password", "mail: {host: h, from: a@b.jp, id_key_file: k, security: none, user: u, password_file: p}\n", nil, []string{"mail.user: the password would go to the relay unencrypted"}},
		{"mail port", "mail: {host: h, from: a@b.jp, id_key_file: k, port: 99999}\n", nil, []string{`mail.port: "99999" isn't a port`}},
		{"unknown product", "functions: {9: mail}\n", nil, []string{`functions.9: "mail" isn't one of the choices: write jira`}},
		{"lag", "jira: {base_url: 'https://e.example', email: a@b.jp, token_file: t, search_lag: 0}\n", nil, []string{`jira.search_lag: "0" doesn't fit: write seconds, from 1 to 3600`}},
		{"product twice", "functions: {10: 'mail, mail'}\n", nil, []string{`functions.10: "mail" stands there twice`}},
		{"product that isn't connected", "functions: {10: mail}\n", nil, []string{"functions.10: names mail, which isn't connected: add the section mail"}},
		{"login without certificate", "internet: {login_host: login.example.jp, listen: '0.0.0.0:8443'}\n", nil, []string{"internet.certificate_file: is missing: name the server's certificate and its key, or the proxies"}},
		{"login without host", "internet: {listen: '0.0.0.0:8443', proxies: 192.0.2.1}\n", nil, []string{"internet.login_host: is missing"}},
		{"certificate without key", "internet: {login_host: login.example.jp, listen: '0.0.0.0:8443', certificate_file: a.pem}\n", nil, []string{"internet.certificate_file: needs internet.key_file beside it"}},
		{"host", "internet: {login_host: Login.example.jp, listen: '0.0.0.0:8443', proxies: 192.0.2.1}\n", nil, []string{`internet.login_host: "Login.example.jp" isn't a host name`}},
		{"host with its usual port", "internet: {login_host: 'login.example.jp:443', listen: '0.0.0.0:8443', proxies: 192.0.2.1}\n", nil, []string{"isn't a host name"}},
		{"every proxy", "internet: {login_host: login.example.jp, listen: '0.0.0.0:8443', proxies: 0.0.0.0/0}\n", nil, []string{`internet.proxies: "0.0.0.0/0" is everybody`}},
		{"a proxy's network", "internet: {login_host: login.example.jp, listen: '0.0.0.0:8443', proxies: 192.0.2.1/24}\n", nil, []string{"has bits beyond its length: write 192.0.2.0/24"}},
		{"keys without TLS", "internet: {login_host: login.example.jp, listen: '0.0.0.0:8443', proxies: 192.0.2.1, proxy_keys: " + strings.Repeat("a", 64) + "}\n", nil, []string{"internet.proxy_keys: needs proxies, certificate_file"}},
		{"one socket for two networks", "internet: {login_host: login.example.jp, listen: '0.0.0.0:8443', proxies: 192.0.2.1}\nlgwan: {login_host: login.example.lg.jp, listen: '0.0.0.0:8443', proxies: 192.0.2.2}\n", nil, []string{"lgwan.listen: is internet's too"}},
		{"card host without card", "internet: {login_host: login.example.jp, card_host: card.example.jp, listen: '0.0.0.0:8443', proxies: 192.0.2.1}\n", nil, []string{"internet.card_host: needs the section card"}},
		{"card without network", "card: {anchors_file: a.pem, crl_folder: crl}\n", nil, []string{"card: no network has a login"}},
		{"unknown function", "functions: {99: jira}\n", nil, []string{`functions.99: there is no such setting`}},
		{"way to LGWAN", "require: {lgwan: tunnel}\n", nil, []string{`require.lgwan: "tunnel" isn't one of the choices: write direct, relay, no, or some of them`}},
		{"sqlite password", "database_password_file: x\n", nil, []string{"/d/musubi.yaml:1:1: database_password_file: SQLite has no password"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, faults := load(t, c.text, c.env)
			if strings.Contains(faults.Error(), token) {
				t.Errorf("the secret is repeated: %v", faults)
			}
			for _, want := range c.want {
				if !strings.Contains(faults.Error(), want) {
					t.Errorf("missing: %s\nin:\n%v", want, faults)
				}
			}
			if c.name == "many" {
				for i, want := range c.want {
					if i < len(faults) && !strings.HasPrefix(faults[i].String(), want) {
						t.Errorf("fault %d: %s", i, faults[i])
					}
				}
				if len(faults) != len(c.want) {
					t.Errorf("%d faults: %v", len(faults), faults)
				}
			}
		})
	}
}

func TestUnreadableFile(t *testing.T) {
	dir := t.TempDir()
	big := filepath.Join(dir, "big.yaml")
	if err := os.WriteFile(big, bytes.Repeat([]byte("#\n"), maxFile), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "absent.yaml"): "can't be read (no such file or directory): name another with --config",
		dir:                               "it is a folder",
		big:                               "larger than 32768 bytes",
	} {
		if _, err := Load(Source{Data: dir, File: path}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", path, err, want)
		}
	}
}

func TestSecretFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	if got, err := ReadSecret(write("good", "s3cret\n", 0o600)); err != nil || got != "s3cret" {
		t.Errorf("%q, %v", got, err)
	}
	if err := os.Symlink(filepath.Join(dir, "good"), filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		write("open", "s3cret", 0o644): "others may read it",
		write("empty", "\n", 0o600):    "must hold one line",
		write("two", "a\nb\n", 0o600):  "must hold one line",
		filepath.Join(dir, "absent"):   "no such file or directory",
		filepath.Join(dir, "link"):     "no regular file",
		dir:                            "no regular file",
		write("big", strings.Repeat("x", maxSecret+1), 0o600): "larger than",
	} {
		_, err := ReadSecret(path)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v, want %s", path, err, want)
		}
	}
	file := filepath.Join(dir, FileName)
	if err := os.WriteFile(file, []byte("atlassian: {directory_id: d, token_file: open}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := Load(Source{Data: dir})
	if err != nil {
		t.Fatal(err)
	}
	faults := l.CheckSecrets()
	if len(faults) != 1 || faults[0].Line != 1 || faults[0].Key != "atlassian.token_file" {
		t.Errorf("%v", faults)
	}
}

func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	path = filepath.Join("..", "..", "..", path)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s differs; run go test ./cmd/internal/config -update and read the difference:\n%s", path, diff)
	}
}

func TestExample(t *testing.T) {
	golden(t, "deploy/musubi.example.yaml", Example())
	if l, faults := load(t, string(Example()), nil); faults != nil || len(l.Origins) != 0 {
		t.Errorf("the example as it stands isn't the defaults: %v, %v", l.Origins, faults)
	}
	whole := uncommented(Example())
	l, faults := load(t, whole, nil)
	if faults != nil {
		t.Errorf("the example with every setting: %v\n%s", faults, whole)
	}
	if len(l.Origins) != len(settings) {
		t.Errorf("the example shows %d of %d settings", len(l.Origins), len(settings))
	}
}

// uncommented is the example with its settings taken in: they are commented out by # and no space, or two for a section.
func uncommented(text []byte) string {
	return regexp.MustCompile(`(?m)^#((?:  )?[a-z0-9_]+:)`).ReplaceAllString(string(text), "$1")
}

func TestSchema(t *testing.T) {
	text, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "docs/musubi.schema.json", text)
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("musubi.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("musubi.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range settings {
		one := map[string]any{s.key: s.example}
		var v any = s.example
		if s.number {
			v = json.Number(s.example)
		}
		if sec := s.section(); sec != "" {
			inner := map[string]any{}
			for _, o := range settings {
				if o.section() == sec && o.need {
					inner[strings.TrimPrefix(o.key, sec+".")] = o.example
				}
			}
			inner[strings.TrimPrefix(s.key, sec+".")] = v
			one = map[string]any{sec: inner}
		}
		if err := schema.Validate(one); err != nil {
			t.Errorf("%s: %v", s.key, err)
		}
	}
	if schema.Validate(map[string]any{"lissten": "x"}) == nil {
		t.Error("the schema takes an unknown key")
	}
}

// Every setting has a place in the typed configuration, and its own variable.
func TestTable(t *testing.T) {
	seen := map[any]string{}
	names := map[string]string{}
	c := &Config{}
	for _, s := range settings {
		f := c.field(s.key)
		if f == nil || seen[f] != "" {
			t.Errorf("%s: no field, or that of %s", s.key, seen[f])
		}
		seen[f] = s.key
		if names[s.env()] != "" {
			t.Errorf("%s and %s share %s", s.key, names[s.env()], s.env())
		}
		names[s.env()] = s.key
		if err := s.checkValue(s.example); err != nil {
			t.Errorf("%s: its example: %v", s.key, err)
		}
		if s.def != "" && s.checkValue(s.def) != nil {
			t.Errorf("%s: its default: %v", s.key, s.checkValue(s.def))
		}
	}
}

func TestSaveIsReadBack(t *testing.T) {
	dir := t.TempDir()
	values := map[string]string{
		"database": "sqlite:" + filepath.Join(dir, "musubi.db"), "listen": "127.0.0.1:5", "jira.base_url": "http://127.0.0.1:9/jira",
		"jira.email": "hub@example.go.jp", "jira.token_file": filepath.Join(dir, "secrets", "j"), "jira.quota_scale": "20",
	}
	if err := Save(dir, values); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, FileName))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), dir) {
		t.Errorf("the folder can't be moved:\n%s", text)
	}
	l, err := Load(Source{Data: dir})
	if err != nil {
		t.Fatal(err)
	}
	want, err := From(values)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, l.Config); diff != "" {
		t.Error(diff)
	}
}

// A certificate that shares its file with its key is a secret, and in no backup without secrets.
func TestPublicFiles(t *testing.T) {
	l, faults := load(t, "internet: {login_host: login.example.jp, listen: '0.0.0.0:8443', certificate_file: both.pem, key_file: both.pem}\n"+
		"lgwan: {login_host: login.example.lg.jp, listen: '0.0.0.0:8444', certificate_file: a.pem, key_file: a.key}\n"+
		"card: {anchors_file: anchors.pem, crl_folder: crl}\npassword: {breached_file: list.txt}\n", nil)
	if faults != nil {
		t.Fatal(faults)
	}
	if diff := cmp.Diff([]string{"/d/a.pem", "/d/anchors.pem"}, l.PublicFiles()); diff != "" {
		t.Error(diff)
	}
}

func TestSettingsShowNoSecret(t *testing.T) {
	l, faults := load(t, "jira: {base_url: 'https://e.example', email: a@b.jp, token_file: secrets/j}\n", []string{"MUSUBI_LOG_LEVEL=debug"})
	if faults != nil {
		t.Fatal(faults)
	}
	got := map[string]string{}
	for _, s := range l.Settings() {
		got[s.Key] = s.Value + " " + s.From
	}
	for key, want := range map[string]string{
		"jira.token_file": "[file: /d/secrets/j] file", "log.level": "debug environment", "listen": "127.0.0.1:8080 default", "database": "sqlite:/d/musubi.db default",
	} {
		if got[key] != want {
			t.Errorf("%s: %q, want %q", key, got[key], want)
		}
	}
	if _, there := got["atlassian.token_file"]; there {
		t.Error("a SaaS that isn't connected is shown")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(uncommented(Example())))
	for _, s := range []string{"", "a", "listen: [", "jira:\n", "? a\n: b\n", "<<: *a\n", "log: {level: &x info}\n", "listen: |\n  a\n", "a: !!str b", "- - -", "\ufeffdatabase: x", "%YAML 1.2\n---\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) > maxFile {
			return
		}
		l, err := resolve(Source{Data: "/d"}, "/d/musubi.yaml", text)
		if err == nil {
			if l.Database == "" || Loopback(l.Listen) != nil || (l.Jira != nil && l.Jira.Email == "") {
				t.Fatalf("an unfit configuration was taken: %+v", l.Config)
			}
			return
		}
		var faults Faults
		if !errors.As(err, &faults) || len(faults) == 0 {
			t.Fatalf("an error without faults: %v", err)
		}
		for _, f := range faults {
			if f.What == "" || f.Remedy == "" || f.File == "" {
				t.Fatalf("a fault that helps nobody: %+v", f)
			}
		}
	})
}
