package rollover_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/keys"
	"github.com/musubi-hub/musubi/identity/samlidp"
	"github.com/musubi-hub/musubi/identity/samlidp/rollover"
	"github.com/musubi-hub/musubi/identity/samlidp/sp"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
	"github.com/musubi-hub/musubi/policies"
)

var by, _ = access.BreakGlass("operator")

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// house is a store with two providers, "a" and "b", and keys of an algorithm that is quick to draw.
type house struct {
	*rollover.Store
	t    *testing.T
	db   *sqldb.DB
	ring *keys.Ring
	reg  *sp.Registry
	at   int64
}

const purpose = keys.Purpose("saml")

var spec = keys.Spec{Algorithm: keys.Ed25519, Ahead: 14 * 24 * time.Hour, Overlap: 48 * time.Hour}

func each(t *testing.T, fn func(t *testing.T, h *house)) {
	t.Helper()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		for _, m := range []sqldb.Migration{audit.Migration(db.Engine()), keys.Migration(), sp.Migration(), samlidp.Migration()} {
			must(t, db.Migrate(t.Context(), m))
		}
		h := &house{t: t, db: db, reg: sp.NewRegistry(db), at: now}
		seal, err := keys.NewSealingKey(rand.Reader)
		must(t, err)
		h.ring, err = keys.New(db, keys.Options{
			Sealing: seal, Specs: map[keys.Purpose]keys.Spec{purpose: spec}, Now: func() time.Time { return time.UnixMicro(h.at) }, Random: rand.Reader,
		})
		must(t, err)
		must(t, h.ring.Ensure(t.Context(), silent))
		h.Store = rollover.New(db, h.ring, purpose)
		for _, id := range []policies.RelyingPartyID{"a", "b"} {
			p := sp.SP{
				ID: id, Name: string(id), EntityID: "https://" + string(id) + ".example", Sector: "x", Sign: sp.SignBoth, NameID: sp.NameIDPersistent,
				Least: policies.AssuranceTwo, Intake: sp.IntakeCertificates,
				Faces: []sp.Face{{Network: policies.NetworkInternet, Consumers: []sp.Consumer{{Location: "https://" + string(id) + ".example/acs"}}}},
			}
			must(t, h.reg.Add(t.Context(), by, p, h.at))
		}
		fn(t, h)
	})
}

func silent(context.Context, *sql.Tx, string, keys.Key) error { return nil }

func (h *house) counterparties() (out []rollover.Counterparty) {
	all, err := h.reg.List(h.t.Context())
	must(h.t, err)
	for _, p := range all {
		out = append(out, rollover.Of(p))
	}
	return out
}

func (h *house) report() rollover.Report {
	h.t.Helper()
	r, err := h.Report(h.t.Context(), h.db.Reader(), h.counterparties(), h.at)
	must(h.t, err)
	return r
}

// states is the report in short.
func (h *house) states() map[policies.RelyingPartyID]rollover.Reason {
	out := map[policies.RelyingPartyID]rollover.Reason{}
	for _, s := range h.report().Standings {
		out[s.ID] = s.Reason
	}
	return out
}

func (h *house) promote(p rollover.Promotion) (keys.Rotation, error) {
	p.Counterparties, p.At = h.counterparties(), h.at
	done, _, err := h.Promote(h.t.Context(), p, silent)
	return done, err
}

func (h *house) signs(party policies.RelyingPartyID, person policies.PersonID) rollover.Chosen {
	h.t.Helper()
	c, err := h.Choose(h.t.Context(), h.db.Reader(), party, policies.NetworkInternet, person, h.at)
	must(h.t, err)
	return c
}

