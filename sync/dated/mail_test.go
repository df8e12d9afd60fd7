package dated_test

import (
	"context"
	"database/sql"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/connectors"
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/directory"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/dated"
	"github.com/musubi-hub/musubi/sync/jobs"
)

// relay keeps what it sends.
type relay struct {
	mu     sync.Mutex
	refuse bool // what is sent is wrong, for ever
	sent   []connectors.Message
}

func (r *relay) SendMessage(_ context.Context, m connectors.Message) (connectors.Sent, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := m.Check(); err != nil {
		return connectors.Sent{}, err
	}
	if r.refuse {
		return connectors.Sent{}, &connectors.Error{Kind: connectors.KindInvalid, Vendor: "mail", Op: "send"}
	}
	r.sent = append(r.sent, m)
	return connectors.Sent{}, nil
}

func (r *relay) all() []connectors.Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]connectors.Message(nil), r.sent...)
}

// A mail that the relay refuses for good is a dead letter that somebody sees; the notice itself is kept all the same.
func TestMailDeadLetter(t *testing.T) {
	tables.Each(t, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(t, db, time.Now, "a", func(kinds *jobs.Workers, s *directory.Store) {
			dated.Register(kinds, s, dated.Mail{Sender: &relay{refuse: true}, Roster: s}, slog.New(slog.DiscardHandler))
		})
		if _, err := w.store.AddOrganization(t.Context(), everything, identity.Organization{ID: "8000012010038", Kind: policies.KindAgency, Name: "デジタル庁"}, tester); err != nil {
			t.Fatal(err)
		}
		if _, err := w.store.AddPerson(t.Context(), everything, identity.Person{
			Org: "8000012010038", StaffNumber: "A", FamilyName: "試験", Email: "a@digital.example.go.jp", Role: policies.RoleSystemAdministrator,
		}, tester); err != nil {
			t.Fatal(err)
		}
		q := dated.New(&w.left)
		q.Bind(w.jobs)
		notice := identity.Notice{ID: "x", At: time.Now().UnixMicro(), Kind: identity.NoticePlan, Object: "0123456789abcdef", Detail: "+1"}
		if err := db.WithTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error { return q.EnqueueNotice(ctx, tx, notice) }); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		if err := w.jobs.Start(ctx); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = w.jobs.Stop(context.Background()) }()
		eventually(t, "a dead letter", func() bool {
			dead, err := w.jobs.List(t.Context(), jobs.Filter{States: jobs.DeadLetters()}, jobs.Page{})
			return err == nil && len(dead) == 1 && dead[0].Kind == "directory.notice_mail.v1"
		})
		eventually(t, "the notice is kept", func() bool {
			list, err := w.store.Notices(t.Context(), everything, 10)
			return err == nil && len(list) == 1
		})
	})
}

// A notice is mailed to the system administrators in service, once, and to nobody else.
func TestNoticesAreMailed(t *testing.T) {
	tables.Each(t, func(t *testing.T, db *sqldb.DB) {
		r := &relay{}
		w := newWorld(t, db, time.Now, "a", func(kinds *jobs.Workers, s *directory.Store) {
			dated.Register(kinds, s, dated.Mail{Sender: r, Roster: s}, slog.New(slog.DiscardHandler))
		})
		w.people(t, 2)
		if _, err := w.store.AddOrganization(t.Context(), everything, identity.Organization{ID: "8000012010038", Kind: policies.KindAgency, Name: "デジタル庁"}, tester); err != nil {
			t.Fatal(err)
		}
		for n, role := range []policies.Role{policies.RoleSystemAdministrator, policies.RoleSystemAdministrator, policies.RoleGeneral, policies.RoleSystemAdministrator} {
			p, err := w.store.AddPerson(t.Context(), everything, identity.Person{
				Org: "8000012010038", StaffNumber: string(rune('A' + n)), FamilyName: "試験", Email: string(rune('a'+n)) + "@digital.example.go.jp", Role: role,
			}, tester)
			if err != nil {
				t.Fatal(err)
			}
			if n == 3 {
				if err := w.store.EndPerson(t.Context(), everything, p.ID, tester); err != nil {
					t.Fatal(err)
				}
			}
		}
		q := dated.New(&w.left)
		q.Bind(w.jobs)
		notice := identity.Notice{ID: "breaker b123", At: time.Now().UnixMicro(), Kind: identity.NoticeBreaker, Object: "b123", Detail: "nation : 300 memberships"}
		glass := identity.Notice{ID: "glass", At: time.Now().UnixMicro(), Kind: identity.NoticeBreakGlass, Object: "p1"}
		for _, n := range []identity.Notice{notice, notice, glass} {
			if err := db.WithTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error { return q.EnqueueNotice(ctx, tx, n) }); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		if err := w.jobs.Start(ctx); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = w.jobs.Stop(context.Background()) }()
		eventually(t, "the mails are sent", func() bool { return len(r.all()) > 1 })
		time.Sleep(300 * time.Millisecond)
		sent := r.all()
		if len(sent) != 2 {
			t.Fatalf("%d mails", len(sent))
		}
		if strings.Contains(sent[0].Subject, "非常用") {
			sent[0], sent[1] = sent[1], sent[0]
		}
		if !strings.Contains(sent[1].Subject, "非常用アカウント") || !strings.Contains(sent[1].Text, "musubi sessions list p1") || len(sent[1].To) != 2 {
			t.Errorf("%+v", sent[1])
		}
		var to []string
		for _, x := range sent[0].To {
			to = append(to, x.Address)
		}
		if got := strings.Join(to, " "); got != "a@digital.example.go.jp b@digital.example.go.jp" {
			t.Errorf("sent to %s", got)
		}
		if !strings.Contains(sent[0].Text, "musubi breakers show b123") || !strings.Contains(sent[0].Subject, "ブレーカー") {
			t.Errorf("%s\n%s", sent[0].Subject, sent[0].Text)
		}
	})
}
