package main

import (
	"context"
	"errors"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/directory"
	"github.com/musubi-hub/musubi/identity/directory/review"
	"github.com/musubi-hub/musubi/identity/directory/table"
	"github.com/musubi-hub/musubi/identity/jst"
	"github.com/musubi-hub/musubi/policies"
)

// arrivalFlags are the flags for what somebody has after a transfer.
func arrivalFlags(cmd *cobra.Command, a *directory.Arrival) {
	f := cmd.Flags()
	f.StringVar(&a.StaffNumber, "to-staff-number", "", "staff number afterwards")
	f.StringVar(&a.Section, "section", "", "部署")
	f.StringVar(&a.Title, "title", "", "役職")
	f.StringVar(&a.Duties, "duties", "", "担当業務")
	f.StringVar(&a.Phone, "phone", "", "telephone")
	f.StringVar(&a.Extension, "extension", "", "内線")
	f.StringVar(&a.Fax, "fax", "", "FAX")
	f.StringVar(&a.Email, "email", "", "e-mail address afterwards (default: it stays)")
	f.StringVar((*string)(&a.Role), "role", "", "role afterwards: administrator (管理ユーザ), general (一般ユーザ), system_administrator (システム管理者)")
}

func roleOf(word policies.Role) policies.Role {
	for _, r := range policies.Roles() {
		if string(word) == r.Name().JA {
			return r
		}
	}
	return word
}

