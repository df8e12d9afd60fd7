package inquiry

import (
	"context"
	"database/sql"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/escalate"
	"github.com/musubi-hub/musubi/sync/jobs"
)

//go:embed migrations
var migrations embed.FS

// Migration is the package's tables.
func Migration() sqldb.Migration {
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		panic(fmt.Sprintf("inquiry: %v", err)) // the folder is embedded
	}
	return sqldb.Migration{Owner: "inquiry", FS: dir}
}

// Inserter puts jobs into the caller's transaction. Implemented by jobs.Client.
type Inserter interface {
	InsertTx(ctx context.Context, tx *sql.Tx, ins ...jobs.Insert) (int, error)
}

// Store keeps inquiries. It is safe for concurrent use, by many nodes, once it is bound.
type Store struct {
	db    *sqldb.DB
	world func() *escalate.World
	now   func() time.Time
	jobs  Inserter
}

// New makes a store. world gives the ladders and teams as they are known at the moment, without I/O: it is called within transactions. Bind the store
// to a job client before it hears anything.
func New(db *sqldb.DB, world func() *escalate.World, now func() time.Time) *Store {
	return &Store{db: db, world: world, now: now}
}

// Bind gives the store the client that puts jobs into transactions.
func (s *Store) Bind(ins Inserter) { s.jobs = ins }

// Heard is something that happened to an inquiry.
type Heard struct {
	Inquiry string         // its id, 1 to 100 bytes
	Org     policies.OrgID // the asker's; counts when the inquiry is heard of first
	Key     string         // of the delivery or the poll that told it, 1 to 200 bytes: a second one with the same key changes nothing
	Event   escalate.Event
}

const (
	maxID  = 100
	maxKey = 200
)

