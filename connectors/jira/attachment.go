package jira

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/musubi-hub/musubi/connectors"
	"github.com/musubi-hub/musubi/connectors/outbound"
)

// maxFile is the most octets of a file that goes through the hub. The vendor's own bound is larger and the site's to set.
const maxFile = 8 << 20

// deskFile is an attachment as JSM shows one; its id is in its address alone.
type deskFile struct {
	Name    string `json:"filename"`
	Author  person `json:"author"`
	Created struct {
		Millis int64 `json:"epochMillis"`
	} `json:"created"`
	Size  int64  `json:"size"`
	Type  string `json:"mimeType"`
	Links struct {
		REST string `json:"jiraRest"`
	} `json:"_links"`
}

func (f deskFile) id() string {
	u, err := url.Parse(f.Links.REST)
	if err != nil {
		return ""
	}
	if _, id, ok := cutLast(u.Path, "/"); ok && numberPattern.MatchString(id) {
		return id
	}
	return ""
}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

func (f deskFile) attachment() connectors.Attachment {
	return connectors.Attachment{
		ID: f.id(), Name: f.Name, MediaType: f.Type, Size: f.Size, Author: f.Author.AccountID, Created: time.UnixMilli(f.Created.Millis).UTC(),
	}
}

// ListAttachments gives the files of a request.
func (c *Connector) ListAttachments(ctx context.Context, itemID string) ([]connectors.Attachment, error) {
	const op = "list attachments"
	if err := c.itemID(op, itemID); err != nil {
		return nil, err
	}
	read := listed[deskFile](call(ctx, op, ClassGet, again), c, op, "rest/servicedeskapi/request/"+itemID+"/attachment")
	var out []connectors.Attachment
	err := pages(c, op, read, deskFile.id, func(values []deskFile) error {
		for _, f := range values {
			out = append(out, f.attachment())
		}
		return nil
	})
	return out, err
}

// AttachFile uploads a file to the service desk and attaches it to a request, in two steps: an upload whose answer is lost leaves a
// temporary file that nobody sees, so only the second step can be ambiguous.
func (c *Connector) AttachFile(ctx context.Context, itemID, name string, content io.Reader, internal bool) (connectors.Attachment, error) {
	const op = "attach file"
	if err := c.itemID(op, itemID); err != nil {
		return connectors.Attachment{}, err
	}
	if name == "" || utf8.RuneCountInString(name) > 255 || filepath.Base(name) != name || strings.ContainsFunc(name, unicode.IsControl) || strings.ContainsAny(name, `\"`) || !utf8.ValidString(name) {
		return connectors.Attachment{}, c.out.Fail(op, connectors.KindInvalid, "a file needs a plain name of at most 255 characters")
	}
	data, err := io.ReadAll(io.LimitReader(content, maxFile+1))
	switch {
	case err != nil:
		return connectors.Attachment{}, c.out.Fail(op, connectors.KindInvalid, "the file can't be read: "+err.Error())
	case len(data) > maxFile:
		return connectors.Attachment{}, c.out.Fail(op, connectors.KindTooLarge, fmt.Sprintf("the file is larger than %d octets", maxFile))
	}
	temporary, err := c.upload(ctx, op, name, data)
	if err != nil {
		return connectors.Attachment{}, err
	}
	body := map[string]any{"temporaryAttachmentIds": []string{temporary}, "public": !internal}
	var made struct {
		Comment struct {
			Public bool `json:"public"`
		} `json:"comment"`
		Attachments struct {
			Values []deskFile `json:"values"`
		} `json:"attachments"`
	}
	if err := c.send(call(ctx, op, ClassPost, once), op, http.MethodPost, "rest/servicedeskapi/request/"+itemID+"/attachment", nil, body, &made); err != nil {
		return connectors.Attachment{}, err
	}
	if len(made.Attachments.Values) != 1 || made.Attachments.Values[0].id() == "" {
		return connectors.Attachment{}, c.out.Fail(op, connectors.KindProtocol, "the answer doesn't hold the one file that was attached")
	}
	a := made.Attachments.Values[0].attachment()
	if made.Comment.Public == internal {
		return a, c.out.Fail(op, connectors.KindProtocol, "the file is attached, but not as visible as was asked for: look at it at once")
	}
	return a, nil
}

