package boot

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"

	"github.com/musubi-hub/musubi/cmd/musubi/signin"
	"github.com/musubi-hub/musubi/connectors/mail"
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/keys"
	"github.com/musubi-hub/musubi/policies"
	"github.com/musubi-hub/musubi/sync/notice"
)

// noticeKey names the key under which notices keep what their mails hand over.
const noticeKey = "musubi person notice v1"

func (h *Hub) sealNotices(seal *keys.SealingKey) error {
	key, err := seal.Derive(noticeKey)
	if err != nil {
		return err
	}
	return h.Persons.SetKey(key)
}

// InvitationLinks gives the address of an invitation in every network that has a login, in a fixed order.
func (h *Hub) InvitationLinks(path string) (all []notice.Link) {
	for _, n := range slices.Sorted(maps.Keys(h.Config.Gates)) {
		all = append(all, notice.Link{Network: policies.Network(n), Address: "https://" + h.Config.Gates[n].LoginHost + signin.InvitationPath(path)})
	}
	return all
}

// Mails reports whether a mail relay is configured: without one, nobody is told of anything by mail.
func (h *Hub) Mails() bool { return h.Open[mail.Name].Sender != nil }

// TellPerson tells a person what an administrator did to how they log in, in the transaction that does it: act is "password" or "sessions".
func (h *Hub) TellPerson(ctx context.Context, tx *sql.Tx, person identity.Person, act string, at int64) error {
	kind, ok := map[string]notice.Kind{"password": notice.PasswordReset, "sessions": notice.SessionsEnded}[act]
	if !ok {
		return fmt.Errorf("nobody is told of %q", act)
	}
	return h.Persons.Tell(ctx, tx, kind, person, at)
}
