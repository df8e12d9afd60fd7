package trial

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/cmd/musubi/console"
	"github.com/musubi-hub/musubi/connectors/outbound"
	"github.com/musubi-hub/musubi/connectors/sandbox"
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/directory"
	"github.com/musubi-hub/musubi/policies"
)

// The kinds of trial.
const (
	KindLeaver   = "leaver"
	KindTransfer = "transfer"
	KindFault    = "fault"
)

// patience is how long a story is followed before it is said not to have ended.
const patience = 60 * time.Second

// maxStories bounds the stories that are remembered; the oldest go.
const maxStories = 50

// World is what the trials act on.
type World struct {
	Hub       *boot.Hub
	Box       *sandbox.Sandbox
	Address   string            // of the sandbox, host:port
	Transport http.RoundTripper // to the sandbox's /_control
	Approve   func(ctx context.Context, actor access.Actor, hash string) error
	Start     func(ctx context.Context, actor access.Actor, hash string) error
}

// Trials implements console.Trials. It is safe for concurrent use.
type Trials struct {
	now func() time.Time

	mu      sync.Mutex
	world   World
	ctx     context.Context //nolint:containedctx // of the process: what a trial began goes on when its page has gone
	admins  []access.Actor  // empty: the demonstration isn't ready
	stories []*story        // newest last
	busy    bool
	running sync.WaitGroup
	made    int
}

var _ console.Trials = (*Trials)(nil)

// New makes trials that aren't ready yet: Observe may be called from the start.
func New(now func() time.Time) *Trials { return &Trials{now: now} }

// Ready lets the trials begin: the main job is done, and these are the two administrators. ctx ends what is under way.
func (t *Trials) Ready(ctx context.Context, world World, planner, approver access.Actor) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ctx, t.world, t.admins = ctx, world, []access.Actor{planner, approver}
}

// Wait returns when nothing is under way.
func (t *Trials) Wait() { t.running.Wait() }

// Observe is told of each answer of a SaaS.
func (t *Trials) Observe(o outbound.Observation) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.stories {
		if s.Ended.IsZero() {
			s.call(t.now(), o)
		}
	}
}

// Story implements console.Trials.
func (t *Trials) Story(id string) (console.Story, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.stories {
		if s.ID == id {
			return s.copy(), true
		}
	}
	return console.Story{}, false
}

// Stories implements console.Trials.
func (t *Trials) Stories() []console.Story {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []console.Story
	for i := len(t.stories) - 1; i >= 0; i-- {
		out = append(out, t.stories[i].copy())
	}
	return out
}

// ready gives the world; ok is false while the demonstration is still doing its main job.
func (t *Trials) ready() (World, []access.Actor, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.world, t.admins, len(t.admins) == 2
}

// another gives the administrator who isn't actor.
func another(actor access.Actor, admins []access.Actor) (access.Actor, error) {
	for _, a := range admins {
		if a.ID() != actor.ID() {
			return a, nil
		}
	}
	return access.Actor{}, fmt.Errorf("the other administrator: %w", identity.ErrNotFound)
}

// OtherName implements console.Trials.
func (t *Trials) OtherName(actor access.Actor) string {
	_, admins, ok := t.ready()
	if !ok {
		return ""
	}
	other, err := another(actor, admins)
	if err != nil {
		return ""
	}
	return other.Person.DisplayName()
}

// Places implements console.Trials.
func (t *Trials) Places() []console.Place {
	world, _, ok := t.ready()
	if !ok {
		return nil
	}
	var out []console.Place
	for _, p := range []struct{ name, ja, en string }{
		{sandbox.Atlassian, "Atlassian の利用者とグループ", "Atlassian: users and groups"},
		{sandbox.Jira, "Jira の顧客と組織", "Jira: customers and organizations"},
		{sandbox.Slack, "Slack の利用者とチャンネル", "Slack: users and channels"},
		{sandbox.Mail, "メールの受信箱", "Mail: what was sent"},
	} {
		out = append(out, console.Place{Name: console.Text{JA: p.ja, EN: p.en}, URL: "http://" + world.Address + "/" + p.name + "/"})
	}
	return out
}

