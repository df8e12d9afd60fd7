package wire

import (
	"strings"

	"github.com/beevik/etree"
)

// Is reports whether el has this name.
func Is(el *etree.Element, ns, local string) bool { return el.Tag == local && el.NamespaceURI() == ns }

// Children gives el's own children of this name.
func Children(el *etree.Element, ns, local string) (all []*etree.Element) {
	for _, c := range el.ChildElements() {
		if Is(c, ns, local) {
			all = append(all, c)
		}
	}
	return all
}

// Text gives el's text without white space around it, or nothing where el holds elements.
func Text(el *etree.Element) string {
	if len(el.ChildElements()) > 0 {
		return ""
	}
	return strings.Trim(el.Text(), " \t\r\n")
}

// Attr gives the value of an attribute without a namespace; empty where there is none.
func Attr(el *etree.Element, key string) string {
	value, _ := Lookup(el, key)
	return value
}

// Lookup gives the value of an attribute without a namespace, and whether there is one.
func Lookup(el *etree.Element, key string) (string, bool) {
	for _, a := range el.Attr {
		if a.Space == "" && a.Key == key {
			return a.Value, true
		}
	}
	return "", false
}
