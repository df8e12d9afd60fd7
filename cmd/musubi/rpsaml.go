package main

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/cmd/musubi/registration"
	"github.com/musubi-hub/musubi/identity/keys"
	"github.com/musubi-hub/musubi/identity/samlidp"
	"github.com/musubi-hub/musubi/identity/samlidp/rollover"
	"github.com/musubi-hub/musubi/identity/samlidp/sp"
	"github.com/musubi-hub/musubi/policies"
)

var errNoCertificates = errors.New("署名の証明書がまだありません。最初の serve が作ります。 / there is no signing certificate yet: the first musubi serve makes it")

// ownView is the hub as a SAML party has to know it.
type ownView struct {
	Networks     []ownAddress     `json:"networks"`
	Certificates []ownCertificate `json:"certificates"` // the active key's first, then the next one's
	Enter        []ownEntry       `json:"enter,omitempty"`
}

// ownAddress is where the hub is in one network.
type ownAddress struct {
	Network  policies.Network `json:"network"`
	Served   bool             `json:"served"`
	EntityID string           `json:"entity_id,omitempty"`
	Metadata string           `json:"metadata,omitempty"`
	SSO      string           `json:"sso,omitempty"`
	SLO      string           `json:"slo,omitempty"`
	SOAP     string           `json:"slo_soap,omitempty"`
}

// ownCertificate is a signing certificate of the hub.
type ownCertificate struct {
	State    string `json:"state"` // active: signs; next: signs after it; retired: signs no more
	Key      string `json:"key"`
	SHA256   string `json:"sha256"` // fingerprint
	NotAfter string `json:"not_after"`
	PEM      string `json:"pem"`
}

// ownEntry is a field of the other side's settings with what belongs there.
type ownEntry struct {
	At      string             `json:"at"`
	Put     registration.Value `json:"put"`
	Network policies.Network   `json:"network,omitempty"`
	Value   string             `json:"value,omitempty"` // empty for certificates
}

// ownSide gathers what a party has to be told.
func ownSide(ctx context.Context, h *boot.Hub, p sp.SP) (v ownView, err error) {
	v.Networks, v.Certificates = []ownAddress{}, []ownCertificate{}
	all, err := samlidp.Certificates(ctx, h.DB.Reader(), h.Keys)
	if err != nil {
		return v, err
	}
	for _, c := range all {
		x := ownCertificate{State: string(c.State), Key: c.KeyID, SHA256: colons(c.DER), PEM: registration.PEM(c.DER)}
		if parsed, err := x509.ParseCertificate(c.DER); err == nil {
			x.NotAfter = showTime(parsed.NotAfter)
		}
		v.Certificates = append(v.Certificates, x)
	}
	for _, f := range p.Faces {
		a := ownAddress{Network: f.Network}
		if at, ok := samlAt(h, f.Network); ok {
			a = ownAddress{f.Network, true, at.EntityID, at.EntityID, at.SSO, at.SLO, at.SOAP}
			if len(all) > 0 { // else nobody has served yet, and there may be no sealing key
				a.Metadata = metadataAt(ctx, h, p.ID, f.Network, at.EntityID)
			}
		}
		v.Networks = append(v.Networks, a)
	}
	profile, err := registration.Find(p.Vendor)
	if err != nil {
		return v, nil // it was made without one
	}
	for _, entry := range profile.Enter {
		if entry.Put == registration.ValueCertificate {
			v.Enter = append(v.Enter, ownEntry{At: entry.At, Put: entry.Put})
			continue
		}
		for _, a := range v.Networks {
			value := map[registration.Value]string{
				registration.ValueEntityID: a.EntityID, registration.ValueMetadata: a.Metadata, registration.ValueSSO: a.SSO, registration.ValueSLO: a.SLO,
			}[entry.Put]
			v.Enter = append(v.Enter, ownEntry{entry.At, entry.Put, a.Network, value})
		}
	}
	return v, nil
}

// metadataAt is the address of the metadata that is the party's own, so that it is seen when it reads the next key; the common one, at the entity
// id, where the sealing key can't be read here.
func metadataAt(ctx context.Context, h *boot.Hub, id policies.RelyingPartyID, n policies.Network, common string) string {
	if h.Unseal(ctx) != nil {
		return common
	}
	places, err := h.Places(rollover.Counterparty{ID: id, Networks: []policies.Network{n}})
	if err != nil || len(places) != 1 {
		return common
	}
	return places[0].Metadata
}

