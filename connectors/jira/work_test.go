package jira_test

import (
	"bytes"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/musubi-hub/musubi/connectors"
	"github.com/musubi-hub/musubi/connectors/connectortest"
	"github.com/musubi-hub/musubi/connectors/jira"
	"github.com/musubi-hub/musubi/connectors/outbound"
	"github.com/musubi-hub/musubi/connectors/sandbox"
)

// inbox receives what the sandbox sends, as the hub's intake would.
type inbox struct {
	mu  sync.Mutex
	got []connectors.Delivery
}

func (x *inbox) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	x.mu.Lock()
	x.got = append(x.got, connectors.Delivery{Header: r.Header.Clone(), Body: body})
	x.mu.Unlock()
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
}

// TestWebhooksOfTheSandboxAreBelieved: registered by the connector, sent and signed by the sandbox, read by the connector, with
// duplicates, a wrong signature, and a comment's event without its issue.
func TestWebhooksOfTheSandboxAreBelieved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := &inbox{}
		opt := options(time.Now)
		opt.Outgoing = x
		box, err := sandbox.New(opt)
		if err != nil {
			t.Fatal(err)
		}
		defer box.Close()
		c, err := jira.New(config(box.Transport()))
		if err != nil {
			t.Fatal(err)
		}
		target := connectors.WebhookTarget{Name: "musubi", URL: "https://hub.example/hooks/jira"}
		for range 2 {
			if expires, err := c.EnsureWebhook(t.Context(), target); err != nil || !expires.IsZero() {
				t.Fatalf("%v %v", expires, err)
			}
		}
		w, err := c.CreateWorkItem(t.Context(), connectors.WorkItemDraft{OwnKey: "k1", Type: "1", Summary: "s", Description: "d"})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.TransitionWorkItem(t.Context(), w.ID, "Waiting for customer"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if err := box.AddFaults(
			sandbox.Fault{Target: "jira", Kind: "duplicate", Count: 1}, sandbox.Fault{Target: "jira", Kind: "bad_signature", Count: 1}, sandbox.Fault{Target: "jira", Kind: "no_issue", Count: 1},
		); err != nil {
			t.Fatal(err)
		}
		if _, err := c.AddComment(t.Context(), w.ID, connectors.Comment{OwnKey: "c1", Body: "内部", Internal: true}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		keys, refused := map[string]connectors.WorkItemEvent{}, 0
		for _, d := range x.got {
			r, err := c.ReadEvent(time.Now(), d)
			if connectors.KindOf(err) == connectors.KindAuth {
				refused++
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			e, ok := r.Events[0].(connectors.WorkItemEvent)
			if !ok || e.ItemID != w.ID {
				t.Errorf("event %+v", r.Events[0])
			}
			keys[r.Key] = e
		}
		if len(x.got) != 4 || refused != 1 || len(keys) != 3 {
			t.Errorf("%d deliveries, %d refused, %d events; want 4, 1, 3", len(x.got), refused, len(keys))
		}
		internal := 0
		for _, e := range keys {
			if e.Comment != nil && e.Comment.Internal && e.ItemKey == "" {
				internal++
			}
		}
		if internal != 1 {
			t.Errorf("the internal comment without its issue isn't among %+v", keys)
		}
		for range 2 {
			if err := c.DropWebhook(t.Context(), "musubi"); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestWebhookTargetsThatAreRefused(t *testing.T) {
	c, _, tap := open(t)
	for _, bad := range []connectors.WebhookTarget{
		{Name: "", URL: "https://h.example/"}, {Name: "x", URL: "http://h.example/"}, {Name: "x", URL: "https://h.example/?secret=1"}, {Name: "x", URL: "https://u:p@h.example/"}, {Name: "x", URL: ""},
	} {
		if _, err := c.EnsureWebhook(t.Context(), bad); connectors.KindOf(err) != connectors.KindInvalid {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	if len(tap.Take()) != 0 {
		t.Error("something was sent")
	}
	cfg := config(tap)
	cfg.WebhookSecret = outbound.NewSecret("short")
	if _, err := jira.New(cfg); err == nil || strings.Contains(err.Error(), "short ") && strings.Contains(err.Error(), `"short"`) {
		t.Errorf("a short secret: %v", err)
	}
}

// A step that conflicts with one under way is told apart from a failure, and comes through afterwards.
func TestConcurrentTransitions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opt := options(time.Now)
		opt.Jira.WorkflowTime = time.Second
		box, err := sandbox.New(opt)
		if err != nil {
			t.Fatal(err)
		}
		defer box.Close()
		c, err := jira.New(config(box.Transport()))
		if err != nil {
			t.Fatal(err)
		}
		w, err := c.CreateWorkItem(t.Context(), connectors.WorkItemDraft{OwnKey: "k1", Type: "1", Summary: "s", Description: "d"})
		if err != nil {
			t.Fatal(err)
		}
		errs := make([]error, 2)
		var wg sync.WaitGroup
		for i, status := range []string{"Waiting for customer", "In progress"} {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * 100 * time.Millisecond)
				errs[i] = c.TransitionWorkItem(t.Context(), w.ID, status)
			})
		}
		wg.Wait()
		if errs[0] != nil || connectors.KindOf(errs[1]) != connectors.KindUnavailable || connectors.RetryAfterOf(errs[1]) == 0 {
			t.Fatalf("%v", errs)
		}
		time.Sleep(connectors.RetryAfterOf(errs[1]))
		if err := c.TransitionWorkItem(t.Context(), w.ID, "In progress"); err != nil {
			t.Error(err)
		}
	})
}

