package crl

import (
	"bytes"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/identity/cert/der"
	"github.com/musubi-hub/musubi/identity/cert/pkix"
)

// seq is a SEQUENCE, octets a literal encoding.
func seq(parts ...[]byte) []byte { return der.Wrap(der.Sequence, parts...) }

func octets(s string) []byte { return []byte(s) }

func oneEntry(exts ...[]byte) draft {
	return draft{entries: [][]byte{entry(integerOf(5), revokedAt, exts...)}}
}

// entryRaw is a list of one entry with that content, octet by octet.
func entryRaw(parts ...[]byte) draft { return draft{entries: [][]byte{seq(parts...)}} }

func withExts(exts ...[]byte) draft {
	return draft{allExts: der.Wrap(der.Constructed(0), seq(exts...))}
}

var (
	crlNumber = ext(pkix.OIDCRLNumber, false, integerOf(7))
	badOID    = pkix.OID("\x2a\x03\x04")
	fullName  = der.Wrap(der.Constructed(0), der.Wrap(der.Constructed(0), der.Wrap(der.Constructed(4), name("TEST partition 13"))))
	delta     = ext(pkix.OIDDeltaCRLIndicator, true, integerOf(3))
	points    = seq(seq(fullName))
)

// rules is what RFC 5280 section 5 asks, and what each breach is called. Lists are read by Parse and by Load; parse and load differ where a form is
// no form of a large list.
var rules = []struct {
	name        string
	list        draft
	parse, load Code // load: as parse unless given
}{
	{name: "a list without entries", list: draft{}},
	{name: "an entry", list: oneEntry()},
	{name: "an entry with a reason", list: oneEntry(reason(pkix.KeyCompromise))},
	{name: "a reason and an invalidity date", list: oneEntry(reason(pkix.Superseded), ext(pkix.OIDInvalidityDate, false, octets("\x18\x0f20240102030405Z")))},
	{name: "an unknown extension of an entry", list: oneEntry(ext(badOID, false, octets("anything")))},
	{name: "an unknown extension of the list", list: draft{exts: [][]byte{ext(badOID, false, octets("anything"))}}},
	{name: "ECDSA with SHA-384", list: draft{by: new(ecSigner()), entries: oneEntry().entries}},

	// version (5.1.2.1)
	{name: "version 1 written out", list: draft{version: integerOf(0)}, parse: CodeVersion},
	{name: "version 3", list: draft{version: integerOf(2)}, parse: CodeVersion},
	{name: "version missing, with extensions", list: draft{version: []byte{}}, parse: CodeVersion},
	{name: "version in BER", list: draft{version: octets("\x02\x02\x00\x01")}, parse: CodeEncoding},

	// issuer and times (5.1.2.3 to 5.1.2.5)
	{name: "an empty issuer", list: draft{issuer: seq()}, parse: CodeIssuer},
	{name: "an issuer that is no name", list: draft{issuer: seq(integerOf(1))}, parse: CodeIssuer},
	{name: "thisUpdate without seconds", list: draft{this: octets("\x17\x0b2611291500Z")}, parse: CodeTime},
	{name: "thisUpdate with an offset", list: draft{this: octets("\x17\x11261129150000+0900")}, parse: CodeTime},
	{name: "thisUpdate in another zone letter", list: draft{this: octets("\x17\x0d261129150000A")}, parse: CodeTime},
	{name: "thisUpdate on February 30", list: draft{this: octets("\x17\x0d260230150000Z")}, parse: CodeTime},
	{name: "thisUpdate as GeneralizedTime before 2050", list: draft{this: octets("\x18\x0f20261129150000Z")}, parse: CodeTime},
	{name: "thisUpdate with a fraction", list: draft{this: octets("\x18\x1120511129150000.5Z")}, parse: CodeTime},
	{name: "nextUpdate in 2050 and GeneralizedTime", list: draft{next: octets("\x18\x0f20500101000000Z")}},
	{name: "nextUpdate missing", list: draft{next: []byte{}}, parse: CodeNextUpdate},
	{name: "nextUpdate before thisUpdate", list: draft{next: timeOf(thisUpdate.Add(-time.Second))}, parse: CodeNextUpdate},
	{name: "nextUpdate at thisUpdate", list: draft{next: timeOf(thisUpdate)}, parse: CodeNextUpdate},

	// entries (5.1.2.6)
	{name: "revokedCertificates without an entry", list: draft{revoked: seq()}, parse: CodeEmptyList},
	{name: "a serial of zero", list: entryRaw(integerOf(0), timeOf(revokedAt)), parse: CodeSerial},
	{name: "a negative serial", list: entryRaw(integerOf(-1), timeOf(revokedAt)), parse: CodeSerial},
	{name: "a negative serial of four octets", list: entryRaw(octets("\x02\x04\x80\x00\x00\x01"), timeOf(revokedAt)), parse: CodeSerial},
	{name: "a serial of 20 octets", list: entryRaw(integerOfBig(new(big.Int).Lsh(big.NewInt(1), 158)), timeOf(revokedAt))},
	{name: "a serial of 21 octets", list: entryRaw(integerOfBig(new(big.Int).Lsh(big.NewInt(1), 160)), timeOf(revokedAt)), parse: CodeSerial},
	{name: "a serial of 21 octets with its sign", list: entryRaw(integerOfBig(new(big.Int).Lsh(big.NewInt(1), 159)), timeOf(revokedAt)), parse: CodeSerial},
	{name: "a serial in BER", list: entryRaw(octets("\x02\x02\x00\x05"), timeOf(revokedAt)), parse: CodeEncoding},
	{name: "an empty serial", list: entryRaw(octets("\x02\x00"), timeOf(revokedAt)), parse: CodeEncoding},
	{name: "no serial", list: entryRaw(timeOf(revokedAt)), parse: CodeEncoding},
	{name: "no date", list: entryRaw(integerOf(5)), parse: CodeTruncated},
	{name: "a date in month 13", list: entryRaw(integerOf(5), octets("\x17\x0d251301030405Z")), parse: CodeTime},
	{name: "a date in month 0", list: entryRaw(integerOf(5), octets("\x17\x0d250001030405Z")), parse: CodeTime},
	{name: "a date on day 0", list: entryRaw(integerOf(5), octets("\x17\x0d250100030405Z")), parse: CodeTime},
	{name: "February 29 in 2025", list: entryRaw(integerOf(5), octets("\x17\x0d250229030405Z")), parse: CodeTime},
	{name: "February 29 in 2024", list: entryRaw(integerOf(5), octets("\x17\x0d240229030405Z"))},
	{name: "hour 24", list: entryRaw(integerOf(5), octets("\x17\x0d250101240000Z")), parse: CodeTime},
	{name: "second 60", list: entryRaw(integerOf(5), octets("\x17\x0d250101235960Z")), parse: CodeTime},
	{name: "a date with a colon for a digit", list: entryRaw(integerOf(5), octets("\x17\x0d2501010304:5Z")), parse: CodeTime},
	{name: "a date with a slash for a digit", list: entryRaw(integerOf(5), octets("\x17\x0d25010103040/Z")), parse: CodeTime},
	{name: "a date of 1950", list: entryRaw(integerOf(5), octets("\x17\x0d500101000000Z"))},
	{name: "a date after the list, in 2051", list: entryRaw(integerOf(5), octets("\x18\x0f20510101000000Z"))},
	{name: "a date of 2049 as GeneralizedTime", list: entryRaw(integerOf(5), octets("\x18\x0f20490101000000Z")), parse: CodeTime},
	{name: "octets after the date", list: entryRaw(integerOf(5), timeOf(revokedAt), der.Wrap(der.Null)), parse: CodeExtension},
	{name: "octets after the extensions", list: entryRaw(integerOf(5), timeOf(revokedAt), seq(reason(1)), der.Wrap(der.Null)), parse: CodeTrailing},
	{name: "an entry of indefinite length", list: draft{revoked: seq(octets("\x30\x80\x02\x01\x05\x17\x0d250101030405Z\x00\x00"))}, parse: CodeEncoding},
	{name: "an entry whose length isn't the shortest", list: draft{revoked: seq(octets("\x30\x81\x12\x02\x01\x05\x17\x0d250101030405Z"))}, parse: CodeEncoding},
	{name: "an entry that is a SET", list: draft{revoked: seq(octets("\x31\x12\x02\x01\x05\x17\x0d250101030405Z"))}, parse: CodeEncoding},
	{name: "an entry longer than the list of entries", list: draft{revoked: seq(octets("\x30\x13\x02\x01\x05\x17\x0d250101030405Z"))}, parse: CodeTruncated},
	{name: "one octet after the entries", list: draft{revoked: seq(entry(integerOf(5), revokedAt), octets("\x30"))}, parse: CodeTruncated},
	{name: "one certificate twice", list: draft{entries: [][]byte{entry(integerOf(5), revokedAt), entry(integerOf(6), revokedAt), entry(integerOf(5), revokedAt)}}, parse: CodeDuplicate},
	{name: "one certificate twice in a row", list: draft{entries: [][]byte{entry(integerOf(5), revokedAt), entry(integerOf(5), revokedAt)}}, parse: CodeDuplicate},
	{
		name:  "a long serial twice",
		list:  draft{entries: [][]byte{entry(integerOf(1<<40), revokedAt), entry(integerOf(6), revokedAt), entry(integerOf(1<<40), revokedAt)}},
		parse: CodeDuplicate,
	},
	{
		name: "one certificate twice, once revoked after the list",
		list: draft{entries: [][]byte{entry(integerOf(5), revokedAt), entry(integerOf(5), thisUpdate.Add(time.Hour))}}, parse: CodeDuplicate,
	},

	// extensions of entries (5.3)
	{name: "an entry with no extension in its extensions", list: entryRaw(integerOf(5), timeOf(revokedAt), seq()), parse: CodeExtension},
	{name: "a reason twice", list: oneEntry(reason(1), reason(1)), parse: CodeDuplicateExt},
	{name: "reason 7", list: oneEntry(reason(7)), parse: CodeReason},
	{name: "reason 11", list: oneEntry(reason(11)), parse: CodeReason},
	{name: "a negative reason", list: oneEntry(reason(0xff)), parse: CodeReason},
	{name: "a reason of two octets", list: oneEntry(ext(pkix.OIDReasonCode, false, octets("\x0a\x02\x00\x01"))), parse: CodeReason},
	{name: "a reason that is an INTEGER", list: oneEntry(ext(pkix.OIDReasonCode, false, integerOf(1))), parse: CodeExtension},
	{name: "octets after the reason", list: oneEntry(ext(pkix.OIDReasonCode, false, octets("\x0a\x01\x01\x00"))), parse: CodeExtension},
	{name: "a critical reason", list: oneEntry(ext(pkix.OIDReasonCode, true, octets("\x0a\x01\x01")))},
	{name: "critical FALSE written out", list: oneEntry(seq(der.Wrap(der.OID, []byte(pkix.OIDReasonCode)), octets("\x01\x01\x00"), octets("\x04\x03\x0a\x01\x01"))), parse: CodeExtension},
	{name: "critical 01 for TRUE", list: oneEntry(seq(der.Wrap(der.OID, []byte(pkix.OIDReasonCode)), octets("\x01\x01\x01"), octets("\x04\x03\x0a\x01\x01"))), parse: CodeExtension},
	{name: "removeFromCRL in a complete list", list: oneEntry(reason(pkix.RemoveFromCRL)), parse: CodeReason},
	{name: "an unknown critical extension of an entry", list: oneEntry(ext(badOID, true, octets("x"))), parse: CodeCritical},
	{name: "an invalidity date as UTCTime", list: oneEntry(ext(pkix.OIDInvalidityDate, false, timeOf(revokedAt))), parse: CodeExtension},
	{name: "a certificate issuer in a list that isn't indirect", list: oneEntry(certIssuer("TEST other")), parse: CodeCertIssuer},
	{
		name: "a certificate issuer in an indirect list", list: draft{entries: oneEntry(certIssuer("TEST other")).entries, exts: [][]byte{idp(fullName, octets("\x84\x01\xff"))}},
		load: CodeForm,
	},
	{
		name: "a certificate issuer that isn't critical", parse: CodeCertIssuer,
		list: draft{
			entries: oneEntry(ext(pkix.OIDCertificateIssuer, false, seq(der.Wrap(der.Constructed(4), name("TEST other"))))).entries,
			exts:    [][]byte{idp(fullName, octets("\x84\x01\xff"))},
		},
	},
	{
		name: "a certificate issuer without a distinguished name", parse: CodeCertIssuer,
		list: draft{
			entries: oneEntry(ext(pkix.OIDCertificateIssuer, true, seq(octets("\x82\x01a")))).entries,
			exts:    [][]byte{idp(fullName, octets("\x84\x01\xff"))},
		},
	},

	// extensions of the list (5.2)
	{name: "no extensions", list: draft{allExts: []byte{}}, parse: CodeNumber},
	{name: "extensions without an extension", list: withExts(), parse: CodeExtension},
	{name: "no number", list: withExts(ext(pkix.OIDAuthorityKeyID, false, seq(octets("\x80\x01k")))), parse: CodeNumber},
	{name: "a number twice", list: withExts(crlNumber, crlNumber), parse: CodeDuplicateExt},
	{name: "a negative number", list: withExts(ext(pkix.OIDCRLNumber, false, integerOf(-3))), parse: CodeNumber},
	{name: "a number of 20 octets", list: withExts(ext(pkix.OIDCRLNumber, false, integerOfBig(new(big.Int).Lsh(big.NewInt(1), 158))))},
	{name: "a number of 21 octets", list: withExts(ext(pkix.OIDCRLNumber, false, integerOfBig(new(big.Int).Lsh(big.NewInt(1), 160)))), parse: CodeNumber},
	{name: "a number in BER", list: withExts(ext(pkix.OIDCRLNumber, false, octets("\x02\x02\x00\x07"))), parse: CodeExtension},
	{name: "octets after the number", list: withExts(ext(pkix.OIDCRLNumber, false, integerOf(7), octets("\x05\x00"))), parse: CodeExtension},
	{name: "an unknown critical extension of the list", list: draft{exts: [][]byte{ext(badOID, true, octets("x"))}}, parse: CodeCritical},
	{name: "extensions twice", list: draft{after: der.Wrap(der.Constructed(0), seq(crlNumber))}, parse: CodeTrailing},
	{name: "octets after the extensions of the list", list: draft{after: der.Wrap(der.Null)}, parse: CodeTrailing},
	{name: "octets within the tag of the extensions", list: draft{allExts: der.Wrap(der.Constructed(0), seq(crlNumber), der.Wrap(der.Null))}, parse: CodeTrailing},
	{name: "a key identifier with an issuer and no serial", list: withExts(crlNumber, ext(pkix.OIDAuthorityKeyID, false, seq(der.Wrap(der.Constructed(1), octets("\x82\x01a"))))), parse: CodeExtension},
	{name: "a partition", list: draft{exts: [][]byte{idp(fullName)}}},
	{name: "a partition by a relative name", list: draft{exts: [][]byte{idp(der.Wrap(der.Constructed(0), der.Wrap(der.Constructed(1), name("p")[4:])))}}},
	{name: "an empty distribution point", list: draft{exts: [][]byte{idp()}}, parse: CodeScope},
	{name: "a distribution point that isn't critical", list: draft{exts: [][]byte{ext(pkix.OIDIssuingDistPoint, false, seq(fullName))}}, parse: CodeExtension},
	{name: "users and authorities only", list: draft{exts: [][]byte{idp(octets("\x81\x01\xff"), octets("\x82\x01\xff"))}}, parse: CodeScope},
	{name: "users only", list: draft{exts: [][]byte{idp(octets("\x81\x01\xff"))}}},
	{name: "users only, FALSE written out", list: draft{exts: [][]byte{idp(octets("\x81\x01\x00"))}}, parse: CodeExtension},
	{name: "some reasons", list: draft{exts: [][]byte{idp(octets("\x83\x02\x06\x40"))}}},
	{name: "some reasons, and none", list: draft{exts: [][]byte{idp(octets("\x83\x01\x00"))}}, parse: CodeScope},
	{name: "some reasons with zero bits at the end", list: draft{exts: [][]byte{idp(octets("\x83\x02\x00\x40"))}}, parse: CodeExtension},
	{name: "a field of the distribution point out of order", list: draft{exts: [][]byte{idp(octets("\x84\x01\xff"), octets("\x81\x01\xff"))}}, parse: CodeExtension},
	{name: "a delta", list: draft{exts: [][]byte{delta}}, load: CodeForm},
	{name: "a delta that removes", list: draft{entries: oneEntry(reason(pkix.RemoveFromCRL)).entries, exts: [][]byte{delta}}, load: CodeReason},
	{name: "a delta whose indicator isn't critical", list: draft{exts: [][]byte{ext(pkix.OIDDeltaCRLIndicator, false, integerOf(3))}}, parse: CodeExtension},
	{name: "a delta above itself", list: draft{exts: [][]byte{ext(pkix.OIDDeltaCRLIndicator, true, integerOf(8))}}, parse: CodeNumber},
	{name: "a delta without a number", list: withExts(delta), parse: CodeNumber},
	{name: "a delta that names where its delta is", list: draft{exts: [][]byte{delta, ext(pkix.OIDFreshestCRL, false, points)}}, parse: CodeExtension},
	{name: "where the delta is", list: draft{exts: [][]byte{ext(pkix.OIDFreshestCRL, false, points)}}},
	{name: "where the delta is, critical", list: draft{exts: [][]byte{ext(pkix.OIDFreshestCRL, true, points)}}, parse: CodeExtension},
}

