package policies

import (
	"slices"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
)

// Reads is what the policies of an action read of a request, as their syntax trees say. Whatever isn't here can't change an
// answer. It errs towards the careful side: it may name something that no evaluation reaches, never the other way round.
//
// Who or what an entity is can be read only by comparing it, with an entity named in a policy or with another one of the
// request: Cedar has no way to look inside an id. So two requests that differ only in ids that no policy names, and in which
// the same things are the same, have the same answer. policies/classes is built on that.
type Reads struct {
	Kind, Role, Active bool // of the person
	Maker              bool // whether the person made the plan in question
	ThingKind          bool // kind of the organization acted upon

	Person       bool // who the person is
	Org          bool // which organization the person belongs to
	OrgParent    bool // which organization is above it
	HasOrgParent bool // whether one is
	Thing        bool // which organization is acted upon
	ThingParent  bool // which organization is above it
	HasParent    bool // whether one is

	Serves    SetReads // of the organizations that the person's contractor serves
	Caretakes SetReads // of those that the person is caretaker of

	People []PersonID // named in the policies, sorted
	Orgs   []OrgID    // named in the policies, sorted
}

// SetReads is what policies read of a set of organizations: whether the person's own is in it, the one above, the one acted
// upon, the one above that, those that policies name; or all of it, such as whether it is empty.
type SetReads struct {
	Org, OrgParent, Thing, ThingParent, Named, All bool
}

func (r SetReads) union(o SetReads) SetReads {
	return SetReads{
		Org: r.Org || o.Org, OrgParent: r.OrgParent || o.OrgParent, Thing: r.Thing || o.Thing,
		ThingParent: r.ThingParent || o.ThingParent, Named: r.Named || o.Named, All: r.All || o.All,
	}
}

// wholeSet is what is read of a set that is used otherwise than by asking for one member.
func wholeSet() SetReads {
	return SetReads{Org: true, OrgParent: true, Thing: true, ThingParent: true, Named: true, All: true}
}

func (r Reads) union(o Reads) Reads {
	return Reads{
		Kind: r.Kind || o.Kind, Role: r.Role || o.Role, Active: r.Active || o.Active,
		Maker: r.Maker || o.Maker, ThingKind: r.ThingKind || o.ThingKind,
		Person: r.Person || o.Person, Org: r.Org || o.Org, OrgParent: r.OrgParent || o.OrgParent,
		HasOrgParent: r.HasOrgParent || o.HasOrgParent,
		Thing:        r.Thing || o.Thing, ThingParent: r.ThingParent || o.ThingParent, HasParent: r.HasParent || o.HasParent,
		Serves: r.Serves.union(o.Serves), Caretakes: r.Caretakes.union(o.Caretakes),
		People: merge(r.People, o.People), Orgs: merge(r.Orgs, o.Orgs),
	}
}

func merge[T ~string](a, b []T) []T {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}

// everything is what a policy reads that follows a reference further than place can tell: an entity that may or may not be
// one of the request's.
func everything() Reads {
	return Reads{
		Kind: true, Role: true, Active: true, Maker: true, ThingKind: true, Person: true, Org: true, OrgParent: true,
		HasOrgParent: true, Thing: true, ThingParent: true, HasParent: true,
		Serves: wholeSet(), Caretakes: wholeSet(),
	}
}

// place is a part of the request that an expression stands for.
type place int

const (
	placeOther place = iota
	placePrincipal
	placeOrg         // principal.org
	placeOrgParent   // principal.org.parent
	placeResource    // resource
	placeThingParent // resource.parent
	placeServes      // principal.serves
	placeCaretakes   // principal.caretakes
	placeAction
	placeContext
)

// placeOf tells which part of the request the expression stands for.
func placeOf(n ast.IsNode) place {
	switch n := n.(type) {
	case ast.NodeTypeVariable:
		switch n.Name {
		case "principal":
			return placePrincipal
		case "resource":
			return placeResource
		case "action":
			return placeAction
		case "context":
			return placeContext
		}
	case ast.NodeTypeAccess:
		switch base := placeOf(n.Arg); {
		case base == placePrincipal && n.Value == attrOrg:
			return placeOrg
		case base == placeOrg && n.Value == attrParent:
			return placeOrgParent
		case base == placeResource && n.Value == attrParent:
			return placeThingParent
		case base == placePrincipal && n.Value == attrServes:
			return placeServes
		case base == placePrincipal && n.Value == attrCaretakes:
			return placeCaretakes
		}
	}
	return placeOther
}

// reader collects what policies read.
type reader struct{ r Reads }

func (r *reader) result() Reads {
	slices.Sort(r.r.People)
	slices.Sort(r.r.Orgs)
	r.r.People, r.r.Orgs = slices.Compact(r.r.People), slices.Compact(r.r.Orgs)
	return r.r
}

// policy adds what p reads.
func (r *reader) policy(p *ast.Policy) {
	r.scope(placePrincipal, p.Principal)
	r.scope(placeResource, p.Resource)
	inspect(p, r.node)
}

