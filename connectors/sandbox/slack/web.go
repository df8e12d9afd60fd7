package slack

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/connectors/sandbox/site"
)

const jsonType = "application/json"

// The vendor's tiers: calls a minute of one method. Bursts are allowed but not published; here a tier's whole minute.
var (
	tier2   = perMinute(20, 20)
	tier3   = perMinute(50, 50)
	tier4   = perMinute(100, 100)
	special = perMinute(300, 100) // chat.postMessage and others: “several hundred a minute” of a workspace
	posting = site.Limit{Rate: 1, Burst: 3}
)

// args are a call's arguments as text; what came as a JSON array or object stays JSON.
type args map[string]string

func (a args) flag(name string) bool { return a[name] == "true" || a[name] == "1" }

// list reads identifiers, separated by commas or as a JSON array.
func (a args) list(name string) []string {
	var list []string
	if text := strings.TrimSpace(a[name]); strings.HasPrefix(text, "[") {
		_ = json.Unmarshal([]byte(text), &list) // what isn't a list of texts names nobody
	} else {
		list = strings.Split(text, ",")
	}
	var out []string
	for _, s := range list {
		if s = strings.TrimSpace(s); s != "" && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// request is a call of a method. The workspace's lock is held while it is answered.
type request struct {
	*site.Call
	args args
}

// failure is an answer with ok:false.
type failure struct {
	code  string
	extra map[string]any
	after time.Duration // of ratelimited
}

func fail(code string) *failure { return &failure{code: code} }

// method is one method of the Web API.
type method struct {
	name   string
	limit  site.Limit
	scopes []string // one of them is needed; none: any token will do
	read   bool
	need   []string // arguments
	run    func(*request) (map[string]any, *failure)
}

func (w *Workspace) webRoutes() []site.Route {
	var list []site.Route
	for _, m := range w.methods() {
		handle := func(c *site.Call) { w.call(c, m) }
		for _, verb := range []string{http.MethodPost, http.MethodGet} {
			list = append(list, site.Route{
				Method: verb, Pattern: "/api/" + m.name, Op: m.name, Class: m.name, Limit: m.limit, Read: m.read, Handle: handle,
			})
		}
	}
	return list
}

// methods lists the Web API.
func (w *Workspace) methods() []method {
	const (
		readAny  = "channels:read groups:read im:read mpim:read"
		writeAny = "channels:manage groups:write im:write mpim:write"
	)
	read := func(name string, limit site.Limit, scopes string, need string, run func(*request) (map[string]any, *failure)) method {
		return method{name, limit, strings.Fields(scopes), true, strings.Fields(need), run}
	}
	write := func(name string, limit site.Limit, scopes string, need string, run func(*request) (map[string]any, *failure)) method {
		return method{name, limit, strings.Fields(scopes), false, strings.Fields(need), run}
	}
	return []method{
		read("auth.test", special, "", "", w.authTest),
		read("users.info", tier4, "users:read", "user", w.usersInfo),
		read("users.list", tier2, "users:read", "", w.usersList),
		read("users.lookupByEmail", tier3, "users:read.email", "email", w.usersLookup),
		write("conversations.create", tier2, writeAny, "", w.create),
		read("conversations.info", tier3, readAny, "channel", w.info),
		read("conversations.list", tier2, readAny, "", w.list),
		read("conversations.members", tier4, readAny, "channel", w.members),
		write("conversations.invite", tier3, writeAny, "channel users", w.invite),
		write("conversations.kick", tier3, writeAny, "channel user", w.kick),
		write("conversations.archive", tier2, writeAny, "channel", w.archive),
		write("conversations.unarchive", tier2, writeAny, "channel", w.unarchive),
		write("conversations.rename", tier2, writeAny, "channel name", w.rename),
		write("conversations.join", tier3, "channels:join", "channel", w.join),
		write("conversations.open", tier3, writeAny, "", w.open),
		write("conversations.setTopic", tier2, "channels:manage groups:write channels:write.topic groups:write.topic", "channel topic", w.setTopic),
		write("conversations.setPurpose", tier2, "channels:manage groups:write channels:write.topic groups:write.topic", "channel purpose", w.setPurpose),
		read("conversations.history", tier3, "channels:history groups:history im:history mpim:history", "channel", w.history),
		read("conversations.replies", tier3, "channels:history groups:history im:history mpim:history", "channel ts", w.replies),
		write("chat.postMessage", special, "chat:write", "channel", w.postMessage),
		write("chat.update", tier3, "chat:write", "channel ts", w.update),
		write("chat.delete", tier3, "chat:write", "channel ts", w.deleteMessage),
		write("chat.postEphemeral", tier4, "chat:write", "channel user", w.postEphemeral),
		read("chat.getPermalink", special, "", "channel message_ts", w.permalink),
		write("reactions.add", tier3, "reactions:write", "name", w.react),
		write("usergroups.create", tier2, "usergroups:write", "name", w.groupCreate),
		read("usergroups.list", tier2, "usergroups:read", "", w.groupList),
		write("usergroups.update", tier2, "usergroups:write", "usergroup", w.groupUpdate),
		write("usergroups.enable", tier2, "usergroups:write", "usergroup", w.groupEnable),
		write("usergroups.disable", tier2, "usergroups:write", "usergroup", w.groupDisable),
		read("usergroups.users.list", tier2, "usergroups:read", "usergroup", w.groupUsers),
		write("usergroups.users.update", tier2, "usergroups:write", "usergroup", w.groupReplaceUsers),
		write("views.open", tier4, "", "view", w.viewsOpen),
		write("views.update", tier4, "", "view", w.viewsUpdate),
	}
}

// allScopes lists what the methods need.
func allScopes() []string {
	set := map[string]bool{}
	for _, m := range (&Workspace{}).methods() {
		for _, s := range m.scopes {
			set[s] = true
		}
	}
	return slices.Sorted(maps.Keys(set))
}

// call answers a method, always with status 200 but past the quota.
func (w *Workspace) call(c *site.Call, m method) {
	q, ok := c.Data.(*request)
	if !ok {
		w.writeFailure(c, fail("internal_error"))
		return
	}
	if no := w.checkCall(q, m); no != nil {
		w.writeFailure(c, no)
		return
	}
	w.mu.Lock()
	doc, no := m.run(q)
	w.mu.Unlock()
	if no != nil {
		w.writeFailure(c, no)
		return
	}
	if doc == nil {
		doc = map[string]any{}
	}
	doc["ok"] = true
	writeJSON(c.W, http.StatusOK, jsonType, doc)
}

// checkCall tests scopes and required arguments.
func (w *Workspace) checkCall(q *request, m method) *failure {
	provided := strings.Join(w.opt.Scopes, ",")
	q.W.Header().Set("X-OAuth-Scopes", provided)
	if len(m.scopes) > 0 {
		q.W.Header().Set("X-Accepted-OAuth-Scopes", strings.Join(m.scopes, ","))
		if !slices.ContainsFunc(m.scopes, func(s string) bool { return slices.Contains(w.opt.Scopes, s) }) {
			return &failure{code: "missing_scope", extra: map[string]any{"needed": strings.Join(m.scopes, ","), "provided": provided}}
		}
	}
	for _, name := range m.need {
		if q.args[name] == "" && !(name == "topic" || name == "purpose") {
			return invalidArguments("[ERROR] missing required field: " + name)
		}
	}
	return nil
}

func invalidArguments(messages ...string) *failure {
	return &failure{code: "invalid_arguments", extra: map[string]any{"response_metadata": map[string]any{"messages": messages}}}
}

func (w *Workspace) writeFailure(c *site.Call, no *failure) {
	status := http.StatusOK
	if no.code == "ratelimited" {
		status = http.StatusTooManyRequests
		site.SetRetryAfter(c.W, no.after)
	}
	doc := map[string]any{"ok": false, "error": no.code}
	maps.Copy(doc, no.extra)
	writeJSON(c.W, status, jsonType, doc)
}

// authenticateWeb reads the arguments and checks the token, which is in the header or among the arguments of the body.
func (w *Workspace) authenticateWeb(c *site.Call, _ *site.Route) bool {
	a, inBody, no := readArgs(c.R)
	token := bearer(c.R)
	if token == "" {
		token = inBody
	}
	switch {
	case no != nil:
	case token == "":
		no = fail("not_authed")
	case !sameSecret(token, w.opt.Token):
		no = fail("invalid_auth")
	case expired(w.opt.TokenExpires, c.Now):
		no = fail("token_expired")
	}
	if no != nil {
		w.writeFailure(c, no)
		return false
	}
	c.Data = &request{Call: c, args: a}
	return true
}

// readArgs reads the arguments of query and body. A token in the query isn't taken: it would be in every log on the way.
func readArgs(r *http.Request) (a args, token string, no *failure) {
	a = args{}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, "", fail("invalid_form_data")
	}
	a.take(query)
	delete(a, "token")
	raw, err := readAll(r.Body)
	switch {
	case errors.Is(err, errTooLarge):
		return nil, "", fail("request_too_large")
	case err != nil:
		return nil, "", fail("request_timeout")
	case len(raw) == 0:
		return a, "", nil
	}
	header := r.Header.Get("Content-Type")
	media, parameters, err := mime.ParseMediaType(header)
	switch {
	case header == "":
		return nil, "", fail("missing_post_type")
	case err != nil:
		return nil, "", fail("invalid_post_type")
	case parameters["charset"] != "" && !strings.EqualFold(parameters["charset"], "utf-8"):
		return nil, "", fail("invalid_charset")
	case media == "application/x-www-form-urlencoded":
		form, err := url.ParseQuery(string(raw))
		if err != nil {
			return nil, "", fail("invalid_form_data")
		}
		a.take(form)
	case media == jsonType:
		if no := a.takeJSON(raw); no != nil {
			return nil, "", no
		}
		delete(a, "token") // with JSON the token is in the header
		return a, "", nil
	default:
		return nil, "", fail("invalid_post_type")
	}
	token = a["token"]
	delete(a, "token")
	return a, token, nil
}

func (a args) take(form url.Values) {
	for k, v := range form {
		if len(v) > 0 {
			a[k] = v[0]
		}
	}
}

func (a args) takeJSON(raw []byte) *failure {
	if !json.Valid(raw) {
		return fail("invalid_json")
	}
	var doc map[string]json.RawMessage
	if json.Unmarshal(raw, &doc) != nil || doc == nil {
		return fail("json_not_object")
	}
	for k, v := range doc {
		var text string
		switch {
		case string(v) == "null":
		case json.Unmarshal(v, &text) == nil:
			a[k] = text
		default:
			a[k] = string(v)
		}
	}
	return nil
}

// limit reads the argument limit.
func (q *request) limit(standard, most int) (int, *failure) {
	if q.args["limit"] == "" || q.args["limit"] == "0" {
		return standard, nil
	}
	n, err := strconv.Atoi(q.args["limit"])
	if err != nil || n < 1 || n > most {
		return 0, fail("invalid_limit")
	}
	return n, nil
}

// page gives the part of ids that begins at the cursor, and the next cursor. A cursor names the first id of its page.
func page[T any](q *request, kind string, all []T, key func(T) string, limit int) (part []T, next string, no *failure) {
	start := 0
	if cursor := q.args["cursor"]; cursor != "" {
		raw, err := base64.StdEncoding.DecodeString(cursor)
		id, ok := strings.CutPrefix(string(raw), kind+":")
		if start = slices.IndexFunc(all, func(v T) bool { return key(v) == id }); err != nil || !ok || start < 0 {
			return nil, "", fail("invalid_cursor")
		}
	}
	part = window(all, start, limit)
	if start+len(part) < len(all) {
		next = base64.StdEncoding.EncodeToString([]byte(kind + ":" + key(all[start+len(part)])))
	}
	return part, next, nil
}

func metadata(next string) map[string]any { return map[string]any{"next_cursor": next} }

// failed answers a journal that can't be written: nothing was done.
func failed(err error) *failure {
	if err == nil {
		return nil
	}
	return fail("fatal_error")
}
