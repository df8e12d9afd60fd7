package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/musubi-hub/musubi/cmd/internal/backup"
	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/cmd/internal/config"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/sync/jobs"
	"github.com/musubi-hub/musubi/sync/provision"
)

func newBackup(e *env) *cobra.Command {
	var to string
	var secrets bool
	cmd := &cobra.Command{
		Use:   "backup --to FILE|FOLDER",
		Short: "動かしたまま控えを取る / make a backup while the hub runs",
		Long: `ある一瞬のデータベース、設定、鍵のフォルダを、一つのファイル (0600) にまとめます。ハブは止めません。
SaaS のトークンは --with-secrets のときだけ含みます。控えには個人情報が入ります。厳重に保管してください。
Keeps the database as of one moment, the configuration and the keys folder in one file (mode 0600). The hub goes on meanwhile.
The tokens of the SaaS are kept only with --with-secrets. A backup holds personal data: store it accordingly, and its SHA-256 elsewhere.`,
		Example: "  musubi backup --to /backup --as planner.cred\n  musubi backup --to today.backup --with-secrets --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if to == "" {
				return boot.Usage(errors.New("give --to: a file that isn't there, or a folder"))
			}
			return e.backup(cmd.Context(), to, secrets)
		},
	}
	cmd.Flags().StringVar(&to, "to", "", "file to write, which must not exist, or a folder")
	cmd.Flags().BoolVar(&secrets, "with-secrets", false, "also keep the tokens that the configuration names, if they lie in the data folder")
	return cmd
}

// backupDocument is the --json answer of backup.
type backupDocument struct {
	backup.Result
	Engine  sqldb.Engine `json:"engine"`
	Tables  int          `json:"tables"`
	Rows    int64        `json:"rows"`
	Secrets bool         `json:"with_secrets"`
	Seconds float64      `json:"seconds"`
}

func (e *env) backup(ctx context.Context, to string, secrets bool) error {
	began := e.now()
	loaded, err := e.loadConfig()
	if err != nil {
		return err
	}
	if path, ok := strings.CutPrefix(loaded.Database, "sqlite:"); ok {
		if _, err := os.Stat(path); err != nil { // opening would make it
			return boot.Usage(fmt.Errorf("there is no database to keep: %w: name the data folder with --data", err))
		}
	}
	h, err := boot.OpenHub(ctx, boot.Options{Data: e.data, Config: loaded.Config, Bare: true, Now: e.now, Log: e.logger(loaded.Log, "text")})
	if err != nil {
		return err
	}
	defer func() { _ = h.Close() }() // nothing of it is unsaved
	actor, err := h.Actor(ctx, e.as)
	if err != nil {
		return err
	}
	current, _, err := boot.Versions(ctx, h.DB)
	if err != nil {
		return err
	}
	r, err := backup.Make(ctx, backup.Options{
		DB: h.DB, Versions: current, Data: e.data, Config: loaded, To: to, Secrets: secrets, Program: version, Now: e.now(),
		Record: func(ctx context.Context, r backup.Result) error {
			return e.recordCopy(ctx, h.DB, actor, "backup.make", r.SHA256, map[string]any{"rows": r.Manifest.Database.Rows(), "bytes": r.Bytes, "with_secrets": secrets})
		},
	})
	if err != nil {
		return err
	}
	doc := backupDocument{r, r.Manifest.Database.Engine, len(r.Manifest.Database.Tables), r.Manifest.Database.Rows(), secrets, e.now().Sub(began).Seconds()}
	if e.json {
		return e.printJSON("musubi.backup.made.v1", doc)
	}
	say(e.stdout, "%s  %s bytes\nSHA-256 %s", r.File, group(int(r.Bytes)), r.SHA256)
	say(e.stderr, "%s 表、%s 行を控えました。 / %d tables, %s rows, in %.1f s.", group(doc.Tables), group(int(doc.Rows)), doc.Tables, group(int(doc.Rows)), doc.Seconds)
	for _, file := range r.Outside {
		say(e.stderr, "含まれません / not included: %s", file)
	}
	return nil
}

// recordCopy writes the audit row of a backup or a restore, before it counts.
func (e *env) recordCopy(ctx context.Context, db *sqldb.DB, actor access.Actor, action, object string, detail map[string]any) error {
	kind := audit.ActorBreakGlass
	if actor.Kind == access.KindPerson {
		kind = audit.ActorPerson
	}
	return db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		return audit.Append(ctx, tx, audit.Row{
			At: e.now().UnixMicro(), Actor: actor.ID(), ActorKind: kind, Action: action, Object: object, Outcome: audit.Done, Detail: detail,
		})
	})
}

