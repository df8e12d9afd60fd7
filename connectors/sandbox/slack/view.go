package slack

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/connectors/sandbox/site"
)

// trigger lets the application open one view within 3 s.
type trigger struct {
	user string
	ends time.Time
	used bool
}

const triggerLife = 3 * time.Second

// newTrigger makes a trigger. The caller holds the lock.
func (w *Workspace) newTrigger(now time.Time, user string) string {
	for id, t := range w.triggers {
		if now.After(t.ends.Add(time.Minute)) {
			delete(w.triggers, id)
		}
	}
	id := strconv.FormatInt(now.UnixMicro(), 10) + "." + strings.ReplaceAll(site.DeriveUUID(w.ground.Seed, "trigger", user, now.String(), strconv.Itoa(len(w.triggers))), "-", "")
	w.triggers[id] = trigger{user: user, ends: now.Add(triggerLife)}
	return id
}

// view is a modal window that the application opened. It isn't kept across restarts: the person's client closes it too.
type view struct {
	id, externalID, hash, user string
	doc                        map[string]any
}

const (
	maxView  = 250_000
	maxViews = 1000
)

// readView reads the argument view and checks it.
func readView(q *request) (map[string]any, *failure) {
	if len(q.args["view"]) > maxView {
		return nil, fail("view_too_large")
	}
	var doc map[string]any
	if json.Unmarshal([]byte(q.args["view"]), &doc) != nil || doc == nil {
		return nil, invalidArguments("[ERROR] view must be an object")
	}
	kind, _ := doc["type"].(string)
	_, titled := doc["title"].(map[string]any)
	_, blocks := doc["blocks"].([]any)
	if kind != "modal" || !titled || !blocks {
		return nil, invalidArguments("[ERROR] a view needs type modal, title and blocks")
	}
	return doc, nil
}

func (w *Workspace) viewsOpen(q *request) (map[string]any, *failure) {
	doc, no := readView(q)
	if no != nil {
		return nil, no
	}
	id := q.args["trigger_id"]
	t, ok := w.triggers[id]
	switch {
	case !ok:
		return nil, fail("invalid_trigger_id")
	case t.used:
		return nil, fail("exchanged_trigger_id")
	case q.Now.After(t.ends):
		return nil, fail("expired_trigger_id")
	}
	external, _ := doc["external_id"].(string)
	for _, v := range w.views {
		if external != "" && v.externalID == external {
			return nil, fail("duplicate_external_id")
		}
	}
	if len(w.views) >= maxViews {
		clear(w.views)
	}
	t.used = true
	w.triggers[id] = t
	v := &view{id: w.identifier("V", "view", id), externalID: external, user: t.user, doc: doc}
	w.views[v.id] = v
	return w.viewAnswer(q, v), nil
}

// viewAnswer gives a view its new hash and shows it.
func (w *Workspace) viewAnswer(q *request, v *view) map[string]any {
	v.hash = strconv.FormatInt(q.Now.Unix(), 10) + "." + site.DeriveUUID(w.ground.Seed, "hash", v.hash, v.id)[:8]
	out := map[string]any{}
	for k, x := range v.doc {
		out[k] = x
	}
	out["id"], out["hash"], out["team_id"], out["app_id"], out["bot_id"] = v.id, v.hash, w.opt.TeamID, w.opt.AppID, w.botRecord()
	out["root_view_id"], out["state"] = v.id, map[string]any{"values": map[string]any{}}
	return map[string]any{"view": out}
}

func (w *Workspace) viewsUpdate(q *request) (map[string]any, *failure) {
	doc, no := readView(q)
	if no != nil {
		return nil, no
	}
	v := w.views[q.args["view_id"]]
	for _, x := range w.views {
		if q.args["view_id"] == "" && q.args["external_id"] != "" && x.externalID == q.args["external_id"] {
			v = x
		}
	}
	switch {
	case v == nil:
		return nil, fail("not_found")
	case q.args["hash"] != "" && q.args["hash"] != v.hash:
		return nil, fail("hash_conflict")
	}
	v.doc = doc
	return w.viewAnswer(q, v), nil
}
