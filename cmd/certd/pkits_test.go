package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"go/build"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// pkitsLists is where Debian's python3-cryptography-vectors keeps the lists of PKITS; deploy/ci/setup.sh installs it.
const pkitsLists = "/usr/lib/python3/dist-packages/cryptography_vectors/x509/PKITS_data/crls"

// pkitsTime lies within the validity of what PKITS means to be valid (2010 to 2030).
const pkitsTime = "2026-04-01T00:00:00Z"

// deviations are the vectors that come out differently from what PKITS expects, by choice.
var deviations = map[string]string{
	"4.1.4 Valid DSA Signatures Test4":            "DSA isn't accepted: NIST withdrew it for signing (FIPS 186-5), no authority in scope uses it",
	"4.1.5 Valid DSA Parameter Inheritance Test5": "DSA isn't accepted, and inherited parameters make a key depend on its path",
}

type pkitsVector struct {
	Name                        string
	CertPath, CRLPath           []string
	ShouldValidate              bool
	InitialPolicySet            []string
	InitialPolicyMappingInhibit bool
	InitialExplicitPolicy       bool
	InitialAnyPolicyInhibit     bool
}

// pkitsPolicies are the names of PKITS for its object identifiers.
func pkitsPolicies(t *testing.T, names []string) []string {
	t.Helper()
	var out []string
	for _, n := range names {
		digits, ok := strings.CutPrefix(n, "NIST-test-policy-")
		switch {
		case n == "anyPolicy":
			out = append(out, "2.5.29.32.0")
		case ok:
			out = append(out, "2.16.840.1.101.3.2.1.48."+digits)
		default:
			t.Fatalf("unknown policy %q", n)
		}
	}
	return out
}

func pkits(t *testing.T) []pkitsVector {
	t.Helper()
	dir := filepath.Join(build.Default.GOROOT, "src/crypto/x509/testdata/nist-pkits")
	b, err := os.ReadFile(filepath.Join(dir, "vectors.json"))
	if err != nil {
		t.Fatalf("Go's own test data is missing: %v", err)
	}
	if _, err := os.Stat(pkitsLists); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("%v (run deploy/ci/setup.sh)", err)
		}
		t.Skipf("the lists of PKITS are missing: %v (run deploy/ci/setup.sh)", err)
	}
	var vectors []pkitsVector
	if err := json.Unmarshal(b, &vectors); err != nil {
		t.Fatal(err)
	}
	if len(vectors) != 249 {
		t.Fatalf("%d vectors, 249 are meant", len(vectors))
	}
	return vectors
}

func pkitsLine(t *testing.T, v pkitsVector) []byte {
	t.Helper()
	certificate := func(name string) string {
		b, err := os.ReadFile(filepath.Join(build.Default.GOROOT, "src/crypto/x509/testdata/nist-pkits/certs", name))
		if err != nil {
			t.Fatal(err)
		}
		return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: b}))
	}
	var intermediates, lists []string
	for _, c := range v.CertPath[1 : len(v.CertPath)-1] {
		intermediates = append(intermediates, certificate(c))
	}
	for _, c := range v.CRLPath {
		b, err := os.ReadFile(filepath.Join(pkitsLists, c))
		if err != nil {
			t.Fatal(err)
		}
		lists = append(lists, base64.StdEncoding.EncodeToString(b))
	}
	line, err := json.Marshal(map[string]any{
		"id": v.Name, "time": pkitsTime, "profile": "generic", "anchors": []string{certificate(v.CertPath[0])}, "intermediates": intermediates,
		"leaf": certificate(v.CertPath[len(v.CertPath)-1]), "crls": lists, "policies": pkitsPolicies(t, v.InitialPolicySet),
		"require_explicit_policy": v.InitialExplicitPolicy, "inhibit_policy_mapping": v.InitialPolicyMappingInhibit,
		"inhibit_any_policy": v.InitialAnyPolicyInhibit, "revocation": "require",
	})
	if err != nil {
		t.Fatal(err)
	}
	return line
}

func TestPKITSThroughBatch(t *testing.T) {
	vectors := pkits(t)
	var in, out, errs bytes.Buffer
	for _, v := range vectors {
		in.Write(pkitsLine(t, v))
		in.WriteByte('\n')
	}
	if code := run(t.Context(), []string{"verify", "--batch"}, &in, &out, &errs); code != exitOK {
		t.Fatalf("exit code %d: %s", code, errs.String())
	}
	lines := bufio.NewScanner(&out)
	lines.Buffer(nil, maxLine)
	deviating := 0
	for _, v := range vectors {
		if !lines.Scan() {
			t.Fatal("a verdict is missing")
		}
		var got struct {
			ID, Code, Reason string
			Valid            bool
		}
		if err := json.Unmarshal(lines.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		if got.ID != v.Name {
			t.Fatalf("verdict of %q where %q is due", got.ID, v.Name)
		}
		want := v.ShouldValidate
		if deviations[v.Name] != "" {
			deviating++
			want = !want
		}
		if got.Valid != want || got.Valid != (got.Code == "ok") {
			t.Errorf("%s: valid %t, want %t: %s: %s", v.Name, got.Valid, want, got.Code, got.Reason)
		} else if testing.Verbose() {
			t.Logf("%s: %t %s %s", v.Name, got.Valid, got.Code, got.Reason)
		}
	}
	if deviating != len(deviations) {
		t.Errorf("%d of %d deviations are vectors", deviating, len(deviations))
	}
}
