package audit

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/mod/sumdb/tlog"
)

// frontier is a Merkle tree (RFC 6962, as in package tlog) reduced to what is needed to go on: the roots of its perfect subtrees,
// the largest first. The zero value is the empty tree.
type frontier struct {
	n     int64
	roots []tlog.Hash
}

// add appends a leaf's hash. done, unless nil, is told each node above the leaves that is complete with it: its level and its
// number within the level.
func (f *frontier) add(h tlog.Hash, done func(level int, n int64, h tlog.Hash)) {
	level := 0
	for n := f.n; n&1 == 1; n >>= 1 {
		last := len(f.roots) - 1
		h = tlog.NodeHash(f.roots[last], h)
		f.roots = f.roots[:last]
		level++
		if done != nil {
			done(level, n>>1, h)
		}
	}
	f.roots = append(f.roots, h)
	f.n++
}

// root is the tree's hash; of the empty tree the zero hash, which no checkpoint has.
func (f *frontier) root() tlog.Hash {
	if f.n == 0 {
		return tlog.Hash{}
	}
	h := f.roots[len(f.roots)-1]
	for i := len(f.roots) - 2; i >= 0; i-- {
		h = tlog.NodeHash(f.roots[i], h)
	}
	return h
}

func (f *frontier) clone() *frontier { return &frontier{n: f.n, roots: slices.Clone(f.roots)} }

// errHole says that a stored hash is missing.
var errHole = errors.New("a hash of the log is missing")

// storedHash reads one hash of the tree; level 0 are the leaves.
func storedHash(ctx context.Context, tx *sql.Tx, level int, n int64) (tlog.Hash, error) {
	var b []byte
	var err error
	if level == 0 {
		err = tx.QueryRowContext(ctx, `SELECT hash FROM audit_leaf WHERE seq = $1`, n).Scan(&b)
	} else {
		err = tx.QueryRowContext(ctx, `SELECT hash FROM audit_node WHERE level = $1 AND n = $2`, level, n).Scan(&b)
	}
	if errors.Is(err, sql.ErrNoRows) || err == nil && len(b) != tlog.HashSize {
		return tlog.Hash{}, errHole
	}
	if err != nil {
		return tlog.Hash{}, fmt.Errorf("audit: read the log: %w", err)
	}
	return tlog.Hash(b), nil
}

// storedFrontier reads the tree of the first size leaves from what is stored.
func storedFrontier(ctx context.Context, tx *sql.Tx, size int64) (*frontier, error) {
	f := &frontier{n: size}
	for level := 62; level >= 0; level-- {
		if size>>level&1 == 0 {
			continue
		}
		h, err := storedHash(ctx, tx, level, size>>level-1)
		if err != nil {
			return nil, err
		}
		f.roots = append(f.roots, h)
	}
	return f, nil
}

// hashBlock is how many hashes of a level are read at once, and blocks how many of these are kept.
const (
	hashBlock = 512
	blocks    = 256
)

// hashReader reads stored hashes for proofs, in blocks that it keeps: proofs of neighbours share nearly all of theirs.
type hashReader struct {
	ctx  context.Context // tlog.HashReader has no context; the reader lives for one call of Export
	tx   *sql.Tx
	have map[[2]int64]map[int64]tlog.Hash
}

// ReadHashes gives the hashes of these indexes, for package tlog.
func (r *hashReader) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		level, n := tlog.SplitStoredHashIndex(index)
		block, err := r.block(int64(level), n/hashBlock)
		if err != nil {
			return nil, err
		}
		h, ok := block[n]
		if !ok {
			return nil, fmt.Errorf("audit: %w: run `musubi audit verify`", errHole)
		}
		out[i] = h
	}
	return out, nil
}

func (r *hashReader) block(level, number int64) (map[int64]tlog.Hash, error) {
	key := [2]int64{level, number}
	if b, ok := r.have[key]; ok {
		return b, nil
	}
	query, args := `SELECT n, hash FROM audit_node WHERE n >= $1 AND n < $2 AND level = $3`, []any{number * hashBlock, (number + 1) * hashBlock, level}
	if level == 0 {
		query, args = `SELECT seq, hash FROM audit_leaf WHERE seq >= $1 AND seq < $2`, args[:2]
	}
	rows, err := r.tx.QueryContext(r.ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("audit: read the log: %w", err)
	}
	defer rows.Close()
	block := make(map[int64]tlog.Hash, hashBlock)
	for rows.Next() {
		var n int64
		var b []byte
		if err := rows.Scan(&n, &b); err != nil {
			return nil, fmt.Errorf("audit: read the log: %w", err)
		}
		if len(b) == tlog.HashSize {
			block[n] = tlog.Hash(b)
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("audit: read the log: %w", err)
	}
	if r.have == nil || len(r.have) >= blocks {
		r.have = map[[2]int64]map[int64]tlog.Hash{}
	}
	r.have[key] = block
	return block, nil
}
