package party

import "github.com/musubi-hub/musubi/policies"

// HubID names the hub's own pages among the relying parties. It is in no registry.
const HubID policies.RelyingPartyID = "musubi"

// Hub is the hub's own pages, as policies read them. They are there in every network that the hub serves.
func Hub() policies.RelyingParty {
	return policies.RelyingParty{ID: HubID, Networks: policies.Networks(), Hub: true}
}

// Policy gives what policies may read of the party.
func (p Party) Policy() policies.RelyingParty {
	rp := policies.RelyingParty{ID: p.ID, Functions: p.Functions, Products: p.Products}
	for _, f := range p.Faces {
		if len(f.Redirects) > 0 { // else nobody logs in there
			rp.Networks = append(rp.Networks, f.Network)
		}
	}
	return rp
}
