package jobs

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/rivertype"

	"github.com/musubi-hub/musubi/identity/sqldb"
)

// errLease says that this node couldn't write its beat for so long that another may take its jobs over.
var errLease = errors.New("this node's lease has run out: it couldn't reach the database for too long")

// finalSettle bounds the last try to store results when the program ends.
const finalSettle = 5 * time.Second

// leaseStands reports whether no other node may take this one's jobs for lost. It ends a third of RescueAfter before another
// node would, which is time for the workers to stop.
func (c *Client) leaseStands() bool {
	return c.alone() || time.Since(c.lastBeat()) < c.cfg.RescueAfter*2/3
}

func (c *Client) alone() bool { return c.db.Engine() == sqldb.SQLite }

// keepEvery is how often a node looks after its jobs.
func (c *Client) keepEvery() time.Duration {
	return max(min(time.Second, c.cfg.RescueAfter/12), 10*time.Millisecond)
}

// keepLoop looks after the jobs that run, until the jobs of this node have ended: it writes the node's beat, stores results that
// the database didn't take, takes lost jobs up, and makes due jobs available without waiting for a leader.
func (c *Client) keepLoop(ctx context.Context) {
	tick := time.NewTicker(c.keepEvery())
	defer tick.Stop()
	last := c.wall()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := c.wall()
		if err := c.keep(ctx, now.Before(last.Add(-skew))); err != nil {
			if ctx.Err() == nil {
				c.log.WarnContext(ctx, "look after running jobs", "error", err)
			}
			continue // a clock that was set back is seen again
		}
		last = now
	}
}

// wall is the time without the monotonic clock, which wouldn't show that it was set.
func (c *Client) wall() time.Time { return c.now().Round(0) }

func (c *Client) keep(ctx context.Context, setBack bool) error {
	if err := c.beatIfDue(ctx); err != nil {
		if !c.leaseStands() {
			if n := c.ledger.cancel(errLease); n > 0 {
				c.log.ErrorContext(ctx, "the database was away for too long: running jobs are stopped and will be taken up again", "jobs", n)
			}
		}
		return err
	}
	if err := c.settle(ctx); err != nil {
		return err
	}
	if setBack {
		if err := c.pullIn(ctx); err != nil {
			return err
		}
	}
	if err := c.schedule(ctx); err != nil {
		return err
	}
	return c.takeOver(ctx)
}

// beatIfDue writes the beat by which other nodes know that this one lives. On SQLite there are no others.
func (c *Client) beatIfDue(ctx context.Context) error {
	if c.alone() || time.Since(c.lastBeat()) < c.cfg.RescueAfter/6 {
		return nil
	}
	return c.beat(ctx)
}

func (c *Client) beat(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.RescueAfter/6)
	defer cancel()
	began := time.Now() // before the statement: others can't have seen this beat earlier
	var n int64
	err := c.db.Writer().QueryRowContext(ctx, `INSERT INTO job_node (id, beat, seen_at) VALUES ($1, 1, $2)
		ON CONFLICT (id) DO UPDATE SET beat = job_node.beat + 1, seen_at = excluded.seen_at RETURNING beat`,
		c.cfg.NodeID, c.now().UnixMicro()).Scan(&n)
	if err != nil {
		return fmt.Errorf("beat: %w", err)
	}
	if c.beatNo != 0 && n > c.beatNo+1 {
		c.log.ErrorContext(ctx, "another node uses this node's id: each data directory needs a node-id file of its own", "node", c.cfg.NodeID)
	}
	c.beatNo = n
	c.setLastBeat(began)
	return nil
}

// The time of the last beat is kept as an offset to the client's own beginning, which keeps it on the monotonic clock.
func (c *Client) lastBeat() time.Time     { return c.born.Add(time.Duration(c.beaten.Load())) }
func (c *Client) setLastBeat(t time.Time) { c.beaten.Store(int64(t.Sub(c.born))) }

// settle stores results that the database didn't take when they came, where the jobs are still this node's: another may have
// taken them over meanwhile.
func (c *Client) settle(ctx context.Context) error {
	owed := c.ledger.owed()
	if len(owed) == 0 || !c.leaseStands() {
		return nil
	}
	err := c.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		ids := make([]int64, len(owed))
		for i, h := range owed {
			ids[i] = h.id
		}
		rows, err := c.lockRunning(ctx, tx, ids)
		if err != nil {
			return err
		}
		mine := make(map[int64]int, len(rows))
		for _, r := range rows {
			if lastOf(r.AttemptedBy) == c.cfg.NodeID {
				mine[r.ID] = r.Attempt
			}
		}
		p := &riverdriver.JobSetStateIfRunningManyParams{}
		for _, h := range owed {
			if at, ok := mine[h.id]; ok && at == h.attempt {
				addResult(p, h)
			}
		}
		if len(p.ID) == 0 {
			return nil
		}
		_, err = c.driver.UnwrapExecutor(tx).JobSetStateIfRunningMany(ctx, p)
		return err
	})
	if err != nil {
		return fmt.Errorf("store the results of %d jobs: %w", len(owed), err)
	}
	c.ledger.drop(owed)
	c.log.InfoContext(ctx, "results of jobs that couldn't be stored at first are stored", "jobs", len(owed))
	return nil
}

