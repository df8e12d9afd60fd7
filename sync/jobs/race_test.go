//go:build race

package jobs_test

import "time"

// simMinute is a minute of the simulated hour. Under the race detector SQLite is some twenty-five times slower, so there the
// hour has ten minutes.
const simMinute = 10 * time.Second
