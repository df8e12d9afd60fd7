package sandbox_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/musubi-hub/musubi/connectors/sandbox"
)

const (
	platform      = "/jira/rest/api/3"
	customerToken = "customer-secret"
	appToken      = "app-secret"
)

// newWork is a fixture with two customers, an organization on the desk, and no lag but the search's.
func newWork(t testing.TB, change ...func(*sandbox.Options)) (f *fixture, alice, bob string) {
	t.Helper()
	f = newFixture(t, append([]func(*sandbox.Options){func(o *sandbox.Options) {
		o.Jira.CustomerToken, o.Jira.AppToken, o.Jira.WorkflowTime = customerToken, appToken, -1
	}}, change...)...)
	alice, bob = f.customer(1), f.customer(2)
	f.desk(201, "POST", "/organization", doc{"name": "例示市"})
	f.desk(204, "POST", "/servicedesk/1/organization", doc{"organizationId": 1})
	f.desk(204, "POST", "/organization/1/user", doc{"accountIds": []string{alice}})
	return f, alice, bob
}

func as(n int) func(*http.Request) {
	return func(r *http.Request) { r.SetBasicAuth(fmt.Sprintf("town%03d@city.example.lg.jp", n), customerToken) }
}

func asApp(r *http.Request) { r.Header.Set("Authorization", "Bearer "+appToken) }

func requestDoc(summary, behalf string) doc {
	return doc{
		"serviceDeskId": "1", "requestTypeId": "1", "raiseOnBehalfOf": behalf,
		"requestFieldValues": doc{"summary": summary, "description": "一行目\n二行目"},
	}
}

func (f *fixture) request(summary, behalf string) string {
	f.t.Helper()
	return f.desk(201, "POST", "/request", requestDoc(summary, behalf)).str("issueKey")
}

func adfDoc(text string) doc {
	return doc{"type": "doc", "version": 1, "content": []doc{{"type": "paragraph", "content": []doc{{"type": "text", "text": text}}}}}
}

