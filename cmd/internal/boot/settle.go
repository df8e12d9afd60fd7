package boot

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// settleEvery is how long what a killed import has published waits for its final place. Nobody sees a difference, but leavers' jobs wait
// with it.
const settleEvery = 3 * time.Second

// settleImports clears away what imports that were killed have left behind, now and every few seconds. It needs the job engine: those whom
// an import ends are handed to it.
func (h *Hub) settleImports(ctx context.Context) error {
	if err := h.Directory.Sweep(ctx); err != nil {
		return fmt.Errorf("database: %w", err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	running.Go(func() {
		tick := time.NewTicker(settleEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if n, err := h.Directory.Settle(ctx); err != nil && ctx.Err() == nil {
				h.Log.Error("settling an import", slog.Any("error", err))
			} else if n > 0 {
				h.Log.Info("settled an import", slog.Int("people", n))
			}
		}
	})
	h.settled = func() { cancel(); running.Wait() }
	return nil
}
