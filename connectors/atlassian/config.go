package atlassian

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/connectors"
	"github.com/musubi-hub/musubi/connectors/outbound"
	"github.com/musubi-hub/musubi/connectors/scimclient"
)

// Name is the connector's registration name and its sandbox prefix.
const Name = "atlassian"

// ClassSCIM is the quota class of every request. Atlassian publishes no figure for its SCIM service; 50 requests a second with
// a burst of 100 is our own bound.
const ClassSCIM connectors.Class = "atlassian.scim"

// DefaultBaseURL is where Atlassian serves SCIM.
const DefaultBaseURL = "https://api.atlassian.com"

// Config is what an administrator and cmd give. New validates it.
type Config struct {
	BaseURL     string            // "" is DefaultBaseURL; a sandbox has its own
	DirectoryID string            // from the identity provider directory's settings
	Token       outbound.Secret   // the directory's API key
	Transport   http.RoundTripper // required
	Quota       connectors.Quota  // required
	Now         func() time.Time  // required

	QuotaScale float64       // multiplies the budget, for a scaled sandbox; 0 is 1
	Timeout    time.Duration // of a call; 0 is outbound's default
	Staleness  time.Duration // how long a look-up may miss what was just written; 0 is 2 s
	DataRegion string        // as configured with the vendor; "" is "unknown"
	ISMAP      string        // "registered", "not registered"; "" is "unknown"
	LGWAN      connectors.Reach

	Jitter         func() float64
	Observe        func(outbound.Observation)
	Trace          outbound.Trace
	Logger         *slog.Logger
	AllowPlaintext bool
}

var directoryPattern = regexp.MustCompile(`^[A-Za-z0-9_-]{1,128}$`)

// Dialect says how Atlassian's SCIM differs from the RFCs.
func Dialect() scimclient.Dialect {
	return scimclient.Dialect{
		Name: Name, PageMax: 100, UserFilters: []string{"externalId", "userName"}, GroupFilter: true,
		MemberBatch: 100, UserPatch: true, Deactivate: scimclient.DeactivateByPatch, ExternalIDMutable: true,
		WorkAtTop: true, ExcludeMembers: false,
		JoinSchema: "urn:scim:schemas:extension:atlassian-external:1.0", JoinAttribute: "atlassianAccountId",
		MaxResources: 1_000_000, // the vendor's hard limit of users
		MaxGroupBody: 32 << 20,  // about 150,000 members
	}
}

// New validates cfg and makes the connector. It touches no network.
func New(cfg Config) (*Connector, error) {
	fail := func(err error) (*Connector, error) { return nil, fmt.Errorf("atlassian: %w", err) }
	if cfg.BaseURL == "" {
		cfg.BaseURL = DefaultBaseURL
	}
	if cfg.QuotaScale == 0 {
		cfg.QuotaScale = 1
	}
	if cfg.Staleness == 0 {
		cfg.Staleness = 2 * time.Second
	}
	if cfg.LGWAN == "" {
		cfg.LGWAN = connectors.ReachNo
	}
	switch {
	case !directoryPattern.MatchString(cfg.DirectoryID):
		return fail(errors.New("DirectoryID must be the directory's id: letters, digits and hyphens"))
	case cfg.Token.Empty():
		return fail(errors.New("Token is empty: pass the directory's API key"))
	case !(cfg.QuotaScale > 0) || math.IsInf(cfg.QuotaScale, 1):
		return fail(fmt.Errorf("QuotaScale %v isn't a positive number", cfg.QuotaScale))
	case cfg.Staleness < 0 || cfg.Staleness > time.Hour:
		return fail(fmt.Errorf("Staleness %v is outside 0 to 1 hour", cfg.Staleness))
	}
	out, err := outbound.New(outbound.Config{
		Vendor: Name, BaseURL: strings.TrimRight(cfg.BaseURL, "/") + "/scim/directory/" + url.PathEscape(cfg.DirectoryID),
		Transport: cfg.Transport, Quota: cfg.Quota, Authorize: outbound.Bearer(cfg.Token), Now: cfg.Now,
		Timeout: cfg.Timeout, Jitter: cfg.Jitter, Observe: cfg.Observe, Trace: cfg.Trace, Logger: cfg.Logger, AllowPlaintext: cfg.AllowPlaintext,
	})
	if err != nil {
		return fail(err)
	}
	scim, err := scimclient.New(out, ClassSCIM, Dialect())
	if err != nil {
		return fail(err)
	}
	return &Connector{scim: scim, out: out, description: describe(cfg)}, nil
}

func describe(cfg Config) connectors.Description {
	unknown := func(s string) string {
		if s == "" {
			return "unknown"
		}
		return s
	}
	return connectors.Description{
		Name: Name, Vendor: "Atlassian", Product: "Atlassian organization (Jira, Confluence): licensed members",
		DataRegion: unknown(cfg.DataRegion), ISMAP: unknown(cfg.ISMAP), LGWAN: cfg.LGWAN,
		Limits: connectors.Limits{
			MemberBatch: Dialect().MemberBatch,
			Staleness:   cfg.Staleness,
			Budgets: []connectors.Budget{{
				Class: ClassSCIM, Rate: 50 * cfg.QuotaScale, Burst: max(1, int(100*cfg.QuotaScale)),
			}},
		},
		Absent: []connectors.Absence{
			{Ability: "Sender", Why: "accounts and groups only: people are written to by tickets, chat or mail"},
			{Ability: "EventReader", Why: "the hub says who has an account, and reads back what the directory holds"},
			{Ability: "CredentialChecker", Why: "the hub doesn't ask after the key; token_expires says when it ends"},
		},
	}
}
