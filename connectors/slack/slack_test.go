package slack_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/musubi-hub/musubi/connectors"
	"github.com/musubi-hub/musubi/connectors/sandbox"
	"github.com/musubi-hub/musubi/connectors/slack"
)

// open gives a connector over a sandbox whose options are changed.
func open(t *testing.T, change func(*sandbox.Options)) (connectors.Opened, *sandbox.Sandbox) {
	t.Helper()
	opt := options(time.Now)
	if change != nil {
		change(&opt)
	}
	box, err := sandbox.New(opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { box.Close() })
	return resolve(t, config(box.Transport())), box
}

func resolve(t *testing.T, cfg slack.Config) connectors.Opened {
	t.Helper()
	c, err := slack.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	catalog, err := connectors.NewCatalog(c)
	if err != nil {
		t.Fatal(err)
	}
	o, err := catalog.Open(slack.Name)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func create(t *testing.T, o connectors.Opened, n int) connectors.Account {
	t.Helper()
	a, err := o.AccountWriter.CreateAccount(t.Context(), account(n))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// scripted answers each Web API method and SCIM path with a fixed text, and keeps the forms that were sent.
type scripted struct {
	answers map[string]string // by the path's end
	status  int
	header  http.Header

	mu   sync.Mutex
	sent []string
}

func (s *scripted) RoundTrip(r *http.Request) (*http.Response, error) {
	body := ""
	if r.Body != nil {
		b, _ := io.ReadAll(r.Body)
		r.Body.Close()
		body = string(b)
	}
	s.mu.Lock()
	s.sent = append(s.sent, r.Method+" "+r.URL.Path+" "+body)
	s.mu.Unlock()
	_, method, _ := strings.Cut(r.URL.Path, "/api/")
	text, ok := s.answers[method]
	if !ok {
		text = `{"ok":false,"error":"unknown_method"}`
	}
	header := http.Header{"Content-Type": {"application/json"}}
	for k, v := range s.header {
		header[k] = v
	}
	return &http.Response{StatusCode: max(s.status, 200), Header: header, Body: io.NopCloser(strings.NewReader(text)), ContentLength: -1, Request: r}, nil
}

func TestUserNames(t *testing.T) {
	o, _ := open(t, nil)
	made := create(t, o, 1)
	if made.Key != "Person-001" || len(made.UserName) != 21 || strings.Trim(made.UserName, "abcdefghijklmnopqrstuvwxyz234567") != "" {
		t.Errorf("made %+v", made)
	}
	again, _ := open(t, nil)
	if other := create(t, again, 1); other.UserName != made.UserName {
		t.Errorf("one key has two user names: %q and %q", made.UserName, other.UserName)
	}
}

func TestUserNamesDiffer(t *testing.T) {
	s := &scripted{}
	o := resolve(t, config(s))
	names := map[string]string{}
	rapid.Check(t, func(r *rapid.T) {
		key := rapid.String().Draw(r, "key")
		if key == "" {
			return
		}
		s.mu.Lock()
		s.sent = nil
		s.mu.Unlock()
		_, _ = o.AccountWriter.CreateAccount(t.Context(), connectors.Account{Key: key, Email: "a@b.example"})
		if len(s.sent) == 0 {
			return // a key that no server would take
		}
		_, rest, _ := strings.Cut(s.sent[0], `"userName":"`)
		name, _, _ := strings.Cut(rest, `"`)
		if old, seen := names[name]; len(name) != 21 || seen && old != key {
			r.Fatalf("%q and %q are both called %q", key, old, name)
		}
		names[name] = key
	})
}

func TestAttributesRoundTrip(t *testing.T) {
	o, _ := open(t, nil)
	made := create(t, o, 1)
	want := account(1)
	want.ID, want.UserName = made.ID, made.UserName
	got, err := o.Accounts.FindAccount(t.Context(), connectors.Account{Key: "Person-001"})
	if err != nil || got != want {
		t.Errorf("%v\ngot  %+v\nwant %+v", err, got, want)
	}
	byMail, err := o.Accounts.FindAccount(t.Context(), connectors.Account{Email: "TARO.sample001@ministry.example"})
	if err != nil || byMail.ID != made.ID {
		t.Errorf("by address: %+v, %v", byMail, err)
	}
	if _, err := o.Accounts.FindAccount(t.Context(), connectors.Account{Key: "person-001"}); connectors.KindOf(err) != connectors.KindNotFound {
		t.Errorf("a key in other letters: %v", err)
	}
	want.Email, want.Title, want.Department, want.Organization = "moved@ministry.example", "", "", ""
	if got, err = o.AccountWriter.UpdateAccount(t.Context(), want); err != nil || got != want {
		t.Errorf("changed: %v\ngot  %+v\nwant %+v", err, got, want)
	}
	if _, err := o.Accounts.FindAccount(t.Context(), connectors.Account{Email: "taro.sample001@ministry.example"}); connectors.KindOf(err) != connectors.KindNotFound {
		t.Errorf("by the old address: %v", err)
	}
	want.Key = "Person-999"
	if _, err := o.AccountWriter.UpdateAccount(t.Context(), want); connectors.KindOf(err) != connectors.KindInvalid {
		t.Errorf("another person's key: %v", err)
	}
}

// An address that an account of somebody else's making has can't be provisioned; nobody must look for it for ever.
func TestForeignAddressIsAConflict(t *testing.T) {
	o, _ := open(t, nil)
	foreign := account(1)
	foreign.Email = "OWNER@ministry.example"
	if _, err := o.Accounts.FindAccount(t.Context(), foreign); connectors.KindOf(err) != connectors.KindConflict {
		t.Errorf("found: %v", err)
	}
	_, err := o.AccountWriter.CreateAccount(t.Context(), foreign)
	var e *connectors.Error
	if !errors.As(err, &e) || e.Kind != connectors.KindConflict || e.Code != "email_taken" {
		t.Errorf("created: %v", err)
	}
}

func TestOwnerCannotBeDisabled(t *testing.T) {
	o, box := open(t, nil)
	state, err := box.State(sandbox.Slack)
	if err != nil || len(state.Accounts) != 1 {
		t.Fatalf("%+v, %v", state.Accounts, err)
	}
	if err := o.AccountWriter.DisableAccount(t.Context(), state.Accounts[0].ID); err == nil || !strings.Contains(err.Error(), "cannot_modify_owner") {
		t.Errorf("the owner was disabled: %v", err)
	}
}

// Slack refuses a second update of one user while it works on the first: ours wait for each other.
func TestUpdatesOfOneUserWaitForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, _ := open(t, func(opt *sandbox.Options) { opt.Slack.UpdateTime = time.Second })
		a := create(t, o, 1)
		start := time.Now()
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() {
				want := account(1)
				want.ID, want.Title = a.ID, fmt.Sprintf("係長 %d", i)
				if _, err := o.AccountWriter.UpdateAccount(t.Context(), want); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if took := time.Since(start); took != 4*time.Second {
			t.Errorf("four updates of one second each took %v", took)
		}
	})
}

