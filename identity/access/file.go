package access

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
)

// maxFileBytes bounds a credential file; a token has 68 bytes.
const maxFileBytes = 4 << 10

// WriteFile makes the credential file at path, readable and writable by its owner alone. It never replaces a file.
func WriteFile(path string, t Token) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("credential file %s: exists already; choose another name, or remove it if it is no longer used", path)
	}
	if err != nil {
		return fmt.Errorf("credential file: %w", err)
	}
	defer func() {
		if closed := f.Close(); err == nil && closed != nil {
			err = fmt.Errorf("credential file: %w", closed)
		}
		if err != nil { // half a credential is worse than none
			err = errors.Join(err, os.Remove(path))
		}
	}()
	if _, err := f.WriteString(t.Reveal() + "\n"); err != nil {
		return fmt.Errorf("credential file: %w", err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("credential file: %w", err)
	}
	return nil
}

// ReadFile reads the credential file at path. It refuses a file that anybody but the user could have read or put there: a
// symbolic link, another user's file, any permission for group or others. What it checks is the file that it opened.
func ReadFile(path string) (Token, error) {
	// O_NONBLOCK: opening a named pipe must not wait for a writer.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, syscall.ELOOP):
		return Token{}, fmt.Errorf("credential file %s: is a symbolic link; name the file itself", path)
	case errors.Is(err, fs.ErrNotExist):
		return Token{}, fmt.Errorf("credential file %s: there is none; ask a system administrator to issue you one", path)
	case err != nil:
		return Token{}, fmt.Errorf("credential file: %w", err)
	}
	defer func() { _ = f.Close() }() // opened for reading
	info, err := f.Stat()
	if err != nil {
		return Token{}, fmt.Errorf("credential file: %w", err)
	}
	if err := checkFile(info); err != nil {
		return Token{}, fmt.Errorf("credential file %s: %w", path, err)
	}
	content, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return Token{}, fmt.Errorf("credential file: %w", err)
	}
	if len(content) > maxFileBytes {
		return Token{}, fmt.Errorf("credential file %s: %w", path, errFileTooLarge)
	}
	token, err := ParseToken(strings.TrimSuffix(strings.TrimSuffix(string(content), "\n"), "\r"))
	if err != nil {
		return Token{}, fmt.Errorf("credential file %s: %w", path, err)
	}
	return token, nil
}

var errFileTooLarge = fmt.Errorf("is larger than %d KiB; a credential is one line: is this the right file?", maxFileBytes>>10)

func checkFile(info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return errors.New("is no regular file")
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); !ok || int64(stat.Uid) != int64(os.Geteuid()) {
		return fmt.Errorf("belongs to another user; run the command as its owner, or have a credential of your own issued (you are user %d)", os.Geteuid())
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return fmt.Errorf("others can read or change it (mode %04o); if nobody has, run: chmod 600 on it; else have the credential revoked", mode)
	}
	if info.Size() > maxFileBytes {
		return errFileTooLarge
	}
	return nil
}
