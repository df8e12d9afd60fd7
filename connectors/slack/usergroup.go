package slack

import (
	"context"
	"slices"
	"strings"
	"time"

	slackgo "github.com/slack-go/slack"

	"github.com/musubi-hub/musubi/connectors"
)

// maxGroupMembers is how many members a user group may have.
const maxGroupMembers = 5000

// FindMentionGroup reads the list of user groups, which Slack gives whole, disabled ones too.
func (w *Workspace) FindMentionGroup(ctx context.Context, handle string) (connectors.MentionGroup, error) {
	const op = "find user group"
	if handle == "" {
		return connectors.MentionGroup{}, w.invalid(op, "no handle is given")
	}
	list, err := w.api.GetUserGroupsContext(w.call(ctx, op, "usergroups.list", again), slackgo.GetUserGroupsOptionIncludeDisabled(true))
	if err != nil {
		return connectors.MentionGroup{}, w.failure(op, err)
	}
	for _, g := range list {
		if strings.EqualFold(g.Handle, handle) && g.ID != "" {
			return seenGroup(g), nil
		}
	}
	return connectors.MentionGroup{}, w.out.Fail(op, connectors.KindNotFound, "no user group has this handle")
}

func seenGroup(g slackgo.UserGroup) connectors.MentionGroup {
	return connectors.MentionGroup{ID: g.ID, Handle: g.Handle, Name: g.Name, Disabled: g.DateDelete != 0}
}

// MentionMembers gives the members, of a disabled group too.
func (w *Workspace) MentionMembers(ctx context.Context, groupID string) ([]string, error) {
	return w.groupMembers(ctx, "list user group members", groupID)
}

func (w *Workspace) groupMembers(ctx context.Context, op, groupID string) ([]string, error) {
	if err := w.checkID(op, "user group", groupID); err != nil {
		return nil, err
	}
	ids, err := w.api.GetUserGroupMembersContext(w.call(ctx, op, "usergroups.users.list", again), groupID, slackgo.GetUserGroupMembersOptionIncludeDisabled(true))
	if err != nil {
		return nil, w.failure(op, err)
	}
	return ids, nil
}

// CreateMentionGroup makes the user group, without members. Sent once: after KindAmbiguous, FindMentionGroup tells.
func (w *Workspace) CreateMentionGroup(ctx context.Context, want connectors.MentionGroup) (connectors.MentionGroup, error) {
	const op = "create user group"
	if want.Name == "" || want.Handle == "" {
		return connectors.MentionGroup{}, w.invalid(op, "the user group has no name or no handle")
	}
	g, err := w.api.CreateUserGroupContext(w.call(ctx, op, "usergroups.create", once), slackgo.UserGroup{Name: want.Name, Handle: want.Handle})
	if err != nil {
		return connectors.MentionGroup{}, w.failure(op, err)
	}
	if g.ID == "" {
		return connectors.MentionGroup{}, w.out.Fail(op, connectors.KindProtocol, "Slack's answer doesn't say which user group was made")
	}
	return seenGroup(g), nil
}

// ReplaceMentionMembers makes the members exactly accountIDs, at most 5,000.
func (w *Workspace) ReplaceMentionMembers(ctx context.Context, groupID string, accountIDs []string) ([]connectors.Refused, error) {
	const op = "replace user group members"
	return w.changeGroup(ctx, op, groupID, accountIDs, func([]string) []string { return accountIDs })
}

// ChangeMentionMembers reads the members, changes the list, and replaces it, all under the group's lock.
func (w *Workspace) ChangeMentionMembers(ctx context.Context, groupID string, add, remove []string) ([]connectors.Refused, error) {
	const op = "change user group members"
	return w.changeGroup(ctx, op, groupID, add, func(present []string) []string {
		kept := slices.DeleteFunc(slices.Clone(present), func(id string) bool { return slices.Contains(remove, id) })
		return slices.Concat(kept, add)
	})
}

// changeGroup brings the group from its present members to what want makes of them. suspects are those who come from the caller:
// where Slack refuses the list, which it does for one bad account without saying which, they are looked up one by one.
func (w *Workspace) changeGroup(ctx context.Context, op, groupID string, suspects []string, want func(present []string) []string) ([]connectors.Refused, error) {
	if err := w.checkID(op, "user group", groupID); err != nil {
		return nil, err
	}
	release, err := w.locks.Lock(ctx, "slack user group "+groupID)
	if err != nil {
		return nil, w.unlocked(op, err)
	}
	wrote := false
	defer func() {
		if wrote {
			settle(ctx)
		}
		release()
	}()
	present, err := w.groupMembers(ctx, op, groupID)
	if err != nil {
		return nil, err
	}
	list, refused := w.sift(want(present))
	if sameSet(list, present) {
		return refused, nil
	}
	wrote = len(list) > 0
	err = w.replaceGroup(ctx, op, groupID, list)
	if !refusesList[codeOf(err)] {
		return refused, err
	}
	bad, checkErr := w.unusable(ctx, op, list, suspects)
	switch {
	case checkErr != nil:
		return refused, checkErr
	case len(bad) == 0:
		return refused, err // the refusal has another reason
	}
	list = slices.DeleteFunc(list, func(id string) bool {
		return slices.ContainsFunc(bad, func(r connectors.Refused) bool { return r.AccountID == id })
	})
	refused = append(refused, bad...)
	if sameSet(list, present) {
		return refused, nil
	}
	return refused, w.replaceGroup(ctx, op, groupID, list)
}

