package main

import (
	"context"
	"database/sql"
	"time"

	"github.com/spf13/cobra"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/password"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/notice"
)

func newPassword(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "password",
		Short: "パスワードのリセットと、非常用アカウントの封印 / reset passwords, seal break-glass accounts",
		Long: `パスワードは 2 つのことにだけ使います。カードを登録する前の本人確認 (reset) と、カードが使えない非常時のシステム管理者のログイン (seal) です。
パスワードで SaaS に入ることはできません。
A password is for two things alone: proving an account before a card is linked (reset), and letting a system administrator in when no card
works (seal). No password opens a SaaS.`,
		Args: cobra.NoArgs, RunE: help,
	}
	cmd.AddCommand(newPasswordReset(e), newPasswordSeal(e), newPasswordUnseal(e), newPasswordList(e))
	return cmd
}

// passwordDocument is the --json answer of password reset and seal. Password is empty where it was written to a file.
type passwordDocument struct {
	accountView
	Kind     password.Kind `json:"kind"`
	Password string        `json:"password,omitempty"`
	File     string        `json:"file,omitempty"`
	Until    string        `json:"until"`
	Mailed   bool          `json:"mailed"` // whether the person hears of it by mail
}

// issue makes a password of a kind and hands it over, once.
func (e *env) issue(ctx context.Context, h *boot.Hub, a account, scope policies.Scope, kind password.Kind, reason, out string) (passwordDocument, error) {
	now := h.Now()
	doc := passwordDocument{accountView: a.view(), Kind: kind, Mailed: h.Mails(), File: out}
	make, life, tell := a.stores.Passwords.Reset, password.LinkLife, notice.PasswordReset
	if kind == password.KindSealed {
		make, life, tell = a.stores.Passwords.Seal, password.SealedLife, notice.Sealed
	}
	doc.Until = showTime(now.Add(life))
	var files secretFiles
	err := h.DB.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		text, err := make(ctx, tx, a.actor, scope, a.Person, now)
		if err != nil {
			return err
		}
		if err := a.because(ctx, tx, scope, "password", reason, now.UnixMicro()); err != nil {
			return err
		}
		if err := h.Persons.Tell(ctx, tx, tell, a.Person, now.UnixMicro()); err != nil {
			return err
		}
		if out != "" {
			return files.write(out, text+"\n")
		}
		doc.Password = text
		return nil
	})
	return doc, files.keep(err)
}

