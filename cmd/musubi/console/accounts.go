package console

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/invitation"
	"github.com/musubi-hub/musubi/identity/mynumber"
	"github.com/musubi-hub/musubi/identity/password"
	"github.com/musubi-hub/musubi/identity/session"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/logout"
)

// Accounts is what administrators do about how people log in. Everything but Tell and Logouts is required.
type Accounts struct {
	Releases    mynumber.Releases
	Passwords   *password.Store
	Sessions    *session.Store
	Invitations *invitation.Store
	// InvitationAddress gives the address, with scheme and host, at which an invitation's path is used by people of the organization.
	InvitationAddress func(org identity.Organization, path string) string
	// Tell tells a person what an administrator did to how they log in, in the transaction that does it; act is "password" or "sessions" (a card's
	// release has a notice of its own). nil: nobody is told.
	Tell func(ctx context.Context, tx *sql.Tx, person identity.Person, act string, at int64) error
	// Logouts lists the logouts of some states, newest first: logout.Receipts. nil: there is no such page.
	Logouts func(ctx context.Context, states []logout.State, limit int) ([]logout.Receipt, error)
}

func (a *Accounts) complete() bool {
	return a.Releases.Links != nil && a.Releases.Sessions != nil && a.Releases.Notices != nil && a.Passwords != nil && a.Sessions != nil &&
		a.Invitations != nil && a.InvitationAddress != nil
}

// maxWhy bounds the reason of an act, in characters.
const maxWhy = 300

// usedKept is how long a used form is remembered: longer than any session, with which its token ends.
const usedKept = 48 * time.Hour

// deed is something that an administrator does about how a person logs in.
type deed struct {
	Name   string // part of its path
	Title  label
	Effect label
	Button label
	Danger bool
	Whole  bool // it takes the right over the whole workspace
}

// deeds are in the order in which a page shows them.
func deeds() []deed {
	return []deed{
		{
			Name: "card", Danger: true, Title: label{"マイナンバーカードの認証解除", "Release the card"},
			Effect: label{
				"カードと職員の結び付きを解き、この職員のログインをすべて終了します。職員には通知します。もう一度使うには、パスワードのリセットか招待の後に、カードを登録し直します。",
				"The card is the person's no more, and all their sessions end. They are told. To use a card again they link one, after a reset of the password or an invitation.",
			},
			Button: label{"認証を解除する", "Release the card"},
		},
		{
			Name: "password", Danger: true, Title: label{"パスワードのリセット", "Reset the password"},
			Effect: label{
				"カードを登録するための新しいパスワードを作り、一度だけ表示します。前のパスワードは使えなくなり、この職員のログインはすべて終了します。パスワードだけで SaaS に入ることはできません。",
				"Makes a new password for linking a card, and shows it once. The one before is void, and all sessions of the person end. No password alone opens a SaaS.",
			},
			Button: label{"パスワードをリセットする", "Reset the password"},
		},
		{
			Name: "sessions", Danger: true, Title: label{"ログインの終了", "End the sessions"},
			Effect: label{
				"この職員のログインを、すべての端末とSaaS で終了します。カードはそのまま使えるので、本人は、もう一度ログインできます。",
				"Ends all sessions of the person, on every device and in every SaaS. The card stays: they can log in again.",
			},
			Button: label{"すべてのログインを終了する", "End all sessions"},
		},
		{
			Name: "invitation", Whole: true, Title: label{"管理者の招待", "Invite the administrator"},
			Effect: label{
				"招待のアドレスと、郵送するコードを作り、一度だけ表示します。両方がそろうと、30 日以内に一度、本人のカードを登録できます。この組織の前の招待は使えなくなります。",
				"Makes an address for the person and a code for a letter, and shows them once. Together they link the person's card, once, within 30 days. Earlier invitations of the organization are void.",
			},
			Button: label{"招待を作る", "Make the invitation"},
		},
	}
}

func deedOf(name string) (deed, bool) {
	for _, d := range deeds() {
		if d.Name == name {
			return d, true
		}
	}
	return deed{}, false
}

