package connectortest

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/musubi-hub/musubi/connectors"
)

// World is a stand-in, empty and without faults, with what the suite needs to know of it beyond its interface.
type World struct {
	Connector connectors.Connector
	// Truth gives what the stand-in holds, whatever it told the connector.
	Truth func() (Truth, error)
	// Plant puts random faults into the stand-in. silent: it may lose a member without saying so.
	Plant func(r *rand.Rand) (silent bool, err error)
	// Heal takes them away.
	Heal func()
	// Leaves: an account that is disabled leaves its groups.
	Leaves bool
}

// Truth is the ground truth: accounts by id, members' ids by the group's name.
type Truth struct {
	Accounts map[string]TrueAccount
	Groups   map[string][]string
}

// TrueAccount is an account as the stand-in holds it.
type TrueAccount struct {
	Email, DisplayName string
	Active             bool
}

// The length of RunSequences.
const (
	sequencesLong   = 10_000 // with MUSUBI_SOAK
	sequencesForBug = 1_000  // at most, until a planted bug shows
	sequenceChunk   = 100    // in one bubble
	sequenceSteps   = 14
)

// RunSequences runs random sequences of calls against a stand-in that fails at random, and keeps a belief by the contract alone: what
// a call that succeeded has done, that a call which was throttled or canceled has done nothing, and that every other failure leaves
// the object unknown until it is looked up. At the end the unknown objects are looked up, and the belief must equal the truth. world
// makes a fresh World over env.Wire; it is called once a sequence.
func RunSequences(t *testing.T, h Harness, world func(env Env) (World, error)) {
	t.Helper()
	runAll(t, sequencesShort, func(t *testing.T, seed int) (*sequence, func() error) {
		s := newSequence(t, h, seed)
		return s, func() error { return s.run(world) }
	})
}

// starter makes the sequence of a seed and what runs it.
type starter func(t *testing.T, seed int) (*sequence, func() error)

// runAll runs n sequences, or as many as MUSUBI_SEQUENCES says, or with MUSUBI_SOAK the long run, until one fails.
func runAll(t *testing.T, n int, start starter) {
	t.Helper()
	if wanted := os.Getenv("MUSUBI_SEQUENCES"); wanted != "" {
		var err error
		if n, err = strconv.Atoi(wanted); err != nil || n < 1 {
			t.Fatalf("MUSUBI_SEQUENCES is %q: write how many sequences to run", wanted)
		}
	}
	if os.Getenv("MUSUBI_SOAK") != "" {
		n = sequencesLong
	}
	calls, failed := 0, 0
	for first := 0; first < n && !t.Failed(); first += sequenceChunk {
		synctest.Test(t, func(t *testing.T) {
			for seed := first; seed < min(first+sequenceChunk, n) && !t.Failed(); seed++ {
				s, run := start(t, seed)
				if err := run(); err != nil {
					t.Errorf("sequence %d: %v\n%s", seed, err, strings.Join(s.steps, "\n"))
				}
				calls, failed = calls+s.calls, failed+s.failed
			}
		})
	}
	if failed < calls/20 {
		t.Errorf("only %d of %d calls failed: the sequences prove little", failed, calls)
	}
	t.Logf("%d sequences, %d calls, %d failed", n, calls, failed)
}

// runUntilCaught runs sequences with a planted bug; one must fail.
func runUntilCaught(t *testing.T, start starter) {
	t.Helper()
	caught := error(nil)
	for first := 0; first < sequencesForBug && caught == nil; first += sequenceChunk {
		synctest.Test(t, func(t *testing.T) {
			for seed := first; seed < first+sequenceChunk && caught == nil; seed++ {
				_, run := start(t, seed)
				caught = run()
			}
		})
	}
	if caught == nil {
		t.Errorf("%d sequences pass with this bug in the connector", sequencesForBug)
	}
}

// RunPlantedSequences plants bugs that break the contract only under faults, one at a time. The sequences must fail on each.
func RunPlantedSequences(t *testing.T, h Harness, world func(env Env) (World, error)) {
	t.Helper()
	for _, bug := range sequenceBugs() {
		t.Run(bug.name, func(t *testing.T) {
			sick := func(env Env) (World, error) {
				w, err := world(env)
				if err != nil {
					return w, err
				}
				whole, ok := w.Connector.(product)
				if !ok {
					return w, fmt.Errorf("%T lacks a capability: bugs are planted in connectors that have all", w.Connector)
				}
				w.Connector = bug.plant(whole)
				return w, nil
			}
			runUntilCaught(t, func(t *testing.T, seed int) (*sequence, func() error) {
				s := newSequence(t, h, seed)
				return s, func() error { return s.run(sick) }
			})
		})
	}
}

