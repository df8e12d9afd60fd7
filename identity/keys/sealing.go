package keys

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// ErrUnreadable is wrapped where a key that is there can't be used: its file is missing, is another, is open to others, or is
// damaged. The text says which and what to do.
var ErrUnreadable = errors.New("a key can't be read")

// The sizes of a sealing key and of what it seals, in bytes.
const (
	sealingSize   = 32
	sealingIDSize = 8
	saltSize      = 16
	nonceSize     = 12
	maxSealed     = 16 << 10
	sealVersion   = 1
)

// sealingPrefix begins the text form of a sealing key's file.
const sealingPrefix = "musubi-sealing-key-v1:"

// SealingKey encrypts private keys at rest: AES-256-GCM under a key that HKDF-SHA256 (RFC 5869) derives for each of them. It
// prints as its id.
type SealingKey struct {
	secret [sealingSize]byte
	id     [sealingIDSize]byte
}

// NewSealingKey draws a sealing key.
func NewSealingKey(random io.Reader) (*SealingKey, error) {
	secret := make([]byte, sealingSize)
	if _, err := io.ReadFull(random, secret); err != nil {
		return nil, fmt.Errorf("sealing key: %w", err)
	}
	return sealingKey(secret)
}

func sealingKey(secret []byte) (*SealingKey, error) {
	k := &SealingKey{}
	copy(k.secret[:], secret)
	if k.secret == [sealingSize]byte{} {
		return nil, fmt.Errorf("%w: it is all zeros", errSealingFormat)
	}
	id, err := hkdf.Key(sha256.New, secret, nil, "musubi sealing key id v1", sealingIDSize)
	if err != nil {
		return nil, fmt.Errorf("sealing key: %w", err)
	}
	copy(k.id[:], id)
	return k, nil
}

// ID names the sealing key without telling anything of it.
func (k *SealingKey) ID() string { return hex.EncodeToString(k.id[:]) }

// String gives the id, so that the key itself is never printed.
func (k *SealingKey) String() string { return "sealing key " + k.ID() }

// GoString is String.
func (k *SealingKey) GoString() string { return k.String() }

var errSealingFormat = errors.New("not a sealing key: want exactly 32 random bytes, or one line of " + sealingPrefix + " and 43 characters of base64url")

// ParseSealingKey reads the content of a sealing key's file.
func ParseSealingKey(content []byte) (*SealingKey, error) {
	if text, ok := bytes.CutPrefix(content, []byte(sealingPrefix)); ok {
		text = bytes.TrimSuffix(bytes.TrimSuffix(text, []byte("\n")), []byte("\r"))
		secret, err := base64.RawURLEncoding.Strict().DecodeString(string(text))
		if err != nil || len(secret) != sealingSize || bytes.ContainsAny(text, "\r\n") {
			return nil, errSealingFormat
		}
		return sealingKey(secret)
	}
	if len(content) != sealingSize {
		return nil, errSealingFormat
	}
	return sealingKey(content)
}

// ReadSealingKey reads the sealing key's file. It refuses a file that anybody but the user could have read or put there. Where
// there is none the error is fs.ErrNotExist too.
func ReadSealingKey(path string) (*SealingKey, error) {
	// O_NONBLOCK: opening a named pipe must not wait for a writer.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, syscall.ELOOP):
		return nil, fmt.Errorf("%w: sealing key %s: is a symbolic link; name the file itself", ErrUnreadable, path)
	case err != nil:
		return nil, fmt.Errorf("%w: sealing key: %w", ErrUnreadable, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("%w: sealing key: %w", ErrUnreadable, err)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%w: sealing key %s: is no regular file", ErrUnreadable, path)
	case !ok || int64(stat.Uid) != int64(os.Geteuid()):
		return nil, fmt.Errorf("%w: sealing key %s: belongs to another user; run the hub as its owner (you are user %d)", ErrUnreadable, path, os.Geteuid())
	case info.Mode().Perm()&0o077 != 0:
		return nil, fmt.Errorf("%w: sealing key %s: others can read or change it (mode %04o): run chmod 600 on it, and rotate the keys if anybody has read it",
			ErrUnreadable, path, info.Mode().Perm())
	}
	content, err := io.ReadAll(io.LimitReader(f, 1<<10))
	if err != nil {
		return nil, fmt.Errorf("%w: sealing key %s: %w", ErrUnreadable, path, err)
	}
	k, err := ParseSealingKey(content)
	if err != nil {
		return nil, fmt.Errorf("%w: sealing key %s: %w", ErrUnreadable, path, err)
	}
	return k, nil
}

