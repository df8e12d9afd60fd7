package classes

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/musubi-hub/musubi/policies"
)

// Key names a class. Two questions with equal keys have the same answer. It is comparable, and stands for as long as the
// engine does: another policy set reads other things.
type Key struct {
	about  uint8 // the action, from 1 in the order of policies.Actions; 0 for all seat actions together, asked in one
	thing  thingType
	kind   uint8 // from 1 in the order of policies.OrgKinds; 0 where it isn't read
	role   uint8 // from 1 in the order of policies.Roles
	active bool
	maker  bool
	target uint8 // kind of the organization acted upon

	person, org, orgParent, thingID, thingParent mark

	serves, caretakes member
	// sets says which organizations that policies name are in the person's sets, and, where policies read a whole set, stands
	// for all of it. Empty where neither is read.
	sets string
}

// member says which of the organizations that are read are in one of the person's sets.
type member uint8

const (
	memberOrg member = 1 << iota
	memberOrgParent
	memberThing
	memberThingParent
)

// The small numbers keep the key short: it is hashed for every question of a population.
var (
	kinds = policies.OrgKinds()
	roles = policies.Roles()
)

func ordinal[T comparable](list []T, v T) uint8 { return uint8(slices.Index(list, v) + 1) }

func name[T ~string](list []T, ordinal uint8) string {
	if ordinal == 0 {
		return ""
	}
	return string(list[ordinal-1])
}

type thingType uint8

const (
	thingWorkspace thingType = iota
	thingOrganization
)

// mark says which of the things that matter an id is: unread, nothing, something, the i-th that a policy names, or else the
// first, second, ... of the request that no policy names. So equal marks are equal things, and an unnamed id has no name.
type mark int32

const (
	unread  mark = 0
	nothing mark = -1 // there is no organization above
	present mark = -2 // there is one; which one isn't read
	unnamed mark = -3 // the first id that no policy names; the next is -4, and so on
)

// reading is what the policies of one question read, prepared for making keys.
type reading struct {
	policies.Reads
	about  uint8
	people map[policies.PersonID]mark
	orgs   map[policies.OrgID]mark
}

func newReading(about uint8, r policies.Reads) *reading {
	return &reading{Reads: r, about: about, people: number(r.People), orgs: number(r.Orgs)}
}

func number[T comparable](named []T) map[T]mark {
	marks := make(map[T]mark, len(named))
	for i, id := range named {
		marks[id] = mark(i + 1)
	}
	return marks
}

// key gives the class of a question. org is nil where it isn't about an organization.
func (r *reading) key(p policies.Person, org *policies.Organization, maker bool) Key {
	k := Key{about: r.about, maker: r.Maker && maker}
	if r.Kind {
		k.kind = ordinal(kinds, p.Org.Kind)
	}
	if r.Role {
		k.role = ordinal(roles, p.Role)
	}
	k.active = r.Active && p.Active
	if r.Person {
		if k.person = r.people[p.ID]; k.person == 0 {
			k.person = unnamed
		}
	}
	var seen crowd
	k.org = r.org(r.Org, p.Org.ID, &seen)
	k.orgParent = r.parent(r.OrgParent, r.HasOrgParent, p.Org.Parent, &seen)
	k.serves, k.caretakes = members(r.Serves, p.Serves, p, org), members(r.Caretakes, p.Caretakes, p, org)
	if len(p.Serves)+len(p.Caretakes) > 0 {
		k.sets = r.sets(p)
	}
	if org == nil {
		return k
	}
	k.thing = thingOrganization
	if r.ThingKind {
		k.target = ordinal(kinds, org.Kind)
	}
	k.thingID = r.org(r.Thing, org.ID, &seen)
	k.thingParent = r.parent(r.ThingParent, r.HasParent, org.Parent, &seen)
	return k
}

