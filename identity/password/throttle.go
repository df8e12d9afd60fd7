package password

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// bucket is a leaky bucket: burst tries at once, then one each interval.
type bucket struct {
	key      string
	burst    int64
	interval time.Duration
}

// The limits of wrong passwords.
var (
	perPair    = bucket{burst: 10, interval: 90 * time.Second}  // an account from one address
	perAddress = bucket{burst: 200, interval: 10 * time.Second} // one address, which may be a whole town's, over all accounts
	perAccount = bucket{burst: 100, interval: 30 * time.Second} // an account, over all addresses that it doesn't know
)

// key is unambiguous: each part stands with its length.
func key(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		h.Write([]byte(strconv.Itoa(len(p)) + ":" + p))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// place gives what counts as one address: a whole /64 of IPv6, which one subscriber has for itself.
func place(address string) string {
	a, err := netip.ParseAddr(address)
	if err != nil {
		return "unknown" // all of these share one bucket
	}
	a = a.Unmap().WithZone("")
	if a.Is6() {
		p, err := a.Prefix(64)
		if err != nil {
			return "unknown"
		}
		return p.String()
	}
	return a.String()
}

// buckets gives the counters of a try.
func buckets(account, at string, known bool) []bucket {
	pair, address := perPair, perAddress
	pair.key, address.key = key("pair", account, at), key("address", at)
	all := []bucket{pair, address}
	if !known {
		b := perAccount
		b.key = key("account", account)
		all = append(all, b)
	}
	return all
}

var errThrottled = errors.New("password: too many wrong tries")

// take counts a try in every bucket, or in none and gives errThrottled.
func take(ctx context.Context, tx *sql.Tx, bs []bucket, now int64) error {
	for _, b := range bs {
		step := b.interval.Microseconds()
		var tat int64
		err := tx.QueryRowContext(ctx, `INSERT INTO password_throttle (key, tat) VALUES ($1, $2)
			ON CONFLICT (key) DO UPDATE SET tat = CASE WHEN password_throttle.tat > $3 THEN password_throttle.tat ELSE $3 END + $4
			WHERE password_throttle.tat <= $5 RETURNING tat`,
			b.key, now+step, now, step, now+(b.burst-1)*step).Scan(&tat)
		if errors.Is(err, sql.ErrNoRows) {
			return errThrottled // the transaction is undone, and with it what other buckets counted
		}
		if err != nil {
			return fmt.Errorf("password: count the try: %w", err)
		}
	}
	return nil
}

// giveBack takes a right password's count away again.
func giveBack(ctx context.Context, tx *sql.Tx, bs []bucket) error {
	for _, b := range bs {
		if _, err := tx.ExecContext(ctx, `UPDATE password_throttle SET tat = tat - $1 WHERE key = $2`, b.interval.Microseconds(), b.key); err != nil {
			return fmt.Errorf("password: give the try back: %w", err)
		}
	}
	return nil
}

// Sweep removes counters that have forgotten everything. It does at most limit, and tells whether there was more.
func (s *Store) Sweep(ctx context.Context, now time.Time, limit int) (more bool, err error) {
	err = s.cfg.DB.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, `DELETE FROM password_throttle WHERE key IN (SELECT key FROM password_throttle WHERE tat <= $1 ORDER BY tat LIMIT $2)`,
			now.UnixMicro(), limit)
		if err != nil {
			return fmt.Errorf("password: sweep: %w", err)
		}
		n, err := res.RowsAffected()
		more = n == int64(limit)
		return err
	})
	return more, err
}

// account gives what a login name is counted under: the same for every way to write it, and for names that nobody has.
func account(name string) string { return key("name", strings.ToLower(strings.TrimSpace(name))) }
