package sandbox_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/musubi-hub/musubi/connectors/sandbox"
)

// newerCodes are refusals that the vendor documents today and its description of 2021 doesn't have.
var newerCodes = map[string][]string{
	"":                         {"missing_scope", "invalid_arguments", "token_expired", "ratelimited"},
	"usergroups.create":        {"name_already_exists", "handle_already_exists"},
	"usergroups.users.update":  {"invalid_users", "no_users_provided", "no_such_subteam"},
	"chat.postMessage":         {"invalid_blocks"},
	"conversations.replies":    {"not_in_channel"},
	"conversations.history":    {"invalid_limit"},
	"conversations.list":       {"invalid_types"},
	"usergroups.users.list":    {"no_such_subteam"},
	"conversations.invite":     {},
	"conversations.unarchive":  {"not_in_channel"},
	"conversations.setPurpose": {},
}

// asJSONSchema turns the vendor's way to say "one of" (a list of items on what is no array) into JSON Schema's.
func asJSONSchema(v any) any {
	switch x := v.(type) {
	case []any:
		for i := range x {
			x[i] = asJSONSchema(x[i])
		}
	case map[string]any:
		for k := range x {
			x[k] = asJSONSchema(x[k])
		}
		choices, listed := x["items"].([]any)
		if !listed {
			break
		}
		delete(x, "items")
		if x["type"] == "array" {
			x["items"] = map[string]any{"anyOf": choices}
		} else {
			x["anyOf"] = choices
		}
	}
	return v
}

// webContract validates answers of the Web API by the vendor's own description, and notes which methods were checked.
type webContract struct {
	t        *testing.T
	f        *fixture
	spec     map[string]any
	compiler *jsonschema.Compiler
	ok, no   map[string]bool
}

func newWebContract(t *testing.T, f *fixture) *webContract {
	raw, err := jsonschema.UnmarshalJSON(bytes.NewReader(shared(t, "specs/slack_web_openapi_v2.json")))
	if err != nil {
		t.Fatal(err)
	}
	spec := asJSONSchema(raw).(map[string]any)
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft4)
	if err := c.AddResource("slack.json", spec); err != nil {
		t.Fatal(err)
	}
	return &webContract{t, f, spec, c, map[string]bool{}, map[string]bool{}}
}

func (c *webContract) check(method, response string, a answer) error {
	verb := "post"
	if c.spec["paths"].(map[string]any)["/"+method].(map[string]any)[verb] == nil {
		verb = "get"
	}
	pointer := fmt.Sprintf("slack.json#/paths/~1%s/%s/responses/%s/schema", method, verb, response)
	s, err := c.compiler.Compile(pointer)
	if err != nil {
		c.t.Fatal(err)
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(a.body))
	if err != nil {
		return err
	}
	return s.Validate(v)
}

// good calls a method and checks the answer; fields that came after the description are taken out first.
func (c *webContract) good(method string, body doc, newer ...string) answer {
	c.t.Helper()
	a := c.f.web(method, body)
	stripped := map[string]any{}
	if err := json.Unmarshal(a.body, &stripped); err != nil {
		c.t.Fatal(err)
	}
	for _, path := range newer {
		strip(stripped, strings.Split(path, "."))
	}
	raw, err := json.Marshal(stripped)
	if err != nil {
		c.t.Fatal(err)
	}
	if err := c.check(method, "200", answer{body: raw}); err != nil {
		c.t.Errorf("%s: %v\n%s", method, err, a.body)
	}
	c.ok[method] = true
	return a
}

// strip takes a field out; "*" goes into every element of a list.
func strip(v any, path []string) {
	switch x := v.(type) {
	case []any:
		for _, e := range x {
			strip(e, path[1:])
		}
	case map[string]any:
		if len(path) == 1 {
			delete(x, path[0])
			return
		}
		strip(x[path[0]], path[1:])
	}
}

// bad calls a method that is refused and checks that the vendor lists the code.
func (c *webContract) bad(code, method string, body doc) {
	c.t.Helper()
	a := c.f.webError(code, method, body)
	c.no[method] = true
	if slices.Contains(newerCodes[""], code) || slices.Contains(newerCodes[method], code) {
		return
	}
	if err := c.check(method, "default", answer{body: a.body}); err != nil && !strings.Contains(string(a.body), `"errors"`) {
		c.t.Errorf("%s: %v\n%s", method, err, a.body)
	}
}

