package quota

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"github.com/musubi-hub/musubi/connectors"
	"github.com/musubi-hub/musubi/identity/sqldb"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migration gives the schema of this package.
func Migration() sqldb.Migration {
	sub, err := fs.Sub(migrations, "migrations")
	if err != nil {
		panic(err) // the folder is embedded above
	}
	return sqldb.Migration{Owner: "quota", FS: sub}
}

// change reads the bucket of r at the time it is locked, lets fn change it, and writes it back, in one short transaction. A new
// bucket is full.
//
// On SQLite it shares its commit with other small writes. On PostgreSQL it doesn't: there the row is what other nodes wait for.
func (q *Quota) change(ctx context.Context, r rule, fn func(b *bucket, now int64)) error {
	write := q.db.WithTx
	if q.db.Engine() == sqldb.SQLite {
		write = q.db.Group
	}
	return write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		b, err := lock(ctx, tx, r.class)
		if errors.Is(err, sql.ErrNoRows) {
			_, err = tx.ExecContext(ctx, "INSERT INTO quota_bucket (class, tokens, updated_at, throttled_until) VALUES ($1, $2, 0, 0) "+
				"ON CONFLICT (class) DO NOTHING", string(r.class), int64(r.capacity))
			if err != nil {
				return err
			}
			b, err = lock(ctx, tx, r.class)
		}
		if err != nil {
			return err
		}
		now := q.now().UnixMicro()
		b = b.at(r, now)
		fn(&b, now)
		_, err = tx.ExecContext(ctx, "UPDATE quota_bucket SET tokens = $1, updated_at = $2, throttled_until = $3 WHERE class = $4",
			int64(b.tokens), b.updatedAt, b.throttledUntil, string(r.class))
		return err
	})
}

// lock reads the bucket and keeps other nodes from it until the transaction ends. An UPDATE does so on both engines.
func lock(ctx context.Context, tx *sql.Tx, class connectors.Class) (b bucket, err error) {
	err = tx.QueryRowContext(ctx, "UPDATE quota_bucket SET class = class WHERE class = $1 RETURNING tokens, updated_at, throttled_until",
		string(class)).Scan(&b.tokens, &b.updatedAt, &b.throttledUntil)
	return b, err
}

// buckets reads all rows, without locking.
func (q *Quota) buckets(ctx context.Context) (out map[connectors.Class]bucket, err error) {
	rows, err := q.db.Reader().QueryContext(ctx, "SELECT class, tokens, updated_at, throttled_until FROM quota_bucket")
	if err != nil {
		return nil, fmt.Errorf("quota: usage: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	out = map[connectors.Class]bucket{}
	for rows.Next() {
		var (
			class connectors.Class
			b     bucket
		)
		if err := rows.Scan(&class, &b.tokens, &b.updatedAt, &b.throttledUntil); err != nil {
			return nil, fmt.Errorf("quota: usage: %w", err)
		}
		out[class] = b
	}
	return out, rows.Err()
}
