package console

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/directory"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/provision"
)

// post sends a form as a browser does.
func (b *browser) post(path string, fields url.Values, change ...func(*http.Request)) answer {
	b.h.t.Helper()
	return b.do(http.MethodPost, path, func(r *http.Request) {
		body := strings.NewReader(fields.Encode())
		r.Body, r.ContentLength = http.NoBody, int64(body.Len())
		r.Body = readCloser{body}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		for _, c := range change {
			c(r)
		}
	})
}

type readCloser struct{ *strings.Reader }

func (readCloser) Close() error { return nil }

var hidden = regexp.MustCompile(`<input type="(?:hidden|checkbox)"(?: id="[a-z]*")? name="([a-z]+)" value="([^"]*)"`)

// formIn gives the fields of a page's form as they would be sent with every box ticked.
func formIn(t *testing.T, a answer, path string) url.Values {
	t.Helper()
	_, after, ok := strings.Cut(a.body, `<form method="post" action="`+path+`"`)
	if !ok {
		t.Fatalf("the page has no form for %s:\n%s", path, a.body)
	}
	body, _, _ := strings.Cut(after, "</form>")
	fields := url.Values{}
	for _, m := range hidden.FindAllStringSubmatch(body, -1) {
		fields.Set(m[1], m[2])
	}
	return fields
}

// totals sums the plan's totals over the products.
func (h *hub) totals(hash string) (sum provision.Total) {
	h.t.Helper()
	p, err := h.prov.Load(h.t.Context(), everywhere, hash)
	if err != nil {
		h.t.Fatal(err)
	}
	for _, t := range p.Totals {
		sum.Groups, sum.Created, sum.MembersAdded = sum.Groups+t.Groups, sum.Created+t.Created, sum.MembersAdded+t.MembersAdded
	}
	return sum
}

func (h *hub) state(hash string) provision.PlanState {
	h.t.Helper()
	r, err := h.prov.Record(h.t.Context(), everywhere, hash)
	if err != nil {
		h.t.Fatal(err)
	}
	return r.State
}

// A plan's way on the pages: made, read, approved by another person, applied, stopped.
func TestPlanOnThePages(t *testing.T) {
	migrated.Each(t, func(t *testing.T, db *sqldb.DB) {
		h := newHub(t, db, func(c *Config) {})
		h.console.cfg.Planner = provision.NewPlanner(h.prov, h.dir, h.engine)
		people := h.country()
		planner, approver := h.open(people.planner), h.open(people.approver)

		made := planner.post("/plans", formIn(t, planner.get("/"), "/plans"))
		if made.status != http.StatusSeeOther || !strings.HasPrefix(made.header.Get("Location"), "/plans/") {
			t.Fatalf("make: %d %s", made.status, made.body)
		}
		page := made.header.Get("Location")
		hash := strings.TrimPrefix(page, "/plans/")
		a := planner.get(page)
		wantText(t, a, http.StatusOK, "承認待ち", "作った人とは別のシステム管理者", people.sapporoStaff.DisplayName(), people.sapporoStaff.Email, "local-staff-portal-jira", "アカウント作成", "札幌市")
		if strings.Contains(a.body, page+"/approve") {
			t.Error("who made the plan is offered to approve it")
		}
		a = approver.get(page)
		wantText(t, a, http.StatusOK, "24 時間有効", fmt.Sprintf("アカウントを得る人 <strong>%d</strong>", h.totals(hash).Created))
		approve := formIn(t, a, page+"/approve")
		if a := approver.post(page+"/approve", approve); a.status != http.StatusSeeOther || a.header.Get("Location") != page {
			t.Fatalf("approve: %d %s", a.status, a.body)
		}
		if got := h.state(hash); got != provision.PlanApproved {
			t.Fatalf("state %s", got)
		}
		h.clock.forward(time.Minute)
		before, err := h.prov.Record(t.Context(), everywhere, hash)
		if err != nil {
			t.Fatal(err)
		}
		wantText(t, approver.post(page+"/approve", approve), http.StatusConflict, "状態が変わりました", `href="`+page+`"`)
		if after, err := h.prov.Record(t.Context(), everywhere, hash); err != nil || after != before {
			t.Errorf("the repeated approval renewed it: %+v, %v", after, err)
		}
		apply := formIn(t, planner.get(page), page+"/apply")
		if a := planner.post(page+"/apply", apply); a.status != http.StatusSeeOther || a.header.Get("Location") != page+"/progress" {
			t.Fatalf("apply: %d %s", a.status, a.body)
		}
		if got := h.state(hash); got != provision.PlanStaging {
			t.Fatalf("state %s", got)
		}
		wantText(t, planner.post(page+"/apply", apply), http.StatusConflict)
		a = planner.get(page + "/progress")
		wantText(t, a, http.StatusOK, "適用の準備中", "自動更新を止める", `href="`+page+`/progress?pause=1"`)
		if got := a.header.Get("Refresh"); got != "2" {
			t.Errorf("Refresh %q", got)
		}
		a = planner.get(page + "/progress?pause=1")
		wantText(t, a, http.StatusOK, "自動更新を再開する")
		if got := a.header.Get("Refresh"); got != "" {
			t.Errorf("the stopped page loads itself again: %q", got)
		}
		if a := planner.post(page+"/stop", formIn(t, a, page+"/stop")); a.status != http.StatusSeeOther {
			t.Fatalf("stop: %d %s", a.status, a.body)
		}
		if got := h.state(hash); got != provision.PlanCancelled {
			t.Fatalf("state %s", got)
		}
		if got := planner.get(page + "/progress").header.Get("Refresh"); got != "" {
			t.Errorf("a plan that has ended keeps the page moving: %q", got)
		}
	})
}

