package keys

import (
	"context"
	"crypto"
	"crypto/x509"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/sqldb"
)

//go:embed migrations
var migrations embed.FS

// Migration is the package's tables.
func Migration() sqldb.Migration {
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		panic(fmt.Sprintf("keys: %v", err)) // the folder is embedded
	}
	return sqldb.Migration{Owner: "keys", FS: dir}
}

// Options say how a ring is opened.
type Options struct {
	Sealing *SealingKey // nil: public parts only, no signer and no new key
	Specs   map[Purpose]Spec
	Now     func() time.Time
	Random  io.Reader
}

// Ring is the keys of all purposes. It is safe for concurrent use.
type Ring struct {
	db  *sqldb.DB
	opt Options

	mu     sync.Mutex
	opened map[string]crypto.Signer // private keys by id: a key never changes
	known  map[string]public        // public keys by id
}

// public is a public key as it is stored and as it is used. Whether the row still says the same is compared at each read.
type public struct {
	text      string
	algorithm Algorithm
	key       crypto.PublicKey
}

// New makes the ring over the tables of Migration.
func New(db *sqldb.DB, opt Options) (*Ring, error) {
	for p, s := range opt.Specs {
		if !purpose.MatchString(string(p)) {
			return nil, fmt.Errorf("keys: %q is no name of a purpose", p)
		}
		if !slices.Contains([]Algorithm{RSA2048, RSA3072, P256, Ed25519}, s.Algorithm) || s.Ahead < 0 || s.Overlap < 0 {
			return nil, fmt.Errorf("keys: the purpose %s can't have keys of %+v", p, s)
		}
	}
	return &Ring{db: db, opt: opt, opened: map[string]crypto.Signer{}, known: map[string]public{}}, nil
}

// Purposes lists the purposes, sorted.
func (r *Ring) Purposes() []Purpose { return slices.Sorted(maps.Keys(r.opt.Specs)) }

// Querier is a *sql.DB or a *sql.Tx.
type Querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

const columns = `id, purpose, algorithm, state, public, sealed, created_at, activated_at, retired_at, withdrawn_at`

// List gives every key of the purpose, the newest first; with an empty purpose every key there is.
func (r *Ring) List(ctx context.Context, q Querier, p Purpose) ([]Key, error) {
	found, err := r.query(ctx, q, `SELECT `+columns+` FROM signing_key WHERE purpose = $1 OR $1 = '' ORDER BY purpose, created_at DESC, id`, string(p))
	if err != nil {
		return nil, err
	}
	out := make([]Key, len(found))
	for i, f := range found {
		out[i] = f.Key
	}
	return out, nil
}

// Published gives the keys that verifiers shall know now: next, active, and retired for as long as the overlap,
// but for those that were withdrawn.
func (r *Ring) Published(ctx context.Context, q Querier, p Purpose) ([]Key, error) {
	spec, err := r.spec(p)
	if err != nil {
		return nil, err
	}
	all, err := r.List(ctx, q, p)
	if err != nil {
		return nil, err
	}
	since := r.opt.Now().Add(-spec.Overlap).UnixMicro()
	return slices.DeleteFunc(all, func(k Key) bool { return k.State == Retired && (k.RetiredAt < since || k.WithdrawnAt != 0) }), nil
}

// Signer gives the signer of the purpose's active key. An error that wraps ErrUnreadable says what is wrong with the key.
func (r *Ring) Signer(ctx context.Context, q Querier, p Purpose) (*Signer, error) {
	found, err := r.query(ctx, q, `SELECT `+columns+` FROM signing_key WHERE purpose = $1 AND state = 'active'`, string(p))
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("keys: there is no active key for %s: %w", p, identity.ErrNotFound)
	}
	return r.signer(found[0])
}

// SignerOf gives the signer of one key of the purpose, the active one or the next. The error wraps identity.ErrNotFound where the key has
// retired or is another purpose's.
func (r *Ring) SignerOf(ctx context.Context, q Querier, p Purpose, id string) (*Signer, error) {
	found, err := r.query(ctx, q, `SELECT `+columns+` FROM signing_key WHERE id = $1 AND purpose = $2 AND state <> 'retired'`, id, string(p))
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("keys: no key %q of %s is active or next: %w", id, p, identity.ErrNotFound)
	}
	return r.signer(found[0])
}

// stored is a row of signing_key.
type stored struct {
	Key
	sealed string
}

func (r *Ring) query(ctx context.Context, q Querier, query string, args ...any) ([]stored, error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	defer rows.Close()
	var out []stored
	for rows.Next() {
		var s stored
		var text string
		if err := rows.Scan(&s.ID, &s.Purpose, &s.Algorithm, &s.State, &text, &s.sealed, &s.CreatedAt, &s.ActivatedAt, &s.RetiredAt, &s.WithdrawnAt); err != nil {
			return nil, fmt.Errorf("keys: %w", err)
		}
		if s.Public, err = r.decode(text, s.ID, s.Algorithm); err != nil {
			return nil, fmt.Errorf("%w: signing key %s (%s): %w: restore the database from a backup", ErrUnreadable, s.ID, s.Purpose, err)
		}
		out = append(out, s)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	return out, nil
}

// decode is decodePublic, once for each key.
func (r *Ring) decode(text, id string, a Algorithm) (crypto.PublicKey, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if k, ok := r.known[id]; ok && k.text == text && k.algorithm == a {
		return k.key, nil
	}
	key, err := decodePublic(text, id, a)
	if err == nil {
		r.known[id] = public{text, a, key}
	}
	return key, err
}

// Spec tells how the keys of a purpose are kept. The error wraps identity.ErrNotFound where there is no such purpose.
func (r *Ring) Spec(p Purpose) (Spec, error) { return r.spec(p) }

func (r *Ring) spec(p Purpose) (Spec, error) {
	spec, ok := r.opt.Specs[p]
	if !ok {
		return spec, fmt.Errorf("keys: there are no keys for %q, only for %v: %w", p, r.Purposes(), identity.ErrNotFound)
	}
	return spec, nil
}

// label binds what is sealed to its key.
func (k Key) label() string {
	return "musubi signing key " + k.ID + " " + string(k.Purpose) + " " + string(k.Algorithm)
}

func (r *Ring) signer(s stored) (*Signer, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	private, ok := r.opened[s.ID]
	if !ok {
		var err error
		if private, err = r.open(s); err != nil {
			return nil, fmt.Errorf("%w: signing key %s (%s): %w", ErrUnreadable, s.ID, s.Purpose, err)
		}
		r.opened[s.ID] = private
	}
	return &Signer{key: s.Key, private: private}, nil
}

func (r *Ring) open(s stored) (crypto.Signer, error) {
	if r.opt.Sealing == nil {
		return nil, errNoSealingKey
	}
	der, err := r.opt.Sealing.open(s.sealed, s.label())
	if errors.Is(err, errOtherSealingKey) {
		return nil, fmt.Errorf("it is %w: put the sealing key's file of the node that made it in the place of this one", err)
	}
	if err != nil {
		return nil, fmt.Errorf("its private part is %w: restore the database from a backup, or rotate the key", err)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, errors.New("its private part is damaged: restore the database from a backup, or rotate the key")
	}
	private, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("its private part is a %T, which doesn't sign", parsed)
	}
	if _, id, err := encodePublic(private.Public()); err != nil || id != s.ID {
		return nil, errors.New("its private part is of another key: restore the database from a backup, or rotate the key")
	}
	return private, nil
}

var errNoSealingKey = errors.New("it is sealed, and this process has no sealing key")
