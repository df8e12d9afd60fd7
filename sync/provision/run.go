package provision

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"time"

	"github.com/musubi-hub/musubi/connectors"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/jobs"
)

// ApplyQueue is the queue of the jobs that stage and follow a plan.
const ApplyQueue = "provision"

// Queue is the queue of a product's operations.
func Queue(p policies.Product) string { return string(p) }

// UrgentQueue is the queue of a product's leavers.
func UrgentQueue(p policies.Product) string { return string(p) + "_urgent" }

// ApplyArgs is the job that stages an approved plan's operations and follows them to the end.
type ApplyArgs struct {
	Plan string `json:"plan"`
	Run  string `json:"run"`
}

// Kind implements jobs.Args.
func (ApplyArgs) Kind() string { return "provision.apply.v1" }

// Key implements jobs.Args.
func (a ApplyArgs) Key() string { return a.Run }

// OpArgs is the job of one outward operation.
type OpArgs struct {
	Run string `json:"run"`
	Seq int    `json:"seq"`
}

// Kind implements jobs.Args.
func (OpArgs) Kind() string { return "provision.op.v1" }

// Key implements jobs.Args.
func (a OpArgs) Key() string { return fmt.Sprintf("%s/%d", a.Run, a.Seq) }

// LeaverArgs is the job that ends what a leaver has in one product.
type LeaverArgs struct {
	Product policies.Product  `json:"product"`
	Person  policies.PersonID `json:"person"`
	Cause   string            `json:"cause"`
	Again   string            `json:"again,omitempty"` // the trip of a breaker that held it and was released
}

// Kind implements jobs.Args.
func (LeaverArgs) Kind() string { return "provision.leaver.v1" }

// Key implements jobs.Args.
func (a LeaverArgs) Key() string {
	key := string(a.Product) + "/" + string(a.Person) + "/" + a.Cause
	if a.Again != "" {
		key += "/" + a.Again
	}
	return key
}

func opInsert(run string, seq int, p policies.Product) jobs.Insert {
	return jobs.Insert{Args: OpArgs{Run: run, Seq: seq}, Queue: Queue(p)}
}

// Runner does the jobs of this package.
type Runner struct {
	store  *Store
	source Source
	open   map[policies.Product]connectors.Opened
	where  *whereabouts // nil: not asked
	log    *slog.Logger
}

// NewRunner makes a runner and registers its kinds of job. source gives the present state that a plan is compared with at its
// start; open holds the connectors.
func NewRunner(w *jobs.Workers, store *Store, source Source, open map[policies.Product]connectors.Opened, log *slog.Logger) *Runner {
	r := &Runner{store: store, source: source, open: open, log: log}
	options := kindOptions()
	jobs.Register(w, options.apply, r.apply)
	jobs.Register(w, options.op, r.op)
	jobs.Register(w, options.leaver, r.leaver)
	return r
}

// Declare tells w the kinds of job of this package, for a process that inserts but doesn't work them.
func Declare(w *jobs.Workers) {
	options := kindOptions()
	jobs.Declare[ApplyArgs](w, options.apply)
	jobs.Declare[OpArgs](w, options.op)
	jobs.Declare[LeaverArgs](w, options.leaver)
}

type options struct{ apply, op, leaver jobs.KindOptions }

// kindOptions: attempts count our own failures only (a database that is away); what the vendor answers is an Outcome. A leaver
// has the most: the last resort is a dead letter that a person sees.
func kindOptions() options {
	return options{
		apply:  jobs.KindOptions{Queue: ApplyQueue, Priority: 1, MaxAttempts: 100, Timeout: 10 * time.Minute, Backoff: slowly},
		op:     jobs.KindOptions{Queue: ApplyQueue, Priority: 2, MaxAttempts: 100, Timeout: callBudget, Backoff: slowly},
		leaver: jobs.KindOptions{Queue: ApplyQueue, Priority: 1, MaxAttempts: 1000, Timeout: callBudget, Backoff: slowly},
	}
}

// Queues lists the queues of this package with how many operations run at once in each: enough to keep a fast product busy.
func Queues() map[string]jobs.Queue {
	qs := map[string]jobs.Queue{ApplyQueue: {MaxWorkers: 2}}
	for _, p := range policies.Products() {
		qs[Queue(p)] = jobs.Queue{MaxWorkers: 64}
		qs[UrgentQueue(p)] = jobs.Queue{MaxWorkers: 8, Urgent: true}
	}
	return qs
}

// slowly waits 1 s, 2 s, 4 s ... up to a minute: the errors that it paces are our own (a database that is away), not the vendor's.
func slowly(attempt int, _ error) time.Duration {
	return min(time.Second<<min(max(attempt-1, 0), 6), time.Minute)
}

// settle is how long a result may take to be written after its attempt's time is over.
const settle = 10 * time.Second

