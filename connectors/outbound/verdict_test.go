package outbound_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/musubi-hub/musubi/connectors"
	"github.com/musubi-hub/musubi/connectors/outbound"
)

// A vendor that says no with status 200 fails like one that says it with a status.
func TestVerdict(t *testing.T) {
	const j = "application/json"
	verdict := func(body []byte) (connectors.Kind, string, string) {
		switch string(body) {
		case `{"ok":true}`:
			return connectors.KindUnknown, "", ""
		case `{"error":"later"}`:
			return connectors.KindThrottled, "later", "come back"
		case `{"error":"broken"}`:
			return connectors.KindUnavailable, "broken", ""
		}
		return connectors.KindInvalid, string(body), "refused " + string(body)
	}
	synctest.Test(t, func(t *testing.T) {
		s := &script{steps: []func(*http.Request) (*http.Response, error){
			answer(200, j, `{"error":"broken"}`), answer(200, j, `{"error":"later"}`, "Retry-After", "2"), answer(200, j, `{"ok":true}`),
		}}
		r := get()
		r.Verdict = verdict
		start := time.Now()
		resp, err := client(t, config(s)).Do(t.Context(), r)
		if err != nil || string(resp.Body) != `{"ok":true}` || len(s.seen) != 3 || time.Since(start) < 2*time.Second {
			t.Errorf("a repeatable request: %v after %d attempts in %v", err, len(s.seen), time.Since(start))
		}
	})
	for _, tt := range []struct {
		body string
		kind connectors.Kind
		code string
	}{
		{`{"error":"later"}`, connectors.KindThrottled, "later"},
		{`{"error":"broken"}`, connectors.KindUnavailable, "broken"},
		{`"` + token + `"`, connectors.KindInvalid, `"[redacted]"`},
		{``, connectors.KindInvalid, ""},
	} {
		s := &script{steps: []func(*http.Request) (*http.Response, error){answer(200, j, tt.body, "Retry-After", "7")}}
		r := post()
		r.Verdict = verdict
		_, err := client(t, config(s)).Do(t.Context(), r)
		e, ok := err.(*connectors.Error) //nolint:errorlint // it must be unwrapped
		if !ok || e.Kind != tt.kind || e.Code != tt.code || e.Status != 200 || len(s.seen) != 1 || strings.Contains(e.Error(), token) {
			t.Errorf("%s: %#v after %d attempts", tt.body, err, len(s.seen))
		}
		if want := tt.kind != connectors.KindInvalid; ok && (e.RetryAfter == 7*time.Second) != want {
			t.Errorf("%s: retry after %v", tt.body, e.RetryAfter)
		}
	}
	s := &script{steps: []func(*http.Request) (*http.Response, error){answer(200, "text/html", `<html>`)}}
	r := outbound.Request{Call: post().Call, Method: http.MethodPost, Path: "things"}
	r.Verdict = func([]byte) (connectors.Kind, string, string) { t.Error("asked about a page"); return 0, "", "" }
	if _, err := client(t, config(s)).Do(t.Context(), r); connectors.KindOf(err) != connectors.KindProtocol {
		t.Errorf("a page: %v", err)
	}
}