func TestRules(t *testing.T) {
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			list := r.list.make()
			l, err := Parse(list, Rules{}, Limits{})
			if err == nil {
				err = l.CheckSignature(r.list.signer().pub, anySignature)
			}
			if got := CodeOf(err); got != r.parse || err != nil && got == "" {
				t.Errorf("Parse: code %q, want %q (%v)", got, r.parse, err)
			}
			if r.load == "" {
				r.load = r.parse
			}
			lists := [][]byte{list}
			if r.list.entries != nil {
				// The reader of the usual form looks at entries that others follow.
				for i := range 4 {
					r.list.entries = append(r.list.entries, entry(integerOf(int64(70+i)), revokedAt, reason(1)))
				}
				lists = append(lists, r.list.make())
			}
			for _, list := range lists {
				for _, bits := range []int{0, 16, 20} {
					_, err = Load{Key: r.list.signer().pub, Policy: anySignature, Bits: bits}.Read(bytes.NewReader(list))
					if got := CodeOf(err); got != r.load || err != nil && got == "" {
						t.Errorf("Load with %d bits: code %q, want %q (%v)", bits, got, r.load, err)
					}
				}
			}
		})
	}
}

// The outside of a list: what follows it, what it is cut to, the algorithm that stands twice.
func TestFrame(t *testing.T) {
	good := oneEntry().make()
	tbs := oneEntry().tbs()
	s := rsaSigner()
	signature := good[len(good)-256:]
	bits := der.Wrap(der.BitString, []byte{0}, signature)
	for _, c := range []struct {
		name string
		list []byte
		want Code
	}{
		{"good", good, ""},
		{"an octet follows", append(bytes.Clone(good), 0), CodeTrailing},
		{"the list follows", append(bytes.Clone(good), good...), CodeTrailing},
		{"the last octet is missing", good[:len(good)-1], CodeTruncated},
		{"nothing", nil, CodeTruncated},
		{"one octet", good[:1], CodeTruncated},
		{"a length of 4 GB", octets("\x30\x84\xff\xff\xff\xff"), CodeLimit},
		{"a length of 2^63", octets("\x30\x88\x7f\xff\xff\xff\xff\xff\xff\xff"), CodeEncoding},
		{"an indefinite length", append(octets("\x30\x80"), good[4:]...), CodeEncoding},
		{"a length that isn't the shortest", append(octets("\x30\x83\x00"), good[2:]...), CodeEncoding},
		{"a SET", append(octets("\x31"), good[1:]...), CodeEncoding},
		{"something after the signature", seq(tbs, s.alg, bits, der.Wrap(der.Null)), CodeTrailing},
		{"another algorithm outside", seq(tbs, seq(der.Wrap(der.OID, []byte(pkix.OIDSHA512WithRSA)), der.Wrap(der.Null)), bits), CodeAlgorithm},
		{"the algorithm outside without NULL", seq(tbs, seq(der.Wrap(der.OID, []byte(pkix.OIDSHA256WithRSA))), bits), CodeAlgorithm},
		{"a signature with unused bits", seq(tbs, s.alg, der.Wrap(der.BitString, []byte{1}, signature[:255], []byte{0})), CodeEncoding},
		{"no signature", seq(tbs, s.alg), CodeTruncated},
		{"a signature of 1 MB", seq(tbs, s.alg, der.Wrap(der.BitString, make([]byte, 1<<20))), CodeLimit},
		{"PEM", octets("-----BEGIN X509 CRL-----\n"), CodeEncoding},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := Parse(c.list, Rules{}, Limits{SmallOnly: 8 << 20}); CodeOf(err) != c.want || err != nil && c.want == "" {
				t.Errorf("Parse: %v, want %q", err, c.want)
			}
			l := Load{Key: s.pub, Policy: anySignature, Bits: 16}
			if _, err := l.Read(bytes.NewReader(c.list)); CodeOf(err) != c.want || err != nil && c.want == "" {
				t.Errorf("Read: %v, want %q", err, c.want)
			}
			if _, err := l.Octets(c.list); CodeOf(err) != c.want || err != nil && c.want == "" {
				t.Errorf("Octets: %v, want %q", err, c.want)
			}
		})
	}
}

