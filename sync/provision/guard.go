package provision

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/directory"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/breaker"
)

// Notifier tells the system administrator in the caller's transaction. Implemented by dated.Enqueuer.
type Notifier interface {
	EnqueueNotice(ctx context.Context, tx *sql.Tx, n identity.Notice) error
}

// Herald tells what was announced, and what changed. Implemented by directory.Store.
type Herald interface {
	Transfers(ctx context.Context, scope policies.Scope, filter directory.TransferFilter) ([]identity.Transfer, error)
	Changes(ctx context.Context, scope policies.Scope, after int64, limit int) ([]directory.Change, error)
	LastChange(ctx context.Context, scope policies.Scope) (int64, error)
}

// guard is what stands between a loss and the SaaS.
type guard struct {
	breaker *breaker.Store
	herald  Herald
	tell    Notifier
	scope   policies.Scope
}

// Guard puts breakers before everything that takes something away. Without it nothing is held.
func (s *Store) Guard(b *breaker.Store, h Herald, n Notifier) {
	s.guard = &guard{breaker: b, herald: h, tell: n, scope: policies.System(policies.TaskProvision)}
}

// Breakers gives the breakers that Guard put up, nil if none.
func (s *Store) Breakers() *breaker.Store {
	if s.guard == nil {
		return nil
	}
	return s.guard.breaker
}

// Baseline counts for the breakers how many there are to lose.
func Baseline(ctx context.Context, q breaker.Querier, level breaker.Level, subject string, loss breaker.Loss) (n int, err error) {
	table, state := "provision_account", "active"
	if loss == breaker.LossMemberships {
		table, state = "provision_member", "in"
	}
	query, args := `SELECT COUNT(*) FROM `+table+` WHERE state=$1`, []any{state}
	switch level {
	case breaker.LevelProduct:
		query, args = query+` AND product=$2`, append(args, subject)
	case breaker.LevelOrganization:
		query, args = query+` AND org_id=$2`, append(args, subject)
	}
	err = q.QueryRowContext(ctx, query, args...).Scan(&n)
	return n, err
}

// loser is somebody of an organization.
type loser struct {
	person policies.PersonID
	org    policies.OrgID
}

// losses lists what the objects of a plan take away from people, but for what was announced. Leavers were counted when they left. Whoever loses the account isn't counted
// again for the groups. It is pure.
func losses(objects []Object, announced map[loser]bool) (items []breaker.Item) {
	ends := map[holder]bool{}
	for _, o := range objects {
		if o.Kind == ObjectAccount && o.Action == ActionDisable {
			ends[holder{o.Product, o.Person}] = true
			if !o.Leaver && !announced[loser{o.Person, o.Org}] {
				items = append(items, breaker.Item{Product: o.Product, Org: o.Org, Person: o.Person, Loss: breaker.LossAccounts})
			}
		}
	}
	for _, o := range objects {
		if o.Kind != ObjectMembers || o.Action != ActionRemove {
			continue
		}
		for _, m := range o.Members {
			if !ends[holder{o.Product, m}] && !announced[loser{m, o.Org}] {
				items = append(items, breaker.Item{Product: o.Product, Org: o.Org, Person: m, Loss: breaker.LossMemberships})
			}
		}
	}
	return items
}

// withhold takes out of a plan's objects what breakers hold, and everything else of the same people in the same product: nobody enters
// a new organization while leaving the old one is held. It is pure.
func withhold(objects []Object, held map[breaker.Item]string, announced map[loser]bool) (keep []Object, drops []Drop) {
	by := map[holder]string{}
	for item, trip := range held {
		h := holder{item.Product, item.Person}
		by[h] = max(by[h], trip)
	}
	drop := func(o Object, trip string) {
		drops = append(drops, Drop{Object: o, Held: trip, Reason: heldReason(trip)})
	}
	for _, o := range objects {
		switch {
		case o.Kind == ObjectAccount:
			if trip := by[holder{o.Product, o.Person}]; trip != "" {
				drop(o, trip)
				continue
			}
			o.Announced = o.Action == ActionDisable && announced[loser{o.Person, o.Org}]
			keep = append(keep, o)
		case o.Kind == ObjectMembers:
			parts := map[string][]policies.PersonID{}
			const plain, told = "", "announced"
			for _, m := range o.Members {
				part := by[holder{o.Product, m}]
				if part == "" && o.Action == ActionRemove && announced[loser{m, o.Org}] {
					part = told
				}
				parts[part] = append(parts[part], m)
			}
			for _, part := range slices.Sorted(keysOf(parts)) {
				some := o
				some.Members = parts[part]
				switch part {
				case plain:
					keep = append(keep, some)
				case told:
					some.Announced = true
					keep = append(keep, some)
				default:
					drop(some, part)
				}
			}
		default:
			keep = append(keep, o)
		}
	}
	return keep, drops
}

