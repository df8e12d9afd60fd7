package access

import (
	"errors"
	"fmt"
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

// Actor is who does something. Make it by Resolver.Authenticate, Resolver.Person, BreakGlass or System.
type Actor struct {
	Kind       Kind
	Person     identity.Person       // for KindPerson
	Org        identity.Organization // the person's
	OSUser     string                // for KindBreakGlass: the operating system user's name
	Credential string                // id of the local credential by which a person acts; empty otherwise
	Task       policies.SystemTask   // for KindSystem
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
	return a.Person.Policy(a.Org)
}

// AuditRow begins the row of something that the actor does at (UTC, microseconds).
func (a Actor) AuditRow(at int64, action string, outcome audit.Outcome) audit.Row {
	r := audit.Row{At: at, Actor: a.ID(), ActorKind: audit.ActorKind(a.Kind), Action: action, Outcome: outcome}
	if a.Credential != "" {
		r.Detail = map[string]any{"credential": a.Credential}
	}
	return r
}
