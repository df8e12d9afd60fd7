package console

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/sqldb"
)

// fakeTrials remembers what was begun.
type fakeTrials struct {
	begun []string
	err   error
	story Story
	other string
}

func (f *fakeTrials) Offers(context.Context, access.Actor) ([]Offer, error) {
	return []Offer{
		{Kind: "leaver", Subject: "p1", Title: Text{"退職者を出す", "A leaver"}, Button: Text{"在籍を終える", "End"}, About: Text{JA: "<b>誰か</b>が辞めます"}},
		{Kind: "fault", Title: Text{"障害を起こす", "A fault"}, Disabled: Text{"まだです", "Not yet"}},
	}, nil
}

func (f *fakeTrials) Begin(_ context.Context, a access.Actor, kind, subject string) (string, error) {
	if f.err != nil {
		return "", f.err
	}
	f.begun = append(f.begun, a.ID()+" "+kind+" "+subject)
	return "1", nil
}

func (f *fakeTrials) Story(id string) (Story, bool) { return f.story, id == f.story.ID }

func (f *fakeTrials) Stories() []Story {
	if f.story.ID == "" {
		return nil
	}
	return []Story{f.story}
}

func (f *fakeTrials) Other(context.Context, access.Actor) (string, error) { return f.other, nil }

func (f *fakeTrials) Places() []Place {
	return []Place{{Text{"メールの受信箱", "Mail"}, "http://127.0.0.1:8081/mail/"}}
}

func (f *fakeTrials) OtherName(access.Actor) string { return "承認 花子" }

// Without a demonstration there is nothing to try.
func TestNoTrials(t *testing.T) {
	h := sqliteHub(t)
	b := h.open(h.country().planner)
	if a := b.get("/"); strings.Contains(a.body, "/try") {
		t.Error("something to try is offered")
	}
	for _, path := range []string{"/try", "/try/leaver", "/try/stories/1"} {
		wantText(t, b.get(path), http.StatusNotFound)
		if a := b.post(path, url.Values{"seen": {"p1"}, "token": {formToken(b.cookie, path, "p1")}}); a.status != http.StatusMethodNotAllowed {
			t.Errorf("POST %s: %d", path, a.status)
		}
	}
}

func TestTrials(t *testing.T) {
	fake := &fakeTrials{}
	h := newHub(t, migrated.Open(t, sqldb.SQLite), func(c *Config) { c.Trials = fake })
	people := h.country()
	planner, town := h.open(people.planner), h.open(people.sapporoAdmin)
	wantText(t, planner.get("/"), http.StatusOK, `href="/try/leaver"`, `href="/try/transfer"`, `href="/try/fault"`)
	if a := town.get("/"); strings.Contains(a.body, "/try") {
		t.Error("a town's administrator is offered trials")
	}
	wantText(t, planner.get("/try"), http.StatusOK, "退職者を出す", "&lt;b&gt;誰か", "まだです", "まだ何も試していません", "承認 花子", `href="http://127.0.0.1:8081/mail/"`)
	wantText(t, planner.get("/try/nothing"), http.StatusNotFound)
	a := planner.get("/try/leaver")
	wantText(t, a, http.StatusOK, "実行しますか", "在籍を終える")
	good := formIn(t, a, "/try/leaver")
	for name, c := range map[string]struct {
		who    *browser
		path   string
		fields url.Values
		status int
	}{
		"no token":             {planner, "/try/leaver", url.Values{"seen": {"p1"}}, 403},
		"another person":       {planner, "/try/leaver", url.Values{"seen": {"p2"}, "token": good["token"]}, 403},
		"another kind":         {planner, "/try/fault", good, 403},
		"another session":      {h.open(people.approver), "/try/leaver", good, 403},
		"no session":           {&browser{h: h}, "/try/leaver", good, 401},
		"a town's":             {town, "/try/leaver", url.Values{"seen": {"p1"}, "token": {formToken(town.cookie, "/try/leaver", "p1")}}, 403},
		"a town's, to be else": {town, "/try/other", url.Values{"seen": {""}, "token": {formToken(town.cookie, "/try/other", "")}}, 403},
	} {
		visitor := &browser{h: h, cookie: c.who.cookie}
		if a := visitor.post(c.path, c.fields); a.status != c.status {
			t.Errorf("%s: %d, want %d", name, a.status, c.status)
		}
	}
	for _, path := range []string{"/try", "/try/leaver", "/try/stories/1"} {
		wantText(t, town.get(path), http.StatusForbidden)
	}
	if len(fake.begun) != 0 {
		t.Fatalf("begun: %q", fake.begun)
	}
	if a := planner.post("/try/leaver", good); a.status != http.StatusSeeOther || a.header.Get("Location") != "/try/stories/1" {
		t.Fatalf("%d %s", a.status, a.body)
	}
	if want := []string{string(people.planner.ID) + " leaver p1"}; !slices.Equal(fake.begun, want) {
		t.Errorf("begun %q, want %q", fake.begun, want)
	}
	for _, c := range []struct {
		err    error
		status int
		text   string
	}{{ErrTrialBusy, 409, "ほかの試行が進行中です"}, {ErrTrialGone, 409, "状態が変わりました"}, {identity.ErrNotFound, 404, "見つかりません"}} {
		fake.err = c.err
		wantText(t, planner.post("/try/leaver", good), c.status, c.text)
	}
	fake.other = h.ticket(people.approver)
	if a := planner.post("/try/other", formIn(t, planner.get("/try"), "/try/other")); a.status != http.StatusSeeOther || a.header.Get("Location") != fake.other {
		t.Errorf("as the other: %d %s", a.status, a.body)
	}
}

// A story keeps itself up to date until it has ended, unless its reader stops that.
func TestStory(t *testing.T) {
	fake := &fakeTrials{}
	h := newHub(t, migrated.Open(t, sqldb.SQLite), func(c *Config) { c.Trials = fake })
	b := h.open(h.country().planner)
	wantText(t, b.get("/try/stories/1"), http.StatusNotFound)
	began := h.clock.now()
	fake.story = Story{
		ID: "1", Title: Text{"退職: 例示 花子", "A leaver"}, Began: began,
		Events: []Event{
			{At: began, Kind: EventAsked, Text: Text{"在籍を終えた", "ended"}},
			{At: began.Add(1500 * time.Millisecond), Kind: EventCall, Text: Text{"Jira revoke → 503", ""}, Detail: "<script>", Count: 3, Tone: "warning"},
		},
		Now: []Standing{{Name: "Jira", State: Text{"停止", "disabled"}, Link: "http://127.0.0.1:8081/jira/"}},
	}
	a := b.get("/try/stories/1")
	wantText(t, a, http.StatusOK, "進行中", "1.5", "3 回", "&lt;script&gt;", "停止", `href="http://127.0.0.1:8081/jira/"`, "自動更新を止める")
	if a.header.Get("Refresh") != "1" || b.get("/try/stories/1?pause=1").header.Get("Refresh") != "" {
		t.Error("the page doesn't keep up, or can't be stopped")
	}
	fake.story.Ended, fake.story.Outcome = began.Add(2*time.Second), Text{"すべて外れました", "all out"}
	a = b.get("/try/stories/1")
	wantText(t, a, http.StatusOK, "完了", "2.0 秒", "すべて外れました")
	if a.header.Get("Refresh") != "" {
		t.Error("a story that has ended keeps the page moving")
	}
	fake.story.Failed = true
	wantText(t, b.get("/try"), http.StatusOK, "終わりませんでした", "退職: 例示 花子")
}
