package console

import (
	"testing"

	"github.com/musubi-hub/musubi/connectors"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/provision"
)

// Every value that a page can meet has words in both languages, and no two look alike.
func TestWords(t *testing.T) {
	check := func(what string, labels []label) {
		t.Helper()
		seen := map[label]bool{}
		for i, l := range labels {
			if l.JA == "" || l.EN == "" || seen[l] {
				t.Errorf("%s %d: %+v", what, i, l)
			}
			seen[l] = true
		}
	}
	var kinds, many, roles, states, accounts, ops []label
	for _, k := range policies.OrgKinds() {
		kinds, many = append(kinds, kindLabel(k)), append(many, kindsLabel(k))
	}
	for _, r := range policies.Roles() {
		roles = append(roles, roleLabel(r))
	}
	for _, s := range []provision.PlanState{
		provision.PlanMade, provision.PlanApproved, provision.PlanStaging, provision.PlanRunning, provision.PlanDone, provision.PlanCancelled,
	} {
		states = append(states, planBadge(s, false).label)
	}
	states = append(states, planBadge(provision.PlanApproved, true).label)
	for _, s := range []provision.AccountState{provision.StateCreating, provision.StateActive, provision.StateDisabled} {
		accounts = append(accounts, accountBadge(provision.PersonSeat{State: s}).label)
	}
	accounts = append(accounts, accountBadge(provision.PersonSeat{State: provision.StateActive, Leaving: true}).label)
	for _, k := range []provision.OpKind{
		provision.OpGroup, provision.OpAccount, provision.OpDisable, provision.OpAdd, provision.OpRemove, provision.OpRelease, "members",
	} {
		ops = append(ops, opLabel(k))
	}
	check("kind", kinds)
	check("kinds", many)
	check("role", roles)
	check("plan state", states)
	check("account state", accounts)
	check("operation", ops)
	check("ISMAP", []label{ismapBadge("registered").label, ismapBadge("not registered").label, ismapBadge("").label})
	check("reach", []label{reachBadge(connectors.ReachDirect).label, reachBadge(connectors.ReachRelay).label, reachBadge(connectors.ReachNo).label})
	for _, p := range policies.Products() {
		if productLabel(p).JA == string(p) || seatKind(p).JA == "" {
			t.Errorf("product %s has no words", p)
		}
	}
}

func TestProductState(t *testing.T) {
	const jira = policies.ProductJira
	running := func(state provision.PlanState, p provision.ProductProgress) []planRow {
		p.Product = jira
		return []planRow{
			{Record: provision.PlanRecord{State: provision.PlanMade}},
			{Record: provision.PlanRecord{State: state}, Progress: &provision.Progress{Products: []provision.ProductProgress{p}}},
		}
	}
	waits := func(failure string) provision.ProductProgress {
		return provision.ProductProgress{Total: 9, Pending: 3, Waiting: "jira: why", Failure: failure}
	}
	for name, c := range map[string]struct {
		connected bool
		plans     []planRow
		tone      string
		text      string
		why       string
	}{
		"not connected": {false, nil, "warning", "接続されていません", ""},
		"no plan":       {true, nil, "success", "待ちはありません", ""},
		"staging":       {true, running(provision.PlanStaging, provision.ProductProgress{}), "info", "適用の準備中", ""},
		"moving":        {true, running(provision.PlanRunning, provision.ProductProgress{Total: 9, Pending: 3}), "info", "適用中", ""},
		"throttled":     {true, running(provision.PlanRunning, waits("throttled")), "info", "流量枠の回復を待っています", "jira: why"},
		"auth":          {true, running(provision.PlanRunning, waits("auth")), "error", "認証できません", "jira: why"},
		"away":          {true, running(provision.PlanRunning, waits("unavailable")), "warning", "応答を待っています", "jira: why"},
		"lost answer":   {true, running(provision.PlanRunning, waits("ambiguous")), "warning", "応答を待っています", "jira: why"},
		"other":         {true, running(provision.PlanRunning, waits("protocol")), "warning", "再試行しています", "jira: why"},
		"all done":      {true, running(provision.PlanRunning, provision.ProductProgress{Total: 9, Done: 9}), "success", "待ちはありません", ""},
		"ended":         {true, running(provision.PlanDone, waits("auth")), "success", "待ちはありません", ""},
	} {
		got, why := productState(jira, c.connected, c.plans)
		if got.Tone != c.tone || got.JA != c.text || why != c.why {
			t.Errorf("%s: %+v, %q", name, got, why)
		}
	}
}

// What a person is told to do depends on what is left standing.
func TestRemedy(t *testing.T) {
	seen := map[label]string{}
	for name, trouble := range map[string]provision.Trouble{
		"left out": {State: "dropped", Op: provision.Op{Kind: provision.OpAccount}},
		"account":  {State: "quarantined", Op: provision.Op{Kind: provision.OpAccount}},
		"disable":  {State: "quarantined", Op: provision.Op{Kind: provision.OpDisable}},
		"group":    {State: "quarantined", Op: provision.Op{Kind: provision.OpGroup}},
	} {
		l := remedy(trouble)
		if other, dup := seen[l]; dup || l.JA == "" || l.EN == "" {
			t.Errorf("%s: the remedy of %s", name, other)
		}
		seen[l] = name
	}
}
