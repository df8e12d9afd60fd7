package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/provision"
)

// planView says how much of a plan is shown.
type planView struct {
	rows int  // organizations; 0: all
	full bool // every change
}

// foresee shows what a plan would be for one organization, or on a date, as far as the actor may know.
func (e *env) foresee(ctx context.Context, h *boot.Hub, actor access.Actor, org policies.OrgID, date string, v planView) error {
	day, err := parseDay("--at", date)
	if err != nil {
		return err
	}
	at := e.now()
	if day != 0 {
		at = time.UnixMicro(day).UTC()
	}
	if at.Before(e.now().Add(-time.Minute)) {
		return boot.Usage(fmt.Errorf("--at %s: the past can't be foreseen; give a date from tomorrow on", date))
	}
	if err := mayForesee(ctx, h, actor, policies.ActionPlanRead, org); err != nil {
		return err
	}
	scope, err := h.Scope(ctx, actor, policies.ActionPeopleRead, policies.Context{})
	if err != nil {
		return err
	}
	if org != "" && !scope.Covers(org) {
		return fmt.Errorf("foresee for organization %s: %w", org, identity.ErrRefused)
	}
	plan, err := h.Planner.Foresee(ctx, scope, at, org)
	if err != nil {
		return err
	}
	if e.json {
		doc := document(h, provision.PlanRecord{}, plan)
		doc.Foreseen = &foreseen{org, at}
		return e.printJSON("musubi.plan.v1", doc)
	}
	say(e.stdout, "予測 / foreseen: %s%s (保存されません / not stored)", showTime(at), map[bool]string{true: " " + string(org)}[org != ""])
	if plan.Empty() {
		say(e.stdout, "変更はありません。 / Nothing would change.")
		return nil
	}
	return e.writeChanges(ctx, h, actor, e.stdout, plan, v)
}

// mayForesee asks for the action, and for the organization where one is named.
func mayForesee(ctx context.Context, h *boot.Hub, actor access.Actor, action policies.Action, org policies.OrgID) error {
	scope, err := h.Scope(ctx, actor, action, policies.Context{})
	if err != nil {
		return err
	}
	if org != "" && !scope.Covers(org) {
		return fmt.Errorf("%s for organization %s: %w", action, org, identity.ErrRefused)
	}
	return nil
}

// writePlan shows a stored plan.
func (e *env) writePlan(ctx context.Context, h *boot.Hub, actor access.Actor, w io.Writer, rec provision.PlanRecord, plan provision.Plan, v planView) error {
	say(w, "計画 / plan %s", rec.Hash)
	say(w, "状態 / state %s, 作成 / made %s, 作成者 / maker %s, 方針 / policies %.12s", rec.State, showTime(rec.MadeAt), rec.Maker, plan.PolicyHash)
	return e.writeChanges(ctx, h, actor, w, plan, v)
}

