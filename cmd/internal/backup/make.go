package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/cmd/internal/config"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/identity/sqldb/snapshot"
	"github.com/musubi-hub/musubi/sync/jobs"
)

// Options say what to keep, and where.
type Options struct {
	DB       *sqldb.DB
	Versions map[string]int64 // of the database's tables
	Data     string
	Config   config.Loaded
	To       string // a file that isn't there, or a folder that is
	Secrets  bool   // also the tokens that the configuration names
	Program  string
	Now      time.Time
	Record   func(ctx context.Context, r Result) error // writes it down before the file gets its name
}

// Result is a backup that was made.
type Result struct {
	File     string   `json:"file"`
	SHA256   string   `json:"sha256"` // of the file: keep it elsewhere
	Bytes    int64    `json:"bytes"`
	Manifest Manifest `json:"-"`
	// Outside are files that the configuration names and that the backup doesn't hold, because they lie outside of the data folder
	// or are secrets that weren't asked for.
	Outside []string `json:"not_included"`
}

// KeysDir is the folder of the hub's own keys, below the data folder.
const KeysDir = "keys"

// Make writes a backup. The hub may serve meanwhile. The file has its name only when it is whole.
func Make(ctx context.Context, o Options) (r Result, err error) {
	if r.File, err = target(o.To, o.Now); err != nil {
		return r, err
	}
	stage, err := os.MkdirTemp(filepath.Dir(r.File), ".musubi-backup-")
	if err != nil {
		return r, fmt.Errorf("backup: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(stage)) }()

	parts := filepath.Join(stage, "parts")
	if err := os.MkdirAll(filepath.Join(parts, databaseDir), 0o700); err != nil {
		return r, err
	}
	m := Manifest{Schema: Schema, Program: o.Program, MadeAt: o.Now.UTC(), Versions: o.Versions, Secrets: o.Secrets}
	if m.Database, err = snapshot.Write(ctx, o.DB, filepath.Join(parts, databaseDir), jobs.VersionTable); err != nil {
		return r, fmt.Errorf("backup: %w", err)
	}
	if r.Outside, err = o.gather(parts); err != nil {
		return r, fmt.Errorf("backup: %w", err)
	}
	if m.Files, err = measure(parts); err != nil {
		return r, fmt.Errorf("backup: %w", err)
	}
	r.Manifest = m
	whole := filepath.Join(stage, "whole")
	if r.SHA256, r.Bytes, err = writeWhole(whole, parts, m); err != nil {
		return r, fmt.Errorf("backup: %w", err)
	}
	if err := o.Record(ctx, r); err != nil {
		return r, err
	}
	if err := os.Link(whole, r.File); err != nil { // refuses a file that has come meanwhile, which a rename would replace
		return r, fmt.Errorf("backup: %w", err)
	}
	return r, syncDir(filepath.Dir(r.File))
}

// target is the file to write. In a folder it is named after the time.
func target(to string, now time.Time) (string, error) {
	info, err := os.Stat(to)
	switch {
	case err == nil && info.IsDir():
		return target(filepath.Join(to, "musubi-"+now.UTC().Format("20060102T150405Z")+".backup"), now)
	case err == nil:
		return "", boot.Usage(fmt.Errorf("backup: %s: %w; name another file, or a folder", to, os.ErrExist))
	case errors.Is(err, os.ErrNotExist):
		if _, err := os.Stat(filepath.Dir(to)); err != nil {
			return "", fmt.Errorf("backup: %w", err)
		}
		return to, nil
	}
	return "", fmt.Errorf("backup: %w", err)
}

// gather copies what belongs to the hub beside its database, and says what it leaves out.
func (o Options) gather(parts string) (outside []string, err error) {
	var files []string
	if o.Config.File != "" {
		files = append(files, o.Config.File)
	}
	files = append(files, o.Config.PublicFiles()...)
	outside = []string{} // never null in JSON
	secrets := o.Config.SecretFiles()
	if o.Secrets {
		files = append(files, secrets...)
	} else {
		outside = append(outside, secrets...)
	}
	err = filepath.WalkDir(filepath.Join(o.Data, KeysDir), func(full string, e os.DirEntry, err error) error {
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err == nil && e.Type().IsRegular() {
			files = append(files, full)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		name, ok := relative(o.Data, file)
		if !ok {
			outside = append(outside, file)
			continue
		}
		if err := copyFile(file, filepath.Join(parts, filepath.FromSlash(name))); err != nil {
			return nil, err
		}
	}
	return outside, nil
}

func copyFile(from, to string) (err error) {
	in, err := os.Open(from) // #nosec G304 -- the hub's own file, or one that its configuration names
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) // #nosec G304 -- our own staging folder
	if errors.Is(err, os.ErrExist) {
		return nil // two SaaS share a token's file
	}
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

func writeWhole(file, parts string, m Manifest) (sum string, size int64, err error) {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) // #nosec G304 -- our own staging folder
	if err != nil {
		return "", 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if sum, err = pack(f, parts, m); err != nil {
		return "", 0, err
	}
	info, err := f.Stat()
	if err != nil {
		return "", 0, err
	}
	return sum, info.Size(), f.Sync()
}

func syncDir(dir string) error {
	d, err := os.Open(dir) // #nosec G304 -- where the backup was written
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
