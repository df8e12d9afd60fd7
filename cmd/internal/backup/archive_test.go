package backup

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// packed makes a small archive and gives its bytes.
func packed(t testing.TB, files map[string]string) []byte {
	t.Helper()
	stage := t.TempDir()
	for name, text := range files {
		full := filepath.Join(stage, name)
		if err := os.MkdirAll(filepath.Dir(full), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	list, err := measure(stage)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if _, err := pack(&out, stage, Manifest{Schema: Schema, MadeAt: time.Unix(1, 0).UTC(), Files: list}); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// unpacked gives what comes out of the bytes, and fails where anything lands outside of the folder.
func unpacked(t testing.TB, archive []byte) (map[string]string, error) {
	t.Helper()
	dir, err := os.MkdirTemp("", "musubi-unpack-")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	file, stage := filepath.Join(dir, "file"), filepath.Join(dir, "stage")
	if err := errors.Join(os.WriteFile(file, archive, 0o600), os.Mkdir(stage, 0o700)); err != nil {
		t.Fatal(err)
	}
	_, failed := unpack(file, stage)
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
		t.Fatalf("something was written outside: %v, %v", entries, err)
	}
	out := map[string]string{}
	err = filepath.WalkDir(stage, func(full string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := os.ReadFile(full)
		rel, _ := filepath.Rel(stage, full)
		out[filepath.ToSlash(rel)] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out, failed
}

var sampleFiles = map[string]string{
	"database/musubi.db": strings.Repeat("row\n", 5000), "data/musubi.yaml": "listen: 127.0.0.1:1\n", "data/secrets/a.token": "x\n", "data/keys/2027/rsa.pem": "",
}

func TestPackAndUnpack(t *testing.T) {
	got, err := unpacked(t, packed(t, sampleFiles))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sampleFiles, got); diff != "" {
		t.Error(diff)
	}
}

// Whatever single fault befalls the file, it is refused as damaged, or its content is the original's.
func TestDamageIsNoticed(t *testing.T) {
	whole := packed(t, sampleFiles)
	rapid.Check(t, func(rt *rapid.T) {
		b := bytes.Clone(whole)
		at := rapid.IntRange(0, len(b)-1).Draw(rt, "at")
		switch rapid.IntRange(0, 2).Draw(rt, "fault") {
		case 0:
			b[at] ^= byte(rapid.IntRange(1, 255).Draw(rt, "bits"))
		case 1:
			b = b[:at]
		case 2:
			b = append(b[:at:at], whole[min(at+rapid.IntRange(1, 64).Draw(rt, "gap"), len(whole)):]...)
		}
		got, err := unpacked(t, b)
		if err == nil && !cmp.Equal(sampleFiles, got) {
			rt.Fatalf("a damaged file was taken for whole")
		}
		if err != nil && !errors.Is(err, ErrDamaged) {
			rt.Fatalf("not told as damage: %v", err)
		}
	})
}

// A damaged name of the format is damage, and not a newer program's file: nobody is sent to look for a program that never was.
func TestDamagedFormat(t *testing.T) {
	whole := tarball(t, "manifest.json", `{"schema":"musubi.backup.v9"}`)
	if _, err := unpacked(t, whole); err == nil || errors.Is(err, ErrDamaged) {
		t.Errorf("another format: %v", err)
	}
	whole[len(whole)-5] ^= 1 // of the checksum, which is over what was written
	if _, err := unpacked(t, whole); !errors.Is(err, ErrDamaged) {
		t.Errorf("not told as damage: %v", err)
	}
}

// tarball makes an archive by hand.
func tarball(t testing.TB, entries ...string) []byte {
	t.Helper()
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	w := tar.NewWriter(zip)
	for i := 0; i+1 < len(entries); i += 2 {
		if err := w.WriteHeader(&tar.Header{Name: entries[i], Mode: 0o600, Size: int64(len(entries[i+1]))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(entries[i+1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), zip.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

const empty256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

func TestHostileArchives(t *testing.T) {
	manifest := func(files string) string { return `{"schema":"musubi.backup.v1","files":[` + files + `]}` }
	entry := func(name string) string { return `{"name":"` + name + `","size":0,"sha256":"` + empty256 + `"}` }
	for _, c := range []struct {
		name, want string
		archive    []byte
	}{
		{"not gzip", "no backup of Musubi", []byte("PK\x03\x04")},
		{"no manifest", "no manifest", tarball(t, "data/a", "")},
		{"other format", `its format is "musubi.backup.v9"`, tarball(t, "manifest.json", `{"schema":"musubi.backup.v9"}`)},
		{"upwards", "wrong entry", tarball(t, "manifest.json", manifest(entry("data/../../x")), "data/../../x", "")},
		{"absolute", "wrong entry", tarball(t, "manifest.json", manifest(entry("/etc/x")), "/etc/x", "")},
		{"other folder", "wrong entry", tarball(t, "manifest.json", manifest(entry("credentials/x")), "credentials/x", "")},
		{"twice", "wrong entry", tarball(t, "manifest.json", manifest(entry("data/a")+","+entry("data/a")), "data/a", "", "data/a", "")},
		{"file as folder", "wrong entry", tarball(t, "manifest.json", manifest(entry("data/a")+","+entry("data/a/b")))},
		{"other part", "stands where", tarball(t, "manifest.json", manifest(entry("data/a")), "data/b", "")},
		{"one more", "follows its last part", tarball(t, "manifest.json", manifest(entry("data/a")), "data/a", "", "data/b", "")},
		{"other content", "isn't what the manifest says", tarball(t, "manifest.json", `{"schema":"musubi.backup.v1","files":[{"name":"data/a","size":1,"sha256":"`+empty256+`"}]}`, "data/a", "x")},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := unpacked(t, c.archive); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %s", err, c.want)
			}
		})
	}
}

func TestTarget(t *testing.T) {
	dir := t.TempDir()
	now := time.Date(2026, 4, 1, 2, 3, 4, 0, time.UTC)
	there := filepath.Join(dir, "there")
	if err := os.WriteFile(there, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := target(dir, now); err != nil || got != filepath.Join(dir, "musubi-20260401T020304Z.backup") {
		t.Errorf("%s, %v", got, err)
	}
	if _, err := target(there, now); !errors.Is(err, os.ErrExist) {
		t.Errorf("over a file: %v", err)
	}
	if _, err := target(filepath.Join(dir, "no", "file"), now); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add([]byte("manifest.json"), []byte(`{"schema":"musubi.backup.v1","files":[{"name":"data/a","size":0}]}`), "data/a")
	f.Fuzz(func(t *testing.T, head, body []byte, name string) {
		if len(head) > 90 || len(name) > 90 || strings.ContainsRune(string(head)+name, 0) {
			return
		}
		var out bytes.Buffer
		zip := gzip.NewWriter(&out)
		w := tar.NewWriter(zip)
		for _, e := range []struct{ name, body string }{{string(head), string(body)}, {name, "x"}} {
			if w.WriteHeader(&tar.Header{Name: e.name, Size: int64(len(e.body))}) != nil {
				return
			}
			if _, err := w.Write([]byte(e.body)); err != nil {
				return
			}
		}
		if errors.Join(w.Close(), zip.Close()) != nil {
			return
		}
		_, _ = unpacked(t, out.Bytes())
	})
}
