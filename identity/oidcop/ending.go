package oidcop

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/oidcop/party"
	"github.com/musubi-hub/musubi/identity/session"
)

// Endings is the session.Hook of the provider. It is apart from it because sessions also end where no provider serves: by a command, by the
// directory's activation of a date.
type Endings struct {
	Parties *party.Registry
	Enqueue access.LogoutEnqueuer
	Now     func() time.Time
	Random  io.Reader // cryptographically strong
}

var _ session.Hook = Endings{}

// SessionEnded ends what the session gave, and writes the back-channel logouts to deliver, in the transaction that ends the session.
func (e Endings) SessionEnded(ctx context.Context, tx *sql.Tx, s session.Session, _ []session.Party) error {
	at := e.Now().UnixMicro()
	all, err := toldOf(ctx, tx, s.ID)
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `UPDATE oidc_grant SET ended_at = $2, ended_why = $3 WHERE session = $1 AND ended_at = 0`,
		string(s.ID), at, "session_ended"); err != nil {
		return fmt.Errorf("oidcop: end the grants of a session: %w", err)
	}
	for _, t := range all {
		rp, err := e.Parties.Party(ctx, tx, t.party)
		if errors.Is(err, identity.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		if err := e.enqueue(ctx, tx, s, t, rp, at); err != nil {
			return err
		}
	}
	return nil
}

func (e Endings) enqueue(ctx context.Context, tx *sql.Tx, s session.Session, t told, rp party.Party, at int64) error {
	face, ok := rp.Face(t.network)
	if !ok || face.Backchannel == "" {
		return nil
	}
	id, err := newID(e.Random)
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO oidc_logout (id, party, network, session, sid, sub, state, tries, status, why, created_at, settled_at)
		VALUES ($1, $2, $3, $4, $5, $6, 'pending', 0, 0, '', $7, 0)`, id, string(t.party), string(t.network), string(s.ID), t.sid, t.sub, at); err != nil {
		return fmt.Errorf("oidcop: keep a logout: %w", err)
	}
	return e.Enqueue.EnqueueLogout(ctx, tx, id)
}

// SessionEnded implements session.Hook by Endings.
func (p *Provider) SessionEnded(ctx context.Context, tx *sql.Tx, s session.Session, parties []session.Party) error {
	return Endings{p.opt.Parties, p.opt.Enqueue, p.opt.Now, p.opt.Random}.SessionEnded(ctx, tx, s, parties)
}
