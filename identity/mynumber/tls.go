package mynumber

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// TLS is the host of its own on which cards are presented: no other page is served there, so that a browser asks for the card only then.
type TLS struct {
	Host         string            // SNI; a handshake for any other name is refused
	Certificates []tls.Certificate // of the host
	// Modern offers TLS 1.3 too. Card drivers sign PKCS#1 v1.5, which TLS 1.3 doesn't know (RFC 8446, 4.2.3).
	Modern bool
}

// Config makes the listener's configuration. Any client certificate is asked for and none is judged here: crypto/x509 tolerates and hides what a
// verdict depends on. Go's handshake proves the possession of the certificate's key. Nothing is resumed, since a resumed handshake proves nothing of
// the kind.
func (t TLS) Config() (*tls.Config, error) {
	if t.Host == "" || len(t.Certificates) == 0 {
		return nil, fmt.Errorf("mynumber: a card host without name or certificate")
	}
	c := &tls.Config{ //nolint:gosec // G402: TLS 1.3 has no PKCS#1 v1.5, and cards sign nothing else; it is offered where the operator says so
		Certificates:           t.Certificates,
		ClientAuth:             tls.RequestClientCert,
		MinVersion:             tls.VersionTLS12,
		MaxVersion:             tls.VersionTLS12,
		SessionTicketsDisabled: true,
		NextProtos:             []string{"http/1.1"}, // one request at a time, in order, on a connection that then ends
		VerifyConnection: func(s tls.ConnectionState) error {
			switch {
			case s.ServerName != t.Host:
				return fmt.Errorf("mynumber: a handshake for another host than %s", t.Host)
			case s.DidResume:
				return fmt.Errorf("mynumber: a resumed handshake proves no card")
			}
			return nil
		},
	}
	if t.Modern {
		c.MaxVersion = tls.VersionTLS13
	}
	return c, nil
}

// connection is what a card host knows of one connection.
type connection struct{ used atomic.Bool }

type connectionKey struct{}

// take claims the connection's handshake for one proof. A connection that Prepare knew nothing of has none.
func take(ctx context.Context) bool {
	c, ok := ctx.Value(connectionKey{}).(*connection)
	return ok && c.used.CompareAndSwap(false, true)
}

// The bounds of a request to a card host.
const (
	readTimeout = 30 * time.Second
	maxHeader   = 32 << 10 // with Client-Cert and its chain
)

// Prepare sets a card host's server up: its bounds, and one proof to one connection. A browser keeps a connection, and the certificate of whoever sat
// there before; so that the next person isn't taken for them, a connection ends after its answer.
func Prepare(s *http.Server) {
	s.ReadHeaderTimeout, s.ReadTimeout, s.WriteTimeout, s.MaxHeaderBytes = readTimeout, readTimeout, readTimeout, maxHeader
	s.ConnContext = func(ctx context.Context, _ net.Conn) context.Context {
		return context.WithValue(ctx, connectionKey{}, new(connection))
	}
	s.SetKeepAlivesEnabled(false)
}
