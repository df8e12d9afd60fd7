package samlidp

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/samlidp/sp"
	"github.com/musubi-hub/musubi/identity/session"
)

// Endings is the session.Hook of the provider. It is apart from it because sessions also end where no provider serves: by a command, by the
// directory's activation of a date.
type Endings struct {
	Parties *sp.Registry
	Enqueue access.LogoutEnqueuer
	Now     func() time.Time
	Random  io.Reader // cryptographically strong
}

var _ session.Hook = Endings{}

// SessionEnded ends what the session gave, and writes for each provider that was told of it how it hears of the end: by SOAP, which a job does; by the
// front channel, if a browser comes by; or not at all.
func (e Endings) SessionEnded(ctx context.Context, tx *sql.Tx, s session.Session, _ []session.Party) error {
	at := e.Now().UnixMicro()
	all, err := givenBy(ctx, tx, s.ID, at)
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `UPDATE saml_grant SET ended_at = $2 WHERE session = $1 AND ended_at = 0`, string(s.ID), at); err != nil {
		return fmt.Errorf("samlidp: end the grants of a session: %w", err)
	}
	for _, l := range all {
		l.CreatedAt = at
		l.Channel, l.State, l.Why = ChannelNone, LogoutUntold, "no_endpoint"
		rp, err := e.Parties.SP(ctx, tx, l.RelyingParty)
		switch {
		case errors.Is(err, identity.ErrNotFound):
			l.Why = "party_removed"
		case err != nil:
			return err
		default:
			l.channel(rp)
		}
		if err := e.keep(ctx, tx, l); err != nil {
			return err
		}
	}
	return nil
}

// channel chooses how the provider is told. SOAP first: it needs no browser and has an answer at once.
func (l *Logout) channel(rp sp.SP) {
	face, ok := rp.Face(l.Network)
	if !ok {
		l.Why = "address_removed"
		return
	}
	if _, ok := logoutAt(face, sp.BindingSOAP); ok {
		l.Channel, l.State, l.Why = ChannelSOAP, LogoutPending, ""
	} else if _, ok := whereTo(face); ok {
		l.Channel, l.Why = ChannelFront, "no_browser"
	}
}

func (e Endings) keep(ctx context.Context, tx *sql.Tx, l Logout) error {
	var b [16]byte
	if _, err := io.ReadFull(e.Random, b[:]); err != nil {
		return fmt.Errorf("samlidp: no randomness: %w", err)
	}
	l.ID = hex.EncodeToString(b[:])
	if err := l.insert(ctx, tx); err != nil {
		return err
	}
	if l.Channel != ChannelSOAP {
		return nil
	}
	return e.Enqueue.EnqueueLogout(ctx, tx, l.ID)
}

// givenBy gives what providers were told of a session that they may still hold: one for each name, without those who asked to end it themselves.
func givenBy(ctx context.Context, q querier, id identity.SessionID, at int64) (all []Logout, err error) {
	rows, err := q.QueryContext(ctx, `SELECT party, network, session_index, name_id, format, MAX(expires_at) FROM saml_grant
		WHERE session = $1 AND ended_at = 0 AND asked_at = 0 AND expires_at > $2
		GROUP BY party, network, session_index, name_id, format ORDER BY party, session_index, name_id`, string(id), at)
	if err != nil {
		return nil, fmt.Errorf("samlidp: grants of a session: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		l := Logout{Session: id}
		if err := rows.Scan(&l.RelyingParty, &l.Network, &l.index, &l.name, &l.format, &l.Until); err != nil {
			return nil, fmt.Errorf("samlidp: grants of a session: %w", err)
		}
		all = append(all, l)
	}
	return all, rows.Err()
}

// SessionEnded implements session.Hook by Endings.
func (p *Provider) SessionEnded(ctx context.Context, tx *sql.Tx, s session.Session, parties []session.Party) error {
	return Endings{p.opt.Parties, p.opt.Enqueue, p.opt.Now, p.opt.Random}.SessionEnded(ctx, tx, s, parties)
}
