package connectortest

import (
	"context"
	"fmt"
	"slices"

	"github.com/musubi-hub/musubi/connectors"
)

type bug struct {
	name    string
	section string // of the cases that most likely catch it; empty: accounts and groups
	plant   func(product) connectors.Connector
	// A bug beyond accounts and groups has needs, and plantAny instead of plant.
	needs    func(connectors.Opened) bool
	plantAny func(connectors.Connector) connectors.Connector
}

// into plants the bug.
func (b bug) into(conn connectors.Connector) (connectors.Connector, error) {
	if b.plantAny != nil {
		return b.plantAny(conn), nil
	}
	whole, ok := conn.(product)
	if !ok {
		return nil, fmt.Errorf("%T lacks a capability: bugs are planted in connectors that have all", conn)
	}
	return b.plant(whole), nil
}

// sick is a connector in which single calls are replaced.
type sick struct {
	product
	find    func(context.Context, connectors.Account) (connectors.Account, error)
	list    func(context.Context, func([]connectors.Account) error) error
	create  func(context.Context, connectors.Account) (connectors.Account, error)
	update  func(context.Context, connectors.Account) (connectors.Account, error)
	disable func(context.Context, string) error
	group   func(context.Context, connectors.Group) (connectors.Group, error)
	members func(context.Context, string, func([]string) error) error
	add     func(context.Context, string, []string) error
	remove  func(context.Context, string, []string) error
}

func (s sick) FindAccount(ctx context.Context, want connectors.Account) (connectors.Account, error) {
	if s.find != nil {
		return s.find(ctx, want)
	}
	return s.product.FindAccount(ctx, want)
}

func (s sick) ListAccounts(ctx context.Context, page func([]connectors.Account) error) error {
	if s.list != nil {
		return s.list(ctx, page)
	}
	return s.product.ListAccounts(ctx, page)
}

func (s sick) CreateAccount(ctx context.Context, want connectors.Account) (connectors.Account, error) {
	if s.create != nil {
		return s.create(ctx, want)
	}
	return s.product.CreateAccount(ctx, want)
}

func (s sick) UpdateAccount(ctx context.Context, want connectors.Account) (connectors.Account, error) {
	if s.update != nil {
		return s.update(ctx, want)
	}
	return s.product.UpdateAccount(ctx, want)
}

func (s sick) DisableAccount(ctx context.Context, id string) error {
	if s.disable != nil {
		return s.disable(ctx, id)
	}
	return s.product.DisableAccount(ctx, id)
}

func (s sick) CreateGroup(ctx context.Context, want connectors.Group) (connectors.Group, error) {
	if s.group != nil {
		return s.group(ctx, want)
	}
	return s.product.CreateGroup(ctx, want)
}

func (s sick) ListMembers(ctx context.Context, id string, page func([]string) error) error {
	if s.members != nil {
		return s.members(ctx, id, page)
	}
	return s.product.ListMembers(ctx, id, page)
}

func (s sick) AddMembers(ctx context.Context, id string, ids []string) error {
	if s.add != nil {
		return s.add(ctx, id, ids)
	}
	return s.product.AddMembers(ctx, id, ids)
}

func (s sick) RemoveMembers(ctx context.Context, id string, ids []string) error {
	if s.remove != nil {
		return s.remove(ctx, id, ids)
	}
	return s.product.RemoveMembers(ctx, id, ids)
}

// changed gives a copy of err's connectors.Error after change, or err where it is none.
func changed(err error, change func(*connectors.Error)) error {
	e, ok := err.(*connectors.Error) //nolint:errorlint // connectors return it unwrapped
	if !ok {
		return err
	}
	c := *e
	change(&c)
	return &c
}

func bugsIn(section string, list []bug) []bug {
	for i := range list {
		list[i].section = section
	}
	return list
}

func planted() []bug {
	return slices.Concat(
		plantedInAccounts(), plantedInGroups(), bugsIn("message", plantedInMessages()), bugsIn("channel", plantedInChannels()),
		bugsIn("mention", plantedInMentions()), bugsIn("event", plantedInEvents()), bugsIn("guest", plantedInGuests()), bugsIn("credential", plantedInCredentials()),
		bugsIn("work", plantedInWork()), bugsIn("mail", plantedInMail()),
	)
}

