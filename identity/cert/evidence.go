package cert

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/identity/cert/der"
	"github.com/musubi-hub/musubi/identity/cert/pkix"
)

// Hash is a SHA-256, in JSON as hexadecimal.
type Hash [32]byte

// MarshalText writes hexadecimal.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads hexadecimal.
func (h *Hash) UnmarshalText(b []byte) error {
	if len(b) != hex.EncodedLen(len(h)) {
		return errors.New("a SHA-256 has 64 hexadecimal digits")
	}
	_, err := hex.Decode(h[:], b)
	return err
}

func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// evidenceVersion is raised when rules change such that an old verdict would come out differently; the old rules then stay beside the new.
const evidenceVersion = 1

// Evidence is what a verdict rests on. It is kept as it came out of the decision, and written (JSON) only when somebody stores it: making the text
// costs more than the decision.
type Evidence struct {
	profile   *Profile
	anchors   *Anchors
	in        Input
	chain     chain
	statuses  []status
	code      Code
	detail    string
	challenge *Presented
}

func (r *run) evidence(in *Input, v Verdict, f *fault) *Evidence {
	e := &Evidence{profile: r.profile, anchors: r.anchors, in: *in, chain: r.chain, statuses: r.statuses, code: v.Code}
	if f != nil {
		e.detail = strings.ToValidUTF8(f.detail, "?")
	}
	return e
}

// Detail says in English which rule failed and where, without personal data; empty for a valid certificate.
func (e *Evidence) Detail() string { return e.detail }

// Degraded tells whether the verdict rests on a list that was due for replacement (Config.DegradedOverdue).
func (e *Evidence) Degraded() bool {
	for i := range e.statuses {
		if e.statuses[i].state == good && e.statuses[i].late > 0 {
			return true
		}
	}
	return false
}

// Anchor is the authority of the chain that the decision was made about: of the accepted one, or of the first complete one that was refused; nil if
// no chain was complete. With the codes OK, Revoked and OnHold every signature of the chain was right.
func (e *Evidence) Anchor() *pkix.Certificate {
	if e.chain.certs == nil {
		return nil
	}
	return e.anchors.certs[e.chain.anchor]
}

// Age is how old the oldest revocation information is that the verdict rests on; 0 if it rests on none.
func (e *Evidence) Age() time.Duration {
	var age time.Duration
	for i := range e.statuses {
		age = max(age, e.statuses[i].age)
	}
	return age
}

// stored is the JSON of Evidence: the inputs, from which the verdict is made again, what was found, and a digest over both.
type stored struct {
	Version       int        `json:"version"`
	Time          time.Time  `json:"time"`
	Profile       Config     `json:"profile"`
	Options       Options    `json:"options"`
	Anchors       [][]byte   `json:"anchors"`
	Leaf          []byte     `json:"leaf"`
	Intermediates [][]byte   `json:"intermediates,omitempty"`
	Lists         []Hash     `json:"lists,omitempty"` // readable, in the order of use
	Answers       []Answer   `json:"ocsp,omitempty"`
	Challenge     *Presented `json:"challenge,omitempty"`
	Found         findings   `json:"found"`
	Digest        *Hash      `json:"sha256,omitempty"` // of this document without this member
}

type findings struct {
	Valid      bool         `json:"valid"`
	Code       Code         `json:"code"`
	Detail     string       `json:"detail,omitempty"`
	Degraded   bool         `json:"degraded,omitempty"`
	Anchor     *Hash        `json:"anchor,omitempty"`
	Path       []step       `json:"path,omitempty"` // the leaf first
	Lists      []listFacts  `json:"list_facts,omitempty"`
	Unreadable []Unreadable `json:"unreadable_lists,omitempty"`
}

// step is one certificate of the path and what its status rests on.
type step struct {
	SHA256  Hash       `json:"sha256"`
	Status  state      `json:"status,omitempty"`
	Lists   []Hash     `json:"by_lists,omitempty"`
	OCSP    *Hash      `json:"by_ocsp,omitempty"`
	Age     int64      `json:"age_seconds,omitempty"`
	Late    int64      `json:"late_seconds,omitempty"` // degraded mode: since when the list was due for replacement
	Reason  string     `json:"reason,omitempty"`
	Revoked *time.Time `json:"revoked_at,omitempty"`
}

// listFacts is what a list says of itself.
type listFacts struct {
	SHA256     Hash       `json:"sha256"`
	Issuer     string     `json:"issuer"`
	Number     string     `json:"number,omitempty"`
	Base       string     `json:"base_number,omitempty"`
	ThisUpdate time.Time  `json:"this_update"`
	NextUpdate *time.Time `json:"next_update,omitempty"`
	Age        int64      `json:"age_seconds"`
}

// MarshalJSON writes the stored form. It is canonical: the same decision gives the same octets, and Recheck takes no others. It holds the holder's
// certificate, which is personal data.
func (e *Evidence) MarshalJSON() ([]byte, error) {
	s := stored{
		Version: evidenceVersion, Time: e.in.Time.UTC().Truncate(time.Second), Profile: e.profile.config, Options: e.in.Options,
		Leaf: e.in.Leaf, Intermediates: e.in.Intermediates, Answers: e.in.Answers, Challenge: e.challenge, Found: e.findings(),
	}
	for _, c := range e.anchors.certs {
		s.Anchors = append(s.Anchors, c.Raw)
	}
	for _, l := range e.in.Lists {
		s.Lists = append(s.Lists, l.Info().SHA256)
	}
	return s.seal()
}

func (s *stored) seal() ([]byte, error) {
	s.Digest = nil
	open, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	digest := Hash(sha256.Sum256(open))
	s.Digest = &digest
	return json.Marshal(s)
}

func (e *Evidence) findings() findings {
	at := e.in.Time.UTC().Truncate(time.Second)
	f := findings{Valid: e.code == OK, Code: e.code, Detail: e.detail, Degraded: e.Degraded(), Unreadable: e.in.Unreadable}
	if e.chain.certs != nil {
		h := Hash(e.anchors.hashes[e.chain.anchor])
		f.Anchor = &h
	}
	for i, c := range e.chain.certs {
		one := step{SHA256: sha256.Sum256(c.Raw)}
		if i < len(e.statuses) {
			one.add(&e.statuses[i], &e.in)
		}
		f.Path = append(f.Path, one)
	}
	for _, l := range e.in.Lists {
		info := l.Info()
		facts := listFacts{
			SHA256: info.SHA256, Issuer: info.Issuer.String(), ThisUpdate: info.ThisUpdate, Age: int64(at.Sub(info.ThisUpdate) / time.Second),
		}
		if info.Number != nil {
			facts.Number = der.Big(info.Number).String()
		}
		if info.BaseNumber != nil {
			facts.Base = der.Big(info.BaseNumber).String()
		}
		if !info.NextUpdate.IsZero() {
			facts.NextUpdate = &info.NextUpdate
		}
		f.Lists = append(f.Lists, facts)
	}
	return f
}

func (s *step) add(st *status, in *Input) {
	s.Status = st.state
	s.Age, s.Late = int64(st.age/time.Second), int64(st.late/time.Second)
	for _, i := range st.lists {
		s.Lists = append(s.Lists, in.Lists[i].Info().SHA256)
	}
	if st.answer >= 0 {
		h := Hash(sha256.Sum256(in.Answers[st.answer].DER))
		s.OCSP = &h
	}
	if st.state == revoked {
		s.Reason = st.entry.Reason.String()
		s.Revoked = &st.entry.At
	}
}
