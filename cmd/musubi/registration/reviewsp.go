package registration

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/musubi-hub/musubi/identity/oidcop/party"
	"github.com/musubi-hub/musubi/identity/samlidp/sp"
	"github.com/musubi-hub/musubi/identity/samlidp/wire"
	"github.com/musubi-hub/musubi/policies"
)

// ReviewSP tells everything about a service provider's registration, the worst first. What the registry refuses (sp.SP.Check) is in it.
func ReviewSP(p sp.SP, s Surroundings) []Finding {
	r := review{s: s}
	if p.ID == party.HubID {
		r.add(Wrong, "invalid", "id", fmt.Sprintf("%s はハブ自身の画面です。登録できません", p.ID), fmt.Sprintf("id: %q is the hub's own pages and can't be registered", p.ID))
	}
	if err := p.Check(); err != nil {
		for _, line := range strings.Split(err.Error(), "\n") {
			r.add(Wrong, "invalid", "", "登録できない内容です: "+line, line)
		}
	}
	v := spReview{&r, p}
	v.addresses()
	v.keys()
	v.names()
	v.told()
	v.logout()
	r.door(p.Functions, p.Least)
	r.sector(p.ID, p.Sector)
	v.neighbours()
	v.rest()
	return r.sorted()
}

type spReview struct {
	*review
	sp sp.SP
}

// addresses looks at where answers and logouts go.
func (r spReview) addresses() {
	for _, f := range r.sp.Faces {
		r.served(f.Network)
		defaults := 0
		for _, c := range f.Consumers {
			r.address(c.Location, false)
			if c.Default {
				defaults++
			}
		}
		if len(f.Consumers) > 1 && defaults == 0 {
			r.add(Risky, "no_default_consumer", string(f.Network),
				fmt.Sprintf("%s: 既定の宛先 (ACS) がありません。要求が宛先を言わないときは、最初のもの (%s) に答えます", f.Network.Name().JA, f.Consumers[0].Location),
				fmt.Sprintf("%s: no assertion consumer service is the default; a request that names none is answered at the first, %s", f.Network.Name().EN, f.Consumers[0].Location))
		}
		for _, e := range f.Logout {
			r.address(e.Location, false)
			r.address(e.Response, false)
		}
	}
	r.closed()
}

// closed looks at hosts that people on a network without the internet would have to reach on the internet.
func (r spReview) closed() {
	open, ok := r.sp.Face(policies.NetworkInternet)
	if !ok {
		return
	}
	outside := map[string]bool{}
	for _, c := range open.Consumers {
		outside[hostOf(c.Location)] = true
	}
	for _, f := range r.sp.Faces {
		if f.Network == policies.NetworkInternet {
			continue
		}
		told := map[string]bool{}
		for _, c := range f.Consumers {
			if h := hostOf(c.Location); outside[h] && !told[h] {
				told[h] = true
				r.add(Risky, "host_of_the_internet", string(f.Network),
					fmt.Sprintf("%s: 宛先 %s は、インターネットの側と同じホストです。この網の端末からは、中継がないと届きません", f.Network.Name().JA, h),
					fmt.Sprintf("%s: %s is the host of the internet's side too: without a relay a browser on this network doesn't reach it", f.Network.Name().EN, h))
			}
		}
	}
}

func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

