package samlidp

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/login"
	"github.com/musubi-hub/musubi/policies"
)

const actionStart = "saml.start"

// Link gives an address that begins a login at a service provider from one of the hub's own pages, for the session that sees the page. It is
// good for ten minutes, in that session alone: nobody can make somebody else log in by it. relay goes to the provider as RelayState.
func (p *Provider) Link(n policies.Network, id policies.RelyingPartyID, relay string, s identity.SessionID) (string, error) {
	origin := p.opt.Origins[n]
	if f := checkRelay(relay); f != nil || origin == "" || s == "" || id == "" {
		return "", fmt.Errorf("samlidp: a link to %s in the network %q with a RelayState of %d bytes can't be made: %w", id, n, len(relay), identity.ErrRefused)
	}
	until := strconv.FormatInt(p.opt.Now().Add(linkLife).UnixMicro(), 10)
	q := url.Values{"party": {string(id)}, "relay": {relay}, "until": {until}, "mark": {p.mark(n, string(id), relay, until, s)}}
	return origin + pathStart + "?" + q.Encode(), nil
}

// mark is HMAC-SHA256 over what a link says, each part with its length.
func (p *Provider) mark(n policies.Network, id, relay, until string, s identity.SessionID) string {
	mac := hmac.New(sha256.New, p.linkKey)
	for _, part := range []string{string(n), id, relay, until, string(s)} {
		fmt.Fprintf(mac, "%d:%s", len(part), part)
	}
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// start begins a login that no provider has asked for (SAML 2.0 Profiles, section 4.1.5).
func (c *call) start() {
	ask, id, f := c.link()
	if f != nil {
		c.page(id, actionStart, f)
		return
	}
	c.p.opt.Start(c.w, c.r, ask)
}

func (c *call) link() (ask login.Ask, id policies.RelyingPartyID, f *fault) {
	if len(c.r.URL.RawQuery) > maxQuery {
		return ask, "", bad("params_long")
	}
	in, err := url.ParseQuery(c.r.URL.RawQuery)
	if err != nil {
		return ask, "", bad("params_malformed")
	}
	for _, name := range []string{"party", "relay", "until", "mark"} {
		if len(in[name]) != 1 {
			return ask, "", bad("params_malformed")
		}
	}
	s, ok, err := c.p.opt.Browser.Current(c.r)
	if err != nil {
		return ask, "", broken(err)
	}
	if !ok || s.Network != c.network {
		return ask, "", bad("link_session")
	}
	party, relay, until := in.Get("party"), in.Get("relay"), in.Get("until")
	if !hmac.Equal([]byte(in.Get("mark")), []byte(c.p.mark(c.network, party, relay, until, s.ID))) {
		return ask, "", bad("link_invalid") // and the id is nobody's word
	}
	id = policies.RelyingPartyID(party)
	if end, err := strconv.ParseInt(until, 10, 64); err != nil || c.at >= end {
		return ask, id, bad("link_expired")
	}
	p, err := c.p.opt.Parties.SP(c.r.Context(), c.p.opt.DB.Reader(), id)
	if errors.Is(err, identity.ErrNotFound) {
		return ask, id, bad("party_unknown")
	}
	if err != nil {
		return ask, id, broken(err)
	}
	face, ok := p.Face(c.network)
	consumer, has := face.Default()
	switch {
	case !ok || !has:
		return ask, id, bad("party_network")
	case !p.Initiated:
		return ask, id, bad("not_initiated")
	}
	kept, err := json.Marshal(facts{Consumer: consumer.Location, Relay: relay, NameID: p.NameID})
	if err != nil {
		return ask, id, broken(err)
	}
	return login.Ask{Issuer: identity.IssuerSAML, RelyingParty: p.ID, Network: c.network, Required: p.Least, Facts: kept}, id, nil
}
