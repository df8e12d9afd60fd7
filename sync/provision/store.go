package provision

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"database/sql"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/jobs"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migration gives the schema of this package's tables.
func Migration() sqldb.Migration {
	sub, err := fs.Sub(migrations, "migrations")
	if err != nil {
		panic(err) // the embedded folder is part of the binary
	}
	return sqldb.Migration{Owner: "provision", FS: sub}
}

// maxDocument bounds a stored plan: 250,000 people give about 200 MB.
const maxDocument = 1 << 30

// approvalLife is how long an approval may wait to be used.
const approvalLife = 24 * time.Hour

// PlanState is where a plan stands.
type PlanState string

// The states of a plan.
const (
	PlanMade      PlanState = "made"
	PlanApproved  PlanState = "approved"
	PlanStaging   PlanState = "staging" // started; its operations are being written down
	PlanRunning   PlanState = "running"
	PlanDone      PlanState = "done"
	PlanCancelled PlanState = "cancelled"
)

// PlanRecord is what is known about a stored plan without its document.
type PlanRecord struct {
	Hash       string            `json:"hash"`
	Maker      policies.PersonID `json:"maker"`
	MadeAt     time.Time         `json:"made_at"`
	PolicyHash string            `json:"policy_hash"`
	Objects    int               `json:"objects"`
	State      PlanState         `json:"state"`
	Approver   policies.PersonID `json:"approver,omitempty"`
	ApprovedAt time.Time         `json:"approved_at,omitzero"`
	ExpiresAt  time.Time         `json:"expires_at,omitzero"`
	StartedAt  time.Time         `json:"started_at,omitzero"`
	FinishedAt time.Time         `json:"finished_at,omitzero"`
}

// Inserter puts jobs into the caller's transaction. Implemented by jobs.Client.
type Inserter interface {
	InsertTx(ctx context.Context, tx *sql.Tx, ins ...jobs.Insert) (int, error)
}

// Store keeps plans, operations and the ledger of accounts in SQL. It implements Ledger and dated.Leavers.
type Store struct {
	db    *sqldb.DB
	now   func() time.Time
	jobs  Inserter
	guard *guard // nil: nothing is held
}

// NewStore makes a store on db. now is the clock. Bind it to a job client before anything is applied.
func NewStore(db *sqldb.DB, now func() time.Time) *Store {
	return &Store{db: db, now: now, jobs: unbound{}}
}

// Bind gives the store the client that puts jobs into transactions. The client knows the kinds of job, whose workers know the
// store: hence the second step.
func (s *Store) Bind(ins Inserter) { s.jobs = ins }

type unbound struct{}

func (unbound) InsertTx(context.Context, *sql.Tx, ...jobs.Insert) (int, error) {
	return 0, errors.New("provision: the store isn't bound to a job client")
}

// Save stores a plan that maker's scope was allowed to make. Saving the same plan again gives the record that is there.
func (s *Store) Save(ctx context.Context, scope policies.Scope, p Plan) (PlanRecord, error) {
	if !scope.For(policies.ActionPlanMake) || !scope.All() {
		return PlanRecord{}, fmt.Errorf("make a plan: %w", identity.ErrRefused)
	}
	doc, err := pack(p)
	if err != nil {
		return PlanRecord{}, fmt.Errorf("save plan: %w", err)
	}
	hash := p.Hash()
	err = s.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		fresh, err := s.put(ctx, tx, p, hash, doc)
		if err != nil || !fresh {
			return err
		}
		if err := s.witness(ctx, tx, scope, hash, map[string]any{"objects": len(p.Objects)}); err != nil {
			return err
		}
		return s.tellWaits(ctx, tx, p, hash)
	})
	if err != nil {
		return PlanRecord{}, fmt.Errorf("save plan: %w", err)
	}
	return s.Record(ctx, scope, hash)
}

// pack gives a plan's document as it is stored.
func pack(p Plan) ([]byte, error) {
	var zipped bytes.Buffer
	zw := gzip.NewWriter(&zipped)
	if _, err := zw.Write(p.Encode()); err != nil {
		return nil, err
	}
	if err := zw.Close(); err != nil {
		return nil, err
	}
	return zipped.Bytes(), nil
}

// put stores a plan; fresh is false where it is there and hasn't ended.
func (s *Store) put(ctx context.Context, tx *sql.Tx, p Plan, hash string, doc []byte) (fresh bool, err error) {
	// A plan that was made before, and ended or lost its approval, may come up again when the world is as it was then.
	added, err := tx.ExecContext(ctx, `INSERT INTO provision_plan (hash, maker, made_at, policy_hash, document, objects, state)
		VALUES ($1,$2,$3,$4,$5,$6,'made') ON CONFLICT (hash) DO NOTHING`,
		hash, string(p.Maker), s.now().UnixMicro(), p.PolicyHash, doc, len(p.Objects))
	if err != nil {
		return false, err
	}
	anew, err := tx.ExecContext(ctx, `UPDATE provision_plan SET state='made', made_at=$2, approver='', approved_at=0, expires_at=0, started_at=0, finished_at=0
		WHERE hash=$1 AND state IN ('done','cancelled')`, hash, s.now().UnixMicro())
	if err != nil {
		return false, err
	}
	n, err := rowsOf(added, anew)
	return n > 0, err
}

func rowsOf(results ...sql.Result) (n int64, err error) {
	for _, r := range results {
		rows, rerr := r.RowsAffected()
		n, err = n+rows, errors.Join(err, rerr)
	}
	return n, err
}

