package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
)

// maxErrorText bounds what is kept of an attempt's error, in bytes.
const maxErrorText = 2000

// worker puts one kind behind River's interface.
type worker[A Args] struct {
	river.WorkerDefaults[A]
	client *Client
	opt    KindOptions
	work   func(ctx context.Context, job Job[A]) error

	// failed holds the error of an attempt between Work and NextRetry, which River calls right after it without the error.
	failed sync.Map // job id -> error
}

func (w *worker[A]) Timeout(*river.Job[A]) time.Duration { return w.opt.Timeout }

// NextRetry is also called by River's rescuer, for a job whose process is gone: then there is no error.
func (w *worker[A]) NextRetry(job *river.Job[A]) time.Time {
	var err error
	if v, ok := w.failed.LoadAndDelete(job.ID); ok {
		err, _ = v.(error)
	}
	d := w.opt.Backoff(max(job.Attempt, 1), err)
	return w.client.now().Add(spread(max(d, 0), job.ID))
}

func (w *worker[A]) Work(ctx context.Context, job *river.Job[A]) error {
	err := w.attempt(ctx, job)
	if err == nil {
		return nil
	}
	var (
		snooze  *snoozeError
		discard *discardError
		log     = w.client.log.With("kind", job.Kind, "job", job.ID, "attempt", job.Attempt)
	)
	switch {
	case errors.As(err, &snooze):
		return w.client.snooze(snooze.d)
	case w.client.stopping.Load() && ctx.Err() != nil:
		// The program is ending, the job did nothing wrong: it comes back uncounted.
		return w.client.snooze(0)
	case errors.As(err, &discard):
		log.ErrorContext(ctx, "job is a dead letter", "error", shorten(err))
		return river.JobCancel(errors.New(shorten(err)))
	case job.Attempt >= job.MaxAttempts:
		log.ErrorContext(ctx, "job is a dead letter: no attempt is left", "error", shorten(err))
	default:
		w.failed.Store(job.ID, err)
		log.WarnContext(ctx, "job failed and will be tried again", "error", shorten(err))
	}
	return errors.New(shorten(err))
}

// attempt calls work and turns a panic into an error with its stack in the log.
func (w *worker[A]) attempt(ctx context.Context, job *river.Job[A]) (err error) {
	defer func() {
		if v := recover(); v != nil {
			w.client.log.ErrorContext(ctx, "job panicked", "kind", job.Kind, "job", job.ID, "attempt", job.Attempt,
				slog.String("stack", string(debug.Stack())))
			err = fmt.Errorf("panic in the worker: %v", v)
		}
	}()
	return w.work(ctx, Job[A]{
		ID: job.ID, Args: job.Args, Attempt: job.Attempt, MaxAttempts: job.MaxAttempts, CreatedAt: job.CreatedAt,
	})
}

// shorten gives an error's text as it is kept. PostgreSQL refuses a NUL in JSON, and one refused row would hold up every result
// that is written with it.
func shorten(err error) string {
	text := err.Error()
	if len(text) > maxErrorText {
		text = text[:maxErrorText] + "…"
	}
	return strings.ReplaceAll(strings.ToValidUTF8(text, "�"), "\x00", "�")
}

// snooze says so to River, which adds the duration to the real time and not to our clock's.
func (c *Client) snooze(d time.Duration) error {
	return &rivertype.JobSnoozeError{Duration: time.Until(c.now().Add(d))}
}
