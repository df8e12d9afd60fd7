package sandbox_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/musubi-hub/musubi/connectors/sandbox"
	"github.com/musubi-hub/musubi/connectors/sandbox/journal"
)

func noCredential(r *http.Request) { r.Header.Del("Authorization") }

// world is everything that must survive: the ground truth, and answers with the parts that it doesn't hold.
func world(t testing.TB, f *fixture) []any {
	t.Helper()
	a, _ := f.s.State("atlassian")
	j, _ := f.s.State("jira")
	k, _ := f.s.State("slack")
	sub, _ := f.s.Workspace().Subscription()
	all := []any{a, j, k, sub}
	for _, path := range []string{
		"/slack/scim/v2/Users?count=100", "/slack/scim/v2/Groups?count=100", "/slack/api/users.list", "/slack/api/usergroups.list?include_disabled=1&include_users=1",
		"/slack/api/conversations.list?types=public_channel,private_channel,im,mpim&limit=100",
	} {
		answer := f.call(200, "GET", path, nil).doc
		delete(answer, "cache_ts")
		all = append(all, answer)
	}
	for _, c := range k.Channels {
		all = append(all, f.call(200, "GET", "/slack/api/conversations.history?channel="+c.ID, nil).doc, f.call(200, "GET", "/slack/api/conversations.members?channel="+c.ID, nil).doc)
	}
	for _, path := range []string{
		scimRoot + "/Users", scimRoot + "/Groups", deskRoot + "/organization", deskRoot + "/servicedesk/1/organization", deskRoot + "/servicedesk/1/customer",
	} {
		all = append(all, f.call(200, "GET", path, nil, experimental).doc)
	}
	for _, g := range j.Groups {
		all = append(all, f.desk(200, "GET", "/organization/"+g.ID+"/property", nil).doc, f.desk(200, "GET", "/organization/"+g.ID+"/user", nil).doc)
	}
	return all
}

// TestStateSurvives sends random requests, closes at random moments and compares what comes back with what was there.
func TestStateSurvives(t *testing.T) {
	dirs := 0
	root := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		dirs++
		dir := filepath.Join(root, fmt.Sprint(dirs))
		c := newClock()
		open := func() *fixture {
			opt := testOptions(c)
			opt.Dir = dir
			s, err := sandbox.New(opt)
			if err != nil {
				t.Fatal(err)
			}
			return &fixture{t, s, c, s.Transport()}
		}
		f := open()
		defer func() { _ = f.s.Close() }()
		send := func(method, path string, body any) { _, _ = f.try(method, path, body, experimental) }
		n := func(max int) int { return rapid.IntRange(0, max).Draw(rt, "n") }
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			c.forward(1000)
			a, _ := f.s.State("atlassian")
			j, _ := f.s.State("jira")
			user, group, customer := "none", "none", "none"
			if len(a.Accounts) > 0 {
				user = a.Accounts[n(len(a.Accounts)-1)].ID
			}
			if len(a.Groups) > 0 {
				group = a.Groups[n(len(a.Groups)-1)].ID
			}
			if len(j.Accounts) > 0 {
				customer = j.Accounts[n(len(j.Accounts)-1)].ID
			}
			org := fmt.Sprint(n(3) + 1)
			slackStep(f, n)
			switch n(13) {
			case 0, 1:
				send("POST", scimRoot+"/Users", userDoc(n(5)))
			case 2:
				send("PATCH", scimRoot+"/Users/"+user, patchDoc(doc{"op": "replace", "path": "active", "value": n(1) == 0}))
			case 3:
				send("DELETE", scimRoot+"/Users/"+user, nil)
			case 4:
				send("POST", scimRoot+"/Groups", groupDoc(fmt.Sprint("g", n(3)), user))
			case 5:
				send("PATCH", scimRoot+"/Groups/"+group, patchDoc(doc{"op": []string{"add", "remove"}[n(1)], "path": "members", "value": []doc{{"value": user}}}))
			case 6:
				send("DELETE", scimRoot+"/Groups/"+group, nil)
			case 7, 8:
				send("POST", deskRoot+"/customer", doc{"email": fmt.Sprintf("c%d@x.example", n(5)), "displayName": "c"})
			case 9:
				send("POST", deskRoot+"/organization", doc{"name": fmt.Sprint("o", n(4))})
			case 10:
				send([]string{"POST", "DELETE"}[n(1)], deskRoot+"/organization/"+org+"/user", doc{"accountIds": []string{customer}})
			case 11:
				send("PUT", deskRoot+"/customer/user/"+customer+"/revoke-portal-only-access", nil)
			case 12:
				send([]string{"POST", "DELETE"}[n(1)], deskRoot+"/servicedesk/1/customer", doc{"accountIds": []string{customer}})
				send([]string{"POST", "DELETE"}[n(1)], deskRoot+"/servicedesk/1/organization", doc{"organizationId": n(3) + 1})
				send([]string{"PUT", "DELETE"}[n(1)], deskRoot+"/organization/"+org+"/property/k", "1")
			case 13:
				send("DELETE", deskRoot+"/organization/"+org, nil)
			}
			if n(9) > 0 {
				continue
			}
			before := world(t, f)
			_ = f.s.Close()
			f = open()
			if after := world(t, f); !reflect.DeepEqual(before, after) {
				rt.Fatalf("after a restart\n%v\nwant\n%v", after, before)
			}
		}
	})
}

