package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/musubi-hub/musubi/connectors"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/breaker"
	"github.com/musubi-hub/musubi/sync/provision"
)

// FileName is the file that is looked for in the data folder.
const FileName = "musubi.yaml"

// Config is the effective configuration. Paths are as the process can open them.
type Config struct {
	Database             string // "sqlite:FILE" or "postgres://..." without a password
	DatabasePasswordFile string
	Listen               string // loopback: probes, and pages where no network has a login
	Log                  Log
	Trace                Trace
	Atlassian            *Atlassian // nil: not connected
	Jira                 *Jira
	Slack                *Slack
	Mail                 *Mail
	Require              Require
	Functions            Functions
	Breakers             Breakers
	Live                 Live
	Prices               Prices
	Keys                 Keys
	Audit                Audit
	Gates                map[policies.Network]*Gate // login; empty: there is none
	Card                 *Card                      // nil: no card opens anything
	Password             Password
	Backchannel          Network // to relying parties
}

// Require is what a product must be for the hub to use it at all.
type Require struct {
	ISMAP      string   // "yes": registered on the ISMAP cloud service list; "no": not asked
	DataRegion []string // the data is kept in one of these; empty: anywhere
	LGWAN      []string // reached from LGWAN in one of these ways; empty: not asked
}

// Breakers are the limits of what may be lost, as written.
type Breakers struct {
	NationAccounts, NationMemberships,
	ChangeAccounts, ChangeMemberships,
	ProductAccounts, ProductMemberships,
	OrganizationAccounts, OrganizationMemberships string
	Announced string
}

func (b *Breakers) field(name string) any {
	switch name {
	case "nation_accounts":
		return &b.NationAccounts
	case "nation_memberships":
		return &b.NationMemberships
	case "change_accounts":
		return &b.ChangeAccounts
	case "change_memberships":
		return &b.ChangeMemberships
	case "product_accounts":
		return &b.ProductAccounts
	case "product_memberships":
		return &b.ProductMemberships
	case "organization_accounts":
		return &b.OrganizationAccounts
	case "organization_memberships":
		return &b.OrganizationMemberships
	case "announced":
		return &b.Announced
	}
	return nil
}

// Limits gives the breakers' configuration.
func (b Breakers) Limits() (c breaker.Config, err error) {
	for _, l := range []struct {
		level breaker.Level
		loss  breaker.Loss
		text  string
	}{
		{breaker.LevelNation, breaker.LossAccounts, b.NationAccounts},
		{breaker.LevelNation, breaker.LossMemberships, b.NationMemberships},
		{breaker.LevelChange, breaker.LossAccounts, b.ChangeAccounts},
		{breaker.LevelChange, breaker.LossMemberships, b.ChangeMemberships},
		{breaker.LevelProduct, breaker.LossAccounts, b.ProductAccounts},
		{breaker.LevelProduct, breaker.LossMemberships, b.ProductMemberships},
		{breaker.LevelOrganization, breaker.LossAccounts, b.OrganizationAccounts},
		{breaker.LevelOrganization, breaker.LossMemberships, b.OrganizationMemberships},
	} {
		limits, err := breaker.ParseLimits(l.level, l.loss, l.text)
		if err != nil {
			return c, fmt.Errorf("breakers.%s_%s: %w", l.level, l.loss, err)
		}
		c.Limits = append(c.Limits, limits...)
	}
	if c.Announced, err = breaker.ParseWindow(b.Announced); err != nil {
		return c, fmt.Errorf("breakers.announced: %w", err)
	}
	return c, nil
}

// Prices are what a seat costs a month, in yen without tax.
type Prices struct {
	AtlassianLicensed, JiraPortal, SlackLicensed, SlackGuest float64
}

func (p *Prices) field(name string) any {
	switch name {
	case "atlassian_licensed_member":
		return &p.AtlassianLicensed
	case "jira_portal_customer":
		return &p.JiraPortal
	case "slack_licensed_member":
		return &p.SlackLicensed
	case "slack_guest":
		return &p.SlackGuest
	}
	return nil
}