// TestSwitch: towards one provider the next key signs ahead of the others, and the way back is open until it is promoted.
func TestSwitch(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		next := h.report().Next.ID
		k, err := h.SwitchTo(t.Context(), by, "a", next, "", h.at)
		must(t, err)
		if k.ID != next || h.signs("a", "").Key != next || h.signs("b", "").Key != "" {
			t.Errorf("%s; a by %+v, b by %+v", k.ID, h.signs("a", ""), h.signs("b", ""))
		}
		for what, do := range map[string]func() error{
			"to the same key again": func() error { _, err := h.SwitchTo(t.Context(), by, "a", "", "", h.at); return err },
			"to a key that isn't":   func() error { _, err := h.SwitchTo(t.Context(), by, "b", "0123", "", h.at); return err },
			"back from that":        func() error { _, err := h.SwitchBack(t.Context(), by, "b", "0123", "", h.at); return err },
		} {
			if err := do(); !errors.Is(err, identity.ErrExists) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if _, err := h.SwitchTo(t.Context(), by, "nobody", "", "", h.at); !errors.Is(err, identity.ErrNotFound) {
			t.Errorf("of nobody: %v", err)
		}
		h.at++
		_, err = h.SwitchBack(t.Context(), by, "a", next, "ログインできない", h.at)
		must(t, err)
		if h.signs("a", "").Key != "" || h.states()["a"] != rollover.ReasonHeld {
			t.Errorf("back: by %+v, %v", h.signs("a", ""), h.states())
		}
		h.at++
		if _, err := h.Confirm(t.Context(), by, "a", rollover.CameIn, next, "", h.at); !errors.Is(err, rollover.ErrNoLogin) {
			t.Errorf("came in by a key that was taken back: %v", err)
		}
		_, err = h.Confirm(t.Context(), by, "a", rollover.Told, next, "", h.at)
		must(t, err)
		if h.states()["a"] != rollover.ReasonTold {
			t.Errorf("told again: %v", h.states())
		}
		var rows []string
		q, err := h.db.Reader().QueryContext(t.Context(), `SELECT action FROM audit_row WHERE object = 'a' AND action LIKE 'rp.key.%' ORDER BY at, action`)
		must(t, err)
		defer q.Close()
		for q.Next() {
			var action string
			must(t, q.Scan(&action))
			rows = append(rows, action)
		}
		must(t, q.Err())
		if diff := cmp.Diff([]string{"rp.key.switch", "rp.key.back", "rp.key.accepted"}, rows); diff != "" {
			t.Errorf("audit (-want +got):\n%s", diff)
		}
	})
}

// TestPromote: only when all are ready, or those who aren't are left behind by name; and once.
func TestPromote(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		r := h.report()
		all := []policies.RelyingPartyID{"a", "b"}
		if _, err := h.promote(rollover.Promotion{Leave: all}); !errors.Is(err, keys.ErrTooEarly) {
			t.Errorf("at once: %v", err)
		}
		h.at += 14 * day
		if _, err := h.promote(rollover.Promotion{Leave: all[:1]}); !errors.Is(err, rollover.ErrNotReady) || !strings.Contains(err.Error(), ": b: ") {
			t.Errorf("one isn't ready: %v", err)
		}
		if _, err := h.promote(rollover.Promotion{Leave: []policies.RelyingPartyID{"a", "b", "c"}}); !errors.Is(err, identity.ErrNotFound) {
			t.Errorf("an unknown one is left behind: %v", err)
		}
		if now := h.report(); now.Active.ID != r.Active.ID || now.Next.ID != r.Next.ID {
			t.Error("a refused promotion has done something")
		}
		_, err := h.SwitchTo(t.Context(), by, "a", "", "", h.at)
		must(t, err)
		done, err := h.promote(rollover.Promotion{Leave: all[1:], Next: r.Next.ID})
		must(t, err)
		if done.Active.ID != r.Next.ID || done.Retired.ID != r.Active.ID || done.Retired.WithdrawnAt != 0 || h.signs("a", "").Key != "" {
			t.Errorf("%+v", done)
		}
		if _, err := h.promote(rollover.Promotion{Leave: all, Next: r.Next.ID}); !errors.Is(err, identity.ErrExists) {
			t.Errorf("once more: %v", err)
		}
		// What was known of the key that signs now stays known.
		if s := h.report().Standings[0]; s.Reason != rollover.ReasonByHand {
			t.Errorf("for the key after it: %+v", s)
		}
	})
}

// TestPromoteOnTwoNodes: of four that promote the same key at once, one does.
func TestPromoteOnTwoNodes(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		next := h.report().Next.ID
		var wg sync.WaitGroup
		var mu sync.Mutex
		done, refused := 0, 0
		for range 4 {
			wg.Go(func() {
				_, err := h.promote(rollover.Promotion{Emergency: true, Unseen: true, Next: next})
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					done++
				case errors.Is(err, identity.ErrExists):
					refused++
				default:
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if done != 1 || refused != 3 || h.report().Active.ID != next {
			t.Errorf("%d promoted, %d were refused", done, refused)
		}
	})
}

// TestEmergency: at once, whoever is ready; the old key is withdrawn. A second one in the panic of the first is refused.
func TestEmergency(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		if _, err := h.promote(rollover.Promotion{Emergency: true}); !errors.Is(err, identity.ErrRefused) {
			t.Errorf("to a key that nobody can have: %v", err)
		}
		h.at += hour
		done, err := h.promote(rollover.Promotion{Emergency: true})
		must(t, err)
		if done.Retired.WithdrawnAt != h.at {
			t.Errorf("%+v", done)
		}
		h.at += hour - 1
		if _, err := h.promote(rollover.Promotion{Emergency: true}); !errors.Is(err, identity.ErrRefused) {
			t.Errorf("the second: %v", err)
		}
		if _, err := h.promote(rollover.Promotion{Emergency: true, Unseen: true}); err != nil {
			t.Errorf("the next key is lost as well: %v", err)
		}
	})
}

