package jobs

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverdatabasesql"
	"github.com/riverqueue/river/riverdriver/riversqlite"

	"github.com/musubi-hub/musubi/identity/sqldb"
)

// Queue says how a queue is worked by this node.
type Queue struct {
	MaxWorkers int  // jobs at once, 1 to 1000
	Urgent     bool // looked at every 100 ms instead of every 500 ms
}

// How often a queue is looked at. Neither driver hears of inserts, so an idle queue is polled; a busy one is read again as soon
// as slots are free, at most once per cooldown: 64 workers and 20 ms allow 3,200 jobs a second.
const (
	pollUrgent    = 100 * time.Millisecond
	pollNormal    = 500 * time.Millisecond
	fetchCooldown = 20 * time.Millisecond
)

// How long finished jobs are kept in River's table, so that it stays small, and how long a key holds.
const (
	completedKept = time.Hour
	deadKept      = 90 * 24 * time.Hour
	keyKept       = 400 * 24 * time.Hour
)

// Outcome says how an attempt ended.
type Outcome string

// The outcomes of an attempt.
const (
	OutcomeDone      Outcome = "done"
	OutcomeSnoozed   Outcome = "snoozed"
	OutcomeDiscarded Outcome = "discarded"
	OutcomeFailed    Outcome = "failed" // a panic too
)

// Trace is told that an attempt begins, and by what it returns that it has ended and how. The context that it returns is the
// attempt's.
type Trace func(ctx context.Context, kind string, attempt int) (context.Context, func(Outcome))

// Config makes a Client. DB and Workers are required; the rest has defaults.
type Config struct {
	DB      *sqldb.DB
	Workers *Workers
	// NodeID is this node's stable name (see NodeID), 1 to 60 bytes, unlike any other node's. By it the node knows after a crash
	// which jobs it left running.
	NodeID string
	Queues map[string]Queue
	// Periodic jobs are inserted by every node and worked once.
	Periodic []Periodic
	Logger   *slog.Logger // nil: silent
	Trace    Trace        // called around every attempt; may be nil
	// Now is the clock; nil: the real one (the database's, on many nodes). A clock that runs faster than real time is for a
	// single node: set ScheduleEvery with it.
	Now func() time.Time
	// ScheduleEvery is how often, in real time, jobs whose date has come are made available; 0: every second, which is enough
	// for a real clock. At least 10 ms.
	ScheduleEvery time.Duration
	JobTimeout    time.Duration // of kinds without a Timeout; 0: 20 s
	// RescueAfter is how long a node must have given no sign before another takes its running jobs for lost; longer than
	// JobTimeout. A node that can't reach the database for two thirds of it stops its jobs. 0: 30 s.
	RescueAfter time.Duration
}

func (c Config) withDefaults() Config {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.JobTimeout == 0 {
		c.JobTimeout = 20 * time.Second
	}
	if c.RescueAfter == 0 {
		c.RescueAfter = 30 * time.Second
	}
	if c.Workers == nil {
		c.Workers = NewWorkers()
	}
	return c
}

