package login

import (
	"context"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/audit"
	"github.com/musubi-hub/musubi/identity/session"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/policies"
)

// CookieName is the name of the cookie that binds requests to the browser that began them.
const CookieName = "__Host-musubi-login"

// idBytes is how long a request's id is before it becomes text.
const idBytes = 16

// Policy is what the dispatcher asks the policies: policies.Engine.
type Policy interface {
	MayEnter(p policies.Person, rp policies.RelyingParty, in policies.Entry) (policies.Decision, error)
	Release(p policies.Person, rp policies.RelyingParty) ([]policies.Attribute, []string, error)
}

// Posts gives the posts in which somebody may act: access.Posts.
type Posts interface {
	Choices(ctx context.Context, a access.Actor, at int64) ([]access.Actor, error)
}

// Parties knows the relying parties; identity.ErrNotFound for an unknown one.
type Parties interface {
	Party(ctx context.Context, id policies.RelyingPartyID) (policies.RelyingParty, error)
}

// Config is what a dispatcher is made of. Everything is required.
type Config struct {
	DB       *sqldb.DB
	Now      func() time.Time
	Random   io.Reader // cryptographically strong
	People   session.People
	Posts    Posts
	Policy   Policy
	Parties  Parties
	Sessions *session.Store
	Offers   map[identity.MethodID]Offer
	Issuers  map[identity.IssuerID]Issuer

	// ReturnTo gives the address, on the login host of a network, at which a browser comes back from a method's own host with a code.
	ReturnTo func(n policies.Network, id identity.LoginID, code string) string
}

// Dispatcher leads every login. It is safe for concurrent use and remembers nothing of a login.
type Dispatcher struct {
	cfg       Config
	strangers audit.Throttle // of refusals that anybody can cause, who has begun nothing here
}

// strangersPerSecond bounds the recorded refusals of one reason, of requests that aren't known to be the browser's own.
const strangersPerSecond = 20

// New makes a dispatcher.
func New(cfg Config) (*Dispatcher, error) {
	switch {
	case cfg.DB == nil || cfg.Now == nil || cfg.Random == nil || cfg.People == nil || cfg.Posts == nil || cfg.Policy == nil || cfg.Parties == nil ||
		cfg.Sessions == nil || cfg.ReturnTo == nil:
		return nil, errors.New("login: a dispatcher lacks a part")
	case len(cfg.Offers) == 0 || len(cfg.Issuers) == 0:
		return nil, errors.New("login: a dispatcher without methods or issuers lets nobody in")
	}
	for id, o := range cfg.Offers {
		_, links := o.Method.(Linker)
		switch {
		case o.Method == nil || len(o.Networks) == 0 || !slices.Contains(policies.Assurances(), o.Reach):
			return nil, fmt.Errorf("login: method %s lacks its code, its networks or its reach", id)
		case o.Use != UseLogin && o.Use != UseLink, links && o.Use != UseLogin:
			return nil, fmt.Errorf("login: method %s is registered for %q", id, o.Use)
		}
	}
	cfg.Offers, cfg.Issuers = maps.Clone(cfg.Offers), maps.Clone(cfg.Issuers)
	return &Dispatcher{cfg: cfg, strangers: audit.Throttle{PerSecond: strangersPerSecond}}, nil
}

// Visit is a browser at a request. The edge fills it in; the network is decided from the listener, TLS or a trusted proxy.
type Visit struct {
	ID      identity.LoginID
	Browser session.Secret // of the login cookie
	Session session.Secret // of the session cookie
	Network policies.Network
	Address string // of the browser, for the audit log's personal data
	Agent   string // what it calls itself
}

// Next is what the browser sees or does next. Exactly one of Methods, Instruction, Posts and Answer is set; Refusal may stand beside any of them,
// and stands alone where the request isn't known to be this browser's.
type Next struct {
	Request     Request
	Form        string              // form token that each POST to the dispatcher carries
	Methods     []identity.MethodID // use one of them: Begin
	Linking     bool                // ... to link a card that isn't anybody's yet
	Instruction *Instruction        // do this
	Ticket      string              // of the attempt, where Instruction is a page
	Posts       []access.Actor      // choose one: Choose
	Answer      *Answer             // take this to the relying party
	Session     session.Secret      // the new session's cookie; zero where there is none
	Refusal     *Refusal
}

// Start keeps the request that an issuer has checked, for the browser that brought it. browser is the login cookie that the browser sent; the
// secret that comes back is to be set as that cookie.
func (d *Dispatcher) Start(ctx context.Context, a Ask, browser session.Secret) (Request, session.Secret, error) {
	if err := a.check(); err != nil {
		return Request{}, session.Secret{}, err
	}
	if _, ok := d.cfg.Issuers[a.Issuer]; !ok {
		return Request{}, session.Secret{}, fmt.Errorf("login: no issuer is called %q", a.Issuer)
	}
	if browser.Zero() { // several requests of one browser share its cookie, so that two tabs don't end each other
		var err error
		if browser, err = session.NewSecret(d.cfg.Random); err != nil {
			return Request{}, session.Secret{}, err
		}
	}
	id, err := d.draw(idBytes)
	if err != nil {
		return Request{}, session.Secret{}, err
	}
	now := d.cfg.Now()
	r := Request{
		Ask: a, ID: identity.LoginID(id), CreatedAt: now.UnixMicro(), ExpiresAt: now.Add(Lifetime).UnixMicro(), State: StateOpen, browser: browser.Hash(),
	}
	if err := d.cfg.DB.Group(ctx, func(ctx context.Context, tx *sql.Tx) error { return insert(ctx, tx, r) }); err != nil {
		return Request{}, session.Secret{}, err
	}
	return r, browser, nil
}

