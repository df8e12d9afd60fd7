package network

import (
	"crypto/tls"
	"errors"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/musubi-hub/musubi/policies"
)

func config() Config {
	return Config{
		Networks: map[policies.Network]Hosts{
			policies.NetworkInternet:   {Login: "id.example.test", Card: "card.example.test"},
			policies.NetworkLGWAN:      {Login: "id.lgwan.test:8443", Card: "card.lgwan.test:8443"},
			policies.NetworkGovernment: {Login: "id.gov.test"},
		},
		Listeners: map[string]Listener{
			"front": {Network: policies.NetworkInternet},
			"lgwan": {Network: policies.NetworkLGWAN},
			"proxies": {Proxies: []Proxy{
				{From: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/24")}, Network: policies.NetworkLGWAN},
				{From: []netip.Prefix{netip.MustParsePrefix("10.2.0.1/32"), netip.MustParsePrefix("fd00::/64")}, Network: policies.NetworkGovernment},
			}},
		},
	}
}

func table(t testing.TB) *Table {
	t.Helper()
	x, err := New(config())
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func direct(listener, host string) Facts {
	return Facts{Listener: listener, Host: host, TLS: true, SNI: hostname(strings.ToLower(host)), Peer: netip.MustParseAddrPort("192.0.2.7:5000")}
}

func proxied(peer, host string, forwarded ...string) Facts {
	return Facts{Listener: "proxies", Host: host, Peer: netip.MustParseAddrPort(peer), Forwarded: forwarded}
}

func TestDecide(t *testing.T) {
	for _, tc := range []struct {
		name    string
		f       Facts
		network policies.Network
		role    Role
		client  string
		reason  Reason
	}{
		{"internet", direct("front", "id.example.test"), policies.NetworkInternet, RoleLogin, "192.0.2.7", ""},
		{"upper case", direct("front", "ID.Example.Test"), policies.NetworkInternet, RoleLogin, "192.0.2.7", ""},
		{"with its port", direct("front", "id.example.test:443"), policies.NetworkInternet, RoleLogin, "192.0.2.7", ""},
		{"card", direct("front", "card.example.test"), policies.NetworkInternet, RoleCard, "192.0.2.7", ""},
		{"LGWAN", direct("lgwan", "id.lgwan.test:8443"), policies.NetworkLGWAN, RoleLogin, "192.0.2.7", ""},
		{"the host of LGWAN at the internet's socket", direct("front", "id.lgwan.test:8443"), "", "", "", ReasonOther},
		{"the internet's host at LGWAN's socket", direct("lgwan", "id.example.test"), "", "", "", ReasonOther},
		{"another port", direct("front", "id.example.test:8443"), "", "", "", ReasonHost},
		{"a made up host", direct("front", "evil.example.test"), "", "", "", ReasonHost},
		{"no host", direct("front", ""), "", "", "", ReasonHost},
		{"a dot at the end", direct("front", "id.example.test."), "", "", "", ReasonHost},
		{"two hosts", direct("front", "id.example.test, id.lgwan.test"), "", "", "", ReasonHost},
		{"no listener", direct("", "id.example.test"), "", "", "", ReasonListener},
		{"plain", Facts{Listener: "front", Host: "id.example.test"}, "", "", "", ReasonPlain},
		{"the handshake was for the login host", Facts{Listener: "front", Host: "card.example.test", TLS: true, SNI: "id.example.test"}, "", "", "", ReasonSNI},
		{"no server name", Facts{Listener: "front", Host: "card.example.test", TLS: true}, "", "", "", ReasonSNI},
		{"a proxy of LGWAN", proxied("10.1.0.9:1", "id.lgwan.test:8443", "198.51.100.1, 203.0.113.5"), policies.NetworkLGWAN, RoleLogin, "203.0.113.5", ""},
		{"a proxy of the government", proxied("10.2.0.1:1", "id.gov.test", "spoofed", "2001:db8::1"), policies.NetworkGovernment, RoleLogin, "2001:db8::1", ""},
		{"as IPv4 in IPv6", proxied("[::ffff:10.2.0.1]:1", "id.gov.test", "203.0.113.5:1234"), policies.NetworkGovernment, RoleLogin, "203.0.113.5", ""},
		{"it says nothing of its client", proxied("10.2.0.1:1", "id.gov.test"), policies.NetworkGovernment, RoleLogin, "invalid IP", ""},
		{"a proxy of LGWAN for the government's host", proxied("10.1.0.9:1", "id.gov.test"), "", "", "", ReasonOther},
		{"next to the proxy", proxied("10.2.0.2:1", "id.gov.test"), "", "", "", ReasonProxy},
		{"it says that it is the proxy", proxied("192.0.2.7:1", "id.gov.test", "10.2.0.1"), "", "", "", ReasonProxy},
		{"no peer", Facts{Listener: "proxies", Host: "id.gov.test"}, "", "", "", ReasonProxy},
	} {
		p, reason := table(t).Decide(tc.f)
		if p.Network != tc.network || p.Role != tc.role || reason != tc.reason || reason == "" && p.Client.String() != tc.client {
			t.Errorf("%s: %+v, %s", tc.name, p, reason)
		}
	}
}

// Whatever a client can say, in whatever header, the network is that of the socket or the proxy, or there is none.
func TestNoClientDecides(t *testing.T) {
	x := table(t)
	names := []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP", "X-Network", "Client-Cert", "Via"}
	rapid.Check(t, func(t *rapid.T) {
		r := &http.Request{Header: http.Header{}, RemoteAddr: "192.0.2.7:5000"}
		for _, n := range rapid.SliceOf(rapid.SampledFrom(names)).Draw(t, "names") {
			r.Header.Add(n, rapid.OneOf(rapid.SampledFrom([]string{"10.1.0.9", "10.2.0.1", "for=10.2.0.1;host=id.gov.test", "lgwan", "id.lgwan.test:8443"}), rapid.String()).Draw(t, "value"))
		}
		r.Host = rapid.OneOf(rapid.SampledFrom(slices.Sorted(maps.Keys(x.hosts))), rapid.String()).Draw(t, "host")
		r.TLS = &tls.ConnectionState{ServerName: rapid.SampledFrom([]string{"id.example.test", "id.lgwan.test", "id.gov.test"}).Draw(t, "sni")}
		for listener, want := range map[string]policies.Network{"front": policies.NetworkInternet, "lgwan": policies.NetworkLGWAN, "proxies": ""} {
			p, reason := x.Decide(FactsOf(listener, r))
			if reason == "" && (p.Network != want || want == "") || reason != "" && p != (Place{}) {
				t.Fatalf("%s: %+v, %s", listener, p, reason)
			}
		}
	})
}

func TestClean(t *testing.T) {
	header := func() http.Header {
		return http.Header{
			"X-Forwarded-For": {"1"}, "X_forwarded_for": {"1"}, "Forwarded": {"1"}, "Client-Cert": {"1"}, "Client_cert": {"1"}, "Client-Cert-Chain": {"1"},
			"X-Ssl-Client-Cert": {"1"}, "X-Real-Ip": {"1"}, "Accept": {"1"},
		}
	}
	h := header()
	Clean(h, Place{})
	if got := slices.Sorted(maps.Keys(h)); !slices.Equal(got, []string{"Accept"}) {
		t.Errorf("left %q", got)
	}
	h = header()
	Clean(h, Place{Proxied: true})
	if got := slices.Sorted(maps.Keys(h)); !slices.Equal(got, []string{"Accept", "Client-Cert", "Client-Cert-Chain"}) {
		t.Errorf("left %q of a proxy", got)
	}
}

func TestStays(t *testing.T) {
	x := table(t)
	const registered = "https://rp.example.com/callback"
	for address, ok := range map[string]bool{
		"https://id.example.test/":                 true,
		"https://ID.EXAMPLE.TEST:443/x":            true,
		"https://card.example.test/?ticket=1":      true,
		registered:                                 true,
		registered + "/":                           false,
		registered + "?a=1":                        false,
		"https://RP.example.com/callback":          false,
		"https://rp.example.com.evil.test/":        false,
		"https://id.lgwan.test:8443/":              false,
		"https://id.lgwan.test/":                   false,
		"https://id.lgwan.test.:8443/":             false,
		"https://id.gov.test/":                     false,
		"http://id.example.test/":                  false,
		"//id.example.test/":                       false,
		"/login":                                   false,
		"":                                         false,
		"https:id.example.test":                    false,
		"https://id.example.test@evil.test/":       false,
		"https://evil.test\\@id.example.test/":     false,
		"https://id.example.test\r\nLocation: x":   false,
		"javascript:alert(1)//https://id.gov.test": false,
	} {
		if err := x.Stays(policies.NetworkInternet, address, registered); (err == nil) != ok || err != nil && !errors.Is(err, ErrLeaves) {
			t.Errorf("%q: %v", address, err)
		}
	}
	// Even a relying party that registers an address of ours in another network doesn't get it.
	if x.Stays(policies.NetworkInternet, "https://id.gov.test/", "https://id.gov.test/") == nil {
		t.Error("a registered address leads to another network")
	}
	if got := x.URL(policies.NetworkLGWAN, RoleCard, "/card"); got != "https://card.lgwan.test:8443/card" || x.URL(policies.NetworkGovernment, RoleCard, "/") != "" {
		t.Error(got)
	}
}

func TestConfig(t *testing.T) {
	prefix := netip.MustParsePrefix
	for name, change := range map[string]func(*Config){
		"nothing":                     func(c *Config) { *c = Config{} },
		"an unknown network":          func(c *Config) { c.Networks["wifi"] = Hosts{Login: "x.test"} },
		"no login host":               func(c *Config) { c.Networks["internet"] = Hosts{Card: "x.test"} },
		"one host for two networks":   func(c *Config) { c.Networks["government"] = Hosts{Login: "id.example.test"} },
		"one host for login and card": func(c *Config) { c.Networks["internet"] = Hosts{Login: "x.test", Card: "x.test"} },
		"upper case":                  func(c *Config) { c.Networks["internet"] = Hosts{Login: "X.test"} },
		"a scheme":                    func(c *Config) { c.Networks["internet"] = Hosts{Login: "https://x.test"} },
		"a path":                      func(c *Config) { c.Networks["internet"] = Hosts{Login: "x.test/login"} },
		"the default port":            func(c *Config) { c.Networks["internet"] = Hosts{Login: "x.test:443"} },
		"no port after the colon":     func(c *Config) { c.Networks["internet"] = Hosts{Login: "x.test:"} },
		"a user":                      func(c *Config) { c.Networks["internet"] = Hosts{Login: "a@x.test"} },
		"a dot at the end":            func(c *Config) { c.Networks["internet"] = Hosts{Login: "x.test."} },
		"a listener of nothing":       func(c *Config) { c.Listeners["x"] = Listener{} },
		"network and proxies":         func(c *Config) { l := c.Listeners["proxies"]; l.Network = "internet"; c.Listeners["x"] = l },
		"a network without hosts":     func(c *Config) { delete(c.Networks, "lgwan") },
		"a proxy without address":     func(c *Config) { c.Listeners["x"] = Listener{Proxies: []Proxy{{Network: "internet"}}} },
		"everybody is a proxy": func(c *Config) {
			c.Listeners["x"] = Listener{Proxies: []Proxy{{From: []netip.Prefix{prefix("0.0.0.0/0")}, Network: "internet"}}}
		},
		"an address that isn't one": func(c *Config) {
			c.Listeners["x"] = Listener{Proxies: []Proxy{{From: []netip.Prefix{prefix("10.0.0.1/8")}, Network: "internet"}}}
		},
		"one address for two networks": func(c *Config) {
			c.Listeners["x"] = Listener{Proxies: []Proxy{
				{From: []netip.Prefix{prefix("10.0.0.0/8")}, Network: "internet"}, {From: []netip.Prefix{prefix("10.1.0.0/16")}, Network: "lgwan"},
			}}
		},
	} {
		c := config()
		change(&c)
		if _, err := New(c); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}
