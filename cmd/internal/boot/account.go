package boot

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/entrance"
	"github.com/musubi-hub/musubi/identity/invitation"
	"github.com/musubi-hub/musubi/identity/mynumber"
	"github.com/musubi-hub/musubi/identity/oidcop"
	"github.com/musubi-hub/musubi/identity/oidcop/party"
	"github.com/musubi-hub/musubi/identity/password"
	"github.com/musubi-hub/musubi/identity/ppid"
	"github.com/musubi-hub/musubi/identity/samlidp"
	"github.com/musubi-hub/musubi/identity/samlidp/sp"
	"github.com/musubi-hub/musubi/identity/session"
	"github.com/musubi-hub/musubi/policies"
)

// cardLinkKey names the key under which cards are known (identity/mynumber).
const cardLinkKey = "musubi card link v1"

// Accounts are the stores of login, for commands and for the hub that serves it.
type Accounts struct {
	Parties     *party.Registry
	Sessions    *session.Store
	Passwords   *password.Store
	Invitations *invitation.Store
	Links       *mynumber.Links
	Releases    mynumber.Releases
	Subjects    *ppid.Store
}

// leavers hands leavers to their sessions and to the engine of jobs. The sessions are set once, before anything is written: they are made over the
// directory, which takes this.
type leavers struct{ session.Leavers }

// makeSessions makes the sessions over the directory, and lets the directory's leavers end theirs.
func (h *Hub) makeSessions(leaving *leavers) {
	h.Parties = party.NewRegistry(h.DB).Share(entrance.Names{Issuer: identity.IssuerOIDC})
	h.SPs = sp.NewRegistry(h.DB).Share(entrance.Names{Issuer: identity.IssuerSAML})
	h.Metadata = sp.NewSources(h.DB, h.Dated)
	h.Entrances = entrance.New(h.DB, h.Parties, h.SPs)
	h.Posts = access.NewPosts(h.Directory)
	h.Sessions = session.New(h.DB, h.Resolver, h.Posts, h.Engine, oidcop.Endings{
		Parties: h.Parties, Enqueue: h.Logouts, Now: h.Now, Random: rand.Reader,
	}, samlidp.Endings{
		Parties: h.SPs, Enqueue: h.Logouts.SAML(), Now: h.Now, Random: rand.Reader,
	})
	leaving.Sessions = h.Sessions
}

// Accounts opens the stores of login. It takes the sealing key: cards and pairwise identifiers are kept under keys of its own. It is made once.
func (h *Hub) Accounts(ctx context.Context) (*Accounts, error) {
	if h.accounts != nil {
		return h.accounts, nil
	}
	subjects, err := h.Subjects(ctx)
	if err != nil {
		return nil, err
	}
	a := &Accounts{Parties: h.Parties, Subjects: subjects, Sessions: h.Sessions, Invitations: invitation.New(h.DB, rand.Reader)}
	if a.Passwords, err = h.passwords(); err != nil {
		return nil, err
	}
	key, err := h.seal.Derive(cardLinkKey)
	if err != nil {
		return nil, err
	}
	if a.Links, err = mynumber.NewLinks(h.DB, key, h.Resolver); err != nil {
		return nil, err
	}
	if err := a.Links.Check(ctx); err != nil {
		return nil, Refused(err)
	}
	a.Releases = mynumber.Releases{Links: a.Links, Sessions: h.Sessions, Notices: h.Persons}
	h.accounts = a
	return a, nil
}

func (h *Hub) passwords() (*password.Store, error) {
	cfg := password.Config{DB: h.DB, Names: h.Directory, Sessions: h.Sessions, Breached: noList{}, Cost: password.DefaultCost, Random: rand.Reader}
	if file := h.Config.Password.BreachedFile; file != "" {
		f, err := os.Open(file) // #nosec G304 -- the administrator names the file; it stays open as long as the process
		if err != nil {
			return nil, Usage(fmt.Errorf("password.breached_file: %w", err))
		}
		info, err := f.Stat()
		if err == nil && !info.Mode().IsRegular() {
			err = fs.ErrInvalid
		}
		if err == nil {
			cfg.Breached, err = password.NewList(f, info.Size())
		}
		if err != nil {
			return nil, Usage(errors.Join(fmt.Errorf("password.breached_file %s: %w", file, err), f.Close()))
		}
	}
	return password.New(cfg)
}

// noList is the list of breached passwords where none is configured.
type noList struct{}

func (noList) Contains(string) (bool, error) { return false, nil }

// Subjects gives the pairwise names of people. It reads the sealing key where nobody did before.
func (h *Hub) Subjects(ctx context.Context) (*ppid.Store, error) {
	if h.seal == nil {
		if err := h.Unseal(ctx); err != nil {
			return nil, err
		}
	}
	return ppid.New(h.seal, rand.Reader)
}

// Person gives a person in one of their posts, as the OpenID provider asks for them (oidcop.People).
func (h *Hub) Person(ctx context.Context, id policies.PersonID, org policies.OrgID) (identity.Person, identity.Organization, error) {
	a, err := h.Resolver.Person(ctx, id)
	if err == nil {
		a, err = h.Posts.ActIn(ctx, a, org, h.Now().UnixMicro())
	}
	return a.Person, a.Org, err
}
