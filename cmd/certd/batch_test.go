package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/identity/cert/testpki"
)

// asCommand makes the test binary behave as certd, so that tests run it as a process.
const asCommand = "MUSUBI_TEST_AS_CERTD"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// certd runs the command as a process.
func certd(t *testing.T, stdin []byte, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, args...)
	cmd.Env = append(os.Environ(), asCommand+"=1")
	cmd.Stdin = bytes.NewReader(stdin)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		if cmd.ProcessState == nil {
			t.Fatal(err)
		}
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

var now = time.Date(2026, 11, 30, 3, 0, 0, 0, time.UTC)

// sample is one valid card with its list, as a line.
func sample(t testing.TB) map[string]any {
	t.Helper()
	pki, err := testpki.New(testpki.Seeded("certd"), testpki.Options{Now: now, Kind: testpki.P256, Generations: 1})
	if err != nil {
		t.Fatal(err)
	}
	ca := pki.Auth[0]
	card, err := ca.Issue(testpki.Holder{Kind: testpki.P256}, now)
	if err != nil {
		t.Fatal(err)
	}
	l := ca.List(1, now)
	l.Partition = ca.Partition(testpki.Municipalities[0])
	return map[string]any{
		"id": "card", "time": "2026-11-30T03:00:00Z", "profile": "jpki-auth-test", "anchors": []string{pemOf("CERTIFICATE", ca.Raw)},
		"leaf": pemOf("CERTIFICATE", card.Raw), "crls": []string{pemOf("X509 CRL", l.Der(ca.Key))},
	}
}

func pemOf(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// with is a line changed in some members; nil drops one.
func with(t testing.TB, line map[string]any, changes ...any) []byte {
	t.Helper()
	out := make(map[string]any)
	for k, v := range line {
		out[k] = v
	}
	for i := 0; i < len(changes); i += 2 {
		key := changes[i].(string)
		if out[key] = changes[i+1]; changes[i+1] == nil {
			delete(out, key)
		}
	}
	b, err := json.Marshal(out)
	if err != nil {
		t.Fatal(err)
	}
	return append(b, '\n')
}

type verdict struct {
	ID       any
	Valid    bool
	Code     string
	Reason   string
	Evidence json.RawMessage
}

func verdicts(t *testing.T, out string) []verdict {
	t.Helper()
	var all []verdict
	for line := range strings.Lines(out) {
		var v verdict
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatalf("%v: %.200s", err, line)
		}
		all = append(all, v)
	}
	return all
}

