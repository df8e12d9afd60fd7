package console

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/musubi-hub/musubi/identity/samlidp/sp"
	"github.com/musubi-hub/musubi/identity/sqldb"
)

// The first page tells a system administrator what of service providers has to be looked at, and nobody else.
func TestProviders(t *testing.T) {
	migrated.Each(t, func(t *testing.T, db *sqldb.DB) {
		var sum sp.Summary
		h := newHub(t, db, func(c *Config) {
			c.Providers = func(context.Context) (sp.Summary, error) { return sum, nil }
		})
		people := h.country()
		planner, town := h.open(people.planner), h.open(people.sapporoAdmin)
		const told = "ログイン先 (SAML) に確かめるものがあります"
		if strings.Contains(planner.get("/").body, told) {
			t.Error("nothing is told of")
		}
		sum = sp.Summary{Waits: 2, Ending: map[int]int{90: 0, 30: 1, 7: 0, 0: 0}}
		wantText(t, planner.get("/"), http.StatusOK, told, "確認を待っています (2 件)", "90 日以内に切れるか、切れています (1 件)", "musubi rp metadata list --attention")
		if strings.Contains(planner.get("/").body, "読めない取得元") {
			t.Error("a failure that isn't there")
		}
		if strings.Contains(town.get("/").body, told) {
			t.Error("a town's administrator is told")
		}
	})
}
