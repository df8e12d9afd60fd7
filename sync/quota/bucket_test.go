package quota

import (
	"math"
	"math/big"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/musubi-hub/musubi/connectors"
)

func TestScaleIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, mul := rapid.Int64Min(0).Draw(t, "a"), rapid.Int64Min(0).Draw(t, "mul")
		div := rapid.Int64Min(1).Draw(t, "div")
		up := rapid.Bool().Draw(t, "up")
		q, r := new(big.Int).QuoRem(new(big.Int).Mul(big.NewInt(a), big.NewInt(mul)), big.NewInt(div), new(big.Int))
		if up && r.Sign() > 0 {
			q.Add(q, big.NewInt(1))
		}
		want := int64(math.MaxInt64)
		if q.IsInt64() {
			want = q.Int64()
		}
		if got := scale(a, mul, div, up); got != want {
			t.Fatalf("%d * %d / %d = %d, want %d", a, mul, div, got, want)
		}
	})
}

// TestBucketThatIsLookedAtOftenStillFills holds that looking loses nothing: however often a bucket is read and written back, it
// gains what one look at the end would, and never more.
func TestBucketThatIsLookedAtOftenStillFills(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := connectors.Budget{Class: "a.x", Rate: rapid.Float64Range(minRate, 1000).Draw(t, "rate"), Burst: rapid.IntRange(1, 1000).Draw(t, "burst")}
		r := newRule(b, Options{}.withDefaults())
		start := bucket{updatedAt: 1_000_000}
		often, now := start, start.updatedAt
		steps := rapid.SliceOfN(rapid.Int64Range(1, 5000), 1, 200).Draw(t, "steps")
		for _, s := range steps {
			now += s
			often = often.at(r, now)
		}
		once := start.at(r, now)
		// Each look may round the time by less than a microsecond.
		slack := r.refill(int64(len(steps))) + 1
		if often.tokens > once.tokens || often.tokens < once.tokens-slack {
			t.Fatalf("looked at %d times it holds %d, once %d", len(steps), often.tokens, once.tokens)
		}
		if once.tokens > r.capacity {
			t.Fatalf("%d tokens in a bucket of %d", once.tokens, r.capacity)
		}
	})
}

func TestRule(t *testing.T) {
	opt := Options{}.withDefaults()
	for _, tc := range []struct {
		rate                  float64
		burst                 int
		capacity, kept, spare micro
		lease                 time.Duration
	}{
		{100, 100, 75, 5, 25, 250 * time.Millisecond},
		{3, 20, 20, 1, 0, 0},                          // Slack's SCIM writes: too slow to be leased
		{1, 1, 1, 0, 0, 0},                            // nothing can be kept of one
		{1000, 20, 15, 1, 5, 5 * time.Millisecond},    // a lease is at most a quarter of the burst
		{10, 400, 398, 20, 2, 200 * time.Millisecond}, // whole tokens only
	} {
		r := newRule(connectors.Budget{Class: "a", Rate: tc.rate, Burst: tc.burst}, opt)
		if r.capacity != tc.capacity*token || r.kept != tc.kept*token || r.spare != tc.spare*token || r.lease != tc.lease {
			t.Errorf("rate %g, burst %d: %+v", tc.rate, tc.burst, r)
		}
	}
}

func TestBucketIgnoresAClockFarAhead(t *testing.T) {
	r := newRule(connectors.Budget{Class: "a", Rate: 1, Burst: 10}, Options{}.withDefaults())
	now := time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC).UnixMicro()
	b := bucket{updatedAt: now + (2 * time.Hour).Microseconds()} // another node's clock was wrong
	b = b.at(r, now)
	if b.tokens != 0 {
		t.Errorf("%d tokens out of nothing", b.tokens)
	}
	if b = b.at(r, now+(3*time.Second).Microseconds()); b.tokens != 3*token {
		t.Errorf("%d after three seconds, want 3 tokens: the bucket waits for the wrong clock", b.tokens)
	}
}
