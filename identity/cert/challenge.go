package cert

import (
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/musubi-hub/musubi/identity/cert/pkix"
)

// Bounds of a challenge.
const (
	minNonce         = 16 // octets
	maxNonce         = 64
	maxChallengeText = 256 // octets of relying party and of purpose
	maxChallengeLife = 24 * time.Hour
	maxSignature     = 1024
)

// Challenge is the record of a nonce: what the caller stored when it made one, and redeems once, atomically, before or with the decision. The nonce
// comes from a cryptographic source of randomness.
type Challenge struct {
	Nonce        []byte    `json:"nonce"`
	RelyingParty string    `json:"relying_party"`
	Purpose      string    `json:"purpose"`
	Issued       time.Time `json:"issued"`
	Expires      time.Time `json:"expires"`
	// Redeemed is what the caller's atomic redemption found: true if the nonce had been used before. The core can't know it by itself.
	Redeemed bool `json:"redeemed,omitempty"`
}

// challengePrefix sets what is signed here apart from everything else that a card signs.
const challengePrefix = "Musubi challenge v1\x00"

// check refuses a record that a caller can't have meant.
func (c *Challenge) check() error {
	switch {
	case len(c.Nonce) < minNonce || len(c.Nonce) > maxNonce:
		return fmt.Errorf("a nonce of %d octets, %d to %d are asked for", len(c.Nonce), minNonce, maxNonce)
	case c.RelyingParty == "" || len(c.RelyingParty) > maxChallengeText || c.Purpose == "" || len(c.Purpose) > maxChallengeText:
		return errors.New("relying party or purpose is empty or too long")
	case !c.Expires.After(c.Issued) || c.Expires.Sub(c.Issued) > maxChallengeLife:
		return errors.New("it doesn't expire after its issue, or only after more than a day")
	}
	return nil
}

// Message is what the holder's key signs: all of the challenge's fields, each with its length, so that a response to one relying party or purpose is
// no response to another. Times count in whole seconds. The error is about a record that is malformed.
func (c *Challenge) Message() ([]byte, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	out := []byte(challengePrefix)
	for _, field := range [][]byte{c.Nonce, []byte(c.RelyingParty), []byte(c.Purpose)} {
		out = binary.BigEndian.AppendUint32(out, uint32(len(field)))
		out = append(out, field...)
	}
	out = binary.BigEndian.AppendUint64(out, uint64(c.Issued.Unix()))
	return binary.BigEndian.AppendUint64(out, uint64(c.Expires.Unix())), nil
}

// Presented is a response to a challenge together with the stored record, and what the relying party that presents it says of itself.
type Presented struct {
	Record       Challenge   `json:"record"`
	Nonce        []byte      `json:"nonce"`         // as it came back
	RelyingParty string      `json:"relying_party"` // who presents it
	Purpose      string      `json:"purpose"`
	Scheme       pkix.Scheme `json:"scheme"` // what the holder signed with
	Signature    []byte      `json:"signature"`
}

// Challenge decides about a response, for a certificate that has a verdict: possession of the key counts only together with it. A verdict that isn't
// valid stays as it is. The time is the verdict's.
func (p *Profile) Challenge(v Verdict, c Presented) Verdict {
	if v.Evidence == nil {
		return v
	}
	e := *v.Evidence
	e.challenge = &c
	v.Evidence = &e
	if !v.Valid {
		return v
	}
	if f := p.challengeFault(v.Leaf, &c, e.in.Time.UTC().Truncate(time.Second)); f != nil {
		v.Valid, v.Code, e.code, e.detail = false, f.code, f.code, f.detail
	}
	return v
}

func (p *Profile) challengeFault(leaf *pkix.Certificate, c *Presented, at time.Time) *fault {
	message, err := c.Record.Message()
	switch {
	case err != nil:
		return &fault{ChallengeMalformed, err.Error()}
	case subtle.ConstantTimeCompare(c.Nonce, c.Record.Nonce) != 1:
		return &fault{ChallengeUnknown, "the nonce isn't that of the record"}
	case c.RelyingParty != c.Record.RelyingParty:
		return &fault{ChallengeParty, "made for another relying party"}
	case c.Purpose != c.Record.Purpose:
		return &fault{ChallengePurpose, "made for another purpose"}
	case c.Record.Redeemed:
		return &fault{ChallengeRedeemed, "redeemed before"}
	case at.Before(c.Record.Issued.Truncate(time.Second)):
		return &fault{ChallengeEarly, "issued at " + stamp(c.Record.Issued)}
	case !at.Before(c.Record.Expires):
		return &fault{ChallengeExpired, "expired at " + stamp(c.Record.Expires)}
	case len(c.Signature) > maxSignature:
		return &fault{ChallengeForged, fmt.Sprintf("a signature of %d octets", len(c.Signature))}
	}
	switch err := p.CheckSignature(&leaf.Key, c.Scheme, message, c.Signature); {
	case errors.Is(err, pkix.ErrAlgorithm):
		return &fault{AlgorithmRefused, err.Error()}
	case err != nil:
		return &fault{ChallengeForged, "not by the key of the certificate over this challenge"}
	}
	return nil
}

// CheckSignature verifies a signature by a holder's key under the schemes that the profile takes for challenges: pkix.ErrAlgorithm or
// pkix.ErrSignature.
func (p *Profile) CheckSignature(key *pkix.PublicKey, s pkix.Scheme, message, signature []byte) error {
	if !p.challenge.Accepts(s) {
		return fmt.Errorf("%w: %q", pkix.ErrAlgorithm, s)
	}
	if err := p.challenge.Key(key); err != nil {
		return err
	}
	return pkix.VerifyDigest(key, s, pkix.Digest(s.Hash(), message), signature)
}
