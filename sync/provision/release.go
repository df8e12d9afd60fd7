package provision

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/connectors"
)

// release ends everything that a leaver has in one product: out of every group first, then the account's access. Where a group
// can't be left at once the access is ended all the same, and the group is tried again.
func release(ctx context.Context, now time.Time, conn connectors.Opened, v View) Effect {
	ctx = connectors.WithUrgent(ctx)
	e := releaseKnown(ctx, now, conn, v)
	if e.Outcome != OutcomeDone || v.Heir.Email == "" {
		return e
	}
	return releaseHeir(ctx, now, conn, v, e)
}

// grantCause is the cause of a release that an operation started by granting something to somebody who had left.
func grantCause(op Op) string { return fmt.Sprintf("%s/%d", op.Run, op.Seq) }

// grantOf gives the operation of such a cause.
func grantOf(cause string) (run string, seq int, ok bool) {
	i := strings.LastIndexByte(cause, '/')
	if i < 0 {
		return "", 0, false
	}
	seq, err := strconv.Atoi(cause[i+1:])
	return cause[:i], seq, err == nil
}

// grant tells a release what the operation granted that started it. Another release of the same person may have begun before the grant
// landed and end after it was written down: it takes out of the ledger what it took away too early. So the ledger isn't believed that nothing
// is left of the grant.
func (v *View) grant(op Op, group *GroupRow) {
	v.Granted = true
	if op.Kind != OpAdd || group == nil || group.GroupID == "" {
		return
	}
	if !slices.ContainsFunc(v.Groups, func(g GroupRow) bool { return g.Org == group.Org }) {
		v.Groups = append(v.Groups, *group)
	}
}

func releaseKnown(ctx context.Context, now time.Time, conn connectors.Opened, v View) Effect {
	row, exists := v.Accounts[v.Op.Person]
	if !exists {
		return Effect{Outcome: OutcomeDone, Receipt: Receipt{How: "found"}}
	}
	if row.AccountID == "" {
		return releaseUnconfirmed(ctx, now, conn, v, row)
	}
	e := Effect{Outcome: OutcomeDone, Receipt: Receipt{How: "disabled", AccountID: row.AccountID}}
	var failure error
	for _, g := range v.Groups {
		if conn.GroupWriter == nil {
			break
		}
		err := conn.GroupWriter.RemoveMembers(ctx, g.GroupID, []string{row.AccountID})
		if err != nil && connectors.KindOf(err) != connectors.KindNotFound {
			failure = err
			continue
		}
		e.Out = append(e.Out, g.Org)
	}
	if row.State != StateDisabled || v.Granted {
		if conn.AccountWriter == nil {
			return Effect{Outcome: OutcomeQuarantined, Out: e.Out, Receipt: Receipt{AccountID: row.AccountID}, Reason: conn.Name + " can't disable accounts: disable it by hand in the product"}
		}
		err := conn.AccountWriter.DisableAccount(ctx, row.AccountID)
		if err != nil && connectors.KindOf(err) != connectors.KindNotFound {
			failure = err
		} else {
			row.State, row.Attributes.Active, row.TriedAt = StateDisabled, false, time.Time{}
			e.Account = &row
		}
	}
	if failure != nil {
		// What was done is committed; the rest is tried again. A leaver is never given up.
		r := retry(failure)
		r.Poison, r.Account, r.Out, r.Receipt = false, e.Account, e.Out, Receipt{AccountID: row.AccountID}
		return r
	}
	return e
}

// releaseUnconfirmed handles a leaver whose account was being made: it may exist although its answer was lost.
func releaseUnconfirmed(ctx context.Context, now time.Time, conn connectors.Opened, v View, row AccountRow) Effect {
	gone := row
	gone.State, gone.Attributes.Active, gone.TriedAt = StateDisabled, false, time.Time{}
	if row.TriedAt.IsZero() || conn.Accounts == nil || conn.AccountWriter == nil {
		return Effect{Outcome: OutcomeDone, Account: &gone, Receipt: Receipt{How: "never made"}}
	}
	want := connectors.Account{Key: string(v.Op.Person), Email: row.Attributes.Email, UserName: row.Attributes.UserName}
	got, err := conn.Accounts.FindAccount(ctx, want)
	switch {
	case connectors.KindOf(err) == connectors.KindNotFound:
		// The call that makes it may still be on its way, or the look-up stale: only silence past both proves that there is none.
		if since := now.Sub(row.TriedAt); since <= conn.Limits.Staleness+callBudget {
			return wait("the account was being made; making sure that it isn't there", min(time.Second, conn.Limits.Staleness+callBudget-since))
		}
		return Effect{Outcome: OutcomeDone, Account: &gone, Receipt: Receipt{How: "never made"}}
	case err != nil:
		r := retry(err)
		r.Poison = false
		return r
	case got.Key != "" && got.Key != want.Key:
		return Effect{Outcome: OutcomeDone, Account: &gone, Receipt: Receipt{How: "never made"}}
	}
	rival, err := v.Rival(ctx, v.Op.Product, got.ID)
	if err != nil {
		return retry(err)
	}
	if rival != "" && rival != v.Op.Person {
		return Effect{Outcome: OutcomeDone, Account: &gone, Receipt: Receipt{How: "never made"}}
	}
	if err := conn.AccountWriter.DisableAccount(ctx, got.ID); err != nil && connectors.KindOf(err) != connectors.KindNotFound {
		r := retry(err)
		r.Poison = false
		return r
	}
	gone.AccountID = got.ID
	return Effect{Outcome: OutcomeDone, Account: &gone, Receipt: Receipt{How: "disabled", AccountID: got.ID}}
}
