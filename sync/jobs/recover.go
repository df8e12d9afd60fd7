package jobs

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/rivertype"
)

// interrupted is how many attempts beyond MaxAttempts a job may lose to the end of its process before that alone makes it a
// dead letter: a job that kills every process which takes it up must not do so for ever.
const interrupted = 5

// recoverBatch bounds the running jobs that are looked at: more than all workers of all nodes.
const recoverBatch = 100_000

// Recover makes the jobs available again that this node was working when its process ended, and drops the leadership that it
// then held, so that work goes on at once instead of after RescueAfter. It must run while this node works nothing: Start calls
// it first. On SQLite one process serves, so every running job is its own. The interrupted attempt counts.
func (c *Client) Recover(ctx context.Context) (int, error) { return c.recover(ctx, false) }

// RecoverAll is Recover for the jobs of every node. It is for a database that no process works: one that was just restored holds
// the running jobs of the nodes of its time.
func (c *Client) RecoverAll(ctx context.Context) (int, error) { return c.recover(ctx, true) }

func (c *Client) recover(ctx context.Context, all bool) (int, error) {
	n := 0
	err := c.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		// Every job that is running now was begun before the horizon, however the clocks stand.
		rows, err := c.driver.UnwrapExecutor(tx).JobGetStuck(ctx, &riverdriver.JobGetStuckParams{
			Max: recoverBatch, StuckHorizon: c.now().UTC().AddDate(100, 0, 0),
		})
		if err != nil {
			return err
		}
		if !all && !c.alone() {
			rows = slices.DeleteFunc(rows, func(r *rivertype.JobRow) bool { return lastOf(r.AttemptedBy) != c.cfg.NodeID })
		}
		n = len(rows)
		if err := c.makeAvailable(ctx, tx, rows); err != nil {
			return err
		}
		if all || c.alone() {
			_, err = tx.ExecContext(ctx, "DELETE FROM river_leader")
		} else {
			_, err = tx.ExecContext(ctx, "DELETE FROM river_leader WHERE leader_id = $1", c.cfg.NodeID)
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("jobs: recover: %w", err)
	}
	return n, nil
}

// makeAvailable lets jobs go on whose attempt was interrupted.
func (c *Client) makeAvailable(ctx context.Context, tx *sql.Tx, interrupted []*rivertype.JobRow) error {
	if len(interrupted) == 0 {
		return nil
	}
	p, err := c.rescue(interrupted)
	if err != nil {
		return err
	}
	_, err = c.driver.UnwrapExecutor(tx).JobRescueMany(ctx, p)
	return err
}

func (c *Client) rescue(jobs []*rivertype.JobRow) (*riverdriver.JobRescueManyParams, error) {
	p := &riverdriver.JobRescueManyParams{}
	now := c.now().UTC()
	for _, job := range jobs {
		text, err := json.Marshal(rivertype.AttemptError{
			At: now, Attempt: job.Attempt, Error: "interrupted: the process ended during this attempt",
		})
		if err != nil {
			return nil, err
		}
		state, finalized := rivertype.JobStateAvailable, (*time.Time)(nil)
		switch {
		case givenUp(job):
			state, finalized = rivertype.JobStateCancelled, &now
		case job.Attempt >= job.MaxAttempts+interrupted:
			state, finalized = rivertype.JobStateDiscarded, &now
		}
		p.ID = append(p.ID, job.ID)
		p.Error = append(p.Error, text)
		p.FinalizedAt = append(p.FinalizedAt, finalized)
		p.ScheduledAt = append(p.ScheduledAt, job.ScheduledAt)
		p.State = append(p.State, string(state))
	}
	return p, nil
}

// givenUp reports whether an administrator discarded the job while it was running.
func givenUp(job *rivertype.JobRow) bool {
	var metadata struct {
		At time.Time `json:"cancel_attempted_at"` // as River writes it
	}
	return json.Unmarshal(job.Metadata, &metadata) == nil && !metadata.At.IsZero()
}
