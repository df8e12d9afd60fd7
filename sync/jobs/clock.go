package jobs

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/riverqueue/river/riverdriver"
)

// clock gives River our time. River's name for the hook says test; it is the only way to give it a clock at all.
type clock struct{ now func() time.Time }

func (c clock) NowUTC() time.Time { return c.now().UTC() }

func (c clock) NowUTCOrNil() *time.Time {
	t := c.NowUTC()
	return &t
}

// quiet lets only River's warnings and errors through: what happens to a job is logged by worker, once and without arguments.
type quiet struct{ slog.Handler }

func (q quiet) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && q.Handler.Enabled(ctx, level)
}

func (q quiet) WithAttrs(attrs []slog.Attr) slog.Handler { return quiet{q.Handler.WithAttrs(attrs)} }
func (q quiet) WithGroup(name string) slog.Handler       { return quiet{q.Handler.WithGroup(name)} }

// scheduleBatch is how many due jobs one transaction makes available.
const scheduleBatch = 1000

// scheduleLoop makes jobs available whose date has come on a clock that runs faster than River's rounds.
func (c *Client) scheduleLoop(ctx context.Context) {
	tick := time.NewTicker(c.cfg.ScheduleEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := c.schedule(ctx); err != nil && ctx.Err() == nil {
			c.log.ErrorContext(ctx, "jobs", "error", err)
		}
	}
}

// schedule makes due jobs available. River's leader does so too; without one, for example in the seconds after the leader's
// death, nothing waits.
func (c *Client) schedule(ctx context.Context) error {
	now := c.now().UTC()
	if _, err := c.driver.GetExecutor().JobSchedule(ctx, &riverdriver.JobScheduleParams{Max: scheduleBatch, Now: &now}); err != nil {
		return fmt.Errorf("make due jobs available: %w", err)
	}
	return nil
}
