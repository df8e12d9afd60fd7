package audit

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/keys"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/policies"
)

// ExportSchema names the form of an export's first line.
const ExportSchema = "musubi.audit-export.v1"

// exportHead is the first line of an export.
type exportHead struct {
	Schema     string   `json:"schema"`
	Checkpoint string   `json:"checkpoint"` // signed
	Keys       []string `json:"keys"`       // lines of VerifierKey, as the hub knows them; believe those that you kept yourself
}

// exportLine is a row with the proof that it is in the log that the checkpoint describes.
type exportLine struct {
	Seq      int64           `json:"seq"`
	Version  int64           `json:"version"` // of the leaf's form
	Row      record          `json:"row"`
	Personal *exportPersonal `json:"personal,omitempty"`
	Proof    []tlog.Hash     `json:"proof"` // RFC 6962 inclusion proof
}

type exportPersonal struct {
	Salt []byte `json:"salt"`
	Data string `json:"data"` // JSON, the very bytes
}

// exportTail is the last line; an export without it was cut.
type exportTail struct {
	Rows int64 `json:"rows"`
	End  bool  `json:"end"`
}

// Export writes the rows of the log inside scope that the filter lets through, oldest place first, as JSON Lines with the newest
// checkpoint and a proof for each row, and gives how many there were. What an export can't prove is that nothing was left out.
// The scope must be for audit.read. Where nothing is signed yet the error is identity.ErrNotFound.
func Export(ctx context.Context, db *sqldb.DB, scope policies.Scope, f Filter, w io.Writer) (n int64, err error) {
	if !scope.For(policies.ActionAuditRead) {
		return 0, fmt.Errorf("audit: export: the scope is for %q, not %q: %w", scope.Action(), policies.ActionAuditRead, identity.ErrRefused)
	}
	err = snapshot(ctx, db, func(tx *sql.Tx) error {
		x := exporter{tx: tx, hashes: &hashReader{ctx: ctx, tx: tx}, out: bufio.NewWriterSize(w, 64<<10)}
		if err := x.head(ctx, db); err != nil {
			return err
		}
		next := int64(0)
		for {
			page, err := x.page(ctx, scope, f, next)
			if err != nil {
				return err
			}
			for _, line := range page {
				if line.Proof, err = tlog.ProveRecord(x.last.Size, line.Seq, x.hashes); err != nil {
					return fmt.Errorf("audit: prove row %s: %w", line.Row.ID, err)
				}
				if err := x.encode(line); err != nil {
					return err
				}
				n, next = n+1, line.Seq+1
			}
			if len(page) < pageRows {
				break
			}
		}
		if err := x.encode(exportTail{Rows: n, End: true}); err != nil {
			return err
		}
		return x.out.Flush()
	})
	return n, err
}

type exporter struct {
	tx     *sql.Tx
	hashes *hashReader
	out    *bufio.Writer
	last   Checkpoint
}

func (x *exporter) encode(line any) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b) // ends with a line feed
	e.SetEscapeHTML(false)
	if err := e.Encode(line); err != nil {
		return fmt.Errorf("audit: export: %w", err)
	}
	_, err := x.out.Write(b.Bytes())
	return err
}

func (x *exporter) head(ctx context.Context, db *sqldb.DB) error {
	var signed string
	err := x.tx.QueryRowContext(ctx, `SELECT note FROM audit_checkpoint ORDER BY size DESC LIMIT 1`).Scan(&signed)
	if errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("audit: export: no row is signed yet; a serving hub signs every second: %w", identity.ErrNotFound)
	}
	if err != nil {
		return fmt.Errorf("audit: export: %w", err)
	}
	var origin string
	if err := x.tx.QueryRowContext(ctx, `SELECT origin FROM audit_log`).Scan(&origin); err != nil {
		return fmt.Errorf("audit: export: %w", err)
	}
	ring, err := keys.New(db, keys.Options{})
	if err != nil {
		return err
	}
	known, err := ring.List(ctx, x.tx, Purpose)
	if err != nil {
		return err
	}
	h := exportHead{Schema: ExportSchema, Checkpoint: signed}
	for _, k := range known {
		line, err := VerifierKey(origin, k.Public)
		if err != nil {
			return err
		}
		h.Keys = append(h.Keys, line)
	}
	verifiers, err := ParseVerifiers(h.Keys...)
	if err != nil {
		return err
	}
	if x.last, err = verifiers.Open([]byte(signed)); err != nil {
		return fmt.Errorf("%w: the newest checkpoint %w", ErrTampered, err)
	}
	return x.encode(h)
}

