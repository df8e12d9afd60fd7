package password

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/base32"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/session"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/policies"
)

// Kind is what a password is for.
type Kind string

// The kinds.
const (
	KindLink   Kind = "link"   // the first step of linking a card
	KindSealed Kind = "sealed" // a break-glass account of a system administrator, kept in an envelope
)

// How long a password stands. A link password is used within days of being handed out; a sealed one lies for a year and is then made anew.
const (
	LinkLife   = 14 * 24 * time.Hour
	SealedLife = 366 * 24 * time.Hour
)

// Names finds who has a login name, an e-mail address in any case; identity.ErrNotFound for nobody in service.
type Names interface {
	PersonNamed(ctx context.Context, email string) (policies.PersonID, error)
}

// Config is what a store is made of. Everything is required.
type Config struct {
	DB       *sqldb.DB
	Names    Names
	Sessions *session.Store
	Breached Breached
	Cost     Cost
	Random   io.Reader // cryptographically strong
}

// Store keeps passwords. It is safe for concurrent use.
type Store struct {
	cfg   Config
	dummy func() (string, error) // the hash that nobody's password is compared with; made by the first try, whoever it names
	made  atomic.Int64           // comparisons: one for each try that isn't throttled, whoever it names
	slots chan struct{}          // how many hashes are made at a time: each takes Cost.Memory
}

// atOnce bounds the memory of hashing, whoever asks.
const atOnce = 4

// New makes a store.
func New(cfg Config) (*Store, error) {
	if cfg.DB == nil || cfg.Names == nil || cfg.Sessions == nil || cfg.Breached == nil || cfg.Random == nil {
		return nil, errors.New("password: a store lacks a part")
	}
	if err := cfg.Cost.check(); err != nil {
		return nil, err
	}
	// A command that opens the store and asks for no password doesn't pay for a hash.
	dummy := sync.OnceValues(func() (string, error) { return derive("nobody's password", cfg.Cost, cfg.Random) })
	return &Store{cfg: cfg, dummy: dummy, slots: make(chan struct{}, atOnce)}, nil
}

// compare waits for its turn and compares.
func (s *Store) compare(ctx context.Context, password, stored string) (bool, error) {
	select {
	case s.slots <- struct{}{}:
	case <-ctx.Done():
		return false, ctx.Err()
	}
	defer func() { <-s.slots }()
	s.made.Add(1)
	return matches(password, stored)
}

// stored gives the hash of a person's password that stands; empty where there is none.
func (s *Store) stored(ctx context.Context, person policies.PersonID, kind Kind, now int64) (string, error) {
	var hash string
	err := s.cfg.DB.Reader().QueryRowContext(ctx, `SELECT hash FROM password_account WHERE person_id = $1 AND kind = $2 AND expires_at > $3`,
		string(person), string(kind), now).Scan(&hash)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return "", fmt.Errorf("password: read: %w", err)
	}
	return hash, nil
}

// handed is the alphabet of passwords that the hub makes: no two letters look alike, on paper either.
var handed = base32.NewEncoding("23456789abcdefghjkmnpqrstuvwxyz-").WithPadding(base32.NoPadding)

// newPassword makes a password to be handed over: 100 random bits in five groups.
func newPassword(random io.Reader) (string, error) {
	const groups, letters = 5, 4
	var text []byte
	for len(text) < groups*letters {
		b := make([]byte, 20)
		if _, err := io.ReadFull(random, b); err != nil {
			return "", fmt.Errorf("password: no randomness: %w", err)
		}
		for _, c := range []byte(handed.EncodeToString(b)) {
			if c != '-' && len(text) < groups*letters { // the alphabet has 31 letters; the 32nd is thrown away
				text = append(text, c)
			}
		}
	}
	var out []byte
	for i, c := range text {
		if i > 0 && i%letters == 0 {
			out = append(out, '-')
		}
		out = append(out, c)
	}
	return string(out), nil
}

// Reset gives a person a new link password, to be handed over by who resets it パスワードのリセット, in the caller's transaction with its audit row.
// What there was of the kind is void, and all of the person's sessions end. scope is the actor's for people.write and covers the person's organization.
func (s *Store) Reset(ctx context.Context, tx *sql.Tx, by access.Actor, scope policies.Scope, p identity.Person, now time.Time) (string, error) {
	switch {
	case !scope.For(policies.ActionPeopleWrite) || !scope.Covers(p.Org) || by.ID() == "" || scope.Actor() != by.ScopeActor():
		return "", fmt.Errorf("password: reset: %w: it takes one's own right to %s on the organization", identity.ErrRefused, policies.ActionPeopleWrite)
	case !p.Active():
		return "", fmt.Errorf("password: reset: %w", access.ErrPersonEnded)
	}
	return s.issue(ctx, tx, by, scope, p, KindLink, LinkLife, now)
}

