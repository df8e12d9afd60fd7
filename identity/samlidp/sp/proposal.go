package sp

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/musubi-hub/musubi/policies"
)

// ProposalState says what became of a proposal.
type ProposalState string

// The states: pending -> accepted or rejected. One whose provider published something else meanwhile is gone; its audit rows stay.
const (
	ProposalPending  ProposalState = "pending"
	ProposalAccepted ProposalState = "accepted"
	ProposalRejected ProposalState = "rejected"
)

// Proposal is what a document would change of a provider. It counts for nothing until it is accepted. Times are UTC in microseconds.
type Proposal struct {
	Party      policies.RelyingPartyID `json:"id"`
	Hash       string                  `json:"hash"` // of all that would count, with what it was made against; accepting names it
	State      ProposalState           `json:"-"`
	Document   string                  `json:"document"` // SHA-256 of the document, hex
	From       string                  `json:"from"`     // the address, or "file"
	Verified   bool                    `json:"verified"` // signed by the pinned signer
	Base       string                  `json:"base"`     // SHA-256 of the registration that it was made against
	Changes    []Change                `json:"changes"`
	Notices    []string                `json:"notices,omitempty"` // what of the document was left out, and why
	ValidUntil int64                   `json:"valid_until,omitempty"`
	Terms      Terms                   `json:"terms"`
	Draft      SP                      `json:"draft"` // what would be registered
	CreatedAt  int64                   `json:"-"`
	DecidedAt  int64                   `json:"-"`
	DecidedBy  string                  `json:"-"`
	Why        string                  `json:"-"` // it was rejected
}

// Terms are what metadata says where a registration may say otherwise: an administrator can ask for signatures that the provider doesn't
// promise, or choose the form of name. What they say counts again when it changes.
type Terms struct {
	Signed  bool     `json:"signed,omitempty"`
	NameIDs []NameID `json:"name_ids,omitempty"`
}

func (m Metadata) terms() Terms { return Terms{m.Signed, m.NameIDs} }

// Reading is a document that was read, and where it came from.
type Reading struct {
	Metadata
	Document string // SHA-256 of it, hex
	From     string // the address, or "file"

	under string // the source by whose signers it was read
}

// Read reads a document as ReadMetadata does, and keeps what names it.
func Read(data []byte, from string, at int64, source Source) (Reading, error) {
	signers, err := source.signers()
	if err != nil {
		return Reading{}, err
	}
	m, err := ReadMetadata(data, at, signers)
	if err != nil {
		return Reading{}, err
	}
	sum := sha256.Sum256(data)
	return Reading{m, hex.EncodeToString(sum[:]), from, source.name()}, nil
}

// onto makes the provider as the metadata would have it, in the networks given: none for all of them. last are the terms of the metadata that
// is in force, nil where none was ever accepted.
func (m Metadata) onto(p SP, networks []policies.Network, last *Terms) (SP, error) {
	p.Faces = slices.Clone(p.Faces)
	for _, n := range networks {
		if _, ok := p.Face(n); !ok {
			return SP{}, fmt.Errorf("metadata: the source is for the network %s, where the provider isn't reached", n)
		}
	}
	for i := range p.Faces {
		if f := &p.Faces[i]; len(networks) == 0 || slices.Contains(networks, f.Network) {
			f.Consumers, f.Logout = m.Consumers, m.Logout
		}
	}
	had := len(p.Encryption) > 0
	p.EntityID, p.Signing, p.Encryption = m.EntityID, m.Signing, m.Encryption
	switch {
	case len(m.Encryption) == 0:
		p.Encrypt = false
	case !had:
		p.Encrypt = true
	}
	switch {
	case last == nil:
		p.Signed = p.Signed || m.Signed
	case last.Signed != m.Signed:
		p.Signed = m.Signed
	}
	if last != nil && !slices.Equal(last.NameIDs, m.NameIDs) && len(m.NameIDs) > 0 && !slices.Contains(m.NameIDs, p.NameID) {
		p.NameID = m.NameIDs[0]
	}
	return p, nil
}

// propose compares a document with the registration. There is nothing to propose where Changes is empty. The error says what of the document
// can't be registered.
func propose(p SP, base string, s Status, r Reading) (Proposal, error) {
	draft, err := r.onto(p, s.Source.Networks, s.Terms)
	if err != nil {
		return Proposal{}, err
	}
	if err := draft.Check(); err != nil {
		return Proposal{}, fmt.Errorf("metadata: a provider can't be registered so: %w", err)
	}
	out := Proposal{
		Party: p.ID, State: ProposalPending, Document: r.Document, From: r.From, Verified: r.Verified, Base: base, Changes: Diff(p, draft, r.Verified),
		Notices: r.Notices, ValidUntil: r.ValidUntil, Terms: r.terms(), Draft: draft,
	}
	s.replayed(out.Changes, draft)
	if len(out.Changes) > 0 && s.ValidUntil != r.ValidUntil {
		class := ClassPerson
		if r.Verified && (r.ValidUntil == 0 || r.ValidUntil > s.ValidUntil) { // an older document may be shown anew
			class = ClassHarmless
		}
		out.Changes = append(out.Changes, Change{Kind: ChangeValidUntil, Class: class, Old: instant(s.ValidUntil), New: instant(r.ValidUntil)})
	}
	out.Hash, err = out.hash()
	return out, err
}

// replayed gives a person back what looks harmless and brings a signing key back that went before: the signer vouched for it once, and perhaps
// an older document is shown anew, because that key is in somebody's hands.
func (st Status) replayed(changes []Change, draft SP) {
	back := slices.ContainsFunc(draft.Signing, func(der []byte) bool { return slices.Contains(st.Gone, keyHash(der)) })
	for i, c := range changes {
		if back && c.Kind == ChangeSigningAdded {
			changes[i].Class, changes[i].Alarm = ClassPerson, true
		}
	}
}

// hash is over what would count. When the document is valid until isn't in it: many providers write another time at each fetch.
func (p Proposal) hash() (string, error) {
	text, err := json.Marshal(struct {
		Party    policies.RelyingPartyID
		Base     string
		Verified bool
		Terms    Terms
		Draft    SP
	}{p.Party, p.Base, p.Verified, p.Terms, p.Draft})
	if err != nil {
		return "", fmt.Errorf("metadata: %w", err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}

func instant(at int64) string {
	if at == 0 {
		return "-"
	}
	return time.UnixMicro(at).UTC().Format(time.RFC3339)
}

// itself reports whether the source takes the proposal by itself.
func (p Proposal) itself(s Source) bool {
	return s.Harmless && len(s.Signers) > 0 && p.Verified && len(p.Changes) > 0 && !NeedsPerson(p.Changes)
}
