package party_test

import (
	"crypto/rand"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/login"
	"github.com/musubi-hub/musubi/identity/oidcop/party"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/policies/load"
)

var _ login.Parties = (*party.Entrances)(nil)

func TestEntrances(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		for _, m := range []sqldb.Migration{audit.Migration(db.Engine()), party.Migration()} {
			if err := db.Migrate(t.Context(), m); err != nil {
				t.Fatal(err)
			}
		}
		r := party.NewRegistry(db)
		by, err := access.BreakGlass("operator")
		if err != nil {
			t.Fatal(err)
		}
		p := good(t)
		p.Functions, p.Products = []policies.Function{policies.FunctionInquiries}, []policies.Product{policies.ProductJira}
		if err := r.Put(t.Context(), by, p, false, at); err != nil {
			t.Fatal(err)
		}
		// A row of the version before says nothing of functions and seats.
		before := `{"id":"old","name":"昔の登録","faces":[{"network":"lgwan","redirects":["https://old.example/cb"]}],"sector":"old.example",` +
			`"auth":"client_secret_basic","secrets":[{"hash":"` + hash(t) + `","until":0}],"alg":"ES256","least":4,"scopes":["email"]}`
		if _, err := db.Writer().ExecContext(t.Context(), `INSERT INTO oidc_party (id, config, created_at, updated_at) VALUES ('old', $1, 1, 1)`, before); err != nil {
			t.Fatal(err)
		}
		old, err := r.Party(t.Context(), db.Reader(), "old")
		if err != nil || old.Check() != nil || old.Functions != nil || old.Products != nil {
			t.Errorf("a row of the version before: %+v, %v, %v", old, err, old.Check())
		}
		e := party.NewEntrances(r)
		for id, want := range map[policies.RelyingPartyID]policies.RelyingParty{
			"jira":      {ID: "jira", Functions: p.Functions, Products: p.Products, Networks: []policies.Network{policies.NetworkInternet}},
			"old":       {ID: "old", Networks: []policies.Network{policies.NetworkLGWAN}},
			party.HubID: {ID: "musubi", Networks: policies.Networks(), Hub: true},
		} {
			got, err := e.Party(t.Context(), id)
			if diff := cmp.Diff(want, got); diff != "" || err != nil || got.Check() != nil {
				t.Errorf("%s: %v (-want +got):\n%s", id, err, diff)
			}
		}
		for _, id := range []policies.RelyingPartyID{"", "nothing", "MUSUBI", "Robert'); DROP TABLE oidc_party;--"} {
			if _, err := e.Party(t.Context(), id); !errors.Is(err, identity.ErrNotFound) {
				t.Errorf("%q: %v", id, err)
			}
		}
		all, err := e.All(t.Context())
		if err != nil || len(all) != 3 || all[0].RelyingParty.ID != party.HubID || all[1].RelyingParty.ID != "jira" || all[1].Name != p.Name || all[1].Least != p.Least {
			t.Errorf("%+v: %v", all, err)
		}

		engine, err := load.Default()
		if err != nil {
			t.Fatal(err)
		}
		// Somebody of a town enters what carries inquiries, and nothing that carries no function.
		town := policies.Person{ID: "p", Org: policies.Organization{ID: "town", Kind: policies.KindMunicipality}, Role: policies.RoleGeneral, Active: true}
		for id, want := range map[policies.RelyingPartyID]bool{"jira": true, "old": false, party.HubID: true} {
			rp, err := e.Party(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			n := rp.Networks[0]
			if d, err := engine.MayEnter(town, rp, policies.Entry{Network: n, Assurance: policies.AssuranceCard}); err != nil || d.Allow != want {
				t.Errorf("%s: %+v, %v", id, d, err)
			}
		}
	})
}

func hash(t *testing.T) string {
	t.Helper()
	_, s, err := party.NewSecret(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return s.Hash
}
