package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

func TestTestPKI(t *testing.T) {
	i := &install{data: t.TempDir()}
	folder := func(name string) string { return i.path("made", name) }
	args := func(name string) []string {
		return []string{"testpki", folder(name), "--ca-key", "p256", "--seed", "1", "--at", "2026-12-01T09:00:00+09:00", "--json"}
	}
	for _, name := range []string{"one", "two"} {
		r := i.musubi(t, args(name)...)
		if r.code != 0 {
			t.Fatalf("exit %d: %s", r.code, r.err)
		}
		var doc testPKIDoc
		if err := json.Unmarshal([]byte(r.out), &doc); err != nil {
			t.Fatal(err)
		}
		if doc.Files < 50 || len(doc.Samples) < 9 || doc.Made.Format("2006-01-02 15:04") != "2026-12-01 00:00" {
			t.Errorf("%+v", doc)
		}
	}
	files := 0
	err := filepath.Walk(folder("one"), func(path string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() {
			return err
		}
		files++
		rel, err := filepath.Rel(folder("one"), path)
		if err != nil {
			return err
		}
		one, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		two, err := os.ReadFile(filepath.Join(folder("two"), rel))
		if err != nil || !bytes.Equal(one, two) {
			t.Errorf("%s: the same seed made another: %v", rel, err)
		}
		secret := bytes.Contains(one, []byte("PRIVATE KEY")) || filepath.Ext(path) == ".p12"
		if (info.Mode().Perm() == 0o600) != secret || info.Mode().Perm()&0o022 != 0 {
			t.Errorf("%s has mode %v", rel, info.Mode())
		}
		return nil
	})
	if err != nil || files < 50 {
		t.Errorf("%d files, %v", files, err)
	}
	if r := i.musubi(t, args("one")...); r.code != 3 {
		t.Errorf("a folder that is full: exit %d", r.code)
	}
	left, err := filepath.Glob(i.path("made", ".*"))
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
