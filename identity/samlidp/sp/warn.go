package sp

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
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
