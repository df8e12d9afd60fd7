package outbound_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musubi-hub/musubi/connectors"
	"github.com/musubi-hub/musubi/connectors/outbound"
)

const token = "tok-7f3a9c+/=SECRET"

// openQuota counts what is reserved and refuses with err.
type openQuota struct {
	mu    sync.Mutex
	taken map[connectors.Class]int
	err   error
}

func (q *openQuota) Reserve(_ context.Context, class connectors.Class, n int) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.err != nil {
		return q.err
	}
	if q.taken == nil {
		q.taken = map[connectors.Class]int{}
	}
	q.taken[class] += n
	return nil
}

// script answers the n-th attempt with its n-th step, and the last step from then on.
type script struct {
	mu    sync.Mutex
	steps []func(*http.Request) (*http.Response, error)
	seen  []*http.Request
	at    []time.Time
	body  []string
}

func (s *script) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	n := min(len(s.seen), len(s.steps)-1)
	s.seen, s.at = append(s.seen, r), append(s.at, time.Now())
	sent := ""
	if r.Body != nil {
		b, _ := io.ReadAll(r.Body)
		r.Body.Close()
		sent = string(b)
	}
	s.body = append(s.body, sent)
	s.mu.Unlock()
	return s.steps[n](r)
}

func answer(status int, contentType, body string, header ...string) func(*http.Request) (*http.Response, error) {
	return func(*http.Request) (*http.Response, error) {
		h := http.Header{}
		if contentType != "" {
			h.Set("Content-Type", contentType)
		}
		for i := 0; i+1 < len(header); i += 2 {
			h.Set(header[i], header[i+1])
		}
		return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body)), ContentLength: -1}, nil
	}
}

func broken(err error) func(*http.Request) (*http.Response, error) {
	return func(*http.Request) (*http.Response, error) { return nil, err }
}

func config(rt http.RoundTripper) outbound.Config {
	return outbound.Config{
		Vendor: "acme", BaseURL: "https://api.example.invalid/v1", Transport: rt, Quota: &openQuota{},
		Authorize: outbound.Bearer(outbound.NewSecret(token)), Now: time.Now,
	}
}

func client(t *testing.T, cfg outbound.Config) *outbound.Client {
	t.Helper()
	c, err := outbound.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func get() outbound.Request {
	return outbound.Request{Call: outbound.Call{Op: "read thing", Class: "acme.get", Idempotent: true}, Method: http.MethodGet, Path: "things/1"}
}

func post() outbound.Request {
	return outbound.Request{
		Call:   outbound.Call{Op: "create thing", Class: "acme.post"},
		Method: http.MethodPost, Path: "things", Body: map[string]string{"name": "x"},
	}
}

func TestStatusBecomesKind(t *testing.T) {
	const j = "application/json"
	tests := []struct {
		status     int
		header     []string
		contentTyp string
		body       string
		get, post  connectors.Kind
	}{
		{400, nil, j, `{}`, connectors.KindInvalid, connectors.KindInvalid},
		{401, nil, j, `{}`, connectors.KindAuth, connectors.KindAuth},
		{401, nil, "text/html", `<html>`, connectors.KindAuth, connectors.KindAuth},
		{403, nil, j, `{}`, connectors.KindAuth, connectors.KindAuth},
		{404, nil, j, `{}`, connectors.KindNotFound, connectors.KindNotFound},
		{404, nil, "", ``, connectors.KindNotFound, connectors.KindNotFound},
		{404, nil, "text/html", `<html>`, connectors.KindProtocol, connectors.KindProtocol},
		{405, nil, j, `{}`, connectors.KindProtocol, connectors.KindProtocol},
		{408, nil, j, `{}`, connectors.KindUnavailable, connectors.KindAmbiguous},
		{409, nil, "application/scim+json", `{}`, connectors.KindConflict, connectors.KindConflict},
		{409, nil, "text/plain", `conflict`, connectors.KindProtocol, connectors.KindProtocol},
		{410, nil, j, `{}`, connectors.KindProtocol, connectors.KindProtocol},
		{413, nil, j, `{}`, connectors.KindTooLarge, connectors.KindTooLarge},
		{422, nil, j, `{}`, connectors.KindInvalid, connectors.KindInvalid},
		{429, nil, "text/html", `<html>`, connectors.KindThrottled, connectors.KindThrottled},
		{500, nil, j, `{}`, connectors.KindUnavailable, connectors.KindAmbiguous},
		{502, nil, "text/html", `<html>`, connectors.KindUnavailable, connectors.KindAmbiguous},
		{503, nil, j, `{}`, connectors.KindUnavailable, connectors.KindAmbiguous},
		{503, []string{"Retry-After", "30"}, j, `{}`, connectors.KindUnavailable, connectors.KindUnavailable},
		{504, nil, j, `{}`, connectors.KindUnavailable, connectors.KindAmbiguous},
		{200, nil, "text/html; charset=utf-8", `<html>`, connectors.KindProtocol, connectors.KindProtocol},
		{200, nil, "application/json; charset=shift_jis", `{}`, connectors.KindProtocol, connectors.KindProtocol},
		{302, []string{"Location", "https://evil.example/"}, "", ``, connectors.KindProtocol, connectors.KindProtocol},
		{307, []string{"Location", "/v2/things"}, j, `{}`, connectors.KindProtocol, connectors.KindProtocol},
		{308, []string{"Location", "::bad::"}, j, `{}`, connectors.KindProtocol, connectors.KindProtocol},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.status, tt.contentTyp, tt.header), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				for _, r := range []struct {
					req  outbound.Request
					want connectors.Kind
				}{{get(), tt.get}, {post(), tt.post}} {
					s := &script{steps: []func(*http.Request) (*http.Response, error){answer(tt.status, tt.contentTyp, tt.body, tt.header...)}}
					_, err := client(t, config(s)).Do(t.Context(), r.req)
					var e *connectors.Error
					if !errors.As(err, &e) || e.Kind != r.want || e.Status != tt.status || e.Vendor != "acme" || e.Op != r.req.Op {
						t.Errorf("%s: got %+v, want kind %v with status %d", r.req.Method, err, r.want, tt.status)
					}
					if r.req.Method == http.MethodPost && len(s.seen) != 1 {
						t.Errorf("a request that isn't idempotent was sent %d times", len(s.seen))
					}
					for _, sent := range s.seen {
						if sent.URL.Host != "api.example.invalid" {
							t.Errorf("sent to %s", sent.URL.Host)
						}
					}
				}
			})
		})
	}
}

