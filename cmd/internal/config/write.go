package config

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// From makes the configuration of settings that a program chose, checked like a person's. Paths are taken as they are.
func From(values map[string]string) (Config, error) {
	l := Loaded{Origins: map[string]Origin{}, values: map[string]value{}}
	for key, text := range values {
		l.values[key] = value{text, Origin{}}
	}
	if faults := l.check(nil); len(faults) > 0 {
		return Config{}, faults
	}
	l.fill("")
	return l.Config, nil
}

// Save writes the settings as the data folder's file, whole or not at all.
func Save(data string, values map[string]string) error {
	text, err := write(data, values)
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	path := filepath.Join(data, FileName)
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	return os.Rename(path+".new", path)
}

// Check says what is wrong with logging that a flag alone asks for.
func (l Log) Check() error {
	for key, text := range map[string]string{"log.level": l.Level, "log.format": l.Format} {
		s, _ := find(key)
		if !slices.Contains(s.choices, text) {
			return s.checkValue(text)
		}
	}
	return nil
}

// write gives the file that says what the values say. Paths below data are written relative to it, so that the folder can be moved.
func write(data string, values map[string]string) ([]byte, error) {
	var b strings.Builder
	heading := ""
	for _, s := range settings {
		text, ok := values[s.key]
		if !ok {
			continue
		}
		if err := s.checkValue(text); err != nil {
			return nil, fmt.Errorf("%s: %w", s.key, err)
		}
		if sec := s.section(); sec != heading {
			heading = sec
			b.WriteString(sec + ":\n")
		}
		if s.section() != "" {
			b.WriteString("  ")
		}
		switch path, sqlite := strings.CutPrefix(text, "sqlite:"); {
		case sqlite && s.key == "database":
			text = "sqlite:" + below(data, path)
		case s.secret, s.path:
			text = below(data, text)
		}
		line, err := json.Marshal(text) // a JSON string is a YAML string
		if err != nil {
			return nil, err
		}
		if s.number {
			line = []byte(text)
		}
		b.WriteString(strings.TrimPrefix(s.key, s.section()+".") + ": " + string(line) + "\n")
	}
	return []byte(b.String()), nil
}

func below(data, path string) string {
	if rest, ok := strings.CutPrefix(path, strings.TrimSuffix(data, "/")+"/"); ok {
		return rest
	}
	return path
}