func TestRequestLife(t *testing.T) {
	f, alice, bob := newWork(t)
	body := requestDoc("住民票の様式", alice)
	body["requestParticipants"] = []string{bob, alice}
	body["requestFieldValues"] = doc{
		"summary": "住民票の様式", "description": adfDoc("本文"), "labels": []string{"musubi-1"}, "customfield_10002": []int{1}, "priority": doc{"id": "2"},
	}
	body["isAdfRequest"] = true
	made := f.desk(201, "POST", "/request", body)
	key := made.str("issueKey")
	if key != "HELP-1" || made.str("reporter", "accountId") != alice || made.str("currentStatus", "status") != "Waiting for support" {
		t.Fatalf("made %s", made.body)
	}
	issue := f.call(200, "GET", platform+"/issue/"+key, nil)
	if issue.str("fields", "description", "type") != "doc" || issue.str("fields", "customfield_10002", 0, "name") != "例示市" ||
		issue.str("fields", "priority", "name") != "High" || issue.str("fields", "labels", 0) != "musubi-1" {
		t.Errorf("issue %s", issue.body)
	}
	if v2 := f.call(200, "GET", "/jira/rest/api/2/issue/"+key+"?fields=description", nil); v2.str("fields", "description") != "本文" || len(v2.at("fields").(map[string]any)) != 1 {
		t.Errorf("version 2: %s", v2.body)
	}
	if p := f.desk(200, "GET", "/request/"+key+"/participant", nil); p.str("values", 0, "accountId") != bob || p.at("size") != 1.0 {
		t.Errorf("participants: %s", p.body)
	}
	// Public, internal, and internal by the platform's property: customers see the first alone, and nothing says that there is more.
	f.desk(201, "POST", "/request/"+key+"/comment", doc{"body": "公開の返事", "public": true})
	f.desk(201, "POST", "/request/"+key+"/comment", doc{"body": "内部のメモ"})
	f.call(201, "POST", platform+"/issue/"+key+"/comment", doc{
		"body": adfDoc("もう一つのメモ"), "properties": []doc{{"key": "sd.public.comment", "value": doc{"internal": true}}},
	})
	for _, c := range []struct {
		name, path string
		size       float64
		change     []func(*http.Request)
	}{
		{"agent", "/comment", 3, nil},
		{"public only", "/comment?internal=false", 1, nil},
		{"internal only", "/comment?public=false", 2, nil},
		{"reporter", "/comment", 1, []func(*http.Request){as(1)}},
		{"participant", "/comment", 1, []func(*http.Request){as(2)}},
		{"reporter asking for internal ones", "/comment?public=false&internal=true", 0, []func(*http.Request){as(1)}},
	} {
		if a := f.desk(200, "GET", "/request/"+key+c.path, nil, c.change...); a.at("size") != c.size {
			t.Errorf("%s: %s", c.name, a.body)
		}
	}
	f.customer(3)
	if a := f.desk(200, "GET", "/request/"+key+"/comment", nil, as(3)); a.at("size") != 0.0 {
		t.Errorf("a stranger must get an empty list: %s", a.body)
	}
	f.desk(404, "GET", "/request/"+key, nil, as(3))
	if a := f.call(200, "GET", platform+"/issue/"+key+"/comment", nil, as(1)); a.at("total") != 1.0 || bytes.Contains(a.body, []byte("メモ")) {
		t.Errorf("platform comments of a customer: %s", a.body)
	}
	if a := f.call(200, "GET", platform+"/issue/"+key, nil, as(1)); bytes.Contains(a.body, []byte("メモ")) {
		t.Errorf("the issue shows a customer internal comments: %s", a.body)
	}
	// A customer's comment is public whatever it asks for.
	f.desk(403, "POST", "/request/"+key+"/comment", doc{"body": "隠す"}, as(1))
	f.desk(201, "POST", "/request/"+key+"/comment", doc{"body": "追加です", "public": true}, as(1))
	st, err := f.s.State("jira")
	if err != nil || len(st.Tickets) != 1 || len(st.Tickets[0].Comments) != 4 || st.Tickets[0].Comments[3].Author != alice || st.Counts.Tickets != 1 {
		t.Errorf("state %+v %v", st.Tickets, err)
	}
	f.desk(200, "DELETE", "/request/"+key+"/participant", doc{"accountIds": []string{bob}})
	f.desk(404, "GET", "/request/"+key, nil, as(2))
	// The desk's requests of a customer; an organization's are shared.
	f.desk(204, "POST", "/organization/1/user", doc{"accountIds": []string{bob}})
	if a := f.desk(200, "GET", "/request", nil, as(2)); a.at("size") != 0.0 {
		t.Errorf("own requests: %s", a.body)
	}
	if a := f.desk(200, "GET", "/request?requestOwnership=ALL_ORGANIZATIONS&requestStatus=OPEN_REQUESTS", nil, as(2)); a.at("size") != 1.0 {
		t.Errorf("shared requests: %s", a.body)
	}
}

