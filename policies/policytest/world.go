package policytest

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing/fstest"

	"pgregory.net/rapid"

	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/policies/load"
)

// World is a policy set and a directory to ask it about.
type World struct {
	Rules  string // Cedar text
	People []policies.Person
	Orgs   []policies.Organization
}

// String gives the whole world, for the message of a failed test.
func (w World) String() string {
	return fmt.Sprintf("%s\npeople %+v\norganizations %+v", w.Rules, w.People, w.Orgs)
}

// few ids, so that policies often name somebody and relations often hold.
var (
	orgIDs    = []string{"o1", "o2", "o3", "o4"}
	personIDs = []string{"p1", "p2", "p3"}
)

func pick(t *rapid.T, label string, from ...string) string {
	return rapid.SampledFrom(from).Draw(t, label)
}

// AnyWorld gives worlds whose policies are valid and use every part of the vocabulary.
func AnyWorld() *rapid.Generator[World] {
	return rapid.Custom(func(t *rapid.T) World {
		var w World
		for _, id := range orgIDs {
			w.Orgs = append(w.Orgs, policies.Organization{
				ID: policies.OrgID(id), Kind: rapid.SampledFrom(policies.OrgKinds()).Draw(t, "kind"),
				Parent: policies.OrgID(pick(t, "parent", "", "", "o1", "o2", "o3", "elsewhere")),
			})
		}
		for _, id := range personIDs {
			w.People = append(w.People, policies.Person{
				ID: policies.PersonID(id), Org: rapid.SampledFrom(w.Orgs).Draw(t, "home"),
				Role: rapid.SampledFrom(policies.Roles()).Draw(t, "role"), Active: rapid.Bool().Draw(t, "active"),
				Serves: AnySet().Draw(t, "serves"), Caretakes: AnySet().Draw(t, "caretakes"),
			})
		}
		var b strings.Builder
		for i := range rapid.IntRange(1, 5).Draw(t, "policies") {
			fmt.Fprintf(&b, "@id(\"p%d\")\n%s\n", i, anyPolicy(t))
		}
		w.Rules = b.String()
		return w
	})
}

// AnySet gives sets of organizations, some of which no world has.
func AnySet() *rapid.Generator[[]policies.OrgID] {
	return rapid.Custom(func(t *rapid.T) []policies.OrgID {
		var set []policies.OrgID
		for _, id := range append(slices.Clone(orgIDs), "o9") { // sorted
			if rapid.IntRange(0, 2).Draw(t, "member") == 0 {
				set = append(set, policies.OrgID(id))
			}
		}
		return set
	})
}

// subject is what a policy's conditions may read of the resource and the context without the schema refusing it.
type subject struct{ organization, approval bool }

func anyPolicy(t *rapid.T) string {
	effect := pick(t, "effect", "permit", "permit", "forbid")
	principal := pick(t, "principal", "principal", "principal", "principal is Musubi::Person", `principal == Musubi::Person::"p1"`)
	var action, resource string
	var s subject
	switch pick(t, "about", "organization", "organization", "organization", "approval", "administration", "seat", "everything") {
	case "organization":
		action = pick(t, "action", `action == Musubi::Action::"people.read"`, `action in Musubi::Action::"administration"`,
			`action in [Musubi::Action::"people.read", Musubi::Action::"org.write"]`)
		resource = pick(t, "resource", "resource is Musubi::Organization", "resource is Musubi::Organization",
			`resource == Musubi::Organization::"o1"`, `resource is Musubi::Organization in Musubi::Workspace::"jp"`)
		s.organization = true
	case "approval":
		action, resource, s.approval = `action == Musubi::Action::"plan.approve"`, "resource", true
	case "administration":
		action = pick(t, "action", `action in Musubi::Action::"administration"`, `action == Musubi::Action::"people.read"`)
		resource = pick(t, "resource", "resource", `resource in Musubi::Workspace::"jp"`, `resource == Musubi::Workspace::"jp"`)
	case "seat":
		action = pick(t, "action", `action in Musubi::Action::"seat"`, `action == Musubi::Action::"seat.portal_customer"`)
		resource = pick(t, "resource", "resource", `resource == Musubi::Product::"jira"`)
	default:
		action, resource = "action", "resource"
	}
	text := fmt.Sprintf("%s (%s, %s, %s)", effect, principal, action, resource)
	for range rapid.IntRange(0, 2).Draw(t, "conditions") {
		text += fmt.Sprintf("\n%s { %s }", pick(t, "clause", "when", "when", "unless"), condition(t, s, 2))
	}
	return text + ";"
}

// condition gives a valid Boolean expression.
func condition(t *rapid.T, s subject, depth int) string {
	shape := "atom"
	if depth > 0 {
		shape = pick(t, "shape", "atom", "atom", "and", "or", "not", "if")
	}
	sub := func() string { return condition(t, s, depth-1) }
	switch shape {
	case "and":
		return "(" + sub() + " && " + sub() + ")"
	case "or":
		return "(" + sub() + " || " + sub() + ")"
	case "not":
		return "!(" + sub() + ")"
	case "if":
		return "(if " + sub() + " then " + sub() + " else " + sub() + ")"
	}
	return atom(t, s)
}

