package password

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/login"
	"github.com/musubi-hub/musubi/policies"
)

// The codes of rejections. Neither tells whether there is such an account.
const (
	CodeWrong     = "wrong_name_or_password"
	CodeThrottled = "too_many_wrong_passwords"
)

// The fields of the page.
const (
	FieldName     = "name"
	FieldPassword = "password"

	maxName = 254 // an e-mail address, RFC 5321
	maxForm = 4 << 10
)

// Method is login by one kind of password.
type Method struct {
	store  *Store
	kind   Kind
	notice access.Enqueuer // hears of every use of a sealed account
}

// NewMethod makes the method of a kind. notice is required for KindSealed: whoever breaks the glass is heard.
func NewMethod(s *Store, kind Kind, notice access.Enqueuer) (*Method, error) {
	if kind != KindLink && kind != KindSealed || kind == KindSealed && notice == nil {
		return nil, fmt.Errorf("password: no method for kind %q, or nobody who hears of a broken glass", kind)
	}
	return &Method{s, kind, notice}, nil
}

// Begin implements login.Method.
func (m *Method) Begin(context.Context, login.Attempt) (login.Instruction, error) {
	return login.Instruction{Page: string(m.id())}, nil
}

func (m *Method) id() identity.MethodID {
	if m.kind == KindSealed {
		return identity.MethodBreakGlass
	}
	return identity.MethodPassword
}

// Finish implements login.Method: the posted form has the login name and the password.
func (m *Method) Finish(ctx context.Context, a login.Attempt, r *http.Request) (login.Proof, error) {
	r.Body = http.MaxBytesReader(nil, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		return login.Proof{}, &login.Rejection{Code: CodeWrong, Retry: true}
	}
	name, password := r.PostForm.Get(FieldName), r.PostForm.Get(FieldPassword)
	if name == "" || len(name) > maxName || len(password) > MaxBytes || password == "" {
		return login.Proof{}, &login.Rejection{Code: CodeWrong, Retry: true}
	}
	person, err := m.store.verify(ctx, m.kind, name, password, a.Address, a.At)
	switch {
	case errors.Is(err, errThrottled):
		return login.Proof{}, &login.Rejection{Code: CodeThrottled, Retry: true}
	case errors.Is(err, errWrong):
		return login.Proof{}, &login.Rejection{Code: CodeWrong, Person: person, Retry: true}
	case err != nil:
		return login.Proof{}, err
	}
	p := login.Proof{
		Method: m.id(), Use: login.UseLink, Person: person, Credential: string(m.kind) + "-" + string(person), Assurance: policies.AssuranceSingle,
		AMR: []string{identity.AMRPassword}, At: a.At,
	}
	if m.kind == KindSealed {
		p.Use = login.UseLogin
		if err := m.tell(ctx, person, a.At); err != nil { // before anything is opened
			return login.Proof{}, err
		}
	}
	return p, nil
}

// tell lets the system administrators know of a broken glass.
func (m *Method) tell(ctx context.Context, person policies.PersonID, at int64) error {
	err := m.store.cfg.DB.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		return m.notice.EnqueueNotice(ctx, tx, identity.Notice{ID: newID(), At: at, Kind: identity.NoticeBreakGlass, Object: string(person)})
	})
	if err != nil {
		return fmt.Errorf("password: tell of the broken glass: %w", err)
	}
	return nil
}

// errWrong is all that a wrong name and a wrong password say.
var errWrong = errors.New("password: wrong name or password")

// verify tells whose password it is. Whether there is such a person, and whether they have a password, changes neither the answer nor the work: one
// count, one hash. With errWrong the person is given too where there is one, for the audit log alone.
func (s *Store) verify(ctx context.Context, kind Kind, name, password, address string, at int64) (policies.PersonID, error) {
	dummy, err := s.dummy() // also where it isn't needed: the first try costs the same for everybody
	if err != nil {
		return "", err
	}
	text, err := normalise(password)
	if err != nil {
		text = "" // nobody's
	}
	where := place(address)
	person, err := s.cfg.Names.PersonNamed(ctx, name)
	if err != nil && !errors.Is(err, identity.ErrNotFound) {
		return "", err
	}
	stored, err := s.stored(ctx, person, kind, at)
	if err != nil {
		return "", err
	}
	known, err := s.knows(ctx, person, where)
	if err != nil {
		return "", err
	}
	counted := buckets(account(name), where, known)
	if err := s.cfg.DB.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error { return take(ctx, tx, counted, at) }); err != nil {
		return "", err
	}
	compared := stored
	if stored == "" || person == "" {
		compared = dummy
	}
	same, err := s.compare(ctx, text, compared)
	if err != nil {
		return "", err
	}
	if !same || stored == "" || person == "" || text == "" {
		return person, errWrong
	}
	return person, s.cfg.DB.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if err := giveBack(ctx, tx, counted); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO password_known (key, person_id, at) VALUES ($1, $2, $3) ON CONFLICT (key) DO UPDATE SET at = excluded.at`,
			key("known", string(person), where), string(person), at)
		if err != nil {
			return fmt.Errorf("password: keep the address: %w", err)
		}
		return nil
	})
}

func (s *Store) knows(ctx context.Context, person policies.PersonID, where string) (bool, error) {
	var n int
	err := s.cfg.DB.Reader().QueryRowContext(ctx, `SELECT COUNT(*) FROM password_known WHERE key = $1`, key("known", string(person), where)).Scan(&n)
	if err != nil {
		return false, fmt.Errorf("password: known addresses: %w", err)
	}
	return n > 0, nil
}
