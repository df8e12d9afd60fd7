package connectortest

import (
	"context"
	"fmt"

	"github.com/musubi-hub/musubi/connectors"
)

// sickSender is a Sender that is replaced.
type sickSender struct {
	connectors.Connector
	send func(context.Context, connectors.Message) (connectors.Sent, error)
}

func (s sickSender) SendMessage(ctx context.Context, m connectors.Message) (connectors.Sent, error) {
	return s.send(ctx, m)
}

func plantedInMail() []bug {
	type send = func(context.Context, connectors.Message) (connectors.Sent, error)
	plant := func(name string, with func(well send) send) bug {
		return bug{name: name, needs: posts, plantAny: func(c connectors.Connector) connectors.Connector {
			s, ok := c.(connectors.Sender)
			if !ok { // needs says that it is one
				return c
			}
			return sickSender{c, with(s.SendMessage)}
		}}
	}
	says := func(change func(*connectors.Error)) func(send) send {
		return func(well send) send {
			return func(ctx context.Context, m connectors.Message) (connectors.Sent, error) {
				sent, err := well(ctx, m)
				return sent, changed(err, change)
			}
		}
	}
	becomes := func(from, to connectors.Kind) func(send) send {
		return says(func(e *connectors.Error) {
			if e.Kind == from {
				e.Kind = to
			}
		})
	}
	sends := func(change func(serial int, m *connectors.Message)) func(send) send {
		serial := 0
		return func(well send) send {
			return func(ctx context.Context, m connectors.Message) (connectors.Sent, error) {
				serial++
				change(serial, &m)
				return well(ctx, m)
			}
		}
	}
	return []bug{
		plant("sends every mail twice", func(well send) send {
			return func(ctx context.Context, m connectors.Message) (connectors.Sent, error) {
				if sent, err := well(ctx, m); err != nil {
					return sent, err
				}
				return well(ctx, m)
			}
		}),
		plant("sends a mail again whose answer was lost", func(well send) send {
			return func(ctx context.Context, m connectors.Message) (connectors.Sent, error) {
				sent, err := well(ctx, m)
				if connectors.KindOf(err) == connectors.KindAmbiguous {
					_, err = well(ctx, m)
				}
				return sent, err
			}
		}),
		plant("tries again and again", func(well send) send {
			return func(ctx context.Context, m connectors.Message) (sent connectors.Sent, err error) {
				for range 3 {
					if sent, err = well(ctx, m); err == nil || !connectors.KindOf(err).Retriable() || connectors.KindOf(err) == connectors.KindAmbiguous {
						break
					}
				}
				return sent, err
			}
		}),
		plant("takes a lost answer for success", func(well send) send {
			return func(ctx context.Context, m connectors.Message) (connectors.Sent, error) {
				sent, err := well(ctx, m)
				if connectors.KindOf(err) == connectors.KindAmbiguous {
					return connectors.Sent{ID: "x@x", Thread: "x@x"}, nil
				}
				return sent, err
			}
		}),
		plant("takes a lost answer for a failure", becomes(connectors.KindAmbiguous, connectors.KindUnavailable)),
		plant("takes a broken connection for an ambiguous one", becomes(connectors.KindUnavailable, connectors.KindAmbiguous)),
		plant("hides that a relay is busy", becomes(connectors.KindThrottled, connectors.KindUnavailable)),
		plant("forgets when to come back", says(func(e *connectors.Error) { e.RetryAfter = 0 })),
		plant("hides a wrong password", becomes(connectors.KindAuth, connectors.KindInvalid)),
		plant("shows the secret", says(func(e *connectors.Error) { e.Detail += " " + Token })),
		plant("gives each copy another id", sends(func(n int, m *connectors.Message) { m.Key = fmt.Sprintf("%s.%d", m.Key, n) })),
		plant("gives every mail one id", sends(func(_ int, m *connectors.Message) { m.Key = "same" })),
		plant("leaves a recipient out", sends(func(_ int, m *connectors.Message) { m.To = m.To[:min(1, len(m.To))] })),
		plant("loses the thread", sends(func(_ int, m *connectors.Message) { m.Thread = "" })),
		plant("loses part of the text", sends(func(_ int, m *connectors.Message) { m.Text = m.Text[:len(m.Text)/2] })),
		plant("takes a conversation for a recipient", sends(func(_ int, m *connectors.Message) {
			if m.Channel != "" {
				m.Channel = ""
			}
		})),
	}
}
