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
	"github.com/musubi-hub/musubi/connectors/outbound"
)

// Client speaks SCIM to one server, whose base URL is that of out.
type Client struct {
	out     *outbound.Client
	class   connectors.Class
	dialect Dialect
}

// New makes a client. Every request reserves one token of class.
func New(out *outbound.Client, class connectors.Class, d Dialect) (*Client, error) {
	switch {
	case out == nil:
		return nil, errors.New("scimclient: the outbound client is nil")
	case class == "":
		return nil, errors.New("scimclient: no quota class is given")
	}
	if err := d.validate(); err != nil {
		return nil, fmt.Errorf("scimclient: %w", err)
	}
	return &Client{out: out, class: class, dialect: d}, nil
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
	answer, err := c.out.Do(ctx, outbound.Request{
		Call:   outbound.Call{Op: r.op, Class: c.class, Idempotent: !r.once, MaxBody: r.maxBody, ParseError: parseError},
		Method: r.method, Path: r.path, Query: r.query, Header: header, Body: r.body,
	})
	if err != nil {
		return err
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
