package notice_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/connectors"
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/directory"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/dated"
	"github.com/musubi-hub/musubi/sync/jobs"
	"github.com/musubi-hub/musubi/sync/notice"
)

// post is a relay that refuses as often as it is told to.
type post struct {
	mu     sync.Mutex
	sent   []connectors.Message
	refuse []error
}

func (p *post) SendMessage(_ context.Context, m connectors.Message) (connectors.Sent, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.refuse) > 0 {
		err := p.refuse[0]
		p.refuse = p.refuse[1:]
		return connectors.Sent{}, err
	}
	p.sent = append(p.sent, m)
	return connectors.Sent{ID: m.Key}, m.Check()
}

func (p *post) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.sent)
}

var everywhere = policies.System(policies.TaskTest)

// A notice is kept and mailed, once, to the system administrators in service and to nobody else; a relay that is away is tried again; a mail
// that it refuses is a dead letter.
func TestMail(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		if err := db.Migrate(t.Context(), sqldb.Tables(), directory.Migration()); err != nil {
			t.Fatal(err)
		}
		if err := jobs.Migrate(t.Context(), db); err != nil {
			t.Fatal(err)
		}
		q := dated.New(nil)
		q.Also(notice.Insert)
		made := 0
		dir := directory.New(db, directory.Options{Now: time.Now, Enqueuer: q, NewID: func() policies.PersonID {
			made++
			return policies.PersonID(strings.Repeat("p", made))
		}})
		for _, o := range []identity.Organization{
			{ID: "8000012010038", Kind: policies.KindAgency, Name: "デジタル庁"}, {ID: "010006", Kind: policies.KindPrefecture, Name: "北海道"},
		} {
			if _, err := dir.AddOrganization(t.Context(), everywhere, o, directory.Author{Source: "test"}); err != nil {
				t.Fatal(err)
			}
		}
		for i, p := range []identity.Person{
			{Org: "8000012010038", Role: policies.RoleSystemAdministrator, FamilyName: "管理一", Email: "a@digital.example.go.jp"},
			{Org: "8000012010038", Role: policies.RoleSystemAdministrator, FamilyName: "管理二", Email: "b@digital.example.go.jp"},
			{Org: "8000012010038", Role: policies.RoleGeneral, FamilyName: "一般", Email: "c@digital.example.go.jp"},
			{Org: "010006", Role: policies.RoleAdministrator, FamilyName: "道", Email: "d@hokkaido.example.lg.jp"},
		} {
			p.StaffNumber = string(rune('1' + i))
			if _, err := dir.AddPerson(t.Context(), everywhere, p, directory.Author{Source: "test"}); err != nil {
				t.Fatal(err)
			}
		}
		relay := &post{refuse: []error{&connectors.Error{Kind: connectors.KindUnavailable, Op: "send"}}}
		w := jobs.NewWorkers()
		dated.Register(w, dir, slog.New(slog.DiscardHandler))
		notice.Register(w, dir, relay, func() string { return "http://127.0.0.1:8080" })
		queues := dated.Queues()
		for name, queue := range notice.Queues() {
			queues[name] = queue
		}
		client, err := jobs.New(jobs.Config{DB: db, Workers: w, NodeID: "node", Queues: queues})
		if err != nil {
			t.Fatal(err)
		}
		q.Bind(client)
		enqueue := func(n identity.Notice) {
			t.Helper()
			tx, err := db.Writer().BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(q.EnqueueNotice(t.Context(), tx, n), tx.Commit()); err != nil {
				t.Fatal(err)
			}
		}
		n := identity.Notice{ID: "plan 1", At: 1, Kind: identity.NoticePlan, Object: strings.Repeat("ab", 32), Detail: "変更 3 件"}
		enqueue(n)
		enqueue(n)
		if err := client.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = client.Stop(context.WithoutCancel(t.Context())) }()
		wait := func(what string, ok func() bool) {
			t.Helper()
			for deadline := time.Now().Add(60 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatal("never: " + what)
				}
			}
		}
		wait("the mail", func() bool { return relay.count() == 1 })
		m := relay.sent[0]
		if len(m.To) != 2 || m.To[0].Address == m.To[1].Address || strings.Contains(m.Text, "管理一") {
			t.Errorf("%+v", m)
		}
		for _, to := range m.To {
			if to.Address != "a@digital.example.go.jp" && to.Address != "b@digital.example.go.jp" {
				t.Errorf("mailed to %s", to.Address)
			}
		}
		relay.mu.Lock()
		relay.refuse = []error{&connectors.Error{Kind: connectors.KindInvalid, Op: "send"}}
		relay.mu.Unlock()
		enqueue(identity.Notice{ID: "plan 2", At: 2, Kind: identity.NoticePlan, Object: "x"})
		wait("the dead letter", func() bool {
			dead, err := client.List(t.Context(), jobs.Filter{States: jobs.DeadLetters()}, jobs.Page{})
			return err == nil && len(dead) == 1 && dead[0].Kind == "notice.mail.v1"
		})
		wait("both notices kept", func() bool {
			kept, err := dir.Notices(t.Context(), everywhere, 0)
			return err == nil && len(kept) == 2
		})
		if relay.count() != 1 {
			t.Errorf("mailed %d", relay.count())
		}
	})
}

func TestCompose(t *testing.T) {
	subjects := map[string]bool{}
	keys := map[string]bool{}
	for i, about := range []string{identity.NoticePlan, identity.NoticeVacancy, identity.NoticeBlocked, "something.else"} {
		a := notice.MailArgs{ID: about, At: 1_790_000_000_000_000, About: about, Org: "011002", Object: strings.Repeat("ab", 32), Detail: "3"}
		m := notice.Compose(a, "http://127.0.0.1:8080")
		m.To = []connectors.Recipient{{Address: "a@example.go.jp"}}
		if err := m.Check(); err != nil {
			t.Error(err)
		}
		subjects[m.Subject], keys[m.Key] = true, true
		if again := notice.Compose(a, "http://127.0.0.1:8080"); again.Key != m.Key || again.Text != m.Text {
			t.Errorf("%s: another mail the second time", about)
		}
		if linked := strings.Contains(m.Text, "http://127.0.0.1:8080/"); linked != (i < 2) {
			t.Errorf("%s: page %t:\n%s", about, linked, m.Text)
		}
		if strings.Contains(notice.Compose(a, "").Text, "画面 / page") {
			t.Errorf("%s: a link to nowhere", about)
		}
	}
	if len(subjects) != 4 || len(keys) != 4 {
		t.Errorf("%v, %v", subjects, keys)
	}
}
