package console

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/policies"
)

// How long a session stands: at most sessionLife, and sessionIdle without a request.
const (
	sessionLife = 8 * time.Hour
	sessionIdle = time.Hour
)

// seenEvery is how exactly a session's last request is kept: not each page view is worth a write.
const seenEvery = time.Minute

// seenWait is how long a page waits for that write when the database is busy with an import.
const seenWait = 2 * time.Second

// cookieName isn't __Host-: that prefix demands Secure, which browsers don't accept over plain HTTP on every loopback name.
const cookieName = "musubi_console"

// errNoSession says that the request carries no session that stands.
var errNoSession = errors.New("console: no session")

// errSessionEnded is errNoSession of a session that stood once: the page says why it doesn't any more.
var errSessionEnded = fmt.Errorf("%w: it has ended", errNoSession)

func setCookie(w http.ResponseWriter, value string, maxAge int) {
	// #nosec G124 -- no Secure: the pages are served on loopback, over plain HTTP
	http.SetCookie(w, &http.Cookie{
		Name: cookieName, Value: value, Path: "/", MaxAge: maxAge, HttpOnly: true, SameSite: http.SameSiteStrictMode,
	})
}

// cookieOf gives the session cookie's value; empty where there is none. Two of one name are none: who sent which is unknown.
func cookieOf(r *http.Request) string {
	cookies := r.CookiesNamed(cookieName)
	if len(cookies) != 1 || !wellFormed(cookies[0].Value) {
		return ""
	}
	return cookies[0].Value
}

// ticketed gives the person behind the session that a ticket opened. Everything is read anew: the session, the credential that it was begun with,
// the person. A session that has ended, or whose person or credential has, wraps errNoSession.
func (c *Console) ticketed(ctx context.Context, r *http.Request) (access.Actor, error) {
	cookie := cookieOf(r)
	if cookie == "" {
		return access.Actor{}, errNoSession
	}
	now := c.cfg.Now()
	var person, credential string
	var seenAt, expiresAt int64
	err := c.cfg.DB.Reader().QueryRowContext(ctx, `SELECT person_id, credential, seen_at, expires_at FROM console_session WHERE token_sha256 = $1`, tokenHash(cookie)).
		Scan(&person, &credential, &seenAt, &expiresAt)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return access.Actor{}, errSessionEnded
	case err != nil:
		return access.Actor{}, fmt.Errorf("read the session: %w", err)
	case now.UnixMicro() >= expiresAt, now.Sub(time.UnixMicro(seenAt)) >= sessionIdle:
		return access.Actor{}, errSessionEnded
	}
	if credential != "" {
		err := access.Standing(ctx, c.cfg.DB.Reader(), credential, policies.PersonID(person), now)
		if ended(err) {
			return access.Actor{}, fmt.Errorf("%w: %w", errSessionEnded, err)
		}
		if err != nil {
			return access.Actor{}, err
		}
	}
	actor, err := c.cfg.Resolver.Person(ctx, policies.PersonID(person))
	if errors.Is(err, access.ErrPersonEnded) {
		return access.Actor{}, fmt.Errorf("%w: %w", errSessionEnded, err)
	}
	if err != nil {
		return access.Actor{}, err
	}
	actor.Credential = credential
	if now.Sub(time.UnixMicro(seenAt)) >= seenEvery {
		c.seen(ctx, cookie, now)
	}
	return actor, nil
}

func ended(err error) bool {
	return errors.Is(err, access.ErrCredentialUnknown) || errors.Is(err, access.ErrCredentialExpired) || errors.Is(err, access.ErrCredentialRevoked)
}

// seen notes the request. Where the database is too busy for it, the session may end earlier than it should, never later.
func (c *Console) seen(ctx context.Context, cookie string, now time.Time) {
	ctx, cancel := context.WithTimeout(ctx, seenWait)
	defer cancel()
	err := c.cfg.DB.Group(ctx, func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE console_session SET seen_at = $1 WHERE token_sha256 = $2 AND seen_at < $1`, now.UnixMicro(), tokenHash(cookie))
		return err
	})
	if err != nil {
		c.cfg.Logger.WarnContext(ctx, "console: the session's last request wasn't noted", "error", err)
	}
}

// endSession ends the session of this cookie, with its audit row. There may be none.
func (c *Console) endSession(ctx context.Context, cookie string) error {
	if cookie == "" {
		return nil
	}
	err := c.cfg.DB.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		var person, credential string
		err := tx.QueryRowContext(ctx, `DELETE FROM console_session WHERE token_sha256 = $1 RETURNING person_id, credential`, tokenHash(cookie)).
			Scan(&person, &credential)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		row := sessionActor(policies.PersonID(person), credential).AuditRow(c.cfg.Now().UnixMicro(), "console.close", audit.Done)
		return audit.Append(ctx, tx, row)
	})
	if err != nil {
		return fmt.Errorf("end the session: %w", err)
	}
	return nil
}
