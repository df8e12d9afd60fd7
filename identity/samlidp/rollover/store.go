package rollover

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/keys"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/policies"
)

// Store keeps what is known of providers and the keys of one purpose.
type Store struct {
	db      *sqldb.DB
	ring    *keys.Ring
	purpose keys.Purpose
}

// New makes the store over tables that are made by the migrations of package samlidp.
func New(db *sqldb.DB, ring *keys.Ring, p keys.Purpose) *Store { return &Store{db, ring, p} }

// Querier is a *sql.DB or a *sql.Tx.
type Querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// maxNote bounds what is kept of a program's name, in bytes.
const maxNote = 80

// note makes a program's name, anybody's word, fit to be shown: ASCII that can be seen.
func note(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, text)
	return text[:min(len(text), maxNote)]
}

// Fetched records that a provider read metadata with these keys at its own address, by a program that calls itself agent.
func (s *Store) Fetched(ctx context.Context, party policies.RelyingPartyID, n policies.Network, keyIDs []string, agent string, at int64) error {
	return s.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		for _, id := range keyIDs {
			if err := learn(ctx, tx, Evidence{Party: party, Network: n, Key: id, Kind: Fetched, LastAt: at, Note: note(agent)}); err != nil {
				return err
			}
		}
		return nil
	})
}

// Accepted records that a provider took something that a key signed. A key id of "" is that of a time when ids weren't kept: nothing is learned.
func (s *Store) Accepted(ctx context.Context, tx *sql.Tx, party policies.RelyingPartyID, n policies.Network, keyID string, how Kind, at int64) error {
	if how != Logout {
		return fmt.Errorf("rollover: %q isn't seen by the hub itself", how)
	}
	if keyID == "" {
		return nil
	}
	return learn(ctx, tx, Evidence{Party: party, Network: n, Key: keyID, Kind: how, LastAt: at})
}

