package samlsp

import (
	"encoding/base64"
	"strings"
	"unicode/utf8"

	"github.com/beevik/etree"
)

// The bounds of a message.
const (
	maxMessage  = 96 << 10 // octets of XML
	maxEncoded  = 140 << 10
	maxDepth    = 20
	maxElements = 400
	maxText     = 4096 // octets of one value
)

// decode reads base64 as browsers post it, line breaks and all.
func decode(text string) ([]byte, Reason) {
	if len(text) > maxEncoded {
		return nil, MessageTooLarge
	}
	raw, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil || len(raw) == 0 {
		return nil, MessageMalformed
	}
	return raw, ""
}

// read parses a message: elements and text alone, within bounds, each ID once. A document type, a comment or a processing instruction makes
// it another document for another reader, so none is taken.
func read(raw []byte) (*etree.Element, Reason) {
	if len(raw) > maxMessage {
		return nil, MessageTooLarge
	}
	if !utf8.Valid(raw) {
		return nil, MessageMalformed
	}
	doc := etree.NewDocument()
	doc.ReadSettings = etree.ReadSettings{ValidateInput: true, PreserveDuplicateAttrs: true}
	if doc.ReadFromBytes(raw) != nil || len(doc.ChildElements()) != 1 {
		return nil, MessageMalformed
	}
	for _, t := range doc.Child {
		switch x := t.(type) {
		case *etree.Element:
		case *etree.CharData:
			if !x.IsWhitespace() {
				return nil, MessageMalformed
			}
		case *etree.ProcInst:
			if x.Target != "xml" {
				return nil, MessageMalformed
			}
		default:
			return nil, MessageMalformed
		}
	}
	if no := check(doc.Root()); no != "" {
		return nil, no
	}
	return doc.Root(), ""
}

// check holds the bounds and the form of a tree, without recursion.
func check(root *etree.Element) Reason {
	type open struct {
		el    *etree.Element
		depth int
	}
	ids := map[string]bool{}
	todo, n := []open{{root, 1}}, 0
	for len(todo) > 0 {
		x := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if n++; n > maxElements || x.depth > maxDepth {
			return MessageTooLarge
		}
		names := map[string]bool{}
		for _, a := range x.el.Attr {
			if names[a.FullKey()] || len(a.Value) > maxText {
				return MessageMalformed
			}
			names[a.FullKey()] = true
			if a.Key == "ID" || a.Key == "Id" || a.Key == "id" {
				if ids[a.Value] {
					return MessageMalformed
				}
				ids[a.Value] = true
			}
		}
		text, elements := false, false
		for _, t := range x.el.Child {
			switch y := t.(type) {
			case *etree.Element:
				elements = true
				todo = append(todo, open{y, x.depth + 1})
			case *etree.CharData:
				text = text || !y.IsWhitespace()
			default:
				return MessageMalformed
			}
		}
		if text && elements {
			return MessageMalformed
		}
	}
	return ""
}

func is(el *etree.Element, ns, tag string) bool {
	return el != nil && el.Tag == tag && el.NamespaceURI() == ns
}

// children gives the elements of a name right inside el.
func children(el *etree.Element, ns, tag string) (found []*etree.Element) {
	if el == nil {
		return nil
	}
	for _, c := range el.ChildElements() {
		if is(c, ns, tag) {
			found = append(found, c)
		}
	}
	return found
}

// only gives the one element of a name right inside el, nil where there isn't exactly one.
func only(el *etree.Element, ns, tag string) *etree.Element {
	if found := children(el, ns, tag); len(found) == 1 {
		return found[0]
	}
	return nil
}

// text gives all text of an element without elements, trimmed.
func text(el *etree.Element) string {
	if el == nil {
		return ""
	}
	var b strings.Builder
	for _, t := range el.Child {
		if c, ok := t.(*etree.CharData); ok {
			b.WriteString(c.Data)
		}
	}
	return strings.TrimSpace(b.String())
}

// attr gives an attribute without a prefix; there is false where it is absent.
func attr(el *etree.Element, name string) (value string, there bool) {
	for _, a := range el.Attr {
		if a.Space == "" && a.Key == name {
			return a.Value, true
		}
	}
	return "", false
}

func attrOf(el *etree.Element, name string) string {
	value, _ := attr(el, name)
	return value
}
