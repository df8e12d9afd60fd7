package sp

import (
	"cmp"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"slices"
	"time"

	"github.com/musubi-hub/musubi/policies"
)

const day = 24 * 60 * 60 * int64(1_000_000) // in microseconds

// Thresholds are how many days ahead people are warned that something ends, the longest first.
func Thresholds() []int { return []int{90, 30, 7} }

// Crossed gives the smallest threshold that has been reached on the way to an end, both UTC in microseconds: 90, 30, 7, and 0 where it is over.
// ok is false where the end is farther away, or there is none (0). Whoever warns of each threshold once, warns of each value once.
func Crossed(until, now int64) (days int, ok bool) {
	if until == 0 {
		return 0, false
	}
	if until <= now {
		return 0, true
	}
	for _, d := range Thresholds() {
		if until-now <= int64(d)*day {
			days, ok = d, true
		}
	}
	return days, ok
}

// Use says what ends.
type Use string

// What ends.
const (
	UseSigning    Use = "signing"    // a certificate of a key that signs requests
	UseEncryption Use = "encryption" // a certificate of a key that assertions are encrypted for
	UseMetadata   Use = "metadata"   // validUntil of the metadata that is in force
)

// Expiry is something of a provider that ends soon, or has ended. Logins go on: what a certificate says of its own validity doesn't count here,
// and what was accepted of metadata stays in force. But the provider's own side is about to change, or is forgotten.
type Expiry struct {
	Party       policies.RelyingPartyID `json:"id"`
	Use         Use                     `json:"use"`
	Fingerprint string                  `json:"fingerprint,omitempty"` // SHA-256 of the certificate, hex
	Until       int64                   `json:"until"`                 // UTC, microseconds
	Threshold   int                     `json:"threshold"`             // days; see Crossed
	Succeeded   bool                    `json:"succeeded"`             // another certificate of the same use is there that lasts longer than any threshold
}

// Expiring lists what of a provider ends soon, the first first; validUntil is that of its metadata in force, 0 for none. now is UTC in microseconds.
func Expiring(p SP, validUntil, now int64) []Expiry {
	var out []Expiry
	add := func(use Use, ders [][]byte) {
		var found []Expiry
		succeeded := false
		for _, der := range ders {
			c, err := x509.ParseCertificate(der)
			if err != nil {
				continue // SP.Check refuses it; a login says so
			}
			until := c.NotAfter.UnixMicro()
			days, ok := Crossed(until, now)
			if !ok {
				succeeded = true
				continue
			}
			found = append(found, Expiry{Party: p.ID, Use: use, Fingerprint: Fingerprint(der), Until: until, Threshold: days})
		}
		for _, e := range found {
			e.Succeeded = succeeded
			out = append(out, e)
		}
	}
	add(UseSigning, p.Signing)
	var encryption [][]byte
	for _, e := range p.Encryption {
		encryption = append(encryption, e.Certificate)
	}
	add(UseEncryption, encryption)
	if days, ok := Crossed(validUntil, now); ok {
		out = append(out, Expiry{Party: p.ID, Use: UseMetadata, Until: validUntil, Threshold: days})
	}
	slices.SortStableFunc(out, func(a, b Expiry) int { return cmp.Compare(a.Until, b.Until) })
	return out
}

// staleAfter is how long after an end people are still told of it.
const staleAfter = 30 * 24 * time.Hour

// Tell reports whether people are to be told of it: nothing has taken its place, and it didn't end long ago.
func (e Expiry) Tell(now int64) bool {
	return !e.Succeeded && now-e.Until < staleAfter.Microseconds()
}

// Fingerprint is the SHA-256 of a certificate (DER) in lower-case hex, as openssl and browsers show it but for the colons.
func Fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}
