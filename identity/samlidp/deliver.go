package samlidp

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/samlidp/sp"
	"github.com/musubi-hub/musubi/identity/samlidp/wire"
)

const deliverTimeout = 5 * time.Second

// Deliver tells one provider by SOAP (SAML 2.0 Bindings, section 3.2), and keeps its receipt: what its signed answer to this very request says. What is
// settled isn't sent again. The error wraps access.ErrUndelivered where trying again may help.
func (p *Provider) Deliver(ctx context.Context, id string) error {
	l, err := p.logoutByID(ctx, id)
	if err != nil || l.State != LogoutPending {
		return err
	}
	rp, err := p.opt.Parties.SP(ctx, p.opt.DB.Reader(), l.RelyingParty)
	if errors.Is(err, identity.ErrNotFound) {
		return p.receipt(ctx, l, LogoutFailed, 0, "party_removed")
	}
	if err != nil {
		return err
	}
	face, _ := rp.Face(l.Network)
	to, ok := logoutAt(face, sp.BindingSOAP)
	origin := p.opt.Origins[l.Network]
	if !ok || origin == "" {
		return p.receipt(ctx, l, LogoutFailed, 0, "address_removed")
	}
	doc, request, err := p.envelope(ctx, &l, rp, to.Location, origin+pathMetadata)
	if err != nil {
		return err
	}
	open := false
	err = p.opt.DB.Group(ctx, func(ctx context.Context, tx *sql.Tx) (err error) {
		open, err = l.ask(ctx, tx, LogoutPending, request, p.opt.Now().UnixMicro())
		return err
	})
	if err != nil || !open { // settled by another worker
		return err
	}
	status, answer, err := p.post(ctx, to.Location, doc)
	if err != nil {
		return p.receipt(ctx, l, LogoutPending, 0, "unreachable") // the error may hold the address; what happened is enough
	}
	if status != http.StatusOK {
		return p.receipt(ctx, l, LogoutPending, status, "status")
	}
	state, why := p.judge(answer, rp, l, origin)
	return p.receipt(ctx, l, state, status, why)
}

// envelope writes a signed request with an ID of its own at each try, and notes the key in l.
func (p *Provider) envelope(ctx context.Context, l *Logout, rp sp.SP, location, issuer string) (doc []byte, id string, err error) {
	if id, err = p.documentID(); err != nil {
		return nil, "", err
	}
	by, err := p.signingNow(ctx, rp.ID, l.Network)
	if err != nil {
		return nil, "", err
	}
	l.key = by.signer.Key().ID
	el := logoutRequest(id, issuer, location, rp, *l, p.opt.Now().UnixMicro())
	if err := wire.Sign(el, by.signer, by.certificate); err != nil {
		return nil, "", err
	}
	doc, err = wire.Bytes(wire.Envelope(el))
	return doc, id, err
}

// judge says what an answer by SOAP is worth. One without a signature says something that nobody stands for: it is no receipt, and asking again
// wouldn't change it. A wrong one may be followed by a right one.
func (p *Provider) judge(body []byte, rp sp.SP, l Logout, origin string) (LogoutState, string) {
	m, f := readEnvelope(body)
	if f != nil {
		return LogoutPending, "answer_invalid"
	}
	if !wire.Is(m.root, wire.NSProtocol, "LogoutResponse") {
		return LogoutPending, "answer_invalid"
	}
	if !wire.Signed(m.root) {
		return LogoutUnconfirmed, "answer_unsigned"
	}
	root, f := verified(m, rp, "LogoutResponse")
	if f != nil {
		return LogoutPending, "answer_invalid"
	}
	to := wire.Attr(root, "Destination")
	if wire.Attr(root, "InResponseTo") != l.request || wire.Attr(root, "Version") != "2.0" || to != "" && to != origin+pathSLO && to != origin+pathSOAP {
		return LogoutPending, "answer_invalid"
	}
	state, why, f := outcomeOf(root)
	if f != nil {
		return LogoutPending, "answer_invalid"
	}
	return state, why
}

// post sends an envelope, follows no redirect, and reads a bounded answer.
func (p *Provider) post(ctx context.Context, address string, doc []byte) (status int, answer []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, deliverTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(doc))
	if err != nil {
		return 0, nil, err
	}
	r.Header.Set("Content-Type", "text/xml; charset=utf-8")
	r.Header.Set("SOAPAction", `"http://www.oasis-open.org/committees/security"`) // Bindings, section 3.2.3.1
	got, err := p.opt.Transport.RoundTrip(r)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = got.Body.Close() }()
	answer, err = io.ReadAll(io.LimitReader(got.Body, int64(wire.MessageLimits.Bytes)+1)) // one more is refused as too large
	if err != nil {
		return 0, nil, err
	}
	if kind, _, err := mime.ParseMediaType(got.Header.Get("Content-Type")); got.StatusCode == http.StatusOK && (err != nil || kind != "text/xml") {
		answer = nil
	}
	return got.StatusCode, answer, nil
}

// receipt settles a delivery. A pending one is an error that wraps access.ErrUndelivered.
func (p *Provider) receipt(ctx context.Context, l Logout, state LogoutState, status int, why string) error {
	if _, err := p.settle(ctx, l, state, status, why); err != nil {
		return err
	}
	if state == LogoutPending {
		return fmt.Errorf("samlidp: logout %s to %s: %w (%s, status %d)", l.ID, l.RelyingParty, access.ErrUndelivered, why, status)
	}
	return nil
}

// Abandon gives a logout up, for the job engine's dead letters.
func (p *Provider) Abandon(ctx context.Context, id string) error {
	l, err := p.logoutByID(ctx, id)
	if err != nil || l.State != LogoutPending {
		return err
	}
	return p.receipt(ctx, l, LogoutFailed, l.Status, "given_up")
}

func (p *Provider) logoutByID(ctx context.Context, id string) (Logout, error) {
	return logoutByID(ctx, p.opt.DB.Reader(), id)
}

func logoutByID(ctx context.Context, q querier, id string) (Logout, error) {
	l, err := scanLogout(q.QueryRowContext(ctx, `SELECT `+logoutColumns+` FROM saml_logout WHERE id = $1`, id))
	if errors.Is(err, sql.ErrNoRows) {
		return l, fmt.Errorf("samlidp: logout %s: %w", id, identity.ErrNotFound)
	}
	if err != nil {
		return l, fmt.Errorf("samlidp: logout %s: %w", id, err)
	}
	return l, nil
}
