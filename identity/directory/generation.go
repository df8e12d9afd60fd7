package directory

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/policies"
)

// An import publishes by one small transaction that makes its staged batch live: from then on the views person_now and feed_now show
// the staged records in place of those in the tables below. Settling moves the live batch into the tables, in transactions as short
// as those of staging; a record is at every moment in one place or the other, and no reader can tell which.

// errUnsettled says that another batch is live, so that this one can't be published yet.
var errUnsettled = errors.New("another import is published and not settled yet")

// generation is the live batch. The zero value is none.
type generation struct {
	batch  int64
	base   int64 // a row has the feed's number base + ordinal
	at     int64
	author Author
}

func (s *Store) live(ctx context.Context, q querier) (generation, error) {
	var g generation
	var actor string
	err := q.QueryRowContext(ctx, `SELECT b.id, b.base, b.at, b.actor, b.source, b.why FROM staged_batch b
		WHERE b.id = (SELECT h.live FROM staged_head h WHERE h.id = 1)`).Scan(&g.batch, &g.base, &g.at, &actor, &g.author.Source, &g.author.Why)
	if errors.Is(err, sql.ErrNoRows) {
		return generation{}, nil
	}
	if err != nil {
		return generation{}, fmt.Errorf("directory: read generation: %w", err)
	}
	g.author.Actor = policies.PersonID(actor)
	return g, nil
}

// Settle moves what an import has published into the tables, in short transactions, and returns how many records it moved. Reads are right before,
// during and after. The importing process calls it; a hub calls it at start and every few seconds, for those that died.
func (s *Store) Settle(ctx context.Context) (int, error) {
	return s.settleAll(ctx, func(int64, int64, string) {})
}

func (s *Store) settleAll(ctx context.Context, progress Progress) (settled int, err error) {
	g, err := s.live(ctx, s.db.Reader())
	if err != nil || g.batch == 0 {
		return 0, err
	}
	var left, last int64
	err = s.db.Reader().QueryRowContext(ctx, "SELECT COUNT(*), COALESCE(MAX(ordinal), 0) FROM staged_person WHERE batch = $1", g.batch).Scan(&left, &last)
	if err != nil {
		return 0, fmt.Errorf("settle: %w", err)
	}
	progress(0, left, StageSettle)
	pace := s.pace()
	for after, more := int64(0), true; more; {
		var n int
		err := pace.do(ctx, func(ctx context.Context, tx *sql.Tx, size int) (err error) {
			to := min(after+int64(size), last)
			n, more, err = s.settleChunk(ctx, tx, g.batch, after, to)
			if after == last && more {
				to = 0 // a row was left behind, which can't be: all over again rather than for ever
			}
			after = to
			return err
		})
		if err != nil {
			return settled, fmt.Errorf("settle: %w", err)
		}
		settled += n
		progress(min(int64(settled), left), left, StageSettle)
	}
	return settled, nil
}

// settleChunk settles the rows of the batch after one ordinal up to another, and ends the batch once none are left. more is false when there is
// nothing more to do.
func (s *Store) settleChunk(ctx context.Context, tx *sql.Tx, batch, after, to int64) (n int, more bool, err error) {
	if _, err := takeNumbers(ctx, tx, 0); err != nil {
		return 0, false, err
	}
	g, err := s.live(ctx, tx)
	if err != nil || g.batch != batch {
		return 0, false, err // somebody else has settled it
	}
	if after < to {
		n, err = s.settleRows(ctx, tx, g, "s.ordinal > $2 AND s.ordinal <= $3", after, to)
		return n, true, err
	}
	err = tx.QueryRowContext(ctx, "SELECT 1 FROM staged_person WHERE batch = $1 LIMIT 1", batch).Scan(new(int))
	switch {
	case err == nil:
		return 0, true, nil
	case !errors.Is(err, sql.ErrNoRows):
		return 0, false, err
	}
	if _, err := tx.ExecContext(ctx, "UPDATE staged_head SET live = 0 WHERE id = 1 AND live = $1", batch); err != nil {
		return 0, false, err
	}
	_, err = tx.ExecContext(ctx, "DELETE FROM staged_batch WHERE id = $1", batch)
	return 0, false, err
}

// settle moves what an import has published of these people into the tables. Every writer of people calls it after takeNumbers and
// before it reads or writes them, in its own transaction.
func (s *Store) settle(ctx context.Context, tx *sql.Tx, ids ...policies.PersonID) error {
	if len(ids) == 0 {
		return nil
	}
	g, err := s.live(ctx, tx)
	if err != nil || g.batch == 0 {
		return err
	}
	for part := range slices.Chunk(ids, 500) {
		args := make([]any, len(part))
		for i, id := range part {
			args[i] = string(id)
		}
		if _, err := s.settleRows(ctx, tx, g, "s.id IN ("+placeholders(2, len(args))+")", args...); err != nil {
			return fmt.Errorf("settle: %w", err)
		}
	}
	return nil
}

