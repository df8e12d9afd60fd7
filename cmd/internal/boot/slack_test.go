package boot

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/cmd/internal/config"
	"github.com/musubi-hub/musubi/cmd/internal/tracing"
	"github.com/musubi-hub/musubi/connectors/slack"
	"github.com/musubi-hub/musubi/sync/lock"
)

func TestSlackIsOpened(t *testing.T) {
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
	section := func() *config.Slack {
		return &config.Slack{
			Vendor:            config.Vendor{BaseURL: slack.DefaultBaseURL, TokenFile: file("bot", "bot-token-0001"), QuotaScale: 1, DataRegion: "JP"},
			SigningSecretFile: file("signing", "signing-secret-0001"), SCIMTokenFile: file("scim", "scim-token-0001"),
		}
	}
	open := func(s *config.Slack) (*Hub, error) {
		h, err := OpenHub(t.Context(), Options{
			Data: t.TempDir(), Config: config.Config{Database: "sqlite:" + filepath.Join(t.TempDir(), "musubi.db"), Slack: s},
			Now: time.Now, Log: slog.New(slog.DiscardHandler), Tracer: tracer,
		})
		if err == nil {
			t.Cleanup(func() { _ = h.Close() })
		}
		return h, err
	}
	h, err := open(section())
	if err != nil {
		t.Fatal(err)
	}
	o := h.Open[slack.Name]
	if o.Sender == nil || o.ChannelWriter == nil || o.EventReader == nil || o.AccountWriter == nil || o.Guests == nil || o.DataRegion != "JP" {
		t.Errorf("opened %+v", o)
	}
	usage, err := h.Quota.Usage(t.Context())
	if err != nil || len(usage) != len(o.Limits.Budgets) {
		t.Errorf("%d budgets are kept of %d: %v", len(usage), len(o.Limits.Budgets), err)
	}
	without := section()
	without.SCIMTokenFile = ""
	if h, err = open(without); err != nil {
		t.Fatal(err)
	}
	if o := h.Open[slack.Name]; o.Sender == nil || o.AccountWriter != nil || o.Groups != nil || o.Guests != nil {
		t.Errorf("without a SCIM token there are accounts: %+v", o)
	}
	// Each process has a name of its own in the database's leases, so that none takes another's locks for its own.
	const group = "slack user group S1"
	var held [2]*lock.Locks
	for i := range held {
		if held[i], err = newLocks(h.DB, Options{Now: time.Now, Log: slog.New(slog.DiscardHandler)}); err != nil {
			t.Fatal(err)
		}
	}
	release, err := held[0].Lock(t.Context(), group)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := held[1].Lock(ctx, group); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("two processes hold one name: %v", err)
	}
	missing := section()
	missing.SigningSecretFile = filepath.Join(dir, "nowhere")
	if _, err = open(missing); err == nil || !strings.Contains(err.Error(), "nowhere") || strings.Contains(err.Error(), "token-0001") {
		t.Errorf("a signing secret that isn't there: %v", err)
	}
}
