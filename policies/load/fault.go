package load

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Fault is one thing that is wrong with a policy set.
type Fault struct {
	File    string
	Line    int // from 1; 0 where the fault is the whole file's
	Column  int // from 1, in characters
	Message string
}

// String gives "file:line:column: message", or "file: message" where the fault has no place in the file.
func (f Fault) String() string {
	if f.Line == 0 {
		return f.File + ": " + f.Message
	}
	return fmt.Sprintf("%s:%d:%d: %s", f.File, f.Line, f.Column, f.Message)
}

// Error is everything that is wrong with a policy set. Nothing of the set is in force.
type Error struct {
	Faults []Fault // by file and place
}

// Error lists every fault, one a line.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "the policies can't be loaded (%d fault", len(e.Faults))
	if len(e.Faults) != 1 {
		b.WriteByte('s')
	}
	b.WriteString("); none of them is in force:")
	for _, f := range e.Faults {
		b.WriteString("\n  " + f.String())
	}
	return b.String()
}

// faults collects what is wrong.
type faults []Fault

func (fs *faults) add(file string, line, column int, format string, args ...any) {
	*fs = append(*fs, Fault{File: file, Line: line, Column: column, Message: fmt.Sprintf(format, args...)})
}

func (fs faults) err() error {
	if len(fs) == 0 {
		return nil
	}
	slices.SortStableFunc(fs, func(a, b Fault) int {
		return cmp.Or(strings.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return &Error{Faults: fs}
}
