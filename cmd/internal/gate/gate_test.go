package gate

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func certificate(t *testing.T, names ...string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: names[0]}, DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func open(t *testing.T, change func(*Config)) (*Gate, *x509.CertPool) {
	t.Helper()
	pair := certificate(t, "login.test", "card.test", "other.test")
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	cfg := Config{
		Address: "127.0.0.1:0", LoginHost: "login.test", CardHost: "card.test:8443",
		Certificate: func() (tls.Certificate, error) { return pair, nil }, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			text := r.Host
			if r.TLS != nil {
				text += " " + r.TLS.ServerName + " " + tls.VersionName(r.TLS.Version)
				if len(r.TLS.PeerCertificates) > 0 {
					text += " cert"
				}
			}
			_, _ = io.WriteString(w, text)
		}),
	}
	if change != nil {
		change(&cfg)
	}
	g, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	return g, pool
}

// client dials the gate whatever the host.
func client(t *testing.T, g *Gate, cfg *tls.Config) *http.Client {
	tr := &http.Transport{TLSClientConfig: cfg, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, g.Address().String())
	}, ForceAttemptHTTP2: true}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 10 * time.Second}
}

func get(t *testing.T, c *http.Client, address string) (string, *http.Response, error) {
	t.Helper()
	r, err := c.Get(address)
	if err != nil {
		return "", nil, err
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	return string(b), r, err
}

func TestTwoHostsOneSocket(t *testing.T) {
	g, pool := open(t, nil)
	mine := certificate(t, "somebody")
	asked := 0
	cfg := &tls.Config{RootCAs: pool, GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		asked++
		return &mine, nil
	}}
	c := client(t, g, cfg)
	for range 2 {
		if text, r, err := get(t, c, "https://login.test/"); err != nil || text != "login.test login.test TLS 1.3" || r.ProtoMajor != 1 || r.Close {
			t.Fatalf("%q, %v, %v", text, r, err)
		}
	}
	if asked != 0 {
		t.Error("the login host asked for a certificate")
	}
	for range 2 { // a card host's connection proves once: each request makes its own
		text, r, err := get(t, c, "https://card.test/")
		if err != nil || text != "card.test card.test TLS 1.2 cert" || !r.Close {
			t.Fatalf("%q, %v, %v", text, r, err)
		}
	}
	if asked != 2 {
		t.Errorf("the card host asked %d times", asked)
	}
}

func TestOtherNamesAreRefused(t *testing.T) {
	g, pool := open(t, nil)
	for _, name := range []string{"other.test", "x.login.test", "127.0.0.1"} {
		if _, _, err := get(t, client(t, g, &tls.Config{RootCAs: pool, InsecureSkipVerify: true, ServerName: name}), "https://"+name+"/"); err == nil {
			t.Errorf("%s was served", name)
		}
	}
	if _, err := tls.DialWithDialer(&net.Dialer{Timeout: 5 * time.Second}, "tcp", g.Address().String(), &tls.Config{InsecureSkipVerify: true, ServerName: "card.test", MinVersion: tls.VersionTLS13}); err == nil {
		t.Error("TLS 1.3 at the card host, where it wasn't asked for")
	}
	if _, err := tls.DialWithDialer(&net.Dialer{Timeout: 5 * time.Second}, "tcp", g.Address().String(), &tls.Config{InsecureSkipVerify: true, ServerName: "login.test", MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}); err == nil {
		t.Error("TLS 1.1")
	}
}

// A connection that is never finished holds nobody up, and closing doesn't wait for it.
func TestSilentConnection(t *testing.T) {
	g, pool := open(t, nil)
	silent, err := net.Dial("tcp", g.Address().String())
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	if text, _, err := get(t, client(t, g, &tls.Config{RootCAs: pool}), "https://login.test/"); err != nil || text == "" {
		t.Fatal(text, err)
	}
	start := time.Now()
	g.Close()
	if d := time.Since(start); d > 8*time.Second {
		t.Errorf("closing took %v", d)
	}
	select {
	case err := <-g.Failed():
		t.Error(err)
	default:
	}
}

func TestBehindAProxy(t *testing.T) {
	g, _ := open(t, func(c *Config) { c.Certificate = nil })
	if text, _, err := get(t, client(t, g, nil), "http://login.test/"); err != nil || text != "login.test" {
		t.Fatal(text, err)
	}
}

func TestProxyIsAskedForItsKey(t *testing.T) {
	g, pool := open(t, func(c *Config) { c.ProxyKeys = true })
	mine := certificate(t, "proxy")
	if text, _, err := get(t, client(t, g, &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{mine}}), "https://login.test/"); err != nil || !strings.HasSuffix(text, " cert") {
		t.Fatal(text, err)
	}
}

func TestPortInUse(t *testing.T) {
	g, _ := open(t, nil)
	if _, err := Open(t.Context(), Config{Address: g.Address().String(), Log: slog.Default()}); err == nil || !strings.Contains(err.Error(), "choose another address") {
		t.Error(err)
	}
}

func TestNewCertificate(t *testing.T) {
	first, second := certificate(t, "a"), certificate(t, "b")
	synctest.Test(t, func(t *testing.T) {
		type file struct {
			pair tls.Certificate
			err  error
		}
		var files atomic.Pointer[file]
		files.Store(&file{pair: first})
		read := func() (tls.Certificate, error) { f := files.Load(); return f.pair, f.err }
		var c certificates
		if err := c.load(read); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		go c.follow(ctx, read, slog.New(slog.DiscardHandler))
		is := func(want tls.Certificate) {
			t.Helper()
			time.Sleep(lookEvery + time.Second)
			synctest.Wait()
			if got, err := c.get(nil); err != nil || string(got.Certificate[0]) != string(want.Certificate[0]) {
				t.Errorf("another certificate is in use (%v)", err)
			}
		}
		is(first)
		files.Store(&file{second, errors.New("half written")})
		is(first)
		files.Store(&file{pair: second})
		is(second)
		cancel()
		synctest.Wait()
	})
}
