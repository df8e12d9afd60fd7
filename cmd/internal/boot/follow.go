package boot

import (
	"context"
	"sync"
	"time"

	"github.com/musubi-hub/musubi/sync/provision"
)

// Follow makes plans of changes in the directory by itself until the hub is closed, where that is configured. It needs the job engine.
func (h *Hub) Follow(ctx context.Context) {
	if h.Config.Live.Plans != "yes" || h.node == "" || !h.HasAccounts() {
		return
	}
	seconds := func(f float64) time.Duration { return time.Duration(f * float64(time.Second)) }
	f := provision.NewFollower(h.Provision, h.Planner, h.Engine, h.Dated, h.node,
		provision.Pace{Quiet: seconds(h.Config.Live.Quiet), Longest: seconds(h.Config.Live.Longest)}, h.Log)
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	running.Go(func() { f.Run(ctx) })
	h.followed = func() { cancel(); running.Wait() }
}
