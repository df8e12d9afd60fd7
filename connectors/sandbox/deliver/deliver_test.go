package deliver_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/musubi-hub/musubi/connectors/sandbox/deliver"
)

// receiver is an in-process peer: it notes what comes and answers as told.
type receiver struct {
	mu     sync.Mutex
	got    []got
	answer func(n int, r *http.Request) (*http.Response, error) // n counts from 0
}

type got struct {
	id, signature, try string
	at                 time.Time
	body               string
}

func (r *receiver) RoundTrip(req *http.Request) (*http.Response, error) {
	raw, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	n := len(r.got)
	r.got = append(r.got, got{req.Header.Get("X-Id"), req.Header.Get("X-Signature"), req.Header.Get("X-Try"), time.Now(), string(raw)})
	r.mu.Unlock()
	if r.answer == nil {
		return status(200, req), nil
	}
	return r.answer(n, req)
}

func (r *receiver) all() []got {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.got)
}

func (r *receiver) ids() string {
	var list []string
	for _, g := range r.all() {
		list = append(list, g.id)
	}
	return strings.Join(list, " ")
}

func status(code int, req *http.Request) *http.Response {
	return &http.Response{StatusCode: code, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(nil)), Request: req}
}

func message(id string) deliver.Message {
	return deliver.Message{
		ID: id, Event: "event", URL: "http://hub.example/hook", ContentType: "application/json", Body: []byte(`{"id":"` + id + `"}`),
		SignatureHeader: "X-Signature",
		Header: func(t deliver.Try) http.Header {
			return http.Header{"X-Id": {id}, "X-Signature": {"sig0"}, "X-Try": {fmt.Sprintf("%d %s %d", t.Number, t.Last, t.LastStatus)}}
		},
	}
}

var policy = deliver.Policy{Timeout: 3 * time.Second, Retries: []time.Duration{0, time.Minute, 5 * time.Minute}, MaxRedirects: 2}

func newQueue(t *testing.T, rt http.RoundTripper, change ...func(*deliver.Options)) *deliver.Queue {
	t.Helper()
	opt := deliver.Options{Transport: rt, Now: time.Now, Policy: policy}
	for _, c := range change {
		c(&opt)
	}
	q, err := deliver.New(opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = q.Close() })
	return q
}

func send(t *testing.T, q *deliver.Queue, ids ...string) {
	t.Helper()
	for _, id := range ids {
		if err := q.Send(message(id)); err != nil {
			t.Fatal(err)
		}
	}
}

// planted hits the kinds in the order in which they are asked for, by message id.
func planted(hits map[string]string) func(*deliver.Options) {
	return func(o *deliver.Options) {
		o.Fault = func(kind string, m deliver.Message) bool {
			if hits[m.ID] != kind {
				return false
			}
			if kind == deliver.FaultBadSignature { // once
				delete(hits, m.ID)
			}
			return true
		}
	}
}

func TestRetriesFollowTheSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		r := &receiver{answer: func(n int, req *http.Request) (*http.Response, error) {
			switch n {
			case 0:
				return status(500, req), nil
			case 1: // never answers
				<-req.Context().Done()
				return nil, req.Context().Err()
			case 2:
				return nil, errors.New("connection refused")
			}
			return status(204, req), nil
		}}
		q := newQueue(t, r)
		send(t, q, "a")
		time.Sleep(time.Hour)
		var lines []string
		for _, g := range r.all() {
			lines = append(lines, fmt.Sprintf("%v %s", g.at.Sub(start), g.try))
		}
		want := "0s 0  0|0s 1 status 500|1m3s 2 timeout 0|6m3s 3 connection 0"
		if got := strings.Join(lines, "|"); got != want {
			t.Errorf("tries %s\nwant  %s", got, want)
		}
		var records []string
		for _, x := range q.Records() {
			records = append(records, fmt.Sprintf("%d %d %s %v", x.Try, x.Status, x.Failure, x.Retry))
		}
		if got, want := strings.Join(records, "|"), "0 500 status true|1 0 timeout true|2 0 connection true|3 204  false"; got != want {
			t.Errorf("records %s\nwant    %s", got, want)
		}
		if q.Waiting() != 0 {
			t.Errorf("%d still wait", q.Waiting())
		}
	})
}

func TestTheScheduleEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{answer: func(_ int, req *http.Request) (*http.Response, error) { return status(404, req), nil }}
		q := newQueue(t, r)
		send(t, q, "a")
		time.Sleep(24 * time.Hour)
		if len(r.all()) != 4 {
			t.Errorf("%d tries, want 4", len(r.all()))
		}
	})
}

func TestThePolicyStopsRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{answer: func(_ int, req *http.Request) (*http.Response, error) {
			resp := status(500, req)
			resp.Header.Set("X-No-Retry", "1")
			return resp, nil
		}}
		q := newQueue(t, r, func(o *deliver.Options) {
			o.Policy.Retry = func(_ deliver.Failure, a deliver.Answer) bool { return a.Header.Get("X-No-Retry") != "1" }
		})
		send(t, q, "a")
		time.Sleep(time.Hour)
		if len(r.all()) != 1 {
			t.Errorf("%d tries, want 1", len(r.all()))
		}
	})
}

func TestOrderAndFaults(t *testing.T) {
	for name, c := range map[string]struct {
		hits map[string]string
		want string
	}{
		"none":              {nil, "a b c"},
		"drop":              {map[string]string{"b": deliver.FaultDrop}, "a c"},
		"duplicate":         {map[string]string{"b": deliver.FaultDuplicate}, "a b b c"},
		"reorder":           {map[string]string{"a": deliver.FaultReorder}, "b a c"},
		"reorder twice":     {map[string]string{"a": deliver.FaultReorder, "b": deliver.FaultReorder}, "c a b"},
		"reorder the last":  {map[string]string{"c": deliver.FaultReorder}, "a b c"},
		"reorder then drop": {map[string]string{"a": deliver.FaultReorder, "b": deliver.FaultDrop}, "c a"},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := &receiver{}
			q := newQueue(t, r, planted(c.hits))
			send(t, q, "a", "b", "c")
			time.Sleep(time.Minute)
			if r.ids() != c.want {
				t.Errorf("%s: %s, want %s", name, r.ids(), c.want)
			}
		})
	}
}

func TestBadSignatureOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{answer: func(_ int, req *http.Request) (*http.Response, error) {
			if req.Header.Get("X-Signature") != "sig0" {
				return status(401, req), nil
			}
			return status(200, req), nil
		}}
		q := newQueue(t, r, planted(map[string]string{"a": deliver.FaultBadSignature}))
		send(t, q, "a")
		time.Sleep(time.Minute)
		all := r.all()
		if len(all) != 2 || all[0].signature != "sig1" || all[1].signature != "sig0" {
			t.Errorf("%+v", all)
		}
		if rec := q.Records(); rec[0].Fault != deliver.FaultBadSignature || rec[1].Fault != "" {
			t.Errorf("%+v", rec)
		}
	})
}

func TestASlowReceiverHoldsOthersUpOnlyWithoutParallel(t *testing.T) {
	for parallel, want := range map[int]time.Duration{1: 6 * time.Second, 3: 2 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			r := &receiver{answer: func(_ int, req *http.Request) (*http.Response, error) {
				time.Sleep(2 * time.Second)
				return status(200, req), nil
			}}
			q := newQueue(t, r, func(o *deliver.Options) { o.Parallel = parallel })
			send(t, q, "a", "b", "c")
			if err := q.Settle(t.Context()); err != nil || time.Since(start) != want {
				t.Errorf("parallel %d: %v after %v, want %v", parallel, err, time.Since(start), want)
			}
		})
	}
}

func TestCapacityClearAndClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{answer: func(_ int, req *http.Request) (*http.Response, error) { return status(500, req), nil }}
		q := newQueue(t, r, func(o *deliver.Options) { o.Capacity = 2 })
		send(t, q, "a", "b")
		if err := q.Send(message("c")); !errors.Is(err, deliver.ErrFull) {
			t.Errorf("third: %v", err)
		}
		synctest.Wait()
		if q.Waiting() != 2 {
			t.Errorf("%d wait", q.Waiting())
		}
		q.Clear()
		before := len(r.all())
		time.Sleep(time.Hour)
		if len(r.all()) != before || q.Waiting() != 0 || len(q.Records()) != 0 {
			t.Error("something is left after Clear")
		}
		send(t, q, "d")
		synctest.Wait()
		if err := q.Close(); err != nil {
			t.Fatal(err)
		}
		if err := q.Send(message("e")); !errors.Is(err, deliver.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	})
}

func TestCloseBreaksATryOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		q := newQueue(t, &receiver{answer: func(_ int, req *http.Request) (*http.Response, error) {
			<-req.Context().Done()
			return nil, req.Context().Err()
		}})
		send(t, q, "a")
		synctest.Wait()
		_ = q.Close()
		if time.Since(start) != 0 {
			t.Errorf("Close took %v", time.Since(start))
		}
	})
}

// TestAClockThatIsSet: the queue's clock is the caller's, and Wake tells it of a jump.
func TestAClockThatIsSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		now := time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)
		r := &receiver{answer: func(n int, req *http.Request) (*http.Response, error) { return status(500-n*150, req), nil }} // 500, 350, 200
		q := newQueue(t, r, func(o *deliver.Options) {
			o.Now = func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
			o.After = func(time.Duration) <-chan time.Time { return nil } // only Wake ends a wait
		})
		send(t, q, "a")
		synctest.Wait()
		if len(r.all()) != 2 {
			t.Fatalf("%d tries before the minute", len(r.all()))
		}
		mu.Lock()
		now = now.Add(time.Minute)
		mu.Unlock()
		q.Wake()
		synctest.Wait()
		if len(r.all()) != 3 || q.Waiting() != 0 {
			t.Errorf("%d tries, %d wait", len(r.all()), q.Waiting())
		}
	})
}

