package policies

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
	"github.com/cedar-policy/cedar-go/x/exp/eval"
)

// MaxNearest is how many policies an explanation names as the closest.
const MaxNearest = 3

// Condition is one thing that a policy asks for, with what was the case.
type Condition struct {
	Cedar string `json:"cedar"` // as the policy writes it, or its negation
	Needs Text   `json:"needs"`
	Is    Text   `json:"is,omitzero"` // what was the case instead; empty where the condition holds or nothing can be said
}

// Account is what one policy had to say about a question.
type Account struct {
	ID      string      `json:"id"`
	File    string      `json:"file"`
	Line    int         `json:"line"`
	Met     []Condition `json:"met,omitempty"`
	Missing []Condition `json:"missing,omitempty"` // empty: the policy applies

	distance int // how many things would have to be otherwise, at least
}

// Explanation is a decision with its reasons.
type Explanation struct {
	Decision Decision
	Question Text      // who wants to do what to what
	Decisive []Account // the policies that decided; empty for a default deny
	// Nearest are the permits that a denied question came closest to, all with as few missing conditions as any; one that misses
	// nothing was overruled by a forbid. Empty where no permit speaks of the action at all.
	Nearest []Account
}

// Explain is EvaluateWith, or EvaluateWorkspace where resource is nil, with the reasons.
func (e *Engine) Explain(actor Person, action Action, resource *Organization, c Context) (Explanation, error) {
	if err := e.CheckQuestion(actor, action, resource, c); err != nil {
		return Explanation{}, err
	}
	uid := workspaceUID()
	what := Text{"全体 (ワークスペース)", "the whole workspace"}
	if resource != nil {
		uid = orgUID(resource.ID)
		kind := resource.Kind.Name()
		what = Text{kind.JA + " " + string(resource.ID), "the " + kind.EN + " " + string(resource.ID)}
	}
	name := action.Name()
	return e.explain(&facts{person: actor, action: string(action), thing: resource}, uid, contextRecord(action, actor, c), Text{
		JA: fmt.Sprintf("%sは、%s について「%s」(%s) ことができるか", describe(actor).JA, what.JA, name.JA, action),
		EN: fmt.Sprintf("may this person (%s) %s (%s) on %s?", describe(actor).EN, name.EN, action, what.EN),
	})
}

// ExplainSeat tells why p does or doesn't hold the seat in product.
func (e *Engine) ExplainSeat(p Person, seat Seat, product Product) (Explanation, error) {
	if err := p.Check(); err != nil {
		return Explanation{}, err
	}
	if !slices.Contains(Seats(), seat) {
		return Explanation{}, fmt.Errorf("policies: unknown seat %q; there are %q", seat, Seats())
	}
	if !slices.Contains(Products(), product) {
		return Explanation{}, fmt.Errorf("policies: unknown product %q; there are %q", product, Products())
	}
	name := seat.Name()
	return e.explain(&facts{person: p, action: seatAction(seat)}, cedar.NewEntityUID(typeProduct, cedar.String(product)), cedar.Record{}, Text{
		JA: fmt.Sprintf("%sは、%s の「%s」(%s) になるか", describe(p).JA, product, name.JA, seatAction(seat)),
		EN: fmt.Sprintf("shall this person (%s) be a %s (%s) of %s?", describe(p).EN, name.EN, seatAction(seat), product),
	})
}

// describe says of a person what policies read, and not who it is.
func describe(p Person) Text {
	kind, role := p.Org.Kind.Name(), p.Role.Name()
	t := Text{
		JA: fmt.Sprintf("%s %s の%s", kind.JA, p.Org.ID, role.JA),
		EN: fmt.Sprintf("%s of the %s %s", role.EN, kind.EN, p.Org.ID),
	}
	if n := len(p.Serves); n > 0 {
		t.JA += fmt.Sprintf(" (担当先 %d 組織)", n)
		t.EN += fmt.Sprintf(", which serves %d", n)
	}
	if n := len(p.Caretakes); n > 0 {
		t.JA += fmt.Sprintf(" (代行先 %d 組織)", n)
		t.EN += fmt.Sprintf(", caretaker of %d", n)
	}
	if !p.Active {
		t.JA = "在職を終えた、" + t.JA
		t.EN += ", service ended"
	}
	return t
}

func (e *Engine) explain(f *facts, resource cedar.EntityUID, ctx cedar.Record, question Text) (Explanation, error) {
	d, _, err := e.askFacts(f, resource, ctx)
	if err != nil {
		return Explanation{}, err
	}
	x := Explanation{Decision: d, Question: question}
	w := witness{env: eval.Env{
		Entities:  f,
		Principal: cedar.NewEntityUID(typePerson, cedar.String(f.person.ID)), Action: actionUID(f.action), Resource: resource, Context: ctx,
	}}
	var permits []Account
	for _, c := range e.byAction[f.action] {
		account := w.account(e.set, c)
		switch {
		case slices.Contains(d.Policies, account.ID):
			x.Decisive = append(x.Decisive, account)
		case c.policy.Effect() == cedar.Permit:
			permits = append(permits, account)
		}
	}
	if d.Allow || len(permits) == 0 {
		return x, nil
	}
	slices.SortStableFunc(permits, func(a, b Account) int {
		return cmp.Or(cmp.Compare(a.distance, b.distance), cmp.Compare(len(b.Met), len(a.Met)), strings.Compare(a.ID, b.ID))
	})
	for _, a := range permits[:min(MaxNearest, len(permits))] {
		if a.distance == permits[0].distance {
			x.Nearest = append(x.Nearest, a)
		}
	}
	return x, nil
}

