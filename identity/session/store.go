package session

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/policies"
)

// The reasons why a request has no session. Each wraps identity.ErrRefused.
var (
	ErrNone    = fmt.Errorf("%w: no session", identity.ErrRefused)
	ErrEnded   = fmt.Errorf("%w: the session has ended", identity.ErrRefused)
	ErrNetwork = fmt.Errorf("%w: the session belongs to another network", identity.ErrRefused)
)

// seenEvery is how exactly a session's last request is kept: not each page view is worth a write.
const seenEvery = time.Minute

// People gives the acting person anew: access.Resolver.
type People interface {
	Person(ctx context.Context, id policies.PersonID) (access.Actor, error)
}

// Policy says whether a session goes on: policies.Engine.
type Policy interface {
	MayStay(p policies.Person, s policies.Stay) (policies.Decision, error)
}

// Posts narrows a person to the post in which they act; identity.ErrNotFound where they don't hold it any more.
type Posts interface {
	ActIn(ctx context.Context, a access.Actor, org policies.OrgID, at int64) (access.Actor, error)
}

// Store keeps sessions. It is safe for concurrent use and remembers nothing.
type Store struct {
	db     *sqldb.DB
	people People
	posts  Posts
	policy Policy
	hooks  []Hook
}

// New makes a store.
func New(db *sqldb.DB, people People, posts Posts, policy Policy, hooks ...Hook) *Store {
	return &Store{db: db, people: people, posts: posts, policy: policy, hooks: slices.Clone(hooks)}
}

// Opening is a session to be opened.
type Opening struct {
	Person     policies.PersonID
	Org        policies.OrgID
	Network    policies.Network
	Assurance  policies.Assurance
	AMR        []string
	Method     identity.MethodID
	Credential string
	AuthAt     int64
	Now        int64
	Since      int64 // since when the limits count; 0: since Now, as for a new proof
	Agent      string
	Secret     Secret // drawn for it
	Before     Secret // of the session that the browser had; the zero Secret for none
}

// Open begins a session in the caller's transaction, with its audit row. Where the browser has a session of the same person, post and network
// that session goes on under the new secret and the new proof, so that relying parties keep their sid; another session of the browser ends.
// The secret before is good for nothing afterwards.
func (s *Store) Open(ctx context.Context, tx *sql.Tx, o Opening) (Session, error) {
	if o.Person == "" || o.Org == "" || o.Network == "" || o.Assurance <= policies.AssuranceNone || o.Method == "" || o.Now <= 0 || o.Secret.Zero() {
		return Session{}, errors.New("session: an opening without person, post, network, proof, time or secret")
	}
	var before *Session
	if !o.Before.Zero() {
		old, err := query(ctx, tx, `secret_sha256 = $1 AND ended_at = 0`, o.Before.Hash())
		if err != nil {
			return Session{}, err
		}
		if len(old) == 1 {
			before = &old[0]
		}
	}
	n := Session{
		Person: o.Person, Org: o.Org, Network: o.Network, Assurance: o.Assurance, AMR: slices.Sorted(slices.Values(o.AMR)), Method: o.Method,
		Credential: o.Credential, AuthAt: o.AuthAt, CreatedAt: o.Now, SeenAt: o.Now, Agent: cleanAgent(o.Agent),
	}
	if o.Since > 0 {
		n.CreatedAt = o.Since
	}
	action := "session.open"
	same := before != nil && before.Person == o.Person && before.Org == o.Org && before.Network == o.Network && before.Sealed() == n.Sealed() &&
		o.Now-before.CreatedAt < MaxAge.Microseconds()
	if before != nil && !same {
		if err := s.end(ctx, tx, access.Actor{}, *before, WhyReplaced, o.Now); err != nil {
			return Session{}, err
		}
	}
	var err error
	if same {
		// A new proof is a new login: the limits count from it.
		action, n.ID = "session.renew", before.ID
		_, err = tx.ExecContext(ctx, `UPDATE session SET secret_sha256 = $1, assurance = $2, amr = $3, method = $4, credential = $5, auth_at = $6,
			created_at = $7, seen_at = $8, agent = $9 WHERE id = $10`,
			o.Secret.Hash(), int64(n.Assurance), strings.Join(n.AMR, " "), string(n.Method), n.Credential, n.AuthAt, n.CreatedAt, n.SeenAt, n.Agent, string(n.ID))
	} else {
		n.ID = newID()
		_, err = tx.ExecContext(ctx, `INSERT INTO session (secret_sha256, `+columns+`)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)`,
			o.Secret.Hash(), string(n.ID), string(n.Person), string(n.Org), string(n.Network), int64(n.Assurance), strings.Join(n.AMR, " "), string(n.Method),
			n.Credential, n.AuthAt, n.CreatedAt, n.SeenAt, 0, "", n.Agent)
	}
	if err != nil {
		return Session{}, fmt.Errorf("session: open: %w", err)
	}
	row := audit.Row{
		At: o.Now, Actor: string(o.Person), ActorKind: audit.ActorPerson, Action: action, Org: o.Org, Object: string(n.ID), Outcome: audit.Done,
		Detail: map[string]any{"method": n.Method, "network": n.Network, "assurance": n.Assurance.ACR(), "credential": n.Credential},
	}
	return n, audit.Append(ctx, tx, row)
}

