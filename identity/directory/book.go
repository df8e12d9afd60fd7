package directory

import (
	"context"
	"database/sql"
	"errors"
	"strings"

	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/policies"
)

// errNoQueue says that a process without jobs was asked for something that needs one.
var errNoQueue = errors.New("directory: this process has no job queue to hand the work to")

// book gathers the feed rows of one transaction whose number isn't known when it begins. Opening it takes the lock that puts all writers in
// one order; closing it writes the rows.
type book struct {
	at     int64
	by     Author
	base   int64
	rows   []Change
	number int64 // of the last row added
}

// It settles what an import has published of the people that the transaction is about.
func (s *Store) openBook(ctx context.Context, tx *sql.Tx, by Author, of ...policies.PersonID) (*book, error) {
	if _, err := takeNumbers(ctx, tx, 0); err != nil { // the lock
		return nil, err
	}
	if err := s.settle(ctx, tx, of...); err != nil { // may take numbers of its own
		return nil, err
	}
	base, err := takeNumbers(ctx, tx, 0)
	return &book{at: s.micros(), by: by, base: base, number: base}, err
}

// add appends a row and gives its number.
func (b *book) add(c Change) int64 {
	b.number++
	c.Number, c.At = b.number, b.at
	if c.Author == (Author{}) {
		c.Author = b.by
	}
	b.rows = append(b.rows, c)
	return c.Number
}

func (b *book) close(ctx context.Context, tx *sql.Tx, db *sqldb.DB) error {
	if len(b.rows) == 0 {
		return nil
	}
	if _, err := takeNumbers(ctx, tx, len(b.rows)); err != nil {
		return err
	}
	_, err := db.Bulk(ctx, tx, "feed", feedColumns, "", func(yield func([]any) bool) {
		for _, c := range b.rows {
			if !yield(c.values()) {
				return
			}
		}
	})
	return err
}

// in writes "(a, b, c)" of ids as placeholders from $first on.
func in[T ~string](ids []T, first int) (string, []any) {
	args := make([]any, len(ids))
	for i, id := range ids {
		args[i] = string(id)
	}
	if len(ids) == 0 {
		return "(NULL)", nil
	}
	return "(" + placeholders(first, len(ids)) + ")", args
}

// execOn runs a statement whose last arguments are ids: %s in the text becomes their list.
func execOn[T ~string](ctx context.Context, tx *sql.Tx, text string, ids []T, args ...any) error {
	list, more := in(ids, len(args)+1)
	_, err := tx.ExecContext(ctx, strings.Replace(text, "%s", list, 1), append(args, more...)...)
	return err
}

// unique gives each organization once, in order.
func unique(orgs []policies.OrgID) []policies.OrgID {
	seen := map[policies.OrgID]bool{}
	var list []policies.OrgID
	for _, o := range orgs {
		if o != "" && !seen[o] {
			seen[o] = true
			list = append(list, o)
		}
	}
	return list
}
