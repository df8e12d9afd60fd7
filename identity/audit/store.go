package audit

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/policies"
)

// Append adds r in the caller's transaction. A row that breaks the bounds is an error, which must undo the act that it
// records: nothing is done without its record.
func Append(ctx context.Context, tx *sql.Tx, r Row) error {
	if r.ID == "" {
		r.ID = newID(r.At)
	}
	rec, err := r.check()
	if err != nil {
		return fmt.Errorf("audit: the row of %s %w", r.Action, err)
	}
	beside, err := r.commit()
	if err != nil {
		return fmt.Errorf("audit: the row of %s %w", r.Action, err)
	}
	if beside != nil {
		rec.Commitment = commitment(beside.salt, beside.data)
		if err := beside.insert(ctx, tx, r.ID); err != nil {
			return fmt.Errorf("audit: append %s: %w", r.Action, err)
		}
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO audit_row
		(id, at, actor, actor_kind, action, org, object, outcome, reason, policy_hash, detail, commitment)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
		rec.ID, rec.At, rec.Actor, rec.ActorKind, rec.Action, rec.Org, rec.Object, rec.Outcome, rec.Reason, rec.PolicyHash, rec.Detail, rec.Commitment)
	if err != nil {
		return fmt.Errorf("audit: append %s: %w", r.Action, err)
	}
	return nil
}

// newID makes a UUID of version 7: the time in its head keeps the index's tail warm. It needs no more than to be unique.
func newID(at int64) string {
	var b [16]byte
	_, _ = rand.Read(b[6:]) // never fails: it ends the program instead
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(max(at, 0)/1000))
	copy(b[:6], ms[2:])
	b[6] = b[6]&0x0f | 0x70
	b[8] = b[8]&0x3f | 0x80
	h := hex.EncodeToString(b[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// Querier is a *sql.DB or a *sql.Tx.
type Querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// MaxPage is how many rows Find gives at most.
const MaxPage = 1000

// Filter narrows Find. The zero value finds the newest rows.
type Filter struct {
	From, Until int64  // UTC, microseconds; From inclusive, Until exclusive; 0: open
	ID          string // of the one row: an incident number
	Actor       string
	Action      string
	Org         policies.OrgID
	Object      string
	Outcome     Outcome
	Before      *Row // the last row of the page before; only its At and ID are read
	Limit       int  // 0: 100; at most MaxPage
}

// Find gives the rows inside scope, newest first. Rows of the whole workspace are inside no scope but one over all. The scope
// must be for audit.read; any other gives identity.ErrRefused.
func Find(ctx context.Context, db Querier, scope policies.Scope, f Filter) ([]Row, error) {
	if !scope.For(policies.ActionAuditRead) {
		return nil, fmt.Errorf("audit: find: the scope is for %q, not %q: %w", scope.Action(), policies.ActionAuditRead, identity.ErrRefused)
	}
	if f.Limit < 0 || f.Limit > MaxPage {
		return nil, fmt.Errorf("audit: find: a page has at most %d rows, not %d", MaxPage, f.Limit)
	}
	if f.Limit == 0 {
		f.Limit = 100
	}
	query, args := f.query(scope)
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("audit: find: %w", err)
	}
	defer func() { _ = rows.Close() }() // rows.Err tells what matters
	var found []Row
	for rows.Next() {
		var rec record
		var seq sql.NullInt64
		var data sql.NullString
		if err := rows.Scan(append(rec.fields(), &seq, &data)...); err != nil {
			return nil, fmt.Errorf("audit: find: %w", err)
		}
		r, err := rec.row()
		if err != nil {
			return nil, err
		}
		r.Sequenced, r.Seq, r.Erased = seq.Valid, seq.Int64, rec.Commitment != "" && !data.Valid
		if data.Valid {
			if r.Personal, err = fromJSON(data.String); err != nil {
				return nil, fmt.Errorf("audit: row %s: its personal data isn't JSON: %w", r.ID, err)
			}
		}
		found = append(found, r)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("audit: find: %w", err)
	}
	return found, nil
}

func (f Filter) query(scope policies.Scope) (string, []any) {
	where, args := f.where(scope)
	query := `SELECT ` + recordColumns + `, l.seq, p.data
		FROM audit_row r LEFT JOIN audit_leaf l ON l.row_id = r.id LEFT JOIN audit_personal p ON p.row_id = r.id WHERE ` + where
	if f.Before != nil {
		query += fmt.Sprintf(" AND (r.at < $%d OR (r.at = $%d AND r.id < $%d))", len(args)+1, len(args)+1, len(args)+2)
		args = append(args, f.Before.At, f.Before.ID)
	}
	args = append(args, f.Limit)
	return query + fmt.Sprintf(" ORDER BY r.at DESC, r.id DESC LIMIT $%d", len(args)), args
}

// where gives the condition of all but Before and Limit on audit_row, called r.
func (f Filter) where(scope policies.Scope) (string, []any) {
	condition, args := scope.Where("r.org", 1)
	var b strings.Builder
	b.WriteString(condition)
	add := func(comparison string, value any) {
		args = append(args, value)
		fmt.Fprintf(&b, " AND %s $%d", comparison, len(args))
	}
	if f.From != 0 {
		add("r.at >=", f.From)
	}
	if f.Until != 0 {
		add("r.at <", f.Until)
	}
	for _, equal := range []struct{ column, value string }{
		{"r.id", f.ID},
		{"r.actor", f.Actor},
		{"r.action", f.Action},
		{"r.org", string(f.Org)},
		{"r.object", f.Object},
		{"r.outcome", string(f.Outcome)},
	} {
		if equal.value != "" {
			add(equal.column+" =", equal.value)
		}
	}
	return b.String(), args
}
