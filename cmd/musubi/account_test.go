package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/cmd/internal/config"
	"github.com/musubi-hub/musubi/connectors/sandbox"
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/invitation"
	"github.com/musubi-hub/musubi/identity/login"
	"github.com/musubi-hub/musubi/identity/oidcop/party"
	"github.com/musubi-hub/musubi/identity/password"
	"github.com/musubi-hub/musubi/identity/session"
	"github.com/musubi-hub/musubi/policies"
)

// gated gives the installation a network with a login behind a proxy, so that it needs no certificate, and a relay where one is named.
func (i *install) gated(t *testing.T, more map[string]string) {
	t.Helper()
	cfg := map[string]string{
		"database": "sqlite:musubi.db", "listen": "127.0.0.1:0",
		"internet.login_host": "login.example.jp", "internet.listen": "127.0.0.1:0", "internet.proxies": "127.0.0.1",
	}
	if i.database != "" {
		cfg["database"] = i.database
	}
	for k, v := range more {
		cfg[k] = v
	}
	if err := config.Save(i.data, cfg); err != nil {
		t.Fatal(err)
	}
}

// stores opens the installation's hub beside its commands.
func (i *install) stores(t *testing.T, fn func(ctx context.Context, h *boot.Hub, a *boot.Accounts) error) {
	t.Helper()
	e := newEnv(os.Stdout, os.Stderr)
	e.data, e.database, e.now, e.environ = i.data, i.database, func() time.Time { return time.Now().Add(i.ahead) }, nil
	err := e.withHub(t.Context(), false, func(ctx context.Context, h *boot.Hub) error {
		a, err := h.Accounts(ctx)
		if err != nil {
			return err
		}
		return fn(ctx, h, a)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// loggedIn gives a person a card and a session, of which a relying party was told, and gives the session.
func (i *install) loggedIn(t *testing.T, org policies.OrgID, staff string) (s session.Session) {
	t.Helper()
	i.stores(t, func(ctx context.Context, h *boot.Hub, a *boot.Accounts) error {
		p, err := h.Directory.FindPerson(ctx, policies.System(policies.TaskTest), org, staff)
		if err != nil {
			return err
		}
		return h.DB.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
			now := h.Now().UnixMicro()
			card, err := a.Links.Card(ctx, p.ID)
			if err != nil {
				return err
			}
			if card == "" {
				card = strings.Repeat("a"+staff[len(staff)-1:], 32) // of each person another
				if err := a.Links.Link(ctx, tx, p.ID, card, now); err != nil {
					return err
				}
			}
			secret, err := session.NewSecret(rand.Reader)
			if err != nil {
				return err
			}
			s, err = h.Sessions.Open(ctx, tx, session.Opening{
				Person: p.ID, Org: p.Org, Network: policies.NetworkInternet, Assurance: policies.AssuranceCard, Method: identity.MethodCard,
				Credential: card, AuthAt: now, Now: now, Agent: "Firefox/140.0", Secret: secret,
			})
			if err != nil {
				return err
			}
			if err := h.Sessions.Told(ctx, tx, s.ID, session.Party{RelyingParty: "jira", Issuer: identity.IssuerOIDC, At: now}); err != nil {
				return err
			}
			_, err = tx.ExecContext(ctx, `INSERT INTO oidc_grant (id, party, network, session, sid, person, org, sub, scope, nonce, assurance, amr, auth_at, released,
				policy_hash, created_at, expires_at, ended_at, ended_why) VALUES ($1, 'jira', 'internet', $2, 'sid', $3, $4, 'sub', 'openid', '', 3, '', $5, '', '', $5, $6, 0, '')`,
				string(s.ID)+"g", string(s.ID), string(p.ID), string(p.Org), now, now+int64(time.Hour/time.Microsecond))
			return err
		})
	})
	return s
}

// relyingParty registers a relying party that wants to hear of logouts.
func (i *install) relyingParty(t *testing.T) {
	t.Helper()
	i.stores(t, func(ctx context.Context, h *boot.Hub, _ *boot.Accounts) error {
		operator, err := access.BreakGlass("operator")
		if err != nil {
			return err
		}
		_, secret, err := party.NewSecret(rand.Reader)
		if err != nil {
			return err
		}
		return h.Parties.Put(ctx, operator, party.Party{
			ID: "jira", Name: "Jira", Sector: "jira.example", Auth: party.AuthSecretBasic, Secrets: []party.Secret{secret}, Alg: jose.ES256, Least: policies.AssuranceCard,
			Scopes: party.Scopes(), Functions: []policies.Function{policies.FunctionInquiries}, Faces: []party.Face{{
				Network: policies.NetworkInternet, Redirects: []string{"https://jira.example/callback"}, Backchannel: "https://jira.example/logout",
			}},
		}, false, h.Now().UnixMicro())
	})
}

// number reads one number from the database.
func (i *install) number(t *testing.T, query string, args ...any) (n int) {
	t.Helper()
	db := i.open(t)
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	if err := db.Reader().QueryRowContext(t.Context(), query, args...).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

var (
	shownPassword = regexp.MustCompile(`\b[2-9a-z]{4}(-[2-9a-z]{4}){4}\b`)
	shownCode     = regexp.MustCompile(`\b[0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z]{4}\b`)
	shownDay      = regexp.MustCompile(`\d{4}年\d+月\d+日`)
	shownPath     = regexp.MustCompile(`/invitation/[0-9A-Za-z_-]{43}`)
)

// plain is steady without the secrets.
func plain(text string) string {
	text = shownPassword.ReplaceAllString(text, "PASSWORD")
	text = shownPath.ReplaceAllString(text, "/invitation/PATH")
	return shownDay.ReplaceAllString(shownCode.ReplaceAllString(text, "CODE"), "DAY")
}

// TestAccountCommands pins what administrators see while they set right how people log in, and what they are refused: each for their own
// organization alone.
func TestAccountCommands(t *testing.T) {
	t.Parallel()
	for _, i := range []*install{{data: t.TempDir()}} { // the stores have both databases in their own tests
		i.begin(t)
		i.gated(t, nil)
		i.fill(t, 2, hokkaido, sapporo, aomori)
		i.relyingParty(t)
		env := map[string]string{
			"PLANNER": i.planner(), "APPROVER": i.approver(), "DATA": i.data, "TOWN": i.credential(t, sapporo, staff(1)), "STAFF": i.credential(t, sapporo, staff(2)),
			"OTHER": i.credential(t, aomori, staff(1)),
		}
		var seen strings.Builder
		for _, step := range []struct {
			args string
			code int
		}{
			{"card", 0},
			{"card show --org 011002 S00002 --as TOWN", 0},
			{"card release --org 011002 S00002 --reason 紛失 --as TOWN", 3}, // no card
			{"LOGIN", 0},
			{"card show --org 011002 S00002 --as TOWN", 0},
			{"sessions list --org 011002 S00002 --as TOWN", 0},
			{"sessions list --org 011002 S00002 --as OTHER", 3},
			{"sessions list --org 011002 S00002 --as STAFF", 3},
			{"sessions end --org 011002 S00002 --as TOWN", 2}, // no reason
			{"sessions end --org 011002 S00002 --reason 端末の紛失 --as OTHER", 3},
			{"sessions end --org 011002 S00002 --reason 端末の紛失 --as STAFF", 3},
			{"sessions end --org 011002 S00001 --reason 端末の紛失 --as TOWN", 3}, // oneself
			{"sessions end --org 011002 S00002 --reason 端末の紛失 --as TOWN", 0},
			{"sessions end --org 011002 S00002 --reason 端末の紛失 --as TOWN", 3}, // none is left
			{"sessions list --org 011002 S00002 --as TOWN", 0},
			{"logouts --as TOWN", 3},
			{"logouts --as PLANNER", 0},
			{"logouts --failed --as PLANNER", 0},
			{"logouts --failed --pending --as PLANNER", 2},
			{"logouts --limit 0 --as PLANNER", 2},
			{"FAIL", 0},
			{"logouts --failed --rp jira --as PLANNER", 0},
			{"logouts retry --as PLANNER", 2},
			{"logouts retry nothing --as PLANNER", 3},
			{"logouts retry --all-failed --as TOWN", 3},
			{"logouts retry --all-failed --rp jira --as PLANNER", 0},
			{"logouts --pending --as PLANNER", 0},
			{"LOGIN", 0},
			{"card release --org 011002 S00002 --reason 紛失 --as OTHER", 3},
			{"card release --org 011002 S00002 --reason 紛失 --as STAFF", 3},
			{"card release --org 011002 S00002 --as TOWN", 2},
			{"card release --org 011002 S00002 --reason 紛失 --as TOWN", 0},
			{"card show --org 011002 S00002 --as TOWN", 0},
			{"card show --org 011002 S00002 --json --as TOWN", 0},
			{"password reset --org 011002 S00002 --reason 再登録 --as OTHER", 3},
			{"password reset --org 011002 S00002 --reason 再登録 --as STAFF", 3},
			{"password reset --org 011002 S00002 --as TOWN", 2},
			{"password reset --org 011002 S00002 --reason 再登録 --as TOWN", 0},
			{"password reset --org 011002 S00002 --reason 再登録 --out DATA/new.txt --as TOWN", 0},
			{"password reset --org 011002 S00002 --reason 再登録 --out DATA/new.txt --as TOWN", 2}, // the file is there
			{"password reset --org 011002 S00002 --reason 再登録 --out DATA/none/new.txt --as TOWN", 2},
			{"card show --org 011002 S00002 --as TOWN", 0},
			{"password list --as TOWN", 3},
			{"password list --as PLANNER", 0},
			{"password seal --org 8000012010038 admin-2 --reason 年次 --out DATA/envelope.txt --as TOWN", 3},
			{"password seal --org 8000012010038 admin-1 --reason 年次 --out DATA/envelope.txt --as PLANNER", 3}, // oneself
			{"password seal --org 011002 S00001 --reason 年次 --out DATA/envelope.txt --as PLANNER", 3},
			{"password seal --org 8000012010038 admin-2 --reason 年次 --as PLANNER", 2},
			{"password seal --org 8000012010038 admin-2 --reason 年次 --out DATA/envelope.txt --as PLANNER", 0},
			{"password list --as PLANNER", 0},
			{"password unseal --org 8000012010038 admin-2 --reason 異動 --as PLANNER", 0},
			{"password unseal --org 8000012010038 admin-2 --reason 異動 --as PLANNER", 3},
			{"invite", 2},
			{"invite --org 011002 --reason 初回 --letter DATA/letter.txt --as PLANNER", 2}, // no relay
			{"invite --org 011002 --reason 初回 --letter DATA/letter.txt --link DATA/letter.txt --as PLANNER", 2},
			{"invite --org 011002 --reason 初回 --letter DATA/letter.txt --link DATA/link.txt --as TOWN", 3},
			{"invite --org 011002 --reason 初回 --letter DATA/letter.txt --link DATA/link.txt", 3},           // break-glass
			{"invite --org 020001 --reason 初回 --letter DATA/letter.txt --link DATA/link.txt --as TOWN", 3}, // another organization's
			{"invite --org 8000012010038 --reason 初回 --letter DATA/letter.txt --link DATA/link.txt --as PLANNER", 2},
			{"invite --org 011002 S00002 --reason 初回 --letter DATA/letter.txt --link DATA/link.txt --as PLANNER", 3}, // no administrator
			{"invite --org 011002 --reason 初回 --letter DATA/letter.txt --link DATA/link.txt --as PLANNER", 0},
			{"invite --org 011002 S00001 --reason 再送 --letter DATA/letter2.txt --link DATA/link2.txt --as PLANNER", 0},
			{"invite list --as OTHER", 0},
			{"invite list --as TOWN", 0},
			{"notices people --as OTHER", 0},
			{"notices people --as TOWN", 0},
			{"notices people --waiting --org 011002 --person S00002 --limit 2 --as TOWN", 0},
			{"notices people --unsent --waiting --as TOWN", 2},
			{"notices people --as STAFF", 3},
			{"password --help", 0},
			{"invite --help", 0},
			{"logouts --help", 0},
		} {
			switch step.args {
			case "LOGIN":
				i.loggedIn(t, sapporo, staff(2))
				continue
			case "FAIL":
				i.stores(t, func(ctx context.Context, h *boot.Hub, _ *boot.Accounts) error {
					return h.DB.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
						_, err := tx.ExecContext(ctx, `UPDATE oidc_logout SET state = 'failed', tries = 96, status = 503, why = 'given_up', settled_at = created_at`)
						return err
					})
				})
				continue
			}
			args := strings.Fields(step.args)
			for n, a := range args {
				if value, ok := env[a]; ok {
					args[n] = value
				}
				if strings.HasPrefix(a, "DATA/") {
					args[n] = i.path(strings.TrimPrefix(a, "DATA/"))
				}
			}
			seen.WriteString(plain(screen(t, i.musubi(t, args...), step.code, step.args, env)) + "\n")
		}
		compare(t, filepath.Join("testdata", "accounts.txt"), seen.String())
		for _, name := range []string{"letter.txt", "link.txt", "new.txt", "envelope.txt"} {
			info, err := os.Stat(i.path(name))
			if err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%s: %v, %v", name, info, err)
			}
		}
		for _, name := range []string{"letter", "link"} {
			text, err := os.ReadFile(i.path(name + ".txt"))
			if err != nil {
				t.Fatal(err)
			}
			compare(t, filepath.Join("testdata", "account", name+".txt"), plain(steady(string(text), env)))
		}
		i.secretsWork(t)
		// What each of them did is audited with its reason, which can be erased; no secret is in the log.
		for act, want := range map[string]int{"sessions": 1, "password": 3, "unseal": 1, "invitation": 2} {
			if n := i.number(t, `SELECT COUNT(*) FROM audit_row WHERE action = 'account.reason' AND outcome = 'done' AND detail LIKE '%"act":"'||$1||'"%'`, act); n != want {
				t.Errorf("%d rows say why of %s, want %d", n, act, want)
			}
		}
	}
}

