package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/identity/directory"
	"github.com/musubi-hub/musubi/identity/directory/review"
	"github.com/musubi-hub/musubi/policies"
)

func newImport(e *env) *cobra.Command {
	var dryRun, template bool
	cmd := &cobra.Command{
		Use:   "import orgs|people FILE",
		Short: "組織・職員を CSV から取り込む / take organizations or people from a CSV file",
		Long: `取り込みは「全部か無か」です。誤りのある行が一つでもあれば、何も変えず、すべての誤りを一度に報告します。
An import is all or nothing: where any row is wrong nothing changes, and all wrong rows are reported at once.

Files are UTF-8 CSV with the headers that --template prints. "import orgs" also takes the national list of local
governments as it is (columns pid, pref, city, lgcode ...). Importing a file twice changes nothing.`,
		Example: "  musubi import people --template > people.csv\n  musubi import orgs localgov.csv --dry-run --as planner.cred\n  musubi import people people.csv --as planner.cred",
		Args: func(_ *cobra.Command, args []string) error {
			if template && len(args) == 0 {
				return nil
			}
			if len(args) == 0 || (args[0] != "orgs" && args[0] != "people") {
				return errors.New("say what to import: orgs or people")
			}
			if template && len(args) == 1 {
				return nil
			}
			if len(args) != 2 {
				return errors.New("give exactly one FILE")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if template {
				return e.printTemplates(args)
			}
			subject := directory.Subject(args[0])
			rows, err := readImport(subject, args[1])
			if err != nil {
				return err
			}
			return e.withHub(cmd.Context(), false, func(ctx context.Context, h *boot.Hub) error {
				return e.runImport(ctx, h, rows, dryRun)
			})
		},
	}
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "say what would change, and change nothing")
	cmd.Flags().BoolVar(&template, "template", false, "print an empty file with the headers")
	return cmd
}

// printTemplates prints the header of one subject as a file to fill in, or those of both, each under its name.
func (e *env) printTemplates(args []string) error {
	subjects := []directory.Subject{directory.SubjectOrganizations, directory.SubjectPeople}
	if len(args) > 0 {
		subjects = []directory.Subject{directory.Subject(args[0])}
	}
	for _, subject := range subjects {
		text, err := directory.Template(subject)
		if err != nil {
			return err
		}
		if len(subjects) > 1 {
			say(e.stdout, "# musubi import %s FILE", subject)
		}
		if _, err := e.stdout.Write(text); err != nil {
			return err
		}
	}
	return nil
}

func readImport(subject directory.Subject, path string) (*directory.Rows, error) {
	f, err := os.Open(path) // #nosec G304 -- the administrator names the file
	if err != nil {
		return nil, boot.Usage(err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || info.IsDir() {
		return nil, boot.Usage(errors.Join(err, fmt.Errorf("%s is a folder; give a CSV file", path)))
	}
	read := directory.ReadPeople
	if subject == directory.SubjectOrganizations {
		read = directory.ReadOrganizations
	}
	rows, _ := read(f, filepath.Base(path))
	return rows, nil
}

// importDocument is the --json answer of an import.
type importDocument struct {
	File      string            `json:"file"`
	Subject   directory.Subject `json:"subject"`
	DryRun    bool              `json:"dry_run"`
	Published bool              `json:"published"`
	Added     int               `json:"added"`
	Changed   int               `json:"changed"`
	Unchanged int               `json:"unchanged"`
	Ended     int               `json:"ended"`
	Refused   int               `json:"refused"`
	Faults    []review.Fault    `json:"faults"`
}

func (e *env) runImport(ctx context.Context, h *boot.Hub, rows *directory.Rows, dryRun bool) error {
	actor, err := h.Actor(ctx, e.as)
	if err != nil {
		return err
	}
	action := policies.ActionPeopleWrite
	if rows.Subject == directory.SubjectOrganizations {
		action = policies.ActionOrgWrite
	}
	scope, err := h.Scope(ctx, actor, action, policies.Context{})
	if err != nil {
		return err
	}
	m := newMeter(e.stderr, "取込 / import "+string(rows.Subject), e.now)
	result, report, err := h.Directory.Import(ctx, scope, rows, directory.Author{Actor: actor.ScopeActor(), Source: "import " + rows.Name, Why: "import"},
		func(done, total int64, stage string) { m.set(done, total, stage) }, dryRun)
	m.end()
	if err != nil {
		return err
	}
	if e.json {
		faults := report.Faults()
		if faults == nil {
			faults = []review.Fault{}
		}
		if err := e.printJSON("musubi.import.v1", importDocument{rows.Name, rows.Subject, dryRun, result.Published, result.Added, result.Changed, result.Unchanged, result.Ended, result.Refused, faults}); err != nil {
			return err
		}
	} else {
		if _, err := report.WriteTo(e.stderr); err != nil {
			return err
		}
		if report.OK() {
			say(e.stdout, "%s: 追加 / added %s, 変更 / changed %s, 変更なし / unchanged %s",
				rows.Name, group(result.Added), group(result.Changed), group(result.Unchanged))
		}
		if report.OK() && dryRun {
			say(e.stdout, "試行のため、何も変えていません。 / A dry run: nothing was changed.")
		}
	}
	switch {
	case report.OK():
		return nil
	case e.json:
		return boot.Refused(errShown)
	}
	return notImported(rows.Name)
}

// notImported ends a command whose report of wrong rows stands above.
func notImported(file string) error {
	return boot.Refused(fmt.Errorf("%s: 取り込みませんでした。上の誤りを直して、もう一度取り込んでください。 / nothing was imported: correct what is wrong above, then import again", file))
}

// withHub opens the hub, runs fn and closes it.
func (e *env) withHub(ctx context.Context, work bool, fn func(ctx context.Context, h *boot.Hub) error) error {
	cfg, err := e.loadConfig()
	if err != nil {
		return err
	}
	log := e.logger(cfg.Log, "text")
	h, err := boot.OpenHub(ctx, boot.Options{Data: e.data, Config: cfg.Config, Work: work, Now: e.now, Log: log})
	if err != nil {
		return err
	}
	return errors.Join(fn(ctx, h), h.Close())
}
