package rollover

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/keys"
	"github.com/musubi-hub/musubi/policies"
)

const (
	rehearsalLife  = 30 * time.Minute    // to log in
	keepRehearsals = 30 * 24 * time.Hour // to say how it went
)

// SwitchTo has the next key sign towards a provider from now on, ahead of the others. The error wraps identity.ErrExists where it does already. It
// gives the key. key is the next key as the caller knows it, empty for whichever it is; another one now is refused with identity.ErrExists.
func (s *Store) SwitchTo(ctx context.Context, by access.Actor, party policies.RelyingPartyID, key, why string, at int64) (keys.Key, error) {
	return s.turn(ctx, by, party, "rp.key.switch", false, key, why, at)
}

// SwitchBack has the active key sign towards a provider again. The provider isn't ready then, whatever was known before, until it is tried again.
func (s *Store) SwitchBack(ctx context.Context, by access.Actor, party policies.RelyingPartyID, key, why string, at int64) (keys.Key, error) {
	return s.turn(ctx, by, party, "rp.key.back", true, key, why, at)
}

func (s *Store) turn(ctx context.Context, by access.Actor, party policies.RelyingPartyID, action string, back bool, key, why string, at int64) (next keys.Key, err error) {
	err = s.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if err := known(ctx, tx, party); err != nil {
			return err
		}
		if next, err = s.held(ctx, tx, key); err != nil {
			return err
		}
		res, err := tx.ExecContext(ctx, `INSERT INTO saml_key_switch AS old (party, key_id, held, at, actor) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (party) DO UPDATE SET key_id = excluded.key_id, held = excluded.held, at = excluded.at, actor = excluded.actor
			WHERE old.key_id <> excluded.key_id OR old.held <> excluded.held`, string(party), next.ID, boolean(back), at, by.ID())
		if err != nil {
			return fmt.Errorf("rollover: %w", err)
		}
		if n, err := res.RowsAffected(); err != nil || n != 1 {
			return errors.Join(err, fmt.Errorf("%s: it is so already: %w", party, identity.ErrExists))
		}
		return audit.Append(ctx, tx, row(by, action, party, next.ID, why, at))
	})
	return next, err
}

// Rehearsal is one login of one person to one provider in one network that the next key signs.
type Rehearsal struct {
	ID      string // random
	Party   policies.RelyingPartyID
	Person  policies.PersonID
	Network policies.Network
	Key     string // the next key; empty for whichever it is
	Until   int64  // UTC, microseconds; set by Rehearse
}

