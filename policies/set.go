package policies

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/cedar-policy/cedar-go"
)

// Files holds the workspace's own policies and their schema, as policies/load reads them.
//
//go:embed schema.cedarschema rules/*.cedar
var Files embed.FS

// File is one file of a policy set: a policy file or the schema.
type File struct {
	Path    string // slash-separated, relative to the set's root
	Content []byte
}

// Policy is one policy of a set.
type Policy struct {
	ID     string // its @id
	File   string
	Line   int // from 1
	Column int // from 1, in characters
	Permit bool
	Cedar  *cedar.Policy
}

// Set is a parsed and validated policy set. policies/load makes it; the zero value holds no policy, and no engine can be
// made from it.
type Set struct {
	policies []Policy
	hash     string
}

// NewSet makes a set of ps, which were read from files (the schema included). It refuses an empty set and two policies of
// one id. It does not validate against the schema: policies/load does, and is the only caller outside tests.
func NewSet(ps []Policy, files []File) (Set, error) {
	if len(ps) == 0 {
		return Set{}, errors.New("policies: a set without a policy would deny everything: is the folder the right one?")
	}
	ordered := slices.Clone(ps)
	slices.SortFunc(ordered, func(a, b Policy) int { return strings.Compare(a.ID, b.ID) })
	for i, p := range ordered {
		if p.ID == "" || p.Cedar == nil {
			return Set{}, fmt.Errorf("policies: %s:%d:%d: a policy without an @id", p.File, p.Line, p.Column)
		}
		if i > 0 && ordered[i-1].ID == p.ID {
			return Set{}, fmt.Errorf("policies: two policies are called %q", p.ID)
		}
	}
	return Set{policies: ordered, hash: hashFiles(files)}, nil
}

// Hash is the SHA-256 of the set's files, hex. It changes with any change of a policy, a comment or the schema, and doesn't
// with line endings or the order of files.
func (s Set) Hash() string { return s.hash }

// Policies lists the set's policies by id.
func (s Set) Policies() []Policy { return slices.Clone(s.policies) }

// hashFiles hashes paths and contents, each with its length before it so that no two sets of files share an input.
func hashFiles(files []File) string {
	ordered := slices.Clone(files)
	slices.SortFunc(ordered, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	h := sha256.New()
	for _, f := range ordered {
		content := strings.ReplaceAll(string(f.Content), "\r\n", "\n")
		for _, part := range []string{f.Path, content} {
			h.Write([]byte(strconv.Itoa(len(part)) + ":" + part))
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}
