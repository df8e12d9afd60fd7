package sp

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/policies"
)

// Class says who may let a difference count.
type Class string

// The classes. What this program doesn't know is for a person.
const (
	ClassHarmless Class = "harmless" // it opens nothing that wasn't open; taken by itself where the source says so
	ClassPerson   Class = "person"
)

// ChangeKind says what a difference is about.
type ChangeKind string

// The kinds of difference.
const (
	ChangeEntity            ChangeKind = "entity_id"
	ChangeConsumerAdded     ChangeKind = "consumer_added"
	ChangeConsumerRemoved   ChangeKind = "consumer_removed"
	ChangeConsumerMoved     ChangeKind = "consumer_changed" // another index, or whether it is the default
	ChangeLogoutAdded       ChangeKind = "logout_added"
	ChangeLogoutRemoved     ChangeKind = "logout_removed"
	ChangeSigningAdded      ChangeKind = "signing_added"
	ChangeSigningRenewed    ChangeKind = "signing_renewed" // another certificate of a key that is known
	ChangeSigningRemoved    ChangeKind = "signing_removed"
	ChangeEncryptionAdded   ChangeKind = "encryption_added"
	ChangeEncryptionRenewed ChangeKind = "encryption_renewed"
	ChangeEncryptionRemoved ChangeKind = "encryption_removed"
	ChangeEncryptionFirst   ChangeKind = "encryption_first" // another key is the first: the one that is used
	ChangeEncryptionMethods ChangeKind = "encryption_methods"
	ChangeEncrypt           ChangeKind = "encrypt"
	ChangeSigned            ChangeKind = "signed"
	ChangeNameID            ChangeKind = "name_id"
	ChangeValidUntil        ChangeKind = "valid_until"
)

// Change is one difference between a provider as it is registered and as its metadata would make it.
type Change struct {
	Kind    ChangeKind       `json:"kind"`
	Class   Class            `json:"class"`
	Network policies.Network `json:"network,omitempty"`
	Old     string           `json:"old,omitempty"`
	New     string           `json:"new,omitempty"`
	// Alarm marks what somebody who takes a provider over would do first: answers or keys go to where nothing went before, or a check gets weaker.
	Alarm bool `json:"alarm,omitempty"`
}

// Diff lists the differences that count, in the order in which a person should read them. signed says that the pinned signer signed the
// metadata: without, nothing is harmless. Only what metadata can say is looked at.
func Diff(old, draft SP, signed bool) []Change {
	d := &differ{signed: signed, hosts: hosts(old)}
	if old.EntityID != draft.EntityID {
		d.person(Change{Kind: ChangeEntity, Old: old.EntityID, New: draft.EntityID, Alarm: true})
	}
	for _, was := range old.Faces {
		if is, ok := draft.Face(was.Network); ok {
			d.consumers(was, is)
		}
	}
	d.flag(ChangeSigned, old.Signed, draft.Signed)
	d.signing(old.Signing, draft.Signing)
	d.flag(ChangeEncrypt, old.Encrypt, draft.Encrypt)
	d.encryption(old.Encryption, draft.Encryption)
	if old.NameID != draft.NameID {
		d.person(Change{Kind: ChangeNameID, Old: string(old.NameID), New: string(draft.NameID)})
	}
	for _, was := range old.Faces {
		if is, ok := draft.Face(was.Network); ok {
			d.logout(was, is)
		}
	}
	return d.all
}

type differ struct {
	signed bool
	hosts  map[string]bool // where the provider is reached already
	all    []Change
}

func (d *differ) person(c Change) {
	c.Class = ClassPerson
	d.all = append(d.all, c)
}

// harmless adds what opens nothing, where the pinned signer says it.
func (d *differ) harmless(c Change) {
	if c.Class = ClassPerson; d.signed {
		c.Class = ClassHarmless
	}
	d.all = append(d.all, c)
}

// flag compares what makes logins safer while it is on.
func (d *differ) flag(kind ChangeKind, old, draft bool) {
	if old != draft {
		d.person(Change{Kind: kind, Old: fmt.Sprint(old), New: fmt.Sprint(draft), Alarm: old})
	}
}

func (d *differ) consumers(old, draft Face) {
	for _, c := range draft.Consumers {
		was, ok := old.At(c.Location)
		switch {
		case !ok:
			d.person(Change{Kind: ChangeConsumerAdded, Network: old.Network, New: c.text(), Alarm: d.strange(c.Location)})
		case was != c:
			d.person(Change{Kind: ChangeConsumerMoved, Network: old.Network, Old: was.text(), New: c.text()})
		}
	}
	for _, c := range old.Consumers {
		if _, ok := draft.At(c.Location); !ok {
			d.person(Change{Kind: ChangeConsumerRemoved, Network: old.Network, Old: c.text()})
		}
	}
	// The first one is used where none is the default, so their order counts then.
	was, _ := old.Default()
	is, _ := draft.Default()
	if was.Location != is.Location && !was.Default && !is.Default {
		if _, ok := old.At(is.Location); ok {
			d.person(Change{Kind: ChangeConsumerMoved, Network: old.Network, Old: was.text() + " first", New: is.text() + " first"})
		}
	}
}