// PerSeat gives the prices as plans take them.
func (p Prices) PerSeat() provision.Prices {
	return provision.Prices{
		policies.ProductAtlassian: {policies.SeatLicensedMember: int(p.AtlassianLicensed)},
		policies.ProductJira:      {policies.SeatPortalCustomer: int(p.JiraPortal)},
		policies.ProductSlack:     {policies.SeatLicensedMember: int(p.SlackLicensed), policies.SeatGuest: int(p.SlackGuest)},
	}
}

// Live says how the hub plans by itself.
type Live struct {
	Plans          string  // yes or no
	Quiet, Longest float64 // seconds
}

// Functions says which products carry which function of the workspace, in the order in which they are used.
type Functions struct {
	Inquiry  []string // 9
	Incident []string // 10
}

// Keys says how signing keys are kept.
type Keys struct {
	SealingKeyFile string // empty: keys/sealing.key in the data folder, made at the first start
}

// Audit says how the audit log is kept.
type Audit struct {
	CheckpointFile string // empty: audit-checkpoint in the data folder
}

// Log says what is logged, and how.
type Log struct {
	Level  string // debug, info, warn or error
	Format string // json, text, or auto: json when serving, text otherwise
}

// Trace says where spans go. An empty endpoint: nowhere.
type Trace struct {
	Endpoint   string  // base address of an OTLP/HTTP collector
	HeaderFile string  // holds one line, "Name: value", sent with every export
	Sample     float64 // share of traces that are kept, 0 to 1
}

// Vendor is what is set alike for every SaaS.
type Vendor struct {
	BaseURL      string
	TokenFile    string
	TokenExpires string // YYYY-MM-DD; empty: not known
	DataRegion   string // where the vendor keeps the data; empty: not known
	ISMAP        string // registered, not registered; empty: not known
	LGWAN        connectors.Reach
	QuotaScale   float64 // for a sandbox with scaled quotas only
	Network
}

// Network says how a product's host is reached where the system's own settings don't do: through an LGWAN relay, for instance.
type Network struct {
	Proxy          string // http(s)://host:port, or "direct"; empty: as the environment says
	CAFile         string // authorities trusted for this host beside the system's, PEM
	ClientCertFile string // certificate of ours, PEM
	ClientKeyFile  string
	TLSMin         string // "1.2" or "1.3"
}

// Atlassian connects the Atlassian organization: licensed members, by SCIM.
type Atlassian struct {
	Vendor
	DirectoryID string
}

// Jira connects a Jira Service Management site: portal-only customers and work items, by REST.
type Jira struct {
	Vendor
	Email             string
	ServiceDesk       string
	WebhookSecretFile string  // empty: webhooks are neither registered nor believed
	SearchLag         float64 // seconds
}

// Slack connects a Slack organization: messages and channels by the Web API, accounts and groups by SCIM.
type Slack struct {
	Vendor
	SCIMTokenFile     string // empty: no accounts, groups and guests
	SigningSecretFile string
}

// Mail connects a mail relay.
type Mail struct {
	Host         string
	Port         float64 // 0: by Security
	Security     string  // starttls, tls or none
	User         string
	PasswordFile string
	HELO         string
	From         string
	FromName     string
	ReplyTo      string
	ReturnPath   string
	IDKeyFile    string
	HTML         string // yes or no
	Rate         float64
	DataRegion   string
	ISMAP        string
	LGWAN        connectors.Reach
	Network
}

func (m *Mail) field(name string) any {
	switch name {
	case "host":
		return &m.Host
	case "port":
		return &m.Port
	case "security":
		return &m.Security
	case "user":
		return &m.User
	case "password_file":
		return &m.PasswordFile
	case "helo":
		return &m.HELO
	case "from":
		return &m.From
	case "from_name":
		return &m.FromName
	case "reply_to":
		return &m.ReplyTo
	case "return_path":
		return &m.ReturnPath
	case "id_key_file":
		return &m.IDKeyFile
	case "html":
		return &m.HTML
	case "rate":
		return &m.Rate
	case "data_region":
		return &m.DataRegion
	case "ismap":
		return &m.ISMAP
	case "lgwan":
		return &m.LGWAN
	}
	return m.Network.field(name)
}

