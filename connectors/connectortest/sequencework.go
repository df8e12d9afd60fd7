package connectortest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/connectors"
)

// WorkWorld is a stand-in with work items, empty and without faults.
type WorkWorld struct {
	Connector connectors.Connector
	// Ground gives the work items that the stand-in holds, whatever it told the connector.
	Ground func() ([]GroundItem, error)
	// Plant puts random faults into the stand-in.
	Plant func(r *rand.Rand) error
	// Heal takes them away.
	Heal func()
}

// RunWorkSequences is RunSequences for work items: they are made, commented and moved at random while wire and stand-in fail and the
// search lags. An item whose making is in doubt is looked for, or made again, at once or later, as the contract has it.
func RunWorkSequences(t *testing.T, h Harness, world func(env Env) (WorkWorld, error)) {
	t.Helper()
	runAll(t, sequencesShort/2, startWork(h, world)) // a product with work items has two kinds of sequences to run
}

// RunPlantedWorkSequences plants bugs that break the contract of work items only under faults. The sequences must fail on each.
func RunPlantedWorkSequences(t *testing.T, h Harness, world func(env Env) (WorkWorld, error)) {
	t.Helper()
	for _, b := range workSequenceBugs() {
		t.Run(b.name, func(t *testing.T) {
			runUntilCaught(t, startWork(h, func(env Env) (WorkWorld, error) {
				w, err := world(env)
				if err != nil {
					return w, err
				}
				whole, ok := w.Connector.(worker)
				if !ok {
					return w, fmt.Errorf("%T lacks a capability: bugs are planted in connectors that have all", w.Connector)
				}
				s := b.plant(whole)
				s.worker = whole
				w.Connector = s
				return w, nil
			}))
		})
	}
}

func startWork(h Harness, world func(env Env) (WorkWorld, error)) starter {
	return func(t *testing.T, seed int) (*sequence, func() error) {
		s := &workSequence{sequence: newSequence(t, h, seed), items: map[int]*knownItem{}}
		return s.sequence, func() error { return s.run(world) }
	}
}

type workBug struct {
	name  string
	plant func(worker) sickWorker
}

func workSequenceBugs() []workBug {
	return []workBug{
		{"an item in doubt is made again without a look", func(w worker) sickWorker {
			return sickWorker{create: func(ctx context.Context, d connectors.WorkItemDraft) (connectors.WorkItem, error) {
				d.Attempted = time.Time{}
				return w.CreateWorkItem(ctx, d)
			}}
		}},
		{"a search that lags is believed", func(w worker) sickWorker {
			return sickWorker{find: func(ctx context.Context, key string, _ time.Time) (connectors.WorkItem, error) {
				return w.FindWorkItem(ctx, key, time.Time{})
			}}
		}},
		{"a lost comment counts as made", func(w worker) sickWorker {
			return sickWorker{comment: func(ctx context.Context, id string, c connectors.Comment) (connectors.Comment, error) {
				got, err := w.AddComment(ctx, id, c)
				if connectors.KindOf(err) == connectors.KindAmbiguous || connectors.KindOf(err) == connectors.KindUnavailable {
					return c, nil
				}
				return got, err
			}}
		}},
		{"a comment in doubt is made again", func(w worker) sickWorker {
			serial := 0
			return sickWorker{comment: func(ctx context.Context, id string, c connectors.Comment) (connectors.Comment, error) {
				got, err := w.AddComment(ctx, id, c)
				if connectors.KindOf(err) == connectors.KindAmbiguous {
					serial++
					c.OwnKey = fmt.Sprintf("%s.%d", c.OwnKey, serial)
					return w.AddComment(ctx, id, c)
				}
				return got, err
			}}
		}},
		{"a failed transition counts as done", func(w worker) sickWorker {
			return sickWorker{move: func(ctx context.Context, id, status string) error {
				err := w.TransitionWorkItem(ctx, id, status)
				if connectors.KindOf(err) == connectors.KindAmbiguous || connectors.KindOf(err) == connectors.KindUnavailable {
					return nil
				}
				return err
			}}
		}},
	}
}

// workSequence is one in progress, with what is believed of the work items.
type workSequence struct {
	*sequence
	items map[int]*knownItem
}

type knownItem struct {
	attempted time.Time // before the last attempt to make it; zero: it surely isn't there
	unsure    bool      // it may be there
	id        string    // empty: it isn't there, or unsure
	first     string    // the status in which it began
	status    string
	moved     bool // the status is in doubt
	comments  map[int]*knownComment
}

type knownComment struct{ made, unsure bool }

func (s *workSequence) run(world func(env Env) (WorkWorld, error)) error {
	w, err := world(s.env())
	if err != nil {
		return err
	}
	return s.play(w.Connector, course{
		plant: func() error { return w.Plant(s.rand) },
		step:  s.step, heal: w.Heal, reconcile: s.reconcile,
		compare: func() error { return against(w.Ground, s.compare) },
	})
}

func (s *workSequence) step() {
	n := s.rand.IntN(2)
	i := s.items[n]
	if i == nil {
		i = &knownItem{comments: map[int]*knownComment{}}
		s.items[n] = i
	}
	switch {
	case i.unsure && s.rand.IntN(2) == 0:
		if s.rand.IntN(2) == 0 {
			time.Sleep(time.Duration(s.rand.Int64N(int64(s.o.Limits.SearchLag))))
		}
		s.find(n, i)
	case i.id == "":
		s.create(n, i)
	case i.moved && s.rand.IntN(2) == 0:
		s.read(n, i)
	case s.rand.IntN(3) == 0:
		s.move(n, i)
	default:
		s.comment(n, i, s.rand.IntN(3))
	}
}

