package metadata

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/samlidp/sp"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/jobs"
)

// Queue is the queue of this package.
const Queue = "saml_metadata"

// The bounds of the work.
const (
	lookEvery   = 15 * time.Minute
	warnEvery   = 6 * time.Hour
	atOnce      = 4   // fetches on one node
	perLook     = 500 // sources: 48,000 a day
	perStep     = 50  // of them in one transaction
	maxAttempts = 10
)

// Queues lists the queues of this package.
func Queues() map[string]jobs.Queue {
	return map[string]jobs.Queue{Queue: {MaxWorkers: atOnce}}
}

// LookArgs is the job that makes a job of each source whose time has come.
type LookArgs struct {
	Slot int64 `json:"slot"` // UTC, microseconds
}

// Kind implements jobs.Args.
func (LookArgs) Kind() string { return "saml.metadata_look.v1" }

// Key implements jobs.Args: one look a slot, on whatever node.
func (a LookArgs) Key() string { return strconv.FormatInt(a.Slot, 10) }

// FetchArgs is the job that reads one provider's metadata.
type FetchArgs struct {
	Party policies.RelyingPartyID `json:"party"`
	Due   int64                   `json:"due"` // UTC, microseconds: when its time came
}

// Kind implements jobs.Args.
func (FetchArgs) Kind() string { return "saml.metadata_fetch.v1" }

// Key implements jobs.Args: one fetch each time that it is due.
func (a FetchArgs) Key() string { return fmt.Sprintf("%s %d", a.Party, a.Due) }

// WarnArgs is the job that tells what ends soon.
type WarnArgs struct {
	Slot int64 `json:"slot"` // UTC, microseconds
}

// Kind implements jobs.Args.
func (WarnArgs) Kind() string { return "saml.metadata_warn.v1" }

// Key implements jobs.Args.
func (a WarnArgs) Key() string { return strconv.FormatInt(a.Slot, 10) }

func options() jobs.KindOptions {
	return jobs.KindOptions{Queue: Queue, Priority: 3, MaxAttempts: maxAttempts, Timeout: time.Minute, Backoff: jobs.Exponential(time.Second, 5*time.Minute)}
}

// Periodic lists what happens again and again.
func Periodic() []jobs.Periodic {
	return []jobs.Periodic{
		{Every: lookEvery, Args: func(slot time.Time) jobs.Args { return LookArgs{slot.UnixMicro()} }},
		{Every: warnEvery, Args: func(slot time.Time) jobs.Args { return WarnArgs{slot.UnixMicro()} }},
	}
}

// Inserter puts jobs into the caller's transaction. Implemented by jobs.Client.
type Inserter interface {
	InsertTx(ctx context.Context, tx *sql.Tx, ins ...jobs.Insert) (int, error)
}

// Worker works the jobs of this package.
type Worker struct {
	db      *sqldb.DB
	sources *sp.Sources
	refresh Refresher
	jobs    Inserter
	now     func() time.Time
	log     *slog.Logger
}

// Register registers the kinds of job of this package. Bind the worker to the job client before it starts.
func Register(w *jobs.Workers, db *sqldb.DB, sources *sp.Sources, f Fetcher, now func() time.Time, log *slog.Logger) *Worker {
	x := &Worker{db, sources, Refresher{sources, f, now}, nil, now, log}
	jobs.Register(w, options(), x.look)
	jobs.Register(w, options(), x.fetch)
	jobs.Register(w, options(), x.warn)
	return x
}

// Declare tells w the kinds of job of this package, for a process that inserts but doesn't work them.
func Declare(w *jobs.Workers) {
	jobs.Declare[LookArgs](w, options())
	jobs.Declare[FetchArgs](w, options())
	jobs.Declare[WarnArgs](w, options())
}

// Bind gives the worker the client that puts jobs into transactions.
func (x *Worker) Bind(ins Inserter) { x.jobs = ins }

// look claims the sources whose time has come, and makes a job of each in the transaction that claims it.
func (x *Worker) look(ctx context.Context, _ jobs.Job[LookArgs]) error {
	if x.jobs == nil {
		return errors.New("metadata: the worker isn't bound to a job client")
	}
	for range perLook / perStep {
		now := x.now().UnixMicro()
		due, err := x.sources.Due(ctx, now, perStep)
		if err != nil || len(due) == 0 {
			return err
		}
		err = x.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
			var ins []jobs.Insert
			for _, d := range due {
				ok, err := x.sources.Claim(ctx, tx, d, now)
				if err != nil {
					return err
				}
				if ok {
					ins = append(ins, jobs.Insert{Args: FetchArgs{d.Party, d.At}})
				}
			}
			_, err := x.jobs.InsertTx(ctx, tx, ins...)
			return err
		})
		if err != nil {
			return fmt.Errorf("metadata: make jobs of what is due: %w", err)
		}
		x.db.Yield(ctx)
	}
	return nil
}

// fetch reads one provider's metadata. What fails outside is taken down and no error: it is tried again at the source's own pace.
func (x *Worker) fetch(ctx context.Context, job jobs.Job[FetchArgs]) error {
	id := job.Args.Party
	out, err := x.refresh.Refresh(ctx, access.System(policies.TaskMetadata), id, false)
	switch {
	case gone(err):
		return nil
	case err != nil:
		return err
	}
	log := x.log.With("relying_party", string(id), "outcome", string(out.Outcome))
	switch out.Outcome {
	case sp.OutcomeFailed:
		log.WarnContext(ctx, "a provider's metadata wasn't taken; what is in force stays so", "why", out.Why)
	case sp.OutcomePending:
		log.WarnContext(ctx, "a provider's metadata differs and waits for a person", "hash", out.Proposal.Hash)
	case sp.OutcomeAccepted:
		log.InfoContext(ctx, "a provider's metadata was taken: harmless, and signed by its signer", "hash", out.Proposal.Hash)
	default:
		log.DebugContext(ctx, "a provider's metadata was read")
	}
	return nil
}

func (x *Worker) warn(ctx context.Context, _ jobs.Job[WarnArgs]) error {
	_, err := x.sources.Warn(ctx, x.now().UnixMicro())
	return err
}
