package why

import (
	"fmt"
	"slices"
	"strings"

	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/jst"
	"github.com/musubi-hub/musubi/policies"
)

// text is a policies.Text.
type text struct{ JA, EN string }

// sentence puts the answer into one sentence in each language.
func sentence(f Facts, a Answer) text {
	switch a.Cause {
	case CausePartyUnknown:
		return unknownParty(f)
	case CausePersonUnknown:
		return text{
			fmt.Sprintf("職員「%s」は名簿に見つからないため、どこにも入れません: まだ在職していない人か、番号の誤りか、見る権限のない組織の人で、登録はその組織の管理ユーザが行います (musubi people add)。", f.Who),
			fmt.Sprintf("%s can log in nowhere, because the directory knows nobody so called: not in service yet, a wrong number, or somebody of an organization that you may not see; "+
				"the organization's administrator registers people (musubi people add).", f.Who),
		}
	case "":
		return yes(f, a)
	}
	who, when, from, to := whoIs(f, a), moment(f), a.Network.Name(), whither(f)
	because, do := reason(f, a)
	return text{
		fmt.Sprintf("%s%s は、%sため、%sから %s に入れません: %s%s。", when.JA, who.JA, because.JA, spaced(from.JA), to, do.JA, also(a).JA),
		fmt.Sprintf("%s%s can't log in to %s from the %s, because %s: %s%s.", when.EN, who.EN, to, from.EN, because.EN, do.EN, also(a).EN),
	}
}

// moment says which moment was asked about, where it isn't this one.
func moment(f Facts) text {
	if f.Now {
		return text{}
	}
	return text{day(f.At) + " の時点で、", "as of " + day(f.At) + ", "}
}

// spaced puts a space between what ends in a Latin letter and the Japanese word that follows.
func spaced(s string) string {
	if s != "" && s[len(s)-1] < 0x80 {
		return s + " "
	}
	return s
}

// a puts the article before a noun.
func a(noun string) string {
	if noun != "" && strings.ContainsRune("aeiou", rune(noun[0])) {
		return "an " + noun
	}
	return "a " + noun
}

// whoIs names the person in the post that matters.
func whoIs(f Facts, a Answer) text {
	post := postOf(f, a.Org)
	org := text{post.Org.Name, post.Org.Name}
	if post.Org.Name == "" {
		org = text{string(post.Org.ID), string(post.Org.ID)}
	}
	name, role := f.Person.DisplayName(), post.Person.Role.Name()
	if name == "" {
		name = string(f.Person.ID)
	}
	return text{fmt.Sprintf("%s (%sの%s)", name, spaced(org.JA), role.JA), fmt.Sprintf("%s (%s of %s)", name, role.EN, org.EN)}
}

func postOf(f Facts, org policies.OrgID) access.Actor {
	for _, p := range f.Posts {
		if p.Org.ID == org {
			return p
		}
	}
	return f.Posts[0]
}

func whither(f Facts) string {
	if f.Party.Name == "" || f.Party.Name == string(f.Party.ID) {
		return string(f.Party.ID)
	}
	return fmt.Sprintf("%s (%s)", f.Party.Name, f.Party.ID)
}

func unknownParty(f Facts) text {
	if len(f.Near) > 0 {
		near := listed(f.Near, ", ", func(id policies.RelyingPartyID) string { return string(id) })
		return text{
			fmt.Sprintf("「%s」というログイン先は登録されていないため、だれも入れません: %s のことではありませんか (一覧は musubi rp list)。", f.Asked, near),
			fmt.Sprintf("nobody can log in to %s, because no relying party of that id is registered: you may mean %s (musubi rp list).", f.Asked, near),
		}
	}
	return text{
		fmt.Sprintf("「%s」というログイン先は登録されていないため、だれも入れません: システム管理者が musubi rp add で登録します (一覧は musubi rp list)。", f.Asked),
		fmt.Sprintf("nobody can log in to %s, because no relying party of that id is registered: a system administrator registers it by musubi rp add (musubi rp list shows what there is).", f.Asked),
	}
}

