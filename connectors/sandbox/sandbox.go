package sandbox

import (
	"cmp"
	"context"
	"crypto"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/musubi-hub/musubi/connectors/sandbox/atlassian"
	"github.com/musubi-hub/musubi/connectors/sandbox/deliver"
	"github.com/musubi-hub/musubi/connectors/sandbox/jira"
	"github.com/musubi-hub/musubi/connectors/sandbox/journal"
	"github.com/musubi-hub/musubi/connectors/sandbox/mail"
	"github.com/musubi-hub/musubi/connectors/sandbox/relying"
	"github.com/musubi-hub/musubi/connectors/sandbox/samlsp"
	"github.com/musubi-hub/musubi/connectors/sandbox/site"
	"github.com/musubi-hub/musubi/connectors/sandbox/slack"
)

// AtlassianOptions configure the SCIM directory.
type AtlassianOptions = atlassian.Options

// JiraOptions configure Jira Service Management.
type JiraOptions = jira.Options

// SlackOptions configure the Slack workspace.
type SlackOptions = slack.Options

// MailOptions configure the mail relay.
type MailOptions = mail.Options

// LoginOptions make a product's customers log in by OpenID Connect, on a host of its own.
type LoginOptions = relying.Options

// LoginEndpoints are the addresses that an OpenID provider must know of a product.
type LoginEndpoints = relying.Endpoints

// LoginEndpointsOf gives the addresses to register for Jira or Slack at a base URL, before there is a sandbox.
func LoginEndpointsOf(product, baseURL string) (LoginEndpoints, error) {
	return relying.EndpointsOf(product, baseURL)
}

// LoginJWKS gives the public half of LoginOptions.Key as a JSON Web Key Set, to register for private_key_jwt.
func LoginJWKS(key crypto.Signer) ([]byte, error) { return relying.JWKS(key) }

// SAMLSettings are what an administrator types in at a product: the provider's entity id, address and one certificate.
type SAMLSettings = samlsp.Settings

// SAMLDescription is what a product tells its administrator to register at the provider.
type SAMLDescription = samlsp.Described

// ErrSAMLSettings says that a product doesn't take what was typed in.
var ErrSAMLSettings = samlsp.ErrSettings

// State is the ground truth of one product, the document of /_control/state.
type State = site.State

// Counts are the ground truth's numbers.
type Counts = site.Counts

// The products' names, which are their path prefixes, fault targets and state documents.
const (
	Atlassian = atlassian.Name
	Jira      = jira.Name
	Slack     = slack.Name
	Mail      = mail.Name
)

// appNames lists the products.
var appNames = []string{Atlassian, Jira, Slack, Mail}

// Options configure a sandbox.
type Options struct {
	Now        func() time.Time // required
	Seed       uint64           // identifiers and faults depend on it
	Dir        string           // state is kept here; "": in memory only
	QuotaScale float64          // 1, the vendors' own limits; 10, ten times faster; 0 means 1
	BaseURL    string           // for links, e.g. "http://127.0.0.1:8081"; "": the request's host
	Atlassian  AtlassianOptions
	Jira       JiraOptions
	Slack      SlackOptions
	Mail       MailOptions
	// JiraLogin and SlackLogin put the pages of Jira's customers and of Slack's members behind a login, on their own hosts. nil: there are
	// no such pages. The pages of the whole world stay where they are, without a login, under the sandbox's own name.
	JiraLogin, SlackLogin *LoginOptions
	// JiraSAML and SlackSAML do the same by SAML 2.0, as the vendors do: give one of both. StaffSAML is Jira for managed Atlassian accounts, on a
	// host of its own: the vendor's portal-only customers log in by another connection.
	JiraSAML, SlackSAML, StaffSAML *SAMLOptions
	// Plain are sites that stand in for no product.
	Plain []PlainOptions
	// Outgoing carries what the products send (events, webhooks); nil: nothing is sent, and no subscription is taken. The caller
	// decides what it reaches: the command lets it reach loopback alone.
	Outgoing http.RoundTripper
	After    func(time.Duration) <-chan time.Time // how deliveries wait by Now; nil: time.After
	Logger   *slog.Logger                         // nil: none; requests at debug level, never a query, body or header
}

