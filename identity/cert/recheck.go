package cert

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
)

// What can be wrong with stored evidence.
var (
	ErrEvidenceChanged  = errors.New("the evidence was changed after it was made: its digest doesn't fit")
	ErrEvidenceVersion  = errors.New("the evidence is of a version that isn't known here")
	ErrListMissing      = errors.New("a list that the verdict rests on isn't in the archive")
	ErrVerdictDiffers   = errors.New("the verdict comes out differently from what was stored")
	errEvidenceNotFound = errors.New("no evidence")
)

// maxEvidence bounds a stored evidence in octets.
const maxEvidence = 64 << 20

// Find reads a list by its SHA-256 for a decision under a profile and anchors. Its error is ErrListMissing, or why the list can't be read.
type Find func(Hash, *Profile, *Anchors) (List, error)

// Recheck makes a verdict again from its stored evidence and the lists that it names. The error is ErrEvidenceChanged if any octet isn't as it was written, and ErrVerdictDiffers if what is found
// now is not what was stored. Both the stored form and the result are compared octet by octet.
func Recheck(evidence []byte, find Find) (Verdict, error) {
	if len(evidence) == 0 {
		return Verdict{}, errEvidenceNotFound
	}
	if len(evidence) > maxEvidence {
		return Verdict{}, fmt.Errorf("the evidence has %d octets, at most %d are read", len(evidence), maxEvidence)
	}
	if !sealed(evidence) {
		return Verdict{}, ErrEvidenceChanged
	}
	var s stored
	d := json.NewDecoder(bytes.NewReader(evidence))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return Verdict{}, fmt.Errorf("%w (%w)", ErrEvidenceChanged, err)
	}
	if s.Version != evidenceVersion {
		return Verdict{}, fmt.Errorf("%w: %d", ErrEvidenceVersion, s.Version)
	}
	again, err := s.seal()
	if err != nil || !bytes.Equal(again, evidence) {
		return Verdict{}, ErrEvidenceChanged
	}
	v, err := s.decide(find)
	if err != nil {
		return v, err
	}
	now, err := v.Evidence.MarshalJSON()
	if err != nil {
		return v, err
	}
	if !bytes.Equal(now, evidence) {
		return v, fmt.Errorf("%w: stored %s, now %s", ErrVerdictDiffers, s.Found.Code, v.Code)
	}
	return v, nil
}

// sealed tells whether the digest, which is the last member, is that of what stands before it.
func sealed(evidence []byte) bool {
	const before, after = `,"sha256":"`, `"}`
	n := len(evidence) - len(before) - hex.EncodedLen(sha256.Size) - len(after)
	if n < 0 {
		return false
	}
	digest := Hash(sha256.Sum256(append(bytes.Clone(evidence[:n]), '}')))
	return string(evidence[n:]) == before+digest.String()+after
}

func (s *stored) decide(find Find) (Verdict, error) {
	profile, err := NewProfile(s.Profile)
	if err != nil {
		return Verdict{}, err
	}
	anchors, err := ParseAnchors(s.Anchors)
	if err != nil {
		return Verdict{}, err
	}
	in := Input{Time: s.Time, Leaf: s.Leaf, Intermediates: s.Intermediates, Answers: s.Answers, Options: s.Options}
	for _, h := range s.Lists {
		l, err := find(h, profile, anchors)
		if err != nil {
			return Verdict{}, fmt.Errorf("list %s: %w", h, err)
		}
		if l.Info().SHA256 != h {
			return Verdict{}, fmt.Errorf("list %s: the archive holds another one under this name: %w", h, ErrListMissing)
		}
		in.Lists = append(in.Lists, l)
	}
	for _, u := range s.Found.Unreadable {
		_, err := find(u.SHA256, profile, anchors)
		if errors.Is(err, ErrListMissing) {
			return Verdict{}, fmt.Errorf("list %s: %w", u.SHA256, err)
		}
		if err == nil {
			return Verdict{}, fmt.Errorf("list %s: %w: it was unreadable", u.SHA256, ErrVerdictDiffers)
		}
		in.Unreadable = append(in.Unreadable, Unreadable{u.SHA256, err.Error()})
	}
	v := profile.Verify(anchors, in)
	if s.Challenge != nil {
		v = profile.Challenge(v, *s.Challenge)
	}
	return v, nil
}
