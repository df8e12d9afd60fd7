package console

import (
	"net"
	"net/http"
	"os"
	"testing"
	"time"
	"fmt"
	"slices"

	"github.com/musubi-hub/musubi/identity/directory"
	"github.com/musubi-hub/musubi/identity/directory/sample"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/identity"
)

func TestShot(t *testing.T) {
	h := newHub(t, sqldbtest.Open(t, sqldbtest.SQLiteURL(t)), func(c *Config) {
		c.Notice = "実演用の環境です。SaaS は本物ではなく手元の模擬 (sandbox) で、流量枠は 40 倍にしています。"
	})
	h.org(agency, policies.KindAgency, "デジタル庁", "でじたるちょう", "")
	c := cast{planner: h.person(agency, policies.RoleSystemAdministrator, "計画", "一郎"), approver: h.person(agency, policies.RoleSystemAdministrator, "承認", "花子")}
	rows, _ := sample.Orgs()
	if _, _, err := h.dir.Import(t.Context(), everywhere, rows, directory.Author{Source: "s"}, nil, false); err != nil { t.Fatal(err) }
	var orgs []identity.Organization
	for _, r := range rows.Orgs { orgs = append(orgs, r.Organization) }
	h.org(chuo, policies.KindWard, "札幌市 中央区", "さっぽろし ちゅうおうく", sapporo)
	staff, _ := directory.PeopleRows("x", sample.People(orgs, 12, 2026))
	if _, _, err := h.dir.Import(t.Context(), everywhere, staff, directory.Author{Source: "s"}, nil, false); err != nil { t.Fatal(err) }
	rec := h.plan(c.planner)
	refuse, _ := h.dir.FindPerson(t.Context(), everywhere, sapporo, "S00005")
	admin, _ := h.dir.FindPerson(t.Context(), everywhere, sapporo, "S00001")
	h.apply(c, rec, map[policies.Product]string{policies.ProductJira: refuse.Email})
	gone, _ := h.dir.FindPerson(t.Context(), everywhere, sapporo, "S00003")
	if err := h.dir.EndPerson(t.Context(), everywhere, gone.ID, directory.Author{Source: "t"}); err != nil { t.Fatal(err) }
	h.clock.forward(time.Minute)
	rec2 := h.plan(c.planner)
	_ = slices.Max[[]int]
	serve := func(cookie string) string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil { t.Fatal(err) }
		go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if cookie != "" { r.Header.Set("Cookie", cookieName+"="+cookie) }
			h.handler.ServeHTTP(w, r)
		}))
		return "http://" + l.Addr().String()
	}
	text := fmt.Sprintf("A=%s\nB=%s\nC=%s\nP1=%s\nP2=%s\nTICKET=%s\n", serve(h.open(c.planner).cookie), serve(h.open(admin).cookie), serve(""), rec.Hash, rec2.Hash, h.ticket(c.planner))
	os.WriteFile("/tmp/h7shot.env", []byte(text), 0o600)
	for i := 0; i < 600; i++ {
		if _, err := os.Stat("/tmp/h7stop"); err == nil { return }
		time.Sleep(time.Second)
	}
}
