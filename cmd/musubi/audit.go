package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/policies"
)

func newAudit(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "監査ログを検証・検索・書き出す / verify, search and export the audit log",
		Long: `監査ログは追記だけで、動いているハブが毎秒、順番を付けて署名します。
The audit log is append-only; a running hub sequences and signs it every second.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newAuditVerify(e), newAuditFind(e), newAuditExport(e), newAuditErase(e))
	return cmd
}

func newAuditVerify(e *env) *cobra.Command {
	var checkpoints, trusted []string
	var export string
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "改変・削除・入替・挿入・偽造がないか調べる / look for rows changed, removed, reordered, inserted, and forged checkpoints",
		Long: `オフラインで動き、データベースの写しも調べられます。何も変えません。
Works offline, on the hub's database or on a copy of it (--database sqlite:COPY), and changes nothing. Without --database the
checkpoint file of the data folder is compared too. A checkpoint that you kept elsewhere (--checkpoint) also shows a tail that was
cut, and a log that was made anew by whoever holds the signing key; a verifier line that you kept (--key) believes no key of the
database. Exit code 3: something isn't as it was signed.`,
		Example: "  musubi audit verify\n  musubi audit verify --database sqlite:copy.db --checkpoint kept/audit-checkpoint --json\n  musubi audit verify --export audit.jsonl --key 'musubi-audit/...'",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if export != "" {
				if len(checkpoints) > 0 {
					return boot.Usage(errors.New("--export carries its own checkpoint; leave --checkpoint out"))
				}
				return e.verifyExport(export, trusted)
			}
			return e.verifyLog(cmd.Context(), checkpoints, trusted)
		},
	}
	cmd.Flags().StringArrayVar(&checkpoints, "checkpoint", nil, "checkpoint file kept elsewhere; may be given more than once")
	cmd.Flags().StringArrayVar(&trusted, "key", nil, "verifier line of `musubi keys list`, kept elsewhere; then no other key is believed")
	cmd.Flags().StringVar(&export, "export", "", "verify this file of `musubi audit export` instead of a database")
	return cmd
}

func (e *env) verifyLog(ctx context.Context, files, trusted []string) error {
	cfg, err := e.loadConfig()
	if err != nil {
		return err
	}
	opt := audit.VerifyOptions{Keys: trusted}
	if _, err := audit.ParseVerifiers(trusted...); err != nil {
		return boot.Usage(err)
	}
	for _, file := range files {
		signed, err := audit.ReadCheckpointFile(file)
		if err != nil {
			return boot.Usage(err)
		}
		opt.Kept = append(opt.Kept, audit.Kept{Name: file, Note: signed})
	}
	if e.database == "" { // of a copy the data folder's file may be newer
		file := boot.CheckpointFile(cfg.Config, e.data)
		switch signed, err := audit.ReadCheckpointFile(file); {
		case err == nil:
			opt.Kept = append(opt.Kept, audit.Kept{Name: file, Note: signed})
		case !errors.Is(err, fs.ErrNotExist):
			return boot.Usage(err)
		}
	}
	db, err := boot.OpenDatabase(ctx, cfg.Config, sqldb.Options{ReadOnly: true})
	if err != nil {
		if !errors.Is(err, sqldb.ErrUnreachable) {
			err = boot.Usage(err)
		}
		return err
	}
	rep, err := audit.Verify(ctx, db, opt)
	if err = errors.Join(err, db.Close()); err != nil {
		return err
	}
	if e.json {
		if rep.Faults == nil {
			rep.Faults = []audit.Fault{}
		}
		err = e.printJSON("musubi.audit-verify.v1", struct {
			OK bool `json:"ok"`
			audit.Report
		}{rep.OK(), rep})
	} else {
		e.showReport(rep)
	}
	if err == nil && !rep.OK() {
		err = boot.Refused(fmt.Errorf("the audit log isn't what was signed: %s faults", group(len(rep.Faults)+int(rep.More))))
	}
	return err
}

// faultWords names each kind of fault for people.
var faultWords = map[audit.FaultKind]string{
	audit.FaultChanged: "改変 / changed", audit.FaultRemoved: "削除 / removed", audit.FaultReordered: "入替 / reordered",
	audit.FaultInserted: "挿入 / inserted", audit.FaultForged: "署名の偽造 / forged checkpoint", audit.FaultCut: "末尾の切取り / cut tail",
	audit.FaultRewritten: "書換え / rewritten", audit.FaultHash: "ハッシュ値の破損 / stored hash", audit.FaultCheckpoint: "署名の欠落 / missing checkpoint",
	audit.FaultPersonal: "個人情報の改変 / personal data", audit.FaultOtherLog: "別のログ / another log",
}

