package policies

import (
	"fmt"
	"strings"
)

// Text gives the explanation as a person reads it, some lines in each language.
func (x Explanation) Text() Text { return Text{JA: x.write(japanese), EN: x.write(english)} }

// Closest tells in one line what the closest permit of a denied question would have needed; empty where there is none.
func (x Explanation) Closest() Text {
	if len(x.Nearest) == 0 || len(x.Nearest[0].Missing) == 0 {
		return Text{}
	}
	near := x.Nearest[0]
	line := func(l wording, sep, open, end string) string {
		var needs []string
		for _, c := range near.Missing {
			need := l.of(c.Needs)
			if is := l.of(c.Is); is != "" {
				need += open + is + end
			}
			needs = append(needs, need)
		}
		return l.closest + near.ID + l.needing + strings.Join(needs, sep)
	}
	return Text{JA: line(japanese, "、", " (実際は、", ")"), EN: line(english, "; ", " (in fact ", ")")}
}

// wording is one language's fixed phrases.
type wording struct {
	of                                func(Text) string
	allowed, forbidden, nothing       string
	decisive, nearest, overruled      string
	closest, needing                  string
	noPermit, question, actual, place string
	noneEither                        string
}

var (
	japanese = wording{
		of:         func(t Text) string { return t.JA },
		question:   "問い: %s\n",
		allowed:    "答え: はい。\n",
		forbidden:  "答え: いいえ。禁止の方針に当てはまります。禁止は、どの許可にも勝ちます。\n",
		nothing:    "答え: いいえ。当てはまる許可の方針がありません。\n",
		decisive:   "決め手の方針: ",
		nearest:    "最も近い許可の方針: ",
		closest:    "最も近い許可の方針 ",
		needing:    " に必要なこと: ",
		overruled:  "禁止がなければ許可した方針: ",
		noPermit:   "これを許可する方針は一つもありません。\n",
		noneEither: "禁止がなくても、当てはまる許可の方針はありません。\n",
		actual:     " … 実際は、%s\n",
		place:      "%s (%s の %d 行目)\n",
	}
	english = wording{
		of:         func(t Text) string { return t.EN },
		question:   "Question: %s\n",
		allowed:    "Answer: yes.\n",
		forbidden:  "Answer: no. A policy forbids it, and a forbid overrules every permit.\n",
		nothing:    "Answer: no. No policy permits it.\n",
		decisive:   "Decided by: ",
		nearest:    "Closest permit: ",
		closest:    "the closest permit is ",
		needing:    ", which needs: ",
		overruled:  "Would have permitted it, but for the forbid: ",
		noPermit:   "No policy permits this to anybody.\n",
		noneEither: "Without the forbid, no policy would permit it either.\n",
		actual:     " ... in fact %s\n",
		place:      "%s (%s, line %d)\n",
	}
)

func (x Explanation) write(l wording) string {
	var b strings.Builder
	fmt.Fprintf(&b, l.question, l.of(x.Question))
	switch {
	case x.Decision.Allow:
		b.WriteString(l.allowed)
	case len(x.Decisive) > 0:
		b.WriteString(l.forbidden)
	default:
		b.WriteString(l.nothing)
	}
	for _, a := range x.Decisive {
		b.WriteString(l.decisive)
		a.write(&b, l)
	}
	if x.Decision.Allow {
		return b.String()
	}
	if len(x.Decisive) > 0 && (len(x.Nearest) == 0 || x.Nearest[0].distance > 0) {
		b.WriteString(l.noneEither)
	}
	for _, a := range x.Nearest {
		if len(a.Missing) == 0 {
			b.WriteString(l.overruled)
		} else {
			b.WriteString(l.nearest)
		}
		a.write(&b, l)
	}
	if len(x.Nearest) == 0 && len(x.Decisive) == 0 {
		b.WriteString(l.noPermit)
	}
	return b.String()
}

func (a Account) write(b *strings.Builder, l wording) {
	fmt.Fprintf(b, l.place, a.ID, a.File, a.Line)
	for _, c := range a.Missing {
		b.WriteString("  × " + l.of(c.Needs))
		if is := l.of(c.Is); is != "" {
			fmt.Fprintf(b, l.actual, is)
			continue
		}
		b.WriteByte('\n')
	}
	for _, c := range a.Met {
		b.WriteString("  ○ " + l.of(c.Needs) + "\n")
	}
}