func newID() identity.SessionID {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: it ends the program instead
	return identity.SessionID(hex.EncodeToString(b[:]))
}

// Read gives the session of a secret and its person, everything read anew: the session, the person, the post, the policy. What ended it since
// the last request is seen here, on every node. network is where the request comes from.
func (s *Store) Read(ctx context.Context, secret Secret, network policies.Network, now time.Time) (Session, access.Actor, error) {
	if secret.Zero() {
		return Session{}, access.Actor{}, ErrNone
	}
	found, err := query(ctx, s.db.Reader(), `secret_sha256 = $1`, secret.Hash())
	if err != nil {
		return Session{}, access.Actor{}, err
	}
	if len(found) != 1 {
		return Session{}, access.Actor{}, ErrNone
	}
	a, err := s.standing(ctx, found[0], network, now)
	if err != nil {
		return Session{}, access.Actor{}, err
	}
	if now.UnixMicro()-found[0].SeenAt >= seenEvery.Microseconds() {
		if err := s.seen(ctx, found[0].ID, now); err != nil {
			return Session{}, access.Actor{}, err
		}
	}
	return found[0], a, nil
}

// Standing gives the person of a session by its id, for issuers that hold tokens of it: introspection, refresh. It notes no request, so that
// a relying party's polling keeps no session alive.
func (s *Store) Standing(ctx context.Context, id identity.SessionID, now time.Time) (Session, access.Actor, error) {
	found, err := query(ctx, s.db.Reader(), `id = $1`, string(id))
	if err != nil {
		return Session{}, access.Actor{}, err
	}
	if len(found) != 1 {
		return Session{}, access.Actor{}, ErrNone
	}
	a, err := s.standing(ctx, found[0], found[0].Network, now)
	if err != nil {
		return Session{}, access.Actor{}, err
	}
	return found[0], a, nil
}

func (s *Store) standing(ctx context.Context, x Session, network policies.Network, now time.Time) (access.Actor, error) {
	idle, age := now.UnixMicro()-x.SeenAt, now.UnixMicro()-x.CreatedAt
	switch {
	case x.EndedAt != 0:
		return access.Actor{}, fmt.Errorf("%w (%s)", ErrEnded, x.EndedWhy)
	case x.Network != network:
		return access.Actor{}, ErrNetwork
	case age >= MaxAge.Microseconds():
		return access.Actor{}, fmt.Errorf("%w (too old)", ErrEnded)
	}
	a, err := s.people.Person(ctx, x.Person)
	if errors.Is(err, access.ErrPersonEnded) {
		return access.Actor{}, fmt.Errorf("%w: %w", ErrEnded, err)
	}
	if err != nil {
		return access.Actor{}, err
	}
	a, err = s.posts.ActIn(ctx, a, x.Org, now.UnixMicro())
	if errors.Is(err, identity.ErrNotFound) {
		return access.Actor{}, fmt.Errorf("%w: the person doesn't hold the post any more", ErrEnded)
	}
	if err != nil {
		return access.Actor{}, err
	}
	// A clock that another node reads may be a little ahead.
	d, err := s.policy.MayStay(a.Policy(), policies.Stay{
		Network: x.Network, Sealed: x.Sealed(),
		Idle: time.Duration(max(idle, 0)) * time.Microsecond, Age: time.Duration(max(age, 0)) * time.Microsecond,
	})
	if err != nil {
		return access.Actor{}, err
	}
	if !d.Allow {
		return access.Actor{}, fmt.Errorf("%w (too old, or too long without a request)", ErrEnded)
	}
	return a, nil
}

// Use holds a session that was read, in the caller's transaction: ErrEnded where it has ended since.
func (s *Store) Use(ctx context.Context, tx *sql.Tx, id identity.SessionID, at int64) error {
	res, err := tx.ExecContext(ctx, `UPDATE session SET seen_at = CASE WHEN seen_at < $1 THEN $1 ELSE seen_at END WHERE id = $2 AND ended_at = 0`, at, string(id))
	if err != nil {
		return fmt.Errorf("session: use: %w", err)
	}
	n, err := res.RowsAffected()
	if err != nil {
		return fmt.Errorf("session: use: %w", err)
	}
	if n != 1 {
		return ErrEnded
	}
	return nil
}

// seen notes the request.
func (s *Store) seen(ctx context.Context, id identity.SessionID, now time.Time) error {
	err := s.db.Group(ctx, func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE session SET seen_at = $1 WHERE id = $2 AND seen_at < $1 AND ended_at = 0`, now.UnixMicro(), string(id))
		return err
	})
	if err != nil {
		return fmt.Errorf("session: note the request: %w", err)
	}
	return nil
}

// Told notes that a relying party was told of the session, in the caller's transaction.
func (s *Store) Told(ctx context.Context, tx *sql.Tx, id identity.SessionID, p Party) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO session_party (session_id, relying_party, issuer, at) VALUES ($1, $2, $3, $4)
		ON CONFLICT (session_id, relying_party, issuer) DO UPDATE SET at = excluded.at`, string(id), string(p.RelyingParty), string(p.Issuer), p.At)
	if err != nil {
		return fmt.Errorf("session: note the relying party: %w", err)
	}
	return nil
}
