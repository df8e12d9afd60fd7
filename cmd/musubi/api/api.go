package api

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/musubi-hub/musubi/connectors/outbound"
	"github.com/musubi-hub/musubi/identity/keys"
	"github.com/musubi-hub/musubi/identity/samlidp"
	"github.com/musubi-hub/musubi/identity/samlidp/sp"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/jobs"
	"github.com/musubi-hub/musubi/sync/logout"
	"github.com/musubi-hub/musubi/sync/provision"
	"github.com/musubi-hub/musubi/sync/upkeep"
)

// askTime bounds what a probe or a scrape may ask of the database.
const askTime = 2 * time.Second

// Metrics counts what the hub does.
type Metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
}

// NewMetrics makes the counters. version is shown as musubi_build_info.
func NewMetrics(version string) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "musubi_outbound_requests_total", Help: "Requests to a SaaS, by connector, quota class and HTTP status (0: no answer).",
		}, []string{"vendor", "class", "status"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "musubi_outbound_request_seconds", Help: "Time to the answer of a SaaS.", Buckets: prometheus.ExponentialBuckets(0.005, 2, 12),
		}, []string{"vendor", "class"}),
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{Name: "musubi_build_info", Help: "Always 1.", ConstLabels: prometheus.Labels{"version": version}})
	build.Set(1)
	m.registry.MustRegister(m.requests, m.duration, build, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Observe counts one attempt of a request.
func (m *Metrics) Observe(o outbound.Observation) {
	m.requests.WithLabelValues(o.Vendor, string(o.Class), strconv.Itoa(o.Status)).Inc()
	m.duration.WithLabelValues(o.Vendor, string(o.Class)).Observe(o.Duration.Seconds())
}

// Hub is what the probes look at.
type Hub struct {
	DB        *sqldb.DB
	Jobs      *jobs.Client
	Provision *provision.Store
	Metrics   *Metrics
	Log       *slog.Logger
	Upkeep    func() []upkeep.Status // nil: nothing is cleared away here
	// Providers counts what there is to look at of SAML service providers; nil: there are none.
	Providers func(context.Context) (sp.Summary, error)
	Keys      *keys.Ring       // nil: certificates aren't told
	Now       func() time.Time // with Keys
}

// Handler serves /healthz, /readyz and /metrics, and everything else by pages.
func (h Hub) Handler(pages http.Handler) http.Handler {
	h.Metrics.registry.MustRegister(&gauges{h})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	mux.HandleFunc("GET /readyz", h.ready)
	mux.Handle("GET /metrics", promhttp.HandlerFor(h.Metrics.registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError, Timeout: 2 * askTime, MaxRequestsInFlight: 4}))
	mux.Handle("/", pages)
	return h.guard(mux)
}

// ready tells whether the hub can work: its database answers.
func (h Hub) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), askTime)
	defer cancel()
	if err := h.DB.Ping(ctx); err != nil {
		h.Log.WarnContext(ctx, "not ready", "error", err.Error())
		answer(w, http.StatusServiceUnavailable, map[string]string{"status": "unavailable", "database": "no answer"})
		return
	}
	answer(w, http.StatusOK, map[string]string{"status": "ready"})
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// guard bounds every request, sets the headers that every answer carries, and turns a panic into a 500 that shows nothing.
func (h Hub) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			switch v := recover(); v {
			case nil:
			case http.ErrAbortHandler:
				panic(v)
			default:
				h.Log.ErrorContext(r.Context(), "panic in a handler", "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
				w.WriteHeader(http.StatusInternalServerError)
			}
		}()
		head := w.Header()
		head.Set("X-Content-Type-Options", "nosniff")
		head.Set("Referrer-Policy", "no-referrer")
		head.Set("X-Frame-Options", "DENY")
		head.Set("Cache-Control", "no-store")
		if head.Get("Content-Security-Policy") == "" {
			head.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
		}
		r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
		next.ServeHTTP(w, r)
	})
}

// gauges asks the database at each scrape.
type gauges struct{ h Hub }

var (
	jobsDesc  = prometheus.NewDesc("musubi_jobs", "Jobs by queue and state.", []string{"queue", "state"}, nil)
	seatsDesc = prometheus.NewDesc("musubi_seats_active", "Confirmed active accounts by product.", []string{"product"}, nil)
	leftDesc  = prometheus.NewDesc("musubi_leavers_pending", "Leavers whose accounts aren't ended yet, by product.", []string{"product"}, nil)

	logoutsDesc = prometheus.NewDesc("musubi_logouts", "Logouts that relying parties haven't taken: pending, failed for good, told without proof (unconfirmed), or told by nobody (untold).", []string{"state"}, nil)

	certificateDesc = prometheus.NewDesc("musubi_saml_certificate_end_timestamp_seconds", "When the certificate of a SAML signing key ends, by the key's state: active, next.", []string{"state"}, nil)

	upkeepDesc      = prometheus.NewDesc("musubi_upkeep_batches_total", "Batches of what is cleared away, by sweep, and why. Only the leading node works.", []string{"sweep", "why"}, nil)
	upkeepFaultDesc = prometheus.NewDesc("musubi_upkeep_faults_total", "Batches that failed.", []string{"sweep"}, nil)
	upkeepLastDesc  = prometheus.NewDesc("musubi_upkeep_last_timestamp_seconds", "When this node last did a batch.", []string{"sweep"}, nil)
)

