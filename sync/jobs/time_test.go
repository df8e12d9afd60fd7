package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
	"github.com/musubi-hub/musubi/sync/jobs"
)

// minutely is a periodic job.
type minutely struct {
	Slot time.Time `json:"slot"`
}

func (minutely) Kind() string  { return "test.minutely.v1" }
func (m minutely) Key() string { return m.Slot.UTC().Format(time.RFC3339) }

// TestAnHourOfSimulatedTime runs River itself for 60 minutes of fake time: a job of a later date, one that snoozes, one that
// fails with growing pauses, and a periodic one.
func TestAnHourOfSimulatedTime(t *testing.T) {
	url := sqldbtest.SQLiteURL(t)
	synctest.Test(t, func(t *testing.T) {
		db := sqldbtest.Open(t, url)
		migrate(t, db)
		began := time.Now()
		var d diary
		since := func() time.Duration { return time.Since(began).Truncate(time.Second) }
		w := jobs.NewWorkers()
		jobs.Register(w, jobs.KindOptions{MaxAttempts: 4, Backoff: jobs.Exponential(simMinute, time.Hour)},
			func(_ context.Context, job jobs.Job[task]) error {
				d.add("%s %d at %s", job.Args.Name, job.Attempt, since())
				switch {
				case job.Args.Name == "snoozes" && since() < 45*simMinute:
					return jobs.Snooze(15 * simMinute)
				case job.Args.Name == "fails":
					return errors.New("not today")
				}
				return nil
			})
		jobs.Register(w, jobs.KindOptions{}, func(_ context.Context, job jobs.Job[minutely]) error {
			d.add("slot %s", job.Args.Slot.UTC().Format("15:04:05"))
			return nil
		})
		cfg := config(db, w)
		cfg.Now = time.Now
		cfg.Queues = map[string]jobs.Queue{jobs.DefaultQueue: {MaxWorkers: 8}}
		cfg.Periodic = []jobs.Periodic{{Every: simMinute, Offset: 7 * time.Second, Args: func(slot time.Time) jobs.Args { return minutely{slot} }}}
		c := run(t, cfg)
		insert(t, db, c,
			jobs.Insert{Args: task{Name: "later"}, At: began.Add(30 * simMinute)},
			jobs.Insert{Args: task{Name: "snoozes"}}, jobs.Insert{Args: task{Name: "fails"}})

		time.Sleep(60 * simMinute)
		lines := d.all()
		near := func(name string, attempt int, at, within time.Duration) {
			t.Helper()
			for s := at; s <= at+within; s += time.Second {
				if slices.Contains(lines, fmt.Sprintf("%s %d at %s", name, attempt, s)) {
					return
				}
			}
			t.Errorf("%s: no attempt %d within %s from %s on; the diary:\n%q", name, attempt, within, at, lines)
		}
		near("later", 1, 30*simMinute, 2*time.Second)
		for _, m := range []time.Duration{0, 15, 30, 45} {
			near("snoozes", 1, m*simMinute, 4*time.Second)
		}
		// The pauses of 1, 2 and 4 minutes are stretched by up to a fifth.
		near("fails", 1, 0, time.Second)
		near("fails", 2, simMinute, simMinute/5+2*time.Second)
		near("fails", 3, 3*simMinute, 3*simMinute/5+3*time.Second)
		near("fails", 4, 7*simMinute, 7*simMinute/5+4*time.Second)
		slots := 0
		for _, l := range lines {
			if len(l) > 4 && l[:4] == "slot" {
				slots++
			}
		}
		if slots != 61 { // the slot that ran at the start, and one a minute
			t.Errorf("%d slots in 60 minutes, want 61", slots)
		}
		if n := len(deadLetters(t, c)); n != 1 {
			t.Errorf("%d dead letters, want the one that failed four times", n)
		}
		stop(t, c)
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestScaledClock is the demonstration's clock: an hour passes in six seconds.
func TestScaledClock(t *testing.T) {
	db := sqldbtest.Open(t, sqldbtest.SQLiteURL(t))
	migrate(t, db)
	const scale = 600
	began := time.Now()
	now := func() time.Time { return began.Add(time.Since(began) * scale) }
	var d diary
	w := jobs.NewWorkers()
	jobs.Register(w, jobs.KindOptions{}, func(_ context.Context, job jobs.Job[task]) error {
		d.add("%s", job.Args.Name)
		if job.Args.Name == "snoozes" && d.count("snoozes") < 3 {
			return jobs.Snooze(3 * time.Minute)
		}
		return nil
	})
	cfg := config(db, w)
	cfg.Now, cfg.ScheduleEvery = now, 50*time.Millisecond
	c := run(t, cfg)
	insert(t, db, c, jobs.Insert{Args: task{Name: "in ten minutes"}, At: now().Add(10 * time.Minute)}, jobs.Insert{Args: task{Name: "snoozes"}})
	eventually(t, "both are done", func() bool { return d.count("in ten minutes") == 1 && d.count("snoozes") == 3 })
	if took := time.Since(began); took < time.Second || took > 4*time.Second {
		t.Errorf("ten minutes took %s of real time, want about one second", took)
	}
}
