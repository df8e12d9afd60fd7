package inbound

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"strings"
)

// reader walks through one mail within its limits.
type reader struct {
	limits      Limits
	headerOnly  bool
	parts       int
	text        strings.Builder // of the text/plain parts
	htmlText    strings.Builder // of the text/html parts, as text
	attachments []Attachment
	deliveries  []Delivery
	receipt     bool   // it holds a disposition notification (RFC 8098): somebody has opened a mail
	returned    string // header of the mail that a report returns
	problems    []string
}

// part reads one part and what is in it.
func (p *reader) part(h header, body []byte, depth int) {
	if p.parts++; p.parts > p.limits.Parts {
		p.problem("it has more than %d parts", p.limits.Parts)
		return
	}
	media, params, err := mime.ParseMediaType(h.get("Content-Type"))
	if err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter) || media == "" {
		media, params = "text/plain", map[string]string{} // RFC 2045 section 5.2
		if value := h.get("Content-Type"); value != "" {
			media = roughType(value)
		}
	}
	if strings.HasPrefix(media, "multipart/") {
		p.multipart(params["boundary"], body, depth)
		return
	}
	disposition, dparams, _ := mime.ParseMediaType(h.get("Content-Disposition"))
	switch {
	case media == "message/delivery-status" || media == "message/global-delivery-status":
		p.deliveryStatus(p.decoded(h, body))
	case media == "message/disposition-notification":
		p.receipt = true
	case media == "message/rfc822" || media == "text/rfc822-headers" || media == "message/global" || media == "message/global-headers":
		p.returnedMail(p.decoded(h, body))
	case disposition == "attachment" || !strings.HasPrefix(media, "text/"):
		p.attach(media, dparams["filename"], params["name"], body)
	case media == "text/html":
		p.keep(&p.htmlText, htmlToText(decodeText(p.decoded(h, body), params["charset"]), p.limits.Text))
	case media == "text/plain" || disposition != "inline":
		p.keep(&p.text, decodeText(p.decoded(h, body), params["charset"]))
	default:
		p.attach(media, dparams["filename"], params["name"], body)
	}
}

// roughType is a media type whose parameters can't be read.
func roughType(value string) string {
	media, _, _ := strings.Cut(value, ";")
	media = strings.ToLower(strings.TrimSpace(media))
	if kind, sub, ok := strings.Cut(media, "/"); !ok || kind == "" || sub == "" || strings.ContainsAny(media, " \t") {
		return "text/plain"
	}
	return media
}

func (p *reader) multipart(boundary string, body []byte, depth int) {
	if depth >= p.limits.Depth {
		p.problem("its parts are nested more than %d deep", p.limits.Depth)
		return
	}
	if boundary == "" || len(boundary) > 200 {
		p.problem("a part of several parts doesn't say where they begin")
		return
	}
	mr := multipart.NewReader(bytes.NewReader(body), boundary)
	for {
		part, err := mr.NextRawPart()
		if err != nil {
			if !errors.Is(err, io.EOF) {
				p.problem("its parts can't be read to the end")
			}
			return
		}
		if p.parts >= p.limits.Parts {
			p.problem("it has more than %d parts", p.limits.Parts)
			return
		}
		inner, err := io.ReadAll(part)
		if err != nil {
			p.problem("its parts can't be read to the end")
		}
		var h header
		for name, values := range part.Header {
			for _, v := range values {
				h = append(h, field{name, []byte(v)})
			}
		}
		p.part(h, inner, depth+1)
	}
}

// decoded takes the transfer encoding away. What can't be decoded is kept as far as it can be.
func (p *reader) decoded(h header, body []byte) []byte {
	var r io.Reader
	switch strings.ToLower(strings.TrimSpace(h.get("Content-Transfer-Encoding"))) {
	case "base64":
		r = base64.NewDecoder(base64.StdEncoding, &base64Only{body})
	case "quoted-printable":
		r = quotedprintable.NewReader(bytes.NewReader(body))
	default:
		return body
	}
	out, err := io.ReadAll(r)
	if err != nil {
		p.problem("a part's transfer encoding is damaged")
	}
	return out
}

// base64Only gives the letters of base64 and leaves out everything else (RFC 2045 section 6.8).
type base64Only struct{ left []byte }

// Read gives the next letters.
func (r *base64Only) Read(to []byte) (int, error) {
	n := 0
	for n < len(to) && len(r.left) > 0 {
		c := r.left[0]
		r.left = r.left[1:]
		if c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '+' || c == '/' || c == '=' {
			to[n] = c
			n++
		}
	}
	if n == 0 && len(r.left) == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// keep adds a part's text, bounded.
func (p *reader) keep(to *strings.Builder, text string) {
	room := p.limits.Text - to.Len()
	if len(text) > room {
		p.problem("its text is longer than %d octets", p.limits.Text)
		text = clip(text, max(room, 0))
	}
	if to.Len() > 0 && text != "" {
		to.WriteString("\n")
	}
	to.WriteString(text)
}

// maxAttachments bounds how many are named.
const maxAttachments = 50

func (p *reader) attach(media, filename, name string, body []byte) {
	if filename == "" {
		filename = name
	}
	if len(p.attachments) >= maxAttachments {
		p.problem("it has more than %d attachments", maxAttachments)
		return
	}
	p.attachments = append(p.attachments, Attachment{
		Name: oneLine(decodeHeader(filename), 250), Type: oneLine(media, 100), Size: len(body),
	})
}
