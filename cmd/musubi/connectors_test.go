package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/musubi-hub/musubi/connectors"
)

// configured writes a configuration with its secrets and gives the installation.
func configured(t *testing.T, text string) *install {
	t.Helper()
	i := &install{data: t.TempDir()}
	for _, name := range []string{"a.token", "j.token", "s.token", "s.signing", "id.key"} {
		if err := os.WriteFile(i.path(name), []byte("a-secret-of-some-length\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(i.data, "musubi.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return i
}

const fourProducts = `
atlassian: {directory_id: d-1, token_file: a.token, data_region: JP, ismap: registered, lgwan: relay, token_expires: 2020-01-01}
jira: {base_url: "https://example.atlassian.net", email: hub@example.go.jp, token_file: j.token, data_region: US, ismap: not registered}
slack: {token_file: s.token, signing_secret_file: s.signing, data_region: JP, ismap: not registered}
mail: {host: relay.example.go.jp, from: musubi@hub.example.go.jp, id_key_file: id.key, data_region: jp, ismap: registered, lgwan: direct}
`

func listConnectors(t *testing.T, i *install) map[string]connectorDocument {
	t.Helper()
	r := i.musubi(t, "connectors", "list", "--json")
	if r.code != 0 {
		t.Fatal(r)
	}
	var doc struct {
		Schema     string
		Connectors []connectorDocument
	}
	if err := json.Unmarshal([]byte(r.out), &doc); err != nil || doc.Schema != "musubi.connectors/1" {
		t.Fatalf("%v: %s", err, r.out)
	}
	out := map[string]connectorDocument{}
	for _, c := range doc.Connectors {
		out[c.Name] = c
	}
	return out
}

func TestConnectorsList(t *testing.T) {
	t.Parallel()
	got := listConnectors(t, configured(t, fourProducts))
	if a := got["atlassian"]; a.State != connectorUsed || a.ISMAP != "registered" || a.Token == nil || a.Token.Phase != "ended" || *a.Token.Days >= 0 || len(a.Functions) != 0 {
		t.Errorf("%+v", a)
	}
	if j := got["jira"]; j.State != connectorUsed || j.Token == nil || j.Token.Phase != "unknown" || len(j.Functions) != 2 || j.Functions[0].Number != "9" {
		t.Errorf("%+v", j)
	}
	s := got["slack"]
	if s.State != connectorUsed || s.Token == nil || s.Token.Phase != "lasting" || s.Token.Days != nil || len(s.Functions) != 1 || s.Functions[0].Place != 1 {
		t.Errorf("%+v", s)
	}
	for name, want := range map[string]bool{"Sender": true, "Channels": true, "EventReader": true, "Accounts": false, "WorkItems": false} {
		if !slices.ContainsFunc(s.Capabilities, func(c connectors.Ability) bool { return c.Name == name && c.Present == want && (c.Why == "") == want }) {
			t.Errorf("slack: %s isn't %v: %+v", name, want, s.Capabilities)
		}
	}
	m := got["mail"]
	if m.State != connectorUsed || m.Token != nil || len(m.Functions) != 1 || m.Functions[0].Number != "10" || m.Functions[0].Place != 3 {
		t.Errorf("%+v", m)
	}
	for name, want := range map[string]bool{"Sender": true, "Accounts": false, "SentFinder": false} {
		if !slices.ContainsFunc(m.Capabilities, func(c connectors.Ability) bool { return c.Name == name && c.Present == want && (c.Why == "") == want }) {
			t.Errorf("mail: %s isn't %v: %+v", name, want, m.Capabilities)
		}
	}
	if !slices.ContainsFunc(got["jira"].Capabilities, func(c connectors.Ability) bool { return c.Name == "CustomerSCIM" && !c.Present && c.Why != "" }) {
		t.Error("JSM's customer SCIM isn't shown as absent")
	}
}

func TestRequiredOfProducts(t *testing.T) {
	t.Parallel()
	i := configured(t, fourProducts+"require: {ismap: yes, data_region: JP, lgwan: 'direct, relay'}\nfunctions: {10: mail}\n")
	got := listConnectors(t, i)
	if j := got["jira"]; j.State != connectorRefused || len(j.Unmet) != 3 || len(j.Capabilities) != 0 {
		t.Errorf("%+v", j)
	}
	if s := got["slack"]; s.State != connectorRefused || len(s.Unmet) != 2 || len(s.Capabilities) != 0 {
		t.Errorf("%+v", s)
	}
	if got["atlassian"].State != connectorUsed || got["mail"].State != connectorUsed || got["mail"].Functions[0].Place != 1 {
		t.Errorf("%+v", got)
	}
	r := i.musubi(t, "connectors", "list")
	for _, want := range []string{"jira: 条件を満たさないため不使用 / refused", "it must be on the ISMAP list and is not registered", "token ends: 2020-01-01 (ended)", "can: Sender"} {
		if !strings.Contains(r.out, want) {
			t.Errorf("%q isn't in\n%s", want, r)
		}
	}
	if !strings.Contains(r.err, "jira isn't used") || strings.Contains(r.out+r.err, "a-secret-of") {
		t.Errorf("%s", r)
	}
	if strings.Contains(r.out, "機能 10") || !strings.Contains(r.out, "No product carries function 9, inquiries") {
		t.Errorf("functions that nobody carries:\n%s", r.out)
	}
	nothing := listConnectors(t, configured(t, "listen: 127.0.0.1:0\n"))
	if len(nothing) != 4 || nothing["mail"].State != connectorAbsent {
		t.Errorf("%+v", nothing)
	}
}

// A fault in a file that the configuration names is told with the file, and nothing of it.
func TestTLSFilesOfProducts(t *testing.T) {
	t.Parallel()
	for name, more := range map[string]string{
		"no authority": "mail: {host: h, from: a@b.jp, id_key_file: id.key, ca_file: a.token}\n",
		"no file":      "mail: {host: h, from: a@b.jp, id_key_file: id.key, ca_file: absent.pem}\n",
		"no key":       "atlassian: {directory_id: d, token_file: a.token, client_cert_file: a.token, client_key_file: j.token}\n",
		"short id key": "mail: {host: h, from: a@b.jp, id_key_file: short.key}\n",
	} {
		i := configured(t, more)
		if err := os.WriteFile(i.path("short.key"), []byte("short-key-1\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		r := i.musubi(t, "connectors", "list")
		if r.code != 2 || strings.Contains(r.out+r.err, "a-secret-of") || strings.Contains(r.out+r.err, "short-key-1") {
			t.Errorf("%s: %s", name, r)
		}
	}
}
