package trial

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/cmd/musubi/console"
	"github.com/musubi-hub/musubi/connectors/outbound"
	"github.com/musubi-hub/musubi/connectors/sandbox"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/jobs"
	"github.com/musubi-hub/musubi/sync/provision"
)

// sampleEvery is how often jobs and SaaS are looked at while a story goes on.
const sampleEvery = 100 * time.Millisecond

// maxEvents bounds a story.
const maxEvents = 500

// story is a console.Story with what is needed to go on telling it. Trials.mu guards it.
type story struct {
	console.Story
	email string // whose accounts are looked at
	seen  map[string]holding
}

// holding is what one SaaS holds of somebody.
type holding struct {
	accounts, active int
	groups           []string
}

func (s *story) copy() console.Story {
	out := s.Story
	out.Events = slices.Clone(s.Events)
	slices.SortStableFunc(out.Events, func(a, b console.Event) int { return a.At.Compare(b.At) })
	out.Now = slices.Clone(s.Now)
	return out
}

func (s *story) add(e console.Event) {
	if len(s.Events) < maxEvents {
		s.Events = append(s.Events, e)
	}
}

// call tells an answer of a SaaS; the same answer in a row is told once.
func (s *story) call(at time.Time, o outbound.Observation) {
	e := console.Event{At: at, Kind: console.EventCall, Tone: "success", Count: 1}
	answer := fmt.Sprint(o.Status)
	answerEN := answer
	switch {
	case o.Status == 0:
		answer, answerEN, e.Tone = "応答なし", "no answer", "error"
	case o.Status >= 400:
		e.Tone = "warning"
	}
	e.Text = console.Text{JA: fmt.Sprintf("%s %s → %s", productName(o.Vendor), o.Op, answer), EN: fmt.Sprintf("%s, %d ms", answerEN, o.Duration.Milliseconds())}
	for i := len(s.Events) - 1; i >= 0; i-- {
		if last := &s.Events[i]; last.Kind == console.EventCall {
			if last.Text.JA == e.Text.JA {
				last.Count++
				return
			}
			break
		}
	}
	s.add(e)
}

func productName(name string) string {
	switch name {
	case sandbox.Atlassian:
		return "Atlassian"
	case sandbox.Jira:
		return "Jira"
	case sandbox.Slack:
		return "Slack"
	case sandbox.Mail:
		return "メール"
	}
	return name
}

// tell adds an event now.
func (a *act) tell(kind console.EventKind, tone, ja, en string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.story.add(console.Event{At: a.now(), Kind: kind, Tone: tone, Text: console.Text{JA: ja, EN: en}})
}

// watch tells what jobs do and what the SaaS hold, until ctx ends, and once more then.
func (a *act) watch(ctx context.Context) {
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	w := watcher{act: a, jobs: map[int64]jobs.Record{}}
	for {
		w.sample()
		select {
		case <-ctx.Done():
			w.sample()
			return
		case <-tick.C:
		}
	}
}

type watcher struct {
	*act
	jobs map[int64]jobs.Record
}

func (w *watcher) sample() {
	ctx, cancel := context.WithTimeout(w.Trials.ctx, 5*time.Second)
	defer cancel()
	list, err := w.Hub.Jobs.List(ctx, jobs.Filter{}, jobs.Page{Limit: 200})
	if err != nil {
		w.Hub.Log.Warn("demonstration: the jobs can't be read", "error", err)
	}
	now := w.hold()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, j := range list {
		if j.ID > w.before && j.Kind != "" {
			w.job(j)
		}
	}
	w.truth(now)
}

// job tells that a job was put into the queue, is tried again, or has ended.
func (w *watcher) job(j jobs.Record) {
	last, known := w.jobs[j.ID]
	w.jobs[j.ID] = j
	name := jobName(j)
	detail := fmt.Sprintf("%s #%d, queue %s", j.Kind, j.ID, j.Queue)
	if !known {
		w.story.add(console.Event{At: j.CreatedAt, Kind: console.EventJob, Text: console.Text{JA: name.JA + "を受け付けた", EN: name.EN + ": put into the queue"}, Detail: detail})
	}
	if !j.EndedAt.IsZero() && last.EndedAt.IsZero() {
		e := console.Event{At: j.EndedAt, Kind: console.EventJob, Tone: "success", Detail: detail, Text: console.Text{JA: name.JA + "を終えた", EN: name.EN + ": done"}}
		if slices.Contains(jobs.DeadLetters(), j.State) {
			e.Tone, e.Text, e.Detail = "error", console.Text{JA: name.JA + "に失敗した", EN: name.EN + ": failed"}, detail+": "+j.LastError
		}
		w.story.add(e)
		return
	}
	if known && j.EndedAt.IsZero() && j.DueAt.After(last.DueAt) && j.Kind != (provision.ApplyArgs{}).Kind() { // that one follows the others
		w.story.add(console.Event{At: w.now(), Kind: console.EventJob, Tone: "warning", Detail: detail, Text: console.Text{JA: name.JA + "は待って、もう一度試す", EN: name.EN + ": waits and is tried again"}})
	}
}

