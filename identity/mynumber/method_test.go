package mynumber_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/cert"
	"github.com/musubi-hub/musubi/identity/cert/testpki"
	"github.com/musubi-hub/musubi/identity/login"
	"github.com/musubi-hub/musubi/identity/login/logintest"
	"github.com/musubi-hub/musubi/identity/mynumber"
	"github.com/musubi-hub/musubi/policies"
)

func TestCards(t *testing.T) {
	h := one(t, nil)
	now := h.Now()
	card := cards()[0]
	issue := func(ca *testpki.CA, change func(*testpki.Holder)) []byte {
		holder := testpki.Holder{Key: card.Key}
		if change != nil {
			change(&holder)
		}
		return must(ca.Issue(holder, now)).Raw
	}
	revoked, held := must(h.ca.Issue(testpki.Holder{Key: card.Key}, now)), must(h.ca.Issue(testpki.Holder{Key: card.Key}, now))
	h.publish(revoked.Entry(now.Add(-time.Hour), testpki.KeyCompromise), held.Entry(now.Add(-time.Hour), testpki.CertificateHold))
	if err := h.link(logintest.Local, h.credential(revoked)); err != nil {
		t.Fatal(err)
	}
	broken := bytes.Clone(card.Raw)
	broken[len(broken)-1] ^= 1
	for _, c := range []struct {
		name   string
		leaf   []byte
		code   string // empty: accepted
		retry  bool
		person policies.PersonID
	}{
		{name: "an honest card", leaf: card.Raw},
		{name: "a card of the generation before", leaf: issue(pki().Auth[0], nil)},
		{name: "revoked", leaf: revoked.Raw, code: "certificate_revoked", person: logintest.Local},
		{name: "on hold", leaf: held.Raw, code: "certificate_on_hold"},
		{name: "expired", leaf: issue(h.ca, func(x *testpki.Holder) { x.NotAfter = now.Add(-time.Second) }), code: "certificate_expired"},
		{name: "not yet valid", leaf: issue(h.ca, func(x *testpki.Holder) { x.NotBefore = now.Add(time.Hour) }), code: "certificate_not_yet_valid"},
		{name: "of the tree for signatures", leaf: issue(pki().Newest(testpki.SignTree), nil), code: "certificate_wrong_tree", retry: true},
		{name: "of a forged authority with the same name", leaf: issue(stranger(), nil), code: "certificate_anchor_key_differs", retry: true},
		{name: "with a broken signature", leaf: broken, code: "certificate_signature_invalid", retry: true},
		{name: "an authority's own", leaf: h.ca.Raw, code: "certificate_leaf_is_ca", retry: true},
		{name: "not a certificate", leaf: []byte("\x30\x03\x02\x01\x00"), code: "certificate_malformed", retry: true},
		{name: "of another policy", leaf: issue(h.ca, func(x *testpki.Holder) {
			x.Change = func(c *testpki.Certificate) {
				for i := range c.Extensions {
					if bytes.Contains(c.Extensions[i].Value, []byte(testpki.AuthPolicy)) {
						c.Extensions[i] = testpki.Policies(true, "http://www.test.invalid/cps.html", testpki.SignPolicy)
					}
				}
			}
		}), code: "certificate_policy", retry: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			h.t = t
			if c.code == "" {
				p := h.proven(c.name, h.attempt(c.name), request(t, c.leaf))
				want := []string{"hwk", "mfa", "pin", "sc"}
				if p.Assurance != policies.AssuranceCard || !slices.Equal(p.AMR, want) || p.Person != "" || len(p.Credential) != 64 || p.Use != login.UseLogin || p.At != now.UnixMicro() {
					t.Errorf("proof %+v", p)
				}
				return
			}
			no := h.rejected(c.name, h.attempt(c.name), request(t, c.leaf), c.code)
			if no.Retry != c.retry || no.Person != c.person {
				t.Errorf("retry %v, person %q; want %v, %q", no.Retry, no.Person, c.retry, c.person)
			}
		})
	}
}

