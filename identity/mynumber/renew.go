package mynumber

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/policies"
)

// maxRenewals bounds the chain from a card back to the one that is linked.
const maxRenewals = 8

// Renewal is what the authority, or a service certified by it, says: the new card took the place of the old one.
type Renewal struct {
	Old, New Card
	Source   string // who says so, for the record: "j-lis", the name of a certified service
}

// RecordRenewal keeps a renewal. The link moves at the first login with the new card. A second record about one new card that contradicts the first is
// identity.ErrExists.
func (l *Links) RecordRenewal(ctx context.Context, tx *sql.Tx, r Renewal, at int64) error {
	older, newer := l.Credential(r.Old), l.Credential(r.New)
	if older == newer || r.Source == "" || at <= 0 {
		return errors.New("mynumber: a renewal of a card by itself, or without source or time")
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO card_renewal (new_credential, old_credential, source, at) VALUES ($1, $2, $3, $4)
		ON CONFLICT DO NOTHING`, newer, older, r.Source, at)
	if err != nil {
		return fmt.Errorf("mynumber: keep a renewal: %w", err)
	}
	was, err := before(ctx, tx, newer)
	if err == nil && was != older {
		err = fmt.Errorf("mynumber: another card is on record as the one that was renewed: %w", identity.ErrExists)
	}
	return err
}

// before gives the card that a card took the place of; empty where no record says so.
func before(ctx context.Context, tx *sql.Tx, credential string) (old string, err error) {
	err = tx.QueryRowContext(ctx, `SELECT old_credential FROM card_renewal WHERE new_credential = $1`, credential).Scan(&old)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("mynumber: renewals: %w", err)
	}
	return old, nil
}

// Follow moves the link of a renewed card to a card that nobody has, if the records lead there, and gives the person; empty where they don't. Only a
// link that stands moves: what an administrator released stays released.
func (l *Links) Follow(ctx context.Context, credential string, at int64) (person policies.PersonID, err error) {
	// Nearly every unknown card is a first use: it takes no write.
	var n int
	if err := l.db.Reader().QueryRowContext(ctx, `SELECT COUNT(*) FROM card_renewal WHERE new_credential = $1`, credential).Scan(&n); err != nil {
		return "", fmt.Errorf("mynumber: renewals: %w", err)
	}
	if n == 0 {
		return "", nil
	}
	err = l.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		person = ""
		old := credential
		for range maxRenewals {
			next, err := before(ctx, tx, old)
			if err != nil || next == "" {
				return err
			}
			old = next
			var found policies.PersonID
			err = tx.QueryRowContext(ctx, `SELECT person_id FROM card_link WHERE credential = $1 AND ended_at = 0`, old).Scan(&found)
			if errors.Is(err, sql.ErrNoRows) {
				continue
			}
			if err != nil {
				return fmt.Errorf("mynumber: card links: %w", err)
			}
			if err := l.move(ctx, tx, found, old, credential, howRecord, at); err != nil {
				return err
			}
			person = found
			return nil
		}
		return nil
	})
	if errors.Is(err, identity.ErrNotFound) || errors.Is(err, identity.ErrExists) || err == nil && person == "" {
		// Somebody may have moved it first.
		return l.Person(ctx, credential)
	}
	return person, err
}

// Renew moves a person's link to a card that nobody has, after the person has proved both cards, the old one as its holder: the caller has decided
// that. identity.ErrNotFound where the old card isn't theirs, identity.ErrExists where the new one is somebody's.
func (l *Links) Renew(ctx context.Context, tx *sql.Tx, person policies.PersonID, old, credential string, at int64) error {
	return l.move(ctx, tx, person, old, credential, howProof, at)
}

func (l *Links) move(ctx context.Context, tx *sql.Tx, person policies.PersonID, old, credential, how string, at int64) error {
	if old == credential {
		return fmt.Errorf("mynumber: a card can't renew itself: %w", identity.ErrExists)
	}
	if err := l.end(ctx, tx, person, old, whyRenewed, at); err != nil {
		return err
	}
	return l.insert(ctx, tx, person, credential, how, old, at)
}
