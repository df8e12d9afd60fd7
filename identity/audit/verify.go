package audit

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/keys"
	"github.com/musubi-hub/musubi/identity/sqldb"
)

// Kept is a signed checkpoint that was kept elsewhere.
type Kept struct {
	Name string // where it comes from, for the report
	Note []byte
}

// VerifyOptions say against what a log is verified.
type VerifyOptions struct {
	// Keys are lines of VerifierKey, kept elsewhere than the database. Where there are none the database's own keys are believed:
	// then whoever could replace rows, hashes, checkpoints and keys alike is found out only by a checkpoint that was kept elsewhere.
	Keys []string
	Kept []Kept
}

// pageRows is how many rows are read at once.
const pageRows = 2000

// Verify reads the whole log and says whether each row, each stored hash and each checkpoint is what was signed. It changes
// nothing, needs no private key, and works on a copy of the database as well as beside a running hub. An error means that the
// log couldn't be read; what is wrong with it is in the report.
func Verify(ctx context.Context, db *sqldb.DB, opt VerifyOptions) (Report, error) {
	var rep Report
	err := snapshot(ctx, db, func(tx *sql.Tx) error {
		v := &verification{ctx: ctx, tx: tx, rep: &rep, stored: &frontier{}, good: &frontier{}}
		return v.run(db, opt)
	})
	return rep, err
}

