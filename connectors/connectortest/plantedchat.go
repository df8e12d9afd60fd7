package connectortest

import (
	"context"
	"time"

	"github.com/musubi-hub/musubi/connectors"
)

// messenger is a connector with everything beyond accounts and groups; bugs there are planted in such a one.
type messenger interface {
	connectors.Connector
	connectors.AccountReader
	connectors.AccountWriter
	connectors.Sender
	connectors.SentFinder
	connectors.MessageEditor
	connectors.MessageLinker
	connectors.ChannelReader
	connectors.ChannelWriter
	connectors.ChannelMemberWriter
	connectors.MentionGroupReader
	connectors.MentionGroupWriter
	connectors.GuestWriter
	connectors.EventReader
	connectors.CredentialChecker
}

func isMessenger(o connectors.Opened) bool {
	return sends(o) && hasChannels(o) && hasMentions(o) && hasEvents(o) && hasGuests(o) && hasCredentials(o) && o.MessageLinker != nil
}

// sickMessenger is one in which single calls are replaced.
type sickMessenger struct {
	messenger
	send    func(context.Context, connectors.Message) (connectors.Sent, error)
	found   func(context.Context, connectors.Message, time.Time) (connectors.Sent, error)
	edit    func(context.Context, connectors.Sent, connectors.Message) error
	make    func(context.Context, connectors.WantedChannel) (connectors.Channel, error)
	archive func(context.Context, string) error
	channel func(context.Context, connectors.WantedChannel, time.Time) (connectors.Channel, error)
	invite  func(context.Context, string, []string) ([]connectors.Refused, error)
	kick    func(context.Context, string, []string) ([]connectors.Refused, error)
	replace func(context.Context, string, []string) ([]connectors.Refused, error)
	change  func(context.Context, string, []string, []string) ([]connectors.Refused, error)
	event   func(time.Time, connectors.Delivery) (connectors.Received, error)
	guest   func(context.Context, connectors.Account, time.Time) (connectors.Account, error)
	expiry  func(context.Context, string, time.Time) error
	rank    func(context.Context, string, connectors.Guest) error
	check   func(context.Context) ([]connectors.CredentialState, error)
}

func (s sickMessenger) SendMessage(ctx context.Context, m connectors.Message) (connectors.Sent, error) {
	if s.send != nil {
		return s.send(ctx, m)
	}
	return s.messenger.SendMessage(ctx, m)
}

func (s sickMessenger) FindSent(ctx context.Context, m connectors.Message, since time.Time) (connectors.Sent, error) {
	if s.found != nil {
		return s.found(ctx, m, since)
	}
	return s.messenger.FindSent(ctx, m, since)
}

func (s sickMessenger) UpdateMessage(ctx context.Context, sent connectors.Sent, m connectors.Message) error {
	if s.edit != nil {
		return s.edit(ctx, sent, m)
	}
	return s.messenger.UpdateMessage(ctx, sent, m)
}

func (s sickMessenger) CreateChannel(ctx context.Context, want connectors.WantedChannel) (connectors.Channel, error) {
	if s.make != nil {
		return s.make(ctx, want)
	}
	return s.messenger.CreateChannel(ctx, want)
}

func (s sickMessenger) ArchiveChannel(ctx context.Context, id string) error {
	if s.archive != nil {
		return s.archive(ctx, id)
	}
	return s.messenger.ArchiveChannel(ctx, id)
}

func (s sickMessenger) FindChannel(ctx context.Context, want connectors.WantedChannel, since time.Time) (connectors.Channel, error) {
	if s.channel != nil {
		return s.channel(ctx, want, since)
	}
	return s.messenger.FindChannel(ctx, want, since)
}

func (s sickMessenger) InviteToChannel(ctx context.Context, id string, ids []string) ([]connectors.Refused, error) {
	if s.invite != nil {
		return s.invite(ctx, id, ids)
	}
	return s.messenger.InviteToChannel(ctx, id, ids)
}

func (s sickMessenger) RemoveFromChannel(ctx context.Context, id string, ids []string) ([]connectors.Refused, error) {
	if s.kick != nil {
		return s.kick(ctx, id, ids)
	}
	return s.messenger.RemoveFromChannel(ctx, id, ids)
}

func (s sickMessenger) ReplaceMentionMembers(ctx context.Context, id string, ids []string) ([]connectors.Refused, error) {
	if s.replace != nil {
		return s.replace(ctx, id, ids)
	}
	return s.messenger.ReplaceMentionMembers(ctx, id, ids)
}

