package connectors

import (
	"net/http"
	"time"
)

// Delivery is a request that came in from a vendor, before anything in it is believed.
type Delivery struct {
	Header http.Header
	Body   []byte // octets as received: the signature is over them
}

// EventReader verifies and parses what a vendor delivers by HTTP. It touches neither network nor clock and keeps nothing: the
// caller stores Received under its Key and its Signed before it answers, and does nothing where one of the two is stored already.
// Neither need be kept longer than MaxDeliveryAge.
type EventReader interface {
	// ReadEvent verifies d as of now, then parses it. KindAuth: the signature is wrong, missing or too old. KindTooLarge: longer
	// than any real delivery. KindInvalid: signed, but not what the contract says. Received.Reply is what to answer in each case.
	ReadEvent(now time.Time, d Delivery) (Received, error)
}

// MaxDeliveryAge is how long after it was made a delivery may be believed, at most. Vendors give up far sooner.
const MaxDeliveryAge = 24 * time.Hour

// Received is a verified delivery.
type Received struct {
	Key     string // the same for each repetition of one delivery by the vendor
	Signed  string // of what was signed, where that doesn't cover Key: the same when somebody else repeats it under another Key; empty: Key is signed
	Tenant  string // the vendor's id of the workspace or site
	Attempt int    // 1 for the first
	Reason  string // why the vendor delivers again, in its own code; empty for the first attempt
	Events  []Event
	Reply   Reply
}

// Reply is what the vendor expects as the answer, once the events are stored.
type Reply struct {
	Status int
	Header http.Header // may be nil
	Body   []byte
}

// Event is something that happened at the vendor: one of the types below.
type Event interface{ event() }

// MessagePosted is a new message. One that calls the hub may come twice, as a message and as a mention, under two keys and one ID.
type MessagePosted struct {
	At       time.Time
	Channel  string
	ID       string // Sent.ID
	Thread   string // Sent.Thread; equal to ID where the message begins a thread
	Account  string // who wrote it; empty where an app without an account did
	App      bool   // an app wrote it: the hub itself, perhaps
	Direct   bool   // a direct message
	Mention  bool   // it calls the hub by name
	Subject  string
	Text     string // plain text
	Original string // the text in the vendor's own markup
}

// MessageChanged is a message whose text was edited.
type MessageChanged struct {
	At       time.Time
	Channel  string
	ID       string
	Thread   string
	Account  string
	App      bool
	Text     string
	Original string
}

// MessageDeleted is a message that was taken back.
type MessageDeleted struct {
	At      time.Time
	Channel string
	ID      string
}

// Reaction is a sign that somebody put to a message, or took back.
type Reaction struct {
	At      time.Time
	Channel string
	ID      string // of the message
	Account string
	Name    string // "white_check_mark"
	Removed bool
}

// Membership is somebody coming into a channel, or leaving it.
type Membership struct {
	At      time.Time
	Channel string
	Account string
	Left    bool
}

// ChannelChanged is a channel that was made, renamed, archived, brought back or deleted.
type ChannelChanged struct {
	At      time.Time
	Channel string
	Name    string // where the vendor tells it
	Change  string // "created", "renamed", "archived", "unarchived", "deleted"
}

// AccountChanged is an account that appeared or changed at the vendor: a hint to read it, not the truth.
type AccountChanged struct {
	At      time.Time
	Account string
	Joined  bool
	Active  bool
}

// Interaction is a press of a button that a Message offered.
type Interaction struct {
	At      time.Time
	Channel string
	Message string // Sent.ID of the message
	Thread  string
	Account string // who pressed
	Action  string // Action.ID
	Value   string // Action.Value
}

// DeliveriesLost says that the vendor left out events: what happened must be read instead.
type DeliveriesLost struct {
	At     time.Time
	Reason string // the vendor's own code
}

// AccessEnded says that the hub's credential was withdrawn at the vendor.
type AccessEnded struct {
	At     time.Time
	Reason string // the vendor's own code
}

// OtherEvent is one that the hub has no type for; it is stored and left alone.
type OtherEvent struct {
	At   time.Time
	Type string // the vendor's own name
}

func (MessagePosted) event()  {}
func (MessageChanged) event() {}
func (MessageDeleted) event() {}
func (Reaction) event()       {}
func (Membership) event()     {}
func (ChannelChanged) event() {}
func (AccountChanged) event() {}
func (Interaction) event()    {}
func (DeliveriesLost) event() {}
func (AccessEnded) event()    {}
func (OtherEvent) event()     {}
