package connectortest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
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
	n := sequencesShort
	if os.Getenv("MUSUBI_SOAK") != "" {
		n = sequencesLong
	}
	calls, failed := 0, 0
	for first := 0; first < n && !t.Failed(); first += sequenceChunk {
		synctest.Test(t, func(t *testing.T) {
			for seed := first; seed < first+sequenceChunk && !t.Failed(); seed++ {
				s := newSequence(t, h, seed)
				if err := s.run(world); err != nil {
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
			caught := error(nil)
			for first := 0; first < sequencesForBug && caught == nil; first += sequenceChunk {
				synctest.Test(t, func(t *testing.T) {
					for seed := first; seed < first+sequenceChunk && caught == nil; seed++ {
						caught = newSequence(t, h, seed).run(sick)
					}
				})
			}
			if caught == nil {
				t.Errorf("%d sequences pass with this bug in the connector", sequencesForBug)
			}
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

func (s *sequence) run(world func(env Env) (World, error)) error {
	w, err := world(Env{
		Wire:  func(vendor http.RoundTripper) http.RoundTripper { s.tap = NewTap(vendor); return s.tap },
		Quota: Unlimited{}, Now: time.Now, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return err
	}
	catalog, err := connectors.NewCatalog(w.Connector)
	if err != nil {
		return err
	}
	if s.o, err = catalog.Open(w.Connector.Describe().Name); err != nil {
		return err
	}
	s.leaves = w.Leaves
	if s.silent, err = w.Plant(s.rand); err != nil {
		return err
	}
	for range sequenceSteps {
		s.plantOnWire()
		s.step()
		s.tap.Clear()
		if s.rand.IntN(4) == 0 {
			time.Sleep(time.Duration(s.rand.IntN(5000)) * time.Millisecond)
		}
	}
	w.Heal()
	if err := s.reconcile(); err != nil {
		return err
	}
	truth, err := w.Truth()
	if err != nil {
		return err
	}
	return s.compare(truth)
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

// step makes one random call.
func (s *sequence) step() {
	n, k := s.rand.IntN(4), s.rand.IntN(2)
	a, g := s.accounts[n], s.groups[k]
	switch choice := s.rand.IntN(10); {
	case a != nil && a.unsure:
		s.find(n) // never blindly again
	case a == nil:
		s.create(n)
	case choice < 2 && a.active:
		s.disable(n, a)
	case choice < 4 && (!a.active && s.h.Restores || a.active && s.h.Change != nil):
		s.update(n, a)
	case g == nil:
		s.createGroup(k)
	case g.unsure:
		s.findGroup(k)
	default:
		s.member(g, a)
	}
}

func (s *sequence) create(n int) {
	made, err := s.o.AccountWriter.CreateAccount(s.t.Context(), s.h.Account(n))
	switch nothing, _ := s.note(err, false, "create account %d", n); {
	case err == nil:
		s.accounts[n] = &knownAccount{id: made.ID, name: s.h.Account(n).DisplayName, active: true}
	case !nothing:
		s.accounts[n] = &knownAccount{unsure: true}
	}
}

func (s *sequence) update(n int, a *knownAccount) {
	want := s.h.Account(n)
	if a.active && a.name == want.DisplayName {
		want = s.h.Change(want)
	}
	want.ID = a.id
	_, err := s.o.AccountWriter.UpdateAccount(s.t.Context(), want)
	if _, unsure := s.note(err, true, "update account %d", n); unsure {
		a.unsure = true
	} else if err == nil {
		a.name, a.active = want.DisplayName, true
	}
}

func (s *sequence) disable(n int, a *knownAccount) {
	err := s.o.AccountWriter.DisableAccount(s.t.Context(), a.id)
	_, unsure := s.note(err, true, "disable account %d", n)
	if unsure {
		a.unsure = true
	} else if err == nil {
		a.active = false
	}
	if !s.leaves || !unsure && err != nil {
		return
	}
	for _, g := range s.groups {
		if g.members[a.id] {
			delete(g.members, a.id)
			g.unsure = g.unsure || unsure
		}
	}
}

func (s *sequence) createGroup(k int) {
	made, err := s.o.GroupWriter.CreateGroup(s.t.Context(), connectors.Group{Name: groupName(k)})
	if err == nil {
		s.note(err, false, "create group %d", k)
		s.groups[k] = &knownGroup{id: made.ID, members: map[string]bool{}}
		return
	}
	// Making a group can take several calls of which the first may have been carried out.
	s.note(err, true, "create group %d", k)
	s.groups[k] = &knownGroup{unsure: true}
}

func (s *sequence) member(g *knownGroup, a *knownAccount) {
	if g.members[a.id] {
		err := s.o.GroupWriter.RemoveMembers(s.t.Context(), g.id, []string{a.id})
		if _, unsure := s.note(err, true, "remove %s from %s", a.id, g.id); unsure {
			g.unsure = true
		} else if err == nil {
			delete(g.members, a.id)
		}
		return
	}
	if !a.active {
		return // what a product does with a member who has no access is its own affair
	}
	err := s.o.GroupWriter.AddMembers(s.t.Context(), g.id, []string{a.id})
	if _, unsure := s.note(err, true, "add %s to %s", a.id, g.id); unsure {
		g.unsure = true
	} else if err == nil {
		g.members[a.id] = true
		g.unsure = s.silent // the vendor says yes and may have lost it: only a look tells
	}
}

// find looks an account up once it must be there to be seen, and adopts what is found.
func (s *sequence) find(n int) {
	time.Sleep(s.o.Limits.Staleness + time.Millisecond)
	want := s.h.Account(n)
	want.ID = s.accounts[n].id
	got, err := s.o.Accounts.FindAccount(s.t.Context(), want)
	s.note(err, true, "find account %d", n)
	switch {
	case err == nil:
		s.accounts[n] = &knownAccount{id: got.ID, name: got.DisplayName, active: got.Active}
	case connectors.KindOf(err) == connectors.KindNotFound:
		delete(s.accounts, n)
	}
}

func (s *sequence) findGroup(k int) {
	time.Sleep(s.o.Limits.Staleness + time.Millisecond)
	got, err := s.o.Groups.FindGroup(s.t.Context(), groupName(k))
	s.note(err, true, "find group %d", k)
	switch {
	case connectors.KindOf(err) == connectors.KindNotFound:
		delete(s.groups, k)
		return
	case err != nil:
		return
	}
	members := map[string]bool{}
	err = s.o.Groups.ListMembers(s.t.Context(), got.ID, func(page []string) error {
		for _, id := range page {
			members[id] = true
		}
		return nil
	})
	s.note(err, true, "list group %d", k)
	if err == nil {
		s.groups[k] = &knownGroup{id: got.ID, members: members}
	}
}

// reconcile looks up what is unknown, now that nothing fails.
func (s *sequence) reconcile() error {
	s.steps = append(s.steps, "  reconcile")
	for n, a := range s.accounts {
		if a.unsure {
			if s.find(n); s.accounts[n] != nil && s.accounts[n].unsure {
				return fmt.Errorf("account %d can't be looked up", n)
			}
		}
	}
	for k, g := range s.groups {
		if g.unsure {
			if s.findGroup(k); s.groups[k] != nil && s.groups[k].unsure {
				return fmt.Errorf("group %d can't be looked up", k)
			}
		}
	}
	return nil
}

// compare says where belief and truth differ.
func (s *sequence) compare(truth Truth) error {
	var errs []error
	for n, a := range s.accounts {
		got, ok := truth.Accounts[a.id]
		want := TrueAccount{Email: s.h.Account(n).Email, DisplayName: a.name, Active: a.active}
		if !ok || got != want {
			errs = append(errs, fmt.Errorf("account %d is believed to be %s %+v and is %+v", n, a.id, want, got))
		}
	}
	if len(truth.Accounts) != len(s.accounts) {
		errs = append(errs, fmt.Errorf("%d accounts are believed, there are %v", len(s.accounts), truth.Accounts))
	}
	for k, g := range s.groups {
		got, ok := truth.Groups[groupName(k)]
		want := slices.Sorted(maps.Keys(g.members))
		if slices.Sort(got); !ok || !slices.Equal(got, want) {
			errs = append(errs, fmt.Errorf("group %d is believed to have %v and has %v", k, want, got))
		}
	}
	if len(truth.Groups) != len(s.groups) {
		errs = append(errs, fmt.Errorf("%d groups are believed, there are %v", len(s.groups), truth.Groups))
	}
	return errors.Join(errs...)
}