func TestSearchGuards(t *testing.T) {
	page := func(next, issues string) connectortest.Fault {
		return connectortest.Answer(http.StatusOK, "application/json", `{"issues":`+issues+next+`}`)
	}
	const one = `[{"id":"10001","key":"HELP-1","fields":{"summary":"s","status":{"name":"x","statusCategory":{"key":"new"}}}}]`
	for name, fault := range map[string]connectortest.Fault{
		"the same token for ever":   page(`,"nextPageToken":"x","isLast":false`, one),
		"an empty page for ever":    page(`,"nextPageToken":"x"`, `[]`),
		"no issues":                 page(`,"isLast":true`, `null`),
		"an issue without an id":    page(`,"isLast":true`, `[{"key":"HELP-1"}]`),
		"an issue without a status": page(`,"isLast":true`, `[{"id":"10001","key":"HELP-1","fields":{}}]`),
		"a field of another type":   page(`,"isLast":true`, strings.Replace(one, `"s"`, `1`, 1)),
		"the removed search":        connectortest.Answer(http.StatusGone, "application/json", `{"errorMessages":["removed"]}`),
	} {
		c, _, tap := open(t)
		tap.Put(fault, -1, func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/search/jql") })
		_, err := c.FindWorkItem(t.Context(), "k", time.Time{})
		if connectors.KindOf(err) != connectors.KindProtocol {
			t.Errorf("%s: %v", name, err)
		}
		if n := len(tap.Take()); n > 10 {
			t.Errorf("%s: %d requests", name, n)
		}
	}
}

func TestPausedSLA(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _, _ := open(t)
		w, err := c.CreateWorkItem(t.Context(), connectors.WorkItemDraft{OwnKey: "k1", Type: "1", Summary: "s", Description: "d"})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.TransitionWorkItem(t.Context(), w.ID, "Waiting for customer"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Hour)
		list, err := c.ReadSLA(t.Context(), w.ID)
		if err != nil || len(list) != 2 || !list[0].Breached || list[0].Remaining >= 0 || !list[1].Paused || list[1].Breached || list[1].Due.Before(time.Now()) {
			t.Errorf("%+v %v", list, err)
		}
	})
}

// What is as visible as wasn't asked for is an error, not a success.
func TestVisibilityIsChecked(t *testing.T) {
	c, _, tap := open(t)
	w, err := c.CreateWorkItem(t.Context(), connectors.WorkItemDraft{OwnKey: "k1", Type: "1", Summary: "s", Description: "d"})
	if err != nil {
		t.Fatal(err)
	}
	public := connectortest.Answer(http.StatusCreated, "application/json", `{"id":"5","body":{"type":"doc","version":1,"content":[]},"jsdPublic":true}`)
	tap.Put(public, -1, post("/comment"))
	if _, err := c.AddComment(t.Context(), w.ID, connectors.Comment{OwnKey: "c1", Body: "x", Internal: true}); connectors.KindOf(err) != connectors.KindProtocol {
		t.Errorf("a published internal comment: %v", err)
	}
	tap.Put(func(v http.RoundTripper, r *http.Request) (*http.Response, error) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(bytes.Replace(body, []byte(`"public":false`), []byte(`"public":true`), 1)))
		return v.RoundTrip(r)
	}, -1, post("/attachment"))
	if _, err := c.AttachFile(t.Context(), w.ID, "x", strings.NewReader("x"), true); connectors.KindOf(err) != connectors.KindProtocol {
		t.Errorf("a published internal file: %v", err)
	}
}

func TestAbsentCapabilityIsSaid(t *testing.T) {
	c, _, _ := open(t)
	d := c.Describe()
	if !slices.ContainsFunc(d.Absent, func(a connectors.Absence) bool { return a.Ability == "CustomerSCIM" && a.Why != "" }) {
		t.Errorf("%+v", d.Absent)
	}
}
