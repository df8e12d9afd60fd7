package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musubi-hub/musubi/cmd/musubi/registration"
	"github.com/musubi-hub/musubi/identity/login/why"
	"github.com/musubi-hub/musubi/policies"
)

const rpKeys = `{"keys":[{"kty":"EC","crv":"P-256","kid":"k1","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}`

// gates serves login from the internet and from LGWAN, as far as the configuration says.
const gates = `internet:
  login_host: login.internet.example.go.jp
  card_host: card.internet.example.go.jp
  listen: 127.0.0.1:0
  certificate_file: server.pem
  key_file: server.key
lgwan:
  login_host: login.lgwan.example.go.jp
  listen: 127.0.0.1:0
  certificate_file: server.pem
  key_file: server.key
card:
  anchors_file: anchors.pem
  crl_folder: crl
`

// withParties is an installation with two towns' and a ministry's people, networks with a login, and three relying parties.
func (i *install) withParties(t *testing.T) {
	t.Helper()
	i.begin(t)
	i.fill(t, 2, sapporo, hokkaido, ministry)
	text := gates
	if i.database != "" {
		text = "database: " + i.database + "\n" + text
	}
	write(t, i.path("musubi.yaml"), []byte(text))
	write(t, i.path("keys.json"), []byte(rpKeys))
	i.must(t, "rp", "add", "jira", "--profile", "atlassian-portal-oidc", "--set", "host=jira.example.jp", "--name", "お問い合わせ窓口", "--jwks", i.path("keys.json"), "--as", i.planner())
	i.must(t, "rp", "add", "slack", "--profile", "slack-oidc", "--set", "host=slack.example.jp", "--jwks", i.path("keys.json"), "--as", i.planner())
}

// link gives somebody a card.
func (i *install) link(t *testing.T, person policies.PersonID, credential string, ended int64) {
	t.Helper()
	i.exec(t, `INSERT INTO card_link (id, credential, key_id, person_id, how, linked_at, ended_at, ended_why) VALUES ($1, $1, 'k', $2, 'first_use', 1, $3, '')`,
		credential, string(person), ended)
}