func TestRetries(t *testing.T) {
	ok := answer(200, "application/json", `{"id":"1"}`)
	tests := []struct {
		name  string
		req   outbound.Request
		steps []func(*http.Request) (*http.Response, error)
		sent  int
		waits []time.Duration
		kind  connectors.Kind // KindUnknown: no error
	}{
		{"5xx then answer", get(), []func(*http.Request) (*http.Response, error){answer(500, "application/json", "{}"), ok}, 2, []time.Duration{200 * time.Millisecond}, 0},
		{"reset twice then answer", get(), []func(*http.Request) (*http.Response, error){broken(io.ErrUnexpectedEOF), broken(io.ErrUnexpectedEOF), ok}, 3, []time.Duration{200 * time.Millisecond, 400 * time.Millisecond}, 0},
		{"gives up", get(), []func(*http.Request) (*http.Response, error){answer(502, "", "")}, 3, []time.Duration{200 * time.Millisecond, 400 * time.Millisecond}, connectors.KindUnavailable},
		{"short Retry-After", get(), []func(*http.Request) (*http.Response, error){answer(429, "application/json", "{}", "Retry-After", "5"), ok}, 2, []time.Duration{5 * time.Second}, 0},
		{"long Retry-After", get(), []func(*http.Request) (*http.Response, error){answer(429, "application/json", "{}", "Retry-After", "6"), ok}, 1, nil, connectors.KindThrottled},
		{"waits that fit", get(), []func(*http.Request) (*http.Response, error){answer(503, "application/json", "{}", "Retry-After", "5")}, 3, []time.Duration{5 * time.Second, 5 * time.Second}, connectors.KindUnavailable},
		{"not for POST", post(), []func(*http.Request) (*http.Response, error){answer(503, "application/json", "{}", "Retry-After", "1"), ok}, 1, nil, connectors.KindUnavailable},
		{"not for POST 429", post(), []func(*http.Request) (*http.Response, error){answer(429, "application/json", "{}", "Retry-After", "1"), ok}, 1, nil, connectors.KindThrottled},
		{"not for 4xx", get(), []func(*http.Request) (*http.Response, error){answer(404, "application/json", "{}"), ok}, 1, nil, connectors.KindNotFound},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{steps: tt.steps}
				quota := &openQuota{}
				cfg := config(s)
				cfg.Quota = quota
				_, err := client(t, cfg).Do(t.Context(), tt.req)
				if got := connectors.KindOf(err); got != tt.kind || (err == nil) != (tt.kind == 0) {
					t.Errorf("got %v, want kind %v", err, tt.kind)
				}
				var waits []time.Duration
				for i := 1; i < len(s.at); i++ {
					waits = append(waits, s.at[i].Sub(s.at[i-1]))
				}
				if len(s.seen) != tt.sent || !cmp.Equal(waits, tt.waits) {
					t.Errorf("sent %d times with waits %v, want %d with %v", len(s.seen), waits, tt.sent, tt.waits)
				}
				if quota.taken[tt.req.Class] != tt.sent {
					t.Errorf("reserved %d tokens for %d attempts", quota.taken[tt.req.Class], tt.sent)
				}
			})
		})
	}
}

func TestWaitMustFitTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{steps: []func(*http.Request) (*http.Response, error){answer(503, "application/json", "{}", "Retry-After", "5")}}
		cfg := config(s)
		cfg.Timeout = 8 * time.Second
		start := time.Now()
		_, err := client(t, cfg).Do(t.Context(), get())
		if connectors.RetryAfterOf(err) != 5*time.Second || len(s.seen) != 2 || time.Since(start) != 5*time.Second {
			t.Errorf("%v after %d attempts in %v", err, len(s.seen), time.Since(start))
		}
	})
}

func TestRetrySendsTheSameBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{steps: []func(*http.Request) (*http.Response, error){answer(500, "", ""), answer(204, "", "")}}
		r := post()
		r.Method, r.Idempotent = http.MethodPut, true
		if _, err := client(t, config(s)).Do(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		if len(s.body) != 2 || s.body[0] != `{"name":"x"}` || s.body[1] != s.body[0] {
			t.Errorf("bodies %q", s.body)
		}
	})
}

func TestRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now().UTC()
		for _, tt := range []struct {
			header []string
			want   time.Duration
		}{
			{[]string{"Retry-After", "30"}, 30 * time.Second},
			{[]string{"Retry-After", "0"}, 0},
			{[]string{"Retry-After", "86400"}, time.Hour},
			{[]string{"Retry-After", "99999999999999999999999"}, time.Hour},
			{[]string{"Retry-After", "-5"}, 0},
			{[]string{"Retry-After", "soon"}, 0},
			{[]string{"Retry-After", now.Add(90 * time.Second).Format(http.TimeFormat)}, 90 * time.Second},
			{[]string{"Retry-After", now.Add(-time.Hour).Format(http.TimeFormat)}, 0},
			{[]string{"X-RateLimit-Reset", now.Add(2 * time.Minute).Format("2006-01-02T15:04Z07:00")}, 2 * time.Minute},
			{[]string{"X-RateLimit-Reset", now.Add(time.Minute).Format(time.RFC3339)}, time.Minute},
			{nil, 0},
		} {
			s := &script{steps: []func(*http.Request) (*http.Response, error){answer(429, "application/json", "{}", tt.header...)}}
			_, err := client(t, config(s)).Do(t.Context(), post())
			if got := connectors.RetryAfterOf(err); connectors.KindOf(err) != connectors.KindThrottled || got != tt.want {
				t.Errorf("%v: %v, retry after %v, want %v", tt.header, err, got, tt.want)
			}
		}
	})
}

type stall struct{ reads int }

func (s *stall) Read(p []byte) (int, error) { s.reads++; clear(p); return len(p), nil }
func (s *stall) Close() error               { return nil }

