package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/csv"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/cmd/musubi/console"
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/directory"
	"github.com/musubi-hub/musubi/identity/network"
	"github.com/musubi-hub/musubi/policies"
)

func author(a access.Actor, why string) directory.Author {
	return directory.Author{Actor: a.ScopeActor(), Source: "cli", Why: why, By: a}
}

// administrator is one of the first system administrators.
type administrator struct {
	staff, family, given, familyKana, givenKana, email, file string
}

func (a administrator) person(org policies.OrgID) identity.Person {
	return identity.Person{
		Org: org, StaffNumber: a.staff, FamilyName: a.family, GivenName: a.given, FamilyKana: a.familyKana, GivenKana: a.givenKana,
		Email: a.email, Role: policies.RoleSystemAdministrator,
	}
}

// checkBootstrap refuses, before anything is written, what the directory would refuse halfway: by an import's own checks.
func checkBootstrap(agency identity.Organization, admins []administrator) error {
	var file bytes.Buffer
	w := csv.NewWriter(&file)
	err := w.WriteAll([][]string{{"code", "kind", "name", "kana", "parent"}, {string(agency.ID), string(agency.Kind), agency.Name, agency.Kana, string(agency.Parent)}})
	if err != nil {
		return err
	}
	_, orgs := directory.ReadOrganizations(&file, "init")
	_, people := directory.PeopleRows("init", func(yield func(identity.Person) bool) {
		for _, a := range admins {
			if !yield(a.person(agency.ID)) {
				return
			}
		}
	})
	if faults := slices.Concat(orgs.Faults(), people.Faults()); len(faults) > 0 {
		f := faults[0]
		return boot.Usage(fmt.Errorf("%s 「%s」: %s。%s。 / %s; %s", f.Column, f.Value, f.Reason.JA, f.Remedy.JA, f.Reason.EN, f.Remedy.EN))
	}
	return nil
}