// What there is to look at of SAML service providers.
var (
	metadataDesc = prometheus.NewDesc("musubi_saml_metadata", "SAML service providers whose metadata waits for a person, or can't be read.", []string{"state"}, nil)
	expiringDesc = prometheus.NewDesc("musubi_saml_expiring", "Certificates and metadata of SAML service providers that end within these days and have no successor; 0: ended.", []string{"days"}, nil)
)

// Describe implements prometheus.Collector.
func (g *gauges) Describe(ch chan<- *prometheus.Desc) {
	ch <- jobsDesc
	ch <- seatsDesc
	ch <- leftDesc
	ch <- logoutsDesc
	ch <- metadataDesc
	ch <- expiringDesc
	ch <- certificateDesc
	ch <- upkeepDesc
	ch <- upkeepFaultDesc
	ch <- upkeepLastDesc
}

// Collect implements prometheus.Collector.
func (g *gauges) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), askTime)
	defer cancel()
	if depth, err := g.h.Jobs.Depth(ctx); err != nil {
		ch <- prometheus.NewInvalidMetric(jobsDesc, err)
	} else {
		for _, d := range depth {
			ch <- prometheus.MustNewConstMetric(jobsDesc, prometheus.GaugeValue, float64(d.Jobs), d.Queue, string(d.State))
		}
	}
	g.logins(ctx, ch)
	g.providers(ctx, ch)
	seats, err := g.h.Provision.Seats(ctx, policies.System(policies.TaskConsole))
	if err != nil {
		ch <- prometheus.NewInvalidMetric(seatsDesc, err)
		return
	}
	for _, s := range seats {
		ch <- prometheus.MustNewConstMetric(seatsDesc, prometheus.GaugeValue, float64(s.Active), string(s.Product))
		ch <- prometheus.MustNewConstMetric(leftDesc, prometheus.GaugeValue, float64(s.Leavers), string(s.Product))
	}
}

// providers tells what there is to look at of SAML service providers.
func (g *gauges) providers(ctx context.Context, ch chan<- prometheus.Metric) {
	if g.h.Providers == nil {
		return
	}
	sum, err := g.h.Providers(ctx)
	if err != nil {
		ch <- prometheus.NewInvalidMetric(metadataDesc, err)
		return
	}
	ch <- prometheus.MustNewConstMetric(metadataDesc, prometheus.GaugeValue, float64(sum.Waits), "waits")
	ch <- prometheus.MustNewConstMetric(metadataDesc, prometheus.GaugeValue, float64(sum.Failing), "failing")
	for days, n := range sum.Ending {
		ch <- prometheus.MustNewConstMetric(expiringDesc, prometheus.GaugeValue, float64(n), strconv.Itoa(days))
	}
}

// logins tells what is left over of logins.
func (g *gauges) logins(ctx context.Context, ch chan<- prometheus.Metric) {
	open, err := logout.Receipts{DB: g.h.DB}.Open(ctx)
	if err != nil {
		ch <- prometheus.NewInvalidMetric(logoutsDesc, err)
	}
	for state, n := range open {
		ch <- prometheus.MustNewConstMetric(logoutsDesc, prometheus.GaugeValue, float64(n), string(state))
	}
	if g.h.Keys != nil {
		ends, err := samlidp.CertificateEnds(ctx, g.h.Keys, g.h.DB.Reader(), g.h.Now().UnixMicro())
		if err != nil {
			ch <- prometheus.NewInvalidMetric(certificateDesc, err)
		}
		for _, e := range ends {
			ch <- prometheus.MustNewConstMetric(certificateDesc, prometheus.GaugeValue, float64(e.Until)/1e6, string(e.Key.State))
		}
	}
	if g.h.Upkeep == nil {
		return
	}
	for _, s := range g.h.Upkeep() {
		ch <- prometheus.MustNewConstMetric(upkeepDesc, prometheus.CounterValue, float64(s.Batches), s.Name, s.Why)
		ch <- prometheus.MustNewConstMetric(upkeepFaultDesc, prometheus.CounterValue, float64(s.Faults), s.Name)
		if !s.LastAt.IsZero() {
			ch <- prometheus.MustNewConstMetric(upkeepLastDesc, prometheus.GaugeValue, float64(s.LastAt.Unix()), s.Name)
		}
	}
}
