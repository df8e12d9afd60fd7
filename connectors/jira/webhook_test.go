package jira

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/connectors"
	"github.com/musubi-hub/musubi/connectors/outbound"
)

func signedBy(secret string) *Connector { return &Connector{hookSecret: outbound.NewSecret(secret)} }

// The vendor's published example.
func TestSignatureOfTheVendorsExample(t *testing.T) {
	const signature = "sha256=a4771c39fbe90f317c7824e83ddef3caae9cb3d976c214ace1f2937e133263c9"
	c := signedBy("It's a Secret to Everybody")
	d := connectors.Delivery{Header: http.Header{"X-Hub-Signature": {signature}}, Body: []byte("Hello World!")}
	if problem := c.verify(d); problem != "" {
		t.Errorf("the vendor's example: %s", problem)
	}
	for name, d := range map[string]connectors.Delivery{
		"other body":     {Header: d.Header, Body: []byte("Hello World?")},
		"no signature":   {Header: http.Header{}, Body: d.Body},
		"two signatures": {Header: http.Header{"X-Hub-Signature": {signature, signature}}, Body: d.Body},
		"other method":   {Header: http.Header{"X-Hub-Signature": {strings.Replace(signature, "sha256", "sha1", 1)}}, Body: d.Body},
		"no method":      {Header: http.Header{"X-Hub-Signature": {signature[7:]}}, Body: d.Body},
		"half":           {Header: http.Header{"X-Hub-Signature": {signature[:40]}}, Body: d.Body},
		"no hexadecimal": {Header: http.Header{"X-Hub-Signature": {signature[:len(signature)-1] + "z"}}, Body: d.Body},
	} {
		if c.verify(d) == "" {
			t.Errorf("%s was believed", name)
		}
	}
	if signedBy("").verify(d) == "" || (&Connector{}).verify(d) == "" {
		t.Error("without a secret nothing may be believed")
	}
}

func TestParseHook(t *testing.T) {
	at := time.UnixMilli(1795478400000).UTC()
	for _, c := range []struct {
		name, body string
		want       connectors.Event
		problem    bool
	}{
		{
			"update", `{"timestamp":1795478400000,"webhookEvent":"jira:issue_updated","user":{"accountId":"u"},"issue":{"id":"10001","key":"HELP-1"},"changelog":{"id":"10100","items":[{"field":"status","fromString":"A","toString":"B","new":1}]}}`,
			connectors.WorkItemEvent{At: at, Change: connectors.WorkItemUpdated, ItemID: "10001", ItemKey: "HELP-1", Sequence: 10100, Account: "u", Changes: []connectors.FieldChange{{Field: "status", From: "A", To: "B"}}},
			false,
		},
		{
			"numbers as ids, misspelt account", `{"timestamp":1795478400000,"webhookEvent":"jira:issue_created","user":{"accoundId":"u"},"issue":{"id":10001,"key":"HELP-1"}}`,
			connectors.WorkItemEvent{At: at, Change: connectors.WorkItemMade, ItemID: "10001", ItemKey: "HELP-1", Account: "u"},
			false,
		},
		{
			"comment without its issue", `{"timestamp":1795478400000,"webhookEvent":"comment_created","comment":{"id":"5","self":"https://s/rest/api/2/issue/10001/comment/5","body":"x","author":{"accountId":"a"}}}`,
			connectors.WorkItemEvent{At: at, Change: connectors.WorkItemCommented, ItemID: "10001", Account: "a", Comment: &connectors.Comment{ID: "5", Author: "a", Body: "x", Internal: true}},
			false,
		},
		{"another event", `{"timestamp":1795478400000,"webhookEvent":"jira:version_released"}`, connectors.OtherEvent{At: at, Type: "jira:version_released"}, false},
		{"comment event without comment", `{"timestamp":1795478400000,"webhookEvent":"comment_created"}`, nil, true},
		{"no event", `{"timestamp":1795478400000}`, nil, true},
		{"no time", `{"webhookEvent":"jira:issue_created"}`, nil, true},
		{"not JSON", `{`, nil, true},
	} {
		got, problem := parseHook([]byte(c.body))
		a, _ := json.Marshal(got)
		b, _ := json.Marshal(c.want)
		if (problem != "") != c.problem || string(a) != string(b) {
			t.Errorf("%s: %s %s, want %s", c.name, a, problem, b)
		}
	}
}

func FuzzParseHook(f *testing.F) {
	f.Add([]byte(`{"timestamp":1795478400000,"webhookEvent":"comment_created","comment":{"id":5,"self":"https://s/issue/1/comment/5","body":{"type":"doc"}}}`))
	f.Add([]byte(`{"timestamp":1,"webhookEvent":"jira:issue_updated","issue":{"id":"1","key":"A1-1"},"changelog":{"id":"2","items":[{}]}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		e, problem := parseHook(body)
		if (e == nil) == (problem == "") {
			t.Fatalf("%v %q", e, problem)
		}
		if w, ok := e.(connectors.WorkItemEvent); ok {
			if w.Change == "" || w.At.IsZero() || w.ItemKey != "" && !itemPattern.MatchString(w.ItemKey) || w.ItemID != "" && !numberPattern.MatchString(w.ItemID) || (w.Change == connectors.WorkItemCommented) != (w.Comment != nil) {
				t.Fatalf("%+v", w)
			}
		}
	})
}