// subject is a person as the pages about how they log in see them.
type subject struct {
	identity.Person
	Of       identity.Organization
	Card     string // id of the linked card; empty: none
	Sessions []session.Known
}

// subject reads the person of r's path inside the viewer's scope: who is outside of it isn't there.
func (c *Console) subject(ctx context.Context, r *http.Request, v viewer) (subject, error) {
	id := r.PathValue("id")
	if len(id) > maxPersonID {
		return subject{}, identity.ErrNotFound
	}
	p, err := c.cfg.Directory.Person(ctx, v.people, policies.PersonID(id))
	if err != nil {
		return subject{}, err
	}
	s := subject{Person: p}
	if s.Of, err = c.cfg.Directory.Organization(ctx, v.orgs, p.Org); err != nil {
		return s, err
	}
	if s.Card, err = c.cfg.Accounts.Releases.Links.Card(ctx, p.ID); err != nil {
		return s, err
	}
	s.Sessions, err = c.cfg.Accounts.Sessions.ListOf(ctx, v.people, p, c.cfg.Now())
	return s, err
}

// possible tells why a deed makes no sense for the person; empty: it does.
func (s subject) possible(d deed, v viewer) label {
	switch {
	case !s.Active():
		return label{"在職を終えています。ログインはすでに終了しています。", "Their service has ended, and their sessions with it."}
	case s.ID == v.actor.Person.ID:
		return label{"自分自身には行えません。ほかの管理者に頼んでください。", "Not to yourself: ask another administrator."}
	case d.Name == "card" && s.Card == "":
		return label{"カードは登録されていません。", "No card is linked."}
	case d.Name == "sessions" && len(s.Sessions) == 0:
		return label{"ログインしていません。", "They aren't logged in."}
	case d.Name == "invitation" && s.Role == policies.RoleGeneral:
		return label{"招待できるのは、管理ユーザとシステム管理者です。", "Administrators are invited."}
	}
	return label{}
}

