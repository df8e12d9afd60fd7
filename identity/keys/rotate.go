package keys

import (
	"context"
	"crypto/x509"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/sqldb"
)

// ErrTooEarly says that the next key hasn't been published for long enough to sign.
var ErrTooEarly = errors.New("the next key was published too recently")

// OpenSealing gives the sealing key in the file at path. Where there is neither the file nor any key in the database it makes
// the file; where keys were sealed already, it doesn't, because a new sealing key opens none of them. made reports the first.
func OpenSealing(ctx context.Context, db *sqldb.DB, path string, random io.Reader) (k *SealingKey, made bool, err error) {
	k, err = ReadSealingKey(path)
	if err == nil || !missing(err) {
		return k, false, err
	}
	var n int64
	if err := db.Reader().QueryRowContext(ctx, `SELECT COUNT(*) FROM signing_key WHERE sealed <> ''`).Scan(&n); err != nil {
		return nil, false, fmt.Errorf("keys: %w", err)
	}
	if n > 0 {
		return nil, false, fmt.Errorf("%w: the sealing key %s is missing, but %d signing keys in the database are sealed under it: restore the file from a backup, or copy it from another node",
			ErrUnreadable, path, n)
	}
	if k, err = NewSealingKey(random); err != nil {
		return nil, false, err
	}
	if err := k.WriteFile(path); err != nil {
		if other, rerr := ReadSealingKey(path); rerr == nil { // another process was faster
			return other, false, nil
		}
		return nil, false, err
	}
	return k, true, nil
}

// Record appends what was done to keys to a record, in the transaction that does it. Nothing is done without it.
type Record func(ctx context.Context, tx *sql.Tx, what string, k Key) error

// What Record is told.
const (
	Made      = "key.make"
	Rotated   = "key.rotate"   // the key now signs
	Withdrawn = "key.withdraw" // the key is published no more
)

// Ensure makes what is missing of each purpose, an active key and the next one, and checks that this process can sign by those
// that are there.
func (r *Ring) Ensure(ctx context.Context, record Record) error {
	for _, p := range r.Purposes() {
		if err := r.ensure(ctx, p, record); err != nil {
			return err
		}
	}
	return nil
}

func (r *Ring) ensure(ctx context.Context, p Purpose, record Record) error {
	// Two nodes may start at once; the one that comes second finds the keys of the first.
	for attempt := 0; ; attempt++ {
		made, err := r.make(ctx, p, record)
		if sqldb.UniqueViolation(err) && attempt < 3 {
			continue
		}
		if err != nil || !made {
			return err
		}
	}
}

// make makes one key that is missing.
func (r *Ring) make(ctx context.Context, p Purpose, record Record) (made bool, err error) {
	found, err := r.query(ctx, r.db.Writer(), `SELECT `+columns+` FROM signing_key WHERE purpose = $1 AND state <> 'retired'`, string(p))
	if err != nil {
		return false, err
	}
	for _, state := range []State{Active, Next} {
		i := slices.IndexFunc(found, func(s stored) bool { return s.State == state })
		if i >= 0 {
			if _, err := r.signer(found[i]); err != nil {
				return false, err
			}
			continue
		}
		fresh, err := r.draw(p, state)
		if err != nil {
			return false, err
		}
		return true, r.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
			if err := insert(ctx, tx, fresh); err != nil {
				return err
			}
			return record(ctx, tx, Made, fresh.Key)
		})
	}
	return false, nil
}

