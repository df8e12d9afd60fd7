package provision

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/policies"
)

// tableSeater seats by kind of organization, as the shipped policies do, without Cedar: these tests are about plans.
type tableSeater struct{}

func (tableSeater) Hash() string { return "policy-hash" }

func (tableSeater) Seats(p policies.Person) ([]policies.SeatDecision, error) {
	if !p.Active {
		return nil, nil
	}
	switch p.Org.Kind {
	case policies.KindMinistry:
		return []policies.SeatDecision{{Product: policies.ProductAtlassian, Seat: policies.SeatLicensedMember, Policies: []string{"seat-ministry"}}}, nil
	case policies.KindMunicipality, policies.KindPrefecture:
		chat := policies.SeatDecision{Product: policies.ProductSlack, Seat: policies.SeatGuest, Policies: []string{"seat-chat"}}
		if p.Org.ID == "131024" { // so that a transfer between the towns makes a guest of a member, and back
			chat.Seat = policies.SeatLicensedMember
		}
		return []policies.SeatDecision{
			{Product: policies.ProductJira, Seat: policies.SeatPortalCustomer, Policies: []string{"seat-local"}},
			chat,
			{Product: policies.ProductMail, Seat: policies.SeatContact, Policies: []string{"seat-mail"}},
		}, nil
	}
	return nil, nil
}

func testOrgs() []identity.Organization {
	return []identity.Organization{
		{ID: "2000012020001", Kind: policies.KindMinistry, Name: "総務省"},
		{ID: "131016", Kind: policies.KindMunicipality, Name: "千代田区"},
		{ID: "131024", Kind: policies.KindMunicipality, Name: "中央区"},
	}
}

func testPerson(n int, org policies.OrgID) identity.Person {
	return identity.Person{
		ID: policies.PersonID(fmt.Sprintf("p%04d", n)), Org: org, StaffNumber: fmt.Sprint(n), FamilyName: "見本", GivenName: fmt.Sprintf("%d郎", n),
		Email: fmt.Sprintf("p%d@c%s.example.lg.jp", n, org), Role: policies.RoleGeneral,
	}
}

