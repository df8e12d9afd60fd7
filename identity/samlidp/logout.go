package samlidp

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/samlidp/sp"
	"github.com/musubi-hub/musubi/policies"
)

// LogoutState is where the telling of one provider stands.
type LogoutState string

// The states. SOAP: pending -> delivered, partial, failed or unconfirmed. Front channel: untold -> unconfirmed -> delivered, partial or failed.
const (
	LogoutPending     LogoutState = "pending"     // a job tells it
	LogoutUntold      LogoutState = "untold"      // it wasn't told, and no job will
	LogoutUnconfirmed LogoutState = "unconfirmed" // it was told, or the browser was shown the way, and no signed answer says what it did
	LogoutDelivered   LogoutState = "delivered"   // its signed answer says that the session is over; or it asked itself
	LogoutPartial     LogoutState = "partial"     // likewise, but somebody behind it couldn't be told
	LogoutFailed      LogoutState = "failed"      // it refused, or didn't answer for a day
)

// Channel is how a provider is told.
type Channel string

// The channels.
const (
	ChannelSOAP  Channel = "soap"
	ChannelFront Channel = "front" // by the person's browser
	ChannelNone  Channel = "none"
	ChannelAsked Channel = "asked" // nobody tells it: the logout was its wish
)

// Logout is what a provider is told of the end of a session, and its receipt. Times are UTC in microseconds.
type Logout struct {
	ID           string
	RelyingParty policies.RelyingPartyID
	Network      policies.Network
	Session      identity.SessionID
	Channel      Channel
	State        LogoutState
	Tries        int
	Status       int    // HTTP status of the newest try by SOAP; 0 for no answer
	Why          string // machine-readable; empty where there is nothing to say
	Until        int64  // its session ends then at the latest (SessionNotOnOrAfter)
	CreatedAt    int64
	SettledAt    int64 // of a pending one: since when it waits again, where a person took it up again; else 0

	index, name string
	format      sp.NameID
	leave       string // the browser's way that took it
	request     string // ID of the newest request
	key         string // that signed it
	askedAt     int64  // when that was made
}

const logoutColumns = `id, party, network, session, session_index, name_id, format, channel, state, leave, request, tries, status, why, until,
	created_at, asked_at, settled_at, key_id`

func scanLogout(row interface{ Scan(to ...any) error }) (l Logout, err error) {
	err = row.Scan(&l.ID, &l.RelyingParty, &l.Network, &l.Session, &l.index, &l.name, &l.format, &l.Channel, &l.State, &l.leave, &l.request, &l.Tries, &l.Status,
		&l.Why, &l.Until, &l.CreatedAt, &l.askedAt, &l.SettledAt, &l.key)
	return l, err
}

func logoutsOf(ctx context.Context, q querier, where string, args ...any) (all []Logout, err error) {
	rows, err := q.QueryContext(ctx, `SELECT `+logoutColumns+` FROM saml_logout WHERE `+where, args...)
	if err != nil {
		return nil, fmt.Errorf("samlidp: logouts: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		l, err := scanLogout(rows)
		if err != nil {
			return nil, fmt.Errorf("samlidp: logouts: %w", err)
		}
		all = append(all, l)
	}
	return all, rows.Err()
}

func (l Logout) insert(ctx context.Context, tx *sql.Tx) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO saml_logout (`+logoutColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, '', '', 0, 0, $10, $11, $12, 0, $13, '')`,
		l.ID, string(l.RelyingParty), string(l.Network), string(l.Session), l.index, l.name, string(l.format), string(l.Channel), string(l.State), l.Why,
		l.Until, l.CreatedAt, l.SettledAt)
	if err != nil {
		return fmt.Errorf("samlidp: keep a logout: %w", err)
	}
	return nil
}

// ask makes a request the open one of a logout: its answer alone is a receipt from now on, and the one before counts no more. ok is false where it has moved on.
func (l *Logout) ask(ctx context.Context, tx *sql.Tx, to LogoutState, request string, at int64) (ok bool, err error) {
	res, err := tx.ExecContext(ctx, `UPDATE saml_logout SET state = $3, request = $4, asked_at = $5, tries = tries + 1, leave = $6, why = $7, key_id = $8 WHERE id = $1 AND state = $2`,
		l.ID, string(l.State), string(to), request, at, l.leave, l.Why, l.key)
	if err != nil {
		return false, fmt.Errorf("samlidp: ask for a logout: %w", err)
	}
	n, err := res.RowsAffected()
	if err != nil {
		return false, fmt.Errorf("samlidp: ask for a logout: %w", err)
	}
	l.State, l.request, l.askedAt = to, request, at
	l.Tries++
	return n == 1, nil
}

// settle keeps what came of the open request, once: a state that the row has left, or a request that isn't the open one, changes nothing.
func (p *Provider) settle(ctx context.Context, l Logout, state LogoutState, status int, why string) (ok bool, err error) {
	at := p.opt.Now().UnixMicro()
	from := l.State
	l.State, l.Status, l.Why = state, status, why
	if state != LogoutPending {
		l.SettledAt = at
	}
	err = p.opt.DB.Group(ctx, func(ctx context.Context, tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, `UPDATE saml_logout SET state = $4, status = $5, why = $6, settled_at = $7 WHERE id = $1 AND state = $2 AND request = $3`,
			l.ID, string(from), l.request, string(state), status, why, l.SettledAt)
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		if ok = n == 1; err != nil || !ok || state == LogoutPending {
			return err
		}
		return audit.Append(ctx, tx, l.row(at))
	})
	if err != nil {
		return false, fmt.Errorf("samlidp: keep the receipt of logout %s: %w", l.ID, err)
	}
	if ok && (state == LogoutDelivered || state == LogoutPartial) { // it answered what this key signed
		p.accepted(ctx, l.RelyingParty, l.Network, l.key, at)
	}
	return ok, nil
}

// row is the audit row of a receipt.
func (l Logout) row(at int64) audit.Row {
	outcome := audit.Refused
	if l.State == LogoutDelivered || l.State == LogoutPartial {
		outcome = audit.Done
	}
	return audit.Row{
		At: at, Actor: "saml", ActorKind: audit.ActorSystem, Action: "saml.logout.deliver", Outcome: outcome, Object: string(l.RelyingParty), Reason: l.Why,
		Detail: map[string]any{
			"logout": l.ID, "session": l.Session, "network": l.Network, "channel": l.Channel, "state": l.State, "status": l.Status, "tries": l.Tries,
		},
	}
}
