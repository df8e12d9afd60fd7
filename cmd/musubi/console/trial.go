package console

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
)

// Text is something in both languages, Japanese first.
type Text = label

// ErrTrialBusy says that another trial is under way.
var ErrTrialBusy = errors.New("another trial is under way")

// ErrTrialGone says that what the page offered can't be tried any more, because it was done meanwhile, say.
var ErrTrialGone = errors.New("what was offered can't be tried any more")

// Trials are the things to try in a demonstration. They really happen, by the same calls as the commands'.
type Trials interface {
	// Offers says what can be tried now, and on whom.
	Offers(ctx context.Context, actor access.Actor) ([]Offer, error)
	// Begin does what was offered, on behalf of actor, and gives the id of its story at once. subject is the Offer's, as the page showed it.
	// ErrTrialBusy, ErrTrialGone.
	Begin(ctx context.Context, actor access.Actor, kind, subject string) (story string, err error)
	// Story tells what has happened so far; ok is false where there is none.
	Story(id string) (s Story, ok bool)
	// Stories lists the stories, newest first.
	Stories() []Story
	// Other opens the console as the other of the two administrators: the path of a one-time address.
	Other(ctx context.Context, actor access.Actor) (path string, err error)
	// Places are the stand-ins' own pages, to look at.
	Places() []Place
	// OtherName is whom Other opens it as.
	OtherName(actor access.Actor) string
}

// Place is a page outside the console.
type Place struct {
	Name Text
	URL  string
}

// Offer is one thing to try.
type Offer struct {
	Kind     string // part of its path
	Subject  string // names what it is about, exactly
	Title    Text
	About    Text   // what will happen, to whom
	Steps    []Text // what to expect
	Button   Text
	Command  string // the command that does the same
	Disabled Text   // why it can't be tried now; empty: it can
}

// Story is what happened in one trial.
type Story struct {
	ID      string
	Kind    string
	Title   Text
	Began   time.Time
	Ended   time.Time // zero: not yet
	Outcome Text      // how it ended
	Failed  bool
	Events  []Event // by time
	Now     []Standing
}

// EventKind is where an event was seen.
type EventKind string

// The kinds of event.
const (
	EventAsked EventKind = "asked" // what a person did
	EventJob   EventKind = "job"   // the hub's durable work
	EventCall  EventKind = "call"  // a call to a SaaS, and its answer
	EventTruth EventKind = "truth" // what the SaaS holds now
	EventPlan  EventKind = "plan"  // a plan's way
	EventMail  EventKind = "mail"
)

// Event is one line of a story.
type Event struct {
	At     time.Time
	Kind   EventKind
	Text   Text
	Detail string // a vendor's or a job's own words
	Tone   string // as a badge's
	Count  int    // how often it happened in a row; 0 is once
}

// Standing is what one SaaS shows now.
type Standing struct {
	Name   string
	State  Text
	Tone   string
	Detail []Text
	Link   string // where a person looks at it
}

func eventBadge(k EventKind, tone string) badge {
	switch k {
	case EventAsked:
		return badge{label{"操作", "asked"}, "info"}
	case EventJob:
		return badge{label{"ハブの処理", "job"}, tone}
	case EventCall:
		return badge{label{"SaaS の応答", "call"}, tone}
	case EventTruth:
		return badge{label{"SaaS の状態", "state"}, tone}
	case EventPlan:
		return badge{label{"計画", "plan"}, tone}
	case EventMail:
		return badge{label{"メール", "mail"}, tone}
	}
	return badge{label{string(k), ""}, tone}
}

type triesBody struct {
	Offers  []Offer
	Stories []storyRow
	Other   string // whom the other administrator's form opens the console as
	Switch  *form  // nil: people log in, and each as themselves
	Places  []Place
}

type storyRow struct {
	Story
	State badge
	Took  label
}

type tryBody struct {
	Offer
	Form form
}

type storyBody struct {
	storyRow
	Events []eventRow
}

type eventRow struct {
	Event
	Badge badge
	After string // seconds since the beginning
}

// trying holds a page of trials to a demonstration and to those who may do everything there.
func (c *Console) trying(v viewer) error {
	switch {
	case c.cfg.Trials == nil:
		return identity.ErrNotFound
	case !v.mayReadPlans():
		return fmt.Errorf("try something: %w", identity.ErrRefused)
	}
	return nil
}

