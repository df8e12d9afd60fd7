package sp_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/musubi-hub/musubi/identity/samlidp/sp"
	"github.com/musubi-hub/musubi/identity/samlidp/wire"
	"github.com/musubi-hub/musubi/policies"
)

var update = flag.Bool("update", false, "write the golden files anew")

// differences are what a provider may publish next.
func differences(t testing.TB) []struct {
	name   string
	change func(p *published)
} {
	return []struct {
		name   string
		change func(p *published)
	}{
		{"nothing", func(*published) {}},
		{"valid longer", func(p *published) { p.validUntil = "2030-01-01T00:00:00Z" }},
		{"a key beside the known one", func(p *published) { p.signing = append(p.signing, far(t, "next")) }},
		{"a new certificate of the key", func(p *published) { p.signing[0] = until(t, "sp", time.UnixMicro(at).AddDate(5, 0, 0)) }},
		{"a key in the place of the known one", func(p *published) { p.signing[0] = far(t, "next") }},
		{"no key", func(p *published) { p.signing, p.unsigned = nil, true }},
		{"unsigned requests", func(p *published) { p.unsigned = true }},
		{"an address at its own host", func(p *published) { p.consumers = append(p.consumers, "https://sp.example/acs2") }},
		{"an address elsewhere", func(p *published) { p.consumers = append(p.consumers, "https://sp-example.test/acs") }},
		{"another address", func(p *published) { p.consumers[0] = "https://sp.example/new" }},
		{"another first address", func(p *published) { p.consumers = []string{"https://sp.example/new", "https://sp.example/acs"} }},
		{"another name that looks like it", func(p *published) { p.entity = "https://sp.examp1e/metadata" }},
		{"another encryption key", func(p *published) { p.encryption[0] = far(t, "next") }},
		{"a second encryption key", func(p *published) { p.encryption = append(p.encryption, far(t, "next")) }},
		{"encryption keys the other way round", func(p *published) { p.encryption = [][]byte{far(t, "next"), p.encryption[0]} }},
		{"no encryption key", func(p *published) { p.encryption = nil }},
		{"weaker encryption", func(p *published) { p.methods = []string{wire.AES256CBC} }},
		{"logout elsewhere", func(p *published) { p.logout[0] = "https://evil.test/slo" }},
		{"no logout", func(p *published) { p.logout = nil }},
		{"another form of name", func(p *published) { p.formats = []sp.NameID{sp.NameIDEmail} }},
		{"one more form of name", func(p *published) { p.formats = append(p.formats, sp.NameIDEmail) }},
	}
}

func draftOf(t testing.TB, p published) sp.SP {
	t.Helper()
	m, err := sp.ReadMetadata([]byte(p.text()), at, nil)
	must(t, err)
	d := m.Draft(policies.NetworkInternet)
	old := registered(t)
	d.ID, d.Name, d.Sector, d.Least = old.ID, old.Name, old.Sector, old.Least
	return d
}

var print = regexp.MustCompile(`SHA-256 [0-9a-f]{64}`)

// shown gives differences as people read them. Fingerprints are of keys that are new in each run.
func shown(changes []sp.Change) string {
	var b strings.Builder
	for _, c := range changes {
		text, warning := c.Text(), c.Warning()
		fmt.Fprintf(&b, "%-8s %s\n         %s / %s\n", c.Class, c.Kind, text.JA, text.EN)
		if c.Old != "" {
			fmt.Fprintf(&b, "         - %s\n", c.Old)
		}
		if c.New != "" {
			fmt.Fprintf(&b, "         + %s\n", c.New)
		}
		if c.Alarm {
			fmt.Fprintf(&b, "         ! %s / %s\n", warning.JA, warning.EN)
		}
	}
	if b.Len() == 0 {
		return "nothing\n"
	}
	return print.ReplaceAllString(b.String(), "SHA-256 …")
}

// TestDiff: each difference is shown, by its class with and without a signer who vouches for it.
func TestDiff(t *testing.T) {
	var b strings.Builder
	for _, d := range differences(t) {
		p := first(t)
		d.change(&p)
		for _, signed := range []bool{true, false} {
			changes := sp.Diff(registered(t), draftOf(t, p), signed)
			if signed {
				fmt.Fprintf(&b, "## %s\n%s", d.name, shown(changes))
			} else if slices.ContainsFunc(changes, func(c sp.Change) bool { return c.Class != sp.ClassPerson }) {
				t.Errorf("%s: nobody vouches for it, and it is harmless", d.name)
			}
			for _, c := range changes {
				if c.Text().JA == string(c.Kind) || c.Alarm && c.Warning() == (sp.Text{}) {
					t.Errorf("%s: %s has no words", d.name, c.Kind)
				}
			}
		}
	}
	file := filepath.Join("testdata", "diff.txt")
	if *update {
		must(t, os.MkdirAll("testdata", 0o755))
		must(t, os.WriteFile(file, []byte(b.String()), 0o644))
	}
	want, err := os.ReadFile(file)
	must(t, err)
	if string(want) != b.String() {
		t.Errorf("run with -update and look at what changed:\n%s", b.String())
	}
}

