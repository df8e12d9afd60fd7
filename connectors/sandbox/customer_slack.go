package sandbox

import (
	"net/http"
	"net/url"
	"strings"
)

// slackPage routes the workspace below /slack/.
func slackPage(v *visit, path string) {
	part := strings.Split(path, "/")
	channel := len(part) >= 2 && part[0] == "channels"
	switch {
	case v.r.Method == http.MethodPost && channel && len(part) == 3 && (part[2] == "say" || part[2] == "press"):
		v.act(part[1], part[2])
	case v.r.Method == http.MethodPost:
		v.missing()
	case path == "channels":
		v.channels()
	case channel && len(part) == 2:
		v.channel(part[1])
	case len(part) == 3 && part[0] == "archives": // a permalink
		http.Redirect(v.w, v.r, "/slack/channels/"+url.PathEscape(part[1])+"#"+url.PathEscape(part[2]), http.StatusSeeOther)
	default:
		v.missing()
	}
}

func (v *visit) channels() {
	_, page := readList(v.r)
	rows, total := v.s.workspace.ChannelsOf(v.session.Account, (page-1)*pageSize, pageSize)
	u, _ := v.s.workspace.Member(v.session.Account)
	v.show(http.StatusOK, "customer-channels", customerView{
		Title: "チャンネル", TitleEN: "Your channels", Tab: "channels", Channels: rows, User: u,
		Pager: newPager("/slack/channels", "", page, len(rows), total),
	})
}

func (v *visit) channel(id string) {
	_, page := readList(v.r)
	c, rows, total, ok := v.s.workspace.ThreadFor(v.session.Account, id, (page-1)*pageSize, pageSize)
	if !ok {
		v.missing()
		return
	}
	v.show(http.StatusOK, "customer-channel", customerView{
		Title: c.Name, TitleEN: "Channel", Tab: "channels", Channel: c, Messages: rows, Result: v.r.URL.Query().Get("result"),
		Pager: newPager("/slack/channels/"+url.PathEscape(id), "", page, len(rows), total),
	})
}

// act says something or presses a button, as the person who is logged in and nobody else.
func (v *visit) act(channel, verb string) {
	if _, _, _, in := v.s.workspace.ThreadFor(v.session.Account, channel, 0, 0); !in {
		v.missing()
		return
	}
	result, ok := v.s.pages.slackAct(v.r, channel, verb, v.session.Account)
	if !ok {
		v.missing()
		return
	}
	v.back("/slack/channels/"+url.PathEscape(channel), result)
}
