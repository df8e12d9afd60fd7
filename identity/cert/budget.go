package cert

import (
	"bytes"
	"fmt"

	"github.com/musubi-hub/musubi/identity/cert/pkix"
)

// maxWork bounds what is compared in one verdict: names with names, names with constraints, policies with policies. An honest chain takes hundreds;
// one that was made to be slow ends here.
const maxWork = 1 << 18

// Up to so many comparisons, and up to that length of both names together, comparing costs less than remembering canonical forms.
const (
	plainWork   = 1000
	plainOctets = 512
)

// budget counts the work of one decision. Once it is spent nothing matches any more, and the verdict is WorkLimit whatever else was found: what is
// left undone might have been what refuses.
type budget struct {
	used  int
	spent bool
	names map[*byte]string // canonical forms, by where the names lie
}

// take tells whether n more comparisons may be made.
func (b *budget) take(n int) bool {
	if b.used += n; b.used > maxWork {
		b.spent = true
	}
	return !b.spent
}

func (b *budget) fault() *fault {
	return &fault{WorkLimit, fmt.Sprintf("more than %d names and policies to compare", maxWork)}
}

// same compares two names (RFC 5280, 7.1).
func (b *budget) same(x, y pkix.Name) bool {
	if !b.take(1) {
		return false
	}
	if bytes.Equal(x.Raw, y.Raw) {
		return true
	}
	if b.used <= plainWork && len(x.Raw)+len(y.Raw) <= plainOctets || len(x.Raw) == 0 || len(y.Raw) == 0 {
		return x.Equal(y)
	}
	return b.canonical(x) == b.canonical(y)
}

func (b *budget) canonical(n pkix.Name) string {
	at := &n.Raw[0]
	if c, known := b.names[at]; known {
		return c
	}
	if b.names == nil {
		b.names = make(map[*byte]string)
	}
	c := n.Canonical()
	b.names[at] = c
	return c
}

// sameGeneral compares two names of any form.
func (b *budget) sameGeneral(x, y pkix.GeneralName) bool {
	if x.Kind == pkix.DirectoryName && y.Kind == pkix.DirectoryName {
		return b.same(x.Name, y.Name)
	}
	return b.take(1) && x.Equal(y)
}
