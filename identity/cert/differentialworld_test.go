package cert_test

import (
	"bytes"
	"crypto"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/musubi-hub/musubi/identity/cert"
	"github.com/musubi-hub/musubi/identity/cert/der"
	"github.com/musubi-hub/musubi/identity/cert/pkix"
	"github.com/musubi-hub/musubi/identity/cert/testpki"
)

// The differential test makes hierarchies with one or two faults each, or none, and lets openssl and us decide about the same octets.
const (
	differentialWorlds = 250
	leavesPerWorld     = 40
)

var (
	policyOne, policyTwo = must(pkix.ParseOID("1.3.6.1.4.1.99999.1")), must(pkix.ParseOID("1.3.6.1.4.1.99999.2"))
	strangeOID           = must(pkix.ParseOID("1.3.6.1.4.1.99999.99"))
)

// world is one hierarchy with its lists, and what both sides are asked about it.
type world struct {
	r       *rand.Rand
	keys    []crypto.Signer
	cas     []*authority // the root first
	lists   [][]byte     // nil: revocation is not asked for
	options cert.Options
	args    []string // of openssl
	faults  []string // of the CAs and lists
	leaves  []leafCase
	serial  uint64
	partial bool   // an intermediate is missing
	twin    []byte // another root of the same name with another key, as generations of a CA are; nil: none
	first   bool   // the twin stands before the root
}

type authority struct {
	spec testpki.Certificate
	name []byte
	key  crypto.Signer
	raw  []byte
}

type leafCase struct {
	raw    []byte
	faults []string
}

func set(c *testpki.Certificate, e testpki.Extension) {
	for i := range c.Extensions {
		if c.Extensions[i].OID == e.OID {
			c.Extensions[i] = e
			return
		}
	}
	c.Extensions = append(c.Extensions, e)
}

func drop(c *testpki.Certificate, id pkix.OID) {
	c.Extensions = slices.DeleteFunc(slices.Clone(c.Extensions), func(e testpki.Extension) bool { return e.OID == id })
}

func name(parts ...string) []byte {
	attrs := []testpki.Attribute{{Type: "C", Value: "JP"}, {Type: "O", Value: "TEST"}}
	for _, p := range parts {
		attrs = append(attrs, testpki.Attribute{Type: "OU", Value: p})
	}
	return testpki.Name(attrs...)
}

func dnsNames(names ...string) testpki.Extension {
	var parts [][]byte
	for _, n := range names {
		parts = append(parts, der.Wrap(der.Context(2), []byte(n)))
	}
	return testpki.Extension{OID: pkix.OIDSubjectAltName, Value: der.Wrap(der.Sequence, parts...)}
}

// constraint is name constraints with one subtree, permitted (0) or excluded (1).
func constraint(which byte, general []byte) testpki.Extension {
	return testpki.Extension{OID: pkix.OIDNameConstraints, Critical: true, Value: der.Wrap(der.Sequence, der.Wrap(der.Constructed(which), der.Wrap(der.Sequence, general)))}
}

func small(tag byte, n int) []byte { return der.Wrap(der.Context(tag), []byte{byte(n)}) }

// caFault is something wrong, or just special, with the certificate of a CA at a depth.
type caFault struct {
	name  string
	apply func(w *world, c *testpki.Certificate, depth int)
}

