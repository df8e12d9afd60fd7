package sandbox

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/musubi-hub/musubi/connectors/sandbox/slack"
)

// maxForm bounds what a page's form sends, in octets.
const maxForm = 256 << 10

// slackView is what the Slack pages show beside the rest of a view.
type slackView struct {
	Guests   bool
	Users    []slack.UserRow
	Groups   []slack.GroupRow
	Channels []slack.ChannelRow
	Channel  slack.ChannelRow
	Messages []slack.MessageRow
	People   []slack.PersonRow
	As       string
	Result   string // of the last form: "", said, pressed, or why not
}

// serveSlack routes the Slack pages below /slack/.
func (p *pageSet) serveSlack(w http.ResponseWriter, r *http.Request, path string) {
	part := strings.Split(path, "/")
	switch {
	case path == "":
		p.slackUsers(w, r, false)
	case path == "guests":
		p.slackUsers(w, r, true)
	case path == "channels":
		p.slackChannels(w, r)
	case path == "groups":
		p.slackGroups(w, r)
	case len(part) == 2 && part[0] == "channels":
		p.slackChannel(w, r, part[1])
	case len(part) == 2 && part[0] == "groups":
		p.slackGroup(w, r, part[1])
	case len(part) == 3 && part[0] == "archives": // a permalink
		http.Redirect(w, r, "/slack/channels/"+url.PathEscape(part[1])+"#"+url.PathEscape(part[2]), http.StatusSeeOther)
	default:
		p.missing(w)
	}
}

func (p *pageSet) slackUsers(w http.ResponseWriter, r *http.Request, guests bool) {
	query, page := readList(r)
	rows, total := p.s.workspace.Users(query, guests, (page-1)*pageSize, pageSize)
	v := view{
		Title: "Slack 利用者", TitleEN: "Slack users", Tab: "slack", Query: query, Searchable: true, Slack: slackView{Users: rows, Guests: guests},
		Pager: newPager("/slack/", query, page, len(rows), total),
	}
	if guests {
		v.Title, v.TitleEN, v.Pager.Path = "Slack ゲスト", "Slack guests", "/slack/guests"
	}
	p.render(w, http.StatusOK, "slack-users", v)
}

func (p *pageSet) slackGroups(w http.ResponseWriter, r *http.Request) {
	_, page := readList(r)
	rows, total := p.s.workspace.Groups((page-1)*pageSize, pageSize)
	p.render(w, http.StatusOK, "slack-groups", view{
		Title: "Slack ユーザーグループ", TitleEN: "Slack user groups", Tab: "slack-groups", Slack: slackView{Groups: rows},
		Pager: newPager("/slack/groups", "", page, len(rows), total),
	})
}

func (p *pageSet) slackGroup(w http.ResponseWriter, r *http.Request, id string) {
	_, page := readList(r)
	g, rows, ok := p.s.workspace.GroupMembers(id, (page-1)*pageSize, pageSize)
	if !ok {
		p.missing(w)
		return
	}
	p.render(w, http.StatusOK, "slack-users", view{
		Title: g.Name, TitleEN: "Slack user group", Tab: "slack-groups", Slack: slackView{Users: rows},
		Pager: newPager("/slack/groups/"+url.PathEscape(id), "", page, len(rows), g.Members),
	})
}

func (p *pageSet) slackChannels(w http.ResponseWriter, r *http.Request) {
	_, page := readList(r)
	rows, total := p.s.workspace.Channels((page-1)*pageSize, pageSize)
	p.render(w, http.StatusOK, "slack-channels", view{
		Title: "Slack チャンネル", TitleEN: "Slack channels", Tab: "slack-channels", Slack: slackView{Channels: rows},
		Pager: newPager("/slack/channels", "", page, len(rows), total),
	})
}

func (p *pageSet) slackChannel(w http.ResponseWriter, r *http.Request, id string) {
	_, page := readList(r)
	c, rows, people, total, ok := p.s.workspace.Thread(id, (page-1)*pageSize, pageSize)
	if !ok {
		p.missing(w)
		return
	}
	q := r.URL.Query()
	p.render(w, http.StatusOK, "slack-channel", view{
		Title: c.Name, TitleEN: "Slack channel", Tab: "slack-channels",
		Slack: slackView{Channel: c, Messages: rows, People: people, As: q.Get("as"), Result: q.Get("result")},
		Pager: newPager("/slack/channels/"+url.PathEscape(id), "", page, len(rows), total),
	})
}

// slackPost takes the forms of a channel's page: say something, or press a button. It answers with the way back.
func (p *pageSet) slackPost(w http.ResponseWriter, r *http.Request) {
	part := strings.Split(strings.TrimPrefix(r.URL.Path, "/slack/"), "/")
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := p.s.checkSender(r); err != nil {
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	if len(part) != 3 || part[0] != "channels" || part[2] != "say" && part[2] != "press" {
		p.missing(w)
		return
	}
	if err := r.ParseForm(); err != nil {
		http.Error(w, "the form can't be read", http.StatusBadRequest)
		return
	}
	result, ok := p.slackAct(r, part[1], part[2], r.PostForm.Get("as"))
	if !ok {
		p.missing(w)
		return
	}
	back := url.Values{"as": {r.PostForm.Get("as")}, "result": {result}}
	http.Redirect(w, r, "/slack/channels/"+url.PathEscape(part[1])+"?"+back.Encode(), http.StatusSeeOther)
}

// slackAct does what a parsed form of a channel's page says, as somebody, and tells how it went; false where there is no such channel.
func (p *pageSet) slackAct(r *http.Request, channel, verb, as string) (result string, ok bool) {
	form, result := r.PostForm, "said"
	var err error
	if verb == "say" {
		_, err = p.s.workspace.Say(channel, as, form.Get("text"), form.Get("thread_ts"))
	} else {
		result = "pressed"
		err = p.s.workspace.Press(r.Context(), channel, as, form.Get("ts"), form.Get("action_id"), r.Form.Get("block_id"))
	}
	switch {
	case err == nil:
	case errors.Is(err, slack.ErrNoChannel):
		return "", false
	case errors.Is(err, slack.ErrNotTold):
		result = "untold"
	case errors.Is(err, slack.ErrNoSender):
		result = "nobody"
	default:
		result = "refused"
	}
	return result, true
}