func yes(f Facts, a Answer) text {
	how := f.Assurance.Name()
	by := text{how.JA + "で", "by " + how.EN}
	if a.Session {
		by = text{"ログイン中のため、そのまま", "as they are logged in already"}
	}
	from, when, who, to := a.Network.Name(), moment(f), whoIs(f, a), whither(f)
	choice := text{}
	if len(a.Choice) > 0 {
		names := listed(a.Choice, "・", func(id policies.OrgID) string {
			if o := postOf(f, id).Org; o.Name != "" {
				return o.Name
			}
			return string(id)
		})
		choice = text{fmt.Sprintf("%sのどの所属で入るかを選んで、", spaced(names)), fmt.Sprintf(", after choosing the post to act in (%s)", names)}
	}
	note := accounts(f, a)
	return text{
		fmt.Sprintf("%s%s は、%sから、%s、%s%s に入れます%s。", when.JA, who.JA, spaced(from.JA), by.JA, choice.JA, to, note.JA),
		fmt.Sprintf("%s%s can log in to %s from the %s, %s%s%s.", when.EN, who.EN, to, from.EN, by.EN, choice.EN, note.EN),
	}
}

// accounts says of those who are let in what their account still lacks.
func accounts(f Facts, a Answer) text {
	if len(a.Accounts) == 0 {
		return text{}
	}
	x := a.Accounts[0]
	p := x.Product.Name()
	switch x.State {
	case AccountQuarantined:
		return text{
			fmt.Sprintf("が、%s がこの人のアカウントを受け付けず、隔離されています: musubi quarantine show %s が言い分と直し方を示します", p.JA, x.Ref),
			fmt.Sprintf(", but %s refuses the account, which is in quarantine: musubi quarantine show %s tells its words and the remedy", p.EN, x.Ref),
		}
	case AccountDisabled:
		return text{
			fmt.Sprintf("が、%s のアカウントは止められています: 次の計画が戻します (musubi plan)", p.JA),
			fmt.Sprintf(", but the account in %s is switched off: the next plan brings it back (musubi plan)", p.EN),
		}
	case AccountMissing, AccountHeld:
	}
	return text{
		fmt.Sprintf("が、%s のアカウントはまだ作られていません: 次の計画が作ります (musubi plan)", p.JA),
		fmt.Sprintf(", but the account in %s isn't made yet: the next plan makes it (musubi plan)", p.EN),
	}
}

// also says of those who aren't let in that a breaker keeps their account.
func also(a Answer) text {
	for _, x := range a.Accounts {
		if x.State == AccountHeld {
			return text{
				fmt.Sprintf(" (%s のアカウントは、ブレーカー %s が止めているため、まだ残っています)", x.Product.Name().JA, x.Ref),
				fmt.Sprintf(" (the account in %s is still there, because breaker %s holds its end)", x.Product.Name().EN, x.Ref),
			}
		}
	}
	return text{}
}

