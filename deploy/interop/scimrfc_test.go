//go:build interop

package interop_test

import (
	"fmt"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/connectors/sandbox"
)

// A client that was written from RFC 7644's examples, not from our scimclient, works with both SCIM faces of the stand-in: what it
// did must be what is there. The operations that it makes are the list of docs/sandbox.md.
func TestClientFromTheRFCDrivesTheSandbox(t *testing.T) {
	page, err := os.ReadFile("../../docs/sandbox.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ app, path, token string }{
		{sandbox.Atlassian, "/atlassian/scim/directory/d", "scim-interop"},
		{sandbox.Slack, "/slack/scim/v2", slackAdmin},
	} {
		t.Run(c.app, func(t *testing.T) {
			server := httptest.NewUnstartedServer(nil)
			box, err := sandbox.New(sandbox.Options{
				Now: time.Now, Seed: 1, QuotaScale: 100, BaseURL: "http://" + server.Listener.Addr().String(),
				Atlassian: sandbox.AtlassianOptions{DirectoryID: "d", Token: "scim-interop", VerifiedDomains: []string{"somu.example.go.jp"}},
				Slack:     sandbox.SlackOptions{Token: slackToken, AdminToken: slackAdmin, OwnerEmail: "owner@somu.example.go.jp"},
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
			var read struct {
				People, Members, Operations []string
				Group, Conflict             string
				UserPages, GroupPages       int
			}
			env := []string{"SCIM_URL=" + server.URL + c.path, "SCIM_TOKEN=" + c.token, "DIALECT=" + c.app, "MAIL=somu.example.go.jp"}
			if code := runScript(t, env, &read, "scim-client.mjs"); code != 0 {
				t.Fatalf("scim-client.mjs ended with %d", code)
			}
			state, err := box.State(c.app)
			if err != nil {
				t.Fatal(err)
			}
			active := map[string]bool{}
			for _, a := range state.Accounts {
				active[a.ID] = a.Active
			}
			for i, id := range read.People {
				if want := i != 2 && i != 4; active[id] != want { // the third was deactivated, the fifth deleted
					t.Errorf("person %d is active: %v, want %v", i+1, active[id], want)
				}
			}
			if len(state.Groups) != 1 || state.Groups[0].ID != read.Group || !sameIDs(state.Groups[0].Members, read.Members) {
				t.Errorf("groups %+v, the client saw %s with %v", state.Groups, read.Group, read.Members)
			}
			if len(read.People) != 5 || read.UserPages < 3 || read.GroupPages < 1 {
				t.Errorf("%d people on %d pages, groups on %d", len(read.People), read.UserPages, read.GroupPages)
			}
			for _, op := range read.Operations {
				if !strings.Contains(string(page), fmt.Sprintf("| %s |", op)) {
					t.Errorf("docs/sandbox.md doesn't list %q", op)
				}
			}
		})
	}
}

func sameIDs(a, b []string) bool {
	a, b = slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))
	return slices.Equal(a, b)
}
