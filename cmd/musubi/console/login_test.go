package console

import (
	"flag"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/directory"
	"github.com/musubi-hub/musubi/identity/session"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/provision"
)

var update = flag.Bool("update", false, "write the golden files anew")

// Who has logged in is named on each page with post and network, has the ways out, and no cookie of the console's own.
func TestLoginOpensThePages(t *testing.T) {
	migrated.Each(t, func(t *testing.T, db *sqldb.DB) {
		l := newLoginHub(t, db)
		b := l.login(l.people.sapporoAdmin)
		a := b.do(http.MethodGet, "/", func(r *http.Request) { r.Host = "login.lgwan.example.go.jp" })
		wantText(t, a, http.StatusOK, "札幌市</span> 札幌管理 太郎", "管理ユーザ / 表示範囲: 札幌市の職員 / LGWAN", `href="/sessions"`, `href="/login/post"`,
			`action="/logout"><input type="hidden" name="token" value="of signin">`)
		if a.header.Get("Set-Cookie") != "" || a.header.Get("Strict-Transport-Security") != "max-age=31536000" {
			t.Error(a.header)
		}
		for _, path := range []string{"/open/" + strings.Repeat("A", 43), "/closed"} {
			wantText(t, b.get(path), http.StatusNotFound)
		}
		wantText(t, b.post("/logout", url.Values{}), http.StatusMethodNotAllowed) // it is signin's

		// A ticket opens nothing here, and neither does the cookie of a session that one opened.
		ticket := l.ticket(l.people.planner)
		wantText(t, (&browser{h: l.hub}).post(ticket, url.Values{}), http.StatusMethodNotAllowed)
		cookie, err := redeem(t.Context(), db, strings.TrimPrefix(ticket, "/open/"), "", l.clock.now(), l.console.cfg.Random)
		if err != nil {
			t.Fatal(err)
		}
		wantText(t, (&browser{h: l.hub, cookie: cookie}).get("/"), http.StatusUnauthorized, "ログインしていません")

		if err := l.sessions.Logout(t.Context(), b.secret, l.clock.now()); err != nil {
			t.Fatal(err)
		}
		a = b.get("/orgs/" + string(sapporo))
		wantText(t, a, http.StatusUnauthorized, "もう一度ログインしてください")
		if strings.Contains(a.body, "札幌") || a.header.Get("Set-Cookie") != "" {
			t.Error("the page of who has logged out says who it was")
		}

		b = l.login(l.people.sapporoAdmin)
		if err := l.dir.EndPerson(t.Context(), everywhere, l.people.sapporoAdmin.ID, directory.Author{Source: "test"}); err != nil {
			t.Fatal(err)
		}
		wantText(t, b.get("/"), http.StatusUnauthorized)
	})
}

// What stands before the pages is believed only where session and person fit together.
func TestWhoMustFit(t *testing.T) {
	l := loginSQLite(t)
	b := l.login(l.people.planner)
	who := l.console.cfg.Login.Who
	root, err := access.BreakGlass("root")
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*access.Actor, *session.Session) bool{
		"nobody":                 func(*access.Actor, *session.Session) bool { return false },
		"the zero actor":         func(a *access.Actor, _ *session.Session) bool { *a = access.Actor{}; return true },
		"break-glass":            func(a *access.Actor, _ *session.Session) bool { *a = root; return true },
		"a task":                 func(a *access.Actor, _ *session.Session) bool { *a = access.System(policies.TaskConsole); return true },
		"another's session":      func(_ *access.Actor, s *session.Session) bool { s.Person = l.people.approver.ID; return true },
		"a session without id":   func(_ *access.Actor, s *session.Session) bool { s.ID = ""; return true },
		"a session of elsewhere": func(_ *access.Actor, s *session.Session) bool { s.Org = sapporo; return true },
	} {
		l.console.cfg.Login.Who = func(r *http.Request) (access.Actor, session.Session, bool) {
			a, s, ok := who(r)
			return a, s, change(&a, &s) && ok
		}
		if a := b.get("/"); a.status != http.StatusUnauthorized || strings.Contains(a.body, "計画 一郎") {
			t.Errorf("%s: %d", name, a.status)
		}
	}
}

