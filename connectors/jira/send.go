package jira

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"

	gojira "github.com/andygrunwald/go-jira"

	"github.com/musubi-hub/musubi/connectors"
	"github.com/musubi-hub/musubi/connectors/outbound"
)

// Connector provisions one Jira Service Management site. It is safe for concurrent use.
type Connector struct {
	out         *outbound.Client
	client      *gojira.Client
	desk        string
	description connectors.Description
	orgs        *orgIndex
	site        *factsCache
	hookSecret  outbound.Secret
	revoked     revocations
}

var (
	_ connectors.Connector     = (*Connector)(nil)
	_ connectors.AccountReader = (*Connector)(nil)
	_ connectors.AccountWriter = (*Connector)(nil)
	_ connectors.GroupReader   = (*Connector)(nil)
	_ connectors.GroupWriter   = (*Connector)(nil)

	_ connectors.WorkItemReader    = (*Connector)(nil)
	_ connectors.WorkItemCreator   = (*Connector)(nil)
	_ connectors.Commenter         = (*Connector)(nil)
	_ connectors.Transitioner      = (*Connector)(nil)
	_ connectors.SLAReader         = (*Connector)(nil)
	_ connectors.ParticipantWriter = (*Connector)(nil)
	_ connectors.Attacher          = (*Connector)(nil)
	_ connectors.WebhookRegistrar  = (*Connector)(nil)
	_ connectors.EventReader       = (*Connector)(nil)
)

// Describe gives the connector's fixed facts.
func (c *Connector) Describe() connectors.Description {
	d := c.description
	d.Limits.Budgets = slices.Clone(d.Limits.Budgets)
	d.Absent = slices.Clone(d.Absent)
	return d
}

// again marks a call that may be sent more than once.
const (
	once  = false
	again = true
)

// call describes the request that go-jira sends under the context it gives.
func call(ctx context.Context, op string, class connectors.Class, idempotent bool) context.Context {
	return outbound.WithCall(ctx, outbound.Call{Op: op, Class: class, Idempotent: idempotent, ParseError: parseError})
}

// send makes a request that go-jira has no method for and decodes its answer into v, unless v is nil. ctx comes from call.
func (c *Connector) send(ctx context.Context, op, method, path string, query url.Values, body, v any) error {
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	req, err := c.client.NewRequestWithContext(ctx, method, path, body)
	if err != nil {
		return c.out.Fail(op, connectors.KindInvalid, "the request isn't well formed")
	}
	resp, err := c.client.Do(req, nil)
	if err != nil {
		return c.failure(op, err)
	}
	defer resp.Body.Close()
	if v == nil {
		return nil
	}
	text, err := io.ReadAll(resp.Body) // in memory and within outbound's limit already
	if err != nil {
		return c.failure(op, err)
	}
	return c.out.Decode(op, &outbound.Response{Status: resp.StatusCode, Body: text}, v)
}

// failure finds the connectors.Error in what go-jira and net/http wrapped around it. Anything else is go-jira failing to read
// an accepted answer.
func (c *Connector) failure(op string, err error) error {
	var e *connectors.Error
	if errors.As(err, &e) {
		return e
	}
	return c.out.Fail(op, connectors.KindProtocol, "the answer can't be read: "+err.Error())
}

// parseError reads the two error shapes: JSM's {"errorMessage","i18nErrorMessage"} and the platform's {"errorMessages","errors"}.
func parseError(_ int, body []byte) (code, detail string) {
	var e struct {
		ErrorMessage string `json:"errorMessage"`
		I18nMessage  struct {
			Key string `json:"i18nKey"`
		} `json:"i18nErrorMessage"`
		ErrorMessages []string          `json:"errorMessages"`
		Errors        map[string]string `json:"errors"`
		Message       string            `json:"message"`
	}
	_ = json.Unmarshal(body, &e) // what could be read before a type that differs is still worth showing
	words := slices.DeleteFunc(append([]string{e.ErrorMessage, e.Message}, e.ErrorMessages...), func(s string) bool { return s == "" })
	var fields []string
	for field, message := range e.Errors {
		fields = append(fields, field+": "+message)
	}
	slices.Sort(fields)
	return e.I18nMessage.Key, strings.Join(append(words, fields...), "; ")
}

// paged is JSM's page of a list.
type paged[T any] struct {
	Start      int  `json:"start"`
	Size       int  `json:"size"`
	IsLastPage bool `json:"isLastPage"`
	Values     []T  `json:"values"`
}

const (
	pageLimit = 50     // JSM gives no more
	maxPages  = 10_000 // half a million entries
)

// pages reads a JSM list page by page. The start advances by what was received; a page that isn't the one asked for, an
// empty page that isn't the last, and a page that begins like the one before are errors, so that no server keeps it busy.
func pages[T any](c *Connector, op string, read func(start int) (paged[T], error), id func(T) string, each func([]T) error) error {
	before := ""
	for start, n := 0, 0; ; n++ {
		if n >= maxPages {
			return c.out.Fail(op, connectors.KindProtocol, fmt.Sprintf("the list has more than %d pages", maxPages))
		}
		p, err := read(start)
		if err != nil {
			return err
		}
		switch {
		case len(p.Values) == 0 && p.IsLastPage:
			return nil
		case len(p.Values) == 0:
			return c.out.Fail(op, connectors.KindProtocol, "an empty page came that isn't the last")
		case p.Start != start:
			return c.out.Fail(op, connectors.KindProtocol, fmt.Sprintf("the page starts at %d where %d was asked for", p.Start, start))
		case len(p.Values) > pageLimit:
			return c.out.Fail(op, connectors.KindProtocol, fmt.Sprintf("%d entries came where at most %d were asked for", len(p.Values), pageLimit))
		}
		for _, v := range p.Values {
			if id(v) == "" {
				return c.out.Fail(op, connectors.KindProtocol, "an entry of the list has no id")
			}
		}
		if id(p.Values[0]) == before {
			return c.out.Fail(op, connectors.KindProtocol, "the same page came twice: the server doesn't page")
		}
		before = id(p.Values[0])
		if err := each(p.Values); err != nil {
			return err
		}
		if p.IsLastPage {
			return nil
		}
		start += len(p.Values)
	}
}

// listed reads one page of path.
func listed[T any](ctx context.Context, c *Connector, op, path string) func(start int) (paged[T], error) {
	return func(start int) (paged[T], error) {
		var p paged[T]
		query := url.Values{"start": {strconv.Itoa(start)}, "limit": {strconv.Itoa(pageLimit)}}
		err := c.send(ctx, op, http.MethodGet, path, query, nil, &p)
		return p, err
	}
}

// accountID checks an account id before it enters a path.
func (c *Connector) accountID(op, id string) error {
	if id == "" || len(id) > 128 || id == "." || id == ".." || strings.ContainsFunc(id, unicode.IsControl) {
		return c.out.Fail(op, connectors.KindInvalid, "this is no account id")
	}
	return nil
}
