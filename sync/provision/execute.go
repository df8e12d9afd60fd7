package provision

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/connectors"
	"github.com/musubi-hub/musubi/policies"
)

const (
	minWait    = 200 * time.Millisecond // between attempts when nobody says how long to wait
	callBudget = 20 * time.Second       // longest time that one attempt may take, the job's time-out
	maxWait    = 5 * time.Minute        // however long a failure lasts, look again after this
	maxSlot    = 15 * time.Minute       // the furthest that a quota puts an attempt off: ours gives slots up to 10 minutes ahead
)

// maxPoison is how often an operation is tried whose failures nobody else shares: an answer that can't be understood, say. Past
// that a person has to look; a vendor that is down or throttles is waited for without end.
const maxPoison = 12

// Execute makes one attempt at an operation: it decides from the view, calls the connector at most a few times, and says what to
// commit. It never writes to the ledger itself. now is the time at which the attempt began.
func Execute(ctx context.Context, now time.Time, conn connectors.Opened, v View) Effect {
	e := attempt(ctx, now, conn, v)
	if e.Outcome != OutcomeRetry {
		return e
	}
	if e.Poison && v.Attempts >= maxPoison {
		return quarantine(errors.New(e.Reason), fmt.Sprintf("tried %d times: look at the product's state page, then `musubi quarantine retry`", v.Attempts+1))
	}
	if e.Slot {
		return e
	}
	backoff := minWait << min(v.Attempts, 8) // up to 51 s
	e.After = min(max(e.After, backoff), maxWait)
	return e
}

func attempt(ctx context.Context, now time.Time, conn connectors.Opened, v View) Effect {
	switch v.Op.Kind {
	case OpGroup:
		return ensureGroup(ctx, now, conn, v)
	case OpAccount:
		return ensureAccount(ctx, now, conn, v)
	case OpReplace:
		return replaceAccount(ctx, now, conn, v)
	case OpDisable:
		return disableAccount(ctx, conn, v)
	case OpAdd:
		return addMembers(ctx, conn, v)
	case OpRemove:
		return removeMembers(ctx, conn, v)
	case OpRelease:
		return release(ctx, now, conn, v)
	}
	return Effect{Outcome: OutcomeQuarantined, Reason: fmt.Sprintf("this binary doesn't know operation %q: update it", v.Op.Kind)}
}

func ensureGroup(ctx context.Context, now time.Time, conn connectors.Opened, v View) Effect {
	if conn.Groups == nil || conn.GroupWriter == nil {
		return quarantine(fmt.Errorf("%s can't make groups", conn.Name), "make the group by hand in the product")
	}
	row := GroupRow{Product: v.Op.Product, Org: v.Op.Org, Name: v.Op.Name}
	done := func(g connectors.Group, how string) Effect {
		row.GroupID = g.ID
		return Effect{Outcome: OutcomeDone, Group: &row, Receipt: Receipt{How: how, GroupID: g.ID}}
	}
	if v.Group != nil && v.Group.GroupID != "" {
		return done(connectors.Group{ID: v.Group.GroupID}, "found")
	}
	tried := v.Group != nil && !v.Group.TriedAt.IsZero()
	if tried {
		// An earlier attempt may have made it. The look-up may be stale, so a miss counts only after the vendor's lag.
		g, err := conn.Groups.FindGroup(ctx, v.Op.Name)
		switch {
		case err == nil:
			// FindGroup alone doesn't finish what CreateGroup also does around the group; CreateGroup is safe to repeat where it matters.
			return done(g, "found")
		case connectors.KindOf(err) != connectors.KindNotFound:
			return retry(err)
		case now.Sub(v.Group.TriedAt) <= conn.Limits.Staleness:
			return lag(conn, now, v.Group.TriedAt)
		}
	}
	g, err := conn.GroupWriter.CreateGroup(ctx, connectors.Group{Name: v.Op.Name})
	switch connectors.KindOf(err) {
	case connectors.KindUnknown:
		if err == nil {
			return done(g, "created")
		}
	case connectors.KindConflict:
		found, ferr := conn.Groups.FindGroup(ctx, v.Op.Name)
		if ferr == nil {
			return done(found, "adopted")
		}
		return retry(ferr)
	}
	return failed(err)
}

