package provision

import (
	"fmt"

	"github.com/musubi-hub/musubi/policies"
)

// OpKind is the kind of one outward operation.
type OpKind string

// The kinds of operation.
const (
	OpGroup   OpKind = "group.ensure"    // make the group where it isn't there
	OpAccount OpKind = "account.ensure"  // make or change the account
	OpReplace OpKind = "account.replace" // make a new account in the place of one that can't be changed so, and end that
	OpDisable OpKind = "account.disable" // end the account's access
	OpAdd     OpKind = "members.add"     // at most one batch of members
	OpRemove  OpKind = "members.remove"
	OpRelease OpKind = "person.release" // a leaver: out of all groups, access ended; belongs to no plan
)

// Op is one outward operation of a plan that is being applied. It is what one job does.
type Op struct {
	Run     string              `json:"run"` // one application of a plan
	Seq     int                 `json:"seq"`
	Product policies.Product    `json:"product"`
	Kind    OpKind              `json:"kind"`
	Org     policies.OrgID      `json:"org"`
	Person  policies.PersonID   `json:"person,omitempty"`
	Name    string              `json:"name,omitempty"`
	Seat    policies.Seat       `json:"seat,omitempty"`
	Before  string              `json:"before,omitempty"` // fingerprint of the account's attributes when the plan was made
	After   *Attributes         `json:"after,omitempty"`
	Members []policies.PersonID `json:"members,omitempty"`
	Cause   string              `json:"cause,omitempty"` // of a release
	// Announced: by a transfer that was announced, so that no breaker holds it.
	Announced bool `json:"announced,omitempty"`
}

// Step is an operation with its place in the order: how many others it waits for, and which wait for it.
type Step struct {
	Op    Op
	Waits int
	Next  []int // seq of the operations that wait for this one
}

// Steps turns the objects of a plan into operations. batch gives how many members one call of a product takes. It is pure and
// deterministic. The order it fixes per person and product is: out of the old group, then account, then into the new group, so
// that nobody is ever in two organizations at once; who loses the account leaves the groups first.
func Steps(run string, objects []Object, batch func(policies.Product) int) ([]Step, error) {
	b := stepper{run: run, groups: map[team]int{}, accounts: map[holder]int{}, disables: map[holder]int{}, removes: map[holder][]int{}}
	for _, o := range objects {
		if err := b.first(o, batch); err != nil {
			return nil, err
		}
	}
	for _, o := range objects {
		if o.Kind == ObjectMembers && o.Action == ActionAdd {
			b.add(o, batch(o.Product))
		}
	}
	for h, disable := range b.disables {
		for _, remove := range b.removes[h] {
			b.edge(remove, disable)
		}
	}
	return b.steps, nil
}

type stepper struct {
	run      string
	steps    []Step
	groups   map[team]int
	accounts map[holder]int
	disables map[holder]int
	removes  map[holder][]int
}

func (b *stepper) push(op Op) int {
	op.Run, op.Seq = b.run, len(b.steps)
	b.steps = append(b.steps, Step{Op: op})
	return op.Seq
}

func (b *stepper) edge(from, to int) {
	b.steps[from].Next = append(b.steps[from].Next, to)
	b.steps[to].Waits++
}

// first makes the steps that wait for nothing but removals: groups, accounts, removals.
func (b *stepper) first(o Object, batch func(policies.Product) int) error {
	h := holder{o.Product, o.Person}
	before := ""
	if o.Before != nil {
		before = o.Before.Fingerprint()
	}
	op := Op{Product: o.Product, Org: o.Org, Person: o.Person, Name: o.Name, Seat: o.Seat, Before: before, After: o.After, Announced: o.Announced}
	switch {
	case o.Kind == ObjectGroup:
		op.Kind = OpGroup
		b.groups[team{o.Product, o.Org}] = b.push(op)
	case o.Kind == ObjectAccount && o.Action == ActionDisable:
		op.Kind = OpDisable
		b.disables[h] = b.push(op)
	case o.Kind == ObjectAccount:
		op.Kind = OpAccount
		if o.Action == ActionReplace {
			op.Kind = OpReplace
		}
		b.accounts[h] = b.push(op)
	case o.Kind == ObjectMembers && o.Action == ActionRemove:
		for members := range chunks(o.Members, batch(o.Product)) {
			seq := b.push(Op{Product: o.Product, Kind: OpRemove, Org: o.Org, Members: members, Announced: o.Announced})
			for _, m := range members {
				mh := holder{o.Product, m}
				b.removes[mh] = append(b.removes[mh], seq)
			}
		}
	case o.Kind == ObjectMembers && o.Action == ActionAdd:
	default:
		return fmt.Errorf("plan object of unknown kind %q and action %q", o.Kind, o.Action)
	}
	return nil
}

func (b *stepper) add(o Object, batch int) {
	for members := range chunks(o.Members, batch) {
		seq := b.push(Op{Product: o.Product, Kind: OpAdd, Org: o.Org, Members: members})
		if group, ok := b.groups[team{o.Product, o.Org}]; ok {
			b.edge(group, seq)
		}
		waited := map[int]bool{}
		for _, m := range members {
			h := holder{o.Product, m}
			if account, ok := b.accounts[h]; ok {
				b.edge(account, seq)
			}
			for _, remove := range b.removes[h] {
				if !waited[remove] {
					waited[remove] = true
					b.edge(remove, seq)
				}
			}
		}
	}
}

// chunks yields people in runs of at most n.
func chunks(people []policies.PersonID, n int) func(func([]policies.PersonID) bool) {
	if n < 1 {
		n = 1
	}
	return func(yield func([]policies.PersonID) bool) {
		for start := 0; start < len(people); start += n {
			if !yield(people[start:min(start+n, len(people))]) {
				return
			}
		}
	}
}