// settle keeps the group's lock until a read shows what was written: the next change, on any node, starts from the list that it reads
// and writes all of it back, so that a list older than the last change would undo it. Slack takes 20 lists a minute, no more than
// this lets through.
func settle(ctx context.Context) {
	timer := time.NewTimer(lag)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// refusesList are the codes that may speak of one account in the list.
var refusesList = map[string]bool{
	"invalid_users": true, "user_not_found": true, "users_not_found": true, "no_user": true, "no_users_provided": true,
	"user_is_bot": true, "user_is_restricted": true, "user_is_ultra_restricted": true, "user_disabled": true, "invalid_user": true,
}

func (w *Workspace) replaceGroup(ctx context.Context, op, groupID string, list []string) error {
	switch {
	case len(list) == 0:
		return w.invalid(op, "nobody would be left: Slack has no empty user group, disable it instead")
	case len(list) > maxGroupMembers:
		return w.invalid(op, "a user group has at most 5,000 members")
	}
	g, err := w.api.UpdateUserGroupMembersListContext(w.call(ctx, op, "usergroups.users.update", again), groupID, list)
	if err != nil {
		return w.failure(op, err)
	}
	if len(g.Users) > 0 && !sameSet(g.Users, list) {
		return w.out.Fail(op, connectors.KindAmbiguous, "Slack reports success, but its answer shows other members")
	}
	return nil
}

// fewSuspects are asked for one by one (100 a minute); more are looked up in the list of all users (1,000 a page).
const fewSuspects = 20

// unusable gives those of list who aren't usable accounts. Those who came from the caller are asked for first: a present member is
// rarely at fault.
func (w *Workspace) unusable(ctx context.Context, op string, list, suspects []string) ([]connectors.Refused, error) {
	asked := slices.DeleteFunc(slices.Clone(list), func(id string) bool { return !slices.Contains(suspects, id) })
	if len(asked) > fewSuspects {
		return w.unlisted(ctx, op, list)
	}
	var bad []connectors.Refused
	for _, id := range asked {
		u, err := w.api.GetUserInfoContext(w.call(ctx, op, "users.info", again), id)
		if err != nil {
			err = w.failure(op, err)
			if connectors.KindOf(err) != connectors.KindNotFound {
				return nil, err
			}
			bad = append(bad, connectors.Refused{AccountID: id, Reason: codeOf(err)})
			continue
		}
		if reason := whyUnusable(*u); reason != "" {
			bad = append(bad, connectors.Refused{AccountID: id, Reason: reason})
		}
	}
	if len(bad) > 0 {
		return bad, nil
	}
	return w.unlisted(ctx, op, list)
}

func (w *Workspace) unlisted(ctx context.Context, op string, list []string) ([]connectors.Refused, error) {
	reasons := make(map[string]string, len(list))
	for _, id := range list {
		reasons[id] = "user_not_found"
	}
	p := w.api.GetUsersPaginated(slackgo.GetUsersOptionLimit(1000))
	for range maxListPages {
		var err error
		if p, err = p.Next(w.call(ctx, op, "users.list", again)); p.Done(err) {
			var bad []connectors.Refused
			for _, id := range list {
				if reasons[id] != "" {
					bad = append(bad, connectors.Refused{AccountID: id, Reason: reasons[id]})
				}
			}
			return bad, nil
		} else if err != nil {
			return nil, w.failure(op, err)
		}
		for _, u := range p.Users {
			if _, asked := reasons[u.ID]; asked {
				reasons[u.ID] = whyUnusable(u)
			}
		}
	}
	return nil, w.out.Fail(op, connectors.KindProtocol, "the list has more pages than Slack can have")
}

// whyUnusable says why an account can't be in a user group; guests can.
func whyUnusable(u slackgo.User) string {
	switch {
	case u.Deleted:
		return "user_disabled"
	case u.IsBot:
		return "user_is_bot"
	}
	return ""
}

func sameSet(a, b []string) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(slices.Compact(a), slices.Compact(b))
}
