package connectors_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/musubi-hub/musubi/connectors"
)

// place is a connector that can only send.
type place struct{ d connectors.Description }

func (p place) Describe() connectors.Description { return p.d }

func (place) SendMessage(context.Context, connectors.Message) (connectors.Sent, error) {
	return connectors.Sent{}, nil
}

func TestRequirement(t *testing.T) {
	good := connectors.Description{Name: "a", DataRegion: "JP", ISMAP: "registered", LGWAN: connectors.ReachRelay}
	with := func(change func(*connectors.Description)) connectors.Description {
		d := good
		change(&d)
		return d
	}
	whole := connectors.Requirement{ISMAP: true, DataRegions: []string{"jp", "東京"}, LGWAN: []connectors.Reach{connectors.ReachDirect, connectors.ReachRelay}}
	for name, c := range map[string]struct {
		r     connectors.Requirement
		d     connectors.Description
		unmet int
	}{
		"everything":          {whole, good, 0},
		"nothing asked":       {connectors.Requirement{}, connectors.Description{Name: "a"}, 0},
		"not registered":      {whole, with(func(d *connectors.Description) { d.ISMAP = "not registered" }), 1},
		"ISMAP not known":     {whole, with(func(d *connectors.Description) { d.ISMAP = "unknown" }), 1},
		"another region":      {whole, with(func(d *connectors.Description) { d.DataRegion = "US" }), 1},
		"region not known":    {whole, with(func(d *connectors.Description) { d.DataRegion = "unknown" }), 1},
		"not from LGWAN":      {whole, with(func(d *connectors.Description) { d.LGWAN = connectors.ReachNo }), 1},
		"nothing of it":       {whole, connectors.Description{Name: "a", ISMAP: "unknown", DataRegion: "unknown", LGWAN: connectors.ReachNo}, 3},
		"LGWAN may be absent": {connectors.Requirement{LGWAN: []connectors.Reach{connectors.ReachNo}}, with(func(d *connectors.Description) { d.LGWAN = connectors.ReachNo }), 0},
	} {
		if got := c.r.Unmet(c.d); len(got) != c.unmet {
			t.Errorf("%s: %q", name, got)
		}
		cat, err := connectors.NewCatalog(place{c.d})
		if err != nil {
			t.Fatal(err)
		}
		cat.Require(c.r)
		opened, err := cat.Open("a")
		var refused *connectors.RefusedError
		if errors.As(err, &refused) != (c.unmet > 0) || (opened.Sender != nil) != (c.unmet == 0) {
			t.Errorf("%s: opened %+v, %v", name, opened, err)
		}
		if refused != nil && (refused.Name != "a" || len(refused.Unmet) != c.unmet || !strings.Contains(err.Error(), refused.Unmet[0])) {
			t.Errorf("%s: %v", name, err)
		}
		if d, ok := cat.Describe("a"); !ok || d.Name != "a" {
			t.Errorf("%s: a refused product isn't described", name)
		}
	}
}

func TestAbilities(t *testing.T) {
	cat, err := connectors.NewCatalog(place{connectors.Description{Name: "a", Absent: []connectors.Absence{
		{Ability: "Accounts", Why: "there are none"}, {Ability: "Sender", Why: "wrong: it is there"}, {Ability: "CustomerSCIM", Why: "not published"},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	opened, err := cat.Open("a")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]connectors.Ability{}
	var names []string
	for _, a := range opened.Abilities() {
		got[a.Name] = a
		names = append(names, a.Name)
	}
	if !got["Sender"].Present || got["Sender"].Why != "" || got["Accounts"].Present || got["Accounts"].Why != "there are none" ||
		got["GroupWriter"].Why == "" || got["CustomerSCIM"].Why != "not published" || names[0] != "Accounts" || !slices.Contains(names, "MessageLinker") {
		t.Errorf("%+v", got)
	}
}
