package network

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/musubi-hub/musubi/policies"
)

// Config is the networks of a hub, as configured.
type Config struct {
	Networks  map[policies.Network]Hosts
	Listeners map[string]Listener // by a name of the operator's
}

// Hosts are a network's host names, with the port where it isn't 443, in lower case.
type Hosts struct {
	Login string // pages, issuers
	Card  string // asks for the card's certificate in the TLS handshake; a host of its own, so that other pages don't
}

// Listener says what comes in at one listening socket. Exactly one of the two is set.
type Listener struct {
	Network policies.Network // everybody who can reach the socket comes from this network
	Proxies []Proxy          // only these may connect
}

// Proxy is a trusted proxy. One that serves two networks needs two listeners, or an address for each.
type Proxy struct {
	From    []netip.Prefix
	Network policies.Network
}

// Role is what a host name is for.
type Role string

// The roles.
const (
	RoleLogin Role = "login"
	RoleCard  Role = "card"
)

// Table is a valid Config. It never changes.
type Table struct {
	networks  map[policies.Network]Hosts
	listeners map[string]Listener
	hosts     map[string]place
}

type place struct {
	network policies.Network
	role    Role
}

// New checks c. Two networks never share a host name, so that no cookie and no issuer is common to them.
func New(c Config) (*Table, error) {
	t := &Table{networks: map[policies.Network]Hosts{}, listeners: map[string]Listener{}, hosts: map[string]place{}}
	if len(c.Networks) == 0 || len(c.Listeners) == 0 {
		return nil, errors.New("network: no network or no listener is configured")
	}
	for n, h := range c.Networks {
		if !slices.Contains(policies.Networks(), n) {
			return nil, fmt.Errorf("network: unknown network %q; there are %q", n, policies.Networks())
		}
		for role, host := range map[Role]string{RoleLogin: h.Login, RoleCard: h.Card} {
			if host == "" && role == RoleCard {
				continue // without the card
			}
			if err := checkHost(host); err != nil {
				return nil, fmt.Errorf("network: %s: the %s host %q %w", n, role, host, err)
			}
			if other, taken := t.hosts[host]; taken {
				return nil, fmt.Errorf("network: the host %s serves %s of %s and %s of %s; each needs its own", host, other.role, other.network, role, n)
			}
			t.hosts[host] = place{n, role}
		}
		t.networks[n] = h
	}
	for name, l := range c.Listeners {
		if err := t.checkListener(l); err != nil {
			return nil, fmt.Errorf("network: listener %q: %w", name, err)
		}
		t.listeners[name] = Listener{Network: l.Network, Proxies: slices.Clone(l.Proxies)}
	}
	return t, nil
}

func checkHost(host string) error {
	u, err := url.Parse("https://" + host)
	switch {
	case host == "":
		return errors.New("is missing")
	case err != nil || u.Host != host || u.Hostname() == "" || u.User != nil || u.Port() == "443" || strings.HasSuffix(host, ":"):
		return errors.New("isn't a host name, with a port where that isn't 443")
	case host != strings.ToLower(host) || strings.HasSuffix(u.Hostname(), "."):
		return errors.New("isn't in lower case without a dot at its end")
	}
	return nil
}

func (t *Table) checkListener(l Listener) error {
	if (l.Network == "") == (len(l.Proxies) == 0) {
		return errors.New("give either a network or trusted proxies")
	}
	known := func(n policies.Network) error {
		if _, ok := t.networks[n]; !ok {
			return fmt.Errorf("network %q has no hosts", n)
		}
		return nil
	}
	if l.Network != "" {
		return known(l.Network)
	}
	var seen []netip.Prefix
	for _, p := range l.Proxies {
		if err := known(p.Network); err != nil {
			return err
		}
		if len(p.From) == 0 {
			return fmt.Errorf("a proxy of %s has no address", p.Network)
		}
		for _, from := range p.From {
			switch {
			case !from.IsValid() || from != from.Masked():
				return fmt.Errorf("the proxy's address %s isn't a network address", from)
			case from.Bits() == 0:
				return fmt.Errorf("%s trusts everybody", from)
			}
			for _, other := range seen {
				if other.Overlaps(from) {
					return fmt.Errorf("the proxies' addresses %s and %s overlap: whose network would it be", other, from)
				}
			}
			seen = append(seen, from)
		}
	}
	return nil
}

// URL gives an absolute address on a network's host; empty where the network has no such host.
func (t *Table) URL(n policies.Network, role Role, path string) string {
	h := t.networks[n]
	host := map[Role]string{RoleLogin: h.Login, RoleCard: h.Card}[role]
	if host == "" {
		return ""
	}
	return "https://" + host + path
}

// ErrLeaves says that an address isn't one to redirect to.
var ErrLeaves = errors.New("network: the address leaves the request's network")

// Stays holds that a redirect stays in network n: to n's own hosts, or to one of others, exactly as the relying party has registered them for n. An
// address of ours in another network is refused even if registered.
func (t *Table) Stays(n policies.Network, address string, others ...string) error {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || strings.ContainsAny(address, "\\\t\r\n ") {
		return fmt.Errorf("%w: want an absolute https address", ErrLeaves)
	}
	host := strings.TrimSuffix(strings.ToLower(u.Host), ":443")
	if at, ours := t.hosts[host]; ours {
		if at.network != n {
			return ErrLeaves
		}
		return nil
	}
	for h, at := range t.hosts { // our name on a port of somebody else's, or with a dot at its end
		if name, _, _ := strings.Cut(h, ":"); strings.TrimSuffix(u.Hostname(), ".") == name && at.network != n {
			return ErrLeaves
		}
	}
	if !slices.Contains(others, address) {
		return ErrLeaves
	}
	return nil
}