func newTransfersAdd(e *env) *cobra.Command {
	var a directory.Arrival
	var org, to, at, returns, handover, kind, successor, why string
	var named []string
	var embargo bool
	cmd := &cobra.Command{
		Use:   "add PERSON-ID | --org CODE STAFF-NUMBER --kind KIND --at DATE",
		Short: "異動を登録する / record a transfer",
		Long: `別の組織への異動は、送り出す組織の管理ユーザが登録し、受け入れる組織の管理ユーザが musubi transfers accept で受け入れます。
過ぎた日付の異動は、直ちに発効し、遡及の印が付きます。
A transfer to another organization is recorded by the giving one's administrator and accepted by the receiving one's. One of a past date takes effect at
once and is flagged.`,
		Example: `  musubi transfers add --org 011002 S00001 --kind 異動 --at 2027-04-01 --section 税務課 --as town.cred
  musubi transfers add --org 011002 S00001 --kind 出向 --at R9.4.1 --return R11.4.1 --to 010006 --embargo --named p1a2b3c --as town.cred
  musubi transfers add --org 011002 S00001 --kind 退職 --at 2027-03-31 --as town.cred`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			t := identity.Transfer{
				To: policies.OrgID(to), StaffNumber: a.StaffNumber, Section: a.Section, Title: a.Title, Duties: a.Duties, Phone: a.Phone,
				Extension: a.Extension, Fax: a.Fax, Email: a.Email, Role: roleOf(a.Role), Embargo: embargo || len(named) > 0,
			}
			if t.Kind, err = transferKind("--kind", kind); err != nil {
				return err
			}
			if at == "" {
				return boot.Usage(errors.New("--at: give the date, e.g. 2027-04-01"))
			}
			for _, d := range []struct {
				flag, value string
				to          *int64
			}{{"--at", at, &t.At}, {"--return", returns, &t.ReturnAt}, {"--handover-until", handover, &t.HandoverUntil}} {
				if *d.to, err = parseDay(d.flag, d.value); err != nil {
					return err
				}
			}
			for _, n := range named {
				t.Named = append(t.Named, policies.PersonID(n))
			}
			return e.withHub(cmd.Context(), false, func(ctx context.Context, h *boot.Hub) error {
				if t.Person, err = e.personID(ctx, h, args[0], org); err != nil {
					return err
				}
				if t.Successor = policies.PersonID(successor); org != "" && successor != "" {
					if t.Successor, err = e.personID(ctx, h, successor, org); err != nil {
						return err
					}
				}
				scope, actor, err := e.scope(ctx, h, policies.ActionPeopleWrite)
				if err != nil {
					return err
				}
				t, err := h.Directory.AddTransfer(ctx, scope, t, author(actor, why))
				if err != nil {
					return err
				}
				return e.showTransfer(t)
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&org, "org", "", orgFlagText)
	f.StringVar(&kind, "kind", "", "異動 (move), 出向 (second), 復帰 (return), 兼務 (concurrent), 兼務解除 (release), 権限変更 (role), 退職 (leave)")
	f.StringVar(&at, "at", "", "date, from 00:00 JST: 2027-04-01, R9.4.1")
	f.StringVar(&to, "to", "", "number of the other organization")
	f.StringVar(&returns, "return", "", "with 出向: date of return, which is planned too")
	f.StringVar(&handover, "handover-until", "", "the former post is kept until this date 引継ぎ")
	f.StringVar(&successor, "successor", "", "who becomes administrator at that date (id; with --org a staff number)")
	f.BoolVar(&embargo, "embargo", false, "内示: until its date only you and --named see it")
	f.StringSliceVar(&named, "named", nil, "`PERSON-ID`s who see it under embargo")
	f.StringVar(&why, "why", "", "reason, kept with the transfer")
	arrivalFlags(cmd, &a)
	return cmd
}

func newTransfersAccept(e *env) *cobra.Command {
	var a directory.Arrival
	var why string
	cmd := &cobra.Command{
		Use: "accept TRANSFER-ID --to-staff-number NUMBER", Short: "他団体からの異動を受け入れる / accept somebody who comes from another organization",
		Long: `受け入れる組織の管理ユーザが、職員番号・権限などを決めて受け入れます。発令日を過ぎていれば直ちに発効します。
The receiving organization's administrator gives staff number, role and the rest. Past its date the transfer takes effect at once.`,
		Example: "  musubi transfers accept t1a2b3c --to-staff-number B0123 --section 税務課 --as town.cred",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			a.Role = roleOf(a.Role)
			return e.withHub(cmd.Context(), false, func(ctx context.Context, h *boot.Hub) error {
				scope, actor, err := e.scope(ctx, h, policies.ActionPeopleWrite)
				if err != nil {
					return err
				}
				t, err := h.Directory.AcceptTransfer(ctx, scope, identity.TransferID(args[0]), a, author(actor, why))
				if err != nil {
					return err
				}
				return e.showTransfer(t)
			})
		},
	}
	cmd.Flags().StringVar(&why, "why", "", "reason, kept in the change feed and in the audit log")
	arrivalFlags(cmd, &a)
	return cmd
}

func newTransfersCancel(e *env) *cobra.Command {
	var why string
	cmd := &cobra.Command{
		Use: "cancel TRANSFER-ID", Short: "発効していない異動を取り消す / take back a transfer that hasn't taken effect",
		Long:    "取り消した内示は、発令日の後も公表されません。\nWhat is cancelled under embargo is never announced.",
		Example: "  musubi transfers cancel t1a2b3c --why 発令中止 --as town.cred",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.withHub(cmd.Context(), false, func(ctx context.Context, h *boot.Hub) error {
				scope, actor, err := e.scope(ctx, h, policies.ActionPeopleWrite)
				if err != nil {
					return err
				}
				id := identity.TransferID(args[0])
				if err := h.Directory.CancelTransfer(ctx, scope, id, author(actor, why)); err != nil {
					return err
				}
				if e.json {
					return e.printJSON("musubi.transfers.cancel.v1", struct {
						Transfer identity.TransferID `json:"transfer"`
					}{id})
				}
				say(e.stdout, "取り消しました。 / Cancelled %s.", id)
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&why, "why", "", "reason, kept in the change feed and in the audit log")
	return cmd
}

func newTransfersTemplate(e *env) *cobra.Command {
	var locale string
	cmd := &cobra.Command{
		Use: "import-template", Short: "異動ファイルの見出しを出す / print an empty file of transfers", Args: cobra.NoArgs,
		Example: "  musubi transfers import-template > transfers.csv",
		RunE: func(*cobra.Command, []string) error {
			l, err := review.ParseLocale(locale)
			if err != nil {
				return boot.Usage(err)
			}
			_, err = e.stdout.Write(directory.TransferTemplate(l != review.English))
			return err
		},
	}
	cmd.Flags().StringVar(&locale, "locale", "ja", "language of the header: ja or en")
	return cmd
}

// importTransfers is `musubi import transfers`.
func (e *env) importTransfers(cmd *cobra.Command, f importFlags, locale review.Locale, files []string) error {
	for _, flag := range []string{"complete", "complete-of", "confirm", "shared-mailbox", "alias-domain", "bad-rows", "limit-diff"} {
		if cmd.Flags().Changed(flag) {
			return boot.Usage(errors.New("--" + flag + " doesn't go with transfers"))
		}
	}
	if f.template {
		_, err := e.stdout.Write(directory.TransferTemplate(locale == review.Japanese))
		return err
	}
	file, err := openImport(files[0])
	if err != nil {
		return err
	}
	defer file.Close()
	opt := table.Options{Sheet: f.sheet}
	if f.encoding != "" {
		if opt.Encoding, err = table.ParseEncoding(f.encoding); err != nil {
			return boot.Usage(err)
		}
	}
	rows, err := directory.ReadTransfers(cmd.Context(), file, filepath.Base(files[0]), opt)
	if err != nil {
		return err
	}
	return e.withHub(cmd.Context(), false, func(ctx context.Context, h *boot.Hub) error {
		scope, actor, err := e.scope(ctx, h, policies.ActionPeopleWrite)
		if err != nil {
			return err
		}
		by := author(actor, "import")
		by.Source = "import " + rows.Name
		m := newMeter(e.stderr, "取込 / import transfers", e.now)
		result, report, err := h.Directory.ImportTransfers(ctx, scope, rows, by, m.set, directory.TransferImport{DryRun: f.dryRun, SkipBad: f.skipBad})
		m.end()
		if err != nil {
			return err
		}
		return e.tellTransfers(rows.Name, result, report, f, locale)
	})
}

// transferImportDocument is the --json answer of import transfers.
type transferImportDocument struct {
	File      string         `json:"file"`
	DryRun    bool           `json:"dry_run"`
	Published bool           `json:"published"`
	Added     int            `json:"added"`
	Unchanged int            `json:"unchanged"`
	Refused   int            `json:"refused"`
	Faults    []review.Fault `json:"faults"`
}

func (e *env) tellTransfers(name string, r directory.Result, report *review.Report, f importFlags, locale review.Locale) error {
	if e.json {
		faults := report.Faults()
		if faults == nil {
			faults = []review.Fault{}
		}
		if err := e.printJSON("musubi.import.transfers.v1", transferImportDocument{name, f.dryRun, r.Published, r.Added, r.Unchanged, r.Refused, faults}); err != nil {
			return err
		}
	} else {
		if _, err := report.Print(e.stderr, review.Printing{Locale: locale, Skipped: f.skipBad}); err != nil {
			return err
		}
		if r.Published || f.dryRun {
			say(e.stdout, "%s: 登録 / recorded %s, 登録済み / planned before %s, 誤り / refused %s", name, group(r.Added), group(r.Unchanged), group(r.Refused))
		}
		if f.dryRun {
			say(e.stdout, "試行のため、何も変えていません。 / A dry run: nothing was changed.")
		}
	}
	switch {
	case report.OK():
		return nil
	case e.json:
		return boot.Refused(errShown)
	case r.Published:
		return boot.Partial(errors.New("誤りのある行は取り込みませんでした / the wrong rows were left out"))
	}
	return notImported(name)
}

func newNotices(e *env) *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use: "notices", Short: "システム管理者への通知を見る / what the system administrator was told",
		Long: `管理者がいなくなった組織、発効できなかった異動、作動したブレーカー、承認を待つ計画を、新しい順に見せます。いま管理者が足りない組織も見せます。
Shows organizations that lost their administrator, transfers that could not take effect, breakers that have tripped and plans that
wait for approval, newest first, and who lacks an administrator now.`,
		Example: "  musubi notices --as planner.cred",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return e.withHub(cmd.Context(), false, func(ctx context.Context, h *boot.Hub) error { return e.listNotices(ctx, h, limit) })
		},
	}
	cmd.Flags().IntVar(&limit, "limit", directory.DefaultPage, "how many at most, up to 1000")
	cmd.AddCommand(newNoticesPeople(e))
	return cmd
}