// slackStep does one random thing in the workspace, by API or by hand.
func slackStep(f *fixture, n func(max int) int) {
	k, _ := f.s.State("slack")
	pick := func(ids []string) string {
		if len(ids) == 0 {
			return "none"
		}
		return ids[n(len(ids)-1)]
	}
	var users, groups, channels []string
	for _, a := range k.Accounts {
		users = append(users, a.ID)
	}
	for _, g := range k.Groups {
		groups = append(groups, g.ID)
	}
	for _, c := range k.Channels {
		channels = append(channels, c.ID)
	}
	user, group, channel := pick(users), pick(groups), pick(channels)
	ts := "none"
	for _, c := range k.Channels {
		if c.ID == channel && len(c.Messages) > 0 {
			ts = c.Messages[n(len(c.Messages)-1)].TS
		}
	}
	scim := func(method, path string, body any) { _, _ = f.try(method, slackScim+path, body) }
	web := func(method string, body doc) { _, _ = f.try("POST", "/slack/api/"+method, body) }
	switch n(11) {
	case 0, 1:
		d := slackUserDoc(n(5))
		if n(3) == 0 {
			d[guestSchema] = doc{"type": "multi", "expiration": "2027-03-31T00:00:00Z"}
		}
		scim("POST", "/Users", d)
	case 2:
		scim("PATCH", "/Users/"+user, patchDoc(doc{"op": "replace", "path": "active", "value": n(1) == 0}))
	case 3:
		scim("POST", "/Groups", groupDoc(fmt.Sprint("g", n(3)), user))
	case 4:
		scim("PATCH", "/Groups/"+group, patchDoc(doc{"op": "add", "path": "members", "value": []doc{{"value": user}}}))
		web("usergroups.users.update", doc{"usergroup": group, "users": user})
		web([]string{"usergroups.disable", "usergroups.enable"}[n(1)], doc{"usergroup": group})
	case 5:
		scim("DELETE", "/Groups/"+group, nil)
	case 6:
		web("conversations.create", doc{"name": fmt.Sprint("c", n(4)), "is_private": n(1) == 0})
		web("conversations.open", doc{"users": user})
	case 7:
		web("conversations.invite", doc{"channel": channel, "users": user})
		_ = f.s.Workspace().Join(channel, user)
	case 8:
		web([]string{"conversations.kick", "conversations.archive", "conversations.unarchive", "conversations.setTopic"}[n(3)], doc{"channel": channel, "user": user, "topic": "t"})
		_ = f.s.Workspace().Leave(channel, user)
	case 9:
		web("chat.postMessage", doc{"channel": channel, "text": "x", "thread_ts": []string{"", ts}[n(1)]})
		web("chat.postEphemeral", doc{"channel": channel, "user": user, "text": "x"})
		_, _ = f.s.Workspace().Say(channel, user, "y", "")
	case 10:
		web("reactions.add", doc{"channel": channel, "timestamp": ts, "name": []string{"eyes", "ok"}[n(1)]})
		web([]string{"chat.update", "chat.delete"}[n(1)], doc{"channel": channel, "ts": ts, "text": "z"})
	case 11:
		_ = f.s.Workspace().RestrictToOneChannel(user)
		web("conversations.rename", doc{"channel": channel, "name": fmt.Sprint("r", n(3))})
	}
}

