package login

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/musubi-hub/musubi/identity"
)

const requestColumns = `id, issuer, relying_party, facts, network, required, force_login, passive, choose_post, max_age, hint_person,
	browser_sha256, created_at, expires_at, state, attempts, proof, pending, post`

type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func hashOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func insert(ctx context.Context, tx *sql.Tx, r Request) error {
	maxAge := int64(-1)
	if r.HasMaxAge {
		maxAge = r.MaxAge.Microseconds()
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO login_request (`+requestColumns+`)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)`,
		string(r.ID), string(r.Issuer), string(r.RelyingParty), string(r.Facts), string(r.Network), int64(r.Required), flag(r.Force), flag(r.Passive),
		flag(r.Choose), maxAge, string(r.Person), r.browser, r.CreatedAt, r.ExpiresAt, string(r.State), 0, "", "", "")
	if err != nil {
		return fmt.Errorf("login: keep the request: %w", err)
	}
	return nil
}

// read gives identity.ErrNotFound where there is none.
func read(ctx context.Context, q querier, id identity.LoginID) (r Request, err error) {
	var facts, proof, pending string
	var force, passive, choose, maxAge int64
	err = q.QueryRowContext(ctx, `SELECT `+requestColumns+` FROM login_request WHERE id = $1`, string(id)).Scan(
		&r.ID, &r.Issuer, &r.RelyingParty, &facts, &r.Network, &r.Required, &force, &passive, &choose, &maxAge, &r.Person,
		&r.browser, &r.CreatedAt, &r.ExpiresAt, &r.State, &r.Attempts, &proof, &pending, &r.Post)
	if errors.Is(err, sql.ErrNoRows) {
		return Request{}, fmt.Errorf("login request: %w", identity.ErrNotFound)
	}
	if err != nil {
		return Request{}, fmt.Errorf("login: read the request: %w", err)
	}
	r.Facts = json.RawMessage(facts)
	r.Force, r.Passive, r.Choose = force == 1, passive == 1, choose == 1
	if r.HasMaxAge = maxAge >= 0; r.HasMaxAge {
		r.MaxAge = time.Duration(maxAge) * time.Microsecond
	}
	if r.Proof, err = proofOf(proof); err != nil {
		return Request{}, err
	}
	if r.Pending, err = proofOf(pending); err != nil {
		return Request{}, err
	}
	return r, nil
}

func proofOf(text string) (*Proof, error) {
	if text == "" {
		return nil, nil
	}
	p := new(Proof)
	if err := json.Unmarshal([]byte(text), p); err != nil {
		return nil, fmt.Errorf("login: a stored proof isn't JSON: %w", err)
	}
	return p, nil
}

func textOf(p *Proof) (string, error) {
	if p == nil {
		return "", nil
	}
	b, err := json.Marshal(p)
	if err != nil {
		return "", fmt.Errorf("login: keep the proof: %w", err)
	}
	return string(b), nil
}

// errNot says that the row wasn't in the state that the change needs: somebody else was first.
var errNot = errors.New("login: the row has moved on")

func one(res sql.Result, err error) error {
	if err != nil {
		return fmt.Errorf("login: %w", err)
	}
	n, err := res.RowsAffected()
	if err != nil {
		return fmt.Errorf("login: %w", err)
	}
	if n != 1 {
		return errNot
	}
	return nil
}

// settle moves an open request to its end, once.
func settle(ctx context.Context, tx *sql.Tx, id identity.LoginID, to State) error {
	return one(tx.ExecContext(ctx, `UPDATE login_request SET state = $1, proof = '', pending = '' WHERE id = $2 AND state = $3`, string(to), string(id), string(StateOpen)))
}

// count takes one of the request's attempts.
func count(ctx context.Context, tx *sql.Tx, id identity.LoginID) error {
	return one(tx.ExecContext(ctx, `UPDATE login_request SET attempts = attempts + 1 WHERE id = $1 AND state = $2 AND attempts < $3`,
		string(id), string(StateOpen), MaxAttempts))
}

func keepProofs(ctx context.Context, tx *sql.Tx, r Request) error {
	proof, err := textOf(r.Proof)
	if err != nil {
		return err
	}
	pending, err := textOf(r.Pending)
	if err != nil {
		return err
	}
	return one(tx.ExecContext(ctx, `UPDATE login_request SET proof = $1, pending = $2 WHERE id = $3 AND state = $4`,
		proof, pending, string(r.ID), string(StateOpen)))
}

// attempt is a stored try of a method.
type attempt struct {
	request   identity.LoginID
	method    identity.MethodID
	expiresAt int64
	used      bool
}

func insertAttempt(ctx context.Context, tx *sql.Tx, ticket string, a attempt, at int64) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO login_attempt (ticket_sha256, request_id, method, created_at, expires_at, used_at, code_sha256, proof, returned_at)
		VALUES ($1, $2, $3, $4, $5, 0, '', '', 0)`, hashOf(ticket), string(a.request), string(a.method), at, a.expiresAt)
	if err != nil {
		return fmt.Errorf("login: keep the attempt: %w", err)
	}
	return nil
}

