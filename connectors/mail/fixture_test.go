package mail_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/connectors"
	"github.com/musubi-hub/musubi/connectors/connectortest"
	"github.com/musubi-hub/musubi/connectors/mail"
	"github.com/musubi-hub/musubi/connectors/outbound"
	"github.com/musubi-hub/musubi/connectors/sandbox"
)

const (
	password = "smtp-password-5b1f0c"
	idKey    = "message-id-key-0123456789abcdef"
	domain   = "hub.example.go.jp"
)

// fixture is a relay with the connector to it.
type fixture struct {
	t   testing.TB
	box *sandbox.Sandbox
	c   *mail.Connector
	log *bytes.Buffer
	dir string // Maildir
}

func config(dial mail.Dialer) mail.Config {
	return mail.Config{
		Host: "relay.sandbox.invalid", Security: mail.None, Dial: dial, Quota: connectortest.Unlimited{}, Now: time.Now,
		From: "musubi@" + domain, FromName: "結び 連絡窓口", IDKey: outbound.NewSecret(idKey),
	}
}

func newFixture(t testing.TB, relay func(*sandbox.MailOptions), change func(*mail.Config)) *fixture {
	t.Helper()
	f := &fixture{t: t, log: &bytes.Buffer{}, dir: t.TempDir()}
	opt := sandbox.Options{
		Now: time.Now, Seed: 7, QuotaScale: 1000, Jira: sandbox.JiraOptions{Email: "a@b.example", Token: "x"},
		Mail: sandbox.MailOptions{Domains: []string{"lg.jp", "go.jp"}, Maildir: f.dir},
	}
	if relay != nil {
		relay(&opt.Mail)
	}
	var err error
	if f.box, err = sandbox.New(opt); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.box.Close() })
	cfg := config(f.box.DialMail)
	if opt.Mail.TLS != nil { // handshakes that fail need a socket: over net.Pipe both sides wait for the other to read
		cfg.Dial = f.socket(nil)
	}
	cfg.Logger = slog.New(slog.NewTextHandler(f.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if change != nil {
		change(&cfg)
	}
	if f.c, err = mail.New(cfg); err != nil {
		t.Fatal(err)
	}
	return f
}

// socket serves the relay on loopback, behind TLS from the first octet where secured isn't nil.
func (f *fixture) socket(secured *tls.Config) mail.Dialer {
	f.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.t.Fatal(err)
	}
	address := l.Addr().String()
	if secured != nil {
		l = tls.NewListener(l, secured)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.box.ServeMail(ctx, l) }()
	f.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			f.t.Error(err)
		}
	})
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, address)
	}
}

func message(key string) connectors.Message {
	return connectors.Message{
		Key: key, Subject: "【至急】被害状況の照会", Text: "確認してください。\n期限は本日です。\n",
		To: []connectors.Recipient{{Address: "hanako@city.example.lg.jp", Name: "見本 花子"}},
	}
}

func (f *fixture) send(m connectors.Message) (connectors.Sent, error) {
	return f.c.SendMessage(f.t.Context(), m)
}

func (f *fixture) mails() []sandboxMail {
	f.t.Helper()
	st, err := f.box.State(sandbox.Mail)
	if err != nil {
		f.t.Fatal(err)
	}
	var out []sandboxMail
	for _, m := range st.Mails {
		out = append(out, sandboxMail{m.MessageID, m.InReplyTo, m.References, m.From, m.To, m.Subject, m.Text, m.HTML, m.AutoSubmitted, m.Faults, m.Duplicate, m.TLS, m.ID})
	}
	return out
}

// sandboxMail is what the tests look at of a mail in the ground truth.
type sandboxMail struct {
	messageID, inReplyTo, references, from string
	to                                     []string
	subject, text, html, auto              string
	faults                                 []string
	duplicate, tls                         bool
	id                                     int64
}

// scripted is a relay that answers from a table of what each line begins with; "END" is the end of the text.
func scripted(answers map[string]string) mail.Dialer {
	return func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go func() {
			defer server.Close()
			say := func(verb, usual string) bool {
				answer, ok := answers[verb]
				if !ok {
					answer = usual
				}
				if answer == "" {
					return false
				}
				_, err := fmt.Fprint(server, strings.ReplaceAll(answer, "\n", "\r\n")+"\r\n")
				return err == nil && !strings.HasPrefix(answer, "421")
			}
			r := bufio.NewScanner(server)
			if !say("CONNECT", "220 relay") {
				return
			}
			for data := false; r.Scan(); {
				line := r.Text()
				if data {
					if line != "." {
						continue
					}
					line = "END"
				}
				verb, _, _ := strings.Cut(line, " ")
				usual := map[string]string{"EHLO": "250-relay\n250 ENHANCEDSTATUSCODES", "DATA": "354 go", "QUIT": "221 bye"}[verb]
				if usual == "" {
					usual = "250 2.0.0 ok"
				}
				if !say(verb, usual) {
					return
				}
				data = verb == "DATA" && (answers["DATA"] == "" || strings.HasPrefix(answers["DATA"], "354"))
			}
		}()
		return client, nil
	}
}

// authority makes certificates for tests.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(t testing.TB) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, NotBefore: time.Unix(0, 0), NotAfter: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return authority{cert, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

// issue makes a certificate for a name.
func (a authority) issue(t testing.TB, name string) (certPEM, keyPEM []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotBefore: time.Unix(0, 0), NotAfter: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})
}

func (a authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

func (a authority) server(t testing.TB, name string) *tls.Config {
	t.Helper()
	certPEM, keyPEM := a.issue(t, name)
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
}
