package card

import (
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// MaxTries is how many wrong PINs in a row lock a card, as the real one does for four digits.
const MaxTries = 3

// tries counts wrong PINs. With a path they survive a restart.
type tries struct {
	mu    sync.Mutex
	path  string
	wrong map[string]int
}

func openTries(dir string) (*tries, error) {
	t := &tries{wrong: map[string]int{}}
	if dir == "" {
		return t, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("sandbox card: %w", err)
	}
	t.path = filepath.Join(dir, "card-tries.json")
	raw, err := os.ReadFile(t.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return t, nil
	case err != nil:
		return nil, fmt.Errorf("sandbox card: %w", err)
	}
	if err := json.Unmarshal(raw, &t.wrong); err != nil || t.wrong == nil {
		return nil, fmt.Errorf("sandbox card: %s can't be read (%w): remove it, and no card is locked", t.path, err)
	}
	return t, nil
}

// left is how many tries a card has.
func (t *tries) left(id string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return max(0, MaxTries-t.wrong[id])
}

// verify tries a PIN. Like a card it counts first and compares then, so that pulling the plug wins nothing. A locked card compares nothing.
func (t *tries) verify(id, want, pin string) (ok bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.wrong[id] >= MaxTries {
		return false, nil
	}
	t.wrong[id]++
	if err := t.keep(); err != nil {
		return false, err
	}
	if subtle.ConstantTimeCompare([]byte(pin), []byte(want)) != 1 {
		return false, nil
	}
	delete(t.wrong, id)
	return true, t.keep()
}

// reset is what the municipality's counter does with a locked card.
func (t *tries) reset(id string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.wrong, id)
	return t.keep()
}

func (t *tries) keep() error {
	if t.path == "" {
		return nil
	}
	raw, err := json.Marshal(t.wrong)
	if err != nil {
		return fmt.Errorf("sandbox card: %w", err)
	}
	if err := os.WriteFile(t.path+".new", raw, 0o600); err != nil {
		return fmt.Errorf("sandbox card: %w", err)
	}
	if err := os.Rename(t.path+".new", t.path); err != nil {
		return fmt.Errorf("sandbox card: %w", err)
	}
	return nil
}