func ensureAccount(ctx context.Context, now time.Time, conn connectors.Opened, v View) Effect {
	if conn.Accounts == nil || conn.AccountWriter == nil {
		return quarantine(fmt.Errorf("%s can't make accounts", conn.Name), "make the account by hand in the product")
	}
	op := v.Op
	if v.Left[op.Person] {
		return leftMeanwhile(ctx, conn, v)
	}
	if v.Moved[op.Person] {
		return Effect{Outcome: OutcomeDropped, Reason: "the person's organization changed since the plan was made"}
	}
	row, exists := v.Accounts[op.Person]
	if (op.After.Guest || row.Attributes.Guest) && conn.Guests == nil {
		return quarantine(fmt.Errorf("%s can't make guests", conn.Name), "make the guest by hand in the product")
	}
	if exists && row.State == StateActive && equivalent(row.Attributes, *op.After, op.Seat) {
		// Nothing to say to the product; the ledger may have to learn a new organization.
		row.Org, row.Seat = op.Org, op.Seat
		return Effect{Outcome: OutcomeDone, Account: &row, Receipt: Receipt{How: "found", AccountID: row.AccountID}}
	}
	if before := fingerprintOf(row, exists); before != op.Before {
		return Effect{Outcome: OutcomeDropped, Reason: "the account changed since the plan was made"}
	}
	want := account(op)
	if exists && row.AccountID != "" {
		want.ID = row.AccountID
		how := "updated"
		if row.State == StateDisabled {
			how = "enabled"
		}
		if row.Attributes.Guest != op.After.Guest {
			if err := conn.Guests.SetGuest(ctx, row.AccountID, connectors.Guest{Guest: op.After.Guest}); err != nil {
				return failedIdempotent(err)
			}
		}
		got, err := conn.AccountWriter.UpdateAccount(ctx, want)
		if err != nil {
			return failedIdempotent(err)
		}
		return ensured(op, got, how)
	}
	if exists && !row.TriedAt.IsZero() {
		got, err := conn.Accounts.FindAccount(ctx, want)
		switch {
		case err == nil:
			return adopt(ctx, conn, v, want, got)
		case connectors.KindOf(err) != connectors.KindNotFound:
			return retry(err)
		case now.Sub(row.TriedAt) <= conn.Limits.Staleness:
			return lag(conn, now, row.TriedAt)
		}
	}
	got, err := create(ctx, conn, want, op.After.Guest)
	switch connectors.KindOf(err) {
	case connectors.KindUnknown:
		if err == nil {
			return ensured(op, got, "created")
		}
	case connectors.KindConflict:
		found, ferr := conn.Accounts.FindAccount(ctx, want)
		if ferr == nil {
			return adopt(ctx, conn, v, want, found)
		}
		if connectors.KindOf(ferr) == connectors.KindNotFound && exists && !row.TriedAt.IsZero() && now.Sub(row.TriedAt) > 10*conn.Limits.Staleness+time.Minute {
			return quarantine(err, "the address is taken by an account that can't be found by it: look in the product")
		}
		return retry(ferr)
	}
	return failed(err)
}

// leftMeanwhile drops a grant to somebody who has left. An attempt that died may have given the access back after the leaver's own work was
// done, so it is ended once more.
func leftMeanwhile(ctx context.Context, conn connectors.Opened, v View) Effect {
	e := Effect{Outcome: OutcomeDropped, Reason: "the person left meanwhile"}
	row, exists := v.Accounts[v.Op.Person]
	if !v.Tried || !exists || row.AccountID == "" {
		return e
	}
	if err := conn.AccountWriter.DisableAccount(connectors.WithUrgent(ctx), row.AccountID); err != nil && connectors.KindOf(err) != connectors.KindNotFound {
		return failedIdempotent(err)
	}
	row.State, row.Attributes.Active, row.TriedAt = StateDisabled, false, time.Time{}
	e.Account, e.Receipt = &row, Receipt{How: "disabled", AccountID: row.AccountID}
	return e
}

func create(ctx context.Context, conn connectors.Opened, want connectors.Account, guest bool) (connectors.Account, error) {
	if guest {
		return conn.Guests.CreateGuest(ctx, want, time.Time{})
	}
	return conn.AccountWriter.CreateAccount(ctx, want)
}