// writeChanges shows totals per product, then the organizations with the most changes, by SaaS.
func (e *env) writeChanges(ctx context.Context, h *boot.Hub, actor access.Actor, w io.Writer, plan provision.Plan, v planView) error {
	missing := notConnected(h)
	for _, t := range plan.Totals {
		if slices.Contains(missing, t.Product) {
			say(w, "\n%s: 接続されていないため、計画しません。 / not connected: nothing is planned for it.", t.Product)
			continue
		}
		say(w, "\n%s: 利用席 / seats %s → %s  月額 / yen a month %s → %s", t.Product, group(t.AccountsCurrent), group(t.AccountsWanted), group(t.YenCurrent), group(t.YenWanted))
		for _, line := range []struct {
			ja, en string
			n      int
		}{
			{"組織グループの作成", "groups created", t.Groups},
			{"アカウントの作成", "accounts created", t.Created},
			{"アカウントの変更", "accounts changed", t.Updated},
			{"アカウントの再開", "accounts enabled again", t.Enabled},
			{"アカウントの停止", "accounts disabled", t.Disabled},
			{"所属の追加", "memberships added", t.MembersAdded},
			{"所属の解除", "memberships removed", t.MembersRemoved},
		} {
			if line.n > 0 {
				say(w, "  %8s  %s / %s", group(line.n), line.ja, line.en)
			}
		}
	}
	names, err := orgNames(ctx, h, actor)
	if err != nil {
		return err
	}
	list := byOrg(plan, h.Planner.Prices())
	say(w, "\n組織ごと / per organization (%s):  増 + 減 − 変更 ~, 所属 / memberships", group(len(list)))
	for i, o := range list {
		if v.rows > 0 && i == v.rows {
			say(w, "  … ほか %s 組織 / %s more (--rows 0 shows all, --full every change, --json everything)", group(len(list)-v.rows), group(len(list)-v.rows))
			break
		}
		say(w, "  %s %s  月額 / yen a month %s", o.org, names[o.org], signed(o.yen))
		for _, c := range o.changes {
			say(w, "    %-10s +%s −%s ~%s  所属 +%s −%s  方針 / policies: %s", c.Product, group(c.Gained), group(c.Lost), group(c.Updated),
				group(c.MembersAdded), group(c.MembersRemoved), strings.Join(c.Policies, ", "))
			if v.full {
				writeObjects(w, plan, c)
			}
		}
	}
	return nil
}

// signed writes n with its sign and thousands separators.
func signed(n int) string {
	if n > 0 {
		return "+" + group(n)
	}
	return group(n)
}

type orgChanges struct {
	org     policies.OrgID
	changes []provision.Change
	weight  int // accounts and access that people gain or lose
	yen     int
}

// byOrg gathers the changes of each organization, those with the most first.
func byOrg(plan provision.Plan, prices provision.Prices) []orgChanges {
	at := map[policies.OrgID]int{}
	var list []orgChanges
	for _, c := range plan.Changes(prices) {
		i, ok := at[c.Org]
		if !ok {
			i = len(list)
			at[c.Org] = i
			list = append(list, orgChanges{org: c.Org})
		}
		o := &list[i]
		o.changes = append(o.changes, c)
		o.weight += c.Gained + c.Lost + c.MembersAdded + c.MembersRemoved
		o.yen += c.Yen
	}
	slices.SortStableFunc(list, func(a, b orgChanges) int { return cmp.Or(cmp.Compare(b.weight, a.weight), cmp.Compare(a.org, b.org)) })
	return list
}

// writeObjects shows every change of one organization and product.
func writeObjects(w io.Writer, plan provision.Plan, c provision.Change) {
	for _, o := range plan.Objects {
		if o.Org != c.Org || o.Product != c.Product {
			continue
		}
		switch o.Kind {
		case provision.ObjectGroup:
			say(w, "      group %s  %s", o.Action, o.Name)
		case provision.ObjectMembers:
			say(w, "      members %s  %s", o.Action, joined(o.Members))
		case provision.ObjectAccount:
			say(w, "      account %s  %s %s  %s", o.Action, o.Person, o.Seat, strings.Join(changed(o.Before, o.After), ", "))
		}
	}
}

func joined[T ~string](ids []T) string {
	texts := make([]string, len(ids))
	for i, id := range ids {
		texts[i] = string(id)
	}
	return strings.Join(texts, " ")
}

// changed says what becomes of an account, attribute by attribute.
func changed(before, after *provision.Attributes) []string {
	var was, is provision.Attributes
	if before != nil {
		was = *before
	}
	if after != nil {
		is = *after
	}
	var list []string
	add := func(name string, a, b any) {
		if a != b {
			list = append(list, fmt.Sprintf("%s %v → %v", name, a, b))
		}
	}
	add("email", was.Email, is.Email)
	add("name", was.DisplayName, is.DisplayName)
	add("organization", was.Organization, is.Organization)
	add("guest", was.Guest, is.Guest)
	add("active", was.Active, is.Active)
	return list
}
