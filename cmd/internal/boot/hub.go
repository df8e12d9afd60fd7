package boot

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/base32"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/musubi-hub/musubi/cmd/internal/config"
	"github.com/musubi-hub/musubi/cmd/internal/tracing"
	"github.com/musubi-hub/musubi/connectors"
	"github.com/musubi-hub/musubi/connectors/mail"
	"github.com/musubi-hub/musubi/connectors/outbound"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/directory"
	"github.com/musubi-hub/musubi/identity/entrance"
	"github.com/musubi-hub/musubi/identity/keys"
	"github.com/musubi-hub/musubi/identity/oidcop"
	"github.com/musubi-hub/musubi/identity/oidcop/party"
	"github.com/musubi-hub/musubi/identity/samlidp"
	"github.com/musubi-hub/musubi/identity/samlidp/sp"
	"github.com/musubi-hub/musubi/identity/session"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/policies/classes"
	"github.com/musubi-hub/musubi/policies/load"
	"github.com/musubi-hub/musubi/sync/breaker"
	"github.com/musubi-hub/musubi/sync/dated"
	"github.com/musubi-hub/musubi/sync/jobs"
	"github.com/musubi-hub/musubi/sync/logout"
	"github.com/musubi-hub/musubi/sync/metadata"
	"github.com/musubi-hub/musubi/sync/notice"
	"github.com/musubi-hub/musubi/sync/provision"
	"github.com/musubi-hub/musubi/sync/quota"
	"github.com/musubi-hub/musubi/sync/upkeep"
)

// Options say how a hub is opened.
type Options struct {
	Data   string // folder of database, node id, secrets
	Config config.Config
	// Work makes the process one that works jobs: it takes the lock of the database or of the node. Otherwise it stands beside a
	// serving hub and only inserts.
	Work bool
	// Bare opens database, directory and policies only, and changes no table: for the backup, which must not need a SaaS's token.
	Bare      bool
	Now       func() time.Time
	Log       *slog.Logger
	Transport http.RoundTripper          // nil: the network
	Parties   http.RoundTripper          // to OpenID relying parties; nil: the network
	Observe   func(outbound.Observation) // nil: nobody counts
	Tracer    *tracing.Tracer            // nil: no spans
}

// Hub is everything that a command needs, opened.
type Hub struct {
	Config    config.Config
	Data      string
	Now       func() time.Time
	Log       *slog.Logger
	DB        *sqldb.DB
	Engine    *policies.Engine
	Directory *directory.Store
	Resolver  *access.Resolver
	Provision *provision.Store
	Breakers  *breaker.Store
	Planner   *provision.Planner
	Dated     *dated.Enqueuer
	Jobs      *jobs.Client
	Quota     *quota.Quota
	Open      map[policies.Product]connectors.Opened
	Keys      *keys.Ring
	Audit     *audit.Log // nil unless Options.Work

	Posts     *access.Posts
	Parties   *party.Registry // OpenID relying parties
	SPs       *sp.Registry    // SAML service providers
	Metadata  *sp.Sources     // what they publish of themselves
	Entrances *entrance.Book  // both, and the hub's own pages
	Sessions  *session.Store
	Logouts   *logout.Enqueuer
	Persons   *notice.Store // tells people what happened to their accounts

	outward  http.RoundTripper                // Options.Parties
	seal     *keys.SealingKey                 // nil until Unseal
	accounts *Accounts                        // nil until Accounts
	provider atomic.Pointer[oidcop.Provider]  // nil until Federate
	saml     atomic.Pointer[samlidp.Provider] // likewise
	keeper   atomic.Pointer[upkeep.Keeper]    // nil until Keep
	refused  map[string]refusedProduct
	pages    atomic.Pointer[string] // address of the pages; nil: nobody serves them

	release   func() error
	sequenced func() // ends the sequencing of audit rows and waits for it
	settled   func() // ends the settling of imports and waits for it
	followed  func() // ends the following of the directory and waits for it
	kept      func() // ends the upkeep and waits for it
	node      string // id of this node; empty unless Options.Work
}

