package trial

import (
	"context"
	"fmt"
	"slices"

	"github.com/musubi-hub/musubi/cmd/musubi/console"
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/directory"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/provision"
)

// The towns that the trials take, where the demonstration has them.
const (
	preferred   = policies.OrgID("011002") // 札幌市
	destination = policies.OrgID("041009") // 仙台市
)

// Offers implements console.Trials.
func (t *Trials) Offers(ctx context.Context, actor access.Actor) ([]console.Offer, error) {
	world, _, ok := t.ready()
	leaver := console.Offer{
		Kind: KindLeaver, Title: console.Text{JA: "退職者を出す", EN: "A leaver"}, Button: console.Text{JA: "在籍を終える", EN: "End the service"},
		About: console.Text{JA: "職員が一人辞めると、承認を待たずに、数秒ですべての SaaS から外れます。", EN: "Somebody leaves, and is out of every SaaS within seconds, without an approval."},
	}
	transfer := console.Offer{
		Kind: KindTransfer, Title: console.Text{JA: "異動させる", EN: "A transfer"}, Button: console.Text{JA: "異動を発令する", EN: "Transfer"},
		About: console.Text{JA: "職員が別の市へ異動すると、前の所属を先に外し、それから新しい所属に入れます。", EN: "Somebody moves to another town: out of the old group first, then into the new one."},
	}
	fault := console.Offer{
		Kind: KindFault, Title: console.Text{JA: "障害を起こす", EN: "A fault"}, Button: console.Text{JA: "障害を仕込み、職員を登録する", EN: "Plant it, and register somebody"},
		About: console.Text{JA: "SaaS が落ちても、作成したのに応答がなくても、アカウントはちょうど 1 件になります。", EN: "The SaaS is away, then makes an account and never answers: there will be exactly one account."},
	}
	wait := func(text console.Text) []console.Offer {
		leaver.Disabled, transfer.Disabled, fault.Disabled = text, text, text
		return []console.Offer{leaver, transfer, fault}
	}
	if !ok {
		return wait(console.Text{JA: "取込と適用が終わると試せます。", EN: "You can try it when the import and the plan are done."}), nil
	}
	c, err := candidates(ctx, world, actor)
	if err != nil {
		return nil, err
	}
	if len(c.people) == 0 {
		return wait(console.Text{JA: "試せる職員がいません。", EN: "There is nobody to try it on."}), nil
	}
	p, home := c.people[0], c.from
	if len(c.officials) > 0 {
		p, home = c.officials[0], c.ministry
	}
	leaver.Subject = string(p.ID)
	leaver.About = console.Text{
		JA: fmt.Sprintf("%sの %s さん (職員番号 %s) の在籍を終えます。", home.Name, p.DisplayName(), p.StaffNumber), EN: "This person's service ends.",
	}
	leaver.Steps = []console.Text{
		{JA: "名簿の在籍が終わり、同じトランザクションで停止の処理が入ります。計画も承認も要りません。", EN: "The directory ends the service and queues the work in one transaction. No plan, no approval."},
		{JA: "急ぎの列の処理が、それぞれの SaaS で所属を外し、アカウントを止めます。", EN: "Jobs of the urgent queue take the person out of the groups and end the accounts."},
		{JA: "代役の画面から、その人が消えます。", EN: "The stand-ins show that the person is gone."},
	}
	leaver.Command = fmt.Sprintf("musubi people end --org %s %s --why 退職 --as FILE", home.ID, p.StaffNumber)
	q := c.people[len(c.people)-1]
	if c.to.ID == "" || len(c.people) < 2 {
		transfer.Disabled = console.Text{JA: "異動先の団体か、異動する職員がいません。", EN: "There is no other town, or nobody to move."}
	} else {
		transfer.Subject = string(q.ID) + " " + string(c.to.ID)
		transfer.About = console.Text{
			JA: fmt.Sprintf("%sの %s さん (職員番号 %s) を、今日付けで%sへ異動させます。", c.from.Name, q.DisplayName(), q.StaffNumber, c.to.Name), EN: "This person moves to another town today.",
		}
		transfer.Steps = []console.Text{
			{JA: "異動はすぐに発効し、名簿の所属が変わります。", EN: "The transfer takes effect at once."},
			{JA: "ハブが名簿の変更から計画を作ります。小さな計画は方針が承認し、すぐに適用されます (常設の承認)。", EN: "The hub makes a plan of the change. It is small, so policy approves it (standing approval) and it is applied."},
			{JA: "前の市の所属を外してから、新しい市に入れます。両方に入っている時はありません。", EN: "Out of the old town, then into the new one, and never in both."},
		}
		transfer.Command = fmt.Sprintf("musubi transfers add --org %s %s --kind 異動 --at TODAY --to %s --to-staff-number NUMBER --role general --as FILE", c.from.ID, q.StaffNumber, c.to.ID)
	}
	fault.Subject = string(c.from.ID)
	fault.About = console.Text{
		JA: fmt.Sprintf("代役の Jira に障害を仕込み、%sに新しい職員を一人登録します。", c.from.Name), EN: "Faults are planted in the stand-in of Jira, and somebody new is registered.",
	}
	fault.Steps = []console.Text{
		{JA: "Jira は 2 回、503 を返します。ハブは待って、もう一度試します。", EN: "Jira answers 503 twice. The hub waits and tries again."},
		{JA: "次に Jira は、アカウントを作ったのに応答しません。ハブは作り直さず、まず探します。", EN: "Then it makes the account and never answers. The hub looks for it before it makes another."},
		{JA: "アカウントはちょうど 1 件になります。", EN: "There will be exactly one account."},
	}
	fault.Command = `curl -H 'Content-Type: application/json' -d '{"target":"jira","op":"createCustomer","kind":"timeout_after_success","delay_ms":1000,"count":1}' http://` + world.Address + "/_control/faults"
	return []console.Offer{leaver, transfer, fault}, nil
}

