package registration

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/musubi-hub/musubi/identity/oidcop/party"
	"github.com/musubi-hub/musubi/identity/samlidp/sp"
	"github.com/musubi-hub/musubi/policies"
)

// Severity is how bad a finding is.
type Severity string

// The severities.
const (
	Wrong Severity = "error"   // it can't work, or opens a door
	Risky Severity = "warning" // it works, and somebody should have a look
)

// Finding is something about a registration that people should know.
type Finding struct {
	Severity Severity      `json:"severity"`
	Code     string        `json:"code"`
	Where    string        `json:"where,omitempty"` // network, field or address
	Says     policies.Text `json:"says"`
}

// Surroundings are what a registration is looked at in.
type Surroundings struct {
	Own    map[policies.Network][]string // the hub's own hosts, by network, each with its port where that isn't 443; a network without any isn't served
	Others []party.Party                 // the other OpenID parties
	SPs    []sp.SP                       // the other service providers
	At     int64                         // UTC, microseconds
	// Released are the attributes that the policies release to the party of anybody at all; nil where they weren't asked.
	Released []policies.Attribute
}

// Review tells everything about a registration, the worst first. What the registry refuses (party.Check) is in it.
func Review(p party.Party, s Surroundings) []Finding {
	r := review{party: p, s: s}
	if err := p.Check(); err != nil {
		for _, line := range strings.Split(err.Error(), "\n") {
			r.add(Wrong, "invalid", "", "登録できない内容です: "+line, line)
		}
	}
	r.addresses()
	r.networks()
	r.secrets()
	r.entrance()
	r.logout()
	r.neighbours()
	return r.sorted()
}

func (r *review) sorted() []Finding {
	slices.SortStableFunc(r.found, func(a, b Finding) int { return strings.Compare(string(a.Severity), string(b.Severity)) })
	return r.found
}

type review struct {
	party party.Party
	s     Surroundings
	found []Finding
}

func (r *review) add(s Severity, code, where, ja, en string) {
	r.found = append(r.found, Finding{s, code, where, policies.Text{JA: ja, EN: en}})
}

// addresses looks at where answers are sent.
func (r *review) addresses() {
	for _, f := range r.party.Faces {
		all := slices.Concat(f.Redirects, f.PostLogout)
		for _, text := range append(all, f.Backchannel, f.Frontchannel) {
			r.address(text, r.party.Native)
		}
	}
}

// address looks at one address; native is for a party on people's own machines.
func (r *review) address(text string, native bool) {
	u, err := url.Parse(text)
	if text == "" || err != nil || u.Host == "" {
		return
	}
	for n, hosts := range r.s.Own {
		if slices.Contains(hosts, strings.ToLower(u.Host)) || slices.ContainsFunc(hosts, func(h string) bool { name, _, _ := strings.Cut(h, ":"); return name == u.Hostname() }) {
			r.add(Wrong, "own_host", text,
				fmt.Sprintf("%s はハブ自身のホスト (%s) です。ログイン先の宛先にはできません", text, n),
				fmt.Sprintf("%s is on the hub's own host (%s): a relying party can't be answered there", text, n))
		}
	}
	ip, err := netip.ParseAddr(u.Hostname())
	switch {
	case native && err == nil && ip.IsLoopback():
	case err == nil && (ip.IsLoopback() || ip.IsPrivate() || ip.IsLinkLocalUnicast() || ip.IsUnspecified()), u.Hostname() == "localhost", strings.HasSuffix(u.Hostname(), ".localhost"):
		r.add(Risky, "private_host", text, text+" は、この計算機か構内だけの名前です。実演のほかでは使えません", text+" is a name of this machine or of a private network: it is good for a demonstration alone")
	case err == nil:
		r.add(Risky, "address_as_host", text, text+" は、名前ではなく番地です。証明書と変更に弱くなります", text+" names an address instead of a host: certificates and moves will break it")
	}
}

// networks looks at whether the party's networks are served.
func (r *review) networks() {
	for _, f := range r.party.Faces {
		r.served(f.Network)
	}
}

func (r *review) served(n policies.Network) {
	if len(r.s.Own[n]) == 0 {
		r.add(Risky, "network_not_served", string(n),
			fmt.Sprintf("%s には、いまログインの受付がありません (設定の %s)", n.Name().JA, n),
			fmt.Sprintf("no login is served in %s (section %s of the configuration)", n.Name().EN, n))
	}
}

