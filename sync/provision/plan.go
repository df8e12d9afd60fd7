package provision

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/musubi-hub/musubi/policies"
)

// PlanVersion is the version of the plan document.
const PlanVersion = 1

// ObjectKind is what an object of a plan is about.
type ObjectKind string

// The kinds of object.
const (
	ObjectGroup   ObjectKind = "group"   // an organization's group: SCIM group, JSM customer organization
	ObjectAccount ObjectKind = "account" // a person's account
	ObjectMembers ObjectKind = "members" // who enters or leaves an organization's group
)

// Action is what happens to an object.
type Action string

// The actions.
const (
	ActionCreate  Action = "create"
	ActionUpdate  Action = "update"
	ActionReplace Action = "replace" // a new account takes the old one's place, which ends: of what no call can change
	ActionEnable  Action = "enable"
	ActionDisable Action = "disable"
	ActionAdd     Action = "add"
	ActionRemove  Action = "remove"
)

// Object is one change that a plan makes: what, to whom, from what to what, and which policies say so.
type Object struct {
	Product  policies.Product    `json:"product"`
	Kind     ObjectKind          `json:"kind"`
	Action   Action              `json:"action"`
	Org      policies.OrgID      `json:"org"`
	Person   policies.PersonID   `json:"person,omitempty"`
	Name     string              `json:"name,omitempty"` // of a group
	Seat     policies.Seat       `json:"seat,omitempty"`
	Before   *Attributes         `json:"before,omitempty"`
	After    *Attributes         `json:"after,omitempty"`
	Members  []policies.PersonID `json:"members,omitempty"`
	Policies []string            `json:"policies,omitempty"`
	Leaver   bool                `json:"leaver,omitempty"` // needs no approval

	Announced bool `json:"-"` // found when the plan is applied: by a transfer that was announced, so that no breaker holds it
}

func (o Object) key() string {
	return string(o.Product) + "\x00" + string(o.Kind) + "\x00" + string(o.Org) + "\x00" + string(o.Person) + "\x00" + string(o.Action)
}

// Total counts the changes of one product.
type Total struct {
	Product         policies.Product `json:"product"`
	Groups          int              `json:"groups_created"`
	Created         int              `json:"accounts_created"`
	Updated         int              `json:"accounts_updated"`
	Enabled         int              `json:"accounts_enabled"`
	Disabled        int              `json:"accounts_disabled"`
	MembersAdded    int              `json:"members_added"`
	MembersRemoved  int              `json:"members_removed"`
	AccountsWanted  int              `json:"accounts_wanted"`       // active accounts once the plan is applied
	AccountsCurrent int              `json:"accounts_current"`      // active accounts now
	YenWanted       int              `json:"yen_per_month_wanted"`  // what the active accounts cost once the plan is applied
	YenCurrent      int              `json:"yen_per_month_current"` // and now
}

// Plan is what will be done, decided beforehand. Its hash covers everything in it.
type Plan struct {
	Version    int               `json:"version"`
	Maker      policies.PersonID `json:"maker"`
	PolicyHash string            `json:"policy_hash"`
	Totals     []Total           `json:"totals"`
	Objects    []Object          `json:"objects"`
}

// Empty reports whether the plan changes nothing.
func (p Plan) Empty() bool { return len(p.Objects) == 0 }

// Encode gives the canonical JSON of the plan: fixed field order, sorted objects, no insignificant space. Its SHA-256 is the hash.
func (p Plan) Encode() []byte { return canonical(p) }

// Hash is the SHA-256 of the canonical JSON, hex.
func (p Plan) Hash() string {
	sum := sha256.Sum256(p.Encode())
	return hex.EncodeToString(sum[:])
}

// DecodePlan reads a plan document. Unknown fields and other versions are refused: an approval must never cover what wasn't shown.
func DecodePlan(data []byte) (Plan, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	var p Plan
	if err := dec.Decode(&p); err != nil {
		return Plan{}, fmt.Errorf("plan document: %w", err)
	}
	if p.Version != PlanVersion {
		return Plan{}, fmt.Errorf("plan document has version %d; this binary reads version %d", p.Version, PlanVersion)
	}
	return p, nil
}

