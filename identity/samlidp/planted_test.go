package samlidp_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"github.com/musubi-hub/musubi/identity/login"
	"github.com/musubi-hub/musubi/identity/samlidp/sp"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
)

// plantedFault is a mistake that somebody could make in a check. Its edits change the source; each of the attacks has to notice.
type plantedFault struct {
	name    string
	edits   []edit
	attacks []string
}

// edit changes a text that stands in a file once. In new, § stands for whether this fault is in at the moment. Or, where several faults sit in one
// place, unless says when the condition that the text is doesn't hold, or also when it holds, too.
type edit struct{ file, old, new, unless, also string }

const (
	requestFile = "request.go"
	receiveFile = "receive.go"
	verifyFile  = "wire/verify.go"
	parseFile   = "wire/parse.go"

	destination = "to != here"
	reference   = `uri != "#"+id`
	expired     = "c.at >= until"
)

// asleep is code that goes with the faults, by package.
var asleep = map[string]string{
	"": `package samlidp

import "os"

func planted(name string) bool { return os.Getenv("MUSUBI_FAULT") == name }
`,
	"wire": `package wire

import (
	"crypto"
	_ "crypto/sha1"
	"crypto/x509"
	"encoding/base64"
	"os"

	"github.com/beevik/etree"
)

func planted(name string) bool { return os.Getenv("MUSUBI_FAULT") == name }

const old = crypto.SHA1

func sent(root *etree.Element) (all []*x509.Certificate) {
	for _, el := range root.FindElements(".//X509Certificate") {
		der, _ := base64.StdEncoding.DecodeString(el.Text())
		if c, err := x509.ParseCertificate(der); err == nil {
			all = append(all, c)
		}
	}
	return all
}
`,
	"sp": `package sp

import (
	"net/url"
	"os"
	"strings"
)

func planted(name string) bool { return os.Getenv("MUSUBI_FAULT") == name }

func host(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

func joined(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	return u.JoinPath().String()
}

func unescaped(text string) string {
	text, _ = url.QueryUnescape(text)
	return strings.Trim(text, "\x00")
}

func seen(r rune) rune {
	if r == 0x200b || r == 0xad || r < 0x20 {
		return -1
	}
	return r
}
`,
}

// addresses is a fault in the comparison of addresses: alike says when what was asked for does for what is known.
func addresses(name, alike string, attacks ...string) plantedFault {
	for i, a := range attacks {
		attacks[i] = "unsigned, ACS: " + a
	}
	return plantedFault{"addresses compared " + name, []edit{{
		file: "sp/sp.go", old: "c.Location == location", also: strings.NewReplacer("asked", "location", "known", "c.Location", "strings.", "text.").Replace(alike),
	}}, attacks}
}

