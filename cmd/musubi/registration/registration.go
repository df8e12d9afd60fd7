package registration

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
	"github.com/goccy/go-yaml"

	"github.com/musubi-hub/musubi/identity/oidcop/party"
	"github.com/musubi-hub/musubi/identity/samlidp/sp"
	"github.com/musubi-hub/musubi/policies"
)

// MaxFile bounds a file, in bytes.
const MaxFile = 64 << 10

// Registration is a relying party as people write it. What is empty is as the profile says.
type Registration struct {
	ID        policies.RelyingPartyID `json:"id,omitempty"`
	Protocol  Protocol                `json:"protocol,omitempty"`
	Name      string                  `json:"name,omitempty"`
	Profile   string                  `json:"profile,omitempty"`
	Values    map[string]string       `json:"values,omitempty"` // for the profile's gaps
	Auth      party.AuthMethod        `json:"auth,omitempty"`
	Alg       jose.SignatureAlgorithm `json:"alg,omitempty"`
	Sector    string                  `json:"sector,omitempty"`
	Least     string                  `json:"least,omitempty"`
	Scopes    []string                `json:"scopes,omitempty"`
	Functions []policies.Function     `json:"functions,omitempty"`
	Products  []policies.Product      `json:"products,omitempty"`
	Native    *bool                   `json:"native,omitempty"`
	PAR       *bool                   `json:"par,omitempty"`
	Refresh   *bool                   `json:"refresh,omitempty"`
	IDClaim   *bool                   `json:"id_claim,omitempty"`

	Provider `yaml:",inline"` // SAML

	Networks map[policies.Network]Face `json:"networks,omitempty"`
	JWKS     any                       `json:"jwks,omitempty"` // a JSON Web Key Set: public keys

	Keys `yaml:",inline"` // SAML
}

// Face is where the party is reached in one network.
type Face struct {
	Redirects    []string         `json:"redirects,omitempty"`
	PostLogout   []string         `json:"post_logout,omitempty"`
	Backchannel  string           `json:"backchannel,omitempty"`
	Frontchannel string           `json:"frontchannel,omitempty"`
	Resources    []party.Resource `json:"resources,omitempty"`
	Serves       []string         `json:"serves,omitempty"`

	Consumers []sp.Consumer `json:"consumers,omitempty"` // SAML: where answers are posted
	Logout    []Endpoint    `json:"logout,omitempty"`    // SAML
}

// Read reads a file in YAML or JSON. A field that there isn't is an error that says where.
func Read(text []byte) (Registration, error) {
	var r Registration
	if err := decode(text, &r); err != nil {
		return Registration{}, err
	}
	return r, nil
}

func decode(text []byte, to any) error {
	if len(text) > MaxFile {
		return fmt.Errorf("%d bytes; at most %d", len(text), MaxFile)
	}
	if len(bytes.TrimSpace(text)) == 0 {
		return errors.New("the file is empty")
	}
	if err := yaml.NewDecoder(bytes.NewReader(text), yaml.Strict(), yaml.UseJSONUnmarshaler()).Decode(to); err != nil {
		return errors.New(yaml.FormatError(err, false, true))
	}
	return nil
}

// Write gives the registration as a file.
func Write(r Registration) ([]byte, error) {
	return yaml.MarshalWithOptions(r, yaml.IndentSequence(true), yaml.UseLiteralStyleIfMultiline(true))
}

// Over gives r with everything that more says in its place.
func (r Registration) Over(more Registration) Registration {
	put(&r.ID, more.ID)
	put(&r.Protocol, more.Protocol)
	put(&r.Name, more.Name)
	put(&r.Profile, more.Profile)
	put(&r.Auth, more.Auth)
	put(&r.Alg, more.Alg)
	put(&r.Sector, more.Sector)
	put(&r.Least, more.Least)
	put(&r.Native, more.Native)
	put(&r.PAR, more.PAR)
	put(&r.Refresh, more.Refresh)
	put(&r.IDClaim, more.IDClaim)
	list(&r.Scopes, more.Scopes)
	list(&r.Functions, more.Functions)
	list(&r.Products, more.Products)
	if more.JWKS != nil {
		r.JWKS = more.JWKS
	}
	r.Provider.over(more.Provider)
	r.Keys.over(more.Keys)
	if len(more.Networks) > 0 { // the networks are those of whoever names some
		faces := map[policies.Network]Face{}
		for n, over := range more.Networks {
			f := r.Networks[n]
			list(&f.Redirects, over.Redirects)
			list(&f.PostLogout, over.PostLogout)
			put(&f.Backchannel, over.Backchannel)
			put(&f.Frontchannel, over.Frontchannel)
			list(&f.Resources, over.Resources)
			list(&f.Serves, over.Serves)
			list(&f.Consumers, over.Consumers)
			list(&f.Logout, over.Logout)
			faces[n] = f
		}
		r.Networks = faces
	}
	values := maps.Clone(r.Values)
	if values == nil {
		values = map[string]string{}
	}
	maps.Copy(values, more.Values)
	r.Values = values
	return r
}

func put[T comparable](to *T, v T) {
	var zero T
	if v != zero {
		*to = v
	}
}

func list[T any](to *[]T, v []T) {
	if v != nil {
		*to = v
	}
}

var gap = regexp.MustCompile(`\{[a-z_]+\}`)

