package mail

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	netmail "net/mail"
	"strings"
	"unicode/utf8"
)

// Reading is a mail as a mail program shows it.
type Reading struct {
	MessageID, InReplyTo, References, Subject, AutoSubmitted string
	From                                                     string   // "name <address>"
	To                                                       []string // the same
	ReplyTo                                                  string
	Text, HTML                                               string
	Faults                                                   []string // what the mail's own form lacks
}

// Read reads a mail. What can't be read is told in Faults.
func Read(raw []byte) Reading {
	var r Reading
	msg, err := netmail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		r.Faults = append(r.Faults, "the header can't be read")
		return r
	}
	id := func(name string) string { return strings.Trim(strings.TrimSpace(msg.Header.Get(name)), "<>") }
	r.MessageID, r.InReplyTo, r.References, r.AutoSubmitted = id("Message-ID"), id("In-Reply-To"), id("References"), msg.Header.Get("Auto-Submitted")
	dec := mime.WordDecoder{}
	if r.Subject, err = dec.DecodeHeader(msg.Header.Get("Subject")); err != nil {
		r.Faults = append(r.Faults, "the subject can't be decoded")
	}
	list := func(name string) (out []string) {
		if msg.Header.Get(name) == "" {
			return nil
		}
		addresses, err := msg.Header.AddressList(name)
		if err != nil {
			r.Faults = append(r.Faults, name+" can't be read")
		}
		for _, a := range addresses {
			text := a.Address
			if a.Name != "" {
				text = a.Name + " <" + a.Address + ">"
			}
			out = append(out, text)
		}
		return out
	}
	r.From, r.ReplyTo, r.To = strings.Join(list("From"), ", "), strings.Join(list("Reply-To"), ", "), list("To")
	header, _, _ := bytes.Cut(raw, []byte("\r\n\r\n"))
	for line := range bytes.SplitSeq(header, []byte("\r\n")) {
		if len(line) > 78 {
			r.Faults = append(r.Faults, "a header line is longer than 78 octets")
			break
		}
	}
	r.part(msg.Header.Get("Content-Type"), msg.Header.Get("Content-Transfer-Encoding"), msg.Body, 0)
	return r
}

// maxDepth bounds parts in parts.
const maxDepth = 5

func (r *Reading) part(contentType, encoding string, body io.Reader, depth int) {
	media, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		r.Faults = append(r.Faults, "a Content-Type can't be read")
		return
	}
	if strings.HasPrefix(media, "multipart/") {
		if depth >= maxDepth {
			r.Faults = append(r.Faults, "parts are nested too deep")
			return
		}
		mr := multipart.NewReader(body, params["boundary"])
		for {
			p, err := mr.NextRawPart()
			if err != nil {
				if !errors.Is(err, io.EOF) {
					r.Faults = append(r.Faults, "the parts can't be read to the end")
				}
				return
			}
			r.part(p.Header.Get("Content-Type"), p.Header.Get("Content-Transfer-Encoding"), p, depth+1)
		}
	}
	switch strings.ToLower(encoding) {
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	}
	text, err := io.ReadAll(body)
	if err != nil {
		r.Faults = append(r.Faults, "a part can't be decoded")
	}
	if !strings.EqualFold(params["charset"], "utf-8") || !utf8.Valid(text) {
		r.Faults = append(r.Faults, fmt.Sprintf("a part is in charset %q", params["charset"]))
	}
	shown := strings.ReplaceAll(strings.ToValidUTF8(string(text), "\ufffd"), "\r\n", "\n")
	switch {
	case media == "text/plain" && r.Text == "" && r.HTML == "":
		r.Text = shown
	case media == "text/html" && r.Text != "":
		r.HTML = shown
	case media == "text/html":
		r.HTML = shown
		r.Faults = append(r.Faults, "HTML stands alone or before the plain text")
	}
}