func TestWorkRefusals(t *testing.T) {
	f, alice, _ := newWork(t)
	key := f.request("一", alice)
	with := func(change doc) doc {
		b := requestDoc("x", alice)
		for k, v := range change {
			b[k] = v
		}
		return b
	}
	fields := func(v doc) doc { return with(doc{"requestFieldValues": v}) }
	many := strings.Repeat("長", 256)
	for _, c := range []struct {
		name, method, path string
		body               any
		status             int
		message            string
	}{
		{"unknown desk", "POST", deskRoot + "/request", with(doc{"serviceDeskId": "9"}), 400, "service desk"},
		{"unknown type", "POST", deskRoot + "/request", with(doc{"requestTypeId": "9"}), 400, "request type"},
		{"unknown customer", "POST", deskRoot + "/request", with(doc{"raiseOnBehalfOf": "none"}), 400, "none"},
		{"unknown participant", "POST", deskRoot + "/request", with(doc{"requestParticipants": []string{"none"}}), 400, "none"},
		{"no summary", "POST", deskRoot + "/request", fields(doc{"description": "x"}), 400, "summary"},
		{"empty summary", "POST", deskRoot + "/request", fields(doc{"summary": " ", "description": "x"}), 400, "summary"},
		{"long summary", "POST", deskRoot + "/request", fields(doc{"summary": many, "description": "x"}), 400, "255"},
		{"text where a document is announced", "POST", deskRoot + "/request", with(doc{"isAdfRequest": true}), 400, "Atlassian Document"},
		{"document where text is announced", "POST", deskRoot + "/request", fields(doc{"summary": "x", "description": adfDoc("x")}), 400, "string"},
		{"field that the form hasn't", "POST", deskRoot + "/request", with(doc{"requestTypeId": "2", "requestFieldValues": doc{"summary": "x", "description": "x", "labels": []string{"a"}}}), 400, "labels"},
		{"label with a space", "POST", deskRoot + "/request", fields(doc{"summary": "x", "description": "x", "labels": []string{"a b"}}), 400, "label"},
		{"unknown organization", "POST", deskRoot + "/request", fields(doc{"summary": "x", "description": "x", "customfield_10002": []int{9}}), 400, "organization"},
		{"empty comment", "POST", deskRoot + "/request/" + key + "/comment", doc{"body": " ", "public": true}, 400, "empty"},
		{"long comment", "POST", deskRoot + "/request/" + key + "/comment", doc{"body": strings.Repeat("あ", 32768), "public": true}, 400, "32767"},
		{"unknown request", "GET", deskRoot + "/request/HELP-99", nil, 404, "request"},
		{"unknown issue", "GET", platform + "/issue/HELP-99", nil, 404, "Issue"},
		{"plain text as a comment of version 3", "POST", platform + "/issue/" + key + "/comment", doc{"body": "text"}, 400, "Atlassian Document"},
		{"broken document", "POST", platform + "/issue/" + key + "/comment", doc{"body": doc{"type": "doc", "version": 1, "content": []doc{{"type": "blink"}}}}, 400, "INVALID_INPUT"},
		{"unknown transition", "POST", platform + "/issue/" + key + "/transitions", doc{"transition": doc{"id": "99"}}, 400, "99"},
		{"transition that isn't possible now", "POST", platform + "/issue/" + key + "/transitions", doc{"transition": doc{"id": "61"}}, 400, "current state"},
		{"no transition", "POST", platform + "/issue/" + key + "/transitions", doc{}, 400, "transition"},
		{"issue without fields", "POST", platform + "/issue", doc{"fields": doc{}}, 400, "summary"},
		{"issue of another project", "POST", platform + "/issue", doc{"fields": doc{"project": doc{"key": "X"}, "issuetype": doc{"id": "10001"}, "summary": "x"}}, 400, "project"},
		{"customer as assignee", "PUT", platform + "/issue/" + key, doc{"fields": doc{"assignee": doc{"accountId": alice}}}, 400, "assigned"},
		{"unknown field", "PUT", platform + "/issue/" + key, doc{"fields": doc{"customfield_1": 1}}, 400, "screen"},
		{"unbounded search", "GET", platform + "/search/jql?jql=" + url.QueryEscape("order by created"), nil, 400, "Unbounded"},
		{"empty search", "POST", platform + "/search/jql", doc{}, 400, "Unbounded"},
		{"unknown field in a search", "GET", platform + "/search/jql?jql=nothing%3D1", nil, 400, "nothing"},
		{"51 issues to reconcile", "POST", platform + "/search/jql", doc{"jql": "project=HELP", "reconcileIssues": make([]int, 51)}, 400, "50"},
		{"6 properties", "POST", platform + "/search/jql", doc{"jql": "project=HELP", "properties": []string{"1", "2", "3", "4", "5", "6"}}, 400, "5"},
		{"5001 results", "POST", platform + "/search/jql", doc{"jql": "project=HELP", "maxResults": 5001}, 400, "5000"},
		{"made-up token", "POST", platform + "/search/jql", doc{"jql": "project=HELP", "nextPageToken": "x"}, 400, "nextPageToken"},
		{"the old search", "GET", platform + "/search?jql=project%3DHELP", nil, 410, "/rest/api/3/search/jql"},
		{"the old createmeta", "GET", platform + "/issue/createmeta", nil, 404, ""},
		{"webhook of an app by a person", "POST", platform + "/webhook", doc{}, 403, "OAuth"},
		{"webhook without a name", "POST", "/jira/rest/webhooks/1.0/webhook", doc{"url": "https://hub.example/", "events": []string{"comment_created"}}, 400, "name"},
		{"webhook to nowhere", "POST", "/jira/rest/webhooks/1.0/webhook", doc{"name": "x", "url": "ftp://x", "events": []string{"comment_created"}}, 400, "URL"},
		{"webhook of unknown events", "POST", "/jira/rest/webhooks/1.0/webhook", doc{"name": "x", "url": "https://hub.example/", "events": []string{"x"}}, 400, "events"},
		{"upload without the header", "POST", platform + "/issue/" + key + "/attachments", "", 403, "XSRF"},
		{"unknown temporary file", "POST", deskRoot + "/request/" + key + "/attachment", doc{"temporaryAttachmentIds": []string{"x"}, "public": true}, 400, "x"},
		{"attachment that isn't there", "GET", platform + "/attachment/1", nil, 404, "attachment"},
		{"watching customer", "POST", platform + "/issue/" + key + "/watchers", `"` + alice + `"`, 400, "watch"},
	} {
		before, _ := f.s.State("jira")
		if a := f.call(c.status, c.method, c.path, c.body); !bytes.Contains(a.body, []byte(c.message)) {
			t.Errorf("%s: %s", c.name, a.body)
		}
		if after, _ := f.s.State("jira"); fmt.Sprint(before.Tickets) != fmt.Sprint(after.Tickets) {
			t.Errorf("%s changed the state", c.name)
		}
	}
	for _, path := range []string{platform + "/issue/" + key + "/transitions", platform + "/search/approximate-count", deskRoot + "/customer", "/jira/rest/webhooks/1.0/webhook"} {
		f.call(403, "POST", path, doc{}, as(1))
	}
	f.call(401, "GET", platform+"/issue/"+key, nil, func(r *http.Request) { r.SetBasicAuth("nobody@x.example", customerToken) })
	f.desk(403, "POST", "/request", requestDoc("x", "712020:other"), as(1))
}