// Fill puts the values into the gaps. What has no value is an error that names it.
func (r Registration) Fill() (Registration, error) {
	missing := map[string]bool{}
	fill := func(text string) string {
		return gap.ReplaceAllStringFunc(text, func(g string) string {
			v, ok := r.Values[strings.Trim(g, "{}")]
			if !ok || v == "" {
				missing[strings.Trim(g, "{}")] = true
			}
			return v
		})
	}
	all := func(texts []string) []string {
		out := slices.Clone(texts)
		for i := range out {
			out[i] = fill(out[i])
		}
		return out
	}
	r.Sector, _, _ = strings.Cut(fill(r.Sector), ":") // a host's name, without its port
	r.EntityID, r.Beyond = fill(r.EntityID), all(r.Beyond)
	faces := map[policies.Network]Face{}
	for n, f := range r.Networks {
		f.Redirects, f.PostLogout, f.Serves = all(f.Redirects), all(f.PostLogout), all(f.Serves)
		f.Backchannel, f.Frontchannel = fill(f.Backchannel), fill(f.Frontchannel)
		f.Resources = slices.Clone(f.Resources)
		for i := range f.Resources {
			f.Resources[i].URI = fill(f.Resources[i].URI)
		}
		f.Consumers, f.Logout = slices.Clone(f.Consumers), slices.Clone(f.Logout)
		for i := range f.Consumers {
			f.Consumers[i].Location = fill(f.Consumers[i].Location)
		}
		for i := range f.Logout {
			f.Logout[i].Location, f.Logout[i].Response = fill(f.Logout[i].Location), fill(f.Logout[i].Response)
		}
		faces[n] = f
	}
	r.Networks = faces
	if len(missing) > 0 {
		return r, GapError(slices.Sorted(maps.Keys(missing)))
	}
	return r, nil
}

// GapError names the gaps that have no value.
type GapError []string

// Error implements error.
func (e GapError) Error() string { return "no value for " + strings.Join(e, ", ") }

// Levels are the words for the levels of assurance.
func Levels() map[string]policies.Assurance {
	return map[string]policies.Assurance{
		"identifier": policies.AssuranceIdentifier, "aal1": policies.AssuranceSingle, "aal2": policies.AssuranceTwo, "card": policies.AssuranceCard,
	}
}

// LevelName is the word for a level; empty for none.
func LevelName(a policies.Assurance) string {
	for word, level := range Levels() {
		if level == a {
			return word
		}
	}
	return ""
}

// Party gives the registration as the registry keeps it, without secrets. What is wrong with it is for party.Check to say.
func (r Registration) Party() (party.Party, error) {
	level, err := r.level()
	if err != nil {
		return party.Party{}, err
	}
	if err := r.foreign(OIDC); err != nil {
		return party.Party{}, err
	}
	p := party.Party{
		ID: r.ID, Name: r.Name, Sector: r.Sector, Auth: r.Auth, Alg: r.Alg, Least: level, Scopes: r.Scopes, Functions: r.Functions, Products: r.Products,
		Native: is(r.Native), PAR: is(r.PAR), Refresh: is(r.Refresh), IDClaim: is(r.IDClaim),
	}
	if r.JWKS != nil {
		raw, err := json.Marshal(r.JWKS)
		if err != nil {
			return party.Party{}, fmt.Errorf("jwks: %w", err)
		}
		p.JWKS = raw
	}
	for _, n := range r.ordered() {
		f := r.Networks[n]
		p.Faces = append(p.Faces, party.Face{
			Network: n, Redirects: f.Redirects, PostLogout: f.PostLogout, Backchannel: f.Backchannel, Frontchannel: f.Frontchannel,
			Resources: f.Resources, Serves: f.Serves,
		})
	}
	return p, nil
}

func (r Registration) level() (policies.Assurance, error) {
	level, ok := Levels()[r.Least]
	if !ok && r.Least != "" {
		return 0, fmt.Errorf("least: %q is none of card, aal2, aal1, identifier", r.Least)
	}
	return level, nil
}

// ordered gives the networks in their order; those that there isn't last, for the registry to refuse.
func (r Registration) ordered() []policies.Network {
	order := func(n policies.Network) int {
		if i := slices.Index(policies.Networks(), n); i >= 0 {
			return i
		}
		return len(policies.Networks())
	}
	return slices.SortedFunc(maps.Keys(r.Networks), func(a, b policies.Network) int {
		return cmp.Or(cmp.Compare(order(a), order(b)), cmp.Compare(a, b))
	})
}

func is(b *bool) bool { return b != nil && *b }

func yes(b bool) *bool {
	if !b {
		return nil
	}
	return &b
}

// Of gives a stored party as people write it: without its secrets, which nobody can read.
func Of(p party.Party) Registration {
	r := Registration{
		ID: p.ID, Protocol: OIDC, Name: p.Name, Sector: p.Sector, Auth: p.Auth, Alg: p.Alg, Least: LevelName(p.Least), Scopes: p.Scopes, Functions: p.Functions, Products: p.Products,
		Native: yes(p.Native), PAR: yes(p.PAR), Refresh: yes(p.Refresh), IDClaim: yes(p.IDClaim), Networks: map[policies.Network]Face{},
	}
	for _, f := range p.Faces {
		r.Networks[f.Network] = Face{
			Redirects: f.Redirects, PostLogout: f.PostLogout, Backchannel: f.Backchannel, Frontchannel: f.Frontchannel, Resources: f.Resources, Serves: f.Serves,
		}
	}
	if len(p.JWKS) > 0 {
		_ = json.Unmarshal(p.JWKS, &r.JWKS) // it was checked when it was stored
	}
	return r
}
