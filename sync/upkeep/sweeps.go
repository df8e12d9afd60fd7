package upkeep

import (
	"context"
	"time"
)

// How much one batch does: on SQLite a few tens of milliseconds of its writer. The end of a session writes to several tables and tells relying
// parties.
const (
	rowsAtOnce     = 200
	sessionsAtOnce = 25
)

// How long what has ended is kept.
const (
	KeepSessions   = 30 * 24 * time.Hour // so that a person's question "who was logged in" has an answer beside the audit log
	KeepReceipts   = 90 * 24 * time.Hour // of logouts, and of notices
	KeepChallenges = time.Hour           // longer than a ticket lives
)

// LoginRequests removes requests and attempts a day after their end. d is login.Dispatcher.
func LoginRequests(d interface {
	Sweep(ctx context.Context, limit int) (more bool, err error)
},
) Sweep {
	return Sweep{
		"login_requests", "login requests a day after their end", 5 * time.Minute,
		func(ctx context.Context) (bool, error) { return d.Sweep(ctx, rowsAtOnce) },
	}
}

// Sessions ends sessions that are too old, and removes those that ended long ago. s is session.Store.
func Sessions(s interface {
	Sweep(ctx context.Context, now time.Time, keep time.Duration, limit int) (more bool, err error)
}, now func() time.Time,
) Sweep {
	return Sweep{
		"sessions", "sessions older than a day end, so that relying parties hear of it; rows go 30 days after the end", time.Minute,
		func(ctx context.Context) (bool, error) { return s.Sweep(ctx, now(), KeepSessions, sessionsAtOnce) },
	}
}

// OpenID removes codes, tokens, grants and pushed requests that have expired, and old receipts of logouts. p is oidcop.Provider.
func OpenID(p interface {
	Sweep(ctx context.Context, limit int, keep int64) (rows int64, err error)
},
) Sweep {
	return Sweep{
		"openid", "codes, tokens and requests that have expired; receipts of logouts after 90 days", time.Minute,
		func(ctx context.Context) (bool, error) {
			n, err := p.Sweep(ctx, rowsAtOnce, KeepReceipts.Microseconds())
			return n >= rowsAtOnce, err // some kind may have had more
		},
	}
}

// SAML removes requests and grants that have expired. p is samlidp.Provider.
func SAML(p interface {
	Sweep(ctx context.Context, limit int) (rows int64, err error)
},
) Sweep {
	return Sweep{
		"saml", "requests that can't be sent again, and grants, that have expired", time.Minute,
		func(ctx context.Context) (bool, error) {
			n, err := p.Sweep(ctx, rowsAtOnce)
			return n >= rowsAtOnce, err // some kind may have had more
		},
	}
}

// KeyWarnings tells of certificates that end soon. warn tells each thing once.
func KeyWarnings(warn func(ctx context.Context) error) Sweep {
	return Sweep{
		"key_warnings", "warnings 90, 30 and 7 days before the certificate of a signing key ends", time.Hour,
		func(ctx context.Context) (bool, error) { return false, warn(ctx) },
	}
}

// Rehearsals removes rehearsals of a change of key, a month after their end. s is rollover.Store.
func Rehearsals(s interface {
	Sweep(ctx context.Context, at int64, limit int) (rows int64, err error)
}, now func() time.Time,
) Sweep {
	return Sweep{
		"rehearsals", "rehearsals of a change of key, a month after their end", time.Hour,
		func(ctx context.Context) (bool, error) {
			n, err := s.Sweep(ctx, now().UnixMicro(), rowsAtOnce)
			return n >= rowsAtOnce, err
		},
	}
}

// Passwords removes counters of wrong passwords that have forgotten everything. s is password.Store.
func Passwords(s interface {
	Sweep(ctx context.Context, now time.Time, limit int) (more bool, err error)
}, now func() time.Time,
) Sweep {
	return Sweep{
		"password_counters", "counters of wrong passwords that have forgotten everything", 5 * time.Minute,
		func(ctx context.Context) (bool, error) { return s.Sweep(ctx, now(), rowsAtOnce) },
	}
}

// Challenges removes card challenges that expired an hour ago. c is mynumber.Challenges.
func Challenges(c interface {
	Prune(ctx context.Context, before time.Time, limit int) (more bool, err error)
}, now func() time.Time,
) Sweep {
	return Sweep{
		"card_challenges", "challenges for cards an hour after their end", 5 * time.Minute,
		func(ctx context.Context) (bool, error) { return c.Prune(ctx, now().Add(-KeepChallenges), rowsAtOnce) },
	}
}

// Logouts gives up logouts that no job delivers any more. do is logout.Sweep's.
func Logouts(do func(ctx context.Context) (more bool, err error)) Sweep {
	return Sweep{"logouts", "logouts that no job delivers any more are shown as failed", 10 * time.Minute, do}
}

// Notices removes old receipts of notices to people. s is notice.Store.
func Notices(s interface {
	Sweep(ctx context.Context, now time.Time, keep time.Duration, limit int) (more bool, err error)
}, now func() time.Time,
) Sweep {
	return Sweep{
		"notices", "receipts of notices to people after 90 days", time.Hour,
		func(ctx context.Context) (bool, error) { return s.Sweep(ctx, now(), KeepReceipts, rowsAtOnce) },
	}
}