// draw gives n random bytes as base64url.
func (d *Dispatcher) draw(n int) (string, error) {
	b := make([]byte, n)
	if _, err := io.ReadFull(d.cfg.Random, b); err != nil {
		return "", fmt.Errorf("login: no randomness: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(b), nil
}

// View gives the next step of the visit's request; it may be the answer, when a session does.
func (d *Dispatcher) View(ctx context.Context, v Visit) (Next, error) {
	r, refused, err := d.own(ctx, v)
	if refused != nil || err != nil {
		return Next{Refusal: refused}, err
	}
	return d.next(ctx, v, r, nil)
}

// Begin starts a method.
func (d *Dispatcher) Begin(ctx context.Context, v Visit, form string, m identity.MethodID) (Next, error) {
	return d.moved(ctx, v, form, func(r Request) (Next, error) {
		now := d.cfg.Now()
		s, _, err := d.step(ctx, v, r)
		if err != nil {
			return Next{}, err
		}
		if s.kind != stepMethods {
			return d.next(ctx, v, r, nil)
		}
		if !slices.Contains(s.methods, m) {
			return d.retry(ctx, v, r, ReasonMethod, "", nil)
		}
		ticket, err := d.draw(32)
		if err != nil {
			return Next{}, err
		}
		a := Attempt{Login: r.ID, Network: r.Network, Ticket: ticket, At: now.UnixMicro(), Until: r.ExpiresAt, Address: v.Address}
		err = d.cfg.DB.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
			if err := count(ctx, tx, r.ID); err != nil {
				return err
			}
			return insertAttempt(ctx, tx, ticket, attempt{request: r.ID, method: m, expiresAt: a.Until}, a.At)
		})
		if errors.Is(err, errNot) {
			return d.again(ctx, v, r)
		}
		if err != nil {
			return Next{}, err
		}
		r.Attempts++
		do, err := d.cfg.Offers[m].Method.Begin(ctx, a)
		if err != nil {
			return Next{}, fmt.Errorf("login: begin %s: %w", m, err)
		}
		return Next{Request: r, Form: formToken(v.Browser, r.ID), Instruction: &do, Ticket: ticket}, nil
	})
}

// again reads the request anew, after it has moved on under a step.
func (d *Dispatcher) again(ctx context.Context, v Visit, r Request) (Next, error) {
	r, err := read(ctx, d.cfg.DB.Reader(), r.ID)
	if err != nil {
		return Next{}, err
	}
	return d.next(ctx, v, r, nil)
}

// Choose notes the post in which the person acts.
func (d *Dispatcher) Choose(ctx context.Context, v Visit, form string, org policies.OrgID) (Next, error) {
	return d.moved(ctx, v, form, func(r Request) (Next, error) {
		s, _, err := d.step(ctx, v, r)
		if err != nil {
			return Next{}, err
		}
		if s.kind != stepPosts {
			return d.next(ctx, v, r, nil)
		}
		if !slices.Contains(s.posts, org) {
			return d.retry(ctx, v, r, ReasonPost, "", nil)
		}
		err = d.cfg.DB.WithTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
			return one(tx.ExecContext(ctx, `UPDATE login_request SET post = $1 WHERE id = $2 AND state = $3`, string(org), string(r.ID), string(StateOpen)))
		})
		if err != nil && !errors.Is(err, errNot) {
			return Next{}, err
		}
		return d.again(ctx, v, r)
	})
}

// Cancel ends the request at the person's wish.
func (d *Dispatcher) Cancel(ctx context.Context, v Visit, form string) (Next, error) {
	return d.moved(ctx, v, form, func(r Request) (Next, error) {
		if r.State != StateOpen {
			return d.next(ctx, v, r, nil)
		}
		return d.refuse(ctx, v, r, refused{reason: ReasonCancelled})
	})
}

// moved runs a step that the browser posted, after it is known to be the browser's own wish.
func (d *Dispatcher) moved(ctx context.Context, v Visit, form string, fn func(Request) (Next, error)) (Next, error) {
	r, refusal, err := d.own(ctx, v)
	if refusal != nil || err != nil {
		return Next{Refusal: refusal}, err
	}
	if !formOK(v.Browser, r.ID, form) {
		refusal, err := d.record(ctx, v, r.ID, refused{reason: ReasonCSRF})
		return Next{Refusal: refusal}, err
	}
	return fn(r)
}