func (e *env) showReport(rep audit.Report) {
	last := func(at int64) string {
		if at == 0 {
			return "-"
		}
		return showTime(time.UnixMicro(at))
	}
	say(e.stdout, "監査ログ / audit log %s", rep.Origin)
	say(e.stdout, "  行 / rows %s, 署名 / checkpoints %s, 最後の署名 / last signed %s", group(int(rep.Rows)), group(int(rep.Checkpoints)), last(rep.Last))
	if rep.Kept > 0 {
		say(e.stdout, "  外に控えた署名と一致 / agrees with %d checkpoints kept outside of the database", rep.Kept)
	}
	if rep.Unsequenced > 0 {
		say(e.stdout, "  未署名の末尾 / not signed yet: %s 行 / rows, 最古 / oldest %s (serve が署名します / a serving hub signs them)", group(int(rep.Unsequenced)), last(rep.Oldest))
	}
	if rep.Personal+rep.Erased > 0 {
		say(e.stdout, "  個人情報を持つ行 / rows with personal data %s, 消去済み / erased %s", group(int(rep.Personal)), group(int(rep.Erased)))
	}
	for _, f := range rep.Faults {
		when := ""
		if f.FromAt != 0 || f.UntilAt != 0 {
			when = fmt.Sprintf(" [署名 / signed %s 〜 %s]", last(f.FromAt), last(f.UntilAt))
		}
		say(e.stdout, "  ✗ %s: %s%s", faultWords[f.Kind], f.Text, when)
	}
	if rep.More > 0 {
		say(e.stdout, "  … ほか %s 件 / %s more", group(int(rep.More)), group(int(rep.More)))
	}
	if rep.Unconfirmed > 0 {
		say(e.stdout, "  確認できない行 / rows that can't be confirmed because of it: %s", group(int(rep.Unconfirmed)))
	}
	if rep.OK() {
		say(e.stdout, "異常はありません。 / Everything is as it was signed.")
	}
}

func (e *env) verifyExport(file string, trusted []string) error {
	f, err := os.Open(file)
	if err != nil {
		return boot.Usage(err)
	}
	defer f.Close()
	rep, err := audit.VerifyExport(f, trusted)
	if err != nil {
		return boot.Refused(fmt.Errorf("%s: %w", file, err))
	}
	if e.json {
		return e.printJSON("musubi.audit-verify-export.v1", struct {
			OK bool `json:"ok"`
			audit.ExportReport
		}{true, rep})
	}
	say(e.stdout, "監査ログ / audit log %s: %s 行すべてが署名どおり / all %s rows are as signed (%s)", rep.Origin, group(int(rep.Rows)), group(int(rep.Rows)), showTime(time.UnixMicro(rep.At)))
	if rep.OwnKeys {
		say(e.stdout, "鍵はこのファイル自身のものです。控えた鍵は --key で渡してください。 / The keys are the file's own: give the one that you kept with --key.")
	}
	return nil
}

func newAuditErase(e *env) *cobra.Command {
	var why string
	cmd := &cobra.Command{
		Use:   "erase ROW-ID",
		Short: "行の個人情報を消す (行は残る) / erase the personal data of a row; the row stays",
		Long: `行の外に置いた個人情報だけを消します。行と署名は残り、ログの検証は通り続けます。消したことも記録されます。
Erases only the personal data that is kept beside the row. Row and signature stay, the log still verifies, and the erasure is
recorded.`,
		Example: "  musubi audit erase 019a... --why 'request of 2026-11-22' --as planner.cred",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if why == "" {
				return boot.Usage(errors.New("say why: --why TEXT (without personal data: it stays in the log)"))
			}
			return e.withHub(cmd.Context(), false, func(ctx context.Context, h *boot.Hub) error {
				actor, err := h.Actor(ctx, e.as)
				if err != nil {
					return err
				}
				scope, err := h.Scope(ctx, actor, policies.ActionPeopleWrite, policies.Context{})
				if err != nil {
					return err
				}
				row := actor.AuditRow(h.Now().UnixMicro(), "audit.erase", audit.Done)
				row.Reason, row.PolicyHash = why, scope.Hash()
				if err := h.DB.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error { return audit.Erase(ctx, tx, scope, args[0], row) }); err != nil {
					return err
				}
				if e.json {
					return e.printJSON("musubi.audit-erase.v1", struct {
						Row string `json:"row"`
					}{args[0]})
				}
				say(e.stdout, "個人情報を消しました / erased the personal data of %s", args[0])
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&why, "why", "", "why it is erased; stays in the log")
	return cmd
}
