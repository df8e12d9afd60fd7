//go:build interop

package interop_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/musubi-hub/musubi/identity/cert/testpki"
)

// maxPage is how large a login page may be with its style sheet, in octets.
const maxPage = 30 << 10

var incident = regexp.MustCompile(`[0-9]{6}(-[0-9A-Z]{4}){3}`)

// peopleLogIn holds what login-tour.mjs sees: the whole way from a product's page by the hub to the card and back.
func peopleLogIn(t *testing.T, d *demonstration) {
	// With a person before it the demonstration does this by itself.
	d.musubi(t, "transfers", "add", "--org", "041009", "S00005", "--kind", "兼務", "--at", time.Now().In(time.FixedZone("JST", 9*3600)).Format("2006-01-02"),
		"--to", "040002", "--to-staff-number", "K00001", "--section", "デジタル推進課", "--role", "general")
	arguments := []string{browserHome(t, d.authority, d.card("city-administrator"), testpki.Password), d.hubPort, d.sitesPort}
	if folder := os.Getenv("SCREENSHOTS"); folder != "" {
		arguments = append(arguments, folder)
	}
	var seen struct {
		Pages []struct {
			pageReport
			Name, URL       string
			Overflow, Bytes int
		}
		Walks struct {
			Certificate struct {
				Failed, At             string
				Presented              int
				Jira, Slack, Wiki, FAQ struct {
					Origin, Who string
					Cards       int
				}
				Told, Sessions, Alone, After, FAQAfter, JiraAfter string
			}
			OtherWay struct{ Failed, At, Wiki, After, WikiAfter string }
			Posts    struct{ Failed, Wrong, Choice, At string }
			Keyboard struct{ Failed, At, Header string }
			Refused  map[string]struct{ Text, Back string }
		}
	}
	if code := runScript(t, nil, &seen, "login-tour.mjs", arguments...); code != 0 {
		t.Fatalf("login-tour.mjs ended with %d", code)
	}
	for _, p := range seen.Pages {
		for _, v := range p.Violations {
			t.Errorf("%s: %s (%s): %s at %q", p.Name, v.ID, v.Impact, v.Help, v.Nodes)
		}
		for _, origin := range p.Foreign {
			t.Errorf("%s asks %s for something", p.Name, origin)
		}
		for _, complaint := range p.Complaints {
			t.Errorf("%s: the browser complains: %s", p.Name, complaint)
		}
		if p.Language != "ja" || p.Title == "" || p.Overflow > 0 {
			t.Errorf("%s: language %q, title %q, %d pixels wider than a window of 320", p.Name, p.Language, p.Title, p.Overflow)
		}
		if p.Bytes > maxPage && p.Name != "console" {
			t.Errorf("%s: %d octets", p.Name, p.Bytes)
		}
	}
	if len(seen.Pages) < 12 {
		t.Errorf("only %d pages were seen", len(seen.Pages))
	}

	c := seen.Walks.Certificate
	at := func(site string) string { return "https://" + site + ".localhost:" + d.sitesPort }
	switch {
	case c.Failed != "":
		t.Errorf("by the browser's certificate: %s at %s", c.Failed, c.At)
	case c.Jira.Origin != at("jira") || c.Jira.Who == "" || c.Presented != 1:
		t.Errorf("by the browser's certificate: %+v, presented %d times", c.Jira, c.Presented)
	case c.Slack.Origin != at("slack") || c.Slack.Who != c.Jira.Who || c.Slack.Cards != 0:
		t.Errorf("without another login: %+v, and %+v was there before", c.Slack, c.Jira)
	case c.Wiki.Origin != at("wiki") || c.Wiki.Who != c.Jira.Who || c.FAQ.Origin != at("faq") || c.FAQ.Who != c.Jira.Who:
		t.Errorf("at the sites by SAML and by OpenID Connect: %+v, %+v", c.Wiki, c.FAQ)
	case !strings.Contains(c.Told, "SAML 2.0") || !strings.Contains(c.Told, "classes:SmartcardPKI") || !strings.Contains(c.Told, "nameid-format:persistent") || !strings.Contains(c.Told, "User.Email"):
		t.Errorf("what the chat was told: %s", c.Told)
	case !strings.Contains(c.Alone, "ログイン先にログアウトを伝えません"):
		t.Errorf("after the logout at the help desk: %s", c.Alone)
	case !strings.Contains(c.Sessions, "この端末") || !strings.Contains(c.Sessions, "マイナンバーカード"):
		t.Errorf("one's own sessions: %s", c.Sessions)
	case !strings.Contains(c.After, "ログイン先からもログアウトしました") || c.FAQAfter != d.hub || c.JiraAfter != d.hub:
		t.Errorf("after the logout by SAML: %q; the site by OpenID is at %s, the help desk at %s", c.After, c.FAQAfter, c.JiraAfter)
	}
	if o := seen.Walks.OtherWay; o.Failed != "" || o.Wiki != at("wiki") || !strings.Contains(o.After, "ログアウトしました") || o.WikiAfter != d.hub {
		t.Errorf("after the logout by OpenID Connect: %+v", o)
	}
	if p := seen.Walks.Posts; p.Failed != "" || !strings.Contains(p.Wrong, "あと 2 回") || !strings.Contains(p.Choice, "仙台市") || !strings.Contains(p.Choice, "宮城県") {
		t.Errorf("two posts, without script: %+v", p)
	}
	if k := seen.Walks.Keyboard; k.Failed != "" || k.At != d.hub+"/" || !strings.Contains(k.Header, "承認 太郎") {
		t.Errorf("by the keyboard: %+v", k)
	}
	for id, want := range map[string]string{
		"revoked": "失効しています", "expired": "有効期間が過ぎています", "signature": "利用者証明用電子証明書", "unlinked": "カードの初回登録", "city": "このサービスを利用できません",
	} {
		got := seen.Walks.Refused[id]
		if !strings.Contains(got.Text, want) || got.Back != d.hub {
			t.Errorf("the card %s: %+v", id, got)
			continue
		}
		if id == "unlinked" {
			continue
		}
		// The number on the page finds what happened.
		number := incident.FindString(got.Text)
		if found := d.musubi(t, "audit", "find", "--incident", number, "--json"); number == "" || !strings.Contains(found, number) {
			t.Errorf("the card %s: incident %q finds %s", id, number, found)
		}
	}
}