// WriteFile makes the sealing key's file at path, 0600, in a folder of mode 0700. It never replaces a file: where there is one
// the error is fs.ErrExist. A crash leaves the whole file or none.
func (k *SealingKey) WriteFile(path string) (err error) {
	folder := filepath.Dir(path)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("sealing key: %w", err)
	}
	f, err := os.CreateTemp(folder, ".sealing-*") // mode 0600
	if err != nil {
		return fmt.Errorf("sealing key: %w", err)
	}
	defer func() { err = errors.Join(err, os.Remove(f.Name())) }() // the name at path stays: it is a link to the same file
	_, err = f.WriteString(sealingPrefix + base64.RawURLEncoding.EncodeToString(k.secret[:]) + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("sealing key: %w", err)
	}
	if err := os.Link(f.Name(), path); err != nil { // unlike Rename it fails where the file exists
		return fmt.Errorf("sealing key: %w", err)
	}
	return syncFolder(folder)
}

func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("sealing key: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}

// seal encrypts plain; label is bound to it, so that what was sealed for one key opens for no other.
//
//	version (1) || sealing key id (8) || salt (16) || nonce (12) || AES-256-GCM ciphertext and tag
func (k *SealingKey) seal(plain []byte, label string, random io.Reader) (string, error) {
	out := make([]byte, 1+sealingIDSize+saltSize+nonceSize, 1+sealingIDSize+saltSize+nonceSize+len(plain)+16)
	out[0] = sealVersion
	copy(out[1:], k.id[:])
	salt, nonce := out[1+sealingIDSize:][:saltSize], out[1+sealingIDSize+saltSize:][:nonceSize]
	if _, err := io.ReadFull(random, out[1+sealingIDSize:]); err != nil {
		return "", fmt.Errorf("seal: %w", err)
	}
	aead, err := k.aead(salt)
	if err != nil {
		return "", err
	}
	out = aead.Seal(out, nonce, plain, []byte(label))
	return base64.RawURLEncoding.EncodeToString(out), nil
}

func (k *SealingKey) aead(salt []byte) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, k.secret[:], salt, "musubi sealed private key v1", 32)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	return cipher.NewGCM(block)
}

// Derive gives 32 bytes for a use of their own (HKDF-SHA256, RFC 5869): who has them learns nothing of the sealing key or of other uses.
func (k *SealingKey) Derive(use string) ([]byte, error) {
	return hkdf.Key(sha256.New, k.secret[:], nil, use, 32)
}

// errOtherSealingKey says that something was sealed under another sealing key; sealedUnder tells which.
var errOtherSealingKey = errors.New("sealed under another sealing key")

// open undoes seal.
func (k *SealingKey) open(sealed, label string) ([]byte, error) {
	b, err := decodeSealed(sealed)
	if err != nil {
		return nil, err
	}
	if id := b[1 : 1+sealingIDSize]; !bytes.Equal(id, k.id[:]) {
		return nil, fmt.Errorf("%w, %x, than this node's, %s", errOtherSealingKey, id, k.ID())
	}
	aead, err := k.aead(b[1+sealingIDSize:][:saltSize])
	if err != nil {
		return nil, err
	}
	head := 1 + sealingIDSize + saltSize
	plain, err := aead.Open(nil, b[head:head+nonceSize], b[head+nonceSize:], []byte(label))
	if err != nil {
		return nil, errors.New("damaged, or sealed for another key")
	}
	return plain, nil
}

func decodeSealed(sealed string) ([]byte, error) {
	if len(sealed) > maxSealed {
		return nil, fmt.Errorf("larger than %d bytes", maxSealed)
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(sealed)
	switch {
	case err != nil || strings.ContainsAny(sealed, "\r\n"):
		return nil, errors.New("damaged: not base64url")
	case len(b) < 1+sealingIDSize+saltSize+nonceSize+16:
		return nil, errors.New("damaged: too short")
	case b[0] != sealVersion:
		return nil, fmt.Errorf("sealed in format %d, this program knows format %d; run the newer program", b[0], sealVersion)
	}
	return b, nil
}

// missing reports whether err says that there is no file.
func missing(err error) bool { return errors.Is(err, fs.ErrNotExist) }
