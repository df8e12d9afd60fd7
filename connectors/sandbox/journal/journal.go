package journal

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/musubi-hub/musubi/connectors/sandbox/site"
)

// FileName is the journal's name in its folder.
const FileName = "sandbox.journal"

// header is the first line; its number changes when an older binary can't read the file.
const header = "musubi-sandbox-journal 1\n"

// maxLine bounds one line, so that a broken file can't exhaust memory.
const maxLine = 64 << 20

// ErrLocked says that another process has the folder's journal open.
var ErrLocked = errors.New("journal: another sandbox uses this folder")

// line is what one request changed.
type line struct {
	App     string        `json:"app"`
	Changes []site.Change `json:"changes"`
}

// Source is the state that the journal rebuilds and compacts.
type Source interface {
	// Apply takes one change of app into the state.
	Apply(app string, c site.Change) error
	// Snapshot calls emit with changes that rebuild the whole state from nothing.
	Snapshot(emit func(app string, changes []site.Change) error) error
}

// Journal is an open journal. A nil *Journal keeps nothing (state in memory only).
type Journal struct {
	mu     sync.Mutex
	path   string
	file   *os.File
	lock   io.Closer
	size   int64
	broken error
}

// Open locks dir, replays its journal into src, compacts it, and leaves it open for Append. The folder is made if missing.
func Open(dir string, src Source) (*Journal, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("journal: make folder: %w", err)
	}
	lock, err := lockDir(filepath.Join(dir, "sandbox.lock"))
	if err != nil {
		return nil, err
	}
	j := &Journal{path: filepath.Join(dir, FileName), lock: lock}
	if err := j.replay(src); err == nil {
		err = j.rewrite(src)
		if err == nil {
			return j, nil
		}
		_ = lock.Close()
		return nil, err
	} else {
		_ = lock.Close()
		return nil, err
	}
}

// replay reads every whole line. Only the last line may be torn.
func (j *Journal) replay(src Source) error {
	f, err := os.Open(j.path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("journal: open: %w", err)
	}
	defer f.Close()
	r := bufio.NewReaderSize(f, 1<<20)
	first, err := readLine(r)
	if errors.Is(err, io.EOF) { // cut short while the very first line was written
		return nil
	}
	if err != nil || string(first)+"\n" != header {
		return fmt.Errorf("journal: %s is not a sandbox journal of this version; move it away or choose another folder", j.path)
	}
	for n := 2; ; n++ {
		raw, err := readLine(r)
		if errors.Is(err, io.EOF) { // nothing left, or a last line without its end
			return nil
		}
		if err != nil {
			return fmt.Errorf("journal: %s line %d: %w", j.path, n, err)
		}
		l, err := decode(raw)
		if err != nil {
			if _, peek := r.Peek(1); errors.Is(peek, io.EOF) {
				return nil // the last line, torn
			}
			return fmt.Errorf("journal: %s line %d: %w", j.path, n, err)
		}
		for _, c := range l.Changes {
			if err := src.Apply(l.App, c); err != nil {
				return fmt.Errorf("journal: %s line %d: %w", j.path, n, err)
			}
		}
	}
}

// readLine gives one line without its end; io.EOF also where the end is missing.
func readLine(r *bufio.Reader) ([]byte, error) {
	var whole []byte
	for {
		part, err := r.ReadSlice('\n')
		whole = append(whole, part...)
		switch {
		case err == nil:
			return bytes.TrimSuffix(whole, []byte("\n")), nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		case len(whole) > maxLine:
			return nil, fmt.Errorf("line longer than %d bytes", maxLine)
		}
	}
}

// encode gives "checksum json\n".
func encode(l line) ([]byte, error) {
	doc, err := json.Marshal(l)
	if err != nil {
		return nil, fmt.Errorf("journal: encode: %w", err)
	}
	if len(doc) > maxLine-16 {
		return nil, fmt.Errorf("journal: a change of %d bytes is too large", len(doc))
	}
	out := make([]byte, 0, len(doc)+10)
	out = fmt.Appendf(out, "%08x ", crc32.ChecksumIEEE(doc))
	out = append(out, doc...)
	return append(out, '\n'), nil
}

// decode is the inverse of encode, without the line's end.
func decode(raw []byte) (line, error) {
	sum, doc, ok := bytes.Cut(raw, []byte(" "))
	if !ok {
		return line{}, errors.New("no checksum")
	}
	want, err := strconv.ParseUint(string(sum), 16, 32)
	if err != nil || len(sum) != 8 {
		return line{}, errors.New("no checksum")
	}
	if crc32.ChecksumIEEE(doc) != uint32(want) {
		return line{}, errors.New("wrong checksum")
	}
	var l line
	if err := json.Unmarshal(doc, &l); err != nil {
		return line{}, fmt.Errorf("not a change: %w", err)
	}
	return l, nil
}

// rewrite replaces the file by a snapshot of src, atomically, and opens it for appending.
func (j *Journal) rewrite(src Source) error {
	tmp := j.path + ".new"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("journal: compact: %w", err)
	}
	w := bufio.NewWriterSize(f, 1<<20)
	size := int64(len(header))
	_, err = w.WriteString(header)
	if err == nil {
		err = src.Snapshot(func(app string, changes []site.Change) error {
			raw, err := encode(line{App: app, Changes: changes})
			if err != nil {
				return err
			}
			size += int64(len(raw))
			_, err = w.Write(raw)
			return err
		})
	}
	if err == nil {
		err = w.Flush()
	}
	if err == nil {
		err = f.Sync() // a rename before the data would lose everything in a power cut
	}
	if err == nil {
		err = os.Rename(tmp, j.path)
	}
	if err != nil {
		_ = f.Close()
		_ = os.Remove(tmp)
		return fmt.Errorf("journal: compact: %w", err)
	}
	if j.file != nil {
		_ = j.file.Close()
	}
	j.file, j.size = f, size
	return nil
}

// Append writes what one request changed. After an error nothing of it is in the file, or the journal refuses all further writes.
func (j *Journal) Append(app string, changes []site.Change) error {
	if j == nil || len(changes) == 0 {
		return nil
	}
	raw, err := encode(line{App: app, Changes: changes})
	if err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.broken != nil {
		return j.broken
	}
	n, err := j.file.WriteAt(raw, j.size)
	if err != nil {
		if n > 0 {
			if cut := j.file.Truncate(j.size); cut != nil {
				j.broken = fmt.Errorf("journal: closed after a half-written line: %w", cut)
			}
		}
		return fmt.Errorf("journal: write: %w", err)
	}
	j.size += int64(n)
	return nil
}

// Compact replaces the file by a snapshot of src, for instance after its state was reset.
func (j *Journal) Compact(src Source) error {
	if j == nil {
		return nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.rewrite(src)
}

// Close closes the file and releases the folder. Further appends fail.
func (j *Journal) Close() error {
	if j == nil {
		return nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.file == nil {
		return nil
	}
	err := j.file.Close()
	j.file, j.broken = nil, errors.New("journal: closed")
	return errors.Join(err, j.lock.Close())
}
