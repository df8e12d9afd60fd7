package work

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/musubi-hub/musubi/connectors/sandbox/jira/rich"
	"github.com/musubi-hub/musubi/connectors/sandbox/jira/wire"
	"github.com/musubi-hub/musubi/connectors/sandbox/site"
)

// publicProperty is the comment property that makes a comment internal.
const publicProperty = "sd.public.comment"

// visible gives the comments that the caller sees: customers the public ones.
func visible(c *site.Call, x *issue) []*comment {
	if c.As == "" {
		return x.comments
	}
	return slices.DeleteFunc(slices.Clone(x.comments), func(m *comment) bool { return m.Internal })
}

func (t *Tracker) renderComment(c *site.Call, x *issue, m *comment, v string, properties bool) doc {
	d := doc{
		"self": t.issueURL(c, x) + "/comment/" + strconv.FormatInt(m.ID, 10), "id": strconv.FormatInt(m.ID, 10), "author": t.user(c, m.Author),
		"updateAuthor": t.user(c, m.Author), "body": text(v, m.Body), "created": stamp(m.Created), "updated": stamp(m.Updated),
		"jsdPublic": !m.Internal,
	}
	if properties {
		list := []doc{}
		for k, v := range m.Props {
			list = append(list, doc{"key": k, "value": v})
		}
		slices.SortFunc(list, func(a, b doc) int { return strings.Compare(a["key"].(string), b["key"].(string)) }) //nolint:errcheck,forcetypeassert // made above
		d["properties"] = list
	}
	return d
}

func (t *Tracker) commentPage(c *site.Call, x *issue, v string, list []*comment, start, limit int) doc {
	expand := slices.Contains(split(c.Query(), "expand"), "properties")
	page := []doc{}
	for _, m := range wire.Cut(list, wire.Window{Start: start, Limit: limit}) {
		page = append(page, t.renderComment(c, x, m, v, expand))
	}
	return doc{"comments": page, "startAt": start, "maxResults": limit, "total": len(list)}
}

func (t *Tracker) listComments(c *site.Call) {
	w, no := startAt(c, 100, 5000)
	if no != nil {
		wire.WriteRefusal(c.W, c.R, no)
		return
	}
	var out doc
	if t.read(c, func(x *issue) *wire.Refusal {
		list := visible(c, x)
		switch c.Query().Get("orderBy") {
		case "", "created", "+created":
		case "-created":
			list = slices.Clone(list)
			slices.Reverse(list)
		default:
			return wire.Refuse(http.StatusBadRequest, "", "orderBy must be created, +created or -created.")
		}
		out = t.commentPage(c, x, version(c), list, w.Start, w.Limit)
		return nil
	}) {
		wire.WriteJSON(c.W, http.StatusOK, out)
	}
}

// startAt reads the platform's paging.
func startAt(c *site.Call, standard, most int) (wire.Window, *wire.Refusal) {
	w := wire.Window{Limit: standard}
	for name, into := range map[string]*int{"startAt": &w.Start, "maxResults": &w.Limit} {
		if text := c.Query().Get(name); text != "" {
			n, err := strconv.ParseInt(text, 10, 32)
			if err != nil || n < 0 {
				return w, wire.Refuse(http.StatusBadRequest, "", "The '"+name+"' parameter must be a non-negative integer")
			}
			*into = int(n)
		}
	}
	w.Limit = min(w.Limit, most)
	return w, nil
}

func noSuchComment(c *site.Call) *wire.Refusal {
	if wire.IsDesk(c.R) {
		return wire.Refuse(http.StatusNotFound, "sd.request.comment.not.found", "The comment does not exist.")
	}
	return wire.Refuse(http.StatusNotFound, "", "Can not find a comment for the id: "+wire.Clip(c.Vars["commentId"])+".")
}

func commentOf(c *site.Call, x *issue) *comment {
	list := visible(c, x)
	i := slices.IndexFunc(list, func(m *comment) bool { return strconv.FormatInt(m.ID, 10) == c.Vars["commentId"] })
	if i < 0 {
		return nil
	}
	return list[i]
}

func (t *Tracker) getComment(c *site.Call) {
	var out doc
	if t.read(c, func(x *issue) *wire.Refusal {
		m := commentOf(c, x)
		if m == nil {
			return noSuchComment(c)
		}
		out = t.renderComment(c, x, m, version(c), slices.Contains(split(c.Query(), "expand"), "properties"))
		return nil
	}) {
		wire.WriteJSON(c.W, http.StatusOK, out)
	}
}

func (t *Tracker) addComment(c *site.Call) {
	var b struct {
		Body       json.RawMessage `json:"body"`
		Properties []property      `json:"properties"`
	}
	no := wire.ReadBody(c, &b)
	var body json.RawMessage
	if no == nil {
		if len(b.Body) == 0 {
			b.Body = json.RawMessage(`""`)
		}
		if message := setText(version(c), b.Body, &body); message != "" {
			no = fieldError("comment", message)
		} else if strings.TrimSpace(rich.Text(body)) == "" {
			no = fieldError("comment", "Comment body can not be empty!")
		}
	}
	m := &comment{Body: body}
	if no == nil {
		no = setProperties(&m.Props, b.Properties)
	}
	if raw, ok := m.Props[publicProperty]; no == nil && ok {
		var value struct {
			Internal bool `json:"internal"`
		}
		if json.Unmarshal(raw, &value) != nil {
			no = wire.Refuse(http.StatusBadRequest, "", "The property sd.public.comment must be an object with internal.")
		}
		m.Internal = value.Internal
	}
	if no != nil {
		wire.WriteRefusal(c.W, c.R, no)
		return
	}
	var out doc
	if t.write(c, func(old *issue) *wire.Refusal {
		x, no := t.comment(c, old, m)
		if no == nil {
			out = t.renderComment(c, x, m, version(c), false)
		}
		return no
	}) {
		wire.WriteJSON(c.W, http.StatusCreated, out)
	}
}

