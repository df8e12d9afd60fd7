package sp

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/policies"
)

// MinHash is how much of a hash names a proposal, in characters.
const MinHash = 12

// Accept lets what is pending count. hash is the proposal's, or its first twelve characters or more: what was seen is what counts. The error wraps
// identity.ErrNotFound where nothing is pending, ErrSwapped where something else is, ErrStale, ErrExpired, identity.ErrExists where the entity id
// is another's, and identity.ErrRefused where nobody of the directory decides. at is UTC in microseconds.
func (s *Sources) Accept(ctx context.Context, by access.Actor, id policies.RelyingPartyID, hash string, at int64) (Proposal, error) {
	return s.accept(ctx, by, id, hash, at, false)
}

// Decidable says whether Accept would accept, and changes nothing. A refusal is audited as Accept's is.
func (s *Sources) Decidable(ctx context.Context, by access.Actor, id policies.RelyingPartyID, hash string, at int64) (Proposal, error) {
	return s.accept(ctx, by, id, hash, at, true)
}

func (s *Sources) accept(ctx context.Context, by access.Actor, id policies.RelyingPartyID, hash string, at int64, dry bool) (Proposal, error) {
	var prop Proposal
	err := s.decide(ctx, by, id, hash, "rp.metadata.accept", at, func(ctx context.Context, tx *sql.Tx, config string, found Proposal) error {
		prop = found
		switch {
		case prop.Base != baseOf(config):
			return fmt.Errorf("metadata of %q: %w; fetch it anew: what it would change is worked out again", id, ErrStale)
		case prop.ValidUntil != 0 && prop.ValidUntil <= at:
			return fmt.Errorf("metadata of %q: %w (%s); fetch it anew", id, ErrExpired, instant(prop.ValidUntil))
		case dry:
			return nil
		}
		st, err := statusOf(ctx, tx, id)
		if err != nil {
			return err
		}
		if err := s.settle(ctx, tx, by, &st, &prop, config, at); err != nil {
			return err
		}
		return st.keep(ctx, tx)
	})
	return prop, err
}

// Reject keeps what is pending from ever counting, as long as the registration is what it is. why is audited.
func (s *Sources) Reject(ctx context.Context, by access.Actor, id policies.RelyingPartyID, hash, why string, at int64) (Proposal, error) {
	var prop Proposal
	err := s.decide(ctx, by, id, hash, "rp.metadata.reject", at, func(ctx context.Context, tx *sql.Tx, _ string, found Proposal) error {
		prop = found
		prop.State, prop.DecidedAt, prop.DecidedBy, prop.Why = ProposalRejected, at, by.ID(), why
		if err := prop.decided(ctx, tx); err != nil {
			return err
		}
		return row(ctx, tx, by, id, "rp.metadata.reject", audit.Done, why, at, prop.detail())
	})
	return prop, err
}

// decide finds what is pending and holds that it is what was meant. A decision that is refused is audited too.
func (s *Sources) decide(ctx context.Context, by access.Actor, id policies.RelyingPartyID, hash, action string, at int64, fn func(ctx context.Context, tx *sql.Tx, config string, prop Proposal) error) error {
	err := s.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		_, config, _, err := locked(ctx, tx, id)
		if err != nil {
			return err
		}
		if by.Kind != access.KindPerson {
			return fmt.Errorf("metadata of %q: %w: a person of the directory decides; act with a credential (--as)", id, identity.ErrRefused)
		}
		var body string
		var created int64
		err = tx.QueryRowContext(ctx, `SELECT body, created_at FROM saml_proposal WHERE party = $1 AND state = 'pending'`, string(id)).Scan(&body, &created)
		if errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("metadata of %q: nothing is pending: %w", id, identity.ErrNotFound)
		}
		if err != nil {
			return fmt.Errorf("metadata of %q: %w", id, err)
		}
		var prop Proposal
		if err := json.Unmarshal([]byte(body), &prop); err != nil {
			return fmt.Errorf("metadata of %q: the proposal is damaged: %w", id, err)
		}
		prop.State, prop.CreatedAt = ProposalPending, created
		if len(hash) < MinHash || !strings.HasPrefix(prop.Hash, hash) {
			return fmt.Errorf("metadata of %q: %w; that is %.*s: look at it before you decide", id, ErrSwapped, MinHash, prop.Hash)
		}
		// What is stored is what was shown: a row that somebody changed in the database doesn't count.
		if again, err := prop.hash(); err != nil || again != prop.Hash {
			return errors.Join(err, fmt.Errorf("metadata of %q: %w: what is stored isn't what its hash says; fetch it anew", id, ErrSwapped))
		}
		return fn(ctx, tx, config, prop)
	})
	if why := refusal(err); why != "" {
		rerr := s.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
			return row(ctx, tx, by, id, action, audit.Refused, why, at, nil)
		})
		err = errors.Join(err, rerr)
	}
	return err
}

