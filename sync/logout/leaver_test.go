package logout_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/directory"
	"github.com/musubi-hub/musubi/identity/session"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/policies/load"
	"github.com/musubi-hub/musubi/sync/dated"
	"github.com/musubi-hub/musubi/sync/jobs"
	"github.com/musubi-hub/musubi/sync/logout"
)

// accounts stands in for sync/provision: it hears of leavers in their transaction, and may refuse.
type accounts struct {
	left []policies.PersonID
	err  error
}

func (a *accounts) EnqueueLeaver(_ context.Context, _ *sql.Tx, l ...access.Leaver) error {
	for _, x := range l {
		a.left = append(a.left, x.Person)
	}
	return a.err
}

// hook stands in for the issuer: it writes the logout and its job in the transaction that ends the session.
type hook struct{ *hub }

func (h hook) SessionEnded(ctx context.Context, tx *sql.Tx, s session.Session, _ []session.Party) error {
	id := "jira/" + string(s.ID)
	if _, err := tx.ExecContext(ctx, `INSERT INTO test_logout (id, state, sent) VALUES ($1, 'pending', 0)`, id); err != nil {
		return err
	}
	return h.queue.EnqueueLogout(ctx, tx, id)
}

// A leaver's sessions end in the transaction that ends the person, whichever way service ends, and the relying party hears of it: the whole chain
// as cmd wires it. What is undone ends nothing.
func TestLeaver(t *testing.T) {
	everything := policies.System(policies.TaskTest)
	by := directory.Author{Source: "test"}
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		must(db.Migrate(t.Context(), sqldb.Tables(), directory.Migration(), access.Migration(), audit.Migration(db.Engine()), session.Migration()))
		must(jobs.Migrate(t.Context(), db))
		engine, err := load.Default()
		must(err)
		acc := &accounts{}
		later := dated.New(acc)
		leavers := &session.Leavers{Enqueuer: later} // its sessions come with the second step, as they need the directory
		people := directory.New(db, directory.Options{Now: time.Now, Enqueuer: leavers, NewID: func() policies.PersonID { return policies.PersonID(rand.Text()) }})
		resolver := access.NewResolver(db, people, engine, time.Now)
		h := &hub{issuer: newIssuer(t, db), queue: logout.New()}
		sessions := session.New(db, resolver, access.NewPosts(people), engine, hook{h})
		leavers.Sessions = sessions
		w := jobs.NewWorkers()
		dated.Register(w, people, dated.Mail{}, slog.New(slog.DiscardHandler))
		logout.Register(w, h.issuer, h.issuer, time.Now, slog.New(slog.DiscardHandler))
		queues := logout.Queues()
		for name, q := range dated.Queues() {
			queues[name] = q
		}
		h.jobs, err = jobs.New(jobs.Config{DB: db, Workers: w, NodeID: "a", Queues: queues, Now: time.Now})
		must(err)
		later.Bind(h.jobs)
		h.queue.Bind(h.jobs)

		_, err = people.AddOrganization(t.Context(), everything, identity.Organization{ID: "130001", Kind: policies.KindPrefecture, Name: "東京都"}, by)
		must(err)
		add := func(number string) identity.Person {
			t.Helper()
			p, err := people.AddPerson(t.Context(), everything, identity.Person{
				Org: "130001", StaffNumber: number, FamilyName: "試験", Email: number + "@pref.example.jp", Role: policies.RoleGeneral,
			}, by)
			must(err)
			return p
		}
		open := func(p identity.Person) session.Secret {
			t.Helper()
			secret, err := session.NewSecret(rand.Reader)
			must(err)
			must(db.WithTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
				now := time.Now().UnixMicro()
				_, err := sessions.Open(ctx, tx, session.Opening{
					Person: p.ID, Org: p.Org, Network: policies.NetworkLGWAN, Assurance: policies.AssuranceCard, Method: identity.MethodCard, AuthAt: now, Now: now, Secret: secret,
				})
				return err
			}))
			return secret
		}
		stands := func(s session.Secret) error {
			_, _, err := sessions.Read(t.Context(), s, policies.NetworkLGWAN, time.Now())
			return err
		}
		ended, moved, stays := add("1"), add("2"), add("3")
		secrets := []session.Secret{open(ended), open(ended), open(moved), open(stays)}
		for _, s := range secrets {
			must(stands(s))
		}

		acc.err = errors.New("the job engine is away")
		if err := people.EndPerson(t.Context(), everything, ended.ID, by); !errors.Is(err, acc.err) {
			t.Fatal(err)
		}
		must(stands(secrets[0]))
		if n := h.count(t, "pending"); n != 0 {
			t.Errorf("%d logouts of an end that was undone", n)
		}
		acc.err, acc.left = nil, nil

		must(people.EndPerson(t.Context(), everything, ended.ID, by))
		if n := h.count(t, "pending"); n != 2 || len(acc.left) != 1 {
			t.Errorf("%d logouts of two sessions, %q left", n, acc.left)
		}
		// By a transfer that takes effect on its day.
		_, err = people.AddTransfer(t.Context(), everything, identity.Transfer{Person: moved.ID, Kind: identity.TransferLeave, At: time.Now().Add(300 * time.Millisecond).UnixMicro()}, by)
		must(err)
		h.start(t)
		defer h.stop(t)
		eventually(t, "three logouts are delivered", func() bool { return h.count(t, "delivered") == 3 })
		for i, s := range secrets {
			if err := stands(s); errors.Is(err, session.ErrEnded) == (i == 3) {
				t.Errorf("session %d: %v", i, err)
			}
		}
	})
}
