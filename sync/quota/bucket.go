package quota

import (
	"math"
	"math/bits"
	"time"

	"github.com/musubi-hub/musubi/connectors"
)

// micro is a millionth of a token. With times in microseconds, a rate in tokens a second is micros a microsecond times a
// million, and all arithmetic is of integers.
type micro int64

const token micro = 1_000_000

func tokens(n int) micro { return micro(n) * token }

// clockSlack is how far another node's clock may run ahead before its mark in the bucket is ignored.
const clockSlack = time.Minute

// rule is a budget in the bucket's units, with the shares that follow from it.
type rule struct {
	class    connectors.Class
	perSec   micro // refill a second
	capacity micro // what the bucket holds: the burst less what a lease may hold back
	kept     micro // the part of capacity that only urgent callers get
	spare    micro // the most that a lease takes beyond those who wait
	lease    time.Duration
}

// newRule derives the bucket's rule. A lease holds back up to its length times the rate; the bucket is made smaller by that, so
// that leases spent late never add up with a full bucket to more than the burst. A budget too small to be leased (less than two
// tokens a lease, or a lease of more than a quarter of the burst cut down to that) is taken token by token.
func newRule(b connectors.Budget, opt Options) rule {
	r := rule{class: b.Class, perSec: micro(math.Round(b.Rate * float64(token))), capacity: tokens(b.Burst)}
	share := math.Floor(float64(b.Burst) * opt.LeaverShare)
	r.kept = tokens(int(share))
	most := min(b.Rate*opt.Lease.Seconds(), float64(b.Burst)/4)
	if whole := math.Floor(most); whole >= 2 {
		r.spare = tokens(int(whole))
		r.capacity -= r.spare
		r.lease = r.timeFor(r.spare)
	}
	return r
}

// scale is a * mul / div, rounded up if up, and the largest int64 where it doesn't fit. No argument is negative.
func scale(a, mul, div int64, up bool) int64 {
	hi, lo := bits.Mul64(uint64(a), uint64(mul)) // #nosec G115 -- not negative
	if hi >= uint64(div) {                       // #nosec G115
		return math.MaxInt64
	}
	q, r := bits.Div64(hi, lo, uint64(div)) // #nosec G115
	if up && r > 0 {
		q++
	}
	return int64(min(q, math.MaxInt64)) // #nosec G115 -- bounded here
}

// longest is what timeFor says at most, far beyond any wait.
const longest = 366 * 24 * time.Hour

// timeFor is how long the refill of m takes, rounded up to a microsecond.
func (r rule) timeFor(m micro) time.Duration {
	us := scale(int64(max(m, 0)), 1e6, int64(r.perSec), true)
	return time.Duration(min(us, longest.Microseconds())) * time.Microsecond
}

// refill is what flows in during the given microseconds, rounded down.
func (r rule) refill(us int64) micro { return micro(scale(max(us, 0), int64(r.perSec), 1e6, false)) }

// bucket is a row of quota_bucket. Times are UTC microseconds.
type bucket struct {
	tokens         micro
	updatedAt      int64
	throttledUntil int64
}

// at is the bucket at now: refilled since its last change, from the end of the vendor's pause if there was one.
func (b bucket) at(r rule, now int64) bucket {
	if b.updatedAt > now+clockSlack.Microseconds() {
		b.updatedAt = now
	}
	b.tokens = min(b.tokens, r.capacity)
	from := max(b.updatedAt, b.throttledUntil)
	if now <= from {
		return b
	}
	gain := r.refill(now - from)
	if gain >= r.capacity-b.tokens {
		b.tokens, b.updatedAt = r.capacity, now
		return b
	}
	// Only the time that the gain took has passed for the bucket: what is less than a millionth stays for the next time, or a
	// slow bucket that is looked at often would never fill.
	b.tokens += gain
	b.updatedAt = from + r.timeFor(gain).Microseconds()
	return b
}

// take gives at least need and at most want, in whole tokens, from a bucket that is at now, or nothing and how long to wait for
// need. Both are whole tokens.
func (b *bucket) take(r rule, now int64, need, want micro, urgent bool) (got micro, wait time.Duration) {
	floor := r.kept
	if urgent {
		floor = 0
	}
	pause := time.Duration(max(b.throttledUntil-now, 0)) * time.Microsecond
	free := b.tokens - floor
	if pause > 0 || free < need {
		return 0, pause + r.timeFor(need-free)
	}
	got = min(want, free/token*token)
	b.tokens -= got
	return got, 0
}
