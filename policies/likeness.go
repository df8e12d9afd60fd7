package policies

import "slices"

// likeness is what tells one organization from another in the questions of one actor about one action. Two organizations that are
// alike have the same answer: exchanging their ids throughout the request changes nothing that a policy can see (Reads says why).
type likeness struct {
	kind              OrgKind
	named             OrgID // the organization itself, where policies name it
	own, above        bool  // is the actor's own, is above the actor's own
	served, caretaken bool
	parent            OrgID // where policies read of the organization above
	parentOfItself    bool
}

// likenessOf gives the likeness of org. r must be what the policies of the action read, actor have been checked.
func likenessOf(r Reads, actor Person, org Organization) likeness {
	l := likeness{
		kind: org.Kind, own: org.ID == actor.Org.ID, above: org.ID == actor.Org.Parent,
		served: has(actor.Serves, org.ID), caretaken: has(actor.Caretakes, org.ID),
	}
	if has(r.Orgs, org.ID) {
		l.named = org.ID
	}
	if r.ThingParent || r.HasParent {
		l.parent, l.parentOfItself = org.Parent, org.Parent == org.ID
	}
	return l
}

func has(sorted []OrgID, id OrgID) bool {
	if len(sorted) == 0 {
		return false
	}
	_, found := slices.BinarySearch(sorted, id)
	return found
}
