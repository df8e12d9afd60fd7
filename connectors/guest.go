package connectors

import (
	"context"
	"time"
)

// Guest says how an account is limited.
type Guest struct {
	Guest   bool      // false: a full member
	Expires time.Time // when the product itself ends the access, UTC; zero: never
}

// GuestWriter makes accounts that reach only what they are invited to, and that end by themselves.
type GuestWriter interface {
	// CreateGuest makes the account as a guest until expires; zero: until it is disabled. Errors as CreateAccount.
	CreateGuest(ctx context.Context, want Account, expires time.Time) (Account, error)
	// SetGuestExpiry moves the end of a guest's access. It is idempotent. KindInvalid: the account is no guest.
	SetGuestExpiry(ctx context.Context, accountID string, expires time.Time) error
	// SetGuest makes a guest of a full member, or a full member of a guest, or moves a guest's end. It is idempotent.
	SetGuest(ctx context.Context, accountID string, want Guest) error
	// ReadGuest tells whether the account is a guest, and until when.
	ReadGuest(ctx context.Context, accountID string) (Guest, error)
}
