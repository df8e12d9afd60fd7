package breaker

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/policies"
)

// State is where a trip stands.
type State string

// The states.
const (
	StateOpen     State = "open"
	StateReleased State = "released"
)

// Record is a trip: which limit, by what, and how it ended.
type Record struct {
	ID         string            `json:"id"`
	Level      Level             `json:"level"`
	Subject    string            `json:"subject"`
	Loss       Loss              `json:"loss"`
	Window     time.Duration     `json:"window_ns"`
	Lost       int               `json:"lost"`     // in the window, before it tripped
	Asked      int               `json:"asked"`    // by what tripped it
	Allowed    int               `json:"allowed"`  // in the window
	Baseline   int               `json:"baseline"` // how many there were to lose
	At         time.Time         `json:"at"`
	Cause      Cause             `json:"cause"`   // of what tripped it
	Earlier    []Cause           `json:"earlier"` // of what had been lost before, most first
	State      State             `json:"state"`
	ReleasedBy policies.PersonID `json:"released_by,omitempty"`
	ReleasedAt time.Time         `json:"released_at,omitzero"`
	Reason     string            `json:"reason,omitempty"`
	Held       int               `json:"held"` // people it holds or held; filled by List and Show
}

// Causers are the people who made the changes that tripped the breaker.
func (r Record) Causers() []policies.PersonID {
	var out []policies.PersonID
	for _, c := range append([]Cause{r.Cause}, r.Earlier...) {
		if c.Actor != "" && c.Kind != CausePerson {
			out = append(out, c.Actor)
		}
	}
	return out
}

// Held is something that a trip holds.
type Held struct {
	Item
	Work  string    `json:"work"`
	Cause Cause     `json:"cause"`
	At    time.Time `json:"at"`
	State string    `json:"state"` // held, released
}

// The ways in which a release is refused.
var (
	ErrOwnTrip  = errors.New("nobody releases what their own change tripped")
	ErrReleased = errors.New("it was released before")
	ErrReason   = errors.New("a release needs a reason of 1 to 300 characters")
)

const tripColumns = `id, level, subject, loss, window_us, lost, asked, allowed, baseline, at, cause, earlier, state, released_by, released_at, reason`

func scanTrip(row interface{ Scan(...any) error }) (r Record, err error) {
	var window, at, released int64
	var cause, earlier string
	err = row.Scan(&r.ID, &r.Level, &r.Subject, &r.Loss, &window, &r.Lost, &r.Asked, &r.Allowed, &r.Baseline, &at, &cause, &earlier, &r.State, &r.ReleasedBy, &released, &r.Reason)
	if err != nil {
		return r, err
	}
	r.Window, r.At = time.Duration(window)*time.Microsecond, time.UnixMicro(at).UTC()
	if released != 0 {
		r.ReleasedAt = time.UnixMicro(released).UTC()
	}
	return r, errors.Join(json.Unmarshal([]byte(cause), &r.Cause), json.Unmarshal([]byte(earlier), &r.Earlier))
}

// mayRead: a breaker speaks of the whole workspace, as a plan does.
func mayRead(scope policies.Scope) error {
	for _, a := range []policies.Action{policies.ActionPlanRead, policies.ActionBreakerRelease} {
		if scope.For(a) && scope.All() {
			return nil
		}
	}
	return fmt.Errorf("read the breakers: %w", identity.ErrRefused)
}

// List gives trips, newest first, at most limit; open ones alone unless all is set.
func (s *Store) List(ctx context.Context, scope policies.Scope, all bool, limit int) (out []Record, err error) {
	if err := mayRead(scope); err != nil {
		return nil, err
	}
	where := " WHERE state = 'open'"
	if all {
		where = ""
	}
	err = each(ctx, s.db.Reader(), func(rows *sql.Rows) error {
		r, err := scanTrip(rows)
		out = append(out, r)
		return err
	}, `SELECT `+tripColumns+` FROM breaker_trip`+where+` ORDER BY at DESC, id LIMIT $1`, limit)
	if err != nil {
		return nil, fmt.Errorf("breakers: %w", err)
	}
	for i := range out {
		if err := s.db.Reader().QueryRowContext(ctx, `SELECT COUNT(*) FROM breaker_hold WHERE trip = $1`, out[i].ID).Scan(&out[i].Held); err != nil {
			return nil, fmt.Errorf("breakers: %w", err)
		}
	}
	return out, nil
}

// Show gives one trip with what it holds or held, at most limit people.
func (s *Store) Show(ctx context.Context, scope policies.Scope, id string, limit int) (Record, []Held, error) {
	if err := mayRead(scope); err != nil {
		return Record{}, nil, err
	}
	r, err := readTrip(ctx, s.db.Reader(), id)
	if err != nil {
		return r, nil, err
	}
	if err := s.db.Reader().QueryRowContext(ctx, `SELECT COUNT(*) FROM breaker_hold WHERE trip = $1`, id).Scan(&r.Held); err != nil {
		return r, nil, fmt.Errorf("breaker %s: %w", id, err)
	}
	var held []Held
	err = each(ctx, s.db.Reader(), func(rows *sql.Rows) error {
		var h Held
		var cause string
		var at int64
		if err := rows.Scan(&h.Product, &h.Org, &h.Person, &h.Loss, &h.Work, &cause, &at, &h.State); err != nil {
			return err
		}
		h.At = time.UnixMicro(at).UTC()
		held = append(held, h)
		return json.Unmarshal([]byte(cause), &held[len(held)-1].Cause)
	}, `SELECT product, org, person, loss, work, cause, at, state FROM breaker_hold WHERE trip = $1 ORDER BY org, person, product, loss LIMIT $2`, id, limit)
	if err != nil {
		return r, nil, fmt.Errorf("breaker %s: %w", id, err)
	}
	return r, held, nil
}

