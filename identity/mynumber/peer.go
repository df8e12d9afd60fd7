package mynumber

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/musubi-hub/musubi/identity/login"
)

// The fields of RFC 9440, and the bounds of what is read in them.
const (
	headerCert  = "Client-Cert"
	headerChain = "Client-Cert-Chain"

	maxLeaf       = 16 << 10 // octets of DER
	maxChain      = 8        // certificates
	maxChainOctet = 64 << 10 // octets of the whole field
)

// Proxy is a TLS-terminating proxy that is trusted to say whose certificate it saw, and to remove what a client says of it. It is known by everything
// that is set, and at least by one of them.
type Proxy struct {
	Name      string         // for the log
	Addresses []netip.Prefix // from where it connects
	Keys      []string       // SHA-256 of the SubjectPublicKeyInfo (hex) of its own client certificate, by mutual TLS
	Unix      bool           // it connects to a unix socket, whose permissions say who may
}

func (p Proxy) check() error {
	if p.Name == "" || len(p.Addresses) == 0 && len(p.Keys) == 0 && !p.Unix {
		return fmt.Errorf("mynumber: proxy %q: name it, and say how it is known: addresses, keys or a unix socket", p.Name)
	}
	if p.Unix && len(p.Addresses)+len(p.Keys) > 0 {
		return fmt.Errorf("mynumber: proxy %q: a unix socket has neither addresses nor TLS", p.Name)
	}
	for _, a := range p.Addresses {
		if a.Bits() == 0 {
			return fmt.Errorf("mynumber: proxy %q: %s is everybody", p.Name, a)
		}
	}
	for _, k := range p.Keys {
		if b, err := hex.DecodeString(k); err != nil || len(b) != sha256.Size {
			return fmt.Errorf("mynumber: proxy %q: %q is no SHA-256 in hexadecimal", p.Name, k)
		}
	}
	return nil
}

// is tells whether a request came over this proxy's own connection. No header has a say.
func (p Proxy) is(r *http.Request) bool {
	local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if local != nil && local.Network() == "unix" {
		return p.Unix
	}
	if p.Unix {
		return false
	}
	if len(p.Addresses) > 0 {
		from, err := netip.ParseAddrPort(r.RemoteAddr)
		if err != nil || !slices.ContainsFunc(p.Addresses, func(a netip.Prefix) bool { return a.Contains(from.Addr().Unmap()) }) {
			return false
		}
	}
	if len(p.Keys) > 0 {
		if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
			return false
		}
		sum := sha256.Sum256(r.TLS.PeerCertificates[0].RawSubjectPublicKeyInfo)
		return slices.ContainsFunc(p.Keys, func(k string) bool { return strings.EqualFold(k, hex.EncodeToString(sum[:])) })
	}
	return true
}

// presented is a certificate whose key was just used.
type presented struct {
	leaf  []byte
	chain [][]byte
	proxy string // who says so; empty for this process's own handshake
}

func reject(code string, retry bool, detail map[string]any) *login.Rejection {
	return &login.Rejection{Code: code, Retry: retry, Detail: detail}
}

// peer finds the certificate that came with a request. A header counts only from a named proxy, whose own certificate is never taken for a card's; from
// anybody else the header alone is a reason to refuse, whatever the handshake says.
func peer(r *http.Request, proxies []Proxy) (presented, *login.Rejection) {
	certs, chains := fields(r.Header, headerCert), fields(r.Header, headerChain)
	for _, p := range proxies {
		if p.is(r) {
			out, err := fromHeaders(certs, chains)
			out.proxy = p.Name
			if err != nil {
				err.Detail = map[string]any{"proxy": p.Name}
			}
			return out, err
		}
	}
	if len(certs)+len(chains) > 0 {
		return presented{}, reject("client_cert_forged", false, nil)
	}
	switch {
	case r.TLS == nil:
		return presented{}, reject("tls_missing", false, nil)
	case r.TLS.DidResume:
		return presented{}, reject("tls_resumed", true, nil)
	case len(r.TLS.PeerCertificates) == 0:
		return presented{}, reject("certificate_missing", true, nil)
	case !take(r.Context()):
		return presented{}, reject("connection_used", true, nil)
	}
	var out presented
	for i, c := range r.TLS.PeerCertificates {
		switch {
		case i == 0:
			out.leaf = c.Raw
		case i > maxChain:
			return presented{}, reject("certificate_too_large", true, nil)
		default:
			out.chain = append(out.chain, c.Raw)
		}
	}
	if len(out.leaf) > maxLeaf {
		return presented{}, reject("certificate_too_large", true, nil)
	}
	return out, nil
}

// fields gives all values of a field, under every spelling: a map that something else filled may hold more than the canonical one, and some servers
// read an underscore as a hyphen.
func fields(h http.Header, name string) (all []string) {
	for k, v := range h {
		if strings.EqualFold(strings.ReplaceAll(k, "_", "-"), name) {
			all = append(all, v...)
		}
	}
	return all
}

// fromHeaders reads the fields of RFC 9440. Either of them twice is a client's beside the proxy's.
func fromHeaders(certs, chains []string) (out presented, _ *login.Rejection) {
	switch {
	case len(certs) == 0 && len(chains) == 0:
		return out, reject("certificate_missing", true, nil)
	case len(certs) != 1 || len(chains) > 1:
		return out, reject("client_cert_repeated", false, nil)
	}
	var err error
	if out.leaf, err = item(certs[0], maxLeaf); err != nil {
		return presented{}, reject("client_cert_malformed", false, nil)
	}
	if len(chains) == 0 {
		return out, nil
	}
	if len(chains[0]) > maxChainOctet {
		return presented{}, reject("certificate_too_large", false, nil)
	}
	for i, member := range strings.Split(chains[0], ",") {
		one, err := item(strings.Trim(member, " \t"), maxLeaf)
		if err != nil || i >= maxChain {
			return presented{}, reject("client_cert_malformed", false, nil)
		}
		out.chain = append(out.chain, one)
	}
	return out, nil
}

var errItem = errors.New("not a Byte Sequence")

// item reads a Byte Sequence (RFC 8941, 3.3.5) without parameters, which RFC 9440 has none of.
func item(s string, limit int) ([]byte, error) {
	if len(s) < 3 || s[0] != ':' || s[len(s)-1] != ':' || len(s) > base64.StdEncoding.EncodedLen(limit)+2 || strings.ContainsAny(s, "\r\n") {
		return nil, errItem
	}
	b, err := base64.StdEncoding.Strict().DecodeString(s[1 : len(s)-1])
	if err != nil || len(b) == 0 {
		return nil, errItem
	}
	return b, nil
}
