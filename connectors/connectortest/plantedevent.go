package connectortest

import (
	"context"
	"time"

	"github.com/musubi-hub/musubi/connectors"
)

func plantedInEvents() []bug {
	// trusting reads a delivery as if it were genuine: it learns what the connector made of the last genuine one.
	trusting := func(m messenger, forgive func(error) bool) sickMessenger {
		var last connectors.Received
		return sickMessenger{event: func(now time.Time, d connectors.Delivery) (connectors.Received, error) {
			got, err := m.ReadEvent(now, d)
			if err == nil {
				last = got
			} else if forgive(err) {
				return last, nil
			}
			return got, err
		}}
	}
	return []bug{
		inMessenger("accepts a wrong signature", func(m messenger) sickMessenger {
			return trusting(m, func(err error) bool { return connectors.KindOf(err) == connectors.KindAuth })
		}),
		inMessenger("accepts an old time stamp", func(m messenger) sickMessenger {
			return sickMessenger{event: func(now time.Time, d connectors.Delivery) (connectors.Received, error) {
				if got, err := m.ReadEvent(now, d); err == nil {
					return got, nil
				}
				for _, shift := range []time.Duration{-time.Hour, -6 * time.Minute, 6 * time.Minute} {
					if got, err := m.ReadEvent(now.Add(shift), d); err == nil {
						return got, nil
					}
				}
				return m.ReadEvent(now, d)
			}}
		}),
		inMessenger("accepts what can't be read", func(m messenger) sickMessenger {
			return trusting(m, func(err error) bool { return connectors.KindOf(err) == connectors.KindInvalid })
		}),
		inMessenger("gives each delivery a key of its own", func(m messenger) sickMessenger {
			n := 0
			return sickMessenger{event: func(now time.Time, d connectors.Delivery) (connectors.Received, error) {
				got, err := m.ReadEvent(now, d)
				if got.Key != "" {
					n++
					got.Key += string(rune('a' + n%26))
				}
				return got, err
			}}
		}),
		inMessenger("loses the event", func(m messenger) sickMessenger {
			return sickMessenger{event: func(now time.Time, d connectors.Delivery) (connectors.Received, error) {
				got, err := m.ReadEvent(now, d)
				got.Events = nil
				return got, err
			}}
		}),
	}
}

func plantedInGuests() []bug {
	return []bug{
		inMessenger("makes a full member of a guest", func(m messenger) sickMessenger {
			return sickMessenger{guest: func(ctx context.Context, want connectors.Account, _ time.Time) (connectors.Account, error) {
				return m.CreateAccount(ctx, want)
			}}
		}),
		inMessenger("makes a guest without an end", func(m messenger) sickMessenger {
			return sickMessenger{guest: func(ctx context.Context, want connectors.Account, _ time.Time) (connectors.Account, error) {
				return m.CreateGuest(ctx, want, time.Time{})
			}}
		}),
		inMessenger("leaves a guest a guest", func(m messenger) sickMessenger {
			return sickMessenger{rank: func(ctx context.Context, id string, want connectors.Guest) error {
				if !want.Guest {
					_, err := m.ReadGuest(ctx, id)
					return err
				}
				return m.SetGuest(ctx, id, want)
			}}
		}),
		inMessenger("leaves a guest's end where it was", func(m messenger) sickMessenger {
			return sickMessenger{expiry: func(ctx context.Context, id string, _ time.Time) error {
				_, err := m.ReadGuest(ctx, id)
				return err
			}}
		}),
	}
}

func plantedInCredentials() []bug {
	return []bug{
		inMessenger("calls every credential good", func(m messenger) sickMessenger {
			return sickMessenger{check: func(ctx context.Context) ([]connectors.CredentialState, error) {
				states, err := m.CheckCredentials(ctx)
				for i := range states {
					states[i].Valid, states[i].Problem = true, ""
				}
				return states, err
			}}
		}),
		inMessenger("calls a credential bad when the vendor is down", func(m messenger) sickMessenger {
			return sickMessenger{check: func(ctx context.Context) ([]connectors.CredentialState, error) {
				states, err := m.CheckCredentials(ctx)
				if err != nil {
					return []connectors.CredentialState{{Name: "token", Problem: "down"}}, nil
				}
				return states, nil
			}}
		}),
	}
}