func readAttempt(ctx context.Context, q querier, ticket string) (a attempt, err error) {
	var usedAt int64
	err = q.QueryRowContext(ctx, `SELECT request_id, method, expires_at, used_at FROM login_attempt WHERE ticket_sha256 = $1`, hashOf(ticket)).
		Scan(&a.request, &a.method, &a.expiresAt, &usedAt)
	if errors.Is(err, sql.ErrNoRows) {
		return a, fmt.Errorf("login attempt: %w", identity.ErrNotFound)
	}
	if err != nil {
		return a, fmt.Errorf("login: read the attempt: %w", err)
	}
	a.used = usedAt != 0
	return a, nil
}

func useTicket(ctx context.Context, tx *sql.Tx, ticket string, at int64) error {
	return one(tx.ExecContext(ctx, `UPDATE login_attempt SET used_at = $1 WHERE ticket_sha256 = $2 AND used_at = 0 AND expires_at > $1`, at, hashOf(ticket)))
}

func keepReturn(ctx context.Context, tx *sql.Tx, ticket, code string, p Proof) error {
	text, err := textOf(&p)
	if err != nil {
		return err
	}
	return one(tx.ExecContext(ctx, `UPDATE login_attempt SET code_sha256 = $1, proof = $2 WHERE ticket_sha256 = $3 AND used_at > 0 AND code_sha256 = ''`,
		hashOf(code), text, hashOf(ticket)))
}

// takeReturn gives what the code brings back to its request, once; errNot where there is nothing.
func takeReturn(ctx context.Context, tx *sql.Tx, id identity.LoginID, code string, at int64) (Proof, error) {
	var text string
	err := tx.QueryRowContext(ctx, `UPDATE login_attempt SET returned_at = $1
		WHERE code_sha256 = $2 AND request_id = $3 AND returned_at = 0 AND expires_at > $1 RETURNING proof`, at, hashOf(code), string(id)).Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		return Proof{}, errNot
	}
	if err != nil {
		return Proof{}, fmt.Errorf("login: take the return: %w", err)
	}
	p, err := proofOf(text)
	if err != nil || p == nil {
		return Proof{}, errors.Join(errNot, err)
	}
	return *p, nil
}

// keepFor is how long settled and expired requests are kept, so that a late browser hears what happened.
const keepFor = 24 * time.Hour

// Sweep removes requests, with their attempts, a day after their end. It does at most limit, and tells whether there was more.
func (d *Dispatcher) Sweep(ctx context.Context, limit int) (more bool, err error) {
	before := d.cfg.Now().Add(-keepFor).UnixMicro()
	err = d.cfg.DB.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		const old = `SELECT id FROM login_request WHERE expires_at <= $1 ORDER BY expires_at, id LIMIT $2`
		if _, err := tx.ExecContext(ctx, `DELETE FROM login_attempt WHERE request_id IN (`+old+`)`, before, limit); err != nil {
			return fmt.Errorf("login: sweep: %w", err)
		}
		res, err := tx.ExecContext(ctx, `DELETE FROM login_request WHERE id IN (`+old+`)`, before, limit)
		if err != nil {
			return fmt.Errorf("login: sweep: %w", err)
		}
		n, err := res.RowsAffected()
		more = n == int64(limit)
		return err
	})
	return more, err
}
