package slack

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	slackgo "github.com/slack-go/slack"

	"github.com/musubi-hub/musubi/connectors"
	"github.com/musubi-hub/musubi/connectors/keylock"
	"github.com/musubi-hub/musubi/connectors/nameindex"
	"github.com/musubi-hub/musubi/connectors/outbound"
	"github.com/musubi-hub/musubi/connectors/scimclient"
)

// Name is the connector's registration name and its sandbox prefix.
const Name = "slack"

// DefaultBaseURL is where Slack serves its Web API, below /api. SCIM has a host of its own, api.slack.com.
const DefaultBaseURL = "https://slack.com"

// Slack's bounds of SCIM: 5,000 members a call recommended, 15,000 at most; 1,000 resources a page. Ours keeps a call within
// outbound's time.
const (
	defaultMemberBatch = 1000
	maxMemberBatch     = 5000
	maxPageSize        = 1000
)

// Config is what an administrator and cmd give. New validates it.
type Config struct {
	BaseURL       string            // "" is DefaultBaseURL; a sandbox has its own, which serves SCIM too
	Token         outbound.Secret   // the application's bot token, for the Web API
	SCIMToken     outbound.Secret   // an organization owner's token with the scope admin; empty: no accounts, groups and guests
	SigningSecret outbound.Secret   // of the application: every event is signed with it
	Transport     http.RoundTripper // required
	Quota         connectors.Quota  // required
	Now           func() time.Time  // required
	Locks         connectors.Locker // serializes changes of a user group among nodes; nil: within this process

	QuotaScale  float64       // multiplies the budgets, for a scaled sandbox; 0 is 1
	Timeout     time.Duration // of a call; 0 is outbound's default
	Trust       time.Duration // how long a full list of users or groups is believed for what it didn't contain; 0 is 1 min
	MemberBatch int           // members a SCIM call; 0 is 1,000
	PageSize    int           // users a SCIM page; 0 is 1,000, which is Slack's most
	DataRegion  string        // as configured with the vendor; "" is "unknown"
	ISMAP       string        // "registered", "not registered"; "" is "unknown"
	LGWAN       connectors.Reach

	Jitter         func() float64
	Observe        func(outbound.Observation)
	Trace          outbound.Trace
	Logger         *slog.Logger
	AllowPlaintext bool
}

// lag is how long Slack itself may take to show what was written.
const lag = 2 * time.Second

// Dialect says how Slack's SCIM differs from the RFCs.
func Dialect(pageSize, memberBatch int) scimclient.Dialect {
	return scimclient.Dialect{
		Name: Name, PageMax: pageSize, GroupPage: min(pageSize, 100), // a group comes with its members
		MemberBatch: memberBatch, UserPatch: true,
		Deactivate:       scimclient.DeactivateByPatch, // DELETE does the same, but answers without showing the user
		BareMemberFilter: true, ReadBackMembers: true, OneUpdateAtATime: true, Codes: scimCodes,
		MaxResources: 1_000_000, MaxGroupBody: 32 << 20,
	}
}

// New validates cfg and makes the connector: a *Connector, or a *Workspace where no SCIM token is given. It touches no network.
func New(cfg Config) (connectors.Connector, error) {
	fail := func(err error) (connectors.Connector, error) { return nil, fmt.Errorf("slack: %w", err) }
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return fail(err)
	}
	api, err := outbound.New(cfg.endpoint(strings.TrimRight(cfg.BaseURL, "/")+"/api", cfg.Token))
	if err != nil {
		return fail(err)
	}
	w := &Workspace{
		out: api, quota: cfg.Quota, signing: cfg.SigningSecret, locks: cfg.Locks, identity: make(chan struct{}, 1),
		api: slackgo.New(placeholder, slackgo.OptionHTTPClient(doer{api.HTTPClient()}), slackgo.OptionAPIURL(api.BaseURL()+"/")),
	}
	if cfg.SCIMToken.Empty() {
		w.description = describe(cfg, false)
		return w, nil
	}
	w.description = describe(cfg, true)
	base, err := scimBase(cfg.BaseURL)
	if err != nil {
		return fail(err)
	}
	out, err := outbound.New(cfg.endpoint(base, cfg.SCIMToken))
	if err != nil {
		return fail(err)
	}
	scim, err := scimclient.NewClassed(out, scimClasses, Dialect(cfg.PageSize, cfg.MemberBatch))
	if err != nil {
		return fail(err)
	}
	return &Connector{
		Workspace: w, scim: scim, scimOut: out,
		users: nameindex.New(cfg.Now, cfg.Trust), groups: nameindex.New(cfg.Now, cfg.Trust),
	}, nil
}

