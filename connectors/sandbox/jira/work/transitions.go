package work

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/musubi-hub/musubi/connectors/sandbox/jira/wire"
	"github.com/musubi-hub/musubi/connectors/sandbox/site"
)

func (t *Tracker) getTransitions(c *site.Call) {
	list := []doc{}
	if t.read(c, func(x *issue) *wire.Refusal {
		for _, s := range offered(x.Status, c.As != "") {
			if id := c.Query().Get("transitionId"); id == "" || id == s.ID {
				list = append(list, doc{
					"id": s.ID, "name": s.Name, "to": renderStatus(c, statusOf(s.to)), "hasScreen": false, "isGlobal": false, "isInitial": false,
					"isAvailable": true, "isConditional": false, "isLooped": false,
				})
			}
		}
		return nil
	}) {
		wire.WriteJSON(c.W, http.StatusOK, doc{"expand": "transitions", "transitions": list})
	}
}

func (t *Tracker) doTransition(c *site.Call) {
	var b struct {
		Transition struct {
			ID json.RawMessage `json:"id"`
		} `json:"transition"`
		Fields map[string]json.RawMessage `json:"fields"`
		Update map[string]json.RawMessage `json:"update"`
	}
	no := wire.ReadBody(c, &b)
	id := ref{ID: b.Transition.ID}.id()
	switch {
	case no != nil:
	case id == "":
		no = wire.Refuse(http.StatusBadRequest, "", "Missing 'transition' identifier")
	case len(b.Fields) > 0 || len(b.Update) > 0:
		no = wire.Refuse(http.StatusBadRequest, "", "Fields can't be set: the transition has no screen.")
	}
	if no == nil {
		no = t.transit(c, id, nil)
	}
	wire.Finish(c, no)
}

// transit makes a transition. It takes WorkflowTime, in which another change of the issue's status or fields conflicts.
func (t *Tracker) transit(c *site.Call, id string, note *comment) *wire.Refusal {
	t.mu.Lock()
	x, no := t.begin(c, id)
	if no == nil {
		t.busy[x.ID] = true
	}
	t.mu.Unlock()
	if no != nil {
		return no
	}
	if t.opt.WorkflowTime > 0 { // the work goes on where the caller gives up
		timer := time.NewTimer(t.opt.WorkflowTime)
		<-timer.C
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.busy, x.ID)
	return t.finish(c, x.ID, id, note)
}

// begin finds the issue and checks the transition. The caller holds the lock.
func (t *Tracker) begin(c *site.Call, id string) (*issue, *wire.Refusal) {
	x := t.find(c, c.Vars["issueIdOrKey"])
	switch {
	case x == nil:
		return nil, noSuchIssue(c)
	case !slices.ContainsFunc(offered(x.Status, c.As != ""), func(s transition) bool { return s.ID == id }):
		return nil, wire.Refuse(http.StatusBadRequest, "sd.request.transition.not.valid",
			"It seems that you have tried to perform a workflow operation ("+wire.Clip(id)+") that is not valid for the current state of this issue ("+x.Key+").")
	case t.busy[x.ID]:
		return nil, conflicting()
	}
	return x, t.allow(c, x.ID)
}

// finish carries the transition out. The caller holds the lock.
func (t *Tracker) finish(c *site.Call, issueID int64, id string, note *comment) *wire.Refusal {
	old := t.issues[issueID].Current()
	if old == nil { // reset meanwhile
		return noSuchIssue(c)
	}
	i := slices.IndexFunc(transitions, func(s transition) bool { return s.ID == id })
	from, to := statusOf(old.Status), statusOf(transitions[i].to)
	items := []changeItem{item("status", "status", from.ID, from.Name, to.ID, to.Name)}
	if to.category == categoryDone && old.Resolved == 0 {
		items = append(items, item("resolution", "resolution", "", "", "10000", "Done"))
	} else if to.category != categoryDone && old.Resolved > 0 {
		items = append(items, item("resolution", "resolution", "10000", "Done", "", ""))
	}
	x := t.touch(c, old, items...)
	x.enter(to.ID, max(x.Updated, old.Updated))
	if no := t.save(x); no != nil {
		return no
	}
	t.tellUpdate(c, x)
	if note == nil {
		return nil
	}
	_, no := t.comment(c, t.issues[issueID].Current(), note)
	return no
}