func (s sickMessenger) ChangeMentionMembers(ctx context.Context, id string, add, remove []string) ([]connectors.Refused, error) {
	if s.change != nil {
		return s.change(ctx, id, add, remove)
	}
	return s.messenger.ChangeMentionMembers(ctx, id, add, remove)
}

func (s sickMessenger) ReadEvent(now time.Time, d connectors.Delivery) (connectors.Received, error) {
	if s.event != nil {
		return s.event(now, d)
	}
	return s.messenger.ReadEvent(now, d)
}

func (s sickMessenger) CreateGuest(ctx context.Context, want connectors.Account, expires time.Time) (connectors.Account, error) {
	if s.guest != nil {
		return s.guest(ctx, want, expires)
	}
	return s.messenger.CreateGuest(ctx, want, expires)
}

func (s sickMessenger) SetGuestExpiry(ctx context.Context, id string, expires time.Time) error {
	if s.expiry != nil {
		return s.expiry(ctx, id, expires)
	}
	return s.messenger.SetGuestExpiry(ctx, id, expires)
}

func (s sickMessenger) SetGuest(ctx context.Context, id string, want connectors.Guest) error {
	if s.rank != nil {
		return s.rank(ctx, id, want)
	}
	return s.messenger.SetGuest(ctx, id, want)
}

func (s sickMessenger) CheckCredentials(ctx context.Context) ([]connectors.CredentialState, error) {
	if s.check != nil {
		return s.check(ctx)
	}
	return s.messenger.CheckCredentials(ctx)
}

func inMessenger(name string, plant func(m messenger) sickMessenger) bug {
	return bug{name: name, needs: isMessenger, plantAny: func(c connectors.Connector) connectors.Connector {
		m := c.(messenger) //nolint:forcetypeassert // needs was asked before
		s := plant(m)
		s.messenger = m
		return s
	}}
}

func plantedInMessages() []bug {
	return []bug{
		inMessenger("reports a lost message as sent", func(m messenger) sickMessenger {
			return sickMessenger{send: func(ctx context.Context, msg connectors.Message) (connectors.Sent, error) {
				sent, err := m.SendMessage(ctx, msg)
				if connectors.KindOf(err) == connectors.KindAmbiguous {
					return connectors.Sent{ID: "1.000001", Channel: msg.Channel, Thread: "1.000001"}, nil
				}
				return sent, err
			}}
		}),
		inMessenger("sends a lost message again", func(m messenger) sickMessenger {
			return sickMessenger{send: func(ctx context.Context, msg connectors.Message) (connectors.Sent, error) {
				sent, err := m.SendMessage(ctx, msg)
				if connectors.KindOf(err) == connectors.KindAmbiguous {
					_, _ = m.SendMessage(ctx, msg)
				}
				return sent, err
			}}
		}),
		inMessenger("finds any message", func(m messenger) sickMessenger {
			var last connectors.Sent
			return sickMessenger{
				send: func(ctx context.Context, msg connectors.Message) (connectors.Sent, error) {
					sent, err := m.SendMessage(ctx, msg)
					if err == nil {
						last = sent
					}
					return sent, err
				},
				found: func(ctx context.Context, msg connectors.Message, since time.Time) (connectors.Sent, error) {
					sent, err := m.FindSent(ctx, msg, since)
					if connectors.KindOf(err) == connectors.KindNotFound && last.ID != "" {
						return last, nil
					}
					return sent, err
				},
			}
		}),
		inMessenger("finds no message whose answer was lost", func(m messenger) sickMessenger {
			known := map[string]bool{}
			return sickMessenger{
				send: func(ctx context.Context, msg connectors.Message) (connectors.Sent, error) {
					sent, err := m.SendMessage(ctx, msg)
					known[msg.Key] = err == nil
					return sent, err
				},
				found: func(ctx context.Context, msg connectors.Message, since time.Time) (connectors.Sent, error) {
					if !known[msg.Key] {
						msg.Key = "nobody.s"
					}
					return m.FindSent(ctx, msg, since)
				},
			}
		}),
		inMessenger("answers beside the thread", func(m messenger) sickMessenger {
			return sickMessenger{send: func(ctx context.Context, msg connectors.Message) (connectors.Sent, error) {
				msg.Thread = ""
				return m.SendMessage(ctx, msg)
			}}
		}),
		inMessenger("changes no message", func(m messenger) sickMessenger {
			return sickMessenger{edit: func(context.Context, connectors.Sent, connectors.Message) error { return nil }}
		}),
		inMessenger("leaks the token in a message's error", func(m messenger) sickMessenger {
			return sickMessenger{send: func(ctx context.Context, msg connectors.Message) (connectors.Sent, error) {
				sent, err := m.SendMessage(ctx, msg)
				return sent, changed(err, func(e *connectors.Error) { e.Detail += " sent with " + Token })
			}}
		}),
		inMessenger("sends for a caller who gave up", func(m messenger) sickMessenger {
			return sickMessenger{send: func(ctx context.Context, msg connectors.Message) (connectors.Sent, error) {
				return m.SendMessage(context.WithoutCancel(ctx), msg)
			}}
		}),
	}
}

