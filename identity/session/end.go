package session

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/policies"
)

// List gives the sessions of the person behind own that stand, newest first: where else am I logged in.
func (s *Store) List(ctx context.Context, own Session, now time.Time) ([]Session, error) {
	return query(ctx, s.db.Reader(), `person_id = $1 AND ended_at = 0 AND created_at > $2 ORDER BY created_at DESC, id`,
		string(own.Person), now.Add(-MaxAge).UnixMicro())
}

// EndOwn ends a session of the person behind own, own or another, and nobody else's.
func (s *Store) EndOwn(ctx context.Context, own Session, id identity.SessionID, now time.Time) error {
	why := WhyOwnList
	if id == own.ID {
		why = WhyLogout
	}
	return s.endAll(ctx, by(own.Person), why, now, `id = $1 AND person_id = $2`, true, string(id), string(own.Person))
}

// Logout ends the session of a secret, by its person. It is no error where there is none.
func (s *Store) Logout(ctx context.Context, secret Secret, now time.Time) error {
	if secret.Zero() {
		return nil
	}
	return s.endAll(ctx, access.Actor{}, WhyLogout, now, `secret_sha256 = $1`, false, secret.Hash())
}

// LogoutByParty ends a session at the wish of a relying party that was told of it and has shown that the wish is the person's.
func (s *Store) LogoutByParty(ctx context.Context, id identity.SessionID, party policies.RelyingPartyID, now time.Time) error {
	return s.endAll(ctx, access.Actor{}, WhyLogout, now,
		`id = $1 AND EXISTS (SELECT 1 FROM session_party p WHERE p.session_id = session.id AND p.relying_party = $2)`, true, string(id), string(party))
}

// EndByAdministrator ends all sessions of a person. scope is the actor's for people.write and covers the person's organization.
func (s *Store) EndByAdministrator(ctx context.Context, tx *sql.Tx, actor access.Actor, scope policies.Scope, person identity.Person, why Why, now time.Time) error {
	if !scope.For(policies.ActionPeopleWrite) || !scope.Covers(person.Org) || actor.ID() == "" || scope.Actor() != actor.ScopeActor() {
		return fmt.Errorf("session: end a person's sessions: %w: it takes one's own right to %s on the organization", identity.ErrRefused, policies.ActionPeopleWrite)
	}
	return s.endIn(ctx, tx, actor, why, now.UnixMicro(), `person_id = $1`, false, string(person.ID))
}

// EndPerson ends all sessions of a person, in the transaction that ends the person.
func (s *Store) EndPerson(ctx context.Context, tx *sql.Tx, person policies.PersonID, why Why, at int64) error {
	return s.endIn(ctx, tx, access.Actor{}, why, at, `person_id = $1`, false, string(person))
}

// EndCredential ends all sessions that a credential opened, in the transaction that takes the credential away.
func (s *Store) EndCredential(ctx context.Context, tx *sql.Tx, method identity.MethodID, credential string, why Why, at int64) error {
	return s.endIn(ctx, tx, access.Actor{}, why, at, `credential = $1 AND method = $2`, false, credential, string(method))
}

func by(person policies.PersonID) access.Actor {
	return access.Actor{Kind: access.KindPerson, Person: identity.Person{ID: person}}
}

func (s *Store) endAll(ctx context.Context, actor access.Actor, why Why, now time.Time, where string, must bool, args ...any) error {
	return s.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		return s.endIn(ctx, tx, actor, why, now.UnixMicro(), where, must, args...)
	})
}

func (s *Store) endIn(ctx context.Context, tx *sql.Tx, actor access.Actor, why Why, at int64, where string, must bool, args ...any) error {
	found, err := query(ctx, tx, where+` AND ended_at = 0 ORDER BY id`, args...)
	if err != nil {
		return err
	}
	if must && len(found) == 0 {
		return fmt.Errorf("session: end: %w", identity.ErrNotFound)
	}
	for _, x := range found {
		if err := s.end(ctx, tx, actor, x, why, at); err != nil {
			return err
		}
	}
	return nil
}

