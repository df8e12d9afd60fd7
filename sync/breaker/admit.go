package breaker

import (
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/policies"
)

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
