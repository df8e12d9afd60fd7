package card

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// The bounds of a presentation.
const (
	presentTime = 20 * time.Second
	maxAnswer   = 256 << 10 // octets of the hub's page
	maxText     = 2000      // characters of it that are shown
)

// outcome is what the hub answered: an address on the login host, or a page.
type outcome struct {
	Location string
	Status   int
	Lines    []line // of the page, as text
	Links    []link // of the page, to the login host
}

type link struct{ Text, Address string }

// line is a paragraph in one language; Lang is empty for Japanese, as the page itself is.
type line struct{ Text, Lang string }

// present makes the handshake with the card and asks for the address, once.
func (p *Player) present(ctx context.Context, c Card, to *url.URL) (outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, presentTime)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, to.String(), http.NoBody) //nolint:gosec // G704: target has held it to the card host and its card path
	if err != nil {
		return outcome{}, err
	}
	r.Header.Set("User-Agent", "musubi-sandbox-card")
	r.Header.Set("Accept", "text/html")
	answer, err := p.opt.Dial(c.TLS).RoundTrip(r)
	if err != nil {
		return outcome{}, fmt.Errorf("the card host doesn't answer: %w", err)
	}
	defer func() { _ = answer.Body.Close() }()
	if location := answer.Header.Get("Location"); location != "" && answer.StatusCode >= 300 && answer.StatusCode < 400 {
		if _, err := onOrigin(location, p.opt.LoginOrigins); err != nil {
			return outcome{}, fmt.Errorf("the card host leads somewhere else than to the login host, and nobody follows: %w", err)
		}
		return outcome{Location: location, Status: answer.StatusCode}, nil
	}
	out := outcome{Status: answer.StatusCode}
	if err := p.read(&out, io.LimitReader(answer.Body, maxAnswer)); err != nil {
		return outcome{}, fmt.Errorf("the card host's page: %w", err)
	}
	return out, nil
}

// read takes the text out of the hub's page: what it says, and where it leads. Its markup isn't shown on an origin that isn't the hub's.
func (p *Player) read(out *outcome, page io.Reader) error {
	root, err := html.Parse(page)
	if err != nil {
		return err
	}
	var words strings.Builder
	left, lang := maxText, ""
	flush := func() {
		text := strings.Join(strings.Fields(words.String()), " ")
		words.Reset()
		if text == "" || left <= 0 {
			return
		}
		if n := utf8.RuneCountInString(text); n > left {
			text = string([]rune(text)[:left]) + "…"
		}
		left -= utf8.RuneCountInString(text)
		out.Lines = append(out.Lines, line{text, lang})
	}
	start := root
	if main := find(root, atom.Main); main != nil {
		start = main
	}
	var walk func(n *html.Node)
	walk = func(n *html.Node) {
		switch {
		case n.Type == html.TextNode:
			words.WriteString(n.Data)
			return
		case n.DataAtom == atom.Script, n.DataAtom == atom.Style, n.DataAtom == atom.Head:
			return
		case n.DataAtom == atom.A:
			flush()
			if address, text := attribute(n, "href"), textOf(n); text != "" && len(out.Links) < 8 {
				if _, err := onOrigin(address, p.opt.LoginOrigins); err == nil {
					out.Links = append(out.Links, link{text, address})
				}
			}
			return
		}
		if block[n.DataAtom] {
			flush()
			defer flush()
		}
		if other := attribute(n, "lang"); other != "" && n != start { // the same in another language
			flush()
			before := lang
			lang = other
			defer func() { flush(); lang = before }()
		}
		for c := n.FirstChild; c != nil; c = c.NextSibling {
			walk(c)
		}
	}
	walk(start)
	flush()
	return nil
}

// block are the elements that begin a line.
var block = map[atom.Atom]bool{
	atom.P: true, atom.H1: true, atom.H2: true, atom.H3: true, atom.Div: true, atom.Section: true, atom.Li: true, atom.Dt: true, atom.Dd: true, atom.Tr: true,
	atom.Main: true, atom.Body: true, atom.Form: true, atom.Br: true, atom.Ul: true, atom.Ol: true, atom.Dl: true,
}

func find(n *html.Node, a atom.Atom) *html.Node {
	if n.DataAtom == a {
		return n
	}
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		if x := find(c, a); x != nil {
			return x
		}
	}
	return nil
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

// textOf is the text of a link, its languages apart.
func textOf(n *html.Node) string {
	var b strings.Builder
	var walk func(*html.Node)
	walk = func(n *html.Node) {
		if n.Type == html.TextNode {
			b.WriteString(n.Data)
			return
		}
		if attribute(n, "lang") != "" {
			b.WriteString(" / ")
		}
		for c := n.FirstChild; c != nil; c = c.NextSibling {
			walk(c)
		}
	}
	walk(n)
	return strings.Join(strings.Fields(b.String()), " ")
}