func storyRowOf(s Story) storyRow {
	row := storyRow{Story: s, State: badge{label{"進行中", "under way"}, "info"}}
	switch {
	case s.Failed:
		row.State = badge{label{"終わりませんでした", "not finished"}, "error"}
	case !s.Ended.IsZero():
		row.State = badge{label{"完了", "done"}, "success"}
	}
	if !s.Ended.IsZero() {
		row.Took = label{fmt.Sprintf("%.1f 秒", s.Ended.Sub(s.Began).Seconds()), fmt.Sprintf("%.1f s", s.Ended.Sub(s.Began).Seconds())}
	}
	return row
}

func (c *Console) triesPage(ctx context.Context, w http.ResponseWriter, r *http.Request, v viewer) error {
	if err := c.trying(v); err != nil {
		return err
	}
	body := triesBody{Other: c.cfg.Trials.OtherName(v.actor), Places: c.cfg.Trials.Places()}
	if c.cfg.Login == nil {
		f := c.formOf(r, "/try/other", "")
		body.Switch = &f
	}
	var err error
	if body.Offers, err = c.cfg.Trials.Offers(ctx, v.actor); err != nil {
		return err
	}
	for _, s := range c.cfg.Trials.Stories() {
		body.Stories = append(body.Stories, storyRowOf(s))
	}
	return c.show(w, r, v, c.pages.tries, frame{label: label{"試してみる", "Things to try"}, Section: "try", Body: body})
}

func (c *Console) offer(ctx context.Context, v viewer, kind string) (Offer, error) {
	offers, err := c.cfg.Trials.Offers(ctx, v.actor)
	if err != nil {
		return Offer{}, err
	}
	for _, o := range offers {
		if o.Kind == kind {
			return o, nil
		}
	}
	return Offer{}, identity.ErrNotFound
}

// tryPage asks whether it shall really happen.
func (c *Console) tryPage(ctx context.Context, w http.ResponseWriter, r *http.Request, v viewer) error {
	if err := c.trying(v); err != nil {
		return err
	}
	o, err := c.offer(ctx, v, r.PathValue("kind"))
	if err != nil {
		return err
	}
	body := tryBody{o, c.formOf(r, "/try/"+o.Kind, o.Subject)}
	return c.show(w, r, v, c.pages.try, frame{label: o.Title, Section: "try", Body: body, Crumbs: []crumb{{label{"試してみる", "Things to try"}, "/try"}}})
}

func (c *Console) try(ctx context.Context, w http.ResponseWriter, r *http.Request, v viewer, in submitted) error {
	if err := c.trying(v); err != nil {
		return err
	}
	id, err := c.cfg.Trials.Begin(ctx, v.actor, r.PathValue("kind"), in.seen)
	switch {
	case errors.Is(err, ErrTrialGone):
		return changedMeanwhile("/try")
	case errors.Is(err, ErrTrialBusy):
		return conflict{message{
			label: label{"ほかの試行が進行中です", "Another trial is under way"},
			Say:   label{"一度に一つずつ試せます。数秒で終わります。", "One at a time: it ends within seconds."}, Back: "/try",
		}}
	case err != nil:
		return refusal(err, "/try")
	}
	http.Redirect(w, r, "/try/stories/"+id, http.StatusSeeOther) //nolint:gosec // G710: a path of ours, and the id is drawn here
	return nil
}

func (c *Console) storyPage(_ context.Context, w http.ResponseWriter, r *http.Request, v viewer) error {
	if err := c.trying(v); err != nil {
		return err
	}
	s, ok := c.cfg.Trials.Story(r.PathValue("id"))
	if !ok {
		return identity.ErrNotFound
	}
	body := storyBody{storyRow: storyRowOf(s)}
	for _, e := range s.Events {
		body.Events = append(body.Events, eventRow{e, eventBadge(e.Kind, e.Tone), fmt.Sprintf("%.1f", max(e.At.Sub(s.Began), 0).Seconds())})
	}
	f := frame{label: s.Title, Section: "try", Body: body, Crumbs: []crumb{{label{"試してみる", "Things to try"}, "/try"}}}
	if s.Ended.IsZero() {
		f.Refresh = keepUp(w, r, time.Second)
	}
	return c.show(w, r, v, c.pages.story, f)
}

// other goes on as the other administrator, so that one visitor sees both sides of an approval.
func (c *Console) other(ctx context.Context, w http.ResponseWriter, r *http.Request, v viewer, _ submitted) error {
	if err := c.trying(v); err != nil {
		return err
	}
	path, err := c.cfg.Trials.Other(ctx, v.actor)
	if err != nil {
		return refusal(err, "/try")
	}
	http.Redirect(w, r, path, http.StatusSeeOther)
	return nil
}
