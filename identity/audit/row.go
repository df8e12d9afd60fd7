package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/musubi-hub/musubi/policies"
)

// ActorKind says what the actor of a row is.
type ActorKind string

// The kinds of actor.
const (
	ActorPerson     ActorKind = "person"      // Actor is a person's id
	ActorBreakGlass ActorKind = "break_glass" // Actor is the operating system user's name
	ActorSystem     ActorKind = "system"      // Actor is the name of the hub's own task
)

// Outcome says how an attempt ended.
type Outcome string

// The outcomes.
const (
	Allowed Outcome = "allowed" // permitted; whether it was then done is another row
	Refused Outcome = "refused"
	Done    Outcome = "done"
)

// The bounds of a row, in bytes.
const (
	MaxName   = 128 // Actor, Action, Org
	MaxObject = 256
	MaxReason = 1000
	MaxDetail = 8 << 10 // as JSON
	// MaxPersonal is the bound of Personal, as JSON.
	MaxPersonal = 8 << 10
)

// Row is one entry. It carries ids, never names or addresses of people, but for Personal.
type Row struct {
	ID         string // unique; Append makes one where it is empty
	At         int64  // UTC, microseconds
	Actor      string
	ActorKind  ActorKind
	Action     string         // a policies.Action or another dotted name, e.g. "credential.issue"
	Org        policies.OrgID // whom it concerns; empty for the whole workspace
	Object     string         // what it was done to: a person's id, a plan's hash; may be empty
	Outcome    Outcome
	Reason     string         // policy ids, or why; may be empty
	PolicyHash string         // of the policy set that decided; empty where none did
	Detail     map[string]any // whatever else makes the row understandable: counts, ids; may be nil

	// Personal is what the row says of a person beyond ids: an address, a name. It is kept beside the log, which holds only a
	// salted commitment to it, and Erase takes it away. May be nil.
	Personal map[string]any

	// What Find tells; Append ignores it.
	Sequenced bool  // the row has its place in the log
	Seq       int64 // that place, from 0
	Erased    bool  // the row had personal data once
}

// mail recognizes what looks like an e-mail address. It is a net under the rule that rows carry ids only.
var mail = regexp.MustCompile(`[^\s@"']@[^\s@"']+\.[^\s@"']`)

// check refuses a row that can't be kept, and gives it as it is kept, without the commitment.
func (r Row) check() (rec record, err error) {
	switch {
	case r.At <= 0:
		return rec, errors.New("has no time")
	case r.Actor == "":
		return rec, errors.New("has no actor")
	case !slices.Contains([]ActorKind{ActorPerson, ActorBreakGlass, ActorSystem}, r.ActorKind):
		return rec, fmt.Errorf("has the unknown actor kind %q", r.ActorKind)
	case r.Action == "":
		return rec, errors.New("has no action")
	case !slices.Contains([]Outcome{Allowed, Refused, Done}, r.Outcome):
		return rec, fmt.Errorf("has the unknown outcome %q", r.Outcome)
	}
	detail, err := asJSON(r.Detail)
	if err != nil {
		return rec, fmt.Errorf("has a detail that isn't JSON: %w", err)
	}
	for _, f := range []struct {
		name, value string
		limit       int
	}{
		{"id", r.ID, MaxName},
		{"actor", r.Actor, MaxName},
		{"action", r.Action, MaxName},
		{"org", string(r.Org), MaxName},
		{"object", r.Object, MaxObject},
		{"reason", r.Reason, MaxReason},
		{"policy hash", r.PolicyHash, MaxName},
		{"detail", detail, MaxDetail},
	} {
		switch {
		case len(f.value) > f.limit:
			return rec, fmt.Errorf("has %d bytes of %s; at most %d are kept", len(f.value), f.name, f.limit)
		case !utf8.ValidString(f.value):
			return rec, fmt.Errorf("has a %s that isn't UTF-8", f.name)
		case slices.Contains([]byte(f.value), 0):
			return rec, fmt.Errorf("has a NUL character in its %s", f.name)
		case f.name == "actor" && r.ActorKind == ActorBreakGlass:
			// A user of a domain is called user@domain by some systems.
		case strings.Contains(f.value, "@") && mail.MatchString(f.value): // the first is a hundred times as fast
			return rec, fmt.Errorf("has what looks like an e-mail address in its %s; rows carry ids only", f.name)
		}
	}
	return record{
		ID: r.ID, At: r.At, Actor: r.Actor, ActorKind: string(r.ActorKind), Action: r.Action, Org: string(r.Org), Object: r.Object,
		Outcome: string(r.Outcome), Reason: r.Reason, PolicyHash: r.PolicyHash, Detail: detail,
	}, nil
}

// asJSON gives an object whose keys are sorted, so that equal rows are equal bytes.
func asJSON(m map[string]any) (string, error) {
	if len(m) == 0 {
		return "{}", nil
	}
	b, err := json.Marshal(m)
	return string(b), err
}
