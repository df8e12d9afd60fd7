package invitation

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"database/sql"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"golang.org/x/text/unicode/norm"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/login"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/policies"
)

// The bounds of an invitation.
const (
	Life     = 30 * 24 * time.Hour
	MaxTries = 5 // wrong codes
)

// The fields of the page, and the codes of rejections.
const (
	FieldPath = "path"
	FieldCode = "code"

	CodeInvalid = "invitation_invalid" // unknown, used, voided or expired
	CodeWrong   = "invitation_code_wrong"

	maxForm = 4 << 10
)

// Sent is an invitation as it leaves the hub, on two ways. Neither is kept.
type Sent struct {
	ID   string
	Path string // for a link to the person: 256 random bits, base64url
	Code string // for a letter to the organization: 60 random bits in three groups
}

// Store keeps invitations.
type Store struct {
	db     *sqldb.DB
	random io.Reader
}

// New makes a store. random is cryptographically strong.
func New(db *sqldb.DB, random io.Reader) *Store { return &Store{db, random} }

// crockford has no letter that is read as a digit.
var crockford = base32.NewEncoding("0123456789ABCDEFGHJKMNPQRSTVWXYZ").WithPadding(base32.NoPadding)

func hashOf(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Invite makes an invitation of an administrator, in the caller's transaction with its audit row. Those of the organization before are void. scope is
// the actor's for people.write over the whole workspace; nobody invites themselves.
func (s *Store) Invite(ctx context.Context, tx *sql.Tx, by access.Actor, scope policies.Scope, p identity.Person, now time.Time) (Sent, error) {
	switch {
	case !scope.For(policies.ActionPeopleWrite) || !scope.All() || by.Kind != access.KindPerson || scope.Actor() != by.ScopeActor():
		return Sent{}, fmt.Errorf("invite: %w: it takes one's own right to %s in the whole workspace", identity.ErrRefused, policies.ActionPeopleWrite)
	case by.Person.ID == p.ID:
		return Sent{}, fmt.Errorf("invite: %w: nobody invites themselves", identity.ErrRefused)
	case !p.Active() || p.Role == policies.RoleGeneral || p.ID == "":
		return Sent{}, fmt.Errorf("invite: %w: the person isn't an administrator in service", identity.ErrRefused)
	}
	b := make([]byte, 16+32+8)
	if _, err := io.ReadFull(s.random, b); err != nil {
		return Sent{}, fmt.Errorf("invite: no randomness: %w", err)
	}
	code := crockford.EncodeToString(b[48:])[:12]
	sent := Sent{
		ID: hex.EncodeToString(b[:16]), Path: base64.RawURLEncoding.EncodeToString(b[16:48]), Code: code[:4] + "-" + code[4:8] + "-" + code[8:],
	}
	at := now.UnixMicro()
	if _, err := tx.ExecContext(ctx, `UPDATE invitation SET voided_at = $1 WHERE org = $2 AND used_at = 0 AND voided_at = 0`, at, string(p.Org)); err != nil {
		return Sent{}, fmt.Errorf("invite: %w", err)
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO invitation (id, person_id, org, path_sha256, code_sha256, created_at, expires_at, tries, used_at, voided_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, 0, 0, 0)`,
		sent.ID, string(p.ID), string(p.Org), hashOf(sent.Path), hashOf(sent.Path, code), at, now.Add(Life).UnixMicro())
	if err != nil {
		return Sent{}, fmt.Errorf("invite: %w", err)
	}
	row := by.AuditRow(at, "invitation.send", audit.Done)
	row.Org, row.Object, row.Reason, row.PolicyHash = p.Org, string(p.ID), scope.Reason(), scope.Hash()
	if row.Detail == nil {
		row.Detail = map[string]any{}
	}
	row.Detail["invitation"], row.Detail["expires_at"] = sent.ID, now.Add(Life).UnixMicro()
	return sent, audit.Append(ctx, tx, row)
}

// readCode takes a code as people type it: in any case and width, with or without hyphens, O for 0, I and L for 1.
func readCode(text string) string {
	return strings.NewReplacer("-", "", " ", "", "O", "0", "I", "1", "L", "1").Replace(strings.ToUpper(norm.NFKC.String(text)))
}

// Method is login.Method by invitations.
type Method struct{ store *Store }

// NewMethod makes it.
func NewMethod(s *Store) *Method { return &Method{s} }

// Begin implements login.Method.
func (m *Method) Begin(context.Context, login.Attempt) (login.Instruction, error) {
	return login.Instruction{Page: string(identity.MethodInvitation)}, nil
}

// Finish implements login.Method: the posted form has path and code. A right pair is used up by it.
func (m *Method) Finish(ctx context.Context, a login.Attempt, r *http.Request) (login.Proof, error) {
	r.Body = http.MaxBytesReader(nil, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		return login.Proof{}, &login.Rejection{Code: CodeInvalid, Retry: true}
	}
	path, code := r.PostForm.Get(FieldPath), readCode(r.PostForm.Get(FieldCode))
	var id, person, kept string
	no := &login.Rejection{Retry: true}
	err := m.store.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		// The try is counted before it is judged: many at once are as many tries.
		err := tx.QueryRowContext(ctx, `UPDATE invitation SET tries = tries + 1
			WHERE path_sha256 = $1 AND used_at = 0 AND voided_at = 0 AND expires_at > $2 AND tries < $3 RETURNING id, person_id, code_sha256`,
			hashOf(path), a.At, MaxTries).Scan(&id, &person, &kept)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			no.Code = CodeInvalid
			return nil
		case err != nil:
			return err
		case subtle.ConstantTimeCompare([]byte(hashOf(path, code)), []byte(kept)) != 1:
			no.Code, no.Person, no.Detail = CodeWrong, policies.PersonID(person), map[string]any{"invitation": id}
			return nil
		}
		if _, err := tx.ExecContext(ctx, `UPDATE invitation SET used_at = $1 WHERE id = $2`, a.At, id); err != nil {
			return err
		}
		row := access.System(policies.TaskLogin).AuditRow(a.At, "invitation.use", audit.Done)
		row.Object, row.Detail = person, map[string]any{"invitation": id, "login": string(a.Login)}
		return audit.Append(ctx, tx, row)
	})
	switch {
	case err != nil:
		return login.Proof{}, fmt.Errorf("invitation: %w", err)
	case no.Code != "":
		return login.Proof{}, no
	}
	return login.Proof{
		Method: identity.MethodInvitation, Use: login.UseLink, Person: policies.PersonID(person), Credential: "invitation-" + id,
		Assurance: policies.AssuranceSingle, AMR: []string{identity.AMRPassword}, At: a.At,
	}, nil
}
