package mynumber

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/musubi-hub/musubi/identity/cert"
	"github.com/musubi-hub/musubi/identity/sqldb"
)

// The bounds of challenges.
const (
	ChallengeLife = 3 * time.Minute // time to enter a PIN and to sign
	MaxChallenges = 8               // of one attempt
	nonceSize     = 32
	maxNonce      = 64
)

// ErrTooMany says that an attempt asked for more challenges than it may.
var ErrTooMany = fmt.Errorf("mynumber: more than %d challenges for one attempt: begin the login again", MaxChallenges)

// errNoChallenge: no challenge of that nonce was made for this binding.
var errNoChallenge = errors.New("mynumber: no such challenge")

// Challenges is the table of challenges. It is safe for concurrent use on every node.
type Challenges struct {
	db     *sqldb.DB
	random io.Reader
}

// NewChallenges makes a table; random is cryptographic.
func NewChallenges(db *sqldb.DB, random io.Reader) *Challenges { return &Challenges{db, random} }

func ticketHash(ticket string) string {
	sum := sha256.Sum256([]byte(ticket))
	return hex.EncodeToString(sum[:])
}

// Issue makes and keeps a challenge. Its times are in whole seconds, as a card signs them.
func (c *Challenges) Issue(ctx context.Context, b Binding, at time.Time) (cert.Challenge, error) {
	if b.Login == "" || b.Ticket == "" {
		return cert.Challenge{}, errors.New("mynumber: a challenge without a login")
	}
	issued := at.UTC().Truncate(time.Second)
	out := cert.Challenge{
		Nonce: make([]byte, nonceSize), RelyingParty: b.RelyingParty, Purpose: b.Purpose, Issued: issued, Expires: issued.Add(ChallengeLife),
	}
	if _, err := io.ReadFull(c.random, out.Nonce); err != nil {
		return cert.Challenge{}, fmt.Errorf("mynumber: challenge: %w", err)
	}
	if _, err := out.Message(); err != nil { // the core would refuse the record later
		return cert.Challenge{}, fmt.Errorf("mynumber: challenge: %w", err)
	}
	err := c.db.Group(ctx, func(ctx context.Context, tx *sql.Tx) error {
		var n int
		err := tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM card_challenge WHERE ticket_sha256 = $1`, ticketHash(b.Ticket)).Scan(&n)
		if err != nil {
			return err
		}
		if n >= MaxChallenges {
			return ErrTooMany
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO card_challenge (nonce, login_id, ticket_sha256, relying_party, purpose, issued_at, expires_at, redeemed_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, 0)`,
			base64.RawURLEncoding.EncodeToString(out.Nonce), string(b.Login), ticketHash(b.Ticket), out.RelyingParty, out.Purpose,
			out.Issued.UnixMicro(), out.Expires.UnixMicro())
		return err
	})
	if err != nil {
		return cert.Challenge{}, fmt.Errorf("mynumber: keep a challenge: %w", err)
	}
	return out, nil
}

// Redeem takes a challenge and gives its record; Redeemed is true where somebody was first. Of parallel calls exactly one finds it false, on
// whatever node. A challenge of another login or ticket is errNoChallenge and stays as it is: nobody can use up what isn't theirs.
func (c *Challenges) Redeem(ctx context.Context, b Binding, nonce []byte, at time.Time) (record cert.Challenge, err error) {
	if len(nonce) == 0 || len(nonce) > maxNonce {
		return record, errNoChallenge
	}
	text := base64.RawURLEncoding.EncodeToString(nonce)
	// Not Group: whoever sends two of their own nonces to two nodes in two orders would make the nodes wait for each other, with all who share a commit.
	err = c.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, `UPDATE card_challenge SET redeemed_at = $1
			WHERE nonce = $2 AND login_id = $3 AND ticket_sha256 = $4 AND redeemed_at = 0`, at.UnixMicro(), text, string(b.Login), ticketHash(b.Ticket))
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		if err != nil {
			return err
		}
		var issued, expires int64
		err = tx.QueryRowContext(ctx, `SELECT relying_party, purpose, issued_at, expires_at FROM card_challenge
			WHERE nonce = $1 AND login_id = $2 AND ticket_sha256 = $3`, text, string(b.Login), ticketHash(b.Ticket)).
			Scan(&record.RelyingParty, &record.Purpose, &issued, &expires)
		if errors.Is(err, sql.ErrNoRows) {
			return errNoChallenge
		}
		record.Nonce, record.Redeemed = nonce, n != 1
		record.Issued, record.Expires = time.UnixMicro(issued).UTC(), time.UnixMicro(expires).UTC()
		return err
	})
	if err != nil && !errors.Is(err, errNoChallenge) {
		err = fmt.Errorf("mynumber: redeem a challenge: %w", err)
	}
	return record, err
}

// Prune removes at most limit challenges that expired before a time, used or not, and tells whether there were more. Keep them for as long as
// tickets live: a challenge that isn't there is refused all the same.
func (c *Challenges) Prune(ctx context.Context, before time.Time, limit int) (more bool, err error) {
	err = c.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, `DELETE FROM card_challenge WHERE nonce IN (
			SELECT nonce FROM card_challenge WHERE expires_at < $1 ORDER BY expires_at, nonce LIMIT $2)`, before.UnixMicro(), limit)
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		more = n == int64(limit)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("mynumber: prune challenges: %w", err)
	}
	return more, nil
}