func (i *install) exec(t *testing.T, query string, args ...any) {
	t.Helper()
	db := i.open(t)
	_, err := db.Writer().ExecContext(t.Context(), query, args...)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// personOfStaff gives the id of somebody.
func (i *install) personOfStaff(t *testing.T, org policies.OrgID, n int) policies.PersonID {
	t.Helper()
	var doc personDocument
	i.document(t, 0, "musubi.person.v1", &doc, "people", "show", "--org", string(org), staff(n), "--as", i.planner())
	return doc.Person.ID
}

func TestRelyingParties(t *testing.T) {
	eachEngine(t, func(t *testing.T, i *install) {
		i.withParties(t)
		with := func(args ...string) []string { return append(args, "--as", i.planner()) }

		// A secret is shown once, and stands nowhere.
		out := i.must(t, with("rp", "add", "survey", "--profile", "qualtrics-oidc", "--set", "host=t.example.jp", "--set", "redirect=https://t.example.jp/cb")...)
		secret := regexp.MustCompile(`client_secret (\S{43})`).FindStringSubmatch(out)
		if secret == nil || !strings.Contains(out, "PKCE") || !strings.Contains(out, "issuer https://login.internet.example.go.jp") {
			t.Fatalf("%s", out)
		}
		file := filepath.Join(t.TempDir(), "survey.secret")
		out = i.must(t, with("rp", "secret", "rotate", "survey", "--secret-file", file)...)
		written, err := os.ReadFile(file)
		info, serr := os.Stat(file)
		if err != nil || serr != nil || len(strings.TrimSpace(string(written))) != 43 || info.Mode().Perm() != 0o600 || strings.Contains(out, strings.TrimSpace(string(written))) {
			t.Errorf("%v %v %q", err, serr, out)
		}
		var rotated struct {
			Secret string    `json:"client_secret"`
			Until  time.Time `json:"former_until"`
		}
		i.document(t, 0, "musubi.rp-secret.v1", &rotated, with("rp", "secret", "rotate", "survey", "--overlap", "0")...)
		i.scarce(t, secret[1], strings.TrimSpace(string(written)), rotated.Secret)
		if r := i.musubi(t, with("rp", "secret", "rotate", "survey", "--secret-file", file)...); r.code != 2 {
			t.Errorf("a file that is there: %v", r)
		}
		var shown rpView
		i.document(t, 0, "musubi.rp.v1", &shown, with("rp", "show", "survey")...)
		if len(shown.Secrets) != 1 || !shown.Secrets[0].Counts || shown.Secrets[0].Until != "" {
			t.Errorf("after a rotation without overlap, and one that was refused: %+v", shown.Secrets)
		}

		// The list is by id. What is shown can be registered again and is the same.
		var list struct {
			Parties []rpView `json:"relying_parties"`
		}
		i.document(t, 0, "musubi.rps.v1", &list, with("rp", "list")...)
		var ids []policies.RelyingPartyID
		for _, p := range list.Parties {
			ids = append(ids, p.ID)
		}
		if diff := cmp.Diff([]policies.RelyingPartyID{"jira", "slack", "survey"}, ids); diff != "" {
			t.Error(diff)
		}
		for _, id := range ids {
			text := i.must(t, with("rp", "show", string(id))...)
			again := filepath.Join(t.TempDir(), "again.yaml")
			write(t, again, []byte(text))
			i.must(t, with("rp", "add", string(id), "--from", again, "--replace")...)
			if now := i.must(t, with("rp", "show", string(id))...); now != text {
				t.Errorf("%s differs:\n%s\n%s", id, text, now)
			}
		}
		if out := i.must(t, with("rp", "add", "wiki", "--profile", "generic-web", "--set", "host=wiki.example.jp", "--function", "documents", "--jwks", i.path("keys.json"), "--dry-run")...); !strings.Contains(out, "dry run") || !strings.Contains(out, "documents") {
			t.Errorf("%s", out)
		}
		i.document(t, 0, "musubi.rps.v1", &list, with("rp", "list")...)
		if len(list.Parties) != 3 {
			t.Error("a dry run registered something")
		}

		i.must(t, with("rp", "remove", "survey", "--why", "契約終了")...)
		if out := i.must(t, with("audit", "find", "--action", "rp.remove")...); !strings.Contains(out, "契約終了") {
			t.Errorf("%s", out)
		}
		if r := i.musubi(t, with("rp", "show", "survey")...); r.code != 3 {
			t.Errorf("%v", r)
		}
	})
}

// TestRelyingPartiesRefuse: what is wrong is refused with what to do, and nothing changes.
func TestRelyingPartiesRefuse(t *testing.T) {
	t.Parallel()
	i := &install{data: t.TempDir()}
	i.withParties(t)
	with := func(args ...string) []string { return append(args, "--as", i.planner()) }
	i.must(t, with("rp", "add", "survey", "--profile", "qualtrics-oidc", "--set", "host=t.example.jp", "--set", "redirect=https://t.example.jp/cb")...)
	registered := i.must(t, with("rp", "list", "--json")...)
	for name, c := range map[string]struct {
		code int
		want string
		args []string
	}{
		"exists":                     {3, "--replace", []string{"add", "jira", "--profile", "slack-oidc", "--set", "host=a.example.jp", "--jwks", i.path("keys.json")}},
		"nothing to replace":         {3, "leave --replace out", []string{"add", "wiki", "--profile", "slack-oidc", "--set", "host=a.example.jp", "--jwks", i.path("keys.json"), "--replace"}},
		"a gap":                      {2, "--set host=", []string{"add", "wiki", "--profile", "slack-oidc"}},
		"a profile that there isn't": {2, "generic-web", []string{"add", "wiki", "--profile", "zendesk"}},
		"our own host":               {3, "own_host", []string{"add", "wiki", "--profile", "generic-web", "--set", "host=login.internet.example.go.jp", "--function", "faq", "--jwks", i.path("keys.json")}},
		"in clear":                   {3, "want https", []string{"add", "wiki", "--redirect", "http://a.example.jp/cb", "--auth", "client_secret_basic", "--alg", "ES256", "--least", "card", "--function", "faq"}},
		"a wildcard":                 {3, "no wildcards", []string{"add", "wiki", "--redirect", "https://*.example.jp/cb", "--auth", "client_secret_basic", "--alg", "ES256", "--least", "card", "--function", "faq"}},
		"no function":                {3, "no_functions", []string{"add", "wiki", "--profile", "generic-web", "--set", "host=a.example.jp", "--jwks", i.path("keys.json")}},
		"the hub's own":              {3, "can't be registered", []string{"add", "musubi", "--profile", "slack-oidc", "--set", "host=a.example.jp", "--jwks", i.path("keys.json")}},
		"a key file that isn't":      {2, "--jwks", []string{"add", "wiki", "--jwks", i.path("musubi.yaml")}},
		"another's redirect":         {3, "shared_redirect", []string{"add", "wiki", "--redirect", "https://t.example.jp/cb", "--auth", "client_secret_basic", "--alg", "ES256", "--least", "card", "--function", "faq"}},
		"show nobody":                {3, "did you mean jira", []string{"show", "jria"}},
		"show the hub":               {3, "aren't registered", []string{"show", "musubi"}},
		"no reason":                  {2, "--why", []string{"remove", "survey"}},
		"a rotation of keys":         {3, "private_key_jwt", []string{"secret", "rotate", "jira"}},
		"an overlap for ever":        {2, "--overlap", []string{"secret", "rotate", "survey", "--overlap", "99999h"}},
		"a person's flag alone":      {2, "--person", []string{"check", "jira", "--network", "lgwan"}},
		"a network that there isn't": {2, "--network", []string{"check", "jira", "--person", "p", "--network", "wifi"}},
	} {
		if r := i.musubi(t, with(append([]string{"rp"}, c.args...)...)...); r.code != c.code || !strings.Contains(r.out+r.err, c.want) {
			t.Errorf("%s: want exit %d and %q; %v", name, c.code, c.want, r)
		}
	}

	// A town's administrator changes nothing and sees nothing of registrations; break-glass neither.
	town := i.credential(t, sapporo, staff(1))
	before := i.refusals(t)
	for _, args := range [][]string{{"list"}, {"show", "jira"}, {"check", "jira"}, {"remove", "jira", "--why", "x"}, {"secret", "rotate", "survey"}} {
		for _, who := range [][]string{{"--as", town}, nil} {
			if r := i.musubi(t, append(append([]string{"rp"}, args...), who...)...); r.code != 3 {
				t.Errorf("%v as %v: %v", args, who, r)
			}
		}
	}
	if n := i.refusals(t) - before; n < 5 {
		t.Errorf("%d refusals are recorded", n)
	}
	if now := i.must(t, with("rp", "list", "--json")...); now != registered {
		t.Errorf("something was changed:\n%s\n%s", registered, now)
	}
}

// scarce holds that secrets stand neither in the registry nor in the audit log.
func (i *install) scarce(t *testing.T, secrets ...string) {
	t.Helper()
	db := i.open(t)
	defer func() { _ = db.Close() }()
	for _, s := range secrets {
		if len(s) != 43 {
			t.Fatalf("%q is no secret", s)
		}
		for _, query := range []string{`SELECT count(*) FROM oidc_party WHERE config LIKE $1`, `SELECT count(*) FROM audit_row WHERE detail LIKE $1 OR reason LIKE $1 OR object LIKE $1`} {
			var n int
			if err := db.Reader().QueryRowContext(t.Context(), query, "%"+s+"%").Scan(&n); err != nil || n > 0 {
				t.Errorf("%s: %d, %v", query, n, err)
			}
		}
	}
}

// TestRPCheck: a dry login tells what the real one sends, with the values, and why the rest isn't.
func TestRPCheck(t *testing.T) {
	t.Parallel()
	i := &install{data: t.TempDir()}
	i.withParties(t)
	id := i.personOfStaff(t, sapporo, 1)
	i.link(t, id, "card-1", 0)
	i.must(t, "rp", "add", "jira", "--from", i.scopes(t, "jira", "profile", "phone", "organization"), "--replace", "--as", i.planner())
	var doc rpCheck
	i.document(t, 0, "musubi.rp-check.v1", &doc, "rp", "check", "jira", "--org", string(sapporo), "--person", staff(1), "--as", i.planner())
	if doc.Login == nil || !doc.Login.Enters || doc.Login.ACR != "urn:musubi:acr:aal3" || doc.Login.Org != sapporo || !doc.OK || doc.Subject != "pairwise, sector jira.example.jp" {
		t.Fatalf("%+v", doc)
	}
	var person personDocument
	i.document(t, 0, "musubi.person.v1", &person, "people", "show", string(id), "--as", i.planner())
	sent := map[policies.Attribute]bool{}
	for _, c := range doc.Claims {
		sent[c.Attribute] = c.Sent
		if c.Because.JA == "" || c.Because.EN == "" || c.Sent != (len(c.Claims) > 0) {
			t.Errorf("%+v", c)
		}
		if c.Attribute == policies.AttributeName && c.Claims["name"] != person.Person.FamilyName+" "+person.Person.GivenName {
			t.Errorf("%+v", c)
		}
	}
	want := map[policies.Attribute]bool{
		policies.AttributeName: true, policies.AttributeEmail: false, policies.AttributeOrganization: true, policies.AttributeSection: person.Person.Section != "",
		policies.AttributeRole: false, policies.AttributePhone: person.Person.Phone != "",
	}
	if diff := cmp.Diff(want, sent); diff != "" {
		t.Errorf("sent (-want +got):\n%s", diff)
	}
	text := i.must(t, "rp", "check", "jira", "--person", string(id), "--as", i.planner())
	for _, line := range []string{"ログインの試算", "○ ", "acr urn:musubi:acr:aal3", "name = " + person.Person.FamilyName, "scope email が登録されていない", "hub-knows-role"} {
		if !strings.Contains(text, line) {
			t.Errorf("%q is missing in\n%s", line, text)
		}
	}
	// Less than the card doesn't do, and says so.
	i.document(t, 0, "musubi.rp-check.v1", &doc, "rp", "check", "jira", "--person", string(id), "--assurance", "aal1", "--as", i.planner())
	if doc.Login.Enters || doc.Login.Cause != why.CauseAssurance {
		t.Errorf("%+v", doc.Login)
	}
	// A wrong registration ends with 3, also where it was written past the registry.
	i.exec(t, `UPDATE oidc_party SET config = replace(config, 'https://slack.example.jp/slack/login', 'http://slack.example.jp/slack/login') WHERE id = 'slack'`)
	if r := i.musubi(t, "rp", "check", "slack", "--as", i.planner()); r.code != 3 || !strings.Contains(r.out, "誤り") || !strings.Contains(r.out, "want https") {
		t.Errorf("%v", r)
	}
}

// scopes writes a registration with other scopes into a file.
func (i *install) scopes(t *testing.T, id string, scopes ...string) string {
	t.Helper()
	r, err := registration.Read([]byte(i.must(t, "rp", "show", id, "--as", i.planner())))
	if err != nil {
		t.Fatal(err)
	}
	r.Scopes = scopes
	text, err := registration.Write(r)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), id+".yaml")
	write(t, file, text)
	return file
}

