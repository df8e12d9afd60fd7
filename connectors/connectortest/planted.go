package connectortest

import (
	"context"

	"github.com/musubi-hub/musubi/connectors"
)

type bug struct {
	name  string
	plant func(product) connectors.Connector
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

func planted() []bug {
	return append(plantedInAccounts(), plantedInGroups()...)
}

func plantedInAccounts() []bug {
	return []bug{
		{"swallows a conflict", func(p product) connectors.Connector {
			return sick{product: p, create: func(ctx context.Context, want connectors.Account) (connectors.Account, error) {
				a, err := p.CreateAccount(ctx, want)
				if connectors.KindOf(err) == connectors.KindConflict {
					return p.FindAccount(ctx, want)
				}
				return a, err
			}}
		}},
		{"reports a lost answer as success", func(p product) connectors.Connector {
			return sick{product: p, create: func(ctx context.Context, want connectors.Account) (connectors.Account, error) {
				a, err := p.CreateAccount(ctx, want)
				if connectors.KindOf(err) == connectors.KindAmbiguous {
					want.ID = "1"
					return want, nil
				}
				return a, err
			}}
		}},
		{"sends a create again", func(p product) connectors.Connector {
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
		{"asks again where the credential is refused", func(p product) connectors.Connector {
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
		{"storms a vendor that is away", func(p product) connectors.Connector {
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
		{"leaks the token", func(p product) connectors.Connector {
			return sick{product: p, find: func(ctx context.Context, want connectors.Account) (connectors.Account, error) {
				a, err := p.FindAccount(ctx, want)
				return a, changed(err, func(e *connectors.Error) { e.Detail += " sent with " + Token })
			}}
		}},
		{"takes every failure of a look-up for absence", func(p product) connectors.Connector {
			return sick{product: p, find: func(ctx context.Context, want connectors.Account) (connectors.Account, error) {
				a, err := p.FindAccount(ctx, want)
				return a, changed(err, func(e *connectors.Error) { e.Kind = connectors.KindNotFound })
			}}
		}},
		{"finds any account", func(p product) connectors.Connector {
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
		{"updates nothing", func(p product) connectors.Connector {
			return sick{product: p, update: func(_ context.Context, want connectors.Account) (connectors.Account, error) { return want, nil }}
		}},
		{"disables nothing", func(p product) connectors.Connector {
			return sick{product: p, disable: func(context.Context, string) error { return nil }}
		}},
		{"takes every failure of a disable for success", func(p product) connectors.Connector {
			return sick{product: p, disable: func(ctx context.Context, id string) error { _ = p.DisableAccount(ctx, id); return nil }}
		}},
		{"can't disable an account that is gone", func(p product) connectors.Connector {
			return sick{product: p, disable: func(ctx context.Context, id string) error {
				if _, err := p.UpdateAccount(ctx, connectors.Account{ID: id, Email: "x@example.invalid", DisplayName: "x"}); connectors.KindOf(err) == connectors.KindNotFound {
					return err
				}
				return p.DisableAccount(ctx, id)
			}}
		}},
		{"forgets Retry-After", func(p product) connectors.Connector {
			return sick{product: p, create: func(ctx context.Context, want connectors.Account) (connectors.Account, error) {
				a, err := p.CreateAccount(ctx, want)
				return a, changed(err, func(e *connectors.Error) { e.RetryAfter = 0 })
			}}
		}},
		{"takes a wrong token for an outage", func(p product) connectors.Connector {
			return sick{product: p, create: func(ctx context.Context, want connectors.Account) (connectors.Account, error) {
				a, err := p.CreateAccount(ctx, want)
				return a, changed(err, func(e *connectors.Error) {
					if e.Kind == connectors.KindAuth {
						e.Kind = connectors.KindUnavailable
					}
				})
			}}
		}},
		{"goes on after the caller gave up", func(p product) connectors.Connector {
			return sick{product: p, create: func(ctx context.Context, want connectors.Account) (connectors.Account, error) {
				return p.CreateAccount(context.WithoutCancel(ctx), want)
			}}
		}},
		{"lists the first page alone", func(p product) connectors.Connector {
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
		{"removes all members", func(p product) connectors.Connector {
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
		{"forgets the last member to remove", func(p product) connectors.Connector {
			return sick{product: p, remove: func(ctx context.Context, id string, ids []string) error {
				return p.RemoveMembers(ctx, id, ids[:max(len(ids)-1, 0)])
			}}
		}},
		{"forgets the last member to add", func(p product) connectors.Connector {
			return sick{product: p, add: func(ctx context.Context, id string, ids []string) error {
				return p.AddMembers(ctx, id, ids[:max(len(ids)-1, 0)])
			}}
		}},
		{"cuts a batch that is too large", func(p product) connectors.Connector {
			return sick{product: p, add: func(ctx context.Context, id string, ids []string) error {
				return p.AddMembers(ctx, id, ids[:min(len(ids), p.Describe().Limits.MemberBatch)])
			}}
		}},
		{"lists the first members alone", func(p product) connectors.Connector {
			return sick{product: p, members: func(ctx context.Context, id string, page func([]string) error) error {
				left := 50
				return p.ListMembers(ctx, id, func(ids []string) error {
					ids = ids[:min(left, len(ids))]
					left -= len(ids)
					return page(ids)
				})
			}}
		}},
		{"reports a lost group as success", func(p product) connectors.Connector {
			return sick{product: p, group: func(ctx context.Context, want connectors.Group) (connectors.Group, error) {
				g, err := p.CreateGroup(ctx, want)
				if connectors.KindOf(err) == connectors.KindAmbiguous {
					return connectors.Group{ID: "1", Name: want.Name}, nil
				}
				return g, err
			}}
		}},
		{"takes every failure of a member change for success", func(p product) connectors.Connector {
			return sick{product: p, add: func(ctx context.Context, id string, ids []string) error { _ = p.AddMembers(ctx, id, ids); return nil }}
		}},
	}
}
