package jira

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"regexp"
	"strings"
	"time"

	gojira "github.com/andygrunwald/go-jira"

	"github.com/musubi-hub/musubi/connectors"
	"github.com/musubi-hub/musubi/connectors/outbound"
)

// Name is the connector's registration name and its sandbox prefix.
const Name = "jira"

// The quota classes, one a method as the vendor counts bursts, and one for the slow list of a service desk's customers.
const (
	ClassGet       connectors.Class = "jira.get"
	ClassPost      connectors.Class = "jira.post"
	ClassPut       connectors.Class = "jira.put"
	ClassDelete    connectors.Class = "jira.delete"
	ClassCustomers connectors.Class = "jira.customers"
)

// memberBatch is how many accounts one call may add to or remove from an organization. The vendor publishes no bound; 50 is
// its page size everywhere else.
const memberBatch = 50

// Config is what an administrator and cmd give. New validates it.
type Config struct {
	BaseURL       string            // https://SITE.atlassian.net, or https://api.atlassian.com/ex/jira/CLOUDID for a scoped token
	Email         string            // the account that the token belongs to; site administrator, because revoking access needs it
	Token         outbound.Secret   // its API token
	ServiceDeskID string            // the service desk with which organizations are associated: digits
	Transport     http.RoundTripper // required
	Quota         connectors.Quota  // required
	Now           func() time.Time  // required

	WebhookSecret outbound.Secret // signs webhooks; at least 16 octets. Empty: webhooks are neither registered nor believed
	SearchLag     time.Duration   // how long a search for work items may miss what was just written; 0 is 30 s

	QuotaScale float64       // multiplies the budgets, for a scaled sandbox; 0 is 1
	Timeout    time.Duration // of a call; 0 is outbound's default
	Staleness  time.Duration // how long a look-up may miss what was just written, and how long a full list of organizations is trusted; 0 is 5 s
	DataRegion string        // as configured with the vendor; "" is "unknown"
	ISMAP      string        // "registered", "not registered"; "" is "unknown"
	LGWAN      connectors.Reach

	Jitter         func() float64
	Observe        func(outbound.Observation)
	Trace          outbound.Trace
	Logger         *slog.Logger
	AllowPlaintext bool
}

var numberPattern = regexp.MustCompile(`^[1-9][0-9]{0,17}$`)

// New validates cfg and makes the connector. It touches no network.
func New(cfg Config) (*Connector, error) {
	fail := func(err error) (*Connector, error) { return nil, fmt.Errorf("jira: %w", err) }
	if cfg.QuotaScale == 0 {
		cfg.QuotaScale = 1
	}
	if cfg.Staleness == 0 {
		cfg.Staleness = 5 * time.Second
	}
	if cfg.SearchLag == 0 {
		cfg.SearchLag = 30 * time.Second
	}
	if cfg.LGWAN == "" {
		cfg.LGWAN = connectors.ReachNo
	}
	switch {
	case cfg.BaseURL == "":
		return fail(errors.New("BaseURL is empty: pass https://SITE.atlassian.net"))
	case !mailAddress(cfg.Email):
		return fail(errors.New("Email must be the e-mail address of the account that the token belongs to"))
	case cfg.Token.Empty():
		return fail(errors.New("Token is empty: pass the account's API token"))
	case !numberPattern.MatchString(cfg.ServiceDeskID):
		return fail(errors.New("ServiceDeskID must be the number of the service desk"))
	case !(cfg.QuotaScale > 0) || math.IsInf(cfg.QuotaScale, 1):
		return fail(fmt.Errorf("QuotaScale %v isn't a positive number", cfg.QuotaScale))
	case !cfg.WebhookSecret.Empty() && len(cfg.WebhookSecret.Disclose()) < 16:
		return fail(errors.New("WebhookSecret is shorter than 16 octets: make a random one"))
	case cfg.SearchLag < 0 || cfg.SearchLag > time.Hour:
		return fail(fmt.Errorf("SearchLag %v is outside 0 to 1 hour", cfg.SearchLag))
	case cfg.Staleness < 0 || cfg.Staleness > time.Hour:
		return fail(fmt.Errorf("Staleness %v is outside 0 to 1 hour", cfg.Staleness))
	}
	out, err := outbound.New(outbound.Config{
		Vendor: Name, BaseURL: cfg.BaseURL, Transport: cfg.Transport, Quota: cfg.Quota,
		Authorize: outbound.Basic(cfg.Email, cfg.Token), Now: cfg.Now, Timeout: cfg.Timeout,
		Secrets: []outbound.Secret{cfg.WebhookSecret},
		Jitter:  cfg.Jitter, Observe: cfg.Observe, Trace: cfg.Trace, Logger: cfg.Logger, AllowPlaintext: cfg.AllowPlaintext,
	})
	if err != nil {
		return fail(err)
	}
	client, err := gojira.NewClient(out.HTTPClient(), out.BaseURL())
	if err != nil {
		return fail(err)
	}
	return &Connector{
		out: out, client: client, desk: cfg.ServiceDeskID, description: describe(cfg),
		orgs: newOrgIndex(cfg.Now, cfg.Staleness), site: &factsCache{}, hookSecret: cfg.WebhookSecret,
	}, nil
}

func describe(cfg Config) connectors.Description {
	unknown := func(s string) string {
		if s == "" {
			return "unknown"
		}
		return s
	}
	budget := func(class connectors.Class, rate float64) connectors.Budget {
		rate *= cfg.QuotaScale
		return connectors.Budget{Class: class, Rate: rate, Burst: max(1, int(rate))}
	}
	return connectors.Description{
		Name: Name, Vendor: "Atlassian", Product: "Jira Service Management: portal-only customers, customer organizations and requests",
		DataRegion: unknown(cfg.DataRegion), ISMAP: unknown(cfg.ISMAP), LGWAN: cfg.LGWAN,
		Limits: connectors.Limits{
			MemberBatch: memberBatch,
			Staleness:   cfg.Staleness,
			SearchLag:   cfg.SearchLag,
			FileSize:    maxFile,
			Budgets: []connectors.Budget{ // the vendor's bursts per tenant, endpoint and method
				budget(ClassGet, 100), budget(ClassPost, 100), budget(ClassPut, 50), budget(ClassDelete, 50), budget(ClassCustomers, 5),
			},
		},
		Absent: []connectors.Absence{
			{Ability: "Sender", Why: "people are written to by comments on their tickets"},
			{Ability: "CredentialChecker", Why: "the hub doesn't ask after the token; token_expires says when it ends"},
			{Ability: "CustomerSCIM", Why: "the vendor offers it (users become customers, groups customer organizations), but its wire contract isn't published; customers are provisioned over REST instead"},
		},
	}
}

// mailAddress reports whether s can be an e-mail address: the vendor has the last word.
func mailAddress(s string) bool {
	local, domain, ok := strings.Cut(s, "@")
	return ok && local != "" && domain != "" && len(s) <= 254 && !strings.ContainsAny(s, " \t\r\n<>,;\"") && !strings.Contains(domain, "@")
}