func TestWhyLogin(t *testing.T) {
	eachEngine(t, func(t *testing.T, i *install) {
		i.withParties(t)
		ask := func(args ...string) []why.Answer {
			t.Helper()
			var doc whyDocument
			i.document(t, 0, "musubi.why-login.v1", &doc, append([]string{"why", "login", "--as", i.planner()}, args...)...)
			for _, a := range doc.Answers {
				if a.Sentence.JA == "" || a.Sentence.EN == "" || a.Enters != (a.Cause == "") {
					t.Errorf("%+v", a)
				}
			}
			return doc.Answers
		}
		expect := func(what string, cause why.Cause, args ...string) why.Answer {
			t.Helper()
			all := ask(args...)
			if len(all) != 1 || all[0].Cause != cause {
				t.Fatalf("%s: want %q, got %+v", what, cause, all)
			}
			return all[0]
		}
		boss, clerk, official := i.personOfStaff(t, sapporo, 1), i.personOfStaff(t, sapporo, 2), i.personOfStaff(t, ministry, 1)
		expect("no card", why.CauseNoCard, string(boss), "--rp", "jira")
		i.exec(t, `INSERT INTO password_account (person_id, kind, hash, set_at, expires_at) VALUES ($1, 'link', 'x', 1, $2)`, string(boss), time.Now().Add(time.Hour).UnixMicro())
		if a := expect("no card, a password", why.CauseNoCard, string(boss), "--rp", "jira"); !strings.Contains(a.Sentence.JA, "渡されている") {
			t.Errorf("%s", a.Sentence.JA)
		}
		i.link(t, boss, "card-1", 0)
		i.link(t, clerk, "card-2", 0)
		i.link(t, official, "card-3", time.Now().UnixMicro())
		if a := expect("in", "", string(boss), "--rp", "jira"); a.Network != policies.NetworkInternet || a.Org != sapporo || a.Session {
			t.Errorf("%+v", a)
		}
		expect("by staff number", "", "--org", string(sapporo), staff(1), "--rp", "slack")
		expect("no seat", why.CauseSeat, string(clerk), "--rp", "slack")
		expect("released", why.CauseReleased, string(official), "--rp", "jira")
		expect("no card reader in LGWAN", why.CauseUnreachable, string(boss), "--rp", "jira", "--network", "lgwan")
		expect("no login from there", why.CauseNoLogin, string(official), "--rp", "jira", "--network", "government")
		expect("a party that there isn't", why.CausePartyUnknown, string(boss), "--rp", "jria")
		expect("nobody", why.CausePersonUnknown, "p-nobody", "--rp", "jira")
		expect("the hub", "", string(clerk), "--rp", "musubi")
		if all := ask(string(clerk)); len(all) != 3 || all[0].Party != "musubi" || all[1].Party != "jira" || !all[1].Enters || all[2].Enters {
			t.Errorf("all of them: %+v", all)
		}

		// A card that the authority revoked: its sessions were ended, its link stands.
		i.exec(t, `INSERT INTO session (id, secret_sha256, person_id, org, network, assurance, amr, method, credential, auth_at, created_at, seen_at, ended_at, ended_why, agent)
			VALUES ('s1', 'x', $1, $2, 'internet', 4, 'pin', 'card', 'card-2', 1, 1, 1, 2, 'card_released', '')`, string(clerk), string(sapporo))
		expect("revoked", why.CauseRevoked, string(clerk), "--rp", "jira")

		// A session that stands.
		now := time.Now().UnixMicro()
		i.exec(t, `INSERT INTO session (id, secret_sha256, person_id, org, network, assurance, amr, method, credential, auth_at, created_at, seen_at, ended_at, ended_why, agent)
			VALUES ('s2', 'y', $1, $2, 'internet', 4, 'pin', 'card', 'card-1', $3, $3, $3, 0, '', '')`, string(boss), string(sapporo), now)
		if a := expect("logged in", "", string(boss), "--rp", "jira"); !a.Session {
			t.Errorf("%+v", a)
		}

		// A transfer on a day to come.
		day := time.Now().Add(40 * 24 * time.Hour).Format("2006-01-02")
		i.must(t, "transfers", "add", string(boss), "--kind", "leave", "--at", day, "--successor", string(clerk), "--as", i.planner())
		later := time.Now().Add(41 * 24 * time.Hour).Format("2006-01-02")
		expect("after leaving", why.CausePersonEnded, string(boss), "--rp", "jira", "--at", later)
		expect("until then", "", string(boss), "--rp", "jira", "--at", time.Now().Add(30*24*time.Hour).Format("2006-01-02"))
		expect("the successor gets a seat", why.CauseRevoked, string(clerk), "--rp", "slack", "--at", later)

		i.must(t, "people", "end", string(official), "--why", "退職", "--as", i.planner())
		expect("ended", why.CausePersonEnded, string(official), "--rp", "jira")

		// A town's administrator asks about its own people, and about nobody else.
		town := i.credential(t, sapporo, staff(1))
		if r := i.musubi(t, "why", "login", string(clerk), "--rp", "jira", "--as", town); r.code != 0 || !strings.Contains(r.out, "失効") {
			t.Errorf("%v", r)
		}
		if r := i.musubi(t, "why", "login", string(official), "--rp", "jira", "--as", town); r.code != 0 || !strings.Contains(r.out, "見つからない") {
			t.Errorf("%v", r)
		}
	})
}

