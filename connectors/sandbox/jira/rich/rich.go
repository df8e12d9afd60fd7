package rich

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// The bounds of a document.
const (
	MaxText  = 32767 // characters of a text field or comment, as the vendor documents
	maxDepth = 64
	maxNodes = 20_000
)

// node is one node of a document.
type node struct {
	Type    string          `json:"type"`
	Version *int            `json:"version,omitempty"`
	Text    *string         `json:"text,omitempty"`
	Content []*node         `json:"content,omitempty"`
	Marks   []mark          `json:"marks,omitempty"`
	Attrs   json.RawMessage `json:"attrs,omitempty"`
}

type mark struct {
	Type  string          `json:"type"`
	Attrs json.RawMessage `json:"attrs,omitempty"`
}

// inline are the nodes that stand within a line.
var inline = []string{"text", "hardBreak", "mention", "emoji", "date", "status", "inlineCard", "mediaInline", "placeholder", "inlineExtension"}

// children are the nodes that each block may hold; nil: none.
var children = map[string][]string{
	"doc": {
		"paragraph", "heading", "bulletList", "orderedList", "taskList", "decisionList", "codeBlock", "blockquote", "rule", "table", "panel", "expand", "mediaSingle",
		"mediaGroup", "blockCard", "embedCard", "extension", "bodiedExtension", "layoutSection",
	},
	"paragraph": inline, "heading": inline, "codeBlock": {"text"},
	"bulletList": {"listItem"}, "orderedList": {"listItem"},
	"listItem":   {"paragraph", "bulletList", "orderedList", "codeBlock", "mediaSingle", "taskList"},
	"blockquote": {"paragraph", "bulletList", "orderedList", "codeBlock", "mediaSingle", "mediaGroup"},
	"table":      {"tableRow"}, "tableRow": {"tableCell", "tableHeader"},
	"tableCell":   cell,
	"tableHeader": cell,
	"panel":       {"paragraph", "heading", "bulletList", "orderedList", "codeBlock", "rule", "taskList", "mediaSingle", "mediaGroup"},
	"expand":      cell,
	"mediaSingle": {"media", "caption"}, "mediaGroup": {"media"}, "caption": inline,
	"taskList": {"taskItem", "taskList"}, "taskItem": inline,
	"decisionList": {"decisionItem"}, "decisionItem": inline,
}

var cell = []string{"paragraph", "heading", "bulletList", "orderedList", "codeBlock", "blockquote", "rule", "panel", "taskList", "mediaSingle", "mediaGroup", "nestedExpand"}

// needContent are the nodes that the schema doesn't let be empty.
var needContent = []string{"bulletList", "orderedList", "listItem", "blockquote", "table", "tableRow", "tableCell", "tableHeader", "panel", "expand"}

var marks = []string{"strong", "em", "code", "strike", "underline", "link", "subsup", "textColor", "backgroundColor", "annotation", "border"}

// ErrDocument says that a value is no document.
var ErrDocument = errors.New("INVALID_INPUT")

// ErrTooLong says that a document's text is longer than MaxText.
var ErrTooLong = errors.New("CONTENT_LIMIT_EXCEEDED")

func parse(raw []byte) (*node, error) {
	var n *node
	dec := json.NewDecoder(bytes.NewReader(raw))
	if err := dec.Decode(&n); err != nil || n == nil {
		return nil, ErrDocument
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, ErrDocument
	}
	return n, nil
}

// Check refuses what is no document of the vendor's schema.
func Check(raw []byte) error {
	n, err := parse(raw)
	if err != nil {
		return err
	}
	if n.Type != "doc" || n.Version == nil || *n.Version != 1 {
		return fmt.Errorf("%w: a document has type doc and version 1", ErrDocument)
	}
	c := &checker{}
	if err := c.node(n, 0); err != nil {
		return err
	}
	if c.text > MaxText {
		return ErrTooLong
	}
	return nil
}

type checker struct{ nodes, text int }

