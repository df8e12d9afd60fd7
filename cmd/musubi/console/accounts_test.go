package console

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/directory"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/logout"
)

func (l *loginHub) loggedIn(b *browser) bool {
	l.t.Helper()
	_, _, err := l.sessions.Read(l.t.Context(), b.secret, policies.NetworkLGWAN, l.clock.now())
	return err == nil
}

const because = "カードの紛失の届け出 (本人確認済み)"

// マイナンバーカードの認証解除: the card goes, the sessions end, the person is told, the reason is kept; and once.
func TestReleaseCard(t *testing.T) {
	migrated.Each(t, func(t *testing.T, db *sqldb.DB) {
		l := newLoginHub(t, db)
		staff := l.people.sapporoStaff
		l.link(staff)
		worker, admin := l.login(staff), l.login(l.people.sapporoAdmin)
		page := "/people/" + string(staff.ID)
		wantText(t, admin.get("/orgs/"+string(sapporo)), http.StatusOK, `href="`+page+`"`)
		wantText(t, admin.get(page), http.StatusOK, "登録済み", "LGWAN", `href="`+page+`/card"`, "マイナンバーカードの認証解除", "パスワードのリセット")
		form := formIn(t, admin.get(page+"/card"), page+"/card")
		wantText(t, admin.post(page+"/card", form), http.StatusConflict, "理由が要ります")
		wantText(t, admin.post(page+"/card", with(form, "why", strings.Repeat("あ", 301))), http.StatusConflict, "理由が要ります")
		if !l.loggedIn(worker) || l.told["card"] != 0 {
			t.Fatal("something was done without a reason")
		}
		done := admin.post(page+"/card", with(form, "why", " "+because+" "))
		wantText(t, done, http.StatusOK, "認証を解除し", "札幌職員 次郎")
		if l.loggedIn(worker) || l.told["card"] != 1 || l.actions("card.release") != 1 {
			t.Error("the release isn't whole", l.told)
		}
		if card, err := l.links.Card(t.Context(), staff.ID); err != nil || card != "" {
			t.Error(card, err)
		}
		wantText(t, admin.post(page+"/card", with(form, "why", because)), http.StatusConflict, "状態が変わりました")
		wantText(t, admin.get(page+"/card"), http.StatusOK, "カードは登録されていません")
		if l.told["card"] != 1 || l.actions("card.release") != 1 {
			t.Error("the repeated form released again")
		}
		wantText(t, l.login(l.people.planner).get("/records?number="+string(staff.ID)), http.StatusOK, "card.release", because, "札幌管理 太郎")
	})
}

// パスワードのリセット and an invitation give a secret, once, to one page, and keep none of it.
func TestSecretsAreShownOnce(t *testing.T) {
	migrated.Each(t, func(t *testing.T, db *sqldb.DB) {
		l := newLoginHub(t, db)
		var logged bytes.Buffer
		l.console.cfg.Logger = slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
		admin := l.login(l.people.planner)
		worker := l.login(l.people.sapporoAdmin)
		page := "/people/" + string(l.people.sapporoAdmin.ID)
		for _, c := range []struct {
			act, table, action string
			secrets            int
		}{
			{"password", "password_account", "password.reset", 1},
			{"invitation", "invitation", "invitation.send", 2},
		} {
			path := page + "/" + c.act
			form := with(formIn(t, admin.get(path), path), "why", because)
			a := admin.post(path, form)
			wantText(t, a, http.StatusOK, "二度と表示できません", `class="secret"`)
			if a.header.Get("Cache-Control") != "no-store" {
				t.Error(a.header)
			}
			parts := strings.Split(a.body, `<code class="secret">`)[1:]
			if len(parts) != c.secrets || l.actions(c.action) != 1 {
				t.Fatalf("%s: %d secrets, %d rows", c.act, len(parts), l.actions(c.action))
			}
			for _, p := range parts {
				text, _, _ := strings.Cut(p, "<")
				text = text[strings.LastIndexByte(text, '/')+1:]
				if len(text) < 14 {
					t.Errorf("%s: a short secret", c.act)
				}
				for _, table := range []string{c.table, "audit_row", "audit_personal", "console_used"} {
					if strings.Contains(dump(t, db, table), text) {
						t.Errorf("%s keeps the secret of %s", table, c.act)
					}
				}
				if strings.Contains(logged.String(), text) || strings.Contains(admin.get(page).body, text) || strings.Contains(admin.get(path).body, text) {
					t.Errorf("the secret of %s is shown twice", c.act)
				}
			}
			// A reload of the page that showed it posts the form again.
			wantText(t, admin.post(path, form), http.StatusConflict, "状態が変わりました")
			if l.actions(c.action) != 1 || l.actions("account.reason") == 0 {
				t.Errorf("%s was done twice, or its reason is missing", c.act)
			}
			// A new page does it again.
			if a := admin.post(path, with(formIn(t, admin.get(path), path), "why", because)); a.status != http.StatusOK || l.actions(c.action) != 2 {
				t.Errorf("%s a second time: %d", c.act, a.status)
			}
		}
		if l.loggedIn(worker) {
			t.Error("a reset ends no session")
		}
		if l.told["password"] != 2 || l.told["invitation"] != 0 {
			t.Error(l.told)
		}
	})
}