// product is one stand-in.
type product interface {
	Name() string
	Table() *site.Table
	Authenticate(c *site.Call, route *site.Route) bool
	Refuse(w http.ResponseWriter, r *http.Request, status int, detail string)
	Throttled(w http.ResponseWriter, r *http.Request, limit site.Limit, retryAfter time.Duration, now time.Time)
	Allowed(w http.ResponseWriter, limit site.Limit, remaining int)
	Unrouted(w http.ResponseWriter, r *http.Request, allowed []string)
	Apply(site.Change) error
	SnapshotLocked(emit func([]site.Change) error) error
	ResetLocked()
	Lock()
	Unlock()
	State() site.State
	Counts() site.Counts
}

// Sandbox is the stand-in. It is an http.Handler; all methods may be called at once from many goroutines.
type Sandbox struct {
	now       func() time.Time
	base      *url.URL // nil: the request's host
	logger    *slog.Logger
	directory *atlassian.Directory
	service   *jira.Service
	workspace *slack.Workspace
	mail      *mail.Box
	products  []product // in the order in which their locks are taken
	journal   *journal.Journal
	faults    *faultSet
	quotas    *quotaSet
	pages     *pageSet
	sites     []*customerSite // those with a login
	requests  atomic.Uint64   // answered so far: names each of them
}

// New makes a sandbox, replaying the journal in opt.Dir. Another sandbox on the same folder is journal.ErrLocked.
func New(opt Options) (*Sandbox, error) {
	if opt.Atlassian.Token == "" && opt.Jira.Token == "" && opt.Slack.Token == "" && opt.Slack.AdminToken == "" {
		return nil, errors.New("sandbox: no token is set for any product, so that every call would be refused; set Atlassian.Token, Jira.Token or Slack.Token")
	}
	if opt.Now == nil {
		return nil, errors.New("sandbox: no clock; set Now")
	}
	if opt.QuotaScale < 0 {
		return nil, fmt.Errorf("sandbox: QuotaScale %v must not be negative", opt.QuotaScale)
	}
	s := &Sandbox{now: opt.Now, logger: opt.Logger, faults: newFaultSet(opt.Seed), quotas: newQuotaSet(cmp.Or(opt.QuotaScale, 1))}
	if s.logger == nil {
		s.logger = slog.New(slog.DiscardHandler)
	}
	if opt.BaseURL != "" {
		base, err := url.Parse(strings.TrimSuffix(opt.BaseURL, "/"))
		if err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "" || base.Path != "" || base.User != nil {
			return nil, fmt.Errorf("sandbox: BaseURL %q must be an http(s) address without a path", opt.BaseURL)
		}
		s.base = base
	}
	appender := func(app string) func([]site.Change) error {
		return func(changes []site.Change) error { return s.journal.Append(app, changes) }
	}
	if opt.JiraLogin != nil {
		opt.Jira.PortalURL = cmp.Or(opt.Jira.PortalURL, strings.TrimSuffix(opt.JiraLogin.BaseURL, "/"))
	}
	if opt.JiraSAML != nil {
		opt.Jira.PortalURL = cmp.Or(opt.Jira.PortalURL, strings.TrimSuffix(opt.JiraSAML.BaseURL, "/"))
	}
	if opt.SlackSAML != nil {
		opt.Slack.ClientURL = cmp.Or(opt.Slack.ClientURL, strings.TrimSuffix(opt.SlackSAML.BaseURL, "/"))
	}
	if opt.SlackLogin != nil {
		opt.Slack.ClientURL = cmp.Or(opt.Slack.ClientURL, strings.TrimSuffix(opt.SlackLogin.BaseURL, "/"))
	}
	s.directory = atlassian.New(opt.Atlassian, opt.Seed, appender(Atlassian))
	var err error
	s.service, err = jira.New(opt.Jira, opt.Seed, s.directory, appender(Jira), jira.Sending{
		Outgoing: opt.Outgoing, Now: opt.Now, After: opt.After, Fault: s.faults.delivery(Jira), Lean: s.faults.event(Jira, FaultNoIssue),
	})
	if err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	s.workspace, err = slack.New(opt.Slack, slack.Ground{
		Seed: opt.Seed, Log: appender(Slack), Base: strings.TrimSuffix(opt.BaseURL, "/"), Now: opt.Now, After: opt.After, Outgoing: opt.Outgoing, Fault: s.faults.delivery(Slack),
	})
	if err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	s.mail = mail.New(opt.Mail, opt.Seed, opt.Now, s.mailGate(), appender(Mail))
	s.products = []product{s.service, s.directory, s.workspace, s.mail}
	if s.pages, err = newPageSet(s); err != nil {
		return nil, err
	}
	if err := s.openSites(opt); err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	if opt.Dir != "" {
		if s.journal, err = journal.Open(opt.Dir, stateSource{s}); err != nil {
			return nil, fmt.Errorf("sandbox: %w", err)
		}
	}
	return s, nil
}