func newPasswordReset(e *env) *cobra.Command {
	var org, reason, out string
	cmd := &cobra.Command{
		Use:   "reset PERSON-ID | --org CODE STAFF-NUMBER",
		Short: "パスワードのリセット: カード登録用の新しいパスワードを渡す / hand over a new password for linking a card",
		Long: `新しいパスワードを作り、一度だけ表示します (--out なら 0600 のファイルに書きます)。本人へ直接渡してください。14 日以内に、カードの登録に使います。
前のパスワードは使えなくなり、その職員の開いているログインはすべて終了します。組織の管理者は、自分の組織の職員にだけ行えます。
Makes a new password and shows it once, or writes it to a file of mode 0600. Hand it over in person: it links a card, within 14 days. The one
before is void and all sessions of the person end. An organization's administrator may do this for their own people.`,
		Example: "  musubi password reset --org 011002 S00002 --reason 新任のため --as town.cred\n  musubi password reset --org 011002 S00002 --reason 新任のため --out S00002.txt --as town.cred",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			reason, err := reasonOf(reason)
			if err != nil {
				return err
			}
			if out != "" {
				if err := placeSecret("--out", out); err != nil {
					return err
				}
			}
			return e.withHub(cmd.Context(), false, func(ctx context.Context, h *boot.Hub) error {
				a, err := e.account(ctx, h, args[0], org)
				if err != nil {
					return err
				}
				scope, err := e.writing(ctx, h, a)
				if err != nil {
					return err
				}
				doc, err := e.issue(ctx, h, a, scope, password.KindLink, reason, out)
				if err != nil {
					return err
				}
				if e.json {
					return e.printJSON("musubi.password.v1", doc)
				}
				say(e.stdout, "パスワードをリセットしました。前のものは使えません。開いていたログインはすべて終了しました。\nThe password was reset. The one before is void, and all sessions have ended.\n")
				e.tellPassword(a, doc)
				say(e.stdout, "本人へ直接渡してください。メールやチャットで送らないでください。 / Hand it over in person, never by mail or chat.\n%s", e.told(h))
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&org, "org", "", orgFlagText)
	cmd.Flags().StringVar(&reason, "reason", "", reasonFlagText)
	cmd.Flags().StringVar(&out, "out", "", "write the password to this new file of mode 0600 instead of showing it")
	return cmd
}

func (e *env) tellPassword(a account, doc passwordDocument) {
	say(e.stdout, "職員 / person          %s", a.who())
	if doc.File != "" {
		say(e.stdout, "ファイル / file        %s", doc.File)
	} else {
		say(e.stdout, "パスワード / password  %s", doc.Password)
	}
	say(e.stdout, "期限 / until           %s\n", doc.Until)
}

func newPasswordSeal(e *env) *cobra.Command {
	var org, reason, out string
	cmd := &cobra.Command{
		Use:   "seal PERSON-ID | --org CODE STAFF-NUMBER",
		Short: "システム管理者の非常用アカウントを封印する / seal a system administrator's break-glass account",
		Long: `別のシステム管理者のために、非常用アカウントのパスワードを作り、0600 のファイルに書きます。印刷して封筒に入れ、金庫で保管し、ファイルは消してください。
1 年間有効です。使われると、システム管理者全員に知らされます。自分のものは封印できません。前のものは無効になります。
Makes the password of another system administrator's break-glass account, in a file of mode 0600: print it, put it into an envelope in a safe, and
delete the file. It works for a year, and all system administrators are told when it is used. Nobody seals their own; one before is void.`,
		Example: "  musubi password seal --org 8000012010038 admin-2 --reason 年次更新 --out envelope.txt --as planner.cred",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			reason, err := reasonOf(reason)
			if err != nil {
				return err
			}
			if err := placeSecret("--out", out); err != nil {
				return err
			}
			return e.withHub(cmd.Context(), false, func(ctx context.Context, h *boot.Hub) error {
				a, err := e.account(ctx, h, args[0], org)
				if err != nil {
					return err
				}
				scope, err := e.writing(ctx, h, a)
				if err != nil {
					return err
				}
				doc, err := e.issue(ctx, h, a, scope, password.KindSealed, reason, out)
				if err != nil {
					return err
				}
				if e.json {
					return e.printJSON("musubi.password.v1", doc)
				}
				say(e.stdout, "非常用アカウントのパスワードを作りました。 / The break-glass account's password was made.\n")
				e.tellPassword(a, doc)
				say(e.stdout, "印刷して封筒に入れ、金庫で保管し、ファイルは消してください。 / Print it, seal it in an envelope, keep it in a safe, and delete the file.\n%s", e.told(h))
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&org, "org", "", orgFlagText)
	cmd.Flags().StringVar(&reason, "reason", "", reasonFlagText)
	cmd.Flags().StringVar(&out, "out", "", "the new file of mode 0600 to write the password to; required")
	return cmd
}

func newPasswordUnseal(e *env) *cobra.Command {
	var org, reason string
	cmd := &cobra.Command{
		Use:   "unseal PERSON-ID | --org CODE STAFF-NUMBER",
		Short: "非常用アカウントを廃止する / take a break-glass account away",
		Long: `封印されたパスワードを無効にし、それで開いたログインを終了します。封筒は細断してください。
Makes the sealed password void and ends the sessions that it opened. Shred the envelope.`,
		Example: "  musubi password unseal --org 8000012010038 admin-2 --reason 異動 --as planner.cred",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			reason, err := reasonOf(reason)
			if err != nil {
				return err
			}
			return e.withHub(cmd.Context(), false, func(ctx context.Context, h *boot.Hub) error {
				a, err := e.account(ctx, h, args[0], org)
				if err != nil {
					return err
				}
				scope, err := h.Scope(ctx, a.actor, policies.ActionPeopleWrite, policies.Context{})
				if err != nil {
					return err
				}
				now := h.Now()
				err = h.DB.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
					if err := a.stores.Passwords.Unseal(ctx, tx, a.actor, scope, a.Person, now); err != nil {
						return err
					}
					if err := a.because(ctx, tx, scope, "unseal", reason, now.UnixMicro()); err != nil {
						return err
					}
					return h.Persons.Tell(ctx, tx, notice.Unsealed, a.Person, now.UnixMicro())
				})
				if err != nil {
					return err
				}
				if e.json {
					return e.printJSON("musubi.password.unseal.v1", a.view())
				}
				say(e.stdout, "非常用アカウントを廃止しました: %s / The break-glass account is gone. 封筒は細断してください。 / Shred the envelope.\n%s", a.who(), e.told(h))
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&org, "org", "", orgFlagText)
	cmd.Flags().StringVar(&reason, "reason", "", reasonFlagText)
	return cmd
}

// sealedView is a sealed account in the --json answer.
type sealedView struct {
	accountView
	SealedAt string `json:"sealed_at"`
	Until    string `json:"until"`
	State    string `json:"state"` // standing, expired, person_ended
}

// sealedDocument is the --json answer of password list.
type sealedDocument struct {
	Sealed []sealedView `json:"sealed"`
}

func newPasswordList(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "封印された非常用アカウントを見る / the sealed break-glass accounts",
		Long: `だれの非常用アカウントが、いつまで封印されているかを見せます。パスワードは見せません。だれも知らないからです。
Shows whose break-glass account is sealed until when. It shows no password: nobody knows them.`,
		Example: "  musubi password list --as planner.cred",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return e.withHub(cmd.Context(), false, e.listSealed)
		},
	}
}

func (e *env) listSealed(ctx context.Context, h *boot.Hub) error {
	scope, _, err := e.scope(ctx, h, policies.ActionPeopleRead)
	if err != nil {
		return err
	}
	stores, err := h.Accounts(ctx)
	if err != nil {
		return err
	}
	list, err := stores.Passwords.Sealed(ctx, scope)
	if err != nil {
		return err
	}
	doc := sealedDocument{Sealed: []sealedView{}}
	for _, s := range list {
		p, err := h.Directory.Person(ctx, scope, s.Person)
		if err != nil {
			return err
		}
		v := sealedView{accountView: account{Person: p}.view(), SealedAt: showTime(time.UnixMicro(s.SetAt)), Until: showTime(time.UnixMicro(s.ExpiresAt))}
		v.State = sealedState(p, s, h.Now())
		doc.Sealed = append(doc.Sealed, v)
	}
	if e.json {
		return e.printJSON("musubi.password.list.v1", doc)
	}
	if len(doc.Sealed) == 0 {
		say(e.stdout, "封印された非常用アカウントはありません。カードが使えない非常時に、だれもログインできません。\nNo break-glass account is sealed: nobody could log in when no card works. (musubi password seal)")
		return nil
	}
	c := newColumns("氏名 / NAME", "職員番号 / NUMBER", "封印 / SEALED", "期限 / UNTIL", "状態 / STATE")
	names := map[string]string{"standing": "有効", "expired": "期限切れ", "person_ended": "退職"}
	for _, v := range doc.Sealed {
		c.row(v.Name, v.StaffNumber, v.SealedAt, v.Until, names[v.State])
	}
	c.print(e.stdout)
	return nil
}

// sealedState says whether a sealed account would let its person in.
func sealedState(p identity.Person, a password.Account, now time.Time) string {
	switch {
	case !p.Active():
		return "person_ended"
	case a.ExpiresAt <= now.UnixMicro():
		return "expired"
	}
	return "standing"
}
