package main

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/identity/directory"
	"github.com/musubi-hub/musubi/identity/directory/sample"
	"github.com/musubi-hub/musubi/identity/directory/table"
)

// maxPerOrg bounds `musubi sample` by what one import takes: the national list with so many has 894,000 people.
const maxPerOrg = 500

// sampling is what `musubi sample` was asked for.
type sampling struct {
	export
	orgsFile string
	perOrg   int
	seed     uint64
	variants bool
}

func newSample(e *env) *cobra.Command {
	var x sampling
	var encoding, locale string
	cmd := &cobra.Command{
		Use:   "sample orgs|people|services --out FILE",
		Short: "見本の組織・職員・委託のファイルを作る / make a file of sample organizations, people or services",
		Long: `実在しない職員のファイルを、好きな人数で作ります。ハブは要りません。そのまま取り込めます (musubi import)。同じ --seed からは同じ
職員ができます。組織と委託は、デモで使う見本です。電話番号は 00 で始まり、メールアドレスは example の下にあり、どこにもつながりません。

Makes files to try an import with, without a hub: people who don't exist, in any number, for the sample's organizations or for
those of --orgs (an organizations file, or the national list as it is; wards have no people). The same --seed makes the same
people; the first of each organization is its administrator. Organizations and services are those of the demonstration.
Every name can be written in CP932, unless --variants asks for some that can't.`,
		Example: `  musubi sample people --people-per-org 30 --orgs localgov.csv --out people.csv
  musubi sample orgs --out orgs.csv
  musubi sample services --locale en --out services.csv
  musubi sample people --people-per-org 3 --encoding cp932 --out - | head`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 || (args[0] != "orgs" && args[0] != "people" && args[0] != "services") {
				return errors.New("say what to make: orgs, people or services")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			x.subject = args[0]
			if err := e.checkTable(&x.export, encoding, locale); err != nil {
				return boot.Usage(err)
			}
			for _, name := range []string{"people-per-org", "orgs", "seed", "variants"} {
				if x.subject != "people" && cmd.Flags().Changed(name) {
					return boot.Usage(fmt.Errorf("--%s is for people", name))
				}
			}
			if x.perOrg < 1 || x.perOrg > maxPerOrg {
				return boot.Usage(fmt.Errorf("--people-per-org %d: give 1 to %d", x.perOrg, maxPerOrg))
			}
			return e.sample(x)
		},
	}
	tableFlags(cmd, &x.export, &encoding, &locale)
	f := cmd.Flags()
	f.IntVar(&x.perOrg, "people-per-org", sample.PeoplePerOrg, "people: how many for each organization")
	f.StringVar(&x.orgsFile, "orgs", "", "people: for the organizations of this `FILE` instead of the sample's")
	f.Uint64Var(&x.seed, "seed", sample.Seed, "people: another number makes other people")
	f.BoolVar(&x.variants, "variants", false, "people: some have names that CP932 can't write (葛󠄀, 𠮷)")
	return cmd
}

func (e *env) sample(x sampling) error {
	rows, _ := sample.Orgs()
	if x.orgsFile != "" {
		f, err := openImport(x.orgsFile)
		if err != nil {
			return err
		}
		rows, _ = directory.ReadOrganizations(f, filepath.Base(x.orgsFile))
		_ = f.Close() // it was only read
	}
	if !rows.Report.OK() {
		if _, err := rows.Report.WriteTo(e.stderr); err != nil {
			return err
		}
		return boot.Refused(fmt.Errorf("%s: ファイルは作りませんでした。 / no file was made", rows.Name))
	}
	return e.writeTable(x.export, "見本 / sample "+x.subject, "musubi.sample.v1", func(w *table.Writer, m *meter) (n int, err error) {
		total := int64(len(bodies(rows)) * x.perOrg)
		put := func(cells []string) error {
			if n++; n%1000 == 0 {
				m.set(int64(n), total, "")
			}
			return w.Row(cells)
		}
		switch x.subject {
		case "orgs":
			if err := w.Row(directory.OrganizationHeader(x.locale)); err != nil {
				return 0, err
			}
			for _, r := range rows.Orgs {
				if err := put(directory.OrganizationCells(r.Organization)); err != nil {
					return n, err
				}
			}
		case "services":
			if err := w.Row(directory.ServiceHeader(x.locale)); err != nil {
				return 0, err
			}
			services, _ := sample.Services()
			for _, r := range services.Services {
				if err := put(directory.ServiceCells(r.Service)); err != nil {
					return n, err
				}
			}
		default:
			if err := w.Row(directory.PeopleHeader(x.locale)); err != nil {
				return 0, err
			}
			people := sample.People(bodies(rows), x.perOrg, x.seed)
			if x.variants {
				people = sample.Variants(people)
			}
			for p := range people {
				if err := put(directory.PersonCells(p)); err != nil {
					return n, err
				}
			}
		}
		m.set(int64(n), int64(n), "")
		return n, nil
	})
}
