package policies

import (
	"fmt"
	"slices"
)

// BreakGlassActor stands for an operating system user who acts without being a person of the directory. The audit row
// carries the user's name; nothing else may, so the scope names only this.
const BreakGlassActor PersonID = "break-glass"

// BreakGlassActions lists what may be done without being a person of the directory: set the directory right, prepare a plan,
// and see how the hub's work stands. Approving or applying a plan is never among them, and neither is retrying or discarding a
// job, which is work towards a SaaS, or reading the audit log.
//
// Rotating a signing key is among them: a stolen key has to be put out of use also when nobody can log in, or when the
// credentials went with it. It gives nobody a right or a sight of anything, and whoever is a user of the hub's machine could
// already read the sealing key.
func BreakGlassActions() []Action {
	return []Action{
		ActionOrgRead, ActionOrgWrite, ActionPeopleRead, ActionPeopleWrite, ActionPlanRead, ActionPlanMake,
		ActionJobsRead, ActionKeyRotate,
	}
}

// BreakGlass mints a scope over all organizations for an operating system user in an emergency. It refuses every action
// outside BreakGlassActions. identity/access is the only caller, and appends an audit row each time.
func BreakGlass(action Action) (Scope, error) {
	if !slices.Contains(BreakGlassActions(), action) {
		return Scope{}, fmt.Errorf(
			"policies: %s is never open to a bare operating system user; act as a person of the directory (--as FILE)", action)
	}
	return Scope{actor: BreakGlassActor, action: action, all: true, reason: "break-glass"}, nil
}
