package policies

import (
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/cedar-policy/cedar-go"
)

// Engine answers questions against one policy set. It never changes and remembers nothing, so it is safe for concurrent use;
// whoever asks for a population asks through policies/classes.
type Engine struct {
	set      Set
	byAction map[string][]compiled // only the policies whose action scope can match
	narrowed map[string]bool       // action -> a forbid reads the resource, so that no scope over all is minted
	reads    map[string]Reads      // action -> what those policies read
}

// compiled is a policy with what the engine learned from its syntax tree.
type compiled struct {
	id     cedar.PolicyID
	policy *cedar.Policy
	wide   bool // what it permits on the workspace it permits on every organization
}

// Context is the circumstances of a request that aren't attributes of actor or resource.
type Context struct {
	// PlanMaker is who made the plan in question. Required for ActionPlanApprove, ignored for every other action.
	PlanMaker PersonID
}

// NewEngine compiles set.
func NewEngine(set Set) (*Engine, error) {
	if len(set.policies) == 0 || set.hash == "" {
		return nil, fmt.Errorf("policies: an engine needs a loaded policy set")
	}
	e := &Engine{set: set, byAction: map[string][]compiled{}, narrowed: map[string]bool{}, reads: map[string]Reads{}}
	for _, action := range actionNames() {
		var reads Reads
		for _, p := range set.policies {
			tree := syntaxTree(p.Cedar)
			if !mayApply(tree, action) {
				continue
			}
			var of reader
			of.policy(tree)
			// A policy that looks an organization up by name finds it in questions about that organization, and nowhere else.
			onResource := readsResource(tree) || of.r.Thing
			e.byAction[action] = append(e.byAction[action], compiled{
				id: cedar.PolicyID(p.ID), policy: p.Cedar, wide: !onResource,
			})
			if p.Cedar.Effect() == cedar.Forbid && onResource {
				e.narrowed[action] = true
			}
			reads = reads.union(of.result())
		}
		e.reads[action] = reads
	}
	return e, nil
}

func actionNames() []string {
	var names []string
	for _, a := range Actions() {
		names = append(names, string(a))
	}
	for _, s := range Seats() {
		names = append(names, seatAction(s))
	}
	return append(append(names, actionStanding), entranceActions()...)
}

// Hash is the hash of the policy set.
func (e *Engine) Hash() string { return e.set.hash }

// Policies lists the engine's policies by id.
func (e *Engine) Policies() []Policy { return e.set.Policies() }

// Evaluate decides whether actor may do action to resource. It refuses ActionPlanApprove, whose answer depends on who made
// the plan: use EvaluateWith. An error means that there is no answer, and the caller must deny.
func (e *Engine) Evaluate(actor Person, action Action, resource Organization) (Decision, error) {
	return e.EvaluateWith(actor, action, resource, Context{})
}

// EvaluateWith is Evaluate with the circumstances of the request.
func (e *Engine) EvaluateWith(actor Person, action Action, resource Organization, c Context) (Decision, error) {
	if err := e.CheckQuestion(actor, action, &resource, c); err != nil {
		return Decision{}, err
	}
	d, _, err := e.ask(actor, string(action), orgUID(resource.ID), &resource, contextRecord(action, actor, c))
	return d, err
}

// EvaluateWorkspace decides whether actor may do action to the workspace as a whole.
func (e *Engine) EvaluateWorkspace(actor Person, action Action, c Context) (Decision, error) {
	if err := e.CheckQuestion(actor, action, nil, c); err != nil {
		return Decision{}, err
	}
	d, _, err := e.ask(actor, string(action), workspaceUID(), nil, contextRecord(action, actor, c))
	return d, err
}

// Scope mints the right of actor to do action to those of orgs that the policies permit, or to every organization, present
// and future, where they permit it on the whole workspace. A scope that covers nothing is no error: see Scope.Denied. It
// refuses ActionPlanApprove: use ScopeWith.
func (e *Engine) Scope(actor Person, action Action, orgs []Organization) (Scope, error) {
	return e.ScopeWith(actor, action, orgs, Context{})
}