// adopt takes over an account that exists under the wanted key or address: ours from an attempt whose answer was lost, or one that
// was there before the hub. It refuses one that carries another person's key, or that the ledger gives to somebody else.
func adopt(ctx context.Context, conn connectors.Opened, v View, want, got connectors.Account) Effect {
	if got.Key != "" && want.Key != "" && got.Key != want.Key {
		return quarantine(errors.New("the account with this address carries another person's key"), "find out whose account it is; an address must not be given to a second person")
	}
	rival, err := v.Rival(ctx, v.Op.Product, got.ID)
	if err != nil {
		return retry(err)
	}
	if rival != "" && rival != v.Op.Person {
		return quarantine(fmt.Errorf("the account with this address belongs to person %s", rival), "give this person an address of their own")
	}
	if conn.Guests != nil { // written without looking: a read may be older than what somebody did by hand
		if err := conn.Guests.SetGuest(ctx, got.ID, connectors.Guest{Guest: v.Op.After.Guest}); err != nil {
			return failedIdempotent(err)
		}
	}
	if same(got, want) {
		return ensured(v.Op, got, "adopted")
	}
	want.ID = got.ID
	updated, err := conn.AccountWriter.UpdateAccount(ctx, want)
	if err != nil {
		return failedIdempotent(err)
	}
	return ensured(v.Op, updated, "adopted")
}

func same(got, want connectors.Account) bool {
	return got.Active && strings.EqualFold(got.Email, want.Email) && got.DisplayName == want.DisplayName &&
		(want.Key == "" || got.Key == want.Key) && got.FamilyName == want.FamilyName && got.GivenName == want.GivenName &&
		got.Organization == want.Organization
}

func ensured(op Op, got connectors.Account, how string) Effect {
	if got.ID == "" {
		return retry(&connectors.Error{Kind: connectors.KindProtocol, Vendor: string(op.Product), Op: "ensure account", Detail: "the answer has no account id"})
	}
	row := AccountRow{Product: op.Product, Person: op.Person, Org: op.Org, Seat: op.Seat, AccountID: got.ID, JoinID: got.JoinID, State: StateActive, Attributes: *op.After}
	return Effect{Outcome: OutcomeDone, Account: &row, Receipt: Receipt{How: how, AccountID: got.ID}}
}

func disableAccount(ctx context.Context, conn connectors.Opened, v View) Effect {
	row, exists := v.Accounts[v.Op.Person]
	if !exists || row.State == StateDisabled {
		return Effect{Outcome: OutcomeDone, Receipt: Receipt{How: "found"}}
	}
	if conn.AccountWriter == nil {
		return quarantine(fmt.Errorf("%s can't disable accounts", conn.Name), "disable the account by hand in the product")
	}
	if row.AccountID == "" {
		return Effect{Outcome: OutcomeDropped, Reason: "the account isn't confirmed yet"}
	}
	if v.Op.Before != "" && row.Attributes.Fingerprint() != v.Op.Before {
		return Effect{Outcome: OutcomeDropped, Reason: "the account changed since the plan was made"}
	}
	if err := conn.AccountWriter.DisableAccount(ctx, row.AccountID); err != nil && connectors.KindOf(err) != connectors.KindNotFound {
		return failedIdempotent(err)
	}
	row.State, row.Attributes.Active, row.TriedAt = StateDisabled, false, time.Time{}
	return Effect{Outcome: OutcomeDone, Account: &row, Receipt: Receipt{How: "disabled", AccountID: row.AccountID}}
}

func addMembers(ctx context.Context, conn connectors.Opened, v View) Effect {
	if conn.GroupWriter == nil {
		return quarantine(fmt.Errorf("%s can't change groups", conn.Name), "change the group by hand in the product")
	}
	if v.Group == nil || v.Group.GroupID == "" {
		return Effect{Outcome: OutcomeDropped, Reason: "the organization's group couldn't be made"}
	}
	var ids, out []string
	e := Effect{Outcome: OutcomeDone, Receipt: Receipt{How: "added", GroupID: v.Group.GroupID}}
	for _, m := range v.Op.Members {
		row, ok := v.Accounts[m]
		if ok && v.Left[m] && v.Tried && row.AccountID != "" {
			// An attempt that died may have let this person in after the leaver's own work was done.
			out = append(out, row.AccountID)
			e.Removed = append(e.Removed, m)
		}
		// Whoever left, moved or has no confirmed account is planned anew; the others must not wait.
		here := row.Org == v.Op.Org || v.Beside[m] // whose account is of another organization is here by a second post 兼務 alone
		if ok && here && row.State == StateActive && !v.Left[m] && !v.Inside[m] && !v.Moved[m] {
			ids = append(ids, row.AccountID)
			e.Added = append(e.Added, m)
			continue
		}
		e.Receipt.LeftOut = append(e.Receipt.LeftOut, m)
	}
	if len(out) > 0 {
		if err := conn.GroupWriter.RemoveMembers(ctx, v.Group.GroupID, out); err != nil && connectors.KindOf(err) != connectors.KindNotFound {
			return failedIdempotent(err)
		}
	}
	if len(ids) == 0 {
		return Effect{Outcome: OutcomeDropped, Removed: e.Removed, Reason: "none of the people has an active account"}
	}
	if err := conn.GroupWriter.AddMembers(ctx, v.Group.GroupID, ids); err != nil {
		return refused(ctx, conn, v, err, e.Added, e.Removed)
	}
	return e
}