func (s *workSequence) wanted(n int) connectors.WorkItemDraft {
	return connectors.WorkItemDraft{OwnKey: fmt.Sprintf("sequence.%d", n), Type: s.h.Work.Type, Summary: fmt.Sprintf("連番 %d", n), Description: "説明"}
}

func wantedComment(k int) connectors.Comment {
	return connectors.Comment{OwnKey: fmt.Sprintf("comment.%d", k), Body: fmt.Sprintf("返事 %d", k), Internal: k%2 == 1}
}

func (s *workSequence) create(n int, i *knownItem) {
	d := s.wanted(n)
	d.Attempted = i.attempted
	i.attempted = time.Now()
	made, err := s.o.WorkCreator.CreateWorkItem(s.t.Context(), d)
	switch nothing, _ := s.note(err, false, "create item %d", n); {
	case err == nil:
		i.adopt(made)
	case !nothing:
		i.unsure = true
	}
}

// adopt takes over what was seen. An item whose status wasn't shown is read before it is believed to be anywhere.
func (i *knownItem) adopt(seen connectors.WorkItem) {
	i.id, i.unsure = seen.ID, false
	i.status, i.moved = seen.Status, seen.Status == ""
	if i.first == "" {
		i.first = seen.Status
	}
}

func (s *workSequence) find(n int, i *knownItem) {
	seen, err := s.o.WorkItems.FindWorkItem(s.t.Context(), s.wanted(n).OwnKey, i.attempted)
	s.note(err, true, "find item %d", n)
	switch {
	case err == nil:
		i.adopt(seen)
	case connectors.KindOf(err) == connectors.KindNotFound:
		i.unsure, i.attempted = false, time.Time{}
	}
}

func (s *workSequence) read(n int, i *knownItem) {
	seen, err := s.o.WorkItems.ReadWorkItem(s.t.Context(), i.id)
	if s.note(err, true, "read item %d", n); err == nil {
		i.adopt(seen)
	}
}

func (s *workSequence) move(n int, i *knownItem) {
	if i.first == "" {
		s.read(n, i)
		return
	}
	to := s.h.Work.Next
	if i.status == to {
		to = i.first
	}
	err := s.o.Transitions.TransitionWorkItem(s.t.Context(), i.id, to)
	if _, unsure := s.note(err, true, "move item %d to %s", n, to); unsure {
		i.moved = true
	} else if err == nil {
		i.status, i.moved = to, false
	}
}

func (s *workSequence) comment(n int, i *knownItem, k int) {
	c := i.comments[k]
	if c == nil {
		c = &knownComment{}
		i.comments[k] = c
	}
	_, err := s.o.Comments.AddComment(s.t.Context(), i.id, wantedComment(k))
	switch nothing, _ := s.note(err, false, "comment %d on item %d", k, n); {
	case err == nil:
		c.made, c.unsure = true, false
	case !nothing && !c.made:
		c.unsure = true
	}
}

// reconcile looks up what is unknown, now that nothing fails.
func (s *workSequence) reconcile() error {
	s.steps = append(s.steps, "  reconcile")
	time.Sleep(s.o.Limits.SearchLag + time.Second)
	for n, i := range s.items {
		if i.unsure {
			if s.find(n, i); i.unsure {
				return fmt.Errorf("item %d can't be looked up", n)
			}
		}
		if i.id == "" {
			continue
		}
		if i.moved {
			if s.read(n, i); i.moved {
				return fmt.Errorf("item %d can't be read", n)
			}
		}
		if err := s.reconcileComments(n, i); err != nil {
			return err
		}
	}
	return nil
}

func (s *workSequence) reconcileComments(n int, i *knownItem) error {
	there := map[string]bool{}
	err := s.o.Comments.ListComments(s.t.Context(), i.id, func(page []connectors.Comment) error {
		for _, c := range page {
			there[c.OwnKey] = true
		}
		return nil
	})
	if s.note(err, true, "list comments of item %d", n); err != nil {
		return err
	}
	for k, c := range i.comments {
		if c.unsure {
			c.made, c.unsure = there[wantedComment(k).OwnKey], false
		}
	}
	return nil
}

// compare says where belief and truth differ.
func (s *workSequence) compare(ground []GroundItem) error {
	var errs []error
	held := map[string][]GroundItem{}
	for _, g := range ground {
		held[g.Summary] = append(held[g.Summary], g)
	}
	for n, i := range s.items {
		got := held[s.wanted(n).Summary]
		delete(held, s.wanted(n).Summary)
		switch {
		case i.id == "" && len(got) == 0:
		case i.id == "" || len(got) != 1 || got[0].ID != i.id || got[0].Status != i.status:
			errs = append(errs, fmt.Errorf("item %d is believed to be %q in %q, there is %+v", n, i.id, i.status, got))
		default:
			errs = append(errs, i.compareComments(n, got[0].Comments))
		}
	}
	if len(held) > 0 {
		errs = append(errs, fmt.Errorf("items that nobody asked for: %+v", held))
	}
	return errors.Join(errs...)
}

func (i *knownItem) compareComments(n int, got []GroundComment) error {
	held := map[GroundComment]int{}
	for _, c := range got {
		held[c]++
	}
	for k, c := range i.comments {
		want := GroundComment{Body: wantedComment(k).Body, Public: !wantedComment(k).Internal}
		if c.made != (held[want] == 1) || held[want] > 1 {
			return fmt.Errorf("comment %d on item %d is believed to be made: %v, there are %+v", k, n, c.made, got)
		}
		delete(held, want)
	}
	if len(held) > 0 {
		return fmt.Errorf("comments on item %d that nobody made: %+v", n, held)
	}
	return nil
}
