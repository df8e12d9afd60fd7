package boot

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestExpiry(t *testing.T) {
	now := time.Date(2026, 11, 22, 16, 0, 0, 0, time.UTC) // the 23rd in Japan, one in the morning
	for _, c := range []struct {
		date  string
		days  int
		phase Phase
	}{
		{"", 0, PhaseUnknown},
		{"2026-11-22", -1, PhaseEnded},
		{"2026-11-23", 0, PhaseEnded},
		{"2026-11-24", 1, PhaseSoon},
		{"2026-12-23", 30, PhaseSoon},
		{"2026-12-24", 31, PhaseValid},
		{"2027-11-23", 365, PhaseValid},
		{"2027-11-25", 367, PhaseDoubt},
	} {
		if e := ExpiryOf(c.date, atlassianTokenLife, now); e.Days != c.days || e.Phase != c.phase || (e.Remark == "") != (c.phase == PhaseValid) {
			t.Errorf("%q: %+v, want %d days, %s", c.date, e, c.days, c.phase)
		}
	}
	for date, want := range map[string]Phase{"": PhaseLasting, "2026-11-23": PhaseEnded, "2026-12-01": PhaseSoon, "2030-01-01": PhaseValid} {
		if e := ExpiryOf(date, slackTokenLife, now); e.Phase != want || strings.Contains(e.Remark, "Atlassian") {
			t.Errorf("Slack %q: %+v, want %s", date, e, want)
		}
	}
}

// TestTokenWatchWarnsOnTheDays goes through the last 40 days hour by hour, with restarts.
func TestTokenWatchWarnsOnTheDays(t *testing.T) {
	end := time.Date(2027, 1, 15, 0, 0, 0, 0, jst)
	look := func(w *TokenWatch, log *bytes.Buffer, at time.Time) int {
		before := strings.Count(log.String(), "\n")
		w.Look([]Product{{Name: "jira", Credential: "/d/secrets/jira.token", Token: ExpiryOf("2027-01-15", atlassianTokenLife, at)}, {Name: "mail"}})
		return strings.Count(log.String(), "\n") - before
	}
	var log bytes.Buffer
	w := NewTokenWatch(slog.New(slog.NewTextHandler(&log, nil)))
	warned := map[int]int{}
	for at := end.AddDate(0, 0, -40); at.Before(end.AddDate(0, 0, 3)); at = at.Add(time.Hour) {
		if n := look(w, &log, at); n > 0 {
			warned[ExpiryOf("2027-01-15", atlassianTokenLife, at).Days] += n
		}
	}
	for _, day := range []int{30, 14, 7, 1, 0} {
		if warned[day] != 1 {
			t.Errorf("%d warnings %d days before", warned[day], day)
		}
	}
	if len(warned) != 5 || !strings.Contains(log.String(), "/d/secrets/jira.token") {
		t.Errorf("warned %v\n%s", warned, log.String())
	}
	again := NewTokenWatch(slog.New(slog.NewTextHandler(&log, nil)))
	if look(again, &log, end.AddDate(0, 0, -20)) != 1 || look(again, &log, end.AddDate(0, 0, -19)) != 0 || look(again, &log, end.AddDate(0, 0, -10)) != 1 {
		t.Error("a hub that starts within the last thirty days warns once, and again at the next mark")
	}
	if look(NewTokenWatch(slog.New(slog.DiscardHandler)), &bytes.Buffer{}, end) != 0 {
		t.Error("nothing is written where nobody reads")
	}
}
