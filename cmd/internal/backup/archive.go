package backup

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/identity/sqldb/snapshot"
)

// Schema names the format. A reader refuses any other.
const Schema = "musubi.backup.v1"

// ErrDamaged is wrapped where a file isn't a backup, or not a whole one.
var ErrDamaged = errors.New("the backup is damaged")

// Manifest says what a backup holds. It is the first entry of the archive.
type Manifest struct {
	Schema   string            `json:"schema"`
	Program  string            `json:"program"` // version that made it
	MadeAt   time.Time         `json:"made_at"`
	Versions map[string]int64  `json:"versions"` // of the tables, by owner
	Database snapshot.Contents `json:"database"`
	Files    []File            `json:"files"`
	Secrets  bool              `json:"secrets"` // whether the SaaS's tokens are in it
}

// File is one part: database/NAME, or data/PATH for a file of the data folder.
type File struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

const (
	manifestName = "manifest.json"
	databaseDir  = "database"
	dataDir      = "data"

	maxManifest = 8 << 20
	maxFiles    = 10_000
)

// partName is a name that can't leave its folder: no dots in front, no empty part, no backslash.
var partName = regexp.MustCompile(`^(database|data)(/[A-Za-z0-9_][A-Za-z0-9_.@+-]*){1,8}$`)

// pack writes the folder stage, which holds exactly m.Files, as one compressed archive, and gives its sum.
func pack(w io.Writer, stage string, m Manifest) (sum string, err error) {
	whole := sha256.New()
	zip, err := gzip.NewWriterLevel(io.MultiWriter(w, whole), gzip.BestSpeed)
	if err != nil {
		return "", err
	}
	out := tar.NewWriter(zip)
	head, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		return "", err
	}
	if err := out.WriteHeader(&tar.Header{Name: manifestName, Mode: 0o600, Size: int64(len(head)), ModTime: m.MadeAt, Format: tar.FormatPAX}); err != nil {
		return "", err
	}
	if _, err := out.Write(head); err != nil {
		return "", err
	}
	for _, f := range m.Files {
		if err := packFile(out, stage, f, m.MadeAt); err != nil {
			return "", fmt.Errorf("%s: %w", f.Name, err)
		}
	}
	if err := errors.Join(out.Close(), zip.Close()); err != nil {
		return "", err
	}
	return hex.EncodeToString(whole.Sum(nil)), nil
}

func packFile(out *tar.Writer, stage string, f File, at time.Time) (err error) {
	in, err := os.Open(filepath.Join(stage, filepath.FromSlash(f.Name))) // #nosec G304 -- our own staging folder
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	if err := out.WriteHeader(&tar.Header{Name: f.Name, Mode: 0o600, Size: f.Size, ModTime: at, Format: tar.FormatPAX}); err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return err
}

// measure lists the files below stage with their sums, in the order of their names.
func measure(stage string) ([]File, error) {
	var files []File
	err := filepath.WalkDir(stage, func(full string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		rel, err := filepath.Rel(stage, full)
		if err != nil {
			return err
		}
		f := File{Name: filepath.ToSlash(rel)}
		if !partName.MatchString(f.Name) {
			return fmt.Errorf("%s: a file of this name can't be kept; rename it", f.Name)
		}
		in, err := os.Open(full) // #nosec G122 G304 -- our own staging folder
		if err != nil {
			return err
		}
		sum := sha256.New()
		f.Size, err = io.Copy(sum, in)
		f.SHA256 = hex.EncodeToString(sum.Sum(nil))
		files = append(files, f)
		return errors.Join(err, in.Close())
	})
	return files, err
}

// Read reads the manifest of the backup at file.
func Read(file string) (Manifest, error) {
	var m Manifest
	err := open(file, func(in *tar.Reader) (err error) {
		m, err = readManifest(in)
		return err
	})
	return m, err
}

