package tracing_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/musubi-hub/musubi/cmd/internal/config"
	"github.com/musubi-hub/musubi/cmd/internal/tracing"
	"github.com/musubi-hub/musubi/connectors"
	"github.com/musubi-hub/musubi/connectors/outbound"
	"github.com/musubi-hub/musubi/sync/jobs"
)

// receiver is a collector that keeps what it is sent.
type receiver struct {
	mu     sync.Mutex
	spans  map[string]string // name -> its outcome
	parent map[string]bool   // name -> has a parent
	text   bytes.Buffer      // everything, as text
	token  string            // of the last request
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	body := io.Reader(req.Body)
	if req.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(body)
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		body = z
	}
	raw, err := io.ReadAll(body)
	var msg collector.ExportTraceServiceRequest
	if err != nil || req.URL.Path != "/v1/traces" || proto.Unmarshal(raw, &msg) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	r.token = req.Header.Get("Authorization")
	r.text.WriteString(msg.String())
	for _, rs := range msg.ResourceSpans {
		for _, ss := range rs.ScopeSpans {
			for _, s := range ss.Spans {
				r.parent[s.Name] = len(s.ParentSpanId) > 0
				for _, a := range s.Attributes {
					if a.Key == "musubi.outcome" {
						r.spans[s.Name] = a.Value.GetStringValue()
					}
				}
			}
		}
	}
}

func opened(t *testing.T, cfg config.Trace) (*receiver, *tracing.Tracer) {
	t.Helper()
	r := &receiver{spans: map[string]string{}, parent: map[string]bool{}}
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	cfg.Endpoint = server.URL
	tr, err := tracing.Open(t.Context(), cfg, "v-test", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return r, tr
}

// planted is a person's data in every place that a span could take it from.
const planted = "hanako@lg.example.jp"

func TestSpans(t *testing.T) {
	header := filepath.Join(t.TempDir(), "header")
	if err := os.WriteFile(header, []byte("Authorization: Bearer t0ken\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r, tr := opened(t, config.Trace{Sample: 1, HeaderFile: header})

	ctx, endJob := tr.Job()(t.Context(), "provision.op.v1", 2)
	_, endCall := tr.Call()(ctx, "jira", outbound.Call{Op: "create customer", Class: "jira.post"})
	endCall(&connectors.Error{Kind: connectors.KindConflict, Vendor: "jira", Op: "create customer", Detail: planted, Status: 409})
	endJob(jobs.OutcomeFailed)
	_, endCall = tr.Call()(ctx, "atlassian", outbound.Call{Op: "list users"})
	endCall(nil)
	_, endCall = tr.Call()(ctx, "atlassian", outbound.Call{Op: "get user"})
	endCall(errors.New(planted))

	mux := http.NewServeMux()
	mux.HandleFunc("/orgs/", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) })
	mux.HandleFunc("/plans/", func(http.ResponseWriter, *http.Request) { panic(planted) })
	mux.HandleFunc("/", func(http.ResponseWriter, *http.Request) {})
	h := tr.Handler(mux)
	for _, path := range []string{"/", "/orgs/" + planted + "?q=" + planted, "/" + planted, "/healthz", "/plans/x"} {
		func() {
			defer func() { _ = recover() }()
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
		}()
	}
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), "HANAKO", "/open/"+planted, nil))
	tr.Close()

	for name, outcome := range map[string]string{
		"job provision.op.v1": "failed", "call jira create customer": connectors.KindConflict.String(), "call atlassian list users": "ok",
		"call atlassian get user": "failed", "GET /": "OK", "GET /orgs": "Not Found", "GET /other": "OK", "GET /plans": "Internal Server Error", "_OTHER /open": "OK",
	} {
		if r.spans[name] != outcome {
			t.Errorf("%s: %q, want %q", name, r.spans[name], outcome)
		}
	}
	if len(r.spans) != 9 {
		t.Errorf("%d spans: %v", len(r.spans), r.spans)
	}
	if !r.parent["call jira create customer"] || r.parent["job provision.op.v1"] {
		t.Error("the call doesn't hang below its job")
	}
	if r.token != "Bearer t0ken" {
		t.Errorf("the collector was sent %q", r.token)
	}
	host, _ := os.Hostname()
	for _, word := range []string{"hanako", "lg.example.jp", "HANAKO", "t0ken", os.Args[0], host} {
		if word != "" && strings.Contains(r.text.String(), word) {
			t.Errorf("spans hold %q", word)
		}
	}
}

func TestNothingConfigured(t *testing.T) {
	tr, err := tracing.Open(t.Context(), config.Trace{}, "", slog.New(slog.DiscardHandler))
	if err != nil || tr != nil {
		t.Fatalf("%v, %v", tr, err)
	}
	if tr.Call() != nil || tr.Job() != nil {
		t.Error("hooks without a tracer")
	}
	rec := httptest.NewRecorder()
	tr.Handler(http.NotFoundHandler()).ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil))
	tr.Close()
	if rec.Code != http.StatusNotFound {
		t.Error(rec.Code)
	}
}

// A collector that refuses or is gone costs a line in the log.
func TestCollectorGone(t *testing.T) {
	log := &bytes.Buffer{}
	gone, err := tracing.Open(t.Context(), config.Trace{Sample: 1, Endpoint: "http://127.0.0.1:1"}, "", slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	_, end := gone.Job()(t.Context(), "a.v1", 1)
	end(jobs.OutcomeDone)
	gone.Close()
	if !strings.Contains(log.String(), "spans were lost") {
		t.Errorf("the log says %q", log)
	}
}

func TestWrongHeaderFile(t *testing.T) {
	dir := t.TempDir()
	open, shapeless := filepath.Join(dir, "open"), filepath.Join(dir, "shapeless")
	for path, mode := range map[string]os.FileMode{open: 0o644, shapeless: 0o600} {
		if err := os.WriteFile(path, []byte("s3cret\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]string{open: "others may read it", shapeless: "want one line, Name: value"} {
		_, err := tracing.Open(t.Context(), config.Trace{Endpoint: "http://127.0.0.1:1", HeaderFile: path}, "", slog.New(slog.DiscardHandler))
		if err == nil || !strings.Contains(err.Error(), want) || slices.Contains(strings.Fields(err.Error()), "s3cret") {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
