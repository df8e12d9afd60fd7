package party_test

import (
	"crypto/rand"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/oidcop/party"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
)

func TestRotate(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		for _, m := range []sqldb.Migration{audit.Migration(db.Engine()), party.Migration()} {
			if err := db.Migrate(t.Context(), m); err != nil {
				t.Fatal(err)
			}
		}
		r, ctx := party.NewRegistry(db), t.Context()
		by, err := access.BreakGlass("operator")
		if err != nil {
			t.Fatal(err)
		}
		draw := func() (string, party.Secret) {
			text, s, err := party.NewSecret(rand.Reader)
			if err != nil {
				t.Error(err)
			}
			return text, s
		}
		p := good(t)
		if err := r.Put(ctx, by, p, false, at); err != nil {
			t.Fatal(err)
		}
		_, s := draw()
		if err := r.Rotate(ctx, by, p.ID, s, at+100, at); !errors.Is(err, party.ErrNoSecret) {
			t.Errorf("a party with keys: %v", err)
		}
		if err := r.Rotate(ctx, by, "nobody", s, at+100, at); !errors.Is(err, identity.ErrNotFound) {
			t.Errorf("nobody: %v", err)
		}
		one, s := draw()
		p.Auth, p.JWKS, p.Secrets = party.AuthSecretBasic, nil, []party.Secret{s}
		if err := r.Put(ctx, by, p, true, at); err != nil {
			t.Fatal(err)
		}
		counts := func(when int64, texts ...string) (n int) {
			p, err := r.Party(ctx, db.Reader(), p.ID)
			if err != nil || p.Check() != nil {
				t.Fatal(err, p.Check())
			}
			for _, text := range texts {
				if p.SecretIs(text, when) {
					n++
				}
			}
			return n
		}
		rotate := func(until, now int64) string {
			text, s := draw()
			if err := r.Rotate(ctx, by, p.ID, s, until, now); err != nil {
				t.Error(err)
			}
			return text
		}
		two := rotate(at+100, at)
		if counts(at+99, one, two) != 2 || counts(at+100, one, two) != 1 || counts(at+100, two) != 1 {
			t.Error("the former secret counts until the time, the fresh one from now on")
		}
		three := rotate(at+50, at+10) // the newest is kept, not the oldest
		if counts(at+20, one) != 0 || counts(at+20, two, three) != 2 || counts(at+50, two) != 0 {
			t.Error("a second rotation keeps the one before alone")
		}
		four := rotate(at+20, at+20) // without an overlap: the former one leaked
		if counts(at+20, one, two, three) != 0 || counts(at+20, four) != 1 {
			t.Error("a rotation without overlap leaves the former secret")
		}
		var wg sync.WaitGroup
		texts := make([]string, 4)
		for i := range texts {
			wg.Go(func() { texts[i] = rotate(at+1000, at+30) })
		}
		wg.Wait()
		if n := counts(at+40, texts...); n != 2 {
			t.Errorf("after four rotations at the same time %d of their secrets count", n)
		}
		var rows []string
		found, err := db.Reader().QueryContext(ctx, `SELECT action FROM audit_row WHERE action = 'rp.secret' OR action = 'rp.remove'`)
		if err != nil {
			t.Fatal(err)
		}
		defer found.Close()
		for found.Next() {
			var a string
			if err := found.Scan(&a); err != nil {
				t.Fatal(err)
			}
			rows = append(rows, a)
		}
		if found.Err() != nil || len(rows) != 7 || slices.Contains(rows, "rp.remove") {
			t.Errorf("audit: %v, %v", rows, found.Err())
		}
	})
}
