package logout_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/oidcop"
	"github.com/musubi-hub/musubi/identity/samlidp"
	"github.com/musubi-hub/musubi/identity/samlidp/sp"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/policies/load"
	"github.com/musubi-hub/musubi/sync/jobs"
	"github.com/musubi-hub/musubi/sync/logout"
)

// Each protocol's jobs go to its own issuer, whatever ids they share, and end in dead letters of their own kind.
func TestBothIssuers(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		if err := jobs.Migrate(t.Context(), db); err != nil {
			t.Fatal(err)
		}
		openid, saml := newIssuer(t, db), newIssuer(t, db)
		saml.answer = func(_ context.Context, party string) error {
			if party == "away" {
				return errors.New("away")
			}
			return nil
		}
		h := &hub{issuer: openid, queue: logout.New()}
		now := func() time.Time { return time.Now().Add(time.Duration(h.ahead.Load())) }
		w := jobs.NewWorkers()
		logout.Register(w, openid, openid, now, slog.New(slog.DiscardHandler))
		logout.RegisterSAML(w, saml, saml, now, slog.New(slog.DiscardHandler))
		c, err := jobs.New(jobs.Config{DB: db, Workers: w, NodeID: "n", Queues: logout.Queues(), Now: now, ScheduleEvery: 50 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		h.jobs = c
		h.queue.Bind(c)
		err = db.WithTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
			for _, id := range []string{"desk/1", "wiki/1", "away/1"} {
				if _, err := tx.ExecContext(ctx, `INSERT INTO test_logout (id, state, sent) VALUES ($1, 'pending', 0)`, id); err != nil {
					return err
				}
			}
			for _, id := range []string{"wiki/1", "away/1"} {
				if err := h.queue.SAML().EnqueueLogout(ctx, tx, id); err != nil {
					return err
				}
			}
			return h.queue.EnqueueLogout(ctx, tx, "desk/1")
		})
		if err != nil {
			t.Fatal(err)
		}
		h.start(t)
		defer h.stop(t)
		eventually(t, "two are delivered, one is tried", func() bool { return h.count(t, "delivered") == 2 && saml.called("away") > 0 })
		if openid.called("desk") != 1 || openid.called("wiki")+openid.called("away") != 0 || saml.called("wiki") != 1 || saml.called("desk") != 0 {
			t.Errorf("openid %q, saml %q", openid.calls, saml.calls)
		}
		h.ahead.Store(int64(logout.GiveUpAfter + time.Hour))
		eventually(t, "it is given up", func() bool { return h.count(t, "failed") == 1 && len(h.dead(t)) == 1 })
		if dead := h.dead(t); dead[0].Kind != "saml.logout.v1" || dead[0].LastError == "" {
			t.Errorf("dead letters: %+v", dead)
		}
	})
}

// inserted takes what is enqueued.
type inserted struct{ kinds []string }

func (i *inserted) InsertTx(_ context.Context, _ *sql.Tx, ins ...jobs.Insert) (int, error) {
	for _, x := range ins {
		i.kinds = append(i.kinds, x.Args.Kind()+" "+x.Args.Key())
	}
	return len(ins), nil
}