// Whoever made a certificate could put anybody's serial number into it: only an authentic one may name a person, even in the log.
func TestForgedSerialNamesNobody(t *testing.T) {
	h := one(t, nil)
	card := cards()[0]
	if err := h.link(logintest.Local, h.credential(card)); err != nil {
		t.Fatal(err)
	}
	forged := must(stranger().Issue(testpki.Holder{Key: card.Key, Change: func(c *testpki.Certificate) {
		c.Serial, c.Subject = card.Certificate.Serial, card.Certificate.Subject
	}}, h.Now()))
	no := h.rejected("forged", h.attempt("f"), request(t, forged.Raw), "certificate_anchor_key_differs")
	if no.Person != "" || no.Detail["card"] != nil {
		t.Errorf("the forgery names somebody: %+v", no)
	}
	broken := bytes.Clone(card.Raw)
	broken[len(broken)-1] ^= 1
	if no := h.rejected("broken", h.attempt("b"), request(t, broken), "certificate_signature_invalid"); no.Person != "" || no.Detail["card"] != nil {
		t.Errorf("a certificate that isn't authentic names somebody: %+v", no)
	}
	// The same serial number by another generation of the authority is another card.
	twin := must(pki().Auth[0].Issue(testpki.Holder{Key: card.Key, Change: func(c *testpki.Certificate) { c.Serial = card.Certificate.Serial }}, h.Now()))
	if p := h.proven("twin", h.attempt("t"), request(t, twin.Raw)); p.Person != "" {
		t.Errorf("a card of another generation is taken for %s", p.Person)
	}
}

func header(r *http.Request, name string, values ...string) *http.Request {
	r.Header[name] = values
	return r
}

func sf(der []byte) string { return ":" + base64.StdEncoding.EncodeToString(der) + ":" }

