package directory

import (
	"context"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/musubi-hub/musubi/identity/directory/review"
	"github.com/musubi-hub/musubi/identity/directory/table"
)

// WriteBadRows writes the rows of a file that the report refuses as a file to correct and import again: the columns of the file, in its
// encoding (CSV in UTF-8 for a workbook), with the line and the faults in front, which an import ignores. r is the same file again; the report is that of its
// import, and should have been told to keep every fault. It returns how many rows were written.
//
// A row whose cells couldn't be read comes with its faults alone. Where the file's encoding lacks a character, the whole is written in UTF-8.
func WriteBadRows(ctx context.Context, w io.Writer, r io.Reader, opt table.Options, report *review.Report, locale review.Locale) (rows int, err error) {
	at, size, err := table.Source(r)
	if err != nil {
		return 0, err
	}
	encoding := table.UTF8
	opt.Known = func(e table.Encoding) { encoding = e }
	lacks := review.New(report.File)
	if _, err := writeBadRows(ctx, io.Discard, at, size, opt, func() table.Encoding { return encoding }, report, lacks, locale); err != nil {
		return 0, err
	}
	opt.Known = nil
	if !lacks.OK() {
		encoding = table.UTF8
	}
	return writeBadRows(ctx, w, at, size, opt, func() table.Encoding { return encoding }, report, review.New(report.File), locale)
}

func writeBadRows(
	ctx context.Context, w io.Writer, r io.ReaderAt, size int64, opt table.Options, encoding func() table.Encoding,
	report, lacks *review.Report, locale review.Locale,
) (rows int, err error) {
	faults := report.EveryFault()
	var out *table.Writer
	var keep []int // columns of the file, but for those that an earlier such file had in front
	put := func(cells []string) {
		if err == nil {
			err = out.Row(cells)
		}
	}
	width := 0
	head := func(cells []string) *fault {
		width = len(cells)
		names := []string{"line", "fault"}
		if locale != review.English {
			names = []string{"行", "誤り"}
		}
		for i, c := range cells {
			if !slices.ContainsFunc(ignored, func(s string) bool { return foldHeader(s) == foldHeader(c) }) {
				keep = append(keep, i)
				names = append(names, c)
			}
		}
		out = table.NewWriter(w, table.WriterOptions{Encoding: encoding()}, lacks)
		put(names)
		return nil
	}
	row := func(line int, cells []string) {
		found, bad := faults[line]
		if !bad {
			return
		}
		values := []string{strconv.Itoa(line), reasons(found, locale)}
		for _, i := range keep {
			if i < len(cells) {
				values = append(values, cells[i])
			} else {
				values = append(values, "")
			}
		}
		if len(cells) > width { // a row with too many cells keeps them
			values = append(values, cells[width:]...)
		}
		rows++
		put(values)
	}
	opt.Refused = row
	if e := table.Read(ctx, r, size, opt, review.New(report.File), head, row); e != nil {
		return rows, e
	}
	if out == nil || err != nil {
		return rows, err
	}
	return rows, out.Flush()
}

// reasons are the faults of a row in one cell.
func reasons(faults []review.Fault, locale review.Locale) string {
	var parts []string
	for _, f := range faults {
		text := f.Reason.JA + "。" + f.Remedy.JA + "。"
		if locale == review.English {
			text = f.Reason.EN + "; " + f.Remedy.EN + "."
		}
		if f.Column != "" {
			text = f.Column + ": " + text
		}
		parts = append(parts, text)
	}
	text := strings.Join(parts, " / ")
	if r := []rune(text); len(r) > MaxCell { // the file is read again
		text = string(r[:MaxCell-1]) + "…"
	}
	return text
}
