package work

import (
	"cmp"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/musubi-hub/musubi/connectors/sandbox/jira/wire"
	"github.com/musubi-hub/musubi/connectors/sandbox/site"
)

// The bounds of an upload. The vendor's standard for a file is 1 GB; the journal keeps files, so ours is small.
const (
	maxFile       = 8 << 20
	maxUpload     = 4 * maxFile
	maxUploads    = 60 // files of one upload, as the vendor documents
	maxFileName   = 255
	tempLifetime  = 3600_000_000 // microseconds that a temporary file waits for its request
	maxTempsKept  = 1000
	fileFieldName = "file"
)

type upload struct {
	name, mediaType string
	content         []byte
}

// readUploads reads the files of a multipart body.
func readUploads(c *site.Call) ([]upload, *wire.Refusal) {
	if token := c.R.Header.Get("X-Atlassian-Token"); token != "no-check" && token != "nocheck" {
		return nil, wire.Refuse(http.StatusForbidden, "sd.xsrf", "XSRF check failed")
	}
	media, params, err := mime.ParseMediaType(c.R.Header.Get("Content-Type"))
	if err != nil || media != "multipart/form-data" || params["boundary"] == "" {
		return nil, wire.Refuse(http.StatusUnsupportedMediaType, "sd.rest.media.type", "Content-Type must be multipart/form-data.")
	}
	r := multipart.NewReader(io.LimitReader(c.R.Body, maxUpload+1), params["boundary"])
	var files []upload
	for {
		p, err := r.NextPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, wire.BadRequest("The multipart body is not valid or too large.")
		}
		if p.FormName() != fileFieldName {
			continue
		}
		u, no := readUpload(p)
		if no != nil {
			return nil, no
		}
		if files = append(files, u); len(files) > maxUploads {
			return nil, tooLarge("More than 60 files were sent.")
		}
	}
	if len(files) == 0 {
		return nil, wire.BadRequest("No file was sent: a part is called file.")
	}
	return files, nil
}

func tooLarge(message string) *wire.Refusal {
	return wire.Refuse(http.StatusRequestEntityTooLarge, "sd.attachment.too.large", message)
}

func readUpload(p *multipart.Part) (upload, *wire.Refusal) {
	content, err := io.ReadAll(io.LimitReader(p, maxFile+1))
	name := p.FileName()
	switch {
	case err != nil:
		return upload{}, wire.BadRequest("The multipart body is not valid or too large.")
	case len(content) > maxFile:
		return upload{}, tooLarge("The file is larger than " + strconv.Itoa(maxFile) + " bytes.")
	case name == "" || utf8.RuneCountInString(name) > maxFileName || strings.ContainsFunc(name, unicode.IsControl):
		return upload{}, wire.BadRequest("The file needs a name of at most 255 characters.")
	}
	return upload{name, mediaType(p.Header), content}, nil
}

func mediaType(h textproto.MIMEHeader) string {
	media, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil {
		return "application/octet-stream"
	}
	return media
}

func (t *Tracker) renderFile(c *site.Call, f *file) doc {
	id := strconv.FormatInt(f.ID, 10)
	return doc{
		"self": wire.Rest(c.Base, "/api/3/attachment/"+id), "id": id, "filename": f.Name, "author": t.user(c, f.Author), "created": stamp(f.Created),
		"size": len(f.Content), "mimeType": f.Type, "content": wire.Rest(c.Base, "/api/3/attachment/content/"+id),
	}
}

func (t *Tracker) attachments(c *site.Call, x *issue) []doc {
	list := []doc{}
	for _, f := range x.files {
		if c.As == "" || !f.Hidden {
			list = append(list, t.renderFile(c, f))
		}
	}
	return list
}

// addAttachments is the platform's upload. Customers don't see what came this way until an agent shows it (unverified).
func (t *Tracker) addAttachments(c *site.Call) {
	uploads, no := readUploads(c)
	if no != nil {
		wire.WriteRefusal(c.W, c.R, no)
		return
	}
	list := []doc{}
	if t.write(c, func(old *issue) *wire.Refusal {
		files, no := t.newFiles(c, old, uploads)
		if no != nil {
			return no
		}
		var items []changeItem
		for _, f := range files {
			f.Hidden = true
			items = append(items, item("Attachment", "attachment", "", "", strconv.FormatInt(f.ID, 10), f.Name))
			list = append(list, t.renderFile(c, f))
		}
		x := t.touch(c, old, items...)
		if no := t.save(x, anySlice(files)...); no != nil {
			return no
		}
		t.tellUpdate(c, t.issues[x.ID].Current())
		return nil
	}) {
		wire.WriteJSON(c.W, http.StatusOK, list)
	}
}

