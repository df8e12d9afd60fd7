//go:build interop

package console

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/logout"
)

// The pages of who has logged in, in a real browser: accessible (axe-core, WCAG 2.2 AA), complete in themselves, within their own
// Content-Security-Policy. MUSUBI_SCREENSHOTS names a folder that keeps their pictures.
func TestLoginPagesInChromium(t *testing.T) {
	places := []string{os.Getenv("CHROMIUM"), "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"}
	if !slices.ContainsFunc(places, func(place string) bool { _, err := os.Stat(place); return err == nil }) {
		if os.Getenv("CI") != "" {
			t.Fatal("Chromium is not installed: bash deploy/ci/setup.sh installs it")
		}
		t.Skip("Chromium is not installed: bash deploy/ci/setup.sh installs it, or set CHROMIUM to its path")
	}
	l := loginSQLite(t)
	staff := "/people/" + string(l.people.sapporoStaff.ID)
	l.link(l.people.sapporoStaff)
	l.link(l.people.aomoriStaff)
	record := l.plan(l.people.planner)
	trip := l.trip(sapporo, 400, l.people.planner)
	l.logouts = []logout.Receipt{
		{ID: "a", RelyingParty: "jira", Network: policies.NetworkLGWAN, Session: "5f0c1d2e3a4b5c6d7e8f901234567890", State: logout.Failed, Tries: 12, Status: 503, Why: "given_up", CreatedAt: l.clock.now().UnixMicro()},
		{ID: "c", Protocol: logout.SAML, RelyingParty: "confluence", Network: policies.NetworkLGWAN, Session: "7f0c1d2e3a4b5c6d7e8f901234567890", State: logout.Untold, Why: "no_browser", CreatedAt: l.clock.now().UnixMicro(), Until: l.clock.now().Add(12 * time.Hour).UnixMicro()},
		{ID: "b", RelyingParty: "slack", Network: policies.NetworkInternet, Session: "6f0c1d2e3a4b5c6d7e8f901234567890", State: logout.Pending, Tries: 1, Why: "unreachable", CreatedAt: l.clock.now().UnixMicro()},
	}
	worker, town, admin := l.login(l.people.sapporoStaff), l.login(l.people.sapporoAdmin), l.login(l.people.planner)
	shown := map[string]answer{
		"overview-general": worker.get("/"),
		"overview-town":    town.get("/"),
		"overview-system":  admin.get("/"),
		"people":           town.get("/orgs/" + string(sapporo)),
		"person":           town.get(staff),
		"act":              town.get(staff + "/card"),
		"refused":          worker.get("/breakers"),
		"logouts":          admin.get("/logouts"),
		"plan-maker":       admin.get("/plans/" + record.Hash),
	}
	for _, act := range []string{"password", "invitation"} {
		on := "/people/" + string(l.people.aomoriAdmin.ID) + "/" + act
		shown["done-"+act] = admin.post(on, with(formIn(t, admin.get(on), on), "why", because))
	}
	number := firstMatch(shown["refused"].body, `class="incident">([^<]*)<`)
	shown["records"] = admin.get("/records?number=" + number)
	shown["records-person"] = admin.get("/records?number=" + string(l.people.aomoriAdmin.ID))
	approver := l.login(l.people.approver)
	l.later(approver)
	shown["plan-old-proof"] = approver.get("/plans/" + record.Hash)
	shown["breaker-old-proof"] = approver.get("/breakers/" + trip.ID)
	path := "/plans/" + record.Hash + "/approve"
	shown["prove"] = approver.post(path, map[string][]string{"seen": {planSeen(record)}, "token": {l.console.tokenOf(approver.request(), path, planSeen(record))}})

	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a, ok := shown[strings.TrimPrefix(r.URL.Path, "/shown/")]
		if !ok {
			l.handler.ServeHTTP(w, r)
			return
		}
		for name, values := range a.header {
			w.Header()[name] = values
		}
		w.Header().Del("Strict-Transport-Security") // of the stand-in's plain HTTP
		_, _ = w.Write([]byte(a.body))
	}))
	defer server.Close()
	folder := os.Getenv("MUSUBI_SCREENSHOTS")
	if folder == "" {
		folder = t.TempDir()
	}
	names := slices.Sorted(maps.Keys(shown))
	arguments := []string{"pages.mjs", folder}
	for _, name := range names {
		if !strings.Contains(shown[name].body, "<h1>") {
			t.Fatalf("%s: %d: no page", name, shown[name].status)
		}
		arguments = append(arguments, server.URL+"/shown/"+name)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, "node", arguments...)
	command.Dir = filepath.Join("..", "..", "..", "deploy", "interop")
	command.Stderr = os.Stderr
	out, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := json.NewDecoder(bytes.NewReader(out))
	for _, name := range names {
		var report struct {
			Title, Language, URL string
			Violations           []struct {
				ID, Impact, Help string
				Nodes            []string
			}
			Foreign, Complaints []string
		}
		if err := lines.Decode(&report); err != nil {
			t.Fatal(err)
		}
		for _, v := range report.Violations {
			t.Errorf("%s: %s (%s): %s at %q", name, v.ID, v.Impact, v.Help, v.Nodes)
		}
		if len(report.Foreign) > 0 || len(report.Complaints) > 0 || report.Language != "ja" || report.Title == "" || !strings.HasSuffix(report.URL, "/"+name) {
			t.Errorf("%s: %+v", name, report)
		}
	}
}
