package metadata

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/identity/samlidp/sp"
	"github.com/musubi-hub/musubi/identity/samlidp/wire"
)

// The bounds of a fetch.
const (
	fetchTimeout = 20 * time.Second // with all that it is sent on to
	maxRedirects = 3
)

// Fault says why there is no document. Why is a word for machines; the text is for people, and holds nothing of an address but its host.
type Fault struct {
	Why  string // "unreachable", "timeout", "status", "redirect", "large", "type"
	Text string
}

// Error implements error.
func (f *Fault) Error() string { return f.Text }

// Document is what a server sent.
type Document struct {
	Data       []byte
	Unchanged  bool // it has nothing newer than what it was asked by
	Validators sp.Validators
}

// Fetcher gets documents by https.
type Fetcher struct {
	Transport http.RoundTripper // with the hub's own settings of TLS and proxy; it follows no redirect
}

// Fetch gets the document at an address, or learns that there is nothing newer than what v names. The error is a *Fault, or that of ctx where it
// was ended from outside.
func (f Fetcher) Fetch(ctx context.Context, address string, v sp.Validators) (Document, error) {
	outer := ctx
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	doc, err := f.follow(ctx, address, v)
	var fault *Fault
	switch {
	case err == nil || errors.As(err, &fault):
		return doc, err
	case outer.Err() != nil:
		return doc, outer.Err()
	case ctx.Err() != nil || isTimeout(err):
		return doc, &Fault{"timeout", fmt.Sprintf("%s が時間内に答えません / %[1]s doesn't answer in time (%s)", hostOf(address), fetchTimeout)}
	}
	// The error's own text may hold the address.
	return doc, &Fault{"unreachable", fmt.Sprintf("%s に届きません: %s / %[1]s can't be reached: %[2]s", hostOf(address), cause(err))}
}

func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "?"
	}
	return u.Host
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}

// cause says what went wrong below HTTP, without the address.
func cause(err error) string {
	var (
		u   *url.Error
		dns *net.DNSError
		op  *net.OpError
	)
	if errors.As(err, &u) {
		err = u.Err
	}
	switch {
	case errors.As(err, &dns):
		return "no such host"
	case errors.As(err, &op):
		return op.Op + ": " + op.Err.Error()
	}
	text := err.Error()
	if strings.Contains(text, "://") || len(text) > 200 {
		return "connection failed"
	}
	return text
}

// follow asks, and asks where it is sent on to: on the same host, by https.
func (f Fetcher) follow(ctx context.Context, address string, v sp.Validators) (Document, error) {
	at, err := url.Parse(address)
	if err != nil || sp.Address(address) != nil {
		return Document{}, &Fault{"address", "アドレスは https:// で始まる必要があります / the address isn't https"}
	}
	host := at.Host
	for range maxRedirects + 1 {
		doc, on, err := f.ask(ctx, at, v)
		if err != nil || on == "" {
			return doc, err
		}
		next, err := at.Parse(on)
		if err != nil || next.Scheme != "https" || next.User != nil || next.Host != host {
			where := "?"
			if err == nil {
				where = next.Scheme + "://" + next.Host
			}
			return Document{}, &Fault{"redirect", fmt.Sprintf(
				"%s へ転送されました。転送先が正しければ、その https のアドレスを登録してください / it sends on to %[1]s: only https on the same host is followed; if that is right, register that address", where)}
		}
		next.Fragment = ""
		at = next
	}
	return Document{}, &Fault{"redirect", fmt.Sprintf("転送が %d 回を超えました / it sends on more than %[1]d times", maxRedirects)}
}

// ask asks once; on is where it is sent on to.
func (f Fetcher) ask(ctx context.Context, at *url.URL, v sp.Validators) (doc Document, on string, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
	if err != nil {
		return doc, "", &Fault{"address", "アドレスが正しくありません / the address can't be asked"}
	}
	r.Header.Set("Accept", "application/samlmetadata+xml, application/xml;q=0.9, text/xml;q=0.9, */*;q=0.1")
	r.Header.Set("User-Agent", "musubi")
	if v.ETag != "" {
		r.Header.Set("If-None-Match", v.ETag)
	}
	if v.Modified != "" {
		r.Header.Set("If-Modified-Since", v.Modified)
	}
	answer, err := f.Transport.RoundTrip(r)
	if err != nil {
		return doc, "", err
	}
	defer answer.Body.Close()
	doc.Validators = sp.Validators{ETag: answer.Header.Get("ETag"), Modified: answer.Header.Get("Last-Modified")}
	switch s := answer.StatusCode; {
	case s == http.StatusOK:
	case s == http.StatusNotModified && v != (sp.Validators{}):
		doc.Unchanged = true
		return doc, "", nil
	case s == http.StatusMovedPermanently || s == http.StatusFound || s == http.StatusSeeOther || s == http.StatusTemporaryRedirect || s == http.StatusPermanentRedirect:
		if on = answer.Header.Get("Location"); on != "" {
			return doc, on, nil
		}
		return doc, "", &Fault{"redirect", "転送先のない転送です / it sends on to nowhere"}
	default:
		return doc, "", &Fault{"status", fmt.Sprintf("%s が HTTP %d を返しました / %[1]s answered with HTTP %[2]d", at.Host, s)}
	}
	most := int64(wire.MetadataLimits.Bytes)
	tooLarge := &Fault{"large", fmt.Sprintf("文書が %d バイトを超えています / the document is larger than %[1]d bytes", most)}
	if answer.ContentLength > most {
		return doc, "", tooLarge
	}
	doc.Data, err = io.ReadAll(io.LimitReader(answer.Body, most+1))
	if err != nil {
		return doc, "", err
	}
	if int64(len(doc.Data)) > most {
		return Document{}, "", tooLarge
	}
	return doc, "", nil
}