func (c Config) validate() error {
	errs := append([]error(nil), c.Workers.errs...)
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("jobs: "+format, args...)) }
	if c.DB == nil {
		bad("no database")
	}
	if c.NodeID == "" || len(c.NodeID) > 60 {
		bad("node id of %d bytes: want 1 to 60", len(c.NodeID))
	}
	if c.JobTimeout < 0 || c.RescueAfter <= c.JobTimeout {
		bad("a job may run %s but is taken for lost after %s", c.JobTimeout, c.RescueAfter)
	}
	if c.ScheduleEvery != 0 && c.ScheduleEvery < 10*time.Millisecond {
		bad("ScheduleEvery %s: want at least 10ms", c.ScheduleEvery)
	}
	if len(c.Queues) == 0 {
		bad("no queues; an insert-only client is made by NewInsertOnly")
	}
	for name, q := range c.Queues {
		if !queueName.MatchString(name) {
			bad("queue %q: want letters, digits, - and _, at most 64", name)
		}
		if q.MaxWorkers < 1 || q.MaxWorkers > 1000 {
			bad("queue %q: %d workers, want 1 to 1000", name, q.MaxWorkers)
		}
	}
	worked := 0
	for name, k := range c.Workers.kinds {
		if !k.worked {
			continue
		}
		worked++
		if _, ok := c.Queues[k.opt.Queue]; !ok {
			bad("kind %q belongs to queue %q, which isn't worked here", name, k.opt.Queue)
		}
	}
	if worked == 0 {
		bad("no kind is registered")
	}
	for _, p := range c.Periodic {
		if err := p.validate(); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Client inserts jobs and, once started, works them. It is safe for concurrent use.
type Client struct {
	cfg     Config
	db      *sqldb.DB
	log     *slog.Logger
	river   *river.Client[*sql.Tx]
	reading *river.Client[*sql.Tx] // on the reader pool, for lists
	driver  riverdriver.Driver[*sql.Tx]
	works   bool

	worked   []string // the kinds worked here, sorted
	fetchSQL statements
	ledger   ledger
	roll     roll
	born     time.Time
	beaten   atomic.Int64 // when the last beat was written, in nanoseconds since born
	beatNo   int64        // the last beat; of keepLoop's goroutine once it runs

	stopping atomic.Bool
	mu       sync.Mutex // guards the life of the loops below
	cancel   context.CancelFunc
	loops    sync.WaitGroup
	unkeep   context.CancelFunc // ends keepLoop, which outlives the others
	keeping  sync.WaitGroup
}

func driver(db *sqldb.DB, pool *sql.DB) riverdriver.Driver[*sql.Tx] {
	if db.Engine() == sqldb.SQLite {
		return riversqlite.New(pool)
	}
	return riverdatabasesql.New(pool)
}

// New makes a client that inserts and works jobs. It touches nothing until Start.
func New(cfg Config) (*Client, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	return build(cfg, true)
}

// NewInsertOnly makes a client that only inserts, lists and retries: for the command line beside a running hub. Of cfg it uses
// DB, Workers, Logger and Now.
func NewInsertOnly(cfg Config) (*Client, error) {
	cfg = cfg.withDefaults()
	if cfg.DB == nil {
		return nil, errors.New("jobs: no database")
	}
	if err := errors.Join(cfg.Workers.errs...); err != nil {
		return nil, err
	}
	return build(cfg, false)
}

func build(cfg Config, works bool) (*Client, error) {
	c := &Client{
		cfg: cfg, db: cfg.DB, log: cfg.Logger.With("component", "jobs"), works: works,
		driver: driver(cfg.DB, cfg.DB.Writer()),
	}
	rc := &river.Config{Logger: slog.New(quiet{c.log.Handler()})}
	if cfg.Now != nil {
		rc.Test.Time = clock{cfg.Now}
	}
	var err error
	if c.reading, err = river.NewClient(driver(cfg.DB, cfg.DB.Reader()), rc); err != nil {
		return nil, fmt.Errorf("jobs: %w", err)
	}
	drv := c.driver
	if works {
		rw := river.NewWorkers()
		for name, k := range cfg.Workers.kinds {
			if k.worked {
				k.add(rw, c)
				c.worked = append(c.worked, name)
			}
		}
		slices.Sort(c.worked)
		c.fetchSQL = fetchStatements(c.db.Engine(), len(c.worked))
		c.ledger.held = map[int64]*holding{}
		c.roll = roll{self: cfg.NodeID, alone: c.alone(), after: cfg.RescueAfter}
		c.born = time.Now()
		drv = hubDriver{c.driver, c}
		rc.ID = cfg.NodeID
		rc.Workers = rw
		rc.SkipUnknownJobCheck = true // InsertTx has its own, which knows declared kinds too
		rc.Queues = riverQueues(cfg.Queues)
		rc.JobTimeout = cfg.JobTimeout
		rc.RescueStuckJobsAfter = cfg.RescueAfter
		rc.CompletedJobRetentionPeriod = completedKept
		rc.CancelledJobRetentionPeriod = deadKept
		rc.DiscardedJobRetentionPeriod = deadKept
		rc.FetchCooldown = fetchCooldown
		rc.FetchPollInterval = pollNormal
		rc.PollOnly = true
	}
	if c.river, err = river.NewClient(drv, rc); err != nil {
		return nil, fmt.Errorf("jobs: %w", err)
	}
	return c, nil
}

func riverQueues(qs map[string]Queue) map[string]river.QueueConfig {
	out := make(map[string]river.QueueConfig, len(qs))
	for name, q := range qs {
		rq := river.QueueConfig{MaxWorkers: q.MaxWorkers, FetchCooldown: fetchCooldown, FetchPollInterval: pollNormal}
		if q.Urgent {
			rq.FetchPollInterval = pollUrgent
		}
		out[name] = rq
	}
	return out
}

func (c *Client) now() time.Time {
	if c.cfg.Now != nil {
		return c.cfg.Now()
	}
	return time.Now()
}

// Start recovers what this node left running (see Recover) and then works jobs until Stop. The end of ctx doesn't stop it.
func (c *Client) Start(ctx context.Context) error {
	if !c.works {
		return errors.New("jobs: an insert-only client can't be started")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cancel != nil {
		return errors.New("jobs: started already")
	}
	n, err := c.Recover(ctx)
	if err != nil {
		return err
	}
	if n > 0 {
		c.log.InfoContext(ctx, "jobs that were running when this node ended are available again", "jobs", n)
	}
	if err := c.pullIn(ctx); err != nil {
		return fmt.Errorf("jobs: start: %w", err)
	}
	if !c.alone() {
		if err := c.beat(ctx); err != nil {
			return fmt.Errorf("jobs: start: %w", err)
		}
	}
	ctx = context.WithoutCancel(ctx)
	if err := c.river.Start(ctx); err != nil {
		return fmt.Errorf("jobs: start: %w", err)
	}
	c.stopping.Store(false)
	keepCtx, unkeep := context.WithCancel(ctx)
	c.unkeep = unkeep
	c.keeping.Go(func() { c.keepLoop(keepCtx) })
	ctx, c.cancel = context.WithCancel(ctx)
	c.loops.Go(func() { c.pruneLoop(ctx) })
	if len(c.cfg.Periodic) > 0 {
		c.loops.Go(func() { c.periodicLoop(ctx) })
	}
	if c.cfg.ScheduleEvery > 0 {
		c.loops.Go(func() { c.scheduleLoop(ctx) })
	}
	return nil
}

// stopTime is how long jobs that were told to stop may take to notice.
const stopTime = 5 * time.Second

// Stop fetches no more jobs and waits for the running ones. When ctx ends first, they are cancelled; those that don't notice
// within 5 s are left to the next start and reported.
func (c *Client) Stop(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cancel == nil {
		return nil
	}
	c.cancel()
	c.cancel = nil
	c.loops.Wait()
	defer c.endKeeping(ctx)
	if err := c.river.Stop(ctx); err == nil {
		return nil
	}
	c.stopping.Store(true)
	hard, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
	defer cancel()
	if err := c.river.StopAndCancel(hard); err != nil {
		return fmt.Errorf("jobs: stop: some jobs didn't end within %s and will be taken up by the next start: %w", stopTime, err)
	}
	return nil
}

// endKeeping stores what is still owed and takes this node off the list. What can't be stored, the next start or another node
// does again.
func (c *Client) endKeeping(ctx context.Context) {
	c.unkeep()
	c.keeping.Wait()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), finalSettle)
	defer cancel()
	if err := c.settle(ctx); err != nil {
		c.log.ErrorContext(ctx, "results of jobs are lost and the jobs will be done again", "error", err)
	}
	if c.alone() {
		return
	}
	if _, err := c.db.Writer().ExecContext(ctx, "DELETE FROM job_node WHERE id = $1", c.cfg.NodeID); err != nil {
		c.log.WarnContext(ctx, "take this node off the list", "error", err)
	}
}