// Nobody decides anything but by the form that the right person's page has, once, for that plan.
func TestForgedDecisions(t *testing.T) {
	h := sqliteHub(t)
	h.console.cfg.Planner = provision.NewPlanner(h.prov, h.dir, h.engine)
	people := h.country()
	record := h.plan(people.planner)
	page := "/plans/" + record.Hash
	approver, planner, town := h.open(people.approver), h.open(people.planner), h.open(people.sapporoAdmin)
	good := formIn(t, approver.get(page), page+"/approve")
	with := func(name, value string) url.Values {
		out := url.Values{}
		for k, v := range good {
			out[k] = slices.Clone(v)
		}
		out.Set(name, value)
		return out
	}
	own := func(b *browser, path, seen string) url.Values {
		return url.Values{"seen": {seen}, "token": {formToken(b.cookie, path, seen)}}
	}
	seen := good.Get("seen")
	h.org("7700150000012", policies.KindContractor, "例示システム株式会社", "", "")
	h.person("7700150000012", policies.RoleGeneral, "事業者", "六郎")
	other := h.plan(people.planner)
	for name, c := range map[string]struct {
		who    *browser
		path   string
		fields url.Values
		change func(*http.Request)
		status int
	}{
		"no token":                   {approver, page + "/approve", url.Values{"seen": {seen}}, nil, 403},
		"wrong token":                {approver, page + "/approve", with("token", strings.Repeat("A", 43)), nil, 403},
		"token of another state":     {approver, page + "/approve", with("seen", seen+" "), nil, 403},
		"of another path":            {approver, page + "/apply", good, nil, 403},
		"of another plan":            {approver, "/plans/" + other.Hash + "/approve", good, nil, 403},
		"another plan's state":       {approver, "/plans/" + other.Hash + "/approve", own(approver, "/plans/"+other.Hash+"/approve", seen), nil, 409},
		"of another session":         {planner, page + "/approve", good, nil, 403},
		"no session":                 {&browser{h: h}, page + "/approve", own(&browser{h: h}, page+"/approve", seen), nil, 401},
		"the maker":                  {planner, page + "/approve", own(planner, page+"/approve", seen), nil, 409},
		"a town's administrator":     {town, page + "/approve", own(town, page+"/approve", seen), nil, 403},
		"a town's, to apply":         {town, page + "/apply", own(town, page+"/apply", seen), nil, 403},
		"a town's, to stop":          {town, page + "/stop", own(town, page+"/stop", seen), nil, 403},
		"a town's, to make":          {town, "/plans", own(town, "/plans", "none"), nil, 403},
		"apply what isn't approved":  {planner, page + "/apply", own(planner, page+"/apply", seen), nil, 409},
		"stop what isn't running":    {planner, page + "/stop", own(planner, page+"/stop", seen), nil, 409},
		"unknown plan":               {approver, "/plans/" + strings.Repeat("0", 64) + "/approve", own(approver, "/plans/"+strings.Repeat("0", 64)+"/approve", seen), nil, 404},
		"the beginning of a hash":    {approver, page[:20] + "/approve", own(approver, page[:20]+"/approve", seen), nil, 404},
		"fields in the address":      {approver, page + "/approve?" + good.Encode(), url.Values{}, nil, 400},
		"fields and address":         {approver, page + "/approve?x=1", good, nil, 400},
		"a field twice":              {approver, page + "/approve", url.Values{"seen": {seen, seen}, "token": good["token"]}, nil, 400},
		"NUL":                        {approver, page + "/approve", with("why", "\x00"), nil, 400},
		"another type":               {approver, page + "/approve", good, func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }, 400},
		"JSON":                       {approver, page + "/approve", good, func(r *http.Request) { r.Header.Set("Content-Type", "application/json") }, 400},
		"no type":                    {approver, page + "/approve", good, func(r *http.Request) { r.Header.Del("Content-Type") }, 400},
		"too long":                   {approver, page + "/approve", with("why", strings.Repeat("a", maxForm)), nil, 400},
		"another site":               {approver, page + "/approve", good, func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }, 403},
		"another port, old browser":  {approver, page + "/approve", good, func(r *http.Request) { r.Header.Del("Sec-Fetch-Site"); r.Header.Set("Origin", "http://127.0.0.1:9") }, 403},
		"a foreign name of loopback": {approver, page + "/approve", good, func(r *http.Request) { r.Host = "rebound.example" }, 421},
		"GET":                        {approver, page + "/approve", good, func(r *http.Request) { r.Method = http.MethodGet }, 404},
		"PUT":                        {approver, page + "/approve", good, func(r *http.Request) { r.Method = http.MethodPut }, 405},
		"GET that makes a plan":      {planner, "/plans", url.Values{}, func(r *http.Request) { r.Method = http.MethodGet }, 404},
	} {
		visitor := &browser{h: h, cookie: c.who.cookie}
		change := c.change
		if change == nil {
			change = func(*http.Request) {}
		}
		if a := visitor.post(c.path, c.fields, change); a.status != c.status {
			t.Errorf("%s: %d, want %d:\n%s", name, a.status, c.status, a.body)
		}
		for _, hash := range []string{record.Hash, other.Hash} {
			if got := h.state(hash); got != provision.PlanMade {
				t.Fatalf("%s: the plan is %s", name, got)
			}
		}
	}
	// Who was refused by the policies attempted it.
	rows, err := audit.Find(t.Context(), h.db.Reader(), everywhere, audit.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	refused := map[string]int{}
	for _, r := range rows {
		if r.Outcome == audit.Refused {
			refused[r.Actor+" "+r.Action]++
		}
	}
	for who, want := range map[string]int{
		string(people.planner.ID) + " plan.approve": 1, string(people.sapporoAdmin.ID) + " plan.approve": 1,
		string(people.sapporoAdmin.ID) + " plan.apply": 2, string(people.sapporoAdmin.ID) + " plan.make": 1,
	} {
		if refused[who] != want {
			t.Errorf("%s was recorded as refused %d times, want %d: %v", who, refused[who], want, refused)
		}
	}
	// A new session makes the old one's forms void.
	if a := approver.do(http.MethodPost, "/logout", nil); a.status != http.StatusSeeOther {
		t.Fatal(a.status)
	}
	wantText(t, approver.post(page+"/approve", good), http.StatusUnauthorized)
	wantText(t, h.open(people.approver).post(page+"/approve", good), http.StatusForbidden, "このフォームは使えません")
	if got := h.state(record.Hash); got != provision.PlanMade {
		t.Fatal(got)
	}
}

