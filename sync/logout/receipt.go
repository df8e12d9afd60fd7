package logout

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/oidcop"
	"github.com/musubi-hub/musubi/identity/samlidp"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/policies"
)

// Protocol says by which issuer a relying party was told.
type Protocol string

// The protocols.
const (
	OpenID Protocol = "openid"
	SAML   Protocol = "saml"
)

// State is where the telling of one relying party stands.
type State string

// The states; the last three are SAML's alone.
const (
	Pending     State = "pending"     // a job tells it
	Delivered   State = "delivered"   // it has taken the logout
	Failed      State = "failed"      // it refused, or didn't answer for a day
	Partial     State = "partial"     // it has taken the logout, and somebody behind it couldn't be told
	Unconfirmed State = "unconfirmed" // it was told, and nothing proves what it did
	Untold      State = "untold"      // it wasn't told, and no job will
)

// States lists the states.
func States() []State { return []State{Pending, Delivered, Failed, Partial, Unconfirmed, Untold} }

// ErrNotFailed says that a logout isn't one that can be taken up again.
var ErrNotFailed = errors.New("only a logout that failed, or isn't proven, and goes without a browser is taken up again")

// Receipt is a logout of either protocol, and what became of it. Times are UTC in microseconds.
type Receipt struct {
	Protocol     Protocol
	ID           string
	RelyingParty policies.RelyingPartyID
	Network      policies.Network
	Session      identity.SessionID
	Channel      string // "backchannel" (OpenID), or a samlidp.Channel
	State        State
	Tries        int
	Status       int    // HTTP status of the newest try; 0 for no answer
	Why          string // machine-readable
	Until        int64  // SAML: its session ends then at the latest; 0: unknown
	CreatedAt    int64
	SettledAt    int64 // as the issuers say
}

// ofOpenID and ofSAML make receipts of the issuers' own.
func ofOpenID(l oidcop.Logout) Receipt {
	return Receipt{OpenID, l.ID, l.RelyingParty, l.Network, l.Session, "backchannel", State(l.State), l.Tries, l.Status, l.Why, 0, l.CreatedAt, l.SettledAt}
}

func ofSAML(l samlidp.Logout) Receipt {
	return Receipt{SAML, l.ID, l.RelyingParty, l.Network, l.Session, string(l.Channel), State(l.State), l.Tries, l.Status, l.Why, l.Until, l.CreatedAt, l.SettledAt}
}

// Filter narrows a list; the zero filter is the newest of all.
type Filter struct {
	States       []State // empty: any
	Late         bool    // only those that were sent and aren't taken
	RelyingParty policies.RelyingPartyID
	Session      identity.SessionID
	Before       string // the last logout of the page before
	Limit        int    // 1 to MaxReceipts
}

// MaxReceipts is the longest page.
const MaxReceipts = min(oidcop.MaxReceipts, samlidp.MaxReceipts)

// Receipts reads the receipts of both protocols.
type Receipts struct{ DB *sqldb.DB }

func (r Receipts) openid() oidcop.Receipts { return oidcop.Receipts{DB: r.DB} }
func (r Receipts) saml() samlidp.Receipts  { return samlidp.Receipts{DB: r.DB} }

// Receipt gives the logout of an id, of whichever protocol; the error wraps identity.ErrNotFound where there is none.
func (r Receipts) Receipt(ctx context.Context, id string) (Receipt, error) {
	l, err := r.openid().Logout(ctx, id)
	if err == nil || !errors.Is(err, identity.ErrNotFound) {
		return ofOpenID(l), err
	}
	s, err := r.saml().Logout(ctx, id)
	if errors.Is(err, identity.ErrNotFound) {
		err = fmt.Errorf("logout %s: %w", id, identity.ErrNotFound)
	}
	return ofSAML(s), err
}

// List gives logouts of both, the newest first.
func (r Receipts) List(ctx context.Context, f Filter) ([]Receipt, error) {
	if f.Limit < 1 || f.Limit > MaxReceipts {
		return nil, fmt.Errorf("logout: a page of %d: want 1 to %d", f.Limit, MaxReceipts)
	}
	states := f.States
	if f.Late {
		states = slices.DeleteFunc(States(), func(s State) bool {
			return s == Delivered || s == Partial || len(f.States) > 0 && !slices.Contains(f.States, s)
		})
	}
	of := oidcop.ReceiptFilter{Late: f.Late, RelyingParty: f.RelyingParty, Session: f.Session, Limit: f.Limit}
	sf := samlidp.ReceiptFilter{Tried: f.Late, RelyingParty: f.RelyingParty, Session: f.Session, Limit: f.Limit}
	for _, s := range states {
		sf.States = append(sf.States, samlidp.LogoutState(s))
		if s == Pending || s == Delivered || s == Failed {
			of.States = append(of.States, oidcop.LogoutState(s))
		}
	}
	if f.Before != "" {
		last, err := r.Receipt(ctx, f.Before)
		if err != nil {
			return nil, err
		}
		of.BeforeAt, of.Before, sf.BeforeAt, sf.Before = last.CreatedAt, last.ID, last.CreatedAt, last.ID
	}
	var all []Receipt
	if len(states) == 0 || len(of.States) > 0 {
		list, err := r.openid().List(ctx, of)
		if err != nil {
			return nil, err
		}
		for _, l := range list {
			all = append(all, ofOpenID(l))
		}
	}
	list, err := r.saml().List(ctx, sf)
	if err != nil {
		return nil, err
	}
	for _, l := range list {
		all = append(all, ofSAML(l))
	}
	slices.SortFunc(all, func(a, b Receipt) int { return cmp.Or(cmp.Compare(b.CreatedAt, a.CreatedAt), cmp.Compare(b.ID, a.ID)) })
	return all[:min(len(all), f.Limit)], nil
}

// Open counts the logouts of both that relying parties haven't taken, by state.
func (r Receipts) Open(ctx context.Context) (map[State]int, error) {
	open := map[State]int{}
	first, err := r.openid().Open(ctx)
	if err != nil {
		return nil, err
	}
	second, err := r.saml().Open(ctx)
	if err != nil {
		return nil, err
	}
	for s, n := range first {
		open[State(s)] += n
	}
	for s, n := range second {
		open[State(s)] += n
	}
	return open, nil
}

// Reopen makes a logout pending again, in the caller's transaction with its audit row, and enqueues its delivery. scope is the actor's for jobs.write
// over the whole workspace. ErrNotFailed where it can't be.
func (r Receipts) Reopen(ctx context.Context, tx *sql.Tx, e *Enqueuer, by access.Actor, scope policies.Scope, id string, at int64) (Protocol, error) {
	p := OpenID
	_, err := r.openid().Reopen(ctx, tx, by, scope, id, at)
	if errors.Is(err, identity.ErrNotFound) {
		p = SAML
		_, err = r.saml().Reopen(ctx, tx, by, scope, id, at)
	}
	if errors.Is(err, identity.ErrNotFound) {
		return p, fmt.Errorf("logout %s: %w", id, identity.ErrNotFound)
	}
	if errors.Is(err, oidcop.ErrNotFailed) || errors.Is(err, samlidp.ErrNotFailed) {
		return p, fmt.Errorf("%w: %w", ErrNotFailed, err)
	}
	if err != nil {
		return p, err
	}
	return p, e.Again(ctx, tx, p, id, at)
}
