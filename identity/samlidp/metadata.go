package samlidp

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/beevik/etree"

	"github.com/musubi-hub/musubi/identity/keys"
	"github.com/musubi-hub/musubi/identity/samlidp/sp"
	"github.com/musubi-hub/musubi/identity/samlidp/wire"
	"github.com/musubi-hub/musubi/policies"
)

// metadata serves the network's metadata (SAML 2.0 Metadata, section 4.1).
func (c *call) metadata() {
	doc, err := c.p.Metadata(c.r.Context(), c.network)
	if err != nil {
		c.page("", "saml.metadata", broken(err))
		return
	}
	c.w.Header().Set("Content-Type", "application/samlmetadata+xml")
	c.w.Header().Set("Cache-Control", "public, max-age=300")
	_, _ = c.w.Write(doc)
}

// Metadata gives a network's signed metadata: the certificates of the active key first, then of the next one, which signs after it, then
// of those that retired a short while ago.
func (p *Provider) Metadata(ctx context.Context, n policies.Network) ([]byte, error) {
	origin, ok := p.opt.Origins[n]
	if !ok {
		return nil, fmt.Errorf("samlidp: the network %q has no origin", n)
	}
	published, err := p.opt.Keys.Published(ctx, p.opt.DB.Reader(), Purpose)
	if err != nil {
		return nil, err
	}
	order := []keys.State{keys.Active, keys.Next, keys.Retired}
	slices.SortStableFunc(published, func(a, b keys.Key) int { return slices.Index(order, a.State) - slices.Index(order, b.State) })
	var certificates [][]byte
	for _, k := range published {
		der, err := certificateOf(ctx, p.opt.DB.Reader(), k.ID)
		if errors.Is(err, errNoCertificate) && k.State != keys.Retired {
			if err = p.Ensure(ctx); err == nil {
				der, err = certificateOf(ctx, p.opt.DB.Reader(), k.ID)
			}
		}
		switch {
		case errors.Is(err, errNoCertificate): // it retired before anybody saw it
		case err != nil:
			return nil, err
		default:
			certificates = append(certificates, der)
		}
	}
	by, err := p.signing(ctx, p.opt.DB.Reader())
	if err != nil {
		return nil, err
	}
	id, err := p.documentID()
	if err != nil {
		return nil, err
	}
	el := entityOf(id, origin, certificates, p.opt.Now())
	if err := wire.Sign(el, by.signer, by.certificate); err != nil {
		return nil, err
	}
	return wire.Bytes(el)
}

func entityOf(id, origin string, certificates [][]byte, now time.Time) *etree.Element {
	el := etree.NewElement("md:EntityDescriptor")
	el.CreateAttr("xmlns:md", wire.NSMetadata)
	el.CreateAttr("ID", id)
	el.CreateAttr("entityID", origin+pathMetadata)
	el.CreateAttr("validUntil", instant(now.Add(metadataLife).UnixMicro()))
	el.CreateAttr("cacheDuration", metadataCache)
	role := el.CreateElement("md:IDPSSODescriptor")
	role.CreateAttr("protocolSupportEnumeration", wire.NSProtocol)
	for _, der := range certificates {
		k := role.CreateElement("md:KeyDescriptor")
		k.CreateAttr("use", "signing")
		info := k.CreateElement("ds:KeyInfo")
		info.CreateAttr("xmlns:ds", wire.NSSignature)
		info.CreateElement("ds:X509Data").CreateElement("ds:X509Certificate").SetText(base64.StdEncoding.EncodeToString(der))
	}
	for _, b := range []struct{ binding, path string }{{sp.BindingRedirect, pathSLO}, {sp.BindingPOST, pathSLO}, {sp.BindingSOAP, pathSOAP}} {
		s := role.CreateElement("md:SingleLogoutService")
		s.CreateAttr("Binding", b.binding)
		s.CreateAttr("Location", origin+b.path)
	}
	for _, f := range sp.NameIDs() {
		role.CreateElement("md:NameIDFormat").SetText(string(f))
	}
	for _, b := range []string{sp.BindingRedirect, sp.BindingPOST} {
		s := role.CreateElement("md:SingleSignOnService")
		s.CreateAttr("Binding", b)
		s.CreateAttr("Location", origin+pathSSO)
	}
	return el
}

// instant writes a time as SAML does: UTC, milliseconds (Core, section 1.3.3).
func instant(at int64) string { return time.UnixMicro(at).UTC().Format("2006-01-02T15:04:05.000Z") }
