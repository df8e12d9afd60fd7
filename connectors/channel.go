package connectors

import (
	"context"
	"time"
)

// Channel is a conversation of a chat product.
type Channel struct {
	ID       string // the vendor's id
	Name     string // as the vendor has it, without a leading '#'
	Topic    string
	Private  bool
	Archived bool
	Made     time.Time // by the vendor's clock
}

// WantedChannel is a channel that is to be made.
type WantedChannel struct {
	// Name is brought to the product's rules: case, length, characters.
	Name string
	// Key is ours, for instance an incident's number. It is put behind the name where the name alone is taken, an archived
	// channel's name included. 1 to 32 ASCII letters, digits and '-'.
	Key     string
	Topic   string
	Private bool
}

// ChannelWriter makes channels and ends them.
type ChannelWriter interface {
	// CreateChannel makes the channel. KindConflict: the name with the key behind it is taken too. KindAmbiguous: it may have been
	// made; ask FindChannel before trying again. The topic is set by a second request: where that alone fails, the channel comes
	// back together with the error.
	CreateChannel(ctx context.Context, want WantedChannel) (Channel, error)
	// SetTopic replaces the channel's topic. It is idempotent.
	SetTopic(ctx context.Context, channelID, topic string) error
	// ArchiveChannel closes the channel; what was said in it stays. It is idempotent.
	ArchiveChannel(ctx context.Context, channelID string) error
}

// ChannelReader finds channels and who is in them.
type ChannelReader interface {
	// FindChannel looks for the channel that CreateChannel would make of want, made by the hub itself since the given time, which
	// is that of the first attempt. KindNotFound: there is none. May be stale by up to Limits.Staleness.
	FindChannel(ctx context.Context, want WantedChannel, since time.Time) (Channel, error)
	// ListChannelMembers calls page with each page of account ids.
	ListChannelMembers(ctx context.Context, channelID string, page func([]string) error) error
}

// Refused is an account that the vendor would not take in a call about many; the others were taken.
type Refused struct {
	AccountID string
	Reason    string // the vendor's own code, e.g. "user_is_ultra_restricted"
}

// ChannelMemberWriter changes who is in a channel. Inviting one who is in, or removing one who isn't, succeeds.
type ChannelMemberWriter interface {
	// InviteToChannel invites the accounts, any number of them, in batches of the vendor's size. One that the vendor refuses
	// doesn't keep the others out: it comes back. An error: not all batches were sent; the call may be repeated as a whole.
	InviteToChannel(ctx context.Context, channelID string, accountIDs []string) ([]Refused, error)
	// RemoveFromChannel removes exactly the accounts named.
	RemoveFromChannel(ctx context.Context, channelID string, accountIDs []string) ([]Refused, error)
}