func jobName(j jobs.Record) console.Text {
	switch j.Kind {
	case provision.LeaverArgs{}.Kind():
		return console.Text{JA: "退職者の停止 (" + productName(strings.TrimSuffix(j.Queue, "_urgent")) + ")", EN: "end a leaver's access"}
	case provision.ApplyArgs{}.Kind():
		return console.Text{JA: "計画の展開", EN: "stage the plan"}
	case provision.OpArgs{}.Kind():
		return console.Text{JA: "SaaS への操作 (" + productName(j.Queue) + ")", EN: "an operation"}
	case "directory.activate.v1":
		return console.Text{JA: "発令", EN: "transfers take effect"}
	case "directory.notice.v1":
		return console.Text{JA: "管理者への通知", EN: "a notice"}
	}
	return console.Text{JA: j.Kind, EN: "job"}
}

// hold looks at what the SaaS hold of the story's person.
func (w *watcher) hold() map[string]holding {
	w.mu.Lock()
	email := w.story.email
	w.mu.Unlock()
	return holdings(w.World, email)
}

func holdings(world World, email string) map[string]holding {
	out := map[string]holding{}
	for product, opened := range world.Hub.Open {
		if opened.AccountWriter == nil {
			continue
		}
		state, err := world.Box.State(string(product))
		if err != nil {
			continue // no stand-in of it
		}
		h := holding{}
		for _, account := range state.Accounts {
			if !strings.EqualFold(account.Email, email) {
				continue
			}
			h.accounts++
			if account.Active {
				h.active++
			}
			h.groups = append(h.groups, account.Groups...)
		}
		slices.Sort(h.groups)
		out[string(product)] = h
	}
	return out
}

// truth tells how what the SaaS hold differs from what they held.
func (w *watcher) truth(now map[string]holding) {
	at := w.now()
	var names []string
	for name := range now {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Compare(productOrder(a), productOrder(b)) })
	var standing []console.Standing
	for _, name := range names {
		h := now[name]
		if last, known := w.story.seen[name]; known {
			for _, text := range difference(productName(name), last, h) {
				w.story.add(console.Event{At: at, Kind: console.EventTruth, Tone: "info", Text: text})
			}
		}
		standing = append(standing, standingOf(w.World, name, h))
	}
	w.story.seen, w.story.Now = now, standing
}

func productOrder(name string) int { return slices.Index(policies.Products(), policies.Product(name)) }

// difference tells in words what has changed between two looks.
func difference(product string, a, b holding) []console.Text {
	var out []console.Text
	say := func(ja, en string) { out = append(out, console.Text{JA: product + ": " + ja, EN: en}) }
	for _, g := range a.groups {
		if !slices.Contains(b.groups, g) {
			say("「"+g+"」から外れた", "out of the group")
		}
	}
	switch {
	case b.accounts > a.accounts:
		say("アカウントができた", "the account is there")
	case b.accounts < a.accounts:
		say("アカウントがなくなった", "the account is gone")
	}
	switch {
	case b.active < a.active:
		say("アカウントが停止した", "the account is disabled")
	case b.active > a.active && b.accounts == a.accounts:
		say("アカウントが利用できるようになった", "the account is enabled")
	}
	for _, g := range b.groups {
		if !slices.Contains(a.groups, g) {
			say("「"+g+"」に入った", "into the group")
		}
	}
	return out
}

func standingOf(world World, name string, h holding) console.Standing {
	s := console.Standing{Name: productName(name), Link: "http://" + world.Address + "/" + name + "/"}
	switch {
	case h.active > 1:
		s.State, s.Tone = console.Text{JA: fmt.Sprintf("利用中 %d 件 (重複)", h.active), EN: "duplicates"}, "error"
	case h.active == 1:
		s.State, s.Tone = console.Text{JA: "利用中", EN: "active"}, "success"
	case h.accounts > 0:
		s.State = console.Text{JA: "停止", EN: "disabled"}
	default:
		s.State = console.Text{JA: "アカウントなし", EN: "no account"}
	}
	switch {
	case len(h.groups) > 0:
		s.Detail = append(s.Detail, console.Text{JA: "所属: " + strings.Join(h.groups, "、"), EN: "groups"})
	case h.accounts > 0:
		s.Detail = append(s.Detail, console.Text{JA: "所属: なし", EN: "no group"})
	}
	return s
}