func lastOf(nodes []string) string {
	if len(nodes) == 0 {
		return ""
	}
	return nodes[len(nodes)-1]
}

// lockRunning gives those of the jobs that are running and locks them until tx ends. A job that somebody else holds locked is
// left out.
func (c *Client) lockRunning(ctx context.Context, tx *sql.Tx, ids []int64) (out []*rivertype.JobRow, err error) {
	suffix := " FOR UPDATE SKIP LOCKED"
	if c.alone() {
		suffix = ""
	}
	for chunk := range slices.Chunk(ids, keyBatch) {
		args := make([]any, len(chunk))
		for i, id := range chunk {
			args[i] = id
		}
		locked, err := queryIDs(ctx, tx, "SELECT id FROM river_job WHERE state = 'running' AND id IN ("+placeholders(1, len(chunk))+")"+suffix, args...)
		if err != nil {
			return nil, err
		}
		if len(locked) == 0 {
			continue
		}
		rows, err := c.driver.UnwrapExecutor(tx).JobGetByIDMany(ctx, &riverdriver.JobGetByIDManyParams{ID: locked})
		if err != nil {
			return nil, err
		}
		out = append(out, rows...)
	}
	return out, nil
}

// takeOver makes lost jobs available: this node's own that it doesn't hold, and on PostgreSQL those of dead nodes, of any kind,
// also kinds that this program doesn't know. The interrupted attempt counts.
func (c *Client) takeOver(ctx context.Context) error {
	jobs, err := c.runningJobs(ctx)
	if err != nil {
		return fmt.Errorf("running jobs: %w", err)
	}
	beats := map[string]int64{}
	if !c.alone() {
		if beats, err = c.beats(ctx); err != nil {
			return fmt.Errorf("beats: %w", err)
		}
	}
	lost, dead := c.roll.judge(time.Now(), jobs, beats, c.ledger.holds)
	if len(lost) == 0 && len(dead) == 0 {
		return nil
	}
	attempts := make(map[int64]running, len(lost))
	ids := make([]int64, 0, len(lost))
	for _, j := range lost {
		attempts[j.id] = j
		ids = append(ids, j.id)
	}
	n := 0
	err = c.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		rows, err := c.lockRunning(ctx, tx, ids)
		if err != nil {
			return err
		}
		rows = slices.DeleteFunc(rows, func(r *rivertype.JobRow) bool {
			j := attempts[r.ID]
			return r.Attempt != j.attempt || lastOf(r.AttemptedBy) != j.node || c.ledger.holds(r.ID)
		})
		n = len(rows)
		if err := c.makeAvailable(ctx, tx, rows); err != nil {
			return err
		}
		for _, node := range dead {
			if _, err := tx.ExecContext(ctx, "DELETE FROM river_leader WHERE leader_id = $1", node); err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, "DELETE FROM job_node WHERE id = $1 AND beat = $2", node, beats[node]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("take over: %w", err)
	}
	if n > 0 {
		c.log.WarnContext(ctx, "jobs whose node is gone, or that were lost on the way, are available again", "jobs", n, "nodes", dead)
	}
	return nil
}

func (c *Client) runningJobs(ctx context.Context) (out []running, err error) {
	node := "attempted_by[array_upper(attempted_by, 1)]"
	if c.alone() {
		node = "json_extract(attempted_by, '$[#-1]')"
	}
	rows, err := c.db.Reader().QueryContext(ctx, "SELECT id, attempt, coalesce("+node+", '') FROM river_job WHERE state = 'running'")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var j running
		if err := rows.Scan(&j.id, &j.attempt, &j.node); err != nil {
			return nil, err
		}
		out = append(out, j)
	}
	return out, rows.Err()
}

func (c *Client) beats(ctx context.Context) (out map[string]int64, err error) {
	rows, err := c.db.Reader().QueryContext(ctx, "SELECT id, beat FROM job_node")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	out = map[string]int64{}
	for rows.Next() {
		var (
			id   string
			beat int64
		)
		if err := rows.Scan(&id, &beat); err != nil {
			return nil, err
		}
		out[id] = beat
	}
	return out, rows.Err()
}

// pullIn makes jobs available that wait for a time which only a clock that ran ahead could have given: the attempt before lies
// in the future. Jobs that wait for their first attempt have a date of their own and keep it.
func (c *Client) pullIn(ctx context.Context) error {
	now := c.now()
	var t, horizon any = now, now.Add(skew)
	if c.alone() {
		t, horizon = riverTime(now), riverTime(now.Add(skew))
	}
	res, err := c.db.Writer().ExecContext(ctx, `UPDATE river_job SET state = 'available', scheduled_at = $1
		WHERE state IN ('retryable', 'scheduled') AND attempted_at > $2`, t, horizon)
	if err != nil {
		return fmt.Errorf("after the clock was set back: %w", err)
	}
	if n, err := res.RowsAffected(); err == nil && n > 0 {
		c.log.WarnContext(ctx, "the clock was set back: jobs that waited by the old time are available", "jobs", n)
	}
	return nil
}
