package wire

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/beevik/etree"
)

// The namespaces.
const (
	NSProtocol  = "urn:oasis:names:tc:SAML:2.0:protocol"
	NSAssertion = "urn:oasis:names:tc:SAML:2.0:assertion"
	NSMetadata  = "urn:oasis:names:tc:SAML:2.0:metadata"
	NSSignature = "http://www.w3.org/2000/09/xmldsig#"

	nsXML   = "http://www.w3.org/XML/1998/namespace"
	nsXMLNS = "http://www.w3.org/2000/xmlns/"
)

// Limits bound a document. They are looked at while it is read.
type Limits struct {
	Bytes      int
	Depth      int // of elements
	Elements   int
	Attributes int  // of one element, with namespace declarations
	Comments   bool // between elements; never beside text
}

// MessageLimits are those of a protocol message, MetadataLimits those of one entity's metadata.
var (
	MessageLimits  = Limits{Bytes: 64 << 10, Depth: 16, Elements: 200, Attributes: 20}
	MetadataLimits = Limits{Bytes: 1 << 20, Depth: 24, Elements: 10_000, Attributes: 40, Comments: true}
)

// Fault says why a document isn't taken. Reason is machine-readable; the text says what to do and holds nothing of the document.
type Fault struct {
	Reason string
	Text   string
	Line   int // where it was noticed, from 1; 0 for the document as a whole
}

// Error implements error.
func (f *Fault) Error() string {
	if f.Line > 0 {
		return fmt.Sprintf("line %d: %s", f.Line, f.Text)
	}
	return f.Text
}

// ReasonOf gives the reason of an error that is a Fault; empty for any other.
func ReasonOf(err error) string {
	var f *Fault
	if errors.As(err, &f) {
		return f.Reason
	}
	return ""
}

// Parse reads a document and gives its root. It reads it once: what it gives is what was checked.
func Parse(data []byte, l Limits) (*etree.Element, error) {
	if len(data) > l.Bytes {
		return nil, &Fault{"xml_large", fmt.Sprintf("the document has %d bytes; at most %d are taken", len(data), l.Bytes), 0}
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if !utf8.Valid(data) {
		return nil, &Fault{"xml_encoding", "the document isn't UTF-8", 0}
	}
	d := xml.NewDecoder(bytes.NewReader(data))
	p := &parser{data: data, d: d, limits: l, ids: map[string]bool{}}
	for {
		from := d.InputOffset()
		token, err := d.RawToken()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, p.fault("xml_malformed", "this isn't well-formed XML in UTF-8")
		}
		if err := p.take(token, data[from:d.InputOffset()], from == 0); err != nil {
			return nil, err
		}
	}
	if p.root == nil || p.at != nil {
		return nil, p.fault("xml_malformed", "the document ends too early")
	}
	return p.root, nil
}

type parser struct {
	data     []byte
	d        *xml.Decoder
	limits   Limits
	root     *etree.Element
	at       *etree.Element // that is open
	text     strings.Builder
	open     []frame
	scope    []binding
	ids      map[string]bool
	elements int
}

// frame is an open element.
type frame struct {
	name      xml.Name
	scope     int // how many bindings there were before it
	commented bool
	worded    bool // it has text that isn't white space
	parent    bool // it has elements
}

type binding struct{ prefix, uri string }

func (p *parser) fault(reason, text string) error {
	line, _ := p.d.InputPos()
	return &Fault{reason, text, line}
}

func (p *parser) take(token xml.Token, raw []byte, first bool) error {
	switch t := token.(type) {
	case xml.StartElement:
		return p.start(t, raw)
	case xml.EndElement:
		return p.end(t, raw)
	case xml.CharData:
		return p.words(t, raw)
	case xml.Comment:
		switch {
		case !p.limits.Comments:
			return p.fault("xml_comment", "comments aren't taken in messages")
		case p.at != nil:
			p.open[len(p.open)-1].commented = true
		}
		return nil
	case xml.ProcInst:
		if t.Target != "xml" || !first || !declaration.Match(raw) {
			return p.fault("xml_instruction", "processing instructions aren't taken, and the XML declaration must be of version 1.0 and UTF-8")
		}
		return nil
	default:
		return p.fault("xml_doctype", "a document type (DTD) isn't taken, and no entities but the five of XML")
	}
}

func (p *parser) start(t xml.StartElement, raw []byte) error {
	p.elements++
	switch {
	case p.at == nil && p.root != nil:
		return p.fault("xml_malformed", "there is more than one outermost element")
	case p.elements > p.limits.Elements:
		return p.fault("xml_many", fmt.Sprintf("more than %d elements", p.limits.Elements))
	case len(p.open) >= p.limits.Depth:
		return p.fault("xml_deep", fmt.Sprintf("elements are nested more than %d deep", p.limits.Depth))
	case len(t.Attr) > p.limits.Attributes:
		return p.fault("xml_many", fmt.Sprintf("an element has more than %d attributes", p.limits.Attributes))
	case !strictTag(raw):
		return p.fault("xml_malformed", "a tag isn't written as XML wants it, has a name that isn't ASCII, or a line break inside a value")
	}
	if n := len(p.open); n > 0 {
		p.open[n-1].parent = true
		if err := p.flush(); err != nil {
			return err
		}
	}
	p.open = append(p.open, frame{name: t.Name, scope: len(p.scope)})
	el := etree.NewElement(t.Name.Local)
	el.Space = t.Name.Space
	if p.at == nil {
		p.root = el
	} else {
		p.at.AddChild(el)
	}
	p.at = el
	return p.attributes(t, el)
}

