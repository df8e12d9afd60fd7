package main

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/musubi-hub/musubi/identity/cert"
	"github.com/musubi-hub/musubi/identity/cert/crl"
)

// Sizes of lists in octets. Up to smallList every entry is kept apart, in about ten times the octets; above it a list is read into a set, if one of
// the anchors signed it.
const (
	smallList = 16 << 20
	maxList   = 1 << 30
)

// parseList reads a list under a profile's rules; small is smallList but in tests.
func parseList(der []byte, p *cert.Profile, anchors *cert.Anchors, small int) (cert.List, error) {
	c := p.Config()
	rules := crl.Rules{AnySerial: !c.Leaf.PositiveSerial, Version1: c.ListVersion1, Unnumbered: !c.RequireNumber}
	if len(der) > small {
		policy := p.Signatures()
		for _, a := range anchors.Certificates() {
			set, err := crl.Load{Key: &a.Key, Policy: &policy, Bits: crl.DefaultBits, Rules: rules}.Octets(der)
			if err == nil {
				return set, nil
			}
		}
	}
	l, err := crl.Parse(der, rules, crl.Limits{SmallOnly: maxList})
	if err != nil {
		return nil, err
	}
	return l, nil
}

// decodeOne reads PEM of that type, or base64 of DER.
func decodeOne(s, kind string) ([]byte, error) {
	if strings.Contains(s, "-----BEGIN") {
		blocks, err := decodePEM(s, kind)
		if err != nil {
			return nil, err
		}
		if len(blocks) != 1 {
			return nil, fmt.Errorf("%d PEM blocks where one is meant", len(blocks))
		}
		return blocks[0], nil
	}
	b, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil || len(b) == 0 {
		return nil, errors.New("neither PEM nor base64 of DER")
	}
	return b, nil
}

// decodePEM reads all blocks, which must be of that type, and refuses anything that isn't PEM.
func decodePEM(s, kind string) ([][]byte, error) {
	rest := []byte(s)
	var out [][]byte
	for {
		block, after := pem.Decode(rest)
		if block == nil {
			break
		}
		if block.Type != kind {
			return nil, fmt.Errorf("PEM of type %q, %q is meant", block.Type, kind)
		}
		out = append(out, block.Bytes)
		rest = after
	}
	if len(out) == 0 {
		return nil, errors.New("no PEM block")
	}
	if strings.Contains(string(rest), "-----BEGIN") {
		return nil, errors.New("a PEM block that can't be read")
	}
	return out, nil
}

// archive keeps lists by their SHA-256, so that a decision can be made again from its evidence.
type archive struct{ dir string }

func (a archive) path(h cert.Hash) string { return filepath.Join(a.dir, h.String()+".crl") }

// put stores a list unless it is there. A crash leaves either nothing or the whole of it.
func (a archive) put(der []byte) error {
	h := cert.Hash(sha256.Sum256(der))
	if _, err := os.Stat(a.path(h)); err == nil {
		return nil
	}
	if err := os.MkdirAll(a.dir, 0o750); err != nil {
		return err
	}
	f, err := os.CreateTemp(a.dir, ".new-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }() // gone already if all went well
	_, err = f.Write(der)
	if err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(f.Name(), a.path(h))
	}
	return err
}

// load reads a list and checks that it is the one that its name says.
func (a archive) load(h cert.Hash) ([]byte, error) {
	info, err := os.Stat(a.path(h))
	if errors.Is(err, os.ErrNotExist) {
		return nil, cert.ErrListMissing
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", cert.ErrListMissing, err)
	}
	if info.Size() > maxList {
		return nil, fmt.Errorf("%w: larger than %d octets", cert.ErrListMissing, maxList)
	}
	b, err := os.ReadFile(a.path(h))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", cert.ErrListMissing, err)
	}
	if sha256.Sum256(b) != h {
		return nil, fmt.Errorf("%w: the file's octets have another SHA-256 than its name", cert.ErrListMissing)
	}
	return b, nil
}
