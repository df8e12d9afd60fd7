package jobs

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// Periodic is a job for every slot of time. Slots begin at multiples of Every since 1970 UTC, shifted by Offset.
type Periodic struct {
	Every  time.Duration // at least 1 s
	Offset time.Duration // 0 <= Offset < Every
	// Args gives the slot's job. Its Key must tell slots apart: all nodes insert it and the key makes it one job.
	Args func(slot time.Time) Args
}

func (p Periodic) validate() error {
	if p.Every < time.Second || p.Offset < 0 || p.Offset >= p.Every || p.Args == nil {
		return fmt.Errorf("jobs: a periodic job every %s with offset %s: want at least 1s, a smaller offset, and arguments", p.Every, p.Offset)
	}
	return nil
}

func (p Periodic) slot(now time.Time) time.Time {
	since := now.UnixNano() - int64(p.Offset)
	return now.Add(-time.Duration(since % int64(p.Every))).UTC()
}

// periodicLook is the longest sleep between two looks at the clock, which may be set or run faster than real time.
const periodicLook = 30 * time.Second

// periodicLoop inserts each slot's job when the slot begins, and at start the job of the slot that runs if it isn't there yet.
// It keeps no state: the idempotency key does, over restarts and between nodes. Slots that passed while no node ran are not made
// up for.
func (c *Client) periodicLoop(ctx context.Context) {
	for {
		now := c.now()
		sleep := periodicLook
		if c.cfg.ScheduleEvery > 0 {
			sleep = c.cfg.ScheduleEvery
		}
		for _, p := range c.cfg.Periodic {
			slot := p.slot(now)
			err := c.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
				_, err := c.InsertTx(ctx, tx, Insert{Args: p.Args(slot)})
				return err
			})
			if err != nil && ctx.Err() == nil {
				c.log.ErrorContext(ctx, "insert a periodic job", "error", err)
				sleep = min(sleep, time.Second)
			}
			sleep = min(sleep, slot.Add(p.Every).Sub(now))
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(max(sleep, time.Millisecond)):
		}
	}
}
