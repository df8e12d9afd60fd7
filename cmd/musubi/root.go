package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/cmd/internal/config"
	"github.com/musubi-hub/musubi/identity/jst"
)

// env is what every command shares: the global flags and where to write.
type env struct {
	data     string
	config   string
	database string
	as       string
	json     bool
	logLevel string
	environ  []string // of the process

	stdout   *os.File
	stderr   *os.File
	now      func() time.Time
	patience time.Duration // how long nothing may move, for a reason that lies outside, before a person is told
}

func newEnv(stdout, stderr *os.File) *env {
	return &env{stdout: stdout, stderr: stderr, now: time.Now, patience: 20 * time.Second, environ: os.Environ()}
}

func newRoot(e *env) *cobra.Command {
	root := &cobra.Command{
		Use:   "musubi",
		Short: "結び: 行政 SaaS の統合ハブ / the integration hub of a government workspace",
		Long: `結び (Musubi) は、自治体・府省庁の職員を、チケットなどの SaaS に正しく登録し、登録を外すハブです。
Musubi brings the people of local governments and ministries into SaaS products, and out of them again.

The main job, step by step:
  musubi init --agency 8000012010038 --name デジタル庁 ...   the operating agency and its first two administrators
  musubi import orgs localgov.csv --as planner.cred         the national list
  musubi import people people.csv --as planner.cred         their staff
  musubi plan --as planner.cred                             what will happen, and its hash
  musubi approve HASH --as approver.cred                    by another person
  musubi apply HASH --as planner.cred                       it happens; safe to interrupt and to repeat

Or see it all at once, with a stand-in of the SaaS on this machine:
  musubi demo`,
		SilenceUsage: true, SilenceErrors: true, Version: version,
		Args:             cobra.NoArgs,
		PersistentPreRun: func(cmd *cobra.Command, _ []string) { e.places(cmd) },
		RunE:             func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetOut(e.stdout)
	root.SetErr(e.stderr)
	f := root.PersistentFlags()
	f.StringVar(&e.data, "data", "data", "folder that holds the database, the secrets and musubi.yaml")
	f.StringVar(&e.config, "config", "", "configuration file (default: musubi.yaml in the data folder)")
	f.StringVar(&e.database, "database", "", `database, instead of the configuration's: "sqlite:FILE" or "postgres://..."`)
	f.StringVar(&e.as, "as", "", "credential file of the acting person (mode 0600); without it you act as break-glass, audited, and never approve")
	f.BoolVar(&e.json, "json", false, "print one JSON document instead of text")
	f.StringVar(&e.logLevel, "log-level", "", "debug, info, warn or error (default: the configuration's, else warn); logs go to standard error")
	root.AddCommand(
		newInit(e), newImport(e), newPeople(e), newPlan(e), newSeats(e), newApprove(e), newApply(e), newServe(e), newDemo(e), newSandbox(e), newOpen(e), newCredential(e),
		newConfig(e), newConnectors(e),
		newBackup(e), newRestore(e),
		newPolicy(e), newWhy(e), newRP(e),
		newJobs(e), newBreakers(e), newQuarantine(e), newApprovals(e),
		newAudit(e), newKeys(e),
		newOrgs(e), newExport(e), newSample(e),
		newTransfers(e), newNotices(e),
		newPassword(e), newInvite(e), newCard(e), newSessions(e), newLogouts(e),
		newTestPKI(e),
	)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return boot.Usage(err) })
	usageOfArgs(root)
	return root
}

// usageOfArgs makes wrong arguments and unknown commands usage errors with a hint.
func usageOfArgs(cmd *cobra.Command) {
	if check := cmd.Args; check != nil {
		cmd.Args = func(c *cobra.Command, args []string) error {
			if err := check(c, args); err != nil {
				return boot.Usage(fmt.Errorf("%w\nTry `%s --help`", err, c.CommandPath()))
			}
			return nil
		}
	}
	for _, sub := range cmd.Commands() {
		usageOfArgs(sub)
	}
}

// logger makes the logger that cfg asks for; auto is what its format "auto" means here.
func (e *env) logger(cfg config.Log, auto string) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(cfg.Level)) // checked by config
	opt := &slog.HandlerOptions{Level: level}
	if cfg.Format == "json" || (cfg.Format == "auto" && auto == "json") {
		return slog.New(slog.NewJSONHandler(e.stderr, opt))
	}
	return slog.New(slog.NewTextHandler(e.stderr, opt))
}

// loadConfig reads the configuration: file, environment, the global flags and those given.
func (e *env) loadConfig(flags ...config.Flag) (config.Loaded, error) {
	loaded, err := config.Load(config.Source{
		Data: e.data, File: e.config, Env: e.environ,
		Flags: append(flags, config.Flag{Name: "--database", Key: "database", Value: e.database}, config.Flag{Name: "--log-level", Key: "log.level", Value: e.logLevel}),
	})
	if err != nil {
		return loaded, boot.Usage(err)
	}
	return loaded, nil
}

// places takes the data folder and the configuration's file from the environment where no flag gives them.
func (e *env) places(cmd *cobra.Command) {
	for _, p := range []struct {
		flag, env string
		to        *string
	}{{"data", config.EnvData, &e.data}, {"config", config.EnvFile, &e.config}} {
		if cmd.Flags().Changed(p.flag) {
			continue
		}
		for _, pair := range e.environ {
			if name, value, _ := strings.Cut(pair, "="); name == p.env && value != "" {
				*p.to = value
			}
		}
	}
}

// printJSON writes one document, with its schema's name and version first.
func (e *env) printJSON(schema string, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	head, err := json.Marshal(schema)
	if err != nil {
		return err
	}
	rest := strings.TrimPrefix(string(body), "{")
	sep := ","
	if rest == "}" {
		sep = ""
	}
	_, err = fmt.Fprintf(e.stdout, "{\"schema\":%s%s%s\n", head, sep, rest)
	return err
}

func showTime(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.In(jst.Zone).Format("2006-01-02 15:04:05 JST")
}

// group writes n with thousands separators.
func group(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func say(w io.Writer, format string, args ...any) { _, _ = fmt.Fprintf(w, format+"\n", args...) }
