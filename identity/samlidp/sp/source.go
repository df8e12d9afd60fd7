package sp

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/musubi-hub/musubi/policies"
)

// Source says where a provider's metadata comes from. One that was read from files has no address.
type Source struct {
	Address  string             `json:"address,omitempty"`
	Networks []policies.Network `json:"networks,omitempty"` // whose addresses it lists; none for all of the provider's
	// Signers are certificates (DER) of the keys of which one has to sign the metadata. Without one, what TLS brought is shown to a person, always.
	Signers  [][]byte `json:"signers,omitempty"`
	Harmless bool     `json:"harmless,omitempty"` // what is harmless and signed is taken without a person
}

// maxSigners bounds the pinned signers: today's and the next one.
const maxSigners = 4

// Check says everything that is wrong with a source of p; nil for nothing.
func (s Source) Check(p SP) error {
	var f faults
	if s.Address != "" {
		if err := Address(s.Address); err != nil {
			f.add(true, "address: %w", err)
		}
	}
	f.add(s.Address == "" && s.Harmless, "harmless: only what is fetched from an address is taken without a person")
	f.add(s.Harmless && len(s.Signers) == 0, "harmless: without a pinned signer a person looks at every difference")
	f.add(len(s.Signers) > maxSigners, "signers: at most %d", maxSigners)
	_, err := s.signers()
	f.add(err != nil, "%w", err)
	for i, n := range s.Networks {
		_, ok := p.Face(n)
		f.add(!ok, "networks: the provider isn't reached in %q", n)
		f.add(slices.Contains(s.Networks[:i], n), "networks: %q stands there twice", n)
	}
	return errors.Join(f...)
}

func (s Source) signers() (all []*x509.Certificate, err error) {
	for _, der := range s.Signers {
		if len(der) > maxDER {
			return nil, fmt.Errorf("signers: a certificate has %d bytes; at most %d", len(der), maxDER)
		}
		c, err := certificate(der)
		if err != nil {
			return nil, fmt.Errorf("signers: %w", err)
		}
		all = append(all, c)
	}
	return all, nil
}

// Status is a provider's source and what came of it. Times are UTC in microseconds, 0 for never.
type Status struct {
	Party  policies.RelyingPartyID `json:"-"`
	Source Source                  `json:"-"`
	NextAt int64                   `json:"-"` // when it is fetched again; 0: never

	TriedAt    int64    `json:"tried_at,omitempty"`
	ReadAt     int64    `json:"read_at,omitempty"` // the newest document that was taken to be read, or was still the same
	Document   string   `json:"document,omitempty"`
	ETag       string   `json:"etag,omitempty"`
	Modified   string   `json:"last_modified,omitempty"`
	Compared   string   `json:"compared,omitempty"`    // SHA-256 of the registration with which that document was compared
	Expires    int64    `json:"expires,omitempty"`     // that document's validUntil
	ValidUntil int64    `json:"valid_until,omitempty"` // of what is in force
	Terms      *Terms   `json:"terms,omitempty"`       // of what is in force
	Gone       []string `json:"gone,omitempty"`        // SHA-256 of signing keys that were registered once, the newest last
	Why        string   `json:"why,omitempty"`         // the newest try failed: "unreachable", "signature_invalid", ...
	Error      string   `json:"error,omitempty"`       // for people
	Fails      int      `json:"fails,omitempty"`       // in a row
	FailsSince int64    `json:"fails_since,omitempty"`
}

// name tells one source from another.
func (s Source) name() string {
	text, err := json.Marshal(s)
	if err != nil {
		return "" // it holds nothing that JSON can't
	}
	return baseOf(string(text))
}

// maxGone bounds the keys that are remembered.
const maxGone = 100

// leave remembers the signing keys that a registration loses, and forgets those that it has again.
func (st *Status) leave(old, draft SP) (changed bool) {
	for _, der := range old.Signing {
		if key := keyHash(der); key != "" && !holdsKey(draft.Signing, der) && !slices.Contains(st.Gone, key) {
			st.Gone = append(st.Gone, key)
			changed = true
		}
	}
	before := len(st.Gone)
	for _, der := range draft.Signing { // somebody let it come back
		st.Gone = slices.DeleteFunc(st.Gone, func(key string) bool { return key == keyHash(der) })
	}
	changed = changed || len(st.Gone) != before
	st.Gone = st.Gone[max(len(st.Gone)-maxGone, 0):]
	return changed
}

// The bounds of the time between two fetches. What metadata says of it (cacheDuration) counts within them.
const (
	FetchEvery  = 24 * time.Hour
	fetchLeast  = time.Hour
	retryFirst  = time.Hour
	overdueTell = 3 * 24 * time.Hour // a source that fails for so long is told of
)

// next says when a source is fetched after a success: about once in cache, at most daily, at least hourly, at the provider's own moment of the
// day, so that hundreds don't come at once.
func next(id policies.RelyingPartyID, cache time.Duration, now int64) int64 {
	every := FetchEvery
	if cache > 0 {
		every = min(max(cache, fetchLeast), FetchEvery)
	}
	step := every.Microseconds()
	sum := sha256.Sum256([]byte("metadata " + string(id)))
	own := int64(binary.BigEndian.Uint64(sum[:8])>>1) % step
	at := now - (now-own)%step
	for at <= now+step/2 {
		at += step
	}
	return at
}

// retry says when a source is tried after a failure: after an hour, ever longer, at most a day.
func retry(fails int, now int64) int64 {
	pause := FetchEvery
	if fails < 6 {
		pause = min(retryFirst<<max(fails-1, 0), FetchEvery)
	}
	return now + pause.Microseconds()
}

// conditional reports whether the address may be asked for what is newer than the last document only: that one was compared with the
// registration as it is, and hasn't expired.
func (st Status) conditional(base string, now int64) bool {
	return st.Document != "" && st.Compared == base && st.Why == "" && (st.Expires == 0 || st.Expires > now)
}