func TestNewRefusesHalfALogin(t *testing.T) {
	l := loginSQLite(t)
	for name, change := range map[string]func(*Config){
		"no who":                     func(c *Config) { c.Login.Who = nil },
		"no way to prove":            func(c *Config) { c.Login.Prove = nil },
		"no way out":                 func(c *Config) { c.Login.Logout = nil },
		"accounts without login":     func(c *Config) { c.Login = nil },
		"accounts without sessions":  func(c *Config) { c.Accounts.Sessions = nil },
		"accounts without passwords": func(c *Config) { c.Accounts.Passwords = nil },
	} {
		cfg := l.console.cfg
		login, accounts := *cfg.Login, *cfg.Accounts
		cfg.Login, cfg.Accounts = &login, &accounts
		if _, err := New(cfg); err != nil {
			t.Fatal(err)
		}
		change(&cfg)
		if _, err := New(cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// Each kind of person at each page: what is shown, refused, or not there. Nothing of another town leaks, wherever it is asked for.
func TestEachPersonAtEachPage(t *testing.T) {
	l := loginSQLite(t)
	caretaker := l.people.aomoriAdmin
	for _, p := range []identity.Person{l.people.sapporoStaff, l.people.aomoriStaff, l.people.official} {
		l.account(p, policies.ProductJira, policies.SeatPortalCustomer)
	}
	record := l.plan(l.people.planner)
	trip := l.trip(aomori, 400, l.people.planner)
	l.link(l.people.aomoriStaff)
	aomoriSession := l.login(l.people.aomoriStaff)
	var elsewhere session.Session
	if s, _, err := l.sessions.Read(t.Context(), aomoriSession.secret, policies.NetworkLGWAN, l.clock.now()); err != nil {
		t.Fatal(err)
	} else {
		elsewhere = s
	}
	staff := func(p identity.Person) string { return "/people/" + string(p.ID) }
	paths := []struct{ name, path string }{
		{"概要", "/"},
		{"組織の一覧", "/orgs"},
		{"札幌市", "/orgs/" + string(sapporo)},
		{"青森県", "/orgs/" + string(aomori)},
		{"総務省", "/orgs/" + string(ministry)},
		{"計画", "/plans/" + record.Hash},
		{"計画の進み具合", "/plans/" + record.Hash + "/progress"},
		{"計画を青森県に絞る", "/plans/" + record.Hash + "?org=" + string(aomori)},
		{"隔離", "/quarantine"},
		{"ブレーカー", "/breakers"},
		{"ブレーカー (青森県)", "/breakers/" + trip.ID},
		{"札幌の職員", staff(l.people.sapporoStaff)},
		{"札幌の職員のカード解除", staff(l.people.sapporoStaff) + "/card"},
		{"札幌の職員の招待", staff(l.people.sapporoStaff) + "/invitation"},
		{"青森の職員", staff(l.people.aomoriStaff)},
		{"青森の職員のカード解除", staff(l.people.aomoriStaff) + "/card"},
		{"青森の職員のパスワード", staff(l.people.aomoriStaff) + "/password"},
		{"青森の職員のログイン終了", staff(l.people.aomoriStaff) + "/sessions"},
		{"総務省の職員", staff(l.people.official)},
		{"システム管理者", staff(l.people.approver)},
		{"記録", "/records"},
		{"青森のログインの記録", "/records?number=" + string(elsewhere.ID)},
		{"ログアウトの通知", "/logouts"},
	}
	people := map[string][]identity.Person{ // by whose they are
		string(sapporo): {l.people.sapporoAdmin, l.people.sapporoStaff}, string(aomori): {l.people.aomoriAdmin, l.people.aomoriStaff},
		string(ministry): {l.people.official, l.ministry}, string(agency): {l.people.planner, l.people.approver},
	}
	roles := []struct {
		name string
		who  identity.Person
		sees []policies.OrgID
	}{
		{"一般 (札幌市)", l.people.sapporoStaff, nil},
		{"管理 (札幌市)", l.people.sapporoAdmin, []policies.OrgID{sapporo}},
		{"管理 (青森県)", caretaker, []policies.OrgID{aomori}},
		{"一般 (総務省)", l.people.official, nil},
		{"管理 (総務省)", l.ministry, []policies.OrgID{ministry}},
		{"システム管理者", l.people.planner, []policies.OrgID{sapporo, aomori, ministry, agency}},
	}
	var table strings.Builder
	fmt.Fprint(&table, "だれが、どの画面を見られるか。200 = 見られる、403 = 拒否され、番号付きで監査記録に残る、404 = その人にはない。\n")
	fmt.Fprint(&table, "Who sees which page. 200: shown; 403: refused, with a number in the audit log; 404: not there for them.\n\n| 画面")
	for _, r := range roles {
		fmt.Fprintf(&table, " | %s", r.name)
	}
	fmt.Fprint(&table, " |\n|"+strings.Repeat("---|", len(roles)+1)+"\n")
	status := map[string][]string{}
	for _, role := range roles {
		b := l.login(role.who)
		before := l.refusals()
		pages := b.walk()
		if n := l.refusals() - before; n != 0 {
			t.Errorf("%s: walking about left %d refusals: a page offers what is refused", role.name, n)
		}
		for path, a := range pages {
			if a.status != http.StatusOK && !outside(path) {
				t.Errorf("%s is offered %s: %d", role.name, path, a.status)
			}
		}
		for _, p := range paths {
			before := l.refusals()
			a := b.get(p.path)
			pages[p.path] = a
			status[p.path] = append(status[p.path], fmt.Sprint(a.status))
			recorded := l.refusals() - before
			number := firstMatch(a.body, `class="incident">([^<]*)<`)
			if (a.status == http.StatusForbidden) != (recorded == 1) || (a.status == http.StatusForbidden) != (number != "no match") {
				t.Errorf("%s at %s: %d, %d refusals recorded, incident %q", role.name, p.name, a.status, recorded, number)
			}
		}
		for org, list := range people {
			for _, p := range list {
				l.checkSeen(role.name, role.who, p, slices.Contains(role.sees, policies.OrgID(org)), pages)
			}
		}
		for path, a := range pages {
			if !slices.Contains(role.sees, aomori) && (strings.Contains(a.body, trip.ID) || strings.Contains(a.body, "名簿")) && !strings.Contains(path, trip.ID) {
				t.Errorf("%s sees a breaker at %s", role.name, path)
			}
			// The session's number may stand in the box that it was searched by, and nowhere else.
			if !slices.Contains(role.sees, agency) && strings.Contains(a.body, string(elsewhere.ID)) {
				t.Errorf("%s sees another's session at %s", role.name, path)
			}
		}
	}
	for _, p := range paths {
		fmt.Fprintf(&table, "| %s | %s |\n", p.name, strings.Join(status[p.path], " | "))
	}
	golden(t, "pages.md", table.String())
}

// outside reports whether a path is signin's own.
func outside(path string) bool {
	return path == "/sessions" || path == "/login/post" || strings.HasPrefix(path, "/login")
}

// checkSeen holds a person's name and address to the pages of those who may see them.
func (l *loginHub) checkSeen(role string, who, p identity.Person, may bool, pages map[string]answer) {
	l.t.Helper()
	found := false
	for path, a := range pages {
		own := p.ID == who.ID // named in the head of each page
		if strings.Contains(a.body, p.Email) || strings.Contains(a.body, p.StaffNumber) || (!own && strings.Contains(a.body, p.DisplayName())) {
			found = true
			if !may {
				l.t.Errorf("%s sees %s at %s", role, p.DisplayName(), path)
			}
		}
	}
	if may && !found {
		l.t.Errorf("%s doesn't find %s", role, p.DisplayName())
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: run with -update and read the difference. got:\n%s", path, got)
	}
}

// A form is good for the session that was shown it, for its path and state.
func TestLoginForms(t *testing.T) {
	l := loginSQLite(t)
	l.console.cfg.Planner = provision.NewPlanner(l.prov, l.dir, l.engine)
	b, other, somebody := l.login(l.people.planner), l.login(l.people.planner), l.login(l.people.approver)
	form := formIn(t, b.get("/"), "/plans")
	forged := func(name string, in *browser, fields url.Values, change ...func(*http.Request)) {
		t.Helper()
		before := l.actions("console.page")
		a := in.post("/plans", fields, change...)
		if a.status != http.StatusForbidden && a.status != http.StatusUnauthorized {
			t.Errorf("%s: %d", name, a.status)
		}
		if a.status == http.StatusForbidden && (l.actions("console.page") != before+1 || firstMatch(a.body, `class="incident">([^<]*)<`) == "no match") {
			t.Errorf("%s: no incident", name)
		}
	}
	forged("no token", b, url.Values{"seen": form["seen"]})
	forged("an empty token", b, with(form, "token", ""))
	forged("the same person's other browser", other, form)
	forged("another person", somebody, form)
	forged("another state", b, with(form, "seen", "x"))
	forged("the token of a ticket's session", b, with(form, "token", formToken("", "/plans", form.Get("seen"))))
	forged("nobody", &browser{h: l.hub}, with(form, "token", ""))
	forged("two cookies", b, form, func(r *http.Request) { r.AddCookie(other.secret.Cookie(session.CookieName)) })
	forged("another site", b, form, func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") })
	forged("a sibling host", b, form, func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-site") })
	path := b.console().tokenOf(b.request(), "/plans/x", form.Get("seen"))
	forged("another path", b, with(form, "token", path))

	// A new proof gives a new secret: what was shown before it is void.
	l.prove(b, l.people.planner)
	forged("before a new proof", b, form)
	if a := b.post("/plans", formIn(t, b.get("/"), "/plans")); a.status != http.StatusSeeOther {
		t.Errorf("the session's own form: %d %s", a.status, a.body)
	}
}

func (b *browser) console() *Console { return b.h.console }

// request is one of this browser.
func (b *browser) request() *http.Request {
	r, err := http.NewRequestWithContext(b.h.t.Context(), http.MethodGet, "https://login.example.go.jp/", http.NoBody)
	if err != nil {
		b.h.t.Fatal(err)
	}
	r.AddCookie(b.secret.Cookie(session.CookieName))
	return r
}

// A plan takes a second person: neither another browser nor another post makes two of one.
func TestLoginApproval(t *testing.T) {
	migrated.Each(t, func(t *testing.T, db *sqldb.DB) {
		l := newLoginHub(t, db)
		l.post(l.people.sapporoAdmin, agency, policies.RoleSystemAdministrator)
		record := l.plan(l.people.planner)
		page := "/plans/" + record.Hash
		approve := page + "/approve"
		offered := func(b *browser) bool { t.Helper(); return strings.Contains(b.get(page).body, `action="`+approve+`"`) }

		maker, again := l.login(l.people.planner), l.login(l.people.planner)
		for name, b := range map[string]*browser{"the maker": maker, "the maker's other browser": again} {
			if offered(b) {
				t.Errorf("%s is offered to approve", name)
			}
			fields := url.Values{"seen": {planSeen(record)}, "token": {l.console.tokenOf(b.request(), approve, planSeen(record))}}
			wantText(t, b.post(approve, fields), http.StatusConflict, "自分の計画は承認できません")
		}

		// The right goes with the post: the town's administrator has it only in the post at the agency.
		town, posted := l.login(l.people.sapporoAdmin), l.login(l.people.sapporoAdmin, inPost(agency))
		if offered(town) {
			t.Error("a town's administrator is offered to approve")
		}
		fields := url.Values{"seen": {planSeen(record)}, "token": {l.console.tokenOf(town.request(), approve, planSeen(record))}}
		wantText(t, town.post(approve, fields), http.StatusForbidden, "見る権限がありません", "番号")
		wantText(t, posted.get(page), http.StatusOK, "デジタル庁</span> 札幌管理 太郎", "すべての組織", `action="`+approve+`"`)
		if strings.Contains(posted.get("/orgs/"+string(sapporo)).body, "この組織の職員を見る権限がありません") {
			t.Error("the post's right is missing")
		}
		// In the post at the agency nobody is the town's: and the other way round.
		if a := town.get("/orgs/" + string(aomori)); strings.Contains(a.body, l.people.aomoriStaff.Email) {
			t.Error("the right of one post goes with the other")
		}

		approver := l.login(l.people.approver)
		form := formIn(t, approver.get(page), approve)
		l.later(approver)
		a := approver.get(page)
		wantText(t, a, http.StatusOK, "もう一度、本人を確認します", `href="/login?again=1&amp;to=%2Fplans%2F`+record.Hash+`"`)
		if strings.Contains(a.body, `action="`+approve+`"`) {
			t.Error("an old proof is offered to approve")
		}
		wantText(t, approver.post(approve, form), http.StatusForbidden, "何も実行していません", `href="/login?again=1&amp;to=%2Fplans%2F`+record.Hash+`"`)
		if got := l.state(record.Hash); got != provision.PlanMade {
			t.Fatalf("an old proof approved: %s", got)
		}
		l.prove(approver, l.people.approver)
		form = formIn(t, approver.get(page), approve)
		if a := approver.post(approve, form); a.status != http.StatusSeeOther {
			t.Fatalf("the second person: %d %s", a.status, a.body)
		}
		after, err := l.prov.Record(t.Context(), everywhere, record.Hash)
		if err != nil || after.State != provision.PlanApproved || after.Approver != l.people.approver.ID {
			t.Errorf("%+v, %v", after, err)
		}
	})
}

// A post that ends takes its session along, at the next request.
func TestPostEnds(t *testing.T) {
	l := loginSQLite(t)
	l.post(l.people.sapporoAdmin, agency, policies.RoleSystemAdministrator)
	b := l.login(l.people.sapporoAdmin, inPost(agency))
	wantText(t, b.get("/breakers"), http.StatusOK)
	l.clock.forward(time.Minute)
	_, err := l.dir.AddTransfer(t.Context(), everywhere, identity.Transfer{
		Person: l.people.sapporoAdmin.ID, Kind: identity.TransferRelease, To: agency, Section: "総務課", Title: "兼務", At: l.clock.now().UnixMicro(),
	}, directory.Author{Source: "test"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.dir.Activate(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantText(t, b.get("/breakers"), http.StatusUnauthorized)
}

// A sealed break-glass account sees what its person may see, and approves and releases nothing.
func TestSealedAccountApprovesNothing(t *testing.T) {
	l := loginSQLite(t)
	record := l.plan(l.people.planner)
	trip := l.trip(sapporo, 400, l.people.planner)
	sealed := l.login(l.people.approver, func(o *session.Opening) {
		o.Method, o.Assurance, o.AMR = identity.MethodBreakGlass, policies.AssuranceSingle, []string{"pwd"}
	})
	for _, c := range []struct{ page, path, seen string }{
		{"/plans/" + record.Hash, "/plans/" + record.Hash + "/approve", planSeen(record)},
		{"/breakers/" + trip.ID, "/breakers/" + trip.ID + "/release", tripSeen(trip)},
	} {
		a := sealed.get(c.page)
		wantText(t, a, http.StatusOK, "封印された非常用アカウント")
		if strings.Contains(a.body, `action="`+c.path+`"`) || strings.Contains(a.body, "本人確認をする") {
			t.Errorf("%s is offered", c.path)
		}
		fields := url.Values{"seen": {c.seen}, "why": {"緊急"}, "token": {l.console.tokenOf(sealed.request(), c.path, c.seen)}}
		wantText(t, sealed.post(c.path, fields), http.StatusForbidden, "封印された非常用アカウント")
	}
	if got := l.state(record.Hash); got != provision.PlanMade {
		t.Errorf("state %s", got)
	}
}

func TestBreakerTakesAFreshProof(t *testing.T) {
	l := loginSQLite(t)
	trip := l.trip(sapporo, 400, l.people.planner)
	page := "/breakers/" + trip.ID
	b := l.login(l.people.approver)
	form := with(formIn(t, b.get(page), page+"/release"), "why", "確かめた")
	l.later(b)
	if a := b.get(page); strings.Contains(a.body, "/release") || !strings.Contains(a.body, "本人確認をする") {
		t.Error("an old proof is offered to release")
	}
	wantText(t, b.post(page+"/release", form), http.StatusForbidden, "本人確認をする")
	l.prove(b, l.people.approver)
	form = with(formIn(t, b.get(page), page+"/release"), "why", "確かめた")
	if a := b.post(page+"/release", form); a.status != http.StatusSeeOther {
		t.Errorf("%d %s", a.status, a.body)
	}
	if n := l.actions("breaker.release"); n != 1 {
		t.Errorf("%d releases", n)
	}
	// Where signin says what is fresh, it decides.
	l.console.cfg.Login.Fresh = func(*http.Request) bool { return false }
	trip = l.trip(aomori, 400, l.people.planner)
	if a := b.get("/breakers/" + trip.ID); !strings.Contains(a.body, "本人確認をする") {
		t.Error("Fresh isn't asked")
	}
}

// The number on a page of refusal leads an administrator to its record.
func TestRefusedPageLeadsToItsRecord(t *testing.T) {
	migrated.Each(t, func(t *testing.T, db *sqldb.DB) {
		l := newLoginHub(t, db)
		town, admin := l.login(l.people.sapporoStaff), l.login(l.people.planner)
		for _, path := range []string{"/quarantine", "/records", "/logouts", "/people/" + string(l.people.sapporoAdmin.ID)} {
			a := town.get(path)
			wantText(t, a, http.StatusForbidden, "見る権限がありません", "この番号を伝えてください", "札幌職員 次郎") // who is refused sees as whom
			number := firstMatch(a.body, `class="incident">([^<]*)<`)
			rows, err := audit.Find(t.Context(), db.Reader(), everywhereFor(t, l, policies.ActionAuditRead), audit.Filter{ID: number})
			if err != nil || len(rows) != 1 || rows[0].Actor != string(l.people.sapporoStaff.ID) || rows[0].Detail["session"] == nil {
				t.Fatalf("%s: %q: %+v, %v", path, number, rows, err)
			}
			wantText(t, admin.get("/records?number="+strings.ToLower(number)), http.StatusOK, number, "札幌職員 次郎", "拒否", rows[0].Action)
			session, _ := rows[0].Detail["session"].(string)
			wantText(t, admin.get("/records?number="+session), http.StatusOK, "session.open")
		}
		wantText(t, admin.get("/records?number=nothing"), http.StatusOK, "この番号の記録はありません")
		wantText(t, admin.get("/records?number="+strings.Repeat("1", 101)), http.StatusBadRequest)
		wantText(t, admin.get("/records?number=%00"), http.StatusBadRequest)
		wantText(t, admin.get("/records?number=%FF"), http.StatusBadRequest)
	})
}

func everywhereFor(t *testing.T, l *loginHub, action policies.Action) policies.Scope {
	t.Helper()
	return l.scope(l.people.planner, action, policies.Context{})
}