func (r *reader) scope(at place, s ast.IsScopeNode) {
	switch s := s.(type) {
	case ast.ScopeTypeAll, ast.ScopeTypeIs: // the type of a resource is part of every question
	case ast.ScopeTypeEq:
		r.scopeEntity(at, s.Entity)
	case ast.ScopeTypeIn:
		r.scopeEntity(at, s.Entity)
	case ast.ScopeTypeIsIn:
		r.scopeEntity(at, s.Entity)
	default:
		r.all()
	}
}

func (r *reader) scopeEntity(at place, uid types.EntityUID) {
	if uid.Type == typeWorkspace || uid.Type == typeProduct {
		return // told by the question itself: every organization is in the one workspace, a product is in nothing
	}
	r.identity(at)
	r.named(uid)
}

// node adds what one node of a condition reads, and tells whether its children are to be looked at too.
func (r *reader) node(n ast.IsNode) bool {
	switch n := n.(type) {
	case ast.NodeTypeVariable:
		r.identity(placeOf(n))
	case ast.NodeValue:
		r.value(n.Value)
	case ast.NodeTypeAccess:
		if at := placeOf(n); at != placeOther {
			r.identity(at)
			return false
		}
		return r.attribute(placeOf(n.Arg), n.Value)
	case ast.NodeTypeHas:
		return r.presence(placeOf(n.Arg), n.Value)
	case ast.NodeTypeContains:
		return !r.member(n.Left, n.Right)
	case ast.NodeTypeIn:
		r.ancestry(n.Left)
		return !r.member(n.Right, n.Left)
	case ast.NodeTypeIsIn:
		r.ancestry(n.Left)
	case ast.NodeTypeGetTag, ast.NodeTypeHasTag:
		r.all()
	}
	return true
}

// member adds the question whether an entity is in one of the person's sets of organizations. It tells whether it was that
// question: then both sides are read. (An organization is below the workspace alone, so `in` such a set is to be a member.)
func (r *reader) member(set, entity ast.IsNode) bool {
	var reads *SetReads
	switch placeOf(set) {
	case placeServes:
		reads = &r.r.Serves
	case placeCaretakes:
		reads = &r.r.Caretakes
	default:
		return false
	}
	switch placeOf(entity) {
	case placeOrg:
		reads.Org = true
	case placeOrgParent:
		reads.OrgParent, r.r.HasOrgParent = true, true
	case placeResource:
		reads.Thing = true
	case placeThingParent:
		reads.ThingParent, r.r.HasParent = true, true
	default: // a literal, or an expression that may be any of these
		reads.Org, reads.OrgParent, reads.Thing, reads.ThingParent, reads.Named = true, true, true, true, true
		ast.Inspect(ast.NewNode(entity), r.node)
	}
	return true
}

// attribute adds the reading of an attribute that isn't a place itself.
func (r *reader) attribute(of place, name types.String) (children bool) {
	switch {
	case of == placePrincipal && name == attrRole:
		r.r.Role = true
	case of == placePrincipal && name == attrActive:
		r.r.Active = true
	case (of == placePrincipal || of == placeOrg) && name == attrKind:
		r.r.Kind = true
	case of == placeResource && name == attrKind:
		r.r.ThingKind = true
	case of == placeContext:
		r.r.Maker = true
	default:
		r.all()
		return true
	}
	return false
}

func (r *reader) presence(of place, name types.String) (children bool) {
	switch {
	case of == placePrincipal: // the schema knows no optional attribute of a person
	case of == placeOrg:
		r.r.HasOrgParent = r.r.HasOrgParent || name == attrParent
	case of == placeResource:
		r.r.HasParent = r.r.HasParent || name == attrParent
	case of == placeContext:
		r.r.Maker = true
	default:
		r.all()
		return true
	}
	return false
}

// ancestry adds what `left in ...` looks up. What is above the request's own entities is known; any other entity may be one of
// the request's or be unknown to it.
func (r *reader) ancestry(left ast.IsNode) {
	switch placeOf(left) {
	case placePrincipal, placeOrg, placeResource, placeAction:
	default:
		r.all()
	}
}

// identity adds the use of an entity as a value: to compare it, or to put it in a set.
func (r *reader) identity(at place) {
	switch at {
	case placePrincipal:
		r.r.Person = true
	case placeOrg:
		r.r.Org = true
	case placeOrgParent:
		r.r.OrgParent, r.r.HasOrgParent = true, true
	case placeResource:
		r.r.Thing = true
	case placeThingParent:
		r.r.ThingParent, r.r.HasParent = true, true
	case placeServes:
		r.r.Serves = wholeSet()
	case placeCaretakes:
		r.r.Caretakes = wholeSet()
	case placeContext:
		r.r.Maker = true
	case placeAction: // every question is about one action
	default:
		r.all()
	}
}

func (r *reader) all() { r.r = r.r.union(everything()) }

// value adds the people and organizations that a literal names.
func (r *reader) value(v types.Value) {
	switch v := v.(type) {
	case types.EntityUID:
		r.named(v)
	case types.Set:
		for member := range v.All() {
			r.value(member)
		}
	case types.Record:
		for _, member := range v.All() {
			r.value(member)
		}
	}
}

func (r *reader) named(uid cedar.EntityUID) {
	switch uid.Type {
	case typePerson:
		r.r.People = append(r.r.People, PersonID(uid.ID))
	case typeOrganization:
		r.r.Orgs = append(r.r.Orgs, OrgID(uid.ID))
	}
}
