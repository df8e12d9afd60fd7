package access

import (
	"errors"
	"fmt"
	"slices"
	"unicode"
	"unicode/utf8"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/policies"
)

// Kind says what an actor is. The zero Kind is nobody, and may do nothing.
type Kind string

// The kinds of actor.
const (
	KindPerson     Kind = "person"
	KindBreakGlass Kind = "break_glass"
	KindSystem     Kind = "system"
)

// Actor is who does something. Make it by Resolver.Authenticate, Resolver.Person, Posts, BreakGlass or System.
type Actor struct {
	Kind       Kind
	Person     identity.Person       // for KindPerson
	Org        identity.Organization // the person's
	Relations  *Relations            // the person's, when the actor was loaded; nil for none
	OSUser     string                // for KindBreakGlass: the operating system user's name
	Credential string                // id of the local credential by which a person acts; empty otherwise
	Session    identity.SessionID    // of the browser by which a person acts; empty otherwise
	Task       policies.SystemTask   // for KindSystem

	// Post is the organization of the post in which the person acts, where that isn't the main one (Posts); empty otherwise. Person and Org are
	// then of that post, and no right of the main one goes with them.
	Post policies.OrgID
}

// Relations are the organizations other than their own that a person may have to do with, at one moment.
type Relations struct {
	Serves    []identity.Organization // that the person's organization serves as a contractor
	Caretakes []identity.Organization // that the person administers as a caretaker
}

// maxOSUser is the longest user name that is taken, in bytes; Linux allows 32.
const maxOSUser = 64

// BreakGlass is the operating system user acting without being a person of the directory: for setting the directory right
// when nobody in it can. Resolver audits everything it does, and it never approves or applies a plan.
func BreakGlass(osUser string) (Actor, error) {
	if osUser == "" {
		return Actor{}, errors.New("access: break-glass needs the operating system user's name, and there is none")
	}
	if len(osUser) > maxOSUser || !utf8.ValidString(osUser) {
		return Actor{}, fmt.Errorf("access: the operating system user's name is longer than %d bytes or not UTF-8", maxOSUser)
	}
	for _, r := range osUser {
		if !unicode.IsGraphic(r) {
			return Actor{}, errors.New("access: the operating system user's name has a character that can't be shown")
		}
	}
	return Actor{Kind: KindBreakGlass, OSUser: osUser}, nil
}

// System is the hub itself at one of its own tasks, for audit rows. It mints no scope: policies.System does.
func System(task policies.SystemTask) Actor { return Actor{Kind: KindSystem, Task: task} }

// ID names the actor in the audit log: a person's id, an operating system user, or a task.
func (a Actor) ID() string {
	switch a.Kind {
	case KindPerson:
		return string(a.Person.ID)
	case KindBreakGlass:
		return a.OSUser
	case KindSystem:
		return string(a.Task)
	default:
		return ""
	}
}

// ScopeActor is what Scope.Actor gives for scopes of this actor.
func (a Actor) ScopeActor() policies.PersonID {
	switch a.Kind {
	case KindPerson:
		return a.Person.ID
	case KindBreakGlass:
		return policies.BreakGlassActor
	default:
		return ""
	}
}

// Policy gives what policies may read of the actor; the zero Person, which no policy is asked about, for all but a person.
func (a Actor) Policy() policies.Person {
	if a.Kind != KindPerson {
		return policies.Person{}
	}
	p := a.Person.Policy(a.Org)
	if a.Relations != nil {
		p.Serves, p.Caretakes = idsOf(a.Relations.Serves), idsOf(a.Relations.Caretakes)
	}
	return p
}

// idsOf gives the ids as policies want them: sorted, each once.
func idsOf(orgs []identity.Organization) []policies.OrgID {
	if len(orgs) == 0 {
		return nil
	}
	ids := make([]policies.OrgID, len(orgs))
	for i, o := range orgs {
		ids[i] = o.ID
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// about gives the organizations to ask about: the actor's own, those that the actor serves or takes care of, and orgs. What the
// directory says of the first goes before what the caller does.
func (a Actor) about(orgs []policies.Organization) []policies.Organization {
	ask := []policies.Organization{a.Org.Policy()}
	known := map[policies.OrgID]bool{a.Org.ID: true}
	add := func(o policies.Organization) {
		if !known[o.ID] {
			known[o.ID] = true
			ask = append(ask, o)
		}
	}
	if a.Relations != nil {
		for _, o := range slices.Concat(a.Relations.Serves, a.Relations.Caretakes) {
			add(o.Policy())
		}
	}
	for _, o := range orgs {
		add(o)
	}
	return ask
}

// AuditRow begins the row of something that the actor does at (UTC, microseconds).
func (a Actor) AuditRow(at int64, action string, outcome audit.Outcome) audit.Row {
	r := audit.Row{At: at, Actor: a.ID(), ActorKind: audit.ActorKind(a.Kind), Action: action, Outcome: outcome}
	for name, value := range map[string]string{"credential": a.Credential, "session": string(a.Session), "post": string(a.Post)} {
		if value == "" {
			continue
		}
		if r.Detail == nil {
			r.Detail = map[string]any{}
		}
		r.Detail[name] = value
	}
	return r
}