func TestSilentlyDroppedMemberIsNoticed(t *testing.T) {
	o, box := open(t, nil)
	g, err := o.GroupWriter.CreateGroup(t.Context(), connectors.Group{Name: "見本省"})
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for n := range 3 {
		ids = append(ids, create(t, o, n).ID)
	}
	if err := box.AddFaults(sandbox.Fault{Target: sandbox.Slack, Kind: sandbox.FaultDropMember, Count: 1}); err != nil {
		t.Fatal(err)
	}
	if err := o.GroupWriter.AddMembers(t.Context(), g.ID, ids); connectors.KindOf(err) != connectors.KindAmbiguous {
		t.Errorf("Slack left one out: %v", err)
	}
	if err := o.GroupWriter.AddMembers(t.Context(), g.ID, ids); err != nil {
		t.Errorf("the second time: %v", err)
	}
}

func TestCredentialsAsState(t *testing.T) {
	check := func(change func(*sandbox.Options)) []connectors.CredentialState {
		t.Helper()
		o, _ := open(t, change)
		states, err := o.CredentialChecker.CheckCredentials(t.Context())
		if err != nil || len(states) != 2 {
			t.Fatalf("%+v, %v", states, err)
		}
		return states
	}
	if s := check(func(o *sandbox.Options) { o.Slack.TokenExpires = time.Now().Add(-time.Hour) }); s[0].Valid || s[0].Problem != "token_expired" || !s[1].Valid {
		t.Errorf("an expired bot token: %+v", s)
	}
	if s := check(func(o *sandbox.Options) { o.Slack.AdminTokenExpires = time.Now().Add(-time.Hour) }); !s[0].Valid || s[1].Valid || s[1].Problem != "token_expired" {
		t.Errorf("an expired SCIM token: %+v", s)
	}
	few := func(o *sandbox.Options) { o.Slack.Scopes = []string{"chat:write", "users:read"} }
	s := check(few)
	if !s[0].Valid || !slices.Contains(s[0].Missing, "usergroups:write") || slices.Contains(s[0].Missing, "chat:write") {
		t.Errorf("few scopes: %+v", s)
	}
	o, _ := open(t, few)
	_, err := o.ChannelWriter.CreateChannel(t.Context(), connectors.WantedChannel{Name: "x", Key: "1"})
	if connectors.KindOf(err) != connectors.KindAuth || !strings.Contains(err.Error(), "channels:manage") {
		t.Errorf("the error doesn't say which scope is missing: %v", err)
	}
}
