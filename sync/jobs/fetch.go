package jobs

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/rivertype"

	"github.com/musubi-hub/musubi/identity/sqldb"
)

// hubDriver is River's driver with three operations of its executor done our way. River says of these interfaces that they may
// change between releases: the version is pinned, and TestRollingUpgrade, TestTakeover and the chaos tests hold what we need.
type hubDriver struct {
	riverdriver.Driver[*sql.Tx]
	c *Client
}

func (d hubDriver) GetExecutor() riverdriver.Executor { return executor{d.Driver.GetExecutor(), d.c} }

type executor struct {
	riverdriver.Executor
	c *Client
}

// JobGetAvailable takes only kinds that this program works. River's own takes all, and fails an attempt of a kind that it
// doesn't know; during a rolling upgrade the old program would use up the attempts of the new one's jobs.
func (e executor) JobGetAvailable(ctx context.Context, p *riverdriver.JobGetAvailableParams) ([]*rivertype.JobRow, error) {
	if p.MaxToLock <= 0 {
		return nil, nil
	}
	return e.c.fetch(ctx, p)
}

// JobGetStuck gives River's rescuer nothing to do. It would make a dead letter of each lost job whose kind it doesn't know, and
// take a job for lost by comparing clocks; keep finds lost jobs by the beat of their node instead.
func (executor) JobGetStuck(context.Context, *riverdriver.JobGetStuckParams) ([]*rivertype.JobRow, error) {
	return nil, nil
}

// JobSetStateIfRunningMany stores the results of jobs. River gives up after three tries and forgets the result, so that the job
// is done again; here a result that the database didn't take is kept and stored as soon as it does.
func (e executor) JobSetStateIfRunningMany(ctx context.Context, p *riverdriver.JobSetStateIfRunningManyParams) ([]*rivertype.JobRow, error) {
	held := e.c.ledger.pick(p.ID)
	err := errLease
	if e.c.leaseStands() {
		var rows []*rivertype.JobRow
		if rows, err = e.Executor.JobSetStateIfRunningMany(ctx, p); err == nil {
			e.c.ledger.drop(held)
			return rows, nil
		}
	}
	e.c.log.WarnContext(ctx, "results of jobs can't be stored now and are kept", "jobs", len(p.ID), "error", err)
	e.c.ledger.owe(held, p)
	return nil, nil
}

// skew is how far the clocks of nodes and database may differ. A time further in the future than its job's state allows was
// written before a clock was set back.
const skew = time.Minute

// maxAttemptedBy bounds the list of nodes kept with a job.
const maxAttemptedBy = 100

// statements are the texts of fetch for one engine and number of kinds.
type statements struct {
	look string // is there anything? on the reader pool, so that idle polling costs no write transaction
	take string
	args func(now *time.Time) []any // the times that both begin with
}

func fetchStatements(engine sqldb.Engine, kinds int) statements {
	if engine == sqldb.SQLite {
		// The unary + keeps SQLite from any index but the one that has the order.
		where := ` WHERE state = 'available' AND priority >= 0 AND queue = $3 AND (+scheduled_at <= $1 OR +scheduled_at > $2) AND +kind IN (` +
			placeholders(4, kinds) + `)`
		n := 4 + kinds
		return statements{
			look: `SELECT EXISTS (SELECT 1 FROM river_job` + where + `)`,
			take: `UPDATE river_job SET state = 'running', attempt = attempt + 1, attempted_at = $1, attempted_by = json_insert(
				CASE WHEN json_array_length(attempted_by) >= ` + strconv.Itoa(maxAttemptedBy) + ` THEN json_remove(attempted_by, '$[0]') ELSE coalesce(attempted_by, '[]') END,
				'$[#]', ` + placeholders(n, 1) + `)
				WHERE id IN (SELECT id FROM river_job` + where + ` ORDER BY priority, scheduled_at, id LIMIT ` + placeholders(n+1, 1) + `) RETURNING id`,
			args: func(now *time.Time) []any {
				return []any{riverTime(*now), riverTime(now.Add(skew))}
			},
		}
	}
	// Without a clock of our own the database's rules, as in River: it is the same for all nodes.
	where := ` WHERE state = 'available' AND queue = $3 AND (scheduled_at <= coalesce($1::timestamptz, now()) OR scheduled_at > coalesce($2::timestamptz, now() + interval '` +
		strconv.Itoa(int(skew.Seconds())) + ` seconds')) AND kind IN (` + placeholders(4, kinds) + `)`
	n := 4 + kinds
	return statements{
		look: `SELECT EXISTS (SELECT 1 FROM river_job` + where + `)`,
		take: `WITH picked AS MATERIALIZED (SELECT id FROM river_job` + where + ` ORDER BY priority, scheduled_at, id LIMIT ` + placeholders(n+1, 1) + ` FOR UPDATE SKIP LOCKED)
			UPDATE river_job SET state = 'running', attempt = attempt + 1, attempted_at = coalesce($1::timestamptz, now()),
			attempted_by = array_append(attempted_by[greatest(1, coalesce(array_length(attempted_by, 1), 0) - ` + strconv.Itoa(maxAttemptedBy-2) + `):], ` + placeholders(n, 1) + `::text)
			FROM picked WHERE river_job.id = picked.id RETURNING river_job.id`,
		args: func(now *time.Time) []any {
			if now == nil {
				return []any{nil, nil}
			}
			return []any{*now, now.Add(skew)}
		},
	}
}

// riverTime is how riversqlite writes a time.
func riverTime(t time.Time) string {
	return t.UTC().Round(time.Millisecond).Format("2006-01-02 15:04:05.999")
}

// placeholders gives n placeholders from $from on.
func placeholders(from, n int) string {
	all := make([]string, n)
	for i := range all {
		all[i] = "$" + strconv.Itoa(from+i)
	}
	return strings.Join(all, ", ")
}

// fetch takes up to p.MaxToLock jobs of the queue that are due and whose kind is worked here, most urgent first, and marks them
// as held by this node.
func (c *Client) fetch(ctx context.Context, p *riverdriver.JobGetAvailableParams) ([]*rivertype.JobRow, error) {
	if !c.leaseStands() {
		return nil, errLease
	}
	now := p.Now
	if now == nil && c.db.Engine() == sqldb.SQLite {
		t := c.now()
		now = &t
	}
	args := append(c.fetchSQL.args(now), p.Queue)
	for _, k := range c.worked {
		args = append(args, k)
	}
	var some bool
	if err := c.db.Reader().QueryRowContext(ctx, c.fetchSQL.look, args...).Scan(&some); err != nil || !some {
		return nil, err
	}
	var rows []*rivertype.JobRow
	var held []*holding
	err := c.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		ids, err := queryIDs(ctx, tx, c.fetchSQL.take, slices.Concat(args, []any{c.cfg.NodeID, p.MaxToLock})...)
		if err != nil || len(ids) == 0 {
			return err
		}
		if rows, err = c.driver.UnwrapExecutor(tx).JobGetByIDMany(ctx, &riverdriver.JobGetByIDManyParams{ID: ids}); err != nil {
			return err
		}
		held = c.ledger.take(rows) // before the commit: a job that is running is never seen as nobody's
		return nil
	})
	if err != nil {
		c.ledger.drop(held)
		return nil, err
	}
	return rows, nil
}

func queryIDs(ctx context.Context, tx *sql.Tx, query string, args ...any) (ids []int64, err error) {
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, rows.Err()
}
