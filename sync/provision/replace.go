package provision

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/connectors"
	"github.com/musubi-hub/musubi/policies"
)

// Heir is an account that is being made in the place of another.
type Heir struct {
	Email   string    // by which it is found; empty: there is none
	TriedAt time.Time // since when it may have been made
}

// replaced reports whether an account can get its wanted address only by being replaced: portal-only customers have no call that changes it.
func replaced(have KnownAccount, want Attributes, seat policies.Seat) bool {
	return seat == policies.SeatPortalCustomer && have.Seat == seat && !strings.EqualFold(have.Attributes.Email, want.Email)
}

// around reads what a person has beside the account: the groups, and an heir that may have been made.
func (s *Store) around(ctx context.Context, q querier, v *View) error {
	var tried int64
	err := q.QueryRowContext(ctx, `SELECT email, tried_at FROM provision_heir WHERE product=$1 AND person_id=$2`, string(v.Op.Product), string(v.Op.Person)).Scan(&v.Heir.Email, &tried)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	v.Heir.TriedAt = at(tried)
	v.Groups, err = collect(ctx, q, func(rows *sql.Rows) (GroupRow, error) { return scanGroup(rows) },
		`SELECT g.product, g.org_id, g.group_id, g.name, g.tried_at FROM provision_member m
		JOIN provision_group g ON g.product=m.product AND g.org_id=m.org_id WHERE m.product=$1 AND m.person_id=$2 AND g.group_id <> '' ORDER BY g.org_id`,
		string(v.Op.Product), string(v.Op.Person))
	return err
}