// TestBatchNeverStops: each line that isn't empty gets one verdict, in order, whatever stands in it.
func TestBatchNeverStops(t *testing.T) {
	good := sample(t)
	der, _ := pem.Decode([]byte(good["leaf"].(string)))
	list, _ := pem.Decode([]byte(good["crls"].([]string)[0]))
	cases := []struct {
		line []byte
		code string
		say  string // must stand in the reason
	}{
		{with(t, good), "ok", "有効"},
		{[]byte("{\n"), "bad-input", "line 2"},
		{[]byte("\n"), "", ""},
		{[]byte("null\n"), "bad-input", "time"},
		{[]byte("[1]\n"), "bad-input", "JSON"},
		{[]byte("\xff\xfe\n"), "bad-input", "JSON"},
		{with(t, good, "time", "2026-11-30"), "bad-input", "RFC 3339"},
		{with(t, good, "time", nil), "bad-input", "time"},
		{with(t, good, "time", "2026-11-30T12:00:00+09:00"), "ok", ""},
		{with(t, good, "profile", "strict"), "bad-input", "jpki-auth, "},
		{with(t, good, "profile", "jpki-auth"), "wrong-tree", ""},
		{with(t, good, "profile", "generic"), "ok", ""},
		{with(t, good, "profile", nil), "ok", ""},
		{with(t, good, "anchors", []string{"x"}), "bad-input", "anchors[0]"},
		{with(t, good, "anchors", []string{pemOf("CERTIFICATE", []byte{0x30, 0})}), "bad-input", "anchor 1"},
		{with(t, good, "anchors", []string{}), "no-path", ""},
		{with(t, good, "anchors", "one"), "bad-input", "JSON"},
		{with(t, good, "leaf", nil), "bad-input", "leaf"},
		{with(t, good, "leaf", good["leaf"].(string)+good["leaf"].(string)), "bad-input", "2 PEM blocks"},
		{with(t, good, "leaf", pemOf("PRIVATE KEY", der.Bytes)), "bad-input", "PRIVATE KEY"},
		{with(t, good, "leaf", pemOf("CERTIFICATE", der.Bytes[:40])), "certificate-malformed", ""},
		{with(t, good, "leaf", base64.StdEncoding.EncodeToString(der.Bytes)), "ok", ""},
		{with(t, good, "intermediates", []string{"-----BEGIN CERTIFICATE-----\n"}), "bad-input", "intermediates[0]"},
		{with(t, good, "crls", []string{base64.StdEncoding.EncodeToString(list.Bytes)}), "ok", ""},
		{with(t, good, "crls", []string{"%%%"}), "bad-input", "crls[0]"},
		{with(t, good, "crls", []string{base64.StdEncoding.EncodeToString(list.Bytes[1:])}), "revocation-refused", ""},
		{with(t, good, "crls", nil), "revocation-unknown", ""},
		{with(t, good, "crls", nil, "revocation", "if-present"), "ok", ""},
		{with(t, good, "crls", nil, "revocation", "none"), "ok", ""},
		{with(t, good, "crls", nil, "revocation", "maybe"), "bad-input", "require"},
		{with(t, good, "ocsp", []string{"AAAA"}), "ok", ""}, // the list settles it
		{with(t, good, "ocsp", []string{""}), "bad-input", "ocsp[0]"},
		{with(t, good, "policies", []string{"1.2.3"}), "policy", ""},
		{with(t, good, "policies", []string{"one"}), "bad-input", "policies"},
		{with(t, good, "ku", []string{"digitalSignature"}), "ok", ""},
		{with(t, good, "ku", []string{"nonRepudiation"}), "key-usage", ""},
		{with(t, good, "ku", []string{"login"}), "bad-input", "ku"},
		{with(t, good, "eku", []string{"serverAuth"}), "ok", ""}, // a certificate without the extension is for any purpose
		{with(t, good, "eku", []string{"x"}), "bad-input", "eku"},
		{with(t, good, "dns_name", "www.example.jp"), "host-name", ""},
		{with(t, good, "id", 7.0, "expected", "ok"), "ok", ""},
		{with(t, good, "id", nil), "ok", ""},
		{bytes.TrimSpace(with(t, good)), "ok", ""}, // the last line needs no end
	}
	var in bytes.Buffer
	for _, c := range cases {
		in.Write(c.line)
	}
	out, errs, code := certd(t, in.Bytes(), "verify", "--batch")
	if code != exitPartial || !strings.Contains(errs, "couldn't be read") {
		t.Errorf("exit code %d: %s", code, errs)
	}
	if !strings.Contains(errs, `unknown field "expected"; ignored`) {
		t.Errorf("a member that isn't known goes unsaid: %s", errs)
	}
	got := verdicts(t, out)
	for _, c := range cases {
		if c.code == "" {
			continue
		}
		if len(got) == 0 {
			t.Fatal("a verdict is missing")
		}
		v := got[0]
		got = got[1:]
		if v.Code != c.code || v.Valid != (c.code == "ok") || !strings.Contains(v.Reason, c.say) || (string(v.Evidence) == "null") != (c.code == "bad-input") {
			t.Errorf("%.80s...: %t %s %s, want %s with %q", c.line, v.Valid, v.Code, v.Reason, c.code, c.say)
		}
	}
	if len(got) != 0 {
		t.Errorf("%d verdicts too many", len(got))
	}
}

