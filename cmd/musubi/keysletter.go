package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/jst"
	"github.com/musubi-hub/musubi/identity/samlidp"
	"github.com/musubi-hub/musubi/identity/samlidp/rollover"
	"github.com/musubi-hub/musubi/policies"
)

// letterFlags say whether letters are written, and what stands in them.
type letterFlags struct {
	dir, from, by string
	deadline      time.Time
}

func (l *letterFlags) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&l.dir, "letters", "", "folder for a letter to each organization that isn't ready (plain text, UTF-8); made if it isn't there")
	f.StringVar(&l.from, "from", "", "with --letters: who writes, and how they are reached, in one line")
	f.StringVar(&l.by, "by", "", "with --letters: until when, YYYY-MM-DD (default: 14 days from now, or when the next key may sign, if that is later)")
}

func (l *letterFlags) check() (err error) {
	switch {
	case l.dir == "" && l.from+l.by == "":
		return nil
	case l.dir == "":
		return boot.Usage(errors.New("--from and --by are for letters: add --letters DIR"))
	case strings.TrimSpace(l.from) == "" || len(l.from) > 300 || strings.ContainsAny(l.from, "\r\n"):
		return boot.Usage(errors.New("say who writes the letters, in one line of at most 300 bytes: --from '統合基盤係 内線 1234'"))
	case l.by == "":
		return nil
	}
	if l.deadline, err = time.ParseInLocation(time.DateOnly, l.by, jst.Zone); err != nil {
		return boot.Usage(fmt.Errorf("--by %q: write a date like 2027-01-31", oneLine(l.by, 40)))
	}
	return nil
}

// file is an organization's letter: one a day and purpose.
func (l *letterFlags) file(r rollover.Report, org policies.OrgID) string {
	name := string(org)
	if name == "" {
		name = "unowned"
	}
	return filepath.Join(l.dir, fmt.Sprintf("%s-%s-%s.txt", time.UnixMicro(r.At).In(jst.Zone).Format(time.DateOnly), r.Purpose, name))
}

// prepare makes the folder and refuses where a letter would replace one: before anything is changed that letters tell of.
func (l *letterFlags) prepare(r rollover.Report) error {
	if l.dir == "" {
		return nil
	}
	if r.Purpose != samlidp.Purpose {
		return boot.Usage(fmt.Errorf("--letters: nobody has to be written to about %s: relying parties of OpenID fetch keys by themselves", r.Purpose))
	}
	if err := os.MkdirAll(l.dir, 0o700); err != nil {
		return boot.Usage(fmt.Errorf("--letters: %w", err))
	}
	for _, o := range rollover.ByOwner(r.Waiting()) {
		if _, err := os.Lstat(l.file(r, o.Org)); err == nil {
			return boot.Usage(fmt.Errorf("--letters: %s is there already: give another folder, or take it away", l.file(r, o.Org)))
		}
	}
	return nil
}

// write writes a letter to each organization that isn't ready, and gives the files. What it says is about r.Next, which in an emergency signs already.
func (l *letterFlags) write(ctx context.Context, h *boot.Hub, r rollover.Report, names map[policies.OrgID]string, emergency bool) (files []string, err error) {
	if l.dir == "" || len(r.Waiting()) == 0 {
		return nil, nil
	}
	if err := l.prepare(r); err != nil {
		return nil, err
	}
	letter := rollover.Letter{From: l.from, Emergency: emergency, At: r.At, By: max(r.From, r.At+(14*24*time.Hour).Microseconds()), Places: map[policies.RelyingPartyID][]rollover.Place{}}
	if !l.deadline.IsZero() {
		letter.By = l.deadline.UnixMicro()
	}
	if letter.Certificate, err = samlidp.Certificate(ctx, h.DB.Reader(), r.Next.ID); err != nil {
		if errors.Is(err, identity.ErrNotFound) {
			err = fmt.Errorf("the next key has no certificate yet: start the hub once, it makes it: %w", err)
		}
		return nil, err
	}
	if letter.Before, err = samlidp.Certificate(ctx, h.DB.Reader(), r.Active.ID); err != nil && !errors.Is(err, identity.ErrNotFound) {
		return nil, err
	}
	for _, o := range rollover.ByOwner(r.Waiting()) {
		letter.Org, letter.Standings = strings.TrimSpace(names[o.Org]+" "+string(o.Org)), o.Standings
		for _, s := range o.Standings {
			if letter.Places[s.ID], err = h.Places(s.Counterparty); err != nil {
				return files, err
			}
		}
		text, err := letter.Text()
		if err != nil {
			return files, err
		}
		if err := writeNew(l.file(r, o.Org), text); err != nil {
			return files, err
		}
		files = append(files, l.file(r, o.Org))
	}
	return files, nil
}

// writeNew writes a file that isn't there yet.
func writeNew(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}
