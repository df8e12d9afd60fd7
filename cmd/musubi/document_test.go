package main

import (
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/provision"
)

// TestTemplate fills the printed templates in and imports them.
func TestTemplate(t *testing.T) {
	t.Parallel()
	i := &install{data: t.TempDir()}
	i.begin(t)
	for subject, values := range map[string]map[string]string{
		"orgs": {"code": "010006", "kind": "prefecture", "name": "北海道", "kana": "ほっかいどう"},
		"people": {
			"org": "8000012010038", "staff_number": "S1", "family_name": "神田", "given_name": "葵", "email": "aoi@digital.example.go.jp", "role": "general",
		},
	} {
		text := strings.TrimRight(i.must(t, "import", subject, "--template", "--locale", "en"), "\r\n")
		var row []string
		for column := range strings.SplitSeq(text, ",") {
			row = append(row, values[column])
			delete(values, column)
		}
		if len(values) > 0 || strings.Contains(text, "\n") {
			t.Fatalf("%q lacks %v", text, values)
		}
		path := filepath.Join(t.TempDir(), subject+".csv")
		write(t, path, []byte(text+"\n"+strings.Join(row, ",")+"\n"))
		if got := i.must(t, "import", subject, path, "--as", i.planner()); !strings.Contains(got, "追加 / added 1") {
			t.Errorf("%s", got)
		}
	}
}

// TestDocuments checks the documents of the commands that the flow doesn't ask for one.
func TestDocuments(t *testing.T) {
	t.Parallel()
	i := &install{data: t.TempDir()}
	var made struct {
		Credentials []string `json:"credentials"`
	}
	i.document(t, 0, "musubi.init.v1", &made, "init", "--agency", "8000012010038", "--name", "デジタル庁", "--email", "a@digital.example.go.jp", "--email", "b@digital.example.go.jp")
	if len(made.Credentials) != 2 || made.Credentials[0] != i.planner() || made.Credentials[1] != i.approver() {
		t.Errorf("%+v", made)
	}
	i.fill(t, 1, hokkaido)
	var issued struct {
		File   string            `json:"file"`
		Person policies.PersonID `json:"person"`
	}
	i.document(t, 0, "musubi.credential.v1", &issued, "credential", "--org", string(hokkaido), staff(1), "--out", i.path("town.cred"), "--as", i.planner())
	if issued.File != i.path("town.cred") || issued.Person == "" {
		t.Errorf("%+v", issued)
	}
	var opened struct {
		Address string `json:"address"`
	}
	i.document(t, 0, "musubi.open.v1", &opened, "open", "--listen", "127.0.0.1:8080", "--as", issued.File)
	if !strings.HasPrefix(opened.Address, "http://127.0.0.1:8080/") {
		t.Errorf("%+v", opened)
	}
	hash := i.approved(t)
	for _, flag := range []string{"--detach", "--stop"} {
		var doc applyDocument
		i.document(t, 0, "musubi.apply.v1", &doc, "apply", hash, flag, "--as", i.planner())
		want := map[string]provision.PlanState{"--detach": provision.PlanStaging, "--stop": provision.PlanCancelled}[flag]
		if doc.Progress.Plan.State != want {
			t.Errorf("%s: %+v", flag, doc.Progress)
		}
	}
	var refused importDocument
	wrong := i.path("wrong.csv")
	write(t, wrong, []byte(orgColumns+"011003,municipality,札幌市,,\n"))
	i.document(t, 3, "musubi.import.v1", &refused, "import", "orgs", wrong, "--as", i.planner())
	if refused.Published || refused.Refused != 1 || len(refused.Faults) != 1 || refused.Faults[0].Line != 2 || refused.Faults[0].Reason.JA == "" {
		t.Errorf("%+v", refused)
	}
	if r := i.musubi(t, "import", "orgs", wrong, "--json", "--as", i.planner()); strings.Contains(r.err, "musubi:") {
		t.Errorf("said twice: %v", r)
	}
}

// TestExitCodes checks the codes of errors that no command of these tests meets.
func TestExitCodes(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]int{
		errors.New("a bug"): boot.ExitFault, provision.ErrBusy: boot.ExitRefused, provision.ErrOtherPolicy: boot.ExitRefused,
		&json.SyntaxError{}: boot.ExitFault,
	} {
		if got := boot.ExitCode(err); got != want {
			t.Errorf("%v: %d, want %d", err, got, want)
		}
		if text := message(err); !strings.Contains(text, "。 / ") {
			t.Errorf("%q", text)
		}
	}
}
