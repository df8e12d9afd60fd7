package console

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/connectors"
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/directory"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/jobs"
	"github.com/musubi-hub/musubi/sync/provision"
)

func TestOverview(t *testing.T) {
	migrated.Each(t, func(t *testing.T, db *sqldb.DB) {
		h := newHub(t, db, func(c *Config) { c.Notice = "流量枠は実演用に 100 倍です" })
		people := h.country()
		h.account(people.sapporoStaff, policies.ProductJira, policies.SeatPortalCustomer)
		record := h.plan(people.planner)
		h.org("01130012", policies.KindInsurer, "例示健康保険組合", "", "")
		h.org("7700150000012", policies.KindContractor, "例示システム株式会社", "", "")
		a := h.open(people.planner).get("/")
		wantText(t, a, http.StatusOK,
			"流量枠は実演用に 100 倍です", "都道府県", "市区町村", "関連府省庁", "ほかに行政区 1", "職員 (在職)",
			`href="/orgs?kind=prefecture"`, "確認済み", "日本国内", "登録あり", "中継でつながる", "<code>jira.post</code> 毎秒 100 回 (連続 100 回)",
			`href="http://127.0.0.1:8090/jira/"`, `href="/plans/`+record.Hash+`"`, "承認待ち",
			"musubi approve "+record.Hash[:12]+" --as FILE", "2026年10月5日 10:30 JST",
			`<progress max="4" value="1"`, "1 / 4")
		for tile, want := range map[string]string{"prefecture": "2", "municipality": "1", "ministry": "1"} {
			if got := firstMatch(a.body, `kind=`+tile+`">[^/]*</a>.*\s*<p class="tile-count">([^<]*)</p>`); got != want {
				t.Errorf("%s: %q, want %s", tile, got, want)
			}
		}
		if got := firstMatch(a.body, `その他の機関・事業者.*\s*<p class="tile-count">([^<]*)</p>`); got != "2" {
			t.Errorf("other bodies: %q", got)
		}
		if got := firstMatch(a.body, `職員 \(在職\).*\s*<p class="tile-count">([^<]*)</p>`); got != "7" {
			t.Errorf("people: %q", got)
		}
	})
}

func firstMatch(text, pattern string) string {
	m := regexp.MustCompile(pattern).FindStringSubmatch(text)
	if m == nil {
		return "no match"
	}
	return m[1]
}

func TestEmptyStates(t *testing.T) {
	h := newHub(t, migrated.Open(t, sqldb.SQLite), func(c *Config) { c.Connectors, c.ProductLinks = nil, nil })
	h.org(agency, policies.KindAgency, "デジタル庁", "", "")
	admin := h.person(agency, policies.RoleSystemAdministrator, "計画", "一郎")
	b := h.open(admin)
	a := b.get("/")
	wantText(t, a, http.StatusOK, "musubi import orgs FILE", "まだ計画がありません", "接続が設定されていません", "接続されていません")
	if strings.Contains(a.body, "製品の画面を開く") {
		t.Error("a link to nowhere")
	}
	h.org(aomori, policies.KindPrefecture, "青森県", "", "")
	wantText(t, b.get("/"), http.StatusOK, "musubi import people FILE", "musubi plan --as FILE")
	wantText(t, b.get("/orgs/"+string(aomori)), http.StatusOK, "まだ職員が登録されていません")
	wantText(t, b.get("/orgs?q=nowhere"), http.StatusOK, "条件に合う組織がありません")
	wantText(t, b.get("/orgs/"+string(agency)+"?q=nobody"), http.StatusOK, "条件に合う職員がいません")
	h.person(aomori, policies.RoleGeneral, "青森", "四郎")
	if a := b.get("/"); strings.Contains(a.body, "musubi import") || !strings.Contains(a.body, "musubi plan --as FILE") {
		t.Error("the next step isn't the plan")
	}
}