func anySlice[T any](list []T) []any {
	out := make([]any, len(list))
	for i, v := range list {
		out[i] = v
	}
	return out
}

// newFiles numbers uploads for an issue. The caller holds the lock.
func (t *Tracker) newFiles(c *site.Call, x *issue, uploads []upload) ([]*file, *wire.Refusal) {
	if len(x.files)+len(uploads) > maxFiles {
		return nil, tooLarge("The issue has reached its limit of attachments.")
	}
	var files []*file
	for i, u := range uploads {
		files = append(files, &file{
			ID: t.next.File + int64(i), Issue: x.ID, Name: u.name, Type: u.mediaType, Author: t.author(c), Created: c.Now.UnixMicro(), Content: u.content,
		})
	}
	return files, nil
}

// fileOf finds an attachment that the caller may see. The caller holds the lock.
func (t *Tracker) fileOf(c *site.Call, id string) (*issue, *file) {
	for _, issueID := range t.order {
		x := t.issues[issueID].At(c.AsOf)
		if x == nil || !t.mayRead(c.As, x) {
			continue
		}
		i := slices.IndexFunc(x.files, func(f *file) bool { return strconv.FormatInt(f.ID, 10) == id && (c.As == "" || !f.Hidden) })
		if i >= 0 {
			return x, x.files[i]
		}
	}
	return nil, nil
}

func noSuchFile(c *site.Call) *wire.Refusal {
	return wire.Refuse(http.StatusNotFound, "sd.attachment.not.found", "The attachment with id '"+wire.Clip(cmp.Or(c.Vars["id"], c.Vars["attachmentId"]))+"' does not exist")
}

func (t *Tracker) getAttachment(c *site.Call) {
	t.mu.RLock()
	x, f := t.fileOf(c, c.Vars["id"])
	var out doc
	if x != nil {
		out = t.renderFile(c, f)
		out["id"] = f.ID // a number here, text elsewhere, as with the vendor
	}
	t.mu.RUnlock()
	if out == nil {
		wire.WriteRefusal(c.W, c.R, noSuchFile(c))
		return
	}
	wire.WriteJSON(c.W, http.StatusOK, out)
}

// getContent redirects, as the vendor does, unless redirect=false.
func (t *Tracker) getContent(c *site.Call) {
	t.mu.RLock()
	_, f := t.fileOf(c, cmp.Or(c.Vars["id"], c.Vars["attachmentId"]))
	t.mu.RUnlock()
	switch {
	case f == nil:
		wire.WriteRefusal(c.W, c.R, noSuchFile(c))
	case c.Vars["id"] != "" && c.Query().Get("redirect") != "false":
		c.W.Header().Set("Location", wire.Rest(c.Base, "/api/3/attachment/content/"+c.Vars["id"]+"?redirect=false"))
		c.W.WriteHeader(http.StatusSeeOther)
	default:
		h := c.W.Header()
		h.Set("Content-Type", f.Type)
		h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": f.Name}))
		h.Set("X-Content-Type-Options", "nosniff")
		c.W.WriteHeader(http.StatusOK)
		_, _ = c.W.Write(f.Content)
	}
}

func (t *Tracker) deleteAttachment(c *site.Call) {
	t.mu.Lock()
	x, f := t.fileOf(c, c.Vars["id"])
	no := noSuchFile(c)
	if x != nil {
		if no = t.allow(c, x.ID); no == nil {
			next := t.touch(c, x, item("Attachment", "attachment", strconv.FormatInt(f.ID, 10), f.Name, "", ""))
			if no = t.save(next, fileRef{x.ID, f.ID}); no == nil {
				t.tellUpdate(c, t.issues[x.ID].Current())
			}
		}
	}
	t.mu.Unlock()
	wire.Finish(c, no)
}

