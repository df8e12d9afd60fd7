package sandbox_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/musubi-hub/musubi/connectors/sandbox"
)

// closing tells whether a body was closed.
type closing struct {
	io.Reader
	closed atomic.Bool
}

func (c *closing) Close() error { c.closed.Store(true); return nil }

func TestTransport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opt := testOptions(newClock())
		opt.Now = time.Now
		opt.Atlassian.TokenExpires, opt.Jira.TokenExpires = time.Time{}, time.Time{}
		s, err := sandbox.New(opt)
		if err != nil {
			t.Fatal(err)
		}
		client := &http.Client{Transport: s.Transport(), Timeout: time.Minute}
		post := func(ctx context.Context, path string) (*closing, error) {
			b := &closing{Reader: strings.NewReader(`{}`)}
			r, err := http.NewRequestWithContext(ctx, "POST", base+path, b)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Authorization", "Bearer "+scimToken)
			resp, err := client.Do(r)
			if err == nil {
				resp.Body.Close()
			}
			return b, err
		}
		if b, err := post(t.Context(), scimRoot+"/Users"); err != nil || !b.closed.Load() {
			t.Errorf("plain: %v, closed %v", err, b.closed.Load())
		}
		for _, path := range []string{"/_control/reset", "/", "/elsewhere"} {
			if b, err := post(t.Context(), path); err == nil || !b.closed.Load() {
				t.Errorf("%s answered in process: %v", path, err)
			}
		}
		if err := s.AddFaults(sandbox.Fault{Target: "atlassian", Kind: "latency", DelayMS: 60_000}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		go func() { time.Sleep(time.Second); cancel() }()
		start := time.Now()
		b, err := post(ctx, scimRoot+"/Users")
		if !errors.Is(err, context.Canceled) || time.Since(start) != time.Second {
			t.Errorf("cancelled after %v: %v", time.Since(start), err)
		}
		synctest.Wait() // the handler ends with the context
		if !b.closed.Load() {
			t.Error("the body stays open")
		}
		if _, err := post(ctx, scimRoot+"/Users"); !errors.Is(err, context.Canceled) {
			t.Errorf("a context that ended before: %v", err)
		}
	})
}

func TestManyAtOnce(t *testing.T) {
	f := newFixture(t, func(o *sandbox.Options) { o.Dir = t.TempDir() })
	gid := f.scim(201, "POST", "/Groups", groupDoc("g")).str("id")
	f.desk(201, "POST", "/organization", doc{"name": "o"})
	var wg sync.WaitGroup
	for n := range 40 {
		wg.Go(func() {
			a, _ := f.try("POST", scimRoot+"/Users", userDoc(n/2)) // every e-mail twice
			if a.status == 201 {
				_, _ = f.try("PATCH", scimRoot+"/Groups/"+gid, patchDoc(doc{"op": "add", "path": "members", "value": []doc{{"value": a.str("id")}}}))
			}
			c, _ := f.try("POST", deskRoot+"/customer", doc{"email": userDoc(n / 2)["userName"].(string) + ".example", "displayName": "x"})
			if c.status == 201 {
				_, _ = f.try("POST", deskRoot+"/organization/1/user", doc{"accountIds": []string{c.str("accountId")}})
			}
			_, _ = f.try("GET", "/jira/rest/api/3/user/search?query=user", nil)
			_, _ = f.s.State("jira")
		})
	}
	wg.Wait()
	want := sandbox.Counts{Accounts: 20, Active: 20, Groups: 1, Memberships: 20}
	if a, j := counts(f); a != want || j != want {
		t.Errorf("atlassian %+v, jira %+v", a, j)
	}
}

func BenchmarkRequests(b *testing.B) {
	f := newFixture(b, func(o *sandbox.Options) { o.Dir = b.TempDir(); o.QuotaScale = 1e9 })
	for n := range 20_000 {
		f.desk(201, "POST", "/customer", doc{"email": userDoc(n)["userName"].(string) + ".example", "displayName": "町 職員"})
	}
	b.ResetTimer()
	for i := range b.N {
		f.call(200, "GET", "/jira/rest/api/3/user/search?query="+userDoc(i % 20_000)["userName"].(string)+".example", nil)
		f.desk(201, "POST", "/customer", doc{"email": userDoc(i)["userName"].(string) + ".second.example", "displayName": "町 職員"})
	}
}
