package console

import (
	"context"
	"crypto/rand"
	"database/sql"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/directory"
	"github.com/musubi-hub/musubi/identity/invitation"
	"github.com/musubi-hub/musubi/identity/mynumber"
	"github.com/musubi-hub/musubi/identity/password"
	"github.com/musubi-hub/musubi/identity/session"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/logout"
)

// loginHub is a hub whose people log in, with what the pages need to know of it: everything is real but the login itself.
type loginHub struct {
	*hub
	people   cast
	ministry identity.Person // an administrator of a ministry
	sessions *session.Store
	links    *mynumber.Links
	told     map[string]int // acts of which somebody was told
	logouts  []logout.Receipt
}

// CardReleased implements mynumber.Notices.
func (l *loginHub) CardReleased(context.Context, *sql.Tx, identity.Person, int64) error {
	l.told["card"]++
	return nil
}

type named struct{ *directory.Store }

func (named) PersonNamed(context.Context, string) (policies.PersonID, error) {
	return "", identity.ErrNotFound
}

type notBreached struct{}

func (notBreached) Contains(string) (bool, error) { return false, nil }

func newLoginHub(t *testing.T, db *sqldb.DB) *loginHub {
	t.Helper()
	l := &loginHub{told: map[string]int{}}
	l.hub = newHub(t, db, func(c *Config) {
		engine, err := loaded()
		if err != nil {
			t.Fatal(err)
		}
		l.sessions = session.New(db, c.Resolver, access.NewPosts(c.Directory), engine)
		if l.links, err = mynumber.NewLinks(db, make([]byte, 32), c.Resolver); err != nil {
			t.Fatal(err)
		}
		passwords, err := password.New(password.Config{
			DB: db, Names: named{c.Directory}, Sessions: l.sessions, Breached: notBreached{}, Cost: password.Cost{Time: 1, Memory: 8, Threads: 1}, Random: rand.Reader,
		})
		if err != nil {
			t.Fatal(err)
		}
		c.Login = &Login{
			Who: func(r *http.Request) (access.Actor, session.Session, bool) {
				s, a, err := l.sessions.Read(r.Context(), session.FromRequest(r, session.CookieName), policies.NetworkLGWAN, c.Now())
				return a, s, err == nil
			},
			Prove:    func(_ *http.Request, back string) string { return "/login?again=1&to=" + url.QueryEscape(back) },
			Logout:   func(*http.Request) LogoutForm { return LogoutForm{"/logout", map[string]string{"token": "of signin"}} },
			Sessions: "/sessions",
			Posts:    func(*http.Request) string { return "/login/post" },
		}
		c.Accounts = &Accounts{
			Releases: mynumber.Releases{Links: l.links, Sessions: l.sessions, Notices: l}, Passwords: passwords, Sessions: l.sessions,
			Invitations: invitation.New(db, rand.Reader),
			InvitationAddress: func(_ identity.Organization, path string) string {
				return "https://login.example.go.jp/invitation/" + path
			},
			Tell: func(_ context.Context, _ *sql.Tx, _ identity.Person, act string, _ int64) error {
				l.told[act]++
				return nil
			},
			Logouts: func(_ context.Context, states []logout.State, _ int) (out []logout.Receipt, err error) {
				for _, x := range l.logouts {
					if slices.Contains(states, x.State) {
						out = append(out, x)
					}
				}
				return out, nil
			},
		}
	})
	l.people = l.country()
	l.ministry = l.person(ministry, policies.RoleAdministrator, "総務管理", "六子")
	return l
}

func loginSQLite(t *testing.T) *loginHub {
	t.Helper()
	return newLoginHub(t, migrated.Open(t, sqldb.SQLite))
}

// login gives a browser in which the person has just logged in with the card, in the post of org ("": the main one).
func (l *loginHub) login(p identity.Person, change ...func(*session.Opening)) *browser {
	l.t.Helper()
	b := &browser{h: l.hub}
	l.prove(b, p, change...)
	return b
}

// prove is a new proof of the person in the browser.
func (l *loginHub) prove(b *browser, p identity.Person, change ...func(*session.Opening)) {
	l.t.Helper()
	secret, err := session.NewSecret(rand.Reader)
	if err != nil {
		l.t.Fatal(err)
	}
	now := l.clock.now().UnixMicro()
	o := session.Opening{
		Person: p.ID, Org: p.Org, Network: policies.NetworkLGWAN, Assurance: policies.AssuranceCard, AMR: []string{"hwk", "pin"}, Method: identity.MethodCard,
		Credential: "card of " + string(p.ID), AuthAt: now, Now: now, Agent: "Browser", Secret: secret, Before: b.secret,
	}
	for _, c := range change {
		c(&o)
	}
	err = l.db.WithTx(l.t.Context(), func(ctx context.Context, tx *sql.Tx) error {
		_, err := l.sessions.Open(ctx, tx, o)
		return err
	})
	if err != nil {
		l.t.Fatal(err)
	}
	b.secret = o.Secret
}

// inPost lets a session be in another post.
func inPost(org policies.OrgID) func(*session.Opening) {
	return func(o *session.Opening) { o.Org = org }
}

// link gives the person a card.
func (l *loginHub) link(p identity.Person) {
	l.t.Helper()
	err := l.db.WithTx(l.t.Context(), func(ctx context.Context, tx *sql.Tx) error {
		return l.links.Link(ctx, tx, p.ID, tokenHash(string(p.ID)), l.clock.now().UnixMicro())
	})
	if err != nil {
		l.t.Fatal(err)
	}
}

// post gives the person a concurrent post from now on.
func (l *loginHub) post(p identity.Person, org policies.OrgID, role policies.Role) {
	l.t.Helper()
	_, err := l.dir.AddTransfer(l.t.Context(), everywhere, identity.Transfer{
		Person: p.ID, Kind: identity.TransferConcurrent, To: org, Role: role, Section: "総務課", Title: "兼務", At: l.clock.now().UnixMicro(),
	}, directory.Author{Source: "test"})
	if err != nil {
		l.t.Fatal(err)
	}
	if _, err := l.dir.Activate(l.t.Context()); err != nil {
		l.t.Fatal(err)
	}
}

// refusals counts the audit log's refused rows.
func (h *hub) refusals() (n int) {
	h.t.Helper()
	if err := h.db.Reader().QueryRowContext(h.t.Context(), "SELECT COUNT(*) FROM audit_row WHERE outcome = 'refused'").Scan(&n); err != nil {
		h.t.Fatal(err)
	}
	return n
}

// actions counts the audit log's rows of an action.
func (h *hub) actions(action string) (n int) {
	h.t.Helper()
	if err := h.db.Reader().QueryRowContext(h.t.Context(), "SELECT COUNT(*) FROM audit_row WHERE action = $1", action).Scan(&n); err != nil {
		h.t.Fatal(err)
	}
	return n
}

// with adds fields to a form.
func with(form url.Values, pairs ...string) url.Values {
	out := maps.Clone(form)
	for i := 0; i+1 < len(pairs); i += 2 {
		out.Set(pairs[i], pairs[i+1])
	}
	return out
}

// later lets a proof grow too old while its session goes on.
func (l *loginHub) later(b *browser) {
	l.t.Helper()
	for spent := time.Duration(0); spent < ProofLife; spent += 5 * time.Minute {
		l.clock.forward(5 * time.Minute)
		if a := b.get("/"); a.status != http.StatusOK {
			l.t.Fatalf("the session ended: %d", a.status)
		}
	}
}
