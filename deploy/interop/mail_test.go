//go:build interop

package interop_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/musubi-hub/musubi/connectors"
	"github.com/musubi-hub/musubi/connectors/mail"
	"github.com/musubi-hub/musubi/connectors/outbound"
)

// mailRead is what postal-mime reads, see mail-server.mjs.
type mailRead struct {
	Subject                          string
	From                             mailAddress
	To                               []mailAddress
	MessageID, InReplyTo, References string
	AutoSubmitted                    []string
	Text, HTML                       string
	Attachments                      int
	EnvelopeFrom                     string
	EnvelopeTo                       []string
	Secure                           bool
	User                             string
	Longest                          int
	ASCII                            bool
}

type mailAddress struct{ Name, Address string }

// selfSigned makes a certificate for localhost and writes it with its key.
func selfSigned(t *testing.T) (certFile, keyFile string, certPEM []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	certPEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for name, content := range map[string][]byte{certFile: certPEM, keyFile: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile, certPEM
}

// TestMailReachesSMTPServer sends to smtp-server, an SMTP server of others, and has postal-mime, a parser of others, read it.
func TestMailReachesSMTPServer(t *testing.T) {
	certFile, keyFile, certPEM := selfSigned(t)
	out := filepath.Join(t.TempDir(), "mails")
	var ready struct{ Port int }
	startPeer(t, "mail-server.mjs", []string{"TLS_KEY=" + keyFile, "TLS_CERT=" + certFile, "MAIL_USER=hub", "MAIL_PASSWORD=interop-password", "MAIL_OUT=" + out}, &ready)
	cfg := mail.Config{
		Host: "localhost", Port: ready.Port, Security: mail.StartTLS, TLS: outbound.TLS{ExtraCA: certPEM}, User: "hub", Password: outbound.NewSecret("interop-password"),
		Dial: new(net.Dialer).DialContext, Quota: unlimited{}, Now: time.Now, From: "musubi@hub.example.go.jp", FromName: "結び 連絡窓口", ReturnPath: "bounce@hub.example.go.jp",
		IDKey: outbound.NewSecret("interop-message-id-key"), HTML: true,
	}
	connect := func(change func(*mail.Config)) *mail.Connector {
		cfg := cfg
		if change != nil {
			change(&cfg)
		}
		c, err := mail.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := connect(nil)
	subjects := []string{
		"【至急】令和８年台風第１２号に伴う避難所の開設状況及び被害状況の報告について（照会・三回目・総務課経由・本日十七時まで）",
		"ﾊﾝｶｸｶﾞｷﾞｸﾞ ﾊﾟﾋﾟﾌﾟﾍﾟﾎﾟ ﾊﾝｶｸｶﾞｷﾞｸﾞ ﾊﾟﾋﾟﾌﾟﾍﾟﾎﾟ", "葛\U000E0100城市 辻\U000E0100 邉\U000E010F 葛\U000E0100城市 辻\U000E0100 邉\U000E010F", "plain subject", "two  blanks and =?UTF-8?B?5YGl?= as typed", "👨‍👩‍👧‍👦 髙﨑①",
	}
	text := "確認してください。\n.点で始まる行\nFrom here\n葛\U000E0100城 ｶﾞ\n\nhttps://hub.example.go.jp/q?a=1&b=2\n<b>太字ではない</b>\n"
	var want []mailRead
	root := ""
	for i, subject := range subjects {
		sent, err := c.SendMessage(t.Context(), connectors.Message{
			Key: "interop-" + string(rune('a'+i)), Subject: subject, Text: text, Thread: root,
			To: []connectors.Recipient{{Address: "hanako@city.example.lg.jp", Name: "見本 花子（見本市 総務部 危機管理課 防災係）"}, {Address: "taro@town.example.lg.jp"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		w := mailRead{
			Subject: subject, From: mailAddress{"結び 連絡窓口", "musubi@hub.example.go.jp"},
			To:        []mailAddress{{"見本 花子（見本市 総務部 危機管理課 防災係）", "hanako@city.example.lg.jp"}, {"", "taro@town.example.lg.jp"}},
			MessageID: "<" + sent.ID + ">", AutoSubmitted: []string{"auto-generated"}, Text: text, EnvelopeFrom: "bounce@hub.example.go.jp",
			EnvelopeTo: []string{"hanako@city.example.lg.jp", "taro@town.example.lg.jp"}, Secure: true, User: "hub", ASCII: true,
		}
		if root == "" {
			root = sent.Thread
		} else {
			w.InReplyTo, w.References = "<"+root+">", "<"+root+">"
		}
		want = append(want, w)
	}
	raw, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	var got []mailRead
	for line := range bytes.Lines(raw) {
		var m mailRead
		if err := json.Unmarshal(line, &m); err != nil {
			t.Fatal(err)
		}
		if m.Longest > 78 || !strings.Contains(m.HTML, "&lt;b&gt;太字ではない&lt;/b&gt;") {
			t.Errorf("longest line %d, HTML %q", m.Longest, m.HTML)
		}
		m.Longest, m.HTML = 0, ""
		m.Text = strings.TrimRight(strings.ReplaceAll(m.Text, "\r\n", "\n"), "\n") + "\n"
		got = append(got, m)
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("sent and read differ:\n%s", diff)
	}

	for name, bad := range map[string]struct {
		c    *mail.Connector
		to   string
		want connectors.Kind
	}{
		"wrong password":    {connect(func(c *mail.Config) { c.Password = outbound.NewSecret("wrong-password") }), "a@city.example.lg.jp", connectors.KindAuth},
		"unknown authority": {connect(func(c *mail.Config) { c.TLS.ExtraCA = nil }), "a@city.example.lg.jp", connectors.KindProtocol},
		"unknown user":      {c, "unknown@city.example.lg.jp", connectors.KindInvalid},
		"mailbox full":      {c, "a@full.example.lg.jp", connectors.KindUnavailable},
		"too large":         {c, "a@city.example.lg.jp", connectors.KindTooLarge},
	} {
		m := connectors.Message{Key: "bad", Subject: "x", Text: "x", To: []connectors.Recipient{{Address: bad.to}}}
		if bad.want == connectors.KindTooLarge {
			m.Text = strings.Repeat(strings.Repeat("あ", 20)+"\n", 1000)
		}
		if _, err := bad.c.SendMessage(t.Context(), m); connectors.KindOf(err) != bad.want || strings.Contains(err.Error(), "password\"") {
			t.Errorf("%s: %v, want %v", name, err, bad.want)
		}
	}
}
