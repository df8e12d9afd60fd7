package notice

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/mynumber"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/jobs"
)

// Kind is what happened.
type Kind string

// The kinds.
const (
	CardLinked    Kind = "card.linked"
	CardReleased  Kind = "card.released"
	PasswordReset Kind = "password.reset"
	Sealed        Kind = "password.sealed"   // a break-glass account was made for the person
	Unsealed      Kind = "password.unsealed" // and taken away
	SessionsEnded Kind = "sessions.ended"    // by an administrator
	Invited       Kind = "invitation"
)

// State is where a notice stands.
type State string

// The states: waiting -> sent or unsent.
const (
	StateWaiting State = "waiting"
	StateSent    State = "sent"
	StateUnsent  State = "unsent"
)

// Why a notice is unsent.
const (
	WhyNoRelay   = "no_relay"     // no mail relay was configured for a week
	WhyEnded     = "person_ended" // service ended before the mail left
	WhyNoAddress = "no_address"
	WhyExpired   = "expired" // what it hands over has ended
	WhyRefused   = "refused" // by the relay, for good
	WhyGivenUp   = "given_up"
	WhyUnsealed  = "unreadable" // what it hands over was sealed under another key
)

// Notice is one thing that a person is told. Times are UTC in microseconds.
type Notice struct {
	ID        string
	Person    policies.PersonID
	Org       policies.OrgID // the person's, when it happened
	Kind      Kind
	At        int64
	ExpiresAt int64 // of what the mail hands over; 0 for nothing
	State     State
	Why       string // it is unsent
	SettledAt int64

	sealed string
}

// Inserter puts jobs into the caller's transaction. Implemented by jobs.Client.
type Inserter interface {
	InsertTx(ctx context.Context, tx *sql.Tx, ins ...jobs.Insert) (int, error)
}

// Store keeps notices. It is safe for concurrent use once it is bound.
type Store struct {
	db   *sqldb.DB
	box  *box // nil: this process can't hand anything over
	jobs Inserter
}

var _ mynumber.Notices = (*Store)(nil)

// New makes a store. Bind it to a job client before anything is told.
func New(db *sqldb.DB) *Store { return &Store{db: db} }

// Bind gives the store the client that puts jobs into transactions.
func (s *Store) Bind(ins Inserter) { s.jobs = ins }

// SetKey gives the key under which what a mail hands over is kept: 32 secret bytes that all nodes share and that never change. Take
// keys.SealingKey's derived key for "musubi person notice v1".
func (s *Store) SetKey(key []byte) (err error) {
	s.box, err = newBox(key)
	return err
}

// CardReleased implements mynumber.Notices.
func (s *Store) CardReleased(ctx context.Context, tx *sql.Tx, person identity.Person, at int64) error {
	return s.Tell(ctx, tx, CardReleased, person, at)
}

// Tell tells a person that something happened, in the caller's transaction. Nothing is handed over: Invited has Invite.
func (s *Store) Tell(ctx context.Context, tx *sql.Tx, kind Kind, person identity.Person, at int64) error {
	if _, ok := texts[kind]; !ok || kind == Invited {
		return fmt.Errorf("notice: nothing is written for %q", kind)
	}
	return s.put(ctx, tx, Notice{Person: person.ID, Org: person.Org, Kind: kind, At: at}, "")
}

// Invite sends a person the path of their invitation, in the caller's transaction.
func (s *Store) Invite(ctx context.Context, tx *sql.Tx, person identity.Person, path string, until, at int64) error {
	if path == "" || until <= at {
		return errors.New("notice: an invitation without a path, or one that has ended")
	}
	return s.put(ctx, tx, Notice{Person: person.ID, Org: person.Org, Kind: Invited, At: at, ExpiresAt: until}, path)
}

