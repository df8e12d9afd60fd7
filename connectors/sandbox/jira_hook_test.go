package sandbox_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/musubi-hub/musubi/connectors/sandbox"
)

// received is a webhook that came.
type received struct {
	at     time.Time
	header http.Header
	body   []byte
	doc    map[string]any
}

func (r received) signed(secret string) bool {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(r.body)
	return r.header.Get("X-Hub-Signature") == "sha256="+hex.EncodeToString(mac.Sum(nil))
}

// receiver takes webhooks; answer says how.
type receiver struct {
	mu     sync.Mutex
	got    []received
	answer func(n int, r *http.Request) (int, error)
}

func (x *receiver) RoundTrip(r *http.Request) (*http.Response, error) {
	body, _ := io.ReadAll(r.Body)
	got := received{at: time.Now(), header: r.Header.Clone(), body: body}
	_ = json.Unmarshal(body, &got.doc)
	x.mu.Lock()
	x.got = append(x.got, got)
	n, answer := len(x.got), x.answer
	x.mu.Unlock()
	status := http.StatusOK
	if answer != nil {
		var err error
		if status, err = answer(n, r); err != nil {
			return nil, err
		}
	}
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
}

func (x *receiver) will(answer func(int, *http.Request) (int, error)) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.answer = answer
}

func (x *receiver) take() []received {
	x.mu.Lock()
	defer x.mu.Unlock()
	got := x.got
	x.got = nil
	return got
}

const hookSecret = "It's a Secret to Everybody"

// hooked is a sandbox in simulated time with an administrator's webhook for everything.
func hooked(t *testing.T, x *receiver) (f *fixture, alice string) {
	t.Helper()
	f, alice, _ = newWork(t, func(o *sandbox.Options) { o.Now, o.Outgoing, o.Jira.TokenExpires = time.Now, x, time.Time{} })
	f.call(201, "POST", "/jira/rest/webhooks/1.0/webhook", doc{
		"name": "hub", "url": "https://hub.example/${issue.key}", "secret": hookSecret, "filters": doc{"issue-related-events-section": "project = HELP"},
		"events": []string{"jira:issue_created", "jira:issue_updated", "comment_created"},
	})
	return f, alice
}

func TestWebhooksTellWhatHappened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := &receiver{}
		f, alice := hooked(t, x)
		key := f.request("一", alice)
		f.desk(204, "POST", "/request/"+key+"/transition", doc{"id": "11"})
		f.desk(201, "POST", "/request/"+key+"/comment", doc{"body": "内部"})
		f.desk(201, "POST", "/request/"+key+"/comment", doc{"body": "返事", "public": true}, as(1))
		synctest.Wait()
		got := x.take()
		slices.SortFunc(got, func(a, b received) int {
			return strings.Compare(a.doc["webhookEvent"].(string)+string(a.body), b.doc["webhookEvent"].(string)+string(b.body))
		})
		if len(got) != 4 {
			t.Fatalf("%d webhooks", len(got))
		}
		ids := map[string]bool{}
		for _, r := range got {
			ids[r.header.Get("X-Atlassian-Webhook-Identifier")] = true
			if !r.signed(hookSecret) || r.header.Get("X-Atlassian-Webhook-Flow") != "Primary" || r.header.Get("X-Atlassian-Webhook-Retry") != "" {
				t.Errorf("header %v", r.header)
			}
			if strings.Contains(string(r.body), "@city.example.lg.jp") && r.doc["user"] != nil {
				if u, _ := r.doc["user"].(map[string]any); u["emailAddress"] != nil {
					t.Errorf("the user's address is in it: %s", r.body)
				}
			}
		}
		if len(ids) != 4 {
			t.Errorf("identifiers %v", ids)
		}
		a := answer{doc: got[3].doc}
		if a.str("webhookEvent") != "jira:issue_updated" || a.str("changelog", "items", 0, "toString") != "Waiting for customer" || a.str("issue", "fields", "description") == "" {
			t.Errorf("update %s", got[3].body)
		}
		public := 0
		for _, r := range got[:2] {
			a := answer{doc: r.doc}
			if a.at("comment", "jsdPublic") == true {
				public++
			}
			if a.str("webhookEvent") != "comment_created" || a.str("issue", "key") != key {
				t.Errorf("comment %s", r.body)
			}
		}
		if public != 1 {
			t.Errorf("%d public comments were told of, want 1", public)
		}
		// Disabled, or filtered out, it stays silent.
		f.call(200, "PUT", "/jira/rest/webhooks/1.0/webhook/1", doc{"name": "hub", "url": "https://hub.example/", "events": []string{"comment_created"}, "filters": doc{"issue-related-events-section": "labels = other"}})
		f.desk(201, "POST", "/request/"+key+"/comment", doc{"body": "x", "public": true})
		f.call(200, "PUT", "/jira/rest/webhooks/1.0/webhook/1", doc{"name": "hub", "url": "https://hub.example/", "events": []string{"comment_created"}, "enabled": false})
		f.desk(201, "POST", "/request/"+key+"/comment", doc{"body": "x", "public": true})
		synctest.Wait()
		if got := x.take(); len(got) != 0 {
			t.Errorf("%d webhooks came", len(got))
		}
		if a := f.call(200, "GET", "/jira/rest/webhooks/1.0/webhook/1", nil); strings.Contains(string(a.body), "Everybody") || a.at("isSigned") != true {
			t.Errorf("shown: %s", a.body)
		}
		f.call(204, "DELETE", "/jira/rest/webhooks/1.0/webhook/1", nil)
		f.call(404, "GET", "/jira/rest/webhooks/1.0/webhook/1", nil)
	})
}

func TestWebhookRetriesAndFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := &receiver{answer: func(n int, r *http.Request) (int, error) {
			if n == 1 { // a slow receiver
				<-r.Context().Done()
				return 0, r.Context().Err()
			}
			if n < 4 {
				return 503, nil
			}
			return 200, nil
		}}
		f, alice := hooked(t, x)
		start := time.Now()
		key := f.request("一", alice)
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		got := x.take()
		if len(got) != 4 || got[1].at.Sub(start) != 20*time.Second+5*time.Minute || got[3].header.Get("X-Atlassian-Webhook-Retry") != "3" ||
			got[3].header.Get("X-Atlassian-Webhook-Identifier") != got[0].header.Get("X-Atlassian-Webhook-Identifier") {
			t.Errorf("%d tries: %+v", len(got), got)
		}
		x.will(func(int, *http.Request) (int, error) { return 400, nil }) // not retried
		f.desk(201, "POST", "/request/"+key+"/comment", doc{"body": "x", "public": true})
		time.Sleep(2 * time.Hour)
		if got := x.take(); len(got) != 1 {
			t.Errorf("a refused webhook was tried %d times", len(got))
		}
		x.will(func(int, *http.Request) (int, error) { return 500, nil })
		f.desk(201, "POST", "/request/"+key+"/comment", doc{"body": "x", "public": true})
		time.Sleep(2 * time.Hour)
		if got := x.take(); len(got) != 6 {
			t.Errorf("%d tries in all, want 6", len(got))
		}
		x.will(nil)
		plant := func(faults ...sandbox.Fault) []received {
			t.Helper()
			f.s.ClearFaults()
			if err := f.s.AddFaults(faults...); err != nil {
				t.Fatal(err)
			}
			f.desk(201, "POST", "/request/"+key+"/comment", doc{"body": "先", "public": true})
			synctest.Wait()
			f.desk(201, "POST", "/request/"+key+"/comment", doc{"body": "後", "public": true})
			time.Sleep(time.Minute)
			synctest.Wait()
			return x.take()
		}
		body := func(r received) string { return answer{doc: r.doc}.str("comment", "body") }
		id := func(r received) string { return r.header.Get("X-Atlassian-Webhook-Identifier") }
		if got := plant(sandbox.Fault{Target: "jira", Kind: "duplicate", Op: "comment_created", Count: 1}); len(got) != 3 || id(got[0]) != id(got[1]) {
			t.Errorf("duplicate: %d", len(got))
		}
		if got := plant(sandbox.Fault{Target: "jira", Kind: "reorder", Count: 1}); len(got) != 2 || body(got[0]) != "後" || body(got[1]) != "先" {
			t.Errorf("reorder: %d", len(got))
		}
		if got := plant(sandbox.Fault{Target: "jira", Kind: "drop", Count: 1}); len(got) != 1 || body(got[0]) != "後" {
			t.Errorf("drop: %d", len(got))
		}
		if got := plant(sandbox.Fault{Target: "jira", Kind: "bad_signature", Count: 1}); len(got) != 2 || got[0].signed(hookSecret) || !got[1].signed(hookSecret) {
			t.Errorf("bad signature: %d", len(got))
		}
		if got := plant(sandbox.Fault{Target: "jira", Kind: "no_issue", Count: 1}); len(got) != 2 || got[0].doc["issue"] != nil || got[1].doc["issue"] == nil {
			t.Errorf("no issue: %d", len(got))
		}
	})
}

func TestAppWebhooksExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := &receiver{}
		f, alice, _ := newWork(t, func(o *sandbox.Options) { o.Now, o.Outgoing, o.Jira.TokenExpires = time.Now, x, time.Time{} })
		made := f.call(200, "POST", platform+"/webhook", doc{"url": "https://hub.example/", "webhooks": []doc{
			{"events": []string{"comment_created"}, "jqlFilter": "project = HELP"},
			{"events": []string{"comment_created"}, "jqlFilter": "watchCount = 1"},
			{"events": []string{"x"}, "jqlFilter": "project = HELP"},
		}}, asApp)
		if made.at("webhookRegistrationResult", 0, "createdWebhookId") != 1.0 || made.at("webhookRegistrationResult", 1, "errors") == nil || made.at("webhookRegistrationResult", 2, "errors") == nil {
			t.Fatalf("made %s", made.body)
		}
		key := f.request("一", alice)
		comes := func() bool {
			f.desk(201, "POST", "/request/"+key+"/comment", doc{"body": "x", "public": true})
			synctest.Wait()
			got := x.take()
			return len(got) == 1 && got[0].header.Get("X-Hub-Signature") == ""
		}
		if !comes() {
			t.Error("the app's webhook must come, unsigned")
		}
		time.Sleep(29 * 24 * time.Hour)
		if a := f.call(200, "PUT", platform+"/webhook/refresh", doc{"webhookIds": []int{1, 99}}, asApp); a.at("expirationDate") != float64(time.Now().Add(30*24*time.Hour).UnixMilli()) {
			t.Errorf("refresh: %s", a.body)
		}
		time.Sleep(29 * 24 * time.Hour)
		if !comes() {
			t.Error("refreshed, it must live on")
		}
		time.Sleep(2 * 24 * time.Hour)
		if comes() {
			t.Error("after 30 days it must be gone")
		}
		f.call(202, "DELETE", platform+"/webhook", doc{"webhookIds": []int{1}}, asApp)
		if a := f.call(200, "GET", platform+"/webhook", nil, asApp); a.at("total") != 0.0 {
			t.Errorf("left: %s", a.body)
		}
	})
}
