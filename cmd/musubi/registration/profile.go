package registration

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/musubi-hub/musubi/policies"
)

//go:embed profiles/*.yaml
var files embed.FS

// Schema is the JSON schema of registrations, for editors.
//
//go:embed registration.schema.json
var Schema []byte

// Profile is a ready registration of a kind of relying party.
type Profile struct {
	Name      string             `json:"name"`
	Title     policies.Text      `json:"title"`
	Note      policies.Text      `json:"note,omitzero"`   // what must be known before it is used
	Ends      policies.Text      `json:"ends,omitzero"`   // what ends a session there, where the hub's logouts don't
	Asks      map[string]string  `json:"asks,omitempty"`  // the gaps, with what belongs there
	Enter     []Entry            `json:"enter,omitempty"` // what is typed on the other side, in its own words
	Party     Registration       `json:"registration"`
	Face      Face               `json:"face"` // in each of the networks
	Reachable []policies.Network `json:"networks"`
}

// Entry is a field of the other side's settings.
type Entry struct {
	At  string `json:"at"`  // what it is called there
	Put Value  `json:"put"` // what of the hub belongs there
}

// Value is something that the other side has to know of the hub.
type Value string

// The values.
const (
	ValueEntityID    Value = "entity_id"
	ValueSSO         Value = "sso"
	ValueSLO         Value = "slo"
	ValueMetadata    Value = "metadata"
	ValueCertificate Value = "certificate"
)

// Profiles gives the ready profiles, by name.
func Profiles() ([]Profile, error) {
	names, err := fs.Glob(files, "profiles/*.yaml")
	if err != nil {
		return nil, err
	}
	var all []Profile
	for _, name := range names {
		text, err := files.ReadFile(name)
		if err != nil {
			return nil, err
		}
		var p Profile
		if err := decode(text, &p); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if p.Name != strings.TrimSuffix(path.Base(name), ".yaml") {
			return nil, fmt.Errorf("%s: it calls itself %q", name, p.Name)
		}
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b Profile) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// Find gives the profile of a name.
func Find(name string) (Profile, error) {
	all, err := Profiles()
	if err != nil {
		return Profile{}, err
	}
	i := slices.IndexFunc(all, func(p Profile) bool { return p.Name == name })
	if i < 0 {
		var names []string
		for _, p := range all {
			names = append(names, p.Name)
		}
		return Profile{}, fmt.Errorf("there is no profile %q; there are %s", name, strings.Join(names, ", "))
	}
	return all[i], nil
}

// In gives the profile's registration in these networks; in the profile's own where none is named.
func (p Profile) In(networks []policies.Network) Registration {
	r := p.Party
	r.Profile = p.Name
	if r.Speaks() == SAML {
		r.Vendor = p.Name
	}
	if len(networks) == 0 {
		networks = p.Reachable
	}
	r.Networks = map[policies.Network]Face{}
	for _, n := range networks {
		r.Networks[n] = p.Face
	}
	return r
}