func (r *review) secrets() {
	if r.party.Auth != party.AuthSecretBasic {
		return
	}
	live, open := 0, 0
	for _, s := range r.party.Secrets {
		if s.Until == 0 || r.s.At < s.Until {
			live++
		}
		if s.Until == 0 {
			open++
		}
	}
	switch {
	case live == 0:
		r.add(Wrong, "secret_expired", "secrets", "有効なシークレットがありません: musubi rp secret rotate "+string(r.party.ID), "no secret counts any more: musubi rp secret rotate "+string(r.party.ID))
	case open > 1:
		r.add(Risky, "secrets_without_end", "secrets", "シークレットが二つとも無期限です。古い方は、替えるときに期限を付けます (musubi rp secret rotate)", "two secrets count without an end: a rotation ends the former one (musubi rp secret rotate)")
	case open == 0:
		r.add(Risky, "secret_ends", "secrets", "すべてのシークレットに期限があります: 替えるのを忘れないでください", "each secret has an end: don't forget to rotate")
	}
}

// entrance looks at who can enter, and what a scope could ever give.
func (r *review) entrance() {
	p := r.party
	if !p.LogsIn() {
		if len(p.Functions) > 0 || len(p.Products) > 0 {
			r.add(Risky, "functions_without_login", "functions", "人がログインしないので、機能と利用席は意味を持ちません", "nobody logs in, so that functions and products mean nothing")
		}
		return
	}
	r.door(p.Functions, p.Least)
	carries := func(of ...policies.Function) bool {
		return slices.ContainsFunc(p.Functions, func(f policies.Function) bool { return slices.Contains(of, f) })
	}
	if slices.Contains(p.Scopes, "phone") && !carries(policies.FunctionIncident) {
		r.add(Risky, "scope_never_released", "phone", "phone を求めても、異常時連絡等を載せていないので、電話は伝わりません", "phone is asked for and never told: it doesn't carry contact on incidents")
	}
	if p.Alg == "RS256" && p.Auth == party.AuthPrivateKeyJWT {
		if _, ok := p.Key("", "ES256"); ok {
			r.add(Risky, "alg_mixed", "alg", "ES256 の鍵を持つのに、RS256 の署名を求めています", "it has an ES256 key and asks for RS256 signatures: ES256 is shorter and faster")
		}
	}
}

// door looks at what decides about entering in parties of every protocol.
func (r *review) door(functions []policies.Function, least policies.Assurance) {
	if len(functions) == 0 {
		r.add(Wrong, "no_functions", "functions", "載せる機能がないので、だれも入れません (--function)", "it carries no function, so that nobody enters (--function)")
	}
	if least < policies.AssuranceCard {
		r.add(Risky, "least_below_card", "least", "求める本人確認がカードより弱くなっています。いまの方針では、それでもカードが要ります", "it asks for less than the card; the policies in force ask for the card nevertheless")
	}
}

func (r *review) logout() {
	for _, f := range r.party.Faces {
		if len(f.Redirects) > 0 && f.Backchannel == "" && !r.party.Native {
			r.add(Risky, "no_backchannel", string(f.Network),
				f.Network.Name().JA+": ログアウトの知らせ (backchannel) の宛先がないので、退職者のログイン状態は、相手の側で終わるまで残ります",
				f.Network.Name().EN+": without a back-channel logout address a leaver's session there lasts until the party itself ends it")
		}
	}
}

// sector looks at who else sees the same names of people.
func (r *review) sector(id policies.RelyingPartyID, sector string) {
	same := func(o policies.RelyingPartyID, of string) {
		if o != id && of == sector && of != "" {
			r.add(Risky, "shared_sector", "sector",
				fmt.Sprintf("%s と同じ sector (%s) なので、同じ人が両方に同じ利用者番号で見えます", o, of),
				fmt.Sprintf("it shares the sector %s with %s: both see the same subject of a person", of, o))
		}
	}
	for _, o := range r.s.Others {
		same(o.ID, o.Sector)
	}
	for _, o := range r.s.SPs {
		same(o.ID, o.Sector)
	}
}

// neighbours looks at what the party shares with others.
func (r *review) neighbours() {
	r.sector(r.party.ID, r.party.Sector)
	for _, o := range r.s.Others {
		if o.ID == r.party.ID {
			continue
		}
		for _, f := range o.Faces {
			for _, mine := range r.party.Faces {
				for _, u := range mine.Redirects {
					if slices.Contains(f.Redirects, u) && !r.party.Native {
						r.add(Wrong, "shared_redirect", u, fmt.Sprintf("%s は %s の戻り先でもあります: 一方への答えが他方に届きます", u, o.ID), fmt.Sprintf("%s is a redirect URI of %s too: an answer for one reaches the other", u, o.ID))
					}
				}
			}
		}
	}
}

// Failed reports whether a finding is an error.
func Failed(all []Finding) bool {
	return slices.ContainsFunc(all, func(f Finding) bool { return f.Severity == Wrong })
}

// ErrWrong says that a registration has findings that are errors.
var ErrWrong = errors.New("the registration is wrong")