var caFaults = []caFault{
	{"path length 0", func(_ *world, c *testpki.Certificate, _ int) { set(c, testpki.BasicConstraints(true, 0)) }},
	{"path length 1", func(_ *world, c *testpki.Certificate, _ int) { set(c, testpki.BasicConstraints(true, 1)) }},
	{"no CA by basic constraints", func(_ *world, c *testpki.Certificate, _ int) { set(c, testpki.BasicConstraints(false, -1)) }},
	{"no basic constraints", func(_ *world, c *testpki.Certificate, _ int) { drop(c, pkix.OIDBasicConstraints) }},
	{"key usage without keyCertSign", func(_ *world, c *testpki.Certificate, _ int) {
		set(c, testpki.KeyUsage(testpki.CRLSign, testpki.DigitalSignature))
	}},
	{"key usage without cRLSign", func(_ *world, c *testpki.Certificate, _ int) { set(c, testpki.KeyUsage(testpki.KeyCertSign)) }},
	{"no key usage", func(_ *world, c *testpki.Certificate, _ int) { drop(c, pkix.OIDKeyUsage) }},
	{"CA expired", func(_ *world, c *testpki.Certificate, _ int) { c.NotAfter = present.Add(-time.Second) }},
	{"CA not yet valid", func(_ *world, c *testpki.Certificate, _ int) { c.NotBefore = present.Add(time.Second) }},
	{"CA with an unknown critical extension", func(_ *world, c *testpki.Certificate, _ int) {
		set(c, testpki.Extension{OID: strangeOID, Critical: true, Value: []byte{5, 0}})
	}},
	{"CA with an unknown extension", func(_ *world, c *testpki.Certificate, _ int) {
		set(c, testpki.Extension{OID: strangeOID, Value: []byte{5, 0}})
	}},
	{"CA without key identifiers", func(_ *world, c *testpki.Certificate, _ int) {
		drop(c, pkix.OIDSubjectKeyID)
		drop(c, pkix.OIDAuthorityKeyID)
	}},
	{"permits the directory names below", func(w *world, c *testpki.Certificate, _ int) {
		set(c, constraint(0, der.Wrap(der.Constructed(4), name("below"))))
	}},
	{"excludes the directory names below", func(w *world, c *testpki.Certificate, _ int) {
		set(c, constraint(1, der.Wrap(der.Constructed(4), name("below"))))
	}},
	{"permits DNS names", func(_ *world, c *testpki.Certificate, _ int) {
		set(c, constraint(0, der.Wrap(der.Context(2), []byte("good.example"))))
	}},
	{"excludes DNS names", func(_ *world, c *testpki.Certificate, _ int) {
		set(c, constraint(1, der.Wrap(der.Context(2), []byte("bad.example"))))
	}},
	{"policy one only", func(_ *world, c *testpki.Certificate, _ int) { set(c, testpki.Policies(false, "", policyOne)) }},
	{"policy two only", func(_ *world, c *testpki.Certificate, _ int) { set(c, testpki.Policies(true, "", policyTwo)) }},
	{"no policies", func(_ *world, c *testpki.Certificate, _ int) { drop(c, pkix.OIDPolicies) }},
	{"requires an explicit policy", func(w *world, c *testpki.Certificate, _ int) {
		set(c, testpki.Extension{OID: pkix.OIDPolicyConstraints, Critical: true, Value: der.Wrap(der.Sequence, small(0, w.r.IntN(3)))})
	}},
	{"inhibits mapping", func(w *world, c *testpki.Certificate, _ int) {
		set(c, testpki.Extension{OID: pkix.OIDPolicyConstraints, Critical: true, Value: der.Wrap(der.Sequence, small(1, w.r.IntN(3)))})
	}},
	{"inhibits anyPolicy", func(w *world, c *testpki.Certificate, _ int) {
		set(c, testpki.Extension{OID: pkix.OIDInhibitAnyPolicy, Critical: true, Value: der.Wrap(der.Integer, []byte{byte(w.r.IntN(3))})})
	}},
	{"maps policy two to one", func(_ *world, c *testpki.Certificate, _ int) {
		set(c, testpki.Policies(false, "", policyOne, policyTwo))
		oid := func(o pkix.OID) []byte { return der.Wrap(der.OID, []byte(o)) }
		set(c, testpki.Extension{OID: pkix.OIDPolicyMappings, Critical: true, Value: der.Wrap(der.Sequence, der.Wrap(der.Sequence, oid(policyTwo), oid(policyOne)))})
	}},
}

func newWorld(seed uint64, keys []crypto.Signer) *world {
	w := &world{r: rand.New(rand.NewPCG(7, seed)), keys: keys}
	depth := w.r.IntN(4)
	faulty := map[int][]caFault{}
	for range []int{0, 1, 1, 2}[w.r.IntN(4)] {
		at, f := w.r.IntN(depth+1), caFaults[w.r.IntN(len(caFaults))]
		faulty[at] = append(faulty[at], f)
	}
	for i := range depth + 1 {
		w.authority(seed, i, faulty[i])
	}
	w.ask()
	if w.r.IntN(3) > 0 {
		w.options.Revocation = cert.Require
		w.args = append(w.args, "-crl_check_all")
	} else {
		w.options.Revocation = cert.NoCheck
	}
	w.leaves = w.makeLeaves()
	if w.options.Revocation == cert.Require {
		w.makeLists()
	}
	if w.r.IntN(5) == 0 {
		w.addTwin()
	}
	if depth > 0 && w.r.IntN(15) == 0 {
		w.partial = true
		w.faults = append(w.faults, "an intermediate is missing")
	}
	return w
}

