package boot

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
)

// ConfigName is the configuration file that is looked for in the data folder.
const ConfigName = "musubi.yaml"

const maxConfig = 1 << 20

// Config is what an administrator writes. Every field has a default: a hub starts without any file.
type Config struct {
	Database  string          `yaml:"database"` // "sqlite:FILE" (relative to the data folder) or "postgres://..."
	Listen    string          `yaml:"listen"`   // address of the pages; loopback until login exists
	Atlassian *AtlassianEntry `yaml:"atlassian"`
	Jira      *JiraEntry      `yaml:"jira"`
	Keys      *KeysEntry      `yaml:"keys"`
	Audit     *AuditEntry     `yaml:"audit"`
}

// KeysEntry says how signing keys are kept.
type KeysEntry struct {
	SealingKeyFile string `yaml:"sealing_key_file"` // empty: keys/sealing.key in the data folder, made at the first start
}

// AuditEntry says how the audit log is kept.
type AuditEntry struct {
	CheckpointFile string `yaml:"checkpoint_file"` // empty: audit-checkpoint in the data folder
}

// AtlassianEntry connects the Atlassian organization (licensed members, SCIM).
type AtlassianEntry struct {
	BaseURL      string  `yaml:"base_url"`
	DirectoryID  string  `yaml:"directory_id"`
	TokenFile    string  `yaml:"token_file"`
	TokenExpires string  `yaml:"token_expires"` // YYYY-MM-DD
	QuotaScale   float64 `yaml:"quota_scale"`   // for a sandbox with scaled quotas only
}

// JiraEntry connects a Jira Service Management site (portal-only customers, REST).
type JiraEntry struct {
	BaseURL      string  `yaml:"base_url"`
	Email        string  `yaml:"email"`
	TokenFile    string  `yaml:"token_file"`
	TokenExpires string  `yaml:"token_expires"`
	ServiceDesk  string  `yaml:"service_desk"`
	QuotaScale   float64 `yaml:"quota_scale"`
}

// LoadConfig reads the file at path; where path is empty, the data folder's musubi.yaml if there is one. Unknown keys are errors
// with their line; all faults of the values are reported at once.
func LoadConfig(path, data string) (Config, error) {
	cfg := Config{}
	explicit := path != ""
	if !explicit {
		path = filepath.Join(data, ConfigName)
	}
	text, err := readBounded(path, maxConfig)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !explicit:
	case err != nil:
		return cfg, Usage(fmt.Errorf("configuration: %w", err))
	default:
		dec := yaml.NewDecoder(bytes.NewReader(text), yaml.Strict())
		if err := dec.Decode(&cfg); err != nil && len(bytes.TrimSpace(text)) > 0 {
			return cfg, Usage(fmt.Errorf("configuration %s: %s", path, yaml.FormatError(err, false, false)))
		}
	}
	if cfg.Database == "" {
		cfg.Database = "sqlite:musubi.db"
	}
	if cfg.Listen == "" {
		cfg.Listen = "127.0.0.1:8080"
	}
	base := filepath.Dir(path)
	if rest, ok := strings.CutPrefix(cfg.Database, "sqlite:"); ok && !filepath.IsAbs(rest) {
		cfg.Database = "sqlite:" + filepath.Join(data, rest)
	}
	if cfg.Atlassian != nil {
		cfg.Atlassian.TokenFile = within(base, cfg.Atlassian.TokenFile)
	}
	if cfg.Jira != nil {
		cfg.Jira.TokenFile = within(base, cfg.Jira.TokenFile)
		if cfg.Jira.ServiceDesk == "" {
			cfg.Jira.ServiceDesk = "1"
		}
	}
	if cfg.Keys != nil {
		cfg.Keys.SealingKeyFile = within(base, cfg.Keys.SealingKeyFile)
	}
	if cfg.Audit != nil {
		cfg.Audit.CheckpointFile = within(base, cfg.Audit.CheckpointFile)
	}
	if err := cfg.check(); err != nil {
		return cfg, Usage(fmt.Errorf("configuration %s: %w", path, err))
	}
	return cfg, nil
}

func within(base, path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(base, path)
}

func (c Config) check() error {
	var faults []error
	if !strings.HasPrefix(c.Database, "sqlite:") && !strings.HasPrefix(c.Database, "postgres://") && !strings.HasPrefix(c.Database, "postgresql://") {
		faults = append(faults, errors.New(`database: write "sqlite:FILE" or "postgres://..."`))
	}
	faults = append(faults, loopback("listen", c.Listen))
	if a := c.Atlassian; a != nil {
		faults = append(faults, webAddress("atlassian.base_url", a.BaseURL, true), present("atlassian.directory_id", a.DirectoryID),
			present("atlassian.token_file", a.TokenFile), date("atlassian.token_expires", a.TokenExpires))
	}
	if j := c.Jira; j != nil {
		faults = append(faults, webAddress("jira.base_url", j.BaseURL, false), present("jira.email", j.Email),
			present("jira.token_file", j.TokenFile), date("jira.token_expires", j.TokenExpires))
	}
	return errors.Join(faults...)
}

func present(key, value string) error {
	if value == "" {
		return fmt.Errorf("%s: is missing", key)
	}
	return nil
}

func date(key, value string) error {
	if value == "" {
		return nil
	}
	if _, err := time.Parse(time.DateOnly, value); err != nil {
		return fmt.Errorf("%s: %q isn't a date: write YYYY-MM-DD", key, value)
	}
	return nil
}

// loopback: pages have no login yet, so they must not be reachable from another machine.
func loopback(key, address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%s: %q isn't host:port", key, address)
	}
	if ip := net.ParseIP(host); host == "localhost" || (ip != nil && ip.IsLoopback()) {
		return nil
	}
	return fmt.Errorf("%s: %q isn't a loopback address; until login exists the pages are served on loopback only, e.g. 127.0.0.1:8080", key, address)
}

func webAddress(key, address string, optional bool) error {
	if address == "" && optional {
		return nil
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") || u.User != nil || u.RawQuery != "" {
		return fmt.Errorf("%s: %q isn't a web address (https://host/path)", key, address)
	}
	if ip := net.ParseIP(u.Hostname()); u.Scheme == "http" && u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("%s: http is allowed to a sandbox on loopback only; write https", key)
	}
	return nil
}

// ReadSecret reads a secret's file: one line, not empty, readable by its owner alone.
func ReadSecret(path string) (string, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return "", Usage(fmt.Errorf("secret: %w", err))
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o077 != 0 {
		return "", Usage(fmt.Errorf("secret %s: others may read it (mode %v): run chmod 600 on it", path, info.Mode().Perm()))
	}
	text, err := readBounded(path, 16<<10)
	if err != nil {
		return "", Usage(fmt.Errorf("secret: %w", err))
	}
	secret := strings.TrimSpace(string(text))
	if secret == "" || strings.ContainsAny(secret, "\r\n\x00") {
		return "", Usage(fmt.Errorf("secret %s: must be one line that isn't empty", path))
	}
	return secret, nil
}

func readBounded(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return nil, fmt.Errorf("%s is a folder", path)
	}
	if info.Size() > limit {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, limit)
	}
	return os.ReadFile(path)
}

// Loopback refuses an address that other machines reach.
func Loopback(address string) error { return loopback("listen", address) }

// SaveConfig writes a configuration file, whole or not at all.
func SaveConfig(path string, cfg Config) error {
	text, err := yaml.Marshal(cfg)
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	tmp := path + ".new"
	if err := os.WriteFile(tmp, text, 0o600); err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	return os.Rename(tmp, path)
}
