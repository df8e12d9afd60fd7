package password

import (
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/crypto/argon2"
)

// Cost is what hashing a password takes.
type Cost struct {
	Time    uint32 // passes
	Memory  uint32 // KiB
	Threads uint8
}

// DefaultCost is above RFC 9106's second recommendation in passes and half of it in memory: 32 MiB at a time, some tenths of a second on a slow core.
var DefaultCost = Cost{Time: 4, Memory: 32 << 10, Threads: 1}

const (
	saltBytes = 16
	hashBytes = 32
)

// The bounds of a stored hash's parameters: a row that somebody wrote must not use up the machine.
var maxCost = Cost{Time: 16, Memory: 256 << 10, Threads: 8}

func (c Cost) check() error {
	if c.Time < 1 || c.Time > maxCost.Time || c.Memory < 8*uint32(c.Threads) || c.Memory > maxCost.Memory || c.Threads < 1 || c.Threads > maxCost.Threads {
		return fmt.Errorf("password: a cost of %d passes, %d KiB and %d threads is out of bounds", c.Time, c.Memory, c.Threads)
	}
	return nil
}

// derive gives the PHC string of a password, which is normalised already.
func derive(password string, c Cost, random io.Reader) (string, error) {
	salt := make([]byte, saltBytes)
	if _, err := io.ReadFull(random, salt); err != nil {
		return "", fmt.Errorf("password: no randomness: %w", err)
	}
	sum := argon2.IDKey([]byte(password), salt, c.Time, c.Memory, c.Threads, hashBytes)
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, c.Memory, c.Time, c.Threads,
		base64.RawStdEncoding.EncodeToString(salt), base64.RawStdEncoding.EncodeToString(sum)), nil
}

var errHash = errors.New("password: a stored hash isn't one of ours")

// matches compares in constant time for a given cost.
func matches(password, stored string) (bool, error) {
	parts := strings.Split(stored, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return false, errHash
	}
	var c Cost
	if n, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &c.Memory, &c.Time, &c.Threads); err != nil || n != 3 || c.check() != nil {
		return false, errHash
	}
	salt, err := base64.RawStdEncoding.Strict().DecodeString(parts[4])
	sum, err2 := base64.RawStdEncoding.Strict().DecodeString(parts[5])
	if errors.Join(err, err2) != nil || len(salt) != saltBytes || len(sum) != hashBytes {
		return false, errHash
	}
	got := argon2.IDKey([]byte(password), salt, c.Time, c.Memory, c.Threads, hashBytes)
	return subtle.ConstantTimeCompare(got, sum) == 1, nil
}
