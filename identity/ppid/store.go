package ppid

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/keys"
	"github.com/musubi-hub/musubi/policies"
)

// Sector names the relying parties that share a person's identifier: a host name, or a name that an administrator chose.
type Sector string

// The sizes. An identifier is 160 random bits in lower-case base32: it survives systems that ignore case.
const (
	randomBytes = 20
	textLen     = 32
	maxName     = 256 // bytes of a person's id and of a sector
)

var encoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// Store issues and finds identifiers. It is safe for concurrent use.
type Store struct {
	keyID  string
	index  []byte      // HMAC key of name and pair
	box    cipher.AEAD // of sealed
	random io.Reader
}

// Querier is a *sql.DB or a *sql.Tx.
type Querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// New makes a store under a sealing key. Nodes of one database need the same one.
func New(sealing *keys.SealingKey, random io.Reader) (*Store, error) {
	if sealing == nil {
		return nil, errors.New("ppid: there is no sealing key: pairwise identifiers can't be read without it")
	}
	index, err := sealing.Derive("musubi ppid index v1")
	if err != nil {
		return nil, fmt.Errorf("ppid: %w", err)
	}
	secret, err := sealing.Derive("musubi ppid box v1")
	if err != nil {
		return nil, fmt.Errorf("ppid: %w", err)
	}
	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil, fmt.Errorf("ppid: %w", err)
	}
	box, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("ppid: %w", err)
	}
	return &Store{keyID: sealing.ID(), index: index, box: box, random: random}, nil
}

// record is what is sealed.
type record struct {
	Person policies.PersonID `json:"person"`
	Sector Sector            `json:"sector"`
	ID     string            `json:"id"`
}

// Issue gives the person's identifier towards the sector, and makes it where there is none yet, in the caller's transaction. at is UTC in
// microseconds. Callers at the same moment get the same one.
func (s *Store) Issue(ctx context.Context, tx *sql.Tx, person policies.PersonID, sector Sector, at int64) (string, error) {
	id, err := s.Find(ctx, tx, person, sector)
	if err == nil || !errors.Is(err, identity.ErrNotFound) {
		return id, err
	}
	var raw [randomBytes]byte
	if _, err := io.ReadFull(s.random, raw[:]); err != nil {
		return "", fmt.Errorf("ppid: no randomness: %w", err)
	}
	id = encoding.EncodeToString(raw[:])
	pair, name := s.hash("pair", string(person), string(sector)), s.hash("name", string(sector), id)
	sealed, err := s.seal(record{person, sector, id}, name)
	if err != nil {
		return "", err
	}
	// On PostgreSQL this waits for another transaction that issues for the same pair; then the row to read is that one's.
	res, err := tx.ExecContext(ctx, `INSERT INTO ppid (name, pair, sealed, key_id, created_at, ended_at) VALUES ($1, $2, $3, $4, $5, 0) ON CONFLICT DO NOTHING`,
		name, pair, sealed, s.keyID, at)
	if err != nil {
		return "", fmt.Errorf("ppid: issue: %w", err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 1 {
		return id, err
	}
	return s.Find(ctx, tx, person, sector)
}

// Find gives the person's identifier towards the sector; the error wraps identity.ErrNotFound where none was issued.
func (s *Store) Find(ctx context.Context, q Querier, person policies.PersonID, sector Sector) (string, error) {
	if err := check(person, sector); err != nil {
		return "", err
	}
	r, err := s.read(ctx, q, `SELECT name, sealed, key_id FROM ppid WHERE pair = $1 AND ended_at = 0`, s.hash("pair", string(person), string(sector)))
	if err != nil {
		return "", err
	}
	if r.Person != person || r.Sector != sector {
		return "", errors.New("ppid: a row stands for another pair than it is filed under: restore the database from a backup")
	}
	return r.ID, nil
}

// Person gives who is meant by an identifier in a sector, while it stands; the error wraps identity.ErrNotFound for nobody.
func (s *Store) Person(ctx context.Context, q Querier, sector Sector, id string) (policies.PersonID, error) {
	if len(id) != textLen {
		return "", fmt.Errorf("ppid: %w", identity.ErrNotFound)
	}
	r, err := s.read(ctx, q, `SELECT name, sealed, key_id FROM ppid WHERE name = $1 AND ended_at = 0`, s.hash("name", string(sector), id))
	if err != nil {
		return "", err
	}
	if r.ID != id || r.Sector != sector {
		return "", errors.New("ppid: a row stands for another identifier than it is filed under: restore the database from a backup")
	}
	return r.Person, nil
}

func (s *Store) read(ctx context.Context, q Querier, query, key string) (r record, err error) {
	var name, sealed, keyID string
	err = q.QueryRowContext(ctx, query, key).Scan(&name, &sealed, &keyID)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return r, fmt.Errorf("ppid: %w", identity.ErrNotFound)
	case err != nil:
		return r, fmt.Errorf("ppid: %w", err)
	case keyID != s.keyID:
		return r, fmt.Errorf("%w: a pairwise identifier is sealed under %s, this node has %s", keys.ErrUnreadable, keyID, s.keyID)
	}
	return s.open(sealed, name)
}

func check(person policies.PersonID, sector Sector) error {
	for _, v := range []string{string(person), string(sector)} {
		if v == "" || len(v) > maxName || !utf8.ValidString(v) || strings.ContainsRune(v, 0) {
			return fmt.Errorf("ppid: a person's id and a sector have 1 to %d bytes of UTF-8", maxName)
		}
	}
	return nil
}

// hash is HMAC-SHA256 over what, each part with its length, so that no two lists of parts are the same bytes.
func (s *Store) hash(what string, parts ...string) string {
	mac := hmac.New(sha256.New, s.index)
	for _, p := range append([]string{what}, parts...) {
		fmt.Fprintf(mac, "%d:%s", len(p), p)
	}
	return hex.EncodeToString(mac.Sum(nil))
}

// seal encrypts r, bound to the row's name.
func (s *Store) seal(r record, name string) (string, error) {
	plain, err := json.Marshal(r)
	if err != nil {
		return "", fmt.Errorf("ppid: %w", err)
	}
	nonce := make([]byte, s.box.NonceSize())
	if _, err := io.ReadFull(s.random, nonce); err != nil {
		return "", fmt.Errorf("ppid: no randomness: %w", err)
	}
	return base64.StdEncoding.EncodeToString(s.box.Seal(nonce, nonce, plain, []byte(name))), nil
}

func (s *Store) open(sealed, name string) (r record, err error) {
	damaged := fmt.Errorf("%w: a pairwise identifier is damaged: restore the database from a backup", keys.ErrUnreadable)
	raw, err := base64.StdEncoding.DecodeString(sealed)
	if err != nil || len(raw) < s.box.NonceSize() {
		return r, damaged
	}
	plain, err := s.box.Open(nil, raw[:s.box.NonceSize()], raw[s.box.NonceSize():], []byte(name))
	if err != nil {
		return r, damaged
	}
	if err := json.Unmarshal(plain, &r); err != nil {
		return r, damaged
	}
	return r, nil
}
