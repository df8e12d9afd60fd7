package connectortest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/musubi-hub/musubi/connectors"
)

// Token is the credential that a harness must configure at its stand-in and in its connector: the suite searches for it.
const Token = "conformance-token-8c1f5e"

// Env is what the suite gives a harness to build with.
type Env struct {
	Wire   func(vendor http.RoundTripper) http.RoundTripper // put around the stand-in's transport
	Quota  connectors.Quota
	Now    func() time.Time
	Logger *slog.Logger // the connector's log, searched for the token
}

// Harness tells the suite how to build a connector over a fresh, empty stand-in, and what its product is like.
type Harness struct {
	// New makes the vendor and the connector anew. It is called once a case, inside a synctest bubble.
	New func(env Env) (connectors.Connector, error)
	// Account gives the n-th sample account, active, all different.
	Account func(n int) connectors.Account
	// Change gives the account with something changed that UpdateAccount can carry out, a new DisplayName at least. Nil: the
	// product can't change accounts, and UpdateAccount must say so.
	Change func(connectors.Account) connectors.Account
	// Restores: UpdateAccount with Active brings a disabled account back.
	Restores bool
	// MissingID is a well-formed account id that the vendor doesn't know.
	MissingID string
	// ListNeedsGroup: accounts are listed only while they are in a group.
	ListNeedsGroup bool

	// What follows is for the products that have the capability; the cases of a capability that a connector lacks are left out.

	// Posts picks the requests that send a message, and Makes those that make a channel: where every request is a POST, the method
	// doesn't tell.
	Posts, Makes func(*http.Request) bool
	// Copies says how many messages with m's key the vendor holds, by its ground truth.
	Copies func(m connectors.Message) int
	// Shown gives the text, without subject, that the vendor holds of m, by its ground truth.
	Shown func(m connectors.Message) string
	// Deliver gives a genuine delivery of one event, signed as of now, and retry the same one delivered again.
	Deliver func(now time.Time) (first, retry connectors.Delivery)
	// MaxAge is how long after it was made a delivery is believed; 0 is five minutes.
	MaxAge time.Duration
	// TooLong is how many octets make a delivery that must be refused; 0 is 2 MiB.
	TooLong int
	// Work is for products with work items.
	Work *Work
	// Relay is for products that mail is handed to. Such a product has no wire of HTTP.
	Relay *Relay
	// Forge gives the delivery with body instead of its own, correctly signed as of now.
	Forge func(now time.Time, d connectors.Delivery, body []byte) connectors.Delivery
}

// Failure is what a case found.
type Failure struct{ Case, Message string }

// Run runs every case as a subtest.
func Run(t *testing.T, h Harness) {
	t.Helper()
	for _, c := range cases() {
		t.Run(c.name, func(t *testing.T) {
			absent := true
			synctest.Test(t, func(t *testing.T) {
				for _, f := range runCase(t.Context(), h, c.noting(&absent)) {
					t.Error(f.Message)
				}
			})
			if absent && !t.Failed() {
				t.Skip("the product lacks the capability")
			}
		})
	}
}

// RunPlanted plants every known bug in turn. The suite must fail on each.
func RunPlanted(t *testing.T, h Harness) {
	t.Helper()
	for _, bug := range planted() {
		t.Run(bug.name, func(t *testing.T) {
			if bug.needs == nil {
				bug.needs = testCase{}.applies
			}
			if !canBear(t, h, bug) {
				t.Skip("the product lacks the capability")
			}
			sick := h
			sick.New = func(env Env) (connectors.Connector, error) {
				conn, err := h.New(env)
				if err != nil {
					return nil, err
				}
				return bug.into(conn)
			}
			for _, c := range bug.likeliest(cases()) {
				var failures []Failure
				synctest.Test(t, func(t *testing.T) { failures = runCase(t.Context(), sick, c) })
				if len(failures) > 0 {
					t.Logf("caught by %s: %s", c.name, failures[0].Message)
					return
				}
			}
			t.Error("the suite passes with this bug in the connector")
		})
	}
}

// canBear reports whether the harness's connector has the capability that the bug is planted in.
func canBear(t *testing.T, h Harness, b bug) (can bool) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		runCase(t.Context(), h, testCase{name: "capabilities", needs: func(o connectors.Opened) bool { can = b.needs(o); return false }})
	})
	return can
}

// product is a connector with accounts and groups.
type product interface {
	connectors.Connector
	connectors.AccountReader
	connectors.AccountWriter
	connectors.GroupReader
	connectors.GroupWriter
}

type testCase struct {
	name    string
	run     func(*run)
	needs   func(connectors.Opened) bool // nil: accounts and groups
	section string                       // of which capability; empty: accounts and groups
}

// noting also says whether the case was run.
func (c testCase) noting(absent *bool) testCase {
	do := c.run
	c.run = func(r *run) { *absent = false; do(r) }
	return c
}

func (c testCase) applies(o connectors.Opened) bool {
	if c.needs != nil {
		return c.needs(o)
	}
	return o.Accounts != nil && o.AccountWriter != nil && o.Groups != nil && o.GroupWriter != nil
}

// run is one case in progress.
type run struct {
	h     Harness
	ctx   context.Context
	tap   *Tap
	quota *quota
	connectors.Opened
	fails []Failure
	name  string
	texts []string // everything that could leak

	counted []Sent // what the last failing call sent
}

