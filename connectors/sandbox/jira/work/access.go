package work

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/connectors/sandbox/jira/wire"
	"github.com/musubi-hub/musubi/connectors/sandbox/site"
)

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