func TestBounds(t *testing.T) {
	endless := &stall{}
	tests := map[string]struct {
		step func(*http.Request) (*http.Response, error)
		want connectors.Kind
	}{
		"endless answer": {func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Header: http.Header{}, Body: endless, ContentLength: -1}, nil
		}, connectors.KindTooLarge},
		"announced 50 MB": {func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Header: http.Header{}, Body: endless, ContentLength: 50 << 20}, nil
		}, connectors.KindTooLarge},
		"cut off": {func(*http.Request) (*http.Response, error) {
			body := io.MultiReader(strings.NewReader(`{"id":`), errorReader{io.ErrUnexpectedEOF})
			return &http.Response{StatusCode: 201, Header: http.Header{}, Body: io.NopCloser(body), ContentLength: -1}, nil
		}, connectors.KindAmbiguous},
	}
	for name, tt := range tests {
		s := &script{steps: []func(*http.Request) (*http.Response, error){tt.step}}
		cfg := config(s)
		cfg.MaxBody = 1 << 20
		_, err := client(t, cfg).Do(t.Context(), post())
		if connectors.KindOf(err) != tt.want {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
	big := post()
	big.Body = strings.Repeat("x", 11<<20)
	s := &script{steps: []func(*http.Request) (*http.Response, error){answer(200, "", "")}}
	if _, err := client(t, config(s)).Do(t.Context(), big); connectors.KindOf(err) != connectors.KindTooLarge || len(s.seen) != 0 {
		t.Errorf("an 11 MiB request: %v, sent %d times", err, len(s.seen))
	}
}

type errorReader struct{ err error }

func (r errorReader) Read([]byte) (int, error) { return 0, r.err }

func TestTimeAndCancellation(t *testing.T) {
	hang := func(r *http.Request) (*http.Response, error) { <-r.Context().Done(); return nil, r.Context().Err() }
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		s := &script{steps: []func(*http.Request) (*http.Response, error){hang}}
		_, err := client(t, config(s)).Do(t.Context(), post())
		if connectors.KindOf(err) != connectors.KindAmbiguous || time.Since(start) != outbound.DefaultTimeout || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("hanging POST: %v after %v", err, time.Since(start))
		}
		_, err = client(t, config(s)).Do(t.Context(), get())
		if connectors.KindOf(err) != connectors.KindUnavailable {
			t.Errorf("hanging GET: %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if _, err := client(t, config(s)).Do(ctx, post()); connectors.KindOf(err) != connectors.KindAmbiguous || !errors.Is(err, context.Canceled) {
			t.Errorf("given up while waiting: %v", err)
		}
		unsent := &script{steps: s.steps}
		if _, err := client(t, config(unsent)).Do(ctx, post()); connectors.KindOf(err) != connectors.KindCanceled || len(unsent.seen) != 0 {
			t.Errorf("given up before: %v, sent %d times", err, len(unsent.seen))
		}
	})
	t.Run("canceled between attempts keeps the attempt's failure", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := &script{steps: []func(*http.Request) (*http.Response, error){answer(429, "application/json", "{}", "Retry-After", "4")}}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if _, err := client(t, config(s)).Do(ctx, get()); connectors.KindOf(err) != connectors.KindThrottled || len(s.seen) != 1 {
				t.Errorf("%v after %d attempts", err, len(s.seen))
			}
		})
	})
}

func TestNothingSent(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	cfg := config(transport)
	cfg.BaseURL, cfg.Retries = "http://"+address, -1
	if _, err := client(t, cfg).Do(t.Context(), post()); connectors.KindOf(err) != connectors.KindUnavailable {
		t.Errorf("refused connection: %v", err)
	}
	quota := &openQuota{err: &connectors.Error{Kind: connectors.KindThrottled, Vendor: "quota", RetryAfter: 7 * time.Second}}
	s := &script{steps: []func(*http.Request) (*http.Response, error){answer(200, "", "")}}
	cfg = config(s)
	cfg.Quota = quota
	_, err = client(t, cfg).Do(t.Context(), get())
	if connectors.KindOf(err) != connectors.KindThrottled || connectors.RetryAfterOf(err) != 7*time.Second || len(s.seen) != 0 {
		t.Errorf("no quota: %v, sent %d times", err, len(s.seen))
	}
}

func TestLostAnswerOverASocket(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		panic(http.ErrAbortHandler)
	}))
	defer srv.Close()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	cfg := config(transport)
	cfg.BaseURL = srv.URL
	if _, err := client(t, cfg).Do(t.Context(), post()); connectors.KindOf(err) != connectors.KindAmbiguous {
		t.Errorf("connection closed without an answer: %v", err)
	}
}

func TestObservations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []outbound.Observation
		s := &script{steps: []func(*http.Request) (*http.Response, error){broken(io.EOF), func(r *http.Request) (*http.Response, error) {
			time.Sleep(30 * time.Millisecond)
			return answer(200, "application/json", "{}")(r)
		}}}
		cfg := config(s)
		cfg.Observe = func(o outbound.Observation) { got = append(got, o) }
		if _, err := client(t, cfg).Do(t.Context(), get()); err != nil {
			t.Fatal(err)
		}
		want := []outbound.Observation{
			{Vendor: "acme", Op: "read thing", Class: "acme.get", Attempt: 1},
			{Vendor: "acme", Op: "read thing", Class: "acme.get", Attempt: 2, Status: 200, Duration: 30 * time.Millisecond},
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
	})
}