func TestWhyLoginRefuses(t *testing.T) {
	t.Parallel()
	i := &install{data: t.TempDir()}
	i.begin(t)
	for _, args := range [][]string{{"p", "--network", "wifi"}, {"p", "--at", "2020-01-01"}, {"p", "--at", "someday"}, {"p", "--assurance", "fingerprint"}, {}} {
		if r := i.musubi(t, append([]string{"why", "login", "--as", i.planner()}, args...)...); r.code != 2 {
			t.Errorf("%v: %v", args, r)
		}
	}
}

func TestPolicyOfEntrances(t *testing.T) {
	t.Parallel()
	i := &install{data: t.TempDir()}
	i.withParties(t)
	clerk := string(i.personOfStaff(t, sapporo, 2))
	var x struct {
		explanation
	}
	i.document(t, 0, "musubi.policy-explain.v1", &x, "policy", "explain", "login.enter", "slack", "--person", clerk, "--network", "lgwan", "--as", i.planner())
	told := map[policies.Attribute]bool{}
	for _, r := range x.Release {
		told[r.Attribute] = r.Told
	}
	if x.Allow || len(x.Decisive) != 1 || x.Decisive[0].ID != "entrance-takes-seat" || !told[policies.AttributePhone] || told[policies.AttributeRole] || len(told) != len(policies.Attributes()) {
		t.Errorf("%+v", x)
	}
	for _, c := range []struct {
		code int
		want string
		args []string
	}{
		{0, "はい", []string{"login.enter", "jira"}},
		{0, "entrance-takes-card", []string{"login.enter", "jira", "--assurance", "aal1"}},
		{0, "entrance-takes-permitted-network", []string{"login.enter", "jira", "--network", "government"}},
		{0, "sealed-account-enters-hub-alone", []string{"login.enter", "musubi", "--sealed", "--assurance", "aal1"}},
		{0, "はい", []string{"function.answer", "questionnaire"}},
		{0, "government-asks-and-publishes", []string{"function.post", "questionnaire"}},
		{0, "はい", []string{"network.enter", "lgwan"}},
		{0, "hub-knows-role", []string{"release.role", "jira"}},
		{2, "FUNCTION", []string{"function.read", "gossip"}},
		{2, "NETWORK", []string{"network.enter", "wifi"}},
		{3, "did you mean jira", []string{"login.enter", "jria"}},
		{2, "unknown attribute", []string{"release.blood", "jira"}},
		{2, "--assurance", []string{"login.enter", "jira", "--assurance", "x"}},
	} {
		r := i.musubi(t, append([]string{"policy", "explain", "--person", clerk, "--as", i.planner()}, c.args...)...)
		if r.code != c.code || !strings.Contains(r.out+r.err, c.want) {
			t.Errorf("%v: want exit %d and %q; %v", c.args, c.code, c.want, r)
		}
	}

	var table policyTable
	i.document(t, 0, "musubi.policy-table.v1", &table, "policy", "table", "slack", "--as", i.planner())
	if len(table.Rows) != len(policies.OrgKinds())*len(policies.Roles()) {
		t.Fatalf("%d rows", len(table.Rows))
	}
	for _, row := range table.Rows {
		enters := slices.Contains(row.Networks, policies.NetworkLGWAN)
		if want := row.Kind == policies.KindMunicipality && row.Role == policies.RoleAdministrator; row.Kind == policies.KindMunicipality && enters != want || enters && len(row.Released) == 0 {
			t.Errorf("%+v", row)
		}
	}
	for _, of := range []string{"functions", "networks"} {
		if out := i.must(t, "policy", "table", of); !strings.Contains(out, "市区町村") || !strings.Contains(out, "全員 / all") {
			t.Errorf("%s", out)
		}
	}
}