// Who approves accounts away says how many.
func TestApprovingAccountsAway(t *testing.T) {
	h := sqliteHub(t)
	people := h.country()
	h.account(people.planner, policies.ProductAtlassian, policies.SeatLicensedMember) // administrators hold no seat
	record := h.plan(people.planner)
	page := "/plans/" + record.Hash
	approver := h.open(people.approver)
	a := approver.get(page)
	wantText(t, a, http.StatusOK, "1 件のアカウントが停止することを確認しました", "アカウント停止", "席を与える方針がない", "<del>利用中</del>", "<ins>停止</ins>")
	fields := formIn(t, a, page+"/approve")
	if fields.Get("lost") != "1" {
		t.Fatalf("fields %v", fields)
	}
	for _, lost := range []string{"", "0", "2", "on"} {
		fields.Set("lost", lost)
		wantText(t, approver.post(page+"/approve", fields), http.StatusConflict, "停止するアカウントの確認が要ります")
	}
	fields.Del("lost")
	wantText(t, approver.post(page+"/approve", fields), http.StatusConflict)
	if got := h.state(record.Hash); got != provision.PlanMade {
		t.Fatal(got)
	}
	fields.Set("lost", "1")
	if a := approver.post(page+"/approve", fields); a.status != http.StatusSeeOther {
		t.Fatalf("%d %s", a.status, a.body)
	}
	if got := h.state(record.Hash); got != provision.PlanApproved {
		t.Fatal(got)
	}
}