func (x *exporter) page(ctx context.Context, scope policies.Scope, f Filter, next int64) ([]exportLine, error) {
	where, args := f.where(scope)
	args = append(args, next, x.last.Size, pageRows)
	rows, err := x.tx.QueryContext(ctx, fmt.Sprintf(`SELECT l.seq, l.version, `+recordColumns+`, p.salt, p.data
		FROM audit_leaf l JOIN audit_row r ON r.id = l.row_id LEFT JOIN audit_personal p ON p.row_id = r.id
		WHERE %s AND l.seq >= $%d AND l.seq < $%d ORDER BY l.seq LIMIT $%d`, where, len(args)-2, len(args)-1, len(args)), args...)
	if err != nil {
		return nil, fmt.Errorf("audit: export: %w", err)
	}
	defer rows.Close()
	var page []exportLine
	for rows.Next() {
		var line exportLine
		var salt []byte
		var data sql.NullString
		if err := rows.Scan(append(append([]any{&line.Seq, &line.Version}, line.Row.fields()...), &salt, &data)...); err != nil {
			return nil, fmt.Errorf("audit: export: %w", err)
		}
		if data.Valid {
			line.Personal = &exportPersonal{salt, data.String}
		}
		page = append(page, line)
	}
	return page, rows.Err()
}

// maxLine bounds a line of an export that is read: a row, its personal data and its proof.
const maxLine = 256 << 10

// ExportReport is what VerifyExport found.
type ExportReport struct {
	Origin   string `json:"origin"`
	At       int64  `json:"checkpoint_at"` // UTC, microseconds
	Size     int64  `json:"checkpoint_rows"`
	Rows     int64  `json:"rows"`     // in the export, all proved
	Personal int64  `json:"personal"` // rows with personal data
	OwnKeys  bool   `json:"own_keys"` // the keys are the export's own: nothing outside of it was believed
}

// VerifyExport reads an export and checks each row against the checkpoint, and that against keys kept elsewhere (lines of
// VerifierKey); without any the export's own are taken, which shows no more than that it fits together. The error names the first
// line that isn't right.
func VerifyExport(r io.Reader, trusted []string) (ExportReport, error) {
	var rep ExportReport
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 64<<10), maxLine)
	var head exportHead
	if !lines.Scan() || strict(lines.Bytes(), &head) != nil || head.Schema != ExportSchema {
		return rep, errors.Join(lines.Err(), fmt.Errorf("audit: line 1: is no %s", ExportSchema))
	}
	rep.OwnKeys = len(trusted) == 0
	if rep.OwnKeys {
		trusted = head.Keys
	}
	verifiers, err := ParseVerifiers(trusted...)
	if err != nil {
		return rep, err
	}
	c, err := verifiers.Open([]byte(head.Checkpoint))
	if err != nil {
		return rep, fmt.Errorf("audit: line 1: the checkpoint %w", err)
	}
	rep.Origin, rep.At, rep.Size = c.Origin, c.At, c.Size
	after := int64(-1)
	for number := 2; lines.Scan(); number++ {
		var tail exportTail
		if strict(lines.Bytes(), &tail) == nil && tail.End {
			if tail.Rows != rep.Rows || lines.Scan() {
				return rep, fmt.Errorf("audit: line %d: the export says that it has %d rows; it has %d, or something after them", number, tail.Rows, rep.Rows)
			}
			return rep, lines.Err()
		}
		var line exportLine
		if err := strict(lines.Bytes(), &line); err != nil {
			return rep, fmt.Errorf("audit: line %d: is no row of an export: %w", number, err)
		}
		if err := line.check(c, after); err != nil {
			return rep, fmt.Errorf("audit: line %d: row %q %w", number, line.Row.ID, err)
		}
		after = line.Seq
		rep.Rows++
		if line.Personal != nil {
			rep.Personal++
		}
	}
	return rep, errors.Join(lines.Err(), errors.New("audit: the export is cut: its last line is missing"))
}

func (line exportLine) check(c Checkpoint, after int64) error {
	if line.Seq <= after || line.Seq >= c.Size {
		return fmt.Errorf("has the place %d, after %d and of %d", line.Seq, after, c.Size)
	}
	h, _, err := line.Row.hash(line.Version, nil)
	if err != nil {
		return err
	}
	if err := tlog.CheckRecord(line.Proof, c.Size, c.Root, line.Seq, h); err != nil {
		return fmt.Errorf("isn't what was signed at place %d", line.Seq)
	}
	if p := line.Personal; p != nil && commitment(p.Salt, p.Data) != line.Row.Commitment {
		return errors.New("has personal data that it didn't commit to")
	}
	return nil
}

func strict(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if d.More() {
		return errors.New("has more than one value")
	}
	return nil
}