// unpack checks the backup at file to its end and writes its parts below stage: what isn't exactly as the manifest says is an
// error. stage must be the caller's own, new folder.
func unpack(file, stage string) (Manifest, error) {
	var m Manifest
	err := open(file, func(in *tar.Reader) (err error) {
		if m, err = readManifest(in); err != nil {
			return err
		}
		for _, f := range m.Files {
			head, err := in.Next()
			if err != nil {
				return damaged("%s is missing (%v)", f.Name, err)
			}
			if head.Name != f.Name || head.Size != f.Size || head.Typeflag != tar.TypeReg {
				return damaged("%s stands where %s is expected", shorten(head.Name), f.Name)
			}
			if err := unpackFile(in, stage, f); err != nil {
				return err
			}
		}
		if _, err := in.Next(); !errors.Is(err, io.EOF) {
			return damaged("something follows its last part")
		}
		return nil
	})
	return m, err
}

func open(file string, fn func(*tar.Reader) error) (err error) {
	f, err := os.Open(file) // #nosec G304 -- the administrator names the file
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	zip, err := gzip.NewReader(f)
	if err != nil {
		return fmt.Errorf("%s: %w", file, damaged("it is no backup of Musubi (%v)", err))
	}
	err = fn(tar.NewReader(zip))
	if errors.Is(err, errFormat) {
		// A damaged name of the format would send people to look for a program that never was: the checksum at the end tells.
		if _, rest := io.Copy(io.Discard, zip); rest != nil { // #nosec G110 -- it goes nowhere
			err = damaged("its content isn't what was written (%v)", rest)
		}
	}
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return nil
}

// errFormat says that an archive is of another version of the format.
var errFormat = errors.New("another format")

func readManifest(in *tar.Reader) (Manifest, error) {
	var m Manifest
	head, err := in.Next()
	if err != nil || head.Name != manifestName || head.Size > maxManifest {
		return m, damaged("it has no manifest")
	}
	dec := json.NewDecoder(io.LimitReader(in, maxManifest))
	if err := dec.Decode(&m); err != nil {
		return m, damaged("its manifest can't be read (%v)", err)
	}
	if m.Schema != Schema {
		return m, fmt.Errorf("%w: its format is %s, this program reads %q: use the program that made it (%s)", errFormat, shorten(m.Schema), Schema, shorten(m.Program))
	}
	if len(m.Files) > maxFiles {
		return m, damaged("it claims %d files", len(m.Files))
	}
	for i, f := range m.Files {
		if !partName.MatchString(f.Name) || strings.Contains(f.Name, "..") || f.Size < 0 || slices.ContainsFunc(m.Files[:i], func(o File) bool {
			return o.Name == f.Name || strings.HasPrefix(f.Name, o.Name+"/") || strings.HasPrefix(o.Name, f.Name+"/")
		}) {
			return m, damaged("its manifest has a wrong entry %s", shorten(f.Name))
		}
	}
	return m, nil
}

func unpackFile(in io.Reader, stage string, f File) (err error) {
	full := filepath.Join(stage, filepath.FromSlash(f.Name))
	if err := os.MkdirAll(filepath.Dir(full), 0o700); err != nil {
		return err
	}
	out, err := os.OpenFile(full, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) // #nosec G304 -- the name was checked
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	sum := sha256.New()
	src := &source{in: io.LimitReader(in, f.Size)}
	n, err := io.Copy(io.MultiWriter(out, sum), src)
	if src.err != nil {
		return damaged("%s can't be read (%v)", f.Name, src.err)
	}
	if err != nil { // a full disk
		return fmt.Errorf("%s: %w", f.Name, err)
	}
	if n != f.Size || hex.EncodeToString(sum.Sum(nil)) != f.SHA256 {
		return damaged("%s isn't what the manifest says: copy the backup anew, or take another", f.Name)
	}
	return out.Sync()
}

// source tells a failure to read the backup from one to write what is read.
type source struct {
	in  io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.in.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrDamaged}, args...)...)
}

func shorten(s string) string {
	if len(s) > 80 {
		s = s[:80]
	}
	return fmt.Sprintf("%q", s)
}

// relative gives the file's name below dir, in the archive's spelling; ok says whether it is below.
func relative(dir, file string) (name string, ok bool) {
	absDir, err := filepath.Abs(dir)
	if err != nil {
		return "", false
	}
	abs, err := filepath.Abs(file)
	if err != nil {
		return "", false
	}
	rel, err := filepath.Rel(absDir, abs)
	if err != nil || rel == "." || rel == ".." || strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
		return "", false
	}
	return path.Join(dataDir, filepath.ToSlash(rel)), true
}