// Profiles may allow what the strictest rules refuse.
func TestRulesOfProfiles(t *testing.T) {
	v1 := draft{version: []byte{}, allExts: []byte{}}
	v1Reason := draft{version: []byte{}, allExts: []byte{}, entries: oneEntry(reason(1)).entries}
	for _, c := range []struct {
		name  string
		list  draft
		rules Rules
		want  Code
	}{
		{"a negative serial", entryRaw(integerOf(-1), timeOf(revokedAt)), Rules{AnySerial: true}, ""},
		{"a serial of zero", entryRaw(integerOf(0), timeOf(revokedAt)), Rules{AnySerial: true}, ""},
		{"a serial of 21 octets", entryRaw(integerOfBig(new(big.Int).Lsh(big.NewInt(1), 160)), timeOf(revokedAt)), Rules{AnySerial: true}, CodeSerial},
		{"version 1", v1, Rules{Version1: true}, ""},
		{"version 1", v1, Rules{}, CodeVersion},
		{"version 1 with extensions of an entry", v1Reason, Rules{Version1: true}, CodeVersion},
		{"version 1 with extensions", draft{version: []byte{}}, Rules{Version1: true}, CodeVersion},
		{"no number", draft{allExts: []byte{}}, Rules{Unnumbered: true}, ""},
		{"a delta without a number", withExts(delta), Rules{Unnumbered: true}, CodeNumber},
	} {
		_, err := Parse(c.list.make(), c.rules, Limits{})
		if CodeOf(err) != c.want || err != nil && c.want == "" {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
		_, err = Load{Key: rsaSigner().pub, Policy: anySignature, Bits: 16, Rules: c.rules}.Octets(c.list.make())
		want := c.want
		if strings.HasPrefix(c.name, "a serial of zero") || strings.HasPrefix(c.name, "a negative") {
			want = CodeSerial // never in a set
		}
		if CodeOf(err) != want || err != nil && want == "" {
			t.Errorf("%s, loaded: %v, want %q", c.name, err, want)
		}
	}
}

// More of anything than the limits allow ends in CodeLimit, not in memory.
func TestLimits(t *testing.T) {
	var many [][]byte
	for i := range 100 {
		many = append(many, entry(integerOf(int64(i+1)), revokedAt))
	}
	manyExts := make([][]byte, 65)
	for i := range manyExts {
		manyExts[i] = ext(pkix.OID([]byte{0x2a, 3, byte(i)}), false, octets("x"))
	}
	million := bytes.Repeat(ext(badOID, false), 1_000_000)
	for _, c := range []struct {
		name   string
		list   []byte
		limits Limits
		want   Code
	}{
		{"entries", draft{entries: many}.make(), Limits{Entries: 99}, CodeLimit},
		{"entries, just enough", draft{entries: many}.make(), Limits{Entries: 100}, ""},
		{"octets", draft{entries: many}.make(), Limits{Octets: 1000}, CodeLimit},
		{"octets of an entry", oneEntry(ext(badOID, false, make([]byte, 5000))).make(), Limits{}, CodeLimit},
		{"octets of extensions", draft{exts: [][]byte{ext(badOID, false, make([]byte, 70000))}}.make(), Limits{}, CodeLimit},
		{"extensions", draft{exts: manyExts}.make(), Limits{}, CodeExtension},
		{"a million extensions", draft{allExts: der.Wrap(der.Constructed(0), seq(million))}.make(), Limits{}, CodeLimit},
		{"a million extensions of an entry", entryRaw(integerOf(1), timeOf(revokedAt), seq(million)).make(), Limits{}, CodeLimit},
		{"nesting", draft{issuer: nested(20)}.make(), Limits{}, CodeEncoding},
		{"outside of the bitmap", draft{entries: many}.make(), Limits{Overflow: 99}, CodeLimit},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Load{Key: rsaSigner().pub, Policy: anySignature, Limits: c.limits}.Read(bytes.NewReader(c.list))
			if CodeOf(err) != c.want || err != nil && c.want == "" {
				t.Errorf("Read: %v, want %q", err, c.want)
			}
			if c.limits.Overflow != 0 {
				return
			}
			c.limits.SmallOnly = 64 << 20
			if _, err := Parse(c.list, Rules{}, c.limits); CodeOf(err) != c.want || err != nil && c.want == "" {
				t.Errorf("Parse: %v, want %q", err, c.want)
			}
		})
	}
}

func nested(levels int) []byte {
	b := seq()
	for range levels {
		b = seq(b)
	}
	return b
}