func TestTransitionsAnswer204AndConflict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, alice, _ := newWork(t, func(o *sandbox.Options) {
			o.Now, o.Jira.WorkflowTime = time.Now, time.Second
			o.Jira.TokenExpires = time.Time{}
		})
		key := f.request("一", alice)
		path := platform + "/issue/" + key + "/transitions"
		offered := f.call(200, "GET", path, nil)
		if len(offered.list("transitions")) != 3 || offered.str("transitions", 0, "to", "name") != "Waiting for customer" {
			t.Fatalf("offered %s", offered.body)
		}
		status := make([]int, 3)
		var wg sync.WaitGroup
		for i := range status {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * 100 * time.Millisecond)
				body, p := any(doc{"transition": doc{"id": "11"}}), path
				if i == 2 {
					p, body = platform+"/issue/"+key, doc{"fields": doc{"summary": "二"}}
				}
				method := "POST"
				if i == 2 {
					method = "PUT"
				}
				a, err := f.try(method, p, body)
				if err != nil {
					t.Error(err)
				}
				status[i] = a.status
			})
		}
		wg.Wait()
		if !slices.Equal(status, []int{204, 409, 409}) {
			t.Errorf("at once: %v, want 204, 409, 409", status)
		}
		if a := f.desk(200, "GET", "/request/"+key+"/status", nil); a.str("values", 0, "status") != "Waiting for customer" || a.at("size") != 2.0 {
			t.Errorf("status %s", a.body)
		}
		f.call(400, "POST", path, doc{"transition": doc{"id": "11"}})
		f.desk(204, "POST", "/request/"+key+"/transition", doc{"id": "51", "additionalComment": doc{"body": "解決です"}}, as(1))
		if a := f.call(200, "GET", platform+"/issue/"+key+"?expand=changelog", nil); a.str("fields", "resolution", "name") != "Done" || a.at("changelog", "total") != 2.0 || a.at("fields", "comment", "total") != 1.0 {
			t.Errorf("resolved: %s", a.body)
		}
	})
}

