package slack

import (
	"strings"
	"unicode/utf8"

	slackgo "github.com/slack-go/slack"

	"github.com/musubi-hub/musubi/connectors"
)

// maxText is how many characters a message may have. Slack cuts the text itself at 40,000, but refuses blocks beyond about 13,000.
const maxText = 12_000

// compose gives slack-go's options for m: rich text, in which nothing that a person wrote is read as markup, and buttons; the plain
// text for notifications beside it.
func (w *Workspace) compose(op string, m connectors.Message) ([]slackgo.MsgOption, error) {
	if err := m.Check(); err != nil {
		return nil, w.invalid(op, err.Error())
	}
	if err := w.checkThread(op, m.Thread); err != nil {
		return nil, err
	}
	for _, n := range m.Mentions {
		if err := w.checkID(op, "user or user group", n.AccountID+n.GroupID); err != nil {
			return nil, err
		}
	}
	plain := m.Text
	if m.Subject != "" {
		plain = m.Subject + "\n" + m.Text
	}
	if utf8.RuneCountInString(plain) > maxText {
		return nil, w.out.Fail(op, connectors.KindTooLarge, "the message is longer than 12,000 characters")
	}
	blocks := []slackgo.Block{richText(m)}
	if len(m.Actions) > 0 {
		blocks = append(blocks, buttons(m.Actions))
	}
	return []slackgo.MsgOption{
		slackgo.MsgOptionText(plain, true),
		slackgo.MsgOptionBlocks(blocks...),
		slackgo.MsgOptionDisableLinkUnfurl(),
		slackgo.MsgOptionDisableMediaUnfurl(),
		slackgo.MsgOptionMetadata(slackgo.SlackMetadata{EventType: metadataType, EventPayload: map[string]any{metadataKey: m.Key}}),
	}, nil
}

func richText(m connectors.Message) *slackgo.RichTextBlock {
	var parts []slackgo.RichTextSectionElement
	text := func(s string, bold bool) {
		if s == "" {
			return
		}
		var style *slackgo.RichTextSectionTextStyle
		if bold {
			style = &slackgo.RichTextSectionTextStyle{Bold: true}
		}
		parts = append(parts, slackgo.NewRichTextSectionTextElement(s, style))
	}
	for _, n := range m.Mentions {
		if n.GroupID != "" {
			parts = append(parts, slackgo.NewRichTextSectionUserGroupElement(n.GroupID))
		} else {
			parts = append(parts, slackgo.NewRichTextSectionUserElement(n.AccountID, nil))
		}
		text(" ", false)
	}
	if len(m.Mentions) > 0 {
		text("\n", false)
	}
	if m.Subject != "" {
		text(m.Subject, true)
		text("\n", false)
	}
	rest := m.Text
	for rest != "" {
		at, link := nextLink(rest)
		text(rest[:at], false)
		if link != "" {
			parts = append(parts, slackgo.NewRichTextSectionLinkElement(link, "", nil))
		}
		rest = rest[at+len(link):]
	}
	return slackgo.NewRichTextBlock("", slackgo.NewRichTextSection(parts...))
}

// nextLink finds the first web address in s: where it begins, and what it is; len(s) and nothing where there is none. Only
// characters that an address may hold belong to it (RFC 3986), so that Japanese text may follow without a space, and a full stop,
// comma or bracket at the end doesn't.
func nextLink(s string) (at int, link string) {
	const allowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~:/?#[]@!$&'()*+,;=%"
	for from := 0; ; {
		i := strings.Index(s[from:], "http")
		if i < 0 {
			return len(s), ""
		}
		at = from + i
		end := at
		for end < len(s) && strings.IndexByte(allowed, s[end]) >= 0 {
			end++
		}
		link = strings.TrimRight(s[at:end], ".,;:!?'()[]")
		for _, scheme := range []string{"https://", "http://"} {
			if rest, ok := strings.CutPrefix(link, scheme); ok && rest != "" && rest[0] != '/' {
				return at, link
			}
		}
		from = at + len("http")
	}
}

func buttons(actions []connectors.Action) *slackgo.ActionBlock {
	elements := make([]slackgo.BlockElement, len(actions))
	for i, a := range actions {
		b := slackgo.NewButtonBlockElement(a.ID, a.Value, slackgo.NewTextBlockObject(slackgo.PlainTextType, a.Label, false, false))
		b.URL = a.URL
		switch a.Style {
		case connectors.StylePrimary:
			b.Style = slackgo.StylePrimary
		case connectors.StyleDanger:
			b.Style = slackgo.StyleDanger
		case connectors.StylePlain:
		}
		elements[i] = b
	}
	return slackgo.NewActionBlock("", elements...)
}
