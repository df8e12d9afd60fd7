package entrance_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/entrance"
	"github.com/musubi-hub/musubi/identity/login"
	"github.com/musubi-hub/musubi/identity/oidcop/party"
	"github.com/musubi-hub/musubi/identity/samlidp/sp"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/policies/load"
)

const at = int64(1_790_000_000_000_000)

var _ login.Parties = (*entrance.Book)(nil)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func openID(t *testing.T, id policies.RelyingPartyID) party.Party {
	t.Helper()
	_, secret, err := party.NewSecret(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return party.Party{
		ID: id, Name: "案件管理", Sector: "jira.example", Auth: party.AuthSecretBasic, Secrets: []party.Secret{secret}, Alg: jose.ES256, Least: policies.AssuranceCard,
		Functions: []policies.Function{policies.FunctionInquiries}, Products: []policies.Product{policies.ProductJira},
		Faces: []party.Face{{Network: policies.NetworkInternet, Redirects: []string{"https://jira.example/cb"}}},
	}
}

func saml(id policies.RelyingPartyID) sp.SP {
	return sp.SP{
		ID: id, Name: "文書", EntityID: "https://" + string(id) + ".example/saml", Sector: "docs.example", Sign: sp.SignBoth, NameID: sp.NameIDPersistent,
		Least: policies.AssuranceTwo, Functions: []policies.Function{policies.FunctionInquiries},
		Faces: []sp.Face{{Network: policies.NetworkLGWAN, Consumers: []sp.Consumer{{Location: "https://docs.example/acs"}}}},
	}
}

// world is both registries, after a program that knew one of them alone.
type world struct {
	db      *sqldb.DB
	parties *party.Registry
	sps     *sp.Registry
	book    *entrance.Book
	by      access.Actor
}

func newWorld(t *testing.T, db *sqldb.DB) world {
	t.Helper()
	ctx := t.Context()
	w := world{db: db, by: must(access.BreakGlass("operator"))}
	for _, m := range []sqldb.Migration{audit.Migration(db.Engine()), party.Migration()} {
		if err := db.Migrate(ctx, m); err != nil {
			t.Fatal(err)
		}
	}
	if err := party.NewRegistry(db).Put(ctx, w.by, openID(t, "jira"), false, at); err != nil {
		t.Fatal(err)
	}
	// A row of an older version says nothing of functions and seats.
	before := `{"id":"old","name":"昔の登録","faces":[{"network":"lgwan","redirects":["https://old.example/cb"]}],"sector":"old.example",` +
		`"auth":"client_secret_basic","secrets":[{"hash":"` + openID(t, "x").Secrets[0].Hash + `","until":0}],"alg":"ES256","least":4,"scopes":["email"]}`
	if _, err := db.Writer().ExecContext(ctx, `INSERT INTO oidc_party (id, config, created_at, updated_at) VALUES ('old', $1, 1, 1)`, before); err != nil {
		t.Fatal(err)
	}
	if err := db.Migrate(ctx, sp.Migration(), entrance.Migration()); err != nil {
		t.Fatal(err)
	}
	w.parties = party.NewRegistry(db).Share(entrance.Names{Issuer: identity.IssuerOIDC})
	w.sps = sp.NewRegistry(db).Share(entrance.Names{Issuer: identity.IssuerSAML})
	w.book = entrance.New(db, w.parties, w.sps)
	return w
}

func TestBook(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(t, db)
		ctx := t.Context()
		if err := w.sps.Add(ctx, w.by, saml("docs"), at); err != nil {
			t.Fatal(err)
		}
		if old, err := w.parties.Party(ctx, db.Reader(), "old"); err != nil || old.Check() != nil || old.Functions != nil || old.Products != nil {
			t.Errorf("a row of an older version: %+v, %v, %v", old, err, old.Check())
		}
		jira := openID(t, "jira")
		for id, want := range map[policies.RelyingPartyID]policies.RelyingParty{
			"jira":      {ID: "jira", Functions: jira.Functions, Products: jira.Products, Networks: []policies.Network{policies.NetworkInternet}},
			"old":       {ID: "old", Networks: []policies.Network{policies.NetworkLGWAN}},
			"docs":      {ID: "docs", Functions: jira.Functions, Networks: []policies.Network{policies.NetworkLGWAN}},
			party.HubID: {ID: "musubi", Networks: policies.Networks(), Hub: true},
		} {
			got, err := w.book.Party(ctx, id)
			if diff := cmp.Diff(want, got); diff != "" || err != nil || got.Check() != nil {
				t.Errorf("%s: %v (-want +got):\n%s", id, err, diff)
			}
		}
		for _, id := range []policies.RelyingPartyID{"", "nothing", "MUSUBI", "\x00", "Robert'); DROP TABLE oidc_party;--"} {
			if _, err := w.book.Party(ctx, id); !errors.Is(err, identity.ErrNotFound) {
				t.Errorf("%q: %v", id, err)
			}
		}
		all, err := w.book.All(ctx)
		got := ""
		for _, e := range all {
			got += fmt.Sprintf("%s %s %s %d\n", e.RelyingParty.ID, e.Issuer, e.Name, e.Least)
		}
		want := "musubi hub 結び Musubi 4\ndocs saml 文書 3\njira oidc 案件管理 4\nold oidc 昔の登録 4\n"
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}

		engine, err := load.Default()
		if err != nil {
			t.Fatal(err)
		}
		// Somebody of a town enters what carries inquiries, and nothing that carries no function.
		town := policies.Person{ID: "p", Org: policies.Organization{ID: "town", Kind: policies.KindMunicipality}, Role: policies.RoleGeneral, Active: true}
		for id, want := range map[policies.RelyingPartyID]bool{"jira": true, "docs": true, "old": false, party.HubID: true} {
			rp, err := w.book.Party(ctx, id)
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

// An id names one relying party over both registries, whoever came first and by whichever program.
func TestOneIDOneParty(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(t, db)
		ctx := t.Context()
		taken := func(what string, err error) {
			t.Helper()
			if !errors.Is(err, identity.ErrExists) {
				t.Errorf("%s: %v", what, err)
			}
		}
		fine := func(what string, err error) {
			t.Helper()
			if err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
		rows := func() (n int) {
			t.Helper()
			if err := db.Reader().QueryRowContext(ctx, `SELECT (SELECT COUNT(*) FROM saml_party) + (SELECT COUNT(*) FROM oidc_party) + (SELECT COUNT(*) FROM entrance) +
				(SELECT COUNT(*) FROM audit_row)`).Scan(&n); err != nil {
				t.Fatal(err)
			}
			return n
		}
		before := rows()
		taken("SAML takes an id that the program before registered", w.sps.Add(ctx, w.by, saml("old"), at))
		taken("OpenID takes its own id again", w.parties.Put(ctx, w.by, openID(t, "jira"), false, at))
		if after := rows(); after != before {
			t.Errorf("what was refused left %d rows", after-before)
		}
		fine("another id", w.sps.Add(ctx, w.by, saml("docs"), at))
		taken("OpenID takes SAML's id", w.parties.Put(ctx, w.by, openID(t, "docs"), false, at))
		taken("SAML takes its own id again", w.sps.Add(ctx, w.by, saml("docs"), at))
		fine("a change takes nothing", w.parties.Put(ctx, w.by, openID(t, "jira"), true, at))
		fine("a change takes nothing", w.sps.Change(ctx, w.by, saml("docs"), at))
		fine("it is removed", w.sps.Remove(ctx, w.by, "docs", "試験", at))
		fine("and free", w.parties.Put(ctx, w.by, openID(t, "docs"), false, at))
		fine("one of before is removed", w.parties.Remove(ctx, w.by, "old", "gone", at))
		fine("and free", w.sps.Add(ctx, w.by, saml("old"), at))
		if err := w.sps.Add(ctx, w.by, saml("musubi"), at); err == nil {
			t.Error("the hub's own id was registered")
		}

		// Many at once, in both registries: the first one has it.
		var wg sync.WaitGroup
		var mu sync.Mutex
		won := 0
		for n := range 8 {
			wg.Go(func() {
				var err error
				if n%2 == 0 {
					err = w.sps.Add(ctx, w.by, saml("race"), at)
				} else {
					err = w.parties.Put(ctx, w.by, openID(t, "race"), false, at)
				}
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					won++
				} else {
					taken("at once", err)
				}
			})
		}
		wg.Wait()
		if won != 1 {
			t.Errorf("%d registered one id", won)
		}
	})
}
