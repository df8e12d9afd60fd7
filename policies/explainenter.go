package policies

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
	"github.com/cedar-policy/cedar-go/x/exp/eval"
)

// ExplainUse is MayUse with the reasons.
func (e *Engine) ExplainUse(p Person, u Use, f Function) (Explanation, error) {
	if err := p.Check(); err != nil {
		return Explanation{}, err
	}
	if !slices.Contains(Uses(), u) || !slices.Contains(Functions(), f) {
		return Explanation{}, fmt.Errorf("policies: unknown use %q of function %q; there are the uses %q and the functions %q", u, f, Uses(), Functions())
	}
	action, who, how, what := prefixFunction+string(u), describe(p), u.Name(), f.Name()
	return e.explain(&facts{person: p, action: action}, functionUID(f), cedar.Record{}, Text{
		JA: fmt.Sprintf("%sは、「%s」で「%s」(%s) ことができるか", who.JA, what.JA, how.JA, action),
		EN: fmt.Sprintf("may this person (%s) %s (%s) in %s?", who.EN, how.EN, action, what.EN),
	})
}

// ExplainNetwork is MayComeFrom with the reasons.
func (e *Engine) ExplainNetwork(p Person, n Network) (Explanation, error) {
	if err := errors.Join(p.Check(), (Entry{Network: n}).check()); err != nil {
		return Explanation{}, err
	}
	who, name := describe(p), n.Name()
	return e.explain(&facts{person: p, action: actionNetwork}, networkUID(n), cedar.Record{}, Text{
		JA: fmt.Sprintf("%sは、%sから利用 (%s) できるか", who.JA, name.JA, actionNetwork),
		EN: fmt.Sprintf("may this person (%s) come from the %s (%s)?", who.EN, name.EN, actionNetwork),
	})
}

// ExplainEnter is MayEnter with the reasons.
func (e *Engine) ExplainEnter(p Person, rp RelyingParty, in Entry) (Explanation, error) {
	ctx, err := e.entering(p, rp, in)
	if err != nil {
		return Explanation{}, err
	}
	who, from, how := describe(p), in.Network.Name(), in.Assurance.Name()
	if in.Sealed {
		how = Text{"封印された非常用アカウント", "sealed break-glass account"}
	}
	return e.explain(&facts{person: p, action: actionEnter, party: &rp}, partyUID(rp.ID), ctx, Text{
		JA: fmt.Sprintf("%sは、%sから、%sで、ログイン先 %s に入れる (%s) か", who.JA, from.JA, how.JA, rp.ID, actionEnter),
		EN: fmt.Sprintf("may this person (%s) enter %s (%s) from the %s, by %s?", who.EN, rp.ID, actionEnter, from.EN, how.EN),
	})
}

// ExplainRelease tells why rp is or isn't told the attribute of p.
func (e *Engine) ExplainRelease(p Person, rp RelyingParty, a Attribute) (Explanation, error) {
	if err := errors.Join(p.Check(), rp.Check()); err != nil {
		return Explanation{}, err
	}
	if !slices.Contains(Attributes(), a) {
		return Explanation{}, fmt.Errorf("policies: unknown attribute %q; there are %q", a, Attributes())
	}
	action, who, name := prefixRelease+string(a), describe(p), a.Name()
	return e.explain(&facts{person: p, action: action, party: &rp}, partyUID(rp.ID), cedar.Record{}, Text{
		JA: fmt.Sprintf("%sの「%s」は、ログイン先 %s に伝わる (%s) か", who.JA, name.JA, rp.ID, action),
		EN: fmt.Sprintf("is %s told the %s (%s) of this person (%s)?", rp.ID, name.EN, action, who.EN),
	})
}

// The attributes of a relying party, and the circumstances of an entrance, as the schema declares them.
const (
	attrFunctions = types.String("functions")
	attrNetworks  = types.String("networks")
	attrHub       = types.String("hub")
)

// entranceFlags are the true-or-false facts of an entrance: what must be, what must not be.
var entranceFlags = map[types.String][2]Text{
	"permittedNetwork": {
		{"本人の組織の種別で利用できるネットワークから来ること", "the person comes from a network that their kind of organization may use"},
		{"本人の組織の種別では利用できないネットワークから来ること", "the person comes from a network that their kind of organization may not use"},
	},
	"seat": {
		{"ログイン先の利用席を持つこと", "the person holds a seat at the relying party"},
		{"ログイン先の利用席を持たないこと", "the person holds no seat at the relying party"},
	},
	"card": {
		{"マイナンバーカードで本人を確認していること", "the My Number Card proved the person"},
		{"マイナンバーカードで本人を確認していないこと", "the My Number Card didn't prove the person"},
	},
	"sealed": {
		{"封印された非常用アカウントであること", "it is a sealed break-glass account"},
		{"封印された非常用アカウントでないこと", "it isn't a sealed break-glass account"},
	},
}

