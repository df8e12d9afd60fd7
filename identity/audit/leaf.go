package audit

import (
	"fmt"
	"strconv"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/musubi-hub/musubi/policies"
)

// record is a row as the log keeps it. Its leaf is computed from nothing else.
type record struct {
	ID         string `json:"id"`
	At         int64  `json:"at"` // UTC, microseconds
	Actor      string `json:"actor"`
	ActorKind  string `json:"actor_kind"`
	Action     string `json:"action"`
	Org        string `json:"org"`
	Object     string `json:"object"`
	Outcome    string `json:"outcome"`
	Reason     string `json:"reason"`
	PolicyHash string `json:"policy_hash"`
	Detail     string `json:"detail"`     // JSON, the very bytes
	Commitment string `json:"commitment"` // hex SHA-256 of salt and personal data; empty where there never was any
}

// recordColumns are record's fields in audit_row, called r.
const recordColumns = `r.id, r.at, r.actor, r.actor_kind, r.action, r.org, r.object, r.outcome, r.reason, r.policy_hash, r.detail, r.commitment`

func (c *record) fields() []any {
	return []any{
		&c.ID, &c.At, &c.Actor, &c.ActorKind, &c.Action, &c.Org, &c.Object, &c.Outcome, &c.Reason, &c.PolicyHash, &c.Detail, &c.Commitment,
	}
}

// leafVersion is the version of leaf's form. A new form gets a new number; rows that were sequenced keep theirs.
const leafVersion = 1

// leaf gives the bytes that the log commits to: a first line, then for each field its name, its length in bytes and its value.
// The lengths keep two different rows from ever giving the same bytes. It is described in docs/audit.md; others can compute it.
func (c record) leaf(b []byte) []byte {
	b = append(b, "musubi audit row v1\n"...)
	var number [20]byte
	for _, f := range [...]struct{ name, value string }{
		{"id", c.ID},
		{"at", string(strconv.AppendInt(number[:0], c.At, 10))},
		{"actor", c.Actor},
		{"actor_kind", c.ActorKind},
		{"action", c.Action},
		{"org", c.Org},
		{"object", c.Object},
		{"outcome", c.Outcome},
		{"reason", c.Reason},
		{"policy_hash", c.PolicyHash},
		{"detail", c.Detail},
		{"commitment", c.Commitment},
	} {
		b = append(b, f.name...)
		b = append(b, ' ')
		b = strconv.AppendInt(b, int64(len(f.value)), 10)
		b = append(b, '\n')
		b = append(b, f.value...)
		b = append(b, '\n')
	}
	return b
}

// hash gives the leaf's hash in the form of this version.
func (c record) hash(version int64, scratch []byte) (tlog.Hash, []byte, error) {
	if version != leafVersion {
		return tlog.Hash{}, scratch, fmt.Errorf("has a leaf of version %d, this program knows version %d", version, leafVersion)
	}
	scratch = c.leaf(scratch[:0])
	return tlog.RecordHash(scratch), scratch, nil
}

// row gives what Find tells, but for the personal data and the place in the log.
func (c record) row() (Row, error) {
	r := Row{
		ID: c.ID, At: c.At, Actor: c.Actor, ActorKind: ActorKind(c.ActorKind), Action: c.Action, Org: policies.OrgID(c.Org), Object: c.Object,
		Outcome: Outcome(c.Outcome), Reason: c.Reason, PolicyHash: c.PolicyHash,
	}
	var err error
	if r.Detail, err = fromJSON(c.Detail); err != nil {
		return r, fmt.Errorf("audit: row %s: its detail isn't JSON: %w", c.ID, err)
	}
	return r, nil
}
