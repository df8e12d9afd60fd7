package boot

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/cmd/internal/config"
	"github.com/musubi-hub/musubi/cmd/internal/tracing"
	"github.com/musubi-hub/musubi/connectors"
	"github.com/musubi-hub/musubi/connectors/jira"
)

func TestJiraIsOpened(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	tracer, err := tracing.Open(t.Context(), config.Trace{}, "test", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	open := func(secretFile string) (connectors.Opened, error) {
		h, err := OpenHub(t.Context(), Options{
			Data: t.TempDir(), Config: config.Config{Database: "sqlite:" + filepath.Join(t.TempDir(), "musubi.db"), Jira: &config.Jira{
				Vendor: config.Vendor{BaseURL: "https://example.atlassian.net", TokenFile: file("token", "api-token-0001"), QuotaScale: 1},
				Email:  "hub@example.go.jp", ServiceDesk: "1", SearchLag: 90, WebhookSecretFile: secretFile,
			}},
			Now: time.Now, Log: slog.New(slog.DiscardHandler), Tracer: tracer,
		})
		if err != nil {
			return connectors.Opened{}, err
		}
		t.Cleanup(func() { _ = h.Close() })
		return h.Open[jira.Name], nil
	}
	body := fmt.Appendf(nil, `{"timestamp":%d,"webhookEvent":"jira:issue_updated","issue":{"id":"10001","key":"HELP-1"}}`, time.Now().UnixMilli())
	signed := connectors.Delivery{Body: body, Header: http.Header{"X-Atlassian-Webhook-Identifier": {"1"}}}
	mac := hmac.New(sha256.New, []byte("webhook-secret-0001"))
	mac.Write(body)
	signed.Header.Set("X-Hub-Signature", "sha256="+hex.EncodeToString(mac.Sum(nil)))
	for name, secretFile := range map[string]string{"no secret": "", "secret": file("webhook", "webhook-secret-0001")} {
		o, err := open(secretFile)
		if err != nil {
			t.Fatal(err)
		}
		if o.Limits.SearchLag != 90*time.Second || o.WorkItems == nil || o.WorkCreator == nil || o.EventReader == nil {
			t.Fatalf("%s: opened %+v", name, o)
		}
		if _, err := o.EventReader.ReadEvent(time.Now(), signed); (err == nil) != (secretFile != "") {
			t.Errorf("%s: a signed delivery: %v", name, err)
		}
	}
	if _, err := open(file("short", "webhook")); err == nil || !strings.Contains(err.Error(), "16 octets") || strings.Contains(err.Error(), "0001") {
		t.Errorf("a short secret: %v", err)
	}
}