// A thousand changes: counted, grouped, by pages, each exactly once.
func TestThousandChanges(t *testing.T) {
	h := sqliteHub(t)
	people := h.country()
	const towns, each = 60, 20
	rows, report := directory.PeopleRows("people", func(yield func(identity.Person) bool) {
		for n := range towns {
			for i := range each {
				p := identity.Person{
					Org: townCode(n), StaffNumber: fmt.Sprintf("B%05d", i), FamilyName: fmt.Sprintf("町%02d", n), GivenName: fmt.Sprintf("職員%02d", i),
					Email: fmt.Sprintf("b%d@t%d.example.lg.jp", i, n), Role: policies.RoleGeneral,
				}
				if i == 0 {
					p.Role = policies.RoleAdministrator
				}
				if !yield(p) {
					return
				}
			}
		}
	})
	if !report.OK() {
		t.Fatal(report.Faults())
	}
	for n := range towns {
		h.org(townCode(n), policies.KindMunicipality, fmt.Sprintf("試験町%02d", n), "", hokkaido)
	}
	if _, report, err := h.dir.Import(t.Context(), everywhere, rows, directory.Author{Source: "test"}, directory.ImportOptions{}); err != nil || !report.OK() {
		t.Fatal(err, report.Faults())
	}
	record := h.plan(people.planner)
	sum := h.totals(record.Hash)
	all := num(sum.Groups + sum.Created + sum.MembersAdded)
	if sum.Created < towns*each {
		t.Fatalf("%+v", sum)
	}
	b := h.open(people.approver)
	folds := regexp.MustCompile(`<summary><span class="fold-name">([^ <]+) <code>`)
	found := map[string]int{}
	next := regexp.MustCompile(`<a class="button button-quiet" href="([^"#]*)#changes">次のページ`)
	path, pages := "/plans/"+record.Hash, 0
	for path != "" {
		a := b.get(path)
		wantText(t, a, http.StatusOK, all, "ほかに ")
		if len(a.body) > 512<<10 {
			t.Errorf("%s: %d bytes", path, len(a.body))
		}
		for _, m := range folds.FindAllStringSubmatch(a.body, -1) {
			found[m[1]]++
		}
		path = ""
		if m := next.FindStringSubmatch(a.body); m != nil {
			path = strings.ReplaceAll(m[1], "&amp;", "&")
		}
		if pages++; pages > 10 {
			t.Fatal("the pages never end")
		}
	}
	if len(found) != towns+3 || pages != 3 {
		t.Errorf("%d organizations on %d pages", len(found), pages)
	}
	for name, n := range found {
		if n != 1 {
			t.Errorf("%s stands there %d times", name, n)
		}
	}
	one := b.get("/plans/" + record.Hash + "?org=" + string(townCode(7)))
	wantText(t, one, http.StatusOK, "試験町07", "すべての組織に戻る", "所属の追加", "20 人")
	if got := strings.Count(one.body, "local-staff-portal-jira"); got != each {
		t.Errorf("%d new accounts of one town", got)
	}
	for query, status := range map[string]int{
		"?page=4": 400, "?page=0": 400, "?page=x": 400, "?page=-1": 400, "?page=99999999": 400, "?show=nonsense": 400, "?org=999999": 404, "?org=" + strings.Repeat("1", 33): 400,
		"?show=lost": 200, "?show=gained&page=3": 200, "?show=other": 200, "?org=" + string(townCode(7)) + "&show=lost": 200, "?org=" + string(townCode(7)) + "&page=2": 400,
	} {
		if a := b.get("/plans/" + record.Hash + query); a.status != status {
			t.Errorf("%s: %d, want %d", query, a.status, status)
		}
	}
	wantText(t, b.get("/plans/"+record.Hash+"?show=lost"), http.StatusOK, "この種類の変更はありません")
	mine := h.open(h.townAdmin(townCode(7)))
	a := mine.get("/plans/" + record.Hash)
	wantText(t, a, http.StatusOK, "試験町07に対する変更だけを表示しています", "町07 職員19")
	if strings.Contains(a.body, "町08") || strings.Contains(a.body, all) || strings.Contains(a.body, people.planner.DisplayName()) {
		t.Error("a town sees more of the plan than its own part")
	}
	wantText(t, mine.get("/plans/"+record.Hash+"?org="+string(townCode(8))), http.StatusNotFound)
	wantText(t, mine.get("/plans/"+record.Hash+"/progress"), http.StatusForbidden)
}