// The receipts of both protocols are one list, in pages; what failed is taken up again by its own kind of job.
func TestReceiptsOfBoth(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		must(db.Migrate(t.Context(), audit.Migration(db.Engine()), oidcop.Migration(), sp.Migration(), samlidp.Migration()))
		for i := range 6 {
			states := []string{"failed", "pending", "delivered"}
			_, err := db.Writer().ExecContext(t.Context(), `INSERT INTO oidc_logout (id, party, network, session, sid, sub, state, tries, status, why, created_at, settled_at)
				VALUES ($1, 'desk', 'internet', $2, 'sid', 'sub', $3, 1, 400, 'refused', $4, 0)`, fmt.Sprintf("o%d", i), fmt.Sprintf("s%d", i%2), states[i%3], 100+i/2)
			must(err)
			states = []string{"failed", "untold", "unconfirmed"}
			channels := []string{"soap", "front", "soap"}
			_, err = db.Writer().ExecContext(t.Context(), `INSERT INTO saml_logout (id, party, network, session, session_index, name_id, format, channel, state, leave, request,
				tries, status, why, until, created_at, asked_at, settled_at) VALUES ($1, 'wiki', 'internet', $2, 'i', 'n', 'f', $3, $4, '', '', $5, 0, 'given_up', 999, $6, 0, 0)`,
				fmt.Sprintf("m%d", i), fmt.Sprintf("s%d", i%2), channels[i%3], states[i%3], 1-i%3%2, 100+i/2)
			must(err)
		}
		r := logout.Receipts{DB: db}
		list := func(f logout.Filter) (ids []string) {
			t.Helper()
			if f.Limit == 0 {
				f.Limit = 100
			}
			all, err := r.List(t.Context(), f)
			must(err)
			for _, l := range all {
				if (l.Protocol == logout.OpenID) != (l.ID[0] == 'o') || (l.Until == 999) != (l.Protocol == logout.SAML) {
					t.Errorf("%+v", l)
				}
				ids = append(ids, l.ID)
			}
			return ids
		}
		all := []string{"o5", "o4", "m5", "m4", "o3", "o2", "m3", "m2", "o1", "o0", "m1", "m0"}
		if got := list(logout.Filter{}); !slices.Equal(got, all) {
			t.Errorf("%q", got)
		}
		var paged []string
		for before := ""; ; {
			page := list(logout.Filter{Limit: 5, Before: before})
			paged = append(paged, page...)
			if len(page) < 5 {
				break
			}
			before = page[4]
		}
		if !slices.Equal(paged, all) {
			t.Errorf("in pages: %q", paged)
		}
		for name, c := range map[string]struct {
			f    logout.Filter
			want []string
		}{
			"failed":         {logout.Filter{States: []logout.State{logout.Failed}}, []string{"o3", "m3", "o0", "m0"}},
			"unproven":       {logout.Filter{States: []logout.State{logout.Untold, logout.Unconfirmed}}, []string{"m5", "m4", "m2", "m1"}},
			"one provider's": {logout.Filter{RelyingParty: "wiki", Session: "s1"}, []string{"m5", "m3", "m1"}},
			"late":           {logout.Filter{Late: true}, []string{"o4", "m5", "o3", "m3", "m2", "o1", "o0", "m0"}},
		} {
			if got := list(c.f); !slices.Equal(got, c.want) {
				t.Errorf("%s: %q, want %q", name, got, c.want)
			}
		}
		if _, err := r.List(t.Context(), logout.Filter{Limit: 5, Before: "nothing"}); !errors.Is(err, identity.ErrNotFound) {
			t.Error(err)
		}
		open, err := r.Open(t.Context())
		if err != nil || open[logout.Pending] != 2 || open[logout.Failed] != 4 || open[logout.Untold] != 2 || open[logout.Unconfirmed] != 2 || len(open) != 4 {
			t.Errorf("%v %v", open, err)
		}

		engine, err := load.Default()
		must(err)
		boss := access.Actor{
			Kind: access.KindPerson, Person: identity.Person{ID: "boss", Org: "agency", Role: policies.RoleSystemAdministrator},
			Org: identity.Organization{ID: "agency", Kind: policies.KindAgency},
		}
		scope, err := engine.Scope(boss.Policy(), policies.ActionJobsWrite, nil)
		must(err)
		queue, got := logout.New(), &inserted{}
		queue.Bind(got)
		reopen := func(id string) (p logout.Protocol, err error) {
			err = db.WithTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
				p, err = r.Reopen(ctx, tx, queue, boss, scope, id, 500)
				return err
			})
			return p, err
		}
		for id, want := range map[string]error{"o0": nil, "m0": nil, "m5": nil, "o1": logout.ErrNotFailed, "m1": logout.ErrNotFailed, "nothing": identity.ErrNotFound} {
			if p, err := reopen(id); !errors.Is(err, want) || err == nil && (p == logout.OpenID) != (id[0] == 'o') {
				t.Errorf("%s: %s, %v", id, p, err)
			}
		}
		slices.Sort(got.kinds)
		if !slices.Equal(got.kinds, []string{"oidc.logout.v1 o0 500", "saml.logout.v1 m0 500", "saml.logout.v1 m5 500"}) {
			t.Errorf("%q", got.kinds)
		}
	})
}
