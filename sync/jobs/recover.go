package jobs

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/rivertype"

	"github.com/musubi-hub/musubi/identity/sqldb"
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
	var p *riverdriver.JobRescueManyParams
	err := c.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		exec := c.driver.UnwrapExecutor(tx)
		// Every job that is running now was begun before the horizon, however the clocks stand.
		running, err := exec.JobGetStuck(ctx, &riverdriver.JobGetStuckParams{
			Max: recoverBatch, StuckHorizon: c.now().UTC().AddDate(100, 0, 0),
		})
		if err != nil {
			return err
		}
		if p, err = c.rescue(running, all); err != nil {
			return err
		}
		if len(p.ID) > 0 {
			if _, err := exec.JobRescueMany(ctx, p); err != nil {
				return err
			}
		}
		if all || c.db.Engine() == sqldb.SQLite {
			_, err = tx.ExecContext(ctx, "DELETE FROM river_leader")
		} else {
			_, err = tx.ExecContext(ctx, "DELETE FROM river_leader WHERE leader_id = $1", c.cfg.NodeID)
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("jobs: recover: %w", err)
	}
	return len(p.ID), nil
}

func (c *Client) rescue(running []*rivertype.JobRow, all bool) (*riverdriver.JobRescueManyParams, error) {
	p := &riverdriver.JobRescueManyParams{}
	now := c.now().UTC()
	for _, job := range running {
		n := len(job.AttemptedBy)
		if !all && c.db.Engine() != sqldb.SQLite && (n == 0 || job.AttemptedBy[n-1] != c.cfg.NodeID) {
			continue
		}
		text, err := json.Marshal(rivertype.AttemptError{
			At: now, Attempt: job.Attempt, Error: "interrupted: the process ended during this attempt",
		})
		if err != nil {
			return nil, err
		}
		state, finalized := rivertype.JobStateAvailable, (*time.Time)(nil)
		if job.Attempt >= job.MaxAttempts+interrupted {
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
