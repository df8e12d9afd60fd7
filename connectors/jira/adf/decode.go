package adf

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
)

// decode reads a document. Nodes that it doesn't know give their words.
func decode(raw []byte) ([]block, error) {
	if len(raw) > MaxInput {
		return nil, ErrTooLarge
	}
	if err := checkNesting(raw); err != nil {
		return nil, err
	}
	var doc node
	if err := json.Unmarshal(raw, &doc); err != nil || doc.Type != "doc" {
		return nil, ErrDocument
	}
	d := &decoder{}
	return d.blocks(doc.Content, 0)
}

// checkNesting bounds depth and size before anything is built.
func checkNesting(raw []byte) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	depth, tokens := 0, 0
	for {
		t, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return ErrDocument
		}
		if d, ok := t.(json.Delim); ok {
			if d == '{' || d == '[' {
				depth++
			} else {
				depth--
			}
		}
		if tokens++; depth > 2*maxNesting || tokens > 20*maxNodes {
			return ErrTooLarge
		}
	}
}

type decoder struct{ nodes int }

func (n node) attr(name string) string {
	switch v := n.Attrs[name].(type) {
	case string:
		return v
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1e15 {
			return strconv.FormatInt(int64(v), 10)
		}
	}
	return ""
}

func (n node) number(name string, standard int) int {
	i, err := strconv.Atoi(n.attr(name))
	if err != nil {
		return standard
	}
	return i
}

func (d *decoder) blocks(list []node, depth int) ([]block, error) {
	var out []block
	for _, n := range list {
		if d.nodes++; depth > maxNesting || d.nodes > maxNodes {
			return nil, ErrTooLarge
		}
		more, err := d.block(n, depth)
		if err != nil {
			return nil, err
		}
		out = append(out, more...)
	}
	return out, nil
}

func (d *decoder) block(n node, depth int) ([]block, error) {
	switch n.Type {
	case "paragraph", "caption":
		return []block{{kind: paragraph, line: d.line(n.Content)}}, nil
	case "heading":
		return []block{{kind: heading, level: n.number("level", 1), line: d.line(n.Content)}}, nil
	case "codeBlock":
		var b strings.Builder
		for _, c := range n.Content {
			b.WriteString(c.Text)
		}
		return []block{{kind: code, language: n.attr("language"), text: b.String()}}, nil
	case "rule":
		return []block{{kind: rule}}, nil
	case "bulletList", "orderedList", "taskList", "decisionList":
		return d.list(n, depth)
	case "table":
		return d.table(n, depth)
	case "blockquote", "panel":
		inner, err := d.blocks(n.Content, depth+1)
		return []block{{kind: quote, blocks: inner}}, err
	case "expand", "nestedExpand":
		inner, err := d.blocks(n.Content, depth+1)
		title := block{kind: paragraph, line: []span{{text: n.attr("title"), style: style{strong: true}}}}
		return append([]block{title}, inner...), err
	case "blockCard", "embedCard":
		return []block{{kind: paragraph, line: card(n)}}, nil
	case "text", "hardBreak", "mention", "emoji", "status", "date", "inlineCard":
		return []block{{kind: paragraph, line: d.line([]node{n})}}, nil
	}
	return d.blocks(n.Content, depth+1)
}

func (d *decoder) list(n node, depth int) ([]block, error) {
	b := block{kind: bullets}
	if n.Type == "orderedList" {
		b.kind, b.level = numbers, n.number("order", 1)
	}
	for _, item := range n.Content {
		switch item.Type {
		case "taskItem", "decisionItem":
			box := ""
			if item.Type == "taskItem" {
				box = "☐ "
				if item.attr("state") == "DONE" {
					box = "☑ "
				}
			}
			b.items = append(b.items, []block{{kind: paragraph, line: append([]span{{text: box}}, d.line(item.Content)...)}})
		default:
			inner, err := d.blocks(item.Content, depth+1)
			if err != nil {
				return nil, err
			}
			if item.Type != "listItem" { // a list in a list of tasks
				inner, err = d.block(item, depth+1)
				if err != nil {
					return nil, err
				}
			}
			b.items = append(b.items, inner)
		}
	}
	return []block{b}, nil
}

func (d *decoder) table(n node, depth int) ([]block, error) {
	b := block{kind: table, header: true}
	for i, row := range n.Content {
		var cells [][]span
		for _, cell := range row.Content {
			if d.nodes++; d.nodes > maxNodes {
				return nil, ErrTooLarge
			}
			if i == 0 && cell.Type != "tableHeader" {
				b.header = false
			}
			inner, err := d.blocks(cell.Content, depth+1)
			if err != nil {
				return nil, err
			}
			cells = append(cells, cellWords(inner))
		}
		b.rows = append(b.rows, cells)
	}
	return []block{b}, nil
}

// cellWords gives the words of blocks on lines of their own, for a table's cell.
func cellWords(blocks []block) []span {
	var out []span
	add := func(line []span) {
		if len(out) > 0 && len(line) > 0 {
			out = append(out, span{kind: lineBreak})
		}
		out = append(out, line...)
	}
	for _, b := range blocks {
		switch {
		case b.kind == code:
			add([]span{{text: b.text}})
		case len(b.items) > 0:
			for _, item := range b.items {
				add(cellWords(item))
			}
		case len(b.blocks) > 0:
			add(cellWords(b.blocks))
		case b.kind == table:
			for _, row := range b.rows {
				for _, cell := range row {
					add(cell)
				}
			}
		default:
			add(b.line)
		}
	}
	return out
}

func card(n node) []span {
	address := n.attr("url")
	if cleanLink(address) {
		return []span{{text: address, style: style{link: address}}}
	}
	return []span{{text: address}}
}

func (d *decoder) line(list []node) []span {
	var out []span
	for _, n := range list {
		if d.nodes++; d.nodes > maxNodes {
			return out
		}
		switch n.Type {
		case "text":
			out = append(out, span{text: n.Text, style: styleOf(n.Marks)})
		case "hardBreak":
			out = append(out, span{kind: lineBreak})
		case "mention":
			out = append(out, span{kind: mention, id: n.attr("id"), text: strings.TrimPrefix(n.attr("text"), "@")})
		case "emoji":
			text := n.attr("text")
			if text == "" {
				text = n.attr("shortName")
			}
			out = append(out, span{text: text})
		case "status":
			out = append(out, span{text: n.attr("text")})
		case "date":
			if ms, err := strconv.ParseInt(n.attr("timestamp"), 10, 64); err == nil && ms > -6e13 && ms < 2e14 {
				out = append(out, span{text: time.UnixMilli(ms).UTC().Format("2006-01-02")})
			}
		case "inlineCard":
			out = append(out, card(n)...)
		default:
			out = append(out, d.line(n.Content)...)
		}
	}
	return out
}

func styleOf(marks []node) style {
	var st style
	for _, m := range marks {
		switch m.Type {
		case "strong":
			st.strong = true
		case "em":
			st.em = true
		case "strike":
			st.strike = true
		case "code":
			st.code = true
		case "link":
			st.link = m.attr("href")
		}
	}
	return st
}