func (c *Connector) upload(ctx context.Context, op, name string, data []byte) (string, error) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	part, err := w.CreateFormFile("file", name)
	if err == nil {
		_, err = part.Write(data)
	}
	if err = errors.Join(err, w.Close()); err != nil {
		return "", c.out.Fail(op, connectors.KindInvalid, "the file can't be packed")
	}
	ctx = call(ctx, op, ClassPost, again) // a second temporary file does no harm
	req, err := c.client.NewMultiPartRequestWithContext(ctx, http.MethodPost, "rest/servicedeskapi/servicedesk/"+c.desk+"/attachTemporaryFile", &b)
	if err != nil {
		return "", c.out.Fail(op, connectors.KindInvalid, "the request isn't well formed")
	}
	req.Header.Set("Content-Type", w.FormDataContentType())
	req.Header.Set("X-Atlassian-Token", "no-check")
	resp, err := c.client.Do(req, nil)
	if err != nil {
		return "", c.failure(op, err)
	}
	defer resp.Body.Close()
	var made struct {
		Files []struct {
			ID string `json:"temporaryAttachmentId"`
		} `json:"temporaryAttachments"`
	}
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", c.failure(op, err)
	}
	if err := c.out.Decode(op, &outbound.Response{Status: resp.StatusCode, Body: text}, &made); err != nil {
		return "", err
	}
	if len(made.Files) != 1 || made.Files[0].ID == "" {
		return "", c.out.Fail(op, connectors.KindProtocol, "the answer doesn't hold the one file that was uploaded")
	}
	return made.Files[0].ID, nil
}

// ReadAttachment gives a file's content. The vendor would redirect to another host, which the credential must not follow, so it is
// asked not to. An HTML page is refused unless the file is one: a login page must not pass for a document.
func (c *Connector) ReadAttachment(ctx context.Context, attachmentID string) ([]byte, error) {
	const op = "read attachment"
	if !numberPattern.MatchString(attachmentID) {
		return nil, c.out.Fail(op, connectors.KindInvalid, "an attachment's id is a number")
	}
	var about struct {
		Size int64  `json:"size"`
		Type string `json:"mimeType"`
	}
	ctx = call(ctx, op, ClassGet, again)
	if err := c.send(ctx, op, http.MethodGet, "rest/api/3/attachment/"+attachmentID, nil, nil, &about); err != nil {
		return nil, err
	}
	if about.Size > maxFile {
		return nil, c.out.Fail(op, connectors.KindTooLarge, fmt.Sprintf("the file has %d octets, more than %d", about.Size, maxFile))
	}
	answer, err := c.out.Do(ctx, outbound.Request{
		Call:   outbound.Call{Op: op, Class: ClassGet, Idempotent: true, MaxBody: maxFile, AllowAnyType: true, ParseError: parseError},
		Method: http.MethodGet, Path: "rest/api/3/attachment/content/" + attachmentID, Query: url.Values{"redirect": {"false"}},
		Header: http.Header{"Accept": {"*/*"}},
	})
	if err != nil {
		return nil, err
	}
	media, _, _ := mime.ParseMediaType(answer.Header.Get("Content-Type"))
	if int64(len(answer.Body)) != about.Size || media == "text/html" && about.Type != "text/html" {
		return nil, c.out.Fail(op, connectors.KindProtocol, fmt.Sprintf("the answer is %d octets of %s where the file has %d of %s", len(answer.Body), media, about.Size, about.Type))
	}
	return answer.Body, nil
}
