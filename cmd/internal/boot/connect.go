package boot

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/cmd/internal/config"
	"github.com/musubi-hub/musubi/connectors"
	"github.com/musubi-hub/musubi/connectors/atlassian"
	"github.com/musubi-hub/musubi/connectors/jira"
	"github.com/musubi-hub/musubi/connectors/mail"
	"github.com/musubi-hub/musubi/connectors/outbound"
	"github.com/musubi-hub/musubi/connectors/slack"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/lock"
	"github.com/musubi-hub/musubi/sync/quota"
)

// lateQuota lets connectors be made before the quota, which must know their budgets.
type lateQuota struct{ q connectors.Quota }

func (l *lateQuota) Reserve(ctx context.Context, class connectors.Class, n int) error {
	return l.q.Reserve(ctx, class, n)
}

// shared is what connectors of all nodes share.
type shared struct {
	quota connectors.Quota
	locks connectors.Locker
}

// newLocks makes the locks of this process among all that are open on the database.
func newLocks(db *sqldb.DB, o Options) (*lock.Locks, error) {
	var id [16]byte
	_, _ = rand.Read(id[:])
	return lock.New(db, "process "+hex.EncodeToString(id[:]), o.Now, o.Log)
}

// connect makes the configured connectors and the quota over their budgets. A product that doesn't meet what is required of it
// isn't opened, and Products says why.
func (h *Hub) connect(o Options) error {
	late := &lateQuota{}
	locks, err := newLocks(h.DB, o)
	if err != nil {
		return err
	}
	made, err := connectAll(o, shared{late, locks})
	if err != nil {
		return err
	}
	cat, err := connectors.NewCatalog(made...)
	if err != nil {
		return err
	}
	cat.Require(requirement(o.Config.Require))
	h.Open, h.refused = map[policies.Product]connectors.Opened{}, map[string]refusedProduct{}
	var budgets []connectors.Budget
	for _, name := range cat.Names() {
		opened, err := cat.Open(name)
		var refused *connectors.RefusedError
		if errors.As(err, &refused) {
			d, _ := cat.Describe(name)
			h.refused[name] = refusedProduct{d, refused.Unmet}
			h.Log.Warn("a configured product isn't used", "product", name, "reason", refused.Error())
			continue
		}
		if err != nil {
			return err
		}
		h.Open[policies.Product(name)] = opened
		budgets = append(budgets, opened.Limits.Budgets...)
	}
	if h.Quota, err = quota.New(h.DB, o.Now, budgets, quota.Options{}); err != nil {
		return err
	}
	late.q = h.Quota
	return nil
}

// requirement is what the configuration asks of every product.
func requirement(r config.Require) connectors.Requirement {
	out := connectors.Requirement{ISMAP: r.ISMAP == "yes", DataRegions: r.DataRegion}
	for _, way := range r.LGWAN {
		out.LGWAN = append(out.LGWAN, connectors.Reach(way))
	}
	return out
}

// connected lists the open products that accounts can be made in.
func (h *Hub) connected() []policies.Product {
	var list []policies.Product
	for _, p := range policies.Products() {
		if h.Open[p].AccountWriter != nil {
			list = append(list, p)
		}
	}
	return list
}

// HasAccounts reports whether any product is open that accounts can be made in.
func (h *Hub) HasAccounts() bool {
	return len(h.connected()) > 0
}

func connectAll(o Options, all shared) ([]connectors.Connector, error) {
	var made []connectors.Connector
	for _, make := range []func(Options, shared) (connectors.Connector, error){connectAtlassian, connectJira, connectSlack, connectMail} {
		c, err := make(o, all)
		if err != nil {
			return nil, Usage(err)
		}
		if c != nil {
			made = append(made, c)
		}
	}
	return made, nil
}

func connectAtlassian(o Options, all shared) (connectors.Connector, error) {
	e := o.Config.Atlassian
	if e == nil {
		return nil, nil
	}
	token, transport, err := reach(o, e.Vendor)
	if err != nil {
		return nil, err
	}
	return atlassian.New(atlassian.Config{
		BaseURL: e.BaseURL, DirectoryID: e.DirectoryID, Token: token, Transport: transport, Quota: all.quota, Now: o.Now,
		DataRegion: e.DataRegion, ISMAP: e.ISMAP, LGWAN: e.LGWAN,
		QuotaScale: e.QuotaScale, Logger: o.Log, Observe: o.Observe, Trace: o.Tracer.Call(), AllowPlaintext: strings.HasPrefix(e.BaseURL, "http://"),
	})
}

