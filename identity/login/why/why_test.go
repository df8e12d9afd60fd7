package why_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/jst"
	"github.com/musubi-hub/musubi/identity/login"
	"github.com/musubi-hub/musubi/identity/login/why"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/policies/load"
)

var update = flag.Bool("update", false, "rewrite what the golden files want")

// example is a golden file: facts in short, and the answer.
type example struct {
	Name      string                    `json:"name"`
	Asked     policies.RelyingPartyID   `json:"asked,omitempty"`
	Near      []policies.RelyingPartyID `json:"near,omitempty"`
	Party     *exampleParty             `json:"rp,omitempty"`
	Person    *examplePerson            `json:"person"`
	Who       string                    `json:"who,omitempty"`
	Network   policies.Network          `json:"network"`
	Assurance string                    `json:"assurance,omitempty"` // the card where nothing is said
	Served    map[string]string         `json:"served,omitempty"`    // by network, how far its methods reach; the card everywhere where nothing is said
	Card      string                    `json:"card"`
	LinkUntil string                    `json:"link_until,omitempty"`
	Session   string                    `json:"session,omitempty"`
	Accounts  []why.Account             `json:"accounts,omitempty"`
	Rules     string                    `json:"rules,omitempty"` // beside those in force
	Want      *exampleAnswer            `json:"want"`
}

type exampleParty struct {
	ID        policies.RelyingPartyID `json:"id"`
	Name      string                  `json:"name"`
	Functions []policies.Function     `json:"functions,omitempty"`
	Products  []policies.Product      `json:"products,omitempty"`
	Networks  []policies.Network      `json:"networks"`
	Least     string                  `json:"least"`
	Hub       bool                    `json:"hub,omitempty"`
}

type examplePost struct {
	Org  string           `json:"org"`
	Kind policies.OrgKind `json:"kind"`
	Role policies.Role    `json:"role"`
}

type examplePerson struct {
	Name string `json:"name"`
	examplePost
	Ended string        `json:"ended,omitempty"`
	Posts []examplePost `json:"posts,omitempty"`
}

type exampleAnswer struct {
	Enters  bool             `json:"enters"`
	Cause   why.Cause        `json:"cause,omitempty"`
	Missing []why.Cause      `json:"missing,omitempty"`
	Org     policies.OrgID   `json:"org,omitempty"`
	Choice  []policies.OrgID `json:"choice,omitempty"`
	ACR     string           `json:"acr,omitempty"`
	JA      string           `json:"ja"`
	EN      string           `json:"en"`
}

var levels = map[string]policies.Assurance{"": policies.AssuranceCard, "card": policies.AssuranceCard, "single": policies.AssuranceSingle, "two": policies.AssuranceTwo}

var at = time.Date(2026, 12, 1, 10, 0, 0, 0, jst.Zone).UnixMicro()

func moment(t *testing.T, day string) int64 {
	t.Helper()
	if day == "" {
		return 0
	}
	d, err := jst.ParseDate(day)
	if err != nil {
		t.Fatal(err)
	}
	return d.UnixMicro()
}

func (x example) facts(t *testing.T) why.Facts {
	t.Helper()
	f := why.Facts{
		At: at, Now: true, Network: x.Network, Assurance: levels[x.Assurance], Asked: x.Asked, Near: x.Near, Who: x.Who, Accounts: x.Accounts,
		LinkUntil: moment(t, x.LinkUntil), Offers: map[identity.MethodID]login.Offer{},
	}
	if x.Served == nil {
		x.Served = map[string]string{"internet": "card", "lgwan": "card", "government": "card"}
	}
	for n, reach := range x.Served {
		sealed := f.Offers[identity.MethodBreakGlass]
		sealed.Reach, sealed.Use, sealed.Networks = policies.AssuranceSingle, login.UseLogin, append(sealed.Networks, policies.Network(n))
		f.Offers[identity.MethodBreakGlass] = sealed
		if reach == "none" { // the network has a login, and no method but the sealed account
			continue
		}
		id := identity.MethodID("method of " + n)
		f.Offers[id] = login.Offer{Reach: levels[reach], Use: login.UseLogin, Networks: []policies.Network{policies.Network(n)}}
	}
	if p := x.Party; p != nil {
		f.Asked = p.ID
		f.Party = &why.Party{Name: p.Name, Least: levels[p.Least], RelyingParty: policies.RelyingParty{
			ID: p.ID, Functions: p.Functions, Products: p.Products, Networks: p.Networks, Hub: p.Hub,
		}}
	}
	switch x.Card {
	case "linked":
		f.Card.Linked = true
	case "revoked":
		f.Card = why.Card{Linked: true, Revoked: moment(t, "2026-11-20")}
	case "released":
		f.Card.Ended = moment(t, "2026-11-25")
	case "none":
	default:
		t.Fatalf("%s: a card that is %q", x.Name, x.Card)
	}
	if x.Session != "" {
		f.Session = &why.Session{Org: policies.OrgID(x.Person.Org), Assurance: levels[x.Session], AuthAt: at - 1}
	}
	if p := x.Person; p != nil {
		family, given, _ := strings.Cut(p.Name, " ")
		f.Person = identity.Person{ID: "p-one", FamilyName: family, GivenName: given, Org: policies.OrgID(p.Org), Role: p.Role, EndedAt: moment(t, p.Ended)}
		for _, post := range append([]examplePost{p.examplePost}, p.Posts...) {
			who := f.Person
			who.Org, who.Role = policies.OrgID(post.Org), post.Role
			f.Posts = append(f.Posts, access.Actor{
				Kind: access.KindPerson, Person: who, Org: identity.Organization{ID: who.Org, Kind: post.Kind, Name: post.Org}, Relations: &access.Relations{},
			})
		}
	}
	return f
}