func TestClientCertHeader(t *testing.T) {
	h := one(t, nil)
	card, other := cards()[0], cards()[1]
	const proxyIP = "192.0.2.10"
	proxyCert := must(pki().Newest(testpki.AuthTree).Issue(testpki.Holder{Kind: testpki.P256}, h.Now()))
	h.config.Proxies = []mynumber.Proxy{
		{Name: "front", Addresses: []netip.Prefix{netip.MustParsePrefix(proxyIP + "/32")}},
		{Name: "mutual", Keys: []string{sha(proxyCert.SPKI)}},
		{Name: "socket", Unix: true},
	}
	h.method = must(mynumber.New(h.config))
	from := func(addr string, certs ...[]byte) *http.Request {
		r := request(t, certs...)
		r.RemoteAddr = addr
		return r
	}
	unix := func() *http.Request {
		r := from("@")
		r.TLS = nil
		return r.WithContext(contextWith(r, &net.UnixAddr{Name: "/run/card.sock", Net: "unix"}))
	}
	leaf := sf(card.Raw)
	for _, c := range []struct {
		name string
		r    *http.Request
		by   string
		code string
	}{
		{name: "from the proxy's address", r: header(from(proxyIP+":1"), "Client-Cert", leaf), by: "front"},
		{name: "from the proxy's address, IPv6-mapped", r: header(from("[::ffff:"+proxyIP+"]:1"), "Client-Cert", leaf), by: "front"},
		{name: "from the proxy's key", r: header(from("203.0.113.5:1", proxyCert.Raw), "Client-Cert", leaf), by: "mutual"},
		{name: "over the unix socket", r: header(unix(), "Client-Cert", leaf), by: "socket"},
		{name: "with a chain", r: header(header(from(proxyIP+":1"), "Client-Cert", leaf), "Client-Cert-Chain", sf(h.ca.Raw)+", "+sf(pki().Auth[0].Raw)), by: "front"},

		{name: "forged by anybody", r: header(from(cardIP), "Client-Cert", leaf), code: "client_cert_forged"},
		{name: "forged beside an honest handshake", r: header(from(cardIP, other.Raw), "Client-Cert", leaf), code: "client_cert_forged"},
		{name: "forged, the chain alone", r: header(from(cardIP, card.Raw), "Client-Cert-Chain", leaf), code: "client_cert_forged"},
		{name: "forged with an underscore", r: header(from(cardIP, other.Raw), "Client_Cert", leaf), code: "client_cert_forged"},
		{name: "forged in another case", r: header(from(cardIP, other.Raw), "client-cert", leaf), code: "client_cert_forged"},
		{name: "forged, empty", r: header(from(cardIP, other.Raw), "Client-Cert", ""), code: "client_cert_forged"},
		{name: "an address beside the proxy's", r: header(from("192.0.2.11:1"), "Client-Cert", leaf), code: "client_cert_forged"},
		{name: "X-Forwarded-For names the proxy", r: header(header(from(cardIP), "X-Forwarded-For", proxyIP), "Client-Cert", leaf), code: "client_cert_forged"},
		{name: "@ for an address, without the socket", r: header(from("@"), "Client-Cert", leaf), code: "client_cert_forged"},

		{name: "two fields", r: header(from(proxyIP+":1"), "Client-Cert", leaf, sf(other.Raw)), code: "client_cert_repeated"},
		{name: "the same twice", r: header(from(proxyIP+":1"), "Client-Cert", leaf, leaf), code: "client_cert_repeated"},
		{name: "beside the proxy's, with an underscore", r: header(header(from(proxyIP+":1"), "Client-Cert", leaf), "Client_Cert", sf(other.Raw)), code: "client_cert_repeated"},
		{name: "two in one field", r: header(from(proxyIP+":1"), "Client-Cert", leaf+", "+sf(other.Raw)), code: "client_cert_malformed"},
		{name: "with a parameter", r: header(from(proxyIP+":1"), "Client-Cert", leaf+";a=1"), code: "client_cert_malformed"},
		{name: "PEM", r: header(from(proxyIP+":1"), "Client-Cert", "-----BEGIN CERTIFICATE-----"), code: "client_cert_malformed"},
		{name: "bad base64", r: header(from(proxyIP+":1"), "Client-Cert", ":***:"), code: "client_cert_malformed"},
		{name: "an empty sequence", r: header(from(proxyIP+":1"), "Client-Cert", "::"), code: "client_cert_malformed"},
		{name: "too long", r: header(from(proxyIP+":1"), "Client-Cert", sf(make([]byte, 17<<10))), code: "client_cert_malformed"},
		{name: "a chain without a certificate", r: header(from(proxyIP+":1"), "Client-Cert-Chain", leaf), code: "client_cert_repeated"},
		{name: "two chains", r: header(header(from(proxyIP+":1"), "Client-Cert", leaf), "Client-Cert-Chain", leaf, leaf), code: "client_cert_repeated"},
		{name: "a chain of nine", r: header(header(from(proxyIP+":1"), "Client-Cert", leaf), "Client-Cert-Chain", strings.Repeat(":AAAA:,", 8)+":AAAA:"), code: "client_cert_malformed"},
		{name: "no card at the proxy", r: from(proxyIP + ":1"), code: "certificate_missing"},
		{name: "no card at the proxy, whose own certificate is a good one", r: from("203.0.113.5:1", proxyCert.Raw), code: "certificate_missing"},
		{name: "no card", r: from(cardIP), code: "certificate_missing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h.t = t
			if c.code != "" {
				h.rejected(c.name, h.attempt(c.name), c.r, c.code)
				return
			}
			if p := h.proven(c.name, h.attempt(c.name), c.r); p.Credential != h.credential(card) {
				t.Errorf("proof of %s", p.Credential)
			}
		})
	}
	h.t = t
	plain := request(t, card.Raw)
	plain.TLS = nil
	h.rejected("without TLS", h.attempt("p"), plain, "tls_missing")
	fronted := request(t, card.Raw)
	fronted.Host = "hub.example.test"
	h.rejected("for another host", h.attempt("p"), fronted, "other_host")
	reused := request(t, card.Raw)
	h.proven("first on the connection", h.attempt("1"), reused)
	h.rejected("second on the connection", h.attempt("2"), reused, "connection_used")
	resumed := request(t, card.Raw)
	resumed.TLS.DidResume = true
	h.rejected("resumed", h.attempt("3"), resumed, "tls_resumed")
}

