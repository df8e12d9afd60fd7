package mynumber

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/cert/crl"
	"github.com/musubi-hub/musubi/identity/cert/pkix"
	"github.com/musubi-hub/musubi/identity/session"
	"github.com/musubi-hub/musubi/policies"
)

// maxReason bounds the reason of a release, in bytes.
const maxReason = 1000

// Sessions ends sessions, in the transaction that takes a card away: session.Store.
type Sessions interface {
	EndByAdministrator(ctx context.Context, tx *sql.Tx, actor access.Actor, scope policies.Scope, person identity.Person, why session.Why, now time.Time) error
	EndCredential(ctx context.Context, tx *sql.Tx, method identity.MethodID, credential string, why session.Why, at int64) error
}

// Notices tells a person what happened to them, by a job that commits with tx: the message must not depend on whether the person can log in.
type Notices interface {
	CardReleased(ctx context.Context, tx *sql.Tx, person identity.Person, at int64) error
}

// Releases takes cards away.
type Releases struct {
	Links    *Links
	Sessions Sessions
	Notices  Notices
}

// Release is マイナンバーカードの認証解除 by an administrator of the person's organization: the card is the person's no more, all of the person's sessions
// end, the person is told, and the audit log says who did it and why; all of it or nothing. scope is the actor's own for people.write. The reason is
// kept as personal data, which can be erased. It is identity.ErrNotFound where the person has no card.
func (r Releases) Release(ctx context.Context, actor access.Actor, scope policies.Scope, person identity.Person, reason string, now time.Time) error {
	reason = strings.TrimSpace(reason)
	switch {
	case !scope.For(policies.ActionPeopleWrite) || !scope.Covers(person.Org) || actor.ID() == "" || scope.Actor() != actor.ScopeActor():
		return fmt.Errorf("この職員のカードを解除する権限がありません / mynumber: release a card: %w: it takes one's own right to %s on the organization",
			identity.ErrRefused, policies.ActionPeopleWrite)
	case reason == "":
		return errors.New("解除の理由を入力してください / a release needs a reason")
	case len(reason) > maxReason || !utf8.ValidString(reason):
		return fmt.Errorf("解除の理由が長すぎます / the reason has %d bytes; at most %d of UTF-8 are kept", len(reason), maxReason)
	}
	at := now.UnixMicro()
	return r.Links.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		var credential string
		err := tx.QueryRowContext(ctx, `SELECT credential FROM card_link WHERE person_id = $1 AND ended_at = 0`, string(person.ID)).Scan(&credential)
		if errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("登録されたカードがありません / mynumber: the person has no card: %w", identity.ErrNotFound)
		}
		if err != nil {
			return fmt.Errorf("mynumber: release a card: %w", err)
		}
		if err := r.Links.end(ctx, tx, person.ID, credential, whyReleased, at); err != nil {
			return err
		}
		if err := r.Sessions.EndByAdministrator(ctx, tx, actor, scope, person, session.WhyCard, now); err != nil {
			return err
		}
		if err := r.Notices.CardReleased(ctx, tx, person, at); err != nil {
			return fmt.Errorf("mynumber: tell the person of the release: %w", err)
		}
		row := actor.AuditRow(at, "card.release", audit.Done)
		row.Org, row.Object, row.PolicyHash, row.Reason = person.Org, string(person.ID), scope.Hash(), scope.Reason()
		if row.Detail == nil {
			row.Detail = map[string]any{}
		}
		row.Detail["card"] = credential
		row.Personal = map[string]any{"reason": reason}
		return audit.Append(ctx, tx, row)
	})
}

// EndRevoked ends the sessions of linked cards that a list says are revoked. It is called for each list that came into use; the links stay, since the
// authority may have said which card took the place of the old one. It gives how many of the linked cards are on the list.
func (r Releases) EndRevoked(ctx context.Context, list crl.Held, at time.Time) (cards int, err error) {
	linked, err := r.Links.all(ctx)
	if err != nil || len(linked) == 0 {
		return 0, err
	}
	card := Card{Issuer: list.Info().Issuer.Canonical(), IssuerKey: list.SignedBy()}
	mac := r.Links.mac() // one for all: keying it costs more than a card
	var gone []string
	note := func(serial []byte) {
		card.Serial = serial
		if c := card.credential(mac); linked[c] {
			gone = append(gone, c)
		}
	}
	if err := eachSerial(list, note); err != nil {
		return 0, err
	}
	for _, c := range gone {
		err := r.Links.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
			return r.Sessions.EndCredential(ctx, tx, identity.MethodCard, c, session.WhyCard, at.UnixMicro())
		})
		if err != nil {
			return 0, fmt.Errorf("mynumber: end the sessions of a revoked card: %w", err)
		}
	}
	return len(gone), nil
}

// eachSerial visits the serial numbers of an authority's own certificates that a list revokes.
func eachSerial(list crl.Held, visit func(serial []byte)) error {
	switch l := list.(type) {
	case *crl.Set:
		l.Each(func(serial []byte, _ pkix.Revocation) bool {
			visit(serial)
			return true
		})
	case *crl.List:
		for _, e := range l.Entries() {
			if e.Reason != pkix.RemoveFromCRL && e.Issuer.Equal(l.Info().Issuer) {
				visit(e.Serial)
			}
		}
	default:
		return fmt.Errorf("mynumber: a list of the unknown type %T", list)
	}
	return nil
}
