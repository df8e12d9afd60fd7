package config

import (
	"fmt"
	"strings"
)

// Origin is where a value or a fault comes from. The zero value is the default.
type Origin struct {
	File   string `json:"file,omitempty"`
	Line   int    `json:"line,omitempty"` // of File, from 1; 0: the file as a whole
	Column int    `json:"column,omitempty"`
	Env    string `json:"environment,omitempty"` // name of the variable
	Flag   string `json:"flag,omitempty"`        // with its dashes
}

// String names the place as an editor takes it.
func (o Origin) String() string {
	switch {
	case o.Flag != "":
		return o.Flag
	case o.Env != "":
		return o.Env
	case o.File != "" && o.Line > 0:
		return fmt.Sprintf("%s:%d:%d", o.File, o.Line, o.Column)
	case o.File != "":
		return o.File
	}
	return "default"
}

// Fault is one thing that is wrong, and what to do.
type Fault struct {
	Origin
	Key    string `json:"key,omitempty"`
	What   string `json:"what"`
	Remedy string `json:"remedy"`
}

// String gives the fault in one line.
func (f Fault) String() string {
	text := f.Origin.String() + ": "
	if f.Key != "" {
		text += f.Key + ": "
	}
	return text + f.What + ": " + f.Remedy
}

// Faults is everything that is wrong with a configuration.
type Faults []Fault

// Error lists the faults, one a line.
func (f Faults) Error() string {
	if len(f) == 1 {
		return "configuration: " + f[0].String()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "configuration: %d faults", len(f))
	for _, one := range f {
		b.WriteString("\n  " + one.String())
	}
	return b.String()
}

// remedied is a check's error with the way out.
type remedied struct{ what, remedy string }

func (r *remedied) Error() string { return r.what + ": " + r.remedy }

func wrong(remedy, what string, args ...any) error {
	return &remedied{fmt.Sprintf(what, args...), remedy}
}

// maxShown bounds how much of a wrong value is repeated, in bytes.
const maxShown = 80

func shown(value string) string {
	if len(value) > maxShown {
		value = strings.ToValidUTF8(value[:maxShown], "") + "…"
	}
	return fmt.Sprintf("%q", value)
}
