package sandbox_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/musubi-hub/musubi/connectors/sandbox"
)

func (f *fixture) plant(faults ...sandbox.Fault) {
	f.t.Helper()
	if err := f.s.AddFaults(faults...); err != nil {
		f.t.Fatal(err)
	}
}

func TestFaultsBeforeTheWork(t *testing.T) {
	f := newFixture(t)
	count := func() int { c, _ := f.s.Counts("atlassian"); return c.Accounts }

	f.plant(sandbox.Fault{Target: "atlassian", Method: "POST", PathPrefix: "/scim/directory/" + testDirectory + "/Users", Kind: "status", Status: 500, Count: 1})
	if a := f.scim(500, "POST", "/Users", userDoc(1)); a.str("status") != "500" || count() != 0 {
		t.Errorf("status: %s", a.body)
	}
	f.plant(sandbox.Fault{Target: "atlassian", Kind: "no_retry_after", Count: 1})
	if a := f.scim(429, "POST", "/Users", userDoc(1)); a.header.Get("Retry-After") != "" || count() != 0 {
		t.Errorf("no_retry_after: %v", a.header)
	}
	f.plant(sandbox.Fault{Target: "jira", Kind: "status", Status: 429, DelayMS: 2500, Count: 1})
	if a := f.desk(429, "GET", "/organization", nil); a.header.Get("Retry-After") != "3" || a.header.Get("RateLimit-Reason") != "jira-burst-based" {
		t.Errorf("429: %v", a.header)
	}
	f.plant(sandbox.Fault{Target: "jira", Op: "createCustomer", Kind: "status", Status: 503, DelayMS: 1000, Count: 1})
	f.desk(200, "GET", "/organization", nil)
	if a := f.desk(503, "POST", "/customer", doc{}); a.header.Get("Retry-After") != "1" || a.str("errorMessage") == "" {
		t.Errorf("503: %v %s", a.header, a.body)
	}
	f.plant(sandbox.Fault{Target: "atlassian", Kind: "html", Count: 1}, sandbox.Fault{Target: "atlassian", Kind: "html", Status: 200, Count: 1})
	f.scim(502, "GET", "/Users", nil)
	if a := f.scim(200, "GET", "/Users", nil); !strings.HasPrefix(a.header.Get("Content-Type"), "text/html") {
		t.Errorf("html: %v", a.header)
	}
	f.plant(sandbox.Fault{Target: "atlassian", Kind: "reset", Count: 1})
	if _, err := f.try("POST", scimRoot+"/Users", userDoc(1)); !errors.Is(err, syscall.ECONNRESET) || count() != 0 {
		t.Errorf("reset: %v", err)
	}
	for _, r := range f.s.Faults() {
		if r.Fired != 1 {
			t.Errorf("rule %d fired %d times", r.ID, r.Fired)
		}
	}
	f.scim(201, "POST", "/Users", userDoc(1))
}

func TestFaultTimeoutAfterSuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, func(o *sandbox.Options) {
			o.Now = time.Now
			o.Atlassian.TokenExpires, o.Jira.TokenExpires = time.Time{}, time.Time{}
		})
		f.plant(sandbox.Fault{Target: "atlassian", Method: "POST", Kind: "timeout_after_success", Count: 1})
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		start := time.Now()
		_, err := f.try("POST", scimRoot+"/Users", userDoc(1), func(r *http.Request) { *r = *r.WithContext(ctx) })
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 20*time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		f.scim(409, "POST", "/Users", userDoc(1)) // it was done
		f.plant(sandbox.Fault{Target: "jira", Method: "POST", Kind: "timeout_after_success", DelayMS: 5000, Count: 1})
		start = time.Now()
		_, err = f.try("POST", deskRoot+"/customer", doc{"email": "a@city.example.lg.jp", "displayName": "a"})
		if !errors.Is(err, syscall.ECONNRESET) || time.Since(start) != 5*time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		if c, _ := f.s.Counts("jira"); c.Active != 1 {
			t.Errorf("%+v", c)
		}
		f.plant(sandbox.Fault{Target: "jira", Kind: "latency", DelayMS: 3000, Count: 1})
		start = time.Now()
		f.desk(200, "GET", "/organization", nil)
		if time.Since(start) != 3*time.Second {
			t.Errorf("latency took %v", time.Since(start))
		}
		synctest.Wait()
	})
}

func TestFaultDropMember(t *testing.T) {
	f := newFixture(t)
	ids := []string{f.user(1), f.user(2), f.user(3)}
	path := "/Groups/" + f.scim(201, "POST", "/Groups", groupDoc("g")).str("id")
	f.plant(sandbox.Fault{Target: "atlassian", Kind: "drop_member", Count: 1})
	f.scim(200, "GET", "/Users", nil) // doesn't use the rule up
	add := func() answer {
		return f.scim(200, "PATCH", path, patchDoc(doc{"op": "add", "path": "members", "value": groupDoc("", ids...)["members"]}))
	}
	if got := memberIDs(add()); len(got) != 2 {
		t.Errorf("members: %v", got)
	}
	if got := memberIDs(add()); len(got) != 3 {
		t.Errorf("the second time nothing may be dropped: %v", got)
	}
	a, b := f.customer(1), f.customer(2)
	f.desk(201, "POST", "/organization", doc{"name": "o"})
	f.plant(sandbox.Fault{Target: "jira", Kind: "drop_member", Count: 1})
	f.desk(204, "POST", "/organization/1/user", doc{"accountIds": []string{a, b}})
	if got := f.desk(200, "GET", "/organization/1/user", nil); got.at("size") != 1.0 {
		t.Errorf("members: %s", got.body)
	}
}

