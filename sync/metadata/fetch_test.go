package metadata_test

import (
	"compress/gzip"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/musubi-hub/musubi/connectors/outbound"
	"github.com/musubi-hub/musubi/identity/samlidp/sp"
	"github.com/musubi-hub/musubi/sync/metadata"
)

// serve serves handler by TLS, and gives its address and the way to it that the hub would take.
func serve(t *testing.T, handler http.HandlerFunc) (address string, f metadata.Fetcher) {
	t.Helper()
	s := httptest.NewTLSServer(handler)
	t.Cleanup(s.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	transport, err := outbound.NewTransport(outbound.Network{TLS: outbound.TLS{ExtraCA: ca}, Proxy: outbound.Direct})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(transport.CloseIdleConnections)
	return s.URL, metadata.Fetcher{Transport: transport}
}

// Servers that are down, in the way, or hostile: each is a fault by its name, and nothing is sent anywhere else.
func TestFetch(t *testing.T) {
	elsewhere := 0
	other := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere++ }))
	defer other.Close()
	plain := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere++ }))
	defer plain.Close()
	to := func(location string, status int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", location)
			w.WriteHeader(status)
		}
	}
	address, f := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/good", "/moved":
			w.Header().Set("ETag", `"7"`)
			if r.Header.Get("If-None-Match") == `"7"` {
				w.WriteHeader(http.StatusNotModified)
				return
			}
			fmt.Fprint(w, "<a/>")
		case "/on":
			to("/moved", 302)(w, r)
		case "/round":
			to("/round", 301)(w, r)
		case "/other":
			to(other.URL, 302)(w, r)
		case "/http":
			to(plain.URL, 307)(w, r)
		case "/samehttp":
			to("http://"+r.Host+"/good", 308)(w, r)
		case "/user":
			to("https://a:b@"+r.Host+"/good", 302)(w, r)
		case "/file":
			to("file:///etc/passwd", 302)(w, r)
		case "/nowhere":
			w.WriteHeader(303)
		case "/304":
			w.WriteHeader(304)
		case "/500":
			w.WriteHeader(500)
		case "/404":
			w.WriteHeader(404)
		case "/204":
			w.WriteHeader(204)
		case "/10mb":
			w.Header().Set("Content-Length", "10485760")
			_, _ = io.Copy(w, io.LimitReader(zeros{}, 10<<20))
		case "/chunked":
			_, _ = io.Copy(w, io.LimitReader(zeros{}, 10<<20))
		case "/bomb":
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			_, _ = io.Copy(z, io.LimitReader(zeros{}, 100<<20))
			_ = z.Close()
		case "/cut":
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, "<a")
		}
	})
	for path, want := range map[string]string{
		"/good": "", "/on": "", "/round": "redirect", "/other": "redirect", "/http": "redirect", "/samehttp": "redirect", "/user": "redirect", "/file": "redirect",
		"/nowhere": "redirect", "/304": "status", "/500": "status", "/404": "status", "/204": "status", "/10mb": "large", "/chunked": "large", "/bomb": "large",
		"/cut": "unreachable",
	} {
		doc, err := f.Fetch(t.Context(), address+path+"?key=hidden", sp.Validators{})
		if want == "" {
			if err != nil || string(doc.Data) != "<a/>" || doc.Unchanged || doc.Validators.ETag != `"7"` {
				t.Errorf("%s: %+v %v", path, doc, err)
			}
			continue
		}
		var fault *metadata.Fault
		if !errors.As(err, &fault) || fault.Why != want || len(doc.Data) > 1<<20 {
			t.Errorf("%s: %v, want %s", path, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s: the error tells the address: %v", path, err)
		}
	}
	if elsewhere != 0 {
		t.Errorf("%d requests went elsewhere", elsewhere)
	}
	if doc, err := f.Fetch(t.Context(), address+"/good", sp.Validators{ETag: `"7"`}); err != nil || !doc.Unchanged {
		t.Errorf("%+v %v", doc, err)
	}
	// Nobody there, and what isn't https.
	for where, want := range map[string]string{
		"https://127.0.0.1:1/": "unreachable", plain.URL: "address", "javascript:alert(1)": "address", "": "address", "file:///etc/passwd": "address",
	} {
		var fault *metadata.Fault
		if _, err := f.Fetch(t.Context(), where, sp.Validators{}); !errors.As(err, &fault) || fault.Why != want {
			t.Errorf("%s: %v", where, err)
		}
	}
	strict, err := outbound.NewTransport(outbound.Network{Proxy: outbound.Direct})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (metadata.Fetcher{Transport: strict}).Fetch(t.Context(), address+"/good", sp.Validators{}); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a certificate that nobody vouches for: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.Fetch(ended, address+"/good", sp.Validators{}); !errors.Is(err, context.Canceled) {
		t.Errorf("ended from outside: %v", err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

type way func(r *http.Request) (*http.Response, error)

func (w way) RoundTrip(r *http.Request) (*http.Response, error) { return w(r) }

// drip sends an octet a second, for ever.
type drip struct{ ctx context.Context }

func (d drip) Read(p []byte) (int, error) {
	select {
	case <-time.After(time.Second):
		p[0] = ' '
		return 1, nil
	case <-d.ctx.Done():
		return 0, &url.Error{Op: "Get", URL: "https://sp.example/?key=hidden", Err: d.ctx.Err()}
	}
}

func (drip) Close() error { return nil }

// A server that answers slowly, or slowly for ever, has its time.
func TestSlow(t *testing.T) {
	for name, answer := range map[string]way{
		"no answer": func(r *http.Request) (*http.Response, error) { <-r.Context().Done(); return nil, r.Context().Err() },
		"a drip": func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Header: http.Header{}, Body: drip{r.Context()}, ContentLength: -1}, nil
		},
		"slow redirects": func(r *http.Request) (*http.Response, error) {
			select {
			case <-time.After(8 * time.Second):
			case <-r.Context().Done():
				return nil, r.Context().Err()
			}
			return &http.Response{StatusCode: 302, Header: http.Header{"Location": {"/on"}}, Body: http.NoBody}, nil
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			_, err := metadata.Fetcher{Transport: answer}.Fetch(t.Context(), "https://sp.example/", sp.Validators{})
			var fault *metadata.Fault
			if !errors.As(err, &fault) || fault.Why != "timeout" || time.Since(began) != 20*time.Second || strings.Contains(err.Error(), "hidden") {
				t.Errorf("%s: %v after %s", name, err, time.Since(began))
			}
		})
	}
}
