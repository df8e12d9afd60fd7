package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/directory"
	"github.com/musubi-hub/musubi/identity/directory/review"
	"github.com/musubi-hub/musubi/identity/directory/table"
	"github.com/musubi-hub/musubi/policies"
)

// export is what `musubi export` was asked for.
type export struct {
	subject  string
	out      string
	force    bool
	encoding table.Encoding
	locale   review.Locale
	people   directory.PeopleFilter
	orgs     directory.OrgFilter
	services directory.ServiceFilter
}

// exports are the subjects and how each is written.
var exports = map[string]func(e *env, ctx context.Context, h *boot.Hub, x export, w *table.Writer, m *meter) (rows int, err error){
	"orgs":      (*env).exportOrgs,
	"people":    (*env).exportPeople,
	"services":  (*env).exportServices,
	"transfers": (*env).exportTransfers,
}

func newExport(e *env) *cobra.Command {
	var x export
	var encoding, locale, org, contractor string
	var kinds []string
	cmd := &cobra.Command{
		Use:   "export orgs|people|services|transfers --out FILE",
		Short: "組織・職員・委託・異動を CSV に書き出す / write organizations, people, services or transfers to a CSV file",
		Long: `書き出したファイルは、そのまま取り込めます (musubi import)。取り込んでも何も変わりません。
見る権限のある範囲だけを書き出します。異動は、予定されているもののうち、自分の組織が登録するものだけです。内示は、あなたが見てよい
ものだけが入ります。UTF-8 (BOM つき) か CP932 で、行末は CRLF です。
CP932 で表せない文字があるときは、その場所をすべて示し、ファイルを作りません。文字を置き換えることはありません。

The file can be imported as it is, which changes nothing. It holds what the acting person may see; of transfers those that are planned
and that their organizations record, and of those under embargo the ones that name them. It is UTF-8 with a byte
order mark, or CP932. Where CP932 lacks a character, every such place is told and no file is made: nothing is replaced.
A cell that a spreadsheet would take for a formula is written with an apostrophe before it, which an import takes away again.`,
		Example: "  musubi export people --org 011002 --out people.csv --as planner.cred\n  musubi export services --contractor 8999900000001 --out services.csv --as planner.cred\n  musubi export orgs --kind contractor --encoding cp932 --locale en --out contractors.csv --as planner.cred",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 || exports[args[0]] == nil {
				return errors.New("say what to export: orgs, people, services or transfers")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			x.subject = args[0]
			var err error
			if err = e.checkTable(&x, encoding, locale); err != nil {
				return boot.Usage(err)
			}
			if x.orgs.Kinds, err = parseKinds(kinds); err != nil {
				return boot.Usage(err)
			}
			x.people.Org = policies.OrgID(org)
			x.services.Org, x.services.Contractor = policies.OrgID(org), policies.OrgID(contractor)
			return e.withHub(cmd.Context(), false, func(ctx context.Context, h *boot.Hub) error { return e.export(ctx, h, x) })
		},
	}
	f := cmd.Flags()
	tableFlags(cmd, &x, &encoding, &locale)
	f.StringVar(&org, "org", "", "people, services, transfers: only this organization")
	f.StringVar(&contractor, "contractor", "", "services: only this contractor")
	f.BoolVar(&x.people.IncludeEnded, "ended", false, "people: also those whose service has ended")
	f.StringSliceVar(&kinds, "kind", nil, "orgs: only these kinds, separated by commas")
	return cmd
}

// tableFlags are the flags of every command that writes a table.
func tableFlags(cmd *cobra.Command, x *export, encoding, locale *string) {
	f := cmd.Flags()
	f.StringVar(&x.out, "out", "", "file to write, mode 0600; - for standard output")
	f.BoolVar(&x.force, "force", false, "replace a file that is there")
	f.StringVar(encoding, "encoding", "utf-8", "utf-8 or cp932")
	f.StringVar(locale, "locale", "ja", "language of the header: ja or en")
}

func (e *env) checkTable(x *export, encoding, locale string) (err error) {
	if x.encoding, err = table.ParseEncoding(encoding); err != nil {
		return err
	}
	if x.locale, err = review.ParseLocale(locale); err != nil {
		return err
	}
	switch {
	case x.locale == review.Both:
		return errors.New("--locale: the header is in one language: write ja or en")
	case x.out == "":
		return errors.New("give --out FILE, or --out - for standard output")
	case x.out == "-" && e.json:
		return errors.New("--json and --out - both want standard output: give --out FILE")
	}
	return nil
}

// exportDocument is the --json answer of export and of sample.
type exportDocument struct {
	Subject string         `json:"subject"`
	File    string         `json:"file"`
	Rows    int            `json:"rows"`
	Written bool           `json:"written"`
	Faults  []review.Fault `json:"faults"`
}

