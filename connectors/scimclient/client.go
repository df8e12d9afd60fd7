package scimclient

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"unicode"

	"github.com/musubi-hub/musubi/connectors"
	"github.com/musubi-hub/musubi/connectors/keylock"
	"github.com/musubi-hub/musubi/connectors/outbound"
)

// Client speaks SCIM to one server, whose base URL is that of out.
type Client struct {
	out     *outbound.Client
	classes Classes
	dialect Dialect
	locks   keylock.Locks
}

// Classes are the quota classes of a server that counts kinds of requests apart.
type Classes struct {
	UserRead, UserWrite, GroupRead, GroupCreate, GroupWrite connectors.Class
}

// New makes a client. Every request reserves one token of class.
func New(out *outbound.Client, class connectors.Class, d Dialect) (*Client, error) {
	return NewClassed(out, Classes{class, class, class, class, class}, d)
}

// NewClassed makes a client whose requests reserve one token of the class of their kind.
func NewClassed(out *outbound.Client, classes Classes, d Dialect) (*Client, error) {
	switch {
	case out == nil:
		return nil, errors.New("scimclient: the outbound client is nil")
	case classes.UserRead == "" || classes.UserWrite == "" || classes.GroupRead == "" || classes.GroupCreate == "" || classes.GroupWrite == "":
		return nil, errors.New("scimclient: no quota class is given")
	}
	if err := d.validate(); err != nil {
		return nil, fmt.Errorf("scimclient: %w", err)
	}
	return &Client{out: out, classes: classes, dialect: d}, nil
}

// of gives the class of a request.
func (c Classes) of(method, path string) connectors.Class {
	group, read := strings.HasPrefix(path, "Groups"), method == http.MethodGet
	switch {
	case group && read:
		return c.GroupRead
	case group && method == http.MethodPost:
		return c.GroupCreate
	case group:
		return c.GroupWrite
	case read:
		return c.UserRead
	}
	return c.UserWrite
}

// ServiceProvider is what a server says of itself (RFC 7643, 5).
type ServiceProvider struct {
	Patch, Bulk, Filter, Sort, ETag bool
	FilterMax                       int // most resources that a filtered list returns; 0 where it doesn't say
}

// Discover reads ServiceProviderConfig. It is also the cheapest proof that the base URL and the credential are right.
func (c *Client) Discover(ctx context.Context) (ServiceProvider, error) {
	const op = "read service provider configuration"
	type feature struct {
		Supported  bool `json:"supported"`
		MaxResults int  `json:"maxResults"`
	}
	var doc struct {
		Patch  *feature `json:"patch"`
		Bulk   feature  `json:"bulk"`
		Filter feature  `json:"filter"`
		Sort   feature  `json:"sort"`
		ETag   feature  `json:"etag"`
	}
	if err := c.do(ctx, request{op: op, method: http.MethodGet, path: "ServiceProviderConfig", into: &doc}); err != nil {
		return ServiceProvider{}, err
	}
	if doc.Patch == nil {
		return ServiceProvider{}, c.out.Fail(op, connectors.KindProtocol, "the answer is no ServiceProviderConfig: is the base URL that of a SCIM service?")
	}
	return ServiceProvider{
		Patch: doc.Patch.Supported, Bulk: doc.Bulk.Supported, Filter: doc.Filter.Supported,
		Sort: doc.Sort.Supported, ETag: doc.ETag.Supported, FilterMax: doc.Filter.MaxResults,
	}, nil
}

type request struct {
	op, method, path string
	query            url.Values
	body             any
	into             any // nil: the answer's body isn't needed
	once             bool
	maxBody          int64
}

// do sends a request and decodes the answer into r.into; it leaves r.into alone where the answer is empty and r.into is a
// *json.RawMessage, which is how a caller says that an empty answer is fine.
func (c *Client) do(ctx context.Context, r request) error {
	header := http.Header{"Accept": {"application/scim+json, application/json;q=0.8"}}
	if r.body != nil {
		header.Set("Content-Type", "application/scim+json")
	}
	if c.dialect.OneUpdateAtATime && r.method != http.MethodGet && r.method != http.MethodPost {
		release, err := c.locks.Lock(ctx, r.path)
		if err != nil {
			f := c.out.Fail(r.op, connectors.KindCanceled, "the caller gave up while another update of the same resource was under way")
			f.Err = err
			return f
		}
		defer release()
	}
	answer, err := c.out.Do(ctx, outbound.Request{
		Call: outbound.Call{
			Op: r.op, Class: c.classes.of(r.method, r.path), Idempotent: !r.once, MaxBody: r.maxBody, ParseError: parseError,
		},
		Method: r.method, Path: r.path, Query: r.query, Header: header, Body: r.body,
	})
	if err != nil {
		return c.coded(err)
	}
	if raw, ok := r.into.(*json.RawMessage); ok && len(answer.Body) == 0 {
		*raw = nil
		return nil
	}
	if r.into == nil {
		return nil
	}
	return c.out.Decode(r.op, answer, r.into)
}

// coded gives an error the kind of its code, where the dialect's "detail" is one. An answer that isn't the server's own JSON has
// no detail, and keeps its kind.
func (c *Client) coded(err error) error {
	var e *connectors.Error
	if c.dialect.Codes == nil || !errors.As(err, &e) || e.Status == 0 || e.Kind == connectors.KindProtocol || e.Code != "" {
		return err
	}
	if !machineCode(e.Detail) {
		return err
	}
	e.Code = e.Detail
	if kind, ok := c.dialect.Codes[e.Code]; ok {
		e.Kind = kind
	}
	return err
}

func machineCode(s string) bool {
	return s != "" && len(s) <= 64 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789_") == ""
}

// path joins a resource type and an identifier that came from a server or from storage.
func (c *Client) path(op, kind, id string) (string, error) {
	if id == "" || len(id) > 512 || id == "." || id == ".." || strings.ContainsFunc(id, unicode.IsControl) {
		return "", c.out.Fail(op, connectors.KindInvalid, fmt.Sprintf("%q is no identifier of a %s", shorten(id), strings.TrimSuffix(kind, "s")))
	}
	return kind + "/" + url.PathEscape(id), nil
}

func shorten(s string) string {
	if len(s) > 64 {
		return strings.ToValidUTF8(s[:64], "") + "..."
	}
	return s
}

// eq writes the filter `attribute eq "value"`. The value is a JSON string (RFC 7644, 3.4.2.2), without Go's HTML escapes,
// which simple servers don't undo.
func eq(attribute, value string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(value) // a string always encodes
	return attribute + " eq " + strings.TrimSpace(b.String())
}
