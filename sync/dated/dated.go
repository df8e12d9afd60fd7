package dated

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/directory"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/jobs"
)

// Queue is the queue of the jobs of this package.
const Queue = "dated"

// Queues lists the queues of this package. Two activations at once would only wait for each other; the other place is for notices.
func Queues() map[string]jobs.Queue {
	return map[string]jobs.Queue{Queue: {MaxWorkers: 2, Urgent: true}, MailQueue: {MaxWorkers: 1}}
}

// ActivateArgs is the job that lets everything take effect that is due at an instant, or was before it.
type ActivateArgs struct {
	At int64 `json:"at"` // UTC, microseconds
}

// Kind implements jobs.Args.
func (ActivateArgs) Kind() string { return "directory.activate.v1" }

// Key implements jobs.Args: one job per instant.
func (a ActivateArgs) Key() string { return strconv.FormatInt(a.At, 10) }

// NoticeArgs is the job that tells the system administrator something. It carries ids only.
type NoticeArgs struct {
	ID     string         `json:"id"`
	At     int64          `json:"at"` // UTC, microseconds
	About  string         `json:"about"`
	Org    policies.OrgID `json:"org"`
	Object string         `json:"object"`
	Detail string         `json:"detail"`
}

// Kind implements jobs.Args.
func (NoticeArgs) Kind() string { return "directory.notice.v1" }

// Key implements jobs.Args.
func (a NoticeArgs) Key() string { return a.ID }

// activateTimeout is longer than the 100,000 transfers of a midnight take; what is left when it ends, the next attempt does.
const activateTimeout = 10 * time.Minute

// activateOptions: an activation that waits for its date isn't to be seen, as that of a transfer under embargo would tell the date, and when it
// was recorded.
func activateOptions() jobs.KindOptions {
	return jobs.KindOptions{
		Queue: Queue, Priority: 1, MaxAttempts: 100, Timeout: activateTimeout, Backoff: jobs.Exponential(time.Second, time.Minute), Discreet: true,
	}
}

func noticeOptions() jobs.KindOptions {
	return jobs.KindOptions{Queue: Queue, Priority: 2, MaxAttempts: 100, Timeout: 10 * time.Second, Backoff: jobs.Exponential(time.Second, time.Minute)}
}

// Leavers hands a leaver on in the transaction that ends them. Implemented by sync/provision.
type Leavers interface {
	EnqueueLeaver(ctx context.Context, tx *sql.Tx, l ...access.Leaver) error
}

// Inserter puts jobs into the caller's transaction. Implemented by jobs.Client.
type Inserter interface {
	InsertTx(ctx context.Context, tx *sql.Tx, ins ...jobs.Insert) (int, error)
}

// Enqueuer implements access.Enqueuer.
type Enqueuer struct {
	Leavers
	jobs Inserter
}

var _ access.Enqueuer = (*Enqueuer)(nil)

// New makes an enqueuer. Bind it to a job client before anything is recorded.
func New(leavers Leavers) *Enqueuer { return &Enqueuer{Leavers: leavers, jobs: unbound{}} }

// Bind gives the enqueuer the client that puts jobs into transactions. The client knows the kinds of job, whose workers know the
// directory, which knows the enqueuer: hence the second step.
func (e *Enqueuer) Bind(ins Inserter) { e.jobs = ins }

type unbound struct{}

func (unbound) InsertTx(context.Context, *sql.Tx, ...jobs.Insert) (int, error) {
	return 0, errors.New("dated: the enqueuer isn't bound to a job client")
}

// EnqueueActivation implements access.Enqueuer.
func (e *Enqueuer) EnqueueActivation(ctx context.Context, tx *sql.Tx, a access.Activation) error {
	if a.At <= 0 {
		return fmt.Errorf("enqueue activation: %d is no instant", a.At)
	}
	_, err := e.jobs.InsertTx(ctx, tx, jobs.Insert{Args: ActivateArgs(a), At: time.UnixMicro(a.At)})
	if err != nil {
		return fmt.Errorf("enqueue activation: %w", err)
	}
	return nil
}

// EnqueueNotice implements access.Enqueuer.
func (e *Enqueuer) EnqueueNotice(ctx context.Context, tx *sql.Tx, n identity.Notice) error {
	args := NoticeArgs{ID: n.ID, At: n.At, About: n.Kind, Org: n.Org, Object: n.Object, Detail: n.Detail}
	_, err := e.jobs.InsertTx(ctx, tx, jobs.Insert{Args: args}, jobs.Insert{Args: MailArgs(args)})
	if err != nil {
		return fmt.Errorf("enqueue notice: %w", err)
	}
	return nil
}

// Directory is what the jobs act on. Implemented by directory.Store.
type Directory interface {
	Activate(ctx context.Context) (directory.Activated, error)
	KeepNotice(ctx context.Context, n identity.Notice) error
}

// Register registers the kinds of job of this package and how they are worked. mail sends notices as e-mail too; its zero value doesn't.
func Register(w *jobs.Workers, d Directory, mail Mail, log *slog.Logger) {
	jobs.Register(w, mailOptions(), func(ctx context.Context, job jobs.Job[MailArgs]) error {
		return mail.send(ctx, identity.Notice{
			ID: job.Args.ID, At: job.Args.At, Kind: job.Args.About, Org: job.Args.Org, Object: job.Args.Object, Detail: job.Args.Detail,
		})
	})
	jobs.Register(w, activateOptions(), func(ctx context.Context, _ jobs.Job[ActivateArgs]) error {
		done, err := d.Activate(ctx)
		if done != (directory.Activated{}) {
			log.InfoContext(ctx, "transfers took effect", "done", done.Done, "blocked", done.Blocked)
		}
		return err
	})
	jobs.Register(w, noticeOptions(), func(ctx context.Context, job jobs.Job[NoticeArgs]) error {
		a := job.Args
		return d.KeepNotice(ctx, identity.Notice{ID: a.ID, At: a.At, Kind: a.About, Org: a.Org, Object: a.Object, Detail: a.Detail})
	})
}

// Declare tells w the kinds of job of this package, for a process that inserts but doesn't work them.
func Declare(w *jobs.Workers) {
	jobs.Declare[ActivateArgs](w, activateOptions())
	jobs.Declare[NoticeArgs](w, noticeOptions())
	jobs.Declare[MailArgs](w, mailOptions())
}
