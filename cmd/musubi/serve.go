package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/net/netutil"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/cmd/internal/config"
	"github.com/musubi-hub/musubi/cmd/internal/tracing"
	"github.com/musubi-hub/musubi/cmd/musubi/api"
	"github.com/musubi-hub/musubi/cmd/musubi/console"
)

func newServe(e *env) *cobra.Command {
	var listen, format string
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "ハブを動かす / run the hub",
		Long: `計画の実行、退職者の停止、管理画面、監視用の口 (/healthz, /readyz, /metrics) を動かします。
Runs the hub: it applies approved plans, ends leavers' accounts, and serves the pages and the probes. On SQLite one hub serves
a data folder; the other commands stand beside it. Stop it with Ctrl-C or SIGTERM: running jobs finish, the rest goes on at
the next start.`,
		Example: "  musubi serve --data /var/lib/musubi --as planner.cred",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			loaded, err := e.loadConfig(config.Flag{Name: "--listen", Key: "listen", Value: listen}, config.Flag{Name: "--log-format", Key: "log.format", Value: format})
			if err != nil {
				return err
			}
			return e.serve(cmd.Context(), loaded.Config, e.logger(loaded.Log, "json"))
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "", "address of pages and probes, loopback only (default: the configuration's, else 127.0.0.1:8080)")
	cmd.Flags().StringVar(&format, "log-format", "", "json or text (default: the configuration's, else json)")
	return cmd
}

func (e *env) serve(ctx context.Context, cfg config.Config, log *slog.Logger) (err error) {
	tracer, err := tracing.Open(ctx, cfg.Trace, version, log)
	if err != nil {
		return boot.Usage(err)
	}
	defer tracer.Close()
	metrics := api.NewMetrics(version)
	h, err := boot.OpenHub(ctx, boot.Options{Data: e.data, Config: cfg, Work: true, Now: e.now, Log: log, Observe: metrics.Observe, Tracer: tracer})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.Close()) }()
	login, err := openEntry(ctx, h, entryOptions{wrap: tracer.Handler})
	if err != nil {
		return err
	}
	defer login.close()
	front, err := openFront(ctx, h, metrics, tracer, cfg.Listen, login, demoPages{})
	if err != nil {
		return err
	}
	defer front.close()
	if err := h.Jobs.Start(ctx); err != nil {
		if ctx.Err() != nil { // told to stop before it had begun
			return nil
		}
		return err
	}
	h.Sequence(ctx)
	if err := h.CatchUp(ctx); err != nil {
		return err
	}
	h.Follow(ctx)
	go watchTokens(ctx, h)
	if login != nil {
		if err := h.Keep(ctx, login.Federation); err != nil {
			return err
		}
		say(e.stderr, "ハブが動いています / serving: %s (監視 / probes http://%s)", strings.Join(login.addresses(), ", "), front.address)
	} else {
		say(e.stderr, "ハブが動いています / serving on http://%s (pages: `musubi open --data %s --as FILE`)", front.address, e.data)
	}
	if e.as != "" && login == nil {
		actor, err := h.Actor(ctx, e.as)
		if err != nil {
			return err
		}
		path, err := console.Ticket(ctx, h.DB, actor, h.Now(), rand.Reader)
		if err != nil {
			return err
		}
		say(e.stdout, "http://%s%s", front.address, path)
	}
	select {
	case <-ctx.Done():
		say(e.stderr, "止めています… / stopping")
		return nil
	case err := <-front.failed:
		return boot.Outside(err)
	case err := <-login.broken():
		return boot.Outside(err)
	}
}

// watchTokens warns of tokens that are about to end, at once and as the days pass.
func watchTokens(ctx context.Context, h *boot.Hub) {
	w := boot.NewTokenWatch(h.Log)
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	for {
		w.Look(h.Products())
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// front is the hub's listener.
type front struct {
	address string
	server  *http.Server
	failed  chan error
}

// openFront listens first, so that a port in use is told before anything starts, and then serves probes, and the pages where they aren't served to who
// logs in.
func openFront(ctx context.Context, h *boot.Hub, metrics *api.Metrics, tracer *tracing.Tracer, listen string, login *entry, demo demoPages) (*front, error) {
	pages := http.Handler(http.HandlerFunc(login.elsewhere))
	if login == nil {
		made, err := newPages(h, nil, nil, demo)
		if err != nil {
			return nil, err
		}
		pages = made.Handler()
	}
	handler := api.Hub{
		DB: h.DB, Jobs: h.Jobs, Provision: h.Provision, Metrics: metrics, Log: h.Log, Upkeep: h.Upkeep, Providers: h.Providers, Keys: h.Keys, Now: h.Now,
	}.Handler(tracer.Handler(pages))
	f, err := serveHTTP(ctx, listen, handler, h.Log)
	if err == nil && login == nil {
		h.ServePages("http://" + f.address)
	}
	return f, err
}

// maxConnections bounds the connections at once. More wait in the kernel's queue; none may hold its place for long, see the
// server's time-outs.
const maxConnections = 512

func serveHTTP(ctx context.Context, listen string, handler http.Handler, log *slog.Logger) (*front, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", listen)
	if err != nil {
		return nil, boot.Outside(fmt.Errorf("listen on %s: %w: stop what uses the port, or choose another address", listen, err))
	}
	return serveOn(l, handler, log), nil
}

// serveOn serves on a listener that is open.
func serveOn(l net.Listener, handler http.Handler, log *slog.Logger) *front {
	l = netutil.LimitListener(l, maxConnections)
	f := &front{address: l.Addr().String(), failed: make(chan error, 1)}
	f.server = &http.Server{
		Handler: handler, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: 2 * time.Minute,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 32 << 10, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	go func() {
		if err := f.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			f.failed <- err
		}
	}()
	return f
}

func (f *front) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if f.server.Shutdown(ctx) != nil {
		_ = f.server.Close()
	}
}
