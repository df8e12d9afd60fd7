//go:build !race

package jobs_test

import "time"

// simMinute is a minute of the simulated hour.
const simMinute = time.Minute
