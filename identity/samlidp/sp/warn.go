package sp

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/musubi-hub/musubi/identity"
)

// Expiring lists what ends soon of all providers, each provider's together, by id. now is UTC in microseconds.
func (s *Sources) Expiring(ctx context.Context, now int64) ([]Expiry, error) {
	all, err := s.All(ctx)
	if err != nil {
		return nil, err
	}
	var out []Expiry
	for _, o := range all {
		out = append(out, Expiring(o.SP, o.Status.ValidUntil, now)...)
	}
	return out, nil
}

// notice is what people are told of an end: once for each threshold of each certificate.
func (e Expiry) notice(at int64) identity.Notice {
	of := e.Fingerprint
	if e.Use == UseMetadata {
		of = fmt.Sprint(e.Until)
	}
	return identity.Notice{
		ID: fmt.Sprintf("rp-expires %s %s %.32s %d", e.Party, e.Use, of, e.Threshold), At: at, Kind: identity.NoticeExpires, Object: string(e.Party),
		Detail: fmt.Sprintf("%s %s %d", e.Use, time.UnixMicro(e.Until).UTC().Format(time.DateOnly), e.Threshold),
	}
}

// warnAtOnce is how many notices one transaction makes.
const warnAtOnce = 25

// Warn tells the system administrators what ends soon, and gives how many ends there were to tell of; what was told before isn't told again.
func (s *Sources) Warn(ctx context.Context, now int64) (ends int, err error) {
	all, err := s.Expiring(ctx, now)
	if err != nil || s.tell == nil {
		return 0, err
	}
	all = slices.DeleteFunc(all, func(e Expiry) bool { return !e.Tell(now) })
	for part := range slices.Chunk(all, warnAtOnce) {
		err := s.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
			for _, e := range part {
				if err := s.tell.EnqueueNotice(ctx, tx, e.notice(now)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return 0, fmt.Errorf("metadata: warn of what ends: %w", err)
		}
		s.db.Yield(ctx)
	}
	return len(all), nil
}

// Summary counts what administrators have to look at.
type Summary struct {
	Waits   int         // proposals that wait for a person
	Failing int         // sources of which the newest try failed
	Ending  map[int]int // certificates and metadata without a successor, by threshold in days; 0: ended
}

// Ends is how many end soon, or have ended.
func (s Summary) Ends() (n int) {
	for _, k := range s.Ending {
		n += k
	}
	return n
}

// summaryAge is how old what is counted of failures and ends may be: each page asks, and nothing of it changes fast.
const summaryAge = time.Minute

type counted struct {
	mu  sync.Mutex
	at  int64
	sum Summary
}

// Summary counts at now (UTC, microseconds). What waits is as it is; the rest is up to a minute old.
func (s *Sources) Summary(ctx context.Context, now int64) (Summary, error) {
	s.counted.mu.Lock()
	defer s.counted.mu.Unlock()
	if age := now - s.counted.at; s.counted.at == 0 || age < 0 || age > summaryAge.Microseconds() {
		all, err := s.All(ctx)
		if err != nil {
			return Summary{}, err
		}
		sum := Summary{Ending: map[int]int{}}
		for _, d := range append(Thresholds(), 0) {
			sum.Ending[d] = 0
		}
		for _, o := range all {
			if o.Status.Why != "" {
				sum.Failing++
			}
			for _, e := range Expiring(o.SP, o.Status.ValidUntil, now) {
				if !e.Succeeded {
					sum.Ending[e.Threshold]++
				}
			}
		}
		s.counted.at, s.counted.sum = now, sum
	}
	out := s.counted.sum
	out.Ending = maps.Clone(out.Ending)
	if err := s.db.Reader().QueryRowContext(ctx, `SELECT COUNT(*) FROM saml_proposal WHERE state = 'pending'`).Scan(&out.Waits); err != nil {
		return Summary{}, fmt.Errorf("metadata: %w", err)
	}
	return out, nil
}
