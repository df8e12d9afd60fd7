package slack

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/musubi-hub/musubi/connectors"
)

// account is the application's own account in the workspace.
type account struct{ user, bot, team string }

// scopes are what the hub's functions need of the bot token.
var scopes = []string{
	"channels:history", "channels:manage", "channels:read", "chat:write", "groups:history", "groups:read", "groups:write",
	"im:history", "im:write", "mpim:write", "usergroups:read", "usergroups:write", "users:read",
}

// whoami asks once who the token belongs to.
func (w *Workspace) whoami(ctx context.Context) (account, error) {
	const op = "read own account"
	select {
	case w.identity <- struct{}{}:
		defer func() { <-w.identity }()
	case <-ctx.Done():
		return account{}, w.out.Fail(op, connectors.KindCanceled, "the caller gave up before anything was sent")
	}
	if w.me.user != "" {
		return w.me, nil
	}
	answer, err := w.api.AuthTestContext(w.call(ctx, op, "auth.test", again))
	if err != nil {
		return account{}, w.failure(op, err)
	}
	if answer.UserID == "" {
		return account{}, w.out.Fail(op, connectors.KindProtocol, "Slack doesn't say whose token it is")
	}
	w.me = account{user: answer.UserID, bot: answer.BotID, team: answer.TeamID}
	return w.me, nil
}

// CheckCredentials asks auth.test about the bot token, whose scopes stand in a header of the answer.
func (w *Workspace) CheckCredentials(ctx context.Context) ([]connectors.CredentialState, error) {
	const op = "check bot token"
	state := connectors.CredentialState{Name: "bot token"}
	answer, err := w.api.AuthTestContext(w.call(ctx, op, "auth.test", again))
	if err != nil {
		return refusedCredential(state, w.failure(op, err))
	}
	state.Valid = true
	if given := answer.Header.Get("X-OAuth-Scopes"); given != "" {
		state.Missing = missing(given)
	}
	return []connectors.CredentialState{state}, nil
}

// CheckCredentials asks about both tokens. SCIM doesn't tell scopes: what it serves, the token may.
func (c *Connector) CheckCredentials(ctx context.Context) ([]connectors.CredentialState, error) {
	states, err := c.Workspace.CheckCredentials(ctx)
	if err != nil {
		return nil, err
	}
	scim := connectors.CredentialState{Name: "SCIM token", Valid: true}
	if _, err := c.scim.Discover(ctx); err != nil {
		refused, err := refusedCredential(connectors.CredentialState{Name: scim.Name}, err)
		if err != nil {
			return nil, err
		}
		scim = refused[0]
	}
	return append(states, scim), nil
}

// refusedCredential turns a refusal of the credential into its state.
func refusedCredential(state connectors.CredentialState, err error) ([]connectors.CredentialState, error) {
	var e *connectors.Error
	if !errors.As(err, &e) || e.Kind != connectors.KindAuth {
		return nil, err
	}
	state.Problem = e.Code
	if state.Problem == "" {
		state.Problem = "refused"
	}
	return []connectors.CredentialState{state}, nil
}

// missing gives the scopes that given, a list with commas, lacks.
func missing(given string) []string {
	have := map[string]bool{}
	for s := range strings.SplitSeq(given, ",") {
		have[strings.TrimSpace(s)] = true
	}
	return slices.DeleteFunc(slices.Clone(scopes), func(s string) bool { return have[s] })
}