func TestOverSockets(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/ok", func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	mux.HandleFunc("/two", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/one", http.StatusTemporaryRedirect)
	})
	mux.HandleFunc("/one", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/ok", http.StatusTemporaryRedirect) })
	mux.HandleFunc("/three", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/two", http.StatusTemporaryRedirect)
	})
	mux.HandleFunc("/large", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 2*deliver.MaxAnswer)) })
	plain, secure := httptest.NewServer(mux), httptest.NewUnstartedServer(mux)
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	defer plain.Close()
	defer secure.Close()
	gone := httptest.NewServer(mux)
	gone.Close()
	q := newQueue(t, http.DefaultTransport, func(o *deliver.Options) { o.Policy.Retries = nil })
	for address, want := range map[string]string{
		plain.URL + "/ok": "", plain.URL + "/two": "", plain.URL + "/three": "redirects", plain.URL + "/none": "status (status 404)",
		secure.URL + "/ok": "tls", gone.URL + "/ok": "connection", strings.Replace(plain.URL, "http:", "https:", 1) + "/ok": "tls",
	} {
		m := message("a")
		m.URL = address
		a, err := q.Once(t.Context(), m)
		switch {
		case want == "" && (err != nil || string(a.Body) != `{"id":"a"}`):
			t.Errorf("%s: %q %v", address, a.Body, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: %v, want %s", address, err, want)
		}
	}
	m := message("a")
	m.URL = plain.URL + "/large"
	if a, err := q.Once(t.Context(), m); err != nil || len(a.Body) != deliver.MaxAnswer {
		t.Errorf("a large answer: %d bytes, %v", len(a.Body), err)
	}
}

func TestOptionsAndAddressesAreChecked(t *testing.T) {
	for name, opt := range map[string]deliver.Options{
		"no transport": {Now: time.Now, Policy: policy},
		"no clock":     {Transport: &receiver{}, Policy: policy},
		"no time-out":  {Transport: &receiver{}, Now: time.Now},
		"negative":     {Transport: &receiver{}, Now: time.Now, Policy: policy, Parallel: -1},
	} {
		if _, err := deliver.New(opt); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	q := newQueue(t, &receiver{})
	for _, address := range []string{"", "ftp://x/", "http:///x", "http://u:p@x/", "http://x/#a", "x", "http://x/" + strings.Repeat("a", 2000)} {
		m := message("a")
		m.URL = address
		if q.Send(m) == nil {
			t.Errorf("%q was taken", address)
		}
		if _, err := q.Once(t.Context(), m); err == nil {
			t.Errorf("%q was tried", address)
		}
	}
}

// TestEveryMessageComes: whatever fails and is reordered, each message that isn't dropped comes, in order where nothing is planted.
func TestEveryMessageComes(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, 30).Draw(rt, "messages")
		kinds := rapid.SliceOfN(rapid.SampledFrom([]string{"", "", deliver.FaultDrop, deliver.FaultDuplicate, deliver.FaultReorder, deliver.FaultBadSignature}), n, n).Draw(rt, "faults")
		parallel := rapid.IntRange(1, 4).Draw(rt, "parallel")
		synctest.Test(t, func(t *testing.T) {
			hits := map[string]string{}
			for i, k := range kinds {
				hits[fmt.Sprint(i)] = k
			}
			var mu sync.Mutex
			r := &receiver{answer: func(_ int, req *http.Request) (*http.Response, error) {
				if req.Header.Get("X-Signature") != "sig0" {
					return status(401, req), nil
				}
				return status(200, req), nil
			}}
			q := newQueue(t, r, func(o *deliver.Options) {
				o.Parallel = parallel
				o.Fault = func(kind string, m deliver.Message) bool {
					mu.Lock()
					defer mu.Unlock()
					hit := hits[m.ID] == kind
					if hit && kind == deliver.FaultBadSignature {
						delete(hits, m.ID)
					}
					return hit
				}
			})
			for i := range n {
				send(t, q, fmt.Sprint(i))
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			time.Sleep(10 * time.Minute)
			if err := q.Settle(ctx); err != nil {
				t.Fatal(err)
			}
			count := map[string]int{}
			for _, g := range r.all() {
				if g.signature == "sig0" {
					count[g.id]++
				}
			}
			for i, k := range kinds {
				want := map[string]int{deliver.FaultDrop: 0, deliver.FaultDuplicate: 2}
				w, special := want[k]
				if !special {
					w = 1
				}
				if count[fmt.Sprint(i)] != w {
					t.Fatalf("message %d (%s) came %d times, want %d", i, k, count[fmt.Sprint(i)], w)
				}
			}
		})
	})
}