// The steps follow the newest plan to its end.
func TestNextSteps(t *testing.T) {
	h := sqliteHub(t)
	people := h.country()
	record := h.plan(people.planner)
	scope := h.scope(people.approver, policies.ActionPlanApprove, policies.Context{PlanMaker: people.planner.ID})
	if _, err := h.prov.Approve(t.Context(), scope, record.Hash); err != nil {
		t.Fatal(err)
	}
	wantText(t, h.open(people.planner).get("/"), http.StatusOK, "musubi apply "+record.Hash[:12], "承認済み")
	h.clock.forward(25 * time.Hour)
	wantText(t, h.open(people.planner).get("/"), http.StatusOK, "musubi approve "+record.Hash[:12], "承認の期限切れ")
}

// href finds links and the forms that only look; what changes something isn't tried by walking about.
var href = regexp.MustCompile(`(?:href|method="get" action)="(/[^"]*)"`)

// walk opens every page that can be reached, with the cookie of one person.
func (b *browser) walk() map[string]answer {
	b.h.t.Helper()
	seen := map[string]answer{}
	queue := []string{"/", "/orgs"}
	for len(queue) > 0 {
		path := queue[0]
		queue = queue[1:]
		if _, ok := seen[path]; ok || path == "/logout" {
			continue
		}
		if len(seen) > 500 {
			b.h.t.Fatal("the pages never end")
		}
		a := b.get(path)
		seen[path] = a
		if strings.HasPrefix(path, "/assets/") {
			continue
		}
		for _, m := range href.FindAllStringSubmatch(a.body, -1) {
			next, _, _ := strings.Cut(strings.ReplaceAll(m[1], "&amp;", "&"), "#")
			queue = append(queue, next)
		}
	}
	return seen
}

func TestScope(t *testing.T) {
	migrated.Each(t, func(t *testing.T, db *sqldb.DB) {
		h := newHub(t, db, nil)
		people := h.country()
		for _, p := range []identity.Person{people.sapporoStaff, people.sapporoAdmin, people.aomoriStaff} {
			h.account(p, policies.ProductJira, policies.SeatPortalCustomer)
		}
		record := h.plan(people.planner)
		all := []identity.Person{
			people.planner, people.approver, people.sapporoAdmin, people.sapporoStaff, people.aomoriAdmin, people.aomoriStaff, people.official,
		}
		for _, c := range []struct {
			who  identity.Person
			sees []identity.Person
		}{
			{people.planner, all},
			{people.sapporoAdmin, []identity.Person{people.sapporoAdmin, people.sapporoStaff}},
			{people.aomoriAdmin, []identity.Person{people.aomoriAdmin, people.aomoriStaff}},
			{people.sapporoStaff, nil},
			{people.official, nil},
		} {
			b := h.open(c.who)
			pages := b.walk()
			// What isn't linked may still be asked for.
			for _, path := range []string{"/orgs/" + string(sapporo), "/orgs/" + string(aomori), "/orgs/" + string(agency), "/orgs/" + string(aomori) + "?q=S0", "/plans/" + record.Hash} {
				pages[path] = b.get(path)
			}
			for _, p := range all {
				wanted := slices.ContainsFunc(c.sees, func(q identity.Person) bool { return q.ID == p.ID })
				found := false
				for path, a := range pages {
					own := p.ID == c.who.ID && strings.Contains(a.body, `class="visitor-name"`)
					if strings.Contains(a.body, p.Email) || (!own && strings.Contains(a.body, p.DisplayName())) {
						found = true
						if !wanted {
							t.Errorf("%s sees %s at %s", c.who.DisplayName(), p.DisplayName(), path)
						}
					}
				}
				if wanted && !found {
					t.Errorf("%s doesn't find %s", c.who.DisplayName(), p.DisplayName())
				}
			}
			plan := pages["/plans/"+record.Hash]
			if want := map[bool]int{true: 200, false: 403}[len(c.sees) > 0]; plan.status != want {
				t.Errorf("%s at the plan: %d", c.who.DisplayName(), plan.status)
			}
			if linked := strings.Contains(pages["/"].body, record.Hash[:12]); linked != (len(c.sees) > 0) {
				t.Errorf("%s is shown the plan: %t", c.who.DisplayName(), linked)
			}
			if c.who.ID != people.planner.ID && plan.status == http.StatusOK {
				for _, o := range []policies.OrgID{sapporo, aomori, ministry} {
					if o != c.who.Org && strings.Contains(plan.body, string(o)) {
						t.Errorf("%s sees what the plan does to %s", c.who.DisplayName(), o)
					}
				}
			}
			for path, a := range pages {
				if a.status != http.StatusOK && path != "/plans/"+record.Hash {
					t.Errorf("%s at %s: %d", c.who.DisplayName(), path, a.status)
				}
			}
		}
		// Numbers stay inside the scope too: two seats in Sapporo, three in the country.
		for who, want := range map[identity.Person]string{people.sapporoAdmin: "2", people.aomoriAdmin: "1", people.planner: "3"} {
			a := h.open(who).get("/")
			_, jira, _ := strings.Cut(a.body, "<h3>Jira Service Management")
			if got := firstMatch(jira, `Confirmed active</span></dt><dd>([^<]*)</dd>`); got != want {
				t.Errorf("%s counts %s seats, want %s", who.DisplayName(), got, want)
			}
		}
		row := firstMatch(h.open(people.sapporoAdmin).get("/orgs?q=青森").body, `(?s)あおもりけん(.*?)</tr>`)
		if strings.Count(row, `<td class="n">—</td>`) != 1+len(policies.Products()) {
			t.Errorf("a neighbour's numbers are shown: %s", row)
		}
	})
}