// addTwin makes an older generation of the root: the same name, another key.
func (w *world) addTwin() {
	spki := testpki.SPKI(w.keys[7].Public())
	c := w.cas[0].spec
	c.SPKI, c.Serial = spki, []byte{0x70}
	set(&c, testpki.SubjectKeyID(spki))
	w.twin, w.first = c.Der(w.keys[7]), w.r.IntN(2) == 0
	w.faults = append(w.faults, "a root of the same name")
}

// anchors are the roots, in the order in which both sides get them.
func (w *world) anchors() [][]byte {
	switch {
	case w.twin == nil:
		return [][]byte{w.cas[0].raw}
	case w.first:
		return [][]byte{w.twin, w.cas[0].raw}
	}
	return [][]byte{w.cas[0].raw, w.twin}
}

func (w *world) authority(seed uint64, depth int, faults []caFault) {
	a := &authority{key: w.keys[depth], name: name(fmt.Sprintf("CA %d of %d", depth, seed))}
	issuer := a
	if depth > 0 {
		issuer = w.cas[depth-1]
	}
	spki := testpki.SPKI(a.key.Public())
	w.serial++
	a.spec = testpki.Certificate{
		Serial: testpki.Serial(w.serial), Issuer: issuer.name, Subject: a.name, NotBefore: present.AddDate(-5, 0, 0), NotAfter: present.AddDate(5, 0, 0), SPKI: spki,
		Extensions: []testpki.Extension{testpki.KeyUsage(testpki.KeyCertSign, testpki.CRLSign), testpki.BasicConstraints(true, -1), testpki.SubjectKeyID(spki)},
	}
	if depth > 0 {
		set(&a.spec, testpki.AuthorityKeyID(testpki.SPKI(issuer.key.Public())))
		set(&a.spec, testpki.Policies(false, "", pkix.OIDAnyPolicy))
	}
	for _, f := range faults {
		f.apply(w, &a.spec, depth)
		w.faults = append(w.faults, fmt.Sprintf("%s@%d", f.name, depth))
	}
	key := issuer.key
	if w.r.IntN(60) == 0 {
		key = w.keys[9]
		w.faults = append(w.faults, fmt.Sprintf("CA signed by a stranger@%d", depth))
	}
	a.raw = a.spec.Der(key)
	w.cas = append(w.cas, a)
}

// ask says what is wanted of policies.
func (w *world) ask() {
	w.args = []string{"-policy_check"}
	if w.r.IntN(2) == 0 {
		w.args = append(w.args, "-policy", pkix.OIDAnyPolicy.String()) // else an explicit policy can never be had
		return
	}
	w.options.Policies = []pkix.OID{policyOne}
	w.args = append(w.args, "-policy", policyOne.String())
	for _, o := range []struct {
		flag string
		to   *bool
	}{
		{"-explicit_policy", &w.options.RequireExplicitPolicy}, {"-inhibit_any", &w.options.InhibitAnyPolicy}, {"-inhibit_map", &w.options.InhibitPolicyMapping},
	} {
		if w.r.IntN(3) == 0 {
			*o.to = true
			w.args = append(w.args, o.flag)
		}
	}
}

const longSerial = "leaf with a serial of 21 octets"

type leafFault struct {
	name  string
	apply func(w *world, c *testpki.Certificate)
}

