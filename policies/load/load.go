package load

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/musubi-hub/musubi/policies"
)

// The names that a policy set has at its root, and the bounds that keep a hostile set from using up the machine.
const (
	SchemaFile = "schema.cedarschema"
	RulesDir   = "rules"

	MaxFileBytes = 256 << 10
	MaxFiles     = 64
	MaxPolicies  = 1000
	MaxNesting   = 64 // brackets inside brackets
	MaxIDLength  = 64
)

// Load reads the policy set in fsys: SchemaFile, and every file of RulesDir, all of which must be policy files. The error is
// an *Error that lists every fault, or says that fsys can't be read.
func Load(fsys fs.FS) (policies.Set, error) {
	var found faults
	files, err := readAll(fsys, &found)
	if err != nil {
		return policies.Set{}, err
	}
	var parsed []policies.Policy
	for _, f := range files {
		if f.Path != SchemaFile {
			parsed = append(parsed, parseFile(f, &found)...)
		}
	}
	if len(parsed) > MaxPolicies {
		found.add(RulesDir, 0, 0, "%d policies; at most %d are read", len(parsed), MaxPolicies)
		return policies.Set{}, found.err()
	}
	checkIDs(parsed, &found)
	for _, f := range files {
		if f.Path == SchemaFile {
			checkSchema(f, parsed, &found)
		}
	}
	if err := found.err(); err != nil {
		return policies.Set{}, err
	}
	if len(parsed) == 0 {
		found.add(RulesDir, 0, 0, "holds no policy: nobody could do anything")
		return policies.Set{}, found.err()
	}
	return policies.NewSet(parsed, files)
}

// Default gives the engine of the policies that are built into the hub. They don't change while a process runs, and neither does an engine: it is
// made once.
func Default() (*policies.Engine, error) { return builtIn() }

var builtIn = sync.OnceValues(func() (*policies.Engine, error) {
	set, err := Load(policies.Files)
	if err != nil {
		return nil, err
	}
	return policies.NewEngine(set)
})

func readAll(fsys fs.FS, found *faults) ([]policies.File, error) {
	entries, err := fs.ReadDir(fsys, RulesDir)
	if err != nil {
		return nil, fmt.Errorf("the policies can't be read: a policy set is a folder with %s and %s/*.cedar: %w", SchemaFile, RulesDir, err)
	}
	paths := []string{SchemaFile}
	for _, e := range entries {
		name := path.Join(RulesDir, e.Name())
		switch {
		case !e.Type().IsRegular():
			found.add(name, 0, 0, "is no regular file; policy files stand directly in %s", RulesDir)
		case path.Ext(name) != ".cedar":
			found.add(name, 0, 0, "isn't called *.cedar; only policy files stand in %s, so that none is left out by its name", RulesDir)
		default:
			paths = append(paths, name)
		}
	}
	if len(paths) > MaxFiles {
		found.add(RulesDir, 0, 0, "holds %d policy files; at most %d are read", len(paths)-1, MaxFiles-1)
		return nil, found.err()
	}
	var files []policies.File
	for _, p := range paths {
		content, err := readFile(fsys, p)
		switch {
		case errors.Is(err, errTooLarge):
			found.add(p, 0, 0, "is larger than %d KiB", MaxFileBytes>>10)
		case err != nil:
			return nil, fmt.Errorf("the policies can't be read: %w", err)
		default:
			if checkText(p, content, found) {
				files = append(files, policies.File{Path: p, Content: content})
			}
		}
	}
	return files, nil
}

var errTooLarge = errors.New("too large")

func readFile(fsys fs.FS, name string) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // opened for reading
	content, err := io.ReadAll(io.LimitReader(f, MaxFileBytes+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(content) > MaxFileBytes {
		return nil, errTooLarge
	}
	return content, nil
}

// checkText refuses what a reviewer couldn't see: invalid UTF-8, control characters, and characters that reorder the line.
func checkText(file string, content []byte, found *faults) bool {
	line, column := 1, 1
	for i := 0; i < len(content); {
		r, size := utf8.DecodeRune(content[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			found.add(file, line, column, "the byte %#02x isn't UTF-8; save the file as UTF-8", content[i])
			return false
		case hidden(r) && !(r == '\r' && bytes.HasPrefix(content[i:], []byte("\r\n"))):
			found.add(file, line, column, "the character %U can't be seen by a reviewer; remove it", r)
			return false
		}
		column++
		if r == '\n' {
			line, column = line+1, 1
		}
		i += size
	}
	return true
}

// hidden reports whether a reviewer would not see r, or would see the text around it in another order: control characters
// other than tab and newline, zero-width characters, the byte order mark, and bidirectional controls.
func hidden(r rune) bool {
	switch {
	case r == '\t' || r == '\n':
		return false
	case r < 0x20 || (r >= 0x7f && r <= 0x9f):
		return true
	case r == 0xad || r == 0x61c || r == 0xfeff:
		return true
	case r >= 0x200b && r <= 0x200f, r >= 0x2028 && r <= 0x202e, r >= 0x2060 && r <= 0x206f:
		return true
	}
	return false
}

// checkIDs holds that every policy has an @id of its own in the one form, and no annotation that we wouldn't read.
func checkIDs(parsed []policies.Policy, found *faults) {
	first := map[string]policies.Policy{}
	for _, p := range parsed {
		for key := range p.Cedar.Annotations() {
			if key != "id" {
				found.add(p.File, p.Line, p.Column, "unknown annotation @%s; a policy has @id(\"...\") and no other", key)
			}
		}
		switch earlier, dup := first[p.ID]; {
		case p.ID == "":
			found.add(p.File, p.Line, p.Column, "the policy has no @id; write @id(\"what-it-says\") before it")
		case !wellFormedID(p.ID):
			found.add(p.File, p.Line, p.Column, "the @id %q isn't lower-case words joined by hyphens, at most %d characters", p.ID, MaxIDLength)
		case dup:
			found.add(p.File, p.Line, p.Column, "the @id %q is taken by the policy at %s:%d:%d", p.ID, earlier.File, earlier.Line, earlier.Column)
		default:
			first[p.ID] = p
		}
	}
}

func wellFormedID(id string) bool {
	if len(id) > MaxIDLength {
		return false
	}
	for word := range strings.SplitSeq(id, "-") {
		if word == "" || strings.Trim(word, "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
			return false
		}
	}
	return id[0] >= 'a'
}