func (c Consumer) text() string {
	text := fmt.Sprintf("%s [%d]", c.Location, c.Index)
	if c.Default {
		text += " default"
	}
	return text
}

func (d *differ) logout(old, draft Face) {
	for _, e := range draft.Logout {
		if !slices.Contains(old.Logout, e) {
			d.person(Change{Kind: ChangeLogoutAdded, Network: old.Network, New: e.text(), Alarm: d.strange(e.Location) || e.Response != "" && d.strange(e.Response)})
		}
	}
	for _, e := range old.Logout {
		if !slices.Contains(draft.Logout, e) {
			d.person(Change{Kind: ChangeLogoutRemoved, Network: old.Network, Old: e.text()})
		}
	}
}

func (e Endpoint) text() string {
	text := strings.TrimPrefix(e.Binding, "urn:oasis:names:tc:SAML:2.0:bindings:") + " " + e.Location
	if e.Response != "" {
		text += " (answers: " + e.Response + ")"
	}
	return text
}

func (d *differ) signing(old, draft [][]byte) {
	for _, der := range draft {
		switch {
		case holds(old, der):
		case holdsKey(old, der):
			d.harmless(Change{Kind: ChangeSigningRenewed, New: describe(der)})
		default:
			d.harmless(Change{Kind: ChangeSigningAdded, New: describe(der), Alarm: !d.signed})
		}
	}
	for _, der := range old {
		if holds(draft, der) {
			continue
		}
		// A certificate whose key goes on under another one takes nothing away.
		if holdsKey(draft, der) {
			d.harmless(Change{Kind: ChangeSigningRenewed, Old: describe(der)})
			continue
		}
		d.person(Change{Kind: ChangeSigningRemoved, Old: describe(der)})
	}
}

func (d *differ) encryption(old, draft []Encryption) {
	was, is := certificates(old), certificates(draft)
	for i, e := range draft {
		switch {
		case holds(was, e.Certificate):
			if o := old[slices.IndexFunc(was, func(b []byte) bool { return bytes.Equal(b, e.Certificate) })]; !slices.Equal(o.Methods, e.Methods) {
				d.person(Change{Kind: ChangeEncryptionMethods, Old: methodsText(o.Methods), New: methodsText(e.Methods)})
			}
		case holdsKey(was, e.Certificate):
			d.person(Change{Kind: ChangeEncryptionRenewed, New: describe(e.Certificate)})
		default:
			d.person(Change{Kind: ChangeEncryptionAdded, New: describe(e.Certificate), Alarm: i == 0})
		}
	}
	for _, der := range was {
		if !holds(is, der) {
			d.person(Change{Kind: ChangeEncryptionRemoved, Old: describe(der)})
		}
	}
	if len(was) > 0 && len(is) > 0 && !bytes.Equal(was[0], is[0]) && holds(was, is[0]) {
		d.person(Change{Kind: ChangeEncryptionFirst, Old: describe(was[0]), New: describe(is[0])})
	}
}

func certificates(all []Encryption) (ders [][]byte) {
	for _, e := range all {
		ders = append(ders, e.Certificate)
	}
	return ders
}

func methodsText(methods []string) string {
	if len(methods) == 0 {
		return "-"
	}
	return strings.Join(methods, " ")
}

func holds(all [][]byte, der []byte) bool {
	return slices.ContainsFunc(all, func(b []byte) bool { return bytes.Equal(b, der) })
}

// holdsKey reports whether one of the certificates is of the same key.
func holdsKey(all [][]byte, der []byte) bool {
	key := keyHash(der)
	return key != "" && slices.ContainsFunc(all, func(b []byte) bool { return keyHash(b) == key })
}

// keyHash is the SHA-256 of a certificate's public key; empty where it can't be read.
func keyHash(der []byte) string {
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	return hex.EncodeToString(sum[:])
}

// describe names a certificate as people compare it: by its fingerprint. Its own words aren't shown; whoever made it chose them.
func describe(der []byte) string {
	text := "SHA-256 " + Fingerprint(der)
	if c, err := x509.ParseCertificate(der); err == nil {
		text += " (until " + c.NotAfter.UTC().Format(time.DateOnly) + ")"
	}
	return text
}

// strange reports whether nothing of the provider was at this host before.
func (d *differ) strange(location string) bool {
	u, err := url.Parse(location)
	return err != nil || !d.hosts[u.Host]
}

func hosts(p SP) map[string]bool {
	all := map[string]bool{}
	add := func(location string) {
		if u, err := url.Parse(location); err == nil && u.Host != "" {
			all[u.Host] = true
		}
	}
	for _, f := range p.Faces {
		for _, c := range f.Consumers {
			add(c.Location)
		}
		for _, e := range f.Logout {
			add(e.Location)
			add(e.Response)
		}
	}
	return all
}

// NeedsPerson reports whether one of the differences is for a person.
func NeedsPerson(changes []Change) bool {
	return slices.ContainsFunc(changes, func(c Change) bool { return c.Class != ClassHarmless })
}