// releaseJobs gives back the jobs that were running at the time of the backup: nobody works them now.
func releaseJobs(ctx context.Context, db *sqldb.DB, now func() time.Time, log *slog.Logger) error {
	w := jobs.NewWorkers()
	provision.Declare(w)
	client, err := jobs.NewInsertOnly(jobs.Config{DB: db, Workers: w, Logger: log, Now: now})
	if err != nil {
		return err
	}
	_, err = client.RecoverAll(ctx)
	return err
}

func newRestore(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "restore FILE",
		Short: "控えから、空のフォルダとデータベースに戻す / bring a backup back, into an empty folder and database",
		Long: `--data の空のフォルダに戻します。PostgreSQL では、空のデータベースも要ります (--database)。何も上書きしません。
すべての部分のハッシュと行数を確かめてから置きます。戻したあとは、まず計画で SaaS との違いを確かめてください (docs/backup.md)。
Brings a backup back into the empty folder of --data and, with PostgreSQL, an empty database (--database). Nothing is ever
overwritten. Every part's sum and every table's row count are checked before anything is in its place.`,
		Example: "  musubi restore today.backup --data /var/lib/musubi\n  musubi restore today.backup --data /var/lib/musubi --database postgres://musubi@db/new",
		Args:    cobra.ExactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return e.restore(cmd.Context(), args[0]) },
	}
}

// restoreDocument is the --json answer of restore.
type restoreDocument struct {
	Data    string        `json:"data"`
	MadeAt  time.Time     `json:"made_at"`
	Engine  sqldb.Engine  `json:"engine"`
	Tables  int           `json:"tables"`
	Rows    int64         `json:"rows"`
	Missing config.Faults `json:"missing"` // secrets that the configuration names and that aren't there
	Audit   audit.Report  `json:"audit"`   // of the log as it came back
	Seconds float64       `json:"seconds"`
}

func (e *env) restore(ctx context.Context, file string) error {
	began := e.now()
	if e.as != "" {
		return boot.Usage(errors.New("--as: nobody can be known before the database is back: restore as break-glass, without --as"))
	}
	actor, err := access.BreakGlass(boot.OSUser())
	if err != nil {
		return err
	}
	log := e.logger(config.Log{Level: "warn", Format: "text"}, "text")
	r, err := backup.Restore(ctx, backup.RestoreOptions{
		File: file, Data: e.data, Log: log,
		Config: func(data string) (config.Loaded, error) {
			there := *e
			there.data = data
			return there.loadConfig()
		},
	})
	if err != nil {
		if errors.Is(err, backup.ErrDamaged) {
			return boot.Refused(err)
		}
		return err
	}
	db, err := boot.OpenDatabase(ctx, r.Config.Config, sqldb.Options{Logger: log})
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }() // what is written below is committed
	if err := boot.Migrate(ctx, db); err != nil {
		return err
	}
	verified, err := audit.Verify(ctx, db, audit.VerifyOptions{})
	if err != nil {
		return err
	}
	if err := releaseJobs(ctx, db, e.now, log); err != nil {
		return err
	}
	rows := r.Manifest.Database.Rows()
	if err := e.recordCopy(ctx, db, actor, "backup.restore", r.Manifest.MadeAt.Format(time.RFC3339), map[string]any{"rows": rows, "made_by": r.Manifest.Program}); err != nil {
		return err
	}
	doc := restoreDocument{e.data, r.Manifest.MadeAt, r.Manifest.Database.Engine, len(r.Manifest.Database.Tables), rows, append(config.Faults{}, r.Config.CheckSecrets()...), verified, e.now().Sub(began).Seconds()}
	var tampered error
	if !verified.OK() {
		tampered = boot.Partial(fmt.Errorf("everything is back, but its audit log isn't what was signed: %s faults; read them with `musubi audit verify`", group(len(verified.Faults)+int(verified.More))))
	}
	if e.json {
		return errors.Join(e.printJSON("musubi.restore.v1", doc), tampered)
	}
	say(e.stdout, "%s: %s の控えから %s 行を戻しました。 / %s rows are back, as of %s.", e.data, showTime(doc.MadeAt), group(int(rows)), group(int(rows)), showTime(doc.MadeAt))
	for _, f := range doc.Missing {
		say(e.stderr, "足りません / missing: %s", f)
	}
	return tampered
}