func (r *Runner) op(ctx context.Context, job jobs.Job[OpArgs]) error {
	v, err := r.store.Begin(ctx, job.Args.Run, job.Args.Seq)
	switch {
	case err != nil:
		return err
	case v.Standing == StandingFinal:
		return nil
	case v.Standing == StandingHeld:
		return jobs.Snooze(time.Second)
	}
	return r.execute(ctx, v)
}

func (r *Runner) leaver(ctx context.Context, job jobs.Job[LeaverArgs]) error {
	v, err := r.store.BeginRelease(ctx, job.Args.Product, job.Args.Person, job.Args.Cause)
	if err != nil {
		return err
	}
	if v.Standing != StandingOpen {
		return nil
	}
	return r.execute(ctx, v)
}

func (r *Runner) execute(ctx context.Context, v View) error {
	conn, ok := r.open[v.Op.Product]
	if !ok {
		return fmt.Errorf("operation %s of %s: no connector is configured for it", v.Op.Kind, v.Op.Product)
	}
	if r.where != nil {
		if err := r.where.moved(ctx, &v); err != nil {
			return err
		}
	}
	e := Effect{Outcome: OutcomeHeld, Trip: v.Held, Reason: heldReason(v.Held)}
	if v.Held == "" {
		named, requests := connectors.WithRequests(ctx)
		e = Execute(named, r.store.now(), conn, v)
		e.Receipt.RequestID, e.Began, e.Stamps = requests.Last(), v.Began, v.Stamps
	}
	// What happened outside must be written down even if the attempt's own time is over.
	fctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settle)
	defer cancel()
	if err := r.store.Finish(fctx, v.Op, e); err != nil {
		return err
	}
	switch e.Outcome {
	case OutcomeRetry:
		r.log.DebugContext(ctx, "operation waits", "run", v.Op.Run, "seq", v.Op.Seq, "kind", string(v.Op.Kind), "after", e.After, "reason", e.Reason)
		return jobs.Snooze(e.After)
	case OutcomeQuarantined:
		r.log.WarnContext(ctx, "operation quarantined", "run", v.Op.Run, "seq", v.Op.Seq, "kind", string(v.Op.Kind), "org", string(v.Op.Org), "person", string(v.Op.Person), "reason", e.Reason)
		if v.Op.Kind == OpRelease {
			return jobs.Discard(errors.New(e.Reason))
		}
	}
	return nil
}

// apply stages the plan, sets it running, enqueues what is ready, and ends it when nothing is left. Each part can be repeated.
func (r *Runner) apply(ctx context.Context, job jobs.Job[ApplyArgs]) error {
	rec, err := r.store.recordOfRun(ctx, job.Args.Run)
	if err != nil {
		return err
	}
	switch rec.State {
	case PlanStaging:
		if err := r.stage(ctx, rec, job.Args.Run); err != nil {
			return err
		}
	case PlanRunning:
	default:
		return nil
	}
	if err := r.store.enqueueReady(ctx, job.Args.Run); err != nil {
		return err
	}
	done, err := r.store.finishRun(ctx, job.Args.Run)
	if err != nil {
		return err
	}
	if !done {
		return jobs.Snooze(500 * time.Millisecond)
	}
	r.log.InfoContext(ctx, "plan applied", "plan", rec.Hash)
	return nil
}

// stage compares the plan with the present and writes down the operations of what still stands.
func (r *Runner) stage(ctx context.Context, rec PlanRecord, run string) error {
	approved, err := r.store.load(ctx, rec.Hash)
	if err != nil {
		return err
	}
	current, err := r.present(ctx, approved)
	if err != nil {
		return err
	}
	if current.PolicyHash != approved.PolicyHash {
		r.log.WarnContext(ctx, "plan cancelled: the policies changed since it was made", "plan", rec.Hash)
		return r.store.cancelRun(ctx, run)
	}
	keep, drops := Compare(approved, current)
	keep, held, err := r.store.admitPlan(ctx, run, rec, keep)
	if err != nil {
		return err
	}
	drops = append(drops, held...)
	steps, err := Steps(run, keep, r.memberBatch)
	if err != nil {
		return err
	}
	r.log.InfoContext(ctx, "plan staged", "plan", rec.Hash, "operations", len(steps), "dropped_objects", len(drops))
	return r.store.stageRun(ctx, run, steps, drops)
}

// present gives what the present state asks for, of the people whom the plan is about at least: a plan of one person must not cost what
// the nation does.
func (r *Runner) present(ctx context.Context, approved Plan) (Plan, error) {
	people := approved.People()
	if len(people) == 0 || len(people) > MaxPart {
		return r.source.Current(ctx, approved.Maker)
	}
	return r.source.Part(ctx, approved.Maker, people)
}

func (r *Runner) memberBatch(p policies.Product) int { return max(r.open[p].Limits.MemberBatch, 1) }

// stageChunk keeps one staging transaction under 250 ms.
const stageChunk = 2000

