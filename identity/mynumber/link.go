package mynumber

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"regexp"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/policies"
)

// How a link came to be.
const (
	howFirstUse = "first_use"      // after a proof of the account and one of the card
	howRecord   = "renewal_record" // the authority says that the card took the place of one that was linked
	howProof    = "renewal_proof"  // the person proved both cards
)

// Why a link ended.
const (
	whyReleased = "released" // by the organization's administrator
	whyRenewed  = "renewed"
)

// People gives a person with their organization, and refuses those whose service has ended: access.Resolver.
type People interface {
	Person(ctx context.Context, id policies.PersonID) (access.Actor, error)
}

// Links is which card is whose. It is safe for concurrent use on every node.
type Links struct {
	db     *sqldb.DB
	key    []byte
	keyID  string
	people People
}

// NewLinks makes the store. key are 32 secret bytes that never change and that all nodes share: serial numbers are a counter, so that without it
// whoever reads the table could try all cards. Take keys.SealingKey's derived key for "musubi card link v1".
func NewLinks(db *sqldb.DB, key []byte, people People) (*Links, error) {
	if len(key) != sha256.Size {
		return nil, fmt.Errorf("mynumber: the key of card links has %d bytes; %d are needed", len(key), sha256.Size)
	}
	l := &Links{db: db, key: key, people: people}
	l.keyID = hex.EncodeToString(sum(l.mac(), []byte("id"))[:8])
	return l, nil
}

// Check refuses to go on where cards were linked under another key: none of them would be known again.
func (l *Links) Check(ctx context.Context) error {
	var other int
	err := l.db.Reader().QueryRowContext(ctx, `SELECT COUNT(*) FROM card_link WHERE ended_at = 0 AND key_id <> $1`, l.keyID).Scan(&other)
	if err != nil {
		return fmt.Errorf("mynumber: card links: %w", err)
	}
	if other > 0 {
		return fmt.Errorf("カード %d 枚が別の鍵で登録されています。元の封印鍵に戻してください / "+
			"%d cards were linked under another key than this node's: use the sealing key they were linked with", other, other)
	}
	return nil
}

func (l *Links) mac() hash.Hash { return hmac.New(sha256.New, l.key) }

// sum is the keyed hash of parts with their lengths.
func sum(h hash.Hash, parts ...[]byte) []byte {
	h.Reset()
	var n [4]byte
	for _, p := range parts {
		binary.BigEndian.PutUint32(n[:], uint32(len(p)))
		h.Write(n[:])
		h.Write(p)
	}
	return h.Sum(nil)
}

// Credential is the name of a card in tables, sessions and audit rows: 64 hex digits that tell nobody the card's serial number.
func (l *Links) Credential(c Card) string { return c.credential(l.mac()) }

func (c Card) credential(h hash.Hash) string {
	return hex.EncodeToString(sum(h, []byte("card v1"), []byte(c.Issuer), c.IssuerKey, c.Serial))
}

var isCredential = regexp.MustCompile(`^[0-9a-f]{64}$`).MatchString

// Person gives whose a card is; empty for nobody's.
func (l *Links) Person(ctx context.Context, credential string) (p policies.PersonID, err error) {
	err = l.db.Reader().QueryRowContext(ctx, `SELECT person_id FROM card_link WHERE credential = $1 AND ended_at = 0`, credential).Scan(&p)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("mynumber: card links: %w", err)
	}
	return p, nil
}

// Card gives a person's linked card; empty for none.
func (l *Links) Card(ctx context.Context, person policies.PersonID) (credential string, err error) {
	err = l.db.Reader().QueryRowContext(ctx, `SELECT credential FROM card_link WHERE person_id = $1 AND ended_at = 0`, string(person)).Scan(&credential)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("mynumber: card links: %w", err)
	}
	return credential, nil
}

