package jobs

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/musubi-hub/musubi/identity"
)

// DeadLetter is a job that won't run again unless somebody retries it: its attempts are used up, its worker discarded it, or an
// administrator did.
type DeadLetter struct {
	ID        int64
	Kind      string
	Queue     string
	Args      []byte // JSON
	Attempts  int
	LastError string // empty if an administrator discarded it before its first attempt
	CreatedAt time.Time
	EndedAt   time.Time
}

// DeadLetterFilter narrows DeadLetters; the zero value takes all.
type DeadLetterFilter struct {
	Kind  string
	Queue string
}

// cancelPrefix is what River puts before the error of a job that its worker discarded.
const cancelPrefix = "JobCancelError: "

// Page is a part of a list, newest first.
type Page struct {
	Before int64 // ids below this; 0: from the newest
	Limit  int   // 1 to 1000; 0: 100
}

// DeadLetters lists dead letters, newest first. The next page's Before is the last ID.
func (c *Client) DeadLetters(ctx context.Context, f DeadLetterFilter, page Page) ([]DeadLetter, error) {
	if page.Limit < 0 || page.Limit > 1000 || page.Before < 0 {
		return nil, fmt.Errorf("jobs: dead letters: page of %d before %d: want 1 to 1000", page.Limit, page.Before)
	}
	if page.Limit == 0 {
		page.Limit = 100
	}
	p := river.NewJobListParams().
		States(rivertype.JobStateDiscarded, rivertype.JobStateCancelled).
		OrderBy(river.JobListOrderByID, river.SortOrderDesc).First(page.Limit)
	if f.Kind != "" {
		p = p.Kinds(f.Kind)
	}
	if f.Queue != "" {
		p = p.Queues(f.Queue)
	}
	if page.Before > 0 {
		p = p.Where("id < @before", river.NamedArgs{"before": page.Before})
	}
	res, err := c.reading.JobList(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("jobs: dead letters: %w", err)
	}
	out := make([]DeadLetter, len(res.Jobs))
	for i, j := range res.Jobs {
		out[i] = DeadLetter{ID: j.ID, Kind: j.Kind, Queue: j.Queue, Args: j.EncodedArgs, Attempts: j.Attempt, CreatedAt: j.CreatedAt}
		if j.FinalizedAt != nil {
			out[i].EndedAt = *j.FinalizedAt
		}
		if n := len(j.Errors); n > 0 {
			out[i].LastError = strings.TrimPrefix(j.Errors[n-1].Error, cancelPrefix)
		}
	}
	return out, nil
}

// Retry makes a dead letter, or a job that waits for its next attempt, available now with at least one more attempt. A job that
// is running or done stays as it is. identity.ErrNotFound: no such job.
func (c *Client) Retry(ctx context.Context, id int64) error {
	_, err := c.river.JobRetry(ctx, id)
	return explain("retry", id, err)
}

// DiscardJob gives a job up: one that waits is a dead letter at once; one that is running, if this attempt fails.
// identity.ErrNotFound: no such job.
func (c *Client) DiscardJob(ctx context.Context, id int64) error {
	_, err := c.river.JobCancel(ctx, id)
	return explain("discard", id, err)
}

func explain(what string, id int64, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, rivertype.ErrNotFound):
		return fmt.Errorf("jobs: %s job %d: %w", what, id, identity.ErrNotFound)
	}
	return fmt.Errorf("jobs: %s job %d: %w", what, id, err)
}

// QueueDepth counts the jobs of one queue in one of River's states: available, running, scheduled, retryable, completed (of the
// last hour), discarded or cancelled.
type QueueDepth struct {
	Queue string
	State string
	Jobs  int64
}

// Depth counts jobs per queue and state, for metrics and health.
func (c *Client) Depth(ctx context.Context) (out []QueueDepth, err error) {
	rows, err := c.db.Reader().QueryContext(ctx, "SELECT queue, state, count(*) FROM river_job GROUP BY queue, state ORDER BY queue, state")
	if err != nil {
		return nil, fmt.Errorf("jobs: depth: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var d QueueDepth
		if err := rows.Scan(&d.Queue, &d.State, &d.Jobs); err != nil {
			return nil, fmt.Errorf("jobs: depth: %w", err)
		}
		out = append(out, d)
	}
	return out, rows.Err()
}
