//go:build interop

package interop_test

import (
	"cmp"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/musubi-hub/musubi/connectors"
	"github.com/musubi-hub/musubi/connectors/jira"
	"github.com/musubi-hub/musubi/connectors/outbound"
	"github.com/musubi-hub/musubi/connectors/sandbox"
)

const (
	jiraEmail = "hub@agency.example.go.jp"
	jiraToken = "interop-token"
)

// startSandbox serves a fresh sandbox on loopback.
func startSandbox(t *testing.T) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	box, err := sandbox.New(sandbox.Options{
		Now: time.Now, Seed: 1, BaseURL: "http://" + server.Listener.Addr().String(),
		Jira: sandbox.JiraOptions{Email: jiraEmail, Token: jiraToken},
		Atlassian: sandbox.AtlassianOptions{
			DirectoryID: "interop", Token: jiraToken, VerifiedDomains: []string{"somu.example.go.jp"},
		},
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
	return server
}

func connectJira(t *testing.T, server *httptest.Server) *jira.Connector {
	t.Helper()
	connector, err := jira.New(jira.Config{
		BaseURL: server.URL + "/jira", Email: jiraEmail, Token: outbound.NewSecret(jiraToken), ServiceDeskID: "1",
		Transport: http.DefaultTransport, Quota: unlimited{}, Now: time.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	return connector
}

// town is a customer organization and its people, as wanted and as read.
type town struct {
	Name   string
	Emails []string
}

// What jira.js reads, see jira-read.mjs.
type jiraRead struct {
	Organizations []struct {
		ID, Name string
		Users    []struct {
			AccountID, Email string
			Active           bool
		}
	}
	Desks []struct {
		ID, ProjectKey string
		Organizations  []string
	}
	Customers []struct {
		AccountID, AccountType, DisplayName, Email string
		Active                                     bool
	}
	OldSearch int
}

func readByJiraJS(t *testing.T, server *httptest.Server, customers []string) jiraRead {
	t.Helper()
	var read jiraRead
	code := runScript(t, []string{
		"JIRA_URL=" + server.URL + "/jira", "JIRA_EMAIL=" + jiraEmail, "JIRA_TOKEN=" + jiraToken,
		"CUSTOMERS=" + strings.Join(customers, "\n"),
	}, &read, "jira-read.mjs")
	if code != 0 {
		t.Fatalf("jira-read.mjs ended with %d", code)
	}
	return read
}

// Our connector writes, another client reads and checks every answer: the two must agree on what is there.
func TestJiraJSReadsWhatTheConnectorMade(t *testing.T) {
	server := startSandbox(t)
	connector := connectJira(t, server)
	// One organization more than a page holds nothing of, one that needs two pages, one with a single person.
	want := []town{{Name: "011002 札幌市"}, {Name: "131016 千代田区"}, {Name: "472018 那覇市 & \"離島\""}}
	var leaver, lookUp string
	for i, people := range []int{60, 0, 1} {
		group, err := connector.CreateGroup(t.Context(), connectors.Group{Name: want[i].Name})
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for n := range people {
			email := fmt.Sprintf("staff%03d@c%s.example.lg.jp", n, want[i].Name[:6])
			made, err := connector.CreateAccount(t.Context(), connectors.Account{
				Email: email, DisplayName: fmt.Sprintf("見本 %d郎", n), Active: true,
			})
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, made.ID)
			want[i].Emails = append(want[i].Emails, email)
			leaver, lookUp = made.ID, email
		}
		for batch := range slices.Chunk(ids, connector.Describe().Limits.MemberBatch) {
			if err := connector.AddMembers(t.Context(), group.ID, batch); err != nil {
				t.Fatal(err)
			}
		}
	}

	read := readByJiraJS(t, server, []string{lookUp})
	var got []town
	for _, organization := range read.Organizations {
		g := town{Name: organization.Name}
		for _, user := range organization.Users {
			if !user.Active || user.AccountID == "" {
				t.Errorf("%s: user %+v, want active with an account id", organization.Name, user)
			}
			g.Emails = append(g.Emails, user.Email)
		}
		slices.Sort(g.Emails)
		got = append(got, g)
	}
	slices.SortFunc(got, func(a, b town) int { return cmp.Compare(a.Name, b.Name) })
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("organizations (-want +got):\n%s", diff)
	}
	if len(read.Desks) != 1 || read.Desks[0].ID != "1" || len(read.Desks[0].Organizations) != len(want) {
		t.Errorf("service desks %+v, want one with %d organizations", read.Desks, len(want))
	}
	if len(read.Customers) != 1 || read.Customers[0].AccountType != "customer" || read.Customers[0].Email != lookUp || read.Customers[0].AccountID != leaver {
		t.Errorf("look-up of %s gave %+v", lookUp, read.Customers)
	}
	if read.OldSearch != http.StatusGone {
		t.Errorf("the removed search answers %d, want 410", read.OldSearch)
	}

	// A leaver: out of the organization, then without portal access.
	group, err := connector.FindGroup(t.Context(), want[2].Name)
	if err != nil {
		t.Fatal(err)
	}
	if err := connector.RemoveMembers(t.Context(), group.ID, []string{leaver}); err != nil {
		t.Fatal(err)
	}
	if err := connector.DisableAccount(t.Context(), leaver); err != nil {
		t.Fatal(err)
	}
	read = readByJiraJS(t, server, []string{lookUp})
	for _, organization := range read.Organizations {
		if organization.Name == want[2].Name && len(organization.Users) != 0 {
			t.Errorf("the leaver is still in %s: %+v", organization.Name, organization.Users)
		}
	}
	for _, customer := range read.Customers {
		if customer.Active {
			t.Errorf("the leaver is still an active customer: %+v", customer)
		}
	}
}