// withRules gives an engine of the policies in force and more.
func withRules(t *testing.T, more string) *policies.Engine {
	t.Helper()
	files := fstest.MapFS{}
	err := fs.WalkDir(policies.Files, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := fs.ReadFile(policies.Files, path)
		files[path] = &fstest.MapFile{Data: body}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if more != "" {
		files["rules/more.cedar"] = &fstest.MapFile{Data: []byte(more)}
	}
	set, err := load.Load(files)
	if err != nil {
		t.Fatal(err)
	}
	e, err := policies.NewEngine(set)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// TestExamples: a new file in testdata is a new case; go test ./identity/login/why -update writes what it wants.
func TestExamples(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join("testdata", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	if len(paths) < 30 {
		t.Fatalf("%d examples; at least 30 are promised", len(paths))
	}
	engine := withRules(t, "")
	seen := map[why.Cause]bool{}
	for _, path := range paths {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		dec := json.NewDecoder(bytes.NewReader(raw))
		dec.DisallowUnknownFields()
		var x example
		if err := dec.Decode(&x); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		e := engine
		if x.Rules != "" {
			e = withRules(t, x.Rules)
		}
		a, err := why.Decide(e, x.facts(t))
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		seen[a.Cause] = true
		if a.Enters != (a.Cause == "") || len(a.Missing) > 0 && a.Missing[0] != a.Cause {
			t.Errorf("%s: %+v", path, a)
		}
		for name, s := range map[string]string{"ja": strings.TrimSuffix(a.Sentence.JA, "。"), "en": strings.TrimSuffix(a.Sentence.EN, ".")} {
			if strings.Contains(s, "。") || strings.Contains(s, ". ") || strings.Contains(s, "\n") || strings.Contains(s, "Musubi::") || s == "" {
				t.Errorf("%s: %s isn't one sentence: %s", path, name, s)
			}
		}
		got := &exampleAnswer{a.Enters, a.Cause, a.Missing, a.Org, a.Choice, a.ACR, a.Sentence.JA, a.Sentence.EN}
		if *update {
			x.Want = got
			var b bytes.Buffer
			enc := json.NewEncoder(&b)
			enc.SetEscapeHTML(false)
			enc.SetIndent("", "  ")
			if err := enc.Encode(x); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(x.Want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
	for _, c := range []why.Cause{
		"", why.CausePartyUnknown, why.CausePersonUnknown, why.CausePersonEnded, why.CauseNoLogin, why.CauseNoFunctions, why.CauseFunction, why.CauseSeat,
		why.CauseReach, why.CauseNetwork, why.CauseForbidden, why.CauseNoCard, why.CauseReleased, why.CauseRevoked, why.CauseAssurance, why.CauseUnreachable,
	} {
		if !seen[c] {
			t.Errorf("no example ends in %q", c)
		}
	}
}

func TestDecideRefusesNonsense(t *testing.T) {
	x := example{Name: "nonsense", Network: "wifi", Card: "linked", Party: &exampleParty{ID: "jira", Networks: policies.Networks()}, Person: &examplePerson{examplePost: examplePost{"town", "municipality", "general"}}}
	x.Served = map[string]string{"wifi": "card"}
	if a, err := why.Decide(withRules(t, ""), x.facts(t)); err == nil {
		t.Errorf("a network that there isn't: %+v", a)
	}
}