func connectJira(o Options, all shared) (connectors.Connector, error) {
	e := o.Config.Jira
	if e == nil {
		return nil, nil
	}
	token, transport, err := reach(o, e.Vendor)
	if err != nil {
		return nil, err
	}
	cfg := jira.Config{
		BaseURL: e.BaseURL, Email: e.Email, Token: token, ServiceDeskID: e.ServiceDesk, Transport: transport, Quota: all.quota, Now: o.Now,
		DataRegion: e.DataRegion, ISMAP: e.ISMAP, LGWAN: e.LGWAN, SearchLag: time.Duration(e.SearchLag * float64(time.Second)),
		QuotaScale: e.QuotaScale, Logger: o.Log, Observe: o.Observe, Trace: o.Tracer.Call(), AllowPlaintext: strings.HasPrefix(e.BaseURL, "http://"),
	}
	if e.WebhookSecretFile != "" {
		secret, err := config.ReadSecret(e.WebhookSecretFile)
		if err != nil {
			return nil, err
		}
		cfg.WebhookSecret = outbound.NewSecret(secret)
	}
	return jira.New(cfg)
}

func connectSlack(o Options, all shared) (connectors.Connector, error) {
	e := o.Config.Slack
	if e == nil {
		return nil, nil
	}
	token, transport, err := reach(o, e.Vendor)
	if err != nil {
		return nil, err
	}
	cfg := slack.Config{
		BaseURL: e.BaseURL, Token: token, Transport: transport, Quota: all.quota, Locks: all.locks, Now: o.Now,
		DataRegion: e.DataRegion, ISMAP: e.ISMAP, LGWAN: e.LGWAN,
		QuotaScale: e.QuotaScale, Logger: o.Log, Observe: o.Observe, Trace: o.Tracer.Call(), AllowPlaintext: strings.HasPrefix(e.BaseURL, "http://"),
	}
	signing, err := config.ReadSecret(e.SigningSecretFile)
	if err != nil {
		return nil, err
	}
	cfg.SigningSecret = outbound.NewSecret(signing)
	if e.QuotaScale > 1 { // a stand-in with larger quotas may be listed more often, and be believed for less long
		cfg.Trust = max(time.Duration(float64(time.Minute)/e.QuotaScale), time.Second)
	}
	if e.SCIMTokenFile != "" {
		scim, err := config.ReadSecret(e.SCIMTokenFile)
		if err != nil {
			return nil, err
		}
		cfg.SCIMToken = outbound.NewSecret(scim)
	}
	return slack.New(cfg)
}

func connectMail(o Options, all shared) (connectors.Connector, error) {
	e := o.Config.Mail
	if e == nil {
		return nil, nil
	}
	cfg := mail.Config{
		Host: e.Host, Port: int(e.Port), Security: mail.Security(e.Security), User: e.User, HELO: e.HELO,
		Dial: (&net.Dialer{Timeout: 5 * time.Second}).DialContext, Quota: all.quota, Now: o.Now,
		From: e.From, FromName: e.FromName, ReplyTo: e.ReplyTo, ReturnPath: e.ReturnPath, HTML: e.HTML == "yes", Rate: e.Rate,
		DataRegion: e.DataRegion, ISMAP: e.ISMAP, LGWAN: e.LGWAN, Logger: o.Log, Observe: o.Observe, Trace: o.Tracer.Call(),
	}
	var err error
	if cfg.TLS, err = tlsOf(e.Network); err != nil {
		return nil, err
	}
	key, err := config.ReadSecret(e.IDKeyFile)
	if err != nil {
		return nil, err
	}
	cfg.IDKey = outbound.NewSecret(key)
	if e.PasswordFile != "" {
		password, err := config.ReadSecret(e.PasswordFile)
		if err != nil {
			return nil, err
		}
		cfg.Password = outbound.NewSecret(password)
	}
	return mail.New(cfg)
}

// reach gives a vendor's token and the way to its host.
func reach(o Options, v config.Vendor) (outbound.Secret, http.RoundTripper, error) {
	token, err := config.ReadSecret(v.TokenFile)
	if err != nil {
		return outbound.Secret{}, nil, err
	}
	if o.Transport != nil {
		return outbound.NewSecret(token), o.Transport, nil
	}
	settings, err := tlsOf(v.Network)
	if err != nil {
		return outbound.Secret{}, nil, err
	}
	transport, err := outbound.NewTransport(outbound.Network{TLS: settings, Proxy: v.Proxy, Env: http.ProxyFromEnvironment})
	return outbound.NewSecret(token), transport, err
}

// tlsOf reads the files of a host's TLS settings.
func tlsOf(n config.Network) (outbound.TLS, error) {
	out := outbound.TLS{MinVersion: n.TLSMin}
	var err error
	if n.CAFile != "" {
		if out.ExtraCA, err = config.ReadPublic(n.CAFile); err != nil {
			return out, err
		}
	}
	if n.ClientCertFile != "" {
		if out.ClientCert, err = config.ReadPublic(n.ClientCertFile); err != nil {
			return out, err
		}
		key, err := config.ReadKey(n.ClientKeyFile)
		if err != nil {
			return out, err
		}
		out.ClientKey = outbound.NewSecret(key)
	}
	return out, nil
}
