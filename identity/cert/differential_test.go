package cert_test

import (
	"bytes"
	"crypto"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/musubi-hub/musubi/identity/cert"
	"github.com/musubi-hub/musubi/identity/cert/crl"
	"github.com/musubi-hub/musubi/identity/cert/testpki"
)

var opensslError = regexp.MustCompile(`^error (\d+) at (\d+) depth lookup: (.*)$`)

// openssl is what openssl says of each leaf: "" for valid, else its first error.
func (w *world) openssl(t *testing.T, dir string, intermediates [][]byte) []string {
	t.Helper()
	write := func(file, kind string, ders ...[]byte) string {
		var b bytes.Buffer
		for _, raw := range ders {
			_ = pem.Encode(&b, &pem.Block{Type: kind, Bytes: raw})
		}
		path := filepath.Join(dir, file)
		if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	args := append([]string{"verify", "-attime", fmt.Sprint(present.Unix()), "-CAfile", write("root.pem", "CERTIFICATE", w.anchors()...)}, w.args...)
	if len(intermediates) > 0 {
		args = append(args, "-untrusted", write("untrusted.pem", "CERTIFICATE", intermediates...))
	}
	if len(w.lists) > 0 {
		args = append(args, "-CRLfile", write("lists.pem", "X509 CRL", w.lists...))
	}
	paths := map[string]int{}
	for i, l := range w.leaves {
		path := write(fmt.Sprintf("leaf%d.pem", i), "CERTIFICATE", l.raw)
		paths[path] = i
		args = append(args, path)
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "openssl", args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	_ = cmd.Run() // not 0 as soon as one is refused
	out := make([]string, len(w.leaves))
	for i := range out {
		out[i] = "no word of it"
	}
	for line := range strings.Lines(stdout.String()) {
		if path, ok := strings.CutSuffix(strings.TrimSpace(line), ": OK"); ok {
			out[paths[path]] = ""
		}
	}
	var errs []string
	for line := range strings.Lines(stderr.String()) {
		line = strings.TrimSpace(line)
		if m := opensslError.FindStringSubmatch(line); m != nil {
			errs = append(errs, m[1]+" "+m[3]+" @"+m[2])
			continue
		}
		if path, ok := strings.CutSuffix(line, ": verification failed"); ok {
			if i, known := paths[strings.TrimPrefix(path, "error ")]; known {
				out[i] = strings.Join(errs, "; ")
			}
			errs = nil
		}
	}
	return out
}

// difference is one that is meant: what openssl takes and we don't, or the other way round, with the reason.
type difference struct {
	ours   bool           // we take it
	fault  *regexp.Regexp // one of the faults of leaf, CAs or lists
	theirs *regexp.Regexp // what openssl says, if it refuses
	code   cert.Code      // what we say, if we refuse
	why    string
}

var differences = []difference{
	{
		false, regexp.MustCompile("^" + longSerial), nil, cert.Malformed,
		"a serial of more than 20 octets is not RFC 5280 (4.1.2.2); openssl reads it",
	},
	{
		false, regexp.MustCompile("^list without nextUpdate"), nil, cert.RevocationBad,
		"a list without nextUpdate is not RFC 5280 (5.1.2.5) and would be fresh forever; openssl takes it",
	},
	{
		false, regexp.MustCompile("^list is a delta"), nil, cert.RevocationUnknown,
		"a delta without its base says nothing about what stands in the base (RFC 5280, 5.2.4); without -extended_crl openssl takes it for complete",
	},
	{
		true, regexp.MustCompile("^leaf's authority key identifier is another"), regexp.MustCompile(`^20 `), "",
		"key identifiers help to find an issuer and are no part of validation (RFC 5280, 4.2.1.1): the issuer's key verifies the leaf; openssl doesn't try it",
	},
	{
		true, regexp.MustCompile("^leaf expires now"), regexp.MustCompile(`\b10 certificate has expired`), "",
		"notAfter is inclusive (RFC 5280, 4.1.2.5); for openssl the certificate has expired in that second",
	},
	{
		true, regexp.MustCompile(`^(path length .|permits .*|excludes .*|CA with an unknown critical extension|requires an explicit policy|inhibits .*)@0$`),
		regexp.MustCompile(`\b(25 path length|34 unhandled|43 no explicit|47 permitted|48 excluded)`), "",
		"an anchor is a name and a key (RFC 5280, 6.1.1 d): what else its self-signed certificate says is no constraint; openssl treats it as one of the path",
	},
	{
		true, regexp.MustCompile("^a root of the same name"), regexp.MustCompile("^(7 certificate signature failure|3 unable to get certificate CRL) @0"), "",
		"generations of a CA share a name: where no key identifier tells them apart we try each key, openssl the first alone",
	},
	{
		true, regexp.MustCompile("^list of users only@0"), regexp.MustCompile("^44 different CRL scope"), "",
		"with -crl_check_all openssl also looks for the anchor's own status, which a list of users doesn't have; an anchor is removed, not revoked",
	},
}

// judge gives our verdict about each leaf. Lists are parsed once and remember whose signature they bear, as in a service.
func (w *world) judge(generic *cert.Profile, intermediates [][]byte) []cert.Verdict {
	in := cert.Input{Time: present, Intermediates: intermediates, Options: w.options}
	for _, raw := range w.lists {
		readListBy(&in, raw, crl.Rules{AnySerial: true, Version1: true, Unnumbered: true}) // as certd does for this profile
	}
	out := make([]cert.Verdict, len(w.leaves))
	anchors, err := cert.ParseAnchors(w.anchors())
	for i := range out {
		if err != nil {
			out[i] = cert.Verdict{Code: cert.Malformed}
			continue
		}
		in.Leaf = w.leaves[i].raw
		out[i] = generic.Verify(anchors, in)
	}
	return out
}

func TestDifferentialOpenssl(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("openssl is not installed (deploy/ci/setup.sh)")
		}
		t.Skip("openssl is not installed")
	}
	var keys []crypto.Signer
	random := testpki.Seeded("differential")
	for range 10 {
		keys = append(keys, must(testpki.NewKey(random, testpki.P256)))
	}
	dir, generic := t.TempDir(), profile(cert.Generic)
	valid, total := 0, 0
	known := map[*difference]int{}
	unknown := map[string][]string{}
	for seed := range uint64(differentialWorlds) {
		w := newWorld(seed, keys)
		intermediates := w.intermediates()
		theirs, ours := w.openssl(t, dir, intermediates), w.judge(generic, intermediates)
		for i, l := range w.leaves {
			total++
			v := ours[i]
			if v.Valid {
				valid++
			}
			if v.Valid == (theirs[i] == "") {
				continue
			}
			if d := explain(v, theirs[i], append(slices.Clone(w.faults), l.faults...)); d != nil {
				known[d]++
				continue
			}
			detail := ""
			if v.Evidence != nil {
				detail = v.Evidence.Detail()
			}
			key := fmt.Sprintf("ours %s (%s), openssl %q", v.Code, detail, theirs[i])
			unknown[key] = append(unknown[key], fmt.Sprintf("world %d leaf %d: CAs %v, leaf %v, %v", seed, i, w.faults, l.faults, w.args))
		}
	}
	t.Logf("%d chains, %d valid by us", total, valid)
	for i := range differences {
		d := &differences[i]
		t.Logf("%5d differ, as meant: %s", known[d], d.why)
		if known[d] == 0 {
			t.Errorf("no chain differs like this any more, remove it: %s", d.why)
		}
	}
	var all []string
	for k := range unknown {
		all = append(all, k)
	}
	sort.Slice(all, func(i, j int) bool { return len(unknown[all[i]]) > len(unknown[all[j]]) })
	for _, k := range all {
		t.Errorf("%d × %s, e.g. %s", len(unknown[k]), k, unknown[k][0])
	}
	if total < 10_000 || valid < total/10 || valid > total*9/10 {
		t.Errorf("%d of %d are valid: the test has lost its balance", valid, total)
	}
}

func explain(v cert.Verdict, theirs string, faults []string) *difference {
	for i := range differences {
		d := &differences[i]
		if d.ours == v.Valid && (d.code == "" || d.code == v.Code) && (d.theirs == nil || d.theirs.MatchString(theirs)) && slices.ContainsFunc(faults, d.fault.MatchString) {
			return d
		}
	}
	return nil
}
