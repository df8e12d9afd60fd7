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

	typeNetwork      = cedar.EntityType("Musubi::Network")
	typeFunction     = cedar.EntityType("Musubi::Function")
	typeRelyingParty = cedar.EntityType("Musubi::RelyingParty")

	groupAdministration = "administration"
	groupSeat           = "seat"
	groupFunction       = "function"
	groupNetwork        = "network"
	groupLogin          = "login"
	groupRelease        = "release"
	groupSession        = "session"

	attrKind   = cedar.String("kind")
	attrRole   = cedar.String("role")
	attrActive = cedar.String("active")
	attrOrg    = cedar.String("org")
	attrParent = cedar.String("parent")

	attrServes    = cedar.String("serves")
	attrCaretakes = cedar.String("caretakes")

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

// groupOf gives the action group that the schema puts the action in; empty for an action that doesn't exist.
func groupOf(action string) string {
	if slices.Contains(Actions(), Action(action)) {
		return groupAdministration
	}
	for _, s := range Seats() {
		if action == seatAction(s) {
			return groupSeat
		}
	}
	if action == actionStanding {
		return groupStanding
	}
	return entranceGroup(action)
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

			attrServes:    orgSet(p.Serves),
			attrCaretakes: orgSet(p.Caretakes),
		}),
	}
}

func orgSet(ids []OrgID) cedar.Set {
	if len(ids) == 0 {
		return cedar.Set{}
	}
	values := make([]cedar.Value, len(ids))
	for i, id := range ids {
		values[i] = orgUID(id)
	}
	return cedar.NewSet(values...)
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

// facts is everything that policies may look up while one question is decided. An entity is made when it is first asked for:
// most questions read two of them, and making one costs more than evaluating a policy.
type facts struct {
	person Person
	action string
	thing  *Organization // nil where the resource is no organization
	party  *RelyingParty // nil where the resource is no relying party

	made [3]cedar.Entity // person, own organization, thing; made where the UID isn't zero
}

// Get implements cedar's EntityGetter.
func (f *facts) Get(uid cedar.EntityUID) (cedar.Entity, bool) {
	switch uid.Type {
	case typePerson:
		if uid.ID == cedar.String(f.person.ID) {
			return f.once(0, func() cedar.Entity { return personEntity(f.person) }), true
		}
	case typeOrganization:
		if uid.ID == cedar.String(f.person.Org.ID) {
			return f.once(1, func() cedar.Entity { return orgEntity(f.person.Org) }), true
		}
		if f.thing != nil && uid.ID == cedar.String(f.thing.ID) {
			return f.once(2, func() cedar.Entity { return orgEntity(*f.thing) }), true
		}
	case typeWorkspace:
		return cedar.Entity{UID: uid}, uid == workspaceUID()
	case typeRelyingParty:
		if f.party != nil && uid.ID == cedar.String(f.party.ID) {
			return partyEntity(*f.party), true
		}
	case typeAction:
		switch group := groupOf(f.action); string(uid.ID) {
		case f.action:
			return cedar.Entity{UID: uid, Parents: cedar.NewEntityUIDSet(actionUID(group))}, true
		case group:
			return cedar.Entity{UID: uid}, true
		}
	}
	return cedar.Entity{}, false
}

func (f *facts) once(i int, build func() cedar.Entity) cedar.Entity {
	if f.made[i].UID.IsZero() {
		f.made[i] = build()
	}
	return f.made[i]
}

// all gives everything that can be looked up.
func (f *facts) all() cedar.EntityMap {
	m := cedar.EntityMap{}
	uids := []cedar.EntityUID{
		cedar.NewEntityUID(typePerson, cedar.String(f.person.ID)), orgUID(f.person.Org.ID), workspaceUID(),
		actionUID(f.action), actionUID(groupOf(f.action)),
	}
	if f.thing != nil {
		uids = append(uids, orgUID(f.thing.ID))
	}
	if f.party != nil {
		uids = append(uids, partyUID(f.party.ID))
	}
	for _, uid := range uids {
		if e, ok := f.Get(uid); ok {
			m[uid] = e
		}
	}
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
	p := Person{ID: "person", Org: org, Role: RoleGeneral, Active: true, Serves: []OrgID{"served"}, Caretakes: []OrgID{"taken"}}
	made := [3]cedar.Entity{personEntity(p), orgEntity(org)} // once: a set is loaded with all of these
	var probes []Probe
	add := func(action string, resource cedar.EntityUID, o *Organization, ctx cedar.Record) {
		probes = append(probes, Probe{
			Request: cedar.Request{
				Principal: cedar.NewEntityUID(typePerson, cedar.String(p.ID)), Action: actionUID(action),
				Resource: resource, Context: ctx,
			},
			Entities: (&facts{person: p, action: action, thing: o, made: made}).all(),
		})
	}
	for _, a := range Actions() {
		ctx := contextRecord(a, p, Context{PlanMaker: "maker"})
		add(string(a), workspaceUID(), nil, ctx)
		add(string(a), orgUID(org.ID), &org, ctx)
	}
	for _, s := range Seats() {
		for _, product := range Reached() {
			add(seatAction(s), cedar.NewEntityUID(typeProduct, cedar.String(product)), nil, cedar.Record{})
		}
	}
	probes = append(probes, standingProbe())
	return append(probes, entranceProbes(p, made)...)
}

// contextRecord gives what policies may read of the circumstances of action.
func contextRecord(action Action, actor Person, c Context) cedar.Record {
	if action != ActionPlanApprove {
		return cedar.Record{}
	}
	return cedar.NewRecord(cedar.RecordMap{contextMakerIsActor: cedar.Boolean(c.PlanMaker == actor.ID)})
}

// Check refuses a person whom no policy can be asked about.
func (p Person) Check() error {
	switch {
	case p.ID == "":
		return fmt.Errorf("policies: the acting person has no id")
	case !slices.Contains(Roles(), p.Role):
		return fmt.Errorf("policies: person %s: unknown role %q; there are %q", p.ID, p.Role, Roles())
	}
	if err := p.Org.Check(); err != nil {
		return fmt.Errorf("policies: person %s: %w", p.ID, err)
	}
	if err := checkSet(p.Serves); err != nil {
		return fmt.Errorf("policies: person %s: organizations that the contractor serves: %w", p.ID, err)
	}
	if err := checkSet(p.Caretakes); err != nil {
		return fmt.Errorf("policies: person %s: organizations under the person's care: %w", p.ID, err)
	}
	return nil
}

// checkSet holds a set of organizations to its one form. Who asks about a member searches it by halves, so order matters.
func checkSet(ids []OrgID) error {
	if len(ids) > MaxRelated {
		return fmt.Errorf("%d of them; at most %d", len(ids), MaxRelated)
	}
	for i, id := range ids {
		switch {
		case id == "":
			return fmt.Errorf("one has no id")
		case i > 0 && id <= ids[i-1]:
			return fmt.Errorf("%s stands after %s; want them sorted, each once", id, ids[i-1])
		}
	}
	return nil
}

// Check refuses an organization that no policy can be asked about.
func (o Organization) Check() error {
	switch {
	case o.ID == "":
		return fmt.Errorf("an organization has no id")
	case !slices.Contains(OrgKinds(), o.Kind):
		return fmt.Errorf("organization %s: unknown kind %q; there are %q", o.ID, o.Kind, OrgKinds())
	}
	return nil
}
