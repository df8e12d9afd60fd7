package console

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/directory"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/policies"
)

func TestTicketWorksOnce(t *testing.T) {
	migrated.Each(t, func(t *testing.T, db *sqldb.DB) {
		h := newHub(t, db, nil)
		people := h.country()
		path := h.ticket(people.planner)
		b := &browser{h: h}
		for range 3 { // link checkers and previews look too
			wantText(t, b.get(path), http.StatusOK, `<form method="post">`)
			if a := b.do(http.MethodHead, path, nil); a.status != http.StatusOK {
				t.Fatal(a.status)
			}
		}
		if b.cookie != "" {
			t.Fatal("looking at the address opened a session")
		}
		a := b.do(http.MethodPost, path, nil)
		if a.status != http.StatusSeeOther || a.header.Get("Location") != "/" {
			t.Fatal(a.status, a.header)
		}
		set := a.header.Get("Set-Cookie")
		for _, part := range []string{"HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=28800"} {
			if !strings.Contains(set, part) {
				t.Errorf("the cookie lacks %s: %s", part, set)
			}
		}
		wantText(t, b.get("/"), http.StatusOK, "計画 一郎", "デジタル庁", "すべての組織")

		second := &browser{h: h}
		wantText(t, second.get(path), http.StatusGone, "使用済み", "musubi open --as FILE")
		wantText(t, second.do(http.MethodPost, path, nil), http.StatusGone, "使用済み")
		if second.cookie != "" {
			t.Error("a used ticket gave a session")
		}
		wantText(t, second.get("/open/"+strings.Repeat("A", 43)), http.StatusNotFound, "使えません")
		wantText(t, second.do(http.MethodPost, "/open/x", nil), http.StatusNotFound, "使えません")
	})
}

func TestTicketExpires(t *testing.T) {
	migrated.Each(t, func(t *testing.T, db *sqldb.DB) {
		h := newHub(t, db, nil)
		people := h.country()
		path := h.ticket(people.planner)
		h.clock.forward(TicketLife - time.Microsecond)
		b := &browser{h: h}
		wantText(t, b.get(path), http.StatusOK)
		h.clock.forward(time.Microsecond)
		wantText(t, b.get(path), http.StatusGone, "期限切れ", "musubi open --as FILE")
		wantText(t, b.do(http.MethodPost, path, nil), http.StatusGone, "期限切れ")
		if b.cookie != "" {
			t.Error("an expired ticket gave a session")
		}
		// Old rows go when the next ticket is made.
		h.clock.forward(ticketKept + time.Microsecond)
		h.ticket(people.planner)
		var n int
		if err := db.Reader().QueryRowContext(t.Context(), "SELECT COUNT(*) FROM console_ticket").Scan(&n); err != nil || n != 1 {
			t.Error(n, err)
		}
	})
}

