package policies

import (
	"strings"

	"github.com/cedar-policy/cedar-go"
	publicast "github.com/cedar-policy/cedar-go/ast"
	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
	"github.com/cedar-policy/cedar-go/x/exp/eval"
)

// This file puts conditions into words. Every condition over the schema's vocabulary has a sentence of its own; whatever else
// Cedar can say is shown as it is written.

// untold stands for what is the case where that can't be computed: a condition before it, which guards it, doesn't hold.
var untold = Text{"ほかの条件が満たされるまで判断できない", "this can't be told before the other conditions hold"}

// condition says what n must be, and what is the case.
func (w witness) condition(n ast.IsNode, want bool) Condition {
	c := Condition{Cedar: cedarText(n)}
	c.Needs, c.Is = w.phrase(n, want)
	if c.Needs == (Text{}) {
		c.Needs = Text{
			choose(want, "条件 `"+c.Cedar+"` が成り立つこと", "条件 `"+c.Cedar+"` が成り立たないこと"),
			choose(want, "`"+c.Cedar+"` holds", "`"+c.Cedar+"` doesn't hold"),
		}
	}
	if !want {
		c.Cedar = "!(" + c.Cedar + ")"
	}
	if _, err := eval.Eval(n, w.env); err != nil {
		c.Is = untold
	}
	return c
}

func choose(first bool, a, b string) string {
	if first {
		return a
	}
	return b
}

// cedarText writes an expression as Cedar does.
func cedarText(n ast.IsNode) string {
	p := cedar.NewPolicyFromAST((*publicast.Policy)(ast.Permit().When(ast.NewNode(n))))
	_, text, _ := strings.Cut(string(p.MarshalCedar()), "\nwhen { ")
	return strings.TrimSuffix(text, " };")
}

// phrase is empty where the condition has no sentence of its own.
func (w witness) phrase(n ast.IsNode, want bool) (needs, is Text) {
	if needs, is := w.entrancePhrase(n, want); needs != (Text{}) {
		return needs, is
	}
	switch n := n.(type) {
	case ast.NodeTypeAccess:
		return w.flag(n, want)
	case ast.NodeTypeEquals:
		return w.same(n.Left, n.Right, want)
	case ast.NodeTypeNotEquals:
		return w.same(n.Left, n.Right, !want)
	case ast.NodeTypeContains:
		if needs, is := w.related(n.Right, n.Left, want); needs != (Text{}) {
			return needs, is
		}
		return w.oneOf(n.Right, n.Left, want)
	case ast.NodeTypeIn:
		if needs, is := w.related(n.Left, n.Right, want); needs != (Text{}) {
			return needs, is
		}
		if uid, ok := literal(n.Right).(types.EntityUID); ok && uid.Type == typeWorkspace {
			name, _ := noun(n.Left)
			return Text{
				name.JA + choose(want, "がワークスペースに属すること", "がワークスペースに属さないこと"),
				name.EN + choose(want, " belongs to the workspace", " doesn't belong to the workspace"),
			}, w.value(n.Left)
		}
		if _, many := n.Right.(ast.NodeTypeSet); many {
			return w.oneOf(n.Left, n.Right, want)
		}
		return w.same(n.Left, n.Right, want)
	case ast.NodeTypeIs:
		name, ok := noun(n.Left)
		if !ok {
			return Text{}, Text{}
		}
		wanted := typeName(n.EntityType)
		return being(name, wanted, want), w.value(n.Left)
	case ast.NodeTypeHas:
		name, ok := noun(n.Arg)
		if !ok || n.Value != attrParent {
			return Text{}, Text{}
		}
		return Text{
			name.JA + choose(want, "に上位の組織があること", "に上位の組織がないこと"),
			name.EN + choose(want, " has an organization above it", " has no organization above it"),
		}, Text{}
	}
	return Text{}, Text{}
}

func being(name, value Text, want bool) Text {
	return Text{
		name.JA + "が" + spaced(value.JA) + choose(want, "であること", "でないこと"),
		name.EN + choose(want, " is ", " is not ") + value.EN,
	}
}

// flag says what a true-or-false attribute must be.
func (w witness) flag(n ast.NodeTypeAccess, want bool) (needs, is Text) {
	switch of := placeOf(n.Arg); {
	case of == placePrincipal && n.Value == attrActive:
		return Text{choose(want, "在職中であること", "在職を終えていること"), choose(want, "the person is in service", "the person's service has ended")},
			Text{choose(want, "在職を終えている", "在職中"), choose(want, "the service has ended", "the person is in service")}
	case of == placeContext && n.Value == contextMakerIsActor:
		return Text{choose(want, "計画を作った本人であること", "計画を作った本人でないこと"), choose(want, "the person made the plan", "somebody else made the plan")},
			Text{choose(want, "計画を作ったのは別の人", "本人が作った計画"), choose(want, "somebody else made the plan", "the person made the plan")}
	}
	return Text{}, Text{}
}

// same says that left must be right. A literal stands on the right, whichever way the policy is written.
func (w witness) same(left, right ast.IsNode, want bool) (needs, is Text) {
	if literal(left) != nil {
		left, right = right, left
	}
	name, ok := noun(left)
	if !ok {
		return Text{}, Text{}
	}
	is = w.value(left)
	if v := literal(right); v != nil {
		return being(name, valueName(v), want), is
	}
	other, ok := noun(right)
	if !ok {
		return Text{}, Text{}
	}
	if v := w.value(right); want && v != (Text{}) {
		is = Text{is.JA + "、" + v.JA, is.EN + ", " + v.EN}
	}
	return being(name, other, want), is
}

