package sandbox_test

import (
	"testing"
	"time"

	"github.com/musubi-hub/musubi/connectors/sandbox"
)

func TestDeskQuotas(t *testing.T) {
	f := newFixture(t, func(o *sandbox.Options) { o.QuotaScale = 1 })
	f.desk(201, "POST", "/organization", doc{"name": "o"})
	burst := func(n int, method, path string, body any, ok int) answer {
		t.Helper()
		passed := 0
		var last answer
		for range n {
			a, err := f.try(method, deskRoot+path, body, experimental)
			if err != nil {
				t.Fatal(err)
			}
			if a.status != 429 {
				passed++
			}
			last = a
		}
		if passed != ok {
			t.Errorf("%s %s: %d of %d passed, want %d", method, path, passed, n, ok)
		}
		return last
	}
	a := burst(120, "GET", "/organization", nil, 100)
	h := a.header
	if h.Get("Retry-After") != "1" || h.Get("X-RateLimit-Limit") != "100" || h.Get("X-RateLimit-Remaining") != "0" || h.Get("X-RateLimit-NearLimit") != "true" ||
		h.Get("RateLimit-Reason") != "jira-burst-based" || h.Get("X-RateLimit-Reset") != "2026-11-24T00:00Z" || a.str("errorMessage") == "" {
		t.Errorf("429: %v %s", h, a.body)
	}
	burst(60, "PUT", "/organization/1/property/k", `1`, 50) // an endpoint and method of its own
	burst(10, "GET", "/servicedesk/1/customer", nil, 5)
	burst(120, "POST", "/organization", doc{"name": "o"}, 99)
	f.clock.forward(time.Second)
	first, _ := f.try("GET", deskRoot+"/organization", nil)
	if first.header.Get("X-RateLimit-Remaining") != "99" || first.header.Get("X-RateLimit-NearLimit") != "" {
		t.Errorf("refilled: %v", first.header)
	}
	burst(120, "GET", "/organization", nil, 99)
	f.clock.forward(-time.Hour) // a clock that goes back refills nothing and breaks nothing
	burst(3, "GET", "/organization", nil, 0)
	f.clock.forward(time.Hour + 100*time.Millisecond)
	burst(20, "GET", "/organization", nil, 10)
}

func TestScimQuotaAndScale(t *testing.T) {
	for scale, want := range map[float64]int{1: 100, 2: 200} {
		f := newFixture(t, func(o *sandbox.Options) { o.QuotaScale = scale })
		passed := 0
		var last answer
		for range 250 {
			a, err := f.try("GET", scimRoot+"/Groups", nil)
			if err != nil {
				t.Fatal(err)
			}
			if a.status == 200 {
				passed++
			} else {
				last = a
			}
		}
		if passed != want || last.status != 429 || last.header.Get("Retry-After") != "1" || last.str("status") != "429" {
			t.Errorf("scale %v: %d passed, then %d %s", scale, passed, last.status, last.body)
		}
		f.clock.forward(2 * time.Second)
		q := f.s.Quotas()
		if len(q) != 1 || q[0].Class != "atlassian.scim" || q[0].Requests != 250 || q[0].Rejected != int64(250-want) || q[0].Share != 0.5 {
			t.Errorf("quota: %+v", q)
		}
	}
}

func TestUnauthenticatedCallsUseNoQuota(t *testing.T) {
	f := newFixture(t)
	f.desk(401, "GET", "/organization", nil, experimental, noCredential)
	if q := f.s.Quotas(); len(q) != 0 {
		t.Errorf("%+v", q)
	}
}
