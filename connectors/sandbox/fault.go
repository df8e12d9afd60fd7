package sandbox

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/musubi-hub/musubi/connectors/sandbox/deliver"
	"github.com/musubi-hub/musubi/connectors/sandbox/jira"
	"github.com/musubi-hub/musubi/connectors/sandbox/site"
)

// The kinds of fault.
const (
	FaultStatus       = "status"                // answer Status in the vendor's shape; nothing is done
	FaultLatency      = "latency"               // wait DelayMS, then go on
	FaultReset        = "reset"                 // close the connection; nothing is done
	FaultSwallow      = "timeout_after_success" // do the work, never answer; close after DelayMS (0: when the client gives up)
	FaultDropMember   = "drop_member"           // leave one of the members to add silently out
	FaultStaleRead    = "stale_read"            // a GET leaves out what was written in the last DelayMS
	FaultHTML         = "html"                  // answer an HTML page (Status, default 502); nothing is done
	FaultNoRetryAfter = "no_retry_after"        // answer 429 without Retry-After; nothing is done
	FaultNotOK        = "not_ok"                // answer 200 with ok:false and Error, as Slack's Web API refuses; nothing is done
)

// The kinds of fault that meet what a product sends (webhooks, events): Op is the event's name, Method and PathPrefix mean nothing.
const (
	FaultDrop         = deliver.FaultDrop         // never sent
	FaultDuplicate    = deliver.FaultDuplicate    // sent twice
	FaultReorder      = deliver.FaultReorder      // sent after the one that follows it
	FaultBadSignature = deliver.FaultBadSignature // one try carries a wrong signature
	FaultNoIssue      = "no_issue"                // Jira: a comment's event lacks the issue
)

// sentKinds are the faults of what a product sends.
func sentKinds() []string { return append(deliver.FaultKinds(), FaultNoIssue) }

// smtpKinds are the faults of the mail relay.
func smtpKinds() []string {
	return []string{FaultStatus, FaultLatency, FaultReset, FaultSwallow, FaultHTML, FaultNoRetryAfter}
}

// Fault is one rule: which requests it meets and what it does to them.
type Fault struct {
	Target     string   `json:"target"`                // "atlassian", "jira", "slack" or "mail"
	Method     string   `json:"method,omitempty"`      // "": every method
	PathPrefix string   `json:"path_prefix,omitempty"` // with or without the product's prefix; "": every path
	Op         string   `json:"op,omitempty"`          // the vendor's operation name; "": every operation
	Kind       string   `json:"kind"`
	Status     int      `json:"status,omitempty"`
	Error      string   `json:"error,omitempty"` // the vendor's code, for not_ok
	DelayMS    int      `json:"delay_ms,omitempty"`
	Reason     string   `json:"reason,omitempty"` // Jira: RateLimit-Reason of a 429
	Rate       *float64 `json:"rate,omitempty"`   // how likely a matching request is hit, 0 to 1; absent: 1
	Count      int      `json:"count,omitempty"`  // how often at most; 0: without end
	Seed       uint64   `json:"seed,omitempty"`
}

// FaultReport is a rule with what it did so far.
type FaultReport struct {
	ID int `json:"id"`
	Fault
	Fired int `json:"fired"`
}

const (
	maxFaults = 1000
	maxDelay  = 10 * time.Minute
)