// attributes declares the element's namespaces, and holds that its name and attributes have theirs and stand there once.
func (p *parser) attributes(t xml.StartElement, el *etree.Element) error {
	for _, a := range t.Attr {
		switch {
		case a.Name.Space == "xmlns":
			if err := p.declare(a.Name.Local, a.Value); err != nil {
				return err
			}
		case a.Name.Space == "" && a.Name.Local == "xmlns":
			if a.Value == nsXML || a.Value == nsXMLNS {
				return p.fault("xml_namespace", "a reserved namespace is declared")
			}
			p.scope = append(p.scope, binding{"", a.Value})
		}
		key := a.Name.Local
		if a.Name.Space != "" {
			key = a.Name.Space + ":" + key
		}
		if has(el, a.Name) {
			return p.fault("xml_malformed", "an attribute stands there twice")
		}
		el.CreateAttr(key, a.Value)
	}
	if _, ok := p.lookup(t.Name.Space); !ok {
		return p.fault("xml_namespace", "a name has a prefix that isn't declared")
	}
	type expanded struct{ uri, local string }
	var seen [8]expanded
	names := seen[:0]
	for _, a := range t.Attr {
		if a.Name.Space == "xmlns" || a.Name.Space == "" {
			if a.Name.Space == "" && (a.Name.Local == "ID" || a.Name.Local == "Id") {
				if err := p.identify(a.Value); err != nil {
					return err
				}
			}
			continue
		}
		uri, ok := p.lookup(a.Name.Space)
		if !ok || uri == "" {
			return p.fault("xml_namespace", "a name has a prefix that isn't declared")
		}
		for _, n := range names {
			if n.uri == uri && n.local == a.Name.Local {
				return p.fault("xml_namespace", "an attribute stands there twice, under two prefixes")
			}
		}
		names = append(names, expanded{uri, a.Name.Local})
		if uri == nsXML && a.Name.Local == "id" {
			if err := p.identify(a.Value); err != nil {
				return err
			}
		}
	}
	return nil
}

// has reports whether el has an attribute of this very prefix and name.
func has(el *etree.Element, n xml.Name) bool {
	for _, a := range el.Attr {
		if a.Space == n.Space && a.Key == n.Local {
			return true
		}
	}
	return false
}

func (p *parser) identify(id string) error {
	if p.ids[id] {
		return p.fault("xml_duplicate_id", "two elements have the same ID")
	}
	p.ids[id] = true
	return nil
}

// declare holds Namespaces in XML 1.0, sections 3 and 5.
func (p *parser) declare(prefix, uri string) error {
	if prefix == "xmlns" || uri == "" || uri == nsXMLNS || (prefix == "xml") != (uri == nsXML) {
		return p.fault("xml_namespace", "a prefix is declared that can't be, or to nothing")
	}
	p.scope = append(p.scope, binding{prefix, uri})
	return nil
}

func (p *parser) lookup(prefix string) (string, bool) {
	for i := len(p.scope) - 1; i >= 0; i-- {
		if p.scope[i].prefix == prefix {
			return p.scope[i].uri, true
		}
	}
	if prefix == "xml" {
		return nsXML, true
	}
	return "", prefix == ""
}

func (p *parser) end(t xml.EndElement, raw []byte) error {
	n := len(p.open)
	if n == 0 || p.open[n-1].name != t.Name || len(raw) > 0 && !strictEnd(raw) {
		return p.fault("xml_malformed", "an end tag doesn't fit")
	}
	if err := p.flush(); err != nil {
		return err
	}
	f := p.open[n-1]
	p.open, p.scope, p.at = p.open[:n-1], p.scope[:f.scope], p.at.Parent()
	return nil
}

// words takes text. It isn't mixed with elements anywhere in SAML, and a comment beside it would let two readers read two values.
func (p *parser) words(t xml.CharData, raw []byte) error {
	blank := len(bytes.Trim(t, " \t\r\n")) == 0
	switch {
	case p.at == nil && (!blank || bytes.HasPrefix(raw, []byte("<!"))):
		return p.fault("xml_malformed", "there is text outside the outermost element")
	case p.at == nil:
		return nil
	case !bytes.HasPrefix(raw, []byte("<![CDATA[")) && !strictText(raw):
		return p.fault("xml_malformed", "a character reference isn't one")
	}
	p.open[len(p.open)-1].worded = p.open[len(p.open)-1].worded || !blank
	p.text.Write(t)
	return nil
}

// flush ends a run of text.
func (p *parser) flush() error {
	if p.text.Len() > 0 {
		p.at.CreateText(p.text.String())
		p.text.Reset()
	}
	switch f := p.open[len(p.open)-1]; {
	case f.worded && f.parent:
		return p.fault("xml_mixed", "text stands beside elements")
	case f.worded && f.commented:
		return p.fault("xml_comment", "a comment stands inside a value")
	}
	return nil
}
