package site

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Call is one request on its way through a handler.
type Call struct {
	W     http.ResponseWriter
	R     *http.Request
	Vars  map[string]string // path parameters, decoded
	Base  string            // absolute address of the sandbox, without a slash at its end
	Now   time.Time
	AsOf  time.Time     // zero, or the moment that reads see: what was written after it is left out
	Drop  func(int) int // given n members to add: which one a fault silently leaves out, or -1
	As    string        // who calls, where a product lets several; empty: whom the product's token belongs to
	Scale float64       // the demonstration's factor on quotas; 0 means 1
	// Take uses a token of a further quota class of the product (the route's own is taken already); without one it says when there
	// will be.
	Take func(class string, limit Limit) (ok bool, after time.Duration)
	Data any // what Authenticate read, for the handler
}

// Query gives the query string's values.
func (c *Call) Query() url.Values { return c.R.URL.Query() }

// Limit is a quota: Rate requests a second, Burst at once.
type Limit struct {
	Rate  float64
	Burst int
}

// Route is one operation of a product's API.
type Route struct {
	Method    string
	Pattern   string // "/rest/api/3/user/{id}", without the product's prefix
	Op        string // the vendor's operation name
	Class     string // quota bucket
	Limit     Limit
	Anonymous bool // answers without a credential
	Read      bool // changes nothing, whatever its method: stale_read meets it
	Handle    func(*Call)
}

// Table finds the route of a request.
type Table struct{ routes []tableRoute }

type tableRoute struct {
	Route
	segments []string
}

// NewTable makes a table. The first route that matches wins.
func NewTable(routes []Route) *Table {
	t := &Table{}
	for _, r := range routes {
		t.routes = append(t.routes, tableRoute{r, strings.Split(strings.TrimPrefix(r.Pattern, "/"), "/")})
	}
	return t
}

// Match finds the route of method and the path below the product's prefix. Without one it gives the methods that the path has,
// none if there is no such path.
func (t *Table) Match(method, escapedPath string) (route *Route, vars map[string]string, allowed []string) {
	segments := strings.Split(strings.TrimPrefix(escapedPath, "/"), "/")
	for i := range t.routes {
		r := &t.routes[i]
		vars, ok := matchSegments(r.segments, segments)
		if !ok {
			continue
		}
		if r.Method == method {
			return &r.Route, vars, nil
		}
		if !slices.Contains(allowed, r.Method) {
			allowed = append(allowed, r.Method)
		}
	}
	slices.Sort(allowed)
	return nil, nil, allowed
}

// Routes lists the table.
func (t *Table) Routes() []Route {
	out := make([]Route, len(t.routes))
	for i, r := range t.routes {
		out[i] = r.Route
	}
	return out
}

func matchSegments(pattern, path []string) (map[string]string, bool) {
	if len(pattern) != len(path) {
		return nil, false
	}
	var vars map[string]string
	for i, p := range pattern {
		got, err := url.PathUnescape(path[i])
		if err != nil {
			return nil, false
		}
		if strings.HasPrefix(p, "{") {
			if got == "" {
				return nil, false
			}
			if vars == nil {
				vars = map[string]string{}
			}
			vars[strings.Trim(p, "{}")] = got
		} else if p != got {
			return nil, false
		}
	}
	return vars, true
}

// SetRetryAfter sets Retry-After, in whole seconds rounded up, at least one.
func SetRetryAfter(w http.ResponseWriter, d time.Duration) {
	seconds := max(1, int64((d+time.Second-1)/time.Second))
	w.Header().Set("Retry-After", strconv.FormatInt(seconds, 10))
}