// keys looks at the provider's certificates, and at what is done with them.
func (r spReview) keys() {
	for _, e := range sp.Expiring(r.sp, 0, r.s.At) {
		if e.Succeeded {
			continue
		}
		ja, en := "要求の署名", "signing requests"
		if e.Use == sp.UseEncryption {
			ja, en = "暗号化", "encryption"
		}
		mark := e.Fingerprint[:16]
		if e.Threshold == 0 {
			r.add(Risky, "certificate_expired", string(e.Use),
				fmt.Sprintf("%sの証明書 %s… は期限が切れています。ログインは続きますが、相手は鍵を替えたはずです。メタデータをもらい直してください", ja, mark),
				fmt.Sprintf("the certificate %s… for %s has expired: logins go on, but the other side has another key by now; take its metadata anew", mark, en))
			continue
		}
		r.add(Risky, "certificate_expires", string(e.Use),
			fmt.Sprintf("%sの証明書 %s… は %d 日以内に期限が切れ、次のものがまだありません", ja, mark, e.Threshold),
			fmt.Sprintf("the certificate %s… for %s expires within %d days, and its successor isn't here yet", mark, en, e.Threshold))
	}
	switch {
	case r.sp.Signed:
	case len(r.sp.Signing) > 0:
		r.add(Risky, "requests_unsigned", "signed", "署名の鍵が登録されているのに、署名のない要求も受け付けます。相手が署名するなら --signed を付けてください", "there is a key for its signatures, and unsigned requests are taken too; where it signs, add --signed")
	default:
		r.add(Risky, "requests_unsigned", "signed", "要求に署名がないので、だれの要求かは確かめられません。答えは登録した宛先にだけ返ります", "its requests aren't signed: whose they are can't be checked. They are answered at the registered addresses alone")
	}
	switch {
	case len(r.sp.Encryption) > 0 && !r.sp.Encrypt:
		r.add(Risky, "not_encrypted", "encrypt", "暗号化の鍵が登録されているのに、アサーションを暗号化していません (--encrypt)", "there is a key for encryption, and assertions aren't encrypted (--encrypt)")
	case r.sp.Encrypt:
		if key, methods, err := r.sp.EncryptionKey(); err == nil {
			if to := wire.For(key, methods); to.Data == wire.AES256CBC {
				r.add(Risky, "encryption_cbc", "encryption", "相手は AES-GCM を挙げていないので、古い方式 (AES-256-CBC) で暗号化します。応答の署名が守ります", "it doesn't list AES-GCM, so AES-256-CBC is used; the signature of the response protects it")
			}
		}
	}
}

// names looks at how people are named.
func (r spReview) names() {
	if r.sp.NameID != sp.NameIDEmail {
		return
	}
	if r.s.Released != nil && !slices.Contains(r.s.Released, policies.AttributeEmail) {
		r.add(Wrong, "name_id_withheld", "name_id", "NameID はメールアドレスなのに、方針がだれのメールアドレスも伝えません。だれも入れません", "its NameID is the e-mail address, and the policies release nobody's: nobody gets in")
		return
	}
	r.add(Risky, "name_id_email", "name_id",
		"NameID がメールアドレスなので、アドレスが変わると別人になります。相手が受け付けるなら persistent にしてください",
		"its NameID is the e-mail address: when that changes, the other side sees somebody else. Where it takes persistent names, use them")
}

// told looks at attributes that nobody's login will ever send.
func (r spReview) told() {
	for _, a := range r.sp.Attributes {
		needed, ok := a.Field.Released()
		if ok && needed != "" && r.s.Released != nil && !slices.Contains(r.s.Released, needed) {
			r.add(Risky, "attribute_never_released", a.Name,
				fmt.Sprintf("属性 %s (%s) は、方針がだれのものも伝えません", a.Name, needed.Name().JA),
				fmt.Sprintf("the attribute %s (%s) is never told: the policies release nobody's to this party", a.Name, needed.Name().EN))
		}
	}
}

func (r spReview) logout() {
	for _, f := range r.sp.Faces {
		if len(f.Logout) == 0 {
			r.add(Risky, "no_logout", string(f.Network),
				f.Network.Name().JA+": ログアウトの知らせの宛先がないので、退職者のログイン状態は、相手の側で終わるまで残ります",
				f.Network.Name().EN+": without a single logout service a leaver's session there lasts until the other side ends it")
		}
	}
}