// reason gives what is missing, and what to do about it.
func reason(f Facts, x Answer) (because, do text) {
	post := postOf(f, x.Org)
	kind, role, from := post.Org.Kind.Name(), post.Person.Role.Name(), x.Network.Name()
	of := a(role.EN) + " of " + a(kind.EN)
	switch x.Cause {
	case CausePersonEnded:
		return text{day(f.Person.EndedAt) + " に在職を終えている", "their service ended at " + day(f.Person.EndedAt)},
			text{"復職した人は、組織の管理ユーザが改めて登録します (musubi people add)", "somebody who is back is registered anew by the organization's administrator (musubi people add)"}
	case CauseNoLogin:
		served := servedNetworks(f)
		if len(served) == 0 {
			return text{spaced(from.JA) + "にログインの受付がない", "no login is served there"},
				text{"設定の internet, lgwan, government に受付を書きます (musubi config example)", "the configuration's sections internet, lgwan and government say where login is served (musubi config example)"}
		}
		return text{spaced(from.JA) + "にログインの受付がない", "no login is served there"},
			text{spaced(names(served).JA) + "から入るか、設定に受付を書きます", "come from the " + names(served).EN + ", or configure a login there"}
	case CauseNoFunctions:
		return text{"このログイン先に載せる機能が一つも登録されていない", "no function is registered for this relying party"},
			text{
				fmt.Sprintf("システム管理者が機能を登録します (musubi rp add %s --replace --function ...)", f.Party.ID),
				fmt.Sprintf("a system administrator registers them (musubi rp add %s --replace --function ...)", f.Party.ID),
			}
	case CauseFunction:
		return text{
			fmt.Sprintf("載っている機能 (%s) のどれも、%sの%sには利用できない", functionNames(f).JA, kind.JA, role.JA),
			fmt.Sprintf("%s may use none of the functions that it carries (%s)", of, functionNames(f).EN),
		}, text{
			fmt.Sprintf("機能ごとの方針は musubi policy explain function.read %s で確かめられ、変えるのは運営機関です", f.Party.Functions[0]),
			fmt.Sprintf("musubi policy explain function.read %s tells the policy, which the operating agency may change", f.Party.Functions[0]),
		}
	case CauseSeat:
		return seat(f, x, text(kind), text(role), of)
	case CauseReach, CauseNetwork:
		if x.Cause == CauseReach {
			because = text{"ログイン先が" + spaced(from.JA) + "では提供されていない", "it isn't offered in that network"}
		} else {
			because = text{kind.JA + "の人は" + spaced(from.JA) + "から利用できない", "people of " + a(kind.EN) + " may not come from there"}
		}
		if len(x.From) > 0 {
			return because, text{spaced(names(x.From).JA) + "から入ってください", "come from the " + names(x.From).EN}
		}
		return because, text{
			fmt.Sprintf("%sが利用できるネットワークでの提供を、システム管理者に相談してください (musubi rp show %s)", kind.JA, f.Party.ID),
			fmt.Sprintf("ask a system administrator to offer it in a network that %s may use (musubi rp show %s)", a(kind.EN), f.Party.ID),
		}
	case CauseForbidden:
		explain := fmt.Sprintf("musubi policy explain login.enter %s --network %s", f.Party.ID, x.Network)
		if len(x.Policies) == 0 {
			return text{fmt.Sprintf("%sの%sに許可する方針がない", kind.JA, role.JA), "no policy permits it to " + of},
				text{"最も近い許可は " + explain + " が示します", explain + " tells the closest permit"}
		}
		ids := strings.Join(x.Policies, ", ")
		return text{fmt.Sprintf("方針 %s が%sの%sに禁じている", ids, kind.JA, role.JA), fmt.Sprintf("the policy %s forbids it to %s", ids, of)},
			text{"詳しくは " + explain + " が示します", explain + " tells more"}
	}
	return proof(f, x)
}

func seat(f Facts, x Answer, kind, role text, of string) (because, do text) {
	because = text{
		fmt.Sprintf("%sの%sには %s の利用席がない", kind.JA, role.JA, listed(f.Party.Products, "・", func(p policies.Product) string { return p.Name().JA })),
		of + " holds no seat in " + listed(f.Party.Products, " or ", func(p policies.Product) string { return p.Name().EN }),
	}
	who := text{"組織の管理ユーザ", "the organization's administrator"}
	if postOf(f, x.Org).Org.Kind == policies.KindAgency {
		who = text{"システム管理者", "a system administrator"}
	}
	if len(x.Roles) > 0 {
		return because, text{
			fmt.Sprintf("利用席があるのは%sで、役割を変えるのは%sです (musubi people change)", listed(x.Roles, "・", func(r policies.Role) string { return r.Name().JA }), who.JA),
			fmt.Sprintf("there is one for %s, and %s changes roles (musubi people change)", listed(x.Roles, " or ", func(r policies.Role) string { return a(r.Name().EN) }), who.EN),
		}
	}
	return because, text{
		fmt.Sprintf("%sに利用席を配るかは方針 (musubi seats) によるもので、運営機関に相談してください", kind.JA),
		"whether " + a(kind.EN) + " gets seats is up to the policies (musubi seats), so ask the operating agency",
	}
}