func TestFaultStaleRead(t *testing.T) {
	f := newFixture(t)
	old := f.user(1)
	oldCustomer := f.customer(1)
	path := "/Groups/" + f.scim(201, "POST", "/Groups", groupDoc("g", old)).str("id")
	f.desk(201, "POST", "/organization", doc{"name": "o"})
	f.desk(204, "POST", "/organization/1/user", doc{"accountIds": []string{oldCustomer}})
	f.clock.forward(time.Minute)
	for _, app := range []string{"atlassian", "jira"} {
		f.plant(sandbox.Fault{Target: app, Kind: "stale_read", DelayMS: 5000})
	}
	f.clock.forward(time.Second)
	fresh := f.user(2)
	f.scim(200, "PATCH", "/Users/"+old, patchDoc(doc{"op": "replace", "path": "title", "value": "課長"}))
	f.scim(200, "PUT", path, groupDoc("g", fresh))
	f.scim(201, "POST", "/Groups", groupDoc("new"))
	customer := f.customer(2)
	f.desk(204, "DELETE", "/organization/1/user", doc{"accountIds": []string{oldCustomer}})
	f.desk(204, "POST", "/organization/1/user", doc{"accountIds": []string{customer}})
	f.desk(204, "PUT", "/customer/user/"+oldCustomer+"/revoke-portal-only-access", nil)
	f.desk(201, "POST", "/organization", doc{"name": "new"})

	filter := "/Users?filter=" + url.QueryEscape(`externalId eq "P002"`)
	search := "/jira/rest/api/3/user/search?query=town00"
	look := func(want string) {
		t.Helper()
		var people []doc
		_ = json.Unmarshal(f.call(200, "GET", search, nil).body, &people)
		got := []any{
			f.scim(200, "GET", "/Users", nil).at("totalResults"), f.scim(200, "GET", filter, nil).at("totalResults"),
			f.scim(200, "GET", "/Users/"+old, nil).str("title"), memberIDs(f.scim(200, "GET", path, nil))[0] == fresh,
			f.scim(200, "GET", "/Groups", nil).at("totalResults"), f.desk(200, "GET", "/organization", nil).at("size"),
			f.desk(200, "GET", "/organization/1/user", nil).str("values", 0, "accountId") == customer, people[0]["accountId"] == oldCustomer, len(people),
		}
		raw, _ := json.Marshal(got)
		if string(raw) != want {
			t.Errorf("got  %s\nwant %s", raw, want)
		}
	}
	look(`[1,0,"係長",false,1,1,false,true,1]`)
	f.scim(404, "GET", "/Users/"+fresh, nil)
	f.clock.forward(5 * time.Second)
	look(`[2,1,"課長",true,2,2,true,false,1]`)
}

func TestFaultRateIsRepeatable(t *testing.T) {
	run := func() string {
		f := newFixture(t)
		rate := 0.4
		f.plant(sandbox.Fault{Target: "jira", Kind: "status", Status: 500, Rate: &rate, Seed: 3})
		var hits strings.Builder
		for range 200 {
			a, err := f.try("GET", deskRoot+"/organization", nil)
			if err != nil {
				t.Fatal(err)
			}
			hits.WriteByte("01"[min(1, a.status/500)])
		}
		return hits.String()
	}
	one := run()
	if one != run() {
		t.Error("the same seed gave other faults")
	}
	if n := strings.Count(one, "1"); n < 50 || n > 110 {
		t.Errorf("%d of 200 were hit, want about 80", n)
	}
}

func TestFaultRulesAreChecked(t *testing.T) {
	f := newFixture(t)
	high := 1.5
	for _, bad := range []sandbox.Fault{
		{Kind: "reset"},
		{Target: "none", Kind: "reset"},
		{Target: "jira"},
		{Target: "jira", Kind: "status"},
		{Target: "jira", Kind: "status", Status: 200},
		{Target: "jira", Kind: "latency"},
		{Target: "jira", Kind: "latency", DelayMS: 700_000},
		{Target: "jira", Kind: "stale_read"},
		{Target: "jira", Kind: "stale_read", DelayMS: 61_000},
		{Target: "jira", Kind: "reset", Rate: &high},
		{Target: "jira", Kind: "reset", Count: -1},
		{Target: "jira", Kind: "html", Status: 99},
	} {
		if err := f.s.AddFaults(sandbox.Fault{Target: "jira", Kind: "reset"}, bad); err == nil {
			t.Errorf("%+v was taken", bad)
		}
	}
	if len(f.s.Faults()) != 0 {
		t.Error("a refused list was taken in part")
	}
}

// TestFaultsOverASocket looks at what a real client sees.
func TestFaultsOverASocket(t *testing.T) {
	f := newFixture(t)
	srv := httptest.NewServer(f.s)
	defer srv.Close()
	send := func() error {
		raw, _ := json.Marshal(userDoc(1))
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, "POST", srv.URL+scimRoot+"/Users", bytes.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/scim+json")
		req.Header.Set("Authorization", "Bearer "+scimToken)
		resp, err := srv.Client().Do(req)
		if err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
		return err
	}
	f.plant(sandbox.Fault{Target: "atlassian", Kind: "reset", Count: 1})
	if err := send(); err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("reset: %v", err)
	}
	if c, _ := f.s.Counts("atlassian"); c.Accounts != 0 {
		t.Errorf("reset did the work: %+v", c)
	}
	f.plant(sandbox.Fault{Target: "atlassian", Kind: "timeout_after_success", Count: 1})
	if err := send(); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("timeout: %v", err)
	}
	if c, _ := f.s.Counts("atlassian"); c.Accounts != 1 {
		t.Errorf("timeout_after_success didn't do the work: %+v", c)
	}
}
