package main

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/cmd/musubi/registration"
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/keys"
	"github.com/musubi-hub/musubi/identity/ppid"
	"github.com/musubi-hub/musubi/identity/samlidp"
	"github.com/musubi-hub/musubi/identity/samlidp/sp"
	"github.com/musubi-hub/musubi/policies"
)

// answerView is what a SAML party would be sent.
type answerView struct {
	Network    policies.Network `json:"network"`
	Sent       bool             `json:"sent"` // false: the person doesn't enter, and it is what would be sent if they did
	Issuer     string           `json:"issuer"`
	Consumer   string           `json:"assertion_consumer_service"`
	Audience   string           `json:"audience"`
	NameID     nameView         `json:"name_id"`
	Context    string           `json:"authn_context"`
	Attributes []attributeView  `json:"attributes"`
	Signed     []string         `json:"signed"` // response, assertion
	Algorithm  string           `json:"signature_algorithm"`
	Key        string           `json:"key"`
	SHA256     string           `json:"certificate_sha256"`
	Data       string           `json:"encryption,omitempty"` // algorithm; empty: in the clear
	Wrap       string           `json:"key_transport,omitempty"`
	Seconds    int64            `json:"assertion_seconds"` // that it counts
	Session    int64            `json:"session_seconds"`   // after which the other side is asked to end its session
	Bytes      int              `json:"bytes"`             // of the response, about
	Refused    string           `json:"refused,omitempty"` // why it would be told of a refusal instead
	XML        string           `json:"xml,omitempty"`
}

// nameView is how a person would be named.
type nameView struct {
	Format string `json:"format"`
	// State is exists or new for a persistent name, drawn for a transient one, told or withheld for the e-mail address.
	State string `json:"state"`
	Value string `json:"value,omitempty"` // the e-mail address
}

// attributeView is an attribute of the assertion, or one that isn't sent.
type attributeView struct {
	Field    sp.Field           `json:"field"`
	Release  policies.Attribute `json:"attribute,omitempty"` // that the policies have to release for it
	Name     string             `json:"name"`                // as the other side wants it
	Value    string             `json:"value,omitempty"`
	Sent     bool               `json:"sent"`
	Because  policies.Text      `json:"because"`
	Policies []string           `json:"policies,omitempty"`
}

// answerFor tells what the party would be sent of somebody in a post; nil where it isn't reached in the network.
func answerFor(ctx context.Context, h *boot.Hub, p sp.SP, post access.Actor, n policies.Network, reached policies.Assurance, enters bool) (*answerView, error) {
	at, served := samlAt(h, n)
	if _, ok := p.Face(n); !ok || !served {
		return nil, nil
	}
	certificates, err := samlidp.Certificates(ctx, h.DB.Reader(), h.Keys)
	if err != nil {
		return nil, err
	}
	now := h.Now().UnixMicro()
	chosen, err := h.Rollover(samlidp.Purpose).Choose(ctx, h.DB.Reader(), p.ID, n, post.Person.ID, now)
	if err != nil {
		return nil, err
	}
	key, ok := signs(certificates, chosen.Key)
	if !ok {
		return nil, boot.Refused(errNoCertificates)
	}
	release, _, err := h.Engine.Release(post.Policy(), p.Policy())
	if err != nil {
		return nil, err
	}
	sent, err := samlidp.Dry{
		SP: p, Network: n, Issuer: at.EntityID, Person: post.Person, Org: post.Org, Release: release, Assurance: reached, Key: key, At: now,
	}.Preview()
	if err != nil {
		return nil, err
	}
	v := &answerView{
		Network: n, Sent: enters && sent.Withheld == "", Issuer: at.EntityID, Consumer: sent.Consumer, Audience: p.EntityID, Context: sent.Context, Algorithm: sent.Algorithm, Key: key.KeyID,
		SHA256: colons(key.DER), Data: sent.Data, Wrap: sent.Wrap, Seconds: (sent.Until - now) / 1_000_000, Session: (sent.SessionUntil - now) / 1_000_000,
		Bytes: sent.Bytes, Refused: sent.Withheld, Signed: []string{}, Attributes: []attributeView{},
	}
	if sent.Response {
		v.Signed = append(v.Signed, "response")
	}
	if sent.Assertion {
		v.Signed = append(v.Signed, "assertion")
	}
	if enters {
		v.XML = string(sent.Document)
	}
	if v.NameID, err = nameFor(ctx, h, p, post, sent); err != nil {
		return nil, err
	}
	v.Attributes, err = attributesFor(h.Engine, p, post, sent, enters && sent.Withheld == "")
	return v, err
}

// signs gives the key that signs: the one that is chosen for the party, unless it has retired meanwhile; else the active one.
func signs(all []samlidp.SigningCertificate, chosen string) (samlidp.SigningCertificate, bool) {
	for _, is := range []func(samlidp.SigningCertificate) bool{
		func(c samlidp.SigningCertificate) bool { return c.KeyID == chosen && c.State != keys.Retired },
		func(c samlidp.SigningCertificate) bool { return c.State == keys.Active },
	} {
		if i := slices.IndexFunc(all, is); i >= 0 {
			return all[i], true
		}
	}
	return samlidp.SigningCertificate{}, false
}