// addTemporary is JSM's upload: files wait for the request that they belong to.
func (t *Tracker) addTemporary(c *site.Call) {
	uploads, no := readUploads(c)
	if no != nil {
		wire.WriteRefusal(c.W, c.R, no)
		return
	}
	list := []doc{}
	var temps []any
	t.mu.Lock()
	for id, f := range t.temps {
		if f.Created < c.Now.UnixMicro()-tempLifetime {
			delete(t.temps, id)
		}
	}
	if len(t.temps)+len(uploads) > maxTempsKept {
		no = tooLarge("Too many temporary files wait.")
	}
	for i, u := range uploads {
		id := "temp" + site.DeriveUUID(t.seed, "temp", strconv.FormatInt(c.Now.UnixMicro(), 10), strconv.Itoa(len(t.temps)+i))
		temps = append(temps, &tempFile{ID: id, Owner: t.author(c), Name: u.name, Type: u.mediaType, Created: c.Now.UnixMicro(), Content: u.content})
		list = append(list, doc{"temporaryAttachmentId": id, "fileName": u.name})
	}
	if no == nil {
		no = t.save(nil, temps...)
	}
	t.mu.Unlock()
	if no != nil {
		wire.WriteRefusal(c.W, c.R, no)
		return
	}
	wire.WriteJSON(c.W, http.StatusCreated, doc{"temporaryAttachments": list})
}

func (t *Tracker) renderDeskFile(c *site.Call, x *issue, f *file) doc {
	id := strconv.FormatInt(f.ID, 10)
	self := wire.Rest(c.Base, "/servicedeskapi/request/"+strconv.FormatInt(x.ID, 10)+"/attachment/"+id)
	d := doc{
		"filename": f.Name, "created": wire.NewDate(f.Created), "size": len(f.Content), "mimeType": f.Type,
		"_links": doc{"self": self, "jiraRest": wire.Rest(c.Base, "/api/3/attachment/"+id), "content": self, "thumbnail": self + "/thumbnail"},
	}
	if p, ok := t.person(f.Author); ok {
		d["author"] = p.Desk(c.Base)
	}
	return d
}

func (t *Tracker) listDeskFiles(c *site.Call) {
	w, no := wire.ReadWindow(c)
	if no != nil {
		wire.WriteRefusal(c.W, c.R, no)
		return
	}
	var list []doc
	if t.read(c, func(x *issue) *wire.Refusal {
		for _, f := range x.files {
			if c.As == "" || !f.Hidden {
				list = append(list, t.renderDeskFile(c, x, f))
			}
		}
		return nil
	}) {
		wire.WritePage(c, w, len(list), wire.Cut(list, w))
	}
}

// attachTemporary makes a comment with files that were uploaded before.
func (t *Tracker) attachTemporary(c *site.Call) {
	var b struct {
		IDs               []string `json:"temporaryAttachmentIds"`
		Public            bool     `json:"public"`
		AdditionalComment *struct {
			Body string `json:"body"`
		} `json:"additionalComment"`
	}
	no := wire.ReadBody(c, &b)
	if no == nil && (len(b.IDs) == 0 || len(b.IDs) > maxUploads) {
		no = wire.BadRequest("temporaryAttachmentIds must name 1 to 60 files.")
	}
	if no != nil {
		wire.WriteRefusal(c.W, c.R, no)
		return
	}
	var out doc
	if t.write(c, func(old *issue) *wire.Refusal {
		var uploads []upload
		var names []string
		for _, id := range b.IDs {
			f := t.temps[id]
			if f == nil || f.Owner != t.author(c) || f.Created < c.Now.UnixMicro()-tempLifetime {
				return wire.Refuse(http.StatusBadRequest, "sd.attachment.temporary.not.found", "The temporary attachment "+wire.Clip(id)+" does not exist.")
			}
			uploads = append(uploads, upload{f.Name, f.Type, f.Content})
			names = append(names, "[^"+f.Name+"]")
		}
		body := strings.Join(names, "\n")
		if b.AdditionalComment != nil && strings.TrimSpace(b.AdditionalComment.Body) != "" {
			body = b.AdditionalComment.Body + "\n\n" + body
		}
		m, no := plainComment(body, b.Public)
		if no != nil {
			return no
		}
		files, no := t.newFiles(c, old, uploads)
		if no != nil {
			return no
		}
		m.Internal = m.Internal && c.As == ""
		for _, f := range files {
			f.Comment, f.Hidden = t.next.Comment, m.Internal
		}
		x, no := t.comment(c, old, m, anySlice(files)...)
		if no != nil {
			return no
		}
		for _, id := range b.IDs {
			delete(t.temps, id)
		}
		var values []doc
		for _, f := range files {
			values = append(values, t.renderDeskFile(c, x, f))
		}
		out = doc{"comment": t.renderDeskComment(c, x, m), "attachments": wire.NewPage(c, wire.Window{Limit: wire.MaxPage}, len(values), values)}
		return nil
	}) {
		wire.WriteJSON(c.W, http.StatusCreated, out)
	}
}