func plantedInAccounts() []bug {
	return []bug{
		{name: "swallows a conflict", plant: func(p product) connectors.Connector {
			return sick{product: p, create: func(ctx context.Context, want connectors.Account) (connectors.Account, error) {
				a, err := p.CreateAccount(ctx, want)
				if connectors.KindOf(err) == connectors.KindConflict {
					return p.FindAccount(ctx, want)
				}
				return a, err
			}}
		}},
		{name: "reports a lost answer as success", plant: func(p product) connectors.Connector {
			return sick{product: p, create: func(ctx context.Context, want connectors.Account) (connectors.Account, error) {
				a, err := p.CreateAccount(ctx, want)
				if connectors.KindOf(err) == connectors.KindAmbiguous {
					want.ID = "1"
					return want, nil
				}
				return a, err
			}}
		}},
		{name: "sends a create again", plant: func(p product) connectors.Connector {
			return sick{product: p, create: func(ctx context.Context, want connectors.Account) (connectors.Account, error) {
				a, err := p.CreateAccount(ctx, want)
				if connectors.KindOf(err) == connectors.KindAmbiguous {
					if again, second := p.CreateAccount(ctx, want); second == nil {
						return again, nil
					}
				}
				return a, err
			}}
		}},
		{name: "asks again where the credential is refused", plant: func(p product) connectors.Connector {
			return sick{product: p, find: func(ctx context.Context, want connectors.Account) (connectors.Account, error) {
				a, err := p.FindAccount(ctx, want)
				for range 2 {
					if connectors.KindOf(err) == connectors.KindAuth {
						a, err = p.FindAccount(ctx, want)
					}
				}
				return a, err
			}}
		}},
		{name: "storms a vendor that is away", plant: func(p product) connectors.Connector {
			return sick{product: p, disable: func(ctx context.Context, id string) error {
				err := p.DisableAccount(ctx, id)
				if connectors.KindOf(err) == connectors.KindThrottled {
					err = p.DisableAccount(ctx, id)
					for range 3 {
						err = p.DisableAccount(ctx, id)
					}
				}
				return err
			}}
		}},
		{name: "leaks the token", plant: func(p product) connectors.Connector {
			return sick{product: p, find: func(ctx context.Context, want connectors.Account) (connectors.Account, error) {
				a, err := p.FindAccount(ctx, want)
				return a, changed(err, func(e *connectors.Error) { e.Detail += " sent with " + Token })
			}}
		}},
		{name: "takes every failure of a look-up for absence", plant: func(p product) connectors.Connector {
			return sick{product: p, find: func(ctx context.Context, want connectors.Account) (connectors.Account, error) {
				a, err := p.FindAccount(ctx, want)
				return a, changed(err, func(e *connectors.Error) { e.Kind = connectors.KindNotFound })
			}}
		}},
		{name: "finds any account", plant: func(p product) connectors.Connector {
			var last connectors.Account
			return sick{
				product: p,
				create: func(ctx context.Context, want connectors.Account) (connectors.Account, error) {
					a, err := p.CreateAccount(ctx, want)
					if err == nil {
						last = want
					}
					return a, err
				},
				find: func(ctx context.Context, want connectors.Account) (connectors.Account, error) {
					a, err := p.FindAccount(ctx, want)
					if connectors.KindOf(err) == connectors.KindNotFound && last.Email != "" {
						return p.FindAccount(ctx, last)
					}
					return a, err
				},
			}
		}},
		{name: "updates nothing", plant: func(p product) connectors.Connector {
			return sick{product: p, update: func(_ context.Context, want connectors.Account) (connectors.Account, error) { return want, nil }}
		}},
		{name: "disables nothing", plant: func(p product) connectors.Connector {
			return sick{product: p, disable: func(context.Context, string) error { return nil }}
		}},
		{name: "takes every failure of a disable for success", plant: func(p product) connectors.Connector {
			return sick{product: p, disable: func(ctx context.Context, id string) error { _ = p.DisableAccount(ctx, id); return nil }}
		}},
		{name: "can't disable an account that is gone", plant: func(p product) connectors.Connector {
			return sick{product: p, disable: func(ctx context.Context, id string) error {
				if _, err := p.UpdateAccount(ctx, connectors.Account{ID: id, Email: "x@example.invalid", DisplayName: "x"}); connectors.KindOf(err) == connectors.KindNotFound {
					return err
				}
				return p.DisableAccount(ctx, id)
			}}
		}},
		{name: "forgets Retry-After", plant: func(p product) connectors.Connector {
			return sick{product: p, create: func(ctx context.Context, want connectors.Account) (connectors.Account, error) {
				a, err := p.CreateAccount(ctx, want)
				return a, changed(err, func(e *connectors.Error) { e.RetryAfter = 0 })
			}}
		}},
		{name: "takes a wrong token for an outage", plant: func(p product) connectors.Connector {
			return sick{product: p, create: func(ctx context.Context, want connectors.Account) (connectors.Account, error) {
				a, err := p.CreateAccount(ctx, want)
				return a, changed(err, func(e *connectors.Error) {
					if e.Kind == connectors.KindAuth {
						e.Kind = connectors.KindUnavailable
					}
				})
			}}
		}},
		{name: "goes on after the caller gave up", plant: func(p product) connectors.Connector {
			return sick{product: p, create: func(ctx context.Context, want connectors.Account) (connectors.Account, error) {
				return p.CreateAccount(context.WithoutCancel(ctx), want)
			}}
		}},
		{name: "lists the first page alone", plant: func(p product) connectors.Connector {
			return sick{product: p, list: func(ctx context.Context, page func([]connectors.Account) error) error {
				first := true
				return p.ListAccounts(ctx, func(as []connectors.Account) error {
					if !first {
						return nil
					}
					first = false
					return page(as)
				})
			}}
		}},
	}
}

