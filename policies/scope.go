package policies

import (
	"fmt"
	"slices"
	"strings"
)

// Scope is the right of one actor to do one thing to a closed set of organizations, or to all of them. It is minted by
// Engine.Scope and System alone. The zero value denies everything.
type Scope struct {
	actor  PersonID
	action Action
	all    bool
	orgs   []OrgID // sorted, unique
	hash   string
	reason string
}

// Actor is the person who acts; empty for a system scope.
func (s Scope) Actor() PersonID { return s.actor }

// Action is what the scope was minted for.
func (s Scope) Action() Action { return s.action }

// Hash is the hash of the policy set that minted the scope; empty for a system scope.
func (s Scope) Hash() string { return s.hash }

// Reason says in a few words why the scope exists: policy ids, or the system task.
func (s Scope) Reason() string { return s.reason }

// All reports whether the scope covers every organization.
func (s Scope) All() bool { return s.all }

// Denied reports whether the scope covers nothing at all.
func (s Scope) Denied() bool { return !s.all && len(s.orgs) == 0 }

// Orgs lists the organizations of a scope that doesn't cover all, sorted.
func (s Scope) Orgs() []OrgID { return slices.Clone(s.orgs) }

// Covers reports whether org is inside the scope.
func (s Scope) Covers(org OrgID) bool {
	if s.all {
		return true
	}
	_, found := slices.BinarySearch(s.orgs, org)
	return found
}

// For reports whether the scope may be used for action: a scope minted for reading never writes.
func (s Scope) For(action Action) bool { return s.action == action || s.system() }

func (s Scope) system() bool { return s.actor == "" && s.all && s.hash == "" && s.reason != "" }

// Where gives the SQL condition that keeps a query inside the scope, and its arguments. column is the organization id's
// column; next is the number of the first free placeholder. A denied scope gives a condition that is never true.
func (s Scope) Where(column string, next int) (condition string, args []any) {
	switch {
	case s.all:
		return "1=1", nil
	case len(s.orgs) == 0:
		return "1=0", nil
	}
	var b strings.Builder
	b.WriteString(column + " IN (")
	for i, org := range s.orgs {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "$%d", next+i)
		args = append(args, string(org))
	}
	b.WriteByte(')')
	return b.String(), args
}

// SystemTask names work that the hub does for nobody in particular. The list is closed: the layer test holds which package
// may use which task, and why.
type SystemTask string

// The system tasks.
const (
	TaskProvision SystemTask = "provision: compute wanted accounts of every organization"
	TaskBootstrap SystemTask = "bootstrap: create the operating agency and its first administrators"
	TaskSearch    SystemTask = "search: hold the contacts of everybody in memory; each search is scoped"
	TaskNotice    SystemTask = "notice: find the system administrators whom a notice is mailed to"
	TaskConsole   SystemTask = "console: count rows for health and metrics, no personal data"
	TaskSession   SystemTask = "session: end sessions of leavers and of credentials that were taken away" // in audit rows; mints no scope
	TaskLogin     SystemTask = "login: nobody is known yet"                                               // in audit rows; mints no scope
	TaskMetadata  SystemTask = "metadata: read what providers publish of themselves"                      // in audit rows; mints no scope
	TaskTest      SystemTask = "test"
)

// System mints a scope over all organizations for one of the hub's own tasks.
func System(task SystemTask) Scope { return Scope{all: true, reason: string(task)} }