// OpenHub opens the data folder and everything in it. It touches no SaaS.
func OpenHub(ctx context.Context, o Options) (hub *Hub, err error) {
	if err := os.MkdirAll(o.Data, 0o700); err != nil {
		return nil, Usage(fmt.Errorf("data folder: %w", err))
	}
	h := &Hub{Config: o.Config, Data: o.Data, Now: o.Now, Log: o.Log, outward: o.Parties, release: func() error { return nil }, sequenced: func() {}, settled: func() {}, followed: func() {}, kept: func() {}}
	defer func() {
		if err != nil {
			err = errors.Join(err, h.Close())
		}
	}()
	if h.Engine, err = load.Default(); err != nil {
		return h, fmt.Errorf("policies: %w", err)
	}
	if h.DB, err = OpenDatabase(ctx, o.Config, sqldb.Options{Logger: o.Log}); err != nil {
		return h, err
	}
	if o.Work {
		if h.release, err = lockWork(h.DB, o.Data); err != nil {
			h.release = func() error { return nil }
			return h, err
		}
	}
	if o.Bare {
		err = checkVersions(ctx, h.DB)
	} else {
		err = Migrate(ctx, h.DB)
	}
	if err != nil {
		return h, err
	}
	h.Persons = notice.New(h.DB) // before the sealing key, under which it keeps what mails hand over
	if err := h.openKeys(ctx, o); err != nil {
		return h, err
	}
	h.Provision = provision.NewStore(h.DB, o.Now)
	h.Dated = dated.New(h.Provision)
	leaving := &leavers{session.Leavers{Enqueuer: h.Dated}}
	h.Directory = directory.New(h.DB, directory.Options{Now: o.Now, NewID: newPersonID, Enqueuer: leaving})
	if err := h.guard(o); err != nil {
		return h, err
	}
	h.Resolver = access.NewResolver(h.DB, h.Directory, h.Engine, o.Now)
	h.Logouts = logout.New()
	h.makeSessions(leaving)
	if o.Bare {
		h.Planner = provision.NewPlanner(h.Provision, h.Directory, classes.New(h.Engine))
		return h, nil
	}
	if err := h.connect(o); err != nil {
		return h, err
	}
	h.Planner = provision.NewPlanner(h.Provision, h.Directory, classes.New(h.Engine), h.connected()...).Price(o.Config.Prices.PerSeat())
	if err := h.makeJobs(o); err != nil {
		return h, err
	}
	if o.Work {
		return h, h.settleImports(ctx)
	}
	return h, nil
}

// OpenDatabase opens the configured database, with the password of its file.
func OpenDatabase(ctx context.Context, cfg config.Config, opt sqldb.Options) (*sqldb.DB, error) {
	address := cfg.Database
	if cfg.DatabasePasswordFile != "" {
		password, err := config.ReadSecret(cfg.DatabasePasswordFile)
		if err != nil {
			return nil, Usage(err)
		}
		u, err := url.Parse(address)
		if err != nil {
			return nil, Usage(errors.New("database: the address can't be read"))
		}
		u.User = url.UserPassword(u.User.Username(), password)
		address = u.String()
	}
	db, err := sqldb.Open(ctx, address, opt)
	if err != nil {
		err = fmt.Errorf("database: %w", err)
		if errors.Is(err, sqldb.ErrURL) {
			return nil, Usage(err)
		}
		return nil, Outside(err)
	}
	return db, nil
}

// ServePages says at which address the hub's pages are, with its scheme and no path: "https://login.example.go.jp". What is told by mail links
// to it.
func (h *Hub) ServePages(base string) {
	base = strings.TrimSuffix(base, "/")
	h.pages.Store(&base)
}

func (h *Hub) pagesAt() string {
	if address := h.pages.Load(); address != nil {
		return *address
	}
	return ""
}

