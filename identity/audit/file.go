package audit

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// ReadCheckpointFile reads a signed checkpoint that was kept in a file. What it says is for Verifiers.Open.
func ReadCheckpointFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, MaxCheckpoint+1))
	if err != nil {
		return nil, fmt.Errorf("checkpoint %s: %w", path, err)
	}
	if len(b) > MaxCheckpoint {
		return nil, fmt.Errorf("checkpoint %s: is larger than %d bytes: is this the right file?", path, MaxCheckpoint)
	}
	return b, nil
}

// compareFile looks, the first time, whether the file outside of the database knows more than the database, or something else.
// Its signature needn't be checked: whoever can change the file can only keep the log from going on, and is found out by verify.
func (l *Log) compareFile(ctx context.Context, tx *sql.Tx, last Checkpoint) error {
	if l.opt.File == "" {
		l.kept = max(l.kept, 0)
		return nil
	}
	if l.kept >= 0 {
		return nil
	}
	signed, err := ReadCheckpointFile(l.opt.File)
	if errors.Is(err, fs.ErrNotExist) {
		l.kept = 0
		return nil
	}
	if err != nil {
		return err
	}
	c, err := parseCheckpoint(string(signed))
	const way = "if that is meant, e.g. after restoring a backup, keep the file elsewhere as evidence and move it away"
	switch {
	case err != nil:
		return fmt.Errorf("%w: the file %s %w; %s", ErrTampered, l.opt.File, err, way)
	case c.Origin != last.Origin:
		return fmt.Errorf("%w: the file %s is of another log, %s, than the database, %s; %s", ErrTampered, l.opt.File, c.Origin, last.Origin, way)
	case c.Size > last.Size:
		return fmt.Errorf("%w: the file %s knows %d rows, the database only %d; %s", ErrTampered, l.opt.File, c.Size, last.Size, way)
	}
	tree, err := storedFrontier(ctx, tx, c.Size)
	if errors.Is(err, errHole) || err == nil && tree.root() != c.Root {
		return fmt.Errorf("%w: its first %d rows aren't those of the checkpoint in %s; %s", ErrTampered, c.Size, l.opt.File, way)
	}
	if err != nil {
		return err
	}
	l.kept = c.Size
	return nil
}

// keep writes the checkpoint to the file where it is newer than what is there: whole or not at all.
func (l *Log) keep(signed []byte, c Checkpoint) error {
	if l.opt.File == "" || c.Size == 0 || c.Size == l.kept {
		return nil
	}
	if err := replaceFile(l.opt.File, signed); err != nil {
		return fmt.Errorf("audit: keep the checkpoint of %d rows outside of the database: %w", c.Size, err)
	}
	l.kept = c.Size
	return nil
}

func replaceFile(path string, content []byte) (err error) {
	folder := filepath.Dir(path)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(folder, ".audit-checkpoint-*") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	d, err := os.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
