package boot

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/musubi-hub/musubi/cmd/internal/config"
	"github.com/musubi-hub/musubi/cmd/internal/tracing"
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/keys"
	"github.com/musubi-hub/musubi/identity/oidcop/party"
	"github.com/musubi-hub/musubi/identity/samlidp"
	"github.com/musubi-hub/musubi/identity/samlidp/rollover"
	"github.com/musubi-hub/musubi/identity/samlidp/sp"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
	"github.com/musubi-hub/musubi/policies"
)

// A database of a program that knew no SAML is taken over at the first start: its relying parties keep their ids, and keys and certificates are there
// from then on, one for each key whatever is done in which process.
func TestDatabaseFromBeforeSAML(t *testing.T) {
	sqldbtest.EachURL(t, func(t *testing.T, url string) {
		ctx, dir := t.Context(), t.TempDir()
		by, err := access.BreakGlass("operator")
		check(t, err)
		db := sqldbtest.Open(t, url)
		before := slices.DeleteFunc(owners(db.Engine()), func(m sqldb.Migration) bool {
			return slices.Contains([]string{"samlparty", "samlidp", "entrance"}, m.Owner)
		})
		check(t, db.Migrate(ctx, before...))
		_, secret, err := party.NewSecret(rand.Reader)
		check(t, err)
		desk := party.Party{
			ID: "desk", Name: "窓口", Sector: "desk.example", Auth: party.AuthSecretBasic, Secrets: []party.Secret{secret}, Alg: jose.ES256, Least: policies.AssuranceCard,
			Faces: []party.Face{{Network: policies.NetworkInternet, Redirects: []string{"https://desk.example/cb"}}},
		}
		check(t, party.NewRegistry(db).Put(ctx, by, desk, false, 1))

		tracer, err := tracing.Open(ctx, config.Trace{}, "test", slog.New(slog.DiscardHandler))
		check(t, err)
		now := time.Now()
		open := func(work bool) *Hub {
			t.Helper()
			h, err := OpenHub(ctx, Options{
				Data: dir, Config: config.Config{Database: url}, Work: work, Now: func() time.Time { return now }, Log: slog.New(slog.DiscardHandler), Tracer: tracer,
			})
			check(t, err)
			t.Cleanup(func() { _ = h.Close() })
			return h
		}
		h := open(true)
		if x, err := h.Entrances.Find(ctx, "desk"); err != nil || x.Issuer != identity.IssuerOIDC || x.Name != desk.Name {
			t.Errorf("%+v, %v", x, err)
		}
		wiki := sp.SP{
			ID: "desk", Name: "文書", EntityID: "https://wiki.example/saml", Sector: "wiki.example", Sign: sp.SignBoth, NameID: sp.NameIDPersistent, Least: policies.AssuranceCard,
			Faces: []sp.Face{{Network: policies.NetworkInternet, Consumers: []sp.Consumer{{Location: "https://wiki.example/acs"}}}},
		}
		if err := h.SPs.Add(ctx, by, wiki, 1); !errors.Is(err, identity.ErrExists) {
			t.Errorf("an OpenID party's id: %v", err)
		}
		wiki.ID = "wiki"
		check(t, h.SPs.Add(ctx, by, wiki, 1))
		if err := h.Parties.Put(ctx, by, func() party.Party { p := desk; p.ID = "wiki"; return p }(), false, 1); !errors.Is(err, identity.ErrExists) {
			t.Errorf("a SAML provider's id: %v", err)
		}
		first := certificates(t, h)
		if len(first) != 2 {
			t.Fatalf("%d certificates, want those of the active and the next key", len(first))
		}
		check(t, h.Close())
		h = open(true)
		if again := certificates(t, h); len(again) != 2 {
			t.Errorf("another start made %d certificates more", len(again)-2)
		}
		check(t, h.Close())

		// The command that rotates is no hub that works. The key that comes next is vouched for by the one that signs now.
		h = open(false)
		check(t, h.Unseal(ctx))
		row := by.AuditRow(now.UnixMicro(), keys.Rotated, audit.Done)
		done, _, err := h.Promote(ctx, samlidp.Purpose, rollover.Promotion{Emergency: true, Unseen: true, At: now.UnixMicro()}, row)
		check(t, err)
		all := certificates(t, h)
		next, active := all[done.Next.ID], all[done.Active.ID]
		if len(all) != 3 || next == nil || active == nil {
			t.Fatalf("%d certificates after a rotation", len(all))
		}
		if err := active.CheckSignature(next.SignatureAlgorithm, next.RawTBSCertificate, next.Signature); err != nil {
			t.Errorf("the next key isn't vouched for by the active one: %v", err)
		}
		if _, _, err := h.Promote(ctx, samlidp.Purpose, rollover.Promotion{At: now.UnixMicro()}, row); !errors.Is(err, keys.ErrTooEarly) {
			t.Errorf("a key that nobody has seen: %v", err)
		}
	})
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// certificates gives those that are kept, by key.
func certificates(t *testing.T, h *Hub) map[string]*x509.Certificate {
	t.Helper()
	rows, err := h.DB.Reader().QueryContext(t.Context(), `SELECT key_id, der FROM saml_certificate`)
	check(t, err)
	defer rows.Close()
	all := map[string]*x509.Certificate{}
	for rows.Next() {
		var id, text string
		check(t, rows.Scan(&id, &text))
		der, err := base64.StdEncoding.DecodeString(text)
		check(t, err)
		all[id], err = x509.ParseCertificate(der)
		check(t, err)
	}
	check(t, rows.Err())
	return all
}