// A page that leaves out what its reader may not see leaves no refusal in the audit log; an address that was asked for in vain does.
func TestRefusalsInTheAuditLog(t *testing.T) {
	h := sqliteHub(t)
	people := h.country()
	record := h.plan(people.planner)
	refused := func() (list []string) {
		t.Helper()
		rows, err := audit.Find(t.Context(), h.db.Reader(), policies.System(policies.TaskTest), audit.Filter{})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			if r.Outcome == audit.Refused {
				list = append(list, r.Actor+" "+r.Action)
			}
		}
		return list
	}
	b := h.open(people.sapporoStaff) // reads organizations and nothing else
	for _, path := range []string{"/", "/orgs", "/orgs/" + string(sapporo)} {
		wantText(t, b.get(path), http.StatusOK)
	}
	if got := refused(); got != nil {
		t.Errorf("looking at pages was recorded as %v", got)
	}
	wantText(t, b.get("/plans/"+record.Hash), http.StatusForbidden)
	if got, want := refused(), []string{string(people.sapporoStaff.ID) + " plan.read"}; !slices.Equal(got, want) {
		t.Errorf("refusals %v, want %v", got, want)
	}
}

// A caretaker sees the people of the organization taken care of, as long as the appointment lasts, and nobody else's.
func TestCaretaker(t *testing.T) {
	h := sqliteHub(t)
	people := h.country()
	if _, err := h.db.Writer().ExecContext(t.Context(), "INSERT INTO appointment (org, kind, person, valid_from, valid_until) VALUES ($1, 'caretaker', $2, 1, $3)",
		string(aomori), string(people.sapporoAdmin.ID), h.clock.now().Add(time.Hour).UnixMicro()); err != nil {
		t.Fatal(err)
	}
	b := h.open(people.sapporoAdmin)
	wantText(t, b.get("/"), http.StatusOK, "権限のある 2 組織のみ", "席の数は権限のある 2 組織の分です", "Seats are those of 2 organizations.")
	wantText(t, b.get("/orgs/"+string(aomori)), http.StatusOK, people.aomoriStaff.DisplayName())
	if strings.Contains(b.get("/orgs/"+string(ministry)).body, people.official.DisplayName()) {
		t.Error("a caretaker of one organization sees the people of another")
	}
	h.clock.forward(30 * time.Minute)
	wantText(t, b.get("/orgs"), http.StatusOK)
	h.clock.forward(30 * time.Minute)
	if a := b.get("/orgs/" + string(aomori)); a.status != http.StatusOK || strings.Contains(a.body, people.aomoriStaff.DisplayName()) {
		t.Errorf("%d: a caretaker no more sees their people", a.status)
	}
	wantText(t, b.get("/"), http.StatusOK, "席の数は札幌市の分です", "Seats are those of your organization.")
}