type noticeView struct {
	At     string         `json:"at"`
	Kind   string         `json:"kind"`
	Org    policies.OrgID `json:"org"`
	Object string         `json:"object"`
	Detail string         `json:"detail"`
}

type vacancyView struct {
	Org   policies.OrgID `json:"org"`
	Since string         `json:"since"`
	Cause string         `json:"cause"`
}

// noticesDocument is the --json answer of notices.
type noticesDocument struct {
	Vacant  []vacancyView `json:"vacant"`
	Notices []noticeView  `json:"notices"`
}

func (e *env) listNotices(ctx context.Context, h *boot.Hub, limit int) error {
	scope, _, err := e.scope(ctx, h, policies.ActionJobsRead)
	if err != nil {
		return err
	}
	list, err := h.Directory.Notices(ctx, scope, limit)
	if err != nil {
		return err
	}
	if scope, _, err = e.scope(ctx, h, policies.ActionPeopleRead); err != nil {
		return err
	}
	vacant, err := h.Directory.Vacancies(ctx, scope)
	if err != nil {
		return err
	}
	doc := noticesDocument{Vacant: []vacancyView{}, Notices: []noticeView{}}
	for _, v := range vacant {
		doc.Vacant = append(doc.Vacant, vacancyView{v.Org, jst.Minute(v.Since), v.Cause})
	}
	for _, n := range list {
		doc.Notices = append(doc.Notices, noticeView{jst.Minute(n.At), n.Kind, n.Org, n.Object, n.Detail})
	}
	if e.json {
		return e.printJSON("musubi.notices.v1", doc)
	}
	if len(vacant) == 0 && len(list) == 0 {
		say(e.stdout, "通知はありません。 / There are no notices.")
		return nil
	}
	for _, v := range doc.Vacant {
		say(e.stdout, "管理者が足りない組織 / without an administrator: %s  %s から / since  (%s)", v.Org, v.Since, v.Cause)
	}
	c := newColumns("日時 / AT", "通知 / NOTICE", "組織 / ORG", "対象 / OBJECT", "内容 / DETAIL")
	for _, n := range doc.Notices {
		what, detail := n.Kind, n.Detail
		switch n.Kind {
		case identity.NoticeVacancy:
			what = "管理者不在"
		case identity.NoticeBreakGlass:
			what = "非常用アカウントの使用"
		case identity.NoticeBreaker:
			what = "ブレーカー作動"
		case identity.NoticePlan:
			what = "計画が承認待ち"
		case identity.NoticeMetadata:
			what = "メタデータが確認待ち"
		case identity.NoticeMetadataFails:
			what = "メタデータを読めない"
		case identity.NoticeExpires:
			what = "証明書などの期限"
		case identity.NoticeKeyEnds:
			what, detail = "署名証明書の期限", "あと "+n.Detail+" 日以内 (musubi keys readiness)"
			if n.Detail == "0" {
				detail = "期限切れ (musubi keys readiness)"
			}
		case identity.NoticeBlocked:
			what = "異動の保留"
			if r, ok := transferReasonNames[identity.TransferReason(n.Detail)]; ok {
				detail = r.JA
			}
		}
		c.row(n.At, what, string(n.Org), n.Object, detail)
	}
	c.print(e.stdout)
	return nil
}
