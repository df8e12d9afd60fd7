package console

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/breaker"
)

// trip lets one change take the accounts of many people of an organization away, and gives the breaker that tripped.
func (h *hub) trip(org policies.OrgID, people int, by identity.Person) breaker.Record {
	h.t.Helper()
	ask := breaker.Ask{Ref: "import " + string(org), Work: "leaver", Cause: breaker.Cause{Kind: breaker.CauseImport, Ref: "import <名簿>.csv", Actor: by.ID, At: h.clock.now().UnixMicro()}}
	for i := range people {
		ask.Items = append(ask.Items, breaker.Item{Product: policies.ProductJira, Org: org, Person: policies.PersonID(fmt.Sprintf("p9%07d", i)), Loss: breaker.LossAccounts})
	}
	err := h.db.WithTx(h.t.Context(), func(ctx context.Context, tx *sql.Tx) error {
		_, err := h.breakers.Admit(ctx, tx, ask)
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	list, err := h.breakers.List(h.t.Context(), h.scope(by, policies.ActionPlanRead, policies.Context{}), false, 10)
	if err != nil || len(list) != 1 {
		h.t.Fatalf("%d breakers tripped, %v", len(list), err)
	}
	return list[0]
}

func TestBreakers(t *testing.T) {
	migrated.Each(t, func(t *testing.T, db *sqldb.DB) {
		h := newHub(t, db, nil)
		people := h.country()
		planner, approver, town := h.open(people.planner), h.open(people.approver), h.open(people.sapporoAdmin)
		wantText(t, planner.get("/breakers"), http.StatusOK, "作動しているブレーカーはありません", "許される数", "30 日")
		trip := h.trip(sapporo, 400, people.planner)
		page := "/breakers/" + trip.ID
		wantText(t, planner.get("/"), http.StatusOK, `href="/breakers"`, "ブレーカーが作動しています")
		wantText(t, planner.get("/breakers"), http.StatusOK, `href="`+page+`"`, "作動中", "ファイルの取込", people.planner.DisplayName())
		a := approver.get(page)
		wantText(t, a, http.StatusOK, "import &lt;名簿&gt;.csv", fmt.Sprintf("%d 件を止めています", trip.Held), "ほかに ", "札幌市", "Jira Service Management", "理由")
		for _, path := range []string{"/breakers", page} {
			wantText(t, town.get(path), http.StatusForbidden)
		}
		if strings.Contains(town.get("/").body, "/breakers") {
			t.Error("a town's administrator is shown the way to the breakers")
		}
		wantText(t, planner.get("/breakers/nothing"), http.StatusNotFound)

		good := formIn(t, a, page+"/release")
		good.Set("why", "人事課に確認済み")
		own := func(b *browser, seen string) url.Values {
			return url.Values{"seen": {seen}, "token": {formToken(b.cookie, page+"/release", seen)}, "why": {"理由"}}
		}
		without := url.Values{"seen": good["seen"], "token": good["token"]}
		long := url.Values{"seen": good["seen"], "token": good["token"], "why": {strings.Repeat("長", 301)}}
		for name, c := range map[string]struct {
			who    *browser
			path   string
			fields url.Values
			status int
			text   string
		}{
			"forged":             {approver, page + "/release", url.Values{"seen": good["seen"], "why": {"x"}}, 403, "このフォームは使えません"},
			"another session":    {planner, page + "/release", good, 403, "このフォームは使えません"},
			"another state":      {approver, page + "/release", own(approver, trip.ID+" open 1"), 409, "状態が変わりました"},
			"unknown":            {approver, "/breakers/b0/release", url.Values{"seen": {"x"}, "token": {formToken(approver.cookie, "/breakers/b0/release", "x")}, "why": {"x"}}, 404, ""},
			"no reason":          {approver, page + "/release", without, 409, "理由が要ります"},
			"too long a reason":  {approver, page + "/release", long, 409, "理由が要ります"},
			"whose change it is": {planner, page + "/release", own(planner, good.Get("seen")), 409, "自分の変更は解除できません"},
			"a town's":           {town, page + "/release", own(town, good.Get("seen")), 403, ""},
		} {
			visitor := &browser{h: h, cookie: c.who.cookie}
			if a := visitor.post(c.path, c.fields); a.status != c.status || !strings.Contains(a.body, c.text) {
				t.Errorf("%s: %d, want %d:\n%s", name, a.status, c.status, a.body)
			}
			r, _, err := h.breakers.Show(t.Context(), h.scope(people.planner, policies.ActionPlanRead, policies.Context{}), trip.ID, 1)
			if err != nil || r.State != breaker.StateOpen {
				t.Fatalf("%s: the breaker is %s, %v", name, r.State, err)
			}
		}
		if a := approver.post(page+"/release", good); a.status != http.StatusSeeOther || a.header.Get("Location") != page {
			t.Fatalf("%d %s", a.status, a.body)
		}
		wantText(t, approver.post(page+"/release", good), http.StatusConflict, "状態が変わりました")
		wantText(t, planner.get(page), http.StatusOK, "解除済み", "人事課に確認済み", people.approver.DisplayName())
		if strings.Contains(planner.get("/").body, "ブレーカーが作動しています") {
			t.Error("a released breaker is still told on the overview")
		}
		rows, err := audit.Find(t.Context(), h.db.Reader(), everywhere, audit.Filter{})
		if err != nil {
			t.Fatal(err)
		}
		refused := false
		for _, r := range rows {
			refused = refused || r.Outcome == audit.Refused && r.Actor == string(people.sapporoAdmin.ID) && r.Action == string(policies.ActionBreakerRelease)
		}
		if !refused {
			t.Error("the town's attempt isn't in the audit log")
		}
	})
}