func TestSLAClock(t *testing.T) {
	f, alice, _ := newWork(t, func(o *sandbox.Options) { o.Jira.TokenExpires = time.Time{} })
	key := f.request("一", alice)
	sla := func() (response, resolution answer) {
		t.Helper()
		return f.desk(200, "GET", "/request/"+key+"/sla/1", nil), f.desk(200, "GET", "/request/"+key+"/sla/2", nil)
	}
	f.clock.forward(2 * time.Hour)
	response, resolution := sla()
	if response.at("ongoingCycle", "elapsedTime", "millis") != 2*3600_000.0 || response.at("ongoingCycle", "remainingTime", "millis") != 6*3600_000.0 ||
		response.str("ongoingCycle", "remainingTime", "friendly") != "6h 0m" || resolution.at("ongoingCycle", "paused") != false {
		t.Fatalf("after two hours: %s", response.body)
	}
	f.desk(201, "POST", "/request/"+key+"/comment", doc{"body": "内部", "public": false})
	f.desk(201, "POST", "/request/"+key+"/comment", doc{"body": "顧客", "public": true}, as(1))
	if response, _ := sla(); response.at("ongoingCycle") == nil {
		t.Fatalf("an internal comment, or a customer's, is no response: %s", response.body)
	}
	f.desk(201, "POST", "/request/"+key+"/comment", doc{"body": "返事", "public": true})
	if response, _ := sla(); response.at("ongoingCycle") != nil || response.at("completedCycles", 0, "breached") != false {
		t.Fatalf("answered: %s", response.body)
	}
	// Waiting for the customer stops the clock; the due time moves.
	_, before := sla()
	f.desk(204, "POST", "/request/"+key+"/transition", doc{"id": "11"})
	f.clock.forward(100 * time.Hour)
	_, paused := sla()
	if paused.at("ongoingCycle", "paused") != true || paused.at("ongoingCycle", "elapsedTime", "millis") != 2*3600_000.0 ||
		paused.at("ongoingCycle", "breachTime", "epochMillis").(float64)-before.at("ongoingCycle", "breachTime", "epochMillis").(float64) != 100*3600_000.0 {
		t.Errorf("paused: %s", paused.body)
	}
	f.desk(204, "POST", "/request/"+key+"/transition", doc{"id": "21"})
	f.clock.forward(39 * time.Hour)
	if _, late := sla(); late.at("ongoingCycle", "breached") != true || late.str("ongoingCycle", "remainingTime", "friendly") != "-1h 0m" {
		t.Errorf("late: %s", late.body)
	}
	f.desk(204, "POST", "/request/"+key+"/transition", doc{"id": "51"})
	f.desk(204, "POST", "/request/"+key+"/transition", doc{"id": "61"})
	if _, again := sla(); len(again.list("completedCycles")) != 1 || again.at("ongoingCycle", "elapsedTime", "millis") != 0.0 {
		t.Errorf("reopened: %s", again.body)
	}
	f.desk(403, "GET", "/request/"+key+"/sla", nil, as(1))
}

