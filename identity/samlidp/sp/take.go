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

// Outcome says what came of a document.
type Outcome string

// The outcomes.
const (
	OutcomeSame     Outcome = "same"     // it is what is in force
	OutcomePending  Outcome = "pending"  // its differences wait for a person
	OutcomeAccepted Outcome = "accepted" // it was harmless and signed, and counts
	OutcomeRejected Outcome = "rejected" // a person rejected it before
	OutcomeFailed   Outcome = "failed"   // there is no document, or it isn't taken; what is in force stays so
)

// Result is what came of a document.
type Result struct {
	Outcome  Outcome
	Proposal *Proposal // with the differences; nil for same and failed
	Why      string    // it failed: a word for machines
	Error    string    // and for people
}

// Validators are what a server gave with a document, to be asked by the next time (RFC 9110, section 8.8).
type Validators struct{ ETag, Modified string }

// maxValidator bounds a validator, in bytes.
const maxValidator = 256

// Dry says what a document would come to, and keeps nothing.
func (s *Sources) Dry(ctx context.Context, id policies.RelyingPartyID, r Reading) (Result, error) {
	o, err := s.Of(ctx, id)
	if err != nil {
		return Result{}, err
	}
	prop, err := propose(o.SP, o.base, o.Status, r)
	switch {
	case err != nil:
		return Result{Outcome: OutcomeFailed, Why: "unregistrable", Error: err.Error()}, nil
	case len(prop.Changes) == 0:
		return Result{Outcome: OutcomeSame}, nil
	case prop.itself(o.Status.Source):
		return Result{Outcome: OutcomeAccepted, Proposal: &prop}, nil
	}
	return Result{Outcome: OutcomePending, Proposal: &prop}, nil
}

// Take compares a document with the registration and keeps what came of it: nothing to do, a proposal that waits for a person, or, where its
// source says so and the signer vouches for it, a change that is harmless. at is UTC in microseconds.
func (s *Sources) Take(ctx context.Context, by access.Actor, id policies.RelyingPartyID, r Reading, v Validators, at int64) (out Result, err error) {
	err = s.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		p, config, base, err := locked(ctx, tx, id)
		if err != nil {
			return err
		}
		st, err := statusOf(ctx, tx, id)
		if err != nil {
			return err
		}
		if r.under != st.Source.name() {
			return fmt.Errorf("metadata of %q: %w", id, ErrSource)
		}
		prop, err := propose(p, base, st, r)
		if err != nil {
			out, err = s.fail(ctx, tx, by, st, "unregistrable", err.Error(), at)
			return err
		}
		if r.Document != st.Document || by.Kind != access.KindSystem {
			if err := row(ctx, tx, by, id, "rp.metadata.fetch", audit.Done, "", at, map[string]any{"document": r.Document, "verified": r.Verified, "from": kindOf(r.From)}); err != nil {
				return err
			}
		}
		st.read(r, v, base, at)
		switch {
		case len(prop.Changes) == 0:
			out = Result{Outcome: OutcomeSame}
			st.ValidUntil, st.Terms = r.ValidUntil, &prop.Terms
			err = s.withdraw(ctx, tx, by, id, "", "gone", at)
		case prop.itself(st.Source):
			out = Result{Outcome: OutcomeAccepted, Proposal: &prop}
			if err = s.withdraw(ctx, tx, by, id, "", "superseded", at); err == nil {
				err = s.settle(ctx, tx, by, &st, &prop, config, at)
			}
		default:
			out, err = s.wait(ctx, tx, by, prop, at)
		}
		if err != nil {
			return err
		}
		return st.keep(ctx, tx)
	})
	return out, err
}

// kindOf tells an address from a file, without its text.
func kindOf(from string) string {
	if strings.HasPrefix(from, "https://") {
		return "address"
	}
	return "file"
}

// read takes down that a document was taken to be read.
func (st *Status) read(r Reading, v Validators, base string, at int64) {
	st.TriedAt, st.ReadAt = at, at
	st.Why, st.Error, st.Fails, st.FailsSince = "", "", 0, 0
	if kindOf(r.From) == "file" {
		st.Compared = "" // the address's own document is read whole the next time
		return
	}
	st.Document, st.Compared, st.Expires = r.Document, base, r.ValidUntil
	st.ETag, st.Modified = "", ""
	if len(v.ETag) <= maxValidator && len(v.Modified) <= maxValidator {
		st.ETag, st.Modified = v.ETag, v.Modified
	}
	if st.Source.Address != "" {
		st.NextAt = next(st.Party, r.Cache, at)
	}
}

