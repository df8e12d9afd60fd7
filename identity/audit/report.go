package audit

import "fmt"

// FaultKind says what Verify found.
type FaultKind string

// The kinds of fault.
const (
	FaultChanged    FaultKind = "changed"     // a row isn't what was signed
	FaultRemoved    FaultKind = "removed"     // a row, or its place in the log, is gone
	FaultReordered  FaultKind = "reordered"   // rows changed places
	FaultInserted   FaultKind = "inserted"    // a row is there that was never signed
	FaultForged     FaultKind = "forged"      // a checkpoint isn't signed by a known key, or says what wasn't signed
	FaultCut        FaultKind = "cut"         // the log ends before a checkpoint does
	FaultRewritten  FaultKind = "rewritten"   // rows and stored hashes agree with each other, but not with what was signed
	FaultHash       FaultKind = "hash"        // a stored hash is wrong, the rows are right
	FaultCheckpoint FaultKind = "checkpoint"  // a checkpoint of the history is gone
	FaultPersonal   FaultKind = "personal"    // personal data isn't what the row committed to
	FaultOtherLog   FaultKind = "another_log" // a checkpoint that was given is of another log
)

// Fault is one thing that isn't as it was signed.
type Fault struct {
	Kind FaultKind `json:"kind"`
	// From and Until bound the places in the log, Until excluded; equal where it is about no place.
	From  int64 `json:"from"`
	Until int64 `json:"until"`
	// FromAt and UntilAt are the times of the checkpoints around them (UTC, microseconds); 0: none.
	FromAt  int64  `json:"from_at,omitempty"`
	UntilAt int64  `json:"until_at,omitempty"`
	Row     string `json:"row,omitempty"` // the row's id
	Text    string `json:"text"`
}

// MaxFaults is how many faults a report lists; the rest is counted.
const MaxFaults = 200

// Report is what Verify found.
type Report struct {
	Origin      string  `json:"origin"`
	Rows        int64   `json:"rows"`        // in the log
	Checkpoints int64   `json:"checkpoints"` // whose signature is good
	Kept        int     `json:"kept"`        // checkpoints given from elsewhere that the log agrees with
	Last        int64   `json:"last_at"`     // time of the newest good checkpoint, UTC in microseconds; 0: none
	Unsequenced int64   `json:"unsequenced"` // rows that wait for their place: what a crash or a thief could still take away unseen
	Oldest      int64   `json:"oldest_unsequenced_at"`
	Personal    int64   `json:"personal"`    // rows whose personal data is there
	Erased      int64   `json:"erased"`      // rows whose personal data was erased
	Unconfirmed int64   `json:"unconfirmed"` // rows behind a fault that no later checkpoint could be computed over
	Faults      []Fault `json:"faults"`
	More        int64   `json:"more_faults"` // beyond those listed
}

// OK reports whether the log is what was signed.
func (r *Report) OK() bool { return len(r.Faults) == 0 }

func (r *Report) fault(f Fault, format string, args ...any) {
	f.Text = fmt.Sprintf(format, args...)
	if len(r.Faults) >= MaxFaults {
		r.More++
		return
	}
	r.Faults = append(r.Faults, f)
}