// nameFor says how the person would be named. It makes no name.
func nameFor(ctx context.Context, h *boot.Hub, p sp.SP, post access.Actor, sent samlidp.Preview) (nameView, error) {
	v := nameView{Format: registration.NameIDWord(p.NameID)}
	switch p.NameID {
	case sp.NameIDTransient:
		v.State = "drawn"
	case sp.NameIDEmail:
		if v.Value, v.State = sent.Name, "told"; sent.Withheld != "" {
			v.State = "withheld"
		}
	case sp.NameIDPersistent:
		subjects, err := h.Subjects(ctx)
		if err != nil {
			return v, err
		}
		_, err = subjects.Find(ctx, h.DB.Reader(), post.Person.ID, ppid.Sector(p.Sector))
		switch v.State = "exists"; {
		case errors.Is(err, identity.ErrNotFound):
			v.State = "new"
		case err != nil:
			return v, err
		}
	}
	return v, nil
}

// attributesFor tells of each attribute that the party is registered for whether it would be sent, and of what the policies release to it besides.
func attributesFor(engine *policies.Engine, p sp.SP, post access.Actor, sent samlidp.Preview, enters bool) ([]attributeView, error) {
	all := []attributeView{}
	used := map[policies.Attribute]bool{}
	for _, a := range p.Attributes {
		needed, _ := a.Field.Released()
		v := attributeView{Field: a.Field, Release: needed, Name: a.Name}
		i := slices.IndexFunc(sent.Attributes, func(t samlidp.Told) bool { return t.Attribute == a })
		told, because := true, policies.Text{JA: "変わらない名前。人についての情報ではない", EN: "the persistent name, which says nothing of the person"}
		if needed != "" {
			used[needed] = true
			x, err := engine.ExplainRelease(post.Policy(), p.Policy(), needed)
			if err != nil {
				return nil, err
			}
			told, v.Policies = x.Decision.Allow, x.Decision.Policies
			if because = releasedBy(x); !told {
				because = withheld(x)
			}
		}
		switch {
		case told && i < 0:
			because = notKnown
		case told && !enters:
			because = notEntered
		case told:
			v.Sent, v.Value = true, sent.Attributes[i].Value
		}
		v.Because = because
		all = append(all, v)
	}
	for _, a := range policies.Attributes() {
		x, err := engine.ExplainRelease(post.Policy(), p.Policy(), a)
		if err != nil {
			return nil, err
		}
		if x.Decision.Allow && !used[a] && !(a == policies.AttributeEmail && p.NameID == sp.NameIDEmail) {
			all = append(all, attributeView{
				Release: a, Because: policies.Text{JA: "方針は伝えてよいとするが、登録にない", EN: "the policies would release it; the registration doesn't ask for it"}, Policies: x.Decision.Policies,
			})
		}
	}
	return all, nil
}

func (e *env) tellAnswer(v answerView, xml bool) {
	switch {
	case v.Sent || v.Refused != "":
		say(e.stdout, "\n伝わる応答 / the response  (%s)", v.Network)
	default:
		say(e.stdout, "\n入れないので、次の応答は送られません / they don't enter, so that this response isn't sent  (%s)", v.Network)
	}
	say(e.stdout, "発行者 / issuer            %s", v.Issuer)
	say(e.stdout, "宛先 / sent to             %s", v.Consumer)
	say(e.stdout, "相手 / audience            %s", v.Audience)
	say(e.stdout, "NameID                     %s", nameLine(v.NameID))
	if v.Refused != "" {
		say(e.stdout, "× 相手には拒否が伝わります (%s) / the other side is told of a refusal", v.Refused)
		return
	}
	say(e.stdout, "AuthnContext               %s", v.Context)
	say(e.stdout, "署名 / signed              %s  %s", strings.Join(v.Signed, ", "), shortName(v.Algorithm))
	say(e.stdout, "  鍵 / key                 %s", v.Key)
	say(e.stdout, "  証明書 / certificate     SHA-256 %s", v.SHA256)
	if v.Data == "" {
		say(e.stdout, "暗号化 / encryption        なし / none")
	} else {
		say(e.stdout, "暗号化 / encryption        %s, %s", shortName(v.Data), shortName(v.Wrap))
	}
	say(e.stdout, "有効 / counts for          %d 分 / minutes; 相手の側のログイン状態 / the session there %d 時間 / hours", v.Seconds/60, v.Session/3600)
	say(e.stdout, "大きさ / size              %d バイト / bytes", v.Bytes)
	say(e.stdout, "\n入ったときに伝わる属性 / attributes that are sent once they are in")
	for _, a := range v.Attributes {
		if a.Sent {
			if a.Field == sp.FieldSubject {
				say(e.stdout, "○ %s: %s / %s", a.Name, a.Because.JA, a.Because.EN)
				continue
			}
			say(e.stdout, "○ %s = %s  (%s)", a.Name, oneLine(a.Value, 300), strings.Join(a.Policies, ", "))
		}
	}
	for _, a := range v.Attributes {
		if a.Sent {
			continue
		}
		name := a.Name
		if name == "" {
			name = a.Release.Name().JA + " / " + a.Release.Name().EN
		}
		say(e.stdout, "× %s\n    %s\n    %s", name, oneLine(a.Because.JA, 500), oneLine(a.Because.EN, 500))
	}
	if xml && v.XML != "" {
		say(e.stdout, "\n%s", strings.TrimSpace(v.XML))
	}
}

// shortName is the end of an algorithm's name.
func shortName(uri string) string {
	if i := strings.LastIndex(uri, "#"); i >= 0 {
		return uri[i+1:]
	}
	return uri
}

func nameLine(v nameView) string {
	says := map[string]string{
		"exists":   "もうあります。値は示しません / there is one already; it isn't shown",
		"new":      "最初のログインで作ります / is made at the first login",
		"drawn":    "ログインのたびに違います / another one at each login",
		"told":     v.Value,
		"withheld": "伝わりません / isn't told",
	}
	return v.Format + ": " + says[v.State]
}