// Close ends the deliveries and releases the journal. Later changes are refused.
func (s *Sandbox) Close() error {
	return errors.Join(s.service.Close(), s.workspace.Close(), s.journal.Close())
}

// Deliveries gives the newest attempts to deliver Jira's webhooks, oldest first.
func (s *Sandbox) Deliveries() []deliver.Record { return s.service.Deliveries() }

// Workspace gives the Slack workspace, for what its people do and for its subscription.
func (s *Sandbox) Workspace() *slack.Workspace { return s.workspace }

// stateSource is the sandbox as the journal sees it.
type stateSource struct{ s *Sandbox }

// Apply replays a change.
func (x stateSource) Apply(app string, c site.Change) error {
	if app == appSAML {
		return x.s.applySAML(c)
	}
	p, ok := x.s.product(app)
	if !ok {
		return fmt.Errorf("unknown product %q: the journal is of a newer version", app)
	}
	return p.Apply(c)
}

// Snapshot gives the whole state.
func (x stateSource) Snapshot(emit func(app string, changes []site.Change) error) error {
	for _, p := range x.s.products {
		p.Lock()
		err := p.SnapshotLocked(func(c []site.Change) error { return emit(p.Name(), c) })
		p.Unlock()
		if err != nil {
			return err
		}
	}
	return x.s.snapshotSAML(emit)
}

// emptySource is a state with nothing in it.
type emptySource struct{}

func (emptySource) Apply(string, site.Change) error                        { return nil }
func (emptySource) Snapshot(func(app string, c []site.Change) error) error { return nil }

func (s *Sandbox) product(name string) (product, bool) {
	for _, p := range s.products {
		if p.Name() == name {
			return p, true
		}
	}
	return nil, false
}

// State gives the ground truth of a product.
func (s *Sandbox) State(app string) (State, error) {
	p, ok := s.product(app)
	if !ok {
		return State{}, fmt.Errorf("sandbox: unknown app %q; there are %s", app, strings.Join(appNames, ", "))
	}
	return p.State(), nil
}

// Counts gives the ground truth's numbers of a product, without building the whole document.
func (s *Sandbox) Counts(app string) (Counts, error) {
	p, ok := s.product(app)
	if !ok {
		return Counts{}, fmt.Errorf("sandbox: unknown app %q; there are %s", app, strings.Join(appNames, ", "))
	}
	return p.Counts(), nil
}

// Reset forgets all accounts, groups, faults, quota counters, logins, sessions, and what was typed in for SAML after the start.
func (s *Sandbox) Reset() error {
	for _, p := range s.products {
		p.Lock()
		defer p.Unlock()
	}
	if err := s.journal.Compact(emptySource{}); err != nil {
		return fmt.Errorf("sandbox: reset: %w", err)
	}
	for _, p := range s.products {
		p.ResetLocked()
	}
	s.faults.clear()
	s.quotas.clear()
	for _, x := range s.sites {
		x.party.Clear()
		if x.saml != nil {
			x.saml.Restart()
		}
	}
	return nil
}

