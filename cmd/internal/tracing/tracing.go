package tracing

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/musubi-hub/musubi/cmd/internal/config"
	"github.com/musubi-hub/musubi/connectors"
	"github.com/musubi-hub/musubi/connectors/outbound"
	"github.com/musubi-hub/musubi/sync/jobs"
)

// exportTime bounds one export, and the last one at the end of the program.
const exportTime = 3 * time.Second

// Tracer makes spans. A nil Tracer makes none.
type Tracer struct {
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
}

// Open makes a tracer that sends to the collector of cfg, in the background; nil where none is configured. A collector that can't
// be reached costs spans and a line in the log, nothing else.
func Open(ctx context.Context, cfg config.Trace, version string, log *slog.Logger) (*Tracer, error) {
	if cfg.Endpoint == "" {
		return nil, nil //nolint:nilnil // a nil Tracer is one that makes no spans
	}
	u, err := url.Parse(cfg.Endpoint)
	if err != nil {
		return nil, errors.New("trace.endpoint: it can't be read")
	}
	opts := []otlptracehttp.Option{otlptracehttp.WithEndpointURL(u.JoinPath("v1", "traces").String()), otlptracehttp.WithTimeout(exportTime)}
	if cfg.HeaderFile != "" {
		line, err := config.ReadSecret(cfg.HeaderFile)
		if err != nil {
			return nil, err
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok || name == "" || strings.ContainsAny(name, " \t") {
			return nil, fmt.Errorf("trace.header_file %s: want one line, Name: value", cfg.HeaderFile)
		}
		opts = append(opts, otlptracehttp.WithHeaders(map[string]string{name: strings.TrimSpace(value)}))
	}
	exporter, err := otlptracehttp.New(ctx, opts...)
	if err != nil {
		return nil, fmt.Errorf("trace.endpoint: %w", err)
	}
	// The library reports failed exports to one handler of the whole process; its default writes past our log.
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn("spans were lost", "error", err.Error()) }))
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(exporter, sdktrace.WithExportTimeout(exportTime)),
		sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(cfg.Sample))),
		// Not the library's default resource: that names the machine's user and command line.
		sdktrace.WithResource(resource.NewSchemaless(attribute.String("service.name", "musubi"), attribute.String("service.version", version))),
	)
	return &Tracer{provider, provider.Tracer("github.com/musubi-hub/musubi")}, nil
}

// Close sends what is left, within exportTime.
func (t *Tracer) Close() {
	if t == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), exportTime)
	defer cancel()
	_ = t.provider.Shutdown(ctx) // what can't be sent is lost, and was logged
}

// Call is outbound's hook: a span around one call with its attempts. A nil Tracer gives a nil hook.
func (t *Tracer) Call() outbound.Trace {
	if t == nil {
		return nil
	}
	return func(ctx context.Context, vendor string, call outbound.Call) (context.Context, func(error)) {
		ctx, span := t.tracer.Start(ctx, "call "+vendor+" "+call.Op, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
			attribute.String("musubi.vendor", vendor), attribute.String("musubi.op", call.Op), attribute.String("musubi.class", string(call.Class))))
		return ctx, func(err error) {
			outcome := "ok"
			var failure *connectors.Error
			if errors.As(err, &failure) {
				outcome = failure.Kind.String()
				span.SetAttributes(attribute.Int("http.response.status_code", failure.Status))
			} else if err != nil {
				outcome = "failed"
			}
			finish(span, outcome, err == nil)
		}
	}
}

// Job is the engine's hook: a span around one attempt.
func (t *Tracer) Job() jobs.Trace {
	if t == nil {
		return nil
	}
	return func(ctx context.Context, kind string, attempt int) (context.Context, func(jobs.Outcome)) {
		ctx, span := t.tracer.Start(ctx, "job "+kind, trace.WithSpanKind(trace.SpanKindConsumer), trace.WithAttributes(
			attribute.String("musubi.kind", kind), attribute.Int("musubi.attempt", attempt)))
		return ctx, func(o jobs.Outcome) { finish(span, string(o), o == jobs.OutcomeDone || o == jobs.OutcomeSnoozed) }
	}
}

func finish(span trace.Span, outcome string, ok bool) {
	span.SetAttributes(attribute.String("musubi.outcome", outcome))
	if !ok {
		span.SetStatus(codes.Error, outcome)
	}
	span.End()
}

// routes are the first parts of the paths that the hub serves. What comes after them names organizations, or is a secret.
var routes = []string{"", "orgs", "plans", "open", "logout", "closed", "static"}

// probes are asked every few seconds and tell nothing in a trace.
var probes = []string{"healthz", "readyz", "metrics"}

// Handler puts a span around each request but probes'.
func (t *Tracer) Handler(next http.Handler) http.Handler {
	if t == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		first, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		if slices.Contains(probes, first) {
			next.ServeHTTP(w, r)
			return
		}
		if !slices.Contains(routes, first) {
			first = "other"
		}
		method := r.Method
		if !slices.Contains([]string{http.MethodGet, http.MethodHead, http.MethodPost}, method) {
			method = "_OTHER"
		}
		ctx, span := t.tracer.Start(r.Context(), method+" /"+first, trace.WithSpanKind(trace.SpanKindServer))
		told, returned := &status{ResponseWriter: w, code: http.StatusOK}, false
		defer func() {
			if !returned { // a panic, which goes on to whoever answers for it
				told.code = http.StatusInternalServerError
			}
			span.SetAttributes(attribute.Int("http.response.status_code", told.code))
			finish(span, http.StatusText(told.code), told.code < http.StatusInternalServerError)
		}()
		next.ServeHTTP(told, r.WithContext(ctx))
		returned = true
	})
}

// status remembers the code of an answer.
type status struct {
	http.ResponseWriter
	code int
}

// WriteHeader implements http.ResponseWriter.
func (s *status) WriteHeader(code int) {
	s.code = code
	s.ResponseWriter.WriteHeader(code)
}

// Unwrap lets http.ResponseController reach the connection.
func (s *status) Unwrap() http.ResponseWriter { return s.ResponseWriter }