// Seal makes a break-glass account of a system administrator. The password is for an envelope in a safe. scope is the actor's for people.write over
// the whole workspace, and the actor is somebody else: nobody seals their own.
func (s *Store) Seal(ctx context.Context, tx *sql.Tx, by access.Actor, scope policies.Scope, p identity.Person, now time.Time) (string, error) {
	switch {
	case !scope.For(policies.ActionPeopleWrite) || !scope.All() || by.Kind != access.KindPerson || scope.Actor() != by.ScopeActor():
		return "", fmt.Errorf("password: seal: %w: it takes one's own right to %s in the whole workspace", identity.ErrRefused, policies.ActionPeopleWrite)
	case by.Person.ID == p.ID:
		return "", fmt.Errorf("password: seal: %w: another system administrator seals it", identity.ErrRefused)
	case p.Role != policies.RoleSystemAdministrator || !p.Active():
		return "", fmt.Errorf("password: seal: %w: the person isn't a system administrator in service", identity.ErrRefused)
	}
	return s.issue(ctx, tx, by, scope, p, KindSealed, SealedLife, now)
}

func (s *Store) issue(ctx context.Context, tx *sql.Tx, by access.Actor, scope policies.Scope, p identity.Person, kind Kind, life time.Duration, now time.Time) (string, error) {
	text, err := newPassword(s.cfg.Random)
	if err != nil {
		return "", err
	}
	hash, err := derive(text, s.cfg.Cost, s.cfg.Random)
	if err != nil {
		return "", err
	}
	if err := put(ctx, tx, p.ID, kind, hash, now, life); err != nil {
		return "", err
	}
	if err := s.cfg.Sessions.EndPerson(ctx, tx, p.ID, session.WhyPassword, now.UnixMicro()); err != nil {
		return "", err
	}
	row := by.AuditRow(now.UnixMicro(), "password.reset", audit.Done)
	row.Org, row.Object, row.Reason, row.PolicyHash = p.Org, string(p.ID), scope.Reason(), scope.Hash()
	if row.Detail == nil {
		row.Detail = map[string]any{}
	}
	row.Detail["kind"], row.Detail["expires_at"] = string(kind), now.Add(life).UnixMicro()
	return text, audit.Append(ctx, tx, row)
}

func put(ctx context.Context, tx *sql.Tx, p policies.PersonID, kind Kind, hash string, now time.Time, life time.Duration) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO password_account (person_id, kind, hash, set_at, expires_at) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (person_id, kind) DO UPDATE SET hash = excluded.hash, set_at = excluded.set_at, expires_at = excluded.expires_at`,
		string(p), string(kind), hash, now.UnixMicro(), now.Add(life).UnixMicro())
	if err != nil {
		return fmt.Errorf("password: keep: %w", err)
	}
	return nil
}

// Change lets a person who has a session put a link password of their own choice in the place of the one that was handed over. The refusals are
// ErrShort, ErrLong, ErrText, ErrBreached and ErrGuess, to be shown as they are.
func (s *Store) Change(ctx context.Context, own access.Actor, password string, now time.Time) error {
	if own.Kind != access.KindPerson {
		return fmt.Errorf("password: change: %w: only a person has one", identity.ErrRefused)
	}
	p := own.Person
	text, err := check(password, s.cfg.Breached, []string{p.Email, p.FamilyName, p.GivenName, p.FamilyKana, p.GivenKana, p.FamilyRomaji, p.GivenRomaji, own.Org.Name, p.StaffNumber})
	if err != nil {
		return err
	}
	hash, err := derive(text, s.cfg.Cost, s.cfg.Random)
	if err != nil {
		return err
	}
	return s.cfg.DB.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if err := put(ctx, tx, p.ID, KindLink, hash, now, LinkLife); err != nil {
			return err
		}
		row := own.AuditRow(now.UnixMicro(), "password.change", audit.Done)
		row.Org, row.Object = p.Org, string(p.ID)
		return audit.Append(ctx, tx, row)
	})
}

// Forget removes everything about a person, in the caller's transaction: with the end of service or erasure.
func Forget(ctx context.Context, tx *sql.Tx, person policies.PersonID) error {
	for _, statement := range []string{`DELETE FROM password_account WHERE person_id = $1`, `DELETE FROM password_known WHERE person_id = $1`} {
		if _, err := tx.ExecContext(ctx, statement, string(person)); err != nil {
			return fmt.Errorf("password: forget: %w", err)
		}
	}
	return nil
}

// random identifiers of notices.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: it ends the program instead
	return fmt.Sprintf("%x", b)
}
