package samlidp

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/beevik/etree"

	"github.com/musubi-hub/musubi/identity/keys"
	"github.com/musubi-hub/musubi/identity/samlidp/sp"
	"github.com/musubi-hub/musubi/identity/samlidp/wire"
	"github.com/musubi-hub/musubi/policies"
)

// metadata serves the network's metadata (SAML 2.0 Metadata, section 4.1).
func (c *call) metadata() {
	if d, err := c.p.document(c.r.Context(), c.network); err != nil {
		c.page("", actionMetadata, broken(err))
	} else {
		_ = c.write(d)
	}
}

func (c *call) write(d document) error {
	c.w.Header().Set("Content-Type", "application/samlmetadata+xml")
	c.w.Header().Set("Cache-Control", "public, max-age=300")
	_, err := c.w.Write(d.text)
	return err
}

// Metadata gives a network's signed metadata: the certificates of the active key first, then of the next one, which signs after it, then
// of those that retired a short while ago.
func (p *Provider) Metadata(ctx context.Context, n policies.Network) ([]byte, error) {
	d, err := p.document(ctx, n)
	return d.text, err
}

// document is signed metadata.
type document struct {
	text []byte
	keys []string // ids
	mark string   // of keys and their states: another one is another document
	at   int64    // UTC, microseconds
}

// documents keeps what was signed a moment ago, so that who asks for metadata again and again costs no signatures; and what is known of fetches.
type documents struct {
	key []byte // of the addresses that are a provider's own

	mu   sync.Mutex
	kept map[policies.Network]document

	seenMu sync.Mutex
	seen   map[seenBy]document // without text
}

// document gives a network's metadata. Which keys it holds is read each time: one that was withdrawn is gone at once, on every node.
func (p *Provider) document(ctx context.Context, n policies.Network) (document, error) {
	origin, ok := p.opt.Origins[n]
	if !ok {
		return document{}, fmt.Errorf("samlidp: the network %q has no origin", n)
	}
	published, err := p.opt.Keys.Published(ctx, p.opt.DB.Reader(), Purpose)
	if err != nil {
		return document{}, err
	}
	order := []keys.State{keys.Active, keys.Next, keys.Retired}
	slices.SortStableFunc(published, func(a, b keys.Key) int { return slices.Index(order, a.State) - slices.Index(order, b.State) })
	d := document{at: p.opt.Now().UnixMicro()}
	for _, k := range published {
		d.mark += k.ID + string(k.State)
	}
	p.metadata.mu.Lock()
	defer p.metadata.mu.Unlock()
	if old, ok := p.metadata.kept[n]; ok && old.mark == d.mark && old.at <= d.at && d.at-old.at < metadataKept.Microseconds() {
		return old, nil
	}
	if err := p.fillDocument(ctx, &d, origin, published); err != nil {
		return document{}, err
	}
	if p.metadata.kept == nil {
		p.metadata.kept = map[policies.Network]document{}
	}
	p.metadata.kept[n] = d
	return d, nil
}

func (p *Provider) fillDocument(ctx context.Context, d *document, origin string, published []keys.Key) error {
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
			return err
		default:
			certificates, d.keys = append(certificates, der), append(d.keys, k.ID)
		}
	}
	by, err := p.signing(ctx, p.opt.DB.Reader())
	if err != nil {
		return err
	}
	id, err := p.documentID()
	if err != nil {
		return err
	}
	el := entityOf(id, origin, certificates, time.UnixMicro(d.at))
	if err := wire.Sign(el, by.signer, by.certificate); err != nil {
		return err
	}
	d.text, err = wire.Bytes(el)
	return err
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