func mustWant(t interface{ Fatal(...any) }, people []identity.Person) Wanted {
	w, err := Want(people, nil, testOrgs(), tableSeater{})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestPlanSummary(t *testing.T) {
	w := mustWant(t, []identity.Person{testPerson(1, "131016"), testPerson(2, "131024"), testPerson(3, "2000012020001")})
	plan := Make(w, Known{}, "maker", "hash")
	var got []string
	for _, o := range plan.Objects {
		got = append(got, fmt.Sprintf("%s %s %s %s%s%v", o.Product, o.Kind, o.Action, o.Org, o.Person, o.Members))
	}
	want := []string{
		"atlassian group create 2000012020001[]",
		"atlassian account create 2000012020001p0003[]",
		"atlassian members add 2000012020001[p0003]",
		"jira group create 131016[]",
		"jira group create 131024[]",
		"jira account create 131016p0001[]",
		"jira account create 131024p0002[]",
		"jira members add 131016[p0001]",
		"jira members add 131024[p0002]",
		"slack group create 131016[]",
		"slack group create 131024[]",
		"slack account create 131016p0001[]",
		"slack account create 131024p0002[]",
		"slack members add 131016[p0001]",
		"slack members add 131024[p0002]",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("objects (-want +got):\n%s", diff)
	}
	if tot := plan.Totals[1]; tot.Created != 2 || tot.Groups != 2 || tot.MembersAdded != 2 || tot.AccountsWanted != 2 || tot.AccountsCurrent != 0 {
		t.Errorf("jira totals: %+v", tot)
	}
}

func TestPlanHashCoversEverything(t *testing.T) {
	base := Make(mustWant(t, []identity.Person{testPerson(1, "131016")}), Known{}, "maker", "hash")
	changed := map[string]Plan{
		"maker":       Make(mustWant(t, []identity.Person{testPerson(1, "131016")}), Known{}, "other", "hash"),
		"policy":      Make(mustWant(t, []identity.Person{testPerson(1, "131016")}), Known{}, "maker", "hash2"),
		"person":      Make(mustWant(t, []identity.Person{testPerson(2, "131016")}), Known{}, "maker", "hash"),
		"one more":    Make(mustWant(t, []identity.Person{testPerson(1, "131016"), testPerson(2, "131016")}), Known{}, "maker", "hash"),
		"other place": Make(mustWant(t, []identity.Person{testPerson(1, "131024")}), Known{}, "maker", "hash"),
	}
	for name, p := range changed {
		if p.Hash() == base.Hash() {
			t.Errorf("%s: the hash didn't change", name)
		}
	}
	again, err := DecodePlan(base.Encode())
	if err != nil {
		t.Fatal(err)
	}
	if again.Hash() != base.Hash() {
		t.Error("decoding and encoding changes the hash")
	}
}

func TestDecodePlanRefuses(t *testing.T) {
	for name, doc := range map[string]string{
		"unknown field": `{"version":1,"maker":"a","surprise":1}`,
		"other version": `{"version":2}`,
		"not JSON":      `plan`,
	} {
		if _, err := DecodePlan([]byte(doc)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// applied gives the ledger as it is once every object of a plan is done.
func applied(k Known, p Plan) Known {
	accounts := map[holder]KnownAccount{}
	for _, a := range k.Accounts {
		accounts[holder{a.Product, a.Person}] = a
	}
	out := Known{Groups: map[policies.Product]map[policies.OrgID]string{}, Members: map[policies.Product]map[policies.PersonID][]policies.OrgID{}}
	for _, product := range policies.Products() {
		out.Groups[product], out.Members[product] = map[policies.OrgID]string{}, map[policies.PersonID][]policies.OrgID{}
		for org, name := range k.Groups[product] {
			out.Groups[product][org] = name
		}
		for person, orgs := range k.Members[product] {
			out.Members[product][person] = slices.Clone(orgs)
		}
	}
	for _, o := range p.Objects {
		switch o.Kind {
		case ObjectGroup:
			out.Groups[o.Product][o.Org] = o.Name
		case ObjectAccount:
			accounts[holder{o.Product, o.Person}] = KnownAccount{Product: o.Product, Person: o.Person, Org: o.Org, Seat: o.Seat, AccountID: "x", Attributes: *o.After}
		case ObjectMembers:
			for _, m := range o.Members {
				orgs := out.Members[o.Product][m]
				if o.Action == ActionAdd {
					orgs = append(orgs, o.Org)
				} else {
					orgs = slices.DeleteFunc(orgs, func(x policies.OrgID) bool { return x == o.Org })
				}
				slices.Sort(orgs)
				out.Members[o.Product][m] = orgs
			}
		}
	}
	for _, a := range accounts {
		out.Accounts = append(out.Accounts, a)
	}
	slices.SortFunc(out.Accounts, func(a, b KnownAccount) int {
		return strings.Compare(string(a.Product)+string(a.Person), string(b.Product)+string(b.Person))
	})
	return out
}

func genPeople(t *rapid.T, label string) []identity.Person {
	n := rapid.IntRange(0, 12).Draw(t, label)
	orgs := testOrgs()
	var people []identity.Person
	for i := range n {
		p := testPerson(i, orgs[rapid.IntRange(0, len(orgs)-1).Draw(t, "org")].ID)
		if rapid.IntRange(0, 4).Draw(t, "ended") == 0 {
			p.EndedAt = 1
		}
		if rapid.Bool().Draw(t, "renamed") {
			p.FamilyName = "改名"
		}
		people = append(people, p)
	}
	return people
}

// However the directory changes: applying the plan leads to a state for which the next plan is empty; the plan doesn't depend on
// the order of its inputs; and per person and product nobody enters an organization before having left the other.
func TestPlanConverges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		known := applied(Known{}, Make(mustWant(t, genPeople(t, "before")), Known{}, "m", "h"))
		people := genPeople(t, "after")
		plan := Make(mustWant(t, people), known, "m", "h")
		shuffled := rapid.Permutation(people).Draw(t, "order")
		if other := Make(mustWant(t, shuffled), known, "m", "h"); other.Hash() != plan.Hash() {
			t.Fatal("the plan depends on the order of its inputs")
		}
		if next := Make(mustWant(t, people), applied(known, plan), "m", "h"); !next.Empty() {
			doc, _ := json.MarshalIndent(next.Objects, "", " ")
			t.Fatalf("after the plan something is left to do:\n%s", doc)
		}
		steps, err := Steps("run", plan.Objects, func(policies.Product) int { return 2 })
		if err != nil {
			t.Fatal(err)
		}
		checkOrder(t, steps)
		keep, drops := Compare(plan, plan)
		if len(drops) != 0 || len(keep) != len(plan.Objects) {
			t.Fatal("a plan compared with itself drops something")
		}
	})
}

// checkOrder: the steps are a directed graph without a cycle, waits equals the edges that come in, and each add waits for its
// group, its accounts and every removal of its people.
func checkOrder(t *rapid.T, steps []Step) {
	in := make([]int, len(steps))
	before := make([]map[int]bool, len(steps))
	for i := range before {
		before[i] = map[int]bool{}
	}
	for _, st := range steps {
		for _, next := range st.Next {
			in[next]++
			before[next][st.Op.Seq] = true
		}
	}
	done, ready := 0, []int{}
	left := slices.Clone(in)
	for i, st := range steps {
		if st.Waits != in[i] {
			t.Fatalf("step %d waits for %d, but %d edges come in", i, st.Waits, in[i])
		}
		if in[i] == 0 {
			ready = append(ready, i)
		}
	}
	for len(ready) > 0 {
		i := ready[0]
		ready = ready[1:]
		done++
		for _, next := range steps[i].Next {
			if left[next]--; left[next] == 0 {
				ready = append(ready, next)
			}
		}
	}
	if done != len(steps) {
		t.Fatal("the steps wait for each other in a circle")
	}
	for i, a := range steps {
		for j, b := range steps {
			if a.Op.Product != b.Op.Product || i == j {
				continue
			}
			shared := slices.ContainsFunc(a.Op.Members, func(p policies.PersonID) bool {
				return p == b.Op.Person || slices.Contains(b.Op.Members, p)
			})
			switch {
			case a.Op.Kind == OpAdd && shared && (b.Op.Kind == OpRemove || b.Op.Kind == OpAccount) && !before[i][j]:
				t.Fatalf("step %d adds somebody without waiting for step %d (%s)", i, j, b.Op.Kind)
			case a.Op.Kind == OpAdd && b.Op.Kind == OpGroup && a.Op.Org == b.Op.Org && !before[i][j]:
				t.Fatalf("step %d adds to a group without waiting for step %d", i, j)
			case a.Op.Kind == OpRemove && shared && b.Op.Kind == OpDisable && !before[j][i]:
				t.Fatalf("step %d ends access without waiting for removal %d", j, i)
			}
		}
	}
}

func TestCompareDropsWhatChanged(t *testing.T) {
	before := []identity.Person{testPerson(1, "131016"), testPerson(2, "131016"), testPerson(3, "131024")}
	approved := Make(mustWant(t, before), Known{}, "m", "h")
	after := slices.Clone(before)
	after[0].Email = "other@c131016.example.lg.jp" // changed: planned anew
	after[2].EndedAt = 5                           // left
	keep, drops := Compare(approved, Make(mustWant(t, after), Known{}, "m", "h"))
	var kept, dropped []string
	for _, o := range keep {
		if o.Product == policies.ProductSlack {
			continue // as jira
		}
		kept = append(kept, fmt.Sprintf("%s %s %s%v", o.Kind, o.Org, o.Person, o.Members))
	}
	for _, d := range drops {
		if d.Object.Product == policies.ProductSlack {
			continue
		}
		dropped = append(dropped, fmt.Sprintf("%s %s %s%v", d.Object.Kind, d.Object.Org, d.Object.Person, d.Object.Members))
	}
	if diff := cmp.Diff([]string{"group 131016 []", "account 131016 p0002[]", "members 131016 [p0001 p0002]"}, kept); diff != "" {
		t.Errorf("kept (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"group 131024 []", "account 131016 p0001[]", "account 131024 p0003[]", "members 131024 [p0003]"}, dropped); diff != "" {
		t.Errorf("dropped (-want +got):\n%s", diff)
	}
}