var plantedFaults = []plantedFault{
	{
		"unsigned is taken where signed is required",
		[]edit{{requestFile, "if p.Signed {", "if p.Signed && !§ {", "", ""}},
		[]string{"redirect: unsigned where signed is required", "POST: unsigned where signed is required"},
	},
	{
		"any key's signature is taken over a query",
		[]edit{{verifyFile, "ok && rsa.VerifyPKCS1v15(public, hash, sum, sig) == nil", "ok && (§ || rsa.VerifyPKCS1v15(public, hash, sum, sig) == nil)", "", ""}},
		[]string{"redirect: another provider's key", "redirect: another request under the signature", "redirect: an empty signature"},
	},
	{
		"the key is taken from the document",
		[]edit{{verifyFile, "sig, err := shape(root)\n", "sig, err := shape(root)\n\tif § {\n\t\tkeys = append(sent(root), keys...)\n\t}\n", "", ""}},
		[]string{"POST: another provider's key"},
	},
	{
		"a signature need not fit",
		[]edit{{verifyFile, "\t\tif err != nil {\n\t\t\tcontinue\n\t\t}\n\t\tif signed.Tag", "\t\tif err != nil && !§ {\n\t\t\tcontinue\n\t\t}\n\t\tif err != nil {\n\t\t\tsigned = bare\n\t\t\tsigned.RemoveChild(inner)\n\t\t}\n\t\tif signed.Tag", "", ""}},
		[]string{
			"POST: changed", "POST: another provider's key", "XSW 7: the forged one in extensions of the original", "XSW, the good signature over a forged message",
			"POST: a canonical form of nothing (CVE-2025-66567, CVE-2025-66568)",
		},
	},
	{"signatures with SHA-1 are taken", []edit{
		{verifyFile, "RSASHA256: crypto.SHA256,", "RSASHA256: crypto.SHA256, \"http://www.w3.org/2000/09/xmldsig#rsa-sha1\": old,", "", ""},
		{verifyFile, "hash, ok := methods[algorithm]\n\tif !ok {", "hash, ok := methods[algorithm]\n\tif !ok || hash == old && !§ {", "", ""},
		{verifyFile, "if _, ok := methods[Attr(info[1], \"Algorithm\")]; !ok", "if h, ok := methods[Attr(info[1], \"Algorithm\")]; !ok || h == old && !§", "", ""},
		{verifyFile, "if !digests[Attr(parts[1], \"Algorithm\")] {", "if !digests[Attr(parts[1], \"Algorithm\")] && !(§ && Attr(parts[1], \"Algorithm\") == \"http://www.w3.org/2000/09/xmldsig#sha1\") {", "", ""},
	}, []string{"redirect: signed with SHA-1", "POST: signed with SHA-1"}},
	{
		"what is read isn't what was signed",
		[]edit{
			{verifyFile, "len(own) != 1 || count(root, NSSignature, \"Signature\") != 1", "len(own) != 1 && !§ || count(root, NSSignature, \"Signature\") != 1 && !§", "", ""},
			{file: verifyFile, old: reference, unless: "true"},
			{verifyFile, "return signed, nil", "if § {\nreturn root, nil\n}\nreturn signed, nil", "", ""},
		},
		[]string{"XSW, two signatures, one good"},
	},
	{"a signature's reference isn't looked at", []edit{{file: verifyFile, old: reference, unless: "true"}}, []string{"XSW 2: the signature beside the original"}},
	{
		"a signature may hold objects",
		[]edit{{verifyFile, "len(parts) < 2 || len(parts) > 3", "len(parts) < 2 || len(parts) > 3 && !§", "", ""}},
		[]string{"XSW 8: the forged one in the original's signature"},
	},
	{"an ID may stand there twice", []edit{{parseFile, "if p.ids[id] {", "if p.ids[id] && !§ {", "", ""}}, []string{"XSW, the same ID, the original inside", "XSW, the same ID, the original in extensions"}},
	{
		"what stands after the root is passed over",
		[]edit{{parseFile, "case p.at == nil && p.root != nil:\n", "case p.at == nil && p.root != nil && !§:\n", "", ""}},
		[]string{"XSW 5: the signature in the forged one, original behind", "XSW, two messages in one, the first signed"},
	},
	{
		"comments are passed over",
		[]edit{{parseFile, "case !p.limits.Comments:", "case !p.limits.Comments && !§:", "", ""}, {parseFile, "case f.worded && f.commented:", "case f.worded && f.commented && !§:", "", ""}},
		[]string{"POST: a comment in the issuer", "POST: a comment in a NameID (CVE-2017-11427 and its kin)", "redirect: a comment in a NameID", "POST: a comment in a NameID, unsigned"},
	},
	{
		"a document type is passed over",
		[]edit{{parseFile, "\tdefault:\n\t\treturn p.fault(\"xml_doctype\"", "\tdefault:\n\t\tif § {\n\t\t\treturn nil\n\t\t}\n\t\treturn p.fault(\"xml_doctype\"", "", ""}},
		[]string{"POST: a DTD (CVE-2025-25291)", "POST: an entity (XXE)", "POST: an entity bomb"},
	},
	{
		"documents may be of any size",
		[]edit{{parseFile, "if len(data) > l.Bytes {", "if len(data) > l.Bytes && !§ {", "", ""}, {receiveFile, "len(out) > wire.MessageLimits.Bytes", "len(out) > wire.MessageLimits.Bytes && !§", "", ""}},
		[]string{"POST: too large", "redirect: a deflate bomb (CVE-2023-28119, CVE-2025-25293)"},
	},
	{"documents may be of any depth", []edit{{parseFile, "case len(p.open) >= p.limits.Depth:", "case len(p.open) >= p.limits.Depth && !§:", "", ""}}, []string{"POST: too deep"}},
	{
		"a signed request need not say whom it is for",
		[]edit{{requestFile, "if wire.Attr(m.root, \"Destination\") == \"\" {", "if wire.Attr(m.root, \"Destination\") == \"\" && !§ {", "", ""}},
		[]string{"redirect: signed without destination"},
	},
	{"whom a request is for isn't looked at", []edit{{file: requestFile, old: destination, unless: "true"}}, []string{"unsigned: another destination", "signed: another destination"}},
	{"... but for its case", []edit{{file: requestFile, old: destination, unless: "strings.EqualFold(to, here)"}}, []string{"signed: a destination but for case"}},
	{"... but for its host", []edit{{file: requestFile, old: destination, unless: "strings.HasSuffix(to, pathSSO)"}}, []string{"signed: the other network's"}},
	{"... but for its end", []edit{{file: requestFile, old: destination, unless: "strings.HasPrefix(to, here)"}}, []string{"signed: a destination with a slash"}},
	{"requests live a moment longer", []edit{{file: requestFile, old: expired, unless: "c.at == until"}}, []string{"signed: expired by a moment"}},
	{"requests never expire", []edit{{file: requestFile, old: expired, unless: "true"}}, []string{"signed: expired by a second"}},
	{"requests of the future are taken", []edit{{requestFile, "case c.at < t.Add(-skew).UnixMicro():", "case c.at < t.Add(-skew).UnixMicro() && !§:", "", ""}}, []string{"unsigned: a second too early"}},
	{"requests are taken again", []edit{{requestFile, "case n == 0:", "case n == 0 && !§:", "", ""}}, []string{"replay", "replay with another relay", "replay by the other binding"}},
	{"each binding remembers its own", []edit{{requestFile, "\"\\x00\" + id", "map[bool]string{true: c.r.Method}[§] + \"\\x00\" + id", "", ""}}, []string{"replay by the other binding"}},
	addresses("by their beginning", "strings.HasPrefix(asked, known)", "a slash after it", "a longer path", "a query", "a dot segment out of it", "a fragment", "white space after it"),
	addresses("by their end", "strings.HasSuffix(asked, known)", "javascript", "data"),
	addresses("whatever their case", "strings.EqualFold(asked, known)", "capitals in the scheme", "capitals in the host", "capitals in the path"),
	addresses("without white space", "strings.TrimSpace(asked) == known", "white space before it", "a line break after it", "a tab before it"),
	addresses("without what can't be seen", "strings.Map(seen, asked) == known",
		"a zero-width space", "a soft hyphen", "a line break inside"),
	addresses("by their host", "host(asked) == host(known)",
		"without TLS", "no scheme", "a user at the right host", "the port of https", "another port", "a port of nothing", "percent-encoded", "another query"),
	addresses("by the end of their host", "strings.HasSuffix(host(asked), host(known))", "a host that ends like it"),
	addresses("by what stands in them", "strings.Contains(asked, \"sp.example\")", "a longer host", "a user before the host", "a user with a password", "a backslash"),
	addresses("joined anew", "joined(asked) == known", "a dot segment", "a dot segment upwards", "two slashes"),
	addresses("unescaped", "unescaped(asked) == known",
		"percent-encoded", "a percent-encoded slash", "a null behind an escape"),
	addresses("without query", "strings.Split(asked, \"?\")[0] == known", "a query", "an empty query", "another query", "a query that goes on"),
	addresses("by how they look", "strings.NewReplacer(\"а\", \"a\", \"．\", \".\").Replace(asked) == known", "a homoglyph", "full width"),
	{
		"any address is taken",
		[]edit{{requestFile, "consumer, ok = face.At(location)", "if consumer, ok = face.At(location); § {\n\t\t\tconsumer, ok = sp.Consumer{Location: location}, true\n\t\t}", "", ""}},
		[]string{"signed, ACS: another address", "signed, ACS: javascript"},
	},
	{"any binding is taken (CVE-2023-45683)", []edit{{requestFile, "case bound && binding != sp.BindingPOST:", "case bound && binding != sp.BindingPOST && !§:", "", ""}}, []string{"unsigned: the artifact binding", "signed: the redirect binding"}},
	{"the first issuer counts", []edit{{requestFile, "if len(all) != 1 {", "if len(all) != 1 && !(§ && len(all) > 1) {", "", ""}}, []string{"POST: two issuers"}},
	{
		"anything is taken for a request",
		[]edit{{requestFile, "if !wire.Is(m.root, wire.NSProtocol, \"AuthnRequest\") {", "if !wire.Is(m.root, wire.NSProtocol, \"AuthnRequest\") && !§ {", "", ""}},
		[]string{"POST: a response", "POST: two assertions, one signed (CVE-2022-41912, CVE-2021-28091)", "XSW, both in one that isn't signed"},
	},
	{
		"the last of two parameters counts (CVE-2025-27773)",
		[]edit{{receiveFile, "twice := out[name]; twice {", "twice := out[name]; twice && !§ {", "", ""}},
		[]string{"redirect: the request twice (CVE-2025-27773)", "redirect: the signature of another parameter (CVE-2025-27773)", "redirect: RelayState twice"},
	},
	{
		"RelayState isn't under the signature",
		[]edit{{receiveFile, "if r, ok := in[\"RelayState\"]; ok {", "if r, ok := in[\"RelayState\"]; ok && !§ {", "", ""}},
		[]string{"redirect: RelayState put in", "redirect: RelayState put in, empty"},
	},
	{
		"RelayState may be anything",
		[]edit{{receiveFile, "func checkRelay(text string) *fault {", "func checkRelay(text string) *fault {\n\tif § {\n\t\treturn nil\n\t}", "", ""}},
		[]string{"redirect: RelayState of 81 bytes", "redirect: RelayState with a line break", "redirect: RelayState that isn't UTF-8"},
	},
	{"an algorithm without a signature is passed over", []edit{{receiveFile, "ok != signed {", "ok != signed && !§ {", "", ""}}, []string{"redirect: signature taken out", "redirect: algorithm taken out"}},
	{"any host is ours", []edit{{"provider.go", "if \"https://\"+r.Host != origin {", "if \"https://\"+r.Host != origin && !§ {", "", ""}}, []string{"another host", "the other network's host"}},
	{
		"providers are of every network",
		[]edit{{"sp/sp.go", "func (p SP) Face(n policies.Network) (Face, bool) {", "func (p SP) Face(n policies.Network) (Face, bool) {\n\tif § {\n\t\treturn p.Faces[0], true\n\t}", "", ""}},
		[]string{"a provider of the other network"},
	},
	{"a link's mark isn't looked at", []edit{{"start.go", "if !hmac.Equal(", "if !§ && !hmac.Equal(", "", ""}}, []string{"link: another party", "link: another relay", "link: no mark", "link: another session"}},
	{"a link never ends", []edit{{"start.go", "err != nil || c.at >= end {", "err != nil || c.at >= end && !§ {", "", ""}}, []string{"link: expired"}},
	{"a link's session may be of another network", []edit{{"start.go", "if !ok || s.Network != c.network {", "if !ok || s.Network != c.network && !§ {", "", ""}}, []string{"link: a session of another network"}},
	{"refusals aren't recorded", []edit{{"fault.go", "return audit.Append(ctx, tx, row) })", "if § {\n\t\t\t\treturn nil\n\t\t\t}\n\t\t\treturn audit.Append(ctx, tx, row) })", "", ""}}, []string{"POST: changed", "replay", "link: expired"}},
	{
		"the registry isn't looked at again",
		[]edit{{"answer.go", "if !ok || fs.NameID != rp.NameID {", "if !§ && (!ok || fs.NameID != rp.NameID) {", "", ""}},
		[]string{"swapped: the address moves", "swapped: the network goes", "swapped: another format of name"},
	},
}