// Rehearse lets the person's next login to the provider be signed by the next key, within half an hour. It replaces one that wasn't used.
func (s *Store) Rehearse(ctx context.Context, by access.Actor, r Rehearsal, at int64) (Rehearsal, error) {
	if r.ID == "" || r.Person == "" || r.Network == "" {
		return r, errors.New("rollover: a rehearsal needs an id, a person and a network")
	}
	err := s.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if err := known(ctx, tx, r.Party); err != nil {
			return err
		}
		next, err := s.held(ctx, tx, r.Key)
		if err != nil {
			return err
		}
		r.Key, r.Until = next.ID, at+rehearsalLife.Microseconds()
		if _, err := tx.ExecContext(ctx, `DELETE FROM saml_key_rehearsal WHERE party = $1 AND person = $2 AND used_at = 0`, string(r.Party), string(r.Person)); err != nil {
			return fmt.Errorf("rollover: %w", err)
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO saml_key_rehearsal (id, party, person, network, key_id, created_at, expires_at, used_at) VALUES ($1, $2, $3, $4, $5, $6, $7, 0)`,
			r.ID, string(r.Party), string(r.Person), string(r.Network), r.Key, at, r.Until)
		if err != nil {
			return fmt.Errorf("rollover: %w", err)
		}
		a := row(by, "rp.key.rehearse", r.Party, r.Key, "", at)
		a.Detail["person"], a.Detail["network"] = r.Person, r.Network
		return audit.Append(ctx, tx, a)
	})
	return r, err
}

// ErrNoLogin says that nobody can have come in by the next key yet.
var ErrNoLogin = errors.New("nothing was signed by the next key towards this provider yet")

// Confirm records what an administrator says: kind CameIn, somebody came in by a login that the next key signed, which is refused with ErrNoLogin
// where there can't have been one; or Told, the key was entered there. It gives the key.
func (s *Store) Confirm(ctx context.Context, by access.Actor, party policies.RelyingPartyID, kind Kind, key, why string, at int64) (next keys.Key, err error) {
	if kind != CameIn && kind != Told {
		return next, fmt.Errorf("rollover: %q isn't an administrator's to say", kind)
	}
	err = s.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if err := known(ctx, tx, party); err != nil {
			return err
		}
		if next, err = s.held(ctx, tx, key); err != nil {
			return err
		}
		networks := []string{""}
		if kind == CameIn {
			if networks, err = s.tried(ctx, tx, party, next.ID); err != nil {
				return err
			}
		}
		for _, n := range networks {
			if err := learn(ctx, tx, Evidence{Party: party, Network: policies.Network(n), Key: next.ID, Kind: kind, LastAt: at, Note: by.ID()}); err != nil {
				return err
			}
		}
		a := row(by, "rp.key.accepted", party, next.ID, why, at)
		a.Detail["how"] = string(kind)
		return audit.Append(ctx, tx, a)
	})
	return next, err
}

// tried gives the networks in which the key was tried: all ("") where it signs towards the provider, else those of rehearsals.
func (s *Store) tried(ctx context.Context, tx *sql.Tx, party policies.RelyingPartyID, key string) (out []string, err error) {
	rows, err := tx.QueryContext(ctx, `SELECT '' FROM saml_key_switch WHERE party = $1 AND key_id = $2 AND held = 0
		UNION SELECT network FROM saml_key_rehearsal WHERE party = $1 AND key_id = $2 AND used_at <> 0`, string(party), key)
	if err != nil {
		return nil, fmt.Errorf("rollover: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var n string
		if err := rows.Scan(&n); err != nil {
			return nil, fmt.Errorf("rollover: %w", err)
		}
		out = append(out, n)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s: %w: %w", party, ErrNoLogin, identity.ErrRefused)
	}
	return out, nil
}

// ErrNotReady is in the error of a promotion that waits for providers.
var ErrNotReady = errors.New("not every provider is ready for the next key")

// Promotion says how a key is promoted.
type Promotion struct {
	Counterparties []Counterparty
	Next           string                    // the key that shall sign, as the administrator saw it
	Leave          []policies.RelyingPartyID // who is left behind: their logins fail until they take the key
	Emergency      bool                      // the active key is lost or stolen: at once, whoever is ready
	Unseen         bool                      // an emergency even where the next key is so new that nobody can have it: it is lost as well
	At             int64                     // UTC, microseconds
}

// unseen is the age up to which nobody can be held to have a key: a second emergency in the panic of the first would cut everybody off.
const unseen = time.Hour

// Promote makes the next key sign where every provider is ready, is left behind by name, or in an emergency; else the error wraps ErrNotReady and
// identity.ErrRefused, and nothing has happened. The report is the one that was decided by. It is decided in the transaction that promotes.
func (s *Store) Promote(ctx context.Context, p Promotion, record keys.Record) (done keys.Rotation, r Report, err error) {
	for _, id := range p.Leave {
		if !slices.ContainsFunc(p.Counterparties, func(c Counterparty) bool { return c.ID == id }) {
			return done, r, fmt.Errorf("%q can't be left behind: %w: %w", id, errUnknownParty, identity.ErrNotFound)
		}
	}
	if r, err = s.Report(ctx, s.db.Reader(), p.Counterparties, p.At); err != nil {
		return done, r, err
	}
	if err := p.judge(r); err != nil { // before a new key is drawn
		return done, r, err
	}
	turn := keys.Turn{Early: p.Emergency, Withdraw: p.Emergency, Next: p.Next}
	turn.Before = func(ctx context.Context, tx *sql.Tx) (err error) {
		if _, err := s.held(ctx, tx, p.Next); err != nil {
			return err
		}
		if r, err = s.Report(ctx, tx, p.Counterparties, p.At); err != nil {
			return err
		}
		return p.judge(r)
	}
	turn.Also = func(ctx context.Context, tx *sql.Tx, done keys.Rotation) error {
		for _, statement := range []string{`DELETE FROM saml_key_switch WHERE key_id = $1`, `DELETE FROM saml_key_rehearsal WHERE key_id = $1 AND used_at = 0`} {
			if _, err := tx.ExecContext(ctx, statement, done.Active.ID); err != nil {
				return fmt.Errorf("rollover: %w", err)
			}
		}
		return nil
	}
	done, err = s.ring.Rotate(ctx, s.purpose, turn, record)
	return done, r, err
}

func (p Promotion) judge(r Report) error {
	if p.Next != "" && p.Next != r.Next.ID {
		return fmt.Errorf("the key %s isn't the next one any more: it was rotated meanwhile: %w", p.Next, identity.ErrExists)
	}
	if p.Emergency {
		saml := slices.ContainsFunc(r.Standings, func(s Standing) bool { return !s.OpenID })
		if age := time.Duration(p.At-r.Next.CreatedAt) * time.Microsecond; age < unseen && !p.Unseen && saml {
			return fmt.Errorf("the next key was made %s ago and nobody can have it yet: was the emergency declared already? "+
				"If the next key is lost as well, say so (--unseen): %w", age.Truncate(time.Second), identity.ErrRefused)
		}
		return nil
	}
	var late []string
	for _, s := range r.Waiting() {
		if !slices.Contains(p.Leave, s.ID) {
			late = append(late, string(s.ID))
		}
	}
	if len(late) > 0 {
		return fmt.Errorf("%w: %s: %w", ErrNotReady, strings.Join(late, ", "), identity.ErrRefused)
	}
	return nil
}