func keysOf[K comparable, V any](m map[K]V) func(func(K) bool) {
	return func(yield func(K) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func heldReason(trip string) string {
	return fmt.Sprintf("held by breaker %s: `musubi breakers show %s` says why; once released it is planned again", trip, trip)
}

// announcedFor is how far back a transfer may lie whose removals are still to be done.
const announcedFor = 90 * 24 * time.Hour

// announced tells whose leaving of which organization follows from a transfer that was recorded long enough before its date.
func (g *guard) announced(ctx context.Context, now time.Time) (map[loser]bool, error) {
	out := map[loser]bool{}
	filter := directory.TransferFilter{
		From: now.Add(-announcedFor).UnixMicro(), Until: now.UnixMicro() + 1, States: []identity.TransferState{identity.TransferDone}, Limit: directory.MaxPage,
	}
	for {
		page, err := g.herald.Transfers(ctx, g.scope, filter)
		if err != nil {
			return nil, fmt.Errorf("read transfers: %w", err)
		}
		for _, t := range page {
			if t.Late || !g.breaker.Announced(t.RecordedAt, t.At) {
				continue
			}
			org := t.From
			if t.Kind == identity.TransferRelease {
				org = t.To
			}
			out[loser{t.Person, org}] = true
		}
		if len(page) < filter.Limit {
			return out, nil
		}
		filter.After = directory.TransferCursor(page[len(page)-1])
	}
}

// upstreamRows is how many changes of the directory are looked through for the one that a plan carries out.
const upstreamRows = 5000

// upstream names the change of the directory by which most of the items are lost; ok is false where none is found.
func (g *guard) upstream(ctx context.Context, items []breaker.Item) (c breaker.Cause, ok bool, err error) {
	head, err := g.herald.LastChange(ctx, g.scope)
	if err != nil {
		return c, false, fmt.Errorf("read changes: %w", err)
	}
	concerned := map[string]bool{}
	for _, i := range items {
		concerned[string(i.Person)] = true
	}
	last := map[string]directory.Change{}
	for after := max(0, head-upstreamRows); ; {
		page, err := g.herald.Changes(ctx, g.scope, after, directory.MaxPage)
		if err != nil {
			return c, false, fmt.Errorf("read changes: %w", err)
		}
		for _, ch := range page {
			after = ch.Number
			if concerned[ch.Object] {
				last[ch.Object] = ch
			}
		}
		if len(page) < directory.MaxPage {
			break
		}
	}
	votes := map[breaker.Cause]int{}
	for _, ch := range last {
		votes[breaker.Cause{Kind: causeKind(ch.Author.Source, false), Ref: plain(ch.Author.Source), Actor: ch.Author.Actor, At: ch.At}]++
	}
	best := 0
	for cause, n := range votes {
		if n > best || n == best && cause.At > c.At {
			c, best = cause, n
		}
	}
	return c, best > 0, nil
}

func causeKind(source string, alone bool) breaker.CauseKind {
	switch {
	case alone:
		return breaker.CausePerson
	case source == directory.SourceInbound || strings.HasPrefix(source, directory.SourceInbound+" "):
		return breaker.CauseInbound
	case source == "transfer":
		return breaker.CauseTransfer
	}
	return breaker.CauseImport
}

// plain keeps what looks like an address out of the audit log.
func plain(source string) string {
	text := strings.ReplaceAll(source, "@", " at ")
	return text[:min(len(text), 200)]
}

// cause says what a plan takes things away for: an edit of the policies where they changed since a plan was last applied, else the change of
// the directory that it carries out, else the plan itself.
func (s *Store) cause(ctx context.Context, rec PlanRecord, items []breaker.Item) (breaker.Cause, error) {
	c := breaker.Cause{Kind: breaker.CausePlan, Ref: rec.Hash, Actor: rec.Maker, At: rec.MadeAt.UnixMicro(), Plan: rec.Hash}
	before, err := s.policiesBefore(ctx, s.db.Reader(), rec.Hash)
	if err != nil {
		return c, err
	}
	if before != "" && before != rec.PolicyHash {
		c.Kind, c.Ref = breaker.CausePolicy, fmt.Sprintf("policies %.12s -> %.12s", before, rec.PolicyHash)
		return c, nil
	}
	up, ok, err := s.guard.upstream(ctx, items)
	if err != nil || !ok {
		return c, err
	}
	up.Plan = rec.Hash
	if up.Actor == "" {
		up.Actor = rec.Maker
	}
	return up, nil
}

// policiesBefore gives the hash of the policies of the plan that was started last, but for this one; empty if there was none.
func (s *Store) policiesBefore(ctx context.Context, q querier, but string) (hash string, err error) {
	err = q.QueryRowContext(ctx, `SELECT policy_hash FROM provision_plan WHERE started_at <> 0 AND hash <> $1 ORDER BY started_at DESC LIMIT 1`, but).Scan(&hash)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read the plan before: %w", err)
	}
	return hash, nil
}

// admitPlan asks the breakers about what a plan's objects take away, before any of its operations is written down.
func (s *Store) admitPlan(ctx context.Context, run string, rec PlanRecord, objects []Object) (keep []Object, drops []Drop, err error) {
	if s.guard == nil {
		return objects, nil, nil
	}
	announced := map[loser]bool{}
	if len(losses(objects, nil)) > 0 {
		if announced, err = s.guard.announced(ctx, s.now()); err != nil {
			return nil, nil, err
		}
	}
	items := losses(objects, announced)
	var v breaker.Verdict
	if len(items) > 0 {
		cause, err := s.cause(ctx, rec, items)
		if err != nil {
			return nil, nil, err
		}
		err = s.db.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
			if v, err = s.guard.breaker.Admit(ctx, tx, breaker.Ask{Ref: "run " + run, Work: "plan", Cause: cause, Items: items}); err != nil {
				return err
			}
			if err := s.guard.breaker.Prune(ctx, tx); err != nil {
				return err
			}
			return s.guard.announce(ctx, tx, v.Tripped)
		})
		if err != nil {
			return nil, nil, fmt.Errorf("ask the breakers: %w", err)
		}
	}
	held := v.Held
	if held == nil {
		held = map[breaker.Item]string{}
	}
	if err := s.heldLeavers(ctx, held); err != nil {
		return nil, nil, err
	}
	keep, drops = withhold(objects, held, announced)
	return keep, drops, nil
}