// wait keeps a proposal for a person. What was rejected stays so for the hub itself; a person who fetches it sees it again.
func (s *Sources) wait(ctx context.Context, tx *sql.Tx, by access.Actor, prop Proposal, at int64) (Result, error) {
	id := prop.Party
	if err := s.withdraw(ctx, tx, by, id, prop.Hash, "superseded", at); err != nil {
		return Result{}, err
	}
	var state ProposalState
	err := tx.QueryRowContext(ctx, `SELECT state FROM saml_proposal WHERE party = $1 AND hash = $2`, string(id), prop.Hash).Scan(&state)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return Result{}, fmt.Errorf("metadata of %q: %w", id, err)
	}
	if state == ProposalRejected && by.Kind == access.KindSystem {
		return Result{Outcome: OutcomeRejected, Proposal: &prop}, nil
	}
	body, err := json.Marshal(prop)
	if err != nil {
		return Result{}, fmt.Errorf("metadata of %q: %w", id, err)
	}
	prop.CreatedAt = at
	out := Result{Outcome: OutcomePending, Proposal: &prop}
	if state == ProposalPending {
		_, err := tx.ExecContext(ctx, `UPDATE saml_proposal SET body = $3 WHERE party = $1 AND hash = $2`, string(id), prop.Hash, string(body))
		return out, err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO saml_proposal (party, hash, state, body, created_at, decided_at, decided_by, why) VALUES ($1, $2, 'pending', $3, $4, 0, '', '')
		ON CONFLICT (party, hash) DO UPDATE SET state = 'pending', body = $3, created_at = $4, decided_at = 0, decided_by = '', why = ''`,
		string(id), prop.Hash, string(body), at)
	if err != nil {
		return Result{}, fmt.Errorf("metadata of %q: %w", id, err)
	}
	if err := row(ctx, tx, by, id, "rp.metadata.propose", audit.Done, "", at, prop.detail()); err != nil {
		return Result{}, err
	}
	return out, s.notice(ctx, tx, identity.Notice{
		ID: fmt.Sprintf("rp-metadata %s %.32s %d", id, prop.Hash, at), At: at, Kind: identity.NoticeMetadata, Object: string(id), Detail: prop.Hash[:12],
	})
}

func (s *Sources) notice(ctx context.Context, tx *sql.Tx, n identity.Notice) error {
	if s.tell == nil {
		return nil
	}
	return s.tell.EnqueueNotice(ctx, tx, n)
}

func (p Proposal) detail() map[string]any {
	kinds := make([]string, 0, len(p.Changes))
	for _, c := range p.Changes {
		kinds = append(kinds, string(c.Kind))
	}
	return map[string]any{"hash": p.Hash, "document": p.Document, "verified": p.Verified, "changes": kinds}
}

// Unchanged takes down that the server has nothing newer than the last document.
func (s *Sources) Unchanged(ctx context.Context, id policies.RelyingPartyID, at int64) error {
	return s.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if _, _, _, err := locked(ctx, tx, id); err != nil {
			return err
		}
		st, err := statusOf(ctx, tx, id)
		if err != nil {
			return err
		}
		st.TriedAt, st.ReadAt = at, at
		st.Why, st.Error, st.Fails, st.FailsSince = "", "", 0, 0
		if st.Source.Address != "" {
			st.NextAt = next(id, 0, at)
		}
		return st.keep(ctx, tx)
	})
}

// Fail takes down that there is no document, or that it isn't taken. What is in force stays so. why is a word for machines, text is for people.
func (s *Sources) Fail(ctx context.Context, by access.Actor, id policies.RelyingPartyID, why, text string, at int64) (out Result, err error) {
	err = s.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if _, _, _, err := locked(ctx, tx, id); err != nil {
			return err
		}
		st, err := statusOf(ctx, tx, id)
		if err != nil {
			return err
		}
		out, err = s.fail(ctx, tx, by, st, why, text, at)
		return err
	})
	return out, err
}

// maxError bounds what is kept of an error, in bytes.
const maxError = 1000

func (s *Sources) fail(ctx context.Context, tx *sql.Tx, by access.Actor, st Status, why, text string, at int64) (Result, error) {
	if why != st.Why || by.Kind != access.KindSystem { // the same failure each day is one row
		if err := row(ctx, tx, by, st.Party, "rp.metadata.fetch", audit.Refused, why, at, nil); err != nil {
			return Result{}, err
		}
	}
	if len(text) > maxError {
		text = text[:maxError]
	}
	text = strings.ToValidUTF8(text, "")
	st.TriedAt, st.Why, st.Error = at, why, text
	if st.Fails++; st.FailsSince == 0 {
		st.FailsSince = at
	}
	if st.Source.Address != "" {
		st.NextAt = retry(st.Fails, at)
	}
	if at-st.FailsSince >= overdueTell.Microseconds() {
		err := s.notice(ctx, tx, identity.Notice{
			ID: fmt.Sprintf("rp-metadata-fails %s %d", st.Party, st.FailsSince), At: at, Kind: identity.NoticeMetadataFails, Object: string(st.Party), Detail: why,
		})
		if err != nil {
			return Result{}, err
		}
	}
	return Result{Outcome: OutcomeFailed, Why: why, Error: text}, st.keep(ctx, tx)
}