// townCode is a local government code of a made-up town, with its check digit.
func townCode(n int) policies.OrgID {
	digits := fmt.Sprintf("01%03d", 400+n)
	sum := 0
	for i, d := range digits {
		sum += int(d-'0') * (6 - i)
	}
	return policies.OrgID(digits + fmt.Sprint((11-sum%11)%10))
}

func (h *hub) townAdmin(org policies.OrgID) identity.Person {
	h.t.Helper()
	list, err := h.dir.People(h.t.Context(), everywhere, directory.PeopleFilter{Org: org})
	if err != nil {
		h.t.Fatal(err)
	}
	for _, p := range list {
		if p.Role == policies.RoleAdministrator {
			return p
		}
	}
	h.t.Fatal("no administrator")
	return identity.Person{}
}

func TestPace(t *testing.T) {
	start := time.Date(2026, 10, 5, 0, 0, 0, 0, time.UTC)
	running := func(final, total int) provision.Progress {
		return provision.Progress{Plan: provision.PlanRecord{StartedAt: start}, Final: final, Total: total}
	}
	for name, c := range map[string]struct {
		p              provision.Progress
		after          time.Duration
		rate           string
		left, tookText string
	}{
		"not started":  {provision.Progress{Total: 9}, time.Minute, "", "", ""},
		"nothing yet":  {running(0, 100), 10 * time.Second, "", "", "10 秒"},
		"half":         {running(50, 100), 10 * time.Second, "300", "10 秒", "10 秒"},
		"slow":         {running(30, 30_000), 10 * time.Second, "180", "2 時間 46 分", "10 秒"},
		"long":         {running(100, 1000), 100 * time.Second, "60", "15 分", "2 分"},
		"clock behind": {running(50, 100), -time.Second, "", "", ""},
		"all":          {running(100, 100), 60 * time.Second, "100", "", "1 分"},
	} {
		rate, left, took := pace(c.p, start.Add(c.after))
		if rate != c.rate || left.JA != c.left || took.JA != c.tookText {
			t.Errorf("%s: %q, %q, %q", name, rate, left.JA, took.JA)
		}
	}
	done := running(100, 100)
	done.Plan.FinishedAt = start.Add(20 * time.Second)
	if rate, left, took := pace(done, start.Add(time.Hour)); rate != "300" || left.JA != "" || took.JA != "20 秒" {
		t.Errorf("after the end: %q, %q, %q", rate, left.JA, took.JA)
	}
}