// ServeHTTP answers all prefixes.
func (s *Sandbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	started := s.now()
	rec := &statusWriter{ResponseWriter: w}
	defer func() {
		s.logger.LogAttrs(context.WithoutCancel(r.Context()), slog.LevelDebug, "sandbox request", slog.String("method", r.Method),
			slog.String("path", r.URL.Path), slog.Int("status", rec.status), slog.Duration("took", s.now().Sub(started)))
	}()
	if x := s.siteOf(r.Host); x != nil {
		x.ServeHTTP(rec, r)
		return
	}
	if p, path, ok := s.apiOf(r); ok {
		s.serveAPI(rec, r, p, path)
		return
	}
	if !s.ownHost(r.Host) {
		writeControl(rec, http.StatusForbidden, controlError{"this address is not the sandbox's own; open it at its loopback address, or set its base URL"})
		return
	}
	if r.URL.Path == "/_control" || strings.HasPrefix(r.URL.Path, "/_control/") {
		s.serveControl(rec, r)
		return
	}
	if r.URL.Path == pathSAML {
		s.pages.serveSAML(rec, r)
		return
	}
	if r.Method == http.MethodPost && strings.HasPrefix(r.URL.Path, "/"+Mail+"/") {
		s.postMail(rec, r)
		return
	}
	s.pages.ServeHTTP(rec, r)
}

// statusWriter remembers the status for the log.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap gives http.ResponseController the writer below.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// apiOf finds the product that a request's path belongs to, and the path below its prefix.
func (s *Sandbox) apiOf(r *http.Request) (product, string, bool) {
	path := r.URL.EscapedPath()
	for prefix, p := range map[string]product{
		"/" + Atlassian + "/scim/": s.directory, "/" + Jira + "/rest/": s.service,
		"/" + Slack + "/scim/": s.workspace, "/" + Slack + "/api/": s.workspace,
	} {
		if strings.HasPrefix(path, prefix) {
			return p, strings.TrimPrefix(path, "/"+p.Name()), true
		}
	}
	return nil, "", false
}

// baseOf gives the sandbox's absolute address.
func (s *Sandbox) baseOf(r *http.Request) string {
	if x := s.siteOf(r.Host); x != nil {
		return x.party.BaseURL()
	}
	if s.base != nil {
		return s.base.String()
	}
	return "http://" + r.Host
}

// requestHeader is where a vendor's answer names the request, for its support.
func requestHeader(product string) string {
	if product == Slack {
		return "X-Slack-Req-Id"
	}
	return "Atl-Traceid"
}

// serveAPI takes a request through faults, credential and quota to its handler, in the order of a real gateway.
func (s *Sandbox) serveAPI(w http.ResponseWriter, r *http.Request, p product, path string) {
	route, vars, allowed := p.Table().Match(r.Method, path)
	w.Header().Set(requestHeader(p.Name()), fmt.Sprintf("%016x%016x", s.faults.seed, s.requests.Add(1)))
	if route == nil {
		p.Unrouted(w, r, allowed)
		return
	}
	plan := s.faults.plan(p.Name(), route, path, r)
	if !wait(r.Context(), plan.latency) {
		abort(w)
		return
	}
	if plan.before != nil {
		s.failBefore(w, r, p, route, plan.before)
		return
	}
	out := w
	if plan.swallow {
		out = newRecorder()
	}
	now := s.now().UTC().Truncate(time.Microsecond)
	call := &site.Call{W: out, R: r, Vars: vars, Base: s.baseOf(r), Now: now, Drop: plan.drop, Scale: s.quotas.scale}
	call.Take = func(class string, l site.Limit) (bool, time.Duration) {
		ok, _, after := s.quotas.take(p.Name(), class, s.quotas.scaled(l), now)
		return ok, after
	}
	if plan.stale > 0 {
		call.AsOf = now.Add(-plan.stale)
	}
	if p.Authenticate(call, route) {
		limit := s.quotas.scaled(route.Limit)
		if ok, remaining, after := s.quotas.take(p.Name(), route.Class, limit, now); ok {
			p.Allowed(out, limit, remaining)
			route.Handle(call)
		} else {
			p.Throttled(out, r, limit, after, now)
		}
	}
	if plan.swallow {
		wait(r.Context(), plan.swallowFor)
		abort(w)
	}
}
