package outbound_test

import (
	"bytes"
	"compress/gzip"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/connectors"
	"github.com/musubi-hub/musubi/connectors/outbound"
)

// identityOf makes a certificate that is its own authority, for localhost.
func identityOf(t *testing.T, name string) (certPEM, keyPEM []byte, pair tls.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Unix(0, 0), NotAfter: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certPEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})
	if pair, err = tls.X509KeyPair(certPEM, keyPEM); err != nil {
		t.Fatal(err)
	}
	return certPEM, keyPEM, pair
}

// relay is a vendor behind TLS that asks for a certificate where clients isn't nil.
func relay(t *testing.T, pair tls.Certificate, clients *x509.CertPool, most uint16) *httptest.Server {
	t.Helper()
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"id":"1"}`)
	}))
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MaxVersion: most} // #nosec G402 -- the client's least version is what is tested
	if clients != nil {
		srv.TLS.ClientAuth, srv.TLS.ClientCAs = tls.RequireAndVerifyClientCert, clients
	}
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	srv.StartTLS()
	t.Cleanup(srv.Close)
	return srv
}

func ask(t *testing.T, base string, n outbound.Network) error {
	t.Helper()
	transport, err := outbound.NewTransport(n)
	if err != nil {
		t.Fatal(err)
	}
	defer transport.CloseIdleConnections()
	cfg := config(transport)
	cfg.BaseURL, cfg.Retries = base, -1
	_, err = client(t, cfg).Do(t.Context(), get())
	return err
}

func TestTLSIsPerHost(t *testing.T) {
	serverPEM, _, server := identityOf(t, "relay")
	clientPEM, clientKey, _ := identityOf(t, "hub")
	otherPEM, otherKey, _ := identityOf(t, "other")
	known := x509.NewCertPool()
	known.AppendCertsFromPEM(clientPEM)
	open, demanding, old := relay(t, server, nil, 0), relay(t, server, known, 0), relay(t, server, nil, tls.VersionTLS12)
	for name, c := range map[string]struct {
		url  string
		tls  outbound.TLS
		fine bool
	}{
		"unknown authority":       {open.URL, outbound.TLS{}, false},
		"its authority":           {open.URL, outbound.TLS{ExtraCA: serverPEM}, true},
		"another's authority":     {open.URL, outbound.TLS{ExtraCA: otherPEM}, false},
		"another name":            {open.URL, outbound.TLS{ExtraCA: serverPEM, ServerName: "elsewhere.example"}, false},
		"no certificate of ours":  {demanding.URL, outbound.TLS{ExtraCA: serverPEM}, false},
		"our certificate":         {demanding.URL, outbound.TLS{ExtraCA: serverPEM, ClientCert: clientPEM, ClientKey: outbound.NewSecret(string(clientKey))}, true},
		"another certificate":     {demanding.URL, outbound.TLS{ExtraCA: serverPEM, ClientCert: otherPEM, ClientKey: outbound.NewSecret(string(otherKey))}, false},
		"1.3 from a relay of 1.2": {old.URL, outbound.TLS{ExtraCA: serverPEM, MinVersion: "1.3"}, false},
		"1.2 from a relay of 1.2": {old.URL, outbound.TLS{ExtraCA: serverPEM, MinVersion: "1.2"}, true},
	} {
		err := ask(t, c.url, outbound.Network{TLS: c.tls})
		if (err == nil) != c.fine || err != nil && connectors.KindOf(err) != connectors.KindUnavailable {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestProxyIsPerHost sends through a CONNECT proxy, which must see the host and nothing of the request.
func TestProxyIsPerHost(t *testing.T) {
	serverPEM, _, server := identityOf(t, "vendor")
	vendor := relay(t, server, nil, 0)
	var seen atomic.Int32
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen.Add(1)
		if r.Method != http.MethodConnect || strings.Contains(fmt.Sprint(r.Header), token) {
			t.Errorf("the proxy sees %s %v", r.Method, r.Header)
		}
		there, err := net.Dial("tcp", r.Host)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		here, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.WriteString(here, "HTTP/1.1 200 OK\r\n\r\n")
		go func() { _, _ = io.Copy(there, here); there.Close() }()
		_, _ = io.Copy(here, there)
		here.Close()
	}))
	defer proxy.Close()
	settings := outbound.TLS{ExtraCA: serverPEM}
	environment := func(*http.Request) (*url.URL, error) { return url.Parse(proxy.URL) }
	for _, c := range []struct {
		n    outbound.Network
		want int32
	}{
		{outbound.Network{TLS: settings, Proxy: proxy.URL}, 1},
		{outbound.Network{TLS: settings}, 0},
		{outbound.Network{TLS: settings, Env: environment}, 1},
		{outbound.Network{TLS: settings, Proxy: outbound.Direct, Env: environment}, 0},
	} {
		before := seen.Load()
		if err := ask(t, vendor.URL, c.n); err != nil {
			t.Errorf("%+v: %v", c.n.Proxy, err)
		}
		if got := seen.Load() - before; got != c.want {
			t.Errorf("proxy %q: %d requests through it, want %d", c.n.Proxy, got, c.want)
		}
	}
	if err := ask(t, vendor.URL, outbound.Network{TLS: settings, Proxy: "http://127.0.0.1:1"}); connectors.KindOf(err) != connectors.KindUnavailable {
		t.Errorf("a proxy that is away: %v", err)
	}
}

func TestNetworkRefusesAndTellsNoKey(t *testing.T) {
	certPEM, keyPEM, _ := identityOf(t, "hub")
	_, otherKey, _ := identityOf(t, "other")
	key := string(keyPEM)
	for name, n := range map[string]outbound.Network{
		"version":                 {TLS: outbound.TLS{MinVersion: "1.1"}},
		"authorities":             {TLS: outbound.TLS{ExtraCA: []byte("none")}},
		"certificate without key": {TLS: outbound.TLS{ClientCert: certPEM}},
		"key without certificate": {TLS: outbound.TLS{ClientKey: outbound.NewSecret(key)}},
		"another's key":           {TLS: outbound.TLS{ClientCert: certPEM, ClientKey: outbound.NewSecret(string(otherKey))}},
		"key that isn't one":      {TLS: outbound.TLS{ClientCert: certPEM, ClientKey: outbound.NewSecret("proxy-secret-1234")}},
		"proxy with a password":   {Proxy: "http://u:proxy-secret-1234@relay:1"},
		"proxy with a path":       {Proxy: "http://relay:1/x"},
		"socks":                   {Proxy: "socks5://relay:1"},
		"no proxy at all":         {Proxy: "proxy-secret-1234"},
	} {
		_, err := outbound.NewTransport(n)
		if err == nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		texts := []string{fmt.Sprintf("%v %+v", n.TLS, n.TLS), fmt.Sprintf("%#v", n.TLS)}
		for e := err; e != nil; e = errors.Unwrap(e) {
			texts = append(texts, e.Error(), fmt.Sprintf("%+v %#v", e, e))
		}
		for _, text := range texts {
			if strings.Contains(text, "proxy-secret-1234") || strings.Contains(text, "PRIVATE KEY") || strings.Contains(text, key[30:60]) {
				t.Errorf("%s: a secret is in %s", name, text)
			}
		}
	}
}

// TestBombsAreBoundedOverASocket: what is small on the wire and large in memory is bounded too, and so is what comes before the body.
func TestBombsAreBoundedOverASocket(t *testing.T) {
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	if _, err := z.Write(bytes.Repeat([]byte(" "), 50<<20)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Path == "/header" {
			for n := range 1000 {
				w.Header().Set(fmt.Sprint("X-Filling-", n), strings.Repeat("x", 1000))
			}
			return
		}
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(bomb.Bytes())
	}))
	defer srv.Close()
	transport, err := outbound.NewTransport(outbound.Network{})
	if err != nil {
		t.Fatal(err)
	}
	defer transport.CloseIdleConnections()
	cfg := config(transport)
	cfg.BaseURL, cfg.Retries = srv.URL, -1
	c := client(t, cfg)
	for path, want := range map[string]connectors.Kind{"bomb": connectors.KindTooLarge, "header": connectors.KindUnavailable} {
		r := get()
		r.Path = path
		if _, err := c.Do(t.Context(), r); connectors.KindOf(err) != want {
			t.Errorf("%s: %v, want %v", path, err, want)
		}
	}
	if bomb.Len() > 1<<20 {
		t.Errorf("the bomb has %d octets on the wire", bomb.Len())
	}
}