func (t *Tracker) listDeskTransitions(c *site.Call) {
	w, no := wire.ReadWindow(c)
	if no != nil {
		wire.WriteRefusal(c.W, c.R, no)
		return
	}
	var list []doc
	if t.read(c, func(x *issue) *wire.Refusal {
		for _, s := range offered(x.Status, c.As != "") {
			list = append(list, doc{"id": s.ID, "name": s.Name})
		}
		return nil
	}) {
		wire.WritePage(c, w, len(list), wire.Cut(list, w))
	}
}

func (t *Tracker) doDeskTransition(c *site.Call) {
	var b struct {
		ID                string `json:"id"`
		AdditionalComment *struct {
			Body string `json:"body"`
		} `json:"additionalComment"`
	}
	no := wire.ReadBody(c, &b)
	var note *comment
	switch {
	case no != nil:
	case b.ID == "":
		no = wire.BadRequest("id is required.")
	case b.AdditionalComment != nil:
		note, no = plainComment(b.AdditionalComment.Body, true)
	}
	if no == nil {
		no = t.transit(c, b.ID, note)
	}
	wire.Finish(c, no)
}

func (t *Tracker) listStatus(c *site.Call) {
	w, no := wire.ReadWindow(c)
	if no != nil {
		wire.WriteRefusal(c.W, c.R, no)
		return
	}
	var list []doc
	if t.read(c, func(x *issue) *wire.Refusal {
		for _, s := range slices.Backward(x.StatusLog) {
			list = append(list, statusDoc(s))
		}
		return nil
	}) {
		wire.WritePage(c, w, len(list), wire.Cut(list, w))
	}
}

func (t *Tracker) listSLA(c *site.Call) {
	w, no := wire.ReadWindow(c)
	if no == nil && c.As != "" {
		no = wire.Refuse(http.StatusForbidden, "sd.request.sla.forbidden", "Only agents can see SLA information.")
	}
	if no != nil {
		wire.WriteRefusal(c.W, c.R, no)
		return
	}
	var list []doc
	if t.read(c, func(x *issue) *wire.Refusal { list = slas(c, x); return nil }) {
		wire.WritePage(c, w, len(list), wire.Cut(list, w))
	}
}

func (t *Tracker) getSLA(c *site.Call) {
	var out doc
	if t.read(c, func(x *issue) *wire.Refusal {
		for _, s := range slas(c, x) {
			if s["id"] == c.Vars["slaMetricId"] && c.As == "" {
				out = s
				return nil
			}
		}
		return wire.Refuse(http.StatusNotFound, "sd.request.sla.not.found", "The SLA metric does not exist on this request.")
	}) {
		wire.WriteJSON(c.W, http.StatusOK, out)
	}
}

// slas renders an issue's measurements as they are now.
func slas(c *site.Call, x *issue) []doc {
	var list []doc
	now := c.Now.UnixMicro()
	for _, m := range []struct {
		metric
		cycles []cycle
	}{{metricResponse, x.Response}, {metricResolution, x.Resolution}} {
		d := doc{
			"id": m.ID, "name": m.Name, "completedCycles": []doc{},
			"_links": wire.SelfLink{Self: wire.Rest(c.Base, "/servicedeskapi/request/"+strconv.FormatInt(x.ID, 10)+"/sla/"+m.ID)},
		}
		done := []doc{}
		for _, y := range m.cycles {
			e := y.elapsed(now)
			one := doc{
				"startTime": wire.NewDate(y.Start), "breachTime": wire.NewDate(y.breach(m.Goal, now)), "breached": e > m.Goal.Microseconds(),
				"goalDuration": span(m.Goal.Microseconds()), "elapsedTime": span(e), "remainingTime": span(m.Goal.Microseconds() - e),
			}
			if y.Stop > 0 {
				one["stopTime"] = wire.NewDate(y.Stop)
				done = append(done, one)
				continue
			}
			one["paused"], one["withinCalendarHours"] = y.PausedAt > 0, true
			d["ongoingCycle"] = one
		}
		d["completedCycles"] = done
		list = append(list, d)
	}
	return list
}

// span is a duration as the vendor writes it, negative past the goal.
func span(micros int64) doc {
	sign, minutes := "", micros/60_000_000
	if minutes < 0 {
		sign, minutes = "-", -minutes
	}
	return doc{"millis": micros / 1000, "friendly": sign + strconv.FormatInt(minutes/60, 10) + "h " + strconv.FormatInt(minutes%60, 10) + "m"}
}