// settleRows moves the rows of the live batch that meet the condition, whose arguments are numbered from $2.
func (s *Store) settleRows(ctx context.Context, tx *sql.Tx, g generation, where string, args ...any) (int, error) {
	where = "s.batch = $1 AND " + where
	args = append([]any{g.batch}, args...)
	if err := s.enqueueLeavers(ctx, tx, g, where, args); err != nil {
		return 0, err
	}
	if err := s.fillVacancies(ctx, tx, g, where, args); err != nil {
		return 0, err
	}
	exec := func(text string, more ...any) (int, error) {
		for i := range more { // $a, $b ... stand for what comes after the condition's own
			text = strings.ReplaceAll(text, "$"+string(rune('a'+i)), fmt.Sprintf("$%d", len(args)+i+1))
		}
		res, err := tx.ExecContext(ctx, text, slices.Concat(args, more)...)
		if err != nil {
			return 0, err
		}
		n, err := res.RowsAffected()
		return int(n), err
	}
	written, err := exec(`INSERT INTO feed (number, at, actor, source, why, kind, org, object, before_json, after_json)
		SELECT CAST($a AS BIGINT) + s.ordinal, CAST($b AS BIGINT), CAST($c AS TEXT), CAST($d AS TEXT), CAST($e AS TEXT), s.kind, s.org, s.id,
			COALESCE((SELECT f.after_json FROM feed f WHERE f.number = s.before), ''), s.after_json
		FROM staged_person s WHERE `+where,
		g.base, g.at, string(g.author.Actor), g.author.Source, g.author.Why)
	if err != nil {
		return 0, err
	}
	if written == 0 {
		return 0, nil
	}
	if err := displace(ctx, tx, where, args); err != nil {
		return 0, err
	}
	if _, err := exec(settlePeople+" WHERE "+where+settleConflict, g.at, g.base); err != nil {
		return 0, err
	}
	deleted, err := exec("DELETE FROM staged_person AS s WHERE " + where)
	if err == nil && deleted != written {
		err = fmt.Errorf("%d records moved, %d expected", deleted, written)
	}
	return deleted, err
}

// displace frees the e-mail addresses of the rows in the table: who still has one there that now belongs to a row has another in the
// batch, or is ended by it, and steps aside until their turn.
//
// Here and wherever a staged row is looked up in a large table it is by a scalar subquery, which PostgreSQL answers through the index; a
// join it may turn into a scan of the whole table, for each chunk again, while it believes the table as small as it was.
func displace(ctx context.Context, tx *sql.Tx, where string, args []any) error {
	q := &statement{args: args}
	q.text.WriteString(`SELECT x.id FROM (
		SELECT (SELECT p.id FROM person p WHERE p.email_key = s.email_key AND p.ended_at = 0 AND p.id <> s.id) AS id
		FROM staged_person s WHERE s.ended_at = 0 AND ` + where + `) x WHERE x.id IS NOT NULL`)
	var ids []any
	err := each(ctx, tx, q, func(rows *sql.Rows) error {
		var id string
		err := rows.Scan(&id)
		ids = append(ids, id)
		return err
	})
	if err != nil {
		return err
	}
	for part := range slices.Chunk(ids, 500) {
		if _, err := tx.ExecContext(ctx, "UPDATE person SET email_key = '!' || id WHERE id IN ("+placeholders(1, len(part))+")", part...); err != nil {
			return err
		}
	}
	return nil
}

// settlePeople writes staged records over the people of the table. A later change of a person, which only a binary that knows nothing
// of staging can have made, stays.
var settlePeople = func() string {
	columns := strings.Join(personData, ", ")
	return "INSERT INTO person (" + columns + ", email_key, updated_at, change) SELECT s." + strings.Join(personData, ", s.") +
		", s.email_key, CAST($a AS BIGINT), CAST($b AS BIGINT) + s.ordinal FROM staged_person s"
}()

var settleConflict = func() string {
	var set []string
	for _, c := range append(slices.Clone(personData[1:]), "email_key", "updated_at", "change") {
		set = append(set, c+" = excluded."+c)
	}
	return " ON CONFLICT (id) DO UPDATE SET " + strings.Join(set, ", ") + " WHERE person.change < excluded.change"
}()