// refusal gives the word for a decision that was refused; empty for any other error.
func refusal(err error) string {
	for _, r := range []struct {
		err error
		why string
	}{
		{ErrSwapped, "swapped"}, {ErrStale, "stale"}, {ErrExpired, "expired"}, {identity.ErrExists, "entity_id_taken"}, {identity.ErrRefused, "not_a_person"},
	} {
		if errors.Is(err, r.err) {
			return r.why
		}
	}
	return ""
}

// settle registers what was proposed.
func (s *Sources) settle(ctx context.Context, tx *sql.Tx, by access.Actor, st *Status, prop *Proposal, config string, at int64) error {
	id := prop.Party
	if err := prop.Draft.Check(); err != nil {
		return fmt.Errorf("service provider %q: %w", id, err)
	}
	text, err := json.Marshal(prop.Draft)
	if err != nil {
		return fmt.Errorf("service provider %q: %w", id, err)
	}
	// The row is locked; that it still says what the proposal was made against is asked once more where it is written.
	err = record(ctx, tx, by, id, "rp.change", at, ErrStale, `UPDATE saml_party SET entity_id = $3, config = $4, updated_at = $5 WHERE id = $1 AND config = $2`,
		string(id), config, prop.Draft.EntityID, string(text), at)
	if err != nil {
		return err
	}
	prop.State, prop.DecidedAt, prop.DecidedBy = ProposalAccepted, at, by.ID()
	if err := prop.decided(ctx, tx); err != nil {
		return err
	}
	var old SP
	if err := json.Unmarshal([]byte(config), &old); err != nil {
		return fmt.Errorf("service provider %q: its configuration is damaged: %w", id, err)
	}
	st.leave(old, prop.Draft)
	st.ValidUntil, st.Terms = prop.ValidUntil, &prop.Terms
	if st.Compared == prop.Base {
		st.Compared = baseOf(string(text))
	}
	return row(ctx, tx, by, id, "rp.metadata.accept", audit.Done, "", at, prop.detail())
}

// decided keeps the decision, also of what was never pending.
func (p Proposal) decided(ctx context.Context, tx *sql.Tx) error {
	body, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("metadata of %q: %w", p.Party, err)
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO saml_proposal (party, hash, state, body, created_at, decided_at, decided_by, why) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
		ON CONFLICT (party, hash) DO UPDATE SET state = $3, body = $4, decided_at = $6, decided_by = $7, why = $8`,
		string(p.Party), p.Hash, string(p.State), string(body), max(p.CreatedAt, p.DecidedAt), p.DecidedAt, p.DecidedBy, p.Why)
	if err != nil {
		return fmt.Errorf("metadata of %q: %w", p.Party, err)
	}
	return nil
}

// Decided lists a provider's proposals that were accepted or rejected, the newest first, at most limit.
func (s *Sources) Decided(ctx context.Context, id policies.RelyingPartyID, limit int) ([]Proposal, error) {
	rows, err := s.db.Reader().QueryContext(ctx, `SELECT state, body, created_at, decided_at, decided_by, why FROM saml_proposal
		WHERE party = $1 AND state <> 'pending' ORDER BY decided_at DESC, hash LIMIT $2`, string(id), limit)
	if err != nil {
		return nil, fmt.Errorf("metadata of %q: %w", id, err)
	}
	defer rows.Close()
	var out []Proposal
	for rows.Next() {
		var p, kept Proposal
		var body string
		if err := rows.Scan(&kept.State, &body, &kept.CreatedAt, &kept.DecidedAt, &kept.DecidedBy, &kept.Why); err != nil {
			return nil, fmt.Errorf("metadata of %q: %w", id, err)
		}
		if err := json.Unmarshal([]byte(body), &p); err != nil {
			return nil, fmt.Errorf("metadata of %q: a proposal is damaged: %w", id, err)
		}
		p.State, p.CreatedAt, p.DecidedAt, p.DecidedBy, p.Why = kept.State, kept.CreatedAt, kept.DecidedAt, kept.DecidedBy, kept.Why
		out = append(out, p)
	}
	return out, rows.Err()
}