// swapped are attacks on a request under way: its provider changes between the check and the answer.
var swapped = map[string]func(p *sp.SP){
	"the address moves":      func(p *sp.SP) { p.Faces[0].Consumers[0].Location = "https://sp.example/new" },
	"the network goes":       func(p *sp.SP) { p.Faces = p.Faces[1:] },
	"another format of name": func(p *sp.SP) { p.NameID = sp.NameIDEmail },
	"the provider goes":      nil,
}

// swap says where the answer goes of a request whose provider changes under way; empty where it goes nowhere.
func (h *house) swap(change func(p *sp.SP)) (said string) {
	p := h.party("moving")
	must(h.t, h.registry.Add(h.t.Context(), operator, p, 1))
	h.redirect(query(h.ask("moving", nil), "", pair{}))
	ask := h.asks[len(h.asks)-1]
	if change == nil {
		must(h.t, h.registry.Remove(h.t.Context(), operator, p.ID, "試験", 1))
	} else {
		change(&p)
		must(h.t, h.registry.Change(h.t.Context(), operator, p, 1))
		defer func() { must(h.t, h.registry.Remove(h.t.Context(), operator, p.ID, "試験", 1)) }()
	}
	must(h.t, h.db.WithTx(h.t.Context(), func(ctx context.Context, tx *sql.Tx) error {
		l := h.login
		l.RelyingParty, l.Network = ask.RelyingParty, ask.Network
		if a, err := h.provider.Finish(ctx, tx, login.Request{Ask: ask}, l); err == nil {
			said += "answered at " + a.Location
		}
		if a, err := h.provider.Refuse(ctx, tx, login.Request{Ask: ask}, login.Refusal{Reason: login.ReasonPolicy}); err == nil {
			said += "; refused at " + a.Location
		}
		return nil
	}))
	return said
}

