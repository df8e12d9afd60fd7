package login

import (
	"context"
	"database/sql"
	"errors"
	"testing"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
	"github.com/musubi-hub/musubi/policies"
)

// What happens once happens once by the statement itself, whatever was looked at before.
func TestOnce(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		if err := db.Migrate(t.Context(), Migration()); err != nil {
			t.Fatal(err)
		}
		tx := func(fn func(ctx context.Context, tx *sql.Tx) error) error { return db.WithTx(t.Context(), fn) }
		r := Request{ID: "r", Ask: Ask{Issuer: "i", RelyingParty: "p", Network: policies.NetworkInternet}, State: StateOpen, ExpiresAt: 100, CreatedAt: 1}
		p := Proof{Method: "m", Person: "p", AMR: []string{"x"}, At: 5}
		twice := func(what string, fn func(ctx context.Context, tx *sql.Tx) error) {
			t.Helper()
			if err := tx(fn); err != nil {
				t.Errorf("%s: %v", what, err)
			}
			if err := tx(fn); !errors.Is(err, errNot) {
				t.Errorf("%s, twice: %v", what, err)
			}
		}
		err := tx(func(ctx context.Context, tx *sql.Tx) error {
			return errors.Join(insert(ctx, tx, r), insertAttempt(ctx, tx, "ticket", attempt{request: r.ID, method: "m", expiresAt: 100}, 1),
				insertAttempt(ctx, tx, "late", attempt{request: r.ID, method: "m", expiresAt: 100}, 1))
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := tx(func(ctx context.Context, tx *sql.Tx) error { return keepReturn(ctx, tx, "ticket", "code", p) }); !errors.Is(err, errNot) {
			t.Errorf("a code for a ticket that wasn't used: %v", err)
		}
		if err := tx(func(ctx context.Context, tx *sql.Tx) error { return useTicket(ctx, tx, "late", 100) }); !errors.Is(err, errNot) {
			t.Errorf("a late ticket: %v", err)
		}
		twice("use the ticket", func(ctx context.Context, tx *sql.Tx) error { return useTicket(ctx, tx, "ticket", 5) })
		twice("keep the return", func(ctx context.Context, tx *sql.Tx) error { return keepReturn(ctx, tx, "ticket", "code", p) })
		take := func(id string, at int64) error {
			return tx(func(ctx context.Context, tx *sql.Tx) error {
				_, err := takeReturn(ctx, tx, identity.LoginID(id), "code", at)
				return err
			})
		}
		if err := take("other", 6); !errors.Is(err, errNot) {
			t.Errorf("another request's code: %v", err)
		}
		if err := take("r", 100); !errors.Is(err, errNot) {
			t.Errorf("a late code: %v", err)
		}
		twice("take the return", func(ctx context.Context, tx *sql.Tx) error {
			got, err := takeReturn(ctx, tx, r.ID, "code", 6)
			if err == nil && (got.Person != p.Person || got.At != p.At) {
				t.Errorf("%+v", got)
			}
			return err
		})
		for range MaxAttempts {
			if err := tx(func(ctx context.Context, tx *sql.Tx) error { return count(ctx, tx, r.ID) }); err != nil {
				t.Fatal(err)
			}
		}
		if err := tx(func(ctx context.Context, tx *sql.Tx) error { return count(ctx, tx, r.ID) }); !errors.Is(err, errNot) {
			t.Errorf("one attempt more: %v", err)
		}
		r.Proof = &p
		if err := tx(func(ctx context.Context, tx *sql.Tx) error { return keepProofs(ctx, tx, r) }); err != nil {
			t.Fatal(err)
		}
		twice("settle", func(ctx context.Context, tx *sql.Tx) error { return settle(ctx, tx, r.ID, StateFinished) })
		if err := tx(func(ctx context.Context, tx *sql.Tx) error { return keepProofs(ctx, tx, r) }); !errors.Is(err, errNot) {
			t.Errorf("a proof for a settled request: %v", err)
		}
		if got, err := read(t.Context(), db.Reader(), r.ID); err != nil || got.Proof != nil || got.State != StateFinished || got.Attempts != MaxAttempts {
			t.Errorf("%+v, %v", got, err)
		}
	})
}
