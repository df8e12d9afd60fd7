package main

import (
	"testing"
	"time"

	"github.com/musubi-hub/musubi/connectors"
	"github.com/musubi-hub/musubi/sync/quota"
)

func TestSharesOf(t *testing.T) {
	const span = 2 * time.Second
	// A bucket holds less than the burst: what a lease may hold back is taken off.
	usage := []quota.Usage{
		{Class: "slack.scim.user.write", Rate: 3, Burst: 20, Capacity: 19, Tokens: 1},    // 6 refilled, 1 before: 6 taken
		{Class: "slack.scim.group.write", Rate: 3, Burst: 80, Capacity: 79, Tokens: 78},  // nearly full
		{Class: "jira.post", Rate: 100, Burst: 100, Capacity: 75, Tokens: 60},            // 200 refilled, 10 before: 150 taken
		{Class: "jira.get", Rate: 100, Burst: 100, Capacity: 75, Tokens: 40},             // full before: what it lost of the refill isn't known
		{Class: "atlassian.scim", Rate: 50, Burst: 100, Capacity: 87.5, Tokens: 87.5},    // full
		{Class: "atlassian.admin", Rate: 50, Burst: 100, Capacity: 87.5, Tokens: 87.499}, // a single request a moment ago
	}
	had := map[connectors.Class]float64{
		"slack.scim.user.write": 1, "slack.scim.group.write": 75, "jira.post": 10, "jira.get": 75, "atlassian.scim": 87.5, "atlassian.admin": 87.5,
	}
	if got, want := sharesOf(usage, had, span), "枠 / quota jira 75 %, slack 100 %"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := sharesOf(usage[4:], had, span); got != "" {
		t.Errorf("an idle hub shows %q", got)
	}
}
