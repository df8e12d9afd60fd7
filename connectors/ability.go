package connectors

import (
	"reflect"
	"slices"
)

// Absence is something that a product can't do, or that the hub can't do with it, and why.
type Absence struct {
	Ability string // the field of Opened, or a name of the vendor's where there is no field
	Why     string
}

// Ability is one capability as it is shown to people.
type Ability struct {
	Name    string `json:"name"`
	Present bool   `json:"present"`
	Why     string `json:"why,omitempty"` // where it is absent
}

// Abilities lists every capability that the contract knows, in its order, then those that only this product's description names.
func (o Opened) Abilities() []Ability {
	var out []Ability
	v := reflect.ValueOf(o)
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if f.Type.Kind() != reflect.Interface {
			continue
		}
		a := Ability{Name: f.Name, Present: !v.Field(i).IsNil()}
		if !a.Present {
			a.Why = "this connector offers nothing of the kind"
		}
		out = append(out, a)
	}
	for _, x := range o.Absent {
		at := slices.IndexFunc(out, func(a Ability) bool { return a.Name == x.Ability })
		switch {
		case at < 0:
			out = append(out, Ability{Name: x.Ability, Why: x.Why})
		case !out[at].Present:
			out[at].Why = x.Why
		}
	}
	return out
}
