package access

import (
	"context"
	"fmt"
	"slices"

	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/policies"
)

// PostSource gives the posts that a person holds beside the main one, at a time (UTC, microseconds), with their organizations, which exist
// then: concurrent posts 兼務 and handovers 引継ぎ, not the home post of a seconded person. identity/directory implements it.
type PostSource interface {
	ActorSource
	Held(ctx context.Context, p policies.PersonID, at int64) ([]identity.Post, []identity.Organization, error)
}

// Posts lets a person act in one of several posts.
type Posts struct{ source PostSource }

// NewPosts makes it.
func NewPosts(source PostSource) *Posts { return &Posts{source: source} }

// Choices gives the actor once for each organization in which they hold a post, the main one first. In an organization where somebody holds
// several posts the main one counts, else the one that began first.
func (p *Posts) Choices(ctx context.Context, a Actor, at int64) ([]Actor, error) {
	if a.Kind != KindPerson {
		return nil, fmt.Errorf("%w: an actor of kind %q holds no post", identity.ErrRefused, a.Kind)
	}
	held, orgs, err := p.source.Held(ctx, a.Person.ID, at)
	if err != nil {
		return nil, fmt.Errorf("posts of the acting person: %w", err)
	}
	if len(held) != len(orgs) {
		return nil, fmt.Errorf("posts of the acting person: %d posts with %d organizations", len(held), len(orgs))
	}
	all := []Actor{a}
	for i, h := range held {
		if slices.ContainsFunc(all, func(x Actor) bool { return x.Org.ID == h.Org }) {
			continue
		}
		if h.Person != a.Person.ID || orgs[i].ID != h.Org {
			return nil, fmt.Errorf("posts of the acting person: asked for %s, got one of %s in %s", a.Person.ID, h.Person, h.Org)
		}
		x := a
		x.Person.Org, x.Person.Role, x.Person.Section, x.Person.Title, x.Person.Duties = h.Org, h.Role, h.Section, h.Title, h.Duties
		x.Org, x.Post = orgs[i], h.Org
		related, err := p.source.Relations(ctx, x.Person, x.Org)
		if err != nil {
			return nil, fmt.Errorf("posts of the acting person: %w", err)
		}
		x.Relations = &related
		all = append(all, x)
	}
	return all, nil
}

// ActIn gives the actor in their post in org; identity.ErrNotFound where they hold none.
func (p *Posts) ActIn(ctx context.Context, a Actor, org policies.OrgID, at int64) (Actor, error) {
	if a.Kind == KindPerson && a.Org.ID == org {
		return a, nil
	}
	all, err := p.Choices(ctx, a, at)
	if err != nil {
		return Actor{}, err
	}
	for _, x := range all {
		if x.Org.ID == org {
			return x, nil
		}
	}
	return Actor{}, fmt.Errorf("a post of %s in %s: %w", a.Person.ID, org, identity.ErrNotFound)
}
