package audit

import (
	"cmp"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/musubi-hub/musubi/identity/keys"
	"github.com/musubi-hub/musubi/identity/sqldb"
)

// ErrTampered says that what is stored of the log isn't what was signed. Nothing more is signed over it.
var ErrTampered = errors.New("the audit log isn't what was signed; run `musubi audit verify`")

// The bounds of sequencing.
const (
	batchRows = 2000             // rows of one transaction; SQLite's writer is held for well under 250 ms
	leaseTerm = 6 * time.Second  // after this long without a sign of life another node leads
	interval  = time.Second      // between two looks for new rows
	lastTime  = 5 * time.Second  // for the last look at the end
	complain  = 60 * time.Second // between two log lines about a fault that stays
)

// leaseName is the lease of the one that sequences.
const leaseName = "audit"

// Options say how a Log is opened.
type Options struct {
	Holder string // this node's id
	File   string // where each checkpoint is written outside of the database; empty: nowhere
	Now    func() time.Time
	Log    *slog.Logger // nil: silent
}

// Log sequences rows and signs checkpoints. Every node has one; the one that holds the lease works. It is safe for concurrent use.
type Log struct {
	db    *sqldb.DB
	ring  *keys.Ring
	lease *sqldb.Lease
	opt   Options

	mu      sync.Mutex // one Tick at a time
	kept    int64      // size of the checkpoint in the file; -1: not looked at yet
	warned  string
	warnedT time.Time
}

// New makes the log over the tables of Migration, keys.Migration and sqldb.Tables. The ring needs Purpose with KeySpec.
func New(db *sqldb.DB, ring *keys.Ring, opt Options) *Log {
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	return &Log{db: db, ring: ring, lease: sqldb.NewLease(db, leaseName, opt.Holder, leaseTerm, opt.Now), opt: opt, kept: -1}
}

// Run sequences every second until ctx ends, then once more, and gives the lease back. Faults are logged; the rows wait.
func (l *Log) Run(ctx context.Context) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		if _, err := l.Tick(ctx); err != nil && ctx.Err() == nil {
			l.complain(err)
		}
		select {
		case <-ticker.C:
			continue
		case <-ctx.Done():
		}
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastTime)
		_, err := l.Tick(last)
		if err = errors.Join(err, l.lease.Release(last)); err != nil {
			l.complain(err)
		}
		cancel()
		return
	}
}

// complain logs a fault when it is new, and now and then while it stays.
func (l *Log) complain(err error) {
	now := l.opt.Now()
	if since := now.Sub(l.warnedT); err.Error() == l.warned && since >= 0 && since < complain {
		return
	}
	l.warned, l.warnedT = err.Error(), now
	l.opt.Log.Error("audit rows aren't sequenced and signed; they wait", "error", err)
}

// Tick sequences what waits, if this node leads or may, and gives how many rows it sequenced.
func (l *Log) Tick(ctx context.Context) (sequenced int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	due, err := l.lease.Due(ctx)
	if err != nil {
		return 0, err
	}
	if !due {
		if !l.lease.Held() {
			return 0, nil
		}
		waits, err := l.waits(ctx)
		if err != nil || !waits && l.kept >= 0 {
			return 0, err
		}
	}
	for {
		b, err := l.batch(ctx)
		sequenced += b.rows
		if err != nil || !b.held {
			return sequenced, err
		}
		if err := l.keep(b.note, b.last); err != nil {
			return sequenced, err
		}
		if b.rows < batchRows {
			return sequenced, nil
		}
	}
}

func (l *Log) waits(ctx context.Context) (bool, error) {
	var n int
	err := l.db.Reader().QueryRowContext(ctx, `SELECT COUNT(*) FROM (SELECT row_id FROM audit_unsequenced LIMIT 1) w`).Scan(&n)
	if err != nil {
		return false, fmt.Errorf("audit: look for new rows: %w", err)
	}
	return n > 0, nil
}

// batch is what one transaction did.
type batch struct {
	held bool
	rows int
	last Checkpoint // the newest, whether it is of this batch or from before; the zero value while the log is empty
	note []byte     // it, signed
}

