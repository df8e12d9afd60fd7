package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/connectors"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/quota"
)

// shareSpan is the least time over which a share of a quota is told: less would only show single requests.
const shareSpan = 2 * time.Second

// quotaShares tells how much of each product's quota all nodes use together, from how the buckets drain and fill.
type quotaShares struct {
	at   time.Time
	had  map[connectors.Class]float64 // tokens then
	text string
}

// look reads the buckets, and gives the fullest used class of each product, e.g. "slack 97 %". It changes every shareSpan. A product whose buckets
// stay full isn't named: its quota isn't what limits the pace.
func (q *quotaShares) look(ctx context.Context, h *boot.Hub, now time.Time) string {
	if h.Quota == nil || now.Sub(q.at) < shareSpan {
		return q.text
	}
	usage, err := h.Quota.Usage(ctx)
	if err != nil {
		return q.text // the progress itself will say so
	}
	if q.had != nil {
		q.text = sharesOf(usage, q.had, now.Sub(q.at))
	}
	q.at, q.had = now, map[connectors.Class]float64{}
	for _, u := range usage {
		q.had[u.Class] = u.Tokens
	}
	return q.text
}

// drained is the part of its capacity below which a bucket is being drained. Above it part of the refill was lost, nobody knows how much.
const drained = 0.9

// sharesOf compares what was taken from each bucket with what was refilled meanwhile.
func sharesOf(usage []quota.Usage, had map[connectors.Class]float64, span time.Duration) string {
	best := map[policies.Product]float64{}
	for _, u := range usage {
		if most := drained * u.Capacity; u.Tokens > most || had[u.Class] > most {
			continue
		}
		refill := u.Rate * span.Seconds()
		share := min(max((refill+had[u.Class]-u.Tokens)/refill, 0), 1)
		product, _, _ := strings.Cut(string(u.Class), ".")
		best[policies.Product(product)] = max(best[policies.Product(product)], share)
	}
	var parts []string
	for _, p := range policies.Products() {
		if share, ok := best[p]; ok {
			parts = append(parts, fmt.Sprintf("%s %.0f %%", p, 100*share))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return "枠 / quota " + strings.Join(parts, ", ")
}