// draw makes a key outside of any transaction: drawing RSA takes up to a second.
func (r *Ring) draw(p Purpose, state State) (stored, error) {
	var s stored
	spec, err := r.spec(p)
	if err != nil {
		return s, err
	}
	if r.opt.Sealing == nil {
		return s, fmt.Errorf("%w: a key for %s can't be made: this process has no sealing key", ErrUnreadable, p)
	}
	private, err := generate(spec.Algorithm, r.opt.Random)
	if err != nil {
		return s, fmt.Errorf("keys: make a key for %s: %w", p, err)
	}
	now := r.opt.Now().UnixMicro()
	s.Key = Key{Purpose: p, Algorithm: spec.Algorithm, State: state, Public: private.Public(), CreatedAt: now}
	if state == Active {
		s.ActivatedAt = now
	}
	if _, s.ID, err = encodePublic(s.Public); err != nil {
		return s, fmt.Errorf("keys: make a key for %s: %w", p, err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return s, fmt.Errorf("keys: make a key for %s: %w", p, err)
	}
	defer clear(der)
	s.sealed, err = r.opt.Sealing.seal(der, s.label(), r.opt.Random)
	return s, err
}

func insert(ctx context.Context, tx *sql.Tx, s stored) error {
	public, _, err := encodePublic(s.Public)
	if err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO signing_key (`+columns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
		s.ID, string(s.Purpose), string(s.Algorithm), string(s.State), public, s.sealed, s.CreatedAt, s.ActivatedAt, s.RetiredAt, s.WithdrawnAt)
	if err != nil {
		return fmt.Errorf("keys: keep a key for %s: %w", s.Purpose, err)
	}
	return nil
}

// Turn says how a rotation is done. The zero value is the yearly one.
type Turn struct {
	Early    bool   // even where the next key was published for less than Spec.Ahead
	Withdraw bool   // the key before isn't published any more, for no overlap: it was lost or stolen
	Next     string // the key that shall sign; empty for whichever is next. It is how a rotation that was asked for twice happens once

	// Before and Also are called first and last in the transaction that rotates; nil for nothing. Where one gives an error, nothing has happened.
	Before func(ctx context.Context, tx *sql.Tx) error
	Also   func(ctx context.Context, tx *sql.Tx, done Rotation) error
}

// Hold keeps everybody else from rotating the purpose's key until tx ends, for decisions that hang on which key signs.
func (r *Ring) Hold(ctx context.Context, tx *sql.Tx, p Purpose) error {
	if _, err := tx.ExecContext(ctx, `UPDATE signing_key SET state = state WHERE purpose = $1 AND state = 'active'`, string(p)); err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	return nil
}

// Rotation is what Rotate has done.
type Rotation struct{ Retired, Active, Next Key }

// Rotate makes the next key of the purpose sign, retires the one before, drops its private part, and publishes a new next one.
// It refuses with ErrTooEarly where the next key wasn't published for as long as Spec.Ahead, unless the turn is early; with
// identity.ErrExists where it was rotated already, by Turn.Next or by another process at this moment.
func (r *Ring) Rotate(ctx context.Context, p Purpose, turn Turn, record Record) (Rotation, error) {
	var done Rotation
	spec, err := r.spec(p)
	if err != nil {
		return done, err
	}
	fresh, err := r.draw(p, Next)
	if err != nil {
		return done, err
	}
	err = r.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if turn.Before != nil {
			if err := turn.Before(ctx, tx); err != nil {
				return err
			}
		}
		found, err := r.query(ctx, tx, `SELECT `+columns+` FROM signing_key WHERE purpose = $1 AND state <> 'retired'`, string(p))
		if err != nil {
			return err
		}
		active := slices.IndexFunc(found, func(s stored) bool { return s.State == Active })
		next := slices.IndexFunc(found, func(s stored) bool { return s.State == Next })
		if active < 0 || next < 0 {
			return fmt.Errorf("keys: %s has no active or no next key: start the hub once, it makes them: %w", p, identity.ErrNotFound)
		}
		if turn.Next != "" && turn.Next != found[next].ID {
			return fmt.Errorf("keys: rotate %s: the key %s isn't the next one any more: it was rotated meanwhile: %w", p, turn.Next, identity.ErrExists)
		}
		if _, err := r.signer(found[next]); err != nil { // it must be able to sign
			return err
		}
		now := r.opt.Now().UnixMicro()
		if ready := time.UnixMicro(found[next].CreatedAt).Add(spec.Ahead); !turn.Early && now < ready.UnixMicro() {
			return fmt.Errorf("%w: it may sign from %s", ErrTooEarly, ready.UTC().Format(time.RFC3339))
		}
		if done, err = r.turn(ctx, tx, found[active].Key, found[next].Key, fresh, now, turn.Withdraw, record); err != nil || turn.Also == nil {
			return err
		}
		return turn.Also(ctx, tx, done)
	})
	return done, err
}

func (r *Ring) turn(ctx context.Context, tx *sql.Tx, active, next Key, fresh stored, now int64, withdraw bool, record Record) (Rotation, error) {
	active.State, active.RetiredAt = Retired, now
	if withdraw {
		active.WithdrawnAt = now
	}
	next.State, next.ActivatedAt = Active, now
	done := Rotation{Retired: active, Active: next, Next: fresh.Key}
	for _, change := range []struct {
		key       Key
		statement string
		args      []any
	}{
		{
			active, `UPDATE signing_key SET state = 'retired', retired_at = $2, withdrawn_at = $3, sealed = '' WHERE id = $1 AND state = 'active'`,
			[]any{active.ID, now, active.WithdrawnAt},
		},
		{next, `UPDATE signing_key SET state = 'active', activated_at = $2 WHERE id = $1 AND state = 'next'`, []any{next.ID, now}},
	} {
		res, err := tx.ExecContext(ctx, change.statement, change.args...)
		if err != nil {
			return done, fmt.Errorf("keys: rotate %s: %w", change.key.Purpose, err)
		}
		if n, err := res.RowsAffected(); err != nil || n != 1 {
			return done, errors.Join(err, fmt.Errorf("keys: rotate %s: another process rotates it at this moment: %w", change.key.Purpose, identity.ErrExists))
		}
	}
	if err := insert(ctx, tx, fresh); err != nil {
		return done, err
	}
	if err := record(ctx, tx, Rotated, next); err != nil {
		return done, err
	}
	if withdraw {
		if err := record(ctx, tx, Withdrawn, active); err != nil {
			return done, err
		}
	}
	return done, record(ctx, tx, Made, fresh.Key)
}