func TestOrganizationsAndPeople(t *testing.T) {
	migrated.Each(t, func(t *testing.T, db *sqldb.DB) {
		h := newHub(t, db, nil)
		people := h.country()
		h.account(people.sapporoStaff, policies.ProductJira, policies.SeatPortalCustomer)
		h.account(people.sapporoAdmin, policies.ProductJira, policies.SeatPortalCustomer)
		if err := h.dir.EndPerson(t.Context(), everywhere, people.sapporoStaff.ID, directory.Author{Source: "test"}); err != nil {
			t.Fatal(err)
		}
		b := h.open(people.planner)
		a := b.get("/orgs/" + string(sapporo))
		wantText(t, a, http.StatusOK, "札幌市", "さっぽろし", "全国地方公共団体コード", "011002", `href="/orgs/`+string(hokkaido)+`"`,
			"札幌市 中央区", "管理ユーザ", people.sapporoAdmin.StaffNumber, people.sapporoAdmin.Email, "ポータル利用者", "利用中", "在職終了", "終了処理中")
		wantText(t, b.get("/orgs/"+string(chuo)), http.StatusOK, "行政区に職員は登録しません")
		wantText(t, b.get("/orgs/"+string(ministry)), http.StatusOK, "法人番号")
		wantText(t, b.get("/orgs/"+string(hokkaido)), http.StatusOK, `href="/orgs?kind=municipality&amp;q=01"`)
		for query, want := range map[string]string{"?q=さっぽろし&kind=municipality": "011002", "?q=0110": "011011", "?q=札幌": "011002", "?kind=ministry": "総務省"} {
			wantText(t, b.get("/orgs"+query), http.StatusOK, want)
		}
		if a := b.get("/orgs?kind=ministry"); strings.Contains(a.body, "青森県") {
			t.Error("the kind isn't asked for")
		}
	})
}

