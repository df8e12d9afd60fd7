package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/policies"
)

// account is a person as the commands about how people log in see them, and who acts.
type account struct {
	identity.Person
	of     identity.Organization
	actor  access.Actor
	read   policies.Scope // the acting person's, for people.read
	stores *boot.Accounts
}

// account finds the person whom a command names inside the acting person's scope: who is outside of it isn't there.
func (e *env) account(ctx context.Context, h *boot.Hub, id, org string) (a account, err error) {
	if a.read, a.actor, err = e.scope(ctx, h, policies.ActionPeopleRead); err != nil {
		return a, err
	}
	if a.Person, err = personOf(ctx, h, a.read, id, org); err != nil {
		return a, err
	}
	orgs, _, err := e.scope(ctx, h, policies.ActionOrgRead)
	if err != nil {
		return a, err
	}
	if a.of, err = h.Directory.Organization(ctx, orgs, a.Org); err != nil {
		return a, err
	}
	a.stores, err = h.Accounts(ctx)
	return a, err
}

// writing mints the acting person's right to change how the person logs in.
func (e *env) writing(ctx context.Context, h *boot.Hub, a account) (policies.Scope, error) {
	if a.actor.Kind == access.KindPerson && a.actor.Person.ID == a.Person.ID {
		return policies.Scope{}, boot.Refused(errors.New("自分自身には行えません。ほかの管理者に頼んでください。 / not to yourself: ask another administrator"))
	}
	return h.Scope(ctx, a.actor, policies.ActionPeopleWrite, policies.Context{})
}

// who writes the person for a screen.
func (a account) who() string {
	return fmt.Sprintf("%s (%s %s)", a.DisplayName(), a.of.Name, a.StaffNumber)
}

// accountView is the person in --json answers.
type accountView struct {
	Person      policies.PersonID `json:"person"`
	Name        string            `json:"name"`
	Org         policies.OrgID    `json:"org"`
	StaffNumber string            `json:"staff_number"`
}

func (a account) view() accountView {
	return accountView{a.Person.ID, a.DisplayName(), a.Org, a.StaffNumber}
}

// maxReason bounds the reason of an act, in characters.
const maxReason = 300

// reasonOf takes the reason that a person gave. It is a sentence of a person about a person: personal data, which can be erased.
func reasonOf(text string) (string, error) {
	text = strings.TrimSpace(text)
	if text == "" || utf8.RuneCountInString(text) > maxReason || !utf8.ValidString(text) {
		return "", boot.Usage(fmt.Errorf("理由を書いてください (監査記録に残ります) / say why, in 1 to %d characters; it goes into the audit log: --reason TEXT", maxReason))
	}
	return text, nil
}

const reasonFlagText = "the reason, 1 to 300 characters; it goes into the audit log, where it can be erased"

// because records the reason beside the row of the store that acted, in its transaction.
func (a account) because(ctx context.Context, tx *sql.Tx, scope policies.Scope, act, reason string, at int64) error {
	row := a.actor.AuditRow(at, "account.reason", audit.Done)
	row.Org, row.Object, row.PolicyHash, row.Personal = a.Org, string(a.Person.ID), scope.Hash(), map[string]any{"reason": reason}
	if row.Detail == nil {
		row.Detail = map[string]any{}
	}
	row.Detail["act"] = act
	return audit.Append(ctx, tx, row)
}

// told says how the person hears of it.
func (e *env) told(h *boot.Hub) string {
	if h.Mails() {
		return "本人にメールで知らせます。 / The person is told by mail."
	}
	return "メールの中継が設定されていないので、本人への知らせは送られません (`musubi notices people`)。本人に伝えてください。" +
		"\nNo mail relay is configured, so the person isn't told (`musubi notices people`): tell them yourself."
}

// secretFiles are files of mode 0600 that hold what is shown once. They are written inside the transaction that makes it: no file, no secret. undo
// removes them where the transaction fails afterwards.
type secretFiles struct{ made []string }

// place checks a file's name before anything begins.
func placeSecret(flag, path string) error {
	if path == "" {
		return boot.Usage(fmt.Errorf("give %s FILE: it is made with mode 0600 and must not exist", flag))
	}
	if _, err := os.Lstat(path); err == nil {
		return boot.Usage(fmt.Errorf("%s %s: %w; choose another name", flag, path, fs.ErrExist))
	}
	if info, err := os.Stat(filepath.Dir(path)); err != nil || !info.IsDir() {
		return boot.Usage(fmt.Errorf("%s %s: its folder isn't there", flag, path))
	}
	return nil
}

func (s *secretFiles) write(path, text string) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	s.made = append(s.made, path)
	_, err = f.WriteString(text)
	return errors.Join(err, f.Sync(), f.Close())
}

// keep removes the files where err says that nothing happened, and gives err on.
func (s *secretFiles) keep(err error) error {
	if err == nil {
		return nil
	}
	for _, path := range s.made {
		err = errors.Join(err, os.Remove(path))
	}
	return err
}

// help is the RunE of a command that only has others below it.
func help(cmd *cobra.Command, _ []string) error { return cmd.Help() }