func TestSlackAnswersFollowTheVendorsDescription(t *testing.T) {
	f := newFixture(t)
	c := newWebContract(t, f)
	user, other := f.slackUser(1), f.slackUser(2)
	guest := f.slackGuest(3, "2027-03-31T00:00:00Z")
	c.good("auth.test", nil)
	for _, id := range []string{user, guest, f.web("auth.test", nil).str("user_id")} {
		c.good("users.info", doc{"user": id})
	}
	c.bad("user_not_found", "users.info", doc{"user": "U0NOBODY"})
	c.good("users.list", nil)
	c.bad("invalid_cursor", "users.list", doc{"cursor": "x"})
	c.good("users.lookupByEmail", doc{"email": "user001@example.go.jp"})
	c.bad("users_not_found", "users.lookupByEmail", doc{"email": "x@example.go.jp"})

	// The check must be able to fail: a field that isn't described, one that is missing, a code that isn't listed.
	for _, wrong := range []string{`{"ok":true,"user":{"id":"U1"}}`, strings.Replace(string(f.web("users.info", doc{"user": user}).body), `"name":`, `"nome":`, 1)} {
		if c.check("users.info", "200", answer{body: []byte(wrong)}) == nil {
			t.Fatalf("the description takes %s", wrong)
		}
	}
	if c.check("users.info", "default", answer{body: []byte(`{"ok":false,"error":"nothing"}`)}) == nil {
		t.Fatal("the description takes any code")
	}

	made := c.good("conversations.create", doc{"name": "incident"})
	id := made.str("channel", "id")
	for name, code := range map[string]string{"incident": "name_taken", "": "invalid_name_required", "A": "invalid_name_specials", "-": "invalid_name_punctuation", strings.Repeat("a", 81): "invalid_name_maxlength"} {
		c.bad(code, "conversations.create", doc{"name": name})
	}
	private := c.good("conversations.create", doc{"name": "closed", "is_private": true}).str("channel", "id")
	c.good("conversations.info", doc{"channel": id, "include_num_members": true})
	c.good("conversations.info", doc{"channel": private})
	c.bad("channel_not_found", "conversations.info", doc{"channel": "C0NONE"})
	c.good("conversations.invite", doc{"channel": id, "users": user + "," + other})
	for users, code := range map[string]string{user: "already_in_channel", "U0NOBODY": "user_not_found", ",": "no_user"} {
		c.bad(code, "conversations.invite", doc{"channel": id, "users": users})
	}
	c.good("conversations.members", doc{"channel": id})
	c.bad("invalid_limit", "conversations.members", doc{"channel": id, "limit": -1})
	c.good("conversations.kick", doc{"channel": id, "user": other})
	c.bad("not_in_channel", "conversations.kick", doc{"channel": id, "user": other})
	c.good("conversations.setTopic", doc{"channel": id, "topic": "避難所"})
	c.bad("too_long", "conversations.setTopic", doc{"channel": id, "topic": strings.Repeat("x", 251)})
	c.good("conversations.setPurpose", doc{"channel": id, "purpose": "連絡"})
	c.bad("channel_not_found", "conversations.setPurpose", doc{"channel": "C0NONE"})
	c.good("conversations.rename", doc{"channel": id, "name": "incident-1"})
	c.bad("name_taken", "conversations.rename", doc{"channel": id, "name": "closed"})
	c.good("conversations.join", doc{"channel": id})
	c.bad("channel_not_found", "conversations.join", doc{"channel": "C0NONE"})
	dm := c.good("conversations.open", doc{"users": user, "return_im": true}).str("channel", "id")
	c.good("conversations.open", doc{"users": user + "," + other, "return_im": true})
	c.bad("users_list_not_supplied", "conversations.open", doc{})
	c.good("conversations.list", doc{"types": "public_channel,private_channel,im,mpim"})
	c.bad("invalid_types", "conversations.list", doc{"types": "x"})

	ts := c.good("chat.postMessage", doc{"channel": id, "text": "始まり", "blocks": buttons}).str("ts")
	c.good("chat.postMessage", doc{"channel": id, "text": "返信", "thread_ts": ts})
	c.good("chat.postMessage", doc{"channel": dm, "text": "個別"})
	if _, err := f.s.Workspace().Say(id, user, "了解", ts); err != nil {
		t.Fatal(err)
	}
	c.bad("no_text", "chat.postMessage", doc{"channel": id})
	c.bad("msg_too_long", "chat.postMessage", doc{"channel": id, "text": strings.Repeat("x", 40_001)})
	c.good("reactions.add", doc{"channel": id, "timestamp": ts, "name": "eyes"})
	c.bad("already_reacted", "reactions.add", doc{"channel": id, "timestamp": ts, "name": "eyes"})
	c.good("conversations.history", doc{"channel": id})
	c.bad("channel_not_found", "conversations.history", doc{"channel": "C0NONE"})
	// The description of a thread is older than bots, blocks and reactions in it.
	c.good("conversations.replies", doc{"channel": id, "ts": ts}, "messages.*.bot_id", "messages.*.bot_profile", "messages.*.blocks", "messages.*.reactions")
	c.bad("thread_not_found", "conversations.replies", doc{"channel": id, "ts": "1700000000.000000"})
	c.good("chat.update", doc{"channel": id, "ts": ts, "text": "改"}, "message.blocks") // described as an object
	c.bad("message_not_found", "chat.update", doc{"channel": id, "ts": "1700000000.000000", "text": "x"})
	c.good("chat.getPermalink", doc{"channel": id, "message_ts": ts})
	c.bad("message_not_found", "chat.getPermalink", doc{"channel": id, "message_ts": "1700000000.000000"})
	c.good("chat.postEphemeral", doc{"channel": id, "user": user, "text": "x"})
	c.bad("user_not_in_channel", "chat.postEphemeral", doc{"channel": id, "user": other, "text": "x"})
	c.good("chat.delete", doc{"channel": id, "ts": c.good("chat.postMessage", doc{"channel": id, "text": "x"}).str("ts")})
	c.bad("message_not_found", "chat.delete", doc{"channel": id, "ts": "1700000000.000000"})

	g := c.good("usergroups.create", doc{"name": "当番", "handle": "toban", "include_count": true}).str("usergroup", "id")
	c.bad("name_already_exists", "usergroups.create", doc{"name": "当番"})
	c.good("usergroups.users.update", doc{"usergroup": g, "users": user})
	c.bad("invalid_users", "usergroups.users.update", doc{"usergroup": g, "users": "U0NOBODY"})
	c.good("usergroups.users.list", doc{"usergroup": g})
	c.good("usergroups.list", doc{"include_users": true, "include_count": true})
	c.good("usergroups.update", doc{"usergroup": g, "name": "夜の当番"})
	c.good("usergroups.disable", doc{"usergroup": g})
	c.good("usergroups.enable", doc{"usergroup": g})
	c.good("conversations.archive", doc{"channel": id})
	c.bad("already_archived", "conversations.archive", doc{"channel": id})
	c.good("conversations.unarchive", doc{"channel": id})
	c.bad("not_archived", "conversations.unarchive", doc{"channel": id})

	// The document lists what is covered here; views have no description to be checked against.
	var covered []string
	for method := range c.ok {
		covered = append(covered, method)
	}
	slices.Sort(covered)
	for _, r := range f.s.Workspace().Table().Routes() {
		if method, ok := strings.CutPrefix(r.Pattern, "/api/"); ok && !c.ok[method] && !strings.HasPrefix(method, "views.") {
			t.Errorf("%s isn't checked", method)
		}
	}
	list, err := os.ReadFile(filepath.Join("..", "..", "docs", "sandbox.md"))
	if err != nil {
		t.Fatal(err)
	}
	if want := "`" + strings.Join(covered, "`, `") + "`"; !strings.Contains(strings.ReplaceAll(string(list), "\n", " "), want) {
		t.Errorf("docs/sandbox.md doesn't list the covered methods as\n%s", want)
	}
}

func TestSlackRefusesWithTheVendorsFatalErrors(t *testing.T) {
	f := newFixture(t)
	c := newWebContract(t, f)
	f.plant(sandbox.Fault{Target: "slack", Kind: "not_ok", Error: "fatal_error"})
	c.bad("fatal_error", "users.list", doc{})
}
