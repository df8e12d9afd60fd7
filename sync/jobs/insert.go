package jobs

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/riverqueue/river"

	"github.com/musubi-hub/musubi/identity/sqldb"
)

// Insert is a job to insert.
type Insert struct {
	Args     Args
	Queue    string    // empty: the kind's
	Priority int       // 0: the kind's
	At       time.Time // zero: now
}

// keyBatch is how many keys one PostgreSQL statement takes.
const keyBatch = 500

type jobKey struct{ kind, key string }

// InsertTx inserts jobs within tx and returns how many are new: a job whose (kind, key) was inserted before, whether it is
// unfinished, done or a dead letter, is skipped. Nobody works them before tx commits. Up to a few hundred at a time keep
// SQLite's writer free for others.
//
// The keys have a table of their own because River's unique jobs forget a key when the finished row is cleaned up, after an
// hour here; a key holds for 400 days.
func (c *Client) InsertTx(ctx context.Context, tx *sql.Tx, ins ...Insert) (inserted int, err error) {
	if len(ins) == 0 {
		return 0, nil
	}
	now := c.now()
	params := make(map[jobKey]river.InsertManyParams, len(ins))
	order := make([]jobKey, 0, len(ins))
	at := make(map[jobKey]int64, len(ins))
	for _, in := range ins {
		p, err := c.params(in, now)
		if err != nil {
			return 0, err
		}
		k := jobKey{in.Args.Kind(), in.Args.Key()}
		if _, dup := params[k]; dup {
			continue
		}
		params[k] = p
		order = append(order, k)
		at[k] = max(now.UnixMicro(), p.InsertOpts.ScheduledAt.UnixMicro())
	}
	fresh, err := c.claim(ctx, tx, order, at)
	if err != nil {
		return 0, fmt.Errorf("jobs: insert: %w", err)
	}
	many := make([]river.InsertManyParams, 0, len(fresh))
	for _, k := range order {
		if fresh[k] {
			many = append(many, params[k])
		}
	}
	if len(many) == 0 {
		return 0, nil
	}
	n, err := c.river.InsertManyFastTx(ctx, tx, many)
	if err != nil {
		return 0, fmt.Errorf("jobs: insert: %w", err)
	}
	return n, nil
}

// params checks one insert and gives River's form of it.
func (c *Client) params(in Insert, now time.Time) (p river.InsertManyParams, err error) {
	if in.Args == nil {
		return p, fmt.Errorf("jobs: insert: no arguments")
	}
	name, key := in.Args.Kind(), in.Args.Key()
	k, ok := c.cfg.Workers.kinds[name]
	if !ok {
		return p, fmt.Errorf("jobs: insert: no kind %q is registered or declared", name)
	}
	if key == "" || len(key) > maxKey {
		return p, fmt.Errorf("jobs: insert %s: key of %d bytes, want 1 to %d", name, len(key), maxKey)
	}
	encoded, err := json.Marshal(in.Args)
	if err != nil {
		return p, fmt.Errorf("jobs: insert %s: %w", name, err)
	}
	if len(encoded) > maxArgs {
		return p, fmt.Errorf("jobs: insert %s: arguments of %d bytes, want at most %d", name, len(encoded), maxArgs)
	}
	opt := k.opt
	opt.Queue = cmp.Or(in.Queue, opt.Queue)
	opt.Priority = cmp.Or(in.Priority, opt.Priority)
	if err := opt.validate(); err != nil {
		return p, fmt.Errorf("jobs: insert %s: %w", name, err)
	}
	if _, ok := c.cfg.Queues[opt.Queue]; c.works && !ok {
		return p, fmt.Errorf("jobs: insert %s: no queue %q is worked here", name, opt.Queue)
	}
	io := &river.InsertOpts{Queue: opt.Queue, Priority: opt.Priority, MaxAttempts: opt.MaxAttempts}
	if in.At.After(now) {
		io.ScheduledAt = in.At.UTC()
	}
	return river.InsertManyParams{Args: encodedArgs{name, encoded}, InsertOpts: io}, nil
}

// encodedArgs are arguments that are JSON already.
type encodedArgs struct {
	kind string
	json json.RawMessage
}

func (a encodedArgs) Kind() string                 { return a.kind }
func (a encodedArgs) MarshalJSON() ([]byte, error) { return a.json, nil }

// claim takes the keys that nobody had. They are taken in sorted order, so that two transactions with the same keys wait for
// each other instead of locking each other out.
func (c *Client) claim(ctx context.Context, tx *sql.Tx, keys []jobKey, at map[jobKey]int64) (map[jobKey]bool, error) {
	sorted := slices.Clone(keys)
	slices.SortFunc(sorted, func(a, b jobKey) int {
		return cmp.Or(strings.Compare(a.kind, b.kind), strings.Compare(a.key, b.key))
	})
	fresh := make(map[jobKey]bool, len(keys))
	if c.db.Engine() == sqldb.SQLite {
		return fresh, claimSQLite(ctx, tx, sorted, at, fresh)
	}
	for chunk := range slices.Chunk(sorted, keyBatch) {
		if err := claimPostgres(ctx, tx, chunk, at, fresh); err != nil {
			return nil, err
		}
	}
	return fresh, nil
}

const insertKey = "INSERT INTO job_key (kind, key, created_at) VALUES "

func claimSQLite(ctx context.Context, tx *sql.Tx, keys []jobKey, at map[jobKey]int64, fresh map[jobKey]bool) error {
	stmt, err := tx.PrepareContext(ctx, insertKey+"($1, $2, $3) ON CONFLICT (kind, key) DO NOTHING")
	if err != nil {
		return err
	}
	defer func() { _ = stmt.Close() }()
	for _, k := range keys {
		res, err := stmt.ExecContext(ctx, k.kind, k.key, at[k])
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		if err != nil {
			return err
		}
		if n == 1 {
			fresh[k] = true
		}
	}
	return nil
}

func claimPostgres(ctx context.Context, tx *sql.Tx, keys []jobKey, at map[jobKey]int64, fresh map[jobKey]bool) (err error) {
	var b strings.Builder
	b.WriteString(insertKey)
	args := make([]any, 0, 3*len(keys))
	for i, k := range keys {
		if i > 0 {
			b.WriteString(", ")
		}
		n := 3 * i
		b.WriteString("($" + strconv.Itoa(n+1) + ", $" + strconv.Itoa(n+2) + ", $" + strconv.Itoa(n+3) + ")")
		args = append(args, k.kind, k.key, at[k])
	}
	b.WriteString(" ON CONFLICT (kind, key) DO NOTHING RETURNING kind, key")
	rows, err := tx.QueryContext(ctx, b.String(), args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var k jobKey
		if err := rows.Scan(&k.kind, &k.key); err != nil {
			return err
		}
		fresh[k] = true
	}
	return rows.Err()
}