func readTrip(ctx context.Context, q Querier, id string) (Record, error) {
	r, err := scanTrip(q.QueryRowContext(ctx, `SELECT `+tripColumns+` FROM breaker_trip WHERE id = $1`, id))
	if errors.Is(err, sql.ErrNoRows) {
		return r, fmt.Errorf("breaker %s: %w: `musubi breakers list` shows those that have tripped", shorten(id), identity.ErrNotFound)
	}
	if err != nil {
		return r, fmt.Errorf("breaker %s: %w", shorten(id), err)
	}
	return r, nil
}

func shorten(id string) string {
	if len(id) > 40 {
		return id[:40] + "…"
	}
	return id
}

// releaseLife is how long what was released passes uncounted.
const releaseLife = 24 * time.Hour

// Release lets go what a trip holds, in the caller's transaction: it passes uncounted for a day, and the breaker's windows begin anew. The
// scope must be minted for breaker.release over everything; the actor must be a person, and none of those whose change tripped it where
// another system administrator exists. It gives what was held.
func (s *Store) Release(ctx context.Context, tx *sql.Tx, scope policies.Scope, id, reason string, another bool) (Record, error) {
	if scope.Action() != policies.ActionBreakerRelease || !scope.All() || scope.Actor() == "" || scope.Actor() == policies.BreakGlassActor {
		return Record{}, fmt.Errorf("release breaker: %w", identity.ErrRefused)
	}
	reason = strings.TrimSpace(reason)
	if n := utf8.RuneCountInString(reason); n < 1 || n > 300 || !utf8.ValidString(reason) {
		return Record{}, fmt.Errorf("release breaker %s: %w", shorten(id), ErrReason)
	}
	if _, err := tx.ExecContext(ctx, `UPDATE breaker_head SET touched = touched + 1 WHERE id = 1`); err != nil {
		return Record{}, fmt.Errorf("release breaker: %w", err)
	}
	r, err := readTrip(ctx, tx, id)
	if err != nil {
		return r, err
	}
	if r.State != StateOpen {
		return r, fmt.Errorf("release breaker %s: %w", id, ErrReleased)
	}
	if another {
		for _, causer := range r.Causers() {
			if causer == scope.Actor() {
				return r, fmt.Errorf("release breaker %s: %w; ask another system administrator", id, ErrOwnTrip)
			}
		}
	}
	now := s.now()
	r.State, r.ReleasedBy, r.ReleasedAt, r.Reason = StateReleased, scope.Actor(), now.UTC(), reason
	if _, err := tx.ExecContext(ctx, `UPDATE breaker_trip SET state='released', released_by=$2, released_at=$3, reason=$4 WHERE id=$1`, id, string(r.ReleasedBy), now.UnixMicro(), reason); err != nil {
		return r, fmt.Errorf("release breaker %s: %w", id, err)
	}
	res, err := tx.ExecContext(ctx, `UPDATE breaker_hold SET state='released', expires=$2 WHERE trip=$1 AND state='held'`, id, now.Add(releaseLife).UnixMicro())
	if err != nil {
		return r, fmt.Errorf("release breaker %s: %w", id, err)
	}
	n, err := res.RowsAffected()
	if err != nil {
		return r, fmt.Errorf("release breaker %s: %w", id, err)
	}
	r.Held = int(n)
	return r, audit.Append(ctx, tx, audit.Row{
		At: now.UnixMicro(), Actor: string(scope.Actor()), ActorKind: audit.ActorPerson, Action: string(policies.ActionBreakerRelease), Object: id, Org: r.org(),
		Outcome: audit.Done, Reason: scope.Reason(), PolicyHash: scope.Hash(), Detail: map[string]any{"why": reason, "held": r.Held, "level": string(r.Level), "subject": r.Subject},
	})
}

func (r Record) org() policies.OrgID {
	if r.Level == LevelOrganization {
		return policies.OrgID(r.Subject)
	}
	return ""
}

// Row is the audit row of the trip. The hub itself trips a breaker; the row names who made the change.
func (r Record) Row() audit.Row {
	return audit.Row{
		At: r.At.UnixMicro(), Actor: string(policies.TaskProvision), ActorKind: audit.ActorSystem, Action: "breaker.trip", Org: r.org(), Object: r.ID, Outcome: audit.Done,
		Reason: fmt.Sprintf("%d %s lost and %d asked for in %s; %d allowed", r.Lost, r.Loss, r.Asked, r.Window, r.Allowed),
		Detail: map[string]any{
			"level": string(r.Level), "subject": r.Subject, "cause": string(r.Cause.Kind), "ref": cmp.Or(r.Cause.Ref, "-"), "by": string(r.Cause.Actor), "plan": r.Cause.Plan,
		},
	}
}
