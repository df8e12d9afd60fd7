package inbound

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// Inbox is a Maildir into which the mail system delivers.
type Inbox struct {
	dir    string
	ours   string
	limits Limits
}

// Open checks the folder, which must have new/ and cur/ (tmp/ is the mail system's). ours is the domain of our Message-IDs, that of
// the sender's address. The zero Limits are DefaultLimits.
func Open(dir, ours string, limits Limits) (*Inbox, error) {
	if limits == (Limits{}) {
		limits = DefaultLimits
	}
	if ours == "" {
		return nil, errors.New("mail: inbox: the domain of our Message-IDs is empty")
	}
	for _, sub := range []string{"new", "cur"} {
		info, err := os.Lstat(filepath.Join(dir, sub))
		switch {
		case err != nil:
			return nil, fmt.Errorf("mail: inbox: %w: it must be a Maildir with new/ and cur/", err)
		case !info.IsDir():
			return nil, fmt.Errorf("mail: inbox: %s is no folder", filepath.Join(dir, sub))
		}
	}
	return &Inbox{dir: dir, ours: ours, limits: limits}, nil
}

// maxBatch bounds how many mails one Drain reads, so that a flood can't hold its caller for ever.
const maxBatch = 1000

// Drain hands every mail in new/ to store, oldest name first, and moves it to cur/ once store has returned nil: then the event is
// durable. After a crash between the two the same event comes again with the same Key, which store must know; so each is taken
// exactly once. An error of store ends it and leaves the mail where it is. It gives how many were taken; more is true where some
// are left.
func (b *Inbox) Drain(ctx context.Context, store func(context.Context, Event) error) (taken int, more bool, err error) {
	names, err := b.waiting()
	if err != nil {
		return 0, false, err
	}
	if len(names) > maxBatch {
		names, more = names[:maxBatch], true
	}
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return taken, true, err
		}
		event, err := b.read(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // another node took it
		}
		if err != nil {
			return taken, true, fmt.Errorf("mail: inbox: %w", err)
		}
		if err := store(ctx, event); err != nil {
			return taken, true, err
		}
		err = os.Rename(filepath.Join(b.dir, "new", name), filepath.Join(b.dir, "cur", name+":2,S"))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return taken, true, fmt.Errorf("mail: inbox: %w", err)
		}
		taken++
	}
	return taken, more, nil
}

// waiting lists new/, sorted. Names that begin with a dot aren't mail (maildir(5)).
func (b *Inbox) waiting() ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(b.dir, "new"))
	if err != nil {
		return nil, fmt.Errorf("mail: inbox: %w", err)
	}
	var names []string
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}

// read reads one file. What is no plain file is an unreadable mail: a link could lead to a file that isn't the mail system's, and a
// pipe would hold us up.
func (b *Inbox) read(name string) (Event, error) {
	path := filepath.Join(b.dir, "new", name)
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0) // #nosec G304 -- a name that ReadDir gave
	if errors.Is(err, fs.ErrNotExist) {
		return Event{}, err
	}
	if errors.Is(err, syscall.ELOOP) || errors.Is(err, syscall.ENXIO) {
		return noMail(name), nil
	}
	if err != nil {
		return Event{}, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return Event{}, err
	}
	if !info.Mode().IsRegular() {
		return noMail(name), nil
	}
	return Read(f, b.ours, b.limits)
}

// noMail is the event of something in new/ that isn't a file.
func noMail(name string) Event {
	return Event{Kind: KindUnreadable, Key: dedupeKey(header{{"Message-ID", []byte("file " + name)}}, nil), Problems: []string{"it is no plain file"}}
}
