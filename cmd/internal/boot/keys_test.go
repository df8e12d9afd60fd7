package boot

import (
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musubi-hub/musubi/cmd/internal/config"
	"github.com/musubi-hub/musubi/cmd/internal/tracing"
)

// TestKeyWarnings: administrators hear of a certificate's end at 90, 30 and 7 days and when it is there, each once, whatever else happens.
func TestKeyWarnings(t *testing.T) {
	tracer, err := tracing.Open(t.Context(), config.Trace{}, "test", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	h, err := OpenHub(t.Context(), Options{
		Data: t.TempDir(), Config: config.Config{Database: "sqlite:" + filepath.Join(t.TempDir(), "musubi.db")}, Work: true,
		Now: func() time.Time { return now }, Log: slog.New(slog.DiscardHandler), Tracer: tracer,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	told := func() (out map[string]int) {
		t.Helper()
		rows, err := h.DB.Reader().QueryContext(t.Context(), `SELECT args FROM river_job WHERE kind = 'directory.notice.v1'`)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		out = map[string]int{}
		for rows.Next() {
			var args string
			if err := rows.Scan(&args); err != nil {
				t.Fatal(err)
			}
			for _, days := range []string{"90", "30", "7", "0"} {
				if strings.Contains(args, `"about":"key.ends"`) && strings.Contains(args, `"detail":"`+days+`"`) {
					out[days]++
				}
			}
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		return out
	}
	end := now.Add(3 * 365 * 24 * time.Hour)
	for _, c := range []struct {
		before time.Duration
		want   map[string]int
	}{
		{91 * 24 * time.Hour, map[string]int{}},
		{90*24*time.Hour - time.Second, map[string]int{"90": 2}}, // the key that signs, and the next one: they were made together
		{31 * 24 * time.Hour, map[string]int{"90": 2}},
		{29 * 24 * time.Hour, map[string]int{"90": 2, "30": 2}},
		{6 * 24 * time.Hour, map[string]int{"90": 2, "30": 2, "7": 2}},
		{-24 * time.Hour, map[string]int{"90": 2, "30": 2, "7": 2, "0": 2}},
	} {
		now = end.Add(-c.before)
		for range 2 {
			if err := h.warnKeys(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(c.want, told()); diff != "" {
			t.Errorf("%s before the end (-want +got):\n%s", c.before, diff)
		}
	}
}
