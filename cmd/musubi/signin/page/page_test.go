package page

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func renderer(t testing.TB) *Renderer {
	t.Helper()
	p, err := New("", func() time.Time { return time.Unix(1_790_000_000, 0) }, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func show(t testing.TB, s Sheet) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	if s.Status == 0 {
		s.Status = http.StatusOK
	}
	renderer(t).Show(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil), s)
	return w
}

func TestWeb(t *testing.T) {
	for address, want := range map[string]bool{
		"https://app.example/cb?x=1": true, "https://app.example:8443/": true, "http://127.0.0.1:5000/cb": true, "http://[::1]/": true, "http://app.example/": false,
		"javascript:alert(1)": false, "//app.example/": false, "/x": false, "": false, "https://": false, "data:text/html,x": false, "https://u:p@app.example/": false,
		"https://app.example/\\x": false, "https://app.example/ x": false, "https://app.example;x/": false, "http://127.0.0.1.evil.example/": false,
	} {
		if Web(address) != want {
			t.Errorf("Web(%q) = %t", address, !want)
		}
	}
}

func TestPolicyNamesWhatAPageNeeds(t *testing.T) {
	w := show(t, Sheet{Name: LoggedOut, Body: LoggedOutBody{}, Frames: []string{"https://a.example/out;x,y?sid=1", "https://b.example", "javascript:x"}})
	csp := w.Header().Get("Content-Security-Policy")
	if !strings.HasSuffix(csp, "; frame-src https://a.example/out%3Bx%2Cy https://b.example 'none'") {
		t.Error(csp)
	}
	if body := w.Body.String(); strings.Contains(body, "javascript") {
		t.Error("a frame of script")
	}
	w = show(t, Sheet{Name: Go, Onward: "javascript:alert(1)"})
	if body := w.Body.String(); strings.Contains(body, "javascript") || strings.Contains(body, "refresh") {
		t.Errorf("it goes on to a script: %s", body)
	}
	if w := show(t, Sheet{Name: "none"}); w.Code != http.StatusInternalServerError {
		t.Errorf("%d", w.Code)
	}
	// What a page can't be made from gives no half of it.
	if w := show(t, Sheet{Name: Posts, Body: MessageBody{}}); w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "<html") {
		t.Errorf("%d %s", w.Code, w.Body.String())
	}
}

func TestTextIsEscaped(t *testing.T) {
	evil := `"><script>alert(1)</script>`
	w := show(t, Sheet{Name: Answer, Body: AnswerBody{Action: "https://app.example/" + evil, Fields: [][2]string{{evil, evil}}}})
	if strings.Count(w.Body.String(), "<script") != 1 || strings.Contains(w.Body.String(), "alert(1)<") {
		t.Error(w.Body.String())
	}
	w = show(t, Sheet{Name: Go, Onward: `https://app.example/?x="><meta>`})
	if strings.Contains(w.Body.String(), `"><meta>`) {
		t.Error(w.Body.String())
	}
}

// The one script that there is stands on the page of an answer, and is the one that the page's policy lets run.
func TestScript(t *testing.T) {
	w := show(t, Sheet{Name: Answer, Body: AnswerBody{Action: "https://app.example/acs", Fields: [][2]string{{"SAMLResponse", "x"}}}})
	_, text, _ := strings.Cut(w.Body.String(), "<script>")
	text, _, _ = strings.Cut(text, "</script>")
	if csp := w.Header().Get("Content-Security-Policy"); text == "" || !strings.HasSuffix(csp, "; script-src "+hash([]byte(text))) {
		t.Errorf("the script is %q, the policy %s", text, csp)
	}
	for _, s := range []Sheet{{Name: LoggedOut, Body: LoggedOutBody{}}, {Name: Message, Body: MessageBody{}}, {Name: Go, Body: Label{}, Onward: "https://app.example/"}} {
		w := show(t, s)
		if csp := w.Header().Get("Content-Security-Policy"); w.Code != http.StatusOK || strings.Contains(csp, "script") || strings.Contains(w.Body.String(), "<script") {
			t.Errorf("%s: %d, %s", s.Name, w.Code, csp)
		}
	}
}
