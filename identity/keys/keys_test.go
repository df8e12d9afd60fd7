package keys_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musubi-hub/musubi/identity/keys"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
)

var start = time.Unix(1_790_000_000, 0)

// house is a ring with a clock that the test moves.
type house struct {
	t      *testing.T
	db     *sqldb.DB
	now    time.Time
	seal   *keys.SealingKey
	ring   *keys.Ring
	mu     sync.Mutex
	record []string
}

const small = keys.Purpose("small")

// tables is a database with all tables, copied for each test.
var tables = sqldbtest.NewTemplate(func(ctx context.Context, db *sqldb.DB) error {
	return db.Migrate(ctx, keys.Migration())
})

func newHouse(t *testing.T, db *sqldb.DB, specs map[keys.Purpose]keys.Spec) *house {
	t.Helper()
	if err := db.Migrate(t.Context(), keys.Migration()); err != nil {
		t.Fatal(err)
	}
	seal, err := keys.NewSealingKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if specs == nil {
		specs = map[keys.Purpose]keys.Spec{small: {Algorithm: keys.Ed25519, Ahead: 24 * time.Hour, Overlap: 48 * time.Hour}}
	}
	h := &house{t: t, db: db, now: start, seal: seal}
	h.ring = h.with(seal, specs)
	return h
}

func (h *house) with(seal *keys.SealingKey, specs map[keys.Purpose]keys.Spec) *keys.Ring {
	h.t.Helper()
	r, err := keys.New(h.db, keys.Options{Sealing: seal, Specs: specs, Now: func() time.Time { return h.now }, Random: rand.Reader})
	if err != nil {
		h.t.Fatal(err)
	}
	return r
}

func (h *house) note(_ context.Context, _ *sql.Tx, what string, k keys.Key) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.record = append(h.record, fmt.Sprintf("%s %s %s", what, k.Purpose, k.State))
	return nil
}

func (h *house) ensure() {
	h.t.Helper()
	if err := h.ring.Ensure(h.t.Context(), h.note); err != nil {
		h.t.Fatal(err)
	}
}

// states gives the keys as "state id", and the ids by state.
func (h *house) states(all []keys.Key) string {
	var b strings.Builder
	for _, k := range all {
		fmt.Fprintf(&b, "%s ", k.State)
	}
	return strings.TrimSpace(b.String())
}

func TestEachAlgorithmSigns(t *testing.T) {
	specs := map[keys.Purpose]keys.Spec{}
	for p, a := range map[keys.Purpose]keys.Algorithm{"r2": keys.RSA2048, "r3": keys.RSA3072, "p": keys.P256, "e": keys.Ed25519} {
		specs[p] = keys.Spec{Algorithm: a}
	}
	h := newHouse(t, sqldbtest.Open(t, sqldbtest.SQLiteURL(t)), specs)
	h.ensure()
	message := []byte("誰が何をしたか")
	digest := sha256.Sum256(message)
	// Another process, which has only the database and the sealing key.
	other := h.with(h.seal, specs)
	for p := range specs {
		s, err := other.Signer(t.Context(), h.db.Reader(), p)
		if err != nil {
			t.Fatal(err)
		}
		signed, opts := digest[:], crypto.SignerOpts(crypto.SHA256)
		if p == "e" {
			signed, opts = message, crypto.Hash(0)
		}
		sig, err := s.Sign(rand.Reader, signed, opts)
		if err != nil {
			t.Fatal(err)
		}
		ok := false
		switch public := s.Public().(type) {
		case *rsa.PublicKey:
			ok = rsa.VerifyPKCS1v15(public, crypto.SHA256, digest[:], sig) == nil && public.Size() == map[keys.Purpose]int{"r2": 256, "r3": 384}[p]
		case *ecdsa.PublicKey:
			ok = ecdsa.VerifyASN1(public, digest[:], sig)
		case ed25519.PublicKey:
			ok = ed25519.Verify(public, message, sig)
		}
		if !ok {
			t.Errorf("%s: the signature isn't good", p)
		}
		if text := fmt.Sprintf("%v %+v %#v", s, s, s); strings.Contains(text, "private") || len(text) > 300 {
			t.Errorf("a signer prints %s", text)
		}
	}
}

