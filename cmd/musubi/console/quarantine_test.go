package console

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/provision"
)

// refuse lets a SaaS refuse somebody's account.
func (h *hub) refuse(id string, p identity.Person, kind provision.OpKind, words string) {
	h.t.Helper()
	_, err := h.db.Writer().ExecContext(h.t.Context(), `INSERT INTO provision_quarantine (id, product, kind, org_id, person_id, wanted, words, remedy, times, first_at, last_at, state, run, seq)
		VALUES ($1,'jira',$2,$3,$4,'',$5,'correct the person',2,$6,$6,'open','r',1)`, id, string(kind), string(p.Org), string(p.ID), words, h.clock.now().UnixMicro())
	if err != nil {
		h.t.Fatal(err)
	}
}

func TestQuarantine(t *testing.T) {
	migrated.Each(t, func(t *testing.T, db *sqldb.DB) {
		h := newHub(t, db, nil)
		people := h.country()
		planner, town, other, staff := h.open(people.planner), h.open(people.sapporoAdmin), h.open(people.aomoriAdmin), h.open(people.sapporoStaff)
		wantText(t, planner.get("/quarantine"), http.StatusOK, "対応が要るものはありません")
		wantText(t, planner.get("/quarantine?all=1"), http.StatusOK, "隔離されたものはありません")
		h.refuse("q1", people.sapporoStaff, provision.OpAccount, "e-mail <b>taken</b>")
		h.refuse("q2", people.aomoriStaff, provision.OpRelease, "no permission")
		wantText(t, planner.get("/"), http.StatusOK, "SaaS が受け付けなかったものがあります (2 件)")
		wantText(t, planner.get("/quarantine"), http.StatusOK, "e-mail &lt;b&gt;taken&lt;/b&gt;", people.sapporoStaff.DisplayName(), people.aomoriStaff.DisplayName(), "対処", "2 回", "もう一度試す")
		// A town sees its own alone, and decides nothing.
		a := town.get("/quarantine")
		wantText(t, a, http.StatusOK, "taken", "札幌市の分だけを表示しています")
		if strings.Contains(a.body, "no permission") || strings.Contains(a.body, people.aomoriStaff.DisplayName()) || strings.Contains(a.body, "<form method=\"post\" action=\"/quarantine") {
			t.Error("a town sees another's, or may decide")
		}
		wantText(t, town.get("/"), http.StatusOK, "(1 件)")
		wantText(t, town.get("/quarantine/q1"), http.StatusOK, "taken")
		wantText(t, town.get("/quarantine/q2"), http.StatusNotFound)
		wantText(t, other.get("/quarantine/q1"), http.StatusNotFound)
		wantText(t, staff.get("/quarantine"), http.StatusForbidden)
		wantText(t, planner.get("/quarantine/q9"), http.StatusNotFound)

		page := planner.get("/quarantine/q1")
		retry, ignore := formIn(t, page, "/quarantine/q1/retry"), formIn(t, page, "/quarantine/q1/ignore")
		leaver := planner.get("/quarantine/q2")
		if strings.Contains(leaver.body, "/quarantine/q2/ignore") {
			t.Error("a leaver's account may be left")
		}
		seen := formIn(t, leaver, "/quarantine/q2/retry").Get("seen")
		for name, c := range map[string]struct {
			who    *browser
			path   string
			fields url.Values
			status int
		}{
			"no token":         {planner, "/quarantine/q1/retry", url.Values{"seen": retry["seen"]}, 403},
			"another's object": {planner, "/quarantine/q2/retry", retry, 403},
			"another decision": {planner, "/quarantine/q1/ignore", retry, 403},
			"a town's":         {town, "/quarantine/q1/retry", url.Values{"seen": retry["seen"], "token": {formToken(town.cookie, "/quarantine/q1/retry", retry.Get("seen"))}}, 403},
			"without a reason": {planner, "/quarantine/q1/ignore", ignore, 409},
			"a leaver ignored": {planner, "/quarantine/q2/ignore", url.Values{"seen": {seen}, "token": {formToken(planner.cookie, "/quarantine/q2/ignore", seen)}, "why": {"x"}}, 409},
			"an old state":     {planner, "/quarantine/q1/retry", url.Values{"seen": {"q1 open 1 1"}, "token": {formToken(planner.cookie, "/quarantine/q1/retry", "q1 open 1 1")}}, 409},
		} {
			visitor := &browser{h: h, cookie: c.who.cookie}
			if a := visitor.post(c.path, c.fields); a.status != c.status {
				t.Errorf("%s: %d, want %d", name, a.status, c.status)
			}
		}
		list, err := h.prov.Quarantine(t.Context(), h.scope(people.planner, policies.ActionPlanRead, policies.Context{}), provision.QuarantineFilter{})
		if err != nil || len(list) != 2 || list[0].State != provision.QuarantineOpen || list[1].State != provision.QuarantineOpen {
			t.Fatalf("%+v, %v", list, err)
		}
		ignore.Set("why", "来月に直す")
		if a := planner.post("/quarantine/q1/ignore", ignore); a.status != http.StatusSeeOther {
			t.Fatalf("%d %s", a.status, a.body)
		}
		wantText(t, planner.post("/quarantine/q1/retry", retry), http.StatusConflict, "状態が変わりました")
		page = planner.get("/quarantine/q1")
		wantText(t, page, http.StatusOK, "このままにする", "来月に直す", people.planner.DisplayName())
		if a := planner.post("/quarantine/q1/retry", formIn(t, page, "/quarantine/q1/retry")); a.status != http.StatusSeeOther {
			t.Fatalf("%d %s", a.status, a.body)
		}
		wantText(t, planner.get("/quarantine/q1"), http.StatusOK, "再試行を待っています")
	})
}
