package audit

import (
	"crypto"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/musubi-hub/musubi/identity/keys"
)

// Purpose is what the keys that sign checkpoints are for.
const Purpose keys.Purpose = "audit"

// KeySpec says how they are kept. Verifiers take a checkpoint's key from the database or are given it, so a next key needn't wait;
// retired keys stay known for as long as there are checkpoints.
func KeySpec() keys.Spec { return keys.Spec{Algorithm: keys.Ed25519} }

// MaxCheckpoint is the largest checkpoint file that is read, in bytes.
const MaxCheckpoint = 16 << 10

// Checkpoint says what the log was at one time. It is kept as a signed note (golang.org/x/mod/sumdb/note) whose text is a
// checkpoint of https://c2sp.org/tlog-checkpoint with the extension lines "at" and "previous".
type Checkpoint struct {
	Origin   string    // names the log, e.g. musubi-audit/4f1c90ab77e2d013
	Size     int64     // rows in the log; at least 1
	Root     tlog.Hash // of the Merkle tree over them
	At       int64     // UTC, microseconds: when it was signed, by the signer's clock
	Previous int64     // size of the checkpoint before; 0 for the first
}

var origin = regexp.MustCompile(`^musubi-audit/[0-9a-f]{16}$`)

// timeForm is RFC 3339 with microseconds, always UTC.
const timeForm = "2006-01-02T15:04:05.000000Z"

// text gives what is signed.
func (c Checkpoint) text() string {
	return fmt.Sprintf("%s\n%d\n%s\nat %s\nprevious %d\n", c.Origin, c.Size, c.Root, time.UnixMicro(c.At).UTC().Format(timeForm), c.Previous)
}

var errCheckpoint = errors.New("is no checkpoint of an audit log")

// parseCheckpoint undoes text. There is one way to write each checkpoint; lines after those known here are left to later versions.
func parseCheckpoint(text string) (Checkpoint, error) {
	var c Checkpoint
	lines := strings.SplitN(text, "\n", 6)
	if len(lines) != 6 || !origin.MatchString(lines[0]) {
		return c, errCheckpoint
	}
	c.Origin = lines[0]
	at, hasAt := strings.CutPrefix(lines[3], "at ")
	previous, hasPrevious := strings.CutPrefix(lines[4], "previous ")
	when, errAt := time.Parse(timeForm, at)
	root, errRoot := base64.StdEncoding.Strict().DecodeString(lines[2])
	var errSize, errPrevious error
	c.Size, errSize = parseSize(lines[1])
	c.Previous, errPrevious = parseSize(previous)
	if errors.Join(errAt, errRoot, errSize, errPrevious) != nil || !hasAt || !hasPrevious || len(root) != tlog.HashSize {
		return c, errCheckpoint
	}
	copy(c.Root[:], root)
	c.At = when.UnixMicro()
	if c.Size < 1 || c.Previous >= c.Size || !strings.HasPrefix(text, c.text()) {
		return c, errCheckpoint
	}
	return c, nil
}

func parseSize(s string) (int64, error) {
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil || strconv.FormatUint(n, 10) != s || n > math.MaxInt64>>1 {
		return 0, errCheckpoint
	}
	return int64(n), nil
}

// VerifierKey gives a key's public part as a line of text that verifies checkpoints of the log origin, in the form of the note
// package: NAME+HASH+KEY. Keep it elsewhere than the hub.
func VerifierKey(origin string, public crypto.PublicKey) (string, error) {
	p, ok := public.(ed25519.PublicKey)
	if !ok {
		return "", fmt.Errorf("audit: a key of type %T signs no checkpoints", public)
	}
	return note.NewEd25519VerifierKey(origin, p)
}

// Verifiers are the keys by which checkpoints are believed.
type Verifiers struct{ list note.Verifiers }

// ParseVerifiers reads lines that VerifierKey gave.
func ParseVerifiers(lines ...string) (Verifiers, error) {
	seen := map[string]bool{}
	var list []note.Verifier
	for _, line := range lines {
		line = strings.TrimSpace(line)
		v, err := note.NewVerifier(line)
		if err != nil {
			return Verifiers{}, fmt.Errorf("audit: %q is no verifier key: copy the line that `musubi keys list` prints", line)
		}
		if !seen[line] { // the note package refuses a key that comes twice
			seen[line] = true
			list = append(list, v)
		}
	}
	return Verifiers{note.VerifierList(list...)}, nil
}

// verifiersOf gives the keys of the purpose as verifiers for the log.
func verifiersOf(origin string, known []keys.Key) (Verifiers, error) {
	var lines []string
	for _, k := range known {
		line, err := VerifierKey(origin, k.Public)
		if err != nil {
			return Verifiers{}, err
		}
		lines = append(lines, line)
	}
	return ParseVerifiers(lines...)
}

// Open reads a signed checkpoint and checks its signature.
func (v Verifiers) Open(signed []byte) (Checkpoint, error) {
	if len(signed) > MaxCheckpoint {
		return Checkpoint{}, errCheckpoint
	}
	list := v.list
	if list == nil {
		list = note.VerifierList()
	}
	n, err := note.Open(signed, list)
	var unknown *note.UnverifiedNoteError
	var bad *note.InvalidSignatureError
	switch {
	case errors.As(err, &unknown):
		if _, err := parseCheckpoint(unknown.Note.Text); err != nil {
			return Checkpoint{}, err
		}
		return Checkpoint{}, errors.New("is signed by no key that is known")
	case errors.As(err, &bad):
		return Checkpoint{}, errors.New("has a signature that isn't good")
	case err != nil:
		return Checkpoint{}, errCheckpoint
	}
	c, err := parseCheckpoint(n.Text)
	if err == nil && n.Sigs[0].Name != c.Origin {
		return c, fmt.Errorf("is signed for the log %s, not %s", n.Sigs[0].Name, c.Origin)
	}
	return c, err
}

// sign gives the signed note.
func (c Checkpoint) sign(s *keys.Signer) ([]byte, error) {
	line, err := VerifierKey(c.Origin, s.Public())
	if err != nil {
		return nil, err
	}
	v, err := note.NewVerifier(line)
	if err != nil {
		return nil, err
	}
	return note.Sign(&note.Note{Text: c.text()}, noteSigner{v, s})
}

// noteSigner is a note.Signer that has no private key of its own.
type noteSigner struct {
	note.Verifier
	signer *keys.Signer
}

// Sign signs for package note.
func (n noteSigner) Sign(message []byte) ([]byte, error) {
	return n.signer.Sign(nil, message, crypto.Hash(0)) // Ed25519 draws no randomness
}
