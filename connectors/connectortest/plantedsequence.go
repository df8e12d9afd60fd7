package connectortest

import (
	"context"
	"time"

	"github.com/musubi-hub/musubi/connectors"
)

type chatBug struct {
	name  string
	plant func(messenger) sickMessenger
}

func inDoubt(err error) bool {
	return connectors.KindOf(err) == connectors.KindAmbiguous || connectors.KindOf(err) == connectors.KindUnavailable
}

func chatSequenceBugs() []chatBug {
	return []chatBug{
		{"a lost message is sent again", func(m messenger) sickMessenger {
			return sickMessenger{send: func(ctx context.Context, want connectors.Message) (connectors.Sent, error) {
				sent, err := m.SendMessage(ctx, want)
				if connectors.KindOf(err) == connectors.KindAmbiguous {
					return m.SendMessage(ctx, want)
				}
				return sent, err
			}}
		}},
		{"a failed change of a message counts as done", func(m messenger) sickMessenger {
			return sickMessenger{edit: func(ctx context.Context, sent connectors.Sent, want connectors.Message) error {
				if err := m.UpdateMessage(ctx, sent, want); !inDoubt(err) {
					return err
				}
				return nil
			}}
		}},
		{"a failed invitation counts as done", func(m messenger) sickMessenger {
			return sickMessenger{invite: func(ctx context.Context, id string, ids []string) ([]connectors.Refused, error) {
				refused, err := m.InviteToChannel(ctx, id, ids)
				if inDoubt(err) {
					return nil, nil
				}
				return refused, err
			}}
		}},
		{"a lost channel isn't found", func(m messenger) sickMessenger {
			return sickMessenger{channel: func(context.Context, connectors.WantedChannel, time.Time) (connectors.Channel, error) {
				return connectors.Channel{}, &connectors.Error{Kind: connectors.KindNotFound, Vendor: "sick", Op: "find"}
			}}
		}},
		{"a failed change of a mention group counts as done", func(m messenger) sickMessenger {
			return sickMessenger{change: func(ctx context.Context, id string, add, remove []string) ([]connectors.Refused, error) {
				refused, err := m.ChangeMentionMembers(ctx, id, add, remove)
				if inDoubt(err) {
					return nil, nil
				}
				return refused, err
			}}
		}},
	}
}
