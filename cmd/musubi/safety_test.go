package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/breaker"
	"github.com/musubi-hub/musubi/sync/provision"
)

// An apply that watches beside a hub goes on by itself once that hub is dead.
func TestApplyOutlivesTheHub(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, i *install) {
		const many = 30
		c := i.vendor(t)
		i.begin(t)
		i.fill(t, many, few...)
		hash := i.approved(t)
		hub, _ := i.hub(t)
		i.must(t, "apply", hash, "--detach", "--as", i.planner())
		beside := i.start(t, "apply", hash, "--as", i.planner())
		hub.until(t, "accounts", func() bool { n, err := c.seats(); return err == nil && n >= 10 })
		hub.kill()
		if r := beside.wait(t); r.code != 0 {
			t.Fatalf("%v", r)
		}
		want := len(few)*many + ministries*many + len(few) - ministries // one each, and those of Slack
		if n, err := c.seats(); err != nil || n != want {
			t.Errorf("%d accounts, want %d: %v", n, want, err)
		}
	})
}

// A hub that serves plans by itself: a small change of the directory is applied by standing approval, and a file that ends half of a town is
// held by a breaker until another administrator releases it.
func TestLiveAndBreakers(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, i *install) {
		const many = 30
		i.plansItself = true
		c := i.vendor(t)
		i.begin(t)
		i.fill(t, many, few...)
		i.must(t, "apply", i.approved(t), "--as", i.planner())
		hub, _ := i.hub(t)

		town := few[3]
		email := "new-clerk@c" + string(town) + ".example.lg.jp"
		file := filepath.Join(i.data, "one.csv")
		write(t, file, []byte(peopleColumns+fmt.Sprintf("%s,N00001,新任,職員,,,%s,general\n", town, email)))
		i.must(t, "import", "people", file, "--as", i.planner())
		hub.until(t, "the new clerk's account", func() bool {
			for _, p := range []policies.Product{policies.ProductJira, policies.ProductAtlassian} {
				if active(t, c, p, email) {
					return true
				}
			}
			return false
		})
		if out := i.must(t, "approvals", "--as", i.approver()); !strings.Contains(out, "standing approval") {
			t.Errorf("approvals don't show the standing one:\n%s", out)
		}

		// The town sends a file with two thirds of its people missing.
		_, people := sampleFiles(t, many, town)
		lines := strings.SplitAfter(string(people), "\n")
		write(t, file, []byte(strings.Join(lines[:1+many/3], "")))
		before := activeSeats(t, c)
		i.must(t, "import", "people", file, "--complete", "--confirm", fmt.Sprintf("%s=%d", town, many-many/3+1), "--as", i.planner())
		var list breakersDocument
		hub.until(t, "a tripped breaker", func() bool {
			i.document(t, 0, "musubi.breakers.v1", &list, "breakers", "list", "--as", i.approver())
			return len(list.Breakers) > 0
		})
		trip := list.Breakers[0]
		if trip.Cause.Kind != breaker.CauseImport || !strings.Contains(trip.Cause.Ref, "one.csv") || trip.Cause.Actor == "" {
			t.Errorf("the breaker doesn't name the file: %+v", trip.Cause)
		}
		time.Sleep(3 * time.Second) // long enough for what isn't held
		// The file's people are ended in several transactions; what comes before the one that trips stays below the town's limit of ten.
		if now := activeSeats(t, c); now < before-10 {
			t.Errorf("%d accounts, %d before the file", now, before)
		}
		if out := i.must(t, "notices", "--as", i.planner()); !strings.Contains(out, trip.ID) {
			t.Errorf("nobody is told:\n%s", out)
		}
		if out := i.must(t, "breakers", "show", trip.ID, "--as", i.approver()); !strings.Contains(out, "one.csv") || !strings.Contains(out, "musubi breakers release") {
			t.Errorf("breakers show:\n%s", out)
		}
		if r := i.musubi(t, "breakers", "release", trip.ID, "--why", "mine", "--as", i.planner()); r.code != 3 {
			t.Errorf("who imported the file releases it: %v", r)
		}
		if r := i.musubi(t, "breakers", "release", trip.ID, "--as", i.approver()); r.code != 2 {
			t.Errorf("without a reason: %v", r)
		}
		i.must(t, "breakers", "release", trip.ID, "--why", "人事課に確認済み", "--as", i.approver())
		hub.until(t, "the people of the file gone", func() bool { return activeSeats(t, c) == before-(many-many/3+1) })
		if out := i.must(t, "audit", "find", "--action", "breaker.release", "--as", i.approver()); !strings.Contains(out, trip.ID) {
			t.Errorf("the release isn't in the audit log:\n%s", out)
		}
		var q quarantineDocument
		i.document(t, 0, "musubi.quarantine.v1", &q, "quarantine", "list", "--as", i.approver())
		if len(q.Objects) != 0 {
			t.Errorf("in quarantine: %+v", q.Objects)
		}
		if out := i.must(t, "quarantine", "list", "--state", string(provision.QuarantineIgnored), "--as", i.approver()); !strings.Contains(out, "Nothing is in quarantine") {
			t.Errorf("an empty quarantine says:\n%s", out)
		}
	})
}

// activeSeats counts the accounts that let somebody in.
func activeSeats(t *testing.T, c *control) (n int) {
	t.Helper()
	for _, p := range policies.Products() {
		for _, a := range c.state(t, p).Accounts {
			if a.Active {
				n++
			}
		}
	}
	return n
}
