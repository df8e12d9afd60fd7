package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"syscall"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/cmd/internal/gate"
	"github.com/musubi-hub/musubi/cmd/internal/testcard"
	"github.com/musubi-hub/musubi/cmd/musubi/signin"
	"github.com/musubi-hub/musubi/connectors/sandbox"
	"github.com/musubi-hub/musubi/connectors/sandbox/card"
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/cert"
	"github.com/musubi-hub/musubi/identity/directory"
	"github.com/musubi-hub/musubi/identity/oidcop/party"
	"github.com/musubi-hub/musubi/policies"
)

// The hosts of the demonstration. *.localhost is this machine, whatever a resolver says (RFC 6761, 6.3).
const (
	demoLoginHost = "login.localhost"
	demoCardHost  = "card.localhost"
	demoJiraHost  = "jira.localhost"
	demoSlackHost = "slack.localhost"
	demoStaffHost = "atlassian.localhost"
	demoWikiHost  = "wiki.localhost"
	demoFAQHost   = "faq.localhost"
	demoBoxHost   = "sandbox.localhost"
)

// publishEvery is how often the lists of revoked test cards are made anew: each is fresh for 23 hours.
const publishEvery = 6 * time.Hour

// demoLogin is login in a demonstration: https on *.localhost, test cards, and the stand-ins, which log people in by SAML as the products do; a
// site by OpenID Connect is beside them.
type demoLogin struct {
	set   *testcard.Set
	hub   net.Listener // login and card host
	sites net.Listener // the stand-ins' customers, and the page that plays a card
	jira  sandbox.SAMLOptions
	staff sandbox.SAMLOptions
	slack sandbox.SAMLOptions
	plain []sandbox.PlainOptions
	faq   sandbox.LoginOptions
	entry *entry
}

// openDemoLogin opens the sockets and the cards. Where nobody has asked for a port the usual ones are taken, or free ones if these are in use.
func (d *demo) openDemoLogin(ctx context.Context, orgs *directory.Rows) (_ *demoLogin, err error) {
	l := &demoLogin{}
	defer func() {
		if err != nil {
			l.close()
		}
	}()
	if l.hub, err = listenOr(ctx, d.https, d.anyPort); err != nil {
		return nil, boot.Outside(fmt.Errorf("--https: %w", err))
	}
	if l.sites, err = listenOr(ctx, d.sites, d.anyPort); err != nil {
		return nil, boot.Outside(fmt.Errorf("--sites: %w", err))
	}
	agency, admins := d.operator()
	holders := []testcard.Holder{
		{ID: "planner", Org: agency.ID, OrgName: agency.Name, Staff: admins[0].staff, Name: admins[0].family + " " + admins[0].given, About: "システム管理者 (計画する人)", AboutEN: "system administrator who plans"},
		{ID: "approver", Org: agency.ID, OrgName: agency.Name, Staff: admins[1].staff, Name: admins[1].family + " " + admins[1].given, About: "システム管理者 (承認する人)", AboutEN: "system administrator who approves"},
	}
	l.set, err = testcard.Open(testcard.Options{
		Dir: filepath.Join(d.env.data, "card"), Now: d.env.now(), Random: rand.Reader,
		Hosts: []string{demoLoginHost, demoCardHost, demoJiraHost, demoStaffHost, demoSlackHost, demoWikiHost, demoFAQHost, demoBoxHost}, Holders: append(holders, testcard.Holders(bodies(orgs))...),
	})
	if err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	l.faq = sandbox.LoginOptions{
		Issuer: at(demoLoginHost, l.hub), ClientID: demoFAQ, BaseURL: at(demoFAQHost, l.sites), Key: key, Transport: l.set.Transport(), Random: rand.Reader,
		ACR: []string{policies.AssuranceCard.ACR()}, // the site insists on the card by itself
	}
	l.jira = sandbox.SAMLOptions{BaseURL: at(demoJiraHost, l.sites), Random: rand.Reader}
	l.staff = sandbox.SAMLOptions{BaseURL: at(demoStaffHost, l.sites), Random: rand.Reader}
	l.slack = sandbox.SAMLOptions{BaseURL: at(demoSlackHost, l.sites), Random: rand.Reader}
	wiki := sandbox.SAMLOptions{BaseURL: at(demoWikiHost, l.sites), Random: rand.Reader}
	if wiki.Key, wiki.Certificate, err = signer(d.env.now()); err != nil {
		return nil, err
	}
	l.plain = []sandbox.PlainOptions{
		{Name: demoWiki, Title: [2]string{"資料室 (見本)", "Library, a sample"}, SAML: &wiki},
		{Name: demoFAQ, Title: [2]string{"よくある質問 (見本)", "FAQ, a sample"}, Login: &l.faq},
	}
	return l, nil
}

// listenOr opens a port, or any other where that one is in use and may be another.
func listenOr(ctx context.Context, address string, other bool) (net.Listener, error) {
	l, err := gate.Listen(ctx, address)
	if other && errors.Is(err, syscall.EADDRINUSE) {
		return gate.Listen(ctx, "127.0.0.1:0")
	}
	return l, err
}