// secretsWork uses what the commands of TestAccountCommands handed over: the newest works, what it replaced doesn't, and the letter's code isn't in the link's file.
func (i *install) secretsWork(t *testing.T) {
	t.Helper()
	read := func(name string) string {
		t.Helper()
		text, err := os.ReadFile(i.path(name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	post := func(form url.Values) *http.Request {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://login.example.jp/", strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		return r
	}
	i.stores(t, func(ctx context.Context, h *boot.Hub, a *boot.Accounts) error {
		everything := policies.System(policies.TaskTest)
		person, err := h.Directory.FindPerson(ctx, everything, sapporo, staff(2))
		if err != nil {
			return err
		}
		boss, err := h.Directory.FindPerson(ctx, everything, sapporo, staff(1))
		if err != nil {
			return err
		}
		attempt := login.Attempt{Login: "l", At: h.Now().UnixMicro(), Address: "192.0.2.1", Network: policies.NetworkInternet}
		link, err := password.NewMethod(a.Passwords, password.KindLink, h.Dated)
		if err != nil {
			return err
		}
		proof, err := link.Finish(ctx, attempt, post(url.Values{"name": {person.Email}, "password": {strings.TrimSpace(read("new.txt"))}}))
		if err != nil || proof.Person != person.ID || proof.Use != login.UseLink {
			return fmt.Errorf("the password proves %+v: %w", proof, err)
		}
		invited := invitation.NewMethod(a.Invitations)
		use := func(n string) error {
			path := strings.TrimPrefix(shownPath.FindString(read("link"+n+".txt")), "/invitation/")
			code := shownCode.FindString(read("letter" + n + ".txt"))
			if strings.Contains(read("letter"+n+".txt"), path) || strings.Contains(read("link"+n+".txt"), code) {
				t.Error("both secrets go one way")
			}
			proof, err = invited.Finish(ctx, attempt, post(url.Values{"path": {path}, "code": {code}}))
			return err
		}
		if err := use(""); err == nil {
			t.Error("an invitation that a newer one voids still works")
		}
		if err := use("2"); err != nil || proof.Person != boss.ID {
			return fmt.Errorf("the invitation proves %+v: %w", proof, err)
		}
		return nil
	})
}

// parties plays the relying parties: it takes logout tokens where it isn't broken.
type parties struct {
	broken atomic.Bool
	got    atomic.Int64
}

func (p *parties) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.ParseForm(); err != nil {
		return nil, err
	}
	status := http.StatusOK
	switch {
	case p.broken.Load():
		status = http.StatusBadRequest
	case r.URL.String() == "https://jira.example/logout" && strings.Count(r.PostForm.Get("logout_token"), ".") == 2:
		p.got.Add(1)
	default:
		status = http.StatusNotFound
	}
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
}

// serving works the installation's jobs in this process, with relying parties in their place.
func (i *install) serving(t *testing.T, p http.RoundTripper) {
	t.Helper()
	e := newEnv(os.Stdout, os.Stderr)
	e.data, e.database, e.environ = i.data, i.database, nil
	loaded, err := e.loadConfig()
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	h, err := boot.OpenHub(t.Context(), boot.Options{Data: i.data, Config: loaded.Config, Work: true, Now: time.Now, Log: log, Parties: p})
	if err != nil {
		t.Fatal(err)
	}
	opened, err := openEntry(t.Context(), h, entryOptions{})
	if err != nil {
		t.Fatal(errors.Join(err, h.Close()))
	}
	t.Cleanup(func() {
		opened.close()
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := h.Jobs.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := h.Keep(t.Context(), opened.Federation); err != nil {
		t.Fatal(err)
	}
}

// TestAccountsServed runs the commands beside a serving hub: the SaaS hear of each end at once, failures are shown and taken up again, and people
// are told by mail, once and without any secret but the path of their invitation.
func TestAccountsServed(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, i *install) {
		site := sandboxSite{dir: t.TempDir(), scale: demoScale}
		box, front, err := site.open(t.Context(), "127.0.0.1:0", time.Now, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		defer front.close()
		address, _, err := site.openMail(t.Context(), "127.0.0.1:0", box)
		if err != nil {
			t.Fatal(err)
		}
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			t.Fatal(err)
		}
		key := site.tokenFile(sandbox.Mail + "-id")
		if _, err := ensureSecret(key); err != nil {
			t.Fatal(err)
		}
		i.begin(t)
		i.gated(t, map[string]string{
			"mail.host": host, "mail.port": port, "mail.security": "none", "mail.from": demoSender, "mail.from_name": "結び Musubi", "mail.id_key_file": key,
		})
		i.fill(t, 3, hokkaido, sapporo)
		i.relyingParty(t)
		first, leaver := i.loggedIn(t, sapporo, staff(2)), i.loggedIn(t, sapporo, staff(3))
		town := i.credential(t, sapporo, staff(1))
		sandboxes := &parties{}
		i.serving(t, sandboxes)

		logouts := func(args ...string) (doc logoutsDocument) {
			t.Helper()
			i.document(t, 0, "musubi.logouts.v1", &doc, append([]string{"logouts", "--as", i.planner()}, args...)...)
			return doc
		}
		within := func(what string, ok func() bool) {
			t.Helper()
			for deadline := time.Now().Add(patient); !ok(); time.Sleep(20 * time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatal("never: " + what)
				}
			}
		}
		// A leaver, by the directory alone.
		i.must(t, "people", "end", "--org", string(sapporo), staff(3), "--as", town)
		within("the leaver's SaaS hears of it", func() bool { return sandboxes.got.Load() == 1 })
		within("the receipt is kept", func() bool {
			doc := logouts("--session", string(leaver.ID))
			return len(doc.Logouts) == 1 && doc.Logouts[0].State == "delivered" && doc.Logouts[0].Status == http.StatusOK
		})
		// One that a SaaS refuses is shown as failed, and delivered when somebody has it retried.
		sandboxes.broken.Store(true)
		var ended endedDocument
		i.document(t, 0, "musubi.sessions.end.v1", &ended, "sessions", "end", "--org", string(sapporo), staff(2), "--reason", "端末の紛失", "--as", town)
		if ended.Sessions != 1 || !ended.Mailed {
			t.Errorf("%+v", ended)
		}
		within("the failure is shown", func() bool {
			doc := logouts("--failed")
			return len(doc.Logouts) == 1 && doc.Logouts[0].Session == first.ID && doc.Logouts[0].Why == "refused" && doc.Logouts[0].Status == http.StatusBadRequest
		})
		sandboxes.broken.Store(false)
		i.must(t, "logouts", "retry", "--all-failed", "--as", i.planner())
		within("it is delivered after all", func() bool { return len(logouts("--failed").Logouts) == 0 && sandboxes.got.Load() == 2 })
		// The invitation's link goes by mail, its code doesn't.
		var invited inviteDocument
		i.document(t, 0, "musubi.invite.v1", &invited, "invite", "--org", string(sapporo), "--reason", "初回", "--letter", i.path("letter.txt"), "--as", i.planner())
		letter, err := os.ReadFile(i.path("letter.txt"))
		if err != nil {
			t.Fatal(err)
		}
		code := shownCode.FindString(string(letter))
		all := ""
		within("both mails are there", func() bool {
			st, err := box.State(sandbox.Mail)
			if err != nil {
				t.Fatal(err)
			}
			all = ""
			for _, m := range st.Mails {
				all += m.Subject + "\n" + m.Text + "\n"
			}
			return len(st.Mails) == 2
		})
		if code == "" || strings.Contains(all, code) || strings.Contains(all, strings.ReplaceAll(code, "-", "")) || !strings.Contains(all, "ログインが管理者により終了されました") ||
			strings.Count(all, "https://login.example.jp/invitation/") != 1 || len(shownPath.FindAllString(all, -1)) != 1 || strings.Contains(all, "端末の紛失") {
			t.Errorf("the mails:\n%s", all)
		}
		var told toldDocument
		within("both are kept as sent", func() bool {
			i.document(t, 0, "musubi.notices.people.v1", &told, "notices", "people", "--as", town)
			return len(told.Notices) == 2 && told.Relay && told.Notices[0].State == "sent" && told.Notices[1].State == "sent"
		})
		if n := i.number(t, `SELECT COUNT(*) FROM person_notice WHERE sealed <> ''`); n != 0 {
			t.Error("the path of an invitation is kept after its mail has left")
		}
	})
}