func plantedInGroups() []bug {
	return []bug{
		{name: "removes all members", plant: func(p product) connectors.Connector {
			return sick{product: p, remove: func(ctx context.Context, id string, ids []string) error {
				if err := p.RemoveMembers(ctx, id, ids); err != nil {
					return err
				}
				var all []string
				if err := p.ListMembers(ctx, id, func(page []string) error { all = append(all, page...); return nil }); err != nil {
					return err
				}
				return p.RemoveMembers(ctx, id, all[:min(len(all), p.Describe().Limits.MemberBatch)])
			}}
		}},
		{name: "forgets the last member to remove", plant: func(p product) connectors.Connector {
			return sick{product: p, remove: func(ctx context.Context, id string, ids []string) error {
				return p.RemoveMembers(ctx, id, ids[:max(len(ids)-1, 0)])
			}}
		}},
		{name: "forgets the last member to add", plant: func(p product) connectors.Connector {
			return sick{product: p, add: func(ctx context.Context, id string, ids []string) error {
				return p.AddMembers(ctx, id, ids[:max(len(ids)-1, 0)])
			}}
		}},
		{name: "cuts a batch that is too large", plant: func(p product) connectors.Connector {
			return sick{product: p, add: func(ctx context.Context, id string, ids []string) error {
				return p.AddMembers(ctx, id, ids[:min(len(ids), p.Describe().Limits.MemberBatch)])
			}}
		}},
		{name: "lists the first members alone", plant: func(p product) connectors.Connector {
			return sick{product: p, members: func(ctx context.Context, id string, page func([]string) error) error {
				left := 50
				return p.ListMembers(ctx, id, func(ids []string) error {
					ids = ids[:min(left, len(ids))]
					left -= len(ids)
					return page(ids)
				})
			}}
		}},
		{name: "reports a lost group as success", plant: func(p product) connectors.Connector {
			return sick{product: p, group: func(ctx context.Context, want connectors.Group) (connectors.Group, error) {
				g, err := p.CreateGroup(ctx, want)
				if connectors.KindOf(err) == connectors.KindAmbiguous {
					return connectors.Group{ID: "1", Name: want.Name}, nil
				}
				return g, err
			}}
		}},
		{name: "takes every failure of a member change for success", plant: func(p product) connectors.Connector {
			return sick{product: p, add: func(ctx context.Context, id string, ids []string) error { _ = p.AddMembers(ctx, id, ids); return nil }}
		}},
	}
}
