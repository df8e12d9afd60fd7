//go:build interop

package interop_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/connectors/sandbox"
)

const (
	slackToken = "xoxb-interop"
	slackAdmin = "xoxp-interop"
)

// startSlack serves a workspace with people on loopback, with the vendor's own quotas.
func startSlack(t *testing.T, people int) (box *sandbox.Sandbox, address string, ids []string) {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	box, err := sandbox.New(sandbox.Options{
		Now: time.Now, Seed: 1, BaseURL: "http://" + server.Listener.Addr().String(), Slack: sandbox.SlackOptions{Token: slackToken, AdminToken: slackAdmin},
	})
	if err != nil {
		t.Fatal(err)
	}
	server.Config.Handler = box
	server.Start()
	t.Cleanup(func() {
		server.Close()
		if err := box.Close(); err != nil {
			t.Error(err)
		}
	})
	for n := range people {
		body, err := json.Marshal(map[string]any{
			"schemas":  []string{"urn:ietf:params:scim:schemas:core:2.0:User"},
			"userName": fmt.Sprintf("staff%03d", n), "displayName": fmt.Sprintf("見本 %d郎", n),
			"emails": []map[string]any{{"value": fmt.Sprintf("staff%03d@example.go.jp", n), "primary": true}},
		})
		if err != nil {
			t.Fatal(err)
		}
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/slack/scim/v2/Users", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+slackAdmin)
		request.Header.Set("Content-Type", "application/scim+json")
		answer, err := server.Client().Do(request)
		if err != nil {
			t.Fatal(err)
		}
		var made struct{ ID string }
		err = json.NewDecoder(answer.Body).Decode(&made)
		answer.Body.Close()
		if err != nil || answer.StatusCode != http.StatusCreated {
			t.Fatalf("user %d: %d %v", n, answer.StatusCode, err)
		}
		ids = append(ids, made.ID)
	}
	return box, server.URL, ids
}

// The vendor's own client drives the stand-in: what it read must be what is there, it must page to the end, understand each refusal and
// wait as it is told.
func TestSlackWebAPIDrivesTheSandbox(t *testing.T) {
	box, address, ids := startSlack(t, 18)
	const messages = 5 // three at once, then one a second
	var read struct {
		Bot, Found, Info, Direct, Permalink string
		People, Thread, History, OnDuty     []string
		Members, Waits                      int
		PeoplePages, MemberPages            int
		ThreadPages, RetryAfter             int
		Codes                               map[string]string
	}
	code := runScript(t, []string{
		"SLACK_URL=" + address + "/slack/api/", "SLACK_TOKEN=" + slackToken, "USERS=" + strings.Join(ids, "\n"), fmt.Sprint("MESSAGES=", messages),
	}, &read, "slack-drive.mjs")
	if code != 0 {
		t.Fatalf("slack-drive.mjs ended with %d", code)
	}
	state, err := box.State("slack")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(read.People, ids) || read.PeoplePages != 3 || len(state.Accounts) != len(ids) {
		t.Errorf("people on %d pages: %v, want %v", read.PeoplePages, read.People, ids)
	}
	if read.Found != ids[0] || read.Info != "staff001" || !slices.Equal(read.OnDuty, ids[:1]) {
		t.Errorf("found %s, info %s, on duty %v", read.Found, read.Info, read.OnDuty)
	}
	if read.Members != len(ids)+1 || read.MemberPages != 4 {
		t.Errorf("%d members on %d pages", read.Members, read.MemberPages)
	}
	want := []string{"応答してください"}
	for n := range messages {
		want = append(want, fmt.Sprint("経過 ", n))
	}
	if !slices.Equal(read.Thread, want) || read.ThreadPages != 3 {
		t.Errorf("thread on %d pages: %v", read.ThreadPages, read.Thread)
	}
	if read.History[0] != want[0] || len(read.History) != len(ids)+3 { // each entered with a message, topic and purpose were set
		t.Errorf("history: %v", read.History)
	}
	codes := map[string]string{
		"nameTaken": "name_taken", "archived": "is_archived", "invalidUsers": "invalid_users", "unknown": "unknown_method", "wrongToken": "invalid_auth",
	}
	for name, want := range codes {
		if read.Codes[name] != want {
			t.Errorf("%s: %q, want %q", name, read.Codes[name], want)
		}
	}
	if read.Waits == 0 || read.RetryAfter != 1 {
		t.Errorf("waited %d times, told to wait %d s", read.Waits, read.RetryAfter)
	}
	for _, c := range state.Channels {
		switch c.Name {
		case "incident-1":
			said := 0
			for _, m := range c.Messages {
				if m.User == read.Bot && m.Subtype == "" && m.OnlyTo == "" {
					said++
				}
			}
			if !c.Archived || c.Topic != "避難所の開設" || said != messages+1 || slices.Contains(c.Members, ids[1]) {
				t.Errorf("the channel: %+v", c)
			}
		case "incident-2":
			if c.Archived {
				t.Error("the second channel is archived")
			}
		}
	}
	if !strings.HasPrefix(read.Permalink, address+"/slack/archives/") || !strings.HasPrefix(read.Direct, "D") {
		t.Errorf("permalink %s, direct conversation %s", read.Permalink, read.Direct)
	}
}