// end ends one session, once. The zero actor stands for the session's own person, but where service has ended.
func (s *Store) end(ctx context.Context, tx *sql.Tx, actor access.Actor, x Session, why Why, at int64) error {
	res, err := tx.ExecContext(ctx, `UPDATE session SET ended_at = $1, ended_why = $2 WHERE id = $3 AND ended_at = 0`, at, string(why), string(x.ID))
	if err != nil {
		return fmt.Errorf("session: end: %w", err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 { // somebody else was first, and has told
		return err
	}
	x.EndedAt, x.EndedWhy = at, why
	parties, err := partiesOf(ctx, tx, x.ID)
	if err != nil {
		return err
	}
	if actor.ID() == "" {
		actor = by(x.Person)
		if why == WhyPerson || why == WhyCard || why == WhyPassword {
			actor = access.System(policies.TaskSession)
		}
	}
	row := actor.AuditRow(at, "session.end", audit.Done)
	row.Org, row.Object, row.Reason = x.Org, string(x.ID), string(why)
	if row.Detail == nil {
		row.Detail = map[string]any{}
	}
	row.Detail["person"], row.Detail["parties"] = string(x.Person), len(parties)
	if err := audit.Append(ctx, tx, row); err != nil {
		return err
	}
	for _, h := range s.hooks {
		if err := h.SessionEnded(ctx, tx, x, parties); err != nil {
			return fmt.Errorf("session: tell of the end: %w", err)
		}
	}
	return nil
}

func partiesOf(ctx context.Context, q Querier, id identity.SessionID) (all []Party, err error) {
	rows, err := q.QueryContext(ctx, `SELECT relying_party, issuer, at FROM session_party WHERE session_id = $1 ORDER BY relying_party, issuer`, string(id))
	if err != nil {
		return nil, fmt.Errorf("session: relying parties: %w", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var p Party
		if err := rows.Scan(&p.RelyingParty, &p.Issuer, &p.At); err != nil {
			return nil, fmt.Errorf("session: relying parties: %w", err)
		}
		all = append(all, p)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("session: relying parties: %w", err)
	}
	return all, nil
}

// Sweep ends sessions that are older than MaxAge, so that their relying parties hear of it, and removes what ended before keep. It does at
// most limit of each, and tells whether there was more.
func (s *Store) Sweep(ctx context.Context, now time.Time, keep time.Duration, limit int) (more bool, err error) {
	err = s.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		old, err := query(ctx, tx, `ended_at = 0 AND created_at <= $1 ORDER BY created_at, id LIMIT $2`, now.Add(-MaxAge).UnixMicro(), limit)
		if err != nil {
			return err
		}
		for _, x := range old {
			if err := s.end(ctx, tx, access.System(policies.TaskSession), x, WhyTooOld, now.UnixMicro()); err != nil {
				return err
			}
		}
		gone, err := query(ctx, tx, `ended_at > 0 AND ended_at <= $1 ORDER BY ended_at, id LIMIT $2`, now.Add(-keep).UnixMicro(), limit)
		if err != nil {
			return err
		}
		for _, x := range gone {
			for _, statement := range []string{`DELETE FROM session_party WHERE session_id = $1`, `DELETE FROM session WHERE id = $1`} {
				if _, err := tx.ExecContext(ctx, statement, string(x.ID)); err != nil {
					return fmt.Errorf("session: sweep: %w", err)
				}
			}
		}
		more = len(old) == limit || len(gone) == limit
		return nil
	})
	return more, err
}

// Leavers ends a leaver's sessions inside the transaction that ends the person, and passes everything on to the engine of jobs.
type Leavers struct {
	access.Enqueuer
	Sessions *Store
}

// EnqueueLeaver implements access.Enqueuer.
func (l Leavers) EnqueueLeaver(ctx context.Context, tx *sql.Tx, leavers ...access.Leaver) error {
	for _, leaver := range leavers {
		if err := l.Sessions.EndPerson(ctx, tx, leaver.Person, WhyPerson, leaver.At); err != nil {
			return err
		}
	}
	return l.Enqueuer.EnqueueLeaver(ctx, tx, leavers...)
}

var _ access.Enqueuer = Leavers{}