var leafFaults = []leafFault{
	{"leaf expired", func(_ *world, c *testpki.Certificate) { c.NotAfter = present.Add(-time.Second) }},
	{"leaf expires now", func(_ *world, c *testpki.Certificate) { c.NotAfter = present }},
	{"leaf not yet valid", func(_ *world, c *testpki.Certificate) { c.NotBefore = present.Add(time.Second) }},
	{"leaf valid from now", func(_ *world, c *testpki.Certificate) { c.NotBefore = present }},
	{"leaf is a CA", func(_ *world, c *testpki.Certificate) { set(c, testpki.BasicConstraints(true, -1)) }},
	{"leaf with an unknown critical extension", func(_ *world, c *testpki.Certificate) {
		set(c, testpki.Extension{OID: strangeOID, Critical: true, Value: []byte{5, 0}})
	}},
	{"leaf twice the same extension", func(_ *world, c *testpki.Certificate) {
		c.Extensions = append(slices.Clone(c.Extensions), testpki.KeyUsage(testpki.DigitalSignature))
	}},
	{"leaf of an unknown issuer", func(_ *world, c *testpki.Certificate) { c.Issuer = name("nobody") }},
	{"leaf's authority key identifier is another", func(w *world, c *testpki.Certificate) {
		set(c, testpki.AuthorityKeyID(testpki.SPKI(w.keys[9].Public())))
	}},
	{"leaf without authority key identifier", func(_ *world, c *testpki.Certificate) { drop(c, pkix.OIDAuthorityKeyID) }},
	{"leaf below", func(_ *world, c *testpki.Certificate) { c.Subject = name("below", "holder") }},
	{"leaf of a good DNS name", func(_ *world, c *testpki.Certificate) { set(c, dnsNames("www.good.example")) }},
	{"leaf of a bad DNS name", func(_ *world, c *testpki.Certificate) { set(c, dnsNames("good.example", "www.bad.example")) }},
	{"leaf of no policy", func(_ *world, c *testpki.Certificate) { drop(c, pkix.OIDPolicies) }},
	{"leaf of policy two", func(_ *world, c *testpki.Certificate) { set(c, testpki.Policies(true, "", policyTwo)) }},
	{"leaf of anyPolicy", func(_ *world, c *testpki.Certificate) { set(c, testpki.Policies(true, "", pkix.OIDAnyPolicy)) }},
	{"leaf of both policies", func(_ *world, c *testpki.Certificate) { set(c, testpki.Policies(true, "", policyTwo, policyOne)) }},
	{"leaf without key usage", func(_ *world, c *testpki.Certificate) { drop(c, pkix.OIDKeyUsage) }},
	{"leaf with a long serial", func(w *world, c *testpki.Certificate) {
		c.Serial = append([]byte{0x7f}, bytes.Repeat(c.Serial[:1], 19)...)
	}},
	{longSerial, func(w *world, c *testpki.Certificate) {
		c.Serial = append([]byte{0x7f}, bytes.Repeat(c.Serial[:1], 20)...)
	}},
	{"leaf with an EKU", func(_ *world, c *testpki.Certificate) { set(c, testpki.ExtKeyUsage(pkix.OIDOCSPSigning)) }},
}

func (w *world) makeLeaves() []leafCase {
	issuer := w.cas[len(w.cas)-1]
	spki := testpki.SPKI(w.keys[8].Public())
	var out []leafCase
	for i := range leavesPerWorld {
		w.serial++
		c := testpki.Certificate{
			Serial: testpki.Serial(w.serial), Issuer: issuer.name, Subject: name(fmt.Sprintf("holder %d", i)), NotBefore: present.AddDate(-1, 0, 0), NotAfter: present.AddDate(1, 0, 0),
			SPKI: spki,
			Extensions: []testpki.Extension{
				testpki.KeyUsage(testpki.DigitalSignature), testpki.AuthorityKeyID(testpki.SPKI(issuer.key.Public())), testpki.Policies(false, "", policyOne),
			},
		}
		var faults []string
		for range []int{0, 1, 1, 2}[w.r.IntN(4)] {
			f := leafFaults[w.r.IntN(len(leafFaults))]
			f.apply(w, &c)
			faults = append(faults, f.name)
		}
		key := issuer.key
		if w.r.IntN(40) == 0 {
			key = w.keys[9]
			faults = append(faults, "leaf signed by a stranger")
		}
		raw := c.Der(key)
		if w.r.IntN(40) == 0 {
			raw[len(raw)-1-w.r.IntN(16)] ^= 1 << w.r.IntN(8)
			faults = append(faults, "leaf's signature broken")
		}
		out = append(out, leafCase{raw, faults})
	}
	return out
}

type listFault struct {
	name  string
	apply func(w *world, l *testpki.List)
}

