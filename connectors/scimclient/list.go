package scimclient

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/musubi-hub/musubi/connectors"
)

type listPage struct {
	Schemas      []string          `json:"schemas"`
	TotalResults *int              `json:"totalResults"`
	StartIndex   int               `json:"startIndex"`
	Resources    []json.RawMessage `json:"Resources"`
}

// list pages through path and gives each page's resources to each. A server must not be able to keep it busy for ever: the
// index advances by what was received, the total is bounded, a page may not be larger than asked for, and a page that begins
// with the resource of the page before is an error (the server ignores startIndex).
func (c *Client) list(ctx context.Context, op, path string, query url.Values, maxBody int64, each func([]json.RawMessage) error) error {
	bad := func(format string, args ...any) error {
		return c.out.Fail(op, connectors.KindProtocol, fmt.Sprintf(format, args...))
	}
	size := c.dialect.PageMax
	if path == "Groups" && c.dialect.GroupPage > 0 {
		size = c.dialect.GroupPage
	}
	maxPages := c.dialect.MaxResources/size*4 + 16 // a server may return a quarter of what was asked for
	next, received, before := 1, 0, ""
	for page := 0; ; page++ {
		if page >= maxPages {
			return bad("the list has more than %d pages", maxPages)
		}
		q := url.Values{}
		for k, v := range query {
			q[k] = v
		}
		q.Set("startIndex", strconv.Itoa(next))
		q.Set("count", strconv.Itoa(size))
		var p listPage
		if err := c.do(ctx, request{op: op, method: http.MethodGet, path: path, query: q, into: &p, maxBody: maxBody}); err != nil {
			return err
		}
		switch {
		case !slices.ContainsFunc(p.Schemas, func(s string) bool { return strings.EqualFold(s, schemaList) }):
			return bad("the answer is no ListResponse")
		case p.TotalResults == nil || *p.TotalResults < 0 || *p.TotalResults > c.dialect.MaxResources:
			return bad("totalResults is missing or outside 0 to %d", c.dialect.MaxResources)
		case len(p.Resources) > size:
			return bad("%d resources came where at most %d were asked for", len(p.Resources), size)
		case len(p.Resources) > 0 && p.StartIndex != 0 && p.StartIndex != next:
			return bad("the page starts at %d where %d was asked for", p.StartIndex, next)
		case len(p.Resources) == 0 && received < *p.TotalResults && next <= *p.TotalResults:
			return bad("the list ended after %d of %d resources", received, *p.TotalResults)
		}
		if len(p.Resources) == 0 {
			return nil
		}
		var first struct {
			ID string `json:"id"`
		}
		if err := json.Unmarshal(p.Resources[0], &first); err != nil || first.ID == "" {
			return bad("a resource has no id")
		}
		if first.ID == before {
			return bad("the same page came twice: the server doesn't page")
		}
		before = first.ID
		if err := each(p.Resources); err != nil {
			return err
		}
		received += len(p.Resources)
		next += len(p.Resources)
		if next > *p.TotalResults {
			return nil
		}
	}
}
