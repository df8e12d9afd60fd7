package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestSandboxSendsToLoopbackAlone(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	defer server.Close()
	transport := loopbackTransport()
	for address, reached := range map[string]bool{server.URL: true, "http://192.0.2.1/": false, "https://[2001:db8::1]/": false, "http://0.0.0.0:1/": false} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := transport.RoundTrip(request)
		switch {
		case err == nil:
			answer.Body.Close()
			if !reached {
				t.Errorf("%s was reached", address)
			}
		case reached || !strings.Contains(err.Error(), "isn't a loopback address"):
			t.Errorf("%s: %v", address, err)
		}
	}
	for address, taken := range map[string]bool{
		"": true, "http://127.0.0.1:8080/slack": true, "https://localhost/x": true, "http://[::1]:1/": true,
		"http://192.0.2.1/": false, "http://hub.example/": false, "ftp://127.0.0.1/": false, "127.0.0.1:8080": false, "http://a:b@127.0.0.1/": false, ":": false,
	} {
		if err := checkLoopbackURL("--slack-events", address); (err == nil) != taken {
			t.Errorf("%q: %v", address, err)
		}
	}
}
