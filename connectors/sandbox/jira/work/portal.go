package work

import (
	"cmp"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/connectors/sandbox/jira/wire"
	"github.com/musubi-hub/musubi/connectors/sandbox/site"
)

// What a person can't do in the portal.
var (
	ErrNoRequest = errors.New("jira: there is no such request, or the person may not see it")
	ErrRefused   = errors.New("jira: refused")
)

// Why a person sees a request in the portal.
const (
	SeenOwn    = "own"
	SeenTook   = "took" // as a participant
	SeenShared = "shared"
)

// PortalRow is a request in a person's list.
type PortalRow struct {
	Row
	Seen string
}

// portalRow is a row as a customer may see it: internal comments aren't even counted. The caller holds the lock.
func (t *Tracker) portalRow(as string, x *issue) PortalRow {
	r := PortalRow{Row: t.row(x), Seen: SeenShared}
	r.Comments = 0
	for _, m := range x.comments {
		if !m.Internal {
			r.Comments++
		}
	}
	switch {
	case x.Reporter == as:
		r.Seen = SeenOwn
	case slices.Contains(x.Participants, as):
		r.Seen = SeenTook
	}
	return r
}

// inPortal gives a request that a person may see, nil for none. Issues without a request type have no page in the portal.
func (t *Tracker) inPortal(as, key string) *issue {
	x := t.issues[t.byKey[strings.ToUpper(key)]].Current()
	if as == "" || x == nil || x.RequestType == "" || !t.mayRead(as, x) {
		return nil
	}
	return x
}

// PortalRows gives one page of the requests that a person may see, newest change first, those whose key or summary holds query.
func (t *Tracker) PortalRows(as, query string, w wire.Window) (rows []PortalRow, total int) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	var found []*issue
	for _, id := range t.order {
		x := t.issues[id].Current()
		if x = t.inPortal(as, x.Key); x != nil && strings.Contains(strings.ToLower(x.Key+" "+x.Summary), strings.ToLower(query)) {
			found = append(found, x)
		}
	}
	slices.SortStableFunc(found, func(a, b *issue) int { return cmp.Compare(b.Updated, a.Updated) })
	for _, x := range wire.Cut(found, w) {
		rows = append(rows, t.portalRow(as, x))
	}
	return rows, len(found)
}

// PortalView gives the page of one request to a person who may see it.
func (t *Tracker) PortalView(as, key string, now time.Time) (View, string, bool) {
	t.mu.RLock()
	x := t.inPortal(as, key)
	seen := ""
	if x != nil {
		seen = t.portalRow(as, x).Seen
	}
	t.mu.RUnlock()
	if x == nil {
		return View{}, "", false
	}
	v, ok := t.View(x.Key, true, now)
	return v, seen, ok
}

// PortalComment lets a person answer on a request. Whatever customers write is public.
func (t *Tracker) PortalComment(c *site.Call, key, text string) error {
	m, no := plainComment(text, true)
	if no != nil {
		return ErrRefused
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	old := t.inPortal(c.As, key)
	if old == nil {
		return ErrNoRequest
	}
	if no = t.allow(c, old.ID); no == nil {
		_, no = t.comment(c, old, m)
	}
	if no != nil {
		return errors.Join(ErrRefused, errors.New(http.StatusText(no.Status)))
	}
	return nil
}