// TestRehearse: one login of one person within half an hour.
func TestRehearse(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		next := h.report().Next.ID
		rehearse := func(id string, party policies.RelyingPartyID) (rollover.Rehearsal, error) {
			return h.Rehearse(t.Context(), by, rollover.Rehearsal{ID: id, Party: party, Person: "p1", Network: policies.NetworkInternet}, h.at)
		}
		if _, err := rehearse("r0", "nobody"); !errors.Is(err, identity.ErrNotFound) {
			t.Errorf("of nobody: %v", err)
		}
		_, err := rehearse("r1", "a")
		must(t, err)
		r, err := rehearse("r2", "a") // replaces it
		must(t, err)
		if c := h.signs("a", "p1"); c.Key != next || c.Rehearsal != "r2" || r.Until != h.at+hour/2 {
			t.Errorf("%+v %+v", c, r)
		}
		if h.signs("a", "p2") != (rollover.Chosen{}) || h.signs("b", "p1") != (rollover.Chosen{}) || h.signs("a", "") != (rollover.Chosen{}) {
			t.Error("somebody else's login rehearses")
		}
		if c, err := h.Choose(t.Context(), h.db.Reader(), "a", policies.NetworkLGWAN, "p1", h.at); err != nil || c.Key != "" {
			t.Errorf("in another network: %+v %v", c, err)
		}
		h.at = r.Until
		if h.signs("a", "p1").Key != "" {
			t.Error("it rehearses after its end")
		}
		h.at--
		must(t, h.db.WithTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error { return h.Rehearsed(ctx, tx, "r2", h.at) }))
		if h.signs("a", "p1").Key != "" {
			t.Error("it rehearses twice")
		}
		if n, err := h.Sweep(t.Context(), r.Until+30*day-1, 10); err != nil || n != 0 {
			t.Errorf("%d rows went: %v", n, err)
		}
		_, err = h.Confirm(t.Context(), by, "a", rollover.CameIn, next, "", h.at)
		must(t, err)
		if got := h.states()["a"]; got != rollover.ReasonAccepted {
			t.Errorf("%s", got)
		}
		if n, err := h.Sweep(t.Context(), r.Until+30*day, 10); err != nil || n != 1 {
			t.Errorf("%d rows went: %v", n, err)
		}
	})
}

// TestFetched: what anybody calls their program is shown as ASCII of a line's length.
func TestFetched(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		must(t, h.Fetched(t.Context(), "a", policies.NetworkInternet, []string{"k1", "k2"}, "a\x1b[31m\r\n試験"+strings.Repeat("x", 100), h.at))
		must(t, h.Fetched(t.Context(), "a", policies.NetworkInternet, []string{"k1"}, "late", h.at-1)) // another node's clock
		s := h.report().Standings[0]
		if want := "a[31m" + strings.Repeat("x", 75); s.Fetched.Note != want || s.Fetched.At != h.at {
			t.Errorf("%+v", s.Fetched)
		}
		if err := h.Fetched(t.Context(), "nobody", policies.NetworkInternet, []string{"k1"}, "", h.at); err == nil {
			t.Error("a fetch of nobody is remembered")
		}
	})
}

// TestWarn: each threshold of a key once, also when its telling failed before.
func TestWarn(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		var told []int
		endings := []rollover.Ending{{Key: keys.Key{ID: "k"}, Soon: true, Days: 90}, {Key: keys.Key{ID: "k"}, Soon: true, Days: 30}, {Key: keys.Key{ID: "far"}}}
		no := errors.New("no")
		if err := h.Warn(t.Context(), endings, h.at, func(context.Context, *sql.Tx, rollover.Ending) error { return no }); !errors.Is(err, no) {
			t.Errorf("%v", err)
		}
		for range 2 {
			must(t, h.Warn(t.Context(), endings, h.at, func(_ context.Context, _ *sql.Tx, e rollover.Ending) error { told = append(told, e.Days); return nil }))
		}
		if diff := cmp.Diff([]int{90, 30}, told); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}