func atom(t *rapid.T, s subject) string {
	kind := `Musubi::Kind::"` + pick(t, "kind", "agency", "ministry", "prefecture", "municipality", "ward", "contractor") + `"`
	role := `Musubi::Role::"` + pick(t, "role", "system_administrator", "administrator", "general") + `"`
	org := `Musubi::Organization::"` + pick(t, "org", "o1", "o2", "o9") + `"`
	person := `Musubi::Person::"` + pick(t, "person", "p1", "p2", "p9") + `"`
	equal := pick(t, "equal", "==", "!=")
	set, other := pick(t, "set", "principal.serves", "principal.caretakes"), pick(t, "other set", "principal.serves", "principal.caretakes")
	atoms := []string{
		"principal.active",
		"principal.role " + equal + " " + role,
		"principal.kind " + equal + " " + kind,
		"[" + kind + `, Musubi::Kind::"ward"].contains(principal.kind)`,
		"{role: principal.role} == {role: " + role + "}",
		"principal " + equal + " " + person,
		"[" + person + `, Musubi::Person::"p3"].contains(principal)`,
		"principal.org " + equal + " " + org,
		"principal.org in " + org,
		"principal.org in [" + org + `, Musubi::Organization::"o3"]`,
		`principal.org in Musubi::Workspace::"jp"`,
		"principal.org.kind " + equal + " " + kind,
		"principal.org has parent",
		"(principal.org has parent && principal.org.parent " + equal + " " + org + ")",
		"(principal.org has parent && principal.org.parent in " + org + ")",
		"(principal.org has parent && principal.org.parent has parent)",
		"(principal.org has parent && principal.org.parent.kind == " + kind + ")",
		org + ` in Musubi::Workspace::"jp"`,
		org + " has parent",
		org + ".kind == " + kind,
		person + ".active",
		"(if principal.active then principal.org else " + org + ").kind == " + kind,
		set + ".contains(" + org + ")",
		org + " in " + set,
		set + ".contains(principal.org)",
		"(principal.org has parent && principal.org.parent in " + set + ")",
		set + ".isEmpty()", "principal.serves.isEmpty()", "!principal.caretakes.isEmpty()",
		set + " " + equal + " " + other,
		set + ".containsAll(" + other + ")",
		set + ".containsAny([" + org + `, Musubi::Organization::"o3"])`,
		"(if principal.active then " + set + " else " + other + ").contains(" + org + ")",
		person + ".serves.contains(" + org + ")",
	}
	if s.organization {
		atoms = append(
			atoms,
			"resource == principal.org", "resource == principal.org", "resource != principal.org",
			set+".contains(resource)", set+".contains(resource)", "resource in "+set,
			"(resource has parent && "+set+".contains(resource.parent))",
			set+" "+equal+" [resource]", set+".containsAny([principal.org, resource])",
			"resource.kind "+equal+" "+kind,
			"resource.kind == principal.kind",
			"resource "+equal+" "+org,
			"resource in "+org,
			"[principal.org, "+org+"].contains(resource)",
			"resource has parent",
			"(resource has parent && resource.parent "+equal+" "+org+")",
			"(resource has parent && resource.parent == principal.org)",
			"(resource has parent && principal.org has parent && resource.parent == principal.org.parent)",
			"(resource has parent && resource.parent has parent && resource.parent.parent == principal.org)",
			"(if principal.active then principal.org else resource).kind == "+kind,
		)
	}
	if s.approval {
		atoms = append(atoms, "context.makerIsActor", "context.makerIsActor", "context == {makerIsActor: true}", "!context.makerIsActor")
	}
	return rapid.SampledFrom(atoms).Draw(t, "atom")
}

// Engine makes an engine of our schema and the rules given.
func Engine(t interface {
	Helper()
	Fatal(args ...any)
}, rules string,
) *policies.Engine {
	t.Helper()
	schema, err := fs.ReadFile(policies.Files, load.SchemaFile)
	if err != nil {
		t.Fatal(err)
	}
	set, err := load.Load(fstest.MapFS{load.SchemaFile: {Data: schema}, "rules/r.cedar": {Data: []byte(rules)}})
	if err != nil {
		t.Fatal(err, rules)
	}
	e, err := policies.NewEngine(set)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// EachQuestion asks every question about w, until fn returns false.
func (w World) EachQuestion(actions []policies.Action, fn func(p policies.Person, a policies.Action, org *policies.Organization, c policies.Context) bool) {
	for _, a := range actions {
		for _, p := range w.People {
			contexts := []policies.Context{{}}
			if a == policies.ActionPlanApprove {
				contexts = []policies.Context{{PlanMaker: p.ID}, {PlanMaker: "p9"}}
			}
			for _, c := range contexts {
				if !fn(p, a, nil, c) {
					return
				}
				for i := range w.Orgs {
					if !fn(p, a, &w.Orgs[i], c) {
						return
					}
				}
			}
		}
	}
}