type stopCase struct{}

func runCase(ctx context.Context, h Harness, c testCase) (failures []Failure) {
	var log lockedBuffer
	r := &run{h: h, ctx: ctx, quota: &quota{}, name: c.name}
	env := Env{
		Wire:   func(vendor http.RoundTripper) http.RoundTripper { r.tap = NewTap(vendor); return r.tap },
		Quota:  r.quota,
		Now:    time.Now,
		Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	defer func() {
		if p := recover(); p != nil {
			if _, ok := p.(stopCase); !ok {
				panic(p)
			}
		}
		if h.Relay != nil {
			time.Sleep(relayPatience)
		}
		failures = append(r.fails, r.leaks(log.String())...)
	}()
	conn, err := h.New(env)
	r.must(err, "New")
	if r.tap == nil {
		if h.Relay == nil {
			r.fatalf("the harness doesn't use Env.Wire")
		}
		r.tap = NewTap(nil)
	}
	if sent := r.tap.Take(); len(sent) > 0 {
		r.errorf("making the connector sent %d requests", len(sent))
	}
	catalog, err := connectors.NewCatalog(conn)
	r.must(err, "NewCatalog")
	r.Opened, err = catalog.Open(conn.Describe().Name)
	r.must(err, "Open")
	if c.applies(r.Opened) {
		c.run(r)
	}
	return nil
}

// leaks searches errors, logs and paths for the token, and for the credential as it went over the wire (which for basic
// authorization is an encoding of it).
func (r *run) leaks(log string) []Failure {
	secrets := []string{Token}
	texts := append(r.texts, log)
	if r.tap != nil {
		secrets = append(secrets, r.tap.credentials()...)
		for _, s := range r.tap.Take() {
			texts = append(texts, s.Path)
		}
	}
	var found []Failure
	for _, text := range texts {
		for _, secret := range secrets {
			if strings.Contains(text, secret) {
				found = append(found, Failure{r.name, "the credential is in: " + strings.ReplaceAll(text, secret, "<CREDENTIAL>")})
				break
			}
		}
	}
	return found
}

func (r *run) errorf(format string, args ...any) {
	r.fails = append(r.fails, Failure{r.name, fmt.Sprintf(format, args...)})
}

func (r *run) fatalf(format string, args ...any) {
	r.errorf(format, args...)
	panic(stopCase{})
}

// saw keeps an error's texts for the search of the token.
func (r *run) saw(err error) {
	for e := err; e != nil; e = errors.Unwrap(e) {
		r.texts = append(r.texts, e.Error(), fmt.Sprintf("%+v", e))
	}
}

// must stops the case on an error.
func (r *run) must(err error, what string) {
	r.saw(err)
	if err != nil {
		r.fatalf("%s: %v", what, err)
	}
}

// want checks that err is a *connectors.Error of one of kinds.
func (r *run) want(err error, what string, kinds ...connectors.Kind) bool {
	r.saw(err)
	var e *connectors.Error
	if err == nil || !errors.As(err, &e) {
		r.errorf("%s: got %v, want a *connectors.Error of kind %v", what, err, kinds)
		return false
	}
	for _, k := range kinds {
		if e.Kind == k {
			if e.Vendor == "" || e.Op == "" {
				r.errorf("%s: the error doesn't say what was tried where: %v", what, err)
			}
			return true
		}
	}
	r.errorf("%s: got kind %v (%v), want %v", what, e.Kind, err, kinds)
	return false
}

// account makes the n-th sample account.
func (r *run) account(n int) connectors.Account {
	a, err := r.AccountWriter.CreateAccount(r.ctx, r.h.Account(n))
	r.must(err, "CreateAccount")
	if a.ID == "" {
		r.fatalf("CreateAccount gives no id")
	}
	return a
}

// find looks the n-th sample account up.
func (r *run) find(n int) (connectors.Account, error) {
	return r.Accounts.FindAccount(r.ctx, r.h.Account(n))
}

// settle waits until a look-up must show what was written.
func (r *run) settle() { time.Sleep(r.Limits.Staleness + time.Second) }

func (r *run) members(group string) []string {
	var ids []string
	r.must(r.Groups.ListMembers(r.ctx, group, func(page []string) error { ids = append(ids, page...); return nil }), "ListMembers")
	return ids
}

// writes counts the requests of sent that may change something.
func writes(sent []Sent) int {
	n := 0
	for _, s := range sent {
		if s.Method != http.MethodGet && s.Method != http.MethodHead {
			n++
		}
	}
	return n
}

// quota gives everything until it is told to refuse.
type quota struct {
	mu     sync.Mutex
	refuse time.Duration
	taken  map[connectors.Class]int
}

func (q *quota) Reserve(ctx context.Context, class connectors.Class, n int) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if q.refuse > 0 {
		return &connectors.Error{Kind: connectors.KindThrottled, Vendor: "quota", Op: "reserve", RetryAfter: q.refuse}
	}
	if q.taken == nil {
		q.taken = map[connectors.Class]int{}
	}
	q.taken[class] += n
	return nil
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// Unlimited is a quota that gives everything, for tests of connectors outside the suite.
type Unlimited struct{}

// Reserve gives n tokens.
func (Unlimited) Reserve(ctx context.Context, _ connectors.Class, _ int) error { return ctx.Err() }
