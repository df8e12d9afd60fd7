package network

import (
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/musubi-hub/musubi/policies"
)

// Facts is what is known of a request without believing it: where it came in, and from whom. Host, SNI and Forwarded are the client's words.
type Facts struct {
	Listener  string         // on which the connection was accepted
	Peer      netip.AddrPort // of the connection
	TLS       bool           // the connection is TLS that ended here
	SNI       string         // the server name of the handshake
	Host      string         // of the request
	Forwarded []string       // X-Forwarded-For, header by header
}

// Place is where a request arrived.
type Place struct {
	Network policies.Network
	Role    Role
	Host    string
	Proxied bool
	Client  netip.Addr // of the browser as far as is known, for the audit log alone
}

// Reason says why a request is served nowhere.
type Reason string

// The reasons.
const (
	ReasonListener Reason = "listener_unknown"
	ReasonProxy    Reason = "not_a_proxy"     // something else than a trusted proxy connects to a proxy's listener
	ReasonHost     Reason = "host_unknown"    // no host of ours
	ReasonOther    Reason = "host_of_another" // a host of another network
	ReasonSNI      Reason = "host_not_as_sni" // the request is for another host than the handshake
	ReasonPlain    Reason = "not_encrypted"   // on a listener without a proxy
)

// Decide says where a request arrived, or why it is served nowhere.
func (t *Table) Decide(f Facts) (Place, Reason) {
	l, ok := t.listeners[f.Listener]
	if !ok {
		return Place{}, ReasonListener
	}
	peer := f.Peer.Addr().Unmap().WithZone("")
	p := Place{Network: l.Network, Client: peer}
	if len(l.Proxies) > 0 {
		p.Proxied = true
		for _, proxy := range l.Proxies {
			for _, from := range proxy.From {
				if from.Contains(peer) {
					p.Network = proxy.Network
				}
			}
		}
		if p.Network == "" {
			return Place{}, ReasonProxy
		}
		p.Client = lastForwarded(f.Forwarded)
	} else if !f.TLS {
		return Place{}, ReasonPlain
	}
	host := strings.TrimSuffix(strings.ToLower(f.Host), ":443")
	at, known := t.hosts[host]
	switch {
	case !known:
		return Place{}, ReasonHost
	case at.network != p.Network:
		return Place{}, ReasonOther
	case f.TLS && !p.Proxied && !strings.EqualFold(f.SNI, hostname(host)):
		// The handshake decides which certificate was asked for: a connection made for the login host must not speak for the card host.
		return Place{}, ReasonSNI
	}
	p.Role, p.Host = at.role, host
	return p, ""
}

func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return host
}

// lastForwarded gives the address that the proxy itself added: whatever stands before it came with the request.
func lastForwarded(headers []string) netip.Addr {
	if len(headers) == 0 {
		return netip.Addr{}
	}
	last := headers[len(headers)-1]
	last = strings.TrimSpace(last[strings.LastIndexByte(last, ',')+1:])
	if a, err := netip.ParseAddr(last); err == nil {
		return a.Unmap().WithZone("")
	}
	if a, err := netip.ParseAddrPort(last); err == nil {
		return a.Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}

// FactsOf reads the facts of a request that came in at a listener.
func FactsOf(listener string, r *http.Request) Facts {
	f := Facts{Listener: listener, Host: r.Host, Forwarded: r.Header.Values("X-Forwarded-For")}
	f.Peer, _ = netip.ParseAddrPort(r.RemoteAddr) // the zero address is no proxy's
	if r.TLS != nil {
		f.TLS, f.SNI = true, r.TLS.ServerName
	}
	return f
}

// spoken are the headers by which proxies speak for clients.
var spoken = []string{
	"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port", "X-Real-Ip", "Client-Cert", "Client-Cert-Chain",
	"X-Client-Cert", "X-Ssl-Client-Cert", "X-Ssl-Cert",
}

// Clean removes the headers by which a proxy speaks for its clients from a request that didn't come through one, so that no code behind can
// believe them. Of a proxied request it leaves Client-Cert and Client-Cert-Chain (RFC 9440), which the proxy has to set or remove itself.
func Clean(h http.Header, p Place) {
	for name := range h {
		// Underscores: some servers take X_Forwarded_For for X-Forwarded-For.
		canonical := http.CanonicalHeaderKey(strings.ReplaceAll(name, "_", "-"))
		for _, s := range spoken {
			if canonical == s && !(p.Proxied && name == s && strings.HasPrefix(s, "Client-Cert")) {
				delete(h, name)
			}
		}
	}
}
