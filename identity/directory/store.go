package directory

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/directory/review"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/policies"
)

// ErrEnded says that the person's service ended before: ending again changes nothing.
var ErrEnded = errors.New("the person's service has ended already")

// Limits of a page.
const (
	DefaultPage = 100
	MaxPage     = 1000
	maxQuery    = 100 // characters
)

// Options are what the store takes from outside.
type Options struct {
	Now      func() time.Time
	NewID    func() policies.PersonID // unique; lower-case letters, digits and hyphens, all of one length
	Enqueuer access.Enqueuer          // nil in a process that ends nobody: EndPerson then refuses
}

// Store is the directory in a database.
type Store struct {
	db       *sqldb.DB
	now      func() time.Time
	newID    func() policies.PersonID
	enqueuer access.Enqueuer
}

// New makes the store over a database that has been migrated with Migration.
func New(db *sqldb.DB, opt Options) *Store {
	return &Store{db: db, now: opt.Now, newID: opt.NewID, enqueuer: opt.Enqueuer}
}

// Author says who changes the directory, from where and why. It goes into the feed as it is.
type Author struct {
	Actor  policies.PersonID // empty only for a system scope
	Source string            // e.g. "import people.csv", "cli", "scim"
	Why    string
	// By is who it is for the audit log. The zero value writes no audit row: for acts that are recorded by their caller.
	By access.Actor
}

// SourceInbound is the Author.Source of another system that changes people by itself, over SCIM: none of its leavers is one whom a person
// recorded.
const SourceInbound = "scim"

// permit fails closed: a scope is good for the action that it was minted for and no other.
func permit(scope policies.Scope, action policies.Action) error {
	if scope.For(action) {
		return nil
	}
	have := string(scope.Action())
	if have == "" {
		have = "nothing"
	}
	return fmt.Errorf("directory: %s asked of a scope for %s: %w", action, have, identity.ErrRefused)
}

// permitAuthor also holds that nobody writes in another's name.
func permitAuthor(scope policies.Scope, action policies.Action, by Author) error {
	if err := permit(scope, action); err != nil {
		return err
	}
	if scope.Actor() != "" && scope.Actor() != by.Actor {
		return fmt.Errorf("directory: author %s isn't the actor of the scope, %s: %w", by.Actor, scope.Actor(), identity.ErrRefused)
	}
	return nil
}

func (s *Store) micros() int64 { return s.now().UTC().UnixMicro() }

// querier is what reading needs of a pool or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// statement gathers a query and its arguments, so that each condition stands with its value.
type statement struct {
	text strings.Builder
	args []any
}

func sqlText(text string) *statement {
	q := &statement{}
	q.text.WriteString(text)
	return q
}

// and adds a condition in which each ? is one of the values.
func (q *statement) and(condition string, values ...any) {
	q.text.WriteString(" AND ")
	for _, v := range values {
		before, after, _ := strings.Cut(condition, "?")
		q.args = append(q.args, v)
		q.text.WriteString(before + "$" + strconv.Itoa(len(q.args)))
		condition = after
	}
	q.text.WriteString(condition)
}

// within keeps the query inside the scope.
func (q *statement) within(scope policies.Scope, column string) {
	condition, args := scope.Where(column, len(q.args)+1)
	q.text.WriteString(" AND " + condition)
	q.args = append(q.args, args...)
}

// page ends the query.
func (q *statement) page(order string, limit int) {
	q.text.WriteString(" ORDER BY " + order)
	if limit > 0 {
		q.args = append(q.args, limit)
		q.text.WriteString(" LIMIT $" + strconv.Itoa(len(q.args)))
	}
}

// placeholders lists n of them, from $first on.
func placeholders(first, n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString("$" + strconv.Itoa(first+i))
	}
	return b.String()
}

func pageSize(limit int) int {
	if limit <= 0 {
		return DefaultPage
	}
	return min(limit, MaxPage)
}

// pattern makes a LIKE pattern, to be used with ESCAPE '\', that finds query anywhere (or at the start), without case.
func pattern(query string, anywhere bool) string {
	if r := []rune(query); len(r) > maxQuery {
		query = string(r[:maxQuery])
	}
	// NUL can't be stored, and PostgreSQL refuses it and what isn't UTF-8 as a parameter.
	query = strings.ReplaceAll(strings.ToLower(strings.ToValidUTF8(query, "")), "\x00", "")
	query = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(query)
	if anywhere {
		return "%" + query + "%"
	}
	return query + "%"
}

// each runs the query and hands each row to scan.
func each(ctx context.Context, q querier, query *statement, scan func(*sql.Rows) error) (err error) {
	rows, err := q.QueryContext(ctx, query.text.String(), query.args...)
	if err != nil {
		return fmt.Errorf("directory: %w", err)
	}
	defer func() { _ = rows.Close() }() // Err below tells what matters
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("directory: %w", err)
	}
	return nil
}

func isNoRows(err error) bool { return errors.Is(err, sql.ErrNoRows) }

func notFound(what string, id string) error {
	return fmt.Errorf("%s %s: %w", what, review.Visible(id, review.MaxShown), identity.ErrNotFound)
}