func TestConfigRefuses(t *testing.T) {
	h := one(t, nil)
	for name, change := range map[string]func(*mynumber.Config){
		"a proxy known by nothing": func(c *mynumber.Config) { c.Proxies = []mynumber.Proxy{{Name: "x"}} },
		"a proxy without a name":   func(c *mynumber.Config) { c.Proxies = []mynumber.Proxy{{Unix: true}} },
		"everybody as a proxy": func(c *mynumber.Config) {
			c.Proxies = []mynumber.Proxy{{Name: "x", Addresses: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}}}
		},
		"a key that is no SHA-256":  func(c *mynumber.Config) { c.Proxies = []mynumber.Proxy{{Name: "x", Keys: []string{"ab"}}} },
		"a card host without TLS":   func(c *mynumber.Config) { c.Hosts[policies.NetworkInternet] = "http://card.example.test" },
		"a card host with a path":   func(c *mynumber.Config) { c.Hosts[policies.NetworkInternet] = "https://card.example.test/" },
		"a policy that is no OID":   func(c *mynumber.Config) { c.Kinds = map[string]mynumber.Kind{"card": {4, []string{"sc"}}} },
		"an assurance out of range": func(c *mynumber.Config) { c.Kinds = map[string]mynumber.Kind{"1.2.3": {5, []string{"sc"}}} },
		"no verifier":               func(c *mynumber.Config) { c.Verifier = nil },
	} {
		c := h.config
		c.Hosts = map[policies.Network]string{policies.NetworkInternet: origin}
		change(&c)
		if _, err := mynumber.New(c); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	anchors := must(cert.ParseAnchors([][]byte{h.ca.Raw}))
	for name, change := range map[string]func(*cert.Config){
		"a profile that doesn't look at revocation": func(c *cert.Config) { c.Revocation = cert.NoCheck },
		"a profile that tolerates silence":          func(c *cert.Config) { c.Revocation = cert.IfPresent },
		"a profile with intermediates":              func(c *cert.Config) { c.MaxIntermediates = 1 },
	} {
		if _, err := mynumber.NewLocal(profileOf(change), anchors, h.lists, h.table); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	if _, err := mynumber.NewLists(profileOf(nil), must(cert.ParseAnchors([][]byte{pki().Sign[0].Raw}))); err == nil {
		t.Error("anchors of the other tree alone are accepted")
	}
}

// Where evidence is kept, it is the whole of it, and nothing is proven that can't be kept. What goes to the log has neither subject nor serial number.
func TestEvidence(t *testing.T) {
	h := one(t, nil)
	store := &kept{}
	h.config.Evidence = store
	h.method = must(mynumber.New(h.config))
	h.proven("with evidence", h.attempt("e"), request(t, cards()[0].Raw))
	if len(store.all) != 1 {
		t.Fatalf("%d kept", len(store.all))
	}
	if _, err := cert.Recheck(store.all[0], func(want cert.Hash, p *cert.Profile, a *cert.Anchors) (cert.List, error) {
		for _, f := range h.folder {
			if l, err := parse(f.Data); err == nil && cert.Hash(l.Info().SHA256) == want {
				return l, nil
			}
		}
		return nil, cert.ErrListMissing
	}); err != nil {
		t.Errorf("the evidence doesn't give the verdict again: %v", err)
	}
	store.err = errors.New("disk full")
	if p, err := h.method.Finish(t.Context(), h.attempt("e2"), request(t, cards()[0].Raw)); err == nil || p.Credential != "" {
		t.Errorf("proven without its evidence: %+v", p)
	}
}

func TestDegradedModeIsOnRecord(t *testing.T) {
	for _, c := range []struct {
		name    string
		allowed cert.Seconds
		after   time.Duration
		code    string
		ready   bool
	}{
		{"fresh", 0, 0, "", true},
		{"overdue, and no degraded mode", 0, 26 * time.Hour, "revocation_stale", false},
		{"overdue within the degraded mode", 86400, 26 * time.Hour, "", true},
		{"overdue beyond the degraded mode", 86400, 50 * time.Hour, "revocation_stale", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := one(t, func(p *cert.Config) { p.DegradedOverdue = c.allowed })
			h.Pass(c.after)
			if err := h.local.Ready(h.Now()); (err == nil) != c.ready {
				t.Errorf("ready: %v", err)
			}
			if c.code != "" {
				if no := h.rejected(c.name, h.attempt("x"), request(t, cards()[0].Raw), c.code); !no.Retry {
					t.Error("a later try may help")
				}
				return
			}
			h.proven(c.name, h.attempt("x"), request(t, cards()[0].Raw))
			rows := h.Audit(t, audit.Filter{Action: "card.degraded"})
			if want := c.after > 0; (len(rows) == 1) != want {
				t.Errorf("%d rows of the degraded mode", len(rows))
			} else if want && rows[0].Detail["list_age_seconds"] != float64(27*3600) {
				t.Errorf("row %+v", rows[0])
			}
		})
	}
}

// What is read as a certificate is exactly what stands there: one spelling for one value, nothing around it.
func FuzzClientCert(f *testing.F) {
	for _, s := range []string{":AAAA:", "::", ":", "", ":AA==:", ":AB==:", ":AAAA:;a", ":AAAA:,:AAAA:", " :AAAA:", ":AA\nAA:", sf(cards()[0].Raw)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		b, err := mynumber.Item(s, 16<<10)
		if err == nil && (len(b) == 0 || len(b) > 16<<10 || sf(b) != s) {
			t.Errorf("%q gives %d octets", s, len(b))
		}
	})
}
