package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/musubi-hub/musubi/cmd/internal/config"
)

func TestConfigCommands(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := file("good.yaml", "listen: 127.0.0.1:7\natlassian: {directory_id: d, token_file: good.token}\n", 0o600)
	file("good.token", "s3cret\n", 0o600)
	bad := file("bad.yaml", "lissten: x\nlog: {level: loud}\n", 0o600)
	open := file("open.yaml", "atlassian: {directory_id: d, token_file: open.token}\n", 0o600)
	file("open.token", "s3cret\n", 0o644)
	t.Setenv("MUSUBI_LOG_FORMAT", "text")
	for _, c := range []struct {
		name string
		args []string
		code int
		want []string
	}{
		{"no file", []string{"config", "check", "--data", dir}, 0, []string{"the defaults are in force"}},
		{"good", []string{"config", "check", good}, 0, []string{"no faults"}},
		{"bad", []string{"config", "check", bad}, 2, []string{"configuration: 2 faults", bad + ":1:1: lissten: there is no such setting: did you mean listen?", bad + ":2:7: log.level:"}},
		{"bad, for a program", []string{"config", "check", bad, "--json"}, 2, []string{`"schema":"musubi.config.check.v1"`, `"ok":false`, `"line":1,"column":1,"key":"lissten"`}},
		{"unreadable secret", []string{"config", "check", open}, 2, []string{open + ":1:30: atlassian.token_file: secret", "others may read it", "run chmod 600 on it"}},
		{"absent", []string{"config", "check", filepath.Join(dir, "absent.yaml")}, 2, []string{"no such file or directory", "--config"}},
		{"serve with a bad one", []string{"serve", "--config", bad, "--data", filepath.Join(dir, "none")}, 2, []string{"2 faults"}},
		{"serve with an unreadable secret", []string{"serve", "--config", open, "--data", filepath.Join(dir, "d")}, 2, []string{"others may read it"}},
		{"serve to the world", []string{"serve", "--listen", "0.0.0.0:80", "--data", filepath.Join(dir, "none")}, 2, []string{`--listen: listen: "0.0.0.0:80" isn't a loopback address`}},
		{"password on the command line", []string{"plan", "--database", "postgres://u:s3cret@h/d"}, 2, []string{"--database: database: the address holds a password"}},
		{"log level", []string{"plan", "--log-level", "loud"}, 2, []string{`--log-level: log.level: "loud" isn't one of the choices`}},
		{"print", []string{"config", "print", "--config", good, "--listen-is-no-flag"}, 2, []string{"unknown flag"}},
		{"print", []string{"config", "print", "--config", good}, 0, []string{"[file: " + filepath.Join(dir, "good.token") + "]", good + ":1:1", "MUSUBI_LOG_FORMAT", "default"}},
		{"print, for a program", []string{"config", "print", "--config", good, "--log-level", "debug", "--json"}, 0, []string{`"schema":"musubi.config.v1"`, `{"key":"log.level","value":"debug","from":"flag","origin":{"flag":"--log-level"}}`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := command(t.Context(), t, c.args...)
			if a.code != c.code {
				t.Errorf("exit %d, want %d", a.code, c.code)
			}
			for _, want := range c.want {
				if !strings.Contains(a.out+a.err, want) {
					t.Errorf("missing: %s\nin: %s%s", want, a.out, a.err)
				}
			}
			if strings.Contains(a.out+a.err, "s3cret") {
				t.Error("a secret is shown")
			}
		})
	}
	if _, err := os.Stat(filepath.Join(dir, "none")); err == nil {
		t.Error("a wrong configuration made a data folder")
	}
}

// The environment may say where to look; the demonstration doesn't follow it.
func TestPlacesFromEnvironment(t *testing.T) {
	dir := t.TempDir()
	t.Setenv(config.EnvData, dir)
	var doc struct{ Settings []config.Setting }
	if err := json.Unmarshal([]byte(must(t, "config", "print", "--json").out), &doc); err != nil {
		t.Fatal(err)
	}
	if got, want := doc.Settings[0].Value, "sqlite:"+filepath.Join(dir, "musubi.db"); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	t.Setenv("MUSUBI_DATABASE", "postgres://production.example.jp/musubi")
	data := filepath.Join(dir, "demo")
	a := command(t.Context(), t, "demo", "--headless", "--data", data, "--listen", "127.0.0.1:0", "--sandbox-listen", "127.0.0.1:0", "--people-per-org", "1")
	if a.code != 0 {
		t.Fatalf("exit %d: %s", a.code, a.err)
	}
	if _, err := os.Stat(filepath.Join(data, "musubi.db")); err != nil {
		t.Errorf("the demonstration used another database: %v", err)
	}
}