func TestEndSessions(t *testing.T) {
	l := loginSQLite(t)
	admin := l.login(l.people.sapporoAdmin)
	page := "/people/" + string(l.people.sapporoStaff.ID)
	wantText(t, admin.get(page), http.StatusOK, "ログインしていません")
	first, second := l.login(l.people.sapporoStaff), l.login(l.people.sapporoStaff)
	form := with(formIn(t, admin.get(page+"/sessions"), page+"/sessions"), "why", because)
	third := l.login(l.people.sapporoStaff) // after the page was shown
	wantText(t, admin.post(page+"/sessions", form), http.StatusConflict, "状態が変わりました")
	form = with(formIn(t, admin.get(page+"/sessions"), page+"/sessions"), "why", because)
	wantText(t, admin.post(page+"/sessions", form), http.StatusOK, "ログインをすべて終了しました")
	if l.loggedIn(first) || l.loggedIn(second) || l.loggedIn(third) || l.told["sessions"] != 1 || l.actions("session.end") != 3 {
		t.Error("not all sessions ended, or not once", l.told, l.actions("session.end"))
	}
	if !l.loggedIn(admin) {
		t.Error("the administrator's own session ended")
	}
}

// What somebody may not do isn't offered, and not done where it is sent all the same.
func TestActsTakeTheRight(t *testing.T) {
	l := loginSQLite(t)
	for _, p := range []identity.Person{l.people.sapporoStaff, l.people.aomoriStaff, l.people.sapporoAdmin} {
		l.link(p)
	}
	victim := l.login(l.people.sapporoStaff)
	agencyAdmin := l.person(agency, policies.RoleAdministrator, "庁管理", "七子")
	forge := func(b *browser, p identity.Person, act string) answer {
		path := "/people/" + string(p.ID) + "/" + act
		s := subject{Person: p}
		var err error
		if s.Card, err = l.links.Card(t.Context(), p.ID); err != nil {
			t.Fatal(err)
		}
		if s.Sessions, err = l.sessions.ListOf(t.Context(), l.scope(l.people.planner, policies.ActionPeopleRead, policies.Context{}), p, l.clock.now()); err != nil {
			t.Fatal(err)
		}
		seen := "nonce " + s.state()
		return b.post(path, url.Values{"seen": {seen}, "token": {l.console.tokenOf(b.request(), path, seen)}, "why": {because}})
	}
	for name, c := range map[string]struct {
		who    identity.Person
		on     identity.Person
		acts   []string
		status int
	}{
		"a general user":              {l.people.aomoriStaff, l.people.sapporoStaff, []string{"card", "password", "sessions", "invitation"}, 403},
		"a colleague":                 {l.people.sapporoStaff, l.people.sapporoAdmin, []string{"card", "password", "sessions", "invitation"}, 403},
		"another town's":              {l.people.aomoriAdmin, l.people.sapporoStaff, []string{"card", "password", "sessions", "invitation"}, 404},
		"a ministry's":                {l.ministry, l.people.sapporoStaff, []string{"card", "password", "sessions", "invitation"}, 404},
		"a town's own, an invitation": {l.people.sapporoAdmin, l.people.sapporoStaff, []string{"invitation"}, 403},
		"the agency's administrator":  {agencyAdmin, l.people.approver, []string{"card", "password", "sessions"}, 403}, // who reads them, and may not write
		"oneself":                     {l.people.sapporoAdmin, l.people.sapporoAdmin, []string{"card", "password"}, 409},
		"a general user's invitation": {l.people.planner, l.people.sapporoStaff, []string{"invitation"}, 409},
		"no such act":                 {l.people.planner, l.people.sapporoStaff, []string{"erase"}, 404},
	} {
		b := l.login(c.who)
		for _, act := range c.acts {
			before := l.refusals()
			if a := forge(b, c.on, act); a.status != c.status {
				t.Errorf("%s, %s: %d, want %d: %s", name, act, a.status, c.status, a.body)
			}
			if recorded := l.refusals() > before; recorded != (c.status == http.StatusForbidden) {
				t.Errorf("%s, %s: recorded %t", name, act, recorded)
			}
			if a := b.get("/people/" + string(c.on.ID)); a.status == http.StatusOK && strings.Contains(a.body, `href="/people/`+string(c.on.ID)+`/`+act+`"`) {
				t.Errorf("%s is offered %s", name, act)
			}
		}
	}
	for _, action := range []string{"card.release", "password.reset", "session.end", "invitation.send", "account.reason"} {
		if n := l.actions(action); n != 0 {
			t.Errorf("%d rows of %s", n, action)
		}
	}
	// The forgery itself is good: with the right it works.
	if a := forge(l.login(l.people.sapporoAdmin), l.people.sapporoStaff, "sessions"); a.status != http.StatusOK || l.loggedIn(victim) {
		t.Errorf("the control: %d %s", a.status, a.body)
	}
}