// proof is about how the person proves themselves.
func proof(f Facts, x Answer) (because, do text) {
	link := text{
		"組織の管理者からカード登録用のパスワードを受け取り (パスワードのリセット、musubi password reset)、最初のログインで、カードとそのパスワードを使ってください",
		"get a password for linking the card from the organization's administrator (musubi password reset), and use it with the card at the first login",
	}
	if f.LinkUntil > f.At {
		link = text{
			fmt.Sprintf("渡されているカード登録用のパスワードとカードで、%s までにログインしてください", day(f.LinkUntil)),
			fmt.Sprintf("log in with the card and the password for linking that was handed over, by %s", day(f.LinkUntil)),
		}
	}
	given, least := f.Assurance.Name(), f.Party.Least.Name()
	switch x.Cause {
	case CauseNoCard:
		return text{"マイナンバーカードがまだ登録されていない", "no My Number Card is linked to them yet"}, link
	case CauseReleased:
		return text{"マイナンバーカードの認証が " + day(f.Card.Ended) + " に解除されている", "their My Number Card was released at " + day(f.Card.Ended)}, link
	case CauseRevoked:
		return text{"登録されているマイナンバーカードの電子証明書の失効が " + day(f.Card.Revoked) + " に分かった", "the certificate of their linked card was found to be revoked at " + day(f.Card.Revoked)},
			text{
				"新しいカードを受け取ったら、組織の管理者に認証解除 (musubi card release) を頼み、登録し直してください",
				"with the new card at hand, ask the organization's administrator to release the old one (musubi card release), and link the new one",
			}
	case CauseAssurance:
		return text{given.JA + "では本人確認が足りない", "the proof is too weak (" + given.EN + ")"},
			text{"マイナンバーカードと暗証番号で確認してください", "use the My Number Card with its PIN"}
	case CauseUnreachable:
		return text{fmt.Sprintf("%sには、求められる本人確認 (%s) に届く方法がない", spaced(x.Network.Name().JA), least.JA), fmt.Sprintf("no method there reaches what is required (%s)", least.EN)},
			text{"カードの使えるネットワークから入るか、設定の card_host を書きます", "come from a network where cards are read, or configure card_host"}
	}
	return text{"ログインの手順が先へ進まない", "the login doesn't go on"},
		text{"監査記録 (musubi audit find) で番号を確かめてください", "look the incident up (musubi audit find)"}
}

func servedNetworks(f Facts) (all []policies.Network) {
	for _, n := range policies.Networks() {
		if offered(f, n, policies.AssuranceIdentifier) {
			all = append(all, n)
		}
	}
	return all
}

func names(all []policies.Network) text {
	return text{
		listed(all, "・", func(n policies.Network) string { return n.Name().JA }),
		listed(all, " or the ", func(n policies.Network) string { return n.Name().EN }),
	}
}

func functionNames(f Facts) text {
	return text{
		listed(f.Party.Functions, "・", func(x policies.Function) string { return x.Name().JA }),
		listed(f.Party.Functions, ", ", func(x policies.Function) string { return x.Name().EN }),
	}
}

func listed[T any](all []T, sep string, name func(T) string) string {
	var words []string
	for _, x := range all {
		if w := name(x); !slices.Contains(words, w) {
			words = append(words, w)
		}
	}
	return strings.Join(words, sep)
}

// day is how an answer writes a moment.
func day(at int64) string { return jst.Minute(at) }