// sequenceBugs are connectors that say something else than what they know.
func sequenceBugs() []bug {
	hide := func(err error) error {
		if connectors.KindOf(err) == connectors.KindAmbiguous || connectors.KindOf(err) == connectors.KindUnavailable {
			return nil
		}
		return err
	}
	// nothingDone tells of a create that may have been carried out that it wasn't.
	nothingDone := func(err error) error {
		if connectors.KindOf(err) == connectors.KindAmbiguous {
			return &connectors.Error{Kind: connectors.KindUnavailable, Vendor: "sick", Op: "create"}
		}
		return err
	}
	return []bug{
		{name: "a lost create counts as not done", plant: func(p product) connectors.Connector {
			return sick{product: p, create: func(ctx context.Context, a connectors.Account) (connectors.Account, error) {
				got, err := p.CreateAccount(ctx, a)
				return got, nothingDone(err)
			}}
		}},
		{name: "a failed disable counts as done", plant: func(p product) connectors.Connector {
			return sick{product: p, disable: func(ctx context.Context, id string) error { return hide(p.DisableAccount(ctx, id)) }}
		}},
		{name: "a failed add counts as done", plant: func(p product) connectors.Connector {
			return sick{product: p, add: func(ctx context.Context, id string, ids []string) error { return hide(p.AddMembers(ctx, id, ids)) }}
		}},
		{name: "nobody is found", plant: func(p product) connectors.Connector {
			return sick{product: p, find: func(context.Context, connectors.Account) (connectors.Account, error) {
				return connectors.Account{}, &connectors.Error{Kind: connectors.KindNotFound, Vendor: "sick", Op: "find"}
			}}
		}},
	}
}

func newSequence(t *testing.T, h Harness, seed int) *sequence {
	return &sequence{t: t, h: h, rand: rand.New(rand.NewPCG(uint64(seed), 1)), accounts: map[int]*knownAccount{}, groups: map[int]*knownGroup{}} // #nosec G404 -- repeatable on purpose
}

// sequence is one in progress, with what is believed.
type sequence struct {
	t        *testing.T
	h        Harness
	rand     *rand.Rand
	tap      *Tap
	o        connectors.Opened
	silent   bool
	leaves   bool
	accounts map[int]*knownAccount
	groups   map[int]*knownGroup
	steps    []string
	calls    int
	failed   int
}

type knownAccount struct {
	id, name string
	active   bool
	unsure   bool
}

type knownGroup struct {
	id      string
	members map[string]bool
	unsure  bool
}

// env is what the connector is built with: a wire that the sequence breaks.
func (s *sequence) env() Env {
	return Env{
		Wire:  func(vendor http.RoundTripper) http.RoundTripper { s.tap = NewTap(vendor); return s.tap },
		Quota: Unlimited{}, Now: time.Now, Logger: slog.New(slog.DiscardHandler),
	}
}

func (s *sequence) open(c connectors.Connector) error {
	catalog, err := connectors.NewCatalog(c)
	if err != nil {
		return err
	}
	s.o, err = catalog.Open(c.Describe().Name)
	return err
}

// walk makes the random calls, each with a fault before it or none, and some time between.
func (s *sequence) walk(step func()) {
	for range sequenceSteps {
		s.plantOnWire()
		step()
		s.tap.Clear()
		if s.rand.IntN(4) == 0 {
			time.Sleep(time.Duration(s.rand.IntN(5000)) * time.Millisecond)
		}
	}
}

func (s *sequence) run(world func(env Env) (World, error)) error {
	w, err := world(s.env())
	if err != nil {
		return err
	}
	s.leaves = w.Leaves
	return s.play(w.Connector, course{
		plant: func() (err error) { s.silent, err = w.Plant(s.rand); return err },
		step:  s.step, heal: w.Heal, reconcile: s.reconcile,
		compare: func() error { return against(w.Truth, s.compare) },
	})
}

// course is what one kind of sequences does.
type course struct {
	prepare   func() error // before anything fails; nil: nothing
	plant     func() error
	step      func()
	heal      func()
	reconcile func() error
	compare   func() error
}

// play opens the connector and runs the course.
func (s *sequence) play(c connectors.Connector, do course) error {
	if err := s.open(c); err != nil {
		return err
	}
	if do.prepare != nil {
		if err := do.prepare(); err != nil {
			return err
		}
	}
	if err := do.plant(); err != nil {
		return err
	}
	s.walk(do.step)
	do.heal()
	if err := do.reconcile(); err != nil {
		return err
	}
	return do.compare()
}

// against compares with the truth, if it can be had.
func against[T any](truth func() (T, error), compare func(T) error) error {
	held, err := truth()
	if err != nil {
		return err
	}
	return compare(held)
}

// plantOnWire puts a fault before the next call, or none.
func (s *sequence) plantOnWire() {
	if s.rand.IntN(10) >= 3 {
		return
	}
	faults := []Fault{
		LoseAnswer, LoseAnswer, Reset, Hang, WrongToken, LoginPage, Elsewhere,
		Answer(http.StatusTooManyRequests, "application/json", `{}`, "Retry-After", "30"),
		Answer(http.StatusInternalServerError, "application/json", `{}`),
		Answer(http.StatusServiceUnavailable, "application/json", `{}`, "Retry-After", "9"),
		Answer(http.StatusBadGateway, "text/html", "<html>"),
	}
	times, match := 1, Any
	if s.rand.IntN(3) == 0 {
		times = -1
	}
	if s.rand.IntN(2) == 0 {
		match = Write
	}
	s.tap.Put(faults[s.rand.IntN(len(faults))], times, match)
}

// note records a call and says whether it surely changed nothing, or left the object unknown.
func (s *sequence) note(err error, idempotent bool, format string, args ...any) (nothing, unsure bool) {
	s.calls++
	s.steps = append(s.steps, fmt.Sprintf("  "+format, args...)+fmt.Sprintf(": %v", err))
	if err == nil {
		return false, false
	}
	s.failed++
	switch connectors.KindOf(err) {
	case connectors.KindThrottled, connectors.KindCanceled:
		// A repeatable call may have been carried out by a try whose answer was lost before the one that was throttled.
		return !idempotent, idempotent
	case connectors.KindUnavailable:
		return !idempotent, idempotent
	}
	return false, true
}