var listFaults = []listFault{
	{"list out of date", func(_ *world, l *testpki.List) { l.NextUpdate = present.Add(-time.Second) }},
	{"list from the future", func(_ *world, l *testpki.List) { l.ThisUpdate = present.Add(time.Hour) }},
	{"list with an unknown critical extension", func(_ *world, l *testpki.List) {
		l.Extra = append(l.Extra, testpki.Extension{OID: strangeOID, Critical: true, Value: []byte{5, 0}})
	}},
	{"list with an unknown extension", func(_ *world, l *testpki.List) {
		l.Extra = append(l.Extra, testpki.Extension{OID: strangeOID, Value: []byte{5, 0}})
	}},
	{"list of users only", func(_ *world, l *testpki.List) { l.UserOnly = true }},
	{"list of a partition", func(_ *world, l *testpki.List) { l.Partition = name("partition") }},
	{"entry with an unknown critical extension", func(_ *world, l *testpki.List) {
		if len(l.Entries) > 0 {
			l.Entries[0].Extra = []testpki.Extension{{OID: strangeOID, Critical: true, Value: []byte{5, 0}}}
		}
	}},
	{"list without a number", func(_ *world, l *testpki.List) { l.Number = 0 }},
	{"list without nextUpdate", func(_ *world, l *testpki.List) { l.NextUpdate = time.Time{} }},
	{"list without authority key identifier", func(_ *world, l *testpki.List) { l.IssuerKey = nil }},
	{"list is a delta", func(_ *world, l *testpki.List) { l.Base = 1 }},
}

func (w *world) makeLists() {
	for i, ca := range w.cas {
		l := testpki.List{Issuer: ca.name, ThisUpdate: present.Add(-time.Hour), NextUpdate: present.Add(time.Hour), Number: 7, IssuerKey: testpki.SPKI(ca.key.Public())}
		revoke := func(serial []byte, what string) {
			reason := []int{testpki.Unspecified, testpki.KeyCompromise, testpki.CertificateHold, testpki.Superseded}[w.r.IntN(4)]
			l.Entries = append(l.Entries, testpki.Entry{Serial: serial, At: present.Add(-2 * time.Hour), Reason: reason})
			w.faults = append(w.faults, what)
		}
		if i+1 < len(w.cas) {
			if w.r.IntN(20) == 0 {
				revoke(w.cas[i+1].spec.Serial, fmt.Sprintf("CA revoked@%d", i+1))
			}
		} else {
			for j := range w.leaves {
				if w.r.IntN(12) == 0 && !slices.Contains(w.leaves[j].faults, longSerial) {
					c := must(pkixSerial(w.leaves[j].raw))
					l.Entries = append(l.Entries, testpki.Entry{Serial: c, At: present.Add(-2 * time.Hour), Reason: testpki.KeyCompromise})
					w.leaves[j].faults = append(w.leaves[j].faults, "leaf revoked")
				}
			}
		}
		key := ca.key
		switch w.r.IntN(24) {
		case 0:
			w.faults = append(w.faults, fmt.Sprintf("no list@%d", i))
			continue
		case 1:
			key = w.keys[9]
			w.faults = append(w.faults, fmt.Sprintf("list signed by a stranger@%d", i))
		case 2, 3, 4:
			f := listFaults[w.r.IntN(len(listFaults))]
			f.apply(w, &l)
			w.faults = append(w.faults, fmt.Sprintf("%s@%d", f.name, i))
		}
		w.lists = append(w.lists, l.Der(key))
	}
	w.r.Shuffle(len(w.lists), func(i, j int) { w.lists[i], w.lists[j] = w.lists[j], w.lists[i] })
}

// pkixSerial is the serial of a certificate, however wrong the rest is.
func pkixSerial(raw []byte) ([]byte, error) {
	outer, err := der.Whole(raw, der.Sequence)
	if err != nil {
		return nil, err
	}
	tbs, err := outer.Enter(der.Sequence)
	if err != nil {
		return nil, err
	}
	if _, _, err := tbs.Optional(der.Constructed(0)); err != nil {
		return nil, err
	}
	return tbs.Read(der.Integer)
}

func (w *world) intermediates() [][]byte {
	var out [][]byte
	for i, ca := range w.cas[1:] {
		if w.partial && i == len(w.cas)/2 {
			continue
		}
		out = append(out, ca.raw)
	}
	w.r.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}