// check refuses a rule that can't mean anything.
func (f Fault) check() error {
	kinds := []string{
		FaultStatus, FaultLatency, FaultReset, FaultSwallow, FaultDropMember, FaultStaleRead, FaultHTML, FaultNoRetryAfter,
		FaultNotOK, FaultDrop, FaultDuplicate, FaultReorder, FaultBadSignature, FaultNoIssue,
	}
	delay := time.Duration(f.DelayMS) * time.Millisecond
	switch {
	case !slices.Contains(appNames, f.Target):
		return fmt.Errorf("target %q must be one of %s", f.Target, strings.Join(appNames, ", "))
	case f.Target == Mail && (!slices.Contains(smtpKinds(), f.Kind) || f.PathPrefix != "" || f.Method != ""):
		return fmt.Errorf("mail knows status, latency, reset, timeout_after_success, html and no_retry_after, by op: CONNECT, MAIL, RCPT, DATA or END")
	case !slices.Contains(kinds, f.Kind):
		return fmt.Errorf("kind %q must be one of %s", f.Kind, strings.Join(kinds, ", "))
	case f.Kind == FaultStatus && (f.Status < 400 || f.Status > 599):
		return fmt.Errorf("status %d must be between 400 and 599 for kind status", f.Status)
	case (f.Kind == FaultNotOK) != (f.Error != ""):
		return fmt.Errorf("error must be set for kind not_ok, and for no other")
	case f.Kind == FaultNotOK && f.Target != Slack:
		return fmt.Errorf("kind not_ok is for target %s alone", Slack)
	case f.Kind == FaultHTML && f.Status != 0 && (f.Status < 200 || f.Status > 599):
		return fmt.Errorf("status %d must be between 200 and 599 for kind html", f.Status)
	case f.DelayMS < 0 || delay > maxDelay:
		return fmt.Errorf("delay_ms %d must be between 0 and %d", f.DelayMS, maxDelay.Milliseconds())
	case f.Kind == FaultStaleRead && (f.DelayMS == 0 || delay > site.StaleWindow):
		return fmt.Errorf("delay_ms %d must be between 1 and %d for kind stale_read", f.DelayMS, site.StaleWindow.Milliseconds())
	case slices.Contains(sentKinds(), f.Kind) && (f.Method != "" || f.PathPrefix != "" || f.Status != 0 || f.DelayMS != 0):
		return fmt.Errorf("kind %s meets what the product sends: set op (the event), rate, count and seed alone", f.Kind)
	case f.Reason != "" && (f.Target != Jira || !slices.Contains(jira.Reasons(), f.Reason) || f.Kind != FaultNoRetryAfter && (f.Kind != FaultStatus || f.Status != http.StatusTooManyRequests)):
		return fmt.Errorf("reason %q must be one of %s, for a 429 of jira", f.Reason, strings.Join(jira.Reasons(), ", "))
	case f.Kind == FaultLatency && f.DelayMS == 0:
		return fmt.Errorf("delay_ms must be set for kind latency")
	case f.Rate != nil && (math.IsNaN(*f.Rate) || *f.Rate < 0 || *f.Rate > 1):
		return fmt.Errorf("rate %v must be between 0 and 1", *f.Rate)
	case f.Count < 0:
		return fmt.Errorf("count %d must not be negative", f.Count)
	}
	return nil
}

type armed struct {
	FaultReport
	rng *rand.Rand
}

// faultSet holds the rules. Each rule draws from a generator of its own, once for each request that it meets.
type faultSet struct {
	mu    sync.Mutex
	seed  uint64
	next  int
	rules []*armed
}

func newFaultSet(seed uint64) *faultSet { return &faultSet{seed: seed, next: 1} }

// AddFaults adds rules, all or none.
func (s *Sandbox) AddFaults(faults ...Fault) error { return s.faults.add(faults) }

// ClearFaults removes all rules.
func (s *Sandbox) ClearFaults() { s.faults.clear() }

// Faults lists the rules and what they did.
func (s *Sandbox) Faults() []FaultReport { return s.faults.list() }

func (x *faultSet) add(faults []Fault) error {
	for i, f := range faults {
		if err := f.check(); err != nil {
			return fmt.Errorf("rule %d: %w", i+1, err)
		}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.rules)+len(faults) > maxFaults {
		return fmt.Errorf("at most %d rules can be set", maxFaults)
	}
	for _, f := range faults {
		x.rules = append(x.rules, &armed{FaultReport{ID: x.next, Fault: f}, rand.New(rand.NewPCG(f.Seed, x.seed^uint64(x.next)))})
		x.next++
	}
	return nil
}

func (x *faultSet) clear() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.rules, x.next = nil, 1
}

func (x *faultSet) list() []FaultReport {
	x.mu.Lock()
	defer x.mu.Unlock()
	list := make([]FaultReport, 0, len(x.rules))
	for _, a := range x.rules {
		list = append(list, a.FaultReport)
	}
	return list
}

// faultPlan is what happens to one request.
type faultPlan struct {
	latency    time.Duration
	before     *Fault // answered instead of the handler
	swallow    bool
	swallowFor time.Duration
	stale      time.Duration
	drop       func(n int) int
}