func TestSearchLagsAndPages(t *testing.T) {
	f, alice, bob := newWork(t)
	find := func(jql string, more ...doc) []string {
		t.Helper()
		var keys []string
		body := doc{"jql": jql, "fields": []string{"summary"}, "maxResults": 3}
		for _, m := range more {
			for k, v := range m {
				body[k] = v
			}
		}
		for page := 0; ; page++ {
			a := f.call(200, "POST", platform+"/search/jql", body)
			for _, i := range a.list("issues") {
				keys = append(keys, i.(map[string]any)["key"].(string))
			}
			if a.at("total") != nil || (a.str("nextPageToken") == "") != (a.at("isLast") == true) {
				t.Fatalf("page %s", a.body)
			}
			if a.at("isLast") == true {
				return keys
			}
			body["nextPageToken"] = a.str("nextPageToken")
		}
	}
	var id float64
	for n := range 8 {
		reporter := alice
		if n%2 == 1 {
			reporter = bob
		}
		a := f.desk(201, "POST", "/request", requestDoc(fmt.Sprintf("要望 %d \"引用\"", n), reporter))
		_, _ = fmt.Sscan(a.str("issueId"), &id)
		f.clock.forward(100 * time.Millisecond)
	}
	// 0.8 s have passed: nothing is in the index yet, but what is named is reconciled.
	if got := find("project = HELP"); len(got) != 0 {
		t.Errorf("too early: %v", got)
	}
	if got := find("project = HELP", doc{"reconcileIssues": []int{int(id)}}); !slices.Equal(got, []string{"HELP-8"}) {
		t.Errorf("reconciled: %v", got)
	}
	f.clock.forward(2500 * time.Millisecond) // the first four are older than 3 s
	if got := find("project = HELP order by key asc"); !slices.Equal(got, []string{"HELP-1", "HELP-2", "HELP-3", "HELP-4"}) {
		t.Errorf("half way: %v", got)
	}
	f.clock.forward(time.Minute)
	for jql, want := range map[string]int{
		`project = HELP`: 8, `project in (HELP, X) AND status = "Waiting for support"`: 8, `reporter = "` + alice + `"`: 4, `reporter != "` + alice + `"`: 4,
		`key = HELP-3`: 1, `key in (HELP-3, "HELP-4")`: 2, `summary ~ "要望 7"`: 1, `labels = "musubi-1"`: 0, `labels is empty AND project = HELP`: 8,
		`statusCategory = Done`: 0, `statusCategory != Done`: 8, `created >= -5m`: 8, `created < -5m`: 0, `updated >= "2026-11-24 09:00"`: 8, `updated >= "2026-11-24 09:02"`: 0,
		`reporter = currentUser()`: 0, `assignee is EMPTY`: 8, `organizations = "例示市"`: 0, `issuetype = "Service Request"`: 8, `priority = Medium ORDER BY updated DESC`: 8,
	} {
		if got := find(jql); len(got) != want {
			t.Errorf("%s: %v, want %d", jql, got, want)
		}
		if a := f.call(200, "POST", platform+"/search/approximate-count", doc{"jql": jql}); a.at("count") != float64(want) {
			t.Errorf("count of %s: %s", jql, a.body)
		}
	}
	for _, jql := range []string{`project = HELP OR key = HELP-1`, `(project = HELP)`, `project =`, `project = "HELP`, `project in (HELP`, `created >= soon`, `summary = "x"`, `project = HELP order by summary`, `project HELP`, `project = HELP key = HELP-1`} {
		f.call(400, "POST", platform+"/search/jql", doc{"jql": jql})
	}
	// Ids alone unless fields are named; a change shows after the lag.
	a := f.call(200, "GET", platform+"/search/jql?maxResults=2&jql="+url.QueryEscape("project = HELP"), nil)
	if hit := a.at("issues", 0).(map[string]any); len(hit) != 1 || hit["id"] == nil {
		t.Errorf("default fields: %s", a.body)
	}
	f.call(400, "GET", platform+"/search/jql?nextPageToken="+a.str("nextPageToken")+"&jql="+url.QueryEscape("project = OTHER"), nil)
	f.call(204, "PUT", platform+"/issue/HELP-1", doc{"update": doc{"labels": []doc{{"add": "musubi-1"}}}})
	if got := find(`labels = "musubi-1"`); len(got) != 0 {
		t.Errorf("label too early: %v", got)
	}
	if a := f.call(200, "GET", platform+"/issue/HELP-1", nil); a.str("fields", "labels", 0) != "musubi-1" {
		t.Errorf("reading by key must not lag: %s", a.body)
	}
	f.clock.forward(4 * time.Second)
	if got := find(`labels = "musubi-1"`); len(got) != 1 {
		t.Errorf("label: %v", got)
	}
	if a := f.call(200, "POST", platform+"/search/jql", doc{"jql": "project = HELP"}, as(1)); len(a.list("issues")) != 4 {
		t.Errorf("a customer finds what it may see: %s", a.body)
	}
}

func multipartBody(t testing.TB, name string, content []byte) (string, func(*http.Request)) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	part, err := w.CreateFormFile("file", name)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = part.Write(content)
	_ = w.Close()
	return b.String(), func(r *http.Request) {
		r.Header.Set("Content-Type", w.FormDataContentType())
		r.Header.Set("X-Atlassian-Token", "no-check")
	}
}