// An organization as it is: contacts, dates, state, who serves it, and where its people sit.
func TestOrganizationInFull(t *testing.T) {
	h := sqliteHub(t)
	people := h.country()
	const insurer, contractor = policies.OrgID("01130012"), policies.OrgID("7700150000012")
	h.org(insurer, policies.KindInsurer, "例示健康保険組合", "れいじけんこうほけんくみあい", "")
	h.org(contractor, policies.KindContractor, "例示システム株式会社", "れいじしすてむ", "")
	by := directory.Author{Source: "test"}
	_, err := h.dir.EditOrganization(t.Context(), everywhere, sapporo, by, func(o *identity.Organization) error {
		o.State, o.Until, o.Successor = identity.OnboardingLive, h.clock.now().AddDate(1, 0, 0).UnixMicro(), hokkaido
		o.Duty, o.Night = identity.Contact{Name: "総務課", Phone: "011-000-0000"}, identity.Contact{Email: "yakan@n011002.example.lg.jp"}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = h.dir.EditPerson(t.Context(), everywhere, people.sapporoStaff.ID, by, func(p *identity.Person) error {
		p.Section, p.Title, p.Extension, p.AbsentFrom = "情報政策課", "主査", "1234", 1
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []identity.Service{
		{Contractor: contractor, Org: sapporo, From: h.clock.now().UnixMicro()},
		{Contractor: contractor, Org: aomori, From: 1, Until: 2},
	} {
		if err := h.dir.AddService(t.Context(), everywhere, v, by); err != nil {
			t.Fatal(err)
		}
	}
	b := h.open(people.planner)
	a := b.get("/orgs/" + string(sapporo))
	wantText(t, a, http.StatusOK, "利用中", "総務課", "011-000-0000", "yakan@n011002.example.lg.jp", "例示システム株式会社", "情報政策課", "主査", "内線 1234", "不在", "後継")
	if strings.Contains(a.body, "廃止済み") {
		t.Error("it hasn't ceased yet")
	}
	wantText(t, b.get("/orgs/"+string(contractor)), http.StatusOK, "委託元", "札幌市", "青森県", "事業者")
	wantText(t, b.get("/orgs/"+string(insurer)), http.StatusOK, "保険者番号", "医療保険者")
	h.clock.forward(366 * 24 * time.Hour)
	wantText(t, h.open(people.planner).get("/orgs/"+string(sapporo)), http.StatusOK, "廃止済み")
}

func TestPaging(t *testing.T) {
	h := sqliteHub(t)
	people := h.country()
	for n := range 120 {
		h.person(aomori, policies.RoleGeneral, fmt.Sprintf("頁%03d", n), "人")
	}
	b := h.open(people.planner)
	found := map[string]int{}
	path, pages := "/orgs/"+string(aomori)+"?q=%E9%A0%81", 0 // 頁
	for path != "" {
		a := b.get(path)
		pages++
		for _, m := range regexp.MustCompile(`頁\d{3} 人`).FindAllString(a.body, -1) {
			found[m]++
		}
		path = ""
		if m := regexp.MustCompile(`href="([^"]*after=[^"]*)"`).FindStringSubmatch(a.body); m != nil {
			path = strings.ReplaceAll(m[1], "&amp;", "&")
		}
		if pages > 10 {
			t.Fatal("the list never ends")
		}
	}
	if pages != 3 || len(found) != 120 {
		t.Errorf("%d pages, %d people", pages, len(found))
	}
	for name, n := range found {
		if n != 1 {
			t.Errorf("%s is shown %d times", name, n)
		}
	}
}

// Names that want to be markup stay text, wherever they are shown.
func TestHostileNames(t *testing.T) {
	const hostile = `<script>alert('x')</script>"><b onmouseover=a>`
	h := newHub(t, migrated.Open(t, sqldb.SQLite), func(c *Config) {
		c.Notice = hostile
		d := c.Connectors[policies.ProductJira]
		d.DataRegion, d.ISMAP, d.Limits.Budgets = hostile, hostile, []connectors.Budget{{Class: hostile, Rate: 1, Burst: 1}}
		c.Connectors[policies.ProductJira] = d
	})
	people := h.country()
	for _, change := range []string{
		"UPDATE org SET name = $1, kana = $1 WHERE id = '" + string(sapporo) + "'",
		"UPDATE person SET family_name = $1, given_name = $1, family_kana = $1, staff_number = $1, email = $1 WHERE id = '" + string(people.sapporoStaff.ID) + "'",
		"UPDATE person SET family_name = $1 WHERE id = '" + string(people.planner.ID) + "'",
	} {
		if _, err := h.db.Writer().ExecContext(t.Context(), change, hostile); err != nil {
			t.Fatal(err)
		}
	}
	h.plan(people.planner)
	b := h.open(people.planner)
	pages := b.walk()
	pages["search"] = b.get("/orgs?q=" + "%22%3E%3Cscript%3Ealert(1)%3C/script%3E")
	shown := 0
	for path, a := range pages {
		if strings.HasPrefix(path, "/assets/") {
			continue
		}
		if strings.Contains(a.body, "<script") || strings.Contains(a.body, "<b onmouseover") {
			t.Errorf("%s: markup gets through", path)
		}
		shown += strings.Count(a.body, "&lt;script&gt;")
	}
	if shown < 10 {
		t.Errorf("the names are shown %d times: the test shows nothing", shown)
	}
}

// product is a small SaaS that refuses one address.
type product struct {
	mu     sync.Mutex
	facts  connectors.Description
	next   int
	refuse string
}

func (p *product) id() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next++
	return fmt.Sprintf("%s-%d", p.facts.Name, p.next)
}

func (p *product) Describe() connectors.Description { return p.facts }

func (p *product) FindAccount(context.Context, connectors.Account) (connectors.Account, error) {
	return connectors.Account{}, &connectors.Error{Kind: connectors.KindNotFound, Vendor: p.facts.Name, Op: "find account"}
}

func (p *product) ListAccounts(context.Context, func([]connectors.Account) error) error {
	return errors.New("not asked for")
}

func (p *product) CreateAccount(_ context.Context, want connectors.Account) (connectors.Account, error) {
	if want.Email == p.refuse {
		return connectors.Account{}, &connectors.Error{Kind: connectors.KindInvalid, Vendor: p.facts.Name, Op: "create account", Status: 400, Detail: "the e-mail domain isn't verified"}
	}
	want.ID = p.id()
	return want, nil
}

func (p *product) UpdateAccount(_ context.Context, want connectors.Account) (connectors.Account, error) {
	return want, nil
}
func (p *product) DisableAccount(context.Context, string) error { return nil }

func (p *product) FindGroup(context.Context, string) (connectors.Group, error) {
	return connectors.Group{}, &connectors.Error{Kind: connectors.KindNotFound, Vendor: p.facts.Name, Op: "find group"}
}

func (p *product) ListGroups(context.Context, func([]connectors.Group) error) error {
	return errors.New("not asked for")
}

func (p *product) ListMembers(context.Context, string, func([]string) error) error {
	return errors.New("not asked for")
}

func (p *product) CreateGuest(ctx context.Context, want connectors.Account, _ time.Time) (connectors.Account, error) {
	return p.CreateAccount(ctx, want)
}
func (p *product) SetGuestExpiry(context.Context, string, time.Time) error  { return nil }
func (p *product) SetGuest(context.Context, string, connectors.Guest) error { return nil }
func (p *product) ReadGuest(context.Context, string) (connectors.Guest, error) {
	return connectors.Guest{}, nil
}

func (p *product) CreateGroup(_ context.Context, want connectors.Group) (connectors.Group, error) {
	want.ID = p.id()
	return want, nil
}
func (p *product) AddMembers(context.Context, string, []string) error    { return nil }
func (p *product) RemoveMembers(context.Context, string, []string) error { return nil }

// apply approves and applies the plan with the real engine, against products that refuse one address each.
func (h *hub) apply(people cast, record provision.PlanRecord, refuse map[policies.Product]string) {
	t := h.t
	t.Helper()
	if err := jobs.Migrate(t.Context(), h.db); err != nil {
		t.Fatal(err)
	}
	open := map[policies.Product]connectors.Opened{}
	for _, p := range policies.Products() {
		catalog, err := connectors.NewCatalog(&product{facts: h.console.cfg.Connectors[p].Description, refuse: refuse[p]})
		if err != nil {
			t.Fatal(err)
		}
		if open[p], err = catalog.Open(string(p)); err != nil {
			t.Fatal(err)
		}
	}
	workers := jobs.NewWorkers()
	provision.NewRunner(workers, h.prov, provision.NewPlanner(h.prov, h.dir, h.engine), open, h.console.cfg.Logger)
	client, err := jobs.New(jobs.Config{DB: h.db, Workers: workers, NodeID: "test", Queues: provision.Queues()})
	if err != nil {
		t.Fatal(err)
	}
	h.prov.Bind(client)
	approve := h.scope(people.approver, policies.ActionPlanApprove, policies.Context{PlanMaker: people.planner.ID})
	if _, err := h.prov.Approve(t.Context(), approve, record.Hash); err != nil {
		t.Fatal(err)
	}
	scope := h.scope(people.planner, policies.ActionPlanApply, policies.Context{})
	approved, err := h.prov.Approved(t.Context(), scope, record.Hash)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.prov.Apply(t.Context(), scope, approved); err != nil {
		t.Fatal(err)
	}
	if err := client.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := client.Stop(ctx); err != nil {
			t.Error(err)
		}
	}()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		r, err := h.prov.Record(t.Context(), scope, record.Hash)
		if err != nil {
			t.Fatal(err)
		}
		if r.State == provision.PlanDone {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the plan is still %s", r.State)
		}
	}
}

func TestPlanThatWasApplied(t *testing.T) {
	h := sqliteHub(t)
	people := h.country()
	record := h.plan(people.planner)
	h.apply(people, record, map[policies.Product]string{policies.ProductJira: people.aomoriStaff.Email})
	b := h.open(people.approver)
	a := b.get("/plans/" + record.Hash)
	wantText(t, a, http.StatusOK, "計画 一郎", "承認 花子", "完了", "要対応あり", "the e-mail domain isn&#39;t verified",
		"SaaS がこのアカウントを受け付けませんでした", "青森職員 四郎", `href="/orgs/`+string(aomori)+`"`, record.Hash, h.engine.Hash())
	if got := firstMatch(a.body, `(?s)id="troubles".*<tbody>.*?class="badge badge-error">([^<]*)`); got != "要対応" {
		t.Errorf("the trouble is marked %q", got)
	}
	overview := b.get("/")
	wantText(t, overview, http.StatusOK, "要確認", "待ちはありません", "完了")
	if strings.Contains(overview.body, "musubi approve") {
		t.Error("a finished plan is asked to be approved")
	}
	wantText(t, b.get("/orgs/"+string(sapporo)), http.StatusOK, "利用中")
}

// A plan whose document was changed says so, and its page and the overview still stand.
func TestPlanWithAChangedDocument(t *testing.T) {
	h := sqliteHub(t)
	people := h.country()
	record := h.plan(people.planner)
	if _, err := h.db.Writer().ExecContext(t.Context(), "UPDATE provision_plan SET document = $1", []byte("nonsense")); err != nil {
		t.Fatal(err)
	}
	b := h.open(people.planner)
	wantText(t, b.get("/plans/"+record.Hash), http.StatusOK, "保存された計画の文書を読めません")
	wantText(t, b.get("/"), http.StatusOK, "承認待ち")
}

func TestNumbersAndTimes(t *testing.T) {
	for n, want := range map[int]string{0: "0", 7: "7", 999: "999", 1000: "1,000", 53640: "53,640", 1234567: "1,234,567", -1234: "-1,234"} {
		if got := num(n); got != want {
			t.Errorf("%d: %s", n, got)
		}
	}
	for r, want := range map[float64]string{100: "100", 5000: "5,000", 5: "5", 0.5: "0.5", 12.6: "13"} {
		if got := rate(r); got != want {
			t.Errorf("%v: %s", r, got)
		}
	}
	for b, want := range map[bar]int{{Done: 0, Total: 0}: 0, {Done: 999, Total: 1000}: 99, {Done: 5, Total: 5}: 100, {Done: 7, Total: 5}: 100} {
		if got := b.Percent(); got != want {
			t.Errorf("%+v: %d", b, got)
		}
	}
	if text, err := moment(time.Date(2026, 12, 31, 15, 4, 0, 0, time.UTC)); err != nil || text != "2027年1月1日 00:04 JST" {
		t.Error(text, err)
	}
	if text, err := moment(int64(0)); err != nil || text != "—" {
		t.Error(text, err)
	}
	if _, err := moment("yesterday"); err == nil {
		t.Error("no time is shown as one")
	}
}

// The seats of named people stay inside the scope that asks.
func TestSeatsOfPeople(t *testing.T) {
	migrated.Each(t, func(t *testing.T, db *sqldb.DB) {
		h := newHub(t, db, nil)
		people := h.country()
		for _, p := range []identity.Person{people.sapporoStaff, people.aomoriStaff} {
			h.account(p, policies.ProductJira, policies.SeatPortalCustomer)
		}
		ids := []policies.PersonID{people.sapporoStaff.ID, people.aomoriStaff.ID, people.planner.ID}
		for who, want := range map[identity.Person]int{people.planner: 2, people.sapporoAdmin: 1, people.aomoriAdmin: 1} {
			seats, err := h.prov.SeatsOfPeople(t.Context(), h.scope(who, policies.ActionPeopleRead, policies.Context{}), ids)
			if err != nil || len(seats) != want {
				t.Errorf("%s: %v, %v", who.DisplayName(), seats, err)
			}
		}
		for name, scope := range map[string]policies.Scope{
			"no scope":      {},
			"another right": h.scope(people.planner, policies.ActionPlanRead, policies.Context{}),
		} {
			if seats, err := h.prov.SeatsOfPeople(t.Context(), scope, ids); !errors.Is(err, identity.ErrRefused) || seats != nil {
				t.Errorf("%s: %v, %v", name, seats, err)
			}
		}
		whole := h.scope(people.planner, policies.ActionPeopleRead, policies.Context{})
		if seats, err := h.prov.SeatsOfPeople(t.Context(), whole, nil); err != nil || len(seats) != 0 {
			t.Error(seats, err)
		}
		if _, err := h.prov.SeatsOfPeople(t.Context(), whole, make([]policies.PersonID, 1001)); err == nil {
			t.Error("an endless question is answered")
		}
	})
}