// Hear applies an event in the caller's transaction and tells whether it was new. Events of one inquiry are applied one after the other, whichever node hears
// them; in what order doesn't matter much (escalate.World.Next).
func (s *Store) Hear(ctx context.Context, tx *sql.Tx, h Heard) (fresh bool, err error) {
	switch {
	case s.jobs == nil:
		return false, errors.New("inquiry: the store isn't bound to a job client")
	case h.Inquiry == "" || len(h.Inquiry) > maxID || h.Key == "" || len(h.Key) > maxKey || h.Event.Kind == escalate.EventRungDue:
		return false, errors.New("inquiry: an event without an inquiry or a key, or one that only the store may make")
	}
	now := s.now()
	_, err = tx.ExecContext(ctx, `INSERT INTO inquiry (id, org, ladder, team, phase, life, state, version, look_at, look, updated_at)
		VALUES ($1, $2, '', '', '', 0, '{}', 0, 0, 0, $3) ON CONFLICT (id) DO NOTHING`, h.Inquiry, string(h.Org), now.UnixMicro())
	if err != nil {
		return false, fmt.Errorf("inquiry: hear: %w", err)
	}
	row, err := s.lock(ctx, tx, h.Inquiry)
	if err != nil {
		return false, err
	}
	res, err := tx.ExecContext(ctx, `INSERT INTO inquiry_event (inquiry, key, kind, at, applied_at) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (inquiry, key) DO NOTHING`,
		h.Inquiry, h.Key, string(h.Event.Kind), at(h.Event.At), now.UnixMicro())
	if err != nil {
		return false, fmt.Errorf("inquiry: hear: %w", err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return false, err
	}
	return true, s.step(ctx, tx, row, h.Event, now)
}

func at(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// record is an inquiry's row, locked.
type record struct {
	id      string
	version int64
	lookAt  int64
	look    int64 // the version that asked for the look that is to come
	state   escalate.State
}

// lock takes the inquiry's row for the transaction: whoever comes second reads what the first has written.
func (s *Store) lock(ctx context.Context, tx *sql.Tx, id string) (r record, err error) {
	var state string
	err = tx.QueryRowContext(ctx, `UPDATE inquiry SET version = version + 1 WHERE id = $1 RETURNING version, look_at, look, state`, id).Scan(&r.version, &r.lookAt, &r.look, &state)
	if errors.Is(err, sql.ErrNoRows) {
		return r, fmt.Errorf("inquiry: %s: %w", id, identity.ErrNotFound)
	}
	if err != nil {
		return r, fmt.Errorf("inquiry: lock: %w", err)
	}
	r.id = id
	if err := json.Unmarshal([]byte(state), &r.state); err != nil {
		return r, fmt.Errorf("inquiry: %s: its state can't be read: %w", id, err)
	}
	return r, nil
}

// step takes one step and keeps what follows from it: the state, what is to be done, and the jobs.
func (s *Store) step(ctx context.Context, tx *sql.Tx, r record, e escalate.Event, now time.Time) error {
	state, effects, due := s.world().Next(r.state, e, now)
	text, err := json.Marshal(state)
	if err != nil {
		return fmt.Errorf("inquiry: %s: %w", r.id, err)
	}
	var ins []jobs.Insert
	for _, f := range effects {
		job, err := s.keep(ctx, tx, r.id, state.Life, f, now)
		if err != nil {
			return err
		}
		ins = append(ins, job...)
	}
	if r.lookAt <= now.UnixMicro() {
		r.lookAt = 0
	}
	if due = ceil(due); !due.IsZero() && (r.lookAt == 0 || due.UnixMicro() < r.lookAt) {
		r.lookAt, r.look = due.UnixMicro(), r.version
		ins = append(ins, jobs.Insert{Args: LookArgs{ID: r.id, Version: r.version}, At: due})
	}
	_, err = tx.ExecContext(ctx, `UPDATE inquiry SET ladder = $2, team = $3, phase = $4, life = $5, state = $6, look_at = $7, look = $8, updated_at = $9 WHERE id = $1`,
		r.id, state.Ladder, string(state.Team), string(state.Phase), state.Life, string(text), r.lookAt, r.look, now.UnixMicro())
	if err != nil {
		return fmt.Errorf("inquiry: keep: %w", err)
	}
	if _, err := s.jobs.InsertTx(ctx, tx, ins...); err != nil {
		return fmt.Errorf("inquiry: enqueue: %w", err)
	}
	return nil
}

// ceil gives the first whole microsecond that isn't before t: a look must not come early.
func ceil(t time.Time) time.Time {
	if cut := t.Truncate(time.Microsecond); cut.Before(t) {
		return cut.Add(time.Microsecond)
	}
	return t
}

// keep keeps something that is to be done, with its job. A climb is only noted.
func (s *Store) keep(ctx context.Context, tx *sql.Tx, id string, life int, f escalate.Effect, now time.Time) ([]jobs.Insert, error) {
	body, err := json.Marshal(f)
	if err != nil {
		return nil, fmt.Errorf("inquiry: %s: %w", id, err)
	}
	outcome, settled := OutcomeWaiting, int64(0)
	if f.Kind == escalate.EffectClimb {
		outcome, settled = OutcomeNoted, now.UnixMicro()
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO inquiry_effect (inquiry, key, kind, life, body, made_at, outcome, settled_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		id, f.Key, string(f.Kind), life, string(body), now.UnixMicro(), string(outcome), settled)
	if err != nil {
		return nil, fmt.Errorf("inquiry: %s: keep %s: %w", id, f.Key, err)
	}
	if outcome == OutcomeNoted {
		return nil, nil
	}
	return []jobs.Insert{{Args: DoArgs{ID: id, Effect: f.Key}}}, nil
}

// Outcome is what became of something that was to be done.
type Outcome string

// The outcomes.
const (
	OutcomeWaiting Outcome = "waiting"
	OutcomeDone    Outcome = "done"
	OutcomeNoted   Outcome = "noted"   // nothing is to be done: it is kept to be shown
	OutcomeDropped Outcome = "dropped" // its inquiry was answered, or began another life, before it was done
	OutcomeFailed  Outcome = "failed"  // nobody received it: the inquiry climbs
)

// Sweep removes answered inquiries of which nothing was heard for so long, with all that was kept of them; at most limit. It tells whether there was more.
func (s *Store) Sweep(ctx context.Context, now time.Time, keep time.Duration, limit int) (more bool, err error) {
	err = s.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT id FROM inquiry WHERE phase = 'done' AND updated_at < $1 ORDER BY updated_at, id LIMIT $2`, now.Add(-keep).UnixMicro(), limit)
		if err != nil {
			return err
		}
		defer rows.Close()
		var ids []string
		for rows.Next() {
			var id string
			if err := rows.Scan(&id); err != nil {
				return err
			}
			ids = append(ids, id)
		}
		if err := rows.Err(); err != nil {
			return err
		}
		more = len(ids) == limit
		for _, id := range ids {
			for _, statement := range []string{`DELETE FROM inquiry_effect WHERE inquiry = $1`, `DELETE FROM inquiry_event WHERE inquiry = $1`, `DELETE FROM inquiry WHERE id = $1`} {
				if _, err := tx.ExecContext(ctx, statement, id); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("inquiry: sweep: %w", err)
	}
	return more, nil
}