// samlAt gives the hub's addresses in a network; ok is false where no login is served.
func samlAt(h *boot.Hub, n policies.Network) (samlidp.Addresses, bool) {
	g := h.Config.Gates[n]
	if g == nil {
		return samlidp.Addresses{}, false
	}
	return samlidp.AddressesAt("https://" + g.LoginHost), true
}

// colons writes a certificate's SHA-256 as browsers and openssl show it.
func colons(der []byte) string {
	sum := sha256.Sum256(der)
	var pairs []string
	for _, b := range sum {
		pairs = append(pairs, fmt.Sprintf("%02X", b))
	}
	return strings.Join(pairs, ":")
}

// tellOtherSide says what the relying party's own configuration needs.
func (e *env) tellOtherSide(ctx context.Context, h *boot.Hub, p relyingParty, lead string) error {
	if p.saml != nil {
		return e.tellSAMLSide(ctx, h, *p.saml, lead)
	}
	say(e.stdout, "%s相手に入れる値 / for the other side: client_id %s, 認証 / authentication %s, 署名 / signatures %s", lead, p.oidc.ID, p.oidc.Auth, p.oidc.Alg)
	for _, f := range p.oidc.Faces {
		g := h.Config.Gates[f.Network]
		if g == nil {
			say(e.stdout, "%s  %-10s (ログインの受付がまだありません / no login is served there yet)", lead, f.Network)
			continue
		}
		say(e.stdout, "%s  %-10s issuer https://%s  discovery https://%s/.well-known/openid-configuration", lead, f.Network, g.LoginHost, g.LoginHost)
	}
	return nil
}

func (e *env) tellSAMLSide(ctx context.Context, h *boot.Hub, p sp.SP, lead string) error {
	v, err := ownSide(ctx, h, p)
	if err != nil {
		return err
	}
	line := func(format string, args ...any) {
		say(e.stdout, "%s", strings.TrimRight(lead+fmt.Sprintf(format, args...), " "))
	}
	line("相手に入れる値 / for the other side")
	for _, a := range v.Networks {
		if !a.Served {
			line("  %-10s (ログインの受付がまだありません / no login is served there yet)", a.Network)
			continue
		}
		line("  %-10s エンティティ ID / entity id  %s", a.Network, a.EntityID)
		line("  %-10s メタデータ / metadata        %s", "", a.Metadata)
		line("  %-10s ログイン / single sign-on    %s  (HTTP-Redirect, HTTP-POST)", "", a.SSO)
		line("  %-10s ログアウト / single logout   %s  (HTTP-Redirect, HTTP-POST)", "", a.SLO)
		line("  %-10s                              %s  (SOAP)", "", a.SOAP)
	}
	for _, c := range v.Certificates {
		line("  証明書 / certificate: %s", certificateWord(c.State))
		line("    SHA-256 %s", c.SHA256)
		line("    期限 / not after %s", c.NotAfter)
		for _, text := range strings.Split(strings.TrimSpace(c.PEM), "\n") {
			line("    %s", text)
		}
	}
	if len(v.Certificates) == 0 {
		line("  %s", errNoCertificates)
	}
	profile, err := registration.Find(p.Vendor)
	if err != nil {
		return nil // it was made without one
	}
	line("相手の画面では / in its settings: %s / %s", profile.Title.JA, profile.Title.EN)
	for _, x := range v.Enter {
		switch {
		case x.Put == registration.ValueCertificate:
			line("  %s  <- 証明書 / the certificate above (--certificate)", x.At)
		case x.Value == "":
			line("  %s  <- %s (%s: まだありません / not there yet)", x.At, x.Put, x.Network)
		default:
			line("  %s  <- %s", x.At, x.Value)
		}
	}
	for _, text := range []string{profile.Ends.JA, profile.Ends.EN} {
		if text != "" {
			line("%s", text)
		}
	}
	return nil
}

func certificateWord(state string) string {
	switch keys.State(state) {
	case keys.Active:
		return "署名中 / signs"
	case keys.Next:
		return "次に署名するもの。先に入れておけるなら入れる / signs next: enter it ahead where that can be done"
	}
	return "退いたもの / signs no more"
}