// neighbours looks at what could be taken for another's.
func (r spReview) neighbours() {
	for n, hosts := range r.s.Own {
		for _, h := range hosts {
			if plain(r.sp.EntityID) == plain("https://"+h+"/saml/metadata") {
				r.add(Wrong, "own_entity", "entity_id", fmt.Sprintf("%s はハブ自身のエンティティ ID (%s) です", r.sp.EntityID, n), fmt.Sprintf("%s is the hub's own entity id (%s)", r.sp.EntityID, n))
			}
		}
	}
	mine := consumers(r.sp)
	for _, o := range r.s.SPs {
		if o.ID == r.sp.ID {
			continue
		}
		switch {
		case o.EntityID == r.sp.EntityID:
			r.add(Wrong, "entity_taken", "entity_id", fmt.Sprintf("エンティティ ID %s は %s のものです", o.EntityID, o.ID), fmt.Sprintf("the entity id %s is registered for %s", o.EntityID, o.ID))
		case plain(o.EntityID) == plain(r.sp.EntityID):
			r.add(Risky, "entity_look_alike", "entity_id",
				fmt.Sprintf("エンティティ ID が %s (%s) と見分けにくいものです: 本物か、相手に確かめてください", o.EntityID, o.ID),
				fmt.Sprintf("the entity id looks like %s of %s: ask the other side whether it is the real one", o.EntityID, o.ID))
		}
		for _, c := range consumers(o) {
			if slices.Contains(mine, c) {
				r.add(Risky, "shared_consumer", c, fmt.Sprintf("%s は %s の宛先でもあります", c, o.ID), fmt.Sprintf("%s is an assertion consumer service of %s too", c, o.ID))
			}
		}
	}
	for _, o := range r.s.Others {
		for _, f := range o.Faces {
			for _, u := range f.Redirects {
				if slices.Contains(mine, u) {
					r.add(Wrong, "shared_redirect", u, fmt.Sprintf("%s は %s (OpenID) の戻り先でもあります", u, o.ID), fmt.Sprintf("%s is a redirect URI of %s (OpenID) too", u, o.ID))
				}
			}
		}
	}
}

func consumers(p sp.SP) (all []string) {
	for _, f := range p.Faces {
		for _, c := range f.Consumers {
			if !slices.Contains(all, c.Location) {
				all = append(all, c.Location)
			}
		}
	}
	return all
}

// plain takes out of an entity id what eyes pass over: two that are plainly the same look alike.
func plain(entity string) string {
	text := strings.ToLower(entity)
	if _, rest, ok := strings.Cut(text, "://"); ok {
		text = rest
	}
	text = strings.TrimPrefix(text, "www.")
	text = strings.TrimSuffix(strings.TrimRight(text, "/"), ":443")
	return strings.NewReplacer("rn", "m", "vv", "w", "0", "o", "1", "l", "i", "l", "5", "s", "-", "", "_", "", ".", "").Replace(text)
}

// rest looks at what is unusual.
func (r spReview) rest() {
	if r.sp.IgnoreContext {
		r.add(Risky, "context_ignored", "ignore_context",
			"相手が求めるログインの種類 (RequestedAuthnContext) を見ません。伝えるのは事実です。相手が求めないように設定できるなら、そうしてください",
			"what it asks about the kind of login doesn't count; the truth is told. Where it can be set not to ask, do that")
	}
	if r.sp.Initiated {
		r.add(Risky, "initiated", "initiated", "ハブの画面から始まるログインを受け付けます。相手が、要求のない応答を受け付ける設定になっています", "logins may begin at the hub: the other side takes responses that it didn't ask for")
	}
	if r.sp.Contact.Mail == "" {
		r.add(Risky, "no_contact", "contact", "連絡先がないので、鍵を替える前に知らせる相手がいません (--contact)", "there is no contact: nobody can be written to before a key changes (--contact)")
	}
	if r.sp.Vendor != "" {
		if _, err := Find(r.sp.Vendor); err != nil {
			r.add(Risky, "vendor_unknown", "vendor", fmt.Sprintf("ひな形 %s はありません", r.sp.Vendor), "vendor: "+err.Error())
		}
	}
}
