package mail

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"strings"

	gomail "github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"
)

// line is an open, protected and authorized connection to the relay.
type line struct {
	*smtp.Client
	conn net.Conn // below TLS
}

// hangUp ends the connection without a word. QUIT isn't used after a failure: it would end an unfinished DATA, and the relay would
// take half a mail for a whole one.
func (l *line) hangUp() { _ = l.conn.Close() }

// open dials, upgrades and authorizes. The connection breaks when ctx ends, in whatever state it is. The error isn't judged yet.
func (c *Connector) open(ctx context.Context) (*line, error) {
	l := &line{}
	opts := []gomail.Option{
		gomail.WithPort(c.cfg.Port), gomail.WithHELO(c.cfg.HELO), gomail.WithTimeout(c.cfg.Timeout), gomail.WithTLSConfig(c.tls),
		gomail.WithTLSPolicy(gomail.NoTLS), gomail.WithoutSMTPUTF8(),
		gomail.WithDialContextFunc(func(dialing context.Context, network, address string) (net.Conn, error) {
			conn, err := c.cfg.Dial(dialing, network, address)
			if err != nil {
				return nil, &dialError{err}
			}
			l.conn = conn
			context.AfterFunc(ctx, func() { _ = conn.Close() })
			return c.protect(dialing, conn)
		}),
	}
	if c.cfg.Security == StartTLS { // go-mail has no error value for a relay that doesn't offer it; that is found out below
		opts = append(opts, gomail.WithTLSPolicy(gomail.TLSOpportunistic))
	}
	if c.cfg.User != "" {
		opts = append(opts, gomail.WithSMTPAuthCustom(&login{user: c.cfg.User, password: c.cfg.Password.Reveal(), host: c.cfg.Host}))
	}
	client, err := gomail.NewClient(c.cfg.Host, opts...)
	if err != nil {
		return nil, err
	}
	l.Client, err = client.DialToSMTPClientWithContext(ctx)
	if err != nil {
		if l.conn != nil {
			l.hangUp()
		}
		return nil, err
	}
	if _, err := l.GetTLSConnectionState(); err != nil && c.cfg.Security != None {
		l.hangUp()
		return nil, errUnprotected
	}
	return l, nil
}

// protect makes the connection one of TLS, where it is from the first octet.
func (c *Connector) protect(ctx context.Context, conn net.Conn) (net.Conn, error) {
	if c.cfg.Security != TLS {
		return conn, nil
	}
	secured := tls.Client(conn, c.tls)
	if err := secured.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return secured, nil
}

// dialError says that there was no connection.
type dialError struct{ err error }

func (e *dialError) Error() string { return e.err.Error() }
func (e *dialError) Unwrap() error { return e.err }

// errNoMechanism says that relay and hub share no way of logging in that keeps the password.
var errNoMechanism = errors.New("the relay offers none of SCRAM-SHA-256, PLAIN and LOGIN")

// errUnprotected says that something was about to be sent in the clear.
var errUnprotected = errors.New("the relay doesn't offer STARTTLS")

// login is SMTP AUTH by the best mechanism of those that don't weaken the password: never CRAM-MD5 or NTLM.
type login struct {
	user, password, host string
	smtp.Auth
}

// Start chooses the mechanism.
func (a *login) Start(server *smtp.ServerInfo) (string, []byte, error) {
	has := func(name string) bool {
		return slices.ContainsFunc(server.Auth, func(s string) bool { return strings.EqualFold(s, name) })
	}
	switch {
	case !server.TLS:
		return "", nil, errUnprotected
	case has("SCRAM-SHA-256"):
		a.Auth = smtp.ScramSHA256Auth(a.user, a.password)
	case has("PLAIN"):
		a.Auth = smtp.PlainAuth("", a.user, a.password, a.host, false)
	case has("LOGIN"):
		a.Auth = smtp.LoginAuth(a.user, a.password, a.host, false)
	default:
		return "", nil, errNoMechanism
	}
	return a.Auth.Start(server)
}