func (cfg Config) withDefaults() Config {
	if cfg.BaseURL == "" {
		cfg.BaseURL = DefaultBaseURL
	}
	if cfg.QuotaScale == 0 {
		cfg.QuotaScale = 1
	}
	if cfg.Trust == 0 {
		cfg.Trust = time.Minute
	}
	if cfg.MemberBatch == 0 {
		cfg.MemberBatch = defaultMemberBatch
	}
	if cfg.PageSize == 0 {
		cfg.PageSize = maxPageSize
	}
	if cfg.LGWAN == "" {
		cfg.LGWAN = connectors.ReachNo
	}
	if cfg.Locks == nil {
		cfg.Locks = &keylock.Locks{}
	}
	return cfg
}

func (cfg Config) validate() error {
	switch {
	case cfg.Token.Empty():
		return errors.New("Token is empty: pass the application's bot token")
	case cfg.SigningSecret.Empty():
		return errors.New("SigningSecret is empty: pass the application's signing secret")
	case !(cfg.QuotaScale > 0) || math.IsInf(cfg.QuotaScale, 1):
		return fmt.Errorf("QuotaScale %v isn't a positive number", cfg.QuotaScale)
	case cfg.Trust < 0 || cfg.Trust > time.Hour:
		return fmt.Errorf("Trust %v is outside 0 to 1 hour", cfg.Trust)
	case cfg.PageSize < 1 || cfg.PageSize > maxPageSize:
		return fmt.Errorf("PageSize %d is outside 1 to %d", cfg.PageSize, maxPageSize)
	case cfg.MemberBatch < 1 || cfg.MemberBatch > maxMemberBatch:
		return fmt.Errorf("MemberBatch %d is outside 1 to %d", cfg.MemberBatch, maxMemberBatch)
	}
	return nil
}

// endpoint describes one of Slack's two hosts to outbound. Either client knows all three secrets, to redact them.
func (cfg Config) endpoint(base string, token outbound.Secret) outbound.Config {
	return outbound.Config{
		Vendor: Name, BaseURL: base, Transport: cfg.Transport, Quota: cfg.Quota, Authorize: outbound.Bearer(token), Now: cfg.Now,
		Secrets: []outbound.Secret{cfg.Token, cfg.SCIMToken, cfg.SigningSecret},
		Timeout: cfg.Timeout, Jitter: cfg.Jitter, Observe: cfg.Observe, Trace: cfg.Trace, Logger: cfg.Logger, AllowPlaintext: cfg.AllowPlaintext,
	}
}

// scimBase gives SCIM's base URL: the host's name with "api." before it where the host is Slack's, else below the same base.
func scimBase(base string) (string, error) {
	u, err := url.Parse(base)
	if err != nil {
		return "", errors.New("BaseURL is no URL")
	}
	if u.Host == "slack.com" || u.Host == "slack-gov.com" {
		u.Host = "api." + u.Host
	}
	return strings.TrimRight(u.String(), "/") + "/scim/v2", nil
}

func describe(cfg Config, scim bool) connectors.Description {
	unknown := func(s string) string {
		if s == "" {
			return "unknown"
		}
		return s
	}
	d := connectors.Description{
		Name: Name, Vendor: "Slack", Product: "Slack workspace: messages, channels, user groups",
		DataRegion: unknown(cfg.DataRegion), ISMAP: unknown(cfg.ISMAP), LGWAN: cfg.LGWAN,
		Limits: connectors.Limits{Staleness: lag, Budgets: webBudgets(cfg.QuotaScale)},
	}
	if !scim {
		for _, ability := range []string{"Accounts", "AccountWriter", "Groups", "GroupWriter", "Guests"} {
			d.Absent = append(d.Absent, connectors.Absence{Ability: ability, Why: "no SCIM token is given: an organization owner's, with the scope admin"})
		}
	}
	if scim {
		d.Product = "Slack organization: members, guests, groups, messages, channels, user groups"
		d.Limits.MemberBatch = cfg.MemberBatch
		d.Limits.Staleness = cfg.Trust + lag
		d.Limits.Budgets = slices.Concat(scimBudgets(cfg.QuotaScale), d.Limits.Budgets)
	}
	return d
}
