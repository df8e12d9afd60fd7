package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/musubi-hub/musubi/identity/cert"
)

// verdictLine is a line as verify wrote it.
type verdictLine struct {
	ID       json.RawMessage `json:"id"`
	Valid    bool            `json:"valid"`
	Code     cert.Code       `json:"code"`
	Reason   string          `json:"reason"`
	Evidence json.RawMessage `json:"evidence"`
}

// recheckLine is what recheck says about one.
type recheckLine struct {
	ID     json.RawMessage `json:"id"`
	Same   bool            `json:"same"`
	Stored cert.Code       `json:"stored"`
	Now    cert.Code       `json:"now,omitempty"`
	Error  string          `json:"error,omitempty"`
}

func newRecheck() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "recheck --archive DIR [FILE]",
		Short: "保存した検証結果を証拠から再計算する / make stored verdicts again from their evidence",
		Long: `verify が書いた行を読み、証拠と失効リストの保管庫 (DIR) だけから同じ検証をもう一度行います。1 バイトでも違えば失敗します。
Reads lines that verify wrote and makes each verdict again, from its evidence and the archive of lists alone. Any octet of the evidence that was
changed, a list that is missing or another one, or a verdict that comes out differently is an error.

Out, one object a line: {"id", "same": bool, "stored": code, "now": code, "error"}
Exit code: 0 all are the same, 3 some aren't, 2 usage. The digest in the evidence (sha256) notices changes; that nobody replaced all of it is shown by
a signed log that holds the digest.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if dir == "" {
				return usage("give --archive: the folder of lists that `certd verify --archive` filled")
			}
			in, closeInput, err := open(cmd, args)
			if err != nil {
				return err
			}
			defer closeInput()
			total, different, err := recheck(cmd.Context(), archive{dir}, in, cmd.OutOrStdout())
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "certd: %d 件を再計算、相違 %d 件 / %d rechecked, %d differ\n", total, different, total, different)
			if different > 0 {
				return &exitError{exitRefused, fmt.Errorf("%d of %d verdicts aren't what was stored", different, total)}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&dir, "archive", "", "folder of lists by their SHA-256")
	return cmd
}

func recheck(ctx context.Context, a archive, in io.Reader, out io.Writer) (total, different int, err error) {
	lines := bufio.NewReaderSize(in, 1<<16)
	w := bufio.NewWriter(out)
	for {
		if err := ctx.Err(); err != nil {
			return total, different, errors.Join(err, w.Flush())
		}
		line, tooLong, err := readLine(lines)
		if err != nil && !errors.Is(err, io.EOF) {
			return total, different, errors.Join(err, w.Flush())
		}
		last := err != nil
		if len(bytes.TrimSpace(line)) > 0 || tooLong {
			r := recheckOne(a, line, tooLong)
			total++
			if !r.Same {
				different++
			}
			b, err := json.Marshal(r)
			if err != nil {
				return total, different, err
			}
			if _, err := w.Write(append(b, '\n')); err != nil {
				return total, different, err
			}
		}
		if last {
			return total, different, w.Flush()
		}
	}
}

func recheckOne(a archive, line []byte, tooLong bool) recheckLine {
	if tooLong {
		return recheckLine{ID: json.RawMessage("null"), Error: fmt.Sprintf("longer than %d octets", maxLine)}
	}
	var v verdictLine
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		return recheckLine{ID: json.RawMessage("null"), Error: "no line as `certd verify` writes it: " + err.Error()}
	}
	if v.ID == nil {
		v.ID = json.RawMessage("null")
	}
	r := recheckLine{ID: v.ID, Stored: v.Code}
	if v.Code == codeBadInput && !v.Valid && bytes.Equal(v.Evidence, []byte("null")) {
		r.Same, r.Now = true, codeBadInput // nothing was decided, so there is nothing to make again
		return r
	}
	now, err := cert.Recheck(v.Evidence, func(h cert.Hash, p *cert.Profile, anchors *cert.Anchors) (cert.List, error) {
		der, err := a.load(h)
		if err != nil {
			return nil, err
		}
		return parseList(der, p, anchors, smallList)
	})
	r.Now = now.Code
	switch {
	case err != nil:
		r.Error = err.Error()
	case now.Valid != v.Valid || now.Code != v.Code || reason(now) != v.Reason:
		r.Error = "valid, code or reason of the line isn't what its evidence says"
	default:
		r.Same = true
	}
	return r
}
