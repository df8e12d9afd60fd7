package work

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/musubi-hub/musubi/connectors/sandbox/deliver"
	"github.com/musubi-hub/musubi/connectors/sandbox/jira/wire"
	"github.com/musubi-hub/musubi/connectors/sandbox/site"
)

// Options configure the project.
type Options struct {
	ServiceDeskID string
	ProjectKey    string
	ProjectName   string
	ProjectID     string
	SearchLag     time.Duration // how long a search misses what was written; at most site.StaleWindow
	WorkflowTime  time.Duration // how long a transition takes; another one of the same issue conflicts meanwhile
	PortalURL     string        // where customers see their requests, without the prefix; "": where the API is
}

// OrgRef is a customer organization as an issue's field shows it.
type OrgRef struct {
	ID   int64
	Name string
	Doc  any
}

// Host is the product around the tracker. Its methods are called with the product's lock held.
type Host interface {
	// Commit journals changes and takes them into the state, by Tracker.Apply for those of this package.
	Commit(changes ...site.Change) error
	Find(accountID string, asOf time.Time) (wire.Person, bool)
	Owner() wire.Person // who the API token belongs to, an agent
	Organization(id int64, base string) (OrgRef, bool)
	OrganizationsOf(accountID string) []int64
	OnDesk(orgID int64) bool
	// Send queues a webhook.
	Send(m deliver.Message)
	// Lean says whether a fault leaves the issue out of a comment's event.
	Lean(event string) bool
}

// Tracker keeps the work items.
type Tracker struct {
	mu   *sync.RWMutex
	opt  Options
	host Host
	seed uint64

	issues map[int64]*site.Versions[issue]
	order  []int64
	byKey  map[string]int64
	temps  map[string]*tempFile
	hooks  map[int64]*hook
	next   nextRecord
	busy   map[int64]bool    // transitions under way
	writes map[int64][]int64 // when an issue was written, UTC microseconds
}

// nextRecord are the numbers that were not used yet.
type nextRecord struct {
	Issue   int64 `json:"issue"`
	Comment int64 `json:"comment"`
	File    int64 `json:"file"`
	Hook    int64 `json:"hook"`
	History int64 `json:"history"`
}

// The kinds of journalled change.
const (
	ChangePrefix  = "work."
	changeIssue   = "work.issue"
	changeComment = "work.comment"
	changeFile    = "work.file"
	changeUnfile  = "work.file.delete"
	changeTemp    = "work.temp"
	changeHook    = "work.hook"
	changeUnhook  = "work.hook.delete"
	changeNext    = "work.next"
)

// New makes an empty tracker that shares mu with the product.
func New(opt Options, seed uint64, mu *sync.RWMutex, host Host) *Tracker {
	opt.SearchLag = min(max(opt.SearchLag, 0), site.StaleWindow)
	t := &Tracker{mu: mu, opt: opt, host: host, seed: seed}
	t.Clear()
	return t
}

// Clear empties the tracker. The caller holds the lock.
func (t *Tracker) Clear() {
	t.issues, t.order, t.byKey = map[int64]*site.Versions[issue]{}, nil, map[string]int64{}
	t.temps, t.hooks = map[string]*tempFile{}, map[int64]*hook{}
	t.next = nextRecord{Issue: 1, Comment: 10_000, File: 10_000, Hook: 1, History: 10_000}
	t.busy, t.writes = map[int64]bool{}, map[int64][]int64{}
}

// Apply takes one journalled change into the state. The caller holds the lock.
func (t *Tracker) Apply(c site.Change) error {
	switch c.Kind {
	case changeIssue:
		return take(c, t.putIssue)
	case changeComment:
		return take(c, t.putComment)
	case changeFile:
		return take(c, t.putFile)
	case changeUnfile:
		return take(c, t.dropFile)
	case changeTemp:
		return take(c, func(x *tempFile) error { t.temps[x.ID] = x; return nil })
	case changeHook:
		return take(c, func(x *hook) error {
			t.hooks[x.ID] = x
			t.next.Hook = max(t.next.Hook, x.ID+1)
			return nil
		})
	case changeUnhook:
		return take(c, func(x *hook) error { delete(t.hooks, x.ID); return nil })
	case changeNext:
		return take(c, func(x *nextRecord) error { t.next = *x; return nil })
	}
	return fmt.Errorf("jira: unknown change %q: the journal is of a newer version", c.Kind)
}

func take[T any](c site.Change, into func(*T) error) error {
	var x T
	if err := json.Unmarshal(c.Data, &x); err != nil {
		return err
	}
	return into(&x)
}

func (t *Tracker) putIssue(x *issue) error {
	v := t.issues[x.ID]
	if v == nil {
		v = &site.Versions[issue]{}
		t.issues[x.ID] = v
		t.order = append(t.order, x.ID)
		t.byKey[x.Key] = x.ID
		t.next.Issue = max(t.next.Issue, x.ID-idBase+1)
	}
	if old := v.Current(); old != nil {
		x.comments, x.files = old.comments, old.files
	}
	for _, h := range x.History {
		t.next.History = max(t.next.History, h.ID+1)
	}
	v.Set(time.UnixMicro(x.Updated), x)
	return nil
}

// revise replaces the current version by a copy that change has worked on.
func (t *Tracker) revise(id int64, at int64, change func(*issue)) error {
	old := t.issues[id].Current()
	if old == nil {
		return fmt.Errorf("jira: change of unknown issue %d", id)
	}
	x := *old
	x.Updated = max(x.Updated, at)
	change(&x)
	t.issues[id].Set(time.UnixMicro(x.Updated), &x)
	return nil
}

func (t *Tracker) putComment(m *comment) error {
	t.next.Comment = max(t.next.Comment, m.ID+1)
	return t.revise(m.Issue, m.Updated, func(x *issue) {
		i := slices.IndexFunc(x.comments, func(o *comment) bool { return o.ID == m.ID })
		x.comments = slices.Clone(x.comments)
		if i >= 0 {
			x.comments[i] = m
		} else {
			x.comments = append(x.comments, m)
		}
	})
}

func (t *Tracker) putFile(f *file) error {
	t.next.File = max(t.next.File, f.ID+1)
	return t.revise(f.Issue, f.Created, func(x *issue) { x.files = append(slices.Clone(x.files), f) })
}

func (t *Tracker) dropFile(r *fileRef) error {
	return t.revise(r.Issue, 0, func(x *issue) {
		x.files = slices.DeleteFunc(slices.Clone(x.files), func(f *file) bool { return f.ID == r.ID })
	})
}

// Snapshot gives changes that rebuild the tracker. The caller holds the lock.
func (t *Tracker) Snapshot(put func(kind string, data any) error) error {
	for _, id := range t.order {
		x := t.issues[id].Current()
		if err := put(changeIssue, x); err != nil {
			return err
		}
		for _, m := range x.comments {
			if err := put(changeComment, m); err != nil {
				return err
			}
		}
		for _, f := range x.files {
			if err := put(changeFile, f); err != nil {
				return err
			}
		}
		// What came with comments and files must not move the time of the last change.
		if len(x.comments)+len(x.files) > 0 {
			if err := put(changeIssue, x); err != nil {
				return err
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(t.temps)) {
		if err := put(changeTemp, t.temps[id]); err != nil {
			return err
		}
	}
	for _, id := range slices.Sorted(maps.Keys(t.hooks)) {
		if err := put(changeHook, t.hooks[id]); err != nil {
			return err
		}
	}
	return put(changeNext, t.next)
}
