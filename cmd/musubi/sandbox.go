package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/cmd/internal/config"
	"github.com/musubi-hub/musubi/connectors/sandbox"
)

// sandboxSite is what a sandbox of ours is called and how the hub reaches it.
type sandboxSite struct {
	dir     string // data folder: state and tokens are below it
	domains []string
	scale   float64
	// Where Slack's events and pressed buttons go, on loopback; "": nowhere.
	slackEvents, slackInteractivity string
	// Their people's pages ask for login; nil: there are none.
	jira, staff, slack *sandbox.SAMLOptions
	plain              []sandbox.PlainOptions
}

const (
	sandboxDirectory = "musubi-demo"
	sandboxEmail     = "hub@musubi.example.go.jp"
	sandboxOwner     = "slack-owner@musubi.example.go.jp"
	// The Slack application's second and third secret, beside its bot token.
	slackAdmin   = sandbox.Slack + "-admin"
	slackSigning = sandbox.Slack + "-signing"
	// What a portal customer acts with in the stand-in of Jira Service Management, in place of a browser's session.
	jiraCustomer = sandbox.Jira + "-customer"
)

func (s sandboxSite) tokenFile(product string) string {
	return filepath.Join(s.dir, "secrets", "sandbox-"+product+".token")
}

// maildir is where bounces and answers are put.
func (s sandboxSite) maildir() string { return filepath.Join(s.dir, "sandbox", "Maildir") }

// openMail serves the stand-in's relay on listen, until ctx ends.
func (s sandboxSite) openMail(ctx context.Context, listen string, box *sandbox.Sandbox) (address string, failed <-chan error, err error) {
	if err := sandbox.PrepareMaildir(s.maildir()); err != nil {
		return "", nil, boot.Outside(err)
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", listen)
	if err != nil {
		return "", nil, boot.Outside(fmt.Errorf("listen on %s: %w: stop what uses the port, or choose another address (--smtp)", listen, err))
	}
	done := make(chan error, 1)
	go func() { done <- box.ServeMail(ctx, l) }()
	return l.Addr().String(), done, nil
}

// open starts the stand-in on listen. Its state lives below the data folder and survives a kill.
func (s sandboxSite) open(ctx context.Context, listen string, now func() time.Time, log *slog.Logger) (*sandbox.Sandbox, *front, error) {
	tokens := map[string]string{}
	for _, product := range []string{sandbox.Atlassian, sandbox.Jira, jiraCustomer, sandbox.Slack, slackAdmin, slackSigning} {
		token, err := ensureSecret(s.tokenFile(product))
		if err != nil {
			return nil, nil, err
		}
		tokens[product] = token
	}
	box, err := sandbox.New(sandbox.Options{
		Now: now, Seed: 1, Dir: filepath.Join(s.dir, "sandbox"), QuotaScale: s.scale,
		Atlassian: sandbox.AtlassianOptions{DirectoryID: sandboxDirectory, Token: tokens[sandbox.Atlassian], VerifiedDomains: s.domains},
		Jira:      sandbox.JiraOptions{Email: sandboxEmail, Token: tokens[sandbox.Jira], CustomerToken: tokens[jiraCustomer]},
		Slack: sandbox.SlackOptions{
			Token: tokens[sandbox.Slack], AdminToken: tokens[slackAdmin], SigningSecret: tokens[slackSigning], OwnerEmail: sandboxOwner,
			EventsURL: s.slackEvents, InteractivityURL: s.slackInteractivity,
		},
		Mail:     sandbox.MailOptions{Maildir: s.maildir()},
		JiraSAML: s.jira, StaffSAML: s.staff, SlackSAML: s.slack, Plain: s.plain,
		Outgoing: loopbackTransport(), Logger: log,
	})
	if err != nil {
		return nil, nil, boot.Refused(err)
	}
	f, err := serveHTTP(ctx, listen, box, log)
	if err != nil {
		return nil, nil, errors.Join(err, box.Close())
	}
	return box, f, nil
}

// loopbackTransport reaches this machine alone, whatever a request URL's name resolves to.
func loopbackTransport() http.RoundTripper {
	dialer := &net.Dialer{Timeout: 3 * time.Second, Control: func(_, address string, _ syscall.RawConn) error {
		return config.Loopback(address)
	}}
	return &http.Transport{DialContext: dialer.DialContext, MaxIdleConnsPerHost: 4, IdleConnTimeout: 30 * time.Second, TLSHandshakeTimeout: 3 * time.Second}
}

// checkLoopbackURL refuses an address that loopbackTransport wouldn't reach.
func checkLoopbackURL(flag, address string) error {
	if address == "" {
		return nil
	}
	u, err := url.Parse(address)
	ip := net.IP(nil)
	if err == nil {
		ip = net.ParseIP(u.Hostname())
	}
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.Fragment != "" || u.Hostname() != "localhost" && !ip.IsLoopback() {
		return boot.Usage(fmt.Errorf("%s: give an http or https address on loopback, e.g. http://127.0.0.1:8080/slack/events", flag))
	}
	return nil
}

// config is the hub's configuration towards a sandbox at address.
func (s sandboxSite) config(database, listen, address string) map[string]string {
	scale := strconv.FormatFloat(s.scale, 'g', -1, 64)
	return map[string]string{
		"database": database, "listen": listen,
		"atlassian.base_url": "http://" + address + "/atlassian", "atlassian.directory_id": sandboxDirectory,
		"atlassian.token_file": s.tokenFile(sandbox.Atlassian), "atlassian.quota_scale": scale,
		"jira.base_url": "http://" + address + "/jira", "jira.email": sandboxEmail, "jira.token_file": s.tokenFile(sandbox.Jira), "jira.quota_scale": scale,
		"slack.base_url": "http://" + address + "/slack", "slack.token_file": s.tokenFile(sandbox.Slack), "slack.scim_token_file": s.tokenFile(slackAdmin),
		"slack.signing_secret_file": s.tokenFile(slackSigning), "slack.quota_scale": scale,
	}
}

// ensureSecret reads a secret's file, or makes one with 256 random bits.
func ensureSecret(path string) (string, error) {
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return "", err
		}
		var raw [32]byte
		_, _ = rand.Read(raw[:])
		tmp := path + ".new"
		// Written beside and renamed, so that a kill leaves a whole secret or none.
		if err := os.WriteFile(tmp, []byte(base64.RawURLEncoding.EncodeToString(raw[:])+"\n"), 0o600); err != nil {
			return "", err
		}
		if err := os.Rename(tmp, path); err != nil {
			return "", err
		}
	}
	secret, err := config.ReadSecret(path)
	if err != nil {
		return "", boot.Usage(err)
	}
	return secret, nil
}