// An act takes a fresh proof; somebody who has left has nothing to end.
func TestActsTakeAFreshProof(t *testing.T) {
	l := loginSQLite(t)
	admin := l.login(l.people.planner)
	page := "/people/" + string(l.people.sapporoStaff.ID)
	form := with(formIn(t, admin.get(page+"/password"), page+"/password"), "why", because)
	l.later(admin)
	a := admin.get(page + "/password")
	wantText(t, a, http.StatusOK, "もう一度、本人を確認します", "to=%2Fpeople%2F"+string(l.people.sapporoStaff.ID)+"%2Fpassword")
	if strings.Contains(a.body, `name="why"`) {
		t.Error("the form is there with an old proof")
	}
	wantText(t, admin.post(page+"/password", form), http.StatusForbidden, "何も実行していません")
	if l.actions("password.reset") != 0 {
		t.Error("an old proof reset a password")
	}
	l.prove(admin, l.people.planner)
	form = with(formIn(t, admin.get(page+"/password"), page+"/password"), "why", because)
	if err := l.dir.EndPerson(t.Context(), everywhere, l.people.sapporoStaff.ID, directory.Author{Source: "test"}); err != nil {
		t.Fatal(err)
	}
	wantText(t, admin.post(page+"/password", form), http.StatusConflict)
	wantText(t, admin.get(page), http.StatusOK, "在職を終えています")
}

func TestLogoutsPage(t *testing.T) {
	l := loginSQLite(t)
	admin := l.login(l.people.planner)
	wantText(t, admin.get("/logouts"), http.StatusOK, "届かなかった通知はありません", "送信中の通知はありません", "確かめられない通知はありません", `aria-current="page"`)
	at := l.clock.now().Add(-time.Hour).UnixMicro()
	for i, why := range []string{"refused", "given_up", "party_removed", "address_removed", "unheard_of"} {
		l.logouts = append(l.logouts, logout.Receipt{
			ID: string(rune('a' + i)), RelyingParty: "jira", Network: policies.NetworkGovernment, Session: identity.SessionID("session-" + why), State: logout.Failed,
			Tries: i + 1, Status: 400, Why: why, CreatedAt: at,
		})
	}
	l.logouts = append(l.logouts, logout.Receipt{ID: "p", RelyingParty: "slack", Network: policies.NetworkLGWAN, State: logout.Pending, Tries: 1, Why: "unreachable", CreatedAt: at})
	for i, why := range []string{"no_browser", "no_endpoint", "unanswered", "answer_unsigned"} {
		state := logout.Untold
		if i > 1 {
			state = logout.Unconfirmed
		}
		l.logouts = append(l.logouts, logout.Receipt{
			Protocol: logout.SAML, ID: "s" + why, RelyingParty: "wiki", Network: policies.NetworkLGWAN, State: state, Why: why, CreatedAt: at, Until: at + 12*time.Hour.Microseconds(),
		})
	}
	a := admin.get("/logouts")
	wantText(t, a, http.StatusOK, "jira", "slack", "政府共通ネットワーク", "HTTP 400", "取りやめました", "連携先の登録がありません", "unheard_of", "つながりません", `href="/records?number=session-refused"`,
		"ブラウザを通してだけ", "窓口がありません", "返事がありません", "署名がなく")
	if strings.Count(a.body, "<tbody>") != 3 {
		t.Error("not three lists")
	}
	l.console.cfg.Accounts.Logouts = nil
	wantText(t, admin.get("/logouts"), http.StatusNotFound)
	if strings.Contains(admin.get("/").body, `href="/logouts"`) {
		t.Error("the menu leads to a page that isn't there")
	}
}