func (e *env) export(ctx context.Context, h *boot.Hub, x export) error {
	return e.writeTable(x, "書出 / export "+x.subject, "musubi.export.v1", func(w *table.Writer, m *meter) (int, error) {
		return exports[x.subject](e, ctx, h, x, w, m)
	})
}

// writeTable makes the file that x asks for of the rows that fill writes, and tells of it: the file is there whole or not at all.
func (e *env) writeTable(x export, title, schema string, fill func(w *table.Writer, m *meter) (rows int, err error)) (err error) {
	report := review.New(filepath.Base(x.out))
	file, finish, err := e.destination(x)
	if err != nil {
		return err
	}
	written := false
	defer func() { err = errors.Join(err, finish(written && err == nil)) }()
	w := table.NewWriter(file, table.WriterOptions{Encoding: x.encoding}, report)
	m := newMeter(e.stderr, title, e.now)
	rows, err := fill(w, m)
	m.end()
	if err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	written = report.OK()
	if e.json {
		doc := exportDocument{x.subject, x.out, rows, written, report.Faults()}
		if doc.Faults == nil {
			doc.Faults = []review.Fault{}
		}
		if err := e.printJSON(schema, doc); err != nil {
			return err
		}
	} else if !written {
		if _, err := report.Print(e.stderr, review.Printing{Locale: x.locale, Export: true}); err != nil {
			return err
		}
	} else if x.out != "-" {
		say(e.stdout, "%s: %s 行 / rows", x.out, group(rows))
	}
	if !written {
		if e.json {
			return boot.Refused(errShown)
		}
		return boot.Refused(errors.New("ファイルは作りませんでした。--encoding utf-8 なら、すべての文字を書けます。 / no file was made; --encoding utf-8 writes every character"))
	}
	return nil
}

// destination opens what is written to. finish keeps it, or takes it away again: a file is there whole or not at all.
func (e *env) destination(x export) (io.Writer, func(keep bool) error, error) {
	if x.out == "-" {
		// Standard output gets nothing of a file that couldn't be written whole.
		spool, err := os.CreateTemp("", "musubi-export-*")
		if err != nil {
			return nil, nil, err
		}
		return spool, func(keep bool) error {
			var err error
			if keep {
				if _, err = spool.Seek(0, io.SeekStart); err == nil {
					_, err = io.Copy(e.stdout, spool)
				}
			}
			return errors.Join(err, spool.Close(), os.Remove(spool.Name()))
		}, nil
	}
	if _, err := os.Lstat(x.out); err == nil && !x.force {
		return nil, nil, boot.Usage(fmt.Errorf("%s is there already: give another name, or --force to replace it: %w", x.out, os.ErrExist))
	}
	file, err := os.CreateTemp(filepath.Dir(x.out), ".musubi-export-*") // mode 0600
	if err != nil {
		return nil, nil, boot.Usage(err)
	}
	return file, func(keep bool) error {
		if err := errors.Join(file.Sync(), file.Close()); err != nil || !keep {
			return errors.Join(err, os.Remove(file.Name()))
		}
		return os.Rename(file.Name(), x.out)
	}, nil
}

func (e *env) exportOrgs(ctx context.Context, h *boot.Hub, x export, w *table.Writer, m *meter) (rows int, err error) {
	scope, _, err := e.scope(ctx, h, policies.ActionOrgRead)
	if err != nil {
		return 0, err
	}
	if err := w.Row(directory.OrganizationHeader(x.locale)); err != nil {
		return 0, err
	}
	x.orgs.Limit = directory.MaxPage
	for {
		list, err := h.Directory.Organizations(ctx, scope, x.orgs)
		if err != nil {
			return rows, err
		}
		for _, o := range list {
			if err := w.Row(directory.OrganizationCells(o)); err != nil {
				return rows, err
			}
			rows++
		}
		m.set(int64(rows), int64(rows), "")
		if len(list) < x.orgs.Limit {
			return rows, nil
		}
		x.orgs.After = list[len(list)-1].ID
	}
}

func (e *env) exportPeople(ctx context.Context, h *boot.Hub, x export, w *table.Writer, m *meter) (rows int, err error) {
	scope, _, err := e.scope(ctx, h, policies.ActionPeopleRead)
	if err != nil {
		return 0, err
	}
	counts, err := h.Directory.Counts(ctx, scope)
	if err != nil {
		return 0, err
	}
	total := int64(counts.People)
	if x.people.IncludeEnded {
		total += int64(counts.Ended)
	}
	if err := w.Row(directory.PeopleHeader(x.locale)); err != nil {
		return 0, err
	}
	err = h.Directory.ExportPeople(ctx, scope, x.people, func(p identity.Person) error {
		rows++
		if rows%1000 == 0 {
			m.set(int64(rows), max(total, int64(rows)), "")
		}
		return w.Row(directory.PersonCells(p))
	})
	m.set(int64(rows), int64(rows), "")
	return rows, err
}
