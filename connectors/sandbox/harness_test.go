package sandbox_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/connectors/sandbox"
)

const (
	testDirectory = "2fb21891-7bee-4c2d-a61a-ade3834c8b2b"
	scimToken     = "scim-secret"
	jiraEmail     = "admin@example.go.jp"
	jiraToken     = "jira-secret"
	slackToken    = "xoxb-secret"
	slackAdmin    = "xoxp-admin-secret"
	slackSigning  = "signing-secret"
	base          = "http://127.0.0.1:8081"
)

// clock is a clock that stands still unless told.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.t }

func (c *clock) forward(d time.Duration) { c.mu.Lock(); defer c.mu.Unlock(); c.t = c.t.Add(d) }

func newClock() *clock { return &clock{t: time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)} }

// fixture is a sandbox with a client for each product.
type fixture struct {
	t     testing.TB
	s     *sandbox.Sandbox
	clock *clock
	rt    http.RoundTripper
}

func testOptions(c *clock) sandbox.Options {
	return sandbox.Options{
		Now: c.now, Seed: 7, BaseURL: base, QuotaScale: 1000,
		Atlassian: sandbox.AtlassianOptions{
			DirectoryID: testDirectory, Token: scimToken, TokenExpires: c.now().Add(24 * time.Hour), VerifiedDomains: []string{"Example.go.jp"},
		},
		Jira: sandbox.JiraOptions{Email: jiraEmail, Token: jiraToken, TokenExpires: c.now().Add(24 * time.Hour)},
		Slack: sandbox.SlackOptions{
			Token: slackToken, AdminToken: slackAdmin, SigningSecret: slackSigning, OwnerEmail: "owner@example.go.jp",
			TokenExpires: c.now().Add(24 * time.Hour), AdminTokenExpires: c.now().Add(24 * time.Hour), UpdateTime: -1,
		},
	}
}

func newFixture(t testing.TB, change ...func(*sandbox.Options)) *fixture {
	t.Helper()
	c := newClock()
	opt := testOptions(c)
	for _, f := range change {
		f(&opt)
	}
	s, err := sandbox.New(opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return &fixture{t, s, c, s.Transport()}
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   []byte
	doc    map[string]any
}

func (a answer) str(path ...any) string {
	v, _ := a.at(path...).(string)
	return v
}

func (a answer) at(path ...any) any {
	var v any = a.doc
	for _, p := range path {
		switch k := p.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[k]
		case int:
			l, _ := v.([]any)
			if k >= len(l) {
				return nil
			}
			v = l[k]
		}
	}
	return v
}

func (a answer) list(path ...any) []any {
	l, _ := a.at(path...).([]any)
	return l
}

// try sends one request; change edits it.
func (f *fixture) try(method, path string, body any, change ...func(*http.Request)) (answer, error) {
	f.t.Helper()
	var r io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		r = strings.NewReader(b)
	default:
		raw, err := json.Marshal(b)
		if err != nil {
			f.t.Fatal(err)
		}
		r = bytes.NewReader(raw)
	}
	req, err := http.NewRequest(method, base+path, r)
	if err != nil {
		f.t.Fatal(err)
	}
	if r != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	switch {
	case strings.HasPrefix(path, "/atlassian"):
		req.Header.Set("Authorization", "Bearer "+scimToken)
	case strings.HasPrefix(path, "/slack/scim"):
		req.Header.Set("Authorization", "Bearer "+slackAdmin)
	case strings.HasPrefix(path, "/slack"):
		req.Header.Set("Authorization", "Bearer "+slackToken)
	default:
		req.SetBasicAuth(jiraEmail, jiraToken)
	}
	for _, c := range change {
		c(req)
	}
	resp, err := f.rt.RoundTrip(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	a := answer{status: resp.StatusCode, header: resp.Header}
	if a.body, err = io.ReadAll(resp.Body); err != nil {
		f.t.Fatal(err)
	}
	_ = json.Unmarshal(a.body, &a.doc)
	return a, nil
}

func (f *fixture) call(want int, method, path string, body any, change ...func(*http.Request)) answer {
	f.t.Helper()
	a, err := f.try(method, path, body, change...)
	if err != nil {
		f.t.Fatalf("%s %s: %v", method, path, err)
	}
	if a.status != want {
		f.t.Fatalf("%s %s: status %d, want %d: %s", method, path, a.status, want, a.body)
	}
	return a
}

const scimRoot = "/atlassian/scim/directory/" + testDirectory

func (f *fixture) scim(want int, method, path string, body any, change ...func(*http.Request)) answer {
	f.t.Helper()
	return f.call(want, method, scimRoot+path, body, change...)
}

const deskRoot = "/jira/rest/servicedeskapi"

func (f *fixture) desk(want int, method, path string, body any, change ...func(*http.Request)) answer {
	f.t.Helper()
	return f.call(want, method, deskRoot+path, body, change...)
}

type doc = map[string]any

func userDoc(n int) doc {
	mail := fmt.Sprintf("user%03d@example.go.jp", n)
	return doc{
		"schemas": []string{"urn:ietf:params:scim:schemas:core:2.0:User"}, "userName": mail, "externalId": fmt.Sprintf("P%03d", n),
		"displayName": fmt.Sprintf("試験 %03d", n), "title": "係長", "active": true,
		"emails": []doc{{"value": mail, "type": "work", "primary": true}},
	}
}

func (f *fixture) user(n int) string {
	f.t.Helper()
	return f.scim(201, "POST", "/Users", userDoc(n)).str("id")
}

func groupDoc(name string, members ...string) doc {
	refs := []doc{}
	for _, m := range members {
		refs = append(refs, doc{"value": m})
	}
	return doc{"schemas": []string{"urn:ietf:params:scim:schemas:core:2.0:Group"}, "displayName": name, "members": refs}
}

func patchDoc(ops ...doc) doc {
	return doc{"schemas": []string{"urn:ietf:params:scim:api:messages:2.0:PatchOp"}, "Operations": ops}
}

func (f *fixture) customer(n int) string {
	f.t.Helper()
	return f.desk(201, "POST", "/customer", doc{"email": fmt.Sprintf("town%03d@city.example.lg.jp", n), "displayName": fmt.Sprintf("町役場 %03d", n)}).str("accountId")
}

func memberIDs(a answer) []string {
	ids := []string{}
	for _, m := range a.list("members") {
		ids = append(ids, m.(map[string]any)["value"].(string))
	}
	return ids
}

func experimental(r *http.Request) { r.Header.Set("X-ExperimentalApi", "opt-in") }

// shared finds ../shared beside the repository, or skips the test.
func shared(t testing.TB, path string) []byte {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("no go.mod above the test")
		}
	}
	raw, err := os.ReadFile(filepath.Join(dir, "..", "shared", path))
	if os.IsNotExist(err) {
		t.Skipf("../shared/%s is not there: the vendor's contract can't be checked", path)
	}
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