func removeMembers(ctx context.Context, conn connectors.Opened, v View) Effect {
	if conn.GroupWriter == nil {
		return quarantine(fmt.Errorf("%s can't change groups", conn.Name), "change the group by hand in the product")
	}
	e := Effect{Outcome: OutcomeDone, Removed: slices.Clone(v.Op.Members), Receipt: Receipt{How: "removed"}}
	if v.Group == nil || v.Group.GroupID == "" {
		return e
	}
	e.Receipt.GroupID = v.Group.GroupID
	var ids []string
	var people []policies.PersonID
	for _, m := range v.Op.Members {
		if row, ok := v.Accounts[m]; ok && row.AccountID != "" {
			ids = append(ids, row.AccountID)
			people = append(people, m)
		}
	}
	if len(ids) == 0 {
		return e
	}
	err := conn.GroupWriter.RemoveMembers(ctx, v.Group.GroupID, ids)
	switch {
	case err == nil, connectors.KindOf(err) == connectors.KindNotFound && len(ids) == 1:
		return e
	}
	return refused(ctx, conn, v, err, people, nil)
}

func fingerprintOf(row AccountRow, exists bool) string {
	if !exists || row.State == StateCreating {
		return ""
	}
	return row.Attributes.Fingerprint()
}

func account(op Op) connectors.Account {
	a := op.After
	return connectors.Account{
		Key: string(op.Person), Email: a.Email, UserName: a.UserName, DisplayName: a.DisplayName, FamilyName: a.FamilyName,
		GivenName: a.GivenName, Organization: a.Organization, Language: a.Language, TimeZone: a.TimeZone, Active: a.Active,
	}
}

// failed maps an error of a call that must not be repeated blindly.
func failed(err error) Effect {
	switch connectors.KindOf(err) {
	case connectors.KindInvalid:
		return quarantine(err, "correct the person or the product's settings; the object is planned anew")
	case connectors.KindThrottled, connectors.KindUnavailable, connectors.KindCanceled, connectors.KindAuth:
		e := retry(err)
		e.Untried = true
		return e
	}
	return retry(err)
}

// failedIdempotent maps an error of a call that may be repeated.
func failedIdempotent(err error) Effect {
	e := failed(err)
	e.Untried = false
	return e
}

func retry(err error) Effect {
	after := connectors.RetryAfterOf(err)
	slot, limit := connectors.KindOf(err) == connectors.KindThrottled && after > 0, maxWait
	if slot { // coming back before the slot would only meet all the others who do
		limit = maxSlot
	}
	switch {
	case connectors.KindOf(err) == connectors.KindAuth:
		after = max(after, 10*time.Second) // a person has to renew the credential
	case after <= 0:
		after = minWait
	}
	return Effect{Outcome: OutcomeRetry, Reason: err.Error(), Failure: connectors.KindOf(err).String(), After: min(after, limit), Slot: slot, Poison: !connectors.KindOf(err).Retriable() && connectors.KindOf(err) != connectors.KindAuth}
}

func wait(reason string, d time.Duration) Effect {
	return Effect{Outcome: OutcomeRetry, Reason: reason, After: min(max(d, minWait), maxWait)}
}

// lag waits until the vendor's look-up must show what the attempt at tried may have made. This attempt only looked, so the lag
// still counts from that one: counted from this one, each look would start the wait anew.
func lag(conn connectors.Opened, now, tried time.Time) Effect {
	e := wait("the vendor's look-up may lag", conn.Limits.Staleness-now.Sub(tried))
	e.Untried, e.Tried = true, tried
	return e
}

func quarantine(err error, remedy string) Effect {
	return Effect{Outcome: OutcomeQuarantined, Reason: err.Error() + "; " + remedy, Words: err.Error(), Remedy: remedy}
}
