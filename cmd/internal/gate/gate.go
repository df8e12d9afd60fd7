package gate

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/netutil"

	"github.com/musubi-hub/musubi/identity/mynumber"
)

// The bounds of a connection. More connections wait in the kernel's queue; none may hold its place for long.
const (
	maxConnections   = 1024
	handshakeTimeout = 10 * time.Second
	headerTimeout    = 5 * time.Second
	bodyTimeout      = 30 * time.Second
	idleTimeout      = 2 * time.Minute
	maxHeader        = 32 << 10
)

// Config of a gate.
type Config struct {
	Address   string
	Listener  net.Listener // that is open already, in place of Address; may be nil
	LoginHost string       // with its port where that isn't 443
	CardHost  string       // empty: none
	// Certificate gives the certificate of both hosts, as its files are now; nil: a proxy ends TLS. It is asked at the start and every minute.
	Certificate func() (tls.Certificate, error)
	Modern      bool // TLS 1.3 at the card host too
	ProxyKeys   bool // connecting proxies are asked for a certificate of their own
	Handler     http.Handler
	Log         *slog.Logger
}

// Gate is an open one.
type Gate struct {
	cfg     Config
	address net.Addr
	servers []*http.Server
	failed  chan error
	stop    context.CancelFunc
	running sync.WaitGroup
	certs   certificates
}

// Open listens and serves until Close.
func Open(ctx context.Context, cfg Config) (*Gate, error) {
	g := &Gate{cfg: cfg, failed: make(chan error, 3)}
	if cfg.Certificate != nil {
		if err := g.certs.load(cfg.Certificate); err != nil {
			return nil, err
		}
	}
	l := cfg.Listener
	if l == nil {
		var err error
		if l, err = Listen(ctx, cfg.Address); err != nil {
			return nil, err
		}
	}
	l = netutil.LimitListener(l, maxConnections)
	g.address = l.Addr()
	ctx, g.stop = context.WithCancel(context.WithoutCancel(ctx))
	if cfg.Certificate == nil {
		g.serve(ctx, g.server(false), l)
		return g, nil
	}
	if err := g.split(ctx, l); err != nil {
		g.stop()
		return nil, errors.Join(err, l.Close())
	}
	g.running.Go(func() { g.certs.follow(ctx, cfg.Certificate, cfg.Log) })
	return g, nil
}

// Listen opens a gate's socket, for whoever has to know its port before anything is served.
func Listen(ctx context.Context, address string) (net.Listener, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w: stop what uses the port, or choose another address", address, err)
	}
	return l, nil
}

// Address is where the gate listens.
func (g *Gate) Address() net.Addr { return g.address }

// Failed gives the error of a gate that stopped by itself.
func (g *Gate) Failed() <-chan error { return g.failed }

// Close lets requests end for a moment, and stops.
func (g *Gate) Close() {
	g.stop()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	for _, s := range g.servers {
		if s.Shutdown(ctx) != nil {
			_ = s.Close()
		}
	}
	g.running.Wait()
}

func (g *Gate) server(card bool) *http.Server {
	s := &http.Server{
		Handler: g.cfg.Handler, ReadHeaderTimeout: headerTimeout, ReadTimeout: bodyTimeout, WriteTimeout: bodyTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeader, ErrorLog: slog.NewLogLogger(g.cfg.Log.Handler(), slog.LevelDebug),
	}
	if card {
		mynumber.Prepare(s)
	}
	g.servers = append(g.servers, s)
	return s
}

func (g *Gate) serve(ctx context.Context, s *http.Server, l net.Listener) {
	g.running.Go(func() {
		if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) && ctx.Err() == nil {
			select {
			case g.failed <- err:
			default:
			}
		}
	})
}

// split hands connections to the server of their handshake's host.
func (g *Gate) split(ctx context.Context, l net.Listener) error {
	choose, err := g.choose()
	if err != nil {
		return err
	}
	login, card := newQueue(l), newQueue(l)
	g.serve(ctx, g.server(false), login)
	if g.cfg.CardHost != "" {
		g.serve(ctx, g.server(true), card)
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: choose}
	g.running.Go(func() {
		var handshakes sync.WaitGroup
		defer handshakes.Wait()
		for {
			raw, err := l.Accept()
			if err != nil {
				if ctx.Err() == nil && !errors.Is(err, net.ErrClosed) {
					g.failed <- err
				}
				login.end()
				card.end()
				return
			}
			handshakes.Go(func() {
				conn := tls.Server(raw, cfg)
				shake, cancel := context.WithTimeout(ctx, handshakeTimeout)
				defer cancel()
				if err := conn.HandshakeContext(shake); err != nil {
					_ = raw.Close()
					return
				}
				to := login
				if g.cfg.CardHost != "" && strings.EqualFold(conn.ConnectionState().ServerName, hostname(g.cfg.CardHost)) {
					to = card
				}
				to.put(ctx, conn)
			})
		}
	})
	g.running.Go(func() { <-ctx.Done(); _ = l.Close() })
	return nil
}

// choose gives the rules of a handshake by the host that it is for. Only HTTP/1.1 is spoken: a browser may use a connection of HTTP/2 for another
// host of the same certificate, and would never be asked for the card.
func (g *Gate) choose() (func(*tls.ClientHelloInfo) (*tls.Config, error), error) {
	login := &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}, GetCertificate: g.certs.get}
	if g.cfg.ProxyKeys {
		login.ClientAuth = tls.RequestClientCert
	}
	var card *tls.Config
	if g.cfg.CardHost != "" {
		var err error
		card, err = mynumber.TLS{Host: hostname(g.cfg.CardHost), Certificates: []tls.Certificate{*g.certs.now.Load()}, Modern: g.cfg.Modern}.Config()
		if err != nil {
			return nil, err
		}
		card.Certificates, card.GetCertificate = nil, g.certs.get
	}
	return func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		switch {
		case strings.EqualFold(h.ServerName, hostname(g.cfg.LoginHost)):
			return login, nil
		case card != nil && strings.EqualFold(h.ServerName, hostname(g.cfg.CardHost)):
			return card, nil
		}
		return nil, errors.New("gate: a handshake for another host")
	}, nil
}

func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return host
}
