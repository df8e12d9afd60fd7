package main

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/policies"
)

func newPolicyTable(e *env) *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "table functions | networks | RP",
		Short: "種別ごとの一覧: 機能、接続元、ログイン先 / who at all: functions, networks, a relying party",
		Long: `組織の種別と役割ごとに、方針の答えを一覧にします。人の情報は要りません。
  functions   どの機能を、どう使えるか
  networks    どのネットワークから来られるか
  RP          ログイン先に、マイナンバーカードで、どのネットワークから入れるか。何が伝わるか
Tells what the policies answer, by kind of organization and role; nobody's data are needed. functions: who uses which, and how; networks: who comes
from where; RP: who enters it from where by the My Number Card, and what it is told.`,
		Example: "  musubi policy table functions\n  musubi policy table jira --as planner.cred\n  musubi policy table networks --policies ./policies --json",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			set, err := policySet(dir)
			if err != nil {
				return err
			}
			engine, err := policies.NewEngine(set)
			if err != nil {
				return err
			}
			t := policyTable{Of: args[0], Hash: engine.Hash(), Rows: []tableRow{}}
			switch args[0] {
			case "functions":
				return e.showTable(&t, t.functions(engine))
			case "networks":
				return e.showTable(&t, t.networks(engine))
			}
			return e.withHub(cmd.Context(), false, func(ctx context.Context, h *boot.Hub) error {
				rp, err := entranceOf(ctx, h, args[0])
				if err != nil {
					return err
				}
				return e.showTable(&t, t.party(engine, rp))
			})
		},
	}
	cmd.Flags().StringVar(&dir, "policies", "", "ask the policies of this folder, instead of those built in")
	return cmd
}

// policyTable is the --json answer of policy table.
type policyTable struct {
	Of   string     `json:"of"`
	Hash string     `json:"policy_hash"`
	Rows []tableRow `json:"rows"`

	head []string
}

// tableRow is what one kind of organization and one role get.
type tableRow struct {
	Kind     policies.OrgKind               `json:"kind"`
	Role     policies.Role                  `json:"role"`
	Uses     map[policies.Function][]string `json:"uses,omitempty"`
	Networks []policies.Network             `json:"networks,omitempty"`
	Released []policies.Attribute           `json:"released,omitempty"`

	cells []string
}

// each makes a row for each kind of organization and role.
func (t *policyTable) each(fill func(p policies.Person, row *tableRow) error) error {
	for _, kind := range policies.OrgKinds() {
		for _, role := range policies.Roles() {
			row := tableRow{Kind: kind, Role: role}
			p := policies.Person{ID: "person", Org: policies.Organization{ID: "org", Kind: kind}, Role: role, Active: true}
			if err := fill(p, &row); err != nil {
				return err
			}
			t.Rows = append(t.Rows, row)
		}
	}
	return nil
}

func (t *policyTable) functions(engine *policies.Engine) error {
	for _, f := range policies.Functions() {
		t.head = append(t.head, f.Name().JA)
	}
	return t.each(func(p policies.Person, row *tableRow) error {
		row.Uses = map[policies.Function][]string{}
		for _, f := range policies.Functions() {
			var words []string
			for _, u := range policies.Uses() {
				d, err := engine.MayUse(p, u, f)
				if err != nil {
					return err
				}
				if d.Allow {
					row.Uses[f], words = append(row.Uses[f], string(u)), append(words, u.Name().JA)
				}
			}
			row.cells = append(row.cells, orCross(words))
		}
		return nil
	})
}

func (t *policyTable) networks(engine *policies.Engine) error {
	for _, n := range policies.Networks() {
		t.head = append(t.head, n.Name().JA)
	}
	return t.each(func(p policies.Person, row *tableRow) error {
		for _, n := range policies.Networks() {
			d, err := engine.MayComeFrom(p, n)
			if err != nil {
				return err
			}
			var words []string
			if d.Allow {
				row.Networks, words = append(row.Networks, n), []string{"○"}
			}
			row.cells = append(row.cells, orCross(words))
		}
		return nil
	})
}

func (t *policyTable) party(engine *policies.Engine, rp policies.RelyingParty) error {
	t.head = []string{"入れるネットワーク / FROM"}
	for _, a := range policies.Attributes() {
		t.head = append(t.head, a.Name().JA)
	}
	return t.each(func(p policies.Person, row *tableRow) error {
		var from []string
		for _, n := range policies.Networks() {
			d, err := engine.MayEnter(p, rp, policies.Entry{Network: n, Assurance: policies.AssuranceCard})
			if err != nil {
				return err
			}
			if d.Allow {
				row.Networks, from = append(row.Networks, n), append(from, n.Name().JA)
			}
		}
		if len(from) > 0 {
			var err error
			if row.Released, _, err = engine.Release(p, rp); err != nil {
				return err
			}
		}
		row.cells = []string{orCross(from)}
		for _, a := range policies.Attributes() {
			var told []string
			if slices.Contains(row.Released, a) {
				told = []string{"○"}
			}
			row.cells = append(row.cells, orCross(told))
		}
		return nil
	})
}

func orCross(words []string) string {
	if len(words) == 0 {
		return "×"
	}
	return strings.Join(words, "・")
}

// showTable prints what was made; rows of one kind that are alike become one.
func (e *env) showTable(t *policyTable, err error) error {
	if err != nil {
		return err
	}
	if e.json {
		return e.printJSON("musubi.policy-table.v1", t)
	}
	c := newColumns(append([]string{"種別 / KIND", "役割 / ROLE"}, t.head...)...)
	for i := 0; i < len(t.Rows); {
		row, roles := t.Rows[i], []string{}
		for ; i < len(t.Rows) && t.Rows[i].Kind == row.Kind && slices.Equal(t.Rows[i].cells, row.cells); i++ {
			roles = append(roles, t.Rows[i].Role.Name().JA)
		}
		if len(roles) == len(policies.Roles()) {
			roles = []string{"全員 / all"}
		}
		c.row(append([]string{row.Kind.Name().JA, strings.Join(roles, "・")}, row.cells...)...)
	}
	c.print(e.stdout)
	say(e.stdout, "ハッシュ / hash %s", t.Hash)
	return nil
}
