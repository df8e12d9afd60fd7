package config

import (
	"errors"
	"os"
	"slices"
	"strings"
)

// maxSecret bounds a secret's file, in bytes.
const maxSecret = 16 << 10

// ReadSecret reads a secret's file: a regular file of one line that isn't empty, readable by its owner alone.
func ReadSecret(path string) (string, error) { return readSecret(path, false) }

// ReadKey reads a secret's file of several lines: a key in PEM form.
func ReadKey(path string) (string, error) { return readSecret(path, true) }

// ReadPublic reads a file of certificates, which are no secret.
func ReadPublic(path string) ([]byte, error) {
	text, err := readBounded(path, maxPublic)
	if err != nil {
		return nil, wrong("name a file of certificates in PEM form", "%s: it can't be read (%s)", path, cause(err))
	}
	return text, nil
}

// maxPublic bounds a file of certificates, in bytes: an operating system's whole list has about 250,000.
const maxPublic = 1 << 20

func readSecret(path string, block bool) (string, error) {
	const remedy = "write the secret there, in one line, and run chmod 600 on it"
	info, err := os.Lstat(path)
	switch {
	case err != nil:
		return "", wrong(remedy, "secret %s: it can't be read (%s)", path, cause(err))
	case !info.Mode().IsRegular():
		return "", wrong(remedy, "secret %s: it is no regular file", path)
	case info.Mode().Perm()&0o077 != 0:
		return "", wrong("run chmod 600 on it", "secret %s: others may read it (mode %v)", path, info.Mode().Perm())
	}
	text, err := readBounded(path, maxSecret)
	if err != nil {
		return "", wrong(remedy, "secret %s: it can't be read (%s)", path, cause(err))
	}
	secret := strings.TrimSpace(string(text))
	if block && secret != "" && !strings.Contains(secret, "\x00") {
		return secret + "\n", nil
	}
	if block {
		return "", wrong("write the key there in PEM form, and run chmod 600 on it", "secret %s: it must hold text", path)
	}
	if secret == "" || strings.ContainsAny(secret, "\r\n\x00") {
		return "", wrong(remedy, "secret %s: it must hold one line that isn't empty", path)
	}
	return secret, nil
}

// CheckSecrets reads every secret's file that is named and says, all at once, which can't be used.
func (l *Loaded) CheckSecrets() Faults {
	var faults Faults
	for _, s := range settings {
		v, ok := l.values[s.key]
		if !ok || !s.secret {
			continue
		}
		_, err := readSecret(v.text, s.block)
		var r *remedied
		if errors.As(err, &r) {
			faults = append(faults, Fault{v.origin, s.key, r.what, r.remedy})
		}
	}
	return faults
}

// SecretFiles are the files that the configuration names as holding a secret.
func (l *Loaded) SecretFiles() []string {
	var files []string
	for _, s := range settings {
		if v, ok := l.values[s.key]; ok && s.secret {
			files = append(files, v.text)
		}
	}
	return files
}

// PublicFiles are the files of certificates and rules that the configuration names and the hub can't start without. One that holds a secret too, as a
// certificate with its key does, is no public one.
func (l *Loaded) PublicFiles() []string {
	secrets := l.SecretFiles()
	var files []string
	for _, s := range settings {
		if v, ok := l.values[s.key]; ok && s.public && !slices.Contains(secrets, v.text) && !slices.Contains(files, v.text) {
			files = append(files, v.text)
		}
	}
	return files
}