// stageRun writes the operations in short transactions; until the last one the run isn't running, and its jobs wait.
func (s *Store) stageRun(ctx context.Context, run string, steps []Step, drops []Drop) error {
	// A crash may have left a part of them.
	for _, table := range []string{"provision_edge", "provision_op"} {
		if err := s.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, `DELETE FROM `+table+` WHERE run=$1`, run)
			return err
		}); err != nil {
			return fmt.Errorf("stage plan: %w", err)
		}
	}
	ops := func(from, to int) iter.Seq[[]any] {
		return func(yield func([]any) bool) {
			for _, st := range steps[from:to] {
				if !yield([]any{run, st.Op.Seq, string(st.Op.Product), string(st.Op.Kind), encodeJSON(st.Op), st.Waits}) {
					return
				}
			}
		}
	}
	edges := func(from, to int) iter.Seq[[]any] {
		return func(yield func([]any) bool) {
			for _, st := range steps[from:to] {
				for _, next := range st.Next {
					if !yield([]any{run, st.Op.Seq, next}) {
						return
					}
				}
			}
		}
	}
	for from := 0; from < len(steps); from += stageChunk {
		to := min(from+stageChunk, len(steps))
		if err := s.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
			if _, err := s.db.Bulk(ctx, tx, "provision_op", []string{"run", "seq", "product", "kind", "payload", "waits"}, "", ops(from, to)); err != nil {
				return err
			}
			_, err := s.db.Bulk(ctx, tx, "provision_edge", []string{"run", "seq", "next"}, "", edges(from, to))
			return err
		}); err != nil {
			return fmt.Errorf("stage plan: %w", err)
		}
	}
	err := s.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		dropped := func(yield func([]any) bool) {
			for i, d := range drops {
				op := Op{Product: d.Object.Product, Kind: OpKind(d.Object.Kind), Org: d.Object.Org, Person: d.Object.Person, Members: d.Object.Members}
				state := OutcomeDropped
				if d.Held != "" {
					state = OutcomeHeld
				}
				if !yield([]any{run, len(steps) + i, string(op.Product), string(op.Kind), encodeJSON(op), 0, 1, string(state), d.Reason, s.now().UnixMicro()}) {
					return
				}
			}
		}
		if _, err := s.db.Bulk(ctx, tx, "provision_op", []string{"run", "seq", "product", "kind", "payload", "waits", "enqueued", "state", "reason", "done_at"}, "", dropped); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `UPDATE provision_plan SET state='running' WHERE run=$1 AND state='staging'`, run)
		return err
	})
	if err != nil {
		return fmt.Errorf("stage plan: %w", err)
	}
	return nil
}

// enqueueReady puts the jobs of operations that wait for nothing into the queues, in short transactions.
func (s *Store) enqueueReady(ctx context.Context, run string) error {
	const chunk = 500
	for {
		n := 0
		err := s.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
			ins, err := collect(ctx, tx, func(rows *sql.Rows) (jobs.Insert, error) {
				var seq int
				var p policies.Product
				err := rows.Scan(&seq, &p)
				return opInsert(run, seq, p), err
			}, `UPDATE provision_op SET enqueued=1 WHERE run=$1 AND seq IN (
				SELECT seq FROM provision_op WHERE run=$1 AND enqueued=0 AND waits=0 AND state='pending' ORDER BY seq LIMIT $2) RETURNING seq, product`, run, chunk)
			if err != nil {
				return err
			}
			n = len(ins)
			_, err = s.jobs.InsertTx(ctx, tx, ins...)
			return err
		})
		if err != nil {
			return fmt.Errorf("enqueue operations: %w", err)
		}
		if n < chunk {
			return nil
		}
	}
}

// finishRun ends the run where no operation is open.
func (s *Store) finishRun(ctx context.Context, run string) (done bool, err error) {
	err = s.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, `UPDATE provision_plan SET state='done', finished_at=$2 WHERE run=$1 AND state='running'
			AND NOT EXISTS (SELECT 1 FROM provision_op WHERE run=$1 AND state='pending')`, run, s.now().UnixMicro())
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		done = n == 1
		return err
	})
	return done, err
}

func (s *Store) cancelRun(ctx context.Context, run string) error {
	return s.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE provision_plan SET state='cancelled', finished_at=$2 WHERE run=$1`, run, s.now().UnixMicro())
		return err
	})
}

func (s *Store) recordOfRun(ctx context.Context, run string) (PlanRecord, error) {
	r, err := scanRecord(s.db.Reader().QueryRowContext(ctx, `SELECT `+recordColumns+` FROM provision_plan WHERE run=$1`, run))
	if errors.Is(err, sql.ErrNoRows) {
		return PlanRecord{State: PlanCancelled}, nil
	}
	if err != nil {
		return r, fmt.Errorf("plan of run %s: %w", run, err)
	}
	return r, nil
}

var _ Ledger = (*Store)(nil)