// canonical encodes a value of our own types, which can't fail, without HTML escaping.
func canonical(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic("provision: a plan type that JSON can't encode: " + err.Error())
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// KnownAccount is an account that the hub made or adopted.
type KnownAccount struct {
	Product    policies.Product
	Person     policies.PersonID
	Org        policies.OrgID
	Seat       policies.Seat
	AccountID  string
	Attributes Attributes
}

// Known is what the hub knows of every SaaS, from its own receipts.
type Known struct {
	Accounts []KnownAccount                                              // confirmed accounts, active or disabled
	Groups   map[policies.Product]map[policies.OrgID]string              // group names
	Members  map[policies.Product]map[policies.PersonID][]policies.OrgID // groups that a person is in, sorted
	Maybe    map[policies.Product]map[policies.PersonID][]policies.OrgID // groups that a person may be in: the call's answer isn't known
}

type holder struct {
	product policies.Product
	person  policies.PersonID
}

type team struct {
	product policies.Product
	org     policies.OrgID
}

// Make diffs what is wanted against what is known. It is pure and deterministic.
func Make(w Wanted, k Known, maker policies.PersonID, policyHash string) Plan {
	d := differ{wanted: w, known: k, totals: map[policies.Product]*Total{}, adds: map[team][]policies.PersonID{}, removes: map[team][]policies.PersonID{}, leavers: map[team]bool{}}
	for _, product := range policies.Products() {
		d.totals[product] = &Total{Product: product}
	}
	d.accounts()
	d.memberships()
	plan := Plan{Version: PlanVersion, Maker: maker, PolicyHash: policyHash, Objects: d.objects, Totals: []Total{}}
	for _, product := range policies.Products() {
		plan.Totals = append(plan.Totals, *d.totals[product])
	}
	sortObjects(plan.Objects)
	if plan.Objects == nil {
		plan.Objects = []Object{}
	}
	return plan
}

func sortObjects(objects []Object) {
	rank := map[ObjectKind]int{ObjectGroup: 0, ObjectAccount: 1, ObjectMembers: 2}
	slices.SortFunc(objects, func(a, b Object) int {
		return cmp.Or(cmp.Compare(a.Product, b.Product), cmp.Compare(rank[a.Kind], rank[b.Kind]), cmp.Compare(a.Org, b.Org),
			cmp.Compare(a.Person, b.Person), cmp.Compare(a.Action, b.Action))
	})
}

type differ struct {
	wanted  Wanted
	known   Known
	objects []Object
	totals  map[policies.Product]*Total
	adds    map[team][]policies.PersonID
	removes map[team][]policies.PersonID
	leavers map[team]bool
}

func (d *differ) accounts() {
	known := make(map[holder]KnownAccount, len(d.known.Accounts))
	for _, a := range d.known.Accounts {
		known[holder{a.Product, a.Person}] = a
		if a.Attributes.Active {
			d.totals[a.Product].AccountsCurrent++
			d.totals[a.Product].YenCurrent += d.wanted.Prices.Of(a.Product, a.Seat)
		}
	}
	wanted := make(map[holder]bool, len(d.wanted.Accounts))
	groups := map[team]bool{}
	for _, want := range d.wanted.Accounts {
		h, total := holder{want.Product, want.Person}, d.totals[want.Product]
		wanted[h] = true
		total.AccountsWanted++
		total.YenWanted += d.wanted.Prices.Of(want.Product, want.Seat)
		for _, org := range want.Orgs() {
			groups[team{want.Product, org}] = true
		}
		after := want.Attributes
		obj := Object{Product: want.Product, Kind: ObjectAccount, Org: want.Org, Person: want.Person, Seat: want.Seat, After: &after, Policies: want.Policies}
		have, exists := known[h]
		switch {
		case !exists:
			obj.Action = ActionCreate
			total.Created++
		case replaced(have, after, want.Seat):
			obj.Action, obj.Before = ActionReplace, &have.Attributes
			total.Updated++
		case !have.Attributes.Active:
			obj.Action, obj.Before = ActionEnable, &have.Attributes
			total.Enabled++
		case !equivalent(have.Attributes, after, want.Seat) || have.Org != want.Org || have.Seat != want.Seat:
			obj.Action, obj.Before = ActionUpdate, &have.Attributes
			total.Updated++
		default:
			continue
		}
		d.objects = append(d.objects, obj)
	}
	for _, have := range d.known.Accounts {
		if wanted[holder{have.Product, have.Person}] || !have.Attributes.Active {
			continue
		}
		before, after := have.Attributes, have.Attributes
		after.Active = false
		_, left := d.wanted.Left[have.Person]
		d.objects = append(d.objects, Object{
			Product: have.Product, Kind: ObjectAccount, Action: ActionDisable, Org: have.Org, Person: have.Person, Seat: have.Seat,
			Before: &before, After: &after, Leaver: left,
		})
		d.totals[have.Product].Disabled++
	}
	for t := range groups {
		if _, exists := d.known.Groups[t.product][t.org]; exists {
			continue
		}
		d.objects = append(d.objects, Object{Product: t.product, Kind: ObjectGroup, Action: ActionCreate, Org: t.org, Name: d.wanted.Names[t.org]})
		d.totals[t.product].Groups++
	}
}

// equivalent tells whether the product would show no difference. A portal-only customer's name can't be changed by any call of the
// vendor's, so a new name alone is nothing to plan; the next account gets it.
func equivalent(have, want Attributes, seat policies.Seat) bool {
	if seat == policies.SeatPortalCustomer {
		have.DisplayName = want.DisplayName
	}
	return have == want
}

func (d *differ) memberships() {
	home := make(map[holder]WantedAccount, len(d.wanted.Accounts))
	for _, want := range d.wanted.Accounts {
		home[holder{want.Product, want.Person}] = want
		for _, org := range want.Orgs() {
			if !slices.Contains(d.known.Members[want.Product][want.Person], org) {
				t := team{want.Product, org}
				d.adds[t] = append(d.adds[t], want.Person)
			}
		}
	}
	for _, known := range []map[policies.Product]map[policies.PersonID][]policies.OrgID{d.known.Members, d.known.Maybe} {
		for product, people := range known {
			for person, orgs := range people {
				for _, org := range orgs {
					if want, ok := home[holder{product, person}]; !ok || want.Org != org && !slices.Contains(want.Also, org) {
						t := team{product, org}
						d.removes[t] = append(d.removes[t], person)
					}
				}
			}
		}
	}
	emit := func(changes map[team][]policies.PersonID, action Action) {
		for t, people := range changes {
			slices.Sort(people)
			d.objects = append(d.objects, Object{Product: t.product, Kind: ObjectMembers, Action: action, Org: t.org, Members: people})
			if action == ActionAdd {
				d.totals[t.product].MembersAdded += len(people)
			} else {
				d.totals[t.product].MembersRemoved += len(people)
			}
		}
	}
	emit(d.adds, ActionAdd)
	emit(d.removes, ActionRemove)
}

// Drop says why an object of an approved plan isn't applied.
type Drop struct {
	Object Object
	Reason string
	Held   string // the breaker's trip that holds it; empty: it was dropped
}

// Compare keeps those objects of an approved plan that the world still asks for, and drops those that changed since it was made:
// they are planned anew. A members object keeps the people who are still in it.
func Compare(approved, current Plan) (keep []Object, drops []Drop) {
	now := make(map[string]Object, len(current.Objects))
	for _, o := range current.Objects {
		now[o.key()] = o
	}
	for _, o := range approved.Objects {
		cur, still := now[o.key()]
		switch {
		case !still:
			drops = append(drops, Drop{Object: o, Reason: "it is no longer needed, or was done meanwhile"})
		case o.Kind == ObjectMembers:
			var stay, gone []policies.PersonID
			for _, m := range o.Members {
				if _, found := slices.BinarySearch(cur.Members, m); found {
					stay = append(stay, m)
				} else {
					gone = append(gone, m)
				}
			}
			if len(gone) > 0 {
				left := o
				left.Members = gone
				drops = append(drops, Drop{Object: left, Reason: "these people changed since the plan was made"})
			}
			if len(stay) > 0 {
				kept := o
				kept.Members = stay
				keep = append(keep, kept)
			}
		case !bytes.Equal(canonical(o), canonical(cur)):
			drops = append(drops, Drop{Object: o, Reason: "it changed since the plan was made"})
		default:
			keep = append(keep, o)
		}
	}
	return keep, drops
}
