package work

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
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

// issue is one version of a work item; it is never changed once stored.
type issue struct {
	ID           int64                      `json:"id"`
	Key          string                     `json:"key"`
	Type         string                     `json:"type"`
	RequestType  string                     `json:"request_type,omitempty"`
	Summary      string                     `json:"summary"`
	Description  json.RawMessage            `json:"description,omitempty"`
	Labels       []string                   `json:"labels,omitempty"`
	Priority     string                     `json:"priority"`
	Reporter     string                     `json:"reporter"`
	Creator      string                     `json:"creator"`
	Assignee     string                     `json:"assignee,omitempty"`
	Participants []string                   `json:"participants,omitempty"`
	Orgs         []int64                    `json:"orgs,omitempty"`
	Watchers     []string                   `json:"watchers,omitempty"`
	Status       string                     `json:"status"`
	Resolved     int64                      `json:"resolved,omitempty"`
	Created      int64                      `json:"created"`
	Updated      int64                      `json:"updated"`
	Props        map[string]json.RawMessage `json:"props,omitempty"`
	StatusLog    []statusAt                 `json:"status_log"`
	History      []history                  `json:"history,omitempty"`
	Response     []cycle                    `json:"response"`
	Resolution   []cycle                    `json:"resolution"`

	comments []*comment
	files    []*file
}

type statusAt struct {
	Status string `json:"status"`
	At     int64  `json:"at"`
}

type history struct {
	ID     int64        `json:"id"`
	Author string       `json:"author"`
	At     int64        `json:"at"`
	Items  []changeItem `json:"items"`
}

// changeItem is one field of a change, as changelogs and webhooks show it.
type changeItem struct {
	Field      string  `json:"field"`
	FieldType  string  `json:"fieldtype"`
	FieldID    string  `json:"fieldId"`
	From       *string `json:"from"`
	FromString *string `json:"fromString"`
	To         *string `json:"to"`
	ToString   *string `json:"toString"`
}

type comment struct {
	ID       int64                      `json:"id"`
	Issue    int64                      `json:"issue"`
	Author   string                     `json:"author"`
	Body     json.RawMessage            `json:"body"`
	Internal bool                       `json:"internal"`
	Created  int64                      `json:"created"`
	Updated  int64                      `json:"updated"`
	Props    map[string]json.RawMessage `json:"props,omitempty"`
}

type file struct {
	ID      int64  `json:"id"`
	Issue   int64  `json:"issue"`
	Name    string `json:"name"`
	Type    string `json:"type"`
	Author  string `json:"author"`
	Created int64  `json:"created"`
	Comment int64  `json:"comment,omitempty"` // the comment that it came with
	Hidden  bool   `json:"hidden,omitempty"`  // came with an internal comment, or by the platform
	Content []byte `json:"content"`
}

type tempFile struct {
	ID      string `json:"id"`
	Owner   string `json:"owner"`
	Name    string `json:"name"`
	Type    string `json:"type"`
	Created int64  `json:"created"`
	Content []byte `json:"content"`
}

type fileRef struct {
	Issue int64 `json:"issue"`
	ID    int64 `json:"id"`
}

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

// idBase is what issue ids begin after.
const idBase = 10_000

// The most writes of one issue in a window, as the vendor documents.
var issueLimits = []struct {
	writes int
	window time.Duration
}{{20, 2 * time.Second}, {100, 30 * time.Second}}

// find gives the issue that a path or body names as a read sees it, nil where there is none that the caller may see. The caller
// holds the lock.
func (t *Tracker) find(c *site.Call, idOrKey string) *issue {
	id, ok := t.byKey[strings.ToUpper(idOrKey)]
	if !ok {
		n, err := strconv.ParseInt(idOrKey, 10, 64)
		if err != nil {
			return nil
		}
		id = n
	}
	x := t.issues[id].At(c.AsOf)
	if x == nil || !t.mayRead(c.As, x) {
		return nil
	}
	return x
}

// mayRead: agents see everything, customers what they reported, take part in, or share with an organization of theirs.
func (t *Tracker) mayRead(as string, x *issue) bool {
	if as == "" || x.Reporter == as || slices.Contains(x.Participants, as) {
		return true
	}
	return slices.ContainsFunc(t.host.OrganizationsOf(as), func(id int64) bool { return slices.Contains(x.Orgs, id) })
}

func (t *Tracker) author(c *site.Call) string { return cmp.Or(c.As, t.host.Owner().AccountID) }