func newInit(e *env) *cobra.Command {
	var agency, name string
	var emails []string
	cmd := &cobra.Command{
		Use:   "init",
		Short: "運営庁と最初の管理者二人を登録する / register the operating agency and its first two administrators",
		Long: `空のハブで一度だけ実行します。計画を作る人と承認する人は別人でなければならないため、二人を登録します。
Run once on an empty hub. Whoever makes a plan can't approve it, so there are two. Their credentials are written to
credentials/ in the data folder, mode 0600: hand each to its owner. This is done as break-glass and audited.`,
		Example: "  musubi init --agency 8000012010038 --name デジタル庁 --email taro@digital.example.go.jp --email hanako@digital.example.go.jp",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if agency == "" || name == "" || len(emails) != 2 {
				return boot.Usage(errors.New("give --agency, --name and --email twice: one for each administrator"))
			}
			return e.withHub(cmd.Context(), false, func(ctx context.Context, h *boot.Hub) error {
				folder := filepath.Join(e.data, "credentials")
				admins := []administrator{
					{staff: "admin-1", family: "管理者", given: "一", email: emails[0], file: filepath.Join(folder, "planner.cred")},
					{staff: "admin-2", family: "管理者", given: "二", email: emails[1], file: filepath.Join(folder, "approver.cred")},
				}
				if err := bootstrap(ctx, h, identity.Organization{ID: policies.OrgID(agency), Kind: policies.KindAgency, Name: name}, admins); err != nil {
					return err
				}
				if e.json {
					files := make([]string, len(admins))
					for i, a := range admins {
						files[i] = a.file
					}
					return e.printJSON("musubi.init.v1", struct {
						Credentials []string `json:"credentials"`
					}{files})
				}
				for _, a := range admins {
					say(e.stdout, "%s  %s", a.file, a.email)
				}
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&agency, "agency", "", "the agency's 法人番号, 13 digits")
	cmd.Flags().StringVar(&name, "name", "", "the agency's name")
	cmd.Flags().StringArrayVar(&emails, "email", nil, "e-mail address of an administrator; twice")
	return cmd
}

// credentialLife is how long a local credential stands.
const credentialLife = 180 * 24 * time.Hour

// bootstrap registers the operating agency and its first administrators, and writes a credential for each. It refuses a hub that
// has an agency already, unless what is there is exactly what an interrupted bootstrap left: then it finishes it.
func bootstrap(ctx context.Context, h *boot.Hub, agency identity.Organization, admins []administrator) error {
	if err := checkBootstrap(agency, admins); err != nil {
		return err
	}
	actor, err := access.BreakGlass(boot.OSUser())
	if err != nil {
		return err
	}
	orgScope, err := h.Scope(ctx, actor, policies.ActionOrgWrite, policies.Context{})
	if err != nil {
		return err
	}
	people, err := h.Scope(ctx, actor, policies.ActionPeopleWrite, policies.Context{})
	if err != nil {
		return err
	}
	there, err := h.Directory.Organizations(ctx, policies.System(policies.TaskBootstrap), directory.OrgFilter{Kinds: []policies.OrgKind{policies.KindAgency}})
	if err != nil {
		return err
	}
	switch {
	case len(there) == 0:
		if _, err := h.Directory.AddOrganization(ctx, orgScope, agency, author(actor, "init")); err != nil {
			return err
		}
	case there[0].ID != agency.ID:
		return fmt.Errorf("%w: the hub is operated by %s (%s)", identity.ErrExists, there[0].Name, there[0].ID)
	}
	if err := os.MkdirAll(filepath.Dir(admins[0].file), 0o700); err != nil {
		return err
	}
	for _, a := range admins {
		p, err := h.Directory.FindPerson(ctx, policies.System(policies.TaskBootstrap), agency.ID, a.staff)
		if errors.Is(err, identity.ErrNotFound) {
			p, err = h.Directory.AddPerson(ctx, people, a.person(agency.ID), author(actor, "init"))
		}
		if err != nil {
			return err
		}
		if _, err := h.Actor(ctx, a.file); errors.Is(err, access.ErrCredentialUnknown) {
			// A kill between the file and the commit leaves a file that the database doesn't know.
			if err := os.Remove(a.file); err != nil {
				return err
			}
		}
		if err := issueTo(ctx, h, actor, people, p, a.file, "init"); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	return nil
}

// issueTo issues a credential to the person and writes its file, which must not be there.
func issueTo(ctx context.Context, h *boot.Hub, by access.Actor, scope policies.Scope, p identity.Person, file, note string) error {
	if _, err := os.Lstat(file); err == nil {
		return fmt.Errorf("%s: %w", file, os.ErrExist)
	}
	return h.DB.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		token, err := access.Issue(ctx, tx, access.Issuance{
			By: by, Scope: scope, Person: p, Now: h.Now(), Expires: h.Now().Add(credentialLife), Note: note, Random: rand.Reader,
		})
		if err != nil {
			return err
		}
		return access.WriteFile(file, token) // in the transaction: no file, no credential
	})
}

func newCredential(e *env) *cobra.Command {
	var out, org string
	cmd := &cobra.Command{
		Use:   "credential PERSON-ID | --org CODE STAFF-NUMBER",
		Short: "命令行で使う資格情報を発行する / issue a credential for the command line",
		Long: `資格情報は 180 日で切れます。ファイルは本人だけが読めるように (0600) 書きます。
The credential stands for 180 days. Its file is made with mode 0600 and must stay so.`,
		Example: "  musubi credential --org 8000012010038 admin-1 --out taro.cred --as planner.cred",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if out == "" {
				return boot.Usage(errors.New("give --out FILE"))
			}
			return e.withHub(cmd.Context(), false, func(ctx context.Context, h *boot.Hub) error {
				actor, err := h.Actor(ctx, e.as)
				if err != nil {
					return err
				}
				read, err := h.Scope(ctx, actor, policies.ActionPeopleRead, policies.Context{})
				if err != nil {
					return err
				}
				var p identity.Person
				if org != "" {
					p, err = h.Directory.FindPerson(ctx, read, policies.OrgID(org), args[0])
				} else {
					p, err = h.Directory.Person(ctx, read, policies.PersonID(args[0]))
				}
				if err != nil {
					return err
				}
				scope, err := h.Scope(ctx, actor, policies.ActionPeopleWrite, policies.Context{})
				if err != nil {
					return err
				}
				if err := issueTo(ctx, h, actor, scope, p, out, "cli"); err != nil {
					return err
				}
				if e.json {
					return e.printJSON("musubi.credential.v1", struct {
						File   string            `json:"file"`
						Person policies.PersonID `json:"person"`
					}{out, p.ID})
				}
				say(e.stdout, "%s  %s", out, p.ID)
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "file to write; must not exist")
	cmd.Flags().StringVar(&org, "org", "", "number of the organization, when the argument is a staff number")
	return cmd
}

func newOpen(e *env) *cobra.Command {
	var address string
	cmd := &cobra.Command{
		Use:   "open",
		Short: "管理画面を開く一度限りのアドレスを出す / print a one-time address of the pages",
		Long: `どの網にもログインがないハブでは、画面は loopback だけで、一度限りのアドレスから開きます (10 分間有効)。ログインがあれば、そのアドレスを出します。
On a hub where no network has a login the pages open on loopback only, by a one-time address that stands for ten minutes. Where there is a login,
it prints where that is.`,
		Example: "  musubi open --as planner.cred",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return e.withHub(cmd.Context(), false, func(ctx context.Context, h *boot.Hub) error {
				if e.as == "" {
					return boot.Usage(errors.New("the pages show what one person may see: say who with --as FILE"))
				}
				actor, err := h.Actor(ctx, e.as)
				if err != nil {
					return err
				}
				if table, err := h.Networks(); err != nil {
					return err
				} else if table != nil {
					at := table.URL(networkOf(h, actor.Org), network.RoleLogin, "/")
					if e.json {
						return e.printJSON("musubi.open.v1", struct {
							Address string `json:"address"`
						}{at})
					}
					say(e.stdout, "%s", at)
					return nil
				}
				path, err := console.Ticket(ctx, h.DB, actor, h.Now(), rand.Reader)
				if err != nil {
					return err
				}
				if address == "" {
					address = h.Config.Listen
				}
				if e.json {
					return e.printJSON("musubi.open.v1", struct {
						Address string `json:"address"`
					}{"http://" + address + path})
				}
				say(e.stdout, "http://%s%s", address, path)
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&address, "listen", "", "address of the serving hub, where it isn't the configuration's")
	return cmd
}