const recordColumns = `hash, maker, made_at, policy_hash, objects, state, approver, approved_at, expires_at, started_at, finished_at`

func scanRecord(row interface{ Scan(...any) error }) (PlanRecord, error) {
	var r PlanRecord
	var made, approved, expires, started, finished int64
	err := row.Scan(&r.Hash, &r.Maker, &made, &r.PolicyHash, &r.Objects, &r.State, &r.Approver, &approved, &expires, &started, &finished)
	r.MadeAt, r.ApprovedAt, r.ExpiresAt, r.StartedAt, r.FinishedAt = at(made), at(approved), at(expires), at(started), at(finished)
	return r, err
}

func at(micros int64) time.Time {
	if micros == 0 {
		return time.Time{}
	}
	return time.UnixMicro(micros).UTC()
}

func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// Record gives the record of the plan whose hash begins with prefix, at least 8 characters. More than one match is an error.
func (s *Store) Record(ctx context.Context, scope policies.Scope, prefix string) (PlanRecord, error) {
	if err := mayReadPlans(scope); err != nil {
		return PlanRecord{}, err
	}
	if len(prefix) < 8 || len(prefix) > sha256.Size*2 {
		return PlanRecord{}, fmt.Errorf("plan %q: %w: give at least 8 characters of its hash", prefix, ErrHash)
	}
	for _, c := range prefix {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return PlanRecord{}, fmt.Errorf("plan %q: %w: a hash has only the digits 0-9 and a-f", prefix, ErrHash)
		}
	}
	rows, err := s.db.Reader().QueryContext(ctx, `SELECT `+recordColumns+` FROM provision_plan WHERE hash >= $1 AND hash < $2 ORDER BY hash LIMIT 2`, prefix, prefix+"g")
	if err != nil {
		return PlanRecord{}, fmt.Errorf("plan: %w", err)
	}
	defer rows.Close()
	var found []PlanRecord
	for rows.Next() {
		r, err := scanRecord(rows)
		if err != nil {
			return PlanRecord{}, fmt.Errorf("plan: %w", err)
		}
		found = append(found, r)
	}
	switch {
	case rows.Err() != nil:
		return PlanRecord{}, fmt.Errorf("plan: %w", rows.Err())
	case len(found) == 0:
		return PlanRecord{}, fmt.Errorf("plan %s: %w: make one with `musubi plan`", prefix, identity.ErrNotFound)
	case len(found) > 1:
		return PlanRecord{}, fmt.Errorf("plan %s: %w: several begin so; give more of the hash", prefix, ErrHash)
	}
	return found[0], nil
}

// Records lists plans, newest first.
func (s *Store) Records(ctx context.Context, scope policies.Scope, limit int) ([]PlanRecord, error) {
	if err := mayReadPlans(scope); err != nil {
		return nil, err
	}
	rows, err := s.db.Reader().QueryContext(ctx, `SELECT `+recordColumns+` FROM provision_plan ORDER BY made_at DESC, hash LIMIT $1`, limit)
	if err != nil {
		return nil, fmt.Errorf("plans: %w", err)
	}
	defer rows.Close()
	var out []PlanRecord
	for rows.Next() {
		r, err := scanRecord(rows)
		if err != nil {
			return nil, fmt.Errorf("plans: %w", err)
		}
		out = append(out, r)
	}
	return out, rows.Err()
}

// mayReadPlans: a plan covers every organization, so only a scope over all of them may read it.
func mayReadPlans(scope policies.Scope) error {
	for _, a := range []policies.Action{policies.ActionPlanRead, policies.ActionPlanMake, policies.ActionPlanApprove, policies.ActionPlanApply} {
		if scope.For(a) && scope.All() {
			return nil
		}
	}
	return fmt.Errorf("read a plan: %w", identity.ErrRefused)
}

// Load gives a stored plan, after checking that its document still has the hash.
func (s *Store) Load(ctx context.Context, scope policies.Scope, hash string) (Plan, error) {
	if err := mayReadPlans(scope); err != nil {
		return Plan{}, err
	}
	return s.load(ctx, hash)
}

func (s *Store) load(ctx context.Context, hash string) (Plan, error) {
	var zipped []byte
	err := s.db.Reader().QueryRowContext(ctx, `SELECT document FROM provision_plan WHERE hash=$1`, hash).Scan(&zipped)
	if errors.Is(err, sql.ErrNoRows) {
		return Plan{}, fmt.Errorf("plan %s: %w", hash, identity.ErrNotFound)
	}
	if err != nil {
		return Plan{}, fmt.Errorf("plan %s: %w", hash, err)
	}
	zr, err := gzip.NewReader(bytes.NewReader(zipped))
	if err != nil {
		return Plan{}, fmt.Errorf("plan %s: stored document: %w", hash, err)
	}
	doc, err := io.ReadAll(io.LimitReader(zr, maxDocument+1))
	if err != nil {
		return Plan{}, fmt.Errorf("plan %s: stored document: %w", hash, err)
	}
	if len(doc) > maxDocument {
		return Plan{}, fmt.Errorf("plan %s: stored document is larger than %d bytes", hash, maxDocument)
	}
	if sum := sha256.Sum256(doc); hex.EncodeToString(sum[:]) != hash {
		return Plan{}, fmt.Errorf("plan %s: the stored document doesn't have this hash any more: it was changed after it was made; make a new plan", hash)
	}
	return DecodePlan(doc)
}

func encodeJSON(v any) string { return string(canonical(v)) }

func decodeJSON(text string, v any) error {
	if text == "" {
		return nil
	}
	return json.Unmarshal([]byte(text), v)
}