// plan decides once, when the request comes. Delays add up; of the rules that answer, the first one hits.
func (x *faultSet) plan(target string, route *site.Route, path string, r *http.Request) faultPlan {
	var p faultPlan
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, a := range x.rules {
		if a.Target != target || slices.Contains(sentKinds(), a.Kind) || !a.meets(route.Op, path, r) {
			continue
		}
		delay := time.Duration(a.DelayMS) * time.Millisecond
		switch a.Kind {
		case FaultDropMember:
			if p.drop == nil {
				p.drop = x.dropper(a)
			}
			continue
		case FaultStaleRead:
			if (route.Read || r.Method == http.MethodGet) && a.hit() {
				p.stale = max(p.stale, delay)
			}
			continue
		case FaultLatency:
			if a.hit() {
				p.latency += delay
			}
			continue
		}
		if p.before != nil || p.swallow || !a.hit() {
			continue
		}
		if a.Kind == FaultSwallow {
			p.swallow, p.swallowFor = true, delay
			if delay == 0 {
				p.swallowFor = maxDelay
			}
			continue
		}
		f := a.Fault
		p.before = &f
	}
	return p
}

func (a *armed) meets(op, path string, r *http.Request) bool {
	if a.Count > 0 && a.Fired >= a.Count {
		return false
	}
	return (a.Method == "" || strings.EqualFold(a.Method, r.Method)) && (a.Op == "" || a.Op == op) &&
		(a.PathPrefix == "" || strings.HasPrefix(path, a.PathPrefix) || strings.HasPrefix(r.URL.Path, a.PathPrefix))
}

// hit draws for one request. The caller holds the set's lock.
func (a *armed) hit() bool {
	if a.Rate != nil && a.rng.Float64() >= *a.Rate {
		return false
	}
	a.Fired++
	return true
}

// dropper draws only when members are really added, so that other requests don't use the rule up.
func (x *faultSet) dropper(a *armed) func(int) int {
	return func(n int) int {
		x.mu.Lock()
		defer x.mu.Unlock()
		if n == 0 || a.Count > 0 && a.Fired >= a.Count || !a.hit() {
			return -1
		}
		return a.rng.IntN(n)
	}
}

// event gives the hook of a fault of one kind in what target sends.
func (x *faultSet) event(target, kind string) func(event string) bool {
	hook := x.delivery(target)
	return func(event string) bool { return hook(kind, deliver.Message{Event: event}) }
}

// delivery gives the hook of deliver.Options for what target sends. Each rule of a kind draws until one hits.
func (x *faultSet) delivery(target string) func(kind string, m deliver.Message) bool {
	return func(kind string, m deliver.Message) bool {
		x.mu.Lock()
		defer x.mu.Unlock()
		return slices.ContainsFunc(x.rules, func(a *armed) bool {
			return a.Target == target && a.Kind == kind && (a.Op == "" || a.Op == m.Event) && (a.Count == 0 || a.Fired < a.Count) && a.hit()
		})
	}
}

// failBefore answers a request that a fault keeps from its handler.
func (s *Sandbox) failBefore(w http.ResponseWriter, r *http.Request, p product, route *site.Route, f *Fault) {
	delay := time.Duration(f.DelayMS) * time.Millisecond
	switch f.Kind {
	case FaultReset:
		abort(w)
	case FaultHTML:
		status := f.Status
		if status == 0 {
			status = http.StatusBadGateway
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(status)
		_, _ = w.Write([]byte("<!DOCTYPE html><html><head><title>Bad gateway</title></head><body><h1>Bad gateway</h1></body></html>\n"))
	case FaultNotOK:
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		_ = json.NewEncoder(w).Encode(map[string]any{"ok": false, "error": f.Error})
	case FaultNoRetryAfter:
		if f.Reason != "" {
			w.Header().Set("RateLimit-Reason", f.Reason)
		}
		p.Refuse(w, r, http.StatusTooManyRequests, "Too many requests")
	default:
		switch {
		case f.Status == http.StatusTooManyRequests && f.Reason != "":
			s.service.ThrottledFor(w, r, s.quotas.scaled(route.Limit), max(delay, time.Second), s.now(), f.Reason)
			return
		case f.Status == http.StatusTooManyRequests:
			p.Throttled(w, r, s.quotas.scaled(route.Limit), max(delay, time.Second), s.now())
			return
		case f.Status == http.StatusServiceUnavailable && delay > 0:
			site.SetRetryAfter(w, delay)
		}
		p.Refuse(w, r, f.Status, "Fault planted by the sandbox")
	}
}

// wait sleeps, and says false where the request ended first.
func wait(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// abort ends the connection without an answer, by a reset where there is a socket.
func abort(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil { // HTTP/2, or in process
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}