// heldLeavers adds the leavers that breakers hold: no plan ends their accounts either.
func (s *Store) heldLeavers(ctx context.Context, held map[breaker.Item]string) error {
	type row struct {
		item breaker.Item
		trip string
	}
	list, err := collect(ctx, s.db.Reader(), func(rows *sql.Rows) (row, error) {
		r := row{item: breaker.Item{Loss: breaker.LossAccounts}}
		return r, rows.Scan(&r.item.Product, &r.item.Person, &r.trip)
	}, `SELECT product, person_id, trip FROM provision_leaver WHERE state='held'`)
	if err != nil {
		return fmt.Errorf("read held leavers: %w", err)
	}
	for _, r := range list {
		held[r.item] = r.trip
	}
	return nil
}

// inside tells which of the people that an operation adds are still in a group that had to be left first: the removal was refused or held.
func (s *Store) inside(ctx context.Context, q querier, v *View) error {
	left, err := collect(ctx, q, func(rows *sql.Rows) (op Op, err error) {
		var payload string
		if err := rows.Scan(&payload); err != nil {
			return op, err
		}
		return op, decodeJSON(payload, &op)
	}, `SELECT o.payload FROM provision_edge e JOIN provision_op o ON o.run=e.run AND o.seq=e.seq
		WHERE e.run=$1 AND e.next=$2 AND o.kind=$3 AND o.state <> 'done'`, v.Op.Run, v.Op.Seq, string(OpRemove))
	if err != nil {
		return err
	}
	v.Inside = stillInside(v.Op, left)
	return nil
}

// stillInside is those of an addition whom one of the removals is about; nil if nobody.
func stillInside(add Op, removals []Op) (inside map[policies.PersonID]bool) {
	for _, r := range removals {
		for _, m := range r.Members {
			if slices.Contains(add.Members, m) {
				if inside == nil {
					inside = map[policies.PersonID]bool{}
				}
				inside[m] = true
			}
		}
	}
	return inside
}

// announce records trips in the audit log and tells the system administrator.
func (g *guard) announce(ctx context.Context, tx *sql.Tx, trips []breaker.Record) error {
	for _, r := range trips {
		if err := audit.Append(ctx, tx, r.Row()); err != nil {
			return err
		}
		n := identity.Notice{
			ID: "breaker " + r.ID, At: r.At.UnixMicro(), Kind: identity.NoticeBreaker, Object: r.ID,
			Detail: fmt.Sprintf("%s %s: %d %s (%s)", r.Level, r.Subject, r.Asked, r.Loss, plain(cmp.Or(r.Cause.Ref, string(r.Cause.Kind)))),
		}
		if r.Level == breaker.LevelOrganization {
			n.Org = policies.OrgID(r.Subject)
		}
		if err := g.tell.EnqueueNotice(ctx, tx, n); err != nil {
			return err
		}
	}
	return nil
}
