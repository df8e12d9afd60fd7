//go:build interop

package interop_test

import (
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/musubi-hub/musubi/connectors"
)

// What jira.js does and reads, see jira-work.mjs.
type jiraWork struct {
	Fields   []string
	Key      string
	Comments []struct {
		Body   string
		Public bool
	}
	Running, Status, Participants []string
	IssueStatus, TheirSummary     string
	TheirComments                 []struct {
		Public     bool
		Properties []string
	}
	Found     []string
	Unbounded any
}

// jira.js works with requests beside our connector and checks each answer: what one makes the other reads.
func TestJiraJSWorksWithRequests(t *testing.T) {
	server := startSandbox(t)
	connector := connectJira(t, server)
	customer, err := connector.CreateAccount(t.Context(), connectors.Account{Email: "staff@c011002.example.lg.jp", DisplayName: "見本 太郎", Active: true})
	if err != nil {
		t.Fatal(err)
	}
	item, err := connector.CreateWorkItem(t.Context(), connectors.WorkItemDraft{OwnKey: "interop.1", Type: "1", Summary: "ハブから", Description: "# 見出し\n\n- 一\n- 二"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []connectors.Comment{{OwnKey: "c.1", Body: "公開の**返事**"}, {OwnKey: "c.2", Body: "内部", Internal: true}} {
		if _, err := connector.AddComment(t.Context(), item.ID, c); err != nil {
			t.Fatal(err)
		}
	}
	var got jiraWork
	if code := runScript(t, []string{
		"JIRA_URL=" + server.URL + "/jira", "JIRA_EMAIL=" + jiraEmail, "JIRA_TOKEN=" + jiraToken, "REPORTER=" + customer.ID, "KEY=" + item.Key,
	}, &got, "jira-work.mjs"); code != 0 {
		t.Fatalf("jira-work.mjs ended with %d", code)
	}
	if len(got.Comments) != 2 || got.Comments[0].Body != "公開" || !got.Comments[0].Public || got.Comments[1].Public {
		t.Errorf("comments %+v", got.Comments)
	}
	for _, c := range []struct {
		name      string
		got, want any
	}{
		{"fields", got.Fields, []string{"summary", "description", "priority", "labels", "customfield_10002"}},
		{"key", got.Key, "HELP-2"},
		{"running SLA", got.Running, []string{"Time to resolution"}},
		{"status", got.Status, []string{"Waiting for customer", "Waiting for support"}},
		{"issue's status", got.IssueStatus, "Waiting for customer"},
		{"participants", got.Participants, []string{customer.ID}},
		{"our summary", got.TheirSummary, "ハブから"},
		{"search", got.Found, []string{"HELP-1", "HELP-2"}},
		{"unbounded search", got.Unbounded, 400.0},
	} {
		if diff := gocmp.Diff(c.want, c.got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
	if len(got.TheirComments) != 2 || !got.TheirComments[0].Public || got.TheirComments[1].Public || len(got.TheirComments[0].Properties) != 2 {
		t.Errorf("our comments as jira.js reads them: %+v", got.TheirComments)
	}
	// The other way: our connector reads what jira.js made.
	theirs, err := connector.ReadWorkItem(t.Context(), got.Key)
	if err != nil || theirs.Summary != "jira.js から" || theirs.Reporter != customer.ID || theirs.Description != "本文" {
		t.Errorf("%+v %v", theirs, err)
	}
}