// Of many who press the button at once, one gets a session.
func TestTicketRace(t *testing.T) {
	migrated.Each(t, func(t *testing.T, db *sqldb.DB) {
		h := newHub(t, db, nil)
		path := h.ticket(h.country().planner)
		var wg sync.WaitGroup
		var mu sync.Mutex
		won := 0
		for range 8 {
			wg.Go(func() {
				cookie, err := redeem(t.Context(), db, strings.TrimPrefix(path, "/open/"), "", h.clock.now(), rand.Reader)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil && cookie != "":
					won++
				case !errors.Is(err, errTicketUsed):
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if won != 1 {
			t.Errorf("%d sessions from one ticket", won)
		}
	})
}

// Another person's ticket gives that person's session and ends the one that the browser had.
func TestTicketOfAnotherPerson(t *testing.T) {
	h := sqliteHub(t)
	people := h.country()
	b := h.open(people.sapporoAdmin)
	first := b.cookie
	wantText(t, b.get("/"), http.StatusOK, "札幌管理 太郎")
	if a := b.do(http.MethodPost, h.ticket(people.aomoriAdmin), nil); a.status != http.StatusSeeOther {
		t.Fatal(a.status)
	}
	if a := b.get("/"); strings.Contains(a.body, "札幌管理") || !strings.Contains(a.body, "青森管理 三郎") {
		t.Error("the page isn't the second person's")
	}
	old := &browser{h: h, cookie: first}
	wantText(t, old.get("/"), http.StatusUnauthorized)
}

func TestOnlyPeopleGetTickets(t *testing.T) {
	h := sqliteHub(t)
	h.country()
	root, err := access.BreakGlass("root")
	if err != nil {
		t.Fatal(err)
	}
	for _, actor := range []access.Actor{root, access.System(policies.TaskConsole), {}, {Kind: access.KindPerson}} {
		path, err := Ticket(t.Context(), h.db, actor, h.clock.now(), rand.Reader)
		if !errors.Is(err, identity.ErrRefused) || path != "" {
			t.Errorf("%q: %q, %v", actor.Kind, path, err)
		}
	}
	if _, err := Ticket(t.Context(), h.db, access.Actor{Kind: access.KindPerson, Person: identity.Person{ID: "p1"}}, h.clock.now(), bytes.NewReader(nil)); err == nil {
		t.Error("a ticket without randomness")
	}
}

func TestSessionEnds(t *testing.T) {
	migrated.Each(t, func(t *testing.T, db *sqldb.DB) {
		h := newHub(t, db, nil)
		people := h.country()

		b := h.open(people.planner)
		h.clock.forward(sessionIdle - time.Microsecond)
		wantText(t, b.get("/"), http.StatusOK)
		h.clock.forward(sessionIdle)
		wantText(t, b.get("/"), http.StatusUnauthorized, "期限が切れました", "musubi open --as FILE")
		if b.cookie != "" {
			t.Error("the cookie of an ended session stays")
		}

		b = h.open(people.planner)
		for spent := time.Duration(0); spent < sessionLife; spent += 30 * time.Minute { // busy all day
			wantText(t, b.get("/orgs"), http.StatusOK)
			h.clock.forward(30 * time.Minute)
		}
		wantText(t, b.get("/orgs"), http.StatusUnauthorized, "期限が切れました")

		b = h.open(people.planner)
		other := &browser{h: h, cookie: b.cookie}
		if a := b.do(http.MethodPost, "/logout", nil); a.status != http.StatusSeeOther || a.header.Get("Location") != "/closed" {
			t.Error(a.status, a.header)
		}
		wantText(t, b.get("/closed"), http.StatusOK, "ログアウトしました")
		wantText(t, b.get("/"), http.StatusUnauthorized, "閉じています")
		wantText(t, other.get("/"), http.StatusUnauthorized)
		if a := b.do(http.MethodPost, "/logout", nil); a.status != http.StatusSeeOther {
			t.Error("leaving twice:", a.status)
		}

		b = h.open(people.aomoriAdmin)
		if err := h.dir.EndPerson(t.Context(), everywhere, people.aomoriAdmin.ID, directory.Author{Source: "test"}); err != nil {
			t.Fatal(err)
		}
		wantText(t, b.get("/"), http.StatusUnauthorized, "期限が切れました")
	})
}

// A session that was begun with a credential ends with it.
func TestSessionEndsWithItsCredential(t *testing.T) {
	h := sqliteHub(t)
	people := h.country()
	scope := h.scope(people.planner, policies.ActionPeopleWrite, policies.Context{})
	issue := func() access.Token {
		var token access.Token
		err := h.db.WithTx(t.Context(), func(ctx context.Context, tx *sql.Tx) (err error) {
			token, err = access.Issue(ctx, tx, access.Issuance{
				By: h.actor(people.planner), Scope: scope, Person: people.sapporoAdmin, Now: h.clock.now(), Expires: h.clock.now().Add(30 * time.Minute), Random: rand.Reader,
			})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	enter := func(token access.Token) *browser {
		actor, err := h.resolver.Authenticate(t.Context(), token)
		if err != nil {
			t.Fatal(err)
		}
		path, err := Ticket(t.Context(), h.db, actor, h.clock.now(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		b := &browser{h: h}
		b.do(http.MethodPost, path, nil)
		return b
	}
	token := issue()
	b := enter(token)
	wantText(t, b.get("/"), http.StatusOK, "札幌管理")
	err := h.db.WithTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
		return access.Revoke(ctx, tx, h.actor(people.planner), scope, token.ID(), h.clock.now())
	})
	if err != nil {
		t.Fatal(err)
	}
	wantText(t, b.get("/"), http.StatusUnauthorized, "権限が取り消された")

	b = enter(issue())
	h.clock.forward(30 * time.Minute)
	wantText(t, b.get("/"), http.StatusUnauthorized)
}

func TestSecretsStayOut(t *testing.T) {
	var logged bytes.Buffer
	h := newHub(t, migrated.Open(t, sqldb.SQLite), func(c *Config) {
		c.Logger = slog.New(slog.NewJSONHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	people := h.country()
	path := h.ticket(people.planner)
	b := &browser{h: h}
	b.do(http.MethodPost, path, nil)
	wantText(t, b.get("/"), http.StatusOK)
	ticket, cookie := strings.TrimPrefix(path, "/open/"), b.cookie

	for _, table := range []string{"console_ticket", "console_session", "audit_row"} {
		if text := dump(t, h.db, table); strings.Contains(text, ticket) || strings.Contains(text, cookie) {
			t.Errorf("%s holds a secret", table)
		}
	}
	for _, want := range []string{"console.ticket", "console.open"} {
		if !strings.Contains(dump(t, h.db, "audit_row"), want) {
			t.Errorf("no audit row %s", want)
		}
	}
	// A failure of the database is logged, without the path.
	if err := h.db.Close(); err != nil {
		t.Fatal(err)
	}
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		a := b.do(method, path, nil)
		wantText(t, a, http.StatusInternalServerError, "表示できませんでした")
		if strings.Contains(a.body, ticket) {
			t.Error("the page repeats the ticket")
		}
	}
	wantText(t, b.get("/"), http.StatusInternalServerError)
	if logged.Len() == 0 || strings.Contains(logged.String(), ticket) || strings.Contains(logged.String(), cookie) {
		t.Errorf("log: %s", logged.String())
	}
}

// dump gives a table's rows as text.
func dump(t *testing.T, db *sqldb.DB, table string) string {
	t.Helper()
	rows, err := db.Reader().QueryContext(t.Context(), "SELECT * FROM "+table)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for rows.Next() {
		values := make([]sql.NullString, len(columns))
		into := make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		for _, v := range values {
			b.WriteString(v.String + "\t")
		}
		b.WriteString("\n")
	}
	if rows.Err() != nil {
		t.Fatal(rows.Err())
	}
	return b.String()
}

// What the audit log says of a session can be found by its person.
func TestSessionIsAudited(t *testing.T) {
	h := sqliteHub(t)
	people := h.country()
	b := h.open(people.sapporoAdmin)
	b.do(http.MethodPost, "/logout", nil)
	text := dump(t, h.db, "audit_row")
	for _, action := range []string{"console.ticket", "console.open", "console.close"} {
		if !strings.Contains(text, string(people.sapporoAdmin.ID)+"\t"+string(audit.ActorPerson)+"\t"+action) {
			t.Errorf("no row of %s:\n%s", action, text)
		}
	}
}
