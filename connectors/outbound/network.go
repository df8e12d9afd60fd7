package outbound

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"
)

// TLS says how a host's certificate is checked and how we show who we are. The zero value is the system's authorities, no
// certificate of ours and TLS 1.2 at least.
type TLS struct {
	ExtraCA    []byte // PEM; trusted for this host beside the system's: an LGWAN relay has a certificate of its operator's authority
	ClientCert []byte // PEM, leaf first; shown to a relay that asks for one
	ClientKey  Secret // PEM; belongs to ClientCert
	MinVersion string // "1.2", "1.3"; empty: 1.2
	ServerName string // the name that the certificate must have; empty: the host's
}

// Config gives the settings as crypto/tls takes them. Its errors hold no key.
func (t TLS) Config() (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	switch t.MinVersion {
	case "", "1.2":
	case "1.3":
		cfg.MinVersion = tls.VersionTLS13
	default:
		return nil, fmt.Errorf("outbound: the least TLS version is %q: write 1.2 or 1.3", t.MinVersion)
	}
	if len(t.ExtraCA) > 0 {
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool() // a container without authorities still reaches its relay
		}
		if !pool.AppendCertsFromPEM(t.ExtraCA) {
			return nil, errors.New("outbound: the file of certificate authorities holds no certificate in PEM form")
		}
		cfg.RootCAs = pool
	}
	if (len(t.ClientCert) == 0) != t.ClientKey.Empty() {
		return nil, errors.New("outbound: a client certificate and its key are given together or not at all")
	}
	if len(t.ClientCert) > 0 {
		pair, err := tls.X509KeyPair(t.ClientCert, []byte(t.ClientKey.reveal()))
		if err != nil {
			// The reason isn't repeated: a parser may quote what it read.
			return nil, errors.New("outbound: the client certificate and its key can't be read as PEM, or don't belong together")
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	return cfg, nil
}

// Network says how one vendor's host is reached.
type Network struct {
	TLS   TLS
	Proxy string                                // "": what Env says; "direct": none; else http(s)://host:port, a relay's CONNECT proxy
	Env   func(*http.Request) (*url.URL, error) // the process's own proxy settings; nil: none
}

// Direct is the Proxy that asks for none.
const Direct = "direct"

// NewTransport makes the transport to one vendor: bounded in time and in connections, certificates always checked.
func NewTransport(n Network) (*http.Transport, error) {
	cfg, err := n.TLS.Config()
	if err != nil {
		return nil, err
	}
	proxy := n.Env
	switch n.Proxy {
	case "":
	case Direct:
		proxy = nil
	default:
		u, err := url.Parse(n.Proxy)
		if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || u.User != nil || u.RawQuery != "" || u.Fragment != "" || (u.Path != "" && u.Path != "/") {
			return nil, errors.New("outbound: the proxy must read http://host:port or https://host:port, without a password: a relay knows us by our certificate")
		}
		proxy = http.ProxyURL(u)
	}
	return &http.Transport{
		Proxy:                  proxy,
		DialContext:            (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSClientConfig:        cfg,
		TLSHandshakeTimeout:    5 * time.Second,
		ResponseHeaderTimeout:  15 * time.Second,
		MaxResponseHeaderBytes: 256 << 10, // net/http would take 10 MiB
		MaxIdleConns:           200,
		MaxIdleConnsPerHost:    100,
		MaxConnsPerHost:        100,
		IdleConnTimeout:        90 * time.Second,
		ForceAttemptHTTP2:      true,
	}, nil
}
