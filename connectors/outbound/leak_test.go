package outbound_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/musubi-hub/musubi/connectors"
	"github.com/musubi-hub/musubi/connectors/outbound"
)

func TestRedirectNeverCarriesTheToken(t *testing.T) {
	var leaked []string
	evil := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		leaked = append(leaked, r.Header.Get("Authorization"))
	}))
	defer evil.Close()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+token {
			t.Errorf("Authorization %q", r.Header.Get("Authorization"))
		}
		http.Redirect(w, r, evil.URL+"/v1/things", http.StatusTemporaryRedirect)
	}))
	defer srv.Close()
	cfg := config(http.DefaultTransport)
	cfg.BaseURL = srv.URL
	c := client(t, cfg)
	for _, r := range []outbound.Request{get(), post()} {
		if _, err := c.Do(t.Context(), r); connectors.KindOf(err) != connectors.KindProtocol {
			t.Errorf("redirect: %v", err)
		}
	}
	req, _ := http.NewRequestWithContext(outbound.WithCall(t.Context(), get().Call), http.MethodGet, srv.URL+"/x", nil)
	if resp, err := c.HTTPClient().Do(req); err == nil {
		resp.Body.Close()
		t.Error("the http.Client followed or accepted a redirect")
	}
	if len(leaked) != 0 {
		t.Errorf("the other host got %d requests with %q", len(leaked), leaked)
	}
}

func TestNoSecretGetsOut(t *testing.T) {
	extra := "webhook-secret-0123456789"
	var log bytes.Buffer
	basic := outbound.Basic("hub@agency.example", outbound.NewSecret(token))
	secrets := []string{token, extra, "aHViQGFnZW5jeS5leGFtcGxlOg", url.QueryEscape(token), url.PathEscape(token)}
	echo := fmt.Sprintf("you sent Authorization: Bearer %s and %s and %s", token, url.QueryEscape(token), extra)
	quoted, _ := json.Marshal(map[string]string{"detail": echo + "\n" + strings.Repeat("z", 500)})
	header := func(r *http.Request) (*http.Response, error) {
		text, _ := json.Marshal(map[string]string{"detail": "got " + r.Header.Get("Authorization")})
		return answer(403, "application/json", string(text))(r)
	}
	steps := []func(*http.Request) (*http.Response, error){
		answer(400, "application/json", string(quoted)), header,
		broken(&url.Error{Op: "Get", URL: "https://u:" + token + "@h/?t=" + url.QueryEscape(token), Err: errors.New(echo)}),
		broken(&net.OpError{Op: "dial", Err: errors.New(echo)}),
		answer(302, "", "", "Location", "https://"+extra+".example/?"+token),
		answer(200, "application/json", "\xff"+token),
	}
	var texts []string
	for _, step := range steps {
		for _, auth := range []outbound.Authorization{outbound.Bearer(outbound.NewSecret(token)), basic} {
			cfg := config(&script{steps: []func(*http.Request) (*http.Response, error){step}})
			cfg.Authorize, cfg.Secrets = auth, []outbound.Secret{outbound.NewSecret(extra)}
			cfg.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
			cfg.Retries = -1
			c := client(t, cfg)
			for _, r := range []outbound.Request{get(), post()} {
				r.Query = url.Values{"q": {token}}
				r.ParseError = func(_ int, body []byte) (string, string) { return string(body), string(body) }
				resp, err := c.Do(t.Context(), r)
				if err == nil {
					err = c.Decode(r.Op, resp, new(struct{}))
				}
				if err == nil {
					t.Fatal("no error to look at")
				}
				for e := err; e != nil; e = errors.Unwrap(e) {
					texts = append(texts, e.Error(), fmt.Sprintf("%+v %#v", e, e))
				}
				req, _ := http.NewRequestWithContext(outbound.WithCall(t.Context(), r.Call), r.Method, cfg.BaseURL+"/things", nil)
				if resp, err := c.HTTPClient().Do(req); err == nil {
					resp.Body.Close()
				} else {
					texts = append(texts, err.Error())
				}
			}
			texts = append(texts, fmt.Sprintf("%v %+v %#v", cfg, cfg, auth))
		}
	}
	texts = append(texts, log.String())
	if !strings.Contains(log.String(), "outbound attempt") {
		t.Error("nothing was logged, so nothing was looked at")
	}
	for _, text := range texts {
		for _, s := range secrets {
			if strings.Contains(text, s) {
				t.Fatalf("secret %q in: %s", s, text)
			}
		}
	}
}

func TestHTTPClient(t *testing.T) {
	s := &script{steps: []func(*http.Request) (*http.Response, error){answer(200, "application/json", `{"id":"1"}`, "Set-Cookie", "a=b")}}
	c := client(t, config(s))
	send := func(ctx context.Context, u string) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, u, strings.NewReader(`{"a":1}`))
		if err != nil {
			t.Fatal(err)
		}
		req.AddCookie(&http.Cookie{Name: "session", Value: "x"})
		resp, err := c.HTTPClient().Do(req)
		if err == nil {
			body, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if resp.StatusCode != 200 || string(body) != `{"id":"1"}` {
				t.Errorf("answer %d %s", resp.StatusCode, body)
			}
		}
		return err
	}
	ok := outbound.WithCall(t.Context(), post().Call)
	if err := send(ok, "https://api.example.invalid/v1/things"); err != nil {
		t.Error(err)
	}
	if h := s.seen[0].Header; h.Get("Authorization") != "Bearer "+token || h.Get("Cookie") != "" || s.body[0] != `{"a":1}` {
		t.Errorf("sent %v with %q", h, s.body[0])
	}
	for _, tt := range []struct {
		ctx  context.Context
		url  string
		want connectors.Kind
	}{
		{t.Context(), "https://api.example.invalid/v1/things", connectors.KindInvalid},
		{ok, "https://evil.example/v1/things", connectors.KindProtocol},
		{ok, "http://api.example.invalid/v1/things", connectors.KindProtocol},
		{ok, "https://api.example.invalid/v1evil", connectors.KindProtocol},
		{ok, "https://u:p@api.example.invalid/v1/x", connectors.KindProtocol},
	} {
		if err := send(tt.ctx, tt.url); connectors.KindOf(err) != tt.want {
			t.Errorf("%s: %v, want %v", tt.url, err, tt.want)
		}
	}
	if len(s.seen) != 1 {
		t.Errorf("refused requests were sent: %d", len(s.seen))
	}
}
