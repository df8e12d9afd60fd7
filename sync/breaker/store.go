package breaker

import (
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/policies"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migration gives the schema of this package's tables.
func Migration() sqldb.Migration {
	sub, err := fs.Sub(migrations, "migrations")
	if err != nil {
		panic(err) // the embedded folder is part of the binary
	}
	return sqldb.Migration{Owner: "breaker", FS: sub}
}

// CauseKind is what kind of upstream change takes something away.
type CauseKind string

// The kinds of cause.
const (
	CausePerson   CauseKind = "person"   // a person recorded one leaver
	CauseImport   CauseKind = "import"   // a file
	CauseTransfer CauseKind = "transfer" // a transfer that wasn't announced in time
	CauseInbound  CauseKind = "inbound"  // another system, over SCIM
	CausePlan     CauseKind = "plan"     // a plan, by what the directory says
	CausePolicy   CauseKind = "policy"   // a plan, by policies that were changed
)

// Cause is the upstream change: what, who, when. It names ids only.
type Cause struct {
	Kind  CauseKind         `json:"kind"`
	Ref   string            `json:"ref"`             // a plan's hash, a file's source, the two hashes of an edit of the policies
	Actor policies.PersonID `json:"actor,omitempty"` // who made it; empty for the hub itself
	At    int64             `json:"at,omitempty"`    // when: UTC, microseconds
	Plan  string            `json:"plan,omitempty"`  // the plan that carries it
	Lost  int               `json:"lost,omitempty"`  // in a list of causes: how much of it is this one's
}

// Change names the upstream change for counting: the same one on every node and after every restart.
func (c Cause) Change() string {
	return cmp.Or(c.Plan, string(c.Kind)+" "+c.Ref+" "+fmt.Sprint(c.At))
}

// Querier is a *sql.DB or a *sql.Tx.
type Querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// Baseline counts how many could lose something: active accounts or memberships, of one organization, of one product, or of everybody.
// Implemented by sync/provision over its ledger.
type Baseline func(ctx context.Context, q Querier, level Level, subject string, loss Loss) (int, error)

// Store keeps counts, trips and holds. It is safe for concurrent use, also by several nodes.
type Store struct {
	db       *sqldb.DB
	now      func() time.Time
	cfg      Config
	baseline Baseline
}

// New makes the store over a database that has been migrated with Migration.
func New(db *sqldb.DB, now func() time.Time, cfg Config, baseline Baseline) (*Store, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	return &Store{db: db, now: now, cfg: cfg, baseline: baseline}, nil
}

// Config gives the limits in force.
func (s *Store) Config() Config { return s.cfg }

// Announced reports whether a transfer recorded at one time for another (UTC, microseconds) was announced: neither counted nor held.
func (s *Store) Announced(recorded, at int64) bool {
	return recorded != 0 && at-recorded >= s.cfg.Announced.Microseconds()
}

// Ask is a piece of work that takes something away from people.
type Ask struct {
	Ref    string // names the piece of work: the same again is counted once
	Work   string // "plan" or "leaver", for who reads what is held
	Cause  Cause
	Items  []Item
	Passes bool // a single leaver whom a person recorded: counted, never held
}

// Verdict says which items may go and which are held, and which trips are new.
type Verdict struct {
	Held    map[Item]string // by which trip
	Tripped []Record        // by this ask
}

// Admit decides in the caller's transaction what of ask may be lost, counts that, and writes down what is held. Asking again for the same
// Ref gives the same answer for what was let pass.
func (s *Store) Admit(ctx context.Context, tx *sql.Tx, ask Ask) (Verdict, error) {
	v := Verdict{Held: map[Item]string{}}
	if len(ask.Items) == 0 {
		return v, nil
	}
	if ask.Ref == "" {
		return v, errors.New("breaker: work without a name can't be counted")
	}
	if _, err := tx.ExecContext(ctx, `UPDATE breaker_head SET touched = touched + 1 WHERE id = 1`); err != nil {
		return v, fmt.Errorf("breaker: %w", err)
	}
	a := admission{s: s, tx: tx, ask: ask, now: s.now().UnixMicro(), v: &v}
	if err := a.run(ctx); err != nil {
		return v, fmt.Errorf("breaker: %w", err)
	}
	return v, nil
}

// admission is one call of Admit.
type admission struct {
	s   *Store
	tx  *sql.Tx
	ask Ask
	now int64
	v   *Verdict
}

func (a *admission) run(ctx context.Context) error {
	rest, err := a.uncounted(ctx)
	if err != nil || len(rest) == 0 {
		return err
	}
	change := a.ask.Cause.Change()
	open, err := openTrips(ctx, a.tx)
	if err != nil {
		return err
	}
	for _, level := range Levels() {
		if rest, err = a.level(ctx, level, change, rest, open); err != nil {
			return err
		}
	}
	if a.ask.Passes {
		rest = a.ask.Items
		a.v.Held = map[Item]string{}
	}
	if err := a.count(ctx, rest); err != nil {
		return err
	}
	return a.hold(ctx)
}

// uncounted leaves out what this very work was let pass before, and what a person has released.
func (a *admission) uncounted(ctx context.Context) ([]Item, error) {
	type group struct {
		product policies.Product
		org     policies.OrgID
		loss    Loss
	}
	counted := map[group]bool{}
	err := each(ctx, a.tx, func(rows *sql.Rows) error {
		var g group
		err := rows.Scan(&g.product, &g.org, &g.loss)
		counted[g] = true
		return err
	}, `SELECT product, org, loss FROM breaker_loss WHERE ref = $1`, a.ask.Ref)
	if err != nil {
		return nil, err
	}
	released := map[Item]bool{}
	for part := range slices.Chunk(a.ask.Items, 200) {
		marks, args := make([]string, len(part)), []any{a.now}
		for i, item := range part {
			marks[i] = fmt.Sprintf("$%d", i+2)
			args = append(args, string(item.Person))
		}
		err := each(ctx, a.tx, func(rows *sql.Rows) error {
			var i Item
			err := rows.Scan(&i.Product, &i.Org, &i.Person, &i.Loss)
			released[i] = true
			return err
		}, `SELECT product, org, person, loss FROM breaker_hold WHERE state = 'released' AND expires > $1 AND person IN (`+strings.Join(marks, ",")+`)`, args...)
		if err != nil {
			return nil, err
		}
	}
	var rest []Item
	for _, i := range a.ask.Items {
		if !released[i] && !counted[group{i.Product, i.Org, i.Loss}] {
			rest = append(rest, i)
		}
	}
	return rest, nil
}

// level asks the breakers of one level about the items, and gives those that it lets through.
func (a *admission) level(ctx context.Context, level Level, change string, items []Item, open map[place]string) ([]Item, error) {
	groups := map[string][]Item{}
	for _, i := range items {
		subject := i.Subject(level, change)
		groups[subject] = append(groups[subject], i)
	}
	subjects := make([]string, 0, len(groups))
	for subject := range groups {
		subjects = append(subjects, subject)
	}
	slices.Sort(subjects)
	var pass []Item
	for _, subject := range subjects {
		trip := open[place{level, subject}]
		if trip == "" {
			var err error
			if trip, err = a.decide(ctx, level, subject, groups[subject]); err != nil {
				return nil, err
			}
		}
		if trip == "" {
			pass = append(pass, groups[subject]...)
			continue
		}
		for _, i := range groups[subject] {
			a.v.Held[i] = trip
		}
	}
	return pass, nil
}

// decide asks every limit of one breaker and trips it where one would be broken. It gives the trip's id.
func (a *admission) decide(ctx context.Context, level Level, subject string, items []Item) (string, error) {
	asked := map[Loss]int{}
	for _, i := range items {
		asked[i.Loss]++
	}
	var counts []Count
	for _, l := range a.s.cfg.Limits {
		if l.Level != level || asked[l.Loss] == 0 {
			continue
		}
		released, err := lastRelease(ctx, a.tx, level, subject)
		if err != nil {
			return "", err
		}
		lost, err := lostSince(ctx, a.tx, level, subject, l.Loss, l.Since(a.now, released))
		if err != nil {
			return "", err
		}
		base, err := a.s.baselineOf(ctx, a.tx, a.now, level, subject, l.Loss)
		if err != nil {
			return "", err
		}
		counts = append(counts, Count{Limit: l, Subject: subject, Lost: lost, Asked: asked[l.Loss], Baseline: base})
	}
	trips := Decide(counts)
	if len(trips) == 0 {
		return "", nil
	}
	return a.trip(ctx, trips[0])
}

func (a *admission) trip(ctx context.Context, t Trip) (string, error) {
	since := t.Limit.Since(a.now, 0)
	earlier, err := causes(ctx, a.tx, t.Limit.Level, t.Subject, t.Limit.Loss, since)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%s\x00%d\x00%s", t.Limit.Level, t.Subject, t.Limit.Loss, a.now, a.ask.Ref))
	r := Record{
		ID: "b" + hex.EncodeToString(sum[:6]), Level: t.Limit.Level, Subject: t.Subject, Loss: t.Limit.Loss, Window: t.Limit.Window, Lost: t.Lost, Asked: t.Asked,
		Allowed: t.Allowed, Baseline: t.Baseline, At: time.UnixMicro(a.now).UTC(), Cause: a.ask.Cause, Earlier: earlier, State: StateOpen,
	}
	_, err = a.tx.ExecContext(ctx, `INSERT INTO breaker_trip (id, level, subject, loss, window_us, lost, asked, allowed, baseline, at, cause, earlier, state)
		VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,'open')`,
		r.ID, string(r.Level), r.Subject, string(r.Loss), r.Window.Microseconds(), r.Lost, r.Asked, r.Allowed, r.Baseline, a.now, encode(r.Cause), encode(r.Earlier))
	if err != nil {
		return "", err
	}
	a.v.Tripped = append(a.v.Tripped, r)
	return r.ID, nil
}

// count writes down what may be lost.
func (a *admission) count(ctx context.Context, items []Item) error {
	type group struct {
		product policies.Product
		org     policies.OrgID
		loss    Loss
	}
	n := map[group]int{}
	var order []group
	for _, i := range items {
		g := group{i.Product, i.Org, i.Loss}
		if n[g] == 0 {
			order = append(order, g)
		}
		n[g]++
	}
	for _, g := range order {
		_, err := a.tx.ExecContext(ctx, `INSERT INTO breaker_loss (ref, product, org, loss, n, at, change_ref, cause) VALUES ($1,$2,$3,$4,$5,$6,$7,$8) ON CONFLICT DO NOTHING`,
			a.ask.Ref, string(g.product), string(g.org), string(g.loss), n[g], a.now, a.ask.Cause.Change(), encode(a.ask.Cause))
		if err != nil {
			return err
		}
	}
	return nil
}

func (a *admission) hold(ctx context.Context) error {
	items := make([]Item, 0, len(a.v.Held))
	for i := range a.v.Held {
		items = append(items, i)
	}
	return a.s.Hold(ctx, a.tx, a.ask.Work, a.ask.Cause, a.v.Held, items...)
}

// Hold writes down that a trip holds items: of what was let pass before the breaker tripped and hasn't been done yet.
func (s *Store) Hold(ctx context.Context, tx *sql.Tx, work string, cause Cause, by map[Item]string, items ...Item) error {
	slices.SortFunc(items, func(a, b Item) int {
		return cmp.Or(cmp.Compare(a.Product, b.Product), cmp.Compare(a.Org, b.Org), cmp.Compare(a.Person, b.Person), cmp.Compare(a.Loss, b.Loss))
	})
	now := s.now().UnixMicro()
	for _, i := range items {
		_, err := tx.ExecContext(ctx, `INSERT INTO breaker_hold (trip, product, org, person, loss, work, cause, at, state) VALUES ($1,$2,$3,$4,$5,$6,$7,$8,'held') ON CONFLICT DO NOTHING`,
			by[i], string(i.Product), string(i.Org), string(i.Person), string(i.Loss), work, encode(cause), now)
		if err != nil {
			return fmt.Errorf("breaker: hold: %w", err)
		}
	}
	return nil
}

// baselineAge is how old a baseline may be. It moves slowly, and the floor of each limit carries small organizations.
const baselineAge = 10 * time.Minute

func (s *Store) baselineOf(ctx context.Context, tx *sql.Tx, now int64, level Level, subject string, loss Loss) (int, error) {
	if level == LevelChange {
		level, subject = LevelNation, "" // one change is measured against everybody
	}
	var n int
	var at int64
	err := tx.QueryRowContext(ctx, `SELECT n, at FROM breaker_baseline WHERE level=$1 AND subject=$2 AND loss=$3`, string(level), subject, string(loss)).Scan(&n, &at)
	if err == nil && at <= now && now-at < baselineAge.Microseconds() {
		return n, nil
	}
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, err
	}
	if n, err = s.baseline(ctx, tx, level, subject, loss); err != nil {
		return 0, err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO breaker_baseline (level, subject, loss, n, at) VALUES ($1,$2,$3,$4,$5) ON CONFLICT (level, subject, loss) DO UPDATE SET n=$4, at=$5`,
		string(level), subject, string(loss), n, now)
	return n, err
}

// within gives the condition that keeps losses to a breaker's own.
func within(level Level, subject string, next int) (string, []any) {
	switch level {
	case LevelProduct:
		return fmt.Sprintf(" AND product = $%d", next), []any{subject}
	case LevelOrganization:
		return fmt.Sprintf(" AND org = $%d", next), []any{subject}
	case LevelChange:
		return fmt.Sprintf(" AND change_ref = $%d", next), []any{subject}
	}
	return "", nil
}

func lostSince(ctx context.Context, q Querier, level Level, subject string, loss Loss, since int64) (n int, err error) {
	where, args := within(level, subject, 3)
	err = q.QueryRowContext(ctx, `SELECT COALESCE(SUM(n), 0) FROM breaker_loss WHERE loss = $1 AND at > $2`+where, append([]any{string(loss), since}, args...)...).Scan(&n)
	return n, err
}

func lastRelease(ctx context.Context, q Querier, level Level, subject string) (at int64, err error) {
	err = q.QueryRowContext(ctx, `SELECT COALESCE(MAX(released_at), 0) FROM breaker_trip WHERE level=$1 AND subject=$2`, string(level), subject).Scan(&at)
	return at, err
}

// maxCauses is how many earlier causes a trip names.
const maxCauses = 5

func causes(ctx context.Context, q Querier, level Level, subject string, loss Loss, since int64) (out []Cause, err error) {
	where, args := within(level, subject, 4)
	err = each(ctx, q, func(rows *sql.Rows) error {
		var c Cause
		var text string
		var n int
		if err := rows.Scan(&text, &n); err != nil {
			return err
		}
		err := json.Unmarshal([]byte(text), &c)
		c.Lost = n
		out = append(out, c)
		return err
	}, `SELECT cause, SUM(n) AS lost FROM breaker_loss WHERE loss = $1 AND at > $2`+where+` GROUP BY cause ORDER BY lost DESC, cause LIMIT $3`,
		append([]any{string(loss), since, maxCauses}, args...)...)
	return out, err
}

type place struct {
	level   Level
	subject string
}

func openTrips(ctx context.Context, q Querier) (map[place]string, error) {
	open := map[place]string{}
	err := each(ctx, q, func(rows *sql.Rows) error {
		var p place
		var id string
		err := rows.Scan(&id, &p.level, &p.subject)
		open[p] = id
		return err
	}, `SELECT id, level, subject FROM breaker_trip WHERE state = 'open' ORDER BY at DESC, id`)
	return open, err
}

// Open gives, for items that were let pass before, which trip holds them now. It is asked right before each outward call.
func (s *Store) Open(ctx context.Context, q Querier, change string, items ...Item) (map[Item]string, error) {
	open, err := openTrips(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("breaker: %w", err)
	}
	held := map[Item]string{}
	if len(open) == 0 {
		return held, nil
	}
	for _, i := range items {
		for _, level := range Levels() {
			if id := open[place{level, i.Subject(level, change)}]; id != "" {
				held[i] = id
				break
			}
		}
	}
	return held, nil
}

// Prune forgets losses older than any window.
func (s *Store) Prune(ctx context.Context, tx *sql.Tx) error {
	_, err := tx.ExecContext(ctx, `DELETE FROM breaker_loss WHERE at < $1`, s.now().Add(-longest).UnixMicro())
	if err != nil {
		return fmt.Errorf("breaker: prune: %w", err)
	}
	return nil
}

func each(ctx context.Context, q Querier, scan func(*sql.Rows) error, query string, args ...any) (err error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

func encode(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		panic("breaker: a record that JSON can't encode: " + err.Error())
	}
	return string(data)
}
