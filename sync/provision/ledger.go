package provision

import (
	"context"
	"time"

	"github.com/musubi-hub/musubi/policies"
)

// AccountState is what the ledger knows of an account.
type AccountState string

// The states of an account in the ledger. Creating means that an outward call may have been made and its answer isn't known.
const (
	StateCreating AccountState = "creating"
	StateActive   AccountState = "active"
	StateDisabled AccountState = "disabled"
)

// AccountRow is one account in the ledger.
type AccountRow struct {
	Product    policies.Product
	Person     policies.PersonID
	Org        policies.OrgID
	Seat       policies.Seat
	AccountID  string // empty while creating
	JoinID     string
	State      AccountState
	Attributes Attributes
	TriedAt    time.Time // when a call whose answer isn't known was last begun; zero if there is none
}

// GroupRow is one group in the ledger.
type GroupRow struct {
	Product policies.Product
	Org     policies.OrgID
	GroupID string // empty while its creation is under way
	Name    string
	TriedAt time.Time
}

// Standing says whether an operation may still be done.
type Standing uint8

// The standings of an operation.
const (
	StandingOpen  Standing = iota // do it
	StandingFinal                 // done, dropped or quarantined before
	StandingHeld                  // its plan isn't running (yet, or any more)
)

// View is what an operation finds when it begins, re-read at that moment: nothing is decided on what was true when it was queued.
type View struct {
	Op       Op
	Standing Standing
	Attempts int                              // attempts before this one that ended in OutcomeRetry
	Tried    bool                             // of members.add and of a change of an account: an attempt before this one may have reached the vendor
	Left     map[policies.PersonID]bool       // of the people concerned: who left the service
	Accounts map[policies.PersonID]AccountRow // of the people concerned: as the ledger had it before this attempt
	Group    *GroupRow                        // the organization's group, nil if the ledger has none
	Groups   []GroupRow                       // of a release: every group that the person is in
	Granted  bool                             // of a release: an operation that granted something after the leaving started it
	Heir     Heir                             // of a replacement and of a release: the account that may have been made in the old one's place
	Began    int64                            // when this attempt's intent was written down: UTC, microseconds; 0 where there is none
	Stamps   map[policies.PersonID]int64      // of a removal: the rows that it is to take away, as they were when it began
	Moved    map[policies.PersonID]bool       // of the people concerned: who isn't of the operation's organization any more
	Beside   map[policies.PersonID]bool       // of the people concerned: who is of another organization and holds a post in the operation's beside it
	Held     string                           // the breaker's trip that holds it now; empty: none
	Inside   map[policies.PersonID]bool       // of members.add: who is still in a group that had to be left first
	// Rival tells which person the ledger gives an account id to, "" if nobody.
	Rival func(ctx context.Context, product policies.Product, accountID string) (policies.PersonID, error)
}

// Outcome is how an attempt ended.
type Outcome string

// The outcomes. Retry leaves the operation open; the others are final.
const (
	OutcomeDone        Outcome = "done"
	OutcomeDropped     Outcome = "dropped"     // no longer wanted; planned anew if it is wanted again
	OutcomeQuarantined Outcome = "quarantined" // the vendor refuses it; a person has to look
	OutcomeRetry       Outcome = "retry"
	OutcomeSplit       Outcome = "split" // the vendor refuses a batch of members: its parts are tried by themselves
	OutcomeHeld        Outcome = "held"  // a breaker holds it until a person releases it; then it is planned anew
)

// Effect is what an attempt changed in the world, to be committed in one transaction with what follows from it.
type Effect struct {
	Outcome Outcome
	Reason  string                      // why it was dropped, quarantined or is tried again, with the vendor's own words
	Failure string                      // for OutcomeRetry: the kind of failure, as connectors.Kind names it; empty for a mere wait
	After   time.Duration               // for OutcomeRetry: not before
	Slot    bool                        // for OutcomeRetry: After is when the quota lets it through, ours or the vendor's: no longer wait is due
	Poison  bool                        // for OutcomeRetry: the failure is this object's own, not the vendor's state
	Untried bool                        // for OutcomeRetry: this attempt made nothing, so its intent is taken back
	Began   int64                       // View.Began of the attempt: only its own intent is taken back, never that of a newer one; 0: whatever there is
	Tried   time.Time                   // with Untried: when an earlier attempt may have made something; zero: none
	Account *AccountRow                 // new state of the account
	Stamps  map[policies.PersonID]int64 // View.Stamps of the attempt: only those rows are taken away; nil: whatever there is
	Group   *GroupRow                   // new state of the group
	Added   []policies.PersonID
	Removed []policies.PersonID
	Out     []policies.OrgID      // of a release: groups that the account of the receipt is out of
	Trip    string                // for OutcomeHeld: what holds it
	Parts   [][]policies.PersonID // for OutcomeSplit: the batches to try instead
	Words   string                // for OutcomeQuarantined: the vendor's own words
	Remedy  string                // for OutcomeQuarantined: what a person has to do
	Bad     policies.PersonID     // for OutcomeQuarantined of a batch: the one member whom it is about
	Receipt Receipt
}

// Receipt is the evidence of an outward effect.
type Receipt struct {
	How       string              `json:"how,omitempty"` // created, adopted, updated, enabled, disabled, added, removed, found
	AccountID string              `json:"account_id,omitempty"`
	GroupID   string              `json:"group_id,omitempty"`
	RequestID string              `json:"request_id,omitempty"` // the vendor's own, of the last call
	LeftOut   []policies.PersonID `json:"left_out,omitempty"`   // members without an active account: planned anew
}

// Ledger is where operations begin and end. Begin writes down the intent before the outward call, Finish the effect after it, with
// the jobs that become ready, in one transaction. Implemented on SQL by Store; tests have one in memory.
type Ledger interface {
	// Begin re-reads the operation and what it depends on. For an operation that makes something it first records, durably, that
	// an attempt is under way; the View shows the state before that.
	Begin(ctx context.Context, run string, seq int) (View, error)
	// BeginRelease does the same for the work that a leaver leaves in one product.
	BeginRelease(ctx context.Context, product policies.Product, person policies.PersonID, cause string) (View, error)
	// Finish commits the effect. Finishing an operation that is final already changes nothing.
	Finish(ctx context.Context, op Op, e Effect) error
}