func TestLifeOfAKey(t *testing.T) {
	tables.Each(t, func(t *testing.T, db *sqldb.DB) {
		h := newHouse(t, db, nil)
		h.ensure()
		h.ensure() // makes nothing more
		first, err := h.ring.Signer(t.Context(), db.Reader(), small)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := h.ring.Rotate(t.Context(), small, keys.Turn{}, h.note); !errors.Is(err, keys.ErrTooEarly) {
			t.Errorf("rotated at once: %v", err)
		}
		h.now = start.Add(24 * time.Hour)
		refused := errors.New("no record")
		if _, err := h.ring.Rotate(t.Context(), small, keys.Turn{}, func(context.Context, *sql.Tx, string, keys.Key) error { return refused }); !errors.Is(err, refused) {
			t.Errorf("rotated without its record: %v", err)
		}
		if s, err := h.ring.Signer(t.Context(), db.Reader(), small); err != nil || s.Key().ID != first.Key().ID {
			t.Errorf("a rotation that was undone: %v", err)
		}
		done, err := h.ring.Rotate(t.Context(), small, keys.Turn{}, h.note)
		if err != nil {
			t.Fatal(err)
		}
		second, err := h.ring.Signer(t.Context(), db.Reader(), small)
		if err != nil || second.Key().ID != done.Active.ID || done.Retired.ID != first.Key().ID {
			t.Fatalf("%v signs, rotation %+v: %v", second, done, err)
		}
		published := func() string {
			t.Helper()
			all, err := h.ring.Published(t.Context(), db.Reader(), small)
			if err != nil {
				t.Fatal(err)
			}
			return h.states(all)
		}
		if got := published(); got != "next active retired" && got != "next retired active" {
			t.Errorf("published: %s", got)
		}
		h.now = h.now.Add(48*time.Hour + time.Second)
		if got := published(); got != "next active" {
			t.Errorf("published after the overlap: %s", got)
		}
		all, err := h.ring.List(t.Context(), db.Reader(), small)
		if err != nil || len(all) != 3 {
			t.Errorf("%d keys are kept: %v", len(all), err)
		}
		if _, err := h.ring.Rotate(t.Context(), small, keys.Turn{}, h.note); err != nil { // the next key has waited long enough by now
			t.Error(err)
		}
		if _, err := h.ring.Rotate(t.Context(), small, keys.Turn{Early: true}, h.note); err != nil { // early, because somebody says so
			t.Error(err)
		}
		var sealed int
		if err := db.Reader().QueryRowContext(t.Context(), `SELECT COUNT(*) FROM signing_key WHERE state = 'retired' AND sealed <> ''`).Scan(&sealed); err != nil || sealed != 0 {
			t.Errorf("%d retired keys still have a private part: %v", sealed, err)
		}
		want := []string{"key.make small active", "key.make small next"}
		for range 3 {
			want = append(want, "key.rotate small active", "key.make small next")
		}
		if diff := cmp.Diff(want, h.record); diff != "" {
			t.Errorf("record (-want +got):\n%s", diff)
		}
	})
}

