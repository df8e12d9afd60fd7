package trial

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/cmd/musubi/console"
	"github.com/musubi-hub/musubi/connectors/sandbox"
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/directory/sample"
	"github.com/musubi-hub/musubi/identity/jst"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/jobs"
	"github.com/musubi-hub/musubi/sync/provision"
)

// act is one trial under way.
type act struct {
	*Trials
	World
	story        *story
	actor, other access.Actor
	before       int64 // number of the newest job before it began
}

// prepare notes where the jobs stand.
func (a *act) prepare(ctx context.Context) error {
	list, err := a.Hub.Jobs.List(ctx, jobs.Filter{}, jobs.Page{Limit: 1})
	if err == nil && len(list) > 0 {
		a.before = list[0].ID
	}
	return err
}

// about fixes whom the story is about, and how things stand before anything happens.
func (a *act) about(title console.Text, email string) {
	seen := holdings(a.World, email)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.story.Title, a.story.email, a.story.seen = title, email, seen
}

// until waits until ok says so.
func until(ctx context.Context, ok func() (bool, error)) error {
	for {
		done, err := ok()
		if err != nil || done {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// seconds writes how long the story has taken so far.
func (a *act) seconds() string { return fmt.Sprintf("%.1f", a.now().Sub(a.story.Began).Seconds()) }

// leave ends somebody's service, as `musubi people end` does. No plan, no approval: the hub's urgent queue does the rest.
func (a *act) leave(ctx context.Context, id policies.PersonID) (func(context.Context) (console.Text, error), error) {
	read, err := a.Hub.Scope(ctx, a.actor, policies.ActionPeopleRead, policies.Context{})
	if err != nil {
		return nil, err
	}
	person, err := a.inService(ctx, read, id)
	if err != nil {
		return nil, err
	}
	scope, err := a.Hub.Scope(ctx, a.actor, policies.ActionPeopleWrite, policies.Context{})
	if err != nil {
		return nil, err
	}
	a.about(console.Text{JA: "退職: " + person.DisplayName(), EN: "A leaver"}, person.Email)
	a.tell(console.EventAsked, "", a.actor.Person.DisplayName()+" が "+person.DisplayName()+" の在籍を終えた", "the person's service was ended; no approval is needed")
	if err := a.Hub.Directory.EndPerson(ctx, scope, id, author(a.actor)); err != nil {
		return nil, err
	}
	return func(ctx context.Context) (console.Text, error) {
		err := until(ctx, func() (bool, error) {
			for _, h := range holdings(a.World, person.Email) {
				if h.active > 0 || len(h.groups) > 0 {
					return false, nil
				}
			}
			seats, err := a.Hub.Provision.SeatsOfPeople(ctx, read, []policies.PersonID{id})
			return !slices.ContainsFunc(seats[id], func(s provision.PersonSeat) bool { return s.Leaving }), err
		})
		return console.Text{JA: a.seconds() + " 秒で、すべての SaaS から外れました", EN: "out of every SaaS in " + a.seconds() + " s"}, err
	}, nil
}

func (a *act) inService(ctx context.Context, read policies.Scope, id policies.PersonID) (identity.Person, error) {
	person, err := a.Hub.Directory.Person(ctx, read, id)
	if err != nil || person.EndedAt != 0 {
		return person, console.ErrTrialGone
	}
	return person, nil
}

// transfer moves somebody to another town today, as `musubi transfers add` does. subject is the person and the town.
func (a *act) transfer(ctx context.Context, subject string) (func(context.Context) (console.Text, error), error) {
	id, to, ok := strings.Cut(subject, " ")
	if !ok {
		return nil, console.ErrTrialGone
	}
	read, err := a.Hub.Scope(ctx, a.actor, policies.ActionPeopleRead, policies.Context{})
	if err != nil {
		return nil, err
	}
	person, err := a.inService(ctx, read, policies.PersonID(id))
	if err != nil {
		return nil, err
	}
	from, town, err := a.towns(ctx, person.Org, policies.OrgID(to))
	if err != nil {
		return nil, err
	}
	if from.ID == town.ID {
		return nil, console.ErrTrialGone
	}
	scope, err := a.Hub.Scope(ctx, a.actor, policies.ActionPeopleWrite, policies.Context{})
	if err != nil {
		return nil, err
	}
	a.about(console.Text{JA: "異動: " + person.DisplayName(), EN: "A transfer"}, person.Email)
	year, month, day := a.now().In(jst.Zone).Date()
	_, err = a.Hub.Directory.AddTransfer(ctx, scope, identity.Transfer{
		Person: person.ID, Kind: identity.TransferMove, To: town.ID, At: time.Date(year, month, day, 0, 0, 0, 0, jst.Zone).UnixMicro(),
		StaffNumber: fmt.Sprintf("D%08d", a.now().UnixMilli()/100%100_000_000), Role: policies.RoleGeneral, Section: "税務課",
	}, author(a.actor))
	if err != nil {
		return nil, err
	}
	a.tell(console.EventAsked, "", fmt.Sprintf("%s が、今日付けの異動を登録した: %s から %sへ", a.actor.Person.DisplayName(), from.Name, town.Name), "a transfer of today was recorded; it took effect at once")
	old, fresh := provision.GroupName(from), provision.GroupName(town)
	return func(ctx context.Context) (console.Text, error) {
		if err := a.carryOut(ctx); err != nil {
			return console.Text{}, err
		}
		err := until(ctx, func() (bool, error) {
			moved := false
			for _, h := range holdings(a.World, person.Email) {
				if slices.Contains(h.groups, old) {
					return false, nil
				}
				moved = moved || slices.Contains(h.groups, fresh)
			}
			return moved, nil
		})
		return console.Text{
			JA: fmt.Sprintf("%s 秒で、%sの所属を外し、%sに移しました", a.seconds(), from.Name, town.Name), EN: "out of the old town, then into the new one, in " + a.seconds() + " s",
		}, err
	}, nil
}

func (a *act) towns(ctx context.Context, from, to policies.OrgID) (identity.Organization, identity.Organization, error) {
	scope, err := a.Hub.Scope(ctx, a.actor, policies.ActionOrgRead, policies.Context{})
	if err != nil {
		return identity.Organization{}, identity.Organization{}, err
	}
	was, err := a.Hub.Directory.Organization(ctx, scope, from)
	if err != nil {
		return was, was, err
	}
	is, err := a.Hub.Directory.Organization(ctx, scope, to)
	return was, is, err
}

// faults are planted before somebody new comes: Jira is away twice, and then makes the account but never answers, which is the worst that
// can happen to a call: whoever sends it again blindly has two accounts.
var faults = []sandbox.Fault{
	{Target: sandbox.Jira, Op: "createCustomer", Kind: sandbox.FaultStatus, Status: http.StatusServiceUnavailable, DelayMS: 1000, Count: 2},
	{Target: sandbox.Jira, Op: "createCustomer", Kind: sandbox.FaultSwallow, DelayMS: 1000, Count: 1},
}

// hire plants the faults and registers somebody new in org, as `musubi people add` does.
func (a *act) hire(ctx context.Context, org policies.OrgID) (func(context.Context) (console.Text, error), error) {
	scope, err := a.Hub.Scope(ctx, a.actor, policies.ActionPeopleWrite, policies.Context{})
	if err != nil {
		return nil, err
	}
	town, _, err := a.towns(ctx, org, org)
	if err != nil {
		return nil, console.ErrTrialGone
	}
	number := a.now().UnixMilli() / 100 % 100_000_000
	person := identity.Person{
		Org: org, StaffNumber: fmt.Sprintf("F%08d", number), FamilyName: "試行", GivenName: fmt.Sprintf("新人 %d", number%10_000),
		Email: fmt.Sprintf("shinjin.%d@%s", number, sample.Domain(town)), Role: policies.RoleGeneral,
	}
	a.about(console.Text{JA: "障害の中の新任: " + person.DisplayName(), EN: "A fault"}, person.Email)
	if err := a.plant(ctx, faults); err != nil {
		return nil, err
	}
	a.tell(console.EventAsked, "", "代役の Jira に障害を仕込んだ: 2 回は 503、次は作成したのに応答しない", "faults were planted in the stand-in of Jira: 503 twice, then the work is done and the answer never comes")
	stored, err := a.Hub.Directory.AddPerson(ctx, scope, person, author(a.actor))
	if err != nil {
		return nil, err
	}
	a.tell(console.EventAsked, "", fmt.Sprintf("%s が %s を%sに登録した", a.actor.Person.DisplayName(), stored.DisplayName(), town.Name), "somebody new was registered")
	return func(ctx context.Context) (console.Text, error) {
		if err := a.carryOut(ctx); err != nil {
			return console.Text{}, err
		}
		h := holdings(a.World, person.Email)[sandbox.Jira]
		if h.active != 1 || h.accounts != 1 {
			return console.Text{}, fmt.Errorf("jira holds %d accounts of one person, %d active", h.accounts, h.active)
		}
		return console.Text{JA: "障害の間も止まらず、" + a.seconds() + " 秒後にアカウントはちょうど 1 件です", EN: "exactly one account after " + a.seconds() + " s, in spite of the faults"}, nil
	}, nil
}

// plant adds faults to the sandbox as a person would: through /_control/faults.
func (a *act) plant(ctx context.Context, rules []sandbox.Fault) error {
	body, err := json.Marshal(rules)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+a.Address+"/_control/faults", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := a.Transport.RoundTrip(req)
	if err != nil {
		return fmt.Errorf("plant a fault: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1000))
		return fmt.Errorf("plant a fault: %s: %s", resp.Status, text)
	}
	return nil
}

// carryOut waits until the hub has made a plan of the change by itself, and follows that to its end. Where policy doesn't approve the plan, the
// other administrator does.
func (a *act) carryOut(ctx context.Context) error {
	read, err := a.Hub.Scope(ctx, a.actor, policies.ActionPlanRead, policies.Context{})
	if err != nil {
		return err
	}
	var record provision.PlanRecord
	err = until(ctx, func() (bool, error) {
		list, err := a.Hub.Provision.Records(ctx, read, 5)
		for _, r := range list {
			if r.Maker == policies.HubActor && !r.MadeAt.Before(a.story.Began) {
				record = r
				return true, nil
			}
		}
		return false, err
	})
	if err != nil {
		return err
	}
	a.tell(console.EventPlan, "info", fmt.Sprintf("ハブが名簿の変更から計画 %.12s を作った: 変更 %d 件", record.Hash, record.Objects), "the hub made a plan of the change in the directory by itself")
	if record.State == provision.PlanMade {
		if err := a.Approve(ctx, a.other, record.Hash); err != nil {
			return err
		}
		a.tell(console.EventPlan, "info", a.other.Person.DisplayName()+" が承認した (デモが代わりに押しました)", "the other administrator approved it; the demonstration pressed the button")
		if err := a.Start(ctx, a.actor, record.Hash); err != nil {
			return err
		}
	} else {
		a.tell(console.EventPlan, "info", "小さな計画なので、方針が承認した (常設の承認)", "it is small: policy approved it (standing approval)")
	}
	var last provision.Progress
	err = until(ctx, func() (bool, error) {
		last, err = a.Hub.Provision.Progress(ctx, read, record.Hash)
		return last.Plan.State == provision.PlanDone || last.Plan.State == provision.PlanCancelled, err
	})
	if err == nil {
		a.tell(console.EventPlan, "success", fmt.Sprintf("適用を終えた: 操作 %d 件", last.Final), "the plan is done")
	}
	return err
}
