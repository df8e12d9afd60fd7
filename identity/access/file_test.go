package access

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestFileRoundTrip(t *testing.T) {
	token, _ := testToken(t)
	path := filepath.Join(t.TempDir(), "planner")
	old := syscall.Umask(0)
	err := WriteFile(path, token)
	syscall.Umask(old)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	back, err := ReadFile(path)
	if err != nil || back.Reveal() != token.Reveal() {
		t.Errorf("read back %v, %v", back, err)
	}
	if err := os.WriteFile(path, []byte(token.Reveal()+"\r\n"), 0o600); err != nil { // an editor's line ending
		t.Fatal(err)
	}
	if _, err := ReadFile(path); err != nil {
		t.Error(err)
	}
}

func TestWriteFileNeverReplaces(t *testing.T) {
	token, _ := testToken(t)
	dir := t.TempDir()
	kept := filepath.Join(dir, "kept")
	if err := os.WriteFile(kept, []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(kept, link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{kept, link} {
		if err := WriteFile(path, token); err == nil || !strings.Contains(err.Error(), "exists already") {
			t.Errorf("%s: %v", path, err)
		}
	}
	if b, err := os.ReadFile(kept); err != nil || string(b) != "kept" {
		t.Errorf("%q, %v", b, err)
	}
	if err := WriteFile(filepath.Join(dir, "none", "x"), token); err == nil {
		t.Error("a file was written into a folder that doesn't exist")
	}
}

func TestReadFileRefuses(t *testing.T) {
	token, secret := testToken(t)
	dir := t.TempDir()
	file := func(name, content string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := file("good", token.Reveal()+"\n", 0o600)
	link := filepath.Join(dir, "link")
	if err := os.Symlink(good, link); err != nil {
		t.Fatal(err)
	}
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ path, want string }{
		{filepath.Join(dir, "none"), "there is none; ask a system administrator"},
		{link, "is a symbolic link"},
		{dir, "is no regular file"},
		{pipe, "is no regular file"},
		{file("group", token.Reveal(), 0o640), "(mode 0640); if nobody has, run: chmod 600"},
		{file("others", token.Reveal(), 0o604), "(mode 0604)"},
		{file("write", token.Reveal(), 0o620), "(mode 0620)"},
		{file("large", token.Reveal()+strings.Repeat("\n", maxFileBytes), 0o600), "larger than 4 KiB"},
		{file("empty", "", 0o600), "isn't a credential of this hub"},
		{file("two", token.Reveal()+"\n"+token.Reveal()+"\n", 0o600), "isn't a credential of this hub"},
		{file("other", "hunter2\n", 0o600), "isn't a credential of this hub"},
	} {
		_, err := ReadFile(tc.path)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", tc.path, err, tc.want)
			continue
		}
		if strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), tc.path) {
			t.Errorf("%s: the error shows a secret or doesn't name the file: %v", tc.path, err)
		}
	}
	if os.Geteuid() != 0 {
		t.Skip("only root can give a file to another user")
	}
	foreign := file("foreign", token.Reveal(), 0o600)
	if err := os.Chown(foreign, 65534, -1); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadFile(foreign); err == nil || !strings.Contains(err.Error(), "belongs to another user") {
		t.Errorf("another user's file: %v", err)
	}
}
