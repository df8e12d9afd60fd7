package audit

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/policies"
)

// saltSize is enough for nobody to try the people of a town against a commitment whose salt was erased.
const saltSize = 32

// commitment is the hex SHA-256 of salt and data.
func commitment(salt []byte, data string) string {
	h := sha256.New()
	h.Write(salt)
	h.Write([]byte(data))
	return hex.EncodeToString(h.Sum(nil))
}

func fromJSON(text string) (m map[string]any, err error) {
	if text == "{}" {
		return nil, nil
	}
	err = json.Unmarshal([]byte(text), &m)
	return m, err
}

// personal is the personal data of a row, with its salt.
type personal struct {
	salt []byte
	data string
}

// commit draws a salt for the row's personal data; nil where it has none.
func (r Row) commit() (*personal, error) {
	if len(r.Personal) == 0 {
		return nil, nil
	}
	data, err := asJSON(r.Personal)
	switch {
	case err != nil:
		return nil, fmt.Errorf("has personal data that isn't JSON: %w", err)
	case len(data) > MaxPersonal:
		return nil, fmt.Errorf("has %d bytes of personal data; at most %d are kept", len(data), MaxPersonal)
	case !utf8.ValidString(data):
		return nil, errors.New("has personal data that isn't UTF-8")
	}
	salt := make([]byte, saltSize)
	_, _ = rand.Read(salt) // never fails: it ends the program instead
	return &personal{salt: salt, data: data}, nil
}

func (p *personal) insert(ctx context.Context, tx *sql.Tx, id string) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO audit_personal (row_id, salt, data) VALUES ($1, $2, $3)`, id, p.salt, p.data)
	return err
}

// Erase takes away the personal data of a row, in the caller's transaction, and appends why, which tells who and when. The row
// and its place in the log stay, and the log still verifies. scope must be for people.write and cover the row's organization.
// Where the row has no personal data (any more), or there is no such row, the error is identity.ErrNotFound.
func Erase(ctx context.Context, tx *sql.Tx, scope policies.Scope, id string, why Row) error {
	if !scope.For(policies.ActionPeopleWrite) {
		return fmt.Errorf("audit: erase: the scope is for %q, not %q: %w", scope.Action(), policies.ActionPeopleWrite, identity.ErrRefused)
	}
	var org policies.OrgID
	err := tx.QueryRowContext(ctx, `SELECT r.org FROM audit_row r JOIN audit_personal p ON p.row_id = r.id WHERE r.id = $1`, id).Scan(&org)
	if errors.Is(err, sql.ErrNoRows) || err == nil && !scope.Covers(org) { // who may not see it doesn't learn of it
		return fmt.Errorf("audit: erase: row %q with personal data: %w", id, identity.ErrNotFound)
	}
	if err != nil {
		return fmt.Errorf("audit: erase: %w", err)
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM audit_personal WHERE row_id = $1`, id); err != nil {
		return fmt.Errorf("audit: erase: %w", err)
	}
	why.Action, why.Object, why.Org, why.Outcome = "audit.erase", id, org, Done
	return Append(ctx, tx, why)
}