// cast is on whom the trials can be tried.
type cast struct {
	from, to  identity.Organization
	people    []identity.Person // of from, whose accounts are all there
	ministry  identity.Organization
	officials []identity.Person // of ministry: they have a seat in more products
}

// candidates finds a town whose people have accounts, and another one.
func candidates(ctx context.Context, world World, actor access.Actor) (cast, error) {
	var c cast
	orgs, err := world.Hub.Scope(ctx, actor, policies.ActionOrgRead, policies.Context{})
	if err != nil {
		return c, err
	}
	read, err := world.Hub.Scope(ctx, actor, policies.ActionPeopleRead, policies.Context{})
	if err != nil {
		return c, err
	}
	list, err := world.Hub.Directory.Organizations(ctx, orgs, directory.OrgFilter{Kinds: []policies.OrgKind{policies.KindMunicipality}, At: world.Hub.Now().UnixMicro(), Limit: 100})
	if err != nil {
		return c, err
	}
	slices.SortStableFunc(list, func(a, b identity.Organization) int { return rank(a.ID) - rank(b.ID) })
	for _, o := range list {
		if c.from.ID != "" {
			c.to = o
			break
		}
		if c.people, err = settled(ctx, world, read, o.ID); err != nil {
			return c, err
		}
		if len(c.people) > 0 {
			c.from = o
		}
	}
	list, err = world.Hub.Directory.Organizations(ctx, orgs, directory.OrgFilter{Kinds: []policies.OrgKind{policies.KindMinistry}, At: world.Hub.Now().UnixMicro(), Limit: 20})
	if err != nil {
		return c, err
	}
	for _, c.ministry = range list {
		if c.officials, err = settled(ctx, world, read, c.ministry.ID); err != nil || len(c.officials) > 0 {
			return c, err
		}
	}
	return c, nil
}

func rank(id policies.OrgID) int {
	switch id {
	case preferred:
		return 0
	case destination:
		return 1
	}
	return 2
}

// settled lists people of org who do general work and whose accounts are all there.
func settled(ctx context.Context, world World, read policies.Scope, org policies.OrgID) ([]identity.Person, error) {
	people, err := world.Hub.Directory.People(ctx, read, directory.PeopleFilter{Org: org, Limit: 200})
	if err != nil {
		return nil, err
	}
	people = slices.DeleteFunc(people, func(p identity.Person) bool { return p.Role != policies.RoleGeneral || p.EndedAt != 0 })
	ids := make([]policies.PersonID, len(people))
	for i, p := range people {
		ids[i] = p.ID
	}
	seats, err := world.Hub.Provision.SeatsOfPeople(ctx, read, ids)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(people, func(p identity.Person) bool {
		own := seats[p.ID]
		return len(own) == 0 || slices.ContainsFunc(own, func(s provision.PersonSeat) bool { return s.State != provision.StateActive || s.Leaving })
	}), nil
}
