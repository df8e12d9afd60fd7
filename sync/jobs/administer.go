package jobs

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/rivertype"

	"github.com/musubi-hub/musubi/identity"
)

// RetryTx makes a dead letter, or a job that waits for its next attempt, available now with at least one more attempt, and gives
// the job as it is then. A job that is available already stays as it is. ErrState: the job is running, done, or waits for the
// date of its first attempt. identity.ErrNotFound: no such job.
func (c *Client) RetryTx(ctx context.Context, tx *sql.Tx, id int64) (Record, error) {
	j, err := c.lock(ctx, tx, id)
	if err != nil {
		return Record{}, explain("retry", id, err)
	}
	switch {
	case j.State == rivertype.JobStateRunning:
		return record(j), fmt.Errorf("jobs: retry job %d: it is running: %w", id, ErrState)
	case j.State == rivertype.JobStateCompleted:
		return record(j), fmt.Errorf("jobs: retry job %d: it is done: %w", id, ErrState)
	case j.State == rivertype.JobStateScheduled && j.AttemptedAt == nil:
		return record(j), fmt.Errorf("jobs: retry job %d: it waits for the date of its first attempt: %w", id, ErrState)
	}
	if j, err = c.river.JobRetryTx(ctx, tx, id); err != nil {
		return Record{}, explain("retry", id, err)
	}
	return record(j), nil
}

// DiscardTx gives a job up, and gives the job as it is then: one that waits is a dead letter at once; one that is running, if
// this attempt fails. ErrState: it is done or a dead letter already. identity.ErrNotFound: no such job.
func (c *Client) DiscardTx(ctx context.Context, tx *sql.Tx, id int64) (Record, error) {
	j, err := c.lock(ctx, tx, id)
	if err != nil {
		return Record{}, explain("discard", id, err)
	}
	if j.FinalizedAt != nil {
		return record(j), fmt.Errorf("jobs: discard job %d: it is %s: %w", id, j.State, ErrState)
	}
	if j, err = c.river.JobCancelTx(ctx, tx, id); err != nil {
		return Record{}, explain("discard", id, err)
	}
	return record(j), nil
}

// lock gives a job and keeps it as it is until tx ends. One that nobody may see yet isn't there.
func (c *Client) lock(ctx context.Context, tx *sql.Tx, id int64) (*rivertype.JobRow, error) {
	query := "SELECT id FROM river_job WHERE id = $1"
	if !c.alone() {
		query += " FOR UPDATE"
	}
	ids, err := queryIDs(ctx, tx, query, id)
	if err != nil {
		return nil, err
	}
	if len(ids) == 0 {
		return nil, identity.ErrNotFound
	}
	j, err := c.driver.UnwrapExecutor(tx).JobGetByID(ctx, &riverdriver.JobGetByIDParams{ID: id})
	if err == nil && c.hides(j) {
		return nil, identity.ErrNotFound
	}
	return j, err
}