// TestNodesStartAtOnce has four nodes that share the sealing key make the keys of one empty database.
func TestNodesStartAtOnce(t *testing.T) {
	tables.Each(t, func(t *testing.T, db *sqldb.DB) {
		h := newHouse(t, db, nil)
		var wg sync.WaitGroup
		for range 4 {
			ring := h.with(h.seal, map[keys.Purpose]keys.Spec{small: {Algorithm: keys.Ed25519}})
			wg.Go(func() {
				if err := ring.Ensure(t.Context(), h.note); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		all, err := h.ring.List(t.Context(), db.Reader(), small)
		if err != nil || len(all) != 2 {
			t.Errorf("%d keys: %v", len(all), err)
		}
		// So do rotations: as many as there were, one after the other or refused, never two active keys.
		for range 4 {
			wg.Go(func() { _, _ = h.ring.Rotate(t.Context(), small, keys.Turn{Early: true}, h.note) })
		}
		wg.Wait()
		all, err = h.ring.List(t.Context(), db.Reader(), small)
		if err != nil {
			t.Fatal(err)
		}
		count := map[keys.State]int{}
		for _, k := range all {
			count[k.State]++
		}
		if count[keys.Active] != 1 || count[keys.Next] != 1 || count[keys.Retired] < 1 {
			t.Errorf("%v", count)
		}
	})
}

func TestUnreadableKeys(t *testing.T) {
	h := newHouse(t, sqldbtest.Open(t, sqldbtest.SQLiteURL(t)), nil)
	h.ensure()
	specs := map[keys.Purpose]keys.Spec{small: {Algorithm: keys.Ed25519}}
	another, err := keys.NewSealingKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	expect := func(name string, r *keys.Ring, want string) {
		t.Helper()
		_, err := r.Signer(t.Context(), h.db.Reader(), small)
		if !errors.Is(err, keys.ErrUnreadable) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
		if err := r.Ensure(t.Context(), h.note); !errors.Is(err, keys.ErrUnreadable) {
			t.Errorf("%s: a node that can't sign starts: %v", name, err)
		}
	}
	expect("another sealing key", h.with(another, specs), "another sealing key, "+h.seal.ID()+", than this node's, "+another.ID())
	expect("none", h.with(nil, specs), "no sealing key")
	set := func(column, value string) {
		t.Helper()
		if _, err := h.db.Writer().ExecContext(t.Context(), `UPDATE signing_key SET `+column+` = `+value); err != nil {
			t.Fatal(err)
		}
	}
	h2 := newHouse(t, sqldbtest.Open(t, sqldbtest.SQLiteURL(t)), nil)
	h2.ensure()
	// The two private parts changed places: each opens for its own key alone.
	if _, err := h2.db.Writer().ExecContext(t.Context(), `UPDATE signing_key SET sealed = (SELECT o.sealed FROM signing_key o WHERE o.id <> signing_key.id)`); err != nil {
		t.Fatal(err)
	}
	h2.ring = h2.with(h2.seal, specs)
	if _, err := h2.ring.Signer(t.Context(), h2.db.Reader(), small); !errors.Is(err, keys.ErrUnreadable) || !strings.Contains(err.Error(), "sealed for another key") {
		t.Errorf("swapped private parts: %v", err)
	}
	set("sealed", "substr(sealed, 1, 90) || 'AAAA' || substr(sealed, 95)")
	expect("a damaged private part", h.with(h.seal, specs), "damaged")
	set("sealed", "'!' || sealed")
	expect("no base64", h.with(h.seal, specs), "damaged")
	set("public", "'AAAA'")
	expect("a damaged public part", h.with(h.seal, specs), "public part is damaged")
}

func TestOpenSealing(t *testing.T) {
	db := sqldbtest.Open(t, sqldbtest.SQLiteURL(t))
	if err := db.Migrate(t.Context(), keys.Migration()); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "keys", "sealing.key")
	open := func() (*keys.SealingKey, bool, error) { return keys.OpenSealing(t.Context(), db, path, rand.Reader) }
	k, made, err := open()
	if err != nil || !made {
		t.Fatal(made, err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v: %v", info.Mode(), err)
	}
	again, made, err := open()
	if err != nil || made || again.ID() != k.ID() {
		t.Errorf("opened again: %v %v: %v", again, made, err)
	}
	h := newHouse(t, db, nil)
	h.ring = h.with(k, map[keys.Purpose]keys.Spec{small: {Algorithm: keys.Ed25519}})
	h.ensure()
	for _, tc := range []struct {
		name   string
		change func() error
		want   string
	}{
		{"open to others", func() error { return os.Chmod(path, 0o640) }, "chmod 600"},
		{"no key", func() error { return errors.Join(os.Remove(path), os.WriteFile(path, []byte("secret\n"), 0o600)) }, "not a sealing key"},
		{"zeros", func() error { return os.WriteFile(path, make([]byte, 32), 0o600) }, "all zeros"},
		{"a folder", func() error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o700)) }, "no regular file"},
		{"a link", func() error { return errors.Join(os.Remove(path), os.Symlink("/dev/null", path)) }, "symbolic link"},
		{"gone", func() error { return os.Remove(path) }, "is missing, but 2 signing keys"},
	} {
		if err := tc.change(); err != nil {
			t.Fatal(err)
		}
		if _, _, err := open(); !errors.Is(err, keys.ErrUnreadable) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}

func FuzzParseSealingKey(f *testing.F) {
	f.Add([]byte("musubi-sealing-key-v1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\n"))
	f.Add([]byte("01234567890123456789012345678901"))
	f.Add([]byte("musubi-sealing-key-v1:"))
	f.Fuzz(func(t *testing.T, content []byte) {
		k, err := keys.ParseSealingKey(content)
		if err != nil {
			return
		}
		path := filepath.Join(t.TempDir(), "sealing.key")
		if err := k.WriteFile(path); err != nil {
			t.Fatal(err)
		}
		if again, err := keys.ReadSealingKey(path); err != nil || again.ID() != k.ID() {
			t.Errorf("written and read again: %v %v", again, err)
		}
	})
}