func TestAttachments(t *testing.T) {
	f, alice, _ := newWork(t)
	key := f.request("一", alice)
	body, header := multipartBody(t, "様式 1.csv", []byte("a,b\n"))
	temp := f.desk(201, "POST", "/servicedesk/1/attachTemporaryFile", body, header).str("temporaryAttachments", 0, "temporaryAttachmentId")
	made := f.desk(201, "POST", "/request/"+key+"/attachment", doc{"temporaryAttachmentIds": []string{temp}, "public": true, "additionalComment": doc{"body": "添付します"}})
	if made.str("attachments", "values", 0, "filename") != "様式 1.csv" || made.at("comment", "public") != true {
		t.Fatalf("made %s", made.body)
	}
	f.desk(400, "POST", "/request/"+key+"/attachment", doc{"temporaryAttachmentIds": []string{temp}, "public": true})
	hidden := f.desk(201, "POST", "/servicedesk/1/attachTemporaryFile", body, header).str("temporaryAttachments", 0, "temporaryAttachmentId")
	f.desk(201, "POST", "/request/"+key+"/attachment", doc{"temporaryAttachmentIds": []string{hidden}, "public": false})
	upload := f.call(200, "POST", platform+"/issue/"+key+"/attachments", body, header)
	var list []doc
	if err := json.Unmarshal(upload.body, &list); err != nil || len(list) != 1 || list[0]["size"] != 4.0 {
		t.Fatalf("upload %s", upload.body)
	}
	for _, c := range []struct {
		want   float64
		change []func(*http.Request)
	}{{3, nil}, {1, []func(*http.Request){as(1)}}} {
		if a := f.desk(200, "GET", "/request/"+key+"/attachment", nil, c.change...); a.at("size") != c.want {
			t.Errorf("attachments: %s", a.body)
		}
	}
	id := list[0]["id"].(string)
	if a := f.call(303, "GET", platform+"/attachment/content/"+id, nil); !strings.HasSuffix(a.header.Get("Location"), "redirect=false") {
		t.Errorf("redirect to %q", a.header.Get("Location"))
	}
	if a := f.call(200, "GET", platform+"/attachment/content/"+id+"?redirect=false", nil); string(a.body) != "a,b\n" || a.header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("content %q", a.body)
	}
	f.call(404, "GET", platform+"/attachment/content/"+id+"?redirect=false", nil, as(1))
	f.call(204, "DELETE", platform+"/attachment/"+id, nil)
	f.call(404, "GET", platform+"/attachment/"+id, nil)
	big, header := multipartBody(t, "x", make([]byte, 8<<20+1))
	f.call(413, "POST", platform+"/issue/"+key+"/attachments", big, header)
	// A temporary file waits an hour.
	temp = f.desk(201, "POST", "/servicedesk/1/attachTemporaryFile", body, func(r *http.Request) {
		_, h := multipartBody(t, "x", nil)
		h(r)
		r.Header.Set("Content-Type", headerOf(body))
	}).str("temporaryAttachments", 0, "temporaryAttachmentId")
	f.clock.forward(61 * time.Minute)
	f.desk(400, "POST", "/request/"+key+"/attachment", doc{"temporaryAttachmentIds": []string{temp}, "public": true})
}

// headerOf gives the Content-Type of a multipart body made above.
func headerOf(body string) string {
	line, _, _ := strings.Cut(body, "\r\n")
	return "multipart/form-data; boundary=" + strings.TrimPrefix(line, "--")
}