func TestTornLastLineIsDropped(t *testing.T) {
	dir := t.TempDir()
	inDir := func(o *sandbox.Options) { o.Dir = dir }
	f := newFixture(t, inDir)
	f.user(1)
	whole := world(t, f)
	size := fileSize(t, dir)
	f.user(2)
	_ = f.s.Close()
	path := filepath.Join(dir, journal.FileName)
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for cut := size; cut < len(raw); cut += 7 {
		if err := os.WriteFile(path, raw[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		f := newFixture(t, inDir)
		if got := world(t, f); !reflect.DeepEqual(got, whole) {
			t.Fatalf("cut at %d of %d: %v", cut, len(raw), got)
		}
		_ = f.s.Close()
	}
	broken := []byte(strings.Replace(string(raw), "user001", "user0O1", 1))
	if err := os.WriteFile(path, broken, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := sandbox.New(func() sandbox.Options { o := testOptions(newClock()); o.Dir = dir; return o }()); err == nil || !strings.Contains(err.Error(), "checksum") {
		t.Errorf("a broken line in the middle: %v", err)
	}
}

func fileSize(t *testing.T, dir string) int {
	t.Helper()
	i, err := os.Stat(filepath.Join(dir, journal.FileName))
	if err != nil {
		t.Fatal(err)
	}
	return int(i.Size())
}

func TestResetAndCompaction(t *testing.T) {
	dir := t.TempDir()
	inDir := func(o *sandbox.Options) { o.Dir = dir }
	f := newFixture(t, inDir)
	id := f.user(1)
	for range 50 {
		f.scim(200, "PUT", "/Users/"+id, userDoc(1))
	}
	long := fileSize(t, dir)
	_ = f.s.Close()
	f = newFixture(t, inDir)
	if short := fileSize(t, dir); short*10 > long {
		t.Errorf("compacted to %d of %d bytes", short, long)
	}
	if err := f.s.Reset(); err != nil {
		t.Fatal(err)
	}
	f.user(2)
	_ = f.s.Close()
	f = newFixture(t, inDir)
	if c, _ := f.s.Counts("atlassian"); c.Accounts != 1 {
		t.Errorf("after reset and restart: %+v", c)
	}
}

func TestAClosedJournalRefusesChanges(t *testing.T) {
	f := newFixture(t, func(o *sandbox.Options) { o.Dir = t.TempDir() })
	if err := f.s.Close(); err != nil {
		t.Fatal(err)
	}
	f.scim(503, "POST", "/Users", userDoc(1))
	f.desk(503, "POST", "/customer", doc{"email": "a@b.example", "displayName": "a"})
	f.refused(503, "service_unavailable", "POST", "/Users", slackUserDoc(1))
	f.webError("fatal_error", "conversations.create", doc{"name": "a"})
	if k, _ := f.s.State("slack"); len(k.Accounts) != 1 || len(k.Channels) != 1 {
		t.Error("a change of the workspace that could not be stored was made")
	}
	if a, j := counts(f); a.Accounts+j.Accounts != 0 {
		t.Error("a change that could not be stored was made")
	}
}

func counts(f *fixture) (a, j sandbox.Counts) {
	a, _ = f.s.Counts("atlassian")
	j, _ = f.s.Counts("jira")
	return a, j
}

func TestOptionsAreChecked(t *testing.T) {
	for name, change := range map[string]func(*sandbox.Options){
		"no token": func(o *sandbox.Options) {
			o.Atlassian.Token, o.Jira.Token, o.Slack.Token, o.Slack.AdminToken = "", "", "", ""
		},
		"negative scale": func(o *sandbox.Options) { o.QuotaScale = -1 },
		"base path":      func(o *sandbox.Options) { o.BaseURL = "http://127.0.0.1/x" },
		"base scheme":    func(o *sandbox.Options) { o.BaseURL = "ftp://127.0.0.1" },
		"not a folder":   func(o *sandbox.Options) { o.Dir = "/dev/null/x" },
	} {
		opt := testOptions(newClock())
		change(&opt)
		if _, err := sandbox.New(opt); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	f := newFixture(t, func(o *sandbox.Options) { o.Jira.Token = "" })
	f.desk(401, "GET", "/organization", nil, func(r *http.Request) { r.SetBasicAuth(jiraEmail, "") })
}
