package jobs

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

var nodeID = regexp.MustCompile(`^node-[0-9a-f]{16}$`)

// NodeID gives the stable id of the node whose data directory is dir: read from dir/node-id, or made of random and kept there.
// A copied data directory copies the id: two nodes on one PostgreSQL must not share one.
func NodeID(dir string, random io.Reader) (string, error) {
	path := filepath.Join(dir, "node-id")
	b, err := os.ReadFile(path) // #nosec G304 -- the node's own data directory
	if errors.Is(err, fs.ErrNotExist) {
		return makeNodeID(dir, path, random)
	}
	if err != nil {
		return "", fmt.Errorf("node id: %w", err)
	}
	id := strings.TrimSpace(string(b))
	if !nodeID.MatchString(id) {
		return "", fmt.Errorf("node id: %s doesn't hold one; remove the file and a new id will be made", path)
	}
	return id, nil
}

func makeNodeID(dir, path string, random io.Reader) (string, error) {
	raw := make([]byte, 8)
	if _, err := io.ReadFull(random, raw); err != nil {
		return "", fmt.Errorf("node id: %w", err)
	}
	id := "node-" + hex.EncodeToString(raw)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("node id: %w", err)
	}
	// Written beside and linked into place, so that a crash or a second process never leaves or reads half an id.
	tmp, err := os.CreateTemp(dir, "node-id-*")
	if err != nil {
		return "", fmt.Errorf("node id: %w", err)
	}
	defer func() { _ = os.Remove(tmp.Name()) }()
	_, err = tmp.WriteString(id + "\n")
	if err := errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return "", fmt.Errorf("node id: %w", err)
	}
	if err := os.Link(tmp.Name(), path); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return NodeID(dir, random)
		}
		return "", fmt.Errorf("node id: %w", err)
	}
	return id, nil
}