func newSandbox(e *env) *cobra.Command {
	var listen, smtp, events, interactivity string
	var domains []string
	var scale float64
	cmd := &cobra.Command{
		Use:   "sandbox",
		Short: "SaaS の代役をこの機械で動かす / run the stand-in of the SaaS on this machine",
		Long: `Atlassian (SCIM)、Jira Service Management (REST)、Slack (SCIM、Web API、イベント)、メールの中継サーバ (SMTP) の代役です。本物が断るものは断ります。
A stand-in of Atlassian's SCIM directory, of Jira Service Management and of a Slack workspace, behind fixed prefixes, and of a mail
relay, in one process. It refuses what the vendors refuse, and throttles as they do. /_control/ sets faults and tells the ground
truth (docs/sandbox.md). Slack's events are signed and sent to loopback alone.
Its state is kept in sandbox/ of the data folder; the tokens to use are in secrets/.`,
		Example: "  musubi sandbox --data /tmp/box --domain somu.example.go.jp\n  curl http://127.0.0.1:8081/_control/state?app=jira",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := config.Loopback(listen); err != nil {
				return boot.Usage(fmt.Errorf("--listen: %w", err))
			}
			if err := config.Loopback(smtp); err != nil {
				return boot.Usage(fmt.Errorf("--smtp: %w", err))
			}
			if err := errors.Join(checkLoopbackURL("--slack-events", events), checkLoopbackURL("--slack-interactivity", interactivity)); err != nil {
				return err
			}
			if !(scale > 0 && scale <= 1000) {
				return boot.Usage(fmt.Errorf("--quota-scale %v: give a number above 0, at most 1000", scale))
			}
			level := config.Log{Level: e.logLevel, Format: "text"}
			if level.Level == "" {
				level.Level = "warn"
			}
			if err := level.Check(); err != nil {
				return boot.Usage(fmt.Errorf("--log-level: %w", err))
			}
			log := e.logger(level, "text")
			site := sandboxSite{dir: e.data, domains: domains, scale: scale, slackEvents: events, slackInteractivity: interactivity}
			box, f, err := site.open(cmd.Context(), listen, e.now, log)
			if err != nil {
				return err
			}
			defer func() { f.close(); _ = box.Close() }()
			relay, mailFailed, err := site.openMail(cmd.Context(), smtp, box)
			if err != nil {
				return err
			}
			say(e.stdout, "代役 / sandbox: http://%s/", f.address)
			say(e.stdout, "  atlassian: http://%s/atlassian  directory %s  token file %s", f.address, sandboxDirectory, site.tokenFile(sandbox.Atlassian))
			say(e.stdout, "  jira:      http://%s/jira  user %s  token file %s", f.address, sandboxEmail, site.tokenFile(sandbox.Jira))
			say(e.stdout, "             ポータルの利用者として操作するには、その人のメールアドレスと token file %s / to act as a portal customer: that person's address", site.tokenFile(jiraCustomer))
			say(e.stdout, "  slack:     http://%s/slack/api/ (Web API)  token file %s", f.address, site.tokenFile(sandbox.Slack))
			say(e.stdout, "             http://%s/slack/scim/v2 (SCIM)  token file %s  signing secret file %s", f.address, site.tokenFile(slackAdmin), site.tokenFile(slackSigning))
			if events == "" {
				say(e.stdout, "             イベントの送り先は未設定です (--slack-events)。 / No address for events is set; POST /_control/subscription?app=slack also sets one.")
			}
			say(e.stdout, "  mail:      smtp://%s (security: none)  http://%s/mail/  maildir %s", relay, f.address, site.maildir())
			if len(domains) == 0 {
				say(e.stdout, "  確認済みドメインがないため、atlassian は利用者を受け付けません (--domain)。 / No verified domain: atlassian refuses every user.")
			}
			select {
			case <-cmd.Context().Done():
				return nil
			case err := <-f.failed:
				return boot.Outside(err)
			case err := <-mailFailed:
				if err == nil || cmd.Context().Err() != nil {
					return nil
				}
				return boot.Outside(err)
			}
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:8081", "address, loopback only")
	cmd.Flags().StringVar(&smtp, "smtp", "127.0.0.1:8025", "address of the mail relay, loopback only")
	cmd.Flags().StringArrayVar(&domains, "domain", nil, "e-mail domain that the Atlassian organization has verified; may be repeated")
	cmd.Flags().StringVar(&events, "slack-events", "", "where Slack's events go, an http(s) address on loopback; not verified by a challenge")
	cmd.Flags().StringVar(&interactivity, "slack-interactivity", "", "where the payload of a pressed button goes, an http(s) address on loopback")
	cmd.Flags().Float64Var(&scale, "quota-scale", 1, "the vendors' quotas times this; 1 is the vendors' own")
	return cmd
}
