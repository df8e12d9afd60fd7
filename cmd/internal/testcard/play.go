package testcard

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/connectors/sandbox/card"
)

// Dial connects to localhost and the names below it, which are this machine whatever a resolver says (RFC 6761, 6.3), and to nothing else.
func Dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("testcard: %w", err)
	}
	if host != "localhost" && !strings.HasSuffix(host, ".localhost") {
		return nil, fmt.Errorf("testcard: %s isn't this machine", host)
	}
	dialer := net.Dialer{Timeout: 3 * time.Second}
	return dialer.DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
}

// Transport goes to https on this machine's names and trusts the folder's certificate alone. Without a card it presents no certificate; with one it
// signs as card drivers do: PKCS#1 v1.5, so TLS 1.2. Every request has a connection of its own, as a card host wants it.
func (s *Set) Transport(cards ...tls.Certificate) http.RoundTripper {
	config := &tls.Config{RootCAs: s.Roots, MinVersion: tls.VersionTLS12}
	for _, c := range cards {
		c.SupportedSignatureAlgorithms = []tls.SignatureScheme{tls.PKCS1WithSHA256}
		config.Certificates = append(config.Certificates, c)
		config.MaxVersion = tls.VersionTLS12
	}
	return &http.Transport{
		DialContext: Dial, TLSClientConfig: config, DisableKeepAlives: true, TLSHandshakeTimeout: 10 * time.Second, ResponseHeaderTimeout: 20 * time.Second,
		MaxResponseHeaderBytes: 32 << 10,
	}
}

// Player makes the page that plays these cards, for a hub whose card hosts take cards at path. Wrong PINs are kept in the folder.
func (s *Set) Player(cardOrigins []string, path string, loginOrigins []string) (*card.Player, error) {
	o := card.Options{
		CardOrigins: cardOrigins, CardPath: path, LoginOrigins: loginOrigins, Dir: s.dir,
		Dial: func(c tls.Certificate) http.RoundTripper { return s.Transport(c) },
	}
	for _, c := range s.Cards {
		o.Cards = append(o.Cards, card.Card{ID: c.ID, Whose: c.Whose(), About: c.About, AboutEN: c.AboutEN, PIN: PIN, TLS: c.TLS})
	}
	return card.New(o)
}
