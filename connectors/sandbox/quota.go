package sandbox

import (
	"cmp"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/musubi-hub/musubi/connectors/sandbox/site"
)

// quotaSet is a token bucket for each class of each product: capacity is the burst, refill the rate.
type quotaSet struct {
	mu      sync.Mutex
	scale   float64
	buckets map[quotaKey]*bucket
}

type quotaKey struct{ app, class string }

type bucket struct {
	limit             site.Limit
	tokens            float64
	first, last       time.Time
	accepted, refused int64
}

func newQuotaSet(scale float64) *quotaSet {
	return &quotaSet{scale: scale, buckets: map[quotaKey]*bucket{}}
}

// scaled applies the demonstration's factor to a vendor's limit.
func (q *quotaSet) scaled(l site.Limit) site.Limit {
	return site.Limit{Rate: l.Rate * q.scale, Burst: max(1, int(math.Round(float64(l.Burst)*q.scale)))}
}

// take uses one token. Without one it says when there will be.
func (q *quotaSet) take(app, class string, limit site.Limit, now time.Time) (ok bool, remaining int, after time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	b := q.buckets[quotaKey{app, class}]
	if b == nil {
		b = &bucket{limit: limit, tokens: float64(limit.Burst), first: now, last: now}
		q.buckets[quotaKey{app, class}] = b
	}
	if passed := now.Sub(b.last); passed > 0 { // a clock that was set back refills nothing
		b.tokens = min(float64(limit.Burst), b.tokens+passed.Seconds()*limit.Rate)
		b.last = now
	}
	if b.tokens < 1 {
		b.refused++
		return false, 0, time.Duration((1 - b.tokens) / limit.Rate * float64(time.Second))
	}
	b.tokens--
	b.accepted++
	return true, int(b.tokens), 0
}

func (q *quotaSet) clear() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.buckets = map[quotaKey]*bucket{}
}

// QuotaReport is one class of the document of /_control/quota.
type QuotaReport struct {
	App      string  `json:"app"`
	Class    string  `json:"class"`
	Rate     float64 `json:"rate_per_second"` // scaled
	Burst    int     `json:"burst"`           // scaled
	Requests int64   `json:"requests"`        // let through and refused
	Rejected int64   `json:"rejected"`
	Share    float64 `json:"share"` // of what the limit would have let through since the first request
}

// Quotas lists the classes that were used.
func (s *Sandbox) Quotas() []QuotaReport { return s.quotas.list(s.now()) }

func (q *quotaSet) list(now time.Time) []QuotaReport {
	q.mu.Lock()
	defer q.mu.Unlock()
	list := make([]QuotaReport, 0, len(q.buckets))
	for k, b := range q.buckets {
		possible := float64(b.limit.Burst) + max(0, now.Sub(b.first).Seconds())*b.limit.Rate
		list = append(list, QuotaReport{
			k.app, k.class, b.limit.Rate, b.limit.Burst, b.accepted + b.refused, b.refused,
			math.Round(float64(b.accepted)/possible*10000) / 10000,
		})
	}
	slices.SortFunc(list, func(a, b QuotaReport) int { return cmp.Or(cmp.Compare(a.App, b.App), cmp.Compare(a.Class, b.Class)) })
	return list
}
