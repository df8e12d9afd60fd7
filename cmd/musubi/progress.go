package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// meter shows how far long work is: a bar with rate and time left on a terminal, a line every few seconds elsewhere.
type meter struct {
	w        io.Writer
	title    string
	terminal bool
	now      func() time.Time

	pool    *mpb.Progress
	bar     *mpb.Bar
	note    string
	began   time.Time
	first   int64
	printed time.Time
	told    mark // what the last line told
}

// mark is where the work stands, without its pace.
type mark struct {
	done, total int64
	note        string
}

// lineEvery is how often a line is printed where there is no terminal.
const lineEvery = 3 * time.Second

func newMeter(w *os.File, title string, now func() time.Time) *meter {
	info, err := w.Stat()
	return &meter{w: w, title: title, now: now, terminal: err == nil && info.Mode()&os.ModeCharDevice != 0}
}

// set tells that done of total is done. note is shown behind it, e.g. why it waits.
func (m *meter) set(done, total int64, note string) {
	if total == 0 {
		return // nothing to do is no progress
	}
	if m.began.IsZero() {
		m.began, m.first = m.now(), done
	}
	m.note = note
	if !m.terminal {
		if m.now().Sub(m.printed) >= lineEvery || (done == total && m.told != mark{done, total, note}) {
			m.printed, m.told = m.now(), mark{done, total, note}
			say(m.w, "%s", m.line(done, total))
		}
		return
	}
	if m.bar == nil {
		m.pool = mpb.New(mpb.WithOutput(m.w), mpb.WithRefreshRate(120*time.Millisecond))
		m.bar = m.pool.New(0, mpb.BarStyle(),
			mpb.PrependDecorators(decor.Name(m.title, decor.WCSyncSpaceR), decor.CountersNoUnit("%d/%d", decor.WCSyncWidth)),
			mpb.AppendDecorators(decor.Percentage(decor.WC{W: 5}), decor.Any(func(decor.Statistics) string { return "  " + m.pace(m.bar.Current(), total) })),
		)
	}
	m.bar.SetTotal(total, false)
	m.bar.SetCurrent(done)
}

func (m *meter) line(done, total int64) string {
	return fmt.Sprintf("%s: %s / %s  %s", m.title, group(int(done)), group(int(total)), m.pace(done, total))
}

// pace gives rate and time left.
func (m *meter) pace(done, total int64) string {
	text := ""
	if spent := m.now().Sub(m.began).Seconds(); spent > 0.2 && done > m.first {
		rate := float64(done-m.first) / spent
		text = fmt.Sprintf("%.0f/s", rate)
		if done < total {
			text += fmt.Sprintf("  残り / left %s", (time.Duration(float64(total-done)/rate) * time.Second).Round(time.Second))
		}
	}
	if m.note != "" {
		text += "  " + m.note
	}
	return text
}

// end leaves the last state on the screen.
func (m *meter) end() {
	if m.bar == nil {
		return
	}
	if m.bar.Current() > 0 {
		m.bar.SetTotal(m.bar.Current(), true)
	} else {
		m.bar.Abort(false)
	}
	m.pool.Wait()
	m.bar = nil
}
