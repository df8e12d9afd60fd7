package keys_test

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/keys"
	"github.com/musubi-hub/musubi/identity/sqldb"
)

// TestTurn: a rotation that is asked for twice happens once, one whose last step fails not at all, and a stolen key is published no more.
func TestTurn(t *testing.T) {
	tables.Each(t, func(t *testing.T, db *sqldb.DB) {
		h := newHouse(t, db, nil)
		h.ensure()
		of := func(state keys.State) keys.Key {
			t.Helper()
			all, err := h.ring.List(t.Context(), db.Reader(), small)
			if err != nil {
				t.Fatal(err)
			}
			for _, k := range all {
				if k.State == state {
					return k
				}
			}
			t.Fatalf("no key is %s", state)
			return keys.Key{}
		}
		first, next := of(keys.Active), of(keys.Next)
		for _, k := range []keys.Key{first, next} {
			if s, err := h.ring.SignerOf(t.Context(), db.Reader(), small, k.ID); err != nil || s.Key().ID != k.ID {
				t.Errorf("the signer of the %s key: %v", k.State, err)
			}
			if _, err := h.ring.SignerOf(t.Context(), db.Reader(), "other", k.ID); !errors.Is(err, identity.ErrNotFound) {
				t.Errorf("the signer of another purpose's key: %v", err)
			}
		}
		no := errors.New("no")
		if _, err := h.ring.Rotate(t.Context(), small, keys.Turn{Early: true, Also: func(context.Context, *sql.Tx, keys.Rotation) error { return no }}, h.note); !errors.Is(err, no) {
			t.Errorf("its last step failed: %v", err)
		}
		if of(keys.Active).ID != first.ID || of(keys.Next).ID != next.ID {
			t.Error("a rotation whose last step failed has happened")
		}
		h.record = nil
		once := keys.Turn{Early: true, Withdraw: true, Next: next.ID, Also: func(ctx context.Context, tx *sql.Tx, done keys.Rotation) error {
			s, err := h.ring.Signer(ctx, tx, small)
			if err == nil && (s.Key().ID != next.ID || done.Active.ID != next.ID || done.Retired.ID != first.ID) {
				t.Errorf("in the transaction %s signs, rotation %+v", s, done)
			}
			return err
		}}
		if _, err := h.ring.Rotate(t.Context(), small, once, h.note); err != nil {
			t.Fatal(err)
		}
		if _, err := h.ring.Rotate(t.Context(), small, once, h.note); !errors.Is(err, identity.ErrExists) {
			t.Errorf("the same rotation once more: %v", err)
		}
		if _, err := h.ring.SignerOf(t.Context(), db.Reader(), small, first.ID); !errors.Is(err, identity.ErrNotFound) {
			t.Errorf("a retired key signs: %v", err)
		}
		published, err := h.ring.Published(t.Context(), db.Reader(), small)
		if err != nil || len(published) != 2 || strings.Contains(h.states(published), "retired") {
			t.Errorf("published after a theft: %s %v", h.states(published), err)
		}
		if k := of(keys.Retired); k.WithdrawnAt != h.now.UnixMicro() || k.RetiredAt != k.WithdrawnAt {
			t.Errorf("%+v", k)
		}
		if got, want := strings.Join(h.record, "; "), "key.rotate small active; key.withdraw small retired; key.make small next"; got != want {
			t.Errorf("recorded %q, want %q", got, want)
		}
		h.now = h.now.Add(24 * time.Hour)
		if _, err := h.ring.Rotate(t.Context(), small, keys.Turn{}, h.note); err != nil {
			t.Error(err)
		}
		if all, err := h.ring.Published(t.Context(), db.Reader(), small); err != nil || !strings.Contains(h.states(all), "retired") {
			t.Errorf("published after a yearly rotation: %s %v", h.states(all), err)
		}
	})
}
