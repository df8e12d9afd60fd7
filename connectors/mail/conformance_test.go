package mail_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	netmail "net/mail"
	"strings"
	"testing"

	"github.com/musubi-hub/musubi/connectors"
	"github.com/musubi-hub/musubi/connectors/connectortest"
	"github.com/musubi-hub/musubi/connectors/mail"
	"github.com/musubi-hub/musubi/connectors/outbound"
	"github.com/musubi-hub/musubi/connectors/sandbox"
)

// harness builds the connector over a fresh relay. The secret that the suite searches for is the key of the Message-IDs.
func harness(t *testing.T) connectortest.Harness {
	var (
		relay, choosy *sandbox.Sandbox // choosy doesn't know the second recipient's domain
		fault         connectortest.RelayFault
		dials         int
	)
	open := func(env connectortest.Env, domains ...string) (*sandbox.Sandbox, error) {
		box, err := sandbox.New(sandbox.Options{
			Now: env.Now, Seed: 7, QuotaScale: 1000, Jira: sandbox.JiraOptions{Email: "a@b.example", Token: "x"}, Mail: sandbox.MailOptions{Domains: domains},
		})
		if err == nil {
			t.Cleanup(func() { _ = box.Close() })
		}
		return box, err
	}
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		dials++
		switch fault {
		case connectortest.RelayGone:
			return nil, errors.New("connection refused")
		case connectortest.RelayEchoes:
			return scripted(map[string]string{"MAIL": "550 5.7.1 you said " + connectortest.Token})(ctx, network, address)
		case connectortest.RelayWebPage:
			return scripted(map[string]string{"CONNECT": "HTTP/1.1 400 Bad Request\nContent-Type: text/html\n\n<html>"})(ctx, network, address)
		case connectortest.RelayElsewhere:
			return scripted(map[string]string{"RCPT": "551 5.1.6 please try <eve@elsewhere.example>"})(ctx, network, address)
		case connectortest.RelayEndless:
			return endless()
		case connectortest.RelayRefusesB:
			return choosy.DialMail(ctx, network, address)
		}
		return relay.DialMail(ctx, network, address)
	}
	return connectortest.Harness{
		New: func(env connectortest.Env) (connectors.Connector, error) {
			var err error
			if relay, err = open(env, "lg.jp", "go.jp"); err != nil {
				return nil, err
			}
			if choosy, err = open(env, "go.jp"); err != nil {
				return nil, err
			}
			fault, dials = connectortest.RelayWell, 0
			cfg := config(dial)
			cfg.Quota, cfg.Now, cfg.Logger, cfg.IDKey = env.Quota, env.Now, env.Logger, outbound.NewSecret(connectortest.Token)
			return mail.New(cfg)
		},
		Relay: &connectortest.Relay{
			Break: func(f connectortest.RelayFault) {
				fault = f
				relay.ClearFaults()
				if rule, ok := relayFaults[f]; ok {
					rule.Target = sandbox.Mail
					if err := relay.AddFaults(rule); err != nil {
						t.Fatal(err)
					}
				}
			},
			Dials: func() int { return dials },
			Held: func(key string) []connectortest.HeldMail {
				return append(heldMails(t, relay, key), heldMails(t, choosy, key)...)
			},
			Recipient: func(n int) connectors.Recipient {
				zone := []string{"lg.jp", "go.jp"}[n%2]
				return connectors.Recipient{Address: fmt.Sprintf("sample%03d@office.example.%s", n, zone), Name: fmt.Sprintf("見本 %03d", n)}
			},
		},
	}
}

// relayFaults are those that the sandbox has itself.
var relayFaults = map[connectortest.RelayFault]sandbox.Fault{
	connectortest.RelayBreaks:   {Kind: sandbox.FaultReset, Op: "RCPT"},
	connectortest.RelayLoses:    {Kind: sandbox.FaultSwallow, Op: "END"},
	connectortest.RelayHangs:    {Kind: sandbox.FaultLatency, Op: "RCPT", DelayMS: 60_000},
	connectortest.RelayBusy:     {Kind: sandbox.FaultStatus, Op: "RCPT", Status: 451},
	connectortest.RelayNoAccess: {Kind: sandbox.FaultStatus, Op: "MAIL", Status: 535},
}

// heldMails gives the mails of the ground truth whose Message-ID is that of key.
func heldMails(t *testing.T, box *sandbox.Sandbox, key string) (list []connectortest.HeldMail) {
	t.Helper()
	state, err := box.State(sandbox.Mail)
	if err != nil {
		t.Fatal(err)
	}
	id := mail.MessageID(outbound.NewSecret(connectortest.Token), key, domain)
	for _, m := range state.Mails {
		if m.MessageID == id {
			held := connectortest.HeldMail{ID: m.MessageID, Answers: m.InReplyTo, Text: m.Text}
			for _, to := range m.To {
				address, err := netmail.ParseAddress(to)
				if err != nil {
					t.Fatal(err)
				}
				held.To = append(held.To, address.Address)
			}
			list = append(list, held)
		}
	}
	return list
}

// endless is a relay whose greeting has fifty megabytes.
func endless() (net.Conn, error) {
	client, server := net.Pipe()
	go func() {
		defer server.Close()
		_, _ = io.Copy(server, io.MultiReader(strings.NewReader("220 "), strings.NewReader(strings.Repeat("x", 50<<20)), strings.NewReader("\r\n")))
	}()
	return client, nil
}

func TestConformance(t *testing.T) { connectortest.Run(t, harness(t)) }

func TestConformanceNoticesPlantedBugs(t *testing.T) { connectortest.RunPlanted(t, harness(t)) }
