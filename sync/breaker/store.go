package breaker

import (
	"cmp"
	"context"
	"database/sql"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/policies"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migration gives the schema of this package's tables.
func Migration() sqldb.Migration {
	sub, err := fs.Sub(migrations, "migrations")
	if err != nil {
		panic(err) // the embedded folder is part of the binary
	}
	return sqldb.Migration{Owner: "breaker", FS: sub}
}

// CauseKind is what kind of upstream change takes something away.
type CauseKind string

// The kinds of cause.
const (
	CausePerson   CauseKind = "person"   // a person recorded one leaver
	CauseImport   CauseKind = "import"   // a file
	CauseTransfer CauseKind = "transfer" // a transfer that wasn't announced in time
	CauseInbound  CauseKind = "inbound"  // another system, over SCIM
	CausePlan     CauseKind = "plan"     // a plan, by what the directory says
	CausePolicy   CauseKind = "policy"   // a plan, by policies that were changed
)

// Cause is the upstream change: what, who, when. It names ids only.
type Cause struct {
	Kind  CauseKind         `json:"kind"`
	Ref   string            `json:"ref"`             // a plan's hash, a file's source, the two hashes of an edit of the policies
	Actor policies.PersonID `json:"actor,omitempty"` // who made it; empty for the hub itself
	At    int64             `json:"at,omitempty"`    // when: UTC, microseconds
	Plan  string            `json:"plan,omitempty"`  // the plan that carries it
	Lost  int               `json:"lost,omitempty"`  // in a list of causes: how much of it is this one's
}

// Change names the upstream change for counting: the same one on every node and after every restart.
func (c Cause) Change() string {
	return cmp.Or(c.Plan, string(c.Kind)+" "+c.Ref+" "+fmt.Sprint(c.At))
}

// Querier is a *sql.DB or a *sql.Tx.
type Querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// Baseline counts how many could lose something: active accounts or memberships, of one organization, of one product, or of everybody.
// Implemented by sync/provision over its ledger.
type Baseline func(ctx context.Context, q Querier, level Level, subject string, loss Loss) (int, error)

// Store keeps counts, trips and holds. It is safe for concurrent use, also by several nodes.
type Store struct {
	db       *sqldb.DB
	now      func() time.Time
	cfg      Config
	baseline Baseline
}

// New makes the store over a database that has been migrated with Migration.
func New(db *sqldb.DB, now func() time.Time, cfg Config, baseline Baseline) (*Store, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	return &Store{db: db, now: now, cfg: cfg, baseline: baseline}, nil
}

// Config gives the limits in force.
func (s *Store) Config() Config { return s.cfg }

// Announced reports whether a transfer recorded at one time for another (UTC, microseconds) was announced: neither counted nor held.
func (s *Store) Announced(recorded, at int64) bool {
	return recorded != 0 && at-recorded >= s.cfg.Announced.Microseconds()
}

// within gives the condition that keeps losses to a breaker's own.
func within(level Level, subject string, next int) (string, []any) {
	switch level {
	case LevelProduct:
		return fmt.Sprintf(" AND product = $%d", next), []any{subject}
	case LevelOrganization:
		return fmt.Sprintf(" AND org = $%d", next), []any{subject}
	case LevelChange:
		return fmt.Sprintf(" AND change_ref = $%d", next), []any{subject}
	}
	return "", nil
}

func lostSince(ctx context.Context, q Querier, level Level, subject string, loss Loss, since int64) (n int, err error) {
	where, args := within(level, subject, 3)
	err = q.QueryRowContext(ctx, `SELECT COALESCE(SUM(n), 0) FROM breaker_loss WHERE loss = $1 AND at > $2`+where, append([]any{string(loss), since}, args...)...).Scan(&n)
	return n, err
}

func lastRelease(ctx context.Context, q Querier, level Level, subject string) (at int64, err error) {
	err = q.QueryRowContext(ctx, `SELECT COALESCE(MAX(released_at), 0) FROM breaker_trip WHERE level=$1 AND subject=$2`, string(level), subject).Scan(&at)
	return at, err
}

// maxCauses is how many earlier causes a trip names.
const maxCauses = 5

func causes(ctx context.Context, q Querier, level Level, subject string, loss Loss, since int64) (out []Cause, err error) {
	where, args := within(level, subject, 4)
	err = each(ctx, q, func(rows *sql.Rows) error {
		var c Cause
		var text string
		var n int
		if err := rows.Scan(&text, &n); err != nil {
			return err
		}
		err := json.Unmarshal([]byte(text), &c)
		c.Lost = n
		out = append(out, c)
		return err
	}, `SELECT cause, SUM(n) AS lost FROM breaker_loss WHERE loss = $1 AND at > $2`+where+` GROUP BY cause ORDER BY lost DESC, cause LIMIT $3`,
		append([]any{string(loss), since, maxCauses}, args...)...)
	return out, err
}

type place struct {
	level   Level
	subject string
}

func openTrips(ctx context.Context, q Querier) (map[place]string, error) {
	open := map[place]string{}
	err := each(ctx, q, func(rows *sql.Rows) error {
		var p place
		var id string
		err := rows.Scan(&id, &p.level, &p.subject)
		open[p] = id
		return err
	}, `SELECT id, level, subject FROM breaker_trip WHERE state = 'open' ORDER BY at DESC, id`)
	return open, err
}

// Open gives, for items that were let pass before, which trip holds them now. It is asked right before each outward call.
func (s *Store) Open(ctx context.Context, q Querier, change string, items ...Item) (map[Item]string, error) {
	open, err := openTrips(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("breaker: %w", err)
	}
	held := map[Item]string{}
	if len(open) == 0 {
		return held, nil
	}
	for _, i := range items {
		for _, level := range Levels() {
			if id := open[place{level, i.Subject(level, change)}]; id != "" {
				held[i] = id
				break
			}
		}
	}
	return held, nil
}

// Prune forgets losses older than any window.
func (s *Store) Prune(ctx context.Context, tx *sql.Tx) error {
	_, err := tx.ExecContext(ctx, `DELETE FROM breaker_loss WHERE at < $1`, s.now().Add(-longest).UnixMicro())
	if err != nil {
		return fmt.Errorf("breaker: prune: %w", err)
	}
	return nil
}

func each(ctx context.Context, q Querier, scan func(*sql.Rows) error, query string, args ...any) (err error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

func encode(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		panic("breaker: a record that JSON can't encode: " + err.Error())
	}
	return string(data)
}
