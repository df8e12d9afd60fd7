package adf

import (
	"encoding/json"
	"fmt"
)

// node is a node of a document.
type node struct {
	Type    string         `json:"type"`
	Version int            `json:"version,omitempty"`
	Attrs   map[string]any `json:"attrs,omitempty"`
	Content []node         `json:"content,omitempty"`
	Text    string         `json:"text,omitempty"`
	Marks   []node         `json:"marks,omitempty"`
}

// encode gives normal blocks as a document.
func encode(blocks []block) ([]byte, error) {
	raw, err := json.Marshal(struct {
		Type    string `json:"type"`
		Version int    `json:"version"`
		Content []node `json:"content"`
	}{"doc", 1, nodes(blocks)})
	if err != nil { // strings and numbers alone
		return nil, fmt.Errorf("adf: encode: %w", err)
	}
	return raw, nil
}

func nodes(blocks []block) []node {
	out := make([]node, 0, len(blocks))
	for _, b := range blocks {
		out = append(out, blockNode(b))
	}
	return out
}

func blockNode(b block) node {
	switch b.kind {
	case heading:
		return node{Type: "heading", Attrs: map[string]any{"level": b.level}, Content: inlineNodes(b.line)}
	case bullets, numbers:
		n := node{Type: "bulletList"}
		if b.kind == numbers {
			n = node{Type: "orderedList", Attrs: map[string]any{"order": b.level}}
		}
		for _, item := range b.items {
			n.Content = append(n.Content, node{Type: "listItem", Content: nodes(item)})
		}
		return n
	case quote:
		return node{Type: "blockquote", Content: nodes(b.blocks)}
	case code:
		n := node{Type: "codeBlock", Content: []node{{Type: "text", Text: b.text}}}
		if b.language != "" {
			n.Attrs = map[string]any{"language": b.language}
		}
		return n
	case rule:
		return node{Type: "rule"}
	case table:
		n := node{Type: "table", Attrs: map[string]any{"isNumberColumnEnabled": false, "layout": "default"}}
		for i, row := range b.rows {
			r := node{Type: "tableRow"}
			for _, cell := range row {
				c := node{Type: "tableCell", Content: []node{{Type: "paragraph", Content: inlineNodes(cell)}}}
				if i == 0 && b.header {
					c.Type = "tableHeader"
				}
				r.Content = append(r.Content, c)
			}
			n.Content = append(n.Content, r)
		}
		return n
	}
	return node{Type: "paragraph", Content: inlineNodes(b.line)}
}

func inlineNodes(line []span) []node {
	var out []node
	for _, s := range line {
		switch s.kind {
		case lineBreak:
			out = append(out, node{Type: "hardBreak"})
		case mention:
			n := node{Type: "mention", Attrs: map[string]any{"id": s.id}}
			if s.text != "" {
				n.Attrs["text"] = "@" + s.text
			}
			out = append(out, n)
		default:
			out = append(out, node{Type: "text", Text: s.text, Marks: markNodes(s.style)})
		}
	}
	return out
}

func markNodes(st style) []node {
	var out []node
	if st.link != "" {
		out = append(out, node{Type: "link", Attrs: map[string]any{"href": st.link}})
	}
	for _, m := range []struct {
		on   bool
		name string
	}{{st.code, "code"}, {st.strong, "strong"}, {st.em, "em"}, {st.strike, "strike"}} {
		if m.on {
			out = append(out, node{Type: m.name})
		}
	}
	return out
}