// witness says of expressions whether they hold, and in what words.
type witness struct{ env eval.Env }

func (w witness) account(set Set, c compiled) Account {
	a := Account{ID: string(c.id)}
	for _, p := range set.policies {
		if p.ID == a.ID {
			a.File, a.Line = p.File, p.Line
		}
	}
	tree := syntaxTree(c.policy)
	anyAction := *tree // the action is part of the question: that it matches is no news
	anyAction.Action = ast.ScopeTypeAll{}
	f := w.weigh(eval.PolicyToNode(&anyAction).AsIsNode(), true)
	a.Met, a.Missing, a.distance = f.met, f.missing, f.distance
	return a
}

// finding is what an expression came to.
type finding struct {
	met, missing []Condition
	distance     int // how many conditions would have to be otherwise; 0 where the expression is as wanted
}

// weigh tells which of the conditions in n are met and which are missing for n to be want.
func (w witness) weigh(n ast.IsNode, want bool) finding {
	switch n := n.(type) {
	case ast.NodeTypeNot:
		return w.weigh(n.Arg, !want)
	case ast.NodeTypeAnd:
		if want {
			return w.all(n.Left, n.Right, want)
		}
		return w.either(n.Left, n.Right, want)
	case ast.NodeTypeOr:
		if want {
			return w.either(n.Left, n.Right, want)
		}
		return w.all(n.Left, n.Right, want)
	case ast.NodeTypeIsIn:
		if want {
			return w.all(n.NodeTypeIs, ast.NodeTypeIn{BinaryNode: ast.BinaryNode{Left: n.Left, Right: n.Entity}}, want)
		}
	case ast.NodeTypeIfThenElse:
		if w.is(n.If, true) {
			return join(w.weigh(n.If, true), w.weigh(n.Then, want))
		}
		return join(w.weigh(n.If, false), w.weigh(n.Else, want))
	case ast.NodeValue:
		if n.Value == types.Boolean(want) {
			return finding{}
		}
	}
	c := w.condition(n, want)
	if w.is(n, want) {
		c.Is = Text{}
		return finding{met: []Condition{c}}
	}
	return finding{missing: []Condition{c}, distance: 1}
}

// is reports whether n is want. What can't be computed, because a condition before it doesn't hold, isn't.
func (w witness) is(n ast.IsNode, want bool) bool {
	v, err := eval.Eval(n, w.env)
	return err == nil && v == types.Boolean(want)
}

func join(a, b finding) finding {
	return finding{met: slices.Concat(a.met, b.met), missing: slices.Concat(a.missing, b.missing), distance: a.distance + b.distance}
}

func (w witness) all(left, right ast.IsNode, want bool) finding {
	return join(w.weigh(left, want), w.weigh(right, want))
}

// either is met by the side that holds; where neither does, both together are one missing condition. Cedar looks at the right
// side only where the left one leaves the answer open.
func (w witness) either(left, right ast.IsNode, want bool) finding {
	l := w.weigh(left, want)
	if l.distance == 0 {
		return l
	}
	r := w.weigh(right, want)
	if r.distance == 0 {
		return r
	}
	return finding{distance: min(l.distance, r.distance), missing: []Condition{{
		Cedar: joined(l.missing, " && ", cedarOf) + " || " + joined(r.missing, " && ", cedarOf),
		Needs: Text{
			JA: "「" + joined(l.missing, "、かつ", needsJA) + "」または「" + joined(r.missing, "、かつ", needsJA) + "」",
			EN: "either " + group(l.missing) + " or " + group(r.missing),
		},
		Is: Text{JA: joined(distinct(l.missing, r.missing), "、", isJA), EN: joined(distinct(l.missing, r.missing), ", ", isEN)},
	}}}
}

// group puts several conditions in brackets.
func group(cs []Condition) string {
	text := joined(cs, " and ", needsEN)
	if len(cs) > 1 {
		return "(" + text + ")"
	}
	return text
}

// distinct gives the conditions of which something different is known.
func distinct(lists ...[]Condition) []Condition {
	var out []Condition
	for _, c := range slices.Concat(lists...) {
		known := func(o Condition) bool { return o.Is == c.Is }
		if c.Is != (Text{}) && c.Is != untold && !slices.ContainsFunc(out, known) {
			out = append(out, c)
		}
	}
	return out
}

func cedarOf(c Condition) string { return c.Cedar }
func needsJA(c Condition) string { return c.Needs.JA }
func needsEN(c Condition) string { return c.Needs.EN }
func isJA(c Condition) string    { return c.Is.JA }
func isEN(c Condition) string    { return c.Is.EN }

func joined(cs []Condition, sep string, part func(Condition) string) string {
	parts := make([]string, len(cs))
	for i, c := range cs {
		parts[i] = part(c)
	}
	return strings.Join(parts, sep)
}
