package api_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/cmd/musubi/api"
	"github.com/musubi-hub/musubi/connectors/outbound"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/keys"
	"github.com/musubi-hub/musubi/identity/oidcop"
	"github.com/musubi-hub/musubi/identity/samlidp"
	"github.com/musubi-hub/musubi/identity/samlidp/sp"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/sqldbtest"
	"github.com/musubi-hub/musubi/sync/jobs"
	"github.com/musubi-hub/musubi/sync/provision"
	"github.com/musubi-hub/musubi/sync/upkeep"
)

// hub makes a handler over a migrated database, and the log that it writes.
func hub(t *testing.T, db *sqldb.DB, pages http.Handler) (http.Handler, *bytes.Buffer) {
	t.Helper()
	if err := db.Migrate(t.Context(), audit.Migration(db.Engine()), provision.Migration(), oidcop.Migration(), keys.Migration(), sp.Migration(), samlidp.Migration()); err != nil {
		t.Fatal(err)
	}
	if err := jobs.Migrate(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	workers := jobs.NewWorkers()
	provision.Declare(workers)
	client, err := jobs.NewInsertOnly(jobs.Config{DB: db, Workers: workers})
	if err != nil {
		t.Fatal(err)
	}
	log := &bytes.Buffer{}
	metrics := api.NewMetrics("v-test")
	metrics.Observe(outbound.Observation{Vendor: "jira", Class: "jira.post", Status: 201, Duration: time.Millisecond})
	h := api.Hub{DB: db, Jobs: client, Provision: provision.NewStore(db, time.Now), Metrics: metrics, Log: slog.New(slog.NewTextHandler(log, nil))}
	h.Upkeep = func() []upkeep.Status {
		return []upkeep.Status{{Name: "sessions", Why: "too old", Batches: 7, Faults: 2, LastAt: time.Unix(1_790_000_000, 0)}, {Name: "openid", Why: "expired"}}
	}
	h.Providers = func(context.Context) (sp.Summary, error) {
		return sp.Summary{Waits: 3, Failing: 1, Ending: map[int]int{90: 4, 30: 0, 7: 0, 0: 2}}, nil
	}
	h.Keys, h.Now = certified(t, db), time.Now
	return h.Handler(pages), log
}

// certified is a ring with SAML's keys and their certificates, made at a moment that is known.
func certified(t *testing.T, db *sqldb.DB) *keys.Ring {
	t.Helper()
	seal, err := keys.NewSealingKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Unix(1_790_000_000, 0)
	ring, err := keys.New(db, keys.Options{Sealing: seal, Specs: samlidp.Specs(), Now: func() time.Time { return at }, Random: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	if err := ring.Ensure(t.Context(), func(context.Context, *sql.Tx, string, keys.Key) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if err := samlidp.Certify(t.Context(), db, ring, rand.Reader, at); err != nil {
		t.Fatal(err)
	}
	return ring
}

func get(t *testing.T, h http.Handler, path string) *httptest.ResponseRecorder {
	t.Helper()
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
	return rec
}

func TestProbesAndMetrics(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		h, _ := hub(t, db, http.NotFoundHandler())
		for path, want := range map[string]string{
			"/healthz": `"status":"ok"`,
			"/readyz":  `"status":"ready"`,
		} {
			if rec := get(t, h, path); rec.Code != http.StatusOK || !strings.Contains(rec.Body.String(), want) {
				t.Errorf("%s: %d %s", path, rec.Code, rec.Body)
			}
		}
		body := get(t, h, "/metrics").Body.String()
		for _, want := range []string{
			`musubi_outbound_requests_total{class="jira.post",status="201",vendor="jira"} 1`, `musubi_build_info{version="v-test"} 1`,
			`musubi_seats_active{product="jira"} 0`, `musubi_leavers_pending{product="atlassian"} 0`,
			`musubi_saml_metadata{state="waits"} 3`, `musubi_saml_metadata{state="failing"} 1`, `musubi_saml_expiring{days="90"} 4`, `musubi_saml_expiring{days="0"} 2`,
			`musubi_logouts{state="failed"} 0`, `musubi_logouts{state="pending"} 0`, `musubi_upkeep_batches_total{sweep="sessions",why="too old"} 7`,
			`musubi_upkeep_faults_total{sweep="sessions"} 2`, `musubi_upkeep_last_timestamp_seconds{sweep="sessions"} 1.79e+09`, `musubi_upkeep_faults_total{sweep="openid"} 0`,
			`musubi_saml_certificate_end_timestamp_seconds{state="active"} 1.884608e+09`, `musubi_saml_certificate_end_timestamp_seconds{state="next"} 1.884608e+09`,
		} {
			if !strings.Contains(body, want) {
				t.Errorf("/metrics lacks %s", want)
			}
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if rec := get(t, h, "/readyz"); rec.Code != http.StatusServiceUnavailable {
			t.Errorf("/readyz without a database: %d", rec.Code)
		}
		if rec := get(t, h, "/healthz"); rec.Code != http.StatusOK {
			t.Errorf("/healthz without a database: %d; it tells about the process alone", rec.Code)
		}
	})
}

func TestEveryAnswerIsGuarded(t *testing.T) {
	pages := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/panic":
			panic("a secret in a panic's value reaches the log only")
		case "/big":
			if _, err := new(bytes.Buffer).ReadFrom(r.Body); err != nil {
				w.WriteHeader(http.StatusRequestEntityTooLarge)
			}
		}
	})
	h, log := hub(t, sqldbtest.Open(t, sqldbtest.SQLiteURL(t)), pages)
	for _, path := range []string{"/", "/healthz", "/metrics", "/panic"} {
		rec := get(t, h, path)
		for header, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Cache-Control": "no-store",
		} {
			if got := rec.Header().Get(header); got != want {
				t.Errorf("%s: %s is %q, want %q", path, header, got, want)
			}
		}
		if csp := rec.Header().Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") {
			t.Errorf("%s: Content-Security-Policy is %q", path, csp)
		}
	}
	rec := get(t, h, "/panic")
	if rec.Code != http.StatusInternalServerError || strings.Contains(rec.Body.String(), "secret") {
		t.Errorf("a panic answers %d %q", rec.Code, rec.Body)
	}
	if !strings.Contains(log.String(), "panic in a handler") {
		t.Error("a panic leaves no line in the log")
	}
	rec = httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequestWithContext(context.Background(), http.MethodPost, "/big", bytes.NewReader(make([]byte, 1<<20))))
	if rec.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("a body of 1 MiB answers %d", rec.Code)
	}
}