// oneOf says that n must be among the members of a set of literals.
func (w witness) oneOf(n, set ast.IsNode, want bool) (needs, is Text) {
	name, ok := noun(n)
	members, isSet := set.(ast.NodeTypeSet)
	if !ok || !isSet {
		return Text{}, Text{}
	}
	var ja, en []string
	for _, m := range members.Elements {
		v := literal(m)
		if v == nil {
			return Text{}, Text{}
		}
		t := valueName(v)
		ja, en = append(ja, t.JA), append(en, t.EN)
	}
	if len(ja) == 1 {
		return being(name, Text{ja[0], en[0]}, want), w.value(n)
	}
	return Text{
		name.JA + "が" + spaced(strings.Join(ja, "・")) + choose(want, "のいずれかであること", "のいずれでもないこと"),
		name.EN + choose(want, " is one of: ", " is none of: ") + strings.Join(en, ", "),
	}, w.value(n)
}

// related says that n must be one of the person's organizations; empty where set isn't one of the person's sets.
func (w witness) related(n, set ast.IsNode, want bool) (needs, is Text) {
	name, ok := noun(n)
	if v := literal(n); !ok && v != nil {
		name, ok = valueName(v), true
		name.JA = strings.TrimPrefix(spaced(name.JA), " ")
	}
	if !ok {
		return Text{}, Text{}
	}
	switch placeOf(set) {
	case placeServes:
		return Text{
			name.JA + choose(want, "が、所属する事業者がいま担当している組織であること", "が、所属する事業者がいま担当している組織でないこと"),
			choose(want, "the person's contractor serves ", "the person's contractor doesn't serve ") + name.EN + " today",
		}, w.value(n)
	case placeCaretakes:
		return Text{
			name.JA + choose(want, "が、本人がいま管理を代行している組織であること", "が、本人がいま管理を代行している組織でないこと"),
			choose(want, "the person is caretaker of ", "the person isn't caretaker of ") + name.EN + " today",
		}, w.value(n)
	}
	return Text{}, Text{}
}

// noun names a part of the request.
func noun(n ast.IsNode) (Text, bool) {
	switch placeOf(n) {
	case placePrincipal:
		return Text{"本人", "the person"}, true
	case placeOrg:
		return Text{"本人の所属組織", "the person's own organization"}, true
	case placeOrgParent:
		return Text{"所属組織の上位の組織", "the organization above the person's own"}, true
	case placeResource:
		return Text{"対象", "the target"}, true
	case placeThingParent:
		return Text{"対象の上位の組織", "the organization above the target"}, true
	}
	access, ok := n.(ast.NodeTypeAccess)
	if !ok {
		return Text{}, false
	}
	switch of := placeOf(access.Arg); {
	case of == placePrincipal && access.Value == attrRole:
		return Text{"役割", "the role"}, true
	case (of == placePrincipal || of == placeOrg) && access.Value == attrKind:
		return Text{"所属組織の種別", "the kind of the person's organization"}, true
	case of == placeResource && access.Value == attrKind:
		return Text{"対象の組織の種別", "the kind of the target"}, true
	}
	return Text{}, false
}

// value says what a part of the request is; empty where it is nothing.
func (w witness) value(n ast.IsNode) Text {
	name, ok := noun(n)
	v, err := eval.Eval(n, w.env)
	if !ok || err != nil {
		return Text{}
	}
	t := valueName(v)
	return Text{name.JA + "は" + strings.TrimSuffix(spaced(t.JA), " "), name.EN + " is " + t.EN}
}

// spaced puts a space between Japanese and a word in Latin letters or digits.
func spaced(s string) string {
	if s == "" {
		return s
	}
	if s[0] < 0x80 {
		s = " " + s
	}
	if s[len(s)-1] < 0x80 {
		s += " "
	}
	return s
}

func literal(n ast.IsNode) types.Value {
	v, _ := n.(ast.NodeValue)
	return v.Value
}

func valueName(v types.Value) Text {
	uid, ok := v.(types.EntityUID)
	if !ok {
		text := string(v.MarshalCedar())
		return Text{text, text}
	}
	id := string(uid.ID)
	switch uid.Type {
	case typeKind:
		return OrgKind(id).Name()
	case typeRole:
		return Role(id).Name()
	case typeProduct:
		return Text{id, id}
	case typeWorkspace:
		return typeName(typeWorkspace)
	case typeFunction:
		return Function(id).Name()
	case typeNetwork:
		return Network(id).Name()
	case typeRelyingParty:
		return Text{"ログイン先 " + id, "relying party " + id}
	case typeOrganization:
		return Text{"組織 " + id, "organization " + id}
	case typePerson:
		return Text{"職員 " + id, "person " + id}
	}
	return Text{uid.String(), uid.String()}
}

func typeName(t types.EntityType) Text {
	switch t {
	case typeOrganization:
		return Text{"個々の組織", "a single organization"}
	case typeWorkspace:
		return Text{"全体 (ワークスペース)", "the whole workspace"}
	case typeProduct:
		return Text{"製品", "a product"}
	case typePerson:
		return Text{"職員", "a person"}
	case typeFunction:
		return Text{"機能", "a function"}
	case typeNetwork:
		return Text{"ネットワーク", "a network"}
	case typeRelyingParty:
		return Text{"ログイン先", "a relying party"}
	}
	return Text{string(t), string(t)}
}