// state names what a deed is bound to: what its page showed of the person.
func (s subject) state() string {
	h := sha256.New()
	_, _ = fmt.Fprintf(h, "%s %d %s", s.ID, s.UpdatedAt, s.Card)
	for _, x := range s.Sessions {
		_, _ = fmt.Fprintf(h, " %s", x.ID)
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// personBody is one person, and what may be done about how they log in.
type personBody struct {
	subject
	Role  label
	Deeds []offeredDeed
}

type offeredDeed struct {
	deed
	Path string
	Why  label // it makes no sense now
}

func (c *Console) personPage(ctx context.Context, w http.ResponseWriter, r *http.Request, v viewer) error {
	s, err := c.subject(ctx, r, v)
	if err != nil {
		return err
	}
	may, err := c.cfg.Resolver.Hint(ctx, v.actor, policies.ActionPeopleWrite, []policies.Organization{s.Of.Policy()}, policies.Context{})
	if err != nil {
		return err
	}
	body := personBody{subject: s, Role: roleLabel(s.Person.Role)}
	for _, d := range deeds() {
		if may.Everywhere() || !d.Whole && may.Covers(s.Org) {
			body.Deeds = append(body.Deeds, offeredDeed{d, personPath(s) + "/" + d.Name, s.possible(d, v)})
		}
	}
	return c.show(w, r, v, c.pages.person, frame{label: label{s.DisplayName(), ""}, Section: "orgs", Body: body, Crumbs: personCrumbs(s)[:2]})
}

func personPath(s subject) string { return "/people/" + string(s.ID) }

func personCrumbs(s subject) []crumb {
	return []crumb{{label{"組織", "Organizations"}, "/orgs"}, {label{s.Of.Name, ""}, "/orgs/" + string(s.Of.ID)}, {label{s.DisplayName(), ""}, personPath(s)}}
}

// actBody asks whether it shall really happen.
type actBody struct {
	subject
	deed
	Form  *form
	Proof *proof
	Not   label // why it can't be done
	Max   int
}

func (c *Console) actPage(ctx context.Context, w http.ResponseWriter, r *http.Request, v viewer) error {
	d, ok := deedOf(r.PathValue("act"))
	if !ok {
		return identity.ErrNotFound
	}
	s, err := c.subject(ctx, r, v)
	if err != nil {
		return err
	}
	if _, err := c.writing(ctx, v, s, d); err != nil { // the page is a step of the act
		return err
	}
	path := personPath(s) + "/" + d.Name
	body := actBody{subject: s, deed: d, Not: s.possible(d, v), Proof: c.freshProofFor(r, v, path), Max: maxWhy}
	if body.Not.JA == "" && body.Proof == nil {
		nonce := make([]byte, 16)
		if _, err := io.ReadFull(c.cfg.Random, nonce); err != nil {
			return fmt.Errorf("no randomness: %w", err)
		}
		f := c.formOf(r, path, base64.RawURLEncoding.EncodeToString(nonce)+" "+s.state())
		body.Form = &f
	}
	return c.show(w, r, v, c.pages.act, frame{label: d.Title, Section: "orgs", Body: body, Crumbs: personCrumbs(s)})
}

// writing mints the right to change the person. Whom the policies refuse attempted it: that is recorded.
func (c *Console) writing(ctx context.Context, v viewer, s subject, d deed) (policies.Scope, error) {
	scope, err := c.cfg.Resolver.Scope(ctx, v.actor, policies.ActionPeopleWrite, []policies.Organization{s.Of.Policy()}, policies.Context{})
	if err != nil {
		return policies.Scope{}, err
	}
	if !scope.Covers(s.Org) || d.Whole && !scope.All() {
		return policies.Scope{}, fmt.Errorf("%s of a person of %s: %w", d.Name, s.Org, identity.ErrRefused)
	}
	return scope, nil
}

// doneBody is what was done, with a secret that is shown this once.
type doneBody struct {
	subject
	Say     label
	Secrets []secret
	Back    string
}

type secret struct {
	label
	Text string
	Note label
}

// act does it.
func (c *Console) act(ctx context.Context, w http.ResponseWriter, r *http.Request, v viewer, in submitted) error {
	d, ok := deedOf(r.PathValue("act"))
	if !ok {
		return identity.ErrNotFound
	}
	s, err := c.subject(ctx, r, v)
	if err != nil {
		return err
	}
	scope, err := c.writing(ctx, v, s, d)
	if err != nil {
		return err
	}
	path := personPath(s)
	if err := c.actable(r, v, s, d, in); err != nil {
		return err
	}
	body, err := c.do(ctx, v, s, d, scope, in)
	if errors.Is(err, errUsed) || errors.Is(err, identity.ErrNotFound) {
		return changedMeanwhile(path)
	}
	if err != nil {
		return refusal(err, path)
	}
	body.subject, body.Back = s, path
	return c.show(w, r, v, c.pages.done, frame{label: d.Title, Section: "orgs", Body: body, Crumbs: personCrumbs(s)})
}

// actable holds the form to what its page showed.
func (c *Console) actable(r *http.Request, v viewer, s subject, d deed, in submitted) error {
	path := personPath(s)
	if _, state, _ := strings.Cut(in.seen, " "); state != s.state() {
		return changedMeanwhile(path)
	}
	say := func(title, l label) error { return conflict{message{label: title, Say: l, Back: path + "/" + d.Name}} }
	if why := s.possible(d, v); why.JA != "" {
		return say(label{"この操作はできません", "This can't be done"}, why)
	}
	if err := c.freshProofFor(r, v, path+"/"+d.Name); err != nil {
		return proofNeeded{*err}
	}
	why := strings.TrimSpace(in.field("why"))
	if why == "" || utf8.RuneCountInString(why) > maxWhy || !utf8.ValidString(why) {
		return say(label{"理由が要ります", "A reason is needed"}, label{"1 から 300 文字の理由を書いてください。監査記録に残ります。何も実行していません。", "Write 1 to 300 characters; they go into the audit log. Nothing was done."})
	}
	return nil
}

// errUsed says that the form was used before.
var errUsed = errors.New("console: the form was used before")

func (c *Console) do(ctx context.Context, v viewer, s subject, d deed, scope policies.Scope, in submitted) (doneBody, error) {
	now, why, a := c.cfg.Now(), strings.TrimSpace(in.field("why")), c.cfg.Accounts
	if d.Name == "card" {
		return doneBody{Say: label{"認証を解除し、ログインをすべて終了しました。職員に通知します。", "The card was released, all sessions have ended, and the person is told."}},
			a.Releases.Release(ctx, v.actor, scope, s.Person, why, now)
	}
	var body doneBody
	err := c.cfg.DB.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		body = doneBody{}
		if err := use(ctx, tx, in.field("token"), now); err != nil {
			return err
		}
		var err error
		switch d.Name {
		case "password":
			var text string
			text, err = a.Passwords.Reset(ctx, tx, v.actor, scope, s.Person, now)
			body.Say = label{"新しいパスワードを作り、ログインをすべて終了しました。", "A new password was made, and all sessions have ended."}
			body.Secrets = []secret{{label{"新しいパスワード", "New password"}, text, label{"本人に直接渡してください。メールやチャットで送らないでください。14 日以内に、カードの登録に使います。", "Hand it over in person, never by mail or chat. It links a card, within 14 days."}}}
		case "sessions":
			err = a.Sessions.EndByAdministrator(ctx, tx, v.actor, scope, s.Person, session.WhyAdmin, now)
			body.Say = label{"ログインをすべて終了しました。SaaS には、順に通知します。", "All sessions have ended. The SaaS are being told."}
		case "invitation":
			var sent invitation.Sent
			sent, err = a.Invitations.Invite(ctx, tx, v.actor, scope, s.Person, now)
			body.Say = label{"招待を作りました。アドレスとコードは、別々の経路で届けてください。", "The invitation was made. Send address and code on different ways."}
			body.Secrets = []secret{
				{label{"本人に送るアドレス", "Address for the person"}, a.InvitationAddress(s.Of, sent.Path), label{"本人のメールなどに送ります。一度だけ使えます。", "Send it to the person. It works once."}},
				{label{"郵送するコード", "Code for the letter"}, sent.Code, label{"組織に郵送します。アドレスと一緒に送らないでください。", "Post it to the organization, never together with the address."}},
			}
		}
		if err != nil {
			return err
		}
		// The stores' own rows say what was done. Why is a sentence of a person about a person, and can be erased.
		row := v.actor.AuditRow(now.UnixMicro(), "account.reason", audit.Done)
		row.Org, row.Object, row.PolicyHash, row.Personal = s.Org, string(s.ID), scope.Hash(), map[string]any{"reason": why}
		if row.Detail == nil {
			row.Detail = map[string]any{}
		}
		row.Detail["act"] = d.Name
		if err := audit.Append(ctx, tx, row); err != nil {
			return err
		}
		if a.Tell == nil || d.Name == "invitation" {
			return nil
		}
		return a.Tell(ctx, tx, s.Person, d.Name, now.UnixMicro())
	})
	return body, err
}

// use notes in tx that a form was used; errUsed where it was before.
func use(ctx context.Context, tx *sql.Tx, token string, now time.Time) error {
	if _, err := tx.ExecContext(ctx, `DELETE FROM console_used WHERE used_at < $1`, now.Add(-usedKept).UnixMicro()); err != nil {
		return fmt.Errorf("use the form: %w", err)
	}
	res, err := tx.ExecContext(ctx, `INSERT INTO console_used (token_sha256, used_at) VALUES ($1, $2) ON CONFLICT (token_sha256) DO NOTHING`, tokenHash(token), now.UnixMicro())
	if err != nil {
		return fmt.Errorf("use the form: %w", err)
	}
	n, err := res.RowsAffected()
	if err == nil && n != 1 {
		return errUsed
	}
	return err
}