// batch holds the lease, sequences up to batchRows rows and signs, all in one transaction.
func (l *Log) batch(ctx context.Context) (b batch, err error) {
	err = l.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		fence, held, err := l.lease.Hold(ctx, tx)
		if err != nil || !held {
			return err
		}
		b.held = true
		tree, err := l.resume(ctx, tx, &b)
		if err != nil {
			return err
		}
		waiting, err := waitingRows(ctx, tx)
		if err != nil || len(waiting) == 0 {
			return err
		}
		from := tree.n
		nodes, err := l.store(ctx, tx, tree, waiting)
		if err != nil {
			return err
		}
		if _, err := l.db.Bulk(ctx, tx, "audit_node", []string{"level", "n", "hash"}, "", slices.Values(nodes)); err != nil {
			return fmt.Errorf("audit: sequence: %w", err)
		}
		b.last = Checkpoint{Origin: b.last.Origin, Size: tree.n, Root: tree.root(), At: l.opt.Now().UnixMicro(), Previous: from}
		signer, err := l.ring.Signer(ctx, tx, Purpose)
		if err != nil {
			return err
		}
		if b.note, err = b.last.sign(signer); err != nil {
			return fmt.Errorf("audit: sign: %w", err)
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO audit_checkpoint (size, at, fence, note) VALUES ($1, $2, $3, $4)`, b.last.Size, b.last.At, fence, string(b.note))
		if err != nil {
			return fmt.Errorf("audit: sign: %w", err)
		}
		b.rows = len(waiting)
		return nil
	})
	if err != nil {
		b.rows = 0
	}
	return b, err
}

// resume reads the newest checkpoint and the tree under it, and refuses to go on over anything that wasn't signed.
func (l *Log) resume(ctx context.Context, tx *sql.Tx, b *batch) (*frontier, error) {
	name, err := l.origin(ctx, tx)
	if err != nil {
		return nil, err
	}
	b.last.Origin = name
	var signed string
	err = tx.QueryRowContext(ctx, `SELECT note FROM audit_checkpoint ORDER BY size DESC LIMIT 1`).Scan(&signed)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("audit: read the newest checkpoint: %w", err)
	}
	if err == nil {
		known, err := l.ring.List(ctx, tx, Purpose)
		if err != nil {
			return nil, err
		}
		verifiers, err := verifiersOf(name, known)
		if err != nil {
			return nil, err
		}
		b.note = []byte(signed)
		if b.last, err = verifiers.Open(b.note); err != nil {
			return nil, fmt.Errorf("%w: the newest checkpoint %w", ErrTampered, err)
		}
	}
	var leaves int64
	if err := tx.QueryRowContext(ctx, `SELECT COALESCE(MAX(seq), -1) + 1 FROM audit_leaf`).Scan(&leaves); err != nil {
		return nil, fmt.Errorf("audit: read the log: %w", err)
	}
	if leaves != b.last.Size {
		return nil, fmt.Errorf("%w: it has %d rows, its newest checkpoint %d", ErrTampered, leaves, b.last.Size)
	}
	tree, err := storedFrontier(ctx, tx, leaves)
	if errors.Is(err, errHole) || err == nil && tree.root() != b.last.Root {
		return nil, fmt.Errorf("%w: its stored hashes don't give the newest checkpoint, of %d rows", ErrTampered, leaves)
	}
	if err != nil {
		return nil, err
	}
	return tree, l.compareFile(ctx, tx, b.last)
}

// origin gives the log's name, which it has from its first row on.
func (l *Log) origin(ctx context.Context, tx *sql.Tx) (name string, err error) {
	err = tx.QueryRowContext(ctx, `SELECT origin FROM audit_log`).Scan(&name)
	if !errors.Is(err, sql.ErrNoRows) {
		if err != nil {
			return "", fmt.Errorf("audit: read the log's name: %w", err)
		}
		return name, nil
	}
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails: it ends the program instead
	name = "musubi-audit/" + hex.EncodeToString(b[:])
	if _, err := tx.ExecContext(ctx, `INSERT INTO audit_log (one, origin) VALUES (1, $1)`, name); err != nil {
		return "", fmt.Errorf("audit: name the log: %w", err)
	}
	return name, nil
}

// waitingRows gives rows that have no place yet, in the order of time. Only within a batch is there an order: rows commit in
// another one than their times say.
func waitingRows(ctx context.Context, tx *sql.Tx) ([]record, error) {
	// CROSS JOIN keeps SQLite from walking all of audit_row instead of the few that wait.
	rows, err := tx.QueryContext(ctx, `SELECT `+recordColumns+` FROM (SELECT row_id FROM audit_unsequenced ORDER BY row_id LIMIT $1) w
		CROSS JOIN audit_row r WHERE r.id = w.row_id`, batchRows)
	if err != nil {
		return nil, fmt.Errorf("audit: read new rows: %w", err)
	}
	defer rows.Close()
	var out []record
	for rows.Next() {
		var c record
		if err := rows.Scan(c.fields()...); err != nil {
			return nil, fmt.Errorf("audit: read new rows: %w", err)
		}
		out = append(out, c)
	}
	slices.SortFunc(out, inTime)
	return out, rows.Err()
}

func inTime(a, b record) int { return cmp.Or(cmp.Compare(a.At, b.At), strings.Compare(a.ID, b.ID)) }

// store gives the rows their places, and gives the nodes of the tree that are complete now.
func (l *Log) store(ctx context.Context, tx *sql.Tx, tree *frontier, waiting []record) (nodes [][]any, err error) {
	done := func(level int, n int64, h tlog.Hash) { nodes = append(nodes, []any{level, n, slices.Clone(h[:])}) }
	leaves := make([][]any, len(waiting))
	ids := make([]any, len(waiting))
	var scratch []byte
	for i, c := range waiting {
		var h tlog.Hash
		if h, scratch, err = c.hash(leafVersion, scratch); err != nil {
			return nil, err
		}
		leaves[i] = []any{tree.n, c.ID, leafVersion, h[:]}
		ids[i] = c.ID
		tree.add(h, done)
	}
	if _, err := l.db.Bulk(ctx, tx, "audit_leaf", []string{"seq", "row_id", "version", "hash"}, "", slices.Values(leaves)); err != nil {
		return nil, fmt.Errorf("audit: sequence: %w", err)
	}
	for some := range slices.Chunk(ids, 250) {
		if _, err := tx.ExecContext(ctx, `DELETE FROM audit_unsequenced WHERE row_id IN (`+placeholders(len(some))+`)`, some...); err != nil {
			return nil, fmt.Errorf("audit: sequence: %w", err)
		}
	}
	return nodes, nil
}

func placeholders(n int) string {
	return strings.Join(slices.Collect(func(yield func(string) bool) {
		for i := range n {
			if !yield("$" + strconv.Itoa(i+1)) {
				return
			}
		}
	}), ",")
}