func (n *Network) field(name string) any {
	switch name {
	case "proxy":
		return &n.Proxy
	case "ca_file":
		return &n.CAFile
	case "client_cert_file":
		return &n.ClientCertFile
	case "client_key_file":
		return &n.ClientKeyFile
	case "tls_min":
		return &n.TLSMin
	}
	return nil
}

// field gives where the setting's value is kept, a *string, *float64, *[]string or *connectors.Reach; its section is made where it is missing.
func (c *Config) field(key string) any {
	section, name, _ := strings.Cut(key, ".")
	if isGate(section) {
		return c.gate(policies.Network(section)).field(name)
	}
	switch section {
	case "backchannel":
		return c.Backchannel.field(name)
	case "card":
		if c.Card == nil {
			c.Card = &Card{}
		}
		return c.Card.field(name)
	case "atlassian":
		if c.Atlassian == nil {
			c.Atlassian = &Atlassian{}
		}
		if name == "directory_id" {
			return &c.Atlassian.DirectoryID
		}
		return c.Atlassian.field(name)
	case "jira":
		if c.Jira == nil {
			c.Jira = &Jira{}
		}
		switch name {
		case "email":
			return &c.Jira.Email
		case "service_desk":
			return &c.Jira.ServiceDesk
		case "webhook_secret_file":
			return &c.Jira.WebhookSecretFile
		case "search_lag":
			return &c.Jira.SearchLag
		}
		return c.Jira.field(name)
	case "slack":
		if c.Slack == nil {
			c.Slack = &Slack{}
		}
		switch name {
		case "scim_token_file":
			return &c.Slack.SCIMTokenFile
		case "signing_secret_file":
			return &c.Slack.SigningSecretFile
		}
		return c.Slack.field(name)
	case "breakers":
		return c.Breakers.field(name)
	case "prices":
		return c.Prices.field(name)
	case "mail":
		if c.Mail == nil {
			c.Mail = &Mail{}
		}
		return c.Mail.field(name)
	}
	switch key {
	case "require.ismap":
		return &c.Require.ISMAP
	case "require.data_region":
		return &c.Require.DataRegion
	case "require.lgwan":
		return &c.Require.LGWAN
	case "live.plans":
		return &c.Live.Plans
	case "live.quiet":
		return &c.Live.Quiet
	case "live.longest":
		return &c.Live.Longest
	case "functions.9":
		return &c.Functions.Inquiry
	case "functions.10":
		return &c.Functions.Incident
	case "database":
		return &c.Database
	case "database_password_file":
		return &c.DatabasePasswordFile
	case "listen":
		return &c.Listen
	case "log.level":
		return &c.Log.Level
	case "log.format":
		return &c.Log.Format
	case "trace.endpoint":
		return &c.Trace.Endpoint
	case "trace.header_file":
		return &c.Trace.HeaderFile
	case "keys.sealing_key_file":
		return &c.Keys.SealingKeyFile
	case "password.breached_file":
		return &c.Password.BreachedFile
	case "audit.checkpoint_file":
		return &c.Audit.CheckpointFile
	case "trace.sample":
		return &c.Trace.Sample
	}
	return nil
}

func (v *Vendor) field(name string) any {
	switch name {
	case "base_url":
		return &v.BaseURL
	case "token_file":
		return &v.TokenFile
	case "token_expires":
		return &v.TokenExpires
	case "data_region":
		return &v.DataRegion
	case "ismap":
		return &v.ISMAP
	case "lgwan":
		return &v.LGWAN
	case "quota_scale":
		return &v.QuotaScale
	}
	return v.Network.field(name)
}

// optional sections exist only where something in them is set.
var optional = []string{"atlassian", "jira", "slack", "mail", "internet", "lgwan", "government", "card"}

func (c *Config) has(section string) bool {
	switch section {
	case "atlassian":
		return c.Atlassian != nil
	case "jira":
		return c.Jira != nil
	case "slack":
		return c.Slack != nil
	case "mail":
		return c.Mail != nil
	case "card":
		return c.Card != nil
	}
	if isGate(section) {
		return c.Gates[policies.Network(section)] != nil
	}
	return !slices.Contains(optional, section)
}