func TestWritesOfOneIssueAreLimited(t *testing.T) {
	f, alice, _ := newWork(t, func(o *sandbox.Options) { o.QuotaScale = 1 })
	one, other := f.request("一", alice), f.request("二", alice)
	comment := func(key string) answer {
		t.Helper()
		a, err := f.try("POST", deskRoot+"/request/"+key+"/comment", doc{"body": "x", "public": true})
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	wrote := 1 // making it counts
	for ; comment(one).status == 201; wrote++ {
		if wrote > 30 {
			t.Fatal("no limit")
		}
	}
	if wrote != 20 {
		t.Errorf("%d writes in an instant, want 20", wrote)
	}
	a := comment(one)
	if a.header.Get("RateLimit-Reason") != "jira-per-issue-on-write" || a.header.Get("Retry-After") != "2" || a.header.Get("X-RateLimit-Remaining") != "0" {
		t.Errorf("headers %v", a.header)
	}
	if comment(other).status != 201 {
		t.Error("another issue is limited too")
	}
	// 20 in any 2 s, 100 in any 30 s.
	for range 14 {
		f.clock.forward(2001 * time.Millisecond)
		for range 20 {
			if comment(one).status == 201 {
				wrote++
			}
		}
	}
	if wrote != 100 {
		t.Errorf("%d writes in 28 s, want 100", wrote)
	}
	f.clock.forward(2 * time.Second)
	if comment(one).status != 201 {
		t.Error("30 s after the first writes there must be room")
	}
}

func TestThrottleReasons(t *testing.T) {
	f, _, _ := newWork(t)
	for _, reason := range []string{"jira-quota-global-based", "jira-quota-tenant-based", "jira-burst-based", "jira-per-issue-on-write"} {
		f.s.ClearFaults()
		if err := f.s.AddFaults(sandbox.Fault{Target: "jira", Kind: "status", Status: 429, DelayMS: 9000, Reason: reason}); err != nil {
			t.Fatal(err)
		}
		a := f.call(429, "GET", platform+"/field", nil)
		if a.header.Get("RateLimit-Reason") != reason || a.header.Get("Retry-After") != "9" || (a.header.Get("RateLimit") != "") != strings.Contains(reason, "quota") {
			t.Errorf("%s: %v", reason, a.header)
		}
		f.s.ClearFaults()
		if err := f.s.AddFaults(sandbox.Fault{Target: "jira", Kind: "no_retry_after", Reason: reason}); err != nil {
			t.Fatal(err)
		}
		if a := f.call(429, "GET", platform+"/field", nil); a.header.Get("Retry-After") != "" || a.header.Get("RateLimit-Reason") != reason {
			t.Errorf("%s without Retry-After: %v", reason, a.header)
		}
	}
	for _, bad := range []sandbox.Fault{
		{Target: "jira", Kind: "status", Status: 429, Reason: "x"},
		{Target: "atlassian", Kind: "status", Status: 429, Reason: "jira-burst-based"},
		{Target: "jira", Kind: "status", Status: 500, Reason: "jira-burst-based"},
	} {
		if f.s.AddFaults(bad) == nil {
			t.Errorf("%+v was taken", bad)
		}
	}
}

func TestWorkSurvivesARestart(t *testing.T) {
	dir := t.TempDir()
	f, alice, bob := newWork(t, func(o *sandbox.Options) { o.Dir = dir })
	key := f.request("一", alice)
	f.desk(201, "POST", "/request/"+key+"/comment", doc{"body": "内部"})
	f.clock.forward(time.Hour)
	f.desk(204, "POST", "/request/"+key+"/transition", doc{"id": "11"})
	f.desk(200, "POST", "/request/"+key+"/participant", doc{"accountIds": []string{bob}})
	f.call(201, "PUT", platform+"/issue/"+key+"/properties/musubi", `{"k":1}`)
	body, header := multipartBody(t, "x.txt", []byte("x"))
	temp := f.desk(201, "POST", "/servicedesk/1/attachTemporaryFile", body, header).str("temporaryAttachments", 0, "temporaryAttachmentId")
	f.call(200, "POST", platform+"/issue/"+key+"/attachments", body, header)
	f.call(201, "POST", "/jira/rest/webhooks/1.0/webhook", doc{"name": "hub", "url": "https://hub.example/", "events": []string{"comment_created"}, "secret": "s"})
	f.call(200, "POST", platform+"/webhook", doc{"url": "https://hub.example/", "webhooks": []doc{{"events": []string{"comment_created"}, "jqlFilter": "project = HELP"}}}, asApp)
	see := func(f *fixture) string {
		var b strings.Builder
		for _, path := range []string{platform + "/issue/" + key + "?expand=changelog&properties=*all", deskRoot + "/request/" + key + "/sla", deskRoot + "/request/" + key + "/comment", "/jira/rest/webhooks/1.0/webhook"} {
			b.Write(f.call(200, "GET", path, nil).body)
		}
		b.Write(f.call(200, "GET", platform+"/webhook", nil, asApp).body)
		return b.String()
	}
	for range 2 { // the journal, then its compacted form
		before := see(f)
		if err := f.s.Close(); err != nil {
			t.Fatal(err)
		}
		opt := testOptions(f.clock)
		opt.Dir, opt.Jira.CustomerToken, opt.Jira.AppToken, opt.Jira.WorkflowTime = dir, customerToken, appToken, -1
		s, err := sandbox.New(opt)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		f.s, f.rt = s, s.Transport()
		if after := see(f); after != before {
			t.Fatalf("after a restart:\n%s\nbefore:\n%s", after, before)
		}
	}
	f.desk(201, "POST", "/request/"+key+"/attachment", doc{"temporaryAttachmentIds": []string{temp}, "public": true})
	if next := f.request("二", alice); next != "HELP-2" {
		t.Errorf("the next number is %s", next)
	}
	if err := f.s.Reset(); err != nil {
		t.Fatal(err)
	}
	if st, _ := f.s.State("jira"); len(st.Tickets) != 0 {
		t.Errorf("after a reset: %+v", st.Tickets)
	}
}
