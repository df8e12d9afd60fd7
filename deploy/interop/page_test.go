//go:build interop

package interop_test

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/musubi-hub/musubi/connectors"
)

// pageReport is what screenshot.mjs finds on a page.
type pageReport struct {
	Title, Language string
	Violations      []struct {
		ID, Impact, Help string
		Nodes            []string
	}
	Foreign, Complaints []string
}

// needChromium skips the test where no browser is installed; in CI it fails instead.
func needChromium(t *testing.T) {
	t.Helper()
	places := []string{os.Getenv("CHROMIUM"), "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"}
	if slices.ContainsFunc(places, func(place string) bool { _, err := os.Stat(place); return err == nil }) {
		return
	}
	if os.Getenv("CI") != "" {
		t.Fatal("Chromium is not installed: bash deploy/ci/setup.sh installs it")
	}
	t.Skip("Chromium is not installed: bash deploy/ci/setup.sh installs it, or set CHROMIUM to its path")
}

func checkPage(t *testing.T, url string) {
	t.Helper()
	var report pageReport
	code := runScript(t, nil, &report, "screenshot.mjs", url, filepath.Join(t.TempDir(), "page.png"))
	for _, v := range report.Violations {
		t.Errorf("%s: %s (%s): %s at %q", url, v.ID, v.Impact, v.Help, v.Nodes)
	}
	for _, origin := range report.Foreign {
		t.Errorf("%s asks %s for something: nothing may be fetched from elsewhere", url, origin)
	}
	for _, complaint := range report.Complaints {
		t.Errorf("%s: the browser complains: %s", url, complaint)
	}
	if report.Language != "ja" || report.Title == "" {
		t.Errorf("%s: language %q, title %q: want Japanese pages with a title", url, report.Language, report.Title)
	}
	if (code != 0) != t.Failed() {
		t.Errorf("%s: screenshot.mjs ended with %d", url, code)
	}
}

// The sandbox's pages in a real browser: accessible, complete in themselves, within their own Content-Security-Policy.
func TestSandboxPagesInChromium(t *testing.T) {
	needChromium(t)
	server := startSandbox(t)
	connector := connectJira(t, server)
	if _, err := connector.CreateGroup(t.Context(), connectors.Group{Name: "011002 札幌市"}); err != nil {
		t.Fatal(err)
	}
	if _, err := connector.CreateAccount(t.Context(), connectors.Account{
		Email: "staff000@c011002.example.lg.jp", DisplayName: "見本 太郎", Active: true,
	}); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/", "/atlassian/", "/jira/"} {
		t.Run(path, func(t *testing.T) { checkPage(t, server.URL+path) })
	}
}

func TestSlackPagesInChromium(t *testing.T) {
	needChromium(t)
	box, address, ids := startSlack(t, 2)
	state, err := box.State("slack")
	if err != nil {
		t.Fatal(err)
	}
	general := state.Channels[0].ID
	first, err := box.Workspace().Say(general, ids[0], "開設しました", "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := box.Workspace().Say(general, ids[1], "了解 &lt;至急&gt;", first); err != nil {
		t.Fatal(err)
	}
	body := strings.NewReader(`{"channel":"` + general + `","text":"確認","blocks":[{"type":"actions","elements":[{"type":"button","action_id":"ack","text":{"type":"plain_text","text":"確認した"}}]}]}`)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address+"/slack/api/chat.postMessage", body)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+slackToken)
	request.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	for _, path := range []string{"/slack/", "/slack/guests", "/slack/channels", "/slack/channels/" + general, "/slack/groups"} {
		t.Run(path, func(t *testing.T) { checkPage(t, address+path) })
	}
}

// A page with faults must be reported, else a green run proves nothing.
func TestPageCheckFindsFaults(t *testing.T) {
	needChromium(t)
	const page = `data:text/html,<html><title>x</title><body><p style="color:%23ddd">pale</p><img src="http://127.0.0.1:1/a.png"></body></html>`
	var report pageReport
	if code := runScript(t, nil, &report, "screenshot.mjs", page); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	found := map[string]bool{}
	for _, v := range report.Violations {
		found[v.ID] = true
	}
	for _, id := range []string{"color-contrast", "image-alt", "html-has-lang"} {
		if !found[id] {
			t.Errorf("axe-core missed %s in %+v", id, report.Violations)
		}
	}
	if len(report.Foreign) != 1 {
		t.Errorf("foreign requests %q, want the one image", report.Foreign)
	}
}