// comment stores a comment and tells of it. The caller holds the lock.
func (t *Tracker) comment(c *site.Call, old *issue, m *comment, more ...any) (*issue, *wire.Refusal) {
	if c.As != "" {
		m.Internal = false // customers can't hide
	}
	if len(old.comments) >= maxComments {
		return nil, wire.Refuse(http.StatusRequestEntityTooLarge, "sd.limit", "The issue has reached its limit of comments.")
	}
	now := c.Now.UnixMicro()
	m.ID, m.Issue, m.Author, m.Created, m.Updated = t.next.Comment, old.ID, t.author(c), now, now
	x := t.touch(c, old)
	if p, _ := t.person(m.Author); !m.Internal && !p.Customer && m.Author != x.Reporter {
		x.respond(now)
	}
	if no := t.save(x, append([]any{m}, more...)...); no != nil {
		return nil, no
	}
	x = t.issues[x.ID].Current()
	t.tell(c, event{name: eventComment, kind: "issue_commented", issue: x, comment: m, serial: "comment" + strconv.FormatInt(m.ID, 10)})
	return x, nil
}

// renderDeskComment is a comment as /rest/servicedeskapi shows it.
func (t *Tracker) renderDeskComment(c *site.Call, x *issue, m *comment) doc {
	d := doc{
		"_expands": []string{"attachment", "renderedBody"}, "id": strconv.FormatInt(m.ID, 10), "body": rich.Text(m.Body), "public": !m.Internal,
		"created": wire.NewDate(m.Created),
		"_links":  wire.SelfLink{Self: wire.Rest(c.Base, "/servicedeskapi/request/"+strconv.FormatInt(x.ID, 10)+"/comment/"+strconv.FormatInt(m.ID, 10))},
	}
	if p, ok := t.person(m.Author); ok {
		d["author"] = p.Desk(c.Base)
	}
	if slices.Contains(split(c.Query(), "expand"), "attachment") {
		var files []doc
		for _, f := range x.files {
			if f.Comment == m.ID {
				files = append(files, t.renderDeskFile(c, x, f))
			}
		}
		d["attachments"] = wire.NewPage(c, wire.Window{Limit: wire.MaxPage}, len(files), files)
	}
	return d
}

// listDeskComments gives an empty list, not an error, to whom the request isn't shown.
func (t *Tracker) listDeskComments(c *site.Call) {
	w, no := wire.ReadWindow(c)
	show := map[string]bool{"public": true, "internal": true}
	for name := range show {
		if text := c.Query().Get(name); no == nil && text != "" {
			v, err := strconv.ParseBool(text)
			if err != nil {
				no = wire.BadRequest(name + " must be true or false.")
			}
			show[name] = v
		}
	}
	if no != nil {
		wire.WriteRefusal(c.W, c.R, no)
		return
	}
	var list []*comment
	var values []doc
	t.mu.RLock()
	if x := t.find(c, c.Vars["issueIdOrKey"]); x != nil {
		for _, m := range visible(c, x) {
			if m.Internal && show["internal"] || !m.Internal && show["public"] {
				list = append(list, m)
			}
		}
		for _, m := range wire.Cut(list, w) {
			values = append(values, t.renderDeskComment(c, x, m))
		}
	} else if c.As == "" {
		no = noSuchIssue(c)
	}
	t.mu.RUnlock()
	if no != nil {
		wire.WriteRefusal(c.W, c.R, no)
		return
	}
	wire.WritePage(c, w, len(list), values)
}

func (t *Tracker) getDeskComment(c *site.Call) {
	var out doc
	if t.read(c, func(x *issue) *wire.Refusal {
		m := commentOf(c, x)
		if m == nil {
			return noSuchComment(c)
		}
		out = t.renderDeskComment(c, x, m)
		return nil
	}) {
		wire.WriteJSON(c.W, http.StatusOK, out)
	}
}

func (t *Tracker) addDeskComment(c *site.Call) {
	var b struct {
		Body   string `json:"body"`
		Public *bool  `json:"public"`
	}
	no := wire.ReadBody(c, &b)
	m, wrong := plainComment(b.Body, b.Public != nil && *b.Public)
	switch {
	case no != nil:
	case wrong != nil:
		no = wrong
	case c.As != "" && m.Internal:
		no = wire.Refuse(http.StatusForbidden, "sd.request.comment.internal.forbidden", "Customers can add public comments only.")
	}
	if no != nil {
		wire.WriteRefusal(c.W, c.R, no)
		return
	}
	var out doc
	if t.write(c, func(old *issue) *wire.Refusal {
		x, no := t.comment(c, old, m)
		if no == nil {
			out = t.renderDeskComment(c, x, m)
		}
		return no
	}) {
		wire.WriteJSON(c.W, http.StatusCreated, out)
	}
}

// plainComment makes a comment of plain text.
func plainComment(body string, public bool) (*comment, *wire.Refusal) {
	if strings.TrimSpace(body) == "" {
		return nil, wire.Refuse(http.StatusBadRequest, "sd.request.comment.empty", "Comment body can not be empty!")
	}
	m := &comment{Body: rich.FromText(body), Internal: !public}
	if rich.Check(m.Body) != nil {
		return nil, wire.Refuse(http.StatusBadRequest, "sd.request.comment.too.long", "The comment is longer than 32767 characters.")
	}
	return m, nil
}
