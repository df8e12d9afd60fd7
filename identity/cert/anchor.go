package cert

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"github.com/musubi-hub/musubi/identity/cert/pkix"
)

// maxAnchors bounds one set of anchors.
const maxAnchors = 512

// Anchors are the authorities that are trusted, in their order. Several may have one name: generations of one authority differ by key.
type Anchors struct {
	certs  []*pkix.Certificate
	hashes [][32]byte
}

// ParseAnchors reads anchors from DER, once for many verdicts. The error names the one that can't be read.
func ParseAnchors(ders [][]byte) (*Anchors, error) {
	if len(ders) > maxAnchors {
		return nil, fmt.Errorf("%d anchors, at most %d are read", len(ders), maxAnchors)
	}
	a := new(Anchors)
	for i, b := range ders {
		c, err := pkix.ParseCertificate(b)
		if err != nil {
			return nil, fmt.Errorf("anchor %d: %w", i+1, err)
		}
		a.certs = append(a.certs, c)
		a.hashes = append(a.hashes, sha256.Sum256(b))
	}
	return a, nil
}

// Certificates are the anchors in their order.
func (a *Anchors) Certificates() []*pkix.Certificate { return slices.Clone(a.certs) }

// checkAnchor tells whether a profile takes an anchor at that time: the tree that it heads, its own validity, and that it may sign certificates.
func (p *Profile) checkAnchor(c *pkix.Certificate, hash [32]byte, at time.Time) *fault {
	if len(p.subjects) > 0 && !slices.ContainsFunc(p.subjects, c.Subject.Equal) {
		return &fault{WrongTree, "the chain ends at " + c.Subject.String() + ", which profile " + p.config.Name + " doesn't take"}
	}
	if keys := p.config.AnchorKeys; len(keys) > 0 && !slices.Contains(keys, hex.EncodeToString(hash[:])) {
		return &fault{AnchorUnusable, "the anchor's fingerprint isn't one of profile " + p.config.Name}
	}
	if at.Before(c.NotBefore) || at.After(c.NotAfter) {
		return &fault{AnchorUnusable, "the anchor is valid from " + stamp(c.NotBefore) + " to " + stamp(c.NotAfter)}
	}
	if c.HasBasic && !c.CA || c.HasKeyUsage && c.KeyUsage&pkix.KeyCertSign == 0 {
		return &fault{AnchorUnusable, "the anchor may not sign certificates by its own word"}
	}
	return nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