// enqueueLeavers hands over whom the batch ends, in the transaction that settles them: once each, however often settling is tried.
func (s *Store) enqueueLeavers(ctx context.Context, tx *sql.Tx, g generation, where string, args []any) error {
	q := &statement{args: args}
	q.text.WriteString("SELECT s.id, s.ended_at, s.org, s.role FROM staged_person s WHERE " + where)
	q.and("s.kind = ?", string(PersonEnded))
	q.page("s.ordinal", 0)
	var leavers []identity.Person
	err := each(ctx, tx, q, func(rows *sql.Rows) error {
		var id, org, role string
		var p identity.Person
		err := rows.Scan(&id, &p.EndedAt, &org, &role)
		p.ID, p.Org, p.Role = policies.PersonID(id), policies.OrgID(org), policies.Role(role)
		leavers = append(leavers, p)
		return err
	})
	if err != nil || len(leavers) == 0 {
		return err
	}
	if s.enqueuer == nil {
		return errors.New("this process has no job queue to hand the leavers of an import to")
	}
	b, err := s.openBook(ctx, tx, g.author)
	if err != nil {
		return err
	}
	cause, since := map[policies.OrgID]string{}, map[policies.OrgID]int64{}
	var watch []policies.OrgID
	look := func(org policies.OrgID, why string, at int64) {
		watch = append(watch, org)
		cause[org], since[org] = why, at
	}
	for _, p := range leavers {
		if p.Role != policies.RoleGeneral {
			look(p.Org, "end "+string(p.ID), p.EndedAt)
		}
	}
	origin := access.Origin{Source: g.author.Source, Actor: g.author.Actor, At: g.at}
	if err := s.wind(ctx, tx, b, leavers, func(policies.PersonID) access.Origin { return origin }, look); err != nil {
		return err
	}
	for _, org := range unique(watch) {
		if err := s.watchAdministrators(ctx, tx, b, []policies.OrgID{org}, cause[org], since[org]); err != nil {
			return err
		}
	}
	return b.close(ctx, tx, s.db)
}

// fillVacancies closes the vacancies of organizations for which the rows bring an administrator.
func (s *Store) fillVacancies(ctx context.Context, tx *sql.Tx, g generation, where string, args []any) error {
	q := &statement{args: args}
	q.text.WriteString("SELECT v.org FROM vacancy v WHERE v.ended_at = 0 AND v.org IN (SELECT s.org FROM staged_person s WHERE s.ended_at = 0 AND " + where)
	q.and("s.role <> ?", string(policies.RoleGeneral))
	q.text.WriteString(")")
	var orgs []policies.OrgID
	err := each(ctx, tx, q, func(rows *sql.Rows) error {
		var org string
		err := rows.Scan(&org)
		orgs = append(orgs, policies.OrgID(org))
		return err
	})
	if err != nil || len(orgs) == 0 {
		return err
	}
	b, err := s.openBook(ctx, tx, g.author)
	if err != nil {
		return err
	}
	if err := s.closeVacancies(ctx, tx, b, orgs); err != nil {
		return err
	}
	return b.close(ctx, tx, s.db)
}

// stepAside frees a person's e-mail address in the table, where person_now says that nobody else has it: whoever has it there has
// another in the live batch, or is ended by it.
func stepAside(ctx context.Context, tx *sql.Tx, p *identity.Person) error {
	_, err := tx.ExecContext(ctx, "UPDATE person SET email_key = '!' || id WHERE email_key = $1 AND ended_at = 0 AND id <> $2",
		emailKey(p.Email), string(p.ID))
	if err != nil {
		return fmt.Errorf("directory: free an e-mail address: %w", err)
	}
	return nil
}

// The bounds of a chunk. Each is a transaction of its own, so that logins and other writers get their turn on SQLite.
const (
	chunkMin   = 100
	chunkFirst = 500
	chunkMax   = 4000
	chunkGoal  = 80 * time.Millisecond // the limit is 250 ms; slow disks need the rest
)

// pacer runs transactions of about chunkGoal, one after another.
type pacer struct {
	store *Store
	size  int
	again bool
}

func (s *Store) pace() *pacer { return &pacer{store: s, size: chunkFirst} }

// do runs one transaction, which handles size rows.
func (p *pacer) do(ctx context.Context, fn func(ctx context.Context, tx *sql.Tx, size int) error) error {
	if p.again {
		p.store.db.Yield(ctx)
	}
	p.again = true
	var began time.Time
	err := p.store.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		began = p.store.now() // after the wait for the writer
		return fn(ctx, tx, p.size)
	})
	if err != nil {
		return err
	}
	switch took := p.store.now().Sub(began); {
	case took > chunkGoal:
		p.size = max(p.size*2/3, chunkMin)
	case took < chunkGoal*2/3:
		p.size = min(p.size*3/2, chunkMax)
	}
	return nil
}