// Link implements login.Linker: it binds a card to a person after the login flow has seen a proof of both. Of concurrent attempts one wins; the
// others, like anybody with a card or a person that is linked already, get identity.ErrExists.
func (l *Links) Link(ctx context.Context, tx *sql.Tx, person policies.PersonID, credential string, at int64) error {
	return l.insert(ctx, tx, person, credential, howFirstUse, "", at)
}

// Holds implements login.Holder: it locks the link until tx ends, and is identity.ErrNotFound where the card isn't the person's.
func (l *Links) Holds(ctx context.Context, tx *sql.Tx, person policies.PersonID, credential string) error {
	// An UPDATE that changes nothing locks the row on both engines.
	res, err := tx.ExecContext(ctx, `UPDATE card_link SET ended_at = 0 WHERE person_id = $1 AND credential = $2 AND ended_at = 0`, string(person), credential)
	if err != nil {
		return fmt.Errorf("mynumber: card links: %w", err)
	}
	if n, err := res.RowsAffected(); err != nil || n != 1 {
		if err == nil {
			err = fmt.Errorf("mynumber: the card isn't the person's any more: %w", identity.ErrNotFound)
		}
		return err
	}
	return nil
}

// insert adds a link with its audit row.
func (l *Links) insert(ctx context.Context, tx *sql.Tx, person policies.PersonID, credential, how, before string, at int64) error {
	if person == "" || !isCredential(credential) || at <= 0 {
		return errors.New("mynumber: a link without person, card or time")
	}
	actor, err := l.people.Person(ctx, person)
	if err != nil {
		return fmt.Errorf("mynumber: link a card: %w", err)
	}
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails: it ends the program instead
	res, err := tx.ExecContext(ctx, `INSERT INTO card_link (id, credential, key_id, person_id, how, linked_at, ended_at, ended_why)
		VALUES ($1, $2, $3, $4, $5, $6, 0, '') ON CONFLICT DO NOTHING`,
		hex.EncodeToString(id[:]), credential, l.keyID, string(person), how, at)
	if err != nil {
		return fmt.Errorf("mynumber: link a card: %w", err)
	}
	if n, err := res.RowsAffected(); err != nil || n != 1 {
		if err == nil {
			err = fmt.Errorf("このカードまたは職員は登録済みです / mynumber: the card or the person is linked already: %w", identity.ErrExists)
		}
		return err
	}
	row := actor.AuditRow(at, "card.link", audit.Done)
	row.Org, row.Object, row.Reason = actor.Org.ID, string(person), how
	row.Detail = map[string]any{"card": credential}
	if before != "" {
		row.Detail["card_before"] = before
	}
	return audit.Append(ctx, tx, row)
}

// end ends the link of a card to a person; identity.ErrNotFound where there is none.
func (l *Links) end(ctx context.Context, tx *sql.Tx, person policies.PersonID, credential, why string, at int64) error {
	res, err := tx.ExecContext(ctx, `UPDATE card_link SET ended_at = $1, ended_why = $2 WHERE person_id = $3 AND credential = $4 AND ended_at = 0`,
		at, why, string(person), credential)
	if err != nil {
		return fmt.Errorf("mynumber: end a card link: %w", err)
	}
	if n, err := res.RowsAffected(); err != nil || n != 1 {
		if err == nil {
			err = fmt.Errorf("mynumber: the card isn't the person's: %w", identity.ErrNotFound)
		}
		return err
	}
	return nil
}

// all gives every linked card.
func (l *Links) all(ctx context.Context) (map[string]bool, error) {
	rows, err := l.db.Reader().QueryContext(ctx, `SELECT credential FROM card_link WHERE ended_at = 0`)
	if err != nil {
		return nil, fmt.Errorf("mynumber: card links: %w", err)
	}
	defer func() { _ = rows.Close() }()
	all := map[string]bool{}
	for rows.Next() {
		var c string
		if err := rows.Scan(&c); err != nil {
			return nil, fmt.Errorf("mynumber: card links: %w", err)
		}
		all[c] = true
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("mynumber: card links: %w", err)
	}
	return all, nil
}