// ScopeWith is Scope with the circumstances of the request.
func (e *Engine) ScopeWith(actor Person, action Action, orgs []Organization, c Context) (Scope, error) {
	if err := e.CheckQuestion(actor, action, nil, c); err != nil {
		return Scope{}, err
	}
	s := Scope{actor: actor.ID, action: action, hash: e.set.hash}
	ctx := contextRecord(action, actor, c)
	whole, wide, err := e.ask(actor, string(action), workspaceUID(), nil, ctx)
	if err != nil {
		return Scope{}, err
	}
	// A permit that tests the workspace itself says nothing of its members, and a forbid that reads the resource may hold for
	// one of them: in both cases each organization is asked for.
	if whole.Allow && wide && !e.narrowed[string(action)] {
		s.all, s.reason = true, strings.Join(whole.Policies, ", ")
		return s, nil
	}
	reasons := map[string]bool{}
	reads, answers := e.reads[string(action)], map[likeness]Decision{}
	for _, org := range orgs {
		if err := checkThing(actor, action, org); err != nil {
			return Scope{}, err
		}
		like := likenessOf(reads, actor, org)
		d, known := answers[like]
		if !known {
			if d, _, err = e.ask(actor, string(action), orgUID(org.ID), &org, ctx); err != nil {
				return Scope{}, err
			}
			answers[like] = d
		}
		if d.Allow {
			s.orgs = append(s.orgs, org.ID)
			for _, id := range d.Policies {
				reasons[id] = true
			}
		}
	}
	slices.Sort(s.orgs)
	s.orgs = slices.Compact(s.orgs)
	s.reason = strings.Join(sortedKeys(reasons), ", ")
	return s, nil
}

// CheckQuestion refuses a question that has no answer: an unknown word in it, an approval without the plan's maker, or an
// organization that is described in two ways. resource is nil where the question is about the workspace.
func (e *Engine) CheckQuestion(actor Person, action Action, resource *Organization, c Context) error {
	if err := actor.Check(); err != nil {
		return err
	}
	if groupOf(string(action)) != groupAdministration {
		return fmt.Errorf("policies: unknown action %q; there are %q", action, Actions())
	}
	if action == ActionPlanApprove && c.PlanMaker == "" {
		return fmt.Errorf("policies: %s can't be decided without the plan's maker: give Context.PlanMaker", action)
	}
	if resource == nil {
		return nil
	}
	return checkThing(actor, action, *resource)
}

func checkThing(actor Person, action Action, thing Organization) error {
	if err := thing.Check(); err != nil {
		return fmt.Errorf("policies: %s: %w", action, err)
	}
	if thing.ID == actor.Org.ID && thing != actor.Org {
		return fmt.Errorf("policies: %s: organization %s is described in two ways", action, thing.ID)
	}
	return nil
}

// Reads tells what the policies of action read of a request.
func (e *Engine) Reads(action Action) Reads { return e.reads[string(action)] }

// SeatReads tells what the policies of every kind of seat read of a request.
func (e *Engine) SeatReads() Reads {
	var all Reads
	for _, s := range Seats() {
		all = all.union(e.reads[seatAction(s)])
	}
	return all
}

// ask evaluates one request. wide reports whether a permitting policy holds for the workspace and its members alike. An
// error in any policy is an error of the whole: Cedar would skip the policy, and a skipped forbid opens a door.
func (e *Engine) ask(p Person, action string, resource cedar.EntityUID, org *Organization, ctx cedar.Record) (Decision, bool, error) {
	return e.askFacts(&facts{person: p, action: action, thing: org}, resource, ctx)
}

func (e *Engine) askFacts(f *facts, resource cedar.EntityUID, ctx cedar.Record) (Decision, bool, error) {
	relevant := e.byAction[f.action]
	verdict, diag := cedar.Authorize(policyList(relevant), f, cedar.Request{
		Principal: cedar.NewEntityUID(typePerson, cedar.String(f.person.ID)),
		Action:    actionUID(f.action),
		Resource:  resource,
		Context:   ctx,
	})
	if len(diag.Errors) > 0 {
		first := diag.Errors[0]
		return Decision{}, false, fmt.Errorf("policies: policy %s (%s:%d) can't be evaluated for %s: %s",
			first.PolicyID, first.Position.Filename, first.Position.Line, f.action, first.Message)
	}
	d := Decision{Allow: verdict == cedar.Allow, Hash: e.set.hash}
	wide := false
	for _, r := range diag.Reasons {
		d.Policies = append(d.Policies, string(r.PolicyID))
		for _, c := range relevant {
			wide = wide || (c.id == r.PolicyID && c.wide)
		}
	}
	slices.Sort(d.Policies)
	return d, wide && d.Allow, nil
}

// policyList is what Cedar iterates: the policies of one action, by id.
type policyList []compiled

// All implements cedar.PolicyIterator.
func (l policyList) All() iter.Seq2[cedar.PolicyID, *cedar.Policy] {
	return func(yield func(cedar.PolicyID, *cedar.Policy) bool) {
		for _, c := range l {
			if !yield(c.id, c.policy) {
				return
			}
		}
	}
}

func sortedKeys(m map[string]bool) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