// learn keeps a row of what is known, or moves its time on.
func learn(ctx context.Context, tx *sql.Tx, e Evidence) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO saml_key_evidence AS old (party, network, key_id, kind, first_at, last_at, note) VALUES ($1, $2, $3, $4, $5, $5, $6)
		ON CONFLICT (party, network, key_id, kind) DO UPDATE SET last_at = excluded.last_at, note = excluded.note WHERE old.last_at < excluded.last_at`,
		string(e.Party), string(e.Network), e.Key, string(e.Kind), e.LastAt, e.Note)
	if err != nil {
		return fmt.Errorf("rollover: what is known of %s: %w", e.Party, err)
	}
	return nil
}

// Chosen says by which key somebody is answered at a provider.
type Chosen struct {
	Key       string // empty: the active key
	Rehearsal string // id of the rehearsal that this login is; empty for none
}

// Choose tells which key signs towards a provider in a network; for a person's login, whether it is their rehearsal. person may be empty. The key
// may have retired meanwhile: then the active one signs.
func (s *Store) Choose(ctx context.Context, q Querier, party policies.RelyingPartyID, n policies.Network, person policies.PersonID, at int64) (c Chosen, err error) {
	rows, err := q.QueryContext(ctx, `SELECT key_id, '' FROM saml_key_switch WHERE party = $1 AND held = 0
		UNION ALL SELECT key_id, id FROM saml_key_rehearsal WHERE party = $1 AND person = $2 AND network = $3 AND used_at = 0 AND expires_at > $4`,
		string(party), string(person), string(n), at)
	if err != nil {
		return c, fmt.Errorf("rollover: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var found Chosen
		if err := rows.Scan(&found.Key, &found.Rehearsal); err != nil {
			return c, fmt.Errorf("rollover: %w", err)
		}
		if c.Key == "" || found.Rehearsal != "" { // a rehearsal before a switch: it may be of a key after that
			c = found
		}
	}
	return c, rows.Err()
}

// Rehearsed uses a rehearsal up: the login that is answered now is the one.
func (s *Store) Rehearsed(ctx context.Context, tx *sql.Tx, id string, at int64) error {
	_, err := tx.ExecContext(ctx, `UPDATE saml_key_rehearsal SET used_at = $2 WHERE id = $1 AND used_at = 0`, id, at)
	if err != nil {
		return fmt.Errorf("rollover: %w", err)
	}
	return nil
}

// now gives the active key and the next one.
func (s *Store) now(ctx context.Context, q Querier) (active, next keys.Key, err error) {
	all, err := s.ring.List(ctx, q, s.purpose)
	if err != nil {
		return active, next, err
	}
	for _, k := range all {
		switch k.State {
		case keys.Active:
			active = k
		case keys.Next:
			next = k
		}
	}
	if active.ID == "" || next.ID == "" {
		err = fmt.Errorf("rollover: %s has no active or no next key: start the hub once, it makes them: %w", s.purpose, identity.ErrNotFound)
	}
	return active, next, err
}

// held gives the next key, which stays the next one until tx ends. want is the one that the caller knows; empty for whichever it is.
func (s *Store) held(ctx context.Context, tx *sql.Tx, want string) (keys.Key, error) {
	if err := s.ring.Hold(ctx, tx, s.purpose); err != nil {
		return keys.Key{}, err
	}
	_, next, err := s.now(ctx, tx)
	if err == nil && want != "" && want != next.ID {
		err = fmt.Errorf("the key %s isn't the next one any more: it was rotated meanwhile: %w", want, identity.ErrExists)
	}
	return next, err
}

// Report tells who is ready for the next key.
func (s *Store) Report(ctx context.Context, q Querier, all []Counterparty, at int64) (Report, error) {
	spec, err := s.ring.Spec(s.purpose)
	if err != nil {
		return Report{}, err
	}
	question := Question{Purpose: s.purpose, Ahead: spec.Ahead, Counterparties: all, At: at}
	if question.Active, question.Next, err = s.now(ctx, q); err != nil {
		return Report{}, err
	}
	if question.Evidence, err = s.evidence(ctx, q); err != nil {
		return Report{}, err
	}
	if question.Switches, err = s.switches(ctx, q); err != nil {
		return Report{}, err
	}
	return question.Report(), nil
}

func (s *Store) evidence(ctx context.Context, q Querier) (out []Evidence, err error) {
	rows, err := q.QueryContext(ctx, `SELECT party, network, key_id, kind, first_at, last_at, note FROM saml_key_evidence ORDER BY party, network, last_at, key_id`)
	if err != nil {
		return nil, fmt.Errorf("rollover: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var e Evidence
		if err := rows.Scan(&e.Party, &e.Network, &e.Key, &e.Kind, &e.FirstAt, &e.LastAt, &e.Note); err != nil {
			return nil, fmt.Errorf("rollover: %w", err)
		}
		out = append(out, e)
	}
	return out, rows.Err()
}

func (s *Store) switches(ctx context.Context, q Querier) (out []Switch, err error) {
	rows, err := q.QueryContext(ctx, `SELECT party, key_id, held, at, actor FROM saml_key_switch ORDER BY party`)
	if err != nil {
		return nil, fmt.Errorf("rollover: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var x Switch
		var held int64
		if err := rows.Scan(&x.Party, &x.Key, &held, &x.At, &x.Actor); err != nil {
			return nil, fmt.Errorf("rollover: %w", err)
		}
		x.Held = held != 0
		out = append(out, x)
	}
	return out, rows.Err()
}

// row begins the audit row of what somebody did about a provider's key.
func row(by access.Actor, action string, party policies.RelyingPartyID, key, why string, at int64) audit.Row {
	r := by.AuditRow(at, action, audit.Done)
	r.Object, r.Reason, r.Detail = string(party), why, map[string]any{"key": key}
	return r
}

// Sweep deletes rehearsals a month after their end, at most limit.
func (s *Store) Sweep(ctx context.Context, at int64, limit int) (n int64, err error) {
	err = s.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, `DELETE FROM saml_key_rehearsal WHERE id IN (SELECT id FROM saml_key_rehearsal WHERE expires_at <= $1 LIMIT $2)`,
			at-keepRehearsals.Microseconds(), limit)
		if err != nil {
			return err
		}
		n, err = res.RowsAffected()
		return err
	})
	if err != nil {
		return n, fmt.Errorf("rollover: sweep: %w", err)
	}
	return n, nil
}

var errUnknownParty = errors.New("no service provider of this id is registered")

// known refuses a provider that isn't registered. The tables point at the registry's: asked there, inside the transaction that writes.
func known(ctx context.Context, tx *sql.Tx, party policies.RelyingPartyID) error {
	var n int
	if err := tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM saml_party WHERE id = $1`, string(party)).Scan(&n); err != nil {
		return fmt.Errorf("rollover: %w", err)
	}
	if n == 0 {
		return fmt.Errorf("%q: %w: %w", party, errUnknownParty, identity.ErrNotFound)
	}
	return nil
}