func (c *checker) node(n *node, depth int) error {
	if c.nodes++; depth > maxDepth || c.nodes > maxNodes {
		return ErrTooLong
	}
	bad := func(what string) error { return fmt.Errorf("%w: %s: %s", ErrDocument, n.Type, what) }
	if n.Text != nil {
		c.text += len([]rune(*n.Text))
	}
	if (n.Type == "text") != (n.Text != nil) || n.Type == "text" && *n.Text == "" {
		return bad("text nodes, and they alone, have a text that isn't empty")
	}
	for _, m := range n.Marks {
		if !slices.Contains(marks, m.Type) {
			return bad("unknown mark " + m.Type)
		}
		if m.Type == "link" && attr(m.Attrs, "href") == "" {
			return bad("a link needs href")
		}
	}
	if n.Type == "mention" && attr(n.Attrs, "id") == "" {
		return bad("a mention needs an id")
	}
	if n.Type == "heading" {
		if level, err := strconv.Atoi(attr(n.Attrs, "level")); err != nil || level < 1 || level > 6 {
			return bad("level must be 1 to 6")
		}
	}
	if slices.Contains(needContent, n.Type) && len(n.Content) == 0 {
		return bad("must not be empty")
	}
	for _, child := range n.Content {
		if child == nil || !slices.Contains(children[n.Type], child.Type) {
			return bad("can't hold this child")
		}
		if err := c.node(child, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// attr gives an attribute as text, "" where there is none.
func attr(attrs json.RawMessage, name string) string {
	var m map[string]any
	if json.Unmarshal(attrs, &m) != nil {
		return ""
	}
	switch v := m[name].(type) {
	case string:
		return v
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return ""
}

// FromText makes a document of plain text: a paragraph for each block, a hard break for each line.
func FromText(text string) json.RawMessage {
	type out map[string]any
	content := []out{}
	for block := range strings.SplitSeq(strings.ReplaceAll(text, "\r\n", "\n"), "\n\n") {
		p := []out{}
		for i, line := range strings.Split(block, "\n") {
			if i > 0 {
				p = append(p, out{"type": "hardBreak"})
			}
			if line != "" {
				p = append(p, out{"type": "text", "text": line})
			}
		}
		content = append(content, out{"type": "paragraph", "content": p})
	}
	raw, err := json.Marshal(out{"type": "doc", "version": 1, "content": content})
	if err != nil { // maps of strings
		panic(err)
	}
	return raw
}

// Text shows a document as plain text. What is no document gives nothing.
func Text(raw json.RawMessage) string {
	n, err := parse(raw)
	if err != nil {
		return ""
	}
	var b strings.Builder
	blocks(&b, n, "")
	return strings.TrimRight(b.String(), "\n ")
}

func blocks(b *strings.Builder, n *node, indent string) {
	for i, child := range n.Content {
		switch child.Type {
		case "paragraph", "heading", "codeBlock", "taskItem", "decisionItem", "caption":
			if b.Len() > 0 && !strings.HasSuffix(b.String(), "* ") && !strings.HasSuffix(b.String(), "|") {
				b.WriteString("\n")
			}
			if n.Type == "doc" && i > 0 {
				b.WriteString("\n")
			}
			inlines(b, child)
		case "listItem":
			b.WriteString("\n" + indent + "* ")
			blocks(b, child, indent+"  ")
		case "tableCell", "tableHeader":
			b.WriteString("|")
			blocks(b, child, indent)
		case "tableRow":
			b.WriteString("\n")
			blocks(b, child, indent)
			b.WriteString("|")
		default:
			if n.Type == "doc" && i > 0 {
				b.WriteString("\n")
			}
			blocks(b, child, indent)
		}
	}
}

func inlines(b *strings.Builder, n *node) {
	for _, child := range n.Content {
		switch child.Type {
		case "text":
			b.WriteString(*child.Text)
		case "hardBreak":
			b.WriteString("\n")
		case "mention":
			text := attr(child.Attrs, "text")
			if text == "" {
				text = "@" + attr(child.Attrs, "id")
			}
			b.WriteString(text)
		case "emoji":
			b.WriteString(attr(child.Attrs, "text"))
		case "status":
			b.WriteString(attr(child.Attrs, "text"))
		case "inlineCard":
			b.WriteString(attr(child.Attrs, "url"))
		}
	}
}
