package slack

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/connectors/sandbox/site"
	"github.com/musubi-hub/musubi/connectors/sandbox/slack/scim"
)

// maxBody bounds a body; not the vendor's, which publishes none. 15,000 members need about 1 MiB.
const maxBody = 4 << 20

const scimType = "application/scim+json"

// perMinute is a quota of the vendor's documentation: requests a minute, and how many at once.
func perMinute(n float64, burst int) site.Limit { return site.Limit{Rate: n / 60, Burst: burst} }

// The quotas of the whole organization, over all endpoints.
var (
	allWrites = perMinute(600, 180)
	allReads  = perMinute(1000, 1000)
)

// scimRoutes lists the SCIM operations.
func (w *Workspace) scimRoutes() []site.Route {
	var list []site.Route
	add := func(method, path, op string, limit site.Limit, h func(*site.Call) (int, any, *scim.Refusal)) {
		class, total := "scim.writes", allWrites
		if method == http.MethodGet {
			class, total = "scim.reads", allReads
		}
		list = append(list, site.Route{
			Method: method, Pattern: "/scim/v2" + path, Op: op, Class: method + " /scim/v2" + path, Limit: limit,
			Handle: func(c *site.Call) {
				if ok, after := c.Take(class, total); !ok {
					w.Throttled(c.W, c.R, total, after, c.Now)
					return
				}
				status, doc, no := h(c)
				if no != nil {
					writeRefusal(c.W, no)
					return
				}
				writeSCIM(c.W, status, doc)
			},
		})
	}
	add(http.MethodGet, "/Users", "scim.users.list", allReads, w.listUsers)
	add(http.MethodPost, "/Users", "scim.users.create", perMinute(180, 20), w.createUser)
	add(http.MethodGet, "/Users/{id}", "scim.users.read", perMinute(300, 300), w.readUser)
	add(http.MethodPut, "/Users/{id}", "scim.users.replace", perMinute(180, 20), w.replaceUser)
	add(http.MethodPatch, "/Users/{id}", "scim.users.patch", perMinute(180, 20), w.patchUser)
	add(http.MethodDelete, "/Users/{id}", "scim.users.delete", perMinute(180, 20), w.deleteUser)
	add(http.MethodGet, "/Groups", "scim.groups.list", allReads, w.listGroups)
	add(http.MethodPost, "/Groups", "scim.groups.create", perMinute(180, 20), w.createGroup)
	add(http.MethodGet, "/Groups/{id}", "scim.groups.read", perMinute(300, 300), w.readGroup)
	add(http.MethodPut, "/Groups/{id}", "scim.groups.replace", perMinute(180, 80), w.replaceGroup)
	add(http.MethodPatch, "/Groups/{id}", "scim.groups.patch", perMinute(180, 80), w.patchGroup)
	add(http.MethodDelete, "/Groups/{id}", "scim.groups.delete", perMinute(180, 20), w.deleteGroup)
	for path, doc := range map[string]func(base string) any{
		"/ServiceProviderConfig": serviceProviderConfig, "/ResourceTypes": resourceTypes, "/Schemas": schemas,
		"/Schemas/Users": userSchema, "/Schemas/Groups": groupSchema,
		"/Schemas/" + scim.SchemaUser: userSchema, "/Schemas/" + scim.SchemaGroup: groupSchema,
	} {
		add(http.MethodGet, path, "scim.discovery", allReads, func(c *site.Call) (int, any, *scim.Refusal) {
			return http.StatusOK, doc(c.Base + "/" + Name + "/scim/v2"), nil
		})
	}
	// PUT and PATCH on one resource share their bucket.
	for i := range list {
		list[i].Class = strings.Replace(list[i].Class, http.MethodPatch, http.MethodPut, 1)
	}
	return list
}

func writeSCIM(out http.ResponseWriter, status int, doc any) {
	if doc == nil {
		out.WriteHeader(status)
		return
	}
	writeJSON(out, status, scimType, doc)
}

func writeJSON(out http.ResponseWriter, status int, media string, doc any) {
	out.Header().Set("Content-Type", media+"; charset=utf-8")
	out.WriteHeader(status)
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(doc) // a client that went away can't be told
}

// writeRefusal answers in the vendor's shape: the status is a number.
func writeRefusal(out http.ResponseWriter, no *scim.Refusal) {
	writeJSON(out, no.Status, scimType, map[string]any{"schemas": []string{scim.SchemaError}, "detail": no.Detail, "status": no.Status})
}