// intendHeir writes down that the heir may exist from now on. The view shows the state before that.
func (s *Store) intendHeir(ctx context.Context, tx *sql.Tx, v *View) error {
	if err := s.around(ctx, tx, v); err != nil {
		return err
	}
	if v.Left[v.Op.Person] {
		return nil
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO provision_heir (product, person_id, email, tried_at) VALUES ($1,$2,$3,$4)
		ON CONFLICT (product, person_id) DO UPDATE SET email=excluded.email, tried_at=excluded.tried_at`,
		string(v.Op.Product), string(v.Op.Person), v.Op.After.Email, v.Began)
	return err
}

// replaceAccount makes a new account, lets it into the old one's groups, and ends the old one. Every step may be repeated; the ledger has the
// old account until all is done.
func replaceAccount(ctx context.Context, now time.Time, conn connectors.Opened, v View) Effect {
	op := v.Op
	if conn.Accounts == nil || conn.AccountWriter == nil || conn.GroupWriter == nil {
		return quarantine(fmt.Errorf("%s can't make accounts", conn.Name), "change the address by hand in the product")
	}
	row, exists := v.Accounts[op.Person]
	switch {
	case v.Left[op.Person]:
		return Effect{Outcome: OutcomeDropped, Reason: "the person left meanwhile"} // the leaver's own work looks for the heir
	case v.Moved[op.Person]:
		return Effect{Outcome: OutcomeDropped, Reason: "the person's organization changed since the plan was made"}
	case !exists || row.AccountID == "":
		return Effect{Outcome: OutcomeDropped, Reason: "the account isn't confirmed yet"}
	case row.State == StateActive && equivalent(row.Attributes, *op.After, op.Seat):
		return Effect{Outcome: OutcomeDone, Receipt: Receipt{How: "found", AccountID: row.AccountID}}
	case fingerprintOf(row, exists) != op.Before:
		return Effect{Outcome: OutcomeDropped, Reason: "the account changed since the plan was made"}
	}
	heir, e := makeHeir(ctx, now, conn, v)
	if heir.ID == "" {
		return e
	}
	if heir.ID == row.AccountID {
		return quarantine(errors.New("the product gives the old account for the new address"), "look at the account in the product")
	}
	for _, g := range v.Groups {
		if err := conn.GroupWriter.AddMembers(ctx, g.GroupID, []string{heir.ID}); err != nil {
			return failedIdempotent(err)
		}
		if err := conn.GroupWriter.RemoveMembers(ctx, g.GroupID, []string{row.AccountID}); err != nil && connectors.KindOf(err) != connectors.KindNotFound {
			return failedIdempotent(err)
		}
	}
	if row.State != StateDisabled {
		if err := conn.AccountWriter.DisableAccount(ctx, row.AccountID); err != nil && connectors.KindOf(err) != connectors.KindNotFound {
			return failedIdempotent(err)
		}
	}
	return ensured(op, heir, "replaced")
}

// makeHeir finds or makes the new account. Where it gives none, the effect says why.
func makeHeir(ctx context.Context, now time.Time, conn connectors.Opened, v View) (connectors.Account, Effect) {
	none := connectors.Account{}
	want := account(v.Op)
	got, err := none, error(&connectors.Error{Kind: connectors.KindNotFound})
	if strings.EqualFold(v.Heir.Email, want.Email) {
		// An earlier attempt may have made it.
		got, err = conn.Accounts.FindAccount(ctx, want)
		switch {
		case err == nil:
		case connectors.KindOf(err) != connectors.KindNotFound:
			return none, retry(err)
		}
	}
	if err != nil {
		// The vendor refuses a second customer with one address, so that a look-up that lags makes no double.
		got, err = conn.AccountWriter.CreateAccount(ctx, want)
		if connectors.KindOf(err) == connectors.KindConflict {
			found, ferr := conn.Accounts.FindAccount(ctx, want)
			if ferr != nil {
				return none, retry(ferr)
			}
			got, err = found, nil
		}
		if err != nil {
			return none, failedIdempotent(err)
		}
	}
	rival, err := v.Rival(ctx, v.Op.Product, got.ID)
	switch {
	case err != nil:
		return none, retry(err)
	case rival != "" && rival != v.Op.Person:
		return none, quarantine(fmt.Errorf("the account with this address belongs to person %s", rival), "give this person an address of their own")
	case !got.Active:
		want.ID = got.ID
		if got, err = conn.AccountWriter.UpdateAccount(ctx, want); err != nil {
			return none, failedIdempotent(err)
		}
	}
	if got.ID == "" {
		return none, retry(&connectors.Error{Kind: connectors.KindProtocol, Vendor: string(v.Op.Product), Op: "replace account", Detail: "the answer has no account id"})
	}
	return got, Effect{}
}

// releaseHeir ends the account that may have been made in the place of a leaver's. e is what was done to the old one.
func releaseHeir(ctx context.Context, now time.Time, conn connectors.Opened, v View, e Effect) Effect {
	// Until the heir is found the ledger keeps the groups: the heir may be in them.
	keep := func(r Effect) Effect {
		r.Poison, r.Account = false, e.Account
		return r
	}
	if conn.Accounts == nil || conn.AccountWriter == nil {
		return e
	}
	got, err := conn.Accounts.FindAccount(ctx, connectors.Account{Email: v.Heir.Email})
	switch {
	case connectors.KindOf(err) == connectors.KindNotFound:
		if since := now.Sub(v.Heir.TriedAt); since <= conn.Limits.Staleness+callBudget {
			return keep(wait("an account was being made in the place of this one; making sure that it isn't there", min(time.Second, conn.Limits.Staleness+callBudget-since)))
		}
		return e
	case err != nil:
		return keep(retry(err))
	}
	rival, err := v.Rival(ctx, v.Op.Product, got.ID)
	if err != nil {
		return keep(retry(err))
	}
	if rival != "" { // somebody else's, or the old one that has ended already
		return e
	}
	for _, g := range v.Groups {
		if conn.GroupWriter == nil {
			break
		}
		if err := conn.GroupWriter.RemoveMembers(ctx, g.GroupID, []string{got.ID}); err != nil && connectors.KindOf(err) != connectors.KindNotFound {
			return keep(retry(err))
		}
	}
	if err := conn.AccountWriter.DisableAccount(ctx, got.ID); err != nil && connectors.KindOf(err) != connectors.KindNotFound {
		return keep(retry(err))
	}
	return e
}