func members(r policies.SetReads, set []policies.OrgID, p policies.Person, org *policies.Organization) member {
	if len(set) == 0 {
		return 0
	}
	var m member
	add := func(bit member, read bool, id policies.OrgID) {
		if !read {
			return
		}
		if _, found := slices.BinarySearch(set, id); found {
			m |= bit
		}
	}
	add(memberOrg, r.Org, p.Org.ID)
	add(memberOrgParent, r.OrgParent, p.Org.Parent)
	if org != nil {
		add(memberThing, r.Thing, org.ID)
		add(memberThingParent, r.ThingParent, org.Parent)
	}
	return m
}

// sets gives Key.sets.
func (r *reading) sets(p policies.Person) string {
	var b strings.Builder
	for _, s := range []struct {
		name string
		read policies.SetReads
		ids  []policies.OrgID
	}{{"serves", r.Serves, p.Serves}, {"caretakes", r.Caretakes, p.Caretakes}} {
		if s.read.Named && len(r.orgs) > 0 {
			for _, id := range s.ids {
				if m := r.orgs[id]; m != 0 {
					b.WriteString(" " + s.name + "=" + m.String())
				}
			}
		}
		if s.read.All && len(s.ids) > 0 {
			h := sha256.New()
			for _, id := range s.ids {
				fmt.Fprintf(h, "%d:%s", len(id), id)
			}
			b.WriteString(" " + s.name + "=set:" + hex.EncodeToString(h.Sum(nil)))
		}
	}
	return b.String()
}

// crowd remembers the unnamed organizations of one question, in the order in which they were met.
type crowd struct {
	ids [4]policies.OrgID
	n   int
}

func (r *reading) org(read bool, id policies.OrgID, seen *crowd) mark {
	if !read {
		return unread
	}
	if m := r.orgs[id]; m != 0 {
		return m
	}
	for i := range seen.n {
		if seen.ids[i] == id {
			return unnamed - mark(i)
		}
	}
	seen.ids[seen.n] = id
	seen.n++
	return unnamed - mark(seen.n-1)
}

func (r *reading) parent(which, whether bool, id policies.OrgID, seen *crowd) mark {
	switch {
	case !which && !whether:
		return unread
	case id == "":
		return nothing
	case !which:
		return present
	}
	return r.org(true, id, seen)
}

// String tells what the class is, for people who look for why two pairs differ. Parts that no policy reads aren't in it.
func (k Key) String() string {
	parts := []string{"seats"}
	if k.about != 0 {
		parts = []string{name(policies.Actions(), k.about), "on " + [...]string{"workspace", "organization"}[k.thing]}
	}
	add := func(name, value string) {
		if value != "" {
			parts = append(parts, name+"="+value)
		}
	}
	add("kind", name(kinds, k.kind))
	add("role", name(roles, k.role))
	if k.active {
		add("active", "true")
	}
	if k.maker {
		add("maker", "true")
	}
	add("target.kind", name(kinds, k.target))
	add("person", k.person.String())
	add("org", k.org.String())
	add("org.parent", k.orgParent.String())
	add("target", k.thingID.String())
	add("target.parent", k.thingParent.String())
	add("serves", k.serves.String())
	add("caretakes", k.caretakes.String())
	if k.sets != "" {
		parts = append(parts, strings.TrimPrefix(k.sets, " "))
	}
	return strings.Join(parts, " ")
}

func (m member) String() string {
	var parts []string
	for i, name := range []string{"org", "org.parent", "target", "target.parent"} {
		if m&(1<<i) != 0 {
			parts = append(parts, name)
		}
	}
	return strings.Join(parts, "+")
}

func (m mark) String() string {
	switch {
	case m == unread:
		return ""
	case m == nothing:
		return "none"
	case m == present:
		return "some"
	case m > 0:
		return fmt.Sprintf("named#%d", m)
	}
	return string(rune('A' + int(unnamed-m)))
}

func cloneDecision(d policies.Decision) policies.Decision {
	d.Policies = slices.Clone(d.Policies)
	return d
}

// cloneSeats copies deep enough that no caller can change what another is told.
func cloneSeats(ds []policies.SeatDecision) []policies.SeatDecision {
	out := slices.Clone(ds)
	for i := range out {
		out[i].Policies = slices.Clone(out[i].Policies)
	}
	return out
}