// snapshot runs fn in a transaction that sees one state of the database.
func snapshot(ctx context.Context, db *sqldb.DB, fn func(tx *sql.Tx) error) error {
	opt := &sql.TxOptions{ReadOnly: true}
	if db.Engine() == sqldb.PostgreSQL {
		opt.Isolation = sql.LevelRepeatableRead
	}
	tx, err := db.Reader().BeginTx(ctx, opt)
	if err != nil {
		return fmt.Errorf("audit: read the log: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // it wrote nothing
	return fn(tx)
}

// verification walks the log once. It keeps two trees: over the stored hashes of the leaves, and over the hashes computed from the
// rows. Where they part, the next checkpoint says which of them was signed.
type verification struct {
	ctx context.Context // lives for one call of Verify
	tx  *sql.Tx
	rep *Report

	known  Verifiers
	marks  marks
	kept   []keptMark
	stored *frontier // over stored hashes
	rows   *frontier // over computed hashes; nil while both are the same
	good   *frontier // of the last checkpoint that was right
	goodAt int64
	keptOK mark
	lost   bool  // the trees can't be computed: a hash is missing, or the last checkpoint was wrong
	shift  int64 // by how many places rows stand too late, because rows were inserted before them

	since []leafEntry // since good, at most maxGuess+1
	odd   []leafEntry // rows since good whose hash isn't the stored one
	nodes levels
	wrong int    // stored nodes since good that aren't what the stored leaves give
	bad   string // the first of them
}

// leafEntry is a place in the log with the row that is there.
type leafEntry struct {
	seq      int64
	id       string
	version  int64
	stored   tlog.Hash
	computed tlog.Hash
	at       int64
	gone     bool // the row isn't there
}

type keptMark struct {
	mark
	name string
}

func (v *verification) run(db *sqldb.DB, opt VerifyOptions) error {
	if err := v.prepare(db, opt); err != nil {
		return err
	}
	next := int64(0)
	for {
		page, err := v.page(next)
		if err != nil {
			return err
		}
		for _, e := range page {
			if err := v.leaf(&next, e); err != nil {
				return err
			}
		}
		if len(page) < pageRows {
			break
		}
	}
	v.rep.Rows = next
	if err := v.finish(next); err != nil {
		return err
	}
	return v.outside()
}

// prepare reads the log's name and keys, and the checkpoints that were given.
func (v *verification) prepare(db *sqldb.DB, opt VerifyOptions) error {
	err := v.tx.QueryRowContext(v.ctx, `SELECT origin FROM audit_log`).Scan(&v.rep.Origin)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("audit: this database has no audit log that can be read: %w", err)
	}
	name := v.rep.Origin
	if name == "" && len(opt.Kept) > 0 { // everything was cut off; the checkpoint that was kept says what it was
		if c, err := parseCheckpoint(string(opt.Kept[0].Note)); err == nil {
			name = c.Origin
		}
	}
	if len(opt.Keys) > 0 {
		v.known, err = ParseVerifiers(opt.Keys...)
	} else {
		v.known, err = StoredVerifiers(v.ctx, v.tx, db, name)
	}
	if err != nil {
		return err
	}
	v.marks = marks{v: v}
	v.nodes = levels{v: v}
	for _, k := range opt.Kept {
		c, err := v.known.Open(k.Note)
		switch {
		case err != nil:
			v.rep.fault(Fault{Kind: FaultForged}, "the checkpoint in %s %v", k.Name, err)
		case v.rep.Origin != "" && c.Origin != v.rep.Origin:
			v.rep.fault(Fault{Kind: FaultOtherLog}, "the checkpoint in %s is of the log %s, the database has the log %s", k.Name, c.Origin, v.rep.Origin)
		default:
			v.kept = append(v.kept, keptMark{mark{c.Size, c.Root, c.At}, k.Name})
		}
	}
	slices.SortStableFunc(v.kept, func(a, b keptMark) int { return cmp.Compare(a.size, b.size) })
	return nil
}

// StoredVerifiers gives the database's own keys for checkpoints of the log origin.
func StoredVerifiers(ctx context.Context, q keys.Querier, db *sqldb.DB, origin string) (Verifiers, error) {
	ring, err := keys.New(db, keys.Options{})
	if err != nil {
		return Verifiers{}, err
	}
	known, err := ring.List(ctx, q, Purpose)
	if err != nil {
		return Verifiers{}, err
	}
	if origin == "" {
		return Verifiers{}, nil // an empty log
	}
	return verifiersOf(origin, known)
}

// page reads the leaves from seq on, with their rows.
func (v *verification) page(seq int64) ([]leafEntry, error) {
	rows, err := v.tx.QueryContext(v.ctx, `SELECT l.seq, l.row_id, l.version, l.hash, `+recordColumns+`, p.salt, p.data
		FROM audit_leaf l LEFT JOIN audit_row r ON r.id = l.row_id LEFT JOIN audit_personal p ON p.row_id = l.row_id
		WHERE l.seq >= $1 ORDER BY l.seq LIMIT $2`, seq, pageRows)
	if err != nil {
		return nil, fmt.Errorf("audit: read the log: %w", err)
	}
	defer rows.Close()
	page := make([]leafEntry, 0, pageRows)
	var scan rowScan
	for rows.Next() {
		e, err := scan.next(rows, v.rep)
		if err != nil {
			return nil, err
		}
		page = append(page, e)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("audit: read the log: %w", err)
	}
	return page, nil
}

// rowScan reads leaves with columns of rows that may be missing.
type rowScan struct {
	text    [11]sql.NullString // record's fields but for at
	at      sql.NullInt64
	scratch []byte
}

func (s *rowScan) next(rows *sql.Rows, rep *Report) (leafEntry, error) {
	var e leafEntry
	var hash, salt []byte
	var data sql.NullString
	t := &s.text
	err := rows.Scan(&e.seq, &e.id, &e.version, &hash,
		&t[0], &s.at, &t[1], &t[2], &t[3], &t[4], &t[5], &t[6], &t[7], &t[8], &t[9], &t[10], &salt, &data)
	if err != nil {
		return e, fmt.Errorf("audit: read the log: %w", err)
	}
	if len(hash) == tlog.HashSize { // else it stays zero, which is no row's hash
		e.stored = tlog.Hash(hash)
	}
	if !t[0].Valid {
		e.gone, e.computed = true, e.stored
		return e, nil
	}
	c := record{
		ID: t[0].String, At: s.at.Int64, Actor: t[1].String, ActorKind: t[2].String, Action: t[3].String, Org: t[4].String, Object: t[5].String,
		Outcome: t[6].String, Reason: t[7].String, PolicyHash: t[8].String, Detail: t[9].String, Commitment: t[10].String,
	}
	e.at = c.At
	var wrong error
	if e.computed, s.scratch, wrong = c.hash(e.version, s.scratch); wrong != nil {
		rep.fault(Fault{Kind: FaultChanged, From: e.seq, Until: e.seq + 1, Row: e.id}, "place %d of row %s %v", e.seq, e.id, wrong)
	}
	switch {
	case data.Valid && commitment(salt, data.String) == c.Commitment:
		rep.Personal++
	case data.Valid:
		rep.fault(Fault{Kind: FaultPersonal, From: e.seq, Until: e.seq + 1, Row: e.id}, "the personal data of row %s isn't what the row committed to", e.id)
	case c.Commitment != "":
		rep.Erased++
	}
	return e, nil
}

// leaf takes the next leaf into both trees, and compares them with the checkpoints that end there.
func (v *verification) leaf(next *int64, e leafEntry) error {
	if e.seq != *next {
		v.rep.fault(Fault{Kind: FaultRemoved, From: *next, Until: e.seq, FromAt: v.goodAt},
			"%s of the log %s gone from the database", places(*next, e.seq), isAre(e.seq-*next))
		if err := v.skip(next, e.seq); err != nil {
			return err
		}
	}
	if e.gone {
		v.rep.fault(Fault{Kind: FaultRemoved, From: e.seq, Until: e.seq + 1, FromAt: v.goodAt, Row: e.id}, "row %s, at place %d of the log, is gone", e.id, e.seq)
	}
	if !v.lost {
		differ := e.computed != e.stored
		if differ && v.rows == nil {
			v.rows = v.stored.clone()
		}
		if v.rows != nil {
			v.rows.add(e.computed, nil)
		}
		v.stored.add(e.stored, v.nodes.compare)
		if v.nodes.err != nil {
			return v.nodes.err
		}
	}
	switch {
	case e.computed == e.stored:
	case len(v.odd) < maxGuess:
		v.odd = append(v.odd, e)
	default:
		v.rep.fault(Fault{Kind: FaultChanged, From: e.seq, Until: e.seq + 1, FromAt: v.goodAt, Row: e.id}, "row %s and its stored hash, at place %d of the log, differ", e.id, e.seq)
	}
	if len(v.since) <= maxGuess {
		v.since = append(v.since, e)
	}
	*next++
	return v.reached(*next - v.shift)
}

// skip passes places whose hashes are missing; a checkpoint among them may still be found again from the stored nodes.
func (v *verification) skip(next *int64, to int64) error {
	v.lost = true
	for *next < to {
		size, err := v.marks.next()
		if err != nil {
			return err
		}
		*next = min(to, max(size+v.shift, *next+1))
		if err := v.reached(*next - v.shift); err != nil {
			return err
		}
	}
	return nil
}

// finish reports checkpoints beyond the log's end, and rows beyond the last checkpoint.
func (v *verification) finish(next int64) error {
	size := next - v.shift
	beyondEnd, err := v.marks.next()
	if err != nil {
		return err
	}
	switch {
	case size > v.marks.last && beyondEnd > size && beyondEnd < noMark: // the tail of an interval whose end was cut off
		v.rep.Unconfirmed += size - v.marks.last
	case size > v.marks.last:
		f := Fault{Kind: FaultInserted, From: v.marks.last + v.shift, Until: next, FromAt: v.goodAt}
		if len(v.since) > 0 {
			f.Row = v.since[0].id
		}
		n := size - v.marks.last
		v.rep.fault(f, "%s of the log %s after the last signed checkpoint: nobody signed %s", places(f.From, f.Until), isAre(n), themIt(n))
	}
	v.settle()
	beyond := mark{}
	for {
		m, ok, err := v.marks.take(math.MaxInt64)
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		beyond = m
	}
	if beyond.size > 0 {
		v.rep.fault(Fault{Kind: FaultCut, From: size, Until: beyond.size, FromAt: v.goodAt, UntilAt: beyond.at},
			"the log has %d rows, but its own checkpoint says that it had %d: %d rows are cut off", size, beyond.size, beyond.size-size)
	}
	for _, k := range v.kept {
		v.rep.fault(Fault{Kind: FaultCut, From: size, Until: k.size, FromAt: v.goodAt, UntilAt: k.at},
			"the log has %d rows, but the checkpoint in %s says that it had %d: %d rows are cut off", size, k.name, k.size, k.size-size)
	}
	return nil
}

// outside looks at rows that have no place in the log.
func (v *verification) outside() error {
	var oldest sql.NullInt64
	err := v.tx.QueryRowContext(v.ctx, `SELECT COUNT(*), MIN(r.at) FROM audit_unsequenced u CROSS JOIN audit_row r WHERE r.id = u.row_id`).
		Scan(&v.rep.Unsequenced, &oldest)
	if err != nil {
		return fmt.Errorf("audit: count new rows: %w", err)
	}
	v.rep.Oldest = oldest.Int64
	for _, look := range []struct {
		query, text string
		kind        FaultKind
	}{
		{
			`SELECT u.row_id FROM audit_unsequenced u WHERE NOT EXISTS (SELECT 1 FROM audit_row r WHERE r.id = u.row_id) ORDER BY u.row_id LIMIT $1`,
			"row %s is gone; it had no place in the log yet", FaultRemoved,
		},
		{
			`SELECT r.id FROM audit_row r WHERE NOT EXISTS (SELECT 1 FROM audit_leaf l WHERE l.row_id = r.id)
				AND NOT EXISTS (SELECT 1 FROM audit_unsequenced u WHERE u.row_id = r.id) ORDER BY r.id LIMIT $1`,
			"row %s is in the database but not in the log, and doesn't wait for a place", FaultInserted,
		},
	} {
		if err := v.list(look.query, look.kind, look.text); err != nil {
			return err
		}
	}
	return nil
}

func (v *verification) list(query string, kind FaultKind, text string) error {
	rows, err := v.tx.QueryContext(v.ctx, query, MaxFaults+1)
	if err != nil {
		return fmt.Errorf("audit: look for rows outside of the log: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return fmt.Errorf("audit: look for rows outside of the log: %w", err)
		}
		v.rep.fault(Fault{Kind: kind, Row: id}, text, id)
	}
	return rows.Err()
}

// LogOrigin gives the log's name; identity.ErrNotFound until the first row is sequenced.
func LogOrigin(ctx context.Context, db *sqldb.DB) (string, error) {
	var name string
	err := db.Reader().QueryRowContext(ctx, `SELECT origin FROM audit_log`).Scan(&name)
	if errors.Is(err, sql.ErrNoRows) {
		return "", fmt.Errorf("audit: the log has no name yet: %w", identity.ErrNotFound)
	}
	if err != nil {
		return "", fmt.Errorf("audit: read the log's name: %w", err)
	}
	return name, nil
}

func places(from, until int64) string {
	if until-from == 1 {
		return fmt.Sprintf("place %d", from)
	}
	return fmt.Sprintf("places %d to %d", from, until-1)
}

func isAre(n int64) string {
	if n == 1 {
		return "is"
	}
	return "are"
}

func themIt(n int64) string {
	if n == 1 {
		return "it"
	}
	return "them"
}