func (s *Store) put(ctx context.Context, tx *sql.Tx, n Notice, secret string) error {
	if s.jobs == nil {
		return errors.New("notice: the store isn't bound to a job client")
	}
	if n.Person == "" || n.At <= 0 {
		return errors.New("notice: a notice without person or time")
	}
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails: it ends the program instead
	n.ID = hex.EncodeToString(id[:])
	if secret != "" {
		if s.box == nil {
			return errors.New("notice: there is no key to seal what the mail hands over")
		}
		var err error
		if n.sealed, err = s.box.seal(secret, n.ID); err != nil {
			return err
		}
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO person_notice (`+columns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
		n.ID, string(n.Person), string(n.Org), string(n.Kind), n.At, n.ExpiresAt, n.sealed, string(StateWaiting), "", 0)
	if err != nil {
		return fmt.Errorf("notice: keep: %w", err)
	}
	if _, err := s.jobs.InsertTx(ctx, tx, jobs.Insert{Args: Args{ID: n.ID}}); err != nil {
		return fmt.Errorf("notice: enqueue: %w", err)
	}
	return nil
}

const columns = `id, person_id, org, kind, at, expires_at, sealed, state, why, settled_at`

func scan(row interface{ Scan(to ...any) error }) (n Notice, err error) {
	err = row.Scan(&n.ID, &n.Person, &n.Org, &n.Kind, &n.At, &n.ExpiresAt, &n.sealed, &n.State, &n.Why, &n.SettledAt)
	return n, err
}

func (s *Store) find(ctx context.Context, id string) (Notice, error) {
	n, err := scan(s.db.Reader().QueryRowContext(ctx, `SELECT `+columns+` FROM person_notice WHERE id = $1`, id))
	if errors.Is(err, sql.ErrNoRows) {
		return n, fmt.Errorf("notice: %s: %w", id, identity.ErrNotFound)
	}
	if err != nil {
		return n, fmt.Errorf("notice: read: %w", err)
	}
	return n, nil
}

// again reports whether a notice that was given up can still be sent, where somebody has its job retried: what handed something over can't.
func (n Notice) again() bool {
	return n.State == StateUnsent && (n.Why == WhyRefused || n.Why == WhyGivenUp) && n.ExpiresAt == 0
}

// settle keeps what came of a notice, and forgets what it handed over. What was sent stays sent.
func (s *Store) settle(ctx context.Context, id string, state State, why string, at int64) error {
	err := s.db.Group(ctx, func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE person_notice SET state = $2, why = $3, settled_at = $4, sealed = '' WHERE id = $1 AND state <> 'sent'`,
			id, string(state), why, at)
		return err
	})
	if err != nil {
		return fmt.Errorf("notice: keep the receipt of %s: %w", id, err)
	}
	return nil
}

// Filter narrows a list of notices; the zero filter is the newest of all that the scope covers.
type Filter struct {
	State  State // empty: any
	Person policies.PersonID
	Before string // the last notice of the page before
	Limit  int    // 1 to MaxPage
}

// MaxPage is the longest page.
const MaxPage = 1000

// List gives notices inside the scope (people.read), the newest first.
func (s *Store) List(ctx context.Context, scope policies.Scope, f Filter) ([]Notice, error) {
	if !scope.For(policies.ActionPeopleRead) {
		return nil, fmt.Errorf("notice: list: %w: it takes %s", identity.ErrRefused, policies.ActionPeopleRead)
	}
	if f.Limit < 1 || f.Limit > MaxPage {
		return nil, fmt.Errorf("notice: a page of %d: want 1 to %d", f.Limit, MaxPage)
	}
	within, args := scope.Where("org", 1)
	query := []string{within}
	and := func(condition string, value any) {
		args = append(args, value)
		query = append(query, fmt.Sprintf(condition, len(args)))
	}
	if f.State != "" {
		and("state = $%d", string(f.State))
	}
	if f.Person != "" {
		and("person_id = $%d", string(f.Person))
	}
	if f.Before != "" {
		and("(at, id) < (SELECT b.at, b.id FROM person_notice b WHERE b.id = $%d)", f.Before)
	}
	args = append(args, f.Limit)
	rows, err := s.db.Reader().QueryContext(ctx, `SELECT `+columns+` FROM person_notice WHERE `+strings.Join(query, " AND ")+
		fmt.Sprintf(` ORDER BY at DESC, id DESC LIMIT $%d`, len(args)), args...)
	if err != nil {
		return nil, fmt.Errorf("notice: list: %w", err)
	}
	defer rows.Close()
	var all []Notice
	for rows.Next() {
		n, err := scan(rows)
		if err != nil {
			return nil, fmt.Errorf("notice: list: %w", err)
		}
		all = append(all, n)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("notice: list: %w", err)
	}
	return all, nil
}

// Sweep removes notices that were settled before keep, and gives up what has waited for that long: its job was discarded by hand. It does at most
// limit of each, and tells whether there was more.
func (s *Store) Sweep(ctx context.Context, now time.Time, keep time.Duration, limit int) (more bool, err error) {
	before := now.Add(-keep).UnixMicro()
	err = s.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		left, err := tx.ExecContext(ctx, `UPDATE person_notice SET state = 'unsent', why = $3, settled_at = $4, sealed = '' WHERE id IN (SELECT id FROM person_notice
			WHERE state = 'waiting' AND at < $1 ORDER BY at, id LIMIT $2)`, before, limit, WhyGivenUp, now.UnixMicro())
		if err != nil {
			return fmt.Errorf("notice: sweep: %w", err)
		}
		given, err := left.RowsAffected()
		if err != nil {
			return fmt.Errorf("notice: sweep: %w", err)
		}
		res, err := tx.ExecContext(ctx, `DELETE FROM person_notice WHERE id IN (SELECT id FROM person_notice
			WHERE settled_at > 0 AND settled_at < $1 ORDER BY settled_at, id LIMIT $2)`, before, limit)
		if err != nil {
			return fmt.Errorf("notice: sweep: %w", err)
		}
		n, err := res.RowsAffected()
		more = n == int64(limit) || given == int64(limit)
		return err
	})
	return more, err
}