func readBody(r *http.Request) ([]byte, *scim.Refusal) {
	media, _, _ := strings.Cut(strings.ToLower(r.Header.Get("Content-Type")), ";")
	if media = strings.TrimSpace(media); media != "application/json" && media != scimType {
		return nil, &scim.Refusal{Status: http.StatusUnsupportedMediaType, Detail: "invalid_content_type"}
	}
	raw, err := readAll(r.Body)
	if err != nil {
		return nil, &scim.Refusal{Status: http.StatusBadRequest, Detail: "invalid_json"}
	}
	return raw, nil
}

var errTooLarge = errors.New("slack: the body is too large")

func readAll(body io.Reader) ([]byte, error) {
	if body == nil {
		return nil, nil
	}
	raw, err := io.ReadAll(io.LimitReader(body, maxBody+1))
	if err == nil && len(raw) > maxBody {
		err = errTooLarge
	}
	return raw, err
}

// lockResource keeps other writes off a user or group for as long as one is at work: the vendor refuses a second one, it doesn't queue.
func (w *Workspace) lockResource(id string) (unlock func(), no *scim.Refusal) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, busy := w.locked[id]; busy {
		return nil, &scim.Refusal{Status: http.StatusTooManyRequests, Detail: "resource_locked"}
	}
	w.locked[id] = struct{}{}
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.locked, id)
	}, nil
}

// underLock does one write to a user or group.
func (w *Workspace) underLock(c *site.Call, write func(id string) (int, any, *scim.Refusal)) (int, any, *scim.Refusal) {
	id := c.Vars["id"]
	unlock, no := w.lockResource(id)
	if no != nil {
		site.SetRetryAfter(c.W, time.Second)
		return 0, nil, no
	}
	defer unlock()
	if w.opt.UpdateTime > 0 {
		time.Sleep(w.opt.UpdateTime) // the vendor goes on with the work when the caller gives up
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return write(id)
}

func bearer(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

func sameSecret(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return b != "" && subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

func expired(at, now time.Time) bool { return !at.IsZero() && !now.Before(at) }

// Authenticate checks the token: of an administrator for SCIM, of the application for the Web API.
func (w *Workspace) Authenticate(c *site.Call, route *site.Route) bool {
	if !isSCIM(c.R) {
		return w.authenticateWeb(c, route)
	}
	token := bearer(c.R)
	switch {
	case sameSecret(token, w.opt.AdminToken) && expired(w.opt.AdminTokenExpires, c.Now):
		writeRefusal(c.W, &scim.Refusal{Status: http.StatusUnauthorized, Detail: "token_expired"})
	case sameSecret(token, w.opt.AdminToken):
		return true
	case sameSecret(token, w.opt.Token):
		writeRefusal(c.W, &scim.Refusal{Status: http.StatusForbidden, Detail: "missing_scope"})
	default:
		writeRefusal(c.W, &scim.Refusal{Status: http.StatusUnauthorized, Detail: "invalid_authentication"})
	}
	return false
}

func isSCIM(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/"+Name+"/scim/") }

// Refuse answers a planted status.
func (w *Workspace) Refuse(out http.ResponseWriter, r *http.Request, status int, _ string) {
	code := "internal_error"
	switch status {
	case http.StatusTooManyRequests:
		code = "ratelimited"
	case http.StatusServiceUnavailable:
		code = "service_unavailable"
	}
	if isSCIM(r) {
		if status == http.StatusTooManyRequests {
			code = "too_many_requests"
		}
		writeRefusal(out, &scim.Refusal{Status: status, Detail: code})
		return
	}
	writeJSON(out, status, jsonType, map[string]any{"ok": false, "error": code})
}

// Throttled answers a request past the quota.
func (w *Workspace) Throttled(out http.ResponseWriter, r *http.Request, _ site.Limit, retryAfter time.Duration, _ time.Time) {
	site.SetRetryAfter(out, retryAfter)
	w.Refuse(out, r, http.StatusTooManyRequests, "")
}

// Allowed says nothing about the quota: the vendor doesn't either.
func (w *Workspace) Allowed(http.ResponseWriter, site.Limit, int) {}

// Unrouted answers a path or method that the API doesn't have.
func (w *Workspace) Unrouted(out http.ResponseWriter, r *http.Request, allowed []string) {
	switch {
	case !isSCIM(r):
		method := strings.TrimPrefix(r.URL.Path, "/"+Name+"/api/")
		writeJSON(out, http.StatusOK, jsonType, map[string]any{"ok": false, "error": "unknown_method", "req_method": method})
	case len(allowed) == 0:
		writeRefusal(out, &scim.Refusal{Status: http.StatusNotFound, Detail: "not_found"})
	default:
		out.Header().Set("Allow", strings.Join(allowed, ", "))
		writeRefusal(out, &scim.Refusal{Status: http.StatusMethodNotAllowed, Detail: "method_not_allowed"})
	}
}
