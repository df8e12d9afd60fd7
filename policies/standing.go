package policies

import (
	"fmt"
	"math"

	"github.com/cedar-policy/cedar-go"
)

const (
	groupStanding  = "standing"
	actionStanding = "plan.standing"
)

// StandingActor stands for the policies where they approve a plan and no person did.
const StandingActor PersonID = "standing-approval"

// HubActor stands for the hub where it makes a plan by itself.
const HubActor PersonID = "hub"

// PlanFacts is what policies may read of a plan when they decide whether it stands approved. Each count is how many.
type PlanFacts struct {
	MadeByHub        bool // the hub made it from changes in the directory, no person did
	PoliciesChanged  bool // it is the first one under these policies
	ConcernsAgency   bool // somebody of the operating agency is in it
	AccountsGained   int  // made or enabled again
	AccountsChanged  int
	AccountsDisabled int // leavers not counted: they wait for nobody
	MembershipsLost  int // without those of announced transfers
	MembershipsGiven int
	Organizations    int // that it concerns
}

func (f PlanFacts) record() cedar.Record {
	count := func(n int) cedar.Long { return cedar.Long(min(max(n, 0), math.MaxInt32)) }
	return cedar.NewRecord(cedar.RecordMap{
		"madeByHub":        cedar.Boolean(f.MadeByHub),
		"policiesChanged":  cedar.Boolean(f.PoliciesChanged),
		"concernsAgency":   cedar.Boolean(f.ConcernsAgency),
		"accountsGained":   count(f.AccountsGained),
		"accountsChanged":  count(f.AccountsChanged),
		"accountsDisabled": count(f.AccountsDisabled),
		"membershipsLost":  count(f.MembershipsLost),
		"membershipsGiven": count(f.MembershipsGiven),
		"organizations":    count(f.Organizations),
	})
}

// Standing decides whether a plan stands approved by policy. An error means that there is no answer, and the plan waits for a person.
func (e *Engine) Standing(f PlanFacts) (Decision, error) {
	verdict, diag := cedar.Authorize(policyList(e.byAction[actionStanding]), &facts{person: hubPerson(), action: actionStanding}, standingRequest(f))
	if len(diag.Errors) > 0 {
		first := diag.Errors[0]
		return Decision{}, fmt.Errorf("policies: policy %s (%s:%d) can't be evaluated for %s: %s",
			first.PolicyID, first.Position.Filename, first.Position.Line, actionStanding, first.Message)
	}
	ids := map[string]bool{}
	for _, r := range diag.Reasons {
		ids[string(r.PolicyID)] = true
	}
	return Decision{Allow: verdict == cedar.Allow, Policies: sortedKeys(ids), Hash: e.set.hash}, nil
}

// hubPerson is the principal of the question: the hub, taken for somebody of the operating agency without a role of administration.
func hubPerson() Person {
	return Person{ID: HubActor, Org: Organization{ID: "hub", Kind: KindAgency}, Role: RoleGeneral, Active: true}
}

func standingRequest(f PlanFacts) cedar.Request {
	return cedar.Request{
		Principal: cedar.NewEntityUID(typePerson, cedar.String(HubActor)), Action: actionUID(actionStanding), Resource: workspaceUID(), Context: f.record(),
	}
}

func standingProbe() Probe {
	f := facts{person: hubPerson(), action: actionStanding}
	return Probe{Request: standingRequest(PlanFacts{}), Entities: f.all()}
}