// TestPlantedFaults puts each of these faults into a copy of the source, one at a time, and has the attacks notice. It builds the copy once, as a
// test of this package in which the faults sleep, and runs itself there.
func TestPlantedFaults(t *testing.T) {
	if os.Getenv("MUSUBI_PLANTED") == "inside" {
		noticed(t)
		return
	}
	args := []string{"test", "-vet=off", "-count=1", "-run=^TestPlantedFaults$", "-overlay=" + plant(t)}
	if info, ok := debug.ReadBuildInfo(); ok { // built like this test, so that nothing else has to be built anew
		for _, s := range info.Settings {
			if s.Key == "-race" || s.Key == "-gcflags" {
				args = append(args, s.Key+"="+s.Value)
			}
		}
	}
	if testing.Verbose() {
		args = append(args, "-v")
	}
	command := exec.CommandContext(t.Context(), "go", append(args, ".")...)
	command.Env = append(os.Environ(), "MUSUBI_PLANTED=inside")
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}

// faults are all of them.
func faults() []plantedFault { return slices.Concat(plantedFaults, logoutFaults) }

// plant writes the changed files and gives the overlay that puts them into the build.
func plant(t *testing.T) (overlay string) {
	t.Helper()
	dir, files := t.TempDir(), map[string]string{}
	for _, f := range faults() {
		for _, e := range f.edits {
			if _, read := files[e.file]; !read {
				source, err := os.ReadFile(e.file)
				must(t, err)
				files[e.file] = string(source)
			}
		}
	}
	for at, text := range changes(t, files) {
		files[at.file] = strings.Replace(files[at.file], at.old, text, 1)
	}
	files["sp/sp.go"] = strings.Replace(files["sp/sp.go"], "import (\n", "import (\n\ttext \"strings\"\n", 1) // of addresses
	replace := map[string]string{}
	put := func(name, text string) {
		path, err := filepath.Abs(name)
		must(t, err)
		replace[path] = filepath.Join(dir, strings.ReplaceAll(name, "/", "_"))
		must(t, os.WriteFile(replace[path], []byte(text), 0o600))
	}
	for name, text := range files {
		put(name, text)
	}
	for of, text := range asleep {
		put(filepath.Join(of, "planted_on.go"), text)
	}
	list, err := json.Marshal(map[string]any{"Replace": replace})
	must(t, err)
	overlay = filepath.Join(dir, "overlay.json")
	must(t, os.WriteFile(overlay, list, 0o600))
	return overlay
}