func plantedInChannels() []bug {
	return []bug{
		inMessenger("gives up at a taken name", func(m messenger) sickMessenger {
			return sickMessenger{make: func(ctx context.Context, want connectors.WantedChannel) (connectors.Channel, error) {
				if c, err := m.FindChannel(ctx, want, time.Time{}); err == nil {
					return c, nil
				}
				c, err := m.CreateChannel(ctx, want)
				if err == nil && len(c.Name) > len(want.Key) && c.Name[len(c.Name)-len(want.Key):] == want.Key {
					return connectors.Channel{}, &connectors.Error{Kind: connectors.KindConflict, Vendor: "x", Op: "x"}
				}
				return c, err
			}}
		}),
		inMessenger("archives nothing", func(messenger) sickMessenger {
			return sickMessenger{archive: func(context.Context, string) error { return nil }}
		}),
		inMessenger("finds channels of any age", func(m messenger) sickMessenger {
			return sickMessenger{channel: func(ctx context.Context, want connectors.WantedChannel, _ time.Time) (connectors.Channel, error) {
				return m.FindChannel(ctx, want, time.Time{})
			}}
		}),
		inMessenger("invites the first hundred alone", func(m messenger) sickMessenger {
			return sickMessenger{invite: func(ctx context.Context, id string, ids []string) ([]connectors.Refused, error) {
				return m.InviteToChannel(ctx, id, ids[:min(len(ids), 100)])
			}}
		}),
		inMessenger("one bad invitee loses the others", func(m messenger) sickMessenger {
			return sickMessenger{invite: func(ctx context.Context, id string, ids []string) ([]connectors.Refused, error) {
				refused, err := m.InviteToChannel(ctx, id, ids)
				if len(refused) > 0 {
					_, _ = m.RemoveFromChannel(ctx, id, ids)
				}
				return refused, err
			}}
		}),
		inMessenger("doesn't say who was refused", func(m messenger) sickMessenger {
			return sickMessenger{invite: func(ctx context.Context, id string, ids []string) ([]connectors.Refused, error) {
				_, err := m.InviteToChannel(ctx, id, ids)
				return nil, err
			}}
		}),
		inMessenger("removes nobody from a channel", func(messenger) sickMessenger {
			return sickMessenger{kick: func(context.Context, string, []string) ([]connectors.Refused, error) { return nil, nil }}
		}),
	}
}

func plantedInMentions() []bug {
	return []bug{
		inMessenger("one bad member loses the push", func(m messenger) sickMessenger {
			return sickMessenger{replace: func(ctx context.Context, id string, ids []string) ([]connectors.Refused, error) {
				before, err := m.MentionMembers(ctx, id)
				if err != nil {
					return nil, err
				}
				refused, err := m.ReplaceMentionMembers(ctx, id, ids)
				if len(refused) > 0 && len(before) > 0 {
					_, _ = m.ReplaceMentionMembers(ctx, id, before)
				}
				return refused, err
			}}
		}),
		inMessenger("changes members without a lock", func(m messenger) sickMessenger {
			return sickMessenger{change: func(ctx context.Context, id string, add, remove []string) ([]connectors.Refused, error) {
				list, err := m.MentionMembers(ctx, id)
				if err != nil {
					return nil, err
				}
				time.Sleep(time.Millisecond)
				var kept []string
				for _, one := range list {
					keep := true
					for _, gone := range remove {
						keep = keep && one != gone
					}
					if keep {
						kept = append(kept, one)
					}
				}
				return m.ReplaceMentionMembers(ctx, id, append(kept, add...))
			}}
		}),
		inMessenger("replaces where it should add", func(m messenger) sickMessenger {
			return sickMessenger{change: func(ctx context.Context, id string, add, _ []string) ([]connectors.Refused, error) {
				return m.ReplaceMentionMembers(ctx, id, add)
			}}
		}),
	}
}