// TestDiffIsWhole: two registrations between which no difference is seen are the same in all that metadata can say.
func TestDiffIsWhole(t *testing.T) {
	signing := [][]byte{far(t, "sp"), far(t, "next"), until(t, "sp", time.UnixMicro(at).AddDate(5, 0, 0))}
	pick := func(rt *rapid.T, what string, all ...string) []string {
		return rapid.SliceOfNDistinct(rapid.SampledFrom(all), 0, len(all), rapid.ID[string]).Draw(rt, what)
	}
	draw := func(rt *rapid.T, who string) sp.SP {
		p := registered(t)
		p.EntityID = rapid.SampledFrom([]string{"urn:a", "urn:b"}).Draw(rt, who+" entity")
		p.Signed, p.Encrypt = rapid.Bool().Draw(rt, who+" signed"), rapid.Bool().Draw(rt, who+" encrypt")
		p.NameID = rapid.SampledFrom(sp.NameIDs()).Draw(rt, who+" format")
		p.Signing, p.Encryption = nil, nil
		for _, i := range rapid.SliceOfNDistinct(rapid.IntRange(0, 2), 0, 3, rapid.ID[int]).Draw(rt, who+" signing") {
			p.Signing = append(p.Signing, signing[i])
		}
		for _, i := range rapid.SliceOfNDistinct(rapid.IntRange(0, 2), 0, 2, rapid.ID[int]).Draw(rt, who+" encryption") {
			p.Encryption = append(p.Encryption, sp.Encryption{Certificate: signing[i], Methods: pick(rt, who+" methods", wire.AES256GCM, wire.AES256CBC)})
		}
		f := sp.Face{Network: policies.NetworkInternet}
		for i, a := range pick(rt, who+" consumers", "https://a.example/1", "https://a.example/2", "https://b.example/1") {
			f.Consumers = append(f.Consumers, sp.Consumer{Location: a, Index: i, Default: i == 1})
		}
		for _, a := range pick(rt, who+" logout", "https://a.example/3", "https://b.example/4") {
			f.Logout = append(f.Logout, sp.Endpoint{Binding: sp.BindingPOST, Location: a})
		}
		p.Faces = []sp.Face{f}
		return p
	}
	rapid.Check(t, func(rt *rapid.T) {
		a, b := draw(rt, "a"), draw(rt, "b")
		if changes := sp.Diff(a, a, true); len(changes) != 0 {
			rt.Fatalf("between the same: %v", changes)
		}
		changes := sp.Diff(a, b, true)
		if same(a) == same(b) && len(changes) != 0 || same(a) != same(b) && len(changes) == 0 {
			rt.Fatalf("%v\n%s\n%s", changes, same(a), same(b))
		}
		// What is harmless takes nothing away and opens nothing but for a key that signs.
		if !sp.NeedsPerson(changes) {
			b.Signing = a.Signing
			if same(a) != same(b) {
				rt.Fatalf("harmless: %v", changes)
			}
		}
	})
}

// same writes down what counts of a provider; the order of keys that sign doesn't.
func same(p sp.SP) string {
	var signing []string
	for _, der := range p.Signing {
		signing = append(signing, sp.Fingerprint(der))
	}
	slices.Sort(signing)
	text := fmt.Sprint(p.EntityID, p.Signed, p.Encrypt, p.NameID, signing)
	for _, e := range p.Encryption {
		text += " " + sp.Fingerprint(e.Certificate) + fmt.Sprint(e.Methods)
	}
	first, _ := p.Faces[0].Default()
	consumers, logout := slices.Clone(p.Faces[0].Consumers), slices.Clone(p.Faces[0].Logout)
	slices.SortFunc(consumers, func(a, b sp.Consumer) int { return strings.Compare(a.Location, b.Location) })
	slices.SortFunc(logout, func(a, b sp.Endpoint) int { return strings.Compare(a.Location, b.Location) })
	return text + fmt.Sprint(consumers, logout, first.Location)
}

func TestCrossed(t *testing.T) {
	const day = int64(24 * time.Hour / time.Microsecond)
	for _, c := range []struct {
		left int64
		days int
		ok   bool
	}{
		{91 * day, 0, false},
		{90*day + 1, 0, false},
		{90 * day, 90, true},
		{31 * day, 90, true},
		{30 * day, 30, true},
		{8 * day, 30, true},
		{7 * day, 7, true},
		{1, 7, true},
		{0, 0, true},
		{-400 * day, 0, true},
	} {
		if days, ok := sp.Crossed(at+c.left, at); days != c.days || ok != c.ok {
			t.Errorf("%d days ahead: %d, %t", c.left/day, days, ok)
		}
	}
	if _, ok := sp.Crossed(0, at); ok {
		t.Error("what has no end ends")
	}
}

func TestExpiring(t *testing.T) {
	now := time.UnixMicro(at)
	p := registered(t)
	p.Signing = [][]byte{until(t, "sp", now.AddDate(0, 0, 20)), until(t, "next", now.AddDate(0, 0, 80))}
	p.Encryption = []sp.Encryption{{Certificate: until(t, "enc", now.AddDate(0, 0, -1))}, {Certificate: far(t, "next")}}
	got := sp.Expiring(p, now.AddDate(0, 0, 5).UnixMicro(), at)
	var text []string
	for _, e := range got {
		text = append(text, fmt.Sprint(e.Use, " ", e.Threshold, " ", e.Succeeded, " ", e.Tell(at)))
	}
	want := []string{"encryption 0 true false", "metadata 7 false true", "signing 30 false true", "signing 90 false true"}
	if !slices.Equal(text, want) {
		t.Errorf("%v", text)
	}
	p.Signing = append(p.Signing, far(t, "next"))
	if got := sp.Expiring(p, 0, at); slices.ContainsFunc(got, func(e sp.Expiry) bool { return e.Tell(at) }) {
		t.Errorf("what has a successor is told of: %+v", got)
	}
	long := sp.Expiry{Until: at - int64(31*24*time.Hour/time.Microsecond)}
	if long.Tell(at) {
		t.Error("what ended long ago is told of")
	}
}
