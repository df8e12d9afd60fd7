package audit

import (
	"cmp"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// maxGuess is the longest interval between checkpoints, in rows, in which it is tried out what was moved or inserted.
const maxGuess = 4096

// maxInsertGuess is the same for inserted rows, where trying takes the square of it.
const maxInsertGuess = 512

// mark is what a checkpoint says.
type mark struct {
	size int64
	root tlog.Hash
	at   int64
}

// marks reads the history of checkpoints in the order of size, and checks each by itself.
type marks struct {
	v     *verification
	page  []mark
	after int64 // size up to which pages were read
	done  bool
	last  int64 // size of the last one taken
	chain int64 // size of the last one read, good or not
}

// noMark is larger than any checkpoint.
const noMark = int64(1<<63 - 1)

// next gives the size of the next checkpoint; noMark where there is none.
func (m *marks) next() (int64, error) {
	for len(m.page) == 0 && !m.done {
		if err := m.read(); err != nil {
			return 0, err
		}
	}
	if len(m.page) == 0 {
		return noMark, nil
	}
	return m.page[0].size, nil
}

// take gives the next checkpoint if its size is at most size.
func (m *marks) take(size int64) (mark, bool, error) {
	next, err := m.next()
	if err != nil || len(m.page) == 0 || next > size {
		return mark{}, false, err
	}
	taken := m.page[0]
	m.page = m.page[1:]
	m.last = taken.size
	return taken, true, nil
}

func (m *marks) read() error {
	const limit = 1000
	rows, err := m.v.tx.QueryContext(m.v.ctx, `SELECT size, at, note FROM audit_checkpoint WHERE size > $1 ORDER BY size LIMIT $2`, m.after, limit)
	if err != nil {
		return fmt.Errorf("audit: read the checkpoints: %w", err)
	}
	defer rows.Close()
	read := 0
	for rows.Next() {
		var size, at int64
		var signed string
		if err := rows.Scan(&size, &at, &signed); err != nil {
			return fmt.Errorf("audit: read the checkpoints: %w", err)
		}
		read++
		m.after = size
		m.check(size, at, signed)
	}
	m.done = read < limit
	return rows.Err()
}

func (m *marks) check(size, at int64, signed string) {
	rep := m.v.rep
	c, err := m.v.known.Open([]byte(signed))
	switch {
	case err != nil:
		rep.fault(Fault{Kind: FaultForged, From: m.chain, Until: size, UntilAt: at}, "the checkpoint of %d rows %v", size, err)
	case c.Size != size || c.At != at || c.Origin != rep.Origin:
		rep.fault(Fault{Kind: FaultForged, From: m.chain, Until: size, UntilAt: at},
			"the checkpoint of %d rows isn't the one that was signed: the signature is for %d rows of %s", size, c.Size, c.Origin)
	default:
		if c.Previous != m.chain {
			from, until := min(c.Previous, m.chain), max(c.Previous, m.chain)
			rep.fault(Fault{Kind: FaultCheckpoint, From: from, Until: until, UntilAt: c.At},
				"the checkpoint of %d rows follows one of %d rows, but the database has one of %d rows before it", c.Size, c.Previous, m.chain)
		}
		rep.Checkpoints++
		rep.Last = c.At
		m.page = append(m.page, mark{c.Size, c.Root, c.At})
	}
	m.chain = size
}

// reached compares the trees of size leaves with the checkpoints of that size.
func (v *verification) reached(size int64) error {
	for len(v.kept) > 0 && v.kept[0].size <= size {
		v.judgeKept(v.kept[0])
		v.kept = v.kept[1:]
	}
	m, ok, err := v.marks.take(size)
	if err != nil || !ok {
		return err
	}
	inStored := !v.lost && v.stored.root() == m.root
	inRows := !v.lost && (v.rows == nil && inStored || v.rows != nil && v.rows.root() == m.root)
	switch {
	case inStored:
		v.settle()
		if v.wrong > 0 && v.shift == 0 {
			v.rep.fault(Fault{Kind: FaultHash, From: v.good.n, Until: size, FromAt: v.goodAt, UntilAt: m.at},
				"%d stored hashes of inner nodes are wrong or missing, the first of %s; the rows are right", v.wrong, v.bad)
		}
	case inRows:
		for _, e := range v.odd {
			v.rep.fault(Fault{Kind: FaultHash, From: e.seq, Until: e.seq + 1, FromAt: v.goodAt, UntilAt: m.at, Row: e.id},
				"the stored hash at place %d was changed; row %s itself is what was signed", e.seq, e.id)
		}
		v.stored = v.rows
	default:
		again, err := v.explain(m)
		if err != nil || again {
			return err
		}
		return v.recover(m)
	}
	v.anchor(m)
	return nil
}

// anchor goes on from a checkpoint that was right.
func (v *verification) anchor(m mark) {
	v.good, v.goodAt, v.lost, v.rows = v.stored.clone(), m.at, false, nil
	v.since, v.odd, v.wrong = v.since[:0], v.odd[:0], 0
}

// settle reports rows that aren't what the stored hashes, which were signed, say.
func (v *verification) settle() {
	place := map[tlog.Hash]int64{}
	for _, e := range v.odd {
		place[e.stored] = e.seq
	}
	for _, e := range v.odd {
		f := Fault{Kind: FaultChanged, From: e.seq, Until: e.seq + 1, FromAt: v.goodAt, Row: e.id}
		if other, ok := place[e.computed]; ok && other != e.seq {
			f.Kind = FaultReordered
			v.rep.fault(f, "row %s is at place %d of the log; it was signed at place %d", e.id, e.seq, other)
			continue
		}
		v.rep.fault(f, "row %s, at place %d of the log, was changed", e.id, e.seq)
	}
	v.odd = v.odd[:0]
}

func (v *verification) judgeKept(k keptMark) {
	if !v.lost && v.stored.n == k.size && v.stored.root() == k.root {
		v.rep.Kept++
		v.keptOK = k.mark
		return
	}
	f := Fault{Kind: FaultRewritten, From: v.keptOK.size, Until: k.size, FromAt: v.keptOK.at, UntilAt: k.at}
	if v.lost {
		v.rep.fault(f, "the checkpoint in %s, of %d rows, can't be confirmed, because of what was found before it", k.name, k.size)
		return
	}
	v.rep.fault(f,
		"the first %d rows aren't those of the checkpoint in %s: the log was changed within %s", k.size, k.name, places(v.keptOK.size, k.size))
}

// explain reports an interval whose rows and stored hashes both aren't what was signed, and finds out what it can. again says that
// the interval goes on, with a row less.
func (v *verification) explain(m mark) (again bool, err error) {
	f := Fault{Kind: FaultRewritten, From: v.good.n, Until: m.size, FromAt: v.goodAt, UntilAt: m.at}
	if v.lost { // told already
		v.rep.Unconfirmed += m.size - v.good.n
		v.settle()
		return false, nil
	}
	if int64(len(v.since)) == m.size-v.good.n {
		if v.moved(m, f) {
			v.odd = v.odd[:0]
			return false, nil
		}
		if named, err := v.inserted(m, f); err != nil || named {
			return named, err
		}
	}
	v.rep.fault(f, "%s aren't what was signed: between the checkpoint of %d rows and the one of %d rows, rows or stored hashes were changed, removed or inserted",
		places(f.From, f.Until), f.From, f.Until)
	v.settle()
	return false, nil
}

// moved tries whether the rows in the order in which rows are sequenced are what was signed.
func (v *verification) moved(m mark, f Fault) bool {
	sorted := slices.Clone(v.since)
	slices.SortStableFunc(sorted, func(a, b leafEntry) int { return cmp.Or(cmp.Compare(a.at, b.at), strings.Compare(a.id, b.id)) })
	tree := v.good.clone()
	for _, e := range sorted {
		tree.add(e.computed, nil)
	}
	if tree.root() != m.root {
		return false
	}
	f.Kind = FaultReordered
	for i, e := range sorted {
		if was := v.good.n + int64(i); was != e.seq {
			f.From, f.Until, f.Row = e.seq, e.seq+1, e.id
			v.rep.fault(f, "row %s is at place %d of the log; it was signed at place %d, and the stored hashes were changed with it", e.id, e.seq, was)
		}
	}
	return true
}

// inserted tries whether the interval without one of its rows is what was signed.
func (v *verification) inserted(m mark, f Fault) (bool, error) {
	if len(v.since) > maxInsertGuess {
		return false, nil
	}
	leaves := make([]tlog.Hash, 0, len(v.since)+1)
	for _, e := range v.since {
		leaves = append(leaves, e.stored)
	}
	pushed, err := storedHash(v.ctx, v.tx, 0, m.size)
	if errors.Is(err, errHole) {
		return false, nil // no row was pushed out of the interval, so none was inserted
	}
	if err != nil {
		return false, err
	}
	leaves = append(leaves, pushed)
	for skip := range v.since {
		tree := v.good.clone()
		for i, h := range leaves {
			if i != skip {
				tree.add(h, nil)
			}
		}
		if tree.root() == m.root {
			e := v.since[skip]
			f.Kind, f.From, f.Until, f.Row = FaultInserted, e.seq, e.seq+1, e.id
			v.rep.fault(f, "row %s was inserted at place %d; without it the rows are what was signed", e.id, e.seq)
			v.without(skip, m)
			return true, nil
		}
	}
	return false, nil
}

// without takes a row that was inserted out of the interval, which then ends with the row that follows.
func (v *verification) without(skip int, m mark) {
	v.since = slices.Delete(v.since, skip, skip+1)
	v.odd = slices.DeleteFunc(v.odd, func(e leafEntry) bool { return e.seq == v.good.n+v.shift+int64(skip) })
	v.stored, v.rows = v.good.clone(), v.good.clone()
	for _, e := range v.since {
		v.stored.add(e.stored, nil)
		v.rows.add(e.computed, nil)
	}
	v.wrong, v.shift = 0, v.shift+1
	v.marks.page = slices.Insert(v.marks.page, 0, m)
}

// recover goes on after a checkpoint that was wrong: from the stored nodes, where they are what was signed.
func (v *verification) recover(m mark) error {
	tree, err := storedFrontier(v.ctx, v.tx, m.size)
	if err != nil && !errors.Is(err, errHole) {
		return err
	}
	if err == nil && tree.root() == m.root {
		v.stored = tree
		v.anchor(m)
		return nil
	}
	v.anchor(m) // the next interval begins here
	v.good.n, v.lost = m.size, true
	return nil
}

// levels compares completed nodes with the stored ones, reading each level along with the walk.
type levels struct {
	v    *verification
	read map[int]*levelPage
	err  error
}

type levelPage struct {
	from int64
	have []tlog.Hash
	ok   []bool
}

// compare is told each node that the stored leaves complete.
func (l *levels) compare(level int, n int64, h tlog.Hash) {
	if l.err != nil {
		return
	}
	if l.read == nil {
		l.read = map[int]*levelPage{}
	}
	p := l.read[level]
	if p == nil || n < p.from || n >= p.from+int64(len(p.have)) {
		if p, l.err = l.load(level, n); l.err != nil {
			return
		}
		l.read[level] = p
	}
	if i := n - p.from; !p.ok[i] || p.have[i] != h {
		if l.v.wrong++; l.v.wrong == 1 {
			l.v.bad = fmt.Sprintf("node %d on level %d", n, level)
		}
	}
}

func (l *levels) load(level int, n int64) (*levelPage, error) {
	size := int64(pageRows)
	if level > 11 {
		size = 1 // so few that each is read by itself
	}
	rows, err := l.v.tx.QueryContext(l.v.ctx, `SELECT n, hash FROM audit_node WHERE level = $1 AND n >= $2 AND n < $3`, level, n, n+size)
	if err != nil {
		return nil, fmt.Errorf("audit: read the log: %w", err)
	}
	defer rows.Close()
	p := &levelPage{from: n, have: make([]tlog.Hash, size), ok: make([]bool, size)}
	for rows.Next() {
		var at int64
		var b sql.RawBytes
		if err := rows.Scan(&at, &b); err != nil {
			return nil, fmt.Errorf("audit: read the log: %w", err)
		}
		if len(b) == tlog.HashSize {
			p.have[at-n], p.ok[at-n] = tlog.Hash(b), true
		}
	}
	return p, rows.Err()
}
