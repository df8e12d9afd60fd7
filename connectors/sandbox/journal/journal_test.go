package journal_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/musubi-hub/musubi/connectors/sandbox/journal"
	"github.com/musubi-hub/musubi/connectors/sandbox/site"
)

// words is a state that only remembers what it was told.
type words struct{ got []string }

func (w *words) Apply(app string, c site.Change) error {
	if c.Kind == "bad" {
		return errors.New("bad change")
	}
	w.got = append(w.got, app+" "+c.Kind+" "+string(c.Data))
	return nil
}

func (w *words) Snapshot(emit func(string, []site.Change) error) error {
	for _, g := range w.got {
		part := strings.SplitN(g, " ", 3)
		if err := emit(part[0], []site.Change{{Kind: part[1], Data: json.RawMessage(part[2])}}); err != nil {
			return err
		}
	}
	return nil
}

func change(kind, data string) []site.Change {
	return []site.Change{{Kind: kind, Data: json.RawMessage(data)}}
}

func TestAppendReplay(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made")
	j, err := journal.Open(dir, &words{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := journal.Open(dir, &words{}); !errors.Is(err, journal.ErrLocked) {
		t.Errorf("a second sandbox on the folder: %v", err)
	}
	for _, d := range []string{`1`, `"二"`, `{"x":[]}`} {
		if err := j.Append("a", change("k", d)); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Append("a", nil); err != nil {
		t.Errorf("nothing to write: %v", err)
	}
	if err := j.Append("a", change("k", `{`)); err == nil {
		t.Error("broken JSON was written")
	}
	if err := errors.Join(j.Close(), j.Close()); err != nil {
		t.Fatal(err)
	}
	if err := j.Append("a", change("k", `1`)); err == nil {
		t.Error("a closed journal took a change")
	}
	w := &words{}
	j, err = journal.Open(dir, w)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	if got := strings.Join(w.got, "|"); got != `a k 1|a k "二"|a k {"x":[]}` {
		t.Errorf("replayed %s", got)
	}
	var none *journal.Journal
	if err := errors.Join(none.Append("a", change("k", "1")), none.Compact(w), none.Close()); err != nil {
		t.Errorf("a nil journal keeps nothing: %v", err)
	}
}

func TestBrokenFiles(t *testing.T) {
	whole := func(dir string) []byte {
		j, err := journal.Open(dir, &words{})
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range []string{`1`, `2`, `3`} {
			if err := j.Append("a", change("k", d)); err != nil {
				t.Fatal(err)
			}
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		raw, err := os.ReadFile(filepath.Join(dir, journal.FileName))
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	dir := t.TempDir()
	raw := string(whole(dir))
	for name, c := range map[string]struct {
		file, want, fails string
	}{
		"empty":                       {"", "", ""},
		"only a part of the header":   {raw[:5], "", ""},
		"no end of the last line":     {raw[:len(raw)-1], "a k 1|a k 2", ""},
		"last line with wrong sum":    {raw[:len(raw)-3] + "x" + raw[len(raw)-2:], "a k 1|a k 2", ""},
		"garbage after a crash":       {raw + "\x00\x00\x00", "a k 1|a k 2|a k 3", ""},
		"middle line with wrong sum":  {strings.Replace(raw, `"d":2`, `"d":5`, 1), "", "line 3: wrong checksum"},
		"middle line without a sum":   {strings.Replace(raw, "\n", "\nx\n", 1), "", "line 2: no checksum"},
		"another program's file":      {"hello\nworld\n", "", "not a sandbox journal"},
		"a journal of a newer binary": {strings.Replace(raw, "journal 1", "journal 2", 1), "", "not a sandbox journal of this version"},
	} {
		if err := os.WriteFile(filepath.Join(dir, journal.FileName), []byte(c.file), 0o600); err != nil {
			t.Fatal(err)
		}
		w := &words{}
		j, err := journal.Open(dir, w)
		switch {
		case c.fails != "" && (err == nil || !strings.Contains(err.Error(), c.fails)):
			t.Errorf("%s: %v, want %q", name, err, c.fails)
		case c.fails == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.fails == "" && strings.Join(w.got, "|") != c.want:
			t.Errorf("%s: %v, want %s", name, w.got, c.want)
		}
		if j != nil {
			_ = j.Close()
		}
		if c.fails != "" { // a file that can't be read must be left as it is
			if now, _ := os.ReadFile(filepath.Join(dir, journal.FileName)); string(now) != c.file {
				t.Errorf("%s: the file was changed", name)
			}
		}
	}
}
