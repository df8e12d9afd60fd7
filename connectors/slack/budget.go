package slack

import (
	"context"
	"fmt"
	"hash/fnv"

	"github.com/musubi-hub/musubi/connectors"
	"github.com/musubi-hub/musubi/connectors/scimclient"
)

// The quota classes of SCIM: organization-wide over all applications, as Slack publishes them. The totals of all writes (600 a
// minute) and all reads (1,000) can't be reached where each class keeps to its own.
var scimClasses = scimclient.Classes{ // #nosec G101 -- names of quota classes
	UserRead: "slack.scim.user.read", UserWrite: "slack.scim.user.write",
	GroupRead: "slack.scim.group.read", GroupCreate: "slack.scim.group.create", GroupWrite: "slack.scim.group.write",
}

func scimBudgets(scale float64) []connectors.Budget {
	budget := func(class connectors.Class, perMinute float64, burst int) connectors.Budget {
		return connectors.Budget{Class: class, Rate: perMinute / 60 * scale, Burst: max(1, int(float64(burst)*scale))}
	}
	return []connectors.Budget{
		budget(scimClasses.UserRead, 300, 300), budget(scimClasses.UserWrite, 180, 20),
		budget(scimClasses.GroupRead, 300, 300), budget(scimClasses.GroupCreate, 180, 20), budget(scimClasses.GroupWrite, 180, 80),
	}
}

// tiers are the requests a minute that Slack grants each method in a workspace (Tier 1: 1, 2: 20, 3: 50, 4: 100). Methods that Slack
// lists as special have what it says of them: auth.test "hundreds", chat.postMessage "several hundred" in a workspace.
var tiers = []struct {
	method    string
	perMinute float64
}{
	{"auth.test", 100},
	{"chat.getPermalink", 100},
	{"chat.postMessage", 300},
	{"chat.update", 50},
	{"conversations.archive", 20},
	{"conversations.create", 20},
	{"conversations.history", 50},
	{"conversations.invite", 50},
	{"conversations.kick", 50},
	{"conversations.list", 20},
	{"conversations.members", 100},
	{"conversations.open", 50},
	{"conversations.replies", 50},
	{"conversations.setTopic", 20},
	{"usergroups.create", 20},
	{"usergroups.list", 20},
	{"usergroups.users.list", 20},
	{"usergroups.users.update", 20},
	{"users.info", 100},
	{"users.list", 20},
}

// postLanes is how many budgets share the conversations among them. Slack takes about one message a second in each; a budget for
// each of thousands of conversations would be without bound, so conversations share one by the hash of their id. Two that share are
// slower than they need be, never faster.
const postLanes = 16

// webBudgets gives each method a quarter of its minute as burst and three quarters as rate, so that no minute, wherever it begins,
// sees more than the tier.
func webBudgets(scale float64) []connectors.Budget {
	budgets := make([]connectors.Budget, 0, len(tiers)+postLanes)
	for _, t := range tiers {
		n := t.perMinute * scale
		budgets = append(budgets, connectors.Budget{Class: methodClass(t.method), Rate: n * 3 / 4 / 60, Burst: max(1, int(n/4))})
	}
	for lane := range uint32(postLanes) {
		budgets = append(budgets, connectors.Budget{Class: laneClass(lane), Rate: scale, Burst: max(1, int(scale))})
	}
	return budgets
}

func methodClass(method string) connectors.Class { return connectors.Class(Name + "." + method) }

func laneClass(lane uint32) connectors.Class {
	return connectors.Class(fmt.Sprintf("%s.post.%02d", Name, lane))
}

// reservePost takes a token of the conversation's own budget, beside that of the method.
func (w *Workspace) reservePost(ctx context.Context, op, channel string) error {
	h := fnv.New32a()
	_, _ = h.Write([]byte(channel)) // never fails
	err := w.quota.Reserve(ctx, laneClass(h.Sum32()%postLanes), 1)
	if err == nil {
		return nil
	}
	f := w.out.Fail(op, connectors.KindUnavailable, "our own budget of this conversation gives no token now")
	if kind := connectors.KindOf(err); kind != connectors.KindUnknown {
		f.Kind = kind
	}
	if ctx.Err() != nil {
		f.Kind, f.Detail = connectors.KindCanceled, "the caller gave up before anything was sent"
	}
	f.RetryAfter = connectors.RetryAfterOf(err)
	return f
}
