package jobs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/musubi-hub/musubi/identity"
)

// State is where a job stands.
type State string

// The states, as River names them.
const (
	StateAvailable State = "available" // waits for a worker
	StateScheduled State = "scheduled" // waits for its date
	StateRetryable State = "retryable" // waits for its next attempt
	StateRunning   State = "running"
	StateCompleted State = "completed" // done; kept for an hour
	StateDiscarded State = "discarded" // dead letter: its attempts are used up
	StateCancelled State = "cancelled" // dead letter: its worker or an administrator gave it up
)

// States lists every state.
func States() []State {
	return []State{StateAvailable, StateScheduled, StateRetryable, StateRunning, StateCompleted, StateDiscarded, StateCancelled}
}

// DeadLetters are the states of a job that won't run again unless somebody retries it.
func DeadLetters() []State { return []State{StateDiscarded, StateCancelled} }

// Record is what is known of a job.
type Record struct {
	ID          int64     `json:"id"`
	Kind        string    `json:"kind"`
	Queue       string    `json:"queue"`
	State       State     `json:"state"`
	Priority    int       `json:"priority"`
	Attempt     int       `json:"attempt"` // attempts begun
	MaxAttempts int       `json:"max_attempts"`
	Node        string    `json:"node,omitempty"` // that took it last
	CreatedAt   time.Time `json:"created_at"`
	DueAt       time.Time `json:"due_at"`
	AttemptedAt time.Time `json:"attempted_at,omitzero"`
	EndedAt     time.Time `json:"ended_at,omitzero"`
	LastError   string    `json:"last_error,omitempty"`
	Errors      []Failure `json:"errors,omitempty"` // of Job only, oldest first
	Args        []byte    `json:"-"`                // JSON: ids, no personal data
}

// Failure is a failed or interrupted attempt.
type Failure struct {
	At      time.Time `json:"at"`
	Attempt int       `json:"attempt"`
	Error   string    `json:"error"`
}

// Filter narrows List; the zero value takes all jobs.
type Filter struct {
	States []State
	Kind   string
	Queue  string
}

// Page is a part of a list, newest first.
type Page struct {
	Before int64 // ids below this; 0: from the newest
	Limit  int   // 1 to 1000; 0: 100
}

// MaxPage is the longest page.
const MaxPage = 1000

// ErrState says that a job is where it can't be retried or discarded.
var ErrState = errors.New("not in this state")

// cancelPrefix is what River puts before the error of a job that its worker discarded.
const cancelPrefix = "JobCancelError: "

// List gives jobs, newest first. The next page's Before is the last ID. Discreet ones aren't among them until their date.
func (c *Client) List(ctx context.Context, f Filter, page Page) ([]Record, error) {
	if page.Limit < 0 || page.Limit > MaxPage || page.Before < 0 {
		return nil, fmt.Errorf("jobs: list: page of %d before %d: want 1 to %d", page.Limit, page.Before, MaxPage)
	}
	if page.Limit == 0 {
		page.Limit = 100
	}
	if len(f.States) == 0 {
		f.States = States()
	}
	p := river.NewJobListParams().OrderBy(river.JobListOrderByID, river.SortOrderDesc).First(page.Limit)
	states := make([]rivertype.JobState, len(f.States))
	for i, s := range f.States {
		if !slices.Contains(States(), s) {
			return nil, fmt.Errorf("jobs: list: no state %q: want one of %v", s, States())
		}
		states[i] = rivertype.JobState(s)
	}
	p = p.States(states...)
	if f.Kind != "" {
		p = p.Kinds(f.Kind)
	}
	if f.Queue != "" {
		p = p.Queues(f.Queue)
	}
	if page.Before > 0 {
		p = p.Where("id < @before", river.NamedArgs{"before": page.Before})
	}
	for i, name := range c.discreet() {
		arg := fmt.Sprintf("discreet%d", i)
		p = p.Where("NOT (state = 'scheduled' AND kind = @"+arg+")", river.NamedArgs{arg: name})
	}
	res, err := c.reading.JobList(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("jobs: list: %w", err)
	}
	out := make([]Record, len(res.Jobs))
	for i, j := range res.Jobs {
		out[i] = record(j)
	}
	return out, nil
}

// discreet names the kinds whose jobs nobody sees before their date.
func (c *Client) discreet() (names []string) {
	for name, k := range c.cfg.Workers.kinds {
		if k.opt.Discreet {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// hides reports whether the job is a discreet one that waits for its date.
func (c *Client) hides(j *rivertype.JobRow) bool {
	k := c.cfg.Workers.kinds[j.Kind]
	return k != nil && k.opt.Discreet && j.State == rivertype.JobStateScheduled
}

// Job gives one job with its failures. identity.ErrNotFound: no such job, or a discreet one that waits for its date.
func (c *Client) Job(ctx context.Context, id int64) (Record, error) {
	j, err := c.reading.JobGet(ctx, id)
	if err == nil && c.hides(j) {
		err = identity.ErrNotFound
	}
	if err != nil {
		return Record{}, explain("show", id, err)
	}
	r := record(j)
	for _, e := range j.Errors {
		r.Errors = append(r.Errors, Failure{At: e.At, Attempt: e.Attempt, Error: strings.TrimPrefix(e.Error, cancelPrefix)})
	}
	return r, nil
}

func record(j *rivertype.JobRow) Record {
	r := Record{
		ID: j.ID, Kind: j.Kind, Queue: j.Queue, State: State(j.State), Priority: j.Priority, Attempt: j.Attempt, MaxAttempts: j.MaxAttempts,
		Node: lastOf(j.AttemptedBy), CreatedAt: j.CreatedAt, DueAt: j.ScheduledAt, Args: j.EncodedArgs,
	}
	if j.AttemptedAt != nil {
		r.AttemptedAt = *j.AttemptedAt
	}
	if j.FinalizedAt != nil {
		r.EndedAt = *j.FinalizedAt
	}
	if n := len(j.Errors); n > 0 {
		r.LastError = strings.TrimPrefix(j.Errors[n-1].Error, cancelPrefix)
	}
	return r
}

func explain(what string, id int64, err error) error {
	if errors.Is(err, rivertype.ErrNotFound) || errors.Is(err, identity.ErrNotFound) {
		return fmt.Errorf("jobs: %s job %d: %w", what, id, identity.ErrNotFound)
	}
	return fmt.Errorf("jobs: %s job %d: %w", what, id, err)
}

// QueueDepth counts the jobs of one queue in one state; completed are those of the last hour.
type QueueDepth struct {
	Queue string `json:"queue"`
	State State  `json:"state"`
	Jobs  int64  `json:"jobs"`
}

// Depth counts jobs per queue and state, for metrics and health; discreet ones from their date on.
func (c *Client) Depth(ctx context.Context) (out []QueueDepth, err error) {
	var args []any
	query := "SELECT queue, state, count(*) FROM river_job"
	for i, name := range c.discreet() {
		query += [...]string{" WHERE ", " AND "}[min(i, 1)] + "NOT (state = 'scheduled' AND kind = " + placeholders(i+1, 1) + ")"
		args = append(args, name)
	}
	rows, err := c.db.Reader().QueryContext(ctx, query+" GROUP BY queue, state ORDER BY queue, state", args...)
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
