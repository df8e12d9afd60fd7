package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/musubi-hub/musubi/connectors"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/directory"
	"github.com/musubi-hub/musubi/identity/samlidp/sp"
	"github.com/musubi-hub/musubi/identity/session"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/breaker"
	"github.com/musubi-hub/musubi/sync/provision"
)

// Config is what cmd gives. What stands below Random may be left out.
type Config struct {
	DB        *sqldb.DB
	Directory *directory.Store
	Provision *provision.Store
	Resolver  *access.Resolver
	Now       func() time.Time
	Random    io.Reader // cryptographically strong

	Planner *provision.Planner // nil: the pages make no plan
	// Breakers are the breakers of Provision; nil: it has none. Another tells whether a system administrator exists beside the actor of the
	// scope (people.read); required with Breakers.
	Breakers     *breaker.Store
	Another      func(context.Context, policies.Scope) (bool, error)
	Trials       Trials                                 // what there is to try; nil but in a demonstration
	Connectors   map[policies.Product]connectors.Opened // a product without one is shown as not connected
	ProductLinks map[policies.Product]string            // http or https address at which a person looks at the product; absent: no link
	// TokenEnds gives the day on which a product's token ends, as YYYY-MM-DD in Japan ("": nobody has said), and the days until
	// then; ok is false where the product has none. May be nil.
	TokenEnds func(policies.Product) (date string, days int, ok bool)
	// QuotaShare tells how much of the vendors\' quotas is used now, in words; "" where nobody knows. May be nil.
	QuotaShare func(context.Context) string
	// Providers counts what there is to look at of SAML service providers; nil: there are none.
	Providers func(context.Context) (sp.Summary, error)
	// Login is how people come in who log in; nil: by a one-time address, on this machine alone.
	Login *Login
	// Accounts is what administrators do about how people log in. It takes Login; nil: the pages offer nothing of it.
	Accounts *Accounts
	Notice   string       // shown on every page, e.g. that vendor quotas are scaled; may be empty
	Logger   *slog.Logger // nil: silent
}

// Console is the pages. It is safe for concurrent use.
type Console struct {
	cfg    Config
	pages  pages
	assets map[string]asset // by path

	loading chan struct{} // one plan document is decoded at a time: a national one is large
	mu      sync.Mutex
	digests map[string]digest // of plan documents, by what is seen of which: what a hash names never changes
	last    decoded
}

// New checks cfg and makes the pages. It touches neither network nor database.
func New(cfg Config) (*Console, error) {
	fail := func(err error) (*Console, error) { return nil, fmt.Errorf("console: %w", err) }
	switch {
	case cfg.DB == nil || cfg.Directory == nil || cfg.Provision == nil || cfg.Resolver == nil:
		return fail(errors.New("DB, Directory, Provision and Resolver are required"))
	case cfg.Breakers != nil && cfg.Another == nil:
		return fail(errors.New("Another is required with Breakers"))
	case cfg.Now == nil || cfg.Random == nil:
		return fail(errors.New("Now and Random are required"))
	case cfg.Login != nil && !cfg.Login.complete():
		return fail(errors.New("a Login without Who, Prove or Logout"))
	case cfg.Accounts != nil && (cfg.Login == nil || !cfg.Accounts.complete()):
		return fail(errors.New("Accounts without Login, or without one of its parts"))
	}
	for product, link := range cfg.ProductLinks {
		u, err := url.Parse(link)
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil {
			return fail(fmt.Errorf("the link of %s isn't a plain http or https address", product))
		}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	assets, err := loadAssets()
	if err != nil {
		return fail(err)
	}
	p, err := parsePages()
	if err != nil {
		return fail(err)
	}
	return &Console{cfg: cfg, pages: p, assets: assets, loading: make(chan struct{}, 1), digests: map[string]digest{}}, nil
}

// viewer is the person who looks at a page, and what that person may see. A scope that was refused is the zero Scope: it covers nothing.
type viewer struct {
	actor  access.Actor
	visit  session.Session // zero where a ticket opened the pages
	orgs   policies.Scope  // org.read
	people policies.Scope  // people.read
	plans  policies.Scope  // plan.read
}

// mayReadPlans: a plan covers every organization, so the whole of it is shown to who may see them all.
func (v viewer) mayReadPlans() bool { return v.plans.For(policies.ActionPlanRead) && v.plans.All() }

// seesPlans: an organization's administrator sees what plans do to it, and no more of them.
func (v viewer) seesPlans() bool { return v.plans.For(policies.ActionPlanRead) && !v.plans.Denied() }

// peopleOf says whose people the viewer sees; empty where it is everybody's or nobody's.
func (v viewer) peopleOf() label {
	orgs := v.people.Orgs()
	switch {
	case v.people.All() || len(orgs) == 0:
		return label{}
	case len(orgs) == 1 && orgs[0] == v.actor.Org.ID:
		return label{v.actor.Org.Name, "your organization"}
	}
	return label{"権限のある " + num(len(orgs)) + " 組織", num(len(orgs)) + " organizations"}
}

// look authenticates the request and mints the scopes that its page reads with. Whom the policies refuse what the page needs attempted it:
// that is recorded in the audit log, and the page is refused. What more the page would show is left out without a record.
func (c *Console) look(ctx context.Context, r *http.Request, needs policies.Action, more ...policies.Action) (viewer, error) {
	actor, visit, err := c.authenticate(ctx, r)
	if err != nil {
		return viewer{}, err
	}
	v := viewer{actor: actor, visit: visit}
	fields := map[policies.Action]*policies.Scope{
		policies.ActionOrgRead: &v.orgs, policies.ActionPeopleRead: &v.people, policies.ActionPlanRead: &v.plans,
	}
	*fields[needs], err = c.cfg.Resolver.Scope(ctx, actor, needs, nil, policies.Context{})
	for _, action := range more {
		if err == nil {
			*fields[action], err = c.cfg.Resolver.Ask(ctx, actor, action, nil, policies.Context{})
		}
	}
	if errors.Is(err, access.ErrPersonEnded) || errors.Is(err, access.ErrPostEnded) { // between the two looks
		err = fmt.Errorf("%w: %w", errSessionEnded, err)
	}
	if err != nil {
		return viewer{}, err
	}
	return v, nil
}