// entrancePhrase puts conditions on relying parties and entrances into words; empty for any other.
func (w witness) entrancePhrase(n ast.IsNode, want bool) (needs, is Text) {
	switch n := n.(type) {
	case ast.NodeTypeAccess:
		switch of := placeOf(n.Arg); {
		case of == placeContext:
			words, ok := entranceFlags[n.Value]
			if !ok {
				return Text{}, Text{}
			}
			if want {
				return words[0], words[1]
			}
			return words[1], words[0]
		case of == placeResource && n.Value == attrHub:
			return Text{
				choose(want, "ハブの画面であること", "ハブの画面でないこと"), choose(want, "it is the hub's own pages", "it isn't the hub's own pages"),
			}, Text{choose(want, "SaaS のログイン先", "ハブの画面"), choose(want, "it is another relying party", "it is the hub's own pages")}
		}
	case ast.NodeTypeContains:
		if member(n.Left, placeResource, attrNetworks) && member(n.Right, placeContext, "network") {
			reach := w.names(n.Left)
			return Text{
				choose(want, "本人の来るネットワークから、ログイン先に届くこと", "本人の来るネットワークから、ログイン先に届かないこと"),
				choose(want, "the relying party is reached from that network", "the relying party isn't reached from that network"),
			}, Text{"届くのは、" + reach.JA, "it is reached from: " + reach.EN}
		}
		if v := literal(n.Right); member(n.Left, placeResource, attrFunctions) && v != nil {
			return w.carries(n.Left, []ast.IsNode{n.Right}, want)
		}
	case ast.NodeTypeContainsAny:
		set, isSet := n.Right.(ast.NodeTypeSet)
		switch {
		case member(n.Left, placeContext, attrFunctions) && member(n.Right, placeResource, attrFunctions):
			carried := w.names(n.Right)
			return Text{
				choose(want, "ログイン先に載っている機能のどれかを利用できること", "ログイン先に載っている機能をどれも利用できないこと"),
				choose(want, "the person may use one of the functions that the relying party carries", "the person may use none of the functions that the relying party carries"),
			}, Text{
				choose(want, "載っている機能 (", "載っている機能のどれかを利用できる (") + carried.JA + choose(want, ") を、どれも利用できない", ")"),
				choose(want, "the person may use none of: ", "the person may use one of: ") + carried.EN,
			}
		case member(n.Left, placeResource, attrFunctions) && isSet:
			return w.carries(n.Left, set.Elements, want)
		}
	}
	return Text{}, Text{}
}

// carries says which of the functions a relying party must carry.
func (w witness) carries(party ast.IsNode, functions []ast.IsNode, want bool) (needs, is Text) {
	var ja, en []string
	for _, f := range functions {
		v := literal(f)
		if v == nil {
			return Text{}, Text{}
		}
		ja, en = append(ja, valueName(v).JA), append(en, valueName(v).EN)
	}
	carried := w.names(party)
	return Text{
		"ログイン先に「" + strings.Join(ja, "・") + "」" + choose(len(ja) > 1, "のどれか", "") + choose(want, "が載っていること", "が載っていないこと"),
		choose(want, "the relying party carries ", "the relying party doesn't carry ") + choose(len(en) > 1, "one of: ", "") + strings.Join(en, ", "),
	}, Text{"載っている機能は、" + carried.JA, "it carries: " + carried.EN}
}

// member reports whether n is the attribute name of a part of the request.
func member(n ast.IsNode, of place, name types.String) bool {
	a, ok := n.(ast.NodeTypeAccess)
	return ok && a.Value == name && placeOf(a.Arg) == of
}

// names lists what a set holds.
func (w witness) names(n ast.IsNode) Text {
	v, err := eval.Eval(n, w.env)
	set, ok := v.(types.Set)
	if err != nil || !ok || set.Len() == 0 {
		return Text{"なし", "nothing"}
	}
	var all []Text
	for m := range set.All() {
		all = append(all, valueName(m))
	}
	slices.SortFunc(all, func(a, b Text) int { return strings.Compare(a.EN, b.EN) })
	var t Text
	for i, m := range all {
		t.JA += choose(i > 0, "、", "") + m.JA
		t.EN += choose(i > 0, ", ", "") + m.EN
	}
	return t
}
