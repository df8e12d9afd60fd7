package directory

import (
	"fmt"
	"maps"
	"slices"

	"github.com/musubi-hub/musubi/identity/directory/review"
	"github.com/musubi-hub/musubi/policies"
)

// guardRemovals refuses a complete list that would end too many of an organization's people, until the number is confirmed. A file that
// was cut off, or that is of another section, looks just like a town that lets everybody go.
func (c *comparison) guardRemovals(report *review.Report) {
	for _, id := range slices.Sorted(maps.Keys(c.opt.Confirm)) {
		if o := c.orgs[id]; o == nil || !o.complete {
			report.Stop(0, fault{
				Column: "org", Value: string(id),
				Reason: review.Say("確認された組織がこのファイルの対象にありません", "the organization that was confirmed is not among those that this file is the list of"),
				Remedy: review.Say("--confirm の組織コードを確かめてください", "look again at the code in --confirm"),
			})
		}
	}
	for _, id := range slices.Sorted(maps.Keys(c.orgs)) {
		o := c.orgs[id]
		confirmed, named := c.opt.Confirm[id]
		switch {
		case !o.complete, named && confirmed == o.leavers:
		case named, o.leavers >= removalFew && float64(o.leavers) > removalShare*float64(o.people):
			report.Stop(0, removalFault(id, o))
		}
	}
}

func removalFault(id policies.OrgID, o *office) fault {
	return fault{
		Column: "org", Value: string(id),
		Reason: review.Say(
			fmt.Sprintf("在職者 %d 人のうち %d 人 (%d %%) がファイルになく、退職になります", o.people, o.leavers, o.leavers*100/max(o.people, 1)),
			fmt.Sprintf("of its %d people in service %d (%d %%) are not in the file and would leave", o.people, o.leavers, o.leavers*100/max(o.people, 1)),
		),
		Remedy: review.Say(
			fmt.Sprintf("ファイルが全員の一覧か確かめ、正しければ --confirm %s=%d を付けてください", id, o.leavers),
			fmt.Sprintf("make sure that the file lists everybody; if it does, add --confirm %s=%d", id, o.leavers),
		),
	}
}

// keepAdministrators refuses the rows that take away the role of an organization's last administrators, and reports whether it did. People
// who leave are never refused for that.
func (c *comparison) keepAdministrators() bool {
	losers, gained := map[policies.OrgID][]int{}, map[policies.OrgID]int{}
	for i := range c.found {
		if f := &c.found[i]; f.loses && f.outcome == changed {
			org := c.people.person(i).Org
			losers[org] = append(losers[org], i)
		}
	}
	if len(losers) == 0 {
		return false
	}
	for i := range c.found {
		f := &c.found[i]
		if f.outcome != added && f.outcome != changed {
			continue
		}
		if row := c.people.person(i); row.Role == c.orgs[row.Org].role && (f.outcome == added || f.gains) {
			gained[row.Org]++
		}
	}
	refusedAny := false
	for _, org := range slices.Sorted(maps.Keys(losers)) {
		o := c.orgs[org]
		if o.administrators+o.caretakers-o.leaving-len(losers[org])+gained[org] >= o.needed {
			continue
		}
		refusedAny = true
		for _, i := range losers[org] {
			c.refuse(i, lastAdministrator(c.people.person(i).Role))
		}
	}
	return refusedAny
}

func lastAdministrator(role policies.Role) fault {
	return fault{
		Column: "role", Value: string(role),
		Reason: review.Say("この変更で、組織の管理者が足りなくなります", "with this change the organization would have too few administrators"),
		Remedy: review.Say("同じファイルで後任を管理ユーザにするか、権限を administrator のままにしてください", "make a successor administrator in the same file, or leave the role as it is"),
	}
}