func (h *Hub) makeJobs(o Options) error {
	w := jobs.NewWorkers()
	var err error
	var published *metadata.Worker
	if !o.Work {
		provision.Declare(w)
		dated.Declare(w)
		logout.Declare(w)
		notice.Declare(w)
		metadata.Declare(w)
		h.Jobs, err = jobs.NewInsertOnly(jobs.Config{DB: h.DB, Workers: w, Logger: o.Log, Now: o.Now})
	} else {
		provision.NewRunner(w, h.Provision, h.Planner, h.Open, o.Log).Recheck(h.Directory)
		dated.Register(w, h.Directory, dated.Mail{Sender: h.Open[mail.Name].Sender, Roster: h.Directory, Pages: h.pagesAt}, o.Log)
		logout.Register(w, h.openID(), oidcop.Receipts{DB: h.DB}, o.Now, o.Log)
		logout.RegisterSAML(w, h.assertions(), samlidp.Receipts{DB: h.DB}, o.Now, o.Log)
		notice.Register(w, h.Persons, notice.Mail{Sender: h.Open[mail.Name].Sender, People: h.Resolver, Invitation: h.InvitationLinks}, o.Now, o.Log)
		transport, terr := h.backchannel()
		if terr != nil {
			return terr
		}
		published = metadata.Register(w, h.DB, h.Metadata, metadata.Fetcher{Transport: transport}, o.Now, o.Log)
		queues := provision.Queues()
		maps.Copy(queues, dated.Queues())
		maps.Copy(queues, logout.Queues())
		maps.Copy(queues, notice.Queues())
		maps.Copy(queues, metadata.Queues())
		node, nerr := jobs.NodeID(o.Data, rand.Reader)
		if nerr != nil {
			return nerr
		}
		h.node = node
		h.Jobs, err = jobs.New(jobs.Config{DB: h.DB, Workers: w, NodeID: node, Queues: queues, Logger: o.Log, Periodic: metadata.Periodic(), Trace: o.Tracer.Job()})
	}
	if err != nil {
		return err
	}
	if published != nil {
		published.Bind(h.Jobs)
	}
	h.Provision.Bind(h.Jobs)
	h.Dated.Bind(h.Jobs)
	h.Logouts.Bind(h.Jobs)
	h.Persons.Bind(h.Jobs)
	return nil
}

// CatchUp lets the hub do at its start what its clock would have made it do while it was down.
func (h *Hub) CatchUp(ctx context.Context) error {
	err := h.DB.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		return h.Dated.EnqueueActivation(ctx, tx, access.Activation{At: h.Now().UnixMicro()})
	})
	if err != nil {
		return fmt.Errorf("database: %w", err)
	}
	return nil
}

// Close stops the jobs and closes the database. It may be called twice.
func (h *Hub) Close() error {
	var errs []error
	h.followed()
	h.followed = func() {}
	h.kept()
	h.kept = func() {}
	if h.Jobs != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		errs = append(errs, h.Jobs.Stop(ctx))
		h.Jobs = nil
	}
	h.settled()
	h.settled = func() {}
	h.sequenced()
	h.sequenced = func() {}
	if h.DB != nil {
		errs = append(errs, h.DB.Close())
		h.DB = nil
	}
	errs = append(errs, h.release())
	h.release = func() error { return nil }
	return errors.Join(errs...)
}

// newPersonID makes an opaque id of 128 random bits.
func newPersonID() policies.PersonID {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the process where the system has no randomness
	return policies.PersonID("p" + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b[:])))
}

// Actor gives the acting person: of the credential file, or else the operating system user, who is break-glass.
func (h *Hub) Actor(ctx context.Context, credentialFile string) (access.Actor, error) {
	if credentialFile == "" {
		return access.BreakGlass(OSUser())
	}
	token, err := access.ReadFile(credentialFile)
	if err != nil {
		return access.Actor{}, Usage(err)
	}
	return h.Resolver.Authenticate(ctx, token)
}

func OSUser() string {
	for _, name := range []string{"SUDO_USER", "LOGNAME", "USER"} {
		if v := os.Getenv(name); v != "" {
			return v
		}
	}
	return fmt.Sprintf("uid-%d", os.Getuid())
}

// Scope mints the actor's scope for action over the whole workspace, or refuses.
func (h *Hub) Scope(ctx context.Context, a access.Actor, action policies.Action, c policies.Context) (policies.Scope, error) {
	var orgs []policies.Organization
	if a.Kind == access.KindPerson {
		orgs = append(orgs, a.Org.Policy())
	}
	return h.Resolver.Scope(ctx, a, action, orgs, c)
}
