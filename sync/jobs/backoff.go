package jobs

import (
	"time"

	"github.com/musubi-hub/musubi/connectors"
)

// Exponential gives a Backoff that waits base after the first failed attempt and doubles it up to limit, but never less than
// what the vendor asked for (Retry-After of a connectors.Error).
func Exponential(base, limit time.Duration) func(attempt int, err error) time.Duration {
	return func(attempt int, err error) time.Duration {
		d := base
		for i := 1; i < attempt && d < limit; i++ {
			d *= 2
		}
		return max(min(d, limit), connectors.RetryAfterOf(err))
	}
}

// spread adds up to a fifth to d, by the job's id, so that jobs which failed together don't come back together.
func spread(d time.Duration, id int64) time.Duration {
	const steps = 1024
	mixed := uint64(id) * 0x9E3779B97F4A7C15 >> 54 // #nosec G115 -- a hash; the top ten bits
	return d + d/5*time.Duration(mixed)/steps      // #nosec G115 -- below 1024
}
