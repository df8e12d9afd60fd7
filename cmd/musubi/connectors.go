package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/connectors"
)

func newConnectors(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "connectors",
		Short: "つなぐ製品を見る / look at the products that the hub connects",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newConnectorsList(e))
	return cmd
}

// connectorDocument is one product as --json shows it.
type connectorDocument struct {
	Name         string               `json:"name"`
	State        string               `json:"state"` // used, refused or not configured
	Unmet        []string             `json:"unmet,omitempty"`
	Product      string               `json:"product,omitempty"`
	DataRegion   string               `json:"data_region,omitempty"`
	ISMAP        string               `json:"ismap,omitempty"`
	LGWAN        connectors.Reach     `json:"lgwan,omitempty"`
	Functions    []boot.Function      `json:"functions"`
	Capabilities []connectors.Ability `json:"capabilities,omitempty"`
	Token        *tokenDocument       `json:"token,omitempty"`
}

type tokenDocument struct {
	File    string     `json:"file"`
	Expires string     `json:"expires,omitempty"` // YYYY-MM-DD in Japan
	Days    *int       `json:"days,omitempty"`
	Phase   boot.Phase `json:"phase"`
	Remark  string     `json:"remark,omitempty"`
}

// The states of a connector in this hub.
const (
	connectorUsed    = "used"
	connectorRefused = "refused"
	connectorAbsent  = "not configured"
)

func newConnectorsList(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "製品ごとに、条件、担う機能、できることを並べる / list each product's facts, functions and capabilities",
		Long: `製品ごとに、データの保管地域、ISMAP、LGWAN からの到達方法、担う機能、できること・できないこととその理由、トークンの期限を示します。
製品には問い合わせません。require を満たさない製品は使いません。
Shows each product's data region, ISMAP state and reach from LGWAN, which functions it carries, what it can and can't do and why,
and when its token ends. No product is asked. One that doesn't meet "require" isn't used.`,
		Example: "  musubi connectors list\n  musubi connectors list --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return e.withHub(cmd.Context(), false, func(_ context.Context, h *boot.Hub) error {
				var list []connectorDocument
				for _, p := range h.Products() {
					list = append(list, connectorOf(p))
				}
				if e.json {
					return e.printJSON("musubi.connectors/1", struct {
						Connectors []connectorDocument  `json:"connectors"`
						Functions  []boot.FunctionState `json:"functions"`
					}{list, h.Functions()})
				}
				for _, d := range list {
					e.tellConnector(d)
				}
				for _, f := range h.Functions() {
					if len(f.Used) == 0 {
						say(e.stdout, "機能 %s %s を担う製品がありません (%s)。 / No product carries function %s, %s.", f.Number, f.JA, strings.Join(f.By, ", "), f.Number, f.EN)
					}
				}
				return nil
			})
		},
	}
}

func connectorOf(p boot.Product) connectorDocument {
	d := connectorDocument{
		Name: p.Name, State: connectorAbsent, Unmet: p.Unmet, Product: p.Facts.Product, DataRegion: p.Facts.DataRegion, ISMAP: p.Facts.ISMAP,
		LGWAN: p.Facts.LGWAN, Functions: p.Functions, Capabilities: p.Abilities,
	}
	if d.Functions == nil {
		d.Functions = []boot.Function{}
	}
	switch {
	case len(p.Unmet) > 0:
		d.State = connectorRefused
	case p.Configured:
		d.State = connectorUsed
	}
	if p.Token.Phase != boot.PhaseNone {
		d.Token = &tokenDocument{File: p.Credential, Expires: p.Token.Date, Phase: p.Token.Phase, Remark: p.Token.Remark}
		if p.Token.Date != "" {
			d.Token.Days = &p.Token.Days
		}
	}
	return d
}

// tellConnector prints one product.
func (e *env) tellConnector(d connectorDocument) {
	states := map[string]string{connectorUsed: "使用中", connectorRefused: "条件を満たさないため不使用", connectorAbsent: "設定なし"}
	say(e.stdout, "%s: %s / %s", d.Name, states[d.State], d.State)
	for _, why := range d.Unmet {
		say(e.stdout, "  条件 / required: %s", why)
	}
	if d.State != connectorAbsent {
		say(e.stdout, "  %s", d.Product)
		say(e.stdout, "  保管地域 / data region: %s   ISMAP: %s   LGWAN: %s", d.DataRegion, d.ISMAP, d.LGWAN)
	}
	for _, f := range d.Functions {
		say(e.stdout, "  機能 / function %s: %s / %s (%d)", f.Number, f.JA, f.EN, f.Place)
	}
	if t := d.Token; t != nil {
		until := "不明 / not known"
		switch {
		case t.Expires != "":
			until = t.Expires
		case t.Phase == boot.PhaseLasting:
			until = "なし / not by itself"
		}
		say(e.stdout, "  トークンの期限 / token ends: %s (%s)", until, t.Phase)
		if t.Remark != "" {
			say(e.stdout, "    %s", t.Remark)
		}
	}
	var present []string
	for _, c := range d.Capabilities {
		if c.Present {
			present = append(present, c.Name)
		}
	}
	if len(present) > 0 {
		say(e.stdout, "  できること / can: %s", strings.Join(present, ", "))
	}
	for _, c := range d.Capabilities {
		if !c.Present {
			say(e.stdout, "  できないこと / can't: %s: %s", c.Name, c.Why)
		}
	}
}
