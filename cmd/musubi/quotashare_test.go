package main

import (
	"testing"
	"time"

	"github.com/musubi-hub/musubi/connectors"
	"github.com/musubi-hub/musubi/sync/quota"
)

func TestSharesOf(t *testing.T) {
	const span = 2 * time.Second
	usage := []quota.Usage{
		{Class: "slack.scim.user.write", Rate: 3, Burst: 20, Tokens: 1}, // 6 refilled, 1 before: 6 taken
		{Class: "slack.scim.group.write", Rate: 3, Burst: 80, Tokens: 79},
		{Class: "jira.post", Rate: 100, Burst: 100, Tokens: 60},      // 200 refilled, 10 before: 150 taken
		{Class: "atlassian.scim", Rate: 50, Burst: 100, Tokens: 100}, // full
	}
	had := map[connectors.Class]float64{"slack.scim.user.write": 1, "slack.scim.group.write": 75, "jira.post": 10, "atlassian.scim": 100}
	if got, want := sharesOf(usage, had, span), "枠 / quota jira 75 %, slack 100 %"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := sharesOf(usage[3:], had, span); got != "" {
		t.Errorf("an idle hub shows %q", got)
	}
}