func TestLineTooLong(t *testing.T) {
	good := with(t, sample(t))
	in := slices.Concat([]byte(`{"id":"`), bytes.Repeat([]byte("a"), maxLine), []byte("\"}\n"), good)
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"verify", "--batch"}, bytes.NewReader(in), &out, &errs); code != exitPartial {
		t.Errorf("exit code %d: %s", code, errs.String())
	}
	got := verdicts(t, out.String())
	if len(got) != 2 || got[0].Code != "bad-input" || got[1].Code != "ok" {
		t.Errorf("%v", got)
	}
}

// TestRecheckOfStoredVerdicts: what verify stored comes out the same from the archive, and not if anything was changed.
func TestRecheckOfStoredVerdicts(t *testing.T) {
	dir := t.TempDir()
	lists := filepath.Join(dir, "lists")
	good := sample(t)
	broken := pemOf("X509 CRL", []byte{0x30, 0})
	in := slices.Concat(with(t, good), with(t, good, "id", "unknown", "crls", []string{broken}), with(t, good, "id", "none", "crls", nil), []byte("{\n"))
	stored, _, code := certd(t, in, "verify", "--batch", "--archive", lists)
	if code != exitPartial {
		t.Fatalf("exit code %d", code)
	}
	out, errs, code := certd(t, []byte(stored), "recheck", "--archive", lists)
	if code != exitOK || strings.Count(out, `"same":true`) != 4 {
		t.Fatalf("exit code %d: %s%s", code, out, errs)
	}
	for what, changed := range map[string]string{
		"the verdict":       strings.Replace(stored, `"valid":true,"code":"ok"`, `"valid":false,"code":"revoked"`, 1),
		"the reason":        strings.Replace(stored, "有効です", "無効です", 1),
		"the time":          strings.Replace(stored, `"time":"2026-11-30T03:00:00Z"`, `"time":"2026-11-30T03:00:01Z"`, 1),
		"a space":           strings.Replace(stored, `"evidence":{`, `"evidence":{ `, 1),
		"a member too many": strings.Replace(stored, `{"id":"card",`, `{"id":"card","note":1,`, 1),
		"half a line":       stored[:len(stored)/8],
	} {
		if changed == stored {
			t.Fatalf("%s: nothing was changed", what)
		}
		out, _, code := certd(t, []byte(changed), "recheck", "--archive", lists)
		if code != exitRefused || !strings.Contains(out, `"same":false`) {
			t.Errorf("%s was changed: exit code %d: %s", what, code, out)
		}
	}
	files, err := filepath.Glob(filepath.Join(lists, "*.crl"))
	if err != nil || len(files) != 2 {
		t.Fatalf("%d lists in the archive: %v", len(files), err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		b[len(b)-1]++
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, _, code = certd(t, []byte(stored), "recheck", "--archive", lists)
	if code != exitRefused || strings.Count(out, `"same":false`) != 2 || !strings.Contains(out, "another SHA-256 than its name") {
		t.Errorf("an octet of the lists changed: exit code %d: %s", code, out)
	}
	if out, _, code = certd(t, []byte(stored), "recheck", "--archive", filepath.Join(dir, "nothing")); code != exitRefused {
		t.Errorf("without an archive: exit code %d: %s", code, out)
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{
		{"verify"},
		{"verify", "--batch", "a", "b"},
		{"verify", "--batch", "/does/not/exist"},
		{"recheck"},
		{"recheck", "--archive", "x", "/does/not/exist"},
		{"nothing"},
		{"--nothing"},
		{"verify", "--batch", "--profiles", "/does/not/exist"},
	} {
		if _, errs, code := certd(t, nil, args...); code != exitUsage || errs == "" {
			t.Errorf("certd %v: exit code %d: %q", args, code, errs)
		}
	}
	for _, args := range [][]string{{}, {"--help"}, {"verify", "--help"}, {"recheck", "--help"}, {"profiles", "--help"}} {
		if out, _, code := certd(t, nil, args...); code != exitOK || !strings.Contains(out, "certd") {
			t.Errorf("certd %v: exit code %d: %q", args, code, out)
		}
	}
}

// TestProfilesAreConfiguration: what profiles prints is what verify reads, and a change in it counts.
func TestProfilesAreConfiguration(t *testing.T) {
	file := filepath.Join(t.TempDir(), "profiles.json")
	out, _, code := certd(t, nil, "profiles")
	if code != exitOK {
		t.Fatalf("exit code %d", code)
	}
	good := with(t, sample(t))
	for change, want := range map[string]string{
		"":                          "ok",
		"1.2.392.200149.8.5.1.0.30": "policy", // its policy is another's now
	} {
		text := out
		if change != "" {
			text = strings.ReplaceAll(strings.ReplaceAll(out, change, "1.2.3.4"), "1.2.392.200149.8.5.1.3.30", "1.2.3.5")
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		stdout, errs, code := certd(t, good, "verify", "--batch", "--profiles", file)
		if got := verdicts(t, stdout); code != exitOK || len(got) != 1 || got[0].Code != want {
			t.Errorf("%q: exit code %d: %s%v", change, code, errs, got)
		}
	}
	for what, text := range map[string]string{
		"a member that isn't known": strings.Replace(out, `"name"`, `"nom"`, 1), "another version": strings.Replace(out, `"schema_version": 1`, `"schema_version": 2`, 1),
		"a wrong value": strings.Replace(out, `"rsa_min_bits": 2048`, `"rsa_min_bits": 512`, 1), "no JSON": "x",
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, errs, code := certd(t, nil, "verify", "--batch", "--profiles", file); code != exitUsage || errs == "" {
			t.Errorf("%s: exit code %d: %s", what, code, errs)
		}
	}
}

// TestPKITSThroughTheProcess runs one of PKITS's vectors through the command as a process, from a file.
func TestPKITSThroughTheProcess(t *testing.T) {
	vectors := pkits(t)
	file := filepath.Join(t.TempDir(), "in.jsonl")
	var in bytes.Buffer
	for _, v := range vectors {
		in.Write(append(pkitsLine(t, v), '\n'))
	}
	if err := os.WriteFile(file, in.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	lists := t.TempDir()
	out, errs, code := certd(t, nil, "verify", "--batch", "--archive", lists, file)
	if code != exitOK {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	valid := 0
	scan := bufio.NewScanner(strings.NewReader(out))
	scan.Buffer(nil, maxLine)
	for scan.Scan() {
		if bytes.Contains(scan.Bytes(), []byte(`"valid":true,"code":"ok"`)) {
			valid++
		}
	}
	if want := 114 - len(deviations); valid != want {
		t.Errorf("%d valid, want %d", valid, want)
	}
	out, errs, code = certd(t, []byte(out), "recheck", "--archive", lists)
	if code != exitOK || strings.Count(out, `"same":true`) != 249 {
		t.Errorf("recheck: exit code %d: %s", code, errs)
	}
}

func FuzzBatch(f *testing.F) {
	good := sample(f)
	f.Add(with(f, good))
	f.Add(with(f, good, "ocsp", []string{"MAMKAQE="}, "policies", []string{"2.5.29.32.0"}))
	f.Add([]byte("{\"id\":1}\n\n[]\nnull"))
	profiles, err := loadProfiles("")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		var out, errs bytes.Buffer
		b := &batch{profiles: profiles, warn: &errs}
		n, err := b.do(t.Context(), bytes.NewReader(in), &out)
		if err != nil {
			t.Fatal(err)
		}
		lines := 0
		for line := range bytes.Lines(in) {
			if len(bytes.TrimSpace(line)) > 0 {
				lines++
			}
		}
		if got := bytes.Count(out.Bytes(), []byte("\n")); got != lines || n.valid+n.invalid+n.bad != lines {
			t.Fatalf("%d verdicts for %d lines", got, lines)
		}
	})
}
