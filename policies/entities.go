package policies

import (
	"fmt"
	"slices"

	"github.com/cedar-policy/cedar-go"
)

// The Cedar names of the vocabulary, as schema.cedarschema declares them.
const (
	typeAction       = cedar.EntityType("Musubi::Action")
	typePerson       = cedar.EntityType("Musubi::Person")
	typeOrganization = cedar.EntityType("Musubi::Organization")
	typeWorkspace    = cedar.EntityType("Musubi::Workspace")
	typeKind         = cedar.EntityType("Musubi::Kind")
	typeRole         = cedar.EntityType("Musubi::Role")
	typeProduct      = cedar.EntityType("Musubi::Product")

	groupAdministration = "administration"
	groupSeat           = "seat"

	attrKind   = cedar.String("kind")
	attrRole   = cedar.String("role")
	attrActive = cedar.String("active")
	attrOrg    = cedar.String("org")
	attrParent = cedar.String("parent")

	contextMakerIsActor = cedar.String("makerIsActor")
)

func workspaceUID() cedar.EntityUID { return cedar.NewEntityUID(typeWorkspace, "jp") }

func orgUID(id OrgID) cedar.EntityUID {
	return cedar.NewEntityUID(typeOrganization, cedar.String(id))
}

func actionUID(name string) cedar.EntityUID {
	return cedar.NewEntityUID(typeAction, cedar.String(name))
}

func seatAction(s Seat) string { return "seat." + string(s) }

// seats lists the seats that can be permitted, in the order in which they are asked.
func seats() []Seat { return []Seat{SeatLicensedMember, SeatPortalCustomer} }

// groupOf gives the action group that the schema puts the action in; empty for an action that doesn't exist.
func groupOf(action string) string {
	if slices.Contains(Actions(), Action(action)) {
		return groupAdministration
	}
	for _, s := range seats() {
		if action == seatAction(s) {
			return groupSeat
		}
	}
	return ""
}

// personEntity gives p as the policies read it.
func personEntity(p Person) cedar.Entity {
	return cedar.Entity{
		UID: cedar.NewEntityUID(typePerson, cedar.String(p.ID)),
		Attributes: cedar.NewRecord(cedar.RecordMap{
			attrOrg:    orgUID(p.Org.ID),
			attrKind:   cedar.NewEntityUID(typeKind, cedar.String(p.Org.Kind)),
			attrRole:   cedar.NewEntityUID(typeRole, cedar.String(p.Role)),
			attrActive: cedar.Boolean(p.Active),
		}),
	}
}

// orgEntity gives o as the policies read it: a member of the workspace.
func orgEntity(o Organization) cedar.Entity {
	attrs := cedar.RecordMap{attrKind: cedar.NewEntityUID(typeKind, cedar.String(o.Kind))}
	if o.Parent != "" {
		attrs[attrParent] = orgUID(o.Parent)
	}
	return cedar.Entity{
		UID:        orgUID(o.ID),
		Parents:    cedar.NewEntityUIDSet(workspaceUID()),
		Attributes: cedar.NewRecord(attrs),
	}
}

// requestEntities gives everything that policies may look up while action is decided for p. resource is nil where the
// resource is the workspace or a product.
func requestEntities(p Person, action string, resource *Organization) cedar.EntityMap {
	person, own, workspace := personEntity(p), orgEntity(p.Org), cedar.Entity{UID: workspaceUID()}
	m := cedar.EntityMap{person.UID: person, own.UID: own, workspace.UID: workspace}
	if resource != nil && resource.ID != p.Org.ID {
		entity := orgEntity(*resource)
		m[entity.UID] = entity
	}
	group := actionUID(groupOf(action))
	m[group] = cedar.Entity{UID: group}
	m[actionUID(action)] = cedar.Entity{UID: actionUID(action), Parents: cedar.NewEntityUIDSet(group)}
	return m
}

// Probe is a request and its entities as the engine would ask them.
type Probe struct {
	Request  cedar.Request
	Entities cedar.EntityMap
}

// Probes gives a request for every action, on every type of resource. policies/load checks a schema against them, so that a
// schema which doesn't describe what the engine asks is refused at load, not at the first decision.
func Probes() []Probe {
	org := Organization{ID: "org", Kind: KindMunicipality, Parent: "parent"}
	p := Person{ID: "person", Org: org, Role: RoleGeneral, Active: true}
	var probes []Probe
	add := func(action string, resource cedar.EntityUID, o *Organization, ctx cedar.Record) {
		probes = append(probes, Probe{
			Request: cedar.Request{
				Principal: cedar.NewEntityUID(typePerson, cedar.String(p.ID)), Action: actionUID(action),
				Resource: resource, Context: ctx,
			},
			Entities: requestEntities(p, action, o),
		})
	}
	for _, a := range Actions() {
		ctx := contextRecord(a, p, Context{PlanMaker: "maker"})
		add(string(a), workspaceUID(), nil, ctx)
		add(string(a), orgUID(org.ID), &org, ctx)
	}
	for _, s := range seats() {
		for _, product := range Products() {
			add(seatAction(s), cedar.NewEntityUID(typeProduct, cedar.String(product)), nil, cedar.Record{})
		}
	}
	return probes
}

// contextRecord gives what policies may read of the circumstances of action.
func contextRecord(action Action, actor Person, c Context) cedar.Record {
	if action != ActionPlanApprove {
		return cedar.Record{}
	}
	return cedar.NewRecord(cedar.RecordMap{contextMakerIsActor: cedar.Boolean(c.PlanMaker == actor.ID)})
}

// checkPerson refuses a person whom no policy can be asked about.
func checkPerson(p Person) error {
	switch {
	case p.ID == "":
		return fmt.Errorf("policies: the acting person has no id")
	case !slices.Contains(Roles(), p.Role):
		return fmt.Errorf("policies: person %s: unknown role %q; there are %q", p.ID, p.Role, Roles())
	}
	if err := checkOrg(p.Org); err != nil {
		return fmt.Errorf("policies: person %s: %w", p.ID, err)
	}
	return nil
}

func checkOrg(o Organization) error {
	switch {
	case o.ID == "":
		return fmt.Errorf("an organization has no id")
	case !slices.Contains(OrgKinds(), o.Kind):
		return fmt.Errorf("organization %s: unknown kind %q; there are %q", o.ID, o.Kind, OrgKinds())
	}
	return nil
}