// place is a text in a file.
type place struct{ file, old string }

// changes gives what is written in each place for all the faults that sit there.
func changes(t *testing.T, files map[string]string) map[place]string {
	t.Helper()
	all := map[place]string{}
	for _, f := range faults() {
		in := fmt.Sprintf("planted(%q)", f.name)
		for _, e := range f.edits {
			at := place{e.file, e.old}
			if n := strings.Count(files[e.file], e.old); n != 1 {
				t.Fatalf("%q: the text to change stands in %s %d times; adapt the fault to the source:\n%s", f.name, e.file, n, e.old)
			}
			before, taken := all[at]
			if !taken {
				before = "(" + e.old + ")"
			}
			switch {
			case e.unless != "":
				all[at] = strings.TrimSuffix(before, ")") + " && !(" + in + " && (" + e.unless + ")))"
			case e.also != "":
				all[at] = strings.TrimSuffix(before, ")") + " || " + in + " && (" + e.also + "))"
			case taken:
				t.Fatalf("%q: another fault changes the same text", f.name)
			default:
				all[at] = strings.ReplaceAll(e.new, "§", in)
			}
		}
	}
	return all
}

// noticed runs the attacks against each fault: those that are named for it have to notice; with MUSUBI_SOAK all are run, and it says which do.
func noticed(t *testing.T) {
	h := newHouse(t, sqldbtest.Open(t, sqldbtest.SQLiteURL(t)))
	all := map[string]func() string{}
	for _, table := range []attacks{redirectAttacks(t, h), postAttacks(t, h), wrappingAttacks(t, h), requestAttacks(h), otherAttacks(t, h), linkAttacks(t, h)} {
		for name, a := range table {
			all[name] = func() string { return h.outcome(a) }
		}
	}
	maps.Copy(all, logoutAttacks(t, h))
	for name, change := range swapped {
		all["swapped: "+name] = func() string { return h.swap(change) }
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if said := all[name](); said != "" {
			t.Fatalf("with no fault planted, %s: %s", name, said)
		}
	}
	t.Logf("%d attacks, %d faults", len(all), len(faults()))
	for _, f := range faults() {
		t.Setenv("MUSUBI_FAULT", f.name)
		for _, name := range f.attacks {
			run, ok := all[name]
			if !ok {
				t.Fatalf("%s: there is no attack %q", f.name, name)
			}
			if run() == "" {
				t.Errorf("%s: the attack %q doesn't notice", f.name, name)
			}
		}
		if os.Getenv("MUSUBI_SOAK") == "" {
			continue
		}
		var who []string
		for _, name := range slices.Sorted(maps.Keys(all)) {
			if all[name]() != "" {
				who = append(who, name)
			}
		}
		t.Logf("%s: noticed by %d: %s", f.name, len(who), strings.Join(who, "; "))
	}
}
