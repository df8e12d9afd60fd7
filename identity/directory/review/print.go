package review

import (
	"bufio"
	"fmt"
	"io"
)

// Printing says how a report is printed.
type Printing struct {
	Locale  Locale // empty: Both
	Skipped bool   // the good rows are taken all the same
	Export  bool   // it is of a file that was to be written
}

// WriteTo prints the report for a person, Japanese first, then English.
func (r *Report) WriteTo(w io.Writer) (int64, error) { return r.Print(w, Printing{}) }

// Print prints the report for a person. Nothing is printed where there is nothing to say.
func (r *Report) Print(w io.Writer, p Printing) (int64, error) {
	cw := &countWriter{w: w}
	b := bufio.NewWriter(cw)
	say := func(ja, en string) {
		if p.Locale.japanese() {
			fmt.Fprintln(b, ja)
		}
		if p.Locale.english() {
			fmt.Fprintln(b, en)
		}
	}
	switch {
	case r.refused > 0 && p.Export:
		say(fmt.Sprintf("%s: %d 行を書けません。", r.File, r.refused), fmt.Sprintf("%s: %s cannot be written.", r.File, plural(r.refused, "row")))
	case r.refused > 0 && p.Skipped && !r.Condemned():
		say(fmt.Sprintf("%s: %d 行に誤りがあります。その行は取り込みません。", r.File, r.refused), fmt.Sprintf("%s: %s refused. They are not imported.", r.File, plural(r.refused, "row")))
	case r.refused > 0:
		say(fmt.Sprintf("%s: %d 行に誤りがあります。何も取り込みません。", r.File, r.refused), fmt.Sprintf("%s: %s refused. Nothing is imported.", r.File, plural(r.refused, "row")))
	case r.count > 0:
		say(fmt.Sprintf("%s: このファイルは取り込めません。", r.File), fmt.Sprintf("%s: This file cannot be imported.", r.File))
	}
	faults := r.Faults()
	for _, f := range faults {
		fmt.Fprintf(b, "\n%s\n", f.place(p.Locale))
		say(fmt.Sprintf("  %s。%s。", f.Reason.JA, f.Remedy.JA), fmt.Sprintf("  %s. Remedy: %s.", upperFirst(f.Reason.EN), f.Remedy.EN))
	}
	if more := r.count - len(faults); more > 0 {
		fmt.Fprintln(b)
		say(fmt.Sprintf("ほかに %d 件の誤りがあります。", more), fmt.Sprintf("And %s.", plural(more, "more fault")))
	}
	if r.stopped {
		fmt.Fprintln(b)
		say("この位置より後の行は読んでいません。", "The rows after this one were not read.")
	}
	for _, n := range r.notices {
		fmt.Fprintf(b, "\n%s: ", place(n.File, n.Line))
		if p.Locale == English {
			fmt.Fprintf(b, "Note: %s.\n", n.Text.EN)
			continue
		}
		fmt.Fprintf(b, "お知らせ: %s。\n", n.Text.JA)
		if p.Locale.english() {
			fmt.Fprintf(b, "  Note: %s.\n", n.Text.EN)
		}
	}
	if more := r.noticed - len(r.notices); more > 0 {
		fmt.Fprintln(b)
		say(fmt.Sprintf("ほかに %d 件のお知らせがあります。", more), fmt.Sprintf("And %s.", plural(more, "more note")))
	}
	err := b.Flush()
	return cw.n, err
}