// Other implements console.Trials. Only the demonstration's own two administrators may change places.
func (t *Trials) Other(ctx context.Context, actor access.Actor) (string, error) {
	world, admins, ok := t.ready()
	if !ok {
		return "", console.ErrTrialBusy
	}
	if actor.ID() != admins[0].ID() && actor.ID() != admins[1].ID() {
		return "", fmt.Errorf("open the console as the other administrator: %w", identity.ErrRefused)
	}
	other, err := another(actor, admins)
	if err != nil {
		return "", err
	}
	return console.Ticket(ctx, world.Hub.DB, other, t.now(), rand.Reader)
}

func author(a access.Actor) directory.Author {
	return directory.Author{Actor: a.ScopeActor(), Source: "console", Why: "デモの試行", By: a}
}

// Begin implements console.Trials.
func (t *Trials) Begin(ctx context.Context, actor access.Actor, kind, subject string) (string, error) {
	world, admins, ok := t.ready()
	if !ok {
		return "", console.ErrTrialBusy
	}
	s, err := t.open(kind)
	if err != nil {
		return "", err
	}
	a := act{Trials: t, World: world, story: s, actor: actor}
	if a.other, err = another(actor, admins); err == nil {
		err = a.prepare(ctx)
	}
	var rest func(context.Context) (console.Text, error)
	if err == nil {
		switch kind {
		case KindLeaver:
			rest, err = a.leave(ctx, policies.PersonID(subject))
		case KindTransfer:
			rest, err = a.transfer(ctx, subject)
		case KindFault:
			rest, err = a.hire(ctx, policies.OrgID(subject))
		default:
			err = identity.ErrNotFound
		}
	}
	if err != nil {
		t.abandon(s)
		return "", err
	}
	t.running.Go(func() { t.follow(a, rest) })
	return s.ID, nil
}

// open begins a story, one at a time: what the SaaS answers meanwhile belongs to it.
func (t *Trials) open(kind string) (*story, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.busy {
		return nil, console.ErrTrialBusy
	}
	t.busy = true
	t.made++
	s := &story{Story: console.Story{ID: fmt.Sprint(t.made), Kind: kind, Began: t.now()}}
	t.stories = append(t.stories, s)
	if len(t.stories) > maxStories {
		t.stories = t.stories[1:]
	}
	return s, nil
}

// abandon forgets a story that never began.
func (t *Trials) abandon(s *story) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.busy = false
	for i := range t.stories {
		if t.stories[i] == s {
			t.stories = append(t.stories[:i], t.stories[i+1:]...)
			return
		}
	}
}

// follow watches until rest has seen the end.
func (t *Trials) follow(a act, rest func(context.Context) (console.Text, error)) {
	ctx, cancel := context.WithTimeout(t.ctx, patience)
	defer cancel()
	watching, stop := context.WithCancel(ctx)
	var watcher sync.WaitGroup
	watcher.Go(func() { a.watch(watching) })
	outcome, err := rest(ctx)
	if err == nil { // what was on its way when the end was seen is told too
		select {
		case <-ctx.Done():
		case <-time.After(2 * sampleEvery):
		}
	}
	stop()
	watcher.Wait()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.busy = false
	a.story.Ended, a.story.Outcome = t.now(), outcome
	if err == nil {
		return
	}
	a.story.Failed = true
	a.Hub.Log.Error("demonstration: a trial didn't end as it should", "kind", a.story.Kind, "error", err)
	a.story.Outcome = console.Text{JA: "時間内に終わりませんでした。ハブは続けています", EN: "It didn't end in time; the hub goes on with it"}
	if !errors.Is(err, context.DeadlineExceeded) {
		a.story.Outcome = console.Text{JA: "途中で問題が起きました。原因はハブの記録にあります", EN: "Something went wrong; the hub's log says what"}
	}
}