// at is the address of a host of this machine at the port of a listener.
func at(host string, l net.Listener) string { return "https://" + hostAt(host, l) }

func hostAt(host string, l net.Listener) string {
	_, port, _ := net.SplitHostPort(l.Addr().String())
	if port == "443" {
		return host
	}
	return net.JoinHostPort(host, port)
}

func (l *demoLogin) close() {
	if l == nil {
		return
	}
	l.entry.close()
	for _, x := range []net.Listener{l.hub, l.sites} {
		if x != nil {
			_ = x.Close() // those that were served are closed already
		}
	}
}

// config is the hub's configuration of login.
func (l *demoLogin) config() map[string]string {
	f := l.set.Files
	return map[string]string{
		"internet.login_host": hostAt(demoLoginHost, l.hub), "internet.card_host": hostAt(demoCardHost, l.hub), "internet.listen": l.hub.Addr().String(),
		"internet.certificate_file": f.Server, "internet.key_file": f.Server,
		"card.profile": cert.JPKIAuthTest, "card.anchors_file": f.Anchors, "card.crl_folder": f.Lists, "card.crl_every": "2",
	}
}

// serveSites serves the stand-ins to those who log in, and the page that plays a card.
func (l *demoLogin) serveSites(box http.Handler, log *slog.Logger) (*front, error) {
	player, err := l.set.Player([]string{at(demoCardHost, l.hub)}, signin.CardPath, []string{at(demoLoginHost, l.hub)})
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	for _, path := range []string{card.Path, card.Path + "/"} {
		mux.Handle(demoBoxHost+path, player) // patterns have no port
	}
	mux.Handle("/", box)
	secure := tls.NewListener(l.sites, &tls.Config{Certificates: []tls.Certificate{l.set.Server}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}})
	return serveOn(secure, mux, log), nil
}

// options are the demonstration's to login.
func (l *demoLogin) options(pages demoPages) entryOptions {
	return entryOptions{
		listeners: map[policies.Network]net.Listener{policies.NetworkInternet: l.hub}, pages: pages,
		cardVia: func(location string) string {
			return at(demoBoxHost, l.sites) + card.Path + "?to=" + url.QueryEscape(location)
		},
	}
}

// register makes the stand-ins relying parties of the hub.
func (d *demo) register(ctx context.Context, l *demoLogin) error {
	to, err := sandbox.LoginEndpointsOf(l.faq.ClientID, l.faq.BaseURL)
	if err != nil {
		return err
	}
	set, err := sandbox.LoginJWKS(l.faq.Key)
	if err != nil {
		return err
	}
	p := party.Party{
		ID: demoFAQ, Name: "よくある質問 (見本のサイト)", Sector: hostOf(l.faq.BaseURL), Alg: jose.ES256, Auth: party.AuthPrivateKeyJWT, JWKS: set,
		Least: policies.AssuranceCard, Scopes: []string{"profile", "email"}, Functions: []policies.Function{policies.FunctionFAQ},
		Faces: []party.Face{{
			Network: policies.NetworkInternet, Redirects: []string{to.Redirect}, PostLogout: []string{to.PostLogout},
			Backchannel: to.Backchannel, Frontchannel: to.Frontchannel,
		}},
	}
	at := d.hub.Now().UnixMicro()
	err = d.hub.Parties.Put(ctx, d.planner, p, false, at)
	if errors.Is(err, identity.ErrExists) {
		err = d.hub.Parties.Put(ctx, d.planner, p, true, at)
	}
	if err != nil {
		return err
	}
	return d.registerSAML(ctx, l)
}

func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	return u.Hostname()
}

// linkCards gives the test cards to their people, where nobody has done so before. It stands for what each would do at the first use.
func (d *demo) linkCards(ctx context.Context, l *demoLogin) error {
	scope := policies.System(policies.TaskBootstrap)
	for _, c := range l.set.Cards {
		if c.Unlinked {
			continue
		}
		number, err := l.set.Number(c)
		if err != nil {
			return err
		}
		links := l.entry.Links
		credential := links.Credential(number)
		p, err := d.hub.Directory.FindPerson(ctx, scope, c.Org, c.Staff)
		if errors.Is(err, identity.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		owner, err := links.Person(ctx, credential)
		if err != nil {
			return err
		}
		has, err := links.Card(ctx, p.ID)
		if err != nil {
			return err
		}
		if owner != "" || has != "" || !p.Active() {
			continue
		}
		at := d.hub.Now().UnixMicro()
		if err := d.hub.DB.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error { return links.Link(ctx, tx, p.ID, credential, at) }); err != nil {
			return fmt.Errorf("the test card %s: %w", c.ID, err)
		}
	}
	return nil
}

// publish makes the lists of revoked test cards anew until ctx ends.
func (l *demoLogin) publish(ctx context.Context, now func() time.Time, log *slog.Logger) {
	tick := time.NewTicker(publishEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := l.set.Publish(now()); err != nil {
				log.ErrorContext(ctx, "the lists of revoked test cards", "error", err)
			}
		}
	}
}