func noSuchIssue(c *site.Call) *wire.Refusal {
	if wire.IsDesk(c.R) {
		return wire.Refuse(http.StatusNotFound, "sd.request.not.found", "The request does not exist or you do not have permission to see it.")
	}
	return wire.Refuse(http.StatusNotFound, "", "Issue does not exist or you do not have permission to see it.")
}

// read finds the issue of the path and lets use work on it under the lock; what use refuses is answered.
func (t *Tracker) read(c *site.Call, use func(*issue) *wire.Refusal) bool {
	t.mu.RLock()
	no := noSuchIssue(c)
	if x := t.find(c, c.Vars["issueIdOrKey"]); x != nil {
		no = use(x)
	}
	t.mu.RUnlock()
	if no != nil {
		wire.WriteRefusal(c.W, c.R, no)
	}
	return no == nil
}

// write is read for a change: it keeps the vendor's limits of writes on one issue.
func (t *Tracker) write(c *site.Call, use func(*issue) *wire.Refusal) bool {
	t.mu.Lock()
	no := noSuchIssue(c)
	if x := t.find(c, c.Vars["issueIdOrKey"]); x != nil {
		if no = t.allow(c, x.ID); no == nil {
			no = use(x)
		}
	}
	t.mu.Unlock()
	if no != nil {
		wire.WriteRefusal(c.W, c.R, no)
	}
	return no == nil
}

// allow counts a write of an issue. Past a limit it sets the vendor's headers and refuses.
func (t *Tracker) allow(c *site.Call, id int64) *wire.Refusal {
	now := c.Now.UnixMicro()
	longest := issueLimits[len(issueLimits)-1].window.Microseconds()
	log := slices.DeleteFunc(t.writes[id], func(at int64) bool { return at <= now-longest })
	t.writes[id] = log
	for _, l := range issueLimits {
		most := max(1, int(float64(l.writes)*cmp.Or(c.Scale, 1)))
		since := now - l.window.Microseconds()
		recent := 0
		for _, at := range log {
			if at > since {
				recent++
			}
		}
		if recent < most {
			continue
		}
		oldest := log[len(log)-most]
		wait := time.Duration(oldest-since) * time.Microsecond
		h := c.W.Header()
		site.SetRetryAfter(c.W, wait)
		h.Set("X-RateLimit-Limit", strconv.Itoa(most))
		h.Set("X-RateLimit-Remaining", "0")
		h.Set("X-RateLimit-Reset", c.Now.Add(wait).UTC().Format("2006-01-02T15:04Z"))
		h.Set("X-RateLimit-NearLimit", "true")
		h.Set("RateLimit-Reason", "jira-per-issue-on-write")
		return wire.Refuse(http.StatusTooManyRequests, "sd.rest.rate.limit", "Rate limit exceeded: too many writes on this issue.")
	}
	t.writes[id] = append(log, now)
	return nil
}

// save stores the new version of an issue with further changes, in one journal line.
func (t *Tracker) save(x *issue, more ...any) *wire.Refusal {
	var changes []site.Change
	for i, data := range append(more, x) {
		kind := changeIssue
		switch data.(type) {
		case *comment:
			kind = changeComment
		case *file:
			kind = changeFile
		case fileRef:
			kind = changeUnfile
		case *hook:
			kind = changeHook
		case *tempFile:
			kind = changeTemp
		}
		if i == len(more) && x == nil {
			break
		}
		change, err := site.NewChange(kind, data)
		if err != nil {
			return wire.Unavailable(err)
		}
		changes = append(changes, change)
	}
	return wire.Unavailable(t.host.Commit(changes...))
}

// touch begins a new version of x by the caller, with the items of its changelog.
func (t *Tracker) touch(c *site.Call, old *issue, items ...changeItem) *issue {
	x := *old
	x.Updated = c.Now.UnixMicro()
	if len(items) > 0 {
		h := history{ID: t.next.History, Author: t.author(c), At: x.Updated, Items: items}
		x.History = append(slices.Clone(x.History), h)
	}
	return &x
}

func item(field, id string, from, fromString, to, toString string) changeItem {
	p := func(s string) *string {
		if s == "" {
			return nil
		}
		return &s
	}
	kind := "jira"
	if strings.HasPrefix(id, "customfield_") {
		kind = "custom"
	}
	return changeItem{field, kind, id, p(from), p(fromString), p(to), p(toString)}
}
