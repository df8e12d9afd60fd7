package outbound_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/musubi-hub/musubi/connectors/outbound"
)

func TestNewRefuses(t *testing.T) {
	rt := &script{}
	tests := map[string]struct {
		change func(*outbound.Config)
		says   string
	}{
		"no vendor":        {func(c *outbound.Config) { c.Vendor = "" }, "Vendor"},
		"no transport":     {func(c *outbound.Config) { c.Transport = nil }, "Transport"},
		"no quota":         {func(c *outbound.Config) { c.Quota = nil }, "Quota"},
		"no clock":         {func(c *outbound.Config) { c.Now = nil }, "Now"},
		"no token":         {func(c *outbound.Config) { c.Authorize = outbound.Bearer(outbound.NewSecret("")) }, "no credential"},
		"line break":       {func(c *outbound.Config) { c.Authorize = outbound.Bearer(outbound.NewSecret("abc123\n")) }, "line break"},
		"colon in user":    {func(c *outbound.Config) { c.Authorize = outbound.Basic("a:b", outbound.NewSecret("x123")) }, "no credential"},
		"time-out":         {func(c *outbound.Config) { c.Timeout = time.Hour }, "Timeout"},
		"body":             {func(c *outbound.Config) { c.MaxBody = 1 << 40 }, "MaxBody"},
		"retries":          {func(c *outbound.Config) { c.Retries = 50 }, "Retries"},
		"no URL":           {func(c *outbound.Config) { c.BaseURL = "" }, "https://host"},
		"password in URL":  {func(c *outbound.Config) { c.BaseURL = "https://u:hunter2@h" }, "user name"},
		"query":            {func(c *outbound.Config) { c.BaseURL = "https://h/?a=hunter2" }, "query"},
		"other scheme":     {func(c *outbound.Config) { c.BaseURL = "ftp://h" }, "https://host"},
		"plaintext abroad": {func(c *outbound.Config) { c.BaseURL = "http://api.vendor.example" }, "unencrypted"},
		// RFC 6761 6.2: a network may give .test names addresses of its own.
		"plaintext to .test": {func(c *outbound.Config) { c.BaseURL = "http://vendor.test" }, "unencrypted"},
	}
	for name, tt := range tests {
		cfg := config(rt)
		tt.change(&cfg)
		_, err := outbound.New(cfg)
		if err == nil || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v, want it to say %q", name, err, tt.says)
		}
	}
	for _, good := range []string{"https://h", "https://h/a/", "http://127.0.0.1:80/x", "http://[::1]:1", "http://localhost:8081", "http://sandbox.invalid"} {
		cfg := config(rt)
		cfg.BaseURL = good
		if _, err := outbound.New(cfg); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
}

func TestSecretPrintsNothing(t *testing.T) {
	s := outbound.NewSecret("hunter2hunter2")
	type holder struct {
		Public  outbound.Secret
		private outbound.Secret
	}
	h := holder{s, s}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "s", s, "h", h)
	encoded, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	text := log.String() + string(encoded) + fmt.Sprint(s, h, &h) + fmt.Sprintf("%v %+v %#v %s %q %x %d %+v %#v", s, s, s, s, s, s, s, h, &h)
	if strings.Contains(text, "hunter2") || strings.Contains(text, fmt.Sprintf("%x", "hunter2")) {
		t.Error(text)
	}
	if !strings.Contains(text, "[redacted]") {
		t.Error("nothing marks the place")
	}
	_ = h.private
}

func TestRedactionProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		secret := rapid.StringMatching(`[A-Za-z0-9+/=._~-]{8,40}`).Draw(t, "secret")
		around := rapid.SliceOfN(rapid.String(), 2, 2).Draw(t, "around")
		cfg := config(http.DefaultTransport)
		cfg.Authorize = outbound.Basic("u@x.example", outbound.NewSecret(secret))
		c, err := outbound.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{around[0] + secret + around[1], around[0] + "Basic " + secret + around[1]} {
			if got := c.Redact(text); strings.Contains(got, secret) {
				t.Fatalf("%q keeps the secret", got)
			}
			if got := c.Fail("x", 0, text).Error(); strings.Contains(got, secret) || strings.ContainsAny(got, "\n\r") {
				t.Fatalf("%q keeps the secret or a line break", got)
			}
		}
	})
}
